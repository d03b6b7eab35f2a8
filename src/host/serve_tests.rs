use std::collections::BTreeMap;
use std::path::Path;

use http_body_util::Empty;
use rcgen::{CertifiedKey, generate_simple_self_signed};
use rustls::RootCertStore;
use rustls::pki_types::{PrivateKeyDer, ServerName};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

use super::*;
use crate::host::{Manifest, engine};

/// Where the project's own base component is built.
const BASE: &str = "target/wasm32-wasip2/release/cedargate.wasm";

fn manifest_folder() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// The base component as it is: it answers every request with 503 and writes a record. `None` when it was never built.
fn component() -> Option<Compiled> {
    let bytes = match std::env::var_os("CEDARGATE_BASE") {
        Some(path) => std::fs::read(path).expect("CEDARGATE_BASE can be read"),
        None => std::fs::read(manifest_folder().join(BASE)).ok()?,
    };
    Some(Compiled::new(&engine().unwrap(), &bytes).unwrap())
}

fn options() -> Option<ServerOptions> {
    let manifest = Manifest::read(&manifest_folder().join("spin.toml")).unwrap();
    let origin = BTreeMap::from([("origin".to_owned(), "http://127.0.0.1:9".to_owned())]);
    let app = manifest.resolve(&origin, |_| None).unwrap();
    Some(ServerOptions::new(component()?, app).unwrap())
}

async fn get<S: AsyncRead + AsyncWrite + Unpin + Send + 'static>(stream: S, h2: bool, uri: &str) -> (StatusCode, Option<String>, Bytes) {
    let mut request = Request::get(uri).body(Empty::<Bytes>::new()).unwrap();
    let response = if h2 {
        let (mut sender, connection) = hyper::client::conn::http2::handshake(TokioExecutor::new(), TokioIo::new(stream)).await.unwrap();
        tokio::spawn(connection);
        sender.send_request(request).await.unwrap()
    } else {
        request.headers_mut().insert("host", HeaderValue::from_static("gate.test"));
        let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream)).await.unwrap();
        tokio::spawn(connection);
        sender.send_request(request).await.unwrap()
    };
    let length = response.headers().get("content-length").map(|length| length.to_str().unwrap().to_owned());
    (response.status(), length, response.into_body().collect().await.unwrap().to_bytes())
}

#[tokio::test(flavor = "multi_thread")]
async fn requests_reach_the_component_and_its_lines_the_sink() {
    let Some(options) = options() else { return };
    let server = Server::start(options).await.unwrap();
    let connect = || async { TcpStream::connect(server.address()).await.unwrap() };

    let (status, length, body) = get(connect().await, false, "/x").await;
    assert_eq!((status.as_u16(), length), (503, Some(body.len().to_string())));
    let (status, ..) = get(connect().await, true, "http://gate.test/x").await;
    assert_eq!(status, 503);
    assert_eq!(server.records().lines().len(), 2);
    assert!(server.records().lines().iter().all(|line| line.contains("system.unsealed")));

    // Spin's own paths are answered without the component.
    assert_eq!(get(connect().await, false, "/.well-known/spin/health").await.2, "OK");
    assert_eq!(get(connect().await, false, "/.well-known/spin/other").await.0, 404);
    let metrics = server.metrics();
    assert_eq!((metrics.requests, metrics.failed_instances), (2, 0));
    assert!(metrics.peak_instance_memory > 0 && metrics.live_instances <= metrics.instances);
    assert_eq!(server.records().lines().len(), 2);

    let address = server.address();
    server.stop().await;
    assert!(TcpStream::connect(address).await.is_err());
}

#[tokio::test(flavor = "multi_thread")]
async fn tls_serves_both_versions_of_http() {
    let Some(mut options) = options() else { return };
    let CertifiedKey { cert, signing_key } = generate_simple_self_signed(["gate.test".to_owned()]).unwrap();
    let key = PrivateKeyDer::try_from(signing_key.serialize_der()).unwrap();
    options.tls = Some(Tls::new(vec![cert.der().clone()], key).unwrap());
    let server = Server::start(options).await.unwrap();
    assert!(server.url().starts_with("https://127.0.0.1:"));

    let mut roots = RootCertStore::empty();
    roots.add(cert.der().clone()).unwrap();
    for (alpn, h2) in [(&b"h2"[..], true), (b"http/1.1", false)] {
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let mut config = rustls::ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_root_certificates(roots.clone())
            .with_no_client_auth();
        config.alpn_protocols = vec![alpn.to_vec()];
        let stream = TcpStream::connect(server.address()).await.unwrap();
        let name = ServerName::try_from("gate.test").unwrap();
        let stream = TlsConnector::from(Arc::new(config)).connect(name, stream).await.unwrap();
        assert_eq!(stream.get_ref().1.alpn_protocol(), Some(alpn));
        assert_eq!(get(stream, h2, "https://gate.test/x").await.0, 503);
    }
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_handshake_that_fails_does_not_stop_the_server() {
    let Some(mut options) = options() else { return };
    let CertifiedKey { cert, signing_key } = generate_simple_self_signed(["gate.test".to_owned()]).unwrap();
    let other = generate_simple_self_signed(["gate.test".to_owned()]).unwrap().signing_key;
    let other = PrivateKeyDer::try_from(other.serialize_der()).unwrap();
    assert!(matches!(Tls::new(vec![cert.der().clone()], other), Err(HostError::Tls(_))));

    let key = PrivateKeyDer::try_from(signing_key.serialize_der()).unwrap();
    options.tls = Some(Tls::new(vec![cert.der().clone()], key).unwrap());
    let server = Server::start(options).await.unwrap();
    for _ in 0..3 {
        // Plain HTTP where TLS is spoken.
        let mut stream = TcpStream::connect(server.address()).await.unwrap();
        tokio::io::AsyncWriteExt::write_all(&mut stream, b"GET / HTTP/1.1\r\n\r\n").await.unwrap();
        let mut answer = Vec::new();
        // An alert, or nothing: no HTTP.
        drop(tokio::io::AsyncReadExt::read_to_end(&mut stream, &mut answer).await);
        assert!(!answer.starts_with(b"HTTP"));
    }
    assert_eq!(server.metrics().requests, 0);
    server.stop().await;
}

#[tokio::test]
async fn an_address_that_is_taken_is_an_error() {
    let Some(mut options) = options() else { return };
    let taken = TcpListener::bind("127.0.0.1:0").await.unwrap();
    options.listen = taken.local_addr().unwrap();
    assert!(matches!(Server::start(options).await, Err(HostError::Listen { .. })));
}

#[tokio::test(flavor = "multi_thread")]
async fn another_component_takes_over_on_open_connections_and_the_old_one_goes() {
    let Some(mut options) = options() else { return };
    // Instances that would wait for ever if nobody told them.
    options.limits.idle_timeout = Duration::from_secs(3_600);
    let unsealed = options.component.clone();
    let bundle = crate::cli::files::read_bundle(&manifest_folder().join("policies"), &manifest_folder().join("keys"), false).unwrap();
    let base = std::fs::read(std::env::var_os("CEDARGATE_BASE").map_or_else(|| manifest_folder().join(BASE), Into::into)).unwrap();
    let sealed = tokio::task::spawn_blocking(move || crate::host::seal(&base, &bundle).unwrap()).await.unwrap();
    let sealed = Compiled::new(&engine().unwrap(), &sealed.component).unwrap();

    let server = Server::start(options).await.unwrap();
    let stream = TcpStream::connect(server.address()).await.unwrap();
    let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream)).await.unwrap();
    tokio::spawn(connection);
    let swap = server.swap();
    for round in 0..4 {
        for (component, status) in [(&unsealed, 503), (&sealed, 200)] {
            swap.to(component.clone());
            let request = Request::get("/.well-known/cedargate/health").header("host", "gate.test").body(Empty::<Bytes>::new()).unwrap();
            // The client's own task may not have seen yet that the last answer has ended.
            sender.ready().await.unwrap();
            let response = sender.send_request(request).await.unwrap();
            assert_eq!(response.status(), status, "{round}");
            response.into_body().collect().await.unwrap();
        }
    }
    assert!(server.metrics().instances >= 8, "{:?}", server.metrics());
    // Only the last one's instance stays.
    let deadline = tokio::time::Instant::now() + Duration::from_secs(30);
    while server.metrics().live_instances > 1 {
        assert!(tokio::time::Instant::now() < deadline, "{:?}", server.metrics());
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    assert_eq!((server.metrics().live_instances, server.metrics().failed_instances), (1, 0));
    server.stop().await;
}
