//! OAuth Token Status List: a token's place in a list its issuer publishes.

use super::table::Table;
use crate::bundle::Report;

/// Which status lists an issuer's tokens may name.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Lists {}

/// Reads an issuer's configuration.
pub(super) fn read(_table: &mut Table<'_>, _report: &mut Report) -> Lists {
    Lists::default()
}

/// Where a token's status stands (`status.status_list`).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StatusReference {
    /// The issuer's name in `keys/issuers.toml`.
    pub issuer: String,
    /// The list's address.
    pub uri: String,
    /// The token's place in it.
    pub index: u64,
}
