//! Each problem beside the good bundle it was made of.

use super::{bundle, load, with_policies};
use crate::bundle::{Bundle, Problem, Report};
use crate::policy::PolicyStore;

/// Every problem of a bundle; with one there is no store.
pub(super) fn problems(bundle: &Bundle) -> Vec<Problem> {
    let mut report = Report::default();
    let store = PolicyStore::load(bundle, &mut report);
    assert_eq!(store.is_none(), !report.is_empty());
    report.problems().into_iter().cloned().collect()
}

fn codes(bundle: &Bundle) -> Vec<&'static str> {
    let mut codes: Vec<_> = problems(bundle).into_iter().map(|problem| problem.code).collect();
    codes.dedup();
    codes
}

/// The only problem of a bundle, and the text at its place.
pub(super) fn only(bundle: &Bundle) -> (Problem, String) {
    let found = problems(bundle);
    let [problem] = &*found else { panic!("not one problem: {found:#?}") };
    let text = bundle.get(&problem.file).map(|bytes| std::str::from_utf8(bytes).unwrap()).unwrap_or_default();
    (problem.clone(), problem.span.clone().map(|span| text[span].to_owned()).unwrap_or_default())
}

/// The repository's bundle with one file changed.
fn changed(file: &str, from: &str, to: &str) -> Bundle {
    let mut bundle = bundle();
    let text = std::str::from_utf8(bundle.get(file).unwrap()).unwrap().to_owned();
    assert!(text.contains(from), "{from}");
    bundle.insert(file, text.replacen(from, to, 1));
    bundle
}

fn schema(from: &str, to: &str) -> Bundle {
    let mut bundle = with_policies("@id(\"all\") permit(principal, action, resource);");
    let text = std::str::from_utf8(bundle.get(PolicyStore::SCHEMA).unwrap()).unwrap().to_owned();
    assert!(text.contains(from), "{from}");
    bundle.insert(PolicyStore::SCHEMA, text.replacen(from, to, 1));
    bundle
}

fn routes(text: &str) -> Bundle {
    let mut bundle = bundle();
    bundle.insert("policies/routes.toml", text);
    bundle
}

fn entities(text: &str) -> Bundle {
    let mut bundle = with_policies("@id(\"all\") permit(principal, action, resource);");
    bundle.insert("policies/entities.json", text);
    bundle
}

#[test]
fn the_bundles_the_others_are_made_of_are_good() {
    load(&bundle());
    load(&with_policies("@id(\"all\") permit(principal, action, resource);"));
    load(&schema("entity Role in [Role];", "entity Role;"));
    load(&routes("version = 1"));
    load(&entities("[]"));
    load(&entities(r#"[{"uid": {"type": "Gate::User", "id": "x"}, "attrs": {"suspended": true}}]"#));
}

#[test]
fn policy_problems() {
    let case = |policy: &str, code: &str, at: &str| {
        let (problem, text) = only(&with_policies(policy));
        assert_eq!((problem.code, text.as_str()), (code, at), "{problem:?}");
        problem
    };
    let good = "@id(\"a\") permit(principal, action, resource);";
    let syntax = case("@id(\"a\") permit(principal, action, resource) when { context.hour > };", "policy.syntax", "}");
    assert!(syntax.help.unwrap().contains("expected"));
    case("permit(principal, action, resource);", "policy.id", "permit(principal, action, resource);");
    case("@id permit(principal, action, resource);", "policy.id", "@id permit(principal, action, resource);");
    for id in ["a b", "ä", "a/b", "a\\n", &"x".repeat(129)] {
        let (problem, _) = only(&with_policies(&good.replace("\"a\"", &format!("\"{id}\""))));
        assert_eq!(problem.code, "policy.id");
    }
    load(&with_policies(&good.replace("\"a\"", &format!("\"{}\"", "x".repeat(128)))));
    let twice = case(&format!("{good}\n{good}"), "policy.id", good);
    assert!(twice.message.contains("policies/a.cedar, line 1"), "{}", twice.message);
    assert_eq!(twice.span.unwrap().start, good.len() + 1);
    case(
        "@id(\"t\") permit(principal == ?principal, action, resource);\n@id(\"a\") permit(principal, action, resource);",
        "policy.template",
        "@id(\"t\") permit(principal == ?principal, action, resource);",
    );
    let typo = case("@id(\"a\") permit(principal, action, resource) when { context.hoour > 2 };", "policy.validation", "context.hoour");
    assert_eq!(typo.help.as_deref(), Some("did you mean `hour`?"));
    // One mistake is one problem: that no request can match such a policy goes without saying.
    let typo = case("@id(\"a\") permit(principal in Gate::Gruop::\"x\", action, resource);", "policy.validation", "Gate::Gruop");
    assert_eq!(typo.help.as_deref(), Some("did you mean `Gate::Group`?"));
    let never = "@id(\"a\") permit(principal, action, resource) when { false };";
    case(never, "policy.warning", never);
    let slip = case("@id(\"a\") @raeson(\"r\") permit(principal, action, resource);", "policy.annotation", "@raeson");
    assert_eq!(slip.help.as_deref(), Some("did you mean `@reason`?"));
    load(&with_policies("@id(\"a\") @doc(\"anything\") permit(principal, action, resource);"));
    assert_eq!(codes(&with_policies("// nothing")), ["policy.none"]);
    let mut bundle = with_policies(good);
    bundle.insert("policies/b.cedar", b"\xff\xfe".to_vec());
    assert_eq!(codes(&bundle), ["bundle.not_utf8"]);
}

#[test]
fn a_policy_about_a_path_that_no_request_has() {
    let policy = |path: &str| format!("@id(\"a\") forbid(principal, action, resource in Gate::Path::\"{path}\");");
    for good in ["/", "/api", "/api/ä b", "/api/~x"] {
        load(&with_policies(&policy(good)));
    }
    for bad in ["", "api", "/api/", "//", "/api//x", "/api/../x", "/a%20b", "/api/*", "/api/{id}", "/a?b", "/a;b"] {
        let (problem, text) = only(&with_policies(&policy(bad)));
        assert_eq!((problem.code, text), ("policy.path", format!("\"{bad}\"")));
    }
}

#[test]
fn problems_of_several_files_are_told_together_and_in_their_own_file() {
    let mut bundle = with_policies("permit(principal, action, resource);");
    bundle.insert("policies/deep/er/b.cedar", "// first line\n@id(\"b\") permit(principal, action, resource) when { context.nope };");
    bundle.insert("policies/c.cedar", "@id(\"c\") permit(");
    bundle.insert("policies/routes.toml", "version = 2\nrotue = 1");
    bundle.insert("policies/entities.json", "[1]");
    bundle.insert("policies/route.toml", "");
    let found: Vec<_> =
        problems(&bundle).into_iter().map(|problem| (problem.file, problem.code, problem.help.unwrap_or_default())).collect();
    let files: Vec<_> = found.iter().map(|(file, code, _)| (file.as_str(), *code)).collect();
    assert_eq!(
        files,
        [
            ("policies/a.cedar", "policy.id"),
            ("policies/c.cedar", "policy.syntax"),
            ("policies/deep/er/b.cedar", "policy.validation"),
            ("policies/entities.json", "entities.uid"),
            ("policies/route.toml", "bundle.unknown_file"),
            ("policies/routes.toml", "routes.version"),
            ("policies/routes.toml", "routes.unknown_key"),
        ]
    );
    assert_eq!(found[4].2, "did you mean `policies/routes.toml`?");
    assert_eq!(found[6].2, "did you mean `route`?");
}

#[test]
fn files_of_others_are_none_of_its_business() {
    let mut bundle = bundle();
    bundle.insert("keys/issuers.toml", "nonsense");
    load(&bundle);
    bundle.insert("policies/links.json", "[]");
    assert_eq!(codes(&bundle), ["bundle.unknown_file"]);
}

#[test]
fn schema_problems() {
    let mut missing = bundle();
    missing = missing.iter().filter(|(file, _)| *file != PolicyStore::SCHEMA).map(|(f, b)| (f.to_owned(), b.to_vec())).collect();
    assert_eq!(codes(&missing), ["schema.missing"]);

    let case = |from: &str, to: &str, code: &str, at: &str| {
        let (problem, text) = only(&schema(from, to));
        assert_eq!((problem.code, text.as_str()), (code, at), "{problem:?}");
        assert!(code == "schema.invalid" || problem.help.is_some());
        problem.message
    };
    case("entity Anonymous;", "entity Anonymous", "schema.invalid", "entity");
    case("Set<Pair>", "Set<Pear>", "schema.invalid", "Pear");
    let hour = case("hour: Long,", "hour: String,", "schema.context", "type RequestContext");
    assert!(hour.ends_with(": `hour: String` in `RequestContext` is not `hour: Long`"), "{hour}");
    case("name: String,", "name: Long,", "schema.context", "type RequestContext");
    // The same type, written in another way.
    load(&schema("query: Set<Pair>,", "query: Set<{name: String, value: String}>,"));
}

#[test]
fn a_schema_without_what_the_gate_fills_in() {
    let says = |from: &str, to: &str, code: &str, part: &str| {
        let found = problems(&schema(from, to));
        assert!(found.iter().any(|problem| problem.code == code && problem.message.contains(part)), "{from}: {found:#?}");
    };
    says("hour: Long,", "hour: String,", "schema.context", "does not accept");
    says("hour: Long,", "", "schema.context", "lacks the attribute `hour`");
    says("client_ip?: ipaddr,", "client_ip: ipaddr,", "schema.context", "does not accept");
    says("token?: Token,", "token: Token,", "schema.context", "does not accept");
    says("hour: Long,", "hour: Long, minute: Long,", "schema.context", "attribute `minute` that the gate does not know");
    says("hour: Long,", "hour: Long, mfa?: Bool,", "schema.context", "attribute `mfa` that the gate does not know");
    says("acr?: String,", "acr?: String, acrr?: String,", "schema.context", "attribute `acrr`");
    says("context: RequestContext,", "context: {},", "schema.context", "is not `RequestContext`");
    says("context: RequestContext,\n", "", "schema.context", "is not `RequestContext`");
    says("entity Anonymous;", "", "schema.invalid", "Anonymous");
    says("entity User in [Group, Role]", "entity User in [Group]", "schema.entity", "`Gate::User`");
    says("entity Path in [Path];", "entity Path;", "schema.entity", "`Gate::Path`");
    says("department?: String,", "department: String,", "schema.entity", "department");
    says("email?: String,", "", "schema.entity", "email");
    says("// GATE. The subject claim.\n    subject: String,", "subject: Long,", "schema.entity", "subject");
    says("certificate?: Certificate,", "", "schema.context", "lacks the attribute `certificate`");
    says("certificate?: Certificate,", "certificate: Certificate,", "schema.context", "does not accept");
    says("bindings: Set<String>,", "", "schema.context", "`Token` lacks the attribute `bindings`");
    says("spiffe_id?: String,", "spiffe_id: String,", "schema.context", "does not accept");
    says("serial: String,", "serial: Long,", "schema.context", "does not accept");
    says("anchor: String,", "anchor: String, ancor?: String,", "schema.context", "attribute `ancor`");
    says("type Certificate =", "type Certificates =", "schema.invalid", "");
    says("action \"GET\", \"HEAD\"", "action \"HEAD\"", "schema.action", "\"GET\"");
    says("\"OPTIONS\" in [\"read\"]", "\"OPTIONS\"", "schema.action", "`OPTIONS` is not in `read`");
    says("resource: [Path, Document, Order],", "resource: [Document, Order],", "schema.action", "does not apply to `Gate::Path`");
}

#[test]
fn routes_problems() {
    let case = |text: &str, code: &str, at: &str| {
        let (problem, found) = only(&routes(text));
        assert_eq!((problem.code, found.as_str()), (code, at), "{text}: {problem:?}");
        problem.help.unwrap_or_default()
    };
    let route = |rest: &str| format!("version = 1\n[[route]]\npath = \"/x/{{id}}\"\n{rest}");
    load(&routes(&route("resource = \"Order\"\nactions = { DELETE = \"cancelOrder\" }\nscopes = { PUT = [\"a\", \"b\"] }")));
    load(&routes("version = 1\ncontext_headers = [\"accept\"]"));

    case("version = 1\nx = ", "routes.syntax", "");
    case("", "routes.version", "");
    case("version = \"1\"", "routes.version", "\"1\"");
    case("version = 0x1", "routes.version", "0x1");
    assert_eq!(case("version = 1\n[[routes]]\npath = \"/\"", "routes.unknown_key", "routes"), "did you mean `route`?");
    case("version = 1\nroute = 3", "routes.value", "3");
    assert_eq!(case(&route("resorce = \"Order\""), "routes.unknown_key", "resorce"), "did you mean `resource`?");
    assert_eq!(case(&route("resource = \"Ordr\""), "routes.resource", "\"Ordr\""), "did you mean `Order`?");
    case(&route("resource = 3"), "routes.value", "3");
    for own in ["User", "Path", "Anonymous", "SignedUrl"] {
        case(&route(&format!("resource = \"{own}\"")), "routes.resource", &format!("\"{own}\""));
    }
    assert_eq!(case(&route("actions = { GTE = \"createOrder\" }"), "routes.method", "GTE"), "did you mean `GET`?");
    case(&route("actions = { post = \"createOrder\" }"), "routes.method", "post");
    assert_eq!(case(&route("actions = { POST = \"createOrdr\" }"), "routes.action", "\"createOrdr\""), "did you mean `createOrder`?");
    case(&route("actions = { GET = \"createOrder\" }"), "routes.action_group", "\"createOrder\"");
    case(&route("actions = { POST = \"cancelOrder\" }"), "routes.not_applicable", "\"cancelOrder\"");
    case(&route("scopes = { PUT = \"a\" }"), "routes.value", "\"a\"");
    case(&route("scopes = { PUT = [\"a b\"] }"), "routes.scope", "\"a b\"");
    case("version = 1\n[[route]]\nresource = \"Order\"", "routes.path", "[[route]]");
    case("version = 1\n[[route]]\npath = \"/x/\"", "routes.path", "\"/x/\"");
    case("version = 1\n[[route]]\npath = \"/x\"\nresource = \"Order\"", "routes.id", "\"Order\"");
    case("version = 1\n[[route]]\npath = \"/{a}/{b}\"\nresource = \"Order\"", "routes.id", "\"Order\"");
    case("version = 1\n[[route]]\npath = \"/x/{a}\"\n[[route]]\npath = \"/x/{b}\"", "routes.ambiguous", "\"/x/{b}\"");
    for header in [
        "Accept",
        "a b",
        "",
        "authorization",
        "cookie",
        "spin-client-addr",
        "x-forwarded-for",
        "client-cert",
        "x-ssl-client-verify",
        "cedargate-principal",
    ] {
        case(&format!("version = 1\ncontext_headers = [\"{header}\"]"), "routes.header", &format!("\"{header}\""));
    }
    case("version = 1\ncontext_headers = [\"accept\", \"accept\"]", "routes.header", "\"accept\"");
}

#[test]
fn policies_may_not_read_the_fields_of_a_terminator() {
    let bundle = routes("version = 1\ncontext_headers = [\"accept\", \"x-edge-secret\"]");
    let store = load(&bundle);
    let found = |own: &[&str]| {
        let mut report = Report::default();
        store.check_headers(&bundle, own.iter().copied(), &mut report);
        report.problems().into_iter().map(|problem| (problem.code, problem.span.clone().unwrap())).collect::<Vec<_>>()
    };
    assert!(found(&["x-cert", "x-edge-secret-2"]).is_empty());
    for own in ["x-edge-secret", "X-Edge_Secret"] {
        let [(code, span)] = &*found(&["x-cert", own]) else { panic!("not one problem") };
        let text = std::str::from_utf8(bundle.get("policies/routes.toml").unwrap()).unwrap();
        assert_eq!((*code, &text[span.clone()]), ("routes.header", "\"x-edge-secret\""));
    }
}

#[test]
fn a_route_to_a_type_the_gate_cannot_make() {
    let with = |declaration: &str, actions: &str| {
        let mut bundle = schema("entity Order in [Path] = {\n    owner?: User,\n  };", declaration);
        let text = std::str::from_utf8(bundle.get(PolicyStore::SCHEMA).unwrap()).unwrap().replace("[Path, Document, Order]", actions);
        bundle.insert(PolicyStore::SCHEMA, text);
        bundle.insert("policies/routes.toml", "version = 1\n[[route]]\npath = \"/o/{id}\"\nresource = \"Order\"");
        bundle
    };
    load(&with("entity Order in [Path];", "[Path, Document, Order]"));
    assert_eq!(codes(&with("entity Order;", "[Path, Document, Order]")), ["schema.resource"]);
    assert_eq!(codes(&with("entity Order in [Path] = { owner: User };", "[Path, Document, Order]")), ["schema.resource"]);
    let (problem, _) = only(&with("entity Order in [Path];", "[Path, Document]"));
    assert_eq!(problem.code, "routes.not_applicable");
    assert!(problem.message.contains("`GET`, `HEAD`, `OPTIONS`, `POST`, `PUT`, `PATCH`, `DELETE`"), "{}", problem.message);
}

#[test]
fn entities_problems() {
    let entity = |of: &str, id: &str, rest: &str| format!(r#"{{"uid": {{"type": "Gate::{of}", "id": "{id}"}}{rest}}}"#);
    let case = |text: &str, code: &str, at: &str| {
        let (problem, found) = only(&entities(text));
        assert_eq!((problem.code, found.trim_end()), (code, at), "{problem:?}");
        problem.message
    };
    case("[\n{\"uid\": tru}]", "entities.json", "}");
    case("{}", "entities.json", "{");
    case(&format!("{}{}", "[".repeat(100), "]".repeat(100)), "entities.json", "[");
    case("[ 3 ]", "entities.uid", "3");
    case(r#"[{"uid": "x"}]"#, "entities.uid", r#"{"uid": "x"}"#);
    let twice = r#"{"uid": {"type": "Gate::Group", "id": "a", "id": "b"}}"#;
    assert!(case(&format!("[{twice}]"), "entities.json", twice).contains("`id` occurs twice"));

    let one = entity("Group", "a", "");
    load(&entities(&format!("[{one}]")));
    assert!(case(&format!("[{one},\n{one}]"), "entities.duplicate", &one).contains("line 1"));
    let typo = entity("Group", "a", r#", "parent": []"#);
    case(&format!("[{typo}]"), "entities.unknown_key", &typo);
    let unknown = entity("Grup", "a", "");
    case(&format!("[{unknown}]"), "entities.invalid", &unknown);
    let wrong = entity("User", "a", r#", "attrs": {"suspended": "yes"}"#);
    case(&format!("[{one},{wrong}]"), "entities.invalid", &wrong);
    let extra = entity("User", "a", r#", "attrs": {"suspnded": true}"#);
    case(&format!("[{extra}]"), "entities.invalid", &extra);
    for name in ["issuer", "subject", "scopes", "email", "client_id"] {
        let claim = entity("Workload", "a", &format!(r#", "attrs": {{"{name}": "x"}}"#));
        assert!(case(&format!("[{claim}]"), "entities.overlap", &claim).contains(name));
    }
    let action = entity("Action", "GET", "");
    case(&format!("[{action}]"), "entities.action", &action);
    let path = entity("Document", "1", r#", "parents": [{"type": "Gate::Path", "id": "/public"}]"#);
    case(&format!("[{path}]"), "entities.path_parent", &path);
    let parent = entity("Group", "b", r#", "parents": [{"type": "Gate::User", "id": "x"}]"#);
    case(&format!("[{parent}]"), "entities.invalid", &parent);
    let (a, b) = (
        entity("Group", "a", r#", "parents": [{"type": "Gate::Group", "id": "b"}]"#),
        entity("Group", "b", r#", "parents": [{"type": "Gate::Group", "id": "a"}]"#),
    );
    load(&entities(&format!("[{a}]")));
    case(&format!("[{a},{b}]"), "entities.cycle", "");
}

#[test]
fn a_problem_of_one_file_does_not_hide_those_of_another() {
    let mut bundle = changed("policies/admin.cedar", "@id(\"admin.api\")", "");
    assert_eq!(codes(&bundle), ["policy.id"]);
    bundle.insert(PolicyStore::SCHEMA, "entity");
    assert_eq!(codes(&bundle), ["policy.id", "schema.invalid"]);
}

#[test]
fn a_policy_about_a_path_that_is_another_resource() {
    let with = |policy: &str| {
        let mut bundle = bundle();
        bundle.insert("policies/x.cedar", format!("@id(\"x\") {policy}"));
        bundle
    };
    for good in [
        "permit(principal, action, resource == Gate::Path::\"/api/documents\");",
        "permit(principal, action, resource == Gate::Path::\"/api/documents/1/comments\");",
        "permit(principal, action, resource in Gate::Path::\"/api/documents/1\");",
        "permit(principal, action, resource == Gate::Document::\"1\");",
    ] {
        load(&with(good));
    }
    let (problem, _) = only(&with("forbid(principal, action, resource == Gate::Path::\"/api/documents/1\");"));
    assert_eq!(problem.code, "policy.path_is_resource");
    assert!(problem.message.contains("`Gate::Document::\"1\"`"), "{}", problem.message);
}

#[test]
fn a_forbid_that_a_route_takes_the_method_from() {
    let with = |policy: &str| {
        let mut bundle = bundle();
        bundle.insert("policies/x.cedar", format!("@id(\"x\") {policy}"));
        bundle
    };
    let (delete, cancel) = ("Gate::Action::\"DELETE\"", "Gate::Action::\"cancelOrder\"");
    for good in [
        format!("forbid(principal, action in [{delete}, {cancel}], resource);"),
        format!("forbid(principal, action in [{delete}, Gate::Action::\"write\"], resource);"),
        format!("forbid(principal, action == {delete}, resource is Gate::Document);"),
        format!("forbid(principal, action == {delete}, resource in Gate::Path::\"/api/documents\");"),
        format!("forbid(principal, action == {delete}, resource == Gate::Path::\"/api/orders\");"),
        format!("permit(principal, action == {delete}, resource);"),
        "forbid(principal, action == Gate::Action::\"PUT\", resource);".to_owned(),
    ] {
        load(&with(&good));
    }
    for bad in [
        format!("forbid(principal, action == {delete}, resource);"),
        format!("forbid(principal, action in [{delete}, Gate::Action::\"read\"], resource);"),
        format!("forbid(principal, action == {delete}, resource is Gate::Order);"),
        format!("forbid(principal, action == {delete}, resource in Gate::Path::\"/api\");"),
        format!("forbid(principal, action == {delete}, resource in Gate::Path::\"/api/orders/7\");"),
        format!("forbid(principal, action == {delete}, resource is Gate::Order in Gate::Path::\"/api\");"),
    ] {
        let (problem, text) = only(&with(&bad));
        assert_eq!((problem.code, text.ends_with(&bad)), ("policy.action_is_remapped", true), "{bad}");
        assert!(problem.message.contains("DELETE /api/orders/{id}"), "{}", problem.message);
    }
    // An action in the method itself is covered by `in`.
    let text = std::str::from_utf8(bundle().get(PolicyStore::SCHEMA).unwrap()).unwrap().to_owned();
    let mut bundle = with(&format!("forbid(principal, action in {delete}, resource in Gate::Path::\"/api\");"));
    assert_eq!(codes(&bundle), ["policy.action_is_remapped"]);
    bundle.insert(
        PolicyStore::SCHEMA,
        text.replace("\"cancelOrder\", \"refundOrder\" in [\"write\"]", "\"cancelOrder\", \"refundOrder\" in [\"DELETE\"]"),
    );
    load(&bundle);
}
