//! Proofs that were used: per instance always, and exactly where there is a store.

use std::rc::Rc;

use super::settings::Settings;
use crate::decision::{Denial, Reason, UnixTime};
use crate::identity::ProofUse;

/// Whether this is the first use of a proof; from now on it no longer is.
///
/// # Errors
/// `system.store_unavailable`: what cannot be told denies.
pub(super) async fn first_use(_used: &ProofUse, _settings: &Rc<Settings>, _now: UnixTime) -> Result<bool, Denial> {
    Err(Reason::SystemStoreUnavailable.into())
}
