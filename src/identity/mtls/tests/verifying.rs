//! Path validation: every reason beside a chain that is good.

use rcgen::{
    BasicConstraints, CertificateParams, CustomExtension, ExtendedKeyUsagePurpose, GeneralSubtree, IsCa, KeyPair, KeyUsagePurpose,
    NameConstraints, PKCS_ECDSA_P384_SHA384, PKCS_ED25519, PKCS_RSA_SHA256, SerialNumber, date_time_ymd,
};
use x509_parser::prelude::FromDer;

use super::support::*;
use crate::decision::{Reason, UnixTime};
use crate::identity::mtls::Mtls;
use crate::identity::tests::rsa_pkcs8;

/// A root, an authority below it, and a gate that trusts the root.
fn world() -> (Ca, Ca, Mtls) {
    let root = Ca::root("root");
    let middle = root.sub("middle", |_| {});
    let mtls = trusting(&usual(), &[&root.der]);
    (root, middle, mtls)
}

/// What becomes of a good leaf below an authority that differs.
fn below(change: impl FnOnce(&mut CertificateParams)) -> Result<(), Reason> {
    let (root, _, mtls) = world();
    let middle = root.sub("middle", change);
    verify(&mtls, &[&middle.leaf(|_| {}), &middle.der]).map(drop).map_err(|denial| denial.reason)
}

/// What becomes of a leaf that differs, below a good authority.
fn leaf(change: impl FnOnce(&mut CertificateParams)) -> Result<(), Reason> {
    let (_, middle, mtls) = world();
    verify(&mtls, &[&middle.leaf(change), &middle.der]).map(drop).map_err(|denial| denial.reason)
}

#[test]
fn a_good_chain_is_accepted_in_any_order_and_length() {
    let (root, middle, mtls) = world();
    let low = middle.sub("low", |_| {});
    let (one, two, three) = (root.leaf(|_| {}), middle.leaf(|_| {}), low.leaf(|_| {}));
    for chain in [
        &[&one[..]][..],
        &[&one, &root.der],
        &[&two, &middle.der],
        &[&two, &middle.der, &root.der],
        &[&three, &low.der, &middle.der],
        &[&three, &middle.der, &low.der],
        &[&three, &middle.der, &middle.der, &low.der, &low.der],
    ] {
        assert_eq!(verify(&mtls, chain).unwrap().principal, ID);
    }
}

#[test]
fn a_path_leads_to_an_anchor_by_signatures_that_verify() {
    let (root, middle, mtls) = world();
    let good = middle.leaf(|_| {});
    assert!(verify(&mtls, &[&good, &middle.der]).is_ok());
    let stranger = Ca::root("stranger");
    // The same names, other keys.
    let false_root = Ca::root("root");
    let false_middle = false_root.sub("middle", |_| {});
    let mut tampered = good.clone();
    *tampered.last_mut().unwrap() ^= 1;
    let mut renamed = good.clone();
    let place = renamed.windows(6).position(|window| window == b"client").unwrap();
    renamed[place] = b'C';
    for chain in [
        &[&good[..]][..],
        &[&good, &root.der],
        &[&good, &stranger.der],
        &[&good, &false_middle.der],
        &[&good, &false_middle.der, &false_root.der],
        &[&stranger.leaf(|_| {}), &stranger.der],
        &[&false_root.leaf(|_| {})],
        &[&false_middle.leaf(|_| {}), &false_middle.der, &false_root.der],
        &[&false_middle.leaf(|_| {}), &middle.der],
        &[&tampered, &middle.der],
        &[&renamed, &middle.der],
    ] {
        assert_eq!(reason(verify(&mtls, chain)), Reason::MtlsChain);
    }
    // A certificate that signed itself is no path, whatever it is called.
    let alone = leaf_params().self_signed(&key()).unwrap();
    assert_eq!(reason(verify(&mtls, &[alone.der()])), Reason::MtlsChain);
    assert_eq!(reason(verify(&mtls, &[])), Reason::MtlsMalformed);
}

#[test]
fn the_keys_and_algorithms_of_the_table_are_accepted() {
    let rsa = KeyPair::from_pkcs8_der_and_sign_algo(&rsa_pkcs8().into(), &PKCS_RSA_SHA256).unwrap();
    for key in [
        KeyPair::generate_for(&PKCS_ECDSA_P384_SHA384).unwrap(),
        KeyPair::generate_for(&PKCS_ED25519).unwrap(),
        KeyPair::from_pkcs8_der_and_sign_algo(&rsa_pkcs8().into(), &rcgen::PKCS_RSA_SHA384).unwrap(),
        KeyPair::from_pkcs8_der_and_sign_algo(&rsa_pkcs8().into(), &rcgen::PKCS_RSA_SHA512).unwrap(),
        rsa,
    ] {
        let root = Ca::root("root");
        let der = root.params.self_signed(&key).unwrap().der().to_vec();
        let strong = Ca { params: root.params.clone(), key, der };
        let mtls = trusting(&usual(), &[&strong.der]);
        let leaf = strong.leaf_of(&strong.key, |_| {});
        assert!(verify(&mtls, &[&leaf]).is_ok());
        assert!(verify(&mtls, &[&strong.sub("middle", |_| {}).leaf(|_| {})]).is_err());
    }
}

#[test]
fn a_client_key_that_is_weak_or_of_another_kind_is_refused() {
    let (_, middle, mtls) = world();
    let public = |pem: &str| {
        let der = crate::identity::tests::pem_contents(pem);
        let (_, spki) = x509_parser::x509::SubjectPublicKeyInfo::from_der(&der).unwrap();
        spki.subject_public_key.data.to_vec()
    };
    let strong = PublicKey(public(include_str!("../../../../tests/data/identity/rsa-2048-public.pem")), &PKCS_RSA_SHA256);
    let weak = PublicKey(public(include_str!("../../../../tests/data/identity/rsa-1024-public.pem")), &PKCS_RSA_SHA256);
    let off_curve = PublicKey([&[4][..], &[1; 64]].concat(), &rcgen::PKCS_ECDSA_P256_SHA256);
    assert!(verify(&mtls, &[&middle.leaf_of(&strong, |_| {}), &middle.der]).is_ok());
    assert_eq!(reason(verify(&mtls, &[&middle.leaf_of(&weak, |_| {}), &middle.der])), Reason::MtlsKeyWeak);
    assert_eq!(reason(verify(&mtls, &[&middle.leaf_of(&off_curve, |_| {}), &middle.der])), Reason::MtlsKeyWeak);
}

/// Puts other bytes for the signature algorithm, wherever it stands.
fn with_algorithm(der: &[u8], from: &[u8], to: &[u8]) -> Vec<u8> {
    assert_eq!(from.len(), to.len());
    let mut changed = der.to_vec();
    let places: Vec<_> = der.windows(from.len()).enumerate().filter(|(_, window)| *window == from).map(|(place, _)| place).collect();
    assert_eq!(places.len(), 2);
    for place in places {
        changed[place..place + to.len()].copy_from_slice(to);
    }
    changed
}

#[test]
fn sha_1_and_md5_are_never_accepted() {
    let rsa = KeyPair::from_pkcs8_der_and_sign_algo(&rsa_pkcs8().into(), &PKCS_RSA_SHA256).unwrap();
    let root = Ca::root("root");
    let der = root.params.self_signed(&rsa).unwrap().der().to_vec();
    let root = Ca { params: root.params, key: rsa, der };
    let mtls = trusting(&usual(), &[&root.der]);
    let good = root.leaf(|_| {});
    assert!(verify(&mtls, &[&good]).is_ok());
    // 1.2.840.113549.1.1.11 is sha256WithRSAEncryption, .5 sha1, .4 md5, .2 md2.
    let oid = |last: u8| [0x06, 0x09, 0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x01, last];
    for last in [5, 4, 2] {
        assert_eq!(reason(verify(&mtls, &[&with_algorithm(&good, &oid(11), &oid(last))])), Reason::MtlsAlgorithm);
    }
    // One that does not fit the issuer's key.
    let (_, middle, mtls) = world();
    let ecdsa = |last: u8| [0x06, 0x08, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x04, 0x03, last];
    let leaf = middle.leaf(|_| {});
    assert!(verify(&mtls, &[&leaf, &middle.der]).is_ok());
    // ecdsa-with-SHA512, which ring does not have.
    assert_eq!(reason(verify(&mtls, &[&with_algorithm(&leaf, &ecdsa(2), &ecdsa(4)), &middle.der])), Reason::MtlsAlgorithm);
}

#[test]
fn every_certificate_on_the_path_is_valid_now() {
    let (early, late) = (date_time_ymd(2027, 1, 1), date_time_ymd(2027, 2, 1));
    assert_eq!(leaf(|_| {}), Ok(()));
    assert_eq!(leaf(|params| params.not_after = early), Err(Reason::MtlsExpired));
    assert_eq!(leaf(|params| params.not_before = late), Err(Reason::MtlsNotYetValid));
    assert_eq!(leaf(|params| (params.not_before, params.not_after) = (late, early)), Err(Reason::MtlsCertificateInvalid));
    assert_eq!(below(|params| params.not_after = early), Err(Reason::MtlsExpired));
    assert_eq!(below(|params| params.not_before = late), Err(Reason::MtlsNotYetValid));
    // webpki does not look at the anchor's own dates.
    for (not_before, not_after, expected) in [
        (date_time_ymd(2026, 1, 1), date_time_ymd(2028, 1, 1), None),
        (date_time_ymd(2026, 1, 1), early, Some(Reason::MtlsExpired)),
        (late, date_time_ymd(2028, 1, 1), Some(Reason::MtlsNotYetValid)),
    ] {
        let root = Ca::root_with("root", |params| (params.not_before, params.not_after) = (not_before, not_after));
        let mtls = trusting(&usual(), &[&root.der]);
        assert_eq!(verify(&mtls, &[&root.leaf(|_| {})]).err().map(|denial| denial.reason), expected);
    }
    let (_, middle, mtls) = world();
    let good = middle.leaf(|_| {});
    assert_eq!(reason(verify_at(&mtls, &[&good, &middle.der], UnixTime(-1))), Reason::MtlsNotYetValid);
    assert_eq!(reason(verify_at(&mtls, &[&good, &middle.der], UnixTime(i64::MAX))), Reason::MtlsExpired);
}

#[test]
fn a_certificate_is_used_for_what_it_is_for() {
    use ExtendedKeyUsagePurpose::{Any, ClientAuth, ServerAuth};
    assert_eq!(leaf(|params| params.extended_key_usages = vec![]), Ok(()));
    assert_eq!(leaf(|params| params.extended_key_usages = vec![ServerAuth, ClientAuth]), Ok(()));
    assert_eq!(leaf(|params| params.extended_key_usages = vec![ServerAuth]), Err(Reason::MtlsUsage));
    assert_eq!(leaf(|params| params.extended_key_usages = vec![Any]), Err(Reason::MtlsUsage));
    assert_eq!(below(|params| params.extended_key_usages = vec![ClientAuth]), Ok(()));
    assert_eq!(below(|params| params.extended_key_usages = vec![ServerAuth]), Err(Reason::MtlsUsage));

    let named_by_dns = |usages: Vec<KeyUsagePurpose>| {
        leaf(|params| {
            params.subject_alt_names = vec![dns("client.example.com")];
            params.key_usages = usages;
        })
    };
    assert_eq!(named_by_dns(vec![]), Ok(()));
    assert_eq!(named_by_dns(vec![KeyUsagePurpose::DigitalSignature, KeyUsagePurpose::KeyEncipherment]), Ok(()));
    assert_eq!(named_by_dns(vec![KeyUsagePurpose::KeyAgreement]), Ok(()));
    assert_eq!(named_by_dns(vec![KeyUsagePurpose::KeyEncipherment]), Err(Reason::MtlsUsage));
    assert_eq!(named_by_dns(vec![KeyUsagePurpose::ContentCommitment]), Err(Reason::MtlsUsage));

    // An authority does not authenticate as a client, and a client does not issue.
    assert_eq!(leaf(|params| params.is_ca = IsCa::NoCa), Ok(()));
    assert_eq!(leaf(|params| params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained)), Err(Reason::MtlsUsage));
    assert_eq!(below(|params| params.is_ca = IsCa::ExplicitNoCa), Err(Reason::MtlsUsage));
    assert_eq!(below(|params| params.is_ca = IsCa::NoCa), Err(Reason::MtlsUsage));
    // Basic constraints alone are no permission where there is a key usage.
    assert_eq!(below(|params| params.key_usages = vec![]), Ok(()));
    assert_eq!(below(|params| params.key_usages = vec![KeyUsagePurpose::KeyCertSign]), Ok(()));
    assert_eq!(below(|params| params.key_usages = vec![KeyUsagePurpose::CrlSign]), Err(Reason::MtlsUsage));
    assert_eq!(below(|params| params.key_usages = vec![KeyUsagePurpose::DigitalSignature]), Err(Reason::MtlsUsage));
}

#[test]
fn path_lengths_are_kept_the_anchors_own_too() {
    let constrained = |most: u8| move |params: &mut CertificateParams| params.is_ca = IsCa::Ca(BasicConstraints::Constrained(most));
    for (of_root, of_middle, fine) in [(None, Some(1), true), (None, Some(0), false), (Some(2), None, true), (Some(1), None, false)] {
        let root = Ca::root_with("root", |params| of_root.into_iter().for_each(|most| constrained(most)(params)));
        let middle = root.sub("middle", |params| of_middle.into_iter().for_each(|most| constrained(most)(params)));
        let low = middle.sub("low", |_| {});
        let mtls = trusting(&usual(), &[&root.der]);
        let result = verify(&mtls, &[&low.leaf(|_| {}), &low.der, &middle.der]);
        assert_eq!(result.err().map(|denial| denial.reason), (!fine).then_some(Reason::MtlsConstraint), "{of_root:?} {of_middle:?}");
    }
}

fn permitted(tree: GeneralSubtree) -> Option<NameConstraints> {
    Some(NameConstraints { permitted_subtrees: vec![tree], excluded_subtrees: vec![] })
}

#[test]
fn name_constraints_are_kept_the_anchors_own_too() {
    let domain = |name: &str| permitted(GeneralSubtree::DnsName(name.to_owned()));
    let by_dns = |params: &mut CertificateParams| params.subject_alt_names = vec![dns("client.example.com")];
    for (constraint, expected) in [
        (domain("example.com"), None),
        (domain("example.net"), Some(Reason::MtlsConstraint)),
        (
            Some(NameConstraints {
                permitted_subtrees: vec![],
                excluded_subtrees: vec![GeneralSubtree::DnsName("example.com".to_owned())],
            }),
            Some(Reason::MtlsConstraint),
        ),
    ] {
        let root = Ca::root("root");
        let middle = root.sub("middle", |params| params.name_constraints = constraint.clone());
        let mtls = trusting(&usual(), &[&root.der]);
        assert_eq!(verify(&mtls, &[&middle.leaf(by_dns), &middle.der]).err().map(|denial| denial.reason), expected);
        let root = Ca::root_with("root", |params| params.name_constraints = constraint);
        let mtls = trusting(&usual(), &[&root.der]);
        assert_eq!(verify(&mtls, &[&root.leaf(by_dns)]).err().map(|denial| denial.reason), expected);
    }
}

#[test]
fn a_constraint_on_e_mail_addresses_is_about_those_in_the_subject_too() {
    let address = rcgen::DnType::CustomDnType(vec![1, 2, 840, 113549, 1, 9, 1]);
    for constrained in [false, true] {
        let constraint = constrained.then(|| permitted(GeneralSubtree::Rfc822Name("example.com".to_owned()))).flatten();
        let root = Ca::root("root");
        let middle = root.sub("middle", |params| params.name_constraints = constraint.clone());
        let (in_root, anchor) = (Ca::root_with("root", |params| params.name_constraints = constraint), &root.der);
        let mtls = trusting(&usual(), &[anchor]);
        let with_address = |params: &mut CertificateParams| params.distinguished_name.push(address.clone(), "admin@example.net");
        let expected = constrained.then_some(Reason::MtlsConstraint);
        assert!(verify(&mtls, &[&middle.leaf(|_| {}), &middle.der]).is_ok());
        assert_eq!(verify(&mtls, &[&middle.leaf(with_address), &middle.der]).err().map(|denial| denial.reason), expected);
        let mtls = trusting(&usual(), &[&in_root.der]);
        assert!(verify(&mtls, &[&in_root.leaf(|_| {})]).is_ok());
        assert_eq!(verify(&mtls, &[&in_root.leaf(with_address)]).err().map(|denial| denial.reason), expected);
    }
}

#[test]
fn what_is_not_a_certificate_is_refused() {
    let (_, middle, mtls) = world();
    let good = middle.leaf(|_| {});
    assert!(verify(&mtls, &[&good, &middle.der]).is_ok());
    let trailing = [&good[..], &[0]].concat();
    for bad in [&b""[..], b"\x30\x00", b"garbage", &good[1..], &good[..good.len() - 1], &trailing] {
        assert_eq!(reason(verify(&mtls, &[bad, &middle.der])), Reason::MtlsCertificateInvalid);
    }
    // One on the way that is none leads nowhere, and does not hide one that does.
    assert_eq!(reason(verify(&mtls, &[&good, b"garbage"])), Reason::MtlsCertificateInvalid);

    let extension = |critical: bool| {
        let mut extension = CustomExtension::from_oid_content(&[1, 3, 6, 1, 4, 1, 99999, 1], vec![5, 0]);
        extension.set_criticality(critical);
        extension
    };
    assert_eq!(leaf(|params| params.custom_extensions = vec![extension(false)]), Ok(()));
    assert_eq!(leaf(|params| params.custom_extensions = vec![extension(true)]), Err(Reason::MtlsCertificateInvalid));
    assert_eq!(below(|params| params.custom_extensions = vec![extension(true)]), Err(Reason::MtlsCertificateInvalid));
    let twice = CustomExtension::from_oid_content(&[2, 5, 29, 17], vec![0x30, 0x03, 0x82, 0x01, b'a']);
    assert_eq!(leaf(|params| params.custom_extensions = vec![twice]), Err(Reason::MtlsCertificateInvalid));
}

#[test]
fn finding_a_path_is_bounded() {
    let root = Ca::root("same");
    let mtls = trusting(&usual(), &[&root.der]);
    let good = root.leaf(|_| {});
    // Each could have issued each other and each the leaf; none did.
    let others: Vec<_> = (0..5).map(|_| Ca::root("same")).collect();
    let stranger = Ca::root("same").leaf(|_| {});
    let chain = |leaf| std::iter::once(leaf).chain(others.iter().map(|other| &other.der[..])).collect::<Vec<_>>();
    assert_eq!(reason(verify(&mtls, &chain(&stranger))), Reason::MtlsTooComplex);
    assert!(verify(&mtls, &chain(&good)).is_ok());
}

#[test]
fn the_anchor_a_path_ends_at_decides_what_counts() {
    let (one, two) = (Ca::root("one"), Ca::root("two"));
    let toml = format!(
        "{}\n[[anchor]]\nname = \"other\"\ncertificates = [\"other.crt\"]\nprefix = \"other/\"\ntrust_domains = [\"other.org\"]",
        usual()
    );
    let (first, second) = (pem("CERTIFICATE", &[&one.der]), pem("CERTIFICATE", &[&two.der]));
    let mtls = load(&bundle(&toml, &[("ca/corp.pem", first.as_bytes()), ("ca/other.crt", second.as_bytes())])).unwrap();
    let named = |id: &'static str| move |params: &mut CertificateParams| params.subject_alt_names = vec![uri(id)];
    let by_dns = |params: &mut CertificateParams| params.subject_alt_names = vec![dns("a.example")];
    let (own, foreign) = (ID, "spiffe://other.org/service");
    let identity = verify(&mtls, &[&one.leaf(named(own))]).unwrap();
    assert_eq!((identity.principal.as_str(), identity.anchor.as_str()), (own, "corp"));
    let identity = verify(&mtls, &[&two.leaf(named(foreign))]).unwrap();
    assert_eq!((identity.principal.as_str(), identity.anchor.as_str()), (foreign, "other"));
    assert_eq!(reason(verify(&mtls, &[&one.leaf(named(foreign))])), Reason::MtlsSpiffe);
    assert_eq!(reason(verify(&mtls, &[&two.leaf(named(own))])), Reason::MtlsSpiffe);
    assert_eq!(verify(&mtls, &[&one.leaf(by_dns)]).unwrap().principal, "dns:a.example");
    assert_eq!(verify(&mtls, &[&two.leaf(by_dns)]).unwrap().principal, "other/dns:a.example");
}

#[test]
fn serial_numbers_are_told_as_revocations_write_them() {
    let (_, middle, mtls) = world();
    for (raw, written) in
        [(&[0x0a, 0xbc][..], "abc"), (&[7], "7"), (&[0], "0"), (&[0x80, 0], "8000"), (&[1; 20], "101010101010101010101010101010101010101")]
    {
        let leaf = middle.leaf(|params| params.serial_number = Some(SerialNumber::from_slice(raw)));
        assert_eq!(verify(&mtls, &[&leaf, &middle.der]).unwrap().serial, written);
    }
    let long = middle.leaf(|params| params.serial_number = Some(SerialNumber::from_slice(&[1; 22])));
    assert_eq!(reason(verify(&mtls, &[&long, &middle.der])), Reason::MtlsCertificateInvalid);
    // rcgen writes no negative one: 0x0abc becomes -17732.
    let good = middle.leaf(|_| {});
    let place = good.windows(4).position(|window| window == [2, 2, 0x0a, 0xbc]).unwrap();
    let mut negative = good.clone();
    negative[place + 2] = 0xba;
    assert!(verify(&mtls, &[&negative, &middle.der]).is_err());
}
