//! One public key, checked when the bundle is loaded, and what it may verify.

use std::fmt;
use std::sync::Arc;

use jsonwebtoken::{DecodingKey, DecodingKeyKind};

use super::algorithm::Algorithm;
use super::prepared::Prepared;
use super::{SignatureBackend, crypto, curve};
use crate::limits;

/// The kinds of key the gate takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) enum KeyType {
    /// RSA, 2048 to 8192 bits.
    Rsa,
    /// A point on NIST P-256.
    P256,
    /// A point on NIST P-384.
    P384,
    /// An Ed25519 public key.
    Ed25519,
}

impl fmt::Display for KeyType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Rsa => "RSA",
            Self::P256 => "P-256",
            Self::P384 => "P-384",
            Self::Ed25519 => "Ed25519",
        })
    }
}

/// A problem of a key or a key file, before it is known where in the bundle.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct KeyProblem {
    /// `key.…`.
    pub(super) code: &'static str,
    /// What is wrong.
    pub(super) message: String,
    /// What to do about it.
    pub(super) help: Option<String>,
    /// Where, in bytes.
    pub(super) offset: Option<usize>,
    /// The `kid` of the key, to find it in the file.
    pub(super) kid: Option<String>,
}

impl KeyProblem {
    /// A problem with a message.
    pub(super) fn new(code: &'static str, message: impl Into<String>) -> Self {
        Self { code, message: message.into(), help: None, offset: None, kid: None }
    }

    /// The same with advice.
    pub(super) fn help(mut self, help: impl Into<String>) -> Self {
        self.help = Some(help.into());
        self
    }
}

/// The checked public key itself. `Debug` shows its kind only.
#[derive(Clone)]
pub(super) struct Material {
    key_type: KeyType,
    decoding: DecodingKey,
}

impl fmt::Debug for Material {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Material({})", self.key_type)
    }
}

impl Material {
    /// An RSA key from its big-endian modulus and exponent, both without leading zeros.
    pub(super) fn rsa(n: &[u8], e: &[u8]) -> Result<Self, KeyProblem> {
        let invalid = |message: &str| Err(KeyProblem::new("key.invalid", message));
        let Some(first) = n.first().filter(|first| **first != 0) else {
            return invalid("the RSA modulus is empty or starts with a zero byte");
        };
        let bits = n.len().saturating_mul(8).saturating_sub(usize::try_from(first.leading_zeros()).unwrap_or(0));
        if !limits::RSA_BITS.contains(&bits) {
            let (min, max) = (limits::RSA_BITS.start(), limits::RSA_BITS.end());
            return Err(KeyProblem::new("key.weak", format!("the RSA key has {bits} bits, which is not between {min} and {max}")));
        }
        if n.last().is_none_or(|last| last.is_multiple_of(2)) {
            return invalid("the RSA modulus is even");
        }
        if e.first().is_none_or(|first| *first == 0) {
            return invalid("the RSA exponent is empty or starts with a zero byte");
        }
        // ring's own bounds, so that a key it would refuse for every token is refused here: odd, 3 to 2^33 - 1.
        let exponent = e.iter().try_fold(0_u64, |value, byte| value.checked_mul(256)?.checked_add(u64::from(*byte)));
        match exponent {
            Some(exponent) if exponent < 3 => Err(KeyProblem::new("key.weak", "the RSA exponent is less than 3")),
            Some(exponent) if exponent.is_multiple_of(2) => invalid("the RSA exponent is even"),
            Some(exponent) if exponent < 1 << 33 => {
                Ok(Self { key_type: KeyType::Rsa, decoding: DecodingKey::from_rsa_raw_components(n, e) })
            }
            _ => invalid("the RSA exponent has more than 33 bits"),
        }
    }

    /// A point on P-256 or P-384 from its coordinates, each of full length.
    pub(super) fn ec(key_type: KeyType, x: &[u8], y: &[u8]) -> Result<Self, KeyProblem> {
        let invalid = |message: String| Err(KeyProblem::new("key.invalid", message));
        let (curve, length) = match key_type {
            KeyType::P256 => (&curve::P256, 32),
            KeyType::P384 => (&curve::P384, 48),
            KeyType::Rsa | KeyType::Ed25519 => return invalid("not an elliptic curve key".to_owned()),
        };
        if x.len() != length || y.len() != length {
            return invalid(format!("a coordinate of a {key_type} key has not exactly {length} bytes"));
        }
        if !curve.contains(x, y) {
            return invalid(format!("the point is not on {key_type}"));
        }
        let point = [&[4], x, y].concat();
        Ok(Self { key_type, decoding: DecodingKey::from_ec_der(&point) })
    }

    /// An Ed25519 public key.
    pub(super) fn ed25519(x: &[u8]) -> Result<Self, KeyProblem> {
        let invalid = |message: &str| Err(KeyProblem::new("key.invalid", message));
        let Ok(bytes) = <[u8; 32]>::try_from(x) else {
            return invalid("an Ed25519 key has exactly 32 bytes");
        };
        match curve::ed25519(&bytes) {
            curve::Ed25519::Good => Ok(Self { key_type: KeyType::Ed25519, decoding: DecodingKey::from_ed_der(x) }),
            curve::Ed25519::NotAPoint => invalid("the bytes are not a point on Ed25519"),
            // SECURITY: with such a key anybody can make signatures that verify.
            curve::Ed25519::SmallOrder => Err(KeyProblem::new("key.weak", "the Ed25519 key has small order: anybody could sign for it")),
        }
    }

    /// The kind of key.
    pub(super) fn key_type(&self) -> KeyType {
        self.key_type
    }

    /// The prepared key. `None` for kinds and sizes of key that are left to `ring`.
    fn prepare(&self) -> Option<Prepared> {
        let octets = || self.decoding.try_get_as_bytes().ok();
        match self.key_type {
            KeyType::Rsa => match self.decoding.kind() {
                DecodingKeyKind::RsaModulusExponent { n, e } => Prepared::rs256(n, e),
                DecodingKeyKind::SecretOrDer(_) => None,
            },
            KeyType::P256 => {
                let (x, y) = octets()?.strip_prefix(&[4])?.split_first_chunk()?;
                Prepared::es256(x, y.try_into().ok()?)
            }
            KeyType::Ed25519 => Prepared::eddsa(octets()?.try_into().ok()?),
            KeyType::P384 => None,
        }
    }
}

/// A key of an issuer.
#[derive(Debug, Clone)]
pub(super) struct Key {
    /// What tokens name it by.
    pub(super) kid: Option<String>,
    /// The only algorithm it may be used with, where the key says so.
    pub(super) pinned: Option<Algorithm>,
    /// The key.
    pub(super) material: Material,
    /// The same, prepared for verifying where that was worth its memory.
    prepared: Option<Arc<Prepared>>,
}

impl Key {
    /// A key that is not prepared.
    pub(super) fn new(kid: Option<String>, pinned: Option<Algorithm>, material: Material) -> Self {
        Self { kid, pinned, material, prepared: None }
    }

    /// Whether this key may verify `algorithm`. The key decides, not the token.
    pub(super) fn accepts(&self, algorithm: Algorithm) -> bool {
        algorithm.key_type() == self.material.key_type && self.pinned.is_none_or(|pinned| pinned == algorithm)
    }

    /// The one algorithm this key can be prepared for, and the bytes that takes at the most; `None` for keys left to `ring`.
    pub(super) fn preparable(&self) -> Option<(Algorithm, usize)> {
        let (algorithm, bytes) = match self.material.key_type {
            KeyType::Rsa => (Algorithm::Rs256, Prepared::RS256_BYTES),
            KeyType::P256 => (Algorithm::Es256, Prepared::ES256_BYTES),
            KeyType::Ed25519 => (Algorithm::EdDsa, Prepared::EDDSA_BYTES),
            KeyType::P384 => return None,
        };
        self.accepts(algorithm).then_some((algorithm, bytes))
    }

    /// The same key, prepared; `None` for keys that are left to `ring`. Takes two or three milliseconds in wasm.
    pub(super) fn prepare(&self) -> Option<Self> {
        self.preparable()?;
        Some(Self { prepared: Some(Arc::new(self.material.prepare()?)), ..self.clone() })
    }

    /// Whether it is prepared.
    pub(super) fn is_prepared(&self) -> bool {
        self.prepared.is_some()
    }

    /// The same key, as it is read.
    pub(super) fn unprepared(&self) -> Self {
        Self { prepared: None, ..self.clone() }
    }

    /// Verifies a signature; `false` also when the algorithm is not one of this key's.
    pub(super) fn verify(&self, backend: SignatureBackend, algorithm: Algorithm, message: &[u8], signature: &[u8]) -> bool {
        if !self.accepts(algorithm) {
            return false;
        }
        match (backend, &self.prepared) {
            // SECURITY: a prepared key is for one algorithm only, and the others of an RSA key are not it.
            (SignatureBackend::Prepared, Some(prepared)) if self.preparable().is_some_and(|(own, _)| own == algorithm) => {
                prepared.verify(message, signature)
            }
            (SignatureBackend::Prepared | SignatureBackend::Ring, _) => {
                crypto::verify(algorithm, &self.material.decoding, message, signature)
            }
        }
    }
}
