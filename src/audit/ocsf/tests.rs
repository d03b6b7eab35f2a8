mod schema;

use proptest::prelude::*;
use serde_json::{Value, json};

use super::super::Entry;
use super::{CLASS_UID, EventError, Options, VERSION, event};
use schema::Schema;

const RAW: Options<'static> = Options { provider: None, raw: true };

/// The lines of a file that is kept for ever. The codes of its records (`mac`) are no real ones.
fn lines(name: &str) -> Vec<String> {
    let file = format!("{}/tests/vectors/records/{name}", env!("CARGO_MANIFEST_DIR"));
    std::fs::read_to_string(file).unwrap().lines().map(str::to_owned).collect()
}

fn of(line: &str, options: Options<'_>) -> Option<Value> {
    event(&Entry::parse(line).unwrap(), line, options).unwrap()
}

/// The event of the line that has all of this.
fn of_line_with(parts: &[&str]) -> Value {
    let lines = lines("v1.jsonl");
    let line = lines.iter().find(|line| parts.iter().all(|part| line.contains(part))).unwrap_or_else(|| panic!("{parts:?}"));
    of(line, RAW).unwrap()
}

fn valid(event: &Value) {
    let problems = Schema::read().problems(event);
    assert!(problems.is_empty(), "{problems:#?}\n{event:#}");
}

#[test]
fn the_class_is_the_published_one() {
    let schema = Schema::read();
    assert_eq!((schema.version.as_str(), schema.class.uid % 1000), (VERSION, CLASS_UID % 1000));
    assert_eq!((schema.class.uid, schema.class.category_uid, schema.class.caption.as_str()), (CLASS_UID, 6, "API Activity"));
}

#[test]
fn every_kept_record_about_a_call_becomes_a_valid_event() {
    let mut events = 0;
    for line in lines("foundation.jsonl").into_iter().chain(lines("v1.jsonl")) {
        for options in [RAW, Options { provider: Some("AWS"), raw: false }] {
            let Some(event) = of(&line, options) else {
                assert!(line.contains("\"kind\":\"checkpoint\"") || line.contains("\"kind\":\"dropped\""), "{line}");
                continue;
            };
            events += 1;
            valid(&event);
            assert_eq!(event["raw_data"].as_str(), options.raw.then_some(line.as_str()));
            assert_eq!(event["metadata"]["profiles"].as_array().unwrap().len(), 2 + usize::from(options.provider.is_some()));
        }
    }
    assert_eq!(events, 2 * (2 + 15));
}

#[test]
fn an_allow_says_who_what_and_by_which_policy() {
    let event = of_line_with(&["\"seq\":1}"]);
    let at = |pointer: &str| event.pointer(pointer).unwrap_or(&Value::Null);
    for (pointer, value) in [
        ("/type_uid", json!(600_302)),
        ("/time", json!(1_795_225_202_001_i64)),
        ("/severity_id", json!(1)),
        ("/status_id", json!(1)),
        ("/status_code", json!("policy.permit")),
        ("/action_id", json!(1)),
        ("/disposition_id", json!(1)),
        ("/is_alert", json!(false)),
        ("/message", json!("allow: GET /api/documents/1 by corp/alice (policy.permit)")),
        ("/actor/user/uid", json!("corp/alice")),
        ("/actor/user/name", json!("alice")),
        ("/actor/user/type_id", json!(1)),
        ("/actor/user/email_addr", json!("alice@example.com")),
        ("/actor/user/groups/1", json!({ "name": "corp/editor", "type": "role" })),
        ("/actor/session/uid", json!("s-77")),
        ("/actor/session/is_mfa", json!(true)),
        ("/actor/idp/uid", json!("https://login.example.com/")),
        ("/actor/app_uid", json!("portal")),
        ("/api/operation", json!("GET")),
        ("/api/request/uid", json!("01a1fbc1-0001-7e7c-bdf3-02c046c3a199")),
        ("/api/response/code", json!(200)),
        ("/api/token/expiration_time", json!(1_795_230_000_000_i64)),
        ("/authorizations/0/decision", json!("allow")),
        ("/authorizations/0/policy/uid", json!("documents.owner")),
        ("/authorizations/0/policy/data", json!({ "owner": "documents-team", "control": "SOC2-CC6.1" })),
        ("/policy/is_applied", json!(true)),
        ("/resources/0/type", json!("Gate::Document")),
        ("/http_request/http_method", json!("GET")),
        ("/http_request/url", json!({ "scheme": "https", "hostname": "api.example.com", "path": "/api/documents/1" })),
        ("/http_response", json!({ "code": 200, "latency": 2 })),
        ("/src_endpoint", json!({ "ip": "203.0.113.7" })),
        ("/dst_endpoint", json!({ "hostname": "api.example.com" })),
        ("/metadata/sequence", json!(1)),
        ("/unmapped/chain/seq", json!(1)),
        ("/unmapped/region", json!("fra-1")),
        ("/unmapped/identity/kid", json!("ed-2026")),
        ("/unmapped/upstream/time_us", json!(900)),
        ("/unmapped/request", Value::Null),
        ("/unmapped/reason", Value::Null),
        ("/cloud", Value::Null),
    ] {
        assert_eq!(at(pointer), &value, "{pointer}");
    }
    let observed: Vec<_> = event["observables"].as_array().unwrap().iter().map(|one| one["name"].as_str().unwrap()).collect();
    assert_eq!(observed, ["actor.user.uid", "actor.user.name", "actor.user.email_addr", "src_endpoint.ip", "dst_endpoint.hostname"]);
}

#[test]
fn each_way_to_end_has_its_status_severity_and_disposition() {
    for (reason, status, severity, action, disposition) in [
        ("\"reason\":\"jwt.expired\",\"region\"", 2, 2, 2, 2),
        ("\"reason\":\"policy.forbid\",\"region\"", 2, 2, 2, 26),
        ("\"reason\":\"request.path_dot_segment\"", 2, 2, 2, 25),
        ("\"reason\":\"system.keys_stale\",\"region\"", 2, 3, 2, 27),
        ("\"reason\":\"dpop.replay\",\"region\"", 2, 3, 2, 2),
        ("\"reason\":\"system.origin_timeout\"", 2, 3, 1, 1),
        ("\"reason\":\"gate.health\"", 1, 1, 1, 1),
    ] {
        let event = of_line_with(&[reason]);
        let ids = ["status_id", "severity_id", "action_id", "disposition_id"].map(|name| event[name].as_i64().unwrap());
        assert_eq!(ids, [status, severity, action, disposition], "{reason}");
        assert_eq!(event["is_alert"], json!(severity >= 3), "{reason}");
    }
    let failed = of_line_with(&["system.origin_timeout"]);
    assert_eq!((&failed["status_code"], &failed["status_detail"]), (&json!("system.origin_timeout"), &json!("no answer within 10 s")));
    assert_eq!(failed["api"]["response"]["error"], "system.origin_timeout");
}

#[test]
fn a_denial_that_was_only_observed_is_no_denied_activity() {
    let line = lines("v1.jsonl").into_iter().find(|line| line.contains("\"reason\":\"policy.forbid\",\"region\"")).unwrap();
    let with = |more: &str| of(&line.replacen("\"status\":403", &format!("\"status\":200,{more}"), 1), RAW).unwrap();
    for (more, action, disposition, status) in [
        ("\"mode\":\"observe\",\"enforced\":false", (3, "Observed"), (17, "Logged"), 1),
        ("\"mode\":\"observe\",\"enforced\":true", (2, "Denied"), (26, "Unauthorized"), 2),
    ] {
        let event = with(more);
        valid(&event);
        assert_eq!((&event["action_id"], &event["action"]), (&json!(action.0), &json!(action.1)), "{more}");
        assert_eq!((&event["disposition_id"], &event["disposition"]), (&json!(disposition.0), &json!(disposition.1)), "{more}");
        assert_eq!((&event["status_id"], &event["unmapped"]["mode"]), (&json!(status), &json!("observe")), "{more}");
    }
}

#[test]
fn whoever_is_not_known_is_not_made_up() {
    let anonymous = of_line_with(&["Gate::Anonymous"]);
    assert_eq!(anonymous["actor"]["user"], json!({ "name": "anonymous", "uid": "anonymous", "type": "Anonymous", "type_id": 99 }));
    let refused = of_line_with(&["\"reason\":\"jwt.expired\",\"region\""]);
    assert_eq!(refused["actor"]["user"], json!({ "name": "unknown", "type": "Unknown", "type_id": 0 }));
    for event in [&anonymous, &refused] {
        assert!(!event["observables"].to_string().contains("actor."), "{event:#}");
    }
    let malformed = of_line_with(&["request.path_dot_segment"]);
    assert_eq!(malformed["src_endpoint"], json!({ "name": "unknown" }));
    assert_eq!(malformed["dst_endpoint"], json!({ "name": "a b\\u{202e}" }));
    let unknown_method = of_line_with(&["BREW"]);
    assert_eq!((&unknown_method["type_uid"], &unknown_method["activity_name"]), (&json!(600_399), &json!("BREW")));
    assert_eq!(unknown_method["http_request"].get("http_method"), None);
    assert_eq!(unknown_method["unmapped"]["request"]["method"], "BREW");
}

#[test]
fn machines_and_links_are_users_of_their_own_kind() {
    let workload = of_line_with(&["Gate::Workload"]);
    let user = &workload["actor"]["user"];
    assert_eq!((&user["uid"], &user["name"], &user["type_id"]), (&json!("spiffe://example.com/billing"), &json!("CN=billing"), &json!(4)));
    assert_eq!((&workload["api"]["operation"], &workload["activity_id"]), (&json!("createInvoice"), &json!(1)));
    assert_eq!(workload["unmapped"]["certificate"]["serial"], "0a1b");
    let link = of_line_with(&["Gate::SignedUrl"]);
    assert_eq!((&link["actor"]["user"]["name"], &link["actor"]["user"]["type"]), (&json!("bob"), &json!("SignedUrl")));
    assert_eq!(link["api"]["token"]["uid"], link["unmapped"]["signed_url"]["link_id"]);
    let signing = of_line_with(&["\"signing\":["]);
    assert_eq!(signing["unmapped"]["signing"].as_array().unwrap().len(), 2);
    assert_eq!(signing["api"]["operation"], "sign");
}

#[test]
fn what_is_masked_is_never_taken_for_what_it_stands_for() {
    let event = of_line_with(&["policy.forbid"]);
    assert_eq!(event["src_endpoint"], json!({ "name": "203.0.113.0/24" }));
    assert_eq!(event["actor"]["user"]["uid"], "h:9s8Fq1LrT0aVxYcE");
    assert_eq!(event["actor"]["user"].get("email_addr"), None);
    assert_eq!(event["actor"].get("session"), None);
    assert_eq!(event["http_request"].get("url"), None);
    assert_eq!(event["unmapped"]["request"]["path"], "h:Zp4mYw0dQn7tRk2B");
    assert_eq!(event["http_request"]["http_headers"], json!([{ "name": "x-tenant", "value": "blue" }]));
    assert_eq!(event["unmapped"]["erased"].as_array().unwrap().len(), 3);
    assert_eq!(event["unmapped"]["shadow"]["decision"], "allow");
    let subnet = event["observables"].as_array().unwrap().iter().find(|one| one["type_id"] == 12).unwrap();
    assert_eq!(subnet["value"], "203.0.113.0/24");
    let hashed = r#"{"v":1,"time":"2026-11-21T01:40:02.001Z","decision_id":"d","request":{"method":"GET","client":"h:abc"},"identity":{"email":"h:abc"}}"#;
    let event = of(hashed, RAW).unwrap();
    assert_eq!((&event["src_endpoint"], &event["unmapped"]["identity"]), (&json!({ "uid": "h:abc" }), &json!({ "email": "h:abc" })));
}

#[test]
fn an_outcome_is_another_activity_of_the_same_request() {
    let event = of_line_with(&["\"kind\":\"outcome\""]);
    assert_eq!((&event["type_uid"], &event["activity_name"]), (&json!(600_399), &json!("Outcome")));
    assert_eq!((&event["status_id"], &event["status_code"]), (&json!(2), &json!("system.origin_unreachable")));
    assert_eq!(event["api"]["request"]["uid"], "01a1fbc1-0001-7e7c-bdf3-02c046c3a199");
    assert_ne!(event["metadata"]["uid"], event["metadata"]["original_event_uid"]);
}

#[test]
fn what_a_newer_gate_writes_is_kept() {
    let line = r#"{"v":1,"time":"2026-11-21T01:40:02Z","decision_id":"d","decision":"defer","invented":{"a":[1]},"request":{"method":"GET","invented":2}}"#;
    let event = of(line, RAW).unwrap();
    valid(&event);
    assert_eq!(event["unmapped"], json!({ "invented": { "a": [1] }, "request": { "invented": 2 } }));
    assert_eq!((&event["action_id"], &event["status_id"]), (&json!(0), &json!(0)));
    assert_eq!(event["authorizations"], json!([{ "decision": "defer" }]));
}

#[test]
fn a_cloud_is_only_named_by_who_knows_it() {
    let line = &lines("v1.jsonl")[0];
    let event = of(line, Options { provider: Some("GCP"), raw: true }).unwrap();
    assert_eq!((&event["cloud"], event["unmapped"].get("region")), (&json!({ "provider": "GCP", "region": "fra-1" }), None));
}

#[test]
fn an_event_is_at_some_time() {
    let parse = |line: &str| event(&Entry::parse(line).unwrap(), line, RAW);
    assert!(matches!(parse(r#"{"v":1}"#), Err(EventError::NoTime)));
    let line = r#"{"v":1,"inputs":{"decided_at":1795225202}}"#;
    assert_eq!(parse(line).unwrap().unwrap()["time"], 1_795_225_202_000_i64);
}

#[test]
fn the_requirements_are_really_asked_for() {
    let schema = Schema::read();
    let good = of_line_with(&["\"seq\":1}"]);
    let broken = |what: &str, change: &dyn Fn(&mut Value)| {
        let mut event = good.clone();
        change(&mut event);
        let problems = schema.problems(&event);
        assert!(problems.iter().any(|problem| problem.contains(what)), "{what}: {problems:?}");
    };
    assert!(schema.problems(&good).is_empty());
    for name in ["activity_id", "actor", "api", "category_uid", "class_uid", "metadata", "severity_id", "src_endpoint", "time", "type_uid"]
    {
        broken(&format!("{name} is required"), &|event| drop(event.as_object_mut().unwrap().remove(name)));
    }
    for (pointer, value, what) in [
        ("/invented", json!(1), "invented does not exist"),
        ("/api/invented", json!(1), "api.invented does not exist"),
        ("/cloud", json!({ "provider": "AWS" }), "cloud does not exist"),
        ("/activity_id", json!(7), "activity_id has no value 7"),
        ("/activity_id", json!(3), "type_uid is not"),
        ("/class_uid", json!(3005), "class_uid has no value 3005"),
        ("/severity_id", json!("1"), "severity_id is not an integer"),
        ("/severity", json!("High"), "severity_id is 1, and severity is High"),
        ("/time", json!(1.5), "time is not an integer"),
        ("/time", json!("2026-11-21T01:40:02Z"), "time is not an integer"),
        ("/is_alert", json!(0), "is_alert is not a boolean"),
        ("/message", json!({}), "message is not a string"),
        ("/actor", json!([]), "actor is not an object"),
        ("/actor", json!({}), "actor breaks at_least_one"),
        ("/actor/user", json!({ "type_id": 1 }), "actor.user breaks at_least_one"),
        ("/actor/user/type_id", json!(5), "actor.user.type_id has no value 5"),
        ("/actor/user/email_addr", json!("alice"), "actor.user.email_addr is no email_t"),
        ("/actor/user/groups", json!({}), "actor.user.groups is not a list"),
        ("/actor/user/groups/0", json!({ "desc": "x" }), "actor.user.groups[0] breaks"),
        ("/authorizations/0/policy", json!({ "desc": "x" }), "authorizations[0].policy breaks"),
        ("/api/operation", json!(null), "api.operation is not a string"),
        ("/api/request", json!({}), "api.request.uid is required"),
        ("/http_request/http_method", json!("BREW"), "http_request.http_method has no value BREW"),
        ("/http_request/url", json!({ "scheme": "https" }), "http_request.url breaks"),
        ("/http_response", json!({}), "http_response.code is required"),
        ("/src_endpoint", json!({}), "src_endpoint breaks"),
        ("/src_endpoint/ip", json!("203.0.113.0/24"), "src_endpoint.ip is no ip_t"),
        ("/dst_endpoint/port", json!(65536), "dst_endpoint.port is out of range"),
        ("/metadata/version", json!("1.0.0"), "metadata.version is not the schema's"),
        ("/metadata/product", json!({ "version": "1" }), "metadata.product breaks"),
        ("/metadata/profiles/0", json!("nonsense"), "no profile nonsense"),
        ("/metadata/profiles", json!(["trace"]), "action_id does not exist"),
        ("/observables/0/type_id", json!(1000), "observables[0].type_id has no value 1000"),
        ("/observables/0", json!({ "name": "x" }), "observables[0].type_id is required"),
        ("/raw_data_hash", json!({ "value": "x" }), "raw_data_hash.algorithm_id is required"),
        ("/trace", json!({}), "trace.uid is required"),
        ("/osint", json!([]), "osint does not exist"),
    ] {
        broken(what, &|event| {
            if let Some(place) = event.pointer_mut(pointer) {
                *place = value.clone();
            } else {
                let (parent, name) = pointer.rsplit_once('/').unwrap();
                event.pointer_mut(parent).unwrap()[name] = value.clone();
            }
        });
    }
}

proptest! {
    #[test]
    fn whatever_a_record_says_its_event_is_valid(
        method in "\\PC{0,8}", host in "\\PC{0,20}", path in "\\PC{0,20}", client in "\\PC{0,20}", decision in "\\PC{0,6}",
        email in "\\PC{0,20}", status in 0_u16..=u16::MAX, principal in "\\PC{0,20}", expires in any::<i64>(), total in any::<u64>(),
    ) {
        let record = json!({
            "v": 1, "time": "2026-11-21T01:40:02Z", "decision_id": principal, "decision": decision, "status": status, "reason": email,
            "request": { "method": method, "host": host, "path": path, "client": client },
            "cedar": { "principal": principal, "action": method, "resource": path },
            "identity": { "email": email, "issuer": host, "issuer_name": host, "kind": decision, "expires_at": expires, "auth_time": expires, "groups": [path] },
            "policies": [{ "id": host, "owner": path }], "timing_us": { "total": total },
        });
        valid(&of(&record.to_string(), RAW).unwrap());
    }
}
