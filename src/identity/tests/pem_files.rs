//! PEM files as OpenSSL writes them, and what must not lie in `keys/`.

use super::support::*;
use crate::identity::pem;

macro_rules! data {
    ($name:literal) => {
        include_bytes!(concat!("../../../tests/data/identity/", $name)).as_slice()
    };
}

fn with_pem(name: &str, bytes: &[u8]) -> crate::bundle::Bundle {
    bundle(&issuer_toml(ALL_ALGORITHMS).replace("corp.json", name), &[(name, bytes)])
}

#[test]
fn public_keys_and_certificates_verify_what_their_private_key_signed() {
    let p256 = pem_contents(include_str!("../../../tests/data/identity/test-only-p256-private.pem"));
    let ed25519 = pem_contents(include_str!("../../../tests/data/identity/test-only-ed25519-private.pem"));
    for (file, algorithm, pkcs8) in [
        (data!("rsa-2048-public.pem"), "RS256", rsa_pkcs8()),
        (data!("rsa-2048-public.pem"), "PS512", rsa_pkcs8()),
        (data!("p256-public.pem"), "ES256", p256.clone()),
        // Long expired: what makes it trusted is where it lies.
        (data!("p256-certificate-expired.pem"), "ES256", p256),
        (data!("ed25519-public.pem"), "EdDSA", ed25519),
    ] {
        // The file's name is the `kid`.
        let issuers = load(&with_pem("key-1.pem", file)).unwrap();
        let key = TestKey { algorithm, kid: "key-1", pkcs8 };
        assert_eq!(identify(&issuers, &key.token(&good()), NOW).unwrap().key_id.as_deref(), Some("key-1"));
        let other = TestKey { kid: "key-2", ..key };
        assert!(identify(&issuers, &other.token(&good()), NOW).is_err());
    }
    assert!(load(&with_pem("p384.pem", data!("p384-public.pem"))).is_ok());
}

#[test]
fn private_keys_fail_the_load() {
    for file in [
        data!("test-only-rsa-2048-private.pem"),
        data!("test-only-p256-private.pem"),
        data!("test-only-p256-sec1-private.pem"),
        data!("test-only-ed25519-private.pem"),
    ] {
        assert!(pem::private_key_at(file).is_some());
        assert_eq!(pem::read(file, "k").problems[0].code, "key.private");
        let both = [data!("p256-public.pem"), file].concat();
        let found = pem::read(&both, "k").problems.remove(0);
        assert_eq!((found.code, found.offset.is_some()), ("key.private", true));
        // Also in a file that has no meaning.
        let codes: Vec<_> = load(&bundle("version = 1", &[("server.key", file)])).unwrap_err().iter().map(|p| p.code).collect();
        assert_eq!(codes, ["bundle.unknown_file", "key.private"]);
    }
    assert_eq!(pem::private_key_at(data!("p256-public.pem")), None);
}

#[test]
fn other_keys_are_refused_with_what_to_do() {
    for (file, code) in [
        (data!("rsa-1024-public.pem"), "key.weak"),
        (data!("rsa-2048-pkcs1-public.pem"), "key.unsupported"),
        (data!("rsa-pss-restricted-public.pem"), "key.unsupported"),
        (data!("p521-public.pem"), "key.unsupported"),
        (data!("secp256k1-public.pem"), "key.unsupported"),
        (data!("p256-compressed-public.pem"), "key.unsupported"),
        (data!("p256-explicit-parameters-public.pem"), "key.unsupported"),
        (data!("ed448-public.pem"), "key.unsupported"),
        (data!("x25519-public.pem"), "key.unsupported"),
        (b"", "key.syntax"),
        (b"not pem", "key.syntax"),
        (b"-----BEGIN PUBLIC KEY-----\nAAAA\n-----END PUBLIC KEY-----\n", "key.syntax"),
        (b"-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n", "key.syntax"),
        (b"-----BEGIN PUBLIC KEY-----\n!\n-----END PUBLIC KEY-----\n", "key.syntax"),
        (b"-----BEGIN PUBLIC KEY-----\nAAAA\n", "key.syntax"),
        (b"-----BEGIN X509 CRL-----\nAAAA\n-----END X509 CRL-----\n", "key.unsupported"),
        (b"\xff-----BEGIN PUBLIC KEY-----", "key.syntax"),
    ] {
        let problem = problem(&with_pem("k.pem", file));
        assert_eq!((problem.code, problem.file.as_str()), (code, "keys/k.pem"), "{problem}");
    }
    let two = [data!("p256-public.pem"), data!("p384-public.pem")].concat();
    assert_eq!(problem(&with_pem("k.pem", &two)).code, "key.syntax");
}

#[test]
fn bytes_after_the_key_are_refused() {
    let mut der = pem_contents(include_str!("../../../tests/data/identity/p256-public.pem"));
    der.push(0);
    let body = base64::Engine::encode(&base64::engine::general_purpose::STANDARD, der);
    let file = format!("-----BEGIN PUBLIC KEY-----\n{body}\n-----END PUBLIC KEY-----\n");
    assert_eq!(pem::read(file.as_bytes(), "k").problems[0].code, "key.syntax");
}

#[test]
fn a_key_that_is_not_whole_bytes_is_refused() {
    // y = 3 is a point; the bit string says how many of its last bits do not count.
    let prefix = [0x30, 0x2a, 0x30, 0x05, 0x06, 0x03, 0x2b, 0x65, 0x70, 0x03, 0x21];
    let file = |unused: u8| {
        let der = [&prefix[..], &[unused, 3], &[0; 31]].concat();
        format!(
            "-----BEGIN PUBLIC KEY-----\n{}\n-----END PUBLIC KEY-----\n",
            base64::Engine::encode(&base64::engine::general_purpose::STANDARD, der)
        )
    };
    assert_eq!(pem::read(file(0).as_bytes(), "k").keys.len(), 1);
    assert_eq!(pem::read(file(1).as_bytes(), "k").problems[0].code, "key.invalid");
}
