//! What a certificate says, and the principal it names.

use rcgen::{CertificateParams, CustomExtension, DistinguishedName, DnType, DnValue, KeyUsagePurpose, SanType};

use super::support::*;
use crate::bundle::Digest;
use crate::decision::Reason;
use crate::identity::NameKind;
use crate::limits;

/// The principal of a leaf that differs, with these `names`.
fn named(names: &str, change: impl FnOnce(&mut CertificateParams)) -> Result<(NameKind, String), Reason> {
    let root = Ca::root("root");
    let mtls = trusting(
        &toml(
            &format!("form = \"rfc9440\"\nnames = {names}"),
            "trust_domains = [\"example.org\", \"sub.example.org\"]\nprefix = \"corp/\"",
        ),
        &[&root.der],
    );
    verify(&mtls, &[&root.leaf(change)]).map(|identity| (identity.named_by, identity.principal)).map_err(|denial| denial.reason)
}

fn with(names: Vec<SanType>) -> impl FnOnce(&mut CertificateParams) {
    move |params| params.subject_alt_names = names
}

const ALL: &str = r#"["spiffe", "dns", "email", "subject"]"#;

#[test]
fn the_first_configured_kind_of_name_is_the_principal() {
    let all = || with(vec![uri(ID), dns("Client.Example.com"), email("Ann@Example.com")]);
    for (names, kind, principal) in [
        (ALL, NameKind::Spiffe, ID),
        (r#"["dns", "spiffe"]"#, NameKind::Dns, "corp/dns:client.example.com"),
        (r#"["email"]"#, NameKind::Email, "corp/email:Ann@example.com"),
        (r#"["subject", "spiffe"]"#, NameKind::Subject, "corp/subject:CN=client"),
    ] {
        assert_eq!(named(names, all()), Ok((kind, principal.to_owned())), "{names}");
    }
    // A kind it does not have gives way to the next.
    assert_eq!(named(ALL, with(vec![email("a@b.c")])), Ok((NameKind::Email, "corp/email:a@b.c".to_owned())));
    assert_eq!(named(ALL, with(vec![uri("https://example.com/")])), Ok((NameKind::Subject, "corp/subject:CN=client".to_owned())));
    assert_eq!(named(r#"["dns", "email"]"#, with(vec![])), Err(Reason::MtlsNameMissing));
    assert_eq!(named(r#"["spiffe"]"#, with(vec![dns("a.example")])), Err(Reason::MtlsNameMissing));
    let nobody = |params: &mut CertificateParams| {
        params.subject_alt_names = vec![];
        params.distinguished_name = DistinguishedName::new();
    };
    assert_eq!(named(ALL, nobody), Err(Reason::MtlsNameMissing));
}

#[test]
fn a_name_that_is_one_of_several_names_nobody() {
    let missing = Err(Reason::MtlsNameMissing);
    assert_eq!(named(ALL, with(vec![dns("a.example"), dns("A.EXAMPLE")])), Ok((NameKind::Dns, "corp/dns:a.example".to_owned())));
    assert_eq!(named(ALL, with(vec![dns("a.example"), dns("b.example")])), missing);
    assert_eq!(named(ALL, with(vec![email("a@b.c"), email("b@b.c")])), missing);
    // Not a fall to the next kind either.
    assert_eq!(named(r#"["dns", "email"]"#, with(vec![dns("*.example"), email("a@b.c")])), missing);
    for bad in ["*.example.com", "example.com.", ".example.com", "a..b", "a b", "", "a/b", "dns:a", "a@b"] {
        assert_eq!(named(ALL, with(vec![dns(bad)])), missing, "{bad}");
    }
    for bad in ["a", "@b.c", "a@", "a b@c.d", "a@b@c.d", "\"a\"@b.c", "a..b@c.d", ".a@b.c", "a@*.c", "a@b.c.", "a@[127.0.0.1]"] {
        assert_eq!(named(ALL, with(vec![email(bad)])), missing, "{bad}");
    }
}

#[test]
fn a_spiffe_id_keeps_its_rules_or_is_refused() {
    let spiffe = |names: Vec<SanType>| named(ALL, with(names));
    assert_eq!(spiffe(vec![uri(ID)]), Ok((NameKind::Spiffe, ID.to_owned())));
    assert_eq!(spiffe(vec![uri(ID), dns("a.example"), email("a@b.c")]), Ok((NameKind::Spiffe, ID.to_owned())));
    assert!(spiffe(vec![uri("spiffe://sub.example.org/a")]).is_ok());
    let broken = Err(Reason::MtlsSpiffe);
    for bad in [
        vec![uri(ID), uri("spiffe://example.org/other")],
        vec![uri(ID), uri("https://example.com/")],
        vec![uri(ID), uri(ID)],
        vec![uri("https://example.com/"), uri(ID), dns("a.example")],
        vec![uri("spiffe://other.org/service"), dns("a.example")],
        vec![uri("spiffe://other.sub.example.org/service")],
        vec![uri("spiffe://example.org.evil.test/service")],
        vec![uri("SPIFFE://example.org/service"), dns("a.example")],
        vec![uri("spiffe:example.org"), dns("a.example")],
        vec![uri("spiffe://example.org/a?b"), dns("a.example")],
        vec![uri("spiffe://example.org/a#b")],
        vec![uri("spiffe://example.org")],
    ] {
        assert_eq!(spiffe(bad.clone()), broken, "{bad:?}");
    }
    // X509-SVID: digital signature, and none of what authorities do.
    let usages = |usages: Vec<KeyUsagePurpose>| named(ALL, |params| params.key_usages = usages);
    assert!(usages(vec![KeyUsagePurpose::DigitalSignature, KeyUsagePurpose::KeyEncipherment]).is_ok());
    for bad in [
        vec![],
        vec![KeyUsagePurpose::KeyAgreement],
        vec![KeyUsagePurpose::DigitalSignature, KeyUsagePurpose::CrlSign],
        vec![KeyUsagePurpose::DigitalSignature, KeyUsagePurpose::KeyCertSign],
    ] {
        assert_eq!(usages(bad), broken);
    }
    // Where SPIFFE ids name nobody, a broken one is only a URI, and no SPIFFE id.
    let root = Ca::root("root");
    let mtls = trusting(&toml("form = \"rfc9440\"\nnames = [\"dns\"]", ""), &[&root.der]);
    let identity = verify(&mtls, &[&root.leaf(|_| {})]).unwrap();
    assert_eq!((identity.spiffe_id, identity.uris), (None, vec![ID.to_owned()]));
}

#[test]
fn everything_policies_see_is_there() {
    let root = Ca::root("root");
    let mtls = trusting(&usual(), &[&root.der]);
    let key = key();
    let der = root.leaf_of(&key, |params| {
        params.subject_alt_names = vec![
            uri(ID),
            dns("B.example"),
            dns("a.example"),
            dns("b.EXAMPLE"),
            email("b@b.c"),
            email("a@b.c"),
            SanType::IpAddress("2001:db8::1".parse().unwrap()),
            SanType::IpAddress("192.0.2.1".parse().unwrap()),
            SanType::IpAddress("::ffff:192.0.2.1".parse().unwrap()),
        ];
    });
    let identity = verify(&mtls, &[&der]).unwrap();
    assert_eq!(identity.anchor, "corp");
    assert_eq!((identity.principal.as_str(), identity.named_by), (ID, NameKind::Spiffe));
    assert_eq!((identity.subject.as_str(), identity.issuer.as_str()), ("CN=client", "CN=root"));
    assert_eq!(identity.serial, "abc");
    assert_eq!(identity.dns_names, ["a.example", "b.example"]);
    assert_eq!(identity.emails, ["a@b.c", "b@b.c"]);
    assert_eq!(identity.uris, [ID]);
    assert_eq!(identity.ip_addresses, ["192.0.2.1", "2001:db8::1"]);
    assert_eq!(identity.spiffe_id.as_deref(), Some(ID));
    assert_eq!(identity.fingerprint, Digest::of(&der));
    assert_eq!(identity.spki_fingerprint, Digest::of(&rcgen::PublicKeyData::subject_public_key_info(&key)));
    // SEQUENCE { SET { SEQUENCE { CN, UTF8String "root" } } }
    let name = b"\x30\x0f\x31\x0d\x30\x0b\x06\x03\x55\x04\x03\x0c\x04root";
    assert_eq!(identity.issuer_digest, Digest::of(name));
    assert_eq!((identity.not_before.0, identity.not_after.0), (1_767_225_600, 1_830_297_600));
}

/// The subject of a leaf with these attributes, in the order of the certificate.
fn subject(attributes: Vec<(DnType, DnValue)>) -> String {
    let change = |params: &mut CertificateParams| {
        params.distinguished_name = DistinguishedName::new();
        attributes.into_iter().for_each(|(kind, value)| params.distinguished_name.push(kind, value));
    };
    let root = Ca::root("root");
    let mtls = trusting(&usual(), &[&root.der]);
    verify(&mtls, &[&root.leaf(change)]).unwrap().subject
}

#[test]
fn names_are_written_so_that_two_never_look_alike() {
    let cn = |text: &str| subject(vec![(DnType::CommonName, text.into())]);
    // RFC 4514, section 4.
    assert_eq!(cn("James \"Jim\" Smith, III"), r#"CN=James \"Jim\" Smith\, III"#);
    assert_eq!(cn("Before\rAfter"), r"CN=Before\0dAfter");
    assert_eq!(cn("Lučić"), "CN=Lučić");
    assert_eq!(cn("#1"), r"CN=\#1");
    assert_eq!(cn(" a  "), r"CN=\ a \ ");
    assert_eq!(cn(" "), r"CN=\ ");
    assert_eq!(cn("a+b;c<d>e\\f=g"), r"CN=a\+b\;c\<d\>e\\f\=g");
    assert_eq!(cn("a\u{202e}b\u{0}"), r"CN=a\e2\80\aeb\00");
    // The most specific part first.
    let two = vec![(DnType::OrganizationName, "Corp".into()), (DnType::CommonName, "a".into())];
    assert_eq!(subject(two), "CN=a,O=Corp");
    assert_eq!(cn("a,O=Corp"), r"CN=a\,O\=Corp");
    // A type without a name, and a text of which readers make different things, are given as their DER.
    let private = vec![(DnType::CustomDnType(vec![1, 3, 6, 1, 4, 1, 99999]), "a".into())];
    assert_eq!(subject(private), "1.3.6.1.4.1.99999=#0c0161");
    let teletex = vec![(DnType::CommonName, DnValue::TeletexString("a".try_into().unwrap()))];
    assert_eq!(subject(teletex), "CN=#140161");
    let printable = vec![(DnType::CommonName, DnValue::PrintableString("a".try_into().unwrap()))];
    assert_eq!(subject(printable), "CN=a");
    let address = vec![(DnType::CustomDnType(vec![1, 2, 840, 113549, 1, 9, 1]), DnValue::Ia5String("a@b.c".try_into().unwrap()))];
    assert_eq!(subject(address), "emailAddress=a@b.c");
}

#[test]
fn odd_alternative_names_are_refused() {
    let raw = |names: &[u8]| {
        let content = [&[0x30, u8::try_from(names.len()).unwrap()], names].concat();
        let extension = CustomExtension::from_oid_content(&[2, 5, 29, 17], content);
        named(r#"["dns", "subject"]"#, move |params| {
            params.subject_alt_names = vec![];
            params.custom_extensions = vec![extension];
        })
    };
    assert_eq!(raw(b"\x82\x03a.b"), Ok((NameKind::Dns, "corp/dns:a.b".to_owned())));
    let invalid = Err(Reason::MtlsCertificateInvalid);
    assert_eq!(raw(b"\x82\x05a.b\0c"), invalid);
    assert_eq!(raw(b"\x82\x04a.b\n"), invalid);
    assert_eq!(raw(b"\x82\x04a.\xc3\xa9"), invalid);
    assert_eq!(raw(b"\x82\x03a.\xff"), invalid);
    assert_eq!(raw(b"\x86\x03a\xffb"), invalid);
    assert_eq!(raw(b"\x81\x02a\x7f"), invalid);
    assert_eq!(raw(b"\x87\x03\x01\x02\x03"), invalid);
    assert_eq!(raw(b"\x87\x04\x01\x02\x03"), invalid);
    assert_eq!(raw(b"\x82\x09a.b"), invalid);
    let many: Vec<u8> = (0..limits::CERTIFICATE_NAMES + 1).flat_map(|_| *b"\x82\x01a").collect();
    let content = [&[0x30, 0x81, u8::try_from(many.len()).unwrap()][..], &many].concat();
    let extension = CustomExtension::from_oid_content(&[2, 5, 29, 17], content);
    let result = named(ALL, |params| {
        params.subject_alt_names = vec![];
        params.custom_extensions = vec![extension];
    });
    assert_eq!(result, Err(Reason::MtlsTooLarge));
    // A name that would not fit a record or a policy.
    let long = named(r#"["subject"]"#, |params| params.distinguished_name.push(DnType::OrganizationName, "o".repeat(2100)));
    assert_eq!(long, Err(Reason::MtlsTooLarge));
}
