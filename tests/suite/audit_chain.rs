//! What records are good for years later: the chain of each instance, masking, and records that come before what they permit.

use std::collections::{BTreeMap, BTreeSet};
use std::process::{Command, Stdio};

use cedargate::bundle::Bundle;
use cedargate::host::InstanceLimits;
use serde_json::{Value, json};

use super::support::client::Request;
use super::support::gate::{Expect, Gate, Setup, bundle};
use super::support::links::{ed25519, hmac, keyring, origin};
use super::support::process::{Ended, ended};
use super::support::token::Token;

const PATH: &str = "/api/documents/1";

fn good(gate: &Gate, subject: &str) -> Request {
    Request::get(PATH).bearer(&Token::dev(gate.now(), subject).groups(&["readers"]).make())
}

fn with_audit(config: &str) -> Bundle {
    let mut bundle = bundle();
    bundle.insert("policies/audit.toml", format!("version = 1\n{config}"));
    bundle
}

/// A gate whose records are chained.
fn chained(bundle: &Bundle, key: Value) -> Setup {
    Setup::new(bundle).variable("audit_keys", &keyring(&[key]))
}

/// `cedargate audit verify` of these lines.
pub(super) fn verify(lines: &[String], keys: &str, more: &[&str]) -> Ended {
    let folder = tempfile::tempdir().unwrap();
    let (log, ring) = (folder.path().join("log.jsonl"), folder.path().join("keys.json"));
    std::fs::write(&log, lines.iter().map(|line| format!("{line}\n")).collect::<String>()).unwrap();
    std::fs::write(&ring, keys).unwrap();
    let mut command = Command::new(env!("CARGO_BIN_EXE_cedargate"));
    command.args(["audit", "verify", "--keyring"]).arg(&ring).args(more).arg(&log).stdin(Stdio::null());
    let ended = ended(command);
    let here = folder.path().display().to_string();
    Ended { stdout: ended.stdout.replace(&format!("{here}/"), ""), ..ended }
}

fn records(lines: &[String]) -> Vec<Value> {
    lines.iter().map(|line| serde_json::from_str(line).unwrap()).collect()
}

#[test]
fn every_record_of_an_instance_is_chained_to_the_one_before_it() {
    let key = hmac("a1", "active", 9);
    let limits = InstanceLimits { max_reuse: 100, ..InstanceLimits::default() };
    let gate = Setup { limits, ..chained(&bundle(), key.clone()) }.start(&origin());
    let forged = Token::dev(gate.now() - 100_000, "alice").make();
    for round in 0..80 {
        gate.check("allowed", &good(&gate, "alice"), &Expect::allowed());
        match round % 4 {
            0 => gate.check("expired", &Request::get(PATH).bearer(&forged), &Expect::refused(401, "jwt.expired")),
            1 => gate.check("malformed", &Request::get("//"), &Expect::refused(400, "request.path_not_absolute")),
            2 => gate.check("anonymous", &Request::get(PATH), &Expect::denied(401)),
            _ => gate.check("public", &Request::get("/health"), &Expect::allowed()),
        };
    }
    let lines = gate.lines();
    let all = records(&lines);
    let digest = all[0]["policy_digest"].as_str().unwrap();
    let mut instances: BTreeMap<&str, Vec<&Value>> = BTreeMap::new();
    for record in &all {
        assert_eq!((&record["chain"]["alg"], &record["chain"]["key_id"]), (&json!("HS256"), &json!("a1")), "{record}");
        instances.entry(record["chain"]["instance"].as_str().unwrap()).or_default().push(record);
    }
    assert!(instances.len() >= 2, "{} instances", instances.len());
    for records in instances.values() {
        let mut prev = digest;
        for (seq, record) in records.iter().enumerate() {
            assert_eq!((&record["chain"]["seq"], &record["chain"]["prev"]), (&json!(seq), &json!(prev)), "{record}");
            prev = record["mac"].as_str().unwrap();
        }
    }
    // Checkpoints, and nothing but they beside one record for each request.
    let checkpoints: Vec<_> = all.iter().filter(|record| record["kind"] == "checkpoint").collect();
    assert_eq!(all.len() - checkpoints.len(), 160);
    assert!(!checkpoints.is_empty());
    assert_eq!(
        (&checkpoints[0]["checkpoint"], &checkpoints[0]["chain"]["seq"]),
        (&json!({"decisions": 63, "why": "interval"}), &json!(63))
    );

    let keys = keyring(&[key]);
    let told = verify(&lines, &keys, &[]).ok();
    assert!(told.contains(&format!("{0} records, {0} authentic, in {1} chains: nothing altered", lines.len(), instances.len())), "{told}");
    // A deny that became an allow.
    let at = lines.iter().position(|line| line.contains(r#""decision":"deny""#)).unwrap();
    let mut altered = lines.clone();
    altered[at] = altered[at].replace(r#""decision":"deny""#, r#""decision":"allow""#);
    let told = verify(&altered, &keys, &[]);
    assert_eq!(told.code, Some(5), "{}", told.stdout);
    let id = all[at]["decision_id"].as_str().unwrap();
    assert!(
        told.stdout.contains(&format!("log.jsonl:{}: altered: record {} of instance ", at + 1, all[at]["chain"]["seq"])),
        "{}",
        told.stdout
    );
    assert!(told.stdout.contains(&format!("(decision {id}): its MAC is not that of its content")), "{}", told.stdout);
    // One that is gone; as data.
    let mut gone = lines.clone();
    gone.remove(at);
    let told = verify(&gone, &keys, &["--format", "json"]);
    assert_eq!(told.code, Some(5));
    let told: Value = serde_json::from_str(&told.stdout).unwrap();
    assert_eq!(told["faults"], json!({"missing": 1}));
    assert_eq!((&told["findings"][0]["line"], &told["findings"][0]["records"]["first"]), (&json!(at + 1), &all[at]["chain"]["seq"]));
    // With another key nothing is authentic.
    assert_eq!(verify(&lines, &keyring(&[hmac("a1", "active", 8)]), &[]).code, Some(5));
    assert_eq!(verify(&lines, &keyring(&[hmac("a2", "active", 9)]), &[]).code, Some(5));
}

#[test]
fn a_public_key_is_enough_to_verify_signed_records() {
    let gate = chained(&bundle(), ed25519("e1", "active", 7)).start(&origin());
    for _ in 0..3 {
        gate.check("allowed", &good(&gate, "alice"), &Expect::allowed());
    }
    let lines = gate.lines();
    assert_eq!(records(&lines)[0]["chain"]["alg"], "EdDSA");
    // RFC 8032: the public half of 32 bytes of 7.
    let public =
        json!({"id": "e1", "algorithm": "Ed25519", "state": "verify-only", "public_key": "6kpsY-KcUgq-9VB7Ey7F-ZVHdq6-vnuSQh7qaRRG0iw"});
    verify(&lines, &keyring(std::slice::from_ref(&public)), &[]).ok();
    let mut altered = lines;
    altered[1] = altered[1].replace("alice", "mallory");
    assert_eq!(verify(&altered, &keyring(&[public]), &[]).code, Some(5));
}

#[test]
fn an_end_that_was_kept_shows_that_later_records_were_cut_off() {
    let key = hmac("a1", "active", 9);
    let gate = chained(&bundle(), key.clone()).start(&origin());
    for _ in 0..4 {
        gate.check("allowed", &good(&gate, "alice"), &Expect::allowed());
    }
    let (lines, keys) = (gate.lines(), keyring(&[key]));
    let folder = tempfile::tempdir().unwrap();
    let ends = folder.path().join("ends.jsonl").display().to_string();
    verify(&lines, &keys, &["--ends", &ends]).ok();
    verify(&lines, &keys, &["--anchors", &ends]).ok();
    let cut = &lines[..3];
    // The documented limit: a chain that ends early is a chain.
    verify(cut, &keys, &[]).ok();
    let told = verify(cut, &keys, &["--anchors", &ends, "--ends", &ends]);
    assert_eq!(told.code, Some(5));
    assert!(told.stdout.contains("what came last was cut off") && told.stderr.contains("was not written"), "{told:?}");
    // The anchors are still those of before.
    verify(&lines, &keys, &["--anchors", &ends]).ok();
}

#[test]
fn without_a_keyring_there_is_nothing_to_verify_with() {
    let mut command = Command::new(env!("CARGO_BIN_EXE_cedargate"));
    command.args(["audit", "verify", "-"]).env_remove("SPIN_VARIABLE_AUDIT_KEYS").stdin(Stdio::null());
    let told = ended(command);
    assert_eq!(told.code, Some(1));
    assert!(told.stderr.contains("no keyring to verify with") && told.stderr.contains("--keyring"), "{}", told.stderr);
}

#[test]
fn a_record_shows_as_much_as_its_configuration_says() {
    let config = "shown_headers = ['x-request-purpose']\n[mask]\nsubject = 'hash'\ntoken_id = 'erase'\nclient = 'truncate'\nquery = 'keep'";
    let gate = chained(&with_audit(config), hmac("a1", "active", 9)).start(&origin());
    let ask = |subject: &str| {
        let token = Token::dev(gate.now(), subject).groups(&["readers"]).make();
        let request = Request::get("/api/documents/1?page=2&access_code=eyJhbGciOiJub25lIn0.e30.x&api_key=k").bearer(&token);
        gate.check("masked", &request, &Expect::allowed()).record.unwrap()
    };
    let (first, again, other) = (ask("alice"), ask("alice"), ask("bob"));
    let subject = |record: &Value| record["identity"]["subject"].as_str().unwrap().to_owned();
    assert!(subject(&first).starts_with("h:"), "{first}");
    assert_eq!(subject(&first), subject(&again));
    assert_ne!(subject(&first), subject(&other));
    assert_eq!((&first["identity"]["token_id"], &first["request"]["client"]), (&Value::Null, &json!("127.0.0.0/24")));
    let query = first["inputs"]["query"].as_array().unwrap();
    let shown: Vec<_> = query.iter().map(|pair| (pair["name"].as_str().unwrap(), &pair["value"])).collect();
    assert_eq!(shown, [("page", &json!("2")), ("access_code", &Value::Null), ("api_key", &Value::Null)]);
    let places = |name: &str| first[name].as_array().unwrap().iter().map(|place| place.as_str().unwrap()).collect::<BTreeSet<_>>();
    assert!(places("masked").is_superset(&["identity.subject", "cedar.principal", "request.client"].into()), "{first}");
    assert!(places("erased").is_superset(&["identity.token_id", "inputs.query"].into()), "{first}");
    for line in gate.lines() {
        assert!(!line.contains("alice") && !line.contains("127.0.0.1") && !line.contains("eyJ"), "{line}");
    }
    // What was decided is not changed by what is shown of it, and the origin sees everything.
    assert_eq!(gate.origin.count(), 3);
}

#[test]
fn without_a_key_nothing_is_hashed_but_erased() {
    let gate = Setup::new(&with_audit("[mask]\nsubject = 'hash'")).start(&origin());
    let record = gate.check("erased", &good(&gate, "alice"), &Expect::allowed()).record.unwrap();
    assert_eq!((&record["identity"]["subject"], &record["cedar"]["principal"]), (&Value::Null, &Value::Null), "{record}");
    assert!(record["mac"].is_null() && record["chain"]["key_id"].is_null(), "{record}");
}

#[test]
fn outside_its_regions_a_record_has_nothing_about_a_person() {
    let sealed = with_audit("[mask]\nquery = 'keep'\n[residency]\nregions = ['eu-*']");
    let record = |region: &str| {
        let gate = chained(&sealed, hmac("a1", "active", 9)).variable("edge_region", region).start(&origin());
        let token = Token::dev(gate.now(), "alice").groups(&["readers"]).make();
        let request = Request::get("/api/documents/1?page=2").bearer(&token);
        let record = gate.check(region, &request, &Expect::allowed()).record.unwrap();
        (record.to_string(), record)
    };
    let (line, inside) = record("eu-central");
    assert_eq!((&inside["identity"]["subject"], &inside["request"]["path"]), (&json!("alice"), &json!(PATH)), "{line}");
    let (line, outside) = record("us-east");
    for personal in ["alice", r#""readers""#, "127.0.0.1", r#""2""#, PATH] {
        assert!(!line.contains(personal), "{personal}: {line}");
    }
    assert_eq!((&outside["region"], &outside["decision"]), (&json!("us-east"), &json!("allow")));
    assert!(outside["erased"].as_array().unwrap().len() >= 6, "{line}");
}

#[test]
fn a_gate_that_records_first_tells_twice_what_it_let_through() {
    let key = hmac("a1", "active", 9);
    let gate = chained(&bundle(), key.clone()).variable("audit_mode", "before").start(&origin());
    assert_eq!(good(&gate, "alice").send(gate.addr).status, 200);
    assert_eq!(Request::get(PATH).send(gate.addr).status, 401);
    let lines = gate.lines();
    let all = records(&lines);
    let kinds: Vec<_> = all.iter().map(|record| record["kind"].as_str().unwrap()).collect();
    assert_eq!(kinds, ["decision", "outcome", "decision"]);
    // When it was written nobody knew what would become of it.
    assert_eq!((&all[0]["decision"], &all[0]["status"], &all[0]["upstream"]), (&json!("allow"), &Value::Null, &Value::Null));
    assert_eq!(
        (&all[1]["decision_id"], &all[1]["status"], &all[1]["upstream"]["status"]),
        (&all[0]["decision_id"], &json!(200), &json!(200))
    );
    assert_eq!((&all[2]["decision"], &all[2]["status"]), (&json!("deny"), &json!(401)));
    verify(&lines, &keyring(&[key]), &[]).ok();
}

#[test]
fn a_keyring_that_cannot_be_used_denies() {
    for (name, value) in [("audit_keys", "{}"), ("audit_mode", "sometimes")] {
        let gate = Setup::new(&bundle()).variable(name, value).start(&origin());
        gate.check(name, &good(&gate, "alice"), &Expect::refused(503, "system.configuration"));
        assert_eq!(gate.origin.count(), 0);
    }
}
