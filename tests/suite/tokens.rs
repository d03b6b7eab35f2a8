//! Bearer tokens: each way a token can be wrong, with its own reason, beside one that is right.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD as B64;
use serde_json::{Value, json};

use super::support::client::Request;
use super::support::gate::{Expect, gate};
use super::support::token::{Key, PARTNER_ISS, Token};

const PATH: &str = "/api/documents/1";

fn alice() -> Token {
    Token::dev(gate().now(), "alice").groups(&["readers"])
}

fn ask(token: &str) -> Request {
    Request::get(PATH).bearer(token)
}

fn refused(name: &str, token: &str, reason: &'static str) {
    let answer = gate().check(name, &ask(token), &Expect::refused(401, reason));
    assert_eq!(answer.response.code(), "invalid_token", "{name}");
    let challenge = answer.response.challenge("Bearer").unwrap();
    assert!(challenge.starts_with(r#"Bearer realm="cedargate", error="invalid_token", resource_metadata=""#), "{name}: {challenge}");
}

#[test]
fn every_algorithm_verifies() {
    for (alg, key, kid) in [
        ("EdDSA", Key::Ed, "ed"),
        ("ES256", Key::Es256, "es256"),
        ("ES384", Key::Es384, "es384"),
        ("RS256", Key::Rsa, "rsa"),
        ("RS384", Key::Rsa, "rsa"),
        ("RS512", Key::Rsa, "rsa"),
        ("PS256", Key::Rsa, "rsa"),
        ("PS384", Key::Rsa, "rsa"),
        ("PS512", Key::Rsa, "rsa"),
        ("PS256", Key::RsaPs256, "rsa-ps256"),
    ] {
        let token = alice().signed(alg, key, kid);
        let answer = gate().check(alg, &ask(&token.make()), &Expect::allowed());
        answer.with_record(|record| {
            assert_eq!((&record["identity"]["alg"], &record["identity"]["kid"]), (&json!(alg), &json!(kid)));
            assert_eq!(record["identity"]["subject"], "alice");
            assert_eq!(record["identity"]["token_id"], "jti-alice");
        });
        // The control's negative: one bit of the signature.
        let token = token.make();
        let (head, signature) = token.rsplit_once('.').unwrap();
        let mut signature = B64.decode(signature).unwrap();
        signature[10] ^= 1;
        refused(alg, &format!("{head}.{}", B64.encode(signature)), "jwt.signature_invalid");
    }
}

#[test]
fn a_key_verifies_only_for_its_issuer_and_algorithm() {
    refused("a stranger's key", &alice().key(Key::Stranger).make(), "jwt.signature_invalid");
    refused("the other issuer's key", &alice().key(Key::Partner).make(), "jwt.signature_invalid");
    refused("unknown kid", &alice().header("kid", json!("nobody")).make(), "jwt.key_unknown");
    refused("EdDSA under the kid of an EC key", &alice().header("kid", json!("es256")).make(), "jwt.algorithm_mismatch");
    refused("RS256 under a key pinned to PS256", &alice().signed("RS256", Key::RsaPs256, "rsa-ps256").make(), "jwt.algorithm_mismatch");
    refused("no kid where two keys fit", &alice().signed("PS256", Key::Rsa, "rsa").header("kid", Value::Null).make(), "jwt.key_ambiguous");
    gate().check("no kid where one key fits", &ask(&alice().header("kid", Value::Null).make()), &Expect::allowed());
    refused(
        "algorithm not allowed by the issuer",
        &alice().claim("iss", json!(PARTNER_ISS)).signed("ES256", Key::Es256, "es256").make(),
        "jwt.algorithm_not_allowed",
    );
    refused("unknown issuer", &alice().claim("iss", json!("https://dev.cedargate.invalid")).make(), "jwt.issuer_unknown");
    refused("no issuer", &alice().claim("iss", Value::Null).make(), "jwt.issuer_missing");
}

#[test]
fn the_algorithm_comes_from_the_key_not_from_the_caller() {
    let input =
        |alg: &str| format!("{}.{}", B64.encode(json!({"alg": alg, "kid": "rsa"}).to_string()), B64.encode(alice().claims.to_string()));
    for alg in ["none", "None", "NONE"] {
        refused(alg, &format!("{}.", input(alg)), "jwt.unsecured");
        refused(alg, &format!("{}.AAAA", input(alg)), "jwt.unsecured");
    }
    // HS256 with the public key as the secret, the classic confusion.
    let public = include_bytes!("../gate/keys/dev.jwks.json");
    let mac = ring::hmac::sign(&ring::hmac::Key::new(ring::hmac::HMAC_SHA256, public), input("HS256").as_bytes());
    refused("HS256", &format!("{}.{}", input("HS256"), B64.encode(mac.as_ref())), "jwt.algorithm_unsupported");
    refused("an unknown algorithm", &format!("{}.AAAA", input("XX256")), "jwt.algorithm_unsupported");
    // A key the token brings along is not looked at.
    let embedded = alice()
        .key(Key::Stranger)
        .header("jwk", json!({"kty": "OKP", "crv": "Ed25519", "x": "AAAA"}))
        .header("jku", json!("https://evil.example/"));
    refused("embedded key", &embedded.make(), "jwt.signature_invalid");
    gate().check(
        "an embedded key is ignored, not an error",
        &ask(&alice().header("x5u", json!("https://x.example/")).make()),
        &Expect::allowed(),
    );
}

#[test]
fn time_is_honoured_to_the_second_and_the_leeway() {
    let now = gate().now();
    // Where the clock is the host's own, seconds pass while the suite runs: only what lies well beyond is asked then.
    let exact = gate().is_local();
    let margin = if exact { 0 } else { 60 };
    for (name, token) in [
        ("expired beyond the leeway", alice().claim("exp", json!(now - 10 - margin))),
        ("expired long ago", alice().claim("exp", json!(1))),
        ("expired, as a fraction", alice().claim("exp", json!((now - 100) as f64 + 0.5))),
    ] {
        refused(name, &token.make(), "jwt.expired");
    }
    if exact {
        gate().check("expired within the leeway", &ask(&alice().claim("exp", json!(now - 9)).make()), &Expect::allowed());
        gate().check("not before, within the leeway", &ask(&alice().claim("nbf", json!(now + 10)).make()), &Expect::allowed());
        gate().check("issued in the future, within the leeway", &ask(&alice().claim("iat", json!(now + 10)).make()), &Expect::allowed());
    }
    refused("not yet valid", &alice().claim("nbf", json!(now + 11 + margin)).make(), "jwt.not_yet_valid");
    refused("issued in the future", &alice().claim("iat", json!(now + 11 + margin)).make(), "jwt.issued_in_future");
    refused("no expiry", &alice().claim("exp", Value::Null).make(), "jwt.expiry_missing");
    for value in [json!("2999-01-01"), json!(true), json!(-1), json!(1e300), json!([1])] {
        refused("an odd expiry", &alice().claim("exp", value).make(), "jwt.time_invalid");
    }
    refused("an odd not-before", &alice().claim("nbf", json!("now")).make(), "jwt.time_invalid");
}

#[test]
fn the_partner_has_stricter_rules() {
    let now = gate().now();
    let partner = || Token::partner(now, "svc-1");
    let verified = |name: &str, token: &Token| {
        // A workload nobody permits anything: verified, so 403 and not 401.
        gate().check(name, &ask(&token.make()), &Expect::denied(403));
    };
    verified("control", &partner());
    verified("audience among several", &partner().claim("aud", json!(["x", "https://api.example.com"])));
    refused("too old", &partner().claim("iat", json!(now - 700)).make(), "jwt.too_old");
    refused("age unknown", &partner().claim("iat", Value::Null).make(), "jwt.too_old");
    refused("another type", &partner().header("typ", json!("JWT")).make(), "jwt.type_not_allowed");
    refused("no type", &partner().header("typ", Value::Null).make(), "jwt.type_not_allowed");
    verified("the type written in full", &partner().header("typ", json!("application/AT+JWT")));
    refused("no subject", &partner().claim("client_id", Value::Null).make(), "jwt.subject_missing");
    refused("an empty subject", &partner().claim("client_id", json!("")).make(), "jwt.subject_missing");
    refused("roles of the wrong type", &partner().claim("realm_access", json!({"roles": 7})).make(), "jwt.claim_invalid");
    refused("the other issuer's audience", &partner().claim("aud", json!("cedargate")).make(), "jwt.audience");
}

#[test]
fn the_audience_must_be_ours() {
    for (name, aud) in [
        ("another", json!("x")),
        ("none", Value::Null),
        ("a number", json!(7)),
        ("an empty list", json!([])),
        ("a prefix", json!("cedargate2")),
    ] {
        refused(name, &alice().claim("aud", aud).make(), "jwt.audience");
    }
    gate().check("a list with ours", &ask(&alice().claim("aud", json!(["x", "cedargate"])).make()), &Expect::allowed());
}

#[test]
fn only_a_plain_signed_token_of_json_objects_is_read() {
    let good = alice().make();
    let parts: Vec<&str> = good.split('.').collect();
    refused("two parts", &parts[..2].join("."), "jwt.malformed");
    refused("four parts", &format!("{good}.AAAA"), "jwt.malformed");
    refused("five parts", &format!("{good}.AAAA.AAAA"), "jwt.encrypted");
    refused("empty header", &format!(".{}.{}", parts[1], parts[2]), "jwt.malformed");
    refused("detached payload", &format!("{}..{}", parts[0], parts[2]), "jwt.detached");
    refused("no signature", &format!("{}.{}.", parts[0], parts[1]), "jwt.unsecured");
    refused("padding", &format!("{good}=="), "jwt.malformed");
    refused("header is no JSON", &alice().raw_header("{").make(), "jwt.header_invalid");
    refused("header is a list", &alice().raw_header("[]").make(), "jwt.header_invalid");
    refused("no alg", &alice().header("alg", Value::Null).make(), "jwt.header_invalid");
    refused("kid is a number", &alice().header("kid", json!(1)).make(), "jwt.header_invalid");
    refused("claims are no JSON", &alice().raw_claims("nope").make(), "jwt.claims_invalid");
    refused("claims are a string", &alice().raw_claims("\"x\"").make(), "jwt.claims_invalid");
    refused("critical extension", &alice().header("crit", json!(["exp"])).make(), "jwt.critical");
    refused("unencoded payload", &alice().header("b64", json!(false)).header("crit", json!(["b64"])).make(), "jwt.critical");
    refused("nested token", &alice().header("cty", json!("JWT")).make(), "jwt.nested");
    let now = gate().now();
    let twice = format!(r#"{{"iss":"https://dev.cedargate.invalid/","aud":"cedargate","sub":"alice","exp":1,"exp":{}}}"#, now + 600);
    refused("a claim twice", &alice().raw_claims(twice).make(), "jwt.duplicate_member");
    refused("a header member twice", &alice().raw_header(r#"{"alg":"EdDSA","kid":"ed","kid":"ed"}"#).make(), "jwt.duplicate_member");
    // Cedar's recursion guard does nothing in wasm: this would overflow the instance's stack if anything recursed.
    refused("deep claims", &alice().raw_claims(format!(r#"{{"a":{}{}}}"#, "[".repeat(4000), "]".repeat(4000))).make(), "jwt.too_deep");
    // The header field may be a little larger than the token in it, so a token just too large still reaches the verifier.
    let padded = |n: usize| alice().claim("x", json!("a".repeat(n))).make();
    let pad = (0..13_000).rev().find(|n| padded(*n).len() <= 16_420).unwrap();
    refused("large token", &padded(pad), "jwt.too_large");
    gate().check("a token almost as large", &ask(&padded(pad - 40)), &Expect::allowed());
    let groups: Vec<String> = (0..300).map(|i| format!("g{i}")).collect();
    refused("many groups", &alice().claim("groups", json!(groups)).make(), "jwt.too_many_groups");
    gate().check(
        "a good many groups",
        &ask(&alice().claim("groups", json!([&groups[..200], &["readers".into()]].concat())).make()),
        &Expect::allowed(),
    );
}

#[test]
fn authorization_is_one_scheme_and_one_token() {
    let good = alice().make();
    for (name, value, reason) in [
        ("Basic", "Basic YTpi".to_owned(), "auth.scheme_unsupported"),
        ("DPoP", format!("DPoP {good}"), "dpop.not_bound"),
        ("no token", "Bearer".to_owned(), "auth.malformed"),
        ("two spaces", format!("Bearer  {good}"), "auth.malformed"),
        ("two tokens", format!("Bearer {good} {good}"), "auth.malformed"),
        ("a list", format!("Bearer {good}, Bearer {good}"), "auth.malformed"),
        ("empty", String::new(), "auth.malformed"),
    ] {
        gate().check(name, &Request::get(PATH).header("Authorization", value), &Expect::refused(401, reason));
    }
    gate().check("the scheme in another case", &Request::get(PATH).header("Authorization", format!("bEARER {good}")), &Expect::allowed());
}

#[test]
fn a_refused_credential_is_refused_on_a_public_path_too() {
    gate().check("control", &Request::get("/health"), &Expect::allowed());
    gate().check(
        "bad token on a public path",
        &Request::get("/health").bearer(&alice().key(Key::Stranger).make()),
        &Expect::refused(401, "jwt.signature_invalid"),
    );
}
