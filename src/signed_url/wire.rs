//! The native format to the byte: parameters in one order and one spelling, and the message that is signed.
//! `docs/signed-urls.md` describes it for others.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

use super::keyring::is_key_id;
use super::subject;
use crate::bundle::Digest;
use crate::decision::{Denial, Reason, UnixTime};
use crate::limits;
use crate::request::{Method, Network};

/// How the name of every parameter of a link begins. No request may use it for anything else.
pub(super) const PREFIX: &str = "cg-";
/// The one version of the format.
const VERSION: &str = "1";
/// The first line of every message, so that a key never signs the same bytes for another purpose.
const DOMAIN: &str = "cedargate-signed-url-v1";
/// Every parameter in its order, and whether a link must have it.
const PARAMETERS: [(&str, bool); 12] = [
    ("cg-v", true),
    ("cg-key", true),
    ("cg-iat", true),
    ("cg-nbf", false),
    ("cg-exp", true),
    ("cg-methods", true),
    ("cg-prefix", false),
    ("cg-ip", false),
    ("cg-policy", true),
    ("cg-by", true),
    ("cg-sub", false),
    ("cg-sig", true),
];

/// What is signed beside the parameters: where the link leads. Each part is on a line of its own and none holds a line feed.
#[derive(Debug, Clone, Copy)]
pub(super) struct Place<'a> {
    /// Host, and the port unless it is 80 or 443.
    pub(super) host: &'a str,
    /// The raw path, or the raw prefix.
    pub(super) path: &'a str,
    /// The raw query without the link's own parameters.
    pub(super) query: Option<&'a str>,
}

impl Place<'_> {
    /// The message for these parameters, those before `cg-sig`.
    pub(super) fn message(&self, parameters: &str) -> Vec<u8> {
        let Self { host, path, query } = self;
        let mark = if query.is_some() { "?" } else { "" };
        format!("{DOMAIN}\n{host}\n{path}\n{mark}{}\n{parameters}", query.unwrap_or_default()).into_bytes()
    }
}

/// Splits a raw query into what is left of it and the parameters of a link.
///
/// SECURITY: a link begins at the first parameter whose name *is read as* one of its own, however it is spelled; all that
/// follows belongs to it. So nothing of a link is ever left in what policies and the origin see, and another spelling is refused.
pub(crate) fn split(query: &str) -> (Option<&str>, Option<&str>) {
    let mut at = 0_usize;
    for piece in query.split('&') {
        if is_own(piece) {
            let before = at.checked_sub(1).and_then(|end| query.get(..end));
            return (before, query.get(at..));
        }
        at = at.saturating_add(piece.len()).saturating_add(1);
    }
    (Some(query), None)
}

/// Whether a parameter's name reads as `cg-…`, whatever its case and encoding.
fn is_own(piece: &str) -> bool {
    let mut bytes = piece.bytes();
    PREFIX.bytes().all(|expected| {
        let read = match bytes.next() {
            Some(b'%') => crate::request::percent_octet(&mut bytes),
            other => other,
        };
        read.is_some_and(|byte| byte.eq_ignore_ascii_case(&expected))
    })
}

/// The parameters of a link, each in its one spelling, and nothing verified.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Parameters<'a> {
    pub(super) key: &'a str,
    pub(super) issued_at: UnixTime,
    pub(super) not_before: Option<UnixTime>,
    pub(super) expires_at: UnixTime,
    pub(super) methods: Vec<Method>,
    /// How many segments of the path are the prefix.
    pub(super) prefix: Option<usize>,
    pub(super) network: Option<Network>,
    pub(super) policy_digest: Digest,
    pub(super) by: &'a str,
    pub(super) subject: Option<&'a str>,
    /// The text before `cg-by`, before `cg-sub` and before `cg-sig`.
    pub(super) before: [&'a str; 3],
    pub(super) signature: Vec<u8>,
}

/// Reads the parameters of a link.
///
/// # Errors
/// `signed_url.…`: a parameter is missing, repeated, unknown, out of its place or in another spelling.
pub(super) fn parse(text: &str) -> Result<Parameters<'_>, Denial> {
    if text.len() > limits::LINK_BYTES {
        return malformed(format!("the link's parameters have {} bytes", text.len()));
    }
    let mut found: [Slot<'_>; PARAMETERS.len()] = [None; PARAMETERS.len()];
    let (mut at, mut last, mut sorted) = (0_usize, None, true);
    for piece in text.split('&') {
        let start = at;
        at = at.saturating_add(piece.len()).saturating_add(1);
        let Some((name, value)) = piece.split_once('=') else { return malformed("a parameter without `=`") };
        if !name.starts_with(PREFIX) {
            return malformed("a parameter follows those of the link, or one of its own is encoded");
        }
        let Some(place) = PARAMETERS.iter().position(|(known, _)| *known == name) else {
            return Err(Denial::new(Reason::SignedUrlParameterUnknown, "a `cg-` parameter that this gate does not know"));
        };
        let Some(slot) = found.get_mut(place) else { return malformed("a parameter without a place") };
        if slot.replace((value, start)).is_some() {
            return Err(Denial::new(Reason::SignedUrlParameterRepeated, format!("`{name}` occurs twice")));
        }
        if value.is_empty() || !value.bytes().all(|b| b.is_ascii_alphanumeric() || b"-._~:/".contains(&b)) {
            return malformed(format!("the value of `{name}` is empty or encoded in another way than the gate does"));
        }
        sorted &= last < Some(place);
        last = Some(place);
    }
    for ((name, required), slot) in PARAMETERS.iter().zip(&found) {
        if *required && slot.is_none() {
            return Err(Denial::new(Reason::SignedUrlParameterMissing, format!("the link has no `{name}`")));
        }
    }
    if !sorted {
        return malformed("the link's parameters are not in their order");
    }
    let [version, key, issued, not_before, expires, methods, prefix, network, policy, by, subject, signature] = found;
    if value(version) != Some(VERSION) {
        return Err(Denial::new(Reason::SignedUrlVersion, "the link is of another version than 1"));
    }
    let before = |slot: Slot<'_>| {
        let end = slot.and_then(|(_, start)| start.checked_sub(1)).or_else(|| signature.and_then(|(_, start)| start.checked_sub(1)));
        text.get(..end.unwrap_or_default()).unwrap_or_default()
    };
    let read = || {
        Some(Parameters {
            key: value(key).filter(|key| is_key_id(key))?,
            issued_at: value(issued).and_then(time)?,
            not_before: optional(value(not_before), time)?,
            expires_at: value(expires).and_then(time)?,
            methods: value(methods).and_then(read_methods)?,
            prefix: optional(value(prefix), |text| {
                number(text).and_then(|n| usize::try_from(n).ok()).filter(|n| (1..=limits::PATH_SEGMENTS).contains(n))
            })?,
            network: optional(value(network), |text| Network::parse(text).filter(|network| network.to_string() == text))?,
            policy_digest: value(policy).and_then(digest)?,
            by: value(by).filter(|text| subject::is_value(text))?,
            subject: optional(value(subject), |text| subject::is_value(text).then_some(text))?,
            before: [before(by), before(subject), before(signature)],
            signature: value(signature).and_then(|text| URL_SAFE_NO_PAD.decode(text).ok())?,
        })
    };
    match read() {
        Some(parameters) => Ok(parameters),
        None => malformed("a parameter's value is not one the gate makes"),
    }
}

/// Where a parameter stands in the text, with its value.
type Slot<'a> = Option<(&'a str, usize)>;

fn value(slot: Slot<'_>) -> Option<&str> {
    slot.map(|(value, _)| value)
}

/// What is not there is fine; what is there must be right.
fn optional<'a, T>(value: Option<&'a str>, read: impl Fn(&'a str) -> Option<T>) -> Option<Option<T>> {
    match value {
        None => Some(None),
        Some(value) => read(value).map(Some),
    }
}

/// A number in its one spelling.
fn number(text: &str) -> Option<i64> {
    let plain = text.bytes().all(|b| b.is_ascii_digit()) && (text == "0" || !text.starts_with('0'));
    text.parse().ok().filter(|_| plain)
}

fn time(text: &str) -> Option<UnixTime> {
    number(text).filter(|seconds| *seconds <= limits::LATEST_SECONDS).map(UnixTime)
}

/// Methods with a dot between them, in the order of [`Method::ALL`], each once.
fn read_methods(text: &str) -> Option<Vec<Method>> {
    let methods: Vec<Method> = text.split('.').map(Method::from_name).collect::<Option<_>>()?;
    (write_methods(&methods) == text && methods.windows(2).all(|pair| matches!(pair, [a, b] if a < b))).then_some(methods)
}

fn write_methods(methods: &[Method]) -> String {
    methods.iter().map(|method| method.as_str()).collect::<Vec<_>>().join(".")
}

fn digest(text: &str) -> Option<Digest> {
    let bytes = URL_SAFE_NO_PAD.decode(text).ok()?;
    Some(Digest::from_bytes(bytes.try_into().ok()?))
}

fn malformed<T>(detail: impl Into<String>) -> Result<T, Denial> {
    Err(Denial::new(Reason::SignedUrlMalformed, detail))
}

/// What becomes the parameters of a link before `cg-by`.
#[derive(Debug, Clone)]
pub(super) struct Head<'a> {
    pub(super) key: &'a str,
    pub(super) issued_at: UnixTime,
    pub(super) not_before: Option<UnixTime>,
    pub(super) expires_at: UnixTime,
    /// Sorted, each once.
    pub(super) methods: &'a [Method],
    pub(super) prefix: Option<usize>,
    pub(super) network: Option<Network>,
    pub(super) policy_digest: Digest,
}

impl Head<'_> {
    pub(super) fn write(&self) -> String {
        let Self { key, issued_at, not_before, expires_at, methods, prefix, network, policy_digest } = self;
        let mut text = format!("cg-v={VERSION}&cg-key={key}&cg-iat={}", issued_at.0);
        let mut add = |name: &str, value: String| {
            text.push('&');
            text.push_str(name);
            text.push('=');
            text.push_str(&value);
        };
        if let Some(UnixTime(seconds)) = not_before {
            add("cg-nbf", seconds.to_string());
        }
        add("cg-exp", expires_at.0.to_string());
        add("cg-methods", write_methods(methods));
        if let Some(segments) = prefix {
            add("cg-prefix", segments.to_string());
        }
        if let Some(network) = network {
            add("cg-ip", network.to_string());
        }
        add("cg-policy", URL_SAFE_NO_PAD.encode(policy_digest.as_bytes()));
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn good() -> String {
        let head = Head {
            key: "k1",
            issued_at: UnixTime(1_799_834_400),
            not_before: None,
            expires_at: UnixTime(1_799_838_000),
            methods: &[Method::Get],
            prefix: None,
            network: None,
            policy_digest: Digest::of(b""),
        };
        format!("{}&cg-by=p.YQ&cg-sig=AAAA", head.write())
    }

    #[test]
    fn a_link_begins_where_a_name_reads_as_its_own() {
        for (query, before, link) in [
            ("", Some(""), None),
            ("a=1&b", Some("a=1&b"), None),
            ("cg-v=1", None, Some("cg-v=1")),
            ("a=1&cg-v=1&b=2", Some("a=1"), Some("cg-v=1&b=2")),
            ("&cg-v=1", Some(""), Some("cg-v=1")),
            ("a=cg-v", Some("a=cg-v"), None),
            ("cgv=1&xcg-v=1", Some("cgv=1&xcg-v=1"), None),
            ("a&%63g-v=1", Some("a"), Some("%63g-v=1")),
            ("a&c%67%2Dsig=1", Some("a"), Some("c%67%2Dsig=1")),
            ("a&CG-V=1", Some("a"), Some("CG-V=1")),
            ("a&cg-", Some("a"), Some("cg-")),
            ("a&%6&cg", Some("a&%6&cg"), None),
        ] {
            assert_eq!(split(query), (before, link), "{query}");
        }
    }

    #[test]
    fn parameters_have_one_order_and_one_spelling() {
        let good = good();
        let read = parse(&good).unwrap();
        assert_eq!((read.key, read.methods.as_slice(), read.by), ("k1", &[Method::Get][..], "p.YQ"));
        assert!(good.starts_with(read.before[2]) && read.before[0] == read.before[1].rsplit_once('&').unwrap().0);
        use Reason::*;
        for (from, to, reason) in [
            ("cg-v=1", "cg-v=2", SignedUrlVersion),
            ("cg-v=1&", "", SignedUrlParameterMissing),
            ("&cg-sig=AAAA", "", SignedUrlParameterMissing),
            ("cg-v=1", "cg-v=1&cg-v=1", SignedUrlParameterRepeated),
            ("cg-v=1", "cg-v=1&cg-x=1", SignedUrlParameterUnknown),
            ("cg-sig=AAAA", "cg-sig=AAAA&a=1", SignedUrlMalformed),
            ("cg-sig=AAAA", "cg-sig=AAAA&", SignedUrlMalformed),
            ("cg-sig=AAAA", "cg-sig=AAAA=", SignedUrlMalformed),
            ("cg-sig=AAAA", "cg-sig=AAAB%20", SignedUrlMalformed),
            ("cg-key=k1", "cg-key=k%31", SignedUrlMalformed),
            ("cg-key=k1", "%63g-key=k1", SignedUrlMalformed),
            ("cg-key=k1", "CG-key=k1", SignedUrlMalformed),
            ("cg-key=k1", "cg-key=k.1", SignedUrlMalformed),
            ("cg-iat=1", "cg-iat=01", SignedUrlMalformed),
            ("cg-exp=1799838000", "cg-exp=99999999999999", SignedUrlMalformed),
            ("cg-methods=GET", "cg-methods=get", SignedUrlMalformed),
            ("cg-methods=GET", "cg-methods=GET.GET", SignedUrlMalformed),
            ("cg-methods=GET", "cg-methods=PUT.GET", SignedUrlMalformed),
            ("cg-methods=GET", "cg-methods=GET&cg-prefix=0", SignedUrlMalformed),
            ("cg-methods=GET", "cg-methods=GET&cg-ip=192.0.2.1", SignedUrlMalformed),
            ("cg-methods=GET", "cg-methods=GET&cg-ip=192.0.2.1/24", SignedUrlMalformed),
            ("cg-by=p.YQ", "cg-by=YQ", SignedUrlMalformed),
            ("cg-v=1&cg-key=k1", "cg-key=k1&cg-v=1", SignedUrlMalformed),
        ] {
            let bad = good.replacen(from, to, 1);
            assert_ne!(bad, good, "{from}");
            assert_eq!(parse(&bad).unwrap_err().reason, reason, "{bad}");
        }
        for also in ["cg-methods=GET&cg-prefix=2", "cg-methods=GET.HEAD.PUT", "cg-methods=GET&cg-ip=192.0.2.1/32"] {
            parse(&good.replacen("cg-methods=GET", also, 1)).unwrap();
        }
        assert_eq!(parse(&format!("{good}{}", "A".repeat(limits::LINK_BYTES))).unwrap_err().reason, SignedUrlMalformed);
    }
}
