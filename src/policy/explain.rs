//! Why Cedar answered what it did: each policy, taken apart into its clauses, and what each of them is for one request.
//!
//! Clauses are evaluated by Cedar itself, each as the only condition of a policy, over the very entities and context of the request.
//! Never runs in a gate that serves: it costs many times what a decision does.

use cedar_policy::{Decision, Effect, Entities, EntityUid, Policy, PolicySet, Request};
use serde_json::{Value, json};

use super::index::{Answered, Scan};
use super::store::{Prepared, Question};
use super::{PolicyStore, Purpose, Verdict};
use crate::decision::UnixTime;
use crate::identity::Identity;
use crate::request::Facts;

/// Why an answer fell.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Explanation {
    /// The answer.
    pub verdict: Verdict,
    /// The context of the request, in Cedar's JSON.
    pub context: Value,
    /// The entities it was answered with, other than actions, in Cedar's JSON.
    pub entities: Vec<Value>,
    /// Every policy, in the order of their ids. Empty when the schema rules the question out, or it cannot be asked.
    pub policies: Vec<Explained>,
}

/// One policy and its clauses.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Explained {
    /// `@id`.
    pub id: String,
    /// Whether it is a `permit`, and not a `forbid`.
    pub permits: bool,
    /// Its annotations, in the order of their names.
    pub annotations: Vec<(String, String)>,
    /// As it is written in its file.
    pub text: String,
    /// What must hold for it to apply: its scope first, then its conditions in order.
    pub clauses: Vec<Clause>,
}

/// One thing that must hold for a policy to apply.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Clause {
    /// `principal`, `action`, `resource`, `when` or `unless`.
    pub part: &'static str,
    /// In Cedar's words.
    pub text: String,
    /// What it is.
    pub met: Met,
}

/// What a clause is for one request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Met {
    /// It does not stand in the way.
    Yes,
    /// It does. Of `unless`: what it excepts is the case.
    No,
    /// It cannot be evaluated, for this reason.
    Failed(String),
    /// Nothing depends on it: what stands before it in its condition decides.
    NotReached,
}

impl Clause {
    /// Whether it does not stand in the way.
    pub fn is_met(&self) -> bool {
        matches!(self.met, Met::Yes | Met::NotReached)
    }
}

impl Explanation {
    /// The permits, that which is nearest to applying first.
    pub fn nearest(&self) -> Vec<&Explained> {
        let mut permits: Vec<&Explained> = self.policies.iter().filter(|one| one.permits).collect();
        permits.sort_by_key(|one| (one.distance(), &one.id));
        permits
    }
}

impl Explained {
    /// Whether it applies.
    pub fn applies(&self) -> bool {
        self.clauses.iter().all(Clause::is_met)
    }

    /// How far it is from applying: clauses that are not met, those of the scope counted for more.
    pub fn distance(&self) -> usize {
        let weight = |clause: &Clause| match clause.part {
            "action" | "resource" => 4,
            "principal" => 2,
            _ => 1,
        };
        self.clauses.iter().filter(|clause| !clause.is_met()).map(weight).sum()
    }
}

impl PolicyStore {
    /// Asks, and explains every policy.
    pub fn explain(&self, facts: &Facts, identity: &Identity, purpose: Purpose, now: UnixTime) -> Explanation {
        self.explain_question(Question::from(facts), identity, purpose, now)
    }

    pub(super) fn explain_question(&self, question: Question<'_>, identity: &Identity, purpose: Purpose, now: UnixTime) -> Explanation {
        let verdict = self.ask(question, identity, purpose, now, Scan::Index);
        // Every policy is explained, also those that cannot match.
        let prepared = self.prepare(&self.name(question, identity, purpose), question, identity, purpose, now, Scan::Everything);
        let (mut policies, mut context, mut known) = (Vec::new(), Value::Null, Vec::new());
        if let Ok(Some(Prepared { request, entities, .. })) = prepared {
            (context, known) = shown(&request, &entities);
            policies = self.explained(Some((&request, &entities)));
        }
        Explanation { verdict, context, entities: known, policies }
    }

    /// Every policy with its clauses, none of which was asked about.
    pub fn outline(&self) -> Vec<Explained> {
        self.explained(None)
    }

    /// Asks and explains in Cedar's own terms: these entities alone, nothing that the gate knows about a request.
    pub fn explain_plain(&self, request: &Request, entities: &Entities) -> Explanation {
        let uid = |uid: Option<&EntityUid>| uid.map(ToString::to_string).unwrap_or_default();
        let mut verdict = Verdict {
            allow: false,
            determining: vec![],
            errors: vec![],
            principal: uid(request.principal()),
            action: uid(request.action()),
            resource: uid(request.resource()),
            missing_scope: vec![],
            step_up: None,
            unclear: false,
        };
        self.read(&Answered::by(&self.authorizer, &self.index.all(), request, entities), &mut verdict);
        let (context, known) = shown(request, entities);
        Explanation { verdict, context, entities: known, policies: self.explained(Some((request, entities))) }
    }

    fn explained(&self, asked: Option<(&Request, &Entities)>) -> Vec<Explained> {
        let asking = Asking { store: self, asked };
        let mut policies: Vec<Explained> = self.index.policies().map(|policy| asking.explain(policy)).collect();
        policies.sort_by(|a, b| a.id.cmp(&b.id));
        policies
    }
}

struct Asking<'a> {
    store: &'a PolicyStore,
    asked: Option<(&'a Request, &'a Entities)>,
}

impl Asking<'_> {
    fn explain(&self, policy: &Policy) -> Explained {
        let mut annotations: Vec<_> = policy.annotations().map(|(name, value)| (name.to_owned(), value.to_owned())).collect();
        annotations.sort();
        Explained {
            id: policy.id().to_string(),
            permits: policy.effect() == Effect::Permit,
            annotations,
            text: policy.to_string(),
            clauses: policy.to_json().map(|json| self.clauses(&json)).unwrap_or_default(),
        }
    }

    fn clauses(&self, policy: &Value) -> Vec<Clause> {
        let mut clauses = Vec::new();
        for part in ["principal", "action", "resource"] {
            let constraint = policy.get(part).unwrap_or(&Value::Null);
            if constraint.get("op").and_then(Value::as_str) == Some("All") {
                continue;
            }
            let alone = alone(part, constraint, &Value::Null);
            let text = alone.as_ref().and_then(scope_text).unwrap_or_else(|| part.to_owned());
            clauses.push(Clause { part, text, met: self.met(alone.as_ref()) });
        }
        for condition in policy.get("conditions").and_then(Value::as_array).into_iter().flatten() {
            let (part, operator) = match condition.get("kind").and_then(Value::as_str) {
                Some("unless") => ("unless", "||"),
                _ => ("when", "&&"),
            };
            let mut atoms = Vec::new();
            split(condition.get("body").unwrap_or(&Value::Null), operator, &mut atoms);
            let mut decided = false;
            for atom in atoms {
                let alone = alone("", &Value::Null, atom);
                let text = alone.as_ref().and_then(condition_text).unwrap_or_else(|| atom.to_string());
                let met = match (self.met(alone.as_ref()), part) {
                    // A guard before it said no: Cedar does not look at what it guards.
                    (Met::Failed(_), _) if decided => Met::NotReached,
                    (Met::Yes, "unless") => Met::No,
                    (Met::No, "unless") => Met::Yes,
                    (met, _) => met,
                };
                decided |= met == Met::No;
                clauses.push(Clause { part, text, met });
            }
        }
        clauses
    }

    /// Whether a policy with one clause applies.
    fn met(&self, policy: Option<&Policy>) -> Met {
        let Some((request, entities)) = self.asked else { return Met::NotReached };
        let Some(policy) = policy else { return Met::Failed("it cannot be evaluated by itself".to_owned()) };
        let set = match PolicySet::from_policies([policy.clone()]) {
            Ok(set) => set,
            Err(error) => return Met::Failed(error.to_string()),
        };
        let response = self.store.authorizer.is_authorized(request, &set, entities);
        if let Some(cedar_policy::AuthorizationError::PolicyEvaluationError(error)) = response.diagnostics().errors().next() {
            return Met::Failed(error.inner().to_string());
        }
        if response.decision() == Decision::Allow { Met::Yes } else { Met::No }
    }
}

/// The context, and the entities other than actions. What cannot be written is not shown; it was asked all the same.
fn shown(request: &Request, entities: &Entities) -> (Value, Vec<Value>) {
    let context = request.context().and_then(|context| context.to_json_value().ok()).map(ordered).unwrap_or_default();
    let others = entities.iter().filter(|entity| entity.uid().type_name().basename() != "Action");
    let mut known: Vec<Value> = others.filter_map(|entity| entity.to_json_value().ok()).map(ordered).collect();
    known.sort_by_key(|entity| entity.get("uid").map(Value::to_string));
    (context, known)
}

/// The same with every array in order: in Cedar's JSON they are sets, and come as they please.
fn ordered(value: Value) -> Value {
    match value {
        Value::Array(values) => {
            let mut values: Vec<Value> = values.into_iter().map(ordered).collect();
            values.sort_by_cached_key(Value::to_string);
            Value::Array(values)
        }
        Value::Object(members) => Value::Object(members.into_iter().map(|(name, value)| (name, ordered(value))).collect()),
        other => other,
    }
}

/// A `permit` with nothing but one constraint or one condition.
fn alone(part: &str, constraint: &Value, condition: &Value) -> Option<Policy> {
    let all = json!({ "op": "All" });
    let of = |name: &str| if name == part { constraint } else { &all };
    let conditions = if condition.is_null() { json!([]) } else { json!([{ "kind": "when", "body": condition }]) };
    let policy = json!({
        "effect": "permit", "principal": of("principal"), "action": of("action"), "resource": of("resource"), "conditions": conditions,
    });
    Policy::from_json(None, policy).ok()
}

/// The operands of a chain of `&&` or `||`, in order.
pub(super) fn split<'e>(expression: &'e Value, operator: &str, atoms: &mut Vec<&'e Value>) {
    let operands = expression.as_object().filter(|members| members.len() == 1).and_then(|members| members.get(operator));
    match operands.and_then(|operands| Some((operands.get("left")?, operands.get("right")?))) {
        Some((left, right)) => {
            split(left, operator, atoms);
            split(right, operator, atoms);
        }
        None => atoms.push(expression),
    }
}

/// The constraint in `permit(principal, action == …, resource)`.
fn scope_text(policy: &Policy) -> Option<String> {
    let text = flat(&policy.to_string());
    let (_, scope) = text.split_once("permit(")?;
    let (scope, _) = scope.rsplit_once(')')?;
    let scope = scope.trim().trim_end_matches(',');
    let scope = scope.strip_prefix("principal, action, ").or_else(|| scope.strip_prefix("principal, ")).unwrap_or(scope);
    let scope = scope.strip_suffix(", action, resource").or_else(|| scope.strip_suffix(", resource")).unwrap_or(scope);
    Some(scope.to_owned())
}

/// The condition in `… when { … };`.
fn condition_text(policy: &Policy) -> Option<String> {
    let text = policy.to_string();
    let (_, condition) = text.split_once("when {")?;
    let (condition, _) = condition.rsplit_once('}')?;
    let condition = flat(condition);
    let inner = condition.strip_prefix('(').and_then(|inner| inner.strip_suffix(')'));
    // Only the pair that encloses all of it.
    Some(inner.filter(|inner| balanced(inner)).unwrap_or(&condition).to_owned())
}

/// Whether parentheses close only what they open. Those in strings may make it say no, which leaves them as they are.
fn balanced(text: &str) -> bool {
    let mut depth = 0_i64;
    for byte in text.bytes() {
        match byte {
            b'(' => depth = depth.saturating_add(1),
            b')' => depth = depth.saturating_sub(1),
            b'"' => return false,
            _ => {}
        }
        if depth < 0 {
            return false;
        }
    }
    depth == 0
}

/// On one line.
fn flat(text: &str) -> String {
    text.lines().map(str::trim).filter(|line| !line.is_empty()).collect::<Vec<_>>().join(" ").trim().to_owned()
}
