//! DPoP proofs: the published examples, and every reason beside the proof that differs from it in nothing else and counts.

use std::collections::BTreeSet;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use proptest::prelude::*;
use serde_json::{Value, json};

use super::support::*;
use crate::bundle::Digest;
use crate::decision::{Denial, Reason, UnixTime};
use crate::identity::json::Json;
use crate::identity::{Deployment, DpopConfig, ProofUse, PublicUrl, Secret, dpop, dpop_nonce};
use crate::limits;
use crate::request::{Facts, Proxies, RawRequest};

const TOKEN: &str = "header.claims.signature";
const HTU: &str = "https://api.example.com/orders/1";

fn facts(method: &str, host: &str, target: &str) -> Facts {
    let headers = [("host".to_owned(), host.as_bytes().to_vec())];
    let raw = RawRequest { method, scheme: Some("http"), authority: None, path_with_query: Some(target), headers: &headers };
    crate::request::read(&raw, Proxies::default()).unwrap().0
}

fn deployment() -> Deployment {
    Deployment { public_url: PublicUrl::parse("https://api.example.com"), ..Deployment::default() }
}

fn config(dpop: &str) -> DpopConfig {
    let key = ed();
    load(&bundle(&issuer_toml(&format!("[dpop]\n{dpop}")), &[("corp.json", &jwks(&[key.jwk()]))])).unwrap().dpop().clone()
}

/// The public key as a proof carries it.
fn jwk(key: &TestKey) -> Value {
    key.jwk_without(&["kid", "alg", "use"])
}

fn thumbprint(jwk: &Value) -> Option<Digest> {
    match Json::parse(jwk.to_string().as_bytes()) {
        Ok(Json::Object(members)) => dpop::thumbprint(&members),
        _ => None,
    }
}

/// A proof of this key with some members of header and claims changed; `null` removes one.
fn proof(key: &TestKey, header: Value, claims: Value) -> String {
    let mut all_header = json!({ "typ": "dpop+jwt", "alg": key.algorithm, "jwk": jwk(key) });
    merge(all_header.as_object_mut().unwrap(), header.as_object().unwrap());
    let ath = b64(Digest::of(TOKEN.as_bytes()).as_bytes());
    let mut all = json!({ "jti": "one", "htm": "GET", "htu": HTU, "iat": NOW, "ath": ath });
    merge(all.as_object_mut().unwrap(), claims.as_object().unwrap());
    key.token_of(&all_header.to_string(), &all.to_string())
}

fn check(config: &DpopConfig, key: &TestKey, proof: &str, now: i64) -> Result<ProofUse, Denial> {
    let bound = thumbprint(&jwk(key)).unwrap();
    dpop::check(config, proof.as_bytes(), (TOKEN, bound), &facts("GET", "gate", "/orders/1?x=1"), &deployment(), UnixTime(now))
}

/// RFC 7638, section 3.1; RFC 8037, appendix A.3; RFC 9449, section 6.1.
#[test]
fn the_published_thumbprints() {
    let n = concat!(
        "0vx7agoebGcQSuuPiLJXZptN9nndrQmbXEps2aiAFbWhM78LhWx4cbbfAAtVT86zwu1RK7aPFFxuhDR1L6tSoc_BJECPebWKRXjBZCiFV4n3oknjhMst",
        "n64tZ_2W-5JsGY4Hc5n9yBXArwl93lqt7_RN5w6Cf0h4QyQ5v-65YGjQR0_FDW2QvzqY368QQMicAtaSqzs8KJZgnYb9c7d0zgdAZHzu6qMQvRL5hajr",
        "n1n91CbOpbISD08qNLyrdkt-bFTWhAI4vMQFh6WeZu0fM4lFd2NcRwr3XPksINHaQ-G_xBniIqbw0Ls1jF44-csFCur-kEgU8awapJzKnqDKgw",
    );
    for (jwk, expected) in [
        (json!({ "kty": "RSA", "n": n, "e": "AQAB", "alg": "RS256", "kid": "2011-04-29" }), "NzbLsXh8uDCcd-6MNwXF4W_7noWXFZAfHkxZsRGC9Xs"),
        (
            json!({ "kty": "OKP", "crv": "Ed25519", "x": "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo" }),
            "kPrK_qmxVWaYVA9wwBF6Iuo3vVzz7TxHCTwXBygrS4k",
        ),
        (
            json!({ "kty": "EC", "x": "l8tFrhx-34tV3hRICRDY9zCkDlpBhF42UQUfWVAWBFs", "y": "9VE4jf_Ok_o64zbTTlcuNJajHmt6v9TDVrU0CdvGRDA", "crv": "P-256" }),
            "0ZcOCORZNYy-DWpqq30jZyJGHTN0d2HglBV3uiguA4I",
        ),
    ] {
        assert_eq!(b64(thumbprint(&jwk).unwrap().as_bytes()), expected);
    }
    for bad in [json!({}), json!({ "kty": "oct", "k": "AA" }), json!({ "kty": "EC", "crv": "P-256", "x": "AA" }), json!({ "kty": 1 })] {
        assert_eq!(thumbprint(&bad), None, "{bad}");
    }
}

/// RFC 9449, section 7.1: the protected resource request.
#[test]
fn the_published_proof_counts_for_its_request() {
    let token = "Kz~8mXK1EalYznwH-LC-1fBAo.4Ljp~zsPE_NeO.gxU";
    let proof = concat!(
        "eyJ0eXAiOiJkcG9wK2p3dCIsImFsZyI6IkVTMjU2IiwiandrIjp7Imt0eSI6IkVDIiwieCI6Imw4dEZyaHgtMzR0VjNoUklDUkRZOXpDa0RscEJo",
        "RjQyVVFVZldWQVdCRnMiLCJ5IjoiOVZFNGpmX09rX282NHpiVFRsY3VOSmFqSG10NnY5VERWclUwQ2R2R1JEQSIsImNydiI6IlAtMjU2In19",
        ".eyJqdGkiOiJlMWozVl9iS2ljOC1MQUVCIiwiaHRtIjoiR0VUIiwiaHR1IjoiaHR0cHM6Ly9yZXNvdXJjZS5leGFtcGxlLm9yZy9wcm90ZWN0ZWRy",
        "ZXNvdXJjZSIsImlhdCI6MTU2MjI2MjYxOCwiYXRoIjoiZlVIeU8ycjJaM0RaNTNFc05yV0JiMHhXWG9hTnk1OUlpS0NBcWtzbVFFbyJ9",
        ".2oW9RP35yRqzhrtNP86L-Ey71EOptxRimPPToA1plemAgR6pxHF8y6-yqyVnmcw6Fy1dqd-jfxSYoMxhAJpLjA",
    );
    let key = URL_SAFE_NO_PAD.decode("0ZcOCORZNYy-DWpqq30jZyJGHTN0d2HglBV3uiguA4I").unwrap();
    let key = Digest::from_bytes(key.try_into().unwrap());
    let check = |token, key, facts: &Facts, now| {
        let (config, deployment) = (DpopConfig::default(), Deployment::default());
        dpop::check(&config, proof.as_bytes(), (token, key), facts, &deployment, UnixTime(now)).map_err(|denial| denial.reason)
    };
    let asked = facts("GET", "resource.example.org", "/protectedresource");
    let now = 1_562_262_618;
    assert_eq!(check(token, key, &asked, now).unwrap().until, UnixTime(now + 70));
    assert_eq!(check(token, key, &asked, now + 70).unwrap().until, UnixTime(now + 70));
    assert_eq!(check(token, key, &asked, now + 71), Err(Reason::DpopExpired));
    assert_eq!(check(token, key, &asked, now - 11), Err(Reason::DpopIssuedInFuture));
    assert_eq!(check("Kz~8mXK1EalYznwH-LC-1fBAo.4Ljp~zsPE_NeO.gxV", key, &asked, now), Err(Reason::DpopTokenMismatch));
    assert_eq!(check(token, Digest::of(b"another"), &asked, now), Err(Reason::DpopKeyMismatch));
    assert_eq!(check(token, key, &facts("POST", "resource.example.org", "/protectedresource"), now), Err(Reason::DpopMethodMismatch));
    assert_eq!(check(token, key, &facts("GET", "resource.example.com", "/protectedresource"), now), Err(Reason::DpopUrlMismatch));
    assert_eq!(check(token, key, &facts("GET", "resource.example.org", "/protected"), now), Err(Reason::DpopUrlMismatch));
}

#[test]
fn a_proof_of_every_kind_of_key_counts_where_its_algorithm_is_allowed() {
    let every = config(ALL_ALGORITHMS);
    for key in &WORLD.keys {
        let made = proof(key, json!({}), json!({}));
        let used = check(&every, key, &made, NOW).unwrap();
        assert_eq!(used.until, UnixTime(NOW + 70), "{}", key.algorithm);
        let allowed = ["EdDSA", "ES256", "PS256"].contains(&key.algorithm);
        let by_default = check(&DpopConfig::default(), key, &made, NOW).map(drop).map_err(|denial| denial.reason);
        assert_eq!(by_default, if allowed { Ok(()) } else { Err(Reason::DpopAlgorithm) }, "{}", key.algorithm);
        // `alg`, `use` and `kid` in the key are no harm.
        assert_eq!(check(&every, key, &proof(key, json!({ "jwk": key.jwk() }), json!({})), NOW).unwrap(), used);
    }
    let only = config("algorithms = [\"ES384\"]");
    let made = |kid: &str| proof(WORLD.key(kid), json!({}), json!({}));
    assert!(check(&only, WORLD.key("es384"), &made("es384"), NOW).is_ok());
    assert_eq!(check(&only, WORLD.key("ed"), &made("ed"), NOW).unwrap_err().reason, Reason::DpopAlgorithm);
}

/// Proofs that differ from a good one in one thing, with the reason each must be refused for.
fn cases() -> Vec<(&'static str, String, Reason)> {
    let (key, es) = (WORLD.key("ed"), WORLD.key("es256"));
    let header = |changes: Value| proof(key, changes, json!({}));
    let body = |changes: Value| proof(key, json!({}), changes);
    let with_jwk = |changes: Value| {
        let mut jwk = jwk(key);
        merge(jwk.as_object_mut().unwrap(), changes.as_object().unwrap());
        header(json!({ "jwk": jwk }))
    };
    let good = header(json!({}));
    let [h, p, s] = good.split('.').collect::<Vec<_>>()[..] else { panic!() };
    let another = WORLD.other.token_of(&String::from_utf8(URL_SAFE_NO_PAD.decode(h).unwrap()).unwrap(), "{}");
    let small = json!({ "kty": "RSA", "n": b64([&[0x80][..], &[1; 127]].concat()), "e": "AQAB" });
    let off_curve = json!({ "kty": "EC", "crv": "P-256", "x": b64([1; 32]), "y": b64([2; 32]) });
    vec![
        ("empty", String::new(), Reason::DpopMalformed),
        ("not a JWT", "proof".to_owned(), Reason::DpopMalformed),
        ("two parts", format!("{h}.{p}"), Reason::DpopMalformed),
        ("five parts", format!("{h}.{p}.{s}.a.b"), Reason::DpopMalformed),
        ("two proofs", format!("{good}, {good}"), Reason::DpopMalformed),
        ("a space", format!("{good} "), Reason::DpopMalformed),
        ("padded", format!("{good}="), Reason::DpopMalformed),
        ("too large", format!("{good}{}", "A".repeat(limits::PROOF_BYTES)), Reason::DpopMalformed),
        ("large header", header(json!({ "x": "a".repeat(limits::TOKEN_HEADER_BYTES) })), Reason::DpopMalformed),
        ("header is not JSON", key.token_of("{", "{}"), Reason::DpopMalformed),
        (
            "claims are not an object",
            key.token_of(&String::from_utf8(URL_SAFE_NO_PAD.decode(h).unwrap()).unwrap(), "[]"),
            Reason::DpopMalformed,
        ),
        ("`jwk` twice", key.token_of(r#"{"typ":"dpop+jwt","alg":"EdDSA","jwk":{},"jwk":{}}"#, "{}"), Reason::DpopMalformed),
        ("`crit`", header(json!({ "crit": ["exp"] })), Reason::DpopMalformed),
        ("`b64`", header(json!({ "b64": false })), Reason::DpopMalformed),
        ("nested", header(json!({ "cty": "JWT" })), Reason::DpopMalformed),
        ("`typ` is a number", header(json!({ "typ": 1 })), Reason::DpopMalformed),
        ("no `typ`", header(json!({ "typ": null })), Reason::DpopType),
        ("`typ` JWT", header(json!({ "typ": "JWT" })), Reason::DpopType),
        ("`typ` at+jwt", header(json!({ "typ": "at+jwt" })), Reason::DpopType),
        ("`typ` dpop", header(json!({ "typ": "dpop" })), Reason::DpopType),
        ("`none`", header(json!({ "alg": "none" })), Reason::DpopAlgorithm),
        ("no signature", format!("{h}.{p}."), Reason::DpopAlgorithm),
        ("HS256", header(json!({ "alg": "HS256" })), Reason::DpopAlgorithm),
        ("ES512", header(json!({ "alg": "ES512" })), Reason::DpopAlgorithm),
        ("RS256 is not among the defaults", proof(WORLD.key("rs256"), json!({}), json!({})), Reason::DpopAlgorithm),
        ("no `jwk`", header(json!({ "jwk": null, "kid": "ed" })), Reason::DpopKeyInvalid),
        ("`jwk` is a string", header(json!({ "jwk": "x" })), Reason::DpopKeyInvalid),
        ("`jwk` is empty", header(json!({ "jwk": {} })), Reason::DpopKeyInvalid),
        ("a private key", with_jwk(json!({ "d": b64([1; 32]) })), Reason::DpopKeyInvalid),
        ("an empty private member", with_jwk(json!({ "d": "" })), Reason::DpopKeyInvalid),
        ("a symmetric key", header(json!({ "jwk": { "kty": "oct", "k": "AAAA" } })), Reason::DpopKeyInvalid),
        ("a symmetric key as another", with_jwk(json!({ "k": "AAAA" })), Reason::DpopKeyInvalid),
        ("a key for encryption", with_jwk(json!({ "use": "enc" })), Reason::DpopKeyInvalid),
        ("a key for signing only", with_jwk(json!({ "key_ops": ["sign"] })), Reason::DpopKeyInvalid),
        ("a key of another algorithm", with_jwk(json!({ "alg": "ES256" })), Reason::DpopKeyInvalid),
        ("a key of another kind", header(json!({ "jwk": jwk(es) })), Reason::DpopKeyInvalid),
        ("a key in another spelling", with_jwk(json!({ "x": format!("{}=", b64([1; 32])) })), Reason::DpopKeyInvalid),
        ("an unknown curve", with_jwk(json!({ "crv": "Ed448" })), Reason::DpopKeyInvalid),
        ("a weak RSA key", proof(WORLD.key("ps256"), json!({ "jwk": small }), json!({})), Reason::DpopKeyInvalid),
        ("a point off its curve", proof(es, json!({ "jwk": off_curve }), json!({})), Reason::DpopKeyInvalid),
        ("a key of small order", with_jwk(json!({ "x": b64([0; 32]) })), Reason::DpopKeyInvalid),
        ("another key", proof(&WORLD.other, json!({}), json!({})), Reason::DpopKeyMismatch),
        ("signed by another key", another, Reason::DpopSignatureInvalid),
        ("claims changed", format!("{h}.{}.{s}", b64("{}")), Reason::DpopSignatureInvalid),
        ("no `jti`", body(json!({ "jti": null })), Reason::DpopClaimsInvalid),
        ("empty `jti`", body(json!({ "jti": "" })), Reason::DpopClaimsInvalid),
        ("long `jti`", body(json!({ "jti": "j".repeat(256) })), Reason::DpopClaimsInvalid),
        ("`jti` with a control character", body(json!({ "jti": "a\0" })), Reason::DpopClaimsInvalid),
        ("`jti` is a number", body(json!({ "jti": 1 })), Reason::DpopClaimsInvalid),
        ("no `htm`", body(json!({ "htm": null })), Reason::DpopClaimsInvalid),
        ("no `htu`", body(json!({ "htu": null })), Reason::DpopClaimsInvalid),
        ("`htu` is an array", body(json!({ "htu": [HTU] })), Reason::DpopClaimsInvalid),
        ("no `iat`", body(json!({ "iat": null })), Reason::DpopClaimsInvalid),
        ("`iat` is a string", body(json!({ "iat": NOW.to_string() })), Reason::DpopClaimsInvalid),
        ("`iat` is negative", body(json!({ "iat": -1 })), Reason::DpopClaimsInvalid),
        ("`exp` is a string", body(json!({ "exp": "1" })), Reason::DpopClaimsInvalid),
        ("`nbf` is huge", body(json!({ "nbf": i64::MAX })), Reason::DpopClaimsInvalid),
        ("no `ath`", body(json!({ "ath": null })), Reason::DpopClaimsInvalid),
        ("`ath` is too short", body(json!({ "ath": "AAAA" })), Reason::DpopClaimsInvalid),
        ("`ath` in hexadecimal", body(json!({ "ath": Digest::of(TOKEN.as_bytes()).to_string() })), Reason::DpopClaimsInvalid),
        ("`nonce` is a number", body(json!({ "nonce": 1 })), Reason::DpopClaimsInvalid),
        ("another method", body(json!({ "htm": "POST" })), Reason::DpopMethodMismatch),
        ("the method in lower case", body(json!({ "htm": "get" })), Reason::DpopMethodMismatch),
        ("another path", body(json!({ "htu": "https://api.example.com/orders/2" })), Reason::DpopUrlMismatch),
        ("another host", body(json!({ "htu": "https://evil.example/orders/1" })), Reason::DpopUrlMismatch),
        ("another scheme", body(json!({ "htu": "http://api.example.com/orders/1" })), Reason::DpopUrlMismatch),
        ("a path alone", body(json!({ "htu": "/orders/1" })), Reason::DpopUrlMismatch),
        ("too old", body(json!({ "iat": NOW - 71 })), Reason::DpopExpired),
        ("too old by a fraction", body(json!({ "iat": (NOW - 70) as f64 - 0.5 })), Reason::DpopExpired),
        ("`exp` has passed", body(json!({ "exp": NOW - 10 })), Reason::DpopExpired),
        ("from the future", body(json!({ "iat": NOW + 11 })), Reason::DpopIssuedInFuture),
        ("from the future by a fraction", body(json!({ "iat": (NOW + 10) as f64 + 0.5 })), Reason::DpopIssuedInFuture),
        ("`nbf` has not come", body(json!({ "nbf": NOW + 11 })), Reason::DpopIssuedInFuture),
        ("another token", body(json!({ "ath": b64(Digest::of(b"another").as_bytes()) })), Reason::DpopTokenMismatch),
    ]
}

#[test]
fn every_failure_of_a_proof_has_its_own_reason() {
    let key = WORLD.key("ed");
    assert!(check(&DpopConfig::default(), key, &proof(key, json!({}), json!({})), NOW).is_ok(), "the control");
    let mut seen = BTreeSet::new();
    for (name, made, expected) in cases() {
        // The token is bound to the key that made the proof, but for the proof of another key.
        let maker = WORLD.keys.iter().find(|key| made.starts_with(proof(key, json!({}), json!({})).split('.').next().unwrap()));
        let maker = maker.filter(|maker| maker.algorithm != "EdDSA").unwrap_or(key);
        let denial = check(&DpopConfig::default(), maker, &made, NOW).expect_err(name);
        assert_eq!(denial.reason, expected, "{name}: {denial}");
        assert!(denial.detail.len() < 400, "{name}: {denial}");
        for part in made.split('.').filter(|part| part.len() > 8) {
            assert!(!denial.detail.contains(part), "{name}: {denial}");
        }
        seen.insert(expected);
    }
    // How a proof comes is in `binding`, nonces are below, and a replay is what the shell finds out.
    seen.extend([Reason::DpopProofMissing, Reason::DpopBearer, Reason::DpopNotBound, Reason::DpopReplay]);
    seen.extend([Reason::DpopNonceRequired, Reason::DpopNonceInvalid]);
    assert_eq!(seen, Reason::ALL.iter().filter(|reason| reason.code().starts_with("dpop.")).copied().collect());
}

#[test]
fn a_query_in_the_url_of_a_proof_is_not_recorded() {
    let key = ed();
    let check = |htu: &str| check(&DpopConfig::default(), &key, &proof(&key, json!({}), json!({ "htu": htu })), NOW);
    assert!(check(&format!("{HTU}?token=secret")).is_ok(), "the control: it is not compared");
    for htu in ["https://evil.example/orders/1?token=secret", "https://evil.example/orders/1#secret", "https://evil.example/orders/1"] {
        let denial = check(htu).unwrap_err();
        assert_eq!((denial.reason, denial.detail.as_str()), (Reason::DpopUrlMismatch, "`htu` is `https://evil.example/orders/1`"));
    }
}

#[test]
fn what_a_proof_may_vary_in() {
    let key = WORLD.key("ed");
    let used = check(&DpopConfig::default(), key, &proof(key, json!({}), json!({})), NOW).unwrap();
    for (name, header, claims) in [
        ("the type in full", json!({ "typ": "application/DPoP+JWT" }), json!({})),
        ("members that mean nothing here", json!({ "kid": "x", "x5u": "https://x.example/" }), json!({ "iss": "x", "aud": 1 })),
        ("a query and a fragment", json!({}), json!({ "htu": format!("{HTU}?a=b#c") })),
        ("the default port", json!({}), json!({ "htu": "https://API.example.com:443/orders/%31" })),
        ("times that hold", json!({}), json!({ "exp": NOW + 1, "nbf": NOW })),
        ("a nonce nobody asked for", json!({}), json!({ "nonce": "from the authorization server" })),
    ] {
        assert_eq!(check(&DpopConfig::default(), key, &proof(key, header, claims), NOW).as_ref(), Ok(&used), "{name}");
    }
    // Another `jti` is another use, and so is another key.
    assert_ne!(check(&DpopConfig::default(), key, &proof(key, json!({}), json!({ "jti": "two" })), NOW).unwrap().id, used.id);
    let es = WORLD.key("es256");
    assert_ne!(check(&DpopConfig::default(), es, &proof(es, json!({}), json!({})), NOW).unwrap().id, used.id);
}

#[test]
fn a_proof_counts_from_its_time_to_its_age_with_the_leeway() {
    let key = WORLD.key("ed");
    let config = config("max_age_seconds = 5\nleeway_seconds = 2");
    let at = |iat: Value, now| check(&config, key, &proof(key, json!({}), json!({ "iat": iat })), now).map_err(|denial| denial.reason);
    for (now, expected) in [
        (NOW - 3, Err(Reason::DpopIssuedInFuture)),
        (NOW - 2, Ok(())),
        (NOW, Ok(())),
        (NOW + 7, Ok(())),
        (NOW + 8, Err(Reason::DpopExpired)),
    ] {
        let found = at(json!(NOW), now);
        // Whenever it counts, it is remembered to the last second it counts.
        assert!(found.as_ref().is_ok_and(|used| used.until == UnixTime(NOW + 7)) || found.is_err());
        assert_eq!(found.map(drop), expected, "{now}");
    }
    assert!(at(json!(NOW as f64 + 0.5), NOW + 7).is_ok());
    assert_eq!(at(json!(NOW as f64 + 0.5), NOW - 2).unwrap_err(), Reason::DpopIssuedInFuture);
}

#[test]
fn a_nonce_is_asked_for_last_and_then_it_counts() {
    let key = WORLD.key("ed");
    let config = config("nonce = \"required\"\nnonce_lifetime_seconds = 30");
    let secret = || Secret::new("the secret of the nonces").unwrap();
    let gate = Deployment { nonce_secrets: vec![secret()], ..deployment() };
    let bound = thumbprint(&jwk(key)).unwrap();
    let ask = |deployment: &Deployment, claims: Value, now| {
        let made = proof(key, json!({}), claims);
        let facts = facts("GET", "gate", "/orders/1");
        dpop::check(&config, made.as_bytes(), (TOKEN, bound), &facts, deployment, UnixTime(now)).map_err(|denial| denial.reason)
    };
    assert_eq!(ask(&gate, json!({}), NOW), Err(Reason::DpopNonceRequired));
    let nonce = dpop_nonce(&config, &gate, UnixTime(NOW)).unwrap();
    assert!(ask(&gate, json!({ "nonce": nonce }), NOW).is_ok());
    assert!(ask(&gate, json!({ "nonce": nonce }), NOW + 30).is_ok());
    assert_eq!(ask(&gate, json!({ "nonce": nonce }), NOW + 31), Err(Reason::DpopNonceInvalid));
    assert_eq!(ask(&gate, json!({ "nonce": "made up" }), NOW), Err(Reason::DpopNonceInvalid));
    assert_eq!(ask(&gate, json!({ "nonce": "" }), NOW), Err(Reason::DpopNonceInvalid));
    let stranger = Deployment { nonce_secrets: vec![Secret::new("another secret of others").unwrap()], ..deployment() };
    assert_eq!(ask(&stranger, json!({ "nonce": nonce }), NOW), Err(Reason::DpopNonceInvalid));
    // Whatever else is wrong is told first: a nonce would not help.
    assert_eq!(ask(&gate, json!({ "htm": "POST" }), NOW), Err(Reason::DpopMethodMismatch));
    // SECURITY: asked for and not possible is a fault of the deployment, and not a reason to go without.
    assert_eq!(ask(&deployment(), json!({ "nonce": nonce }), NOW), Err(Reason::SystemConfiguration));
    assert_eq!(dpop_nonce(&config, &deployment(), UnixTime(NOW)), None);
}

proptest! {
    #[test]
    fn no_bytes_are_a_proof(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
        let bound = Digest::of(b"key");
        let facts = facts("GET", "gate", "/orders/1");
        prop_assert!(dpop::check(&DpopConfig::default(), &bytes, (TOKEN, bound), &facts, &deployment(), UnixTime(NOW)).is_err());
    }

    #[test]
    fn no_single_bit_of_a_proof_can_change(bit in 0..8_000_usize) {
        let key = WORLD.key("ed");
        let mut made = proof(key, json!({}), json!({})).into_bytes();
        let bit = bit % (made.len() * 8);
        made[bit / 8] ^= 1 << (bit % 8);
        let bound = thumbprint(&jwk(key)).unwrap();
        let facts = facts("GET", "gate", "/orders/1");
        prop_assert!(dpop::check(&DpopConfig::default(), &made, (TOKEN, bound), &facts, &deployment(), UnixTime(NOW)).is_err());
    }
}
