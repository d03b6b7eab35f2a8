//! The wasm engine of this process, and components compiled with it.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::fs;
use std::path::PathBuf;
use std::sync::{Arc, OnceLock, PoisonError, RwLock};
use std::time::Duration;

use wasmtime::component::Component;
use wasmtime::{Cache, CacheConfig, CacheStore, Config, Enabled, Engine, InstanceAllocationStrategy, OptLevel, PoolingAllocationConfig};
use wasmtime_wasi_http::handler::ProxyPre;

use super::HostError;
use super::state::{self, State};

/// Most instances alive at once, as in Spin. Each reserves address space, not memory.
const INSTANCES: u32 = 1_000;
/// Bytes of a dropped instance's memory that are reset by copying instead of being given back: cheaper for the next one.
const KEEP_RESIDENT: usize = 2 * 1024 * 1024;
/// The same where the system tells which pages were written, so that only those are copied (Linux 6.7, `PAGEMAP_SCAN`).
const KEEP_WRITTEN: usize = 16 * 1024 * 1024;
/// Most functions that are remembered: a component of ours has some ten thousand.
const FUNCTIONS: usize = 100_000;
/// How often running guests are made to yield, so that none of them can hold a thread for ever.
const TICK: Duration = Duration::from_millis(10);

/// The engine that serves, one for the whole process: its pool of instance memory is large and its threads are few.
///
/// # Errors
/// [`HostError::Engine`] when this machine cannot run one.
pub fn engine() -> Result<Engine, HostError> {
    static ENGINE: OnceLock<Result<Engine, String>> = OnceLock::new();
    ENGINE.get_or_init(|| serving(common())).clone().map_err(HostError::Engine)
}

/// A serving engine for components that differ in their data and hardly in their code, such as one base component sealed
/// again and again: it remembers every function it compiled, and compiles only those it has not seen.
///
/// # Errors
/// [`HostError::Engine`] when this machine cannot run one.
pub fn recompiling_engine() -> Result<Engine, HostError> {
    let mut config = common();
    // Not the folder on disk as well: every edit would leave a whole component in it.
    config
        .cache(None)
        .enable_incremental_compilation(Arc::new(Functions::default()))
        .map_err(|error| HostError::Engine(format!("{error:#}")))?;
    serving(config).map_err(HostError::Engine)
}

/// Machine code of functions, by a digest of what they were compiled from. The code of one component has some tens of megabytes.
#[derive(Debug, Default)]
struct Functions(RwLock<BTreeMap<Vec<u8>, Vec<u8>>>);

impl CacheStore for Functions {
    fn get(&self, key: &[u8]) -> Option<Cow<'_, [u8]>> {
        let functions = self.0.read().unwrap_or_else(PoisonError::into_inner);
        functions.get(key).map(|code| Cow::Owned(code.clone()))
    }

    fn insert(&self, key: &[u8], value: Vec<u8>) -> bool {
        let mut functions = self.0.write().unwrap_or_else(PoisonError::into_inner);
        let room = functions.len() < FUNCTIONS;
        if room {
            functions.insert(key.to_owned(), value);
        }
        room
    }
}

/// An engine for sealing, where code runs once: what counts is how soon it is compiled.
pub(super) fn sealing() -> Result<Engine, String> {
    let mut config = common();
    config.cranelift_opt_level(OptLevel::None);
    Engine::new(&config).map_err(|error| format!("{error:#}"))
}

fn serving(mut config: Config) -> Result<Engine, String> {
    let mut pool = PoolingAllocationConfig::default();
    // A component of ours has one memory and three core instances with two tables (module, shim, fixups); there may be
    // sixteen guest tasks in each instance, every one on a stack of its own while it is in a host call.
    pool.total_component_instances(INSTANCES)
        .total_memories(INSTANCES)
        .total_tables(INSTANCES.saturating_mul(4))
        .total_core_instances(INSTANCES.saturating_mul(8))
        .total_stacks(INSTANCES.saturating_mul(2))
        .table_elements(100_000)
        .max_memories_per_module(1)
        .max_core_instance_size(10 * 1024 * 1024)
        .max_component_instance_size(10 * 1024 * 1024)
        .linear_memory_keep_resident(KEEP_WRITTEN)
        .pagemap_scan(Enabled::Yes)
        .table_keep_resident(64 * 1024);
    config.epoch_interruption(true).allocation_strategy(InstanceAllocationStrategy::Pooling(pool.clone()));
    pool.linear_memory_keep_resident(KEEP_RESIDENT).pagemap_scan(Enabled::No);
    // Where address space is short (some containers and small machines) instances are allocated one by one.
    let engine = Engine::new(&config)
        .or_else(|_| Engine::new(config.allocation_strategy(InstanceAllocationStrategy::Pooling(pool))))
        .or_else(|_| Engine::new(config.allocation_strategy(InstanceAllocationStrategy::OnDemand)))
        .map_err(|error| format!("{error:#}"))?;
    let ticking = engine.weak();
    std::thread::Builder::new()
        .name("epoch".into())
        .spawn(move || {
            while let Some(engine) = ticking.upgrade() {
                engine.increment_epoch();
                drop(engine);
                std::thread::sleep(TICK);
            }
        })
        .map_err(|error| error.to_string())?;
    Ok(engine)
}

fn common() -> Config {
    let mut config = Config::new();
    // The verifier checks the compiler and not the component, and takes as long as compiling.
    config.wasm_component_model_async(true).memory_init_cow(true).cranelift_debug_verifier(false).cache(cache());
    // For components that were built for it (`make component WIDE=1`): wasmtime has it by default from version 50 on.
    config.wasm_wide_arithmetic(true);
    config
}

/// Compiled code is kept in the user's own cache folder, so that the second start compiles nothing.
///
/// SECURITY: what lies in there is run as native code. It is made private, and nobody but the user can be told to look
/// elsewhere: there is no flag and no project file for it.
fn cache() -> Option<Cache> {
    let home = std::env::var_os("XDG_CACHE_HOME")
        .map(PathBuf::from)
        .or_else(|| std::env::var_os("HOME").map(|home| PathBuf::from(home).join(".cache")))
        .filter(|path| path.is_absolute())?;
    let folder = home.join("cedargate");
    #[cfg(unix)]
    {
        use std::os::unix::fs::DirBuilderExt;
        fs::DirBuilder::new().recursive(true).mode(0o700).create(&folder).ok()?;
    }
    #[cfg(not(unix))]
    fs::create_dir_all(&folder).ok()?;
    let mut config = CacheConfig::new();
    config.with_directory(folder);
    Cache::new(config).ok()
}

/// A component compiled and linked, ready to be instantiated. Cloning is cheap, and servers of one process share it.
#[derive(Clone)]
pub struct Compiled {
    engine: Engine,
    component: Component,
    pre: Arc<ProxyPre<State>>,
}

impl Compiled {
    /// Compiles `bytes` and links every import.
    ///
    /// # Errors
    /// [`HostError::Component`] when the bytes are not a component, import what this host does not have, or do not
    /// export an HTTP handler.
    pub fn new(engine: &Engine, bytes: &[u8]) -> Result<Self, HostError> {
        let refuse = |error: wasmtime::Error| HostError::Component(format!("{error:#}"));
        let component = Component::new(engine, bytes).map_err(refuse)?;
        let linker = state::linker(engine).map_err(refuse)?;
        let instance = linker.instantiate_pre(&component).map_err(refuse)?;
        let pre = match wasmtime_wasi_http::p3::bindings::ServicePre::new(instance.clone()) {
            Ok(pre) => ProxyPre::P3(pre),
            Err(error) => wasmtime_wasi_http::p2::bindings::ProxyPre::new(instance)
                .map(ProxyPre::P2)
                .map_err(|_| HostError::Component(format!("it exports no HTTP handler: {error:#}")))?,
        };
        Ok(Self { engine: engine.clone(), component, pre: Arc::new(pre) })
    }

    /// The names of everything the component imports, sorted.
    pub fn imports(&self) -> Vec<String> {
        let ty = self.component.component_type();
        let mut names: Vec<_> = ty.imports(&self.engine).map(|(name, _)| name.to_owned()).collect();
        names.sort();
        names
    }

    /// The names of everything the component exports, sorted.
    pub fn exports(&self) -> Vec<String> {
        let ty = self.component.component_type();
        let mut names: Vec<_> = ty.exports(&self.engine).map(|(name, _)| name.to_owned()).collect();
        names.sort();
        names
    }

    pub(super) fn engine(&self) -> &Engine {
        &self.engine
    }

    pub(super) fn pre(&self) -> &ProxyPre<State> {
        &self.pre
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn functions_are_remembered_up_to_a_number() {
        let functions = Functions::default();
        assert_eq!(functions.get(b"a"), None);
        for key in 0..FUNCTIONS {
            assert!(functions.insert(&key.to_be_bytes(), vec![1]));
        }
        assert!(!functions.insert(b"one more", vec![2]));
        assert_eq!(functions.get(&0_usize.to_be_bytes()).as_deref(), Some(&[1][..]));
        assert_eq!(functions.get(b"one more"), None);
    }
}
