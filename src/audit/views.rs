//! What a record looks like: the names of its fields, in the order of their names, and what of each is shown.

use std::borrow::Cow;

use serde::Serialize;

use super::chain::{IsDecision, Link};
use super::config::{AuditConfig, Field};
use super::mask::{Masker, Text};
use super::record::{Context, Made, Record, RequestView, SigningView, Upstream};
use super::text::{clean, clean_bytes};
use crate::bundle::Gate;
use crate::decision::{Mode, Reason, Trial};
use crate::identity::{CertificateIdentity, Credential, Identity, TokenIdentity};
use crate::policy::{PolicyRef, Verdict, same};
use crate::request::Facts;
use crate::signed_url::{LinkIdentity, Wanted};

/// What was decided, as far as it is told.
#[derive(Debug, Clone, Copy)]
pub(super) struct Decided<'a> {
    pub(super) allow: bool,
    pub(super) reason: Reason,
    pub(super) detail: &'a str,
    pub(super) identity: &'a Identity,
    pub(super) credentials: &'a [Credential],
    pub(super) verdict: Option<&'a Verdict>,
    /// Whether it binds.
    pub(super) enforced: bool,
}

/// A record without its place in the chain.
#[derive(Debug)]
pub(super) struct Body<'a>(Linked<'a>);

/// INVARIANT: the fields of everything here are in the order of their names: what is written is the canonical form (RFC 8785).
#[derive(Debug, Serialize)]
pub(super) struct Linked<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    build_digest: Option<&'a str>,
    cedar: Option<Cedar<'a>>,
    certificate: Option<Certificate<'a>>,
    chain: Option<Link>,
    #[serde(skip_serializing_if = "Option::is_none")]
    change: Text<'a>,
    credentials: Vec<CredentialView<'a>>,
    decision: &'static str,
    decision_id: &'a str,
    #[serde(skip_serializing_if = "str::is_empty")]
    detail: Cow<'a, str>,
    /// In records of a gate that only observes.
    #[serde(skip_serializing_if = "Option::is_none")]
    enforced: Option<bool>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    erased: Vec<&'static str>,
    errors: Vec<Cow<'a, str>>,
    identity: Option<Token<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    inputs: Option<Inputs<'a>>,
    kind: &'static str,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    masked: Vec<&'static str>,
    /// In records of a gate that only observes.
    #[serde(skip_serializing_if = "Option::is_none")]
    mode: Option<&'static str>,
    policies: Vec<Policy<'a>>,
    policy_digest: Option<&'a str>,
    reason: &'static str,
    region: Cow<'a, str>,
    request: Request<'a>,
    schema_digest: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    shadow: Option<Shadow<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    signed_url: Option<LinkView<'a>>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    signing: Vec<Signing<'a>>,
    span_id: &'a str,
    /// Not known yet where a request is recorded before it goes on.
    #[serde(skip_serializing_if = "Option::is_none")]
    status: Option<u16>,
    time: String,
    timing_us: Timing,
    trace_id: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    upstream: Option<UpstreamView<'a>>,
    v: u8,
}

impl IsDecision for Linked<'_> {
    fn is_decision(&self) -> bool {
        true
    }
}

#[derive(Debug, Serialize)]
struct Request<'a> {
    client: Text<'a>,
    host: Text<'a>,
    method: Cow<'a, str>,
    path: Text<'a>,
}

#[derive(Debug, Serialize)]
struct Inputs<'a> {
    decided_at: i64,
    #[serde(skip_serializing_if = "<[String]>::is_empty")]
    header_names: &'a [String],
    headers: Vec<Pair<'a>>,
    https: bool,
    purpose: &'static str,
    query: Vec<Pair<'a>>,
}

#[derive(Debug, Serialize)]
struct Pair<'a> {
    name: Cow<'a, str>,
    value: Text<'a>,
}

#[derive(Debug, Serialize)]
struct Timing {
    identity: u64,
    policy: u64,
    total: u64,
}

#[derive(Debug, Serialize)]
struct Policy<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    control: Text<'a>,
    id: Cow<'a, str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    owner: Text<'a>,
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Text<'a>,
}

#[derive(Debug, Serialize)]
struct Token<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    acr: Text<'a>,
    alg: &'static str,
    amr: Vec<Cow<'a, str>>,
    audience: Vec<Cow<'a, str>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    auth_time: Option<i64>,
    bindings: Vec<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    client_id: Text<'a>,
    #[serde(skip_serializing_if = "Option::is_none")]
    email: Text<'a>,
    expires_at: i64,
    groups: Vec<Cow<'a, str>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    issued_at: Option<i64>,
    issuer: Cow<'a, str>,
    issuer_name: Cow<'a, str>,
    kid: Text<'a>,
    kind: &'static str,
    principal: Text<'a>,
    roles: Vec<Cow<'a, str>>,
    scopes: Vec<Cow<'a, str>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    session_id: Text<'a>,
    subject: Text<'a>,
    token_id: Text<'a>,
}

#[derive(Debug, Serialize)]
struct Certificate<'a> {
    anchor: Cow<'a, str>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    dns_names: Vec<Cow<'a, str>>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    emails: Vec<Cow<'a, str>>,
    fingerprint: String,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    ip_addresses: Vec<Cow<'a, str>>,
    issuer: Cow<'a, str>,
    names_principal: bool,
    not_after: i64,
    not_before: i64,
    principal: Text<'a>,
    serial: Cow<'a, str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    spiffe_id: Text<'a>,
    spki_fingerprint: String,
    subject: Text<'a>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    uris: Vec<Cow<'a, str>>,
}

#[derive(Debug, Serialize)]
struct CredentialView<'a> {
    #[serde(skip_serializing_if = "str::is_empty")]
    detail: Cow<'a, str>,
    fate: &'static str,
    kind: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<&'static str>,
}

/// What policies on trial would have decided.
#[derive(Debug, Serialize)]
struct Shadow<'a> {
    decision: &'static str,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    errors: Vec<Cow<'a, str>>,
    policies: Vec<Policy<'a>>,
    reason: &'static str,
}

/// A signed URL that verified.
#[derive(Debug, Serialize)]
struct LinkView<'a> {
    address_bound: bool,
    carrier: &'static str,
    expires_at: i64,
    issued_at: i64,
    issuer: Text<'a>,
    key_id: Cow<'a, str>,
    link_id: Cow<'a, str>,
    policy_digest: String,
    prefix: bool,
    subject: Text<'a>,
}

#[derive(Debug, Serialize)]
struct Cedar<'a> {
    action: Cow<'a, str>,
    principal: Text<'a>,
    resource: Text<'a>,
}

#[derive(Debug, Serialize)]
pub(super) struct UpstreamView<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<Fault<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    status: Option<u16>,
    time_us: u64,
}

#[derive(Debug, Serialize)]
struct Fault<'a> {
    detail: Cow<'a, str>,
    reason: &'static str,
}

#[derive(Debug, Serialize)]
struct Signing<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    address: Option<String>,
    cedar: Option<Cedar<'a>>,
    decision: &'static str,
    #[serde(skip_serializing_if = "str::is_empty")]
    detail: Cow<'a, str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    expires_at: Option<i64>,
    expires_in: i64,
    format: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    key_id: Text<'a>,
    #[serde(skip_serializing_if = "Option::is_none")]
    link_id: Text<'a>,
    methods: Vec<&'static str>,
    path: Text<'a>,
    policies: Vec<Policy<'a>>,
    prefix: bool,
    query: Vec<Pair<'a>>,
    reason: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    subject: Text<'a>,
}

impl<'a> Body<'a> {
    /// The body of a record, masked by these rules with this key.
    pub(super) fn new(record: &'a Record<'_>, config: &'a AuditConfig, key: Option<&'a [u8; 32]>) -> Self {
        let Record { context, decided } = record;
        let Context { time, id, trace, region, mode, gate, build, request, purpose, status, timing, upstream, change, shadow, signing } =
            context;
        let Decided { allow, reason, detail, identity, credentials, verdict, enforced } = decided;
        let mut masker = Masker::new(config, key);
        let mask = &mut masker;
        // Free text may name whoever it is about.
        let change = match change {
            Some(change) if mask.shows(Field::Subject) => Some(mask.plain("change", change)),
            Some(change) => mask.some(Field::Subject, "change", Some(change)),
            None => None,
        };
        let mut linked = Linked {
            build_digest: *build,
            cedar: verdict.map(|verdict| cedar(verdict, mask)),
            certificate: identity.certificate().map(|certificate| self::certificate(certificate, identity, mask)),
            chain: None,
            change,
            credentials: credentials.iter().map(credential).collect(),
            decision: if *allow { "allow" } else { "deny" },
            decision_id: id.as_str(),
            detail: clean(detail),
            enforced: (*mode != Mode::Enforce).then_some(*enforced),
            erased: vec![],
            errors: verdict.map(|verdict| verdict.errors.iter().map(|error| clean(error)).collect()).unwrap_or_default(),
            identity: identity.token().map(|identity| token(identity, mask)),
            inputs: match request {
                RequestView::Facts(facts) => Some(Inputs {
                    decided_at: time.seconds.0,
                    header_names: gate.map(|gate| gate.policy().context_headers()).unwrap_or_default(),
                    headers: gate.map(|gate| headers(facts, gate.policy().context_headers(), mask)).unwrap_or_default(),
                    https: facts.https,
                    purpose,
                    query: pairs(&facts.parameters, mask),
                }),
                RequestView::Raw(_) => None,
            },
            kind: "decision",
            masked: vec![],
            mode: told_mode(*mode),
            policies: verdict.map(|verdict| verdict.determining.iter().map(policy).collect()).unwrap_or_default(),
            policy_digest: gate.map(Gate::policy_digest_text),
            reason: reason.code(),
            region: clean(region),
            request: self::request(request, mask),
            schema_digest: gate.map(Gate::schema_digest_text),
            shadow: shadow.as_ref().map(self::shadow),
            signed_url: identity.link().map(|identity| link(identity, mask)),
            signing: signing.iter().map(|view| self::signing(view, mask)).collect(),
            span_id: trace.span_id(),
            status: (*status != 0).then_some(*status),
            time: time.to_string(),
            timing_us: Timing { identity: timing.identity, policy: timing.policy, total: timing.total },
            trace_id: trace.trace_id(),
            upstream: upstream.as_ref().map(self::upstream),
            v: 1,
        };
        let Masker { masked, erased, .. } = masker;
        linked.masked = masked;
        linked.erased = erased;
        Self(linked)
    }

    /// The record at its place in the chain.
    pub(super) fn linked(self, link: Link) -> Linked<'a> {
        Linked { chain: Some(link), ..self.0 }
    }
}

/// The mode, where it is not the one that goes without saying.
pub(super) fn told_mode(mode: Mode) -> Option<&'static str> {
    (mode != Mode::Enforce).then(|| mode.as_str())
}

fn request<'a>(view: &RequestView<'a>, mask: &mut Masker<'_>) -> Request<'a> {
    match view {
        RequestView::Facts(facts) => Request {
            client: owned(mask, Field::Client, "request.client", facts.client.map(|ip| ip.to_string())),
            host: mask.text(Field::Host, "request.host", &facts.host),
            method: Cow::Borrowed(facts.method.as_str()),
            path: mask.text(Field::Path, "request.path", facts.path.raw()),
        },
        RequestView::Raw(raw) => {
            let path = raw.path_with_query.unwrap_or_default();
            let last =
                |name: &str| raw.headers.iter().rev().find(|(n, _)| n.eq_ignore_ascii_case(name)).map(|(_, value)| clean_bytes(value));
            let host = raw.authority.map(str::to_owned).or_else(|| last("host")).unwrap_or_default();
            Request {
                // The runtime appends its own field last, so the last one is never the caller's.
                client: owned(mask, Field::Client, "request.client", last("spin-client-addr").map(without_port)),
                host: owned(mask, Field::Host, "request.host", Some(host)),
                method: clean(raw.method),
                // SECURITY: the query may hold credentials; of a request that could not be read only the path is recorded.
                path: mask.text(Field::Path, "request.path", path.split_once('?').map_or(path, |(path, _)| path)),
            }
        }
    }
}

/// `203.0.113.9` of `203.0.113.9:4711`, so that it can be truncated like the others.
fn without_port(address: String) -> String {
    address.parse::<std::net::SocketAddr>().map_or(address, |socket| socket.ip().to_string())
}

fn owned<'a>(mask: &mut Masker<'_>, field: Field, place: &'static str, value: Option<String>) -> Text<'a> {
    value.and_then(|value| mask.text(field, place, &value).map(|shown| Cow::Owned(shown.into_owned())))
}

/// The headers that policies may read, in every spelling that counts as theirs. Of one that is not text, which denied the request,
/// nothing is shown.
fn headers<'a>(facts: &'a Facts, names: &[String], mask: &mut Masker<'_>) -> Vec<Pair<'a>> {
    let read = facts.headers.iter().filter(|(name, _)| names.iter().any(|readable| same(name, readable)));
    read.map(|(name, value)| Pair {
        name: clean(name),
        value: match std::str::from_utf8(value) {
            Ok(value) => mask.named(Field::Headers, "inputs.headers", name, value),
            Err(_) => mask.not_text("inputs.headers"),
        },
    })
    .collect()
}

fn pairs<'a>(parameters: &'a [(String, String)], mask: &mut Masker<'_>) -> Vec<Pair<'a>> {
    let pair = |(name, value): &'a (String, String)| Pair {
        name: mask.plain("inputs.query", name),
        value: mask.named(Field::Query, "inputs.query", name, value),
    };
    parameters.iter().map(pair).collect()
}

fn policy(policy: &PolicyRef) -> Policy<'_> {
    let PolicyRef { id, reason, owner, control } = policy;
    let text = |value| Option::as_deref(value).map(clean);
    Policy { control: text(control), id: clean(id), owner: text(owner), reason: text(reason) }
}

fn shadow(trial: &Trial) -> Shadow<'_> {
    let Trial { reason, verdict } = trial;
    Shadow {
        decision: if *reason == Reason::PolicyPermit { "allow" } else { "deny" },
        errors: verdict.errors.iter().map(|error| clean(error)).collect(),
        policies: verdict.determining.iter().map(policy).collect(),
        reason: reason.code(),
    }
}

fn cedar<'a>(verdict: &'a Verdict, mask: &mut Masker<'_>) -> Cedar<'a> {
    Cedar {
        action: clean(&verdict.action),
        principal: mask.text(Field::Subject, "cedar.principal", &verdict.principal),
        resource: mask.text(Field::Path, "cedar.resource", &verdict.resource),
    }
}

fn link<'a>(identity: &'a LinkIdentity, mask: &mut Masker<'_>) -> LinkView<'a> {
    let LinkIdentity { id, key_id, issuer, subject, issued_at, expires_at, prefix, address_bound, policy_digest, carrier } = identity;
    LinkView {
        address_bound: *address_bound,
        carrier: carrier.as_str(),
        expires_at: expires_at.0,
        issued_at: issued_at.0,
        issuer: mask.text(Field::Subject, "signed_url.issuer", issuer),
        key_id: clean(key_id),
        link_id: clean(id),
        policy_digest: policy_digest.to_string(),
        prefix: *prefix,
        subject: mask.text(Field::Subject, "signed_url.subject", subject),
    }
}

fn token<'a>(identity: &'a TokenIdentity, mask: &mut Masker<'_>) -> Token<'a> {
    let TokenIdentity {
        issuer_name,
        issuer,
        kind,
        principal,
        subject,
        groups,
        roles,
        scopes,
        audience,
        token_id,
        key_id,
        algorithm,
        issued_at,
        expires_at,
        auth_time,
        acr,
        amr,
        client_id,
        email,
        session_id,
        confirmation,
        status: _,
    } = identity;
    let plain = |mask: &mut Masker<'_>, place, values: &'a [String]| values.iter().map(|value| mask.plain(place, value)).collect();
    Token {
        acr: acr.as_deref().map(|acr| mask.plain("identity.acr", acr)),
        alg: algorithm,
        amr: plain(mask, "identity.amr", amr),
        audience: plain(mask, "identity.audience", audience),
        auth_time: auth_time.map(|time| time.0),
        bindings: confirmation.bindings().collect(),
        client_id: mask.some(Field::ClientId, "identity.client_id", client_id.as_deref()),
        email: mask.some(Field::Email, "identity.email", email.as_deref()),
        expires_at: expires_at.0,
        groups: mask.list(Field::Groups, "identity.groups", groups),
        issued_at: issued_at.map(|time| time.0),
        issuer: mask.plain("identity.issuer", issuer),
        issuer_name: clean(issuer_name),
        kid: key_id.as_deref().map(clean),
        kind: kind.as_str(),
        principal: mask.text(Field::Subject, "identity.principal", principal),
        roles: mask.list(Field::Groups, "identity.roles", roles),
        scopes: plain(mask, "identity.scopes", scopes),
        session_id: mask.some(Field::TokenId, "identity.session_id", session_id.as_deref()),
        subject: mask.text(Field::Subject, "identity.subject", subject),
        token_id: mask.some(Field::TokenId, "identity.token_id", token_id.as_deref()),
    }
}

fn certificate<'a>(certificate: &'a CertificateIdentity, identity: &Identity, mask: &mut Masker<'_>) -> Certificate<'a> {
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
        fingerprint,
        spki_fingerprint,
        not_before,
        not_after,
    } = certificate;
    Certificate {
        anchor: clean(anchor),
        dns_names: mask.list(Field::Names, "certificate.dns_names", dns_names),
        emails: mask.list(Field::Names, "certificate.emails", emails),
        fingerprint: fingerprint.to_string(),
        ip_addresses: mask.list(Field::Names, "certificate.ip_addresses", ip_addresses),
        issuer: mask.plain("certificate.issuer", issuer),
        names_principal: matches!(identity, Identity::Certificate { .. }),
        not_after: not_after.0,
        not_before: not_before.0,
        principal: mask.text(Field::Subject, "certificate.principal", principal),
        serial: clean(serial),
        spiffe_id: mask.some(Field::Names, "certificate.spiffe_id", spiffe_id.as_deref()),
        spki_fingerprint: spki_fingerprint.to_string(),
        subject: mask.text(Field::Subject, "certificate.subject", subject),
        uris: mask.list(Field::Names, "certificate.uris", uris),
    }
}

fn credential(credential: &Credential) -> CredentialView<'_> {
    let Credential { kind, fate } = credential;
    let (fate, reason, detail) = fate.told();
    CredentialView { detail: clean(detail), fate, kind: kind.as_str(), reason: reason.map(Reason::code) }
}

pub(super) fn upstream(upstream: &Upstream) -> UpstreamView<'_> {
    let Upstream { outcome, time } = upstream;
    match outcome {
        Ok(status) => UpstreamView { error: None, status: Some(*status), time_us: *time },
        Err(denial) => {
            let fault = Fault { detail: clean(&denial.detail), reason: denial.reason.code() };
            UpstreamView { error: Some(fault), status: None, time_us: *time }
        }
    }
}

fn signing<'a>(view: &'a SigningView, mask: &mut Masker<'_>) -> Signing<'a> {
    let SigningView { wanted, verdict, policies, outcome } = view;
    let Wanted { methods, path, query: _, parameters, expires_in, not_before: _, prefix, network, subject, format } = wanted;
    let (decision, reason, detail) = match outcome {
        Ok(_) => ("allow", Reason::PolicyPermit, ""),
        Err(denial) => ("deny", denial.reason, denial.detail.as_str()),
    };
    let made = outcome.as_ref().ok();
    Signing {
        address: owned(mask, Field::Client, "signing.address", network.map(|network| network.to_string())).map(Cow::into_owned),
        cedar: verdict.as_ref().map(|verdict| cedar(verdict, mask)),
        decision,
        detail: clean(detail),
        expires_at: made.map(|made| made.expires_at.0),
        expires_in: *expires_in,
        format: format.name(),
        key_id: made.map(|Made { key_id, .. }| clean(key_id)),
        link_id: made.and_then(|made| made.link_id.as_deref()).map(clean),
        methods: methods.iter().map(|method| method.as_str()).collect(),
        path: mask.text(Field::Path, "signing.path", path.raw()),
        policies: policies.iter().map(policy).collect(),
        prefix: *prefix,
        query: parameters
            .iter()
            .map(|(name, value)| Pair {
                name: mask.plain("signing.query", name),
                value: mask.named(Field::Query, "signing.query", name, value),
            })
            .collect(),
        reason: reason.code(),
        subject: mask.some(Field::Subject, "signing.subject", subject.as_deref()),
    }
}
