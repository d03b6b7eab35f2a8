//! Responses the gate gives itself.

use serde::Serialize;
use serde_json::json;

use super::challenge::{self, Challenge};
use crate::bundle::Gate;
use crate::decision::{Decision, Mode, Reason};
use crate::request::Method;

/// The field every response through the gate carries, so that a caller can name a decision to an auditor.
pub const DECISION_ID: &str = "cedargate-decision-id";

/// A complete response of the gate's own. Always with `content-length`: without it a response goes out chunked, which
/// costs up to 44 ms with instance reuse.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Answer {
    /// The status code.
    pub status: u16,
    /// Header fields, names in lower case.
    pub headers: Vec<(String, Vec<u8>)>,
    /// The body; empty for none.
    pub body: Vec<u8>,
}

impl Answer {
    /// The response to a denied request: constant in shape, so that an unknown and a forbidden resource look alike.
    ///
    /// `challenge` is what a challenge is made from; `None` where the request was not understood.
    pub fn denial(decision: &Decision, challenge: Option<&Challenge<'_>>, decision_id: &str) -> Self {
        let mut headers = allowed(decision.reason());
        headers.extend(challenge::fields(decision, challenge).into_iter().map(|(name, value)| field(name, &value)));
        Self::problem(decision.reason(), decision.status, headers, decision_id)
    }

    /// The response for a reason that is not a decision of a policy: a fault of the origin, a body the gate cannot read.
    pub fn fault(reason: Reason, decision_id: &str) -> Self {
        Self::problem(reason, reason.status(), allowed(reason), decision_id)
    }

    /// The response to a request for something the gate does not serve at an endpoint of its own; `allow` names the methods
    /// it would take.
    pub fn not_served(reason: Reason, allow: &str, decision_id: &str) -> Self {
        // RFC 9110, section 15.5.6: with 405 always, whatever it names.
        let headers = if reason.status() == 405 { vec![field("allow", allow)] } else { vec![] };
        Self::problem(reason, reason.status(), headers, decision_id)
    }

    fn problem(reason: Reason, status: u16, more: Vec<(String, Vec<u8>)>, decision_id: &str) -> Self {
        let body = Problem { kind: "about:blank", title: title(status), status, code: public_code(reason, status), decision_id };
        let mut headers =
            vec![field("content-type", "application/problem+json"), field("cache-control", "no-store"), field(DECISION_ID, decision_id)];
        headers.extend(more);
        // Text and a number always serialise.
        Self::with_body(status, headers, serde_json::to_string(&body).unwrap_or_default())
    }

    /// The health answer: what is sealed in, without any policy text.
    pub fn health(gate: &Gate, mode: Mode, decision_id: &str) -> Self {
        let body = json!({
            "status": "ok",
            "version": env!("CARGO_PKG_VERSION"),
            "policy_digest": gate.policy_digest_text(),
            "schema_digest": gate.schema_digest_text(),
            "policies": gate.policy().len(),
            "mode": mode.as_str(),
        });
        let headers = vec![field("content-type", "application/json"), field("cache-control", "no-store"), field(DECISION_ID, decision_id)];
        Self::with_body(200, headers, body.to_string())
    }

    pub(super) fn with_body(status: u16, mut headers: Vec<(String, Vec<u8>)>, body: String) -> Self {
        headers.push(field("content-length", &body.len().to_string()));
        Self { status, headers, body: body.into_bytes() }
    }
}

/// A problem document (RFC 9457).
#[derive(Serialize)]
struct Problem<'a> {
    #[serde(rename = "type")]
    kind: &'a str,
    title: &'a str,
    status: u16,
    code: &'a str,
    decision_id: &'a str,
}

/// The code a caller sees with this status. Whatever the reason, without a credential the answer is the same.
pub(super) fn public_code(reason: Reason, status: u16) -> &'static str {
    if status == 401 && reason.status() != 401 { "unauthenticated" } else { reason.public() }
}

pub(super) fn field(name: &str, value: &str) -> (String, Vec<u8>) {
    (name.to_owned(), value.as_bytes().to_vec())
}

/// The methods there are, for a request with another one.
fn allowed(reason: Reason) -> Vec<(String, Vec<u8>)> {
    if reason.status() != 405 {
        return vec![];
    }
    vec![field("allow", &Method::ALL.map(Method::as_str).join(", "))]
}

/// The reason phrase of the statuses the gate uses (RFC 9110, section 15; RFC 6585): RFC 9457 asks for it beside `about:blank`.
pub(super) fn title(status: u16) -> &'static str {
    match status {
        400 => "Bad Request",
        401 => "Unauthorized",
        403 => "Forbidden",
        404 => "Not Found",
        405 => "Method Not Allowed",
        411 => "Length Required",
        413 => "Content Too Large",
        414 => "URI Too Long",
        431 => "Request Header Fields Too Large",
        500 => "Internal Server Error",
        502 => "Bad Gateway",
        503 => "Service Unavailable",
        504 => "Gateway Timeout",
        _ => "Denied",
    }
}

#[cfg(test)]
mod tests {
    use super::Answer;
    use crate::decision::{Decision, Denial, Reason};

    fn header<'a>(answer: &'a Answer, name: &str) -> Option<&'a str> {
        answer.headers.iter().find(|(n, _)| n == name).map(|(_, v)| std::str::from_utf8(v).unwrap())
    }

    #[test]
    fn a_refused_token_learns_nothing_but_invalid_token() {
        let bodies: std::collections::BTreeSet<_> = [Reason::JwtExpired, Reason::JwtSignatureInvalid, Reason::AuthMalformed]
            .map(|reason| Answer::denial(&Decision::denied(Denial::new(reason, "inner detail")), None, "id").body)
            .into();
        assert_eq!(bodies.len(), 1);
        assert!(!String::from_utf8(bodies.into_iter().next().unwrap()).unwrap().contains("inner"));
    }

    #[test]
    fn every_denial_is_complete() {
        for reason in Reason::ALL.iter().filter(|r| r.status() >= 400) {
            let answer = Answer::denial(&Decision::denied((*reason).into()), None, "id");
            assert_eq!(header(&answer, "content-length").unwrap(), answer.body.len().to_string());
            assert_eq!(header(&answer, "cache-control"), Some("no-store"));
            assert_eq!(header(&answer, "content-type"), Some("application/problem+json"));
            assert_eq!(
                header(&answer, "www-authenticate").is_some(),
                matches!(answer.status, 401) || *reason == Reason::PolicyInsufficientScope
            );
            assert_eq!(header(&answer, "allow").is_some(), answer.status == 405);
            assert_ne!(super::title(answer.status), "Denied", "{}", answer.status);
        }
    }

    #[test]
    fn without_a_credential_every_reason_looks_the_same() {
        let anonymous = |reason: Reason| Decision { status: 401, ..Decision::denied(reason.into()) };
        let answers: Vec<_> = [Reason::PolicyForbid, Reason::PolicyNoPermit, Reason::PolicyInsufficientScope, Reason::PolicyError]
            .map(|reason| Answer::denial(&anonymous(reason), None, "id"))
            .into();
        assert!(answers.windows(2).all(|pair| pair[0] == pair[1]), "{answers:?}");
        assert_eq!(header(&answers[0], "www-authenticate"), Some(r#"Bearer realm="cedargate""#));
        assert!(String::from_utf8_lossy(&answers[0].body).contains(r#""code":"unauthenticated""#));
    }

    #[test]
    fn what_is_not_served_names_the_methods_that_are() {
        let method = Answer::not_served(Reason::GateMethodNotAllowed, "POST, DELETE", "id");
        assert_eq!((method.status, header(&method, "allow")), (405, Some("POST, DELETE")));
        let other = Answer::not_served(Reason::GateNotFound, "", "id");
        assert_eq!((other.status, header(&other, "allow")), (404, None));
    }
}
