//! A decision in words.

use serde_json::{Value, json};

use super::super::output::visible;
use super::scan::one_line;
use crate::audit::{Entry, PolicyEntry, SigningEntry};
use crate::decision::Reason;
use crate::policy::{Clause, Explained, Explanation, Met};

/// Most permits that are told for a denial.
const NEAREST: usize = 5;

/// Everything that is told about one decision.
#[derive(Debug)]
pub(super) struct Why<'e> {
    entry: &'e Entry,
    outcome: Option<&'e Entry>,
    /// What must be known about the explanations, by the URL it is about.
    notes: Vec<(Option<usize>, String)>,
    told: Vec<(Option<usize>, Told)>,
}

/// What is told of one explanation.
#[derive(Debug)]
pub(in crate::cli) struct Told {
    /// The policies that decided.
    decided: Vec<Explained>,
    /// The permits that apply too, and are outweighed by a forbid.
    outweighed: Vec<Explained>,
    /// Policies that were expected to decide, and do not apply.
    missing: Vec<Explained>,
    /// Of a denial that no policy asked for: the permits that came nearest.
    nearest: Vec<Explained>,
}

impl Told {
    /// Takes what is told out of an explanation.
    pub(in crate::cli) fn of(explanation: &Explanation) -> Self {
        Self::expecting(explanation, &[])
    }

    /// The same, with policies that somebody expected to decide.
    pub(in crate::cli) fn expecting(explanation: &Explanation, expected: &[String]) -> Self {
        let Explanation { verdict, policies, .. } = explanation;
        let decided = |one: &&Explained| verdict.determining.iter().any(|policy| policy.id == one.id);
        let failed = |one: &&Explained| verdict.errors.iter().any(|error| error.starts_with(&format!("{}: ", one.id)));
        let mut nearest: Vec<&Explained> = Vec::new();
        if !verdict.allow && verdict.determining.is_empty() {
            nearest = explanation.nearest().into_iter().filter(|one| !failed(one)).take(NEAREST).collect();
        }
        let outweighed = |one: &&Explained| one.applies() && !decided(one) && !failed(one);
        let missing = |one: &&Explained| expected.contains(&one.id) && !one.applies();
        nearest.retain(|one| !missing(one));
        Self {
            decided: policies.iter().filter(|one| decided(one) || failed(one)).cloned().collect(),
            outweighed: policies.iter().filter(outweighed).cloned().collect(),
            missing: policies.iter().filter(missing).cloned().collect(),
            nearest: nearest.into_iter().cloned().collect(),
        }
    }
}

impl Told {
    /// In words: the policies that decided, whole; of the nearest what they lacked.
    pub(in crate::cli) fn human(&self) -> String {
        let mut text = String::new();
        for one in &self.decided {
            policy(one, &mut text);
        }
        let groups = [
            ("Outweighed, though they apply, are", &self.outweighed),
            ("Expected to decide, and not applying, are", &self.missing),
            ("No policy permits it. Nearest are", &self.nearest),
        ];
        for (title, policies) in groups.into_iter().filter(|(_, policies)| !policies.is_empty()) {
            text.push_str(&format!("\n\x1b[1m{title}\x1b[0m\n"));
            policies.iter().for_each(|one| lacking(one, &mut text));
        }
        text
    }

    /// For programs.
    pub(in crate::cli) fn json(&self) -> Value {
        let policy = |one: &Explained| {
            let clauses = one.clauses.iter().map(|Clause { part, text, met }| {
                let (word, detail) = word(met);
                json!({ "part": part, "text": text, "met": word, "detail": detail })
            });
            let annotations: serde_json::Map<String, Value> =
                one.annotations.iter().map(|(name, value)| (name.clone(), json!(value))).collect();
            json!({
                "id": one.id, "effect": if one.permits { "permit" } else { "forbid" }, "annotations": annotations, "text": one.text,
                "clauses": clauses.collect::<Vec<_>>(),
            })
        };
        json!({
            "policies": self.decided.iter().map(policy).collect::<Vec<_>>(),
            "outweighed": self.outweighed.iter().map(policy).collect::<Vec<_>>(),
            "nearest": self.missing.iter().chain(&self.nearest).map(policy).collect::<Vec<_>>(),
        })
    }
}

impl<'e> Why<'e> {
    pub(super) fn of(entry: &'e Entry, outcome: Option<&'e Entry>) -> Self {
        Self { entry, outcome, notes: vec![], told: vec![] }
    }

    pub(super) fn note(&mut self, item: Option<usize>, note: String) {
        self.notes.push((item, note));
    }

    pub(super) fn explained(&mut self, item: Option<usize>, told: Told) {
        self.told.push((item, told));
    }

    fn told(&self, item: Option<usize>) -> Option<&Told> {
        self.told.iter().find(|(of, _)| *of == item).map(|(_, told)| told)
    }

    pub(super) fn json(&self) -> Value {
        let explanations: Vec<_> = self
            .told
            .iter()
            .map(|(item, told)| {
                let mut members = told.json();
                if let Value::Object(members) = &mut members {
                    members.insert("item".to_owned(), json!(item));
                }
                members
            })
            .collect();
        json!({
            "decision_id": self.entry.decision_id, "decision": self.entry.decision, "enforced": self.entry.enforced.unwrap_or(true),
            "reason": self.entry.reason,
            "meaning": meaning(&self.entry.reason), "policy_digest": self.entry.policy_digest,
            "explanations": explanations,
            "notes": self.notes.iter().map(|(item, note)| json!({ "item": item, "note": note })).collect::<Vec<_>>(),
        })
    }

    pub(super) fn human(&self) -> String {
        let entry = self.entry;
        let mut text = format!("{}\n\n", self.sentence());
        text.push_str(&verdict(entry.allowed(), &entry.reason, entry.status, &entry.detail));
        if entry.observed_denial() {
            text.push_str("  not enforced: the gate was in the mode `observe`, and the request went on\n");
        }
        self.after(&mut text);
        self.credentials(&mut text);
        self.body(&mut text, None, &entry.policies);
        for (index, item) in entry.signing.iter().enumerate() {
            text.push_str(&format!("\n\x1b[1mURL {}\x1b[0m  {}\n", index.saturating_add(1), url(item)));
            text.push_str(&format!("  {}: {}, {}\n", one_line(&item.decision), one_line(&item.reason), meaning(&item.reason)));
            self.body(&mut text, Some(index), &item.policies);
        }
        text.push_str(&format!(
            "\nrecord   {}\npolicies {}\n",
            one_line(&entry.decision_id),
            one_line(entry.policy_digest.as_deref().unwrap_or("none: the component was not sealed"))
        ));
        text
    }

    /// Who asked for what, when and from where.
    fn sentence(&self) -> String {
        let entry = self.entry;
        let masked = "somebody whom the record does not show";
        let who = match (&entry.signed_url, &entry.identity, &entry.certificate, &entry.cedar) {
            (Some(link), ..) => format!(
                "Whoever had the signed URL {} (made by {}, for {})",
                one_line(&link.link_id),
                link.issuer.as_deref().map_or(masked.to_owned(), one_line),
                link.subject.as_deref().map_or(masked.to_owned(), one_line)
            ),
            (None, Some(token), certificate, _) => {
                let mut who = token.principal.as_deref().map_or("Somebody whom the record does not show".to_owned(), one_line);
                let also = if certificate.is_some() { " and a client certificate" } else { "" };
                who.push_str(&format!(" (a {} with a token of {}{also}", one_line(&token.kind), one_line(&token.issuer_name)));
                let groups = token.groups.iter().chain(&token.roles).map(|group| one_line(group)).collect::<Vec<_>>();
                if !groups.is_empty() {
                    who.push_str(&format!("; in {}", groups.join(", ")));
                }
                who.push(')');
                who
            }
            (None, None, Some(certificate), _) => {
                let principal = certificate.principal.as_deref().map_or("Somebody whom the record does not show".to_owned(), one_line);
                format!("{principal} (with a client certificate of {})", one_line(&certificate.anchor))
            }
            (None, None, None, Some(_)) => "Somebody without a credential".to_owned(),
            (None, None, None, None) => "Somebody who was not identified".to_owned(),
        };
        let request = &entry.request;
        let scheme = if entry.inputs.as_ref().is_some_and(|inputs| inputs.https) { "https://" } else { "http://" };
        let what = format!(
            "{} {scheme}{}{}",
            one_line(&request.method),
            request.host.as_deref().map_or("(a masked host)".to_owned(), one_line),
            request.path.as_deref().map_or("/(a masked path)".to_owned(), one_line)
        );
        let from = request.client.as_deref().map(|client| format!(" from {}", one_line(client))).unwrap_or_default();
        let region = if entry.region.is_empty() { String::new() } else { format!(", in the region {}", one_line(&entry.region)) };
        format!("{who} asked for {what}{from} at {}{region}.", one_line(&entry.time))
    }

    fn after(&self, text: &mut String) {
        let entry = self.outcome.unwrap_or(self.entry);
        let Some(upstream) = &entry.upstream else { return };
        match (&upstream.error, upstream.status) {
            (Some(fault), _) => text.push_str(&format!("  the origin: {}: {}\n", one_line(&fault.reason), one_line(&fault.detail))),
            (None, Some(status)) => text.push_str(&format!("  the origin answered {status}\n")),
            (None, None) => {}
        }
    }

    fn credentials(&self, text: &mut String) {
        if self.entry.credentials.is_empty() {
            return;
        }
        text.push_str("\n\x1b[1mCredentials\x1b[0m\n");
        for one in &self.entry.credentials {
            text.push_str(&format!("  {}: {}", one_line(&one.kind.replace('_', " ")), one_line(&one.fate)));
            if let Some(reason) = &one.reason {
                text.push_str(&format!(", {}: {}", one_line(reason), meaning(reason)));
            }
            if !one.detail.is_empty() {
                text.push_str(&format!(" ({})", one_line(&one.detail)));
            }
            text.push('\n');
        }
    }

    /// The policies of one question, and what there is to know about it.
    fn body(&self, text: &mut String, item: Option<usize>, recorded: &[PolicyEntry]) {
        for (_, note) in self.notes.iter().filter(|(of, _)| *of == item) {
            text.push_str(&format!("\n\x1b[33mnote\x1b[0m: {}\n", one_line(note)));
        }
        match self.told(item) {
            Some(told) => {
                text.push_str(&told.human());
            }
            None => {
                for one in recorded {
                    let reason = one.reason.as_deref().map(|reason| format!(": {}", one_line(reason))).unwrap_or_default();
                    text.push_str(&format!("\npolicy {}{reason}\n", one_line(&one.id)));
                }
            }
        }
    }
}

/// How it ended: `Denied: policy.no_permit, status 403`, and what that means.
pub(in crate::cli) fn verdict(allow: bool, reason: &str, status: u16, detail: &str) -> String {
    let (colour, word) = if allow { ("32", "Allowed") } else { ("31", "Denied") };
    let mut text = format!("\x1b[1;{colour}m{word}\x1b[0m: {}", one_line(reason));
    if status > 0 {
        text.push_str(&format!(", status {status}"));
    }
    text.push_str(&format!("\n  {}\n", meaning(reason)));
    if !detail.is_empty() {
        text.push_str(&format!("  {}\n", one_line(detail)));
    }
    text
}

fn url(item: &SigningEntry) -> String {
    let path = item.path.as_deref().map_or("(a masked path)".to_owned(), one_line);
    format!("{} {path}{}, {}", item.methods.join(","), if item.prefix { " and all below" } else { "" }, one_line(&item.format))
}

/// A policy that decided: whole.
fn policy(one: &Explained, text: &mut String) {
    let effect = if one.permits { "\x1b[32mpermit\x1b[0m" } else { "\x1b[31mforbid\x1b[0m" };
    text.push_str(&format!("\n{effect} \x1b[1m{}\x1b[0m\n", one_line(&one.id)));
    for (name, value) in one.annotations.iter().filter(|(name, _)| name != "id") {
        text.push_str(&format!("  @{} {}\n", one_line(name), one_line(value)));
    }
    for line in visible(&one.text).lines().filter(|line| !line.trim_start().starts_with('@')) {
        text.push_str(&format!("  \x1b[2m│\x1b[0m {line}\n"));
    }
    for clause in &one.clauses {
        told(clause, text);
    }
}

/// A policy that did not decide: what it lacked, and no more.
fn lacking(one: &Explained, text: &mut String) {
    let reason = one.annotations.iter().find(|(name, _)| name == "reason").map(|(_, reason)| format!(": {}", one_line(reason)));
    let effect = if one.permits { "permit" } else { "forbid" };
    text.push_str(&format!("  {effect} \x1b[1m{}\x1b[0m{}\n", one_line(&one.id), reason.unwrap_or_default()));
    for clause in one.clauses.iter().filter(|clause| !clause.is_met()) {
        text.push_str("  ");
        told(clause, text);
    }
}

fn told(clause: &Clause, text: &mut String) {
    let Clause { part, text: words, met } = clause;
    let sign = match met {
        Met::Yes => "\x1b[32m✓\x1b[0m",
        Met::No => "\x1b[31m✗\x1b[0m",
        Met::Failed(_) => "\x1b[31m!\x1b[0m",
        Met::NotReached => "\x1b[2m·\x1b[0m",
    };
    // The scope says itself which part it is.
    let part = if matches!(*part, "when" | "unless") { format!("{part} ") } else { String::new() };
    text.push_str(&format!("  {sign} {part}{}", one_line(words)));
    if let Met::Failed(error) = met {
        text.push_str(&format!(": {}", one_line(error)));
    }
    text.push('\n');
}

fn word(met: &Met) -> (&'static str, &str) {
    match met {
        Met::Yes => ("yes", ""),
        Met::No => ("no", ""),
        Met::Failed(error) => ("failed", error),
        Met::NotReached => ("not_reached", ""),
    }
}

/// What a reason code means.
pub(in crate::cli) fn meaning(code: &str) -> &'static str {
    Reason::ALL.iter().find(|reason| reason.code() == code).map_or("a reason that this version does not know", |reason| reason.meaning())
}
