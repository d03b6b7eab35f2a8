//! The requirements of the published schema, and whether an event keeps them: `tests/vectors/ocsf/`.

use std::collections::BTreeMap;
use std::net::IpAddr;

use serde::Deserialize;
use serde_json::{Map, Value};

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Schema {
    #[serde(rename = "source")]
    _source: String,
    #[serde(rename = "licence")]
    _licence: String,
    pub version: String,
    types: BTreeMap<String, Type>,
    pub class: Class,
    objects: BTreeMap<String, Object>,
}

/// A type of the dictionary. Of its `regex`, which this program has no engine for, the meaning is in [`well_formed`].
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Type {
    #[serde(rename = "type")]
    base: Option<String>,
    #[serde(rename = "regex")]
    _regex: Option<String>,
    max_len: Option<usize>,
    range: Option<(i64, i64)>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Class {
    #[serde(rename = "name")]
    _name: String,
    pub caption: String,
    pub uid: i64,
    pub category_uid: i64,
    profiles: Vec<String>,
    attributes: BTreeMap<String, Attribute>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Object {
    attributes: BTreeMap<String, Attribute>,
    #[serde(default)]
    constraints: BTreeMap<String, Vec<String>>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Attribute {
    requirement: Requirement,
    #[serde(rename = "type")]
    kind: String,
    object: Option<String>,
    #[serde(default)]
    array: bool,
    /// It only exists with one of these.
    profiles: Option<Vec<String>>,
    /// The attribute with the caption of the number.
    sibling: Option<String>,
    #[serde(rename = "enum")]
    values: Option<BTreeMap<String, String>>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Requirement {
    Required,
    Recommended,
    Optional,
}

impl Schema {
    pub(super) fn read() -> Self {
        let file = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/vectors/ocsf/api_activity-1.8.0.json");
        serde_json::from_str(&std::fs::read_to_string(file).unwrap()).unwrap()
    }

    /// Everything that is wrong with an event.
    pub(super) fn problems(&self, event: &Value) -> Vec<String> {
        let mut problems = vec![];
        let Some(members) = event.as_object() else { return vec!["not an object".to_owned()] };
        let profiles: Vec<&str> =
            event.pointer("/metadata/profiles").and_then(Value::as_array).into_iter().flatten().filter_map(Value::as_str).collect();
        for profile in &profiles {
            if !self.class.profiles.iter().any(|known| known == profile) {
                problems.push(format!("the class has no profile {profile}"));
            }
        }
        self.members(members, &self.class.attributes, &profiles, "", &mut problems);
        // What the schema says in words.
        let uid = |name: &str| event[name].as_i64().unwrap_or(-1);
        if uid("type_uid") != uid("class_uid") * 100 + uid("activity_id") {
            problems.push("type_uid is not class_uid * 100 + activity_id".to_owned());
        }
        if event.pointer("/metadata/version").and_then(Value::as_str) != Some(&self.version) {
            problems.push("metadata.version is not the schema's".to_owned());
        }
        problems
    }

    fn members(
        &self,
        members: &Map<String, Value>,
        attributes: &BTreeMap<String, Attribute>,
        profiles: &[&str],
        at: &str,
        problems: &mut Vec<String>,
    ) {
        let exists =
            |attribute: &Attribute| attribute.profiles.as_ref().is_none_or(|of| of.iter().any(|one| profiles.contains(&one.as_str())));
        for (name, attribute) in attributes.iter().filter(|(_, attribute)| exists(attribute)) {
            if attribute.requirement == Requirement::Required && !members.contains_key(name) {
                problems.push(format!("{at}{name} is required"));
            }
        }
        for (name, value) in members {
            let place = format!("{at}{name}");
            match attributes.get(name).filter(|attribute| exists(attribute)) {
                None => problems.push(format!("{place} does not exist")),
                Some(attribute) => {
                    self.attribute(value, attribute, profiles, &place, problems);
                    siblings(members, value, attribute, &place, problems);
                }
            }
        }
    }

    fn attribute(&self, value: &Value, attribute: &Attribute, profiles: &[&str], place: &str, problems: &mut Vec<String>) {
        if attribute.array {
            let Some(list) = value.as_array() else { return problems.push(format!("{place} is not a list")) };
            for (i, value) in list.iter().enumerate() {
                self.one(value, attribute, profiles, &format!("{place}[{i}]"), problems);
            }
        } else {
            self.one(value, attribute, profiles, place, problems);
        }
    }

    fn one(&self, value: &Value, attribute: &Attribute, profiles: &[&str], place: &str, problems: &mut Vec<String>) {
        if let Some(name) = &attribute.object {
            let Some(members) = value.as_object() else { return problems.push(format!("{place} is not an object")) };
            // `object` is OCSF's word for one with members of any name.
            if name == "object" {
                return;
            }
            let Some(object) = self.objects.get(name) else {
                return problems.push(format!("{place}: the object {name} is not among the vectors"));
            };
            self.members(members, &object.attributes, profiles, &format!("{place}."), problems);
            for (rule, names) in &object.constraints {
                let present = names.iter().filter(|name| members.contains_key(*name)).count();
                let kept = match rule.as_str() {
                    "at_least_one" => present >= 1,
                    "just_one" => present == 1,
                    other => panic!("unknown constraint {other}"),
                };
                if !kept {
                    problems.push(format!("{place} breaks {rule} of {names:?}"));
                }
            }
            return;
        }
        if let Err(problem) = self.scalar(value, &attribute.kind) {
            problems.push(format!("{place} {problem}: {value}"));
        }
        if let Some(values) = &attribute.values {
            let written = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
            if !values.contains_key(&written) {
                problems.push(format!("{place} has no value {written}"));
            }
        }
    }

    fn scalar(&self, value: &Value, name: &str) -> Result<(), String> {
        let kind = self.types.get(name).ok_or_else(|| format!("is of the type {name}, which is not among the vectors"))?;
        match kind.base.as_deref().unwrap_or(name) {
            "string_t" => {
                let text = value.as_str().ok_or("is not a string")?;
                if kind.max_len.is_some_and(|longest| text.len() > longest) {
                    return Err("is too long".to_owned());
                }
                if !well_formed(name, text) { Err(format!("is no {name}")) } else { Ok(()) }
            }
            "integer_t" | "long_t" => {
                let number = value.as_i64().ok_or("is not an integer")?;
                let (least, most) = kind.range.unwrap_or((i64::MIN, i64::MAX));
                if (least..=most).contains(&number) { Ok(()) } else { Err("is out of range".to_owned()) }
            }
            "boolean_t" => value.as_bool().map(drop).ok_or_else(|| "is not a boolean".to_owned()),
            "float_t" => value.as_f64().map(drop).ok_or_else(|| "is not a number".to_owned()),
            "json_t" => Ok(()),
            other => panic!("unknown type {other}"),
        }
    }
}

/// A number and its caption say the same, except that of 99 ("Other") the caption is the source's own.
fn siblings(members: &Map<String, Value>, value: &Value, attribute: &Attribute, place: &str, problems: &mut Vec<String>) {
    let (Some(sibling), Some(values)) = (&attribute.sibling, &attribute.values) else { return };
    let (Some(caption), Some(number)) = (members.get(sibling).and_then(Value::as_str), value.as_i64()) else { return };
    if number != 99 && values.get(&number.to_string()).is_some_and(|expected| expected != caption) {
        problems.push(format!("{place} is {number}, and {sibling} is {caption}"));
    }
}

/// The patterns of the dictionary.
fn well_formed(kind: &str, text: &str) -> bool {
    match kind {
        "ip_t" => text.parse::<IpAddr>().is_ok(),
        "email_t" => text.split_once('@').is_some_and(|(local, domain)| {
            !local.is_empty()
                && text.is_ascii()
                && !text.contains([' ', '"', '(', ':'])
                && domain.split_once('.').is_some_and(|(a, b)| !a.is_empty() && !b.is_empty())
        }),
        "uuid_t" => text.len() == 36 && text.split('-').map(str::len).eq([8, 4, 4, 4, 12]),
        "mac_t" => text.split([':', '-']).count() == 6,
        _ => true,
    }
}
