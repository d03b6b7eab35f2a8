//! CloudFront signed URLs and cookies.
//!
//! Source: Amazon CloudFront Developer Guide, "Create a signed URL using a canned policy", "… using a custom policy", "Set signed
//! cookies": a policy in JSON without white space, signed with RSA (PKCS #1 v1.5) or ECDSA P-256 and SHA-1 or SHA-256, in a base64
//! of its own (`+`, `=`, `/` are `-`, `_`, `~`). With SHA-256 the parameter or cookie `Hash-Algorithm=SHA256` says so.

use std::fmt;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use ring::digest::{SHA1_FOR_LEGACY_USE_ONLY, SHA256, digest};
use ring::rand::SystemRandom;
use ring::signature::{ECDSA_P256_SHA256_ASN1_SIGNING, EcdsaKeyPair};
use rsa::pkcs1::DecodeRsaPrivateKey as _;
use rsa::pkcs8::DecodePrivateKey as _;
use rsa::traits::PublicKeyParts as _;
use rsa::{Pkcs1v15Sign, PrivateKey};
use serde_json::json;
use x509_parser::pem::Pem;

use super::{FormatError, unreserved};

/// Parameters the service reads itself (AWS CLI reference, `cloudfront sign`, `--url`).
const RESERVED: [&str; 5] = ["Expires", "Policy", "Signature", "Key-Pair-Id", "Hash-Algorithm"];

/// `DigestInfo` of RFC 8017, section 9.2, note 1, up to the digest itself.
const SHA1_INFO: [u8; 15] = [0x30, 0x21, 0x30, 0x09, 0x06, 0x05, 0x2b, 0x0e, 0x03, 0x02, 0x1a, 0x05, 0x00, 0x04, 0x14];
/// The same for SHA-256.
const SHA256_INFO: [u8; 19] =
    [0x30, 0x31, 0x30, 0x0d, 0x06, 0x09, 0x60, 0x86, 0x48, 0x01, 0x65, 0x03, 0x04, 0x02, 0x01, 0x05, 0x00, 0x04, 0x20];

/// The hash a policy is signed with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Hash {
    /// SHA-1, what the service takes where nothing is said.
    Sha1,
    /// SHA-256.
    Sha256,
}

enum Private {
    Rsa(Box<PrivateKey>),
    Ecdsa(Box<EcdsaKeyPair>),
}

/// A key of a key group.
pub struct CloudFrontKey {
    key_pair_id: String,
    hash: Hash,
    private: Private,
}

impl fmt::Debug for CloudFrontKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CloudFrontKey").field("key_pair_id", &self.key_pair_id).finish_non_exhaustive()
    }
}

/// A custom policy.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Policy {
    /// The URL, or one that ends in `*`.
    pub resource: String,
    /// When it ends.
    pub expires: i64,
    /// When it begins to count.
    pub not_before: Option<i64>,
    /// The addresses it counts from, as a network.
    pub ip: Option<String>,
}

impl CloudFrontKey {
    /// Reads a private key in PEM: RSA of 2048 bits (PKCS #1 or PKCS #8), or ECDSA P-256 (PKCS #8).
    ///
    /// # Errors
    /// It is not one, or ECDSA is to sign SHA-1.
    pub fn new(key_pair_id: String, pem: &str, hash: Hash) -> Result<Self, FormatError> {
        let wrong = |what: &'static str| FormatError::Key(what);
        let mut blocks = Pem::iter_from_buffer(pem.as_bytes());
        let block = blocks.next().and_then(Result::ok).ok_or(wrong("not a private key in PEM"))?;
        let rsa = match block.label.as_str() {
            "RSA PRIVATE KEY" => PrivateKey::from_pkcs1_der(&block.contents).ok(),
            "PRIVATE KEY" => PrivateKey::from_pkcs8_der(&block.contents).ok(),
            _ => return Err(wrong("not an unencrypted private key in PEM")),
        };
        let private = match rsa {
            // What CloudFront takes in a key group.
            Some(key) if key.size() == 256 => Private::Rsa(Box::new(key)),
            Some(_) => return Err(wrong("not RSA of 2048 bits")),
            None => Private::Ecdsa(Box::new(ecdsa(&block.contents).ok_or(wrong("neither RSA nor ECDSA P-256"))?)),
        };
        if matches!((&private, hash), (Private::Ecdsa(_), Hash::Sha1)) {
            return Err(wrong("an ECDSA key signs with SHA-256"));
        }
        Ok(Self { key_pair_id, hash, private })
    }

    /// The id of its public key at CloudFront.
    pub fn key_pair_id(&self) -> &str {
        &self.key_pair_id
    }

    #[expect(clippy::disallowed_methods, reason = "an ECDSA signature has a random part")]
    fn sign(&self, message: &[u8]) -> Result<String, FormatError> {
        let signature = match &self.private {
            Private::Rsa(key) => {
                let (hash, info) = match self.hash {
                    Hash::Sha1 => (digest(&SHA1_FOR_LEGACY_USE_ONLY, message), SHA1_INFO.as_slice()),
                    Hash::Sha256 => (digest(&SHA256, message), SHA256_INFO.as_slice()),
                };
                let padding = Pkcs1v15Sign { hash_len: Some(hash.as_ref().len()), prefix: info.into() };
                key.sign(padding, hash.as_ref()).map_err(|_| FormatError::Signing)?
            }
            Private::Ecdsa(pair) => pair.sign(&SystemRandom::new(), message).map_err(|_| FormatError::Signing)?.as_ref().to_vec(),
        };
        Ok(base64(&signature))
    }

    /// What tells the service the hash.
    fn hash_parameter(&self) -> Option<&'static str> {
        match self.hash {
            Hash::Sha1 => None,
            Hash::Sha256 => Some("SHA256"),
        }
    }
}

#[expect(clippy::disallowed_methods, reason = "ring checks a key with randomness of its own")]
fn ecdsa(der: &[u8]) -> Option<EcdsaKeyPair> {
    EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_ASN1_SIGNING, der, &SystemRandom::new()).ok()
}

fn base64(bytes: &[u8]) -> String {
    STANDARD.encode(bytes).replace('+', "-").replace('=', "_").replace('/', "~")
}

/// The policy's text: members in the order of the documentation, no white space.
fn policy_text(policy: &Policy) -> Result<String, FormatError> {
    let Policy { resource, expires, not_before, ip } = policy;
    // SECURITY: in a custom policy `*` and `?` stand for others. One `*` at the end is a prefix that somebody asked for; a `?` is
    // the query's beginning, which the service takes literally only once.
    let literal = resource.strip_suffix('*').unwrap_or(resource);
    let path = literal.split('?').next().unwrap_or_default();
    if literal.contains('*') {
        return Err(FormatError::Wildcard('*'));
    }
    if literal.matches('?').count() > 1 || (literal.len() != resource.len() && path.len() != literal.len()) {
        return Err(FormatError::Wildcard('?'));
    }
    // Written by hand: the order of members counts, and serde_json's is that of their names.
    let mut condition = format!(r#""DateLessThan":{{"AWS:EpochTime":{expires}}}"#);
    if let Some(ip) = ip {
        condition.push_str(&format!(r#","IpAddress":{{"AWS:SourceIp":{}}}"#, json!(ip)));
    }
    if let Some(start) = not_before {
        condition.push_str(&format!(r#","DateGreaterThan":{{"AWS:EpochTime":{start}}}"#));
    }
    Ok(format!(r#"{{"Statement":[{{"Resource":{},"Condition":{{{condition}}}}}]}}"#, json!(resource)))
}

/// The canned policy's text. No wildcards here: the service makes this very text from the request.
fn canned_text(url: &str, expires: i64) -> String {
    format!(r#"{{"Statement":[{{"Resource":{},"Condition":{{"DateLessThan":{{"AWS:EpochTime":{expires}}}}}}}]}}"#, json!(url))
}

/// A URL with a canned policy: exactly this URL until `expires`.
///
/// # Errors
/// `url` has a parameter of the service's own, or the key did not sign.
pub fn canned_url(key: &CloudFrontKey, url: &str, expires: i64) -> Result<String, FormatError> {
    signed(key, url, &format!("Expires={expires}"), &canned_text(url, expires))
}

/// A URL with a custom policy.
///
/// # Errors
/// As for [`canned_url`], or the resource has a wildcard elsewhere than at its end.
pub fn custom_url(key: &CloudFrontKey, url: &str, policy: &Policy) -> Result<String, FormatError> {
    let text = policy_text(policy)?;
    signed(key, url, &format!("Policy={}", base64(text.as_bytes())), &text)
}

fn signed(key: &CloudFrontKey, url: &str, first: &str, policy: &str) -> Result<String, FormatError> {
    unreserved(url, &RESERVED)?;
    let mark = if url.contains('?') { '&' } else { '?' };
    let signature = key.sign(policy.as_bytes())?;
    let hash = key.hash_parameter().map(|hash| format!("&Hash-Algorithm={hash}")).unwrap_or_default();
    Ok(format!("{url}{mark}{first}&Signature={signature}&Key-Pair-Id={}{hash}", key.key_pair_id))
}

/// The cookies of a canned policy ("Set signed cookies using a canned policy"): exactly this URL until `expires`.
///
/// # Errors
/// As for [`canned_url`].
pub fn canned_cookies(key: &CloudFrontKey, url: &str, expires: i64) -> Result<Vec<(&'static str, String)>, FormatError> {
    unreserved(url, &RESERVED)?;
    let first = ("CloudFront-Expires", expires.to_string());
    signed_cookies(key, first, &canned_text(url, expires))
}

/// The cookies of a custom policy.
///
/// # Errors
/// The resource has a wildcard elsewhere than at its end, or the key did not sign.
pub fn cookies(key: &CloudFrontKey, policy: &Policy) -> Result<Vec<(&'static str, String)>, FormatError> {
    let text = policy_text(policy)?;
    signed_cookies(key, ("CloudFront-Policy", base64(text.as_bytes())), &text)
}

fn signed_cookies(key: &CloudFrontKey, first: (&'static str, String), policy: &str) -> Result<Vec<(&'static str, String)>, FormatError> {
    let signature = key.sign(policy.as_bytes())?;
    let mut cookies = vec![first, ("CloudFront-Signature", signature), ("CloudFront-Key-Pair-Id", key.key_pair_id.clone())];
    cookies.extend(key.hash_parameter().map(|hash| ("CloudFront-Hash-Algorithm", hash.to_owned())));
    Ok(cookies)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use ring::signature::{ECDSA_P256_SHA256_ASN1, KeyPair as _, RSA_PKCS1_2048_8192_SHA256, UnparsedPublicKey};
    use serde_json::Value;

    use super::*;

    const RSA: &str = include_str!("../../../tests/data/identity/test-only-rsa-2048-private.pem");
    const P256: &str = include_str!("../../../tests/data/identity/test-only-p256-private.pem");

    fn key(pem: &str, hash: Hash) -> CloudFrontKey {
        CloudFrontKey::new("K2JCJMDEHXQW5F".to_owned(), pem, hash).unwrap()
    }

    /// Made by botocore: `tests/data/signed_urls/make-cloudfront.py`.
    #[test]
    fn every_url_is_the_one_botocore_makes() {
        let vectors: Value = serde_json::from_str(include_str!("../../../tests/data/signed_urls/cloudfront.json")).unwrap();
        let cases = vectors["cases"].as_array().unwrap();
        assert!(cases.len() > 20, "{}", cases.len());
        let key = key(RSA, Hash::Sha1);
        for case in cases {
            let (url, expires) = (case["url"].as_str().unwrap(), case["expires"].as_i64().unwrap());
            let signed = match case["resource"].as_str() {
                None => {
                    // The same values as in the URL, whose parameters are named like the cookies.
                    for (name, value) in canned_cookies(&key, url, expires).unwrap() {
                        let parameter = name.trim_start_matches("CloudFront-");
                        assert!(case["signed"].as_str().unwrap().contains(&format!("{parameter}={value}")), "{name}");
                    }
                    canned_url(&key, url, expires)
                }
                Some(resource) => {
                    let policy = Policy {
                        resource: resource.to_owned(),
                        expires,
                        not_before: case["not_before"].as_i64(),
                        ip: case["ip"].as_str().map(str::to_owned),
                    };
                    let cookies = cookies(&key, &policy).unwrap();
                    for (name, value) in &cookies {
                        let parameter = name.trim_start_matches("CloudFront-");
                        assert!(case["signed"].as_str().unwrap().contains(&format!("{parameter}={value}")), "{name}");
                    }
                    assert_eq!(cookies.len(), 3);
                    custom_url(&key, url, &policy)
                }
            };
            assert_eq!(signed.unwrap(), case["signed"].as_str().unwrap(), "{case}");
        }
    }

    fn signature(url: &str) -> Vec<u8> {
        let text = url.split("&Signature=").nth(1).unwrap().split('&').next().unwrap();
        STANDARD.decode(text.replace('-', "+").replace('_', "=").replace('~', "/")).unwrap()
    }

    #[test]
    fn sha_256_says_so_and_verifies() {
        let policy =
            r#"{"Statement":[{"Resource":"https://d1.cloudfront.net/a","Condition":{"DateLessThan":{"AWS:EpochTime":1800000000}}}]}"#;
        for (pem, algorithm) in [(RSA, true), (P256, false)] {
            let key = key(pem, Hash::Sha256);
            let url = canned_url(&key, "https://d1.cloudfront.net/a", 1_800_000_000).unwrap();
            assert!(url.ends_with("&Key-Pair-Id=K2JCJMDEHXQW5F&Hash-Algorithm=SHA256"), "{url}");
            let verified = match &key.private {
                Private::Rsa(private) => {
                    use rsa::pkcs1::EncodeRsaPublicKey as _;
                    let der = private.to_public_key().to_pkcs1_der().unwrap();
                    UnparsedPublicKey::new(&RSA_PKCS1_2048_8192_SHA256, der.as_bytes()).verify(policy.as_bytes(), &signature(&url))
                }
                Private::Ecdsa(pair) => {
                    UnparsedPublicKey::new(&ECDSA_P256_SHA256_ASN1, pair.public_key()).verify(policy.as_bytes(), &signature(&url))
                }
            };
            assert!(verified.is_ok(), "{algorithm}");
            let policy = Policy { resource: "https://d1.cloudfront.net/a/*".to_owned(), expires: 1, not_before: None, ip: None };
            assert_eq!(cookies(&key, &policy).unwrap().last().unwrap(), &("CloudFront-Hash-Algorithm", "SHA256".to_owned()));
        }
    }

    #[test]
    fn a_wildcard_stands_at_the_end_or_nowhere() {
        let key = key(RSA, Hash::Sha1);
        let make = |resource: &str| {
            let policy = Policy { resource: resource.to_owned(), expires: 1, not_before: None, ip: None };
            custom_url(&key, "https://a/b", &policy).map(|_| ())
        };
        for good in ["https://a/b", "https://a/b/*", "https://a/b?c=d"] {
            assert_eq!(make(good), Ok(()), "{good}");
        }
        for bad in ["https://a/b*c", "https://a/b*/*", "https://a/b?c=d*", "https://a/b?c=?"] {
            assert!(matches!(make(bad), Err(FormatError::Wildcard(_))), "{bad}");
        }
        // A canned policy knows no wildcards.
        canned_url(&key, "https://a/b*c", 1).unwrap();
    }

    #[test]
    fn a_url_that_says_its_own_end_is_refused() {
        let key = key(RSA, Hash::Sha256);
        let policy = Policy { resource: "https://a/*".to_owned(), expires: 1, not_before: None, ip: None };
        for name in RESERVED {
            let (url, refused) = (format!("https://a/b?c=d&{name}=9999999999"), Some(FormatError::Reserved(name)));
            assert_eq!(canned_url(&key, &url, 1).err(), refused);
            assert_eq!(canned_cookies(&key, &url, 1).err(), refused);
            assert_eq!(custom_url(&key, &url, &policy).err(), refused);
        }
    }

    proptest! {
        #[test]
        fn no_policy_has_a_wildcard_before_its_end(path in "[a-z*?]{0,8}") {
            let policy = Policy { resource: format!("https://a/{path}"), expires: 1, not_before: None, ip: None };
            if policy_text(&policy).is_ok() {
                let literal = path.strip_suffix('*').unwrap_or(&path);
                prop_assert!(!literal.contains('*') && literal.matches('?').count() <= 1);
                prop_assert!(literal == path || !literal.contains('?'));
            }
        }
    }

    #[test]
    fn only_keys_the_service_takes_are_read() {
        let new = |pem: &str, hash| CloudFrontKey::new("K".to_owned(), pem, hash).map(|_| ());
        assert!(new(RSA, Hash::Sha1).is_ok() && new(P256, Hash::Sha256).is_ok());
        for (pem, hash) in
            [(P256, Hash::Sha1), ("", Hash::Sha1), (include_str!("../../../tests/data/identity/p256-public.pem"), Hash::Sha256)]
        {
            assert!(matches!(new(pem, hash), Err(FormatError::Key(_))));
        }
        assert!(!format!("{:?}", key(RSA, Hash::Sha1)).contains("RSA"));
    }
}
