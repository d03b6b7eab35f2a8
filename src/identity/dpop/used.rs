//! Proofs that were used: what makes one the same as another, and two memories for them, one of an instance and one in the
//! deployment's store. Both are pure; the shell keeps them.

use std::collections::{BTreeMap, BTreeSet};

use crate::bundle::Digest;
use crate::decision::UnixTime;
use crate::limits;

/// What is under the digest before key and `jti`.
const DOMAIN: &[u8] = b"cedargate dpop use v1\n";
/// The first byte of a shard.
const VERSION: u8 = 1;
/// Bytes of one entry of a shard: half a digest, and a time.
const ENTRY: usize = 24;

/// One use of a proof: what makes it the same as another, and how long it has to be remembered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ProofUse {
    /// SHA-256 over key and `jti`.
    pub id: Digest,
    /// After this time the proof is refused for its age.
    pub until: UnixTime,
}

impl ProofUse {
    /// The use of a proof with this `jti`, made with the key of this thumbprint. A thumbprint has a fixed length, so no two
    /// pairs of key and `jti` are one text.
    pub(super) fn new(key: &Digest, jti: &str, until: UnixTime) -> Self {
        Self { id: Digest::of(&[DOMAIN, key.as_bytes(), jti.as_bytes()].concat()), until }
    }

    /// The key of the store under which uses like this one are remembered: one of 256.
    pub fn shard(&self) -> String {
        let [first, ..] = self.id.as_bytes();
        format!("dpop/{first:02x}")
    }

    /// What a shard remembers of it. The first byte chose the shard; 128 bits of the rest leave no two proofs alike.
    fn prefix(&self) -> [u8; 16] {
        let mut prefix = [0; 16];
        // Sixteen bytes of the thirty-two there are; zip copies them without a way to panic.
        for (to, from) in prefix.iter_mut().zip(self.id.as_bytes().iter().skip(1)) {
            *to = *from;
        }
        prefix
    }
}

/// Whether a use may be forgotten: the proof is refused for its age now, also by an instance whose clock is behind.
fn forgotten(until: i64, now: UnixTime) -> bool {
    until.saturating_add(limits::CLOCK_DIFFERENCE_SECONDS) < now.0
}

/// The memory of one instance. Bounded; when it is full, what would be forgotten first is forgotten now.
///
/// SECURITY: so it is best effort. It ends with the instance, and others know nothing of it. Exact is only the store.
#[derive(Debug)]
pub struct UsedProofs {
    // INVARIANT: both hold the same uses.
    until: BTreeMap<Digest, i64>,
    order: BTreeSet<(i64, Digest)>,
    most: usize,
}

impl UsedProofs {
    /// An empty memory for at most this many uses.
    pub const fn new(most: usize) -> Self {
        Self { until: BTreeMap::new(), order: BTreeSet::new(), most }
    }

    /// Whether this is the first use of a proof; from now on it no longer is.
    pub fn first_use(&mut self, used: &ProofUse, now: UnixTime) -> bool {
        if self.until.contains_key(&used.id) {
            return false;
        }
        while let Some((until, _)) = self.order.first()
            && (forgotten(*until, now) || self.until.len() >= self.most)
        {
            if let Some((_, id)) = self.order.pop_first() {
                self.until.remove(&id);
            }
        }
        let UnixTime(until) = used.until;
        self.until.insert(used.id, until);
        self.order.insert((until, used.id));
        true
    }
}

/// Why a shard of the store cannot take a use. Both deny: a proof that cannot be compared is not accepted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum ShardError {
    /// The stored value is not one of ours.
    #[error("the stored list of used proofs is not readable")]
    Malformed,
    /// As many unexpired uses as a shard may hold.
    #[error("the stored list of used proofs is full")]
    Full,
}

impl ProofUse {
    /// Adds this use to what its shard of the store holds: the new value, or `None` when the use is there already.
    ///
    /// A shard is a version and entries of sixteen bytes of the digest and eight of the time, oldest first. What is expired
    /// falls out each time one is written.
    ///
    /// # Errors
    /// When the stored value is malformed, or the shard is full.
    pub fn add_to(&self, stored: Option<&[u8]>, now: UnixTime) -> Result<Option<Vec<u8>>, ShardError> {
        let entries = match stored {
            None => &[],
            Some([VERSION, entries @ ..]) => entries,
            Some(_) => return Err(ShardError::Malformed),
        };
        let (entries, []) = entries.as_chunks::<ENTRY>() else { return Err(ShardError::Malformed) };
        let prefix = self.prefix();
        let mut value = vec![VERSION];
        let mut kept: usize = 0;
        for entry in entries {
            let (Some((id, _)), Some((_, until))) = (entry.split_first_chunk::<16>(), entry.split_last_chunk::<8>()) else {
                return Err(ShardError::Malformed);
            };
            let until = i64::from_be_bytes(*until);
            if until < 0 {
                return Err(ShardError::Malformed);
            }
            if *id == prefix {
                return Ok(None);
            }
            if !forgotten(until, now) {
                kept = kept.saturating_add(1);
                value.extend_from_slice(entry);
            }
        }
        if kept >= limits::USED_PROOFS_PER_SHARD {
            return Err(ShardError::Full);
        }
        let UnixTime(until) = self.until;
        value.extend_from_slice(&prefix);
        value.extend_from_slice(&until.max(0).to_be_bytes());
        Ok(Some(value))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::{ProofUse, ShardError, UsedProofs};
    use crate::bundle::Digest;
    use crate::decision::UnixTime;
    use crate::limits;

    const NOW: i64 = 1_800_000_000;
    const SLACK: i64 = limits::CLOCK_DIFFERENCE_SECONDS;

    fn used(jti: &str, until: i64) -> ProofUse {
        ProofUse::new(&Digest::of(b"key"), jti, UnixTime(until))
    }

    #[test]
    fn a_use_is_a_key_and_a_jti() {
        let one = used("a", NOW).id;
        assert_eq!(one, used("a", NOW + 5).id, "the time is no part of it");
        assert_ne!(one, used("b", NOW).id);
        assert_ne!(one, ProofUse::new(&Digest::of(b"another"), "a", UnixTime(NOW)).id);
    }

    #[test]
    fn an_instance_knows_a_proof_until_it_is_too_old() {
        let mut memory = UsedProofs::new(10);
        assert!(memory.first_use(&used("a", NOW + 70), UnixTime(NOW)));
        assert!(memory.first_use(&used("b", NOW + 70), UnixTime(NOW)));
        for at in [NOW, NOW + 70, NOW + 70 + SLACK] {
            assert!(!memory.first_use(&used("a", NOW + 70), UnixTime(at)), "{at}");
        }
        assert!(memory.first_use(&used("c", NOW + 999), UnixTime(NOW + 71 + SLACK)));
        assert_eq!((memory.until.len(), memory.order.len()), (1, 1), "the expired ones are gone");
    }

    #[test]
    fn a_full_instance_forgets_what_expires_first() {
        let mut memory = UsedProofs::new(2);
        assert!(memory.first_use(&used("late", NOW + 70), UnixTime(NOW)));
        assert!(memory.first_use(&used("early", NOW + 60), UnixTime(NOW)));
        assert!(memory.first_use(&used("third", NOW + 65), UnixTime(NOW)));
        assert_eq!((memory.until.len(), memory.order.len()), (2, 2));
        assert!(!memory.first_use(&used("late", NOW + 70), UnixTime(NOW)));
        assert!(!memory.first_use(&used("third", NOW + 65), UnixTime(NOW)));
        assert!(memory.first_use(&used("early", NOW + 60), UnixTime(NOW)), "best effort: this one was forgotten");
    }

    #[test]
    fn a_shard_knows_a_proof_until_it_is_too_old() {
        let first = used("a", NOW + 70).add_to(None, UnixTime(NOW)).unwrap().unwrap();
        assert_eq!((first[0], first.len()), (1, 25));
        for at in [NOW, NOW + 70, NOW + 70 + SLACK] {
            assert_eq!(used("a", NOW + 70).add_to(Some(&first), UnixTime(at)), Ok(None), "{at}");
        }
        let second = used("b", NOW + 80).add_to(Some(&first), UnixTime(NOW + 1)).unwrap().unwrap();
        assert_eq!(second.len(), 49);
        assert!(second.starts_with(&first));
        assert_eq!(used("a", NOW + 70).add_to(Some(&second), UnixTime(NOW + 1)), Ok(None));
        assert_eq!(used("b", NOW + 80).add_to(Some(&second), UnixTime(NOW + 1)), Ok(None));
        let third = used("c", NOW + 500).add_to(Some(&second), UnixTime(NOW + 71 + SLACK)).unwrap().unwrap();
        assert_eq!(third.len(), 49, "the first one fell out");
        assert_eq!(third[1..25], second[25..49]);
    }

    #[test]
    fn a_shard_that_is_not_readable_takes_nothing() {
        let good = used("a", NOW + 70).add_to(None, UnixTime(NOW)).unwrap().unwrap();
        assert!(used("b", NOW + 70).add_to(Some(&good), UnixTime(NOW)).is_ok(), "the control");
        assert!(used("b", NOW + 70).add_to(Some(&[1]), UnixTime(NOW)).is_ok(), "a version alone is an empty shard");
        let (mut version, mut negative, longer) = (good.clone(), good.clone(), [&good[..], &[0]].concat());
        version[0] = 2;
        negative[17] = 0x80;
        for bad in [&[][..], &[0], &version, &negative, &longer, &good[..24], b"{}"] {
            assert_eq!(used("b", NOW + 70).add_to(Some(bad), UnixTime(NOW)), Err(ShardError::Malformed), "{bad:?}");
        }
    }

    #[test]
    fn a_full_shard_takes_nothing_until_something_expires() {
        let mut value = None;
        for i in 0..limits::USED_PROOFS_PER_SHARD {
            value = used(&i.to_string(), NOW + 70).add_to(value.as_deref(), UnixTime(NOW)).unwrap();
        }
        let value = value.unwrap();
        let next = used("next", NOW + 170);
        assert_eq!(next.add_to(Some(&value), UnixTime(NOW)), Err(ShardError::Full));
        assert_eq!(used("0", NOW + 70).add_to(Some(&value), UnixTime(NOW)), Ok(None), "a replay is told all the same");
        assert_eq!(next.add_to(Some(&value), UnixTime(NOW + 71 + SLACK)).unwrap().unwrap().len(), 25);
    }

    #[test]
    fn shards_are_256_and_every_use_has_one() {
        let shards: std::collections::BTreeSet<_> = (0..5_000).map(|i| used(&i.to_string(), NOW).shard()).collect();
        assert_eq!(shards.len(), 256);
        assert!(shards.contains("dpop/00") && shards.contains("dpop/ff"));
    }

    proptest! {
        #[test]
        fn no_stored_bytes_make_it_panic(mut stored in prop::collection::vec(any::<u8>(), 0..100), ours in any::<bool>()) {
            if ours && let Some(first) = stored.first_mut() {
                *first = 1;
            }
            let _ = used("a", NOW).add_to(Some(&stored), UnixTime(NOW));
        }

        #[test]
        fn both_memories_agree_on_what_is_new(uses in prop::collection::vec((0..6_u8, 0..200_i64), 1..40)) {
            let (mut memory, mut shard) = (UsedProofs::new(100), None::<Vec<u8>>);
            let mut now = NOW;
            for (jti, step) in uses {
                now += step;
                let used = used(&jti.to_string(), now + 70);
                let new = used.add_to(shard.as_deref(), UnixTime(now)).unwrap();
                let first = memory.first_use(&used, UnixTime(now));
                // The instance only forgets when it takes something new, and so does the shard.
                prop_assert_eq!(first, new.is_some());
                shard = new.or(shard);
            }
        }
    }
}
