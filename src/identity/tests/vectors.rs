//! Published tokens (RFC 7515, RFC 8037) and the primitive vectors of Project Wycheproof.

use std::collections::BTreeSet;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Value, json};
use wycheproof::TestResult;

use super::support::*;
use crate::decision::Reason;
use crate::identity::algorithm::Algorithm;
use crate::identity::key::{Key, KeyType, Material};
use crate::identity::{SignatureBackend, jwk, signing};

/// A key as it is read, and the same prepared, where it can be.
struct Both(Key, Key);

impl Both {
    fn of(key: Key) -> Self {
        let prepared = key.prepare().unwrap_or_else(|| key.clone());
        Self(key, prepared)
    }

    /// What `ring` says of a signature, and the prepared key must say too.
    fn verify(&self, algorithm: Algorithm, message: &[u8], signature: &[u8]) -> bool {
        let Self(read, prepared) = self;
        let by_ring = read.verify(SignatureBackend::Ring, algorithm, message, signature);
        assert_eq!(prepared.verify(SignatureBackend::Prepared, algorithm, message, signature), by_ring, "{algorithm:?}");
        by_ring
    }
}

fn rfc7515_a2() -> (Value, String) {
    let n = "ofgWCuLjybRlzo0tZWJjNiuSfb4p4fAkd_wWJcyQoTbji9k0l8W26mPddxHmfHQp-Vaw-4qPCJrcS2mJPMEzP1Pt0Bm4d4QlL-yRT-SFd2lZS-pCgNMsD1W_YpRPEwOWvG6b32690r2jZ47soMZo9wGzjb_7OMg0LOL-bSf63kpaSHSXndS5z5rexMdbBYUsLA9e-KXBdQOS-UTo7WTBEMa2R2CapHg665xsmtdVMTBQY4uDZlxvb3qCo5ZwKh9kG4LT6_I5IhlJH7aGhyxXFvUK-DWNmoudF8NAco9_h9iaGNj8q2ethFkMLs91kzk2PAcDTW9gb54h4FRWyuXpoQ";
    let token = "eyJhbGciOiJSUzI1NiJ9.eyJpc3MiOiJqb2UiLA0KICJleHAiOjEzMDA4MTkzODAsDQogImh0dHA6Ly9leGFtcGxlLmNvbS9pc19yb290Ijp0cnVlfQ.cC4hiUPoj9Eetdgtv3hF80EGrhuB__dzERat0XF9g2VtQgr9PJbu3XOiZj5RZmh7AAuHIm4Bh-0Qc_lF5YKt_O8W2Fp5jujGbds9uJdbF9CUAr7t1dnZcAcQjbKBYNX4BAynRFdiuB--f_nZLgrnbyTyWzO75vRK5h6xBArLIARNPvkSjtQBMHlb1L07Qe7K0GarZRmB_eSN9383LcOLn6_dO--xi12jzDwusC-eOkHWEsqtFZESc6BfI7noOPqvhJ1phCnvWh6IeYI2w9QOYEUipUTI8np6LbgGY9Fs98rqVt5AXLIhWkWywlVmtVrBp0igcN_IoypGlUPQGe77Rw";
    (json!({ "kty": "RSA", "n": n, "e": "AQAB" }), token.to_owned())
}

fn rfc7515_a3() -> (Value, String) {
    let (x, y) = ("f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU", "x_FEzRu9m36HLN_tue659LNpXW6pCyStikYjKIWI5a0");
    let token = "eyJhbGciOiJFUzI1NiJ9.eyJpc3MiOiJqb2UiLA0KICJleHAiOjEzMDA4MTkzODAsDQogImh0dHA6Ly9leGFtcGxlLmNvbS9pc19yb290Ijp0cnVlfQ.DtEhU3ljbEg8L38VWAfUAqOyKAM6-Xx-F4GawxaepmXFCgfTjDxw5djxLa8ISlSApmWQxfKTUJqPP3-Kg6NU1Q";
    (json!({ "kty": "EC", "crv": "P-256", "x": x, "y": y }), token.to_owned())
}

fn rfc8037_a4() -> (Value, String) {
    let token = "eyJhbGciOiJFZERTQSJ9.RXhhbXBsZSBvZiBFZDI1NTE5IHNpZ25pbmc.hgyY0il_MGCjP0JzlnLWG1PPOt7-09PGcvMg3AIbQR6dWbhijcNR4ki4iylGjg5BhVsPt9g7sVvpAr_MuM0KAg";
    (json!({ "kty": "OKP", "crv": "Ed25519", "x": "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo" }), token.to_owned())
}

#[test]
fn the_published_signatures_verify_and_one_bit_less_does_not() {
    for (name, (public, token), algorithm) in [
        ("RFC 7515 A.2", rfc7515_a2(), Algorithm::Rs256),
        ("RFC 7515 A.3", rfc7515_a3(), Algorithm::Es256),
        ("RFC 8037 A.4", rfc8037_a4(), Algorithm::EdDsa),
    ] {
        let key = Both::of(jwk::read(&jwks(&[public])).keys.remove(0));
        let (input, signature) = token.rsplit_once('.').unwrap();
        let signature = URL_SAFE_NO_PAD.decode(signature).unwrap();
        assert!(key.verify(algorithm, input.as_bytes(), &signature), "{name}");
        for at in 0..signature.len() {
            let mut flipped = signature.clone();
            flipped[at] ^= 1;
            assert!(!key.verify(algorithm, input.as_bytes(), &flipped), "{name}: byte {at}");
        }
        for at in 0..input.len() {
            let mut flipped = input.as_bytes().to_vec();
            flipped[at] ^= 1;
            assert!(!key.verify(algorithm, &flipped, &signature), "{name}: byte {at}");
        }
        let others = Algorithm::ALL.into_iter().filter(|other| *other != algorithm);
        assert!(others.into_iter().all(|other| !key.verify(other, input.as_bytes(), &signature)), "{name}");
    }
}

#[test]
fn the_published_tokens_go_as_far_through_the_gate_as_their_claims_allow() {
    let toml = r#"
        version = 1
        [[issuer]]
        name = "joe"
        iss = "joe"
        audience = "x"
        keys = ["joe.json"]
        algorithms = ["RS256", "ES256", "EdDSA"]
    "#;
    for (public, token) in [rfc7515_a2(), rfc7515_a3()] {
        let issuers = load(&bundle(toml, &[("joe.json", &jwks(&[public]))])).unwrap();
        let at = |token: &str, now| identify(&issuers, token, now).unwrap_err().reason;
        // They have no audience, which is the first thing after the times.
        assert_eq!(at(&token, 1_300_819_380), Reason::JwtAudience);
        assert_eq!(at(&token, 1_300_819_390), Reason::JwtExpired);
        let (input, signature) = token.rsplit_once('.').unwrap();
        let mut signature = URL_SAFE_NO_PAD.decode(signature).unwrap();
        signature[20] ^= 4;
        assert_eq!(at(&format!("{input}.{}", b64(signature)), 1_300_819_380), Reason::JwtSignatureInvalid);
    }
    let (public, token) = rfc8037_a4();
    let issuers = load(&bundle(toml, &[("joe.json", &jwks(&[public]))])).unwrap();
    assert_eq!(reason(&issuers, &token), Reason::JwtClaimsInvalid);
}

#[test]
fn the_published_private_keys_sign_the_same_bytes() {
    // RFC 8037 A.1's seed in PKCS#8 (RFC 8410): Ed25519 is deterministic, so the whole token must come out.
    let seed = URL_SAFE_NO_PAD.decode("nWGxne_9WmC6hEr0kuwsxERJxWl7MmkZcDusAxyuf2A").unwrap();
    let prefix = [0x30, 0x2e, 0x02, 0x01, 0x00, 0x30, 0x05, 0x06, 0x03, 0x2b, 0x65, 0x70, 0x04, 0x22, 0x04, 0x20];
    let key = TestKey { algorithm: "EdDSA", kid: "", pkcs8: [&prefix[..], &seed].concat() };
    let (public, token) = rfc8037_a4();
    assert_eq!(key.token_of(r#"{"alg":"EdDSA"}"#, "Example of Ed25519 signing"), token);
    assert_eq!(signing::public_jwk("EdDSA", &key.pkcs8, "").unwrap()["x"], public["x"]);
}

/// What the vectors of one set did, against the list of those that are known to differ.
struct Tally {
    name: String,
    exceptions: BTreeSet<usize>,
    verified: usize,
    refused: usize,
}

impl Tally {
    fn new(name: impl std::fmt::Debug, exceptions: &[usize]) -> Self {
        Self { name: format!("{name:?}"), exceptions: exceptions.iter().copied().collect(), verified: 0, refused: 0 }
    }

    /// An exception fails here also when it behaves as published: then it has to leave the list.
    fn check(&mut self, id: usize, expected: TestResult, verified: bool, comment: &str) {
        let agrees = match expected {
            TestResult::Valid => verified,
            // "Acceptable" are encodings that a verifier may refuse. This one does.
            TestResult::Invalid | TestResult::Acceptable => !verified,
        };
        assert_ne!(agrees, self.exceptions.contains(&id), "{} {id}: {comment} ({expected:?}, verified: {verified})", self.name);
        if verified { self.verified += 1 } else { self.refused += 1 }
    }
}

fn key(material: Result<Material, crate::identity::key::KeyProblem>) -> Option<Both> {
    material.ok().map(|material| Both::of(Key::new(None, None, material)))
}

#[test]
fn wycheproof_ecdsa() {
    use wycheproof::ecdsa::{TestName, TestSet};
    for (name, algorithm, key_type) in [
        (TestName::EcdsaSecp256r1Sha256P1363, Algorithm::Es256, KeyType::P256),
        (TestName::EcdsaSecp384r1Sha384P1363, Algorithm::Es384, KeyType::P384),
    ] {
        let mut tally = Tally::new(name, &[]);
        for group in TestSet::load(name).unwrap().test_groups {
            let point = &group.key.key[1..];
            let (x, y) = point.split_at(point.len() / 2);
            let key = key(Material::ec(key_type, x, y)).expect("every key of the set is on the curve");
            for test in group.tests {
                tally.check(test.tc_id, test.result, key.verify(algorithm, &test.msg, &test.sig), &test.comment);
            }
        }
        assert!(tally.verified > 150 && tally.refused > 80);
    }
}

#[test]
fn wycheproof_ed25519() {
    use wycheproof::eddsa::{TestName, TestSet};
    let mut tally = Tally::new(TestName::Ed25519, &[]);
    for group in TestSet::load(TestName::Ed25519).unwrap().test_groups {
        let key = key(Material::ed25519(&group.key.pk));
        for test in group.tests {
            let verified = key.as_ref().is_some_and(|key| key.verify(Algorithm::EdDsa, &test.msg, &test.sig));
            tally.check(test.tc_id, test.result, verified, &test.comment);
        }
    }
    assert!(tally.verified > 80 && tally.refused > 60);
}

fn without_zeros(number: &[u8]) -> &[u8] {
    let zeros = number.iter().take_while(|byte| **byte == 0).count();
    &number[zeros..]
}

#[test]
fn wycheproof_rsa_pkcs1() {
    use wycheproof::rsa_pkcs1_verify::{TestName, TestSet};
    for (names, algorithm) in [
        ([TestName::Rsa2048Sha256, TestName::Rsa3072Sha256, TestName::Rsa4096Sha256, TestName::Rsa8192Sha256], Algorithm::Rs256),
        ([TestName::Rsa2048Sha384, TestName::Rsa3072Sha384, TestName::Rsa4096Sha384, TestName::Rsa8192Sha384], Algorithm::Rs384),
        ([TestName::Rsa2048Sha512, TestName::Rsa3072Sha512, TestName::Rsa4096Sha512, TestName::Rsa8192Sha512], Algorithm::Rs512),
    ] {
        for name in names {
            let mut tally = Tally::new(name, &[]);
            for group in TestSet::load(name).unwrap().test_groups {
                let key = key(Material::rsa(without_zeros(&group.key.n), without_zeros(&group.key.e)));
                for test in group.tests {
                    let verified = key.as_ref().is_some_and(|key| key.verify(algorithm, &test.msg, &test.sig));
                    tally.check(test.tc_id, test.result, verified, &test.comment);
                }
            }
            assert!(tally.verified >= 7 && tally.refused > 240, "{name:?}: {} {}", tally.verified, tally.refused);
        }
    }
}

#[test]
fn wycheproof_rsa_pss() {
    use wycheproof::rsa_pss_verify::{TestName, TestSet};
    for (name, algorithm) in [
        (TestName::RsaPss2048Sha256Mgf1SaltLen32, Algorithm::Ps256),
        (TestName::RsaPss3072Sha256Mgf1SaltLen32, Algorithm::Ps256),
        (TestName::RsaPss4096Sha256Mgf1SaltLen32, Algorithm::Ps256),
        (TestName::RsaPss2048Sha384Mgf1SaltLen48, Algorithm::Ps384),
        (TestName::RsaPss4096Sha384Mgf1SaltLen48, Algorithm::Ps384),
        (TestName::RsaPss4096Sha512Mgf1SaltLen64, Algorithm::Ps512),
    ] {
        let mut tally = Tally::new(name, &[]);
        for group in TestSet::load(name).unwrap().test_groups {
            let key = key(Material::rsa(without_zeros(&group.key.n), without_zeros(&group.key.e))).expect("a good key");
            for test in group.tests {
                tally.check(test.tc_id, test.result, key.verify(algorithm, &test.msg, &test.sig), &test.comment);
            }
        }
        assert!(tally.verified > 50 && tally.refused > 40);
    }
}
