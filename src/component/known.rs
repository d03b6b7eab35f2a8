//! The credentials that verified before in this instance. What of them counts is [`crate::identity::Known`]'s to say.

use std::cell::RefCell;
use std::sync::Arc;

use crate::bundle::Digest;
use crate::identity::{KnownChain, KnownChains, KnownTokens, Learned, Presented};
use crate::request::Evidence;

thread_local! {
    // Empty in the snapshot: nothing verifies a credential while a gate is sealed.
    static TOKENS: RefCell<KnownTokens> = const { RefCell::new(KnownTokens::new()) };
    static CHAINS: RefCell<KnownChains> = const { RefCell::new(KnownChains::new()) };
}

/// The credentials of a request, taken apart as far as they are not known.
pub(super) fn presented(evidence: &Evidence, cache: bool) -> Presented<'_> {
    if !cache {
        return Presented::read(evidence);
    }
    TOKENS.with_borrow(|known| Presented::knowing(evidence, Some(known))).recalling(&chain)
}

fn chain(digest: &Digest) -> Option<Arc<KnownChain>> {
    CHAINS.with_borrow(|known| known.find(digest))
}

/// Remembers what was verified.
pub(super) fn learn(learned: Learned) {
    let Learned { token, chain } = learned;
    if let Some(token) = token {
        TOKENS.with_borrow_mut(|known| known.learn(token));
    }
    if let Some(chain) = chain {
        CHAINS.with_borrow_mut(|known| known.learn(chain));
    }
}

/// Forgets everything.
pub(super) fn forget() {
    TOKENS.with_borrow_mut(KnownTokens::clear);
    CHAINS.with_borrow_mut(KnownChains::clear);
}
