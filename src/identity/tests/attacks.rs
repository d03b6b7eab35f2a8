//! Attacks on verifiers that have worked elsewhere, each beside the honest token.

use ring::hmac;
use serde_json::{Value, json};

use super::support::*;
use crate::decision::Reason;
use crate::identity::algorithm::Algorithm;
use crate::identity::{crypto, signing};

fn hs256(secret: &[u8], header: &Value, claims: &Value) -> String {
    let input = format!("{}.{}", b64(header.to_string()), b64(claims.to_string()));
    let tag = hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, secret), input.as_bytes());
    format!("{input}.{}", b64(tag))
}

#[test]
fn a_public_key_is_no_hmac_secret() {
    let key = WORLD.key("rs256");
    assert!(identify(&WORLD.issuers, &key.token(&good()), NOW).is_ok());
    let pem = include_bytes!("../../../tests/data/identity/rsa-2048-public.pem");
    for secret in [&pem[..], pem.trim_ascii_end(), key.jwk().to_string().as_bytes()] {
        for alg in ["HS256", "hs256", "RS256"] {
            let token = hs256(secret, &json!({ "alg": alg, "kid": "rs256" }), &good());
            let expected = if alg == "RS256" { Reason::JwtSignatureInvalid } else { Reason::JwtAlgorithmUnsupported };
            assert_eq!(reason(&WORLD.issuers, &token), expected);
        }
    }
}

#[test]
fn the_key_decides_the_algorithm_not_the_token() {
    // One RSA key pair under several `kid`s, each pinned to one algorithm: the signature itself would verify.
    for (signed_with, under) in [("rs256", "ps256"), ("ps256", "rs256"), ("rs256", "rs512"), ("ps384", "ps256")] {
        let key = WORLD.key(signed_with);
        let honest = key.token(&good());
        assert!(identify(&WORLD.issuers, &honest, NOW).is_ok());
        let header = json!({ "alg": key.algorithm, "kid": under }).to_string();
        assert_eq!(reason(&WORLD.issuers, &key.token_of(&header, &good().to_string())), Reason::JwtAlgorithmMismatch);
        // And the other way round: the header claims what the key wants, the signature is of another algorithm.
        let header = json!({ "alg": WORLD.key(under).algorithm, "kid": under }).to_string();
        assert_eq!(reason(&WORLD.issuers, &key.token_of(&header, &good().to_string())), Reason::JwtSignatureInvalid);
    }
    // A key without `alg` takes what its type allows and nothing else.
    let key = TestKey::new("RS256", "rsa");
    let any = with(ALL_ALGORITHMS, &[key.jwk_without(&["alg"])]);
    for algorithm in ["RS256", "RS384", "RS512", "PS256", "PS384", "PS512"] {
        let key = TestKey { algorithm, ..key.clone() };
        assert!(identify(&any, &key.token(&good()), NOW).is_ok(), "{algorithm}");
    }
    let elliptic = TestKey::new("ES256", "rsa");
    assert_eq!(reason(&any, &elliptic.token(&good())), Reason::JwtAlgorithmMismatch);
}

#[test]
fn an_elliptic_token_under_the_kid_of_an_rsa_key_is_refused() {
    let key = TestKey { kid: "rs256", ..WORLD.key("es256").clone() };
    assert_eq!(reason(&WORLD.issuers, &key.token(&good())), Reason::JwtAlgorithmMismatch);
    let key = TestKey { kid: "es384", ..WORLD.key("es256").clone() };
    assert_eq!(reason(&WORLD.issuers, &key.token(&good())), Reason::JwtAlgorithmMismatch);
}

#[test]
fn one_issuer_cannot_sign_for_another() {
    let (corp, other) = (WORLD.key("ed"), &WORLD.other);
    assert_eq!(corp.kid, other.kid, "the attack needs the same kid");
    assert_eq!(identify(&WORLD.issuers, &other.token(&claims(json!({ "iss": OTHER_ISS }))), NOW).unwrap().principal, "other/alice");
    assert_eq!(identify(&WORLD.issuers, &corp.token(&good()), NOW).unwrap().principal, "corp/alice");
    assert_eq!(reason(&WORLD.issuers, &other.token(&good())), Reason::JwtSignatureInvalid);
    assert_eq!(reason(&WORLD.issuers, &corp.token(&claims(json!({ "iss": OTHER_ISS })))), Reason::JwtSignatureInvalid);
    let only_at_corp = WORLD.key("es256").token(&claims(json!({ "iss": OTHER_ISS })));
    assert_eq!(reason(&WORLD.issuers, &only_at_corp), Reason::JwtKeyUnknown);
}

#[test]
fn an_issuer_cannot_name_another_ones_users() {
    let token = WORLD.other.token(&claims(json!({ "iss": OTHER_ISS, "sub": "corp/alice", "groups": ["corp/admins", "/../corp/admins"] })));
    let identity = identify(&WORLD.issuers, &token, NOW).unwrap();
    assert_eq!(identity.principal, "other/corp/alice");
    assert!(identity.groups.iter().all(|group| group.starts_with("other/")), "{:?}", identity.groups);
}

#[test]
fn keys_in_the_token_are_never_used() {
    let attacker = TestKey::new("EdDSA", "ed");
    let honest = WORLD.key("ed");
    for (member, value) in [
        ("jwk", attacker.jwk()),
        ("jwk", json!(1)),
        ("jku", json!("https://attacker.example/jwks.json")),
        ("x5u", json!("https://attacker.example/cert.pem")),
        ("x5c", json!(["MIIB"])),
        ("x5t", json!("AAAA")),
        ("x5t#S256", json!("AAAA")),
    ] {
        let header = |kid: Option<&str>| {
            let mut header = json!({ "alg": "EdDSA", member: value });
            kid.map(|kid| header.as_object_mut().unwrap().insert("kid".to_owned(), kid.into()));
            header.to_string()
        };
        for kid in [Some("ed"), None] {
            let token = attacker.token_of(&header(kid), &good().to_string());
            assert_eq!(reason(&WORLD.issuers, &token), Reason::JwtSignatureInvalid, "{member}");
            // Ignored, not refused: with the right key the same header is fine.
            assert!(identify(&WORLD.issuers, &honest.token_of(&header(kid), &good().to_string()), NOW).is_ok(), "{member}");
        }
    }
}

#[test]
fn signatures_of_trivial_shape_do_not_verify() {
    for key in &WORLD.keys {
        let token = key.token(&good());
        let (input, signature) = token.rsplit_once('.').unwrap();
        let length = key.sign(b"").len();
        for forged in [vec![0; length], vec![0xff; length], vec![0], vec![0; length - 1], vec![0; length + 1]] {
            assert_eq!(reason(&WORLD.issuers, &format!("{input}.{}", b64(forged))), Reason::JwtSignatureInvalid, "{}", key.kid);
        }
        assert!(identify(&WORLD.issuers, &format!("{input}.{signature}"), NOW).is_ok());
    }
    // ASN.1 is the other way to write an ECDSA signature, and not JOSE's.
    let key = WORLD.key("es256");
    let token = key.token(&good());
    let (input, _) = token.rsplit_once('.').unwrap();
    let algorithm = &ring::signature::ECDSA_P256_SHA256_ASN1_SIGNING;
    let random = ring::rand::SystemRandom::new();
    let pair = ring::signature::EcdsaKeyPair::from_pkcs8(algorithm, &key.pkcs8, &random).unwrap();
    let der = pair.sign(&random, input.as_bytes()).unwrap();
    assert_eq!(reason(&WORLD.issuers, &format!("{input}.{}", b64(der))), Reason::JwtSignatureInvalid);
}

#[test]
fn ten_thousand_levels_are_refused_without_recursing() {
    let key = WORLD.key("ed");
    for (open, close) in [("[", "]"), ("{\"a\":", "}")] {
        let payload = format!("{}1{}", open.repeat(2_000), close.repeat(2_000));
        assert_eq!(reason(&WORLD.issuers, &key.token_of(&key.header().to_string(), &payload)), Reason::JwtTooDeep);
    }
    let payload = "[".repeat(10_000);
    assert_eq!(reason(&WORLD.issuers, &key.token_of(&key.header().to_string(), &payload)), Reason::JwtTooDeep);
}

#[test]
fn a_forged_token_learns_nothing_about_its_claims() {
    let attacker = TestKey::new("EdDSA", "ed");
    for changes in [json!({}), json!({ "exp": 1 }), json!({ "aud": "x" }), json!({ "sub": null }), json!({ "exp": "x" })] {
        assert_eq!(reason(&WORLD.issuers, &attacker.token(&claims(changes))), Reason::JwtSignatureInvalid);
    }
}

#[test]
fn tokens_made_by_jsonwebtoken_verify_for_every_algorithm() {
    for key in &WORLD.keys {
        let token = signing::sign(key.algorithm, &key.pkcs8, Some(key.kid), &good()).unwrap();
        assert_eq!(identify(&WORLD.issuers, &token, NOW).unwrap().algorithm, key.algorithm);
    }
    let ed = WORLD.key("ed");
    assert_eq!(signing::sign("ES256", &ed.pkcs8, None, &good()), Err(signing::SigningError::Key));
    assert_eq!(signing::sign("HS256", &ed.pkcs8, None, &good()), Err(signing::SigningError::Algorithm));
    assert_eq!(signing::generate("RS256"), Err(signing::SigningError::Generate));
    assert_eq!(signing::public_jwk("EdDSA", b"", "k"), Err(signing::SigningError::Key));
}

#[test]
fn the_provider_refuses_keys_of_another_family_and_can_be_installed_by_many_at_once() {
    let threads: Vec<_> = (0..8).map(|_| std::thread::spawn(crypto::install)).collect();
    threads.into_iter().for_each(|thread| thread.join().unwrap());
    // The right bytes for the signature, but said to be something else.
    let ed = WORLD.key("ed");
    let bytes = base64::Engine::decode(&base64::engine::general_purpose::URL_SAFE_NO_PAD, ed.jwk()["x"].as_str().unwrap()).unwrap();
    let verifies = |key| crypto::verify(Algorithm::EdDsa, &key, b"message", &ed.sign(b"message"));
    assert!(verifies(jsonwebtoken::DecodingKey::from_ed_der(&bytes)));
    assert!(!verifies(jsonwebtoken::DecodingKey::from_secret(&bytes)));
    assert!(!verifies(jsonwebtoken::DecodingKey::from_ec_der(&bytes)));
    assert!(!verifies(jsonwebtoken::DecodingKey::from_rsa_der(&bytes)));
    let token = signing::sign("EdDSA", &WORLD.key("ed").pkcs8, None, &good()).unwrap();
    let header = jsonwebtoken::Header::new(jsonwebtoken::Algorithm::HS256);
    assert!(jsonwebtoken::encode(&header, &good(), &jsonwebtoken::EncodingKey::from_secret(b"x")).is_err());
    assert!(token.split('.').count() == 3);
}

#[test]
fn the_provider_serves_jsonwebtoken_itself() {
    crypto::install();
    for (kid, public) in [
        ("ed", jsonwebtoken::DecodingKey::from_ed_components(WORLD.key("ed").jwk()["x"].as_str().unwrap()).unwrap()),
        (
            "rs256",
            jsonwebtoken::DecodingKey::from_rsa_der(&pem_contents(include_str!("../../../tests/data/identity/rsa-2048-pkcs1-public.pem"))),
        ),
    ] {
        let key = WORLD.key(kid);
        let algorithm = Algorithm::from_name(key.algorithm).unwrap().jose();
        let mut validation = jsonwebtoken::Validation::new(algorithm);
        validation.validate_exp = false;
        validation.set_audience(&[AUD]);
        let token = key.token(&good());
        assert!(jsonwebtoken::decode::<Value>(&token, &public, &validation).is_ok(), "{kid}");
        let other = jsonwebtoken::Validation { algorithms: vec![jsonwebtoken::Algorithm::ES256], ..validation };
        assert!(jsonwebtoken::decode::<Value>(&token, &public, &other).is_err(), "{kid}");
    }
}

#[test]
fn a_content_type_that_names_no_token_is_ignored() {
    let key = WORLD.key("ed");
    for cty in ["application/json", "json", ""] {
        let token = key.token_of(&json!({ "alg": "EdDSA", "kid": "ed", "cty": cty }).to_string(), &good().to_string());
        assert!(identify(&WORLD.issuers, &token, NOW).is_ok(), "{cty}");
    }
}
