use std::path::Path;

use super::*;
use crate::host::{Compiled, engine};

/// The base component: the one `CEDARGATE_BASE` names, which must be there, or the project's own if it was built.
fn base() -> Option<Vec<u8>> {
    match std::env::var_os("CEDARGATE_BASE") {
        Some(path) => Some(std::fs::read(path).expect("CEDARGATE_BASE can be read")),
        None => std::fs::read(Path::new(env!("CARGO_MANIFEST_DIR")).join("target/wasm32-wasip2/release/cedargate.wasm")).ok(),
    }
}

/// The least that loads: the schema and one policy, no issuer.
fn bundle() -> Bundle {
    [
        ("policies/schema.cedarschema", include_str!("../../policies/schema.cedarschema")),
        ("policies/a.cedar", "@id(\"a\")\npermit (principal, action == Gate::Action::\"GET\", resource);"),
        ("policies/routes.toml", "version = 1\n"),
        ("keys/issuers.toml", "version = 1\n"),
    ]
    .into_iter()
    .map(|(path, text)| (path.to_owned(), text.as_bytes().to_vec()))
    .collect()
}

/// What Spin 4.1 has for a component, by interface.
const SPIN_HAS: [&str; 4] = [
    "spin:variables/variables@3.0.0",
    "spin:key-value/key-value@3.0.0",
    "wasi:keyvalue/store@0.2.0-draft2",
    "wasi:keyvalue/atomics@0.2.0-draft2",
];
/// The parts of WASI in it. An interface outside these, or of another version, would not start there.
const WASI_HAS: [&str; 7] = ["wasi:cli/", "wasi:clocks/", "wasi:filesystem/", "wasi:http/", "wasi:io/", "wasi:random/", "wasi:sockets/"];

fn spin_has(import: &str) -> bool {
    if SPIN_HAS.contains(&import) {
        return true;
    }
    let Some((name, version)) = import.split_once('@') else { return false };
    WASI_HAS.iter().any(|part| name.starts_with(part)) && (version == "0.3.0" || version.starts_with("0.2."))
}

#[test]
fn what_is_sealed_is_the_same_every_time_and_runs_under_spin() {
    let Some(base) = base() else { return };
    let sealed = seal(&base, &bundle()).unwrap();
    assert!(seal(&base, &bundle()).unwrap() == sealed, "two seals of the same input differ");

    let description = describe(&sealed.component).unwrap();
    assert_eq!(description.policy_digest, bundle().digest().to_string());
    assert_eq!(description.base_digest, Digest::of(&base).to_string());
    assert_eq!((description.policies, sealed.policies), (1, 1));
    assert_eq!(describe(&base), None);

    let engine = engine().unwrap();
    let component = Compiled::new(&engine, &sealed.component).unwrap();
    let strange: Vec<_> = component.imports().into_iter().filter(|name| !spin_has(name)).collect();
    assert_eq!(strange, Vec::<String>::new());
    assert_eq!(component.exports(), ["wasi:http/handler@0.3.0"]);
    // The positive control: the base still has what sealing takes away.
    assert!(Compiled::new(&engine, &base).unwrap().exports().iter().any(|name| name == INITIALIZE));
}

#[test]
fn another_policy_gives_another_component() {
    let Some(base) = base() else { return };
    let mut changed = bundle();
    changed.insert("policies/a.cedar", "@id(\"b\")\npermit (principal, action == Gate::Action::\"GET\", resource);");
    let (one, two) = (seal(&base, &bundle()).unwrap(), seal(&base, &changed).unwrap());
    assert_ne!(one.policy_digest, two.policy_digest);
    assert_eq!(one.schema_digest, two.schema_digest);
    assert!(one.component != two.component);
}

#[test]
fn a_sealed_component_is_not_sealed_again() {
    let Some(base) = base() else { return };
    let sealed = seal(&base, &bundle()).unwrap();
    assert!(matches!(seal(&sealed.component, &bundle()), Err(SealError::AlreadySealed(_))));
}

#[test]
fn a_bundle_with_problems_is_refused_before_anything_runs() {
    let mut broken = bundle();
    broken.insert("policies/a.cedar", "permit (");
    // The smallest component: its preamble.
    let component = [0x00, 0x61, 0x73, 0x6d, 0x0d, 0x00, 0x01, 0x00];
    assert!(matches!(seal(&component, &broken), Err(SealError::Bundle(_))));
    // The positive control gets past the bundle.
    assert!(matches!(seal(&component, &bundle()), Err(SealError::NotSealable(_))));
}

#[test]
fn what_is_no_component_is_refused() {
    for bytes in [&b""[..], b"not wasm", b"\0asm\x01\0\0\0"] {
        assert!(matches!(seal(bytes, &bundle()), Err(SealError::NotSealable(_))));
    }
}

#[test]
fn one_sealer_seals_again_and_again_as_if_it_were_the_first_time() {
    let Some(base) = base() else { return };
    let sealer = Sealer::new(base.clone());
    let mut broken = bundle();
    broken.insert("policies/a.cedar", "permit (");
    let mut changed = bundle();
    changed.insert("policies/a.cedar", "@id(\"b\")\npermit (principal, action == Gate::Action::\"GET\", resource);");
    sealer.prepare();
    for _ in 0..2 {
        assert!(matches!(sealer.seal(&broken), Err(SealError::Bundle(_))));
        assert!(sealer.seal(&changed).unwrap() == seal(&base, &changed).unwrap());
        assert!(sealer.seal(&bundle()).unwrap() == seal(&base, &bundle()).unwrap());
    }
}
