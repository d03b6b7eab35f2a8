//! What the origin receives, and what the client receives from it.

use super::names::{is_kept_from_client, is_kept_from_origin, listed_by_connection};
use super::{DECISION_ID, Destination};
use crate::audit::TraceIds;
use crate::bundle::Gate;
use crate::decision::Passage;
use crate::identity::Mtls;
use crate::request::{Facts, Method};

/// The field that tells an origin why policies denied what reaches it from a gate that only observes.
pub const OBSERVED_DENIAL: &str = "cedargate-observed-denial";

/// What the shell adds to a permit to carry it on.
#[derive(Debug)]
pub struct Onward<'a> {
    /// The decision's id.
    pub decision_id: &'a str,
    /// The gate that decided.
    pub gate: &'a Gate,
    /// The trace.
    pub trace: &'a TraceIds,
}

/// A request as the origin will see it, apart from its body.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Forwarded {
    /// The method that was decided on.
    pub method: Method,
    /// The bytes of path and query that were decided on.
    pub path_with_query: String,
    /// Where it goes.
    pub destination: Destination,
    /// All header fields.
    pub headers: Vec<(String, Vec<u8>)>,
    /// `content-length` of the request, when it names one.
    pub content_length: Option<u64>,
}

/// Turns the right to go on into the request for the origin. Takes it by value: it is used up.
///
/// Identity headers are written after everything a caller sent was filtered, so they are inserted or absent, never
/// passed through.
pub fn forward(passage: Passage, facts: &Facts, destination: Destination, onward: &Onward<'_>) -> Forwarded {
    let own: Vec<&str> = onward.gate.mtls().into_iter().flat_map(Mtls::own_fields).collect();
    let mut headers = passed_on(&facts.headers, &own);
    let mut set = |name: &str, value: &str| headers.push((name.to_owned(), value.as_bytes().to_vec()));
    set("cedargate-principal", &visible_ascii(passage.principal()));
    set(DECISION_ID, onward.decision_id);
    set("cedargate-policy-digest", onward.gate.policy_digest_text());
    // An origin that is told nothing else takes what arrives for allowed.
    if let Some(reason) = passage.denied() {
        set(OBSERVED_DENIAL, reason.code());
    }
    if let Some(client) = facts.client {
        set("x-forwarded-for", &client.to_string());
    }
    let host = match facts.port {
        Some(port) => format!("{}:{port}", facts.host),
        None => facts.host.clone(),
    };
    set("x-forwarded-host", &host);
    set("x-forwarded-proto", if facts.https { "https" } else { "http" });
    set("traceparent", &onward.trace.traceparent());
    if let Some(state) = onward.trace.tracestate() {
        set("tracestate", state);
    }
    Forwarded {
        method: passage.method(),
        path_with_query: passage.path_with_query().to_owned(),
        destination,
        content_length: facts.header("content-length").and_then(|value| value.parse().ok()),
        headers,
    }
}

/// What of a caller's fields, named in lower case, goes on. `own` are fields of the gate's configuration that never do.
fn passed_on(headers: &[(String, Vec<u8>)], own: &[&str]) -> Vec<(String, Vec<u8>)> {
    let listed = listed_by_connection(headers);
    let kept = |name: &String| is_kept_from_origin(name, own.iter().copied()) || listed.contains(name);
    headers.iter().filter(|(name, _)| !kept(name)).cloned().collect()
}

/// The origin's response fields as the client sees them.
pub fn response_headers(origin: Vec<(String, Vec<u8>)>, decision_id: &str) -> Vec<(String, Vec<u8>)> {
    let listed = listed_by_connection(&origin);
    let mut headers: Vec<_> =
        origin.into_iter().filter(|(name, _)| !is_kept_from_client(name) && !listed.contains(&name.to_ascii_lowercase())).collect();
    headers.push((DECISION_ID.to_owned(), decision_id.as_bytes().to_vec()));
    headers
}

/// `text` with everything but visible ASCII and spaces written as Cedar escapes it (`\u{…}`), so that any principal fits a
/// header field. Cedar's own form already escapes `"` and `\`, so two principals never become the same text.
fn visible_ascii(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        if c.is_ascii_graphic() || c == ' ' { out.push(c) } else { out.extend(c.escape_unicode()) }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::{is_kept_from_client, is_kept_from_origin, passed_on, response_headers, visible_ascii};

    #[test]
    fn what_only_the_gate_may_say_does_not_pass_through() {
        for name in [
            "Cedargate-Principal",
            "cedargate_principal",
            "cedargate-anything",
            "spin-client-addr",
            "spin_client_addr",
            "client-cert",
            "client-cert-chain",
            "x-forwarded-client-cert",
            "Client_Cert",
            "ssl-client-cert",
            "SSL_CLIENT_VERIFY",
            "x-ssl-client-cert",
            "x-ssl-client-s-dn",
            "x-amzn-mtls-clientcert",
            "x-amzn-mtls-clientcert-leaf",
            "x-client-cert-fingerprint",
            "X-Forwarded-For",
            "x_forwarded_for",
            "forwarded",
            "x-real-ip",
            "transfer-encoding",
            "te",
            "upgrade",
            "x-http-method-override",
            "x-original-url",
            "traceparent",
        ] {
            assert!(is_kept_from_origin(name, [].into_iter()), "{name}");
        }
        for name in
            ["accept", "authorization", "cookie", "content-type", "content-length", "x-request-id", "range", "x-forward", "client", "spin"]
        {
            assert!(!is_kept_from_origin(name, [].into_iter()), "{name}");
        }
    }

    #[test]
    fn the_fields_of_the_configuration_do_not_pass_through_in_any_spelling() {
        let field = |name: &str| (name.to_owned(), b"1".to_vec());
        let all = ["x-edge-secret", "x_edge_secret", "x-edge_secret", "x-cert", "x-edge-secret-2"].map(field);
        assert_eq!(passed_on(&all, &["x-edge-secret", "X_Cert"]), [field("x-edge-secret-2")]);
        assert_eq!(passed_on(&all, &[]).len(), all.len());
    }

    #[test]
    fn what_connection_lists_does_not_pass_through() {
        let field = |name: &str, value: &str| (name.to_owned(), value.as_bytes().to_vec());
        let all = [field("connection", "close, X-Listed"), field("x-listed", "1"), field("connection", "x-too"), field("x-too", "2")];
        assert_eq!(
            passed_on(&[&all[..], &[field("x-kept", "3"), field("cedargate-principal", "4")]].concat(), &[]),
            [field("x-kept", "3")]
        );
    }

    #[test]
    fn an_origin_cannot_speak_for_the_gate_or_send_clients_past_it() {
        for name in ["cedargate-decision-id", "alt-svc", "connection", "transfer-encoding"] {
            assert!(is_kept_from_client(name), "{name}");
        }
        let headers = response_headers(
            vec![("Connection".into(), b"X-Inner, close".to_vec()), ("x-inner".into(), b"1".to_vec()), ("etag".into(), b"2".to_vec())],
            "id",
        );
        assert_eq!(headers, [("etag".to_owned(), b"2".to_vec()), ("cedargate-decision-id".to_owned(), b"id".to_vec())]);
    }

    #[test]
    fn a_principal_fits_a_header() {
        assert_eq!(visible_ascii("Gate::User::\"dev/Zoë\""), "Gate::User::\"dev/Zo\\u{eb}\"");
    }
}
