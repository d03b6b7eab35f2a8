//! DPoP: proof of possession of a key (RFC 9449).

use super::jwt::Token;
use super::table::Table;
use super::{Deployment, TokenIdentity};
use crate::bundle::Report;
use crate::decision::{Denial, Reason, UnixTime};
use crate::request::Facts;

/// `[dpop]` of `keys/issuers.toml`.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct DpopConfig {}

/// Reads `[dpop]`.
pub(super) fn read(table: Table<'_>, report: &mut Report) -> DpopConfig {
    table.finish(report);
    DpopConfig::default()
}

/// One use of a proof: what makes it the same as another, and how long it has to be remembered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ProofUse {
    /// SHA-256 over key and `jti`, in hexadecimal digits.
    pub id: String,
    /// After this time the proof is refused for its age.
    pub until: UnixTime,
}

/// Verifies the proof that came with a verified token.
pub(super) fn verify(
    _config: &DpopConfig,
    _proof: &[u8],
    _token: &Token<'_>,
    _identity: &TokenIdentity,
    _facts: &Facts,
    _deployment: &Deployment,
    _now: UnixTime,
) -> Result<ProofUse, Denial> {
    Err(Reason::DpopMalformed.into())
}
