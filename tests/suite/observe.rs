//! `mode = "observe"`: what policies deny is recorded and let through, and nothing else is.

use std::process::{Command, Stdio};

use cedargate::host::RecordSink;
use serde_json::{Value, json};

use super::support::client::Request;
use super::support::gate::{Expect, Gate, NOW, Setup, bundle};
use super::support::links::{ask, link, origin, setup, with_links, writer};
use super::support::process::{Project, ended, sealed_file};
use super::support::token::Token;

const PATH: &str = "/api/documents/1";
/// A header that the sample policies may read.
const READ: &str = "x-request-purpose";
const REVOCATIONS: &str = "/.well-known/cedargate/revocations";

fn with_mode(mode: &str) -> Gate {
    Setup::new(&bundle()).variable("mode", mode).start(&origin())
}

fn reader(subject: &str) -> String {
    Token::dev(NOW, subject).groups(&["readers"]).make()
}

/// What policies deny, with the status of the denial and its reason: nobody, a reader who deletes, a caller without the scope, a `forbid`,
/// and a login that is too old.
fn denied() -> Vec<(Request, u16, &'static str)> {
    let stale = Token::dev(NOW, "carol").groups(&["admins"]).claim("auth_time", json!(NOW - 901)).make();
    vec![
        (Request::get(PATH), 401, "policy.no_permit"),
        (Request::new("DELETE", PATH).bearer(&reader("alice")), 403, "policy.insufficient_scope"),
        (Request::get("/api/nothing").bearer(&reader("alice")), 403, "policy.no_permit"),
        (Request::get(PATH).bearer(&reader("mallory")), 403, "policy.forbid"),
        (Request::new("POST", "/api/orders/42/refund").bearer(&stale).body("{}"), 401, "policy.step_up"),
    ]
}

/// Lets it through, and says what it would have been.
fn observed(gate: &Gate, request: &Request, reason: &str) -> Value {
    let response = request.send(gate.addr);
    let seen = gate.origin.seen(&request.id);
    assert_eq!((response.status, seen.len()), (200, 1), "{request:?}: {response:?}");
    assert_eq!(seen[0].header("cedargate-observed-denial"), Some(reason), "{request:?}");
    assert_eq!(response.all("www-authenticate"), Vec::<&str>::new());
    let record = gate.record_of(&response).unwrap();
    let told = [&record["decision"], &record["reason"], &record["status"], &record["mode"], &record["enforced"]];
    assert_eq!(told, [&json!("deny"), &json!(reason), &json!(200), &json!("observe"), &json!(false)], "{record:#}");
    record
}

#[test]
fn what_policies_deny_is_refused_when_enforced_and_goes_on_when_observed() {
    for mode in ["", "enforce"] {
        let gate = with_mode(mode);
        for (request, status, reason) in denied() {
            let answer = gate.check(reason, &request, &Expect::refused(status, reason));
            answer.with_record(|record| assert!(record.get("mode").is_none() && record.get("enforced").is_none(), "{record}"));
        }
        assert_eq!(gate.origin.count(), 0);
    }
    let gate = with_mode("observe");
    for (request, _, reason) in denied() {
        let record = observed(&gate, &request, reason);
        assert_eq!(record["upstream"]["status"], 200);
        // Which policies decided, and what they were asked, is told as ever.
        assert_eq!(record["policies"].as_array().unwrap().is_empty(), !matches!(reason, "policy.forbid" | "policy.step_up"), "{record:#}");
        assert!(record["cedar"]["principal"].is_string() && record["inputs"]["purpose"] == "request", "{record:#}");
    }
}

#[test]
fn what_policies_allow_is_the_same_and_its_record_names_the_mode() {
    let gate = with_mode("observe");
    for request in [Request::get("/health"), Request::get(PATH).bearer(&reader("alice"))] {
        let answer = gate.check("allowed", &request, &Expect::allowed());
        answer.with_record(|record| assert_eq!((&record["mode"], &record["enforced"]), (&json!("observe"), &json!(false)), "{record}"));
        assert_eq!(gate.origin.seen(&request.id)[0].header("cedargate-observed-denial"), None);
    }
    let health = Request::get("/.well-known/cedargate/health").send(gate.addr);
    assert_eq!((health.status, &health.json()["mode"]), (200, &json!("observe")));
    let record = gate.record_of(&health).unwrap();
    assert_eq!((&record["mode"], &record["enforced"]), (&json!("observe"), &json!(true)), "{record}");
    let health = Request::get("/.well-known/cedargate/health").send(with_mode("enforce").addr);
    assert_eq!(health.json()["mode"], "enforce");
}

#[test]
fn a_credential_that_does_not_verify_is_refused_all_the_same() {
    let gate = with_mode("observe");
    let token = |made: i64| Token::dev(made, "alice").groups(&["readers"]).make();
    let forged = format!("{}A", token(NOW).rsplit_once('.').unwrap().0.to_owned() + "." + &"A".repeat(85));
    let cases = [
        ("expired", Request::get(PATH).bearer(&token(NOW - 100_000)), 401, "jwt.expired"),
        ("expired, on a public path", Request::get("/health").bearer(&token(NOW - 100_000)), 401, "jwt.expired"),
        ("forged", Request::get(PATH).bearer(&forged), 401, "jwt.signature_invalid"),
        ("malformed", Request::get(PATH).bearer("x"), 401, "jwt.malformed"),
        ("no scheme that is known", Request::get(PATH).header("Authorization", "Basic YTpi"), 401, "auth.scheme_unsupported"),
    ];
    let enforcing = with_mode("enforce");
    for (name, request, status, reason) in cases {
        let asked = enforcing.check(name, &request, &Expect::denied(status));
        let answer = gate.check(name, &request, &Expect::denied(status));
        let (asked, record) = (asked.record.unwrap(), answer.record.unwrap());
        assert_eq!(record["reason"], asked["reason"], "{name}, {reason}");
        assert_eq!((&record["mode"], &record["enforced"]), (&json!("observe"), &json!(true)), "{name}: {record}");
    }
    gate.check("the control", &Request::get(PATH).bearer(&token(NOW)), &Expect::allowed());
    assert_eq!(gate.origin.count(), 1);
}

#[test]
fn an_ambiguous_request_is_refused_all_the_same() {
    let gate = with_mode("observe");
    for (path, reason) in [
        ("/api/../secret", "request.path_dot_segment"),
        ("//api", "request.path_empty_segment"),
        ("/api/a%2Fb", "request.path_encoded_slash"),
    ] {
        let answer = gate.check(reason, &Request::get(path), &Expect::denied(400));
        answer.with_record(|record| {
            assert!(record["reason"].as_str().unwrap().starts_with("request.path_"), "{record}");
            assert_eq!((&record["mode"], &record["enforced"]), (&json!("observe"), &json!(true)), "{record}");
        });
    }
    // A header that policies may read and that came twice: nobody knows which of them the origin would believe.
    let twice = Request::get("/api/nothing").bearer(&reader("alice")).header(READ, "a").header(READ, "b");
    gate.check("twice", &twice, &Expect::refused(403, "policy.error")).with_record(|record| assert_eq!(record["enforced"], true));
    let once = Request::get("/api/nothing").bearer(&reader("alice")).header(READ, "a");
    observed(&gate, &once, "policy.no_permit");
}

#[test]
fn a_policy_that_fails_denies_nothing_while_it_is_observed() {
    let mut own = bundle();
    own.insert(
        "policies/fails.cedar",
        "@id(\"fails\") @reason(\"a slip\") forbid(principal, action, resource) when { context.hour + 9223372036854775807 > 0 };",
    );
    let request = || Request::get(PATH).bearer(&reader("alice"));
    let gate = Setup::new(&own).start(&origin());
    gate.check("enforced", &request(), &Expect::refused(403, "policy.error"));
    let gate = Setup::new(&own).variable("mode", "observe").start(&origin());
    let record = observed(&gate, &request(), "policy.error");
    assert!(record["errors"][0].as_str().unwrap().starts_with("fails: "), "{record}");
}

#[test]
fn the_origin_is_told_who_it_is_and_nobody_can_forge_that() {
    let gate = with_mode("observe");
    let mut request = Request::new("DELETE", PATH).bearer(&reader("alice"));
    for name in ["cedargate-principal", "cedargate_principal", "cedargate-observed-denial", "cedargate-decision-id", "x-forwarded-for"] {
        request = request.header(name, "forged");
    }
    let record = observed(&gate, &request, "policy.insufficient_scope");
    let seen = gate.origin.seen(&request.id).remove(0);
    assert!(seen.headers.iter().all(|(_, value)| value != "forged"), "{:?}", seen.headers);
    assert_eq!(seen.header("cedargate-principal"), Some("Gate::User::\"dev/alice\""));
    assert_eq!(seen.header("cedargate-decision-id"), record["decision_id"].as_str());
    // What policies allow cannot be made to look denied either.
    let request = Request::get("/health").header("cedargate-observed-denial", "policy.forbid");
    gate.check("forged", &request, &Expect::allowed());
    assert_eq!(gate.origin.seen(&request.id)[0].header("cedargate-observed-denial"), None);
}

#[test]
fn what_would_outlast_the_mode_is_decided() {
    let gate = setup(&with_links("")).variable("mode", "observe").start(&origin());
    let item = |path: &str| json!({"method": "GET", "path": path, "expires_in": 600});
    let refused = ask(&Token::dev(NOW, "eve").groups(&["readers"]), &item("/api/admin/users")).send(gate.addr);
    assert_eq!(refused.status, 403, "{refused:?}");
    assert!(!refused.text().contains("cg-sig"), "{refused:?}");
    let record = gate.record_of(&refused).unwrap();
    assert_eq!((&record["decision"], &record["mode"], &record["enforced"]), (&json!("deny"), &json!("observe"), &json!(true)), "{record}");
    assert_eq!(ask(&writer("alice"), &item(PATH)).send(gate.addr).status, 200, "the control");
    // Nor does everybody revoke.
    let revoke = |who: &str, group: &str| {
        let body = json!({"kind": "token_id", "value": "jti-nobody", "reason": "test"}).to_string();
        let token = Token::dev(NOW, who).groups(&[group]).make();
        Request::new("POST", REVOCATIONS).bearer(&token).header("Content-Type", "application/json").body(body)
    };
    let answer = gate.check("revoke", &revoke("eve", "readers"), &Expect::denied(403));
    answer.with_record(|record| assert_eq!((&record["change"], &record["enforced"]), (&Value::Null, &json!(true)), "{record}"));
    assert_eq!(gate.origin.count(), 0);
}

#[test]
fn a_link_must_verify_and_what_policies_say_of_it_is_observed() {
    let mut own = with_links("");
    own.insert(
        "policies/no-links.cedar",
        "@id(\"no-links\") @reason(\"none on mondays\") forbid(principal is Gate::SignedUrl, action, resource);",
    );
    let gate = setup(&own).variable("mode", "observe").start(&origin());
    let target = link(&gate, json!({"method": "GET", "path": PATH, "expires_in": 600}));
    observed(&gate, &Request::get(&target), "policy.forbid");
    let forged = target.replace(PATH, "/api/documents/2");
    assert_ne!(forged, target);
    let answer = gate.check("forged", &Request::get(&forged), &Expect::denied(401));
    answer
        .with_record(|record| assert_eq!((&record["reason"], &record["enforced"]), (&json!("signed_url.signature_invalid"), &json!(true))));
}

#[test]
fn a_mode_that_is_none_denies_everything() {
    for mode in ["observed", "Observe", "off", "enforce "] {
        let gate = with_mode(mode);
        for request in [Request::get("/health"), Request::get(PATH).bearer(&reader("alice")), Request::get("/.well-known/cedargate/health")]
        {
            let answer = gate.check(mode, &request, &Expect::refused(503, "system.configuration"));
            answer.with_record(|record| assert!(record["detail"].as_str().unwrap().contains("`mode`"), "{record}"));
        }
        assert_eq!(gate.origin.count(), 0);
    }
}

#[test]
fn what_is_recorded_first_is_recorded_as_denied_and_observed() {
    let gate = Setup::new(&bundle()).variable("mode", "observe").variable("audit_mode", "before").start(&origin());
    let request = Request::new("DELETE", PATH).bearer(&reader("alice"));
    let response = request.send(gate.addr);
    assert_eq!((response.status, gate.origin.seen(&request.id).len()), (200, 1));
    let id = response.header("cedargate-decision-id").unwrap();
    let records: Vec<Value> =
        gate.lines().iter().filter(|line| line.contains(id)).map(|line| serde_json::from_str(line).unwrap()).collect();
    let told: Vec<_> = records.iter().map(|one| (&one["kind"], &one["decision"], &one["mode"], &one["enforced"])).collect();
    let (null, observe) = (Value::Null, json!("observe"));
    assert_eq!(
        told,
        [(&json!("decision"), &json!("deny"), &observe, &json!(false)), (&json!("outcome"), &null, &observe, &null),],
        "{records:#?}"
    );
}

#[test]
fn an_origin_that_cannot_be_used_hides_nothing_of_what_policies_denied() {
    let gate = Setup::new(&bundle()).variable("mode", "observe").variable("origin", "").start(&origin());
    let answer =
        gate.check("no origin", &Request::new("DELETE", PATH).bearer(&reader("alice")), &Expect::refused(503, "policy.insufficient_scope"));
    answer.with_record(|record| {
        assert_eq!(
            (&record["enforced"], &record["upstream"]["error"]["reason"]),
            (&json!(false), &json!("system.configuration")),
            "{record}"
        );
    });
    let answer = gate.check("control", &Request::get("/health"), &Expect::refused(503, "system.configuration"));
    answer.with_record(|record| assert_eq!((&record["enforced"], &record["upstream"]), (&json!(true), &Value::Null), "{record}"));
}

#[test]
fn each_instance_and_each_start_says_that_the_gate_only_observes() {
    let warns = |lines: &[String]| lines.iter().filter(|line| line.starts_with("warning: variable mode: insecure: ")).count();
    for (mode, times) in [("enforce", 0), ("observe", 1)] {
        let diagnostics = RecordSink::memory();
        let gate = Setup { diagnostics: diagnostics.clone(), ..Setup::new(&bundle()) }.variable("mode", mode).start(&origin());
        for _ in 0..3 {
            gate.check("control", &Request::get("/health"), &Expect::allowed());
        }
        assert_eq!(warns(&diagnostics.lines()), times, "{mode}: {:?}", diagnostics.lines());
        let project = Project::new();
        let variable = format!("mode={mode}");
        let up = project.up(&["--component", sealed_file().to_str().unwrap(), "--origin", "http://127.0.0.1:9", "--variable", &variable]);
        let (_, said) = up.stop();
        assert_eq!(warns(&said), times, "{mode}: {said:?}");
    }
}

#[test]
fn the_log_tells_what_was_let_through() {
    let gate = with_mode("observe");
    let mut ids = vec![];
    for (request, _, reason) in denied() {
        ids.push(observed(&gate, &request, reason)["decision_id"].as_str().unwrap().to_owned());
    }
    gate.check("allowed", &Request::get("/health"), &Expect::allowed());
    gate.check("refused", &Request::get(PATH).bearer("x"), &Expect::denied(401));
    let folder = tempfile::tempdir().unwrap();
    let log = folder.path().join("log.jsonl");
    std::fs::write(&log, gate.lines().iter().map(|line| format!("{line}\n")).collect::<String>()).unwrap();
    let audit = |args: &[&str]| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_cedargate"));
        command.arg("audit").args(args).arg(&log).stdin(Stdio::null());
        ended(command)
    };
    let found = audit(&["query", "--observed", "--format", "json"]).ok();
    assert!(ids.iter().all(|id| found.contains(id.as_str())), "{found}");
    assert_eq!(found.matches("\"enforced\"").count(), ids.len(), "{found}");
    let csv = audit(&["export", "--format", "csv"]).ok();
    assert!(csv.lines().next().unwrap().ends_with(",mode,enforced") && csv.matches(",observe,false").count() == ids.len() + 1, "{csv}");
    let ocsf = audit(&["export", "--format", "ocsf"]).ok();
    assert_eq!(ocsf.matches("\"action\":\"Observed\"").count(), ids.len(), "{ocsf}");
}
