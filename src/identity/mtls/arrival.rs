//! What a request brought: which of its fields count, and whether anyone may believe them.

use super::forms::ALB_FIELDS;
use super::{Chain, Mtls};
use crate::decision::{Denial, Reason};
use crate::identity::Deployment;
use crate::request::Facts;

/// What a request brought.
#[derive(Debug)]
pub(in crate::identity) enum Arrival<'a> {
    /// No certificate.
    None,
    /// A field that looks like a certificate and is not looked at.
    Ignored(&'static str),
    /// A chain from a terminator that proved itself.
    Chain(&'a Mtls, Chain),
    /// A certificate that counts for nothing.
    Refused(Denial),
}

/// Fields terminators are known to write certificates to.
pub(super) const WELL_KNOWN: [&str; 5] =
    ["client-cert", "client-cert-chain", "x-forwarded-client-cert", "ssl-client-cert", "x-ssl-client-cert"];

/// The lines of one field.
#[derive(Debug, Default)]
struct Lines<'a> {
    /// Those with exactly its name.
    exact: Vec<&'a [u8]>,
    /// Whether there is one with `_` in place of a `-`.
    disguised: bool,
}

/// SECURITY: `_` counts as `-` when fields are counted, never when they are believed: a terminator that overwrites
/// `client-cert` leaves a client's `client_cert` alone, and somebody behind it may read one for the other.
fn lines<'a>(facts: &'a Facts, name: &str) -> Lines<'a> {
    let mut lines = Lines::default();
    for (field, value) in &facts.headers {
        if field == name {
            lines.exact.push(value);
        } else if field.len() == name.len() && field.bytes().zip(name.bytes()).all(|(a, b)| a == b || (a == b'_' && b == b'-')) {
            lines.disguised = true;
        }
    }
    lines
}

fn is_blank(value: &[u8]) -> bool {
    value.iter().all(|b| matches!(b, b' ' | b'\t'))
}

/// Whether any field is there that terminators are known to write certificates to.
fn any_well_known(facts: &Facts) -> bool {
    WELL_KNOWN.iter().chain(&ALB_FIELDS).any(|name| {
        let found = lines(facts, name);
        found.disguised || found.exact.iter().any(|value| !is_blank(value))
    })
}

/// What a request brought, read in the configured form and only from a terminator that proved itself.
pub(in crate::identity) fn arrival<'a>(mtls: Option<&'a Mtls>, facts: &Facts, deployment: &Deployment) -> Arrival<'a> {
    let Some(mtls) = mtls else {
        return if any_well_known(facts) { Arrival::Ignored("client certificates are off") } else { Arrival::None };
    };
    let certificate = lines(facts, mtls.form.certificate_field());
    let chain = mtls.form.chain_field().map(|name| lines(facts, name)).unwrap_or_default();
    let chain_lines: Vec<&[u8]> = chain.exact.iter().copied().filter(|value| !is_blank(value)).collect();
    let value = match certificate.exact.as_slice() {
        [] => None,
        [_] if certificate.disguised || chain.disguised => return repeated("a field with the certificate also comes with `_` for `-`"),
        [value] => Some(*value).filter(|value| !is_blank(value)),
        _ => return repeated("the field with the certificate comes more than once"),
    };
    if chain.exact.len() > 1 && !mtls.form.chain_repeats() {
        return repeated("the field with the chain comes more than once");
    }
    let Some(value) = value else {
        return if !chain_lines.is_empty() {
            Arrival::Refused(Denial::new(Reason::MtlsMalformed, "a chain without a certificate"))
        } else if certificate.disguised || chain.disguised {
            Arrival::Ignored("its field is spelled with `_`")
        } else if any_well_known(facts) {
            Arrival::Ignored("not the configured form")
        } else {
            Arrival::None
        };
    };
    // SECURITY: before anything of the value is looked at.
    if let Err(denial) = mtls.terminator.prove(facts, deployment) {
        return Arrival::Refused(denial);
    }
    let text = |value| std::str::from_utf8(value).ok().filter(|text| text.is_ascii());
    let read = match (text(value), chain_lines.into_iter().map(text).collect::<Option<Vec<_>>>()) {
        (Some(certificate), Some(chain)) => mtls.form.read(certificate, &chain),
        _ => Err(Denial::new(Reason::MtlsMalformed, "not ASCII")),
    };
    match read {
        Ok(certificates) => Arrival::Chain(mtls, Chain(certificates)),
        Err(denial) => Arrival::Refused(denial),
    }
}

fn repeated<'a>(what: &'static str) -> Arrival<'a> {
    Arrival::Refused(Denial::new(Reason::RequestCertificateRepeated, what))
}
