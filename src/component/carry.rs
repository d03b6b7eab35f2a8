//! Carrying a permitted request on, and its answer back: bodies stream both ways, and at most a piece of each is ever in
//! the instance's memory.

use spin_sdk::wasip3::http::client;
use spin_sdk::wasip3::http::types::{ErrorCode, Method as WasiMethod, Request, RequestOptions, Response, Scheme};
use spin_sdk::wasip3::wit_future;
use spin_sdk::wit_bindgen::{StreamReader, StreamResult};

use super::exchange::{fields, no_trailers, send_all, without_trailers};
use super::settings::Timeouts;
use crate::decision::{Denial, Reason};
use crate::enforce::{Destination, Forwarded, response_headers};
use crate::limits;
use crate::request::Method;

/// Sends a permitted request on; the answer is the response for the client and its status.
///
/// # Errors
/// A denial with a `system.origin_…` reason.
pub(super) async fn send(inbound: Request, forwarded: Forwarded, timeouts: Timeouts, decision_id: &str) -> Result<(Response, u16), Denial> {
    let Forwarded { method, path_with_query, destination, mut headers, content_length } = forwarded;
    let (_consumed, consumed) = wit_future::new(|| Ok(()));
    let (body, end) = Request::consume_body(inbound, consumed);
    let (body, trailers) = match (content_length, method) {
        (Some(0), _) => (None, no_trailers()),
        (Some(_), _) | (None, Method::Post | Method::Put | Method::Patch) => {
            let (body, trailers) = without_trailers(body, end);
            (Some(body), trailers)
        }
        (None, Method::Get | Method::Head | Method::Options | Method::Delete) => {
            let held = hold(body).await?;
            // SECURITY: a body that broke off must not become a whole one by being counted.
            end.await.map_err(|e| Denial::new(Reason::SystemInternal, format!("the request broke off: {e}")))?;
            if !held.is_empty() {
                headers.push(("content-length".to_owned(), held.len().to_string().into_bytes()));
            }
            (send_all(held), no_trailers())
        }
    };
    let fields = fields(&headers).map_err(|error| Denial::new(Reason::SystemInternal, format!("the fields for the origin: {error}")))?;
    let (request, _sent) = Request::new(fields, body, trailers, Some(options(timeouts)));
    require(request.set_method(&wasi_method(method)))?;
    require(request.set_path_with_query(Some(&path_with_query)))?;
    let response = dispatch(request, &destination).await?;
    relay(response, method, decision_id)
}

/// Hands a request to where it goes: each way to carry a permit on is one arm.
async fn dispatch(request: Request, destination: &Destination) -> Result<Response, Denial> {
    match destination {
        Destination::Origin(origin) => {
            let scheme = if origin.https() { Scheme::Https } else { Scheme::Http };
            require(request.set_scheme(Some(&scheme)))?;
            require(request.set_authority(Some(origin.authority())))?;
            client::send(request).await.map_err(failed)
        }
    }
}

/// SECURITY: a request that differs from the one that was decided on is never sent.
fn require(set: Result<(), ()>) -> Result<(), Denial> {
    set.map_err(|()| Denial::new(Reason::SystemInternal, "the runtime refused the request for the origin"))
}

/// Passes the origin's response on. Body and end go as they come and are not copied through the instance: what an origin
/// says after its body is its own word, to a client that speaks HTTP/2.
fn relay(inbound: Response, method: Method, decision_id: &str) -> Result<(Response, u16), Denial> {
    let status = inbound.get_status_code();
    if !(200..=599).contains(&status) {
        return Err(Denial::new(Reason::SystemOriginInvalid, format!("status {status}")));
    }
    let headers = response_headers(inbound.get_headers().copy_all(), decision_id);
    let fields = fields(&headers).map_err(|error| Denial::new(Reason::SystemOriginInvalid, format!("the origin's fields: {error}")))?;
    let (_consumed, consumed) = wit_future::new(|| Ok(()));
    let (body, end) = Response::consume_body(inbound, consumed);
    // These have no body, whatever their `content-length` says (RFC 9110, section 6.4.1): one that is missing is not cut off.
    let (body, trailers) = match (method, status) {
        (Method::Head, _) | (_, 204 | 304) => (None, no_trailers()),
        _ => (Some(body), end),
    };
    let (response, _sent) = Response::new(fields, body, trailers);
    if response.set_status_code(status).is_err() {
        return Err(Denial::new(Reason::SystemOriginInvalid, format!("status {status}")));
    }
    Ok((response, status))
}

/// The whole body of a request that does not say how long it is, for methods that usually have none.
///
/// Sent on as a stream it would reach the origin chunked even when it is empty, which many refuse; and HTTP clients drop
/// the body of a `GET` of unsaid length without a word.
async fn hold(mut body: StreamReader<u8>) -> Result<Vec<u8>, Denial> {
    let mut held = Vec::new();
    loop {
        let (result, piece) = body.read(Vec::with_capacity(limits::PIECE_BYTES)).await;
        held.extend_from_slice(&piece);
        if held.len() > limits::UNSIZED_BODY_BYTES {
            return Err(Denial::new(Reason::GateLengthRequired, format!("more than {} bytes", limits::UNSIZED_BODY_BYTES)));
        }
        if matches!(result, StreamResult::Dropped | StreamResult::Cancelled) {
            return Ok(held);
        }
    }
}

fn options(timeouts: Timeouts) -> RequestOptions {
    let Timeouts { connect, first_byte, between_bytes } = timeouts;
    let options = RequestOptions::new();
    // A runtime that does not support one of them has its own bound.
    let _ = options.set_connect_timeout(Some(connect));
    let _ = options.set_first_byte_timeout(Some(first_byte));
    let _ = options.set_between_bytes_timeout(Some(between_bytes));
    options
}

const fn wasi_method(method: Method) -> WasiMethod {
    match method {
        Method::Get => WasiMethod::Get,
        Method::Head => WasiMethod::Head,
        Method::Options => WasiMethod::Options,
        Method::Post => WasiMethod::Post,
        Method::Put => WasiMethod::Put,
        Method::Patch => WasiMethod::Patch,
        Method::Delete => WasiMethod::Delete,
    }
}

/// What a failure of the exchange means. Exhaustive: a new error code must be thought about.
fn failed(error: ErrorCode) -> Denial {
    let reason = match &error {
        ErrorCode::ConnectionTimeout
        | ErrorCode::ConnectionReadTimeout
        | ErrorCode::ConnectionWriteTimeout
        | ErrorCode::HttpResponseTimeout
        | ErrorCode::DnsTimeout => Reason::SystemOriginTimeout,
        ErrorCode::DnsError(_)
        | ErrorCode::DestinationNotFound
        | ErrorCode::DestinationUnavailable
        | ErrorCode::DestinationIpProhibited
        | ErrorCode::DestinationIpUnroutable
        | ErrorCode::ConnectionRefused
        | ErrorCode::ConnectionTerminated
        | ErrorCode::ConnectionLimitReached
        | ErrorCode::TlsProtocolError
        | ErrorCode::TlsCertificateError
        | ErrorCode::TlsAlertReceived(_)
        | ErrorCode::HttpRequestDenied
        | ErrorCode::LoopDetected
        | ErrorCode::ConfigurationError
        | ErrorCode::InternalError(_) => Reason::SystemOriginUnreachable,
        ErrorCode::HttpRequestLengthRequired
        | ErrorCode::HttpRequestBodySize(_)
        | ErrorCode::HttpRequestMethodInvalid
        | ErrorCode::HttpRequestUriInvalid
        | ErrorCode::HttpRequestUriTooLong
        | ErrorCode::HttpRequestHeaderSectionSize(_)
        | ErrorCode::HttpRequestHeaderSize(_)
        | ErrorCode::HttpRequestTrailerSectionSize(_)
        | ErrorCode::HttpRequestTrailerSize(_)
        | ErrorCode::HttpResponseIncomplete
        | ErrorCode::HttpResponseHeaderSectionSize(_)
        | ErrorCode::HttpResponseHeaderSize(_)
        | ErrorCode::HttpResponseBodySize(_)
        | ErrorCode::HttpResponseTrailerSectionSize(_)
        | ErrorCode::HttpResponseTrailerSize(_)
        | ErrorCode::HttpResponseTransferCoding(_)
        | ErrorCode::HttpResponseContentCoding(_)
        | ErrorCode::HttpUpgradeFailed
        | ErrorCode::HttpProtocolError => Reason::SystemOriginInvalid,
    };
    Denial::new(reason, error.to_string())
}
