//! The decision: what the gate concludes about one request, and the proof that it may go on.
//!
//! [`decide`] is pure: no clock, no I/O, no globals, no randomness. It is made of two steps, [`identify`] and
//! [`authorize`], so that a shell can take the time between them; there is no other way to a [`Permit`].

mod permit;
mod reason;

use std::fmt;

use crate::bundle::Gate;
use crate::identity::Identity;
use crate::policy::Verdict;
use crate::request::{Evidence, Facts};

pub use permit::Permit;
pub use reason::Reason;

/// A point in time: seconds since 1970-01-01T00:00:00Z, UTC, without leap seconds (RFC 7519 `NumericDate`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct UnixTime(pub i64);

/// Earliest time the gate believes (2020-01-01T00:00:00Z). A clock before it was never set, and would make expired tokens valid.
const EARLIEST: UnixTime = UnixTime(1_577_836_800);
/// Latest time the gate believes (year 9999), the end of what RFC 3339 can write.
const LATEST: UnixTime = UnixTime(253_402_300_799);

/// Why a request ends at the gate.
///
/// `reason` is stable and may be shown in part to the caller ([`Reason::public`]); `detail` is for the record only.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Denial {
    /// The stable reason.
    pub reason: Reason,
    /// What exactly was wrong, for the record. Never holds a token, a key or a signature.
    pub detail: String,
}

impl Denial {
    /// A denial for `reason`, with a sentence for the record.
    pub fn new(reason: Reason, detail: impl Into<String>) -> Self {
        Self { reason, detail: detail.into() }
    }
}

impl From<Reason> for Denial {
    fn from(reason: Reason) -> Self {
        Self { reason, detail: String::new() }
    }
}

impl fmt::Display for Denial {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.detail.is_empty() { f.write_str(self.reason.code()) } else { write!(f, "{}: {}", self.reason.code(), self.detail) }
    }
}

/// The result of the first step: who is asking, or why the evidence was refused.
///
/// Only [`identify`] makes one, so [`authorize`] cannot be called with an identity nobody verified.
#[derive(Debug)]
pub struct Identified(Result<Identity, Denial>);

/// What the gate concluded about one request.
///
/// Exhaustive on purpose: who handles a decision must think of every field.
#[derive(Debug)]
pub struct Decision {
    /// Who asked. [`Identity::Anonymous`] when there was no credential, and when one was refused.
    pub identity: Identity,
    /// What Cedar said; `None` when it was never asked.
    pub verdict: Option<Verdict>,
    /// Permit or denial.
    pub outcome: Result<Permit, Denial>,
    /// The status of a denial's response. Meaningless for a permit.
    pub status: u16,
}

impl Decision {
    /// A decision that never reached identity or policy: a malformed request, a fault.
    pub fn denied(denial: Denial) -> Self {
        Self { status: denial.reason.status(), identity: Identity::Anonymous, verdict: None, outcome: Err(denial) }
    }

    /// The reason of this decision: [`Reason::PolicyPermit`] for a permit.
    pub fn reason(&self) -> Reason {
        match &self.outcome {
            Ok(_) => Reason::PolicyPermit,
            Err(denial) => denial.reason,
        }
    }
}

/// Decides one request. The same inputs always give the same decision.
pub fn decide(gate: &Gate, facts: &Facts, evidence: &Evidence, now: UnixTime) -> Decision {
    authorize(gate, facts, identify(gate, evidence, now), now)
}

/// The first step of [`decide`]: evidence to identity.
pub fn identify(gate: &Gate, evidence: &Evidence, now: UnixTime) -> Identified {
    if now < EARLIEST || now > LATEST {
        return Identified(Err(Denial::new(Reason::SystemClock, "the clock is outside 2020 to 9999")));
    }
    Identified(gate.issuers().identify(evidence, now))
}

/// The second step of [`decide`]: identity and facts to a decision.
pub fn authorize(gate: &Gate, facts: &Facts, identified: Identified, now: UnixTime) -> Decision {
    let identity = match identified.0 {
        Ok(identity) => identity,
        Err(denial) => return Decision::denied(denial),
    };
    let verdict = gate.policy().authorize(facts, &identity, now);
    let reason = reason_of(&verdict);
    let (outcome, status) = match reason {
        Reason::PolicyPermit => (Ok(Permit::new(facts, &verdict)), 200),
        // Without any credential the answer is "say who you are", whatever the reason; the record keeps the reason.
        reason => {
            let status = if matches!(identity, Identity::Anonymous) { 401 } else { reason.status() };
            (Err(Denial::new(reason, verdict.errors.join("; "))), status)
        }
    };
    Decision { identity, verdict: Some(verdict), outcome, status }
}

/// The reason a verdict stands for.
///
/// SECURITY: an error denies even where Cedar allowed. Cedar skips a policy whose evaluation fails, so a `forbid` that
/// errors forbids nothing; here it forbids everything.
fn reason_of(verdict: &Verdict) -> Reason {
    if !verdict.errors.is_empty() {
        return Reason::PolicyError;
    }
    if verdict.allow {
        return Reason::PolicyPermit;
    }
    if !verdict.determining.is_empty() {
        return Reason::PolicyForbid;
    }
    if !verdict.missing_scope.is_empty() {
        return Reason::PolicyInsufficientScope;
    }
    Reason::PolicyNoPermit
}
