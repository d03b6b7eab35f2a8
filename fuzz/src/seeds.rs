//! The seeds, and what the gate must say of each: those that are called `good-…` are believed, no other is.
//!
//! `CEDARGATE_SEEDS=write cargo test --manifest-path fuzz/Cargo.toml` writes them anew.

use std::collections::BTreeMap;
use std::path::Path;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use cedargate::bundle::Digest;
use serde_json::{Value, json};

use crate::certificate::{LEAF, NAMED, STRANGER, SUB, tbs};
use crate::world::{Key, NOW, b64};
use crate::{dpop, token};

type Seeds = BTreeMap<String, Vec<u8>>;

/// An object with some members changed; `null` removes one.
fn with(mut object: Value, changes: Value) -> Value {
    let members = object.as_object_mut().unwrap();
    for (name, value) in changes.as_object().unwrap() {
        match value {
            Value::Null => drop(members.remove(name)),
            value => drop(members.insert(name.clone(), value.clone())),
        }
    }
    object
}

fn lines(header: &Value, claims: &Value) -> Vec<u8> {
    format!("{header}\n{claims}").into_bytes()
}

fn tokens() -> Seeds {
    let mut seeds = Seeds::new();
    let [dev, partner] = token::good();
    let (header, claims) = (token::header(), token::claims());
    let raw = |token: &str| format!("Bearer {token}").into_bytes();
    let parts: Vec<&str> = dev.split('.').collect();
    let stranger = Key::Stranger.token(header.to_string().as_bytes(), claims.to_string().as_bytes());
    let unsecured = format!("{}.{}.", b64(json!({ "alg": "none" }).to_string()), parts[1]);
    for (name, bytes) in [
        ("good-dev", raw(&dev)),
        ("good-partner", format!("bearer {partner}").into_bytes()),
        ("a-strangers", raw(&stranger)),
        ("unsecured", raw(&unsecured)),
        ("padded", raw(&format!("{dev}="))),
        ("five-parts", raw(&format!("{dev}..."))),
        ("detached", raw(&format!("{}..{}", parts[0], parts[2]))),
        ("as-dpop", format!("DPoP {dev}").into_bytes()),
        ("basic", b"Basic YTpi".to_vec()),
        ("two-tokens", raw(&format!("{dev}, {dev}"))),
    ] {
        seeds.insert(name.into(), bytes);
    }
    seeds.insert("good-signed".into(), lines(&header, &claims));
    for (name, changes) in [
        ("good-signed-audiences", json!({ "aud": ["x", "https://api.example.com"], "nbf": NOW as f64 - 0.5, "auth_time": NOW })),
        ("good-signed-nested", json!({ "address": { "a": [[{ "b": null }], 1e3, true] }, "roles": "admin", "scope": ["a", "b"] })),
        ("signed-expired", json!({ "exp": NOW - 10 })),
        ("signed-without-end", json!({ "exp": null })),
        ("signed-future", json!({ "iat": NOW as f64 + 11.5 })),
        ("signed-another-audience", json!({ "aud": ["y"] })),
        ("signed-another-issuer", json!({ "iss": "https://partner.example/" })),
        ("signed-without-subject", json!({ "sub": "" })),
        ("signed-status", json!({ "status": { "status_list": { "idx": 1, "uri": "https://dev.cedargate.invalid/s" } } })),
        ("signed-bound", json!({ "cnf": { "jkt": b64([0; 32]) } })),
        ("signed-bound-to-certificate", json!({ "cnf": { "x5t#S256": b64([0; 32]) } })),
        ("signed-groups-of-numbers", json!({ "groups": [1] })),
    ] {
        seeds.insert(name.into(), lines(&header, &with(claims.clone(), changes)));
    }
    for (name, changes) in [
        ("good-signed-without-kid", json!({ "kid": null, "typ": "application/AT+JWT" })),
        ("signed-critical", json!({ "crit": ["exp"] })),
        ("signed-another-algorithm", json!({ "alg": "ES256" })),
        ("signed-another-key", json!({ "kid": "rsa" })),
        ("signed-nested", json!({ "cty": "JWT" })),
        ("signed-as-proof", json!({ "typ": "dpop+jwt" })),
        ("signed-as-status-list", json!({ "typ": "statuslist+jwt" })),
    ] {
        seeds.insert(name.into(), lines(&with(header.clone(), changes), &claims));
    }
    let twice = format!("{header}\n{}", claims.to_string().replacen('{', r#"{"\u0065xp":1,"#, 1));
    seeds.insert("signed-twice".into(), twice.into_bytes());
    seeds.insert("signed-deep".into(), format!("{header}\n{}{}", "[".repeat(40), "]".repeat(40)).into_bytes());
    seeds
}

fn key_sets() -> Seeds {
    let suite: Value = serde_json::from_slice(include_bytes!("../../tests/gate/keys/dev.jwks.json")).unwrap();
    let all = suite["keys"].as_array().unwrap();
    let by = |kid: &str| all.iter().find(|key| key["kid"] == kid).unwrap().clone();
    let set = |keys: &[Value]| json!({ "keys": keys }).to_string().into_bytes();
    let one = |kid: &str, changes: Value| set(&[with(by(kid), changes)]);
    let mut seeds = Seeds::from([
        ("good-suite".to_owned(), suite.to_string().into_bytes()),
        ("good-beside-encryption".to_owned(), set(&[by("ed"), with(by("rsa"), json!({ "use": "enc", "alg": "RSA-OAEP" }))])),
        ("empty".to_owned(), set(&[])),
        ("twice".to_owned(), set(&[by("ed"), by("ed")])),
        ("no-set".to_owned(), by("ed").to_string().into_bytes()),
        ("member-twice".to_owned(), br#"{"keys":[],"keys":[]}"#.to_vec()),
        ("symmetric".to_owned(), set(&[json!({ "kty": "oct", "k": "AAAA" })])),
    ]);
    for kid in ["ed", "es256", "es384", "rsa", "rsa-ps256"] {
        seeds.insert(format!("good-{kid}"), one(kid, json!({})));
    }
    for (name, kid, changes) in [
        ("good-for-verify", "ed", json!({ "use": null, "key_ops": ["verify"] })),
        ("private", "ed", json!({ "d": "AAAA" })),
        ("wrong-algorithm", "ed", json!({ "alg": "ES256" })),
        ("unknown-algorithm", "ed", json!({ "alg": "HS256" })),
        ("only-encryption", "ed", json!({ "use": "enc" })),
        ("small-order", "ed", json!({ "x": b64([0; 32]) })),
        ("short", "ed", json!({ "x": "AAAA" })),
        ("off-the-curve", "es256", json!({ "x": b64([1; 32]) })),
        ("another-curve", "es256", json!({ "crv": "P-521" })),
        ("small-rsa", "rsa", json!({ "n": b64([0xff; 128]) })),
        ("even-exponent", "rsa", json!({ "e": "AQAA" })),
        ("exponent-one", "rsa", json!({ "e": "AQ" })),
        ("padded", "rsa", json!({ "e": "AQAB=" })),
        ("name-is-number", "ed", json!({ "kid": 1 })),
    ] {
        seeds.insert(name.into(), one(kid, changes));
    }
    seeds
}

fn pem(der: &[u8]) -> String {
    let text = STANDARD.encode(der);
    let lines: Vec<_> = text.as_bytes().chunks(64).map(|line| std::str::from_utf8(line).unwrap()).collect();
    format!("-----BEGIN CERTIFICATE-----\n{}\n-----END CERTIFICATE-----\n", lines.join("\n"))
}

fn escaped(text: &str) -> String {
    text.bytes()
        .map(|b| if b.is_ascii_alphanumeric() || b"-_.~".contains(&b) { char::from(b).to_string() } else { format!("%{b:02X}") })
        .collect()
}

fn forwarded() -> Seeds {
    let cert = |der: &[u8]| format!("Cert=\"{}\"", escaped(&pem(der)));
    let chain = format!("Chain=\"{}\"", escaped(&format!("{}{}", pem(LEAF), pem(SUB))));
    let (leaf, named, hash) = (cert(LEAF), cert(NAMED), Digest::of(LEAF));
    [
        ("good-chain", chain.clone()),
        (
            "good-cert-and-chain",
            format!("By=spiffe://fuzz.example/edge;Hash={hash};{leaf};{chain};Subject=\"CN=a, O=\\\"b\\\"\";URI=spiffe://fuzz.example/x"),
        ),
        ("good-named", named.clone()),
        ("good-last-element", format!("{};Subject=\"x\",{named}", cert(STRANGER))),
        ("another-hash", format!("Hash=aa;{chain}")),
        ("without-intermediate", leaf),
        ("a-strangers", cert(STRANGER)),
        ("strangers-last", format!("{named},{}", cert(STRANGER))),
        ("hash-only", "Hash=468ed33be74eee6556d90c0149c1309e9ba61d6425303443c0748a02dd8de688;Subject=\"CN=worker\"".into()),
        ("twice", format!("{named};{named}")),
        ("open-quote", "Cert=\"a;b,c".into()),
        ("bad-escape", "Cert=%4".into()),
        ("empty", "Cert=;Chain=".into()),
        ("no-value", "Cert,=,;".into()),
    ]
    .into_iter()
    .map(|(name, text)| (name.to_owned(), text.into_bytes()))
    .collect()
}

fn structured() -> Seeds {
    let item = |der: &[u8]| format!(":{}:", STANDARD.encode(der));
    let (leaf, sub, named) = (item(LEAF), item(SUB), item(NAMED));
    [
        ("good-chain", format!("{leaf}\n{sub}")),
        ("good-named", named.clone()),
        ("good-two-lines", format!(" {leaf} \n{sub}\n{named}")),
        ("good-list", format!("{leaf}\n{sub} ,\t{named}")),
        ("without-intermediate", leaf.clone()),
        ("a-strangers", item(STRANGER)),
        ("chain-only", format!("\n{sub}")),
        ("without-colons", STANDARD.encode(NAMED)),
        ("parameter", format!("{named};a=1")),
        ("comma-at-the-end", format!("{leaf}\n{sub},")),
        ("list-of-two", format!("{named}, {named}")),
        ("string", "\"abc\"".into()),
        ("unpadded", ":YQ:".into()),
        ("empty", "::\n::".into()),
        ("number", "1.5, ?1, (:YQ==: :Yg==:);q".into()),
    ]
    .into_iter()
    .map(|(name, text)| (name.to_owned(), text.into_bytes()))
    .collect()
}

fn certificates() -> Seeds {
    let raw = |ders: &[&[u8]]| [&[0], ders.concat().as_slice()].concat();
    let signed = |tbs: &[u8]| [&[1], tbs].concat();
    let replaced = |from: &[u8], to: &[u8]| {
        let mut tbs = tbs(NAMED);
        let at = tbs.windows(from.len()).position(|window| window == from).expect("the certificate says so");
        tbs[at..at + to.len()].copy_from_slice(to);
        signed(&tbs)
    };
    // UTCTime, 13 characters: the first of them begins the validity.
    let mut late = signed(&tbs(NAMED));
    let begin = late.windows(2).position(|tag| tag == [0x17, 13]).unwrap() + 2;
    late[begin..begin + 2].copy_from_slice(b"28");
    Seeds::from([
        ("good-chain".to_owned(), raw(&[LEAF, SUB])),
        ("good-named".to_owned(), raw(&[NAMED])),
        ("good-with-another".to_owned(), raw(&[LEAF, NAMED, SUB])),
        ("without-intermediate".to_owned(), raw(&[LEAF])),
        ("a-strangers".to_owned(), raw(&[STRANGER])),
        ("intermediate-as-client".to_owned(), raw(&[SUB])),
        ("cut-off".to_owned(), raw(&[&NAMED[..200]])),
        ("no-certificate".to_owned(), raw(&[b"x"])),
        ("good-signed".to_owned(), signed(&tbs(NAMED))),
        ("good-signed-other-name".to_owned(), replaced(b"worker@fuzz", b"walker@fuzz")),
        ("signed-by-another".to_owned(), signed(&tbs(LEAF))),
        ("signed-intermediate".to_owned(), signed(&tbs(SUB))),
        ("signed-server".to_owned(), replaced(&[0x2b, 6, 1, 5, 5, 7, 3, 2], &[0x2b, 6, 1, 5, 5, 7, 3, 1])),
        ("signed-not-yet-valid".to_owned(), late),
        ("signed-garbage".to_owned(), signed(b"\x30\x03\x02\x01\x01")),
    ])
}

fn links() -> Seeds {
    let item = r#"{"method":"GET","path":"/a","expires_in":60"#;
    [
        ("good-link", "@".to_owned()),
        ("twice", "@&cg-v=1".to_owned()),
        ("something-after", "@&a=1".to_owned()),
        ("another-path", "/api/documents/2?cg-v=1&cg-key=h&cg-iat=1800000000&cg-exp=1800000600&cg-methods=GET&cg-prefix=2&cg-ip=192.0.2.0/24&cg-policy=WzoC5Xr5tVquVFtZm6pqZ5ijZNjSeYo4U2JJ934w_l8&cg-by=p.YQ&cg-sub=h.AAAAAAAAAAAAAAAAAAAAAA&cg-sig=AAAA".to_owned()),
        ("retired-key", "/a?cg-v=1&cg-key=r&cg-iat=1800000000&cg-nbf=1800000000&cg-exp=1800000600&cg-methods=GET.PUT&cg-policy=WzoC5Xr5tVquVFtZm6pqZ5ijZNjSeYo4U2JJ934w_l8&cg-by=o.AAAA&cg-sig=AAAA".to_owned()),
        ("encoded-name", "/a?b=1&%63G-v=1".to_owned()),
        ("cookies", "/a\na=1; __Secure-cg-link=cg-v=1&cg-key=h; b=2; __Secure-cg-link=".to_owned()),
        ("good-order", format!("{item}}}")),
        ("good-order-of-two", format!(r#"{{"items":[{item}}},{item},"prefix":true,"bind":{{"cidr":"192.0.2.0/24","subject":"b"}},"format":"cedargate-cookie"}}]}}"#)),
        ("order-with-another-member", format!(r#"{item},"expire":1}}"#)),
    ]
    .into_iter()
    .map(|(name, text)| (name.to_owned(), text.into_bytes()))
    .collect()
}

fn proofs() -> Seeds {
    let (header, claims) = (dpop::header(), dpop::claims());
    let sign =
        |key: Key, header: &Value, claims: &Value| key.token(header.to_string().as_bytes(), claims.to_string().as_bytes()).into_bytes();
    let good = sign(Key::Stranger, &header, &claims);
    let mut seeds = Seeds::from([
        ("good-proof".to_owned(), good.clone()),
        ("another-keys".to_owned(), sign(Key::Ed, &header, &claims)),
        ("two-proofs".to_owned(), [&good[..], b", ", &good[..]].concat()),
        ("good-signed".to_owned(), lines(&header, &claims)),
    ]);
    for (name, changes) in [
        ("good-signed-target", json!({ "htu": "HTTPS://API.example.com:443/%68ealth?a=b#c", "nonce": "x" })),
        ("good-signed-end", json!({ "exp": NOW + 5, "nbf": NOW - 5, "iat": NOW as f64 - 30.5 })),
        ("signed-another-target", json!({ "htu": "https://api.example.com/other" })),
        ("signed-another-host", json!({ "htu": "https://api.example.com.evil.example/health" })),
        ("signed-another-scheme", json!({ "htu": "http://api.example.com/health" })),
        ("signed-user", json!({ "htu": "https://api.example.com@evil.example/health" })),
        ("signed-another-method", json!({ "htm": "get" })),
        ("signed-old", json!({ "iat": NOW - 71 })),
        ("signed-future", json!({ "iat": NOW + 11 })),
        ("signed-another-token", json!({ "ath": b64([0; 32]) })),
        ("signed-without-token", json!({ "ath": null })),
        ("signed-without-id", json!({ "jti": null })),
        ("signed-empty-id", json!({ "jti": "" })),
    ] {
        seeds.insert(name.into(), lines(&header, &with(claims.clone(), changes)));
    }
    let mut private = header.clone();
    private["jwk"]["d"] = json!("AAAA");
    let mut other = header.clone();
    other["jwk"]["x"] = json!(b64([9; 32]));
    seeds.insert("signed-private-key".into(), lines(&private, &claims));
    seeds.insert("signed-other-key".into(), lines(&other, &claims));
    for (name, changes) in [
        ("signed-as-token", json!({ "typ": "JWT" })),
        ("signed-without-key", json!({ "jwk": null })),
        ("signed-symmetric", json!({ "alg": "HS256" })),
        ("signed-critical", json!({ "crit": ["b64"], "b64": false })),
    ] {
        seeds.insert(name.into(), lines(&with(header.clone(), changes), &claims));
    }
    seeds
}

/// A target's name, its seeds, and what it asks.
type Target = (&'static str, Seeds, fn(&[u8]) -> bool);

fn targets() -> [Target; 7] {
    [
        ("token", tokens(), crate::token),
        ("jwks", key_sets(), crate::jwks),
        ("xfcc", forwarded(), crate::xfcc),
        ("structured_field", structured(), crate::structured_field),
        ("certificate", certificates(), crate::certificate),
        ("dpop_proof", proofs(), crate::dpop_proof),
        ("signed_url", links(), crate::signed_url),
    ]
}

#[test]
fn every_seed_is_as_committed_and_believed_exactly_when_it_is_good() {
    let write = std::env::var("CEDARGATE_SEEDS").as_deref() == Ok("write");
    for (target, seeds, run) in targets() {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("seeds").join(target);
        if write {
            let _ = std::fs::remove_dir_all(&folder);
            std::fs::create_dir_all(&folder).unwrap();
            seeds.iter().for_each(|(name, bytes)| std::fs::write(folder.join(name), bytes).unwrap());
        }
        let committed: Seeds = std::fs::read_dir(&folder)
            .unwrap()
            .map(|entry| entry.unwrap().path())
            .map(|path| (path.file_name().unwrap().to_str().unwrap().to_owned(), std::fs::read(&path).unwrap()))
            .collect();
        assert!(committed == seeds, "fuzz/seeds/{target} is not what `seeds` makes; CEDARGATE_SEEDS=write makes it so");
        for (name, bytes) in &seeds {
            assert_eq!(run(bytes), name.starts_with("good-"), "{target}/{name}");
        }
    }
}

/// Not a search: a few changes of each seed, the same every time, so that a rule that was written down wrong shows here first.
#[test]
fn small_changes_break_no_rule() {
    let rounds = std::env::var("CEDARGATE_ROUNDS").map_or(20, |rounds| rounds.parse().unwrap());
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    let mut draw = |below: usize| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        (state % below.max(1) as u64) as usize
    };
    for (_, seeds, run) in targets() {
        let all: Vec<&Vec<u8>> = seeds.values().collect();
        for seed in &all {
            for _ in 0..rounds {
                let mut bytes = (*seed).clone();
                for _ in 0..=draw(3) {
                    let at = draw(bytes.len());
                    match draw(5) {
                        0 if at < bytes.len() => bytes[at] ^= 1 << draw(8),
                        1 if at < bytes.len() => drop(bytes.remove(at)),
                        2 => bytes.insert(at, b"\"{}[],:;=.- \\\n%09aZ\0\xff"[draw(21)]),
                        3 => {
                            let other = all[draw(all.len())];
                            let from = draw(other.len());
                            let piece = &other[from..other.len().min(from + 1 + draw(40))];
                            bytes.splice(at..at.min(bytes.len()), piece.iter().copied());
                        }
                        _ => bytes.truncate(at + bytes.len() / 2),
                    }
                }
                run(&bytes);
            }
        }
    }
}
