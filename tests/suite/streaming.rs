//! Bodies of any size pass through without passing through memory.

use std::io::{Read, Write};
use std::net::TcpStream;

use super::support::client::Request;
use super::support::gate::{Gate, Setup, bundle};
use super::support::origin::Origin;
use super::support::token::Token;

const BIG: u64 = 256 * 1024 * 1024;
const MEMORY: u64 = 32 * 1024 * 1024;
/// What an instance may need at rest.
const AT_REST: u64 = 16 * 1024 * 1024;

fn own_gate() -> Gate {
    Setup::new(&bundle()).start(&Origin::start(([127, 0, 0, 1], 0).into()))
}

#[test]
fn an_instance_at_rest_is_small() {
    let gate = own_gate();
    let token = Token::dev(gate.now(), "alice").groups(&["readers"]).make();
    for _ in 0..50 {
        assert_eq!(Request::get("/api/documents/1").bearer(&token).send(gate.addr).status, 200);
    }
    let metrics = gate.metrics();
    assert!(metrics.peak_instance_memory > 0 && metrics.peak_instance_memory <= AT_REST, "{metrics:?}");
}

#[test]
fn a_large_response_streams_through() {
    let gate = own_gate();
    let token = Token::dev(gate.now(), "alice").groups(&["readers"]).make();
    let request = Request::get(&format!("/api/documents/1?bytes={BIG}")).bearer(&token);
    let mut stream = TcpStream::connect(gate.addr).unwrap();
    stream.write_all(&request.bytes()).unwrap();
    let (mut total, mut head, mut buffer, mut end) = (0_u64, Vec::new(), vec![0; 256 * 1024], [0; 5]);
    loop {
        let n = stream.read(&mut buffer).unwrap();
        if n == 0 {
            break;
        }
        total += n as u64;
        if head.len() < 16 {
            head.extend_from_slice(&buffer[..n.min(16)]);
        }
        let tail = n.min(5);
        end.rotate_left(tail);
        end[5 - tail..].copy_from_slice(&buffer[n - tail..n]);
    }
    assert!(head.starts_with(b"HTTP/1.1 200"), "{}", String::from_utf8_lossy(&head));
    assert!(total > BIG && end == *b"0\r\n\r\n", "{total} bytes, ends with {end:?}");
    assert!(gate.metrics().peak_instance_memory <= MEMORY, "{:?}", gate.metrics());
}

#[test]
fn a_large_request_streams_through() {
    let gate = own_gate();
    let token = Token::dev(gate.now(), "bob").groups(&["writers"]).scope("documents.write").make();
    for chunked in [false, true] {
        let mut request = Request::new("PUT", "/api/documents/1").bearer(&token);
        request = if chunked { request.header("Transfer-Encoding", "chunked") } else { request.header("Content-Length", BIG.to_string()) };
        let mut stream = TcpStream::connect(gate.addr).unwrap();
        stream.write_all(&request.bytes()).unwrap();
        let piece = vec![b'x'; 1024 * 1024];
        for _ in 0..BIG / piece.len() as u64 {
            if chunked {
                stream.write_all(format!("{:x}\r\n", piece.len()).as_bytes()).unwrap();
            }
            stream.write_all(&piece).unwrap();
            if chunked {
                stream.write_all(b"\r\n").unwrap();
            }
        }
        if chunked {
            stream.write_all(b"0\r\n\r\n").unwrap();
        }
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
        assert_eq!(gate.origin.seen(&request.id)[0].body, Some(BIG));
    }
    assert!(gate.metrics().peak_instance_memory <= MEMORY, "{:?}", gate.metrics());
}
