//! Which records a page is about, as its address says: the same names as the options of `audit query`.

use std::fmt::Write as _;

use rusqlite::types::Value;
use rusqlite::{Connection, params_from_iter};

use super::super::super::time::parse_seconds;
use super::super::filter::moment;
use super::store::{ALLOW, DENY, LEVELS};
use crate::audit::{Fault, Kind};
use crate::request::percent_decoded;

/// Rows of an index that are looked at to learn whether it is worth using.
const RARE: i64 = 20_000;
/// Most values of one name.
const VALUES: usize = 20;

/// What is asked. Of a name that is given more than once, one value is enough; of the others all must hold.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Wanted {
    pub since: Option<i64>,
    pub until: Option<i64>,
    /// Only so many milliseconds before the newest record.
    pub last: Option<i64>,
    decisions: Vec<i64>,
    statuses: Vec<(i64, i64)>,
    kinds: Option<Vec<i64>>,
    faults: Vec<i64>,
    reasons: Vec<String>,
    regions: Vec<String>,
    digests: Vec<String>,
    principals: Vec<String>,
    clients: Vec<String>,
    hosts: Vec<String>,
    methods: Vec<String>,
    policies: Vec<String>,
    paths: Vec<String>,
    ids: Vec<String>,
    traces: Vec<String>,
}

/// A condition of SQL with its values.
#[derive(Debug, Clone)]
struct Condition {
    sql: String,
    values: Vec<Value>,
    /// The index that finds its rows.
    index: Option<&'static str>,
}

/// A question over `r`.
#[derive(Debug, Clone)]
pub(super) struct Rows {
    /// `r INDEXED BY … WHERE …`
    pub from: String,
    pub values: Vec<Value>,
}

impl Wanted {
    /// Reads the query of an address, and gives back the names it does not know.
    ///
    /// # Errors
    /// A sentence about a value that cannot be meant.
    pub(super) fn parse(query: &str) -> Result<(Self, Vec<(String, String)>), String> {
        let mut wanted = Self::default();
        let mut others = Vec::new();
        for (name, value) in pairs(query).into_iter().filter(|(_, value)| !value.is_empty()) {
            wanted.take(name, value, &mut others)?;
        }
        let lists = [&wanted.reasons, &wanted.regions, &wanted.digests, &wanted.principals, &wanted.clients, &wanted.hosts];
        let more = [&wanted.methods, &wanted.policies, &wanted.paths, &wanted.ids, &wanted.traces];
        if lists.into_iter().chain(more).any(|list| list.len() > VALUES) {
            return Err(format!("more than {VALUES} values of one name"));
        }
        Ok((wanted, others))
    }

    fn take(&mut self, name: String, value: String, others: &mut Vec<(String, String)>) -> Result<(), String> {
        match name.as_str() {
            "since" => self.since = Some(moment(&value)?),
            "until" => self.until = Some(moment(&value)?),
            "last" => self.last = Some(parse_seconds(&value)?.max(0).saturating_mul(1000)),
            "decision" => self.decisions.push(match value.as_str() {
                "allow" => ALLOW,
                "deny" => DENY,
                _ => return Err(format!("`{value}` is no decision: `allow` or `deny`")),
            }),
            "status" => self.statuses.push(status(&value)?),
            "kind" if value == "any" => self.kinds = Some(Vec::new()),
            "kind" => {
                let known = [Kind::Decision, Kind::Outcome, Kind::Checkpoint, Kind::Dropped];
                let found = known.iter().find(|kind| kind.as_str() == value).map(super::writer::kind);
                self.kinds.get_or_insert_default().push(found.ok_or_else(|| format!("`{value}` is no kind of record"))?);
            }
            "fault" => {
                let found =
                    Fault::ALL.iter().filter(|fault| value == "any" || fault.as_str() == value).map(|fault| super::status::fault(*fault));
                let before = self.faults.len();
                self.faults.extend(found);
                if self.faults.len() == before {
                    return Err(format!("`{value}` is nothing that is found of chains"));
                }
            }
            "reason" => self.reasons.push(value),
            "region" => self.regions.push(value),
            "digest" => self.digests.push(value.to_ascii_lowercase()),
            "principal" => self.principals.push(value),
            "client" => self.clients.push(value),
            "host" => self.hosts.push(value),
            "method" => self.methods.push(value),
            "policy" => self.policies.push(value),
            "path" if value.starts_with('/') => self.paths.push(value.trim_end_matches('/').to_owned()),
            "path" => return Err("a path begins with `/`".to_owned()),
            "id" => self.ids.push(value.to_ascii_lowercase()),
            "trace" => self.traces.push(value.to_ascii_lowercase()),
            _ => others.push((name, value)),
        }
        Ok(())
    }

    /// Whether the cube knows everything that is asked.
    pub(super) fn is_of_the_cube(&self) -> bool {
        let Self { principals, clients, hosts, methods, policies, paths, ids, traces, statuses, faults, kinds, .. } = self;
        let rows = [principals, clients, hosts, methods, policies, paths, ids, traces];
        let classes = statuses.iter().all(|(from, to)| from.rem_euclid(100) == 0 && from.saturating_add(100) == *to);
        rows.into_iter().all(Vec::is_empty) && classes && faults.is_empty() && kinds.is_none()
    }

    /// Whether the indexes of what was denied know it.
    pub(super) fn is_of_the_denied(&self) -> bool {
        self.is_of_the_cube() && self.digests.is_empty()
    }

    /// Whether denials are asked for at all.
    pub(super) fn wants_denied(&self) -> bool {
        self.decisions.is_empty() || self.decisions.contains(&DENY)
    }

    /// Conditions over what the cube and the rows both have. `status` is the column, and how much of it one of its values is.
    pub(super) fn common(&self, connection: &Connection, status: (&str, i64)) -> rusqlite::Result<(String, Vec<Value>)> {
        let conditions = self.common_conditions(connection, status)?;
        let sql = conditions.iter().fold(String::new(), |sql, condition| format!("{sql} AND {}", condition.sql));
        Ok((sql, conditions.into_iter().flat_map(|condition| condition.values).collect()))
    }

    fn common_conditions(&self, connection: &Connection, (column, unit): (&str, i64)) -> rusqlite::Result<Vec<Condition>> {
        let mut conditions = Vec::new();
        if !self.decisions.is_empty() {
            conditions.push(within("decision", self.decisions.clone(), None));
        }
        if !self.reasons.is_empty() {
            let mut ids = Vec::new();
            for wanted in &self.reasons {
                // A code, or the group of some.
                let group = wanted.trim_end_matches('.');
                let sql = "SELECT id FROM s WHERE text = ?1 OR (text >= ?2 AND text < ?3)";
                ids.extend(numbers(connection, sql, [wanted.clone(), format!("{group}."), format!("{group}/")])?);
            }
            conditions.push(within("reason", ids, Some("r_reason")));
        }
        if !self.regions.is_empty() {
            conditions.push(within("region", texts(connection, &self.regions)?, None));
        }
        if !self.digests.is_empty() {
            // Of the digests there are: many other texts may begin so.
            let [.., longest] = LEVELS;
            let sql = format!("SELECT DISTINCT id FROM cube JOIN s ON id = digest WHERE level = {longest} AND text >= ?1 AND text < ?2");
            let mut ids = Vec::new();
            for wanted in &self.digests {
                ids.extend(numbers(connection, &sql, [wanted.clone(), format!("{wanted}{}", char::MAX)])?);
            }
            conditions.push(within("digest", ids, None));
        }
        if !self.statuses.is_empty() {
            let one = |(from, to): &(i64, i64)| {
                let of = |status: i64| status.checked_div(unit).unwrap_or_default();
                format!("{column} BETWEEN {} AND {}", of(*from), of(to.saturating_sub(1)))
            };
            let sql = self.statuses.iter().map(one).collect::<Vec<_>>().join(" OR ");
            let index = (column == "status").then_some("r_status");
            conditions.push(Condition { sql: format!("({sql})"), values: Vec::new(), index });
        }
        Ok(conditions)
    }

    /// The rows that are wanted, found by the index that leaves the fewest, if there is one that leaves few.
    pub(super) fn rows(&self, connection: &Connection, from: Option<i64>, to: Option<i64>) -> rusqlite::Result<Rows> {
        let mut conditions = self.common_conditions(connection, ("status", 1))?;
        let mut time = String::new();
        for (sign, bound) in [(">=", from), ("<", to)] {
            if let Some(bound) = bound {
                // Writing to a String cannot fail.
                let _ = write!(time, " AND t {sign} {bound}");
            }
        }
        let aimed = !self.ids.is_empty() || !self.traces.is_empty() || !self.faults.is_empty();
        match &self.kinds {
            Some(kinds) if kinds.is_empty() => {}
            Some(kinds) => conditions.push(within("kind", kinds.clone(), None)),
            None if aimed => {}
            // What is about the log itself is only shown where something is lost.
            None => conditions.push(within("kind", vec![0, 3], None)),
        }
        if !self.faults.is_empty() {
            conditions.push(within("fault", self.faults.clone(), Some("r_fault")));
        }
        for (column, wanted, index) in [("host", &self.hosts, Some("r_host")), ("method", &self.methods, None)] {
            if !wanted.is_empty() {
                conditions.push(within(column, texts(connection, wanted)?, index));
            }
        }
        if !self.clients.is_empty() {
            conditions.push(within("client", texts(connection, &self.clients)?, Some("r_client")));
        }
        for (column, wanted, sql, index) in [
            ("principal", &self.principals, "SELECT id FROM alias WHERE name = ?1", "r_principal"),
            ("policies", &self.policies, "SELECT id FROM member WHERE policy = ?1", "r_policies"),
        ] {
            if !wanted.is_empty() {
                let mut ids = Vec::new();
                for name in wanted {
                    ids.extend(numbers(connection, sql, [name.clone()])?);
                }
                conditions.push(within(column, ids, Some(index)));
            }
        }
        conditions.extend(self.path());
        for (column, wanted) in [("decision_id", &self.ids), ("trace", &self.traces)] {
            if !wanted.is_empty() {
                let marks = vec!["?"; wanted.len()].join(", ");
                let select = |what| format!("{what} IN (SELECT {what} FROM line WHERE {column} IN ({marks}) AND {column} <> '')");
                let values = wanted.iter().chain(wanted).map(|id| Value::from(id.clone())).collect();
                conditions.push(Condition { sql: format!("{} AND {}", select("t"), select("id")), values, index: None });
            }
        }
        choose(connection, &conditions, &time)
    }

    /// A path and everything below it, by whole segments.
    fn path(&self) -> Option<Condition> {
        if self.paths.is_empty() {
            return None;
        }
        // A range that an index finds, and what of it is meant: `/api-v2` stands between `/api` and `/api/`, and `0` comes after `/`.
        let sql = vec!["path >= ? AND path < ? AND (path = ? OR path >= ?)"; self.paths.len()].join(" OR ");
        let values = self.paths.iter().flat_map(|path| {
            let own = if path.is_empty() { "/" } else { path };
            [own.to_owned(), format!("{path}0"), own.to_owned(), format!("{path}/")]
        });
        let values = values.map(Value::from).collect();
        Some(Condition { sql: format!("({sql})"), values, index: Some("r_path") })
    }
}

/// SQLite cannot tell which of several indexes leaves the fewest rows; counting a few tells.
fn choose(connection: &Connection, conditions: &[Condition], time: &str) -> rusqlite::Result<Rows> {
    let mut best: Option<(i64, &str)> = None;
    for Condition { sql, values, index } in conditions {
        let Some(index) = index else { continue };
        // A partial index needs its own condition to be said.
        let partial = if *index == "r_fault" { " AND fault > 1" } else { "" };
        let probe = format!("SELECT count(*) FROM (SELECT 1 FROM r INDEXED BY {index} WHERE {sql}{partial} LIMIT {RARE})");
        let count = connection.prepare_cached(&probe)?.query_row(params_from_iter(values), |row| row.get(0))?;
        if count < best.map_or(RARE, |(least, _)| least) {
            best = Some((count, index));
        }
    }
    let aimed = conditions.iter().any(|condition| condition.sql.starts_with("t IN"));
    let by = match best {
        Some((_, index)) => format!("INDEXED BY {index}"),
        None if aimed => String::new(),
        None => "NOT INDEXED".to_owned(),
    };
    let partial = if best.is_some_and(|(_, index)| index == "r_fault") { " AND fault > 1" } else { "" };
    let sql = conditions.iter().fold(String::new(), |sql, condition| {
        // By no index: SQLite would rather join several than keep the order of time.
        let own = best.is_some_and(|(_, index)| condition.index == Some(index));
        let text = if own { condition.sql.clone() } else { condition.sql.replace("path ", "+path ") };
        format!("{sql} AND {text}")
    });
    let values = conditions.iter().flat_map(|condition| condition.values.clone()).collect();
    Ok(Rows { from: format!("r {by} WHERE 1{sql}{partial}{time}"), values })
}

/// A column that is one of some numbers. None of them, no rows.
fn within(column: &str, mut ids: Vec<i64>, index: Option<&'static str>) -> Condition {
    ids.sort_unstable();
    ids.dedup();
    let ids: Vec<String> = ids.iter().map(i64::to_string).collect();
    let sql = match ids.as_slice() {
        // `=` keeps the order of the index.
        [one] => format!("{column} = {one}"),
        _ => format!("{column} IN ({})", ids.join(", ")),
    };
    Condition { sql, values: Vec::new(), index }
}

fn texts(connection: &Connection, wanted: &[String]) -> rusqlite::Result<Vec<i64>> {
    let mut ids = Vec::new();
    for text in wanted {
        ids.extend(numbers(connection, "SELECT id FROM s WHERE text = ?1", [text.clone()])?);
    }
    Ok(ids)
}

fn numbers<const N: usize>(connection: &Connection, sql: &str, values: [String; N]) -> rusqlite::Result<Vec<i64>> {
    connection.prepare_cached(sql)?.query_map(params_from_iter(values), |row| row.get(0))?.collect()
}

/// Statuses from one on and before another.
fn status(text: &str) -> Result<(i64, i64), String> {
    let class = text.strip_suffix("xx").or_else(|| text.strip_suffix("XX"));
    match (class, class.unwrap_or(text).parse::<i64>()) {
        (None, Ok(code @ 100..=599)) => Ok((code, code.saturating_add(1))),
        (Some(_), Ok(class @ 1..=5)) => Ok((class.saturating_mul(100), class.saturating_add(1).saturating_mul(100))),
        _ => Err(format!("`{text}` is no status: write it like `403`, or `4xx`")),
    }
}

/// The names and values of a query. What is no encoding stays as it is.
pub(super) fn pairs(query: &str) -> Vec<(String, String)> {
    let pair = |part: &str| {
        let (name, value) = part.split_once('=').unwrap_or((part, ""));
        (decoded(name), decoded(value))
    };
    query.split('&').filter(|part| !part.is_empty()).map(pair).collect()
}

fn decoded(text: &str) -> String {
    String::from_utf8_lossy(&percent_decoded(&text.replace('+', " "))).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_read_as_a_form_writes_it() {
        let read = pairs("a=1&b=x+y%2Fz%c3%a9&c&=&d=100%&e=%zz&");
        let read: Vec<_> = read.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
        assert_eq!(read, [("a", "1"), ("b", "x y/zé"), ("c", ""), ("", ""), ("d", "100%"), ("e", "%zz")]);
    }

    #[test]
    fn what_cannot_be_meant_is_said() {
        for wrong in ["decision=maybe", "status=600", "status=x", "path=api", "since=yesterday", "last=1", "kind=x", "fault=x"] {
            assert!(Wanted::parse(wrong).is_err(), "{wrong}");
        }
        assert!(Wanted::parse(&"reason=a&".repeat(21)).is_err());
        let (wanted, others) = Wanted::parse("decision=deny&status=4xx&status=502&path=/api/&x=y&region=").unwrap();
        assert_eq!(others, [("x".to_owned(), "y".to_owned())]);
        assert_eq!((wanted.statuses, wanted.paths, wanted.regions), (vec![(400, 500), (502, 503)], vec!["/api".to_owned()], vec![]));
    }

    #[test]
    fn the_cube_answers_what_it_knows() {
        for (query, cube) in [
            ("", true),
            ("region=a&reason=jwt&status=5xx&decision=deny&digest=ab&last=1h", true),
            ("status=403", false),
            ("path=/", false),
            ("kind=any", false),
        ] {
            assert_eq!(Wanted::parse(query).unwrap().0.is_of_the_cube(), cube, "{query}");
        }
    }
}
