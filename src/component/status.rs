//! Status lists: fetched, verified like a token, and kept for as long as they say, in the instance and in the store.
//!
//! SECURITY: fails closed. A list that cannot be had, or does not verify, answers for nobody, and one that is no longer
//! usable is not used because there is no newer one.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::rc::Rc;

use spin_sdk::wasip3::clocks::monotonic_clock;

use super::settings::Settings;
use super::store::Store;
use super::{fetch, keys};
use crate::bundle::{Digest, Gate};
use crate::decision::{Denial, Reason, UnixTime};
use crate::identity::{PresentedList, StatusList, StatusReference, Url};
use crate::limits;

const ACCEPT: &str = "application/statuslist+jwt";
/// How long a failure is believed, in nanoseconds: a list is asked for at most once a second.
const FAILURE_NS: u64 = 1_000_000_000;
/// How often who waits for another request's fetch looks again, in nanoseconds. Polling and no waker: a waker of one
/// request's task must not be kept by another's.
const POLL_NS: u64 = 10_000_000;
const MILLI_NS: u64 = 1_000_000;
/// Longest the store may take, each time, in nanoseconds. One that takes longer is as good as none.
const STORE_NS: u64 = 1_000_000_000;
/// Longest a whole fetch takes, in nanoseconds: the store, the list, its issuer's keys. One that is older was lost with its task.
const FETCH_NS: u64 = 15_000_000_000;

/// What an instance knows of one list.
#[derive(Default)]
struct Entry {
    list: Option<Rc<StatusList>>,
    failed: Option<(u64, Denial)>,
    /// Since when a request of this instance is fetching it.
    fetching: Option<u64>,
    /// When it was last asked for.
    used: u64,
}

/// Issuer and address. Two issuers that name one address each verify it with their own keys.
type Key = (String, String);

thread_local! {
    static LISTS: RefCell<BTreeMap<Key, Entry>> = const { RefCell::new(BTreeMap::new()) };
}

/// The status of one token.
///
/// # Errors
/// `system.status_unavailable`: what cannot be told denies. `jwt.status_invalid`: the list has no such place.
pub(super) async fn of(gate: &'static Gate, reference: &StatusReference, settings: &Rc<Settings>, now: UnixTime) -> Result<u8, Denial> {
    let key = (reference.issuer.clone(), reference.uri.clone());
    let patience = monotonic_clock::now().saturating_add(FETCH_NS);
    let mut fetch = loop {
        match look(&key, now) {
            Look::Found(list) => return list.status(reference),
            Look::Failed(denial) => return Err(denial),
            Look::Yours(since) => break Fetch { key: &key, since, outcome: None },
            Look::Wait if monotonic_clock::now() > patience => return Err(unavailable("another request waits for it still")),
            Look::Wait => monotonic_clock::wait_for(POLL_NS).await,
        }
    };
    let outcome = obtain(gate, reference, settings, now).await;
    let answer = match &outcome {
        Ok(list) => list.status(reference),
        Err(denial) => Err(denial.clone()),
    };
    fetch.outcome = Some(outcome);
    answer
}

enum Look {
    Found(Rc<StatusList>),
    Failed(Denial),
    /// Nobody fetches it: whoever asked is to, from now, and holds a [`Fetch`] while doing so.
    Yours(u64),
    Wait,
}

fn look(key: &Key, now: UnixTime) -> Look {
    let tick = monotonic_clock::now();
    LISTS.with_borrow_mut(|lists| {
        let entry = lists.entry(key.clone()).or_default();
        entry.used = tick;
        if let Some(list) = entry.list.as_ref().filter(|list| now < list.usable_until()) {
            return Look::Found(list.clone());
        }
        match &entry.failed {
            _ if entry.fetching.is_some_and(|since| tick.saturating_sub(since) < FETCH_NS) => Look::Wait,
            Some((at, denial)) if tick.saturating_sub(*at) < FAILURE_NS => Look::Failed(denial.clone()),
            _ => {
                entry.fetching = Some(tick);
                Look::Yours(tick)
            }
        }
    })
}

/// The one fetch of a list in this instance. Dropped without an outcome, when its request ends, it lets another try.
struct Fetch<'a> {
    key: &'a Key,
    since: u64,
    outcome: Option<Result<Rc<StatusList>, Denial>>,
}

impl Drop for Fetch<'_> {
    fn drop(&mut self) {
        LISTS.with_borrow_mut(|lists| {
            let entry = lists.entry(self.key.clone()).or_default();
            if entry.fetching == Some(self.since) {
                entry.fetching = None;
            }
            match self.outcome.take() {
                Some(Ok(list)) => (entry.list, entry.failed) = (Some(list), None),
                // A list that is over goes: it only takes room.
                Some(Err(denial)) => (entry.list, entry.failed) = (None, Some((monotonic_clock::now(), denial))),
                None => {}
            }
            make_room(lists);
        });
    }
}

/// Forgets the lists that were not asked for the longest.
fn make_room(lists: &mut BTreeMap<Key, Entry>) {
    let bytes = |entry: &Entry| entry.list.as_ref().map_or(0, |list| list.bytes());
    loop {
        let all: usize = lists.values().map(bytes).sum();
        if lists.len() <= limits::STATUS_LISTS_KEPT && all <= limits::STATUS_LISTS_KEPT_BYTES {
            return;
        }
        let oldest = lists.iter().filter(|(_, entry)| entry.fetching.is_none()).min_by_key(|(_, entry)| entry.used);
        let Some(oldest) = oldest.map(|(key, _)| key.clone()) else { return };
        lists.remove(&oldest);
    }
}

fn unavailable(detail: &str) -> Denial {
    Denial::new(Reason::SystemStatusUnavailable, format!("the status list: {detail}"))
}

/// The list from the store, else from its issuer.
async fn obtain(
    gate: &'static Gate,
    reference: &StatusReference,
    settings: &Rc<Settings>,
    now: UnixTime,
) -> Result<Rc<StatusList>, Denial> {
    let stored = Stored::at(reference, settings);
    if let Some(list) = stored.read(gate, reference, settings, now).await {
        return Ok(list);
    }
    let url = Url::parse(&reference.uri).ok_or_else(|| unavailable("its address cannot be used"))?;
    let timeout = limits::STATUS_TIMEOUT_MS.saturating_mul(MILLI_NS);
    let fetched = fetch::get(&url, ACCEPT, limits::STATUS_TOKEN_BYTES, timeout).await.map_err(|detail| unavailable(&detail))?;
    // Section 8.2: 2xx with the token as its body. SECURITY: a redirect is not followed; the address was allowed, not where
    // it leads.
    if fetched.status != 200 {
        return Err(unavailable(&format!("`{url}` answered {}", fetched.status)));
    }
    let list = verify(gate, reference, &fetched.body, settings, now, now).await?;
    stored.write(&fetched.body, now).await;
    Ok(list)
}

async fn verify(
    gate: &'static Gate,
    reference: &StatusReference,
    bytes: &[u8],
    settings: &Rc<Settings>,
    fetched: UnixTime,
    now: UnixTime,
) -> Result<Rc<StatusList>, Denial> {
    let list = PresentedList::read(bytes)?;
    let held = keys::supply(gate, list.key_need(gate, reference), settings, now).await;
    list.verify(gate, reference, held.supply(), settings.deployment.signatures, fetched, now).map(Rc::new)
}

/// A list's place in the store: the time it was fetched, a line feed, the token. The store is a cache and nothing more:
/// what it holds is verified again, and one that fails is a cache that is empty.
struct Stored<'a> {
    label: Option<&'a str>,
    key: String,
}

impl<'a> Stored<'a> {
    fn at(reference: &StatusReference, settings: &'a Settings) -> Self {
        let digest = Digest::of(format!("{}\n{}", reference.issuer, reference.uri).as_bytes());
        Self { label: settings.store.as_deref(), key: format!("status/{digest}") }
    }

    async fn open(&self) -> Option<Store> {
        Store::open(self.label?).await.ok()
    }

    async fn value(&self) -> Option<Vec<u8>> {
        self.open().await?.get(&self.key).await.ok()?
    }

    async fn read(
        &self,
        gate: &'static Gate,
        reference: &StatusReference,
        settings: &Rc<Settings>,
        now: UnixTime,
    ) -> Option<Rc<StatusList>> {
        let value = fetch::within(STORE_NS, self.value()).await??;
        let end = value.iter().position(|byte| *byte == b'\n')?;
        let (time, rest) = value.split_at_checked(end)?;
        let (_, token) = rest.split_first()?;
        let fetched = std::str::from_utf8(time).ok()?.parse().ok().map(UnixTime).filter(|fetched| *fetched <= now)?;
        let list = verify(gate, reference, token, settings, fetched, now).await.ok()?;
        (now < list.usable_until()).then_some(list)
    }

    async fn write(&self, token: &[u8], fetched: UnixTime) {
        let UnixTime(seconds) = fetched;
        let value = [format!("{seconds}\n").as_bytes(), token].concat();
        let write = async {
            if let Some(store) = self.open().await {
                let _ = store.set(&self.key, &value).await;
            }
        };
        let _ = fetch::within(STORE_NS, write).await;
    }
}
