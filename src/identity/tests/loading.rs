//! Loading `keys/`: what is refused, with which code, where, and with what advice.

use serde_json::json;

use super::support::*;
use crate::bundle::Bundle;
use crate::identity::signing;

#[test]
fn the_loaded_value_can_be_shared_and_says_what_it_holds() {
    fn shared<T: Send + Sync + 'static>(_: &T) {}
    shared(&WORLD.issuers);
    assert_eq!((WORLD.issuers.len(), WORLD.issuers.keys(), WORLD.issuers.is_empty()), (2, 10, false));
    assert_eq!(WORLD.issuers.names().collect::<Vec<_>>(), ["corp", "other"]);
    // A key is never printed.
    assert!(!format!("{:?}", WORLD.issuers).contains("Vec"));
}

#[test]
fn a_file_that_trusts_nobody_is_fine_and_no_file_is_not() {
    assert!(load(&bundle("version = 1", &[])).unwrap().is_empty());
    assert!(load(&bundle(include_str!("../../../keys/issuers.toml"), &[])).unwrap().is_empty());
    assert_eq!(problem(&Bundle::default()).code, "issuers.missing");
}

#[test]
fn the_example_in_the_repositorys_own_file_is_valid() {
    let file = include_str!("../../../keys/issuers.toml");
    let example: String = file
        .lines()
        .skip_while(|line| *line != "# [[issuer]]")
        .map(|line| line.trim_start_matches("# ").trim_start_matches('#'))
        .filter(|line| !line.starts_with("Groups and") && !line.starts_with("so that"))
        .fold("version = 1\n".to_owned(), |text, line| text + line + "\n");
    let pem = include_bytes!("../../../tests/data/identity/p256-public.pem");
    let issuers = load(&bundle(&example, &[("corp.jwks.json", &jwks(&[ed().jwk()])), ("old.pem", pem)])).unwrap();
    assert_eq!((issuers.len(), issuers.keys()), (1, 2));
}

#[test]
fn the_development_issuer_lies_beside_the_others() {
    let mut bundle = bundle(&issuer_toml(""), &[("corp.json", &jwks(&[ed().jwk()]))]);
    let dev = r#"
        version = 1
        [[issuer]]
        name = "dev"
        iss = "https://dev.cedargate.invalid/"
        audience = "cedargate"
        keys = ["dev.jwks.json"]
        [[mapping]]
        issuer = "dev"
        claim = "groups"
        value = "readers"
        to = "readers"
    "#;
    let key = TestKey { kid: "dev", pkcs8: signing::generate("EdDSA").unwrap(), algorithm: "EdDSA" };
    bundle.insert("keys/dev/issuers.toml", dev);
    bundle.insert("keys/dev/dev.jwks.json", jwks(&[key.jwk()]));
    let issuers = load(&bundle).unwrap();
    let claims =
        json!({ "iss": "https://dev.cedargate.invalid/", "aud": "cedargate", "sub": "alice", "exp": NOW + 60, "groups": ["readers", "x"] });
    let identity = identify(&issuers, &key.token(&claims), NOW).unwrap();
    assert_eq!(identity.principal, "dev/alice");
    assert_eq!(identity.groups, ["dev/x", "readers"]);
    // Prefixes and names are checked across both files, and a mapping cannot reach into the other one.
    bundle.insert("keys/dev/issuers.toml", dev.replace("to = \"readers\"", "to = \"corp/readers\""));
    assert_eq!(problem(&bundle).code, "issuers.mapping");
    bundle.insert("keys/dev/issuers.toml", dev.replace("issuer = \"dev\"", "issuer = \"corp\""));
    assert_eq!(problem(&bundle).code, "issuers.unknown_issuer");
    bundle.insert("keys/dev/issuers.toml", dev.replace("name = \"dev\"", "name = \"dev\"\nprefix = \"corp/dev/\""));
    assert_eq!(problem(&bundle).code, "issuers.prefix");
    bundle.insert("keys/dev/issuers.toml", dev);
    bundle.insert("keys/dev/dev.pk8", key.pkcs8);
    assert_eq!(problem(&bundle).code, "bundle.unknown_file");
}

#[test]
fn every_problem_of_the_file_is_reported_at_once_with_its_place() {
    let toml = r#"version = 2
colour = "red"
[[issuer]]
name = "Corp Inc"
iss = ""
audiance = "x"
keys = []
algorithms = ["ES256", "HS256", "none", "ES25", "ES256"]
leeway_seconds = 61
max_age_seconds = 0
principal = "Robot"
prefix = ""
types = [""]
allow_missing_type = "yes"
[issuer.claims]
subjekt = "sub"
groups = ["a", ""]
roles = []
[[mapping]]
issuer = "nobody"
claim = "scope"
value = ""
[[mapping]]
issuer = "nobody"
claim = "groups"
value = "x"
to = "y"
"#;
    let problems = load(&bundle(toml, &[])).unwrap_err();
    let found: Vec<_> = problems.iter().map(|p| (p.code, pointed(p, toml).lines().next().unwrap_or_default())).collect();
    assert_eq!(
        found,
        [
            ("issuers.version", "2"),
            ("issuers.unknown_key", "colour"),
            ("issuers.missing_key", "[[issuer]]"),
            ("issuers.value", "\"Corp Inc\""),
            ("issuers.value", "\"\""),
            ("issuers.unknown_key", "audiance"),
            ("issuers.value", "[]"),
            ("issuers.value", "\"HS256\""),
            ("issuers.value", "\"none\""),
            ("issuers.value", "\"ES25\""),
            ("issuers.duplicate", "\"ES256\""),
            ("issuers.value", "61"),
            ("issuers.value", "0"),
            ("issuers.value", "\"Robot\""),
            ("issuers.value", "\"\""),
            ("issuers.value", "\"\""),
            ("issuers.type", "\"yes\""),
            ("issuers.unknown_key", "subjekt"),
            ("issuers.value", "[\"a\", \"\"]"),
            ("issuers.value", "[]"),
            ("issuers.missing_key", "[[mapping]]"),
            ("issuers.value", "\"scope\""),
            ("issuers.value", "\"\""),
            ("issuers.unknown_issuer", "\"nobody\""),
        ]
    );
    let help: Vec<_> = problems.iter().filter_map(|p| p.help.as_deref()).filter(|help| help.starts_with("did you mean")).collect();
    assert_eq!(help, ["did you mean `audience`?", "did you mean `ES256`?", "did you mean `subject`?"]);
}

#[test]
fn wrong_types_and_broken_syntax_are_refused() {
    for (from, to) in [
        ("audience = \"https://api.example.com\"", "audience = 1"),
        ("audience = \"https://api.example.com\"", "audience = [1]"),
        ("keys = [\"corp.json\"]", "keys = \"corp.json\""),
        ("name = \"corp\"", "name = true"),
        ("version = 1", "version = \"1\""),
        ("version = 1", "version = 1\nmapping = 1"),
        ("[[issuer]]", "[issuer]"),
    ] {
        let toml = issuer_toml("").replace(from, to);
        let found = codes(&bundle(&toml, &[("corp.json", &jwks(&[ed().jwk()]))]));
        assert!(found.contains(&"issuers.type"), "{to}: {found:?}");
    }
    assert!(codes(&bundle("version = ", &[])).contains(&"issuers.syntax"));
    assert!(codes(&bundle("version = 1\nversion = 1", &[])).contains(&"issuers.syntax"));
    let mut not_text = Bundle::default();
    not_text.insert("keys/issuers.toml", *b"\xff");
    assert_eq!(problem(&not_text).code, "issuers.syntax");
    assert_eq!(problem(&bundle("", &[])).code, "issuers.missing_key");
}

fn two(second: &str) -> Bundle {
    let more = format!("[[issuer]]\naudience = \"x\"\nkeys = [\"corp.json\"]\n{second}");
    bundle(&issuer_toml(&more), &[("corp.json", &jwks(&[ed().jwk()]))])
}

#[test]
fn issuers_must_be_told_apart() {
    // Two issuers may share a key file: some providers do.
    assert_eq!(load(&two("name = \"b\"\niss = \"b\"")).unwrap().len(), 2);
    assert_eq!(codes(&two("name = \"corp\"\niss = \"b\"")), ["issuers.duplicate", "issuers.prefix"]);
    assert_eq!(problem(&two(&format!("name = \"b\"\niss = \"{ISS}\""))).code, "issuers.duplicate");
    assert!(load(&two("name = \"corp2\"\niss = \"b\"")).is_ok());
    assert!(load(&two("name = \"b\"\niss = \"b\"\nprefix = \"corporate/\"")).is_ok());
    for prefix in ["corp/", "corp/b/", "corp/:"] {
        assert_eq!(problem(&two(&format!("name = \"b\"\niss = \"b\"\nprefix = \"{prefix}\""))).code, "issuers.prefix", "{prefix}");
    }
    for prefix in ["c", "corp", "", "a b"] {
        assert_eq!(problem(&two(&format!("name = \"b\"\niss = \"b\"\nprefix = \"{prefix}\""))).code, "issuers.value", "{prefix}");
    }
}

#[test]
fn mappings_name_their_issuer_and_stay_with_it() {
    let mapping = |issuer: &str, to: &str| {
        two(&format!("name = \"b\"\niss = \"b\"\n[[mapping]]\nissuer = \"{issuer}\"\nclaim = \"groups\"\nvalue = \"v\"\nto = \"{to}\"\n"))
    };
    assert!(load(&mapping("corp", "writers")).is_ok());
    assert!(load(&mapping("corp", "corp/other")).is_ok());
    assert_eq!(problem(&mapping("corp", "b/admins")).code, "issuers.mapping");
    let unknown = problem(&mapping("crop", "writers"));
    assert_eq!((unknown.code, unknown.help.as_deref()), ("issuers.unknown_issuer", Some("did you mean `corp`?")));
    let twice = issuer_toml(&"[[mapping]]\nissuer = \"corp\"\nclaim = \"roles\"\nvalue = \"v\"\nto = \"t\"\n".repeat(2));
    assert_eq!(problem(&bundle(&twice, &[("corp.json", &jwks(&[ed().jwk()]))])).code, "issuers.duplicate");
}

#[test]
fn key_files_and_issuers_must_agree() {
    let set = jwks(&[ed().jwk()]);
    let missing = load(&bundle(&issuer_toml(""), &[("corq.json", &set)])).unwrap_err();
    assert_eq!(missing.iter().map(|p| p.code).collect::<Vec<_>>(), ["key.unused", "issuers.key_file"]);
    assert_eq!(missing[1].help.as_deref(), Some("did you mean `corq.json`?"));
    let unused = problem(&bundle(&issuer_toml(""), &[("corp.json", &set), ("old.json", &set)]));
    assert_eq!((unused.code, unused.file.as_str()), ("key.unused", "keys/old.json"));
    for name in ["notes.txt", "corp.jwk", "sub/corp.json", "dev/sub/x.json", ".json", "issuers.toml.bak", "key"] {
        let unknown = problem(&bundle(&issuer_toml(""), &[("corp.json", &set), (name, b"x")]));
        assert_eq!((unknown.code, unknown.file), ("bundle.unknown_file", format!("keys/{name}")));
    }
    let above = issuer_toml("").replace("corp.json", "../policies/x.json");
    assert_eq!(codes(&bundle(&above, &[("corp.json", &set)])), ["key.unused", "issuers.key_file"]);
    let twice = issuer_toml("").replace("[\"corp.json\"]", "[\"corp.json\", \"corp.json\"]");
    assert_eq!(problem(&bundle(&twice, &[("corp.json", &set)])).code, "issuers.duplicate");
    let both = issuer_toml("").replace("[\"corp.json\"]", "[\"corp.json\", \"b.json\"]");
    assert_eq!(problem(&bundle(&both, &[("corp.json", &set), ("b.json", &jwks(&[ed().jwk()]))])).code, "key.duplicate");
    // What lies outside keys/ is somebody else's.
    let mut other = bundle(&issuer_toml(""), &[("corp.json", &set)]);
    other.insert("policies/x", "x");
    assert!(load(&other).is_ok());
}

#[test]
fn loading_twice_gives_the_same() {
    let bundle = bundle(&issuer_toml(""), &[("corp.json", &jwks(&[ed().jwk()]))]);
    assert_eq!(format!("{:?}", load(&bundle).unwrap()), format!("{:?}", load(&bundle).unwrap()));
}
