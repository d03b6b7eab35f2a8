//! A record back to what was decided on, for asking again: the same facts and the same identity, as far as the record shows them.
//!
//! SECURITY: nothing here proves anything. What is rebuilt is asked about, and never let through.

use std::sync::Arc;

use super::entry::{CertificateEntry, Entry, InputsEntry, LinkEntry, PairEntry, SigningEntry, TokenEntry};
use crate::bundle::Digest;
use crate::decision::UnixTime;
use crate::identity::{CertificateIdentity, Confirmation, Identity, NameKind, PrincipalKind, TokenIdentity, algorithm_name};
use crate::policy::Signing;
use crate::request::{Facts, Method, Path};
use crate::signed_url::{Carrier, Format, LinkIdentity};

/// What stands for a digest that no policy sees.
const UNSEEN: Digest = Digest::from_bytes([0; 32]);

/// What a record says was decided on.
#[derive(Debug, Clone)]
pub struct Recorded {
    /// The request.
    pub facts: Facts,
    /// Who asked.
    pub identity: Identity,
    /// The time it was decided for.
    pub now: UnixTime,
}

/// One URL that was asked for, as policies see it.
#[derive(Debug, Clone)]
pub struct RecordedSigning {
    /// The methods.
    pub methods: Vec<Method>,
    /// The path.
    pub path: Path,
    /// The query, decoded.
    pub parameters: Vec<(String, String)>,
    /// `context.signing`.
    pub signing: Signing,
}

impl Recorded {
    /// Reads it from a record.
    ///
    /// # Errors
    /// What of it cannot be read.
    pub fn of(entry: &Entry) -> Result<Self, String> {
        let Some(InputsEntry { decided_at, header_names: _, https, purpose: _, query, headers }) = &entry.inputs else {
            return Err("the record does not say what was decided on".to_owned());
        };
        let request = &entry.request;
        let method = Method::from_name(&request.method).ok_or_else(|| format!("`{}` is no method", request.method))?;
        let facts = Facts {
            method,
            https: *https,
            host: request.host.clone().unwrap_or_default(),
            port: None,
            path: path(request.path.as_deref())?,
            query: None,
            parameters: pairs(query),
            client: request.client.as_deref().and_then(|client| client.parse().ok()),
            peer: None,
            headers: pairs(headers).into_iter().map(|(name, value)| (name, value.into_bytes())).collect(),
            trace: None,
        };
        Ok(Self { facts, identity: identity(entry)?, now: UnixTime(*decided_at) })
    }
}

impl RecordedSigning {
    /// Reads it from what a record says of one URL.
    ///
    /// # Errors
    /// What of it cannot be read.
    pub fn of(entry: &SigningEntry) -> Result<Self, String> {
        let methods = entry.methods.iter().map(|name| Method::from_name(name).ok_or_else(|| format!("`{name}` is no method")));
        let format = Format::from_name(&entry.format).ok_or_else(|| format!("`{}` is no format of URLs", entry.format))?;
        Ok(Self {
            methods: methods.collect::<Result<_, _>>()?,
            path: path(entry.path.as_deref())?,
            parameters: pairs(&entry.query),
            signing: Signing {
                expires_in: entry.expires_in,
                format: format.name(),
                prefix: entry.prefix,
                bound_to_address: entry.address.is_some(),
            },
        })
    }
}

fn path(raw: Option<&str>) -> Result<Path, String> {
    let raw = raw.ok_or("the path was erased")?;
    Path::parse(raw).map_err(|denial| format!("the path cannot be read: {denial}"))
}

/// A value that is not shown is empty here. Whether that matters is asked where policies are known.
fn pairs(pairs: &[PairEntry]) -> Vec<(String, String)> {
    pairs.iter().map(|PairEntry { name, value }| (name.clone(), value.clone().unwrap_or_default())).collect()
}

fn identity(entry: &Entry) -> Result<Identity, String> {
    let certified = entry.certificate.as_ref().map(certificate).transpose()?.map(Box::new);
    let by_certificate = entry.certificate.as_ref().is_some_and(|certificate| certificate.names_principal);
    let token = entry.identity.as_ref().map(token).transpose()?.map(Arc::new);
    Ok(match (entry.signed_url.as_ref().map(link).transpose()?, token, certified) {
        (Some(link), _, certificate) => Identity::SignedUrl { link: Box::new(link), certificate },
        (None, token, Some(certificate)) if by_certificate => Identity::Certificate { certificate, token },
        (None, Some(token), certificate) => Identity::Token { token, certificate },
        (None, None, None) => Identity::Anonymous,
        (None, None, Some(_)) => return Err("the record does not say who asked".to_owned()),
    })
}

fn token(entry: &TokenEntry) -> Result<TokenIdentity, String> {
    let TokenEntry {
        issuer,
        issuer_name,
        kind,
        principal,
        subject,
        kid,
        alg,
        token_id,
        groups,
        roles,
        scopes,
        audience,
        issued_at,
        expires_at,
        auth_time,
        acr,
        amr,
        client_id,
        email,
        session_id,
        bindings,
    } = entry;
    let bound = |name: &str| bindings.iter().any(|binding| binding == name).then_some(UNSEEN);
    Ok(TokenIdentity {
        issuer_name: issuer_name.clone(),
        issuer: issuer.clone(),
        kind: match kind.as_str() {
            "user" => PrincipalKind::User,
            "workload" => PrincipalKind::Workload,
            other => return Err(format!("`{other}` is no kind of principal")),
        },
        principal: principal.clone().unwrap_or_default(),
        subject: subject.clone().unwrap_or_default(),
        groups: groups.clone(),
        roles: roles.clone(),
        scopes: scopes.clone(),
        audience: audience.clone(),
        token_id: token_id.clone(),
        key_id: kid.clone(),
        algorithm: algorithm_name(alg).ok_or_else(|| format!("`{alg}` is no algorithm"))?,
        issued_at: issued_at.map(UnixTime),
        expires_at: UnixTime(*expires_at),
        auth_time: auth_time.map(UnixTime),
        acr: acr.clone(),
        amr: amr.clone(),
        client_id: client_id.clone(),
        email: email.clone(),
        session_id: session_id.clone(),
        confirmation: Confirmation { certificate: bound("certificate"), key: bound("dpop") },
        status: None,
    })
}

fn certificate(entry: &CertificateEntry) -> Result<CertificateIdentity, String> {
    let CertificateEntry {
        anchor,
        principal,
        subject,
        issuer,
        serial,
        spiffe_id,
        dns_names,
        emails,
        uris,
        ip_addresses,
        fingerprint,
        spki_fingerprint,
        not_before,
        not_after,
        names_principal: _,
    } = entry;
    let digest = |text: &str| Digest::parse(text).ok_or_else(|| format!("`{text}` is no digest"));
    Ok(CertificateIdentity {
        anchor: anchor.clone(),
        principal: principal.clone().unwrap_or_default(),
        // What it was named by is in the name.
        named_by: NameKind::Subject,
        subject: subject.clone().unwrap_or_default(),
        issuer: issuer.clone(),
        issuer_digest: UNSEEN,
        serial: serial.clone(),
        dns_names: dns_names.clone(),
        emails: emails.clone(),
        uris: uris.clone(),
        ip_addresses: ip_addresses.clone(),
        spiffe_id: spiffe_id.clone(),
        fingerprint: digest(fingerprint)?,
        spki_fingerprint: digest(spki_fingerprint)?,
        not_before: UnixTime(*not_before),
        not_after: UnixTime(*not_after),
    })
}

fn link(entry: &LinkEntry) -> Result<LinkIdentity, String> {
    let LinkEntry { link_id, key_id, issuer, subject, issued_at, expires_at, prefix, address_bound, carrier, policy_digest } = entry;
    Ok(LinkIdentity {
        id: link_id.clone(),
        key_id: key_id.clone(),
        issuer: issuer.clone().unwrap_or_default(),
        subject: subject.clone().unwrap_or_default(),
        issued_at: UnixTime(*issued_at),
        expires_at: UnixTime(*expires_at),
        prefix: *prefix,
        address_bound: *address_bound,
        policy_digest: Digest::parse(policy_digest).ok_or_else(|| format!("`{policy_digest}` is no digest"))?,
        carrier: match carrier.as_str() {
            "query" => Carrier::Query,
            "cookie" => Carrier::Cookie,
            other => return Err(format!("`{other}` carries no URL")),
        },
    })
}
