//! What Spin does to a request before the component sees it.

use std::net::SocketAddr;

use http::header::{CONNECTION, HOST};
use http::uri::{Authority, Scheme};
use http::{HeaderName, HeaderValue, Request, Uri};

use super::allowed::CHAINING;

/// Spin's own paths, which it answers itself.
pub(super) const WELL_KNOWN: &str = "/.well-known/spin/";

/// The route of a trigger.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Route {
    raw: String,
}

impl Route {
    /// Reads a route of the manifest: `/...`, `/prefix/...` or an exact path.
    ///
    /// # Errors
    /// A sentence for what is not supported.
    pub fn parse(raw: &str) -> Result<Self, String> {
        if !raw.starts_with('/') {
            return Err(format!("the route `{raw}` does not start with `/`"));
        }
        if raw.split('/').any(|segment| segment.starts_with(':') || segment == "*") {
            return Err(format!("the route `{raw}` has a named wildcard, which is not served here: use `/...`"));
        }
        Ok(Self { raw: raw.to_owned() })
    }

    /// The part of `path` below the route, `None` when the route does not match.
    fn below<'a>(&self, path: &'a str) -> Option<&'a str> {
        let Some(prefix) = self.raw.strip_suffix("/...") else {
            return (path.trim_end_matches('/') == self.raw.trim_end_matches('/')).then_some("");
        };
        let rest = path.strip_prefix(prefix)?;
        (rest.is_empty() || rest.starts_with('/')).then_some(rest)
    }

    /// The route without its wildcard.
    fn prefix(&self) -> &str {
        self.raw.strip_suffix("/...").unwrap_or(&self.raw)
    }

    /// Whether the route takes a path.
    pub(super) fn matches(&self, path: &str) -> bool {
        // `*` and the empty path of CONNECT belong to no path; the component refuses them.
        !path.starts_with('/') || self.below(path).is_some()
    }
}

/// Makes the changes Spin 4.1 makes: `connection` is removed (here with the fields it lists, which the component could not
/// find without it), and a `host` of service chaining; scheme and authority are put
/// into the URI; and Spin's own headers are *appended*, so that the last of each is Spin's and one a client sent comes first.
///
/// Where Spin closes the connection without an answer (no host at all, two different hosts) or answers an empty 500 (bytes
/// that are no UTF-8 in a header), the request goes to the component as it is: it refuses all of these, with a record.
pub(super) fn prepare<B>(request: &mut Request<B>, scheme: &Scheme, route: &Route, client: SocketAddr) {
    let headers = request.headers_mut();
    if headers.get(HOST).is_some_and(|host| is_chaining(host.as_bytes())) {
        headers.remove(HOST);
    }
    let listed: Vec<HeaderName> = headers
        .get_all(CONNECTION)
        .iter()
        .flat_map(|value| value.as_bytes().split(|byte| *byte == b','))
        .filter_map(|name| HeaderName::from_bytes(name.trim_ascii()).ok())
        .collect();
    // Before Spin's own are appended, so that none of those can be listed.
    for name in listed.iter().chain([&CONNECTION]) {
        headers.remove(name);
    }

    let host = headers.get(HOST).cloned();
    let mut parts = request.uri().clone().into_parts();
    if parts.authority.is_none() {
        parts.authority = host.as_ref().and_then(|host| Authority::try_from(host.as_bytes()).ok());
    }
    if parts.path_and_query.is_some() && parts.authority.is_some() {
        parts.scheme = Some(scheme.clone());
        if let Ok(uri) = Uri::from_parts(parts) {
            *request.uri_mut() = uri;
        }
    }

    let path = request.uri().path();
    let url = [
        scheme.as_str().as_bytes(),
        b"://",
        host.as_ref().map_or(b"localhost".as_slice(), HeaderValue::as_bytes),
        request.uri().path_and_query().map_or("", |path| path.as_str()).as_bytes(),
    ]
    .concat();
    let own: [(HeaderName, Vec<u8>); 7] = [
        (HeaderName::from_static("spin-path-info"), route.below(path).unwrap_or_default().into()),
        (HeaderName::from_static("spin-full-url"), url),
        (HeaderName::from_static("spin-matched-route"), route.raw.as_str().into()),
        (HeaderName::from_static("spin-base-path"), "/".into()),
        (HeaderName::from_static("spin-raw-component-route"), route.raw.as_str().into()),
        (HeaderName::from_static("spin-component-route"), route.prefix().into()),
        (HeaderName::from_static("spin-client-addr"), client.to_string().into()),
    ];
    for (name, value) in own {
        // The parts are parts of a request that was read already, so all bytes are fit for a header.
        if let Ok(value) = HeaderValue::from_bytes(&value) {
            request.headers_mut().append(name, value);
        }
    }
}

/// `name.spin.internal`, with or without a port.
fn is_chaining(host: &[u8]) -> bool {
    let Ok(host) = std::str::from_utf8(host) else { return false };
    let host = host.rsplit_once(':').map_or(host, |(host, _)| host);
    host.split_once('.').is_some_and(|(_, rest)| rest == CHAINING)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn prepared(request: http::request::Builder, route: &str) -> Request<()> {
        let mut request = request.body(()).unwrap();
        let route = Route::parse(route).unwrap();
        assert!(route.matches(request.uri().path()));
        prepare(&mut request, &Scheme::HTTP, &route, "127.0.0.1:8777".parse().unwrap());
        request
    }

    fn all(request: &Request<()>, name: &str) -> Vec<String> {
        request.headers().get_all(name).iter().map(|value| value.to_str().unwrap().to_owned()).collect()
    }

    #[test]
    fn spin_headers_are_those_of_spin() {
        let request = prepared(Request::get("/foo/bar?a=1").header("host", "api.test:81"), "/foo/...");
        for (name, value) in [
            ("host", "api.test:81"),
            ("spin-path-info", "/bar"),
            ("spin-full-url", "http://api.test:81/foo/bar?a=1"),
            ("spin-matched-route", "/foo/..."),
            ("spin-base-path", "/"),
            ("spin-raw-component-route", "/foo/..."),
            ("spin-component-route", "/foo"),
            ("spin-client-addr", "127.0.0.1:8777"),
        ] {
            assert_eq!(all(&request, name), [value], "{name}");
        }
        assert_eq!(request.uri().to_string(), "http://api.test:81/foo/bar?a=1");
        assert_eq!(all(&prepared(Request::get("/a/../b"), "/..."), "spin-path-info"), ["/a/../b"]);
        assert_eq!(all(&prepared(Request::get("/a"), "/..."), "spin-component-route"), [""]);
        assert_eq!(all(&prepared(Request::get("/a"), "/..."), "spin-full-url"), ["http://localhost/a"]);
    }

    #[test]
    fn a_forged_header_stays_first() {
        let request = prepared(Request::get("/").header("host", "a").header("spin-client-addr", "6.6.6.6:1"), "/...");
        assert_eq!(all(&request, "spin-client-addr"), ["6.6.6.6:1", "127.0.0.1:8777"]);
    }

    #[test]
    fn what_spin_removes_is_removed() {
        let request =
            prepared(Request::get("/").header("host", "x.spin.internal:80").header("connection", "close").header("te", "x"), "/...");
        assert!(all(&request, "host").is_empty() && all(&request, "connection").is_empty());
        assert_eq!(all(&request, "te"), ["x"]);
        let request = prepared(
            Request::get("/").header("connection", "close, X-a").header("connection", " x-b ,,@").header("x-a", "1").header("x-b", "2"),
            "/...",
        );
        assert!(all(&request, "x-a").is_empty() && all(&request, "x-b").is_empty());
        let request = prepared(Request::get("/").header("connection", "spin-client-addr").header("spin-client-addr", "6.6.6.6:1"), "/...");
        assert_eq!(all(&request, "spin-client-addr"), ["127.0.0.1:8777"]);
    }

    #[test]
    fn two_hosts_reach_the_component() {
        let request = prepared(Request::get("http://a.test/x").header("host", "b.test"), "/...");
        assert_eq!(request.uri().authority().unwrap(), "a.test");
        assert_eq!(all(&request, "host"), ["b.test"]);
        let request = prepared(Request::get("/").header("host", "a.test").header("host", "b.test"), "/...");
        assert_eq!(all(&request, "host"), ["a.test", "b.test"]);
        assert_eq!(prepared(Request::get("/").header("host", "a b"), "/...").uri().authority(), None);
    }

    #[test]
    fn routes_match_by_segment() {
        let matches = |route: &str, path: &str| Route::parse(route).unwrap().matches(path);
        for (route, path) in
            [("/...", "/"), ("/...", "/a/b"), ("/...", "*"), ("/a/...", "/a"), ("/a/...", "/a/b"), ("/a", "/a"), ("/a", "/a/")]
        {
            assert!(matches(route, path), "{route} {path}");
        }
        for (route, path) in [("/a/...", "/ab"), ("/a/...", "/"), ("/a", "/a/b")] {
            assert!(!matches(route, path), "{route} {path}");
        }
        assert!(Route::parse("/:name/...").is_err() && Route::parse("a").is_err());
    }
}
