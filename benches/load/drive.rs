//! The load: closed connections that ask as fast as they are answered, and paced ones that ask when it is time.

use std::cell::{Cell, RefCell};
use std::net::SocketAddr;
use std::rc::Rc;
use std::time::{Duration, Instant};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::runtime::{Builder, Runtime};
use tokio::task::LocalSet;

/// Requests as bytes, one after the other and from the beginning again; the place is kept from window to window, so that what is never to be
/// repeated is not.
pub struct Requests {
    all: Vec<Vec<u8>>,
    next: Cell<usize>,
    /// What each is answered with.
    pub status: u16,
}

impl Requests {
    pub fn new(all: Vec<Vec<u8>>, status: u16) -> Rc<Self> {
        assert!(!all.is_empty());
        Rc::new(Self { all, next: Cell::new(0), status })
    }

    fn next(&self) -> &[u8] {
        let at = self.next.get();
        self.next.set((at + 1) % self.all.len());
        &self.all[at]
    }
}

/// What one window gave.
pub struct Window {
    pub per_second: f64,
    /// In microseconds, sorted.
    pub latencies: Vec<u32>,
}

impl Window {
    pub fn percentile(&self, share: f64) -> f64 {
        let at = (self.latencies.len() as f64 * share) as usize;
        f64::from(self.latencies[at.min(self.latencies.len() - 1)])
    }
}

pub struct Driver(Runtime);

impl Driver {
    pub fn new() -> Self {
        Self(Builder::new_current_thread().enable_all().build().unwrap())
    }

    /// So many connections, each with one request at a time, for so long.
    pub fn closed(&self, addr: SocketAddr, requests: &Rc<Requests>, connections: usize, window: Duration) -> Window {
        let (latencies, began) = (Rc::new(RefCell::new(Vec::with_capacity(65_536))), Instant::now());
        LocalSet::new().block_on(&self.0, async {
            let tasks: Vec<_> = (0..connections)
                .map(|_| {
                    let (requests, latencies) = (Rc::clone(requests), Rc::clone(&latencies));
                    tokio::task::spawn_local(async move {
                        let mut connection = Connection::open(addr).await;
                        while began.elapsed() < window {
                            let asked = Instant::now();
                            connection.ask(requests.next(), requests.status).await;
                            latencies.borrow_mut().push(asked.elapsed().as_micros() as u32);
                        }
                    })
                })
                .collect();
            for task in tasks {
                task.await.unwrap();
            }
        });
        let seconds = began.elapsed().as_secs_f64();
        let mut latencies = Rc::into_inner(latencies).unwrap().into_inner();
        latencies.sort_unstable();
        Window { per_second: latencies.len() as f64 / seconds, latencies }
    }

    /// Several kinds of request side by side, each so many times a second; a request that has to wait for its turn has waited since it was
    /// due. The latencies of the first kind.
    pub fn paced(&self, addr: SocketAddr, kinds: &[(&Rc<Requests>, u32)], window: Duration) -> Window {
        const CONNECTIONS: u32 = 16;
        let (latencies, began) = (Rc::new(RefCell::new(Vec::new())), Instant::now() + Duration::from_millis(50));
        LocalSet::new().block_on(&self.0, async {
            let mut tasks = vec![];
            for (kind, (requests, per_second)) in kinds.iter().enumerate() {
                for number in 0..CONNECTIONS.min(*per_second) {
                    let (requests, latencies) = (Rc::clone(requests), Rc::clone(&latencies));
                    let step = Duration::from_secs(1) * CONNECTIONS / *per_second;
                    let first = Duration::from_secs(1) * number / *per_second;
                    tasks.push(tokio::task::spawn_local(async move {
                        let mut connection = Connection::open(addr).await;
                        for turn in 0.. {
                            let due = first + step * turn;
                            if due >= window {
                                break;
                            }
                            tokio::time::sleep_until((began + due).into()).await;
                            // Sleeping ends up to a millisecond late, which is none of the server's doing.
                            let asked = Instant::now().min(began + due + Duration::from_millis(1));
                            connection.ask(requests.next(), requests.status).await;
                            if kind == 0 {
                                latencies.borrow_mut().push(asked.elapsed().as_micros() as u32);
                            }
                        }
                    }));
                }
            }
            for task in tasks {
                task.await.unwrap();
            }
        });
        let mut latencies = Rc::into_inner(latencies).unwrap().into_inner();
        latencies.sort_unstable();
        Window { per_second: latencies.len() as f64 / window.as_secs_f64(), latencies }
    }

    /// The status of the answer to one request.
    pub fn status(&self, addr: SocketAddr, request: &[u8]) -> u16 {
        self.0.block_on(async { Connection::open(addr).await.answer(request).await })
    }
}

struct Connection {
    stream: TcpStream,
    buffer: Vec<u8>,
}

impl Connection {
    async fn open(addr: SocketAddr) -> Self {
        let stream = TcpStream::connect(addr).await.unwrap();
        stream.set_nodelay(true).unwrap();
        Self { stream, buffer: Vec::with_capacity(16 * 1024) }
    }

    async fn ask(&mut self, request: &[u8], status: u16) {
        let answered = self.answer(request).await;
        assert_eq!(answered, status, "{}", String::from_utf8_lossy(&self.buffer));
    }

    /// Sends a request and reads all of its answer.
    async fn answer(&mut self, request: &[u8]) -> u16 {
        self.stream.write_all(request).await.unwrap();
        self.buffer.clear();
        let mut whole = None;
        loop {
            let read = self.stream.read_buf(&mut self.buffer).await.unwrap();
            assert!(read > 0, "the connection was closed: {}", String::from_utf8_lossy(&self.buffer));
            if whole.is_none() {
                whole = end(&self.buffer);
            }
            match whole {
                Some(End::At(length)) if self.buffer.len() >= length => break,
                Some(End::Chunked) if self.buffer.ends_with(b"0\r\n\r\n") => break,
                _ => {}
            }
        }
        std::str::from_utf8(&self.buffer[9..12]).unwrap().parse().unwrap()
    }
}

enum End {
    At(usize),
    Chunked,
}

/// Where an answer ends, once its head is there.
fn end(buffer: &[u8]) -> Option<End> {
    let head = buffer.windows(4).position(|four| four == b"\r\n\r\n")?;
    let text = std::str::from_utf8(&buffer[..head]).unwrap();
    let value = |name: &str| {
        text.lines()
            .filter_map(|line| line.split_once(':'))
            .find(|(found, _)| found.eq_ignore_ascii_case(name))
            .map(|(_, value)| value.trim())
    };
    match value("content-length") {
        Some(length) => Some(End::At(head + 4 + length.parse::<usize>().unwrap())),
        None if value("transfer-encoding").is_some() => Some(End::Chunked),
        None => panic!("no length: {text}"),
    }
}
