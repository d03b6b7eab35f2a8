use std::path::Path;

use super::super::diagnostic::Invalid;
use super::coverage::{Coverage, Share};
use super::told::{Told, coverage};
use super::{Folders, Tests, html, run};
use crate::bundle::Report;

const POLICIES: &str = r#"
@id("read") permit (principal is Gate::User, action in Gate::Action::"read", resource in Gate::Path::"/x")
when { principal in Gate::Group::"readers" && context.https }
unless { context.hour < 8 || context has client_ip && context.client_ip.isInRange(ip("10.0.0.0/8")) };
@id("stop") forbid (principal, action, resource) when { context.host == "<b>&\"evil\"" };
@id("overflow") permit (principal, action == Gate::Action::"POST", resource) when { context.hour * 9223372036854775807 > 0 };
"#;

/// A folder with these policies and tests.
fn folder(tests: &[(&str, &str)]) -> (tempfile::TempDir, Folders) {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name);
    std::fs::create_dir_all(path("policies/tests")).unwrap();
    std::fs::create_dir_all(path("keys")).unwrap();
    std::fs::copy(root.join("policies/schema.cedarschema"), path("policies/schema.cedarschema")).unwrap();
    std::fs::copy(root.join("keys/issuers.toml"), path("keys/issuers.toml")).unwrap();
    std::fs::write(path("policies/a.cedar"), POLICIES).unwrap();
    for (name, text) in tests {
        std::fs::write(path("policies/tests").join(name), text).unwrap();
    }
    let folders = Folders { policies: path("policies"), keys: path("keys"), dev: false };
    (folder, folders)
}

/// Runs what is below `tests:`, with coverage.
fn ran(tests: &str) -> (Vec<run::Ran>, Coverage) {
    let (_folder, folders) = folder(&[("a.yaml", &format!("version: 1\ntests:\n{tests}"))]);
    let tests = Tests::read(&folders).unwrap();
    let cases = tests.cases().unwrap_or_else(|error| panic!("{:?}", error.downcast_ref::<Invalid>().map(Invalid::json)));
    let mut seen = Coverage::new(tests.gate.policy());
    let ran = cases.into_iter().map(|case| run::run(&tests.gate, case, Some(&mut seen))).collect();
    (ran, seen)
}

/// `message (help)` of every problem in `a.yaml`, with its line.
fn problems(name: &str, text: &str) -> Vec<String> {
    let (_folder, folders) = folder(&[(name, text)]);
    let error = Tests::read(&folders).unwrap().cases().err().unwrap_or_else(|| panic!("nothing is wrong with {text}"));
    let invalid = error.downcast_ref::<Invalid>().unwrap();
    let one = |problem: super::super::diagnostic::JsonProblem<'_>| {
        format!("{}: {} ({})", problem.line.unwrap_or_default(), problem.message, problem.help.unwrap_or_default())
    };
    invalid.json().into_iter().map(one).collect()
}

const ALICE: &str = "{token: {issuer: corp, subject: alice, groups: [readers]}}";

#[test]
fn what_is_left_out_of_an_expectation_means_deny() {
    let (ran, _) = ran(&format!("  - {{request: GET /x, caller: {ALICE}}}\n  - request: GET /x\n"));
    assert_eq!(ran.iter().map(|ran| (ran.passed(), ran.got.allow)).collect::<Vec<_>>(), [(false, true), (true, false)]);
    assert_eq!(ran[0].differences, ["allow instead of deny"]);
}

#[test]
fn a_failure_says_what_was_expected_what_came_and_which_clauses_made_it_so() {
    let (ran, _) = ran(&format!(
        "  - {{name: early, request: GET /x/1, caller: {ALICE}, time: 2025-01-01T07:59:59Z, expect: {{decision: allow, by: [read]}}}}\n\
         \x20 - {{name: wrong, request: GET /x, caller: {ALICE}, expect: {{decision: allow, by: [], reason: policy.forbid, status: 403}}}}\n"
    ));
    let text = Told { ran: &ran, on_disk: &|file| file.to_owned() }.human();
    let text = anstream::adapter::strip_str(&text).to_string();
    assert_eq!(
        text,
        "FAIL policies/tests/a.yaml:3: early\n\
         \x20 expected  allow, by read\n\
         \x20 got       deny, by no policy, policy.no_permit, 403\n\
         \x20 so        deny instead of allow; not decided by read\n\
         \x20 permit read does not apply\n\
         \x20   x unless context.hour < 8 is the case\n\
         \n\
         FAIL policies/tests/a.yaml:4: wrong\n\
         \x20 expected  allow, by no policy, policy.forbid, 403\n\
         \x20 got       allow, by read, policy.permit, 200\n\
         \x20 so        decided by read too; reason policy.permit instead of policy.forbid; status 200 instead of 403\n\
         \x20 permit read applies\n\
         \x20   - principal is Gate::User\n\
         \x20   - action in Gate::Action::\"read\"\n\
         \x20   - resource in Gate::Path::\"/x\"\n\
         \x20   - when principal in Gate::Group::\"readers\"\n\
         \x20   - when context.https\n\
         \x20   - unless context.hour < 8\n\
         \x20   - unless (context has client_ip) && context.client_ip.isInRange(ip(\"10.0.0.0/8\"))\n\
         \n\
         failed: 2 failed, 0 passed\n"
    );
}

#[test]
fn a_policy_that_fails_denies_and_is_told() {
    let (ran, _) = ran("  - {request: POST /x, expect: allow}\n");
    let text = Told { ran: &ran, on_disk: &|file| file.to_owned() }.human();
    assert!(text.contains("policy.error") && text.contains("overflow"), "{text}");
}

#[test]
fn a_condition_counts_where_cedar_would_look_at_it() {
    // Not of the scope, then stopped at the first condition, then all of them.
    let (_, seen) = ran(&format!(
        "  - request: GET /x\n  - request: GET /x\n    caller: {{token: {{issuer: corp, subject: bob}}}}\n  - request: GET /x\n    caller: {ALICE}\n    expect: allow\n"
    ));
    let read = seen.policies().find(|(id, _)| *id == "read").unwrap().1;
    let counts: Vec<_> = read.conditions.iter().map(|one| (one.part, one.yes, one.no)).collect();
    assert_eq!(counts, [("when", 1, 1), ("when", 1, 0), ("unless", 0, 1), ("unless", 0, 1)]);
    assert_eq!((read.applied, seen.applied()), (1, Share { seen: 1, of: 3 }));
    assert_eq!((seen.conditions(), seen.total()), (Share { seen: 1, of: 6 }, Share { seen: 2, of: 9 }));
    assert_eq!(seen.total().percent(), "22.2 %");
    let text = anstream::adapter::strip_str(&coverage(&seen)).to_string();
    for part in [
        "overflow\n  never applied\n  never looked at: when",
        "read\n  never false: when context.https\n  never true: unless",
        "coverage 22.2 %: 1 of 3 policies applied, 1 of 6 conditions",
    ] {
        assert!(text.contains(part), "{part}: {text}");
    }
    assert_eq!((Share { seen: 0, of: 0 }.percent(), Share { seen: 999, of: 1000 }.percent()), ("100.0 %".to_owned(), "99.9 %".to_owned()));
}

#[test]
fn a_table_is_every_caller_with_every_request() {
    let (ran, _) = ran(&format!("  - {{name: n, request: [GET /x, GET /y], caller: [anonymous, {ALICE}]}}\n  - {{request: GET /z}}\n"));
    let names: Vec<_> = ran.iter().map(|ran| ran.case.name.as_str()).collect();
    assert_eq!(
        names,
        ["n [anonymous, GET /x]", "n [somebody, GET /x]", "n [anonymous, GET /y]", "n [somebody, GET /y]", "anonymous, GET /z"]
    );
}

#[test]
fn what_is_written_for_other_programs_holds_no_markup_of_a_test() {
    let (ran, seen) = ran("  - {name: \"<script>&'\\\"\", request: GET /x, expect: allow}\n");
    let told = Told { ran: &ran, on_disk: &|file| file.to_owned() };
    let xml = told.junit();
    assert!(xml.contains("name=\"&lt;script&gt;&amp;&#39;&quot;\"") && !xml.contains("<script"), "{xml}");
    assert!(xml.contains("<testsuites name=\"cedargate test\" tests=\"1\" failures=\"1\" errors=\"0\">"), "{xml}");
    assert!(xml.contains("<failure message=\"deny instead of allow\">expected  allow\n"), "{xml}");
    let page = html::page(&seen);
    assert!(page.contains("context.host == &quot;&lt;b&gt;&amp;") && !page.contains("<b>"), "{page}");
    assert!(!page.contains("http:") && !page.contains("//") && !page.contains("<script"), "{page}");
    let json = told.json(Some(&seen));
    assert_eq!((&json["failed"], &json["coverage"]["applied"]["of"]), (&serde_json::json!(1), &serde_json::json!(3)));
}

#[test]
fn everything_that_is_wrong_with_a_file_is_told_at_once_with_its_line() {
    let text = "version: 2
tsts: []
callers:
  alice: {token: {issuer: corp, subject: alice, grups: [readers]}}
  bob: {}
  x y: {token: {issuer: corp, subject: x}}
  eve: {token: {issuer: corp}}
  both: {token: {issuer: c, subject: x}, signed_url: {}}
defaults: {client: 10.0.0, tme: 1}
tests:
  - {request: GET x}
  - {request: GET /x, caller: alcie, expect: alow}
  - {request: GET /x//y, expect: deny}
  - {request: GET /x, expect: {by: [reed], reason: policy.frobid, status: 42}}
  - {request: GET /x, headers: {Authorization: x}, signing: {expires_in: 1}}
  - {request: GET /x, time: tomorrow, https: 1, purpose: sign, signing: {format: nothing, expires_in: soon}}
  - {name: nothing}
  - GET /x
  - {name: 7, request: GET /x}
";
    let told = problems("a.yaml", text);
    for expected in [
        "1: this version is not known (this command reads version 1: write `version: 1` into the first line)",
        "2: unknown key `tsts` in the file (did you mean `tests`?)",
        "4: unknown key `grups` in a token (did you mean `groups`?)",
        "5: a caller without a credential (a caller has a `token`, a `certificate` or a `signed_url`; who has none of them is `anonymous`)",
        "6: `x y` cannot be the name of a caller (use letters, digits, `.`, `_`, `-` and `@`)",
        "7: a token without `issuer` or `subject` (`issuer` is its name in keys/issuers.toml, `subject` the claim)",
        "8: a caller with a token and a signed URL (the gate takes one of them: remove the other)",
        "9: `10.0.0` where an IP address, or `unknown` should be ()",
        "9: unknown key `tme` in `defaults` (did you mean `time`?)",
        "11: `GET x` is no request (write the method and the path: `GET /api/documents?draft=true`)",
        "12: no caller is called `alcie` (did you mean `alice`?)",
        "12: `alow` is not known here (did you mean `allow`?)",
        "13: the gate refuses this request before policies are asked: request.path_empty_segment: in segment 2 (if that is what the test is about, expect `reason: request.path_empty_segment`)",
        "14: no policy is called `reed` (did you mean `read`?)",
        "14: `policy.frobid` is no reason code (did you mean `policy.forbid`?)",
        "14: `42` where a status such as 403 should be ()",
        "15: `authorization` among the headers (say who asks with `caller`)",
        "15: `signing` without `purpose: sign` (add `purpose: sign`)",
        "16: `tomorrow` where a time such as `2026-03-01T09:30:00Z` should be ()",
        "16: `1` where `true` or `false` should be ()",
        "17: no `request` (write `request: GET /api/documents/1`)",
        "18: `GET /x` where a map, a test, should be ()",
        "19: a number, `true` or `false` where a text should be (put it in quotes)",
    ] {
        assert!(told.iter().any(|line| line == expected), "{expected}\nin {told:#?}");
    }
    assert_eq!(told.iter().filter(|line| line.starts_with("16:")).count(), 4, "{told:#?}");
}

#[test]
fn files_of_cedar_s_own_command_are_read_as_it_reads_them() {
    let request = r#"{"principal": "Gate::User::\"corp/alice\"", "action": "Gate::Action::\"POST\"", "resource": "Gate::Path::\"/x\"",
        "context": {"method": "POST", "host": "h", "path": "/x", "query": [], "headers": [], "https": true, "hour": 9, "weekday": 3,
        "time": {"__extn": {"fn": "datetime", "arg": "2025-01-01T09:00:00Z"}}}}"#;
    let test = |more: &str| format!("[{{\"name\": \"n\", \"request\": {request}, {more}}}]");
    let user =
        r#"[{"uid": {"type": "Gate::User", "id": "corp/alice"}, "attrs": {"issuer": "i", "subject": "s", "scopes": []}, "parents": []}]"#;
    let good = test("\"entities\": \"users.json\", \"decision\": \"deny\", \"reason\": [], \"num_errors\": 1");
    let (_folder, folders) = folder(&[("a.json", &good), ("users.json", user)]);
    let tests = Tests::read(&folders).unwrap();
    let cases = tests.cases().unwrap();
    let ran: Vec<_> = cases.into_iter().map(|case| run::run(&tests.gate, case, None)).collect();
    assert!(ran.len() == 1 && ran[0].passed(), "{ran:?}");

    let none = "\"entities\": [], \"decision\": \"deny\"";
    for (text, part) in [
        ("[", "EOF"),
        ("{}", "expected a sequence"),
        ("[{}]", "test 1: missing field `request`"),
        (&test("\"entities\": [], \"decision\": \"maybe\""), "unknown variant `maybe`"),
        (&test(&format!("{none}, \"raeson\": []")), "unknown field `raeson`"),
        (&test(&format!("{none}, \"reason\": [\"x\"]")), "no policy is called `x`"),
        (&test("\"entities\": \"gone.json\", \"decision\": \"deny\""), "there is no `gone.json` beside it"),
        (&test(none).replace("Gate::Path::", "Gate::Pth::"), "the request"),
        (&test(none).replace("\"hour\": 9, ", ""), "the context"),
    ] {
        let told = problems("a.json", text);
        assert!(told.iter().any(|line| line.contains(part)), "{part} in {told:?}");
    }
}

#[test]
fn a_file_that_would_be_overlooked_is_told() {
    assert_eq!(problems("a.yml", ""), ["0: the file would be overlooked (let its name end in `.yaml`)"]);
    assert_eq!(problems("a.yaml", "version: 1\n"), ["1: the file has no `tests` (write `tests:`, and below it `- request: GET /health`)"]);
    let (_folder, folders) = folder(&[("callers.yaml", "version: 1\ncallers: {anonymous: {token: {}}}\nmore: 1\n")]);
    let mut report = Report::default();
    Tests::read(&folders).unwrap().callers(&mut report);
    assert!(
        report.to_string().contains("there is a caller `anonymous` already") && report.to_string().contains("unknown key `more`"),
        "{report}"
    );
}
