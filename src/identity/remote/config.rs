//! Where an issuer publishes its keys and how long they count: `jwks_uri` or `discovery` in `keys/issuers.toml`.

use std::ops::RangeInclusive;

use super::metadata;
use crate::bundle::{Digest, Report};
use crate::identity::table::{Found, Table};
use crate::identity::{Url, text};
use crate::limits;

/// How long a set counts as fresh where its answer does not say.
const REFRESH: i64 = 300;
/// How long nobody asks again.
const REFETCH_INTERVAL: i64 = 60;
/// How long a set may be used that could not be fetched again.
const STALE_IF_ERROR: i64 = 86_400;

/// Where an issuer publishes its keys, and how long they count.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Remote {
    pub(in crate::identity) issuer: String,
    pub(in crate::identity) iss: String,
    pub(in crate::identity) source: Source,
    pub(in crate::identity) allow_http: bool,
    /// In seconds, like the others.
    pub(in crate::identity) refresh: i64,
    pub(in crate::identity) interval: i64,
    pub(in crate::identity) stale_if_error: i64,
    identity: Digest,
}

/// The address that is asked first.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Source {
    /// The key set itself.
    KeySet(Url),
    /// Metadata of the issuer, which say where the key set is.
    Metadata(Url),
}

impl Remote {
    /// The issuer's name in `keys/issuers.toml`.
    pub fn issuer(&self) -> &str {
        &self.issuer
    }

    /// The address that is asked first.
    pub fn source(&self) -> &Source {
        &self.source
    }

    /// The same, whatever is there.
    pub fn url(&self) -> &Url {
        match &self.source {
            Source::KeySet(url) | Source::Metadata(url) => url,
        }
    }

    /// What tells this issuer's sets from all others: its name, its `iss` and where it is asked. A set belongs to exactly
    /// one of these and serves no other, also when the configuration changes and the store does not.
    pub(in crate::identity) fn identity(&self) -> Digest {
        self.identity
    }

    /// The key under which instances share the set.
    pub fn set_key(&self) -> String {
        format!("keys/{}", self.identity)
    }

    /// The key under which instances agree on who fetches.
    pub fn attempt_key(&self) -> String {
        format!("keys/{}/attempt", self.identity)
    }
}

/// What the configuration of an issuer says about published keys.
pub(in crate::identity) struct Published {
    /// Whether it says anything, right or wrong.
    pub(in crate::identity) configured: bool,
    /// What it says, when it is right.
    pub(in crate::identity) remote: Option<Remote>,
    /// Whether addresses without TLS are taken: of keys, and of status lists.
    pub(in crate::identity) allow_http: bool,
}

/// Reads an issuer's configuration. `name` and `iss` are missing when they have problems of their own.
pub(in crate::identity) fn read(
    table: &mut Table<'_>,
    name: Option<&Found<String>>,
    iss: Option<&Found<String>>,
    report: &mut Report,
) -> Published {
    let allow_http = table.boolean("insecure_allow_http", report).unwrap_or(false);
    let jwks_uri = table.string("jwks_uri", report);
    let discovery = table.string("discovery", report);
    let refresh = number(table, "refresh_seconds", limits::KEYS_FRESH_SECONDS, report);
    let interval = number(table, "refetch_interval_seconds", limits::REFETCH_INTERVAL_SECONDS, report);
    let stale = number(table, "stale_if_error_seconds", limits::STALE_IF_ERROR_SECONDS, report);
    let configured = table.has("jwks_uri") || table.has("discovery");
    let source = match (jwks_uri, discovery) {
        // Of the wrong type, which is reported.
        (None, None) if configured => None,
        (None, None) => {
            let settings = [("refresh_seconds", &refresh), ("refetch_interval_seconds", &interval), ("stale_if_error_seconds", &stale)];
            for (key, found) in settings.into_iter().filter_map(|(key, found)| Some((key, found.as_ref()?))) {
                let message = format!("`{key}` means nothing for an issuer whose keys are all sealed");
                let problem = table.problem("issuers.value", &found.span, message);
                report.add(problem.help("it goes with `jwks_uri` or `discovery`"));
            }
            return Published { configured, remote: None, allow_http };
        }
        (Some(_), Some(discovery)) => {
            let problem = table.problem("issuers.value", &discovery.span, "an issuer has either `jwks_uri` or `discovery`, not both");
            report.add(problem.help("`discovery` finds the `jwks_uri` in the issuer's metadata"));
            None
        }
        (Some(uri), None) => address(table, &uri, allow_http, report).map(Source::KeySet),
        (None, Some(discovery)) => discovered(table, &discovery, iss, allow_http, report).map(Source::Metadata),
    };
    if let (Some(stale), longest) = (&stale, value(&refresh, REFRESH).max(value(&interval, REFETCH_INTERVAL)))
        && stale.value < longest
    {
        let message = format!("`stale_if_error_seconds` is {}, less than the {longest} seconds between two fetches", stale.value);
        report.add(table.problem("issuers.value", &stale.span, message).help("sets would end before they are fetched again"));
    }
    let remote = match (source, name, iss) {
        (Some(source), Some(name), Some(iss)) => Some(Remote {
            identity: identity(&name.value, &iss.value, &source),
            issuer: name.value.clone(),
            iss: iss.value.clone(),
            source,
            allow_http,
            refresh: value(&refresh, REFRESH),
            interval: value(&interval, REFETCH_INTERVAL),
            stale_if_error: value(&stale, STALE_IF_ERROR),
        }),
        _ => None,
    };
    Published { configured, remote, allow_http }
}

fn value(found: &Option<Found<i64>>, default: i64) -> i64 {
    found.as_ref().map_or(default, |found| found.value)
}

/// An address that may be asked: one reading, and over TLS.
fn address(table: &Table<'_>, found: &Found<String>, allow_http: bool, report: &mut Report) -> Option<Url> {
    let Some(url) = Url::parse(&found.value) else {
        let problem = table.problem("issuers.value", &found.span, format!("`{}` is not an address", text::shown(&found.value)));
        report.add(problem.help("`https://host[:port]/path`, without user, fragment or spaces"));
        return None;
    };
    // SECURITY: whoever is on the way to an address without TLS can put keys of their own into the answer.
    if !url.https() && !allow_http {
        let problem = table.problem("issuers.value", &found.span, format!("`{}` is asked without TLS", text::shown(&found.value)));
        report.add(problem.help("use `https://`; for tests only there is `insecure_allow_http = true`"));
        return None;
    }
    Some(url)
}

/// The address of an issuer's metadata.
fn discovered(
    table: &Table<'_>,
    discovery: &Found<String>,
    iss: Option<&Found<String>>,
    allow_http: bool,
    report: &mut Report,
) -> Option<Url> {
    let at = match discovery.value.as_str() {
        "openid" => metadata::openid,
        "oauth" => metadata::oauth,
        other => {
            let problem = table.problem("issuers.value", &discovery.span, format!("`{}` is no kind of discovery", text::shown(other)));
            report.add(problem.help("`openid` (OpenID Connect Discovery) or `oauth` (RFC 8414)"));
            return None;
        }
    };
    let iss = iss?;
    let issuer = address(table, iss, allow_http, report)?;
    let url = at(&issuer);
    if url.is_none() {
        let message = format!("`{}` has a query, or is too long, to find metadata by", text::shown(&iss.value));
        report.add(table.problem("issuers.value", &iss.span, message).help("name the `jwks_uri` instead"));
    }
    url
}

/// Lengths first, so that no two triples run together.
fn identity(name: &str, iss: &str, source: &Source) -> Digest {
    let (kind, url) = match source {
        Source::KeySet(url) => ("key set", url),
        Source::Metadata(url) => ("metadata", url),
    };
    let mut bytes = b"cedargate-keys-v1\n".to_vec();
    for part in [name, iss, kind, &url.to_string()] {
        bytes.extend_from_slice(&u64::try_from(part.len()).unwrap_or(u64::MAX).to_be_bytes());
        bytes.extend_from_slice(part.as_bytes());
    }
    Digest::of(&bytes)
}

fn number(table: &mut Table<'_>, key: &'static str, range: RangeInclusive<i64>, report: &mut Report) -> Option<Found<i64>> {
    let found = table.integer(key, report)?;
    if range.contains(&found.value) {
        return Some(found);
    }
    let message = format!("`{key}` is {}, which is not between {} and {}", found.value, range.start(), range.end());
    report.add(table.problem("issuers.value", &found.span, message));
    None
}
