//! Between the runtime's resources and the gate's own values.

use spin_sdk::wasip3::http::types::{ErrorCode, Fields, Method, Request, Response, Scheme, Trailers};
use spin_sdk::wasip3::{wit_future, wit_stream};
use spin_sdk::wit_bindgen::{self, FutureReader, StreamReader, StreamResult};

use crate::decision::{Denial, Reason};
use crate::enforce::Answer;
use crate::limits;
use crate::request::{Facts, RawRequest};

/// A request's head, copied out of the runtime.
pub(super) struct Inbound {
    method: String,
    scheme: Option<&'static str>,
    authority: Option<String>,
    path_with_query: Option<String>,
    headers: Vec<(String, Vec<u8>)>,
}

impl Inbound {
    pub(super) fn new(request: &Request) -> Self {
        Self {
            method: method_name(request.get_method()),
            scheme: match request.get_scheme() {
                Some(Scheme::Http) => Some("http"),
                Some(Scheme::Https) => Some("https"),
                Some(Scheme::Other(_)) | None => None,
            },
            authority: request.get_authority(),
            path_with_query: request.get_path_with_query(),
            headers: request.get_headers().copy_all(),
        }
    }

    pub(super) fn raw(&self) -> RawRequest<'_> {
        RawRequest {
            method: &self.method,
            scheme: self.scheme,
            authority: self.authority.as_deref(),
            path_with_query: self.path_with_query.as_deref(),
            headers: &self.headers,
        }
    }
}

fn method_name(method: Method) -> String {
    match method {
        Method::Get => "GET",
        Method::Head => "HEAD",
        Method::Post => "POST",
        Method::Put => "PUT",
        Method::Delete => "DELETE",
        Method::Connect => "CONNECT",
        Method::Options => "OPTIONS",
        Method::Trace => "TRACE",
        Method::Patch => "PATCH",
        Method::Other(name) => return name,
    }
    .to_owned()
}

/// A response of the gate's own to a request with this method.
pub(super) fn respond(answer: Answer, method: &str) -> Response {
    let Answer { status, headers, body } = answer;
    // A response to HEAD says how long it would be and has no body (RFC 9110, section 9.3.2). HTTP/1.1 servers see to
    // that; in HTTP/2 a body breaks the stream.
    let contents = if method == "HEAD" { None } else { send_all(body) };
    let (response, _sent) = Response::new(own_fields(&headers), contents, no_trailers());
    // Only a status outside 100 to 999 is refused, and ours are constants; the default of a new response is 200, so
    // SECURITY: a refused status must not become a success.
    if response.set_status_code(status).is_err() {
        let _ = response.set_status_code(500);
    }
    response
}

/// A body from memory; none when it is empty.
pub(super) fn send_all(body: Vec<u8>) -> Option<StreamReader<u8>> {
    if body.is_empty() {
        return None;
    }
    let (mut writer, reader) = wit_stream::new();
    spawn(async move {
        // What is left over belongs to a peer that went away.
        drop(writer.write_all(body).await);
    });
    Some(reader)
}

/// Goes on with something after the response was handed over.
///
/// The executor asks the host to be called again at once when it has polled as many tasks as it has, in case they starve others; a task that
/// is done when it is polled keeps it from that. The host would turn to its other tasks first: Spin then sent a response's head without the body that was
/// waiting, and with Nagle's algorithm, which Spin leaves on, the body waited for the client to acknowledge the head. Clients put that off for 40 ms.
pub(super) fn spawn(future: impl Future<Output = ()> + 'static) {
    wit_bindgen::spawn(future);
    wit_bindgen::spawn(async {});
}

/// The whole body of a request to one of the gate's own endpoints.
///
/// # Errors
/// `gate.body_too_large`, or `gate.body_invalid` when it broke off.
pub(super) async fn body(request: Request, most: usize) -> Result<Vec<u8>, Denial> {
    let (_consumed, consumed) = wit_future::new(|| Ok(()));
    let (mut stream, end) = Request::consume_body(request, consumed);
    let mut body = Vec::new();
    loop {
        let (result, piece) = stream.read(Vec::with_capacity(limits::OWN_BODY_BYTES)).await;
        body.extend_from_slice(&piece);
        if body.len() > most {
            return Err(Denial::new(Reason::GateBodyTooLarge, format!("more than {most} bytes")));
        }
        if matches!(result, StreamResult::Dropped | StreamResult::Cancelled) {
            break;
        }
    }
    end.await.map_err(|error| Denial::new(Reason::GateBodyInvalid, format!("the body broke off: {error}")))?;
    Ok(body)
}

/// Whether a body is said to be `application/json`, in any case, with or without parameters.
pub(super) fn is_json(facts: &Facts) -> bool {
    let value = facts.header("content-type").unwrap_or_default();
    value.split(';').next().is_some_and(|media_type| media_type.trim().eq_ignore_ascii_case("application/json"))
}

/// Header fields of a message that is passed on.
///
/// SECURITY: all of them or none. A field that is left out may be the one that matters: the principal on the way to the
/// origin, a content security policy on the way back.
///
/// # Errors
/// What the runtime says when it refuses a field, or all of them together as too many.
pub(super) fn fields(headers: &[(String, Vec<u8>)]) -> Result<Fields, String> {
    Fields::from_list(headers).map_err(|error| format!("{error:?}"))
}

/// Header fields of a response of our own, which are few and short; one the runtime refuses all the same is left out, for
/// a denial must go out.
fn own_fields(headers: &[(String, Vec<u8>)]) -> Fields {
    // All of them in one call into the host, where it takes them.
    if let Ok(fields) = Fields::from_list(headers) {
        return fields;
    }
    let fields = Fields::new();
    for (name, value) in headers {
        let _ = fields.append(name, value);
    }
    fields
}

/// Trailers of a message that has none.
pub(super) fn no_trailers() -> FutureReader<Result<Option<Trailers>, ErrorCode>> {
    // A future whose writer is dropped gives its default.
    let (_, reader) = wit_future::new(|| Ok(None));
    reader
}

/// The body of a request that is passed on, piece by piece, with the sender's failure but never its trailers.
///
/// SECURITY: trailers are dropped, because they could carry the very fields that were filtered from the head. That the
/// body was cut off is not: without it a truncated chunked body would look complete on the other side.
///
/// The pieces go through the instance because a stream that is handed on unread is joined inside the runtime, its trailers
/// with it: `cedargate-principal` among them, when a caller sent that. And Spin 4.1 never finishes a message whose stream is
/// handed on unread while its trailers are made here: the instance would keep its place among the host's for ever.
pub(super) fn without_trailers(
    mut body: StreamReader<u8>,
    end: FutureReader<Result<Option<Trailers>, ErrorCode>>,
) -> (StreamReader<u8>, FutureReader<Result<Option<Trailers>, ErrorCode>>) {
    let (mut writer, reader) = wit_stream::new();
    let (fate, trailers) = wit_future::new(|| Err(ErrorCode::InternalError(None)));
    spawn(async move {
        loop {
            let (result, piece) = body.read(Vec::with_capacity(limits::PIECE_BYTES)).await;
            if !piece.is_empty() && !writer.write_all(piece).await.is_empty() {
                // The other side wants no more.
                return;
            }
            if matches!(result, StreamResult::Dropped | StreamResult::Cancelled) {
                break;
            }
        }
        drop(writer);
        // The reader may be gone with its connection.
        let _ = fate.write(end.await.map(|_trailers| None)).await;
    });
    (reader, trailers)
}
