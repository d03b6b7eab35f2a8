//! Asking somebody else over HTTP, for keys and status lists, and handing records over: bounded in time and bytes, and never trusted for its size.

use std::future::poll_fn;
use std::pin::pin;
use std::task::Poll;

use spin_sdk::wasip3::clocks::monotonic_clock;
use spin_sdk::wasip3::http::client;
use spin_sdk::wasip3::http::types::{Fields, Method, Request, RequestOptions, Response, Scheme};
use spin_sdk::wasip3::wit_future;
use spin_sdk::wit_bindgen::StreamResult;

use super::exchange::{no_trailers, send_all};
use crate::audit::sink::Outgoing;
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
    let headers = [("accept".to_owned(), accept.as_bytes().to_vec())];
    let work = async {
        let (answer, whole) = exchange(url, &headers, None, most, timeout).await?;
        // SECURITY: an answer that broke off is no answer.
        whole.map(|()| answer)
    };
    within(timeout, work).await.unwrap_or_else(|| Err(format!("`{url}` did not answer in time")))
}

/// Posts `body` to `url`, within `timeout` nanoseconds. Of the answer's body there may be less than was sent: what counts is
/// its status.
///
/// # Errors
/// Why there was no answer.
pub(super) async fn post(url: &Url, outgoing: Outgoing, most: usize, timeout: u64) -> Result<Fetched, String> {
    let Outgoing { headers, body } = outgoing;
    let work = exchange(url, &headers, Some(body), most, timeout);
    let answer = within(timeout, work).await.unwrap_or_else(|| Err(format!("`{url}` did not answer in time")));
    answer.map(|(answer, _whole)| answer)
}

/// The answer, and whether its body is whole.
async fn exchange(
    url: &Url,
    headers: &[(String, Vec<u8>)],
    body: Option<Vec<u8>>,
    most: usize,
    timeout: u64,
) -> Result<(Fetched, Result<(), String>), String> {
    let refused = |what: &str| format!("the runtime refused {what} of the request to `{url}`");
    let fields = Fields::from_list(headers).map_err(|_| refused("the fields"))?;
    let options = RequestOptions::new();
    let _ = options.set_connect_timeout(Some(timeout));
    let _ = options.set_first_byte_timeout(Some(timeout));
    let _ = options.set_between_bytes_timeout(Some(timeout));
    let method = if body.is_some() { Method::Post } else { Method::Get };
    let (request, _sent) = Request::new(fields, body.and_then(send_all), no_trailers(), Some(options));
    request.set_method(&method).map_err(|()| refused("the method"))?;
    let scheme = if url.https() { Scheme::Https } else { Scheme::Http };
    request.set_scheme(Some(&scheme)).map_err(|()| refused("the scheme"))?;
    request.set_authority(Some(url.authority())).map_err(|()| refused("the host"))?;
    request.set_path_with_query(Some(url.path_with_query())).map_err(|()| refused("the path"))?;
    let response = client::send(request).await.map_err(|error| format!("`{url}`: {error}"))?;

    let status = response.get_status_code();
    let headers = response.get_headers().copy_all().into_iter().map(|(name, value)| (name.to_ascii_lowercase(), value)).collect();
    let (_consumed, consumed) = wit_future::new(|| Ok(()));
    let (mut stream, end) = Response::consume_body(response, consumed);
    let mut answer = Fetched { status, headers, body: Vec::new() };
    loop {
        let (result, piece) = stream.read(Vec::with_capacity(limits::PIECE_BYTES)).await;
        answer.body.extend_from_slice(&piece);
        if answer.body.len() > most {
            answer.body.truncate(most);
            return Ok((answer, Err(format!("`{url}` answered with more than {most} bytes"))));
        }
        if matches!(result, StreamResult::Dropped | StreamResult::Cancelled) {
            break;
        }
    }
    let whole = end.await.map(drop).map_err(|error| format!("the answer of `{url}` broke off: {error}"));
    Ok((answer, whole))
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
