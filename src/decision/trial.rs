//! What policies on trial would have decided. Nothing depends on it but the record.

use super::{Decision, Reason, UnixTime, reason_of};
use crate::bundle::Gate;
use crate::policy::{Purpose, Verdict};
use crate::request::Facts;

/// The answer of policies on trial.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Trial {
    /// The reason: [`Reason::PolicyPermit`] when they would have allowed it.
    pub reason: Reason,
    /// What Cedar said.
    pub verdict: Verdict,
}

/// Asks the policies on trial what the enforced ones were asked. None where there are none, or where none were asked.
pub fn on_trial(gate: &Gate, facts: &Facts, decision: &Decision, purpose: Purpose, now: UnixTime) -> Option<Trial> {
    let shadow = gate.shadow()?;
    decision.verdict.as_ref()?;
    let verdict = shadow.authorize(facts, &decision.identity, purpose, now);
    Some(Trial { reason: reason_of(&verdict), verdict })
}
