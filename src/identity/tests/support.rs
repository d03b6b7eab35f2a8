//! A small world of two issuers, and tokens of every kind for it.

use std::sync::{Arc, LazyLock};

use base64::Engine;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use serde_json::{Map, Value, json};

use crate::bundle::{Bundle, Problem, Report};
use crate::decision::{Denial, Reason, UnixTime};
use crate::identity::algorithm::Algorithm;
use crate::identity::crypto::KeyPair;
use crate::identity::{Identity, Issuers, TokenIdentity, signing};
use crate::request::Evidence;

pub(super) const NOW: i64 = 1_800_000_000;
pub(super) const ISS: &str = "https://id.example.com/";
pub(super) const OTHER_ISS: &str = "https://other.example.com/";
pub(super) const AUD: &str = "https://api.example.com";

/// A private key and what its tokens say about it.
#[derive(Clone)]
pub(super) struct TestKey {
    pub(super) algorithm: &'static str,
    pub(super) kid: &'static str,
    pub(super) pkcs8: Vec<u8>,
}

impl TestKey {
    pub(super) fn new(algorithm: &'static str, kid: &'static str) -> Self {
        let pkcs8 = match algorithm {
            "EdDSA" | "ES256" | "ES384" => signing::generate(algorithm).unwrap(),
            _ => rsa_pkcs8(),
        };
        Self { algorithm, kid, pkcs8 }
    }

    pub(super) fn jwk(&self) -> Value {
        signing::public_jwk(self.algorithm, &self.pkcs8, self.kid).unwrap()
    }

    /// The JWK without the members named.
    pub(super) fn jwk_without(&self, names: &[&str]) -> Value {
        let mut jwk = self.jwk();
        names.iter().for_each(|name| drop(jwk.as_object_mut().unwrap().remove(*name)));
        jwk
    }

    pub(super) fn header(&self) -> Value {
        json!({ "typ": "JWT", "alg": self.algorithm, "kid": self.kid })
    }

    /// A token with these claims and the usual header.
    pub(super) fn token(&self, claims: &Value) -> String {
        self.token_of(&self.header().to_string(), &claims.to_string())
    }

    /// A token of any two texts, with a signature of this key.
    pub(super) fn token_of(&self, header: &str, payload: &str) -> String {
        let input = format!("{}.{}", b64(header), b64(payload));
        format!("{input}.{}", b64(self.sign(input.as_bytes())))
    }

    pub(super) fn sign(&self, message: &[u8]) -> Vec<u8> {
        let algorithm = Algorithm::from_name(self.algorithm).unwrap();
        KeyPair::from_pkcs8(algorithm.jose(), &self.pkcs8).unwrap().sign(message).unwrap()
    }
}

pub(in crate::identity) fn rsa_pkcs8() -> Vec<u8> {
    pem_contents(include_str!("../../../tests/data/identity/test-only-rsa-2048-private.pem"))
}

pub(in crate::identity) fn pem_contents(pem: &str) -> Vec<u8> {
    STANDARD.decode(pem.lines().filter(|line| !line.starts_with("-----")).collect::<String>()).unwrap()
}

pub(super) fn b64(bytes: impl AsRef<[u8]>) -> String {
    URL_SAFE_NO_PAD.encode(bytes)
}

/// The claims of a good token.
pub(super) fn good() -> Value {
    json!({ "iss": ISS, "aud": AUD, "sub": "alice", "exp": NOW + 300, "nbf": NOW - 5, "iat": NOW - 5 })
}

/// Good claims with some members changed; `null` removes one.
pub(super) fn claims(changes: Value) -> Value {
    let mut claims = good();
    merge(claims.as_object_mut().unwrap(), changes.as_object().unwrap());
    claims
}

pub(super) fn merge(members: &mut Map<String, Value>, changes: &Map<String, Value>) {
    for (name, value) in changes {
        match value {
            Value::Null => drop(members.remove(name)),
            value => drop(members.insert(name.clone(), value.clone())),
        }
    }
}

/// A bundle of `keys/issuers.toml` and other files in `keys/`.
pub(super) fn bundle(toml: &str, files: &[(&str, &[u8])]) -> Bundle {
    let mut bundle = Bundle::default();
    bundle.insert("keys/issuers.toml", toml);
    files.iter().for_each(|(name, bytes)| bundle.insert(format!("keys/{name}"), *bytes));
    bundle
}

pub(super) fn jwks(keys: &[Value]) -> Vec<u8> {
    json!({ "keys": keys }).to_string().into_bytes()
}

pub(super) fn load(bundle: &Bundle) -> Result<Issuers, Vec<Problem>> {
    let mut report = Report::default();
    let issuers = Issuers::load(bundle, &mut report);
    assert_eq!(issuers.is_some(), report.is_empty(), "{report}");
    issuers.ok_or_else(|| report.problems().into_iter().cloned().collect())
}

/// The one problem of a bundle.
pub(super) fn problem(bundle: &Bundle) -> Problem {
    let mut problems = load(bundle).expect_err("a problem");
    assert_eq!(problems.len(), 1, "{problems:?}");
    problems.remove(0)
}

/// An issuer block with the lines every issuer needs, and more.
pub(super) fn issuer_toml(more: &str) -> String {
    format!("version = 1\n[[issuer]]\nname = \"corp\"\niss = \"{ISS}\"\naudience = \"{AUD}\"\nkeys = [\"corp.json\"]\n{more}\n")
}

/// One issuer with these keys and more configuration.
pub(super) fn with(more: &str, keys: &[Value]) -> Issuers {
    load(&bundle(&issuer_toml(more), &[("corp.json", &jwks(keys))])).unwrap()
}

pub(super) fn identify(issuers: &Issuers, token: &str, now: i64) -> Result<TokenIdentity, Denial> {
    let evidence = Evidence { authorization: Some(format!("Bearer {token}").into_bytes()), ..Evidence::default() };
    match issuers.identify(&evidence, UnixTime(now))? {
        Identity::Token { token, .. } => Ok(Arc::unwrap_or_clone(token)),
        _ => panic!("a token never gives anything else"),
    }
}

pub(super) fn reason(issuers: &Issuers, token: &str) -> Reason {
    identify(issuers, token, NOW).expect_err("a denial").reason
}

/// Every algorithm, each with a key; and a second issuer that uses the same `kid` for a key of its own.
pub(super) struct World {
    pub(super) issuers: Issuers,
    pub(super) keys: Vec<TestKey>,
    pub(super) other: TestKey,
}

impl World {
    pub(super) fn key(&self, kid: &str) -> &TestKey {
        self.keys.iter().find(|key| key.kid == kid).unwrap()
    }
}

pub(super) const ALL_ALGORITHMS: &str = r#"algorithms = ["EdDSA", "ES256", "ES384", "PS256", "PS384", "PS512", "RS256", "RS384", "RS512"]"#;

pub(super) static WORLD: LazyLock<World> = LazyLock::new(|| {
    let keys: Vec<_> = [
        ("EdDSA", "ed"),
        ("ES256", "es256"),
        ("ES384", "es384"),
        ("PS256", "ps256"),
        ("PS384", "ps384"),
        ("PS512", "ps512"),
        ("RS256", "rs256"),
        ("RS384", "rs384"),
        ("RS512", "rs512"),
    ]
    .into_iter()
    .map(|(algorithm, kid)| TestKey::new(algorithm, kid))
    .collect();
    let other = TestKey::new("EdDSA", "ed");
    let more =
        format!("{ALL_ALGORITHMS}\n[[issuer]]\nname = \"other\"\niss = \"{OTHER_ISS}\"\naudience = \"{AUD}\"\nkeys = [\"other.json\"]\n");
    let files = [("corp.json", jwks(&keys.iter().map(TestKey::jwk).collect::<Vec<_>>())), ("other.json", jwks(&[other.jwk()]))];
    let files = files.each_ref().map(|(name, bytes)| (*name, bytes.as_slice()));
    World { issuers: load(&bundle(&issuer_toml(&more), &files)).unwrap(), keys, other }
});

pub(super) fn ed() -> TestKey {
    TestKey::new("EdDSA", "ed")
}

/// The text a problem points at.
pub(super) fn pointed<'a>(problem: &Problem, text: &'a str) -> &'a str {
    &text[problem.span.clone().expect("a place")]
}

pub(super) fn codes(bundle: &Bundle) -> Vec<&'static str> {
    load(bundle).expect_err("problems").iter().map(|problem| problem.code).collect()
}

pub(super) fn with_jwk(jwk: Value) -> Bundle {
    bundle(&issuer_toml(ALL_ALGORITHMS), &[("corp.json", &jwks(&[jwk]))])
}
