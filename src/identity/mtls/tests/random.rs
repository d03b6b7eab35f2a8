//! Anything at all in the field: no form panics, and none reads what is not there.

use std::sync::LazyLock;

use proptest::prelude::*;

use super::support::*;
use crate::identity::mtls::{Arrival, Mtls};

static FORMS: LazyLock<Vec<(Mtls, &str, Option<&str>)>> = LazyLock::new(|| {
    let root = Ca::root("root").der;
    let trust = |top: &str| trusting(&toml(top, ""), &[&root]);
    vec![
        (trust("form = \"rfc9440\""), "client-cert", Some("client-cert-chain")),
        (trust("form = \"xfcc\""), "x-forwarded-client-cert", None),
        (trust("form = \"nginx\"\nchain_header = \"x-chain\""), "ssl-client-cert", Some("x-chain")),
        (trust("form = \"alb\""), "x-amzn-mtls-clientcert", None),
        (trust("form = \"der\"\nheader = \"x-cert\"\nchain_header = \"x-chain\""), "x-cert", Some("x-chain")),
    ]
});

static GOOD: LazyLock<Vec<u8>> = LazyLock::new(|| Ca::root("root").leaf(|_| {}));

fn value() -> impl Strategy<Value = String> {
    let pieces = prop_oneof![
        Just(":".to_owned()),
        Just(",".to_owned()),
        Just(";".to_owned()),
        Just("\"".to_owned()),
        Just("\\".to_owned()),
        Just("=".to_owned()),
        Just("%".to_owned()),
        Just("%0A".to_owned()),
        Just("%20".to_owned()),
        Just("+".to_owned()),
        Just("Cert".to_owned()),
        Just("Chain".to_owned()),
        Just("Hash".to_owned()),
        Just("MAEH".to_owned()),
        Just("-----BEGIN%20CERTIFICATE-----".to_owned()),
        Just("-----END%20CERTIFICATE-----".to_owned()),
        "[ -~]{0,8}",
        "[A-Za-z0-9+/]{0,12}={0,2}",
    ];
    prop_oneof![prop::collection::vec(pieces, 0..24).prop_map(|pieces| pieces.concat()), "[\\PC]{0,40}"]
}

proptest! {
    #[test]
    fn no_form_panics_and_all_keep_the_bounds(certificate in value(), rest in value()) {
        for (mtls, field, chain_field) in FORMS.iter() {
            let mut fields = vec![(*field, certificate.as_str())];
            fields.extend(chain_field.map(|name| (name, rest.as_str())));
            if let Arrival::Chain(_, chain) = arrive(mtls, &fields) {
                prop_assert!(!chain.0.is_empty() && chain.0.len() <= crate::limits::CHAIN_CERTIFICATES);
                prop_assert!(chain.0.iter().all(|der| !der.is_empty() && der.len() <= crate::limits::CERTIFICATE_BYTES));
                let _ = mtls.verify(&chain, NOW);
            }
        }
    }

    #[test]
    fn any_bytes_come_through_every_form_unchanged(der in prop::collection::vec(any::<u8>(), 1..400)) {
        let text = pem("CERTIFICATE", &[&der]);
        let values = [
            format!(":{}:", base64(&der)), format!("By=a,Cert=\"{}\"", escaped(&text, "")), escaped(&text, ""), escaped(&text, "+/="), base64(&der),
        ];
        for ((mtls, field, _), value) in FORMS.iter().zip(&values) {
            prop_assert_eq!(chain(arrive(mtls, &[(field, value)])), [der.clone()]);
        }
    }

    #[test]
    fn a_certificate_that_was_changed_anywhere_is_refused(place in any::<prop::sample::Index>(), bit in 0_u8..8) {
        let root = &*ROOT;
        let mtls = &root.1;
        let mut der = root.0.clone();
        let index = place.index(der.len());
        der[index] ^= 1 << bit;
        prop_assert!(verify(mtls, &[&der]).is_err());
    }

    #[test]
    fn no_certificate_panics(prefix in 0_usize..300, tail in prop::collection::vec(any::<u8>(), 0..64)) {
        let der = [&GOOD[..prefix.min(GOOD.len())], &tail].concat();
        let (_, mtls) = &*ROOT;
        prop_assert!(verify(mtls, &[&der, &GOOD]).is_err());
    }
}

static ROOT: LazyLock<(Vec<u8>, Mtls)> = LazyLock::new(|| {
    let root = Ca::root("root");
    let leaf = root.leaf(|_| {});
    let mtls = trusting(&usual(), &[&root.der]);
    assert!(verify(&mtls, &[&leaf]).is_ok());
    (leaf, mtls)
});
