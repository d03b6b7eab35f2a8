//! Sinks of records: what arrives there, what becomes of it when they fail, and what must not happen without them.

use std::collections::{BTreeMap, BTreeSet};
use std::io::Write;
use std::net::{SocketAddr, TcpStream};
use std::time::{Duration, Instant};

use cedargate::host::{InstanceLimits, RecordSink};
use serde_json::{Value, json};

use super::audit_chain::verify;
use super::support::client::Request;
use super::support::collector::{Act, Collector, nobody};
use super::support::gate::{Expect, Gate, Setup, bundle};
use super::support::jwks_server::eventually;
use super::support::links::{self, ask, hmac, keyring, origin, writer};
use super::support::schema;
use super::support::token::Token;

const PATH: &str = "/api/documents/1";
const TOKEN: &str = "s1nk-t0ken-of-nobody";

fn good(gate: &Gate) -> Request {
    Request::get(PATH).bearer(&Token::dev(gate.now(), "alice").groups(&["readers"]).make())
}

/// One instance for the whole test: what was lost is told by the instance that lost it.
fn one_instance() -> InstanceLimits {
    let idle_timeout = Duration::from_secs(120);
    InstanceLimits { max_reuse: 1_000_000, max_concurrent_reuse: 1_000, idle_timeout, ..InstanceLimits::default() }
}

/// A gate whose records go there, before it starts.
fn with_sink(setup: Setup, format: &str, addr: SocketAddr) -> Setup {
    let url = format!("http://{addr}");
    Setup { limits: one_instance(), diagnostics: RecordSink::memory(), ..setup }
        .variable("audit_sink", format)
        .variable("audit_sink_url", &url)
        .variable("audit_sink_token", TOKEN)
        .variable("audit_keys", &keyring(&[hmac("a1", "active", 9)]))
        .allow(&url)
}

fn start(format: &str, addr: SocketAddr) -> Gate {
    with_sink(Setup::new(&bundle()), format, addr).start(&origin())
}

fn written(gate: &Gate) -> Vec<Value> {
    let records: Vec<Value> = gate.lines().iter().map(|line| serde_json::from_str(line).unwrap()).collect();
    records.iter().for_each(schema::check);
    records
}

fn place(record: &Value) -> (String, u64) {
    (record["chain"]["instance"].as_str().unwrap().to_owned(), record["chain"]["seq"].as_u64().unwrap())
}

/// Waits until the sink has every record that was written.
fn all_arrive(gate: &Gate, collector: &Collector) {
    let places = |records: &[Value]| records.iter().map(place).collect::<BTreeSet<_>>();
    eventually("every record at the sink", || places(&collector.records()) == places(&written(gate)));
}

/// Whether every record that was written is at the sink, or in a range that a record at the sink tells as lost; and how many are.
fn covered(gate: &Gate, collector: &Collector) -> Option<u64> {
    let at_sink = collector.records();
    let mut known: BTreeSet<(String, u64)> = at_sink.iter().map(place).collect();
    let mut lost = 0;
    for record in at_sink.iter().filter(|record| record["kind"] == "dropped") {
        let (instance, _) = place(record);
        let member = |name: &str| record["dropped"][name].as_u64().unwrap();
        lost += member("count");
        known.extend((member("first_seq")..=member("last_seq")).map(|seq| (instance.clone(), seq)));
    }
    written(gate).iter().map(place).all(|place| known.contains(&place)).then_some(lost)
}

/// Numbers rise at the sink: what was written first arrives first.
fn in_order(records: &[Value]) {
    let mut last: BTreeMap<String, u64> = BTreeMap::new();
    for record in records {
        let (instance, seq) = place(record);
        assert!(last.insert(instance, seq).is_none_or(|last| last < seq), "{record}");
    }
}

#[test]
fn every_format_arrives_complete_and_in_order() {
    for (format, path, field, credential) in [
        ("ndjson", "/", "authorization", format!("Bearer {TOKEN}")),
        ("datadog", "/api/v2/logs", "dd-api-key", TOKEN.to_owned()),
        ("otlp", "/v1/logs", "authorization", format!("Bearer {TOKEN}")),
        ("splunk", "/services/collector/event", "authorization", format!("Splunk {TOKEN}")),
    ] {
        let collector = Collector::start();
        let gate = start(format, collector.addr);
        for _ in 0..40 {
            gate.check(format, &good(&gate), &Expect::allowed());
            gate.check(format, &Request::get(PATH), &Expect::denied(401));
        }
        gate.check(format, &Request::get("//"), &Expect::refused(400, "request.path_not_absolute"));
        all_arrive(&gate, &collector);
        let arrived = collector.records();
        in_order(&arrived);
        assert_eq!(arrived.len(), 82, "81 decisions and a checkpoint");
        // As they were written, and standard output has them too.
        let written: BTreeMap<_, _> = written(&gate).into_iter().map(|record| (place(&record), record)).collect();
        for record in &arrived {
            assert_eq!(record, &written[&place(record)]);
        }
        for came in collector.came() {
            assert_eq!((came.path.as_str(), came.header(field), came.status), (path, Some(credential.as_str()), Some(200)), "{came:?}");
            assert_eq!(came.header("content-encoding"), (came.body.len() >= 1024).then_some("gzip"));
            assert!(!came.body.contains(TOKEN));
        }
        assert!(collector.came().iter().any(|came| came.header("content-encoding").is_some()));
        assert!(gate.lines().iter().all(|line| !line.contains(TOKEN)));
        if format == "otlp" {
            let body: Value = serde_json::from_str(&collector.came()[0].body).unwrap();
            let record = &body["resourceLogs"][0]["scopeLogs"][0]["logRecords"][0];
            let seen = collector.came()[0].records();
            assert_eq!((&record["traceId"], &record["spanId"]), (&seen[0]["trace_id"], &seen[0]["span_id"]));
        }
        // What arrived verifies; datadog and otlp have the very lines.
        let lines: Vec<String> = arrived.iter().map(Value::to_string).collect();
        verify(&lines, &keyring(&[hmac("a1", "active", 9)]), &[]).ok();
    }
}

#[test]
fn without_a_sink_nobody_is_asked() {
    let collector = Collector::start();
    let gate = Setup::new(&bundle()).variable("audit_sink_url", &collector.url()).allow(&collector.url()).start(&origin());
    for _ in 0..3 {
        gate.check("no sink", &good(&gate), &Expect::allowed());
    }
    // Control: with one, the first request of another gate is there.
    let other = start("ndjson", collector.addr);
    other.check("a sink", &good(&other), &Expect::allowed());
    all_arrive(&other, &collector);
    assert_eq!(gate.lines().len(), 3);
}

#[test]
fn a_slow_sink_delays_no_response() {
    let collector = Collector::start();
    collector.hold();
    let gate = start("ndjson", collector.addr);
    for _ in 0..30 {
        gate.check("held", &good(&gate), &Expect::allowed());
    }
    eventually("a request at the sink", || !collector.came().is_empty());
    // One at a time in an instance, and none of them was answered.
    assert!(collector.records().is_empty());
    assert_eq!(gate.lines().len(), 30);
    collector.release();
    all_arrive(&gate, &collector);
    in_order(&collector.records());
    // What waited went together.
    assert!(collector.came().len() < 15, "{} requests", collector.came().len());
}

#[test]
fn a_sink_that_fails_and_recovers_loses_nothing() {
    let collector = Collector::start();
    collector.script([
        Act::Cut,
        Act::Fail(500, vec![]),
        Act::Fail(429, vec![("retry-after", "1")]),
        Act::CutInBody,
        Act::Fail(503, vec![("retry-after", "0")]),
        Act::Take(202, ""),
        Act::Fail(502, vec![]),
    ]);
    let gate = start("ndjson", collector.addr);
    for _ in 0..20 {
        gate.check("failing", &good(&gate), &Expect::allowed());
    }
    all_arrive(&gate, &collector);
    in_order(&collector.records());
    assert_eq!(covered(&gate, &collector), Some(0));
    let came = collector.came();
    assert!(came.len() >= 7, "{}", came.len());
    let busy = came.iter().position(|came| came.status == Some(429)).unwrap();
    assert!(came[busy + 1].at.duration_since(came[busy].at) >= Duration::from_secs(1), "it was asked to wait for a second");
}

#[test]
fn a_sink_that_was_not_there_gets_everything_when_it_is() {
    let addr = nobody();
    let gate = start("splunk", addr);
    for _ in 0..5 {
        gate.check("nobody listens", &good(&gate), &Expect::allowed());
    }
    let collector = Collector::at(addr);
    all_arrive(&gate, &collector);
    assert_eq!(covered(&gate, &collector), Some(0));
}

#[test]
fn what_a_sink_refuses_is_counted_and_told() {
    let collector = Collector::start();
    let gate = start("ndjson", collector.addr);
    gate.check("taken", &good(&gate), &Expect::allowed());
    all_arrive(&gate, &collector);
    for (act, count) in [(Act::Fail(400, vec![]), 1), (Act::Fail(307, vec![("location", "/elsewhere")]), 3)] {
        let before = written(&gate).len();
        collector.script([act]);
        gate.check("refused", &good(&gate), &Expect::allowed());
        // On standard output at once, though nothing else happens.
        eventually("a record of the loss", || written(&gate).len() == before + 2);
        let told = written(&gate).pop().unwrap();
        let seq = place(&told).1;
        assert_eq!((&told["kind"], seq), (&json!("dropped"), u64::try_from(before).unwrap() + 1));
        // The second one tells what the first told too, which the sink did not get.
        assert_eq!(told["dropped"], json!({"count": count, "first_seq": 1, "last_seq": seq - 1, "why": "refused"}));
    }
    gate.check("taken again", &good(&gate), &Expect::allowed());
    eventually("everything told", || covered(&gate, &collector) == Some(3));
    let at_sink = collector.records();
    in_order(&at_sink);
    let lines: Vec<String> = at_sink.iter().map(Value::to_string).collect();
    let keys = keyring(&[hmac("a1", "active", 9)]);
    let found = verify(&lines, &keys, &[]);
    assert_eq!(found.code, Some(5));
    assert!(
        found.stdout.contains("missing") && found.stdout.contains("a record of the log says that they were dropped"),
        "{}",
        found.stdout
    );
    // Control: standard output lacks nothing.
    verify(&gate.lines(), &keys, &[]).ok();
}

#[test]
fn what_otlp_rejects_in_part_is_counted() {
    let collector = Collector::start();
    collector.script([Act::Take(200, r#"{"partialSuccess":{"rejectedLogRecords":"1","errorMessage":"no"}}"#)]);
    let gate = start("otlp", collector.addr);
    gate.check("rejected", &good(&gate), &Expect::allowed());
    eventually("a record of the loss", || written(&gate).len() == 2);
    assert_eq!(written(&gate)[1]["dropped"], json!({"count": 1, "first_seq": 0, "last_seq": 0, "why": "refused"}));
    gate.check("taken", &good(&gate), &Expect::allowed());
    all_arrive(&gate, &collector);
}

#[test]
fn what_there_is_no_room_for_is_counted_and_told() {
    let collector = Collector::start();
    collector.hold();
    let gate = start("ndjson", collector.addr);
    // One after the other, so that they are one instance's.
    (0..1200).for_each(|_| assert_eq!(Request::get(PATH).send(gate.addr).status, 401));
    assert!(collector.records().is_empty());
    collector.release();
    eventually("everything at the sink or told", || covered(&gate, &collector).is_some());
    let lost = covered(&gate, &collector).unwrap();
    let records = written(&gate);
    let (at_sink, instances) = (collector.records(), records.iter().map(|record| place(record).0).collect::<BTreeSet<_>>());
    assert!(lost > 0 && instances.len() == 1, "{lost} lost, {} instances", instances.len());
    assert_eq!(at_sink.len() + usize::try_from(lost).unwrap(), records.len(), "counted exactly");
    assert!(at_sink.iter().any(|record| record["dropped"]["why"] == "queue_full"));
    assert_eq!(records.iter().filter(|record| record["kind"] == "decision").count(), 1200);
    in_order(&at_sink);
    // Control: what comes now is taken.
    gate.check("afterwards", &good(&gate), &Expect::allowed());
    eventually("the last one", || covered(&gate, &collector) == Some(lost));
}

#[test]
fn with_a_sink_nothing_is_let_through_before_the_sink_has_its_record() {
    let collector = Collector::start();
    collector.hold();
    let gate = with_sink(Setup::new(&bundle()), "ndjson", collector.addr).variable("audit_mode", "before").start(&origin());
    let request = good(&gate);
    let response = std::thread::scope(|scope| {
        let answer = scope.spawn(|| request.send(gate.addr));
        eventually("the record at the sink", || !collector.came().is_empty());
        // It has come whole, and is not answered.
        let came = collector.came()[0].records();
        assert_eq!((&came[0]["decision"], &came[0]["kind"], came[0].get("status")), (&json!("allow"), &json!("decision"), None));
        assert_eq!(gate.origin.count(), 0);
        collector.release();
        answer.join().unwrap()
    });
    assert_eq!((response.status, gate.origin.count()), (200, 1));
    all_arrive(&gate, &collector);
    assert_eq!(collector.records().iter().map(|record| record["kind"].as_str().unwrap()).collect::<Vec<_>>(), ["decision", "outcome"]);
}

#[test]
fn a_caller_who_goes_away_takes_no_record_along() {
    let collector = Collector::start();
    collector.hold();
    let gate = with_sink(Setup::new(&bundle()), "ndjson", collector.addr).variable("audit_mode", "before").start(&origin());
    let mut stream = TcpStream::connect(gate.addr).unwrap();
    stream.write_all(&good(&gate).bytes()).unwrap();
    eventually("the record at the sink", || !collector.came().is_empty());
    drop(stream);
    collector.release();
    assert_eq!(good(&gate).send(gate.addr).status, 200);
    all_arrive(&gate, &collector);
    assert!(written(&gate).len() >= 3);
}

#[test]
fn with_a_sink_that_does_not_take_the_record_nothing_is_let_through() {
    let unavailable = |gate: &Gate, sent: &Request| {
        let response = sent.send(gate.addr);
        assert_eq!((response.status, response.code().as_str(), response.header("x-origin")), (503, "unavailable", None));
        let id = response.header("cedargate-decision-id").unwrap();
        eventually("its outcome", || written(gate).iter().any(|record| record["kind"] == "outcome" && record["decision_id"] == id));
        let outcome = written(gate).into_iter().find(|record| record["kind"] == "outcome" && record["decision_id"] == id).unwrap();
        assert_eq!(outcome["upstream"]["error"]["reason"], "system.audit_unavailable", "{outcome}");
        assert_eq!(gate.origin.count(), 0);
    };
    let before = |addr| with_sink(Setup::new(&bundle()), "ndjson", addr).variable("audit_mode", "before").start(&origin());
    // It refuses.
    let collector = Collector::start();
    let gate = before(collector.addr);
    collector.script([Act::Fail(403, vec![])]);
    unavailable(&gate, &good(&gate));
    assert_eq!(good(&gate).send(gate.addr).status, 200);
    // It says nothing.
    let collector = Collector::start();
    let gate = before(collector.addr);
    collector.hold();
    let began = Instant::now();
    unavailable(&gate, &good(&gate));
    assert!(began.elapsed() < Duration::from_secs(30), "{:?}", began.elapsed());
    // Denials wait for nobody.
    assert_eq!(Request::get(PATH).send(gate.addr).status, 401);
    // Nobody is there; then somebody is.
    let addr = nobody();
    let gate = before(addr);
    unavailable(&gate, &good(&gate));
    let collector = Collector::at(addr);
    eventually("the sink is used again", || good(&gate).send(gate.addr).status == 200);
    assert_eq!(gate.origin.count(), 1);
    eventually("everything at the sink", || covered(&gate, &collector).is_some());
}

#[test]
fn links_are_not_handed_out_before_the_sink_has_their_record() {
    let collector = Collector::start();
    let gate = with_sink(links::setup(&links::with_links("")), "ndjson", collector.addr).variable("audit_mode", "before").start(&origin());
    let item = json!({"items": [{"method": "GET", "path": PATH, "expires_in": 60}]});
    collector.script([Act::Fail(400, vec![])]);
    let refused = ask(&writer("alice"), &item).send(gate.addr);
    assert_eq!((refused.status, refused.code().as_str()), (503, "unavailable"), "{refused:?}");
    let control = ask(&writer("alice"), &item).send(gate.addr);
    assert_eq!(control.status, 200, "{control:?}");
    eventually("everything told", || covered(&gate, &collector).is_some());
}

#[test]
fn what_goes_to_another_region_shows_no_person() {
    let mut eu = bundle();
    eu.insert("policies/audit.toml", "version = 1\n[residency]\nregions = ['eu-*']\n");
    for (region, shown) in [("", true), ("eu-north", true), ("us-east", false)] {
        let collector = Collector::start();
        let setup = Setup::new(&eu).variable("edge_region", "eu-west").variable("audit_sink_region", region);
        let gate = with_sink(setup, "ndjson", collector.addr).start(&origin());
        gate.check(region, &good(&gate), &Expect::allowed());
        all_arrive(&gate, &collector);
        // One record, one truth: standard output shows what the sink may have.
        for record in [&collector.records()[0], &written(&gate)[0]] {
            assert_eq!(record["identity"]["subject"], if shown { json!("alice") } else { Value::Null }, "{region}: {record}");
            assert_eq!(record.to_string().contains("alice"), shown, "{region}");
        }
    }
}

#[test]
fn a_sink_that_cannot_be_used_is_named() {
    let collector = Collector::start();
    for (variable, value) in [
        ("audit_sink", "syslog"),
        ("audit_sink_url", "http://logs.example.com"),
        ("audit_sink_url", ""),
        ("audit_sink_token", "t0p secret\ttoken"),
    ] {
        let gate = with_sink(Setup::new(&bundle()), "ndjson", collector.addr).variable(variable, value).start(&origin());
        let answer = gate.check(variable, &good(&gate), &Expect::refused(503, "system.configuration"));
        answer.with_record(|record| {
            assert!(record["detail"].as_str().unwrap().contains(&format!("`{variable}`")), "{record}");
            assert!(!record.to_string().contains("t0p"), "{record}");
        });
    }
    assert!(collector.came().is_empty());
}

#[test]
fn an_instance_ends_when_its_sink_has_everything() {
    let collector = Collector::start();
    collector.hold();
    let gate = Setup { limits: InstanceLimits::default(), ..with_sink(Setup::new(&bundle()), "ndjson", collector.addr) }.start(&origin());
    gate.check("held", &good(&gate), &Expect::allowed());
    eventually("a request at the sink", || !collector.came().is_empty());
    assert_eq!(gate.metrics().live_instances, 1);
    collector.release();
    all_arrive(&gate, &collector);
    eventually("no instance", || gate.metrics().live_instances == 0);
    assert_eq!(gate.metrics().failed_instances, 0);
}
