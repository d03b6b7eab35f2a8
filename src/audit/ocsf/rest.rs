//! What OCSF has no place for.

use serde_json::{Map, Value};

use super::super::Entry;
use super::api;

/// Members of a record that the event holds completely.
const MAPPED: [&str; 10] = ["v", "kind", "time", "decision_id", "trace_id", "decision", "reason", "detail", "status", "policies"];
/// The same of its `identity`.
const MAPPED_IDENTITY: [&str; 13] = [
    "issuer",
    "issuer_name",
    "subject",
    "principal",
    "kind",
    "groups",
    "roles",
    "client_id",
    "session_id",
    "auth_time",
    "token_id",
    "issued_at",
    "expires_at",
];
/// The same of its `request`, as far as the event can hold them.
const MAPPED_REQUEST: [&str; 4] = ["method", "host", "path", "client"];

/// `unmapped`: the record without what stands elsewhere in the event, under its own names. Members that a newer gate writes and this
/// program does not know are in it too.
pub(super) fn unmapped(entry: &Entry, mut record: Map<String, Value>, cloud: bool) -> Option<Value> {
    for name in MAPPED {
        record.remove(name);
    }
    if cloud {
        record.remove("region");
    }
    if let Some(identity) = record.get_mut("identity").and_then(Value::as_object_mut) {
        identity.retain(|name, _| !MAPPED_IDENTITY.contains(&name.as_str()));
    }
    if let Some(request) = record.get_mut("request").and_then(Value::as_object_mut) {
        request.retain(|name, _| match name.as_str() {
            "method" => !api::has_method(entry),
            "path" => api::path(entry).is_none(),
            name => !MAPPED_REQUEST.contains(&name),
        });
    }
    // Nothing, said in so many ways.
    let empty = |value: &Value| match value {
        Value::Null => true,
        Value::String(text) => text.is_empty(),
        Value::Array(list) => list.is_empty(),
        Value::Object(members) => members.is_empty(),
        Value::Bool(_) | Value::Number(_) => false,
    };
    record.retain(|_, value| !empty(value));
    (!record.is_empty()).then_some(Value::Object(record))
}
