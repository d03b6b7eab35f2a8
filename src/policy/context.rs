//! The context of a request: fixed, documented in the schema as `Gate::RequestContext`.

use std::fmt;
use std::net::IpAddr;
use std::sync::Arc;

use cedar_policy::{Context, RestrictedExpression};
use cedar_policy_core::ast::{self, Value};
use cedar_policy_core::evaluator::RestrictedEvaluator;
use cedar_policy_core::extensions::Extensions;

use super::{Reads, Signing};
use crate::bundle::Digest;
use crate::decision::UnixTime;
use crate::identity::{CertificateIdentity, Confirmation, Identity, NameKind, PrincipalKind, TokenIdentity};
use crate::signed_url::{Carrier, LinkIdentity};

/// What a context is made of.
#[derive(Debug, Clone)]
pub(super) struct Input<'a> {
    pub(super) method: &'a str,
    pub(super) host: &'a str,
    /// Decoded.
    pub(super) path: &'a str,
    pub(super) query: &'a [(String, String)],
    /// Only what routes.toml allows.
    pub(super) headers: Vec<(&'a str, &'a str)>,
    pub(super) client: Option<IpAddr>,
    pub(super) https: bool,
    pub(super) now: UnixTime,
    pub(super) token: Option<&'a TokenIdentity>,
    pub(super) certificate: Option<&'a CertificateIdentity>,
    /// Only where a URL is to be signed.
    pub(super) signing: Option<Signing>,
}

/// The types of the schema that [`build`] fills in, attribute by attribute, in the schema's own notation.
pub(super) const DECLARED: [(&str, &[(&str, &str)]); 5] = [
    (
        "RequestContext",
        &[
            ("certificate?", "Certificate"),
            ("client_ip?", "ipaddr"),
            ("headers", "Set<Pair>"),
            ("host", "String"),
            ("hour", "Long"),
            ("https", "Bool"),
            ("method", "String"),
            ("path", "String"),
            ("query", "Set<Pair>"),
            ("signing?", "Signing"),
            ("time", "datetime"),
            ("token?", "Token"),
            ("weekday", "Long"),
        ],
    ),
    (
        "Token",
        &[
            ("acr?", "String"),
            ("age?", "Long"),
            ("algorithm", "String"),
            ("amr", "Set<String>"),
            ("audience", "Set<String>"),
            ("auth_age?", "Long"),
            ("bindings", "Set<String>"),
            ("expires_in", "Long"),
            ("issuer", "String"),
            ("issuer_name", "String"),
            ("scopes", "Set<String>"),
        ],
    ),
    (
        "Certificate",
        &[
            ("age", "Long"),
            ("anchor", "String"),
            ("dns_names", "Set<String>"),
            ("emails", "Set<String>"),
            ("expires_in", "Long"),
            ("fingerprint", "String"),
            ("ip_addresses", "Set<String>"),
            ("issuer", "String"),
            ("serial", "String"),
            ("spiffe_id?", "String"),
            ("spki_fingerprint", "String"),
            ("subject", "String"),
            ("uris", "Set<String>"),
        ],
    ),
    ("Pair", &[("name", "String"), ("value", "String")]),
    ("Signing", &[("bound_to_address", "Bool"), ("expires_in", "Long"), ("format", "String"), ("prefix", "Bool")]),
];

/// Every attribute that the gate fills in, of the context and of a principal, in order.
const FILLED: [&str; 44] = [
    "acr",
    "age",
    "algorithm",
    "amr",
    "anchor",
    "audience",
    "auth_age",
    "bindings",
    "bound_to_address",
    "carrier",
    "certificate",
    "client_id",
    "client_ip",
    "dns_names",
    "email",
    "emails",
    "expires",
    "expires_in",
    "fingerprint",
    "format",
    "headers",
    "host",
    "hour",
    "https",
    "ip_addresses",
    "issued",
    "issuer",
    "issuer_name",
    "key_id",
    "method",
    "path",
    "policy_digest",
    "prefix",
    "query",
    "scopes",
    "serial",
    "signing",
    "spiffe_id",
    "spki_fingerprint",
    "subject",
    "time",
    "token",
    "uris",
    "weekday",
];

/// Which of what the gate fills in policies look at, by name and of whatever they look at it.
///
/// What none of them looks at is left out of what Cedar is asked: the answer is the same, and a date or an address costs Cedar
/// more to read than most policies to evaluate.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Needs(u64);

impl Needs {
    /// All of it.
    pub(super) const EVERYTHING: Self = Self(u64::MAX);

    /// What these policies look at.
    pub(super) fn of(reads: &Reads) -> Self {
        let bits = FILLED.iter().enumerate().filter(|(_, name)| reads.attribute(name)).map(|(at, _)| 1_u64 << at);
        Self(bits.fold(0, |all, bit| all | bit))
    }

    /// What either of the two looks at.
    pub(super) fn or(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    /// Whether this is looked at.
    const fn has(self, Filled { at, name: _ }: Filled) -> bool {
        self.0 & (1 << at) != 0
    }
}

/// An attribute that the gate fills in.
#[derive(Clone, Copy)]
struct Filled {
    name: &'static str,
    /// Its place in [`FILLED`].
    at: usize,
}

/// An attribute by its name, to be found when this is compiled: names are too many to be looked up in every request.
#[expect(clippy::panic, clippy::indexing_slicing, clippy::arithmetic_side_effects, reason = "when it is compiled")]
const fn filled(name: &'static str) -> Filled {
    let mut at = 0;
    while at < FILLED.len() {
        let (one, other) = (FILLED[at].as_bytes(), name.as_bytes());
        let mut same = 0;
        while same < one.len() && same < other.len() && one[same] == other[same] {
            same += 1;
        }
        if same == one.len() && same == other.len() {
            return Filled { name, at };
        }
        at += 1;
    }
    panic!("it does not stand in FILLED")
}

/// Attributes by name, each once.
pub(super) type Pairs = Vec<(&'static str, Value)>;

/// Attributes, of those that are looked at.
struct Attributes {
    needs: Needs,
    pairs: Pairs,
}

impl Attributes {
    fn of(needs: Needs) -> Self {
        Self { needs, pairs: Vec::with_capacity(16) }
    }

    fn put(&mut self, filled: Filled, value: impl FnOnce() -> Value) {
        if self.needs.has(filled) {
            self.pairs.push((filled.name, value()));
        }
    }

    /// The same for a value that may be missing.
    fn some<T>(&mut self, filled: Filled, given: Option<T>, value: impl FnOnce(T) -> Value) {
        if let Some(given) = given {
            self.put(filled, || value(given));
        }
    }

    /// The same for a value that cannot always be built.
    fn built(&mut self, filled: Filled, value: impl FnOnce() -> Result<Value, String>) -> Result<(), String> {
        if self.needs.has(filled) {
            self.pairs.push((filled.name, value()?));
        }
        Ok(())
    }
}

/// Builds the context, of what is looked at.
///
/// # Errors
/// Why it cannot be built, for the record.
pub(super) fn build(input: &Input<'_>, needs: Needs) -> Result<Context, String> {
    let pairs = pairs(input, needs)?.into_iter().map(|(name, value)| (name.into(), value));
    Ok(ast::Context::Value(Arc::new(pairs.collect())).into())
}

/// The attributes of the context. Nesting is fixed: a set of records at most.
fn pairs(input: &Input<'_>, needs: Needs) -> Result<Pairs, String> {
    // A clock that is out of range denies whether policies look at it or not.
    let moment = Moment::of(input.now).ok_or("the time is out of range")?;
    let mut all = Attributes::of(needs);
    all.put(const { filled("method") }, || string(input.method));
    all.put(const { filled("host") }, || string(input.host));
    all.put(const { filled("path") }, || string(input.path));
    all.put(const { filled("query") }, || named(input.query.iter().map(|(name, value)| (name.as_str(), value.as_str()))));
    all.put(const { filled("headers") }, || named(input.headers.iter().copied()));
    all.put(const { filled("https") }, || Value::from(input.https));
    all.built(const { filled("time") }, || datetime(moment))?;
    all.put(const { filled("hour") }, || Value::from(moment.hour));
    all.put(const { filled("weekday") }, || Value::from(moment.weekday));
    if let Some(client) = input.client {
        all.built(const { filled("client_ip") }, || ip(client))?;
    }
    if let Some(identity) = input.token {
        all.put(const { filled("token") }, || Value::record(token(identity, input.now, needs), None));
    }
    if let Some(signing) = input.signing {
        all.put(const { filled("signing") }, || Value::record(self::signing(signing, needs), None));
    }
    if let Some(identity) = input.certificate {
        all.put(const { filled("certificate") }, || Value::record(certificate(identity, input.now, needs), None));
    }
    Ok(all.pairs)
}

/// The attributes of `context.signing`.
fn signing(signing: Signing, needs: Needs) -> Pairs {
    let Signing { expires_in, format, prefix, bound_to_address } = signing;
    let mut all = Attributes::of(needs);
    all.put(const { filled("expires_in") }, || Value::from(expires_in));
    all.put(const { filled("format") }, || string(format));
    all.put(const { filled("prefix") }, || Value::from(prefix));
    all.put(const { filled("bound_to_address") }, || Value::from(bound_to_address));
    all.pairs
}

/// The attributes of `context.token`.
fn token(identity: &TokenIdentity, now: UnixTime, needs: Needs) -> Pairs {
    let since = |time: UnixTime| Value::from(now.0.saturating_sub(time.0).max(0));
    let bindings = || identity.confirmation.bindings().map(string);
    let mut all = Attributes::of(needs);
    all.put(const { filled("issuer") }, || string(&identity.issuer));
    all.put(const { filled("issuer_name") }, || string(&identity.issuer_name));
    all.put(const { filled("audience") }, || strings(&identity.audience));
    all.put(const { filled("scopes") }, || strings(&identity.scopes));
    all.put(const { filled("algorithm") }, || string(identity.algorithm));
    all.put(const { filled("amr") }, || strings(&identity.amr));
    all.put(const { filled("bindings") }, || Value::set(bindings(), None));
    all.put(const { filled("expires_in") }, || Value::from(identity.expires_at.0.saturating_sub(now.0)));
    all.some(const { filled("acr") }, identity.acr.as_deref(), string);
    all.some(const { filled("age") }, identity.issued_at, since);
    all.some(const { filled("auth_age") }, identity.auth_time, since);
    all.pairs
}

/// The attributes of `context.certificate`. It is valid now, so neither time is ever negative.
fn certificate(identity: &CertificateIdentity, now: UnixTime, needs: Needs) -> Pairs {
    let mut all = Attributes::of(needs);
    all.put(const { filled("anchor") }, || string(&identity.anchor));
    all.put(const { filled("subject") }, || string(&identity.subject));
    all.put(const { filled("issuer") }, || string(&identity.issuer));
    all.put(const { filled("serial") }, || string(&identity.serial));
    all.put(const { filled("dns_names") }, || strings(&identity.dns_names));
    all.put(const { filled("emails") }, || strings(&identity.emails));
    all.put(const { filled("uris") }, || strings(&identity.uris));
    all.put(const { filled("ip_addresses") }, || strings(&identity.ip_addresses));
    all.put(const { filled("fingerprint") }, || string(&identity.fingerprint.to_string()));
    all.put(const { filled("spki_fingerprint") }, || string(&identity.spki_fingerprint.to_string()));
    all.put(const { filled("age") }, || Value::from(now.0.saturating_sub(identity.not_before.0)));
    all.put(const { filled("expires_in") }, || Value::from(identity.not_after.0.saturating_sub(now.0)));
    all.some(const { filled("spiffe_id") }, identity.spiffe_id.as_deref(), string);
    all.pairs
}

/// The attributes of the principal that are looked at: what the credential that names it says, and nothing of one that only came
/// with it.
///
/// # Errors
/// Why they cannot be built, for the record.
pub(super) fn principal(identity: &Identity, needs: Needs) -> Result<Pairs, String> {
    let mut all = Attributes::of(needs);
    match identity {
        Identity::Anonymous => {}
        Identity::Token { token, certificate: _ } => {
            all.put(const { filled("issuer") }, || string(&token.issuer));
            all.put(const { filled("subject") }, || string(&token.subject));
            all.put(const { filled("scopes") }, || strings(&token.scopes));
            all.some(const { filled("email") }, token.email.as_deref(), string);
            all.some(const { filled("client_id") }, token.client_id.as_deref(), string);
        }
        Identity::SignedUrl { link, certificate: _ } => {
            all.put(const { filled("issuer") }, || string(&link.issuer));
            all.put(const { filled("subject") }, || string(&link.subject));
            all.put(const { filled("key_id") }, || string(&link.key_id));
            all.put(const { filled("prefix") }, || Value::from(link.prefix));
            all.put(const { filled("bound_to_address") }, || Value::from(link.address_bound));
            all.put(const { filled("policy_digest") }, || string(&link.policy_digest.to_string()));
            all.put(const { filled("carrier") }, || string(link.carrier.as_str()));
            // A link with a time that Cedar cannot write lasts too long and was refused.
            for (filled, time) in [(const { filled("issued") }, link.issued_at), (const { filled("expires") }, link.expires_at)] {
                if let Some(moment) = Moment::of(time) {
                    all.built(filled, || datetime(moment))?;
                }
            }
        }
        Identity::Certificate { certificate, token: _ } => {
            all.put(const { filled("issuer") }, || string(&certificate.issuer));
            all.put(const { filled("subject") }, || string(&certificate.subject));
            // Scopes are what a token was issued for; they never make the holder of a certificate more than it is.
            all.put(const { filled("scopes") }, || strings(&[]));
        }
    }
    Ok(all.pairs)
}

/// Ids of the groups and roles of the principal: those of the credential that names it.
pub(super) fn memberships(identity: &Identity) -> (&[String], &[String]) {
    match identity {
        Identity::Anonymous | Identity::Certificate { .. } | Identity::SignedUrl { .. } => (&[], &[]),
        Identity::Token { token, certificate: _ } => (&token.groups, &token.roles),
    }
}

fn string(text: &str) -> Value {
    Value::from(text)
}

fn strings(texts: &[String]) -> Value {
    Value::set(texts.iter().map(|text| string(text)), None)
}

/// A set of `Gate::Pair`.
fn named<'a>(pairs: impl Iterator<Item = (&'a str, &'a str)>) -> Value {
    Value::set(pairs.map(|(name, value)| Value::record([("name", string(name)), ("value", string(value))], None)), None)
}

fn datetime(moment: Moment) -> Result<Value, String> {
    read(&RestrictedExpression::new_datetime(moment.to_string()))
}

fn ip(client: IpAddr) -> Result<Value, String> {
    read(&RestrictedExpression::new_ip(address(client)))
}

/// What only Cedar can make of its text.
fn read(expression: &RestrictedExpression) -> Result<Value, String> {
    let expression: &ast::RestrictedExpr = expression.as_ref();
    let value = RestrictedEvaluator::new(Extensions::all_available()).interpret(expression.as_borrowed());
    value.map_err(|error| format!("a value cannot be built: {error}"))
}

/// An address as Cedar reads it.
///
/// SECURITY: an IPv4 address is always written as one, also when it arrives mapped into IPv6, or a range such as
/// `10.0.0.0/8` would not hold for it. Other IPv6 addresses are written in plain groups: Cedar refuses dots in them.
fn address(client: IpAddr) -> String {
    match client.to_canonical() {
        IpAddr::V4(v4) => v4.to_string(),
        IpAddr::V6(v6) => v6.segments().map(|group| format!("{group:x}")).join(":"),
    }
}

/// A point in time as Cedar reads it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Moment {
    year: i64,
    month: i64,
    day: i64,
    hour: i64,
    minute: i64,
    second: i64,
    /// 1 is Monday.
    weekday: i64,
}

impl Moment {
    /// `None` outside 1970 to 9999.
    #[expect(clippy::arithmetic_side_effects, reason = "every term is bounded by the range that is checked first")]
    fn of(time: UnixTime) -> Option<Self> {
        if !(0..=253_402_300_799).contains(&time.0) {
            return None;
        }
        let (days, second) = (time.0 / 86_400, time.0 % 86_400);
        // Days to the proleptic Gregorian calendar, in years that start in March and eras of 400 years.
        let shifted = days + 719_468;
        let (era, day_of_era) = (shifted / 146_097, shifted % 146_097);
        let year_of_era = (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
        let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
        let from_march = (5 * day_of_year + 2) / 153;
        let day = day_of_year - (153 * from_march + 2) / 5 + 1;
        let month = if from_march < 10 { from_march + 3 } else { from_march - 9 };
        let year = year_of_era + era * 400 + i64::from(month <= 2);
        let (hour, minute, second) = (second / 3_600, second / 60 % 60, second % 60);
        // 1970-01-01 was a Thursday.
        let weekday = (days + 3) % 7 + 1;
        Some(Self { year, month, day, hour, minute, second, weekday })
    }
}

impl fmt::Display for Moment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { year, month, day, hour, minute, second, weekday: _ } = self;
        write!(f, "{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}Z")
    }
}

/// A token with everything, or with only what every token has: for checking a schema against what the gate will send.
pub(super) fn sample_token(kind: PrincipalKind, full: bool) -> TokenIdentity {
    let text = |name: &str| name.to_owned();
    let list = |name: &str| if full { vec![name.to_owned()] } else { vec![] };
    TokenIdentity {
        issuer_name: text("sample"),
        issuer: text("https://sample.invalid/"),
        kind,
        principal: text("sample/subject"),
        subject: text("subject"),
        groups: list("sample/group"),
        roles: list("sample/role"),
        scopes: list("scope"),
        audience: list("audience"),
        token_id: None,
        key_id: None,
        algorithm: "EdDSA",
        issued_at: full.then_some(SAMPLE_TIME),
        expires_at: UnixTime(SAMPLE_TIME.0.saturating_add(60)),
        auth_time: full.then_some(SAMPLE_TIME),
        acr: full.then(|| text("acr")),
        amr: list("pwd"),
        client_id: full.then(|| text("client")),
        email: full.then(|| text("user@sample.invalid")),
        session_id: None,
        confirmation: match full {
            true => Confirmation { certificate: Some(SAMPLE_DIGEST), key: Some(SAMPLE_DIGEST) },
            false => Confirmation::default(),
        },
        status: None,
    }
}

/// A client certificate with everything, or with only what every one has.
pub(super) fn sample_certificate(full: bool) -> CertificateIdentity {
    let text = |name: &str| name.to_owned();
    let list = |name: &str| if full { vec![name.to_owned()] } else { vec![] };
    CertificateIdentity {
        anchor: text("sample"),
        principal: text("sample/subject:CN=sample"),
        named_by: NameKind::Subject,
        subject: text("CN=sample"),
        issuer: text("CN=sample CA"),
        issuer_digest: SAMPLE_DIGEST,
        serial: text("1"),
        dns_names: list("sample.invalid"),
        emails: list("user@sample.invalid"),
        uris: list("spiffe://sample.invalid/x"),
        ip_addresses: list("192.0.2.1"),
        spiffe_id: full.then(|| text("spiffe://sample.invalid/x")),
        fingerprint: SAMPLE_DIGEST,
        spki_fingerprint: SAMPLE_DIGEST,
        not_before: SAMPLE_TIME,
        not_after: UnixTime(SAMPLE_TIME.0.saturating_add(60)),
    }
}

/// A signed URL that verified.
pub(super) fn sample_link() -> LinkIdentity {
    LinkIdentity {
        id: "sample".to_owned(),
        key_id: "sample".to_owned(),
        issuer: "Gate::User::\"sample/subject\"".to_owned(),
        subject: "subject".to_owned(),
        issued_at: SAMPLE_TIME,
        expires_at: UnixTime(SAMPLE_TIME.0.saturating_add(60)),
        prefix: false,
        address_bound: false,
        policy_digest: SAMPLE_DIGEST,
        carrier: Carrier::Query,
    }
}

/// A URL somebody wants.
pub(super) const SAMPLE_SIGNING: Signing = Signing { expires_in: 60, format: "cedargate", prefix: false, bound_to_address: false };

/// A digest of nothing in particular.
const SAMPLE_DIGEST: Digest = Digest::from_bytes([7; 32]);

/// The time of sample requests: 2025-01-01T00:00:00Z.
pub(super) const SAMPLE_TIME: UnixTime = UnixTime(1_735_689_600);

#[cfg(test)]
mod tests {
    use super::*;

    fn moment(seconds: i64) -> Option<(String, i64, i64)> {
        Moment::of(UnixTime(seconds)).map(|m| (m.to_string(), m.hour, m.weekday))
    }

    #[test]
    fn moments_are_calendar_dates_in_utc() {
        let at = |text: &str, hour, weekday| Some((text.to_owned(), hour, weekday));
        assert_eq!(moment(0), at("1970-01-01T00:00:00Z", 0, 4));
        assert_eq!(moment(951_782_400), at("2000-02-29T00:00:00Z", 0, 2));
        assert_eq!(moment(1_709_251_199), at("2024-02-29T23:59:59Z", 23, 4));
        assert_eq!(moment(1_709_251_200), at("2024-03-01T00:00:00Z", 0, 5));
        assert_eq!(moment(1_735_689_600), at("2025-01-01T00:00:00Z", 0, 3));
        assert_eq!(moment(4_107_542_400), at("2100-03-01T00:00:00Z", 0, 1));
        assert_eq!(moment(253_402_300_799), at("9999-12-31T23:59:59Z", 23, 5));
    }

    #[test]
    fn times_out_of_range_have_no_moment() {
        for seconds in [-1, i64::MIN, 253_402_300_800, i64::MAX] {
            assert_eq!(moment(seconds), None);
        }
    }

    #[test]
    fn every_kind_of_address_can_be_read_by_cedar() {
        for (text, written) in [
            ("10.1.2.3", "10.1.2.3"),
            ("::ffff:10.1.2.3", "10.1.2.3"),
            ("::1", "0:0:0:0:0:0:0:1"),
            ("::1.2.3.4", "0:0:0:0:0:0:102:304"),
            ("2001:db8::ff", "2001:db8:0:0:0:0:0:ff"),
        ] {
            let client: IpAddr = text.parse().unwrap();
            assert_eq!(address(client), written);
            assert!(ip(client).is_ok(), "{text}");
        }
    }
}
