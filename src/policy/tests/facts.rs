//! From a raw request to a verdict: what the store is asked in earnest.

use std::collections::BTreeMap;
use std::time::Instant;

use super::{Asking, WEDNESDAY, bundle, ids, load, user};
use crate::identity::Identity;
use crate::policy::Purpose;
use crate::request::{Facts, Proxies, RawRequest, read};

fn facts(method: &str, path_with_query: &str, headers: &[(&str, &str)]) -> Facts {
    let mut all = vec![("host".to_owned(), b"api.example.com".to_vec())];
    all.extend(headers.iter().map(|(name, value)| ((*name).to_owned(), value.as_bytes().to_vec())));
    all.push(("spin-client-addr".to_owned(), b"10.1.2.3:4567".to_vec()));
    let raw = RawRequest { method, scheme: Some("http"), authority: None, path_with_query: Some(path_with_query), headers: &all };
    read(&raw, Proxies::default()).unwrap().0
}

#[test]
fn facts_are_asked_about_as_they_are() {
    let store = load(&bundle());
    let alice = user("alice", &["readers", "writers"], &["documents.write"]);
    for (method, path) in [("GET", "/api/documents/1"), ("DELETE", "/api/orders/41"), ("GET", "/"), ("PUT", "/api/documents/4")] {
        let verdict = store.authorize(&facts(method, path, &[]), &alice, Purpose::Request, WEDNESDAY);
        assert_eq!(verdict, Asking::new(method, path).ask(&store, &alice));
    }
}

#[test]
fn a_resource_is_known_by_its_decoded_id() {
    let store = load(&bundle());
    let anonymous = Identity::Anonymous;
    let verdict = store.authorize(&facts("GET", "/%61pi/documents/%33?x=%33", &[]), &anonymous, Purpose::Request, WEDNESDAY);
    assert_eq!((ids(&verdict), verdict.resource.as_str()), (vec!["public.documents"], r#"Gate::Document::"3""#));
    let verdict = store.authorize(&facts("GET", "/api/documents/%223%22", &[]), &anonymous, Purpose::Request, WEDNESDAY);
    assert_eq!((verdict.allow, verdict.resource.as_str()), (false, r#"Gate::Document::"\"3\"""#));
}

#[test]
fn a_context_header_sent_twice_denies() {
    let store = load(&bundle());
    let ask =
        |headers: &[(&str, &str)]| store.authorize(&facts("GET", "/health", headers), &Identity::Anonymous, Purpose::Request, WEDNESDAY);
    assert!(ask(&[("x-request-purpose", "a")]).allow);
    assert!(ask(&[("x-other", "a"), ("x-other", "b")]).allow);
    let twice = ask(&[("x-request-purpose", "a"), ("x-request-purpose", "a")]);
    assert!(!twice.allow && twice.errors.len() == 1, "{twice:?}");
    // An origin behind CGI, WSGI and their like reads all of these as one variable.
    for headers in [&[("x_request_purpose", "b")][..], &[("x-request-purpose", "a"), ("X-Request_Purpose", "b")]] {
        let folded = ask(headers);
        assert!(!folded.allow && folded.errors.len() == 1, "{folded:?}");
    }
}

/// `cargo test --release -- --ignored --nocapture cost_of` prints what a decision costs, with few and with many entities.
#[test]
#[ignore = "a measurement, not a test"]
#[expect(clippy::print_stderr, reason = "the measurement is what it prints")]
fn cost_of_a_decision() {
    let alice = user("alice", &["readers", "writers"], &["documents.write"]);
    let asked = facts("GET", "/api/documents/1?a=1&b=2", &[("x-request-purpose", "audit")]);
    let mut costs = BTreeMap::new();
    for entities in [0, 20_000] {
        let mut bundle = bundle();
        let more: String = (0..entities)
            .map(|n| format!(r#",{{"uid": {{"type": "Gate::Document", "id": "x{n}"}}, "attrs": {{"public": true}}, "parents": []}}"#))
            .collect();
        let text = std::str::from_utf8(bundle.get("policies/entities.json").unwrap()).unwrap().trim_end().trim_end_matches(']').to_owned();
        bundle.insert("policies/entities.json", format!("{text}{more}]"));
        let start = Instant::now();
        let store = load(&bundle);
        let loaded = start.elapsed();
        let start = Instant::now();
        for _ in 0..5_000 {
            assert!(store.authorize(&asked, &alice, Purpose::Request, WEDNESDAY).allow);
        }
        costs.insert(entities, (loaded, start.elapsed() / 5_000));
    }
    eprintln!("entities: (load, decision) {costs:?}");
}
