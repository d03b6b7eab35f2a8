//! nginx: `proxy_set_header ssl-client-cert $ssl_client_escaped_cert`. nginx has no variable for the rest of the chain; a
//! field for it can be configured for proxies that have.

use super::escaped::{pem, percent_decoded};
use super::{Bag, assemble};
use crate::decision::Denial;

pub(super) fn read(certificate: &str, chain: &[&str]) -> Result<Vec<Vec<u8>>, Denial> {
    let mut one = Bag::default();
    pem(&percent_decoded(certificate)?, &mut one)?;
    let mut rest = Bag::default();
    // A comma cannot occur in escaped PEM.
    for element in chain.iter().flat_map(|line| line.split(',')) {
        pem(&percent_decoded(element.trim_matches([' ', '\t']))?, &mut rest)?;
    }
    assemble(one.only()?, rest)
}
