//! `cedargate diff`: what a change of policies means, and for whom.

use std::fs;

use serde_json::{Value, json};

use super::support::client::Request;
use super::support::origin::Origin;
use super::support::process::{Ended, Project, copy};
use super::support::solver::needed;

/// A project whose `old/` is what its policies were.
fn project() -> Project {
    let project = Project::new();
    copy(&project.path("policies"), &project.path("old"));
    project
}

fn diff(project: &Project, more: &[&str]) -> Ended {
    project.run(&[&["diff", "old", "policies"], more].concat())
}

fn json(project: &Project, more: &[&str]) -> Value {
    let told = diff(project, &[more, &["--format", "json"]].concat());
    serde_json::from_str(&told.stdout).unwrap_or_else(|error| panic!("{error}: {told:?}"))
}

const WIDER: &str = "@id(\"orders.everybody\")\n@reason(\"whoever has a token reads orders\")\npermit (principal is Gate::User, action in Gate::Action::\"read\", resource in Gate::Path::\"/api/orders\");\n";

#[test]
fn what_is_only_written_otherwise_is_no_difference() {
    let project = project();
    let told = diff(&project, &[]).ok();
    assert!(
        told.starts_with("policies: all 27 say the same\n") && told.ends_with("ok: nobody gains anything; nobody loses anything\n"),
        "{told}"
    );
    project.run(&["fmt"]).ok();
    project.edit("policies/guardrails.cedar", "// Guardrails", "// Barriers");
    // Two conditions for one, and a comment in the schema.
    project.edit(
        "policies/admin.cedar",
        "when { principal in Gate::Group::\"admins\" || principal in Gate::Role::\"admin\" }\nwhen",
        "when { principal in Gate::Group::\"admins\" || principal in Gate::Role::\"admin\" }\n// and\nwhen",
    );
    project.edit("policies/schema.cedarschema", "namespace Gate {", "// ours\nnamespace Gate {");
    let told = diff(&project, &[]).ok();
    assert!(told.starts_with("policies: all 27 say the same\n\nmatrix: 492 answers, all as before\n"), "{told}");
    assert!(!told.contains("other files"), "{told}");
    // The other way round it is a difference.
    project.edit("policies/admin.cedar", "\"admins\"", "\"root\"");
    assert!(diff(&project, &[]).stdout.starts_with("policies: 1 changed, 0 added, 0 removed, 26 the same\n"));
}

#[test]
fn a_change_is_told_clause_by_clause_and_for_whom() {
    let project = project();
    project.edit(
        "policies/documents.cedar",
        "action in [Gate::Action::\"GET\", Gate::Action::\"HEAD\"],\n  resource == Gate::Path::\"/api/documents\"",
        "action in [Gate::Action::\"GET\", Gate::Action::\"POST\"],\n  resource == Gate::Path::\"/api/documents\"",
    );
    project.edit("policies/orders.cedar", "whoever placed an order may read it", "who placed an order reads it");
    project.edit("policies/public.cedar", "@id(\"public.health\")", "@id(\"public.status\")");
    project.edit(
        "policies/routes.toml",
        "path = \"/api/documents\"\nscopes = { POST = [\"documents.write\"] }",
        "path = \"/api/documents\"",
    );
    project.edit("policies/entities.json", "\"department\": \"research\"", "\"department\": \"sales\"");
    let told = diff(&project, &[]);
    assert_eq!(told.code, Some(5), "{told:?}");
    for part in [
        "policies: 2 changed, 1 added, 1 removed, 24 the same\n",
        "  + permit public.status: the health of the API is public\n      + action in [Gate::Action::\"GET\", Gate::Action::\"HEAD\"]\n",
        "  - permit public.health: the health of the API is public\n",
        "  ~ permit documents.list: readers, writers and auditors may list documents\n      - action in [Gate::Action::\"GET\", Gate::Action::\"HEAD\"]\n      + action in [Gate::Action::\"GET\", Gate::Action::\"POST\"]\n",
        "      @reason: \"whoever placed an order may read it\" → \"who placed an order reads it\"\n",
        "other files: 2 changed\n  ~ policies/entities.json\n      [Gate::User::\"dev/alice\"].attrs.department: \"research\" → \"sales\"\n  ~ policies/routes.toml\n",
        "  + bob may now POST /api/documents: allowed by documents.list (was denied: the scope documents.write is missing)\n",
        // The tests name a policy that is gone.
        "tests: not asked, a test does not fit these policies, ",
    ] {
        assert!(told.stdout.contains(part), "{part}: {}", told.stdout);
    }
    assert!(told.stdout.contains("\nwider: ") && told.stdout.contains(" answers allow what was denied; "), "{}", told.stdout);
}

#[test]
fn who_gains_fails_until_it_is_approved_and_who_loses_does_not() {
    let project = project();
    project.write("policies/more.cedar", WIDER);
    let told = diff(&project, &[]);
    assert_eq!(told.code, Some(5), "{told:?}");
    assert!(
        told.stdout.contains("  + bob may now GET /api/orders/41: allowed by orders.everybody (was denied: nothing permits it)\n"),
        "{}",
        told.stdout
    );
    let found = json(&project, &[]);
    let change = &found["matrix"]["changes"][0];
    assert_eq!(
        (&change["flip"], &change["policies"], &change["approved"]),
        (&json!("deny-to-allow"), &json!(["orders.everybody"]), &json!(false))
    );
    assert!(found["widened"].as_u64().unwrap() > 5 && found["approved"] == 0 && found["narrowed"] == 0, "{found}");

    let approve = |text: &str| {
        project.write("approvals.toml", &format!("version = 1\n[[approve]]\nbecause = 'CHG-7'\nflip = 'deny-to-allow'\n{text}"))
    };
    approve("policy = 'orders.everybody'\npath = '/api/orders'");
    let told = diff(&project, &["--approvals", "approvals.toml"]).ok();
    assert!(told.contains("  approved: bob may now GET /api/orders/41") && told.contains("ok: nobody gains anything, besides "), "{told}");
    approve("policy = 'orders.everybody'\npath = '/api/orders/41'");
    assert_eq!(diff(&project, &["--approvals", "approvals.toml"]).code, Some(5));
    approve("policy = 'other'");
    let told = diff(&project, &["--approvals", "approvals.toml"]);
    assert!(told.code == Some(5) && told.stderr.contains("nothing flips any more that this approves"), "{told:?}");

    // The other way round everybody loses, and that is not held against it.
    let told = project.run(&["diff", "policies", "old"]).ok();
    assert!(told.contains("  - bob may no longer GET /api/orders/41") && told.contains("ok: nobody gains anything; "), "{told}");
}

#[test]
fn what_tests_ask_is_compared_too() {
    let project = project();
    project.edit("policies/guardrails.cedar", "context.weekday <= 5", "context.weekday <= 6");
    let told = diff(&project, &[]);
    assert_eq!(told.code, Some(5), "{told:?}");
    let part =
        "  + not on a Saturday: allow by orders.owner-cancels, was deny by guardrail.business-hours (policies/tests/guardrails.yaml:";
    assert!(told.stdout.contains(part) && told.stdout.contains(", and it fails now)\n"), "{}", told.stdout);
    // Of a folder that is named.
    let told = diff(&project, &["--tests", "old"]);
    assert!(told.stdout.contains("(old/tests/guardrails.yaml:"), "{}", told.stdout);
    assert!(diff(&project, &["--tests", "none"]).failed(1).contains("there are no tests in `none`"));
}

/// Records that a gate wrote, decided by what is live, by what was live, and by neither.
#[test]
fn requests_of_a_log_are_asked_of_both() {
    let project = project();
    let origin = Origin::start(([127, 0, 0, 1], 0).into());
    let up = project.up(&["--dev", "--records", "records.jsonl", "--origin", &format!("http://{}", origin.addr)]);
    let token = project.run(&["token", "--sub", "carol", "--group", "visitors"]).ok();
    let order = Request::get("/api/orders/9000").bearer(token.trim());
    assert_eq!((order.send(up.addr).status, order.send(up.addr).status), (403, 403));
    assert_eq!(Request::get("/health").send(up.addr).status, 200);
    up.stop();

    // Everything is as it was: nothing flips, and that was asked of every record.
    let log = ["--dev", "--log", "records.jsonl"];
    let told = diff(&project, &log).ok();
    assert!(
        told.contains("\ndecision logs\n") && told.contains("        3  unchanged: ") && told.contains("  no answer flips\n"),
        "{told}"
    );
    project.write("policies/more.cedar", WIDER);
    let told = diff(&project, &log);
    assert_eq!(told.code, Some(5), "{told:?}");
    assert!(told.stdout.contains("orders.everybody") && told.stdout.contains("/api/orders/9000"), "{}", told.stdout);
    let found = json(&project, &log);
    assert_eq!((&found["log"]["deny_to_allow"], &found["log"]["unchanged"]), (&json!(2), &json!(1)), "{}", found["log"]);
}

#[test]
fn what_is_sealed_is_found_by_its_tag_its_digest_and_in_its_component() {
    let project = project();
    let sealed: Value = serde_json::from_str(&project.run(&["seal", "--format", "json"]).ok()).unwrap();
    let digest = sealed["policy_digest"].as_str().unwrap();
    project.run(&["release", "--tag", "v1"]).ok();
    project.write("policies/more.cedar", WIDER);
    for old in [digest, &digest[..4], "v1", "target/sealed/cedargate.wasm"] {
        let told = project.run(&["diff", old, "policies"]);
        assert_eq!(told.code, Some(5), "{told:?}");
        assert!(told.stdout.starts_with("policies: 0 changed, 1 added, 0 removed, 27 the same\n"), "{}", told.stdout);
        // Of two sealed gates, this folder's tests.
        assert!(project.run(&["diff", old, old]).ok().contains("matrix: 492 answers, all as before\n"));
    }
    // A project brings its own keys.
    fs::create_dir(project.path("branch")).unwrap();
    copy(&project.path("policies"), &project.path("branch/policies"));
    copy(&project.path("keys"), &project.path("branch/keys"));
    assert_eq!(project.run(&["diff", ".", "branch"]).code, Some(0));
}

#[test]
fn what_cannot_be_compared_is_told() {
    let project = project();
    for (name, says) in [
        ("nowhere", "`nowhere` is no folder and no sealed component"),
        ("nowhere", "`nowhere` is neither a tag nor a digest"),
        ("012", "is neither a tag nor a digest"),
        ("0123abcd", "nothing in the archive `.cedargate/archive` is called `0123abcd`"),
        ("spin.toml", "`spin.toml` is no sealed component"),
    ] {
        let told = project.run(&["diff", name, "policies"]).failed(1);
        assert!(told.contains(says), "{says}: {told}");
    }
    project.write("policies/bad.cedar", "permit (");
    assert!(diff(&project, &[]).failed(3).contains("policies/bad.cedar"));
    fs::remove_file(project.path("policies/bad.cedar")).unwrap();
    project.write("approvals.toml", "version = 1\n[[approve]]\nflip = 'deny'\nbecause = 'x'\n");
    assert!(diff(&project, &["--approvals", "approvals.toml"]).failed(1).contains("is none of `allow-to-deny`"));
    assert!(diff(&project, &["--log", "none.jsonl"]).failed(1).contains("none.jsonl"));
}

#[test]
fn a_proof_finds_what_no_test_asks() {
    let project = project();
    // Nobody ever asked for this path.
    project.write("policies/more.cedar", &WIDER.replace("/api/orders", "/reports"));
    diff(&project, &[]).ok();
    let Some(solver) = needed("a_proof_finds_what_no_test_asks") else { return };
    let prove = |more: &[&str]| project.prove(solver, &[&["diff", "old", "policies", "--prove"], more].concat());
    let told = prove(&[]);
    assert_eq!((told.code, told.stderr.as_str()), (Some(5), ""), "{told:?}");
    for part in [" looser, ", "  looser: User GET Path\n    allowed now\n      GET /reports", "decided by orders.everybody\n", "wider: "] {
        assert!(told.stdout.contains(part), "{part}: {}", told.stdout);
    }
    // Everything that one policy gives is approved by its name.
    project.write("approvals.toml", "version = 1\n[[approve]]\nflip = 'deny-to-allow'\npolicy = 'orders.everybody'\nbecause = 'x'\n");
    let told = prove(&["--approvals", "approvals.toml"]).ok();
    assert!(told.contains("  looser, approved: User GET Path\n") && told.contains("\nok: "), "{told}");
    // What it gives besides is not.
    project.edit("policies/links.cedar", "when { principal in [Gate::Group::\"readers\", Gate::Group::\"writers\"] }", "");
    let told = prove(&["--approvals", "approvals.toml", "--format", "json"]);
    let found: Value = serde_json::from_str(&told.stdout).unwrap();
    let of = |kind: &str| found["proofs"]["kinds"].as_array().unwrap().iter().find(|one| one["kind"] == kind).cloned().unwrap();
    assert_eq!(
        (told.code, &of("User sign Document")["relation"], &of("User sign Document")["approved"]),
        (Some(5), &json!("looser"), &json!(false))
    );
    assert_eq!((&of("User GET Path")["approved"], &of("User PUT Path")["relation"]), (&json!(true), &json!("equivalent")));
}

#[test]
fn a_proof_tells_what_is_the_same_and_what_is_less() {
    let Some(solver) = needed("a_proof_tells_what_is_the_same_and_what_is_less") else { return };
    let project = project();
    let prove = || project.prove(solver, &["diff", "old", "policies", "--prove"]);
    // Said in another way.
    project.edit(
        "policies/guardrails.cedar",
        "context.weekday <= 5 && context.hour >= 8 && context.hour < 18",
        "context.hour >= 8 && context.hour <= 17 && !(context.weekday == 6 || context.weekday == 7)",
    );
    let told = prove().ok();
    assert!(told.contains("policies: 1 changed") && told.contains(" equivalent\n") && !told.contains("looser"), "{told}");
    // Whoever is in marketing signs nothing: links of theirs may be out, and count no more.
    project.write(
        "policies/less.cedar",
        "@id(\"links.stopped\")\n@reason(\"x\")\nforbid (principal, action == Gate::Action::\"sign\", resource is Gate::Document);\n",
    );
    let told = prove().ok();
    assert!(
        told.contains("  stricter: User sign Document\n") && told.contains("    allowed before\n      GET /api/documents/x1\n"),
        "{told}"
    );
    assert!(told.contains("  stricter: SignedUrl GET Document\n"), "a link is decided by what is said about signing: {told}");
}

#[test]
fn without_a_solver_a_diff_is_told_and_no_proof_of_it() {
    let project = project();
    let told = super::support::process::ended(project.with_solver(None, &["diff", "old", "policies", "--prove"]));
    assert_eq!(told.code, Some(6), "{told:?}");
    assert!(
        told.stdout.contains("\nproofs: not run\n")
            && told.stdout.ends_with("not proved: nobody who was asked gains anything; nobody loses anything\n"),
        "{told:?}"
    );
    assert!(
        told.stderr.contains("error: nothing was proved: there is no solver") && told.stderr.contains("help: install cvc5"),
        "{told:?}"
    );
}
