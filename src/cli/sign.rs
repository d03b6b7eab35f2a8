//! `cedargate sign`: a signed URL without a running gate, after the same decision.

use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use miette::{IntoDiagnostic as _, WrapErr as _, miette};
use serde_json::{Map, Value, json};

use super::files::{self, Folders};
use super::output::{self, Format, visible};
use super::{Exit, diagnostic, exit, time};
use crate::bundle::Gate;
use crate::decision::{self, SigningDecision, UnixTime};
use crate::enforce::{Answer, SignedItem};
use crate::identity::{Answers, Deployment, Presented, PublicUrl, Supply};
use crate::policy::Scan;
use crate::request::{Facts, RawRequest, Reading};
use crate::signed_url::{self, Issuer, Keyring, ServiceCredentials, SignOrder, SignedUrls};

/// The variables of a deployment, where no file is named.
pub(super) const KEYS: &str = "SPIN_VARIABLE_SIGNED_URL_KEYS";
const CREDENTIALS: &str = "SPIN_VARIABLE_SIGNED_URL_CREDENTIALS";
/// The caller's own token, where no file is named.
const TOKEN: &str = "CEDARGATE_TOKEN";

const EXAMPLES: &str = r"
cedargate sign --url https://api.example.com/api/documents/1 --expires-in 1h
    a link to read one document; the caller's token is in CEDARGATE_TOKEN, the keyring in SPIN_VARIABLE_SIGNED_URL_KEYS
cedargate sign --url https://api.example.com/media/42 --prefix --expires-in 2h
    everything below a folder; with --ip from one address only
cedargate sign --url https://a.example/m/1 --expires-in 5m --as aws-sigv4
    a presigned download; with --method PUT an upload, where keys/signed-urls.toml has a bucket for the path";

/// Make a signed URL without a running gate
///
/// Decides as the gate does at /.well-known/cedargate/sign: the caller's token is verified with the keys in keys/, and the policies must
/// permit `sign` and the method itself. Only then is the URL made, with the deployment's own keys. Issuers with published keys and
/// revocations are not asked.
#[derive(Debug, clap::Args)]
#[command(after_help = exit::help(EXAMPLES, &[Exit::Ok, Exit::Failed, Exit::Denied, Exit::Invalid]))]
pub struct SignArgs {
    #[command(flatten)]
    folders: Folders,
    /// The URL as callers use it, with the gate's own host
    #[arg(long, value_name = "URL")]
    url: String,
    /// A method it is for; may be given again
    #[arg(long = "method", value_name = "METHOD", default_value = "GET")]
    methods: Vec<String>,
    /// How long it lasts: 90s, 10m, 1h 30m, 2d
    #[arg(long, value_name = "DURATION", value_parser = time::parse_seconds)]
    expires_in: i64,
    /// When it begins to count: 2026-03-01T09:30:00Z or seconds since 1970
    #[arg(long, value_name = "TIME", value_parser = time::parse_time)]
    not_before: Option<UnixTime>,
    /// Grant everything below the path
    #[arg(long)]
    prefix: bool,
    /// Only from this address
    #[arg(long, value_name = "ADDRESS", conflicts_with = "cidr")]
    ip: Option<String>,
    /// Only from this network
    #[arg(long, value_name = "NETWORK")]
    cidr: Option<String>,
    /// Who it is for
    #[arg(long = "for", value_name = "NAME")]
    subject: Option<String>,
    /// What kind of URL: cedargate, cedargate-cookie, aws-sigv4, cloudfront-canned, cloudfront-canned-cookies, cloudfront-custom,
    /// cloudfront-cookies, google-cloud-cdn, google-media-cdn, akamai
    #[arg(long = "as", value_name = "KIND", default_value = "cedargate")]
    kind: String,
    /// The file with the caller's token; without it the variable CEDARGATE_TOKEN holds the token
    #[arg(long, value_name = "FILE")]
    token_file: Option<PathBuf>,
    /// The file with the keyring; without it the variable SPIN_VARIABLE_SIGNED_URL_KEYS holds it
    #[arg(long, value_name = "FILE")]
    keyring: Option<PathBuf>,
    /// The file with credentials of other services; without it SPIN_VARIABLE_SIGNED_URL_CREDENTIALS holds them
    #[arg(long, value_name = "FILE")]
    credentials: Option<PathBuf>,
    /// The caller's address, for policies that ask for it
    #[arg(long, value_name = "ADDRESS")]
    client: Option<IpAddr>,
    /// The time, instead of now
    #[arg(long, value_name = "TIME", value_parser = time::parse_time, allow_hyphen_values = true)]
    now: Option<UnixTime>,
    /// How the answer is written; `json` is the answer of the gate's endpoint
    #[arg(long, value_enum, default_value_t, hide_possible_values = true, value_name = "human|json")]
    format: Format,
}

/// Runs `cedargate sign`.
///
/// # Errors
/// When a file cannot be read or something that was said makes no sense; [`Invalid`](diagnostic::Invalid) when policies or keys are not
/// valid.
pub fn run(args: &SignArgs) -> miette::Result<Exit> {
    let (_, gate) = files::load(&args.folders.policies, &args.folders.keys, args.folders.dev)?;
    let config = config(&gate)?;
    let deployment = deployment(args.keyring.as_deref(), args.credentials.as_deref())?;
    let now = args.now.unwrap_or_else(time::now);
    let base = base_of(&args.url)?;
    let token = token(args.token_file.as_deref())?;
    let headers = [("authorization".to_owned(), format!("Bearer {token}").into_bytes())];
    let (mut facts, evidence) = read("POST", &base, "/.well-known/cedargate/sign", &headers)?;
    facts.client = args.client;
    let verified = decision::verify(&gate, &facts, &Presented::read(&evidence), &deployment, Supply::NotNeeded, now);
    let identified = match decision::settle(verified, &Answers::default(), now).refused() {
        Ok(identified) => identified,
        Err(denied) => return Ok(denied_by(&denied.outcome.err().map(|denial| denial.to_string()).unwrap_or_default())),
    };
    let order = SignOrder::read(body(args).to_string().as_bytes(), &base, now)
        .map_err(|denial| miette!("{}", visible(&denial.detail.replace(" of the body", ""))))?;
    let decided = decision::authorize_signing(&gate, config, &facts, identified, order.items, now, Scan::Index);
    let Some(SigningDecision { verdict, policies, outcome, .. }) = decided.ok().and_then(|decided| decided.items.into_iter().next()) else {
        return Err(miette!("nothing was decided"));
    };
    let permit = match outcome {
        Ok(permit) => permit,
        Err(denial) => {
            let asked = verdict.map(|verdict| format!(": {} on {} for {}", verdict.action, verdict.resource, verdict.principal));
            let by: Vec<_> = policies.iter().map(|policy| policy.id.as_str()).collect();
            let by = if by.is_empty() { String::new() } else { format!(" (policies that applied: {})", by.join(", ")) };
            return Ok(denied_by(&format!("{denial}{}{by}", asked.unwrap_or_default())));
        }
    };
    let issuer = Issuer {
        config,
        keyring: &deployment.keyring,
        credentials: &deployment.services,
        base: &base,
        policy_digest: gate.policy_digest(),
    };
    let issued = issuer.issue(permit, now).map_err(|denial| miette!("{}", visible(&denial.detail)))?;
    let text = match args.format {
        Format::Json => {
            let answer = Answer::signed(&[SignedItem::Issued(&issued)], "offline");
            let mut told: Map<String, Value> = serde_json::from_slice(&answer.body).into_diagnostic()?;
            told.remove("decision_id");
            told.insert("set_cookie".to_owned(), json!(issued.set_cookies));
            output::json(&told)?
        }
        Format::Human => {
            let cookies = issued.cookies.iter().map(|(name, value)| format!("{name}={value}"));
            let lines: Vec<String> = issued.url.iter().cloned().chain(issued.set_cookies.iter().cloned()).chain(cookies).collect();
            format!("{}\n", lines.join("\n"))
        }
    };
    output::stdout(&text)?;
    Ok(Exit::Ok)
}

fn denied_by(why: &str) -> Exit {
    diagnostic::show(&miette!("denied: {}", visible(why)));
    Exit::Denied
}

/// The body that a caller would send to the gate.
fn body(args: &SignArgs) -> Value {
    let mut bind = Map::new();
    for (name, value) in [("ip", &args.ip), ("cidr", &args.cidr), ("subject", &args.subject)] {
        bind.extend(value.as_ref().map(|value| (name.to_owned(), json!(value))));
    }
    let mut body = json!({ "method": args.methods, "url": args.url, "expires_in": args.expires_in, "prefix": args.prefix, "bind": bind, "format": args.kind });
    if let (Some(UnixTime(seconds)), Some(body)) = (args.not_before, body.as_object_mut()) {
        body.insert("not_before".to_owned(), json!(seconds));
    }
    body
}

/// What a deployment's variables say, out of files or the environment.
pub(super) fn deployment(keyring: Option<&Path>, credentials: Option<&Path>) -> miette::Result<Deployment> {
    let keyring = self::keyring(keyring, KEYS)?.unwrap_or_default();
    let services = match text(credentials, CREDENTIALS)? {
        None => ServiceCredentials::default(),
        Some(text) => ServiceCredentials::parse(&text).map_err(|error| miette!("the credentials: {error}"))?,
    };
    Ok(Deployment { keyring: Arc::new(keyring), services: Arc::new(services), ..Deployment::default() })
}

/// The keyring in a file or else in a variable; `None` when there is none.
pub(super) fn keyring(file: Option<&Path>, variable: &str) -> miette::Result<Option<Keyring>> {
    let keyring = text(file, variable)?.map(|text| Keyring::parse(&text)).transpose();
    keyring.map_err(|error| miette!(help = "docs/signed-urls.md shows one", "the keyring: {error}"))
}

/// A secret, from a file or else from a variable.
pub(super) fn text(file: Option<&Path>, variable: &str) -> miette::Result<Option<String>> {
    match file {
        Some(path) => {
            let text = std::fs::read_to_string(path).into_diagnostic().wrap_err_with(|| format!("`{}`", path.display()))?;
            Ok(Some(text))
        }
        None => Ok(std::env::var(variable).ok().filter(|text| !text.is_empty())),
    }
}

fn token(file: Option<&Path>) -> miette::Result<String> {
    text(file, TOKEN)?.map(|token| token.trim().to_owned()).filter(|token| !token.is_empty()).ok_or_else(|| {
        let help = format!("name its file with `--token-file`, or put it into {TOKEN}");
        miette!(help = help, "no token of the caller the URL is for")
    })
}

/// What is sealed about signed URLs.
pub(super) fn config(gate: &Gate) -> miette::Result<&SignedUrls> {
    gate.signed_urls().ok_or_else(|| {
        let help = format!("make `{}` with the line `version = 1`", signed_url::FILE);
        miette!(help = help, "there are no signed URLs in these policies")
    })
}

/// Scheme, host and port of a URL.
pub(super) fn base_of(url: &str) -> miette::Result<PublicUrl> {
    let end = url.find("://").map_or(0, |at| at.saturating_add(3));
    let (scheme, rest) = url.split_at_checked(end).unwrap_or(("", url));
    let authority = rest.split(['/', '?', '#']).next().unwrap_or_default();
    PublicUrl::parse(&format!("{scheme}{authority}"))
        .ok_or_else(|| miette!(help = "write it whole: `https://api.example.com/path`", "`{}` is not a URL", visible(url)))
}

/// A request as the gate would read it.
pub(super) fn read(
    method: &str,
    base: &PublicUrl,
    target: &str,
    headers: &[(String, Vec<u8>)],
) -> miette::Result<(Facts, crate::request::Evidence)> {
    let authority = base.port.map_or_else(|| base.host.clone(), |port| format!("{}:{port}", base.host));
    let raw = RawRequest {
        method,
        scheme: Some(if base.https { "https" } else { "http" }),
        authority: Some(&authority),
        path_with_query: Some(target),
        headers,
    };
    crate::request::read(&raw, Reading { signed_urls: true, ..Reading::default() })
        .map_err(|denial| miette!("the gate would refuse the request: {denial}"))
}
