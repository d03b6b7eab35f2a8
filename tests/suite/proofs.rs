//! `cedargate prove`: with the solver what is proved, without one or with a broken one that nothing is.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::PathBuf;

use serde_json::Value;

use super::support::process::{Ended, Project, ended};
use super::support::solver::needed;

/// A program that answers as a solver does not.
fn script(project: &Project, name: &str, text: &str) -> PathBuf {
    let path = project.path(name);
    fs::write(&path, format!("#!/bin/sh\n{text}\n")).unwrap();
    fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
    path
}

fn claims(project: &Project, text: &str) {
    project.write("policies/proofs.yaml", &format!("version: 1\nproofs:\n{text}"));
}

fn json(told: &Ended) -> Value {
    serde_json::from_str(&told.stdout).unwrap_or_else(|error| panic!("{error}: {told:?}"))
}

#[test]
fn what_the_sample_policies_claim_is_proved() {
    let Some(solver) = needed("what_the_sample_policies_claim_is_proved") else { return };
    let project = Project::new();
    let told = project.prove(solver, &["prove"]).ok();
    assert!(told.contains("proved      who has not said who they are changes nothing (") && told.ends_with("ok: 15 proved\n"), "{told}");
    let found = json(&project.prove(solver, &["prove", "--format", "json"]));
    assert_eq!((&found["proved"], &found["refuted"], &found["not_proved"]), (&15.into(), &0.into(), &0.into()));
}

#[test]
fn claims_are_no_part_of_what_is_sealed() {
    let project = Project::new();
    let before = project.run(&["check"]).ok();
    fs::remove_file(project.path("policies/proofs.yaml")).unwrap();
    assert_eq!(project.run(&["check"]).ok(), before);
}

#[test]
fn what_is_not_so_is_refuted_by_a_request_that_can_be_sent() {
    let Some(solver) = needed("what_is_not_so_is_refuted_by_a_request_that_can_be_sent") else { return };
    let project = Project::new();
    let told = project.prove(
        solver,
        &["prove", "always-denies", "principal is Gate::User && action == Gate::Action::\"PUT\" && resource is Gate::Document"],
    );
    assert_eq!(told.code, Some(4), "{told:?}");
    assert!(told.stdout.starts_with("NOT SO      always denied: principal is Gate::User"), "{}", told.stdout);
    assert!(told.stdout.contains("\n              PUT /api/documents/x1\n                by Gate::User::\"user-1\""), "{}", told.stdout);
    assert!(told.stdout.contains("decided by ") && told.stdout.ends_with("failed: 1 not so, 0 not proved, 0 proved\n"), "{}", told.stdout);
    let told = project.prove(
        solver,
        &["prove", "always-allows", "resource in Gate::Path::\"/api/admin\" && principal in Gate::Role::\"admin\"", "--format", "json"],
    );
    let found = json(&told);
    let one = &found["proofs"][0]["counterexamples"][0];
    assert_eq!(told.code, Some(4));
    assert!(one["http"].as_str().unwrap().contains(" /api/admin"), "{found:#}");
    // A group whose members may do all of it.
    project.write(
        "policies/root.cedar",
        "@id(\"root\")\n@reason(\"x\")\npermit (principal in Gate::Group::\"root\", action, resource == Gate::Path::\"/root\");\n",
    );
    let told = project.prove(solver, &["prove", "always-allows", "principal is Gate::Workload && principal in Gate::Group::\"root\" && resource == Gate::Path::\"/root\" && !(principal has suspended)"]);
    assert!(told.ok().starts_with("proved      always allowed: "));
}

#[test]
fn a_policy_that_can_fail_is_found() {
    let Some(solver) = needed("a_policy_that_can_fail_is_found") else { return };
    let project = Project::new();
    project.prove(solver, &["prove", "never-errors", "guardrail.refund-login"]).ok();
    project.edit("policies/guardrails.cedar", "context.token.auth_age <= 900", "context.token.auth_age + 60 <= 960");
    let told = project.prove(solver, &["prove", "never-errors"]);
    assert_eq!(told.code, Some(4), "{told:?}");
    for part in
        ["NOT SO      no policy fails\n", "POST /api/orders/x1/refund\n", "context.token.auth_age is 92233720368547", "integer overflow"]
    {
        assert!(told.stdout.contains(part), "{part}: {}", told.stdout);
    }
    // What is denied when a policy fails is not allowed: no proof of that either.
    let told = project.prove(solver, &["prove", "always-allows", "action == Gate::Action::\"refundOrder\" && principal is Gate::User && context has token && context.token has auth_age && context.token.auth_age == 9223372036854775807"]);
    assert_ne!(told.code, Some(0), "{told:?}");
}

#[test]
fn what_no_proof_can_be_about_is_said_and_not_passed_over() {
    let Some(solver) = needed("what_no_proof_can_be_about_is_said_and_not_passed_over") else { return };
    let project = Project::new();
    let told = project.prove(solver, &["prove", "always-denies", "principal is Gate::Anonymous && principal is Gate::User"]);
    assert_eq!(told.code, Some(6), "{told:?}");
    assert!(told.stdout.contains("no request can meet the condition"), "{told:?}");
    project.write("policies/odd.cedar", "@id(\"odd\")\n@reason(\"x\")\nforbid (principal, action, resource is Gate::Document) when { resource has owner && resource.owner.issuer == \"x\" };\n");
    let told = project.prove(solver, &["prove", "always-denies", "principal is Gate::Anonymous && action in Gate::Action::\"write\""]);
    assert_eq!(told.code, Some(6), "{told:?}");
    assert!(
        told.stdout.contains("not proved  ") && told.stdout.contains("odd looks at `issuer` of an entity that the gate may not know"),
        "{told:?}"
    );
}

#[test]
fn without_a_solver_nothing_is_run_and_nothing_passes() {
    let project = Project::new();
    let told = ended(project.with_solver(None, &["prove"]));
    assert_eq!(told.code, Some(6), "{told:?}");
    assert!(
        told.stdout.starts_with("not run     no policy fails, whatever is asked\n")
            && told.stdout.ends_with("failed: 0 not so, 15 not run, 0 proved\n"),
        "{told:?}"
    );
    assert!(
        told.stderr.starts_with("error: nothing was proved: there is no solver: ") && told.stderr.contains("    help: install cvc5 1.3.1"),
        "{told:?}"
    );
    let told = ended(project.with_solver(None, &["prove", "--format", "json"]));
    let found = json(&told);
    assert_eq!((told.code, &found["proofs"][0]["verdict"], &found["solver"]), (Some(6), &"not-run".into(), &Value::Null));
    // Everything else works.
    project.run(&["check"]).ok();
}

#[test]
fn a_solver_that_is_broken_proves_nothing() {
    let project = Project::new();
    claims(&project, "  - always-denies: principal is Gate::Anonymous && action in Gate::Action::\"write\"\n");
    let broken = [
        ("dies", "exit 3", "the solver"),
        ("silent", "cat >/dev/null", "no answer within 1 s"),
        ("babbles", "while read -r line; do echo nonsense; done", "the solver says `nonsense`"),
        ("fails", "while read -r line; do echo '(error \"out of memory\")'; done", "out of memory"),
        ("knows-nothing", "while read -r line; do case $line in *check-sat*) echo unknown;; esac; done", "the solver does not know"),
        // Whoever says that everything holds, or that nothing does.
        ("agrees", "while read -r line; do case $line in *check-sat*) echo unsat;; esac; done", "whose answer is known"),
        (
            "denies",
            "while read -r line; do case $line in *check-sat*) echo sat;; *get-model*) printf '(\\n)\\n';; esac; done",
            "the solver",
        ),
        ("dawdles", "exec sleep 600", "no answer within 1 s"),
    ];
    for (name, text, says) in broken {
        let told = ended(project.with_solver(Some(&script(&project, name, text)), &["prove", "--timeout", "1"]));
        assert_eq!(told.code, Some(6), "{name}: {told:?}");
        assert!(told.stdout.starts_with("not run     "), "{name}: {told:?}");
        assert!(told.stderr.contains("does not work: ") && told.stderr.contains(says), "{name}: {told:?}");
    }
    let told = ended(project.with_solver(Some(&project.path("missing")), &["prove"]));
    assert!(told.code == Some(6) && told.stderr.contains("the solver cannot be run: "), "{told:?}");
}

#[test]
fn a_solver_that_breaks_on_the_way_proves_nothing_more() {
    let Some(solver) = needed("a_solver_that_breaks_on_the_way_proves_nothing_more") else { return };
    let project = Project::new();
    // Right for so many lines, then gone; or then it says that everything holds by saying nothing.
    let real = solver.display();
    for (name, text) in
        [("gone", format!("head -n 300 | '{real}' \"$@\"")), ("stuck", format!("(head -n 300; sleep 600) | '{real}' \"$@\""))]
    {
        let told = ended(project.with_solver(Some(&script(&project, name, &text)), &["prove", "--timeout", "3", "never-errors"]));
        // `never-errors` of these policies is decided before any solver is asked.
        assert!(matches!(told.code, Some(0 | 6)), "{name}: {told:?}");
        let condition = "principal is Gate::Anonymous && action in Gate::Action::\"write\" && context.host like \"*.example.com\"";
        let told =
            ended(project.with_solver(Some(&script(&project, name, &text)), &["prove", "--timeout", "3", "always-denies", condition]));
        assert_eq!(told.code, Some(6), "{name}: {told:?}");
        assert!(told.stdout.contains("not proved  always denied") || told.stderr.contains("does not work"), "{name}: {told:?}");
    }
    // The control: the same with all of it.
    let condition = "principal is Gate::Anonymous && action in Gate::Action::\"write\" && context.host like \"*.example.com\"";
    project.prove(solver, &["prove", "always-denies", condition]).ok();
}

#[test]
fn what_is_wrong_with_claims_is_told_with_file_and_line() {
    let project = Project::new();
    claims(
        &project,
        "  - {name: a, always-denies: 'principal is'}
  - {name: a, always-denies: 'true', never-errors: all}
  - {name: b, always-denies: 'principal.scopes.contains(\"x\")'}
  - {name: c, always-denies: 'true', except: [public.helth, guardrail.suspended]}
  - {name: d, always-allow: 'true'}
  - {name: e, always-allows: 'true', except: [public.health]}
  - {name: f, never-errors: [nobody]}
  - {name: g, never-errors: all}
  - {name: g, never-errors: all}
",
    );
    let told = ended(project.with_solver(None, &["prove"])).failed(3);
    for part in [
        "policies/proofs.yaml:3:30: error[proof.condition]: no condition in Cedar: ",
        "policies/proofs.yaml:4:5: error[proof.claim]: a proof claims one thing",
        "policies/proofs.yaml:5:30: error[proof.condition]: ",
        "error[proof.policy]: no policy is called `public.helth`\n    help: did you mean `public.health`?",
        "error[proof.policy]: `guardrail.suspended` is a `forbid`",
        "error[test.key]: unknown key `always-allow` in a proof\n    help: did you mean `always-allows`?",
        "error[proof.claim]: `except` belongs to `always-denies`",
        "error[proof.policy]: no policy is called `nobody`",
        "error[proof.name]: `g` occurs twice",
    ] {
        assert!(told.contains(part), "{part}: {told}");
    }
    project.write("policies/proofs.yaml", "version: 1\n");
    assert!(project.run(&["prove"]).failed(3).contains("the file has no `proofs`"));
    fs::remove_file(project.path("policies/proofs.yaml")).unwrap();
    assert!(project.run(&["prove"]).failed(1).contains("there is no `policies/proofs.yaml`"));
    assert!(project.run(&["prove", "always-denies"]).failed(1).contains("of which requests?"));
    assert!(project.run(&["prove", "always-denies", "principal ="]).failed(1).contains("no condition in Cedar"));
    assert!(project.run(&["prove", "never-errors", "nobody"]).failed(1).contains("no policy is called `nobody`"));
    // A condition cannot say more than one.
    assert!(
        project
            .run(&["prove", "always-denies", "true }; permit (principal, action, resource) when { true"])
            .failed(1)
            .contains("no condition")
    );
}
