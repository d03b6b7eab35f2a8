//! Tokens and client certificates that an instance verified before: whatever changes since, it changes at once, and a gate that remembers answers as one that does not.

use std::time::Duration;

use cedargate::host::InstanceLimits;
use serde_json::json;

use super::mtls::{MACHINES, present, workloads};
use super::support::client::Request;
use super::support::gate::{Expect, Gate, NOW, Setup, bundle};
use super::support::jwks_server::JwksServer;
use super::support::origin::Origin;
use super::support::pki::{Authority, Form, Subject};
use super::support::token::{Key, Token};

const PATH: &str = "/api/documents/1";

/// A gate all of whose requests are one instance's.
fn gate(mut setup: Setup, token_cache: &str) -> Gate {
    setup.limits = InstanceLimits { max_reuse: 10_000, idle_timeout: Duration::from_secs(600), ..InstanceLimits::default() };
    setup.variable("token_cache", token_cache).start(&Origin::start(([127, 0, 0, 1], 0).into()))
}

fn get(token: &str) -> Request {
    Request::get(PATH).bearer(token)
}

fn alice() -> Token {
    Token::dev(NOW, "alice").groups(&["readers"])
}

#[test]
fn a_token_that_was_let_in_is_refused_when_it_expires_and_not_a_second_later() {
    for token_cache in ["on", "off"] {
        let mut gate = gate(Setup::new(&bundle()), token_cache);
        let compact = alice().claim("exp", json!(NOW + 30)).claim("nbf", json!(NOW - 10)).make();
        let check = |gate: &Gate, name: &str, expect: Expect| drop(gate.check(&format!("{name}, {token_cache}"), &get(&compact), &expect));
        check(&gate, "first", Expect::allowed());
        check(&gate, "again", Expect::allowed());
        // The sample issuer allows no leeway beyond what its file says; the last second is found, and is the same both ways.
        let last = (0..120).rev().find(|seconds| {
            gate.set_now(NOW + seconds);
            get(&compact).send(gate.addr).status == 200
        });
        let last = last.expect("it counts at first");
        gate.set_now(NOW + last);
        check(&gate, "its last second", Expect::allowed());
        gate.set_now(NOW + last + 1);
        check(&gate, "expired", Expect::refused(401, "jwt.expired"));
        check(&gate, "expired, again", Expect::refused(401, "jwt.expired"));
        // A clock that is set back: as if it had never been seen.
        gate.set_now(NOW - 3_600);
        check(&gate, "not yet valid", Expect::refused(401, "jwt.not_yet_valid"));
        gate.set_now(NOW);
        check(&gate, "now", Expect::allowed());
    }
}

#[test]
fn one_byte_makes_another_token() {
    for token_cache in ["on", "off"] {
        let gate = gate(Setup::new(&bundle()), token_cache);
        let compact = alice().make();
        gate.check("the control", &get(&compact), &Expect::allowed());
        gate.check("the control again", &get(&compact), &Expect::allowed());
        let signature = compact.rfind('.').unwrap();
        for (name, at) in [("of the signature", signature + 5), ("of the payload", signature - 5)] {
            let mut other = compact.clone().into_bytes();
            other[at] = if other[at] == b'A' { b'B' } else { b'A' };
            let response = get(&String::from_utf8(other).unwrap()).send(gate.addr);
            assert_eq!(response.status, 401, "a byte {name}, {token_cache}");
        }
        // Somebody else's claims under the signature that is known.
        let (_, known) = compact.rsplit_once('.').unwrap();
        let mallory = Token::dev(NOW, "mallory").groups(&["admins"]).make();
        let (claims, _) = mallory.rsplit_once('.').unwrap();
        gate.check("other claims", &get(&format!("{claims}.{known}")), &Expect::refused(401, "jwt.signature_invalid"));
        gate.check("the control still", &get(&compact), &Expect::allowed());
        // What is remembered is who it is, not what they may: another path is decided by itself.
        gate.check("another method", &Request::new("DELETE", PATH).bearer(&compact), &Expect::denied(403));
    }
}

#[test]
fn a_token_that_was_let_in_is_refused_when_its_key_is_replaced() {
    for token_cache in ["on", "off"] {
        let server = JwksServer::start();
        server.publish("/keys", &[("k", Key::Ed)]);
        let mut bundle = bundle();
        let suite = String::from_utf8(bundle.get("keys/issuers.toml").unwrap().to_vec()).unwrap();
        let issuer = format!(
            "[[issuer]]\nname = \"moves\"\niss = \"https://moves.example/\"\naudience = \"cedargate\"\ninsecure_allow_http = true\n\
             jwks_uri = \"{}/keys\"\n\
             [[mapping]]\nissuer = \"moves\"\nclaim = \"groups\"\nvalue = \"readers\"\nto = \"readers\"\n",
            server.url()
        );
        bundle.insert("keys/issuers.toml", format!("{suite}\n{issuer}"));
        let mut gate = gate(Setup::new(&bundle).allow(&server.url()), token_cache);
        let compact = Token::dev(NOW, "alice")
            .claim("iss", json!("https://moves.example/"))
            .claim("exp", json!(NOW + 200_000))
            .groups(&["readers"])
            .header("kid", json!("k"))
            .make();
        gate.check("first", &get(&compact), &Expect::allowed());
        gate.check("again", &get(&compact), &Expect::allowed());
        server.publish("/keys", &[("k", Key::Stranger)]);
        // Long enough that the set has to be fetched before it counts.
        gate.set_now(NOW + 100_000);
        gate.check(&format!("replaced, {token_cache}"), &get(&compact), &Expect::refused(401, "jwt.signature_invalid"));
    }
}

#[test]
fn a_client_certificate_that_was_let_in_is_refused_when_it_expires_and_not_a_second_later() {
    for token_cache in ["on", "off"] {
        let mut gate = gate(Setup::new(&workloads()), token_cache);
        let root = Authority::suite();
        let issued = |serial: u64| Subject::workload(NOW, "client").serial(serial).valid(NOW - 60, NOW + 600).issued_by(&root);
        let (one, sibling) = (issued(0x0c0d), issued(0x0c0e));
        let check = |gate: &Gate, name: &str, chain: &[&[u8]], expect: Expect| {
            drop(gate.check(&format!("{name}, {token_cache}"), &present(chain), &expect))
        };
        check(&gate, "first", &[&one.der], Expect::allowed());
        check(&gate, "again", &[&one.der], Expect::allowed());
        check(&gate, "its sibling", &[&sibling.der], Expect::allowed());
        let mut other = one.der.clone();
        *other.last_mut().unwrap() ^= 1;
        check(&gate, "a byte changed", &[&other], Expect::refused(401, "mtls.chain"));
        // The terminator proves itself each time, whatever is known of the certificate.
        let fields = Form::Rfc9440.fields(&[&one.der]).into_iter();
        let forged = fields.fold(Request::get(MACHINES), |request, (name, value)| request.header(name, value));
        gate.check("no terminator", &forged, &Expect::refused(401, "mtls.untrusted_terminator"));
        check(&gate, "the control", &[&one.der], Expect::allowed());
        for (time, expect) in [(NOW + 600, Expect::allowed()), (NOW + 601, Expect::refused(401, "mtls.expired"))] {
            gate.set_now(time);
            check(&gate, &format!("at {time}"), &[&one.der], expect);
        }
        gate.set_now(NOW - 61);
        check(&gate, "not yet", &[&one.der], Expect::refused(401, "mtls.not_yet_valid"));
        gate.set_now(NOW);
        check(&gate, "now", &[&one.der], Expect::allowed());
    }
}

#[test]
fn a_switch_that_is_neither_on_nor_off_answers_nothing() {
    for name in ["token_cache", "policy_index"] {
        let good = Setup::new(&bundle()).variable(name, "off").start(&Origin::start(([127, 0, 0, 1], 0).into()));
        good.check("the control", &get(&alice().make()), &Expect::allowed());
        let bad = Setup::new(&bundle()).variable(name, "yes").start(&Origin::start(([127, 0, 0, 1], 0).into()));
        let answer = bad.check(name, &get(&alice().make()), &Expect::refused(503, "system.configuration"));
        answer.with_record(|record| assert!(record["detail"].as_str().unwrap().contains(name), "{record}"));
    }
}
