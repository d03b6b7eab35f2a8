//! An origin that counts: what reached it, and exactly how.

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use http_body_util::{BodyExt, Full, combinators::UnsyncBoxBody};
use hyper::body::{Frame, Incoming};
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::rt::{TokioExecutor, TokioIo};
use hyper_util::server::conn::auto;
use tokio::net::TcpListener;

use super::client::TEST_ID;

type Body = UnsyncBoxBody<Bytes, std::io::Error>;

/// One request as the origin saw it.
#[derive(Debug, Clone)]
pub struct Seen {
    pub method: String,
    pub target: String,
    pub headers: Vec<(String, String)>,
    /// Length of the body; `None` when it broke off.
    pub body: Option<u64>,
}

impl Seen {
    /// All values of a header.
    pub fn all(&self, name: &str) -> Vec<&str> {
        self.headers.iter().filter(|(n, _)| n == name).map(|(_, v)| v.as_str()).collect()
    }

    /// The value of a header that occurs once.
    pub fn header(&self, name: &str) -> Option<&str> {
        let all = self.all(name);
        assert!(all.len() <= 1, "`{name}` occurs {} times", all.len());
        all.first().copied()
    }
}

/// The counting origin. It answers 200 with its own words; the path's query can ask for more:
/// `?bytes=N` (that many), `?slow=MS` (wait first), `?cut=1` (break off in the middle), `?status=N`, `?echo=1`.
#[derive(Debug, Clone)]
pub struct Origin {
    pub addr: SocketAddr,
    seen: Arc<Mutex<BTreeMap<String, Vec<Seen>>>>,
}

impl Origin {
    /// Starts the origin in the background of the running process.
    pub fn start(listen: SocketAddr) -> Self {
        let seen: Arc<Mutex<BTreeMap<String, Vec<Seen>>>> = Arc::default();
        let (tx, rx) = std::sync::mpsc::channel();
        let shared = seen.clone();
        std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
            runtime.block_on(async move {
                let listener = TcpListener::bind(listen).await.expect("the origin's address is free");
                tx.send(listener.local_addr().unwrap()).unwrap();
                loop {
                    let Ok((stream, _)) = listener.accept().await else { continue };
                    let _ = stream.set_nodelay(true);
                    let shared = shared.clone();
                    tokio::spawn(async move {
                        let service = service_fn(move |request| answer(request, shared.clone()));
                        let _ = auto::Builder::new(TokioExecutor::new()).serve_connection(TokioIo::new(stream), service).await;
                    });
                }
            });
        });
        Self { addr: rx.recv().unwrap(), seen }
    }

    /// An origin that counts nothing, at an address where something else listens, or nobody.
    pub fn at(addr: SocketAddr) -> Self {
        Self { addr, seen: Arc::default() }
    }

    /// The requests with this test id that reached the origin.
    pub fn seen(&self, id: &str) -> Vec<Seen> {
        self.seen.lock().unwrap().get(id).cloned().unwrap_or_default()
    }

    /// All requests that reached the origin.
    pub fn count(&self) -> usize {
        self.seen.lock().unwrap().values().map(Vec::len).sum()
    }
}

async fn answer(request: Request<Incoming>, seen: Arc<Mutex<BTreeMap<String, Vec<Seen>>>>) -> Result<Response<Body>, Infallible> {
    let (parts, mut body) = request.into_parts();
    let mut length = Some(0_u64);
    let mut start = Vec::new();
    while let Some(frame) = body.frame().await {
        match frame {
            Ok(frame) => {
                if let Some(data) = frame.data_ref() {
                    length = length.map(|n| n + data.len() as u64);
                    if start.len() < 4096 {
                        start.extend_from_slice(data);
                    }
                }
            }
            Err(_) => {
                length = None;
                break;
            }
        }
    }
    let headers: Vec<(String, String)> =
        parts.headers.iter().map(|(n, v)| (n.to_string(), String::from_utf8_lossy(v.as_bytes()).into_owned())).collect();
    let id = headers.iter().find(|(n, _)| n == TEST_ID).map(|(_, v)| v.clone()).unwrap_or_default();
    let one = Seen { method: parts.method.to_string(), target: parts.uri.to_string(), headers, body: length };
    let principal = one.header("cedargate-principal").unwrap_or_default().to_owned();
    seen.lock().unwrap().entry(id.clone()).or_default().push(one);

    let ask: BTreeMap<&str, &str> = parts.uri.query().unwrap_or_default().split('&').filter_map(|p| p.split_once('=')).collect();
    let number = |name: &str| ask.get(name).and_then(|v| v.parse::<u64>().ok());
    if let Some(ms) = number("slow") {
        tokio::time::sleep(Duration::from_millis(ms)).await;
    }
    let status = number("status").and_then(|s| u16::try_from(s).ok()).unwrap_or(200);
    let response =
        Response::builder().status(status).header("x-origin", "real").header("cedargate-spoof", "1").header("alt-svc", "h3=\":1\"");
    let body: Body = if let Some(total) = number("bytes") {
        let chunk = Bytes::from(vec![b'x'; 64 * 1024]);
        UnsyncBoxBody::new(chunks(total, chunk))
    } else if ask.contains_key("cut") {
        // Enough to be on its way before it breaks off.
        let frames = (0..64).map(|_| Ok(Frame::data(Bytes::from_static(&[b'x'; 16 * 1024])))).chain([Err(std::io::Error::other("cut"))]);
        UnsyncBoxBody::new(Frames(frames))
    } else if ask.contains_key("echo") {
        UnsyncBoxBody::new(Full::new(Bytes::from(start)).map_err(|e| match e {}))
    } else {
        let text = serde_json::json!({"origin": "counting", "id": id, "principal": principal}).to_string();
        UnsyncBoxBody::new(Full::new(Bytes::from(text)).map_err(|e| match e {}))
    };
    Ok(response.body(body).unwrap())
}

/// Frames from an iterator, always ready, of a length nobody knows beforehand.
struct Frames<I>(I);

impl<I: Iterator<Item = Result<Frame<Bytes>, std::io::Error>> + Unpin> hyper::body::Body for Frames<I> {
    type Data = Bytes;
    type Error = std::io::Error;

    fn poll_frame(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Option<I::Item>> {
        Poll::Ready(self.0.next())
    }
}

/// `total` bytes in pieces of `chunk`.
fn chunks(total: u64, chunk: Bytes) -> Frames<impl Iterator<Item = Result<Frame<Bytes>, std::io::Error>> + Unpin> {
    let mut left = total;
    Frames(std::iter::from_fn(move || {
        if left == 0 {
            return None;
        }
        let size = left.min(chunk.len() as u64);
        left -= size;
        Some(Ok(Frame::data(chunk.slice(..size as usize))))
    }))
}
