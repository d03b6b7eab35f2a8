//! `cedargate up --watch`: a change goes live when it is right, and no caller notices.

use std::collections::BTreeMap;
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::Relaxed};
use std::time::{Duration, Instant};

use serde_json::Value;

use super::support::client::{Connection, Request, Response, parse};
use super::support::gate::{NOW, root};
use super::support::origin::Origin;
use super::support::process::{Project, Up, copy};
use super::support::token::{Key, Token, public_jwk};

/// What the policies of these tests are about.
const PATH: &str = "/watched";

/// A policy that says of everybody whether they may, called by a number: even ones permit.
fn policy(number: usize) -> String {
    let effect = if number.is_multiple_of(2) { "permit" } else { "forbid" };
    format!(
        "@id(\"watched.{number}\")\n@reason(\"for a test\")\n{effect} (\n  principal is Gate::Anonymous,\n  action == Gate::Action::\"GET\",\n  \
         resource == Gate::Path::\"{PATH}\"\n);\n"
    )
}

fn up(project: &Project, origin: &str, more: &[&str]) -> Up {
    let up = project.up(&[&["--watch", "--origin", origin], more].concat());
    up.said("watching `policies` and ", 1);
    up
}

fn url(origin: &Origin) -> String {
    format!("http://{}", origin.addr)
}

fn start() -> Origin {
    Origin::start(([127, 0, 0, 1], 0).into())
}

/// Saves as many editors do: beside the file, then over it.
fn save(project: &Project, name: &str, text: &str) {
    let beside = format!("{name}.new~");
    let beside = beside.rsplit_once('/').map(|(folder, file)| format!("{folder}/.{file}")).unwrap();
    project.write(&beside, text);
    std::fs::rename(project.path(&beside), project.path(name)).unwrap();
}

/// The digest in a line that says what is live.
fn digest(line: &str) -> String {
    let (_, rest) = line.split_once("policy digest ").unwrap_or_else(|| panic!("{line}"));
    rest.split([',', ' ']).next().unwrap().to_owned()
}

fn status(up: &Up) -> u16 {
    Request::get(PATH).send(up.addr).status
}

/// Ends what goes on beside a test, whatever happens in it.
struct Over<'a>(&'a AtomicBool);

impl Drop for Over<'_> {
    fn drop(&mut self) {
        self.0.store(true, Relaxed);
    }
}

#[test]
fn two_thousand_requests_across_ten_swaps_lose_nothing_and_each_is_answered_by_one_gate() {
    const SWAPS: usize = 10;
    const REQUESTS: usize = 2_000;
    let (project, origin) = (Project::new(), start());
    project.write("policies/watched.cedar", &policy(0));
    let up = up(&project, &url(&origin), &[]);
    let first = up.greeting.iter().find(|line| line.starts_with("policy digest ")).map(|line| digest(line)).unwrap();

    let (over, asked) = (AtomicBool::new(false), AtomicUsize::new(0));
    let answers: Mutex<Vec<Vec<Response>>> = Mutex::default();
    let lines = std::thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(|| {
                let mut connection = Connection::open(up.addr);
                let mut own = vec![];
                while !over.load(Relaxed) {
                    own.push(connection.ask(&Request::get(PATH)));
                    asked.fetch_add(1, Relaxed);
                }
                answers.lock().unwrap().push(own);
            });
        }
        let _over = Over(&over);
        let mut lines = vec![];
        for number in 1..=SWAPS {
            let before = asked.load(Relaxed);
            if number.is_multiple_of(3) {
                project.write("policies/watched.cedar", &policy(number));
            } else {
                save(&project, "policies/watched.cedar", &policy(number));
            }
            lines = up.said("live after ", number);
            // Some are asked of each, and of all together as many as were promised. What was under way when it went live does not count:
            // one request of each caller.
            let enough = (before + REQUESTS / SWAPS).max(asked.load(Relaxed) + 4);
            let deadline = Instant::now() + Duration::from_secs(60);
            while asked.load(Relaxed) < enough {
                assert!(Instant::now() < deadline, "callers are not answered");
                std::thread::sleep(Duration::from_millis(2));
            }
        }
        lines
    });
    let digests: Vec<String> = [first].into_iter().chain(lines.iter().map(|line| digest(line))).collect();
    let answers = answers.into_inner().unwrap();
    let count: usize = answers.iter().map(Vec::len).sum();
    assert!(answers.len() == 2 && count >= REQUESTS, "{count}");

    let (records, said) = up.stop();
    let records: Vec<Value> = records.iter().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(records.len(), count, "one record for each answer");
    let by_id: BTreeMap<&str, &Value> = records.iter().map(|record| (record["decision_id"].as_str().unwrap(), record)).collect();
    let mut served = vec![0_usize; digests.len()];
    for own in &answers {
        let mut last = 0;
        for answer in own {
            let record = by_id[answer.header("cedargate-decision-id").unwrap()];
            let number = digests.iter().position(|digest| record["policy_digest"] == digest.as_str()).unwrap();
            let allowed = number.is_multiple_of(2);
            assert_eq!(record["policies"][0]["id"], format!("watched.{number}"), "{record}");
            assert_eq!((answer.status == 200, record["decision"] == "allow"), (allowed, allowed), "{record}");
            assert_eq!(record["status"], answer.status, "{record}");
            assert!(number >= last, "a caller never goes back to a gate that was replaced");
            last = number;
            served[number] += 1;
        }
    }
    assert!(served.iter().all(|count| *count > 0), "{served:?}");
    assert!(!said.iter().any(|line| line.starts_with("not live") || line.contains("no answer") || line.contains("failed")), "{said:#?}");
}

#[test]
fn what_is_broken_or_fails_its_tests_never_goes_live_and_what_is_mended_does() {
    let (project, origin) = (Project::new(), start());
    project.write("policies/watched.cedar", &policy(0));
    let up = up(&project, &url(&origin), &[]);
    assert_eq!(status(&up), 200);
    let live = digest(up.greeting.iter().find(|line| line.starts_with("policy digest ")).unwrap());

    // A slip.
    project.write("policies/watched.cedar", &policy(1).replace("forbid (", "forbidd ("));
    let line = up.said("not live: ", 1).remove(0);
    assert_eq!(line, format!("not live: the gate with policy digest {live} goes on"));
    let said = up.so_far();
    assert!(said.contains("changed: policies/watched.cedar\n"), "{said}");
    assert!(said.contains("policies/watched.cedar:3:1: error[policy.syntax]") && said.contains("1 problem in 1 file"), "{said}");
    assert_eq!(status(&up), 200);

    // Mended, as it was meant.
    save(&project, "policies/watched.cedar", &policy(1));
    let line = up.said("live after ", 1).remove(0);
    assert!(line.contains(" s: policy digest ") && line.contains(" tests passed"), "{line}");
    assert_eq!(status(&up), 401);
    assert_eq!(up.records(3)[2]["policy_digest"], digest(&line));
    assert!(project.path(&format!(".cedargate/archive/{}/policies/watched.cedar", digest(&line))).is_file());

    // Valid, and not what the tests say.
    let freeze = "@id(\"documents.freeze\")\n@reason(\"none\")\nforbid (principal, action, resource is Gate::Document);\n";
    project.write("policies/freeze.cedar", freeze);
    assert_eq!(digest(&up.said("not live: ", 2).remove(1)), digest(&line));
    let said = up.so_far();
    assert!(said.contains("FAIL policies/tests/documents.yaml:") && said.contains("forbid documents.freeze applies"), "{said}");
    assert_eq!(status(&up), 401);

    // A file that goes.
    std::fs::remove_file(project.path("policies/freeze.cedar")).unwrap();
    assert_eq!(digest(&up.said("live as before: ", 1).remove(0)), digest(&line));
    std::fs::remove_file(project.path("policies/watched.cedar")).unwrap();
    up.said("live after ", 2);
    assert_eq!(status(&up), 401, "nothing permits it");
    // And one that comes.
    project.write("policies/new.cedar", &policy(2));
    let line = up.said("live after ", 3).remove(2);
    assert_eq!(status(&up), 200);

    // A test alone changes nothing that is served, and is run.
    let tests = "version: 1\ntests:\n  - { name: one more, request: GET /watched, expect: allow }\n";
    project.write("policies/tests/watched.yaml", tests);
    let again = up.said("live as before: ", 2).remove(1);
    assert_eq!(digest(&again), digest(&line));
    let tests = |line: &str| line.rsplit(", ").next().unwrap().split(' ').next().unwrap().parse::<usize>().unwrap();
    assert_eq!(tests(&again), tests(&line) + 1);
    let (_, said) = up.stop();
    assert!(!said.iter().any(|line| line.starts_with("error: changes are no longer watched")), "{said:#?}");
    // What went live last is what the next start finds.
    let up = project.up(&["--origin", &url(&origin)]);
    assert!(up.greeting.iter().any(|said| said.contains(&digest(&line)) && said.contains("not changed since")), "{:#?}", up.greeting);
}

#[test]
fn an_issuer_whose_key_is_rotated_goes_live() {
    let (project, origin) = (Project::new(), start());
    copy(&root().join("tests/gate/keys"), &project.path("suite"));
    let now = NOW.to_string();
    let up = up(&project, &url(&origin), &["--keys", "suite", "--now", &now]);
    let token = |key: Key| Token::dev(NOW, "alice").groups(&["readers"]).key(key).make();
    let status = |key: Key| Request::get("/api/documents/1").bearer(&token(key)).send(up.addr).status;
    assert_eq!((status(Key::Ed), status(Key::Stranger)), (200, 401));
    let x = |key: Key| public_jwk("EdDSA", key)["x"].as_str().unwrap().to_owned();
    project.edit("suite/dev.jwks.json", &x(Key::Ed), &x(Key::Stranger));
    up.said("live after ", 1);
    assert_eq!((status(Key::Ed), status(Key::Stranger)), (401, 200));

    // A private key among them is refused, as ever.
    project.write("suite/slip.pem", "-----BEGIN PRIVATE KEY-----\nMC4CAQAwBQYDK2VwBCIEIA==\n-----END PRIVATE KEY-----\n");
    up.said("not live: ", 1);
    assert!(up.so_far().contains("suite/slip.pem:1:12: error[key.private]"), "{}", up.so_far());
    assert_eq!((status(Key::Ed), status(Key::Stranger)), (401, 200));
}

#[test]
fn development_keys_that_are_made_anew_go_live() {
    let (project, origin) = (Project::new(), start());
    let up = up(&project, &url(&origin), &["--dev"]);
    let status = |token: &str| Request::get("/api/documents/1").bearer(token.trim()).send(up.addr).status;
    let old = project.run(&["token", "--group", "readers"]).ok();
    assert_eq!(status(&old), 200);
    std::fs::remove_dir_all(project.path("keys/dev")).unwrap();
    up.said("not live: ", 1);
    assert!(up.so_far().contains("there are no development keys in `keys/dev`"), "{}", up.so_far());
    assert_eq!(status(&old), 200);
    let new = project.run(&["token", "--group", "readers"]).ok();
    up.said("live after ", 1);
    assert_eq!((status(&old), status(&new)), (401, 200));
}

#[test]
fn a_folder_that_goes_and_comes_back_is_no_end_of_anything() {
    let (project, origin) = (Project::new(), start());
    project.write("policies/watched.cedar", &policy(0));
    let up = up(&project, &url(&origin), &[]);
    std::fs::rename(project.path("policies"), project.path("elsewhere")).unwrap();
    up.said("not live: ", 1);
    assert!(up.so_far().contains("the folder `policies` does not exist"), "{}", up.so_far());
    assert_eq!(status(&up), 200);
    project.write("elsewhere/watched.cedar", &policy(1));
    std::fs::rename(project.path("elsewhere"), project.path("policies")).unwrap();
    up.said("live after ", 1);
    assert_eq!(status(&up), 401);
}

#[test]
fn a_request_in_flight_is_finished_by_the_gate_that_began_it() {
    let project = Project::new();
    project.write("policies/watched.cedar", &policy(0));
    // An origin whose answer goes on, piece by piece, until it is told to end it.
    let origin = TcpListener::bind("127.0.0.1:0").unwrap();
    let up = up(&project, &format!("http://{}", origin.local_addr().unwrap()), &[]);
    let mut client = TcpStream::connect(up.addr).unwrap();
    client.write_all(&Request::get(PATH).bytes()).unwrap();
    let (mut held, _) = origin.accept().unwrap();
    let mut head = vec![];
    while !head.ends_with(b"\r\n\r\n") {
        let mut byte = [0];
        assert_eq!(held.read(&mut byte).unwrap(), 1);
        head.push(byte[0]);
    }
    held.write_all(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n").unwrap();
    let over = AtomicBool::new(false);
    let (line, pieces) = std::thread::scope(|scope| {
        let pieces = scope.spawn(|| {
            let mut pieces = 0;
            while !over.load(Relaxed) {
                held.write_all(b"1\r\nx\r\n").unwrap();
                pieces += 1;
                std::thread::sleep(Duration::from_millis(20));
            }
            held.write_all(b"0\r\n\r\n").unwrap();
            pieces
        });
        let ended = Over(&over);
        save(&project, "policies/watched.cedar", &policy(1));
        let line = up.said("live after ", 1).remove(0);
        assert_eq!(status(&up), 401);
        drop(ended);
        (line, pieces.join().unwrap())
    });
    let mut answer = vec![];
    client.read_to_end(&mut answer).unwrap();
    // It panics where a body breaks off.
    let answer = parse(&answer, false);
    assert_eq!((answer.status, answer.body.len()), (200, pieces));
    let records = up.records(2);
    let first = records.iter().find(|record| record["decision_id"] == answer.header("cedargate-decision-id").unwrap()).unwrap();
    assert_eq!((&first["policies"][0]["id"], &first["decision"]), (&"watched.0".into(), &"allow".into()));
    assert_ne!(first["policy_digest"], digest(&line));
    assert!(records.iter().any(|record| record["policy_digest"] == digest(&line)));
}

#[test]
fn changes_that_come_all_at_once_or_while_one_is_sealed_all_go_live() {
    let (project, origin) = (Project::new(), start());
    project.write("policies/watched.cedar", &policy(0));
    let up = up(&project, &url(&origin), &[]);
    // As when another branch is checked out; and without waiting for any of it to go live.
    for round in 1..=5 {
        for file in 0..20 {
            let text = policy(round).replace(PATH, &format!("{PATH}/{file}")).replace("watched.", &format!("watched.{file}."));
            project.write(&format!("policies/more-{file}.cedar"), &text);
        }
        save(&project, "policies/watched.cedar", &policy(round));
        if round == 3 {
            up.said("changed: ", 1);
        }
    }
    // The last of them is what there is in the end, however many were skipped.
    let project_digest = project.run(&["check"]).ok();
    let (_, expected) = project_digest.trim().rsplit_once(' ').unwrap();
    let mut count = 1;
    while digest(up.said("live after ", count).last().unwrap()) != expected {
        count += 1;
    }
    assert!(count <= 6, "{count}");
    assert_eq!(status(&up), 401);
}

#[test]
fn watching_needs_something_to_seal_with() {
    let project = Project::new();
    for (args, parts) in [
        (&["up", "--watch", "--base", "none.wasm"][..], &["the base component `none.wasm` cannot be read", "--base FILE"][..]),
        (&["up", "--watch", "--component", "gate.wasm"], &["--watch", "cannot be used with", "--component"]),
        (&["up", "--watch", "--no-seal"], &["--watch", "cannot be used with", "--no-seal"]),
    ] {
        let said = project.run(args).failed(1);
        assert!(parts.iter().all(|part| said.contains(part)), "{args:?}: {said}");
    }
}
