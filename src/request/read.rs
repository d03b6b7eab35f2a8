//! Placeholder of the skeleton.
use super::{Evidence, Facts, Proxies, RawRequest};
use crate::decision::{Denial, Reason};

/// Reads a raw request.
///
/// # Errors
/// A denial with a `request.…` reason when anything is ambiguous, malformed or too large.
pub fn read(_raw: &RawRequest<'_>, _proxies: Proxies) -> Result<(Facts, Evidence), Denial> {
    Err(Reason::SystemInternal.into())
}
