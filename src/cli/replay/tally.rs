//! What a replay found, counted and grouped, and how it is told.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Value, json};

use super::super::audit::{Input, Place, number_of, one_line};
use crate::audit::{Entry, SigningEntry};
use crate::decision::{Flip, Replayed};

/// Most different reasons for which answers cannot be told that are listed.
const REASONS: usize = 20;

/// One decision that stands for its group.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(in crate::cli) struct Example {
    pub(in crate::cli) place: Place,
    pub(in crate::cli) decision_id: String,
    pub(in crate::cli) principal: String,
    pub(in crate::cli) method: String,
    pub(in crate::cli) path: String,
}

impl Example {
    /// What a record tells of a question.
    pub(in crate::cli) fn of(entry: &Entry, replayed: &Replayed, place: Place) -> Self {
        let item: Option<&SigningEntry> = replayed.item.and_then(|index| entry.signing.get(index));
        let cedar = item.map_or(&entry.cedar, |item| &item.cedar).as_ref();
        let (method, path) = match item {
            Some(item) => (format!("sign {}", item.methods.join(",")), &item.path),
            None => (entry.request.method.clone(), &entry.request.path),
        };
        Self {
            place,
            decision_id: entry.decision_id.clone(),
            principal: cedar.and_then(|cedar| cedar.principal.clone()).unwrap_or_default(),
            method,
            path: path.clone().unwrap_or_default(),
        }
    }
}

/// What decisions of a group have in common.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(in crate::cli) struct Group {
    pub(in crate::cli) flip: Flip,
    /// The reason code of the new answer.
    pub(in crate::cli) reason: String,
    /// The policies that determine it; where none does, those that determined the old one.
    pub(in crate::cli) policies: Vec<String>,
    /// Whether they determined the old one.
    pub(in crate::cli) formerly: bool,
}

impl Group {
    /// The group of a flip.
    pub(in crate::cli) fn of(flip: Flip, replayed: &Replayed) -> Self {
        let (reason, policies) = match &replayed.after {
            Ok(after) => (after.reason.clone(), after.policies.clone()),
            // Never: what cannot be told is no flip.
            Err(why) => (why.clone(), vec![]),
        };
        let formerly = policies.is_empty();
        Self { flip, reason, policies: if formerly { replayed.before.policies.clone() } else { policies }, formerly }
    }
}

/// What was found.
#[derive(Debug, Default)]
pub(in crate::cli) struct Tally {
    pub(in crate::cli) records: u64,
    /// Records of which no policy was asked.
    pub(in crate::cli) not_asked: u64,
    /// Answers that are the same for the same reason by the same policies.
    pub(in crate::cli) unchanged: u64,
    /// Answers that are the same by other policies or for another reason.
    pub(in crate::cli) other_reason: u64,
    /// Answers that cannot be told, and why.
    pub(in crate::cli) unknown: u64,
    pub(in crate::cli) why: BTreeMap<String, u64>,
    pub(in crate::cli) malformed: u64,
    /// Flips that are approved, and by which approvals.
    pub(in crate::cli) meant: u64,
    pub(in crate::cli) approved: BTreeSet<usize>,
    /// The others.
    pub(in crate::cli) groups: BTreeMap<Group, (u64, Example)>,
}

impl Tally {
    /// Adds what another thread found. Of two examples the first in the logs stays, however the work was shared.
    pub(in crate::cli) fn merge(&mut self, other: Self) {
        let Self { records, not_asked, unchanged, other_reason, unknown, why, malformed, meant, approved, groups } = other;
        for (to, from) in [
            (&mut self.records, records),
            (&mut self.not_asked, not_asked),
            (&mut self.unchanged, unchanged),
            (&mut self.other_reason, other_reason),
            (&mut self.unknown, unknown),
            (&mut self.malformed, malformed),
            (&mut self.meant, meant),
        ] {
            *to = to.saturating_add(from);
        }
        self.approved.extend(approved);
        for (reason, number) in why {
            self.unknown_because(reason, number);
        }
        for (group, (number, example)) in groups {
            self.flipped(group, number, example);
        }
    }

    /// Counts answers that cannot be told.
    pub(in crate::cli) fn unknown_because(&mut self, why: String, number: u64) {
        let room = self.why.len() < REASONS || self.why.contains_key(&why);
        let entry = self.why.entry(if room { why } else { "other reasons".to_owned() }).or_default();
        *entry = entry.saturating_add(number);
    }

    /// Counts flips of a group.
    pub(in crate::cli) fn flipped(&mut self, group: Group, number: u64, example: Example) {
        let (sum, first) = self.groups.entry(group).or_insert_with(|| (0, example.clone()));
        *sum = sum.saturating_add(number);
        if example.place < first.place {
            *first = example;
        }
    }

    /// How many answers flip so, without those that are approved.
    pub(in crate::cli) fn flips(&self, flip: Flip) -> u64 {
        self.groups.iter().filter(|(group, _)| group.flip == flip).fold(0, |sum: u64, (_, (number, _))| sum.saturating_add(*number))
    }

    pub(in crate::cli) fn json(&self, input: &Input, digest: Option<&str>) -> Value {
        let groups: Vec<Value> = self
            .groups
            .iter()
            .map(|(group, (number, example))| {
                let Group { flip, reason, policies, formerly } = group;
                let Example { place: (_, line), decision_id, principal, method, path } = example;
                json!({
                    "flip": flip.as_str(), "count": number, "reason": reason,
                    "policies": if *formerly { &[] } else { policies.as_slice() },
                    "formerly": if *formerly { policies.as_slice() } else { &[] },
                    "example": {
                        "file": file(input, example), "line": line, "decision_id": decision_id, "principal": principal,
                        "method": method, "path": path,
                    },
                })
            })
            .collect();
        json!({
            "policy_digest": digest, "records": self.records, "not_asked": self.not_asked, "unchanged": self.unchanged,
            "same_decision_other_reason": self.other_reason, "unknown": self.unknown, "unknown_because": self.why,
            "malformed": self.malformed, "approved": self.meant,
            "allow_to_deny": self.flips(Flip::AllowToDeny), "deny_to_allow": self.flips(Flip::DenyToAllow),
            "now_erroring": self.flips(Flip::NowErroring), "flips": groups,
        })
    }

    pub(in crate::cli) fn human(&self, input: &Input, asked: &str) -> String {
        let mut text = format!("{} {asked}\n", number_of(self.records, "record"));
        let mut row = |number: u64, what: &str| {
            if number > 0 {
                text.push_str(&format!("  {number:>9}  {what}\n"));
            }
        };
        row(self.unchanged, "unchanged: the same answer by the same policies");
        row(self.other_reason, "unchanged, by other policies or for another reason");
        row(self.not_asked, "not asked: refused before policies, or the gate's own");
        row(self.meant, "flip, and are approved");
        row(self.flips(Flip::AllowToDeny), "\x1b[31mallow → deny\x1b[0m");
        row(self.flips(Flip::DenyToAllow), "\x1b[31mdeny → allow\x1b[0m");
        row(self.flips(Flip::NowErroring), "\x1b[31mwould fail\x1b[0m: a policy that cannot be evaluated denies");
        row(self.unknown, "cannot be told");
        for (why, number) in &self.why {
            text.push_str(&format!("             {number} {}\n", one_line(why)));
        }
        // The largest first: that is where a mistake shows.
        let mut groups: Vec<_> = self.groups.iter().collect();
        groups.sort_by_key(|(group, (number, _))| (group.flip, std::cmp::Reverse(*number)));
        for (group, (number, example)) in groups {
            text.push_str(&told(group, *number, example, input));
        }
        if self.groups.is_empty() {
            text.push_str("no answer flips\n");
        }
        text
    }
}

fn told(group: &Group, number: u64, example: &Example, input: &Input) -> String {
    let Group { flip, reason, policies, formerly } = group;
    let names = one_line(&policies.join(", "));
    let by = match (flip, formerly, policies.is_empty()) {
        (_, _, true) => reason.clone(),
        (Flip::DenyToAllow, true, _) => format!("no longer forbidden by {names}"),
        (_, true, _) => format!("{reason}: no longer permitted by {names}"),
        (_, false, _) => format!("{reason}: {names}"),
    };
    let Example { place: (_, line), decision_id, principal, method, path } = example;
    let arrow = match flip {
        Flip::AllowToDeny => "allow → deny",
        Flip::DenyToAllow => "deny → allow",
        Flip::NowErroring => "would fail",
    };
    format!(
        "\n\x1b[1m{number} × {arrow}\x1b[0m  {by}\n    {} {} by {}\n    {}:{line}, decision {}\n",
        one_line(method),
        one_line(path),
        if principal.is_empty() { "somebody masked".to_owned() } else { one_line(principal) },
        one_line(&file(input, example)),
        one_line(decision_id),
    )
}

fn file(input: &Input, example: &Example) -> String {
    input.files.get(example.place.0).map(|file| file.display().to_string()).unwrap_or_default()
}
