//! A blocking HTTP/1.1 client that sends exactly the bytes it is given.
//!
//! No library here: the suite sends what libraries refuse to send.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// The header that tells one test request from another, at the gate and at the origin.
pub const TEST_ID: &str = "x-test-id";

/// A request, built as text. `Host`, the test id and `Connection: close` are added when it is sent.
#[derive(Debug, Clone)]
pub struct Request {
    pub method: String,
    pub target: String,
    pub host: Option<String>,
    pub headers: Vec<(String, Vec<u8>)>,
    pub body: Vec<u8>,
    pub id: String,
}

impl Request {
    pub fn new(method: &str, target: &str) -> Self {
        static NEXT: AtomicU64 = AtomicU64::new(0);
        let id = format!("{}-{}", std::process::id(), NEXT.fetch_add(1, Ordering::Relaxed));
        Self { method: method.into(), target: target.into(), host: Some("api.example.com".into()), headers: vec![], body: vec![], id }
    }

    pub fn get(target: &str) -> Self {
        Self::new("GET", target)
    }

    pub fn header(mut self, name: &str, value: impl AsRef<[u8]>) -> Self {
        self.headers.push((name.into(), value.as_ref().to_vec()));
        self
    }

    pub fn bearer(self, token: &str) -> Self {
        self.header("Authorization", format!("Bearer {token}"))
    }

    /// The body, with its `Content-Length`.
    pub fn body(mut self, body: impl Into<Vec<u8>>) -> Self {
        self.body = body.into();
        let length = self.body.len().to_string();
        self.header("Content-Length", length)
    }

    pub fn host(mut self, host: Option<&str>) -> Self {
        self.host = host.map(str::to_owned);
        self
    }

    pub fn bytes(&self) -> Vec<u8> {
        let mut out = format!("{} {} HTTP/1.1\r\n", self.method, self.target).into_bytes();
        if let Some(host) = &self.host {
            out.extend_from_slice(format!("Host: {host}\r\n").as_bytes());
        }
        out.extend_from_slice(format!("{TEST_ID}: {}\r\n", self.id).as_bytes());
        for (name, value) in &self.headers {
            out.extend_from_slice(name.as_bytes());
            out.extend_from_slice(b": ");
            out.extend_from_slice(value);
            out.extend_from_slice(b"\r\n");
        }
        out.extend_from_slice(b"Connection: close\r\n\r\n");
        out.extend_from_slice(&self.body);
        out
    }

    /// The same for a connection that stays open; the body must be text.
    pub fn kept_open(&self) -> Vec<u8> {
        String::from_utf8(self.bytes()).unwrap().replace("Connection: close\r\n", "").into_bytes()
    }

    /// Sends the request on a connection of its own and reads the whole answer.
    pub fn send(&self, to: SocketAddr) -> Response {
        self.try_send(to).unwrap_or_else(|| panic!("no answer to {} {}", self.method, self.target))
    }

    /// The same; `None` when the server closes the connection without a byte.
    pub fn try_send(&self, to: SocketAddr) -> Option<Response> {
        exchange(to, &self.bytes()).map(|raw| parse(&raw, self.method == "HEAD"))
    }
}

/// A connection that stays open: one request after the other.
pub struct Connection(BufReader<TcpStream>);

impl Connection {
    pub fn open(to: SocketAddr) -> Self {
        let stream = TcpStream::connect(to).expect("the gate listens");
        stream.set_read_timeout(Some(Duration::from_secs(60))).unwrap();
        stream.set_nodelay(true).unwrap();
        Self(BufReader::new(stream))
    }

    /// Panics when the server closes the connection, or says that it will.
    pub fn ask(&mut self, request: &Request) -> Response {
        self.0.get_mut().write_all(&request.kept_open()).expect("the connection is open");
        let mut raw = Vec::new();
        let mut length = None;
        while !raw.ends_with(b"\r\n\r\n") {
            let start = raw.len();
            assert!(self.0.read_until(b'\n', &mut raw).unwrap() > 0, "the connection was closed: {}", String::from_utf8_lossy(&raw));
            let line = String::from_utf8_lossy(&raw[start..]).to_ascii_lowercase();
            assert!(!line.starts_with("connection: close"), "the connection will be closed");
            length = length.or_else(|| line.strip_prefix("content-length: ").map(|length| length.trim().parse::<usize>().unwrap()));
        }
        let head = raw.len();
        raw.resize(head + length.expect("the answers asked for here say how long they are"), 0);
        self.0.read_exact(&mut raw[head..]).unwrap();
        parse(&raw, false)
    }
}

/// A response, read to its end.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Response {
    pub status: u16,
    pub headers: Vec<(String, String)>,
    pub body: Vec<u8>,
}

impl Response {
    /// The value of a header that occurs once.
    pub fn header(&self, name: &str) -> Option<&str> {
        let mut values = self.headers.iter().filter(|(n, _)| n == name).map(|(_, v)| v.as_str());
        let first = values.next();
        assert!(values.next().is_none(), "`{name}` occurs twice in {self:?}");
        first
    }

    /// Every value of a header, in order.
    pub fn all(&self, name: &str) -> Vec<&str> {
        self.headers.iter().filter(|(n, _)| n == name).map(|(_, v)| v.as_str()).collect()
    }

    /// The challenge of a scheme; a response has one of each at most.
    pub fn challenge(&self, scheme: &str) -> Option<&str> {
        let of_scheme = |value: &&str| value.split(' ').next() == Some(scheme);
        let mut challenges = self.all("www-authenticate").into_iter().filter(of_scheme);
        let first = challenges.next();
        assert!(challenges.next().is_none(), "two challenges of `{scheme}` in {self:?}");
        first
    }

    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    pub fn json(&self) -> serde_json::Value {
        serde_json::from_slice(&self.body).unwrap_or_else(|e| panic!("{e}: {}", self.text()))
    }

    /// The public reason code of a problem body.
    pub fn code(&self) -> String {
        self.json()["code"].as_str().unwrap_or_default().to_owned()
    }
}

/// Sends bytes as they are and reads until the server closes; `None` when it does so without a byte.
fn exchange(to: SocketAddr, bytes: &[u8]) -> Option<Vec<u8>> {
    let mut stream = TcpStream::connect(to).expect("the gate listens");
    stream.set_read_timeout(Some(Duration::from_secs(60))).unwrap();
    stream.set_nodelay(true).unwrap();
    // A server that answers before it read everything may close its side: the answer still counts.
    let _ = stream.write_all(bytes);
    let _ = stream.flush();
    let mut raw = Vec::new();
    let end = stream.read_to_end(&mut raw);
    assert!(!matches!(&end, Err(e) if e.kind() == std::io::ErrorKind::WouldBlock), "no answer within a minute");
    (!raw.is_empty()).then_some(raw)
}

/// Parses a complete response.
pub fn parse(raw: &[u8], is_head: bool) -> Response {
    let end = raw.windows(4).position(|w| w == b"\r\n\r\n").unwrap_or_else(|| panic!("no head in {:?}", String::from_utf8_lossy(raw)));
    let head = String::from_utf8_lossy(&raw[..end]).into_owned();
    let mut lines = head.split("\r\n");
    let status =
        lines.next().and_then(|l| l.split(' ').nth(1)).and_then(|s| s.parse().ok()).unwrap_or_else(|| panic!("no status in {head:?}"));
    let headers: Vec<(String, String)> =
        lines.filter_map(|l| l.split_once(':')).map(|(n, v)| (n.trim().to_ascii_lowercase(), v.trim().to_owned())).collect();
    let rest = &raw[end + 4..];
    let chunked = headers.iter().any(|(n, v)| n == "transfer-encoding" && v.eq_ignore_ascii_case("chunked"));
    let body = if is_head {
        Vec::new()
    } else if chunked {
        dechunk(rest)
    } else {
        if let Some((_, length)) = headers.iter().find(|(n, _)| n == "content-length") {
            assert_eq!(rest.len().to_string(), *length, "the body is not as long as it says");
        }
        rest.to_vec()
    };
    Response { status, headers, body }
}

/// Decodes a chunked body; panics when it does not end properly, so that a cut-off body is never taken for a whole one.
fn dechunk(mut rest: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    loop {
        let end = rest.windows(2).position(|w| w == b"\r\n").expect("the chunked body is cut off");
        let size = usize::from_str_radix(std::str::from_utf8(&rest[..end]).unwrap().trim(), 16).unwrap();
        rest = &rest[end + 2..];
        if size == 0 {
            return out;
        }
        out.extend_from_slice(rest.get(..size).expect("the chunked body is cut off"));
        rest = &rest[size + 2..];
    }
}
