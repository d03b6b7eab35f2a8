//! Signed URLs in use: what a link grants, each way in which it stops counting, and that policies decide again.

use std::sync::OnceLock;

use serde_json::{Value, json};

use super::support::client::Request;
use super::support::gate::{Expect, Gate, NOW, Setup, bundle};
use super::support::links::{COOKIE, ask, ed25519, hmac, keyring, link, origin, setup, target, with_links, writer};
use super::support::token::Token;

const PATH: &str = "/api/documents/1";

fn gate() -> &'static Gate {
    static GATE: OnceLock<Gate> = OnceLock::new();
    GATE.get_or_init(|| setup(&with_links("")).start(&origin()))
}

fn refused(gate: &Gate, name: &str, request: &Request, reason: &'static str) {
    let answer = gate.check(name, request, &Expect::refused(401, reason));
    assert_eq!(answer.response.code(), "invalid_signed_url", "{name}");
    answer.with_record(|record| {
        assert_eq!(record["credentials"][0]["kind"], "signed_url", "{name}: {record}");
        assert_eq!((&record["credentials"][0]["fate"], &record["signed_url"]), (&json!("refused"), &Value::Null), "{name}: {record}");
    });
}

fn allowed(gate: &Gate, name: &str, request: &Request) {
    gate.check(name, request, &Expect::allowed());
}

fn get(method: &str) -> Value {
    json!({"method": method, "path": PATH, "expires_in": 600})
}

#[test]
fn a_link_lets_in_whoever_has_it_and_nothing_of_it_reaches_the_origin_or_the_record() {
    for path in [PATH.to_owned(), format!("{PATH}?page=2&q=a+b%20c"), format!("{PATH}?"), "/media/a%20b/%C3%A9".to_owned()] {
        let url = link(gate(), json!({"method": "GET", "path": path, "expires_in": 600}));
        assert!(url.starts_with(&path) && url.contains("cg-v=1&cg-key=k1&"), "{url}");
        let request = Request::get(&url);
        let answer = gate().check(&path, &request, &Expect::allowed());
        let seen = gate().origin.seen(&request.id);
        assert_eq!(seen[0].target, path);
        let headers = format!("{:?}", seen[0].headers);
        assert!(!headers.contains("cg-") && !headers.contains("authorization"), "{headers}");
        assert!(seen[0].header("cedargate-principal").unwrap().starts_with("Gate::SignedUrl::\""), "{headers}");
        answer.with_record(|record| {
            let link = &record["signed_url"];
            assert_eq!((&link["key_id"], &link["issued_at"], &link["expires_at"]), (&json!("k1"), &json!(NOW), &json!(NOW + 600)));
            let alice = json!("Gate::User::\"dev/alice\"");
            assert_eq!((&link["issuer"], &link["subject"], &link["carrier"]), (&alice, &alice, &json!("query")));
            assert_eq!(record["cedar"]["principal"], format!("Gate::SignedUrl::\"{}\"", link["link_id"].as_str().unwrap()));
            let signature = url.split("cg-sig=").nth(1).unwrap();
            let line = record.to_string();
            assert!(!line.contains(signature) && !line.contains("cg-"), "{line}");
        });
        // Nor in what a page tells that was opened with it.
        let from = Request::get("/health").header("Referer", format!("http://api.example.com{url}"));
        allowed(gate(), "referer", &from);
        assert!(gate().origin.seen(&from.id)[0].all("referer").is_empty());
        // Get implies head, and nothing else.
        allowed(gate(), "head", &Request::new("HEAD", &url));
    }
}

#[test]
fn a_link_is_for_one_method_path_host_and_query() {
    let url = link(gate(), get("GET"));
    let (_, parameters) = url.split_once('?').unwrap();
    allowed(gate(), "control", &Request::get(&url));
    for method in ["POST", "PUT", "PATCH", "DELETE", "OPTIONS"] {
        refused(gate(), method, &Request::new(method, &url), "signed_url.method");
    }
    for path in ["/api/documents/2", "/api/documents", "/api/documents/1/comments", "/", "/api/documents/%31", "/API/documents/1"] {
        refused(gate(), path, &Request::get(&format!("{path}?{parameters}")), "signed_url.signature_invalid");
    }
    for query in ["a=1&", "&", "a&"] {
        refused(gate(), query, &Request::get(&format!("{PATH}?{query}{parameters}")), "signed_url.signature_invalid");
    }
    for host in ["other.example.com", "api.example.com:8443", "127.0.0.1"] {
        refused(gate(), host, &Request::get(&url).host(Some(host)), "signed_url.signature_invalid");
    }
    for host in ["api.example.com:80", "API.Example.com", "api.example.com:443"] {
        allowed(gate(), host, &Request::get(&url).host(Some(host)));
    }
    let put = link(gate(), json!({"method": ["PUT", "GET"], "path": "/media/x", "expires_in": 60}));
    for method in ["PUT", "GET", "HEAD"] {
        allowed(gate(), method, &Request::new(method, &put));
    }
    let put = link(gate(), json!({"method": "PUT", "path": "/media/x", "expires_in": 60}));
    refused(gate(), "PUT does not imply GET", &Request::get(&put), "signed_url.method");
    let query = link(gate(), json!({"method": "GET", "path": format!("{PATH}?a=1&b=2"), "expires_in": 60}));
    allowed(gate(), "with a query", &Request::get(&query));
    refused(gate(), "another order", &Request::get(&query.replace("a=1&b=2", "b=2&a=1")), "signed_url.signature_invalid");
    refused(gate(), "other bytes", &Request::get(&query.replace("a=1", "a=%31")), "signed_url.signature_invalid");
}

#[test]
fn no_byte_of_a_link_can_be_changed() {
    let url = link(gate(), json!({"method": "GET", "path": PATH, "expires_in": 600, "bind": {"ip": "127.0.0.1", "subject": "bob"}}));
    allowed(gate(), "control", &Request::get(&url));
    let start = url.find("cg-v").unwrap();
    for at in start..url.len() {
        let mut bytes = url.clone().into_bytes();
        bytes[at] = if bytes[at] == b'A' { b'B' } else { b'A' };
        let mutant = String::from_utf8(bytes).unwrap();
        let response = Request::get(&mutant).send(gate().addr);
        assert_eq!(response.status, 401, "byte {at}: {mutant}");
        // Nor left out.
        let mut shorter = url.clone();
        shorter.remove(at);
        let response = Request::get(&shorter).send(gate().addr);
        assert_eq!(response.status, 401, "without byte {at}: {shorter}");
    }
}

#[test]
fn parameters_have_one_form() {
    let url = link(gate(), get("GET"));
    allowed(gate(), "control", &Request::get(&url));
    let cases: &[(&str, &str, &'static str)] = &[
        ("cg-v=1", "cg-v=2", "signed_url.version"),
        ("cg-v=1&", "", "signed_url.parameter_missing"),
        ("&cg-sig=", "&sig=", "signed_url.malformed"),
        ("cg-v=1", "cg-v=1&cg-v=1", "signed_url.parameter_repeated"),
        ("cg-v=1", "cg-v=1&cg-role=admin", "signed_url.parameter_unknown"),
        ("cg-key=k1", "cg-key=k%31", "signed_url.malformed"),
        ("cg-key=k1", "%63g-key=k1", "signed_url.malformed"),
        ("cg-key=k1", "cg-key=k9", "signed_url.key_unknown"),
        ("cg-v=1&cg-key=k1", "cg-key=k1&cg-v=1", "signed_url.malformed"),
    ];
    for (from, to, reason) in cases {
        let changed = url.replacen(from, to, 1);
        assert_ne!(changed, url);
        refused(gate(), to, &Request::get(&changed), reason);
    }
    refused(gate(), "something after it", &Request::get(&format!("{url}&a=1")), "signed_url.malformed");
    refused(gate(), "alone", &Request::get("/health?cg-x=1"), "signed_url.parameter_unknown");
    refused(gate(), "in capitals", &Request::get("/health?CG-V=1"), "signed_url.malformed");
    allowed(gate(), "a public path without it", &Request::get("/health"));
}

#[test]
fn a_link_has_a_beginning_and_an_end() {
    let mut gate = setup(&with_links("")).start(&origin());
    let url = link(&gate, get("GET"));
    let later = link(&gate, json!({"method": "GET", "path": PATH, "expires_in": 600, "not_before": NOW + 300}));
    allowed(&gate, "control", &Request::get(&url));
    refused(&gate, "before its beginning", &Request::get(&later), "signed_url.not_yet_valid");
    gate.set_now(NOW + 299);
    refused(&gate, "a second before", &Request::get(&later), "signed_url.not_yet_valid");
    gate.set_now(NOW + 300);
    allowed(&gate, "from then on", &Request::get(&later));
    gate.set_now(NOW + 599);
    allowed(&gate, "the last second", &Request::get(&url));
    gate.set_now(NOW + 600);
    refused(&gate, "the end", &Request::get(&url), "signed_url.expired");
    // Another gate's clock may be a little ahead; a link from the future is none.
    gate.set_now(NOW - 60);
    allowed(&gate, "a minute", &Request::get(&url));
    gate.set_now(NOW - 61);
    refused(&gate, "more", &Request::get(&url), "signed_url.not_yet_valid");
}

#[test]
fn a_link_can_be_bound_to_addresses() {
    let item = |bind: Value| json!({"method": "GET", "path": PATH, "expires_in": 60, "bind": bind});
    for bind in [json!({"ip": "127.0.0.1"}), json!({"cidr": "127.0.0.0/8"}), json!({"ip": "::ffff:127.0.0.1"})] {
        allowed(gate(), &bind.to_string(), &Request::get(&link(gate(), item(bind.clone()))));
    }
    for bind in [json!({"ip": "192.0.2.1"}), json!({"cidr": "10.0.0.0/8"}), json!({"ip": "::1"})] {
        let url = link(gate(), item(bind.clone()));
        refused(gate(), &bind.to_string(), &Request::get(&url), "signed_url.address");
        // A header does not make another address.
        let forged = Request::get(&url).header("x-forwarded-for", "192.0.2.1").header("x-real-ip", "10.0.0.1");
        refused(gate(), "forged", &forged, "signed_url.address");
    }
}

#[test]
fn a_prefix_grants_what_lies_below_by_segments() {
    let item = json!({"method": "GET", "path": "/media/42", "expires_in": 600, "prefix": true});
    let url = link(gate(), item);
    let parameters = url.strip_prefix("/media/42?").unwrap();
    for path in ["/media/42", "/media/42/index.m3u8", "/media/42/720p/seg-1.ts"] {
        allowed(gate(), path, &Request::get(&format!("{path}?{parameters}")));
    }
    for path in ["/media/420", "/media/43/index.m3u8", "/media", "/other/42/x", "/media/4%32/x"] {
        refused(gate(), path, &Request::get(&format!("{path}?{parameters}")), "signed_url.signature_invalid");
    }
    let query = format!("/media/42/a?x=1&{parameters}");
    refused(gate(), "another query", &Request::get(&query), "signed_url.signature_invalid");
}

#[test]
fn a_cookie_carries_a_prefix() {
    let item = json!({"method": "GET", "path": "/media/42", "expires_in": 600, "prefix": true, "format": "cedargate-cookie"});
    let response = ask(&writer("alice"), &item).send(gate().addr);
    assert_eq!((response.status, &response.json()["items"][0]["url"]), (200, &Value::Null), "{response:?}");
    let set = response.header("set-cookie").unwrap();
    let (pair, attributes) = set.split_once(';').unwrap();
    assert_eq!(attributes, " Max-Age=600; Path=/media/42; Secure; HttpOnly; SameSite=Lax");
    let value = pair.strip_prefix(&format!("{COOKIE}=")).unwrap();
    // The answer's body does not give away what scripts shall not see.
    assert!(!response.text().contains(value));

    let get = |path: &str, cookie: &str| Request::get(path).header("Cookie", cookie);
    let request = get("/media/42/seg-1.ts", &format!("a=1; {pair}; b=2"));
    let answer = gate().check("among others", &request, &Expect::allowed());
    assert_eq!(gate().origin.seen(&request.id)[0].all("cookie"), ["a=1; b=2"]);
    answer.with_record(|record| assert_eq!(record["signed_url"]["carrier"], "cookie"));
    let alone = get("/media/42/seg-1.ts", pair);
    allowed(gate(), "alone", &alone);
    assert!(gate().origin.seen(&alone.id)[0].all("cookie").is_empty());

    refused(gate(), "elsewhere", &get("/media/43/x", pair), "signed_url.signature_invalid");
    refused(gate(), "changed", &get("/media/42/x", &pair.replace("cg-exp=1", "cg-exp=2")), "signed_url.signature_invalid");
    refused(gate(), "twice", &get("/media/42/x", &format!("{pair}; {pair}")), "signed_url.parameter_repeated");
    refused(gate(), "empty", &get("/media/42/x", &format!("{COOKIE}=")), "signed_url.malformed");
    refused(gate(), "another method", &Request::new("PUT", "/media/42/x").header("Cookie", pair), "signed_url.method");
    let exact = link(gate(), get_exact());
    let exact = exact.split_once('?').unwrap().1;
    refused(gate(), "an exact link", &get("/media/42", &format!("{COOKIE}={exact}")), "signed_url.malformed");

    // A cookie comes along with everything: it gives way to a token, and to a link.
    let token = writer("bob").make();
    let with_token = gate().check("with a token", &get("/media/9", pair).bearer(&token), &Expect::allowed());
    with_token.with_record(|record| {
        assert_eq!(record["cedar"]["principal"], "Gate::User::\"dev/bob\"");
        assert_eq!(record["credentials"][1]["fate"], "ignored", "{record}");
    });
    let url = link(gate(), get_exact());
    let with_link = gate().check("with a link", &get(&url, &pair.replace("cg-exp=1", "cg-exp=2")), &Expect::allowed());
    with_link.with_record(|record| assert_eq!(record["signed_url"]["carrier"], "query"));
}

fn get_exact() -> Value {
    json!({"method": "GET", "path": "/media/42", "expires_in": 600})
}

#[test]
fn a_link_and_a_token_are_one_too_many() {
    let url = link(gate(), get("GET"));
    allowed(gate(), "control", &Request::get(&url));
    let both = Request::get(&url).bearer(&writer("alice").make());
    gate().check("both", &both, &Expect::refused(400, "request.credentials_conflict"));
    let expired = Request::get(&url).bearer(&Token::dev(NOW - 100_000, "alice").make());
    gate().check("a bad token", &expired, &Expect::refused(401, "jwt.expired"));
}

#[test]
fn keys_take_over_from_each_other() {
    let bundle = with_links("");
    let with = |keys: &[Value]| Setup::new(&bundle).variable("signed_url_keys", &keyring(keys)).start(&origin());
    let first = with(&[hmac("old", "active", 1)]);
    let url = link(&first, get("GET"));
    let both = with(&[hmac("old", "verify-only", 1), ed25519("new", "active", 2)]);
    allowed(&both, "the old key verifies", &Request::get(&url));
    let newer = link(&both, get("GET"));
    assert!(newer.contains("cg-key=new"), "{newer}");
    allowed(&both, "Ed25519", &Request::get(&newer));
    refused(&both, "changed", &Request::get(&newer.replace("cg-exp=1", "cg-exp=2")), "signed_url.signature_invalid");
    refused(&first, "a key it has not", &Request::get(&newer), "signed_url.key_unknown");
    let retired = with(&[hmac("old", "retired", 1), ed25519("new", "active", 2)]);
    refused(&retired, "retired", &Request::get(&url), "signed_url.key_retired");
    allowed(&retired, "the new one", &Request::get(&newer));
    let other = with(&[hmac("old", "active", 9)]);
    refused(&other, "another secret", &Request::get(&url), "signed_url.signature_invalid");
    // A gate that has the public half only: it verifies, and cannot read who the link is for.
    let public = ring::signature::Ed25519KeyPair::from_seed_unchecked(&[2; 32]).unwrap();
    let public = json!({"id": "new", "algorithm": "Ed25519", "state": "verify-only",
        "public_key": base64::Engine::encode(&base64::engine::general_purpose::URL_SAFE_NO_PAD, ring::signature::KeyPair::public_key(&public))});
    refused(&with(&[public]), "opaque to it", &Request::get(&newer), "signed_url.malformed");
}

#[test]
fn names_are_shown_as_the_configuration_says() {
    let item = json!({"method": "GET", "path": PATH, "expires_in": 60, "bind": {"subject": "bob@example.com"}});
    for (config, issuer, subject) in [
        ("subject = \"plain\"", Some("Gate::User::\"dev/alice\""), Some("bob@example.com")),
        ("subject = \"opaque\"", Some("Gate::User::\"dev/alice\""), Some("bob@example.com")),
        ("subject = \"hash\"", None, None),
    ] {
        let gate = setup(&with_links(config)).start(&origin());
        let url = link(&gate, item.clone());
        let plain = base64::Engine::encode(&base64::engine::general_purpose::URL_SAFE_NO_PAD, "bob@example.com");
        assert_eq!(url.contains(&plain), config.contains("plain"), "{url}");
        let answer = gate.check(config, &Request::get(&url), &Expect::allowed());
        answer.with_record(|record| {
            let named = |name: &str| record["signed_url"][name].as_str().unwrap().to_owned();
            match (issuer, subject) {
                (Some(issuer), Some(subject)) => assert_eq!((named("issuer").as_str(), named("subject").as_str()), (issuer, subject)),
                _ => assert!(named("issuer").starts_with("hash:") && named("subject").starts_with("hash:"), "{record}"),
            }
        });
    }
}

/// A gate with the same keys and more policies.
fn with_policy(text: &str, config: &str) -> Gate {
    let mut bundle = with_links(config);
    bundle.insert("policies/extra.cedar", text);
    setup(&bundle).start(&origin())
}

#[test]
fn policies_decide_again_when_a_link_is_used() {
    let url = link(gate(), get("GET"));
    allowed(gate(), "control", &Request::get(&url));
    let mine = |what: &str| format!("@id(\"new\") @reason(\"r\") @owner(\"o\")\n{what};");
    let forbids = [
        ("the path", "forbid (principal, action, resource == Gate::Document::\"1\")"),
        ("every link", "forbid (principal is Gate::SignedUrl, action, resource)"),
        (
            "whose links",
            "forbid (principal is Gate::SignedUrl, action, resource) when { principal.issuer == \"Gate::User::\\\"dev/alice\\\"\" }",
        ),
        ("a key", "forbid (principal is Gate::SignedUrl, action, resource) when { principal.key_id == \"k1\" }"),
        (
            "an age",
            "forbid (principal is Gate::SignedUrl, action, resource) when { principal.issued < datetime(\"2027-01-13T10:00:01Z\") }",
        ),
        ("signing itself", "forbid (principal, action == Gate::Action::\"sign\", resource)"),
        ("signing of a document", "forbid (principal, action == Gate::Action::\"sign\", resource == Gate::Document::\"1\")"),
    ];
    for (name, forbid) in forbids {
        let answer = with_policy(&mine(forbid), "").check(name, &Request::get(&url), &Expect::refused(403, "policy.forbid"));
        answer.with_record(|record| assert_eq!(record["policies"][0]["id"], "new", "{name}: {record}"));
    }
    for spared in [
        "forbid (principal is Gate::SignedUrl, action, resource == Gate::Document::\"2\")",
        "forbid (principal is Gate::SignedUrl, action, resource) when { principal.prefix }",
        "forbid (principal, action == Gate::Action::\"sign\", resource == Gate::Document::\"2\")",
    ] {
        allowed(&with_policy(&mine(spared), ""), spared, &Request::get(&url));
    }
}

#[test]
fn links_end_when_signing_is_withdrawn() {
    let url = link(gate(), get("GET"));
    allowed(gate(), "control", &Request::get(&url));
    // No `permit` on `sign` is left: neither are links made, nor do those count that are out.
    let mut bundle = with_links("");
    let links = String::from_utf8(bundle.get("policies/links.cedar").unwrap().to_vec()).unwrap();
    bundle.insert(
        "policies/links.cedar",
        links
            .replace("action == Gate::Action::\"sign\"", "action == Gate::Action::\"HEAD\"")
            .replace("when { context has signing && context.signing.expires_in <= 86400 }\n", ""),
    );
    let gate = setup(&bundle).start(&origin());
    gate.check("the link", &Request::get(&url), &Expect::refused(403, "policy.no_permit"));
    let response = ask(&writer("alice"), &get("GET")).send(gate.addr);
    assert_eq!((response.status, response.code().as_str()), (403, "forbidden"), "{response:?}");
    allowed(&gate, "its maker may still read", &Request::get(PATH).bearer(&writer("alice").make()));
}

#[test]
fn a_pinned_gate_takes_no_links_of_other_policies() {
    let pinned = setup(&with_links("pin_policy = true")).start(&origin());
    let own = link(&pinned, get("GET"));
    allowed(&pinned, "its own", &Request::get(&own));
    // The same keys, other policies.
    let other = link(gate(), get("GET"));
    refused(&pinned, "another's", &Request::get(&other), "signed_url.policy_changed");
    allowed(gate(), "not pinned", &Request::get(&own));
}

#[test]
fn without_the_file_nothing_is_a_link() {
    let gate = Setup::new(&bundle()).variable("signed_url_keys", &keyring(&[hmac("k1", "active", 1)])).start(&origin());
    let url = link(self::gate(), get("GET"));
    gate.check("a link", &Request::get(&url), &Expect::denied(401));
    let request = Request::get("/health?cg-x=1").header("Cookie", format!("{COOKIE}=x"));
    allowed(&gate, "an API's own parameter", &request);
    assert_eq!(gate.origin.seen(&request.id)[0].target, "/health?cg-x=1");
    gate.check("the endpoint", &ask(&writer("alice"), &get("GET")), &Expect::refused(404, "gate.not_found"));
}

#[test]
fn a_keyring_that_cannot_be_read_denies_everything_and_shows_no_secret() {
    let gate = Setup::new(&with_links("")).variable("signed_url_keys", "{\"v\":1,\"keys\":[{\"secret\":\"hidden\"}]}").start(&origin());
    let answer = gate.check("health", &Request::get("/health"), &Expect::refused(503, "system.configuration"));
    answer.with_record(|record| {
        let line = record.to_string();
        assert!(line.contains("signed_url_keys") && !line.contains("hidden"), "{line}");
    });
    let gate = Setup::new(&with_links("")).start(&origin());
    allowed(&gate, "none at all is fine", &Request::get("/health"));
    let response = ask(&writer("alice"), &get("GET")).send(gate.addr);
    assert_eq!((response.status, response.code().as_str()), (503, "unavailable"), "{response:?}");
    let _ = target;
}
