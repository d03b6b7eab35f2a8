//! Who the holder of a good certificate is: to the policies, to the origin, and beside a token.

use serde_json::json;

use super::mtls::{DAY, accepted, client, configured, gate, off, origin, present, principal, refused, suite};
use super::support::client::Request;
use super::support::gate::{Expect, NOW, Setup};
use super::support::pki::{Form, SECRET, SECRET_FIELD, Subject};
use super::support::token::Token;

#[test]
fn the_origin_learns_the_principal_and_never_sees_the_certificate() {
    let certified = client().issued_by(suite());
    let request = present(&[&certified.der]).header("Client-Cert-Chain", "").header("x-kept", "1");
    // An empty list is no field at all (RFC 8941, section 3.1), and the chain of a lone certificate.
    gate().check("allowed", &request, &Expect::allowed());
    let seen = gate().origin.seen(&request.id).remove(0);
    assert_eq!(seen.header("cedargate-principal"), Some(r#"Gate::Workload::"spiffe://suite.example/client""#));
    assert_eq!(seen.header("x-kept"), Some("1"));
    for (name, value) in &seen.headers {
        assert!(!name.starts_with("client-cert") && name != SECRET_FIELD && !value.contains(SECRET), "{name}: {value}");
    }
}

#[test]
fn the_first_configured_kind_of_name_is_the_principal() {
    let all = || Subject::new(NOW, "named").dns("B.suite.example").email("a@suite.example");
    let who = |subject: Subject, name: &str| principal(&accepted(name, &[&subject.issued_by(suite()).der]));
    assert_eq!(who(all().uri("spiffe://suite.example/x"), "SPIFFE id"), r#"Gate::Workload::"spiffe://suite.example/x""#);
    assert_eq!(who(all(), "DNS name"), r#"Gate::Workload::"suite/dns:b.suite.example""#);
    assert_eq!(who(Subject::new(NOW, "named").email("a@suite.example"), "e-mail"), r#"Gate::Workload::"suite/email:a@suite.example""#);
    let subject = who(Subject::new(NOW, "named"), "subject");
    assert_eq!(subject, r#"Gate::Workload::"suite/subject:CN=named,O=Cedargate suite""#);
    let nobody = Subject::new(NOW, "").nameless().ip([192, 0, 2, 1]).issued_by(suite());
    refused("none of them", &[&nobody.der], "mtls.name_missing");
}

#[test]
fn a_spiffe_id_keeps_the_rules_or_refuses_the_certificate() {
    let with =
        |uris: &[&str]| uris.iter().fold(Subject::new(NOW, "client").dns("a.suite.example"), |s, uri| s.uri(uri)).issued_by(suite()).der;
    accepted("control", &[&with(&["spiffe://suite.example/a/b"])]);
    let usage = client().key_usages(&[]).issued_by(suite());
    refused("without key usage", &[&usage.der], "mtls.spiffe");
    for (name, uris) in [
        ("two of them", &["spiffe://suite.example/a", "spiffe://suite.example/b"][..]),
        ("beside another URI", &["spiffe://suite.example/a", "https://suite.example/"]),
        ("a query", &["spiffe://suite.example/a?b"]),
        ("a fragment", &["spiffe://suite.example/a#b"]),
        ("a trust domain that is not the anchor's", &["spiffe://other.example/a"]),
        ("a trust domain that only ends alike", &["spiffe://evil.suite.example/a"]),
        ("no path", &["spiffe://suite.example"]),
        ("an empty segment", &["spiffe://suite.example/a//b"]),
        ("a dot segment", &["spiffe://suite.example/a/../b"]),
        ("a port", &["spiffe://suite.example:1/a"]),
        ("user information", &["spiffe://a@suite.example/a"]),
    ] {
        refused(name, &[&with(uris)], "mtls.spiffe");
    }
}

#[test]
fn without_a_configuration_the_field_is_stripped_and_ignored() {
    let gate = Setup::new(&off()).start(&origin());
    let leaf = client().issued_by(suite());
    let answer = gate.check("nobody", &present(&[&leaf.der]), &Expect::denied(401));
    answer.with_record(|record| assert_eq!(record["identity"], json!(null), "{record}"));
    // Even what is no certificate at all changes nothing, on a public path.
    for value in [Form::Rfc9440.fields(&[&leaf.der]).remove(0).1, "nonsense".to_owned()] {
        let request = Request::get("/health").header("Client-Cert", value).header("x-forwarded-client-cert", "Hash=00");
        let answer = gate.check("a public path", &request, &Expect::allowed());
        answer.with_record(|record| {
            assert_eq!(record["cedar"]["principal"], r#"Gate::Anonymous::"anonymous""#);
            let credential = &record["credentials"][0];
            assert_eq!((credential["kind"].as_str(), credential["fate"].as_str()), (Some("certificate"), Some("ignored")), "{record}");
        });
        let seen = gate.origin.seen(&request.id).remove(0);
        assert!(seen.headers.iter().all(|(name, _)| !name.contains("client-cert")), "{seen:?}");
    }
    // The control: the same request where it is configured.
    self::gate().check("control", &present(&[&leaf.der]), &Expect::allowed());
}

#[test]
fn token_and_certificate_together_are_one_caller() {
    let certified = client().issued_by(suite());
    let token = Token::dev(NOW, "alice").groups(&["readers"]);
    let document = || Form::Rfc9440.send(Request::get("/api/documents/1"), &[&certified.der]);
    let by_certificate = Setup::new(&configured(&[("principal = \"token\"", "principal = \"certificate\"")])).start(&origin());

    let answer = gate().check("the token names the principal", &document().bearer(&token.make()), &Expect::allowed());
    assert_eq!(principal(&answer), r#"Gate::User::"dev/alice""#);
    by_certificate.check("the certificate does, and may not", &document().bearer(&token.make()), &Expect::refused(403, "policy.no_permit"));
    let answer =
        by_certificate.check("the certificate does, and may", &present(&[&certified.der]).bearer(&token.make()), &Expect::allowed());
    assert_eq!(principal(&answer), r#"Gate::Workload::"spiffe://suite.example/client""#);
    by_certificate.check(
        "without a certificate the token does",
        &Request::get("/api/documents/1").bearer(&token.make()),
        &Expect::allowed(),
    );

    // One that is refused refuses both, whoever names the principal.
    let expired = client().valid(NOW - 9 * DAY, NOW - DAY).issued_by(suite());
    for gate in [gate(), &by_certificate] {
        let request = Form::Rfc9440.send(Request::get("/api/documents/1"), &[&expired.der]).bearer(&token.make());
        gate.check("a bad certificate beside a good token", &request, &Expect::refused(401, "mtls.expired"));
        let old = token.clone().claim("exp", json!(NOW - 600)).make();
        let answer = gate.check(
            "a bad token beside a good certificate",
            &present(&[&certified.der]).bearer(&old),
            &Expect::refused(401, "jwt.expired"),
        );
        answer.with_record(|record| {
            let credentials = record["credentials"].as_array().expect("what became of each");
            assert_eq!(credentials.len(), 2, "{record}");
            assert_eq!((&credentials[0]["kind"], &credentials[0]["fate"]), (&json!("certificate"), &json!("verified")), "{record}");
            assert_eq!((&credentials[1]["kind"], &credentials[1]["reason"]), (&json!("token"), &json!("jwt.expired")), "{record}");
        });
    }

    // A token that is bound is held against the certificate, whoever names the principal.
    let bound = token.claim("cnf", json!({"x5t#S256": certified.thumbprint()})).make();
    by_certificate.check("bound to this one", &present(&[&certified.der]).bearer(&bound), &Expect::allowed());
    let other = client().issued_by(suite());
    by_certificate.check("bound to another", &present(&[&other.der]).bearer(&bound), &Expect::refused(401, "jwt.certificate_mismatch"));
    by_certificate.check("without any", &Request::get("/api/documents/1").bearer(&bound), &Expect::refused(401, "jwt.certificate_missing"));
}
