//! `cedargate try`: what it says of a request is what the gate does with it.

use serde_json::Value;

use super::support::client::Request;
use super::support::gate::root;
use super::support::gate::{NOW, gate};
use super::support::process::{Ended, Project, copy};
use super::support::token::Token;

fn project() -> Project {
    let project = Project::new();
    copy(&root().join("tests/gate/keys"), &project.path("suite"));
    project
}

fn attempt(project: &Project, args: &[&str]) -> Ended {
    let now = NOW.to_string();
    project.run(&[&["try", "--keys", "suite", "--now", &now, "--client", "127.0.0.1"], args].concat())
}

fn token(subject: &str, groups: &[&str]) -> String {
    Token::dev(NOW, subject).groups(groups).make()
}

#[test]
fn each_stage_is_shown_and_the_end_is_the_gates() {
    let project = project();
    let bearer = |token: &str| format!("Authorization: Bearer {token}");
    let url = "http://api.example.com/api/documents/1?page=2";
    let allowed = attempt(&project, &["GET", url, "-H", &bearer(&token("eve", &["readers"]))]).ok();
    for part in [
        "segments   api  ›  documents  ›  1",
        "query      page = 2",
        "✓ token: verified",
        "token      dev/eve of dev (user)",
        "principal  Gate::User::\"dev/eve\"",
        "entity     Gate::Document::\"1\" in Gate::Path::\"/\", ",
        "context    hour = 10",
        "permit documents.reader-group",
        "✓ action in Gate::Action::\"read\"",
        "allow: policy.permit",
    ] {
        assert!(allowed.contains(part), "{part}: {allowed}");
    }
    let secret = token("eve", &["readers"]);
    assert!(secret.split('.').all(|part| !allowed.contains(part)), "{allowed}");

    let denied = attempt(&project, &["DELETE", url, "-H", &bearer(&token("eve", &["readers"]))]);
    assert_eq!(denied.code, Some(2), "{denied:?}");
    for part in ["No policy permits it. Nearest are", "deny: policy.insufficient_scope", "the caller gets 403"] {
        assert!(denied.stdout.contains(part), "{part}: {}", denied.stdout);
    }
    let refused = attempt(&project, &[url, "-H", &bearer(&Token::dev(NOW - 100_000, "eve").make())]);
    assert_eq!(refused.code, Some(2));
    for part in ["✗ token: refused: jwt.expired", "deny: jwt.expired", "the caller gets 401", "www-authenticate: Bearer"] {
        assert!(refused.stdout.contains(part), "{part}: {}", refused.stdout);
    }
    let unread = attempt(&project, &["GET", "http://api.example.com//api"]);
    assert_eq!(unread.code, Some(2));
    assert!(unread.stdout.contains("deny: request.path_not_absolute"), "{}", unread.stdout);
    assert_eq!(attempt(&project, &[]).code, Some(1));
}

#[test]
fn a_command_line_and_a_raw_request_are_the_same_request() {
    let project = project();
    let token = token("eve", &["readers"]);
    project.write("request.http", &format!("GET /api/documents/1 HTTP/1.1\nHost: api.example.com\nAuthorization: Bearer {token}\n\n"));
    project.write("token.txt", &token);
    let curl = format!("curl -s -H 'Authorization: Bearer {token}' http://api.example.com/api/documents/1");
    let answers = [
        attempt(&project, &["--curl", &curl, "--format", "json"]).ok(),
        attempt(&project, &["--request", "request.http", "--format", "json"]).ok(),
        attempt(&project, &["http://api.example.com/api/documents/1", "--token-file", "token.txt", "--format", "json"]).ok(),
    ];
    assert!(answers.iter().all(|answer| *answer == answers[0]), "{answers:#?}");
    let answer: Value = serde_json::from_str(&answers[0]).unwrap();
    assert_eq!((&answer["decision"], &answer["identity"]["token"]["principal"]), (&"allow".into(), &"dev/eve".into()));
}

#[test]
fn what_is_said_is_what_the_gate_does() {
    if !gate().is_local() {
        return;
    }
    let project = project();
    let none: &[&str] = &[];
    for (method, path, caller) in [
        ("GET", "/health", None),
        ("GET", "/api/documents/1", None),
        ("GET", "/api/documents/1", Some(("eve", none))),
        ("GET", "/api/documents/1", Some(("mallory", &["readers"]))),
        ("PUT", "/api/documents/1", Some(("alice", &["writers"]))),
        ("GET", "/api/%2e%2e/x", Some(("alice", &["writers"]))),
        ("BREW", "/health", None),
    ] {
        let mut request = Request::new(method, path);
        let url = format!("http://api.example.com{path}");
        let mut args = vec![method, &url, "--format", "json"];
        let header;
        if let Some((subject, groups)) = caller {
            let token = token(subject, groups);
            request = request.bearer(&token);
            header = format!("authorization: Bearer {token}");
            args.extend(["-H", &header]);
        }
        let record = gate().record_of(&request.send(gate().addr)).unwrap();
        let told: Value = serde_json::from_str(&attempt(&project, &args).stdout).unwrap();
        assert_eq!((&told["decision"], &told["reason"]), (&record["decision"], &record["reason"]), "{method} {path}");
        if told["decision"] == "deny" {
            assert_eq!(told["answer"]["status"], record["status"], "{method} {path}");
        }
        let name = |value: &Value| value["cedar"]["resource"].clone();
        assert_eq!(name(&told), name(&record), "{method} {path}");
    }
}
