//! The revocation list: what each kind of entry revokes, what cannot be read, and what the endpoint takes.

use std::collections::BTreeMap;

use proptest::prelude::*;

use super::support::{ISS, NOW as SECONDS, claims, ed, identify, with};
use crate::bundle::Digest;
use crate::decision::{Denial, Reason, UnixTime};
use crate::identity::revocation::{judge, lookups};
use crate::identity::{CertificateIdentity, Entry, Issuers, NameKind, Order, Revocations, Target, TokenIdentity};
use crate::limits;

const NOW: UnixTime = UnixTime(SECONDS);
/// The end of year 9999.
const LATEST: i64 = 253_402_300_799;

fn issuers() -> Issuers {
    with("", &[ed().jwk()])
}

fn token() -> TokenIdentity {
    let claims = claims(serde_json::json!({"sub": "alice", "jti": "t-1", "sid": "s-1", "iat": SECONDS - 100}));
    let key = ed();
    identify(&with("", &[key.jwk()]), &key.token(&claims), SECONDS).unwrap()
}

fn certificate() -> CertificateIdentity {
    let digest = |text: &[u8]| Digest::of(text);
    CertificateIdentity {
        anchor: "corp".into(),
        principal: "spiffe://example.org/a".into(),
        named_by: NameKind::Spiffe,
        subject: "CN=a".into(),
        issuer: "CN=ca".into(),
        issuer_digest: digest(b"ca"),
        serial: "1a2b".into(),
        dns_names: vec![],
        emails: vec![],
        uris: vec![],
        ip_addresses: vec![],
        spiffe_id: None,
        fingerprint: digest(b"cert"),
        spki_fingerprint: digest(b"key"),
        not_before: UnixTime(NOW.0 - 1000),
        not_after: UnixTime(NOW.0 + 1000),
    }
}

fn targets() -> Vec<Target> {
    let issuer = || ISS.to_owned();
    vec![
        Target::Issuer { issuer: issuer() },
        Target::Subject { issuer: issuer(), subject: "alice".into() },
        Target::Session { issuer: issuer(), sid: "s-1".into() },
        Target::TokenId { issuer: issuer(), jti: "t-1".into() },
        Target::Certificate { issuer_digest: Digest::of(b"ca"), serial: "1a2b".into() },
    ]
}

fn entry(kind: &str) -> Entry {
    Entry {
        kind: kind.into(),
        issued_before: None,
        until: None,
        at: NOW,
        by: r#"Gate::User::"corp/root""#.into(),
        decision_id: "01J".into(),
        reason: Some("laptop lost".into()),
    }
}

/// What becomes of a request with both credentials when the list holds this.
fn judged(list: &[(&Target, &[u8])]) -> Result<(), Denial> {
    let lookups = lookups(Some(&token()), Some(&certificate()));
    let mut known: BTreeMap<String, Option<Vec<u8>>> = lookups.iter().map(|lookup| (lookup.key().to_owned(), None)).collect();
    for (target, bytes) in list {
        known.insert(target.key(), Some(bytes.to_vec()));
    }
    let known = Revocations::Known(known);
    lookups.iter().try_for_each(|lookup| judge(lookup, &known, NOW))
}

#[test]
fn each_kind_of_entry_revokes_what_it_names_and_nothing_else() {
    assert_eq!(judged(&[]), Ok(()));
    for target in targets() {
        let denial = judged(&[(&target, &entry(target.kind()).to_bytes())]).unwrap_err();
        let reason = if target.kind() == "certificate" { Reason::MtlsRevoked } else { Reason::JwtRevoked };
        assert_eq!(denial.reason, reason, "{target:?}");
        assert_eq!(denial.detail, format!("{} revoked by decision 01J: laptop lost", target.kind()));
    }
    let others = [
        Target::Issuer { issuer: "https://other.example.com/".into() },
        Target::Subject { issuer: ISS.into(), subject: "bob".into() },
        Target::Session { issuer: ISS.into(), sid: "t-1".into() },
        Target::TokenId { issuer: ISS.into(), jti: "s-1".into() },
        Target::TokenId { issuer: "https://other.example.com/".into(), jti: "t-1".into() },
        Target::Certificate { issuer_digest: Digest::of(b"ca"), serial: "1a2c".into() },
        Target::Certificate { issuer_digest: Digest::of(b"other"), serial: "1a2b".into() },
    ];
    for target in others {
        assert_eq!(judged(&[(&target, &entry(target.kind()).to_bytes())]), Ok(()), "{target:?}");
    }
}

#[test]
fn a_request_without_a_credential_asks_nothing() {
    assert!(lookups(None, None).is_empty());
    assert_eq!(lookups(Some(&token()), None).len(), 4);
    assert_eq!(lookups(None, Some(&certificate())).len(), 1);
    let bare = TokenIdentity { token_id: None, session_id: None, ..token() };
    assert_eq!(lookups(Some(&bare), None).len(), 2);
}

#[test]
fn a_list_that_was_not_asked_denies_and_one_that_is_not_there_does_not() {
    let lookups = lookups(Some(&token()), None);
    for lookup in &lookups {
        assert_eq!(judge(lookup, &Revocations::NoStore, NOW), Ok(()));
        assert_eq!(judge(lookup, &Revocations::Nothing, NOW), Ok(()));
        assert_eq!(judge(lookup, &Revocations::Known([(lookup.key().to_owned(), None)].into()), NOW), Ok(()));
        for unknown in [Revocations::Unavailable("no".into()), Revocations::Known(BTreeMap::new())] {
            assert_eq!(judge(lookup, &unknown, NOW).unwrap_err().reason, Reason::SystemStoreUnavailable);
        }
    }
}

#[test]
fn issued_before_spares_what_was_issued_since() {
    let target = &targets()[1];
    let with = |issued_before: i64| Entry { issued_before: Some(UnixTime(issued_before)), ..entry("subject") }.to_bytes();
    // The token was issued 100 seconds ago.
    assert_eq!(judged(&[(target, &with(NOW.0 - 100))]), Ok(()));
    assert!(judged(&[(target, &with(NOW.0 - 99))]).is_err());
    // A token that does not tell is revoked.
    let dateless = TokenIdentity { issued_at: None, ..token() };
    let lookup = &lookups(Some(&dateless), None)[1];
    let known = Revocations::Known([(target.key(), Some(with(1)))].into());
    assert!(judge(lookup, &known, NOW).is_err());
}

#[test]
fn an_entry_ends_with_what_it_revokes_and_not_a_second_earlier() {
    let leeway = i64::try_from(limits::LEEWAY_SECONDS).unwrap();
    let target = &targets()[3];
    let until = |seconds: i64| Entry { until: Some(UnixTime(NOW.0 + seconds)), ..entry("token_id") };
    assert!(judged(&[(target, &until(500).to_bytes())]).is_err());
    assert!(judged(&[(target, &until(-leeway).to_bytes())]).is_err());
    assert_eq!(judged(&[(target, &until(-leeway - 1).to_bytes())]), Ok(()));
    assert!(!until(-leeway - 1).is_stale(NOW));
    assert!(until(-leeway - 1 - limits::REVOCATION_KEPT_SECONDS).is_stale(NOW));
    assert!(!entry("token_id").is_stale(UnixTime(i64::MAX)));
}

#[test]
fn what_cannot_be_read_revokes() {
    let target = &targets()[3];
    let good = String::from_utf8(entry("token_id").to_bytes()).unwrap();
    let over = Entry { until: Some(UnixTime(1)), ..entry("token_id") }.to_bytes();
    assert_eq!(judged(&[(target, &over)]), Ok(()), "the control is over");
    let over = String::from_utf8(over).unwrap();
    let too_large = format!("{}{}", over, " ".repeat(limits::REVOCATION_ENTRY_BYTES));
    for bad in [
        "",
        "{}",
        "[]",
        "not JSON",
        &over.replace("\"v\":1", "\"v\":2"),
        &over.replace("\"v\":1", "\"v\":\"1\""),
        &over.replace("\"until\":1", "\"until\":1.5"),
        &over.replace("\"until\":1", "\"until\":\"1\""),
        &over.replace("\"until\":1", "\"until\":-1"),
        &over.replace("\"until\":1", "\"until\":1,\"until\":1"),
        &over.replace("\"until\":1", "\"until\":1,\"except\":[]"),
        &over.replace("\"what\"", "\"that\""),
        // An entry of another kind under this key.
        &over.replace("token_id", "subject"),
        &over.replace("01J\"", "01J\",\"by\":1"),
        &over[..over.len() - 1],
        &too_large,
    ] {
        assert_ne!(bad, over);
        assert_eq!(judged(&[(target, bad.as_bytes())]).unwrap_err().reason, Reason::JwtRevoked, "{bad}");
    }
    assert!(Entry::read(good.as_bytes()).is_ok());
}

#[test]
fn revoking_again_never_lets_something_in() {
    let with = |issued_before: Option<i64>, until: Option<i64>| Entry {
        issued_before: issued_before.map(UnixTime),
        until: until.map(UnixTime),
        ..entry("subject")
    };
    for (earlier, later, both) in [
        (with(Some(5), Some(7)), with(Some(6), Some(6)), with(Some(6), Some(7))),
        (with(None, Some(7)), with(Some(6), None), with(None, None)),
        (with(Some(5), None), with(None, Some(9)), with(None, None)),
    ] {
        assert_eq!(later.clone().and(&earlier), both);
        assert_eq!(earlier.and(&later), both);
        assert_eq!(later.and_all(), with(None, None));
    }
}

#[test]
fn keys_say_nothing_about_anybody_and_are_all_different() {
    let mut targets = targets();
    // The same bytes, divided differently.
    targets.push(Target::TokenId { issuer: "a".into(), jti: "bc".into() });
    targets.push(Target::TokenId { issuer: "ab".into(), jti: "c".into() });
    targets.push(Target::Session { issuer: "ab".into(), sid: "c".into() });
    targets.push(Target::TokenId { issuer: "a\x00001\0b".into(), jti: "c".into() });
    targets.push(Target::Issuer { issuer: "a".into() });
    let keys: std::collections::BTreeSet<String> = targets.iter().map(Target::key).collect();
    assert_eq!(keys.len(), targets.len());
    for (key, target) in keys.iter().zip(&targets) {
        assert!(!key.contains("alice") && !key.contains("example"), "{key}");
        assert_eq!(key.len(), "revoked/".len() + key.split('/').nth(1).unwrap().len() + 1 + 64, "{target:?}");
    }
    // Keys are in stores that outlive this program: they never change.
    assert_eq!(
        Target::TokenId { issuer: ISS.into(), jti: "t-1".into() }.id(),
        Digest::of(b"token_id\x0023\0https://id.example.com/\x003\0t-1")
    );
}

fn read(body: &str) -> Result<Order, String> {
    Order::read(body.as_bytes(), &issuers(), false, NOW).map_err(|denial| {
        assert_eq!(denial.reason, Reason::GateBodyInvalid);
        denial.detail
    })
}

#[test]
fn a_body_names_one_target() {
    let digest = Digest::of(b"ca").to_string();
    let bodies = [
        r#"{"issuer": {"issuer": "corp"}}"#.to_owned(),
        format!(r#"{{"subject": {{"issuer": "{ISS}", "sub": "alice"}}}}"#),
        r#"{"session": {"issuer": "corp", "sid": "s-1"}}"#.to_owned(),
        r#"{"token_id": {"issuer": "corp", "jti": "t-1"}}"#.to_owned(),
        format!(r#"{{"certificate": {{"issuer_digest": "{digest}", "serial": "001A2B"}}}}"#),
    ];
    for (body, target) in bodies.iter().zip(targets()) {
        assert_eq!(read(body), Ok(Order { target, issued_before: None, until: None, reason: None }));
    }
    // Some authorities issue certificates with the serial number 0, and the gate takes them.
    let zero = read(&format!(r#"{{"certificate": {{"issuer_digest": "{digest}", "serial": "00"}}}}"#)).unwrap().target;
    assert_eq!(zero, Target::Certificate { issuer_digest: Digest::of(b"ca"), serial: "0".into() });
    let body = r#"{"subject": {"issuer": "corp", "sub": "alice", "issued_before": 5}, "expires_at": 1800000500, "reason": "é"}"#;
    let order = read(body).unwrap();
    assert_eq!((order.issued_before, order.until, order.reason.as_deref()), (Some(UnixTime(5)), Some(UnixTime(1_800_000_500)), Some("é")));
}

#[test]
fn a_body_that_is_not_understood_is_refused_and_the_member_named() {
    let control = r#"{"token_id": {"issuer": "corp", "jti": "t-1"}, "expires_at": 1800000500, "reason": "lost"}"#;
    assert!(read(control).is_ok());
    let long = format!("\"{}\"", "x".repeat(limits::SHORT_CLAIM_BYTES + 1));
    let swap = |from: &str, to: &str| {
        assert!(control.contains(from));
        control.replacen(from, to, 1)
    };
    for (body, says) in [
        (String::new(), "not JSON"),
        ("[]".to_owned(), "not a JSON object"),
        ("{".to_owned(), "not JSON"),
        ("{}".to_owned(), "exactly one of `token_id`, `subject`, `session`, `certificate`, `issuer`, and has none"),
        (swap("\"expires_at\"", "\"issuer\": {}, \"expires_at\""), "and has `token_id`, `issuer`"),
        (swap("\"reason\"", "\"expires_at\""), "`expires_at` occurs twice"),
        (swap("\"reason\"", "\"raeson\""), "no member `raeson`: did you mean `reason`?"),
        (swap("\"jti\"", "\"sub\""), "`token_id` has no `jti`"),
        (swap("\"jti\"", "\"issued_before\": 1, \"jti\""), "`token_id` has no member `issued_before`"),
        (swap("\"t-1\"", "7"), "`jti` of `token_id` is not a string"),
        (swap("\"t-1\"", "\"\""), "`jti` of `token_id` is empty"),
        (swap("\"t-1\"", &long), "`jti` of `token_id` has more than 255 bytes"),
        (swap("\"corp\"", "\"crop\""), "`token_id.issuer` is neither"),
        (swap("{\"issuer\": \"corp\", \"jti\": \"t-1\"}", "\"t-1\""), "`token_id` is not an object"),
        (swap("1800000500", "\"soon\""), "`expires_at` of the body is not a time"),
        (swap("1800000500", "1800000500.5"), "`expires_at` of the body is not a time"),
        (swap("1800000500", "null"), "`expires_at` of the body is not a time"),
        (swap("1800000500", "1"), "`expires_at` has passed"),
        (swap("\"lost\"", &format!("\"{}\"", "x".repeat(limits::REVOCATION_REASON_BYTES + 1))), "`reason` of the body has more than"),
        (r#"{"certificate": {"issuer_digest": "00", "serial": "1"}}"#.to_owned(), "not 64 hexadecimal digits"),
        (format!(r#"{{"certificate": {{"issuer_digest": "{}", "serial": "1"}}}}"#, "g".repeat(64)), "not 64 hexadecimal digits"),
        (format!(r#"{{"certificate": {{"issuer_digest": "{}", "serial": ""}}}}"#, "0".repeat(64)), "is empty"),
        (format!(r#"{{"certificate": {{"issuer_digest": "{}", "serial": "-1"}}}}"#, "0".repeat(64)), "not a number"),
        (format!(r#"{{"certificate": {{"issuer_digest": "{}", "serial": "1:2"}}}}"#, "0".repeat(64)), "not a number"),
        (r#"{"subject": {"issuer": "corp", "sub": "a", "issued_before": -1}}"#.to_owned(), "`issued_before` of `subject` is not a time"),
    ] {
        let detail = read(&body).unwrap_err();
        assert!(detail.contains(says), "{body}\n{detail}");
    }
}

#[test]
fn taking_back_needs_the_target_and_nothing_of_its_time() {
    let undo = |body: &str| Order::read(body.as_bytes(), &issuers(), true, NOW);
    assert!(undo(r#"{"subject": {"issuer": "corp", "sub": "alice"}, "reason": "found again"}"#).is_ok());
    for body in [
        r#"{"subject": {"issuer": "corp", "sub": "alice", "issued_before": 5}}"#,
        r#"{"subject": {"issuer": "corp", "sub": "alice"}, "expires_at": 1800000500}"#,
    ] {
        assert!(undo(body).unwrap_err().detail.contains("mean nothing"), "{body}");
    }
}

proptest! {
    #[test]
    fn an_entry_is_read_as_it_was_written(before in proptest::option::of(0..=LATEST), until in proptest::option::of(0..=LATEST), by in ".{0,40}", reason in proptest::option::of(".{0,40}")) {
        let entry = Entry { issued_before: before.map(UnixTime), until: until.map(UnixTime), by, reason, ..entry("issuer") };
        prop_assert_eq!(Entry::read(&entry.to_bytes()), Ok(entry));
    }

    #[test]
    fn no_bytes_make_reading_panic(bytes in proptest::collection::vec(any::<u8>(), 0..120)) {
        let _ = Entry::read(&bytes);
        let _ = Order::read(&bytes, &issuers(), false, NOW);
    }
}
