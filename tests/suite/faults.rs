//! When something is broken: every fault denies, says so in the record, and the gate stays up.

use std::net::{SocketAddr, TcpListener};
use std::time::{Duration, Instant};

use cedargate::bundle::Bundle;
use cedargate::decision::Reason;
use cedargate::host::{Compiled, RecordSink, engine};

use super::support::client::Request;
use super::support::gate::{Expect, Gate, Setup, base, bundle};
use super::support::origin::Origin;
use super::support::token::Token;

const PATH: &str = "/api/documents/1";

fn origin() -> Origin {
    Origin::start(([127, 0, 0, 1], 0).into())
}

fn good(gate: &Gate) -> Request {
    Request::get(PATH).bearer(&Token::dev(gate.now(), "alice").groups(&["readers"]).make())
}

/// An address where nobody listens.
fn nobody() -> SocketAddr {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap()
}

#[test]
fn an_unsealed_component_denies_everything() {
    let setup = Setup::of(Compiled::new(&engine().unwrap(), base()).unwrap());
    let gate = setup.start(&origin());
    for request in [good(&gate), Request::get("/health"), Request::get("/.well-known/cedargate/health"), Request::get("//")] {
        gate.check("unsealed", &request, &Expect::refused(503, "system.unsealed"));
    }
    assert_eq!(gate.origin.count(), 0);
}

#[test]
fn a_clock_that_was_never_set_denies() {
    let gate = Setup { now: Some(0), ..Setup::new(&bundle()) }.start(&origin());
    gate.check("1970", &good(&gate), &Expect::refused(503, "system.clock"));
    gate.check("1970, public path", &Request::get("/health"), &Expect::refused(503, "system.clock"));
    assert_eq!(gate.origin.count(), 0);
}

#[test]
fn a_variable_that_cannot_be_used_denies() {
    let origin = origin();
    for (name, value) in
        [("trusted_hops", "many"), ("trusted_hops", "17"), ("origin_connect_timeout_ms", "-1"), ("origin_first_byte_timeout_ms", "0")]
    {
        let gate = Setup::new(&bundle()).variable(name, value).start(&origin);
        gate.check(name, &good(&gate), &Expect::refused(503, "system.configuration"));
    }
    let gate = Setup::new(&bundle()).variable("origin", "").start(&origin);
    gate.check("no origin", &good(&gate), &Expect::refused(503, "system.configuration"));
    // Who is denied is told so all the same: the origin only matters to a permit.
    gate.check("no origin, no credential", &Request::get(PATH), &Expect::denied(401));
    assert_eq!(origin.count(), 0);
}

#[test]
fn an_origin_that_is_not_there_is_a_502() {
    let origin = Origin::at(nobody());
    let gate = Setup::new(&bundle()).start(&origin);
    failed(&gate, &good(&gate), 502, "system.origin_unreachable");
    gate.check("a denial needs no origin", &Request::get(PATH), &Expect::denied(401));
}

#[test]
fn an_origin_that_does_not_answer_is_a_504() {
    let gate = Setup::new(&bundle()).variable("origin_first_byte_timeout_ms", "300").start(&origin());
    let mut slow = good(&gate);
    slow.target = format!("{PATH}?slow=60000");
    failed(&gate, &slow, 504, "system.origin_timeout");
    gate.check("control", &good(&gate), &Expect::allowed());
}

#[test]
fn an_origin_that_does_not_speak_http_is_a_502() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let addr = listener.local_addr().unwrap();
    std::thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            let mut stream = stream;
            let mut buffer = [0; 4096];
            let _ = std::io::Read::read(&mut stream, &mut buffer);
            let _ = std::io::Write::write_all(&mut stream, b"SSH-2.0-OpenSSH_9.2\r\n");
        }
    });
    let gate = Setup::new(&bundle()).start(&Origin::at(addr));
    failed(&gate, &good(&gate), 502, "system.origin_invalid");
}

/// Sends a permitted request whose origin fails: the decision is an allow, the answer is a fault's.
fn failed(gate: &Gate, request: &Request, status: u16, reason: &str) {
    let response = request.send(gate.addr);
    assert_eq!(response.status, status, "{}", response.text());
    assert_eq!(response.header("content-type"), Some("application/problem+json"));
    let record = gate.record_of(&response).unwrap();
    assert_eq!((&record["decision"], &record["reason"]), (&"allow".into(), &"policy.permit".into()), "{record}");
    assert_eq!((&record["upstream"]["error"]["reason"], &record["status"]), (&reason.into(), &status.into()), "{record}");
}

#[test]
fn a_policy_that_fails_to_evaluate_denies_even_what_another_permits() {
    let mut files: Vec<(String, Vec<u8>)> = bundle().iter().map(|(p, b)| (p.to_owned(), b.to_vec())).collect();
    // Strictly valid, but overflows at run time. Cedar alone would skip it and allow.
    let failing = r#"
        @id("overflows")
        forbid(principal, action, resource == Gate::Document::"1") when { context.hour * 9223372036854775807 > 0 };
    "#;
    files.push(("policies/overflows.cedar".into(), failing.into()));
    let failing: Bundle = files.into_iter().collect();
    let gate = Setup::new(&failing).start(&origin());
    let answer = gate.check("overflow", &good(&gate), &Expect::refused(403, "policy.error"));
    answer.with_record(|record| assert!(record["errors"][0].as_str().unwrap().contains("overflows"), "{record}"));
    // The same bundle still permits where that policy does not apply.
    gate.check("control", &Request::get("/health"), &Expect::allowed());
}

#[test]
fn the_clients_address_is_counted_from_the_right() {
    let office = |gate: &Gate, forwarded: &[&str]| {
        let token = Token::dev(gate.now(), "root").groups(&["admins"]).make();
        let request = Request::get("/api/admin/users").bearer(&token);
        forwarded.iter().fold(request, |request, value| request.header("X-Forwarded-For", value))
    };
    let direct = Setup::new(&bundle()).start(&origin());
    direct.check("the peer is in the office", &office(&direct, &[]), &Expect::allowed());
    let answer = direct.check("a forged list changes nothing", &office(&direct, &["203.0.113.9"]), &Expect::allowed());
    answer.with_record(|record| assert_eq!(record["request"]["client"], "127.0.0.1"));

    let behind = Setup::new(&bundle()).variable("trusted_hops", "1").start(&origin());
    behind.check("the last entry is in the office", &office(&behind, &["203.0.113.9, 10.1.2.3"]), &Expect::allowed());
    behind.check("in two fields", &office(&behind, &["203.0.113.9", "10.1.2.3"]), &Expect::allowed());
    behind.check("the last entry is elsewhere", &office(&behind, &["10.1.2.3, 203.0.113.9"]), &Expect::refused(403, "policy.forbid"));
    behind.check("no entry", &office(&behind, &[]), &Expect::refused(400, "request.client_address_invalid"));
    behind.check("no address", &office(&behind, &["10.1.2.3, unknown"]), &Expect::refused(400, "request.client_address_invalid"));
}

#[test]
fn an_answer_that_cannot_be_recorded_is_not_handed_out() {
    let full = RecordSink::file(std::path::Path::new("/dev/full")).expect("the tests run on Linux");
    let gate = Setup { records: full, ..Setup::new(&bundle()) }.start(&origin());
    let response = good(&gate).send(gate.addr);
    assert_eq!((response.status, response.code().as_str(), response.header("x-origin")), (503, "unavailable", None));
    assert_eq!(gate.origin.count(), 1, "the origin was asked before anybody could know");
    assert_eq!(Request::get(PATH).send(gate.addr).status, 401);
    assert_eq!(gate.metrics().failed_instances, 0);
}

#[test]
fn what_cannot_be_recorded_first_is_not_let_through() {
    let full = RecordSink::file(std::path::Path::new("/dev/full")).expect("the tests run on Linux");
    let before = |setup: Setup| setup.variable("audit_mode", "before").start(&origin());
    let reason = Reason::ALL.iter().find(|reason| reason.code() == "system.audit_unavailable").expect("a reason of the gate");
    let gate = before(Setup { records: full, ..Setup::new(&bundle()) });
    let response = good(&gate).send(gate.addr);
    assert_eq!((response.status, response.code().as_str(), response.header("x-origin")), (reason.status(), reason.public(), None));
    assert_eq!(gate.origin.count(), 0);
    assert_eq!(Request::get(PATH).send(gate.addr).status, 401);
    // Control: with somewhere to write, the same request reaches the same origin.
    let control = before(Setup::new(&bundle()));
    assert_eq!(good(&control).send(control.addr).status, 200);
    assert_eq!(control.origin.count(), 1);
}

#[test]
fn instances_are_reused_and_end_when_their_work_is_done() {
    let gate = Setup::new(&bundle()).start(&origin());
    let writer = Token::dev(gate.now(), "bob").groups(&["writers"]).scope("documents.write").make();
    for _ in 0..100 {
        gate.check("response forwarded", &good(&gate), &Expect::allowed());
        gate.check("body forwarded", &Request::new("PUT", PATH).bearer(&writer).body("{}"), &Expect::allowed());
        let mut chunked = Request::new("PUT", PATH).bearer(&writer).header("Transfer-Encoding", "chunked");
        chunked.body = b"2\r\n{}\r\n0\r\n\r\n".to_vec();
        gate.check("chunked body forwarded", &chunked, &Expect::allowed());
        let mut head = good(&gate);
        head.method = "HEAD".into();
        gate.check("no body at all", &head, &Expect::allowed());
    }
    let metrics = gate.metrics();
    assert_eq!((metrics.requests, metrics.failed_instances), (400, 0));
    // 128 uses per instance: more than two instances, far fewer than requests.
    assert!((3..50).contains(&metrics.instances), "{metrics:?}");
    // An instance that has nothing left to do ends after a second of idleness. One that waits for something that never
    // comes would keep its place for ever, until the host has no room for another.
    let deadline = Instant::now() + Duration::from_secs(30);
    while gate.metrics().live_instances > 0 {
        assert!(Instant::now() < deadline, "instances that never end: {:?}", gate.metrics());
        std::thread::yield_now();
    }
}
