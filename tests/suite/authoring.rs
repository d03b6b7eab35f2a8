//! `cedargate new`, `fmt` and the lints of `check`: what is written passes, can be sealed, and serves.

use serde_json::Value;

use super::support::client::Request;
use super::support::gate::root;
use super::support::origin::Origin;
use super::support::process::Project;

/// A project made from a description of the suite, in an empty folder.
fn made(description: &str) -> (Project, String) {
    let project = Project::empty();
    let path = root().join("tests/data/openapi").join(description);
    let ended = project.run(&["new", ".", "--openapi", path.to_str().unwrap()]);
    let said = ended.stderr.clone();
    assert!(ended.ok().starts_with("made .: "));
    (project, said)
}

fn passes(project: &Project) {
    assert!(project.run(&["check", "--deny-lints"]).ok().starts_with("ok: "));
    assert_eq!(project.run(&["fmt", "--check"]).ok(), "");
    assert!(project.run(&["test"]).ok().starts_with("ok: "));
}

/// What a member of one group may do, and what neither a stranger nor a member of another group may.
fn serves(project: &Project, allowed: &[(&str, &str)], group: &str, other: (&str, &str)) {
    let origin = Origin::start(([127, 0, 0, 1], 0).into());
    let up = project.up(&["--dev", "--origin", &format!("http://{}", origin.addr)]);
    let member = project.run(&["token", "--sub", "alice", "--group", group]).ok();
    let stranger = project.run(&["token", "--sub", "bob"]).ok();
    for (method, path) in allowed {
        let request = || Request::new(method, path);
        let asked = request().bearer(member.trim());
        assert_eq!((asked.send(up.addr).status, origin.seen(&asked.id).len()), (200, 1), "{method} {path}");
        assert_eq!(request().bearer(stranger.trim()).send(up.addr).status, 403, "{method} {path}");
        assert_eq!(request().send(up.addr).status, 401, "{method} {path}");
    }
    let (method, path) = other;
    assert_eq!(Request::new(method, path).bearer(member.trim()).send(up.addr).status, 403, "{method} {path}");
    let record = up.records(1).remove(0);
    assert_eq!(record["status"], 200, "{record}");
    up.stop();
}

#[test]
fn a_new_project_passes_its_own_checks_and_serves() {
    let project = Project::empty();
    project.run(&["new", "."]).ok();
    passes(&project);
    // The first requests that `up` prints are those of this project.
    let up = project.up(&["--dev"]);
    let reader = project.run(&["token", "--sub", "alice", "--group", "readers"]).ok();
    let document = || Request::get("/api/documents/1").bearer(reader.trim());
    assert_eq!(document().send(up.addr).status, 200);
    assert_eq!(Request::new("DELETE", "/api/documents/1").bearer(reader.trim()).send(up.addr).status, 403);
    assert_eq!(Request::get("/health").send(up.addr).status, 200);
    up.stop();
    assert!(project.run(&["new", "."]).failed(1).contains("is not empty"));
}

#[test]
fn the_petstore_becomes_a_gate() {
    let (project, said) = made("petstore.yaml");
    assert!(!said.contains("warning"), "{said}");
    passes(&project);
    let routes = String::from_utf8(project.read("policies/routes.toml")).unwrap();
    assert!(routes.contains("path = \"/api/v3/pet/{id}\"\nresource = \"Pet\"\n"), "{routes}");
    assert!(
        routes.contains("scopes = { PUT = [\"read:pets\", \"write:pets\"]") || routes.contains("[\"read:pets\", \"write:pets\"]"),
        "{routes}"
    );
    serves(
        &project,
        &[("GET", "/api/v3/pet/1"), ("HEAD", "/api/v3/pet/1"), ("POST", "/api/v3/pet")],
        "pet-users",
        ("GET", "/api/v3/store/inventory"),
    );
}

#[test]
fn a_description_in_json_with_many_parameters_becomes_a_gate() {
    let (project, said) = made("github.json");
    assert!(said.contains("warning: `/repos/{owner}/{repo}/compare/{base}...{head}` is left out"), "{said}");
    passes(&project);
    let allowed = [("GET", "/repos/a/b/issues/1"), ("POST", "/repos/a/b/issues/1/comments"), ("DELETE", "/repos/a/b/issues/1/labels/x")];
    serves(&project, &allowed, "issues-users", ("GET", "/repos/a/b"));
}

#[test]
fn a_description_in_yaml_with_references_and_a_base_path_becomes_a_gate() {
    let (project, said) = made("spotify.yaml");
    assert!(!said.contains("warning"), "{said}");
    passes(&project);
    serves(&project, &[("GET", "/v1/playlists/x"), ("POST", "/v1/users/me/playlists")], "playlists-users", ("PUT", "/v1/me/tracks"));
}

#[test]
fn test_skeletons_have_one_expectation_for_each_operation() {
    let (project, _) = made("petstore.yaml");
    let mut requests = 0;
    for tag in ["pet", "store", "user"] {
        let text = String::from_utf8(project.read(&format!("policies/tests/{tag}.yaml"))).unwrap();
        requests += text.matches("    request: \"").count();
        assert_eq!(text.matches("    expect: deny\n").count(), text.matches("  - name: \"").count());
        assert!(text.contains("    caller: { token: { issuer: dev, subject: alice, groups: [] } }\n"), "{text}");
    }
    assert_eq!(requests, 19);
}

#[test]
fn what_is_no_description_leaves_nothing_behind() {
    let project = Project::empty();
    project.write("swagger.json", "{\"swagger\": \"2.0\", \"paths\": {}}");
    assert!(project.run(&["new", "api", "--openapi", "swagger.json"]).failed(1).contains("Swagger 2"));
    assert!(project.run(&["new", "api", "--openapi", "none.json"]).failed(1).contains("cannot be read"));
    assert!(!project.path("api").exists());
}

#[test]
fn a_hostile_description_is_tamed() {
    let project = Project::empty();
    let text = r#"{"openapi": "3.0.0", "paths": {
        "/a/{x y}": {"get": {"tags": ["x\"]; permit(principal,action,resource);//\n"], "operationId": "a\"\n];", "summary": "\u001b[2J\npermit(principal, action, resource);"}},
        "/b": {"get": {"tags": ["x | y"], "summary": "\u202e"}, "post": {"tags": ["guardrails"]}, "trace": {}},
        "/c\"\n[[route]]": {"get": {}},
        "/d/{}": {"get": {"operationId": "revoke"}}}}"#;
    project.write("api.json", text);
    let ended = project.run(&["new", "api", "--openapi", "api.json"]);
    assert!(!ended.stderr.contains('\x1b'), "{ended:?}");
    ended.ok();
    let ended = project.run(&["check", "--deny-lints", "--policies", "api/policies", "--keys", "api/keys"]);
    assert!(ended.ok().starts_with("ok: 5 policies"));
}

#[test]
fn warnings_are_told_denied_and_allowed() {
    let project = Project::new();
    let digest = |text: String| text.rsplit_once(' ').unwrap().1.to_owned();
    assert_eq!(project.run(&["check", "--deny-lints"]).stderr.matches("warning[").count(), 0, "the samples have nothing to look at");
    project.write("policies/odd.cedar", "@id(\"odd\")\n@reason(\"for a test\")\npermit (principal is Gate::User, action == Gate::Action::\"GET\", resource)\nwhen { context.path like \"/odd*\" };\n");
    let warned = project.run(&["check"]);
    assert!(warned.stderr.contains("policies/odd.cedar:1:1: warning[lint.like_on_path]: "), "{warned:?}");
    assert!(warned.stderr.contains("warning: 1 problem in 1 file\n"), "{warned:?}");
    let before = digest(warned.ok());
    let denied = project.run(&["check", "--deny-lints"]).failed(3);
    assert!(denied.contains("error[lint.like_on_path]"), "{denied}");
    let json: Value = serde_json::from_str(&project.run(&["check", "--format", "json"]).ok()).unwrap();
    assert_eq!((&json[0]["severity"], &json[0]["code"], &json[0]["line"]), (&"warning".into(), &"lint.like_on_path".into(), &1.into()));

    let allow = "version = 1\n\n[[allow]]\nlint = \"lint.like_on_path\"\npolicy = \"odd\"\nbecause = \"a test\"\n";
    project.write("policies/lints.toml", allow);
    assert_eq!(digest(project.run(&["check", "--deny-lints"]).ok()), before, "it is no part of what is sealed");
    project.write("policies/lints.toml", &allow.replace("\"odd\"", "\"other\""));
    let unused = project.run(&["check"]).stderr;
    assert!(unused.contains("policies/lints.toml:3:1: warning[lints.unused]"), "{unused}");
    project.write("policies/lints.toml", &allow.replace("like_on_path", "like_on_paths"));
    assert!(project.run(&["check"]).failed(3).contains("did you mean `lint.like_on_path`?"));
}

#[test]
fn policies_are_formatted_without_changing_what_they_say() {
    let project = Project::new();
    assert_eq!(project.run(&["fmt", "--check"]).ok(), "", "the samples are as they are meant to look");
    project.edit("policies/guardrails.cedar", "when\n{", "when {");
    let before = project.run(&["check"]).ok();
    let shown = project.run(&["fmt", "--check"]);
    assert_eq!(shown.code, Some(3), "{shown:?}");
    assert!(
        shown.stdout.contains("policies/guardrails.cedar\n  line ") && !shown.stdout.contains("policies/schema.cedarschema"),
        "{shown:?}"
    );
    project.run(&["fmt"]).ok();
    assert_eq!(project.run(&["fmt", "--check"]).ok(), "");
    let after = project.run(&["check", "--deny-lints"]).ok();
    assert_eq!(before.split(", policy digest").next(), after.split(", policy digest").next());
}
