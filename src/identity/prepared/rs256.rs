//! RSASSA-PKCS1-v1_5 with SHA-256 (RFC 8017, section 8.2.2) and the exponent 65537.
//!
//! What modular arithmetic needs of a modulus is computed once. A signature is raised to the exponent in sixteen squarings and
//! one multiplication, and what comes out is compared whole with what the message has to look like: nothing is parsed.

use crypto_bigint::modular::{FixedMontyForm, FixedMontyParams};
use crypto_bigint::{Odd, U2048, U3072, U4096, Uint};
use ring::digest;

/// The exponent: F₄.
const EXPONENT: [u8; 3] = [1, 0, 1];
/// The squarings that raise to the exponent less one, 2¹⁶.
const SQUARINGS: u32 = 16;
/// The `DigestInfo` of a SHA-256 hash up to the hash (RFC 8017, section 9.2, note 1).
const DIGEST_INFO: [u8; 19] =
    [0x30, 0x31, 0x30, 0x0d, 0x06, 0x09, 0x60, 0x86, 0x48, 0x01, 0x65, 0x03, 0x04, 0x02, 0x01, 0x05, 0x00, 0x04, 0x20];

/// A public key with what is known of its modulus. Moduli in between take the room of the next larger.
pub(super) enum Key {
    Bits2048(Box<Modulus<{ U2048::LIMBS }>>),
    Bits3072(Box<Modulus<{ U3072::LIMBS }>>),
    Bits4096(Box<Modulus<{ U4096::LIMBS }>>),
}

impl Key {
    /// The most bytes a key takes.
    pub(super) const BYTES: usize = size_of::<Modulus<{ U4096::LIMBS }>>();

    /// A key from its big-endian modulus and exponent, without leading zeros; `None` when the exponent is not 65537, the modulus
    /// is even, or does not have 2048 to 4096 bits.
    pub(super) fn new(n: &[u8], e: &[u8]) -> Option<Self> {
        if e != EXPONENT || n.first().is_none_or(|first| *first == 0) {
            return None;
        }
        match n.len() {
            // 256 bytes are 2048 bits only with the highest one.
            256 if n.first().is_some_and(|first| *first >= 0x80) => Some(Self::Bits2048(Modulus::new(n)?)),
            257..=384 => Some(Self::Bits3072(Modulus::new(n)?)),
            385..=512 => Some(Self::Bits4096(Modulus::new(n)?)),
            _ => None,
        }
    }

    /// Whether `signature` is this key's signature of `message`.
    pub(super) fn verify(&self, message: &[u8], signature: &[u8]) -> bool {
        match self {
            Self::Bits2048(modulus) => modulus.verify(message, signature),
            Self::Bits3072(modulus) => modulus.verify(message, signature),
            Self::Bits4096(modulus) => modulus.verify(message, signature),
        }
        .unwrap_or(false)
    }
}

/// A modulus in a number of `LIMBS` machine words.
pub(super) struct Modulus<const LIMBS: usize> {
    parameters: FixedMontyParams<LIMBS>,
    /// The bytes of the modulus, which are also those of a signature.
    length: usize,
}

impl<const LIMBS: usize> Modulus<LIMBS> {
    fn new(n: &[u8]) -> Option<Box<Self>> {
        let modulus = Option::from(Odd::new(number(n)?))?;
        Some(Box::new(Self { parameters: FixedMontyParams::new_vartime(modulus), length: n.len() }))
    }

    fn verify(&self, message: &[u8], signature: &[u8]) -> Option<bool> {
        // SECURITY: a signature has one spelling: as long as the modulus, and less than it.
        if signature.len() != self.length {
            return None;
        }
        let signature = number(signature)?;
        if signature >= *self.parameters.modulus().as_ref() {
            return None;
        }
        let base = FixedMontyForm::new(&signature, &self.parameters);
        let power = (0..SQUARINGS).fold(base, |power, _| power.square()).mul(&base);
        Some(power.retrieve() == number(&encoding(message, self.length)?)?)
    }
}

/// What a message has to look like under the signature (EMSA-PKCS1-v1_5; RFC 8017, section 9.2).
///
/// SECURITY: made anew and compared whole. A verifier that reads the padding instead can be made to skip over what it should not.
fn encoding(message: &[u8], length: usize) -> Option<Vec<u8>> {
    let hash = digest::digest(&digest::SHA256, message);
    let hash = hash.as_ref();
    let padding = length.checked_sub(3)?.checked_sub(DIGEST_INFO.len())?.checked_sub(hash.len())?;
    Some([&[0, 1], vec![0xff; padding].as_slice(), &[0], &DIGEST_INFO, hash].concat())
}

/// A big-endian number; `None` when it has more bytes than there is room for.
fn number<const LIMBS: usize>(bytes: &[u8]) -> Option<Uint<LIMBS>> {
    let zeros = Uint::<LIMBS>::BYTES.checked_sub(bytes.len())?;
    Some(Uint::from_be_slice(&[vec![0; zeros].as_slice(), bytes].concat()))
}
