//! What was read so far, and whether it is what gates wrote.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::super::verify::place_in_words;
use crate::audit::{Entry, Fault, Finding, Kind, Verified};

/// Most findings that are listed. All are counted.
const LISTED: usize = 1000;
/// Most series of one metric. Their labels are out of records: there may be any number.
const SERIES: usize = 2000;
/// Bounds of times, in microseconds.
pub(super) const BOUNDS: [u64; 14] =
    [500, 1000, 2500, 5000, 10_000, 25_000, 50_000, 100_000, 250_000, 500_000, 1_000_000, 2_500_000, 5_000_000, 10_000_000];
/// The label of what has no room of its own.
const OTHER: &str = "other";

/// A source, by its number, and a line of it.
pub(super) type Spot = (usize, u64);

/// `fault` of a row of the index; 0 and 1 are no faults.
pub(super) fn fault(fault: Fault) -> i64 {
    let position = Fault::ALL.iter().position(|known| *known == fault).unwrap_or_default();
    i64::try_from(position).unwrap_or_default().saturating_add(2)
}

/// And back.
pub(super) fn of_fault(code: i64) -> Option<Fault> {
    Fault::ALL.get(usize::try_from(code.checked_sub(2)?).ok()?).copied()
}

/// Everything that is known beside the index.
#[derive(Debug, Clone, Default)]
pub(super) struct Status {
    /// Goes up with every line.
    pub lines: u64,
    pub records: u64,
    /// Lines that begin as records and are none.
    pub malformed: u64,
    /// Lines of something else.
    pub passed: u64,
    /// Records that the logs say were lost.
    pub lost: u64,
    /// Whether the logs have been read to their ends once.
    pub caught_up: bool,
    pub bytes: u64,
    pub bytes_in_all: u64,
    /// Times of the records, in milliseconds since 1970.
    pub oldest: Option<i64>,
    pub newest: Option<i64>,
    /// Names of the sources, by number.
    pub sources: Vec<String>,
    /// What went wrong, for whoever looks.
    pub problems: Vec<String>,
    pub chain: Option<Chain>,
    pub counters: Counters,
}

/// What was found of the chains.
#[derive(Debug, Clone, Default)]
pub(super) struct Chain {
    pub read: Verified,
    counts: BTreeMap<Fault, u64>,
    listed: Vec<Finding<Spot>>,
    /// May yet come, so it is found anew each time.
    missing: Vec<Finding<Spot>>,
}

impl Chain {
    pub(super) fn add(&mut self, finding: Finding<Spot>) {
        let count = self.counts.entry(finding.fault).or_default();
        *count = count.saturating_add(1);
        if self.listed.len() < LISTED {
            self.listed.push(finding);
        }
    }

    pub(super) fn set(&mut self, read: Verified, mut missing: Vec<Finding<Spot>>) {
        self.read = read;
        let count = u64::try_from(missing.len()).unwrap_or(u64::MAX);
        missing.truncate(LISTED);
        self.missing = missing;
        if count == 0 {
            self.counts.remove(&Fault::Missing);
        } else {
            self.counts.insert(Fault::Missing, count);
        }
    }

    /// How many of each.
    pub(super) fn counts(&self) -> impl Iterator<Item = (Fault, u64)> {
        Fault::ALL.into_iter().map(|fault| (fault, self.counts.get(&fault).copied().unwrap_or_default()))
    }

    pub(super) fn is_broken(&self) -> bool {
        !self.counts.is_empty()
    }

    pub(super) fn findings(&self) -> impl Iterator<Item = &Finding<Spot>> {
        self.missing.iter().chain(&self.listed)
    }
}

/// What `/metrics` counts. It never goes down while the console runs.
#[derive(Debug, Clone, Default)]
pub(super) struct Counters {
    /// By decision, reason and region.
    pub decisions: BTreeMap<[String; 3], u64>,
    /// By region and class of the status.
    pub responses: BTreeMap<[String; 2], u64>,
    pub digests: BTreeMap<[String; 1], u64>,
    pub kinds: BTreeMap<[String; 1], u64>,
    pub times: BTreeMap<[String; 1], Times>,
}

/// How long decisions took.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Times {
    pub within: [u64; BOUNDS.len()],
    pub count: u64,
    pub micros: u64,
}

/// The value of these labels, or of those that have no room.
fn series<'a, const N: usize, T: Default>(all: &'a mut BTreeMap<[String; N], T>, labels: [&str; N]) -> &'a mut T {
    let labels = labels.map(str::to_owned);
    let labels = if all.len() < SERIES || all.contains_key(&labels) { labels } else { [const { OTHER }; N].map(str::to_owned) };
    all.entry(labels).or_default()
}

fn up(count: &mut u64) {
    *count = count.saturating_add(1);
}

impl Counters {
    fn add(&mut self, entry: &Entry) {
        up(series(&mut self.kinds, [entry.kind.as_str()]));
        let class = match entry.status {
            0 => return self.decide(entry),
            status @ 100..=599 => format!("{}xx", status.div_euclid(100)),
            _ => OTHER.to_owned(),
        };
        if matches!(entry.kind, Kind::Decision | Kind::Outcome) {
            up(series(&mut self.responses, [&entry.region, &class]));
        }
        self.decide(entry);
    }

    fn decide(&mut self, entry: &Entry) {
        if entry.kind != Kind::Decision {
            return;
        }
        up(series(&mut self.decisions, [&entry.decision, &entry.reason, &entry.region]));
        up(series(&mut self.digests, [entry.policy_digest.as_deref().unwrap_or_default()]));
        let times = series(&mut self.times, [&entry.region]);
        let total = entry.timing_us.total;
        up(&mut times.count);
        times.micros = times.micros.saturating_add(total);
        for (within, _) in times.within.iter_mut().zip(BOUNDS).filter(|(_, bound)| total <= *bound) {
            up(within);
        }
    }
}

impl Status {
    /// Counts a record. Its time is that of the record, where it has one.
    pub(super) fn add(&mut self, entry: &Entry, time: Option<i64>) {
        up(&mut self.records);
        self.lost = self.lost.saturating_add(entry.dropped.as_ref().map_or(0, |dropped| dropped.count));
        self.counters.add(entry);
        if let Some(time) = time {
            self.oldest = Some(self.oldest.map_or(time, |oldest| oldest.min(time)));
            self.newest = Some(self.newest.map_or(time, |newest| newest.max(time)));
        }
    }

    /// For the page.
    pub(super) fn json(&self, slo_micros: u64) -> Value {
        let Self { lines, records, malformed, passed, lost, caught_up, bytes, bytes_in_all, .. } = self;
        let Self { oldest, newest, sources, problems, chain, counters, .. } = self;
        let regions: Vec<&String> = counters.times.keys().flatten().take(50).collect();
        json!({
            "lines": lines, "records": records, "malformed": malformed, "passed": passed, "lost": lost, "caught_up": caught_up,
            "bytes": bytes, "bytes_in_all": bytes_in_all, "oldest": oldest, "newest": newest, "sources": sources, "problems": problems,
            "slo_us": slo_micros, "regions": regions, "chain": chain.as_ref().map(|chain| json!({
                "broken": chain.is_broken(),
                "records": chain.read.records, "authentic": chain.read.authentic, "chains": chain.read.chains,
                "counts": chain.counts().filter(|(_, count)| *count > 0).map(|(fault, count)| (fault.as_str(), count)).collect::<BTreeMap<_, _>>(),
            })),
        })
    }

    /// A finding for the page.
    pub(super) fn finding(&self, finding: &Finding<Spot>) -> Value {
        let Finding { fault, place, instance, records, decision_id, message } = finding;
        json!({
            "fault": fault.as_str(), "file": place.and_then(|(source, _)| self.sources.get(source)), "line": place.map(|(_, line)| line),
            "what": place_in_words(*records), "instance": instance, "decision_id": decision_id, "message": message,
        })
    }
}
