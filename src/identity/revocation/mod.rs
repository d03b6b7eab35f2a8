//! The revocation list: what can be cut off, under which key of the store, and what an entry there means.
//!
//! Pure, and the same in the gate and in `cedargate revoke`. Who may change the list is for Cedar, who carries a change out
//! is the shell's.

mod entry;
mod order;

use std::cell::OnceCell;

use super::credentials::Revocations;
use super::{CertificateIdentity, CredentialKind, TokenIdentity, text};
use crate::bundle::Digest;
use crate::decision::{Denial, Reason, UnixTime};

pub use entry::Entry;
pub use order::{Order, serial_text};

/// What can be cut off.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Target {
    /// One token.
    TokenId {
        /// The exact `iss`, here and below.
        issuer: String,
        /// `jti`.
        jti: String,
    },
    /// The tokens of one subject.
    Subject {
        /// The issuer.
        issuer: String,
        /// The subject claim, as in the token.
        subject: String,
    },
    /// The tokens of one session at the identity provider.
    Session {
        /// The issuer.
        issuer: String,
        /// `sid`.
        sid: String,
    },
    /// One client certificate.
    Certificate {
        /// SHA-256 of its issuer's name in DER.
        issuer_digest: Digest,
        /// Its serial number: lower-case hexadecimal digits without leading zeros.
        serial: String,
    },
    /// Every token of an issuer.
    Issuer {
        /// The issuer.
        issuer: String,
    },
}

impl Target {
    /// Its kind, as in the endpoint's body, in keys and in records.
    pub const fn kind(&self) -> &'static str {
        match self {
            Self::TokenId { .. } => "token_id",
            Self::Subject { .. } => "subject",
            Self::Session { .. } => "session",
            Self::Certificate { .. } => "certificate",
            Self::Issuer { .. } => "issuer",
        }
    }

    /// Names it without saying who it is about: nothing personal is in a key of the store or in an id.
    pub fn id(&self) -> Digest {
        let digest;
        let parts: [&[u8]; 2] = match self {
            Self::TokenId { issuer, jti } => [issuer.as_bytes(), jti.as_bytes()],
            Self::Subject { issuer, subject } => [issuer.as_bytes(), subject.as_bytes()],
            Self::Session { issuer, sid } => [issuer.as_bytes(), sid.as_bytes()],
            Self::Certificate { issuer_digest, serial } => {
                digest = *issuer_digest;
                [digest.as_bytes(), serial.as_bytes()]
            }
            Self::Issuer { issuer } => [issuer.as_bytes(), b""],
        };
        // SECURITY: every part says how long it is, so that no two targets have the same bytes.
        let mut bytes = self.kind().as_bytes().to_vec();
        for part in parts {
            bytes.push(0);
            bytes.extend_from_slice(part.len().to_string().as_bytes());
            bytes.push(0);
            bytes.extend_from_slice(part);
        }
        Digest::of(&bytes)
    }

    /// The key of its entry in the store.
    pub fn key(&self) -> String {
        format!("revoked/{}/{}", self.kind(), self.id())
    }
}

/// One entry of the list that would revoke a credential of this request.
#[derive(Debug, Clone)]
pub struct Lookup {
    target: Target,
    credential: CredentialKind,
    issued_at: Option<UnixTime>,
    /// Made when it is asked for: where nothing was ever revoked, nobody does.
    key: OnceCell<String>,
}

impl PartialEq for Lookup {
    fn eq(&self, other: &Self) -> bool {
        let Self { target, credential, issued_at, key: _ } = self;
        (target, credential, issued_at) == (&other.target, &other.credential, &other.issued_at)
    }
}

impl Eq for Lookup {}

impl Lookup {
    fn new(target: Target, credential: CredentialKind, issued_at: Option<UnixTime>) -> Self {
        Self { target, credential, issued_at, key: OnceCell::new() }
    }

    /// The key in the store.
    pub fn key(&self) -> &str {
        self.key.get_or_init(|| self.target.key())
    }

    /// The credential it is about.
    pub fn credential(&self) -> CredentialKind {
        self.credential
    }
}

/// Every entry that would revoke one of these.
pub(super) fn lookups(token: Option<&TokenIdentity>, certificate: Option<&CertificateIdentity>) -> Vec<Lookup> {
    let mut lookups = Vec::new();
    if let Some(TokenIdentity { issuer, subject, token_id, session_id, issued_at, .. }) = token {
        let mut add = |target: Target| lookups.push(Lookup::new(target, CredentialKind::Token, *issued_at));
        add(Target::Issuer { issuer: issuer.clone() });
        add(Target::Subject { issuer: issuer.clone(), subject: subject.clone() });
        if let Some(sid) = session_id {
            add(Target::Session { issuer: issuer.clone(), sid: sid.clone() });
        }
        if let Some(jti) = token_id {
            add(Target::TokenId { issuer: issuer.clone(), jti: jti.clone() });
        }
    }
    if let Some(CertificateIdentity { issuer_digest, serial, .. }) = certificate {
        let target = Target::Certificate { issuer_digest: *issuer_digest, serial: serial.clone() };
        lookups.push(Lookup::new(target, CredentialKind::Certificate, None));
    }
    lookups
}

/// Whether an entry lets the credential pass.
///
/// SECURITY: only this lets it pass: that the deployment has no list, that nothing was ever put on it, or that it was asked and has
/// nothing that counts. What was not asked or cannot be read is as if it were revoked.
pub(super) fn judge(lookup: &Lookup, known: &Revocations, now: UnixTime) -> Result<(), Denial> {
    let unavailable = |detail: &str| Err(Denial::new(Reason::SystemStoreUnavailable, detail));
    let value = match known {
        Revocations::NoStore | Revocations::Nothing => return Ok(()),
        Revocations::Unavailable(why) => return unavailable(why),
        Revocations::Known(known) => match known.get(lookup.key()) {
            None => return unavailable("the revocation list was not asked"),
            Some(None) => return Ok(()),
            Some(Some(value)) => value,
        },
    };
    let reason = match lookup.credential {
        CredentialKind::Certificate => Reason::MtlsRevoked,
        CredentialKind::Token | CredentialKind::Proof | CredentialKind::SignedUrl => Reason::JwtRevoked,
    };
    let entry = match Entry::read(value) {
        Ok(entry) => entry,
        Err(why) => return Err(Denial::new(reason, format!("the entry `{}` cannot be read: {why}", lookup.key()))),
    };
    if entry.kind == lookup.target.kind() && (entry.is_over(now) || !entry.covers(lookup.issued_at)) {
        return Ok(());
    }
    let mut detail = format!("{} revoked by decision {}", lookup.target.kind(), text::shown(&entry.decision_id));
    if let Some(why) = &entry.reason {
        detail.push_str(": ");
        detail.push_str(&text::shown(why));
    }
    Err(Denial::new(reason, detail))
}
