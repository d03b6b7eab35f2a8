//! Bound tokens: what `cnf` may hold, and what an issuer may ask for. Keys as what a token is bound to are in `dpop`.

use serde_json::json;

use super::support::client::Request;
use super::support::gate::{Expect, gate};
use super::support::token::{MESH_ISS, Token, WALLET_ISS, sha256};

const PATH: &str = "/api/documents/1";

fn alice() -> Token {
    Token::dev(gate().now, "alice").groups(&["readers"])
}

fn refused(name: &str, token: &Token, reason: &'static str) {
    let answer = gate().check(name, &Request::get(PATH).bearer(&token.make()), &Expect::refused(401, reason));
    assert_eq!(answer.response.code(), "invalid_token", "{name}");
}

#[test]
fn a_confirmation_that_is_not_understood_refuses_the_token() {
    gate().check("control", &Request::get(PATH).bearer(&alice().make()), &Expect::allowed());
    let hash = sha256(b"anything");
    for cnf in [
        json!({}),
        json!("x"),
        json!([]),
        json!({"kid": "x"}),
        json!({"jwk": {"kty": "OKP"}}),
        json!({"jkt": 1}),
        json!({"jkt": format!("{hash}=")}),
        json!({"x5t#S256": hash[1..]}),
        json!({"x5t#S256": hash, "kid": "x"}),
    ] {
        refused(&cnf.to_string(), &alice().claim("cnf", cnf.clone()), "jwt.confirmation_invalid");
    }
}

#[test]
fn a_token_bound_to_a_certificate_is_nothing_without_it() {
    gate().check("control", &Request::get(PATH).bearer(&alice().make()), &Expect::allowed());
    let bound = alice().claim("cnf", json!({"x5t#S256": sha256(b"a certificate")}));
    refused("bound", &bound, "jwt.certificate_missing");
    refused("of an issuer that asks for it", &bound.clone().of(MESH_ISS), "jwt.certificate_missing");
    // Nor with one that nobody vouches for.
    let forged = Request::get(PATH).bearer(&bound.make()).header("client-cert", ":YSBjZXJ0aWZpY2F0ZQ==:");
    gate().check("a field of the caller's", &forged, &Expect::refused(401, "jwt.certificate_missing"));
    // On a path anybody may use the token is refused all the same.
    gate().check("control", &Request::get("/health"), &Expect::allowed());
    gate().check("public path", &Request::get("/health").bearer(&bound.make()), &Expect::refused(401, "jwt.certificate_missing"));
}

#[test]
fn an_issuer_that_asks_for_bound_tokens_has_no_others() {
    gate().check("control", &Request::get(PATH).bearer(&alice().make()), &Expect::allowed());
    refused("a key", &alice().of(WALLET_ISS), "jwt.binding_missing");
    refused("a certificate", &alice().of(MESH_ISS), "jwt.binding_missing");
    refused("a key in place of a certificate", &alice().of(MESH_ISS).bound_to(&sha256(b"key")), "jwt.binding_missing");
    refused(
        "a certificate in place of a key",
        &alice().of(WALLET_ISS).claim("cnf", json!({"x5t#S256": sha256(b"a certificate")})),
        "jwt.binding_missing",
    );
}
