//! Responses the gate gives itself.

use serde_json::json;

use crate::bundle::Gate;
use crate::decision::{Decision, Reason, UnixTime};
use crate::identity::Deployment;
use crate::request::{Facts, Method};

/// The field every response through the gate carries, so that a caller can name a decision to an auditor.
pub const DECISION_ID: &str = "cedargate-decision-id";

/// The protection space of challenges (RFC 9110, section 11.5).
const REALM: &str = "cedargate";

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

/// What challenges are made from (RFC 9110, section 11.6.1).
#[derive(Debug, Clone, Copy)]
pub struct Challenge<'a> {
    /// The gate.
    pub gate: &'a Gate,
    /// The request.
    pub facts: &'a Facts,
    /// What the deployment says: the public URL, and what nonces are keyed with.
    pub deployment: &'a Deployment,
    /// The time.
    pub now: UnixTime,
}

impl Answer {
    /// The response to a denied request: constant in shape, so that an unknown and a forbidden resource look alike.
    ///
    /// `challenge` is what a challenge is made from; `None` where the request was not understood.
    pub fn denial(decision: &Decision, _challenge: Option<&Challenge<'_>>, decision_id: &str) -> Self {
        let reason = decision.reason();
        let missing_scope: &[String] = match (&decision.verdict, reason) {
            (Some(verdict), Reason::PolicyInsufficientScope) => &verdict.missing_scope,
            _ => &[],
        };
        Self::problem(reason, decision.status, missing_scope, decision_id)
    }

    /// The response for a reason that is not a decision of a policy: a fault of the origin, an endpoint that is not there.
    pub fn fault(reason: Reason, decision_id: &str) -> Self {
        Self::problem(reason, reason.status(), &[], decision_id)
    }

    /// The response to a request for something the gate does not serve at an endpoint of its own; `allow` names the methods
    /// it would take.
    pub fn not_served(reason: Reason, _allow: &str, decision_id: &str) -> Self {
        Self::fault(reason, decision_id)
    }

    /// The protected-resource metadata (RFC 9728, section 2).
    pub fn metadata(_gate: &Gate, _facts: &Facts, _deployment: &Deployment, decision_id: &str) -> Self {
        Self::fault(Reason::GateNotFound, decision_id)
    }

    fn problem(reason: Reason, status: u16, missing_scope: &[String], decision_id: &str) -> Self {
        let code = match (status, reason.public()) {
            // Whatever the reason, without a credential the answer is the same.
            (401, public) if public != "invalid_token" => "unauthenticated",
            (_, public) => public,
        };
        let body = json!({
            "type": "about:blank",
            "title": title(status),
            "status": status,
            "code": code,
            "decision_id": decision_id,
        });
        let mut headers =
            vec![field("content-type", "application/problem+json"), field("cache-control", "no-store"), field(DECISION_ID, decision_id)];
        match (status, code) {
            // RFC 6750, section 3.1: no error code when the request carried no credential.
            (401, "unauthenticated") => headers.push(field("www-authenticate", &format!(r#"Bearer realm="{REALM}""#))),
            (401, _) => headers.push(field("www-authenticate", &format!(r#"Bearer realm="{REALM}", error="invalid_token""#))),
            (403, "insufficient_scope") => {
                let scope = missing_scope.join(" ");
                headers.push(field("www-authenticate", &format!(r#"Bearer realm="{REALM}", error="insufficient_scope", scope="{scope}""#)));
            }
            (405, "method_not_allowed") => headers.push(field("allow", "GET, HEAD")),
            (405, _) => headers.push(field("allow", &Method::ALL.map(Method::as_str).join(", "))),
            _ => {}
        }
        Self::with_body(status, headers, body.to_string())
    }

    /// The health answer: what is sealed in, without any policy text.
    pub fn health(gate: &Gate, decision_id: &str) -> Self {
        let body = json!({
            "status": "ok",
            "version": env!("CARGO_PKG_VERSION"),
            "policy_digest": gate.policy_digest().to_string(),
            "schema_digest": gate.schema_digest().to_string(),
            "policies": gate.policy().len(),
        });
        let headers = vec![field("content-type", "application/json"), field("cache-control", "no-store"), field(DECISION_ID, decision_id)];
        Self::with_body(200, headers, body.to_string())
    }

    fn with_body(status: u16, mut headers: Vec<(String, Vec<u8>)>, body: String) -> Self {
        headers.push(field("content-length", &body.len().to_string()));
        Self { status, headers, body: body.into_bytes() }
    }
}

fn field(name: &str, value: &str) -> (String, Vec<u8>) {
    (name.to_owned(), value.as_bytes().to_vec())
}

/// The reason phrase of the statuses the gate uses (RFC 9110, section 15; RFC 6585): RFC 9457 asks for it beside `about:blank`.
fn title(status: u16) -> &'static str {
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
    use crate::identity::Identity;
    use crate::policy::Verdict;

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
    fn challenges_follow_rfc_6750() {
        let verdict = |missing_scope: &[&str]| Verdict {
            allow: false,
            determining: vec![],
            errors: vec![],
            principal: String::new(),
            action: String::new(),
            resource: String::new(),
            missing_scope: missing_scope.iter().map(|s| (*s).to_owned()).collect(),
        };
        let anonymous = Decision {
            identity: Identity::Anonymous,
            credentials: vec![],
            verdict: Some(verdict(&[])),
            outcome: Err(Reason::PolicyForbid.into()),
            status: 401,
        };
        let answer = Answer::denial(&anonymous, None, "id");
        assert_eq!(header(&answer, "www-authenticate"), Some(r#"Bearer realm="cedargate""#));
        assert!(String::from_utf8_lossy(&answer.body).contains(r#""code":"unauthenticated""#));
        let scope = Decision {
            identity: Identity::Anonymous,
            credentials: vec![],
            verdict: Some(verdict(&["a", "b"])),
            outcome: Err(Reason::PolicyInsufficientScope.into()),
            status: 403,
        };
        assert_eq!(
            header(&Answer::denial(&scope, None, "id"), "www-authenticate"),
            Some(r#"Bearer realm="cedargate", error="insufficient_scope", scope="a b""#)
        );
    }
}
