//! Keys that an issuer publishes and changes: where they are, what a fetched set must be, and for how long it counts.
//!
//! What crosses in are bytes that somebody else answered with, and the time; what crosses out is a checked [`KeySet`] of one
//! issuer, and what to do next ([`Step`]). Nothing here asks anybody: the shell does.

mod cache;
mod config;
mod freshness;
mod metadata;
mod preparation;
mod set;
mod stored;

use crate::bundle::Digest;

pub use cache::{Cache, Step};
pub(super) use config::{Published, read};
pub use config::{Remote, Source};
pub use preparation::{FetchedKey, Preparation, Preparing};
pub use set::KeySet;
pub use stored::{Attempt, StoredSet};

/// What the shell has of the keys a token needs ([`super::Presented::key_need`]).
#[derive(Debug, Clone, Copy)]
pub enum Supply<'a> {
    /// No fetched keys are needed.
    NotNeeded,
    /// The issuer's fetched set.
    Set(&'a KeySet),
    /// Fetched keys are needed, and there are none, or none that may still be used.
    Stale,
}

impl Supply<'_> {
    /// The digest of the fetched set.
    pub(super) fn digest(self) -> Option<Digest> {
        match self {
            Self::Set(set) => Some(set.digest()),
            Self::NotNeeded | Self::Stale => None,
        }
    }
}
