//! Key pairs of every kind that can be prepared, and what `ring` says of their signatures.

use std::ops::Neg;

use curve25519_dalek::constants::EIGHT_TORSION;
use curve25519_dalek::edwards::CompressedEdwardsY;
use ring::rand::SystemRandom;
use ring::signature::{
    ECDSA_P256_SHA256_FIXED, ECDSA_P256_SHA256_FIXED_SIGNING, ED25519, EcdsaKeyPair, Ed25519KeyPair, KeyPair, RSA_PKCS1_2048_8192_SHA256,
    RsaPublicKeyComponents, UnparsedPublicKey,
};
use rsa::traits::PublicKeyParts;
use rsa::{Pkcs1v15Sign, PrivateKey};

use crate::prepared::Prepared;
use crate::random::Random;

/// What stands before the hash in a signature (RFC 8017, section 9.2, note 1).
const SHA256_INFO: [u8; 19] =
    [0x30, 0x31, 0x30, 0x0d, 0x06, 0x09, 0x60, 0x86, 0x48, 0x01, 0x65, 0x03, 0x04, 0x02, 0x01, 0x05, 0x00, 0x04, 0x20];

pub(crate) enum Pair {
    Es256(EcdsaKeyPair),
    /// Of any size: `ring` signs with some only.
    Rs256(Box<PrivateKey>, RsaPublicKeyComponents<Vec<u8>>),
    /// With the public key, which for some is not the pair's own.
    EdDsa(Ed25519KeyPair, Vec<u8>),
}

impl Pair {
    pub(crate) fn es256() -> Self {
        let (algorithm, system) = (&ECDSA_P256_SHA256_FIXED_SIGNING, SystemRandom::new());
        let pkcs8 = EcdsaKeyPair::generate_pkcs8(algorithm, &system).unwrap();
        Self::Es256(EcdsaKeyPair::from_pkcs8(algorithm, pkcs8.as_ref(), &system).unwrap())
    }

    pub(crate) fn rs256(bits: usize, random: &mut Random) -> Self {
        let key = PrivateKey::new(random, bits).unwrap();
        let trimmed = |bytes: &[u8]| bytes.iter().copied().skip_while(|byte| *byte == 0).collect();
        let components = RsaPublicKeyComponents { n: trimmed(&key.n().to_be_bytes()), e: trimmed(&key.e().to_be_bytes()) };
        Self::Rs256(Box::new(key), components)
    }

    pub(crate) fn eddsa() -> Self {
        let pkcs8 = Ed25519KeyPair::generate_pkcs8(&SystemRandom::new()).unwrap();
        let pair = Ed25519KeyPair::from_pkcs8(pkcs8.as_ref()).unwrap();
        let public = pair.public_key().as_ref().to_vec();
        Self::EdDsa(pair, public)
    }

    /// An Ed25519 key whose point has a part of small order, added to a good one's or opposite to it.
    pub(crate) fn eddsa_with_torsion(random: &mut Random) -> Self {
        let Self::EdDsa(pair, public) = Self::eddsa() else { unreachable!() };
        let point = CompressedEdwardsY::from_slice(&public).unwrap().decompress().unwrap();
        let point = if random.below(2) == 0 { point } else { point.neg() };
        let public = (point + EIGHT_TORSION[random.below(8)]).compress();
        Self::EdDsa(pair, public.as_bytes().to_vec())
    }

    pub(crate) fn one_of_each(random: &mut Random) -> Vec<Self> {
        let mut pairs = vec![Self::es256(), Self::eddsa()];
        pairs.extend([2048, 3072, 4096].map(|bits| Self::rs256(bits, random)));
        pairs
    }

    pub(crate) fn name(&self) -> String {
        match self {
            Self::Es256(_) => "ES256".to_owned(),
            Self::Rs256(_, components) => format!("RS256-{}", components.n.len() * 8),
            Self::EdDsa(..) => "EdDSA".to_owned(),
        }
    }

    pub(crate) fn bytes(&self) -> usize {
        match self {
            Self::Es256(_) => Prepared::ES256_BYTES,
            Self::Rs256(..) => Prepared::RS256_BYTES,
            Self::EdDsa(..) => Prepared::EDDSA_BYTES,
        }
    }

    pub(crate) fn public(&self) -> Vec<u8> {
        match self {
            Self::Es256(pair) => pair.public_key().as_ref().to_vec(),
            Self::Rs256(_, components) => components.n.clone(),
            Self::EdDsa(_, public) => public.clone(),
        }
    }

    pub(crate) fn modulus(&self) -> Vec<u8> {
        match self {
            Self::Rs256(_, components) => components.n.clone(),
            Self::Es256(_) | Self::EdDsa(..) => Vec::new(),
        }
    }

    pub(crate) fn prepare(&self) -> Prepared {
        match self {
            Self::Es256(pair) => {
                let point = pair.public_key().as_ref();
                Prepared::es256(point[1..33].try_into().unwrap(), point[33..].try_into().unwrap())
            }
            Self::Rs256(_, RsaPublicKeyComponents { n, e }) => Prepared::rs256(n, e),
            Self::EdDsa(_, public) => Prepared::eddsa(public.as_slice().try_into().unwrap()),
        }
        .unwrap()
    }

    pub(crate) fn sign(&self, message: &[u8]) -> Vec<u8> {
        let system = SystemRandom::new();
        match self {
            Self::Es256(pair) => pair.sign(&system, message).unwrap().as_ref().to_vec(),
            Self::Rs256(key, _) => {
                let hash = ring::digest::digest(&ring::digest::SHA256, message);
                key.sign(Pkcs1v15Sign::new_unprefixed(), &[&SHA256_INFO, hash.as_ref()].concat()).unwrap()
            }
            Self::EdDsa(pair, _) => pair.sign(message).as_ref().to_vec(),
        }
    }

    pub(crate) fn by_ring(&self, message: &[u8], signature: &[u8]) -> bool {
        match self {
            Self::Es256(pair) => UnparsedPublicKey::new(&ECDSA_P256_SHA256_FIXED, pair.public_key()).verify(message, signature),
            Self::Rs256(_, components) => components.verify(&RSA_PKCS1_2048_8192_SHA256, message, signature),
            Self::EdDsa(_, public) => UnparsedPublicKey::new(&ED25519, public).verify(message, signature),
        }
        .is_ok()
    }
}
