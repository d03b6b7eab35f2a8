//! Status lists: the draft's own, and each way a reference or a list can be wrong beside one that is right.

use miniz_oxide::deflate::compress_to_vec_zlib;
use serde_json::{Value, json};

use super::support::{AUD, ISS, NOW, OTHER_ISS, TestKey, b64, bundle, claims, ed, identify, issuer_toml, jwks, load, merge, problem, with};
use crate::bundle::Problem;
use crate::decision::{Denial, Reason, UnixTime};
use crate::identity::{Issuers, PresentedList, SignatureBackend, StatusList, StatusReference, Supply};
use crate::limits;

const URI: &str = "https://id.example.com/status/1";
const CONFIG: &str = r#"status_lists = ["https://id.example.com/status/"]"#;

fn reference(index: u64) -> StatusReference {
    StatusReference { issuer: "corp".to_owned(), uri: URI.to_owned(), index }
}

fn packed(entries: &[u8]) -> String {
    b64(compress_to_vec_zlib(entries, 9))
}

/// The draft's first example: 16 statuses of one bit.
fn good() -> Value {
    json!({ "sub": URI, "iat": NOW - 10, "exp": NOW + 600, "ttl": 60, "status_list": { "bits": 1, "lst": packed(&[0xb9, 0xa3]) } })
}

fn list_of(key: &TestKey, header: Value, changes: Value) -> String {
    let mut all = json!({ "typ": "statuslist+jwt", "alg": key.algorithm, "kid": key.kid });
    merge(all.as_object_mut().unwrap(), header.as_object().unwrap());
    let mut claims = good();
    merge(claims.as_object_mut().unwrap(), changes.as_object().unwrap());
    key.token_of(&all.to_string(), &claims.to_string())
}

fn verify(issuers: &Issuers, list: &str) -> Result<StatusList, Denial> {
    PresentedList::read(list.as_bytes())?.verify_for(
        issuers,
        &reference(0),
        Supply::NotNeeded,
        SignatureBackend::default(),
        UnixTime(NOW),
        UnixTime(NOW),
    )
}

/// An issuer with a key and a way to verify lists that differ from a good one.
fn world() -> (Issuers, TestKey) {
    let key = ed();
    (with(CONFIG, &[key.jwk()]), key)
}

#[test]
fn the_lists_of_the_draft_say_what_the_draft_says() {
    let (issuers, key) = world();
    let vectors: Value = serde_json::from_str(include_str!("../../../tests/data/identity/status-lists.json")).unwrap();
    for vector in vectors.as_array().unwrap() {
        let list = list_of(&key, json!({}), json!({ "status_list": { "bits": vector["bits"], "lst": vector["lst"] } }));
        let list = verify(&issuers, &list).unwrap();
        let mut sum = 0;
        for (index, status) in
            vector["statuses"].as_array().unwrap().iter().map(|pair| (pair[0].as_u64().unwrap(), pair[1].as_u64().unwrap()))
        {
            assert_eq!(list.status(&reference(index)).map(u64::from), Ok(status), "{list:?} at {index}");
            sum += status;
        }
        // Nothing else is set.
        assert_eq!((0..1 << 20).map(|index| u64::from(list.status(&reference(index)).unwrap())).sum::<u64>(), sum, "{list:?}");
        assert_eq!(list.status(&reference(1 << 20)).unwrap_err().reason, Reason::JwtStatusInvalid);
    }
    // Section 4.1, bit for bit.
    let list = verify(&issuers, &list_of(&key, json!({}), json!({}))).unwrap();
    let bits: Vec<_> = (0..16).map(|index| list.status(&reference(index)).unwrap()).collect();
    assert_eq!(bits, [1, 0, 0, 1, 1, 1, 0, 1, 1, 1, 0, 0, 0, 1, 0, 1]);
    let suspended = json!({ "status_list": { "bits": 2, "lst": b64([0x78, 0xda, 0x3b, 0xe9, 0xf2, 0x13, 0x00, 0x03, 0xdf, 0x02, 0x07]) } });
    let list = verify(&issuers, &list_of(&key, json!({}), suspended)).unwrap();
    let statuses: Vec<_> = (0..12).map(|index| list.status(&reference(index)).unwrap()).collect();
    assert_eq!(statuses, [1, 2, 0, 3, 0, 1, 0, 1, 1, 2, 3, 3]);
    for beyond in [12, u64::MAX / 2, u64::MAX] {
        assert_eq!(list.status(&reference(beyond)).unwrap_err().reason, Reason::JwtStatusInvalid, "{beyond}");
    }
}

#[test]
fn a_list_that_is_not_exactly_right_says_nothing() {
    let (issuers, key) = world();
    let lst = packed(&[0xb9, 0xa3]);
    let refused = |name: &str, list: &str| {
        let denial = verify(&issuers, list).expect_err(name);
        assert_eq!(denial.reason, Reason::SystemStatusUnavailable, "{name}");
        assert!(list.len() < 9 || !denial.detail.contains(list), "{name}");
    };
    let claims = |changes: Value| list_of(&key, json!({}), changes);
    for (name, changes) in [
        ("control", json!({})),
        ("its issuer", json!({ "iss": ISS })),
        ("no exp", json!({ "exp": null })),
        ("no ttl", json!({ "ttl": null })),
        ("a ttl with a fraction", json!({ "ttl": 0.5 })),
        ("a very long ttl", json!({ "ttl": u64::MAX })),
        ("expired within the leeway", json!({ "exp": NOW - 9 })),
        ("another member", json!({ "status_list": { "bits": 1, "lst": lst, "aggregation_uri": "https://x" } })),
        ("unpacked just small enough", json!({ "status_list": { "bits": 8, "lst": packed(&vec![0; limits::STATUS_LIST_BYTES]) } })),
    ] {
        assert_eq!(verify(&issuers, &claims(changes)).map(drop), Ok(()), "{name}");
    }
    assert_eq!(verify(&issuers, &format!("{}\r\n", claims(json!({})))).map(drop), Ok(()), "a line feed at the end of the file");
    for (name, changes) in [
        ("no sub", json!({ "sub": null })),
        ("another list of the issuer", json!({ "sub": "https://id.example.com/status/2" })),
        ("the address written otherwise", json!({ "sub": "https://id.example.com:443/status/1" })),
        ("another issuer", json!({ "iss": OTHER_ISS })),
        ("iss is a number", json!({ "iss": 1 })),
        ("no iat", json!({ "iat": null })),
        ("iat is text", json!({ "iat": "now" })),
        ("from the future", json!({ "iat": NOW + 11 })),
        ("not yet valid", json!({ "nbf": NOW + 11 })),
        ("expired", json!({ "exp": NOW - 10 })),
        ("exp is text", json!({ "exp": "never" })),
        ("ttl 0", json!({ "ttl": 0 })),
        ("ttl below 0", json!({ "ttl": -5 })),
        ("ttl is text", json!({ "ttl": "60" })),
        ("no list", json!({ "status_list": null })),
        ("the list is an array", json!({ "status_list": [] })),
        ("no bits", json!({ "status_list": { "lst": lst } })),
        ("3 bits", json!({ "status_list": { "bits": 3, "lst": lst } })),
        ("0 bits", json!({ "status_list": { "bits": 0, "lst": lst } })),
        ("16 bits", json!({ "status_list": { "bits": 16, "lst": lst } })),
        ("bits with a point", json!({ "status_list": { "bits": 1.0, "lst": lst } })),
        ("no lst", json!({ "status_list": { "bits": 1 } })),
        ("padded", json!({ "status_list": { "bits": 1, "lst": format!("{lst}=") } })),
        ("not packed", json!({ "status_list": { "bits": 1, "lst": b64([0xb9, 0xa3]) } })),
        (
            "without the zlib frame",
            json!({ "status_list": { "bits": 1, "lst": b64(miniz_oxide::deflate::compress_to_vec(&[0xb9, 0xa3], 9)) } }),
        ),
        ("cut off", json!({ "status_list": { "bits": 1, "lst": b64(&compress_to_vec_zlib(&[0xb9, 0xa3], 9)[..5]) } })),
        (
            "a wrong check sum",
            json!({ "status_list": { "bits": 1, "lst": b64([0x78, 0xda, 0xdb, 0xb9, 0x18, 0x00, 0x02, 0x17, 0x01, 0x5e]) } }),
        ),
        ("unpacked too large", json!({ "status_list": { "bits": 8, "lst": packed(&vec![0; limits::STATUS_LIST_BYTES + 1]) } })),
        ("a bomb", json!({ "status_list": { "bits": 8, "lst": packed(&vec![0; 100_000_000]) } })),
    ] {
        refused(name, &claims(changes));
    }
    for (name, header) in [
        ("an access token", json!({ "typ": "at+jwt" })),
        ("no typ", json!({ "typ": null })),
        ("unsecured", json!({ "alg": "none" })),
        ("an algorithm the issuer does not use", json!({ "alg": "ES384" })),
        ("an unknown key", json!({ "kid": "nobody" })),
        ("critical", json!({ "crit": ["exp"] })),
    ] {
        refused(name, &list_of(&key, header, json!({})));
    }
    assert!(verify(&issuers, &list_of(&key, json!({ "typ": "application/StatusList+JWT" }), json!({}))).is_ok(), "the type in full");
    refused("a stranger's", &list_of(&ed(), json!({}), json!({})));
    refused("another list with the signature of a good one", &{
        let (good, evil) = (claims(json!({})), claims(json!({ "ttl": 61 })));
        format!("{}.{}", evil.rsplit_once('.').unwrap().0, good.rsplit_once('.').unwrap().1)
    });
    for garbage in ["", ".", "<html>", "a.b.c", "\u{0}"] {
        refused(garbage, garbage);
    }
    refused("too large", &claims(json!({ "x": "a".repeat(limits::STATUS_TOKEN_BYTES) })));
}

#[test]
fn a_list_is_verified_with_the_keys_of_the_tokens_issuer_only() {
    let (ours, theirs) = (ed(), ed());
    let more =
        format!("{CONFIG}\n[[issuer]]\nname = \"other\"\niss = \"{OTHER_ISS}\"\naudience = \"{AUD}\"\nkeys = [\"other.json\"]\n{CONFIG}");
    let files = [("corp.json", jwks(&[ours.jwk()])), ("other.json", jwks(&[theirs.jwk()]))];
    let issuers = load(&bundle(&issuer_toml(&more), &files.each_ref().map(|(name, bytes)| (*name, bytes.as_slice())))).unwrap();
    let ask = |key: &TestKey, issuer: &str| {
        let list = list_of(key, json!({}), json!({}));
        let reference = StatusReference { issuer: issuer.to_owned(), ..reference(0) };
        PresentedList::read(list.as_bytes())
            .unwrap()
            .verify_for(&issuers, &reference, Supply::NotNeeded, SignatureBackend::default(), UnixTime(NOW), UnixTime(NOW))
            .map(drop)
    };
    assert_eq!((ask(&ours, "corp"), ask(&theirs, "other")), (Ok(()), Ok(())));
    for (key, issuer) in [(&ours, "other"), (&theirs, "corp"), (&ours, "nobody")] {
        assert_eq!(ask(key, issuer).unwrap_err().reason, Reason::SystemStatusUnavailable, "{issuer}");
    }
}

#[test]
fn a_list_is_used_for_as_long_as_it_says_and_within_bounds() {
    let (issuers, key) = world();
    let until = |changes: Value, fetched: i64, now: i64| {
        let list = list_of(&key, json!({}), changes);
        let list = PresentedList::read(list.as_bytes()).unwrap();
        list.verify_for(&issuers, &reference(0), Supply::NotNeeded, SignatureBackend::default(), UnixTime(fetched), UnixTime(now))
            .map(|list| list.usable_until().0 - NOW)
    };
    assert_eq!(until(json!({}), NOW, NOW), Ok(60));
    assert_eq!(until(json!({ "ttl": 1.9 }), NOW, NOW), Ok(1));
    assert_eq!(until(json!({ "ttl": 0.001 }), NOW, NOW), Ok(1));
    assert_eq!(until(json!({ "ttl": null }), NOW, NOW), Ok(300));
    assert_eq!(until(json!({ "ttl": null, "exp": null }), NOW, NOW), Ok(300));
    assert_eq!(until(json!({ "ttl": 100_000 }), NOW, NOW), Ok(600), "never past exp");
    assert_eq!(until(json!({ "ttl": 100_000, "exp": null }), NOW, NOW), Ok(3600), "never longer than an hour");
    assert_eq!(until(json!({ "ttl": 1e300, "exp": null }), NOW, NOW), Ok(3600));
    assert_eq!(until(json!({ "exp": NOW - 5 }), NOW, NOW), Ok(1), "within the leeway: for this second");
    // Read again from the store: the time counts from when it was fetched.
    assert_eq!(until(json!({}), NOW - 50, NOW), Ok(10));
    assert_eq!(until(json!({}), NOW - 50, NOW + 100), Ok(10));
    assert_eq!(until(json!({}), NOW, NOW + 700).unwrap_err().reason, Reason::SystemStatusUnavailable);
}

#[test]
fn a_reference_is_read_strictly() {
    let key = ed();
    let (plain, lists) = (with("", &[key.jwk()]), with(CONFIG, &[key.jwk()]));
    let required = with(&format!("{CONFIG}\nrequire_status = true"), &[key.jwk()]);
    let ask = |issuers: &Issuers, status: Value| {
        identify(issuers, &key.token(&claims(json!({ "status": status }))), NOW).map(|token| token.status).map_err(|denial| denial.reason)
    };
    let refused = Err(Reason::JwtStatusInvalid);
    let good = json!({ "status_list": { "idx": 7, "uri": URI } });
    assert_eq!(ask(&lists, good.clone()), Ok(Some(reference(7))));
    assert_eq!(ask(&required, good.clone()), Ok(Some(reference(7))));
    assert_eq!(ask(&plain, good), refused, "an issuer without lists");
    // `null` here removes the claim.
    assert_eq!((ask(&plain, Value::Null), ask(&lists, Value::Null), ask(&required, Value::Null)), (Ok(None), Ok(None), refused.clone()));
    let status = json!({ "status_list": { "idx": 0, "uri": URI, "x": 1 }, "another": {} });
    assert_eq!(ask(&lists, status), Ok(Some(reference(0))), "more beside it");
    for status in [
        json!({}),
        json!([]),
        json!("valid"),
        json!(0),
        json!({ "another": { "idx": 0, "uri": URI } }),
        json!({ "status_list": null }),
        json!({ "status_list": [0, URI] }),
        json!({ "status_list": {} }),
        json!({ "status_list": { "idx": 0 } }),
        json!({ "status_list": { "uri": URI } }),
        json!({ "status_list": { "idx": -1, "uri": URI } }),
        json!({ "status_list": { "idx": 1.0, "uri": URI } }),
        json!({ "status_list": { "idx": "1", "uri": URI } }),
        json!({ "status_list": { "idx": u64::MAX, "uri": URI } }),
        json!({ "status_list": { "idx": limits::STATUS_LIST_BYTES * 8, "uri": URI } }),
        json!({ "status_list": { "idx": 0, "uri": 1 } }),
        json!({ "status_list": { "idx": 0, "uri": "" } }),
        json!({ "status_list": { "idx": 0, "uri": "/status/1" } }),
    ] {
        assert_eq!(ask(&lists, status.clone()), refused, "{status}");
    }
    let raw = format!(r#"{{"iss":"{ISS}","aud":"{AUD}","sub":"alice","exp":{},"status":null}}"#, NOW + 60);
    assert_eq!(identify(&lists, &key.token_of(&key.header().to_string(), &raw), NOW).unwrap_err().reason, Reason::JwtStatusInvalid);
}

#[test]
fn only_lists_below_a_configured_address_may_be_named() {
    let key = ed();
    let lists = r#"status_lists = ["https://id.example.com/status/", "https://cdn.example.net:8443/lists", "https://root.example.com"]"#;
    let issuers = with(lists, &[key.jwk()]);
    let ask = |uri: &str| {
        let status = json!({ "status_list": { "idx": 1, "uri": uri } });
        identify(&issuers, &key.token(&claims(json!({ "status": status }))), NOW).map(drop).map_err(|denial| denial.reason)
    };
    for good in [
        "https://id.example.com/status/1",
        "https://id.example.com/status/",
        "https://ID.EXAMPLE.com:443/status/a/b?c=%2f..",
        "https://cdn.example.net:8443/lists",
        "https://cdn.example.net:8443/lists?1",
        "https://cdn.example.net:8443/lists/a%20b",
        "https://root.example.com",
        "https://root.example.com/anything",
    ] {
        assert_eq!(ask(good), Ok(()), "{good}");
    }
    for bad in [
        "http://id.example.com/status/1",
        "https://id.example.com:8443/status/1",
        "https://id.example.com.evil.example/status/1",
        "https://evil.example/status/1",
        "https://id.example.com@evil.example/status/1",
        "https://id.example.com/status",
        "https://id.example.com/status2/1",
        "https://id.example.com/Status/1",
        "https://id.example.com/",
        "https://id.example.com/status/../keys",
        "https://id.example.com/status/./1",
        "https://id.example.com/status/%2E%2e/keys",
        "https://id.example.com/status/.%2e/keys",
        "https://id.example.com/status/..%2fkeys",
        "https://id.example.com/status/..%5Ckeys",
        "https://id.example.com/status/%252e%252e/keys",
        "https://id.example.com/status/1#x",
        "https://cdn.example.net:8443/lists2",
        "https://cdn.example.net:8443/",
        "https://cdn.example.net/lists",
    ] {
        assert_eq!(ask(bad), Err(Reason::JwtStatusInvalid), "{bad}");
    }
}

#[test]
fn wrong_configuration_is_told() {
    let key = ed();
    let one = |more: &str| problem(&bundle(&issuer_toml(more), &[("corp.json", &jwks(&[key.jwk()]))]));
    let told = |more: &str, code: &str, word: &str| {
        let Problem { code: found, message, help, .. } = one(more);
        assert_eq!(found, code, "{more}");
        assert!(format!("{message} {help:?}").contains(word), "{more}: {message} {help:?}");
    };
    with(r#"status_lists = "https://id.example.com/status""#, &[key.jwk()]);
    with("require_status = false", &[key.jwk()]);
    with("status_lists = [\"http://127.0.0.1:8080/s/\"]\ninsecure_allow_http = true", &[key.jwk()]);
    told("status_lists = []", "issuers.value", "0 addresses");
    told("status_lists = 7", "issuers.type", "status_lists");
    told("status_lists = [\"https://a.example/\", 7]", "issuers.type", "status_lists");
    told("require_status = true", "issuers.missing_key", "every token would be refused");
    told("require_status = \"yes\"", "issuers.type", "require_status");
    told("status_lists = [\"http://127.0.0.1:8080/s/\"]", "issuers.value", "insecure_allow_http");
    told("status_lists = [\"https://a.example/\", \"https://A.example:443\"]", "issuers.duplicate", "twice");
    for bad in [
        "",
        "a.example/s",
        "https://a.example/s?x=1",
        "https://a.example/s#x",
        "https://u@a.example/",
        "https://a.example/../s",
        "ftp://a.example/",
    ] {
        told(&format!("status_lists = [\"{bad}\"]"), "issuers.value", "is not an address");
    }
    let many: Vec<_> = (0..17).map(|n| format!("\"https://{n}.example/\"")).collect();
    told(&format!("status_lists = [{}]", many.join(",")), "issuers.value", "17 addresses");
}
