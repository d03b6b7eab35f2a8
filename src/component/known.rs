//! The tokens that verified before in this instance. What of them counts is [`crate::identity::KnownTokens`]'s to say.

use std::cell::RefCell;

use crate::identity::{KnownTokens, Learned, Presented};
use crate::request::Evidence;

thread_local! {
    // Empty in the snapshot: nothing verifies a token while a gate is sealed.
    static KNOWN: RefCell<KnownTokens> = const { RefCell::new(KnownTokens::new()) };
}

/// The credentials of a request, taken apart as far as they are not known.
pub(super) fn presented(evidence: &Evidence, cache: bool) -> Presented<'_> {
    KNOWN.with_borrow(|known| Presented::knowing(evidence, cache.then_some(known)))
}

/// Remembers a token.
pub(super) fn learn(learned: Learned) {
    KNOWN.with_borrow_mut(|known| known.learn(learned));
}

/// Forgets all tokens.
pub(super) fn forget() {
    KNOWN.with_borrow_mut(KnownTokens::clear);
}
