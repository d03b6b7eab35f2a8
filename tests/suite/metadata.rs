//! The protected-resource metadata (RFC 9728), and the challenge that leads to it.

use serde_json::json;

use super::support::client::{Request, Response};
use super::support::gate::{Expect, Gate, Setup, bundle, gate};
use super::support::origin::Origin;
use super::support::token::{DEV_ISS, PARTNER_ISS, Token};

const PATH: &str = "/.well-known/oauth-protected-resource";

fn own_gate(public_url: &str) -> Gate {
    Setup::new(&bundle()).variable("public_url", public_url).start(&Origin::start(([127, 0, 0, 1], 0).into()))
}

/// A parameter of the `Bearer` challenge of a response.
fn parameter(response: &Response, name: &str) -> Option<String> {
    let challenge = response.challenge("Bearer").unwrap();
    let (_, rest) = challenge.split_once(&format!("{name}=\""))?;
    Some(rest.split('"').next().unwrap().to_owned())
}

#[test]
fn the_metadata_says_whom_the_gate_trusts_and_never_reaches_the_origin() {
    let request = Request::get(PATH);
    let response = request.send(gate().addr);
    assert_eq!(response.status, 200, "{response:?}");
    assert_eq!(response.header("content-type"), Some("application/json"));
    assert_eq!(response.header("content-length"), Some(response.body.len().to_string().as_str()));
    let metadata = response.json();
    let servers: Vec<&str> = metadata["authorization_servers"].as_array().unwrap().iter().map(|iss| iss.as_str().unwrap()).collect();
    assert!(servers.is_sorted() && servers.contains(&DEV_ISS) && servers.contains(&PARTNER_ISS), "{servers:?}");
    assert_eq!(metadata["scopes_supported"], json!(["documents.write", "orders.write"]));
    assert_eq!(metadata["bearer_methods_supported"], json!(["header"]));
    assert_eq!(metadata["dpop_bound_access_tokens_required"], json!(false));
    assert!(metadata["dpop_signing_alg_values_supported"].as_array().unwrap().contains(&json!("ES256")), "{metadata}");
    assert!(gate().origin.seen(&request.id).is_empty());
    if let Some(record) = gate().record_of(&response) {
        assert_eq!((&record["decision"], &record["reason"]), (&"allow".into(), &"gate.metadata".into()));
        assert_eq!((&record["identity"], &record["credentials"]), (&json!(null), &json!([])));
    }
    // Nobody needs a credential for it, and none is looked at.
    assert_eq!(Request::get(PATH).bearer("nonsense").send(gate().addr).status, 200);
}

#[test]
fn head_is_answered_like_get_without_a_body() {
    let (get, head) = (Request::get(PATH).send(gate().addr), Request::new("HEAD", PATH).send(gate().addr));
    assert_eq!((head.status, head.body.len()), (200, 0));
    assert_eq!(head.header("content-length"), Some(get.body.len().to_string().as_str()));
    assert_eq!(head.header("content-type"), get.header("content-type"));
}

#[test]
fn nothing_else_is_served_there() {
    let token = Token::dev(gate().now(), "root").groups(&["admins"]).make();
    let post = gate().check("POST", &Request::new("POST", PATH), &Expect::refused(405, "gate.method_not_allowed"));
    assert_eq!(post.response.header("allow"), Some("GET, HEAD"));
    assert_eq!(post.response.code(), "method_not_allowed");
    let below = Request::get("/.well-known/oauth-protected-resource/api").bearer(&token);
    let below = gate().check("below", &below, &Expect::refused(404, "gate.not_found"));
    assert_eq!((below.response.header("allow"), below.response.code().as_str()), (None, "not_found"));
    let revocations = Request::get("/.well-known/cedargate/revocations").bearer(&token);
    let revocations = gate().check("GET of another", &revocations, &Expect::refused(405, "gate.method_not_allowed"));
    assert_eq!(revocations.response.header("allow"), Some("POST, DELETE"));
    let neighbour = Request::get("/.well-known/oauth-protected-resources").bearer(&token);
    gate().check("a neighbour is the origin's, and nobody may", &neighbour, &Expect::denied(403));
}

#[test]
fn the_challenge_leads_to_the_metadata() {
    let gate = Setup::new(&bundle()).start(&Origin::start(([127, 0, 0, 1], 0).into()));
    let denied = gate.check("anonymous", &Request::get("/api/documents/1"), &Expect::denied(401)).response;
    let url = parameter(&denied, "resource_metadata").unwrap();
    assert_eq!(url, format!("http://api.example.com{PATH}"));
    let metadata = Request::get(url.strip_prefix("http://api.example.com").unwrap()).send(gate.addr);
    assert_eq!(metadata.json()["resource"], "http://api.example.com");
    // What a caller's own `Host` made is nothing for a cache.
    assert_eq!(metadata.header("cache-control"), Some("no-store"));
    let other = Request::get("/api/documents/1").host(Some("Other.Example:8443")).send(gate.addr);
    assert_eq!(parameter(&other, "resource_metadata").unwrap(), format!("http://other.example:8443{PATH}"));
}

#[test]
fn the_public_url_of_the_deployment_outweighs_what_the_gate_sees() {
    let gate = own_gate("https://api.corp.example");
    let denied = gate.check("anonymous", &Request::get("/api/documents/1").host(Some("inner.example")), &Expect::denied(401)).response;
    assert_eq!(parameter(&denied, "resource_metadata").unwrap(), format!("https://api.corp.example{PATH}"));
    let expired = Request::get("/api/documents/1").bearer(&Token::dev(gate.now() - 100_000, "alice").make());
    let expired = gate.check("expired", &expired, &Expect::refused(401, "jwt.expired")).response;
    assert_eq!(parameter(&expired, "resource_metadata").unwrap(), format!("https://api.corp.example{PATH}"));
    assert_eq!(parameter(&expired, "error").unwrap(), "invalid_token");
    let metadata = Request::get(PATH).host(Some("inner.example")).send(gate.addr);
    assert_eq!(metadata.json()["resource"], "https://api.corp.example");
    assert_eq!(metadata.header("cache-control"), Some("public, max-age=300"));
}

#[test]
fn issuers_that_want_proofs_are_seen_in_metadata_and_challenges() {
    let mut bundle = bundle();
    let issuers = std::str::from_utf8(bundle.get("keys/issuers.toml").unwrap()).unwrap();
    let issuers = issuers.replace("prefix = \"dev/\"", "prefix = \"dev/\"\nrequire_dpop = true");
    bundle.insert("keys/issuers.toml", format!("{issuers}\n[dpop]\nalgorithms = [\"ES256\", \"EdDSA\"]\nnonce = \"required\"\n"));
    let gate = Setup::new(&bundle)
        .variable("dpop_nonce_secret", "the nonce secret of the suite")
        .start(&Origin::start(([127, 0, 0, 1], 0).into()));

    let anonymous = gate.check("anonymous", &Request::get("/api/documents/1"), &Expect::denied(401)).response;
    let [bearer, dpop] = &*anonymous.all("www-authenticate") else { panic!("{anonymous:?}") };
    assert!(bearer.starts_with(r#"Bearer realm="cedargate", resource_metadata=""#), "{bearer}");
    let algorithms = dpop.split("algs=\"").nth(1).unwrap().split('"').next().unwrap();
    let mut algorithms: Vec<&str> = algorithms.split(' ').collect();
    algorithms.sort_unstable();
    assert!(dpop.starts_with("DPoP realm=") && !dpop.contains("error") && algorithms == ["ES256", "EdDSA"], "{dpop}");
    assert_eq!(anonymous.header("dpop-nonce"), None);

    // A token that should be bound and is not, as `Bearer`: the error is of that scheme.
    let token = Token::dev(gate.now(), "alice").groups(&["readers"]).make();
    let unbound = Request::get("/api/documents/1").bearer(&token);
    let unbound = gate.check("unbound", &unbound, &Expect::refused(401, "jwt.binding_missing")).response;
    let [bearer, dpop] = &*unbound.all("www-authenticate") else { panic!("{unbound:?}") };
    assert!(bearer.contains(r#"error="invalid_token""#) && dpop.starts_with("DPoP ") && !dpop.contains("error"), "{unbound:?}");

    // The other way round for one that came as `DPoP`.
    let nonsense = Request::get("/api/documents/1").header("Authorization", "dpop nonsense").header("DPoP", "nonsense");
    let nonsense = gate.check("nonsense", &nonsense, &Expect::denied(401)).response;
    let [dpop, bearer] = &*nonsense.all("www-authenticate") else { panic!("{nonsense:?}") };
    assert!(dpop.starts_with("DPoP ") && dpop.contains(r#"error="invalid_token""#) && !bearer.contains("error"), "{nonsense:?}");

    let metadata = Request::get(PATH).send(gate.addr).json();
    let mut supported: Vec<String> = serde_json::from_value(metadata["dpop_signing_alg_values_supported"].clone()).unwrap();
    supported.sort_unstable();
    assert_eq!(supported, ["ES256", "EdDSA"]);
    // The other issuer's tokens still do without.
    assert_eq!(metadata["dpop_bound_access_tokens_required"], json!(false));
}
