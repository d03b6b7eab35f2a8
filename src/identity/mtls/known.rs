//! Chains that verified before, in this instance.

use x509_parser::prelude::X509Certificate;

use super::{Chain, Mtls, facts};
use crate::bundle::Digest;
use crate::decision::UnixTime;
use crate::identity::CertificateIdentity;
use crate::identity::known::{Bounds, Memorable, texts};
use crate::limits;

/// A chain that verified: what its holder is, and between which moments.
///
/// INVARIANT: whether a chain verifies, and what it says, depends on the sealed gate, on its bytes and on the time; and on the time only
/// by the dates of its certificates, of the anchors and of the CRLs. Between two of these dates verifying it anew would say the same, so
/// that is how long it counts. The revocation list and what a token is bound to are held against it each time.
#[derive(Debug, Clone)]
pub struct KnownChain {
    pub(in crate::identity) identity: CertificateIdentity,
    /// The first second it counts in.
    from: i64,
    /// The first second it no longer counts in.
    until: i64,
}

impl KnownChain {
    /// Whether verifying it anew would say the same.
    pub(in crate::identity) const fn counts(&self, now: UnixTime) -> bool {
        self.from <= now.0 && now.0 < self.until
    }
}

impl Memorable for KnownChain {
    const BOUNDS: Bounds = Bounds { entries: limits::KNOWN_CHAINS, bytes: limits::KNOWN_CHAIN_BYTES };

    fn bytes(&self) -> usize {
        let CertificateIdentity {
            anchor,
            principal,
            named_by: _,
            subject,
            issuer,
            issuer_digest: _,
            serial,
            dns_names,
            emails,
            uris,
            ip_addresses,
            spiffe_id,
            fingerprint: _,
            spki_fingerprint: _,
            not_before: _,
            not_after: _,
        } = &self.identity;
        let names = [anchor, principal, subject, issuer, serial].into_iter().chain(spiffe_id);
        texts(names, [dns_names, emails, uris, ip_addresses]).saturating_add(size_of::<Self>()).saturating_add(128)
    }
}

impl Chain {
    /// The digest of all of it, certificate by certificate: where one ends and the next begins is part of it.
    pub(in crate::identity) fn digest(&self) -> Digest {
        let mut bytes = Vec::with_capacity(self.0.iter().map(|der| der.len().saturating_add(8)).sum());
        for der in &self.0 {
            bytes.extend_from_slice(&der.len().to_le_bytes());
            bytes.extend_from_slice(der);
        }
        Digest::of(&bytes)
    }
}

impl Mtls {
    /// What is to be remembered of a chain that verified now: nothing, when it has dates that cannot be told.
    pub(in crate::identity) fn memory(&self, chain: &Chain, identity: &CertificateIdentity, now: UnixTime) -> Option<KnownChain> {
        let (mut from, mut until) = (i64::MIN, i64::MAX);
        let mut turn = |at: i64| if at <= now.0 { from = from.max(at) } else { until = until.min(at) };
        self.turns.as_ref()?.iter().copied().for_each(&mut turn);
        for der in &chain.0 {
            turns(&facts::parse(der)?)?.into_iter().for_each(&mut turn);
        }
        Some(KnownChain { identity: identity.clone(), from, until })
    }
}

/// The first second in which a certificate is valid, and the first in which it no longer is (RFC 5280, section 4.1.2.5: both dates are
/// part of it).
pub(super) fn turns(certificate: &X509Certificate<'_>) -> Option<[i64; 2]> {
    let validity = certificate.validity();
    Some([validity.not_before.timestamp(), validity.not_after.timestamp().checked_add(1)?])
}
