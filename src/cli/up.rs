//! `cedargate up`: the gate on this machine, in front of an API or of a demo.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use clap::Args;
use jiff::Timestamp;
use miette::{Context, IntoDiagnostic, miette};

use super::progress::Progress;
use super::seal::{read_base, refused, write_whole};
use super::{Exit, files, token};
use crate::bundle::{Bundle, Digest};
use crate::decision::UnixTime;
use crate::host::demo::Demo;
use crate::host::key_value::KeyValue;
use crate::host::manifest::ENVIRONMENT_PREFIX;
use crate::host::{self, Compiled, InstanceLimits, Manifest, RecordSink, Server, ServerOptions, Tls, describe};

/// What `up` sealed is kept here, apart from what `seal` made: it may trust development keys.
const KEPT: &str = "target/sealed/up.wasm";
/// Where Spin keeps key-value stores, next to the manifest.
const KEY_VALUE: &str = ".spin/sqlite_key_value.db";
/// The variable that says where permitted requests go.
const ORIGIN: &str = "origin";

/// Serve the gate on this machine.
#[derive(Debug, Args)]
pub struct UpArgs {
    /// The address to listen on.
    #[arg(long, value_name = "ADDRESS", env = "SPIN_HTTP_LISTEN_ADDR", default_value = "127.0.0.1:3000")]
    listen: SocketAddr,
    /// The application's manifest.
    #[arg(short, long, value_name = "FILE", default_value = "spin.toml")]
    from: PathBuf,
    /// The API behind the gate. Without it, a demo API is.
    #[arg(long, value_name = "URL")]
    origin: Option<String>,
    /// Set an application variable. `SPIN_VARIABLE_<NAME>` does the same.
    #[arg(long = "variable", value_name = "NAME=VALUE", value_parser = pair)]
    variables: Vec<(String, String)>,

    /// The folder of the policies.
    #[arg(long, value_name = "DIR", default_value = "policies")]
    policies: PathBuf,
    /// The folder of the key sets and of whom they are trusted for.
    #[arg(long, value_name = "DIR", default_value = "keys")]
    keys: PathBuf,
    /// Trust the development key in `keys/dev/` too. Never for production.
    #[arg(long)]
    dev: bool,
    /// The base component.
    #[arg(long, value_name = "FILE", env = "CEDARGATE_BASE", default_value = super::seal::BASE)]
    base: PathBuf,
    /// Serve a component that was sealed before, instead of sealing.
    #[arg(long, value_name = "FILE", conflicts_with_all = ["no_seal", "base", "policies", "dev"])]
    component: Option<PathBuf>,
    /// Serve the manifest's own component as it is, instead of sealing.
    #[arg(long, conflicts_with_all = ["base", "policies", "dev"])]
    no_seal: bool,

    /// Append the records to a file instead of writing them to standard output.
    #[arg(long, value_name = "FILE")]
    records: Option<PathBuf>,
    /// The time the component sees, for ever: RFC 3339, or seconds since 1970.
    #[arg(long, value_name = "TIME", value_parser = time)]
    now: Option<UnixTime>,
    /// Serve HTTPS with this certificate chain (PEM).
    #[arg(long, value_name = "FILE", env = "SPIN_TLS_CERT", requires = "tls_key")]
    tls_cert: Option<PathBuf>,
    /// The key of that certificate (PEM).
    #[arg(long, value_name = "FILE", env = "SPIN_TLS_KEY", requires = "tls_cert")]
    tls_key: Option<PathBuf>,

    /// Requests an instance serves before it ends.
    #[arg(long, value_name = "COUNT", default_value = "128", value_parser = at_least_one)]
    max_instance_reuse_count: usize,
    /// Requests an instance serves at once.
    #[arg(long, value_name = "COUNT", default_value = "16", value_parser = at_least_one)]
    max_instance_concurrent_reuse_count: usize,
    /// How long an instance waits for another request.
    #[arg(long, value_name = "TIME", default_value = "1s", value_parser = duration)]
    idle_instance_timeout: Duration,
    /// How long a request may take. Without it, as long as it takes.
    #[arg(long, value_name = "TIME", value_parser = duration)]
    request_timeout: Option<Duration>,
}

/// Serves until it is told to stop.
///
/// # Errors
/// When a file cannot be read, the base component is unfit, or the address is taken.
pub fn run(args: UpArgs) -> miette::Result<Exit> {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().into_diagnostic()?;
    runtime.block_on(serve(args))
}

async fn serve(args: UpArgs) -> miette::Result<Exit> {
    let progress = Progress::new(false);
    let manifest = Manifest::read(&args.from).map_err(|error| miette!("{error}"))?;
    let component = match sealed(&args, &manifest, &progress)? {
        Ok(component) => component,
        Err(exit) => return Ok(exit),
    };
    progress.step("compiling (the next start will not)");
    let component = Compiled::new(&host::engine().into_diagnostic()?, &component).into_diagnostic()?;

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
        KeyValue::file(&args.from.parent().unwrap_or(Path::new("")).join(KEY_VALUE), app.key_value_stores.clone())
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
    let server = Server::start(options).await.into_diagnostic()?;
    drop(progress);
    greet(&args, &server, &origin, demo.is_some())?;
    told_to_stop().await?;
    anstream::eprintln!("stopping: requests in flight may finish; once more stops at once");
    tokio::select! {
        () = server.stop() => {}
        stopped = told_to_stop() => stopped?,
    }
    Ok(Exit::Ok)
}

/// The component to serve: a given file, one that was sealed from the same input before, or a new one.
fn sealed(args: &UpArgs, manifest: &Manifest, progress: &Progress) -> miette::Result<Result<Vec<u8>, Exit>> {
    let given = args.component.as_deref().or(args.no_seal.then(|| manifest.source()));
    if let Some(file) = given {
        let bytes = std::fs::read(file);
        return bytes.into_diagnostic().wrap_err_with(|| format!("the component `{}` cannot be read", file.display())).map(Ok);
    }
    progress.step("reading policies and keys");
    let bundle = files::read_bundle(&args.policies, &args.keys, args.dev)?;
    let kept = manifest.source().with_file_name("up.wasm");
    let kept = if manifest.source().ends_with("target/sealed/cedargate.wasm") { kept } else { KEPT.into() };
    // Without the base, what was sealed from the same policies before will do.
    let base = if args.base.exists() { Some(read_base(&args.base)?) } else { None };
    let fits = |file: &Path| std::fs::read(file).ok().filter(|bytes| is_from(bytes, base.as_deref(), &bundle));
    if let Some(bytes) = fits(manifest.source()).or_else(|| fits(&kept)) {
        return Ok(Ok(bytes));
    }
    let base = match base {
        Some(base) => base,
        None => read_base(&args.base)?,
    };
    progress.step("sealing");
    match host::seal(&base, &bundle) {
        Ok(sealed) => {
            write_whole(&kept, &sealed.component)?;
            Ok(Ok(sealed.component))
        }
        Err(error) => refused(error).map(Err),
    }
}

/// Whether a sealed component was made from this base and this bundle.
fn is_from(component: &[u8], base: Option<&[u8]>, bundle: &Bundle) -> bool {
    describe(component).is_some_and(|description| {
        description.policy_digest == bundle.digest().to_string()
            && base.is_none_or(|base| description.base_digest == Digest::of(base).to_string())
    })
}

/// Says where the gate is and what to try. On standard error: standard output is for records.
fn greet(args: &UpArgs, server: &Server, origin: &str, demo: bool) -> miette::Result<()> {
    let url = server.url();
    anstream::eprintln!("cedargate serves {url}");
    if demo {
        anstream::eprintln!("behind it is a demo API ({origin}); --origin URL puts your own there");
    } else if !origin.is_empty() {
        anstream::eprintln!("behind it is {origin}");
    }
    let insecure = if args.tls_cert.is_some() { " -k" } else { "" };
    let status = r"-s -o /dev/null -w '%{http_code}\n'";
    anstream::eprintln!();
    if args.dev {
        let alice = token::dev_token(&args.keys, "alice", &["readers"], &[])?;
        anstream::eprintln!("allowed (200):\n  curl{insecure} {status} -H 'authorization: Bearer {alice}' {url}/api/documents/1\n");
        anstream::eprintln!(
            "denied by policy (403):\n  curl{insecure} {status} -X DELETE -H 'authorization: Bearer {alice}' {url}/api/documents/1\n"
        );
    }
    anstream::eprintln!("no token (401):\n  curl{insecure} {status} {url}/api/documents/1\n");
    if !args.dev {
        anstream::eprintln!("with --dev it also takes development tokens: see `cedargate token --help`\n");
    }
    Ok(())
}

/// Waits for SIGINT or SIGTERM.
async fn told_to_stop() -> miette::Result<()> {
    #[cfg(unix)]
    {
        use tokio::signal::unix::{SignalKind, signal};
        let mut terminate = signal(SignalKind::terminate()).into_diagnostic()?;
        tokio::select! {
            interrupted = tokio::signal::ctrl_c() => interrupted.into_diagnostic(),
            _ = terminate.recv() => Ok(()),
        }
    }
    #[cfg(not(unix))]
    tokio::signal::ctrl_c().await.into_diagnostic()
}

fn pair(text: &str) -> Result<(String, String), String> {
    match text.split_once('=') {
        Some((name, value)) if !name.is_empty() => Ok((name.trim().to_owned(), value.to_owned())),
        _ => Err("it is not of the form NAME=VALUE".into()),
    }
}

fn time(text: &str) -> Result<UnixTime, String> {
    if let Ok(seconds) = text.parse() {
        return Ok(UnixTime(seconds));
    }
    text.parse::<Timestamp>()
        .map(|time| UnixTime(time.as_second()))
        .map_err(|_| "it is neither RFC 3339 (2026-01-31T12:00:00Z) nor a number of seconds since 1970".into())
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
    fn times_are_rfc_3339_or_seconds() {
        assert_eq!(time("1700000000"), Ok(UnixTime(1_700_000_000)));
        assert_eq!(time("2023-11-14T22:13:20Z"), Ok(UnixTime(1_700_000_000)));
        assert_eq!(time("2023-11-14T23:13:20+01:00"), Ok(UnixTime(1_700_000_000)));
        assert!(time("tomorrow").is_err() && time("2023-11-14").is_err());
    }

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
