//! The record, version 1: what is told about one request, put together and written as a line.

use super::chain::Chain;
use super::views::{Body, Decided};
use super::{AuditConfig, DecisionId, Scene, Timestamp, TraceIds};
use crate::bundle::Gate;
use crate::decision::{Decision, Denial, Mode, Reason, Trial, UnixTime};
use crate::identity::{Credential, Identity};
use crate::policy::{PolicyRef, Verdict};
use crate::request::{Facts, RawRequest};
use crate::signed_url::{Issued, Keyring, Wanted};

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
    /// Whether what policies deny ends at the gate.
    pub mode: Mode,
    /// The gate; `None` when the component is not sealed.
    pub gate: Option<&'a Gate>,
    /// The SHA-256 of the base component that was sealed, 64 hexadecimal digits.
    pub build: Option<&'a str>,
    /// The request as far as it was understood.
    pub request: RequestView<'a>,
    /// What it was about.
    pub purpose: &'static str,
    /// The status of the response; 0 when it is not known yet.
    pub status: u16,
    /// Time spent.
    pub timing: Timing,
    /// What the origin did, when it was asked.
    pub upstream: Option<Upstream>,
    /// What was changed in the gate's own state, when anything was: one line.
    pub change: Option<String>,
    /// What policies on trial would have decided, when they were asked.
    pub shadow: Option<Trial>,
    /// The URLs that were asked for, when any were.
    pub signing: Vec<SigningView>,
}

/// The request as records show it: canonical where it could be read, else raw.
#[derive(Debug, Clone, Copy)]
pub enum RequestView<'a> {
    /// A request that could be read.
    Facts(&'a Facts),
    /// One that was refused before it was understood.
    Raw(&'a RawRequest<'a>),
}

/// One URL that was asked for: what was wanted, what decided, and what became of it. Never the URL's signature.
#[derive(Debug, Clone)]
pub struct SigningView {
    pub(super) wanted: Wanted,
    pub(super) verdict: Option<Verdict>,
    pub(super) policies: Vec<PolicyRef>,
    pub(super) outcome: Result<Made, Denial>,
}

/// What is told of a URL that was made.
#[derive(Debug, Clone)]
pub(super) struct Made {
    pub(super) link_id: Option<String>,
    pub(super) key_id: String,
    pub(super) expires_at: UnixTime,
}

impl SigningView {
    /// The view of one URL.
    pub fn new(wanted: &Wanted, verdict: Option<&Verdict>, policies: &[PolicyRef], outcome: Result<&Issued, &Denial>) -> Self {
        let made = |issued: &Issued| Made { link_id: issued.link_id.clone(), key_id: issued.key_id.clone(), expires_at: issued.expires_at };
        Self {
            wanted: wanted.clone(),
            verdict: verdict.cloned(),
            policies: policies.to_vec(),
            outcome: outcome.map(made).map_err(Clone::clone),
        }
    }
}

/// Microseconds spent.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Timing {
    /// Verifying evidence.
    pub identity: u64,
    /// Asking Cedar.
    pub policy: u64,
    /// From the request to the record.
    pub total: u64,
}

/// What became of a permitted request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Upstream {
    /// The status of the origin's answer, or why there was none.
    pub outcome: Result<u16, Denial>,
    /// Microseconds until then.
    pub time: u64,
}

/// Everything that one decision record tells.
#[derive(Debug)]
pub struct Record<'a> {
    pub(super) context: Context<'a>,
    pub(super) decided: Decided<'a>,
}

impl<'a> Record<'a> {
    /// The record of a decision.
    pub fn new(context: Context<'a>, decision: &'a Decision) -> Self {
        let (allow, reason, detail) = match &decision.outcome {
            Ok(_) => (true, Reason::PolicyPermit, ""),
            Err(denial) => (false, denial.reason, denial.detail.as_str()),
        };
        Self::build(context, allow, reason, detail, decision)
    }

    /// The record of a permitted request, whose permit was used up in forwarding it.
    pub fn permitted(context: Context<'a>, decision: &'a Decision) -> Self {
        Self::build(context, true, Reason::PolicyPermit, "", decision)
    }

    /// The record of a request the gate answered itself.
    pub fn own(context: Context<'a>, reason: Reason) -> Self {
        // Credentials are not looked at: whoever asks gets the same.
        let decided = Decided {
            allow: reason.status() == 200,
            reason,
            detail: "",
            identity: &Identity::Anonymous,
            credentials: &[],
            verdict: None,
            enforced: true,
        };
        Self { context, decided }
    }

    fn build(context: Context<'a>, allow: bool, reason: Reason, detail: &'a str, decision: &'a Decision) -> Self {
        let Decision { identity, credentials, verdict, outcome: _, status: _, enforced, observed: _ } = decision;
        let credentials: &[Credential] = credentials;
        Self { context, decided: Decided { allow, reason, detail, identity, credentials, verdict: verdict.as_ref(), enforced: *enforced } }
    }

    /// Where and when it was written.
    pub fn scene(&self) -> Scene<'a> {
        Scene { time: self.context.time, region: self.context.region, mode: self.context.mode, gate: self.context.gate }
    }

    /// The next line of the chain, with its end.
    pub fn to_line(&self, chain: &mut Chain, keyring: &Keyring, config: &AuditConfig) -> String {
        let key = keyring.signing().and_then(|key| key.hiding());
        let body = Body::new(self, config, key);
        chain.line(keyring, |link| body.linked(link))
    }
}

/// The context of a request that could not be read.
#[cfg(test)]
pub(super) fn sample<'a>(time: Timestamp, id: &'a DecisionId, trace: &'a TraceIds, raw: &'a RawRequest<'a>) -> Context<'a> {
    Context {
        time,
        id,
        trace,
        region: "local",
        mode: Mode::Enforce,
        gate: None,
        build: None,
        request: RequestView::Raw(raw),
        purpose: "request",
        status: 400,
        timing: Timing::default(),
        upstream: None,
        change: None,
        shadow: None,
        signing: vec![],
    }
}

#[cfg(test)]
mod tests {
    use super::{Record, sample};
    use crate::audit::{AuditConfig, Chain, DecisionId, Entropy, Timestamp, TraceIds};
    use crate::decision::{Decision, Denial, Reason, UnixTime};
    use crate::request::RawRequest;
    use crate::signed_url::Keyring;

    fn line(raw: &RawRequest<'_>, denial: Denial) -> String {
        let time = Timestamp { seconds: UnixTime(1_700_000_000), millis: 5 };
        let entropy = Entropy([7; 34]);
        let (id, trace) = (DecisionId::new(time, entropy), TraceIds::new(None, entropy));
        let context = sample(time, &id, &trace, raw);
        let decision = Decision::denied(denial);
        let mut chain = Chain::new([7; 16], None);
        Record::new(context, &decision).to_line(&mut chain, &Keyring::default(), &AuditConfig::default())
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
