//! Each lint with an example it is about and the same put right.

use super::*;
use crate::policy::PolicyStore;
use crate::policy::tests::{bundle, with_policies};

const ROUTES: &str = "version = 1\n[[route]]\npath = \"/api/documents/{id}\"\nresource = \"Document\"\n\
    [[route]]\npath = \"/api/orders\"\nactions = { POST = \"createOrder\" }\n";

/// What is said of policies, without that they have no reason: each lint and whom it is about.
fn advice(policies: &str) -> Vec<(&'static str, String)> {
    let mut bundle = with_policies(policies);
    bundle.insert("policies/routes.toml", ROUTES);
    of(&bundle)
}

fn of(bundle: &Bundle) -> Vec<(&'static str, String)> {
    let mut report = Report::default();
    assert!(PolicyStore::load(bundle, &mut report).is_some(), "{report}");
    let found = PolicyStore::advice(bundle);
    for Advice { about, problem } in &found {
        let (_, key) = LINTS.into_iter().find(|(lint, _)| *lint == problem.code).expect("every lint is in the list");
        assert_eq!(about.key(), key);
        assert!(problem.span.is_some() && problem.help.is_some(), "{problem:?}");
    }
    let kept = found.into_iter().filter(|advice| !(advice.problem.code == NO_REASON || advice.problem.code == ROUTE_WITHOUT_POLICY));
    kept.map(|advice| (advice.problem.code, advice.about.name().to_owned())).collect()
}

fn told(policies: &str, lint: &'static str, name: &str) {
    assert_eq!(advice(policies), [(lint, name.to_owned())], "{policies}");
}

fn silent(policies: &str) {
    assert_eq!(advice(policies), [], "{policies}");
}

#[test]
fn the_repository_has_nothing_to_look_at() {
    assert_eq!(PolicyStore::advice(&bundle()), []);
}

#[test]
fn every_lint_is_documented() {
    let page = std::fs::read_to_string(std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/policies.md")).unwrap();
    for (lint, key) in LINTS {
        assert!(page.contains(&format!("| `{lint}` | `{key}` |")), "{lint}");
    }
}

#[test]
fn unconstrained() {
    told(r#"@id("a") permit (principal, action in Gate::Action::"read", resource);"#, UNCONSTRAINED, "a");
    told(r#"@id("a") permit (principal, action in Gate::Action::"read", resource in Gate::Path::"/api");"#, UNCONSTRAINED, "a");
    told(r#"@id("a") permit (principal, action in Gate::Action::"read", resource is Gate::Document);"#, UNCONSTRAINED, "a");
    told(r#"@id("a") permit (principal, action == Gate::Action::"GET", resource) when { context.hour > 8 };"#, UNCONSTRAINED, "a");
    told(r#"@id("a") permit (principal is Gate::User, action, resource);"#, UNCONSTRAINED, "a");
    told(r#"@id("a") permit (principal is Gate::User, action, resource in Gate::Path::"/");"#, UNCONSTRAINED, "a");

    silent(r#"@id("a") permit (principal, action == Gate::Action::"GET", resource == Gate::Path::"/health");"#);
    silent(r#"@id("a") permit (principal is Gate::Anonymous, action == Gate::Action::"GET", resource);"#);
    silent(r#"@id("a") permit (principal, action == Gate::Action::"GET", resource) when { principal in Gate::Group::"x" };"#);
    silent(
        r#"@id("a") permit (principal, action == Gate::Action::"GET", resource) when { context has token && context.token.issuer == "x" };"#,
    );
    silent(r#"@id("a") permit (principal, action, resource is Gate::Document) when { resource has public && resource.public };"#);
    silent(r#"@id("a") permit (principal in Gate::Group::"admins", action, resource);"#);
    silent(r#"@id("a") permit (principal is Gate::User, action, resource in Gate::Path::"/api");"#);
    silent(r#"@id("a") forbid (principal, action, resource);"#);
}

#[test]
fn duplicate() {
    let scope = r#"permit (principal in Gate::Group::"x", action == Gate::Action::"GET", resource)"#;
    told(
        &format!(
            "@id(\"a\") {scope} when {{ context.https && context.hour > 8 }} unless {{ context.weekday > 5 }};\n\
             @id(\"b\") {scope} unless {{ context.weekday > 5 }} when {{ context.hour > 8 }} when {{ context.https }};"
        ),
        DUPLICATE,
        "b",
    );
    told("@id(\"a\") forbid (principal, action, resource); @id(\"b\") forbid (principal, action, resource);", DUPLICATE, "b");
    silent(&format!("@id(\"a\") {scope} when {{ context.https }};\n@id(\"b\") {scope} unless {{ context.https }};"));
    silent(&format!("@id(\"a\") {scope} when {{ context.hour > 8 }};\n@id(\"b\") {scope} when {{ context.hour > 9 }};"));
}

#[test]
fn shadowed() {
    let wide = r#"@id("wide") permit (principal in Gate::Group::"x", action in Gate::Action::"read", resource in Gate::Path::"/api");"#;
    for narrow in [
        r#"permit (principal in Gate::Group::"x", action == Gate::Action::"GET", resource in Gate::Path::"/api/a");"#,
        r#"permit (principal is Gate::User in Gate::Group::"x", action in [Gate::Action::"HEAD", Gate::Action::"GET"], resource in Gate::Path::"/api");"#,
        r#"permit (principal in Gate::Group::"x", action == Gate::Action::"GET", resource == Gate::Path::"/api") when { context.https };"#,
    ] {
        told(&format!("@id(\"narrow\") {narrow}\n{wide}"), SHADOWED, "narrow");
        told(&format!("{wide}\n@id(\"narrow\") {narrow}"), SHADOWED, "narrow");
    }
    for other in [
        r#"permit (principal in Gate::Group::"y", action == Gate::Action::"GET", resource in Gate::Path::"/api/a");"#,
        r#"permit (principal in Gate::Group::"x", action == Gate::Action::"PUT", resource in Gate::Path::"/api/a");"#,
        r#"permit (principal in Gate::Group::"x", action == Gate::Action::"GET", resource in Gate::Path::"/api-old");"#,
        r#"permit (principal in Gate::Group::"x", action, resource in Gate::Path::"/api/a");"#,
        r#"forbid (principal in Gate::Group::"x", action == Gate::Action::"GET", resource in Gate::Path::"/api/a");"#,
    ] {
        silent(&format!("{wide}\n@id(\"other\") {other}"));
    }
    // Of two that cover each other the later one is told.
    let same = |action: &str| format!(r#"permit (principal in Gate::Group::"x", action {action} Gate::Action::"GET", resource);"#);
    told(&format!("@id(\"a\") {} @id(\"b\") {}", same("=="), same("in")), SHADOWED, "b");
}

#[test]
fn unused_entity() {
    let bundle = |entities: &str| {
        let mut bundle = with_policies(r#"@id("a") permit (principal in Gate::Group::"named", action, resource in Gate::Path::"/api");"#);
        bundle.insert("policies/routes.toml", ROUTES);
        bundle.insert("policies/entities.json", entities);
        bundle
    };
    let entity = |of: &str, id: &str, more: &str| format!(r#"{{"uid": {{"type": "Gate::{of}", "id": "{id}"}}{more}}}"#);
    let group = |id: &str| format!(r#", "parents": [{{"type": "Gate::Group", "id": "{id}"}}]"#);
    let unused = |entities: &[String]| of(&bundle(&format!("[{}]", entities.join(","))));
    assert_eq!(unused(&[entity("Group", "nobody", "")]), [(UNUSED_ENTITY, "Gate::Group::\"nobody\"".to_owned())]);
    // No route makes an order here.
    assert_eq!(
        unused(&[entity("Order", "1", r#", "attrs": {"owner": {"type": "Gate::User", "id": "dev/x"}}"#)]),
        [(UNUSED_ENTITY, "Gate::Order::\"1\"".to_owned())]
    );
    assert_eq!(unused(&[entity("Group", "named", "")]), []);
    assert_eq!(unused(&[entity("Group", "night", &group("day")), entity("Group", "day", "")]), []);
    assert_eq!(unused(&[entity("User", "dev/x", r#", "attrs": {"suspended": true}"#)]), []);
    assert_eq!(unused(&[entity("Document", "1", r#", "attrs": {"public": true}"#)]), []);
}

#[test]
fn route_without_policy() {
    let routes = |policies: &str| {
        let mut bundle = with_policies(policies);
        bundle.insert("policies/routes.toml", ROUTES);
        let found = PolicyStore::advice(&bundle).into_iter().filter(|advice| advice.problem.code == ROUTE_WITHOUT_POLICY);
        found.map(|advice| advice.about.name().to_owned()).collect::<Vec<_>>()
    };
    let both = ["/api/orders", "/api/documents/{id}"];
    assert_eq!(routes(r#"@id("a") permit (principal, action, resource in Gate::Path::"/other");"#), both);
    assert_eq!(routes(r#"@id("a") forbid (principal, action, resource);"#), both);
    // Somebody may read, and nobody may do what the route has its own name for.
    assert_eq!(routes(r#"@id("a") permit (principal, action in Gate::Action::"read", resource);"#), ["/api/orders"]);
    assert_eq!(
        routes(r#"@id("a") permit (principal, action, resource) when { resource in Gate::Path::"/api/documents" };"#),
        ["/api/orders"]
    );
    assert_eq!(routes(r#"@id("a") permit (principal, action, resource in Gate::Path::"/api");"#), Vec::<String>::new());
}

#[test]
fn unreachable() {
    let group = r#"principal in Gate::Group::"x""#;
    // Orders have no route here, and what POST stands for on the collection has its own name.
    told(&format!(r#"@id("a") permit ({group}, action in Gate::Action::"read", resource is Gate::Order);"#), UNREACHABLE, "a");
    told(
        &format!(r#"@id("a") permit ({group}, action == Gate::Action::"POST", resource == Gate::Path::"/api/orders");"#),
        UNREACHABLE,
        "a",
    );
    told(&format!(r#"@id("a") permit ({group}, action == Gate::Action::"refundOrder", resource);"#), UNREACHABLE, "a");
    told(
        &format!(r#"@id("a") permit ({group}, action, resource) when {{ resource is Gate::Order || resource == Gate::Order::"1" }};"#),
        UNREACHABLE,
        "a",
    );

    silent(&format!(r#"@id("a") permit ({group}, action == Gate::Action::"GET", resource == Gate::Path::"/anything");"#));
    silent(&format!(r#"@id("a") permit ({group}, action == Gate::Action::"GET", resource == Gate::Path::"/api/orders");"#));
    silent(&format!(r#"@id("a") permit ({group}, action == Gate::Action::"createOrder", resource == Gate::Path::"/api/orders");"#));
    silent(&format!(r#"@id("a") permit ({group}, action == Gate::Action::"GET", resource == Gate::Document::"1");"#));
    silent(&format!(r#"@id("a") permit ({group}, action, resource) when {{ resource is Gate::Order || resource is Gate::Document }};"#));
    let own = r#"resource == Gate::Path::"/.well-known/cedargate/revocations""#;
    silent(&format!(r#"@id("a") permit ({group}, action == Gate::Action::"revoke", {own});"#));
    silent(&format!(r#"@id("a") permit ({group}, action == Gate::Action::"sign", resource is Gate::Document);"#));
}

#[test]
fn like_on_path() {
    let policy = |condition: &str| format!(r#"@id("a") permit (principal in Gate::Group::"x", action, resource) when {{ {condition} }};"#);
    told(&policy(r#"context.path like "/api/*""#), LIKE_ON_PATH, "a");
    told(&policy(r#"context.https && !(context.path like "*.map")"#), LIKE_ON_PATH, "a");
    silent(&policy(r#"context.host like "*.example.com""#));
    silent(&policy(r#"resource in Gate::Path::"/api""#));
}

#[test]
fn no_reason() {
    let reasons = |annotation: &str| {
        let bundle = with_policies(&format!("@id(\"a\") {annotation} forbid (principal, action, resource);"));
        PolicyStore::advice(&bundle).into_iter().map(|advice| advice.problem.code).collect::<Vec<_>>()
    };
    assert_eq!(reasons(""), [NO_REASON]);
    assert_eq!(reasons("@reason(\" \")"), [NO_REASON]);
    assert_eq!(reasons("@reason(\"closed for the winter\")"), Vec::<&str>::new());
}
