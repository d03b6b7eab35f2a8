//! Records as events of the Open Cybersecurity Schema Framework: class API Activity, with the profiles `security_control` and
//! `trace`, and `cloud` where somebody says whose cloud it is.
//!
//! The mapping is documented in `docs/audit-export.md`. Nothing of a record is lost: what OCSF has no place for is in `unmapped`
//! under the record's own names, and the line itself is in `raw_data`. A field is only put where OCSF's meaning is the record's:
//! a pseudonym may be a user's `uid`, but never an address, a path or an e-mail address.

mod actor;
mod api;
mod entity;
mod metadata;
mod moment;
mod outcome;
mod rest;

use serde_json::{Map, Value, json};
use thiserror::Error;

pub use entity::entity;
pub use moment::unix_millis;

use self::outcome::Outcome;
use super::{Entry, Kind};
use crate::bundle::Digest;

/// The version of OCSF that events are of.
pub const VERSION: &str = "1.8.0";
/// The class: API Activity.
pub const CLASS_UID: i64 = 6003;
/// Its category: Application Activity.
const CATEGORY_UID: i64 = 6;

/// What the events shall have beside what records tell.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Options<'a> {
    /// The cloud the gates run in, as OCSF names it (`AWS`, `Azure`, `GCP`, …): regions of records are then regions of it.
    pub provider: Option<&'a str>,
    /// Whether the record's line is part of the event.
    pub raw: bool,
}

/// Why a record cannot be an event.
#[derive(Debug, Error)]
pub enum EventError {
    /// It says nowhere when it was.
    #[error("it has no time")]
    NoTime,
    /// It is not an object of JSON.
    #[error("{0}")]
    Syntax(#[from] serde_json::Error),
}

/// The event of a record, which is `entry` and the line it was read from. `None` where the record is about the log itself and not
/// about an API call.
///
/// # Errors
/// See [`EventError`].
pub fn event(entry: &Entry, line: &str, options: Options<'_>) -> Result<Option<Value>, EventError> {
    match entry.kind {
        Kind::Decision | Kind::Outcome => {}
        Kind::Checkpoint | Kind::Dropped | Kind::Other(_) => return Ok(None),
    }
    let time = time(entry).ok_or(EventError::NoTime)?;
    let record: Map<String, Value> = serde_json::from_str(line)?;
    let activity = outcome::activity(entry);
    let outcome = Outcome::of(entry);
    let Outcome { severity, status, action, disposition, code, detail } = outcome;
    let cloud = options.provider.map(|provider| object([("provider", text(provider)), ("region", text(&entry.region))]));
    let (source, subnet) = api::source(entry);
    let mut event = members([
        ("category_uid", Some(json!(CATEGORY_UID))),
        ("category_name", Some(json!("Application Activity"))),
        ("class_uid", Some(json!(CLASS_UID))),
        ("class_name", Some(json!("API Activity"))),
        ("activity_id", Some(json!(activity.id))),
        ("activity_name", Some(json!(activity.caption))),
        ("type_uid", Some(json!(CLASS_UID.saturating_mul(100).saturating_add(activity.id)))),
        ("type_name", Some(json!(format!("API Activity: {}", activity.of_type())))),
        ("time", Some(json!(time))),
        ("timezone_offset", Some(json!(0))),
        ("severity_id", Some(json!(severity.id))),
        ("severity", Some(json!(severity.caption))),
        ("status_id", Some(json!(status.id))),
        ("status", Some(json!(status.caption))),
        ("status_code", text(code)),
        ("status_detail", text(detail)),
        ("action_id", Some(json!(action.id))),
        ("action", Some(json!(action.caption))),
        ("disposition_id", Some(json!(disposition.id))),
        ("disposition", Some(json!(disposition.caption))),
        ("is_alert", Some(json!(outcome.is_alert()))),
        ("message", Some(json!(message(entry, &outcome)))),
        ("actor", Some(actor::actor(entry))),
        ("api", api::api(entry, &outcome)),
        ("authorizations", api::authorizations(entry)),
        ("policy", api::policy_set(entry)),
        ("resources", api::resources(entry)),
        ("http_request", api::http_request(entry)),
        ("http_response", api::http_response(entry)),
        ("src_endpoint", Some(source)),
        ("dst_endpoint", api::destination(entry)),
        ("trace", object([("uid", text(&entry.trace_id))])),
        ("cloud", cloud.flatten()),
        ("metadata", metadata::metadata(entry, time, options.provider.is_some())),
        ("unmapped", rest::unmapped(entry, record, options.provider.is_some())),
        ("raw_data", options.raw.then(|| json!(line))),
        ("raw_data_size", Some(json!(line.len()))),
        ("raw_data_hash", fingerprint(line)),
    ]);
    let observables = metadata::observables(&event, subnet);
    event.extend(observables.map(|list| ("observables".to_owned(), list)));
    Ok(Some(Value::Object(event)))
}

/// When it was, in milliseconds since 1970.
fn time(entry: &Entry) -> Option<i64> {
    let decided = || entry.inputs.as_ref().map(|inputs| inputs.decided_at).filter(|seconds| *seconds > 0).map(millis);
    unix_millis(&entry.time).or_else(decided)
}

/// One sentence for people.
fn message(entry: &Entry, outcome: &Outcome<'_>) -> String {
    if entry.kind == Kind::Outcome {
        return format!("outcome of {}: status {}", entry.decision_id, entry.status);
    }
    let request = [entry.request.method.as_str(), entry.request.path.as_deref().unwrap_or_default()].join(" ");
    let by = actor::principal(entry).map(|name| format!(" by {name}")).unwrap_or_default();
    format!("{}: {}{by} ({})", entry.decision, request.trim(), outcome.code)
}

fn fingerprint(line: &str) -> Option<Value> {
    let value = Digest::of(line.as_bytes()).to_string();
    object([("algorithm_id", Some(json!(3))), ("algorithm", Some(json!("SHA-256"))), ("value", Some(json!(value)))])
}

/// The members that have a value.
fn members<const N: usize>(members: [(&str, Option<Value>); N]) -> Map<String, Value> {
    members.into_iter().filter_map(|(name, value)| Some((name.to_owned(), value?))).collect()
}

/// An object of the members that have a value; none without any.
fn object<const N: usize>(list: [(&str, Option<Value>); N]) -> Option<Value> {
    let members = members(list);
    (!members.is_empty()).then_some(Value::Object(members))
}

/// A string that says something.
fn text(text: &str) -> Option<Value> {
    (!text.is_empty()).then(|| json!(text))
}

/// The same of one that may be missing.
fn maybe(value: Option<&String>) -> Option<Value> {
    value.and_then(|value| text(value))
}

/// A list that has something.
fn list(values: Vec<Value>) -> Option<Value> {
    (!values.is_empty()).then_some(Value::Array(values))
}

/// Seconds as OCSF counts.
fn millis(seconds: i64) -> i64 {
    seconds.saturating_mul(1000)
}

/// Whether it stands for something that the record does not tell: a keyed hash.
fn is_pseudonym(text: &str) -> bool {
    text.starts_with("h:")
}

#[cfg(test)]
mod tests;
