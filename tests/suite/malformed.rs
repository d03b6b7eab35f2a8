//! Requests the gate refuses before it asks who sent them. Each stands beside the same request without the mistake.

use super::support::client::Request;
use super::support::gate::{Expect, gate};
use super::support::token::Token;

const ALLOWED: &str = "/api/documents/1";

/// A request that is allowed as it is.
fn good(target: &str) -> Request {
    let token = Token::dev(gate().now(), "alice").groups(&["readers"]).make();
    Request::get(target).bearer(&token)
}

#[test]
fn the_request_all_these_are_made_from_is_allowed() {
    gate().check("control", &good(ALLOWED), &Expect::allowed());
    gate().check("control with a query", &good("/api/documents/1?a=1&b=%20"), &Expect::allowed());
}

#[test]
fn an_ambiguous_path_is_refused() {
    for (name, path, reason) in [
        ("two slashes first", "//api/documents/1", "request.path_not_absolute"),
        ("empty segment", "/api//documents/1", "request.path_empty_segment"),
        ("slash at the end", "/api/documents/1/", "request.path_empty_segment"),
        ("dot", "/api/./documents/1", "request.path_dot_segment"),
        ("dot dot", "/public/../api/documents/1", "request.path_dot_segment"),
        ("encoded dot dot", "/public/%2e%2e/api/documents/1", "request.path_dot_segment"),
        ("half encoded dot dot", "/public/.%2E/api/documents/1", "request.path_dot_segment"),
        ("encoded slash", "/api/documents%2F1", "request.path_encoded_slash"),
        ("encoded backslash", "/api/documents%5c1", "request.path_encoded_backslash"),
        ("encoded percent", "/api/documents/%2531", "request.path_encoded_percent"),
        ("encoded NUL", "/api/documents/1%00", "request.path_encoded_control"),
        ("encoded line feed", "/api/documents/1%0a", "request.path_encoded_control"),
        ("encoded DEL", "/api/documents/1%7F", "request.path_encoded_control"),
        ("encoded question mark", "/api/documents/1%3Fx", "request.path_encoded_delimiter"),
        ("encoded hash", "/api/documents/1%23x", "request.path_encoded_delimiter"),
        ("backslash", "/api\\documents/1", "request.path_backslash"),
        ("path parameter", "/api/documents;x=1/1", "request.path_parameter"),
        ("encoded path parameter", "/api/documents%3Bx=1/1", "request.path_parameter"),
        ("percent without digits", "/api/documents/%zz", "request.path_percent_encoding"),
        ("percent at the end", "/api/documents/%", "request.path_percent_encoding"),
        ("overlong UTF-8", "/api/documents/%C0%AF", "request.path_utf8"),
        ("lone continuation byte", "/api/documents/%80", "request.path_utf8"),
    ] {
        gate().check(name, &good(path), &Expect::refused(400, reason));
    }
    gate().check("quote in the path", &good("/api/documents/\"1\""), &Expect::refused(400, "request.path_character"));
    gate().check("percent in the query", &good("/api/documents/1?a=%zz"), &Expect::refused(400, "request.query_invalid"));
}

#[test]
fn an_encoded_unreserved_character_means_what_it_stands_for() {
    // `%31` is `1` and `%61` is `a` (RFC 3986, section 2.3): the same decision, and the very bytes reach the origin.
    let request = good("/%61pi/documents/%31");
    gate().check("encoded letters", &request, &Expect::allowed());
    assert_eq!(gate().origin.seen(&request.id)[0].target, "/%61pi/documents/%31");
    // And so they do not get around a rule.
    gate().check("encoded admin", &good("/api/%61dmin/users"), &Expect::denied(403));
}

#[test]
fn a_request_too_large_is_refused() {
    gate().check("long path", &good(&format!("/api/documents/{}", "a".repeat(4200))), &Expect::refused(414, "request.path_too_long"));
    gate().check("many segments", &good(&"/a".repeat(65)), &Expect::refused(414, "request.path_too_long"));
    gate().check("long query", &good(&format!("{ALLOWED}?q={}", "a".repeat(8300))), &Expect::refused(414, "request.query_too_long"));
    gate().check("long header", &good(ALLOWED).header("x-long", "a".repeat(17 * 1024)), &Expect::refused(431, "request.headers_too_large"));
    let many = (0..125).fold(good(ALLOWED), |request, i| request.header(&format!("x-{i}"), "1"));
    gate().check_or_runtime("many headers", &many, &Expect::refused(431, "request.headers_too_many"));
    let some = (0..60).fold(good(ALLOWED), |request, i| request.header(&format!("x-{i}"), "1"));
    gate().check("not so many headers", &some, &Expect::allowed());
}

#[test]
fn a_method_nobody_knows_is_refused() {
    for method in ["TRACE", "BREW", "PROPFIND", "get"] {
        let mut request = good(ALLOWED);
        request.method = method.into();
        let answer = gate().check(method, &request, &Expect::refused(405, "request.method_unknown"));
        assert_eq!(answer.response.header("allow"), Some("GET, HEAD, OPTIONS, POST, PUT, PATCH, DELETE"));
    }
}

#[test]
fn a_field_that_must_be_single_is_refused_twice() {
    let token = Token::dev(gate().now(), "alice").groups(&["readers"]).make();
    gate().check("two credentials", &good(ALLOWED).bearer(&token), &Expect::refused(400, "request.authorization_repeated"));
    gate().check("two hosts", &good(ALLOWED).header("Host", "other.example"), &Expect::refused(400, "request.host_repeated"));
    gate().check_or_runtime("a bad host", &good(ALLOWED).host(Some("user@api.example.com")), &Expect::refused(400, "request.host_invalid"));
    gate().check_or_runtime("an empty host", &good(ALLOWED).host(Some("")), &Expect::refused(400, "request.host_missing"));
    gate().check_or_runtime(
        "a port out of range",
        &good(ALLOWED).host(Some("api.example.com:65536")),
        &Expect::refused(400, "request.host_invalid"),
    );
    let absolute = |target: &str| Request { target: target.into(), ..good(ALLOWED) };
    gate().check_or_runtime(
        "two ways to name a host",
        &absolute("http://other.example/api/documents/1"),
        &Expect::refused(400, "request.host_ambiguous"),
    );
    gate().check("the same host twice", &absolute("http://api.example.com/api/documents/1"), &Expect::allowed());
    gate().check("a good port", &good(ALLOWED).host(Some("api.example.com:8443")), &Expect::allowed());
}

#[test]
fn what_only_the_runtime_may_say_is_refused_from_a_caller() {
    for (name, value) in [("spin-client-addr", "10.0.0.1:1"), ("Spin-Client-Addr", "127.0.0.1:1"), ("spin-full-url", "https://x/")] {
        gate().check(name, &good(ALLOWED).header(name, value), &Expect::refused(400, "request.spin_header_repeated"));
    }
    gate().check(
        "with an underscore",
        &good(ALLOWED).header("spin_client_addr", "10.0.0.1:1"),
        &Expect::refused(400, "request.spin_header_repeated"),
    );
}

#[test]
fn content_length_is_one_number() {
    let token = Token::dev(gate().now(), "bob").groups(&["writers"]).scope("documents.write").make();
    let put = |values: &[&str]| {
        let request =
            values.iter().fold(Request::new("PUT", ALLOWED).bearer(&token), |request, value| request.header("Content-Length", value));
        Request { body: b"abc".to_vec(), ..request }
    };
    gate().check("control", &put(&["3"]), &Expect::allowed());
    // The HTTP server in front refuses these itself, before there is a request to record.
    for values in [&["3", "4"][..], &["3, 3"], &["3, 4"], &["+3"], &["-1"], &["0x3"], &["99999999999999999999"]] {
        let request = put(values);
        let response = request.send(gate().addr);
        assert_eq!(response.status, 400, "{values:?}: {}", response.text());
        assert!(gate().origin.seen(&request.id).is_empty(), "{values:?}");
    }
    // The same twice it makes one (RFC 9110, section 8.6, allows either); never does the origin see two.
    let request = put(&["3", "3"]);
    assert!(matches!(request.send(gate().addr).status, 200 | 400));
    assert!(gate().origin.seen(&request.id).iter().all(|seen| seen.header("content-length") == Some("3") && seen.body == Some(3)));
}
