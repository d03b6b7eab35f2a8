//! An AWS application load balancer: URL-escaped PEM, in which `+`, `=` and `/` are left as they are.
//!
//! The two fields are for two modes, and which one counts is configured.
//!
//! SECURITY: reading whichever is there would let a client that presented no certificate write the field its load balancer
//! does not set.

use super::escaped::{pem, percent_decoded};
use super::{Bag, assemble};
use crate::decision::Denial;

/// Passthrough mode: all that the client presented, its own certificate first.
pub(super) const CHAIN: &str = "x-amzn-mtls-clientcert";
/// Verify mode: the client's certificate alone.
pub(super) const LEAF: &str = "x-amzn-mtls-clientcert-leaf";

pub(super) fn read(text: &str, leaf: bool) -> Result<Vec<Vec<u8>>, Denial> {
    let mut bag = Bag::default();
    pem(&percent_decoded(text)?, &mut bag)?;
    if leaf {
        return assemble(bag.only()?, Bag::default());
    }
    Ok(bag.certificates)
}
