//! JWK sets: private, weak, unsupported, broken and unused keys.

use serde_json::{Value, json};

use super::support::*;
use crate::identity::Issuers;

#[test]
fn private_and_symmetric_keys_fail_the_load() {
    for (member, value) in [("d", json!("AA")), ("p", json!("AA")), ("qi", json!(null)), ("oth", json!([])), ("k", json!("AA"))] {
        let mut jwk = ed().jwk();
        jwk.as_object_mut().unwrap().insert(member.to_owned(), value);
        let found = problem(&with_jwk(jwk.clone()));
        assert_eq!(found.code, "key.private", "{member}");
        assert!(found.span.is_some() && found.help.is_some());
        // Also where it would never be used, and as a lone key.
        jwk.as_object_mut().unwrap().insert("use".to_owned(), json!("enc"));
        assert_eq!(problem(&with_jwk(jwk.clone())).code, "key.private");
        assert_eq!(problem(&bundle(&issuer_toml(""), &[("corp.json", jwk.to_string().as_bytes())])).code, "key.private");
        assert_eq!(codes(&bundle("version = 1", &[("x.jwk", &jwks(&[jwk]))])), ["bundle.unknown_file", "key.private"]);
    }
    assert_eq!(problem(&with_jwk(json!({ "kty": "oct", "k": "AAAA" }))).code, "key.private");
}

#[test]
fn weak_unsupported_and_broken_keys_fail_the_load() {
    let rsa = TestKey::new("RS256", "rsa");
    let (ed, es256, es384) = (ed().jwk(), TestKey::new("ES256", "k").jwk(), TestKey::new("ES384", "k").jwk());
    let n = |bytes: &[u8]| json!(b64(bytes));
    let modulus = |bits: usize| {
        let mut bytes = vec![0xff; bits.div_ceil(8)];
        bytes[0] = 0xff >> (bytes.len() * 8 - bits);
        bytes
    };
    let zero_in_front = |jwk: &Value, name: &str| {
        let bytes = base64::Engine::decode(&base64::engine::general_purpose::URL_SAFE_NO_PAD, jwk[name].as_str().unwrap()).unwrap();
        b64([&[0], bytes.as_slice()].concat())
    };
    let small_order = b64([&[1][..], &[0; 31]].concat());
    let cases = [
        (rsa.jwk(), json!({ "n": n(&modulus(2047)) }), "key.weak"),
        (rsa.jwk(), json!({ "n": n(&modulus(1024)) }), "key.weak"),
        (rsa.jwk(), json!({ "n": n(&modulus(8193)) }), "key.weak"),
        (rsa.jwk(), json!({ "n": n(&[&modulus(2048)[..255], &[0]].concat()) }), "key.invalid"),
        (rsa.jwk(), json!({ "n": zero_in_front(&rsa.jwk(), "n") }), "key.invalid"),
        (rsa.jwk(), json!({ "n": "" }), "key.invalid"),
        (rsa.jwk(), json!({ "n": null }), "key.invalid"),
        (rsa.jwk(), json!({ "e": n(&[1]) }), "key.weak"),
        (rsa.jwk(), json!({ "e": n(&[1, 0, 0]) }), "key.invalid"),
        (rsa.jwk(), json!({ "e": n(&[0, 1, 0, 1]) }), "key.invalid"),
        (rsa.jwk(), json!({ "e": n(&[2, 0, 0, 0, 1]) }), "key.invalid"),
        (rsa.jwk(), json!({ "e": n(&[1; 9]) }), "key.invalid"),
        (rsa.jwk(), json!({ "e": "AQAB=" }), "key.invalid"),
        (rsa.jwk(), json!({ "alg": "RS1" }), "key.unsupported"),
        (rsa.jwk(), json!({ "alg": "none" }), "key.unsupported"),
        (rsa.jwk(), json!({ "alg": "ES256" }), "key.invalid"),
        (rsa.jwk(), json!({ "alg": 1 }), "key.invalid"),
        (es256.clone(), json!({ "crv": "P-384" }), "key.invalid"),
        (es256.clone(), json!({ "crv": "P-521" }), "key.unsupported"),
        (es256.clone(), json!({ "crv": "secp256k1" }), "key.unsupported"),
        (es256.clone(), json!({ "crv": "p-256" }), "key.unsupported"),
        (es256.clone(), json!({ "crv": null }), "key.invalid"),
        (es256.clone(), json!({ "y": es256["x"] }), "key.invalid"),
        (es256.clone(), json!({ "x": b64([0; 32]), "y": b64([0; 32]) }), "key.invalid"),
        (es256.clone(), json!({ "x": zero_in_front(&es256, "x") }), "key.invalid"),
        (es256.clone(), json!({ "y": null }), "key.invalid"),
        (es384.clone(), json!({ "crv": "P-256" }), "key.invalid"),
        (es384.clone(), json!({ "alg": "ES256" }), "key.invalid"),
        (ed.clone(), json!({ "crv": "Ed448" }), "key.unsupported"),
        (ed.clone(), json!({ "crv": "X25519" }), "key.unsupported"),
        (ed.clone(), json!({ "x": b64([1; 31]) }), "key.invalid"),
        (ed.clone(), json!({ "x": small_order }), "key.weak"),
        (ed.clone(), json!({ "x": b64([0xff; 32]) }), "key.invalid"),
        (ed.clone(), json!({ "x": format!("{}B", &b64([1; 32])[..42]) }), "key.invalid"),
        (ed.clone(), json!({ "kty": "oct" }), "key.unsupported"),
        (ed.clone(), json!({ "kty": "AKP" }), "key.unsupported"),
        (ed.clone(), json!({ "kty": null }), "key.invalid"),
        (ed.clone(), json!({ "kid": "" }), "key.invalid"),
        (ed.clone(), json!({ "kid": 1 }), "key.invalid"),
        (ed.clone(), json!({ "kid": "k".repeat(257) }), "key.invalid"),
        (ed.clone(), json!({ "use": 1 }), "key.invalid"),
        (ed.clone(), json!({ "key_ops": "verify" }), "key.invalid"),
    ];
    for jwk in [rsa.jwk(), es256, es384, ed] {
        assert!(load(&with_jwk(jwk)).is_ok(), "the control");
    }
    assert!(
        load(&with_jwk({
            let mut jwk = rsa.jwk();
            jwk["e"] = n(&[3]);
            jwk
        }))
        .is_ok(),
        "the smallest exponent ring takes"
    );
    for bits in [2048, 8192] {
        assert!(
            load(&with_jwk({
                let mut jwk = rsa.jwk();
                jwk["n"] = n(&modulus(bits));
                jwk
            }))
            .is_ok(),
            "{bits}"
        );
    }
    for (mut jwk, changes, code) in cases {
        merge(jwk.as_object_mut().unwrap(), changes.as_object().unwrap());
        let found = problem(&with_jwk(jwk));
        assert_eq!((found.code, found.file.as_str()), (code, "keys/corp.json"), "{changes}: {found}");
    }
}

#[test]
fn key_sets_are_read_strictly() {
    let good = String::from_utf8(jwks(&[ed().jwk()])).unwrap();
    let of = |text: &str| problem(&bundle(&issuer_toml(""), &[("corp.json", text.as_bytes())]));
    let kid_twice = good.replacen("\"kid\"", "\"kid\":\"x\",\"kid\"", 1);
    for text in
        ["", "{", "[]", "{}", "null", r#"{"keys":{}}"#, r#"{"keys":[1]}"#, &kid_twice, &ed().jwk().to_string(), &format!("{good} x")]
    {
        assert_eq!(of(text).code, "key.syntax", "{text}");
    }
    assert_eq!(of("{\"keys\":\n x}").span, Some(10..11));
    assert_eq!(of(r#"{"keys":[]}"#).code, "key.none");
    // Members nobody knows are ignored, as RFC 7517 wants.
    let more = good.replacen("{\"keys\"", "{\"next\":1,\"keys\"", 1).replacen("\"kid\"", "\"x5c\":[\"MIIB\"],\"iat\":1,\"kid\"", 1);
    assert!(load(&bundle(&issuer_toml(""), &[("corp.json", more.as_bytes())])).is_ok());
    // A problem names its key and its place.
    let mut bad = ed().jwk();
    bad["x"] = json!("AA");
    let text = String::from_utf8(jwks(&[TestKey::new("ES256", "fine").jwk(), bad])).unwrap();
    let found = of(&text);
    assert!(found.message.starts_with("key `ed`: "), "{found}");
    assert_eq!(pointed(&found, &text), "\"ed\"");
}

#[test]
fn a_key_that_is_not_for_verifying_is_never_used() {
    let (good, other) = (TestKey::new("EdDSA", "good"), TestKey::new("EdDSA", "other"));
    for member in [
        json!({ "use": "enc" }),
        json!({ "use": "" }),
        json!({ "key_ops": ["sign"] }),
        json!({ "key_ops": [] }),
        json!({ "use": "sig", "key_ops": ["encrypt"] }),
    ] {
        let mut jwk = other.jwk();
        merge(jwk.as_object_mut().unwrap(), member.as_object().unwrap());
        let issuers: Issuers = with("", &[good.jwk(), jwk.clone()]);
        assert!(identify(&issuers, &good.token(&super::support::good()), NOW).is_ok());
        assert_eq!(reason(&issuers, &other.token(&super::support::good())), crate::decision::Reason::JwtKeyUnknown, "{member}");
        assert_eq!(problem(&with_jwk(jwk)).code, "key.none");
    }
    let mut jwk = other.jwk();
    merge(jwk.as_object_mut().unwrap(), json!({ "use": null, "key_ops": ["sign", "verify"] }).as_object().unwrap());
    assert!(identify(&with("", &[jwk]), &other.token(&super::support::good()), NOW).is_ok());
    // A key for encryption need not be one the gate could use.
    let agreement = json!({ "kty": "OKP", "crv": "X25519", "x": "AA", "use": "enc" });
    assert!(load(&bundle(&issuer_toml(""), &[("corp.json", &jwks(&[good.jwk(), agreement]))])).is_ok());
}

#[test]
fn an_issuer_none_of_whose_keys_fits_its_algorithms_is_a_problem() {
    let set = jwks(&[TestKey::new("RS256", "rsa").jwk()]);
    let found = problem(&bundle(&issuer_toml(""), &[("corp.json", &set)]));
    assert_eq!(found.code, "key.none");
    assert_eq!(found.help.as_deref(), Some("its keys are for RS256: name what they sign with in `algorithms`"));
    assert!(load(&bundle(&issuer_toml("algorithms = [\"RS256\"]"), &[("corp.json", &set)])).is_ok());
    let many: Vec<_> = (0..65).map(|i| json!({ "kty": "OKP", "crv": "Ed25519", "x": ed().jwk()["x"], "kid": i.to_string() })).collect();
    assert!(codes(&bundle(&issuer_toml(""), &[("corp.json", &jwks(&many))])).contains(&"key.too_many"));
    assert!(load(&bundle(&issuer_toml(""), &[("corp.json", &jwks(&many[..64]))])).is_ok());
}
