//! Policies that came, went or say something else, by their `@id`.

use std::collections::BTreeMap;

use cedar_policy::PolicyId;
use serde_json::{Value, json};

use crate::policy::{Explained, PolicyStore};

/// Members of a policy in Cedar's JSON that say what it does. How it is written, and what its annotations say, is not among them.
const MEANING: [&str; 5] = ["effect", "principal", "action", "resource", "conditions"];

/// What became of the policies.
#[derive(Debug, Default)]
pub(super) struct Policies {
    pub(super) added: Vec<One>,
    pub(super) removed: Vec<One>,
    pub(super) changed: Vec<Changed>,
    /// How many say what they said.
    pub(super) same: usize,
}

/// One policy, in short.
#[derive(Debug)]
pub(super) struct One {
    pub(super) id: String,
    pub(super) permits: bool,
    pub(super) reason: Option<String>,
    /// What must hold for it to apply.
    pub(super) clauses: Vec<String>,
}

/// A policy that says something else.
#[derive(Debug)]
pub(super) struct Changed {
    pub(super) one: One,
    /// A permit became a forbid, or the other way round.
    pub(super) turned: bool,
    /// Clauses that only the old one, and that only the new one has.
    pub(super) lost: Vec<String>,
    pub(super) gained: Vec<String>,
    /// Annotations by name, with what they were and are.
    pub(super) annotations: Vec<(String, Option<String>, Option<String>)>,
}

impl Policies {
    /// Compares two sets.
    pub(super) fn between(old: &PolicyStore, new: &PolicyStore) -> Self {
        let before = outline(old);
        let mut now = outline(new);
        let mut policies = Self::default();
        for (id, (was, meant)) in before {
            match now.remove(&id) {
                None => policies.removed.push(One::of(&was)),
                Some((is, means)) => match changed(&was, &is, meant == means) {
                    Some(changed) => policies.changed.push(changed),
                    None => policies.same = policies.same.saturating_add(1),
                },
            }
        }
        policies.added = now.into_values().map(|(is, _)| One::of(&is)).collect();
        policies
    }

    pub(super) fn is_same(&self) -> bool {
        let Self { added, removed, changed, same: _ } = self;
        added.is_empty() && removed.is_empty() && changed.is_empty()
    }

    pub(super) fn json(&self) -> Value {
        let Self { added, removed, changed, same } = self;
        let changed = changed.iter().map(|Changed { one, turned, lost, gained, annotations }| {
            let annotations = annotations.iter().map(|(name, old, new)| json!({ "name": name, "old": old, "new": new }));
            let mut json = one.json();
            if let Value::Object(members) = &mut json {
                members.insert("effect_turned".to_owned(), (*turned).into());
                members.insert("lost".to_owned(), json!(lost));
                members.insert("gained".to_owned(), json!(gained));
                members.insert("annotations".to_owned(), annotations.collect());
            }
            json
        });
        json!({
            "added": added.iter().map(One::json).collect::<Vec<_>>(), "removed": removed.iter().map(One::json).collect::<Vec<_>>(),
            "changed": changed.collect::<Vec<_>>(), "same": same,
        })
    }
}

impl One {
    fn of(policy: &Explained) -> Self {
        let reason = policy.annotations.iter().find(|(name, _)| name == "reason").map(|(_, reason)| reason.clone());
        Self { id: policy.id.clone(), permits: policy.permits, reason, clauses: clauses(policy) }
    }

    fn json(&self) -> Value {
        let Self { id, permits, reason, clauses } = self;
        json!({ "id": id, "effect": effect(*permits), "reason": reason, "clauses": clauses })
    }
}

/// `permit` or `forbid`.
pub(super) fn effect(permits: bool) -> &'static str {
    if permits { "permit" } else { "forbid" }
}

/// Every policy, and what it means in Cedar's JSON; where Cedar cannot say that, its text.
fn outline(store: &PolicyStore) -> BTreeMap<String, (Explained, Value)> {
    let meaning = |id: &str| {
        let json = store.policy_set().policy(&PolicyId::new(id))?.to_json().ok()?;
        Some(MEANING.iter().map(|member| json.get(member).cloned().unwrap_or_default()).collect::<Value>())
    };
    let of = |policy: Explained| {
        let means = meaning(&policy.id).unwrap_or_else(|| Value::String(policy.text.clone()));
        (policy.id.clone(), (policy, means))
    };
    store.outline().into_iter().map(of).collect()
}

fn clauses(policy: &Explained) -> Vec<String> {
    let written = |part: &str, text: &str| if matches!(part, "when" | "unless") { format!("{part} {text}") } else { text.to_owned() };
    policy.clauses.iter().map(|clause| written(clause.part, &clause.text)).collect()
}

/// What is otherwise; none when both say the same. `means_the_same` is what Cedar's own form of them says, in which the same can be written in
/// several ways, such as one `when` with `&&` for two.
fn changed(was: &Explained, is: &Explained, means_the_same: bool) -> Option<Changed> {
    let (before, now) = (clauses(was), clauses(is));
    let without = |from: &[String], those: &[String]| from.iter().filter(|one| !those.contains(one)).cloned().collect::<Vec<_>>();
    let (lost, gained) = (without(&before, &now), without(&now, &before));
    let turned = was.permits != is.permits;
    let annotations = annotations(&was.annotations, &is.annotations);
    let same = means_the_same || (!turned && !before.is_empty() && before == now);
    if same && annotations.is_empty() {
        return None;
    }
    Some(Changed { one: One::of(is), turned, lost, gained, annotations })
}

fn annotations(was: &[(String, String)], is: &[(String, String)]) -> Vec<(String, Option<String>, Option<String>)> {
    let of = |list: &[(String, String)], name: &str| list.iter().find(|(other, _)| other == name).map(|(_, value)| value.clone());
    let mut names: Vec<&String> = was.iter().chain(is).map(|(name, _)| name).collect();
    names.sort();
    names.dedup();
    names.into_iter().map(|name| (name.clone(), of(was, name), of(is, name))).filter(|(_, old, new)| old != new).collect()
}
