//! HTTP/2 and TLS: another way in, the same decisions.

use std::net::SocketAddr;
use std::sync::Arc;

use bytes::Bytes;
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt, Empty, Full};
use hyper::client::conn::{http1, http2};
use hyper::header::{HeaderMap, HeaderValue};
use hyper_util::rt::{TokioExecutor, TokioIo};
use rcgen::{CertifiedKey, generate_simple_self_signed};
use rustls::RootCertStore;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

use super::support::client::{Response, TEST_ID};
use super::support::gate::{Gate, NOW, Setup, bundle, runtime};
use super::support::origin::{Origin, Seen};
use super::support::process::{Project, sealed_file};
use super::support::token::Token;

const PATH: &str = "/api/documents/1";
const BIG: usize = 16 * 1024 * 1024;

type Body = UnsyncBoxBody<Bytes, std::convert::Infallible>;
type Request = hyper::Request<Body>;

fn request(method: &str, url: &str, id: &str, token: Option<&str>) -> Request {
    let mut request = hyper::Request::builder().method(method).uri(url).header(TEST_ID, id);
    if let Some(token) = token {
        request = request.header("authorization", format!("Bearer {token}"));
    }
    request.body(Empty::new().boxed_unsync()).unwrap()
}

fn get(id: &str, token: Option<&str>) -> Request {
    request("GET", &format!("http://api.example.com{PATH}"), id, token)
}

/// A connection of either version.
enum Client {
    One(http1::SendRequest<Body>),
    Two(http2::SendRequest<Body>),
}

impl Client {
    async fn new(stream: impl AsyncRead + AsyncWrite + Send + Unpin + 'static, two: bool) -> Self {
        if two {
            let (sender, connection) = http2::handshake(TokioExecutor::new(), TokioIo::new(stream)).await.unwrap();
            tokio::spawn(connection);
            Self::Two(sender)
        } else {
            let (sender, connection) = http1::handshake(TokioIo::new(stream)).await.unwrap();
            tokio::spawn(connection);
            Self::One(sender)
        }
    }

    async fn plain(to: SocketAddr) -> Self {
        Self::new(TcpStream::connect(to).await.unwrap(), true).await
    }

    /// TLS with one protocol on offer; panics when the other side does not take it.
    async fn tls(to: SocketAddr, roots: RootCertStore, protocol: &str) -> Self {
        let mut config = rustls::ClientConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_root_certificates(roots)
            .with_no_client_auth();
        config.alpn_protocols = vec![protocol.as_bytes().to_vec()];
        let stream = TcpStream::connect(to).await.unwrap();
        let name = ServerName::try_from("api.example.com").unwrap();
        let stream = TlsConnector::from(Arc::new(config)).connect(name, stream).await.unwrap();
        assert_eq!(stream.get_ref().1.alpn_protocol(), Some(protocol.as_bytes()));
        Self::new(stream, protocol == "h2").await
    }

    async fn send(&mut self, mut request: Request) -> Response {
        let response = match self {
            Self::Two(sender) => sender.send_request(request).await,
            Self::One(sender) => {
                // One request after the other.
                sender.ready().await.unwrap();
                let host = request.uri().authority().unwrap().to_string();
                request.headers_mut().insert("host", host.parse().unwrap());
                *request.uri_mut() = request.uri().path_and_query().unwrap().as_str().parse().unwrap();
                sender.send_request(request).await
            }
        };
        let (parts, body) = response.unwrap().into_parts();
        let headers = parts.headers.iter().map(|(n, v)| (n.to_string(), v.to_str().unwrap().to_owned())).collect();
        Response { status: parts.status.as_u16(), headers, body: body.collect().await.unwrap().to_bytes().to_vec() }
    }
}

fn own_gate() -> Gate {
    Setup::new(&bundle()).start(&Origin::start(([127, 0, 0, 1], 0).into()))
}

fn alice() -> String {
    Token::dev(NOW, "alice").groups(&["readers"]).make()
}

fn bob() -> String {
    Token::dev(NOW, "bob").groups(&["writers"]).scope("documents.write").make()
}

fn only(origin: &Origin, id: &str) -> Seen {
    let mut seen = origin.seen(id);
    assert_eq!(seen.len(), 1, "{id}: {seen:?}");
    seen.remove(0)
}

fn reason(gate: &Gate, response: &Response) -> String {
    gate.record_of(response).unwrap()["reason"].as_str().unwrap().to_owned()
}

#[test]
fn http_2_is_decided_as_http_1_is() {
    let gate = own_gate();
    runtime().block_on(async {
        let mut client = Client::plain(gate.addr).await;
        let allowed = client.send(get("allowed", Some(&alice()))).await;
        assert_eq!((allowed.status, reason(&gate, &allowed).as_str()), (200, "policy.permit"));
        let seen = only(&gate.origin, "allowed");
        assert_eq!(seen.header("cedargate-principal"), Some("Gate::User::\"dev/alice\""));
        assert_eq!((seen.header("x-forwarded-host"), seen.header("x-forwarded-proto")), (Some("api.example.com"), Some("http")));
        assert_eq!(seen.header("host"), Some(gate.origin.addr.to_string().as_str()));

        for (name, request, status, why) in [
            (
                "denied",
                request("DELETE", &format!("http://api.example.com{PATH}"), "denied", Some(&alice())),
                403,
                "policy.insufficient_scope",
            ),
            ("nobody", get("nobody", None), 401, "policy.no_permit"),
            ("forged", get("forged", Some("a.b.c")), 401, "jwt."),
            ("dots", request("GET", "http://api.example.com/api/../health", "dots", None), 400, "request.path_dot_segment"),
        ] {
            let response = client.send(request).await;
            assert!(
                response.status == status && reason(&gate, &response).starts_with(why),
                "{name}: {response:?} {}",
                reason(&gate, &response)
            );
            assert_eq!(response.header("content-length"), Some(response.body.len().to_string().as_str()), "{name}");
            assert_eq!(response.json()["decision_id"].as_str(), response.header("cedargate-decision-id"), "{name}");
            assert!(gate.origin.seen(name).is_empty(), "{name}");
        }
    });
}

#[test]
fn streams_of_one_connection_do_not_mix() {
    let gate = own_gate();
    runtime().block_on(async {
        let Client::Two(sender) = Client::plain(gate.addr).await else { panic!("it speaks HTTP/2") };
        let tasks: Vec<_> = (0..200)
            .map(|i| {
                let mut client = Client::Two(sender.clone());
                let token = Token::dev(NOW, &format!("user{i}")).groups(&["readers"]).make();
                let with = i % 3 != 0;
                tokio::spawn(async move { (i, with, client.send(get(&format!("n{i}"), with.then_some(token.as_str()))).await) })
            })
            .collect();
        for task in tasks {
            let (i, with, response) = task.await.unwrap();
            let record = gate.record_of(&response).unwrap();
            if with {
                assert_eq!((response.status, &response.json()["principal"]), (200, &format!("Gate::User::\"dev/user{i}\"").into()));
                assert_eq!(record["identity"]["subject"], format!("user{i}"));
            } else {
                assert_eq!((response.status, &record["identity"]), (401, &serde_json::Value::Null));
            }
            assert_eq!(gate.origin.seen(&format!("n{i}")).len(), usize::from(with));
        }
    });
}

#[test]
fn a_host_beside_the_authority_must_be_the_same() {
    let gate = own_gate();
    runtime().block_on(async {
        let mut client = Client::plain(gate.addr).await;
        for (id, host, status) in [("same", "api.example.com", 200), ("other", "evil.example.com", 400)] {
            let mut request = get(id, Some(&alice()));
            request.headers_mut().insert("host", HeaderValue::from_static(host));
            let response = client.send(request).await;
            assert_eq!((response.status, gate.origin.seen(id).len()), (status, usize::from(status == 200)), "{id}: {response:?}");
            assert_eq!(reason(&gate, &response), if status == 200 { "policy.permit" } else { "request.host_ambiguous" });
        }
        let mut request = get("twice", Some(&alice()));
        request.headers_mut().append("host", HeaderValue::from_static("api.example.com"));
        request.headers_mut().append("host", HeaderValue::from_static("api.example.com"));
        let response = client.send(request).await;
        assert_eq!((response.status, reason(&gate, &response).as_str()), (400, "request.host_repeated"));
    });
}

#[test]
fn bodies_and_trailers_of_http_2() {
    let gate = own_gate();
    runtime().block_on(async {
        let mut client = Client::plain(gate.addr).await;
        let put = |id: &str, body: Body| {
            let (parts, _) = request("PUT", &format!("http://api.example.com{PATH}?echo=1"), id, Some(&bob())).into_parts();
            hyper::Request::from_parts(parts, body)
        };
        let big = put("big", Full::new(Bytes::from(vec![b'x'; BIG])).boxed_unsync());
        assert_eq!(client.send(big).await.status, 200);
        assert_eq!(only(&gate.origin, "big").body, Some(BIG as u64));

        // Trailers could carry what was taken out of the head: they end at the gate, the body does not.
        let mut trailers = HeaderMap::new();
        trailers.insert("cedargate-principal", HeaderValue::from_static("forged"));
        trailers.insert("x-checksum", HeaderValue::from_static("1"));
        let body = Full::new(Bytes::from_static(b"with trailers")).with_trailers(async { Some(Ok(trailers)) });
        let response = client.send(put("trailers", body.boxed_unsync())).await;
        assert_eq!((response.status, response.text().as_str()), (200, "with trailers"));
        let seen = only(&gate.origin, "trailers");
        assert_eq!(seen.header("cedargate-principal"), Some("Gate::User::\"dev/bob\""));
        assert!(seen.headers.iter().all(|(name, value)| value != "forged" && name != "x-checksum"), "{seen:?}");

        let mut denied = put("denied", Full::new(Bytes::from(vec![b'x'; BIG])).boxed_unsync());
        denied.headers_mut().remove("authorization");
        assert_eq!(client.send(denied).await.status, 401);
        assert!(gate.origin.seen("denied").is_empty());
        // The connection is still good for others.
        let url = format!("http://api.example.com{PATH}?bytes={BIG}");
        let response = client.send(request("GET", &url, "down", Some(&alice()))).await;
        assert_eq!((response.status, response.body.len()), (200, BIG));
    });
}

#[test]
fn tls_is_served_with_both_versions_and_the_origin_learns_of_it() {
    let project = Project::new();
    let CertifiedKey { cert, signing_key } = generate_simple_self_signed(["api.example.com".to_owned()]).unwrap();
    project.write("cert.pem", &cert.pem());
    project.write("key.pem", &signing_key.serialize_pem());
    let origin = Origin::start(([127, 0, 0, 1], 0).into());
    let up = project.up(&[
        "--component",
        sealed_file().to_str().unwrap(),
        "--origin",
        &format!("http://{}", origin.addr),
        "--now",
        &NOW.to_string(),
        "--tls-cert",
        "cert.pem",
        "--tls-key",
        "key.pem",
    ]);
    assert!(up.url.starts_with("https://127.0.0.1:"));
    assert!(up.greeting.iter().any(|line| line.contains("curl -k ") && line.ends_with(&format!("{}{PATH}", up.url))), "{:#?}", up.greeting);
    let mut roots = RootCertStore::empty();
    roots.add(CertificateDer::from_pem_file(project.path("cert.pem")).unwrap()).unwrap();
    runtime().block_on(async {
        for protocol in ["h2", "http/1.1"] {
            let mut client = Client::tls(up.addr, roots.clone(), protocol).await;
            let url = format!("https://api.example.com{PATH}");
            let id = |what: &str| format!("{protocol} {what}");
            let allowed = client.send(request("GET", &url, &id("allowed"), Some(&alice()))).await;
            assert_eq!(allowed.status, 200, "{protocol}: {allowed:?}");
            let seen = only(&origin, &id("allowed"));
            assert_eq!((seen.header("x-forwarded-proto"), seen.header("x-forwarded-host")), (Some("https"), Some("api.example.com")));
            let denied = client.send(request("DELETE", &url, &id("denied"), Some(&alice()))).await;
            let nobody = client.send(request("GET", &url, &id("nobody"), None)).await;
            assert_eq!((denied.status, nobody.status), (403, 401), "{protocol}");
            assert!(origin.seen(&id("denied")).is_empty() && origin.seen(&id("nobody")).is_empty());
            let (parts, _) = request("PUT", &url, &id("big"), Some(&bob())).into_parts();
            let big = hyper::Request::from_parts(parts, Full::new(Bytes::from(vec![b'x'; BIG])).boxed_unsync());
            assert_eq!(client.send(big).await.status, 200, "{protocol}");
            assert_eq!(only(&origin, &id("big")).body, Some(BIG as u64), "{protocol}");
        }
    });
    assert_eq!(up.records(8).len(), 8);
    up.stop();
}
