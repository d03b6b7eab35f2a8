//! Gates that make signed URLs, and requests for them.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD as B64;
use cedargate::bundle::Bundle;
use serde_json::{Value, json};

use super::client::{Request, Response};
use super::gate::{Gate, NOW, Setup, bundle};
use super::origin::Origin;
use super::token::Token;

pub const SIGN: &str = "/.well-known/cedargate/sign";
pub const CONFIG: &str = "keys/signed-urls.toml";
pub const COOKIE: &str = "__Secure-cg-link";

/// The suite's bundle with signed URLs.
pub fn with_links(config: &str) -> Bundle {
    let mut bundle = bundle();
    bundle.insert(CONFIG, format!("version = 1\n{config}"));
    bundle
}

/// A key of a keyring.
pub fn hmac(id: &str, state: &str, byte: u8) -> Value {
    json!({"id": id, "algorithm": "HMAC-SHA-256", "state": state, "secret": B64.encode([byte; 32])})
}

pub fn ed25519(id: &str, state: &str, byte: u8) -> Value {
    json!({"id": id, "algorithm": "Ed25519", "state": state, "private_key": B64.encode([byte; 32])})
}

pub fn keyring(keys: &[Value]) -> String {
    json!({"v": 1, "keys": keys}).to_string()
}

/// A gate with one active key, before it starts.
pub fn setup(bundle: &Bundle) -> Setup {
    Setup::new(bundle).variable("signed_url_keys", &keyring(&[hmac("k1", "active", 1)]))
}

pub fn origin() -> Origin {
    Origin::start(([127, 0, 0, 1], 0).into())
}

/// Somebody who may have links of documents and media signed.
pub fn writer(subject: &str) -> Token {
    Token::dev(NOW, subject).groups(&["writers"]).scope("documents.write")
}

/// A request for URLs.
pub fn ask(token: &Token, body: &Value) -> Request {
    Request::new("POST", SIGN).bearer(&token.make()).header("Content-Type", "application/json").body(body.to_string())
}

/// One URL for a writer, as path and query; panics where none is given.
pub fn link(gate: &Gate, item: Value) -> String {
    let response = ask(&writer("alice"), &item).send(gate.addr);
    assert_eq!(response.status, 200, "{item}: {response:?}");
    target(&response)
}

/// Path and query of the first URL of an answer.
pub fn target(response: &Response) -> String {
    let url = response.json()["items"][0]["url"].as_str().unwrap_or_else(|| panic!("{response:?}")).to_owned();
    let (_, rest) = url.split_once("://").unwrap();
    format!("/{}", rest.split_once('/').unwrap().1)
}
