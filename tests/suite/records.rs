//! Records: one for every request, complete, and safe to print.

use std::collections::BTreeSet;

use cedargate::decision::Reason;
use serde_json::{Value, json};

use super::support::client::Request;
use super::support::gate::{Expect, gate, root};
use super::support::schema;
use super::support::token::Token;

const PATH: &str = "/api/documents/1";

#[test]
fn an_allowed_request_is_recorded_with_everything_that_decided_it() {
    let token = Token::dev(gate().now(), "alice").groups(&["readers"]).make();
    let answer = gate().check("allowed", &Request::get("/api/documents/1?page=s3cr3t").bearer(&token), &Expect::allowed());
    answer.with_record(|record| {
        let members: BTreeSet<&str> = record.as_object().unwrap().keys().map(String::as_str).collect();
        for member in [
            "v",
            "time",
            "decision_id",
            "trace_id",
            "region",
            "policy_digest",
            "schema_digest",
            "decision",
            "reason",
            "status",
            "policies",
            "identity",
            "certificate",
            "credentials",
            "cedar",
            "request",
            "timing_us",
            "upstream",
        ] {
            assert!(members.contains(member), "{member}: {record}");
        }
        assert_eq!(record["v"], 1);
        assert_eq!(record["identity"]["issuer"], "https://dev.cedargate.invalid/");
        assert_eq!(record["identity"]["bindings"], serde_json::json!([]));
        assert_eq!(record["certificate"], Value::Null);
        assert_eq!(record["credentials"], serde_json::json!([{"kind": "token", "fate": "verified"}]));
        assert_eq!(record["cedar"]["principal"], "Gate::User::\"dev/alice\"");
        assert!(record["cedar"]["resource"].as_str().unwrap().starts_with("Gate::Document::"), "{record}");
        assert_eq!((&record["request"]["method"], &record["request"]["path"]), (&"GET".into(), &PATH.into()));
        assert_eq!((&record["request"]["host"], &record["request"]["client"]), (&"api.example.com".into(), &"127.0.0.1".into()));
        assert_eq!(record["region"], if gate().is_local() { "local".into() } else { record["region"].clone() });
        let policies = record["policies"].as_array().unwrap();
        assert!(!policies.is_empty() && policies.iter().all(|p| p["id"].is_string()), "{record}");
        assert!(record["timing_us"]["identity"].is_u64() && record["timing_us"]["policy"].is_u64());
        if gate().is_local() {
            assert_eq!(record["time"], "2027-01-13T10:00:00.000Z");
        }
        // The same digest everywhere it is shown.
        let health = Request::get("/.well-known/cedargate/health").send(gate().addr).json();
        assert_eq!((&record["policy_digest"], &record["schema_digest"]), (&health["policy_digest"], &health["schema_digest"]));
        let line = record.to_string();
        assert!(!line.contains(&token) && !line.contains(token.rsplit_once('.').unwrap().1) && !line.contains("s3cr3t"), "{line}");
    });
}

#[test]
fn a_refused_token_is_recorded_without_the_token() {
    let token = Token::dev(gate().now() - 100_000, "alice").make();
    let answer = gate().check("expired", &Request::get(PATH).bearer(&token), &Expect::refused(401, "jwt.expired"));
    answer.with_record(|record| {
        // Nothing an unverified token says is recorded as an identity.
        assert_eq!((&record["identity"], &record["cedar"]), (&Value::Null, &Value::Null));
        let credentials = record["credentials"].as_array().unwrap();
        assert_eq!(credentials.len(), 1, "{record}");
        assert_eq!((&credentials[0]["kind"], &credentials[0]["fate"]), (&"token".into(), &"refused".into()));
        assert_eq!((&credentials[0]["reason"], &credentials[0]["detail"]), (&record["reason"], &record["detail"]));
        let line = record.to_string();
        assert!(token.split('.').all(|part| !line.contains(part)), "{line}");
    });
}

#[test]
fn hostile_text_stays_text() {
    let token = Token::dev(gate().now(), "a\u{202e}b").groups(&["readers"]).make();
    let answer = gate().check("direction override in the subject", &Request::get(PATH).bearer(&token), &Expect::allowed());
    answer.with_record(|record| assert_eq!(record["identity"]["subject"], "a\\u{202e}b"));
    let answer = gate().check_or_runtime(
        "control character in the host",
        &Request::get(PATH).host(Some("a b")),
        &Expect::refused(400, "request.host_invalid"),
    );
    if let Some(answer) = answer {
        answer.with_record(|record| assert_eq!(record["request"]["host"], "a b"));
    }
    let request = Request::get("/health%0a%1b[31m").header("x", "1");
    let answer = gate().check("line feed in the path", &request, &Expect::refused(400, "request.path_encoded_control"));
    answer.with_record(|record| assert_eq!(record["request"]["path"], "/health%0a%1b[31m"));
}

#[test]
fn health_and_refused_requests_are_recorded_too() {
    let response = Request::get("/.well-known/cedargate/health").send(gate().addr);
    if let Some(record) = gate().record_of(&response) {
        assert_eq!((&record["decision"], &record["reason"]), (&"allow".into(), &"gate.health".into()));
    }
}

#[test]
fn the_published_schema_describes_every_field_and_refuses_what_is_no_record() {
    assert_eq!(schema::undescribed(), Vec::<String>::new());
    let token = Token::dev(gate().now(), "alice").groups(&["readers"]).make();
    let answer = gate().check("control", &Request::get(PATH).bearer(&token), &Expect::allowed());
    answer.with_record(|record| {
        // Readers know nothing of what later versions add, writers describe it first.
        let mut newer = record.clone();
        newer["later"] = json!(1);
        newer["identity"]["later"] = json!(1);
        assert!(schema::open().is_valid(&newer) && !schema::complete().is_valid(&newer));
        let faults: [(&str, Value); 6] = [
            ("/decision", json!("perhaps")),
            ("/time", json!("today")),
            ("/status", json!("200")),
            ("/policies/0/id", Value::Null),
            ("/chain/seq", json!(-1)),
            ("/v", json!(2)),
        ];
        for (place, value) in faults {
            let mut wrong = record.clone();
            *wrong.pointer_mut(place).unwrap() = value;
            assert!(!schema::open().is_valid(&wrong), "{place}: {wrong}");
        }
    });
}

/// Reasons that cannot be met over HTTP in the embedded host, and why. Each is covered by a unit test.
const UNREACHABLE: &[(Reason, &str)] = &[
    (Reason::RequestContentLengthRepeated, "the HTTP server in front refuses it first"),
    (Reason::RequestContentLengthInvalid, "the HTTP server in front refuses it first"),
    (Reason::RequestFramingAmbiguous, "the HTTP server in front takes one of the two away"),
    (Reason::RequestHeaderInvalid, "the HTTP server in front refuses it first"),
];

/// Each reason has an end-to-end case: its code stands in the suite as an expectation.
#[test]
fn every_reason_code_is_met_end_to_end() {
    let suite = root().join("tests/suite");
    let text: String = std::fs::read_dir(suite)
        .unwrap()
        .flatten()
        .filter(|f| f.path().extension().is_some_and(|e| e == "rs"))
        .map(|f| std::fs::read_to_string(f.path()).unwrap())
        .collect();
    // `policy.permit` is what `Expect::allowed()` asks for, in the support module.
    let met = |reason: Reason| match reason {
        Reason::PolicyPermit => text.contains("Expect::allowed()"),
        reason => text.contains(&format!("\"{}\"", reason.code())),
    };
    let listed = |reason: Reason| UNREACHABLE.iter().any(|(unreachable, _)| *unreachable == reason);
    let missing: Vec<&str> = Reason::ALL.iter().filter(|r| !listed(**r) && !met(**r)).map(|r| r.code()).collect();
    assert!(missing.is_empty(), "no end-to-end case for {missing:?}");
    let stale: Vec<&str> = UNREACHABLE.iter().filter(|(r, _)| met(*r)).map(|(r, _)| r.code()).collect();
    assert!(stale.is_empty(), "listed as unreachable, but met: {stale:?}");
}
