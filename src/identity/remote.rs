//! Keys that an issuer publishes and changes: where they are, how long a fetched set counts, and what it holds.

use super::key::Key;
use super::table::Table;
use crate::bundle::Report;

/// Where an issuer publishes its keys, and how long they count.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Remote {}

/// Reads an issuer's configuration; `None` when it has only sealed keys.
pub(super) fn read(_table: &mut Table<'_>, _report: &mut Report) -> Option<Remote> {
    None
}

/// A key set that was fetched for one issuer and checked like a sealed one.
#[derive(Debug, Clone)]
pub struct KeySet {
    pub(super) issuer: String,
    pub(super) keys: Vec<Key>,
}

impl KeySet {
    /// Whether the set has a key of this name.
    pub fn has(&self, kid: &str) -> bool {
        self.keys.iter().any(|key| key.kid.as_deref() == Some(kid))
    }
}

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
