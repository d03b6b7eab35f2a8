//! Client certificates: from the header a TLS terminator writes to a verified chain.
//!
//! Off unless `keys/mtls.toml` is there. Nothing of a certificate is believed before the terminator proved itself and the
//! path to a trust anchor was found.

use super::{CertificateIdentity, Deployment};
use crate::bundle::{Bundle, Report};
use crate::decision::{Denial, Reason, UnixTime};
use crate::request::Facts;

/// `keys/mtls.toml` with everything it names.
#[derive(Debug)]
pub struct Mtls {}

/// A certificate chain as it arrived, the client's certificate first, in DER. Not verified.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Chain(pub(super) Vec<Vec<u8>>);

/// What a request brought.
pub(super) enum Arrival<'a> {
    /// No certificate.
    None,
    /// A field that looks like a certificate and is not looked at.
    Ignored(&'static str),
    /// A chain from a terminator that proved itself.
    Chain(&'a Mtls, Chain),
    /// A certificate that counts for nothing.
    Refused(Denial),
}

impl Mtls {
    /// Loads `keys/mtls.toml`, `keys/ca/` and `keys/crl/` of a bundle. `None` when there is no such file, and when there was
    /// a problem; all of them are in `report`.
    pub fn load(_bundle: &Bundle, _report: &mut Report) -> Option<Self> {
        None
    }

    /// Whether a path in a bundle belongs to this module.
    pub fn owns(path: &str) -> bool {
        path == "keys/mtls.toml" || path.starts_with("keys/ca/") || path.starts_with("keys/crl/")
    }

    /// Whether the certificate, and not the token, names the principal when a request has both.
    pub fn names_principal(&self) -> bool {
        false
    }

    /// Fields, in lower case, that carry the certificate or the terminator's secret: they never reach the origin.
    pub fn own_fields(&self) -> impl Iterator<Item = &str> {
        std::iter::empty()
    }

    /// Verifies a chain at a time.
    ///
    /// # Errors
    /// A denial with an `mtls.…` reason.
    pub fn verify(&self, _chain: &Chain, _now: UnixTime) -> Result<CertificateIdentity, Denial> {
        Err(Reason::MtlsChain.into())
    }
}

/// What a request brought, read in the configured form and only from a terminator that proved itself.
pub(super) fn arrival<'a>(_mtls: Option<&'a Mtls>, _facts: &Facts, _deployment: &Deployment) -> Arrival<'a> {
    Arrival::None
}
