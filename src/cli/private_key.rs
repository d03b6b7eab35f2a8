//! Whether a file holds a private key, in whichever of the usual wrappings.
//!
//! A net under [`crate::identity::Issuers::load`], which refuses private keys in the key files it is given: this one also sees
//! files that would never be read, because a key that lies in `keys/` is one commit away from being public.

use serde_json::Value;

/// What kind of private key `bytes` hold, if any.
///
/// SECURITY: rather one report too many. The forms are recognised by how they start, without parsing what follows.
pub(super) fn find(bytes: &[u8]) -> Option<&'static str> {
    if der(bytes) {
        return Some("a private key in DER");
    }
    if bytes.starts_with(&[0xfe, 0xed, 0xfe, 0xed]) {
        return Some("a Java key store");
    }
    let text = String::from_utf8_lossy(bytes);
    if pem(&text) {
        return Some("a private key in PEM");
    }
    if text.contains("PuTTY-User-Key-File-") {
        return Some("a PuTTY private key");
    }
    if text.contains("AGE-SECRET-KEY-1") {
        return Some("an age secret key");
    }
    if text.trim_start().starts_with(['{', '[']) && serde_json::from_str(&text).is_ok_and(|value| jwk(&value)) {
        return Some("a private or symmetric JWK");
    }
    None
}

/// `-----BEGIN … PRIVATE KEY …-----`: PKCS#8 plain and encrypted, PKCS#1, SEC 1, OpenSSH, OpenPGP.
fn pem(text: &str) -> bool {
    text.split("-----BEGIN ").skip(1).any(|rest| rest.split_once("-----").is_some_and(|(label, _)| label.contains("PRIVATE KEY")))
}

/// A SEQUENCE whose first element is a small version number: PKCS#1, PKCS#8, SEC 1, PKCS#12. A certificate or a public key
/// starts with another SEQUENCE. Encrypted PKCS#8 starts as a public key does, with an algorithm, but of PKCS#5.
fn der(bytes: &[u8]) -> bool {
    let [0x30, rest @ ..] = bytes else { return false };
    let ([0..=0x7f, body @ ..] | [0x81, _, body @ ..] | [0x82, _, _, body @ ..] | [0x83, _, _, _, body @ ..]) = rest else {
        return false;
    };
    const PKCS5: &[u8] = &[0x06, 0x09, 0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x05];
    matches!(body, [0x02, 0x01, 0..=3, ..]) || matches!(body, [0x30, _, algorithm @ ..] if algorithm.starts_with(PKCS5))
}

/// An object with `kty` and one of the private members of RFC 7518, sections 6.2.2, 6.3.2 and 6.4.1, at any depth.
fn jwk(value: &Value) -> bool {
    match value {
        Value::Object(object) => {
            let private = || ["d", "p", "q", "dp", "dq", "qi", "oth", "k"].iter().any(|member| object.contains_key(*member));
            (object.contains_key("kty") && private()) || object.values().any(jwk)
        }
        Value::Array(values) => values.iter().any(jwk),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use base64::Engine as _;
    use base64::engine::general_purpose::STANDARD;
    use ring::signature::KeyPair as _;

    use super::*;

    #[test]
    fn every_usual_form_of_a_private_key_is_seen() {
        let rng = ring::rand::SystemRandom::new();
        let ed25519 = ring::signature::Ed25519KeyPair::generate_pkcs8(&rng).unwrap();
        let p256 = ring::signature::EcdsaKeyPair::generate_pkcs8(&ring::signature::ECDSA_P256_SHA256_FIXED_SIGNING, &rng).unwrap();
        let encrypted = STANDARD.decode("MIGbMFcGCSqGSIb3DQEFDTBK").unwrap();
        let cases: &[(&str, &[u8])] = &[
            ("Ed25519 PKCS#8", ed25519.as_ref()),
            ("P-256 PKCS#8", p256.as_ref()),
            ("PKCS#1", &[0x30, 0x82, 0x04, 0xa3, 0x02, 0x01, 0x00, 0x02, 0x82]),
            ("SEC 1", &[0x30, 0x77, 0x02, 0x01, 0x01, 0x04]),
            ("PKCS#12", &[0x30, 0x82, 0x0a, 0x01, 0x02, 0x01, 0x03, 0x30]),
            ("encrypted PKCS#8", &encrypted),
            ("JKS", &[0xfe, 0xed, 0xfe, 0xed, 0, 0, 0, 2]),
            ("PEM", b"-----BEGIN PRIVATE KEY-----\nMC4C"),
            ("PEM after a certificate", b"-----BEGIN CERTIFICATE-----\nMII\n-----END CERTIFICATE-----\n-----BEGIN EC PRIVATE KEY-----\n"),
            ("encrypted PEM", b"-----BEGIN ENCRYPTED PRIVATE KEY-----\n"),
            ("OpenSSH", b"-----BEGIN OPENSSH PRIVATE KEY-----\n"),
            ("OpenPGP", b"-----BEGIN PGP PRIVATE KEY BLOCK-----\n"),
            ("not UTF-8 around it", b"\xff\xff-----BEGIN RSA PRIVATE KEY-----\n"),
            ("PuTTY", b"PuTTY-User-Key-File-3: ssh-ed25519"),
            ("JWK", br#"{"kty":"OKP","crv":"Ed25519","x":"","d":"AA"}"#),
            ("JWKS", br#" {"keys":[{"kty":"EC","x":""},{"kty":"oct","k":"AA"}]}"#),
        ];
        for (name, bytes) in cases {
            assert!(find(bytes).is_some(), "{name}");
        }
    }

    #[test]
    fn public_material_is_not_taken_for_private() {
        let certified = rcgen::generate_simple_self_signed(["a.test".to_owned()]).unwrap();
        let rng = ring::rand::SystemRandom::new();
        let pkcs8 = ring::signature::Ed25519KeyPair::generate_pkcs8(&rng).unwrap();
        let pair = ring::signature::Ed25519KeyPair::from_pkcs8(pkcs8.as_ref()).unwrap();
        let mut spki = vec![0x30, 0x2a, 0x30, 0x05, 0x06, 0x03, 0x2b, 0x65, 0x70, 0x03, 0x21, 0x00];
        spki.extend_from_slice(pair.public_key().as_ref());
        let certificate_pem = certified.cert.pem();
        let cases: &[(&str, &[u8])] = &[
            ("certificate", certified.cert.der()),
            ("certificate PEM", certificate_pem.as_bytes()),
            ("SPKI", &spki),
            ("public PEM", b"-----BEGIN PUBLIC KEY-----\nMCow"),
            ("JWKS", br#"{"keys":[{"kty":"RSA","n":"AQ","e":"AQAB","kid":"d"}]}"#),
            ("JSON with d but no key", br#"{"d":1}"#),
            ("text about private keys", b"A private key in here fails the build (BEGIN PRIVATE KEY)."),
            ("empty", b""),
            ("one byte", b"0"),
        ];
        for (name, bytes) in cases {
            assert_eq!(find(bytes), None, "{name}");
        }
    }
}
