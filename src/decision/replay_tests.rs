//! Records of decisions, made natively, asked again.

use serde_json::{Value, json};

use super::{Flip, Replayed, Replayer};
use crate::audit::Entry;
use crate::bundle::{Bundle, Gate};

const SCHEMA: &str = include_str!("../../policies/schema.cedarschema");

fn gate(policies: &str, routes: &str) -> Gate {
    let mut bundle = Bundle::default();
    bundle.insert("policies/schema.cedarschema", SCHEMA);
    bundle.insert("policies/all.cedar", policies);
    bundle.insert("policies/routes.toml", format!("version = 1\n{routes}"));
    bundle.insert("keys/issuers.toml", include_str!("../../tests/gate/keys/issuers.toml"));
    for (path, bytes) in crate::cli::files::read_bundle("policies".as_ref(), "tests/gate/keys".as_ref(), false).unwrap().iter() {
        if path.starts_with("keys/") {
            bundle.insert(path, bytes);
        }
    }
    Gate::load(&bundle).unwrap_or_else(|report| panic!("{:?}", report.problems()))
}

/// What alice's reading of a document leaves behind, with some of it changed.
fn entry(change: impl FnOnce(&mut Value)) -> Entry {
    let mut record = json!({
        "v": 1, "kind": "decision", "decision": "allow", "reason": "policy.permit", "policies": [{"id": "readers"}], "errors": [],
        "cedar": {"principal": "Gate::User::\"corp/alice\"", "action": "Gate::Action::\"GET\"", "resource": "Gate::Path::\"/a/b\""},
        "identity": {
            "issuer": "https://corp.example/", "issuer_name": "corp", "kind": "user", "principal": "corp/alice", "subject": "alice",
            "alg": "EdDSA", "groups": ["corp/readers"], "roles": [], "scopes": [], "audience": [], "amr": [], "expires_at": 1_800_000_000,
            "bindings": [],
        },
        "request": {"method": "GET", "host": "a.example", "path": "/a/b", "client": "10.1.2.3"},
        "inputs": {"decided_at": 1_799_834_400, "https": true, "purpose": "request", "query": [], "headers": []},
    });
    change(&mut record);
    Entry::parse(&record.to_string()).unwrap()
}

const READERS: &str = r#"@id("readers") permit(principal in Gate::Group::"corp/readers", action in Gate::Action::"read", resource);"#;

fn one(gate: &Gate, entry: &Entry) -> Replayed {
    let mut all = Replayer::new(gate).replay(entry);
    assert_eq!(all.len(), 1);
    all.remove(0)
}

#[test]
fn the_same_policies_give_the_same_answer_for_the_same_reason() {
    let gate = gate(READERS, "");
    let replayed = one(&gate, &entry(|_| ()));
    assert!(replayed.is_same() && replayed.flip().is_none(), "{replayed:?}");
    let denied = one(
        &gate,
        &entry(|record| {
            record["identity"]["groups"] = json!([]);
            record["reason"] = json!("policy.no_permit");
            record["policies"] = json!([]);
        }),
    );
    assert!(denied.is_same(), "{denied:?}");
    // Allowed by policies, and ended by something else since.
    let failed = one(&gate, &entry(|record| record["reason"] = json!("system.configuration")));
    assert!(failed.is_same(), "{failed:?}");
}

#[test]
fn other_policies_flip_what_they_decide_otherwise() {
    let forbids = format!(r#"{READERS} @id("nobody") forbid(principal, action, resource in Gate::Path::"/a");"#);
    let replayed = one(&gate(&forbids, ""), &entry(|_| ()));
    assert_eq!((replayed.flip(), replayed.after.unwrap().policies), (Some(Flip::AllowToDeny), vec!["nobody".to_owned()]));
    let denied = entry(|record| {
        record["reason"] = json!("policy.no_permit");
        record["policies"] = json!([]);
    });
    assert_eq!(one(&gate(READERS, ""), &denied).flip(), Some(Flip::DenyToAllow));
    let fails = format!(r#"{READERS} @id("fails") forbid(principal, action, resource) when {{ context.hour * 9223372036854775807 > 0 }};"#);
    assert_eq!(one(&gate(&fails, ""), &entry(|_| ())).flip(), Some(Flip::NowErroring));
    // The same decision by another policy is no flip, and not the same.
    let other = READERS.replace("\"readers\"", "\"others\"");
    let replayed = one(&gate(&other, ""), &entry(|_| ()));
    assert!(replayed.flip().is_none() && !replayed.is_same());
}

#[test]
fn what_was_refused_before_policies_were_asked_depends_on_none() {
    let gate = gate(READERS, "");
    let refused = entry(|record| {
        record["cedar"] = Value::Null;
        record["reason"] = json!("jwt.expired");
    });
    assert_eq!(Replayer::new(&gate).replay(&refused), []);
    let outcome = entry(|record| record["kind"] = json!("outcome"));
    assert_eq!(Replayer::new(&gate).replay(&outcome), []);
}

#[test]
fn what_is_masked_only_matters_to_policies_that_look_at_it() {
    let masked = |place: &str| {
        let place = place.to_owned();
        entry(move |record| record["erased"] = json!([place]))
    };
    let plain = gate(READERS, "");
    let query = gate(
        &format!(
            r#"{READERS} @id("q") forbid(principal, action, resource) when {{ context.query.containsAny([{{"name": "a", "value": "b"}}]) }};"#
        ),
        "",
    );
    let place = gate(
        &format!(
            r#"{READERS} @id("c") forbid(principal, action, resource) unless {{ context has client_ip && context.client_ip.isInRange(ip("10.0.0.0/8")) }};"#
        ),
        "",
    );
    let known = |gate: &Gate, entry: &Entry| one(gate, entry).after.is_ok();
    assert!(
        known(&plain, &masked("inputs.query")) && known(&plain, &masked("request.client")) && known(&plain, &masked("identity.token_id"))
    );
    assert!(!known(&query, &masked("inputs.query")) && known(&query, &masked("request.client")));
    assert!(known(&place, &masked("inputs.query")) && !known(&place, &masked("request.client")) && known(&place, &entry(|_| ())));
    // Who, in which group, and where matter always; and what nobody knows.
    for always in ["identity.principal", "identity.groups", "identity.roles", "request.path", "something.new"] {
        let replayed = one(&plain, &masked(always));
        assert_eq!(replayed.after.unwrap_err(), format!("not shown in the record: {always}"));
    }
}

#[test]
fn a_header_that_policies_could_not_read_then_is_not_known_now() {
    let reads = format!(
        r#"{READERS} @id("h") forbid(principal, action, resource) when {{ context.headers.contains({{"name": "x-purpose", "value": "test"}}) }};"#
    );
    let reads = gate(&reads, "context_headers = ['x-purpose']");
    assert!(one(&reads, &entry(|_| ())).after.is_err());
    let absent = entry(|record| record["inputs"]["header_names"] = json!(["x-purpose"]));
    assert!(one(&reads, &absent).is_same());
    let present = entry(|record| {
        record["inputs"]["header_names"] = json!(["x-purpose"]);
        record["inputs"]["headers"] = json!([{"name": "x-purpose", "value": "test"}]);
    });
    assert_eq!(one(&reads, &present).flip(), Some(Flip::AllowToDeny));
}

#[test]
fn each_signed_url_of_a_request_is_asked_for_again() {
    let item = |path: &str, reason: &str, policies: &[&str], cedar: bool| {
        let policies: Vec<_> = policies.iter().map(|id| json!({"id": id})).collect();
        json!({
            "decision": if reason == "policy.permit" { "allow" } else { "deny" }, "reason": reason, "format": "cedargate", "methods": ["GET"],
            "path": path, "query": [], "prefix": false, "expires_in": 60, "policies": policies,
            "cedar": cedar.then(|| json!({"principal": "p", "action": "a", "resource": "r"})),
        })
    };
    let entry = entry(|record| {
        record["inputs"]["purpose"] = json!("sign");
        record["cedar"] = Value::Null;
        record["request"]["path"] = json!("/.well-known/cedargate/sign");
        record["signing"] = json!([
            item("/a/b", "policy.permit", &["links", "readers"], true),
            item("/c", "policy.no_permit", &[], true),
            item("/a/b", "sign.lifetime", &["links", "readers"], true),
            item("/a/b", "policy.no_permit", &[], false),
        ]);
    });
    let links = format!(r#"{READERS} @id("links") permit(principal, action == Gate::Action::"sign", resource in Gate::Path::"/a");"#);
    let gate = gate(&links, "");
    let replayed = Replayer::new(&gate).replay(&entry);
    assert_eq!(replayed.iter().map(|one| one.item).collect::<Vec<_>>(), [Some(0), Some(1), Some(2)]);
    assert!(replayed.iter().all(Replayed::is_same), "{replayed:#?}");
    let without = self::gate(READERS, "");
    let flips: Vec<_> = Replayer::new(&without).replay(&entry).iter().map(Replayed::flip).collect();
    assert_eq!(flips, [Some(Flip::AllowToDeny), None, Some(Flip::AllowToDeny)]);
}

#[test]
fn a_record_that_cannot_be_read_is_told_as_such() {
    let gate = gate(READERS, "");
    for (place, value) in [
        ("/identity/alg", json!("none")),
        ("/identity/kind", json!("robot")),
        ("/request/method", json!("BREW")),
        ("/request/path", json!("/a/../b")),
        ("/request/path", Value::Null),
        ("/inputs/purpose", json!("dance")),
        ("/inputs", Value::Null),
    ] {
        let replayed = one(&gate, &entry(|record| *record.pointer_mut(place).unwrap() = value.clone()));
        assert!(replayed.after.is_err() && replayed.flip().is_none() && !replayed.is_same(), "{place} {value}: {replayed:?}");
    }
}
