//! `cedargate seal` and `cedargate check`: folders in, one file or every problem out.

use cedargate::host::{describe, engine};
use serde_json::Value;
use wasmtime::component::Component;

use super::support::client::Request;
use super::support::gate::{base_path, bundle, sealed};
use super::support::origin::Origin;
use super::support::process::Project;

/// The value of a line of `cedargate seal`.
fn told<'a>(said: &'a str, name: &str) -> &'a str {
    said.lines().find_map(|line| line.strip_prefix(name)).unwrap_or_else(|| panic!("no {name} in {said}")).trim()
}

/// The policy digest wherever a sealed file shows it.
fn shown(project: &Project, file: &str) -> Vec<String> {
    let mut digests = vec![describe(&project.read(file)).unwrap().policy_digest];
    let origin = Origin::start(([127, 0, 0, 1], 0).into());
    let up = project.up(&["--component", file, "--origin", &format!("http://{}", origin.addr)]);
    let line = up.greeting.iter().find_map(|line| line.strip_prefix("policy digest ")).unwrap();
    digests.push(line.split(',').next().unwrap().to_owned());
    let health = Request::get("/.well-known/cedargate/health").send(up.addr).json();
    digests.push(health["policy_digest"].as_str().unwrap().to_owned());
    let request = Request::get("/health");
    assert_eq!(request.send(up.addr).status, 200);
    digests.push(origin.seen(&request.id)[0].header("cedargate-policy-digest").unwrap().to_owned());
    digests.extend(up.records(2).iter().map(|record| record["policy_digest"].as_str().unwrap().to_owned()));
    up.stop();
    digests
}

#[test]
fn sealing_is_repeatable_and_one_changed_policy_changes_the_digest_everywhere() {
    let project = Project::new();
    let first = project.run(&["seal"]).ok();
    assert_eq!(told(&first, "sealed"), "target/sealed/cedargate.wasm");
    assert_eq!(told(&first, "policies"), "27");
    let second: Value = serde_json::from_str(&project.run(&["seal", "--format", "json", "-o", "again.wasm"]).ok()).unwrap();
    assert!(project.read("target/sealed/cedargate.wasm") == project.read("again.wasm"), "the same input gave other bytes");
    let before = told(&first, "policy digest").to_owned();
    assert_eq!((&second["policy_digest"], &second["file"]), (&before.as_str().into(), &"again.wasm".into()));
    assert_eq!(second["bytes"], project.read("again.wasm").len());
    assert_eq!(shown(&project, "again.wasm"), vec![before.clone(); 6]);

    project.edit("policies/public.cedar", "the health of the API is public", "everybody may see the health of the API");
    let third = project.run(&["seal"]).ok();
    let after = told(&third, "policy digest").to_owned();
    assert!(after != before && after.len() == 64);
    assert_eq!(told(&third, "schema digest"), told(&first, "schema digest"));
    assert_eq!(shown(&project, "target/sealed/cedargate.wasm"), vec![after.clone(); 6]);
    assert!(project.run(&["check"]).ok().contains(&after));

    // What was sealed cannot be sealed again, and what is not valid leaves the old file alone.
    let kept = project.read("target/sealed/cedargate.wasm");
    let said = project.run(&["seal", "--base", "again.wasm"]).failed(1);
    assert!(said.contains(&format!("sealed already (policy digest `{before}`)")), "{said}");
    project.edit("policies/public.cedar", "permit (", "permit [");
    let said = project.run(&["seal"]).failed(3);
    assert!(said.contains("policies/public.cedar:"), "{said}");
    assert_eq!(project.run(&["seal", "-o", "new/other.wasm"]).code, Some(3));
    assert!(!project.path("new").exists() && project.read("target/sealed/cedargate.wasm") == kept);
    assert_eq!(std::fs::read_dir(project.path("target/sealed")).unwrap().count(), 1);
}

#[test]
fn only_a_base_component_can_be_sealed() {
    let project = Project::new();
    for (base, part) in [("no.wasm", "--base FILE"), ("spin.toml", "not a WebAssembly component")] {
        let said = project.run(&["seal", "--base", base]).failed(1);
        assert!(said.contains(part), "{said}");
    }
    assert!(!project.path("target").exists());
}

/// Whether Spin 4.1 gives this interface to a component: its world `spin:up/platform@4.1.0`.
fn spin_has(import: &str) -> bool {
    let (name, version) = import.split_once('@').unwrap_or((import, ""));
    let two = matches!(version, "0.2.0" | "0.2.1" | "0.2.2" | "0.2.3" | "0.2.4" | "0.2.5" | "0.2.6");
    match name.split_once('/').unwrap_or((name, "")) {
        ("wasi:cli" | "wasi:clocks" | "wasi:random", _) => two || version == "0.3.0",
        ("wasi:io", _) => two,
        ("wasi:http", "types" | "client") => version == "0.3.0",
        ("spin:variables", "variables") | ("spin:key-value", "key-value") => version == "3.0.0",
        ("wasi:keyvalue", "store" | "atomics") => version == "0.2.0-draft2",
        _ => false,
    }
}

#[test]
fn a_sealed_component_exports_the_handler_alone_and_imports_what_spin_has() {
    let engine = engine().unwrap();
    let look = |bytes: &[u8]| {
        let component = Component::new(&engine, bytes).unwrap();
        let kind = component.component_type();
        let names = |items: &mut dyn Iterator<Item = String>| items.collect::<Vec<_>>();
        (
            names(&mut kind.imports(&engine).map(|(name, _)| name.to_owned())),
            names(&mut kind.exports(&engine).map(|(name, _)| name.to_owned())),
        )
    };
    let (imports, exports) = look(&sealed(&bundle()));
    assert_eq!(exports, ["wasi:http/handler@0.3.0"]);
    let unknown: Vec<_> = imports.iter().filter(|import| !spin_has(import)).collect();
    assert!(unknown.is_empty() && imports.len() > 10, "Spin does not have {unknown:?}");
    // What the base component can do, the sealed one cannot.
    let (_, exports) = look(&std::fs::read(base_path()).unwrap());
    assert!(exports.iter().any(|name| name == "initialize"), "{exports:?}");
}

#[test]
fn check_shows_every_mistake_in_every_file_at_its_place() {
    let project = Project::new();
    assert!(project.run(&["check"]).ok().starts_with("ok: 27 policies, 0 issuers, policy digest "));
    assert_eq!(project.run(&["check", "--format", "json"]).ok(), "[]\n");
    project.edit("policies/documents.cedar", "Gate::Group::\"readers\"", "Gate::Grup::\"readers\"");
    project.edit("policies/orders.cedar", "permit (", "permitt (");
    project.edit("policies/routes.toml", "scopes = { POST = [\"documents.write\"] }", "scope = { POST = [\"documents.write\"] }");
    project.write("policies/entities.json", "[{\"uid\": {\"type\": \"Gate::Widget\", \"id\": \"1\"}, \"attrs\": {}, \"parents\": []}]\n");
    project.edit("keys/issuers.toml", "version = 1", "version = 1\nisuer = []");
    let expected = [
        ("keys/issuers.toml", 7, 1, "issuers.unknown_key", "did you mean `issuer`?"),
        ("policies/documents.cedar", 11, 22, "policy.validation", "did you mean `Gate::Group`?"),
        ("policies/entities.json", 1, 2, "entities.invalid", ""),
        ("policies/orders.cedar", 7, 1, "policy.syntax", "effect must be either `permit` or `forbid`"),
        ("policies/routes.toml", 12, 1, "routes.unknown_key", "did you mean `scopes`?"),
    ];
    let said = project.run(&["check"]).failed(3);
    for (file, line, column, code, help) in expected {
        assert!(said.contains(&format!("{file}:{line}:{column}: error[{code}]: ")) && said.contains(help), "{file} in\n{said}");
    }
    assert!(said.ends_with("error: 5 problems in 5 files\n"), "{said}");

    let json = project.run(&["check", "--format", "json"]);
    assert_eq!((json.code, json.stderr.as_str()), (Some(3), ""));
    let problems: Vec<Value> = serde_json::from_str(&json.stdout).unwrap();
    let places = |p: &Value| (p["file"].as_str().unwrap().to_owned(), p["line"].as_u64().unwrap(), p["column"].as_u64().unwrap());
    let wanted: Vec<_> = expected.iter().map(|(file, line, column, ..)| ((*file).to_owned(), *line, *column)).collect();
    assert_eq!(problems.iter().map(places).collect::<Vec<_>>(), wanted);
}
