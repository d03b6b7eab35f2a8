//! `cedargate up`: the gate on this machine, in front of an API or of a demo.

mod stamps;
mod watch;

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use miette::{Context, IntoDiagnostic, MietteDiagnostic, miette};

use super::check::{insecure, observes, unreachable, unreachable_sink};
use super::files::{self, Folders};
use super::progress::Progress;
use super::seal::{read_base, refused, write_whole};
use super::time::{now, parse_time};
use super::{Exit, archive, exit, output, token};
use crate::bundle::{Bundle, Digest, Gate};
use crate::decision::UnixTime;
use crate::enforce::Origin;
use crate::host::demo::Demo;
use crate::host::key_value::KeyValue;
use crate::host::manifest::ENVIRONMENT_PREFIX;
use crate::host::{self, Compiled, HostError, InstanceLimits, Manifest, RecordSink, Server, ServerOptions, Tls, describe};
use watch::Watch;

/// What `up` sealed is kept here, apart from what `seal` made: it may trust development keys.
const KEPT: &str = "target/sealed/up.wasm";
/// Where Spin keeps key-value stores.
const KEY_VALUE: &str = ".spin/sqlite_key_value.db";
/// The variable that says where permitted requests go.
const ORIGIN: &str = "origin";

const EXAMPLES: &str = r"
cedargate up --dev
    in front of a demo API, with development tokens to try
cedargate up --dev --watch
    the same; what you change in policies/ and keys/ goes live when it is right
cedargate up --origin http://127.0.0.1:9000 --records records.jsonl
    in front of an API of yours
cedargate up --component gate.wasm --variable edge_region=fra1
    a component that was sealed before";

/// Serve the sealed gate on this machine
///
/// Seals policies/ and keys/ when they changed, and serves the component as Spin does. Records go to standard output,
/// everything said about them to standard error.
#[derive(Debug, clap::Args)]
#[command(after_help = exit::help(EXAMPLES, &[Exit::Ok, Exit::Failed, Exit::Invalid]))]
pub struct UpArgs {
    /// The address to listen on
    #[arg(long, value_name = "ADDRESS", env = "SPIN_HTTP_LISTEN_ADDR", default_value = "127.0.0.1:3000")]
    listen: SocketAddr,
    /// The application's manifest
    #[arg(short, long, value_name = "FILE", default_value = "spin.toml")]
    from: PathBuf,
    /// The API behind the gate; without it, a demo API is
    #[arg(long, value_name = "URL")]
    origin: Option<String>,
    /// Set an application variable; SPIN_VARIABLE_<NAME> in the environment does the same
    #[arg(long = "variable", value_name = "NAME=VALUE", value_parser = pair)]
    variables: Vec<(String, String)>,

    #[command(flatten)]
    folders: Folders,
    /// The base component
    #[arg(long, value_name = "FILE", env = "CEDARGATE_BASE", default_value = super::seal::BASE)]
    base: PathBuf,
    /// Serve a component that was sealed before, instead of sealing
    #[arg(long, value_name = "FILE", conflicts_with_all = ["no_seal", "policies", "dev"])]
    component: Option<PathBuf>,
    /// Serve the manifest's own component as it is, instead of sealing
    #[arg(long, conflicts_with_all = ["policies", "dev"])]
    no_seal: bool,
    /// Look at policies/ and keys/ all the time: what changes is checked, tested, sealed, and takes the place of what is served
    ///
    /// No connection is closed, and requests that were begun are finished by the gate that began them. A change that is not valid or fails
    /// its tests is told, and the gate goes on as it was. Of the manifest nothing is read again.
    #[arg(long, conflicts_with_all = ["component", "no_seal"])]
    watch: bool,

    /// Append the records to a file instead of writing them to standard output
    #[arg(long, value_name = "FILE")]
    records: Option<PathBuf>,
    /// The time the component sees, for ever: 2026-03-01T09:30:00Z or seconds since 1970
    #[arg(long, value_name = "TIME", value_parser = parse_time, allow_hyphen_values = true)]
    now: Option<UnixTime>,
    /// Serve HTTPS with this certificate chain (PEM)
    #[arg(long, value_name = "FILE", env = "SPIN_TLS_CERT", requires = "tls_key")]
    tls_cert: Option<PathBuf>,
    /// The key of that certificate (PEM)
    #[arg(long, value_name = "FILE", env = "SPIN_TLS_KEY", requires = "tls_cert")]
    tls_key: Option<PathBuf>,

    /// Requests an instance serves before it ends
    #[arg(long, value_name = "COUNT", default_value = "128", value_parser = at_least_one)]
    max_instance_reuse_count: usize,
    /// Requests an instance serves at once
    #[arg(long, value_name = "COUNT", default_value = "16", value_parser = at_least_one)]
    max_instance_concurrent_reuse_count: usize,
    /// How long an instance waits for another request
    #[arg(long, value_name = "TIME", default_value = "1s", value_parser = duration)]
    idle_instance_timeout: Duration,
    /// How long a request may take; without it, as long as it takes
    #[arg(long, value_name = "TIME", value_parser = duration)]
    request_timeout: Option<Duration>,
}

/// Runs `cedargate up`: serves until it is told to stop.
///
/// # Errors
/// When a file cannot be read, the base component is unfit, or the address is taken; [`Invalid`](super::diagnostic::Invalid)
/// when policies or keys are not valid.
pub fn run(args: UpArgs) -> miette::Result<Exit> {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().into_diagnostic()?;
    runtime.block_on(serve(args))
}

async fn serve(args: UpArgs) -> miette::Result<Exit> {
    if let Some(origin) = &args.origin
        && let Err(error) = Origin::parse(origin)
    {
        return Err(MietteDiagnostic {
            help: Some("for example --origin http://127.0.0.1:9000".into()),
            ..MietteDiagnostic::new(format!("--origin `{origin}` cannot be used: {error}"))
        }
        .into());
    }
    let progress = Progress::new(false);
    let manifest = Manifest::read(&args.from).map_err(|error| {
        let help = (!args.from.exists()).then_some("run it in the project's folder, or name the manifest with --from FILE");
        MietteDiagnostic { help: help.map(str::to_owned), ..MietteDiagnostic::new(error.to_string()) }
    })?;
    let ToServe { component: bytes, told, gate, sealed } = to_serve(&args, &manifest, &progress)?;
    progress.step("loading the component (long only the first time)");
    let component = Compiled::new(&host::engine().into_diagnostic()?, &bytes).into_diagnostic()?;

    let mut variables: BTreeMap<String, String> = args.variables.iter().cloned().collect();
    if let Some(origin) = &args.origin {
        variables.insert(ORIGIN.into(), origin.clone());
    }
    let environment = |name: &str| std::env::var(name).ok();
    let somewhere = variables.contains_key(ORIGIN) || environment(&format!("{ENVIRONMENT_PREFIX}ORIGIN")).is_some();
    let demo = if somewhere { None } else { Some(Demo::start().await.into_diagnostic()?) };
    if let Some(demo) = &demo {
        variables.insert(ORIGIN.into(), demo.origin());
    }
    let app = manifest.resolve(&variables, environment).map_err(|error| miette!("{error}"))?;
    let manifest = args.from.display().to_string();
    let allowed = app.allowed.clone();
    let settings = unreachable_sink(&app.variables, &app.allowed, &manifest) + &observes(&app.variables);
    let of_gate = move |gate: &Gate| [unreachable(gate, &allowed, &manifest), insecure(gate)].concat();
    let warnings = gate.as_ref().map(&of_gate).unwrap_or_default() + &settings;
    let origin = app.variables.get(ORIGIN).cloned().unwrap_or_default();

    let tls = match (&args.tls_cert, &args.tls_key) {
        (Some(certificate), Some(key)) => Some(Tls::read(certificate, key).into_diagnostic()?),
        _ => None,
    };
    let records = match &args.records {
        Some(file) => RecordSink::file(file).into_diagnostic().wrap_err_with(|| format!("`{}` cannot be opened", file.display()))?,
        None => RecordSink::stdout(),
    };
    let key_value = if app.key_value_stores.is_empty() {
        KeyValue::memory(app.key_value_stores.clone())
    } else {
        KeyValue::file(&project(&args).join(KEY_VALUE), app.key_value_stores.clone())
    };
    let options = ServerOptions {
        listen: args.listen,
        tls,
        now: args.now,
        records,
        diagnostics: RecordSink::stderr(),
        key_value: key_value.into_diagnostic()?,
        limits: InstanceLimits {
            max_reuse: args.max_instance_reuse_count,
            max_concurrent_reuse: args.max_instance_concurrent_reuse_count,
            idle_timeout: args.idle_instance_timeout,
            request_timeout: args.request_timeout,
            ..InstanceLimits::default()
        },
        component,
        app,
    };
    let server = Server::start(options).await.map_err(|error| match error {
        HostError::Listen { address, source } => {
            miette!(help = "--listen ADDRESS takes another, and with port 0 any that is free", "cannot listen on `{address}`: {source}")
        }
        error => miette!("{error}"),
    })?;
    drop(progress);
    // Before anybody can know that it serves: from here on a signal is a graceful stop.
    let mut signals = Signals::catch()?;
    greet(&args, &server, &told, &origin, demo.is_some())?;
    output::stderr(&warnings);
    let watching = match sealed {
        Some(Sealing { base, digest }) if args.watch => {
            let project = project(&args);
            let (kept, archive) = (project.join(KEPT), project.join(archive::ARCHIVE));
            let watch = Watch {
                folders: args.folders.clone(),
                base,
                live: digest,
                swap: server.swap(),
                kept,
                archive,
                warnings: Box::new(of_gate),
            };
            Some(watch.start(bytes)?)
        }
        _ => None,
    };
    signals.next().await?;
    drop(watching);
    output::stderr("stopping: requests in flight may finish; once more stops at once\n");
    tokio::select! {
        () = server.stop() => {}
        stopped = signals.next() => stopped?,
    }
    Ok(Exit::Ok)
}

/// The component to serve, and what is said about it.
struct ToServe {
    component: Vec<u8>,
    told: String,
    /// What it was sealed from, where that is known.
    gate: Option<Gate>,
    /// What it takes to seal it again, where there is the base component.
    sealed: Option<Sealing>,
}

/// What a component was sealed from.
struct Sealing {
    base: Vec<u8>,
    digest: Digest,
}

impl ToServe {
    fn new(component: Vec<u8>, file: &Path, how: &str) -> Self {
        let file = file.display();
        let told = match describe(&component) {
            Some(description) => format!("policy digest {}, {how} `{file}`", description.policy_digest),
            None => format!("`{file}` is not sealed: it answers every request with 503"),
        };
        Self { component, told, gate: None, sealed: None }
    }
}

/// A given file, one that was sealed from the same input before, or a new one.
fn to_serve(args: &UpArgs, manifest: &Manifest, progress: &Progress) -> miette::Result<ToServe> {
    let given = args.component.as_deref().or(args.no_seal.then(|| manifest.source()));
    if let Some(file) = given {
        let bytes = std::fs::read(file)
            .map_err(|error| miette!(help = "`cedargate seal` makes one", "the component `{}` cannot be read: {error}", file.display()))?;
        return Ok(ToServe::new(bytes, file, "from"));
    }
    progress.step("reading policies and keys");
    let Folders { policies, keys, dev } = &args.folders;
    if *dev {
        token::ensure_dev_keys(keys)?;
    }
    let bundle = files::read_bundle(policies, keys, *dev)?;
    let project = project(args);
    // Records will name it, and it may be gone when they are read.
    let keep = |bundle: &Bundle| archive::tell(&archive::keep(&project.join(archive::ARCHIVE), bundle));
    let kept = project.join(KEPT);
    // Without the base, what was sealed from the same policies before will do; not so for sealing again.
    let base = if args.watch || args.base.exists() { Some(read_base(&args.base)?) } else { None };
    let digest = bundle.digest();
    for file in [manifest.source(), &kept] {
        if let Some(bytes) = std::fs::read(file).ok().filter(|bytes| is_from(bytes, base.as_deref(), &bundle)) {
            let gate = Gate::load(&bundle).ok();
            keep(&bundle);
            let sealed = base.map(|base| Sealing { base, digest });
            return Ok(ToServe { gate, sealed, ..ToServe::new(bytes, file, "not changed since it was sealed as") });
        }
    }
    let base = match base {
        Some(base) => base,
        None => read_base(&args.base)?,
    };
    progress.step("sealing");
    let gate = Gate::load(&bundle).ok();
    let sealed = match host::seal(&base, &bundle) {
        Ok(sealed) => sealed,
        Err(error) => return Err(refused(error, policies, keys, bundle)),
    };
    write_whole(&kept, &sealed.component)?;
    keep(&bundle);
    Ok(ToServe { gate, sealed: Some(Sealing { base, digest }), ..ToServe::new(sealed.component, &kept, "sealed now as") })
}

/// The folder of the manifest.
fn project(args: &UpArgs) -> &Path {
    args.from.parent().unwrap_or(Path::new(""))
}

/// Whether a sealed component was made from this base and this bundle.
fn is_from(component: &[u8], base: Option<&[u8]>, bundle: &Bundle) -> bool {
    describe(component).is_some_and(|description| {
        description.policy_digest == bundle.digest().to_string()
            && base.is_none_or(|base| description.base_digest == Digest::of(base).to_string())
    })
}

/// Says where the gate is and what to try. On standard error: standard output is for records.
fn greet(args: &UpArgs, server: &Server, told: &str, origin: &str, demo: bool) -> miette::Result<()> {
    let url = server.url();
    let mut text = format!("cedargate serves {url}\n{told}\n");
    if demo {
        text.push_str(&format!("behind it is a demo API ({origin}); --origin URL puts your own there\n"));
    } else if !origin.is_empty() {
        text.push_str(&format!("behind it is {origin}\n"));
    }
    let insecure = if args.tls_cert.is_some() { " -k" } else { "" };
    let curl = format!(r"curl{insecure} -s -o /dev/null -w '%{{http_code}}\n'");
    let resource = format!("{url}/api/documents/1");
    if args.folders.dev {
        // A gate whose clock stands still wants a token of its own time.
        let time = args.now.unwrap_or_else(now);
        let alice = token::dev_token_at(&args.folders.keys, time, "alice", &["readers"], &[])?;
        let bearer = format!("-H 'authorization: Bearer {alice}'");
        text.push_str(&format!("\nallowed (200):\n  {curl} {bearer} {resource}\n"));
        text.push_str(&format!("\ndenied by policy (403):\n  {curl} -X DELETE {bearer} {resource}\n"));
    }
    text.push_str(&format!("\nno token (401):\n  {curl} {resource}\n\n"));
    // A component that is served as it is cannot be told to trust anybody.
    if !args.folders.dev && args.component.is_none() && !args.no_seal {
        text.push_str("with --dev it also takes development tokens: see `cedargate token --help`\n\n");
    }
    output::stderr(&text);
    Ok(())
}

/// SIGINT and SIGTERM, caught from the moment this is made.
pub(super) struct Signals {
    #[cfg(unix)]
    interrupt: tokio::signal::unix::Signal,
    #[cfg(unix)]
    terminate: tokio::signal::unix::Signal,
}

impl Signals {
    #[cfg(unix)]
    pub(super) fn catch() -> miette::Result<Self> {
        use tokio::signal::unix::{SignalKind, signal};
        let interrupt = signal(SignalKind::interrupt()).into_diagnostic()?;
        Ok(Self { interrupt, terminate: signal(SignalKind::terminate()).into_diagnostic()? })
    }

    #[cfg(unix)]
    pub(super) async fn next(&mut self) -> miette::Result<()> {
        tokio::select! {
            _ = self.interrupt.recv() => {}
            _ = self.terminate.recv() => {}
        }
        Ok(())
    }

    #[cfg(not(unix))]
    pub(super) fn catch() -> miette::Result<Self> {
        Ok(Self {})
    }

    #[cfg(not(unix))]
    pub(super) async fn next(&mut self) -> miette::Result<()> {
        tokio::signal::ctrl_c().await.into_diagnostic()
    }
}

fn pair(text: &str) -> Result<(String, String), String> {
    match text.split_once('=') {
        Some((name, value)) if !name.is_empty() => Ok((name.trim().to_owned(), value.to_owned())),
        _ => Err("it is not of the form NAME=VALUE".into()),
    }
}

fn at_least_one(text: &str) -> Result<usize, String> {
    text.parse().ok().filter(|count| *count > 0).ok_or_else(|| "it is not a whole number above 0".into())
}

/// Spin's notation: a number of seconds, or one with `s`, `ms`, `us` or `ns`.
fn duration(text: &str) -> Result<Duration, String> {
    let digits = text.trim_end_matches(|c: char| !c.is_ascii_digit());
    let unit = text.strip_prefix(digits).unwrap_or_default();
    let number: u64 = digits.parse().map_err(|_| "it does not start with a whole number".to_owned())?;
    match unit {
        "" | "s" => Ok(Duration::from_secs(number)),
        "ms" => Ok(Duration::from_millis(number)),
        "us" | "μs" => Ok(Duration::from_micros(number)),
        "ns" => Ok(Duration::from_nanos(number)),
        _ => Err(format!("`{unit}` is not a unit: use s, ms, us or ns")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_are_spins() {
        assert_eq!(duration("2"), Ok(Duration::from_secs(2)));
        assert_eq!(duration("1s"), Ok(Duration::from_secs(1)));
        assert_eq!(duration("250ms"), Ok(Duration::from_millis(250)));
        assert_eq!(duration("7us"), Ok(Duration::from_micros(7)));
        assert!(duration("s").is_err() && duration("1h").is_err() && duration("-1").is_err());
    }

    #[test]
    fn variables_are_pairs() {
        assert_eq!(pair("a=b=c"), Ok(("a".into(), "b=c".into())));
        assert_eq!(pair("a="), Ok(("a".into(), String::new())));
        assert!(pair("a").is_err() && pair("=b").is_err());
    }
}
