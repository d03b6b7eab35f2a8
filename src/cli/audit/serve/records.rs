//! Lists of records, and one of them whole.

use rusqlite::{Connection, Row, params_from_iter};
use serde_json::{Value, json};

use super::store::{AUTHENTIC, DENY, text};
use super::wanted::Wanted;
use super::{figures::Window, status};

/// Rows of a page.
pub(super) const PAGE: usize = 100;
/// Most records of one decision id that are shown; there are two at most, unless somebody put them there.
const SAME: i64 = 20;

/// Rows of a list, the newest first, and where the next page begins.
pub(super) fn list(connection: &Connection, wanted: &Wanted, window: Window, before: Option<(i64, i64)>) -> rusqlite::Result<Value> {
    let rows = wanted.rows(connection, window.since, window.until)?;
    let before = before.map(|(t, id)| format!(" AND (t, id) < ({t}, {id})")).unwrap_or_default();
    let sql = format!(
        "SELECT t, id, kind, decision, reason, status, region, method, host, principal, policies, total, fault, path FROM {}{before}
         ORDER BY t DESC, id DESC LIMIT {}",
        rows.from,
        PAGE.saturating_add(1)
    );
    let mut statement = connection.prepare_cached(&sql)?;
    let mut found = statement.query(params_from_iter(rows.values))?;
    let (mut list, mut next, mut last) = (Vec::new(), None, None);
    while let Some(row) = found.next()? {
        if list.len() == PAGE {
            next = last;
            break;
        }
        last = Some(json!([row.get::<_, i64>(0)?, row.get::<_, i64>(1)?]));
        list.push(item(connection, row)?);
    }
    Ok(json!({ "records": list, "next": next }))
}

fn item(connection: &Connection, row: &Row<'_>) -> rusqlite::Result<Value> {
    let named = |column| text(connection, row.get(column)?);
    let decision = match row.get::<_, i64>(3)? {
        0 => "",
        DENY => "deny",
        _ => "allow",
    };
    let kind = match row.get::<_, i64>(2)? {
        0 => "decision",
        1 => "outcome",
        2 => "checkpoint",
        3 => "dropped",
        _ => "other",
    };
    let policies = named(10)?;
    Ok(json!({
        "t": row.get::<_, i64>(0)?, "n": row.get::<_, i64>(1)?, "kind": kind, "decision": decision, "reason": named(4)?,
        "status": row.get::<_, i64>(5)?, "region": named(6)?, "method": named(7)?, "host": named(8)?, "principal": named(9)?,
        "policies": policies.split('\u{1}').filter(|id| !id.is_empty()).collect::<Vec<_>>(),
        "total": row.get::<_, i64>(11)?, "fault": fault(row.get(12)?), "path": row.get::<_, String>(13)?,
    }))
}

/// `authentic`, a fault, or nothing where nobody looked.
pub(super) fn fault(code: i64) -> Option<&'static str> {
    match code {
        AUTHENTIC => Some("authentic"),
        other => status::of_fault(other).map(|fault| fault.as_str()),
    }
}

/// Where a record is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Found {
    pub n: i64,
    pub source: usize,
    pub number: u64,
    pub start: u64,
    pub length: usize,
    pub hash: i64,
    pub raw: Option<String>,
    pub fault: i64,
}

/// What names a record.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Name {
    /// A decision id, which more than one record may have.
    Decision(String),
    /// Its number in the index.
    Number(i64),
}

/// Where the records of this name are: decisions first, in the order they were read.
pub(super) fn find(connection: &Connection, name: &Name) -> rusqlite::Result<Vec<Found>> {
    let (condition, value) = match name {
        Name::Decision(id) => ("decision_id = ?1 AND decision_id <> ''", rusqlite::types::Value::from(id.to_ascii_lowercase())),
        Name::Number(number) => ("line.id = ?1", rusqlite::types::Value::from(*number)),
    };
    let sql = format!(
        "SELECT line.id, source, number, start, length, hash, raw, fault FROM line JOIN r ON r.t = line.t AND r.id = line.id
         WHERE {condition} ORDER BY kind, line.id LIMIT {SAME}"
    );
    let whole = |row: &Row<'_>, column| row.get::<_, i64>(column).map(|number| u64::try_from(number).unwrap_or_default());
    let small = |row: &Row<'_>, column| row.get::<_, i64>(column).map(|number| usize::try_from(number).unwrap_or_default());
    let found = |row: &Row<'_>| {
        let (n, source, number, start) = (row.get(0)?, small(row, 1)?, whole(row, 2)?, whole(row, 3)?);
        Ok(Found { n, source, number, start, length: small(row, 4)?, hash: row.get(5)?, raw: row.get(6)?, fault: row.get(7)? })
    };
    connection.prepare_cached(&sql)?.query_map([value], found)?.collect()
}
