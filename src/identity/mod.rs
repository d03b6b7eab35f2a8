//! Evidence to [`Identity`]: the only place that believes a credential, and only after it verified.
//!
//! What crosses in is [`Evidence`] and the time; what crosses out is a principal that was proven, or a denial. Nothing
//! here does I/O or reads a clock. Only [`signing`], which makes development tokens and never runs in a gate, draws random numbers.

mod algorithm;
mod authorization;
mod binding;
mod claims;
mod config;
mod credentials;
mod crypto;
mod curve;
mod deployment;
mod dpop;
mod issuers;
pub(crate) mod json;
mod jwk;
mod jwt;
mod key;
mod known;
mod load;
pub(crate) mod members;
mod mtls;
mod pem;
mod prepared;
mod remote;
mod revocation;
pub mod signing;
mod status;
pub(crate) mod table;
#[cfg(test)]
mod tests;
pub(crate) mod text;
mod url;

use std::sync::Arc;

use crate::bundle::Digest;
use crate::decision::UnixTime;
use crate::signed_url::LinkIdentity;

pub use credentials::{Answers, Credential, CredentialKind, Fate, KeyNeed, Presented, Questions, Revocations, Verified, verify};
pub use deployment::{Deployment, PublicUrl, Secret, SignatureBackend};
pub use dpop::{DpopConfig, ProofUse, ShardError, UsedProofs, nonce as dpop_nonce};
pub use issuers::Issuers;
pub use known::{Known, KnownChains, KnownToken, KnownTokens, Learned, Lesson, Memorable};
pub use mtls::{Chain, KnownChain, Mtls};
pub use remote::{Attempt, Cache, FetchedKey, KeySet, Preparation, Preparing, Remote, Source, Step, StoredSet, Supply};
pub use revocation::{Entry, Lookup, Order, Target, serial_text};
pub use status::{PresentedList, StatusList, StatusReference};
pub use url::Url;

/// The name of an algorithm that tokens can be signed with, if this is one.
pub(crate) fn algorithm_name(name: &str) -> Option<&'static str> {
    algorithm::Algorithm::from_name(name).map(algorithm::Algorithm::name)
}

/// Who is asking.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Identity {
    /// No credential was presented.
    Anonymous,
    /// A token that verified names the principal.
    Token {
        /// The token.
        token: Arc<TokenIdentity>,
        /// A client certificate that verified and came with it.
        certificate: Option<Box<CertificateIdentity>>,
    },
    /// A client certificate that verified names the principal.
    Certificate {
        /// The certificate.
        certificate: Box<CertificateIdentity>,
        /// A token that verified and came with it.
        token: Option<Arc<TokenIdentity>>,
    },
    /// A signed URL that verified names the principal.
    SignedUrl {
        /// The link.
        link: Box<LinkIdentity>,
        /// A client certificate that verified and came with it.
        certificate: Option<Box<CertificateIdentity>>,
    },
}

impl From<TokenIdentity> for Identity {
    /// A token alone.
    fn from(token: TokenIdentity) -> Self {
        Self::Token { token: Arc::new(token), certificate: None }
    }
}

impl From<CertificateIdentity> for Identity {
    /// A client certificate alone.
    fn from(certificate: CertificateIdentity) -> Self {
        Self::Certificate { certificate: Box::new(certificate), token: None }
    }
}

impl Identity {
    /// The token that verified, whoever names the principal.
    pub fn token(&self) -> Option<&TokenIdentity> {
        match self {
            Self::Anonymous | Self::SignedUrl { .. } => None,
            Self::Token { token, .. } => Some(token),
            Self::Certificate { token, .. } => token.as_deref(),
        }
    }

    /// The client certificate that verified, whoever names the principal.
    pub fn certificate(&self) -> Option<&CertificateIdentity> {
        match self {
            Self::Anonymous => None,
            Self::Token { certificate, .. } | Self::SignedUrl { certificate, .. } => certificate.as_deref(),
            Self::Certificate { certificate, .. } => Some(certificate),
        }
    }

    /// The signed URL that verified.
    pub fn link(&self) -> Option<&LinkIdentity> {
        match self {
            Self::SignedUrl { link, .. } => Some(link),
            Self::Anonymous | Self::Token { .. } | Self::Certificate { .. } => None,
        }
    }
}

/// The Cedar entity type an issuer's tokens stand for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum PrincipalKind {
    /// A person: `Gate::User`.
    User,
    /// A program: `Gate::Workload`.
    Workload,
}

impl PrincipalKind {
    /// As in records.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::User => "user",
            Self::Workload => "workload",
        }
    }
}

/// What a verified token says, after the issuer's claim mapping.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TokenIdentity {
    /// The issuer's name in `keys/issuers.toml`.
    pub issuer_name: String,
    /// The exact `iss`.
    pub issuer: String,
    /// User or workload.
    pub kind: PrincipalKind,
    /// The Cedar entity id: the issuer's prefix and the subject. Unique across issuers.
    pub principal: String,
    /// The subject claim, as in the token.
    pub subject: String,
    /// Cedar `Group` ids: prefixed claim values, or what a `[[mapping]]` made of them. Sorted, unique.
    pub groups: Vec<String>,
    /// Cedar `Role` ids, likewise.
    pub roles: Vec<String>,
    /// OAuth scopes (RFC 6749, section 3.3). Sorted, unique.
    pub scopes: Vec<String>,
    /// The audiences of the token.
    pub audience: Vec<String>,
    /// `jti`.
    pub token_id: Option<String>,
    /// `kid` of the key that verified it, where it has one.
    pub key_id: Option<String>,
    /// The JOSE algorithm.
    pub algorithm: &'static str,
    /// `iat`, whole seconds.
    pub issued_at: Option<UnixTime>,
    /// `exp`, whole seconds.
    pub expires_at: UnixTime,
    /// `auth_time` (OpenID Connect), whole seconds.
    pub auth_time: Option<UnixTime>,
    /// `acr`.
    pub acr: Option<String>,
    /// `amr`. Sorted, unique.
    pub amr: Vec<String>,
    /// `client_id`, else `azp`.
    pub client_id: Option<String>,
    /// `email`, only when `email_verified` is `true`.
    pub email: Option<String>,
    /// `sid`: the session at the identity provider.
    pub session_id: Option<String>,
    /// `cnf`: what the token is bound to.
    pub confirmation: Confirmation,
    /// `status.status_list`: where the token's status stands.
    pub status: Option<StatusReference>,
}

/// What a token is bound to (RFC 7800). Empty for a bearer token.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Confirmation {
    /// `x5t#S256`: SHA-256 of the client certificate (RFC 8705, section 3.1).
    pub certificate: Option<Digest>,
    /// `jkt`: SHA-256 thumbprint of the proof key (RFC 9449, section 6.1; RFC 7638).
    pub key: Option<Digest>,
}

impl Confirmation {
    /// What it is bound to, as policies and records say it. Of a verified token each was proved.
    pub fn bindings(&self) -> impl Iterator<Item = &'static str> {
        let Self { certificate, key } = self;
        [certificate.map(|_| "certificate"), key.map(|_| "dpop")].into_iter().flatten()
    }
}

/// The kinds of name a certificate can give its holder, as in `names` of `keys/mtls.toml`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum NameKind {
    /// A SPIFFE id: the one URI of the subject alternative name.
    Spiffe,
    /// The DNS name of the subject alternative name.
    Dns,
    /// The e-mail address of the subject alternative name.
    Email,
    /// The subject.
    Subject,
}

/// What a verified client certificate says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CertificateIdentity {
    /// The name in `keys/mtls.toml` of the trust anchor its path ends at.
    pub anchor: String,
    /// The Cedar entity id: a SPIFFE id, or the anchor's prefix and `dns:`, `email:` or `subject:` with the name.
    pub principal: String,
    /// The kind of name that became the principal.
    pub named_by: NameKind,
    /// The subject (RFC 4514).
    pub subject: String,
    /// The issuer (RFC 4514).
    pub issuer: String,
    /// SHA-256 of the issuer's name in DER: what revocation by issuer and serial goes by.
    pub issuer_digest: Digest,
    /// The serial number: lower-case hexadecimal digits without leading zeros.
    pub serial: String,
    /// DNS names of the subject alternative name, lower case. Sorted, unique, like the other three.
    pub dns_names: Vec<String>,
    /// E-mail addresses.
    pub emails: Vec<String>,
    /// URIs.
    pub uris: Vec<String>,
    /// IP addresses.
    pub ip_addresses: Vec<String>,
    /// The SPIFFE id, when it has one that keeps the X509-SVID rules.
    pub spiffe_id: Option<String>,
    /// SHA-256 of the certificate.
    pub fingerprint: Digest,
    /// SHA-256 of its `SubjectPublicKeyInfo`.
    pub spki_fingerprint: Digest,
    /// Start of its validity.
    pub not_before: UnixTime,
    /// End of its validity.
    pub not_after: UnixTime,
}
