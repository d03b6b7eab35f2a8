//! The revocation list: each kind of thing that can be cut off, over the endpoint and with the command, and that nothing
//! gets in when the list cannot be asked.

use std::collections::BTreeSet;
use std::sync::OnceLock;
use std::time::Duration;

use cedargate::bundle::Digest;
use cedargate::host::key_value::{KeyValue, Store};
use cedargate::host::{InstanceLimits, Manifest};
use cedargate::identity::Target;
use rcgen::{CertifiedKey, generate_simple_self_signed};
use serde_json::{Value, json};

use super::mtls;
use super::support::client::{Request, Response};
use super::support::gate::{Expect, Gate, NOW, Setup, bundle, root};
use super::support::origin::Origin;
use super::support::pki::{Authority, Form, Subject, pem};
use super::support::process::{Ended, Project, ended, sealed_file};
use super::support::token::{DEV_ISS, PARTNER_ISS, Token};

const PATH: &str = "/api/documents/1";
const LIST: &str = "/.well-known/cedargate/revocations";
/// How long the gates here believe what they read, in milliseconds.
const CACHE: &str = "50";

fn origin() -> Origin {
    Origin::start(([127, 0, 0, 1], 0).into())
}

fn setup() -> Setup {
    Setup::new(&bundle()).variable("revocation_cache_ms", CACHE)
}

/// One that every request is a new instance of.
fn forgetful(mut setup: Setup) -> Setup {
    setup.limits = InstanceLimits { max_reuse: 1, ..InstanceLimits::default() };
    setup
}

/// One whose instances live through a test.
fn lasting(mut setup: Setup) -> Setup {
    setup.limits = InstanceLimits { max_reuse: 10_000, idle_timeout: Duration::from_secs(600), ..InstanceLimits::default() };
    setup
}

/// The gate of all tests that cut off nobody but their own callers.
fn gate() -> &'static Gate {
    static GATE: OnceLock<Gate> = OnceLock::new();
    GATE.get_or_init(|| setup().start(&origin()))
}

/// Stores as the manifest allows them, to be shared by gates and looked at.
fn stores() -> (KeyValue, Store) {
    let manifest = Manifest::read(&root().join("spin.toml")).unwrap();
    let app = manifest.resolve(&[("origin".to_owned(), "http://127.0.0.1:1".to_owned())].into_iter().collect(), |_| None).unwrap();
    let all = KeyValue::memory(app.key_value_stores).unwrap();
    let store = all.open("default").unwrap();
    (all, store)
}

/// A caller of the `dev` issuer who may read.
fn caller(subject: &str) -> Token {
    Token::dev(NOW, subject).groups(&["readers"]).claim("sid", json!(format!("sid-{subject}")))
}

fn ask(token: &Token) -> Request {
    Request::get(PATH).bearer(&token.make())
}

fn admin() -> Token {
    Token::dev(NOW, "carol").groups(&["admins"])
}

fn sent(method: &str, token: &Token, body: impl Into<Vec<u8>>) -> Request {
    Request::new(method, LIST).bearer(&token.make()).header("Content-Type", "application/json").body(body)
}

/// Changes the list and waits until the gate promises that everybody knows. Nothing is hoped for: from then on a request must
/// be decided by the new list.
fn change(gate: &Gate, method: &str, body: &Value) -> (Response, Value) {
    let response = sent(method, &admin(), body.to_string()).send(gate.addr);
    assert_eq!(response.status, if method == "POST" { 201 } else { 200 }, "{body}: {response:?}");
    let record = gate.record_of(&response).expect("a gate of this process");
    assert_eq!((&record["decision"], &record["reason"]), (&json!("allow"), &json!("policy.permit")), "{record}");
    let within = response.json()["effective_within_ms"].as_u64().expect("how long it takes");
    std::thread::sleep(Duration::from_millis(within));
    (response, record)
}

fn revoked(gate: &Gate, name: &str, token: &Token) {
    let answer = gate.check(name, &ask(token), &Expect::refused(401, "jwt.revoked"));
    assert_eq!(answer.response.code(), "invalid_token", "{name}");
}

fn passes(gate: &Gate, name: &str, token: &Token) {
    gate.check(name, &ask(token), &Expect::allowed());
}

#[test]
fn each_kind_is_cut_off_within_the_cache_time_and_let_in_again() {
    let who = caller("kinds");
    let neighbour = caller("kinds-neighbour");
    for body in [
        json!({"token_id": {"issuer": "dev", "jti": "jti-kinds"}}),
        json!({"token_id": {"issuer": DEV_ISS, "jti": "jti-kinds"}, "expires_at": NOW + 600}),
        json!({"session": {"issuer": "dev", "sid": "sid-kinds"}}),
        json!({"subject": {"issuer": "dev", "sub": "kinds"}}),
        json!({"subject": {"issuer": "dev", "sub": "kinds", "issued_before": NOW}}),
    ] {
        let name = body.to_string();
        passes(gate(), &name, &who);
        let (response, _) = change(gate(), "POST", &body);
        let told = response.json();
        assert_eq!(told["effective_within_ms"], 50);
        assert_eq!(response.header("cache-control"), Some("no-store"));
        revoked(gate(), &name, &who);
        passes(gate(), &name, &neighbour);
        // A new token of the same caller, of another session, issued since.
        let since = caller("kinds").claim("jti", json!("new")).claim("sid", json!("new")).claim("iat", json!(NOW));
        let spared = body.get("subject").is_none_or(|subject| subject.get("issued_before").is_some());
        if spared {
            passes(gate(), &name, &since)
        } else {
            revoked(gate(), &name, &since)
        }

        let mut undo = body.clone();
        undo.as_object_mut().unwrap().remove("expires_at");
        if let Some(subject) = undo.get_mut("subject") {
            subject.as_object_mut().unwrap().remove("issued_before");
        }
        let (back, _) = change(gate(), "DELETE", &undo);
        assert_eq!((&back.json()["restored"], &back.json()["id"]), (&told["revoked"], &told["id"]));
        passes(gate(), &name, &who);
    }
}

#[test]
fn a_whole_issuer_is_cut_off_and_no_other() {
    let gate = setup().start(&origin());
    let partner = || Token::partner(NOW, "svc-1").scope("documents.read");
    passes(&gate, "control", &partner());
    change(&gate, "POST", &json!({"issuer": {"issuer": PARTNER_ISS}}));
    revoked(&gate, "the partner", &partner());
    passes(&gate, "another issuer", &caller("alice"));
    change(&gate, "DELETE", &json!({"issuer": {"issuer": "partner"}}));
    passes(&gate, "again", &partner());

    // Their own issuer too: then the token of whoever did it no longer counts either, but a new one does.
    change(&gate, "POST", &json!({"issuer": {"issuer": "dev", "issued_before": NOW}}));
    gate.check(
        "the administrator's old token",
        &sent("DELETE", &admin(), r#"{"issuer": {"issuer": "dev"}}"#),
        &Expect::refused(401, "jwt.revoked"),
    );
    revoked(&gate, "an old token", &caller("alice"));
    revoked(&gate, "a token that does not tell its age", &caller("alice").claim("iat", Value::Null));
    passes(&gate, "a new token", &caller("alice").claim("iat", json!(NOW)));
    let response = sent("DELETE", &admin().claim("iat", json!(NOW)), r#"{"issuer": {"issuer": "dev"}}"#).send(gate.addr);
    assert_eq!(response.status, 200, "{response:?}");
    std::thread::sleep(Duration::from_millis(50));
    passes(&gate, "an old token again", &caller("alice"));
}

#[test]
fn a_certificate_is_cut_off_and_its_sibling_is_not() {
    let gate = Setup::new(&mtls::workloads()).variable("revocation_cache_ms", CACHE).start(&origin());
    let suite = Authority::suite();
    let [one, two] = [0x0a1b_u64, 0x0a1c].map(|serial| Subject::workload(NOW, "cut-off").serial(serial).issued_by(&suite));
    let present = |der: &[u8]| Form::Rfc9440.send(Request::get("/machines"), &[der]);
    let (_, parsed) = x509_parser::parse_x509_certificate(&one.der).unwrap();
    let issuer_digest = Digest::of(parsed.issuer().as_raw()).to_string();
    // As `openssl x509 -serial` prints it.
    let target = json!({"certificate": {"issuer_digest": issuer_digest, "serial": "0A1B"}});
    gate.check("control", &present(&one.der), &Expect::allowed());
    change(&gate, "POST", &target);
    let answer = gate.check("revoked", &present(&one.der), &Expect::refused(401, "mtls.revoked"));
    answer.with_record(|record| {
        assert_eq!(
            (&record["credentials"][0]["kind"], &record["credentials"][0]["reason"]),
            (&json!("certificate"), &json!("mtls.revoked"))
        );
    });
    gate.check("its sibling", &present(&two.der), &Expect::allowed());
    change(&gate, "DELETE", &target);
    gate.check("again", &present(&one.der), &Expect::allowed());
}

#[test]
fn records_say_what_was_changed_and_why_somebody_was_refused() {
    let who = caller("recorded");
    passes(gate(), "control", &who);
    let body = json!({"token_id": {"issuer": "dev", "jti": "jti-recorded"}, "expires_at": NOW + 600, "reason": "laptop lost\n"});
    let (response, record) = change(gate(), "POST", &body);
    let id = response.json()["id"].as_str().unwrap().to_owned();
    assert_eq!(record["change"], format!("revoked token_id {id}, expires_at {}: laptop lost\\u{{a}}", NOW + 600));
    assert_eq!(record["cedar"]["action"], r#"Gate::Action::"revoke""#);
    assert_eq!(record["cedar"]["principal"], r#"Gate::User::"dev/carol""#);
    assert_eq!(record["policies"][0]["id"], "admin.revoke");
    assert_eq!(record["status"], 201);
    // Nothing in it says whose token it was.
    assert!(!record.to_string().contains("recorded"), "{record}");

    let refused = gate().check("refused", &ask(&who), &Expect::refused(401, "jwt.revoked"));
    let decision = response.header("cedargate-decision-id").unwrap().to_owned();
    refused.with_record(|record| {
        assert_eq!(record["detail"], format!("token_id revoked by decision {decision}: laptop lost\\n"));
        assert_eq!((&record["credentials"][0]["fate"], &record["credentials"][0]["reason"]), (&json!("refused"), &json!("jwt.revoked")));
        assert!(record.get("change").is_none());
    });
}

#[test]
fn gates_that_share_a_store_share_the_list() {
    let (shared, store) = stores();
    let origin = origin();
    let here = setup().key_value(&shared).start(&origin);
    let there = setup().key_value(&shared).start(&origin);
    let fresh = forgetful(setup()).key_value(&shared).start(&origin);
    let apart = setup().start(&origin);
    let who = caller("alice");
    for gate in [&here, &there, &fresh, &apart] {
        passes(gate, "control", &who);
    }
    // An empty list has not even a version: nothing was written by being asked.
    assert_eq!(store.keys().unwrap(), Vec::<String>::new());
    let target = json!({"subject": {"issuer": "dev", "sub": "alice"}});
    change(&here, "POST", &target);
    for gate in [&here, &there, &fresh] {
        revoked(gate, "revoked elsewhere", &who);
    }
    passes(&apart, "another store", &who);
    assert!(store.keys().unwrap().iter().all(|key| !key.contains("alice")), "{:?}", store.keys());
    change(&there, "DELETE", &target);
    for gate in [&here, &there, &fresh] {
        passes(gate, "taken back elsewhere", &who);
    }
}

#[test]
fn the_cache_is_what_it_is_said_to_be() {
    let (shared, _) = stores();
    let origin = origin();
    let slow = lasting(Setup::new(&bundle()).variable("revocation_cache_ms", "60000")).key_value(&shared).start(&origin);
    let never = lasting(Setup::new(&bundle()).variable("revocation_cache_ms", "0")).key_value(&shared).start(&origin);
    let who = caller("alice");
    let bob = caller("bob");
    for token in [&who, &bob] {
        passes(&slow, "control", token);
        passes(&never, "control", token);
    }
    let (response, _) = change(&never, "POST", &json!({"subject": {"issuer": "dev", "sub": "alice"}}));
    assert_eq!(response.json()["effective_within_ms"], 0);
    revoked(&never, "without a cache", &who);
    // It read a second ago that there is no list: that is what a cache of a minute means.
    passes(&slow, "within the cache time", &who);
    // What it changes itself it knows at once, and all of the list with it.
    let response = sent("POST", &admin(), r#"{"subject": {"issuer": "dev", "sub": "bob"}}"#).send(slow.addr);
    assert_eq!((response.status, &response.json()["effective_within_ms"]), (201, &json!(60_000)));
    revoked(&slow, "its own change", &bob);
    revoked(&slow, "the change before", &who);
    // Whoever says nothing has a second.
    let default = Setup::new(&bundle()).start(&origin);
    passes(&default, "control", &bob);
    let (response, _) = change(&default, "POST", &json!({"subject": {"issuer": "dev", "sub": "bob"}}));
    assert_eq!(response.json()["effective_within_ms"], 1_000);
    revoked(&default, "after a second", &bob);
}

#[test]
fn only_those_who_may_change_the_list() {
    let body = r#"{"token_id": {"issuer": "dev", "jti": "jti-guarded"}}"#;
    let who = caller("guarded");
    for method in ["POST", "DELETE"] {
        let anonymous = Request::new(method, LIST).header("Content-Type", "application/json").body(body);
        let answer = gate().check("anonymous", &anonymous, &Expect::refused(401, "policy.no_permit"));
        assert_eq!(answer.response.code(), "unauthenticated");
        for token in [caller("alice"), Token::dev(NOW, "bob").groups(&["writers", "auditors"]).scope("documents.write orders.write")] {
            gate().check("not an administrator", &sent(method, &token, body), &Expect::refused(403, "policy.no_permit"));
        }
        let expired = admin().claim("exp", json!(NOW - 100));
        gate().check("an expired administrator", &sent(method, &expired, body), &Expect::refused(401, "jwt.expired"));
    }
    passes(gate(), "nothing was changed", &who);
    let answer =
        gate().check("another method", &Request::get(LIST).bearer(&admin().make()), &Expect::refused(405, "gate.method_not_allowed"));
    assert_eq!(answer.response.header("allow"), Some("POST, DELETE"));
    // The control: the same body from one who may.
    change(gate(), "POST", &serde_json::from_str(body).unwrap());
    revoked(gate(), "changed", &who);
}

#[test]
fn a_body_that_is_not_understood_changes_nothing_and_says_what_is_wrong() {
    let control = r#"{"token_id": {"issuer": "dev", "jti": "jti-bodies"}, "expires_at": 1799835000, "reason": "lost"}"#;
    let cases: Vec<(String, &str)> = vec![
        (String::new(), "the body is not JSON, at byte 0"),
        ("[]".into(), "the body is not a JSON object"),
        (control.replace("\"reason\"", "\"why\""), "the body has no member `why`: known are"),
        (control.replace("\"reason\"", "\"jti\": 1, \"reason\""), "the body has no member `jti`"),
        (control.replace("\"reason\"", "\"expires_at\": 1, \"reason\""), "`expires_at` occurs twice"),
        (control.replace("\"jti\"", "\"jit\""), "`token_id` has no `jti`"),
        (control.replace("\"jti-bodies\"", "1"), "`jti` of `token_id` is not a string"),
        (control.replace("\"dev\"", "\"nobody\""), "`token_id.issuer` is neither the name nor the `iss` of a configured issuer"),
        (control.replace("1799835000", "\"tomorrow\""), "`expires_at` of the body is not a time"),
        (control.replace("1799835000", "1799834000"), "`expires_at` has passed"),
        (control.replace("\"lost\"", "[]"), "`reason` of the body is not a string"),
        (control.replace("\"reason\"", "\"session\": {}, \"reason\""), "exactly one of"),
        (format!("{}1{}", "[".repeat(40), "]".repeat(40)), "nested too deeply"),
    ];
    for (body, says) in &cases {
        assert_ne!(body, control);
        let answer = gate().check(body, &sent("POST", &admin(), body.as_str()), &Expect::refused(400, "gate.body_invalid"));
        assert_eq!(answer.response.code(), "gate.body_invalid");
        let detail = answer.response.json()["detail"].as_str().unwrap().to_owned();
        assert!(detail.contains(says), "{body}: {detail}");
        answer.with_record(|record| assert!(record["detail"].as_str().unwrap().contains(says), "{record}"));
    }
    for media_type in ["text/plain", "application/x-www-form-urlencoded", "application/jsonp"] {
        let request = Request::new("POST", LIST).bearer(&admin().make()).header("Content-Type", media_type).body(control);
        gate().check(media_type, &request, &Expect::refused(400, "gate.body_invalid"));
    }
    let none = Request::new("POST", LIST).bearer(&admin().make()).body(control);
    gate().check("no content-type", &none, &Expect::refused(400, "gate.body_invalid"));
    let large = control.replace("lost", &"x".repeat(20_000));
    let answer = gate().check("too large", &sent("POST", &admin(), large), &Expect::refused(413, "gate.body_too_large"));
    assert_eq!(answer.response.code(), "gate.body_too_large");
    let dated = r#"{"subject": {"issuer": "dev", "sub": "bodies", "issued_before": 5}}"#;
    gate().check("a date for taking back", &sent("DELETE", &admin(), dated), &Expect::refused(400, "gate.body_invalid"));

    passes(gate(), "nothing was changed", &caller("bodies"));
    let control =
        Request::new("POST", LIST).bearer(&admin().make()).header("Content-Type", "Application/JSON; charset=utf-8").body(control);
    assert_eq!(control.send(gate().addr).status, 201);
    std::thread::sleep(Duration::from_millis(50));
    revoked(gate(), "the control", &caller("bodies"));
}

#[test]
fn taking_back_what_was_not_revoked_is_not_found() {
    let target = json!({"token_id": {"issuer": "dev", "jti": "jti-nothing"}});
    let undo = || sent("DELETE", &admin(), target.to_string());
    gate().check("never revoked", &undo(), &Expect::refused(404, "gate.not_found"));
    change(gate(), "POST", &target);
    change(gate(), "DELETE", &target);
    gate().check("taken back before", &undo(), &Expect::refused(404, "gate.not_found"));
}

#[test]
fn a_store_that_cannot_be_asked_refuses_every_credential() {
    let origin = origin();
    let body = r#"{"token_id": {"issuer": "dev", "jti": "x"}}"#;
    // A store the manifest does not allow.
    let gate = setup().variable("key_value_store", "elsewhere").start(&origin);
    let answer = gate.check("a token", &ask(&caller("alice")), &Expect::refused(503, "system.store_unavailable"));
    assert_eq!(answer.response.code(), "unavailable");
    gate.check("an administrator", &sent("POST", &admin(), body), &Expect::refused(503, "system.store_unavailable"));
    gate.check("nobody", &Request::get("/health"), &Expect::allowed());
    // Nothing of a token that does not verify is asked about.
    gate.check("an expired token", &ask(&caller("alice").claim("exp", json!(NOW - 100))), &Expect::refused(401, "jwt.expired"));

    // The deployment's own choice: without a store nothing can be revoked, and nobody is told otherwise.
    let none = setup().variable("key_value_store", "").start(&origin);
    passes(&none, "no store", &caller("alice"));
    none.check("no store", &sent("POST", &admin(), body), &Expect::refused(503, "system.store_unavailable"));

    let control = setup().start(&origin);
    passes(&control, "control", &caller("alice"));
    assert_eq!(sent("POST", &admin(), body).send(control.addr).status, 201);
}

#[test]
fn an_entry_ends_with_what_it_revokes_and_is_then_removed() {
    let (shared, store) = stores();
    let origin = origin();
    let at = |now: i64| Setup { now: Some(now), ..setup() }.key_value(&shared).start(&origin);
    let who = |now: i64| Token::dev(now, "alice").groups(&["readers"]);
    let ends = NOW + 300;
    let key = Target::TokenId { issuer: DEV_ISS.into(), jti: "jti-alice".into() }.key();

    change(&at(NOW), "POST", &json!({"token_id": {"issuer": "dev", "jti": "jti-alice"}, "expires_at": ends}));
    assert!(store.exists(&key).unwrap());
    for now in [NOW, ends, ends + 60] {
        revoked(&at(now), &format!("{now}"), &who(now));
    }
    // Leeway of 60 seconds, which is the most any issuer may have, is over.
    let now = ends + 61;
    passes(&at(now), "over", &who(now));
    assert!(store.exists(&key).unwrap(), "kept for gates whose clock is behind");
    let undo = sent("DELETE", &Token::dev(ends + 61, "carol").groups(&["admins"]), r#"{"token_id": {"issuer": "dev", "jti": "other"}}"#);
    at(now).check("control", &undo, &Expect::refused(404, "gate.not_found"));

    let now = ends + 61 + 86_400;
    passes(&at(now), "over for a day", &who(now));
    assert!(!store.exists(&key).unwrap(), "{:?}", store.keys());
    // What was over can be revoked again.
    change(&at(NOW), "POST", &json!({"token_id": {"issuer": "dev", "jti": "jti-alice"}}));
    revoked(&at(now), "revoked again", &who(now));
}

#[test]
fn an_entry_that_cannot_be_read_revokes() {
    let (shared, store) = stores();
    let gate = forgetful(setup()).key_value(&shared).start(&origin());
    let key = Target::Subject { issuer: DEV_ISS.into(), subject: "alice".into() }.key();
    passes(&gate, "control", &caller("alice"));
    store.set("revocations/version", b"1").unwrap();
    passes(&gate, "a list without entries", &caller("alice"));
    for bytes in [&b""[..], b"{}", b"\xff", br#"{"v":2}"#, &[b' '; 100_000]] {
        store.set(&key, bytes).unwrap();
        revoked(&gate, "unreadable", &caller("alice"));
        passes(&gate, "somebody else", &caller("bob"));
    }
    // Revoking over it never lets anything in that it kept out; taking it back does.
    change(&gate, "POST", &json!({"subject": {"issuer": "dev", "sub": "alice", "issued_before": 1}}));
    revoked(&gate, "revoked over it", &caller("alice"));
    change(&gate, "DELETE", &json!({"subject": {"issuer": "dev", "sub": "alice"}}));
    passes(&gate, "taken back", &caller("alice"));
}

#[test]
fn revoking_at_once_loses_nothing() {
    let (shared, store) = stores();
    let origin = origin();
    let gates = [forgetful(setup()), setup()].map(|setup| setup.key_value(&shared).start(&origin));
    let key = Target::Subject { issuer: DEV_ISS.into(), subject: "alice".into() }.key();
    for round in 0..3 {
        std::thread::scope(|scope| {
            for i in 0..8 {
                let gate = &gates[i % 2];
                let body = json!({"subject": {"issuer": "dev", "sub": "alice", "issued_before": NOW - 100 + i as i64}, "expires_at": NOW + 900 - i as i64});
                scope.spawn(move || {
                    let response = sent("POST", &admin(), body.to_string()).send(gate.addr);
                    assert_eq!(response.status, 201, "{response:?}");
                });
            }
        });
        let bytes = store.get(&key).unwrap().unwrap();
        // Before it stands what tells one write from another: `NUL cas1` and 16 random bytes.
        let entry: Value = serde_json::from_slice(&bytes[5 + 16..]).unwrap();
        assert_eq!((&entry["issued_before"], &entry["until"]), (&json!(NOW - 93), &json!(NOW + 900)), "round {round}: {entry}");
        let (gate, target) = (&gates[0], json!({"subject": {"issuer": "dev", "sub": "alice"}}));
        change(gate, "DELETE", &target);
        assert_eq!(store.keys().unwrap(), ["revocations/version"]);
    }
}

#[test]
fn requests_at_once_never_share_an_answer() {
    let (shared, _) = stores();
    // Read again all the time, by many requests of few instances.
    let gate = lasting(Setup::new(&bundle()).variable("revocation_cache_ms", "1")).key_value(&shared).start(&origin());
    change(&gate, "POST", &json!({"subject": {"issuer": "dev", "sub": "mallory"}}));
    let statuses: BTreeSet<(bool, u16)> = std::thread::scope(|scope| {
        let threads: Vec<_> = (0..16)
            .map(|i| {
                let (bad, gate) = (i % 2 == 0, &gate);
                let token = caller(if bad { "mallory" } else { "alice" });
                scope.spawn(move || (0..25).map(|_| (bad, ask(&token).send(gate.addr).status)).collect::<Vec<_>>())
            })
            .collect();
        threads.into_iter().flat_map(|thread| thread.join().unwrap()).collect()
    });
    assert_eq!(statuses, [(false, 200), (true, 401)].into());
}

/// The command with an administrator's token.
fn run(project: &Project, url: &str, args: &[&str]) -> Ended {
    project.write("admin.jwt", &format!("{}\n", admin().make()));
    project.run(&[&["revoke", "--gate", url, "--token-file", "admin.jwt"], args].concat())
}

#[test]
fn the_command_cuts_off_and_takes_back_at_a_running_gate() {
    let project = Project::new();
    let url = format!("http://{}", gate().addr);
    let who = caller("commanded");
    project.write("stolen.jwt", &who.make());
    passes(gate(), "control", &who);

    let said = run(&project, &url, &["--token", "stolen.jwt", "--reason", "stolen"]).ok();
    assert!(said.starts_with("revoked: token_id, until 2027-01-13T10:10:00Z\nevery gate knows within 50 ms\nentry "), "{said}");
    std::thread::sleep(Duration::from_millis(50));
    revoked(gate(), "revoked", &who);
    let said = run(&project, &url, &["--token", "stolen.jwt", "--undo"]).ok();
    assert!(said.starts_with("no longer revoked: token_id\n"), "{said}");
    std::thread::sleep(Duration::from_millis(50));
    passes(gate(), "taken back", &who);
    let said = run(&project, &url, &["--token", "stolen.jwt", "--undo"]).failed(1);
    assert!(said.contains("that is not revoked"), "{said}");

    let json =
        run(&project, &url, &["--issuer", "dev", "--subject", "commanded", "--issued-before", "2027-01-13T10:00:00Z", "--format", "json"]);
    let json: Value = serde_json::from_str(&json.ok()).unwrap();
    assert_eq!((&json["revoked"], &json["issued_before"]), (&json!("subject"), &json!(NOW)));
    assert!(json["decision_id"].is_string());
    std::thread::sleep(Duration::from_millis(50));
    revoked(gate(), "revoked", &who);

    // The gate knows no such certificate, and need not.
    let certificate = Subject::workload(NOW, "x").serial(7).issued_by(&Authority::suite());
    project.write("laptop.pem", &pem(&certificate.der));
    assert!(run(&project, &url, &["--certificate", "laptop.pem"]).ok().starts_with("revoked: certificate, until 2027-02-12T"));
}

#[test]
fn the_command_ends_with_what_went_wrong() {
    let project = Project::new();
    let url = format!("http://{}", gate().addr);
    project.write("alice.jwt", &caller("alice").make());
    let args = ["--issuer", "dev", "--jti", "jti-wrong"];
    let with = |file: &str, url: &str, more: &[&str]| project.run(&[&["revoke", "--gate", url, "--token-file", file], more].concat());

    let denied = with("alice.jwt", &url, &args).failed(2);
    assert!(denied.contains("may not revoke") && denied.contains("decision "), "{denied}");
    project.write("old.jwt", &admin().claim("exp", json!(NOW - 100)).make());
    assert!(with("old.jwt", &url, &args).failed(2).contains("does not accept your token"));
    let wrong = run(&project, &url, &["--issuer", "nobody", "--jti", "x"]).failed(1);
    assert!(wrong.contains("neither the name nor the `iss`"), "{wrong}");
    assert!(run(&project, &url, &[]).failed(1).contains("nothing to revoke"));
    assert!(with("missing.jwt", &url, &args).failed(1).contains("`missing.jwt`"));
    let nobody = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    assert!(run(&project, &format!("http://{nobody}"), &args).failed(1).contains("could not connect"));
    // Somebody else's server is not taken for a gate that agreed.
    assert!(run(&project, &format!("http://{}", gate().origin.addr), &args).failed(1).contains("is not a gate"));
    let mut command = project.command(&["revoke", "--gate", &url]);
    command.args(args).env_remove("CEDARGATE_TOKEN");
    assert!(ended(command).failed(1).contains("no token to show"));
    passes(gate(), "nothing was changed", &caller("wrong"));

    // The control, with the token in the environment; it is nowhere in what is said.
    let mut command = project.command(&["revoke", "--gate", &url]);
    command.args(args).env("CEDARGATE_TOKEN", admin().make());
    assert!(ended(command).ok().starts_with("revoked: token_id\n"));
    std::thread::sleep(Duration::from_millis(50));
    revoked(gate(), "the control", &caller("wrong"));
}

#[test]
fn the_command_speaks_tls_and_trusts_no_stranger() {
    let project = Project::new();
    let CertifiedKey { cert, signing_key } = generate_simple_self_signed(["127.0.0.1".to_owned()]).unwrap();
    project.write("cert.pem", &cert.pem());
    project.write("key.pem", &signing_key.serialize_pem());
    let origin = origin();
    let up = project.up(&[
        "--component",
        sealed_file().to_str().unwrap(),
        "--origin",
        &format!("http://{}", origin.addr),
        "--now",
        &NOW.to_string(),
        "--tls-cert",
        "cert.pem",
        "--tls-key",
        "key.pem",
    ]);
    let args = ["--issuer", "dev", "--jti", "x"];
    let stranger = run(&project, &up.url, &args).failed(1);
    assert!(stranger.contains("TLS: "), "{stranger}");
    assert!(run(&project, &up.url, &[&args[..], &["--ca", "cert.pem"]].concat()).ok().starts_with("revoked: token_id\n"));
}
