//! The deployment's key-value store: plain reads and writes through Spin's interface, and compare-and-swap through
//! `wasi:keyvalue`, over the same store.

use spin_sdk::key_value;

/// An open store.
pub(super) struct Store {
    store: key_value::Store,
}

impl Store {
    /// Opens the store with this label.
    ///
    /// # Errors
    /// Why it cannot be opened, for the record.
    pub(super) async fn open(label: &str) -> Result<Self, String> {
        let store = key_value::Store::open(label).await.map_err(|error| format!("the store `{label}` cannot be opened: {error}"))?;
        Ok(Self { store })
    }

    /// The value of a key.
    ///
    /// # Errors
    /// Why it cannot be read.
    pub(super) async fn get(&self, key: &str) -> Result<Option<Vec<u8>>, String> {
        self.store.get(key).await.map_err(|error| format!("the store cannot be read: {error}"))
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

    /// Changes the value of a key; `change` gives the new value, or `None` to leave it as it is. Not atomic yet: compare-and-swap
    /// takes its place.
    ///
    /// # Errors
    /// Why it cannot be read or written.
    pub(super) async fn update(&self, key: &str, mut change: impl FnMut(Option<&[u8]>) -> Option<Vec<u8>>) -> Result<bool, String> {
        let stored = self.get(key).await?;
        match change(stored.as_deref()) {
            Some(value) => self.set(key, &value).await.map(|()| true),
            None => Ok(false),
        }
    }
}
