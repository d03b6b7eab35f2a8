//! Which policies applied in a test, and which of their conditions were seen true and false.
//!
//! A condition counts as Cedar evaluates it: only where the policy's scope fits the request, and all that stands before it holds.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use crate::policy::{Clause, Explained, Explanation, Met, PolicyStore};

/// What was seen of all policies.
#[derive(Debug)]
pub(in crate::cli) struct Coverage {
    policies: BTreeMap<String, Seen>,
}

/// What was seen of one policy.
#[derive(Debug)]
pub(in crate::cli) struct Seen {
    pub permits: bool,
    /// How many questions it applied to.
    pub applied: u64,
    pub conditions: Vec<Condition>,
}

/// What was seen of one condition.
#[derive(Debug)]
pub(in crate::cli) struct Condition {
    /// `when` or `unless`.
    pub part: &'static str,
    /// In Cedar's words.
    pub text: String,
    /// How often it was true.
    pub yes: u64,
    /// How often it was false.
    pub no: u64,
}

impl Condition {
    pub fn both(&self) -> bool {
        self.yes > 0 && self.no > 0
    }

    /// What was never seen, in words; none when both were.
    pub fn missing(&self) -> Option<&'static str> {
        match (self.yes, self.no) {
            (0, 0) => Some("never looked at"),
            (0, _) => Some("never true"),
            (_, 0) => Some("never false"),
            _ => None,
        }
    }
}

/// How much of how much.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::cli) struct Share {
    pub seen: usize,
    pub of: usize,
}

impl Share {
    /// In thousandths, rounded down: 100 % is all of it.
    pub fn thousandths(self) -> usize {
        self.seen.saturating_mul(1000).checked_div(self.of).unwrap_or(1000)
    }

    /// `83.3 %`.
    pub fn percent(self) -> String {
        let thousandths = self.thousandths();
        format!("{}.{} %", thousandths / 10, thousandths % 10)
    }
}

/// Whether a clause is a condition, and not of the scope.
fn is_condition(clause: &Clause) -> bool {
    matches!(clause.part, "when" | "unless")
}

impl Coverage {
    /// Nothing seen yet.
    pub fn new(store: &PolicyStore) -> Self {
        let condition = |clause: Clause| Condition { part: clause.part, text: clause.text, yes: 0, no: 0 };
        let seen = |one: Explained| {
            let conditions = one.clauses.into_iter().filter(is_condition).map(condition).collect();
            (one.id, Seen { permits: one.permits, applied: 0, conditions })
        };
        Self { policies: store.outline().into_iter().map(seen).collect() }
    }

    /// Adds one answer.
    pub fn add(&mut self, explanation: &Explanation) {
        for one in &explanation.policies {
            let Some(seen) = self.policies.get_mut(&one.id) else { continue };
            // A policy about signing may stand against a link without applying to the request itself.
            let decided = explanation.verdict.determining.iter().any(|policy| policy.id == one.id);
            if one.applies() || decided {
                seen.applied = seen.applied.saturating_add(1);
            }
            let mut conditions = seen.conditions.iter_mut();
            for clause in &one.clauses {
                if is_condition(clause) {
                    let Some(condition) = conditions.next() else { break };
                    // `unless` is met when what it excepts is not the case.
                    match (&clause.met, clause.part) {
                        (Met::Yes, "when") | (Met::No, "unless") => condition.yes = condition.yes.saturating_add(1),
                        (Met::No, _) | (Met::Yes, _) => condition.no = condition.no.saturating_add(1),
                        (Met::Failed(_) | Met::NotReached, _) => {}
                    }
                }
                if clause.met != Met::Yes {
                    break;
                }
            }
        }
    }

    /// The policies in order of their ids.
    pub fn policies(&self) -> impl Iterator<Item = (&str, &Seen)> {
        self.policies.iter().map(|(id, seen)| (id.as_str(), seen))
    }

    /// Policies that applied.
    pub fn applied(&self) -> Share {
        Share { seen: self.policies.values().filter(|seen| seen.applied > 0).count(), of: self.policies.len() }
    }

    /// Conditions that were seen true and false.
    pub fn conditions(&self) -> Share {
        let all = || self.policies.values().flat_map(|seen| &seen.conditions);
        Share { seen: all().filter(|one| one.both()).count(), of: all().count() }
    }

    /// Both together.
    pub fn total(&self) -> Share {
        let (applied, conditions) = (self.applied(), self.conditions());
        Share { seen: applied.seen.saturating_add(conditions.seen), of: applied.of.saturating_add(conditions.of) }
    }

    /// For programs.
    pub fn json(&self) -> Value {
        let share = |share: Share| json!({ "seen": share.seen, "of": share.of });
        let policy = |(id, seen): (&str, &Seen)| {
            let conditions: Vec<_> =
                seen.conditions.iter().map(|one| json!({ "part": one.part, "text": one.text, "true": one.yes, "false": one.no })).collect();
            json!({ "id": id, "effect": if seen.permits { "permit" } else { "forbid" }, "applied": seen.applied, "conditions": conditions })
        };
        json!({
            "total": share(self.total()), "applied": share(self.applied()), "conditions": share(self.conditions()),
            "policies": self.policies().map(policy).collect::<Vec<_>>(),
        })
    }
}
