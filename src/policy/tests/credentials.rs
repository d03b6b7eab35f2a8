//! What policies know of tokens and certificates, which of them makes the principal, and who may revoke.

use super::{Asking, bundle, by_certificate, by_token, certificate, get, ids, load, token, user, with_policies};
use crate::bundle::Digest;
use crate::identity::{Confirmation, Identity, TokenIdentity};
use crate::policy::{PolicyStore, Purpose, Verdict};

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
