//! The path from a client's certificate to a trust anchor: rustls-webpki's (RFC 5280, section 6), and the few rules it
//! leaves to its callers.

use std::time::Duration;

use pki_types::{CertificateDer, SignatureVerificationAlgorithm, UnixTime as PkiTime};
use webpki::{
    Cert, CertRevocationList, EndEntityCert, Error, ExpirationPolicy, KeyUsage, RevocationCheckDepth, RevocationOptions,
    RevocationOptionsBuilder, UnknownStatusPolicy, VerifiedPath, ring,
};

use super::facts::{self, Leaf};
use super::{Mtls, Root};
use crate::decision::{Denial, Reason, UnixTime};

/// Every algorithm a signature on the way may use. SECURITY: what is not here is refused, SHA-1 and MD5 first of all; the
/// RSA ones begin at 2048 bits.
static ALGORITHMS: [&dyn SignatureVerificationAlgorithm; 11] = [
    ring::ECDSA_P256_SHA256,
    ring::ECDSA_P256_SHA384,
    ring::ECDSA_P384_SHA256,
    ring::ECDSA_P384_SHA384,
    ring::ED25519,
    ring::RSA_PKCS1_2048_8192_SHA256,
    ring::RSA_PKCS1_2048_8192_SHA384,
    ring::RSA_PKCS1_2048_8192_SHA512,
    ring::RSA_PSS_2048_8192_SHA256_LEGACY_KEY,
    ring::RSA_PSS_2048_8192_SHA384_LEGACY_KEY,
    ring::RSA_PSS_2048_8192_SHA512_LEGACY_KEY,
];

/// Finds a path for a chain at a time; the root it ends at.
///
/// # Errors
/// A denial with an `mtls.…` reason: the most telling one of all paths that were tried.
pub(super) fn find<'m>(mtls: &'m Mtls, leaf: &Leaf<'_>, chain: &[Vec<u8>], now: UnixTime) -> Result<&'m Root, Denial> {
    let certificates: Vec<CertificateDer<'_>> = chain.iter().map(|der| CertificateDer::from(der.as_slice())).collect();
    let Some((first, intermediates)) = certificates.split_first() else {
        return Err(Denial::new(Reason::MtlsMalformed, "a chain without a certificate"));
    };
    let end = EndEntityCert::try_from(first).map_err(|error| denial(&error))?;
    let Ok(seconds) = u64::try_from(now.0) else {
        return Err(Denial::new(Reason::MtlsNotYetValid, "the time is before 1970"));
    };
    let time = PkiTime::since_unix_epoch(Duration::from_secs(seconds));
    let crls: Vec<&CertRevocationList<'_>> = mtls.crls.iter().collect();
    let revocation = (!crls.is_empty()).then(|| options(mtls, &crls)).transpose()?;
    if revocation.is_none() && mtls.require_crl {
        return Err(Denial::new(Reason::MtlsCrlMissing, "there is no CRL at all"));
    }
    let constraints = |path: &VerifiedPath<'_>| beyond(mtls, leaf, path, time);
    let path = end
        .verify_for_usage(&ALGORITHMS, &mtls.trust, intermediates, time, KeyUsage::client_auth(), revocation, Some(&constraints))
        .map_err(|error| denial(&error))?;
    root(mtls, &path).ok_or_else(|| Denial::new(Reason::MtlsChain, "the path ends at an unknown anchor"))
}

fn options<'a>(mtls: &Mtls, crls: &'a [&'a CertRevocationList<'a>]) -> Result<RevocationOptions<'a>, Denial> {
    let builder = RevocationOptionsBuilder::new(crls).map_err(|_| Denial::new(Reason::MtlsCrlMissing, "there is no CRL at all"))?;
    let unknown = if mtls.require_crl { UnknownStatusPolicy::Deny } else { UnknownStatusPolicy::Allow };
    let expired = if mtls.insecure_accept_expired_crl { ExpirationPolicy::Ignore } else { ExpirationPolicy::Enforce };
    Ok(builder.with_depth(RevocationCheckDepth::Chain).with_status_policy(unknown).with_expiration_policy(expired).build())
}

fn root<'m>(mtls: &'m Mtls, path: &VerifiedPath<'_>) -> Option<&'m Root> {
    let (subject, key) = (&path.anchor().subject, &path.anchor().subject_public_key_info);
    let index = mtls.trust.iter().position(|anchor| anchor.subject == *subject && anchor.subject_public_key_info == *key)?;
    mtls.roots.get(index)
}

/// What webpki does not look at. An error here makes it try other paths.
fn beyond(mtls: &Mtls, leaf: &Leaf<'_>, path: &VerifiedPath<'_>, time: PkiTime) -> Result<(), Error> {
    let root = root(mtls, path).ok_or(Error::UnknownIssuer)?;
    // A trust anchor is only a name and a key to webpki. Ours come as certificates, and what these say of themselves counts.
    let now = i64::try_from(time.as_secs()).unwrap_or(i64::MAX);
    let at = |time: i64| PkiTime::since_unix_epoch(Duration::from_secs(u64::try_from(time).unwrap_or(0)));
    if now < root.not_before {
        return Err(Error::CertNotValidYet { time, not_before: at(root.not_before) });
    }
    if now > root.not_after {
        return Err(Error::CertExpired { time, not_after: at(root.not_after) });
    }
    let count = path.intermediate_certificates().count();
    if root.path_length.is_some_and(|most| u32::try_from(count).is_ok_and(|count| count > most)) {
        return Err(Error::PathLenConstraintViolated);
    }
    // SECURITY: webpki asks one CRL for each certificate, the first that may speak for it. A certificate that does not say at
    // which distribution point it is listed could stand in another part; what any CRL of its issuer lists is revoked.
    let end: &Cert<'_> = path.end_entity();
    let lists = |crl: &CertRevocationList<'_>, certificate: &Cert<'_>| {
        crl.issuer() == certificate.issuer() && !matches!(crl.find_serial(certificate.serial()), Ok(None))
    };
    if std::iter::once(end).chain(path.intermediate_certificates()).any(|certificate| mtls.crls.iter().any(|crl| lists(crl, certificate))) {
        return Err(Error::CertRevoked);
    }
    let mut constrains_email = root.constrains_email;
    for intermediate in path.intermediate_certificates() {
        let der = intermediate.der();
        let certificate = facts::parse(&der).ok_or(Error::BadDer)?;
        // RFC 5280, section 6.1.4 (n): webpki takes basic constraints alone for permission.
        match certificate.key_usage() {
            Ok(None) => {}
            Ok(Some(found)) if found.value.key_cert_sign() => {}
            Ok(Some(_)) => return Err(Error::EndEntityUsedAsCa),
            Err(_) => return Err(Error::BadDer),
        }
        constrains_email |= facts::constrains_email(&certificate).ok_or(Error::BadDer)?;
    }
    // RFC 5280, section 4.2.1.10: a constraint on e-mail addresses is about those in the subject too. webpki refuses a
    // certificate with such an alternative name below such a constraint, and so do we one with such a subject.
    if constrains_email && leaf.has_email_in_subject() {
        return Err(Error::NameConstraintViolation);
    }
    Ok(())
}

/// What an error of webpki is called here. Its own text may quote the certificate and is not passed on.
fn denial(error: &Error) -> Denial {
    use Reason as R;
    let (reason, detail) = match error {
        Error::CertExpired { not_after, .. } => {
            return Denial::new(R::MtlsExpired, format!("a certificate on the path ended at {}", not_after.as_secs()));
        }
        Error::CertNotValidYet { not_before, .. } => {
            return Denial::new(R::MtlsNotYetValid, format!("a certificate on the path begins at {}", not_before.as_secs()));
        }
        Error::CrlExpired { next_update, .. } => {
            return Denial::new(R::MtlsCrlExpired, format!("a new CRL was due at {}", next_update.as_secs()));
        }
        Error::CertRevoked => (R::MtlsRevoked, "a CRL lists a certificate on the path"),
        Error::UnknownRevocationStatus => (R::MtlsCrlMissing, "no CRL speaks for a certificate on the path"),
        Error::InvalidCrlSignatureForPublicKey => (R::MtlsCrlMissing, "the CRL's signature does not verify"),
        Error::IssuerNotCrlSigner => (R::MtlsCrlMissing, "the CRL's issuer may not sign CRLs"),
        Error::UnsupportedCrlSignatureAlgorithmContext(_) | Error::UnsupportedCrlSignatureAlgorithmForPublicKeyContext(_) => {
            (R::MtlsCrlMissing, "the CRL's signature uses an algorithm that is not accepted")
        }
        Error::InvalidCrlNumber
        | Error::UnsupportedCrlIssuingDistributionPoint
        | Error::UnsupportedCrlVersion
        | Error::UnsupportedDeltaCrl
        | Error::UnsupportedIndirectCrl
        | Error::UnsupportedRevocationReason
        | Error::UnsupportedRevocationReasonsPartitioning => (R::MtlsCrlMissing, "the CRL is of a kind that is not supported"),
        Error::CaUsedAsEndEntity => (R::MtlsUsage, "the client's certificate is that of a certification authority"),
        Error::EndEntityUsedAsCa => (R::MtlsUsage, "a certificate on the path may not issue certificates"),
        Error::RequiredEkuNotFoundContext(_) | Error::EmptyEkuExtension => {
            (R::MtlsUsage, "a certificate on the path is not for client authentication (extended key usage)")
        }
        Error::NameConstraintViolation => (R::MtlsConstraint, "a name of the certificate is outside a name constraint"),
        Error::MalformedNameConstraint | Error::InvalidNetworkMaskConstraint => (R::MtlsConstraint, "a name constraint cannot be read"),
        Error::PathLenConstraintViolated => (R::MtlsConstraint, "the path is longer than an issuer allows"),
        Error::UnsupportedSignatureAlgorithmContext(_) => (R::MtlsAlgorithm, "a signature uses an algorithm that is not accepted"),
        Error::UnsupportedSignatureAlgorithmForPublicKeyContext(_) => {
            (R::MtlsAlgorithm, "a signature's algorithm does not fit its issuer's key, or the key is of a kind that is not accepted")
        }
        Error::MaximumNameConstraintComparisonsExceeded => (R::MtlsTooComplex, "too many name constraints"),
        Error::MaximumPathBuildCallsExceeded | Error::MaximumPathDepthExceeded => (R::MtlsTooComplex, "too many ways to try"),
        Error::MaximumSignatureChecksExceeded => (R::MtlsTooComplex, "too many signatures to verify"),
        Error::BadDer | Error::BadDerTime | Error::TrailingData(_) => (R::MtlsCertificateInvalid, "a certificate is not valid DER"),
        Error::UnsupportedCertVersion => (R::MtlsCertificateInvalid, "a certificate is not of version 3"),
        Error::UnsupportedCriticalExtension => (R::MtlsCertificateInvalid, "a certificate has a critical extension that is not known"),
        Error::SignatureAlgorithmMismatch => (R::MtlsCertificateInvalid, "a certificate names two signature algorithms"),
        Error::ExtensionValueInvalid
        | Error::MalformedExtensions
        | Error::MalformedDnsIdentifier
        | Error::InvalidCertValidity
        | Error::InvalidSerialNumber => (R::MtlsCertificateInvalid, "a certificate has a field or an extension that cannot be read"),
        Error::InvalidSignatureForPublicKey => (R::MtlsChain, "a signature on the path does not verify"),
        Error::UnknownIssuer => (R::MtlsChain, "no path leads to a trust anchor"),
        Error::CertDistrusted => (R::MtlsChain, "a key on the path is distrusted"),
        // Errors about server names and raw keys, which are not asked for, and those that do not exist yet.
        _ => (R::MtlsChain, "no valid path leads to a trust anchor"),
    };
    Denial::new(reason, detail)
}
