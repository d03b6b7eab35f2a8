//! What a page of figures shows: decisions over time, times and errors of each region, reasons of denials, digests.

use std::collections::{BTreeMap, HashMap};

use rusqlite::types::Value as SqlValue;
use rusqlite::{Connection, Row, params_from_iter};
use serde_json::{Value, json};

use super::histogram::Histogram;
use super::store::{ALLOW, DENY, LEVELS, text};
use super::wanted::Wanted;
use super::writer::floor;
use crate::decision::Reason;

/// Most steps of a chart.
const STEPS: i64 = 960;
/// Steps and the level that counts them.
const LADDER: [(i64, usize); 10] = [
    (30_000, 0),
    (60_000, 0),
    (120_000, 1),
    (240_000, 1),
    (600_000, 2),
    (1_800_000, 2),
    (3_600_000, 3),
    (10_800_000, 3),
    (21_600_000, 4),
    (86_400_000, 4),
];
/// Most rows that are looked at where the cube does not know.
pub(super) const ROWS: i64 = 40_000;
/// Most of each that is told one by one. The names are out of records: there may be any number.
const REGIONS: usize = 12;
const REASONS: usize = 20;
const DIGESTS: usize = 12;
const TOP: usize = 10;

/// The time that is looked at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Window {
    /// What was asked: only records from here on.
    pub since: Option<i64>,
    /// And before this.
    pub until: Option<i64>,
    /// The same in whole steps.
    from: i64,
    to: i64,
    step: i64,
    level: i64,
}

impl Window {
    /// What is asked, of records between these two times.
    pub(super) fn new(wanted: &Wanted, oldest: i64, newest: i64) -> Self {
        let [shortest, ..] = LEVELS;
        let last = wanted.last.map(|last| floor(newest.saturating_sub(last), shortest));
        let since = wanted.since.max(last);
        let until = wanted.until;
        let from = since.unwrap_or(oldest).max(oldest);
        let end = until.unwrap_or(i64::MAX).min(newest.saturating_add(1)).max(from.saturating_add(1));
        let whole = |step: i64| (floor(from, step), floor(end.saturating_sub(1), step).saturating_add(step));
        let fits = |step: i64| {
            let (from, to) = whole(step);
            to.saturating_sub(from).checked_div(step).is_some_and(|steps| steps <= STEPS)
        };
        let (mut step, level) = LADDER.into_iter().find(|(step, _)| fits(*step)).unwrap_or((172_800_000, 4));
        while !fits(step) {
            step = step.saturating_mul(2);
        }
        let (from, to) = whole(step);
        Self { since, until, from, to, step, level: LEVELS.get(level).copied().unwrap_or(shortest) }
    }
}

/// Some decisions that have the same in common.
struct Counted<'a> {
    t: i64,
    region: i64,
    decision: i64,
    reason: i64,
    class: i64,
    digest: i64,
    n: u64,
    times: Times<'a>,
}

enum Times<'a> {
    One(u64),
    Kept(&'a [u8]),
}

#[derive(Default)]
struct Step {
    n: u64,
    errors: u64,
    times: Histogram,
}

#[derive(Default)]
struct Region {
    all: Step,
    steps: BTreeMap<i64, Step>,
}

#[derive(Default)]
struct Digest {
    n: u64,
    steps: BTreeMap<i64, u64>,
}

/// What has been added up.
#[derive(Default)]
struct Sums {
    decisions: BTreeMap<i64, (u64, u64)>,
    regions: BTreeMap<i64, Region>,
    reasons: BTreeMap<i64, u64>,
    digests: BTreeMap<i64, Digest>,
    allowed: u64,
    denied: u64,
    errors: u64,
    answered: u64,
    times: Histogram,
}

impl Sums {
    fn add(&mut self, counted: &Counted<'_>, step: i64) {
        let Counted { t, region, decision, reason, class, digest, n, ref times } = *counted;
        let t = floor(t, step);
        let add = |sum: &mut u64| *sum = sum.saturating_add(n);
        let (allowed, denied) = self.decisions.entry(t).or_default();
        if decision == DENY {
            add(denied);
            add(&mut self.denied);
            add(self.reasons.entry(reason).or_default());
        } else if decision == ALLOW {
            add(allowed);
            add(&mut self.allowed);
        }
        let error = class >= 5;
        if error {
            add(&mut self.errors);
        }
        if class > 0 {
            add(&mut self.answered);
        }
        let count = |times_of: &mut Histogram| match times {
            Times::One(micros) => times_of.add(*micros, 1),
            Times::Kept(kept) => times_of.add_kept(kept),
        };
        count(&mut self.times);
        let region = self.regions.entry(region).or_default();
        for sum in [region.steps.entry(t).or_default(), &mut region.all] {
            add(&mut sum.n);
            if error {
                add(&mut sum.errors);
            }
            count(&mut sum.times);
        }
        let digest = self.digests.entry(digest).or_default();
        add(&mut digest.n);
        add(digest.steps.entry(t).or_default());
    }
}

/// The figures.
pub(super) fn figures(connection: &Connection, wanted: &Wanted, window: Window) -> rusqlite::Result<Value> {
    let Window { from, to, step, level, .. } = window;
    let mut sums = Sums::default();
    let mut cut = false;
    if wanted.is_of_the_cube() {
        let (conditions, values) = wanted.common(connection, ("class", 100))?;
        let sql = format!(
            "SELECT step, region, decision, reason, class, digest, n, times FROM cube
             WHERE level = {level} AND step >= {from} AND step < {to}{conditions}"
        );
        let mut statement = connection.prepare_cached(&sql)?;
        let mut rows = statement.query(params_from_iter(values))?;
        while let Some(row) = rows.next()? {
            let n: i64 = row.get(6)?;
            let times = Times::Kept(row.get_ref(7)?.as_blob().unwrap_or_default());
            sums.add(&counted(row, u64::try_from(n).unwrap_or_default(), times)?, step);
        }
    } else {
        let rows = wanted.rows(connection, Some(from), Some(to))?;
        let sql = format!(
            "SELECT t, region, decision, reason, status / 100, digest, total FROM {} AND kind = 0 ORDER BY t DESC, id DESC LIMIT {}",
            rows.from,
            ROWS.saturating_add(1)
        );
        let mut statement = connection.prepare_cached(&sql)?;
        let mut rows = statement.query(params_from_iter(rows.values))?;
        let mut left = ROWS;
        while let Some(row) = rows.next()? {
            if left == 0 {
                cut = true;
                break;
            }
            left = left.saturating_sub(1);
            let total: i64 = row.get(6)?;
            sums.add(&counted(row, 1, Times::One(u64::try_from(total).unwrap_or_default()))?, step);
        }
    }
    tell(connection, sums, window, cut)
}

fn counted<'a>(row: &Row<'_>, n: u64, times: Times<'a>) -> rusqlite::Result<Counted<'a>> {
    let (t, region, decision, reason) = (row.get(0)?, row.get(1)?, row.get(2)?, row.get(3)?);
    Ok(Counted { t, region, decision, reason, class: row.get(4)?, digest: row.get(5)?, n, times })
}

fn tell(connection: &Connection, sums: Sums, window: Window, cut: bool) -> rusqlite::Result<Value> {
    let Window { from, to, step, .. } = window;
    let Sums { decisions, regions, reasons, digests, allowed, denied, errors, answered, times } = sums;
    let (region_count, reason_count, digest_count) = (regions.len(), reasons.len(), digests.len());
    let named = |id: i64| text(connection, id);
    let mut listed = Vec::new();
    for (id, region) in most(regions, REGIONS, |region| region.all.n) {
        let point = |(t, step): (&i64, &Step)| {
            let [p50, p95, p99] = quantiles(&step.times);
            json!([t, step.n, step.errors, p50, p95, p99])
        };
        let [p50, p95, p99] = quantiles(&region.all.times);
        listed.push(json!({
            "region": named(id)?, "n": region.all.n, "errors": region.all.errors, "p50": p50, "p95": p95, "p99": p99,
            "points": region.steps.iter().map(point).collect::<Vec<_>>(),
        }));
    }
    let mut why = Vec::new();
    for (id, n) in most(reasons, REASONS, |n| *n) {
        let code = named(id)?;
        why.push(json!({ "meaning": meaning(&code), "reason": code, "n": n }));
    }
    let mut under = Vec::new();
    for (id, Digest { n, steps }) in most(digests, DIGESTS, |digest| digest.n) {
        under.push(json!({ "digest": named(id)?, "n": n, "steps": steps.iter().map(|(t, n)| json!([t, n])).collect::<Vec<_>>() }));
    }
    let [p50, p95, p99] = quantiles(&times);
    Ok(json!({
        "window": { "from": from, "to": to, "step": step, "since": window.since, "until": window.until },
        "allowed": allowed, "denied": denied, "errors": errors, "answered": answered, "p50": p50, "p95": p95, "p99": p99,
        "decisions": decisions.iter().map(|(t, (allowed, denied))| json!([t, allowed, denied])).collect::<Vec<_>>(),
        "regions": listed, "region_count": region_count,
        "reasons": why, "reason_count": reason_count,
        "digests": under, "digest_count": digest_count,
        // Whether there are more than were counted; then these are the newest.
        "cut": cut,
    }))
}

fn quantiles(times: &Histogram) -> [Option<u64>; 3] {
    [500, 950, 990].map(|per_mille| times.quantile(per_mille))
}

/// Those that have most.
fn most<T>(all: BTreeMap<i64, T>, number: usize, of: impl Fn(&T) -> u64) -> Vec<(i64, T)> {
    let mut all: Vec<_> = all.into_iter().collect();
    all.sort_by_key(|(_, one)| std::cmp::Reverse(of(one)));
    all.truncate(number);
    all
}

/// What a reason code means, if this version knows it.
pub(super) fn meaning(code: &str) -> Option<&'static str> {
    Reason::ALL.iter().find(|reason| reason.code() == code).map(|reason| reason.meaning())
}

/// Who and what is denied most.
pub(super) fn top(connection: &Connection, wanted: &Wanted, window: Window) -> rusqlite::Result<Value> {
    let Window { from, to, .. } = window;
    if !wanted.wants_denied() {
        return Ok(json!({ "principals": [], "paths": [], "cut": false }));
    }
    if wanted.is_of_the_denied() {
        let (conditions, values) = wanted.common(connection, ("status", 1))?;
        let mut lists = Vec::new();
        for (column, index) in [("principal", "r_denied_principal"), ("path", "r_denied_path")] {
            let sql = format!(
                "SELECT {column}, count(*) AS n FROM r INDEXED BY {index}
                 WHERE decision = 2 AND t >= {from} AND t < {to}{conditions} GROUP BY {column} ORDER BY n DESC, {column} LIMIT {TOP}"
            );
            let mut statement = connection.prepare_cached(&sql)?;
            let rows = statement.query_map(params_from_iter(values.clone()), |row| Ok((row.get(0)?, row.get(1)?)))?;
            lists.push(rows.collect::<rusqlite::Result<Vec<(SqlValue, i64)>>>()?);
        }
        let mut lists = lists.into_iter();
        let (principals, paths) = (lists.next().unwrap_or_default(), lists.next().unwrap_or_default());
        return Ok(json!({ "principals": ranked(connection, principals)?, "paths": ranked(connection, paths)?, "cut": false }));
    }
    let rows = wanted.rows(connection, Some(from), Some(to))?;
    // Where nothing else leaves few rows, denials alone do.
    let of = rows.from.replacen("r NOT INDEXED", "r INDEXED BY r_denied", 1);
    let sql = format!("SELECT principal, path FROM {of} AND decision = 2 ORDER BY t DESC, id DESC LIMIT {ROWS}");
    let mut statement = connection.prepare_cached(&sql)?;
    let mut rows = statement.query(params_from_iter(rows.values))?;
    let (mut principals, mut paths, mut n) = (BTreeMap::<i64, i64>::new(), HashMap::<String, i64>::new(), 0_i64);
    while let Some(row) = rows.next()? {
        n = n.saturating_add(1);
        let count = principals.entry(row.get(0)?).or_default();
        *count = count.saturating_add(1);
        let path = row.get_ref(1)?.as_str().unwrap_or_default();
        match paths.get_mut(path) {
            Some(count) => *count = count.saturating_add(1),
            None => drop(paths.insert(path.to_owned(), 1)),
        }
    }
    let principals = principals.into_iter().map(|(id, n)| (SqlValue::from(id), n));
    let paths = paths.into_iter().collect::<BTreeMap<_, _>>().into_iter().map(|(path, n)| (SqlValue::from(path), n));
    Ok(json!({ "principals": ranked(connection, first(principals))?, "paths": ranked(connection, first(paths))?, "cut": n >= ROWS }))
}

/// The first of those that have most.
fn first(all: impl Iterator<Item = (SqlValue, i64)>) -> Vec<(SqlValue, i64)> {
    let mut all: Vec<_> = all.collect();
    all.sort_by_key(|(_, n)| std::cmp::Reverse(*n));
    all.truncate(TOP);
    all
}

fn ranked(connection: &Connection, list: Vec<(SqlValue, i64)>) -> rusqlite::Result<Vec<Value>> {
    let mut ranked = Vec::new();
    for (name, n) in list {
        let name = match name {
            SqlValue::Integer(id) => text(connection, id)?,
            SqlValue::Text(text) => text,
            _ => String::new(),
        };
        ranked.push(json!([name, n]));
    }
    Ok(ranked)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_chart_has_whole_steps_and_not_too_many() {
        let window = |query: &str, oldest, newest| Window::new(&Wanted::parse(query).unwrap().0, oldest, newest);
        let hour = window("", 1_000_001, 4_600_000);
        assert_eq!((hour.from, hour.to, hour.step, hour.level), (990_000, 4_620_000, 30_000, 30_000));
        assert_eq!((hour.since, hour.until), (None, None));
        for days in [1, 10, 100, 1000, 100_000] {
            let window = window("", 5, days * 86_400_000);
            assert!((window.to - window.from) / window.step <= STEPS && window.step % window.level == 0, "{window:?}");
        }
        let last = window("last=15m", 0, 86_400_000);
        assert_eq!((last.since, last.from, last.to, last.step), (Some(85_500_000), 85_500_000, 86_430_000, 30_000));
        let none = window("since=1970-01-03T00:00:00Z", 0, 1000);
        assert_eq!((none.from, none.to), (172_800_000, 172_830_000));
        // Times that only a broken clock tells.
        let broken = window("", -62_167_219_200_000, 253_402_300_799_999);
        assert!((broken.to - broken.from) / broken.step <= STEPS, "{broken:?}");
    }
}
