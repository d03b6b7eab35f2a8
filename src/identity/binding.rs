//! Tokens bound to a certificate (RFC 8705) or to a key (RFC 9449), and what an issuer asks for.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

use super::authorization::Scheme;
use super::issuers::Issuer;
use super::json::{Json, Object};
use super::table::Table;
use super::{CertificateIdentity, Confirmation, TokenIdentity, text};
use crate::bundle::{Digest, Report};
use crate::decision::{Denial, Reason};

/// What an issuer asks of its tokens.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Required {
    /// `cnf.x5t#S256`.
    pub(super) certificate: bool,
    /// `cnf.jkt`.
    pub(super) dpop: bool,
}

/// Reads an issuer's configuration.
pub(super) fn read(table: &mut Table<'_>, report: &mut Report) -> Required {
    Required {
        certificate: table.boolean("require_certificate_binding", report).unwrap_or(false),
        dpop: table.boolean("require_dpop", report).unwrap_or(false),
    }
}

/// What the claims bind the token to (`cnf`, RFC 7800, section 3.1).
///
/// SECURITY: a method the gate does not know is refused, also beside one it knows. RFC 7800 would have it ignored unless the
/// application says otherwise; here a token that somebody bound must never count for less than they meant.
pub(super) fn confirmation(claims: &Object) -> Result<Confirmation, Denial> {
    let invalid = |detail: String| Err(Denial::new(Reason::JwtConfirmationInvalid, detail));
    let members = match claims.get("cnf") {
        None => return Ok(Confirmation::default()),
        Some(Json::Object(members)) if members.is_empty() => return invalid("`cnf` is empty".to_owned()),
        Some(Json::Object(members)) => members,
        Some(_) => return invalid("`cnf` is not an object".to_owned()),
    };
    let mut confirmation = Confirmation::default();
    for (name, value) in members {
        let place = match name.as_str() {
            "x5t#S256" => &mut confirmation.certificate,
            "jkt" => &mut confirmation.key,
            _ => return invalid(format!("`cnf` has `{}`, which this gate does not know", text::shown(name))),
        };
        match value.as_str().and_then(digest) {
            Some(digest) => *place = Some(digest),
            None => return invalid(format!("`{name}` of `cnf` is not a SHA-256 digest in base64url")),
        }
    }
    Ok(confirmation)
}

/// A SHA-256 digest in its one spelling: 43 characters of base64url, no padding, no bits left over.
pub(super) fn digest(text: &str) -> Option<Digest> {
    let bytes = URL_SAFE_NO_PAD.decode(text).ok()?;
    bytes.try_into().ok().map(Digest::from_bytes)
}

/// Holds a verified token against what it is bound to and how it was sent. `proof` is whether a DPoP proof came with it.
pub(super) fn check(
    issuer: &Issuer,
    scheme: Scheme,
    token: &TokenIdentity,
    certificate: Option<&CertificateIdentity>,
    proof: bool,
) -> Result<(), Denial> {
    let Required { certificate: require_certificate, dpop: require_dpop } = issuer.required;
    let Confirmation { certificate: bound_certificate, key } = token.confirmation;
    let missing = |what: &str| Err(Denial::new(Reason::JwtBindingMissing, format!("issuer `{}` wants tokens with `{what}`", issuer.name)));
    if require_certificate && bound_certificate.is_none() {
        return missing("x5t#S256");
    }
    if require_dpop && key.is_none() {
        return missing("jkt");
    }
    match (scheme, key.is_some()) {
        // SECURITY: RFC 9449, section 7.2: whoever took a bound token could otherwise use it without the key.
        (Scheme::Bearer, true) => return Err(Reason::DpopBearer.into()),
        (Scheme::Dpop, false) => return Err(Reason::DpopNotBound.into()),
        (Scheme::Dpop, true) if !proof => return Err(Reason::DpopProofMissing.into()),
        (Scheme::Bearer, false) if proof => {
            return Err(Denial::new(Reason::RequestCredentialsConflict, "a `DPoP` proof beside a bearer token"));
        }
        (Scheme::Dpop, true) | (Scheme::Bearer, false) => {}
    }
    match (bound_certificate, certificate) {
        (None, _) => Ok(()),
        (Some(_), None) => Err(Reason::JwtCertificateMissing.into()),
        (Some(bound), Some(certificate)) if bound == certificate.fingerprint => Ok(()),
        (Some(_), Some(certificate)) => {
            let detail = format!("the client certificate has the fingerprint `{}`", certificate.fingerprint);
            Err(Denial::new(Reason::JwtCertificateMismatch, detail))
        }
    }
}
