//! `spin:key-value`: named stores in one SQLite file, with the table Spin uses, so that both can open the same file.
//! What is atomic is in [`super::atomics`].

use std::collections::BTreeSet;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};

use rusqlite::{Connection, OptionalExtension, params};
use wasmtime::component::{Accessor, FutureReader, HasData, Resource, ResourceTable, StreamReader};

use super::HostError;
use super::bindings::key_value::{self, Error};

/// Most stores one instance may hold open, as in Spin.
pub(super) const OPEN_STORES: usize = 256;

/// All stores of an application.
#[derive(Clone)]
pub struct KeyValue(Arc<Inner>);

struct Inner {
    /// Labels the manifest allows.
    allowed: BTreeSet<String>,
    connection: Mutex<Connection>,
}

impl KeyValue {
    /// Stores in a file, which is made with its folder when it is missing.
    ///
    /// # Errors
    /// [`HostError::KeyValue`] when the file cannot be opened.
    pub fn file(path: &Path, allowed: BTreeSet<String>) -> Result<Self, HostError> {
        if let Some(folder) = path.parent() {
            std::fs::create_dir_all(folder).map_err(|source| HostError::File { path: folder.into(), source })?;
        }
        Self::over(Connection::open(path), allowed)
    }

    /// Stores in memory, gone with the process.
    ///
    /// # Errors
    /// [`HostError::KeyValue`] when SQLite cannot be started.
    pub fn memory(allowed: BTreeSet<String>) -> Result<Self, HostError> {
        Self::over(Connection::open_in_memory(), allowed)
    }

    fn over(connection: rusqlite::Result<Connection>, allowed: BTreeSet<String>) -> Result<Self, HostError> {
        let refuse = |error: rusqlite::Error| HostError::KeyValue(error.to_string());
        let connection = connection.map_err(refuse)?;
        connection
            .execute_batch(
                "CREATE TABLE IF NOT EXISTS spin_key_value (
                     store TEXT NOT NULL,
                     key   TEXT NOT NULL,
                     value BLOB NOT NULL,
                     PRIMARY KEY (store, key)
                 )",
            )
            .map_err(refuse)?;
        Ok(Self(Arc::new(Inner { allowed, connection: Mutex::new(connection) })))
    }

    /// Opens the store `label`, if the manifest allows it.
    ///
    /// # Errors
    /// `access-denied` otherwise, as Spin says it.
    pub fn open(&self, label: &str) -> Result<Store, Error> {
        if self.0.allowed.contains(label) { Ok(Store { all: self.clone(), label: label.to_owned() }) } else { Err(Error::AccessDenied) }
    }
}

/// One open store.
#[derive(Clone)]
pub struct Store {
    all: KeyValue,
    label: String,
}

impl Store {
    /// The value of a key.
    ///
    /// # Errors
    /// `other` when SQLite fails.
    pub fn get(&self, key: &str) -> Result<Option<Vec<u8>>, Error> {
        self.run(|connection| {
            let mut statement = connection.prepare_cached("SELECT value FROM spin_key_value WHERE store = ?1 AND key = ?2")?;
            statement.query_row(params![self.label, key], |row| row.get(0)).optional()
        })
    }

    /// Sets a key, replacing its value.
    ///
    /// # Errors
    /// `other` when SQLite fails.
    pub fn set(&self, key: &str, value: &[u8]) -> Result<(), Error> {
        self.run(|connection| {
            let mut statement = connection.prepare_cached(
                "INSERT INTO spin_key_value (store, key, value) VALUES (?1, ?2, ?3)
                 ON CONFLICT (store, key) DO UPDATE SET value = ?3",
            )?;
            statement.execute(params![self.label, key, value]).map(drop)
        })
    }

    /// Removes a key, if it is there.
    ///
    /// # Errors
    /// `other` when SQLite fails.
    pub fn delete(&self, key: &str) -> Result<(), Error> {
        self.run(|connection| {
            let mut statement = connection.prepare_cached("DELETE FROM spin_key_value WHERE store = ?1 AND key = ?2")?;
            statement.execute(params![self.label, key]).map(drop)
        })
    }

    /// Whether a key has a value.
    ///
    /// # Errors
    /// `other` when SQLite fails.
    pub fn exists(&self, key: &str) -> Result<bool, Error> {
        self.run(|connection| {
            connection.prepare_cached("SELECT 1 FROM spin_key_value WHERE store = ?1 AND key = ?2")?.exists(params![self.label, key])
        })
    }

    /// All keys of the store, in order.
    ///
    /// # Errors
    /// `other` when SQLite fails.
    pub fn keys(&self) -> Result<Vec<String>, Error> {
        self.run(|connection| {
            let mut statement = connection.prepare_cached("SELECT key FROM spin_key_value WHERE store = ?1 ORDER BY key")?;
            statement.query_map(params![self.label], |row| row.get(0))?.collect()
        })
    }

    pub(super) fn label(&self) -> &str {
        &self.label
    }

    pub(super) fn run<T>(&self, work: impl FnOnce(&Connection) -> rusqlite::Result<T>) -> Result<T, Error> {
        self.change(|connection| work(connection))
    }

    /// The same for what needs a transaction.
    pub(super) fn change<T>(&self, work: impl FnOnce(&mut Connection) -> rusqlite::Result<T>) -> Result<T, Error> {
        let mut connection = self.all.0.connection.lock().unwrap_or_else(PoisonError::into_inner);
        work(&mut connection).map_err(|error| Error::Other(error.to_string()))
    }

    /// The same off the threads that serve, which must not wait for a disk.
    pub(super) async fn apart<T: Send + 'static>(self, work: impl FnOnce(&Self) -> Result<T, Error> + Send + 'static) -> Result<T, Error> {
        tokio::task::spawn_blocking(move || work(&self)).await.unwrap_or_else(|error| Err(Error::Other(error.to_string())))
    }
}

/// What the interface needs of an instance.
pub(super) struct KeyValueView<'a> {
    pub(super) all: &'a KeyValue,
    pub(super) table: &'a mut ResourceTable,
    /// How many stores the instance holds open.
    pub(super) open: &'a mut usize,
    /// And how many swaps.
    pub(super) swaps: &'a mut usize,
}

impl KeyValueView<'_> {
    /// Opens a store for the instance, in either form of the interface.
    pub(super) fn open(&mut self, label: &str) -> wasmtime::Result<Result<Resource<Store>, Error>> {
        if *self.open >= OPEN_STORES {
            return Ok(Err(Error::StoreTableFull));
        }
        match self.all.open(label) {
            Ok(store) => {
                *self.open = self.open.saturating_add(1);
                Ok(Ok(self.table.push(store)?))
            }
            Err(error) => Ok(Err(error)),
        }
    }

    /// Closes one.
    pub(super) fn close(&mut self, store: Resource<Store>) -> wasmtime::Result<()> {
        self.table.delete(store)?;
        *self.open = self.open.saturating_sub(1);
        Ok(())
    }
}

pub(super) struct HasKeyValue;

impl HasData for HasKeyValue {
    type Data<'a> = KeyValueView<'a>;
}

impl key_value::Host for KeyValueView<'_> {}

impl key_value::HostStore for KeyValueView<'_> {
    fn drop(&mut self, store: Resource<Store>) -> wasmtime::Result<()> {
        self.close(store)
    }
}

fn lookup<T>(accessor: &Accessor<T, HasKeyValue>, store: &Resource<Store>) -> wasmtime::Result<Store> {
    accessor.with(|mut access| Ok(access.get().table.get(store)?.clone()))
}

impl<T: Send> key_value::HostStoreWithStore<T> for HasKeyValue {
    async fn open(accessor: &Accessor<T, Self>, label: String) -> wasmtime::Result<Result<Resource<Store>, Error>> {
        accessor.with(|mut access| access.get().open(&label))
    }

    async fn get(accessor: &Accessor<T, Self>, store: Resource<Store>, key: String) -> wasmtime::Result<Result<Option<Vec<u8>>, Error>> {
        let store = lookup(accessor, &store)?;
        Ok(store.apart(move |store| store.get(&key)).await)
    }

    async fn set(accessor: &Accessor<T, Self>, store: Resource<Store>, key: String, value: Vec<u8>) -> wasmtime::Result<Result<(), Error>> {
        let store = lookup(accessor, &store)?;
        Ok(store.apart(move |store| store.set(&key, &value)).await)
    }

    async fn delete(accessor: &Accessor<T, Self>, store: Resource<Store>, key: String) -> wasmtime::Result<Result<(), Error>> {
        let store = lookup(accessor, &store)?;
        Ok(store.apart(move |store| store.delete(&key)).await)
    }

    async fn exists(accessor: &Accessor<T, Self>, store: Resource<Store>, key: String) -> wasmtime::Result<Result<bool, Error>> {
        let store = lookup(accessor, &store)?;
        Ok(store.apart(move |store| store.exists(&key)).await)
    }

    async fn get_keys(
        accessor: &Accessor<T, Self>,
        store: Resource<Store>,
    ) -> wasmtime::Result<(StreamReader<String>, FutureReader<Result<(), Error>>)> {
        let store = lookup(accessor, &store)?;
        let (keys, end) = match store.apart(Store::keys).await {
            Ok(keys) => (keys, Ok(())),
            Err(error) => (Vec::new(), Err(error)),
        };
        accessor.with(|mut access| {
            let keys = StreamReader::new(&mut access, keys)?;
            let end = FutureReader::new(&mut access, async move { wasmtime::error::Ok(end) })?;
            Ok((keys, end))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn allowed() -> BTreeSet<String> {
        ["default".to_owned(), "other".to_owned()].into()
    }

    #[test]
    fn a_store_keeps_what_was_set() {
        let store = KeyValue::memory(allowed()).unwrap().open("default").unwrap();
        assert_eq!(store.get("a").unwrap(), None);
        assert!(!store.exists("a").unwrap());
        store.set("a", b"1").unwrap();
        store.set("b", b"").unwrap();
        store.set("a", b"2").unwrap();
        assert_eq!(store.get("a").unwrap().as_deref(), Some(&b"2"[..]));
        assert_eq!(store.get("b").unwrap().as_deref(), Some(&b""[..]));
        assert!(store.exists("b").unwrap());
        assert_eq!(store.keys().unwrap(), ["a", "b"]);
        store.delete("a").unwrap();
        store.delete("a").unwrap();
        assert_eq!(store.keys().unwrap(), ["b"]);
    }

    #[test]
    fn stores_do_not_share_keys() {
        let all = KeyValue::memory(allowed()).unwrap();
        all.open("default").unwrap().set("k", b"v").unwrap();
        assert_eq!(all.open("other").unwrap().get("k").unwrap(), None);
        assert_eq!(all.open("default").unwrap().get("k").unwrap().as_deref(), Some(&b"v"[..]));
    }

    #[test]
    fn a_store_that_is_not_in_the_manifest_is_denied() {
        let all = KeyValue::memory(allowed()).unwrap();
        assert!(matches!(all.open("secret"), Err(Error::AccessDenied)));
        assert!(all.open("other").is_ok());
    }

    #[test]
    fn a_file_outlives_the_process() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join(".spin/sqlite_key_value.db");
        KeyValue::file(&path, allowed()).unwrap().open("default").unwrap().set("k", b"v").unwrap();
        let again = KeyValue::file(&path, allowed()).unwrap();
        assert_eq!(again.open("default").unwrap().get("k").unwrap().as_deref(), Some(&b"v"[..]));
    }
}
