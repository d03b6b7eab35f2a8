//! A case, asked; and what is otherwise than expected, with the clauses that made it so.

use super::cases::{Asked, Case, Expected};
use super::coverage::Coverage;
use crate::bundle::Gate;
use crate::decision::comes_to;
use crate::policy::{Clause, Explained, Explanation};

/// Most policies whose clauses are shown of one failure.
const NEAREST: usize = 3;

/// What was answered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::cli) struct Got {
    pub allow: bool,
    /// The policies that decided it, sorted.
    pub by: Vec<String>,
    pub reason: &'static str,
    pub status: u16,
    /// Why policies failed, or the request could not be read.
    pub errors: Vec<String>,
}

/// A case and its answer.
#[derive(Debug)]
pub(in crate::cli) struct Ran {
    pub case: Case,
    pub got: Got,
    /// What is otherwise than expected. Empty when the test passes.
    pub differences: Vec<String>,
    /// Of a failure: the policies that say why.
    pub nearest: Vec<Near>,
}

/// A policy that says why an answer fell as it did.
#[derive(Debug)]
pub(in crate::cli) struct Near {
    pub id: String,
    pub permits: bool,
    pub applies: bool,
    /// What stands in its way; of one that applies, all that holds.
    pub clauses: Vec<Clause>,
}

impl Ran {
    pub fn passed(&self) -> bool {
        self.differences.is_empty()
    }
}

/// Asks a case.
pub(in crate::cli) fn run(gate: &Gate, case: Case, coverage: Option<&mut Coverage>) -> Ran {
    let (got, explanation) = ask(gate, &case.asked, coverage.is_some());
    let differences = differences(&case.expected, &got);
    let mut nearest = vec![];
    match explanation.or_else(|| if differences.is_empty() { None } else { ask(gate, &case.asked, true).1 }) {
        None => {}
        Some(explanation) => {
            if !differences.is_empty() {
                nearest = near(&case.expected, &explanation);
            }
            if let Some(coverage) = coverage {
                coverage.add(&explanation);
            }
        }
    }
    Ran { case, got, differences, nearest }
}

/// The answer, and why when that is wanted: telling it costs many times the answer.
fn ask(gate: &Gate, asked: &Asked, explain: bool) -> (Got, Option<Explanation>) {
    let (verdict, outcome, explanation) = match asked {
        Asked::Gate { caller, question } => {
            let facts = match &question.facts {
                Ok(facts) => facts,
                Err(denial) => {
                    let (reason, status) = (denial.reason.code(), denial.reason.status());
                    return (Got { allow: false, by: vec![], reason, status, errors: vec![denial.to_string()] }, None);
                }
            };
            let identity = caller.identity(question.time);
            let (purpose, time) = (question.purpose, question.time);
            let explanation = explain.then(|| gate.policy().explain(facts, &identity, purpose, time));
            let verdict = explanation
                .as_ref()
                .map_or_else(|| gate.policy().authorize(facts, &identity, purpose, time), |explanation| explanation.verdict.clone());
            let (reason, status) = comes_to(&verdict, &identity);
            let allow = reason == crate::decision::Reason::PolicyPermit;
            (verdict, (allow, reason.code(), status), explanation)
        }
        // Cedar alone: where a policy fails, the others still count.
        Asked::Cedar { request, entities } => {
            let explanation = gate.policy().explain_plain(request, entities);
            let allow = explanation.verdict.allow;
            (explanation.verdict.clone(), (allow, if allow { "allow" } else { "deny" }, 0), Some(explanation))
        }
    };
    let (allow, reason, status) = outcome;
    let by = verdict.determining.iter().map(|policy| policy.id.clone()).collect();
    (Got { allow, by, reason, status, errors: verdict.errors }, explanation)
}

/// A case, asked and explained.
#[derive(Debug)]
pub(in crate::cli) struct Answered {
    pub case: Case,
    pub got: Got,
    /// What is otherwise than expected. Empty when the test passes.
    pub differences: Vec<String>,
    /// None where no policy is asked, because the gate refuses the request before.
    pub explanation: Option<Explanation>,
}

/// Asks a case, and explains the answer whether or not it is what was expected.
pub(in crate::cli) fn answer(gate: &Gate, case: Case) -> Answered {
    let (got, explanation) = ask(gate, &case.asked, true);
    let differences = differences(&case.expected, &got);
    Answered { case, got, differences, explanation }
}

fn differences(expected: &Expected, got: &Got) -> Vec<String> {
    let mut differences = vec![];
    let word = |allow| if allow { "allow" } else { "deny" };
    if expected.allow != got.allow {
        differences.push(format!("{} instead of {}", word(got.allow), word(expected.allow)));
    }
    let without = |from: &[String], those: &[String]| from.iter().filter(|id| !those.contains(id)).cloned().collect::<Vec<_>>().join(", ");
    if let Some(by) = &expected.by {
        let (missing, more) = (without(by, &got.by), without(&got.by, by));
        if !missing.is_empty() {
            differences.push(format!("not decided by {missing}"));
        }
        if !more.is_empty() && !expected.among_others {
            differences.push(format!("decided by {more} too"));
        }
    }
    if let Some(reason) = expected.reason.filter(|reason| *reason != got.reason) {
        differences.push(format!("reason {} instead of {reason}", got.reason));
    }
    if let Some(status) = expected.status.filter(|status| *status != got.status) {
        differences.push(format!("status {} instead of {status}", got.status));
    }
    if let Some(errors) = expected.errors.filter(|errors| *errors != got.errors.len()) {
        differences.push(format!("{} instead of {errors}", super::super::diagnostic::count(got.errors.len(), "policy") + " failing"));
    }
    differences
}

/// The policies that say why: those that were expected and do not apply, those that decided, and where none did, the permits that came
/// nearest.
fn near(expected: &Expected, explanation: &Explanation) -> Vec<Near> {
    let Explanation { verdict, policies, .. } = explanation;
    let decided = |one: &Explained| verdict.determining.iter().any(|policy| policy.id == one.id);
    let missing = |one: &Explained| expected.by.iter().flatten().any(|id| *id == one.id) && !decided(one);
    let mut found: Vec<&Explained> = policies.iter().filter(|one| missing(one)).collect();
    found.extend(policies.iter().filter(|one| decided(one)));
    if found.is_empty() {
        found = explanation.nearest();
        found.truncate(NEAREST);
    }
    let told = |one: &Explained| {
        let applies = one.applies();
        let clauses = one.clauses.iter().filter(|clause| applies || !clause.is_met()).cloned().collect();
        Near { id: one.id.clone(), permits: one.permits, applies, clauses }
    };
    found.into_iter().map(told).collect()
}
