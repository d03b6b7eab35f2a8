//! Keys that rotate, against a server that publishes them and fails in every way it can.

use std::sync::OnceLock;
use std::time::Duration;

use cedargate::bundle::Bundle;
use cedargate::host::RecordSink;
use cedargate::host::key_value::KeyValue;
use serde_json::json;

use super::support::client::Request;
use super::support::gate::{Expect, Gate, NOW, Setup, bundle};
use super::support::jwks_server::{Behaviour, JwksServer, eventually, jwk, jwks};
use super::support::origin::Origin;
use super::support::token::{Key, Token};

const PATH: &str = "/api/documents/1";
/// Issuers that name their `jwks_uri`: one for each test, so that tests do not count each other's fetches.
const ISSUERS: [&str; 12] = ["fails", "hammered", "shared", "rotates", "ends", "never", "one", "two", "three", "alone", "barred", "cached"];

/// The server all tests use, and a bundle with issuers that publish there.
fn world() -> &'static (JwksServer, Bundle) {
    static WORLD: OnceLock<(JwksServer, Bundle)> = OnceLock::new();
    WORLD.get_or_init(|| {
        let server = JwksServer::start();
        let url = server.url();
        let mut issuers = String::new();
        let mut add = |name: &str, iss: &str, source: &str| {
            issuers.push_str(&format!(
                "[[issuer]]\nname = \"{name}\"\niss = \"{iss}\"\naudience = \"cedargate\"\ninsecure_allow_http = true\n{source}\n\
                 [[mapping]]\nissuer = \"{name}\"\nclaim = \"groups\"\nvalue = \"readers\"\nto = \"readers\"\n"
            ));
        };
        for name in ISSUERS {
            let stale = if name == "ends" { "\nstale_if_error_seconds = 3600" } else { "" };
            add(name, &iss(name), &format!("jwks_uri = \"{url}{}\"{stale}", path(name)));
        }
        add("openid", &format!("{url}/openid/"), "discovery = \"openid\"");
        add("oauth", &format!("{url}/oauth"), "discovery = \"oauth\"");
        add("liar", &format!("{url}/liar"), "discovery = \"openid\"");
        let mut bundle = bundle();
        let suite = String::from_utf8(bundle.get("keys/issuers.toml").unwrap().to_vec()).unwrap();
        bundle.insert("keys/issuers.toml", format!("{suite}\n{issuers}"));
        (server, bundle)
    })
}

fn server() -> &'static JwksServer {
    &world().0
}

fn iss(name: &str) -> String {
    format!("https://{name}.example/")
}

fn path(name: &str) -> String {
    format!("/{name}/keys")
}

fn setup() -> Setup {
    Setup { diagnostics: RecordSink::memory(), ..Setup::new(&world().1) }.allow(&server().url())
}

fn start(setup: Setup) -> Gate {
    setup.start(&Origin::start(([127, 0, 0, 1], 0).into()))
}

/// A good request of an issuer whose key has this name.
fn request_of(gate: &Gate, iss: &str, kid: &str, key: Key) -> Request {
    let token = Token::dev(gate.now, "alice").claim("iss", json!(iss)).groups(&["readers"]).key(key).header("kid", json!(kid));
    Request::get(PATH).bearer(&token.make())
}

fn request(gate: &Gate, name: &str, kid: &str, key: Key) -> Request {
    request_of(gate, &iss(name), kid, key)
}

fn unknown() -> Expect {
    Expect::refused(401, "jwt.key_unknown")
}

fn stale() -> Expect {
    Expect::refused(503, "system.keys_stale")
}

/// What the gate told its operator about an issuer.
fn told(sink: &RecordSink, name: &str) -> Vec<String> {
    let about = format!("the keys of issuer `{name}` were not fetched");
    sink.lines().into_iter().filter(|line| line.contains(&about)).collect()
}

#[test]
fn good_tokens_never_fail_while_a_usable_set_exists() {
    let (name, path) = ("fails", path("fails"));
    server().publish(&path, &[("a", Key::Ed)]);
    let setup = setup();
    let diagnostics = setup.diagnostics.clone();
    let mut gate = start(setup);
    gate.check("the first waits for the set", &request(&gate, name, "a", Key::Ed), &Expect::allowed());
    assert_eq!(server().count(&path), 1);
    let good = jwks(&[("a", Key::Ed), ("b", Key::Partner)]);
    let mut private = jwk("b", Key::Partner);
    private["d"] = json!("AA");
    let with = |other: serde_json::Value| json!({ "keys": [jwk("a", Key::Ed), jwk("b", Key::Partner), other] }).to_string().into_bytes();
    let mut large = good.clone();
    large.resize(300 * 1024, b' ');
    let plain = |body: Vec<u8>| Behaviour::Good(vec![], body);
    for (n, (what, behaviour)) in [
        ("an error", Behaviour::Status(500, good.clone())),
        ("another success", Behaviour::Status(206, good.clone())),
        ("a redirect", Behaviour::Redirect(format!("{}/one/keys", server().url()))),
        ("a closed connection", Behaviour::Close),
        ("no answer", Behaviour::Stall),
        ("half an answer", Behaviour::StallInBody(good.clone())),
        ("less than announced", Behaviour::Short(good.clone())),
        ("more than announced", Behaviour::Long(good.clone())),
        ("too much", plain(large)),
        ("without end", Behaviour::Endless),
        ("garbage", plain(b"<html>not found</html>".to_vec())),
        ("no keys", plain(b"{\"keys\":[]}".to_vec())),
        ("a private key", plain(json!({ "keys": [private] }).to_string().into_bytes())),
        ("a symmetric key", plain(with(json!({ "kty": "oct", "k": "c2VjcmV0", "kid": "c" })))),
        ("a weak key", plain(with(json!({ "kty": "RSA", "n": "AQAB", "e": "AQAB", "kid": "c" })))),
        ("a name twice", plain(with(jwk("a", Key::Stranger)))),
    ]
    .into_iter()
    .enumerate()
    {
        server().set(&path, behaviour);
        // Past its freshness, and past the interval.
        gate.set_now(NOW + 301 * (n as i64 + 1));
        gate.check(what, &request(&gate, name, "a", Key::Ed), &Expect::allowed());
        if what == "no answer" {
            server().wait(&path, n + 2);
            assert_eq!(told(&diagnostics, name).len(), n, "the request did not wait for the attempt, which is still under way");
        }
        std::thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| {
                    for _ in 0..4 {
                        gate.check(what, &request(&gate, name, "a", Key::Ed), &Expect::allowed());
                    }
                });
            }
        });
        // The attempt is over: the operator was told.
        eventually(&format!("a word about {what}"), || told(&diagnostics, name).len() > n);
        gate.check(what, &request(&gate, name, "a", Key::Ed), &Expect::allowed());
        gate.check(what, &request(&gate, name, "b", Key::Partner), &unknown());
        assert_eq!(server().count(&path), n + 2, "one attempt in this interval: {what}");
        let line = told(&diagnostics, name).pop().unwrap();
        assert!(line.contains("may be used for another") && line.contains(&server().url()), "{line}");
    }
    // And it comes back to life by itself.
    server().set(&path, plain(with(json!({ "kty": "EC", "crv": "P-521", "x": "AA", "y": "AA", "kid": "c" }))));
    gate.set_now(gate.now + 301);
    gate.check("a good set again", &request(&gate, name, "b", Key::Partner), &Expect::allowed());
    gate.check("a good set again", &request(&gate, name, "a", Key::Ed), &Expect::allowed());
    assert_eq!(gate.metrics().failed_instances, 0);
}

#[test]
fn unknown_keys_cause_one_fetch_in_an_interval() {
    let (name, path) = ("hammered", path("hammered"));
    server().set(&path, Behaviour::Good(vec![("cache-control", "max-age=7200".into())], jwks(&[("a", Key::Ed)])));
    let mut gate = start(setup());
    gate.check("first", &request(&gate, name, "a", Key::Ed), &Expect::allowed());
    for round in 0..4 {
        std::thread::scope(|scope| {
            let gate = &gate;
            for thread in 0..8 {
                scope.spawn(move || {
                    for i in 0..25 {
                        let kid = format!("made-up-{round}-{thread}-{i}");
                        gate.check("unknown", &request(gate, name, &kid, Key::Stranger), &unknown());
                        gate.check("good", &request(gate, name, "a", Key::Ed), &Expect::allowed());
                    }
                });
            }
        });
        // In the first round the interval of the first fetch is not over.
        assert_eq!(server().count(&path), round + 1, "round {round}");
        gate.set_now(gate.now + 60);
    }
    // One and the same is asked for once, and then known to be missing.
    gate.check("a ghost", &request(&gate, name, "ghost", Key::Stranger), &unknown());
    assert_eq!(server().count(&path), 5);
    for _ in 0..3 {
        gate.set_now(gate.now + 60);
        gate.check("the same ghost", &request(&gate, name, "ghost", Key::Stranger), &unknown());
        assert_eq!(server().count(&path), 5);
    }
    gate.check("another", &request(&gate, name, "another", Key::Stranger), &unknown());
    assert_eq!(server().count(&path), 6);
    // For a while: then it may be asked for again.
    gate.set_now(gate.now + 601);
    server().publish(&path, &[("a", Key::Ed), ("ghost", Key::Stranger)]);
    gate.check("the ghost is real now", &request(&gate, name, "ghost", Key::Stranger), &Expect::allowed());
    assert_eq!((server().count(&path), gate.metrics().failed_instances), (7, 0));
}

#[test]
fn instances_and_gates_that_share_a_store_share_one_fetch() {
    let (name, path) = ("shared", path("shared"));
    server().set(&path, Behaviour::Slow(Duration::from_millis(300), jwks(&[("a", Key::Ed)])));
    let stores = KeyValue::memory(["default".to_owned()].into()).unwrap();
    // Each request has an instance of its own, so that each begins with nothing.
    let cold = || {
        let mut setup = setup().key_value(&stores);
        (setup.limits.max_reuse, setup.limits.max_concurrent_reuse) = (1, 1);
        setup
    };
    let mut gates = [start(cold()), start(cold())];
    for round in 0..3 {
        std::thread::scope(|scope| {
            for gate in &gates {
                for _ in 0..4 {
                    scope.spawn(|| {
                        for _ in 0..4 {
                            gate.check("good", &request(gate, name, "a", Key::Ed), &Expect::allowed());
                        }
                    });
                }
            }
        });
        server().wait(&path, round + 1);
        assert_eq!(server().count(&path), round + 1, "round {round}");
        gates.iter_mut().for_each(|gate| gate.set_now(gate.now + 301));
    }
    assert!(gates[0].metrics().instances > 10, "{:?}", gates[0].metrics());
}

#[test]
fn a_new_key_is_found_at_once_and_a_removed_one_is_refused_after_the_refresh() {
    let (name, path) = ("rotates", path("rotates"));
    server().publish(&path, &[("old", Key::Ed)]);
    let mut gate = start(setup());
    gate.check("old", &request(&gate, name, "old", Key::Ed), &Expect::allowed());
    // The provider adds a key and signs with it; its set is still fresh here.
    server().publish(&path, &[("old", Key::Ed), ("new", Key::Partner)]);
    gate.check("too early to ask", &request(&gate, name, "new", Key::Partner), &unknown());
    gate.set_now(gate.now + 60);
    gate.check("new", &request(&gate, name, "new", Key::Partner), &Expect::allowed());
    gate.check("old beside it", &request(&gate, name, "old", Key::Ed), &Expect::allowed());
    gate.check("new name, old key", &request(&gate, name, "new", Key::Ed), &Expect::refused(401, "jwt.signature_invalid"));
    assert_eq!(server().count(&path), 2);
    // It withdraws the old one.
    server().publish(&path, &[("new", Key::Partner)]);
    gate.check("fresh", &request(&gate, name, "old", Key::Ed), &Expect::allowed());
    gate.set_now(gate.now + 300);
    gate.check("behind the request's back", &request(&gate, name, "new", Key::Partner), &Expect::allowed());
    eventually("the end of the old key", || request(&gate, name, "old", Key::Ed).send(gate.addr).status == 401);
    gate.check("withdrawn", &request(&gate, name, "old", Key::Ed), &unknown());
    gate.check("new", &request(&gate, name, "new", Key::Partner), &Expect::allowed());
    assert_eq!(server().count(&path), 3);
}

#[test]
fn an_answer_says_how_long_it_counts() {
    let (name, path) = ("cached", path("cached"));
    let fields = vec![("cache-control", "public, max-age=1000".into()), ("age", "100".into())];
    server().set(&path, Behaviour::Good(fields, jwks(&[("a", Key::Ed)])));
    let mut gate = start(setup());
    gate.check("first", &request(&gate, name, "a", Key::Ed), &Expect::allowed());
    gate.set_now(NOW + 899);
    gate.check("fresh", &request(&gate, name, "a", Key::Ed), &Expect::allowed());
    assert_eq!(server().count(&path), 1);
    server().set(&path, Behaviour::Good(vec![("cache-control", "no-store".into())], jwks(&[("a", Key::Ed)])));
    gate.set_now(NOW + 900);
    gate.check("no longer", &request(&gate, name, "a", Key::Ed), &Expect::allowed());
    server().wait(&path, 2);
}

#[test]
fn a_set_ends_at_its_maximum_age() {
    let (name, path) = ("ends", path("ends"));
    server().publish(&path, &[("a", Key::Ed)]);
    let mut gate = start(setup());
    gate.check("fetched", &request(&gate, name, "a", Key::Ed), &Expect::allowed());
    server().set(&path, Behaviour::Status(500, vec![]));
    gate.set_now(NOW + 3599);
    gate.check("the last second", &request(&gate, name, "a", Key::Ed), &Expect::allowed());
    server().wait(&path, 2);
    gate.set_now(NOW + 3600);
    let answer = gate.check("too old", &request(&gate, name, "a", Key::Ed), &stale());
    assert_eq!(answer.response.code(), "unavailable");
    // Nobody else is touched.
    gate.check("sealed keys", &Request::get(PATH).bearer(&Token::dev(gate.now, "alice").groups(&["readers"]).make()), &Expect::allowed());
    server().publish(&path, &[("a", Key::Ed)]);
    gate.check("not yet asked again", &request(&gate, name, "a", Key::Ed), &stale());
    assert_eq!(server().count(&path), 2);
    gate.set_now(NOW + 3599 + 60);
    gate.check("asked again", &request(&gate, name, "a", Key::Ed), &Expect::allowed());
    assert_eq!(server().count(&path), 3);
}

#[test]
fn an_issuer_that_never_answered_is_asked_once_in_an_interval() {
    let (name, path) = ("never", path("never"));
    server().set(&path, Behaviour::Status(503, vec![]));
    let mut gate = start(setup());
    for round in 1..=2 {
        std::thread::scope(|scope| {
            for _ in 0..8 {
                scope.spawn(|| gate.check("no set", &request(&gate, name, "a", Key::Ed), &stale()));
            }
        });
        assert_eq!(server().count(&path), round);
        gate.set_now(gate.now + 60);
    }
    server().publish(&path, &[("a", Key::Ed)]);
    gate.check("control", &request(&gate, name, "a", Key::Ed), &Expect::allowed());
}

#[test]
fn a_set_of_one_issuer_never_serves_another() {
    // The same name for two keys, and a third issuer with nothing.
    server().publish(&path("one"), &[("k", Key::Ed)]);
    server().publish(&path("two"), &[("k", Key::Partner)]);
    server().set(&path("three"), Behaviour::Close);
    let stores = KeyValue::memory(["default".to_owned()].into()).unwrap();
    let store = stores.open("default").unwrap();
    let sets = || -> Vec<String> { store.keys().unwrap().into_iter().filter(|key| key.starts_with("keys/") && key.len() == 69).collect() };
    let gate = start(setup().key_value(&stores));
    gate.check("one", &request(&gate, "one", "k", Key::Ed), &Expect::allowed());
    eventually("the first set in the store", || sets().len() == 1);
    let first = sets().remove(0);
    gate.check("two", &request(&gate, "two", "k", Key::Partner), &Expect::allowed());
    gate.check("one's key for two", &request(&gate, "two", "k", Key::Ed), &Expect::refused(401, "jwt.signature_invalid"));
    gate.check("two's key for one", &request(&gate, "one", "k", Key::Partner), &Expect::refused(401, "jwt.signature_invalid"));
    gate.check("one's key for three", &request(&gate, "three", "k", Key::Ed), &stale());
    // Not even when the store mixes them up.
    eventually("the second set in the store", || sets().len() == 2);
    let second = sets().into_iter().find(|key| *key != first).unwrap();
    server().set(&path("two"), Behaviour::Close);
    let (ones, twos) = (store.get(&first).unwrap().unwrap(), store.get(&second).unwrap().unwrap());
    let other = start(setup().key_value(&stores));
    other.check("two's set, from the store", &request(&other, "two", "k", Key::Partner), &Expect::allowed());
    for wrong in [ones.as_slice(), b"", b"{}", &twos[..twos.len() - 1]] {
        store.set(&second, wrong).unwrap();
        let other = start(setup().key_value(&stores));
        other.check("another's set in the store", &request(&other, "two", "k", Key::Ed), &stale());
        other.check("another's set in the store", &request(&other, "two", "k", Key::Partner), &stale());
    }
    store.set(&second, &twos).unwrap();
    let other = start(setup().key_value(&stores));
    other.check("its own again", &request(&other, "two", "k", Key::Partner), &Expect::allowed());
}

#[test]
fn metadata_lead_to_the_keys_of_their_own_issuer_only() {
    let url = server().url();
    let metadata =
        |iss: &str, keys: &str| Behaviour::Good(vec![], json!({ "issuer": iss, "jwks_uri": format!("{url}{keys}") }).to_string().into());
    for (iss, place) in [
        (format!("{url}/openid/"), "/openid/.well-known/openid-configuration"),
        (format!("{url}/oauth"), "/.well-known/oauth-authorization-server/oauth"),
        (format!("{url}/liar"), "/liar/.well-known/openid-configuration"),
    ] {
        server().set(place, metadata(&iss, "/discovered"));
    }
    server().publish("/discovered", &[("d", Key::Ed)]);
    let gate = start(setup());
    gate.check("openid", &request_of(&gate, &format!("{url}/openid/"), "d", Key::Ed), &Expect::allowed());
    gate.check("oauth", &request_of(&gate, &format!("{url}/oauth"), "d", Key::Ed), &Expect::allowed());
    gate.check("control", &request_of(&gate, &format!("{url}/liar"), "d", Key::Ed), &Expect::allowed());
    for wrong in [
        metadata(&format!("{url}/liar/"), "/discovered"),
        metadata(&format!("{url}/oauth"), "/discovered"),
        Behaviour::Good(vec![], b"{}".to_vec()),
        Behaviour::Status(404, vec![]),
    ] {
        server().set("/liar/.well-known/openid-configuration", wrong);
        let setup = setup();
        let diagnostics = setup.diagnostics.clone();
        let gate = start(setup);
        gate.check("not its metadata", &request_of(&gate, &format!("{url}/liar"), "d", Key::Ed), &stale());
        assert_eq!(told(&diagnostics, "liar").len(), 1);
    }
}

#[test]
fn a_gate_without_a_store_or_with_one_that_fails_fetches_for_itself() {
    let (name, path) = ("alone", path("alone"));
    server().publish(&path, &[("a", Key::Ed)]);
    let gate = start(setup().variable("key_value_store", ""));
    gate.check("no store", &request(&gate, name, "a", Key::Ed), &Expect::allowed());
    // The keys are there; it is the revocation list that is not.
    let gate = start(setup().variable("key_value_store", "of-nobody"));
    gate.check("a store that fails", &request(&gate, name, "a", Key::Ed), &Expect::refused(503, "system.store_unavailable"));
    assert_eq!(server().count(&path), 2);
}

#[test]
fn an_issuer_that_the_manifest_does_not_allow_is_not_asked() {
    let (name, path) = ("barred", path("barred"));
    server().publish(&path, &[("a", Key::Ed)]);
    let mut setup = setup();
    setup.allowed.clear();
    let diagnostics = setup.diagnostics.clone();
    let gate = start(setup);
    gate.check("not allowed", &request(&gate, name, "a", Key::Ed), &stale());
    assert_eq!((server().count(&path), told(&diagnostics, name).len()), (0, 1));
    let gate = start(self::setup());
    gate.check("control", &request(&gate, name, "a", Key::Ed), &Expect::allowed());
}
