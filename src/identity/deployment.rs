//! What a deployment tells the gate about itself and the terminator in front of it: secrets, and the URL callers use.

use std::fmt;
use std::sync::Arc;

use subtle::ConstantTimeEq;

use crate::request::Facts;
use crate::signed_url::{Keyring, ServiceCredentials};

/// What belongs to a deployment and not to the sealed gate. Given to every decision, so that the same inputs always give
/// the same decision.
#[derive(Debug, Clone, Default)]
pub struct Deployment {
    /// The scheme and authority callers use, where it is not what the gate itself sees (behind a TLS terminator).
    pub public_url: Option<PublicUrl>,
    /// What the terminator proves itself with: the current secret, and during rotation the previous one.
    pub terminator_secrets: Vec<Secret>,
    /// What DPoP nonces are keyed with: the first makes new ones, all are accepted.
    pub nonce_secrets: Vec<Secret>,
    /// What signed URLs are made and verified with.
    pub keyring: Arc<Keyring>,
    /// What URLs of other services are signed with.
    pub services: Arc<ServiceCredentials>,
    /// What verifies the signatures of tokens.
    pub signatures: SignatureBackend,
}

/// What verifies the signatures of an issuer's keys. Both give the same answers.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum SignatureBackend {
    /// The key as it was prepared when it was sealed or fetched; `ring` for keys and algorithms that are not prepared.
    #[default]
    Prepared,
    /// `ring` for all.
    Ring,
}

impl SignatureBackend {
    /// Reads the variable `signature_backend`: `prepared` or `ring`.
    pub fn from_name(name: &str) -> Option<Self> {
        match name {
            "prepared" => Some(Self::Prepared),
            "ring" => Some(Self::Ring),
            _ => None,
        }
    }
}

/// A secret of the deployment. `Debug` never shows it, and it is only ever compared in constant time.
#[derive(Clone)]
pub struct Secret(Box<[u8]>);

impl Secret {
    /// Fewest bytes of a secret: what can be guessed proves nothing.
    pub const BYTES: usize = 16;

    /// A secret; `None` when it has fewer than [`Secret::BYTES`] bytes.
    pub fn new(bytes: impl Into<Vec<u8>>) -> Option<Self> {
        let bytes: Vec<u8> = bytes.into();
        (bytes.len() >= Self::BYTES).then(|| Self(bytes.into()))
    }

    /// Whether `other` is this secret, in time that does not depend on where they differ.
    pub fn matches(&self, other: &[u8]) -> bool {
        self.0.ct_eq(other).into()
    }

    /// The bytes, for keying a MAC.
    pub(super) fn bytes(&self) -> &[u8] {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(…)")
    }
}

/// A scheme, host and port: `https://api.example.com`, without a path.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PublicUrl {
    /// `https`, else `http`.
    pub https: bool,
    /// Lower-case host; an IPv6 address in brackets.
    pub host: String,
    /// Where it is not the scheme's own.
    pub port: Option<u16>,
}

impl PublicUrl {
    /// Reads `https://host[:port]`, with at most a `/` after it.
    pub fn parse(text: &str) -> Option<Self> {
        let (https, rest) = match text.strip_prefix("https://") {
            Some(rest) => (true, rest),
            None => (false, text.strip_prefix("http://")?),
        };
        let authority = rest.strip_suffix('/').unwrap_or(rest);
        let (host, port) = crate::request::parse_authority(authority, https)?;
        Some(Self { https, host, port })
    }

    /// What the request itself says, for a deployment that says nothing.
    pub fn of_request(facts: &Facts) -> Self {
        Self { https: facts.https, host: facts.host.clone(), port: facts.port }
    }
}

impl fmt::Display for PublicUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}://{}", if self.https { "https" } else { "http" }, self.host)?;
        self.port.map_or(Ok(()), |port| write!(f, ":{port}"))
    }
}

#[cfg(test)]
mod tests {
    use super::{PublicUrl, Secret};

    #[test]
    fn a_public_url_is_scheme_host_and_port() {
        for (text, shown) in [
            ("https://api.example.com", "https://api.example.com"),
            ("https://API.example.com/", "https://api.example.com"),
            ("https://api.example.com:443", "https://api.example.com"),
            ("http://127.0.0.1:3000", "http://127.0.0.1:3000"),
        ] {
            assert_eq!(PublicUrl::parse(text).unwrap().to_string(), shown);
        }
        for bad in ["", "api.example.com", "ftp://a", "https://", "https://a/b", "https://u@a", "https://a?b", "https://a:99999"] {
            assert_eq!(PublicUrl::parse(bad), None, "{bad}");
        }
    }

    #[test]
    fn a_secret_is_long_enough_compared_and_never_shown() {
        assert!(Secret::new("short").is_none());
        let secret = Secret::new("0123456789abcdef").unwrap();
        assert!(secret.matches(b"0123456789abcdef"));
        assert!(!secret.matches(b"0123456789abcdeF") && !secret.matches(b"") && !secret.matches(b"0123456789abcdef0"));
        assert_eq!(format!("{secret:?}"), "Secret(…)");
    }
}
