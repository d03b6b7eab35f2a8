//! `cedargate replay` and `cedargate audit why`, over records of the real gate.

use std::process::Stdio;
use std::sync::OnceLock;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use super::support::client::Request;
use super::support::gate::{Expect, Gate};
use super::support::links::{ask, link, origin, setup, with_links, writer};
use super::support::process::{Console, Ended, Project};
use super::support::token::Token;

/// Records of what a gate is asked in a day, and the ids of some of them.
struct Day {
    lines: Vec<String>,
    allowed: String,
    forbidden: String,
    unpermitted: String,
    refused: String,
    signed: String,
}

fn day() -> &'static Day {
    static DAY: OnceLock<Day> = OnceLock::new();
    DAY.get_or_init(|| {
        let gate = setup(&with_links("")).start(&origin());
        let user = |subject: &str, groups: &[&str]| Token::dev(gate.now(), subject).groups(groups);
        let send = |method: &str, path: &str, token: &Token| {
            let response = Request::new(method, path).bearer(&token.make()).send(gate.addr);
            response.header("cedargate-decision-id").unwrap().to_owned()
        };
        let allowed = send("GET", "/api/documents/1", &user("eve", &["readers"]));
        let unpermitted = send("GET", "/api/documents/1", &user("eve", &[]));
        let forbidden = send("GET", "/api/documents/1", &user("mallory", &["readers"]));
        let refused = send("GET", "/api/documents/1", &Token::dev(gate.now() - 100_000, "eve"));
        for number in 3..9 {
            send("GET", &format!("/api/documents/{number}"), &user("eve", &["readers"]));
            send("DELETE", &format!("/api/documents/{number}"), &user("eve", &["readers"]));
        }
        let item = json!({"method": "GET", "path": "/api/documents/1", "expires_in": 600});
        let url = link(&gate, item.clone());
        gate.check("a link in use", &Request::get(&url), &Expect::allowed());
        let signed = ask(&writer("alice"), &json!({"items": [item, {"method": "DELETE", "path": "/api/orders/42", "expires_in": 60}]}))
            .send(gate.addr);
        let signed = signed.header("cedargate-decision-id").unwrap().to_owned();
        assert_eq!(Request::get("/health").send(gate.addr).status, 200);
        assert_eq!(Request::get("//").send(gate.addr).status, 400);
        Day { lines: lines(&gate), allowed, forbidden, unpermitted, refused, signed }
    })
}

fn lines(gate: &Gate) -> Vec<String> {
    gate.lines()
}

/// A project with these records, and the very policies and keys that decided.
fn project() -> Project {
    let project = Project::new();
    project.write("log.jsonl", &day().lines.iter().map(|line| format!("{line}\n")).collect::<String>());
    std::fs::create_dir(project.path("suite")).unwrap();
    for (path, bytes) in with_links("").iter().filter(|(path, _)| path.starts_with("keys/")) {
        let file = project.path("suite").join(path);
        std::fs::create_dir_all(file.parent().unwrap()).unwrap();
        std::fs::write(file, bytes).unwrap();
    }
    project
}

fn replay(project: &Project, args: &[&str]) -> Ended {
    project.run(&[&["replay", "log.jsonl", "--keys", "suite/keys"], args].concat())
}

fn why(project: &Project, id: &str, args: &[&str]) -> String {
    project.run(&[&["audit", "why", id, "log.jsonl"], args].concat()).ok()
}

#[test]
fn the_policies_that_decided_decide_the_same() {
    let project = project();
    let told = replay(&project, &["--format", "json"]).ok();
    let told: Value = serde_json::from_str(&told).unwrap();
    assert_eq!(told["records"], day().lines.len());
    for none in ["malformed", "unknown", "same_decision_other_reason", "allow_to_deny", "deny_to_allow", "now_erroring", "approved"] {
        assert_eq!(told[none], 0, "{none}: {told}");
    }
    // The expired token, the request that could not be read, and nothing else.
    assert_eq!((&told["not_asked"], &told["flips"]), (&json!(2), &json!([])));
    // One answer for each record that policies were asked about, one more for the second URL.
    assert_eq!(told["unchanged"], day().lines.len() - 2 + 1);
    let one = replay(&project, &["--threads", "1", "--format", "json"]).ok();
    assert_eq!(serde_json::from_str::<Value>(&one).unwrap(), told);
    assert!(replay(&project, &[]).ok().contains("no answer flips"));
}

#[test]
fn what_other_policies_decide_otherwise_is_told_and_fails_until_it_is_approved() {
    let project = project();
    project.write(
        "policies/freeze.cedar",
        "@id(\"freeze\") @reason(\"documents are frozen\")\nforbid(principal is Gate::User, action in Gate::Action::\"read\", resource is Gate::Document);\n",
    );
    let told = replay(&project, &[]);
    assert_eq!(told.code, Some(5), "{told:?}");
    for part in ["allow → deny", "policy.forbid: freeze", "GET /api/documents/1 by Gate::User::\"dev/eve\"", "log.jsonl:1, decision "] {
        assert!(told.stdout.contains(part), "{part}: {}", told.stdout);
    }
    assert!(told.stdout.contains(&day().allowed), "{}", told.stdout);
    let json: Value = serde_json::from_str(&replay(&project, &["--format", "json"]).stdout).unwrap();
    let reads = json["flips"].as_array().unwrap().iter().filter(|group| group["policies"] == json!(["freeze"])).collect::<Vec<_>>();
    assert_eq!((reads.len(), &reads[0]["count"], &reads[0]["flip"]), (1, &json!(7), &json!("allow-to-deny")), "{json:#}");
    // What was forbidden before still is, by one more.
    assert_eq!(json["same_decision_other_reason"], 2);

    let approve = |text: &str| {
        project.write("approvals.toml", &format!("version = 1\n[[approve]]\nbecause = 'CHG-7'\n{text}"));
        replay(&project, &["--approvals", "approvals.toml"])
    };
    let approved = approve("flip = 'allow-to-deny'\npolicy = 'freeze'");
    assert_eq!(approved.code, Some(0), "{approved:?}");
    assert!(approved.stdout.contains("9  flip, and are approved"), "{}", approved.stdout);
    assert_eq!(approve("flip = 'allow-to-deny'\npolicy = 'freeze'\npath = '/api/documents/3'").code, Some(5));
    let stale = approve("flip = 'deny-to-allow'");
    assert_eq!(stale.code, Some(5));
    assert!(stale.stderr.contains("nothing flips any more that this approves: deny-to-allow (CHG-7)"), "{}", stale.stderr);
    let wrong = approve("flip = 'sideways'");
    assert_eq!(wrong.code, Some(1));
    assert!(wrong.stderr.contains("is none of `allow-to-deny`"), "{}", wrong.stderr);
}

#[test]
fn what_would_be_let_in_or_fail_is_told_too() {
    let project = project();
    project
        .write("policies/open.cedar", "@id(\"open\") permit(principal, action == Gate::Action::\"DELETE\", resource is Gate::Document);\n");
    let told = replay(&project, &[]);
    assert_eq!(told.code, Some(5));
    assert!(told.stdout.contains("5 × deny → allow  policy.permit: open"), "{}", told.stdout);
    project.write(
        "policies/open.cedar",
        "@id(\"open\") forbid(principal, action, resource is Gate::Document) when { context.hour * 9223372036854775807 > 0 };\n",
    );
    let told = replay(&project, &[]);
    assert_eq!(told.code, Some(5));
    assert!(told.stdout.contains("would fail"), "{}", told.stdout);
    project.write("policies/open.cedar", "permit(principal, action, resource);\n");
    let told = replay(&project, &[]);
    assert_eq!(told.code, Some(3), "{told:?}");
}

#[test]
fn an_old_record_explains_itself_with_the_policies_of_then() {
    let project = project();
    project.run(&["seal", "--keys", "suite/keys"]).ok();
    let digest = serde_json::from_str::<Value>(&day().lines[0]).unwrap()["policy_digest"].as_str().unwrap().to_owned();
    assert!(project.path(".cedargate/archive").join(&digest).join("policies/documents.cedar").is_file());
    // The console's page of a record tells the same.
    let mut command = project.command(&["audit", "serve", "log.jsonl", "--port", "0"]);
    let console = Console::start(command.stdin(Stdio::piped()));
    let page = |id: &str| {
        let deadline = Instant::now() + Duration::from_secs(60);
        loop {
            let response = Request::get(&format!("/api/record?id={id}")).host(Some(&console.addr.to_string())).send(console.addr);
            if response.status == 200 {
                return serde_json::from_slice::<Value>(&response.body).unwrap()["records"][0]["why"].clone();
            }
            assert!(Instant::now() < deadline, "{response:?}");
            std::thread::yield_now();
        }
    };
    let told = page(&day().unpermitted);
    assert!(told["explanations"][0]["nearest"][0]["clauses"].as_array().unwrap().iter().any(|clause| clause["met"] == "no"), "{told:#}");
    assert_eq!(page(&day().allowed)["explanations"][0]["policies"][0]["id"], "documents.reader-group");
    assert_eq!(page(&day().refused), Value::Null);
    drop(console);
    // They are other ones by now.
    project.write("policies/documents.cedar", "");
    project.write("policies/orders.cedar", "");

    let told = why(&project, &day().allowed, &[]);
    for part in [
        "dev/eve (a user with a token of dev; in readers) asked for GET http://api.example.com/api/documents/1 from 127.0.0.1",
        "Allowed: policy.permit, status 200",
        "the origin answered 200",
        "token: verified",
        "permit documents.reader-group",
        "@reason readers and auditors may read documents that are not confidential",
        "│ when { principal in [Gate::Group::\"readers\", Gate::Group::\"auditors\"] }",
        "✓ action in Gate::Action::\"read\"",
        "✓ unless ",
    ] {
        assert!(told.contains(part), "{part}: {told}");
    }
    let told = why(&project, &day().forbidden, &[]);
    assert!(told.contains("Denied: policy.forbid, status 403") && told.contains("forbid ") && !told.contains("Nearest"), "{told}");
    // Of a denial that no policy asked for: what was missing.
    let told = why(&project, &day().unpermitted, &[]);
    assert!(told.contains("No policy permits it. Nearest are"), "{told}");
    assert!(told.contains("permit documents.reader-group") && told.contains("✗ when principal in ["), "{told}");
    // What policies were not asked about needs none.
    let told = why(&project, &day().refused, &["--archive", "nowhere"]);
    assert!(told.contains("Denied: jwt.expired, status 401") && told.contains("token: refused, jwt.expired"), "{told}");
    // Each URL by itself.
    let told = why(&project, &day().signed, &[]);
    assert!(told.contains("URL 1  GET /api/documents/1") && told.contains("URL 2  DELETE /api/orders/42"), "{told}");
    let json: Value = serde_json::from_str(&why(&project, &day().unpermitted, &["--format", "json"])).unwrap();
    let nearest = &json["explanations"][0]["nearest"];
    assert!(nearest[0]["clauses"].as_array().unwrap().iter().any(|clause| clause["met"] == "no"), "{json:#}");
    assert_eq!((&json["notes"], &json["reason"]), (&json!([]), &json!("policy.no_permit")));

    // Other policies, by name: what differs is said.
    project.write("policies/documents.cedar", "@id(\"none\") forbid(principal, action, resource);");
    let told = why(&project, &day().allowed, &["--policies", "policies", "--keys", "suite/keys"]);
    assert!(told.contains("note: these policies answer deny (policy.forbid), where the record says allow (policy.permit)"), "{told}");

    // An archive that was tampered with explains nothing.
    let file = project.path(".cedargate/archive").join(&digest).join("policies/documents.cedar");
    std::fs::write(file, "").unwrap();
    let failed = project.run(&["audit", "why", &day().allowed, "log.jsonl"]).failed(5);
    assert!(failed.contains("was changed"), "{failed}");
    let failed = project.run(&["audit", "why", &day().allowed, "log.jsonl", "--archive", "nowhere"]).failed(1);
    assert!(failed.contains("are not in the archive") && failed.contains("cedargate seal"), "{failed}");
    let failed = project.run(&["audit", "why", "0197c5a2-7e5b-7c3d-9f10-6f2b8d1f0a11", "log.jsonl"]).failed(1);
    assert!(failed.contains("no record of the decision"), "{failed}");
}
