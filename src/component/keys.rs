//! Fetched key sets: in the instance, in the store, and from their issuers.
//!
//! What to do for a request is [`Cache::step`]'s to say. Here it is done: one flight at a time in an instance, and where
//! there is a store one attempt per interval among all that share it. A store that fails costs the sharing and nothing else:
//! keys are fetched all the same, at most once per interval in each instance.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::io::Write;
use std::rc::Rc;

use spin_sdk::wasip3::clocks::monotonic_clock;
use spin_sdk::wit_bindgen;

use super::fetch::{self, Fetched, within};
use super::settings::Settings;
use super::store::Store;
use crate::bundle::Gate;
use crate::decision::UnixTime;
use crate::identity::{
    Attempt, Cache, FetchedKey, KeyNeed, KeySet, Preparation, Preparing, Remote, SignatureBackend, Source, Step, StoredSet, Supply,
    TokenIdentity, Url,
};
use crate::limits;

/// Longest a fetch may take, in nanoseconds like the others here.
const FETCH: u64 = limits::KEY_FETCH_MS * 1_000_000;
/// Longest the store may take, each time. One that takes longer is as good as none.
const STORE: u64 = 1_000_000_000;
/// How often a request that waits looks whether what it waits for is there: in the instance, and in the store.
const LOOK: u64 = 10_000_000;
const LOOK_IN_STORE: u64 = 50_000_000;
/// Longest a whole flight takes: the store, the fetch, the store again.
const FLIGHT: u64 = FETCH + 3 * STORE;

/// What there is of the keys a request needs.
pub(super) enum Held {
    NotNeeded,
    Set(Rc<KeySet>),
    Stale,
}

impl Held {
    pub(super) fn supply(&self) -> Supply<'_> {
        match self {
            Self::NotNeeded => Supply::NotNeeded,
            Self::Set(set) => Supply::Set(set),
            Self::Stale => Supply::Stale,
        }
    }
}

/// What this instance has of one issuer.
struct Entry {
    remote: &'static Remote,
    cache: RefCell<Cache>,
    /// Whether the store was asked what other instances left there.
    loaded: Cell<bool>,
    /// The number of the flight under way, and when it began.
    flight: Cell<Option<(u64, u64)>>,
    flights: Cell<u64>,
}

// INVARIANT: one entry for each issuer of the sealed gate, which are few and never change.
thread_local! {
    static ENTRIES: RefCell<BTreeMap<&'static str, Rc<Entry>>> = const { RefCell::new(BTreeMap::new()) };
    static PREPARATION: RefCell<Preparation> = RefCell::default();
    /// Keys to be prepared as soon as the answer is given.
    static DUE: RefCell<Vec<FetchedKey>> = const { RefCell::new(Vec::new()) };
}

impl Entry {
    fn of(remote: &'static Remote) -> Rc<Self> {
        let new = || {
            let (cache, loaded, flight, flights) = (RefCell::default(), Cell::new(false), Cell::new(None), Cell::new(0));
            Rc::new(Self { remote, cache, loaded, flight, flights })
        };
        ENTRIES.with_borrow_mut(|entries| Rc::clone(entries.entry(remote.issuer()).or_insert_with(new)))
    }

    /// A flight that is older than any can be was lost with whatever carried it.
    fn in_flight(&self) -> bool {
        self.flight.get().is_some_and(|(_, began)| monotonic_clock::now().saturating_sub(began) < FLIGHT)
    }

    /// Begins a flight; `None` when there is one.
    fn begin(self: &Rc<Self>) -> Option<Flight> {
        if self.in_flight() {
            return None;
        }
        let number = self.flights.get().wrapping_add(1);
        self.flights.set(number);
        self.flight.set(Some((number, monotonic_clock::now())));
        Some(Flight { entry: Rc::clone(self), number })
    }

    /// Waits until the flight under way is over. By looking, and not to be woken: the flight is another request's task.
    async fn landing(&self) {
        let began = monotonic_clock::now();
        while self.in_flight() && monotonic_clock::now().saturating_sub(began) < FLIGHT {
            monotonic_clock::wait_for(LOOK).await;
        }
    }
}

/// The right to fetch for an entry. Given back when it is dropped, also by a task that is cancelled.
struct Flight {
    entry: Rc<Entry>,
    number: u64,
}

impl Drop for Flight {
    fn drop(&mut self) {
        if self.entry.flight.get().is_some_and(|(number, _)| number == self.number) {
            self.entry.flight.set(None);
            self.entry.cache.borrow_mut().ended();
        }
    }
}

/// The keys a request needs. Waits for their issuer only when there is no usable set, or the set has not this `kid`.
pub(super) async fn supply(gate: &'static Gate, need: Option<KeyNeed>, settings: &Rc<Settings>, now: UnixTime) -> Held {
    let Some(KeyNeed { issuer, kid }) = need else { return Held::NotNeeded };
    let Some(remote) = gate.issuers().remote(&issuer) else { return Held::NotNeeded };
    let entry = Entry::of(remote);
    if let Some(label) = &settings.store {
        load(&entry, label, now).await;
    }
    let mut waited = false;
    loop {
        let step = entry.cache.borrow().step(remote, kid.as_deref(), now, entry.in_flight());
        match step {
            Step::WaitForFetch if !waited => {
                if let Some(kid) = &kid {
                    entry.cache.borrow_mut().want(kid);
                }
                match entry.begin() {
                    Some(flight) => refresh(flight, Rc::clone(settings), now).await,
                    None => entry.landing().await,
                }
                waited = true;
            }
            Step::UseAndRefresh => {
                if let Some(flight) = entry.begin() {
                    wit_bindgen::spawn(refresh(flight, Rc::clone(settings), now));
                }
                break;
            }
            Step::Use | Step::UseKnownMissing | Step::WaitForFetch | Step::Refuse => break,
        }
    }
    let cache = entry.cache.borrow();
    cache.usable(remote, now).map_or(Held::Stale, |set| Held::Set(Rc::clone(set)))
}

/// Notes that a token was believed which a fetched key verified.
pub(super) fn used(held: &Held, token: &TokenIdentity, settings: &Settings) {
    let (Held::Set(set), Some(kid), SignatureBackend::Prepared) = (held, &token.key_id, settings.deployment.signatures) else { return };
    let Some(prepared) = set.is_prepared(kid, token.algorithm) else { return };
    let key = FetchedKey { issuer: token.issuer_name.clone(), kid: kid.clone() };
    let Preparing { now, forget } = PREPARATION.with_borrow_mut(|preparation| preparation.used(key.clone(), prepared));
    if let Some(forget) = forget {
        refit(&forget, false);
    }
    if now {
        DUE.with_borrow_mut(|due| due.push(key));
    }
}

/// Prepares keys, when the answer to the request that made them due is given: it takes two or three milliseconds.
pub(super) fn prepare_due() {
    let due = DUE.take();
    if !due.is_empty() {
        wit_bindgen::spawn(async move { due.iter().for_each(|key| refit(key, true)) });
    }
}

fn refit(key: &FetchedKey, prepared: bool) {
    let entry = ENTRIES.with_borrow(|entries| entries.get(key.issuer.as_str()).cloned());
    if let Some(entry) = entry {
        entry.cache.borrow_mut().refit(&key.kid, prepared);
    }
}

/// Takes what other instances left in the store, once in the life of this one.
async fn load(entry: &Rc<Entry>, label: &str, now: UnixTime) {
    while !entry.loaded.get() {
        match entry.begin() {
            Some(_flight) => {
                let taken = async {
                    if let Ok(store) = Store::open(label).await {
                        adopt(entry, &store, now).await;
                    }
                };
                // A store that does not answer is not asked again: a fetch helps as well.
                let _ = within(STORE, taken).await;
                entry.loaded.set(true);
            }
            None => entry.landing().await,
        }
    }
}

/// Takes the set in the store, where it is this issuer's, usable and newer. Whether it was taken.
async fn adopt(entry: &Entry, store: &Store, now: UnixTime) -> bool {
    let Ok(Some(bytes)) = store.get(&entry.remote.set_key()).await else { return false };
    let Some(stored) = StoredSet::read(entry.remote, &bytes, now) else { return false };
    entry.cache.borrow_mut().adopt(entry.remote, stored, now)
}

/// Whose turn it is to ask the issuer.
enum Turn {
    /// This instance's. The store is there where the others wait for what becomes of it.
    Ours(Option<Store>),
    /// Another's, or it was a short while ago.
    Theirs(Store, Attempt),
    /// Nobody's: another has asked, and what came of it is enough.
    Done,
}

/// One attempt to get a newer set.
async fn refresh(flight: Flight, settings: Rc<Settings>, now: UnixTime) {
    let entry = Rc::clone(&flight.entry);
    let turn = match &settings.store {
        None => Turn::Ours(None),
        Some(label) => within(STORE, turn(&entry, label, now)).await.unwrap_or(Turn::Ours(None)),
    };
    match turn {
        Turn::Done => {}
        Turn::Theirs(store, attempt) => {
            entry.cache.borrow_mut().attempted(attempt.at);
            let _ = within(FETCH + STORE, others(&entry, &store, attempt, now)).await;
        }
        Turn::Ours(store) => {
            // Before the fetch: whatever becomes of it, it was an attempt.
            entry.cache.borrow_mut().attempted(now);
            let written = match ask(entry.remote).await {
                Ok((set, bytes, lifetime)) => Some(entry.cache.borrow_mut().fetched(set, lifetime, now).write(entry.remote, &bytes)),
                Err(problem) => {
                    tell(&entry, &problem, now);
                    None
                }
            };
            // Who waits in this instance need not wait for the store.
            drop(flight);
            if let Some(store) = store {
                let _ = within(STORE, publish(entry.remote, &store, written, now)).await;
            }
        }
    }
}

/// Finds out whose turn it is, and takes it where it is nobody's.
async fn turn(entry: &Entry, label: &str, now: UnixTime) -> Turn {
    let remote = entry.remote;
    let Ok(store) = Store::open(label).await else { return Turn::Ours(None) };
    if adopt(entry, &store, now).await && !entry.cache.borrow().is_due(remote, now) {
        return Turn::Done;
    }
    let mut other = None;
    let mine = Attempt { at: now, ended: false }.write();
    let taken = store
        .update(&remote.attempt_key(), |current| {
            other = current.and_then(Attempt::read).filter(|attempt| !remote.may_ask(attempt.at, now));
            other.is_none().then(|| mine.clone())
        })
        .await;
    match (taken, other) {
        (Ok(false), Some(attempt)) => Turn::Theirs(store, attempt),
        (Ok(_), _) => Turn::Ours(Some(store)),
        // Too many at once: then one of the others has the turn.
        (Err(_), _) => match store.get(&remote.attempt_key()).await.ok().flatten().as_deref().and_then(Attempt::read) {
            Some(attempt) if !remote.may_ask(attempt.at, now) => Turn::Theirs(store, attempt),
            _ => Turn::Ours(None),
        },
    }
}

/// Takes what another instance fetches. Waits for it only where requests do.
async fn others(entry: &Entry, store: &Store, mut attempt: Attempt, now: UnixTime) {
    loop {
        // In this order: the set is written before the end of the attempt.
        let taken = adopt(entry, store, now).await;
        if taken || attempt.ended || !entry.cache.borrow().is_awaited(entry.remote, now) {
            return;
        }
        monotonic_clock::wait_for(LOOK_IN_STORE).await;
        match store.get(&entry.remote.attempt_key()).await {
            Ok(Some(bytes)) => attempt = Attempt::read(&bytes).unwrap_or(Attempt { ended: true, ..attempt }),
            Ok(None) | Err(_) => attempt.ended = true,
        }
    }
}

/// Tells the other instances what became of an attempt.
async fn publish(remote: &Remote, store: &Store, set: Option<Vec<u8>>, now: UnixTime) {
    // What cannot be written is fetched by others in their turn.
    if let Some(set) = set {
        let there = store.get(&remote.set_key()).await.ok().flatten().and_then(|bytes| StoredSet::read(remote, &bytes, now));
        // One that was fetched later, while this attempt took its time, is not undone.
        if there.is_none_or(|there| there.fetched_at <= now) {
            let _ = store.set(&remote.set_key(), &set).await;
        }
    }
    let over = |current: Option<&[u8]>| {
        // Only one's own: the next may be under way already.
        current.and_then(Attempt::read).filter(|attempt| attempt.at == now).map(|attempt| Attempt { ended: true, ..attempt }.write())
    };
    let _ = store.update(&remote.attempt_key(), over).await;
}

/// Asks the issuer: for its metadata where it has to, and for its set.
async fn ask(remote: &Remote) -> Result<(KeySet, Vec<u8>, i64), String> {
    let asked = async {
        let url = match remote.source() {
            Source::KeySet(url) => url.clone(),
            Source::Metadata(url) => {
                let Fetched { body, .. } = get(url, "application/json", limits::METADATA_BYTES).await?;
                remote.key_set_url(&body)?
            }
        };
        let answer = get(&url, "application/jwk-set+json, application/json", limits::KEY_SET_BYTES).await?;
        let lifetime = remote.lifetime(&answer.header("cache-control"), &answer.header("age"));
        let set = remote.read_set(&answer.body).map_err(|problem| format!("`{url}` answered with a set that is refused: {problem}"))?;
        Ok((set, answer.body, lifetime))
    };
    within(FETCH, asked).await.unwrap_or_else(|| Err(format!("`{}` did not answer in time", remote.url())))
}

/// SECURITY: 200 and nothing else. A redirect would lead to keys at an address nobody configured.
async fn get(url: &Url, accept: &str, most: usize) -> Result<Fetched, String> {
    match fetch::get(url, accept, most, FETCH).await? {
        answer if answer.status == 200 => Ok(answer),
        answer if (300..400).contains(&answer.status) => Err(format!("`{url}` answered with a redirect, which is not followed")),
        answer => Err(format!("`{url}` answered with status {}", answer.status)),
    }
}

/// One line for the operator. At most one for each attempt, and so for each interval.
#[expect(clippy::disallowed_methods, reason = "the shell writes; standard output is for records only")]
fn tell(entry: &Entry, problem: &str, now: UnixTime) {
    let left = match entry.cache.borrow().usable_until(entry.remote, now) {
        Some(until) => format!("the last set may be used for another {} seconds", until.0.saturating_sub(now.0)),
        None => "there is no set that may be used: its tokens are denied".to_owned(),
    };
    let mut line = format!("cedargate: the keys of issuer `{}` were not fetched: {problem}; {left}", entry.remote.issuer());
    // SECURITY: what the runtime says of a failure may quote the other side, which must not write lines of its own.
    line.retain(|c| !c.is_control());
    line.push('\n');
    let _ = std::io::stderr().lock().write_all(line.as_bytes());
}
