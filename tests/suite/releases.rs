//! `release`, `rollback` and `archive`: what was shipped can be brought back, bit for bit, or not at all.

use std::path::PathBuf;
use std::process::Command;

use cedargate::bundle::Digest;
use serde_json::{Value, json};

use super::support::client::Request;
use super::support::gate::root;
use super::support::origin::Origin;
use super::support::process::{Project, ended};

const IN_PLACE: &str = "target/sealed/cedargate.wasm";
const ARCHIVE: &str = ".cedargate/archive";

fn sha256(bytes: &[u8]) -> String {
    Digest::of(bytes).to_string()
}

fn json_of(project: &Project, args: &[&str]) -> Value {
    let text = project.run(&[args, &["--format", "json"]].concat()).ok();
    serde_json::from_str(&text).unwrap_or_else(|error| panic!("{error}: {text}"))
}

/// Seals what is there and releases it; the component's bytes.
fn release(project: &Project, more: &[&str]) -> Vec<u8> {
    project.run(&["seal"]).ok();
    project.run(&[&["release"], more].concat()).ok();
    project.read(IN_PLACE)
}

/// Changes a policy, so that the next gate is another one.
fn change(project: &Project, to: &str) {
    let path = "policies/public.cedar";
    let text = String::from_utf8(project.read(path)).unwrap();
    let old = text.split("@reason(\"").nth(1).unwrap().split('"').next().unwrap().to_owned();
    project.edit(path, &old, to);
}

/// The policy digest that a gate in place tells, and that its records tell.
fn served(project: &Project) -> String {
    let origin = Origin::start(([127, 0, 0, 1], 0).into());
    let up = project.up(&["--no-seal", "--origin", &format!("http://{}", origin.addr)]);
    let health = Request::get("/.well-known/cedargate/health").send(up.addr).json();
    assert_eq!(Request::get("/health").send(up.addr).status, 200);
    let digest = health["policy_digest"].as_str().unwrap().to_owned();
    assert_eq!(up.records(2)[1]["policy_digest"], digest.as_str());
    up.stop();
    digest
}

#[test]
fn an_earlier_release_comes_back_bit_for_bit_and_serves() {
    let project = Project::new();
    let first = release(&project, &["--tag", "v1", "--note", "the first"]);
    let first_digest = served(&project);
    change(&project, "the second");
    let second = release(&project, &["--tag", "v2"]);
    change(&project, "the third");
    let third = release(&project, &[]);
    assert!(first != second && second != third);

    let listed = json_of(&project, &["archive", "list"]);
    let rows = listed.as_array().unwrap();
    assert_eq!(rows.len(), 3, "{listed:#}");
    let of = |row: &Value, name: &str| row[name].clone();
    assert_eq!(rows.iter().map(|row| of(row, "tags")).collect::<Vec<_>>(), [json!([]), json!(["v2"]), json!(["v1"])]);
    assert_eq!(rows.iter().map(|row| of(row, "in_place")).collect::<Vec<_>>(), [json!(true), json!(false), json!(false)]);
    assert_eq!(rows.iter().map(|row| of(row, "component_digest")).collect::<Vec<_>>(), [&third, &second, &first].map(|b| json!(sha256(b))));
    assert!(rows.iter().all(|row| row["altered"].is_null() && row["policies"] == 27 && row["released"] == true), "{listed:#}");
    assert_eq!(
        (&rows[2]["note"], &rows[2]["bytes"], &rows[2]["policy_digest"]),
        (&json!("the first"), &json!(first.len()), &json!(first_digest))
    );
    let text = project.run(&["archive", "list"]).ok();
    assert!(text.lines().nth(1).unwrap().starts_with("→") && text.contains("the first") && text.contains(&sha256(&second)[..12]), "{text}");

    // Two in a row are two steps.
    let ended = project.run(&["rollback"]);
    assert!(ended.stderr.contains("policies/ and keys/ were not touched"), "{ended:?}");
    let said = ended.ok();
    assert!(said.starts_with(&format!("from  release {}", &sha256(&third)[..12])), "{said}");
    assert!(said.contains(&format!("\nto    release {} (v2), policy digest ", &sha256(&second)[..12])), "{said}");
    assert!(project.read(IN_PLACE) == second);
    let told = json_of(&project, &["rollback"]);
    assert_eq!((&told["changed"], &told["to"]["tags"], &told["from"]["tags"]), (&json!(true), &json!(["v1"]), &json!(["v2"])));
    assert!(project.read(IN_PLACE) == first);
    assert_eq!(served(&project), first_digest);
    assert!(project.run(&["rollback"]).failed(1).contains("there is no release before release "));
    assert!(project.read(IN_PLACE) == first);

    // By name, forward too, and to another place.
    project.run(&["rollback", "v2"]).ok();
    assert!(project.read(IN_PLACE) == second);
    project.run(&["rollback", &sha256(&third)[..10]]).ok();
    assert!(project.read(IN_PLACE) == third);
    project.run(&["rollback", &first_digest, "-o", "elsewhere.wasm"]).ok();
    assert!(project.read("elsewhere.wasm") == first && project.read(IN_PLACE) == third);
    assert_eq!(json_of(&project, &["rollback", "v1", "-o", "elsewhere.wasm"])["changed"], false);

    // What was sealed and never released does not count as a step.
    change(&project, "the fourth");
    project.run(&["seal"]).ok();
    let told = json_of(&project, &["rollback"]);
    assert_eq!(told["from"]["released"], false);
    assert_eq!(told["to"]["component_digest"], json!(sha256(&first)), "the last one that was put in place");
    let listed = json_of(&project, &["archive", "list"]);
    assert_eq!(listed.as_array().unwrap().iter().filter(|row| row["released"] == false).count(), 1, "{listed:#}");
}

#[test]
fn only_a_gate_that_comes_out_the_same_again_is_released() {
    let project = Project::new();
    assert!(project.run(&["release"]).failed(1).contains("`target/sealed/cedargate.wasm` cannot be read"));
    project.run(&["seal"]).ok();
    let good = project.read(IN_PLACE);
    let released = || project.path(ARCHIVE).join("releases").exists();

    // Unsealed; sealed with another base; one byte changed; its label changed to that of other policies.
    let base = std::env::var_os("CEDARGATE_BASE").map_or_else(|| root().join("target/wasm32-wasip2/release/cedargate.wasm"), PathBuf::from);
    let unsealed = std::path::absolute(base).unwrap();
    let said = project.run(&["release", "--component", unsealed.to_str().unwrap()]).failed(1);
    assert!(said.contains("is not sealed") && said.contains("help: `cedargate seal`"), "{said}");
    let said = project.run(&["release", "--base", "spin.toml"]).failed(1);
    assert!(said.contains("was sealed with the base component") && said.contains("--base FILE"), "{said}");
    assert!(project.run(&["release", "--base", "no.wasm"]).failed(1).contains("the base component `no.wasm` cannot be read"));
    let mut flipped = good.clone();
    let middle = flipped.len() / 2;
    flipped[middle] ^= 1;
    std::fs::write(project.path(IN_PLACE), &flipped).unwrap();
    let said = project.run(&["release", "--tag", "v1"]).failed(5);
    assert!(said.contains("is not what it says") && said.contains("help: do not use it"), "{said}");
    std::fs::write(project.path(IN_PLACE), &good).unwrap();
    change(&project, "other policies");
    project.run(&["seal", "-o", "other.wasm"]).ok();
    let digest = |file: &str| cedargate::host::describe(&project.read(file)).unwrap().policy_digest;
    let (ours, theirs) = (digest(IN_PLACE), digest("other.wasm"));
    let relabelled = replaced(&good, ours.as_bytes(), theirs.as_bytes());
    std::fs::write(project.path("relabelled.wasm"), relabelled).unwrap();
    assert_eq!(digest("relabelled.wasm"), theirs);
    let said = project.run(&["release", "--component", "relabelled.wasm"]).failed(5);
    assert!(said.contains("is not what it says"), "{said}");
    assert!(!released(), "nothing that was refused is kept");

    // Its sources are gone, or were altered.
    let sources = project.path(ARCHIVE).join(&ours);
    std::fs::rename(&sources, project.path("away")).unwrap();
    assert!(project.run(&["release"]).failed(1).contains("are not in the archive"));
    std::fs::rename(project.path("away"), &sources).unwrap();
    let policy = sources.join("policies/public.cedar");
    let text = std::fs::read_to_string(&policy).unwrap();
    std::fs::write(&policy, format!("{text}\n")).unwrap();
    assert!(project.run(&["release"]).failed(5).contains("was changed"));
    std::fs::write(&policy, text).unwrap();

    // The control, and again: nothing new; a tag that is taken; names that are none.
    let told = json_of(&project, &["release", "--tag", "v1"]);
    assert_eq!((&told["new"], &told["tags"], &told["component_digest"]), (&json!(true), &json!(["v1"]), &json!(sha256(&good))));
    assert_eq!(told["base_digest"], json!(sha256(&std::fs::read(&unsealed).unwrap())));
    let journal = project.read(".cedargate/archive/journal.jsonl");
    let again = json_of(&project, &["release", "--tag", "v1"]);
    assert_eq!((&again["new"], &again["time"]), (&json!(false), &told["time"]));
    assert!(project.read(".cedargate/archive/journal.jsonl") == journal);
    let said = project.run(&["release", "--component", "other.wasm", "--tag", "v1"]).failed(1);
    assert!(said.contains("the tag `v1` is the release") && said.contains("a tag never moves"), "{said}");
    for tag in ["a b", "-x", "2027", "beef"] {
        project.run(&["release", &format!("--tag={tag}")]).failed(1);
    }
}

/// The same bytes with one text in them replaced by another of its length.
fn replaced(bytes: &[u8], from: &[u8], to: &[u8]) -> Vec<u8> {
    let at = (0..bytes.len() - from.len()).rev().find(|at| &bytes[*at..*at + from.len()] == from).expect("it is there");
    [&bytes[..at], to, &bytes[at + from.len()..]].concat()
}

#[test]
fn a_gate_that_trusts_development_keys_is_not_released() {
    let project = Project::new();
    project.run(&["token"]).ok();
    project.run(&["seal", "--dev"]).ok();
    let said = project.run(&["release"]).failed(1);
    assert!(said.contains("trusts development keys") && said.contains("without `--dev`"), "{said}");
    project.run(&["seal"]).ok();
    project.run(&["release"]).ok();
}

#[test]
fn an_archive_that_was_altered_brings_nothing_back_and_says_so_everywhere() {
    let project = Project::new();
    let first = release(&project, &["--tag", "v1"]);
    change(&project, "the second");
    let second = release(&project, &["--tag", "v2"]);
    let kept = project.path(ARCHIVE).join("releases").join(sha256(&first)).join("gate.wasm");
    let altered = |what: &str| {
        for args in [&["rollback"][..], &["rollback", "v1"], &["archive", "show", "v1"]] {
            let said = project.run(args).failed(5);
            assert!(said.contains("was altered") || said.contains("was changed"), "{what}, {args:?}: {said}");
            assert!(said.contains("help: "), "{said}");
            assert!(project.read(IN_PLACE) == second, "{what}, {args:?}");
        }
        let listed = project.run(&["archive", "list"]);
        assert!(listed.code == Some(5) && listed.stdout.contains("altered: "), "{what}: {listed:?}");
        let listed = project.run(&["archive", "list", "--format", "json"]);
        let rows: Value = serde_json::from_str(&listed.stdout).unwrap();
        assert_eq!(rows.as_array().unwrap().iter().filter(|row| !row["altered"].is_null()).count(), 1, "{what}: {rows:#}");
    };
    let mut flipped = first.clone();
    flipped[first.len() / 3] ^= 4;
    for (what, bytes) in
        [("one bit", &flipped), ("cut off", &first[..first.len() - 1].to_vec()), ("another release", &second), ("empty", &vec![])]
    {
        std::fs::write(&kept, bytes).unwrap();
        altered(what);
    }
    std::fs::write(&kept, &first).unwrap();
    // Its sources.
    let digest = cedargate::host::describe(&first).unwrap().policy_digest;
    let policy = project.path(ARCHIVE).join(&digest).join("policies/public.cedar");
    let text = std::fs::read(&policy).unwrap();
    std::fs::write(&policy, "").unwrap();
    altered("sources");
    std::fs::write(&policy, text).unwrap();
    // The journal: nothing can be told then.
    let journal = project.read(".cedargate/archive/journal.jsonl");
    std::fs::write(project.path(".cedargate/archive/journal.jsonl"), &journal[1..]).unwrap();
    for args in [&["rollback"][..], &["archive", "list"], &["release"]] {
        assert!(project.run(args).failed(5).contains("is no line of a journal"), "{args:?}");
    }
    std::fs::write(project.path(".cedargate/archive/journal.jsonl"), &journal).unwrap();
    assert!(project.read(IN_PLACE) == second);
    project.run(&["rollback"]).ok();
    assert!(project.read(IN_PLACE) == first);
}

#[test]
fn the_archive_shows_what_is_in_it_and_what_differs() {
    let project = Project::new();
    assert!(project.run(&["archive", "list"]).ok().contains("is empty"));
    assert_eq!(json_of(&project, &["archive", "list"]), json!([]));
    release(&project, &["--tag", "v1", "--note", "first"]);
    change(&project, "the second");
    project.edit("policies/documents.cedar", "@id(\"documents.list\")", "@id(\"documents.listing\")");
    project.write(
        "policies/more.cedar",
        "@id(\"more\")\n@reason(\"more\")\nforbid (principal, action, resource) when { context.hour == 25 };\n",
    );
    project.run(&["seal"]).ok();
    let second = cedargate::host::describe(&project.read(IN_PLACE)).unwrap().policy_digest;

    let shown = project.run(&["archive", "show", "v1"]).ok();
    for part in [
        "tags           v1",
        "note           first",
        "base build     ",
        "policies       27",
        "  permit  public.health",
        "          reason: ",
    ] {
        assert!(shown.contains(part), "{part} in {shown}");
    }
    let shown = json_of(&project, &["archive", "show", "v1"]);
    assert_eq!((&shown["releases"][0]["tags"], &shown["releases"][0]["in_place"]), (&json!(["v1"]), &json!(false)));
    assert_eq!(shown["policies"].as_array().unwrap().iter().filter(|one| one["on_trial"] == false).count(), 27);
    let file = shown["files"].as_array().unwrap().iter().find(|file| file["path"] == "policies/schema.cedarschema").unwrap();
    assert_eq!(file["sha256"], json!(sha256(&std::fs::read(root().join("policies/schema.cedarschema")).unwrap())));
    // What was only sealed is shown too, by its digest.
    assert!(project.run(&["archive", "show", &second[..8]]).ok().contains("none: it was only sealed"));

    let diff = project.run(&["archive", "diff", "v1", &second]).ok();
    for part in [
        "policies/more.cedar added",
        "policies/public.cedar changed",
        "  + more\n",
        "  - documents.list\n",
        "  + documents.listing\n",
        "  ~ public.",
    ] {
        assert!(diff.contains(part), "{part} in {diff}");
    }
    let diff = json_of(&project, &["archive", "diff", "v1", &second]);
    assert_eq!(diff["policies"]["added"], json!(["documents.listing", "more"]));
    assert_eq!(diff["policies"]["removed"], json!(["documents.list"]));
    assert_eq!(diff["policies"]["changed"].as_array().unwrap().len(), 1, "{diff:#}");
    assert_eq!(diff["files"].as_array().unwrap().len(), 3, "{diff:#}");
    assert!(project.run(&["archive", "diff", "v1", "v1"]).ok().contains("the same sources"));

    // What has no such name; what was never released; where there is no archive.
    for args in [&["archive", "show", "v9"][..], &["archive", "diff", "v1", "v9"], &["rollback", "v9"]] {
        assert!(project.run(args).failed(1).contains("`v9` is neither a tag nor a digest"), "{args:?}");
    }
    assert!(project.run(&["rollback", &second]).failed(1).contains("it was sealed and never released"));
    assert!(project.run(&["rollback", "v1", "--archive", "nowhere"]).failed(1).contains("there is no archive `nowhere`"));
    assert!(!project.path("nowhere").exists());
}

#[test]
fn completions_and_manual_pages_are_written() {
    let project = Project::empty();
    for shell in ["bash", "zsh", "fish", "powershell", "elvish"] {
        let script = project.run(&["completions", shell]).ok();
        assert!(script.contains("cedargate") && script.contains("rollback"), "{shell}");
    }
    assert!(project.run(&["completions", "tcsh"]).failed(1).contains("bash|zsh|fish|powershell|elvish"));
    project.write("cedargate.bash", &project.run(&["completions", "bash"]).ok());
    let mut command = Command::new("bash");
    command.arg("-n").arg(project.path("cedargate.bash"));
    assert_eq!(ended(command).code, Some(0));

    assert!(project.run(&["man"]).ok().contains(".TH cedargate 1"));
    let written = project.run(&["man", "--out", "man1"]).ok();
    for page in ["man1/cedargate.1", "man1/cedargate-release.1", "man1/cedargate-archive-diff.1"] {
        assert!(written.lines().any(|line| line == page), "{written}");
        assert!(String::from_utf8(project.read(page)).unwrap().starts_with(".ie") || project.read(page).starts_with(b".TH"), "{page}");
    }
    project.write("taken", "");
    assert!(project.run(&["man", "--out", "taken"]).failed(1).contains("cannot be written"));
}
