//! DPoP proofs (RFC 9449).

use std::sync::LazyLock;

use cedargate::bundle::Gate;
use cedargate::identity::Identity;
use ring::signature::KeyPair;
use serde_json::{Value, json};

use crate::token;
use crate::world::{Key, LEEWAY, NOW, ask, b64, gate, object, seconds, sha256, two};

/// The oldest proof that is taken, in seconds.
const AGE: i64 = 60;

static GATE: LazyLock<Gate> = LazyLock::new(|| gate(None));
static TOKEN: LazyLock<String> = LazyLock::new(bound);
static GOOD: LazyLock<String> = LazyLock::new(|| Key::Stranger.token(header().to_string().as_bytes(), claims().to_string().as_bytes()));

fn jwk() -> Value {
    json!({ "crv": "Ed25519", "kty": "OKP", "x": b64(Key::Stranger.pair().public_key()) })
}

/// A token bound to the key of the proofs (RFC 7638: members in order, no spaces).
fn bound() -> String {
    let mut claims = token::claims();
    claims["cnf"] = json!({ "jkt": b64(sha256(jwk().to_string().as_bytes())) });
    Key::Ed.token(token::header().to_string().as_bytes(), claims.to_string().as_bytes())
}

/// What is said of a good proof.
pub(crate) fn header() -> Value {
    json!({ "typ": "dpop+jwt", "alg": "EdDSA", "jwk": jwk() })
}

pub(crate) fn claims() -> Value {
    let ath = b64(sha256(bound().as_bytes()));
    json!({ "jti": "abc", "htm": "GET", "htu": "https://api.example.com/health", "iat": NOW - 1, "ath": ath })
}

/// Bytes that begin with `{` are a header, a line feed and claims, which are signed with the key the token is bound to; any
/// others the value of `DPoP`.
pub fn dpop_proof(data: &[u8]) -> bool {
    let signed = data.starts_with(b"{");
    let (header, claims) = two(data);
    let proof = if signed { Key::Stranger.token(header, claims).into_bytes() } else { data.to_vec() };
    let authorization = format!("DPoP {}", *TOKEN);
    let Some(decision) = ask(&GATE, &[("authorization", authorization.as_bytes()), ("dpop", &proof)]) else { return false };
    match &decision.identity {
        Identity::Anonymous => {
            assert!(decision.outcome.is_err(), "a credential that was refused counted for none");
            return false;
        }
        Identity::Token { certificate: None, .. } => {}
        other => panic!("a token cannot make {other:?}"),
    }
    if !signed {
        assert_eq!(proof, GOOD.as_bytes(), "nobody signed this proof");
        return true;
    }

    let (header, claims) = (object(header), object(claims));
    let text = |name: &str| claims.get(name).and_then(Value::as_str).unwrap_or_else(|| panic!("believed, and no `{name}`: {claims:?}"));
    let typ = header.get("typ").and_then(Value::as_str).map(str::to_ascii_lowercase);
    assert!(matches!(typ.as_deref(), Some("dpop+jwt" | "application/dpop+jwt")), "{typ:?}");
    assert_eq!(header.get("alg"), Some(&json!("EdDSA")));
    let key = header.get("jwk").and_then(Value::as_object).expect("believed, and no key");
    for (name, value) in jwk().as_object().expect("an object") {
        assert_eq!(key.get(name), Some(value), "another key");
    }
    assert!(!key.contains_key("d") && !key.contains_key("k"), "a private key: {key:?}");
    assert!(!header.contains_key("crit") && !header.contains_key("b64"), "{header:?}");
    assert_eq!((text("htm"), text("ath")), ("GET", b64(sha256(TOKEN.as_bytes())).as_str()));
    assert!(!text("jti").is_empty(), "{claims:?}");
    let issued = seconds(&claims, "iat").expect("believed, and no time");
    assert!((NOW - AGE - LEEWAY..=NOW + LEEWAY).contains(&issued), "{issued}");
    assert!(
        seconds(&claims, "exp").is_none_or(|time| NOW < time + LEEWAY) && seconds(&claims, "nbf").is_none_or(|time| time <= NOW + LEEWAY),
        "{claims:?}"
    );
    // However it is written, it is this host, on its port, and this path.
    let target = text("htu").to_ascii_lowercase();
    let rest = target.strip_prefix("https://api.example.com").unwrap_or_else(|| panic!("another host: {target}"));
    let path = rest.strip_prefix(":443").or_else(|| rest.strip_prefix(':')).unwrap_or(rest).split(['?', '#']).next().unwrap_or_default();
    assert!(path == "/health" || path.contains(['%', '.']), "another path: {target}");
    true
}
