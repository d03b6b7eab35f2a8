//! A small world of certification authorities with fixed dates, and requests that carry what they issue.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use rcgen::{
    BasicConstraints, CertificateParams, CertificateRevocationListParams, DistinguishedName, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer,
    KeyIdMethod, KeyPair, KeyUsagePurpose, PKCS_ECDSA_P256_SHA256, PublicKeyData, RevokedCertParams, SanType, SerialNumber, date_time_ymd,
};

use crate::bundle::{Bundle, Problem, Report};
use crate::decision::{Denial, Reason, UnixTime};
use crate::identity::mtls::{Arrival, Chain, Mtls, arrival};
use crate::identity::{CertificateIdentity, Deployment, Secret};
use crate::request::{Facts, Method, Proxies, RawRequest, read};

/// 2027-01-15T08:00:00Z. Everything here is valid from 2026-01-01 to 2028-01-01 unless changed.
pub(super) const NOW: UnixTime = UnixTime(1_800_000_000);
pub(super) const SECRET: &str = "0123456789abcdef0123456789abcdef";
pub(super) const PREVIOUS: &str = "the-previous-secret-of-32-bytes-";
pub(super) const ID: &str = "spiffe://example.org/service";

/// An authority.
pub(super) struct Ca {
    pub(super) params: CertificateParams,
    pub(super) key: KeyPair,
    pub(super) der: Vec<u8>,
}

pub(super) fn key() -> KeyPair {
    KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256).unwrap()
}

fn ca_params(name: &str) -> CertificateParams {
    let mut params = CertificateParams::default();
    (params.not_before, params.not_after) = (date_time_ymd(2026, 1, 1), date_time_ymd(2028, 1, 1));
    params.distinguished_name = DistinguishedName::new();
    params.distinguished_name.push(DnType::CommonName, name);
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    params
}

/// What a good client's certificate says.
pub(super) fn leaf_params() -> CertificateParams {
    let mut params = ca_params("client");
    params.is_ca = IsCa::ExplicitNoCa;
    params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
    params.subject_alt_names = vec![uri(ID), dns("client.example.com")];
    params.serial_number = Some(SerialNumber::from_slice(&[0x0a, 0xbc]));
    params
}

pub(super) fn uri(text: &str) -> SanType {
    SanType::URI(text.try_into().unwrap())
}

pub(super) fn dns(text: &str) -> SanType {
    SanType::DnsName(text.try_into().unwrap())
}

pub(super) fn email(text: &str) -> SanType {
    SanType::Rfc822Name(text.try_into().unwrap())
}

impl Ca {
    /// One that signed itself.
    pub(super) fn root(name: &str) -> Self {
        Self::root_with(name, |_| {})
    }

    pub(super) fn root_with(name: &str, change: impl FnOnce(&mut CertificateParams)) -> Self {
        let (mut params, key) = (ca_params(name), key());
        change(&mut params);
        let der = params.self_signed(&key).unwrap().der().to_vec();
        Self { params, key, der }
    }

    /// One below this one.
    pub(super) fn sub(&self, name: &str, change: impl FnOnce(&mut CertificateParams)) -> Self {
        let (mut params, key) = (ca_params(name), key());
        change(&mut params);
        let der = params.signed_by(&key, &self.issuer()).unwrap().der().to_vec();
        Self { params, key, der }
    }

    pub(super) fn issuer(&self) -> Issuer<'_, &KeyPair> {
        Issuer::from_params(&self.params, &self.key)
    }

    /// A client's certificate.
    pub(super) fn leaf(&self, change: impl FnOnce(&mut CertificateParams)) -> Vec<u8> {
        self.leaf_of(&key(), change)
    }

    /// A client's certificate for a key.
    pub(super) fn leaf_of(&self, key: &impl PublicKeyData, change: impl FnOnce(&mut CertificateParams)) -> Vec<u8> {
        let mut params = leaf_params();
        change(&mut params);
        params.signed_by(key, &self.issuer()).unwrap().der().to_vec()
    }

    /// A CRL of 2027-01-01 to 2027-02-01 that lists these serial numbers.
    pub(super) fn crl(&self, serials: &[&[u8]], change: impl FnOnce(&mut CertificateRevocationListParams)) -> Vec<u8> {
        let revoked = |serial: &&[u8]| RevokedCertParams {
            serial_number: SerialNumber::from_slice(serial),
            revocation_time: date_time_ymd(2027, 1, 1),
            reason_code: None,
            invalidity_date: None,
        };
        let mut params = CertificateRevocationListParams {
            this_update: date_time_ymd(2027, 1, 1),
            next_update: date_time_ymd(2027, 2, 1),
            crl_number: SerialNumber::from_slice(&[1]),
            issuing_distribution_point: None,
            revoked_certs: serials.iter().map(revoked).collect(),
            key_identifier_method: KeyIdMethod::Sha256,
        };
        change(&mut params);
        params.signed_by(&self.issuer()).unwrap().der().to_vec()
    }
}

/// A public key that is not asked to sign.
pub(super) struct PublicKey(pub(super) Vec<u8>, pub(super) &'static rcgen::SignatureAlgorithm);

impl PublicKeyData for PublicKey {
    fn der_bytes(&self) -> &[u8] {
        &self.0
    }

    fn algorithm(&self) -> &'static rcgen::SignatureAlgorithm {
        self.1
    }
}

pub(super) fn pem(label: &str, ders: &[&[u8]]) -> String {
    let block = |der: &&[u8]| {
        let base64 = STANDARD.encode(der);
        let lines: Vec<_> = base64.as_bytes().chunks(64).map(|line| std::str::from_utf8(line).unwrap()).collect();
        format!("-----BEGIN {label}-----\n{}\n-----END {label}-----\n", lines.join("\n"))
    };
    ders.iter().map(block).collect()
}

pub(super) fn base64(bytes: &[u8]) -> String {
    STANDARD.encode(bytes)
}

/// Percent-encoding of everything but unreserved characters and those in `keep`.
pub(super) fn escaped(text: &str, keep: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "-._~".contains(c) || keep.contains(c);
    text.chars().map(|c| if plain(c) { c.to_string() } else { format!("%{:02X}", u32::from(c)) }).collect()
}

/// An `mtls.toml`: `top` before the tables, `anchor` in the one anchor, and a terminator with a secret.
pub(super) fn toml(top: &str, anchor: &str) -> String {
    format!(
        "version = 1\n{top}\n[terminator]\nsecret_header = \"x-terminator-secret\"\n[[anchor]]\nname = \"corp\"\n\
         certificates = [\"corp.pem\"]\n{anchor}\n"
    )
}

/// The usual one, for RFC 9440.
pub(super) fn usual() -> String {
    toml("form = \"rfc9440\"", "trust_domains = [\"example.org\"]")
}

pub(super) fn bundle(toml: &str, files: &[(&str, &[u8])]) -> Bundle {
    let mut bundle = Bundle::default();
    bundle.insert("keys/mtls.toml", toml);
    files.iter().for_each(|(name, bytes)| bundle.insert(format!("keys/{name}"), *bytes));
    bundle
}

pub(super) fn load(bundle: &Bundle) -> Result<Mtls, Vec<Problem>> {
    let mut report = Report::default();
    let loaded = Mtls::load(bundle, &mut report);
    assert_eq!(loaded.is_none(), !report.is_empty());
    loaded.ok_or_else(|| report.problems().into_iter().cloned().collect())
}

/// Loads a configuration with these roots in `keys/ca/corp.pem`.
pub(super) fn trusting(toml: &str, roots: &[&[u8]]) -> Mtls {
    load(&bundle(toml, &[("ca/corp.pem", pem("CERTIFICATE", roots).as_bytes())])).unwrap()
}

pub(super) fn deployment() -> Deployment {
    let secrets = [SECRET, PREVIOUS].map(|secret| Secret::new(secret).unwrap());
    Deployment { terminator_secrets: secrets.into(), ..Deployment::default() }
}

/// A request from 10.1.2.3 with these fields.
pub(super) fn facts(fields: &[(&str, &str)]) -> Facts {
    let mut headers: Vec<_> = fields.iter().map(|(name, value)| ((*name).to_owned(), value.as_bytes().to_vec())).collect();
    headers.push(("spin-client-addr".to_owned(), b"10.1.2.3:4711".to_vec()));
    let raw = RawRequest {
        method: Method::Get.as_str(),
        scheme: Some("http"),
        authority: Some("api.example.com"),
        path_with_query: Some("/"),
        headers: &headers,
    };
    read(&raw, Proxies::default()).unwrap().0
}

/// What arrives with these fields and the terminator's secret.
pub(super) fn arrive<'a>(mtls: &'a Mtls, fields: &[(&str, &str)]) -> Arrival<'a> {
    let all = [fields, &[("x-terminator-secret", SECRET)]].concat();
    arrival(Some(mtls), &facts(&all), &deployment())
}

pub(super) fn refused(arrival: Arrival<'_>) -> Reason {
    match arrival {
        Arrival::Refused(denial) => denial.reason,
        other => panic!("not refused: {other:?}"),
    }
}

pub(super) fn chain(arrival: Arrival<'_>) -> Vec<Vec<u8>> {
    match arrival {
        Arrival::Chain(_, Chain(certificates)) => certificates,
        other => panic!("no chain: {other:?}"),
    }
}

pub(super) fn verify(mtls: &Mtls, chain: &[&[u8]]) -> Result<CertificateIdentity, Denial> {
    verify_at(mtls, chain, NOW)
}

pub(super) fn verify_at(mtls: &Mtls, chain: &[&[u8]], now: UnixTime) -> Result<CertificateIdentity, Denial> {
    mtls.verify(&Chain(chain.iter().map(|der| der.to_vec()).collect()), now)
}

pub(super) fn reason(result: Result<CertificateIdentity, Denial>) -> Reason {
    result.unwrap_err().reason
}
