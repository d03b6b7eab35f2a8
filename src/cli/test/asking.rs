//! What is asked, in a test's words: a request and its circumstances.

use std::net::IpAddr;
use std::ops::Range;

use super::yaml::{Members, Node, Source, Value};
use crate::decision::{Denial, UnixTime};
use crate::policy::{Purpose, Signing};
use crate::request::{Facts, RawRequest, Reading, read};
use crate::signed_url::Format;

/// The time of a test that names none: Wednesday, 2025-01-01, 10:00 UTC. A test never depends on the day it runs.
const WEDNESDAY: UnixTime = UnixTime(1_735_725_600);
/// The host of a request that names none.
const HOST: &str = "api.example.com";
/// What a request for a revocation is, in one line.
const REVOKE: &str = "POST /.well-known/cedargate/revocations";

/// Credentials are the caller's, and the host and the runtime's fields have words of their own.
const HEADERS_WITH_OTHER_WORDS: [(&str, &str); 4] = [
    ("authorization", "say who asks with `caller`"),
    ("dpop", "say who asks with `caller`, and `bindings: [dpop]` in its token"),
    ("host", "say it with `host`"),
    ("cookie", "cookies are not looked at; a signed URL is a caller"),
];

/// Everything of a request but its method, path and query.
#[derive(Debug, Clone)]
pub(in crate::cli) struct Circumstances {
    host: String,
    https: bool,
    headers: Vec<(String, Vec<u8>)>,
    client: Option<IpAddr>,
    time: UnixTime,
    purpose: Purpose,
}

impl Default for Circumstances {
    fn default() -> Self {
        Self { host: HOST.to_owned(), https: true, headers: vec![], client: None, time: WEDNESDAY, purpose: Purpose::Request }
    }
}

/// One request that policies are asked about.
#[derive(Debug, Clone)]
pub(in crate::cli) struct Question {
    /// The request, or why the gate would refuse it before anything else.
    pub facts: Result<Facts, Denial>,
    pub purpose: Purpose,
    pub time: UnixTime,
}

impl Circumstances {
    /// What is asked for.
    pub fn purpose(&self) -> Purpose {
        self.purpose
    }

    /// The same, changed by what a map says.
    pub fn read(&self, members: &mut Members<'_>, source: &mut Source<'_>) -> Self {
        let mut new = self.clone();
        if let Some(host) = members.take("host").and_then(|node| source.text(node)) {
            new.host = host;
        }
        if let Some(https) = members.take("https").and_then(|node| source.boolean(node)) {
            new.https = https;
        }
        if let Some(client) = members.take("client").and_then(|node| address(node, source)) {
            new.client = client;
        }
        if let Some(time) = members.take("time").and_then(|node| source.time(node)) {
            new.time = time;
        }
        if let Some(headers) = members.take("headers").and_then(|node| headers(node, source)) {
            new.headers = headers;
        }
        let signing = members.take("signing");
        let purpose = members.take("purpose").and_then(|node| source.name(node, &["request", "sign", "revoke"]));
        match (purpose, signing) {
            (Some("sign"), signing) => new.purpose = Purpose::Sign(self::signing(signing, source)),
            (_, Some(node)) => {
                source.problem(&node.span, "test.request", "`signing` without `purpose: sign`", "add `purpose: sign`");
            }
            (Some("revoke"), None) => new.purpose = Purpose::Revoke,
            (Some(_), None) => new.purpose = Purpose::Request,
            (None, None) => {}
        }
        new
    }

    /// The lines of a `request`, which for `purpose: revoke` need not be there.
    pub fn lines(&self, members: &mut Members<'_>, source: &mut Source<'_>) -> Vec<(String, Range<usize>)> {
        let Some(node) = members.take("request") else {
            if self.purpose == Purpose::Revoke {
                return vec![(REVOKE.to_owned(), members.span.clone())];
            }
            source.problem(members.span, "test.request", "no `request`", "write `request: GET /api/documents/1`");
            return vec![];
        };
        let line = |node: &Node, source: &mut Source<'_>| Some((source.text(node)?, node.span.clone()));
        match &node.value {
            Value::List(items) => items.iter().filter_map(|item| line(item, source)).collect(),
            _ => line(node, source).into_iter().collect(),
        }
    }

    /// The question of a line such as `GET /api/documents?draft=true`.
    pub fn ask(&self, line: &str, span: &Range<usize>, source: &mut Source<'_>) -> Option<Question> {
        let Some((method, target)) = line.split_once(' ').filter(|(_, target)| target.starts_with('/')) else {
            let message = format!("`{}` is no request", line.escape_debug());
            source.problem(span, "test.request", message, "write the method and the path: `GET /api/documents?draft=true`");
            return None;
        };
        let raw = RawRequest {
            method,
            scheme: Some(if self.https { "https" } else { "http" }),
            authority: Some(&self.host),
            path_with_query: Some(target),
            headers: &self.headers,
        };
        let facts = read(&raw, Reading::default()).map(|(facts, _)| Facts { client: self.client, ..facts });
        Some(Question { facts, purpose: self.purpose, time: self.time })
    }
}

/// An address, or `unknown`.
fn address(node: &Node, source: &mut Source<'_>) -> Option<Option<IpAddr>> {
    let text = source.text(node)?;
    if text == "unknown" {
        return Some(None);
    }
    text.parse().ok().map(Some).or_else(|| source.wrong(node, "an IP address, or `unknown`"))
}

fn headers(node: &Node, source: &mut Source<'_>) -> Option<Vec<(String, Vec<u8>)>> {
    let mut headers = vec![];
    for (key, node) in Members::of(node, "`headers`", source)?.all() {
        let name = key.name.to_ascii_lowercase();
        if let Some((_, help)) = HEADERS_WITH_OTHER_WORDS.iter().find(|(other, _)| *other == name) {
            source.problem(&key.span, "test.request", format!("`{name}` among the headers"), *help);
            continue;
        }
        // A list is a header that is repeated.
        headers.extend(source.texts(node).unwrap_or_default().into_iter().map(|value| (name.clone(), value.into_bytes())));
    }
    Some(headers)
}

fn signing(node: Option<&Node>, source: &mut Source<'_>) -> Signing {
    let mut signing = Signing { expires_in: 3_600, format: Format::default().name(), prefix: false, bound_to_address: false };
    let Some(mut members) = node.and_then(|node| Members::of(node, "`signing`", source)) else { return signing };
    if let Some(seconds) = members.take("expires_in").and_then(|node| source.seconds(node)) {
        signing.expires_in = seconds;
    }
    if let Some(format) = members.take("format").and_then(|node| source.name(node, &Format::ALL.map(Format::name))) {
        signing.format = format;
    }
    if let Some(prefix) = members.take("prefix").and_then(|node| source.boolean(node)) {
        signing.prefix = prefix;
    }
    if let Some(bound) = members.take("bound_to_address").and_then(|node| source.boolean(node)) {
        signing.bound_to_address = bound;
    }
    members.finish(source);
    signing
}
