//! Signatures made and spoilt at random. Whatever was done to one, the prepared key must say what `ring` says.

use crate::keys::Pair;
use crate::prepared::Prepared;
use crate::random::Random;

const P256_ORDER: [u8; 32] = [
    0xff, 0xff, 0xff, 0xff, 0, 0, 0, 0, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xbc, 0xe6, 0xfa, 0xad, 0xa7, 0x17, 0x9e, 0x84,
    0xf3, 0xb9, 0xca, 0xc2, 0xfc, 0x63, 0x25, 0x51,
];
/// Big-endian, as all numbers here.
const ED25519_ORDER: [u8; 32] = [
    0x10, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0x14, 0xde, 0xf9, 0xde, 0xa2, 0xf7, 0x9c, 0xd6, 0x58, 0x12, 0x63, 0x1a, 0x5c, 0xf5,
    0xd3, 0xed,
];

/// A key and signatures of it.
struct Subject {
    pair: Pair,
    prepared: Prepared,
    /// RSA signatures take a millisecond to make: there are some, and they are spoilt in many ways.
    kept: Vec<(Vec<u8>, Vec<u8>)>,
}

impl Subject {
    fn new(pair: Pair, random: &mut Random) -> Self {
        let prepared = pair.prepare();
        let mut kept = Vec::new();
        if matches!(pair, Pair::Rs256(..)) {
            kept = (0..64).map(|_| message(random)).map(|message| (message.clone(), pair.sign(&message))).collect();
        }
        Self { pair, prepared, kept }
    }

    fn signed(&self, random: &mut Random) -> (Vec<u8>, Vec<u8>) {
        match self.kept.len() {
            0 => {
                let message = message(random);
                let signature = self.pair.sign(&message);
                (message, signature)
            }
            kept => self.kept[random.below(kept)].clone(),
        }
    }
}

fn message(random: &mut Random) -> Vec<u8> {
    let length = random.below(200);
    random.bytes(length)
}

/// Whether there was no difference.
pub(crate) fn run(count: u64, seed: u64) -> bool {
    let mut random = Random::new(seed);
    let mut subjects = Vec::new();
    let rsa = [2048, 2056, 2560, 3072, 4096].map(|bits| Subject::new(Pair::rs256(bits, &mut random), &mut random));
    let (mut good, mut done) = (0_u64, 0_u64);
    let kinds = ["ES256", "RS256", "EdDSA"];
    let mut tally = [[0_u64; 2]; 3];
    while done < count {
        // New keys every so often: a fault of a table may show with some keys only.
        if done % 4096 == 0 {
            subjects.clear();
            subjects.extend((0..4).map(|_| Subject::new(Pair::es256(), &mut random)));
            subjects.extend((0..2).map(|_| Subject::new(Pair::eddsa(), &mut random)));
            subjects.extend((0..2).map(|_| Subject::new(Pair::eddsa_with_torsion(&mut random), &mut random)));
        }
        let at = random.below(subjects.len() + 3);
        let subject = if at < subjects.len() { &subjects[at] } else { &rsa[random.below(rsa.len())] };
        let (mut message, mut signature) = subject.signed(&mut random);
        let (kind, order) = match subject.pair {
            Pair::Es256(_) => (0, P256_ORDER.to_vec()),
            Pair::Rs256(..) => (1, subject.pair.modulus()),
            Pair::EdDsa(..) => (2, ED25519_ORDER.to_vec()),
        };
        spoil(kind, &order, &mut message, &mut signature, &mut random);
        let (ring, ours) = (subject.pair.by_ring(&message, &signature), subject.prepared.verify(&message, &signature));
        if ring != ours {
            println!("DIFFERENT after {done}, seed {seed}: {}, ring {ring}, prepared {ours}", subject.pair.name());
            println!("public {}\nmessage {}\nsignature {}", hex(&subject.pair.public()), hex(&message), hex(&signature));
            return false;
        }
        tally[kind][usize::from(ring)] += 1;
        good += u64::from(ring);
        done += 1;
    }
    for (kind, [refused, accepted]) in kinds.iter().zip(tally) {
        println!("{kind}: {accepted} accepted and {refused} refused by both");
    }
    println!("{done} signatures, seed {seed}: {good} good, no difference");
    true
}

/// One of many changes; some leave the signature good.
fn spoil(kind: usize, order: &[u8], message: &mut Vec<u8>, signature: &mut Vec<u8>, random: &mut Random) {
    // RSA signatures are one number, the others two of 32 bytes; the second of Ed25519 is little-endian.
    let halves = kind != 1;
    match random.below(20) {
        // A third is left as it is.
        0..=6 => {}
        7 | 8 => {
            let at = random.below(signature.len() * 8);
            signature[at / 8] ^= 1 << (at % 8);
        }
        9 => match message.len() {
            0 => message.push(0),
            length => {
                let at = random.below(length * 8);
                message[at / 8] ^= 1 << (at % 8);
            }
        },
        10 => {
            let length = signature.len();
            *signature = random.bytes(length);
        }
        11 => {
            signature.pop();
        }
        12 => {
            if random.below(2) == 0 {
                signature.insert(0, 0)
            } else {
                signature.push(0)
            }
        }
        13 => {
            signature.remove(0);
        }
        14 if halves => signature.rotate_left(32),
        // A number of the signature replaced by one of the edges, or moved across the order.
        _ => {
            let first = halves && random.below(2) == 0;
            let (from, to) = match (halves, first) {
                (false, _) => (0, signature.len()),
                (true, true) => (0, 32),
                (true, false) => (32, 64),
            };
            let number = &mut signature[from..to];
            let little = kind == 2;
            if little {
                number.reverse();
            }
            let small = u8::try_from(random.below(3)).unwrap();
            let new = match random.below(7) {
                0 => {
                    let mut zero = vec![0; number.len()];
                    *zero.last_mut().unwrap() = small;
                    zero
                }
                1 => vec![0xff; number.len()],
                2 => order.to_vec(),
                3 => sub(order, &[small]),
                4 => add(order, &[small]),
                // The opposite: of s of ES256 this is as good as s itself.
                5 => sub(order, number),
                // The same modulo the order, where there is room for it.
                _ => add(number, order),
            };
            if new.len() == number.len() {
                number.copy_from_slice(&new);
            }
            if little {
                number.reverse();
            }
        }
    }
}

/// a + b, as long as a; the carry is lost.
fn add(a: &[u8], b: &[u8]) -> Vec<u8> {
    let mut carry = 0_u16;
    let mut sum: Vec<u8> = a
        .iter()
        .rev()
        .zip(b.iter().rev().copied().chain(std::iter::repeat(0)))
        .map(|(a, b)| {
            carry += u16::from(*a) + u16::from(b);
            let low = carry as u8;
            carry >>= 8;
            low
        })
        .collect();
    sum.reverse();
    sum
}

/// a - b modulo 256 to the length of a.
fn sub(a: &[u8], b: &[u8]) -> Vec<u8> {
    let mut opposite = vec![0; a.len() - b.len().min(a.len())];
    opposite.extend(&b[b.len().saturating_sub(a.len())..]);
    opposite.iter_mut().for_each(|byte| *byte = !*byte);
    add(&add(a, &opposite), &[1])
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
