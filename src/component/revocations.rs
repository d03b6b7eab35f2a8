//! The revocation list in the store: looked up for every request, changed through the gate's own endpoint.
//!
//! The list has a version, which every change replaces. Without one the list is empty, and nothing else is read. An
//! instance believes what it read, version and entries, for one lifetime at most, so that a change counts everywhere
//! within a lifetime.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::rc::Rc;

use serde_json::{Value, json};
use spin_sdk::wasip3::clocks::monotonic_clock;
use spin_sdk::wasip3::random::random;

use super::exchange;
use super::fetch::within;
use super::settings::Settings;
use super::store::Store;
use crate::bundle::{Gate, hex};
use crate::decision::{Denial, Permit, Reason, UnixTime};
use crate::enforce::Answer;
use crate::identity::{Entry, Lookup, Order, Revocations, Target};
use crate::limits;
use crate::request::{Facts, Method};

/// The key of the list's version.
const VERSION: &str = "revocations/version";
/// Longest the store may take for one request, in nanoseconds.
const ANSWER_NS: u64 = limits::STORE_ANSWER_MS * 1_000_000;
/// How long a request waits for another one of this instance that is reading the version, and how often it looks.
const WAIT_NS: u64 = 1_000_000;
const WAITS: u32 = 50;
/// How long a new entry is watched that took the place of one which others may be about to remove.
const WATCH_NS: u64 = 250_000_000;
const WATCHES: u32 = 3;

/// What this instance read, and when.
#[derive(Default)]
struct Cache {
    /// The store it is of.
    label: String,
    version: Option<(u64, Option<Vec<u8>>)>,
    /// Whether a request is reading the version.
    reading: bool,
    entries: BTreeMap<String, (u64, Option<Vec<u8>>)>,
}

thread_local! {
    // INVARIANT: never borrowed across an `await`, for requests of one instance take turns there.
    static CACHE: RefCell<Cache> = RefCell::default();
}

impl Cache {
    /// Keeps a version that was asked for at `asked`; entries of another one are dropped.
    fn keep_version(&mut self, asked: u64, version: Option<Vec<u8>>) {
        if self.version.as_ref().is_none_or(|(_, known)| *known != version) {
            self.entries.clear();
        }
        self.version = Some((asked, version));
    }

    /// Keeps an entry that was asked for at `asked`, while this was the version.
    fn keep_entry(&mut self, key: &str, asked: u64, version: &[u8], value: Option<Vec<u8>>, lifetime: u64) {
        // Another request may have read a newer version meanwhile; an entry that was read before that counts no longer.
        if self.version.as_ref().is_none_or(|(_, known)| known.as_deref() != Some(version)) {
            return;
        }
        if self.entries.len() >= limits::REVOCATIONS_CACHED {
            self.entries.retain(|_, (read, _)| asked.saturating_sub(*read) < lifetime);
        }
        if self.entries.len() < limits::REVOCATIONS_CACHED {
            self.entries.insert(key.to_owned(), (asked, value));
        }
    }
}

/// What the store holds for these.
pub(super) async fn look_up(lookups: &[Lookup], settings: &Rc<Settings>, now: UnixTime) -> Revocations {
    let Some(label) = &settings.store else { return Revocations::NoStore };
    if lookups.is_empty() {
        return Revocations::Nothing;
    }
    match within(ANSWER_NS, read(label, lookups, settings.revocation_lifetime, now)).await {
        Some(Ok(known)) => known,
        Some(Err(why)) => Revocations::Unavailable(why),
        None => Revocations::Unavailable("the store did not answer in time".to_owned()),
    }
}

async fn read(label: &str, lookups: &[Lookup], lifetime: u64, now: UnixTime) -> Result<Revocations, String> {
    let mut known = BTreeMap::new();
    let mut store = None;
    // Whoever revokes makes a version first.
    let Some(version) = version(label, lifetime).await? else { return Ok(Revocations::Nothing) };
    for key in lookups.iter().map(Lookup::key) {
        // Asked for from this moment on: what is kept must not count from when the answer came.
        let asked = monotonic_clock::now();
        let kept = CACHE.with_borrow(|cache| {
            let (read, value) = cache.entries.get(key)?;
            (asked.saturating_sub(*read) < lifetime).then(|| value.clone())
        });
        let value = match kept {
            Some(value) => value,
            None => {
                let store = match &store {
                    Some(store) => store,
                    None => store.insert(Store::open(label).await?),
                };
                let value = entry(store, key, now).await?;
                CACHE.with_borrow_mut(|cache| cache.keep_entry(key, asked, &version, value.clone(), lifetime));
                value
            }
        };
        known.insert(key.to_owned(), value);
    }
    Ok(Revocations::Known(known))
}

/// The version of the list. Of several requests at once one reads it, and the others wait for a while.
async fn version(label: &str, lifetime: u64) -> Result<Option<Vec<u8>>, String> {
    for _ in 0..WAITS {
        let now = monotonic_clock::now();
        let (kept, reading) = CACHE.with_borrow_mut(|cache| {
            if cache.label != label {
                *cache = Cache { label: label.to_owned(), ..Cache::default() };
            }
            let kept = cache.version.as_ref().filter(|(read, _)| now.saturating_sub(*read) < lifetime).map(|(_, version)| version.clone());
            (kept, cache.reading)
        });
        if let Some(version) = kept {
            return Ok(version);
        }
        // With no lifetime nothing another request reads would do.
        if !reading || lifetime == 0 {
            break;
        }
        monotonic_clock::wait_for(WAIT_NS).await;
    }
    let reading = Reading::begin();
    let asked = monotonic_clock::now();
    let version = Store::open(label).await?.get(VERSION).await?;
    CACHE.with_borrow_mut(|cache| {
        if cache.label == label {
            cache.keep_version(asked, version.clone());
        }
    });
    drop(reading);
    Ok(version)
}

/// Says that a request is reading the version, for as long as it is: also when it is given up.
struct Reading;

impl Reading {
    fn begin() -> Self {
        CACHE.with_borrow_mut(|cache| cache.reading = true);
        Self
    }
}

impl Drop for Reading {
    fn drop(&mut self) {
        CACHE.with_borrow_mut(|cache| cache.reading = false);
    }
}

/// An entry of the store. One that has been over for long is removed.
async fn entry(store: &Store, key: &str, now: UnixTime) -> Result<Option<Vec<u8>>, String> {
    let Some(mut value) = store.get(key).await? else { return Ok(None) };
    // What is larger cannot be read anyway, and shall not fill the cache.
    value.truncate(limits::REVOCATION_ENTRY_BYTES.saturating_add(1));
    if Entry::read(&value).is_ok_and(|entry| entry.is_stale(now)) {
        // It no longer counts, so nothing is lost when this fails. SECURITY: `put` watches for a removal that was begun before
        // somebody revoked the same again.
        drop(store.remove(key).await);
        return Ok(None);
    }
    Ok(Some(value))
}

/// What a caller who may change the list sent.
pub(super) struct Asked<'a> {
    pub(super) gate: &'a Gate,
    pub(super) facts: &'a Facts,
    pub(super) body: &'a [u8],
    pub(super) decision_id: &'a str,
}

/// A change that was made: what the caller is told, and what the record says.
pub(super) struct Changed {
    pub(super) answer: Answer,
    pub(super) what: String,
}

/// Carries out a permitted change of the list: the permit says with which method and by whom.
///
/// # Errors
/// A denial with a `gate.body_…` reason, `gate.not_found` for what was not revoked, or `system.store_unavailable`.
pub(super) async fn change(permit: Permit, asked: &Asked<'_>, settings: &Rc<Settings>, now: UnixTime) -> Result<Changed, Denial> {
    let Asked { gate, facts, body, decision_id } = asked;
    // A browser sends JSON elsewhere only after it asked, and nothing here answers that question.
    if !exchange::is_json(facts) {
        return Err(Denial::new(Reason::GateBodyInvalid, "the `content-type` is not `application/json`"));
    }
    let undo = permit.method() == Method::Delete;
    let order = Order::read(body, gate.issuers(), undo, now)?;
    let (target, entry) = order.entry(now, permit.principal().to_owned(), (*decision_id).to_owned());
    let unavailable = |detail: String| Denial::new(Reason::SystemStoreUnavailable, detail);
    let label = settings.store.as_ref().ok_or_else(|| unavailable("no key-value store is configured".to_owned()))?;
    let store = Store::open(label).await.map_err(unavailable)?;
    let within = settings.revocation_lifetime.div_euclid(1_000_000);
    let (kind, id) = (target.kind(), target.id().to_string());
    let mut told = json!({ "id": id, "effective_within_ms": within });
    let mut add = |name: &str, value: Value| drop(told.as_object_mut().map(|told| told.insert(name.to_owned(), value)));
    let mut what;
    let status;
    if undo {
        if !take_back(&store, &target, now).await.map_err(unavailable)? {
            return Err(Denial::new(Reason::GateNotFound, format!("{kind} {id} is not revoked")));
        }
        (what, status) = (format!("took back the revocation of {kind} {id}"), 200);
        add("restored", json!(kind));
    } else {
        let entry = put(&store, &target, &entry, now).await.map_err(unavailable)?;
        (what, status) = (format!("revoked {kind} {id}"), 201);
        add("revoked", json!(kind));
        for (name, time) in [("issued_before", entry.issued_before), ("expires_at", entry.until)] {
            if let Some(UnixTime(seconds)) = time {
                what.push_str(&format!(", {name} {seconds}"));
                add(name, json!(seconds));
            }
        }
    }
    if let Some(reason) = &entry.reason {
        what.push_str(&format!(": {reason}"));
    }
    Ok(Changed { answer: Answer::done(status, &told, decision_id), what })
}

/// Writes an entry; what the list holds already stays revoked. Returns the entry as it is now.
async fn put(store: &Store, target: &Target, entry: &Entry, now: UnixTime) -> Result<Entry, String> {
    let key = target.key();
    // Before the entry, so that no entry is ever in a list that has no version, and after it, so that nobody goes on with what
    // was read before.
    renew(store).await?;
    for _ in 0..WATCHES {
        let (mut written, mut replaced) = (entry.clone(), false);
        let changed = store.update(&key, |value| {
            let earlier = value.map(Entry::read);
            replaced = matches!(&earlier, Some(Ok(earlier)) if earlier.is_over(now));
            written = match &earlier {
                None => entry.clone(),
                Some(Ok(earlier)) if earlier.is_over(now) => entry.clone(),
                Some(Ok(earlier)) => entry.clone().and(earlier),
                Some(Err(_)) => entry.clone().and_all(),
            };
            Some(written.to_bytes())
        });
        changed.await?;
        renew(store).await?;
        // SECURITY: a store removes without asking what is there. Somebody who found the entry that was replaced may remove
        // the new one instead.
        if replaced {
            monotonic_clock::wait_for(WATCH_NS).await;
        }
        if store.get(&key).await?.is_some() {
            return Ok(written);
        }
    }
    Err("the entry was removed as often as it was written".to_owned())
}

/// Removes an entry; `false` when there was none, or only one that is over.
async fn take_back(store: &Store, target: &Target, now: UnixTime) -> Result<bool, String> {
    let key = target.key();
    let Some(value) = store.get(&key).await? else { return Ok(false) };
    let counted = Entry::read(&value).map_or(true, |entry| !entry.is_over(now));
    store.remove(&key).await?;
    renew(store).await?;
    Ok(counted)
}

/// Replaces the version of the list, and forgets what this instance read.
async fn renew(store: &Store) -> Result<(), String> {
    let version = hex(&random::get_random_bytes(16));
    store.set(VERSION, version.as_bytes()).await?;
    CACHE.with_borrow_mut(|cache| {
        cache.version = None;
        cache.entries.clear();
    });
    Ok(())
}
