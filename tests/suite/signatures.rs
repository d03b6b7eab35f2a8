//! What verifies signatures, prepared keys or `ring`: the same answers, with the same reasons.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD as B64;
use serde_json::json;

use super::support::client::Request;
use super::support::gate::{Expect, Gate, Setup, bundle};
use super::support::jwks_server::JwksServer;
use super::support::origin::Origin;
use super::support::token::{Key, Token, public_jwk};

const PATH: &str = "/api/documents/1";
const BACKENDS: [&str; 2] = ["prepared", "ring"];

fn origin() -> Origin {
    Origin::start(([127, 0, 0, 1], 0).into())
}

fn token(gate: &Gate) -> Token {
    Token::dev(gate.now, "alice").groups(&["readers"])
}

/// The order of the group, big-endian, of what `s` or `S` is less than.
fn beyond_order(alg: &str, signature: &[u8]) -> Vec<u8> {
    let p256 = "ffffffff00000000ffffffffffffffffbce6faada7179e84f3b9cac2fc632551";
    let ed25519 = "edd3f55c1a631258d69cf7a2def9de1400000000000000000000000000000010";
    let order = if alg == "ES256" { p256 } else { ed25519 };
    let order = (0..64).step_by(2).map(|at| u8::from_str_radix(&order[at..at + 2], 16).unwrap());
    [&signature[..32], &order.collect::<Vec<_>>()].concat()
}

/// A good token of this algorithm is believed, and each way to spoil its signature refuses it for the same reason.
fn good_and_forged(gate: &Gate, token: &Token, alg: &str, what: &str) {
    let good = token.make();
    let ask = |token: &str| Request::get(PATH).bearer(token);
    gate.check(what, &ask(&good), &Expect::allowed());
    let (input, signature) = good.rsplit_once('.').unwrap();
    let signature = B64.decode(signature).unwrap();
    let flip = |at: usize| {
        let mut flipped = signature.clone();
        flipped[at] ^= 1;
        flipped
    };
    let half = signature.len() / 2;
    let mut forged = vec![
        ("the first bit", flip(0)),
        ("the last bit", flip(signature.len() - 1)),
        ("the second half's", flip(half)),
        ("a byte less", signature[1..].to_vec()),
        ("a byte more", [&signature[..], &[0]].concat()),
        ("zeros", vec![0; signature.len()]),
        ("ones", vec![0xff; signature.len()]),
        ("halves changed over", [&signature[half..], &signature[..half]].concat()),
    ];
    if !alg.starts_with("RS") {
        forged.push(("beyond the order", beyond_order(alg, &signature)));
        forged.push(("s of zero", [&signature[..half], &vec![0; half]].concat()));
        forged.push(("r of zero", [&vec![0; half], &signature[half..]].concat()));
    }
    for (name, forged) in forged {
        let token = format!("{input}.{}", B64.encode(forged));
        gate.check(&format!("{what}, {name}"), &ask(&token), &Expect::refused(401, "jwt.signature_invalid"));
    }
    // The signature of other claims.
    let other = token.clone().claim("sub", json!("bob")).make();
    let (other, _) = other.rsplit_once('.').unwrap();
    let moved = format!("{other}.{}", B64.encode(&signature));
    gate.check(&format!("{what}, other claims"), &ask(&moved), &Expect::refused(401, "jwt.signature_invalid"));
    gate.check(what, &ask(&good), &Expect::allowed());
}

#[test]
fn both_backends_believe_and_refuse_the_same_tokens() {
    for backend in BACKENDS {
        let gate = Setup::new(&bundle()).variable("signature_backend", backend).start(&origin());
        for (alg, key, kid) in [("ES256", Key::Es256, "es256"), ("RS256", Key::Rsa, "rsa"), ("EdDSA", Key::Ed, "ed")] {
            good_and_forged(&gate, &token(&gate).signed(alg, key, kid), alg, &format!("{alg} by {backend}"));
        }
        // One key, two algorithms: prepared for one of them only.
        for alg in ["PS256", "RS384", "RS256"] {
            let request = Request::get(PATH).bearer(&token(&gate).signed(alg, Key::Rsa, "rsa").make());
            gate.check(&format!("{alg} by {backend}"), &request, &Expect::allowed());
        }
    }
}

#[test]
fn an_unknown_backend_denies() {
    for (backend, expected) in [
        ("prepared", Expect::allowed()),
        ("ring", Expect::allowed()),
        // Empty is not set.
        ("", Expect::allowed()),
        ("Ring", Expect::refused(503, "system.configuration")),
        ("none", Expect::refused(503, "system.configuration")),
    ] {
        let gate = Setup::new(&bundle()).variable("signature_backend", backend).start(&origin());
        gate.check(backend, &Request::get(PATH).bearer(&token(&gate).make()), &expected);
    }
}

#[test]
fn fetched_keys_give_the_same_answers_before_and_after_they_are_prepared() {
    let server = JwksServer::start();
    let iss = "https://fetched.example/";
    let mut bundle = bundle();
    let suite = String::from_utf8(bundle.get("keys/issuers.toml").unwrap().to_vec()).unwrap();
    let issuer = format!(
        "[[issuer]]\nname = \"fetched\"\niss = \"{iss}\"\naudience = \"cedargate\"\ninsecure_allow_http = true\n\
         algorithms = [\"ES256\", \"EdDSA\"]\njwks_uri = \"{}/keys\"\n\
         [[mapping]]\nissuer = \"fetched\"\nclaim = \"groups\"\nvalue = \"readers\"\nto = \"readers\"\n",
        server.url()
    );
    bundle.insert("keys/issuers.toml", format!("{suite}\n{issuer}"));
    let publish = |keys: &[(&'static str, Key, &str)]| {
        let keys: Vec<_> = keys
            .iter()
            .map(|(alg, key, kid)| {
                let mut jwk = public_jwk(alg, *key);
                jwk["kid"] = json!(kid);
                jwk
            })
            .collect();
        let body = json!({ "keys": keys }).to_string().into_bytes();
        server.set("/keys", super::support::jwks_server::Behaviour::Good(vec![], body));
    };
    for backend in BACKENDS {
        publish(&[("ES256", Key::Es256, "ec"), ("EdDSA", Key::Ed, "ed")]);
        let mut gate = Setup::new(&bundle).allow(&server.url()).variable("signature_backend", backend).start(&origin());
        let signed = |gate: &Gate, alg, key, kid: &str| token(gate).claim("iss", json!(iss)).signed(alg, key, kid);
        for (alg, key, kid) in [("ES256", Key::Es256, "ec"), ("EdDSA", Key::Ed, "ed")] {
            let token = signed(&gate, alg, key, kid);
            // A key is prepared after eight tokens; in each round two are good.
            for round in 0..8 {
                good_and_forged(&gate, &token, alg, &format!("fetched {alg} by {backend}, round {round}"));
            }
        }
        // The same names for other keys: what was prepared went with the set.
        publish(&[("ES256", Key::Stranger, "ec"), ("EdDSA", Key::Partner, "ed")].map(|(_, key, kid)| ("EdDSA", key, kid)));
        gate.set_now(gate.now + 86_401);
        gate.check("the new key", &Request::get(PATH).bearer(&signed(&gate, "EdDSA", Key::Partner, "ed").make()), &Expect::allowed());
        let old = signed(&gate, "EdDSA", Key::Ed, "ed").make();
        gate.check("the old one", &Request::get(PATH).bearer(&old), &Expect::refused(401, "jwt.signature_invalid"));
        let old = signed(&gate, "ES256", Key::Es256, "ec").make();
        gate.check("another kind", &Request::get(PATH).bearer(&old), &Expect::refused(401, "jwt.algorithm_mismatch"));
        assert_eq!(gate.metrics().failed_instances, 0);
    }
}
