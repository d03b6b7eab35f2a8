//! Claims: times to the second, audiences, and the mapping to Cedar ids.

use serde_json::{Value, json};

use super::support::*;
use crate::decision::{Reason, UnixTime};
use crate::identity::{PrincipalKind, TokenIdentity};
use crate::limits;

fn at(changes: Value, now: i64) -> Result<TokenIdentity, Reason> {
    identify(&WORLD.issuers, &WORLD.key("ed").token(&claims(changes)), now).map_err(|denial| denial.reason)
}

fn of(changes: Value) -> Result<TokenIdentity, Reason> {
    at(changes, NOW)
}

#[test]
fn a_token_expires_on_the_second_and_not_before() {
    // The leeway is 10.
    let exp = json!({ "exp": NOW });
    assert!(at(exp.clone(), NOW + 9).is_ok());
    assert_eq!(at(exp, NOW + 10).unwrap_err(), Reason::JwtExpired);
    let fraction = json!({ "exp": NOW as f64 + 0.5 });
    assert_eq!(at(fraction.clone(), NOW + 10).unwrap().expires_at, UnixTime(NOW));
    assert_eq!(at(fraction, NOW + 11).unwrap_err(), Reason::JwtExpired);
}

#[test]
fn nbf_and_iat_are_honoured_with_leeway() {
    for (claim, reason) in [("nbf", Reason::JwtNotYetValid), ("iat", Reason::JwtIssuedInFuture)] {
        assert!(of(json!({ claim: NOW + 10 })).is_ok(), "{claim}");
        assert_eq!(of(json!({ claim: NOW + 11 })).unwrap_err(), reason);
        assert_eq!(of(json!({ claim: NOW as f64 + 10.5 })).unwrap_err(), reason);
        assert!(of(json!({ claim: null })).is_ok(), "{claim}");
        assert!(of(json!({ claim: 0 })).is_ok(), "{claim}");
    }
    assert_eq!(of(json!({ "iat": null })).unwrap().issued_at, None);
}

#[test]
fn the_leeway_is_the_issuers() {
    let key = TestKey::new("EdDSA", "ed");
    for (leeway, good, bad) in [("0", NOW - 1, NOW), ("60", NOW + 59, NOW + 60)] {
        let issuers = with(&format!("leeway_seconds = {leeway}"), &[key.jwk()]);
        let token = key.token(&claims(json!({ "exp": NOW, "nbf": null, "iat": null })));
        assert!(identify(&issuers, &token, good).is_ok());
        assert_eq!(identify(&issuers, &token, bad).unwrap_err().reason, Reason::JwtExpired);
    }
}

#[test]
fn times_at_the_ends_of_their_range_do_not_overflow() {
    let exp = json!({ "exp": 253_402_300_799_i64, "nbf": 0, "iat": 0 });
    assert!(of(exp.clone()).is_ok());
    assert_eq!(at(exp.clone(), i64::MAX).unwrap_err(), Reason::JwtExpired);
    assert!(at(exp, i64::MIN).is_err());
    for bad in [json!(-0.5), json!(253_402_300_799.5), json!([1]), json!({}), json!("1800000300")] {
        assert_eq!(of(json!({ "exp": bad })).unwrap_err(), Reason::JwtTimeInvalid, "{bad}");
    }
}

#[test]
fn one_audience_of_several_is_enough_and_it_must_be_exact() {
    assert_eq!(of(json!({ "aud": ["https://other.example", AUD] })).unwrap().audience, ["https://other.example", AUD]);
    assert_eq!(of(json!({ "aud": AUD })).unwrap().audience, [AUD]);
    for bad in [json!("https://API.example.com"), json!(format!("{AUD} x")), json!([[AUD]]), json!(["x"]), json!("")] {
        assert_eq!(of(json!({ "aud": bad })).unwrap_err(), Reason::JwtAudience, "{bad}");
    }
    let many: Vec<_> = (1..limits::AUDIENCES).map(|i| i.to_string()).chain([AUD.to_owned()]).collect();
    assert!(of(json!({ "aud": many })).is_ok());
    let key = TestKey::new("EdDSA", "ed");
    let toml = issuer_toml("").replace(&format!("\"{AUD}\""), "[\"a\", \"b\"]");
    let issuers = load(&bundle(&toml, &[("corp.json", &jwks(&[key.jwk()]))])).unwrap();
    for (aud, good) in [("a", true), ("b", true), ("c", false), (AUD, false)] {
        assert_eq!(identify(&issuers, &key.token(&claims(json!({ "aud": aud }))), NOW).is_ok(), good, "{aud}");
    }
}

#[test]
fn the_subject_is_bounded_in_bytes() {
    assert!(of(json!({ "sub": "a".repeat(255) })).is_ok());
    assert_eq!(of(json!({ "sub": "é".repeat(128) })).unwrap_err(), Reason::JwtSubjectMissing);
    assert_eq!(of(json!({ "sub": "\u{85}" })).unwrap_err(), Reason::JwtSubjectMissing);
}

#[test]
fn values_are_prefixed_sorted_and_unique() {
    let identity = of(json!({ "groups": ["b", "a", "b"], "roles": "admin", "scope": "write  read write" })).unwrap();
    assert_eq!(identity.groups, ["corp/a", "corp/b"]);
    assert_eq!(identity.roles, ["corp/admin"]);
    assert_eq!(identity.scopes, ["read", "write"]);
    let identity = of(json!({ "scope": ["write", "read"] })).unwrap();
    assert_eq!(identity.scopes, ["read", "write"]);
    assert_eq!(of(json!({ "scope": ["write read"] })).unwrap_err(), Reason::JwtClaimInvalid);
    let none = of(json!({})).unwrap();
    assert!(none.groups.is_empty() && none.roles.is_empty() && none.scopes.is_empty());
    let most: Vec<_> = (0..limits::GROUPS).map(|i| i.to_string()).collect();
    assert_eq!(of(json!({ "groups": most })).unwrap().groups.len(), limits::GROUPS);
    // Refused rather than read as none: a policy may forbid by group.
    let text = good().to_string().replacen('{', "{\"groups\":null,", 1);
    let key = WORLD.key("ed");
    assert_eq!(reason(&WORLD.issuers, &key.token_of(&key.header().to_string(), &text)), Reason::JwtClaimInvalid);
}

#[test]
fn a_mapping_gives_bare_names_to_exactly_its_values() {
    let key = TestKey::new("EdDSA", "ed");
    let toml = r#"
        principal = "Workload"
        prefix = "c:"
        [[mapping]]
        issuer = "corp"
        claim = "groups"
        value = "okta-writers"
        to = "writers"
        [[mapping]]
        issuer = "corp"
        claim = "groups"
        value = "writers-too"
        to = "writers"
        [[mapping]]
        issuer = "corp"
        claim = "roles"
        value = "root"
        to = "admin"
    "#;
    let issuers = with(toml, &[key.jwk()]);
    let claims =
        claims(json!({ "groups": ["okta-writers", "writers-too", "OKTA-WRITERS", "writers", "root"], "roles": ["root", "okta-writers"] }));
    let identity = identify(&issuers, &key.token(&claims), NOW).unwrap();
    assert_eq!(identity.groups, ["c:OKTA-WRITERS", "c:root", "c:writers", "writers"]);
    assert_eq!(identity.roles, ["admin", "c:okta-writers"]);
    assert_eq!((identity.principal.as_str(), identity.kind), ("c:alice", PrincipalKind::Workload));
}

#[test]
fn claims_can_have_other_names_and_lie_deeper() {
    let key = TestKey::new("EdDSA", "ed");
    let toml = r#"
        [issuer.claims]
        subject = ["who", "id"]
        groups = "https://example.com/groups.v1"
        roles = ["realm_access", "roles"]
        scope = "scp"
    "#;
    let issuers = with(toml, &[key.jwk()]);
    let of = |changes: Value| identify(&issuers, &key.token(&claims(changes)), NOW).map_err(|denial| denial.reason);
    let who = json!({ "id": "bob" });
    let identity = of(json!({
        "who": who, "https://example.com/groups.v1": ["g"], "realm_access": { "roles": ["r"] }, "scp": ["s"],
        "groups": ["not this"], "roles": ["nor this"], "scope": "neither",
    }))
    .unwrap();
    assert_eq!(identity.principal, "corp/bob");
    assert_eq!(
        (identity.groups, identity.roles, identity.scopes),
        (vec!["corp/g".to_owned()], vec!["corp/r".to_owned()], vec!["s".to_owned()])
    );
    assert!(of(json!({ "who": who, "realm_access": {} })).unwrap().roles.is_empty());
    assert_eq!(of(json!({ "who": who, "realm_access": ["r"] })).unwrap_err(), Reason::JwtClaimInvalid);
    assert_eq!(of(json!({ "who": who, "realm_access": { "roles": { "r": true } } })).unwrap_err(), Reason::JwtClaimInvalid);
    assert_eq!(of(json!({ "who": "bob" })).unwrap_err(), Reason::JwtSubjectMissing);
    assert_eq!(of(json!({ "who.id": "bob" })).unwrap_err(), Reason::JwtSubjectMissing);
}

#[test]
fn types_are_compared_as_media_types() {
    let key = TestKey::new("EdDSA", "ed");
    let token = |typ: Value| {
        let mut header = json!({ "alg": "EdDSA", "kid": "ed" });
        merge(header.as_object_mut().unwrap(), &json!({ "typ": typ }).as_object().unwrap().clone());
        key.token_of(&header.to_string(), &good().to_string())
    };
    let usual = with("", &[key.jwk()]);
    for typ in ["JWT", "jwt", "at+jwt", "AT+JWT", "application/at+jwt", "application/JWT"] {
        assert!(identify(&usual, &token(json!(typ)), NOW).is_ok(), "{typ}");
    }
    assert!(identify(&usual, &token(Value::Null), NOW).is_ok());
    for typ in ["id+jwt", "application/", "xapplication/jwt", "application/application/jwt", "JWT ", "secevent+jwt"] {
        assert_eq!(reason(&usual, &token(json!(typ))), Reason::JwtTypeNotAllowed, "{typ}");
    }
    let strict = with("types = [\"application/at+JWT\"]\nallow_missing_type = false", &[key.jwk()]);
    assert!(identify(&strict, &token(json!("at+jwt")), NOW).is_ok());
    assert_eq!(reason(&strict, &token(json!("JWT"))), Reason::JwtTypeNotAllowed);
    assert_eq!(reason(&strict, &token(Value::Null)), Reason::JwtTypeNotAllowed);
}

#[test]
fn other_claims_are_taken_over_when_they_have_the_right_type() {
    let identity = of(json!({
        "jti": "t1", "acr": "2", "amr": ["pwd", "otp", "pwd"], "auth_time": NOW - 60, "client_id": "cli", "azp": "azp", "email": "a@example.com", "email_verified": true,
    }))
    .unwrap();
    assert_eq!(identity.token_id.as_deref(), Some("t1"));
    assert_eq!(identity.acr.as_deref(), Some("2"));
    assert_eq!(identity.amr, ["otp", "pwd"]);
    assert_eq!(identity.auth_time, Some(UnixTime(NOW - 60)));
    assert_eq!(identity.client_id.as_deref(), Some("cli"));
    assert_eq!(identity.email.as_deref(), Some("a@example.com"));
    assert_eq!(of(json!({ "azp": "azp" })).unwrap().client_id.as_deref(), Some("azp"));
    for verified in [json!(false), json!("true"), json!(1), Value::Null] {
        let identity = of(json!({ "email": "a@example.com", "email_verified": verified })).unwrap();
        assert_eq!(identity.email, None, "{verified}");
    }
    for (claim, bad) in [
        ("acr", json!(1)),
        ("client_id", json!([])),
        ("email", json!(1)),
        ("jti", json!("a\nb")),
        ("amr", json!([1])),
        ("jti", json!("j".repeat(256))),
    ] {
        assert_eq!(of(json!({ claim: bad })).unwrap_err(), Reason::JwtClaimInvalid, "{claim}");
    }
}
