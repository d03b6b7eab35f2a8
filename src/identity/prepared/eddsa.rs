//! Ed25519 (RFC 8032, section 5.1.7), without cofactor and with `R` compared as bytes, as `ring` does it.

use std::ops::{Add, Neg};

use curve25519_dalek::constants::ED25519_BASEPOINT_TABLE;
use curve25519_dalek::edwards::{CompressedEdwardsY, EdwardsBasepointTable};
use curve25519_dalek::scalar::Scalar;
use curve25519_dalek::traits::BasepointTable;
use ring::digest;

/// A public key with its multiples.
pub(super) struct Key {
    encoded: [u8; 32],
    /// Multiples of the opposite of the key's point.
    opposite: Box<EdwardsBasepointTable>,
}

impl Key {
    /// The bytes a key takes.
    pub(super) const BYTES: usize = size_of::<EdwardsBasepointTable>();

    /// A key; `None` when the bytes are not the canonical encoding of a point.
    pub(super) fn new(encoded: &[u8; 32]) -> Option<Self> {
        let point = CompressedEdwardsY(*encoded).decompress()?;
        // Keys are checked before; here it keeps what is hashed and what is computed with from ever being two things.
        if point.compress().to_bytes() != *encoded {
            return None;
        }
        Some(Self { encoded: *encoded, opposite: Box::new(EdwardsBasepointTable::create(&point.neg())) })
    }

    /// Whether `signature` is this key's signature of `message`.
    pub(super) fn verify(&self, message: &[u8], signature: &[u8]) -> bool {
        self.check(message, signature).unwrap_or(false)
    }

    fn check(&self, message: &[u8], signature: &[u8]) -> Option<bool> {
        let (r, s) = signature.split_first_chunk::<32>()?;
        // SECURITY: S less than the order. Otherwise a second signature could be made of each (RFC 8032, section 8.4).
        let s: Scalar = Option::from(Scalar::from_canonical_bytes(s.try_into().ok()?))?;
        let mut hash = digest::Context::new(&digest::SHA512);
        hash.update(r);
        hash.update(&self.encoded);
        hash.update(message);
        let h = Scalar::from_bytes_mod_order_wide(hash.finish().as_ref().try_into().ok()?);
        let sum = ED25519_BASEPOINT_TABLE.mul_base(&s).add(self.opposite.mul_base(&h));
        // SECURITY: the bytes, not the point: another spelling of R is another signature.
        Some(sum.compress().to_bytes() == *r)
    }
}
