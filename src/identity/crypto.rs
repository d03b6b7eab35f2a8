//! The one `CryptoProvider` of the program: the signature algorithms of `jsonwebtoken` over `ring`.
//!
//! Verification calls the provider's factory directly and touches no global, so it can neither race nor find another
//! provider installed. Signing, which only development tools do, goes through `jsonwebtoken::encode` and needs the
//! process default; see [`install`].

use jsonwebtoken::crypto::{CryptoProvider, JwtSigner, JwtVerifier, KeyUtils};
use jsonwebtoken::errors::{Error, ErrorKind};
use jsonwebtoken::signature::{Error as SignatureError, Signer, Verifier};
use jsonwebtoken::{Algorithm as Jose, DecodingKey, DecodingKeyKind, EncodingKey};
use ring::rand::SystemRandom;
use ring::signature::{
    self, EcdsaKeyPair, Ed25519KeyPair, RsaEncoding, RsaKeyPair, RsaParameters, RsaPublicKeyComponents, UnparsedPublicKey,
};

use super::algorithm::Algorithm;

/// The provider.
static PROVIDER: CryptoProvider = CryptoProvider {
    signer_factory: signer,
    verifier_factory: verifier,
    // What `jsonwebtoken` would use to make JWKs from keys. Not needed, and never a panic.
    key_utils: KeyUtils {
        rsa_pub_components_from_private_key: |_| Err(ErrorKind::UnsupportedAlgorithm.into()),
        rsa_pub_components_from_public_key: |_| Err(ErrorKind::UnsupportedAlgorithm.into()),
        ec_pub_components_from_private_key: |_, _| Err(ErrorKind::UnsupportedAlgorithm.into()),
        ed_pub_components_from_private_key: |_, _| Err(ErrorKind::UnsupportedAlgorithm.into()),
        compute_digest: |_, _| Err(ErrorKind::UnsupportedAlgorithm.into()),
    },
};

/// Makes the provider the process default, for `jsonwebtoken::encode`. May be called any number of times from any thread.
pub(super) fn install() {
    // The only error is that a provider is already there, and the program has no other.
    let _ = PROVIDER.install_default();
}

/// Whether `signature` is `key`'s signature of `message` with `algorithm`. Everything that is not a clear yes is a no.
pub(super) fn verify(algorithm: Algorithm, key: &DecodingKey, message: &[u8], signature: &[u8]) -> bool {
    match verifier(&algorithm.jose(), key) {
        Ok(verifier) => verifier.algorithm() == algorithm.jose() && verifier.verify(message, &signature.to_vec()).is_ok(),
        Err(_) => false,
    }
}

struct RingVerifier {
    algorithm: Jose,
    key: VerifyingKey,
}

enum VerifyingKey {
    Unparsed(UnparsedPublicKey<Vec<u8>>),
    Rsa(&'static RsaParameters, RsaPublicKeyComponents<Vec<u8>>),
}

impl Verifier<Vec<u8>> for RingVerifier {
    fn verify(&self, message: &[u8], signature: &Vec<u8>) -> Result<(), SignatureError> {
        match &self.key {
            VerifyingKey::Unparsed(key) => key.verify(message, signature),
            VerifyingKey::Rsa(parameters, key) => key.verify(parameters, message, signature),
        }
        .map_err(|_| SignatureError::new())
    }
}

impl JwtVerifier for RingVerifier {
    fn algorithm(&self) -> Jose {
        self.algorithm
    }
}

fn verifier(algorithm: &Jose, key: &DecodingKey) -> Result<Box<dyn JwtVerifier>, Error> {
    // SECURITY: the key says what it is for. Without this the bytes of a public key could be tried as another kind.
    if key.family() != algorithm.family() {
        return Err(ErrorKind::InvalidKeyFormat.into());
    }
    let key = match algorithm {
        Jose::EdDSA => VerifyingKey::Unparsed(UnparsedPublicKey::new(&signature::ED25519, key.try_get_as_bytes()?.to_vec())),
        Jose::ES256 => {
            VerifyingKey::Unparsed(UnparsedPublicKey::new(&signature::ECDSA_P256_SHA256_FIXED, key.try_get_as_bytes()?.to_vec()))
        }
        Jose::ES384 => {
            VerifyingKey::Unparsed(UnparsedPublicKey::new(&signature::ECDSA_P384_SHA384_FIXED, key.try_get_as_bytes()?.to_vec()))
        }
        Jose::RS256 => rsa(&signature::RSA_PKCS1_2048_8192_SHA256, key),
        Jose::RS384 => rsa(&signature::RSA_PKCS1_2048_8192_SHA384, key),
        Jose::RS512 => rsa(&signature::RSA_PKCS1_2048_8192_SHA512, key),
        Jose::PS256 => rsa(&signature::RSA_PSS_2048_8192_SHA256, key),
        Jose::PS384 => rsa(&signature::RSA_PSS_2048_8192_SHA384, key),
        Jose::PS512 => rsa(&signature::RSA_PSS_2048_8192_SHA512, key),
        _ => return Err(ErrorKind::UnsupportedAlgorithm.into()),
    };
    Ok(Box::new(RingVerifier { algorithm: *algorithm, key }))
}

fn rsa(parameters: &'static RsaParameters, key: &DecodingKey) -> VerifyingKey {
    match key.kind() {
        DecodingKeyKind::SecretOrDer(der) => VerifyingKey::Unparsed(UnparsedPublicKey::new(parameters, der.clone())),
        DecodingKeyKind::RsaModulusExponent { n, e } => {
            VerifyingKey::Rsa(parameters, RsaPublicKeyComponents { n: n.clone(), e: e.clone() })
        }
    }
}

/// A private key, for development tokens and tests. The gate itself never holds one.
pub(super) enum KeyPair {
    /// Ed25519.
    Ed25519(Ed25519KeyPair),
    /// P-256 or P-384.
    Ecdsa(EcdsaKeyPair),
    /// RSA with the encoding of one algorithm.
    Rsa(Box<RsaKeyPair>, &'static dyn RsaEncoding),
}

#[expect(clippy::disallowed_methods, reason = "signing draws randomness; only development tools and tests sign")]
impl KeyPair {
    /// Reads an unencrypted PKCS#8 key; `None` when it is not one for this algorithm.
    pub(super) fn from_pkcs8(algorithm: Jose, der: &[u8]) -> Option<Self> {
        let ecdsa = |a| EcdsaKeyPair::from_pkcs8(a, der, &SystemRandom::new()).ok().map(Self::Ecdsa);
        let rsa = |encoding| RsaKeyPair::from_pkcs8(der).ok().map(|pair| Self::Rsa(Box::new(pair), encoding));
        match algorithm {
            // "maybe unchecked" also takes version 1 files, which hold no public key to check against (OpenSSL writes those).
            Jose::EdDSA => Ed25519KeyPair::from_pkcs8_maybe_unchecked(der).ok().map(Self::Ed25519),
            Jose::ES256 => ecdsa(&signature::ECDSA_P256_SHA256_FIXED_SIGNING),
            Jose::ES384 => ecdsa(&signature::ECDSA_P384_SHA384_FIXED_SIGNING),
            Jose::RS256 => rsa(&signature::RSA_PKCS1_SHA256),
            Jose::RS384 => rsa(&signature::RSA_PKCS1_SHA384),
            Jose::RS512 => rsa(&signature::RSA_PKCS1_SHA512),
            Jose::PS256 => rsa(&signature::RSA_PSS_SHA256),
            Jose::PS384 => rsa(&signature::RSA_PSS_SHA384),
            Jose::PS512 => rsa(&signature::RSA_PSS_SHA512),
            _ => None,
        }
    }

    /// Signs `message` in the form JWS wants.
    pub(super) fn sign(&self, message: &[u8]) -> Option<Vec<u8>> {
        match self {
            Self::Ed25519(pair) => Some(pair.sign(message).as_ref().to_vec()),
            Self::Ecdsa(pair) => Some(pair.sign(&SystemRandom::new(), message).ok()?.as_ref().to_vec()),
            Self::Rsa(pair, encoding) => {
                let mut signature = vec![0; pair.public().modulus_len()];
                pair.sign(*encoding, &SystemRandom::new(), message, &mut signature).ok()?;
                Some(signature)
            }
        }
    }
}

struct RingSigner {
    algorithm: Jose,
    pair: KeyPair,
}

impl Signer<Vec<u8>> for RingSigner {
    fn try_sign(&self, message: &[u8]) -> Result<Vec<u8>, SignatureError> {
        self.pair.sign(message).ok_or_else(SignatureError::new)
    }
}

impl JwtSigner for RingSigner {
    fn algorithm(&self) -> Jose {
        self.algorithm
    }
}

fn signer(algorithm: &Jose, key: &EncodingKey) -> Result<Box<dyn JwtSigner>, Error> {
    if key.family() != algorithm.family() {
        return Err(ErrorKind::InvalidKeyFormat.into());
    }
    let pair = KeyPair::from_pkcs8(*algorithm, key.as_bytes()).ok_or(ErrorKind::InvalidKeyFormat)?;
    Ok(Box::new(RingSigner { algorithm: *algorithm, pair }))
}
