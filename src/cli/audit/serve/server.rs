//! The pages over HTTP, for browsers of this machine.
//!
//! SECURITY: what is served is the log of who may do what. Only loopback is listened on; a request whose host is another name comes
//! from a page that had its name lead here (DNS rebinding), and is refused; nothing changes anything, so only GET and HEAD are
//! answered; and a page can load nothing and tell nobody.

use std::convert::Infallible;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::header::{ALLOW, CACHE_CONTROL, CONTENT_TYPE, HOST, HeaderName, HeaderValue};
use http::uri::Authority;
use http::{HeaderMap, Method, Request, Response, StatusCode, Uri};
use http_body_util::Full;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use miette::{IntoDiagnostic as _, WrapErr as _};
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio::sync::Semaphore;

use super::api::{self, Console};
use super::metrics;

/// How long a browser may take for the head of a request.
const HEAD: Duration = Duration::from_secs(10);
/// Most connections at once.
const CONNECTIONS: usize = 64;

/// What every answer says.
const HEADERS: [(&str, &str); 6] = [
    (
        "content-security-policy",
        "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src 'self' data:; base-uri 'none'; \
         form-action 'self'; frame-ancestors 'none'",
    ),
    ("x-content-type-options", "nosniff"),
    ("cache-control", "no-store"),
    // Filters are in the address: no other site shall read it.
    ("referrer-policy", "no-referrer"),
    ("cross-origin-resource-policy", "same-origin"),
    ("cross-origin-opener-policy", "same-origin"),
];

/// What is part of the command.
const ASSETS: [(&str, &str, &str); 8] = [
    ("/assets/style.css", "text/css; charset=utf-8", include_str!("assets/style.css")),
    ("/assets/app.js", "text/javascript; charset=utf-8", include_str!("assets/app.js")),
    ("/assets/dom.js", "text/javascript; charset=utf-8", include_str!("assets/dom.js")),
    ("/assets/charts.js", "text/javascript; charset=utf-8", include_str!("assets/charts.js")),
    ("/assets/overview.js", "text/javascript; charset=utf-8", include_str!("assets/overview.js")),
    ("/assets/where.js", "text/javascript; charset=utf-8", include_str!("assets/where.js")),
    ("/assets/record.js", "text/javascript; charset=utf-8", include_str!("assets/record.js")),
    ("/assets/icon.svg", "image/svg+xml", include_str!("assets/icon.svg")),
];
const PAGE: &str = include_str!("assets/index.html");

type Answer = Response<Full<Bytes>>;

/// Listens on a port of loopback.
pub(super) async fn listen(port: u16) -> miette::Result<(TcpListener, SocketAddr)> {
    let address = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
    let failed = || format!("cannot listen on {address}");
    let listener = TcpListener::bind(address).await.into_diagnostic().wrap_err_with(failed)?;
    let address = listener.local_addr().into_diagnostic().wrap_err_with(failed)?;
    Ok((listener, address))
}

/// Serves for ever.
pub(super) async fn serve(listener: TcpListener, console: Arc<Console>) {
    let room = Arc::new(Semaphore::new(CONNECTIONS));
    loop {
        let Ok(permit) = Arc::clone(&room).acquire_owned().await else { return };
        let Ok((stream, _)) = listener.accept().await else {
            // Out of file descriptors, mostly: waiting lets connections end.
            tokio::time::sleep(Duration::from_millis(50)).await;
            continue;
        };
        let console = Arc::clone(&console);
        tokio::spawn(async move {
            let service = service_fn(move |request| {
                let console = Arc::clone(&console);
                async move { Ok::<_, Infallible>(answer(request, console).await) }
            });
            let mut builder = http1::Builder::new();
            builder.timer(TokioTimer::new()).header_read_timeout(HEAD);
            // A browser that breaks off is nothing to tell of.
            drop(builder.serve_connection(TokioIo::new(stream), service).await);
            drop(permit);
        });
    }
}

async fn answer<B>(request: Request<B>, console: Arc<Console>) -> Answer {
    let mut answer = respond(request.method(), request.uri(), request.headers(), console).await;
    for (name, value) in HEADERS {
        answer.headers_mut().insert(HeaderName::from_static(name), HeaderValue::from_static(value));
    }
    answer
}

async fn respond(method: &Method, uri: &Uri, headers: &HeaderMap, console: Arc<Console>) -> Answer {
    if !is_local(uri, headers) {
        return told(StatusCode::MISDIRECTED_REQUEST, "this console answers to 127.0.0.1 and localhost alone");
    }
    if !matches!(*method, Method::GET | Method::HEAD) {
        let mut answer = told(StatusCode::METHOD_NOT_ALLOWED, "there is nothing to change here");
        answer.headers_mut().insert(ALLOW, HeaderValue::from_static("GET, HEAD"));
        return answer;
    }
    let path = uri.path();
    if let Some(name) = path.strip_prefix("/api/") {
        let (name, query) = (name.to_owned(), uri.query().unwrap_or_default().to_owned());
        // SQLite waits for the disk; the threads that serve do not.
        return match tokio::task::spawn_blocking(move || api::answer(&console, &name, &query)).await {
            Ok(Ok(value)) => json_of(StatusCode::OK, &value),
            Ok(Err((status, message))) => told(status, &message),
            Err(_) => told(StatusCode::INTERNAL_SERVER_ERROR, "the question could not be answered"),
        };
    }
    match path {
        "/" | "/records" | "/record" | "/chain" => content(StatusCode::OK, "text/html; charset=utf-8", PAGE.into()),
        "/metrics" => {
            let text = metrics::text(&console.shared.status(), console.slo_micros);
            content(StatusCode::OK, metrics::TYPE, text.into())
        }
        _ => match ASSETS.iter().find(|(name, ..)| *name == path) {
            Some((_, kind, text)) => content(StatusCode::OK, kind, (*text).into()),
            None => told(StatusCode::NOT_FOUND, "there is no such page"),
        },
    }
}

/// Whether the name that the browser knows this console by is one that always leads to this machine.
fn is_local(uri: &Uri, headers: &HeaderMap) -> bool {
    let mut hosts = headers.get_all(HOST).iter();
    let (Some(host), None) = (hosts.next(), hosts.next()) else { return false };
    let named = host.to_str().ok().and_then(|host| host.parse::<Authority>().ok());
    let is = |authority: &Authority| {
        let host = authority.host();
        // A user part is nothing a browser sends, nor is a port that is none.
        let whole = authority.as_str() == host || authority.port_u16().is_some_and(|port| authority.as_str() == format!("{host}:{port}"));
        whole && (host.eq_ignore_ascii_case("localhost") || matches!(host, "127.0.0.1" | "[::1]"))
    };
    named.as_ref().is_some_and(is) && uri.authority().is_none_or(is)
}

fn json_of(status: StatusCode, value: &Value) -> Answer {
    content(status, "application/json", value.to_string().into())
}

fn told(status: StatusCode, message: &str) -> Answer {
    json_of(status, &json!({ "error": message }))
}

fn content(status: StatusCode, kind: &'static str, bytes: Bytes) -> Answer {
    let mut answer = Response::new(Full::new(bytes));
    *answer.status_mut() = status;
    answer.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(kind));
    answer.headers_mut().insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    answer
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_names_of_loopback_are_local() {
        let is = |host: &str, target: &str| {
            let mut headers = HeaderMap::new();
            for host in host.split('|').filter(|host| !host.is_empty()) {
                headers.append(HOST, HeaderValue::from_str(host).unwrap());
            }
            is_local(&target.parse().unwrap(), &headers)
        };
        for host in ["127.0.0.1", "127.0.0.1:8484", "localhost:1", "LOCALHOST", "[::1]:8484"] {
            assert!(is(host, "/"), "{host}");
        }
        let wrong = ["", "evil.example", "evil.example:8484", "127.0.0.1.evil.example", "localhost.evil.example", "127.0.0.1@evil.example"];
        for host in wrong.into_iter().chain(["x@127.0.0.1", "127.0.0.1|evil.example", "0.0.0.0", "127.0.0.1:x", "::1", "127.1"]) {
            assert!(!is(host, "/"), "{host}");
        }
        assert!(is("localhost", "http://127.0.0.1/") && !is("localhost", "http://evil.example/"));
    }

    #[test]
    fn nothing_of_the_page_comes_from_elsewhere() {
        for text in ASSETS.iter().map(|(_, _, text)| *text).chain([PAGE]) {
            let outside = text.replace("http://www.w3.org/2000/svg", "");
            for hint in [
                "http://",
                "https://",
                "src=\"//",
                "url(",
                "innerHTML",
                "outerHTML",
                "insertAdjacent",
                "document.write",
                "eval(",
                "style=\"",
            ] {
                assert!(!outside.contains(hint), "{hint}");
            }
        }
        assert!(!PAGE.contains("<script>") && !PAGE.contains("onclick"));
    }
}
