//! The tampering matrix: everything that can be done to a log is found, or is on the list of what cannot be.

use serde_json::{Value, json};

use super::record::{Context, Record, Timing, sample};
use super::sink::{Lost, Why};
use super::{Anchor, AuditConfig, Chain, DecisionId, Entropy, Fault, Scene, Timestamp, TraceIds, Verifier, checkpoint, dropped, outcome};
use crate::decision::{Decision, Denial, Mode, Reason, UnixTime};
use crate::request::RawRequest;
use crate::signed_url::Keyring;

const SECRET: &str = "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8";
const OTHER: &str = "__ECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8";

fn keyring(keys: &[(&str, &str, &str)]) -> Keyring {
    let key = |(id, algorithm, secret): &(&str, &str, &str)| {
        let member = if *algorithm == "Ed25519" { "private_key" } else { "secret" };
        json!({"id": id, "algorithm": algorithm, "state": "active", member: secret})
    };
    Keyring::parse(&json!({"v": 1, "keys": keys.iter().map(key).collect::<Vec<_>>()}).to_string()).unwrap()
}

fn hmac() -> Keyring {
    keyring(&[("k1", "HMAC-SHA-256", SECRET)])
}

/// The records of one instance: decisions, and in between what else a chain has.
fn log(instance: u8, count: u64, keys: &Keyring) -> Vec<String> {
    let mut chain = Chain::new([instance; 16], None);
    let mut lines = vec![];
    for number in 0..count {
        let time = Timestamp { seconds: UnixTime(1_700_000_000 + i64::try_from(number).unwrap()), millis: 5 };
        let mut entropy = [instance; 34];
        entropy[..8].copy_from_slice(&number.to_be_bytes());
        let (id, trace) = (DecisionId::new(time, Entropy(entropy)), TraceIds::new(None, Entropy(entropy)));
        let headers = [("host".to_owned(), "a.example".into())];
        let path = format!("/api/documents/{number}?x=1");
        let raw = RawRequest { method: "GET", scheme: None, authority: None, path_with_query: Some(&path), headers: &headers };
        let timing = Timing { identity: 1, policy: 2, total: number };
        let context = Context { build: Some("b0"), timing, ..sample(time, &id, &trace, &raw) };
        let decision = Decision::denied(Denial::new(Reason::RequestPathCharacter, "a \"quoted\" detail"));
        let record = Record::new(context, &decision);
        lines.push(record.to_line(&mut chain, keys, &AuditConfig::default()));
        if number == 2 {
            lines.push(checkpoint(&mut chain, keys, record.scene()));
            let upstream = super::Upstream { outcome: Ok(200), time: 7 };
            lines.push(outcome(&mut chain, keys, record.scene(), &id, 200, &upstream));
        }
    }
    lines.iter().map(|line| line.trim_end().to_owned()).collect()
}

fn verify<S: AsRef<str>>(lines: &[S], keys: &Keyring, open_start: bool, anchors: &[Anchor]) -> (Vec<(Fault, Option<usize>)>, Vec<Anchor>) {
    let mut verifier = Verifier::new(keys, open_start, anchors.to_vec());
    let mut findings = vec![];
    for (index, line) in lines.iter().enumerate() {
        findings.extend(verifier.take(line.as_ref(), index));
    }
    let (missing, ends, tally) = verifier.finish();
    assert_eq!(tally.records, lines.len() as u64);
    findings.extend(missing);
    (findings.into_iter().map(|finding| (finding.fault, finding.place)).collect(), ends)
}

fn faults<S: AsRef<str>>(lines: &[S], keys: &Keyring) -> Vec<(Fault, Option<usize>)> {
    verify(lines, keys, false, &[]).0
}

#[test]
fn what_gates_wrote_has_no_fault() {
    let rings = [hmac(), keyring(&[("e1", "Ed25519", SECRET)])];
    for keys in &rings {
        let (a, b) = (log(1, 9, keys), log(2, 5, keys));
        assert_eq!(a.len(), 11);
        assert_eq!(faults(&a, keys), []);
        // Two instances write into one log.
        let mixed: Vec<String> = a.iter().zip(&b).flat_map(|(a, b)| [a.clone(), b.clone()]).chain(a[7..].to_vec()).collect();
        assert_eq!(faults(&mixed, keys), []);
        // A key that took over from another: both are in the keyring.
        let both = keyring(&[("k1", "HMAC-SHA-256", SECRET), ("e1", "Ed25519", SECRET)]);
        assert_eq!(faults(&a, &both), []);
    }
    assert_eq!(faults::<String>(&[], &hmac()), []);
}

#[test]
fn a_record_that_was_only_spelled_anew_is_the_same_record() {
    let keys = hmac();
    let lines: Vec<String> = log(1, 9, &keys)
        .iter()
        .map(|line| {
            let Value::Object(members) = serde_json::from_str(line).unwrap() else { panic!() };
            let members: Vec<String> = members.iter().rev().map(|(name, value)| format!("{} : {value:#}", json!(name))).collect();
            format!("{{ {} }}", members.join(" , ")).replace('\n', " ")
        })
        .collect();
    assert_eq!(faults(&lines, &keys), []);
}

/// Each value of a record with one other in its place, each member without, and one more everywhere.
fn mutations(value: &Value) -> Vec<Value> {
    let others = |value: &Value| match value {
        Value::Null => vec![json!(""), json!(0)],
        Value::Bool(value) => vec![json!(!value)],
        Value::Number(number) => vec![json!(number.as_u64().unwrap() + 1), json!(-1), Value::Null],
        Value::String(text) => vec![json!(format!("{text}x")), json!(""), Value::Null],
        Value::Array(_) => vec![json!([1]), Value::Null],
        Value::Object(_) => vec![json!({}), Value::Null],
    };
    let mut all: Vec<Value> = others(value).into_iter().filter(|other| other != value).collect();
    match value {
        Value::Object(members) => {
            for (name, inner) in members {
                let with = |other: Option<Value>| {
                    let mut members = members.clone();
                    match other {
                        Some(other) => members.insert(name.clone(), other),
                        None => members.remove(name),
                    };
                    Value::Object(members)
                };
                all.push(with(None));
                all.extend(mutations(inner).into_iter().map(|other| with(Some(other))));
            }
            let mut more = members.clone();
            more.insert("zzz".to_owned(), json!(1));
            all.push(Value::Object(more));
        }
        Value::Array(values) => {
            for (index, inner) in values.iter().enumerate() {
                all.extend(mutations(inner).into_iter().map(|other| {
                    let mut values = values.clone();
                    values[index] = other;
                    json!(values)
                }));
            }
        }
        _ => {}
    }
    all
}

#[test]
fn each_change_of_each_field_is_found() {
    for keys in [hmac(), keyring(&[("e1", "Ed25519", SECRET)])] {
        let lines = log(1, 7, &keys);
        let mut tried = 0;
        // A decision, a checkpoint, an outcome, the first and the last record.
        for at in [0, 1, 3, 4, 8] {
            for changed in mutations(&serde_json::from_str(&lines[at]).unwrap()) {
                // Read as a record it must be an object; what is none is not even that.
                let mut log = lines.clone();
                log[at] = changed.to_string();
                let found = faults(&log, &keys);
                assert!(!found.is_empty(), "not found: {changed}");
                assert!(found.iter().any(|(_, place)| *place == Some(at)), "{found:?}: {changed}");
                tried += 1;
            }
        }
        assert!(tried > 400, "{tried}");
    }
}

#[test]
fn each_byte_counts() {
    let keys = hmac();
    let lines = log(1, 3, &keys);
    for at in 0..lines[1].len() {
        for flip in [1_u8, 0x20] {
            let mut bytes = lines[1].clone().into_bytes();
            bytes[at] ^= flip;
            let Ok(changed) = String::from_utf8(bytes) else { continue };
            // The one escape that JSON lets be spelled in two ways is not in these records.
            let mut log = lines.clone();
            log[1] = changed.clone();
            assert!(!faults(&log, &keys).is_empty(), "{changed}");
        }
    }
}

#[test]
fn each_record_that_was_deleted_doubled_or_moved_is_found() {
    let keys = hmac();
    let lines = log(1, 7, &keys);
    let count = lines.len();
    for at in 0..count {
        let mut gone = lines.clone();
        gone.remove(at);
        // What came last can be cut off: that is what anchors are for.
        let found = faults(&gone, &keys);
        if at == count - 1 {
            assert_eq!(found, [])
        } else {
            assert_eq!(found, [(Fault::Missing, Some(at))], "{at}")
        }

        let mut twice = lines.clone();
        twice.insert(at, lines[at].clone());
        assert_eq!(faults(&twice, &keys), [(Fault::Duplicated, Some(at + 1))], "{at}");

        for other in at + 1..count {
            let mut swapped = lines.clone();
            swapped.swap(at, other);
            let found = faults(&swapped, &keys);
            // All but those that still stand in order behind the one that came too early.
            assert!(found.contains(&(Fault::Reordered, Some(other))), "{at} {other}: {found:?}");
            assert!(found.iter().all(|(fault, _)| *fault == Fault::Reordered), "{at} {other}: {found:?}");
        }
    }
    let hole = [&lines[..2], &lines[5..]].concat();
    assert_eq!(faults(&hole, &keys), [(Fault::Missing, Some(2))]);
    let late = [&lines[..2], &lines[5..], &lines[3..4]].concat();
    assert_eq!(faults(&late, &keys), [(Fault::Reordered, Some(count - 3)), (Fault::Missing, Some(2)), (Fault::Missing, Some(2))]);
}

#[test]
fn what_belongs_elsewhere_is_found() {
    let keys = hmac();
    let (a, b) = (log(1, 7, &keys), log(2, 7, &keys));
    // One record of another instance.
    let spliced = [&a[..3], &b[3..4], &a[3..]].concat();
    assert_eq!(faults(&spliced, &keys), [(Fault::Missing, Some(3))]);
    // In the place of one of this.
    let replaced = [&a[..3], &b[3..4], &a[4..]].concat();
    assert_eq!(faults(&replaced, &keys), [(Fault::Missing, Some(3)), (Fault::Missing, Some(4))]);
    // Both logs whole, and one record moved from one file to the other: only told when it is out of order there.
    let moved = [&a[..], &b[..], &a[3..4]].concat();
    assert_eq!(faults(&moved, &keys), [(Fault::Duplicated, Some(a.len() + b.len()))]);
    // Another deployment's key, under a name that is known and one that is not.
    for id in ["k1", "k2"] {
        let foreign = log(3, 3, &keyring(&[(id, "HMAC-SHA-256", OTHER)]));
        let fault = if id == "k1" { Fault::Altered } else { Fault::Foreign };
        assert!(faults(&foreign, &keys).iter().all(|(found, _)| *found == fault));
    }
    // The same instance went on from an earlier state: a fork.
    let forked = log(1, 3, &keys);
    let mut other = Chain::new([1; 16], None);
    let fork: Vec<String> = {
        let headers = [];
        let raw = RawRequest { method: "PUT", scheme: None, authority: None, path_with_query: Some("/"), headers: &headers };
        (0..4).map(|n| one(&raw, n, &mut other, &keys)).collect()
    };
    assert_eq!(faults(&[&forked[..2], &fork[2..]].concat(), &keys)[0], (Fault::Foreign, Some(2)));
    // No key at all.
    let unsigned = log(4, 3, &Keyring::default());
    assert_eq!(faults(&unsigned, &keys).len(), unsigned.len());
    assert!(faults(&unsigned, &keys).iter().all(|(fault, _)| *fault == Fault::Unsigned));
    assert_eq!(faults(&[r#"{"v":1,"time":"#], &keys), [(Fault::Malformed, Some(0))]);
}

fn one(raw: &RawRequest<'_>, number: u8, chain: &mut Chain, keys: &Keyring) -> String {
    let time = Timestamp { seconds: UnixTime(1_700_000_100), millis: 5 };
    let entropy = Entropy([number; 34]);
    let (id, trace) = (DecisionId::new(time, entropy), TraceIds::new(None, entropy));
    let context = sample(time, &id, &trace, raw);
    let decision = Decision::denied(Reason::RequestPathCharacter.into());
    Record::new(context, &decision).to_line(chain, keys, &AuditConfig::default()).trim_end().to_owned()
}

#[test]
fn an_anchor_shows_that_the_end_was_cut_off() {
    let keys = hmac();
    let (a, b) = (log(1, 7, &keys), log(2, 4, &keys));
    let whole = [&a[..], &b[..]].concat();
    let (found, ends) = verify(&whole, &keys, false, &[]);
    assert_eq!((found.len(), ends.len()), (0, 2));
    assert_eq!(verify(&whole, &keys, false, &ends).0, []);
    // It goes on: still the record that the anchor names.
    let longer = [&log(1, 9, &keys)[..], &b[..]].concat();
    assert_eq!(verify(&longer, &keys, false, &ends).0, []);
    let cut = [&a[..a.len() - 2], &b[..]].concat();
    assert_eq!(verify(&cut, &keys, false, &ends).0, [(Fault::Missing, Some(a.len() - 3))]);
    assert_eq!(verify(&a, &keys, false, &ends).0, [(Fault::Missing, None)]);
    assert_eq!(verify::<String>(&[], &keys, false, &ends).0.len(), 2);
    // Not the same record: whoever has the key wrote the chain anew.
    let forged: Vec<Anchor> = ends.iter().map(|end| Anchor { mac: "AA".into(), ..end.clone() }).collect();
    assert_eq!(verify(&whole, &keys, false, &forged).0.len(), 2);
}

#[test]
fn a_log_may_begin_in_the_middle_where_that_is_said() {
    let keys = hmac();
    let lines = log(1, 7, &keys);
    assert_eq!(verify(&lines[4..], &keys, false, &[]).0, [(Fault::Missing, Some(0))]);
    assert_eq!(verify(&lines[4..], &keys, true, &[]).0, []);
    // Then too nothing may be missing between.
    assert_eq!(verify(&[&lines[3..4], &lines[5..]].concat(), &keys, true, &[]).0, [(Fault::Missing, Some(1))]);
}

#[test]
fn a_gap_that_the_log_tells_of_is_said_to_be_dropped() {
    let keys = hmac();
    let scene = Scene { time: Timestamp { seconds: UnixTime(1_700_000_000), millis: 0 }, region: "local", mode: Mode::Enforce, gate: None };
    let mut chain = Chain::new([1; 16], None);
    let lost = |count, first, last| Lost { count, first, last, why: Why::QueueFull };
    let mut lines: Vec<String> = (0..6).map(|_| checkpoint(&mut chain, &keys, scene)).collect();
    lines.push(dropped(&mut chain, &keys, scene, &lost(1, 1, 1)));
    lines.push(dropped(&mut chain, &keys, scene, &lost(2, 2, 3)));
    let findings = |without: &[usize]| {
        let mut verifier = Verifier::new(&keys, false, vec![]);
        let kept = lines.iter().enumerate().filter(|(number, _)| !without.contains(number));
        for (number, line) in kept {
            assert_eq!(verifier.take(line, number), [], "{line}");
        }
        let found: Vec<(Fault, String)> = verifier.finish().0.into_iter().map(|finding| (finding.fault, finding.message)).collect();
        found
    };
    let gap = |more: &str| vec![(Fault::Missing, format!("the chain has a gap here{more}"))];
    assert_eq!(findings(&[]), []);
    assert_eq!(findings(&[1, 2, 3]), gap("; a record of the log says that they were dropped"));
    assert_eq!(findings(&[3]), gap("; a record of the log says that they were dropped"));
    assert_eq!(findings(&[3, 4]), gap("; a record of the log says that some of them were dropped"));
    assert_eq!(findings(&[4]), gap(""));
    // What another record would have told is not known.
    assert_eq!(findings(&[3, 7]), gap(""));
}
