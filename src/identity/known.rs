//! Credentials that verified before, in this instance: what one says is remembered, never what was decided about it.
//!
//! A credential is found by the SHA-256 of all of it, so that a byte changed anywhere makes it another one. Only those that verified are
//! remembered: whoever cannot have any issued cannot put anything in here, and a refused one is verified, and refused, again.
//!
//! INVARIANT: a token that is found is believed for nothing but its signature and the form of its claims, which cannot change.
//! Everything that can is held against it each time: its times ([`super::claims::check_times`]), the very set of fetched keys it was verified with
//! ([`super::KeySet`]), what it is bound to, the revocation and status lists, and the proof. Issuers and sealed keys are those of the
//! sealed gate, which an instance never changes. What a chain of certificates is believed for is said in [`super::mtls::KnownChain`].

use std::cell::Cell;
use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use super::claims::Times;
use super::mtls::KnownChain;
use super::{KeyNeed, TokenIdentity};
use crate::bundle::Digest;
use crate::limits;

/// Slots of the list of those that were seen once: a power of two.
const SEEN: usize = 4096;

/// A token that verified: what it says, and what that depends on.
#[derive(Debug, Clone)]
pub struct KnownToken {
    pub(super) identity: Arc<TokenIdentity>,
    pub(super) times: Times,
    /// Whose fetched keys it needs.
    pub(super) need: Option<KeyNeed>,
    /// The set of fetched keys it was verified with, where it needs one.
    pub(super) set: Option<Digest>,
}

/// What can be remembered.
pub trait Memorable {
    /// How much of it.
    const BOUNDS: Bounds;

    /// About how much memory one takes.
    fn bytes(&self) -> usize;
}

/// One credential that verified, to be remembered.
#[derive(Debug)]
pub struct Lesson<T> {
    pub(super) digest: Digest,
    pub(super) what: Arc<T>,
}

/// What was learned from one request.
#[derive(Debug, Default)]
pub struct Learned {
    /// Its token.
    pub token: Option<Lesson<KnownToken>>,
    /// The certificates it came with.
    pub chain: Option<Lesson<KnownChain>>,
}

/// The tokens an instance remembers.
pub type KnownTokens = Known<KnownToken>;
/// The chains of certificates an instance remembers.
pub type KnownChains = Known<KnownChain>;

/// What an instance remembers: bounded in number and bytes, and by how often they come.
pub struct Known<T> {
    entries: Vec<Entry<T>>,
    by_digest: BTreeMap<Digest, usize>,
    bytes: usize,
    /// Where the search for one that gives way goes on.
    hand: usize,
    /// Marks of those that were seen once while there was no room. Made when the first one is.
    seen: Vec<u32>,
    bounds: Bounds,
}

/// How much is remembered.
#[derive(Debug, Clone, Copy)]
pub struct Bounds {
    /// How many.
    pub entries: usize,
    /// All of them together.
    pub bytes: usize,
}

struct Entry<T> {
    digest: Digest,
    what: Arc<T>,
    bytes: usize,
    /// Whether it was asked for since the hand last passed.
    used: Cell<bool>,
}

impl<T> fmt::Debug for Known<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Known").field("entries", &self.entries.len()).field("bytes", &self.bytes).finish_non_exhaustive()
    }
}

impl<T: Memorable> Default for Known<T> {
    fn default() -> Self {
        Self::new()
    }
}

impl<T: Memorable> Known<T> {
    /// None yet.
    pub const fn new() -> Self {
        Self::within(T::BOUNDS)
    }

    pub(super) const fn within(bounds: Bounds) -> Self {
        Self { entries: Vec::new(), by_digest: BTreeMap::new(), bytes: 0, hand: 0, seen: Vec::new(), bounds }
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// About how many bytes they take.
    #[cfg(test)]
    pub(super) fn bytes(&self) -> usize {
        self.bytes
    }

    /// Forgets everything.
    pub fn clear(&mut self) {
        *self = Self::within(self.bounds);
    }

    /// The one with this digest.
    pub fn find(&self, digest: &Digest) -> Option<Arc<T>> {
        let entry = self.entries.get(*self.by_digest.get(digest)?)?;
        entry.used.set(true);
        Some(Arc::clone(&entry.what))
    }

    /// Remembers one, unless there is no room and it was not seen before.
    ///
    /// SECURITY: whoever can have many issued, or sends one-time tokens only, must not drive out those that come again and again.
    /// So one that has to take another one's place is only marked when it comes first, and remembered when it comes again; and one
    /// that was used since the search for a place last came by keeps its place.
    pub fn learn(&mut self, lesson: Lesson<T>) {
        let Lesson { digest, what } = lesson;
        let bytes = what.bytes().saturating_add(size_of::<Entry<T>>());
        if bytes > self.bounds.bytes / 8 {
            return;
        }
        if let Some(entry) = self.by_digest.get(&digest).and_then(|at| self.entries.get_mut(*at)) {
            // Verified anew: with other keys than before, at another time.
            self.bytes = self.bytes.saturating_sub(entry.bytes).saturating_add(bytes);
            (entry.what, entry.bytes) = (what, bytes);
        } else {
            if !self.has_room(bytes) && !self.seen_before(&digest) {
                return;
            }
            while !self.has_room(bytes) && self.drop_one() {}
            self.by_digest.insert(digest, self.entries.len());
            self.entries.push(Entry { digest, what, bytes, used: Cell::new(false) });
            self.bytes = self.bytes.saturating_add(bytes);
        }
        while self.bytes > self.bounds.bytes && self.drop_one() {}
    }

    fn has_room(&self, bytes: usize) -> bool {
        self.entries.len() < self.bounds.entries && self.bytes.saturating_add(bytes) <= self.bounds.bytes
    }

    /// Whether it was seen before; marks it if not.
    fn seen_before(&mut self, digest: &Digest) -> bool {
        if self.seen.is_empty() {
            self.seen = vec![0; SEEN];
        }
        let [a, b, c, d, e, f, ..] = *digest.as_bytes();
        // 0 is no mark.
        let mark = u32::from_le_bytes([a, b, c, d]) | 1;
        let slot = usize::from(u16::from_le_bytes([e, f])) % SEEN;
        self.seen.get_mut(slot).is_some_and(|place| std::mem::replace(place, mark) == mark)
    }

    /// Drops the next one that was not used since the last round. `false` when there is none to drop.
    fn drop_one(&mut self) -> bool {
        // The second round finds nothing used any more.
        for _ in 0..self.entries.len().saturating_mul(2) {
            let Some(entry) = self.entries.get(self.hand) else {
                self.hand = 0;
                continue;
            };
            if entry.used.replace(false) {
                self.hand = self.hand.saturating_add(1);
                continue;
            }
            let gone = self.entries.swap_remove(self.hand);
            self.bytes = self.bytes.saturating_sub(gone.bytes);
            self.by_digest.remove(&gone.digest);
            // The last one took its place.
            if let Some(moved) = self.entries.get(self.hand) {
                self.by_digest.insert(moved.digest, self.hand);
            }
            // What came last keeps its place for this round: neither where it went, nor at the end, where the next one goes.
            self.hand = self.hand.saturating_add(1);
            if self.hand >= self.entries.len() {
                self.hand = 0;
            }
            return true;
        }
        self.entries.pop().is_some_and(|gone| {
            self.bytes = self.bytes.saturating_sub(gone.bytes);
            self.by_digest.remove(&gone.digest).is_some()
        })
    }
}

impl Memorable for KnownToken {
    const BOUNDS: Bounds = Bounds { entries: limits::KNOWN_TOKENS, bytes: limits::KNOWN_TOKEN_BYTES };

    fn bytes(&self) -> usize {
        let TokenIdentity {
            issuer_name,
            issuer,
            kind: _,
            principal,
            subject,
            groups,
            roles,
            scopes,
            audience,
            token_id,
            key_id,
            algorithm: _,
            issued_at: _,
            expires_at: _,
            auth_time: _,
            acr,
            amr,
            client_id,
            email,
            session_id,
            confirmation: _,
            status,
        } = &*self.identity;
        let names = [issuer_name, issuer, principal, subject].into_iter();
        let some = [token_id, key_id, acr, client_id, email, session_id].into_iter().flatten();
        let rest = [status.as_ref().map(|status| status.uri.len()), self.need.as_ref().map(|need| need.issuer.len())];
        let texts = texts(names.chain(some), [groups, roles, scopes, audience, amr]);
        let texts = texts.saturating_add(rest.into_iter().flatten().sum());
        // Its place in the map too, and what allocators add.
        texts.saturating_add(size_of::<TokenIdentity>()).saturating_add(128)
    }
}

/// About how much memory texts and lists of texts take beside what holds them.
pub(super) fn texts<'a>(texts: impl Iterator<Item = &'a String>, lists: impl IntoIterator<Item = &'a Vec<String>>) -> usize {
    let one = |text: &String| text.len().saturating_add(16);
    let listed = lists.into_iter().flatten().map(|text| one(text).saturating_add(size_of::<String>()));
    texts.map(one).chain(listed).sum()
}
