//! Client certificates: from the header a TLS terminator writes to a verified chain.
//!
//! Off unless `keys/mtls.toml` is there. Nothing of a certificate is believed before the terminator proved itself and the
//! path to a trust anchor was found.

mod arrival;
mod config;
mod facts;
mod forms;
mod known;
mod load;
mod name;
mod path;
mod spiffe;
mod terminator;
#[cfg(test)]
mod tests;

use pki_types::TrustAnchor;
use webpki::CertRevocationList;

use self::facts::Leaf;
use self::forms::Form;
use self::terminator::Terminator;
use super::{CertificateIdentity, Issuers, NameKind};
use crate::bundle::{Bundle, Report};
use crate::decision::{Denial, Reason, UnixTime};

pub(super) use arrival::{Arrival, arrival};
pub use known::KnownChain;

/// `keys/mtls.toml` with everything it names.
#[derive(Debug)]
pub struct Mtls {
    form: Form,
    terminator: Terminator,
    by_certificate: bool,
    /// In order of preference.
    names: Vec<NameKind>,
    anchors: Vec<Anchor>,
    /// The certificates of all anchors, as webpki takes them.
    trust: Vec<TrustAnchor<'static>>,
    /// What else their certificates say, in the same order.
    roots: Vec<Root>,
    crls: Vec<CertRevocationList<'static>>,
    /// The seconds from which on certificates of anchors and CRLs count, or no longer do; `None` when not all of them are known.
    turns: Option<Vec<i64>>,
    require_crl: bool,
    insecure_accept_expired_crl: bool,
}

/// One `[[anchor]]`: whose word counts, and for which names.
#[derive(Debug)]
struct Anchor {
    name: String,
    trust_domains: Vec<String>,
    prefix: String,
}

/// One certificate of an anchor.
#[derive(Debug)]
struct Root {
    /// Which anchor.
    anchor: usize,
    not_before: i64,
    not_after: i64,
    path_length: Option<u32>,
    constrains_email: bool,
}

/// A certificate chain as it arrived, the client's certificate first, in DER. Not verified.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Chain(pub(super) Vec<Vec<u8>>);

impl Mtls {
    /// Loads `keys/mtls.toml`, `keys/ca/` and `keys/crl/` of a bundle. `None` when there is no such file, and when there was
    /// a problem; all of them are in `report`.
    pub fn load(bundle: &Bundle, report: &mut Report) -> Option<Self> {
        load::load(bundle, report)
    }

    /// Whether a path in a bundle belongs to this module.
    pub fn owns(path: &str) -> bool {
        path == config::FILE || path.starts_with(load::CERTIFICATES) || path.starts_with(load::CRLS)
    }

    /// Reports issuers whose subjects could get the id of a certificate's holder.
    pub fn check_issuers(&self, bundle: &Bundle, issuers: &Issuers, report: &mut Report) {
        load::check_issuers(self, bundle, issuers, report);
    }

    /// Whether the certificate, and not the token, names the principal when a request has both.
    pub fn names_principal(&self) -> bool {
        self.by_certificate
    }

    /// Fields, in lower case, that carry the certificate or the terminator's secret: they never reach the origin.
    pub fn own_fields(&self) -> impl Iterator<Item = &str> {
        let secret = self.terminator.secret_header.as_deref();
        std::iter::once(self.form.certificate_field()).chain(self.form.chain_field()).chain(secret)
    }

    /// The switches that weaken it and are on, for whoever reads the log.
    pub fn insecure(&self) -> impl Iterator<Item = &'static str> {
        [
            (self.terminator.insecure_trust_any, "insecure_trust_any: anyone can claim any client certificate"),
            (self.insecure_accept_expired_crl, "insecure_accept_expired_crl: a CRL counts for ever"),
        ]
        .into_iter()
        .filter_map(|(on, what)| on.then_some(what))
    }

    /// Verifies a chain at a time.
    ///
    /// # Errors
    /// A denial with an `mtls.…` reason.
    pub fn verify(&self, chain: &Chain, now: UnixTime) -> Result<CertificateIdentity, Denial> {
        let first = chain.0.first().ok_or_else(|| Denial::new(Reason::MtlsMalformed, "a chain without a certificate"))?;
        let leaf = Leaf::parse(first)?;
        let root = path::find(self, &leaf, &chain.0, now)?;
        let anchor = self.anchors.get(root.anchor).ok_or_else(|| Denial::new(Reason::MtlsChain, "the path ends at an unknown anchor"))?;
        leaf.check_key()?;
        leaf.identity(anchor, &self.names)
    }
}
