//! The test files of Cedar's own command (`cedar run-tests`): requests in Cedar's terms, asked of the same policies without anything
//! that the gate adds.

use std::collections::{BTreeMap, BTreeSet};
use std::str::FromStr as _;

use cedar_policy::{Context, Entities, EntityUid, Request};
use serde::Deserialize;
use serde_json::Value;

use super::cases::{Asked, Case, Expected, line_of};
use crate::bundle::{Gate, Problem, Report};

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Test {
    #[serde(default)]
    name: Option<String>,
    request: Asking,
    /// The entities, or the name of a file beside this one that has them.
    entities: Value,
    decision: Decision,
    #[serde(default)]
    reason: Vec<String>,
    #[serde(default)]
    num_errors: usize,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Asking {
    principal: String,
    action: String,
    resource: String,
    #[serde(default = "nothing")]
    context: Value,
}

fn nothing() -> Value {
    Value::Object(serde_json::Map::new())
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Decision {
    Allow,
    Deny,
}

/// Reads all files: `files` has every `*.json` of the folder of tests, by its path in the bundle.
pub(in crate::cli) fn read(gate: &Gate, files: &BTreeMap<&str, &[u8]>, report: &mut Report) -> Vec<Case> {
    let mut parsed: Vec<(&str, &[u8], Vec<Value>)> = vec![];
    for (file, bytes) in files {
        match serde_json::from_slice::<Vec<Value>>(bytes) {
            Ok(tests) => parsed.push((file, bytes, tests)),
            Err(error) => {
                let at = offset(bytes, error.line(), error.column());
                let message = error.to_string();
                let message = message.split(" at line ").next().unwrap_or(&message);
                report.add(Problem::new(*file, "test.syntax", message).at(Some(at..at)).help("a file of tests is an array"));
            }
        }
    }
    // What a test takes its entities from is no file of tests itself.
    let named: BTreeSet<String> = parsed
        .iter()
        .flat_map(|(file, _, tests)| tests.iter().filter_map(|test| Some(beside(file, test.get("entities")?.as_str()?))))
        .collect();
    let mut cases = vec![];
    for (file, bytes, tests) in parsed.iter().filter(|(file, ..)| !named.contains(*file)) {
        for (index, test) in tests.iter().enumerate() {
            let number = index.saturating_add(1);
            match case(gate, file, bytes, number, test, files) {
                Ok(case) => cases.push(case),
                Err(message) => report.add(Problem::new(*file, "test.value", format!("test {number}: {message}"))),
            }
        }
    }
    cases
}

fn case(gate: &Gate, file: &str, bytes: &[u8], number: usize, test: &Value, files: &BTreeMap<&str, &[u8]>) -> Result<Case, String> {
    let Test { name, request: Asking { principal, action, resource, context }, entities, decision, reason, num_errors } =
        Test::deserialize(test).map_err(|error| error.to_string())?;
    let schema = gate.policy().schema();
    let uid = |part: &str, text: &str| EntityUid::from_str(text).map_err(|error| format!("the {part} `{}`: {error}", text.escape_debug()));
    let (principal, action, resource) = (uid("principal", &principal)?, uid("action", &action)?, uid("resource", &resource)?);
    let context = Context::from_json_value(context, Some((schema, &action))).map_err(|error| told("the context", &error))?;
    let request = Request::new(principal, action, resource, context, Some(schema)).map_err(|error| told("the request", &error))?;
    let entities = match entities.as_str() {
        None => entities,
        Some(other) => {
            let path = beside(file, other);
            let bytes = files.get(path.as_str()).ok_or_else(|| format!("there is no `{}` beside it", other.escape_debug()))?;
            serde_json::from_slice(bytes).map_err(|error| format!("`{}`: {error}", other.escape_debug()))?
        }
    };
    let entities = Entities::from_json_value(entities, Some(schema)).map_err(|error| told("the entities", &error))?;
    if let Some(id) = reason.iter().find(|id| !gate.policy().policies().any(|policy| policy.id == **id)) {
        return Err(format!("no policy is called `{}`", id.escape_debug()));
    }
    let line = name.as_deref().map_or(1, |name| {
        let quoted = serde_json::to_string(name).unwrap_or_default();
        let found = std::str::from_utf8(bytes).ok().and_then(|text| text.find(&quoted));
        found.map_or(1, |at| line_of(bytes, at))
    });
    let expected = Expected {
        allow: decision == Decision::Allow,
        by: Some(reason),
        among_others: true,
        errors: Some(num_errors),
        ..Expected::default()
    };
    Ok(Case {
        name: name.unwrap_or_else(|| format!("test {number}")),
        file: file.to_owned(),
        line,
        asked: Asked::Cedar { request: Box::new(request), entities: Box::new(entities) },
        expected,
    })
}

/// What Cedar says, with its causes.
fn told(what: &str, error: &dyn std::error::Error) -> String {
    let mut text = format!("{what}: {error}");
    let mut cause = error.source();
    while let Some(error) = cause {
        text.push_str(&format!(": {error}"));
        cause = error.source();
    }
    text
}

/// A path beside a file.
fn beside(file: &str, name: &str) -> String {
    let folder = file.rsplit_once('/').map_or("", |(folder, _)| folder);
    format!("{folder}/{}", name.trim_start_matches("./"))
}

/// The byte at a line and column that both count from 1.
fn offset(bytes: &[u8], line: usize, column: usize) -> usize {
    let before: usize = bytes.split_inclusive(|byte| *byte == b'\n').take(line.saturating_sub(1)).map(<[u8]>::len).sum();
    before.saturating_add(column.saturating_sub(1)).min(bytes.len())
}
