//! Header names that must not pass through the gate, and why.

/// Fields that belong to one connection (RFC 9110, section 7.6.1), with those proxies add.
const HOP_BY_HOP: &[&str] = &[
    "connection",
    "keep-alive",
    "proxy-connection",
    "proxy-authenticate",
    "proxy-authorization",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
    "http2-settings",
    // The gate answers or forwards as a whole; an origin must not start a 100-continue exchange with it.
    "expect",
    "alt-svc",
];

/// Prefixes that only the gate, the runtime or a terminator may set.
const RESERVED_PREFIXES: &[&str] = &["spin-", "client-cert", "cedargate-"];

/// Fields that only the gate or a terminator may set.
const RESERVED: &[&str] = &["x-forwarded-client-cert", "forwarded", "x-real-ip", "host", "traceparent", "tracestate"];

/// SECURITY: fields in which TLS terminators pass client certificates on. A caller can write any of them, so none reaches an
/// origin that might believe it, whether or not the gate reads certificates itself.
const CERTIFICATES: &[&str] = &[
    "client-cert",
    "ssl-client-",
    "x-ssl-client-",
    "x-ssl-cert",
    "x-client-cert",
    "x-tls-client-cert",
    "x-amzn-mtls-",
    "x-arr-clientcert",
    "cf-client-cert-",
    "cloudfront-viewer-cert",
];

/// SECURITY: fields by which a caller asks some frameworks to act on another method or path than the request's own.
/// The decision was about the request's own, so the origin must not see another.
const OVERRIDES: &[&str] = &[
    "x-http-method-override",
    "x-http-method",
    "x-method-override",
    "x-original-url",
    "x-rewrite-url",
    "x-original-uri",
    "x-original-method",
];

/// `name` in the form names are compared in: lower case, `_` as `-`.
///
/// SECURITY: CGI-style origins (WSGI, Rack, PHP, servlets in part) make one variable of `cedargate-principal` and
/// `cedargate_principal`, so an underscore must not carry a reserved name through.
fn folded(name: &str) -> String {
    name.chars().map(|c| if c == '_' { '-' } else { c.to_ascii_lowercase() }).collect()
}

/// Whether a field of a request is kept from the origin. `x-forwarded-*` is: the gate writes its own. `own` are fields of
/// this gate's configuration: those with a certificate, and the one with the terminator's secret.
pub(super) fn is_kept_from_origin<'a>(name: &str, mut own: impl Iterator<Item = &'a str>) -> bool {
    let name = folded(name);
    let name = name.as_str();
    is_hop_by_hop(name)
        || is_reserved(name)
        || OVERRIDES.contains(&name)
        || name.starts_with("x-forwarded-")
        || CERTIFICATES.iter().any(|prefix| name.starts_with(prefix))
        || own.any(|own| folded(own) == name)
}

/// Whether a field of a response is kept from the client.
pub(super) fn is_kept_from_client(name: &str) -> bool {
    let name = folded(name);
    // `host` means nothing in a response, and runtimes refuse it there.
    is_hop_by_hop(&name) || name == "host" || RESERVED_PREFIXES.iter().any(|prefix| name.starts_with(prefix))
}

fn is_reserved(name: &str) -> bool {
    RESERVED.contains(&name) || RESERVED_PREFIXES.iter().any(|prefix| name.starts_with(prefix))
}

fn is_hop_by_hop(name: &str) -> bool {
    HOP_BY_HOP.contains(&name)
}

/// The names a message's `Connection` fields list, lower-case.
pub(super) fn listed_by_connection(headers: &[(String, Vec<u8>)]) -> Vec<String> {
    let mut names = Vec::new();
    for (_, value) in headers.iter().filter(|(name, _)| name.eq_ignore_ascii_case("connection")) {
        // A value that is not text lists no valid name.
        let Ok(value) = std::str::from_utf8(value) else { continue };
        names.extend(value.split(',').map(|name| name.trim().to_ascii_lowercase()).filter(|name| !name.is_empty()));
    }
    names
}
