//! The policies of kept sources, by their `@id`: what is in them, and which of two sets differ.

use std::collections::BTreeMap;
use std::str::FromStr as _;

use cedar_policy::{Effect, PolicySet};
use serde_json::{Value, json};

use crate::bundle::Bundle;

/// A policy.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Kept {
    pub(super) file: String,
    pub(super) effect: &'static str,
    /// All but `@id`.
    pub(super) annotations: BTreeMap<String, String>,
    /// What it says, in one form: two that differ in comments or layout only are the same.
    meaning: String,
}

/// Where a policy counts, and its `@id`. Those on trial are a set of their own.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Name {
    pub(super) on_trial: bool,
    pub(super) id: String,
}

impl Name {
    /// As it is shown: `shadow/` before those on trial.
    pub(super) fn shown(&self) -> String {
        if self.on_trial { format!("shadow/{}", self.id) } else { self.id.clone() }
    }
}

/// All policies of a bundle.
///
/// # Errors
/// Which file cannot be read: another version of Cedar may have sealed it.
pub(super) fn of(bundle: &Bundle) -> Result<BTreeMap<Name, Kept>, String> {
    let mut policies = BTreeMap::new();
    for (file, bytes) in bundle.iter().filter(|(file, _)| file.starts_with("policies/") && file.ends_with(".cedar")) {
        let text = std::str::from_utf8(bytes).map_err(|_| format!("`{file}` is not UTF-8"))?;
        let set = PolicySet::from_str(text).map_err(|error| format!("`{file}` cannot be read: {error}"))?;
        for policy in set.policies() {
            let mut annotations: BTreeMap<String, String> =
                policy.annotations().map(|(name, value)| (name.to_owned(), value.to_owned())).collect();
            let id = annotations.remove("id").unwrap_or_default();
            let effect = match policy.effect() {
                Effect::Permit => "permit",
                Effect::Forbid => "forbid",
            };
            let meaning = policy.to_json().map_err(|error| format!("`{file}` cannot be read: {error}"))?.to_string();
            let name = Name { on_trial: file.starts_with("policies/shadow/"), id };
            policies.insert(name, Kept { file: file.to_owned(), effect, annotations, meaning });
        }
    }
    Ok(policies)
}

/// How many policies are enforced: those that the digest of a gate counts.
pub(super) fn enforced(policies: &BTreeMap<Name, Kept>) -> usize {
    policies.keys().filter(|name| !name.on_trial).count()
}

/// A policy for programs.
pub(super) fn json((name, kept): (&Name, &Kept)) -> Value {
    json!({
        "id": name.id, "on_trial": name.on_trial, "file": kept.file, "effect": kept.effect, "annotations": kept.annotations,
    })
}

/// What became of policies between two sets. Each by name, in order.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Changes {
    pub(super) added: Vec<String>,
    pub(super) removed: Vec<String>,
    pub(super) changed: Vec<String>,
}

/// Which policies differ. One that only moved to another file is the same.
pub(super) fn changes(old: &BTreeMap<Name, Kept>, new: &BTreeMap<Name, Kept>) -> Changes {
    let mut changes = Changes::default();
    for (name, kept) in old {
        match new.get(name) {
            None => changes.removed.push(name.shown()),
            Some(other) if other.meaning != kept.meaning => changes.changed.push(name.shown()),
            Some(_) => {}
        }
    }
    changes.added = new.keys().filter(|name| !old.contains_key(name)).map(Name::shown).collect();
    changes
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(files: &[(&str, &str)]) -> BTreeMap<Name, Kept> {
        let bundle: Bundle = files.iter().map(|(file, text)| ((*file).to_owned(), text.as_bytes().to_vec())).collect();
        of(&bundle).unwrap()
    }

    const OLD: &str = "@id(\"a\") @reason(\"r\") permit(principal, action, resource);\n@id(\"b\") forbid(principal, action, resource);";

    #[test]
    fn policies_have_their_effect_and_annotations() {
        let policies = read(&[("policies/x.cedar", OLD), ("policies/shadow/x.cedar", "@id(\"a\") forbid(principal, action, resource);")]);
        assert_eq!((policies.len(), enforced(&policies)), (3, 2));
        let a = &policies[&Name { on_trial: false, id: "a".into() }];
        assert_eq!((a.effect, a.file.as_str()), ("permit", "policies/x.cedar"));
        assert_eq!(a.annotations, [("reason".to_owned(), "r".to_owned())].into());
        let bundle: Bundle = [("policies/x.cedar".to_owned(), b"permit [".to_vec())].into_iter().collect();
        assert!(of(&bundle).unwrap_err().contains("`policies/x.cedar` cannot be read"));
    }

    #[test]
    fn only_what_a_policy_says_counts_as_a_change() {
        let old = read(&[("policies/x.cedar", OLD)]);
        let moved = OLD.replace("permit(principal, action, resource);", "// why\npermit (principal,\n  action,\n  resource);");
        assert_eq!(changes(&old, &read(&[("policies/y.cedar", &moved)])), Changes::default());
        let changed = |text: &str| changes(&old, &read(&[("policies/x.cedar", text)]));
        let names = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>();
        assert_eq!(changed(&OLD.replace("permit(", "forbid(")).changed, names(&["a"]));
        assert_eq!(changed(&OLD.replace("\"r\"", "\"s\"")).changed, names(&["a"]));
        let renamed = changed(&OLD.replace("\"b\"", "\"c\""));
        assert_eq!((renamed.added, renamed.removed, renamed.changed), (names(&["c"]), names(&["b"]), vec![]));
        let trial = changes(&old, &read(&[("policies/x.cedar", OLD), ("policies/shadow/x.cedar", OLD)]));
        assert_eq!(trial.added, names(&["shadow/a", "shadow/b"]));
    }
}
