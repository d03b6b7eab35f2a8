//! The gate under test: the sealed component in the embedded host, or a gate that runs elsewhere (`GATE=http://…`).

use std::collections::{BTreeMap, HashMap};
use std::fs::File;
use std::io::{Read, Seek, SeekFrom};
use std::net::{SocketAddr, ToSocketAddrs};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::{Duration, Instant};

use cedargate::audit::Entry;
use cedargate::bundle::{Bundle, Digest};
use cedargate::decision::{Replayer, UnixTime};
use cedargate::host::allowed::AllowedHost;
use cedargate::host::key_value::KeyValue;
use cedargate::host::{Compiled, InstanceLimits, Manifest, Metrics, RecordSink, Sealer, Server, ServerOptions, recompiling_engine};
use serde_json::Value;
use tokio::runtime::Runtime;
use wasmtime::Engine;

use super::client::{Request, Response};
use super::origin::Origin;
use super::pki::SECRET;
use super::schema;

/// 2027-01-13T10:00:00Z, a Wednesday in office hours.
pub const NOW: i64 = 1_799_834_400;

/// The runtime all servers of the suite live on.
pub fn runtime() -> &'static Runtime {
    static RUNTIME: OnceLock<Runtime> = OnceLock::new();
    RUNTIME.get_or_init(|| tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap())
}

/// The project's root.
pub fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// Where the unsealed component is that `make component` builds.
pub fn base_path() -> PathBuf {
    let named = std::env::var_os("CEDARGATE_BASE").map(PathBuf::from);
    // The command runs in other folders.
    std::path::absolute(named.unwrap_or_else(|| root().join("target/wasm32-wasip2/release/cedargate.wasm"))).unwrap()
}

/// The unsealed component.
pub fn base() -> &'static [u8] {
    static BASE: OnceLock<Vec<u8>> = OnceLock::new();
    BASE.get_or_init(|| {
        let path = base_path();
        std::fs::read(&path).unwrap_or_else(|e| panic!("{}: {e}: build it with `make component`", path.display()))
    })
}

/// The bundle the suite runs with: the project's policies and the suite's own keys.
pub fn bundle() -> Bundle {
    cedargate::cli::files::read_bundle(&root().join("policies"), &root().join("tests/gate/keys"), false).expect("the bundle can be read")
}

/// What is made of each bundle once, whoever asks first. Others that ask for the same wait; those that ask for another do not.
struct Once<T>(Mutex<BTreeMap<Digest, Arc<OnceLock<T>>>>);

impl<T: Clone> Once<T> {
    const fn new() -> Self {
        Self(Mutex::new(BTreeMap::new()))
    }

    fn of(&self, bundle: &Bundle, make: impl FnOnce() -> T) -> T {
        let one = Arc::clone(self.0.lock().unwrap_or_else(PoisonError::into_inner).entry(bundle.digest()).or_default());
        one.get_or_init(make).clone()
    }
}

/// A sealed component. Each distinct bundle is sealed once, and what all have in common is done once.
pub fn sealed(bundle: &Bundle) -> Arc<Vec<u8>> {
    static DONE: Once<Arc<Vec<u8>>> = Once::new();
    static SEALER: OnceLock<Sealer> = OnceLock::new();
    let sealer = SEALER.get_or_init(|| Sealer::new(base().to_owned()));
    DONE.of(bundle, || Arc::new(sealer.seal(bundle).unwrap_or_else(|e| panic!("{e}")).component))
}

/// A component ready to serve. Each distinct bundle is compiled once, and of all of them each function.
pub fn compiled(bundle: &Bundle) -> Compiled {
    static DONE: Once<Compiled> = Once::new();
    static ENGINE: OnceLock<Engine> = OnceLock::new();
    let engine = ENGINE.get_or_init(|| recompiling_engine().unwrap());
    DONE.of(bundle, || Compiled::new(engine, &sealed(bundle)).unwrap())
}

/// What asks recorded decisions again of the gate that a bundle is. Each distinct bundle is loaded once.
fn replayer(bundle: &Bundle) -> &'static Replayer<'static> {
    static DONE: Once<&'static Replayer<'static>> = Once::new();
    DONE.of(bundle, || {
        let gate = Box::leak(Box::new(cedargate::bundle::Gate::load(bundle).expect("a bundle that was sealed")));
        Box::leak(Box::new(Replayer::new(gate)))
    })
}

/// How to start a gate of one's own.
pub struct Setup {
    pub component: Compiled,
    /// What is sealed in it, where that is known.
    pub bundle: Option<Bundle>,
    pub variables: Vec<(String, String)>,
    pub now: Option<i64>,
    pub limits: InstanceLimits,
    pub records: RecordSink,
    /// Where the component's standard error goes.
    pub diagnostics: RecordSink,
    /// Hosts it may reach beside its origin.
    pub allowed: Vec<String>,
    /// Stores it shares with others; without, it has its own.
    pub key_value: Option<KeyValue>,
}

impl Setup {
    /// The suite's gate before anything is changed.
    pub fn new(bundle: &Bundle) -> Self {
        Self { bundle: Some(bundle.clone()), ..Self::of(compiled(bundle)) }
    }

    /// The same for any component.
    pub fn of(component: Compiled) -> Self {
        Self {
            component,
            bundle: None,
            variables: vec![],
            now: Some(NOW),
            limits: InstanceLimits::default(),
            records: RecordSink::memory(),
            diagnostics: RecordSink::stderr(),
            allowed: vec![],
            key_value: None,
        }
    }

    /// Lets it reach one more host: `scheme://host:port`.
    pub fn allow(mut self, host: &str) -> Self {
        self.allowed.push(host.into());
        self
    }

    /// Gives it stores it shares with others.
    pub fn key_value(mut self, key_value: &KeyValue) -> Self {
        self.key_value = Some(key_value.clone());
        self
    }

    pub fn variable(mut self, name: &str, value: &str) -> Self {
        self.variables.push((name.into(), value.into()));
        self
    }

    /// Starts it in front of an origin.
    pub fn start(self, origin: &Origin) -> Gate {
        let mut variables = vec![
            ("origin".to_owned(), format!("http://{}", origin.addr)),
            // A test that sets it too has the last word.
            ("mtls_terminator_secret".to_owned(), SECRET.to_owned()),
        ];
        variables.extend(self.variables);
        let manifest = Manifest::read(&root().join("spin.toml")).expect("spin.toml is right");
        let mut app = manifest.resolve(&variables.into_iter().collect(), |_| None).expect("the variables are right");
        self.allowed.iter().for_each(|host| app.allowed.push(AllowedHost::parse(host).expect("a host")));
        let mut options = ServerOptions::new(self.component, app).unwrap();
        options.now = self.now.map(UnixTime);
        options.limits = self.limits;
        options.records = self.records;
        options.diagnostics = self.diagnostics;
        if let Some(key_value) = self.key_value {
            options.key_value = key_value;
        }
        let server = runtime().block_on(Server::start(options)).expect("the gate starts");
        let mut records = Records::new(Source::Memory(server.records().clone()));
        records.replayer = self.bundle.as_ref().map(replayer);
        Gate { addr: server.address(), origin: origin.clone(), now: self.now.unwrap_or_else(clock), records, server: Some(server) }
    }
}

fn clock() -> i64 {
    std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_secs() as i64
}

enum Source {
    Memory(RecordSink),
    File(PathBuf),
    /// A gate elsewhere whose records cannot be seen: only the outside view is checked.
    Unseen,
}

/// The records of a gate, indexed by decision as they are read.
struct Records {
    source: Source,
    /// What decided, where that is known: each record must give the same answer when it is asked again.
    replayer: Option<&'static Replayer<'static>>,
    /// How far it was read, in lines of memory or bytes of a file, and what was found.
    index: Mutex<(usize, HashMap<String, Vec<Value>>)>,
}

impl Records {
    fn new(source: Source) -> Self {
        Self { source, replayer: None, index: Mutex::default() }
    }

    /// Reads what is new and returns the records of one decision.
    fn of(&self, id: &str) -> Vec<Value> {
        let mut index = self.index.lock().unwrap_or_else(PoisonError::into_inner);
        let (read, by_id) = &mut *index;
        let new = match &self.source {
            Source::Memory(sink) => {
                let lines = sink.lines_from(*read);
                *read += lines.len();
                lines
            }
            Source::File(path) => {
                let mut file = File::open(path).expect("GATE_RECORDS can be read");
                file.seek(SeekFrom::Start(*read as u64)).unwrap();
                let mut text = vec![];
                file.read_to_end(&mut text).unwrap();
                // Only whole lines: the gate may be writing one.
                text.truncate(text.iter().rposition(|byte| *byte == b'\n').map_or(0, |at| at + 1));
                *read += text.len();
                String::from_utf8_lossy(&text).lines().map(str::to_owned).collect()
            }
            Source::Unseen => vec![],
        };
        for line in new {
            // Under Spin other output may stand between the records.
            let Ok(record) = serde_json::from_str::<Value>(&line) else { continue };
            schema::check(&record);
            if let Some(replayer) = self.replayer {
                replays(replayer, &line);
            }
            // What became of it later, and checkpoints, are records of their own.
            if record.get("kind").is_some_and(|kind| kind != "decision") {
                continue;
            }
            let id = record["decision_id"].as_str().expect("a record has a decision id").to_owned();
            by_id.entry(id).or_default().push(record);
        }
        by_id.get(id).cloned().unwrap_or_default()
    }
}

/// Replay depends on it: what a record says was decided on leads to what it says was decided, by the same policies.
fn replays(replayer: &Replayer<'_>, line: &str) {
    let entry = Entry::parse(line).expect("a record can be read back");
    for replayed in replayer.replay(&entry) {
        let masked = |why: &String| why.starts_with("not shown in the record: ") && !(entry.masked.is_empty() && entry.erased.is_empty());
        assert!(replayed.is_same() || replayed.after.as_ref().is_err_and(masked), "{replayed:#?}\n{line}");
    }
}

/// A gate under test with the origin behind it.
pub struct Gate {
    pub addr: SocketAddr,
    pub origin: Origin,
    /// The time it was given; of a gate elsewhere, the time the suite began.
    pub now: i64,
    records: Records,
    server: Option<Server>,
}

/// The gate most tests share.
pub fn gate() -> &'static Gate {
    static GATE: OnceLock<Gate> = OnceLock::new();
    GATE.get_or_init(|| match std::env::var("GATE") {
        Ok(url) => remote(&url),
        Err(_) => Setup::new(&bundle()).start(&Origin::start(([127, 0, 0, 1], 0).into())),
    })
}

/// A gate that runs elsewhere; `docs/testing.md` says what it must be.
fn remote(url: &str) -> Gate {
    let authority = url.strip_prefix("http://").unwrap_or_else(|| panic!("GATE must be http://host:port, not {url}")).trim_end_matches('/');
    let addr = authority.to_socket_addrs().ok().and_then(|mut a| a.next()).unwrap_or_else(|| panic!("GATE names no address: {url}"));
    let listen = std::env::var("GATE_ORIGIN").unwrap_or_else(|_| "127.0.0.1:3999".into());
    let origin = Origin::start(listen.parse().expect("GATE_ORIGIN is address:port"));
    let records = Records::new(std::env::var_os("GATE_RECORDS").map_or(Source::Unseen, |path| Source::File(path.into())));
    Gate { addr, origin, now: clock(), records, server: None }
}

/// What is expected of one request.
#[derive(Debug, Clone, Copy)]
pub struct Expect {
    status: u16,
    reason: Option<&'static str>,
}

impl Expect {
    /// Reaches the origin and comes back 200.
    pub fn allowed() -> Self {
        Self { status: 200, reason: Some("policy.permit") }
    }

    /// Denied with this status, for a policy's reason.
    pub fn denied(status: u16) -> Self {
        Self { status, reason: None }
    }

    /// Denied with this status and reason.
    pub const fn refused(status: u16, reason: &'static str) -> Self {
        Self { status, reason: Some(reason) }
    }
}

/// A response with its record.
pub struct Answer {
    pub response: Response,
    pub record: Option<Value>,
}

impl Answer {
    /// Looks at the record, where it can be seen.
    pub fn with_record(&self, look: impl FnOnce(&Value)) {
        if let Some(record) = &self.record {
            look(record);
        }
    }
}

impl Gate {
    /// Whether the gate runs in this process, with its time and records in our hands.
    pub fn is_local(&self) -> bool {
        self.server.is_some()
    }

    /// The time tokens are made for. A gate elsewhere has a clock that goes on while the suite runs.
    pub fn now(&self) -> i64 {
        if self.is_local() { self.now } else { clock() }
    }

    /// Moves the time the gate sees, and that tokens are made for.
    pub fn set_now(&mut self, now: i64) {
        self.now = now;
        self.server.as_ref().expect("a gate of this process").set_now(UnixTime(now));
    }

    /// Every line the gate wrote, as it is.
    pub fn lines(&self) -> Vec<String> {
        self.server.as_ref().expect("a gate of this process").records().lines()
    }

    /// What the host counted.
    pub fn metrics(&self) -> Metrics {
        self.server.as_ref().expect("a gate of this process").metrics()
    }

    /// Sends a request and checks status, reason, record, and whether it reached the origin.
    pub fn check(&self, name: &str, request: &Request, expect: &Expect) -> Answer {
        let response = request.send(self.addr);
        let record = self.record_of(&response);
        let context = || format!("{name}: {} {}\n{response:?}\n{record:?}", request.method, request.target);
        assert_eq!(response.status, expect.status, "status of {}", context());
        let reached = self.origin.seen(&request.id).len();
        assert_eq!(reached, usize::from(expect.status == 200), "requests that reached the origin: {}", context());
        if let Some(record) = &record {
            assert_eq!(record["status"], expect.status, "{}", context());
            assert_eq!(record["decision"], if expect.status == 200 { "allow" } else { "deny" }, "{}", context());
            if let Some(reason) = expect.reason {
                assert_eq!(record["reason"], reason, "{}", context());
            }
        }
        // Failures of a credential are one code from outside, those of a request their own.
        if let Some(reason) = expect.reason.filter(|r| r.starts_with("request.")).filter(|_| !response.body.is_empty()) {
            assert_eq!(response.code(), reason, "{}", context());
        }
        Answer { response, record }
    }

    /// The same for a request that some runtimes refuse themselves, before there is anything to record (`docs/operations.md`
    /// lists which): then it is enough that it does not pass.
    pub fn check_or_runtime(&self, name: &str, request: &Request, expect: &Expect) -> Option<Answer> {
        if self.is_local() {
            return Some(self.check(name, request, expect));
        }
        let response = request.try_send(self.addr);
        assert!(response.as_ref().is_none_or(|r| (400..=599).contains(&r.status)), "{name}: {response:?}");
        assert!(self.origin.seen(&request.id).is_empty(), "{name} reached the origin");
        None
    }

    /// The record of a response; `None` only where records cannot be seen. Exactly one must exist.
    pub fn record_of(&self, response: &Response) -> Option<Value> {
        let id = response.header("cedargate-decision-id").unwrap_or_else(|| panic!("a response without decision id: {response:?}"));
        if matches!(self.records.source, Source::Unseen) {
            return None;
        }
        let deadline = Instant::now() + Duration::from_secs(20);
        loop {
            let found = self.records.of(id);
            match found.len() {
                1 => return found.into_iter().next(),
                0 if Instant::now() < deadline => std::thread::yield_now(),
                n => panic!("{n} records for decision {id}"),
            }
        }
    }
}
