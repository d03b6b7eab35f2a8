//! `cedargate try`: one request through the whole pipeline, each stage shown.

mod input;
pub(super) mod text;

use std::net::IpAddr;
use std::path::PathBuf;
use std::sync::Arc;

use serde_json::{Value, json};

use super::files::{self, Folders};
use super::output::{self, Format};
use super::sign::{self, text as secret};
use super::{Exit, exit, time};
use crate::bundle::Gate;
use crate::decision::{self, Decision, Denial, Knowledge, UnixTime};
use crate::enforce::{Answer, Challenge};
use crate::identity::{Answers, Deployment, Presented, Secret, Supply};
use crate::policy::{Explanation, Purpose};
use crate::request::{self, Facts, Proxies, RawRequest, Reading};
use input::{Sent, Wire};

/// Where a token is found when no file is named.
const TOKEN: &str = "CEDARGATE_TOKEN";
/// The terminator's secret, as `up` and Spin take it.
const TERMINATOR: &str = "SPIN_VARIABLE_MTLS_TERMINATOR_SECRET";

const EXAMPLES: &str = r"
cedargate try GET /api/documents/1 --token-file token.txt
    what the gate would make of it, stage by stage
cedargate try --curl 'curl -X DELETE https://api.example.com/api/documents/1'
    the same for a command line that somebody sent you
cedargate try --request request.http --client 203.0.113.9 --format json
    a raw HTTP/1.1 request, as it came from that address";

/// Put one request through the gate's pipeline, here
///
/// Reads the request as the gate does, verifies its credentials with the keys in keys/, asks the policies in policies/, and shows what
/// each stage made of it: facts, credentials, identity, the Cedar request with its entities, the clauses of the policies, the decision
/// and the answer. Never touches the network: keys that are fetched, revocations and status lists are not asked.
#[derive(Debug, clap::Args)]
#[command(after_help = exit::help(EXAMPLES, &[Exit::Ok, Exit::Failed, Exit::Denied, Exit::Invalid]))]
pub struct TryArgs {
    #[command(flatten)]
    folders: Folders,
    #[command(flatten)]
    asked: Asked,
    /// How the answer is written: `json` is an object of the stages
    #[arg(long, value_enum, default_value_t, hide_possible_values = true, value_name = "human|json")]
    format: Format,
}

/// A request, and the circumstances it is sent in.
#[derive(Debug, clap::Args)]
pub(super) struct Asked {
    #[command(flatten)]
    sent: Sent,
    /// The file with the caller's token; without it the variable CEDARGATE_TOKEN holds it, if there is one
    #[arg(long, value_name = "FILE")]
    token_file: Option<PathBuf>,
    /// The client's address
    #[arg(long, value_name = "ADDRESS")]
    client: Option<IpAddr>,
    /// The time, instead of now
    #[arg(long, value_name = "TIME", value_parser = time::parse_time, allow_hyphen_values = true)]
    now: Option<UnixTime>,
}

/// What became of a request.
pub(super) struct Tried {
    /// Its method and target, as they were sent.
    pub(super) line: String,
    /// What was understood; or why nothing was.
    pub(super) facts: Result<Facts, Denial>,
    pub(super) decision: Decision,
    pub(super) explanation: Option<Explanation>,
    /// The answer's status and head; of a permit what the origin says.
    pub(super) answer: Option<Answer>,
}

/// Runs `cedargate try`.
///
/// # Errors
/// When the request cannot be put together, a file cannot be read, or policies or keys are not valid.
pub fn run(args: &TryArgs) -> miette::Result<Exit> {
    let TryArgs { folders, asked, format } = args;
    let tried = asked.put(folders)?;
    output::stdout(&match format {
        Format::Human => text::human(&tried),
        Format::Json => output::json(&told(&tried))?,
    })?;
    Ok(if tried.decision.outcome.is_ok() { Exit::Ok } else { Exit::Denied })
}

impl Asked {
    /// Whether nothing is asked.
    pub(super) fn is_empty(&self) -> bool {
        self.sent.is_empty()
    }

    /// Puts the request through the pipeline of the gate that these folders make.
    ///
    /// # Errors
    /// When it cannot be put together, a file cannot be read, or policies or keys are not valid.
    pub(super) fn put(&self, folders: &Folders) -> miette::Result<Tried> {
        let Self { sent, token_file, client, now } = self;
        let mut wire = sent.read()?;
        if let Some(token) = secret(token_file.as_deref(), TOKEN)? {
            wire.headers.push(("authorization".to_owned(), format!("Bearer {}", token.trim()).into_bytes()));
        }
        if let Some(client) = client {
            // As the runtime tells it: with a port, and last.
            let address = std::net::SocketAddr::new(*client, 1).to_string();
            wire.headers.push(("spin-client-addr".to_owned(), address.into_bytes()));
        }
        let (_, gate) = files::load(&folders.policies, &folders.keys, folders.dev)?;
        Ok(put(&wire, &gate, &deployment()?, now.unwrap_or_else(time::now)))
    }
}

fn put(wire: &Wire, gate: &Gate, deployment: &Deployment, now: UnixTime) -> Tried {
    let line = format!("{} {}", wire.method, wire.target);
    let raw = RawRequest {
        method: &wire.method,
        scheme: Some(if wire.https { "https" } else { "http" }),
        authority: wire.authority.as_deref(),
        path_with_query: Some(&wire.target),
        headers: &wire.headers,
    };
    let reading = Reading { signed_urls: gate.signed_urls().is_some(), proxies: Proxies::default() };
    match request::read(&raw, reading) {
        Err(denial) => {
            let decision = Decision::denied(denial.clone());
            let answer = Some(Answer::denial(&decision, None, ID));
            Tried { line, facts: Err(denial), decision, explanation: None, answer }
        }
        Ok((facts, evidence)) => {
            let presented = Presented::read(&evidence);
            // Offline there are no fetched keys; a token that needs some is told so.
            let need = presented.key_need(gate);
            let supply = if need.is_some() { Supply::Stale } else { Supply::NotNeeded };
            let answers = Answers::default();
            let knowledge = Knowledge { deployment, supply, answers: &answers };
            let decision = decision::decide(gate, &facts, &evidence, knowledge, now);
            let explanation = decision.verdict.is_some().then(|| gate.policy().explain(&facts, &decision.identity, Purpose::Request, now));
            let challenge = Challenge { gate, facts: &facts, deployment, now };
            let answer = decision.outcome.is_err().then(|| Answer::denial(&decision, Some(&challenge), ID));
            Tried { line, facts: Ok(facts), decision, explanation, answer }
        }
    }
}

/// Stands where a gate draws an id.
const ID: &str = "00000000-0000-7000-8000-000000000000";

fn deployment() -> miette::Result<Deployment> {
    let keyring = Arc::new(sign::keyring(None, sign::KEYS)?.unwrap_or_default());
    let terminator = secret(None, TERMINATOR)?.and_then(Secret::new);
    Ok(Deployment { keyring, terminator_secrets: terminator.into_iter().collect(), ..Deployment::default() })
}

fn told(tried: &Tried) -> Value {
    let Tried { line: _, facts, decision, explanation, answer } = tried;
    let verdict = decision.verdict.as_ref();
    json!({
        "request": facts.as_ref().ok().map(|facts| json!({
            "method": facts.method.as_str(), "https": facts.https, "host": facts.host, "path": facts.path.raw(),
            "segments": facts.path.segments(), "query": facts.parameters, "client": facts.client,
        })),
        "credentials": decision.credentials.iter().map(text::credential_json).collect::<Vec<_>>(),
        "identity": text::identity_json(&decision.identity),
        "cedar": verdict.map(|verdict| json!({
            "principal": verdict.principal, "action": verdict.action, "resource": verdict.resource,
            "context": explanation.as_ref().map(|explanation| &explanation.context),
            "entities": explanation.as_ref().map(|explanation| &explanation.entities),
        })),
        "policies": explanation.as_ref().map(|explanation| super::audit::Told::of(explanation).json()),
        "decision": if decision.outcome.is_ok() { "allow" } else { "deny" },
        "reason": decision.reason().code(),
        "detail": decision.outcome.as_ref().err().map(|denial| &denial.detail),
        "errors": verdict.map(|verdict| &verdict.errors),
        "answer": answer.as_ref().map(|answer| json!({
            "status": answer.status,
            "headers": answer.headers.iter().map(|(name, value)| (name, String::from_utf8_lossy(value))).collect::<Vec<_>>(),
        })),
    })
}
