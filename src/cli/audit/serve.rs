//! `cedargate audit serve`: the auditor's console, in a browser of this machine.

mod api;
mod explain;
mod figures;
mod follow;
mod histogram;
mod ingest;
mod metrics;
mod records;
mod server;
mod status;
mod store;
mod wanted;
mod writer;

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

use miette::{IntoDiagnostic as _, WrapErr as _};

use super::super::archive::ARCHIVE;
use super::super::up::Signals;
use super::super::{Exit, exit, output, sign};
use super::scan::one_line;
use super::verify::KEYS;
use explain::Explainer;
use follow::Follower;
use ingest::{Shared, Trust};
use store::Store;

/// How long answers may go on after the end was asked for.
const GRACE: Duration = Duration::from_secs(2);

const EXAMPLES: &str = r"
cedargate audit serve records.jsonl
    look at a log, and at what is added to it
cedargate audit serve logs/*.jsonl --keyring audit-keys.json
    and whether it is what the gates wrote
zcat records.jsonl.gz | cedargate audit serve - --port 0 --slo-ms 20
    a compressed log on a free port, held against 20 ms";

/// Look at decision logs in a browser
///
/// Serves a console on 127.0.0.1, for this machine alone: decisions as they come, figures and their history, every record whole,
/// and whether the chains are intact. It reads the logs and changes nothing; what it keeps meanwhile is removed at the end. Prometheus
/// finds the same figures under /metrics.
#[derive(Debug, clap::Args)]
#[command(after_help = exit::help(EXAMPLES, &[Exit::Ok, Exit::Failed]))]
pub struct ServeArgs {
    /// Decision logs, one record on each line; they may grow. `-` is standard input
    #[arg(value_name = "FILE", required = true)]
    files: Vec<PathBuf>,
    /// The port to listen on; 0 takes a free one
    #[arg(long, value_name = "NUMBER", default_value_t = 8484)]
    port: u16,
    /// The file with the keyring that chains are verified with; without it the variable SPIN_VARIABLE_AUDIT_KEYS may hold it
    #[arg(long, value_name = "FILE")]
    keyring: Option<PathBuf>,
    /// Chains may begin before these files do, as they do in a log that was rotated
    #[arg(long)]
    open_start: bool,
    /// Where `seal` and `up` keep what they sealed: records are explained with the policies of then
    #[arg(long, value_name = "DIR", default_value = ARCHIVE)]
    archive: PathBuf,
    /// The time a decision should take at most, in milliseconds
    #[arg(long, value_name = "NUMBER", default_value_t = 50)]
    slo_ms: u32,
}

/// Runs `cedargate audit serve` until it is told to end.
///
/// # Errors
/// When a log or the keyring cannot be read, or the port is taken.
pub fn run(args: &ServeArgs) -> miette::Result<Exit> {
    let ServeArgs { files, port, keyring, open_start, archive, slo_ms } = args;
    let trust = sign::keyring(keyring.as_deref(), KEYS)?.map(|keyring| Trust { keyring, open_start: *open_start });
    let mut followers = Vec::new();
    for file in files {
        let opened = Follower::open(file).into_diagnostic();
        followers.push(opened.wrap_err_with(|| format!("could not read {}", one_line(&file.display().to_string())))?);
    }
    let names: Vec<String> = files.iter().map(|file| ingest::name(file)).collect();
    let (store, writer) = Store::new()?;
    let shared = Arc::new(Shared::default());
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().into_diagnostic()?;
    let result = runtime.block_on(async {
        let mut signals = Signals::catch()?;
        let (listener, address) = server::listen(*port).await?;
        let reader = std::thread::spawn({
            let shared = Arc::clone(&shared);
            move || ingest::run(followers, &names, writer, trust.as_ref(), &shared)
        });
        let slo_micros = u64::from(*slo_ms).saturating_mul(1000);
        let explainer = Explainer::new(archive.clone());
        let console = Arc::new(api::Console { store, shared: Arc::clone(&shared), slo_micros, explainer });
        let server = tokio::spawn(server::serve(listener, console));
        output::stderr(&format!("the console is at http://{address}/\nCtrl-C ends it\n"));
        let ended = signals.next().await;
        server.abort();
        shared.stop.store(true, Relaxed);
        reader.thread().unpark();
        // It has nothing to say beyond what the pages said.
        drop(tokio::task::spawn_blocking(move || reader.join()).await);
        ended
    });
    runtime.shutdown_timeout(GRACE);
    result.map(|()| Exit::Ok)
}
