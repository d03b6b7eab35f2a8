//! Everything of a bundle that is no policy: what of it says something else, file by file.

use std::collections::{BTreeMap, BTreeSet};

use cedar_policy::SchemaFragment;
use serde_json::{Value, json};

use crate::bundle::Bundle;
use crate::policy::PolicyStore;

/// Most details of one file.
const DETAILS: usize = 20;
/// Members that name a table in an array of them.
const NAMES: [&str; 4] = ["path", "name", "iss", "value"];

/// A file that is other than it was.
#[derive(Debug)]
pub(super) struct Changed {
    pub(super) file: String,
    pub(super) how: How,
    /// What in it; empty where that cannot be told.
    pub(super) details: Vec<String>,
}

/// What became of a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum How {
    Added,
    Removed,
    Changed,
}

impl How {
    pub(super) const fn as_str(self) -> &'static str {
        match self {
            Self::Added => "added",
            Self::Removed => "removed",
            Self::Changed => "changed",
        }
    }
}

impl Changed {
    pub(super) fn json(&self) -> Value {
        let Self { file, how, details } = self;
        json!({ "file": file, "change": how.as_str(), "details": details })
    }
}

/// What differs, in the order of the files. Files of enforced policies are left out: those are told policy by policy.
pub(super) fn between(old: &Bundle, new: &Bundle) -> Vec<Changed> {
    let policies = |file: &str| file.ends_with(".cedar") && !file.starts_with("policies/shadow/");
    let names: BTreeSet<&str> = old.iter().chain(new.iter()).map(|(file, _)| file).filter(|file| !policies(file)).collect();
    names.into_iter().filter_map(|file| changed(file, old.get(file), new.get(file))).collect()
}

fn changed(file: &str, old: Option<&[u8]>, new: Option<&[u8]>) -> Option<Changed> {
    let (how, details) = match (old, new) {
        (Some(old), Some(new)) if old == new => return None,
        (Some(old), Some(new)) => (How::Changed, details(file, old, new)?),
        (None, Some(_)) => (How::Added, vec![]),
        (Some(_), None) => (How::Removed, vec![]),
        (None, None) => return None,
    };
    Some(Changed { file: file.to_owned(), how, details })
}

/// What in a file is otherwise. None when it says the same in other words; empty when that cannot be told.
fn details(file: &str, old: &[u8], new: &[u8]) -> Option<Vec<String>> {
    let (Some(before), Some(now)) = (read(file, old), read(file, new)) else { return Some(vec![]) };
    if before == now {
        return None;
    }
    let (before, now) = (leaves(&before), leaves(&now));
    let places: BTreeSet<&String> = before.keys().chain(now.keys()).collect();
    let mut told: Vec<String> = vec![];
    for place in places {
        match (before.get(place), now.get(place)) {
            (Some(was), Some(is)) if was != is => told.push(format!("{place}: {was} → {is}")),
            (None, Some(is)) => told.push(format!("+ {place}: {is}")),
            (Some(was), None) => told.push(format!("- {place}: {was}")),
            (_, _) => {}
        }
    }
    let more = told.len().saturating_sub(DETAILS);
    told.truncate(DETAILS);
    if more > 0 {
        told.push(format!("… and {more} more"));
    }
    Some(told)
}

/// The content as one tree, without how it is written.
fn read(file: &str, bytes: &[u8]) -> Option<Value> {
    let text = std::str::from_utf8(bytes).ok()?;
    if file == PolicyStore::SCHEMA {
        return SchemaFragment::from_cedarschema_str(text).ok()?.0.to_json_value().ok();
    }
    if file.ends_with(".toml") {
        return toml::from_str(text).ok();
    }
    if file.ends_with(".json") { serde_json::from_str(text).ok() } else { None }
}

/// Every value by where it stands.
fn leaves(value: &Value) -> BTreeMap<String, String> {
    let mut found = BTreeMap::new();
    gather("", value, &mut found);
    found
}

fn gather(place: &str, value: &Value, found: &mut BTreeMap<String, String>) {
    let below = |name: &str| if place.is_empty() { name.to_owned() } else { format!("{place}.{name}") };
    match value {
        Value::Object(members) if !members.is_empty() => members.iter().for_each(|(name, value)| gather(&below(name), value, found)),
        Value::Array(items) if items.iter().any(Value::is_object) => {
            for (index, item) in items.iter().enumerate() {
                let name = name(item).unwrap_or_else(|| index.saturating_add(1).to_string());
                gather(&format!("{place}[{name}]"), item, found);
            }
        }
        other => {
            found.insert(place.to_owned(), other.to_string());
        }
    }
}

/// What an item of a list is known by.
fn name(item: &Value) -> Option<String> {
    if let Some(uid) = item.get("uid") {
        return Some(format!("{}::{}", uid.get("type")?.as_str()?, uid.get("id")?));
    }
    NAMES.iter().find_map(|name| item.get(name)?.as_str().map(str::to_owned))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(file: &str, old: &str, new: &str) -> Option<Vec<String>> {
        changed(file, Some(old.as_bytes()), Some(new.as_bytes())).map(|changed| changed.details)
    }

    #[test]
    fn what_is_only_written_otherwise_is_the_same() {
        assert_eq!(told("policies/routes.toml", "version = 1 # one\n", "version=1"), None);
        assert_eq!(told("policies/entities.json", "[]", "[ ]\n"), None);
        assert_eq!(told(PolicyStore::SCHEMA, "entity A; // a", "entity A;"), None);
        assert_eq!(told("policies/routes.toml", "version = 1", "version = 2"), Some(vec!["version: 1 → 2".to_owned()]));
    }

    #[test]
    fn what_changed_is_told_by_its_name() {
        let old = "[[route]]\npath = \"/a\"\nactions = { POST = \"make\" }\n[[route]]\npath = \"/b\"\n";
        let new = "[[route]]\npath = \"/b\"\n[[route]]\npath = \"/a\"\nactions = { POST = \"create\" }\n";
        assert_eq!(told("policies/routes.toml", old, new).unwrap(), ["route[/a].actions.POST: \"make\" → \"create\""]);
        let user = |more: &str| format!(r#"[{{"uid": {{"type": "Gate::User", "id": "x"}}, "attrs": {{{more}}}}}]"#);
        let told = told("policies/entities.json", &user(""), &user("\"suspended\": true")).unwrap();
        assert_eq!(told, ["- [Gate::User::\"x\"].attrs: {}", "+ [Gate::User::\"x\"].attrs.suspended: true"]);
    }

    #[test]
    fn what_cannot_be_read_is_still_told_as_changed() {
        let found = |old: Option<&str>, new: Option<&str>| {
            let bundle = |text: Option<&str>| {
                let mut bundle = Bundle::default();
                text.into_iter().for_each(|text| bundle.insert("keys/a.pem", text));
                bundle
            };
            between(&bundle(old), &bundle(new)).into_iter().map(|one| (one.how, one.details.len())).collect::<Vec<_>>()
        };
        assert_eq!(found(Some("a"), Some("b")), [(How::Changed, 0)]);
        assert_eq!(found(Some("a"), Some("a")), []);
        assert_eq!(found(None, Some("b")), [(How::Added, 0)]);
        assert_eq!(found(Some("a"), None), [(How::Removed, 0)]);
    }

    #[test]
    fn enforced_policies_are_told_elsewhere_and_those_on_trial_here() {
        let mut new = Bundle::default();
        new.insert("policies/a.cedar", "");
        new.insert("policies/shadow/a.cedar", "");
        let found = between(&Bundle::default(), &new);
        assert_eq!(found.iter().map(|one| one.file.as_str()).collect::<Vec<_>>(), ["policies/shadow/a.cedar"]);
    }
}
