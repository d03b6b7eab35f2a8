//! What the pages ask, and the answers.

use std::sync::Arc;

use http::StatusCode;
use serde_json::{Map, Value, json};

use super::figures::{self, Window};
use super::follow::read_at;
use super::ingest::{Shared, hash};
use super::records::{self, Found, Name};
use super::status::Status;
use super::store::Store;
use super::wanted::{Wanted, pairs};
use crate::cli::reasons::advice;
use crate::decision::Reason;

/// Why there is no answer.
pub(super) type Refusal = (StatusCode, String);

/// What the pages are about.
pub(super) struct Console {
    pub store: Store,
    pub shared: Arc<Shared>,
    pub slo_micros: u64,
}

/// The answer to one question.
pub(super) fn answer(console: &Console, name: &str, query: &str) -> Result<Value, Refusal> {
    let status = console.shared.status();
    match name {
        "status" => Ok(status.json(console.slo_micros)),
        "findings" => Ok(
            json!({ "findings": status.chain.iter().flat_map(|chain| chain.findings()).map(|one| status.finding(one)).collect::<Vec<_>>() }),
        ),
        "figures" | "top" | "records" => {
            let (wanted, others) = Wanted::parse(query).map_err(wrong)?;
            let mut before = None;
            for (name, value) in others {
                before = match (name.as_str(), value.split_once(',')) {
                    ("before", Some((t, id))) => t.parse().ok().zip(id.parse().ok()),
                    _ => None,
                };
                if before.is_none() {
                    return Err(wrong(format!("`{name}` is nothing that can be asked")));
                }
            }
            let window = Window::new(&wanted, status.oldest.unwrap_or_default(), status.newest.unwrap_or_default());
            let asked = console.store.read(|connection| match name {
                "figures" => figures::figures(connection, &wanted, window),
                "top" => figures::top(connection, &wanted, window),
                _ => records::list(connection, &wanted, window, before),
            });
            asked.map_err(failed)
        }
        "record" => record(console, &status, query),
        _ => Err((StatusCode::NOT_FOUND, "there is no such question".to_owned())),
    }
}

fn wrong(message: String) -> Refusal {
    (StatusCode::BAD_REQUEST, message)
}

fn failed(error: rusqlite::Error) -> Refusal {
    (StatusCode::INTERNAL_SERVER_ERROR, format!("the index could not be asked: {error}"))
}

/// The records of a name, as their logs have them now.
fn record(console: &Console, status: &Status, query: &str) -> Result<Value, Refusal> {
    let name = pairs(query).into_iter().find_map(|(name, value)| match name.as_str() {
        "id" => Some(Name::Decision(value)),
        "n" => value.parse().ok().map(Name::Number),
        _ => None,
    });
    let name = name.ok_or_else(|| wrong("say which record: `id` or `n`".to_owned()))?;
    let found = console.store.read(|connection| records::find(connection, &name)).map_err(failed)?;
    if found.is_empty() {
        return Err((StatusCode::NOT_FOUND, "there is no such record".to_owned()));
    }
    let mut meanings = Map::new();
    let records: Vec<Value> = found.iter().map(|found| whole(console, status, found, &mut meanings)).collect();
    Ok(json!({ "records": records, "meanings": meanings }))
}

fn whole(console: &Console, status: &Status, found: &Found, meanings: &mut Map<String, Value>) -> Value {
    let Found { n, source, number, start, length, hash: known, raw, fault } = found;
    // What is shown is what the log says now; where that is something else than what was read, that is said.
    let read = match raw {
        Some(raw) => Some(raw.clone().into_bytes()),
        None => console.shared.handle(*source).and_then(|handle| read_at(&handle, *start, *length).ok()),
    };
    let same = read.as_deref().is_some_and(|bytes| raw.is_some() || hash(bytes) == *known);
    let text = read.filter(|_| same).map(|bytes| String::from_utf8_lossy(&bytes).into_owned());
    if let Some(text) = &text {
        for reason in Reason::ALL.iter().filter(|reason| text.contains(reason.code())) {
            let (_, operator) = advice(*reason);
            meanings.insert(reason.code().to_owned(), json!({ "meaning": reason.meaning(), "advice": operator }));
        }
    }
    let spot = (*source, *number);
    let findings = status.chain.iter().flat_map(|chain| chain.findings()).filter(|finding| finding.place == Some(spot));
    json!({
        "n": n, "file": status.sources.get(*source), "line": number, "fault": records::fault(*fault), "text": text,
        "findings": findings.map(|finding| status.finding(finding)).collect::<Vec<_>>(),
    })
}
