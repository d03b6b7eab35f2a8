//! Who asks, in a test's words.
//!
//! SECURITY: nothing here was proven, and nothing that is made here is ever let through: policies are asked about it, no more.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::yaml::{Members, Node, Source, Value, listed};
use crate::bundle::{Digest, nearest};
use crate::decision::UnixTime;
use crate::identity::{CertificateIdentity, Confirmation, Identity, Issuers, NameKind, PrincipalKind, TokenIdentity, algorithm_name};
use crate::signed_url::{Carrier, LinkIdentity};

/// The name of who has no credential.
pub(in crate::cli) const ANONYMOUS: &str = "anonymous";

/// A digest of nothing.
const NOTHING: Digest = Digest::from_bytes([0; 32]);

/// Somebody who asks, at any time.
#[derive(Debug, Clone, Default)]
pub(in crate::cli) struct Caller {
    token: Option<Token>,
    certificate: Option<Certificate>,
    link: Option<Link>,
    /// Of a token and a certificate: whether the certificate names the principal.
    by_certificate: bool,
}

/// A token; its times count from the request.
#[derive(Debug, Clone)]
struct Token {
    token: TokenIdentity,
    age: Option<i64>,
    /// Instead of the time of a login that is always the same.
    auth_age: Option<i64>,
    expires_in: i64,
}

#[derive(Debug, Clone)]
struct Certificate {
    certificate: CertificateIdentity,
    age: i64,
    expires_in: i64,
}

#[derive(Debug, Clone)]
struct Link {
    link: LinkIdentity,
    age: i64,
    expires_in: i64,
}

impl Caller {
    /// As the gate would know them after their credentials verified at this time.
    pub fn identity(&self, now: UnixTime) -> Identity {
        let ago = |seconds: i64| UnixTime(now.0.saturating_sub(seconds));
        let later = |seconds: i64| UnixTime(now.0.saturating_add(seconds));
        let token = self.token.as_ref().map(|Token { token, age, auth_age, expires_in }| {
            Arc::new(TokenIdentity {
                issued_at: age.map(ago),
                auth_time: auth_age.map(ago).or(token.auth_time),
                expires_at: later(*expires_in),
                ..token.clone()
            })
        });
        let certificate = self.certificate.as_ref().map(|Certificate { certificate, age, expires_in }| {
            Box::new(CertificateIdentity { not_before: ago(*age), not_after: later(*expires_in), ..certificate.clone() })
        });
        let link = self.link.as_ref().map(|Link { link, age, expires_in }| {
            Box::new(LinkIdentity { issued_at: ago(*age), expires_at: later(*expires_in), ..link.clone() })
        });
        match (link, token, certificate) {
            (Some(link), _, certificate) => Identity::SignedUrl { link, certificate },
            (None, token, Some(certificate)) if self.by_certificate || token.is_none() => Identity::Certificate { certificate, token },
            (None, Some(token), certificate) => Identity::Token { token, certificate },
            (None, None, _) => Identity::Anonymous,
        }
    }
}

/// The callers that have a name.
#[derive(Debug, Clone)]
pub(in crate::cli) struct Callers<'g> {
    issuers: &'g Issuers,
    /// Whether `keys/mtls.toml` makes certificates name the principal.
    by_certificate: bool,
    named: BTreeMap<String, Caller>,
}

impl<'g> Callers<'g> {
    /// Nobody but the anonymous caller.
    pub fn new(gate: &'g crate::bundle::Gate) -> Self {
        Self {
            issuers: gate.issuers(),
            by_certificate: gate.mtls().is_some_and(crate::identity::Mtls::names_principal),
            named: [(ANONYMOUS.to_owned(), Caller::default())].into(),
        }
    }

    /// Adds those of a `callers:`.
    pub fn define(&mut self, node: &Node, source: &mut Source<'_>) {
        let Some(members) = Members::of(node, "`callers`", source) else { return };
        for (key, node) in members.all() {
            let plain = |c: char| c.is_ascii_alphanumeric() || "._-@".contains(c);
            if key.name.is_empty() || !key.name.chars().all(plain) {
                let help = "use letters, digits, `.`, `_`, `-` and `@`";
                source.problem(&key.span, "test.caller", format!("`{}` cannot be the name of a caller", key.name.escape_debug()), help);
            } else if self.named.contains_key(&key.name) {
                let message = format!("there is a caller `{}` already", key.name);
                source.problem(&key.span, "test.caller", message, "callers.yaml counts for every file: choose another name");
            } else if let Some(caller) = self.describe(node, source) {
                self.named.insert(key.name.clone(), caller);
            }
        }
    }

    /// A caller by name, or written out.
    pub fn read(&self, node: &Node, source: &mut Source<'_>) -> Option<Caller> {
        match &node.value {
            Value::Text(name) => match self.named.get(name) {
                Some(caller) => Some(caller.clone()),
                None => {
                    let known = || self.named.keys().map(String::as_str);
                    let help = nearest(name, known()).map_or_else(
                        || {
                            format!(
                                "there are {}; more go into `callers`, or into policies/tests/callers.yaml",
                                listed(&known().collect::<Vec<_>>())
                            )
                        },
                        |near| format!("did you mean `{near}`?"),
                    );
                    source.problem(&node.span, "test.caller", format!("no caller is called `{}`", name.escape_debug()), help);
                    None
                }
            },
            _ => self.describe(node, source),
        }
    }

    fn describe(&self, node: &Node, source: &mut Source<'_>) -> Option<Caller> {
        let mut members = Members::of(node, "a caller", source)?;
        let (token, certificate, link) = (members.take("token"), members.take("certificate"), members.take("signed_url"));
        let names = members.take("principal_from").and_then(|node| source.name(node, &["token", "certificate"]));
        let span = members.span;
        let mut caller = Caller { by_certificate: names.map_or(self.by_certificate, |name| name == "certificate"), ..Caller::default() };
        let none = token.is_none() && certificate.is_none() && link.is_none();
        members.finish(source);
        if none {
            let help = "a caller has a `token`, a `certificate` or a `signed_url`; who has none of them is `anonymous`";
            source.problem(span, "test.caller", "a caller without a credential", help);
        }
        if token.is_some() && link.is_some() {
            source.problem(span, "test.caller", "a caller with a token and a signed URL", "the gate takes one of them: remove the other");
        }
        if let Some(node) = token {
            caller.token = Some(self.token(node, source)?);
        }
        if let Some(node) = certificate {
            caller.certificate = Some(certificate_of(node, source)?);
        }
        if let Some(node) = link {
            caller.link = Some(link_of(node, source)?);
        }
        Some(caller)
    }

    fn token(&self, node: &Node, source: &mut Source<'_>) -> Option<Token> {
        let mut members = Members::of(node, "a token", source)?;
        let mut text = |name| members.take(name).and_then(|node| source.text(node));
        let (issuer, subject) = (text("issuer"), text("subject"));
        let (iss, acr, client_id, email) = (text("iss"), text("acr"), text("client_id"), text("email"));
        let mut set = |name| members.take(name).and_then(|node| source.set(node)).unwrap_or_default();
        let (groups, roles, scopes, audience, amr) = (set("groups"), set("roles"), set("scopes"), set("audience"), set("amr"));
        let kind = members.take("kind").and_then(|node| source.name(node, &["user", "workload"]));
        let algorithm = members.take("algorithm");
        let bindings = members.take("bindings");
        let mut seconds = |name| members.take(name).and_then(|node| source.seconds(node));
        let (age, auth_age, expires_in) = (seconds("age"), seconds("auth_age"), seconds("expires_in"));
        let auth_time = members.take("auth_time").and_then(|node| source.time(node));
        let span = members.span;
        members.finish(source);
        if auth_age.is_some() && auth_time.is_some() {
            source.problem(span, "test.caller", "a token with `auth_age` and `auth_time`", "keep the one that is meant");
        }
        let (Some(issuer), Some(subject)) = (issuer, subject) else {
            source.problem(
                span,
                "test.caller",
                "a token without `issuer` or `subject`",
                "`issuer` is its name in keys/issuers.toml, `subject` the claim",
            );
            return None;
        };
        let algorithm = match algorithm {
            None => "EdDSA",
            Some(node) => match algorithm_name(&source.text(node)?) {
                Some(name) => name,
                None => return source.wrong(node, "an algorithm such as `ES256`"),
            },
        };
        let mut confirmation = Confirmation::default();
        for binding in bindings.and_then(|node| source.texts(node)).unwrap_or_default() {
            match binding.as_str() {
                "certificate" => confirmation.certificate = Some(NOTHING),
                "dpop" => confirmation.key = Some(NOTHING),
                _ => source.wrong(bindings?, "`certificate` or `dpop`")?,
            }
        }
        // An issuer that is not configured, as the development issuer mostly is, has the defaults of one that is.
        let known = self.issuers.describe(&issuer);
        let prefix = known.map_or_else(|| format!("{issuer}/"), |(_, _, prefix)| prefix.to_owned());
        let kind = match kind {
            Some("workload") => PrincipalKind::Workload,
            Some(_) => PrincipalKind::User,
            None => known.map_or(PrincipalKind::User, |(_, kind, _)| kind),
        };
        let token = TokenIdentity {
            issuer: iss.or_else(|| known.map(|(iss, ..)| iss.to_owned())).unwrap_or_else(|| format!("https://{issuer}.invalid/")),
            issuer_name: issuer,
            kind,
            principal: format!("{prefix}{subject}"),
            subject,
            groups,
            roles,
            scopes,
            audience,
            token_id: None,
            key_id: None,
            algorithm,
            issued_at: None,
            expires_at: UnixTime(0),
            auth_time,
            acr,
            amr,
            client_id,
            email,
            session_id: None,
            confirmation,
            status: None,
        };
        Some(Token { token, age: Some(age.unwrap_or(60)), auth_age, expires_in: expires_in.unwrap_or(3_600) })
    }
}

fn certificate_of(node: &Node, source: &mut Source<'_>) -> Option<Certificate> {
    let mut members = Members::of(node, "a certificate", source)?;
    let mut text = |name| members.take(name).and_then(|node| source.text(node));
    let (anchor, principal, spiffe_id) = (text("anchor"), text("principal"), text("spiffe_id"));
    let (subject, issuer, serial) = (text("subject"), text("issuer"), text("serial"));
    let mut digest = |name| {
        let node: &Node = members.take(name)?;
        let text = source.text(node)?;
        Digest::parse(&text).or_else(|| source.wrong(node, "64 lower-case hexadecimal digits"))
    };
    let (fingerprint, spki_fingerprint) = (digest("fingerprint"), digest("spki_fingerprint"));
    let mut set = |name| members.take(name).and_then(|node| source.set(node));
    let (dns_names, emails, uris, ip_addresses) = (set("dns_names"), set("emails"), set("uris"), set("ip_addresses"));
    let mut seconds = |name, default| members.take(name).map_or(Some(default), |node| source.seconds(node));
    let (age, expires_in) = (seconds("age", 60), seconds("expires_in", 3_600));
    let span = members.span;
    members.finish(source);
    let Some(principal) = principal.or_else(|| spiffe_id.clone()) else {
        let help =
            "`principal` is the id policies see: a SPIFFE id, or the anchor's prefix and `dns:`, `email:` or `subject:` with the name";
        source.problem(span, "test.caller", "a certificate without `principal` or `spiffe_id`", help);
        return None;
    };
    let certificate = CertificateIdentity {
        anchor: anchor.unwrap_or_else(|| "corp".to_owned()),
        principal,
        named_by: NameKind::Subject,
        subject: subject.unwrap_or_else(|| "CN=test".to_owned()),
        issuer: issuer.unwrap_or_else(|| "CN=test CA".to_owned()),
        issuer_digest: NOTHING,
        serial: serial.unwrap_or_else(|| "1".to_owned()),
        dns_names: dns_names.unwrap_or_default(),
        emails: emails.unwrap_or_default(),
        uris: uris.unwrap_or_else(|| spiffe_id.iter().cloned().collect()),
        ip_addresses: ip_addresses.unwrap_or_default(),
        spiffe_id,
        fingerprint: fingerprint.unwrap_or(NOTHING),
        spki_fingerprint: spki_fingerprint.unwrap_or(NOTHING),
        not_before: UnixTime(0),
        not_after: UnixTime(0),
    };
    Some(Certificate { certificate, age: age?, expires_in: expires_in? })
}

fn link_of(node: &Node, source: &mut Source<'_>) -> Option<Link> {
    let mut members = Members::of(node, "a signed URL", source)?;
    let mut text = |name| members.take(name).and_then(|node| source.text(node));
    let (issuer, subject, key_id) = (text("issuer"), text("subject"), text("key_id"));
    let mut boolean = |name| members.take(name).map_or(Some(false), |node| source.boolean(node));
    let (prefix, address_bound) = (boolean("prefix"), boolean("bound_to_address"));
    let carrier = members.take("carrier").map_or(Some("query"), |node| source.name(node, &["query", "cookie"]));
    let mut seconds = |name, default| members.take(name).map_or(Some(default), |node| source.seconds(node));
    let (age, expires_in) = (seconds("age", 60), seconds("expires_in", 3_600));
    members.finish(source);
    let issuer = issuer.unwrap_or_else(|| "Gate::User::\"test/somebody\"".to_owned());
    let link = LinkIdentity {
        id: "test".to_owned(),
        key_id: key_id.unwrap_or_else(|| "test".to_owned()),
        subject: subject.unwrap_or_else(|| issuer.clone()),
        issuer,
        issued_at: UnixTime(0),
        expires_at: UnixTime(0),
        prefix: prefix?,
        address_bound: address_bound?,
        policy_digest: NOTHING,
        carrier: if carrier? == "cookie" { Carrier::Cookie } else { Carrier::Query },
    };
    Some(Link { link, age: age?, expires_in: expires_in? })
}
