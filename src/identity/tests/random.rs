//! What no input may do: make the verifier panic, or verify without the key.

use std::sync::LazyLock;

use proptest::prelude::*;

use super::support::*;
use crate::decision::UnixTime;
use crate::identity::Identity;
use crate::request::Evidence;

#[test]
fn no_single_bit_of_a_token_can_change() {
    for kid in ["ed", "es256", "es384", "ps256", "rs256"] {
        let token = WORLD.key(kid).token(&good());
        assert!(identify(&WORLD.issuers, &token, NOW).is_ok());
        for at in 0..token.len() {
            for bit in 0..8 {
                let mut bytes = format!("Bearer {token}").into_bytes();
                bytes["Bearer ".len() + at] ^= 1 << bit;
                let evidence = Evidence { authorization: Some(bytes), ..Evidence::default() };
                assert!(WORLD.issuers.identify(&evidence, UnixTime(NOW)).is_err(), "{kid}: byte {at}, bit {bit}");
            }
        }
    }
}

static TOKEN: LazyLock<String> = LazyLock::new(|| WORLD.key("ed").token(&good()));

proptest! {
    #![proptest_config(ProptestConfig::with_cases(512))]

    #[test]
    fn random_bytes_never_verify(bytes in proptest::collection::vec(any::<u8>(), 0..300), now in any::<i64>()) {
        let evidence = Evidence { authorization: Some(bytes.clone()), ..Evidence::default() };
        prop_assert!(WORLD.issuers.identify(&evidence, UnixTime(now)).is_err());
        let evidence = Evidence { authorization: Some([b"Bearer ", bytes.as_slice()].concat()), ..Evidence::default() };
        prop_assert!(WORLD.issuers.identify(&evidence, UnixTime(now)).is_err());
    }

    #[test]
    fn random_parts_never_verify(header in "\\PC{0,60}", payload in "\\PC{0,60}", signature in proptest::collection::vec(any::<u8>(), 1..80)) {
        let token = format!("{}.{}.{}", b64(header), b64(payload), b64(signature));
        prop_assert!(identify(&WORLD.issuers, &token, NOW).is_err());
    }

    #[test]
    fn a_token_cut_and_pasted_never_verifies(at in 0_usize..200, remove in 0_usize..20, insert in "[A-Za-z0-9_.=-]{0,20}") {
        let token = &*TOKEN;
        let (at, end) = (at.min(token.len()), (at + remove).min(token.len()));
        let pasted = format!("{}{insert}{}", &token[..at], &token[end..]);
        prop_assume!(pasted != *token);
        prop_assert!(identify(&WORLD.issuers, &pasted, NOW).is_err());
    }

    #[test]
    fn any_signed_claims_are_judged_without_panic(exp in any::<f64>(), nbf in any::<i64>(), sub in "\\PC{0,300}", now in any::<i64>()) {
        let claims = claims(serde_json::json!({ "exp": exp, "nbf": nbf, "sub": sub, "groups": [sub] }));
        let evidence = Evidence { authorization: Some(format!("Bearer {}", WORLD.key("ed").token(&claims)).into_bytes()), ..Evidence::default() };
        if let Ok(Identity::Token { token: identity, .. }) = WORLD.issuers.identify(&evidence, UnixTime(now)) {
            prop_assert_eq!(&identity.principal, &format!("corp/{sub}"));
        }
    }
}
