//! A link: made from a grant, and read back into what it grants.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

use super::config::SignedUrls;
use super::keyring::{KeyState, Keyring, LinkKey};
use super::subject::{self, SubjectMode};
use super::wire::{self, Head, Parameters, Place};
use crate::bundle::Digest;
use crate::decision::{Denial, Reason, UnixTime};
use crate::limits;
use crate::request::{Facts, Method, Network, Path};

/// How a link came.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Carrier {
    /// In the query.
    Query,
    /// In a cookie; prefixes only.
    Cookie,
}

impl Carrier {
    /// As in records and for policies.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Query => "query",
            Self::Cookie => "cookie",
        }
    }
}

/// A link as it arrived, unverified.
#[derive(Clone, PartialEq, Eq)]
pub struct PresentedLink {
    /// Its parameters as they were sent.
    pub text: String,
    /// How it came.
    pub carrier: Carrier,
}

/// What a link that verified grants, as far as the request shows it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LinkIdentity {
    /// Names this link and no other: the start of the SHA-256 of what is signed, 32 hexadecimal digits.
    pub id: String,
    /// The key that signed it.
    pub key_id: String,
    /// Who had it made: a Cedar principal, or `hash:…` of one.
    pub issuer: String,
    /// Who it is for: what was asked for when it was made, else who had it made.
    pub subject: String,
    /// When it was made.
    pub issued_at: UnixTime,
    /// When it ends.
    pub expires_at: UnixTime,
    /// Whether it grants everything below a path.
    pub prefix: bool,
    /// Whether it counts from some addresses only.
    pub address_bound: bool,
    /// The policy digest of the gate that made it.
    pub policy_digest: Digest,
    /// How it came.
    pub carrier: Carrier,
}

/// Everything a link says, before it is signed.
#[derive(Debug, Clone)]
pub struct Grant<'a> {
    /// Sorted, each once.
    pub methods: &'a [Method],
    /// Host, and the port unless it is 80 or 443.
    pub host: &'a str,
    /// The path.
    pub path: &'a Path,
    /// Whether everything below the path is granted instead of the path alone.
    pub prefix: bool,
    /// The raw query.
    pub query: Option<&'a str>,
    /// When it is made.
    pub issued_at: UnixTime,
    /// When it begins to count.
    pub not_before: Option<UnixTime>,
    /// When it ends.
    pub expires_at: UnixTime,
    /// The addresses it counts from.
    pub network: Option<Network>,
    /// Who has it made.
    pub issuer: &'a str,
    /// Who it is for.
    pub subject: Option<&'a str>,
    /// The digest of the gate that decided.
    pub policy_digest: Digest,
}

/// A link that was made.
#[derive(Clone, PartialEq, Eq)]
pub struct Link {
    /// See [`LinkIdentity::id`].
    pub id: String,
    /// Its parameters with the signature: to be appended to the query, or the value of the cookie.
    pub parameters: String,
}

impl Grant<'_> {
    /// Signs it.
    ///
    /// # Errors
    /// Why the key cannot.
    pub fn sign(&self, key: &LinkKey, mode: SubjectMode) -> Result<Link, &'static str> {
        let Self { methods, host, path, prefix, query, issued_at, not_before, expires_at, network, issuer, subject, policy_digest } = self;
        let segments = path.segments().len();
        let head = Head {
            key: key.id(),
            issued_at: *issued_at,
            not_before: *not_before,
            expires_at: *expires_at,
            methods,
            prefix: prefix.then_some(segments),
            network: *network,
            policy_digest: *policy_digest,
        };
        let place = Place { host, path: path.raw(), query: *query };
        let mut text = head.write();
        for (name, value) in [("cg-by", Some(*issuer)), ("cg-sub", *subject)] {
            if let Some(value) = value {
                let hidden = subject::write(mode, key, &place.message(&text), value);
                let hidden = hidden.ok_or("the key cannot hide the subject: its private half is not here")?;
                text.push_str(&format!("&{name}={hidden}"));
            }
        }
        let message = place.message(&text);
        let signature = key.sign(&[&message]).ok_or("the key cannot sign: its private half is not here")?;
        text.push_str(&format!("&cg-sig={}", URL_SAFE_NO_PAD.encode(signature)));
        if text.len() > limits::LINK_BYTES {
            return Err("the link would be too long");
        }
        Ok(Link { id: id_of(&message), parameters: text })
    }
}

/// The path and query of a link that is carried in the query.
pub fn with_parameters(path: &str, query: Option<&str>, parameters: &str) -> String {
    match query {
        None => format!("{path}?{parameters}"),
        Some(query) => format!("{path}?{query}&{parameters}"),
    }
}

/// Host and port as links hold them: without the ports that clients leave out.
pub fn host_of(host: &str, port: Option<u16>) -> String {
    match port {
        None | Some(80 | 443) => host.to_owned(),
        Some(port) => format!("{host}:{port}"),
    }
}

/// What a link is verified with.
#[derive(Debug, Clone, Copy)]
pub struct Verifier<'a> {
    /// The deployment's keys.
    pub keyring: &'a Keyring,
    /// What is sealed.
    pub config: &'a SignedUrls,
    /// The gate's own digest.
    pub policy_digest: Digest,
}

impl Verifier<'_> {
    /// Verifies a link for one request. The signature comes first: of a link that was not signed nothing else is told.
    ///
    /// # Errors
    /// A denial with a `signed_url.…` reason.
    pub fn verify(&self, link: &PresentedLink, facts: &Facts, now: UnixTime) -> Result<LinkIdentity, Denial> {
        let refuse = |reason, detail: &str| Err(Denial::new(reason, detail));
        let parameters = wire::parse(&link.text)?;
        let key = match self.keyring.get(parameters.key) {
            None => return refuse(Reason::SignedUrlKeyUnknown, "no key of the deployment has this id"),
            Some(key) if key.state() == KeyState::Retired => {
                return refuse(Reason::SignedUrlKeyRetired, &format!("the key `{}` is retired", key.id()));
            }
            Some(key) => key,
        };
        let path = match parameters.prefix {
            Some(segments) => prefix_of(facts.path.raw(), segments),
            None if link.carrier == Carrier::Cookie => return refuse(Reason::SignedUrlMalformed, "a cookie carries prefixes only"),
            None => Some(facts.path.raw()),
        };
        let host = host_of(&facts.host, facts.port);
        // A path that has fewer segments than the prefix is not below it.
        let Some(path) = path else { return refuse(Reason::SignedUrlSignature, "the path is shorter than the link's prefix") };
        let place = Place { host: &host, path, query: facts.query.as_deref() };
        let [before_by, before_subject, all] = parameters.before;
        let message = place.message(all);
        if !key.verify(&message, &parameters.signature) {
            return refuse(Reason::SignedUrlSignature, "the signature is not one of this host, path, query and parameters");
        }
        self.terms(&parameters, facts, now)?;
        let name = |before: &str, value: &str| {
            subject::read(key, &place.message(before), value)
                .map_err(|why| Denial::new(Reason::SignedUrlMalformed, format!("a name in the link cannot be read: {why}")))
        };
        let issuer = name(before_by, parameters.by)?;
        let subject = match parameters.subject {
            Some(subject) => name(before_subject, subject)?,
            None => issuer.clone(),
        };
        Ok(LinkIdentity {
            id: id_of(&message),
            key_id: key.id().to_owned(),
            issuer,
            subject,
            issued_at: parameters.issued_at,
            expires_at: parameters.expires_at,
            prefix: parameters.prefix.is_some(),
            address_bound: parameters.network.is_some(),
            policy_digest: parameters.policy_digest,
            carrier: link.carrier,
        })
    }

    /// What the link itself asks for.
    fn terms(&self, parameters: &Parameters<'_>, facts: &Facts, now: UnixTime) -> Result<(), Denial> {
        let refuse = |reason, detail: &str| Err(Denial::new(reason, detail));
        let Parameters { issued_at, not_before, expires_at, methods, network, policy_digest, .. } = parameters;
        if expires_at.0.saturating_sub(issued_at.0) > limits::LINK_SECONDS {
            return refuse(Reason::SignedUrlMalformed, "the link lasts longer than any the gate makes");
        }
        if now >= *expires_at {
            return refuse(Reason::SignedUrlExpired, &format!("it ended at {}", expires_at.0));
        }
        let begins = not_before.unwrap_or(*issued_at);
        let leeway = if not_before.is_some() { 0 } else { limits::CLOCK_DIFFERENCE_SECONDS };
        if now.0.saturating_add(leeway) < begins.0 {
            return refuse(Reason::SignedUrlNotYetValid, &format!("it begins at {}", begins.0));
        }
        // GET implies HEAD (RFC 9110, section 9.3.2: the same without the content), and nothing else is implied.
        let granted = methods.contains(&facts.method) || (facts.method == Method::Head && methods.contains(&Method::Get));
        if !granted {
            return refuse(Reason::SignedUrlMethod, &format!("it is not for {}", facts.method.as_str()));
        }
        if network.is_some_and(|network| !facts.client.is_some_and(|client| network.contains(client))) {
            return refuse(Reason::SignedUrlAddress, "the client's address is not one the link is bound to");
        }
        if self.config.pin_policy && *policy_digest != self.policy_digest {
            return refuse(Reason::SignedUrlPolicy, &format!("it was made under the policies {policy_digest}"));
        }
        Ok(())
    }
}

/// The first segments of a raw path; `None` when it has fewer.
fn prefix_of(path: &str, segments: usize) -> Option<&str> {
    let mut ends = path.match_indices('/').map(|(at, _)| at).skip(segments);
    let slashes = path.bytes().filter(|byte| *byte == b'/').count();
    match ends.next() {
        Some(end) => path.get(..end),
        None => (slashes == segments && path != "/").then_some(path),
    }
}

fn id_of(message: &[u8]) -> String {
    Digest::of(message).to_string().chars().take(32).collect()
}
