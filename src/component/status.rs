//! Status lists: fetched, verified like a token, and kept for as long as they say.

use std::rc::Rc;

use super::settings::Settings;
use crate::bundle::Gate;
use crate::decision::{Denial, Reason, UnixTime};
use crate::identity::StatusReference;

/// The status of one token.
///
/// # Errors
/// `system.status_unavailable`: what cannot be told denies.
pub(super) async fn of(_gate: &'static Gate, _reference: &StatusReference, _settings: &Rc<Settings>, _now: UnixTime) -> Result<u8, Denial> {
    Err(Reason::SystemStatusUnavailable.into())
}
