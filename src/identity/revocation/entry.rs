//! One entry of the list, version 1, as it stands in the store.

use serde_json::json;

use crate::decision::UnixTime;
use crate::identity::json::{Json, Object};
use crate::limits;

/// What was revoked, until when, and by whom.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// The kind of its target.
    pub kind: String,
    /// Only what was issued before; without, everything.
    pub issued_before: Option<UnixTime>,
    /// When that which is revoked expires by itself; without, never.
    pub until: Option<UnixTime>,
    /// When it was revoked.
    pub at: UnixTime,
    /// The Cedar principal who did it.
    pub by: String,
    /// The decision that allowed it.
    pub decision_id: String,
    /// Why, in the words of who did it.
    pub reason: Option<String>,
}

impl Entry {
    /// The bytes for the store.
    pub fn to_bytes(&self) -> Vec<u8> {
        let Self { kind, issued_before, until, at, by, decision_id, reason } = self;
        let mut entry = json!({ "v": 1, "what": kind, "at": at.0, "by": by, "decision_id": decision_id });
        if let Some(entry) = entry.as_object_mut() {
            let mut add = |name: &str, value: serde_json::Value| drop(entry.insert(name.to_owned(), value));
            issued_before.iter().for_each(|time| add("issued_before", json!(time.0)));
            until.iter().for_each(|time| add("until", json!(time.0)));
            reason.iter().for_each(|text| add("reason", json!(text)));
        }
        entry.to_string().into_bytes()
    }

    /// Reads an entry, strictly: one of a later version may mean something this one does not know.
    ///
    /// # Errors
    /// What is wrong with it. Whoever cannot read an entry must take it for one that revokes.
    pub fn read(bytes: &[u8]) -> Result<Self, &'static str> {
        if bytes.len() > limits::REVOCATION_ENTRY_BYTES {
            return Err("it is too large");
        }
        let Ok(Json::Object(mut members)) = Json::parse(bytes) else { return Err("it is not a JSON object") };
        if members.remove("v") != Some(Json::Int(1)) {
            return Err("it is not of version 1");
        }
        let entry = Self {
            kind: required(string(&mut members, "what")?)?,
            issued_before: time(&mut members, "issued_before")?,
            until: time(&mut members, "until")?,
            at: required(time(&mut members, "at")?)?,
            by: required(string(&mut members, "by")?)?,
            decision_id: required(string(&mut members, "decision_id")?)?,
            reason: string(&mut members, "reason")?,
        };
        if members.is_empty() { Ok(entry) } else { Err("it has a member of another version") }
    }

    /// Whether what it revokes has expired by itself, everywhere and with any leeway an issuer may have.
    pub fn is_over(&self, now: UnixTime) -> bool {
        self.has_been_over(now, 0)
    }

    /// Whether it may be removed from the store: only after so long that no gate whose clock is behind could need it.
    pub fn is_stale(&self, now: UnixTime) -> bool {
        self.has_been_over(now, limits::REVOCATION_KEPT_SECONDS)
    }

    fn has_been_over(&self, now: UnixTime, seconds: i64) -> bool {
        // SECURITY: a token is taken for as long as its issuer's leeway after it expired.
        let leeway = i64::try_from(limits::LEEWAY_SECONDS).unwrap_or(i64::MAX);
        self.until.is_some_and(|until| now.0 > until.0.saturating_add(leeway).saturating_add(seconds))
    }

    /// Whether something that was issued at this time is revoked. What does not tell is.
    pub fn covers(&self, issued_at: Option<UnixTime>) -> bool {
        match (self.issued_before, issued_at) {
            (Some(before), Some(issued)) => issued < before,
            (None, _) | (_, None) => true,
        }
    }

    /// The same entry, covering all that an earlier one did too: revoking never lets something in again.
    #[must_use]
    pub fn and(mut self, earlier: &Self) -> Self {
        let widest = |a: Option<UnixTime>, b: Option<UnixTime>| a.zip(b).map(|(a, b)| a.max(b));
        self.issued_before = widest(self.issued_before, earlier.issued_before);
        self.until = widest(self.until, earlier.until);
        self
    }

    /// The same entry over one that cannot be read, which revoked everything for ever.
    #[must_use]
    pub fn and_all(mut self) -> Self {
        (self.issued_before, self.until) = (None, None);
        self
    }
}

fn required<T>(value: Option<T>) -> Result<T, &'static str> {
    value.ok_or("a member is missing")
}

fn string(members: &mut Object, name: &str) -> Result<Option<String>, &'static str> {
    match members.remove(name) {
        None => Ok(None),
        Some(Json::String(text)) => Ok(Some(text)),
        Some(_) => Err("a member is not a string"),
    }
}

fn time(members: &mut Object, name: &str) -> Result<Option<UnixTime>, &'static str> {
    match members.remove(name) {
        None => Ok(None),
        Some(Json::Int(seconds)) if (0..=limits::LATEST_SECONDS).contains(&seconds) => Ok(Some(UnixTime(seconds))),
        Some(_) => Err("a member is not a time"),
    }
}
