//! Several credentials at once: what contradicts itself is refused, and the record says what became of each.

use serde_json::{Value, json};

use super::mtls::{off, origin};
use super::support::client::Request;
use super::support::gate::{Expect, Setup, gate};
use super::support::token::Token;

const PATH: &str = "/api/documents/1";

fn alice() -> Token {
    Token::dev(gate().now(), "alice").groups(&["readers"])
}

/// Kind, fate and reason of each credential.
pub fn fates(record: &Value) -> Vec<(&str, &str, &str)> {
    let credentials = record["credentials"].as_array().unwrap();
    credentials
        .iter()
        .map(|c| (c["kind"].as_str().unwrap(), c["fate"].as_str().unwrap(), c["reason"].as_str().unwrap_or_default()))
        .collect()
}

#[test]
fn credentials_that_contradict_each_other_are_refused() {
    gate().check("control", &Request::get(PATH).bearer(&alice().make()), &Expect::allowed());
    let alone = Request::get(PATH).header("DPoP", "a.b.c");
    let alone = gate().check("a proof without a token", &alone, &Expect::refused(400, "request.credentials_conflict"));
    assert!(alone.response.header("www-authenticate").is_none());
    alone.with_record(|record| {
        assert_eq!(fates(record), [("dpop_proof", "refused", "request.credentials_conflict")]);
        assert_eq!((&record["identity"], &record["certificate"]), (&Value::Null, &Value::Null));
    });
    // A public path is no exception: what is presented and fails is never left aside.
    let public = Request::get("/health").header("DPoP", "a.b.c");
    gate().check("on a public path", &public, &Expect::refused(400, "request.credentials_conflict"));
    gate().check("control on it", &Request::get("/health"), &Expect::allowed());
}

#[test]
fn a_credential_that_comes_twice_is_refused() {
    let token = alice().make();
    gate().check("control", &Request::get(PATH).bearer(&token), &Expect::allowed());
    let twice = Request::get(PATH).bearer(&token).bearer(&token);
    gate().check("two tokens", &twice, &Expect::refused(400, "request.authorization_repeated"));
    let proofs = Request::get(PATH).bearer(&token).header("DPoP", "a.b.c").header("DPoP", "a.b.c");
    gate().check("two proofs", &proofs, &Expect::refused(400, "request.dpop_repeated"));
}

#[test]
fn the_record_says_what_became_of_each_credential() {
    let expired = Token::dev(gate().now() - 100_000, "alice").make();
    let request = Request::get(PATH).header("Authorization", format!("DPoP {expired}")).header("DPoP", "a.b.c");
    let answer = gate().check("an expired token with a proof", &request, &Expect::refused(401, "jwt.expired"));
    answer.with_record(|record| {
        assert_eq!(fates(record), [("token", "refused", "jwt.expired"), ("dpop_proof", "ignored", "")]);
        assert_eq!(record["credentials"][1]["detail"], "its token was refused");
        let line = record.to_string();
        assert!(!line.contains("a.b.c") && expired.split('.').all(|part| !line.contains(part)), "{line}");
    });
    let anonymous = gate().check("none", &Request::get(PATH), &Expect::denied(401));
    anonymous.with_record(|record| assert_eq!(record["credentials"], json!([])));
    // Denied by policy: the credential was good all the same.
    let denied =
        gate().check("denied", &Request::new("DELETE", PATH).bearer(&Token::dev(gate().now(), "bob").make()), &Expect::denied(403));
    denied.with_record(|record| assert_eq!(fates(record), [("token", "verified", "")]));
}

#[test]
fn a_certificate_in_a_field_is_nothing_while_certificates_are_off() {
    let fields = [
        ("Client-Cert", ":AAAA:"),
        ("client_cert_chain", ":AAAA:"),
        ("X-Forwarded-Client-Cert", "Hash=00"),
        ("ssl-client-cert", "x"),
        ("X_SSL_Client_Verify", "SUCCESS"),
        ("X-Amzn-Mtls-Clientcert-Leaf", "x"),
    ];
    let gate = Setup::new(&off()).start(&origin());
    let with = |request: Request| fields.iter().fold(request, |request, (name, value)| request.header(name, value));
    gate.check("names nobody", &with(Request::get(PATH)), &Expect::denied(401));
    let alice = Token::dev(gate.now, "alice").groups(&["readers"]);
    let request = with(Request::get(PATH).bearer(&alice.make()));
    gate.check("takes nothing away", &request, &Expect::allowed());
    let seen = gate.origin.seen(&request.id);
    for (name, _) in fields {
        let folded = |text: &str| text.to_ascii_lowercase().replace('_', "-");
        assert!(seen.iter().all(|seen| seen.headers.iter().all(|(header, _)| folded(header) != folded(name))), "{name}");
    }
}
