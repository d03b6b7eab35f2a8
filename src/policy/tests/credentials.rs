//! What policies know of tokens and certificates, which of them makes the principal, and who may revoke.

use super::{Asking, WEDNESDAY, bundle, certificate, ids, load, token, user, with_policies};
use crate::bundle::Digest;
use crate::decision::UnixTime;
use crate::identity::{CertificateIdentity, Confirmation, Identity, TokenIdentity};
use crate::policy::{PolicyStore, Purpose, Verdict};

fn by_token(token: TokenIdentity, certificate: CertificateIdentity) -> Identity {
    Identity::Token { token: Box::new(token), certificate: Some(Box::new(certificate)) }
}

fn by_certificate(token: TokenIdentity, certificate: CertificateIdentity) -> Identity {
    Identity::Certificate { certificate: Box::new(certificate), token: Some(Box::new(token)) }
}

fn get(policies: &str, identity: &Identity) -> Verdict {
    let verdict = Asking::new("GET", "/x").ask(&load(&with_policies(policies)), identity);
    assert!(verdict.errors.is_empty(), "{verdict:?}");
    verdict
}

#[test]
fn every_fact_of_a_certificate_reaches_policies() {
    let mut full = certificate("spiffe://example.org/indexer");
    full.dns_names = vec!["a.example.org".to_owned()];
    full.emails = vec!["a@example.org".to_owned()];
    full.ip_addresses = vec!["192.0.2.1".to_owned()];
    let full = Identity::from(full);
    for condition in [
        r#"context.certificate.anchor == "corp""#,
        r#"context.certificate.subject == "CN=indexer""#,
        r#"context.certificate.issuer == "CN=Corp CA""#,
        r#"context.certificate.serial == "1f""#,
        r#"context.certificate.dns_names.contains("a.example.org")"#,
        r#"context.certificate.emails.contains("a@example.org")"#,
        r#"context.certificate.uris.contains("spiffe://example.org/indexer")"#,
        r#"context.certificate.ip_addresses.contains("192.0.2.1")"#,
        r#"context.certificate has spiffe_id && context.certificate.spiffe_id like "spiffe://example.org/*""#,
        &format!(r#"context.certificate.fingerprint == "{}""#, "11".repeat(32)),
        &format!(r#"context.certificate.spki_fingerprint == "{}""#, "22".repeat(32)),
        "context.certificate.age == 60 && context.certificate.expires_in == 3540",
        r#"principal is Gate::Workload && principal.subject == "CN=indexer" && principal.issuer == "CN=Corp CA""#,
        "principal is Gate::Workload && principal.scopes.isEmpty()",
    ] {
        let policy = format!("@id(\"a\") permit(principal, action, resource) when {{ context has certificate && {condition} }};");
        assert!(get(&policy, &full).allow, "{condition}");
        assert!(!get(&policy, &user("x", &[], &[])).allow, "{condition}");
        assert!(!get(&policy, &Identity::Anonymous).allow, "{condition}");
    }
}

#[test]
fn the_bindings_of_a_token_reach_policies() {
    let policy = |binding: &str| {
        format!(
            "@id(\"a\") permit(principal, action, resource) when {{ context has token && context.token.bindings.contains(\"{binding}\") }};"
        )
    };
    let digest = Some(Digest::from_bytes([1; 32]));
    let bound = |confirmation| Identity::from(TokenIdentity { confirmation, ..token("x", &[], &[]) });
    let to_certificate = bound(Confirmation { certificate: digest, key: None });
    let to_key = bound(Confirmation { certificate: None, key: digest });
    let to_both = bound(Confirmation { certificate: digest, key: digest });
    for (identity, certificate, dpop) in
        [(bound(Confirmation::default()), false, false), (to_certificate, true, false), (to_key, false, true), (to_both, true, true)]
    {
        assert_eq!(get(&policy("certificate"), &identity).allow, certificate);
        assert_eq!(get(&policy("dpop"), &identity).allow, dpop);
    }
    let bearer = "@id(\"a\") permit(principal, action, resource) when { context has token && context.token.bindings.isEmpty() };";
    assert!(get(bearer, &user("x", &[], &[])).allow);
}

/// SECURITY: what the one credential says is never taken for the other's.
#[test]
fn the_principal_is_what_the_credential_that_names_it_says() {
    let (holder, worker) = (token("alice", &["writers"], &["s"]), certificate("spiffe://example.org/indexer"));
    let both = [by_token(holder.clone(), worker.clone()), by_certificate(holder, worker)];
    let policies = r#"
        @id("group") permit(principal in Gate::Group::"writers", action, resource);
        @id("scope") permit(principal, action, resource) when { principal is Gate::User && principal.scopes.contains("s") };
        @id("worker-scope") permit(principal is Gate::Workload, action, resource) when { principal.scopes.contains("s") };
        @id("worker") permit(principal == Gate::Workload::"spiffe://example.org/indexer", action, resource);
        @id("user") permit(principal == Gate::User::"dev/alice", action, resource);
        @id("facts") permit(principal, action, resource)
        when { context has token && context.token.scopes.contains("s") && context has certificate && context.certificate.anchor == "corp" };
    "#;
    let [by_token, by_certificate] = both.map(|identity| get(policies, &identity));
    assert_eq!(by_token.principal, r#"Gate::User::"dev/alice""#);
    assert_eq!(ids(&by_token), ["facts", "group", "scope", "user"]);
    assert_eq!(by_certificate.principal, r#"Gate::Workload::"spiffe://example.org/indexer""#);
    assert_eq!(ids(&by_certificate), ["facts", "worker"]);
}

#[test]
fn entities_json_may_put_the_holder_of_a_certificate_into_groups() {
    let mut bundle = with_policies("@id(\"a\") permit(principal in Gate::Group::\"jobs\", action, resource);");
    let identity = Identity::from(certificate("spiffe://example.org/indexer"));
    assert!(!Asking::new("GET", "/x").ask(&load(&bundle), &identity).allow);
    let entity = r#"{"uid": {"type": "Gate::Workload", "id": "spiffe://example.org/indexer"}, "attrs": {}, "parents": [{"type": "Gate::Group", "id": "jobs"}]}"#;
    bundle.insert("policies/entities.json", format!("[{entity}]"));
    assert!(Asking::new("GET", "/x").ask(&load(&bundle), &identity).allow);
}

#[test]
fn a_missing_scope_is_named_only_when_the_token_names_the_principal() {
    let store = load(&bundle());
    let (holder, worker) = (token("alice", &["writers"], &[]), certificate("spiffe://example.org/indexer"));
    let missing = |identity: &Identity| Asking::new("PUT", "/api/documents/1").ask(&store, identity).missing_scope;
    assert_eq!(missing(&by_token(holder.clone(), worker.clone())), ["documents.write"]);
    assert!(missing(&by_certificate(holder, worker.clone())).is_empty());
    assert!(missing(&Identity::from(worker)).is_empty());
}

const REVOCATIONS: &str = "/.well-known/cedargate/revocations";

fn revoke(store: &PolicyStore, identity: &Identity) -> Verdict {
    Asking::new("POST", REVOCATIONS).purpose(Purpose::Revoke).ask(store, identity)
}

#[test]
fn administrators_may_revoke_and_nobody_else() {
    let store = load(&bundle());
    let verdict = revoke(&store, &user("carol", &["admins"], &[]));
    assert_eq!((verdict.allow, ids(&verdict)), (true, vec!["admin.revoke"]));
    assert_eq!(
        (verdict.action.as_str(), verdict.resource.as_str()),
        (r#"Gate::Action::"revoke""#, r#"Gate::Path::"/.well-known/cedargate/revocations""#)
    );
    for other in [
        user("alice", &["writers", "readers"], &["documents.write"]),
        Identity::from(certificate("spiffe://example.org/x")),
        Identity::Anonymous,
    ] {
        let verdict = revoke(&store, &other);
        assert!(!verdict.allow && verdict.errors.is_empty(), "{verdict:?}");
    }
    assert_eq!(ids(&revoke(&store, &user("mallory", &["admins"], &[]))), ["guardrail.suspended"]);
    // The same path as a request is another question.
    assert!(!Asking::new("POST", REVOCATIONS).ask(&store, &user("carol", &["admins"], &[])).allow);
}

#[test]
fn a_permit_on_all_requests_gives_revoking_to_nobody_who_is_anonymous() {
    let writes =
        load(&with_policies("@id(\"a\") permit(principal, action in [Gate::Action::\"read\", Gate::Action::\"write\"], resource);"));
    assert!(!revoke(&writes, &user("x", &[], &[])).allow);
    let all = load(&with_policies("@id(\"a\") permit(principal, action, resource);"));
    assert!(revoke(&all, &user("x", &[], &[])).allow);
    assert!(!revoke(&all, &Identity::Anonymous).allow);
}

#[test]
fn a_schema_without_revoke_lets_nobody_revoke() {
    let mut bundle = with_policies("@id(\"all\") permit(principal, action, resource);");
    assert!(revoke(&load(&bundle), &user("x", &[], &[])).allow);
    let schema = std::str::from_utf8(bundle.get(PolicyStore::SCHEMA).unwrap()).unwrap();
    let without = schema.replace("action \"revoke\"", "action \"other\"");
    assert_ne!(schema, without);
    bundle.insert(PolicyStore::SCHEMA, without);
    let verdict = revoke(&load(&bundle), &user("x", &[], &[]));
    assert!(!verdict.allow && verdict.errors.is_empty() && verdict.determining.is_empty(), "{verdict:?}");
}

#[test]
fn a_route_does_not_rename_revoking() {
    let mut bundle = bundle();
    bundle.insert(
        "policies/routes.toml",
        format!("version = 1\n[[route]]\npath = \"{REVOCATIONS}\"\nactions = {{ POST = \"createOrder\" }}"),
    );
    assert_eq!(revoke(&load(&bundle), &user("carol", &["admins"], &[])).action, r#"Gate::Action::"revoke""#);
}

/// Logged in so many seconds ago, with this `acr`.
fn logged_in(seconds: Option<i64>, acr: Option<&str>) -> TokenIdentity {
    let auth_time = seconds.map(|seconds| UnixTime(WEDNESDAY.0 - seconds));
    TokenIdentity { auth_time, acr: acr.map(str::to_owned), ..token("x", &[], &[]) }
}

/// What a denied caller is asked for: `acr` values and age.
fn asked(policies: &str, identity: &Identity) -> Option<(Vec<String>, Option<u32>)> {
    let verdict = get(policies, identity);
    assert!(!verdict.allow, "{verdict:?}");
    verdict.step_up.map(|step_up| (step_up.acr_values, step_up.max_age))
}

const PERMIT: &str = "@id(\"permit\") permit(principal, action, resource);";
const RECENT: &str = r#"@id("recent") @step_up_max_age("300") forbid(principal, action, resource)
    unless { context has token && context.token has auth_age && context.token.auth_age <= 300 };"#;
const STRONG: &str = r#"@id("strong") @step_up_acr("urn:mfa urn:key") forbid(principal, action, resource)
    unless { context has token && context.token has acr && ["urn:mfa", "urn:key"].contains(context.token.acr) };"#;

#[test]
fn a_forbid_that_a_login_lifts_asks_for_it() {
    let recent = format!("{PERMIT}{RECENT}");
    assert!(get(&recent, &logged_in(Some(300), None).into()).allow);
    assert_eq!(asked(&recent, &logged_in(Some(301), None).into()), Some((vec![], Some(300))));
    assert_eq!(asked(&recent, &logged_in(None, None).into()), Some((vec![], Some(300))));
    let both = format!("{PERMIT}{RECENT}{STRONG}");
    let acr = || vec!["urn:mfa".to_owned(), "urn:key".to_owned()];
    assert!(get(&both, &logged_in(Some(0), Some("urn:key")).into()).allow);
    assert_eq!(asked(&both, &logged_in(Some(0), Some("urn:pwd")).into()), Some((acr(), None)));
    assert_eq!(asked(&both, &logged_in(Some(900), None).into()), Some((acr(), Some(300))));
    // Whoever names the principal, it is the holder of the token who can log in again.
    assert_eq!(asked(&recent, &by_certificate(logged_in(None, None), certificate("x"))), Some((vec![], Some(300))));
}

#[test]
fn nobody_is_sent_to_log_in_for_nothing() {
    let stale = || Identity::from(logged_in(Some(900), None));
    let with = |more: &str| format!("{RECENT}{more}");
    assert!(asked(&with(PERMIT), &stale()).is_some());
    // No permit would apply.
    assert_eq!(asked(RECENT, &stale()), None);
    assert_eq!(asked(&with("@id(\"p\") permit(principal, action == Gate::Action::\"PUT\", resource);"), &stale()), None);
    // Another forbid stays.
    assert_eq!(asked(&with(&format!("{PERMIT}@id(\"f\") forbid(principal, action, resource);")), &stale()), None);
    // No token, no login.
    assert_eq!(asked(&with(PERMIT), &Identity::Anonymous), None);
    assert_eq!(asked(&with(PERMIT), &Identity::from(certificate("x"))), None);
    // The token already is what the annotation asks for, and the policy forbids all the same.
    let stuck = r#"@id("stuck") @step_up_acr("urn:mfa") forbid(principal, action, resource)
        unless { context has token && context.token.amr.contains("otp") };"#;
    assert!(asked(&format!("{PERMIT}{stuck}"), &stale()).is_some());
    assert_eq!(asked(&format!("{PERMIT}{stuck}"), &logged_in(Some(0), Some("urn:mfa")).into()), None);
}

#[test]
fn an_error_is_no_step_up() {
    let fails = "@id(\"fails\") permit(principal, action, resource) when { context.hour * 9223372036854775807 > 0 };";
    let verdict = Asking::new("GET", "/x").ask(&load(&with_policies(&format!("{PERMIT}{RECENT}{fails}"))), &logged_in(None, None).into());
    assert!(verdict.step_up.is_none() && !verdict.errors.is_empty(), "{verdict:?}");
}
