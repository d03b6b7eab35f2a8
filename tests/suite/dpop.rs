//! DPoP (RFC 9449): each way a proof can be wrong, beside one that is right; nonces; and proofs that come twice.

use std::time::Duration;

use cedargate::bundle::{Bundle, Gate as Sealed, Report};
use cedargate::decision::UnixTime;
use cedargate::host::key_value::KeyValue;
use cedargate::host::{InstanceLimits, Manifest};
use cedargate::identity::{Deployment, Secret, dpop_nonce};
use serde_json::{Value, json};

use super::support::client::Request;
use super::support::gate::{Expect, Gate, NOW, Setup, bundle, gate, root};
use super::support::origin::Origin;
use super::support::token::{Key, Proof, Token, public_jwk, sha256, thumbprint};

const PATH: &str = "/api/documents/1";
const URL: &str = "https://api.example.com/api/documents/1";

fn unbound_at(now: i64) -> Token {
    Token::dev(now, "alice").groups(&["readers"])
}

fn unbound() -> Token {
    unbound_at(gate().now())
}

/// Bound to the key that proofs are made with.
fn bound_at(now: i64) -> String {
    unbound_at(now).bound_to(&thumbprint(&public_jwk("EdDSA", Key::Stranger))).make()
}

fn alice() -> String {
    bound_at(gate().now())
}

fn proof(token: &str) -> Proof {
    Proof::new(gate().now(), "GET", URL, token)
}

fn ask(token: &str, proof: &str) -> Request {
    Request::get(PATH).header("Authorization", format!("DPoP {token}")).header("DPoP", proof)
}

fn refused(name: &str, request: &Request, reason: &'static str) {
    gate().check(name, request, &Expect::refused(401, reason));
}

#[test]
fn a_bound_token_with_its_proof_passes() {
    let token = alice();
    let answer = gate().check("control", &ask(&token, &proof(&token).make()), &Expect::allowed());
    answer.with_record(|record| assert_eq!(record["identity"]["subject"], "alice"));
    for (alg, key) in [("ES256", Key::Es256), ("PS256", Key::Rsa)] {
        let token = unbound().bound_to(&thumbprint(&public_jwk(alg, key))).make();
        gate().check(alg, &ask(&token, &proof(&token).signed(alg, key).make()), &Expect::allowed());
    }
    // The URL in other words, and what the gate itself sees.
    for url in [
        "HTTPS://API.example.com:443/api/documents/%31",
        "https://api.example.com/api/documents/1?page=2#x",
        "http://api.example.com/api/documents/1",
    ] {
        gate().check(url, &ask(&token, &proof(&token).claim("htu", json!(url)).make()), &Expect::allowed());
    }
    let other = Request::new("DELETE", PATH).header("Authorization", format!("dpop {token}"));
    let other = other.header("dpop", proof(&token).claim("htm", json!("DELETE")).make());
    gate().check("verified, and may not", &other, &Expect::denied(403));
}

#[test]
fn a_token_comes_as_what_it_is() {
    let (bound, bearer) = (alice(), unbound().make());
    gate().check("control", &ask(&bound, &proof(&bound).make()), &Expect::allowed());
    gate().check("the other control", &Request::get(PATH).bearer(&bearer), &Expect::allowed());
    refused("a bound token as a bearer token", &Request::get(PATH).bearer(&bound), "dpop.bearer");
    let with_proof = Request::get(PATH).bearer(&bound).header("DPoP", proof(&bound).make());
    refused("the same with its proof", &with_proof, "dpop.bearer");
    refused("a bearer token as a bound one", &ask(&bearer, &proof(&bearer).make()), "dpop.not_bound");
    refused("without a proof", &Request::get(PATH).header("Authorization", format!("DPoP {bound}")), "dpop.proof_missing");
    let conflict = Expect::refused(400, "request.credentials_conflict");
    gate().check("a bearer token with a proof", &Request::get(PATH).bearer(&bearer).header("DPoP", proof(&bearer).make()), &conflict);
    gate().check("a proof alone", &Request::get(PATH).header("DPoP", proof(&bound).make()), &conflict);
    gate().check("a proof alone on a public path", &Request::get("/health").header("DPoP", proof(&bound).make()), &conflict);
    let twice = ask(&bound, &proof(&bound).make()).header("DPoP", proof(&bound).make());
    gate().check("two proofs", &twice, &Expect::refused(400, "request.dpop_repeated"));
}

#[test]
fn every_part_of_a_proof_counts() {
    let token = alice();
    let good = || proof(&token);
    gate().check("control", &ask(&token, &good().make()), &Expect::allowed());
    let compact = good().make();
    let [h, p, s] = compact.split('.').collect::<Vec<_>>()[..] else { panic!() };
    let mut private = public_jwk("EdDSA", Key::Stranger);
    private["d"] = json!(sha256(b"not the private key"));
    let weak = json!({"kty": "OKP", "crv": "Ed25519", "x": "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA"});
    let cases: Vec<(&str, String, &'static str)> = vec![
        ("empty", String::new(), "dpop.malformed"),
        ("not a JWT", "proof".to_owned(), "dpop.malformed"),
        ("padded", format!("{compact}=="), "dpop.malformed"),
        ("two in one", format!("{compact}, {compact}"), "dpop.malformed"),
        ("large", good().header("x", json!("a".repeat(6_000))).make(), "dpop.malformed"),
        ("critical extension", good().header("crit", json!(["exp"])).make(), "dpop.malformed"),
        ("type of a token", good().header("typ", json!("JWT")).make(), "dpop.type"),
        ("no type", good().header("typ", Value::Null).make(), "dpop.type"),
        ("unsecured", format!("{h}.{p}."), "dpop.algorithm"),
        ("none", good().header("alg", json!("none")).make(), "dpop.algorithm"),
        ("symmetric", good().header("alg", json!("HS256")).make(), "dpop.algorithm"),
        ("an algorithm that is not allowed", good().header("alg", json!("RS256")).make(), "dpop.algorithm"),
        ("no key", good().header("jwk", Value::Null).make(), "dpop.key_invalid"),
        ("a private key", good().header("jwk", private).make(), "dpop.key_invalid"),
        ("a weak key", good().header("jwk", weak).make(), "dpop.key_invalid"),
        ("a key for something else", good().header("jwk", public_jwk("ES256", Key::Es256)).make(), "dpop.key_invalid"),
        ("another key", good().signed("ES256", Key::Es256).make(), "dpop.key_mismatch"),
        ("another key of the same kind", good().signed("EdDSA", Key::Partner).make(), "dpop.key_mismatch"),
        ("signed with another key", good().key(Key::Partner).make(), "dpop.signature_invalid"),
        ("another signature", format!("{h}.{p}.{}", &good().make().rsplit('.').next().unwrap()), "dpop.signature_invalid"),
        ("the signature cut", format!("{h}.{p}.{}", &s[..s.len() - 2]), "dpop.signature_invalid"),
        ("no jti", good().claim("jti", Value::Null).make(), "dpop.claims_invalid"),
        ("a long jti", good().claim("jti", json!("j".repeat(300))).make(), "dpop.claims_invalid"),
        ("no htu", good().claim("htu", Value::Null).make(), "dpop.claims_invalid"),
        ("no iat", good().claim("iat", Value::Null).make(), "dpop.claims_invalid"),
        ("an odd iat", good().claim("iat", json!("now")).make(), "dpop.claims_invalid"),
        ("no ath", good().claim("ath", Value::Null).make(), "dpop.claims_invalid"),
        ("another method", good().claim("htm", json!("POST")).make(), "dpop.method_mismatch"),
        ("the method in lower case", good().claim("htm", json!("get")).make(), "dpop.method_mismatch"),
        ("another path", good().claim("htu", json!("https://api.example.com/api/documents/2")).make(), "dpop.url_mismatch"),
        ("a path below", good().claim("htu", json!(format!("{URL}/2"))).make(), "dpop.url_mismatch"),
        ("another host", good().claim("htu", json!("https://evil.example/api/documents/1")).make(), "dpop.url_mismatch"),
        ("another port", good().claim("htu", json!("https://api.example.com:8443/api/documents/1")).make(), "dpop.url_mismatch"),
        ("old", good().claim("iat", json!(gate().now() - 1_000)).make(), "dpop.expired"),
        ("expired by its own word", good().claim("exp", json!(gate().now() - 1_000)).make(), "dpop.expired"),
        ("from the future", good().claim("iat", json!(gate().now() + 1_000)).make(), "dpop.issued_in_future"),
        ("not yet", good().claim("nbf", json!(gate().now() + 1_000)).make(), "dpop.issued_in_future"),
        ("another token", good().claim("ath", json!(sha256(unbound().make().as_bytes()))).make(), "dpop.token_mismatch"),
    ];
    for (name, proof, reason) in cases {
        refused(name, &ask(&token, &proof), reason);
    }
    // A token stolen with a proof for it is of no use for anything but that one request.
    let elsewhere = Request::get("/api/documents/2").header("Authorization", format!("DPoP {token}")).header("DPoP", good().make());
    refused("the proof at another path", &elsewhere, "dpop.url_mismatch");
    // The token is refused first, and then nobody looks at the proof.
    let expired = unbound().bound_to(&thumbprint(&public_jwk("EdDSA", Key::Stranger))).claim("exp", json!(1)).make();
    refused("an expired token", &ask(&expired, "nothing"), "jwt.expired");
}

#[test]
fn the_time_of_a_proof_is_honoured_to_the_second_and_the_leeway() {
    if !gate().is_local() {
        return;
    }
    let token = alice();
    let at = |iat: i64| ask(&token, &proof(&token).claim("iat", json!(iat)).make());
    gate().check("as old as may be", &at(NOW - 70), &Expect::allowed());
    refused("a second older", &at(NOW - 71), "dpop.expired");
    gate().check("as far ahead as may be", &at(NOW + 10), &Expect::allowed());
    refused("a second further", &at(NOW + 11), "dpop.issued_in_future");
}

#[test]
fn a_proof_counts_once() {
    let token = alice();
    let one = proof(&token).make();
    gate().check("the first time", &ask(&token, &one), &Expect::allowed());
    refused("the second time", &ask(&token, &one), "dpop.replay");
    refused("the third time", &ask(&token, &one), "dpop.replay");
    let jti = proof(&token).claims["jti"].clone();
    gate().check("a name", &ask(&token, &proof(&token).claim("jti", jti.clone()).make()), &Expect::allowed());
    // The same `jti` in a proof that is otherwise new is the same proof.
    let again = proof(&token).claim("jti", jti.clone()).claim("x", json!(1)).make();
    refused("the same name", &ask(&token, &again), "dpop.replay");
    // Another key's `jti` is its own.
    let other = unbound().bound_to(&thumbprint(&public_jwk("ES256", Key::Es256))).make();
    let proof = proof(&other).signed("ES256", Key::Es256).claim("jti", jti).make();
    gate().check("the name of another key's", &ask(&other, &proof), &Expect::allowed());
}

/// A proof that was refused is not used up: what was wrong may have been the request, or the token.
#[test]
fn a_refused_request_does_not_use_up_its_proof() {
    let token = alice();
    let one = proof(&token).make();
    let elsewhere = Request::new("DELETE", PATH).header("Authorization", format!("DPoP {token}")).header("DPoP", &one);
    refused("another method", &elsewhere, "dpop.method_mismatch");
    gate().check("the request it was for", &ask(&token, &one), &Expect::allowed());
}

fn origin() -> Origin {
    Origin::start(([127, 0, 0, 1], 0).into())
}

fn setup(store: &str, max_reuse: usize) -> Setup {
    let mut setup = Setup::new(&bundle()).variable("key_value_store", store);
    setup.limits = InstanceLimits { max_reuse, idle_timeout: Duration::from_secs(600), ..InstanceLimits::default() };
    setup
}

/// Sends one proof twice.
fn twice(gate: &Gate, second: &Expect) {
    let token = bound_at(NOW);
    for _ in 0..3 {
        let one = Proof::new(NOW, "GET", URL, &token).make();
        gate.check("the first time", &ask(&token, &one), &Expect::allowed());
        gate.check("the second time", &ask(&token, &one), second);
    }
}

#[test]
fn an_instance_remembers_what_it_saw_without_a_store() {
    let gate = setup("", 128).start(&origin());
    twice(&gate, &Expect::refused(401, "dpop.replay"));
    // Best effort: another instance knows nothing of it. This is also what shows that the next test has new instances.
    let fresh = setup("", 1).start(&origin());
    twice(&fresh, &Expect::allowed());
}

#[test]
fn the_store_remembers_for_all_instances() {
    let gate = setup("default", 1).start(&origin());
    twice(&gate, &Expect::refused(401, "dpop.replay"));
}

/// Exact also when all come at once: the store compares and swaps.
#[test]
fn of_many_at_once_with_one_proof_one_passes() {
    let gate = setup("default", 1).start(&origin());
    let token = bound_at(NOW);
    for round in 0..5 {
        let one = Proof::new(NOW, "GET", URL, &token).make();
        let statuses: Vec<u16> = std::thread::scope(|scope| {
            let threads: Vec<_> = (0..8).map(|_| scope.spawn(|| ask(&token, &one).send(gate.addr).status)).collect();
            threads.into_iter().map(|thread| thread.join().unwrap()).collect()
        });
        assert_eq!(statuses.iter().filter(|status| **status == 200).count(), 1, "round {round}: {statuses:?}");
        assert!(statuses.iter().all(|status| [200, 401].contains(status)), "round {round}: {statuses:?}");
    }
}

#[test]
fn a_store_that_cannot_be_asked_denies() {
    twice(&setup("default", 128).start(&origin()), &Expect::refused(401, "dpop.replay"));
    let gate = setup("nowhere", 128).start(&origin());
    let token = bound_at(NOW);
    let request = ask(&token, &Proof::new(NOW, "GET", URL, &token).make());
    gate.check("no such store", &request, &Expect::refused(503, "system.store_unavailable"));
}

/// Here the store answers, and so does the revocation list: only what is kept of used proofs cannot be had.
#[test]
fn what_is_kept_of_proofs_denies_when_it_cannot_be_read() {
    let manifest = Manifest::read(&root().join("spin.toml")).unwrap();
    let app = manifest.resolve(&[("origin".to_owned(), "http://127.0.0.1:1".to_owned())].into_iter().collect(), |_| None).unwrap();
    let shared = KeyValue::memory(app.key_value_stores).unwrap();
    let store = shared.open("default").unwrap();
    let gate = setup("default", 1).key_value(&shared).start(&origin());
    let token = bound_at(NOW);
    let bound = || ask(&token, &Proof::new(NOW, "GET", URL, &token).make());
    gate.check("control", &bound(), &Expect::allowed());
    let list = |byte: u8| format!("dpop/{byte:02x}");
    (0..=255).for_each(|byte| store.set(&list(byte), b"not a list of proofs").unwrap());
    gate.check("unreadable", &bound(), &Expect::refused(503, "system.store_unavailable"));
    gate.check("a bearer token needs none", &Request::get(PATH).bearer(&unbound_at(NOW).make()), &Expect::allowed());
    (0..=255).for_each(|byte| store.delete(&list(byte)).unwrap());
    gate.check("the control again", &bound(), &Expect::allowed());
}

#[test]
fn the_public_url_is_what_a_proof_is_for() {
    let gate = setup("default", 128).variable("public_url", "https://edge.example.com").start(&origin());
    let token = bound_at(NOW);
    let at = |url: &str| ask(&token, &Proof::new(NOW, "GET", url, &token).make());
    gate.check("control", &at("https://edge.example.com/api/documents/1"), &Expect::allowed());
    let mismatch = Expect::refused(401, "dpop.url_mismatch");
    // SECURITY: whoever was sent a proof for another host could otherwise name that host here.
    gate.check("the host of the request", &at("https://api.example.com/api/documents/1"), &mismatch);
    gate.check("without TLS", &at("http://edge.example.com/api/documents/1"), &mismatch);
}

const SECRET: &str = "the nonce secret of the suite";

/// The suite's bundle, with nonces.
fn with_nonces() -> Bundle {
    let mut bundle = bundle();
    let issuers = String::from_utf8(bundle.get("keys/issuers.toml").unwrap().to_vec()).unwrap();
    bundle.insert("keys/issuers.toml", format!("{issuers}\n[dpop]\nnonce = \"required\"\nnonce_lifetime_seconds = 60\n"));
    bundle
}

/// What a gate with this secret gives out at a time.
fn nonce_at(secret: &str, time: i64) -> String {
    let sealed = Sealed::load(&with_nonces()).unwrap_or_else(|report: Report| panic!("{report}"));
    let deployment = Deployment { nonce_secrets: vec![Secret::new(secret).unwrap()], ..Deployment::default() };
    dpop_nonce(sealed.issuers().dpop(), &deployment, UnixTime(time)).unwrap()
}

#[test]
fn a_nonce_of_the_gates_makes_the_second_try_pass() {
    let previous = "the nonce secret before it";
    let gate =
        Setup::new(&with_nonces()).variable("dpop_nonce_secret", SECRET).variable("dpop_nonce_secret_previous", previous).start(&origin());
    let token = bound_at(NOW);
    let with = |nonce: Value| ask(&token, &Proof::new(NOW, "GET", URL, &token).claim("nonce", nonce).make());
    gate.check("none", &with(Value::Null), &Expect::refused(401, "dpop.nonce_required"));
    gate.check("the gate's", &with(json!(nonce_at(SECRET, NOW))), &Expect::allowed());
    gate.check("of the previous secret", &with(json!(nonce_at(previous, NOW))), &Expect::allowed());
    gate.check("as old as may be", &with(json!(nonce_at(SECRET, NOW - 60))), &Expect::allowed());
    let invalid = Expect::refused(401, "dpop.nonce_invalid");
    gate.check("too old", &with(json!(nonce_at(SECRET, NOW - 61))), &invalid);
    gate.check("from the future", &with(json!(nonce_at(SECRET, NOW + 11))), &invalid);
    gate.check("of another secret", &with(json!(nonce_at("a secret of somebody else's", NOW))), &invalid);
    gate.check("made up", &with(json!("nonce")), &invalid);
}

/// RFC 9449, section 9: a client knows nothing beforehand but what the challenge tells it.
#[test]
fn the_challenge_gives_the_nonce_to_try_again_with() {
    let gate = Setup::new(&with_nonces()).variable("dpop_nonce_secret", SECRET).start(&origin());
    let token = bound_at(NOW);
    let challenged =
        gate.check("first", &ask(&token, &Proof::new(NOW, "GET", URL, &token).make()), &Expect::refused(401, "dpop.nonce_required"));
    assert_eq!(challenged.response.code(), "use_dpop_nonce");
    let challenge = challenged.response.headers.iter().filter(|(name, _)| name == "www-authenticate").map(|(_, value)| value.as_str());
    assert!(
        challenge.clone().any(|value| value.contains("DPoP ") && value.contains("error=\"use_dpop_nonce\"")),
        "{:?}",
        challenged.response
    );
    let nonce = challenged.response.header("dpop-nonce").expect("a nonce").to_owned();
    gate.check("again", &ask(&token, &Proof::new(NOW, "GET", URL, &token).claim("nonce", json!(nonce)).make()), &Expect::allowed());
}

#[test]
fn nonces_without_a_secret_are_a_fault_of_the_deployment() {
    let gate = Setup::new(&with_nonces()).start(&origin());
    let token = bound_at(NOW);
    gate.check("bearer tokens go on", &Request::get(PATH).bearer(&unbound_at(NOW).make()), &Expect::allowed());
    let made = Proof::new(NOW, "GET", URL, &token).claim("nonce", json!(nonce_at(SECRET, NOW))).make();
    gate.check("proofs do not", &ask(&token, &made), &Expect::refused(503, "system.configuration"));
}
