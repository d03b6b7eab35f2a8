//! `htu`: whether a proof was made for the URL the caller used.

use crate::identity::{Deployment, PublicUrl};
use crate::request::{Facts, Path, parse_authority};

/// Whether `htu` is the URL of the request, without query and fragment (RFC 9449, section 4.3, item 9).
///
/// Compared after the normalisation of RFC 3986, sections 6.2.2 and 6.2.3: scheme and host without case, the default port like
/// no port, an empty path like `/`, and segments as the gate itself reads them, decoded. A path the gate would not take in a
/// request (dot segments, empty segments, encoded delimiters) is not repaired here either: it matches nothing.
pub(super) fn is_of(htu: &str, facts: &Facts, deployment: &Deployment) -> bool {
    let Some((url, path)) = read(htu) else { return false };
    let origin = match &deployment.public_url {
        Some(public) => url.https == public.https && url.host == public.host && port(&url) == port(public),
        // What the gate sees: the caller's own authority. A terminator in front may have taken the TLS away, so `https` is
        // right as well; `http` never where the caller's own connection used TLS.
        None => {
            let own = PublicUrl { https: url.https, ..PublicUrl::of_request(facts) };
            (url.https || !facts.https) && url.host == own.host && port(&url) == port(&own)
        }
    };
    origin && path.segments() == facts.path.segments()
}

/// Takes an absolute `http` or `https` URL apart. A user, an odd host or an odd path make it none.
fn read(htu: &str) -> Option<(PublicUrl, Path)> {
    let (scheme, rest) = htu.split_once("://")?;
    let https = match scheme {
        scheme if scheme.eq_ignore_ascii_case("https") => true,
        scheme if scheme.eq_ignore_ascii_case("http") => false,
        _ => return None,
    };
    let rest = rest.split(['?', '#']).next()?;
    let (authority, path) = rest.find('/').and_then(|at| rest.split_at_checked(at)).unwrap_or((rest, "/"));
    let (host, port) = parse_authority(authority, https)?;
    Some((PublicUrl { https, host, port }, Path::parse(path).ok()?))
}

/// The port, also where it is the scheme's own.
fn port(url: &PublicUrl) -> u16 {
    url.port.unwrap_or(if url.https { 443 } else { 80 })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::{is_of, read};
    use crate::identity::{Deployment, PublicUrl};
    use crate::request::{Facts, Proxies, RawRequest};

    fn facts(scheme: &str, host: &str, target: &str) -> Facts {
        let headers = [("host".to_owned(), host.as_bytes().to_vec())];
        let raw = RawRequest { method: "GET", scheme: Some(scheme), authority: None, path_with_query: Some(target), headers: &headers };
        crate::request::read(&raw, Proxies::default()).unwrap().0
    }

    fn public(url: &str) -> Deployment {
        Deployment { public_url: Some(PublicUrl::parse(url).unwrap()), ..Deployment::default() }
    }

    #[test]
    fn every_spelling_of_the_url_is_the_url() {
        let facts = facts("http", "10.0.0.1:3000", "/Orders/a%20b?x=1");
        let gate = public("https://api.example.com");
        for htu in [
            "https://api.example.com/Orders/a%20b",
            "HTTPS://API.Example.COM/Orders/a%20b",
            "https://api.example.com:443/Orders/a%20b",
            "https://api.example.com/%4Frders/%61%20%62",
            "https://api.example.com/Orders/a%20b?another=query",
            "https://api.example.com/Orders/a%20b#fragment/?",
        ] {
            assert!(is_of(htu, &facts, &gate), "{htu}");
        }
    }

    #[test]
    fn another_url_is_another() {
        let facts = facts("http", "10.0.0.1:3000", "/orders/1");
        let gate = public("https://api.example.com");
        assert!(is_of("https://api.example.com/orders/1", &facts, &gate), "the control");
        for htu in [
            "",
            "/orders/1",
            "api.example.com/orders/1",
            "//api.example.com/orders/1",
            "https:/api.example.com/orders/1",
            "http://api.example.com/orders/1",
            "wss://api.example.com/orders/1",
            "https://api.example.com:8443/orders/1",
            "https://api.example.com:80/orders/1",
            "https://api.example.com./orders/1",
            "https://example.com/orders/1",
            "https://api.example.com.evil.example/orders/1",
            "https://api.example.com@evil.example/orders/1",
            "https://user@api.example.com/orders/1",
            "https://evil.example/api.example.com/orders/1",
            "https://evil.example?https://api.example.com/orders/1",
            "https://api.example.com\\orders\\1",
            "https://api.example.com/orders",
            "https://api.example.com/orders/1/",
            "https://api.example.com/orders/1/2",
            "https://api.example.com/orders/2",
            "https://api.example.com/Orders/1",
            "https://api.example.com//orders/1",
            "https://api.example.com/x/../orders/1",
            "https://api.example.com/./orders/1",
            "https://api.example.com/orders%2f1",
            "https://api.example.com/orders/%2531",
            "https://api.example.com/orders/1;x",
            "https://api.example.com",
            "https://10.0.0.1:3000/orders/1",
            " https://api.example.com/orders/1",
            "https://api.example.com/orders/1 ",
        ] {
            assert!(!is_of(htu, &facts, &gate), "{htu}");
        }
    }

    #[test]
    fn without_a_public_url_the_requests_own_authority_counts() {
        let gate = Deployment::default();
        for (scheme, host, htu, expected) in [
            ("http", "api.example.com", "http://api.example.com/a", true),
            // Behind a terminator that passes `Host` on.
            ("http", "api.example.com", "https://api.example.com/a", true),
            ("http", "api.example.com:443", "https://api.example.com/a", true),
            ("http", "api.example.com:80", "http://api.example.com/a", true),
            ("http", "api.example.com:80", "https://api.example.com/a", false),
            ("http", "api.example.com:8080", "http://api.example.com:8080/a", true),
            ("http", "api.example.com:8080", "https://api.example.com:8080/a", true),
            ("http", "api.example.com:8080", "http://api.example.com/a", false),
            ("https", "api.example.com", "https://api.example.com/a", true),
            ("https", "api.example.com", "https://api.example.com:443/a", true),
            // SECURITY: a proof for the unprotected URL says that the token crossed the network in the open.
            ("https", "api.example.com", "http://api.example.com/a", false),
            ("https", "api.example.com:80", "http://api.example.com/a", false),
            ("http", "[::1]:3000", "http://[0:0::1]:3000/a", true),
            ("http", "api.example.com", "http://other.example/a", false),
        ] {
            assert_eq!(is_of(htu, &facts(scheme, host, "/a"), &gate), expected, "{scheme} {host} {htu}");
        }
    }

    #[test]
    fn an_empty_path_is_the_root() {
        let root = facts("https", "a.example", "/?q");
        for htu in ["https://a.example", "https://a.example/", "https://a.example?q", "https://a.example#f"] {
            assert!(is_of(htu, &root, &Deployment::default()), "{htu}");
        }
    }

    proptest! {
        #[test]
        fn any_text_is_read_without_panic(text in prop_oneof![any::<String>(), "https?://[a-z.:@\\[\\]0-9]{0,9}[/?#%.a-z;]{0,9}"]) {
            let _ = read(&text);
        }
    }
}
