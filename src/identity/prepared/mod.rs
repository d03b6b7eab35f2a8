//! Public keys prepared for verifying: what depends only on the key is computed once, when a bundle is sealed, instead of for
//! every signature.
//!
//! What crosses in is a public key, and later messages with signatures that nobody believes; what crosses out is yes or no.
//! The answer is always the one `ring` gives (docs/adr/0007-prepared-keys.md), only sooner. Nothing here knows a secret, so
//! nothing runs in constant time. Nothing here does I/O, and nothing of the rest of the gate is known here: the benchmark
//! compiles this folder by itself.

mod eddsa;
mod es256;
mod rs256;
#[cfg(test)]
mod tests;

use std::fmt;

/// A public key, prepared for the one algorithm it is prepared for.
pub(super) struct Prepared(Kind);

enum Kind {
    Es256(es256::Key),
    Rs256(rs256::Key),
    EdDsa(eddsa::Key),
}

/// Its algorithm only: a table is of no use to a reader.
impl fmt::Debug for Prepared {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self(kind) = self;
        f.write_str(match kind {
            Kind::Es256(_) => "Prepared(ES256)",
            Kind::Rs256(_) => "Prepared(RS256)",
            Kind::EdDsa(_) => "Prepared(EdDSA)",
        })
    }
}

impl Prepared {
    /// The bytes an ES256 key takes.
    pub(super) const ES256_BYTES: usize = es256::Key::BYTES;
    /// The most bytes an RS256 key takes.
    pub(super) const RS256_BYTES: usize = rs256::Key::BYTES;
    /// The bytes an EdDSA key takes.
    pub(super) const EDDSA_BYTES: usize = eddsa::Key::BYTES;

    /// Prepares a point on P-256, given by its coordinates; `None` when it is none.
    pub(super) fn es256(x: &[u8; 32], y: &[u8; 32]) -> Option<Self> {
        es256::Key::new(x, y).map(Kind::Es256).map(Self)
    }

    /// Prepares an RSA key of 2048 to 4096 bits with the exponent 65537, given by its big-endian modulus and exponent without
    /// leading zeros; `None` for any other, which is left to `ring`.
    pub(super) fn rs256(n: &[u8], e: &[u8]) -> Option<Self> {
        rs256::Key::new(n, e).map(Kind::Rs256).map(Self)
    }

    /// Prepares an Ed25519 key; `None` when it is not the canonical encoding of a point.
    pub(super) fn eddsa(encoded: &[u8; 32]) -> Option<Self> {
        eddsa::Key::new(encoded).map(Kind::EdDsa).map(Self)
    }

    /// Whether `signature`, as JWS has it, is this key's signature of `message`. Everything that is not a clear yes is a no.
    pub(super) fn verify(&self, message: &[u8], signature: &[u8]) -> bool {
        let Self(kind) = self;
        match kind {
            Kind::Es256(key) => key.verify(message, signature),
            Kind::Rs256(key) => key.verify(message, signature),
            Kind::EdDsa(key) => key.verify(message, signature),
        }
    }
}
