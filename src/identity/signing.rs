//! Making tokens with a private key: for `cedargate token` and for tests. The gate only ever verifies.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jsonwebtoken::{EncodingKey, Header};
use ring::rand::SystemRandom;
use ring::signature::{self, EcdsaKeyPair, Ed25519KeyPair, KeyPair as _, RsaPublicKeyComponents};
use serde_json::{Value, json};

use super::algorithm::Algorithm;
use super::crypto::{self, KeyPair};
use super::key::KeyType;

/// Why a token or a key could not be made.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum SigningError {
    /// The algorithm is not known here.
    #[error("the algorithm is not one this gate knows")]
    Algorithm,
    /// Keys of this kind are not made here.
    #[error("keys for this algorithm have to be made elsewhere; use EdDSA, ES256 or ES384")]
    Generate,
    /// Not an unencrypted PKCS#8 key for the algorithm.
    #[error("the key is not an unencrypted PKCS#8 key for this algorithm")]
    Key,
    /// The system gave no random numbers, or the signature failed.
    #[error("signing failed")]
    Sign,
}

/// Makes a private key for `EdDSA`, `ES256` or `ES384`, as PKCS#8 DER.
///
/// # Errors
/// When the algorithm is unknown or for RSA, or the system has no random numbers.
#[expect(clippy::disallowed_methods, reason = "a key is random; only development tools and tests make one")]
pub fn generate(algorithm: &str) -> Result<Vec<u8>, SigningError> {
    let random = SystemRandom::new();
    let document = match Algorithm::from_name(algorithm).ok_or(SigningError::Algorithm)?.key_type() {
        KeyType::Ed25519 => Ed25519KeyPair::generate_pkcs8(&random),
        KeyType::P256 => EcdsaKeyPair::generate_pkcs8(&signature::ECDSA_P256_SHA256_FIXED_SIGNING, &random),
        KeyType::P384 => EcdsaKeyPair::generate_pkcs8(&signature::ECDSA_P384_SHA384_FIXED_SIGNING, &random),
        KeyType::Rsa => return Err(SigningError::Generate),
    };
    document.map(|d| d.as_ref().to_vec()).map_err(|_| SigningError::Sign)
}

/// The public JWK of a private key, with `kid`, `alg` and `use`: what goes into the `keys` array of a JWKS file.
///
/// # Errors
/// When the algorithm is unknown or the key is not one for it.
pub fn public_jwk(algorithm: &str, pkcs8: &[u8], kid: &str) -> Result<Value, SigningError> {
    let algorithm = Algorithm::from_name(algorithm).ok_or(SigningError::Algorithm)?;
    let mut jwk = match KeyPair::from_pkcs8(algorithm.jose(), pkcs8).ok_or(SigningError::Key)? {
        KeyPair::Ed25519(pair) => json!({ "kty": "OKP", "crv": "Ed25519", "x": URL_SAFE_NO_PAD.encode(pair.public_key()) }),
        KeyPair::Ecdsa(pair) => {
            let curve = if algorithm.key_type() == KeyType::P384 { "P-384" } else { "P-256" };
            let (_, point) = pair.public_key().as_ref().split_first().ok_or(SigningError::Key)?;
            let (x, y) = point.split_at(point.len().div_euclid(2));
            json!({ "kty": "EC", "crv": curve, "x": URL_SAFE_NO_PAD.encode(x), "y": URL_SAFE_NO_PAD.encode(y) })
        }
        KeyPair::Rsa(pair, _) => {
            let public = RsaPublicKeyComponents::<Vec<u8>>::from(pair.public());
            json!({ "kty": "RSA", "n": URL_SAFE_NO_PAD.encode(public.n), "e": URL_SAFE_NO_PAD.encode(public.e) })
        }
    };
    if let Some(members) = jwk.as_object_mut() {
        members.insert("kid".to_owned(), kid.into());
        members.insert("alg".to_owned(), algorithm.name().into());
        members.insert("use".to_owned(), "sig".into());
    }
    Ok(jwk)
}

/// Signs `claims` as a compact JWT with `typ` `JWT`.
///
/// # Errors
/// When the algorithm is unknown, the key is not one for it, or signing fails.
pub fn sign(algorithm: &str, pkcs8: &[u8], kid: Option<&str>, claims: &Value) -> Result<String, SigningError> {
    let algorithm = Algorithm::from_name(algorithm).ok_or(SigningError::Algorithm)?;
    if KeyPair::from_pkcs8(algorithm.jose(), pkcs8).is_none() {
        return Err(SigningError::Key);
    }
    crypto::install();
    let mut header = Header::new(algorithm.jose());
    header.kid = kid.map(str::to_owned);
    let key = match algorithm.key_type() {
        KeyType::Ed25519 => EncodingKey::from_ed_der(pkcs8),
        KeyType::P256 | KeyType::P384 => EncodingKey::from_ec_der(pkcs8),
        KeyType::Rsa => EncodingKey::from_rsa_der(pkcs8),
    };
    jsonwebtoken::encode(&header, claims, &key).map_err(|_| SigningError::Sign)
}
