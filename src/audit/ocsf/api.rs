//! The call: what was asked for, where it came from and went to, and which policies decided.

use std::net::IpAddr;

use serde_json::{Value, json};

use super::super::{Entry, Kind};
use super::outcome::Outcome;
use super::{entity, is_pseudonym, list, maybe, members, millis, object, text};

/// The methods OCSF knows.
const METHODS: [&str; 9] = ["CONNECT", "DELETE", "GET", "HEAD", "OPTIONS", "PATCH", "POST", "PUT", "TRACE"];

/// Whether the method has a place in the event.
pub(super) fn has_method(entry: &Entry) -> bool {
    METHODS.contains(&entry.request.method.as_str())
}

/// The path, where it is one: a malformed one may be missing, a masked one is not a path.
pub(super) fn path(entry: &Entry) -> Option<&str> {
    entry.request.path.as_deref().filter(|path| !path.is_empty() && !is_pseudonym(path))
}

/// `api`.
pub(super) fn api(entry: &Entry, outcome: &Outcome<'_>) -> Option<Value> {
    let action = entry.cedar.as_ref().and_then(|cedar| entity(&cedar.action)).map(|(_, id)| id);
    let method = Some(entry.request.method.clone()).filter(|method| !method.is_empty());
    let otherwise = if entry.kind == Kind::Outcome { "outcome" } else { "unknown" };
    let operation = action.or(method).unwrap_or_else(|| otherwise.to_owned());
    let error = outcome.failed().then_some(outcome.code).and_then(text);
    let error_message = outcome.failed().then_some(outcome.detail).and_then(text);
    object([
        ("operation", Some(json!(operation))),
        ("request", object([("uid", text(&entry.decision_id))])),
        ("response", object([("code", code(entry)), ("error", error), ("error_message", error_message)])),
        ("service", object([("name", entry.request.host.as_deref().and_then(text))])),
        ("token", token(entry)),
    ])
}

/// What let the caller in: the token, or else the signed URL.
fn token(entry: &Entry) -> Option<Value> {
    let (uid, kind, created, expires) = if let Some(token) = &entry.identity {
        (maybe(token.token_id.as_ref()), "Access Token", token.issued_at, token.expires_at)
    } else {
        let link = entry.signed_url.as_ref()?;
        (text(&link.link_id), "Signed URL", Some(link.issued_at), link.expires_at)
    };
    let time = |seconds: Option<i64>| seconds.filter(|seconds| *seconds > 0).map(|seconds| json!(millis(seconds)));
    object([
        ("uid", uid),
        ("type_id", Some(json!(99))),
        ("type", Some(json!(kind))),
        ("created_time", time(created)),
        ("expiration_time", time(Some(expires))),
    ])
}

fn code(entry: &Entry) -> Option<Value> {
    (entry.status > 0).then(|| json!(entry.status))
}

/// `authorizations`: one for each determining policy; the bare decision where there was none.
pub(super) fn authorizations(entry: &Entry) -> Option<Value> {
    let decision = text(&entry.decision)?;
    let by = |policy: Option<Value>| Value::Object(members([("decision", Some(decision.clone())), ("policy", policy)]));
    let mut all: Vec<Value> = Vec::new();
    for policy in entry.policies.iter().filter(|policy| !policy.id.is_empty()) {
        all.push(by(object([
            ("uid", text(&policy.id)),
            ("name", text(&policy.id)),
            ("desc", maybe(policy.reason.as_ref())),
            ("type", Some(json!("Cedar policy"))),
            ("version", maybe(entry.policy_digest.as_ref())),
            ("is_applied", Some(json!(true))),
            ("data", object([("owner", maybe(policy.owner.as_ref())), ("control", maybe(policy.control.as_ref()))])),
        ])));
    }
    if all.is_empty() {
        all.push(by(None));
    }
    list(all)
}

/// `policy`: the whole set that decided, by its digest.
pub(super) fn policy_set(entry: &Entry) -> Option<Value> {
    let digest = maybe(entry.policy_digest.as_ref())?;
    object([
        ("uid", Some(digest)),
        ("type", Some(json!("Cedar policy set"))),
        // Where a credential was refused or the request could not be read, no policy was asked.
        ("is_applied", Some(json!(entry.cedar.is_some()))),
    ])
}

/// `resources`: what Cedar was asked about.
pub(super) fn resources(entry: &Entry) -> Option<Value> {
    let name = entry.cedar.as_ref()?.resource.as_deref()?;
    let (kind, id) = entity(name).map_or((None, name.to_owned()), |(kind, id)| (Some(kind), id));
    let resource = object([
        ("uid", text(name)),
        ("name", text(&id)),
        ("type", kind.and_then(text)),
        ("role_id", Some(json!(1))),
        ("role", Some(json!("Target"))),
    ]);
    list(resource.into_iter().filter(|_| !name.is_empty()).collect())
}

/// `http_request`.
pub(super) fn http_request(entry: &Entry) -> Option<Value> {
    let host = Host::of(entry);
    let scheme = entry.inputs.as_ref().map(|inputs| json!(if inputs.https { "https" } else { "http" }));
    let url = path(entry).and_then(|path| {
        object([
            ("path", text(path)),
            ("hostname", host.hostname.and_then(text).or_else(|| host.address.map(|address| json!(address.to_string())))),
            ("port", host.port.map(|port| json!(port))),
            ("scheme", scheme),
        ])
    });
    object([
        ("http_method", has_method(entry).then(|| json!(entry.request.method))),
        ("uid", text(&entry.decision_id).filter(|_| entry.kind == Kind::Decision)),
        ("url", url),
        ("http_headers", list(headers(entry))),
    ])
}

fn headers(entry: &Entry) -> Vec<Value> {
    let headers = entry.inputs.iter().flat_map(|inputs| &inputs.headers);
    let shown = headers.filter_map(|header| Some((&header.name, header.value.as_ref().filter(|value| !is_pseudonym(value))?)));
    shown.map(|(name, value)| json!({ "name": name, "value": value })).collect()
}

/// `http_response`: the gate's answer to the caller.
pub(super) fn http_response(entry: &Entry) -> Option<Value> {
    let code = code(entry)?;
    let latency = entry.timing_us.total.div_ceil(1000);
    object([("code", Some(code)), ("latency", (latency > 0).then(|| json!(latency)))])
}

/// `src_endpoint`, which OCSF asks for, and whether its name is a network: only an address is called one. A truncated one is the name
/// of its network, a pseudonym an id.
pub(super) fn source(entry: &Entry) -> (Value, bool) {
    let client = entry.request.client.as_deref().unwrap_or_default();
    let network = client.split_once('/').is_some_and(|(address, bits)| {
        let longest = address.parse().map(|address: IpAddr| if address.is_ipv4() { 32 } else { 128 });
        longest.is_ok_and(|longest| bits.parse::<u8>().is_ok_and(|bits| bits <= longest))
    });
    let member = if client.parse::<IpAddr>().is_ok() {
        "ip"
    } else if is_pseudonym(client) {
        "uid"
    } else {
        "name"
    };
    (json!({ member: if client.is_empty() { "unknown" } else { client } }), network)
}

/// `dst_endpoint`: whom the caller wanted.
pub(super) fn destination(entry: &Entry) -> Option<Value> {
    let host = Host::of(entry);
    object([
        ("ip", host.address.map(|address| json!(address.to_string()))),
        ("hostname", host.hostname.and_then(text)),
        ("name", host.other.and_then(text)),
        ("port", host.port.map(|port| json!(port))),
    ])
    .filter(|_| host.address.is_some() || host.hostname.is_some() || host.other.is_some())
}

/// The host of a request: an address, a name, or what came instead of them.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
struct Host<'a> {
    address: Option<IpAddr>,
    hostname: Option<&'a str>,
    other: Option<&'a str>,
    port: Option<u16>,
}

impl<'a> Host<'a> {
    fn of(entry: &'a Entry) -> Self {
        entry.request.host.as_deref().map(Self::parse).unwrap_or_default()
    }

    fn parse(text: &'a str) -> Self {
        if is_pseudonym(text) {
            return Self { other: Some(text), ..Self::default() };
        }
        let (host, port) = match text.rsplit_once(':') {
            // Colons of an address without brackets are not before a port.
            Some((host, port)) if !host.contains(':') || host.ends_with(']') => (host, port.parse().ok()),
            _ => (text, None),
        };
        let bare = host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(host);
        if let Ok(address) = bare.parse() {
            return Self { address: Some(address), port, ..Self::default() };
        }
        let named = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '.' | '_');
        if !host.is_empty() && host.chars().all(named) && (port.is_some() || host.len() == text.len()) {
            return Self { hostname: Some(host), port, ..Self::default() };
        }
        Self { other: Some(text).filter(|text| !text.is_empty()), ..Self::default() }
    }
}

#[cfg(test)]
mod tests {
    use super::Host;

    #[test]
    fn a_host_is_an_address_a_name_or_neither() {
        let address = |text: &str, port| Host { address: Some(text.parse().unwrap()), port, ..Host::default() };
        let name = |text, port| Host { hostname: Some(text), port, ..Host::default() };
        let other = |text| Host { other: Some(text), ..Host::default() };
        for (text, host) in [
            ("", Host::default()),
            ("api.example.com", name("api.example.com", None)),
            ("localhost:3000", name("localhost", Some(3000))),
            ("127.0.0.1", address("127.0.0.1", None)),
            ("127.0.0.1:80", address("127.0.0.1", Some(80))),
            ("[2001:db8::1]:443", address("2001:db8::1", Some(443))),
            ("[2001:db8::1]", address("2001:db8::1", None)),
            ("2001:db8::1", address("2001:db8::1", None)),
            ("a b", other("a b")),
            ("a:99999", other("a:99999")),
            ("a\\u{fffd}", other("a\\u{fffd}")),
            (":80", other(":80")),
            ("h:443", other("h:443")),
        ] {
            assert_eq!(Host::parse(text), host, "{text}");
        }
    }
}
