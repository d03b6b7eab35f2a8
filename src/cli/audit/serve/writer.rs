//! Records into the index.

use std::collections::{BTreeMap, HashMap, HashSet};

use rusqlite::{Connection, OptionalExtension as _, params};

use super::histogram::Histogram;
use super::store::{ALLOW, DENY, LEVELS};
use crate::audit::ocsf::{entity, unix_millis};
use crate::audit::{Entry, Kind, PolicyEntry};

/// Most texts whose numbers are remembered. The others are looked up.
const REMEMBERED: usize = 100_000;

/// Where a record is.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Place<'a> {
    /// The number of its file.
    pub source: usize,
    /// Its line, from 1.
    pub number: u64,
    /// Its first byte in the file.
    pub start: u64,
    /// Its bytes.
    pub length: usize,
    /// What tells whether it is still the same when it is read again.
    pub hash: i64,
    /// Itself, when it cannot be read again.
    pub raw: Option<&'a str>,
}

/// What decisions have in common that are counted together.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Key {
    level: i64,
    step: i64,
    region: i64,
    decision: i64,
    reason: i64,
    class: i64,
    digest: i64,
}

/// What is to be counted.
#[derive(Debug, Default)]
struct Change {
    n: i64,
    times: Histogram,
    /// Times that are counted elsewhere now.
    gone: Vec<u64>,
}

/// Adds records. What was added is seen after [`Writer::commit`].
pub(super) struct Writer {
    connection: Connection,
    /// Whether something waits to be committed.
    open: bool,
    next: i64,
    numbers: HashMap<String, i64>,
    /// Principals that are found by their id alone already.
    aliased: HashSet<i64>,
    changes: BTreeMap<Key, Change>,
}

impl Writer {
    pub(super) fn new(connection: Connection) -> Self {
        Self { connection, open: false, next: 1, numbers: HashMap::new(), aliased: HashSet::new(), changes: BTreeMap::new() }
    }

    /// Adds a record and says its number.
    pub(super) fn add(&mut self, entry: &Entry, place: Place<'_>, fault: i64) -> rusqlite::Result<i64> {
        self.begin()?;
        let id = self.next;
        self.next = id.saturating_add(1);
        let time = unix_millis(&entry.time);
        let t = time.unwrap_or_default();
        let decision = match entry.decision.as_str() {
            "allow" => ALLOW,
            "deny" => DENY,
            _ => 0,
        };
        let status = i64::from(entry.status);
        let region = self.number(&entry.region)?;
        let reason = self.number(&entry.reason)?;
        let method = self.number(&entry.request.method)?;
        let host = self.number(entry.request.host.as_deref().unwrap_or_default())?;
        let client = self.number(entry.request.client.as_deref().unwrap_or_default())?;
        let digest = self.number(entry.policy_digest.as_deref().unwrap_or_default())?;
        let principal = self.principal(entry)?;
        let policies = self.policies(entry)?;
        let total = entry.timing_us.total;
        self.connection
            .prepare_cached("INSERT INTO r VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15, ?16)")?
            .execute(params![
                t,
                id,
                kind(&entry.kind),
                decision,
                reason,
                status,
                region,
                method,
                host,
                principal,
                client,
                digest,
                policies,
                i64::try_from(total).unwrap_or(i64::MAX),
                fault,
                entry.request.path.as_deref().unwrap_or_default(),
            ])?;
        let Place { source, number, start, length, hash, raw } = place;
        let whole = |number: u64| i64::try_from(number).unwrap_or(i64::MAX);
        let (source, length) = (i64::try_from(source).unwrap_or(i64::MAX), i64::try_from(length).unwrap_or(i64::MAX));
        self.connection.prepare_cached("INSERT INTO line VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10)")?.execute(params![
            id,
            t,
            entry.decision_id.to_ascii_lowercase(),
            entry.trace_id.to_ascii_lowercase(),
            source,
            whole(number),
            whole(start),
            length,
            hash,
            raw
        ])?;
        let class = status.div_euclid(100);
        match entry.kind {
            // Without a time it belongs to no step.
            Kind::Decision if time.is_some() => {
                self.count(t, |level, step| Key { level, step, region, decision, reason, class, digest }, total)
            }
            Kind::Outcome => self.settle(&entry.decision_id.to_ascii_lowercase(), status)?,
            _ => {}
        }
        Ok(id)
    }

    /// Makes everything seen.
    pub(super) fn commit(&mut self) -> rusqlite::Result<()> {
        for (key, change) in std::mem::take(&mut self.changes) {
            self.keep(key, &change)?;
        }
        if std::mem::take(&mut self.open) {
            self.connection.execute_batch("COMMIT")?;
        }
        Ok(())
    }

    fn begin(&mut self) -> rusqlite::Result<()> {
        if !self.open {
            self.connection.execute_batch("BEGIN")?;
            self.open = true;
        }
        Ok(())
    }

    fn count(&mut self, t: i64, key: impl Fn(i64, i64) -> Key, total: u64) {
        for length in LEVELS {
            let change = self.changes.entry(key(length, floor(t, length))).or_default();
            change.n = change.n.saturating_add(1);
            change.times.add(total, 1);
        }
    }

    /// The status of a decision that was recorded before it was known.
    fn settle(&mut self, decision_id: &str, status: i64) -> rusqlite::Result<()> {
        let found = self
            .connection
            .prepare_cached(
                "SELECT r.t, r.id, region, decision, reason, digest, total FROM line JOIN r ON r.t = line.t AND r.id = line.id
                 WHERE decision_id = ?1 AND decision_id <> '' AND kind = 0 AND status = 0 LIMIT 1",
            )?
            .query_row([decision_id], |row| {
                let (t, id): (i64, i64) = (row.get(0)?, row.get(1)?);
                let (region, decision, reason) = (row.get(2)?, row.get(3)?, row.get(4)?);
                let (digest, total): (i64, i64) = (row.get(5)?, row.get(6)?);
                Ok((t, id, Key { level: 0, step: 0, region, decision, reason, class: 0, digest }, total))
            })
            .optional()?;
        let Some((t, id, key, total)) = found else { return Ok(()) };
        self.connection.prepare_cached("UPDATE r SET status = ?3 WHERE t = ?1 AND id = ?2")?.execute(params![t, id, status])?;
        let total = u64::try_from(total).unwrap_or_default();
        for level in LEVELS {
            let change = self.changes.entry(Key { level, step: floor(t, level), ..key }).or_default();
            change.n = change.n.saturating_sub(1);
            change.gone.push(total);
        }
        self.count(t, |level, step| Key { level, step, class: status.div_euclid(100), ..key }, total);
        Ok(())
    }

    /// Puts a change into the cube.
    fn keep(&self, key: Key, change: &Change) -> rusqlite::Result<()> {
        let Key { level, step, region, decision, reason, class, digest } = key;
        let kept: Option<(i64, Vec<u8>)> = self
            .connection
            .prepare_cached(
                "SELECT n, times FROM cube WHERE level = ?1 AND step = ?2 AND region = ?3 AND decision = ?4 AND reason = ?5
                 AND class = ?6 AND digest = ?7",
            )?
            .query_row(params![level, step, region, decision, reason, class, digest], |row| Ok((row.get(0)?, row.get(1)?)))
            .optional()?;
        let (n, kept) = kept.unwrap_or_default();
        let mut times = change.times.clone();
        times.add_kept(&kept);
        for total in &change.gone {
            times.remove(*total);
        }
        self.connection.prepare_cached("INSERT OR REPLACE INTO cube VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9)")?.execute(params![
            level,
            step,
            region,
            decision,
            reason,
            class,
            digest,
            n.saturating_add(change.n),
            times.keep()
        ])?;
        Ok(())
    }

    /// The number of a text.
    fn number(&mut self, text: &str) -> rusqlite::Result<i64> {
        if text.is_empty() {
            return Ok(0);
        }
        if let Some(number) = self.numbers.get(text) {
            return Ok(*number);
        }
        self.connection.prepare_cached("INSERT OR IGNORE INTO s (text) VALUES (?1)")?.execute([text])?;
        let number = self.connection.prepare_cached("SELECT id FROM s WHERE text = ?1")?.query_row([text], |row| row.get(0))?;
        if self.numbers.len() >= REMEMBERED {
            self.numbers.clear();
        }
        self.numbers.insert(text.to_owned(), number);
        Ok(number)
    }

    /// The principal, as policies name it; it is found by its id alone too.
    fn principal(&mut self, entry: &Entry) -> rusqlite::Result<i64> {
        let asked = entry.cedar.as_ref().and_then(|cedar| cedar.principal.as_deref());
        let token = || entry.identity.as_ref().and_then(|token| token.principal.as_deref());
        let certificate = || entry.certificate.as_ref().and_then(|certificate| certificate.principal.as_deref());
        let name = asked.or_else(token).or_else(certificate).unwrap_or_default();
        let number = self.number(name)?;
        if number != 0 && !self.aliased.contains(&number) {
            if self.aliased.len() >= REMEMBERED {
                self.aliased.clear();
            }
            self.aliased.insert(number);
            let short = entity(name).map_or_else(|| name.to_owned(), |(_, id)| id);
            self.connection.prepare_cached("INSERT OR IGNORE INTO alias VALUES (?1, ?2)")?.execute(params![short, number])?;
            self.connection.prepare_cached("INSERT OR IGNORE INTO alias VALUES (?1, ?2)")?.execute(params![name, number])?;
        }
        Ok(number)
    }

    /// The set of policies that determined something, those of URLs to sign included.
    fn policies(&mut self, entry: &Entry) -> rusqlite::Result<i64> {
        let signing = entry.signing.iter().flat_map(|one| &one.policies);
        let ids = entry.policies.iter().chain(signing).map(|PolicyEntry { id, .. }| id.as_str());
        let mut ids: Vec<&str> = ids.collect();
        ids.sort_unstable();
        ids.dedup();
        if ids.is_empty() {
            return Ok(0);
        }
        // Not what any other text could be taken for: no record has an unescaped control character.
        let set = format!("\u{1}{}", ids.join("\u{1}"));
        let known = self.numbers.contains_key(&set);
        let number = self.number(&set)?;
        if !known {
            for id in ids {
                self.connection.prepare_cached("INSERT OR IGNORE INTO member VALUES (?1, ?2)")?.execute(params![id, number])?;
            }
        }
        Ok(number)
    }
}

/// The beginning of the step a time is in.
pub(super) fn floor(t: i64, length: i64) -> i64 {
    t.saturating_sub(t.checked_rem_euclid(length).unwrap_or_default())
}

/// `kind` of a row.
pub(super) fn kind(kind: &Kind) -> i64 {
    match kind {
        Kind::Decision => 0,
        Kind::Outcome => 1,
        Kind::Checkpoint => 2,
        Kind::Dropped => 3,
        Kind::Other(_) => 4,
    }
}
