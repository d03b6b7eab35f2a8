//! What instances share of an issuer's keys through the deployment's store: the last set, and who asked last.
//!
//! SECURITY: what comes back from a store is read as strictly as what came from the issuer, and counts no longer than it
//! would have: a malformed entry, one of another issuer or one from the future is as if there were none.

use std::collections::BTreeMap;
use std::rc::Rc;

use serde_json::json;

use super::{KeySet, Remote};
use crate::decision::UnixTime;
use crate::identity::json::{Json, Object};
use crate::limits;

/// The version of both forms.
const VERSION: i64 = 1;
/// Longest first line: unknown `kid`s with every character escaped, and the rest.
const HEAD_BYTES: usize = 8 * limits::UNKNOWN_KEYS * limits::KEY_ID_BYTES;

/// A set with its times, as one instance fetched it.
#[derive(Debug, Clone)]
pub struct StoredSet {
    /// The set.
    pub set: Rc<KeySet>,
    /// When it was fetched.
    pub fetched_at: UnixTime,
    /// Until when it counts as fresh.
    pub fresh_until: UnixTime,
    /// Names of keys that its issuer did not have, and until when nobody asks for them again.
    pub missing: BTreeMap<String, UnixTime>,
}

impl StoredSet {
    /// A line that says what it is, and the set as it was fetched.
    pub fn write(&self, remote: &Remote, bytes: &[u8]) -> Vec<u8> {
        let Self { set: _, fetched_at, fresh_until, missing } = self;
        let missing: BTreeMap<&str, i64> = missing.iter().map(|(kid, until)| (kid.as_str(), until.0)).collect();
        let head = json!({
            "version": VERSION,
            "name": remote.issuer,
            "iss": remote.iss,
            "url": remote.url().to_string(),
            "fetched_at": fetched_at.0,
            "fresh_until": fresh_until.0,
            "missing": missing,
        });
        let mut out = head.to_string().into_bytes();
        out.push(b'\n');
        out.extend_from_slice(bytes);
        out
    }

    /// Reads it; `None` when it is not this issuer's, malformed, or not to be used at `now`.
    pub fn read(remote: &Remote, bytes: &[u8], now: UnixTime) -> Option<Self> {
        let line = bytes.iter().position(|byte| *byte == b'\n').filter(|length| *length <= HEAD_BYTES)?;
        let (head, set) = bytes.split_at_checked(line)?;
        let head = object(head)?;
        let text = |name: &str| head.get(name).and_then(Json::as_str);
        // SECURITY: the key in the store names the issuer already; it is one deployment's word against a slip of ours.
        if text("name")? != remote.issuer || text("iss")? != remote.iss || text("url")? != remote.url().to_string() {
            return None;
        }
        let fetched_at = time(&head, "fetched_at")?;
        if !remote.counts(fetched_at, now) {
            return None;
        }
        let longest = fetched_at.0.saturating_add(remote.lifetime("max-age=999999999", ""));
        let fresh_until = UnixTime(time(&head, "fresh_until")?.0.min(longest));
        let mut missing = BTreeMap::new();
        let latest = now.0.saturating_add(limits::UNKNOWN_KEY_SECONDS);
        for (kid, until) in head.get("missing")?.as_object()? {
            let Json::Int(until) = until else { return None };
            if kid.len() <= limits::KEY_ID_BYTES && missing.len() < limits::UNKNOWN_KEYS {
                missing.insert(kid.clone(), UnixTime((*until).min(latest)));
            }
        }
        let set = remote.read_set(set).ok()?;
        Some(Self { set: Rc::new(set), fetched_at, fresh_until, missing })
    }
}

/// One instance's word that it asks the issuer, for all others to see.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Attempt {
    /// When it began.
    pub at: UnixTime,
    /// Whether it is over, with or without a set.
    pub ended: bool,
}

impl Attempt {
    /// As in the store.
    pub fn write(self) -> Vec<u8> {
        json!({ "version": VERSION, "at": self.at.0, "ended": self.ended }).to_string().into_bytes()
    }

    /// Reads it; `None` when it is malformed, which is as if nobody had asked.
    pub fn read(bytes: &[u8]) -> Option<Self> {
        if bytes.len() > HEAD_BYTES {
            return None;
        }
        let members = object(bytes)?;
        let Some(Json::Bool(ended)) = members.get("ended") else { return None };
        Some(Self { at: time(&members, "at")?, ended: *ended })
    }
}

fn object(bytes: &[u8]) -> Option<Object> {
    match Json::parse(bytes) {
        Ok(Json::Object(members)) if members.get("version") == Some(&Json::Int(VERSION)) => Some(members),
        _ => None,
    }
}

fn time(members: &Object, name: &str) -> Option<UnixTime> {
    match members.get(name) {
        Some(Json::Int(seconds)) => Some(UnixTime(*seconds)),
        _ => None,
    }
}
