//! What is remembered of a chain never makes it count for more, or for longer, than verifying it anew would.

use std::time::Duration;

use proptest::prelude::*;
use rcgen::date_time_ymd;

use super::support::*;
use crate::decision::UnixTime;
use crate::identity::mtls::{Chain, KnownChain, Mtls};

const HOUR: i64 = 3_600;

/// What is remembered of a chain that verifies at a time; none when it does not.
fn known(mtls: &Mtls, chain: &Chain, now: i64) -> Option<KnownChain> {
    let identity = mtls.verify(chain, UnixTime(now)).ok()?;
    mtls.memory(chain, &identity, UnixTime(now))
}

/// Two hours, from and to, around an hour of 2027-01-01.
fn hours() -> impl Strategy<Value = (u8, u8)> {
    (0..12_u8, 12..24_u8)
}

fn second(hour: u8) -> i64 {
    date_time_ymd(2027, 1, 1).unix_timestamp() + i64::from(hour) * HOUR
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(48) })]

    #[test]
    fn a_remembered_chain_counts_only_while_verifying_it_anew_says_the_same(
        (roots, middles, leaf) in ([hours(), hours()], [hours(), hours()], hours()),
        (crl, insecure, when) in (proptest::option::of(0..24_u8), any::<bool>(), 8..16_u8),
    ) {
        let dated = |(from, to): (u8, u8)| move |params: &mut rcgen::CertificateParams| {
            let at = |hour: u8| date_time_ymd(2027, 1, 1) + Duration::from_secs(u64::from(hour) * HOUR.unsigned_abs());
            (params.not_before, params.not_after) = (at(from), at(to));
        };
        // One key, certified by two anchors of different names: which of them a path ends at may change with the time.
        let (one, other) = (Ca::root_with("one", dated(roots[0])), Ca::root_with("other", dated(roots[1])));
        let middle = one.sub("middle", dated(middles[0]));
        let crossed = {
            let mut params = middle.params.clone();
            dated(middles[1])(&mut params);
            params.signed_by(&middle.key, &other.issuer()).unwrap().der().to_vec()
        };
        let leaf = middle.leaf(dated(leaf));
        let mut top = "form = \"rfc9440\"\n".to_owned();
        let anchors = "certificates = [\"one.pem\"]\ntrust_domains = [\"example.org\"]\nCRLS\n[[anchor]]\nname = \"other\"\n\
                       certificates = [\"other.pem\"]\nprefix = \"other:\"\n";
        let anchors = anchors.replace("CRLS", if crl.is_some() { "crls = [\"a.crl\"]" } else { "" });
        if insecure {
            top.push_str("insecure_accept_expired_crl = true\n");
        }
        let text = format!(
            "version = 1\n{top}[terminator]\nsecret_header = \"x-terminator-secret\"\n[[anchor]]\nname = \"one\"\nprefix = \"one:\"\n{anchors}"
        );
        let files = [("ca/one.pem", pem("CERTIFICATE", &[&one.der])), ("ca/other.pem", pem("CERTIFICATE", &[&other.der]))];
        let mut bundle = bundle(&text, &files.iter().map(|(name, text)| (*name, text.as_bytes())).collect::<Vec<_>>());
        if let Some(hour) = crl {
            let list = middle.crl(&[], |crl| {
                crl.next_update = date_time_ymd(2027, 1, 1) + Duration::from_secs(u64::from(hour) * HOUR.unsigned_abs());
                crl.this_update = date_time_ymd(2026, 1, 1);
            });
            bundle.insert("keys/crl/a.crl", list);
        }
        let mtls = load(&bundle).unwrap();
        let chain = Chain(vec![leaf, middle.der, crossed]);
        let now = second(when) + HOUR / 2;
        let Some(known) = known(&mtls, &chain, now) else { return Ok(()) };
        prop_assert!(known.counts(UnixTime(now)));
        let mut counted = 0;
        for time in (0..=24).flat_map(|hour| second(hour) - 2..second(hour) + 3).chain((0..24).map(|hour| second(hour) + HOUR / 2)) {
            if known.counts(UnixTime(time)) {
                counted += 1;
                prop_assert_eq!(&mtls.verify(&chain, UnixTime(time)).map_err(|denial| denial.reason), &Ok(known.identity.clone()), "{}", time - second(0));
            }
        }
        prop_assert!(counted > 0);
    }
}

#[test]
fn a_remembered_chain_counts_from_the_first_to_the_last_second_of_all_that_is_on_it() {
    let (from, to) = (date_time_ymd(2027, 1, 10), date_time_ymd(2027, 1, 20));
    let root = Ca::root("root");
    let middle = root.sub("middle", |params| params.not_after = to);
    let leaf = middle.leaf(|params| params.not_before = from);
    let mtls = trusting(&usual(), &[&root.der]);
    let chain = Chain(vec![leaf, middle.der]);
    let known = known(&mtls, &chain, NOW.0).unwrap();
    let (first, last) = (from.unix_timestamp(), to.unix_timestamp());
    for (time, counts) in [(first - 1, false), (first, true), (NOW.0, true), (last, true), (last + 1, false)] {
        assert_eq!(known.counts(UnixTime(time)), counts, "{time}");
        assert_eq!(mtls.verify(&chain, UnixTime(time)).is_ok(), counts, "{time}");
    }
}

#[test]
fn a_chain_is_known_by_every_byte_of_every_certificate() {
    let chain = Chain(vec![vec![1, 2, 3], vec![4, 5]]);
    let digest = chain.digest();
    assert_eq!(digest, chain.clone().digest());
    for other in [
        Chain(vec![vec![1, 2], vec![3, 4, 5]]),
        Chain(vec![vec![1, 2, 3, 4, 5]]),
        Chain(vec![vec![4, 5], vec![1, 2, 3]]),
        Chain(vec![vec![1, 2, 3], vec![4, 6]]),
        Chain(vec![vec![1, 2, 3], vec![4, 5], vec![]]),
    ] {
        assert_ne!(other.digest(), digest, "{other:?}");
    }
}
