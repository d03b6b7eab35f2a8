//! Certificates, right and wrong, of the suite's own root and of roots nobody trusts, and the fields in which terminators
//! send them.
//!
//! The root's certificate, key and revocation list are files (`tests/gate/private/make-certificates`), so that a gate that
//! runs elsewhere can be sealed with them. Everything below the root is made when a test asks for it.

use std::time::{Duration, UNIX_EPOCH};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use rcgen::string::Ia5String;
use rcgen::{
    BasicConstraints, CertificateParams, CertificateRevocationListParams, DistinguishedName, DnType, ExtendedKeyUsagePurpose,
    GeneralSubtree, IsCa, Issuer, KeyIdMethod, KeyPair, KeyUsagePurpose, NameConstraints, PKCS_ECDSA_P256_SHA256, PKCS_RSA_SHA256,
    PublicKeyData, RevokedCertParams, SanType, SerialNumber, SignatureAlgorithm,
};

use super::client::Request;

/// What the suite's terminator proves itself with.
pub const SECRET: &str = "suite-terminator-secret-0123456789";
/// The field it sends it in, as in `tests/gate/keys/mtls.toml`.
pub const SECRET_FIELD: &str = "x-terminator-secret";
/// Serial numbers that the root's revocation list names.
pub const REVOKED: [u64; 2] = [666, 667];

/// Certificates of the suite are valid this long before and after the gate's time.
const DAY: i64 = 86_400;

macro_rules! seconds {
    // The type of a time is one of a package that this one does not depend on.
    ($at:expr) => {
        (UNIX_EPOCH + Duration::from_secs($at.try_into().expect("a time after 1970"))).into()
    };
}

/// The one certificate of the suite's root that is signed with SHA-1, in DER.
pub fn sha1_leaf() -> Vec<u8> {
    from_pem(include_str!("../../gate/private/sha1-leaf.crt"))
}

/// The first block of a PEM file, in DER.
pub fn from_pem(text: &str) -> Vec<u8> {
    let (_, rest) = text.split_once("-----BEGIN CERTIFICATE-----").expect("a certificate");
    let (base64, _) = rest.split_once("-----END CERTIFICATE-----").expect("a whole certificate");
    STANDARD.decode(base64.split_whitespace().collect::<String>()).expect("base64")
}

/// A certificate as a PEM file has it.
pub fn pem(der: &[u8]) -> String {
    let base64 = STANDARD.encode(der);
    let lines: Vec<&str> = base64.as_bytes().chunks(64).map(|line| std::str::from_utf8(line).unwrap()).collect();
    format!("-----BEGIN CERTIFICATE-----\n{}\n-----END CERTIFICATE-----\n", lines.join("\n"))
}

/// A certificate with its private key.
pub struct Certified {
    pub der: Vec<u8>,
    pub key: KeyPair,
}

impl Certified {
    pub fn pem(&self) -> String {
        pem(&self.der)
    }

    /// `x5t#S256` of it (RFC 8705, section 3.1).
    pub fn thumbprint(&self) -> String {
        let digest = ring::digest::digest(&ring::digest::SHA256, &self.der);
        base64::engine::general_purpose::URL_SAFE_NO_PAD.encode(digest)
    }

    /// SHA-256 of it, in hexadecimal.
    pub fn fingerprint(&self) -> String {
        Self::fingerprint_of(&self.der)
    }

    /// SHA-256 of a certificate, in hexadecimal.
    pub fn fingerprint_of(der: &[u8]) -> String {
        ring::digest::digest(&ring::digest::SHA256, der).as_ref().iter().map(|byte| format!("{byte:02x}")).collect()
    }
}

/// An authority: what issues certificates, whether anybody trusts it or not.
pub struct Authority {
    pub certified: Certified,
    params: CertificateParams,
}

impl Authority {
    /// The root the suite's gates trust.
    pub fn suite() -> Self {
        let key = KeyPair::from_pem(include_str!("../../gate/private/suite-root.pem")).unwrap();
        let der = from_pem(include_str!("../../gate/keys/ca/suite-root.pem"));
        Self { certified: Certified { der, key }, params: Subject::new(0, "Suite root").authority().params }
    }

    /// A root of its own, self-signed: nobody trusts it unless a test says so.
    pub fn root(subject: Subject) -> Self {
        let subject = subject.authority();
        let key = KeyPair::generate().unwrap();
        let der = subject.params.self_signed(&key).unwrap().der().to_vec();
        Self { certified: Certified { der, key }, params: subject.params }
    }

    /// An authority below this one.
    pub fn intermediate(&self, subject: Subject) -> Self {
        let subject = subject.authority();
        let params = subject.params.clone();
        Self { certified: subject.issued_by(self), params }
    }

    /// What already has a certificate, as an issuer: whether it may issue anything is the question.
    pub fn of(certified: Certified, subject: Subject) -> Self {
        // The library asks no less of its own issuers than the gate does.
        Self { certified, params: subject.authority().params }
    }

    fn issuer(&self) -> Issuer<'_, &KeyPair> {
        Issuer::from_params(&self.params, &self.certified.key)
    }

    /// A revocation list in PEM that names these serial numbers.
    pub fn crl(&self, revoked: &[u64], from: i64, to: i64) -> String {
        let revoked = revoked.iter().map(|serial| RevokedCertParams {
            serial_number: SerialNumber::from_slice(&trimmed(*serial)),
            revocation_time: seconds!(from),
            reason_code: None,
            invalidity_date: None,
        });
        let params = CertificateRevocationListParams {
            this_update: seconds!(from),
            next_update: seconds!(to),
            crl_number: SerialNumber::from_slice(&[1]),
            issuing_distribution_point: None,
            revoked_certs: revoked.collect(),
            key_identifier_method: KeyIdMethod::Sha256,
        };
        params.signed_by(&self.issuer()).unwrap().pem().unwrap()
    }
}

/// Big-endian bytes without leading zeros.
fn trimmed(number: u64) -> Vec<u8> {
    number.to_be_bytes().iter().copied().skip_while(|byte| *byte == 0).collect()
}

/// What a certificate is made from: a good client certificate until something is changed.
#[derive(Clone)]
pub struct Subject {
    params: CertificateParams,
    algorithm: &'static SignatureAlgorithm,
}

impl Subject {
    /// A client called `O=Cedargate suite, CN=<name>`, from a day before `now` to a month after it. A `now` of 0 is for those
    /// whose validity nobody asks for.
    pub fn new(now: i64, name: &str) -> Self {
        let mut params = CertificateParams::default();
        let mut dn = DistinguishedName::new();
        dn.push(DnType::OrganizationName, "Cedargate suite");
        dn.push(DnType::CommonName, name);
        params.distinguished_name = dn;
        params.is_ca = IsCa::ExplicitNoCa;
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
        let now = now.max(2 * DAY);
        Self { params, algorithm: &PKCS_ECDSA_P256_SHA256 }.valid(now - DAY, now + 30 * DAY)
    }

    /// The same for a workload of the suite's trust domain.
    pub fn workload(now: i64, name: &str) -> Self {
        Self::new(now, name).uri(&format!("spiffe://suite.example/{name}"))
    }

    pub fn valid(mut self, from: i64, to: i64) -> Self {
        (self.params.not_before, self.params.not_after) = (seconds!(from), seconds!(to));
        self
    }

    fn san(mut self, name: SanType) -> Self {
        self.params.subject_alt_names.push(name);
        self
    }

    pub fn uri(self, uri: &str) -> Self {
        self.san(SanType::URI(Ia5String::try_from(uri).unwrap()))
    }

    pub fn dns(self, name: &str) -> Self {
        self.san(SanType::DnsName(Ia5String::try_from(name).unwrap()))
    }

    pub fn email(self, address: &str) -> Self {
        self.san(SanType::Rfc822Name(Ia5String::try_from(address).unwrap()))
    }

    pub fn ip(self, address: [u8; 4]) -> Self {
        self.san(SanType::IpAddress(address.into()))
    }

    /// Without any subject.
    pub fn nameless(mut self) -> Self {
        self.params.distinguished_name = DistinguishedName::new();
        self
    }

    pub fn serial(mut self, serial: u64) -> Self {
        self.params.serial_number = Some(SerialNumber::from_slice(&trimmed(serial)));
        self
    }

    pub fn key_usages(mut self, usages: &[KeyUsagePurpose]) -> Self {
        self.params.key_usages = usages.to_vec();
        self
    }

    pub fn extended_key_usages(mut self, usages: &[ExtendedKeyUsagePurpose]) -> Self {
        self.params.extended_key_usages = usages.to_vec();
        self
    }

    /// With a key for another algorithm.
    pub fn algorithm(mut self, algorithm: &'static SignatureAlgorithm) -> Self {
        self.algorithm = algorithm;
        self
    }

    /// One that may issue certificates.
    pub fn authority(mut self) -> Self {
        if !matches!(self.params.is_ca, IsCa::Ca(_)) {
            self.params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        }
        self.params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        self.params.extended_key_usages = vec![];
        self
    }

    /// At most so many authorities below it, when it is made one.
    pub fn path_length(mut self, length: u8) -> Self {
        self.params.is_ca = IsCa::Ca(BasicConstraints::Constrained(length));
        self
    }

    /// Only for DNS names below this one, when it is made an authority.
    pub fn only_dns(mut self, tree: &str) -> Self {
        let permitted_subtrees = vec![GeneralSubtree::DnsName(tree.to_owned())];
        self.params.name_constraints = Some(NameConstraints { permitted_subtrees, excluded_subtrees: vec![] });
        self
    }

    /// The certificate, with a key of its own.
    pub fn issued_by(&self, authority: &Authority) -> Certified {
        let key = match self.algorithm {
            // RSA keys cannot be made here; this one is the suite's.
            algorithm if *algorithm == PKCS_RSA_SHA256 => {
                KeyPair::try_from(include_bytes!("../../gate/private/rsa.pk8").as_slice()).unwrap()
            }
            algorithm => KeyPair::generate_for(algorithm).unwrap(),
        };
        Certified { der: self.params.signed_by(&key, &authority.issuer()).unwrap().der().to_vec(), key }
    }

    /// The certificate, issued by itself.
    pub fn self_signed(&self) -> Certified {
        let key = KeyPair::generate().unwrap();
        Certified { der: self.params.self_signed(&key).unwrap().der().to_vec(), key }
    }

    /// The certificate for a public RSA key of 1024 bits.
    pub fn with_weak_key(&self, authority: &Authority) -> Vec<u8> {
        struct Weak(Vec<u8>);
        impl PublicKeyData for Weak {
            fn der_bytes(&self) -> &[u8] {
                &self.0
            }

            fn algorithm(&self) -> &'static SignatureAlgorithm {
                &PKCS_RSA_SHA256
            }
        }
        let text = include_str!("../../data/identity/rsa-1024-public.pem");
        let spki = STANDARD.decode(text.lines().filter(|line| !line.starts_with('-')).collect::<String>()).unwrap();
        // SEQUENCE { AlgorithmIdentifier of 15 bytes, BIT STRING of 141 bytes without unused bits }.
        let key = Weak(spki[22..].to_vec());
        assert_eq!(key.subject_public_key_info(), spki);
        self.params.signed_by(&key, &authority.issuer()).unwrap().der().to_vec()
    }
}

/// How a terminator writes a certificate into a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Form {
    Rfc9440,
    Xfcc,
    Nginx,
    Alb,
    /// Base64 of the DER in this field.
    Der(&'static str),
}

impl Form {
    /// The fields with a chain, the client's certificate first. Forms without a place for the rest of it leave it out.
    pub fn fields(self, chain: &[&[u8]]) -> Vec<(&'static str, String)> {
        let (leaf, rest) = chain.split_first().expect("a certificate");
        let item = |der: &&[u8]| format!(":{}:", STANDARD.encode(der));
        let all = || chain.iter().map(|der| pem(der)).collect::<String>();
        match self {
            Self::Rfc9440 if rest.is_empty() => vec![("Client-Cert", item(leaf))],
            Self::Rfc9440 => {
                vec![("Client-Cert", item(leaf)), ("Client-Cert-Chain", rest.iter().map(item).collect::<Vec<_>>().join(", "))]
            }
            Self::Xfcc => vec![("x-forwarded-client-cert", xfcc_element(chain))],
            Self::Nginx => vec![("ssl-client-cert", escaped(&pem(leaf), ""))],
            Self::Alb => vec![("x-amzn-mtls-clientcert", escaped(&all(), "+=/"))],
            Self::Der(name) => vec![(name, STANDARD.encode(leaf))],
        }
    }

    /// A request as the suite's terminator would pass it on.
    pub fn send(self, request: Request, chain: &[&[u8]]) -> Request {
        let request = request.header(SECRET_FIELD, SECRET);
        self.fields(chain).into_iter().fold(request, |request, (name, value)| request.header(name, value))
    }
}

/// One element of `x-forwarded-client-cert`, with everything Envoy can be asked for.
pub fn xfcc_element(chain: &[&[u8]]) -> String {
    let all: String = chain.iter().map(|der| pem(der)).collect();
    let hash = Certified::fingerprint_of(chain[0]);
    format!(
        "By=spiffe://suite.example/envoy;Hash={hash};Cert=\"{}\";Chain=\"{}\";Subject=\"CN=a \\\"quoted\\\", name;O=x\";URI=",
        escaped(&pem(chain[0]), ""),
        escaped(&all, "")
    )
}

/// Percent-encoded but for unreserved characters and `safe`.
pub fn escaped(text: &str, safe: &str) -> String {
    let mut out = String::new();
    for byte in text.bytes() {
        let c = char::from(byte);
        if c.is_ascii_alphanumeric() || "-._~".contains(c) || safe.contains(c) {
            out.push(c);
        } else {
            out.push_str(&format!("%{byte:02X}"));
        }
    }
    out
}
