//! Answers 200 with two bytes to everything.

use bytes::Bytes;
use spin_sdk::http::{FullBody, IntoResponse, Request, Response};
use spin_sdk::http_service;

#[http_service]
async fn handle(_request: Request) -> impl IntoResponse {
    Response::builder().status(200).header("content-length", "2").body(FullBody::new(Bytes::from_static(b"ok"))).map_err(|e| e.to_string())
}
