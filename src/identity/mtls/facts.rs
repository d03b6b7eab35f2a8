//! What a verified certificate says: its names, its digests, its validity; and whether its key and usage are for a client.

use std::collections::BTreeSet;
use std::net::IpAddr;

use x509_parser::prelude::{FromDer, GeneralName, X509Certificate};

use super::{Anchor, name, spiffe};
use crate::bundle::{Digest, hex};
use crate::decision::{Denial, Reason, UnixTime};
use crate::identity::{CertificateIdentity, NameKind, pem, serial_text, text};
use crate::limits;

/// The client's certificate, parsed and not believed.
pub(super) struct Leaf<'a> {
    der: &'a [u8],
    certificate: X509Certificate<'a>,
}

/// The names of a certificate. Sorted, unique.
#[derive(Debug, Default)]
struct AlternativeNames {
    dns: BTreeSet<String>,
    emails: BTreeSet<String>,
    uris: BTreeSet<String>,
    addresses: BTreeSet<IpAddr>,
    /// How many URIs, with repetitions: X509-SVID allows one.
    uri_count: usize,
}

fn invalid(what: &'static str) -> Denial {
    Denial::new(Reason::MtlsCertificateInvalid, what)
}

fn usage(what: &'static str) -> Denial {
    Denial::new(Reason::MtlsUsage, what)
}

/// Parses a certificate that takes all of the bytes.
pub(super) fn parse(der: &[u8]) -> Option<X509Certificate<'_>> {
    match X509Certificate::from_der(der) {
        Ok(([], certificate)) => Some(certificate),
        _ => None,
    }
}

impl<'a> Leaf<'a> {
    pub(super) fn parse(der: &'a [u8]) -> Result<Self, Denial> {
        let certificate = parse(der).ok_or_else(|| invalid("the client's certificate is not an X.509 certificate"))?;
        Ok(Self { der, certificate })
    }

    /// Whether the subject holds an e-mail address, which name constraints on e-mail addresses are about too (RFC 5280,
    /// section 4.2.1.10).
    pub(super) fn has_email_in_subject(&self) -> bool {
        name::has_email(self.certificate.subject())
    }

    /// What path validation leaves open: the strength of the certificate's own key, which signed nothing on the path, and
    /// its key usage.
    pub(super) fn check_key(&self) -> Result<(), Denial> {
        if let Err(problem) = pem::from_spki(self.certificate.public_key()) {
            return Err(Denial::new(Reason::MtlsKeyWeak, problem.message));
        }
        match self.certificate.key_usage() {
            Err(_) => Err(invalid("the key usage cannot be read")),
            Ok(None) => Ok(()),
            // RFC 5280, section 4.2.1.12: with client authentication go digital signature and key agreement.
            Ok(Some(found)) if found.value.digital_signature() || found.value.key_agreement() => Ok(()),
            Ok(Some(_)) => Err(usage("the key usage has neither digital signature nor key agreement")),
        }
    }

    /// All that is known of it, with the principal it names.
    pub(super) fn identity(&self, anchor: &Anchor, order: &[NameKind]) -> Result<CertificateIdentity, Denial> {
        let certificate = &self.certificate;
        let names = self.alternative_names()?;
        let spiffe_id = self.spiffe_id(&names, anchor);
        let subject = name::render(certificate.subject()).ok_or_else(|| invalid("the subject cannot be read"))?;
        let issuer = name::render(certificate.issuer()).ok_or_else(|| invalid("the issuer cannot be read"))?;
        let (named_by, principal) = principal(order, anchor, &names, &spiffe_id, &subject)?;
        let AlternativeNames { dns, emails, uris, addresses, uri_count: _ } = names;
        Ok(CertificateIdentity {
            anchor: anchor.name.clone(),
            principal,
            named_by,
            subject,
            issuer,
            issuer_digest: Digest::of(certificate.issuer().as_raw()),
            serial: self.serial()?,
            dns_names: dns.into_iter().collect(),
            emails: emails.into_iter().collect(),
            uris: uris.into_iter().collect(),
            ip_addresses: addresses.into_iter().map(|address| address.to_string()).collect(),
            spiffe_id: spiffe_id.and_then(Result::ok),
            fingerprint: Digest::of(self.der),
            spki_fingerprint: Digest::of(certificate.public_key().raw),
            not_before: UnixTime(certificate.validity().not_before.timestamp()),
            not_after: UnixTime(certificate.validity().not_after.timestamp()),
        })
    }

    fn alternative_names(&self) -> Result<AlternativeNames, Denial> {
        let mut names = AlternativeNames::default();
        let extension = self.certificate.subject_alternative_name().map_err(|_| invalid("the subject alternative name cannot be read"))?;
        let Some(extension) = extension else { return Ok(names) };
        let all = &extension.value.general_names;
        if all.len() > limits::CERTIFICATE_NAMES {
            return Err(Denial::new(Reason::MtlsTooLarge, "the certificate has too many names"));
        }
        for name in all {
            match name {
                GeneralName::DNSName(name) => drop(names.dns.insert(plain(name)?.to_ascii_lowercase())),
                GeneralName::RFC822Name(name) => drop(names.emails.insert(plain(name)?.to_owned())),
                GeneralName::URI(name) => {
                    names.uri_count = names.uri_count.saturating_add(1);
                    names.uris.insert(plain(name)?.to_owned());
                }
                GeneralName::IPAddress(bytes) => drop(names.addresses.insert(address(bytes)?)),
                GeneralName::Invalid(..) => return Err(invalid("a name of the subject alternative name cannot be read")),
                GeneralName::OtherName(..)
                | GeneralName::X400Address(_)
                | GeneralName::DirectoryName(_)
                | GeneralName::EDIPartyName(_)
                | GeneralName::RegisteredID(_) => {}
            }
        }
        Ok(names)
    }

    /// The SPIFFE id, where it claims to have one; or which rule it breaks.
    fn spiffe_id(&self, names: &AlternativeNames, anchor: &Anchor) -> Option<Result<String, &'static str>> {
        let id = names.uris.iter().find(|uri| spiffe::claims_to_be(uri))?;
        let check = || {
            // X509-SVID, section 2.
            if names.uri_count != 1 {
                return Err("the certificate has more than one URI");
            }
            let domain = spiffe::trust_domain(id)?;
            // SECURITY: any certification authority can write any SPIFFE id; whose word counts for which is configured.
            if !anchor.trust_domains.iter().any(|allowed| allowed == domain) {
                return Err("the trust domain is not one its anchor may speak for");
            }
            // X509-SVID, sections 4.1 and 4.3. That it is no CA was checked with the path.
            match self.certificate.key_usage() {
                Ok(Some(found)) if found.value.key_cert_sign() || found.value.crl_sign() => {
                    Err("its key usage is that of a signing certificate")
                }
                Ok(Some(found)) if found.value.digital_signature() => Ok(id.clone()),
                _ => Err("its key usage is not digital signature"),
            }
        };
        Some(check())
    }

    /// Lower-case hexadecimal digits without leading zeros.
    fn serial(&self) -> Result<String, Denial> {
        let raw = self.certificate.raw_serial();
        // RFC 5280, section 4.1.2.2: positive. A negative one would be written like another that is not.
        if raw.first().is_none_or(|first| *first >= 0x80) || raw.len() > limits::SERIAL_BYTES {
            return Err(invalid("the serial number is not positive, or too long"));
        }
        Ok(serial_text(&hex(raw)))
    }
}

/// SECURITY: alternative names are ASCII (RFC 5280, section 4.2.1.6). A control character in one is there to make somebody
/// read less than all of it.
fn plain(name: &str) -> Result<&str, Denial> {
    if name.bytes().all(|b| b.is_ascii() && !b.is_ascii_control()) {
        Ok(name)
    } else {
        Err(invalid("a name of the subject alternative name is not plain ASCII"))
    }
}

fn address(bytes: &[u8]) -> Result<IpAddr, Denial> {
    let address = <[u8; 4]>::try_from(bytes).map(IpAddr::from).or_else(|_| <[u8; 16]>::try_from(bytes).map(IpAddr::from));
    address.map(|address| address.to_canonical()).map_err(|_| invalid("an IP address has neither 4 nor 16 bytes"))
}

/// The principal: the first kind of name in `order` that the certificate has.
///
/// SECURITY: a kind it has and that cannot name anyone, because there are several or because it breaks the rules, refuses
/// the certificate. Going on to the next kind would let the holder of an odd name be somebody else.
fn principal(
    order: &[NameKind],
    anchor: &Anchor,
    names: &AlternativeNames,
    spiffe_id: &Option<Result<String, &'static str>>,
    subject: &str,
) -> Result<(NameKind, String), Denial> {
    for kind in order {
        let name = match kind {
            NameKind::Spiffe => match spiffe_id {
                None => None,
                Some(Ok(id)) => return Ok((*kind, id.clone())),
                Some(Err(broken)) => return Err(Denial::new(Reason::MtlsSpiffe, *broken)),
            },
            NameKind::Dns => only(&names.dns, "DNS name", is_host)?.map(|name| format!("dns:{name}")),
            NameKind::Email => only(&names.emails, "e-mail address", |name| mailbox(name).is_some())?
                .and_then(mailbox)
                .map(|(local, domain)| format!("email:{local}@{}", domain.to_ascii_lowercase())),
            NameKind::Subject if subject.is_empty() => None,
            NameKind::Subject => Some(format!("subject:{subject}")),
        };
        let Some(name) = name else { continue };
        if name.len() > limits::CERTIFICATE_NAME_BYTES {
            return Err(Denial::new(Reason::MtlsTooLarge, "the name of the certificate has too many bytes"));
        }
        return Ok((*kind, format!("{}{name}", anchor.prefix)));
    }
    Err(Denial::new(Reason::MtlsNameMissing, "it has none of the kinds of name in `names`"))
}

/// The one name of its kind; `None` when there is none.
fn only<'a>(names: &'a BTreeSet<String>, kind: &str, good: impl Fn(&str) -> bool) -> Result<Option<&'a str>, Denial> {
    let mut names = names.iter();
    match (names.next(), names.next()) {
        (None, _) => Ok(None),
        (Some(name), None) if good(name) => Ok(Some(name)),
        (Some(name), None) => {
            let detail = format!("its {kind} `{}` cannot name anyone", text::shown(name));
            Err(Denial::new(Reason::MtlsNameMissing, detail))
        }
        (Some(_), Some(_)) => Err(Denial::new(Reason::MtlsNameMissing, format!("it has more than one {kind}"))),
    }
}

/// A host name: no wildcard, which stands for many, and no dot at the end, which would be a second spelling.
fn is_host(name: &str) -> bool {
    (1..=253).contains(&name.len())
        && name
            .split('.')
            .all(|label| (1..=63).contains(&label.len()) && label.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_')))
}

/// A mailbox without quotes or comments (RFC 5321, section 4.1.2: dot-string and domain).
fn mailbox(name: &str) -> Option<(&str, &str)> {
    let (local, domain) = name.rsplit_once('@')?;
    let atom = |b: u8| b.is_ascii_alphanumeric() || b"!#$%&'*+-/=?^_`{|}~".contains(&b);
    let good = (1..=64).contains(&local.len()) && local.split('.').all(|part| !part.is_empty() && part.bytes().all(atom));
    (good && is_host(domain)).then_some((local, domain))
}

/// Whether no URI or DNS name of a certificate has a character that ends something in `x-forwarded-client-cert`. `false` also
/// for what cannot be read.
pub(super) fn has_plain_names(der: &[u8]) -> bool {
    let Some(certificate) = parse(der) else { return false };
    let Ok(extension) = certificate.subject_alternative_name() else { return false };
    extension.is_none_or(|extension| {
        extension.value.general_names.iter().all(|name| match name {
            GeneralName::URI(text) | GeneralName::DNSName(text) => !text.contains([',', ';', '"']),
            GeneralName::Invalid(..) => false,
            _ => true,
        })
    })
}

/// Whether a certificate's name constraints speak of e-mail addresses. `None` when they cannot be read.
pub(super) fn constrains_email(certificate: &X509Certificate<'_>) -> Option<bool> {
    let Some(found) = certificate.name_constraints().ok()? else { return Some(false) };
    let of_email = |trees: &Option<Vec<x509_parser::extensions::GeneralSubtree<'_>>>| {
        trees.iter().flatten().any(|tree| matches!(tree.base, GeneralName::RFC822Name(_) | GeneralName::Invalid(..)))
    };
    Some(of_email(&found.value.permitted_subtrees) || of_email(&found.value.excluded_subtrees))
}
