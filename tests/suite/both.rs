//! A token and a client certificate in one request: both are verified, both reach policies, and the configuration says which
//! of the two names the principal.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use rcgen::{
    BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair, KeyUsagePurpose, SanType, SerialNumber,
    date_time_ymd,
};
use serde_json::{Value, json};

use super::support::client::Request;
use super::support::gate::{Expect, Gate, NOW, Setup, bundle};
use super::support::origin::Origin;
use super::support::token::Token;

const SECRET: &str = "the terminator's secret of the suite";
const ID: &str = "spiffe://example.org/service";
const POLICIES: &str = r#"
    @id("both.user")
    permit (principal == Gate::User::"dev/alice", action == Gate::Action::"GET", resource == Gate::Path::"/both/user")
    when { context has certificate && context.certificate.anchor == "corp" && context.certificate has spiffe_id
        && context.certificate.spiffe_id == "spiffe://example.org/service" && context.certificate.serial == "abc" };

    @id("both.workload")
    permit (principal == Gate::Workload::"spiffe://example.org/service", action == Gate::Action::"GET", resource == Gate::Path::"/both/workload")
    when { context has token && context.token.issuer_name == "dev" && context.token.scopes.contains("both") && principal.scopes.isEmpty() };

    @id("both.group")
    permit (principal is Gate::Workload in Gate::Group::"admins", action == Gate::Action::"GET", resource == Gate::Path::"/both/group");
"#;

/// An authority, and a client's certificate of it as RFC 9440 writes it.
struct Pki {
    root: String,
    client: String,
}

fn pki() -> &'static Pki {
    static PKI: std::sync::OnceLock<Pki> = std::sync::OnceLock::new();
    PKI.get_or_init(|| {
        let params = |name: &str| {
            let mut params = CertificateParams::default();
            (params.not_before, params.not_after) = (date_time_ymd(2026, 1, 1), date_time_ymd(2028, 1, 1));
            params.distinguished_name = rcgen::DistinguishedName::new();
            params.distinguished_name.push(DnType::CommonName, name);
            params
        };
        let mut root = params("root");
        root.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        root.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        let root_key = KeyPair::generate().unwrap();
        let root_pem = root.self_signed(&root_key).unwrap().pem();
        let mut client = params("client");
        client.is_ca = IsCa::ExplicitNoCa;
        client.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        client.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
        client.subject_alt_names = vec![SanType::URI(ID.try_into().unwrap())];
        client.serial_number = Some(SerialNumber::from_slice(&[0x0a, 0xbc]));
        let client = client.signed_by(&KeyPair::generate().unwrap(), &Issuer::from_params(&root, &root_key)).unwrap();
        Pki { root: root_pem, client: format!(":{}:", STANDARD.encode(client.der())) }
    })
}

/// A gate whose principals are named by `token` or by `certificate`.
fn named_by(principal: &str) -> Gate {
    let mut bundle = bundle();
    bundle.insert("policies/both.cedar", POLICIES);
    bundle.insert("keys/ca/corp.pem", pki().root.as_str());
    let mtls = format!(
        "version = 1\nform = \"rfc9440\"\nprincipal = \"{principal}\"\n[terminator]\nsecret_header = \"x-terminator-secret\"\n\
         [[anchor]]\nname = \"corp\"\ncertificates = [\"corp.pem\"]\ntrust_domains = [\"example.org\"]\n"
    );
    bundle.insert("keys/mtls.toml", mtls);
    Setup::new(&bundle).variable("mtls_terminator_secret", SECRET).start(&Origin::start(([127, 0, 0, 1], 0).into()))
}

fn token() -> Token {
    Token::dev(NOW, "alice").groups(&["admins"]).scope("both")
}

fn with_certificate(request: Request, secret: &str) -> Request {
    request.header("Client-Cert", &pki().client).header("X-Terminator-Secret", secret)
}

fn with_both(path: &str) -> Request {
    with_certificate(Request::get(path).bearer(&token().make()), SECRET)
}

/// Kind, fate and reason of each credential.
fn fates(record: &Value) -> Vec<(&str, &str, &str)> {
    let credentials = record["credentials"].as_array().unwrap();
    credentials
        .iter()
        .map(|c| (c["kind"].as_str().unwrap(), c["fate"].as_str().unwrap(), c["reason"].as_str().unwrap_or_default()))
        .collect()
}

#[test]
fn both_facts_reach_policies_and_the_configuration_says_which_names_the_principal() {
    for (gate, allowed, denied, principal) in [
        (named_by("token"), "/both/user", "/both/workload", "Gate::User::\"dev/alice\""),
        (named_by("certificate"), "/both/workload", "/both/user", "Gate::Workload::\"spiffe://example.org/service\""),
    ] {
        let request = with_both(allowed);
        let answer = gate.check(principal, &request, &Expect::allowed());
        answer.with_record(|record| {
            assert_eq!(record["cedar"]["principal"], principal);
            assert_eq!((&record["identity"]["subject"], &record["certificate"]["spiffe_id"]), (&json!("alice"), &json!(ID)));
            assert_eq!((&record["certificate"]["anchor"], &record["certificate"]["serial"]), (&json!("corp"), &json!("abc")));
            assert_eq!(record["certificate"]["fingerprint"].as_str().unwrap().len(), 64);
            assert_eq!(fates(record), [("certificate", "verified", ""), ("token", "verified", "")]);
            let line = record.to_string();
            assert!(!line.contains(SECRET) && !line.contains(pki().client.trim_matches(':')), "{line}");
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
        let alone = gate.check("the certificate alone", &with_certificate(Request::get(allowed), SECRET), &Expect::denied(403));
        alone.with_record(|record| assert_eq!((&record["identity"], fates(record)), (&Value::Null, vec![("certificate", "verified", "")])));
    }
}

/// SECURITY: what is presented and fails refuses the request; it is never left aside for the other.
#[test]
fn one_good_credential_does_not_make_up_for_a_bad_one() {
    let gate = named_by("token");
    gate.check("control", &with_both("/both/user"), &Expect::allowed());
    let stranger = with_certificate(Request::get("/both/user").bearer(&token().make()), "some other secret of some length");
    let answer = gate.check("a certificate from nobody", &stranger, &Expect::refused(401, "mtls.untrusted_terminator"));
    assert_eq!(answer.response.code(), "invalid_certificate");
    assert!(!answer.response.challenge("Bearer").unwrap().contains("error"), "{:?}", answer.response);
    answer.with_record(|record| {
        assert_eq!(fates(record), [("certificate", "refused", "mtls.untrusted_terminator"), ("token", "verified", "")]);
        assert_eq!((&record["identity"], &record["certificate"]), (&Value::Null, &Value::Null));
    });
    let expired = Token::dev(NOW - 100_000, "alice").make();
    let expired = with_certificate(Request::get("/health").bearer(&expired), SECRET);
    let answer = gate.check("an expired token, on a public path", &expired, &Expect::refused(401, "jwt.expired"));
    answer.with_record(|record| {
        assert_eq!(fates(record), [("certificate", "verified", ""), ("token", "refused", "jwt.expired")]);
        assert_eq!((&record["identity"], &record["certificate"]), (&Value::Null, &Value::Null));
    });
}

#[test]
fn a_token_bound_to_the_certificate_says_so_to_policies_and_in_the_record() {
    use base64::engine::general_purpose::URL_SAFE_NO_PAD;
    let gate = named_by("token");
    let der = STANDARD.decode(pki().client.trim_matches(':')).unwrap();
    let digest = URL_SAFE_NO_PAD.encode(ring::digest::digest(&ring::digest::SHA256, &der));
    let bound = |digest: &str| token().claim("cnf", json!({"x5t#S256": digest})).make();
    let request = with_certificate(Request::get("/both/user").bearer(&bound(&digest)), SECRET);
    let answer = gate.check("bound to this certificate", &request, &Expect::allowed());
    answer.with_record(|record| assert_eq!(record["identity"]["bindings"], json!(["certificate"])));
    let other = URL_SAFE_NO_PAD.encode([7; 32]);
    let request = with_certificate(Request::get("/both/user").bearer(&bound(&other)), SECRET);
    gate.check("bound to another", &request, &Expect::refused(401, "jwt.certificate_mismatch"));
}
