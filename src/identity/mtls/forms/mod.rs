//! The forms in which terminators write a client certificate: one file each.
//!
//! What crosses in is the text of header fields from a terminator that proved itself; what crosses out is a chain in DER,
//! the client's certificate first, within bounds. Every form of one chain gives the same bytes.

mod alb;
mod der;
mod escaped;
mod nginx;
mod structured;
mod xfcc;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;

use crate::decision::{Denial, Reason};
use crate::limits;

/// The configured form, with the fields that carry it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Form {
    /// `Client-Cert` and `Client-Cert-Chain` (RFC 9440).
    Rfc9440,
    /// `x-forwarded-client-cert`, as Envoy writes it.
    Xfcc,
    /// `$ssl_client_escaped_cert` of nginx.
    Nginx(Names),
    /// One of the two fields of an AWS application load balancer.
    Alb(String),
    /// Base64 of the DER.
    Der(Names),
}

/// Configured names of fields.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Names {
    /// The field with the client's certificate.
    pub(super) header: String,
    /// The field with the rest of the chain.
    pub(super) chain: Option<String>,
}

impl Form {
    /// The field with the client's certificate, in lower case.
    pub(super) fn certificate_field(&self) -> &str {
        match self {
            Self::Rfc9440 => "client-cert",
            Self::Xfcc => "x-forwarded-client-cert",
            Self::Nginx(names) | Self::Der(names) => &names.header,
            Self::Alb(header) => header,
        }
    }

    /// The field with the rest of the chain, where the form has one.
    pub(super) fn chain_field(&self) -> Option<&str> {
        match self {
            Self::Rfc9440 => Some("client-cert-chain"),
            Self::Nginx(names) | Self::Der(names) => names.chain.as_deref(),
            Self::Xfcc | Self::Alb(_) => None,
        }
    }

    /// Whether the chain may be spread over several lines of its field: only in RFC 9440, section 2.3.
    pub(super) fn chain_repeats(&self) -> bool {
        matches!(self, Self::Rfc9440)
    }

    /// Reads the chain, the client's certificate first.
    ///
    /// # Errors
    /// `mtls.malformed` or `mtls.too_large`.
    pub(super) fn read(&self, certificate: &str, chain: &[&str]) -> Result<Vec<Vec<u8>>, Denial> {
        match self {
            Self::Rfc9440 => structured::read(certificate, chain),
            Self::Xfcc => xfcc::read(certificate),
            Self::Nginx(_) => nginx::read(certificate, chain),
            Self::Alb(header) => alb::read(certificate, header == alb::LEAF),
            Self::Der(_) => der::read(certificate, chain),
        }
    }
}

/// The two fields of an AWS application load balancer: the chain (passthrough mode), the certificate alone (verify mode).
pub(super) const ALB_FIELDS: [&str; 2] = [alb::CHAIN, alb::LEAF];

fn malformed(what: &'static str) -> Denial {
    Denial::new(Reason::MtlsMalformed, what)
}

fn too_large(what: &'static str) -> Denial {
    Denial::new(Reason::MtlsTooLarge, what)
}

/// Certificates as they are read, within bounds.
#[derive(Debug, Default)]
struct Bag {
    certificates: Vec<Vec<u8>>,
    bytes: usize,
}

impl Bag {
    fn add(&mut self, der: Vec<u8>) -> Result<(), Denial> {
        if der.is_empty() {
            return Err(malformed("a certificate without bytes"));
        }
        if der.len() > limits::CERTIFICATE_BYTES {
            return Err(too_large("a certificate has too many bytes"));
        }
        self.bytes = self.bytes.saturating_add(der.len());
        if self.bytes > limits::CHAIN_BYTES {
            return Err(too_large("the chain has too many bytes"));
        }
        if self.certificates.len() >= limits::CHAIN_CERTIFICATES {
            return Err(too_large("the chain has too many certificates"));
        }
        self.certificates.push(der);
        Ok(())
    }

    fn add_base64(&mut self, text: &str) -> Result<(), Denial> {
        self.add(decode(text, limits::CERTIFICATE_BYTES)?)
    }

    /// The one certificate in the bag.
    fn only(self) -> Result<Vec<u8>, Denial> {
        let mut certificates = self.certificates.into_iter();
        match (certificates.next(), certificates.next()) {
            (Some(one), None) => Ok(one),
            _ => Err(malformed("not exactly one certificate")),
        }
    }
}

/// Base64 as RFC 4648, section 4, with its padding and without anything else (section 3.3): one text for the same bytes.
fn decode(text: &str, most: usize) -> Result<Vec<u8>, Denial> {
    // Four characters for three bytes: longer text cannot be short enough, and is not decoded to find out.
    if text.len() > most.saturating_add(2).div_euclid(3).saturating_mul(4) {
        return Err(too_large("a certificate has too many bytes"));
    }
    STANDARD.decode(text).map_err(|_| malformed("not base64"))
}

/// The client's certificate and the rest of its chain.
///
/// The order is that of TLS (RFC 8446, section 4.4.2), where the client's own certificate comes first, and not all agree
/// whether a chain that stands apart still has it: repeated there it says nothing, and is dropped.
fn assemble(certificate: Vec<u8>, chain: Bag) -> Result<Vec<Vec<u8>>, Denial> {
    let mut rest = chain.certificates;
    if rest.first() == Some(&certificate) {
        rest.remove(0);
    }
    let mut all = Bag::default();
    for der in std::iter::once(certificate).chain(rest) {
        all.add(der)?;
    }
    Ok(all.certificates)
}
