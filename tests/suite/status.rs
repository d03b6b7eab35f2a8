//! Status lists: what they say is done, and what they cannot say denies.

use std::collections::{BTreeSet, HashMap};
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex, OnceLock};
use std::time::{Duration, Instant};

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD as B64;
use cedargate::bundle::{Bundle, Digest};
use cedargate::host::key_value::KeyValue;
use miniz_oxide::deflate::compress_to_vec_zlib;
use serde_json::{Value, json};

use super::support::client::Request;
use super::support::gate::{Answer, Expect, Gate, NOW, Setup, bundle};
use super::support::origin::Origin;
use super::support::token::{DEV_ISS, Key, Token};

const PATH: &str = "/api/documents/1";

/// What the server of the lists answers at one path.
#[derive(Clone)]
enum Reply {
    /// Status, more header lines, body.
    Whole(u16, &'static str, Vec<u8>),
    /// Says that it is longer than it is.
    CutOff(Vec<u8>),
    /// Never answers.
    Stall,
}

/// A server of status lists that counts how often each is asked for.
struct Lists {
    addr: SocketAddr,
    at: Arc<Mutex<HashMap<String, (Reply, usize)>>>,
}

fn lists() -> &'static Lists {
    static LISTS: OnceLock<Lists> = OnceLock::new();
    LISTS.get_or_init(|| {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let addr = listener.local_addr().unwrap();
        let at: Arc<Mutex<HashMap<String, (Reply, usize)>>> = Arc::default();
        let shared = at.clone();
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let shared = shared.clone();
                std::thread::spawn(move || answer(stream, &shared));
            }
        });
        Lists { addr, at }
    })
}

fn answer(mut stream: TcpStream, at: &Mutex<HashMap<String, (Reply, usize)>>) {
    let mut head = Vec::new();
    let mut byte = [0];
    while !head.ends_with(b"\r\n\r\n") {
        if stream.read(&mut byte).unwrap_or(0) == 0 {
            return;
        }
        head.push(byte[0]);
    }
    let head = String::from_utf8_lossy(&head).to_ascii_lowercase();
    let path = head.split(' ').nth(1).unwrap_or_default().to_owned();
    let reply = match at.lock().unwrap().get_mut(&path) {
        Some((reply, count)) => {
            *count += 1;
            reply.clone()
        }
        None => Reply::Whole(404, "", vec![]),
    };
    let asked = path == "/keys" || head.starts_with("get ") && head.contains("\r\naccept: application/statuslist+jwt\r\n");
    let _ = match reply {
        _ if !asked => stream.write_all(b"HTTP/1.1 406 no\r\ncontent-length: 0\r\nconnection: close\r\n\r\n"),
        Reply::Whole(status, more, body) => {
            let head = format!("HTTP/1.1 {status} x\r\n{more}content-length: {}\r\nconnection: close\r\n\r\n", body.len());
            stream.write_all(head.as_bytes()).and_then(|()| stream.write_all(&body))
        }
        Reply::CutOff(body) => {
            let head = format!("HTTP/1.1 200 x\r\ncontent-length: {}\r\nconnection: close\r\n\r\n", body.len() + 1);
            stream.write_all(head.as_bytes()).and_then(|()| stream.write_all(&body))
        }
        // Until the gate gives up and closes.
        Reply::Stall => stream.read(&mut byte).map(drop),
    };
}

impl Lists {
    /// The address of a list.
    fn uri(&self, name: &str) -> String {
        format!("http://{}/status/{name}", self.addr)
    }

    fn serve(&self, name: &str, reply: Reply) {
        self.serve_at(format!("/status/{name}"), reply);
    }

    fn serve_at(&self, path: String, reply: Reply) {
        self.at.lock().unwrap().entry(path).or_insert((Reply::Stall, 0)).0 = reply;
    }

    /// Serves a text as it is.
    fn token(&self, name: &str, token: &str) {
        self.serve(name, Reply::Whole(200, "content-type: application/statuslist+jwt\r\n", token.into()));
    }

    /// How often a list was asked for.
    fn asked(&self, name: &str) -> usize {
        self.at.lock().unwrap().get(&format!("/status/{name}")).map_or(0, |(_, count)| *count)
    }

    fn allowed_host(&self) -> String {
        format!("http://{}", self.addr)
    }
}

/// A status list under construction: a good one until something is changed.
#[derive(Clone)]
struct List {
    claims: Value,
    token: Token,
}

impl List {
    /// A list with this name, of eight entries of four bits: 0 to 3, then 0, 15, 0, 0.
    fn new(name: &str, now: i64) -> Self {
        let lst = B64.encode(compress_to_vec_zlib(&[0x10, 0x32, 0xf0, 0x00], 9));
        Self {
            claims: json!({
                "sub": lists().uri(name), "iss": DEV_ISS, "iat": now - 5, "exp": now + 3000, "ttl": 600, "status_list": { "bits": 4, "lst": lst },
            }),
            token: Token::dev(now, "").header("typ", json!("statuslist+jwt")),
        }
    }

    fn claim(mut self, name: &str, value: Value) -> Self {
        self.claims[name] = value;
        self
    }

    fn token(mut self, change: impl FnOnce(Token) -> Token) -> Self {
        self.token = change(self.token);
        self
    }

    fn make(&self) -> String {
        self.token.clone().raw_claims(self.claims.to_string()).make()
    }
}

/// The suite's bundle, with issuers whose tokens may name lists of our server. The second requires it.
fn with_lists() -> &'static Bundle {
    static BUNDLE: OnceLock<Bundle> = OnceLock::new();
    BUNDLE.get_or_init(|| {
        let mut changed = bundle();
        let issuers = String::from_utf8(changed.get("keys/issuers.toml").unwrap().to_vec()).unwrap();
        let allow = format!("status_lists = [\"{}\"]\ninsecure_allow_http = true\n", lists().uri(""));
        let issuers = issuers.replace("prefix = \"dev/\"\n", &format!("prefix = \"dev/\"\n{allow}"));
        let issuers = issuers.replace("principal = \"Workload\"\n", &format!("principal = \"Workload\"\nrequire_status = true\n{allow}"));
        assert_eq!(issuers.matches("status_lists").count(), 2);
        let issuers = format!(
            "{issuers}\n[[issuer]]\nname = \"fetched\"\niss = \"{FETCHED_ISS}\"\naudience = \"cedargate\"\njwks_uri = \"http://{}/keys\"\n{allow}",
            lists().addr
        );
        changed.insert("keys/issuers.toml", issuers);
        changed
    })
}

fn setup() -> Setup {
    Setup::new(with_lists()).allow(&lists().allowed_host())
}

fn start(setup: Setup) -> Gate {
    setup.start(&Origin::start(([127, 0, 0, 1], 0).into()))
}

/// The gate most of these tests share.
fn shared() -> &'static Gate {
    static GATE: OnceLock<Gate> = OnceLock::new();
    GATE.get_or_init(|| start(setup()))
}

fn status(name: &str, index: u64) -> Value {
    json!({ "status_list": { "idx": index, "uri": lists().uri(name) } })
}

/// A request with a token that names an entry of a list.
fn ask(gate: &Gate, status: Value) -> Request {
    Request::get(PATH).bearer(&Token::dev(gate.now, "alice").groups(&["readers"]).claim("status", status).make())
}

fn check(gate: &Gate, what: &str, status: Value, expect: &Expect) -> Answer {
    gate.check(what, &ask(gate, status), expect)
}

/// An issuer that publishes its keys.
const FETCHED_ISS: &str = "https://fetched.example/";

const REVOKED: Expect = Expect::refused(401, "jwt.status_revoked");
const INVALID: Expect = Expect::refused(401, "jwt.status_invalid");
const UNAVAILABLE: Expect = Expect::refused(503, "system.status_unavailable");

#[test]
fn only_a_valid_token_passes() {
    let gate = shared();
    lists().token("good", &List::new("good", NOW).make());
    for valid in [0, 4, 6, 7] {
        check(gate, "valid", status("good", valid), &Expect::allowed());
    }
    for (what, index) in [("invalid", 1), ("suspended", 2), ("what the application says", 3), ("reserved", 5)] {
        let answer = check(gate, what, status("good", index), &REVOKED);
        assert_eq!(answer.response.code(), "invalid_token", "{what}");
        answer.with_record(|record| assert!(record["detail"].as_str().unwrap().contains("status"), "{record}"));
    }
    gate.check("a token that names none", &ask(gate, Value::Null), &Expect::allowed());
    // One bit and eight bits, the least significant first.
    let packed = |bits: u8, entries: &[u8]| json!({ "bits": bits, "lst": B64.encode(compress_to_vec_zlib(entries, 9)) });
    lists().token("bits", &List::new("bits", NOW).claim("status_list", packed(1, &[0b1000_0010])).make());
    for (index, expect) in
        [(0, Expect::allowed()), (1, REVOKED), (2, Expect::allowed()), (6, Expect::allowed()), (7, REVOKED), (8, INVALID)]
    {
        check(gate, "bits", status("bits", index), &expect);
    }
    lists().token("bytes", &List::new("bytes", NOW).claim("status_list", packed(8, &[0, 1, 255])).make());
    for (index, expect) in [(0, Expect::allowed()), (1, REVOKED), (2, REVOKED), (3, INVALID)] {
        check(gate, "bytes", status("bytes", index), &expect);
    }
}

#[test]
fn a_reference_that_cannot_be_followed_is_refused() {
    let gate = shared();
    lists().token("reference", &List::new("reference", NOW).make());
    check(gate, "control", status("reference", 7), &Expect::allowed());
    check(gate, "no such place", status("reference", 8), &INVALID);
    check(gate, "no such place in any list", status("reference", u64::MAX / 4), &INVALID);
    lists().token("../other", &List::new("../other", NOW).make());
    for (what, status) in [
        ("no list", json!({})),
        ("another mechanism", json!({ "another": {} })),
        ("an index that is no number", json!({ "status_list": { "idx": "0", "uri": lists().uri("reference") } })),
        ("no address", json!({ "status_list": { "idx": 0 } })),
        ("another folder", json!({ "status_list": { "idx": 0, "uri": format!("http://{}/other/good", lists().addr) } })),
        ("above the folder", status("../other", 0)),
        ("another scheme", json!({ "status_list": { "idx": 0, "uri": lists().uri("reference").replace("http:", "https:") } })),
        ("another host", json!({ "status_list": { "idx": 0, "uri": "http://127.0.0.2/status/reference" } })),
    ] {
        check(gate, what, status, &INVALID);
    }
    assert_eq!(lists().asked("../other"), 0);
    // The suite's own gate has issuers without lists.
    let plain = super::support::gate::gate();
    if plain.is_local() {
        check(plain, "an issuer without lists", status("reference", 7), &INVALID);
        check(plain, "control", Value::Null, &Expect::allowed());
    }
}

#[test]
fn an_issuer_can_require_a_status() {
    let gate = shared();
    let list = List::new("partner", NOW).token(|_| Token::partner(NOW, "").header("typ", json!("statuslist+jwt")));
    let list = list.claim("iss", json!(super::support::token::PARTNER_ISS));
    lists().token("partner", &list.make());
    let ask = |status: Value| Request::get(PATH).bearer(&Token::partner(NOW, "svc-1").claim("status", status).make());
    // A workload nobody permits anything: verified, so 403 and not 401.
    gate.check("control", &ask(status("partner", 0)), &Expect::denied(403));
    gate.check("none", &ask(Value::Null), &INVALID);
    gate.check("revoked", &ask(status("partner", 1)), &REVOKED);
    // The same address for a token of another issuer: its keys do not verify the list.
    check(gate, "another issuer's list", status("partner", 0), &UNAVAILABLE);
}

#[test]
fn a_list_is_verified_with_the_keys_its_issuer_publishes() {
    let gate = shared();
    let jwk = cedargate::identity::signing::public_jwk("EdDSA", include_bytes!("../gate/private/stranger.pk8"), "published").unwrap();
    lists().serve_at("/keys".into(), Reply::Whole(200, "", json!({ "keys": [jwk] }).to_string().into()));
    let published = |token: Token| token.key(Key::Stranger).header("kid", json!("published"));
    let list = |name: &str| List::new(name, NOW).claim("iss", json!(FETCHED_ISS));
    lists().token("published", &list("published").token(published).make());
    lists().token("sealed", &list("sealed").make());
    let ask = |status: Value| {
        let token = published(Token::dev(NOW, "carol")).claim("iss", json!(FETCHED_ISS)).claim("status", status);
        Request::get(PATH).bearer(&token.make())
    };
    // A user nobody permits anything: verified, so 403 and not 401.
    gate.check("control", &ask(status("published", 0)), &Expect::denied(403));
    gate.check("revoked", &ask(status("published", 1)), &REVOKED);
    gate.check("a list of another issuer's key", &ask(status("sealed", 0)), &UNAVAILABLE);
    // And the published key is not the other issuer's.
    lists().token("not-theirs", &List::new("not-theirs", NOW).token(published).make());
    check(gate, "another issuer's published key", status("not-theirs", 0), &UNAVAILABLE);
}

#[test]
fn a_list_that_cannot_be_had_or_believed_denies() {
    let gate = shared();
    let whole = |status, body: &str| Reply::Whole(status, "", body.into());
    let bomb = |bytes: usize| json!({ "bits": 8, "lst": B64.encode(compress_to_vec_zlib(&vec![0; bytes], 9)) });
    type Change = fn(List) -> List;
    let changes: [(&str, Change); 14] = [
        ("control", |list| list),
        ("a-strangers", |list| list.token(|token| token.key(Key::Stranger))),
        ("another-issuers", |list| list.token(|token| token.key(Key::Partner))),
        ("unknown-key", |list| list.token(|token| token.header("kid", json!("nobody")))),
        ("an-access-token", |list| list.token(|token| token.header("typ", json!("JWT")))),
        ("without-type", |list| list.token(|token| token.header("typ", Value::Null))),
        ("unsecured", |list| list.token(|token| token.header("alg", json!("none")))),
        ("wrong-sub", |list| list.claim("sub", json!(lists().uri("control")))),
        ("wrong-iss", |list| list.claim("iss", json!("https://evil.example/"))),
        ("expired", |list| list.claim("exp", json!(NOW - 60))),
        ("from-the-future", |list| list.claim("iat", json!(NOW + 60))),
        ("without-iat", |list| list.claim("iat", Value::Null)),
        ("no-ttl", |list| list.claim("ttl", json!(0))),
        ("no-list", |list| list.claim("status_list", json!({ "bits": 3, "lst": "" }))),
    ];
    for (name, change) in changes {
        lists().token(name, &change(List::new(name, NOW)).make());
    }
    let good = |name: &str| List::new(name, NOW).make();
    for (name, reply) in [
        ("missing", whole(404, "")),
        ("broken", whole(500, &good("broken"))),
        ("empty", whole(200, "")),
        ("garbage", whole(200, "<html>sign in</html>")),
        ("redirect", Reply::Whole(302, "location: /status/control\r\n", vec![])),
        ("no-content", whole(204, "")),
        ("cut-off", Reply::CutOff(good("cut-off").into())),
        ("large", whole(200, &"a".repeat(300_000))),
        ("bomb", whole(200, &List::new("bomb", NOW).claim("status_list", bomb(50_000_000)).make())),
        ("just-too-large", whole(200, &List::new("just-too-large", NOW).claim("status_list", bomb(1024 * 1024 + 1)).make())),
        ("stalls", Reply::Stall),
    ] {
        lists().serve(name, reply);
    }
    lists().token("just-small-enough", &List::new("just-small-enough", NOW).claim("status_list", bomb(1024 * 1024)).make());
    check(gate, "control", status("control", 0), &Expect::allowed());
    check(gate, "a million entries", status("just-small-enough", (1 << 20) - 1), &Expect::allowed());
    let refused = changes.iter().map(|(name, _)| *name).filter(|name| *name != "control");
    let broken =
        ["missing", "broken", "empty", "garbage", "redirect", "no-content", "cut-off", "large", "bomb", "just-too-large", "stalls"];
    for name in refused.chain(broken) {
        let answer = check(gate, name, status(name, 0), &UNAVAILABLE);
        assert!(lists().asked(name) >= 1, "{name}");
        assert_eq!(answer.response.code(), "unavailable", "{name}");
    }
    check(gate, "the control still", status("control", 0), &Expect::allowed());
    // A host that the manifest does not allow is not reached.
    let alone = start(Setup::new(with_lists()));
    let before = lists().asked("control");
    check(&alone, "a host that may not be reached", status("control", 0), &UNAVAILABLE);
    assert_eq!(lists().asked("control"), before);
    assert_eq!(gate.metrics().failed_instances, 0);
}

#[test]
fn a_token_that_is_refused_asks_for_no_list() {
    let gate = shared();
    lists().token("unasked", &List::new("unasked", NOW).make());
    let token = || Token::dev(NOW, "alice").groups(&["readers"]).claim("status", status("unasked", 0));
    let ask = |token: Token| Request::get(PATH).bearer(&token.make());
    gate.check("a stranger's", &ask(token().key(Key::Stranger)), &Expect::refused(401, "jwt.signature_invalid"));
    gate.check("expired", &ask(token().claim("exp", json!(NOW - 60))), &Expect::refused(401, "jwt.expired"));
    assert_eq!(lists().asked("unasked"), 0);
    gate.check("control", &ask(token()), &Expect::allowed());
    assert_eq!(lists().asked("unasked"), 1);
}

#[test]
fn a_list_is_fetched_once_for_all_who_ask() {
    // Its own store, so that instances that come and go find it.
    let gate = start(setup());
    lists().token("once", &List::new("once", NOW).make());
    for index in [0, 1, 4, 2, 7].into_iter().cycle().take(50) {
        check(&gate, "once", status("once", index), &if matches!(index, 1 | 2) { REVOKED } else { Expect::allowed() });
    }
    assert_eq!(lists().asked("once"), 1);
    // Without a store each instance fetches, and within one nobody does so twice, however many ask at the same time.
    let gate = start(setup().variable("key_value_store", ""));
    lists().token("together", &List::new("together", NOW).make());
    std::thread::scope(|scope| {
        for _ in 0..12 {
            scope.spawn(|| (0..5).for_each(|_| drop(check(&gate, "together", status("together", 0), &Expect::allowed()))));
        }
    });
    let (asked, instances) = (lists().asked("together"), gate.metrics().instances);
    assert!(asked >= 1 && asked as u64 <= instances, "{asked} times by {instances} instances");
}

#[test]
fn a_list_is_fetched_again_when_its_time_is_over() {
    let gate = start(Setup { now: None, ..setup() });
    let fresh = |ttl: i64, index: u64| List::new("short", gate.now).claim("ttl", json!(ttl)).claim("index", json!(index));
    lists().token("short", &fresh(1, 0).make());
    check(&gate, "at first", status("short", 0), &Expect::allowed());
    assert_eq!(lists().asked("short"), 1);
    // The caller is cut off: the list of a second later says so, and the gate finds it within its time.
    let revoked = json!({ "bits": 4, "lst": B64.encode(compress_to_vec_zlib(&[0x01], 9)) });
    lists().token("short", &fresh(1, 1).claim("status_list", revoked).make());
    let started = Instant::now();
    let request = ask(&gate, status("short", 0));
    while request.send(gate.addr).status == 200 {
        assert!(started.elapsed() < Duration::from_secs(20), "never fetched again");
        std::thread::yield_now();
    }
    check(&gate, "cut off", status("short", 0), &REVOKED);
    // And when the list can no longer be had, the one before does not count for longer than its time.
    lists().serve("short", Reply::Whole(500, "", vec![]));
    let started = Instant::now();
    while request.send(gate.addr).status == 401 {
        assert!(started.elapsed() < Duration::from_secs(20), "an old list is used for ever");
        std::thread::yield_now();
    }
    check(&gate, "no list", status("short", 0), &UNAVAILABLE);
}

#[test]
fn a_failure_is_not_asked_about_for_a_second_and_then_forgotten() {
    let gate = start(setup());
    lists().serve("down", Reply::Whole(503, "", vec![]));
    let started = Instant::now();
    for _ in 0..20 {
        check(&gate, "down", status("down", 0), &UNAVAILABLE);
    }
    // Each instance asks at most once a second.
    let most = (started.elapsed().as_secs() + 1) * gate.metrics().instances;
    assert!(lists().asked("down") as u64 <= most, "{} times, at most {most}", lists().asked("down"));
    lists().token("down", &List::new("down", NOW).make());
    let started = Instant::now();
    while ask(&gate, status("down", 0)).send(gate.addr).status != 200 {
        assert!(started.elapsed() < Duration::from_secs(20), "a failure is remembered for ever");
        std::thread::yield_now();
    }
}

#[test]
fn what_the_store_holds_is_verified_again() {
    let store = KeyValue::memory(BTreeSet::from(["default".to_owned()])).unwrap();
    let gate = |store: &KeyValue| start(Setup { key_value: Some(store.clone()), ..setup() });
    lists().token("stored", &List::new("stored", NOW).make());
    check(&gate(&store), "fetched", status("stored", 0), &Expect::allowed());
    assert_eq!(lists().asked("stored"), 1);
    // Another gate finds it there, also while the issuer is away.
    lists().serve("stored", Reply::Whole(500, "", vec![]));
    check(&gate(&store), "from the store", status("stored", 0), &Expect::allowed());
    check(&gate(&store), "from the store", status("stored", 1), &REVOKED);
    assert_eq!(lists().asked("stored"), 1);
    // Whoever can write to the store cannot make a token valid.
    let key = format!("status/{}", Digest::of(format!("dev\n{}", lists().uri("stored")).as_bytes()));
    let default = store.open("default").unwrap();
    assert!(default.get(&key).unwrap().is_some());
    let all_valid = json!({ "bits": 4, "lst": B64.encode(compress_to_vec_zlib(&[0; 4], 9)) });
    let forged = List::new("stored", NOW).claim("status_list", all_valid);
    let real = List::new("stored", NOW).make();
    for (what, value) in [
        ("a stranger's list", format!("{NOW}\n{}", forged.clone().token(|token| token.key(Key::Stranger)).make())),
        ("another list", format!("{NOW}\n{}", forged.clone().claim("sub", json!(lists().uri("other"))).make())),
        ("fetched too long ago", format!("{}\n{}", NOW - 601, forged.make())),
        ("fetched in the future", format!("{}\n{}", NOW + 1, forged.make())),
        ("garbage", "x".to_owned()),
        ("nothing", String::new()),
    ] {
        default.set(&key, value.as_bytes()).unwrap();
        lists().serve("stored", Reply::Whole(500, "", vec![]));
        check(&gate(&store), what, status("stored", 1), &UNAVAILABLE);
        lists().token("stored", &real);
        check(&gate(&store), what, status("stored", 1), &REVOKED);
    }
}
