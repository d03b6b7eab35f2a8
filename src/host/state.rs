//! What one instance of the component has, and what all instances of one server share.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering::Relaxed};
use std::time::Duration;

use http::HeaderName;
use wasmtime::component::{Accessor, HasData, Linker, ResourceTable};
use wasmtime::{Engine, ResourceLimiter};
use wasmtime_wasi::{HostWallClock, WasiCtx, WasiCtxView, WasiView};
use wasmtime_wasi_http::{
    Error as HttpError, ForbiddenHeaderFilter, RequestOptions, WasiBody, WasiHttpCtx, WasiHttpCtxView, WasiHttpHooks, WasiHttpView,
};

use super::bindings::{atomics, buckets, key_value, variables};
use super::key_value::{HasKeyValue, KeyValue, KeyValueView};
use super::outbound::Outbound;
use super::records::{Lines, RecordSink};
use super::variables::name_problem;

/// What all instances of one server share.
pub(super) struct Shared {
    pub(super) variables: BTreeMap<String, String>,
    pub(super) environment: BTreeMap<String, String>,
    pub(super) key_value: KeyValue,
    pub(super) outbound: Outbound,
    pub(super) records: RecordSink,
    pub(super) diagnostics: RecordSink,
    /// The time the component sees instead of the clock, in seconds; only whoever runs the server moves it.
    pub(super) now: Option<AtomicI64>,
    pub(super) memory_bytes: usize,
    pub(super) counters: Counters,
}

impl Shared {
    /// Says something to whoever runs the server. There is nobody to tell when that fails.
    pub(super) fn tell(&self, text: &str) {
        let mut line: String = text.chars().map(|c| if c == '\n' { ' ' } else { c }).collect();
        line.push('\n');
        drop(self.diagnostics.write(line.as_bytes()));
    }
}

/// Numbers that only grow.
#[derive(Debug, Default)]
pub(super) struct Counters {
    pub(super) requests: AtomicU64,
    pub(super) instances: AtomicU64,
    pub(super) ended: AtomicU64,
    pub(super) failures: AtomicU64,
    pub(super) peak_memory: AtomicU64,
}

/// What one instance has.
pub(super) struct State {
    shared: Arc<Shared>,
    wasi: WasiCtx,
    table: ResourceTable,
    http: WasiHttpCtx,
    arriving: Arriving,
    leaving: Leaving,
    memory: Memory,
    open_stores: usize,
    open_swaps: usize,
}

impl State {
    pub(super) fn new(shared: &Arc<Shared>) -> Self {
        let mut wasi = WasiCtx::builder();
        wasi.stdout(Lines::new(shared.records.clone())).stderr(Lines::new(shared.diagnostics.clone()));
        for (name, value) in &shared.environment {
            wasi.env(name, value);
        }
        // The component reaches the network through HTTP, which is checked, and not through sockets.
        wasi.allow_tcp(false).allow_udp(false).allow_ip_name_lookup(false);
        if shared.now.is_some() {
            wasi.wall_clock(Fixed(Arc::clone(shared)));
        }
        Self {
            wasi: wasi.build(),
            table: ResourceTable::new(),
            http: WasiHttpCtx::new(),
            arriving: Arriving,
            leaving: Leaving(shared.outbound.clone()),
            memory: Memory { shared: Arc::clone(shared), limit: shared.memory_bytes, bytes: 0 },
            open_stores: 0,
            open_swaps: 0,
            shared: Arc::clone(shared),
        }
    }

    pub(super) fn limiter(&mut self) -> &mut dyn ResourceLimiter {
        &mut self.memory
    }

    fn key_value(&mut self) -> KeyValueView<'_> {
        let Self { shared, table, open_stores, open_swaps, .. } = self;
        KeyValueView { all: &shared.key_value, table, open: open_stores, swaps: open_swaps }
    }

    /// The view through which requests reach the instance.
    pub(super) fn arriving(&mut self) -> WasiHttpCtxView<'_> {
        WasiHttpCtxView { hooks: &mut self.arriving, table: &mut self.table, ctx: &mut self.http }
    }
}

/// Links every import this host has: WASI 0.2 and 0.3 with HTTP, and Spin's variables and key-value, the latter in both its forms.
pub(super) fn linker(engine: &Engine) -> wasmtime::Result<Linker<State>> {
    let mut linker = Linker::new(engine);
    wasmtime_wasi::p2::add_to_linker_async(&mut linker)?;
    wasmtime_wasi_http::p2::add_only_http_to_linker_async(&mut linker)?;
    wasmtime_wasi::p3::add_to_linker(&mut linker)?;
    wasmtime_wasi_http::p3::add_to_linker(&mut linker)?;
    variables::add_to_linker::<State, HasVariables>(&mut linker, |state| Variables(&state.shared))?;
    key_value::add_to_linker::<State, HasKeyValue>(&mut linker, State::key_value)?;
    buckets::add_to_linker::<State, HasKeyValue>(&mut linker, State::key_value)?;
    atomics::add_to_linker::<State, HasKeyValue>(&mut linker, State::key_value)?;
    Ok(linker)
}

impl WasiView for State {
    fn ctx(&mut self) -> WasiCtxView<'_> {
        WasiCtxView { ctx: &mut self.wasi, table: &mut self.table }
    }
}

/// What the component itself calls.
impl WasiHttpView for State {
    fn http(&mut self) -> WasiHttpCtxView<'_> {
        WasiHttpCtxView { hooks: &mut self.leaving, table: &mut self.table, ctx: &mut self.http }
    }
}

/// Requests that arrive: every header reaches the component, `host` included, as under Spin. It is the component that
/// must see a request as it was sent; what Spin removes is removed before.
struct Arriving;

impl WasiHttpHooks for Arriving {
    fn forbidden_header_filter(&mut self) -> ForbiddenHeaderFilter {
        Arc::new(|_: &HeaderName| false)
    }
}

/// Requests that leave: only to hosts the manifest allows, and without the headers that belong to the connection.
struct Leaving(Outbound);

type Sent = Result<(http::Response<WasiBody>, Box<dyn Future<Output = Result<(), HttpError>> + Send>), HttpError>;

impl WasiHttpHooks for Leaving {
    fn send_request(
        &mut self,
        request: http::Request<WasiBody>,
        options: Option<RequestOptions>,
        _consumed: Box<dyn Future<Output = Result<(), HttpError>> + Send>,
    ) -> Box<dyn Future<Output = Sent> + Send> {
        let outbound = self.0.clone();
        Box::new(async move { outbound.send(request, options.unwrap_or_default()).await })
    }
}

/// A clock that stands still, for `--now`. Tests need the same answer for the same input.
struct Fixed(Arc<Shared>);

impl HostWallClock for Fixed {
    fn resolution(&self) -> Duration {
        Duration::from_secs(1)
    }

    fn now(&self) -> Duration {
        let now = self.0.now.as_ref().map_or(0, |now| now.load(Relaxed));
        Duration::from_secs(now.try_into().unwrap_or(0))
    }
}

/// Bounds the memory of one instance and remembers the most any had.
struct Memory {
    shared: Arc<Shared>,
    limit: usize,
    bytes: usize,
}

impl ResourceLimiter for Memory {
    fn memory_growing(&mut self, current: usize, desired: usize, _: Option<usize>) -> wasmtime::Result<bool> {
        let bytes = self.bytes.saturating_add(desired.saturating_sub(current));
        if bytes > self.limit {
            return Ok(false);
        }
        self.bytes = bytes;
        self.shared.counters.peak_memory.fetch_max(u64::try_from(bytes).unwrap_or(u64::MAX), Relaxed);
        Ok(true)
    }

    fn table_growing(&mut self, _: usize, desired: usize, maximum: Option<usize>) -> wasmtime::Result<bool> {
        Ok(maximum.is_none_or(|maximum| desired <= maximum))
    }
}

struct Variables<'a>(&'a Arc<Shared>);

struct HasVariables;

impl HasData for HasVariables {
    type Data<'a> = Variables<'a>;
}

impl variables::Host for Variables<'_> {}

impl<T: Send> variables::HostWithStore<T> for HasVariables {
    async fn get(accessor: &Accessor<T, Self>, name: String) -> wasmtime::Result<Result<String, variables::Error>> {
        if let Some(problem) = name_problem(&name) {
            return Ok(Err(variables::Error::InvalidName(format!("{name:?}: {problem}"))));
        }
        let value = accessor.with(|mut access| access.get().0.variables.get(&name).cloned());
        Ok(value.ok_or_else(|| variables::Error::Undefined(format!("no variable {name:?}"))))
    }
}
