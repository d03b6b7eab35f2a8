//! `cedargate token`: a token from the development key, for the quickstart and for tests.

use std::path::{Path, PathBuf};

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use miette::miette;
use ring::rand::{SecureRandom as _, SystemRandom};
use serde_json::{Map, Value, json};

pub use super::dev_keys::Algorithm;
use super::dev_keys::{self, SigningKey};
use super::{Exit, exit, output, time};
use crate::decision::UnixTime;
use crate::identity::signing;

/// How long a token of [`dev_token`] lasts, in seconds: long enough to try things out for a working day.
const DEV_TOKEN_SECONDS: i64 = 8 * 60 * 60;

const EXAMPLES: &str = r#"
cedargate token --sub alice --group writers
    a token for Gate::User::"dev/alice" in Gate::Group::"writers"
cedargate token --scope orders:read --scope orders:write --expires-in 1h
    two scopes, valid for an hour
cedargate token --expires-in=-5m
    a token that has expired
cedargate token --claim 'amr=["pwd","otp"]' --claim auth_time=1772357400
    any claim, as JSON; one of the usual claims is replaced
curl -H "authorization: Bearer $(cedargate token)" \
    http://127.0.0.1:3000/api/documents/1"#;

/// Make a token from the development key
///
/// The token is the only thing on standard output. It is signed with the development key in <keys>/dev, which is made on first
/// use and belongs to this machine: only a gate that was started or sealed with --dev accepts it.
#[derive(Debug, clap::Args)]
#[command(after_help = exit::help(EXAMPLES, &[Exit::Ok, Exit::Failed]))]
pub struct TokenArgs {
    /// The subject
    #[arg(long, value_name = "NAME", default_value = "alice")]
    sub: String,
    /// A group the subject is in; may be given again
    #[arg(long = "group", value_name = "GROUP")]
    groups: Vec<String>,
    /// A role the subject has; may be given again
    #[arg(long = "role", value_name = "ROLE")]
    roles: Vec<String>,
    /// An OAuth scope; may be given again
    #[arg(long = "scope", value_name = "SCOPE")]
    scopes: Vec<String>,
    /// The audience
    #[arg(long, value_name = "AUDIENCE", default_value = dev_keys::AUDIENCE)]
    aud: String,
    /// How long the token lasts: 90s, 10m, 1h 30m, 2d; negative for one that has expired
    #[arg(long, value_name = "DURATION", default_value = "10m", value_parser = time::parse_seconds, allow_hyphen_values = true)]
    expires_in: i64,
    /// Any other claim, as JSON; may be given again
    #[arg(long = "claim", value_name = "NAME=JSON", value_parser = parse_claim)]
    claims: Vec<(String, Value)>,
    /// The signature algorithm: EdDSA or ES256
    #[arg(long, value_enum, ignore_case = true, default_value_t, hide_possible_values = true, value_name = "ALGORITHM")]
    alg: Algorithm,
    /// The folder with issuers and their public keys; the development keys are in its folder dev
    #[arg(long, value_name = "DIR", default_value = "keys")]
    keys: PathBuf,
    /// The time the token is made at, instead of now: 2026-03-01T09:30:00Z or seconds since 1970
    #[arg(long, value_name = "TIME", value_parser = time::parse_time, allow_hyphen_values = true)]
    now: Option<UnixTime>,
}

/// Runs `cedargate token`.
///
/// # Errors
/// When the development keys cannot be made or read, or a claim was given twice.
pub fn run(args: &TokenArgs) -> miette::Result<Exit> {
    output::stdout(&format!("{}\n", token(args)?))?;
    Ok(Exit::Ok)
}

fn token(args: &TokenArgs) -> miette::Result<String> {
    let now = args.now.unwrap_or_else(time::now);
    let mut claims = claims(&args.sub, &args.groups, &args.roles, &args.scopes, now, args.expires_in)?;
    claims.insert("aud".to_owned(), json!(args.aud));
    let mut given = std::collections::BTreeSet::new();
    for (name, value) in &args.claims {
        if !given.insert(name) {
            return Err(miette!(help = "write one `--claim` with an array, if that is what you mean", "the claim `{name}` is given twice"));
        }
        claims.insert(name.clone(), value.clone());
    }
    dev_keys::ensure(&args.keys)?;
    sign(&args.keys, args.alg, claims)
}

/// A development token for `subject`, valid from now for a working day. Makes the keys on first use.
///
/// # Errors
/// When the development keys cannot be made or read.
pub fn dev_token(keys: &Path, subject: &str, groups: &[&str], scopes: &[&str]) -> miette::Result<String> {
    dev_token_at(keys, time::now(), subject, groups, scopes)
}

/// The same for a gate whose clock says `now`.
///
/// # Errors
/// When the development keys cannot be made or read.
pub fn dev_token_at(keys: &Path, now: UnixTime, subject: &str, groups: &[&str], scopes: &[&str]) -> miette::Result<String> {
    dev_keys::ensure(keys)?;
    sign(keys, Algorithm::default(), claims(subject, groups, &[], scopes, now, DEV_TOKEN_SECONDS)?)
}

/// Makes the development keys in `<keys>/dev/` unless they are there.
///
/// # Errors
/// When they cannot be made, or only some of them are there.
pub fn ensure_dev_keys(keys: &Path) -> miette::Result<()> {
    dev_keys::ensure(keys)
}

fn claims<S: AsRef<str>>(
    subject: &str,
    groups: &[S],
    roles: &[String],
    scopes: &[S],
    now: UnixTime,
    seconds: i64,
) -> miette::Result<Map<String, Value>> {
    let expires = now.0.checked_add(seconds).ok_or_else(|| miette!("the token would expire at no time that can be written"))?;
    let mut id = [0; 12];
    SystemRandom::new().fill(&mut id).map_err(|_| miette!("the system has no randomness"))?;
    let mut claims = Map::new();
    claims.insert("iss".to_owned(), json!(dev_keys::ISS));
    claims.insert("aud".to_owned(), json!(dev_keys::AUDIENCE));
    claims.insert("sub".to_owned(), json!(subject));
    claims.insert("jti".to_owned(), json!(URL_SAFE_NO_PAD.encode(id)));
    // One that has expired was issued before it did.
    claims.insert("iat".to_owned(), json!(now.0.min(expires)));
    claims.insert("exp".to_owned(), json!(expires));
    if !groups.is_empty() {
        claims.insert("groups".to_owned(), groups.iter().map(|group| json!(group.as_ref())).collect());
    }
    if !roles.is_empty() {
        claims.insert("roles".to_owned(), json!(roles));
    }
    if !scopes.is_empty() {
        claims.insert("scope".to_owned(), json!(scopes.iter().map(AsRef::as_ref).collect::<Vec<&str>>().join(" ")));
    }
    Ok(claims)
}

fn sign(keys: &Path, algorithm: Algorithm, claims: Map<String, Value>) -> miette::Result<String> {
    let key = SigningKey::read(keys, algorithm)?;
    signing::sign(algorithm.name(), &key.pkcs8, Some(&key.kid), &Value::Object(claims))
        .map_err(|error| miette!("the token could not be signed: {error}"))
}

fn parse_claim(text: &str) -> Result<(String, Value), String> {
    let Some((name, value)) = text.split_once('=').filter(|(name, _)| !name.is_empty()) else {
        return Err("write it as NAME=JSON, for example `level=3`".to_owned());
    };
    match serde_json::from_str(value) {
        Ok(value) => Ok((name.to_owned(), value)),
        Err(_) => Err(format!("`{value}` is not JSON; a string needs its quotes: --claim '{name}=\"…\"'")),
    }
}

#[cfg(test)]
mod tests;
