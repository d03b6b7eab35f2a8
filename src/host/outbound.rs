//! Requests of the component to the outside: checked against `allowed_outbound_hosts`, then sent.
//!
//! Connections to `http` hosts are kept and used again, as Spin does; `https` goes through WASI's own client, one
//! connection each.

use std::collections::BTreeMap;
use std::error::Error as StdError;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use http::uri::Scheme;
use http_body::{Body, Frame, SizeHint};
use http_body_util::BodyExt;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::client::legacy::{Client, Error as ClientError};
use hyper_util::rt::{TokioExecutor, TokioTimer};
use tokio::time::{Sleep, sleep, timeout};
use wasmtime_wasi_http::{Error, RequestOptions, WasiBody};

use super::allowed::AllowedHosts;

/// What Spin uses where the component sets no timeout.
const DEFAULT_TIMEOUT: Duration = Duration::from_secs(600);
/// Clients that are kept: one for each connect timeout the component uses, which is one in practice.
const CLIENTS: usize = 8;
/// How long an idle connection is kept.
const IDLE: Duration = Duration::from_secs(30);

type HttpClient = Client<HttpConnector, WasiBody>;
/// What is sent back: the response, and a future that ends with the connection.
type Sent = (http::Response<WasiBody>, Box<dyn Future<Output = Result<(), Error>> + Send>);

/// The way out of one server's instances.
#[derive(Clone)]
pub(super) struct Outbound(Arc<Inner>);

struct Inner {
    allowed: AllowedHosts,
    clients: Mutex<BTreeMap<Duration, HttpClient>>,
}

impl Outbound {
    pub(super) fn new(allowed: AllowedHosts) -> Self {
        Self(Arc::new(Inner { allowed, clients: Mutex::default() }))
    }

    pub(super) async fn send(&self, request: http::Request<WasiBody>, options: RequestOptions) -> Result<Sent, Error> {
        if !self.0.allowed.allows(request.uri()) {
            return Err(Error::HttpRequestDenied);
        }
        if request.uri().scheme() == Some(&Scheme::HTTPS) {
            let (response, connection) = wasmtime_wasi_http::default_send_request(request, Some(options)).await?;
            return Ok((response.map(BodyExt::boxed_unsync), Box::new(connection)));
        }
        let client = self.client(options.connect_timeout.unwrap_or(DEFAULT_TIMEOUT));
        let response = timeout(options.first_byte_timeout.unwrap_or(DEFAULT_TIMEOUT), client.request(request))
            .await
            .map_err(|_| Error::ConnectionReadTimeout)?
            .map_err(|error| explain(&error))?;
        let between = options.between_bytes_timeout.unwrap_or(DEFAULT_TIMEOUT);
        let response = response.map(|body| {
            let inner = body.map_err(Error::from).boxed_unsync();
            Patient { inner: Some(inner), between, waiting: None }.boxed_unsync()
        });
        Ok((response, Box::new(std::future::ready(Ok(())))))
    }

    fn client(&self, connect_timeout: Duration) -> HttpClient {
        let mut clients = self.0.clients.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(client) = clients.get(&connect_timeout) {
            return client.clone();
        }
        let mut connector = HttpConnector::new();
        connector.set_connect_timeout(Some(connect_timeout));
        connector.set_nodelay(true);
        let client = Client::builder(TokioExecutor::new()).pool_timer(TokioTimer::new()).pool_idle_timeout(IDLE).build(connector);
        if clients.len() < CLIENTS {
            clients.insert(connect_timeout, client.clone());
        }
        client
    }
}

/// WASI's word for a failed request.
fn explain(error: &ClientError) -> Error {
    let mut source = StdError::source(error);
    while let Some(cause) = source {
        if let Some(io) = cause.downcast_ref::<std::io::Error>() {
            return match io.kind() {
                std::io::ErrorKind::ConnectionRefused => Error::ConnectionRefused,
                std::io::ErrorKind::TimedOut => Error::ConnectionTimeout,
                std::io::ErrorKind::ConnectionReset | std::io::ErrorKind::BrokenPipe | std::io::ErrorKind::ConnectionAborted => {
                    Error::ConnectionTerminated
                }
                std::io::ErrorKind::HostUnreachable | std::io::ErrorKind::NetworkUnreachable => Error::DestinationIpUnroutable,
                _ if error.is_connect() => unresolved(cause),
                _ => Error::HttpProtocolError,
            };
        }
        if let Some(hyper) = cause.downcast_ref::<hyper::Error>()
            && hyper.is_incomplete_message()
        {
            return Error::HttpResponseIncomplete;
        }
        if let Some(own) = cause.downcast_ref::<Error>() {
            return Error::InternalError(Some(own.to_string()));
        }
        if cause.source().is_none() && error.is_connect() {
            return unresolved(cause);
        }
        source = cause.source();
    }
    if error.is_connect() { Error::ConnectionRefused } else { Error::HttpProtocolError }
}

fn unresolved(cause: &(dyn StdError + 'static)) -> Error {
    let text = cause.to_string();
    if text.contains("lookup") || text.contains("dns") {
        Error::DnsError { rcode: Some("address not available".into()), info_code: None }
    } else {
        Error::ConnectionRefused
    }
}

/// A response body that gives up when nothing comes for too long.
struct Patient {
    /// Gone after a timeout, and the connection with it.
    inner: Option<WasiBody>,
    between: Duration,
    waiting: Option<Pin<Box<Sleep>>>,
}

impl Body for Patient {
    type Data = Bytes;
    type Error = Error;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Error>>> {
        let Some(inner) = self.inner.as_mut() else { return Poll::Ready(None) };
        if let Poll::Ready(frame) = Pin::new(inner).poll_frame(cx) {
            self.waiting = None;
            return Poll::Ready(frame);
        }
        let between = self.between;
        let waiting = self.waiting.get_or_insert_with(|| Box::pin(sleep(between)));
        ready!(waiting.as_mut().poll(cx));
        self.inner = None;
        Poll::Ready(Some(Err(Error::ConnectionReadTimeout)))
    }

    fn is_end_stream(&self) -> bool {
        self.inner.as_ref().is_none_or(Body::is_end_stream)
    }

    fn size_hint(&self) -> SizeHint {
        self.inner.as_ref().map(Body::size_hint).unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use http_body_util::Empty;

    use super::super::allowed::AllowedHost;
    use super::*;

    fn outbound(allowed: &str) -> Outbound {
        Outbound::new([AllowedHost::parse(allowed).unwrap()].into_iter().collect())
    }

    fn get(uri: &str) -> http::Request<WasiBody> {
        http::Request::get(uri).body(Empty::new().map_err(Error::from).boxed_unsync()).unwrap()
    }

    #[tokio::test]
    async fn a_host_that_is_not_allowed_is_denied() {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let error = outbound("http://127.0.0.1:1").send(get(&format!("http://{address}/")), RequestOptions::default()).await;
        assert!(matches!(error, Err(Error::HttpRequestDenied)));
    }

    #[tokio::test]
    async fn nobody_listening_is_connection_refused() {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        drop(listener);
        let origin = format!("http://{address}");
        let error = outbound(&origin).send(get(&format!("{origin}/")), RequestOptions::default()).await.err();
        assert!(matches!(error, Some(Error::ConnectionRefused)), "{error:?}");
    }

    #[tokio::test]
    async fn an_origin_that_says_nothing_is_a_read_timeout() {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let origin = format!("http://{}", listener.local_addr().unwrap());
        let options = RequestOptions { first_byte_timeout: Some(Duration::from_millis(20)), ..RequestOptions::default() };
        let error = outbound(&origin).send(get(&format!("{origin}/")), options).await.err();
        assert!(matches!(error, Some(Error::ConnectionReadTimeout)), "{error:?}");
    }
}
