//! Records against their published schema, which here is complete: a member it does not describe is a fault.

use std::sync::OnceLock;

use jsonschema::Validator;
use serde_json::{Value, json};

use super::gate::root;

fn published() -> Value {
    let text = std::fs::read_to_string(root().join("docs/record-v1.schema.json")).expect("the schema is published");
    serde_json::from_str(&text).expect("it is JSON")
}

/// Readers must pass over members they do not know; whoever writes them must have described them.
fn close(schema: &mut Value) {
    match schema {
        Value::Object(members) => {
            if members.contains_key("properties") {
                members.insert("additionalProperties".into(), json!(false));
            }
            members.values_mut().for_each(close);
        }
        Value::Array(values) => values.iter_mut().for_each(close),
        _ => {}
    }
}

/// The schema as readers have it.
pub fn open() -> &'static Validator {
    static OPEN: OnceLock<Validator> = OnceLock::new();
    OPEN.get_or_init(|| jsonschema::validator_for(&published()).expect("it is a schema"))
}

/// The schema as writers have to keep it.
pub fn complete() -> &'static Validator {
    static COMPLETE: OnceLock<Validator> = OnceLock::new();
    COMPLETE.get_or_init(|| {
        let mut schema = published();
        close(&mut schema);
        jsonschema::validator_for(&schema).expect("it is a schema")
    })
}

/// Every schema in it that has no description.
pub fn undescribed() -> Vec<String> {
    fn look(schema: &Value, place: &str, found: &mut Vec<String>) {
        for (name, property) in schema["properties"].as_object().into_iter().flatten() {
            let place = format!("{place}/{name}");
            let described = property.get("description").is_some_and(|text| text.as_str().is_some_and(|text| text.ends_with('.')));
            if !described && property.get("$ref").is_none() {
                found.push(place.clone());
            }
            look(property, &place, found);
            look(&property["items"], &place, found);
        }
    }
    let mut found = vec![];
    for (name, schema) in published()["$defs"].as_object().expect("it has definitions") {
        look(schema, name, &mut found);
    }
    found
}

/// Panics with what is wrong with a record.
pub fn check(record: &Value) {
    let kind = record["kind"].as_str().expect("a record has a kind");
    let wrong: Vec<String> = complete().iter_errors(record).map(|error| format!("{}: {error}", error.instance_path())).collect();
    assert!(wrong.is_empty(), "a {kind} that is not as its schema says: {wrong:#?}\n{record}");
}
