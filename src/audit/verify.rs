//! Whether a log is what gates wrote: nothing altered, left out, put in, doubled or moved.
//!
//! Reads records one by one and keeps no record: only where each chain stands, and its gaps. What a chain proves, and what it
//! cannot, is in `docs/decision-log.md`.

use std::collections::BTreeMap;
use std::fmt;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::Deserialize;

use super::canonical;
use crate::signed_url::Keyring;

/// What is wrong with a place in a log.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Fault {
    /// A record is not what a gate wrote: its MAC or signature is not that of its content.
    Altered,
    /// A record stands after one that was written later.
    Reordered,
    /// A record is there twice.
    Duplicated,
    /// Records are not there.
    Missing,
    /// A record whose key is not in the keyring, or that continues another chain than the one it stands in.
    Foreign,
    /// A record that carries neither MAC nor signature: anybody could have written it.
    Unsigned,
    /// A line that begins as a record and is none.
    Malformed,
}

impl Fault {
    /// Every fault.
    pub const ALL: [Self; 7] =
        [Self::Altered, Self::Reordered, Self::Duplicated, Self::Missing, Self::Foreign, Self::Unsigned, Self::Malformed];

    /// Its name.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Altered => "altered",
            Self::Reordered => "reordered",
            Self::Duplicated => "duplicated",
            Self::Missing => "missing",
            Self::Foreign => "foreign",
            Self::Unsigned => "unsigned",
            Self::Malformed => "malformed",
        }
    }
}

/// One thing that is wrong.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding<P> {
    /// What.
    pub fault: Fault,
    /// Where: the record it is about; of missing records the one after them, or the last one of their chain, if there is any.
    pub place: Option<P>,
    /// Whose chain, as far as the record says.
    pub instance: Option<String>,
    /// The numbers of the records in that chain, first and last.
    pub records: Option<(u64, u64)>,
    /// The decision, when the record names one.
    pub decision_id: Option<String>,
    /// In words.
    pub message: String,
}

/// What was read.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Verified {
    /// Lines that begin as records.
    pub records: u64,
    /// Those whose MAC or signature is right.
    pub authentic: u64,
    /// Chains: instances of gates.
    pub chains: u64,
}

/// The end of a chain: what a later reader has to find. Kept elsewhere, it shows that a tail was cut off.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Anchor {
    /// The instance.
    pub instance: String,
    /// The number of its last record.
    pub seq: u64,
    /// That record's MAC.
    pub mac: String,
}

/// The members that a chain is made of.
#[derive(Deserialize)]
struct Head {
    #[serde(default)]
    decision_id: Option<String>,
    #[serde(default)]
    policy_digest: Option<String>,
    #[serde(default)]
    chain: Option<Link>,
    #[serde(default)]
    dropped: Option<Dropped>,
    #[serde(default)]
    mac: Option<String>,
}

#[derive(Deserialize)]
struct Link {
    #[serde(default)]
    alg: Option<String>,
    instance: String,
    #[serde(default)]
    key_id: Option<String>,
    prev: String,
    seq: u64,
}

/// What a record says was not delivered.
#[derive(Deserialize)]
struct Dropped {
    first_seq: u64,
    last_seq: u64,
}

/// Where one chain stands.
struct Chain<P> {
    /// The number of the next record.
    next: u64,
    /// The MAC of the last one; none where that is not to be relied on.
    last: Option<Box<str>>,
    place: P,
    /// Numbers that are not there: by the first of them the last, and the record after them.
    gaps: BTreeMap<u64, (u64, P)>,
    /// Numbers that its records say were not delivered: by the first the last.
    told: BTreeMap<u64, u64>,
}

impl<P> Chain<P> {
    /// What is to be said of a gap beside that it is there.
    fn told_of(&self, first: u64, last: u64) -> &'static str {
        let mut covered = first;
        let mut some = false;
        for (from, to) in self.told.range(..=last) {
            some |= *to >= first;
            if *from <= covered {
                covered = covered.max(to.saturating_add(1));
            }
        }
        match (covered > last, some) {
            (true, _) => "; a record of the log says that they were dropped",
            (false, true) => "; a record of the log says that some of them were dropped",
            (false, false) => "",
        }
    }
}

/// Reads a log. `P` is how its reader tells places.
pub struct Verifier<'k, P> {
    keyring: &'k Keyring,
    /// Chains may begin before the log does.
    open_start: bool,
    chains: BTreeMap<String, Chain<P>>,
    /// What must be there, and whether it was met.
    anchors: BTreeMap<String, Vec<(Anchor, bool)>>,
    tally: Verified,
}

impl<P> fmt::Debug for Verifier<'_, P> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Verifier").field("tally", &self.tally).finish_non_exhaustive()
    }
}

impl<'k, P: Copy + Ord> Verifier<'k, P> {
    /// A reader that trusts these keys.
    pub fn new(keyring: &'k Keyring, open_start: bool, anchors: Vec<Anchor>) -> Self {
        let mut by_instance: BTreeMap<String, Vec<_>> = BTreeMap::new();
        for anchor in anchors {
            by_instance.entry(anchor.instance.clone()).or_default().push((anchor, false));
        }
        Self { keyring, open_start, chains: BTreeMap::new(), anchors: by_instance, tally: Verified::default() }
    }

    /// Looks at the next line, and says what is wrong with it.
    pub fn take(&mut self, line: &str, place: P) -> Vec<Finding<P>> {
        self.tally.records = self.tally.records.saturating_add(1);
        let head: Head = match serde_json::from_str(line) {
            Ok(head) => head,
            Err(error) => {
                let message = format!("not a record: {error}");
                return vec![Finding {
                    fault: Fault::Malformed,
                    place: Some(place),
                    instance: None,
                    records: None,
                    decision_id: None,
                    message,
                }];
            }
        };
        let Head { decision_id, policy_digest, chain: link, dropped, mac } = head;
        let finding = |fault, link: Option<&Link>, message: String| {
            let instance = link.map(|link| link.instance.clone());
            let records = link.map(|link| (link.seq, link.seq));
            vec![Finding { fault, place: Some(place), instance, records, decision_id: decision_id.clone(), message }]
        };
        let (Some(link), Some(mac)) = (&link, &mac) else {
            return finding(Fault::Unsigned, link.as_ref(), "it carries neither MAC nor signature".to_owned());
        };
        let (Some(key_id), Some(alg)) = (&link.key_id, &link.alg) else {
            return finding(Fault::Unsigned, Some(link), "it does not say by which key its MAC was made".to_owned());
        };
        let Some(key) = self.keyring.get(key_id).filter(|key| key.algorithm() == alg) else {
            return finding(Fault::Foreign, Some(link), format!("no key `{key_id}` for {alg} in the keyring"));
        };
        let right = URL_SAFE_NO_PAD.decode(mac).is_ok_and(|signature| {
            let is_signed = |signed: Option<Vec<u8>>| signed.is_some_and(|signed| key.verify(&signed, &signature));
            is_signed(canonical::as_written(line, mac)) || is_signed(canonical::rewritten(line))
        });
        if !right {
            // It counts as the record it says it is, so that what stands around it is not blamed too.
            if let Some(chain) = self.chains.get_mut(&link.instance).filter(|chain| chain.next == link.seq) {
                chain.next = chain.next.saturating_add(1);
                chain.last = None;
                chain.place = place;
            }
            return finding(Fault::Altered, Some(link), "its MAC is not that of its content".to_owned());
        }
        self.tally.authentic = self.tally.authentic.saturating_add(1);
        for (anchor, met) in self.anchors.get_mut(&link.instance).into_iter().flatten() {
            *met |= anchor.seq == link.seq && anchor.mac == *mac;
        }
        let wrong = self.follow(link, mac, policy_digest.as_deref(), place);
        // A loss that could not be told is told again in a longer one.
        if let (Some(Dropped { first_seq, last_seq }), Some(chain)) = (dropped, self.chains.get_mut(&link.instance)) {
            let last = chain.told.entry(first_seq).or_default();
            *last = last_seq.max(*last);
        }
        wrong.into_iter().flat_map(|(fault, message)| finding(fault, Some(link), message)).collect()
    }

    /// Puts a record that is authentic into its chain.
    fn follow(&mut self, link: &Link, mac: &str, policy_digest: Option<&str>, place: P) -> Option<(Fault, String)> {
        let Link { instance, seq, prev, .. } = link;
        let (seq, before, after) = (*seq, seq.saturating_sub(1), seq.saturating_add(1));
        let Some(chain) = self.chains.get_mut(instance) else {
            let lacks = seq > 0 && !self.open_start;
            let gaps = lacks.then_some((0, (before, place))).into_iter().collect();
            self.chains.insert(instance.clone(), Chain { next: after, last: Some(mac.into()), place, gaps, told: BTreeMap::new() });
            self.tally.chains = self.tally.chains.saturating_add(1);
            let wrong = seq == 0 && prev != policy_digest.unwrap_or_default();
            return wrong
                .then(|| (Fault::Foreign, "the first record of its chain does not begin with the gate's policy digest".to_owned()));
        };
        if seq < chain.next {
            let gap = chain.gaps.range(..=seq).next_back().map(|(first, (last, place))| (*first, *last, *place));
            let Some((first, last, gap)) = gap.filter(|(_, last, _)| seq <= *last) else {
                return Some((Fault::Duplicated, "the record of this number is there already".to_owned()));
            };
            chain.gaps.remove(&first);
            if first < seq {
                chain.gaps.insert(first, (before, gap));
            }
            if after <= last {
                chain.gaps.insert(after, (last, gap));
            }
            return Some((Fault::Reordered, format!("it stands after record {} of its chain", chain.next.saturating_sub(1))));
        }
        let gap = seq > chain.next;
        let follows = gap || chain.last.as_deref().is_none_or(|last| last == prev);
        if gap {
            chain.gaps.insert(chain.next, (before, place));
        }
        chain.next = after;
        chain.last = Some(mac.into());
        chain.place = place;
        (!follows).then(|| (Fault::Foreign, "it names another record before it than the one that stands there".to_owned()))
    }

    /// What was read so far.
    pub fn read(&self) -> Verified {
        self.tally
    }

    /// What is missing so far: of a log that still grows it may yet come.
    pub fn missing(&self) -> Vec<Finding<P>> {
        let Self { chains, anchors, .. } = self;
        let missing = |instance: &str, records, place, message: &str| Finding {
            fault: Fault::Missing,
            place,
            instance: Some(instance.to_owned()),
            records: Some(records),
            decision_id: None,
            message: message.to_owned(),
        };
        let mut findings = Vec::new();
        for (instance, chain) in chains {
            for (first, (last, place)) in &chain.gaps {
                let message = if *first == 0 { "the chain does not begin here" } else { "the chain has a gap here" };
                let message = format!("{message}{}", chain.told_of(*first, *last));
                findings.push(missing(instance, (*first, *last), Some(*place), &message));
            }
        }
        for (anchor, _) in anchors.values().flatten().filter(|(_, met)| !met) {
            let chain = chains.get(&anchor.instance);
            let next = chain.map_or(0, |chain| chain.next);
            let message = if next > anchor.seq {
                "the record that the anchor names is another one here"
            } else {
                "the chain goes on to the record that the anchor names: what came last was cut off"
            };
            let records = (next.min(anchor.seq), anchor.seq);
            findings.push(missing(&anchor.instance, records, chain.map(|chain| chain.place), message));
        }
        findings.sort_by(|a, b| (a.place, &a.instance, a.records).cmp(&(b.place, &b.instance, b.records)));
        findings
    }

    /// What is missing, where every chain ends, and what was read.
    pub fn finish(self) -> (Vec<Finding<P>>, Vec<Anchor>, Verified) {
        let findings = self.missing();
        let end = |(instance, chain): (String, Chain<P>)| {
            let mac = chain.last?.into();
            Some(Anchor { instance, seq: chain.next.saturating_sub(1), mac })
        };
        (findings, self.chains.into_iter().filter_map(end).collect(), self.tally)
    }
}
