//! What one instance holds of an issuer's keys, and what to do for a request: a state machine without clock or I/O.
//!
//! INVARIANT: between two attempts lies at least the issuer's interval, whatever the requests ask for; and a set that may be
//! used is used, whatever becomes of the attempts.

use std::collections::{BTreeMap, BTreeSet};
use std::rc::Rc;

use super::{KeySet, Remote, StoredSet};
use crate::decision::UnixTime;
use crate::limits;

/// What to do about one request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Step {
    /// The set serves.
    Use,
    /// The set serves; behind the request's back it is to be fetched again.
    UseAndRefresh,
    /// Only a fetch can help: begin one, or wait for the one in flight.
    WaitForFetch,
    /// The set serves, and has not the key: its issuer was asked for it, or was asked too short a while ago.
    UseKnownMissing,
    /// There is no set that may be used, and it is too early to ask again.
    Refuse,
}

/// What one instance holds of one issuer's keys.
#[derive(Debug, Default)]
pub struct Cache {
    held: Option<StoredSet>,
    last_attempt: Option<UnixTime>,
    /// Unknown keys that requests wait for.
    wanted: BTreeSet<String>,
}

impl Remote {
    /// Whether a set that was fetched at `fetched_at` may be used at `now`.
    ///
    /// SECURITY: one from the future does not count either: a clock was wrong, and its age cannot be told.
    pub(super) fn counts(&self, fetched_at: UnixTime, now: UnixTime) -> bool {
        let age = now.0.saturating_sub(fetched_at.0);
        age >= limits::CLOCK_SKEW_SECONDS.saturating_neg() && age < self.stale_if_error
    }

    /// Whether an attempt at `last` is long enough ago. Counted both ways: after a clock was set back, the interval holds
    /// still, and no longer than that.
    pub fn may_ask(&self, last: UnixTime, now: UnixTime) -> bool {
        now.0.saturating_sub(last.0).unsigned_abs() >= self.interval.unsigned_abs()
    }
}

impl StoredSet {
    /// Whether the issuer was asked for this key and had it not.
    fn knows_missing(&self, kid: &str, now: UnixTime) -> bool {
        self.missing.get(kid).is_some_and(|until| now < *until)
    }
}

impl Cache {
    /// What to do for a token with this `kid`.
    pub fn step(&self, remote: &Remote, kid: Option<&str>, now: UnixTime, in_flight: bool) -> Step {
        let may_ask = self.last_attempt.is_none_or(|last| remote.may_ask(last, now));
        let Some(held) = self.held(remote, now) else {
            return if in_flight || may_ask { Step::WaitForFetch } else { Step::Refuse };
        };
        let missing = kid.filter(|kid| !held.set.has(kid));
        if (in_flight || may_ask) && missing.is_some_and(|kid| !held.knows_missing(kid, now)) {
            return Step::WaitForFetch;
        }
        match missing {
            _ if now >= held.fresh_until && may_ask && !in_flight => Step::UseAndRefresh,
            Some(_) => Step::UseKnownMissing,
            None => Step::Use,
        }
    }

    /// The set, if there is one that may be used.
    pub fn usable(&self, remote: &Remote, now: UnixTime) -> Option<&Rc<KeySet>> {
        self.held(remote, now).map(|held| &held.set)
    }

    fn held(&self, remote: &Remote, now: UnixTime) -> Option<&StoredSet> {
        self.held.as_ref().filter(|held| held.set.is_of(remote) && remote.counts(held.fetched_at, now))
    }

    /// Until when the set may be used; `None` when there is none.
    pub fn usable_until(&self, remote: &Remote, now: UnixTime) -> Option<UnixTime> {
        self.held(remote, now).map(|held| UnixTime(held.fetched_at.0.saturating_add(remote.stale_if_error)))
    }

    /// Whether requests wait for what only a new set can give them.
    pub fn is_awaited(&self, remote: &Remote, now: UnixTime) -> bool {
        self.held(remote, now).is_none_or(|held| self.wanted.iter().any(|kid| !held.set.has(kid) && !held.knows_missing(kid, now)))
    }

    /// Whether the issuer is still to be asked, now that other instances were.
    pub fn is_due(&self, remote: &Remote, now: UnixTime) -> bool {
        let fresh = self.held(remote, now).is_some_and(|held| now < held.fresh_until);
        (self.is_awaited(remote, now) || !fresh) && self.last_attempt.is_none_or(|last| remote.may_ask(last, now))
    }

    /// A request waits for this key.
    pub fn want(&mut self, kid: &str) {
        if self.wanted.len() < limits::UNKNOWN_KEYS && kid.len() <= limits::KEY_ID_BYTES {
            self.wanted.insert(kid.to_owned());
        }
    }

    /// Somebody asked the issuer, or is about to.
    pub fn attempted(&mut self, at: UnixTime) {
        self.last_attempt = Some(at);
    }

    /// Nobody waits any longer: the attempt failed, or another instance made it.
    pub fn ended(&mut self) {
        self.wanted.clear();
    }

    /// A set was fetched. Keys that requests wait for and that it has not are remembered as missing. The answer is what to
    /// write to the store.
    pub fn fetched(&mut self, set: KeySet, lifetime: i64, now: UnixTime) -> &StoredSet {
        let before = self.held.take().map(|held| held.missing).unwrap_or_default();
        let mut missing: BTreeMap<String, UnixTime> = before.into_iter().filter(|(kid, until)| now < *until && !set.has(kid)).collect();
        let until = UnixTime(now.0.saturating_add(limits::UNKNOWN_KEY_SECONDS));
        for kid in std::mem::take(&mut self.wanted) {
            if !set.has(&kid) {
                if missing.len() >= limits::UNKNOWN_KEYS {
                    // The one that would be forgotten first anyway.
                    let first = missing.iter().min_by_key(|(_, until)| **until).map(|(kid, _)| kid.clone());
                    first.and_then(|kid| missing.remove(&kid));
                }
                missing.insert(kid, until);
            }
        }
        self.last_attempt = Some(now);
        let fresh_until = UnixTime(now.0.saturating_add(lifetime));
        self.held.insert(StoredSet { set: Rc::new(set), fetched_at: now, fresh_until, missing })
    }

    /// Prepares the key of this name in the set that is held, or lets go of what was prepared. A set that is replaced takes its
    /// prepared keys with it.
    pub fn refit(&mut self, kid: &str, prepared: bool) {
        if let Some(held) = &mut self.held {
            held.set = Rc::new(held.set.with_key(kid, prepared));
        }
    }

    /// Another instance's set, where it is newer than this one's. Whether it was taken.
    pub fn adopt(&mut self, remote: &Remote, other: StoredSet, now: UnixTime) -> bool {
        let newer = self.held(remote, now).is_none_or(|held| held.fetched_at < other.fetched_at);
        if newer {
            // It is also the word of an attempt.
            self.last_attempt = self.last_attempt.max(Some(other.fetched_at));
            self.held = Some(other);
        }
        newer
    }
}
