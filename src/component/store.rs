//! The deployment's key-value store: plain reads and writes through Spin's interface, and compare-and-swap through
//! `wasi:keyvalue`, over the same store.

use spin_sdk::key_value;
use spin_sdk::wasip3::clocks::monotonic_clock;
use spin_sdk::wasip3::random::random;

use super::bindings::atomics::{self, Cas, CasError};
use super::bindings::buckets::{self, Bucket};
use crate::limits;

/// How long a change waits for another one that is on its way.
const WAIT_NS: u64 = 5_000_000;
/// Of so many that would create a key, one may.
const CREATORS: i64 = 32;
/// What a value written by [`Store::update`] begins with: nothing else the gate writes begins with a NUL. Behind it are as
/// many random bytes as [`MARK`], and then the value.
const UPDATED: &[u8] = b"\0cas1";
/// How many random bytes tell one write from another of the same value.
const MARK: u64 = 16;

/// An open store.
pub(super) struct Store {
    store: key_value::Store,
    label: String,
}

impl Store {
    /// Opens the store with this label.
    ///
    /// # Errors
    /// Why it cannot be opened, for the record.
    pub(super) async fn open(label: &str) -> Result<Self, String> {
        let store = key_value::Store::open(label).await.map_err(|error| format!("the store `{label}` cannot be opened: {error}"))?;
        Ok(Self { store, label: label.to_owned() })
    }

    /// The value of a key.
    ///
    /// # Errors
    /// Why it cannot be read.
    pub(super) async fn get(&self, key: &str) -> Result<Option<Vec<u8>>, String> {
        let value = self.store.get(key).await.map_err(|error| format!("the store cannot be read: {error}"))?;
        Ok(value.map(unmarked))
    }

    /// Sets a key.
    ///
    /// # Errors
    /// Why it cannot be written.
    pub(super) async fn set(&self, key: &str, value: &[u8]) -> Result<(), String> {
        self.store.set(key, value).await.map_err(|error| format!("the store cannot be written: {error}"))
    }

    /// Removes a key.
    ///
    /// # Errors
    /// Why it cannot be written.
    pub(super) async fn delete(&self, key: &str) -> Result<(), String> {
        self.store.delete(key).await.map_err(|error| format!("the store cannot be written: {error}"))
    }

    /// Changes a key so that no change of another instance is lost: `change` is given what the key holds and says what it
    /// shall hold, or `None` to leave it alone. It may be asked several times. `false` when it was left alone.
    ///
    /// A key that is changed like this is read with [`Store::get`] and changed in no other way but [`Store::remove`];
    /// `<key>/creators` is taken.
    ///
    /// # Errors
    /// Why the store cannot be changed, or that too many want to at once.
    pub(super) async fn update(&self, key: &str, mut change: impl FnMut(Option<&[u8]>) -> Option<Vec<u8>>) -> Result<bool, String> {
        let bucket = self.bucket()?;
        let mut written: Option<Vec<u8>> = None;
        for _ in 0..limits::STORE_TRIES {
            let (mut swap, mut current) = begin(&bucket, key)?;
            if current.is_none() {
                // SECURITY: a swap that has seen nothing overwrites whatever is there (Spin with SQLite), so two that see
                // nothing at the same time must not both swap. Counting is atomic everywhere. The one whose turn it was may
                // have ended before it wrote, so the turn comes round again.
                // A key that counts must never be set: Spin's SQLite store panics on anything else than a number.
                let turn = atomics::increment(&bucket, &format!("{key}/creators"), 1).map_err(|error| changing(&error))?;
                if turn.rem_euclid(CREATORS) != 1 {
                    monotonic_clock::wait_for(WAIT_NS).await;
                    continue;
                }
                (swap, current) = begin(&bucket, key)?;
            }
            // Spin's Redis store says of every swap that it failed, also of those that succeeded. SECURITY: the random mark is
            // what makes this safe: of two instances that write the same, one must be told that it was not the first.
            if current.is_some() && current == written {
                return Ok(true);
            }
            let Some(value) = change(current.map(unmarked).as_deref()) else { return Ok(false) };
            let value = [UPDATED, &random::get_random_bytes(MARK), &value].concat();
            match atomics::swap(swap, &value) {
                Ok(()) => return Ok(true),
                Err(CasError::CasFailed(_)) => written = Some(value),
                Err(CasError::StoreError(error)) => return Err(changing(&error)),
            }
        }
        Err("the store cannot be changed: too many changes at once".to_owned())
    }

    /// Removes a key that [`Store::update`] made.
    ///
    /// # Errors
    /// Why it cannot be written.
    pub(super) async fn remove(&self, key: &str) -> Result<(), String> {
        self.delete(&format!("{key}/creators")).await?;
        self.delete(key).await
    }

    fn bucket(&self) -> Result<Bucket, String> {
        buckets::open(&self.label).map_err(|error| format!("the store `{}` cannot be opened: {}", self.label, describe(&error)))
    }
}

/// A value as it was given to be written.
fn unmarked(value: Vec<u8>) -> Vec<u8> {
    let mark = usize::try_from(MARK).unwrap_or_default();
    match value.strip_prefix(UPDATED).and_then(|rest| rest.get(mark..)) {
        Some(rest) => rest.to_vec(),
        None => value,
    }
}

/// Begins a swap with what the key holds.
fn begin(bucket: &Bucket, key: &str) -> Result<(Cas, Option<Vec<u8>>), String> {
    let swap = Cas::new(bucket, key).map_err(|error| changing(&error))?;
    let current = swap.current().map_err(|error| format!("the store cannot be read: {}", describe(&error)))?;
    Ok((swap, current))
}

fn changing(error: &buckets::Error) -> String {
    format!("the store cannot be changed: {}", describe(error))
}

fn describe(error: &buckets::Error) -> &str {
    match error {
        buckets::Error::NoSuchStore => "there is no such store",
        buckets::Error::AccessDenied => "the manifest does not allow it",
        buckets::Error::Other(text) => text,
    }
}
