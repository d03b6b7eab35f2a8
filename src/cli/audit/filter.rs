//! Which records are wanted.

use jiff::Timestamp;

use super::super::{output, time};
use crate::audit::ocsf::{entity, unix_millis};
use crate::audit::{Entry, Kind};
use crate::bundle::nearest;
use crate::decision::Reason;
use crate::request::percent_decoded;

/// What records must be like. All that is said must hold; of an option said more than once, one is enough.
#[derive(Debug, Clone, Default, clap::Args)]
#[command(next_help_heading = "Which records")]
pub struct Filter {
    /// From this time on: 2026-03-01T09:30:00Z, seconds since 1970, or how long ago: `2h`, `1d 12h`
    #[arg(long, value_name = "TIME", value_parser = moment)]
    since: Option<i64>,
    /// Before this time
    #[arg(long, value_name = "TIME", value_parser = moment)]
    until: Option<i64>,
    /// What was decided
    #[arg(long, value_enum, hide_possible_values = true, value_name = "allow|deny")]
    decision: Vec<Verdict>,
    /// What policies denied and a gate in the mode `observe` let through
    #[arg(long)]
    observed: bool,
    /// The subject, as the token, the certificate or the signed URL names it
    #[arg(long, value_name = "NAME")]
    subject: Vec<String>,
    /// The principal, as policies name it: `Gate::User::"corp/alice"`, or only `corp/alice`
    #[arg(long, value_name = "NAME")]
    principal: Vec<String>,
    /// The path and everything below it, by whole segments
    #[arg(long, value_name = "PREFIX", value_parser = path)]
    path: Vec<PathPrefix>,
    /// A policy that determined the answer, by its id
    #[arg(long, value_name = "ID")]
    policy: Vec<String>,
    /// A reason code of the record, of a credential, of a URL to sign or of the origin; or the group of it: `jwt`
    #[arg(long, value_name = "CODE")]
    reason: Vec<String>,
    /// The digest of the policies, the schema or the component, or how it begins
    #[arg(long, value_name = "PREFIX")]
    digest: Vec<String>,
    /// The region
    #[arg(long, value_name = "NAME")]
    region: Vec<String>,
    /// The status of the response: `403`, or `4xx`
    #[arg(long, value_name = "STATUS", value_parser = status)]
    status: Vec<Status>,
    /// The host
    #[arg(long, value_name = "NAME")]
    host: Vec<String>,
    /// The method
    #[arg(long, value_name = "METHOD")]
    method: Vec<String>,
    /// The decision with this id
    #[arg(long, value_name = "ID")]
    id: Vec<String>,
    /// What belongs to this trace
    #[arg(long, value_name = "ID")]
    trace: Vec<String>,
    /// The making and every use of this signed URL
    #[arg(long, value_name = "ID")]
    link_id: Vec<String>,
    /// The kind of record: decision, outcome, checkpoint or dropped
    #[arg(long, value_name = "KIND")]
    kind: Vec<String>,
}

/// The two decisions.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum Verdict {
    Allow,
    Deny,
}

impl Verdict {
    const fn as_str(self) -> &'static str {
        match self {
            Self::Allow => "allow",
            Self::Deny => "deny",
        }
    }
}

/// Decoded segments.
#[derive(Debug, Clone, PartialEq, Eq)]
struct PathPrefix(Vec<Vec<u8>>);

/// One status, or those of a class.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Status {
    Code(u16),
    Class(u16),
}

impl Filter {
    /// Whether a record is wanted.
    pub(super) fn matches(&self, entry: &Entry) -> bool {
        // Exhaustive, so that nobody adds an option that nothing asks for.
        let Self {
            since,
            until,
            decision,
            observed,
            subject,
            principal,
            path,
            policy,
            reason,
            digest,
            region,
            status,
            host,
            method,
            id,
            trace,
            link_id,
            kind,
        } = self;
        within(entry, *since, *until)
            && any(decision, |wanted| entry.decision == wanted.as_str())
            && (!observed || entry.observed_denial())
            && any(subject, |wanted| subjects(entry).any(|one| one == wanted))
            && any(principal, |wanted| is_principal(entry, wanted))
            && any(path, |wanted| entry.request.path.as_deref().is_some_and(|path| wanted.covers(path)))
            && any(policy, |wanted| policies(entry).any(|one| one == wanted))
            && any(reason, |wanted| reasons(entry).any(|one| is_reason(one, wanted)))
            && any(digest, |wanted| digests(entry).any(|one| starts_with(one, wanted)))
            && any(region, |wanted| entry.region == *wanted)
            && any(status, |wanted| wanted.is(entry.status))
            && any(host, |wanted| entry.request.host.as_deref().is_some_and(|host| host.eq_ignore_ascii_case(wanted)))
            && any(method, |wanted| entry.request.method.eq_ignore_ascii_case(wanted))
            && any(id, |wanted| entry.decision_id.eq_ignore_ascii_case(wanted))
            && any(trace, |wanted| entry.trace_id.eq_ignore_ascii_case(wanted))
            && any(link_id, |wanted| links(entry).any(|one| one == wanted))
            && any(kind, |wanted| entry.kind.as_str() == wanted)
    }

    /// Says what can match nothing this version writes: most likely a slip, but a newer gate may write it.
    pub(super) fn tell(&self) {
        let groups = || Reason::ALL.iter().filter_map(|reason| reason.code().split('.').next());
        for wanted in &self.reason {
            let known = Reason::ALL.iter().map(|reason| reason.code()).chain(groups());
            if !known.clone().any(|code| code == wanted.trim_end_matches('.')) {
                note("reason code", wanted, nearest(wanted, known));
            }
        }
        let kinds = [Kind::Decision, Kind::Outcome, Kind::Checkpoint, Kind::Dropped];
        for wanted in &self.kind {
            let known = kinds.iter().map(Kind::as_str);
            if !known.clone().any(|kind| kind == wanted) {
                note("kind of record", wanted, nearest(wanted, known));
            }
        }
    }
}

fn note(what: &str, wanted: &str, meant: Option<&str>) {
    let meant = meant.map(|name| format!(": did you mean `{name}`?")).unwrap_or_default();
    output::stderr(&format!("note: `{}` is no {what} that this version knows{meant}\n", output::visible(wanted)));
}

/// Whether nothing is asked, or one of what is asked is so.
fn any<T>(wanted: &[T], is: impl Fn(&T) -> bool) -> bool {
    wanted.is_empty() || wanted.iter().any(is)
}

/// Times are only read where they are asked for. A record without one is at no time.
fn within(entry: &Entry, since: Option<i64>, until: Option<i64>) -> bool {
    if since.is_none() && until.is_none() {
        return true;
    }
    unix_millis(&entry.time).is_some_and(|time| since.is_none_or(|since| time >= since) && until.is_none_or(|until| time < until))
}

fn subjects(entry: &Entry) -> impl Iterator<Item = &String> {
    let token = entry.identity.as_ref().and_then(|token| token.subject.as_ref());
    let certificate = entry.certificate.as_ref().and_then(|certificate| certificate.subject.as_ref());
    let link = entry.signed_url.as_ref().and_then(|link| link.subject.as_ref());
    token.into_iter().chain(certificate).chain(link)
}

fn is_principal(entry: &Entry, wanted: &str) -> bool {
    let asked = entry.cedar.as_ref().and_then(|cedar| cedar.principal.as_deref());
    let token = entry.identity.as_ref().and_then(|token| token.principal.as_deref());
    let certificate = entry.certificate.as_ref().and_then(|certificate| certificate.principal.as_deref());
    let names = || asked.into_iter().chain(token).chain(certificate);
    names().any(|name| name == wanted) || asked.and_then(entity).is_some_and(|(_, id)| id == wanted)
}

fn policies(entry: &Entry) -> impl Iterator<Item = &String> {
    entry.policies.iter().chain(entry.signing.iter().flat_map(|one| &one.policies)).map(|policy| &policy.id)
}

fn reasons(entry: &Entry) -> impl Iterator<Item = &String> {
    let origin = entry.upstream.as_ref().and_then(|upstream| upstream.error.as_ref()).map(|error| &error.reason);
    let credentials = entry.credentials.iter().filter_map(|credential| credential.reason.as_ref());
    std::iter::once(&entry.reason).chain(credentials).chain(entry.signing.iter().map(|one| &one.reason)).chain(origin)
}

fn is_reason(code: &str, wanted: &str) -> bool {
    let group = wanted.trim_end_matches('.');
    code == wanted || code.split_once('.').is_some_and(|(first, _)| first == group)
}

fn digests(entry: &Entry) -> impl Iterator<Item = &String> {
    let Entry { policy_digest, schema_digest, build_digest, .. } = entry;
    [policy_digest, schema_digest, build_digest].into_iter().flatten()
}

fn starts_with(text: &str, prefix: &str) -> bool {
    text.get(..prefix.len()).is_some_and(|start| start.eq_ignore_ascii_case(prefix))
}

fn links(entry: &Entry) -> impl Iterator<Item = &String> {
    let used = entry.signed_url.as_ref().map(|link| &link.link_id);
    used.into_iter().chain(entry.signing.iter().filter_map(|one| one.link_id.as_ref()))
}

impl PathPrefix {
    /// Whether `path`, as records have it, is this path or below it. Encodings of one segment count as the same.
    fn covers(&self, path: &str) -> bool {
        let Some(rest) = path.strip_prefix('/') else { return false };
        let mut segments = rest.split('/').map(percent_decoded);
        self.0.iter().all(|wanted| segments.next().is_some_and(|segment| segment == *wanted))
    }
}

impl Status {
    fn is(self, status: u16) -> bool {
        match self {
            Self::Code(code) => status == code,
            Self::Class(class) => status.checked_div(100) == Some(class),
        }
    }
}

fn path(text: &str) -> Result<PathPrefix, String> {
    let rest = text.strip_prefix('/').ok_or("not a path: it begins with `/`")?;
    if rest.contains(['?', '#']) {
        return Err("not a path: records have no query".to_owned());
    }
    let rest = rest.strip_suffix('/').unwrap_or(rest);
    Ok(PathPrefix(if rest.is_empty() { vec![] } else { rest.split('/').map(percent_decoded).collect() }))
}

fn status(text: &str) -> Result<Status, String> {
    let class = text.strip_suffix("xx").or_else(|| text.strip_suffix("XX"));
    let number = class.unwrap_or(text).parse().ok();
    match (class, number) {
        (None, Some(code @ 100..=599)) => Ok(Status::Code(code)),
        (Some(_), Some(class @ 1..=5)) => Ok(Status::Class(class)),
        _ => Err("not a status: write it like `403`, or `4xx`".to_owned()),
    }
}

/// A point in time, in milliseconds since 1970.
pub(super) fn moment(text: &str) -> Result<i64, String> {
    if let Ok(time) = text.parse::<Timestamp>() {
        return Ok(time.as_millisecond());
    }
    let now = || Timestamp::now().as_millisecond();
    let ago = |text| time::parse_seconds(text).ok().filter(|seconds| *seconds >= 0).map(|seconds| seconds.saturating_mul(1000));
    if let Some(back) = ago(text) {
        return Ok(now().saturating_sub(back));
    }
    let whole = time::parse_time(text).map_err(|_| "not a time: write it like `2026-03-01T09:30:00Z`, or how long ago: `2h`")?;
    Ok(whole.0.saturating_mul(1000))
}

#[cfg(test)]
#[path = "filter_tests.rs"]
mod tests;
