//! PEM files: one SPKI public key or one X.509 certificate, read when a bundle is loaded.
//!
//! Of a certificate only the public key counts: what makes it trusted is that it lies in `keys/`, not its dates or chain.

use x509_parser::asn1_rs::{Any, Oid, oid};
use x509_parser::pem::Pem;
use x509_parser::prelude::{FromDer, SubjectPublicKeyInfo, X509Certificate};
use x509_parser::public_key::RSAPublicKey;

use super::jwk::KeyFile;
use super::key::{Key, KeyProblem, KeyType, Material};
use super::text;

const RSA: Oid<'static> = oid!(1.2.840.113549.1.1.1);
const RSA_PSS: Oid<'static> = oid!(1.2.840.113549.1.1.10);
const EC: Oid<'static> = oid!(1.2.840.10045.2.1);
const P256: Oid<'static> = oid!(1.2.840.10045.3.1.7);
const P384: Oid<'static> = oid!(1.3.132.0.34);
const ED25519: Oid<'static> = oid!(1.3.101.112);

/// Reads a PEM file; `kid` is what tokens name its key by.
pub(super) fn read(bytes: &[u8], kid: &str) -> KeyFile {
    let mut file = KeyFile::default();
    match read_key(bytes) {
        Ok(material) => file.keys.push(Key::new(Some(kid.to_owned()), None, material)),
        Err(problem) => file.problems.push(problem),
    }
    file
}

/// Where a file has a PEM private key, whatever else is in it.
pub(super) fn private_key_at(bytes: &[u8]) -> Option<usize> {
    const MARK: &[u8] = b"PRIVATE KEY-----";
    bytes.windows(MARK.len()).position(|window| window == MARK)
}

fn read_key(bytes: &[u8]) -> Result<Material, KeyProblem> {
    let syntax = |message: &str| KeyProblem::new("key.syntax", message);
    if let Some(offset) = private_key_at(bytes) {
        let problem = KeyProblem::new("key.private", "the file holds a private key")
            .help("keys/ is compiled into the module and may hold public keys only; `openssl pkey -in FILE -pubout` prints the public one");
        return Err(KeyProblem { offset: Some(offset), ..problem });
    }
    if !bytes.is_ascii() {
        return Err(syntax("the file is not PEM: it is not ASCII text"));
    }
    let mut blocks = Pem::iter_from_buffer(bytes);
    let block = match blocks.next() {
        Some(Ok(block)) => block,
        Some(Err(error)) => return Err(syntax(&format!("the file is not valid PEM: {error}"))),
        None => return Err(syntax("the file has no PEM block")),
    };
    if blocks.next().is_some() {
        return Err(syntax("the file has more than one PEM block").help("one key per file: the file's name is the `kid`"));
    }
    match block.label.as_str() {
        "PUBLIC KEY" => match SubjectPublicKeyInfo::from_der(&block.contents) {
            Ok(([], spki)) => from_spki(&spki),
            _ => Err(syntax("the block is not a public key (SubjectPublicKeyInfo)")),
        },
        "CERTIFICATE" => match X509Certificate::from_der(&block.contents) {
            Ok(([], certificate)) => from_spki(&certificate.tbs_certificate.subject_pki),
            _ => Err(syntax("the block is not an X.509 certificate")),
        },
        "RSA PUBLIC KEY" => Err(KeyProblem::new("key.unsupported", "the block is a PKCS#1 public key")
            .help("`openssl rsa -RSAPublicKey_in -in FILE -pubout` makes the form that is read here")),
        label => Err(KeyProblem::new("key.unsupported", format!("the block is a `{}`", text::shown(label)))
            .help("a PEM file holds one `PUBLIC KEY` or one `CERTIFICATE`")),
    }
}

/// A public key this gate takes, from its `SubjectPublicKeyInfo`.
pub(super) fn from_spki(spki: &SubjectPublicKeyInfo<'_>) -> Result<Material, KeyProblem> {
    let algorithm = &spki.algorithm.algorithm;
    let bits = &spki.subject_public_key;
    if bits.unused_bits != 0 {
        return Err(KeyProblem::new("key.invalid", "the key is not a whole number of bytes"));
    }
    let parameters = spki.algorithm.parameters.as_ref();
    if *algorithm == RSA {
        return from_rsa(&bits.data);
    }
    if *algorithm == RSA_PSS {
        return Err(KeyProblem::new("key.unsupported", "the key is restricted to RSASSA-PSS with parameters of its own")
            .help("give the same key as a plain RSA public key, or as JWK with `alg`"));
    }
    if *algorithm == EC {
        return from_ec(parameters, &bits.data);
    }
    if *algorithm == ED25519 && parameters.is_none() {
        return Material::ed25519(&bits.data);
    }
    Err(KeyProblem::new("key.unsupported", format!("the key's algorithm {algorithm} is not one this gate knows"))
        .help("keys are RSA (2048 to 8192 bits), EC on P-256 or P-384, or Ed25519"))
}

fn from_rsa(bytes: &[u8]) -> Result<Material, KeyProblem> {
    match RSAPublicKey::from_der(bytes) {
        Ok(([], key)) => Material::rsa(unsigned(key.modulus)?, unsigned(key.exponent)?),
        _ => Err(KeyProblem::new("key.invalid", "the RSA key is not two integers")),
    }
}

/// The magnitude of a DER integer that must be positive: one zero byte in front exactly where the sign needs it.
fn unsigned(integer: &[u8]) -> Result<&[u8], KeyProblem> {
    match integer {
        [0, rest @ ..] if rest.first().is_some_and(|first| *first >= 128) => Ok(rest),
        [1..=127, ..] => Ok(integer),
        _ => Err(KeyProblem::new("key.invalid", "an integer of the RSA key is not positive or not DER")),
    }
}

fn from_ec(parameters: Option<&Any<'_>>, point: &[u8]) -> Result<Material, KeyProblem> {
    let curve = parameters.and_then(|any| any.as_oid().ok());
    let key_type = match curve {
        Some(curve) if curve == P256 => KeyType::P256,
        Some(curve) if curve == P384 => KeyType::P384,
        _ => return Err(KeyProblem::new("key.unsupported", "the key's curve is not P-256 or P-384")),
    };
    match point {
        [4, coordinates @ ..] if coordinates.len().is_multiple_of(2) => {
            let (x, y) = coordinates.split_at(coordinates.len().div_euclid(2));
            Material::ec(key_type, x, y)
        }
        _ => Err(KeyProblem::new("key.unsupported", "the point is not uncompressed")
            .help("`openssl ec -pubin -in FILE -conv_form uncompressed -pubout` writes it uncompressed")),
    }
}
