//! Answers 200 with two bytes to everything. `/least` is what a gate cannot do without: a line is written, and refused is in its words.

use std::io::Write;

use bytes::Bytes;
use spin_sdk::http::{FullBody, IntoResponse, Request, Response};
use spin_sdk::http_service;

/// As long as a record of a link that is refused, about.
static LINE: [u8; 1_100] = line();
/// As long as the answer to it.
static REFUSAL: &[u8] = &[b' '; 240];

const fn line() -> [u8; 1_100] {
    let mut line = [b'x'; 1_100];
    line[1_099] = b'\n';
    line
}

#[http_service]
async fn handle(request: Request) -> impl IntoResponse {
    if request.uri().path() == "/least" {
        let _ = std::io::stdout().write_all(&LINE);
        let response = Response::builder().status(403).header("content-length", "240").header("content-type", "application/problem+json");
        let response = response.header("cache-control", "no-store").body(FullBody::new(Bytes::from_static(REFUSAL)));
        return response.map_err(|e| e.to_string());
    }
    Response::builder().status(200).header("content-length", "2").body(FullBody::new(Bytes::from_static(b"ok"))).map_err(|e| e.to_string())
}
