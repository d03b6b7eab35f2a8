//! Access tokens.

use std::sync::LazyLock;

use cedargate::bundle::Gate;
use cedargate::decision::UnixTime;
use cedargate::identity::Identity;
use serde_json::{Value, json};

use crate::world::{AUDIENCES, DEV_ISS, Key, LEEWAY, NOW, PARTNER_ISS, ask, gate, object, seconds, two};

static GATE: LazyLock<Gate> = LazyLock::new(|| gate(None));
static GOOD: LazyLock<[String; 2]> = LazyLock::new(good);

/// What is said of the good token of issuer `dev`.
pub(crate) fn header() -> Value {
    json!({ "alg": "EdDSA", "kid": "ed", "typ": "JWT" })
}

pub(crate) fn claims() -> Value {
    json!({
        "iss": DEV_ISS, "aud": "cedargate", "sub": "alice", "iat": NOW - 5, "exp": NOW + 600, "jti": "1", "groups": ["readers", "x"],
        "scope": "documents.read", "email": "alice@example.com", "email_verified": true, "acr": "urn:mfa", "amr": ["pwd", "otp"],
    })
}

/// Tokens that verify. EdDSA only: its signatures cannot be changed into others of the same message.
pub(crate) fn good() -> [String; 2] {
    let partner = json!({
        "iss": PARTNER_ISS, "aud": ["https://api.example.com"], "client_id": "svc-1", "iat": NOW - 5, "exp": NOW + 300,
        "realm_access": { "roles": ["a"] },
    });
    [
        Key::Ed.token(header().to_string().as_bytes(), claims().to_string().as_bytes()),
        Key::Partner.token(json!({ "alg": "EdDSA", "typ": "at+jwt" }).to_string().as_bytes(), partner.to_string().as_bytes()),
    ]
}

/// Bytes that begin with `{` are a header, a line feed and claims, which are signed with the key of issuer `dev`; any others the
/// value of `Authorization`.
pub fn token(data: &[u8]) -> bool {
    if data.starts_with(b"{") { signed(data) } else { raw(data) }
}

fn raw(data: &[u8]) -> bool {
    let Some(decision) = ask(&GATE, &[("authorization", data)]) else { return false };
    if decision.identity == Identity::Anonymous {
        assert!(decision.outcome.is_err(), "a credential that was refused counted for none");
        return false;
    }
    let text = std::str::from_utf8(data).expect("believed, and not text");
    let (scheme, token) = text.split_once(' ').expect("believed, and no scheme");
    assert!(scheme.eq_ignore_ascii_case("bearer"), "{scheme}");
    assert!(GOOD.iter().any(|good| good == token), "nobody signed this: {token}");
    true
}

fn signed(data: &[u8]) -> bool {
    let (header, claims) = two(data);
    let token = Key::Ed.token(header, claims);
    let Some(decision) = ask(&GATE, &[("authorization", format!("Bearer {token}").as_bytes())]) else { return false };
    let identity = match &decision.identity {
        Identity::Anonymous => {
            assert!(decision.outcome.is_err(), "a credential that was refused counted for none");
            return false;
        }
        Identity::Token { token, certificate: None } => token,
        other => panic!("a token cannot make {other:?}"),
    };

    let (header, claims) = (object(header), object(claims));
    assert_eq!(header.get("alg"), Some(&json!("EdDSA")));
    assert!(header.get("kid").is_none_or(|kid| kid == "ed"), "a key of another name");
    let typ = header.get("typ").map(|typ| typ.as_str().expect("believed, and `typ` is no text").to_ascii_lowercase());
    assert!(typ.as_ref().is_none_or(|typ| ["jwt", "at+jwt"].contains(&typ.strip_prefix("application/").unwrap_or(typ))), "{typ:?}");
    for name in ["crit", "b64", "zip", "enc"] {
        assert!(!header.contains_key(name), "{name}");
    }

    assert_eq!(claims.get("iss"), Some(&json!(DEV_ISS)));
    assert_eq!((identity.issuer_name.as_str(), identity.issuer.as_str()), ("dev", DEV_ISS));
    let ours = |audience: &Value| AUDIENCES.iter().any(|ours| audience == ours);
    let audience = claims.get("aud").expect("believed, and no audience");
    assert!(ours(audience) || audience.as_array().is_some_and(|all| all.iter().any(ours)), "{audience}");
    let expires = seconds(&claims, "exp").expect("believed, and no end");
    assert!(NOW < expires + LEEWAY, "over at {expires}");
    assert!(identity.expires_at <= UnixTime(expires), "{identity:?}");
    for name in ["iat", "nbf"] {
        assert!(seconds(&claims, name).is_none_or(|time| time <= NOW + LEEWAY), "{name} is in the future");
    }
    // A status or a binding is never ignored: this issuer allows no lists, and the request has no proof and no certificate.
    assert!(!claims.contains_key("status") && !claims.contains_key("cnf"), "{claims:?}");

    let subject = claims.get("sub").and_then(Value::as_str).expect("believed, and no subject");
    assert!(!subject.is_empty() && identity.subject == subject && identity.principal == format!("dev/{subject}"), "{identity:?}");
    let values = |name: &str| match claims.get(name) {
        None => Vec::new(),
        Some(Value::String(one)) => one.split(' ').chain([one.as_str()]).collect(),
        Some(Value::Array(many)) => many.iter().map(|one| one.as_str().expect("believed, and no text")).collect(),
        Some(other) => panic!("believed, and `{name}` is {other}"),
    };
    let mapped = ["readers", "writers", "admins", "auditors", "admin"];
    for (ids, name) in [(&identity.groups, "groups"), (&identity.roles, "roles")] {
        let claimed = values(name);
        let known = |id: &String| {
            id.strip_prefix("dev/").unwrap_or_else(|| mapped.iter().find(|m| *m == id).expect("a bare name nobody gave")).to_owned()
        };
        assert!(ids.iter().all(|id| claimed.contains(&known(id).as_str())), "{ids:?} of {claimed:?}");
    }
    assert!(identity.scopes.iter().all(|scope| values("scope").contains(&scope.as_str())), "{identity:?}");
    assert!(identity.email.is_none() || claims.get("email_verified") == Some(&json!(true)), "{identity:?}");
    true
}
