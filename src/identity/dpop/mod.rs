//! DPoP: proof of possession of a key (RFC 9449).
//!
//! What crosses in is the proof of a request, its token and what the token is bound to; what crosses out is the use of the
//! proof, which the shell has to remember, or a denial. Nonces need no memory: they are times with a MAC.

mod config;
mod nonce;
mod proof;
mod target;
mod thumbprint;
mod used;

pub use config::DpopConfig;
pub(super) use config::read;
pub use nonce::nonce;
#[cfg(test)]
pub(super) use proof::check;
pub(super) use proof::verify;
#[cfg(test)]
pub(super) use thumbprint::thumbprint;
pub use used::{ProofUse, ShardError, UsedProofs};
