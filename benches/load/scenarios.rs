//! What is asked of the gate and of its peers.

use std::rc::Rc;
use std::time::Duration;

use serde_json::json;

use super::drive::Requests;
use super::material::{self, ALGORITHMS, AUDIENCE, For, ISSUER, PATH, POLICIES, distinct, now, reader};
use super::report::{Flood, Report};
use super::server::{self, Reuse, SPIN, Server};
use super::support::client::Request;
use super::support::links::{ask, hmac, keyring, target, with_links};
use super::support::pki::{Authority, Form, SECRET, Subject};
use super::support::token::{Key, Token};
use super::{Bench, Case, NOOP, called};

/// As many as the load bench of every scenario has.
pub const CONNECTIONS: usize = 16;
/// More than any of them remembers, so that none is ever met again.
const NEVER_REPEATED: usize = 12_000;
/// The gate as it is built for hosts with wide arithmetic.
pub const WIDE: &str = "gate, wide arithmetic";
/// What every gate has to do, and nothing else: read the head, write a line as long as a record, answer as a denial does.
pub const LEAST: &str = "reads, writes a line, refuses";
pub const LINKS: &str = "signed URL, HMAC-SHA-256";
pub const REFUSED: &str = "verified, refused for its method";
pub const FIRST: &str = "the first request of an instance, one connection";
pub const FIRST_DENIED: &str = "gate, EdDSA token, denied by policy";
const PEERS: [&str; 4] = ["workerd", "workerd-cached", "envoy", "haproxy"];

pub fn one(request: Request, status: u16) -> Rc<Requests> {
    Requests::new(vec![request.kept_open()], status)
}

pub fn bearer(method: &str, path: &str, token: &Token) -> Request {
    Request::new(method, path).bearer(&token.make())
}

pub fn idle() -> Rc<Requests> {
    one(Request::get("/"), 200)
}

/// What every server must answer before it is timed: what is asked, and the status.
fn answers(algorithm: (&'static str, Key, &str)) -> Vec<(&'static str, Request, u16)> {
    let (alg, key, kid) = algorithm;
    let good = |subject: &str| reader(subject).signed(alg, key, kid);
    let other = good("alice").groups(&["team-3"]);
    vec![
        ("a good token", bearer("GET", PATH, &good("alice")), 200),
        ("what its group may not do", bearer("DELETE", PATH, &good("alice")), 403),
        ("its team's folder", bearer("GET", "/teams/3", &other), 200),
        ("another team's folder", bearer("GET", "/teams/4", &other), 403),
        ("what is public", Request::get("/health"), 200),
        ("no token", Request::get(PATH), 401),
        ("a forged signature", forged(algorithm, 1).remove(0), 401),
        ("an expired token", bearer("GET", PATH, &good("alice").claim("exp", json!(now() - 600))), 401),
        ("another issuer's token", bearer("GET", PATH, &good("alice").claim("iss", json!("https://other.example/"))), 401),
        ("a token for another audience", bearer("GET", PATH, &good("alice").claim("aud", json!("other"))), 401),
        ("garbage", Request::get(PATH).bearer("a.b.c"), 401),
    ]
}

/// Right in everything but its signature, which is another token's.
fn forged((alg, key, kid): (&'static str, Key, &str), count: usize) -> Vec<Request> {
    let token = |jti: String| reader("alice").claim("jti", json!(jti)).signed(alg, key, kid);
    let other = token("other".to_owned()).make();
    let signature = other.rsplit_once('.').unwrap().1;
    let forge = |number| format!("{}.{signature}", token(format!("forged-{number}")).signing_input());
    (0..count).map(|number| Request::get(PATH).bearer(&forge(number))).collect()
}

fn all(requests: &[Request], status: u16) -> Rc<Requests> {
    Requests::new(requests.iter().map(Request::kept_open).collect(), status)
}

pub fn measure(bench: &Bench, report: &mut Report) {
    let keys = material::keys(&bench.work);
    let file = material::sealed(&bench.sealer, &material::bundle(POLICIES, For::Teams), &bench.work, "gate");
    let noop = bench.noop(SPIN);
    let gate = bench.gate(&file, SPIN, &[("mtls_terminator_secret", SECRET)]);
    let mut servers: Vec<_> = gate.into_iter().map(|server| ("gate", server)).collect();
    if let Some(sealer) = &bench.wide {
        let file = material::sealed(sealer, &material::bundle(POLICIES, For::Teams), &bench.work, "wide");
        servers.push((WIDE, bench.own_gate(&file, SPIN, &[("mtls_terminator_secret", SECRET)])));
    }
    for name in PEERS {
        let peer = server::peer(name, bench.origin, &keys, &material::policies(), ISSUER, AUDIENCE, &bench.work);
        servers.extend(peer.map(|server| (name, server)));
    }
    for (name, server) in &servers {
        println!("asking {name} at {}", server.addr);
        for algorithm in ALGORITHMS.into_iter().filter(|(alg, ..)| can(name, alg)) {
            for (what, request, status) in answers(algorithm) {
                let answered = bench.driver.status(server.addr, &request.kept_open());
                assert_eq!(answered, status, "{name} answers {what} ({}) so", algorithm.0);
            }
        }
    }

    let mut section = |title: &str, of: &mut dyn FnMut(&str) -> Option<Rc<Requests>>| {
        let asked = servers.iter().filter_map(|(name, server)| Some(Case::new(*name, server, &of(name)?)));
        let cases: Vec<Case> = Case::base(&noop).into_iter().chain(asked).collect();
        bench.section(report, title, &cases);
    };
    let [eddsa, _, es256] = ALGORITHMS;
    // HAProxy verifies no EdDSA, and is asked with ES256 where any algorithm will do.
    let any = |name: &str| if can(name, "EdDSA") { eddsa } else { es256 };
    let token = |name: &str| reader("alice").signed(any(name).0, any(name).1, any(name).2);

    section("hot token, denied by policy", &mut |name| Some(one(bearer("DELETE", PATH, &token(name)), 403)));
    section("hot token, allowed and proxied", &mut |name| Some(one(bearer("GET", PATH, &token(name)), 200)));
    section("1,000 tokens, denied by policy", &mut |name| Some(Requests::new(distinct("DELETE", any(name), 1_000, |token| token), 403)));
    for algorithm in ALGORITHMS {
        // Made once: what is never repeated for one server is not for another.
        let requests = distinct("DELETE", algorithm, NEVER_REPEATED, |token| token);
        section(&format!("never-repeated tokens, {}, denied by policy", algorithm.0), &mut |name| {
            can(name, algorithm.0).then(|| Requests::new(requests.clone(), 403))
        });
    }
    section("expired token", &mut |name| {
        let token = token(name).claim("exp", json!(now() - 600));
        Some(one(bearer("GET", PATH, &token), 401))
    });
    section("forged signatures", &mut |name| Some(all(&forged(any(name), 1_000), 401)));
    section("garbage for a token", &mut |_| Some(one(Request::get(PATH).bearer("garbage"), 401)));
    section("no token", &mut |_| Some(one(Request::get(PATH), 401)));
    section("public path, proxied", &mut |_| Some(one(Request::get("/health"), 200)));
    let root = Authority::suite();
    let intermediate = root.intermediate(Subject::new(now(), "Intermediate"));
    let leaf = Subject::workload(now(), "bench").issued_by(&intermediate);
    section("client certificate, path of three, denied by policy", &mut |name| {
        let request = || Form::Rfc9440.send(Request::new("DELETE", PATH), &[&leaf.der, &intermediate.certified.der]);
        (name == "gate").then(|| one(request(), 403))
    });
}

fn can(server: &str, alg: &str) -> bool {
    server != "haproxy" || alg != "EdDSA"
}

/// Signed URLs, with the sample policies: theirs are what lets somebody make one.
pub fn links(bench: &Bench, report: &mut Report) {
    let file = material::sealed(&bench.sealer, &with_links("max_lifetime_seconds = 7200\n"), &bench.work, "links");
    let noop = bench.noop(SPIN);
    let gate = bench.gate(&file, SPIN, &[("signed_url_keys", &keyring(&[hmac("k", "active", 1)]))]);
    let writer = Token::dev(now(), "alice").groups(&["writers"]).scope("documents.write");
    let mut cases = Case::base(&noop);
    cases.extend(Case::each(LEAST, &noop, &one(Request::get("/least"), 403)));
    for server in &gate {
        // A link is for the host that it is asked for at.
        let signed = ask(&writer, &json!({"method": "GET", "path": "/api/documents/1", "expires_in": 7_000})).send(server.addr);
        let url = target(&signed);
        cases.push(Case::new(REFUSED, server, &one(Request::new("PUT", &url), 401)));
        cases.push(Case::new("verified, allowed and proxied", server, &one(Request::get(&url), 200)));
        cases.push(Case::new("public path, proxied", server, &one(Request::get("/health"), 200)));
    }
    bench.section(report, LINKS, &cases);
}

/// The first request of an instance: every request is one.
pub fn first(bench: &Bench, report: &mut Report) {
    let reuse = Reuse { requests: 1, at_once: 1 };
    let file = material::sealed(&bench.sealer, &material::bundle(POLICIES, For::Teams), &bench.work, "first");
    let (noop, gate) = (bench.noop(reuse), bench.gate(&file, reuse, &[]));
    let denied = one(bearer("DELETE", PATH, &reader("alice")), 403);
    let cases = Case::base(&noop).into_iter().chain(Case::each(FIRST_DENIED, &gate, &denied));
    let cases: Vec<_> = cases.map(|case| Case { connections: 1, ..case }).collect();
    bench.section(report, FIRST, &cases);
}

/// How long a server takes from its start until it listens, when nothing was compiled before and when all was.
pub fn start(bench: &Bench, report: &mut Report) {
    let file =
        |number: usize| material::sealed(&bench.sealer, &material::bundle(number, For::Teams), &bench.work, &format!("start-{number}"));
    let files = [POLICIES, 1_000, 10_000].map(|number| (format!("gate, {number} policies"), file(number)));
    println!("\nstart");
    for round in 0..bench.effort.rounds.min(3) {
        let cache = bench.work.join(format!("cache-{round}"));
        std::fs::create_dir_all(&cache).unwrap();
        for compiled in ["", ", compiled before"] {
            let mut add = |name: &str, servers: Vec<Server>| {
                for server in servers {
                    let name = called(&format!("{name}{compiled}"), server.host);
                    report.starts.entry(name).or_default().push(server.started.as_secs_f64());
                }
            };
            add(NOOP, bench.noop_with(SPIN, Some(&cache)));
            for (name, file) in &files {
                add(name, bench.gate_with(file, SPIN, &[], Some(&cache)));
            }
        }
    }
    println!("{:?}", report.starts);
}

/// Ten times as many forged tokens as good ones, and what those who are in the right notice of it.
pub fn flood(bench: &Bench, report: &mut Report) {
    const GOOD: u32 = 100;
    let file = material::sealed(&bench.sealer, &material::bundle(POLICIES, For::Teams), &bench.work, "flood");
    let gates = bench.gate(&file, SPIN, &[]);
    let good = one(bearer("GET", PATH, &reader("alice")), 200);
    println!("\nflood");
    for (server, algorithm) in gates.iter().flat_map(|server| ALGORITHMS.map(|algorithm| (server, algorithm))) {
        let name = called(algorithm.0, server.host);
        let bad = all(&forged(algorithm, 2_000), 401);
        let window = bench.effort.window * 8;
        let (mut alone, mut flooded) = (vec![], vec![]);
        for round in 0..4 {
            let one = bench.driver.paced(server.addr, &[(&good, GOOD)], window).percentile(0.99);
            let other = bench.driver.paced(server.addr, &[(&good, GOOD), (&bad, GOOD * 10)], window).percentile(0.99);
            if round > 0 {
                alone.push(one);
                flooded.push(other);
            }
        }
        println!("{name}: {alone:?} {flooded:?}");
        report.floods.push(Flood { name, alone, flooded });
    }
    // Long enough for whatever waits in the server.
    std::thread::sleep(Duration::from_millis(100));
}
