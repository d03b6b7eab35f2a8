use super::{Asking, WEDNESDAY, bundle, ids, load, token, user, with_policies};
use crate::bundle::Bundle;
use crate::decision::UnixTime;
use crate::identity::Identity;
use crate::policy::{PolicyRef, PolicyStore};

fn anonymous() -> Identity {
    Identity::Anonymous
}

#[test]
fn the_repository_policies_load() {
    let store = load(&bundle());
    assert!((15..=30).contains(&store.len()), "{}", store.len());
    assert!(!store.is_empty());
    assert!(store.policies().all(|policy| policy.reason.is_some() && policy.owner.is_some()));
}

#[test]
fn a_verdict_names_what_was_asked_and_carries_annotations() {
    let store = load(&bundle());
    let verdict = Asking::new("DELETE", "/api/orders/41").ask(&store, &user("mal\"lory", &[], &[]));
    assert_eq!(verdict.principal, r#"Gate::User::"dev/mal\"lory""#);
    assert_eq!(verdict.action, r#"Gate::Action::"cancelOrder""#);
    assert_eq!(verdict.resource, r#"Gate::Order::"41""#);
    assert_eq!(Asking::new("GET", "/").ask(&store, &anonymous()).resource, r#"Gate::Path::"/""#);
    let verdict = Asking::new("GET", "/").ask(&store, &user("mallory", &[], &[]));
    let expected = PolicyRef {
        id: "guardrail.suspended".to_owned(),
        reason: Some("the account is suspended".to_owned()),
        owner: Some("security-team".to_owned()),
        control: Some("AC-2(13)".to_owned()),
    };
    assert_eq!(verdict.determining, [expected]);
}

/// `policy` loads without a problem, and what happens when it is asked.
fn runtime_error(policy: &str) {
    let permit = "@id(\"all\") permit(principal, action, resource);";
    let store = load(&with_policies(&format!("{permit}\n@id(\"fails\") {policy}")));
    let verdict = Asking::new("GET", "/x").ask(&store, &anonymous());
    assert_eq!(verdict.errors.len(), 1, "{:?}", verdict.errors);
    assert!(verdict.errors.iter().all(|error| error.starts_with("fails: ")), "{:?}", verdict.errors);
    assert!(verdict.missing_scope.is_empty());
    // What Cedar itself says is kept; that it denies is for `decision` to say, and tested there.
    assert!(verdict.allow);
    let control = load(&with_policies(permit)).len();
    assert_eq!(control, 1);
}

#[test]
fn a_strictly_valid_policy_that_fails_at_run_time_is_an_error_of_the_verdict() {
    runtime_error("forbid(principal, action, resource) when { context.hour * 9223372036854775807 > 0 };");
    runtime_error("permit(principal, action, resource) when { context.hour * 9223372036854775807 > 0 };");
    // A static user who is not the caller has no facts of a token.
    runtime_error("forbid(principal, action, resource) when { Gate::User::\"dev/nobody\".subject == \"x\" };");
}

#[test]
fn errors_are_sorted_by_policy() {
    let overflow = "when { context.hour * 9223372036854775807 > 0 };";
    let all: String = ["b", "c", "a"].map(|id| format!("@id(\"{id}\") permit(principal, action, resource) {overflow}\n")).concat();
    let verdict = Asking::new("GET", "/x").ask(&load(&with_policies(&all)), &anonymous());
    let starts: Vec<_> = verdict.errors.iter().filter_map(|error| error.split_once(':')).map(|(id, _)| id).collect();
    assert_eq!(starts, ["a", "b", "c"]);
    assert!(!verdict.allow);
}

#[test]
fn ancestors_go_by_segments_and_not_by_prefix() {
    let store = load(&with_policies("@id(\"admin\") permit(principal, action, resource in Gate::Path::\"/api/admin\");"));
    let allow = |path: &str| Asking::new("GET", path).ask(&store, &anonymous()).allow;
    for inside in ["/api/admin", "/api/admin/users", "/api/admin/users/7/x"] {
        assert!(allow(inside), "{inside}");
    }
    for outside in ["/", "/api", "/api/administrator", "/api/admi", "/admin", "/x/api/admin", "/API/admin", "/api/Admin"] {
        assert!(!allow(outside), "{outside}");
    }
}

#[test]
fn typed_resources_are_below_their_path() {
    let mut bundle = bundle();
    bundle.insert("policies/x.cedar", "@id(\"x\") permit(principal, action, resource in Gate::Path::\"/api/documents\");");
    let store = load(&bundle);
    assert_eq!(ids(&Asking::new("GET", "/api/documents/77").ask(&store, &anonymous())), ["x"]);
    assert!(!Asking::new("GET", "/api/orders/77").ask(&store, &anonymous()).allow);
}

#[test]
fn a_segment_that_could_be_two_is_an_error() {
    let store = load(&with_policies("@id(\"all\") permit(principal, action, resource);"));
    assert!(Asking::new("GET", "/a/b").ask(&store, &anonymous()).errors.is_empty());
    for segment in ["a/b", ""] {
        let mut asking = Asking::new("GET", "/");
        asking.segments = vec![segment.to_owned()];
        let verdict = asking.ask(&store, &anonymous());
        assert!(!verdict.allow && verdict.errors.len() == 1, "{verdict:?}");
    }
}

/// The repository's policies, with other entities and one more policy file.
fn with_entities(entities: &str, policies: &str) -> Bundle {
    let mut bundle = with_policies(policies);
    bundle.insert("policies/entities.json", entities);
    bundle.insert("policies/routes.toml", super::bundle().get("policies/routes.toml").unwrap());
    bundle
}

#[test]
fn what_entities_json_says_of_a_caller_is_added_to_the_token() {
    let entities = r#"[
        {"uid": {"type": "Gate::User", "id": "dev/alice"}, "attrs": {"department": "research"}, "parents": [{"type": "Gate::Group", "id": "extra"}]},
        {"uid": {"type": "Gate::Group", "id": "extra"}, "attrs": {}, "parents": [{"type": "Gate::Group", "id": "top"}]}
    ]"#;
    let policies = r#"
        @id("both") permit(principal is Gate::User, action == Gate::Action::"GET", resource)
        when { principal has department && principal.department == "research" && principal.subject == "alice" && principal.scopes.contains("s") };
        @id("claimed") permit(principal in Gate::Group::"claimed", action == Gate::Action::"PUT", resource);
        @id("static") permit(principal in Gate::Group::"top", action == Gate::Action::"POST", resource);
    "#;
    let store = load(&with_entities(entities, policies));
    let alice = user("alice", &["claimed"], &["s"]);
    for (method, id) in [("GET", "both"), ("PUT", "claimed"), ("POST", "static")] {
        assert_eq!(ids(&Asking::new(method, "/x").ask(&store, &alice)), [id]);
        assert!(!Asking::new(method, "/x").ask(&store, &user("bob", &[], &["s"])).allow);
    }
}

#[test]
fn groups_are_in_groups() {
    let entities = r#"[
        {"uid": {"type": "Gate::Group", "id": "c"}, "attrs": {}, "parents": [{"type": "Gate::Group", "id": "d"}]},
        {"uid": {"type": "Gate::Group", "id": "a"}, "attrs": {}, "parents": [{"type": "Gate::Group", "id": "b"}]},
        {"uid": {"type": "Gate::Group", "id": "b"}, "attrs": {}, "parents": [{"type": "Gate::Group", "id": "c"}]}
    ]"#;
    let store = load(&with_entities(entities, "@id(\"d\") permit(principal in Gate::Group::\"d\", action, resource);"));
    for (group, allowed) in [("a", true), ("b", true), ("c", true), ("d", true), ("e", false), ("dev/d", false)] {
        assert_eq!(Asking::new("GET", "/x").ask(&store, &user("x", &[group], &[])).allow, allowed, "{group}");
    }
    assert!(!Asking::new("GET", "/x").ask(&store, &user("x", &[], &[])).allow);
}

#[test]
fn a_circle_that_a_token_closes_denies() {
    let entities =
        r#"[{"uid": {"type": "Gate::Group", "id": "loop"}, "attrs": {}, "parents": [{"type": "Gate::User", "id": "dev/alice"}]}]"#;
    let mut bundle = with_entities(entities, "@id(\"loop\") permit(principal in Gate::Group::\"loop\", action, resource);");
    let schema = std::str::from_utf8(bundle.get(PolicyStore::SCHEMA).unwrap()).unwrap().to_owned();
    assert!(schema.contains("entity Group in [Group];"));
    bundle.insert(PolicyStore::SCHEMA, schema.replace("entity Group in [Group];", "entity Group in [Group, User];"));
    let store = load(&bundle);
    assert_eq!(ids(&Asking::new("GET", "/x").ask(&store, &user("bob", &["loop"], &[]))), ["loop"]);
    let verdict = Asking::new("GET", "/x").ask(&store, &user("alice", &["loop"], &[]));
    assert!(!verdict.allow && verdict.errors.len() == 1 && verdict.errors[0].contains("transitive closure"), "{verdict:?}");
}

#[test]
fn policies_can_follow_attributes_from_the_resource_to_other_entities() {
    let entities = r#"[
        {"uid": {"type": "Gate::Document", "id": "1"}, "attrs": {"owner": {"type": "Gate::User", "id": "dev/bob"}}, "parents": []},
        {"uid": {"type": "Gate::Document", "id": "2"}, "attrs": {"owner": {"type": "Gate::User", "id": "dev/eve"}}, "parents": []},
        {"uid": {"type": "Gate::User", "id": "dev/bob"}, "attrs": {"department": "research"}, "parents": [{"type": "Gate::Group", "id": "lab"}]},
        {"uid": {"type": "Gate::User", "id": "dev/eve"}, "attrs": {"department": "sales"}, "parents": []}
    ]"#;
    let policies = r#"
        @id("department") permit(principal, action == Gate::Action::"GET", resource is Gate::Document)
        when { resource has owner && resource.owner has department && resource.owner.department == "research" };
        @id("group") permit(principal, action == Gate::Action::"PUT", resource is Gate::Document)
        when { resource has owner && resource.owner in Gate::Group::"lab" };
        @id("literal") permit(principal, action == Gate::Action::"GET", resource == Gate::Path::"/literal")
        when { Gate::User::"dev/eve" has department && Gate::User::"dev/eve".department == "sales" };
    "#;
    let store = load(&with_entities(entities, policies));
    for (method, id) in [("GET", "department"), ("PUT", "group")] {
        assert_eq!(ids(&Asking::new(method, "/api/documents/1").ask(&store, &anonymous())), [id]);
        assert!(!Asking::new(method, "/api/documents/2").ask(&store, &anonymous()).allow);
        assert!(!Asking::new(method, "/api/documents/3").ask(&store, &anonymous()).allow);
    }
    assert_eq!(ids(&Asking::new("GET", "/literal").ask(&store, &anonymous())), ["literal"]);
}

#[test]
fn the_context_holds_query_allowed_headers_and_token() {
    let policies = r#"
        @id("query") permit(principal, action, resource == Gate::Path::"/q") when { context.query.contains({name: "a", value: "2"}) };
        @id("header") permit(principal, action, resource == Gate::Path::"/h")
        when { context.headers.contains({name: "x-request-purpose", value: "audit"}) };
        @id("other") permit(principal, action, resource) when { context.headers.contains({name: "x-other", value: "1"}) };
        @id("token") permit(principal, action, resource == Gate::Path::"/t")
        when { context has token && context.token.issuer_name == "dev" && context.token has age && context.token.age == 60 && context.token.expires_in == 3540 };
        @id("time") permit(principal, action, resource == Gate::Path::"/now")
        when { context.time == datetime("2025-01-01T10:00:00Z") && context.weekday == 3 && context.hour == 10 };
        @id("host") permit(principal, action, resource == Gate::Path::"/host")
        when { context.host == "api.example.com" && context.path == "/host" && context.method == "GET" && !context.https };
    "#;
    let store = load(&with_entities("[]", policies));
    let mut query = Asking::new("GET", "/q");
    assert!(!query.ask(&store, &anonymous()).allow);
    query.parameters = [("a", "1"), ("a", "2"), ("a", "2")].map(|(n, v)| (n.to_owned(), v.to_owned())).to_vec();
    assert_eq!(ids(&query.ask(&store, &anonymous())), ["query"]);

    let header = Asking::new("GET", "/h");
    assert!(!header.ask(&store, &anonymous()).allow);
    assert_eq!(ids(&header.clone().header("x-request-purpose", b"audit").ask(&store, &anonymous())), ["header"]);
    assert!(!header.clone().header("x-other", b"1").ask(&store, &anonymous()).allow);
    // Ambiguous or unreadable: denied, not ignored.
    for second in [&b"audit"[..], b"x"] {
        let verdict = header.clone().header("x-request-purpose", b"audit").header("x-request-purpose", second).ask(&store, &anonymous());
        assert!(!verdict.allow && verdict.errors.len() == 1, "{verdict:?}");
    }
    let verdict = header.header("x-request-purpose", b"\xff").ask(&store, &anonymous());
    assert!(!verdict.allow && verdict.errors.len() == 1, "{verdict:?}");

    assert_eq!(ids(&Asking::new("GET", "/t").ask(&store, &user("x", &[], &[]))), ["token"]);
    assert!(!Asking::new("GET", "/t").ask(&store, &anonymous()).allow);
    assert_eq!(ids(&Asking::new("GET", "/now").ask(&store, &anonymous())), ["time"]);
    assert_eq!(ids(&Asking::new("GET", "/host").ask(&store, &anonymous())), ["host"]);
}

#[test]
fn a_time_out_of_range_is_an_error() {
    let store = load(&with_policies("@id(\"all\") permit(principal, action, resource);"));
    assert!(Asking::new("GET", "/").ask(&store, &anonymous()).allow);
    for seconds in [-1, i64::MIN, i64::MAX] {
        let verdict = Asking::new("GET", "/").at(seconds).ask(&store, &anonymous());
        assert!(!verdict.allow && verdict.errors.len() == 1, "{verdict:?}");
    }
}

#[test]
fn a_missing_scope_is_named_only_when_it_could_help() {
    let store = load(&bundle());
    let missing = |identity: &Identity, path: &str| Asking::new("PUT", path).ask(&store, identity).missing_scope;
    assert_eq!(missing(&user("alice", &["writers"], &[]), "/api/documents/1"), ["documents.write"]);
    // Has the scope, and is denied for another reason.
    assert!(missing(&user("eve", &[], &["documents.write"]), "/api/documents/1").is_empty());
    // A forbid decided.
    assert!(missing(&user("mallory", &[], &[]), "/api/documents/1").is_empty());
    // Allowed.
    assert!(missing(&user("carol", &["admins"], &[]), "/api/documents/1").is_empty());
    // Nobody is asking.
    assert!(missing(&anonymous(), "/api/documents/1").is_empty());
    // No route says so.
    assert!(missing(&user("alice", &["writers"], &[]), "/api/other").is_empty());
}

#[test]
fn what_the_schema_does_not_declare_is_never_permitted() {
    let whole = bundle();
    let schema = std::str::from_utf8(whole.get(PolicyStore::SCHEMA).unwrap()).unwrap();
    let narrowed = schema.replacen(
        "action \"POST\", \"PUT\", \"PATCH\", \"DELETE\" in [\"write\"] appliesTo {\n    principal: [User, Workload, Anonymous, SignedUrl],",
        "action \"POST\", \"PUT\", \"PATCH\", \"DELETE\" in [\"write\"] appliesTo {\n    principal: [User, Workload, SignedUrl],",
        1,
    );
    assert_ne!(schema, narrowed);
    let mut bundle = with_policies("@id(\"all\") permit(principal, action, resource);");
    assert!(Asking::new("POST", "/").ask(&load(&bundle), &anonymous()).allow);
    bundle.insert(PolicyStore::SCHEMA, narrowed);
    let store = load(&bundle);
    assert!(!Asking::new("POST", "/").ask(&store, &anonymous()).allow);
    assert!(Asking::new("POST", "/").ask(&store, &user("x", &[], &[])).allow);
    assert!(Asking::new("GET", "/").ask(&store, &anonymous()).allow);
}

#[test]
fn most_groups_and_segments_are_no_trouble() {
    let store =
        load(&with_policies("@id(\"last\") permit(principal in Gate::Group::\"g255\", action, resource in Gate::Path::\"/s/s/s\");"));
    let groups: Vec<String> = (0..256).map(|n| format!("g{n}")).collect();
    let mut caller = token("x", &[], &[]);
    caller.groups = groups;
    let mut asking = Asking::new("GET", "/");
    asking.segments = vec!["s".to_owned(); 64];
    assert!(asking.ask(&store, &Identity::from(caller)).allow);
}

#[test]
fn the_same_question_has_the_same_answer() {
    let (one, two) = (load(&bundle()), load(&bundle()));
    let mallory = user("mallory", &["admins"], &[]);
    let asking = Asking::new("PUT", "/api/documents/4").from(None);
    let first = asking.ask(&one, &mallory);
    assert_eq!(ids(&first), ["guardrail.legal-hold", "guardrail.suspended"]);
    for _ in 0..20 {
        assert_eq!(asking.ask(&one, &mallory), first);
        assert_eq!(asking.ask(&two, &mallory), first);
    }
    assert_ne!(asking.at(WEDNESDAY.0).now, UnixTime(0));
}

/// What a decision costs must not grow with entities it has nothing to do with. Counted, not timed.
#[test]
fn only_reachable_entities_are_taken_along() {
    let many: Vec<String> = (0..3_000)
        .map(|n| format!(r#"{{"uid": {{"type": "Gate::Document", "id": "{n}"}}, "attrs": {{"owner": {{"type": "Gate::User", "id": "dev/u{n}"}}}}, "parents": []}}"#))
        .collect();
    let store = load(&with_entities(
        &format!("[{}]", many.join(",")),
        "@id(\"own\") permit(principal, action, resource is Gate::Document) when { resource has owner && resource.owner == principal };",
    ));
    assert!(Asking::new("GET", "/api/documents/2999").ask(&store, &user("u2999", &[], &[])).allow);
    assert!(!Asking::new("GET", "/api/documents/2999").ask(&store, &user("u2998", &[], &[])).allow);
    let made = super::super::entities::Made { uid: store.names.action("x"), attrs: vec![], parents: vec![] };
    assert_eq!(super::super::entities::assemble(&store.statics, vec![made], [], []).unwrap().len(), 1);
}
