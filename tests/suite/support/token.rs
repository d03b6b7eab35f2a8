//! Tokens, right and wrong, made without the library the gate verifies them with.

use std::sync::atomic::{AtomicU64, Ordering};

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD as B64;
use ring::rand::SystemRandom;
use ring::signature::{self, EcdsaKeyPair, Ed25519KeyPair, KeyPair, RsaKeyPair};
use serde_json::{Value, json};

pub const DEV_ISS: &str = "https://dev.cedargate.invalid/";
pub const PARTNER_ISS: &str = "https://partner.example/";
/// Wants tokens bound to a key.
pub const WALLET_ISS: &str = "https://wallet.example/";
/// Wants tokens bound to a certificate.
pub const MESH_ISS: &str = "https://mesh.example/";

/// The private keys in `tests/gate/private/`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Key {
    Ed,
    Es256,
    Es384,
    Rsa,
    RsaPs256,
    Partner,
    /// A key no issuer has.
    Stranger,
}

impl Key {
    pub fn pkcs8(self) -> &'static [u8] {
        match self {
            Self::Ed => include_bytes!("../../gate/private/ed.pk8"),
            Self::Es256 => include_bytes!("../../gate/private/es256.pk8"),
            Self::Es384 => include_bytes!("../../gate/private/es384.pk8"),
            Self::Rsa => include_bytes!("../../gate/private/rsa.pk8"),
            Self::RsaPs256 => include_bytes!("../../gate/private/rsa-ps256.pk8"),
            Self::Partner => include_bytes!("../../gate/private/partner.pk8"),
            Self::Stranger => include_bytes!("../../gate/private/stranger.pk8"),
        }
    }
}

/// A token under construction: a good one until something is changed.
#[derive(Debug, Clone)]
pub struct Token {
    pub header: Value,
    pub claims: Value,
    key: Key,
    alg: &'static str,
    raw_header: Option<String>,
    raw_claims: Option<String>,
}

impl Token {
    /// A good token of the `dev` issuer for `subject`.
    pub fn dev(now: i64, subject: &str) -> Self {
        Self {
            header: json!({"alg": "EdDSA", "kid": "ed", "typ": "JWT"}),
            claims: json!({"iss": DEV_ISS, "aud": "cedargate", "sub": subject, "iat": now - 5, "exp": now + 600, "jti": format!("jti-{subject}")}),
            key: Key::Ed,
            alg: "EdDSA",
            raw_header: None,
            raw_claims: None,
        }
    }

    /// A good token of the `partner` issuer for a client.
    pub fn partner(now: i64, client: &str) -> Self {
        Self {
            header: json!({"alg": "EdDSA", "typ": "at+jwt"}),
            claims: json!({"iss": PARTNER_ISS, "aud": ["https://api.example.com"], "client_id": client, "iat": now - 5, "exp": now + 300, "realm_access": {"roles": []}}),
            key: Key::Partner,
            alg: "EdDSA",
            raw_header: None,
            raw_claims: None,
        }
    }

    /// The same of an issuer that wants its tokens bound.
    pub fn of(self, iss: &str) -> Self {
        self.claim("iss", json!(iss)).claim("aud", json!("https://api.example.com"))
    }

    /// Binds the token to the key with this thumbprint (RFC 9449, section 6.1).
    pub fn bound_to(self, thumbprint: &str) -> Self {
        self.claim("cnf", json!({"jkt": thumbprint}))
    }

    /// Signs with another algorithm and key, and says so in the header.
    pub fn signed(mut self, alg: &'static str, key: Key, kid: &str) -> Self {
        (self.alg, self.key) = (alg, key);
        self.header("alg", json!(alg)).header("kid", json!(kid))
    }

    /// Signs with another key without saying so.
    pub fn key(mut self, key: Key) -> Self {
        self.key = key;
        self
    }

    /// Sets a header member; `null` removes it.
    pub fn header(mut self, name: &str, value: Value) -> Self {
        set(&mut self.header, name, value);
        self
    }

    /// Sets a claim; `null` removes it.
    pub fn claim(mut self, name: &str, value: Value) -> Self {
        set(&mut self.claims, name, value);
        self
    }

    pub fn groups(self, groups: &[&str]) -> Self {
        self.claim("groups", json!(groups))
    }

    pub fn scope(self, scope: &str) -> Self {
        self.claim("scope", json!(scope))
    }

    /// The header as this very text.
    pub fn raw_header(mut self, text: impl Into<String>) -> Self {
        self.raw_header = Some(text.into());
        self
    }

    /// The claims as this very text.
    pub fn raw_claims(mut self, text: impl Into<String>) -> Self {
        self.raw_claims = Some(text.into());
        self
    }

    /// Header and claims, encoded and joined: what is signed.
    pub fn signing_input(&self) -> String {
        let header = self.raw_header.clone().unwrap_or_else(|| self.header.to_string());
        let claims = self.raw_claims.clone().unwrap_or_else(|| self.claims.to_string());
        format!("{}.{}", B64.encode(header), B64.encode(claims))
    }

    /// The compact token.
    pub fn make(&self) -> String {
        let input = self.signing_input();
        let signature = sign(self.alg, self.key, input.as_bytes());
        format!("{input}.{}", B64.encode(signature))
    }
}

/// The public key of a proof as a JWK, without anything it need not have.
pub fn public_jwk(alg: &str, key: Key) -> Value {
    match alg {
        "EdDSA" => {
            let pair = Ed25519KeyPair::from_pkcs8_maybe_unchecked(key.pkcs8()).unwrap();
            json!({"kty": "OKP", "crv": "Ed25519", "x": B64.encode(pair.public_key())})
        }
        "ES256" => {
            let random = SystemRandom::new();
            let pair = EcdsaKeyPair::from_pkcs8(&signature::ECDSA_P256_SHA256_FIXED_SIGNING, key.pkcs8(), &random).unwrap();
            let (x, y) = pair.public_key().as_ref()[1..].split_at(32);
            json!({"kty": "EC", "crv": "P-256", "x": B64.encode(x), "y": B64.encode(y)})
        }
        "PS256" => {
            let pair = RsaKeyPair::from_pkcs8(key.pkcs8()).unwrap();
            let public = signature::RsaPublicKeyComponents::<Vec<u8>>::from(pair.public());
            json!({"kty": "RSA", "n": B64.encode(public.n), "e": B64.encode(public.e)})
        }
        other => panic!("no proof with {other}"),
    }
}

/// The thumbprint of a JWK that has no members it need not have (RFC 7638): in the order of their names.
pub fn thumbprint(jwk: &Value) -> String {
    let mut members: Vec<String> = jwk.as_object().unwrap().iter().map(|(name, value)| format!("\"{name}\":{value}")).collect();
    members.sort();
    sha256(format!("{{{}}}", members.join(",")).as_bytes())
}

/// SHA-256 in base64url.
pub fn sha256(bytes: &[u8]) -> String {
    B64.encode(ring::digest::digest(&ring::digest::SHA256, bytes))
}

/// A DPoP proof (RFC 9449, section 4.2) under construction: a good one for a request until something is changed.
#[derive(Debug, Clone)]
pub struct Proof {
    pub header: Value,
    pub claims: Value,
    key: Key,
    alg: &'static str,
}

impl Proof {
    /// A good proof for a request with this token, by a key no issuer has. Each one has a `jti` of its own.
    pub fn new(now: i64, method: &str, url: &str, token: &str) -> Self {
        static NEXT: AtomicU64 = AtomicU64::new(0);
        let started = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_nanos();
        let id = format!("{started}-{}-{}", std::process::id(), NEXT.fetch_add(1, Ordering::Relaxed));
        Self {
            header: json!({"typ": "dpop+jwt", "alg": "EdDSA", "jwk": public_jwk("EdDSA", Key::Stranger)}),
            claims: json!({"jti": id, "htm": method, "htu": url, "iat": now, "ath": sha256(token.as_bytes())}),
            key: Key::Stranger,
            alg: "EdDSA",
        }
    }

    /// Made with another key.
    pub fn signed(mut self, alg: &'static str, key: Key) -> Self {
        (self.alg, self.key) = (alg, key);
        self.header("alg", json!(alg)).header("jwk", public_jwk(alg, key))
    }

    /// Signs with another key without saying so.
    pub fn key(mut self, key: Key) -> Self {
        self.key = key;
        self
    }

    /// Sets a header member; `null` removes it.
    pub fn header(mut self, name: &str, value: Value) -> Self {
        set(&mut self.header, name, value);
        self
    }

    /// Sets a claim; `null` removes it.
    pub fn claim(mut self, name: &str, value: Value) -> Self {
        set(&mut self.claims, name, value);
        self
    }

    /// The compact proof.
    pub fn make(&self) -> String {
        let input = format!("{}.{}", B64.encode(self.header.to_string()), B64.encode(self.claims.to_string()));
        format!("{input}.{}", B64.encode(sign(self.alg, self.key, input.as_bytes())))
    }
}

fn set(object: &mut Value, name: &str, value: Value) {
    let members = object.as_object_mut().unwrap();
    if value.is_null() {
        members.remove(name);
    } else {
        members.insert(name.into(), value);
    }
}

/// Signs as the algorithm says (RFC 7518, section 3; RFC 8037, section 3.1).
pub fn sign(alg: &str, key: Key, input: &[u8]) -> Vec<u8> {
    let random = SystemRandom::new();
    let rsa = |padding: &'static dyn signature::RsaEncoding| {
        let pair = RsaKeyPair::from_pkcs8(key.pkcs8()).unwrap();
        let mut out = vec![0; pair.public().modulus_len()];
        pair.sign(padding, &random, input, &mut out).unwrap();
        out
    };
    let ecdsa =
        |algorithm| EcdsaKeyPair::from_pkcs8(algorithm, key.pkcs8(), &random).unwrap().sign(&random, input).unwrap().as_ref().to_vec();
    match alg {
        "EdDSA" => Ed25519KeyPair::from_pkcs8_maybe_unchecked(key.pkcs8()).unwrap().sign(input).as_ref().to_vec(),
        "ES256" => ecdsa(&signature::ECDSA_P256_SHA256_FIXED_SIGNING),
        "ES384" => ecdsa(&signature::ECDSA_P384_SHA384_FIXED_SIGNING),
        "RS256" => rsa(&signature::RSA_PKCS1_SHA256),
        "RS384" => rsa(&signature::RSA_PKCS1_SHA384),
        "RS512" => rsa(&signature::RSA_PKCS1_SHA512),
        "PS256" => rsa(&signature::RSA_PSS_SHA256),
        "PS384" => rsa(&signature::RSA_PSS_SHA384),
        "PS512" => rsa(&signature::RSA_PSS_SHA512),
        other => panic!("no way to sign {other}"),
    }
}
