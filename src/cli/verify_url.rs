//! `cedargate verify-url`: what a gate would make of a signed URL.

use std::net::IpAddr;
use std::path::PathBuf;

use miette::miette;
use serde_json::json;

use super::files::{self, Folders};
use super::output::{self, Format, visible};
use super::sign::{base_of, config, deployment, read};
use super::{Exit, exit, time};
use crate::decision::{self, Decision, Knowledge, UnixTime};
use crate::identity::{Answers, CredentialKind, Fate, Supply};
use crate::signed_url::{COOKIE, LinkIdentity};

const EXAMPLES: &str = r"
cedargate verify-url 'https://api.example.com/api/documents/1?cg-v=1&…'
    the keyring is in SPIN_VARIABLE_SIGNED_URL_KEYS
cedargate verify-url --client 192.0.2.7 --now 2026-03-01T09:30:00Z 'https://…'
    from an address, at a time
cedargate verify-url --cookie 'cg-v=1&…' https://a.example/media/42/1.ts
    a link that a cookie carries";

/// Say what a gate would make of a signed URL
///
/// Verifies the link with the deployment's keys and asks the policies in policies/, as the gate does when it is used. Shows who had it
/// made, for whom, and what was decided.
#[derive(Debug, clap::Args)]
#[command(after_help = exit::help(EXAMPLES, &[Exit::Ok, Exit::Failed, Exit::Denied, Exit::Invalid, Exit::VerificationFailed]))]
pub struct VerifyUrlArgs {
    #[command(flatten)]
    folders: Folders,
    /// The URL
    #[arg(value_name = "URL")]
    url: String,
    /// The method it is used with
    #[arg(long, value_name = "METHOD", default_value = "GET")]
    method: String,
    /// The value of the cookie that carries the link
    #[arg(long, value_name = "VALUE")]
    cookie: Option<String>,
    /// The file with the keyring; without it the variable SPIN_VARIABLE_SIGNED_URL_KEYS holds it
    #[arg(long, value_name = "FILE")]
    keyring: Option<PathBuf>,
    /// The address it is used from
    #[arg(long, value_name = "ADDRESS")]
    client: Option<IpAddr>,
    /// The time, instead of now
    #[arg(long, value_name = "TIME", value_parser = time::parse_time, allow_hyphen_values = true)]
    now: Option<UnixTime>,
    /// How the answer is written: `json` is an object of {decision, reason, detail, policies, cedar, link}
    #[arg(long, value_enum, default_value_t, hide_possible_values = true, value_name = "human|json")]
    format: Format,
}

/// Runs `cedargate verify-url`.
///
/// # Errors
/// When a file cannot be read, there is no link, or policies or keys are not valid.
pub fn run(args: &VerifyUrlArgs) -> miette::Result<Exit> {
    let (_, gate) = files::load(&args.folders.policies, &args.folders.keys, args.folders.dev)?;
    config(&gate)?;
    let deployment = deployment(args.keyring.as_deref(), None)?;
    let now = args.now.unwrap_or_else(time::now);
    let base = base_of(&args.url)?;
    let target = args.url.split_once("://").and_then(|(_, rest)| rest.find('/').and_then(|at| rest.get(at..))).unwrap_or("/");
    let headers: Vec<_> = args.cookie.iter().map(|value| ("cookie".to_owned(), format!("{COOKIE}={value}").into_bytes())).collect();
    let (mut facts, evidence) = read(&args.method, &base, target, &headers)?;
    facts.client = args.client;
    if evidence.signed_url.is_none() && evidence.signed_cookies.is_empty() {
        return Err(miette!(help = "quote it: a shell takes `&` for its own", "the URL has no parameters of a signed URL"));
    }
    let answers = Answers::default();
    let knowledge = Knowledge { deployment: &deployment, supply: Supply::NotNeeded, answers: &answers };
    let decision = decision::decide(&gate, &facts, &evidence, knowledge, now);
    output::stdout(&match args.format {
        Format::Json => output::json(&told(&decision))?,
        Format::Human => human(&decision),
    })?;
    let refused = decision.credentials.iter().any(|one| one.kind == CredentialKind::SignedUrl && matches!(one.fate, Fate::Refused(_)));
    Ok(match (&decision.outcome, refused) {
        (Ok(_), _) => Exit::Ok,
        (Err(_), true) => Exit::VerificationFailed,
        (Err(_), false) => Exit::Denied,
    })
}

fn parts(decision: &Decision) -> (&'static str, &'static str, &str) {
    match &decision.outcome {
        Ok(_) => ("allow", decision.reason().code(), ""),
        Err(denial) => ("deny", denial.reason.code(), denial.detail.as_str()),
    }
}

fn told(decision: &Decision) -> serde_json::Value {
    let (word, reason, detail) = parts(decision);
    let verdict = decision.verdict.as_ref();
    json!({
        "decision": word,
        "reason": reason,
        "detail": detail,
        "policies": verdict.map(|verdict| verdict.determining.iter().map(|policy| policy.id.clone()).collect::<Vec<_>>()),
        "cedar": verdict.map(|verdict| json!({"principal": verdict.principal, "action": verdict.action, "resource": verdict.resource})),
        "link": decision.identity.link().map(|link| json!({
            "id": link.id,
            "key_id": link.key_id,
            "issuer": link.issuer,
            "subject": link.subject,
            "issued_at": link.issued_at.0,
            "expires_at": link.expires_at.0,
            "prefix": link.prefix,
            "policy_digest": link.policy_digest.to_string(),
        })),
    })
}

fn human(decision: &Decision) -> String {
    let (word, reason, detail) = parts(decision);
    let mut out = format!("{word}: {reason}\n");
    if !detail.is_empty() {
        out.push_str(&format!("  {}\n", visible(detail)));
    }
    if let Some(LinkIdentity { id, key_id, issuer, subject, issued_at, expires_at, prefix, .. }) = decision.identity.link() {
        let at = |at: &UnixTime| time::show(*at);
        out.push_str(&format!("link      {id}{}\n", if *prefix { ", everything below its path" } else { "" }));
        out.push_str(&format!("key       {}\n", visible(key_id)));
        out.push_str(&format!("made by   {}\n", visible(issuer)));
        out.push_str(&format!("for       {}\n", visible(subject)));
        out.push_str(&format!("made      {}\nends      {}\n", at(issued_at), at(expires_at)));
    }
    if let Some(verdict) = &decision.verdict {
        out.push_str(&format!("asked     {} on {}\n", visible(&verdict.action), visible(&verdict.resource)));
        let by: Vec<_> = verdict.determining.iter().map(|policy| policy.id.as_str()).collect();
        out.push_str(&format!("policies  {}\n", if by.is_empty() { "none applied".to_owned() } else { visible(&by.join(", ")) }));
    }
    out
}
