//! What the gate asks of callers' credentials, as challenges and metadata tell it.

use crate::bundle::Gate;
use crate::decision::UnixTime;
use crate::identity::{Deployment, dpop_nonce};

/// What a caller has to know to get a token this gate takes.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Asked {
    /// The `iss` of issuers that a client can find by it (RFC 8414, section 2: an https URL). Sorted.
    pub(super) authorization_servers: Vec<String>,
    /// JOSE algorithms of DPoP proofs.
    pub(super) proof_algorithms: Vec<String>,
    /// Whether some issuer's tokens must be bound to a key.
    pub(super) some_dpop: bool,
    /// Whether the tokens of every issuer must be.
    pub(super) every_dpop: bool,
    /// Whether tokens can be bound to client certificates, or must be.
    pub(super) certificates: bool,
}

impl Asked {
    pub(super) fn of(gate: &Gate) -> Self {
        let issuers = gate.issuers();
        Self {
            authorization_servers: issuers.identifiers().filter(|iss| iss.starts_with("https://")).map(str::to_owned).collect(),
            proof_algorithms: issuers.dpop().algorithms().map(str::to_owned).collect(),
            some_dpop: issuers.any_requires_dpop(),
            every_dpop: issuers.all_require_dpop(),
            certificates: gate.mtls().is_some() || issuers.any_requires_certificate(),
        }
    }
}

/// A nonce for the next proof; `None` where none is asked for.
pub(super) fn nonce(gate: &Gate, deployment: &Deployment, now: UnixTime) -> Option<String> {
    dpop_nonce(gate.issuers().dpop(), deployment, now)
}
