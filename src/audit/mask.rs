//! Masking: what of a value the record shows, and the list of what it does not.

use std::borrow::Cow;
use std::net::IpAddr;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use ring::hmac;

use super::config::{AuditConfig, Field, Rule};
use super::text::clean;

/// Text of a record; none when it was erased, or there is none.
pub(super) type Text<'a> = Option<Cow<'a, str>>;

/// How many bytes of the hash are shown: enough that no two values of a log have the same.
const HASH_BYTES: usize = 16;

/// Shows values as far as the rules allow, and remembers what it changed.
#[derive(Debug)]
pub(super) struct Masker<'a> {
    config: &'a AuditConfig,
    /// 32 bytes that only the deployment knows.
    key: Option<&'a [u8; 32]>,
    /// Places that show something else than the value.
    pub(super) masked: Vec<&'static str>,
    /// Places that show nothing.
    pub(super) erased: Vec<&'static str>,
}

impl<'a> Masker<'a> {
    pub(super) fn new(config: &'a AuditConfig, key: Option<&'a [u8; 32]>) -> Self {
        Self { config, key, masked: vec![], erased: vec![] }
    }

    /// What may be shown of `value`, which stands in the record at `place`.
    pub(super) fn text<'t>(&mut self, field: Field, place: &'static str, value: &'t str) -> Text<'t> {
        self.by_rule(self.config.rule(field), field, place, value)
    }

    /// The same for a value that may be missing.
    pub(super) fn some<'t>(&mut self, field: Field, place: &'static str, value: Option<&'t str>) -> Text<'t> {
        value.and_then(|value| self.text(field, place, value))
    }

    /// The same for each of a list. Erased: an empty one.
    pub(super) fn list<'t>(&mut self, field: Field, place: &'static str, values: &'t [String]) -> Vec<Cow<'t, str>> {
        values.iter().filter_map(|value| self.text(field, place, value)).collect()
    }

    /// A value that is shown as it is, cut and cleaned; told of when that changed it.
    pub(super) fn plain<'t>(&mut self, place: &'static str, value: &'t str) -> Cow<'t, str> {
        let shown = clean(value);
        if matches!(shown, Cow::Owned(_)) {
            note(&mut self.masked, place);
        }
        shown
    }

    /// The value of a parameter or header of this name.
    ///
    /// SECURITY: what may be a credential is never shown and never hashed, whatever the rules.
    pub(super) fn named<'t>(&mut self, field: Field, place: &'static str, name: &str, value: &'t str) -> Text<'t> {
        if is_secret(name) || looks_like_token(value) {
            note(&mut self.erased, place);
            return None;
        }
        let shown = field == Field::Headers && self.config.shown_headers.iter().any(|shown| shown == name);
        self.by_rule(if shown { Rule::Keep } else { self.config.rule(field) }, field, place, value)
    }

    /// A value that is no text: nothing of it can be shown.
    pub(super) fn not_text<'t>(&mut self, place: &'static str) -> Text<'t> {
        self.erase(place)
    }

    /// Whether free text, in which the values of a field may stand, may be shown.
    pub(super) fn shows(&self, field: Field) -> bool {
        self.config.rule(field) == Rule::Keep
    }

    fn by_rule<'t>(&mut self, rule: Rule, field: Field, place: &'static str, value: &'t str) -> Text<'t> {
        match rule {
            Rule::Keep => Some(self.plain(place, value)),
            Rule::Hash => match self.key {
                Some(key) => {
                    note(&mut self.masked, place);
                    Some(Cow::Owned(hashed(key, field, value)))
                }
                // SECURITY: without a key anybody could hash every guess and compare.
                None => self.erase(place),
            },
            Rule::Truncate => match value.parse().ok().map(network) {
                Some(network) => {
                    note(&mut self.masked, place);
                    Some(Cow::Owned(network))
                }
                None => self.erase(place),
            },
            Rule::Erase => self.erase(place),
        }
    }

    fn erase<'t>(&mut self, place: &'static str) -> Text<'t> {
        note(&mut self.erased, place);
        None
    }
}

/// Adds a place that is not there yet, in order.
fn note(places: &mut Vec<&'static str>, place: &'static str) {
    if let Err(at) = places.binary_search(&place) {
        places.insert(at, place);
    }
}

/// `h:` and a MAC of field and value: the same for the same value of the same field under the same key.
fn hashed(key: &[u8; 32], field: Field, value: &str) -> String {
    let mut context = hmac::Context::with_key(&hmac::Key::new(hmac::HMAC_SHA256, key));
    context.update(format!("cedargate-record-v1 mask {field:?}\n").as_bytes());
    context.update(value.as_bytes());
    let tag = context.sign();
    format!("h:{}", URL_SAFE_NO_PAD.encode(tag.as_ref().get(..HASH_BYTES).unwrap_or_default()))
}

/// The network of an address: /24 of IPv4, /48 of IPv6.
fn network(address: IpAddr) -> String {
    match address.to_canonical() {
        IpAddr::V4(v4) => {
            let [a, b, c, _] = v4.octets();
            format!("{a}.{b}.{c}.0/24")
        }
        IpAddr::V6(v6) => {
            let [a, b, c, ..] = v6.segments();
            format!("{}/48", std::net::Ipv6Addr::new(a, b, c, 0, 0, 0, 0, 0))
        }
    }
}

/// Whether a parameter or header of this name is there to carry a credential.
pub(super) fn is_secret(name: &str) -> bool {
    const WHOLE: [&str; 16] = [
        "authorization",
        "proxy-authorization",
        "cookie",
        "set-cookie",
        "dpop",
        "code",
        "state",
        "nonce",
        "sig",
        "hmac",
        "pwd",
        "pass",
        "auth",
        "jwt",
        "assertion",
        "key",
    ];
    const PARTS: [&str; 12] = [
        "token",
        "secret",
        "password",
        "passwd",
        "signature",
        "credential",
        "apikey",
        "api_key",
        "api-key",
        "session",
        "private",
        "x-amz-",
    ];
    let name = name.to_ascii_lowercase();
    WHOLE.contains(&name.as_str()) || PARTS.iter().any(|part| name.contains(part))
}

/// Whether a value has the form of a JSON Web Token, which is never a thing to show.
fn looks_like_token(value: &str) -> bool {
    let start = value.find("eyJ").and_then(|at| value.get(at..));
    start.is_some_and(|rest| rest.bytes().filter(|byte| *byte == b'.').count() >= 2)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bundle::{Bundle, Report};

    fn config(mask: &str) -> AuditConfig {
        let mut bundle = Bundle::default();
        bundle.insert(super::super::config::FILE, format!("version = 1\nshown_headers = ['x-shown']\n[mask]\n{mask}"));
        AuditConfig::load(&bundle, &mut Report::default()).unwrap()
    }

    #[test]
    fn each_rule_shows_what_it_may_and_is_told_of() {
        let config = config("subject = 'hash'\nclient = 'truncate'\nemail = 'erase'");
        let mut masker = Masker::new(&config, Some(&[7; 32]));
        let hashed = masker.text(Field::Subject, "identity.subject", "alice").unwrap();
        assert!(hashed.starts_with("h:") && hashed.len() == 24 && !hashed.contains("alice"));
        assert_eq!(masker.text(Field::Subject, "cedar.principal", "alice").unwrap(), hashed);
        assert_ne!(masker.text(Field::Subject, "cedar.principal", "bob").unwrap(), hashed);
        assert_eq!(masker.text(Field::Client, "request.client", "203.0.113.77").unwrap(), "203.0.113.0/24");
        assert_eq!(masker.text(Field::Client, "request.client", "2001:db8:1:2::3").unwrap(), "2001:db8:1::/48");
        assert_eq!(masker.text(Field::Client, "request.client", "::ffff:203.0.113.77").unwrap(), "203.0.113.0/24");
        assert_eq!(masker.text(Field::Email, "identity.email", "a@b.c"), None);
        assert_eq!(masker.text(Field::Host, "request.host", "a.example").unwrap(), "a.example");
        assert_eq!(masker.masked, ["cedar.principal", "identity.subject", "request.client"]);
        assert_eq!(masker.erased, ["identity.email"]);
    }

    #[test]
    fn without_a_key_nothing_is_hashed() {
        let config = config("subject = 'hash'");
        let mut masker = Masker::new(&config, None);
        assert_eq!(masker.text(Field::Subject, "identity.subject", "alice"), None);
        assert_eq!(masker.erased, ["identity.subject"]);
    }

    #[test]
    fn credentials_are_erased_whatever_the_rules() {
        let config = config("query = 'keep'\nheaders = 'erase'");
        let mut masker = Masker::new(&config, Some(&[7; 32]));
        for (name, value) in [("access_token", "x"), ("X-Amz-Signature", "x"), ("sig", "x"), ("page", "eyJhbGciOiJub25lIn0.e30.x")] {
            assert_eq!(masker.named(Field::Query, "inputs.query", name, value), None, "{name}");
        }
        assert_eq!(masker.named(Field::Query, "inputs.query", "page", "2").unwrap(), "2");
        assert_eq!(masker.named(Field::Headers, "inputs.headers", "x-shown", "a").unwrap(), "a");
        assert_eq!(masker.named(Field::Headers, "inputs.headers", "x-other", "a"), None);
    }

    #[test]
    fn a_value_that_had_to_be_cut_or_cleaned_is_told_of() {
        let config = AuditConfig::default();
        let mut masker = Masker::new(&config, None);
        assert_eq!(masker.text(Field::Path, "request.path", "/a\nb").unwrap(), "/a\\u{a}b");
        assert_eq!(masker.masked, ["request.path"]);
    }
}
