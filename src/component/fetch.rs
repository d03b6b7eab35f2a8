//! Asking somebody else over HTTP, for keys and status lists: bounded in time and bytes, and never trusted for its size.

use std::future::poll_fn;
use std::pin::pin;
use std::task::Poll;

use spin_sdk::wasip3::clocks::monotonic_clock;
use spin_sdk::wasip3::http::client;
use spin_sdk::wasip3::http::types::{Fields, Request, RequestOptions, Response, Scheme};
use spin_sdk::wasip3::wit_future;
use spin_sdk::wit_bindgen::StreamResult;

use super::exchange::no_trailers;
use crate::identity::Url;
use crate::limits;

/// What came back.
pub(super) struct Fetched {
    pub(super) status: u16,
    /// Names in lower case.
    pub(super) headers: Vec<(String, Vec<u8>)>,
    pub(super) body: Vec<u8>,
}

impl Fetched {
    /// The values of a field, joined as RFC 9110, section 5.3 allows; empty when there is none.
    pub(super) fn header(&self, name: &str) -> String {
        let values = self.headers.iter().filter(|(n, _)| n == name).map(|(_, value)| String::from_utf8_lossy(value));
        values.collect::<Vec<_>>().join(", ")
    }
}

/// Gets `url`, whole, within `timeout` nanoseconds and `most` bytes.
///
/// # Errors
/// What went wrong, for the record: no answer, an answer that broke off, took too long or is too large.
pub(super) async fn get(url: &Url, accept: &str, most: usize, timeout: u64) -> Result<Fetched, String> {
    within(timeout, exchange(url, accept, most, timeout)).await.unwrap_or_else(|| Err(format!("`{url}` did not answer in time")))
}

async fn exchange(url: &Url, accept: &str, most: usize, timeout: u64) -> Result<Fetched, String> {
    let refused = |what: &str| format!("the runtime refused {what} of the request to `{url}`");
    let fields = Fields::from_list(&[("accept".to_owned(), accept.as_bytes().to_vec())]).map_err(|_| refused("the fields"))?;
    let options = RequestOptions::new();
    let _ = options.set_connect_timeout(Some(timeout));
    let _ = options.set_first_byte_timeout(Some(timeout));
    let _ = options.set_between_bytes_timeout(Some(timeout));
    let (request, _sent) = Request::new(fields, None, no_trailers(), Some(options));
    let scheme = if url.https() { Scheme::Https } else { Scheme::Http };
    request.set_scheme(Some(&scheme)).map_err(|()| refused("the scheme"))?;
    request.set_authority(Some(url.authority())).map_err(|()| refused("the host"))?;
    request.set_path_with_query(Some(url.path_with_query())).map_err(|()| refused("the path"))?;
    let response = client::send(request).await.map_err(|error| format!("`{url}`: {error}"))?;

    let status = response.get_status_code();
    let headers = response.get_headers().copy_all().into_iter().map(|(name, value)| (name.to_ascii_lowercase(), value)).collect();
    let (_consumed, consumed) = wit_future::new(|| Ok(()));
    let (mut stream, end) = Response::consume_body(response, consumed);
    let mut body = Vec::new();
    loop {
        let (result, piece) = stream.read(Vec::with_capacity(limits::PIECE_BYTES)).await;
        body.extend_from_slice(&piece);
        if body.len() > most {
            return Err(format!("`{url}` answered with more than {most} bytes"));
        }
        if matches!(result, StreamResult::Dropped | StreamResult::Cancelled) {
            break;
        }
    }
    // SECURITY: an answer that broke off is no answer.
    end.await.map_err(|error| format!("the answer of `{url}` broke off: {error}"))?;
    Ok(Fetched { status, headers, body })
}

/// The output of `work`, or `None` when it takes longer than `timeout` nanoseconds. What is left of it is dropped.
pub(super) async fn within<T>(timeout: u64, work: impl Future<Output = T>) -> Option<T> {
    let mut work = pin!(work);
    let mut timer = pin!(monotonic_clock::wait_for(timeout));
    poll_fn(|cx| {
        if let Poll::Ready(output) = work.as_mut().poll(cx) {
            return Poll::Ready(Some(output));
        }
        timer.as_mut().poll(cx).map(|()| None)
    })
    .await
}
