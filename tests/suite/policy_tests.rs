//! `cedargate test` and `cedargate matrix`, as authors of policies run them.

use std::fs;

use serde_json::Value;

use super::support::process::Project;

/// A project whose only test is this file.
fn with_test(name: &str, text: &str) -> Project {
    let project = Project::new();
    fs::remove_dir_all(project.path("policies/tests")).unwrap();
    fs::create_dir(project.path("policies/tests")).unwrap();
    project.write(&format!("policies/tests/{name}"), text);
    project
}

const FREEZE: &str =
    "@id(\"documents.freeze\")\nforbid (principal is Gate::User, action in Gate::Action::\"read\", resource is Gate::Document);\n";

#[test]
fn the_sample_policies_pass_their_tests_and_are_covered() {
    let project = Project::new();
    let told = project.run(&["test", "--coverage", "--fail-under", "90"]).ok();
    assert!(told.contains(" passed\n") && told.contains("27 of 27 policies applied"), "{told}");
    let told = project.run(&["matrix", "--check"]).ok();
    assert_eq!(told, "ok: policies/tests/matrix.txt, 41 requests for 12 callers\n");
}

#[test]
fn a_test_that_fails_ends_with_its_code_and_says_why_everywhere() {
    let text =
        "version: 1\ntests:\n  - {name: frozen, request: GET /api/documents/3, expect: allow}\n  - {request: GET /health, expect: allow}\n";
    let project = with_test("a.yaml", text);
    project.run(&["test"]).ok();
    project.write("policies/freeze.cedar", &FREEZE.replace("principal is Gate::User", "principal"));
    let told = project.run(&["test", "--junit", "out.xml"]);
    assert_eq!((told.code, told.stderr.as_str()), (Some(4), ""), "{told:?}");
    for part in [
        "FAIL policies/tests/a.yaml:3: frozen\n  expected  allow\n  got       deny, by documents.freeze, policy.forbid, 401\n",
        "  forbid documents.freeze applies\n    - action in Gate::Action::\"read\"\n    - resource is Gate::Document\n",
        "failed: 1 failed, 1 passed\n",
    ] {
        assert!(told.stdout.contains(part), "{part}: {}", told.stdout);
    }
    let xml = String::from_utf8(project.read("out.xml")).unwrap();
    for part in [
        "<testsuites name=\"cedargate test\" tests=\"2\" failures=\"1\" errors=\"0\">",
        "<testcase classname=\"policies/tests/a.yaml\" name=\"frozen\" file=\"policies/tests/a.yaml\" line=\"3\">",
        "<failure message=\"deny instead of allow\">expected  allow\n",
        "name=\"anonymous, GET /health\" file=\"policies/tests/a.yaml\" line=\"4\"/>",
    ] {
        assert!(xml.contains(part), "{part}: {xml}");
    }
    let json = project.run(&["test", "--format", "json"]);
    let value: Value = serde_json::from_str(&json.stdout).unwrap();
    assert_eq!((json.code, &value["failed"], &value["coverage"]), (Some(4), &1.into(), &Value::Null));
    let frozen = &value["tests"][0];
    assert_eq!((&frozen["got"]["by"][0], &frozen["nearest"][0]["id"]), (&"documents.freeze".into(), &"documents.freeze".into()));
    // The other one passes.
    assert_eq!(project.run(&["test", "--filter", "health"]).ok(), "ok: 1 passed\n");
}

#[test]
fn what_is_wrong_with_tests_is_told_with_file_and_line() {
    let project = with_test("a.yaml", "version: 1\ntests:\n  - {request: GET /health, expct: allow}\n");
    project.write("policies/tests/b.yaml", "version: 1\ntests: [\n");
    project.write("policies/tests/c.json", "{}");
    let told = project.run(&["test"]).failed(3);
    assert!(
        told.contains("policies/tests/a.yaml:3:28: error[test.key]: unknown key `expct` in a test\n    help: did you mean `expect`?"),
        "{told}"
    );
    for part in ["policies/tests/b.yaml:", "policies/tests/c.json:1:", "error[test.syntax]", "3 problems in 3 files"] {
        assert!(told.contains(part), "{part}: {told}");
    }
    // Policies come first: tests of what is not valid would mean nothing.
    project.write("policies/bad.cedar", "permit (");
    let told = project.run(&["test"]).failed(3);
    assert!(told.contains("policies/bad.cedar") && !told.contains("a.yaml"), "{told}");
}

#[test]
fn no_test_is_not_success() {
    let project = with_test("callers.yaml", "version: 1\ncallers: {}\n");
    let told = project.run(&["test"]).failed(1);
    assert!(told.contains("there are no tests in `policies/tests`"), "{told}");
    project.write("policies/tests/a.yaml", "version: 1\ntests: [{request: GET /health, expect: allow}]\n");
    let told = project.run(&["test", "--filter", "nothing"]).failed(1);
    assert!(told.contains("no test has `nothing` in its name"), "{told}");
    let told = project.run(&["test", "--fail-under", "50"]);
    assert_eq!((told.code, told.stdout.as_str()), (Some(4), "ok: 1 passed\n"));
    assert!(told.stderr.starts_with("error: coverage is ") && told.stderr.ends_with(" %, less than 50 %\n"), "{}", told.stderr);
    assert_eq!(project.run(&["test", "--fail-under", "101"]).code, Some(1));
    let told = project.run(&["test", "--junit", "no/such/folder.xml"]).failed(1);
    assert!(told.contains("`no/such/folder.xml` cannot be written"), "{told}");
}

#[test]
fn a_change_of_policy_is_told_in_sentences_until_the_matrix_is_written_anew() {
    let project = Project::new();
    let before = project.read("policies/tests/matrix.txt");
    project.write("policies/freeze.cedar", FREEZE);
    let told = project.run(&["matrix", "--check"]);
    assert_eq!(told.code, Some(4), "{told:?}");
    let sentence = "bob may no longer GET /api/documents/1: denied by documents.freeze (was allowed by documents.reader-group)\n";
    assert!(told.stdout.contains(sentence), "{}", told.stdout);
    assert!(told.stdout.contains(
        "mallory still may not GET /api/documents/1: denied by documents.freeze, guardrail.suspended (was denied by guardrail.suspended)\n"
    ));
    assert!(
        told.stderr.contains("changes against `policies/tests/matrix.txt`") && told.stderr.contains("run `cedargate matrix`"),
        "{}",
        told.stderr
    );
    assert_eq!(project.read("policies/tests/matrix.txt"), before, "checking writes nothing");

    let told = project.run(&["matrix"]).ok();
    assert!(told.contains(sentence) && told.ends_with("written: policies/tests/matrix.txt, 41 requests for 12 callers\n"), "{told}");
    project.run(&["matrix", "--check"]).ok();
    fs::remove_file(project.path("policies/freeze.cedar")).unwrap();
    let told = project.run(&["matrix"]).ok();
    assert!(
        told.contains("bob may now GET /api/documents/1: allowed by documents.reader-group (was denied by documents.freeze)\n"),
        "{told}"
    );
    assert_eq!(project.read("policies/tests/matrix.txt"), before);
    assert!(project.run(&["matrix"]).ok().starts_with("unchanged: "));

    project.edit("policies/tests/matrix.txt", "# Identity", "# identity");
    let told = project.run(&["matrix", "--check"]);
    assert!(told.code == Some(4) && told.stderr.contains("but its comments or its layout"), "{told:?}");
    fs::remove_file(project.path("policies/tests/matrix.txt")).unwrap();
    let told = project.run(&["matrix", "--check"]);
    assert!(told.code == Some(4) && told.stderr.contains("there is no `policies/tests/matrix.txt` to check against"), "{told:?}");
}

#[test]
fn a_matrix_that_could_not_be_read_again_is_refused() {
    let project = with_test("callers.yaml", "version: 1\ncallers: {eve: {token: {issuer: dev, subject: eve}}}\n");
    let told = project.run(&["matrix"]).failed(1);
    assert!(told.contains("`policies/tests/matrix.yaml` does not exist"), "{told}");
    let text = "version: 1
callers: [eve, eve, adam]
requests:
  - GET /
  - GET /
  - {name: '# x', request: GET /x}
  - {request: [GET /x, GET /y]}
  - GET //
  - {request: GET /z, expect: allow}
";
    project.write("policies/tests/matrix.yaml", text);
    let told = project.run(&["matrix", "--check"]).failed(3);
    for part in [
        "matrix.yaml:2:16: error[test.table]: `eve` occurs twice",
        "matrix.yaml:2:21: error[test.caller]: no caller is called `adam`",
        "matrix.yaml:5:5: error[test.table]: `GET /` occurs twice",
        "matrix.yaml:6:5: error[test.table]: a name that could not be read again",
        "matrix.yaml:7:5: error[test.value]: a map where one request should be",
        "matrix.yaml:8:5: error[test.request]: the gate refuses this request before policies are asked: request.path_not_absolute",
        "error[test.key]: unknown key `expect` in a request",
    ] {
        assert!(told.contains(part), "{part}: {told}");
    }
    project.write("policies/tests/matrix.yaml", "version: 1\n");
    let told = project.run(&["matrix"]).failed(3);
    assert!(told.contains("the file has no `callers`") && told.contains("the file has no `requests`"), "{told}");
}
