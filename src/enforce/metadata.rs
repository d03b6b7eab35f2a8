//! The protected-resource metadata (RFC 9728): where a client learns whom the gate trusts, and what tokens it takes.

use serde_json::{Map, Value, json};

use super::Answer;
use super::answer::{DECISION_ID, field};
use super::asked::Asked;
use crate::bundle::Gate;
use crate::identity::{Deployment, PublicUrl};
use crate::request::Facts;

/// Its path (RFC 9728, section 3): the resource is the whole host, so nothing follows.
const PATH: &str = "/.well-known/oauth-protected-resource";

/// The resource: what callers use.
fn resource(facts: &Facts, deployment: &Deployment) -> PublicUrl {
    deployment.public_url.clone().unwrap_or_else(|| PublicUrl::of_request(facts))
}

/// Where the metadata stands.
pub(super) fn url(facts: &Facts, deployment: &Deployment) -> String {
    format!("{}{PATH}", resource(facts, deployment))
}

impl Answer {
    /// The protected-resource metadata (RFC 9728, section 2).
    ///
    /// SECURITY: it may be cached only where the deployment says what the resource is. Else the answer repeats the caller's
    /// own `Host`, and a cache that mixes hosts up would give one caller's to another.
    pub fn metadata(gate: &Gate, facts: &Facts, deployment: &Deployment, decision_id: &str) -> Self {
        let scopes: Vec<&str> = gate.policy().scopes().into_iter().collect();
        let body = document(&resource(facts, deployment).to_string(), &Asked::of(gate), &scopes);
        let cache = if deployment.public_url.is_some() { "public, max-age=300" } else { "no-store" };
        let headers = vec![field("content-type", "application/json"), field("cache-control", cache), field(DECISION_ID, decision_id)];
        Self::with_body(200, headers, body.to_string())
    }
}

/// The document. An array without elements is left out (RFC 9728, section 3.2).
fn document(resource: &str, asked: &Asked, scopes: &[&str]) -> Value {
    let Asked { authorization_servers, proof_algorithms, some_dpop: _, every_dpop, certificates } = asked;
    let mut document = Map::new();
    let mut set = |name: &str, value: Value| {
        if value.as_array().is_none_or(|array| !array.is_empty()) {
            document.insert(name.to_owned(), value);
        }
    };
    set("resource", json!(resource));
    set("authorization_servers", json!(authorization_servers));
    set("scopes_supported", json!(scopes));
    set("bearer_methods_supported", json!(["header"]));
    set("tls_client_certificate_bound_access_tokens", json!(certificates));
    set("dpop_signing_alg_values_supported", json!(proof_algorithms));
    set("dpop_bound_access_tokens_required", json!(every_dpop));
    Value::Object(document)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::{Asked, document};

    #[test]
    fn the_document_says_what_is_asked_and_leaves_out_what_is_empty() {
        let bare = document("https://a.example", &Asked::default(), &[]);
        assert_eq!(
            bare,
            json!({
                "resource": "https://a.example",
                "bearer_methods_supported": ["header"],
                "tls_client_certificate_bound_access_tokens": false,
                "dpop_bound_access_tokens_required": false,
            })
        );
        let asked = Asked {
            authorization_servers: vec!["https://id.example/".to_owned()],
            proof_algorithms: vec!["ES256".to_owned()],
            some_dpop: true,
            every_dpop: true,
            certificates: true,
        };
        assert_eq!(
            document("https://a.example", &asked, &["a", "b"]),
            json!({
                "resource": "https://a.example",
                "authorization_servers": ["https://id.example/"],
                "scopes_supported": ["a", "b"],
                "bearer_methods_supported": ["header"],
                "tls_client_certificate_bound_access_tokens": true,
                "dpop_signing_alg_values_supported": ["ES256"],
                "dpop_bound_access_tokens_required": true,
            })
        );
    }
}
