//! Having URLs signed: who may, for what, for how long, and what the answer and the record say.

use std::sync::OnceLock;

use serde_json::{Value, json};

use super::support::client::Request;
use super::support::gate::{Expect, Gate, NOW, bundle};
use super::support::links::{CONFIG, SIGN, ask, link, origin, setup, target, with_links, writer};
use super::support::token::Token;

const PATH: &str = "/api/documents/1";

fn gate() -> &'static Gate {
    static GATE: OnceLock<Gate> = OnceLock::new();
    GATE.get_or_init(|| setup(&with_links("max_lifetime_seconds = 7200")).start(&origin()))
}

fn item(path: &str) -> Value {
    json!({"method": "GET", "path": path, "expires_in": 600})
}

/// A gate whose only policies are these.
fn with_policies(policies: &str) -> Gate {
    let mut own: cedargate::bundle::Bundle = with_links("")
        .iter()
        .filter(|(path, _)| !path.ends_with(".cedar"))
        .map(|(path, bytes)| (path.to_owned(), bytes.to_vec()))
        .collect();
    own.insert("policies/own.cedar", policies);
    setup(&own).start(&origin())
}

#[test]
fn it_takes_both_to_sign_and_to_reach() {
    let gate = with_policies(
        r#"
        @id("both") permit (principal in Gate::Group::"writers", action in [Gate::Action::"sign", Gate::Action::"read"], resource);
        @id("signs") permit (principal in Gate::Group::"readers", action == Gate::Action::"sign", resource);
        @id("reads") permit (principal in Gate::Group::"auditors", action in Gate::Action::"read", resource);
        @id("halves") permit (principal in Gate::Group::"admins", action in [Gate::Action::"sign", Gate::Action::"read"], resource in Gate::Path::"/a");
        @id("use") permit (principal is Gate::SignedUrl, action in Gate::Action::"read", resource);
        "#,
    );
    let who = |group: &str| Token::dev(NOW, group).groups(&[group]);
    let sign = |group: &str| ask(&who(group), &item("/a/b")).send(gate.addr);
    let control = sign("writers");
    assert_eq!(control.status, 200, "{control:?}");
    gate.check("the link", &Request::get(&target(&control)), &Expect::allowed());
    for group in ["readers", "auditors"] {
        let response = sign(group);
        assert_eq!((response.status, response.code().as_str()), (403, "forbidden"), "{group}: {response:?}");
        assert!(!response.text().contains("cg-sig"), "{response:?}");
        let record = gate.record_of(&response).unwrap();
        assert_eq!((&record["decision"], &record["reason"]), (&json!("deny"), &json!("policy.no_permit")), "{record}");
        assert_eq!(record["signing"][0]["reason"], "policy.no_permit", "{record}");
    }
    // The auditor may read, which is what the link would have been for.
    gate.check("reads", &Request::get("/a/b").bearer(&who("auditors").make()), &Expect::allowed());
    gate.check("signs, and does not read", &Request::get("/a/b").bearer(&who("readers").make()), &Expect::denied(403));

    // A batch mixes them.
    let body = json!({"items": [item("/a/b"), item("/x"), item("/a"), {"method": ["GET", "PUT"], "path": "/a/b", "expires_in": 60}]});
    let response = ask(&who("admins"), &body).send(gate.addr);
    assert_eq!(response.status, 200, "{response:?}");
    let items = response.json()["items"].as_array().unwrap().clone();
    assert_eq!(items.iter().map(|item| item["url"].is_string()).collect::<Vec<_>>(), [true, false, true, false], "{items:?}");
    assert_eq!((&items[1]["problem"]["status"], &items[1]["problem"]["code"]), (&json!(403), &json!("forbidden")));
    let record = gate.record_of(&response).unwrap();
    assert_eq!((&record["decision"], &record["signing"].as_array().unwrap().len()), (&json!("allow"), &4));
    assert_eq!(record["signing"][0]["policies"][0]["id"], "halves");
    assert_eq!(record["signing"][3]["cedar"]["action"], "Gate::Action::\"PUT\"", "{record}");
    assert!(!record.to_string().contains("cg-sig"), "{record}");
}

#[test]
fn the_answer_and_the_record_name_the_link_that_is_used_later() {
    let response = ask(&writer("alice"), &item(PATH)).send(gate().addr);
    let told = response.json()["items"][0].clone();
    assert_eq!((&told["expires_at"], &told["format"], &told["key_id"]), (&json!(NOW + 600), &json!("cedargate"), &json!("k1")));
    assert!(told["url"].as_str().unwrap().starts_with("http://api.example.com/api/documents/1?cg-v=1&"), "{told}");
    assert_eq!(response.header("cache-control"), Some("no-store"));
    let record = gate().record_of(&response).unwrap();
    let signing = &record["signing"][0];
    assert_eq!((&signing["link_id"], &signing["decision"]), (&told["link_id"], &json!("allow")));
    assert_eq!((&signing["path"], &signing["methods"]), (&json!(PATH), &json!(["GET"])));
    let ids: Vec<_> = signing["policies"].as_array().unwrap().iter().map(|policy| policy["id"].as_str().unwrap()).collect();
    assert!(ids.contains(&"links.sign-documents") && ids.contains(&"documents.writer-group"), "{ids:?}");
    let used = gate().check("used", &Request::get(&target(&response)), &Expect::allowed());
    used.with_record(|record| assert_eq!(record["signed_url"]["link_id"], told["link_id"]));
    // Nothing reached the origin when it was made.
    assert!(gate().origin.seen(&ask(&writer("alice"), &item(PATH)).id).is_empty());
}

#[test]
fn who_is_not_known_is_asked_who_they_are() {
    let anonymous = Request::new("POST", SIGN).header("Content-Type", "application/json").body(item(PATH).to_string());
    let response = anonymous.send(gate().addr);
    assert_eq!((response.status, response.code().as_str()), (401, "unauthenticated"));
    assert!(response.challenge("Bearer").is_some());
    let expired = ask(&writer("alice").claim("exp", json!(NOW - 100)), &item(PATH)).send(gate().addr);
    assert_eq!((expired.status, expired.code().as_str()), (401, "invalid_token"));
    let record = gate().record_of(&expired).unwrap();
    assert_eq!(record["reason"], "jwt.expired");
    // A link makes no others, whatever policies say.
    let gate = with_policies(r#"@id("all") permit (principal, action, resource);"#);
    let url = link(&gate, item("/a"));
    let parameters = url.split_once('?').unwrap().1;
    let cookie = json!({"method": "GET", "path": "/.well-known", "expires_in": 600, "prefix": true, "format": "cedargate-cookie"});
    let made = ask(&writer("alice"), &cookie).send(gate.addr);
    let pair = made.header("set-cookie").unwrap().split(';').next().unwrap().to_owned();
    assert!(!pair.contains(parameters));
    let post = json!({"method": ["GET", "POST"], "path": "/.well-known", "expires_in": 600, "prefix": true, "format": "cedargate-cookie"});
    let pair = ask(&writer("alice"), &post).send(gate.addr).header("set-cookie").unwrap().split(';').next().unwrap().to_owned();
    let again = Request::new("POST", SIGN).header("Content-Type", "application/json").header("Cookie", pair).body(item("/a").to_string());
    let response = again.send(gate.addr);
    assert_eq!((response.status, response.code().as_str()), (403, "forbidden"), "{response:?}");
}

#[test]
fn a_body_that_is_not_understood_is_told_by_its_member() {
    let send =
        |body: &str| Request::new("POST", SIGN).bearer(&writer("alice").make()).header("Content-Type", "application/json").body(body);
    for (body, says) in [
        ("{", "not JSON"),
        (r#"{"items":[]}"#, "`items`"),
        (r#"{"method":"GET","path":"/a","expires_in":60,"expire":1}"#, "no member `expire`"),
        (
            r#"{"items":[{"method":"GET","path":"/a","expires_in":60},{"method":"GET","path":"/a/../b","expires_in":60}]}"#,
            "`path` of `items[1]`",
        ),
        (r#"{"method":"GET","path":"/a%2fb","expires_in":60}"#, "request.path_encoded_slash"),
        (r#"{"method":"TRACE","path":"/a","expires_in":60}"#, "`method`"),
        (r#"{"method":"GET","url":"http://evil.example/a","expires_in":60}"#, "`url`"),
        (r#"{"method":"GET","path":"/.well-known/cedargate/sign","expires_in":60}"#, "the gate's own"),
    ] {
        let response = send(body).send(gate().addr);
        assert_eq!((response.status, response.code().as_str()), (400, "gate.body_invalid"), "{body}: {response:?}");
        let detail = response.json()["detail"].as_str().unwrap().to_owned();
        assert!(detail.contains(says), "{body}: {detail}");
        assert_eq!(gate().record_of(&response).unwrap()["reason"], "gate.body_invalid");
    }
    let many = json!({"items": vec![item("/media/a"); 101]});
    assert_eq!(ask(&writer("alice"), &many).send(gate().addr).status, 400);
    let most = ask(&writer("alice"), &json!({"items": vec![item("/media/a"); 100]})).send(gate().addr);
    assert_eq!((most.status, most.json()["items"].as_array().unwrap().len()), (200, 100));
    let large = send(&" ".repeat(300 * 1024)).send(gate().addr);
    assert_eq!((large.status, large.code().as_str()), (413, "gate.body_too_large"));
    let form = Request::new("POST", SIGN).bearer(&writer("alice").make()).header("Content-Type", "text/plain").body(item(PATH).to_string());
    assert_eq!(form.send(gate().addr).status, 400);
    let get = Request::get(SIGN).bearer(&writer("alice").make()).send(gate().addr);
    assert_eq!((get.status, get.header("allow")), (405, Some("POST")));
    let url = json!({"method": "GET", "url": "http://api.example.com/media/x?a=1", "expires_in": 60});
    assert!(link(gate(), url).starts_with("/media/x?a=1&cg-v=1"));
}

#[test]
fn a_lifetime_has_a_limit_by_configuration_route_and_policy() {
    let lasting = |path: &str, seconds: i64| json!({"method": "GET", "path": path, "expires_in": seconds});
    let refused = |gate: &Gate, body: Value, status: u16, code: &str| {
        let response = ask(&writer("alice"), &body).send(gate.addr);
        let problem = response.json()["items"][0]["problem"].clone();
        assert_eq!((response.status, &problem["code"]), (status, &json!(code)), "{body}: {response:?}");
        (problem, gate.record_of(&response).unwrap())
    };
    assert_eq!(ask(&writer("alice"), &lasting("/media/a", 7200)).send(gate().addr).status, 200);
    let (problem, record) = refused(gate(), lasting("/media/a", 7201), 400, "sign.lifetime");
    assert_eq!(problem["detail"], "`expires_in` is 7201, and at most 7200 here");
    assert_eq!((&record["reason"], &record["signing"][0]["reason"]), (&json!("sign.lifetime"), &json!("sign.lifetime")));
    // By its route, which can only say less.
    let mut own = with_links("max_lifetime_seconds = 604800");
    let routes = String::from_utf8(own.get("policies/routes.toml").unwrap().to_vec()).unwrap();
    own.insert("policies/routes.toml", routes.replacen("resource = \"Document\"", "resource = \"Document\"\nmax_link_seconds = 60", 1));
    let routed = setup(&own).start(&origin());
    assert_eq!(ask(&writer("alice"), &lasting(PATH, 60)).send(routed.addr).status, 200);
    refused(&routed, lasting(PATH, 61), 400, "sign.lifetime");
    assert_eq!(ask(&writer("alice"), &lasting("/media/a", 604_800)).send(routed.addr).status, 200);
    refused(&routed, lasting("/media/a", 604_801), 400, "sign.lifetime");
    // By a policy: the sample's for documents says a day.
    let long = setup(&with_links("max_lifetime_seconds = 604800")).start(&origin());
    assert_eq!(ask(&writer("alice"), &lasting(PATH, 86_400)).send(long.addr).status, 200);
    refused(&long, lasting(PATH, 86_401), 403, "forbidden");
}

#[test]
fn policies_see_what_is_asked_for() {
    let gate = with_policies(
        r#"
        @id("read") permit (principal in Gate::Group::"writers", action in Gate::Action::"read", resource);
        @id("sign") permit (principal in Gate::Group::"writers", action == Gate::Action::"sign", resource)
        when { context has signing && context.method == "GET" }
        unless { context.signing.prefix && !context.signing.bound_to_address }
        unless { context.signing.format == "cedargate-cookie" };
        "#,
    );
    let status = |body: Value| ask(&writer("alice"), &body).send(gate.addr).status;
    let prefix = |bind: Value| json!({"method": "GET", "path": "/a", "expires_in": 60, "prefix": true, "bind": bind});
    assert_eq!(status(item("/a")), 200);
    assert_eq!(status(prefix(json!({"ip": "127.0.0.1"}))), 200);
    assert_eq!(status(prefix(json!({"subject": "x"}))), 403);
    assert_eq!(status(json!({"method": "HEAD", "path": "/a", "expires_in": 60})), 403);
    let mut cookie = prefix(json!({"ip": "127.0.0.1"}));
    cookie["format"] = json!("cedargate-cookie");
    assert_eq!(status(cookie), 403);
}

#[test]
fn the_public_address_is_the_one_in_links() {
    let gate = setup(&with_links("")).variable("public_url", "https://cdn.example.com").start(&origin());
    let response = ask(&writer("alice"), &item(PATH)).send(gate.addr);
    let url = response.json()["items"][0]["url"].as_str().unwrap().to_owned();
    assert!(url.starts_with("https://cdn.example.com/api/documents/1?cg-v=1&"), "{url}");
    let path = target(&response);
    gate.check("its host", &Request::get(&path).host(Some("cdn.example.com")), &Expect::allowed());
    gate.check("another", &Request::get(&path), &Expect::refused(401, "signed_url.signature_invalid"));
}

#[test]
fn a_faulty_file_is_told_before_it_is_sealed() {
    let mut own = bundle();
    own.insert(CONFIG, "version = 1\nmax_lifetime = 5\n[[target]]\nservice = \"s4\"\npath = \"/a\"\ncredentials = \"c\"\n");
    let report = cedargate::bundle::Gate::load(&own).unwrap_err().to_string();
    assert!(report.contains("signed_urls.unknown_key") && report.contains("signed_urls.value"), "{report}");
    own.insert(CONFIG, "version = 1\n");
    cedargate::bundle::Gate::load(&own).unwrap();
}
