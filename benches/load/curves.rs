//! How the cost of a request changes with one thing at a time: always the same request otherwise, a hot token that is denied by policy.

use std::rc::Rc;
use std::time::Instant;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD as B64;
use ring::rand::SystemRandom;
use ring::signature::{Ed25519KeyPair, KeyPair};
use serde_json::{Value, json};

use super::drive::Requests;
use super::material::{self, ALGORITHMS, For, PATH, POLICIES, distinct, reader};
use super::report::Report;
use super::scenarios::{bearer, one};
use super::server::{Reuse, SPIN};
use super::support::links::{hmac, keyring};
use super::support::token::Token;
use super::{Bench, Case};

fn asked(token: &Token) -> Rc<Requests> {
    one(bearer("DELETE", PATH, token), 403)
}

/// Tokens that are never met again.
fn fresh(change: impl Fn(Token) -> Token) -> Rc<Requests> {
    Requests::new(distinct("DELETE", ALGORITHMS[0], 4_000, change), 403)
}

/// A public key that nobody signs with.
fn random_key() -> Vec<u8> {
    let key = Ed25519KeyPair::generate_pkcs8(&SystemRandom::new()).unwrap();
    Ed25519KeyPair::from_pkcs8(key.as_ref()).unwrap().public_key().as_ref().to_vec()
}

pub fn measure(bench: &Bench, report: &mut Report) {
    let noop = bench.noop(SPIN);
    let base = || Case::base(&noop);
    let hot = asked(&reader("alice"));
    let mut add = |title: &str, cases: &[Case]| bench.section(report, title, cases);

    let mut sealing = 0.0;
    let sets = [(POLICIES, For::Teams), (100, For::Teams), (1_000, For::Teams), (10_000, For::Teams), (10_000, For::Everybody)];
    let files: Vec<_> = sets
        .into_iter()
        .map(|(number, whom)| {
            let began = Instant::now();
            let name = format!("{number} policies{}", if whom == For::Everybody { ", a hundred of them for everybody" } else { "" });
            let file = material::sealed(&bench.sealer, &material::bundle(number, whom), &bench.work, &name);
            sealing = began.elapsed().as_secs_f64();
            (name, file)
        })
        .collect();
    let plain = files[0].1.clone();
    {
        let servers: Vec<_> = files.iter().map(|(name, file)| (name, bench.gate(file, SPIN, &[]))).collect();
        let without = bench.own_gate(&files[3].1, SPIN, &[("policy_index", "off")]);
        let mut cases = base();
        cases.extend(servers.iter().flat_map(|(name, servers)| Case::each(name, servers, &hot)));
        cases.push(Case::new("10000 policies, without the index", &without, &hot));
        add("policies", &cases);
    }
    let gate = bench.gate(&plain, SPIN, &[]);
    let on = |name: String, requests: &Rc<Requests>| Case::each(&name, &gate, requests);

    let mut cases = base();
    for count in [1_usize, 10, 50] {
        let groups: Vec<String> = (0..count).map(|number| if number == 0 { "readers".into() } else { format!("other-{number}") }).collect();
        cases.extend(on(format!("{count} groups in the token"), &asked(&reader("alice").claim("groups", json!(groups)))));
    }
    add("groups, hot token", &cases);

    let mut cases = base();
    for more in [0_usize, 512, 1_536, 3_072] {
        let claim = "x".repeat(more);
        let requests = fresh(|token| token.claim("more", json!(claim)));
        cases.extend(on(format!("{} bytes", reader("alice").claim("more", json!(claim)).make().len()), &requests));
    }
    add("bytes of a token, never-repeated, EdDSA", &cases);

    {
        let sets: Vec<_> =
            [1_usize, 10, 50]
                .into_iter()
                .map(|more| {
                    let mut bundle = material::bundle(POLICIES, For::Teams);
                    let mut set: Value = serde_json::from_slice(bundle.get("keys/dev.jwks.json").unwrap()).unwrap();
                    let keys = set["keys"].as_array_mut().unwrap();
                    keys.extend((1..more).map(
                        |number| json!({"kty": "OKP", "crv": "Ed25519", "x": B64.encode(random_key()), "kid": format!("more-{number}")}),
                    ));
                    let count = keys.len();
                    bundle.insert("keys/dev.jwks.json", set.to_string());
                    let file = material::sealed(&bench.sealer, &bundle, &bench.work, &format!("keys-{count}"));
                    (count, bench.gate(&file, SPIN, &[]))
                })
                .collect();
        let mut cases = base();
        for (count, servers) in &sets {
            cases.extend(Case::each(&format!("{count} keys"), servers, &fresh(|token| token)));
        }
        add("keys in an issuer's set, never-repeated, EdDSA", &cases);
    }

    for connections in [1, 4, 16, 64, 256] {
        let cases: Vec<_> = base().into_iter().chain(on("gate".into(), &hot)).map(|case| Case { connections, ..case }).collect();
        add(&format!("{connections} connections"), &cases);
    }

    for requests in [1, 16, 128, 10_000] {
        for at_once in if requests == 128 { vec![1, 16] } else { vec![16.min(requests)] } {
            let reuse = Reuse { requests, at_once };
            let (noop, gate) = (bench.noop(reuse), bench.gate(&plain, reuse, &[]));
            let cases: Vec<_> = Case::base(&noop).into_iter().chain(Case::each("gate", &gate, &hot)).collect();
            add(&format!("instances serve {requests} requests, {at_once} at once"), &cases);
        }
    }

    let audit = keyring(&[hmac("a1", "active", 1)]);
    let switches: [(&str, &[(&str, &str)]); 5] = [
        ("as it comes", &[]),
        ("records chained with HMAC-SHA-256", &[("audit_keys", &audit)]),
        ("revocations asked of a store", &[("key_value_store", "default")]),
        ("token_cache = off", &[("token_cache", "off")]),
        ("token_cache = off, signature_backend = ring", &[("signature_backend", "ring"), ("token_cache", "off")]),
    ];
    let servers = switches.map(|(name, variables)| (name, bench.gate(&plain, SPIN, variables)));
    let cases: Vec<_> = base().into_iter().chain(servers.iter().flat_map(|(name, servers)| Case::each(name, servers, &hot))).collect();
    add("switches", &cases);
    report.sealing = Some(sealing);
}
