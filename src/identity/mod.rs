//! Evidence to [`Identity`]: the only place that believes a credential, and only after it verified.
//!
//! What crosses in is [`Evidence`] and the time; what crosses out is a principal that was proven, or a denial. Nothing
//! here does I/O or reads a clock. Only [`signing`], which makes development tokens and never runs in a gate, draws random numbers.

mod algorithm;
mod authorization;
mod claims;
mod config;
mod crypto;
mod curve;
mod issuers;
mod json;
mod jwk;
mod jwt;
mod key;
mod load;
mod pem;
pub mod signing;
mod table;
#[cfg(test)]
mod tests;
mod text;

use crate::decision::UnixTime;

pub use issuers::Issuers;

/// Who is asking.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Identity {
    /// No credential was presented.
    Anonymous,
    /// A bearer token that verified.
    Token(Box<TokenIdentity>),
}

/// The Cedar entity type an issuer's tokens stand for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum PrincipalKind {
    /// A person: `Gate::User`.
    User,
    /// A program: `Gate::Workload`.
    Workload,
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
}
