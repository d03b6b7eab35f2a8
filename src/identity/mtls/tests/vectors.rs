//! RFC 9440, appendix A: the example's own certificates and fields.

use super::support::*;
use crate::decision::{Reason, UnixTime};
use crate::identity::NameKind;

const CLIENT: &str = include_str!("../../../../tests/data/identity/rfc9440/client.pem");
const INTERMEDIATE: &str = include_str!("../../../../tests/data/identity/rfc9440/intermediate.pem");
const ROOT: &str = include_str!("../../../../tests/data/identity/rfc9440/root.pem");

/// A `Client-Cert` value as in the RFC, without the line breaks it has there for display.
fn sequence(pem: &str) -> String {
    format!(":{}:", pem.lines().filter(|line| !line.starts_with("-----")).collect::<String>())
}

#[test]
fn the_example_of_rfc_9440_is_accepted_while_it_is_valid() {
    let toml = toml("form = \"rfc9440\"\nnames = [\"email\"]", "");
    let mtls = load(&bundle(&toml, &[("ca/corp.pem", ROOT.as_bytes())])).unwrap();
    let fields = [("client-cert", sequence(CLIENT)), ("client-cert-chain", format!("{}, {}", sequence(INTERMEDIATE), sequence(ROOT)))];
    let fields = fields.each_ref().map(|(name, value)| (*name, value.as_str()));
    let chain = chain(arrive(&mtls, &fields));
    let chain: Vec<_> = chain.iter().map(Vec::as_slice).collect();
    assert_eq!(chain.len(), 3);

    // 2020-06-01T00:00:00Z.
    let identity = verify_at(&mtls, &chain, UnixTime(1_590_969_600)).unwrap();
    assert_eq!(identity.principal, "email:bdc@example.com");
    assert_eq!(identity.named_by, NameKind::Email);
    assert_eq!(identity.subject, "CN=BC");
    assert_eq!(identity.issuer, "CN=LA Intermediate CA,O=Let's Authenticate");
    assert_eq!(identity.serial, "7");
    assert_eq!(identity.anchor, "corp");
    assert_eq!((identity.not_before, identity.not_after), (UnixTime(1_579_042_533), UnixTime(1_611_442_533)));
    // `openssl x509 -fingerprint -sha256`.
    assert_eq!(identity.fingerprint.to_string(), FINGERPRINT);
    assert_eq!(verify_at(&mtls, &chain[..2], UnixTime(1_590_969_600)).unwrap(), identity);

    // 2019-12-31 and 2026-01-01.
    assert_eq!(reason(verify_at(&mtls, &chain, UnixTime(1_577_750_400))), Reason::MtlsNotYetValid);
    assert_eq!(reason(verify_at(&mtls, &chain, UnixTime(1_767_225_600))), Reason::MtlsExpired);
    // To the second.
    assert!(verify_at(&mtls, &chain, identity.not_before).is_ok() && verify_at(&mtls, &chain, identity.not_after).is_ok());
    assert_eq!(reason(verify_at(&mtls, &chain, UnixTime(identity.not_before.0 - 1))), Reason::MtlsNotYetValid);
    assert_eq!(reason(verify_at(&mtls, &chain, UnixTime(identity.not_after.0 + 1))), Reason::MtlsExpired);
    assert_eq!(reason(verify_at(&mtls, &chain[..1], UnixTime(1_590_969_600))), Reason::MtlsChain);
}

const FINGERPRINT: &str = "bfaf1f7e070f9fa8dd62905f158da73f84a1136624fbafcc9393c8f7287a69eb";
