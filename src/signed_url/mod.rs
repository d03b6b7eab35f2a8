//! Signed URLs: made only for what a caller may reach, bound to it, and decided again when they are used.
//!
//! What crosses in is a [`SigningPermit`](crate::decision::SigningPermit), which only a decision makes; what crosses out is a URL
//! or a cookie. The other way a link that arrived becomes a [`LinkIdentity`], whose signature verified, or a denial. Nothing here
//! reads a clock or does I/O. `docs/signed-urls.md` describes the native format to the byte.

mod config;
pub mod formats;
mod issue;
mod keyring;
mod link;
mod order;
mod services;
mod subject;
#[cfg(test)]
mod tests;
mod wire;

pub use config::{FILE, SameSite, SignedUrls};
pub use issue::{Issued, Issuer};
pub use keyring::{KeyState, Keyring, LinkKey};
pub use link::{Carrier, Grant, Link, LinkIdentity, PresentedLink, Verifier, host_of, with_parameters};
pub use order::{Format, SignOrder, Wanted, base};
pub use services::ServiceCredentials;
pub use subject::SubjectMode;
pub(crate) use wire::split;

/// The name of the cookie that carries a link. The prefix makes browsers take it over TLS only (RFC 6265bis, section 4.1.3.1).
pub const COOKIE: &str = "__Secure-cg-link";
