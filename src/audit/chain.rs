//! The chain: each record of an instance carries a MAC or signature over itself and over the one before it.
//!
//! What is signed is a version line and the record's canonical form: JSON by RFC 8785, without `mac`. Records hold objects, arrays,
//! strings, whole numbers, booleans and null only, and their names are ASCII, so that it comes down to: names sorted, no white
//! space, the shortest escapes. `docs/decision-log.md` says what this proves.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::Serialize;

use super::id::hex;
use crate::bundle::Digest;
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
        let mut signed = Vec::with_capacity(2048);
        signed.extend_from_slice(DOMAIN);
        // A record is strings and numbers, which always serialise; if that ever changes, a record that says so is better than none.
        if let Err(error) = serde_json::to_writer(&mut signed, &record) {
            signed.truncate(DOMAIN.len());
            signed
                .extend_from_slice(format!(r#"{{"detail":"record: {:?}","reason":"system.internal","v":1}}"#, error.classify()).as_bytes());
        }
        drop(record);
        let mac = key.and_then(|key| key.sign(&signed)).map(|mac| URL_SAFE_NO_PAD.encode(mac));
        let canonical = signed.get(DOMAIN.len()..).unwrap_or_default();
        let inner = canonical.strip_prefix(b"{").and_then(|rest| rest.strip_suffix(br#","v":1}"#)).unwrap_or_default();
        // The version comes first, so that records can be told from other lines by how they begin.
        let mut line = String::with_capacity(canonical.len().saturating_add(64));
        line.push_str(r#"{"v":1,"#);
        line.push_str(&String::from_utf8_lossy(inner));
        if let Some(mac) = &mac {
            line.push_str(r#","mac":""#);
            line.push_str(mac);
            line.push('"');
        }
        line.push_str("}\n");
        self.seq = self.seq.saturating_add(1);
        self.decisions = self.decisions.saturating_add(u64::from(decision));
        self.prev = mac.unwrap_or_default();
        line
    }
}

/// Whether a record is about a request.
pub(super) trait IsDecision {
    fn is_decision(&self) -> bool;
}
