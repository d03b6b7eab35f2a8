//! Bound tokens: what `cnf` may hold, what an issuer may ask for, and how a token must come.

use serde_json::{Value, json};

use super::support::*;
use crate::bundle::Digest;
use crate::decision::{Reason, UnixTime};
use crate::identity::authorization::Scheme;
use crate::identity::jwt::Token;
use crate::identity::{CertificateIdentity, Confirmation, Issuers, NameKind, SignatureBackend, Supply, binding};

fn b64_digest(of: &str) -> String {
    b64(Digest::of(of.as_bytes()).as_bytes())
}

fn certificate(der: &str) -> CertificateIdentity {
    CertificateIdentity {
        anchor: "corp".to_owned(),
        principal: "corp/subject:CN=a".to_owned(),
        named_by: NameKind::Subject,
        subject: "CN=a".to_owned(),
        issuer: "CN=ca".to_owned(),
        issuer_digest: Digest::of(b"ca"),
        serial: "1".to_owned(),
        dns_names: vec![],
        emails: vec![],
        uris: vec![],
        ip_addresses: vec![],
        spiffe_id: None,
        fingerprint: Digest::of(der.as_bytes()),
        spki_fingerprint: Digest::of(b"spki"),
        not_before: UnixTime(NOW - 10),
        not_after: UnixTime(NOW + 10),
    }
}

/// What becomes of a token with this `cnf`.
fn bound(
    issuers: &Issuers,
    key: &TestKey,
    cnf: Value,
    scheme: Scheme,
    certificate: Option<&CertificateIdentity>,
    proof: bool,
) -> Result<(), Reason> {
    let compact = key.token(&claims(json!({ "cnf": cnf })));
    let token = Token::parse(&compact).unwrap();
    let (issuer, known) =
        issuers.verify(&token, Supply::NotNeeded, SignatureBackend::default(), UnixTime(NOW)).map_err(|denial| denial.reason)?;
    binding::check(issuer, scheme, &known.identity, certificate, proof).map_err(|denial| denial.reason)
}

#[test]
fn a_confirmation_is_read() {
    let key = ed();
    let issuers = with("", &[key.jwk()]);
    let read = |cnf: Value| identify(&issuers, &key.token(&claims(json!({ "cnf": cnf }))), NOW).map(|identity| identity.confirmation);
    let (a, b) = (Digest::of(b"a"), Digest::of(b"b"));
    let none = identify(&issuers, &key.token(&good()), NOW).unwrap().confirmation;
    assert_eq!(none, Confirmation::default());
    assert_eq!(read(json!({ "x5t#S256": b64_digest("a") })).unwrap(), Confirmation { certificate: Some(a), key: None });
    assert_eq!(read(json!({ "jkt": b64_digest("b") })).unwrap(), Confirmation { certificate: None, key: Some(b) });
    assert_eq!(
        read(json!({ "jkt": b64_digest("b"), "x5t#S256": b64_digest("a") })).unwrap(),
        Confirmation { certificate: Some(a), key: Some(b) }
    );
}

#[test]
fn a_confirmation_that_is_not_understood_is_refused() {
    let key = ed();
    let issuers = with("", &[key.jwk()]);
    let reason = |cnf: Value| reason(&issuers, &key.token(&claims(json!({ "cnf": cnf }))));
    let hash = b64_digest("a");
    let mut spelled = hash.clone();
    // The last character holds two bits that must be zero: another spelling of the same digest.
    let last = spelled.pop().unwrap();
    spelled.push(char::from(u8::try_from(last).unwrap() + 1));
    for cnf in [
        json!({}),
        json!([]),
        json!("x"),
        json!(true),
        json!({ "jwk": key.jwk() }),
        json!({ "kid": "ed" }),
        json!({ "x5t": hash }),
        json!({ "X5T#S256": hash }),
        json!({ "JKT": hash }),
        // What is not known is refused beside what is known too.
        json!({ "jkt": hash, "kid": "ed" }),
        json!({ "x5t#S256": hash, "jwk": {} }),
        json!({ "jkt": null }),
        json!({ "jkt": 1 }),
        json!({ "jkt": [hash] }),
        json!({ "jkt": "" }),
        json!({ "jkt": hash[1..] }),
        json!({ "jkt": format!("{hash}A") }),
        json!({ "jkt": format!("{hash}=") }),
        json!({ "jkt": format!(" {hash}") }),
        json!({ "jkt": spelled }),
        json!({ "jkt": Digest::of(b"a").to_string() }),
        json!({ "x5t#S256": hash.replace(['-', '_'], "+") + "+" }),
        json!({ "jkt": hash, "x5t#S256": "" }),
    ] {
        assert_eq!(reason(cnf.clone()), Reason::JwtConfirmationInvalid, "{cnf}");
    }
    assert!(identify(&issuers, &key.token(&claims(json!({ "cnf": { "jkt": hash } }))), NOW).is_ok(), "the control");
    // `null` is a claim that is there.
    let text = good().to_string().replacen('{', "{\"cnf\":null,", 1);
    assert_eq!(super::support::reason(&issuers, &key.token_of(&key.header().to_string(), &text)), Reason::JwtConfirmationInvalid);
}

#[test]
fn a_token_bound_to_a_certificate_needs_that_certificate() {
    let key = ed();
    let issuers = with("", &[key.jwk()]);
    let (own, other) = (certificate("own"), certificate("other"));
    let ask = |cnf: Value, certificate| bound(&issuers, &key, cnf, Scheme::Bearer, certificate, false);
    let cnf = json!({ "x5t#S256": b64_digest("own") });
    assert_eq!(ask(cnf.clone(), Some(&own)), Ok(()));
    assert_eq!(ask(cnf.clone(), None), Err(Reason::JwtCertificateMissing));
    assert_eq!(ask(cnf, Some(&other)), Err(Reason::JwtCertificateMismatch));
    // A token that is not bound may come with any certificate, and without.
    assert_eq!(ask(Value::Null, Some(&other)), Ok(()));
    assert_eq!(ask(Value::Null, None), Ok(()));
}

#[test]
fn a_token_bound_to_a_key_comes_as_dpop_with_a_proof_and_no_other_does() {
    let key = ed();
    let issuers = with("", &[key.jwk()]);
    let ask = |cnf: Value, scheme, proof| bound(&issuers, &key, cnf, scheme, None, proof);
    let cnf = json!({ "jkt": b64_digest("key") });
    assert_eq!(ask(cnf.clone(), Scheme::Dpop, true), Ok(()));
    assert_eq!(ask(cnf.clone(), Scheme::Dpop, false), Err(Reason::DpopProofMissing));
    assert_eq!(ask(cnf.clone(), Scheme::Bearer, false), Err(Reason::DpopBearer));
    assert_eq!(ask(cnf, Scheme::Bearer, true), Err(Reason::DpopBearer));
    assert_eq!(ask(Value::Null, Scheme::Bearer, false), Ok(()));
    assert_eq!(ask(Value::Null, Scheme::Bearer, true), Err(Reason::RequestCredentialsConflict));
    assert_eq!(ask(Value::Null, Scheme::Dpop, true), Err(Reason::DpopNotBound));
    assert_eq!(ask(Value::Null, Scheme::Dpop, false), Err(Reason::DpopNotBound));
    // Both at once: both must hold.
    let (own, other) = (certificate("own"), certificate("other"));
    let both = json!({ "jkt": b64_digest("key"), "x5t#S256": b64_digest("own") });
    let ask = |scheme, certificate, proof| bound(&issuers, &key, both.clone(), scheme, certificate, proof);
    assert_eq!(ask(Scheme::Dpop, Some(&own), true), Ok(()));
    assert_eq!(ask(Scheme::Dpop, Some(&other), true), Err(Reason::JwtCertificateMismatch));
    assert_eq!(ask(Scheme::Dpop, None, true), Err(Reason::JwtCertificateMissing));
    assert_eq!(ask(Scheme::Bearer, Some(&own), false), Err(Reason::DpopBearer));
}

#[test]
fn an_issuer_can_ask_for_bound_tokens() {
    let key = ed();
    let own = certificate("own");
    let (by_certificate, by_key) = (json!({ "x5t#S256": b64_digest("own") }), json!({ "jkt": b64_digest("key") }));
    let both = json!({ "jkt": b64_digest("key"), "x5t#S256": b64_digest("own") });
    let ask = |more: &str, cnf: &Value, scheme| {
        let issuers = with(more, &[key.jwk()]);
        bound(&issuers, &key, cnf.clone(), scheme, Some(&own), scheme == Scheme::Dpop)
    };
    let missing = Err(Reason::JwtBindingMissing);
    for more in ["", "require_certificate_binding = false\nrequire_dpop = false"] {
        assert_eq!(ask(more, &Value::Null, Scheme::Bearer), Ok(()));
    }
    let certificate = "require_certificate_binding = true";
    assert_eq!(ask(certificate, &by_certificate, Scheme::Bearer), Ok(()));
    assert_eq!(ask(certificate, &both, Scheme::Dpop), Ok(()));
    assert_eq!(ask(certificate, &by_key, Scheme::Dpop), missing);
    assert_eq!(ask(certificate, &Value::Null, Scheme::Bearer), missing);
    let dpop = "require_dpop = true";
    assert_eq!(ask(dpop, &by_key, Scheme::Dpop), Ok(()));
    assert_eq!(ask(dpop, &both, Scheme::Dpop), Ok(()));
    assert_eq!(ask(dpop, &by_certificate, Scheme::Bearer), missing);
    assert_eq!(ask(dpop, &Value::Null, Scheme::Bearer), missing);
    let two = "require_certificate_binding = true\nrequire_dpop = true";
    assert_eq!(ask(two, &both, Scheme::Dpop), Ok(()));
    assert_eq!(ask(two, &by_key, Scheme::Dpop), missing);
    assert_eq!(ask(two, &by_certificate, Scheme::Bearer), missing);
}

#[test]
fn the_issuers_say_what_they_ask_for() {
    let key = ed();
    let other = format!("[[issuer]]\nname = \"other\"\niss = \"{OTHER_ISS}\"\naudience = \"{AUD}\"\nkeys = [\"corp.json\"]\n");
    let facts = |first: &str, second: &str| {
        let issuers = with(&format!("{first}\n{other}{second}"), &[key.jwk()]);
        assert_eq!(issuers.identifiers().collect::<Vec<_>>(), [ISS, OTHER_ISS]);
        (issuers.any_requires_certificate(), issuers.any_requires_dpop(), issuers.all_require_dpop())
    };
    assert_eq!(facts("", ""), (false, false, false));
    assert_eq!(facts("require_certificate_binding = true", ""), (true, false, false));
    assert_eq!(facts("require_dpop = true", ""), (false, true, false));
    assert_eq!(facts("require_dpop = true", "require_dpop = true"), (false, true, true));
    assert!(!load(&bundle("version = 1", &[])).unwrap().all_require_dpop(), "nobody asks for anything");
}

#[test]
fn the_configuration_is_strict() {
    let key = ed();
    let codes = |more: &str| codes(&bundle(&issuer_toml(more), &[("corp.json", &jwks(&[key.jwk()]))]));
    for (more, code) in [
        ("require_dpop = \"yes\"", "issuers.type"),
        ("require_certificate_binding = 1", "issuers.type"),
        ("require_dopp = true", "issuers.unknown_key"),
        ("dpop = true", "issuers.unknown_key"),
        ("[dpop]\nmax_age_seconds = 0", "issuers.value"),
        ("[dpop]\nmax_age_seconds = 301", "issuers.value"),
        ("[dpop]\nmax_age_seconds = \"60\"", "issuers.type"),
        ("[dpop]\nleeway_seconds = -1", "issuers.value"),
        ("[dpop]\nleeway_seconds = 61", "issuers.value"),
        ("[dpop]\nalgorithms = []", "issuers.value"),
        ("[dpop]\nalgorithms = [\"HS256\"]", "issuers.value"),
        ("[dpop]\nalgorithms = [\"none\"]", "issuers.value"),
        ("[dpop]\nalgorithms = [\"ES256\", \"ES256\"]", "issuers.duplicate"),
        ("[dpop]\nalgorithms = \"ES256\"", "issuers.type"),
        ("[dpop]\nnonce = \"on\"", "issuers.value"),
        ("[dpop]\nnonce = true", "issuers.type"),
        ("[dpop]\nnonce_lifetime_seconds = 0", "issuers.value"),
        ("[dpop]\nnonce_lifetime_seconds = 3601", "issuers.value"),
        ("[dpop]\nnonces = \"off\"", "issuers.unknown_key"),
        ("[[dpop]]", "issuers.type"),
    ] {
        assert_eq!(codes(more), [code], "{more}");
    }
    assert_eq!(codes("[dpop]\nnonce = 1\nleeway_seconds = 99\nx = 1").len(), 3, "all at once");
    let text = issuer_toml(
        "[dpop]\nmax_age_seconds = 1\nleeway_seconds = 0\nalgorithms = [\"ES256\", \"RS256\"]\nnonce = \"required\"\nnonce_lifetime_seconds = 3600",
    );
    let issuers = load(&bundle(&text, &[("corp.json", &jwks(&[key.jwk()]))])).unwrap();
    assert_eq!(issuers.dpop().algorithms().collect::<Vec<_>>(), ["ES256", "RS256"]);
    assert!(issuers.dpop().requires_nonce());
    let default = with("", &[key.jwk()]);
    assert_eq!(default.dpop().algorithms().collect::<Vec<_>>(), ["EdDSA", "ES256", "PS256"]);
    assert!(!default.dpop().requires_nonce());
}
