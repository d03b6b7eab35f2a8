//! `cedargate revoke`: cut a caller off at a running gate, or take that back.

use std::path::{Path, PathBuf};

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use http::Method;
use http::header::{AUTHORIZATION, CONTENT_TYPE, HeaderValue};
use jiff::Timestamp;
use miette::{IntoDiagnostic as _, WrapErr as _, miette};
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject as _;
use serde_json::{Map, Value, json};

use super::http::{Answer, GateUrl, send};
use super::output::{Format, visible};
use super::{Exit, exit, output, time};
use crate::bundle::{Digest, hex};
use crate::decision::UnixTime;
use crate::identity::serial_text;

/// The variable with the caller's own token, where no file is named.
const TOKEN: &str = "CEDARGATE_TOKEN";
const PATH: &str = "/.well-known/cedargate/revocations";

const EXAMPLES: &str = r"
cedargate revoke --gate https://gate.example --token stolen.jwt
    one token, while it is valid; your own is in CEDARGATE_TOKEN
cedargate revoke --gate https://gate.example --issuer corp --subject alice
    everything alice has; with --issued-before a new login works
cedargate revoke --gate https://gate.example --certificate laptop.pem
    one client certificate, until it expires
cedargate revoke --gate https://gate.example --issuer corp --undo
    the revocation of a whole issuer, taken back";

/// Cut a caller off at a running gate, or take that back
///
/// Asks the gate to change its revocation list, which all gates with the same key-value store share. The gate decides with its own
/// policies whether the caller's token may do that.
#[derive(Debug, clap::Args)]
#[command(after_help = exit::help(EXAMPLES, &[Exit::Ok, Exit::Failed, Exit::Denied]))]
pub struct RevokeArgs {
    /// The gate: https://api.example.com, or http://127.0.0.1:3000 on this machine
    #[arg(long, value_name = "URL", value_parser = GateUrl::parse)]
    gate: GateUrl,
    /// The file with your own token; without it the variable CEDARGATE_TOKEN holds the token
    #[arg(long, value_name = "FILE")]
    token_file: Option<PathBuf>,
    /// Revoke the token in this file
    #[arg(long, value_name = "FILE", group = "what", conflicts_with_all = ["issuer", "issued_before"])]
    token: Option<PathBuf>,
    /// Revoke the issuer's token with this id (`jti`)
    #[arg(long, value_name = "ID", group = "what", requires = "issuer", conflicts_with = "issued_before")]
    jti: Option<String>,
    /// Revoke the tokens of this subject, as the issuer's tokens name it
    #[arg(long, value_name = "SUBJECT", group = "what", requires = "issuer")]
    subject: Option<String>,
    /// Revoke the tokens of this session (`sid`)
    #[arg(long, value_name = "ID", group = "what", requires = "issuer", conflicts_with = "issued_before")]
    session: Option<String>,
    /// Revoke the client certificate in this PEM file, the first one in it
    #[arg(long, value_name = "FILE", group = "what", conflicts_with_all = ["issuer", "issued_before"])]
    certificate: Option<PathBuf>,
    /// The issuer: its name in keys/issuers.toml, or its `iss`; alone, all its tokens are revoked
    #[arg(long, value_name = "ISSUER")]
    issuer: Option<String>,
    /// Only what was issued before this time: 2026-03-01T09:30:00Z or seconds since 1970; without it, later tokens too
    #[arg(long, value_name = "TIME", value_parser = time::parse_time)]
    issued_before: Option<UnixTime>,
    /// When the revocation may be forgotten; of a token or certificate in a file, when that expires
    #[arg(long, value_name = "TIME", value_parser = time::parse_time)]
    expires_at: Option<UnixTime>,
    /// Why, for the list and the gate's records
    #[arg(long, value_name = "TEXT")]
    reason: Option<String>,
    /// Take the revocation back
    #[arg(long, conflicts_with_all = ["issued_before", "expires_at"])]
    undo: bool,
    /// Trust the certificates in this PEM file for the gate's TLS, and no others
    #[arg(long, value_name = "FILE")]
    ca: Option<PathBuf>,
    /// How the answer is written
    #[arg(long, value_enum, default_value_t, hide_possible_values = true, value_name = "human|json")]
    format: Format,
}

/// Runs `cedargate revoke`.
///
/// # Errors
/// When a file cannot be read, nothing is named, or the gate gives no answer.
pub fn run(args: &RevokeArgs) -> miette::Result<Exit> {
    let body = body(args)?;
    let token = own_token(args.token_file.as_deref())?;
    if args.gate.is_exposed() {
        output::stderr(&format!("warning: your token goes to {} without TLS\n", args.gate));
    }
    let mut authorization =
        HeaderValue::try_from(format!("Bearer {token}")).map_err(|_| miette!("your token is not one line of visible characters"))?;
    authorization.set_sensitive(true);
    let method = if args.undo { Method::DELETE } else { Method::POST };
    let request = http::Request::builder().method(method).uri(PATH);
    let request = request.header(AUTHORIZATION, authorization).header(CONTENT_TYPE, "application/json");
    let answer = send(&args.gate, request, body.to_string().into_bytes(), args.ca.as_deref())?;
    tell(args, &answer)
}

/// What the gate is asked, as its endpoint takes it.
fn body(args: &RevokeArgs) -> miette::Result<Value> {
    let RevokeArgs { token, jti, subject, session, certificate, issuer, issued_before, expires_at, reason, undo, .. } = args;
    let mut until = *expires_at;
    let (kind, mut target) = match (token, jti, subject, session, certificate, issuer) {
        (Some(path), ..) => {
            let (target, exp) = of_token(&line(path)?).wrap_err_with(|| format!("`{}`", path.display()))?;
            until = until.or(exp);
            ("token_id", target)
        }
        (_, Some(jti), ..) => ("token_id", json!({ "issuer": issuer, "jti": jti })),
        (_, _, Some(subject), ..) => ("subject", json!({ "issuer": issuer, "sub": subject })),
        (_, _, _, Some(sid), ..) => ("session", json!({ "issuer": issuer, "sid": sid })),
        (_, _, _, _, Some(path), _) => {
            let (target, not_after) = of_certificate(path).wrap_err_with(|| format!("`{}`", path.display()))?;
            until = until.or(Some(not_after));
            ("certificate", target)
        }
        (.., Some(issuer)) => ("issuer", json!({ "issuer": issuer })),
        (.., None) => {
            let help = "name a token, a token id, a subject, a session, a certificate or an issuer: see `cedargate revoke --help`";
            return Err(miette!(help = help, "nothing to revoke"));
        }
    };
    let mut body = Map::new();
    if let (Some(UnixTime(seconds)), Some(target)) = (issued_before, target.as_object_mut()) {
        target.insert("issued_before".to_owned(), json!(seconds));
    }
    body.insert(kind.to_owned(), target);
    // Where it is taken back nothing expires.
    if let (Some(UnixTime(seconds)), false) = (until, *undo) {
        body.insert("expires_at".to_owned(), json!(seconds));
    }
    if let Some(reason) = reason {
        body.insert("reason".to_owned(), json!(reason));
    }
    Ok(Value::Object(body))
}

/// Issuer, id and expiry of a token. Nothing is verified: the gate refuses an issuer it does not know, and revoking a token that
/// never was does no harm.
fn of_token(token: &str) -> miette::Result<(Value, Option<UnixTime>)> {
    let claims = token.split('.').nth(1).and_then(|part| URL_SAFE_NO_PAD.decode(part).ok());
    let claims: Option<Map<String, Value>> = claims.and_then(|bytes| serde_json::from_slice(&bytes).ok());
    let claims = claims.ok_or_else(|| miette!("the file does not hold a token of three parts (RFC 7515, section 7.1)"))?;
    let text = |name: &str| claims.get(name).and_then(Value::as_str);
    let issuer = text("iss").ok_or_else(|| miette!("the token has no `iss`"))?;
    let help = "revoke its subject with `--issuer` and `--subject`, or its session with `--session`";
    let jti = text("jti").ok_or_else(|| miette!(help = help, "the token has no id (`jti`)"))?;
    let exp = claims.get("exp").and_then(|exp| exp.as_i64().or_else(|| exp.as_f64().and_then(whole)));
    Ok((json!({ "issuer": issuer, "jti": jti }), exp.map(UnixTime)))
}

/// The second a time with a fraction has reached by its end.
fn whole(seconds: f64) -> Option<i64> {
    format!("{:.0}", seconds.ceil()).parse().ok()
}

/// Issuer, serial number and expiry of a certificate.
fn of_certificate(path: &Path) -> miette::Result<(Value, UnixTime)> {
    let der = CertificateDer::from_pem_file(path).into_diagnostic()?;
    let (_, certificate) = x509_parser::parse_x509_certificate(&der).map_err(|error| miette!("not a certificate: {error}"))?;
    let serial = hex(certificate.raw_serial());
    let target = json!({
        "issuer_digest": Digest::of(certificate.issuer().as_raw()).to_string(),
        "serial": serial_text(&serial),
    });
    Ok((target, UnixTime(certificate.validity().not_after.timestamp())))
}

fn own_token(file: Option<&Path>) -> miette::Result<String> {
    match file {
        Some(path) => line(path),
        None => std::env::var(TOKEN).map(|token| token.trim().to_owned()).ok().filter(|token| !token.is_empty()).ok_or_else(|| {
            let help = format!("name its file with `--token-file`, or put it into {TOKEN}");
            miette!(help = help, "no token to show to the gate")
        }),
    }
}

/// A file with one token.
fn line(path: &Path) -> miette::Result<String> {
    let shown = || format!("`{}`", path.display());
    let text = std::fs::read_to_string(path).into_diagnostic().wrap_err_with(shown)?;
    let token = text.trim();
    if token.is_empty() { Err(miette!("{} is empty", shown())) } else { Ok(token.to_owned()) }
}

/// Says what the gate answered.
fn tell(args: &RevokeArgs, answer: &Answer) -> miette::Result<Exit> {
    let Answer { status, decision_id, body } = answer;
    let gate = &args.gate;
    let mut told: Map<String, Value> = serde_json::from_slice(body).unwrap_or_default();
    let Some(id) = decision_id.as_deref().map(visible) else {
        return Err(miette!("what answered {status} at `{gate}` is not a gate: its answer has no decision id"));
    };
    if (200..300).contains(status) {
        let text = match args.format {
            Format::Human => done(&told, &id),
            Format::Json => {
                told.insert("decision_id".to_owned(), json!(id));
                output::json(&told)?
            }
        };
        output::stdout(&text)?;
        return Ok(Exit::Ok);
    }
    let text = |name: &str| told.get(name).and_then(Value::as_str).map(visible).unwrap_or_default();
    let (code, detail) = (text("code"), text("detail"));
    let (message, help) = match status {
        401 => (format!("the gate does not accept your token (`{code}`)"), "has it expired? its record names the reason"),
        403 => (format!("your token may not revoke (`{code}`)"), "a policy must permit `Gate::Action::\"revoke\"` to you"),
        404 if args.undo => ("that is not revoked".to_owned(), "what is named must be exactly what was revoked"),
        503 => (format!("the gate could not do it (`{code}`)"), "has it a key-value store? its record names the reason"),
        _ if detail.is_empty() => (format!("the gate answered {status} (`{code}`)"), "its record names the reason"),
        _ => (format!("the gate answered {status}: {detail}"), "its record names the reason"),
    };
    let report = miette!(help = format!("{help}: decision {id}"), "{message}");
    if matches!(status, 401 | 403) {
        super::diagnostic::show(&report);
        return Ok(Exit::Denied);
    }
    Err(report)
}

/// What was done, in words.
fn done(told: &Map<String, Value>, decision_id: &str) -> String {
    let text = |name: &str| told.get(name).and_then(Value::as_str).map(visible);
    let time = |name: &str| {
        let seconds = told.get(name).and_then(Value::as_i64)?;
        Timestamp::from_second(seconds).ok().map(|time| time.to_string())
    };
    let mut out = match (text("revoked"), text("restored")) {
        (Some(kind), _) => format!("revoked: {kind}"),
        (None, Some(kind)) => format!("no longer revoked: {kind}"),
        (None, None) => "done".to_owned(),
    };
    if let Some(before) = time("issued_before") {
        out.push_str(&format!(", issued before {before}"));
    }
    if let Some(until) = time("expires_at") {
        out.push_str(&format!(", until {until}"));
    }
    if let Some(within) = told.get("effective_within_ms").and_then(Value::as_u64) {
        out.push_str(&format!("\nevery gate knows within {within} ms"));
    }
    if let Some(id) = text("id") {
        out.push_str(&format!("\nentry {id}"));
    }
    out.push_str(&format!("\ndecision {decision_id}\n"));
    out
}

#[cfg(test)]
#[path = "revoke_tests.rs"]
mod tests;
