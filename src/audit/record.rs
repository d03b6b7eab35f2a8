//! The record, version 1.

use serde::Serialize;

use super::text::{clean, clean_bytes};
use super::{DecisionId, Timestamp, TraceIds};
use crate::bundle::Gate;
use crate::decision::{Decision, Denial, Reason};
use crate::identity::{CertificateIdentity, Credential, Fate, Identity, TokenIdentity};
use crate::policy::{PolicyRef, Verdict};
use crate::request::{Facts, RawRequest};
use crate::signed_url::{Issued, LinkIdentity, Wanted};

/// What the shell knows about the request beside the decision.
#[derive(Debug)]
pub struct Context<'a> {
    /// When the request was decided.
    pub time: Timestamp,
    /// The decision's id.
    pub id: &'a DecisionId,
    /// The trace.
    pub trace: &'a TraceIds,
    /// Where: the `edge_region` variable.
    pub region: &'a str,
    /// The gate; `None` when the component is not sealed.
    pub gate: Option<&'a Gate>,
    /// The request as far as it was understood.
    pub request: RequestView,
    /// The status of the response.
    pub status: u16,
    /// Time spent.
    pub timing: Timing,
    /// What the origin did, when it was asked.
    pub upstream: Option<Upstream>,
    /// What was changed in the gate's own state, when anything was: one line.
    pub change: Option<String>,
    /// The URLs that were asked for, when any were.
    pub signing: Vec<SigningView>,
}

/// One URL that was asked for, as records show it: never the URL's signature.
#[derive(Debug, Clone, Serialize, PartialEq, Eq)]
pub struct SigningView {
    decision: &'static str,
    reason: &'static str,
    #[serde(skip_serializing_if = "String::is_empty")]
    detail: String,
    format: &'static str,
    methods: Vec<&'static str>,
    path: String,
    prefix: bool,
    expires_in: i64,
    #[serde(skip_serializing_if = "Option::is_none")]
    subject: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    address: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    link_id: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    key_id: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    expires_at: Option<i64>,
    cedar: Option<Cedar>,
    policies: Vec<Policy>,
}

impl SigningView {
    /// The view of one URL: what was wanted, what decided, and what became of it.
    pub fn new(wanted: &Wanted, verdict: Option<&Verdict>, policies: &[PolicyRef], outcome: Result<&Issued, &Denial>) -> Self {
        let (decision, reason, detail) = match outcome {
            Ok(_) => ("allow", Reason::PolicyPermit, ""),
            Err(denial) => ("deny", denial.reason, denial.detail.as_str()),
        };
        let issued = outcome.ok();
        let Wanted { methods, path, query: _, parameters: _, expires_in, not_before: _, prefix, network, subject, format } = wanted;
        Self {
            decision,
            reason: reason.code(),
            detail: clean(detail),
            format: format.name(),
            methods: methods.iter().map(|method| method.as_str()).collect(),
            path: clean(path.raw()),
            prefix: *prefix,
            expires_in: *expires_in,
            subject: subject.as_deref().map(clean),
            address: network.map(|network| network.to_string()),
            link_id: issued.and_then(|issued| issued.link_id.clone()),
            key_id: issued.map(|issued| clean(&issued.key_id)),
            expires_at: issued.map(|issued| issued.expires_at.0),
            cedar: verdict.map(cedar),
            policies: policies.iter().map(policy).collect(),
        }
    }
}

/// The request as records show it: canonical where it could be read, else raw, cut and cleaned.
#[derive(Debug, Clone, Serialize, PartialEq, Eq)]
pub struct RequestView {
    /// The method as sent.
    pub method: String,
    /// The host; empty when there was none.
    pub host: String,
    /// The raw path, without query.
    pub path: String,
    /// The client's address, where known.
    pub client: Option<String>,
}

impl RequestView {
    /// The view of a request that could be read.
    pub fn of_facts(facts: &Facts) -> Self {
        Self {
            method: facts.method.as_str().to_owned(),
            host: clean(&facts.host),
            path: clean(facts.path.raw()),
            client: facts.client.map(|ip| ip.to_string()),
        }
    }

    /// The view of a request that was refused before it was understood.
    pub fn of_raw(raw: &RawRequest<'_>) -> Self {
        let path = raw.path_with_query.unwrap_or_default();
        let last = |name: &str| raw.headers.iter().rev().find(|(n, _)| n.eq_ignore_ascii_case(name)).map(|(_, value)| clean_bytes(value));
        Self {
            method: clean(raw.method),
            host: raw.authority.map(clean).or_else(|| last("host")).unwrap_or_default(),
            // SECURITY: the query may hold credentials; only the path is ever recorded.
            path: clean(path.split_once('?').map_or(path, |(path, _)| path)),
            // The runtime appends its own field last, so the last one is never the caller's.
            client: last("spin-client-addr"),
        }
    }
}

/// Microseconds spent in the two steps of a decision.
#[derive(Debug, Clone, Copy, Default, Serialize, PartialEq, Eq)]
pub struct Timing {
    /// Verifying evidence.
    pub identity: u64,
    /// Asking Cedar.
    pub policy: u64,
}

/// What became of a permitted request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Upstream {
    /// The origin answered with this status.
    Status(u16),
    /// The origin did not answer.
    Failed(Denial),
}

/// One decision record. Field order is the order in the line.
#[derive(Debug, Serialize)]
pub struct Record {
    v: u8,
    time: String,
    decision_id: String,
    trace_id: String,
    region: String,
    policy_digest: Option<String>,
    schema_digest: Option<String>,
    decision: &'static str,
    reason: &'static str,
    #[serde(skip_serializing_if = "String::is_empty")]
    detail: String,
    status: u16,
    policies: Vec<Policy>,
    errors: Vec<String>,
    identity: Option<Token>,
    certificate: Option<Certificate>,
    #[serde(skip_serializing_if = "Option::is_none")]
    signed_url: Option<LinkView>,
    credentials: Vec<CredentialView>,
    cedar: Option<Cedar>,
    request: RequestView,
    #[serde(skip_serializing_if = "Option::is_none")]
    upstream: Option<UpstreamView>,
    #[serde(skip_serializing_if = "Option::is_none")]
    change: Option<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    signing: Vec<SigningView>,
    timing_us: Timing,
}

#[derive(Debug, Clone, Serialize, PartialEq, Eq)]
struct Policy {
    id: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    owner: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    control: Option<String>,
}

#[derive(Debug, Serialize)]
struct Token {
    issuer: String,
    subject: String,
    kid: Option<String>,
    alg: &'static str,
    token_id: Option<String>,
    bindings: Vec<&'static str>,
}

#[derive(Debug, Serialize)]
struct Certificate {
    anchor: String,
    subject: String,
    issuer: String,
    serial: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    spiffe_id: Option<String>,
    fingerprint: String,
}

#[derive(Debug, Serialize)]
struct CredentialView {
    kind: &'static str,
    fate: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<&'static str>,
    #[serde(skip_serializing_if = "String::is_empty")]
    detail: String,
}

/// A signed URL that verified.
#[derive(Debug, Serialize)]
struct LinkView {
    link_id: String,
    key_id: String,
    issuer: String,
    subject: String,
    issued_at: i64,
    expires_at: i64,
    prefix: bool,
    carrier: &'static str,
    policy_digest: String,
}

#[derive(Debug, Clone, Serialize, PartialEq, Eq)]
struct Cedar {
    principal: String,
    action: String,
    resource: String,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "snake_case")]
enum UpstreamView {
    Status(u16),
    Error { reason: &'static str, detail: String },
}

/// What a decision tells beside its outcome.
#[derive(Debug, Clone, Copy)]
struct Told<'a> {
    identity: &'a Identity,
    credentials: &'a [Credential],
    verdict: Option<&'a Verdict>,
}

impl<'a> Told<'a> {
    fn of(decision: &'a Decision) -> Self {
        let Decision { identity, credentials, verdict, outcome: _, status: _ } = decision;
        Self { identity, credentials, verdict: verdict.as_ref() }
    }
}

impl Record {
    /// The record of a decision.
    pub fn new(context: Context<'_>, decision: &Decision) -> Self {
        let (word, reason, detail) = match &decision.outcome {
            Ok(_) => ("allow", Reason::PolicyPermit, ""),
            Err(denial) => ("deny", denial.reason, denial.detail.as_str()),
        };
        Self::build(context, word, reason, detail, Told::of(decision))
    }

    /// The record of a permitted request, whose permit was used up in forwarding it.
    pub fn permitted(context: Context<'_>, decision: &Decision) -> Self {
        Self::build(context, "allow", Reason::PolicyPermit, "", Told::of(decision))
    }

    /// The record of a request the gate answered itself.
    pub fn own(context: Context<'_>, reason: Reason) -> Self {
        let word = if reason.status() == 200 { "allow" } else { "deny" };
        // Credentials are not looked at: whoever asks gets the same.
        Self::build(context, word, reason, "", Told { identity: &Identity::Anonymous, credentials: &[], verdict: None })
    }

    fn build(context: Context<'_>, decision: &'static str, reason: Reason, detail: &str, told: Told<'_>) -> Self {
        let Told { identity, credentials, verdict } = told;
        let Context { time, id, trace, region, gate, request, status, timing, upstream, change, signing } = context;
        Self {
            v: 1,
            time: time.to_string(),
            decision_id: id.as_str().to_owned(),
            trace_id: trace.trace_id().to_owned(),
            region: clean(region),
            policy_digest: gate.map(|g| g.policy_digest().to_string()),
            schema_digest: gate.map(|g| g.schema_digest().to_string()),
            decision,
            reason: reason.code(),
            detail: clean(detail),
            status,
            policies: verdict.map(|v| v.determining.iter().map(policy).collect()).unwrap_or_default(),
            errors: verdict.map(|v| v.errors.iter().map(|e| clean(e)).collect()).unwrap_or_default(),
            identity: identity.token().map(token),
            certificate: identity.certificate().map(certificate),
            signed_url: identity.link().map(link),
            credentials: credentials.iter().map(credential).collect(),
            cedar: verdict.map(cedar),
            request,
            upstream: upstream.map(|u| match u {
                Upstream::Status(status) => UpstreamView::Status(status),
                Upstream::Failed(denial) => UpstreamView::Error { reason: denial.reason.code(), detail: clean(&denial.detail) },
            }),
            change: change.as_deref().map(clean),
            signing,
            timing_us: timing,
        }
    }

    /// The record as one line, with its line end.
    pub fn to_line(&self) -> String {
        // A record is strings and numbers, which always serialise; if that ever changes, a record that says so is
        // better than none.
        let mut line = serde_json::to_string(self).unwrap_or_else(|e| {
            format!(r#"{{"v":1,"decision":"{}","reason":"system.internal","detail":"record: {:?}"}}"#, self.decision, e.classify())
        });
        line.push('\n');
        line
    }
}

fn policy(policy: &PolicyRef) -> Policy {
    let PolicyRef { id, reason, owner, control } = policy;
    let text = |value: &Option<String>| value.as_deref().map(clean);
    Policy { id: clean(id), reason: text(reason), owner: text(owner), control: text(control) }
}

fn cedar(verdict: &Verdict) -> Cedar {
    Cedar { principal: clean(&verdict.principal), action: clean(&verdict.action), resource: clean(&verdict.resource) }
}

fn link(identity: &LinkIdentity) -> LinkView {
    let LinkIdentity { id, key_id, issuer, subject, issued_at, expires_at, prefix, address_bound: _, policy_digest, carrier } = identity;
    LinkView {
        link_id: clean(id),
        key_id: clean(key_id),
        issuer: clean(issuer),
        subject: clean(subject),
        issued_at: issued_at.0,
        expires_at: expires_at.0,
        prefix: *prefix,
        carrier: carrier.as_str(),
        policy_digest: policy_digest.to_string(),
    }
}

fn token(identity: &TokenIdentity) -> Token {
    let TokenIdentity { issuer, subject, key_id, algorithm, token_id, confirmation, .. } = identity;
    Token {
        issuer: clean(issuer),
        subject: clean(subject),
        kid: key_id.as_deref().map(clean),
        alg: algorithm,
        token_id: token_id.as_deref().map(clean),
        bindings: confirmation.bindings().collect(),
    }
}

fn certificate(identity: &CertificateIdentity) -> Certificate {
    let CertificateIdentity { anchor, subject, issuer, serial, spiffe_id, fingerprint, .. } = identity;
    Certificate {
        anchor: clean(anchor),
        subject: clean(subject),
        issuer: clean(issuer),
        serial: clean(serial),
        spiffe_id: spiffe_id.as_deref().map(clean),
        fingerprint: fingerprint.to_string(),
    }
}

fn credential(credential: &Credential) -> CredentialView {
    let Credential { kind, fate } = credential;
    let (fate, reason, detail) = match fate {
        Fate::Verified => ("verified", None, ""),
        Fate::Refused(denial) => ("refused", Some(denial.reason.code()), denial.detail.as_str()),
        Fate::Ignored(why) => ("ignored", None, *why),
    };
    CredentialView { kind: kind.as_str(), fate, reason, detail: clean(detail) }
}

#[cfg(test)]
mod tests {
    use super::{Context, Record, RequestView, Timing};
    use crate::audit::{DecisionId, Entropy, Timestamp, TraceIds};
    use crate::decision::{Decision, Denial, Reason, UnixTime};
    use crate::request::RawRequest;

    fn line(raw: &RawRequest<'_>, denial: Denial) -> String {
        let time = Timestamp { seconds: UnixTime(1_700_000_000), millis: 5 };
        let entropy = Entropy([7; 34]);
        let (id, trace) = (DecisionId::new(time, entropy), TraceIds::new(None, entropy));
        let request = RequestView::of_raw(raw);
        let context = Context {
            time,
            id: &id,
            trace: &trace,
            region: "local",
            gate: None,
            request,
            status: 400,
            timing: Timing::default(),
            upstream: None,
            change: None,
            signing: vec![],
        };
        Record::new(context, &Decision::denied(denial)).to_line()
    }

    #[test]
    fn a_hostile_request_cannot_break_the_line_or_hide_in_it() {
        let headers = [("host".to_owned(), b"a\xff\x1b[2J\n{}".to_vec())];
        let raw = RawRequest {
            method: "GET\r\n",
            scheme: None,
            authority: None,
            path_with_query: Some("/\u{2028}\u{202e}?token=secret"),
            headers: &headers,
        };
        let line = line(&raw, Denial::new(Reason::RequestPathCharacter, "x\ny"));
        assert_eq!(line.matches('\n').count(), 1, "{line}");
        assert!(!line.contains("secret"), "{line}");
        let value: serde_json::Value = serde_json::from_str(&line).unwrap();
        assert_eq!(value["request"]["path"], "/\\u{2028}\\u{202e}");
        assert_eq!((&value["decision"], &value["reason"]), (&"deny".into(), &"request.path_character".into()));
        assert_eq!(value["time"], "2023-11-14T22:13:20.005Z");
    }
}
