//! Base component and bundle to sealed component.
//!
//! The bundle is loaded twice by the same code: natively, for good diagnostics, and inside the component, whose memory is
//! then snapshotted. The component runs with no network, no files, no environment, and with clocks and randomness that
//! never change, so that the same input gives the same bytes.

use std::fmt;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::Duration;

use serde::Deserialize;
use wasmtime::component::types::ComponentItem;
use wasmtime::component::{Component, Linker, ResourceTable, ResourceType};
use wasmtime::{Engine, Store, bail, format_err};
use wasmtime_wasi::p2::pipe::MemoryOutputPipe;
use wasmtime_wasi::{Deterministic, HostMonotonicClock, HostWallClock, WasiCtx, WasiCtxView, WasiView};
use wasmtime_wizer::{ComponentContext, WasmtimeWizerComponent, Wizer};

use super::section::{self, Description};
use super::{prune, unexport};
use crate::bundle::{Bundle, Digest, Gate, Report};

/// The export that loads a bundle: the world `sealable` in `wit/gate.wit`.
const INITIALIZE: &str = "initialize";
/// What its core function is called while it is sealed: as long as the name it had. See `unexport`.
const LIFTED_FROM: &str = "initialise";
/// The time a component being sealed sees: 2020-01-01T00:00:00Z, for ever.
const SEALING_TIME: Duration = Duration::from_secs(1_577_836_800);
/// What a component being sealed gets for randomness.
///
/// SECURITY: hash seeds drawn while sealing are in the file for all to read. Whatever a caller controls must draw fresh
/// ones when serving.
const SEALING_SEED: u128 = 0x6365_6461_7267_6174_652d_7365_616c_6564;
/// How much of what the component says on standard error is kept for a diagnostic.
const STDERR_BYTES: usize = 64 * 1024;

/// A sealed component and what was sealed into it.
#[derive(Clone, PartialEq, Eq)]
pub struct Sealed {
    /// The component, ready for Spin or for this host.
    pub component: Vec<u8>,
    /// The digest of the bundle.
    pub policy_digest: Digest,
    /// The digest of the schema file.
    pub schema_digest: Digest,
    /// How many policies.
    pub policies: usize,
}

impl fmt::Debug for Sealed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { component, policy_digest, schema_digest, policies } = self;
        write!(f, "Sealed {{ {} bytes, policies {policy_digest}, schema {schema_digest}, {policies} }}", component.len())
    }
}

/// Why a bundle could not be sealed.
#[derive(Debug, thiserror::Error)]
pub enum SealError {
    /// The bundle has problems.
    #[error("the bundle cannot be sealed:\n{0}")]
    Bundle(Report),
    /// The component found problems which the native loader did not: the base component is of another version.
    #[error("the base component refuses the bundle: {0}")]
    Invalid(String),
    /// The component loaded something else than the native loader did: the base component is of another version.
    #[error("the base component and this command disagree about the {what}: `{component}` and `{native}`")]
    Mismatch {
        /// What they disagree about.
        what: &'static str,
        /// What the component said.
        component: String,
        /// What this command said.
        native: String,
    },
    /// The base component was sealed before.
    #[error("the component is sealed already (policy digest `{}`): seal the base component instead", .0.policy_digest)]
    AlreadySealed(Box<Description>),
    /// The bytes are not a base component.
    #[error("not a base component: {0}")]
    NotSealable(String),
    /// The component could not be run.
    #[error("the component failed while it was sealed: {0}")]
    Failed(String),
}

/// Seals `bundle` into the component `base`. The same input gives the same bytes.
///
/// # Errors
/// See [`SealError`].
pub fn seal(base: &[u8], bundle: &Bundle) -> Result<Sealed, SealError> {
    Sealer::new(base.to_owned()).seal(bundle)
}

/// Seals one base component as often as it is asked to. What takes long, and is the same every time, is done once: on a thread of its own,
/// which also lets sealing work inside and outside of an asynchronous runtime.
pub struct Sealer {
    base: Arc<[u8]>,
    digest: Digest,
    worker: Mutex<Option<Sender<Job>>>,
}

/// What comes of a job: the component, and what it said of itself.
type Snapshot = Result<(Vec<u8>, Told), SealError>;

/// What the thread is asked: to seal a bundle, or only to be ready for one.
struct Job {
    bundle: Option<Bundle>,
    answer: Sender<Snapshot>,
}

impl Sealer {
    /// For this base component. Whether it is one is told when it is used.
    pub fn new(base: Vec<u8>) -> Self {
        Self { digest: Digest::of(&base), base: base.into(), worker: Mutex::default() }
    }

    /// Seals `bundle`. The same input gives the same bytes.
    ///
    /// # Errors
    /// See [`SealError`].
    pub fn seal(&self, bundle: &Bundle) -> Result<Sealed, SealError> {
        if let Some(description) = describe(&self.base) {
            return Err(SealError::AlreadySealed(Box::new(description)));
        }
        if !section::is_component(&self.base) {
            return Err(SealError::NotSealable("the file is not a WebAssembly component".into()));
        }
        let gate = Gate::load(bundle).map_err(SealError::Bundle)?;
        let answer = self.ask(Some(bundle.clone()))?;
        // The snapshotter panics where a component is not what it expects.
        let (mut component, told) =
            answer.recv().unwrap_or_else(|_| Err(SealError::NotSealable("its state cannot be snapshotted".into())))?;
        let policy_digest = gate.policy_digest();
        let schema_digest = gate.schema_digest();
        agree("policy digest", &told.policy_digest, &policy_digest)?;
        agree("schema digest", &told.schema_digest, &schema_digest)?;
        let description = Description {
            version: section::VERSION,
            base_digest: self.digest.to_string(),
            policy_digest: told.policy_digest,
            schema_digest: told.schema_digest,
            policies: told.policies,
        };
        section::append(&mut component, &description).map_err(SealError::Failed)?;
        Ok(Sealed { component, policy_digest, schema_digest, policies: told.policies })
    }

    /// Has the base component compiled ahead of the first time it is sealed, without waiting for it. What is wrong with it is told then.
    pub fn prepare(&self) {
        drop(self.ask(None));
    }

    /// Hands a job to the thread; where there is none, or it has ended with an error, to a new one.
    fn ask(&self, bundle: Option<Bundle>) -> Result<Receiver<Snapshot>, SealError> {
        let (answer, answered) = channel();
        let mut worker = self.worker.lock().unwrap_or_else(PoisonError::into_inner);
        let mut job = Job { bundle, answer };
        if let Some(jobs) = &*worker {
            match jobs.send(job) {
                Ok(()) => return Ok(answered),
                Err(refused) => job = refused.0,
            }
        }
        let (jobs, received) = channel();
        let (base, digest) = (Arc::clone(&self.base), self.digest);
        let failed = |error: std::io::Error| SealError::Failed(error.to_string());
        std::thread::Builder::new().name("seal".into()).spawn(move || work(&base, digest, &received)).map_err(failed)?;
        // It listens until the other end goes.
        drop(jobs.send(job));
        *worker = Some(jobs);
        Ok(answered)
    }
}

/// Prepares a base component, then seals it as often as it is asked to. Ends when it cannot, or when nobody can ask any more.
fn work(base: &[u8], digest: Digest, jobs: &Receiver<Job>) {
    let Ok(mut job) = jobs.recv() else { return };
    let mut each = async || {
        let engine = engine()?;
        let wizer = wizer();
        let base = unexport::rename_core(base, INITIALIZE, LIFTED_FROM)
            .ok_or_else(|| SealError::NotSealable("its sections cannot be read".into()))?;
        let (context, instrumented) = wizer.instrument_component(&base).map_err(unfit)?;
        let component = Component::new(&engine, &instrumented).map_err(unfit)?;
        loop {
            if let Some(bundle) = job.bundle.take() {
                let sealed = initialize(&engine, &wizer, &context, &component, &digest.to_string(), &bundle).await;
                // Nobody waits for it any more when this fails.
                drop(job.answer.send(sealed));
            }
            match jobs.recv() {
                Ok(next) => job = next,
                Err(_) => return Ok(()),
            }
        }
    };
    let ended = match tokio::runtime::Builder::new_current_thread().enable_all().build() {
        Ok(runtime) => runtime.block_on(each()),
        Err(error) => Err(SealError::Failed(error.to_string())),
    };
    if let Err(error) = ended {
        drop(job.answer.send(Err(error)));
    }
}

/// Has a prepared component load a bundle, and takes its state down.
async fn initialize(
    engine: &Engine,
    wizer: &Wizer,
    context: &ComponentContext<'_>,
    component: &Component,
    build: &str,
    bundle: &Bundle,
) -> Result<(Vec<u8>, Told), SealError> {
    let failed = |error: wasmtime::Error| SealError::Failed(format!("{error:#}"));
    if component.get_export_index(None, INITIALIZE).is_none() {
        return Err(SealError::NotSealable(format!("it does not export `{INITIALIZE}`")));
    }
    let stderr = MemoryOutputPipe::new(STDERR_BYTES);
    let mut store = Store::new(engine, Room::new(stderr.clone()));
    let mut linker = Linker::<Room>::new(engine);
    wasmtime_wasi::p2::add_to_linker_async(&mut linker).map_err(failed)?;
    wasmtime_wasi::p3::add_to_linker(&mut linker).map_err(failed)?;
    wall_off(&mut linker, engine, component).map_err(unfit)?;

    let said = |error: wasmtime::Error| {
        let text = String::from_utf8_lossy(&stderr.contents()).trim().to_owned();
        let cause = error.root_cause();
        SealError::Failed(if text.is_empty() { cause.to_string() } else { format!("{cause}: {text}") })
    };
    let instance = linker.instantiate_async(&mut store, component).await.map_err(said)?;
    let files: Vec<(String, Vec<u8>)> = bundle.iter().map(|(path, bytes)| (path.to_owned(), bytes.to_owned())).collect();
    let function =
        instance.get_typed_func::<(&[(String, Vec<u8>)], &str), (Result<String, String>,)>(&mut store, INITIALIZE).map_err(unfit)?;
    let (answer,) = function.call_async(&mut store, (&files, build)).await.map_err(said)?;
    let told = answer.map_err(SealError::Invalid)?;
    let told = serde_json::from_str(&told).map_err(|error| SealError::Failed(format!("its answer cannot be read: {error}")))?;
    let snapshot = wizer.snapshot_component(context, &mut WasmtimeWizerComponent { store: &mut store, instance }).await;
    let sealed = snapshot.map_err(failed)?;
    if unexport::exports(&sealed, INITIALIZE) {
        return Err(SealError::Failed(format!("it still exports `{INITIALIZE}`")));
    }
    let sealed = prune::prune(&sealed, LIFTED_FROM).ok_or_else(|| SealError::Failed("its code cannot be read".into()))?;
    Ok((sealed, told))
}

/// What was sealed into a component, read from its custom section; `None` for one that was never sealed.
pub fn describe(component: &[u8]) -> Option<Description> {
    section::read(component)
}

/// SECURITY: a base component of another version could read a bundle differently than `check` did.
fn agree(what: &'static str, component: &str, native: &Digest) -> Result<(), SealError> {
    let native = native.to_string();
    if component == native { Ok(()) } else { Err(SealError::Mismatch { what, component: component.to_owned(), native }) }
}

/// What the component says it loaded.
#[derive(Deserialize)]
struct Told {
    policy_digest: String,
    schema_digest: String,
    policies: usize,
}

fn wizer() -> Wizer {
    let mut wizer = Wizer::new();
    // SECURITY: this is also what takes the export away. A sealed component cannot be loaded with anything else.
    wizer.init_func(INITIALIZE).keep_init_func(false);
    wizer
}

fn unfit(error: wasmtime::Error) -> SealError {
    SealError::NotSealable(format!("{error:#}"))
}

/// The parts of WASI that a closed room has. Everything else a component imports, HTTP and Spin's interfaces above all, is a
/// trap: a component that calls one while it is sealed is stopped.
const FURNITURE: [&str; 6] = ["wasi:cli/", "wasi:clocks/", "wasi:filesystem/", "wasi:io/", "wasi:random/", "wasi:sockets/"];

fn wall_off(linker: &mut Linker<Room>, engine: &Engine, component: &Component) -> wasmtime::Result<()> {
    for (name, item) in component.component_type().imports(engine) {
        if FURNITURE.iter().any(|prefix| name.starts_with(prefix)) {
            continue;
        }
        let ComponentItem::ComponentInstance(interface) = item.ty else {
            bail!("it imports `{name}`, which is not an interface");
        };
        let mut walled = linker.instance(name)?;
        for (item_name, item) in interface.exports(engine) {
            let stopped = move |name: String| format_err!("it calls `{name}`, which a component being sealed must not");
            let full = format!("{name}#{item_name}");
            match item.ty {
                ComponentItem::ComponentFunc(function) if function.async_() => {
                    walled.func_new_concurrent(item_name, move |_, _, _, _| {
                        let error = stopped(full.clone());
                        Box::pin(async move { Err(error) })
                    })?;
                }
                ComponentItem::ComponentFunc(_) => walled.func_new(item_name, move |_, _, _, _| Err(stopped(full.clone())))?,
                ComponentItem::Resource(_) => walled.resource(item_name, ResourceType::host::<()>(), |_, _| Ok(()))?,
                _ => {}
            }
        }
    }
    Ok(())
}

fn engine() -> Result<Engine, SealError> {
    static ENGINE: OnceLock<Result<Engine, String>> = OnceLock::new();
    ENGINE.get_or_init(super::engine::sealing).clone().map_err(SealError::Failed)
}

/// The closed room a component is sealed in.
struct Room {
    wasi: WasiCtx,
    table: ResourceTable,
}

impl Room {
    fn new(stderr: MemoryOutputPipe) -> Self {
        let seed = SEALING_SEED.to_be_bytes().to_vec();
        let wasi = WasiCtx::builder()
            .stderr(stderr)
            .secure_random(Deterministic::new(seed.clone()))
            .insecure_random(Deterministic::new(seed))
            .insecure_random_seed(SEALING_SEED)
            .wall_clock(Stopped)
            .monotonic_clock(Stopped)
            .allow_tcp(false)
            .allow_udp(false)
            .build();
        Self { wasi, table: ResourceTable::new() }
    }
}

impl WasiView for Room {
    fn ctx(&mut self) -> WasiCtxView<'_> {
        WasiCtxView { ctx: &mut self.wasi, table: &mut self.table }
    }
}

/// Clocks that do not run.
struct Stopped;

impl HostWallClock for Stopped {
    fn resolution(&self) -> Duration {
        Duration::from_secs(1)
    }

    fn now(&self) -> Duration {
        SEALING_TIME
    }
}

impl HostMonotonicClock for Stopped {
    fn resolution(&self) -> u64 {
        1
    }

    fn now(&self) -> u64 {
        0
    }
}

#[cfg(test)]
#[path = "seal_tests.rs"]
mod tests;
