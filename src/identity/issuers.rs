//! Placeholder of the skeleton.
use super::Identity;
use crate::bundle::{Bundle, Report};
use crate::decision::{Denial, Reason, UnixTime};
use crate::request::Evidence;

/// The issuers a gate trusts, with their keys.
#[derive(Debug)]
pub struct Issuers {}

impl Issuers {
    /// Loads `keys/` of a bundle.
    pub fn load(_bundle: &Bundle, _report: &mut Report) -> Option<Self> {
        Some(Self {})
    }

    /// Verifies the evidence of one request.
    ///
    /// # Errors
    /// A denial with an `auth.…` or `jwt.…` reason.
    pub fn identify(&self, _evidence: &Evidence, _now: UnixTime) -> Result<Identity, Denial> {
        Err(Reason::SystemInternal.into())
    }
}
