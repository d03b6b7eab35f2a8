//! Who asked.

use serde_json::{Value, json};

use super::super::{Entry, TokenEntry};
use super::{entity, is_pseudonym, list, maybe, members, millis, object, text};

/// The principal's id, as policies name it.
pub(super) fn principal(entry: &Entry) -> Option<String> {
    let cedar = entry.cedar.as_ref().and_then(|cedar| cedar.principal.as_deref());
    let token = entry.identity.as_ref().and_then(|token| token.principal.clone());
    let certificate = || entry.certificate.as_ref().and_then(|certificate| certificate.principal.clone());
    cedar.map(|name| entity(name).map_or_else(|| name.to_owned(), |(_, id)| id)).or(token).or_else(certificate).filter(|id| !id.is_empty())
}

/// The kind of user: OCSF's number, and the name.
fn kind(entry: &Entry) -> (i64, String) {
    let cedar = entry.cedar.as_ref().and_then(|cedar| cedar.principal.as_deref()).and_then(entity);
    let cedar = cedar.map(|(kind, _)| kind.rsplit("::").next().unwrap_or(kind).to_owned());
    let token = || entry.identity.as_ref().map(|token| token.kind.clone()).filter(|kind| !kind.is_empty());
    let name = cedar.or_else(token).unwrap_or_default();
    match name.as_str() {
        "User" | "user" => (1, "User".to_owned()),
        "Workload" | "workload" => (4, "Service".to_owned()),
        "" => (0, "Unknown".to_owned()),
        _ => (99, name),
    }
}

/// Whether somebody is known: not anonymous, and no credential was refused.
pub(super) fn is_known(user: &Value) -> bool {
    let kind = user.get("type").and_then(Value::as_str);
    !matches!(kind, Some("Anonymous" | "Unknown") | None)
}

/// `actor`: always with a user, which OCSF asks for, also where nobody said who they are.
pub(super) fn actor(entry: &Entry) -> Value {
    let token = entry.identity.as_ref();
    let session = token.and_then(session);
    let idp = token.and_then(|token| {
        let issuer = text(&token.issuer)?;
        object([("name", text(&token.issuer_name)), ("uid", Some(issuer.clone())), ("issuer", Some(issuer))])
    });
    let app = token.and_then(|token| maybe(token.client_id.as_ref()));
    Value::Object(members([("user", Some(user(entry))), ("session", session), ("idp", idp), ("app_uid", app)]))
}

fn user(entry: &Entry) -> Value {
    let (token, certificate, link) = (entry.identity.as_ref(), entry.certificate.as_ref(), entry.signed_url.as_ref());
    let (type_id, kind) = kind(entry);
    let subject = token
        .and_then(|token| token.subject.as_ref())
        .or_else(|| certificate.and_then(|certificate| certificate.subject.as_ref()))
        .or_else(|| link.and_then(|link| link.subject.as_ref()));
    let uid = principal(entry);
    let name = maybe(subject).or_else(|| uid.as_deref().and_then(text)).unwrap_or_else(|| json!("unknown"));
    let email = token.and_then(|token| token.email.as_deref()).filter(|email| is_email(email));
    let email =
        email.or_else(|| certificate.and_then(|certificate| certificate.emails.iter().map(String::as_str).find(|one| is_email(one))));
    Value::Object(members([
        ("uid", maybe(uid.as_ref())),
        ("name", Some(name)),
        ("type_id", Some(json!(type_id))),
        ("type", Some(json!(kind))),
        ("domain", token.and_then(|token| text(&token.issuer_name))),
        ("email_addr", email.and_then(text)),
        ("groups", token.and_then(groups)),
    ]))
}

fn groups(token: &TokenEntry) -> Option<Value> {
    let groups = token.groups.iter().filter(|name| !name.is_empty()).map(|name| json!({ "name": name, "type": "group" }));
    let roles = token.roles.iter().filter(|name| !name.is_empty()).map(|name| json!({ "name": name, "type": "role" }));
    list(groups.chain(roles).collect())
}

/// The login behind the token, as far as the token tells of one.
fn session(token: &TokenEntry) -> Option<Value> {
    if token.session_id.is_none() && token.auth_time.is_none() {
        return None;
    }
    object([
        ("uid", maybe(token.session_id.as_ref())),
        ("issuer", text(&token.issuer)),
        ("created_time", token.auth_time.map(|seconds| json!(millis(seconds)))),
        ("is_mfa", (!token.amr.is_empty()).then(|| json!(token.amr.iter().any(|method| method == "mfa")))),
    ])
}

/// What OCSF takes for an e-mail address.
fn is_email(text: &str) -> bool {
    let Some((local, domain)) = text.rsplit_once('@') else { return false };
    let Some((label, rest)) = domain.split_once('.') else { return false };
    let local_ok = |c: char| c.is_ascii_alphanumeric() || "!#$%&'*+,-./=?^_`{|}~".contains(c);
    let domain_ok = |c: char| c.is_ascii_alphanumeric() || c == '-';
    !is_pseudonym(text)
        && !local.is_empty()
        && local.chars().all(local_ok)
        && !label.is_empty()
        && label.chars().all(domain_ok)
        && !rest.is_empty()
        && rest.chars().all(|c| domain_ok(c) || c == '.')
}

#[cfg(test)]
mod tests {
    use super::is_email;

    #[test]
    fn what_is_no_address_is_not_called_one() {
        for address in ["alice@example.com", "a.b+c@d-e.example.org"] {
            assert!(is_email(address), "{address}");
        }
        for other in ["", "alice", "h:0x12", "h:a@b.c", "@b.c", "a@b", "a@.c", "a@b.", "a b@c.d", "ä@b.c", "a@b@c.d"] {
            assert!(!is_email(other), "{other}");
        }
    }
}
