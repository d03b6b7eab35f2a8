//! Claims to questions, and answers to verdicts.
//!
//! `always-denies C`: the policies together with `forbid unless { P && C }` allow nothing, where P is what the gate promises of every request of the
//! kind. `always-allows C`: what `permit when { P && C }` allows, the policies allow, and none of them fails there. `never-errors`: no policy fails
//! where P holds. A claim about what no request can be is not proved: it is a mistake.
//!
//! The gate denies when a policy fails, where Cedar goes on without it. What Cedar denies the gate denies; what Cedar allows the gate allows when
//! no policy fails.

use std::collections::BTreeSet;

use cedar_policy::{Entities, Policy, PolicyId, PolicySet, Request, RequestEnv};
use serde_json::{Value, json};

use super::claims::{self, Claim, Proof};
use super::counterexample::{Counterexample, Shower};
use super::solver::{self, Answer, Question, Solver};
use crate::policy::{PolicyStore, shown};

/// Most counterexamples of one proof.
const EXAMPLES: usize = 3;
/// Most reasons why something is not proved.
const REASONS: usize = 5;

/// Operators of Cedar's JSON form that give a value for all operands of the right types. Addresses, decimals and times of strictly validated
/// policies are written out and were read when they were validated.
const NEVER_FAIL: [&str; 31] = [
    "==",
    "!=",
    "in",
    "<",
    "<=",
    ">",
    ">=",
    "&&",
    "||",
    "!",
    "contains",
    "containsAll",
    "containsAny",
    "isEmpty",
    "if-then-else",
    "Set",
    "hasTag",
    "ip",
    "isIpv4",
    "isIpv6",
    "isLoopback",
    "isMulticast",
    "isInRange",
    "decimal",
    "lessThan",
    "lessThanOrEqual",
    "greaterThan",
    "greaterThanOrEqual",
    "datetime",
    "duration",
    "toTime",
];
/// The names of operands.
const OPERANDS: [&str; 6] = ["left", "right", "arg", "if", "then", "else"];

/// Policies that something is to be proved about.
#[derive(Debug, Clone)]
pub(in crate::cli) struct Subject<'g> {
    pub(in crate::cli) store: &'g PolicyStore,
    kinds: Vec<RequestEnv>,
    /// Attributes that entities of some type always have.
    required: BTreeSet<String>,
}

/// What became of a claim.
#[derive(Debug)]
pub(in crate::cli) enum Verdict {
    /// It holds for every request, of so many kinds.
    Proved(usize),
    /// It does not.
    Refuted(Vec<Counterexample>),
    /// Nobody knows, and why.
    NotProved(Vec<String>),
}

impl<'g> Subject<'g> {
    /// The policies of a store, whose schema is this text.
    ///
    /// # Errors
    /// When the schema cannot be read.
    pub(in crate::cli) fn new(store: &'g PolicyStore, schema: &str) -> miette::Result<Self> {
        let required = crate::policy::required_attributes(schema).map_err(|error| miette::miette!("the schema cannot be read: {error}"))?;
        Ok(Self { store, kinds: store.asked(), required })
    }

    pub(in crate::cli) fn kinds(&self) -> &[RequestEnv] {
        &self.kinds
    }

    /// What the gate promises of each request of a kind, as one condition.
    pub(in crate::cli) fn promises(&self, kind: &RequestEnv, about: &PolicySet) -> BTreeSet<String> {
        let mut named = PolicyStore::named_in(self.store.policy_set());
        named.extend(PolicyStore::named_in(about));
        self.store.promises(kind, &named)
    }

    /// Why nothing can be proved about these policies.
    pub(in crate::cli) fn unprovable(&self, set: &PolicySet) -> Vec<String> {
        let why = |policy: &Policy| Some(format!("{} {}", policy.id(), PolicyStore::unprovable(policy, &self.required)?));
        set.policies().filter_map(why).collect()
    }

    /// Proves or refutes a claim.
    ///
    /// # Errors
    /// What of it Cedar does not take.
    pub(super) fn prove(&self, proof: &Proof, solver: &Solver) -> Result<Verdict, String> {
        match &proof.claim {
            Claim::NeverErrors(ids) => self.never_errors(ids, "true", &self.kinds.iter().collect::<Vec<_>>(), solver),
            Claim::AlwaysDenies { condition, except } => self.always_denies(condition, except, solver),
            Claim::AlwaysAllows { condition } => self.always_allows(condition, solver),
        }
    }

    fn never_errors(&self, ids: &[String], condition: &str, kinds: &[&RequestEnv], solver: &Solver) -> Result<Verdict, String> {
        let (mut questions, mut unprovable) = (vec![], BTreeSet::new());
        let about = alone(claims::when(condition)?)?;
        for kind in kinds {
            let guard = conditions(&all(&self.promises(kind, &about), condition))?;
            for policy in self.store.met_by(kind)?.policies().filter(|policy| ids.is_empty() || ids.contains(&policy.id().to_string())) {
                unprovable.extend(PolicyStore::unprovable(policy, &self.required).map(|why| format!("{} {why}", policy.id())));
                // What cannot fail anyway is asked about without the promises: that claims more, and is answered sooner.
                let policy = if can_fail(policy) { guarded(policy, &guard)? } else { policy.clone() };
                let claim = solver::Claim::NeverErrors(Box::new(policy));
                questions.push(Question { kind, schema: self.store.schema(), claim });
            }
        }
        if !unprovable.is_empty() {
            return Ok(Verdict::NotProved(unprovable.into_iter().collect()));
        }
        Ok(self.verdict(&questions, solver.answers(&questions), kinds.len()))
    }

    fn always_denies(&self, condition: &str, except: &[String], solver: &Solver) -> Result<Verdict, String> {
        let (about, kinds) = match self.possible(condition, solver)? {
            Ok(possible) => possible,
            Err(verdict) => return Ok(verdict),
        };
        let mut questions = vec![];
        for kind in &kinds {
            let met = self.store.met_by(kind)?;
            let rest = met.policies().filter(|policy| !except.contains(&policy.id().to_string())).cloned();
            let only = claims::unless(&all(&self.promises(kind, &about), condition))?;
            let set = PolicySet::from_policies(rest.chain([only])).map_err(|error| error.to_string())?;
            questions.push(Question { kind, schema: self.store.schema(), claim: solver::Claim::AlwaysDenies(set) });
        }
        Ok(self.verdict(&questions, solver.answers(&questions), kinds.len()))
    }

    fn always_allows(&self, condition: &str, solver: &Solver) -> Result<Verdict, String> {
        let (about, kinds) = match self.possible(condition, solver)? {
            Ok(possible) => possible,
            Err(verdict) => return Ok(verdict),
        };
        let mut questions = vec![];
        for kind in &kinds {
            let holds = alone(claims::when(&all(&self.promises(kind, &about), condition))?)?;
            let claim = solver::Claim::Implies(holds, self.store.met_by(kind)?);
            questions.push(Question { kind, schema: self.store.schema(), claim });
        }
        match self.verdict(&questions, solver.answers(&questions), kinds.len()) {
            // And no policy fails there, or the gate denies.
            Verdict::Proved(_) => self.never_errors(&[], condition, &kinds, solver),
            other => Ok(other),
        }
    }

    fn unprovable_with(&self, about: &PolicySet) -> Vec<String> {
        let condition =
            about.policies().filter_map(|policy| Some(format!("the condition {}", PolicyStore::unprovable(policy, &self.required)?)));
        self.unprovable(self.store.policy_set()).into_iter().chain(condition).collect()
    }

    /// The condition as a policy, and the kinds of request for which it can hold, those of which nobody knows included; or why nothing can
    /// be proved with it.
    fn possible(&self, condition: &str, solver: &Solver) -> Result<Result<(PolicySet, Vec<&RequestEnv>), Verdict>, String> {
        let about = alone(claims::when(condition)?)?;
        let unprovable = self.unprovable_with(&about);
        if !unprovable.is_empty() {
            return Ok(Err(Verdict::NotProved(unprovable)));
        }
        let mut questions = vec![];
        for kind in &self.kinds {
            let set = alone(claims::when(&all(&self.promises(kind, &about), condition))?)?;
            questions.push(Question { kind, schema: self.store.schema(), claim: solver::Claim::AlwaysDenies(set) });
        }
        let answers = solver.answers(&questions);
        let possible: Vec<&RequestEnv> =
            self.kinds.iter().zip(&answers).filter(|(_, answer)| !matches!(answer, Answer::Holds)).map(|(kind, _)| kind).collect();
        if possible.is_empty() {
            return Ok(Err(Verdict::NotProved(vec!["no request can meet the condition: a proof of it would mean nothing".to_owned()])));
        }
        Ok(Ok((about, possible)))
    }

    fn verdict(&self, questions: &[Question<'_>], answers: Vec<Answer>, kinds: usize) -> Verdict {
        let (mut examples, mut unknown) = (vec![], BTreeSet::new());
        for (question, answer) in questions.iter().zip(answers) {
            match answer {
                Answer::Holds => {}
                Answer::Fails(env) => {
                    if examples.len() < EXAMPLES {
                        examples.push(self.example(question, &env.request, &env.entities));
                    }
                }
                Answer::Unknown(why) => {
                    unknown.insert(format!("{}: {why}", shown(question.kind)));
                }
            }
        }
        match (examples.is_empty(), unknown.is_empty()) {
            (false, _) => Verdict::Refuted(examples),
            (true, false) => Verdict::NotProved(few(unknown)),
            (true, true) => Verdict::Proved(kinds),
        }
    }

    fn example(&self, question: &Question<'_>, request: &Request, entities: &Entities) -> Counterexample {
        let claim = &question.claim;
        let set = claim.policies();
        let fails = |request: &Request, entities: &Entities| claim.fails(request, entities);
        Shower { store: self.store, kind: question.kind, set: &set, fails: &fails }.show(request, entities)
    }
}

/// A set of one policy.
fn alone(policy: Policy) -> Result<PolicySet, String> {
    PolicySet::from_policies([policy]).map_err(|error| error.to_string())
}

/// The first reasons, and how many more there are.
pub(in crate::cli) fn few(reasons: BTreeSet<String>) -> Vec<String> {
    let more = reasons.len().saturating_sub(REASONS);
    let mut reasons: Vec<String> = reasons.into_iter().take(REASONS).collect();
    if more > 0 {
        reasons.push(format!("and for {more} more kinds of request"));
    }
    reasons
}

/// Promises and a condition as one condition.
pub(in crate::cli) fn all(promises: &BTreeSet<String>, condition: &str) -> String {
    let promises: Vec<&str> = promises.iter().map(String::as_str).collect();
    // The line's end is for conditions that end in a comment.
    format!("{} && ({condition}\n)", promises.join(" && "))
}

/// Whether a policy that was validated strictly can fail at all: only arithmetic can, and what is not known here.
pub(super) fn can_fail(policy: &Policy) -> bool {
    let Ok(json) = policy.to_json() else { return true };
    json.get("conditions").and_then(Value::as_array).into_iter().flatten().any(|condition| {
        let body = condition.get("body").unwrap_or(&Value::Null);
        fails(body)
    })
}

fn fails(expression: &Value) -> bool {
    match expression {
        Value::Object(members) => members.iter().any(|(operator, operand)| match operator.as_str() {
            "Value" | "Var" => false,
            // The members of a record may have any name.
            "Record" => operand.as_object().into_iter().flatten().any(|(_, value)| fails(value)),
            "like" => operand.get("left").is_none_or(fails),
            "is" => operand.get("left").is_none_or(fails) || operand.get("in").is_some_and(fails),
            "." | "has" => operand.get("left").is_none_or(fails),
            operator if NEVER_FAIL.contains(&operator) => fails_within(operand),
            _ => true,
        }),
        _ => false,
    }
}

/// The operands of an operator, whatever their names.
fn fails_within(operand: &Value) -> bool {
    match operand {
        Value::Array(items) => items.iter().any(fails),
        Value::Object(members) if members.keys().all(|name| OPERANDS.contains(&name.as_str())) => members.values().any(fails),
        other => fails(other),
    }
}

/// The conditions of a policy with this `when`, in Cedar's JSON.
pub(super) fn conditions(condition: &str) -> Result<Vec<Value>, String> {
    let json = claims::when(condition)?.to_json().map_err(|error| error.to_string())?;
    Ok(json.get("conditions").and_then(Value::as_array).cloned().unwrap_or_default())
}

/// The policy with conditions before its own: it fails exactly where they hold and it fails.
pub(super) fn guarded(policy: &Policy, guard: &[Value]) -> Result<Policy, String> {
    let mut json = policy.to_json().map_err(|error| error.to_string())?;
    if let Some(members) = json.as_object_mut() {
        let own = members.get("conditions").and_then(Value::as_array).cloned().unwrap_or_default();
        members.insert("conditions".to_owned(), json!(guard.iter().cloned().chain(own).collect::<Vec<_>>()));
    }
    Policy::from_json(Some(PolicyId::new(policy.id())), json).map_err(|error| error.to_string())
}
