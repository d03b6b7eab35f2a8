//! Published keys without anybody who publishes them: configuration, discovery, freshness, sets, the state machine, the store.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::support::{ISS, NOW, TestKey, bundle, codes, ed, good, jwks, load, problem, with};
use crate::decision::{Reason, UnixTime};
use crate::identity::jwt::Token;
use crate::identity::{Attempt, Cache, Remote, SignatureBackend, Source, Step, StoredSet, Supply};

const URI: &str = "jwks_uri = \"https://id.example.com/keys\"";

/// An issuer without sealed keys, with these lines of configuration.
fn toml(more: &str) -> String {
    format!("version = 1\n[[issuer]]\nname = \"corp\"\niss = \"{ISS}\"\naudience = \"x\"\n{more}\n")
}

fn remote_of(toml: &str) -> Remote {
    load(&bundle(toml, &[])).unwrap().remote("corp").expect("published keys").clone()
}

fn remote(more: &str) -> Remote {
    remote_of(&toml(&format!("{URI}\n{more}")))
}

fn set_of(kids: &[&'static str]) -> Vec<u8> {
    jwks(&kids.iter().map(|kid| TestKey::new("EdDSA", kid).jwk()).collect::<Vec<_>>())
}

fn at(seconds: i64) -> UnixTime {
    UnixTime(NOW + seconds)
}

#[test]
fn an_issuer_with_published_keys_needs_no_others_and_may_have_some() {
    let found = remote("");
    assert_eq!(found.issuer(), "corp");
    assert_eq!((found.url().to_string().as_str(), found.url().https()), ("https://id.example.com/keys", true));
    assert!(matches!(found.source(), Source::KeySet(_)));
    assert_eq!((found.refresh, found.interval, found.stale_if_error, found.allow_http), (300, 60, 86_400, false));
    let found = remote("refresh_seconds = 60\nrefetch_interval_seconds = 1\nstale_if_error_seconds = 604800");
    assert_eq!((found.refresh, found.interval, found.stale_if_error), (60, 1, 604_800));
    let both = load(&bundle(&toml(&format!("{URI}\nkeys = [\"corp.json\"]")), &[("corp.json", &jwks(&[ed().jwk()]))])).unwrap();
    assert_eq!((both.keys(), both.remotes().count()), (1, 1));
    // Sealed keys are still the only way without.
    assert_eq!(codes(&bundle(&toml(""), &[])), ["issuers.missing_key"]);
    assert!(load(&bundle(&toml(URI), &[])).unwrap().remote("other").is_none());
}

#[test]
fn what_is_wrong_with_published_keys_is_one_problem_each() {
    for (more, text) in [
        ("jwks_uri = \"http://id.example.com/keys\"", "`http://id.example.com/keys` is asked without TLS"),
        ("jwks_uri = \"id.example.com/keys\"", "`id.example.com/keys` is not an address"),
        ("jwks_uri = \"https://u@id.example.com/keys\"", "`https://u@id.example.com/keys` is not an address"),
        ("jwks_uri = \"https://a/\"\ndiscovery = \"openid\"", "an issuer has either `jwks_uri` or `discovery`, not both"),
        ("discovery = \"oidc\"", "`oidc` is no kind of discovery"),
        ("jwks_uri = \"https://a/\"\nrefresh_seconds = 59", "`refresh_seconds` is 59, which is not between 60 and 86400"),
        ("jwks_uri = \"https://a/\"\nrefetch_interval_seconds = 0", "`refetch_interval_seconds` is 0, which is not between 1 and 3600"),
        ("jwks_uri = \"https://a/\"\nstale_if_error_seconds = 0", "`stale_if_error_seconds` is 0, which is not between 60 and 604800"),
        (
            "jwks_uri = \"https://a/\"\nstale_if_error_seconds = 299",
            "`stale_if_error_seconds` is 299, less than the 300 seconds between two fetches",
        ),
        ("keys = [\"corp.json\"]\nrefresh_seconds = 300", "`refresh_seconds` means nothing for an issuer whose keys are all sealed"),
    ] {
        let files = [("corp.json", jwks(&[ed().jwk()]))];
        let files = files.each_ref().map(|(name, bytes)| (*name, bytes.as_slice()));
        let found = problem(&bundle(&toml(more), if more.contains("corp.json") { &files } else { &[] }));
        assert_eq!((found.code, found.message.as_str()), ("issuers.value", text), "{more}");
        assert!(found.span.is_some());
    }
    assert_eq!(codes(&bundle(&toml("jwks_uri = 1"), &[])), ["issuers.type"]);
    assert!(load(&bundle(&toml("jwks_uri = \"http://127.0.0.1:1/keys\"\ninsecure_allow_http = true"), &[])).is_ok());
}

#[test]
fn metadata_lie_where_the_specifications_say() {
    for (iss, kind, expected) in [
        // OpenID Connect Discovery 1.0, sections 4 and 4.1.
        ("https://example.com", "openid", "https://example.com/.well-known/openid-configuration"),
        ("https://example.com/", "openid", "https://example.com/.well-known/openid-configuration"),
        ("https://example.com/issuer1", "openid", "https://example.com/issuer1/.well-known/openid-configuration"),
        ("https://example.com/issuer1/", "openid", "https://example.com/issuer1/.well-known/openid-configuration"),
        // RFC 8414, section 3.1.
        ("https://example.com", "oauth", "https://example.com/.well-known/oauth-authorization-server"),
        ("https://example.com/issuer1", "oauth", "https://example.com/.well-known/oauth-authorization-server/issuer1"),
        ("https://example.com:8443/a/b/", "oauth", "https://example.com:8443/.well-known/oauth-authorization-server/a/b"),
    ] {
        let found = remote_of(&toml(&format!("discovery = \"{kind}\"")).replace(ISS, iss));
        assert_eq!(found.url().to_string(), expected, "{iss}");
        assert!(matches!(found.source(), Source::Metadata(_)));
    }
    for (iss, code) in [("https://example.com/?a=b", "issuers.value"), ("corp", "issuers.value"), ("http://example.com", "issuers.value")] {
        assert_eq!(problem(&bundle(&toml("discovery = \"openid\"").replace(ISS, iss), &[])).code, code, "{iss}");
    }
}

#[test]
fn metadata_of_another_issuer_or_to_another_place_are_refused() {
    let found = remote_of(&toml("discovery = \"openid\""));
    let good = json!({ "issuer": ISS, "jwks_uri": "https://keys.example.net/certs", "response_types_supported": ["code"] });
    let read = |metadata: &Value| found.key_set_url(metadata.to_string().as_bytes());
    assert_eq!(read(&good).unwrap().to_string(), "https://keys.example.net/certs");
    for (name, value) in [
        ("issuer", json!("https://id.example.com")),
        ("issuer", json!("https://id.example.com/other")),
        ("issuer", json!([ISS])),
        ("issuer", Value::Null),
        ("jwks_uri", json!("http://keys.example.net/certs")),
        ("jwks_uri", json!("/certs")),
        ("jwks_uri", json!("https://u:p@keys.example.net/certs")),
        ("jwks_uri", Value::Null),
    ] {
        let mut bad = good.clone();
        bad[name] = value;
        assert!(read(&bad).is_err(), "{bad}");
    }
    assert!(found.key_set_url(b"[]").is_err() && found.key_set_url(b"{").is_err() && found.key_set_url(b"").is_err());
    let twice = good.to_string().replacen('{', &format!("{{\"issuer\":\"{ISS}\","), 1);
    assert!(found.key_set_url(twice.as_bytes()).is_err());
    let mut large = good;
    large["more"] = json!("x".repeat(crate::limits::METADATA_BYTES));
    assert!(read(&large).is_err());
}

#[test]
fn an_answer_says_how_long_it_is_fresh_within_bounds() {
    let found = remote("refresh_seconds = 600");
    for (cache_control, age, expected) in [
        ("", "", 600),
        ("public", "", 600),
        ("max-age=900", "", 900),
        ("public, MAX-AGE = 900, must-revalidate", "", 900),
        ("max-age=\"900\"", "", 900),
        ("max-age=900", "300", 600),
        ("max-age=900", "-300", 900),
        ("max-age=900", "soon", 900),
        ("max-age=900, max-age=100", "", 100),
        ("max-age=900", "1000", 60),
        ("max-age=0", "", 60),
        ("max-age=", "", 60),
        ("max-age=-1", "", 60),
        ("max-age=never", "", 60),
        ("no-store", "", 60),
        ("max-age=900, no-cache", "", 60),
        ("s-maxage=5", "", 600),
        // Half of what the set may be used for.
        ("max-age=99999999999999999999999", "", 43_200),
    ] {
        assert_eq!(found.lifetime(cache_control, age), expected, "{cache_control} {age}");
    }
    assert_eq!(remote("stale_if_error_seconds = 604800").lifetime("max-age=9999999", ""), 86_400);
    assert_eq!(remote("refresh_seconds = 60\nstale_if_error_seconds = 60").lifetime("", ""), 30);
}

#[test]
fn a_fetched_set_is_checked_like_a_sealed_one() {
    let found = remote("");
    let good = ed().jwk();
    assert!(found.read_set(&jwks(std::slice::from_ref(&good))).unwrap().has("ed"));
    // Kinds this gate does not know are left out: providers add them when they like.
    for unknown in [
        json!({ "kty": "EC", "crv": "P-521", "x": "AA", "y": "AA", "kid": "p521" }),
        json!({ "kty": "EC", "crv": "secp256k1", "x": "AA", "y": "AA", "kid": "k1" }),
        json!({ "kty": "AKP", "alg": "ML-DSA-65", "pub": "AA", "kid": "pq" }),
        json!({ "kty": "OKP", "crv": "X25519", "x": "AA", "use": "enc", "kid": "enc" }),
        json!({ "kty": "RSA", "alg": "RSA-OAEP", "n": "AA", "e": "AQAB", "kid": "oaep" }),
        json!({ "kty": "oct", "kid": "empty" }),
    ] {
        let set = found.read_set(&jwks(&[unknown.clone(), good.clone()])).unwrap_or_else(|problem| panic!("{problem}: {unknown}"));
        assert!(set.has("ed") && set.keys.len() == 1);
        assert!(found.read_set(&jwks(&[unknown])).is_err());
    }
    // Anything else speaks against the whole set.
    let mut private = ed().jwk();
    private["d"] = json!("AA");
    let rsa = json!({ "kty": "RSA", "n": "AQAB", "e": "AQAB", "kid": "weak" });
    for (bad, says) in [
        (private.clone(), "private"),
        (json!({ "kty": "oct", "k": "c2VjcmV0", "kid": "hs" }), "private"),
        (json!({ "kty": "AKP", "alg": "ML-DSA-65", "pub": "AA", "priv": "AA" }), "private"),
        (json!({ "kty": "EC", "crv": "P-521", "more": [private] }), "private"),
        (rsa, "key.weak"),
        (json!({ "kty": "OKP", "crv": "Ed25519", "x": "AA" }), "key.invalid"),
        (json!({ "kty": "EC", "x": "AA", "y": "AA" }), "key.invalid"),
        (json!("key"), "key.syntax"),
        (good.clone(), "occurs twice"),
    ] {
        let refused = found.read_set(&jwks(&[good.clone(), bad.clone()])).unwrap_err();
        assert!(refused.contains(says), "{refused}: {bad}");
    }
    for bad in [&b""[..], b"[]", b"{}", b"null", b"{\"keys\":[]}", b"{\"keys\":{}}", b"<html>", b"\xff"] {
        assert!(found.read_set(bad).is_err());
    }
    let many = |count: usize| -> Vec<Value> {
        (0..count).map(|i| json!({ "kty": "OKP", "crv": "Ed25519", "x": good["x"], "kid": i.to_string() })).collect()
    };
    assert_eq!(found.read_set(&jwks(&many(64))).unwrap().keys.len(), 64);
    assert!(found.read_set(&jwks(&many(65))).is_err());
    let mut padded = jwks(&[good]);
    padded.resize(crate::limits::KEY_SET_BYTES, b' ');
    assert!(found.read_set(&padded).is_ok());
    padded.push(b' ');
    assert!(found.read_set(&padded).is_err());
}

#[test]
fn a_set_is_one_issuers_as_it_is_configured() {
    let first = remote("");
    let set = first.read_set(&set_of(&["a"])).unwrap();
    assert!(set.is_of(&first) && set.is_of(&remote("refresh_seconds = 60")));
    for other in [
        remote_of(&toml(URI).replace(ISS, "https://other.example.com/")),
        remote_of(&toml("jwks_uri = \"https://id.example.com/other\"")),
        remote_of(&toml("discovery = \"openid\"")),
    ] {
        assert!(!set.is_of(&other));
        assert_ne!((first.set_key(), first.attempt_key()), (other.set_key(), other.attempt_key()));
        let stored = StoredSet { set: set.clone().into(), fetched_at: at(0), fresh_until: at(60), missing: BTreeMap::new() };
        let bytes = stored.write(&first, &set_of(&["a"]));
        assert!(StoredSet::read(&first, &bytes, at(0)).is_some());
        assert!(StoredSet::read(&other, &bytes, at(0)).is_none());
        let mut cache = Cache::default();
        cache.adopt(&first, stored, at(0));
        assert!(cache.usable(&first, at(0)).is_some() && cache.usable(&other, at(0)).is_none());
    }
}

/// A cache with a set of key `a`, fetched at [`NOW`] and fresh for five minutes.
fn filled(remote: &Remote) -> Cache {
    let mut cache = Cache::default();
    cache.fetched(remote.read_set(&set_of(&["a"])).unwrap(), 300, at(0));
    cache
}

#[test]
fn a_set_is_used_refreshed_behind_the_back_and_refused_at_its_end() {
    let found = remote("stale_if_error_seconds = 3600");
    let mut cache = Cache::default();
    assert_eq!(cache.step(&found, Some("a"), at(0), false), Step::WaitForFetch);
    assert_eq!(cache.step(&found, None, at(0), true), Step::WaitForFetch);
    // An attempt that failed holds for the interval.
    cache.attempted(at(0));
    assert_eq!(cache.step(&found, Some("a"), at(59), false), Step::Refuse);
    assert_eq!(cache.step(&found, Some("a"), at(59), true), Step::WaitForFetch);
    assert_eq!(cache.step(&found, Some("a"), at(60), false), Step::WaitForFetch);

    let mut cache = filled(&found);
    for (seconds, in_flight, expected) in [
        (0, false, Step::Use),
        (299, false, Step::Use),
        (300, false, Step::UseAndRefresh),
        (300, true, Step::Use),
        (3599, false, Step::UseAndRefresh),
        (3599, true, Step::Use),
        (3600, false, Step::WaitForFetch),
        (3600, true, Step::WaitForFetch),
    ] {
        for kid in [Some("a"), None] {
            assert_eq!(cache.step(&found, kid, at(seconds), in_flight), expected, "{seconds} {in_flight}");
        }
        assert_eq!(cache.usable(&found, at(seconds)).is_some(), seconds < 3600);
    }
    assert_eq!(cache.usable_until(&found, at(0)), Some(at(3600)));
    cache.attempted(at(3590));
    assert_eq!(cache.step(&found, Some("a"), at(3599), false), Step::Use);
    assert_eq!(cache.step(&found, Some("a"), at(3600), false), Step::Refuse);
    assert_eq!(cache.step(&found, Some("a"), at(3650), false), Step::WaitForFetch);
}

#[test]
fn an_unknown_key_is_asked_for_once_and_then_known_to_be_missing() {
    let found = remote("");
    let mut cache = filled(&found);
    let next = |cache: &Cache, kid, seconds| cache.step(&found, Some(kid), at(seconds), false);
    // Not within the interval of the last fetch.
    assert_eq!(next(&cache, "b", 59), Step::UseKnownMissing);
    assert_eq!(cache.step(&found, Some("b"), at(59), true), Step::WaitForFetch);
    assert_eq!(next(&cache, "b", 60), Step::WaitForFetch);
    cache.want("b");
    assert!(cache.is_awaited(&found, at(60)) && cache.is_due(&found, at(60)));
    cache.fetched(found.read_set(&set_of(&["a"])).unwrap(), 300, at(60));
    assert!(!cache.is_awaited(&found, at(60)) && !cache.is_due(&found, at(120)));
    // Remembered as missing, also after the interval; another one is asked for.
    assert_eq!(next(&cache, "b", 120), Step::UseKnownMissing);
    assert_eq!(next(&cache, "c", 120), Step::WaitForFetch);
    assert_eq!(next(&cache, "b", 360), Step::UseAndRefresh);
    assert_eq!(next(&cache, "b", 659), Step::UseAndRefresh);
    assert_eq!(next(&cache, "b", 660), Step::WaitForFetch);
    // A set that has it ends that.
    cache.fetched(found.read_set(&set_of(&["a", "b"])).unwrap(), 300, at(120));
    assert_eq!(next(&cache, "b", 121), Step::Use);
    // A failure teaches nothing about the key.
    cache.want("c");
    cache.attempted(at(180));
    cache.ended();
    assert_eq!(next(&cache, "c", 181), Step::UseKnownMissing);
    assert_eq!(next(&cache, "c", 240), Step::WaitForFetch);
}

#[test]
fn made_up_names_do_not_fill_the_memory() {
    let found = remote("");
    let mut cache = filled(&found);
    for round in 1..=5 {
        (0..1000).for_each(|i| cache.want(&format!("{round}-{i}")));
        cache.want(&"x".repeat(100_000));
        let stored = cache.fetched(found.read_set(&set_of(&["a"])).unwrap(), 300, at(60 * round));
        assert_eq!(stored.missing.len(), 64);
    }
    assert_eq!(cache.step(&found, Some("5-0"), at(360), false), Step::UseKnownMissing);
    assert_eq!(cache.step(&found, Some("a"), at(360), false), Step::Use);
}

#[test]
fn a_clock_that_goes_back_neither_keeps_a_set_for_ever_nor_asks_without_end() {
    let found = remote("");
    let mut cache = filled(&found);
    // A little: as if nothing had happened.
    assert_eq!(cache.step(&found, Some("a"), at(-30), false), Step::Use);
    assert_eq!(cache.step(&found, Some("b"), at(-30), false), Step::UseKnownMissing);
    // Far: the set's age cannot be told, and it is fetched again, once.
    assert_eq!(cache.step(&found, Some("a"), at(-100_000), false), Step::WaitForFetch);
    assert!(cache.usable(&found, at(-100_000)).is_none());
    cache.attempted(at(-100_000));
    assert_eq!(cache.step(&found, Some("a"), at(-99_999), false), Step::Refuse);
    cache.fetched(found.read_set(&set_of(&["a"])).unwrap(), 300, at(-99_940));
    assert_eq!(cache.step(&found, Some("a"), at(-99_939), false), Step::Use);
    // The ends of time do not overflow.
    for now in [i64::MIN, i64::MAX, 0] {
        assert_eq!(cache.step(&found, Some("a"), UnixTime(now), false), Step::WaitForFetch);
    }
}

#[test]
fn what_instances_share_is_read_as_strictly_as_what_was_fetched() {
    let found = remote("");
    let bytes = set_of(&["a"]);
    let stored = StoredSet {
        set: found.read_set(&bytes).unwrap().into(),
        fetched_at: at(0),
        fresh_until: at(300),
        missing: BTreeMap::from([("b\n\"".to_owned(), at(600))]),
    };
    let written = stored.write(&found, &bytes);
    let read = |bytes: &[u8], seconds| StoredSet::read(&found, bytes, at(seconds));
    let again = read(&written, 10).unwrap();
    assert_eq!((again.fetched_at, again.fresh_until, &again.missing), (at(0), at(300), &stored.missing));
    assert!(again.set.has("a"));
    // Age: as in the instance.
    assert!(read(&written, 86_399).is_some() && read(&written, 86_400).is_none());
    assert!(read(&written, -60).is_some() && read(&written, -61).is_none());
    // Whatever is changed, cut off or added, nothing is taken that was not fetched.
    let text = String::from_utf8(written.clone()).unwrap();
    for (from, to) in [
        ("\"version\":1", "\"version\":2"),
        ("\"name\":\"corp\"", "\"name\":\"other\""),
        ("\"url\":\"https", "\"url\":\"http"),
        ("\"fetched_at\":", "\"fetched_at\":1"),
        ("\"fetched_at\":", "\"fetched_by\":"),
        ("\"missing\":{", "\"missing\":[],\"more\":{"),
        ("\n", " "),
        ("\"kty\":\"OKP\"", "\"kty\":\"OKP\",\"d\":\"AA\""),
        ("\"crv\":\"Ed25519\"", "\"crv\":\"Ed448\""),
        ("\"keys\"", "\"kyes\""),
    ] {
        let changed = text.replacen(from, to, 1);
        assert_ne!(changed, text, "{from}");
        assert!(read(changed.as_bytes(), 0).is_none(), "{changed}");
    }
    for length in 0..written.len() {
        assert!(read(&written[..length], 0).is_none(), "{length}");
    }
    // Freshness and memory end when they would have without the store.
    let longer = text.replace(&format!("\"fresh_until\":{}", NOW + 300), &format!("\"fresh_until\":{}", i64::MAX));
    assert_eq!(read(longer.as_bytes(), 0).unwrap().fresh_until, at(43_200));
    let longer = text.replace(&(NOW + 600).to_string(), &i64::MAX.to_string());
    assert_eq!(read(longer.as_bytes(), 0).unwrap().missing.into_values().collect::<Vec<_>>(), [at(600)]);

    let attempt = Attempt { at: at(0), ended: false };
    assert_eq!(Attempt::read(&attempt.write()), Some(attempt));
    for bad in ["", "{}", "1800000000", "{\"version\":1,\"at\":\"1\",\"ended\":false}", "{\"version\":2,\"at\":1,\"ended\":false}"] {
        assert_eq!(Attempt::read(bad.as_bytes()), None, "{bad}");
    }
    assert!(
        found.may_ask(at(0), at(60)) && found.may_ask(at(0), at(-60)) && !found.may_ask(at(0), at(59)) && !found.may_ask(at(0), at(-59))
    );
}

#[test]
fn a_newer_set_of_another_instance_is_taken_and_an_older_one_is_not() {
    let found = remote("");
    let stored = |kid, seconds| StoredSet {
        set: found.read_set(&set_of(&[kid])).unwrap().into(),
        fetched_at: at(seconds),
        fresh_until: at(seconds + 300),
        missing: BTreeMap::new(),
    };
    let mut cache = Cache::default();
    assert!(cache.adopt(&found, stored("b", 0), at(10)));
    // It is the word of an attempt too.
    assert_eq!(cache.step(&found, Some("x"), at(59), false), Step::UseKnownMissing);
    assert_eq!(cache.step(&found, Some("x"), at(60), false), Step::WaitForFetch);
    assert!(!cache.adopt(&found, stored("c", 0), at(10)) && !cache.adopt(&found, stored("c", -10), at(10)));
    assert!(cache.adopt(&found, stored("c", 1), at(10)));
    assert!(cache.usable(&found, at(10)).unwrap().has("c"));
    // What the other one was told is missing need not be asked for again.
    let mut cache = filled(&found);
    cache.want("x");
    let mut other = stored("a", 60);
    other.missing.insert("x".to_owned(), at(660));
    assert!(cache.adopt(&found, other, at(120)) && !cache.is_due(&found, at(120)));
    cache.want("y");
    assert!(cache.is_due(&found, at(120)));
    // One that may no longer be used gives way to any that may.
    let mut cache = Cache::default();
    cache.adopt(&found, stored("c", 1), at(10));
    assert!(cache.adopt(&found, stored("d", 86_000), at(86_401)));
}

#[test]
fn a_token_that_names_no_key_is_not_guessed_a_sealed_one_while_the_others_are_stale() {
    let (key, other) = (ed(), TestKey::new("EdDSA", "other"));
    let issuers = with(URI, &[key.jwk()]);
    let remote = issuers.remote("corp").unwrap();
    let set = |keys: &[Value]| remote.read_set(&jwks(keys)).unwrap();
    let (same_kind, another_kind) = (set(&[other.jwk()]), set(&[TestKey::new("ES256", "es256").jwk()]));
    let verdict = |compact: &str, supply| {
        let token = Token::parse(compact).unwrap();
        issuers.verify(&token, supply, SignatureBackend::default(), at(0)).map(drop).map_err(|denial| denial.reason)
    };
    let nameless = key.token_of(&json!({ "typ": "JWT", "alg": key.algorithm }).to_string(), &good().to_string());
    assert_eq!(verdict(&nameless, Supply::Set(&another_kind)), Ok(()), "the control: only one key could have signed it");
    assert_eq!(verdict(&nameless, Supply::Set(&same_kind)), Err(Reason::JwtKeyAmbiguous));
    assert_eq!(verdict(&nameless, Supply::Stale), Err(Reason::SystemKeysStale));
    // One that names a sealed key needs no other, and one that names another cannot be told.
    assert_eq!(verdict(&key.token(&good()), Supply::Stale), Ok(()));
    assert_eq!(verdict(&other.token(&good()), Supply::Stale), Err(Reason::SystemKeysStale));
    assert_eq!(verdict(&other.token(&good()), Supply::Set(&same_kind)), Ok(()));
    assert_eq!(verdict(&other.token(&good()), Supply::Set(&another_kind)), Err(Reason::JwtKeyUnknown));
}
