//! `wasi:keyvalue`: what `spin:key-value` has not, compare-and-swap and counting, over the same stores and with the same
//! permission. Spin 4.1 has it too, and where Spin differs from the text of the interface this host does what Spin does.

use rusqlite::{OptionalExtension, TransactionBehavior, params};
use wasmtime::component::Resource;

use super::bindings::atomics::{self, CasError};
use super::bindings::buckets::{self, Error, KeyResponse};
use super::bindings::key_value::Error as StoreError;
use super::key_value::{KeyValueView, OPEN_STORES, Store};

/// A compare-and-swap that was begun.
#[derive(Clone)]
pub struct Swap {
    store: Store,
    key: String,
    seen: Option<Vec<u8>>,
}

impl Store {
    /// Begins a compare-and-swap of a key.
    ///
    /// # Errors
    /// `other` when SQLite fails.
    pub fn swap(&self, key: &str) -> Result<Swap, StoreError> {
        Ok(Swap { store: self.clone(), key: key.to_owned(), seen: None })
    }

    /// Adds to a key that counts, which starts at 0, and says what it is now. In the form Spin gives it: eight bytes, the
    /// lowest first.
    ///
    /// # Errors
    /// `other` when the key holds something else, when the sum is out of range, and when SQLite fails.
    pub fn increment(&self, key: &str, delta: i64) -> Result<i64, StoreError> {
        let changed = self.change(|connection| {
            let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
            let old: Option<Vec<u8>> = transaction
                .prepare_cached("SELECT value FROM spin_key_value WHERE store = ?1 AND key = ?2")?
                .query_row(params![self.label(), key], |row| row.get(0))
                .optional()?;
            let old = match old.map(<[u8; 8]>::try_from) {
                None => 0,
                Some(Ok(bytes)) => i64::from_le_bytes(bytes),
                Some(Err(_)) => return Ok(Err("the key does not count")),
            };
            let Some(new) = old.checked_add(delta) else { return Ok(Err("the sum is out of range")) };
            transaction
                .prepare_cached(
                    "INSERT INTO spin_key_value (store, key, value) VALUES (?1, ?2, ?3)
                     ON CONFLICT (store, key) DO UPDATE SET value = ?3",
                )?
                .execute(params![self.label(), key, new.to_le_bytes()])?;
            transaction.commit()?;
            Ok(Ok(new))
        })?;
        changed.map_err(|what| StoreError::Other(what.to_owned()))
    }
}

impl Swap {
    /// What the key holds; from now on the swap compares with that.
    ///
    /// # Errors
    /// `other` when SQLite fails.
    pub fn current(&mut self) -> Result<Option<Vec<u8>>, StoreError> {
        self.seen = self.store.get(&self.key)?;
        Ok(self.seen.clone())
    }

    /// Sets the key if it still holds what was seen, and says whether it did. Where nothing was seen there is nothing to
    /// compare with, and the key is set: that is what Spin does with SQLite, so nobody can rely on more.
    ///
    /// # Errors
    /// `other` when SQLite fails.
    pub fn swap(&self, value: &[u8]) -> Result<bool, StoreError> {
        let Some(seen) = &self.seen else { return self.store.set(&self.key, value).map(|()| true) };
        self.store.run(|connection| {
            let mut statement =
                connection.prepare_cached("UPDATE spin_key_value SET value = ?4 WHERE store = ?1 AND key = ?2 AND value = ?3")?;
            Ok(statement.execute(params![self.store.label(), self.key, seen, value])? == 1)
        })
    }

    /// As [`Store::apart`].
    async fn apart<T: Send + 'static>(
        mut self,
        work: impl FnOnce(&mut Self) -> Result<T, StoreError> + Send + 'static,
    ) -> (Self, Result<T, StoreError>) {
        let untouched = self.clone();
        tokio::task::spawn_blocking(move || {
            let done = work(&mut self);
            (self, done)
        })
        .await
        .unwrap_or_else(|error| (untouched, Err(StoreError::Other(error.to_string()))))
    }
}

/// The same error in the other form of the interface, as Spin says it.
fn error(error: StoreError) -> Error {
    match error {
        StoreError::NoSuchStore => Error::NoSuchStore,
        StoreError::AccessDenied => Error::AccessDenied,
        StoreError::StoreTableFull => Error::Other("store table full".to_owned()),
        StoreError::Other(text) => Error::Other(text),
    }
}

impl KeyValueView<'_> {
    fn bucket(&self, bucket: &Resource<Store>) -> wasmtime::Result<Store> {
        Ok(self.table.get(bucket)?.clone())
    }

    /// Hands a swap to the instance, which may hold as many as stores.
    fn keep(&mut self, swap: Swap) -> wasmtime::Result<Result<Resource<Swap>, Error>> {
        if *self.swaps >= OPEN_STORES {
            return Ok(Err(Error::Other("too many compare_and_swaps opened".to_owned())));
        }
        *self.swaps = self.swaps.saturating_add(1);
        Ok(Ok(self.table.push(swap)?))
    }

    fn release(&mut self, swap: Resource<Swap>) -> wasmtime::Result<Swap> {
        let swap = self.table.delete(swap)?;
        *self.swaps = self.swaps.saturating_sub(1);
        Ok(swap)
    }
}

impl buckets::Host for KeyValueView<'_> {
    async fn open(&mut self, identifier: String) -> wasmtime::Result<Result<Resource<Store>, Error>> {
        Ok(KeyValueView::open(self, &identifier)?.map_err(error))
    }
}

impl buckets::HostBucket for KeyValueView<'_> {
    async fn get(&mut self, bucket: Resource<Store>, key: String) -> wasmtime::Result<Result<Option<Vec<u8>>, Error>> {
        Ok(self.bucket(&bucket)?.apart(move |store| store.get(&key)).await.map_err(error))
    }

    async fn set(&mut self, bucket: Resource<Store>, key: String, value: Vec<u8>) -> wasmtime::Result<Result<(), Error>> {
        Ok(self.bucket(&bucket)?.apart(move |store| store.set(&key, &value)).await.map_err(error))
    }

    async fn delete(&mut self, bucket: Resource<Store>, key: String) -> wasmtime::Result<Result<(), Error>> {
        Ok(self.bucket(&bucket)?.apart(move |store| store.delete(&key)).await.map_err(error))
    }

    async fn exists(&mut self, bucket: Resource<Store>, key: String) -> wasmtime::Result<Result<bool, Error>> {
        Ok(self.bucket(&bucket)?.apart(move |store| store.exists(&key)).await.map_err(error))
    }

    async fn list_keys(&mut self, bucket: Resource<Store>, cursor: Option<String>) -> wasmtime::Result<Result<KeyResponse, Error>> {
        if cursor.is_some() {
            return Ok(Err(Error::Other("list_keys: cursor not supported".to_owned())));
        }
        let keys = self.bucket(&bucket)?.apart(Store::keys).await;
        Ok(keys.map(|keys| KeyResponse { keys, cursor: None }).map_err(error))
    }

    async fn drop(&mut self, bucket: Resource<Store>) -> wasmtime::Result<()> {
        self.close(bucket)
    }
}

impl atomics::Host for KeyValueView<'_> {
    async fn increment(&mut self, bucket: Resource<Store>, key: String, delta: i64) -> wasmtime::Result<Result<i64, Error>> {
        Ok(self.bucket(&bucket)?.apart(move |store| store.increment(&key, delta)).await.map_err(error))
    }

    async fn swap(&mut self, swap: Resource<Swap>, value: Vec<u8>) -> wasmtime::Result<Result<(), CasError>> {
        let (mut swap, done) = self.release(swap)?.apart(move |swap| swap.swap(&value)).await;
        match done {
            Ok(true) => Ok(Ok(())),
            Err(why) => Ok(Err(CasError::StoreError(error(why)))),
            Ok(false) => {
                let (again, current) = swap.apart(Swap::current).await;
                swap = again;
                if let Err(why) = current {
                    return Ok(Err(CasError::StoreError(error(why))));
                }
                Ok(Err(self.keep(swap)?.map_or_else(CasError::StoreError, CasError::CasFailed)))
            }
        }
    }
}

impl atomics::HostCas for KeyValueView<'_> {
    async fn new(&mut self, bucket: Resource<Store>, key: String) -> wasmtime::Result<Result<Resource<Swap>, Error>> {
        match self.bucket(&bucket)?.swap(&key) {
            Ok(swap) => self.keep(swap),
            Err(why) => Ok(Err(error(why))),
        }
    }

    async fn current(&mut self, swap: Resource<Swap>) -> wasmtime::Result<Result<Option<Vec<u8>>, Error>> {
        let (after, current) = self.table.get(&swap)?.clone().apart(Swap::current).await;
        *self.table.get_mut(&swap)? = after;
        Ok(current.map_err(error))
    }

    async fn drop(&mut self, swap: Resource<Swap>) -> wasmtime::Result<()> {
        self.release(swap).map(drop)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::super::key_value::KeyValue;
    use super::*;

    fn store() -> Store {
        KeyValue::memory(BTreeSet::from(["default".to_owned()])).unwrap().open("default").unwrap()
    }

    #[test]
    fn a_swap_sets_what_nobody_changed() {
        let store = store();
        store.set("k", b"1").unwrap();
        let mut swap = store.swap("k").unwrap();
        assert_eq!(swap.current().unwrap().as_deref(), Some(&b"1"[..]));
        assert!(swap.swap(b"2").unwrap());
        assert_eq!(store.get("k").unwrap().as_deref(), Some(&b"2"[..]));
    }

    #[test]
    fn a_swap_leaves_alone_what_somebody_changed_or_removed() {
        let store = store();
        store.set("k", b"1").unwrap();
        let mut swap = store.swap("k").unwrap();
        swap.current().unwrap();
        store.set("k", b"3").unwrap();
        assert!(!swap.swap(b"2").unwrap());
        assert_eq!(store.get("k").unwrap().as_deref(), Some(&b"3"[..]));
        store.delete("k").unwrap();
        assert!(!swap.swap(b"2").unwrap());
        assert_eq!(store.get("k").unwrap(), None);
        // What was seen last is what counts.
        swap.current().unwrap();
        assert!(swap.swap(b"2").unwrap());
    }

    #[test]
    fn where_nothing_was_seen_the_last_one_wins_as_in_spin() {
        let store = store();
        let (mut one, mut two) = (store.swap("k").unwrap(), store.swap("k").unwrap());
        assert_eq!((one.current().unwrap(), two.current().unwrap()), (None, None));
        assert!(one.swap(b"1").unwrap() && two.swap(b"2").unwrap());
        assert_eq!(store.get("k").unwrap().as_deref(), Some(&b"2"[..]));
    }

    #[test]
    fn counting_starts_at_nothing_and_refuses_what_is_no_count() {
        let store = store();
        assert_eq!(store.increment("n", 2).unwrap(), 2);
        assert_eq!(store.increment("n", -5).unwrap(), -3);
        assert_eq!(store.get("n").unwrap().unwrap(), (-3_i64).to_le_bytes());
        store.set("text", b"{}").unwrap();
        assert!(matches!(store.increment("text", 1), Err(StoreError::Other(_))));
        assert_eq!(store.get("text").unwrap().as_deref(), Some(&b"{}"[..]));
        assert_eq!(store.increment("n", i64::MIN + 3).unwrap(), i64::MIN);
        assert!(matches!(store.increment("n", -1), Err(StoreError::Other(_))));
        assert_eq!(store.increment("n", 1).unwrap(), i64::MIN + 1);
    }

    /// Eight threads, over two connections to one file as two processes have them; returns the store afterwards.
    fn by_many(work: impl Fn(&Store) + Sync) -> Store {
        let folder = tempfile::tempdir().unwrap();
        let allowed = BTreeSet::from(["default".to_owned()]);
        let stores: Vec<Store> =
            (0..2).map(|_| KeyValue::file(&folder.path().join("kv.db"), allowed.clone()).unwrap().open("default").unwrap()).collect();
        stores[0].set("swapped", b"0").unwrap();
        let work = &work;
        std::thread::scope(|scope| {
            for store in stores.iter().cycle().take(8) {
                scope.spawn(move || work(store));
            }
        });
        stores[0].clone()
    }

    #[test]
    fn no_change_of_many_threads_is_lost() {
        let store = by_many(|store| {
            for _ in 0..25 {
                store.increment("counted", 1).unwrap();
                let mut swap = store.swap("swapped").unwrap();
                loop {
                    let text = String::from_utf8(swap.current().unwrap().unwrap()).unwrap();
                    let next = text.parse::<u32>().unwrap() + 1;
                    if swap.swap(next.to_string().as_bytes()).unwrap() {
                        break;
                    }
                }
            }
        });
        assert_eq!(store.get("swapped").unwrap().as_deref(), Some(&b"200"[..]));
        assert_eq!(store.increment("counted", 0).unwrap(), 200);
    }

    #[test]
    fn one_of_many_threads_counts_first() {
        let first = std::sync::Mutex::new(Vec::new());
        by_many(|store| {
            for round in 0..25 {
                if store.increment(&format!("claim/{round}"), 1).unwrap() == 1 {
                    first.lock().unwrap().push(round);
                }
            }
        });
        let mut first = first.into_inner().unwrap();
        first.sort_unstable();
        assert_eq!(first, (0..25).collect::<Vec<_>>());
    }
}
