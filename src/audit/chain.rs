//! The chain: each record of an instance carries a MAC or signature over itself and over the one before it.
//!
//! What is signed is a version line and the record's canonical form: JSON by RFC 8785, without `mac`. Records hold objects, arrays,
//! strings, whole numbers, booleans and null only, and their names are ASCII, so that it comes down to: names sorted, no white
//! space, the shortest escapes. `docs/decision-log.md` says what this proves.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::Serialize;

use crate::bundle::{Digest, hex};
use crate::signed_url::{Keyring, LinkKey};

/// The version line before what is signed: a key used for something else too signs nothing that could be taken for a record.
pub(super) const DOMAIN: &[u8] = b"cedargate-record-v1\n";
/// A checkpoint is written after so many records.
pub const CHECKPOINT_EVERY: u64 = 64;

/// Where one instance's chain stands.
#[derive(Debug)]
pub struct Chain {
    instance: String,
    seq: u64,
    prev: String,
    decisions: u64,
    /// Nanoseconds that making records took since the last checkpoint.
    spent: u64,
}

/// The place of a record in its chain, as the record shows it.
#[derive(Debug, Serialize)]
pub(super) struct Link {
    #[serde(skip_serializing_if = "Option::is_none")]
    alg: Option<&'static str>,
    instance: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    key_id: Option<String>,
    prev: String,
    seq: u64,
}

impl Chain {
    /// A chain that begins, for an instance that drew these bytes. The first record names the sealed gate's digest in the place
    /// of a record before it.
    pub fn new(instance: [u8; 16], gate: Option<&Digest>) -> Self {
        Self { instance: hex(&instance), seq: 0, prev: gate.map(Digest::to_string).unwrap_or_default(), decisions: 0, spent: 0 }
    }

    /// The number of its next record.
    pub fn next_seq(&self) -> u64 {
        self.seq
    }

    /// How many decisions it has.
    pub(super) fn decisions(&self) -> u64 {
        self.decisions
    }

    /// Adds nanoseconds that making records took.
    pub fn spend(&mut self, nanos: u64) {
        self.spent = self.spent.saturating_add(nanos);
    }

    /// The microseconds since the last checkpoint, which is now.
    pub(super) fn settle(&mut self) -> u64 {
        std::mem::take(&mut self.spent) / 1000
    }

    /// Whether it is time for a checkpoint. Without a key there are none: nobody could tell who wrote them.
    pub fn wants_checkpoint(&self) -> bool {
        !self.prev.is_empty() && self.seq % CHECKPOINT_EVERY == CHECKPOINT_EVERY - 1
    }

    /// The next line of the chain, with its end.
    pub(super) fn line<R>(&mut self, keyring: &Keyring, make: impl FnOnce(Link) -> R) -> String
    where
        R: Serialize + IsDecision,
    {
        let key = keyring.signing();
        let link = Link {
            alg: key.map(LinkKey::algorithm),
            instance: self.instance.clone(),
            key_id: key.map(|key| key.id().to_owned()),
            prev: std::mem::take(&mut self.prev),
            seq: self.seq,
        };
        let record = make(link);
        let decision = record.is_decision();
        // One buffer: the canonical form is written where it stands in the line, behind room for the version.
        let mut line = Vec::with_capacity(2048);
        line.extend_from_slice(ROOM);
        // A record is strings and numbers, which always serialise; if that ever changes, a record that says so is better than none.
        if let Err(error) = serde_json::to_writer(&mut line, &record) {
            line.truncate(ROOM.len());
            line.extend_from_slice(format!(r#"{{"detail":"record: {:?}","reason":"system.internal","v":1}}"#, error.classify()).as_bytes());
        }
        drop(record);
        let canonical = line.get(ROOM.len()..).unwrap_or_default();
        let mac = key.and_then(|key| key.sign(&[DOMAIN, canonical])).map(|mac| URL_SAFE_NO_PAD.encode(mac));
        // The version comes first, so that records can be told from other lines by how they begin.
        for (to, from) in line.iter_mut().zip(VERSION_FIRST) {
            *to = *from;
        }
        line.truncate(line.len().saturating_sub(VERSION_LAST.len()));
        if let Some(mac) = &mac {
            line.extend_from_slice(br#","mac":""#);
            line.extend_from_slice(mac.as_bytes());
            line.push(b'"');
        }
        line.extend_from_slice(b"}\n");
        self.seq = self.seq.saturating_add(1);
        self.decisions = self.decisions.saturating_add(u64::from(decision));
        self.prev = mac.unwrap_or_default();
        // What `serde_json` writes is UTF-8.
        String::from_utf8(line).unwrap_or_else(|error| String::from_utf8_lossy(error.as_bytes()).into_owned())
    }
}

/// How a line begins: the version, and the comma before the first of the other members.
const VERSION_FIRST: &[u8] = br#"{"v":1,"#;
/// How the canonical form ends, in which the version is last.
const VERSION_LAST: &[u8] = br#","v":1}"#;
/// What a line holds before the canonical form, so that the form's first byte is the last of [`VERSION_FIRST`].
const ROOM: &[u8] = br#"{"v":1"#;

/// Whether a record is about a request.
pub(super) trait IsDecision {
    fn is_decision(&self) -> bool;
}
