//! The revocation list: what can be cut off, under which key of the store, and what an entry there means.

use super::credentials::Revocations;
use super::{CertificateIdentity, CredentialKind, TokenIdentity};
use crate::decision::{Denial, UnixTime};

/// One entry of the list that would revoke a credential of this request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Lookup {
    key: String,
    credential: CredentialKind,
}

impl Lookup {
    /// The key in the store.
    pub fn key(&self) -> &str {
        &self.key
    }

    /// The credential it is about.
    pub fn credential(&self) -> CredentialKind {
        self.credential
    }
}

/// Every entry that would revoke one of these.
pub(super) fn lookups(_token: Option<&TokenIdentity>, _certificate: Option<&CertificateIdentity>) -> Vec<Lookup> {
    Vec::new()
}

/// Whether an entry lets the credential pass.
pub(super) fn judge(_lookup: &Lookup, _known: &Revocations, _now: UnixTime) -> Result<(), Denial> {
    Ok(())
}
