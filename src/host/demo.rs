//! A small API to stand in front of, for trying the gate without one.
//!
//! It believes everything it is told, as an API behind a gate may: whoever reaches it was let through.

use std::convert::Infallible;
use std::net::SocketAddr;

use bytes::Bytes;
use http::header::{CONTENT_TYPE, HeaderMap, HeaderValue};
use http::{Method, Request, Response, StatusCode};
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use serde_json::{Map, Value, json};
use tokio::net::TcpListener;
use tokio::task::JoinHandle;

use super::HostError;

/// The demo API on a port of this machine. Dropping it ends it.
pub struct Demo {
    address: SocketAddr,
    task: JoinHandle<()>,
}

impl Demo {
    /// Starts it on a free port of the loopback address.
    ///
    /// # Errors
    /// [`HostError::Listen`] when there is none.
    pub async fn start() -> Result<Self, HostError> {
        let loopback = SocketAddr::from(([127, 0, 0, 1], 0));
        let cannot = |source| HostError::Listen { address: loopback, source };
        let listener = TcpListener::bind(loopback).await.map_err(cannot)?;
        let address = listener.local_addr().map_err(cannot)?;
        let task = tokio::spawn(async move {
            loop {
                let Ok((stream, _)) = listener.accept().await else { continue };
                drop(stream.set_nodelay(true));
                let connection = http1::Builder::new().timer(TokioTimer::new()).serve_connection(TokioIo::new(stream), service_fn(answer));
                drop(tokio::spawn(connection));
            }
        });
        Ok(Self { address, task })
    }

    /// Where it is, as the variable `origin` wants it.
    pub fn origin(&self) -> String {
        format!("http://{}", self.address)
    }
}

impl Drop for Demo {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn answer(request: Request<Incoming>) -> Result<Response<Full<Bytes>>, Infallible> {
    let (parts, body) = request.into_parts();
    // The body is read, so that the connection can be used again, and thrown away.
    let mut received = 0_usize;
    let mut body = body;
    while let Some(frame) = body.frame().await {
        let Ok(frame) = frame else { break };
        received = received.saturating_add(frame.data_ref().map_or(0, Bytes::len));
    }
    let segments: Vec<_> = parts.uri.path().split('/').skip(1).collect();
    let (status, mut value) = resource(&parts.method, &segments);
    if let Some(object) = value.as_object_mut() {
        if received > 0 {
            object.insert("received_bytes".into(), received.into());
        }
        object.insert("gate".into(), told(&parts.headers));
    }
    let mut response = Response::new(Full::new(Bytes::from(format!("{value}\n"))));
    *response.status_mut() = status;
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    Ok(response)
}

fn resource(method: &Method, segments: &[&str]) -> (StatusCode, Value) {
    let done = |what: &str, id: &str| match *method {
        Method::DELETE => json!({ what: id, "deleted": true }),
        Method::PUT | Method::PATCH | Method::POST => json!({ what: id, "saved": true }),
        _ => json!({ what: id, "title": format!("{what} number {id}") }),
    };
    match segments {
        ["health"] => (StatusCode::OK, json!({ "status": "ok" })),
        ["api", "documents"] if method == Method::POST => (StatusCode::CREATED, done("document", "4")),
        ["api", "documents"] => (StatusCode::OK, json!({ "documents": ["1", "2", "3"] })),
        ["api", "documents", id] => (StatusCode::OK, done("document", id)),
        ["api", "orders"] if method == Method::POST => (StatusCode::CREATED, done("order", "43")),
        ["api", "orders"] => (StatusCode::OK, json!({ "orders": ["41", "42"] })),
        ["api", "orders", id] => (StatusCode::OK, done("order", id)),
        ["api", "admin", rest @ ..] => (StatusCode::OK, json!({ "admin": rest.join("/") })),
        _ => (StatusCode::NOT_FOUND, json!({ "error": "there is nothing here" })),
    }
}

/// What the gate said about the caller.
fn told(headers: &HeaderMap) -> Value {
    let said = |name: &str| name.strip_prefix("cedargate-").map(str::to_owned);
    headers
        .iter()
        .filter_map(|(name, value)| Some((said(name.as_str())?, Value::from(String::from_utf8_lossy(value.as_bytes())))))
        .collect::<Map<_, _>>()
        .into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_api_has_what_the_sample_policies_talk_about() {
        for (method, path, status) in [
            (Method::GET, "/health", 200),
            (Method::GET, "/api/documents/1", 200),
            (Method::POST, "/api/documents", 201),
            (Method::DELETE, "/api/orders/42", 200),
            (Method::GET, "/api/admin/users/7", 200),
            (Method::GET, "/nothing", 404),
        ] {
            let segments: Vec<_> = path.split('/').skip(1).collect();
            assert_eq!(resource(&method, &segments).0.as_u16(), status, "{method} {path}");
        }
    }

    #[test]
    fn only_what_the_gate_says_is_told() {
        let mut headers = HeaderMap::new();
        headers.insert("cedargate-principal", HeaderValue::from_static("Gate::User::\"a\""));
        headers.insert("authorization", HeaderValue::from_static("Bearer secret"));
        assert_eq!(told(&headers), json!({ "principal": "Gate::User::\"a\"" }));
    }
}
