//! Whether a public key is a point on its curve. Used when a bundle is loaded, on keys only: it is slow and simple.
//!
//! `ring` makes the same check, but only while verifying, when it is too late to tell whoever wrote the key file.

/// Little-endian limbs of a number of up to 384 bits.
type Number = [u64; 6];

const ZERO: Number = [0; 6];
const ONE: Number = [1, 0, 0, 0, 0, 0];

/// A short Weierstrass curve y² = x³ - 3x + b over the integers modulo p.
pub(super) struct Curve {
    p: Number,
    b: Number,
}

/// NIST P-256 (FIPS 186-4, D.1.2.3).
pub(super) const P256: Curve = Curve {
    p: [0xffff_ffff_ffff_ffff, 0x0000_0000_ffff_ffff, 0x0000_0000_0000_0000, 0xffff_ffff_0000_0001, 0, 0],
    b: [0x3bce_3c3e_27d2_604b, 0x651d_06b0_cc53_b0f6, 0xb3eb_bd55_7698_86bc, 0x5ac6_35d8_aa3a_93e7, 0, 0],
};

/// NIST P-384 (FIPS 186-4, D.1.2.4).
pub(super) const P384: Curve = Curve {
    p: [
        0x0000_0000_ffff_ffff,
        0xffff_ffff_0000_0000,
        0xffff_ffff_ffff_fffe,
        0xffff_ffff_ffff_ffff,
        0xffff_ffff_ffff_ffff,
        0xffff_ffff_ffff_ffff,
    ],
    b: [
        0x2a85_c8ed_d3ec_2aef,
        0xc656_398d_8a2e_d19d,
        0x0314_088f_5013_875a,
        0x181d_9c6e_fe81_4112,
        0x988e_056b_e3f8_2d19,
        0xb331_2fa7_e23e_e7e4,
    ],
};

impl Curve {
    /// Whether the big-endian coordinates are those of a point, each less than p.
    pub(super) fn contains(&self, x: &[u8], y: &[u8]) -> bool {
        let p = &self.p;
        let (x, y) = (number(x.iter().rev()), number(y.iter().rev()));
        if !less(&x, p) || !less(&y, p) {
            return false;
        }
        let cube = mul(&mul(&x, &x, p), &x, p);
        let three_x = add(&add(&x, &x, p), &x, p);
        mul(&y, &y, p) == add(&sub(&cube, &three_x, p), &self.b, p)
    }
}

/// What 32 bytes are as an Ed25519 public key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Ed25519 {
    /// A usable key.
    Good,
    /// Not the canonical encoding of a point.
    NotAPoint,
    /// A point whose multiples are at most eight.
    SmallOrder,
}

/// 2²⁵⁵ - 19.
const ED_P: Number = [0xffff_ffff_ffff_ffed, 0xffff_ffff_ffff_ffff, 0xffff_ffff_ffff_ffff, 0x7fff_ffff_ffff_ffff, 0, 0];
/// The d of -x² + y² = 1 + dx²y² (RFC 8032, section 5.1).
const ED_D: Number = [0x75eb_4dca_1359_78a3, 0x0070_0a4d_4141_d8ab, 0x8cc7_4079_7779_e898, 0x5203_6cee_2b6f_fe73, 0, 0];
/// The y of the points of order 1, 2, 4 and 8 (twice).
const ED_SMALL: [Number; 5] = [
    ONE,
    [0xffff_ffff_ffff_ffec, 0xffff_ffff_ffff_ffff, 0xffff_ffff_ffff_ffff, 0x7fff_ffff_ffff_ffff, 0, 0],
    ZERO,
    [0xb027_b2c2_8f95_e826, 0xf098_eff2_89f4_c345, 0x3933_c6d3_05ac_dfd5, 0x05fc_536d_8802_38b1, 0, 0],
    [0x4fd8_4d3d_706a_17c7, 0x0f67_100d_760b_3cba, 0xc6cc_392c_fa53_202a, 0x7a03_ac92_77fd_c74e, 0, 0],
];

/// Checks an Ed25519 public key (RFC 8032, section 5.1.3).
pub(super) fn ed25519(bytes: &[u8; 32]) -> Ed25519 {
    let mut y = number(bytes.iter());
    // The highest bit is the sign of x, not part of y.
    if let Some(limb) = y.get_mut(3) {
        *limb &= 0x7fff_ffff_ffff_ffff;
    }
    if !less(&y, &ED_P) {
        return Ed25519::NotAPoint;
    }
    if ED_SMALL.contains(&y) {
        return Ed25519::SmallOrder;
    }
    // x² = (y² - 1) / (dy² + 1) has a root exactly when (y² - 1)(dy² + 1) is a square.
    let square = mul(&y, &y, &ED_P);
    let (above, below) = (sub(&square, &ONE, &ED_P), add(&mul(&ED_D, &square, &ED_P), &ONE, &ED_P));
    if is_square(mul(&above, &below, &ED_P), ED_P) { Ed25519::Good } else { Ed25519::NotAPoint }
}

/// A number from bytes, least significant first. Bytes that do not fit are not read; callers give at most 48.
fn number<'a>(bytes: impl Iterator<Item = &'a u8>) -> Number {
    let mut bytes = bytes.copied();
    ZERO.map(|_| u64::from_le_bytes([0_u8; 8].map(|_| bytes.next().unwrap_or(0))))
}

fn raw_add(a: &Number, b: &Number) -> (Number, bool) {
    let (mut out, mut carry) = (ZERO, false);
    for ((out, a), b) in out.iter_mut().zip(a).zip(b) {
        let (sum, first) = a.overflowing_add(*b);
        let (sum, second) = sum.overflowing_add(u64::from(carry));
        (*out, carry) = (sum, first || second);
    }
    (out, carry)
}

fn raw_sub(a: &Number, b: &Number) -> (Number, bool) {
    let (mut out, mut borrow) = (ZERO, false);
    for ((out, a), b) in out.iter_mut().zip(a).zip(b) {
        let (difference, first) = a.overflowing_sub(*b);
        let (difference, second) = difference.overflowing_sub(u64::from(borrow));
        (*out, borrow) = (difference, first || second);
    }
    (out, borrow)
}

fn less(a: &Number, b: &Number) -> bool {
    raw_sub(a, b).1
}

/// a + b modulo p, for a and b less than p.
fn add(a: &Number, b: &Number, p: &Number) -> Number {
    let (sum, carry) = raw_add(a, b);
    let (reduced, borrow) = raw_sub(&sum, p);
    if carry || !borrow { reduced } else { sum }
}

/// a - b modulo p, for a and b less than p.
fn sub(a: &Number, b: &Number, p: &Number) -> Number {
    let (difference, borrow) = raw_sub(a, b);
    if borrow { raw_add(&difference, p).0 } else { difference }
}

/// The bits of a number, most significant first.
fn bits(a: &Number) -> impl Iterator<Item = bool> {
    a.iter().rev().flat_map(|limb| (0..64_u32).rev().map(move |bit| limb.checked_shr(bit).is_some_and(|v| v & 1 == 1)))
}

/// a × b modulo p by doubling and adding.
fn mul(a: &Number, b: &Number, p: &Number) -> Number {
    bits(b).fold(ZERO, |out, bit| {
        let out = add(&out, &out, p);
        if bit { add(&out, a, p) } else { out }
    })
}

/// Half of an even number.
fn half(a: &Number) -> Number {
    let mut carry = 0;
    let mut out = *a;
    for limb in out.iter_mut().rev() {
        (*limb, carry) = ((*limb >> 1) | carry, *limb << 63);
    }
    out
}

/// Whether a, not zero, is a square modulo the odd prime p: its Jacobi symbol by halving, swapping and subtracting.
/// Ends because each round makes one of the two smaller.
fn is_square(mut a: Number, mut p: Number) -> bool {
    let low = |a: &Number| a.first().copied().unwrap_or(0);
    let mut square = true;
    while a != ZERO {
        if low(&a) & 1 == 0 {
            // 2 is a square modulo p exactly when p is 1 or 7 modulo 8.
            square ^= matches!(low(&p) & 7, 3 | 5);
            a = half(&a);
            continue;
        }
        if less(&a, &p) {
            // Quadratic reciprocity.
            square ^= low(&a) & 3 == 3 && low(&p) & 3 == 3;
            std::mem::swap(&mut a, &mut p);
        }
        a = raw_sub(&a, &p).0;
    }
    square && p == ONE
}

#[cfg(test)]
mod tests {
    use ring::signature::{EcdsaKeyPair, Ed25519KeyPair, KeyPair};

    use super::*;
    use crate::identity::signing;

    #[test]
    fn generated_points_are_on_their_curve_and_neighbours_are_not() {
        for (algorithm, signing, curve) in [
            ("ES256", &ring::signature::ECDSA_P256_SHA256_FIXED_SIGNING, &P256),
            ("ES384", &ring::signature::ECDSA_P384_SHA384_FIXED_SIGNING, &P384),
        ] {
            for _ in 0..8 {
                let pkcs8 = signing::generate(algorithm).unwrap();
                let pair = EcdsaKeyPair::from_pkcs8(signing, &pkcs8, &ring::rand::SystemRandom::new()).unwrap();
                let point = &pair.public_key().as_ref()[1..];
                let (x, y) = point.split_at(point.len() / 2);
                assert!(curve.contains(x, y));
                let mut other = y.to_vec();
                other[7] ^= 1;
                assert!(!curve.contains(x, &other));
                assert!(!curve.contains(y, x));
            }
        }
    }

    #[test]
    fn coordinates_outside_the_field_and_the_origin_are_refused() {
        assert!(!P256.contains(&[0; 32], &[0; 32]));
        assert!(!P256.contains(&[0xff; 32], &[0xff; 32]));
        assert!(!P384.contains(&[0; 48], &[0; 48]));
    }

    #[test]
    fn generated_ed25519_keys_are_good() {
        for _ in 0..4 {
            let pair = Ed25519KeyPair::from_pkcs8(&signing::generate("EdDSA").unwrap()).unwrap();
            let mut key: [u8; 32] = pair.public_key().as_ref().try_into().unwrap();
            assert_eq!(ed25519(&key), Ed25519::Good);
            // The other root belongs to the other sign; both are points.
            key[31] ^= 0x80;
            assert_eq!(ed25519(&key), Ed25519::Good);
        }
    }

    #[test]
    fn squares_are_told_from_others() {
        // -1 and 2 are known for 2²⁵⁵ - 19, which is 5 modulo 8: the one is a square, the other is not.
        let two = add(&ONE, &ONE, &ED_P);
        assert!(is_square(sub(&ZERO, &ONE, &ED_P), ED_P));
        assert!(!is_square(two, ED_P));
        for n in 1..200_u64 {
            let n = [n, n, n, n / 3, 0, 0];
            assert!(is_square(mul(&n, &n, &ED_P), ED_P));
            assert!(!is_square(mul(&mul(&n, &n, &ED_P), &two, &ED_P), ED_P));
        }
        // And for a prime small enough to count.
        let small = |n: u64| [n, 0, 0, 0, 0, 0];
        for n in 1..103 {
            assert_eq!(is_square(small(n), small(103)), (1..103).any(|x| x * x % 103 == n), "{n}");
        }
    }

    #[test]
    fn about_half_of_all_encodings_are_no_point() {
        let refused = (2..40_u8).filter(|y| {
            let mut key = [0; 32];
            key[0] = *y;
            ed25519(&key) == Ed25519::NotAPoint
        });
        assert!((10..28).contains(&refused.count()));
    }

    #[test]
    fn points_of_small_order_and_other_encodings_of_them_are_refused() {
        for y in ED_SMALL {
            let bytes: Vec<u8> = y[..4].iter().flat_map(|limb| limb.to_le_bytes()).collect();
            let mut key: [u8; 32] = bytes.try_into().unwrap();
            assert_eq!(ed25519(&key), Ed25519::SmallOrder);
            key[31] |= 0x80;
            assert_eq!(ed25519(&key), Ed25519::SmallOrder);
        }
        // y = p and y = p + 1 are 0 and 1 written differently.
        for low in [0xed, 0xee] {
            let mut key = [0xff; 32];
            key[0] = low;
            key[31] = 0x7f;
            assert_eq!(ed25519(&key), Ed25519::NotAPoint);
        }
    }

    #[test]
    fn the_points_of_order_eight_are_what_they_claim() {
        // Doubling (RFC 8032, section 5.1.4): a point of order eight doubles to one of order four, whose y is 0, and that is
        // so exactly when y² = -x² , that is when dy⁴ + 2y² - 1 = 0 with x² = (y² - 1) / (dy² + 1).
        for y in &ED_SMALL[3..] {
            let square = mul(y, y, &ED_P);
            let fourth = mul(&square, &square, &ED_P);
            let sum = add(&mul(&ED_D, &fourth, &ED_P), &add(&square, &square, &ED_P), &ED_P);
            assert_eq!(sub(&sum, &ONE, &ED_P), ZERO);
        }
    }
}
