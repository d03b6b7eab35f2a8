//! OAuth Token Status List (draft-ietf-oauth-status-list-20): a token's place in a list its issuer publishes.
//!
//! [`reference`] reads what a token says, [`config`] whether its issuer may say so, and [`list`] verifies the list itself.
//! Fetching and keeping lists is the shell's work; nothing here does I/O.

mod config;
mod list;
mod reference;

pub(super) use config::{Lists, read};
pub use list::{PresentedList, StatusList};
pub use reference::StatusReference;
pub(super) use reference::of_token;
