//! The decision: what the gate concludes about one request, and the proof that it may go on.
//!
//! [`decide`] is pure: no clock, no I/O, no globals, no randomness. It is made of three steps, [`verify`], [`settle`] and
//! [`authorize`], so that a shell can find out between them what only it can find out, and take the time; there is no
//! other way to a [`Permit`].

mod observed;
mod permit;
mod reason;
mod replay;
#[cfg(test)]
mod replay_tests;
mod signing;
mod trial;

use std::fmt;

use crate::bundle::Gate;
use crate::identity::{self, Answers, Credential, Deployment, Identity, Presented, Supply, Verified};
use crate::limits;
use crate::policy::{Purpose, Scan, Verdict};
use crate::request::{Evidence, Facts};

pub use observed::{Mode, Observed, Passage};
pub use permit::Permit;
pub use reason::Reason;
pub use replay::{Answer, Flip, Replayed, Replayer};
pub use signing::{SigningDecision, SigningDecisions, SigningPermit, authorize_signing};
pub use trial::{Trial, on_trial};

/// A point in time: seconds since 1970-01-01T00:00:00Z, UTC, without leap seconds (RFC 7519 `NumericDate`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct UnixTime(pub i64);

/// Earliest time the gate believes (2019-01-01T00:00:00Z). A clock before it was never set, and would make expired tokens valid.
const EARLIEST: UnixTime = UnixTime(1_546_300_800);
/// Latest time the gate believes (year 9999), the end of what RFC 3339 can write.
const LATEST: UnixTime = UnixTime(limits::LATEST_SECONDS);

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

/// What the gate knows about one request beside what is sealed in and what the request itself says.
#[derive(Debug, Clone, Copy)]
pub struct Knowledge<'a> {
    /// What the deployment says.
    pub deployment: &'a Deployment,
    /// Fetched keys of the token's issuer.
    pub supply: Supply<'a>,
    /// What was asked about the verified credentials.
    pub answers: &'a Answers,
}

/// The result of the second step: who is asking, or why the evidence was refused, and what became of each credential.
///
/// Only [`settle`] makes one, so [`authorize`] cannot be called with an identity nobody verified.
#[derive(Debug)]
pub struct Identified(Result<Identity, Denial>, Vec<Credential>);

impl Identified {
    /// The same, unless the evidence was refused: then the decision that says so.
    ///
    /// # Errors
    /// The denial of the whole request.
    pub fn refused(self) -> Result<Self, Box<Decision>> {
        match self {
            Self(Err(denial), credentials) => Err(Box::new(Decision { credentials, ..Decision::denied(denial) })),
            Self(Ok(identity), credentials) => Ok(Self(Ok(identity), credentials)),
        }
    }

    /// The decision that ends here, before Cedar was asked.
    pub fn ended(self, denial: Denial) -> Decision {
        let Self(identity, credentials) = self;
        Decision { identity: identity.unwrap_or(Identity::Anonymous), credentials, ..Decision::denied(denial) }
    }
}

/// What the gate concluded about one request.
///
/// Exhaustive on purpose: who handles a decision must think of every field.
#[derive(Debug)]
pub struct Decision {
    /// Who asked. [`Identity::Anonymous`] when there was no credential, and when one was refused.
    pub identity: Identity,
    /// What became of each credential the request carried.
    pub credentials: Vec<Credential>,
    /// What Cedar said; `None` when it was never asked.
    pub verdict: Option<Verdict>,
    /// Permit or denial.
    pub outcome: Result<Permit, Denial>,
    /// The status of a denial's response. Meaningless for a permit.
    pub status: u16,
    /// Whether it binds: what policies answer does not where the gate only observes. For the record; what goes on is said by the
    /// outcome and by `observed`.
    pub enforced: bool,
    /// Of a denial that does not bind: the right to go on all the same.
    pub observed: Option<Observed>,
}

impl Decision {
    /// A decision that never reached identity or policy: a malformed request, a fault.
    pub fn denied(denial: Denial) -> Self {
        Self {
            status: denial.reason.status(),
            identity: Identity::Anonymous,
            credentials: Vec::new(),
            verdict: None,
            outcome: Err(denial),
            enforced: true,
            observed: None,
        }
    }

    /// The reason of this decision: [`Reason::PolicyPermit`] for a permit.
    pub fn reason(&self) -> Reason {
        match &self.outcome {
            Ok(_) => Reason::PolicyPermit,
            Err(denial) => denial.reason,
        }
    }
}

/// Decides one request, for a gate that enforces. The same inputs always give the same decision.
pub fn decide(gate: &Gate, facts: &Facts, evidence: &Evidence, knowledge: Knowledge<'_>, now: UnixTime) -> Decision {
    let Knowledge { deployment, supply, answers } = knowledge;
    let verified = verify(gate, facts, &Presented::read(evidence), deployment, supply, now);
    authorize(gate, facts, settle(verified, answers, now), Purpose::Request, now, Mode::Enforce, Scan::Index)
}

/// The first step of [`decide`]: what was presented, verified.
pub fn verify(
    gate: &Gate,
    facts: &Facts,
    presented: &Presented<'_>,
    deployment: &Deployment,
    supply: Supply<'_>,
    now: UnixTime,
) -> Result<Verified, Denial> {
    if now < EARLIEST || now > LATEST {
        return Err(Denial::new(Reason::SystemClock, "the clock is outside 2019 to 9999"));
    }
    Ok(identity::verify(gate, facts, presented, deployment, supply, now))
}

/// The second step of [`decide`]: what was verified and what was found out about it, to an identity.
pub fn settle(verified: Result<Verified, Denial>, answers: &Answers, now: UnixTime) -> Identified {
    match verified {
        Ok(verified) => {
            let (identity, credentials) = verified.settle(answers, now);
            Identified(identity, credentials)
        }
        Err(denial) => Identified(Err(denial), Vec::new()),
    }
}

/// The third step of [`decide`]: identity and facts to a decision. In each mode the same is decided, whatever `scan` says; what differs is
/// whether it binds.
pub fn authorize(gate: &Gate, facts: &Facts, identified: Identified, purpose: Purpose, now: UnixTime, mode: Mode, scan: Scan) -> Decision {
    let Identified(identity, credentials) = identified;
    let identity = match identity {
        Ok(identity) => identity,
        Err(denial) => return Decision { credentials, ..Decision::denied(denial) },
    };
    let verdict = gate.policy().authorize_by(scan, facts, &identity, purpose, now);
    let reason = reason_of(&verdict);
    let enforced = mode.binds(purpose, &verdict);
    let (outcome, status, observed) = match reason {
        Reason::PolicyPermit => (Ok(Permit::new(facts, &verdict)), 200, None),
        reason => {
            let (denial, status) = denial_of(reason, &verdict, &identity);
            (Err(denial), status, (!enforced).then(|| Observed::new(facts, &verdict, reason)))
        }
    };
    Decision { identity, credentials, verdict: Some(verdict), outcome, status, enforced, observed }
}

/// What a verdict comes to, for who only asks: its reason, and the status of the answer. Nothing is let through by it.
pub fn comes_to(verdict: &Verdict, identity: &Identity) -> (Reason, u16) {
    match reason_of(verdict) {
        Reason::PolicyPermit => (Reason::PolicyPermit, 200),
        reason => (reason, status_of(reason, identity)),
    }
}

/// The denial of a verdict for this reason, and its status.
fn denial_of(reason: Reason, verdict: &Verdict, identity: &Identity) -> (Denial, u16) {
    (Denial::new(reason, verdict.errors.join("; ")), status_of(reason, identity))
}

/// The status of a denial. Without any credential the answer is "say who you are", whatever the reason; the record keeps the reason.
fn status_of(reason: Reason, identity: &Identity) -> u16 {
    if matches!(identity, Identity::Anonymous) { 401 } else { reason.status() }
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
        return if verdict.step_up.is_some() { Reason::PolicyStepUp } else { Reason::PolicyForbid };
    }
    if !verdict.missing_scope.is_empty() {
        return Reason::PolicyInsufficientScope;
    }
    Reason::PolicyNoPermit
}
