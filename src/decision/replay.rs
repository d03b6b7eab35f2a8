//! A recorded decision, asked again of the same or of other policies.
//!
//! It goes the way of a request from identity to verdict, through the same code, and ends in an [`Answer`]: there is no permit here.

use super::signing::ask_signing;
use super::{Reason, reason_of};
use crate::audit::{Entry, PolicyEntry, Recorded, RecordedSigning};
use crate::bundle::Gate;
use crate::policy::{PolicyRef, Purpose, Reads, Scan, Verdict};
use crate::request::Facts;

/// What was answered to one question.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Answer {
    /// Whether policies allowed it.
    pub allow: bool,
    /// The reason code.
    pub reason: String,
    /// The ids of the policies that determined it. Sorted.
    pub policies: Vec<String>,
    /// Whether the evaluation of a policy failed.
    pub failed: bool,
}

impl Answer {
    /// An answer for this reason.
    pub fn new<'p>(reason: &str, policies: impl IntoIterator<Item = &'p str>, failed: bool) -> Self {
        let mut policies: Vec<String> = policies.into_iter().map(str::to_owned).collect();
        policies.sort();
        Self { allow: reason == Reason::PolicyPermit.code(), reason: reason.to_owned(), policies, failed }
    }

    /// What a record says. What policies allowed may have been denied for another reason since; that was not theirs.
    pub fn recorded(reason: &str, policies: &[PolicyEntry], errors: &[String]) -> Self {
        let theirs = if reason.starts_with("policy.") { reason } else { Reason::PolicyPermit.code() };
        let failed = reason == Reason::PolicyError.code() || !errors.is_empty();
        Self::new(theirs, policies.iter().map(|policy| policy.id.as_str()), failed)
    }
}

/// One question of a record, and what is answered now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Replayed {
    /// Of a request for signed URLs: which of them it is about.
    pub item: Option<usize>,
    /// What the record says.
    pub before: Answer,
    /// What these policies answer; or why that cannot be told.
    pub after: Result<Answer, String>,
}

/// What another set of policies changes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Flip {
    /// It was allowed and would be denied.
    AllowToDeny,
    /// It was denied and would be allowed.
    DenyToAllow,
    /// A policy would fail that did not: it is denied, and nobody meant it.
    NowErroring,
}

impl Flip {
    /// Every flip.
    pub const ALL: [Self; 3] = [Self::AllowToDeny, Self::DenyToAllow, Self::NowErroring];

    /// Its name.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::AllowToDeny => "allow-to-deny",
            Self::DenyToAllow => "deny-to-allow",
            Self::NowErroring => "now-erroring",
        }
    }
}

impl Replayed {
    /// What is another answer now; none when it is the same, or cannot be told.
    pub fn flip(&self) -> Option<Flip> {
        let after = self.after.as_ref().ok()?;
        match (self.before.allow, after.allow) {
            _ if after.failed && !self.before.failed => Some(Flip::NowErroring),
            (true, false) => Some(Flip::AllowToDeny),
            (false, true) => Some(Flip::DenyToAllow),
            (true, true) | (false, false) => None,
        }
    }

    /// Whether the answer is the same for the same reason by the same policies.
    pub fn is_same(&self) -> bool {
        self.after.as_ref().is_ok_and(|after| *after == self.before)
    }
}

/// Asks recorded decisions again of one gate.
#[derive(Debug)]
pub struct Replayer<'g> {
    gate: &'g Gate,
    reads: Reads,
}

impl<'g> Replayer<'g> {
    /// For this gate.
    pub fn new(gate: &'g Gate) -> Self {
        Self { gate, reads: gate.policy().reads() }
    }

    /// The answers to the questions of a record. Empty where Cedar was never asked: what was refused before does not depend on
    /// policies.
    pub fn replay(&self, entry: &Entry) -> Vec<Replayed> {
        if !entry.is_decision() {
            return vec![];
        }
        let purpose = entry.inputs.as_ref().map_or("", |inputs| inputs.purpose.as_str());
        if purpose == "sign" {
            let asked = entry.signing.iter().enumerate().filter(|(_, item)| item.cedar.is_some());
            return asked.map(|(index, _)| self.signing(entry, index)).collect();
        }
        if entry.cedar.is_none() {
            return vec![];
        }
        let before = Answer::recorded(&entry.reason, &entry.policies, &entry.errors);
        vec![Replayed { item: None, before, after: self.request(entry, purpose) }]
    }

    fn request(&self, entry: &Entry, purpose: &str) -> Result<Answer, String> {
        let purpose = match purpose {
            "request" => Purpose::Request,
            "revoke" => Purpose::Revoke,
            other => return Err(format!("`{other}` is nothing that is asked for")),
        };
        self.known(entry, "signing.")?;
        let Recorded { facts, identity, now } = Recorded::of(entry)?;
        let verdict = self.gate.policy().authorize(&facts, &identity, purpose, now);
        Ok(answered(reason_of(&verdict), &verdict.determining, Some(&verdict)))
    }

    fn signing(&self, entry: &Entry, index: usize) -> Replayed {
        let item = entry.signing.get(index);
        let before = item.map_or_else(|| Answer::recorded("", &[], &[]), |item| Answer::recorded(&item.reason, &item.policies, &[]));
        let after = || {
            let item = item.ok_or("there is no such URL in the record")?;
            self.known(entry, "request.path")?;
            let Recorded { facts, identity, now } = Recorded::of(entry)?;
            let RecordedSigning { methods, path, parameters, signing } = RecordedSigning::of(item)?;
            let asked = |method| Facts { method, path: path.clone(), parameters: parameters.clone(), query: None, ..facts.clone() };
            let asked = ask_signing(self.gate, &identity, &methods, asked, signing, (now, Scan::Index));
            Ok(answered(asked.reason, &asked.policies, asked.verdict.as_ref()))
        };
        Replayed { item: Some(index), before, after: after() }
    }

    /// Whether everything that these policies look at is in the record; `but` is what does not matter here.
    fn known(&self, entry: &Entry, but: &str) -> Result<(), String> {
        let places = entry.masked.iter().chain(&entry.erased).filter(|place| !place.starts_with(but));
        let mut unknown: Vec<&str> = places.map(String::as_str).filter(|place| self.matters(place, entry)).collect();
        // What the policies of then could not read is in no record of theirs.
        let read = |name: &String| entry.inputs.iter().any(|inputs| inputs.header_names.contains(name));
        if self.reads.attribute("headers") && !self.gate.policy().context_headers().iter().all(read) {
            unknown.push("inputs.headers");
        }
        unknown.sort_unstable();
        unknown.dedup();
        if unknown.is_empty() { Ok(()) } else { Err(format!("not shown in the record: {}", unknown.join(", "))) }
    }

    /// Whether an answer can depend on what stands at this place of a record.
    fn matters(&self, place: &str, entry: &Entry) -> bool {
        let attribute = match place {
            // What follows from other places, or what no policy sees.
            "cedar.principal" | "cedar.resource" | "change" | "identity.token_id" | "identity.session_id" | "signing.subject" => {
                return false;
            }
            "certificate.principal" => return entry.certificate.as_ref().is_some_and(|certificate| certificate.names_principal),
            "request.host" => "host",
            "request.client" => "client_ip",
            "inputs.query" | "signing.query" => "query",
            "inputs.headers" => "headers",
            "signing.address" => "bound_to_address",
            "identity.subject" | "certificate.subject" | "signed_url.subject" => "subject",
            "identity.email" => "email",
            "identity.client_id" => "client_id",
            "identity.acr" => "acr",
            "identity.amr" => "amr",
            "identity.audience" => "audience",
            "identity.scopes" => "scopes",
            "identity.issuer" | "certificate.issuer" | "signed_url.issuer" => "issuer",
            "certificate.dns_names" => "dns_names",
            "certificate.emails" => "emails",
            "certificate.uris" => "uris",
            "certificate.ip_addresses" => "ip_addresses",
            "certificate.spiffe_id" => "spiffe_id",
            // Who it is, in which groups, and where: everything depends on it. So does what is not known.
            _ => return true,
        };
        self.reads.attribute(attribute)
    }
}

fn answered(reason: Reason, policies: &[PolicyRef], verdict: Option<&Verdict>) -> Answer {
    let failed = verdict.is_some_and(|verdict| !verdict.errors.is_empty());
    Answer::new(reason.code(), policies.iter().map(|policy| policy.id.as_str()), failed)
}
