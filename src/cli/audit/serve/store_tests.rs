use serde_json::{Value, json};

use super::super::figures::{self, Window};
use super::super::records::{self, Name};
use super::super::wanted::Wanted;
use super::super::writer::Place;
use super::*;
use crate::audit::Entry;

/// 2026-11-25T21:00:00Z, the beginning of a step of each length.
const START: i64 = 1_795_640_400_000;

fn entry(second: i64, more: Value) -> Entry {
    let time = jiff::Timestamp::from_millisecond(START + second * 1000).unwrap();
    let mut record = json!({
        "v": 1, "kind": "decision", "time": time.to_string(), "decision": "allow", "reason": "policy.permit", "status": 200, "region": "fra-1",
        "policy_digest": "aa11", "request": {"method": "GET", "host": "api.example.com", "path": "/api/documents/1", "client": "203.0.113.7"},
        "cedar": {"principal": "Gate::User::\"corp/alice\""}, "policies": [{"id": "a"}, {"id": "b"}], "timing_us": {"total": 1000},
        "decision_id": format!("ID-{second}"), "trace_id": format!("t{second}"),
    });
    for (name, value) in more.as_object().unwrap() {
        record[name] = value.clone();
    }
    Entry::parse(&record.to_string()).unwrap()
}

fn deny(second: i64, reason: &str, path: &str) -> Entry {
    let request = json!({"method": "PUT", "host": "api.example.com", "path": path, "client": "203.0.113.9"});
    entry(second, json!({"decision": "deny", "reason": reason, "status": 401, "region": "iad-2", "request": request, "policies": []}))
}

struct Index {
    store: Store,
    writer: Writer,
}

impl Index {
    fn of(entries: &[Entry]) -> Self {
        let (store, writer) = Store::new().unwrap();
        let mut index = Self { store, writer };
        index.add(entries);
        index
    }

    fn add(&mut self, entries: &[Entry]) {
        for entry in entries {
            self.writer.add(entry, Place::default(), AUTHENTIC).unwrap();
        }
        self.writer.commit().unwrap();
    }

    fn ask<T>(&self, query: &str, ask: impl FnOnce(&Connection, &Wanted, Window) -> rusqlite::Result<T>) -> T {
        let (wanted, others) = Wanted::parse(query).unwrap();
        assert!(others.is_empty(), "{others:?}");
        let window = Window::new(&wanted, START, START + 3_600_000);
        self.store.read(|connection| ask(connection, &wanted, window)).unwrap()
    }

    fn figures(&self, query: &str) -> Value {
        self.ask(query, figures::figures)
    }

    fn top(&self, query: &str) -> Value {
        self.ask(query, figures::top)
    }

    /// Seconds of the records that match, the newest first.
    fn seconds(&self, query: &str) -> Vec<i64> {
        let list = self.ask(query, |connection, wanted, window| records::list(connection, wanted, window, None));
        list["records"].as_array().unwrap().iter().map(|row| (row["t"].as_i64().unwrap() - START) / 1000).collect()
    }
}

fn some() -> Index {
    Index::of(&[
        entry(0, json!({})),
        deny(10, "jwt.expired", "/api"),
        deny(31, "jwt.audience", "/apiary"),
        deny(32, "policy.forbid", "/api/documents/2"),
        entry(60, json!({"status": 502, "timing_us": {"total": 90_000}, "cedar": {"principal": "Gate::User::\"corp/bob\""}})),
        entry(61, json!({"policy_digest": "bb22", "policies": [{"id": "b"}], "signing": [{"policies": [{"id": "c"}]}]})),
        entry(
            70,
            json!({"kind": "checkpoint", "decision": "", "reason": "", "status": 0, "request": {}, "cedar": null, "decision_id": "", "trace_id": "", "policies": []}),
        ),
        entry(
            80,
            json!({"kind": "dropped", "decision": "", "reason": "", "status": 0, "request": {}, "cedar": null, "decision_id": "", "policies": []}),
        ),
    ])
}

#[test]
fn each_filter_finds_its_records() {
    let index = some();
    for (query, seconds) in [
        ("", &[80, 61, 60, 32, 31, 10, 0][..]),
        ("kind=any", &[80, 70, 61, 60, 32, 31, 10, 0]),
        ("kind=checkpoint", &[70]),
        ("decision=deny", &[32, 31, 10]),
        ("decision=deny&decision=allow", &[61, 60, 32, 31, 10, 0]),
        ("reason=jwt.expired", &[10]),
        ("reason=jwt", &[31, 10]),
        ("reason=jwt.&region=iad-2", &[31, 10]),
        ("reason=nothing", &[]),
        ("region=fra-1&decision=deny", &[]),
        ("principal=corp/bob", &[60]),
        ("principal=Gate::User::%22corp/bob%22&principal=nobody", &[60]),
        ("path=/api", &[61, 60, 32, 10, 0]),
        ("path=/api/", &[61, 60, 32, 10, 0]),
        ("path=/apiary&path=/api/documents/2", &[32, 31]),
        ("path=/&decision=deny", &[32, 31, 10]),
        ("policy=a", &[60, 0]),
        ("policy=c", &[61]),
        ("policy=b&status=2xx", &[61, 0]),
        ("status=502", &[60]),
        ("status=4xx&status=5xx", &[60, 32, 31, 10]),
        ("method=PUT&client=203.0.113.9&host=api.example.com", &[32, 31, 10]),
        ("digest=BB", &[61]),
        ("id=id-31", &[31]),
        ("trace=T60", &[60]),
        ("last=59m", &[80, 61, 60]),
        ("since=2026-11-25T21:00:31Z&until=2026-11-25T21:01:00Z", &[32, 31]),
        ("fault=any", &[]),
    ] {
        assert_eq!(index.seconds(query), seconds, "{query}");
    }
}

#[test]
fn a_text_may_be_of_two_kinds() {
    let index = Index::of(&[
        entry(0, json!({"region": "alice", "policy_digest": "corp"})),
        entry(1, json!({"cedar": null, "identity": {"principal": "alice"}, "region": "corp/x"})),
    ]);
    assert_eq!(
        (index.seconds("principal=alice"), index.seconds("region=alice"), index.seconds("digest=corp")),
        (vec![1], vec![0], vec![0])
    );
}

#[test]
fn figures_are_the_same_from_the_cube_and_from_the_rows() {
    let index = some();
    // `kind` makes it look at rows.
    for query in [
        "",
        "decision=deny",
        "reason=jwt",
        "region=iad-2",
        "status=5xx",
        "digest=aa",
        "since=2026-11-25T21:00:30Z&until=2026-11-25T21:01:00Z",
    ] {
        let (cube, rows) = (index.figures(query), index.figures(&format!("kind=decision&{query}")));
        assert_eq!(cube, rows, "{query}");
        assert_eq!(index.top(query), index.top(&format!("kind=decision&{query}")), "{query}");
    }
}

#[test]
fn decisions_are_counted_in_steps() {
    let all = some().figures("");
    assert_eq!((&all["allowed"], &all["denied"], &all["errors"], &all["answered"]), (&json!(3), &json!(3), &json!(1), &json!(6)));
    assert_eq!(all["window"]["step"], 30_000);
    assert_eq!(all["decisions"], json!([[START, 1, 1], [START + 30_000, 0, 2], [START + 60_000, 2, 0]]));
    let reasons: Vec<_> =
        all["reasons"].as_array().unwrap().iter().map(|row| (row["reason"].as_str().unwrap(), row["n"].as_u64().unwrap())).collect();
    assert_eq!(reasons.len(), 3);
    assert!(reasons.contains(&("policy.forbid", 1)));
    assert_eq!(all["digests"][0]["digest"], "aa11");
    assert_eq!(all["digests"][1]["steps"], json!([[START + 60_000, 1]]));
    let region = &all["regions"][0];
    assert_eq!((&region["n"], &region["errors"], &region["points"].as_array().unwrap().len()), (&json!(3), &json!(1), &2));
}

#[test]
fn percentiles_are_those_of_the_step_and_the_region() {
    let mut entries = Vec::new();
    for number in 1..=100_u64 {
        entries.push(entry(5, json!({"timing_us": {"total": number * 100}})));
        entries.push(entry(35, json!({"timing_us": {"total": 40}, "region": "iad-2"})));
    }
    let figures = Index::of(&entries).figures("");
    let near = |value: &Value, wanted: u64| assert!(value.as_u64().unwrap().abs_diff(wanted) * 50 <= wanted, "{value}: {wanted}");
    let [fra, iad] =
        ["fra-1", "iad-2"].map(|name| figures["regions"].as_array().unwrap().iter().find(|region| region["region"] == name).unwrap());
    let [t, n, errors, p50, p95, p99] = [0, 1, 2, 3, 4, 5].map(|at| &fra["points"][0][at]);
    assert_eq!((t, n, errors), (&json!(START), &json!(100), &json!(0)));
    near(p50, 5000);
    near(p95, 9500);
    near(p99, 9900);
    assert_eq!(iad["points"], json!([[START + 30_000, 100, 0, 40, 40, 40]]));
    // Together.
    near(&figures["p50"], 40);
    near(&figures["p99"], 9800);
}

#[test]
fn what_is_denied_most_comes_first() {
    let mut entries: Vec<_> =
        (0..30).map(|second| deny(second, "jwt.expired", ["/a", "/b", "/a"][usize::try_from(second % 3).unwrap()])).collect();
    entries.push(entry(1, json!({"decision": "deny", "status": 403, "cedar": {"principal": "Gate::User::\"corp/bob\""}})));
    let index = Index::of(&entries);
    for query in ["", "kind=any"] {
        let top = index.top(query);
        assert_eq!(top["paths"], json!([["/a", 20], ["/b", 10], ["/api/documents/1", 1]]), "{query}");
        assert_eq!(top["principals"], json!([["Gate::User::\"corp/alice\"", 30], ["Gate::User::\"corp/bob\"", 1]]));
    }
    assert_eq!(index.top("status=403")["paths"], json!([["/api/documents/1", 1]]));
    assert_eq!(index.top("decision=allow")["paths"], json!([]));
}

#[test]
fn pages_follow_one_another_and_miss_nothing() {
    // Many at the same moment.
    let index = Index::of(&(0..250).map(|number| entry(number / 100, json!({"decision_id": format!("{number}")}))).collect::<Vec<_>>());
    let (mut seen, mut before) = (Vec::new(), None);
    loop {
        let page = index.ask("", |connection, wanted, window| records::list(connection, wanted, window, before));
        seen.extend(page["records"].as_array().unwrap().iter().map(|row| row["n"].as_i64().unwrap()));
        let Some(next) = page["next"].as_array() else { break };
        before = Some((next[0].as_i64().unwrap(), next[1].as_i64().unwrap()));
    }
    assert_eq!(seen, (1..=250).rev().collect::<Vec<_>>());
}

#[test]
fn what_became_of_a_decision_is_counted_as_its_status() {
    let mut index = Index::of(&[entry(0, json!({"status": 0, "decision_id": "X"})), entry(1, json!({}))]);
    assert_eq!((index.figures("")["answered"].clone(), index.figures("")["errors"].clone()), (json!(1), json!(0)));
    index.add(&[entry(2, json!({"kind": "outcome", "decision": "", "reason": "", "status": 504, "decision_id": "x"}))]);
    for query in ["", "kind=any"] {
        let figures = index.figures(query);
        assert_eq!((&figures["answered"], &figures["errors"], &figures["allowed"]), (&json!(2), &json!(1), &json!(2)), "{query}");
        assert_eq!((&figures["p50"], &figures["regions"][0]["n"]), (&figures["p99"], &json!(2)));
    }
    assert_eq!(index.seconds("status=504"), [0]);
    let found = index.store.read(|connection| records::find(connection, &Name::Decision("X".to_owned()))).unwrap();
    assert_eq!(found.iter().map(|found| found.n).collect::<Vec<_>>(), [1, 3]);
}

#[test]
fn a_record_without_a_time_is_listed_and_in_no_step() {
    let mut broken = entry(0, json!({}));
    broken.time = "yesterday".to_owned();
    let index = Index::of(&[broken, entry(1, json!({}))]);
    assert_eq!(index.figures("")["allowed"], 1);
    assert_eq!(index.seconds("").len(), 2);
}

#[test]
fn the_index_is_gone_with_the_console() {
    let index = some();
    let folder = index.store.file.parent().unwrap().to_owned();
    assert!(folder.join("index.db").is_file());
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt as _;
        assert_eq!(fs::metadata(&folder).unwrap().permissions().mode() & 0o777, 0o700);
    }
    drop(index);
    assert!(!folder.exists());
}
