//! Client certificates: two of the forms in which they arrive, and the certificates themselves.

use std::sync::LazyLock;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use cedargate::bundle::{Digest, Gate};
use cedargate::identity::{CertificateIdentity, Identity};

use crate::world::{Key, NOW, ask, gate};

/// A client's certificate below an intermediate, with a SPIFFE id.
pub(crate) const LEAF: &[u8] = include_bytes!("../world/leaf.der");
/// The intermediate.
#[cfg(test)]
pub(crate) const SUB: &[u8] = include_bytes!("../world/sub.der");
/// A client's certificate directly below the root, with other names.
pub(crate) const NAMED: &[u8] = include_bytes!("../world/named.der");
/// What somebody else's root signed, with our root's name.
#[cfg(test)]
pub(crate) const STRANGER: &[u8] = include_bytes!("../world/stranger.der");

static XFCC: LazyLock<Gate> = LazyLock::new(|| gate(Some("form = \"xfcc\"")));
static RFC9440: LazyLock<Gate> = LazyLock::new(|| gate(Some("form = \"rfc9440\"")));
static DER: LazyLock<Gate> = LazyLock::new(|| gate(Some("form = \"der\"\nheader = \"x-leaf\"\nchain_header = \"x-chain\"")));

/// The certificate a request with these fields is believed to be from.
fn believed(gate: &Gate, fields: &[(&str, &[u8])]) -> Option<CertificateIdentity> {
    let decision = ask(gate, fields)?;
    match decision.identity {
        Identity::Certificate { certificate, token: None } => Some(*certificate),
        Identity::Anonymous => {
            let blank = fields.iter().all(|(_, value)| value.iter().all(|byte| matches!(byte, b' ' | b'\t')));
            assert!(blank || decision.outcome.is_err(), "a certificate that was refused counted for none: {fields:?}");
            None
        }
        other => panic!("a certificate cannot make {other:?}"),
    }
}

/// Only two certificates were signed; their names are these.
fn check(certificate: &CertificateIdentity) {
    let principal = certificate.principal.as_str();
    match certificate.fingerprint {
        leaf if leaf == Digest::of(LEAF) => assert_eq!(principal, "spiffe://fuzz.example/worker"),
        named if named == Digest::of(NAMED) => assert!(principal.starts_with("fuzz/"), "{principal}"),
        other => panic!("nobody signed the certificate {other}: {certificate:?}"),
    }
}

/// The bytes are the value of `x-forwarded-client-cert`.
pub fn xfcc(data: &[u8]) -> bool {
    let Some(certificate) = believed(&XFCC, &[("x-forwarded-client-cert", data)]) else { return false };
    check(&certificate);
    assert!(data.len() > 300, "a certificate does not fit into {} bytes", data.len());
    true
}

/// The first line is the value of `Client-Cert`, each other that of a `Client-Cert-Chain` (RFC 9440).
pub fn structured_field(data: &[u8]) -> bool {
    let fields: Vec<(&str, &[u8])> = data
        .split(|byte| *byte == b'\n')
        .enumerate()
        .map(|(index, line)| (if index == 0 { "client-cert" } else { "client-cert-chain" }, line))
        .collect();
    let Some(certificate) = believed(&RFC9440, &fields) else { return false };
    check(&certificate);
    // A byte sequence has one spelling here.
    let leaf = if certificate.fingerprint == Digest::of(LEAF) { LEAF } else { NAMED };
    let text = std::str::from_utf8(fields[0].1).expect("believed, and not text");
    assert_eq!(text.trim_matches(' '), format!(":{}:", STANDARD.encode(leaf)));
    true
}

/// First byte 0: the rest is a chain, DER after DER, the client's first. Any other: the rest is what a certificate says, which
/// the trusted root signs, so that the fuzzer comes past the signature.
pub fn certificate(data: &[u8]) -> bool {
    let Some((kind, rest)) = data.split_first() else { return false };
    let (leaf, chain) = if *kind == 0 { split(rest) } else { (sign(rest), &[][..]) };
    let (leaf, chain) = (STANDARD.encode(leaf), STANDARD.encode(chain));
    let mut fields: Vec<(&str, &[u8])> = vec![("x-leaf", leaf.as_bytes())];
    if !chain.is_empty() {
        fields.push(("x-chain", chain.as_bytes()));
    }
    let Some(certificate) = believed(&DER, &fields) else { return false };
    if *kind == 0 {
        check(&certificate);
    } else {
        plausible(&certificate);
    }
    true
}

/// The first DER value, as far as its length can be read, and what follows.
fn split(bytes: &[u8]) -> (Vec<u8>, &[u8]) {
    let length = match bytes {
        [_, 0x82, high, low, ..] => 4 + usize::from(u16::from_be_bytes([*high, *low])),
        [_, 0x81, length, ..] => 3 + usize::from(*length),
        [_, length @ 0..=0x7f, ..] => 2 + usize::from(*length),
        _ => bytes.len(),
    };
    let (first, rest) = bytes.split_at(length.min(bytes.len()));
    (first.to_vec(), rest)
}

/// A DER value with its length in the fewest bytes.
fn der(tag: u8, contents: &[u8]) -> Vec<u8> {
    let length = contents.len();
    let mut out = vec![tag];
    match length {
        0..=0x7f => out.push(length as u8),
        0x80..=0xff => out.extend([0x81, length as u8]),
        _ => out.extend([0x82, (length >> 8) as u8, length as u8]),
    }
    out.extend_from_slice(contents);
    out
}

/// A certificate of the trusted root that says `tbs` (RFC 5280, section 4.1), or a prefix of it that fits.
fn sign(tbs: &[u8]) -> Vec<u8> {
    let tbs = &tbs[..tbs.len().min(60_000)];
    let ed25519 = [0x30, 0x05, 0x06, 0x03, 0x2b, 0x65, 0x70];
    let signature = [vec![0], Key::Authority.sign(tbs)].concat();
    der(0x30, &[tbs, &ed25519, &der(0x03, &signature)].concat())
}

/// What must hold of any certificate that is believed, whatever its authority signed.
fn plausible(certificate: &CertificateIdentity) {
    let CertificateIdentity { principal, dns_names, emails, uris, ip_addresses, spiffe_id, serial, .. } = certificate;
    assert!(certificate.not_before.0 <= NOW && NOW <= certificate.not_after.0, "not valid now: {certificate:?}");
    assert!(principal.len() < 4096 && !principal.chars().any(char::is_control), "{principal:?}");
    match spiffe_id {
        Some(id) => {
            assert!(id.starts_with("spiffe://fuzz.example/") && principal == id && *uris == [id.clone()], "{certificate:?}");
            assert!(!id.contains(['?', '#', '%']), "{id}");
        }
        None => assert!(["fuzz/dns:", "fuzz/email:", "fuzz/subject:"].iter().any(|start| principal.starts_with(start)), "{principal}"),
    }
    for names in [dns_names, emails, uris] {
        assert!(names.is_sorted_by(|a, b| a < b), "{names:?}");
    }
    for name in dns_names.iter().chain(emails).chain(uris).chain(ip_addresses) {
        assert!(!name.chars().any(char::is_control), "{name:?}");
    }
    assert!(!["fuzz/dns:", "fuzz/email:", "fuzz/subject:"].contains(&principal.as_str()), "a name without characters: {principal}");
    assert!(dns_names.iter().all(|name| !name.bytes().any(|byte| byte.is_ascii_uppercase())), "{dns_names:?}");
    assert!(!serial.is_empty() && serial.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f')), "{serial}");
}

/// What the certificate `der` says, without the signature.
#[cfg(test)]
pub(crate) fn tbs(der: &[u8]) -> Vec<u8> {
    // SEQUENCE { SEQUENCE tbs, … }: both lengths take two bytes.
    split(&der[4..]).0
}
