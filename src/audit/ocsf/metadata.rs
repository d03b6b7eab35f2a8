//! About the event: where it comes from, and what in it can be searched for.

use serde_json::{Map, Value, json};

use super::super::{Entry, Kind};
use super::{VERSION, actor, list, maybe, object, text};

/// `metadata`.
pub(super) fn metadata(entry: &Entry, time: i64, cloud: bool) -> Option<Value> {
    let product = object([
        ("name", Some(json!("Cedargate"))),
        ("vendor_name", Some(json!("Cedargate"))),
        // Which gate it was: the digest of the component. The version of this program says nothing about it.
        ("version", maybe(entry.build_digest.as_ref())),
        ("feature", object([("name", Some(json!("decision log")))])),
    ]);
    let mut profiles = vec![json!("security_control"), json!("trace")];
    profiles.extend(cloud.then(|| json!("cloud")));
    let made_by = json!({ "name": "Cedargate", "vendor_name": "Cedargate", "version": env!("CARGO_PKG_VERSION") });
    let uid = match entry.kind {
        Kind::Outcome if !entry.decision_id.is_empty() => format!("{}#outcome", entry.decision_id),
        _ => entry.decision_id.clone(),
    };
    object([
        ("version", Some(json!(VERSION))),
        ("product", product),
        ("profiles", list(profiles)),
        ("uid", text(&uid)),
        ("original_event_uid", text(&entry.decision_id)),
        ("correlation_uid", text(&entry.trace_id).or_else(|| text(&entry.decision_id))),
        ("event_code", text(&entry.reason)),
        ("log_name", Some(json!("decisions"))),
        ("log_format", Some(json!("JSON"))),
        ("log_version", Some(json!(entry.v.to_string()))),
        ("original_time", text(&entry.time)),
        ("logged_time", Some(json!(time))),
        ("sequence", entry.chain.as_ref().and_then(|chain| i64::try_from(chain.seq).ok()).map(|seq| json!(seq))),
        ("transformation_info_list", list(vec![json!({ "name": "cedargate audit export", "product": made_by })])),
    ])
}

/// What is worth a search, with OCSF's number and name of its kind.
const OBSERVED: [(&str, i64, &str); 6] = [
    ("actor.user.uid", 31, "User Object: uid"),
    ("actor.user.name", 4, "User Name"),
    ("actor.user.email_addr", 5, "Email Address"),
    ("src_endpoint.ip", 2, "IP Address"),
    ("dst_endpoint.ip", 2, "IP Address"),
    ("dst_endpoint.hostname", 1, "Hostname"),
];

/// `observables`: pointers to what the event holds.
pub(super) fn observables(event: &Map<String, Value>, subnet: bool) -> Option<Value> {
    let find = |name: &str| {
        let mut parts = name.split('.');
        let first = event.get(parts.next()?)?;
        parts.try_fold(first, |value, part| value.get(part))?.as_str()
    };
    let known = event.get("actor").and_then(|actor| actor.get("user")).is_some_and(actor::is_known);
    let mut all: Vec<Value> = Vec::new();
    let network = ("src_endpoint.name", 12, "Subnet");
    for (name, type_id, kind) in OBSERVED.into_iter().chain(subnet.then_some(network)) {
        if let Some(value) = find(name).filter(|_| known || !name.starts_with("actor.")) {
            all.push(json!({ "name": name, "type_id": type_id, "type": kind, "value": value }));
        }
    }
    list(all)
}
