//! `cedargate why`: the answer to a request or to a test, in words.

use serde_json::Value;

use super::support::gate::{NOW, root};
use super::support::process::{Ended, Project, copy};
use super::support::token::Token;

fn project() -> Project {
    let project = Project::new();
    copy(&root().join("tests/gate/keys"), &project.path("suite"));
    project.write("token.txt", &Token::dev(NOW, "eve").groups(&["readers"]).make());
    project
}

fn why(project: &Project, args: &[&str]) -> Ended {
    let now = NOW.to_string();
    project.run(&[&["why", "--keys", "suite", "--now", &now, "--client", "127.0.0.1"], args].concat())
}

fn contains(text: &str, parts: &[&str]) {
    for part in parts {
        assert!(text.contains(part), "{part}\n{text}");
    }
}

#[test]
fn a_request_is_told_by_the_policies_that_decide_or_come_nearest() {
    let project = project();
    let eve = ["--token-file", "token.txt"];
    let allowed = why(&project, &[&["GET", "/api/documents/1"][..], &eve].concat()).ok();
    contains(
        &allowed,
        &[
            "GET /api/documents/1\nMay Gate::User::\"dev/eve\" do Gate::Action::\"GET\" with Gate::Document::\"1\"?\n\nAllowed: policy.permit\n",
            "  ✓ token: verified\n",
            "\npermit documents.reader-group\n",
            "  ✓ when principal in [Gate::Group::\"readers\", Gate::Group::\"auditors\"]\n",
        ],
    );
    assert!(!allowed.contains("Nearest are"), "{allowed}");

    // Denied, and told all the same.
    let denied = why(&project, &[&["DELETE", "/api/documents/1"][..], &eve].concat()).ok();
    contains(&denied, &["Denied: policy.insufficient_scope, status 403\n", "\nNo policy permits it. Nearest are\n  permit ", "    ✗ "]);

    // A forbid, and what it outweighs.
    project.write(
        "policies/freeze.cedar",
        "@id(\"documents.freeze\") @reason(\"r\") forbid (principal is Gate::User, action in Gate::Action::\"read\", resource is Gate::Document);",
    );
    let frozen = why(&project, &[&["GET", "/api/documents/1"][..], &eve].concat()).ok();
    contains(
        &frozen,
        &[
            "Denied: policy.forbid, status 403",
            "\nforbid documents.freeze\n",
            "Outweighed, though they apply, are\n  permit documents.reader-group: ",
        ],
    );

    // Before any policy.
    project.write("token.txt", &Token::dev(NOW - 100_000, "eve").make());
    let refused = why(&project, &[&["GET", "/api/documents/1"][..], &eve].concat()).ok();
    contains(&refused, &["No policy was asked.\n\nDenied: jwt.expired, status 401\n", "✗ token: refused: jwt.expired"]);
    let unread = why(&project, &["GET", "/api/%2e%2e/x"]).ok();
    contains(&unread, &["It cannot be read in one way only, so that no policy was asked.\n\nDenied: request.", ", status 400\n"]);
}

#[test]
fn it_says_what_try_says() {
    let project = project();
    let curl =
        format!("curl -H 'Authorization: Bearer {}' http://localhost/api/documents/1", Token::dev(NOW, "eve").groups(&["readers"]).make());
    let now = NOW.to_string();
    for args in [
        vec!["GET", "/api/documents/1", "--token-file", "token.txt"],
        vec!["DELETE", "/api/documents/1", "--token-file", "token.txt"],
        vec!["--curl", &curl],
        vec!["GET", "/api/orders/42"],
        vec!["GET", "//"],
    ] {
        let tried: Value = serde_json::from_str(
            &project
                .run(&[&["try", "--keys", "suite", "--now", &now, "--client", "127.0.0.1", "--format", "json"], &args[..]].concat())
                .stdout,
        )
        .unwrap();
        let told: Value = serde_json::from_str(&why(&project, &[&["--format", "json"], &args[..]].concat()).ok()).unwrap();
        let told = &told.as_array().unwrap()[0];
        for member in ["decision", "reason", "detail", "credentials"] {
            assert_eq!(told[member], tried[member], "{member}: {args:?}");
        }
        assert_eq!((&told["policies"], &told["nearest"]), (&tried["policies"]["policies"], &tried["policies"]["nearest"]), "{args:?}");
        assert_eq!(told["status"], tried["answer"]["status"], "{args:?}");
    }
}

#[test]
fn a_test_is_told_whether_it_passes_or_fails() {
    let project = Project::new();
    let tests = "version: 1\ncallers:\n  reader: { token: { issuer: dev, subject: bob, groups: [readers] } }\ntests:\n  - name: readers change documents\n    caller: reader\n    \
                 request: [PUT /api/documents/1, GET /api/documents/1]\n    expect: { decision: allow, by: [documents.writer-group] }\n";
    project.write("policies/tests/mine.yaml", tests);
    let one = project.run(&["why", "--test", "readers change documents [reader, PUT"]).ok();
    contains(
        &one,
        &[
            "policies/tests/mine.yaml:5: readers change documents [reader, PUT /api/documents/1]\nMay Gate::User::\"dev/bob\" do Gate::Action::\"PUT\" with ",
            "Denied: policy.insufficient_scope, status 403\n",
            "  not as the test expects: deny instead of allow; not decided by documents.writer-group\n",
            "Expected to decide, and not applying, are\n  permit documents.writer-group: ",
            "    ✗ principal in Gate::Group::\"writers\"\n",
        ],
    );
    assert_eq!(one.matches("permit documents.writer-group").count(), 1, "it is told once: {one}");

    let both = project.run(&["why", "--test", "mine.yaml", "--format", "json"]).ok();
    let both: Value = serde_json::from_str(&both).unwrap();
    let told: Vec<_> = both.as_array().unwrap().iter().map(|one| (one["decision"].as_str().unwrap(), &one["test"]["passed"])).collect();
    assert_eq!(told, [("deny", &false.into()), ("allow", &false.into())]);
    assert_eq!(both[1]["policies"][0]["id"], "documents.reader-group");
    assert_eq!(both[1]["nearest"][0]["id"], "documents.writer-group");

    // One that passes, by its file; and one in Cedar's own terms.
    let passing = project.run(&["why", "--test", "policies/tests/admin.yaml:audit log"]).ok();
    contains(&passing, &["Allowed: policy.permit, status 200\n", "  as the test expects\n", "permit admin.audit-log\n"]);
    let cedar = project.run(&["why", "--test", "cedar.json"]).ok();
    contains(&cedar, &["policies/tests/cedar.json:", "as the test expects"]);
}

#[test]
fn what_cannot_be_explained_is_said_with_what_to_do() {
    let project = Project::new();
    for (args, parts) in [
        (&[][..], &["error: nothing to explain\n", "help: write a method and a path, such as `GET /api/documents/1`"][..]),
        (
            &["--test", "auditors read the audit lag"],
            &["no test is called `auditors read the audit lag`", "help: did you mean `auditors read the audit log`?"],
        ),
        (&["--test", "none.yaml"], &["no test is called `none.yaml`", "help: `cedargate test` runs those of policies/tests/"]),
        (&["--test", "x", "GET", "/"], &["--test", "cannot be used with"]),
        (&["--curl", "curl -H"], &["`-H` of the command has no value"]),
        (&["--request", "none.http"], &["`none.http` cannot be read"]),
        (&["GET", "ftp://x/"], &["`ftp` is neither http nor https"]),
        (&["GET", "/", "--policies", "none"], &["the folder `none` does not exist", "--policies DIR"]),
    ] {
        let said = project.run(&[&["why"], args].concat()).failed(1);
        contains(&said, parts);
    }
    project.edit("policies/documents.cedar", "permit (", "permitt (");
    let said = project.run(&["why", "GET", "/"]).failed(3);
    contains(&said, &["policies/documents.cedar:6:1: error[policy.syntax]"]);
}
