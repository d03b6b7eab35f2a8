//! `make bench`: what the gate costs, as ratios measured in one run.
//!
//! Method. One process holds the embedded host, an origin and the load, so absolute figures say little about a
//! deployment; everything compared runs interleaved in the same host, several rounds each, and medians are compared.
//! Times inside the component are its own (`timing_us` of its records, whole microseconds); times of requests are seen
//! from a keep-alive client on loopback.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects,
    clippy::as_conversions,
    clippy::print_stdout,
    clippy::disallowed_methods,
    missing_docs,
    reason = "a measurement fails by panicking"
)]

#[path = "../tests/suite/support/mod.rs"]
#[allow(dead_code, reason = "shared with the end-to-end suite")]
mod support;

#[path = "gate/authoring.rs"]
mod authoring;
mod common;

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::{Duration, Instant};

use cedargate::audit::{Entry, Verifier};
use cedargate::decision::Replayer;
use cedargate::host::{Compiled, InstanceLimits, engine};
use cedargate::signed_url::Keyring;
use common::{component, median, range};
use serde_json::Value;
use support::client::Request;
use support::gate::{Gate, NOW, Setup, bundle, root};
use support::links::{ask, ed25519, hmac, keyring, link, with_links, writer};
use support::origin::Origin;
use support::pki::{Authority, Form, Subject};
use support::token::{Key, Proof, Token, public_jwk, thumbprint};

const ROUNDS: usize = 7;
const WINDOW: Duration = Duration::from_millis(1200);
const CONNECTIONS: usize = 16;

fn main() {
    // `cargo bench` passes flags of its own; there is nothing to choose here.
    let origin = Origin::start(([127, 0, 0, 1], 0).into());
    let gate = forgetful().start(&origin);
    println!("cedargate bench: medians of {ROUNDS} interleaved rounds; ratios count, absolutes do not\n");
    inside(&gate, &origin);
    credentials(&origin);
    links(&origin);
    audit(&origin);
    authoring::measure();
}

/// A gate that remembers no token: where verification is compared.
fn forgetful() -> Setup {
    Setup::new(&bundle()).variable("token_cache", "off")
}

/// Microseconds of identity and of policy, from the record of one request.
fn timing(gate: &Gate, request: &Request) -> (f64, f64) {
    let record: Value = gate.record_of(&request.send(gate.addr)).unwrap();
    (record["timing_us"]["identity"].as_f64().unwrap(), record["timing_us"]["policy"].as_f64().unwrap())
}

fn alice() -> Token {
    Token::dev(NOW, "alice").groups(&["readers"])
}

/// What a decision costs inside the component.
fn inside(warm: &Gate, origin: &Origin) {
    let get = |token: &Token| Request::get("/api/documents/1").bearer(&token.make());
    println!("## Inside the component (µs, median of 200)\n");
    let mut eddsa = 0.0;
    for (alg, key, kid) in [
        ("EdDSA", Key::Ed, "ed"),
        ("ES256", Key::Es256, "es256"),
        ("ES384", Key::Es384, "es384"),
        ("RS256", Key::Rsa, "rsa"),
        ("PS256", Key::RsaPs256, "rsa-ps256"),
    ] {
        let request = get(&alice().signed(alg, key, kid));
        let times: Vec<(f64, f64)> = (0..200).map(|_| timing(warm, &request)).collect();
        let identity = median(times.iter().map(|t| t.0).collect());
        if alg == "EdDSA" {
            eddsa = identity;
        }
        println!("verify {alg:6}               {identity:7.0}   {:5.2} x EdDSA", identity / eddsa);
    }
    let mut setup = forgetful();
    setup.limits = InstanceLimits { max_reuse: 1, ..InstanceLimits::default() };
    let fresh = setup.start(origin);
    let request = get(&alice());
    let (mut first, mut next) = (vec![], vec![]);
    for _ in 0..200 {
        let (identity, policy) = timing(&fresh, &request);
        first.push(identity + policy);
        let (identity, policy) = timing(warm, &request);
        next.push(identity + policy);
    }
    let (first, next) = (median(first), median(next));
    println!("decide, warm                {next:7.0}");
    println!("decide, fresh instance      {first:7.0}   {:5.2} x warm (aim: at most 3)\n", first / next);
}

/// What each kind of credential costs inside the component, against one ES256 signature. Without a store, so that it is
/// verification that is measured; the last line adds what asking the store adds to a token nobody asked about before.
fn credentials(origin: &Origin) {
    let path = "/api/documents/1";
    let without = forgetful().variable("key_value_store", "").start(origin);
    let with = forgetful().variable("revocation_cache_ms", "0").start(origin);
    let get = |token: &Token| Request::get(path).bearer(&token.make());
    let es256 = alice().signed("ES256", Key::Es256, "es256");

    let root = Authority::suite();
    let intermediate = root.intermediate(Subject::new(NOW, "Intermediate"));
    let second = intermediate.intermediate(Subject::new(NOW, "Second intermediate"));
    let leaf = |issuer: &Authority| Subject::workload(NOW, "bench").issued_by(issuer);
    let (short, long) = (leaf(&intermediate), leaf(&second));
    // A root that comes with the chain is never verified: it is the anchor itself.
    let three = [&short.der[..], &intermediate.certified.der, &root.certified.der];
    let four = [&long.der[..], &second.certified.der, &intermediate.certified.der];
    let bound = es256.clone().claim("cnf", serde_json::json!({"x5t#S256": short.thumbprint()}));
    let proof = |alg: &'static str, key| {
        let token = es256.clone().claim("cnf", serde_json::json!({"jkt": thumbprint(&public_jwk(alg, key))})).make();
        let proof = Proof::new(NOW, "GET", &format!("http://api.example.com{path}"), &token).signed(alg, key).make();
        Request::get(path).header("Authorization", format!("DPoP {token}")).header("DPoP", proof)
    };
    let measure = |gate: &Gate, make: &dyn Fn() -> Request| -> f64 { median((0..200).map(|_| timing(gate, &make()).0).collect()) };
    let base = measure(&without, &|| get(&es256));
    println!("## Credentials (µs, median of 200; ratio to one ES256 token)\n");
    let cases: [(&str, &Gate, &dyn Fn() -> Request); 8] = [
        ("ES256 token", &without, &|| get(&es256)),
        ("EdDSA token", &without, &|| get(&alice())),
        ("certificate, path of 3 (aim: at most 4)", &without, &|| Form::Rfc9440.send(Request::get(path), &three)),
        ("certificate, path of 4", &without, &|| Form::Rfc9440.send(Request::get(path), &four)),
        ("ES256 token bound to it, path of 3", &without, &|| Form::Rfc9440.send(get(&bound), &three)),
        ("ES256 token, DPoP with EdDSA", &without, &|| proof("EdDSA", Key::Stranger)),
        ("ES256 token, DPoP with ES256", &without, &|| proof("ES256", Key::Es256)),
        ("ES256 token, asking the store each time", &with, &|| get(&es256)),
    ];
    for (name, gate, make) in cases {
        let time = measure(gate, make);
        println!("{name:42} {time:7.0}   {:5.2}", time / base);
    }
    println!();
}

/// Signed URLs: what verifying one costs inside the component, and making and using them end to end against a component that
/// does nothing. Verifying end to end is a link that is good but for its method: nothing but its verification, and no policy.
fn links(origin: &Origin) {
    let Some(noop) = noop(origin) else { return };
    let config = "max_lifetime_seconds = 7200\n".to_owned()
        + &[
            ("aws-sigv4", "endpoint = \"https://s3.eu-central-1.amazonaws.com\"\nregion = \"eu-central-1\"\nbucket = \"b\""),
            ("cloudfront", "url = \"https://d1.cloudfront.net\""),
        ]
        .into_iter()
        .chain(["google-cloud-cdn", "google-media-cdn", "akamai"].map(|service| (service, "url = \"https://cdn.example.com\"")))
        .map(|(service, more)| format!("[[target]]\nservice = \"{service}\"\npath = \"/media\"\ncredentials = \"{service}\"\n{more}\n"))
        .collect::<String>();
    let pem = std::fs::read_to_string(root().join("tests/data/identity/test-only-rsa-2048-private.pem")).unwrap();
    let secrets = serde_json::json!({"v": 1, "credentials": {
        "aws-sigv4": {"service": "aws-sigv4", "access_key_id": "a", "secret_access_key": "b"},
        "cloudfront": {"service": "cloudfront", "key_pair_id": "K", "private_key": pem},
        "google-cloud-cdn": {"service": "google-cloud-cdn", "key_name": "k", "key": "nZtRohdNF9m3cKM24IcK4w=="},
        "google-media-cdn": {"service": "google-media-cdn", "key_name": "k", "private_key": "BxwXXNjeGaoWqjr7GHEymRJkP4SaOC12dTGixk7Yr8I="},
        "akamai": {"service": "akamai", "key": "52a152a152a152a152a152a152a1aabb"},
    }});
    let with = |key: Value| {
        let setup = Setup::new(&with_links(&config)).variable("signed_url_keys", &keyring(&[key])).variable("key_value_store", "");
        setup.variable("signed_url_credentials", &secrets.to_string()).start(origin)
    };
    let (hmac, ed) = (with(hmac("k", "active", 1)), with(ed25519("k", "active", 1)));
    let made = |gate: &Gate| link(gate, serde_json::json!({"method": "GET", "path": "/api/documents/1", "expires_in": 600}));
    let (url, ed_url) = (made(&hmac), made(&ed));
    let measure = |gate: &Gate, request: &Request| median((0..200).map(|_| timing(gate, request).0).collect());
    let anew = forgetful().variable("key_value_store", "").start(origin);
    let token = measure(&anew, &Request::get("/api/documents/1").bearer(&alice().make()));
    println!("## Signed URLs (µs inside the component, median of 200; ratio to one EdDSA token)\n");
    for (name, gate, url) in [("verify a link, HMAC-SHA-256", &hmac, &url), ("verify a link, Ed25519", &ed, &ed_url)] {
        let time = measure(gate, &Request::get(url));
        println!("{name:42} {time:7.0}   {:5.2}", time / token);
    }
    let sign = |format: &str| {
        let body = serde_json::json!({"method": "GET", "path": "/media/1", "expires_in": 600, "format": format});
        ask(&writer("alice"), &body).kept_open()
    };
    let mut cases: Vec<(String, SocketAddr, Vec<u8>, u16)> = vec![
        ("no-op component".into(), noop.addr, Request::get("/").kept_open(), 200),
        ("verify, HMAC-SHA-256 (aim: at least 0.77)".into(), hmac.addr, Request::new("PUT", &url).kept_open(), 401),
        ("verify, Ed25519".into(), ed.addr, Request::new("PUT", &ed_url).kept_open(), 401),
        ("no credential, denied by policy".into(), hmac.addr, Request::get("/api/documents/1").kept_open(), 401),
        ("public path, proxied".into(), hmac.addr, Request::get("/health").kept_open(), 200),
        ("link allowed, HMAC-SHA-256, proxied".into(), hmac.addr, Request::get(&url).kept_open(), 200),
    ];
    for format in ["cedargate", "aws-sigv4", "cloudfront-canned", "google-cloud-cdn", "google-media-cdn", "akamai"] {
        cases.push((format!("sign, {format}"), hmac.addr, sign(format), 200));
    }
    cases.push(("sign, cedargate with Ed25519".into(), ed.addr, sign("cedargate"), 200));
    println!("\n## Signed URLs end to end, {CONNECTIONS} connections (requests per second; ratio to the no-op component, range)\n");
    compare(&cases);
    println!();
}

/// Records: what chaining them costs, and how fast a log is verified and asked again, on one core.
fn audit(origin: &Origin) {
    let Some(noop) = noop(origin) else { return };
    let key = keyring(&[hmac("a1", "active", 1)]);
    let signing = keyring(&[ed25519("a1", "active", 1)]);
    let plain = Setup::new(&bundle()).start(origin);
    let chained = Setup::new(&bundle()).variable("audit_keys", &key).start(origin);
    let signed = Setup::new(&bundle()).variable("audit_keys", &signing).start(origin);
    let first = Setup::new(&bundle()).variable("audit_keys", &key).variable("audit_mode", "before").start(origin);
    let denied = Request::get("/api/documents/1").kept_open();
    let allowed = Request::get("/api/documents/1").bearer(&alice().make()).kept_open();
    let cases = [
        ("no-op component", noop.addr, Request::get("/").kept_open(), 200),
        ("denied, no key", plain.addr, denied.clone(), 401),
        ("denied, HMAC-SHA-256", chained.addr, denied.clone(), 401),
        ("denied, Ed25519", signed.addr, denied, 401),
        ("allowed and proxied, HMAC-SHA-256", chained.addr, allowed.clone(), 200),
        ("allowed and proxied, recorded first", first.addr, allowed, 200),
    ]
    .map(|(name, addr, bytes, status): (&str, SocketAddr, Vec<u8>, u16)| (name.to_owned(), addr, bytes, status));
    println!("## Records, {CONNECTIONS} connections (requests per second; ratio to the no-op component, range)\n");
    compare(&cases);

    let lines = chained.lines();
    // A checkpoint says what the 63 records before it cost: masking, canonical form and MAC, in the component.
    let cost = |gate: &Gate| {
        let lines = gate.lines();
        let each = lines.iter().filter(|line| line.contains(r#""kind":"checkpoint""#)).map(|line| {
            let record: Value = serde_json::from_str(line).unwrap();
            record["checkpoint"]["record_us"].as_f64().unwrap() / 63.0
        });
        median(each.collect())
    };
    println!("\nmaking a record, HMAC-SHA-256 (µs in the component, aim: at most 15) {:5.1}", cost(&chained));
    println!("making a record, Ed25519      (µs in the component)                  {:5.1}", cost(&signed));
    let keys = Keyring::parse(&key).unwrap();
    let gate = cedargate::bundle::Gate::load(&bundle()).unwrap();
    let replayer = Replayer::new(&gate);
    let (mut verified, mut replayed) = (vec![], vec![]);
    for _ in 0..ROUNDS {
        let start = Instant::now();
        let mut verifier = Verifier::new(&keys, false, vec![]);
        for (index, line) in lines.iter().enumerate() {
            assert!(verifier.take(line, index).is_empty(), "a chain that was not touched");
        }
        verified.push(lines.len() as f64 / start.elapsed().as_secs_f64());
        let start = Instant::now();
        let asked = lines.iter().take(20_000);
        let count = asked.len();
        for line in asked {
            assert!(replayer.replay(&Entry::parse(line).unwrap()).iter().all(|replayed| replayed.is_same()));
        }
        replayed.push(count as f64 / start.elapsed().as_secs_f64());
    }
    println!("\n## Logs, one core (records per second, median of {ROUNDS}, range; {} records)\n", lines.len());
    for (name, rates) in [("verify, HMAC-SHA-256", verified), ("replay, the sample policies", replayed)] {
        println!("{name:42} {:8.0}   ({})", median(rates.clone()), range(&rates, 0));
    }
    println!();
}

/// The component that does nothing, served as the gate is; `None` when it is not built.
fn noop(origin: &Origin) -> Option<Gate> {
    let path = component("noop");
    let Ok(bytes) = std::fs::read(&path) else {
        println!("requests per second: not measured, {} is not built (`make bench` builds it)", path.display());
        return None;
    };
    Some(Setup { component: Compiled::new(&engine().unwrap(), &bytes).unwrap(), ..Setup::new(&bundle()) }.start(origin))
}

/// Requests per second of each case, interleaved; the first is what the others are compared with.
fn compare(cases: &[(String, SocketAddr, Vec<u8>, u16)]) {
    let mut rates: Vec<Vec<f64>> = vec![vec![]; cases.len()];
    for _ in 0..ROUNDS {
        for (rates, (_, addr, bytes, status)) in rates.iter_mut().zip(cases) {
            rates.push(rate(*addr, bytes, *status));
        }
    }
    let base = median(rates[0].clone());
    for ((name, ..), rates) in cases.iter().zip(&rates) {
        let relative: Vec<f64> = rates.iter().map(|r| r / base).collect();
        println!("{name:42} {:8.0}   {:5.2} ({})", median(rates.clone()), median(relative.clone()), range(&relative, 2));
    }
}

/// Requests per second in one window.
fn rate(addr: SocketAddr, bytes: &[u8], status: u16) -> f64 {
    let start = Instant::now();
    let total: u64 = std::thread::scope(|scope| {
        let workers: Vec<_> = (0..CONNECTIONS)
            .map(|_| {
                scope.spawn(move || {
                    let mut stream = TcpStream::connect(addr).unwrap();
                    stream.set_nodelay(true).unwrap();
                    let (mut count, mut buffer) = (0_u64, Vec::with_capacity(8192));
                    while start.elapsed() < WINDOW {
                        stream.write_all(bytes).unwrap();
                        read_one(&mut stream, &mut buffer, status);
                        count += 1;
                    }
                    count
                })
            })
            .collect();
        workers.into_iter().map(|w| w.join().unwrap()).sum()
    });
    total as f64 / start.elapsed().as_secs_f64()
}

/// Reads one response with a `content-length` and checks its status.
fn read_one(stream: &mut TcpStream, buffer: &mut Vec<u8>, status: u16) {
    buffer.clear();
    let mut piece = [0; 4096];
    loop {
        let n = stream.read(&mut piece).unwrap();
        assert!(n > 0, "the connection was closed");
        buffer.extend_from_slice(&piece[..n]);
        let Some(end) = buffer.windows(4).position(|w| w == b"\r\n\r\n") else { continue };
        let head = String::from_utf8_lossy(&buffer[..end]).to_ascii_lowercase();
        assert!(head.starts_with(&format!("http/1.1 {status} ")), "{head}");
        let length: usize = head
            .split("content-length: ")
            .nth(1)
            .and_then(|rest| rest.split("\r\n").next())
            .and_then(|v| v.parse().ok())
            .expect("a content-length");
        if buffer.len() >= end + 4 + length {
            return;
        }
    }
}
