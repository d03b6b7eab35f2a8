//! What is remembered of a token never makes it count for more, or for longer, than verifying it anew would.

use proptest::prelude::*;
use serde_json::json;

use super::support::{TestKey, claims, ed, good, jwks, with};
use crate::bundle::Digest;
use crate::decision::{Reason, UnixTime};
use crate::identity::jwt::Token;
use crate::identity::known::{Bounds, KnownToken, KnownTokens, Lesson};
use crate::identity::{Issuers, Presented, SignatureBackend, Supply};
use crate::request::Evidence;

const URI: &str = "jwks_uri = \"https://id.example.com/keys\"";
const NOW: i64 = super::support::NOW;

/// Verified anew: the reason it is refused, if it is.
fn anew(issuers: &Issuers, compact: &str, supply: Supply<'_>, now: i64) -> Result<KnownToken, Reason> {
    let token = Token::parse(compact).unwrap();
    issuers.verify(&token, supply, SignatureBackend::default(), UnixTime(now)).map(|(_, known)| known).map_err(|denial| denial.reason)
}

/// As it is remembered, or anew where that does not do.
fn remembered(issuers: &Issuers, compact: &str, known: &KnownToken, supply: Supply<'_>, now: i64) -> (Result<(), Reason>, bool) {
    match issuers.recall(known, supply, UnixTime(now)) {
        Ok(Some(_)) => (Ok(()), true),
        Ok(None) => (anew(issuers, compact, supply, now).map(drop), false),
        Err(denial) => (Err(denial.reason), true),
    }
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(256) })]

    #[test]
    fn a_remembered_token_counts_exactly_as_long_as_it_would_anew(
        (exp, nbf, iat) in (-5.0..400.0_f64, proptest::option::of(-400.0..5.0_f64), proptest::option::of(-400..5_i64)),
        (leeway, max_age) in (0..60_u32, proptest::option::of(1..600_u32)),
        nows in proptest::collection::vec(-500..500_i64, 8),
    ) {
        let key = ed();
        let age = max_age.map(|age| format!("\nmax_age_seconds = {age}")).unwrap_or_default();
        let issuers = with(&format!("leeway_seconds = {leeway}{age}"), &[key.jwk()]);
        let at = |offset: f64| json!(NOW as f64 + (offset * 4.0).round() / 4.0);
        let compact = key.token(&claims(json!({ "exp": at(exp), "nbf": nbf.map(at), "iat": iat.map(|iat| NOW + iat) })));
        let known = (-500..500).find_map(|offset| anew(&issuers, &compact, Supply::NotNeeded, NOW + offset).ok());
        // Around each of its ends too.
        let ends = [exp as i64, exp as i64 + i64::from(leeway), nbf.unwrap_or_default() as i64 - i64::from(leeway)];
        let ends = ends.into_iter().flat_map(|end| end - 2..end + 3);
        for offset in nows.into_iter().chain(ends).chain(max_age.iter().map(|age| iat.unwrap_or_default() + i64::from(*age) + i64::from(leeway) + 1)) {
            let anew = anew(&issuers, &compact, Supply::NotNeeded, NOW + offset).map(drop);
            match &known {
                Some(known) => prop_assert_eq!(remembered(&issuers, &compact, known, Supply::NotNeeded, NOW + offset), (anew, true)),
                None => prop_assert!(anew.is_err()),
            }
        }
    }
}

#[test]
fn a_remembered_token_never_outlives_its_keys() {
    let (sealed, fetched) = (ed(), TestKey::new("ES256", "fetched"));
    let issuers = with(&format!("{URI}\nalgorithms = [\"EdDSA\", \"ES256\"]"), &[sealed.jwk()]);
    let remote = issuers.remote("corp").unwrap();
    let set = |keys: &[serde_json::Value]| remote.read_set(&jwks(keys)).unwrap();
    let (first, replaced) = (set(&[fetched.jwk()]), set(&[TestKey::new("ES256", "fetched").jwk()]));
    let (without, more) = (set(&[TestKey::new("ES256", "other").jwk()]), set(&[fetched.jwk(), TestKey::new("ES256", "other").jwk()]));
    let compact = fetched.token(&good());
    let known = anew(&issuers, &compact, Supply::Set(&first), NOW).unwrap();
    let verdict = |supply| remembered(&issuers, &compact, &known, supply, NOW);
    assert_eq!(verdict(Supply::Set(&first)), (Ok(()), true), "the control");
    // Another key under the same name, no such key, no set that may be used: verified anew, and refused.
    assert_eq!(verdict(Supply::Set(&replaced)), (Err(Reason::JwtSignatureInvalid), false));
    assert_eq!(verdict(Supply::Set(&without)), (Err(Reason::JwtKeyUnknown), false));
    assert_eq!(verdict(Supply::Stale), (Err(Reason::SystemKeysStale), false));
    // A set with the same key and another one: verified anew, and counts.
    assert_eq!(verdict(Supply::Set(&more)), (Ok(()), false));
    // A set of another configuration of the issuer is no set of it.
    let moved = with("jwks_uri = \"https://id.example.com/other\"\nalgorithms = [\"EdDSA\", \"ES256\"]", &[sealed.jwk()]);
    let foreign = moved.remote("corp").unwrap().read_set(&jwks(&[fetched.jwk()])).unwrap();
    assert_eq!(verdict(Supply::Set(&foreign)), (Err(Reason::JwtKeyUnknown), false));
    // A sealed key needs no set, whatever there is of the others.
    let compact = sealed.token(&good());
    let known = anew(&issuers, &compact, Supply::NotNeeded, NOW).unwrap();
    for supply in [Supply::NotNeeded, Supply::Stale, Supply::Set(&without)] {
        assert_eq!(remembered(&issuers, &compact, &known, supply, NOW), (Ok(()), true));
    }
}

/// A key, a good token of it, and tokens of which that one is known.
fn knowing_one() -> (TestKey, String, KnownTokens) {
    let key = ed();
    let issuers = with("", &[key.jwk()]);
    let compact = key.token(&good());
    let mut tokens = KnownTokens::new();
    tokens.learn(Lesson { digest: Digest::of(compact.as_bytes()), what: anew(&issuers, &compact, Supply::NotNeeded, NOW).unwrap().into() });
    (key, compact, tokens)
}

#[test]
fn a_token_is_found_by_every_byte_of_it() {
    let (_, compact, mut tokens) = knowing_one();
    assert!(tokens.find(&Digest::of(compact.as_bytes())).is_some());
    for at in 0..compact.len() {
        let mut other = compact.clone().into_bytes();
        other[at] ^= 1;
        assert!(tokens.find(&Digest::of(&other)).is_none(), "byte {at}");
    }
    tokens.clear();
    assert!(tokens.is_empty() && tokens.find(&Digest::of(compact.as_bytes())).is_none());
}

#[test]
fn only_a_request_whose_token_is_known_is_no_new_one() {
    let (key, compact, tokens) = knowing_one();
    let new = |authorization: &str, dpop: Option<&[u8]>, known| {
        let authorization = (!authorization.is_empty()).then(|| authorization.as_bytes().to_vec());
        let evidence = Evidence { authorization, dpop: dpop.map(<[u8]>::to_vec), ..Evidence::default() };
        Presented::knowing(&evidence, known).is_new()
    };
    let nothing_known = KnownTokens::new();
    let bearer = |token: &str| format!("Bearer {token}");
    assert!(!new(&bearer(&compact), None, Some(&tokens)), "the control");
    assert!(new(&bearer(&compact), None, Some(&nothing_known)));
    assert!(new(&bearer(&compact), None, None), "nothing is remembered");
    assert!(new(&bearer(&key.token(&claims(json!({ "jti": "other" })))), None, Some(&tokens)));
    // The proof is another one each time.
    assert!(new(&format!("DPoP {compact}"), Some(b"a.b.c"), Some(&tokens)));
    // What has no signature to be verified does not wait.
    for nothing in ["", "Bearer garbage", "Basic YTpi"] {
        assert!(!new(nothing, None, Some(&tokens)), "{nothing}");
    }
}

/// A token that nobody signed, of about this size.
fn made(number: u64, size: usize) -> Lesson<KnownToken> {
    let key = ed();
    let issuers = with("", &[key.jwk()]);
    static ONE: std::sync::OnceLock<KnownToken> = std::sync::OnceLock::new();
    let one = ONE.get_or_init(|| anew(&issuers, &key.token(&good()), Supply::NotNeeded, NOW).unwrap());
    let mut identity = (*one.identity).clone();
    identity.subject = "x".repeat(size);
    Lesson { digest: Digest::of(&number.to_le_bytes()), what: KnownToken { identity: identity.into(), ..one.clone() }.into() }
}

#[test]
fn a_flood_of_tokens_that_come_once_does_not_drive_out_those_that_come_again() {
    let mut tokens = KnownTokens::within(Bounds { entries: 64, bytes: 1 << 20 });
    let template = made(0, 10);
    let one = |number: u64| Lesson { digest: Digest::of(&number.to_le_bytes()), what: template.what.clone() };
    let (hot, mut refused) = (0..32_u64, 0);
    hot.clone().for_each(|number| tokens.learn(one(number)));
    for number in 1_000..11_000 {
        tokens.learn(one(number));
        assert!(tokens.len() <= 64);
        if let Some(number) = hot.clone().nth((number % 32).try_into().unwrap())
            && tokens.find(&one(number).digest).is_none()
        {
            refused += 1;
            tokens.learn(one(number));
        }
    }
    assert_eq!(refused, 0, "tokens in use keep their places");
    // One that comes again finds a place, also when all are taken.
    tokens.learn(one(77_777));
    tokens.learn(one(77_777));
    assert!(tokens.find(&one(77_777).digest).is_some());
}

#[test]
fn what_is_remembered_is_bounded_in_bytes() {
    let mut tokens = KnownTokens::within(Bounds { entries: 1_000, bytes: 64 * 1024 });
    let (small, large, huge) = (made(0, 10), made(0, 4_000), made(0, 60_000));
    let with = |number: u64, of: &Lesson<KnownToken>| Lesson { digest: Digest::of(&number.to_le_bytes()), what: of.what.clone() };
    // Each twice: the second time there is a reason to make room.
    for number in (0..500).chain(0..500) {
        tokens.learn(with(number, &large));
        assert!(tokens.bytes() <= 64 * 1024);
    }
    assert!((10..=16).contains(&tokens.len()), "{}", tokens.len());
    tokens.learn(with(1_000, &huge));
    tokens.learn(with(1_000, &huge));
    assert!(tokens.find(&with(1_000, &huge).digest).is_none(), "one alone never takes an eighth of it");
    for number in (2_000..2_500).chain(2_000..2_500) {
        tokens.learn(with(number, &small));
    }
    assert!(tokens.len() > 50 && tokens.bytes() <= 64 * 1024, "{tokens:?}");
    // The same one again, larger: not counted twice.
    let before = tokens.len();
    tokens.learn(with(2_499, &large));
    assert!(tokens.bytes() <= 64 * 1024 && tokens.len() <= before);
}
