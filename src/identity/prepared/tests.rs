//! Each answer beside `ring`'s: edge cases made by hand, and signatures made and spoilt at random. The vectors of Project
//! Wycheproof are run through both in `identity/tests/vectors.rs`.

use curve25519_dalek::constants::{ED25519_BASEPOINT_POINT, EIGHT_TORSION};
use curve25519_dalek::edwards::EdwardsPoint;
use p256::elliptic_curve::ff::{Field, PrimeField};
use p256::elliptic_curve::ops::Reduce;
use p256::elliptic_curve::point::{AffineCoordinates, DecompressPoint};
use p256::elliptic_curve::subtle::Choice;
use p256::{AffinePoint, FieldBytes, ProjectivePoint, Scalar};
use proptest::prelude::*;
use ring::digest;
use ring::rand::SystemRandom;
use ring::signature::{
    ECDSA_P256_SHA256_FIXED, ECDSA_P256_SHA256_FIXED_SIGNING, ED25519, EcdsaKeyPair, Ed25519KeyPair, KeyPair, RSA_PKCS1_2048_8192_SHA256,
    RSA_PKCS1_SHA256, RsaKeyPair, RsaPublicKeyComponents, UnparsedPublicKey,
};
use rsa::pkcs8::DecodePrivateKey;
use rsa::traits::{PrivateKeyParts, PublicKeyParts};

use super::Prepared;
use crate::identity::tests::rsa_pkcs8;

const MESSAGE: &[u8] = b"message";

/// Both answers, which must be one.
fn es256(point: &AffinePoint, message: &[u8], signature: &[u8]) -> bool {
    let (x, y): ([u8; 32], [u8; 32]) = (point.x().into(), point.y().into());
    let ours = Prepared::es256(&x, &y).expect("a point").verify(message, signature);
    let key = UnparsedPublicKey::new(&ECDSA_P256_SHA256_FIXED, [&[4], &x[..], &y[..]].concat());
    assert_eq!(key.verify(message, signature).is_ok(), ours);
    ours
}

fn hashed(message: &[u8]) -> Scalar {
    let hash: [u8; 32] = digest::digest(&digest::SHA256, message).as_ref().try_into().unwrap();
    Scalar::reduce(&FieldBytes::from(hash))
}

fn inverse(scalar: Scalar) -> Scalar {
    scalar.invert().unwrap()
}

/// The signature with the nonce `k`: what nobody should choose, and somebody can.
fn signed(d: Scalar, k: Scalar, message: &[u8]) -> (Scalar, Scalar) {
    let r = Scalar::reduce(&(ProjectivePoint::GENERATOR * k).to_affine().x());
    (r, inverse(k) * (hashed(message) + r * d))
}

fn bytes(r: Scalar, s: Scalar) -> Vec<u8> {
    [r.to_repr(), s.to_repr()].concat()
}

fn public(d: Scalar) -> AffinePoint {
    (ProjectivePoint::GENERATOR * d).to_affine()
}

/// The order of P-256, big-endian, and some number more.
fn order_and(more: u8) -> [u8; 32] {
    let mut bytes: [u8; 32] = (-Scalar::ONE).to_repr().into();
    // The order less one ends with 0x50.
    bytes[31] += 1 + more;
    bytes
}

#[test]
fn points_that_meet_on_the_way_are_added_and_doubled_rightly() {
    let power = |exponent: u64| Field::pow_vartime(&Scalar::from(2_u64), [exponent]);
    // The generator itself, its opposite, and points of its table: sums of two tables then meet in equal and opposite points.
    let near = [1_u64, 2, 3, 5, 31, 63, 64, 65].map(Scalar::from);
    let keys: Vec<_> = near.into_iter().chain([16, 17, 18, 34, 255].map(power)).flat_map(|d| [d, -d]).collect();
    for d in keys {
        for k in [Scalar::ONE, Scalar::from(2_u64), power(17), power(128), -Scalar::ONE, d, -d, d + Scalar::ONE] {
            if bool::from(k.is_zero()) {
                continue;
            }
            let (r, s) = signed(d, k, MESSAGE);
            if bool::from(s.is_zero()) {
                continue;
            }
            assert!(es256(&public(d), MESSAGE, &bytes(r, s)), "d {d:?}, k {k:?}");
            assert!(es256(&public(d), MESSAGE, &bytes(r, -s)), "the opposite s is as good");
            assert!(!es256(&public(d), MESSAGE, &bytes(r, s + Scalar::ONE)));
            assert!(!es256(&public(d), b"massage", &bytes(r, s)));
        }
    }
}

#[test]
fn the_point_at_infinity_is_no_signature() {
    let e = hashed(MESSAGE);
    for r in [Scalar::ONE, Scalar::from(7_u64), -Scalar::ONE] {
        // With d = -e/r, e + rd is zero, and the sum is infinity whatever s is.
        let d = -(e * inverse(r));
        for s in [Scalar::ONE, Scalar::from(2_u64), -Scalar::ONE] {
            assert!(!es256(&public(d), MESSAGE, &bytes(r, s)));
        }
        // The same key signs as any other does.
        let (r, s) = signed(d, Scalar::from(11_u64), MESSAGE);
        assert!(es256(&public(d), MESSAGE, &bytes(r, s)));
    }
}

#[test]
fn an_x_coordinate_beyond_the_order_counts_modulo_the_order() {
    // Points whose x is the order and a little, or p less a little: made by trying, as half of all numbers are the x of a point.
    let below_p = |less: u8| {
        let mut p = [0; 32];
        p[..4].fill(0xff);
        p[7] = 1;
        p[20..].fill(0xff);
        p[31] = 0xff - (less - 1);
        p
    };
    let mut hits = 0;
    for little in 1_u8..60 {
        for x in [order_and(little), below_p(little)] {
            let point = Option::<AffinePoint>::from(AffinePoint::decompress(&FieldBytes::from(x), Choice::from(little & 1)));
            let Some(point) = point else { continue };
            hits += 1;
            let (r, s) = (Scalar::reduce(&FieldBytes::from(x)), Scalar::from(5_u64));
            // The key for which this r and s are a signature: Q = (sR - eG) / r.
            let key = (ProjectivePoint::from(point) * s - ProjectivePoint::GENERATOR * hashed(MESSAGE)) * inverse(r);
            assert!(es256(&key.to_affine(), MESSAGE, &bytes(r, s)));
            assert!(!es256(&key.to_affine(), MESSAGE, &bytes(r + Scalar::ONE, s)));
            // The x itself is out of range as r.
            assert!(!es256(&key.to_affine(), MESSAGE, &[&x[..], &s.to_repr()[..]].concat()));
        }
    }
    assert!(hits > 30, "{hits}");
}

#[test]
fn an_r_that_would_wrap_around_p_is_no_x_coordinate() {
    // The point with x = 0: modulo p, p is the same, and p less the order is an r in range.
    let point = AffinePoint::decompress(&FieldBytes::from([0; 32]), Choice::from(0)).unwrap();
    let p_less_order = Scalar::reduce(&FieldBytes::from({
        let mut bytes = [0xff; 32];
        bytes[4..7].fill(0);
        bytes[7] = 1;
        bytes[8..20].fill(0);
        bytes
    }));
    for r in [p_less_order, p_less_order + Scalar::ONE] {
        let s = Scalar::from(5_u64);
        let key = (ProjectivePoint::from(point) * s - ProjectivePoint::GENERATOR * hashed(MESSAGE)) * inverse(r);
        assert!(!es256(&key.to_affine(), MESSAGE, &bytes(r, s)));
    }
}

#[test]
fn r_and_s_are_from_one_to_the_order_less_one_in_64_bytes() {
    let d = Scalar::from(12_345_u64);
    let key = public(d);
    let (r, s) = signed(d, Scalar::from(678_u64), MESSAGE);
    assert!(es256(&key, MESSAGE, &bytes(r, s)));
    let (r, s): ([u8; 32], [u8; 32]) = (r.to_repr().into(), s.to_repr().into());
    let edges = [[0; 32], order_and(0), order_and(1), [0xff; 32]];
    for edge in edges {
        assert!(!es256(&key, MESSAGE, &[edge, s].concat()));
        assert!(!es256(&key, MESSAGE, &[r, edge].concat()));
        for other in edges {
            assert!(!es256(&key, MESSAGE, &[edge, other].concat()));
        }
    }
    let whole = [r, s].concat();
    for wrong in [&whole[..63], &whole[1..], &[&whole[..], &[0]].concat(), &[&[0], &whole[..]].concat(), &[]] {
        assert!(!es256(&key, MESSAGE, wrong));
    }
}

#[test]
fn a_key_that_is_no_point_is_not_prepared() {
    let point = public(Scalar::from(3_u64));
    let (x, y): ([u8; 32], [u8; 32]) = (point.x().into(), point.y().into());
    assert!(Prepared::es256(&x, &y).is_some());
    let mut off = y;
    off[31] ^= 1;
    for (x, y) in [(x, off), ([0; 32], [0; 32]), ([0xff; 32], y), (y, x)] {
        assert!(Prepared::es256(&x, &y).is_none());
    }
}

/// Both answers, which must be one.
fn eddsa(public: &[u8; 32], message: &[u8], signature: &[u8]) -> bool {
    let ours = Prepared::eddsa(public).expect("a point").verify(message, signature);
    assert_eq!(UnparsedPublicKey::new(&ED25519, public).verify(message, signature).is_ok(), ours);
    ours
}

type EdScalar = curve25519_dalek::scalar::Scalar;

/// S for a given encoding of R = rB.
fn answer(a: EdScalar, r: EdScalar, public: &[u8; 32], encoded: &[u8; 32], message: &[u8]) -> EdScalar {
    let hash = digest::digest(&digest::SHA512, &[&encoded[..], &public[..], message].concat());
    r + EdScalar::from_bytes_mod_order_wide(hash.as_ref().try_into().unwrap()) * a
}

#[test]
fn ed25519_wants_one_spelling_of_r_and_of_s() {
    let a = EdScalar::from(987_654_321_u64);
    let public = (ED25519_BASEPOINT_POINT * a).compress().to_bytes();
    let signature = |r: u64, encoded: &[u8; 32]| [*encoded, answer(a, EdScalar::from(r), &public, encoded, MESSAGE).to_bytes()].concat();
    let spelt = |r: u64| (ED25519_BASEPOINT_POINT * EdScalar::from(r)).compress().to_bytes();
    assert!(eddsa(&public, MESSAGE, &signature(5, &spelt(5))));
    assert!(!eddsa(&public, b"massage", &signature(5, &spelt(5))));
    // The neutral point as R: only its canonical spelling.
    let one = spelt(0);
    assert!(eddsa(&public, MESSAGE, &signature(0, &one)));
    let mut signed_zero = one;
    signed_zero[31] |= 0x80;
    // 2²⁵⁵ - 19 + 1.
    let mut beyond = [0xff; 32];
    (beyond[0], beyond[31]) = (0xee, 0x7f);
    for encoded in [signed_zero, beyond] {
        assert!(!eddsa(&public, MESSAGE, &signature(0, &encoded)));
    }
    // S and the order: the same modulo the order.
    let good = signature(5, &spelt(5));
    let order = (-EdScalar::ONE).to_bytes();
    let mut carry = 1_u16;
    let beyond: Vec<u8> = good[32..]
        .iter()
        .zip(order)
        .map(|(a, b)| {
            carry += u16::from(*a) + u16::from(b);
            let low = carry.to_le_bytes()[0];
            carry >>= 8;
            low
        })
        .collect();
    assert!(!eddsa(&public, MESSAGE, &[&good[..32], &beyond].concat()));
    for edge in [[0; 32], [0xff; 32]] {
        assert!(!eddsa(&public, MESSAGE, &[&good[..32], &edge].concat()));
        assert!(!eddsa(&public, MESSAGE, &[&edge, &good[32..]].concat()));
    }
    for wrong in [&good[..63], &good[1..], &[&good[..], &[0]].concat(), &[]] {
        assert!(!eddsa(&public, MESSAGE, wrong));
    }
}

#[test]
fn ed25519_does_not_multiply_by_the_cofactor() {
    let a = EdScalar::from(1_234_567_u64);
    let (mut verified, mut refused) = (0, 0);
    for torsion in EIGHT_TORSION {
        // A key with a part of small order, and an R with one.
        let key: EdwardsPoint = ED25519_BASEPOINT_POINT * a + torsion;
        let public = key.compress().to_bytes();
        for other in EIGHT_TORSION {
            for r in 1_u64..8 {
                let encoded = (ED25519_BASEPOINT_POINT * EdScalar::from(r) + other).compress().to_bytes();
                let s = answer(a, EdScalar::from(r), &public, &encoded, MESSAGE);
                match eddsa(&public, MESSAGE, &[encoded, s.to_bytes()].concat()) {
                    true => verified += 1,
                    false => refused += 1,
                }
            }
        }
    }
    // With the cofactor all of them would verify.
    assert!(verified >= 7 && refused > 300, "{verified} {refused}");
}

#[test]
fn an_ed25519_key_is_prepared_in_its_canonical_spelling_only() {
    let good = ED25519_BASEPOINT_POINT.compress().to_bytes();
    assert!(Prepared::eddsa(&good).is_some());
    let mut beyond = [0xff; 32];
    (beyond[0], beyond[31]) = (0xee, 0x7f);
    let mut signed_zero = [0; 32];
    (signed_zero[0], signed_zero[31]) = (1, 0x80);
    let mut no_point = [0; 32];
    no_point[0] = 2;
    for bad in [beyond, signed_zero, no_point] {
        assert!(Prepared::eddsa(&bad).is_none());
    }
}

/// The suite's RSA key, prepared, and what `ring` makes of it.
struct Rsa {
    key: rsa::PrivateKey,
    prepared: Prepared,
    components: RsaPublicKeyComponents<Vec<u8>>,
}

impl Rsa {
    fn new() -> Self {
        let key = rsa::PrivateKey::from_pkcs8_der(&rsa_pkcs8()).unwrap();
        let components = RsaPublicKeyComponents { n: key.n().as_ref().to_be_bytes().into(), e: vec![1, 0, 1] };
        let prepared = Prepared::rs256(&components.n, &components.e).unwrap();
        Self { key, prepared, components }
    }

    /// Both answers, which must be one.
    fn verify(&self, message: &[u8], signature: &[u8]) -> bool {
        let ours = self.prepared.verify(message, signature);
        assert_eq!(self.components.verify(&RSA_PKCS1_2048_8192_SHA256, message, signature).is_ok(), ours);
        ours
    }

    /// The number that becomes `encoded` when it is raised to the public exponent.
    fn raw(&self, encoded: &[u8]) -> Vec<u8> {
        use crypto_bigint::modular::{FixedMontyForm, FixedMontyParams};
        use crypto_bigint::{Odd, U2048};
        let number = |bytes: &[u8]| U2048::from_be_slice(bytes);
        let parameters = FixedMontyParams::new_vartime(Odd::new(number(&self.components.n)).unwrap());
        let power = FixedMontyForm::new(&number(encoded), &parameters).pow(&number(&self.key.d().to_be_bytes()));
        power.retrieve().to_be_bytes().as_ref().to_vec()
    }
}

const SHA256_INFO: &[u8] =
    &[0x30, 0x31, 0x30, 0x0d, 0x06, 0x09, 0x60, 0x86, 0x48, 0x01, 0x65, 0x03, 0x04, 0x02, 0x01, 0x05, 0x00, 0x04, 0x20];

#[test]
fn what_an_rsa_signature_holds_is_right_in_every_byte() {
    let rsa = Rsa::new();
    let hash = digest::digest(&digest::SHA256, MESSAGE);
    let hash = hash.as_ref();
    // Filled up to the length of the key behind the first two bytes.
    let filled = |start: &[u8], fill: u8, tail: &[u8]| [start, &vec![fill; 256 - start.len() - tail.len()], tail].concat();
    let tail = |info: &[u8], hash: &[u8]| [&[0], info, hash].concat();
    let good = filled(&[0, 1], 0xff, &tail(SHA256_INFO, hash));
    assert!(rsa.verify(MESSAGE, &rsa.raw(&good)));
    assert!(!rsa.verify(b"massage", &rsa.raw(&good)));
    let without_null = [&[0x30, 0x2f, 0x30, 0x0b], &SHA256_INFO[4..15], &[0x04, 0x20]].concat();
    let long_length = [&[0x30, 0x81, 0x31], &SHA256_INFO[2..]].concat();
    let mut other_hash = SHA256_INFO.to_vec();
    other_hash[14] = 2;
    let garbage = [hash, &[0xaa; 16]].concat();
    let mut flipped = hash.to_vec();
    flipped[0] ^= 1;
    for (name, encoded) in [
        ("no NULL", filled(&[0, 1], 0xff, &tail(&without_null, hash))),
        ("a length in two bytes", filled(&[0, 1], 0xff, &tail(&long_length, hash))),
        ("another hash's DigestInfo", filled(&[0, 1], 0xff, &tail(&other_hash, hash))),
        ("no DigestInfo", filled(&[0, 1], 0xff, &tail(&[], hash))),
        ("garbage after the hash", filled(&[0, 1], 0xff, &tail(SHA256_INFO, &garbage))),
        ("another hash", filled(&[0, 1], 0xff, &tail(SHA256_INFO, &flipped))),
        ("padding that ends early", {
            let short = [&[0xff; 8][..], &tail(SHA256_INFO, hash)].concat();
            [&[0, 1][..], &short, &vec![0xaa; 254 - short.len()]].concat()
        }),
        ("padding for encryption", filled(&[0, 2], 0xff, &tail(SHA256_INFO, hash))),
        ("padding of zeros", filled(&[0, 1], 0, &tail(SHA256_INFO, hash))),
        ("padding of other bytes", filled(&[0, 1], 0xfe, &tail(SHA256_INFO, hash))),
        ("no zero behind the padding", filled(&[0, 1], 0xff, &[SHA256_INFO, hash].concat())),
        ("a zero within the padding", filled(&[0, 1, 0xff, 0xff, 0], 0xff, &tail(SHA256_INFO, hash))),
        ("no block type", filled(&[0, 0], 0xff, &tail(SHA256_INFO, hash))),
    ] {
        assert_eq!(encoded.len(), 256);
        assert!(!rsa.verify(MESSAGE, &rsa.raw(&encoded)), "{name}");
    }
}

#[test]
fn an_rsa_signature_is_as_long_as_the_modulus_and_less() {
    let rsa = Rsa::new();
    let pair = RsaKeyPair::from_pkcs8(&rsa_pkcs8()).unwrap();
    let mut good = vec![0; 256];
    pair.sign(&RSA_PKCS1_SHA256, &SystemRandom::new(), MESSAGE, &mut good).unwrap();
    assert!(rsa.verify(MESSAGE, &good));
    let n = &rsa.components.n;
    let mut one = vec![0; 256];
    one[255] = 1;
    let mut less = n.clone();
    less[255] -= 1;
    for edge in [vec![0; 256], one, less, n.clone(), vec![0xff; 256], vec![]] {
        assert!(!rsa.verify(MESSAGE, &edge));
    }
    for wrong in [&good[..255], &good[1..], &[&good[..], &[0]].concat(), &[&[0], &good[..]].concat()] {
        assert!(!rsa.verify(MESSAGE, wrong));
    }
    // The same number modulo n, where it still fits.
    let mut carry = 0_u16;
    let mut beyond: Vec<u8> = (good.iter().rev().zip(n.iter().rev()))
        .map(|(a, b)| {
            carry += u16::from(*a) + u16::from(*b);
            let low = carry.to_le_bytes()[0];
            carry >>= 8;
            low
        })
        .collect();
    beyond.reverse();
    assert!(!rsa.verify(MESSAGE, &beyond) && !rsa.verify(MESSAGE, &[&[1], &beyond[..]].concat()));
}

#[test]
fn rsa_keys_of_other_exponents_and_sizes_are_left_to_ring() {
    let n = Rsa::new().components.n;
    let odd = |bytes: usize, first: u8| [&[first], &vec![0x55; bytes - 1][..]].concat();
    for (n, e, expected) in [
        (n.clone(), &[1, 0, 1][..], true),
        (n.clone(), &[3], false),
        (n.clone(), &[17], false),
        (n.clone(), &[0, 1, 0, 1], false),
        (n.clone(), &[1, 0, 3], false),
        (n.clone(), &[], false),
        (n[..255].to_vec(), &[1, 0, 1], false),
        ([&n[..255], &[0]].concat(), &[1, 0, 1], false),
        (odd(256, 0x7f), &[1, 0, 1], false),
        (odd(256, 0x80), &[1, 0, 1], true),
        (odd(257, 1), &[1, 0, 1], true),
        (odd(257, 0), &[1, 0, 1], false),
        (odd(384, 1), &[1, 0, 1], true),
        (odd(512, 0xff), &[1, 0, 1], true),
        (odd(513, 1), &[1, 0, 1], false),
        (vec![], &[1, 0, 1], false),
    ] {
        assert_eq!(Prepared::rs256(&n, e).is_some(), expected, "{} bytes, exponent {e:?}", n.len());
    }
}

/// What is done to a signature, or to its message.
#[derive(Debug, Clone)]
enum Spoilt {
    Not,
    Flipped(usize),
    Message,
    Cut(usize),
    Longer(u8),
    Replaced(Vec<u8>),
}

fn spoilt() -> impl Strategy<Value = Spoilt> {
    prop_oneof![
        3 => Just(Spoilt::Not),
        3 => any::<usize>().prop_map(Spoilt::Flipped),
        1 => Just(Spoilt::Message),
        1 => any::<usize>().prop_map(Spoilt::Cut),
        1 => any::<u8>().prop_map(Spoilt::Longer),
        1 => proptest::collection::vec(any::<u8>(), 0..520).prop_map(Spoilt::Replaced),
    ]
}

impl Spoilt {
    fn apply(self, message: &mut Vec<u8>, signature: &mut Vec<u8>) {
        match self {
            Self::Not => {}
            Self::Flipped(at) => {
                let at = at % (signature.len() * 8);
                signature[at / 8] ^= 1 << (at % 8);
            }
            Self::Message => message.push(0),
            Self::Cut(at) => signature.truncate(at % signature.len()),
            Self::Longer(byte) => signature.push(byte),
            Self::Replaced(bytes) => *signature = bytes,
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(96))]

    #[test]
    fn random_signatures_of_each_kind_have_the_same_answer(
        seed in any::<[u8; 32]>(), mut message in proptest::collection::vec(any::<u8>(), 0..100), spoilt in spoilt(),
    ) {
        let whole = matches!(spoilt, Spoilt::Not);
        let original = message.clone();
        let system = SystemRandom::new();

        let pair = Ed25519KeyPair::from_seed_unchecked(&seed).unwrap();
        let mut signature = pair.sign(&message).as_ref().to_vec();
        spoilt.clone().apply(&mut message, &mut signature);
        prop_assert_eq!(eddsa(pair.public_key().as_ref().try_into().unwrap(), &message, &signature), whole);

        let mut message = original.clone();
        let d = Scalar::reduce(&FieldBytes::from(seed));
        let point = public(d);
        let encoded = [&[4], &point.x()[..], &point.y()[..]].concat();
        let pair = EcdsaKeyPair::from_private_key_and_public_key(&ECDSA_P256_SHA256_FIXED_SIGNING, &d.to_repr(), &encoded, &system).unwrap();
        let mut signature = pair.sign(&system, &message).unwrap().as_ref().to_vec();
        spoilt.clone().apply(&mut message, &mut signature);
        prop_assert_eq!(es256(&point, &message, &signature), whole);

        let mut message = original;
        let rsa = Rsa::new();
        let pair = RsaKeyPair::from_pkcs8(&rsa_pkcs8()).unwrap();
        let mut signature = vec![0; 256];
        pair.sign(&RSA_PKCS1_SHA256, &system, &message, &mut signature).unwrap();
        spoilt.apply(&mut message, &mut signature);
        prop_assert_eq!(rsa.verify(&message, &signature), whole);
    }
}
