//! A sink of records, as well or as badly as a test wants: reads requests byte by byte, without a library that would forgive
//! what another sink does not.

use std::collections::{BTreeSet, VecDeque};
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::process::{Command, Stdio};
use std::sync::{Arc, Condvar, Mutex};
use std::time::Instant;

use serde_json::Value;

/// How one request is answered.
#[derive(Debug, Clone)]
pub enum Act {
    /// Takes it: this status, this body.
    Take(u16, &'static str),
    /// Takes nothing: this status, these fields.
    Fail(u16, Vec<(&'static str, &'static str)>),
    /// Reads it, takes nothing and closes the connection.
    Cut,
    /// Reads only the head and closes the connection.
    CutInBody,
}

/// A request that came, whole.
#[derive(Debug, Clone)]
pub struct Came {
    pub at: Instant,
    pub path: String,
    pub headers: Vec<(String, String)>,
    /// Unpacked.
    pub body: String,
    /// The status it was answered with; none while it is held, or when it was cut off.
    pub status: Option<u16>,
}

impl Came {
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str())
    }

    /// The records in it.
    pub fn records(&self) -> Vec<Value> {
        let json = |text: &str| serde_json::from_str::<Value>(text).unwrap_or_else(|error| panic!("{error}: {text}"));
        let text = |value: &Value| json(value.as_str().expect("a record is text"));
        match self.path.as_str() {
            "/api/v2/logs" => json(&self.body).as_array().expect("an array").iter().map(|item| text(&item["message"])).collect(),
            "/v1/logs" => {
                let body = json(&self.body);
                let records = body["resourceLogs"][0]["scopeLogs"][0]["logRecords"].as_array().expect("an array");
                records.iter().map(|record| text(&record["body"]["stringValue"])).collect()
            }
            "/services/collector/event" => {
                let events = serde_json::Deserializer::from_str(&self.body).into_iter::<Value>();
                events.map(|event| event.expect("an event")["event"].clone()).collect()
            }
            _ => self.body.lines().map(json).collect(),
        }
    }
}

#[derive(Default)]
struct State {
    /// What becomes of the next requests; those after them are taken.
    script: VecDeque<Act>,
    held: bool,
    came: Vec<Came>,
}

/// The sink. Everything is taken with 200 until it is told otherwise.
#[derive(Clone)]
pub struct Collector {
    pub addr: SocketAddr,
    shared: Arc<(Mutex<State>, Condvar)>,
}

impl Collector {
    pub fn start() -> Self {
        Self::at(([127, 0, 0, 1], 0).into())
    }

    /// Starts it at an address, where nobody listened before.
    pub fn at(addr: SocketAddr) -> Self {
        let listener = TcpListener::bind(addr).expect("nobody listens there");
        let collector = Self { addr: listener.local_addr().unwrap(), shared: Arc::default() };
        let shared = collector.clone();
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let shared = shared.clone();
                std::thread::spawn(move || shared.serve(stream));
            }
        });
        collector
    }

    pub fn url(&self) -> String {
        format!("http://{}", self.addr)
    }

    /// What becomes of the next requests.
    pub fn script(&self, acts: impl IntoIterator<Item = Act>) {
        self.shared.0.lock().unwrap().script.extend(acts);
    }

    /// From now on nothing is answered, until it is let go.
    pub fn hold(&self) {
        self.shared.0.lock().unwrap().held = true;
    }

    pub fn release(&self) {
        self.shared.0.lock().unwrap().held = false;
        self.shared.1.notify_all();
    }

    /// Every request that came, in order.
    pub fn came(&self) -> Vec<Came> {
        self.shared.0.lock().unwrap().came.clone()
    }

    /// The records of requests that were taken, in order; what came twice counts once.
    pub fn records(&self) -> Vec<Value> {
        let mut known = BTreeSet::new();
        let taken = self.came().into_iter().filter(|came| came.status.is_some_and(|status| status < 300));
        taken.flat_map(|came| came.records()).filter(|record| known.insert(record.to_string())).collect()
    }

    fn serve(&self, mut stream: TcpStream) {
        while self.answer(&mut stream).is_some() {}
    }

    /// One request; `None` when the connection is of no more use.
    fn answer(&self, stream: &mut TcpStream) -> Option<()> {
        let mut head = Vec::new();
        let mut byte = [0];
        while !head.ends_with(b"\r\n\r\n") {
            match stream.read(&mut byte) {
                Ok(1) => head.push(byte[0]),
                _ => return None,
            }
        }
        let at = Instant::now();
        let act = self.shared.0.lock().unwrap().script.pop_front().unwrap_or(Act::Take(200, "{}"));
        let head = String::from_utf8(head).expect("a head is text");
        let mut lines = head.trim_end().split("\r\n");
        let first: Vec<&str> = lines.next().unwrap_or_default().split(' ').collect();
        assert_eq!(first[0], "POST", "{head}");
        let headers: Vec<(String, String)> =
            lines.filter_map(|line| line.split_once(": ")).map(|(name, value)| (name.to_ascii_lowercase(), value.to_owned())).collect();
        let header = |name: &str| headers.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str());
        let length: usize = header("content-length").expect("a length is said").parse().expect("a number");
        let mut came = Came { at, path: first[1].to_owned(), headers: headers.clone(), body: String::new(), status: None };
        if matches!(act, Act::CutInBody) {
            self.shared.0.lock().unwrap().came.push(came);
            return None;
        }
        let mut body = vec![0; length];
        stream.read_exact(&mut body).ok()?;
        came.body = match header("content-encoding") {
            None => String::from_utf8(body).expect("a body is text"),
            Some("gzip") => gunzip(&body),
            Some(other) => panic!("packed as {other}"),
        };
        let number = {
            let mut state = self.shared.0.lock().unwrap();
            state.came.push(came);
            let number = state.came.len() - 1;
            while state.held {
                state = self.shared.1.wait(state).unwrap();
            }
            number
        };
        let (status, fields, body) = match act {
            Act::Cut | Act::CutInBody => return None,
            Act::Take(status, body) => (status, vec![], body),
            Act::Fail(status, fields) => (status, fields, "busy"),
        };
        self.shared.0.lock().unwrap().came[number].status = Some(status);
        let fields: String = fields.iter().map(|(name, value)| format!("{name}: {value}\r\n")).collect();
        let text = format!("HTTP/1.1 {status} Somehow\r\ncontent-length: {}\r\n{fields}\r\n{body}", body.len());
        stream.write_all(text.as_bytes()).ok()
    }
}

/// By the one everybody has: what unpacks there unpacks anywhere.
fn gunzip(packed: &[u8]) -> String {
    let mut child = Command::new("gzip").arg("-dc").stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().expect("there is a gzip");
    let mut stdin = child.stdin.take().unwrap();
    let packed = packed.to_vec();
    let writer = std::thread::spawn(move || stdin.write_all(&packed));
    let output = child.wait_with_output().unwrap();
    writer.join().unwrap().unwrap();
    assert!(output.status.success(), "gzip does not unpack it");
    String::from_utf8(output.stdout).expect("a body is text")
}

/// An address where nobody listens.
pub fn nobody() -> SocketAddr {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap()
}
