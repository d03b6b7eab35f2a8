use super::*;

const GOOD: &str = r#"
spin_manifest_version = 2

[application]
name = "gate"
version = "1.2.3"
description = "d"
authors = ["a"]

[variables]
origin = { required = true }
region = { default = "local", description = "where" }
token = { required = true, secret = true }

[[trigger.http]]
route = "/..."
component = "gate"

[component.gate]
source = "target/gate.wasm"
allowed_outbound_hosts = ["{{ origin }}", "https://fixed.test"]
key_value_stores = ["default"]
environment = { A = "b" }

[component.gate.variables]
origin = "{{ origin }}"
edge_region = "{{ region }}-1"
token = "{{ token }}"

[component.gate.build]
command = "make"
"#;

fn parse(text: &str) -> Result<Manifest, ManifestError> {
    Manifest::parse(Path::new("/app/spin.toml"), text)
}

fn given(pairs: &[(&str, &str)]) -> BTreeMap<String, String> {
    pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
}

#[test]
fn a_manifest_becomes_an_application() {
    let manifest = parse(GOOD).unwrap();
    assert_eq!(manifest.source(), Path::new("/app/target/gate.wasm"));
    let app = manifest.resolve(&given(&[("origin", "http://127.0.0.1:9000"), ("token", "t")]), |_| None).unwrap();
    assert_eq!(app.name, "gate");
    assert_eq!(app.variables["origin"], "http://127.0.0.1:9000");
    assert_eq!(app.variables["edge_region"], "local-1");
    assert_eq!(app.environment["A"], "b");
    assert!(app.key_value_stores.contains("default"));
    assert!(app.allowed.allows(&"http://127.0.0.1:9000/x".parse().unwrap()));
    assert!(app.allowed.allows(&"https://fixed.test/".parse().unwrap()));
    assert!(!app.allowed.allows(&"http://127.0.0.1:9001/x".parse().unwrap()));
}

#[test]
fn given_values_come_before_the_environment_and_that_before_defaults() {
    let manifest = parse(GOOD).unwrap();
    let environment = |name: &str| match name {
        "SPIN_VARIABLE_ORIGIN" => Some("http://from-env".to_owned()),
        "SPIN_VARIABLE_REGION" => Some("env".to_owned()),
        "SPIN_VARIABLE_TOKEN" => Some("env".to_owned()),
        _ => None,
    };
    let app = manifest.resolve(&given(&[("region", "given")]), environment).unwrap();
    assert_eq!(app.variables["origin"], "http://from-env");
    assert_eq!(app.variables["edge_region"], "given-1");
}

#[test]
fn every_missing_value_is_named_at_once() {
    let error = parse(GOOD).unwrap().resolve(&given(&[("orign", "x")]), |_| None).err().unwrap();
    let text = error.to_string();
    assert_eq!(error.problems().len(), 3, "{text}");
    assert!(text.contains("`orign` is not declared, did you mean `origin`?"), "{text}");
    assert!(text.contains("`origin` has no value") && text.contains("`token` has no value"), "{text}");
    assert!(text.contains("SPIN_VARIABLE_ORIGIN"), "{text}");
}

#[test]
fn a_host_that_cannot_be_read_is_an_error() {
    let manifest = parse(GOOD).unwrap();
    let error = manifest.resolve(&given(&[("origin", "localhost:9000"), ("token", "")]), |_| None).err().unwrap();
    assert!(error.to_string().contains("scheme://host"), "{error}");
    // An empty one is nobody, as in Spin.
    let app = manifest.resolve(&given(&[("origin", ""), ("token", "")]), |_| None).unwrap();
    assert!(!app.allowed.allows(&"http://127.0.0.1:9000/".parse().unwrap()));
}

#[test]
fn what_is_not_served_is_an_error() {
    for (from, to, says) in [
        ("spin_manifest_version = 2", "spin_manifest_version = 1", "only version 2"),
        ("[[trigger.http]]", "[[trigger.redis]]", "trigger.redis"),
        ("route = \"/...\"", "route = \"/:id\"", "named wildcard"),
        ("route = \"/...\"", "route = \"/...\"\ndependencies = { middleware = [] }", "dependencies"),
        ("component = \"gate\"", "component = \"gat\"", "did you mean `gate`?"),
        ("source = \"target/gate.wasm\"", "source = { url = \"x\", digest = \"y\" }", "is not a file"),
        ("source = \"target/gate.wasm\"", "source = \"x\"\nfiles = [\"a\"]", "files is not served"),
        ("source = \"target/gate.wasm\"", "sauce = \"x\"", "sauce"),
        ("origin = { required = true }", "origin = {}", "needs either"),
        ("origin = { required = true }", "Origin = { required = true }", "lower-case"),
        ("{{ region }}", "{{ regin }}", "did you mean `region`?"),
        ("{{ region }}", "{{ region", "unmatched"),
        ("https://fixed.test", "https://*.spin.internal", "service chaining"),
        ("https://fixed.test", "fixed.test", "scheme://host"),
        ("[application]", "[application]\ntrigger = { http = {} }", "application.trigger"),
    ] {
        let text = GOOD.replace(from, to);
        assert_ne!(text, GOOD);
        let error = parse(&text).expect_err(to).to_string();
        assert!(error.contains(says), "{to}: {error}");
    }
}

#[test]
fn two_triggers_are_an_error() {
    let text = format!("{GOOD}\n[[trigger.http]]\nroute = \"/x\"\ncomponent = \"gate\"\n");
    assert!(parse(&text).unwrap_err().to_string().contains("exactly one"));
}

#[test]
fn the_projects_own_manifest_is_served() {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("spin.toml");
    let manifest = Manifest::read(&file).unwrap();
    assert!(manifest.source().ends_with("target/sealed/cedargate.wasm"));
    let app = manifest.resolve(&given(&[("origin", "http://127.0.0.1:9000")]), |_| None).unwrap();
    let names: Vec<_> = app.variables.keys().map(String::as_str).collect();
    assert_eq!(
        names,
        [
            "audit_keys",
            "audit_mode",
            "audit_sink",
            "audit_sink_region",
            "audit_sink_token",
            "audit_sink_url",
            "dpop_nonce_secret",
            "dpop_nonce_secret_previous",
            "edge_region",
            "key_value_store",
            "mode",
            "mtls_terminator_secret",
            "mtls_terminator_secret_previous",
            "origin",
            "origin_between_bytes_timeout_ms",
            "origin_connect_timeout_ms",
            "origin_first_byte_timeout_ms",
            "policy_index",
            "public_url",
            "revocation_cache_ms",
            "shadow_sample",
            "signature_backend",
            "signed_url_credentials",
            "signed_url_keys",
            "token_cache",
            "trusted_hops",
        ]
    );
    assert!(app.allowed.allows(&"http://127.0.0.1:9000/x".parse().unwrap()));
    assert!(!app.allowed.allows(&"http://127.0.0.1:9001/x".parse().unwrap()));
}
