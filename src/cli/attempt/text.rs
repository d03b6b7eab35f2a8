//! The stages of a request in words.

use serde_json::{Value, json};

use super::super::audit::{Told, one_line};
use super::Tried;
use crate::decision::{Decision, Denial, Reason};
use crate::identity::{Credential, Fate, Identity};
use crate::policy::Explanation;
use crate::request::Facts;

/// All stages, in the order they are gone through.
pub(super) fn human(tried: &Tried) -> String {
    let Tried { line: _, facts, decision, explanation, answer } = tried;
    let mut text = String::new();
    head(1, "the request", &mut text);
    match facts {
        Ok(facts) => request(facts, &mut text),
        Err(denial) => {
            text.push_str("  it cannot be read in one way only, and goes no further\n");
            ended(denial, &mut text);
        }
    }
    if facts.is_ok() {
        head(2, "credentials", &mut text);
        if decision.credentials.is_empty() {
            text.push_str("  none\n");
        }
        decision.credentials.iter().for_each(|one| credential(one, &mut text));
        head(3, "identity", &mut text);
        identity(&decision.identity, &mut text);
        head(4, "what Cedar is asked", &mut text);
        cedar(decision, explanation.as_ref(), &mut text);
        head(5, "policies", &mut text);
        match explanation {
            Some(explanation) => text.push_str(&Told::of(explanation).human()),
            None => text.push_str("  not asked\n"),
        }
    }
    head(6, "decision", &mut text);
    match &decision.outcome {
        Ok(_) => text.push_str("  \x1b[1;32mallow\x1b[0m: policy.permit\n  the request goes on to the origin\n"),
        Err(denial) => {
            ended(denial, &mut text);
            let status = answer.as_ref().map_or(decision.status, |answer| answer.status);
            text.push_str(&format!("  the caller gets {status}\n"));
            for (name, value) in answer.iter().flat_map(|answer| &answer.headers).filter(|(name, _)| name == "www-authenticate") {
                text.push_str(&format!("    {name}: {}\n", one_line(&String::from_utf8_lossy(value))));
            }
        }
    }
    text
}

fn head(number: u8, name: &str, text: &mut String) {
    let gap = if number == 1 { "" } else { "\n" };
    text.push_str(&format!("{gap}\x1b[1m{number}  {name}\x1b[0m\n"));
}

fn ended(denial: &Denial, text: &mut String) {
    text.push_str(&format!("  \x1b[1;31mdeny\x1b[0m: {}\n  {}\n", denial.reason.code(), denial.reason.meaning()));
    if !denial.detail.is_empty() {
        text.push_str(&format!("  {}\n", one_line(&denial.detail)));
    }
}

fn row(name: &str, value: &str, text: &mut String) {
    if !value.is_empty() {
        text.push_str(&format!("  {name:<10} {}\n", one_line(value)));
    }
}

fn request(facts: &Facts, text: &mut String) {
    row("method", facts.method.as_str(), text);
    row("host", &facts.host, text);
    row("path", facts.path.raw(), text);
    row("segments", &facts.path.segments().join("  ›  "), text);
    for (name, value) in &facts.parameters {
        row("query", &format!("{name} = {value}"), text);
    }
    row("client", &facts.client.map(|client| client.to_string()).unwrap_or_default(), text);
    row("https", if facts.https { "yes" } else { "no" }, text);
}

pub(in crate::cli) fn credential(one: &Credential, text: &mut String) {
    let Credential { kind, fate } = one;
    let (sign, told) = match fate {
        Fate::Verified => ("\x1b[32m✓\x1b[0m", "verified".to_owned()),
        Fate::Refused(denial) => ("\x1b[31m✗\x1b[0m", format!("refused: {denial}")),
        Fate::Ignored(why) => ("\x1b[2m·\x1b[0m", format!("ignored: {why}")),
    };
    text.push_str(&format!("  {sign} {}: {}\n", kind.as_str().replace('_', " "), one_line(&told)));
}

fn identity(identity: &Identity, text: &mut String) {
    if matches!(identity, Identity::Anonymous) {
        text.push_str("  nobody: Gate::Anonymous\n");
    }
    if let Some(link) = identity.link() {
        row("link", &format!("made by {}, for {}", link.issuer, link.subject), text);
    }
    if let Some(token) = identity.token() {
        row("token", &format!("{} of {} ({})", token.principal, token.issuer_name, token.kind.as_str()), text);
        row("groups", &token.groups.join(", "), text);
        row("roles", &token.roles.join(", "), text);
        row("scopes", &token.scopes.join(" "), text);
        row("bound to", &token.confirmation.bindings().collect::<Vec<_>>().join(", "), text);
    }
    if let Some(certificate) = identity.certificate() {
        row("certificate", &format!("{} under {}", certificate.principal, certificate.anchor), text);
    }
}

fn cedar(decision: &Decision, explanation: Option<&Explanation>, text: &mut String) {
    let Some(verdict) = &decision.verdict else {
        text.push_str("  not asked\n");
        return;
    };
    row("principal", &verdict.principal, text);
    row("action", &verdict.action, text);
    row("resource", &verdict.resource, text);
    let Some(explanation) = explanation else { return };
    for (name, value) in explanation.context.as_object().into_iter().flatten() {
        row("context", &format!("{name} = {value}"), text);
    }
    for entity in &explanation.entities {
        let name = |uid: &Value| {
            let uid = uid.get("__entity").unwrap_or(uid);
            let part = |name| uid.get(name).and_then(Value::as_str).unwrap_or_default();
            format!("{}::{:?}", part("type"), part("id"))
        };
        let parents: Vec<String> = entity.get("parents").and_then(Value::as_array).into_iter().flatten().map(name).collect();
        let within = if parents.is_empty() { String::new() } else { format!(" in {}", parents.join(", ")) };
        let attributes = entity.get("attrs").filter(|attributes| attributes.as_object().is_some_and(|members| !members.is_empty()));
        let attributes = attributes.map(|attributes| format!(" {attributes}")).unwrap_or_default();
        row("entity", &format!("{}{within}{attributes}", entity.get("uid").map(name).unwrap_or_default()), text);
    }
}

pub(in crate::cli) fn credential_json(one: &Credential) -> Value {
    let (fate, reason, detail) = one.fate.told();
    json!({ "kind": one.kind.as_str(), "fate": fate, "reason": reason.map(Reason::code), "detail": detail })
}

pub(super) fn identity_json(identity: &Identity) -> Value {
    json!({
        "token": identity.token().map(|token| json!({
            "issuer": token.issuer, "principal": token.principal, "subject": token.subject, "kind": token.kind.as_str(),
            "groups": token.groups, "roles": token.roles, "scopes": token.scopes,
            "bindings": token.confirmation.bindings().collect::<Vec<_>>(),
        })),
        "certificate": identity.certificate().map(|certificate| json!({
            "principal": certificate.principal, "anchor": certificate.anchor, "subject": certificate.subject,
        })),
        "signed_url": identity.link().map(|link| json!({ "link_id": link.id, "issuer": link.issuer, "subject": link.subject })),
    })
}
