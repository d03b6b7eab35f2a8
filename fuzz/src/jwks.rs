//! Key sets.

use std::sync::LazyLock;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use cedargate::bundle::{Bundle, Report};
use cedargate::identity::Issuers;
use serde_json::{Map, Value};

use crate::world::object;

const PRIVATE: [&str; 9] = ["d", "p", "q", "dp", "dq", "qi", "oth", "k", "priv"];
const ISSUERS: &str = r#"
version = 1
[[issuer]]
name = "fuzz"
iss = "https://fuzz.example/"
audience = "x"
keys = ["fuzz.json"]
algorithms = ["EdDSA", "ES256", "ES384", "PS256", "PS384", "PS512", "RS256", "RS384", "RS512"]
"#;

static FETCHING: LazyLock<Issuers> = LazyLock::new(|| {
    let mut bundle = Bundle::default();
    bundle.insert("keys/issuers.toml", ISSUERS.replace(r#"keys = ["fuzz.json"]"#, r#"jwks_uri = "https://fuzz.example/keys""#));
    let mut report = Report::default();
    Issuers::load(&bundle, &mut report).unwrap_or_else(|| panic!("{report}"))
});

/// The bytes are a key set that an issuer names, and one that it publishes.
pub fn jwks(data: &[u8]) -> bool {
    fetched(data);
    sealed(data)
}

/// Keys of kinds that are not known are left out of a fetched set; nothing else is let pass that a sealed one must not have.
fn fetched(data: &[u8]) {
    let remote = FETCHING.remote("fuzz").expect("an issuer that publishes its keys");
    let read = remote.read_set(data);
    assert_eq!(format!("{read:?}"), format!("{:?}", remote.read_set(data)), "the same set, read differently");
    let Ok(set) = read else { return };
    let members = object(data);
    let Some(Value::Array(all)) = members.get("keys") else { panic!("believed, and no set") };
    for key in all.iter().map(|key| key.as_object().expect("believed, and a key that is no object")) {
        assert!(!PRIVATE.iter().any(|name| key.contains_key(*name)), "a private key was taken: {key:?}");
        // A name that no other key has is this key's.
        let Some(kid) = key.get("kid").and_then(Value::as_str) else { continue };
        if set.has(kid) && all.iter().filter(|other| other["kid"] == kid).count() == 1 {
            assert!(verifies(key), "not for verifying: {key:?}");
            check(key);
        }
    }
}

fn sealed(data: &[u8]) -> bool {
    let mut bundle = Bundle::default();
    bundle.insert("keys/issuers.toml", ISSUERS);
    bundle.insert("keys/fuzz.json", data);
    let load = || {
        let mut report = Report::default();
        let issuers = Issuers::load(&bundle, &mut report);
        assert_eq!(issuers.is_some(), report.is_empty(), "{report}");
        (issuers.map(|issuers| issuers.keys()), report.to_string())
    };
    let (keys, report) = load();
    assert_eq!((keys, report), load(), "the same set, read differently");
    let Some(keys) = keys else { return false };

    let set = object(data);
    let Some(Value::Array(all)) = set.get("keys") else { panic!("believed, and no set") };
    let all: Vec<_> = all.iter().map(|key| key.as_object().expect("believed, and a key that is no object")).collect();
    for key in &all {
        assert!(!PRIVATE.iter().any(|name| key.contains_key(*name)), "a private key was taken: {key:?}");
    }
    let used: Vec<_> = all.into_iter().filter(|key| verifies(key)).collect();
    assert_eq!(used.len(), keys, "keys that are for verifying");
    assert!((1..=64).contains(&keys), "{keys}");
    for (index, key) in used.iter().enumerate() {
        check(key);
        let same = |other: &&&Map<String, Value>| other.get("kid").is_some() && other.get("kid") == key.get("kid");
        assert!(used.iter().skip(index + 1).find(same).is_none(), "one name for two keys: {key:?}");
    }
    true
}

fn verifies(key: &Map<String, Value>) -> bool {
    let by_use = key.get("use").is_none_or(|usage| usage == "sig");
    by_use && key.get("key_ops").is_none_or(|ops| ops.as_array().is_some_and(|ops| ops.iter().any(|op| op == "verify")))
}

/// What is known of a key without any mathematics.
fn check(key: &Map<String, Value>) {
    let text = |name: &str| key.get(name).and_then(Value::as_str).unwrap_or_else(|| panic!("believed, and no `{name}`: {key:?}"));
    let bytes =
        |name: &str| URL_SAFE_NO_PAD.decode(text(name)).unwrap_or_else(|_| panic!("believed, and `{name}` is no base64url: {key:?}"));
    match text("kty") {
        "RSA" => {
            let (n, e) = (bytes("n"), bytes("e"));
            assert!((256..=1024).contains(&n.len()) && n[0] >= if n.len() == 256 { 0x80 } else { 1 } && n[n.len() - 1] & 1 == 1, "{key:?}");
            assert!(!e.is_empty() && e.len() <= 5 && e[e.len() - 1] & 1 == 1 && e != [1], "{key:?}");
        }
        "EC" => {
            let length = match text("crv") {
                "P-256" => 32,
                "P-384" => 48,
                other => panic!("believed, on {other}"),
            };
            assert_eq!((bytes("x").len(), bytes("y").len()), (length, length));
        }
        "OKP" => assert_eq!((text("crv"), bytes("x").len()), ("Ed25519", 32)),
        other => panic!("believed, of kind {other}"),
    }
}
