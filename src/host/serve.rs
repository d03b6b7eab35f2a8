//! The server: connections in, requests to instances, answers out.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::atomic::{AtomicI64, Ordering::Relaxed};
use std::sync::{Arc, PoisonError, RwLock};
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use http::header::{CONTENT_TYPE, HeaderValue};
use http::uri::Scheme;
use http::{Request, Response, StatusCode};
use http_body::{Body, Frame, SizeHint};
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto::Builder;
use hyper_util::server::graceful::{GracefulShutdown, Watcher};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpListener;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};
use tokio::task::JoinHandle;
use tokio::time::timeout;
use wasmtime_wasi_http::handler::{InstantiationError, ProxyHandler};
use wasmtime_wasi_http::{Error as HttpError, WasiBody};

use super::engine::Compiled;
use super::handler::Instances;
use super::key_value::KeyValue;
use super::manifest::App;
use super::outbound::Outbound;
use super::records::RecordSink;
use super::spin::{self, WELL_KNOWN};
use super::state::{Counters, Shared};
use super::{HostError, Tls};
use crate::decision::UnixTime;

/// Most requests at once, answers that are still streaming included. Each may need an instance of its own, and the engine
/// has room for 1,000; the rest is for instances that are ending.
const REQUESTS: usize = 800;
/// How long a client may take for a TLS handshake, and for the head of a request.
const HANDSHAKE: Duration = Duration::from_secs(10);
const HEAD: Duration = Duration::from_secs(30);
/// Most header fields of HTTP/1.1, and bytes of headers of HTTP/2, that are read at all. Far above the component's own
/// limits, so that it is the component that refuses, with a record.
const HEADER_FIELDS: usize = 512;
const HEADER_BYTES: u32 = 256 * 1024;
/// How long requests may go on after the server was told to stop.
const GRACE: Duration = Duration::from_secs(30);

/// How instances are used again and bounded. The default is what Spin 4.1 does.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct InstanceLimits {
    /// Requests an instance serves before it ends.
    pub max_reuse: usize,
    /// Requests an instance serves at once.
    pub max_concurrent_reuse: usize,
    /// How long an instance waits for another request.
    pub idle_timeout: Duration,
    /// How long a request may take; `None` for no limit.
    pub request_timeout: Option<Duration>,
    /// Memory of one instance.
    pub memory_bytes: usize,
}

/// What a server needs.
pub struct ServerOptions {
    /// The component.
    pub component: Compiled,
    /// The application it is of.
    pub app: App,
    /// Where to listen. Port 0 takes a free one.
    pub listen: SocketAddr,
    /// TLS, or plain HTTP.
    pub tls: Option<Tls>,
    /// The time the component sees instead of the clock, until [`Server::set_now`] moves it.
    pub now: Option<UnixTime>,
    /// Where the component's standard output goes: its records.
    pub records: RecordSink,
    /// Where the component's standard error and the host's own remarks go.
    pub diagnostics: RecordSink,
    /// The key-value stores.
    pub key_value: KeyValue,
    /// Instances.
    pub limits: InstanceLimits,
}

impl ServerOptions {
    /// Options for a free port of this machine: plain HTTP, records kept in memory, key-value in memory.
    ///
    /// # Errors
    /// [`HostError::KeyValue`] when SQLite cannot be started.
    pub fn new(component: Compiled, app: App) -> Result<Self, HostError> {
        let key_value = KeyValue::memory(app.key_value_stores.clone())?;
        Ok(Self {
            component,
            app,
            listen: SocketAddr::from(([127, 0, 0, 1], 0)),
            tls: None,
            now: None,
            records: RecordSink::memory(),
            diagnostics: RecordSink::stderr(),
            key_value,
            limits: InstanceLimits::default(),
        })
    }
}

/// What a server did so far.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Metrics {
    /// Requests handed to the component.
    pub requests: u64,
    /// Instances made.
    pub instances: u64,
    /// Instances that are alive.
    pub live_instances: u64,
    /// Instances that ended with an error.
    pub failed_instances: u64,
    /// The most memory any instance had, in bytes.
    pub peak_instance_memory: u64,
}

/// A running server. Dropping it stops listening and lets requests in flight go on.
pub struct Server {
    address: SocketAddr,
    service: Arc<Service>,
    stop: watch::Sender<bool>,
    task: JoinHandle<()>,
}

impl Server {
    /// Listens and serves.
    ///
    /// # Errors
    /// [`HostError::Listen`] when the address is taken or not this machine's.
    pub async fn start(options: ServerOptions) -> Result<Self, HostError> {
        let ServerOptions { component, app, listen, tls, now, records, diagnostics, key_value, limits } = options;
        // WASI's own client asks for the process's provider. Another one that is installed already will do.
        drop(rustls::crypto::ring::default_provider().install_default());
        let cannot = |source| HostError::Listen { address: listen, source };
        let listener = TcpListener::bind(listen).await.map_err(cannot)?;
        let address = listener.local_addr().map_err(cannot)?;
        let shared = Arc::new(Shared {
            variables: app.variables.clone(),
            environment: app.environment.clone(),
            key_value,
            outbound: Outbound::new(app.allowed.clone()),
            records,
            diagnostics,
            now: now.map(|UnixTime(now)| AtomicI64::new(now)),
            memory_bytes: limits.memory_bytes,
            counters: Counters::default(),
        });
        let scheme = if tls.is_some() { Scheme::HTTPS } else { Scheme::HTTP };
        let service = Arc::new(Service {
            served: RwLock::new(Served::new(component, &shared, &limits)),
            shared,
            limits,
            app,
            scheme,
            room: Arc::new(Semaphore::new(REQUESTS)),
        });
        let (stop, stopped) = watch::channel(false);
        let task = tokio::spawn(accept(listener, tls, Arc::clone(&service), stopped));
        Ok(Self { address, service, stop, task })
    }

    /// The address it listens on.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// `http://…` or `https://…` without a path.
    pub fn url(&self) -> String {
        format!("{}://{}", self.service.scheme, self.address)
    }

    /// What it did so far.
    pub fn metrics(&self) -> Metrics {
        let Counters { requests, instances, ended, failures, peak_memory } = &self.service.shared.counters;
        let instances = instances.load(Relaxed);
        Metrics {
            requests: requests.load(Relaxed),
            instances,
            live_instances: instances.saturating_sub(ended.load(Relaxed)),
            failed_instances: failures.load(Relaxed),
            peak_instance_memory: peak_memory.load(Relaxed),
        }
    }

    /// Moves the time the component sees. Without effect on a server that was started with the clock's.
    pub fn set_now(&self, UnixTime(now): UnixTime) {
        if let Some(shown) = &self.service.shared.now {
            shown.store(now, Relaxed);
        }
    }

    /// Where the component's records go.
    pub fn records(&self) -> &RecordSink {
        &self.service.shared.records
    }

    /// What puts another component in the place of the one it serves.
    pub fn swap(&self) -> Swap {
        Swap(Arc::clone(&self.service))
    }

    /// Stops listening, lets requests in flight finish for a while, and returns when all is quiet.
    pub async fn stop(self) {
        // Nobody listens to the channel when the server has ended by itself.
        let _ = self.stop.send(true);
        drop(self.task.await);
    }
}

/// Puts another component in the place of the one a server serves.
#[derive(Clone)]
pub struct Swap(Arc<Service>);

impl Swap {
    /// Serves `component` from the next request on. No connection is closed; requests that were begun are finished by the component
    /// that began them, whose instances then end.
    pub fn to(&self, component: Compiled) {
        let Service { served, shared, limits, .. } = &*self.0;
        let new = Served::new(component, shared, limits);
        let old = std::mem::replace(&mut *served.write().unwrap_or_else(PoisonError::into_inner), new);
        // Not while requests wait for the lock: it may be the last that holds the old component's memory.
        drop(old);
    }
}

async fn accept(listener: TcpListener, tls: Option<Tls>, service: Arc<Service>, mut stopped: watch::Receiver<bool>) {
    let graceful = GracefulShutdown::new();
    let acceptor = tls.as_ref().map(Tls::acceptor);
    loop {
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            _ = stopped.changed() => break,
        };
        let (stream, client) = match accepted {
            Ok(accepted) => accepted,
            Err(error) => {
                // Out of file descriptors, mostly: waiting lets connections end.
                service.shared.tell(&format!("a connection could not be accepted: {error}"));
                tokio::time::sleep(Duration::from_millis(50)).await;
                continue;
            }
        };
        // An answer is one write and must not wait for the next.
        drop(stream.set_nodelay(true));
        let service = Arc::clone(&service);
        let watcher = graceful.watcher();
        match &acceptor {
            None => drop(tokio::spawn(connection(stream, client, service, watcher))),
            Some(acceptor) => {
                let handshake = acceptor.accept(stream);
                drop(tokio::spawn(async move {
                    if let Ok(Ok(stream)) = timeout(HANDSHAKE, handshake).await {
                        connection(stream, client, service, watcher).await;
                    }
                }));
            }
        }
    }
    drop(listener);
    // What is still running after that ends with the process.
    drop(timeout(GRACE, graceful.shutdown()).await);
}

async fn connection<S>(stream: S, client: SocketAddr, service: Arc<Service>, watcher: Watcher)
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let mut builder = Builder::new(TokioExecutor::new());
    builder.http1().timer(TokioTimer::new()).header_read_timeout(HEAD).max_headers(HEADER_FIELDS);
    builder.http2().timer(TokioTimer::new()).max_header_list_size(HEADER_BYTES);
    let answer = service_fn(move |request| {
        let service = Arc::clone(&service);
        async move { Ok::<_, Infallible>(service.answer(request, client).await) }
    });
    let connection = builder.serve_connection(TokioIo::new(stream), answer).into_owned();
    // A client that breaks off is none of the server's business.
    drop(watcher.watch(connection).await);
}

/// What all connections share.
struct Service {
    served: RwLock<Served>,
    shared: Arc<Shared>,
    limits: InstanceLimits,
    app: App,
    scheme: Scheme,
    room: Arc<Semaphore>,
}

/// What a new request is handed to.
struct Served {
    handler: ProxyHandler<Instances>,
    /// Dropped with it, which tells its instances that they were replaced.
    _replaced: watch::Sender<()>,
}

impl Served {
    fn new(component: Compiled, shared: &Arc<Shared>, limits: &InstanceLimits) -> Self {
        let (sender, replaced) = watch::channel(());
        let instances = Instances { component, shared: Arc::clone(shared), limits: limits.clone(), replaced };
        Self { handler: ProxyHandler::new(instances), _replaced: sender }
    }
}

impl Service {
    async fn answer(&self, mut request: Request<Incoming>, client: SocketAddr) -> Response<WasiBody> {
        let path = request.uri().path();
        if let Some(rest) = path.strip_prefix(WELL_KNOWN) {
            return self.well_known(rest);
        }
        if !self.app.route.matches(path) {
            return plain(StatusCode::NOT_FOUND);
        }
        spin::prepare(&mut request, &self.scheme, &self.app.route, client);
        let Ok(permit) = Arc::clone(&self.room).acquire_owned().await else {
            return plain(StatusCode::SERVICE_UNAVAILABLE);
        };
        self.shared.counters.requests.fetch_add(1, Relaxed);
        let request = request.map(|body| body.map_err(HttpError::from).boxed_unsync());
        // INVARIANT: taken once for each request, so that one component answers all of it.
        let handler = self.served.read().unwrap_or_else(PoisonError::into_inner).handler.clone();
        match handler.handle((), request).await {
            Ok(response) => response.map(|inner| Held { inner, _permit: permit }.boxed_unsync()),
            // What went wrong is for whoever runs the server; the caller learns that something did.
            Err(error) if error.downcast_ref::<InstantiationError<()>>().is_some() => {
                self.shared.tell(&format!("no instance of the component could be made: {}", error.root_cause()));
                plain(StatusCode::SERVICE_UNAVAILABLE)
            }
            Err(error) => {
                self.shared.tell(&format!("the component gave no answer: {}", error.root_cause()));
                plain(StatusCode::INTERNAL_SERVER_ERROR)
            }
        }
    }

    /// Spin's own paths: a health check and the application's name.
    fn well_known(&self, rest: &str) -> Response<WasiBody> {
        match rest {
            "health" => body(StatusCode::OK, Bytes::from_static(b"OK")),
            "info" => {
                let App { name, version, .. } = &self.app;
                let json = serde_json::json!({ "name": name, "version": version }).to_string();
                let mut response = body(StatusCode::OK, json.into());
                response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
                response
            }
            _ => plain(StatusCode::NOT_FOUND),
        }
    }
}

/// A response of the host's own. It has a `content-length`, because its length is known.
fn body(status: StatusCode, bytes: Bytes) -> Response<WasiBody> {
    let mut response = Response::new(Full::new(bytes).map_err(HttpError::from).boxed_unsync());
    *response.status_mut() = status;
    response
}

fn plain(status: StatusCode) -> Response<WasiBody> {
    body(status, Bytes::new())
}

/// A body that holds its request's place until it was sent.
struct Held {
    inner: WasiBody,
    _permit: OwnedSemaphorePermit,
}

impl Body for Held {
    type Data = Bytes;
    type Error = HttpError;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, HttpError>>> {
        Pin::new(&mut self.inner).poll_frame(cx)
    }

    fn is_end_stream(&self) -> bool {
        self.inner.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.inner.size_hint()
    }
}

#[cfg(test)]
#[path = "serve_tests.rs"]
mod tests;
