//! What a caller sees of a decision.

use std::io::{Read, Write};
use std::net::TcpStream;

use super::support::client::{Request, parse};
use super::support::gate::{Expect, gate};
use super::support::token::Token;

const PATH: &str = "/api/documents/1";

/// The names of an object's members, sorted.
fn members(object: &serde_json::Value) -> Vec<String> {
    let mut names: Vec<String> = object.as_object().unwrap().keys().cloned().collect();
    names.sort();
    names
}

#[test]
fn without_a_credential_the_answer_is_401_without_an_error_code() {
    let answer = gate().check("anonymous", &Request::get(PATH), &Expect::denied(401));
    let challenge = answer.response.challenge("Bearer").unwrap();
    assert!(challenge.starts_with(r#"Bearer realm="cedargate", resource_metadata=""#), "{challenge}");
    assert_eq!(answer.response.code(), "unauthenticated");
}

#[test]
fn with_a_good_credential_that_may_not_the_answer_is_403() {
    let token = Token::dev(gate().now(), "alice").groups(&["readers"]).make();
    let answer = gate().check("delete", &Request::new("DELETE", PATH).bearer(&token), &Expect::denied(403));
    assert!(answer.response.header("www-authenticate").is_none() || answer.response.code() == "insufficient_scope");
}

#[test]
fn a_denial_has_one_shape_and_tells_no_more_than_it_must() {
    let token = Token::dev(gate().now(), "carol").make();
    // The one document exists in the sealed entities, the other does not: nobody may see which.
    let known = gate().check("known", &Request::get("/api/documents/2").bearer(&token), &Expect::denied(403)).response;
    let unknown =
        gate().check("unknown", &Request::get("/api/documents/no-such").bearer(&token), &Expect::refused(403, "policy.no_permit")).response;
    let nowhere = gate().check("nowhere", &Request::get("/no/such/place").bearer(&token), &Expect::denied(403)).response;
    let shape = |r: &super::support::client::Response| {
        let mut body = r.json();
        body["decision_id"] = "".into();
        let names: Vec<String> = r.headers.iter().map(|(n, _)| n.clone()).collect();
        (r.status, body, names, r.body.len())
    };
    assert_eq!(shape(&known), shape(&unknown));
    assert_eq!(shape(&known), shape(&nowhere));
    assert_eq!(known.header("content-type"), Some("application/problem+json"));
    assert_eq!(known.header("cache-control"), Some("no-store"));
    assert_eq!(known.header("content-length"), Some(known.body.len().to_string().as_str()));
    assert_eq!(members(&known.json()), ["code", "decision_id", "status", "title", "type"]);
    assert_eq!(known.json()["decision_id"].as_str(), known.header("cedargate-decision-id"));
}

/// Under Spin a head that goes out alone keeps its body waiting for 40 ms.
#[test]
fn a_denial_comes_in_one_piece_also_when_its_token_was_new() {
    let mut stream = TcpStream::connect(gate().addr).unwrap();
    stream.set_nodelay(true).unwrap();
    for subject in ["one", "two", "three", "four", "five", "six"] {
        let token = Token::dev(gate().now(), subject).groups(&["readers"]).make();
        stream.write_all(&Request::new("DELETE", PATH).bearer(&token).kept_open()).unwrap();
        let mut piece = [0; 16 * 1024];
        let read = stream.read(&mut piece).unwrap();
        let answer = parse(&piece[..read], false);
        assert_eq!((answer.status, answer.header("content-length")), (403, Some(answer.body.len().to_string().as_str())));
        assert_eq!(members(&answer.json()), ["code", "decision_id", "status", "title", "type"]);
    }
}

#[test]
fn a_missing_scope_is_named() {
    let writer = Token::dev(gate().now(), "bob").groups(&["writers"]);
    let put = |token: &Token| Request::new("PUT", PATH).bearer(&token.make()).body("{}");
    gate().check("control", &put(&writer.clone().scope("documents.write")), &Expect::allowed());
    let answer = gate().check("no scope", &put(&writer), &Expect::refused(403, "policy.insufficient_scope"));
    let challenge = answer.response.challenge("Bearer").unwrap();
    let expected = r#"Bearer realm="cedargate", error="insufficient_scope", scope="documents.write", resource_metadata=""#;
    assert!(challenge.starts_with(expected), "{challenge}");
}

#[test]
fn a_forbid_ends_what_a_permit_allowed() {
    let token = |who: &str| Token::dev(gate().now(), who).groups(&["readers"]).make();
    gate().check("control", &Request::get(PATH).bearer(&token("alice")), &Expect::allowed());
    let answer = gate().check("suspended", &Request::get(PATH).bearer(&token("mallory")), &Expect::refused(403, "policy.forbid"));
    answer.with_record(|record| {
        assert!(!record["policies"].as_array().unwrap().is_empty());
        assert!(record["policies"][0]["reason"].is_string(), "{record}");
    });
    // To the caller a forbid and a missing permit are the same.
    assert_eq!(answer.response.code(), "forbidden");
}

#[test]
fn head_is_answered_like_get_without_a_body() {
    let token = Token::dev(gate().now(), "alice").groups(&["readers"]).make();
    gate().check("allowed", &Request::new("HEAD", PATH).bearer(&token), &Expect::allowed());
    let denied = Request::new("HEAD", PATH).send(gate().addr);
    assert_eq!((denied.status, denied.body.len()), (401, 0));
}

#[test]
fn health_tells_what_is_sealed_and_never_reaches_the_origin() {
    let request = Request::get("/.well-known/cedargate/health");
    let response = request.send(gate().addr);
    assert_eq!(response.status, 200);
    let health = response.json();
    assert_eq!(members(&health), ["mode", "policies", "policy_digest", "schema_digest", "status", "version"]);
    assert_eq!(health["status"], "ok");
    assert_eq!(health["policy_digest"].as_str().unwrap().len(), 64);
    assert!(health["policies"].as_u64().unwrap() > 10);
    assert!(gate().origin.seen(&request.id).is_empty());

    let token = Token::dev(gate().now(), "root").groups(&["admins"]).make();
    gate().check(
        "nothing else there",
        &Request::get("/.well-known/cedargate/other").bearer(&token),
        &Expect::refused(404, "gate.not_found"),
    );
    gate().check("nor itself", &Request::get("/.well-known/cedargate").bearer(&token), &Expect::refused(404, "gate.not_found"));
    gate().check("only GET", &Request::new("POST", "/.well-known/cedargate/health"), &Expect::refused(405, "gate.method_not_allowed"));
    let neighbour = Request::get("/.well-known/cedargate2").bearer(&token);
    gate().check("a neighbour is the origin's, and nobody may", &neighbour, &Expect::denied(403));
}
