//! Explanations agree with the answers they explain.

use super::{Asking, WEDNESDAY, bundle, certificate, ids, load, token, user, with_policies};
use crate::decision::UnixTime;
use crate::identity::{Identity, PrincipalKind};
use crate::policy::{Clause, Explained, Met};

/// Those of the golden matrix.
fn identities() -> Vec<(&'static str, Identity)> {
    let workload = {
        let mut token = token("indexer", &[], &["documents.read"]);
        token.kind = PrincipalKind::Workload;
        Identity::from(token)
    };
    let recent = {
        let mut token = token("carol", &["admins"], &[]);
        token.auth_time = Some(UnixTime(WEDNESDAY.0 - 60));
        Identity::from(token)
    };
    vec![
        ("anonymous", Identity::Anonymous),
        ("alice", user("alice", &["readers", "writers"], &["documents.write", "orders.write"])),
        ("alice-ro", user("alice", &["readers", "writers"], &[])),
        ("bob", user("bob", &["readers"], &["orders.write"])),
        ("dana", user("dana", &[], &["documents.write"])),
        ("carol", user("carol", &["admins"], &[])),
        ("carol-now", recent),
        ("audrey", user("audrey", &["night-auditors"], &[])),
        ("mallory", user("mallory", &["admins", "readers", "writers"], &["documents.read", "documents.write", "orders.write"])),
        ("indexer", workload),
        ("courier", Identity::from(certificate("spiffe://example.org/courier"))),
        ("link", Identity::SignedUrl { link: Box::new(crate::policy::context::sample_link()), certificate: None }),
    ]
}

fn clauses(explained: &Explained) -> Vec<(&str, &str, Met)> {
    explained.clauses.iter().map(|Clause { part, text, met }| (*part, text.as_str(), met.clone())).collect()
}

#[test]
fn what_is_explained_is_what_was_answered() {
    let store = load(&bundle());
    let (mut allowed, mut forbidden, mut nothing) = (0, 0, 0);
    for (name, identity) in identities() {
        for (method, path) in [
            ("GET", "/health"),
            ("GET", "/api/documents"),
            ("GET", "/api/documents/1"),
            ("DELETE", "/api/documents/1"),
            ("GET", "/api/documents/2"),
            ("GET", "/api/admin/users"),
            ("POST", "/api/admin/users"),
        ] {
            for client in [Some("10.1.2.3"), None] {
                let asking = Asking::new(method, path).from(client);
                let explanation = asking.explain(&store, &identity);
                assert_eq!(explanation.verdict, asking.ask(&store, &identity));
                // Links are judged by `sign` too.
                if identity.link().is_some() || explanation.policies.is_empty() {
                    continue;
                }
                assert_eq!(explanation.policies.len(), store.len());
                let applying = |permits| {
                    let applies = explanation.policies.iter().filter(move |one| one.permits == permits && one.applies());
                    applies.map(|one| one.id.as_str()).collect::<Vec<_>>()
                };
                let (permits, forbids) = (applying(true), applying(false));
                let expected = if forbids.is_empty() { permits.clone() } else { forbids.clone() };
                assert_eq!(ids(&explanation.verdict), expected, "{name} {method} {path} {client:?}");
                match (explanation.verdict.allow, forbids.is_empty()) {
                    (true, _) => allowed += 1,
                    (false, false) => forbidden += 1,
                    (false, true) => nothing += 1,
                }
                for policy in &explanation.policies {
                    assert_eq!(policy.applies(), policy.distance() == 0, "{policy:?}");
                    assert!(policy.text.contains(&format!("@id(\"{}\")", policy.id)), "{}", policy.text);
                }
            }
        }
    }
    assert!(allowed > 10 && forbidden > 10 && nothing > 10, "{allowed} {forbidden} {nothing}");
}

#[test]
fn each_clause_is_told_as_it_is_written_and_as_it_was() {
    let policies = r#"
        @id("p")
        permit (principal in Gate::Group::"readers", action == Gate::Action::"GET", resource in Gate::Path::"/x")
        when { context has client_ip && context.client_ip.isInRange(ip("10.0.0.0/8")) && (context.hour == 10 || context.weekday == 7) }
        unless { principal has email && principal.email like "*@example.com" || context.https };
        @id("q") forbid (principal is Gate::User, action in [Gate::Action::"write"], resource) when { context.hour * 9223372036854775807 > 0 };
        @id("r") permit (principal, action, resource is Gate::Document in Gate::Path::"/x");
    "#;
    let store = load(&with_policies(policies));
    let asking = Asking::new("GET", "/x/1");
    let all = asking.explain(&store, &user("alice", &["readers"], &[])).policies;
    let [p, q, r] = all.as_slice() else { panic!("{all:?}") };
    assert_eq!(
        clauses(p),
        [
            ("principal", r#"principal in Gate::Group::"readers""#, Met::Yes),
            ("action", r#"action == Gate::Action::"GET""#, Met::Yes),
            ("resource", r#"resource in Gate::Path::"/x""#, Met::Yes),
            ("when", "context has client_ip", Met::Yes),
            ("when", r#"context.client_ip.isInRange(ip("10.0.0.0/8"))"#, Met::Yes),
            ("when", "(context.hour == 10) || (context.weekday == 7)", Met::Yes),
            ("unless", r#"(principal has email) && (principal.email like "*@example.com")"#, Met::Yes),
            ("unless", "context.https", Met::Yes),
        ]
    );
    assert!(p.applies() && p.distance() == 0 && p.permits);
    assert!(
        matches!(
            clauses(q).as_slice(),
            [
                ("principal", "principal is Gate::User", Met::Yes),
                ("action", r#"action in Gate::Action::"write""#, Met::No),
                ("when", _, Met::Failed(_)),
            ]
        ),
        "{q:?}"
    );
    assert!(!q.permits && !q.applies());
    assert_eq!(clauses(r), [("resource", r#"resource is Gate::Document in Gate::Path::"/x""#, Met::No)]);
    assert_eq!(
        (p.annotations.as_slice(), p.text.contains("unless { principal has email")),
        ([("id".to_owned(), "p".to_owned())].as_slice(), true)
    );

    // Nobody in sight, and from nowhere: what a guard keeps from being looked at is not told as a failure.
    let all = asking.from(None).explain(&store, &user("bob", &[], &[])).policies;
    let told = clauses(&all[0]);
    assert_eq!((&told[0].2, &told[3].2, &told[4].2), (&Met::No, &Met::No, &Met::NotReached));
    assert_eq!(all[0].distance(), 3);
}
