//! ECDSA on P-256 with SHA-256 (FIPS 186-5, section 6.4.2), as JWS signs with it: `r` and `s` of 32 bytes each.
//!
//! A signature is good when `u₁G + u₂Q` has the x-coordinate `r` modulo the group order. Both products are sums of multiples
//! that were made beforehand, of the generator `G` once for all keys and of the public key `Q`. The scalars are written in
//! signed digits of seven bits, of which about one place in eight is not zero. A table has rows 17 places apart, so that
//! sixteen rows can be added up for one doubling.
//!
//! Everything here is public, so that nothing has to run in constant time, and nothing does.

use std::iter;
use std::sync::LazyLock;

use p256::elliptic_curve::ff::PrimeField;
use p256::elliptic_curve::hazmat::FieldArithmetic;
use p256::elliptic_curve::ops::Reduce;
use p256::elliptic_curve::point::AffineCoordinates;
use p256::elliptic_curve::{BatchNormalize, FieldBytes, Group};
use p256::{AffinePoint, NistP256, ProjectivePoint, Scalar};
use ring::digest;

/// An integer modulo p.
type Field = <NistP256 as FieldArithmetic>::FieldElement;
type Bytes = FieldBytes<NistP256>;

/// Rows of a table.
const ROWS: usize = 16;
/// Places of a scalar from one row to the next. Together a place more than the 256 bits of a scalar, which the last carry needs.
const SPAN: usize = 17;
/// Bits of a digit. Digits are zero or odd, and less than 2⁶ either way.
const WIDTH: usize = 7;
/// Points of a row: the odd multiples 1 to 63 of its first. 32 KiB for a table.
const POINTS: usize = 32;

/// The order of the group, big-endian (SP 800-186, section 3.2.1.3).
const ORDER: [u8; 32] = [
    0xff, 0xff, 0xff, 0xff, 0, 0, 0, 0, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xbc, 0xe6, 0xfa, 0xad, 0xa7, 0x17, 0x9e, 0x84,
    0xf3, 0xb9, 0xca, 0xc2, 0xfc, 0x63, 0x25, 0x51,
];
/// What is left of p above the order: only an `r` below it may stand for two x-coordinates.
const ABOVE_ORDER: [u8; 32] = [
    0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0x43, 0x19, 0x05, 0x53, 0x58, 0xe8, 0x61, 0x7b, 0x0c, 0x46, 0x35, 0x3d, 0x03, 0x9c,
    0xda, 0xae,
];

/// A public key with its multiples.
pub(super) struct Key(Table);

impl Key {
    /// The bytes a key takes.
    pub(super) const BYTES: usize = ROWS * POINTS * size_of::<Affine>();

    /// A key from the coordinates of its point; `None` when they are those of no point.
    pub(super) fn new(x: &[u8; 32], y: &[u8; 32]) -> Option<Self> {
        let point: AffinePoint = Option::from(AffinePoint::from_coordinates(&Bytes::from(*x), &Bytes::from(*y)))?;
        // With the first key, so that no request has to make them: where a key is sealed, the snapshot has them.
        LazyLock::force(&GENERATOR);
        Table::new(&point.into()).map(Self)
    }

    /// Whether `signature` is this key's signature of `message`.
    pub(super) fn verify(&self, message: &[u8], signature: &[u8]) -> bool {
        self.check(message, signature).unwrap_or(false)
    }

    fn check(&self, message: &[u8], signature: &[u8]) -> Option<bool> {
        // SECURITY: exactly 64 bytes, and r and s from 1 to the order less one (`scalar`). With s of zero nothing would be divided
        // by, and with r of zero anybody could sign.
        let (r_bytes, s) = signature.split_first_chunk::<32>()?;
        let (r, s) = (scalar(r_bytes)?, scalar(s.try_into().ok()?)?);
        let hash = digest::digest(&digest::SHA256, message);
        let hash: [u8; 32] = hash.as_ref().try_into().ok()?;
        let e = Scalar::reduce(&Bytes::from(hash));
        let w: Scalar = Option::from(s.invert_vartime())?;
        let sum = double_product(&e.multiply(&w), &r.multiply(&w), &self.0)?;
        // SECURITY: the point at infinity has no x-coordinate. Compared with zero for zero, it would match any r.
        if sum.is_infinity() {
            return Some(false);
        }
        let r: Field = Option::from(Field::from_repr(Bytes::from(*r_bytes)))?;
        if sum.has_x(&r) {
            return Some(true);
        }
        // x is taken modulo the order, which is less than p: x may also have been r and the order.
        if *r_bytes >= ABOVE_ORDER {
            return Some(false);
        }
        let order: Field = Option::from(Field::from_repr(Bytes::from(ORDER)))?;
        Some(sum.has_x(&r.add(&order)))
    }
}

/// An integer from 1 to the order less one.
fn scalar(bytes: &[u8; 32]) -> Option<Scalar> {
    let scalar: Scalar = Option::from(Scalar::from_repr(Bytes::from(*bytes)))?;
    (scalar != Scalar::ZERO).then_some(scalar)
}

/// A point other than infinity.
#[derive(Clone, Copy)]
struct Affine {
    x: Field,
    y: Field,
}

type Row = [Affine; POINTS];

/// Odd multiples of a point, and of its product with 2¹⁷, 2³⁴ and so on.
struct Table(Box<[Row]>);

/// The multiples of the generator.
// INVARIANT: the same for all; made once, and where a key is sealed before the snapshot is taken.
static GENERATOR: LazyLock<Option<Table>> = LazyLock::new(|| Table::new(&ProjectivePoint::GENERATOR));

impl Table {
    /// `None` never happens for a point other than infinity: the order of the group is prime, and no factor is a multiple of it.
    fn new(point: &ProjectivePoint) -> Option<Self> {
        let mut points = Vec::with_capacity(ROWS.saturating_mul(POINTS));
        let mut first = *point;
        for _ in 0..ROWS {
            let step = first.double();
            points.extend(iter::successors(Some(first), |last| Some(last.add(&step))).take(POINTS));
            first = (0..SPAN).fold(first, |point, _| point.double());
        }
        let affine = ProjectivePoint::batch_normalize(points.as_slice()).iter().map(Affine::of).collect::<Option<Vec<_>>>()?;
        let (rows, []) = affine.as_chunks::<POINTS>() else { return None };
        Some(Self(rows.into()))
    }
}

impl Affine {
    fn of(point: &AffinePoint) -> Option<Self> {
        if bool::from(point.is_identity()) {
            return None;
        }
        let field = |bytes| Option::from(Field::from_repr(bytes));
        Some(Self { x: field(point.x())?, y: field(point.y())? })
    }
}

/// The places of a scalar, least significant first. Each is zero or odd, and of seven in a row at most one is not zero.
fn digits(scalar: &Scalar) -> [i16; ROWS * SPAN] {
    let bytes = scalar.to_bytes();
    let bits = bytes.iter().rev().flat_map(|byte| (0..8_u32).map(move |bit| i16::from(byte.wrapping_shr(bit) & 1)));
    let mut bits = bits.chain(iter::repeat(0));
    // The next seven bits of what is left; 128 after a digit was taken that was less than zero.
    let mut low = bits.by_ref().take(WIDTH).fold(0_i16, |low, bit| (low >> 1) | (bit << 6));
    let mut digits = [0; ROWS * SPAN];
    for (digit, next) in digits.iter_mut().zip(bits) {
        if low & 1 == 1 {
            *digit = if low < 64 { low } else { low.wrapping_sub(128) };
            low = low.wrapping_sub(*digit);
        }
        low = (low >> 1).wrapping_add(next << 6);
    }
    digits
}

/// `u₁G + u₂Q`. `None` never happens: every digit has its place in the tables.
fn double_product(u1: &Scalar, u2: &Scalar, key: &Table) -> Option<Sum> {
    let generator = GENERATOR.as_ref()?;
    let terms = [(digits(u1), generator), (digits(u2), key)];
    let mut sum = Sum::INFINITY;
    for place in (0..SPAN).rev() {
        sum = sum.double();
        for (digits, Table(rows)) in &terms {
            for (row, digit) in rows.iter().zip(digits.iter().skip(place).step_by(SPAN)) {
                if *digit != 0 {
                    let Affine { x, y } = row.get(usize::from(digit.unsigned_abs() >> 1))?;
                    sum = sum.add(x, &if *digit < 0 { y.neg() } else { *y });
                }
            }
        }
    }
    Some(sum)
}

/// A point with the affine coordinates x/z² and y/z³, where z² and z³ are kept instead of z: of all coordinates those in which
/// adding an affine point costs least (Explicit-Formulas Database, "XYZZ coordinates for short Weierstrass curves").
#[derive(Clone, Copy)]
struct Sum {
    x: Field,
    y: Field,
    zz: Field,
    zzz: Field,
}

impl Sum {
    const INFINITY: Self = Self { x: Field::ONE, y: Field::ONE, zz: Field::ZERO, zzz: Field::ZERO };

    fn is_infinity(&self) -> bool {
        self.zz == Field::ZERO
    }

    /// Whether the affine x-coordinate is `x`. Not for infinity.
    fn has_x(&self, x: &Field) -> bool {
        x.multiply(&self.zz) == self.x
    }

    /// Twice the point (`dbl-2008-s-1`, with a = -3). Infinity stays what it is. No point of the curve has y = 0.
    fn double(&self) -> Self {
        let u = self.y.double();
        let v = u.square();
        let w = u.multiply(&v);
        let s = self.x.multiply(&v);
        let third = self.x.sub(&self.zz).multiply(&self.x.add(&self.zz));
        let m = third.double().add(&third);
        let x = m.square().sub(&s.double());
        let y = m.multiply(&s.sub(&x)).sub(&w.multiply(&self.y));
        Self { x, y, zz: v.multiply(&self.zz), zzz: w.multiply(&self.zzz) }
    }

    /// The sum with an affine point (`madd-2008-s`).
    fn add(&self, x2: &Field, y2: &Field) -> Self {
        if self.is_infinity() {
            return Self { x: *x2, y: *y2, zz: Field::ONE, zzz: Field::ONE };
        }
        let p = x2.multiply(&self.zz).sub(&self.x);
        let r = y2.multiply(&self.zzz).sub(&self.y);
        // SECURITY: the formula is only for points with different x. Whoever chooses a signature can make the two the same point,
        // or each other's opposite.
        if p == Field::ZERO {
            return if r == Field::ZERO { self.double() } else { Self::INFINITY };
        }
        let pp = p.square();
        let ppp = p.multiply(&pp);
        let q = self.x.multiply(&pp);
        let x = r.square().sub(&ppp).sub(&q.double());
        let y = r.multiply(&q.sub(&x)).sub(&self.y.multiply(&ppp));
        Self { x, y, zz: self.zz.multiply(&pp), zzz: self.zzz.multiply(&ppp) }
    }
}
