//! The revocation list in the store: looked up for every request, changed through the gate's own endpoint.

use std::rc::Rc;

use super::settings::Settings;
use crate::decision::{Denial, Permit, Reason, UnixTime};
use crate::enforce::Answer;
use crate::identity::{Lookup, Revocations};

/// What the store holds for these.
pub(super) async fn look_up(_lookups: &[Lookup], _settings: &Rc<Settings>) -> Revocations {
    Revocations::NoStore
}

/// Carries out a permitted change of the list: `body` is what was sent, the permit says with which method and by whom.
///
/// # Errors
/// A denial with a `gate.body_…` or `system.store_unavailable` reason.
pub(super) async fn change(
    _permit: Permit,
    _body: &[u8],
    _settings: &Rc<Settings>,
    _decision_id: &str,
    _now: UnixTime,
) -> Result<Answer, Denial> {
    Err(Reason::SystemStoreUnavailable.into())
}
