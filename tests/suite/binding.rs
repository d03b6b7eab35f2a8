//! Bound tokens: what `cnf` may hold, certificates as what a token is bound to, and what an issuer may ask for. Keys as what
//! it is bound to are in `dpop`.

use std::sync::OnceLock;

use serde_json::json;

use super::support::client::Request;
use super::support::gate::{Expect, Gate, NOW, Setup, bundle, gate};
use super::support::origin::Origin;
use super::support::pki::{Authority, Certified, Form, Subject};
use super::support::token::{Key, MESH_ISS, Proof, Token, WALLET_ISS, public_jwk, sha256, thumbprint};

const PATH: &str = "/api/documents/1";

/// Issuers of the suite's keys whose tokens must be bound, to a key and to a certificate. Not among the suite's own: a gate
/// that asks one issuer's callers for proofs says so to all.
const STRICT: &str = r#"
[[issuer]]
name = "wallet"
iss = "https://wallet.example/"
audience = "https://api.example.com"
keys = ["dev.jwks.json"]
algorithms = ["EdDSA"]
require_dpop = true

[[issuer]]
name = "mesh"
iss = "https://mesh.example/"
audience = "https://api.example.com"
keys = ["dev.jwks.json"]
algorithms = ["EdDSA"]
require_certificate_binding = true

[[mapping]]
issuer = "wallet"
claim = "groups"
value = "readers"
to = "readers"

[[mapping]]
issuer = "mesh"
claim = "groups"
value = "readers"
to = "readers"
"#;

/// A gate with those issuers.
fn strict() -> &'static Gate {
    static GATE: OnceLock<Gate> = OnceLock::new();
    GATE.get_or_init(|| {
        let mut bundle = bundle();
        let issuers = String::from_utf8(bundle.get("keys/issuers.toml").unwrap().to_vec()).unwrap();
        bundle.insert("keys/issuers.toml", format!("{issuers}{STRICT}"));
        Setup::new(&bundle).start(&Origin::start(([127, 0, 0, 1], 0).into()))
    })
}

fn alice() -> Token {
    Token::dev(gate().now(), "alice").groups(&["readers"])
}

fn refused_by(gate: &Gate, name: &str, token: &Token, reason: &'static str) {
    let answer = gate.check(name, &ask(token), &Expect::refused(401, reason));
    assert_eq!(answer.response.code(), "invalid_token", "{name}");
}

fn refused(name: &str, token: &Token, reason: &'static str) {
    refused_by(gate(), name, token, reason);
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

fn suite() -> Authority {
    Authority::suite()
}

/// A client's certificate of the suite's root.
fn client(name: &str) -> Certified {
    Subject::workload(gate().now(), name).issued_by(&suite())
}

/// A token as the terminator passes it on with the certificate of the connection.
fn with(request: Request, certified: &Certified) -> Request {
    Form::Rfc9440.send(request, &[&certified.der])
}

fn ask(token: &Token) -> Request {
    Request::get(PATH).bearer(&token.make())
}

#[test]
fn a_token_bound_to_a_certificate_is_nothing_without_it() {
    gate().check("control", &ask(&alice()), &Expect::allowed());
    let (own, other) = (client("own"), client("other"));
    let bound = alice().claim("cnf", json!({"x5t#S256": own.thumbprint()}));
    gate().check("with it", &with(ask(&bound), &own), &Expect::allowed());
    refused("without", &bound, "jwt.certificate_missing");
    gate().check("with another", &with(ask(&bound), &other), &Expect::refused(401, "jwt.certificate_mismatch"));
    // A new certificate for the same name is another certificate.
    gate().check("with a new one", &with(ask(&bound), &client("own")), &Expect::refused(401, "jwt.certificate_mismatch"));
    // Nor with the very one, when nobody vouches for it: the field without the terminator's secret.
    let field = with(ask(&bound), &own).headers.into_iter().find(|(name, _)| name.eq_ignore_ascii_case("client-cert")).unwrap();
    let forged = ask(&bound).header("Client-Cert", field.1);
    gate().check("a field of the caller's", &forged, &Expect::refused(401, "mtls.untrusted_terminator"));
    // Nor when the certificate itself does not count.
    let expired = Subject::workload(gate().now(), "own").valid(gate().now() - 90_000, gate().now() - 3_600).issued_by(&suite());
    let to_expired = alice().claim("cnf", json!({"x5t#S256": expired.thumbprint()}));
    gate().check("with one that has expired", &with(ask(&to_expired), &expired), &Expect::refused(401, "mtls.expired"));
    // A token that is not bound comes with any, and on a path anybody may use a bound one is refused all the same.
    gate().check("not bound", &with(ask(&alice()), &other), &Expect::allowed());
    gate().check("control", &Request::get("/health"), &Expect::allowed());
    gate().check("public path", &Request::get("/health").bearer(&bound.make()), &Expect::refused(401, "jwt.certificate_missing"));
}

/// A token for the gate with strict issuers, whose time is its own.
fn strict_alice(iss: &str) -> Token {
    Token::dev(NOW, "alice").groups(&["readers"]).of(iss)
}

fn strict_client(name: &str) -> Certified {
    Subject::workload(NOW, name).issued_by(&suite())
}

#[test]
fn a_token_bound_to_both_needs_both() {
    let (own, other) = (strict_client("own"), strict_client("other"));
    let jkt = thumbprint(&public_jwk("EdDSA", Key::Stranger));
    for iss in [MESH_ISS, WALLET_ISS] {
        let token = strict_alice(iss).claim("cnf", json!({"x5t#S256": own.thumbprint(), "jkt": jkt})).make();
        let request = || {
            let proof = Proof::new(NOW, "GET", "https://api.example.com/api/documents/1", &token).make();
            Request::get(PATH).header("Authorization", format!("DPoP {token}")).header("DPoP", proof)
        };
        let gate = strict();
        gate.check("both", &with(request(), &own), &Expect::allowed());
        gate.check("the proof alone", &request(), &Expect::refused(401, "jwt.certificate_missing"));
        gate.check("the proof and another certificate", &with(request(), &other), &Expect::refused(401, "jwt.certificate_mismatch"));
        gate.check("the certificate alone", &with(Request::get(PATH).bearer(&token), &own), &Expect::refused(401, "dpop.bearer"));
    }
}

#[test]
fn an_issuer_that_asks_for_bound_tokens_has_no_others() {
    let gate = strict();
    let refused = |name: &str, token: &Token| refused_by(gate, name, token, "jwt.binding_missing");
    gate.check("control", &ask(&Token::dev(NOW, "alice").groups(&["readers"])), &Expect::allowed());
    let (own, key) = (strict_client("own"), thumbprint(&public_jwk("EdDSA", Key::Stranger)));

    let by_certificate = |iss: &str| strict_alice(iss).claim("cnf", json!({"x5t#S256": own.thumbprint()}));
    gate.check("bound to a certificate", &with(ask(&by_certificate(MESH_ISS)), &own), &Expect::allowed());
    refused("bound to nothing", &strict_alice(MESH_ISS));
    refused("bound to a key instead", &strict_alice(MESH_ISS).bound_to(&key));
    // Coming with a certificate is not being bound to it.
    gate.check("only sent with it", &with(ask(&strict_alice(MESH_ISS)), &own), &Expect::refused(401, "jwt.binding_missing"));

    let token = strict_alice(WALLET_ISS).bound_to(&key).make();
    let proof = Proof::new(NOW, "GET", "https://api.example.com/api/documents/1", &token).make();
    let bound = Request::get(PATH).header("Authorization", format!("DPoP {token}")).header("DPoP", proof);
    gate.check("bound to a key", &bound, &Expect::allowed());
    refused("bound to nothing", &strict_alice(WALLET_ISS));
    gate.check(
        "bound to a certificate instead",
        &with(ask(&by_certificate(WALLET_ISS)), &own),
        &Expect::refused(401, "jwt.binding_missing"),
    );
}
