//! Tokens bound to a certificate (RFC 8705) or to a key (RFC 9449), and what an issuer asks for.

use super::authorization::Scheme;
use super::issuers::Issuer;
use super::table::Table;
use super::{CertificateIdentity, TokenIdentity};
use crate::bundle::Report;
use crate::decision::Denial;

/// What an issuer asks of its tokens.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Required {}

/// Reads an issuer's configuration.
pub(super) fn read(_table: &mut Table<'_>, _report: &mut Report) -> Required {
    Required::default()
}

/// Holds a verified token against what it is bound to and how it was sent. `proof` is whether a DPoP proof came with it.
pub(super) fn check(
    _issuer: &Issuer,
    _scheme: Scheme,
    _token: &TokenIdentity,
    _certificate: Option<&CertificateIdentity>,
    _proof: bool,
) -> Result<(), Denial> {
    Ok(())
}
