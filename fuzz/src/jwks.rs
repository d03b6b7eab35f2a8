//! Key sets.

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

/// The bytes are a key set that an issuer names.
pub fn jwks(data: &[u8]) -> bool {
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
