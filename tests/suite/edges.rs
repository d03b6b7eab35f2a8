//! The edges of an exchange: what an HTTP/2 caller, a caller that goes away and an odd origin can do.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use bytes::Bytes;
use http_body_util::{BodyExt, Empty};
use hyper::body::Frame;
use hyper_util::rt::{TokioExecutor, TokioIo};

use super::support::client::{Request, TEST_ID};
use super::support::gate::{Gate, Setup, bundle, runtime};
use super::support::origin::Origin;
use super::support::token::Token;

const PATH: &str = "/api/documents/1";

fn own_gate() -> Gate {
    Setup::new(&bundle()).start(&Origin::start(([127, 0, 0, 1], 0).into()))
}

fn alice(gate: &Gate) -> String {
    Token::dev(gate.now(), "alice").groups(&["readers"]).make()
}

/// An origin that answers every request with these very bytes and closes; what it was sent is in the list.
fn raw_origin(answer: Vec<u8>) -> (Origin, std::sync::Arc<std::sync::Mutex<Vec<Vec<u8>>>>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let addr: SocketAddr = listener.local_addr().unwrap();
    let seen = std::sync::Arc::<std::sync::Mutex<Vec<Vec<u8>>>>::default();
    let list = seen.clone();
    std::thread::spawn(move || {
        for mut stream in listener.incoming().flatten() {
            let (answer, list) = (answer.clone(), list.clone());
            std::thread::spawn(move || {
                stream.set_read_timeout(Some(Duration::from_millis(300))).unwrap();
                let (mut all, mut buffer) = (vec![], [0; 65536]);
                while let Ok(n @ 1..) = stream.read(&mut buffer) {
                    all.extend_from_slice(&buffer[..n]);
                }
                list.lock().unwrap().push(all);
                let _ = stream.write_all(&answer);
            });
        }
    });
    (Origin::at(addr), seen)
}

/// One HTTP/2 request on a connection of its own: status, headers, body, trailers.
fn over_http2<B>(to: SocketAddr, request: http::Request<B>) -> (http::response::Parts, Bytes, Option<http::HeaderMap>)
where
    B: http_body::Body<Data = Bytes> + Send + Unpin + 'static,
    B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
{
    runtime().block_on(async move {
        let stream = tokio::net::TcpStream::connect(to).await.unwrap();
        let (mut sender, connection) = hyper::client::conn::http2::handshake(TokioExecutor::new(), TokioIo::new(stream)).await.unwrap();
        tokio::spawn(connection);
        let (parts, body) = sender.send_request(request).await.unwrap().into_parts();
        let body = body.collect().await.unwrap();
        let trailers = body.trailers().cloned();
        (parts, body.to_bytes(), trailers)
    })
}

#[test]
fn trailers_of_a_caller_end_at_the_gate() {
    let answer = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nConnection: close\r\nTrailer: x-checksum\r\n\r\n5\r\nhello\r\n0\r\nx-checksum: 1\r\n\r\n".to_vec();
    let (origin, seen) = raw_origin(answer);
    let gate = Setup::new(&bundle()).start(&origin);
    let token = Token::dev(gate.now(), "bob").groups(&["writers"]).scope("documents.write").make();
    let mut trailers = http::HeaderMap::new();
    trailers.insert("cedargate-principal", "forged".parse().unwrap());
    let frames = vec![Ok::<_, std::io::Error>(Frame::data(Bytes::from_static(b"body"))), Ok(Frame::trailers(trailers))];
    let body = Frames(frames.into_iter());
    let request = http::Request::put(format!("http://api.example.com{PATH}"))
        .header("authorization", format!("Bearer {token}"))
        .header("trailer", "cedargate-principal")
        .body(body)
        .unwrap();
    let (parts, body, trailers) = over_http2(gate.addr, request);
    let sent = seen.lock().unwrap().concat();
    let sent = String::from_utf8_lossy(&sent).into_owned();
    assert!(!sent.contains("forged"), "{sent}");
    assert_eq!((parts.status.as_u16(), &body[..]), (200, &b"hello"[..]));
    // What the origin says after its body is its own word, and comes through.
    assert_eq!(trailers.and_then(|t| t.get("x-checksum").cloned()), Some("1".parse().unwrap()));
}

/// A body of these frames.
struct Frames(std::vec::IntoIter<Result<Frame<Bytes>, std::io::Error>>);

impl http_body::Body for Frames {
    type Data = Bytes;
    type Error = std::io::Error;

    fn poll_frame(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, std::io::Error>>> {
        Poll::Ready(self.0.next())
    }
}

#[test]
fn a_caller_that_goes_away_leaves_a_record() {
    let gate = own_gate();
    let target = format!("{PATH}?slow=1500");
    let request = Request::get(&target).bearer(&alice(&gate));
    let mut stream = TcpStream::connect(gate.addr).unwrap();
    stream.write_all(&request.bytes()).unwrap();
    let deadline = Instant::now() + Duration::from_secs(10);
    while gate.origin.seen(&request.id).is_empty() && Instant::now() < deadline {
        std::thread::sleep(Duration::from_millis(10));
    }
    assert_eq!(gate.origin.seen(&request.id).len(), 1);
    drop(stream);
    let deadline = Instant::now() + Duration::from_secs(10);
    while gate.lines().is_empty() && Instant::now() < deadline {
        std::thread::sleep(Duration::from_millis(10));
    }
    let lines = gate.lines();
    assert_eq!(lines.len(), 1, "{lines:?}");
    let record: serde_json::Value = serde_json::from_str(&lines[0]).unwrap();
    assert_eq!(record["decision"], "allow");
}

#[test]
fn an_answer_whose_fields_do_not_fit_is_refused_not_thinned_out() {
    let many: String = (0..90).map(|n| format!("x-{n}: {}\r\n", "a".repeat(3000))).collect();
    let answer =
        format!("HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 2\r\n{many}content-security-policy: default-src 'none'\r\n\r\nok");
    let (origin, _) = raw_origin(answer.into_bytes());
    let gate = Setup::new(&bundle()).start(&origin);
    let response = Request::get(PATH).bearer(&alice(&gate)).send(gate.addr);
    assert_eq!(response.status, 502);
}

#[test]
fn a_response_without_a_body_is_whole_in_http2_too() {
    let answer = |status: &str| format!("HTTP/1.1 {status}\r\nContent-Length: 500\r\nHost: x\r\nConnection: close\r\n\r\n").into_bytes();
    for (method, status, code) in [("HEAD", "200 OK", 200), ("HEAD", "404 Not Found", 404)] {
        let (origin, _) = raw_origin(answer(status));
        let gate = Setup::new(&bundle()).start(&origin);
        let request = Request { method: method.into(), ..Request::get(PATH).bearer(&alice(&gate)) };
        let mut stream = TcpStream::connect(gate.addr).unwrap();
        stream.write_all(&request.bytes()).unwrap();
        let mut text = String::new();
        stream.read_to_string(&mut text).unwrap();
        assert!(text.starts_with(&format!("HTTP/1.1 {status}")) && text.ends_with("\r\n\r\n"), "{text}");
        assert!(text.contains("content-length: 500"), "{text}");
        let request = http2(method, &[("authorization", &format!("Bearer {}", alice(&gate)))]);
        let (parts, body, _) = over_http2(gate.addr, request);
        assert_eq!((parts.status.as_u16(), body.len()), (code, 0), "{method} {status}");
        // The gate's own answers too.
        let (parts, body, _) = over_http2(gate.addr, http2("HEAD", &[]));
        assert_eq!((parts.status.as_u16(), body.len()), (401, 0));
        assert_ne!(parts.headers["content-length"], "0");
        assert_eq!(gate.metrics().failed_instances, 0);
    }
}

fn http2(method: &str, headers: &[(&str, &str)]) -> http::Request<Empty<Bytes>> {
    let request = http::Request::builder().method(method).uri(format!("http://api.example.com{PATH}"));
    headers.iter().fold(request, |request, (name, value)| request.header(*name, *value)).body(Empty::new()).unwrap()
}

#[test]
fn http2_is_read_like_http1() {
    let gate = own_gate();
    let build = |authority: &str, more: &[(&str, &str)]| {
        let mut request =
            http::Request::get(format!("http://{authority}{PATH}")).header("authorization", format!("Bearer {}", alice(&gate)));
        for (name, value) in more {
            request = request.header(*name, *value);
        }
        request.header(TEST_ID, "h2").body(Empty::<Bytes>::new()).unwrap()
    };
    for (name, request, status) in [
        ("control", build("api.example.com", &[]), 200),
        ("another host", build("api.example.com", &[("host", "other.example.com")]), 400),
        ("userinfo", build("a@api.example.com", &[]), 400),
        ("two hosts", build("api.example.com", &[("host", "api.example.com"), ("host", "api.example.com")]), 400),
        ("two credentials", build("api.example.com", &[("authorization", "Bearer x")]), 400),
        ("spin", build("api.example.com", &[("spin-client-addr", "10.0.0.1:1")]), 400),
        ("chaining", build("x.spin.internal", &[]), 200),
    ] {
        let (parts, body, _) = over_http2(gate.addr, request);
        assert_eq!(parts.status.as_u16(), status, "{name}: {body:?}");
    }
}

#[test]
fn an_origin_that_answers_with_no_final_status_is_a_502() {
    for status in ["101 Switching Protocols", "999 Odd"] {
        let (origin, _) = raw_origin(format!("HTTP/1.1 {status}\r\nUpgrade: x\r\nConnection: upgrade\r\n\r\n").into_bytes());
        let gate = Setup::new(&bundle()).start(&origin);
        let response = Request::get(PATH).bearer(&alice(&gate)).send(gate.addr);
        assert_eq!((response.status, response.code().as_str()), (502, "origin_invalid"), "{status}");
    }
}

#[test]
fn a_body_of_unsaid_length_that_breaks_off_does_not_become_a_short_one() {
    let gate = own_gate();
    let mut half = Request::get(PATH).bearer(&alice(&gate)).header("Transfer-Encoding", "chunked");
    half.body = b"5\r\nhello\r\n".to_vec();
    let mut stream = TcpStream::connect(gate.addr).unwrap();
    stream.write_all(&half.bytes()).unwrap();
    stream.shutdown(std::net::Shutdown::Write).unwrap();
    let deadline = Instant::now() + Duration::from_secs(10);
    while gate.lines().is_empty() && Instant::now() < deadline {
        std::thread::sleep(Duration::from_millis(10));
    }
    let record: serde_json::Value = serde_json::from_str(&gate.lines()[0]).unwrap();
    assert_eq!(record["upstream"]["error"]["reason"], "system.internal", "{record}");
    assert_eq!(gate.origin.count(), 0);
}
