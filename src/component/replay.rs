//! Proofs that were used: per instance always, and exactly where there is a store.

use std::cell::RefCell;
use std::rc::Rc;

use super::fetch::within;
use super::settings::Settings;
use super::store::Store;
use crate::decision::{Denial, Reason, UnixTime};
use crate::identity::{ProofUse, UsedProofs};
use crate::limits;

/// Longest the store may take for one proof, in nanoseconds.
const ANSWER_NS: u64 = limits::STORE_ANSWER_MS * 1_000_000;

thread_local! {
    static USED: RefCell<UsedProofs> = const { RefCell::new(UsedProofs::new(limits::USED_PROOFS)) };
}

/// Whether this is the first use of a proof; from now on it no longer is.
///
/// # Errors
/// `system.store_unavailable`: what cannot be told denies.
pub(super) async fn first_use(used: &ProofUse, settings: &Rc<Settings>, now: UnixTime) -> Result<bool, Denial> {
    // Remembered before anything is awaited, so that of two requests of this instance at once only one is the first. Where
    // the store fails afterwards the proof is used up all the same.
    if !USED.with_borrow_mut(|memory| memory.first_use(used, now)) {
        return Ok(false);
    }
    let Some(label) = &settings.store else { return Ok(true) };
    within(ANSWER_NS, first_use_in(label, used, now))
        .await
        .unwrap_or_else(|| Err(unavailable("the store did not answer in time".to_owned())))
}

fn unavailable(detail: String) -> Denial {
    Denial::new(Reason::SystemStoreUnavailable, detail)
}

/// The same in the store, for all instances.
async fn first_use_in(label: &str, used: &ProofUse, now: UnixTime) -> Result<bool, Denial> {
    let store = Store::open(label).await.map_err(unavailable)?;
    let mut failed = None;
    let change = |stored: Option<&[u8]>| {
        failed = None;
        used.add_to(stored, now).unwrap_or_else(|error| {
            failed = Some(error);
            None
        })
    };
    let added = store.update(&used.shard(), change).await.map_err(unavailable)?;
    match failed {
        // SECURITY: an unreadable or full list cannot say that a proof is new.
        Some(error) => Err(unavailable(format!("{error} (`{}`)", used.shard()))),
        None => Ok(added),
    }
}
