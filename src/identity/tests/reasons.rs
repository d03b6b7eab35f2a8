//! Every `auth.…` and `jwt.…` reason, each beside the token that differs from it in nothing else and verifies.

use std::collections::BTreeSet;

use serde_json::{Value, json};

use super::support::*;
use crate::decision::{Reason, UnixTime};
use crate::identity::{Identity, PrincipalKind};
use crate::limits;
use crate::request::Evidence;

#[test]
fn a_token_of_every_algorithm_verifies() {
    for key in &WORLD.keys {
        let identity = identify(&WORLD.issuers, &key.token(&good()), NOW).unwrap();
        assert_eq!(identity.algorithm, key.algorithm);
        assert_eq!(identity.key_id.as_deref(), Some(key.kid));
        assert_eq!((identity.issuer_name.as_str(), identity.issuer.as_str()), ("corp", ISS));
        assert_eq!((identity.principal.as_str(), identity.subject.as_str(), identity.kind), ("corp/alice", "alice", PrincipalKind::User));
        assert_eq!((identity.expires_at, identity.issued_at), (UnixTime(NOW + 300), Some(UnixTime(NOW - 5))));
    }
}

#[test]
fn no_credential_is_anonymous_and_an_empty_one_is_not() {
    let identify = |authorization: Option<&str>| {
        let evidence = Evidence { authorization: authorization.map(|a| a.as_bytes().to_vec()), ..Evidence::default() };
        WORLD.issuers.identify(&evidence, UnixTime(NOW))
    };
    assert_eq!(identify(None), Ok(Identity::Anonymous));
    assert_eq!(identify(Some("")).unwrap_err().reason, Reason::AuthMalformed);
    assert_eq!(identify(Some("Bearer")).unwrap_err().reason, Reason::AuthMalformed);
    assert_eq!(identify(Some("Basic YTpi")).unwrap_err().reason, Reason::AuthSchemeUnsupported);
}

/// Tokens that differ from a good one in one thing, with the reason each must be refused for.
fn cases() -> Vec<(&'static str, String, Reason)> {
    let key = WORLD.key("ed");
    let good_text = good().to_string();
    let header = |changes: Value| {
        let mut header = key.header();
        merge(header.as_object_mut().unwrap(), changes.as_object().unwrap());
        key.token_of(&header.to_string(), &good_text)
    };
    let body = |changes: Value| key.token(&claims(changes));
    let text = |payload: &str| key.token_of(&key.header().to_string(), payload);
    let good_token = key.token(&good());
    let [h, p, s] = good_token.split('.').collect::<Vec<_>>()[..] else { panic!() };
    let many = |n: usize| (0..n).map(|i| format!("g{i}")).collect::<Vec<_>>();
    let nested = |n: usize| format!("{}{}", "[".repeat(n), "]".repeat(n));
    vec![
        ("token over the limit", "a".repeat(limits::TOKEN_BYTES + 1), Reason::JwtTooLarge),
        ("header over the limit", header(json!({ "x": "a".repeat(limits::TOKEN_HEADER_BYTES) })), Reason::JwtTooLarge),
        ("one part", h.to_owned(), Reason::JwtMalformed),
        ("two parts", format!("{h}.{p}"), Reason::JwtMalformed),
        ("four parts", format!("{h}.{p}.{s}.{s}"), Reason::JwtMalformed),
        ("six parts", format!("{h}.{p}.{s}.a.b.c"), Reason::JwtMalformed),
        ("empty header", format!(".{p}.{s}"), Reason::JwtMalformed),
        ("padded", format!("{h}.{p}.{s}=="), Reason::JwtMalformed),
        ("standard alphabet", format!("{h}.{p}.+/{}", &s[2..]), Reason::JwtMalformed),
        ("bits left over", format!("{h}.{p}.{}B", &s[..s.len() - 1]), Reason::JwtMalformed),
        ("impossible length", format!("{h}.{p}.{s}aaa"), Reason::JwtMalformed),
        ("five parts", format!("{h}.{p}.{s}.a.b"), Reason::JwtEncrypted),
        ("five parts, some empty", format!("{h}..{p}.{s}.a"), Reason::JwtEncrypted),
        ("`enc`", header(json!({ "enc": "A256GCM" })), Reason::JwtEncrypted),
        ("no signature", format!("{h}.{p}."), Reason::JwtUnsecured),
        ("`none`", header(json!({ "alg": "none" })), Reason::JwtUnsecured),
        ("`nOnE`", header(json!({ "alg": "nOnE" })), Reason::JwtUnsecured),
        ("no payload", format!("{h}..{s}"), Reason::JwtDetached),
        ("`cty` JWT", header(json!({ "cty": "JWT" })), Reason::JwtNested),
        ("`cty` application/jwt", header(json!({ "cty": "application/jwt" })), Reason::JwtNested),
        ("`cty` logout+jwt", header(json!({ "cty": "logout+jwt" })), Reason::JwtNested),
        ("header is not JSON", key.token_of("{", &good_text), Reason::JwtHeaderInvalid),
        ("header is an array", key.token_of("[]", &good_text), Reason::JwtHeaderInvalid),
        ("no `alg`", header(json!({ "alg": null })), Reason::JwtHeaderInvalid),
        ("`alg` is a number", header(json!({ "alg": 1 })), Reason::JwtHeaderInvalid),
        ("`kid` is a number", header(json!({ "kid": 1 })), Reason::JwtHeaderInvalid),
        ("`kid` is too long", header(json!({ "kid": "k".repeat(257) })), Reason::JwtHeaderInvalid),
        ("`typ` is a number", header(json!({ "typ": 1 })), Reason::JwtHeaderInvalid),
        ("`cty` is a number", header(json!({ "cty": 1 })), Reason::JwtHeaderInvalid),
        ("`zip`", header(json!({ "zip": "DEF" })), Reason::JwtHeaderInvalid),
        ("claims are not JSON", text("{\"iss\""), Reason::JwtClaimsInvalid),
        ("claims are a string", text("\"x\""), Reason::JwtClaimsInvalid),
        (
            "claims are not UTF-8",
            key.token_of(&key.header().to_string(), "x").replacen(&b64("x"), &b64([0x22, 0xff, 0x22]), 1),
            Reason::JwtClaimsInvalid,
        ),
        ("`exp` twice", text(&good_text.replacen('{', &format!("{{\"exp\":{},", NOW + 900), 1)), Reason::JwtDuplicateMember),
        ("`exp` twice, once escaped", text(&good_text.replacen('{', "{\"\\u0065xp\":9,", 1)), Reason::JwtDuplicateMember),
        ("`alg` twice", key.token_of(r#"{"alg":"EdDSA","kid":"ed","alg":"EdDSA"}"#, &good_text), Reason::JwtDuplicateMember),
        ("twice within a claim", text(&good_text.replacen('{', "{\"x\":[{\"a\":1,\"a\":1}],", 1)), Reason::JwtDuplicateMember),
        ("deep claims", text(&good_text.replacen('{', &format!("{{\"x\":{},", nested(limits::JSON_DEPTH)), 1)), Reason::JwtTooDeep),
        ("deep header", key.token_of(&format!("{{\"x\":{}}}", nested(limits::JSON_DEPTH)), &good_text), Reason::JwtTooDeep),
        ("`crit`", header(json!({ "crit": ["exp"] })), Reason::JwtCritical),
        ("empty `crit`", header(json!({ "crit": [] })), Reason::JwtCritical),
        ("`b64` without `crit`", header(json!({ "b64": false })), Reason::JwtCritical),
        ("`b64` true", header(json!({ "b64": true })), Reason::JwtCritical),
        ("HS256", header(json!({ "alg": "HS256" })), Reason::JwtAlgorithmUnsupported),
        ("ES512", header(json!({ "alg": "ES512" })), Reason::JwtAlgorithmUnsupported),
        ("`eddsa`", header(json!({ "alg": "eddsa" })), Reason::JwtAlgorithmUnsupported),
        ("RS256 is not among the defaults", WORLD.key("rs256").token(&claims(json!({ "iss": OTHER_ISS }))), Reason::JwtAlgorithmNotAllowed),
        ("`typ` dpop+jwt", header(json!({ "typ": "dpop+jwt" })), Reason::JwtTypeNotAllowed),
        ("`typ` empty", header(json!({ "typ": "" })), Reason::JwtTypeNotAllowed),
        ("no `iss`", body(json!({ "iss": null })), Reason::JwtIssuerMissing),
        ("`iss` is an array", body(json!({ "iss": [ISS] })), Reason::JwtIssuerMissing),
        ("`iss` without the slash", body(json!({ "iss": ISS.trim_end_matches('/') })), Reason::JwtIssuerUnknown),
        ("`iss` in upper case", body(json!({ "iss": ISS.to_uppercase() })), Reason::JwtIssuerUnknown),
        ("unknown `kid`", header(json!({ "kid": "nobody" })), Reason::JwtKeyUnknown),
        ("empty `kid`", header(json!({ "kid": "" })), Reason::JwtKeyUnknown),
        ("`kid` in upper case", header(json!({ "kid": "ED" })), Reason::JwtKeyUnknown),
        (
            "no `kid`, no key for it",
            key.token_of(r#"{"alg":"ES256"}"#, &claims(json!({ "iss": OTHER_ISS })).to_string()),
            Reason::JwtKeyUnknown,
        ),
        ("`kid` of a key of another type", header(json!({ "kid": "es256" })), Reason::JwtAlgorithmMismatch),
        ("signed by another key", WORLD.other.token(&good()), Reason::JwtSignatureInvalid),
        ("payload changed", format!("{h}.{}.{s}", b64(claims(json!({ "sub": "admin" })).to_string())), Reason::JwtSignatureInvalid),
        ("header changed", format!("{}.{p}.{s}", b64(json!({ "alg": "EdDSA", "kid": "ed" }).to_string())), Reason::JwtSignatureInvalid),
        ("signature cut", format!("{h}.{p}.{}", &s[..s.len() - 2]), Reason::JwtSignatureInvalid),
        ("no `exp`", body(json!({ "exp": null })), Reason::JwtExpiryMissing),
        ("expired", body(json!({ "exp": NOW - 10 })), Reason::JwtExpired),
        ("not yet valid", body(json!({ "nbf": NOW + 11 })), Reason::JwtNotYetValid),
        ("issued in the future", body(json!({ "iat": NOW + 11 })), Reason::JwtIssuedInFuture),
        ("`exp` is a string", body(json!({ "exp": (NOW + 300).to_string() })), Reason::JwtTimeInvalid),
        ("`exp` is true", body(json!({ "exp": true })), Reason::JwtTimeInvalid),
        ("`exp` is negative", body(json!({ "exp": -1 })), Reason::JwtTimeInvalid),
        ("`exp` after 9999", body(json!({ "exp": 253_402_300_800_i64 })), Reason::JwtTimeInvalid),
        ("`exp` is the largest integer", body(json!({ "exp": i64::MAX })), Reason::JwtTimeInvalid),
        ("`exp` is larger still", body(json!({ "exp": u64::MAX })), Reason::JwtTimeInvalid),
        ("`exp` is huge", text(&good_text.replacen(&format!("\"exp\":{}", NOW + 300), "\"exp\":1e300", 1)), Reason::JwtTimeInvalid),
        ("`nbf` is a string", body(json!({ "nbf": "0" })), Reason::JwtTimeInvalid),
        ("`iat` is the smallest integer", body(json!({ "iat": i64::MIN })), Reason::JwtTimeInvalid),
        ("no `aud`", body(json!({ "aud": null })), Reason::JwtAudience),
        ("another `aud`", body(json!({ "aud": "https://api.example.com/" })), Reason::JwtAudience),
        ("empty `aud`", body(json!({ "aud": [] })), Reason::JwtAudience),
        ("`aud` with a number", body(json!({ "aud": [AUD, 1] })), Reason::JwtAudience),
        ("`aud` is an object", body(json!({ "aud": { AUD: AUD } })), Reason::JwtAudience),
        ("no `sub`", body(json!({ "sub": null })), Reason::JwtSubjectMissing),
        ("empty `sub`", body(json!({ "sub": "" })), Reason::JwtSubjectMissing),
        ("long `sub`", body(json!({ "sub": "a".repeat(256) })), Reason::JwtSubjectMissing),
        ("`sub` with a line break", body(json!({ "sub": "alice\n" })), Reason::JwtSubjectMissing),
        ("`sub` is a number", body(json!({ "sub": 1 })), Reason::JwtSubjectMissing),
        ("`groups` is a number", body(json!({ "groups": 1 })), Reason::JwtClaimInvalid),
        ("`groups` with a number", body(json!({ "groups": ["a", 1] })), Reason::JwtClaimInvalid),
        ("an empty group", body(json!({ "groups": [""] })), Reason::JwtClaimInvalid),
        ("a long role", body(json!({ "roles": "r".repeat(257) })), Reason::JwtClaimInvalid),
        ("a role with NUL", body(json!({ "roles": ["a\0"] })), Reason::JwtClaimInvalid),
        ("`scope` is true", body(json!({ "scope": true })), Reason::JwtClaimInvalid),
        ("`jti` is a number", body(json!({ "jti": 1 })), Reason::JwtClaimInvalid),
        ("`auth_time` is a string", body(json!({ "auth_time": "1" })), Reason::JwtClaimInvalid),
        ("`amr` is a string", body(json!({ "amr": "pwd" })), Reason::JwtClaimInvalid),
        ("a status of a mechanism that is not known", body(json!({ "status": { "x": {} } })), Reason::JwtStatusInvalid),
        ("`cnf` is a string", body(json!({ "cnf": "x" })), Reason::JwtConfirmationInvalid),
        ("`cnf` is empty", body(json!({ "cnf": {} })), Reason::JwtConfirmationInvalid),
        ("many groups", body(json!({ "groups": many(limits::GROUPS + 1) })), Reason::JwtTooManyGroups),
        ("many roles", body(json!({ "roles": many(limits::GROUPS + 1) })), Reason::JwtTooManyGroups),
        ("many scopes", body(json!({ "scope": many(limits::GROUPS + 1).join(" ") })), Reason::JwtTooManyGroups),
        (
            "many audiences",
            body(json!({ "aud": many(limits::AUDIENCES).into_iter().chain([AUD.to_owned()]).collect::<Vec<_>>() })),
            Reason::JwtTooManyGroups,
        ),
    ]
}

#[test]
fn every_failure_has_its_own_reason() {
    assert!(identify(&WORLD.issuers, &WORLD.key("ed").token(&good()), NOW).is_ok(), "the control");
    let mut seen = BTreeSet::new();
    for (name, token, expected) in cases() {
        let denial = identify(&WORLD.issuers, &token, NOW).expect_err(name);
        assert_eq!(denial.reason, expected, "{name}: {denial}");
        assert!(denial.detail.len() < 400, "{name}: {denial}");
        // No part of a token that could be replayed ends up in a record.
        for part in token.split('.').filter(|part| part.len() > 8) {
            assert!(!denial.detail.contains(part), "{name}: {denial}");
        }
        seen.insert(expected);
    }
    // What a token alone cannot show has a test of its own below or in `authorization`, `binding`, `revocation` or `status`.
    seen.extend([Reason::AuthMalformed, Reason::AuthSchemeUnsupported, Reason::JwtKeyAmbiguous, Reason::JwtTooOld]);
    seen.extend([Reason::JwtBindingMissing, Reason::JwtCertificateMissing, Reason::JwtCertificateMismatch]);
    seen.extend([Reason::JwtRevoked, Reason::JwtStatusInvalid, Reason::JwtStatusRevoked]);
    let all = Reason::ALL.iter().filter(|r| r.code().starts_with("jwt.") || r.code().starts_with("auth."));
    assert_eq!(seen, all.copied().collect::<BTreeSet<_>>());
}

#[test]
fn a_token_without_kid_needs_exactly_one_key_that_could_verify_it() {
    let (a, b, c) = (TestKey::new("EdDSA", "a"), TestKey::new("EdDSA", "b"), TestKey::new("ES256", "c"));
    let token = |key: &TestKey| key.token_of(&json!({ "alg": key.algorithm }).to_string(), &good().to_string());
    let one = with("", &[a.jwk(), c.jwk()]);
    assert_eq!(identify(&one, &token(&a), NOW).unwrap().key_id.as_deref(), Some("a"));
    assert_eq!(identify(&one, &token(&c), NOW).unwrap().key_id.as_deref(), Some("c"));
    assert_eq!(reason(&one, &token(&b)), Reason::JwtSignatureInvalid);
    let two = with("", &[a.jwk(), b.jwk(), c.jwk()]);
    assert_eq!(reason(&two, &token(&a)), Reason::JwtKeyAmbiguous);
    assert!(identify(&two, &a.token(&good()), NOW).is_ok());
    // Keys without `kid` of their own work the same way, and a `kid` is never guessed around.
    let nameless = with("", &[a.jwk_without(&["kid"])]);
    assert_eq!(identify(&nameless, &token(&a), NOW).unwrap().key_id, None);
    assert_eq!(reason(&nameless, &a.token(&good())), Reason::JwtKeyUnknown);
}

#[test]
fn a_maximum_age_is_counted_from_iat_which_must_be_there() {
    let key = TestKey::new("EdDSA", "ed");
    let issuers = with("max_age_seconds = 100\nleeway_seconds = 0", &[key.jwk()]);
    let at = |iat: Value| identify(&issuers, &key.token(&claims(json!({ "iat": iat, "nbf": null }))), NOW).map_err(|d| d.reason);
    assert!(at(json!(NOW - 100)).is_ok());
    assert_eq!(at(json!(NOW - 101)).unwrap_err(), Reason::JwtTooOld);
    assert_eq!(at(json!((NOW - 100) as f64 - 0.5)).unwrap_err(), Reason::JwtTooOld);
    assert_eq!(at(json!(0)).unwrap_err(), Reason::JwtTooOld);
    assert_eq!(at(Value::Null).unwrap_err(), Reason::JwtTooOld);
    let without = with("", &[key.jwk()]);
    assert!(identify(&without, &key.token(&claims(json!({ "iat": 0 }))), NOW).is_ok());
    assert!(identify(&without, &key.token(&claims(json!({ "iat": null }))), NOW).is_ok());
}
