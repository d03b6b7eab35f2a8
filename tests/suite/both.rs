//! A token and a client certificate in one request: both are verified, both reach policies, and the configuration says which
//! of the two names the principal.

use std::sync::OnceLock;

use serde_json::{Value, json};

use super::credentials::fates;
use super::mtls::configured;
use super::support::client::Request;
use super::support::gate::{Expect, Gate, NOW, Setup};
use super::support::origin::Origin;
use super::support::pki::{Authority, Certified, Form, SECRET, SECRET_FIELD, Subject};
use super::support::token::{Token, sha256};

const ID: &str = "spiffe://suite.example/service";
const POLICIES: &str = r#"
    @id("both.user")
    permit (principal == Gate::User::"dev/alice", action == Gate::Action::"GET", resource == Gate::Path::"/both/user")
    when { context has certificate && context.certificate.anchor == "suite" && context.certificate has spiffe_id
        && context.certificate.spiffe_id == "spiffe://suite.example/service" && context.certificate.serial == "abc" };

    @id("both.workload")
    permit (principal == Gate::Workload::"spiffe://suite.example/service", action == Gate::Action::"GET", resource == Gate::Path::"/both/workload")
    when { context has token && context.token.issuer_name == "dev" && context.token.scopes.contains("both") && principal.scopes.isEmpty() };

    @id("both.group")
    permit (principal is Gate::Workload in Gate::Group::"admins", action == Gate::Action::"GET", resource == Gate::Path::"/both/group");
"#;

/// The client's certificate.
fn client() -> &'static Certified {
    static CLIENT: OnceLock<Certified> = OnceLock::new();
    CLIENT.get_or_init(|| Subject::workload(NOW, "service").serial(0xabc).issued_by(&Authority::suite()))
}

/// A gate whose principals are named by `token` or by `certificate`.
fn named_by(principal: &str) -> Gate {
    let mut bundle = configured(&[("principal = \"token\"", &format!("principal = \"{principal}\""))]);
    bundle.insert("policies/both.cedar", POLICIES);
    Setup::new(&bundle).start(&Origin::start(([127, 0, 0, 1], 0).into()))
}

fn token() -> Token {
    Token::dev(NOW, "alice").groups(&["admins"]).scope("both")
}

fn with_certificate(request: Request) -> Request {
    Form::Rfc9440.send(request, &[&client().der])
}

fn with_both(path: &str) -> Request {
    with_certificate(Request::get(path).bearer(&token().make()))
}

#[test]
fn both_facts_reach_policies_and_the_configuration_says_which_names_the_principal() {
    for (gate, allowed, denied, principal) in [
        (named_by("token"), "/both/user", "/both/workload", "Gate::User::\"dev/alice\""),
        (named_by("certificate"), "/both/workload", "/both/user", "Gate::Workload::\"spiffe://suite.example/service\""),
    ] {
        let request = with_both(allowed);
        let answer = gate.check(principal, &request, &Expect::allowed());
        answer.with_record(|record| {
            assert_eq!(record["cedar"]["principal"], principal);
            assert_eq!((&record["identity"]["subject"], &record["certificate"]["spiffe_id"]), (&json!("alice"), &json!(ID)));
            assert_eq!((&record["certificate"]["anchor"], &record["certificate"]["serial"]), (&json!("suite"), &json!("abc")));
            assert_eq!(record["certificate"]["fingerprint"].as_str().unwrap().len(), 64);
            assert_eq!(fates(record), [("certificate", "verified", ""), ("token", "verified", "")]);
            let line = record.to_string();
            assert!(!line.contains(SECRET) && !line.contains("MII"), "{line}");
        });
        // Neither the certificate nor the secret goes on; the principal does.
        let seen = gate.origin.seen(&request.id);
        assert_eq!(seen[0].header("cedargate-principal"), Some(principal));
        assert!(seen[0].all("client-cert").is_empty() && seen[0].all("x-terminator-secret").is_empty(), "{:?}", seen[0]);
        gate.check("the other is not the principal", &with_both(denied), &Expect::refused(403, "policy.no_permit"));
        // The groups of a token are not the certificate's.
        gate.check("no groups from the token", &with_both("/both/group"), &Expect::refused(403, "policy.no_permit"));
        // Each alone lacks the other's facts.
        gate.check("the token alone", &Request::get(allowed).bearer(&token().make()), &Expect::refused(403, "policy.no_permit"));
        let alone = gate.check("the certificate alone", &with_certificate(Request::get(allowed)), &Expect::denied(403));
        alone.with_record(|record| assert_eq!((&record["identity"], fates(record)), (&Value::Null, vec![("certificate", "verified", "")])));
    }
}

/// SECURITY: what is presented and fails refuses the request; it is never left aside for the other.
#[test]
fn one_good_credential_does_not_make_up_for_a_bad_one() {
    let gate = named_by("token");
    gate.check("control", &with_both("/both/user"), &Expect::allowed());
    let stranger = Request::get("/both/user").bearer(&token().make()).header(SECRET_FIELD, "some other secret of some length");
    let stranger = Form::Rfc9440.fields(&[&client().der]).into_iter().fold(stranger, |request, (name, value)| request.header(name, value));
    let answer = gate.check("a certificate from nobody", &stranger, &Expect::refused(401, "mtls.untrusted_terminator"));
    assert_eq!(answer.response.code(), "invalid_certificate");
    assert!(!answer.response.challenge("Bearer").unwrap().contains("error"), "{:?}", answer.response);
    answer.with_record(|record| {
        assert_eq!(fates(record), [("certificate", "refused", "mtls.untrusted_terminator"), ("token", "verified", "")]);
        assert_eq!((&record["identity"], &record["certificate"]), (&Value::Null, &Value::Null));
    });
    let expired = Token::dev(NOW - 100_000, "alice").make();
    let expired = with_certificate(Request::get("/health").bearer(&expired));
    let answer = gate.check("an expired token, on a public path", &expired, &Expect::refused(401, "jwt.expired"));
    answer.with_record(|record| {
        assert_eq!(fates(record), [("certificate", "verified", ""), ("token", "refused", "jwt.expired")]);
        assert_eq!((&record["identity"], &record["certificate"]), (&Value::Null, &Value::Null));
    });
}

#[test]
fn a_token_bound_to_the_certificate_says_so_to_policies_and_in_the_record() {
    let gate = named_by("token");
    let bound = |digest: &str| token().claim("cnf", json!({"x5t#S256": digest})).make();
    let request = with_certificate(Request::get("/both/user").bearer(&bound(&client().thumbprint())));
    let answer = gate.check("bound to this certificate", &request, &Expect::allowed());
    answer.with_record(|record| assert_eq!(record["identity"]["bindings"], json!(["certificate"])));
    let request = with_certificate(Request::get("/both/user").bearer(&bound(&sha256(b"another"))));
    gate.check("bound to another", &request, &Expect::refused(401, "jwt.certificate_mismatch"));
}
