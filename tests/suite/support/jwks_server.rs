//! Whoever publishes keys, as well or as badly as a test wants: a server that writes its answers byte by byte, without a
//! library that would keep it from lying.

use std::collections::BTreeMap;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use super::token::Key;

/// How one path is answered.
#[derive(Debug, Clone)]
pub enum Behaviour {
    /// 200 with these fields and this body.
    Good(Vec<(&'static str, String)>, Vec<u8>),
    /// The same after a while.
    Slow(Duration, Vec<u8>),
    /// This status, with a good body all the same.
    Status(u16, Vec<u8>),
    /// A redirect to where a good set is.
    Redirect(String),
    /// Takes the request and says nothing.
    Stall,
    /// Says half of it and no more.
    StallInBody(Vec<u8>),
    /// Announces more than it sends.
    Short(Vec<u8>),
    /// Announces less than it sends.
    Long(Vec<u8>),
    /// Never stops.
    Endless,
    /// Closes the connection.
    Close,
}

/// The server.
#[derive(Debug, Clone)]
pub struct JwksServer {
    pub addr: SocketAddr,
    shared: Arc<Mutex<BTreeMap<String, (Behaviour, usize)>>>,
}

impl JwksServer {
    /// Starts it on a free port. Every path is 404 until it is told otherwise.
    pub fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let server = Self { addr: listener.local_addr().unwrap(), shared: Arc::default() };
        let shared = server.clone();
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let shared = shared.clone();
                std::thread::spawn(move || shared.answer(stream));
            }
        });
        server
    }

    /// `http://address`.
    pub fn url(&self) -> String {
        format!("http://{}", self.addr)
    }

    /// From now on a path is answered like this.
    pub fn set(&self, path: &str, behaviour: Behaviour) {
        self.shared.lock().unwrap().entry(path.into()).or_insert((Behaviour::Close, 0)).0 = behaviour;
    }

    /// A path answers with a set of these keys.
    pub fn publish(&self, path: &str, keys: &[(&str, Key)]) {
        self.set(path, Behaviour::Good(vec![], jwks(keys)));
    }

    /// How often a path was asked for.
    pub fn count(&self, path: &str) -> usize {
        self.shared.lock().unwrap().get(path).map_or(0, |(_, count)| *count)
    }

    /// Waits until a path was asked for so often.
    pub fn wait(&self, path: &str, count: usize) {
        eventually(&format!("{count} requests for {path}"), || self.count(path) >= count);
    }

    fn answer(&self, mut stream: TcpStream) {
        let mut head = Vec::new();
        let mut byte = [0];
        while !head.ends_with(b"\r\n\r\n") {
            match stream.read(&mut byte) {
                Ok(1) => head.push(byte[0]),
                _ => return,
            }
        }
        let head = String::from_utf8_lossy(&head).into_owned();
        let path = head.split(' ').nth(1).unwrap_or_default().to_owned();
        let behaviour = {
            let mut shared = self.shared.lock().unwrap();
            shared.get_mut(&path).map(|(behaviour, count)| {
                *count += 1;
                behaviour.clone()
            })
        };
        // A gate that goes away in the middle is its own affair.
        let mut send = |bytes: &[u8]| drop(stream.write_all(bytes));
        match behaviour {
            None => send(&message(404, &[], b"", 0)),
            Some(Behaviour::Good(fields, body)) => send(&message(200, &fields, &body, body.len())),
            Some(Behaviour::Slow(time, body)) => {
                std::thread::sleep(time);
                send(&message(200, &[], &body, body.len()));
            }
            Some(Behaviour::Status(status, body)) => send(&message(status, &[], &body, body.len())),
            Some(Behaviour::Redirect(to)) => send(&message(302, &[("location", to)], b"", 0)),
            Some(Behaviour::Stall) => hold(stream),
            Some(Behaviour::StallInBody(body)) => {
                send(&message(200, &[], &body[..body.len() / 2], body.len()));
                hold(stream);
            }
            Some(Behaviour::Short(body)) => send(&message(200, &[], &body, body.len() + 1000)),
            Some(Behaviour::Long(body)) => send(&message(200, &[], &body, body.len() / 2)),
            Some(Behaviour::Endless) => {
                send(b"HTTP/1.1 200 OK\r\nconnection: close\r\n\r\n{\"keys\":[");
                while stream.write_all(&[b' '; 4096]).is_ok() {}
            }
            Some(Behaviour::Close) => {}
        }
    }
}

/// Keeps a connection open until the other side closes it.
fn hold(mut stream: TcpStream) {
    let mut rest = [0; 64];
    while matches!(stream.read(&mut rest), Ok(n) if n > 0) {}
}

fn message(status: u16, fields: &[(&'static str, String)], body: &[u8], length: usize) -> Vec<u8> {
    let fields: String = fields.iter().map(|(name, value)| format!("{name}: {value}\r\n")).collect();
    let head = format!("HTTP/1.1 {status} Somehow\r\ncontent-length: {length}\r\nconnection: close\r\n{fields}\r\n");
    [head.as_bytes(), body].concat()
}

/// Waits for something, and panics when it does not come.
pub fn eventually(what: &str, mut come: impl FnMut() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(60);
    while !come() {
        assert!(Instant::now() < deadline, "this never came: {what}");
        std::thread::yield_now();
    }
}

/// The public JWK of one of the suite's Ed25519 keys.
pub fn jwk(kid: &str, key: Key) -> Value {
    cedargate::identity::signing::public_jwk("EdDSA", key.pkcs8(), kid).expect("an Ed25519 key")
}

/// A set of them.
pub fn jwks(keys: &[(&str, Key)]) -> Vec<u8> {
    let keys: Vec<Value> = keys.iter().map(|(kid, key)| jwk(kid, *key)).collect();
    json!({ "keys": keys }).to_string().into_bytes()
}
