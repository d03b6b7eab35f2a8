//! Policies on trial: asked, recorded, and never obeyed.

use std::process::{Command, Stdio};

use cedargate::bundle::{Bundle, Gate as Loaded};
use serde_json::{Value, json};

use super::support::client::Request;
use super::support::gate::{Expect, Gate, Setup, bundle};
use super::support::links::origin;
use super::support::process::{Ended, ended};
use super::support::token::Token;

const FORBID: &str = "@id(\"trial.nothing\") @reason(\"nothing is allowed\") forbid(principal, action, resource);";
const PERMIT: &str = "@id(\"trial.everything\") permit(principal, action, resource);";

fn on_trial(policies: &str) -> Bundle {
    let mut bundle = bundle();
    bundle.insert("policies/shadow/all.cedar", policies);
    bundle
}

/// What everybody gets, in order: status and reason of the enforced policies.
fn ask_all(gate: &Gate) -> Vec<(u16, Value, Value)> {
    let user = |subject: &str, groups: &[&str]| Token::dev(gate.now(), subject).groups(groups).make();
    let requests = [
        Request::get("/health"),
        Request::get("/api/documents/1"),
        Request::get("/api/documents/1").bearer(&user("eve", &["readers"])),
        Request::new("DELETE", "/api/documents/1").bearer(&user("eve", &["readers"])),
        Request::get("/api/documents/1").bearer(&user("mallory", &["readers"])),
        Request::get("/api/documents/1").bearer(&Token::dev(gate.now() - 100_000, "eve").make()),
        Request::get("//"),
        Request::get("/.well-known/cedargate/health"),
        Request::new("POST", "/.well-known/cedargate/revocations").bearer(&user("eve", &["readers"])).body("{}"),
    ];
    requests
        .iter()
        .map(|request| {
            let response = request.send(gate.addr);
            let record = gate.record_of(&response).unwrap();
            (response.status, record["reason"].clone(), record["shadow"].clone())
        })
        .collect()
}

fn told(gate: &Gate, args: &[&str]) -> Ended {
    let folder = tempfile::tempdir().unwrap();
    let log = folder.path().join("log.jsonl");
    std::fs::write(&log, gate.lines().iter().map(|line| format!("{line}\n")).collect::<String>()).unwrap();
    let mut command = Command::new(env!("CARGO_BIN_EXE_cedargate"));
    command.args(["audit", "shadow"]).args(args).arg(&log).stdin(Stdio::null());
    ended(command)
}

#[test]
fn policies_on_trial_change_no_answer_and_are_recorded() {
    let plain = Setup::new(&bundle()).start(&origin());
    let control = ask_all(&plain);
    assert!(control.iter().all(|(_, _, shadow)| shadow.is_null()));
    let was: Vec<_> = control.iter().map(|(status, reason, _)| (*status, reason.clone())).collect();
    assert!(was.iter().any(|(status, _)| *status == 200) && was.iter().any(|(status, _)| *status == 403), "{was:?}");
    for (policies, decision, reason, id) in
        [(FORBID, "deny", "policy.forbid", "trial.nothing"), (PERMIT, "allow", "policy.permit", "trial.everything")]
    {
        let gate = Setup::new(&on_trial(policies)).start(&origin());
        let answers = ask_all(&gate);
        let is: Vec<_> = answers.iter().map(|(status, reason, _)| (*status, reason.clone())).collect();
        assert_eq!(is, was, "{policies}");
        assert_eq!(gate.origin.count(), plain.origin.count());
        for (_, enforced, shadow) in &answers {
            // Asked where the enforced ones were, and nowhere else.
            let asked = enforced.as_str().unwrap().starts_with("policy.");
            assert_eq!(shadow.is_null(), !asked, "{enforced} {shadow}");
            if asked {
                assert_eq!((&shadow["decision"], &shadow["reason"]), (&json!(decision), &json!(reason)));
                assert_eq!(shadow["policies"][0]["id"], id);
            }
        }
        let (flips, same) = if decision == "deny" { ("allow_to_deny", "deny_to_allow") } else { ("deny_to_allow", "allow_to_deny") };
        let answer = told(&gate, &["--format", "json"]);
        assert_eq!(answer.code, Some(5));
        let answer: Value = serde_json::from_str(&answer.stdout).unwrap();
        let wanted = if decision == "deny" { "policy.permit" } else { "policy." };
        let count = was.iter().filter(|(_, reason)| {
            let reason = reason.as_str().unwrap();
            reason.starts_with(wanted) && (decision == "deny" || reason != "policy.permit")
        });
        assert_eq!((&answer[flips], &answer[same]), (&json!(count.count()), &json!(0)), "{answer:#}");
        assert!(!answer["flips"].as_array().unwrap().is_empty());
    }
}

#[test]
fn the_same_set_on_trial_flips_nothing() {
    let mut same = bundle();
    for (file, bytes) in bundle().iter() {
        if let Some(rest) = file.strip_prefix("policies/") {
            same.insert(format!("policies/shadow/{rest}"), bytes);
        }
    }
    let gate = Setup::new(&same).start(&origin());
    assert!(ask_all(&gate).iter().filter(|(_, _, shadow)| !shadow.is_null()).count() > 4);
    let text = told(&gate, &[]).ok();
    assert!(text.contains("no answer flips") && text.contains("answers of policies on trial"), "{text}");
}

#[test]
fn a_share_of_requests_is_tried() {
    let shadowed = |share: &str| {
        let gate = Setup::new(&on_trial(FORBID)).variable("shadow_sample", share).start(&origin());
        for _ in 0..60 {
            gate.check("health", &Request::get("/health"), &Expect::allowed());
        }
        gate.lines().iter().filter(|line| line.contains("trial.nothing")).count()
    };
    assert_eq!((shadowed("0"), shadowed("100")), (0, 60));
    // Never all and never none: the chance of either is below one in 10^17.
    assert!((1..60).contains(&shadowed("50")));
    let gate = Setup::new(&on_trial(FORBID)).variable("shadow_sample", "101").start(&origin());
    gate.check("101", &Request::get("/health"), &Expect::refused(503, "system.configuration"));
}

#[test]
fn a_set_on_trial_is_checked_as_strictly_as_the_enforced_one() {
    let problems = |files: &[(&str, &str)]| {
        let mut bundle = bundle();
        files.iter().for_each(|(file, text)| bundle.insert(*file, *text));
        let report = Loaded::load(&bundle).map(|_| ()).unwrap_err();
        report.problems().iter().map(|problem| (problem.file.clone(), problem.code)).collect::<Vec<_>>()
    };
    let at = |file: &str, code| vec![(format!("policies/shadow/{file}"), code)];
    assert_eq!(problems(&[("policies/shadow/a.cedar", "permit(principal, action, resource);")]), at("a.cedar", "policy.id"));
    assert_eq!(
        problems(&[("policies/shadow/a.cedar", "@id(\"a\") permit(principal, action, resource) when { context.hostt == \"\" };")]),
        at("a.cedar", "policy.validation")
    );
    assert_eq!(
        problems(&[("policies/shadow/a.cedar", PERMIT), ("policies/shadow/routes.toml", "version = 2")]),
        at("routes.toml", "routes.version")
    );
    assert_eq!(
        problems(&[("policies/shadow/a.cedar", PERMIT), ("policies/shadow/notes.txt", "x")]),
        at("notes.txt", "bundle.unknown_file")
    );
    assert_eq!(
        problems(&[("policies/shadow/a.cedar", PERMIT), ("policies/shadow/audit.toml", "version = 1")]),
        at("audit.toml", "bundle.unknown_file")
    );
    assert_eq!(problems(&[("policies/shadow/routes.toml", "version = 1")]), at("routes.toml", "policy.shadow"));
    // The same ids as in the enforced set are no conflict.
    assert!(Loaded::load(&on_trial("@id(\"documents.owner\") forbid(principal, action, resource);")).is_ok());
}
