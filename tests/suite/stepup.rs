//! Step-up (RFC 9470): a caller who may, after a stronger or a more recent login, is told so; nobody else is.

use serde_json::{Value, json};

use super::support::client::Request;
use super::support::gate::{Expect, Gate, NOW, Setup, bundle};
use super::support::origin::Origin;
use super::support::token::Token;

const REFUND: &str = "/api/orders/42/refund";
const CHALLENGE: &str = r#"Bearer realm="cedargate", error="insufficient_user_authentication", error_description="a stronger or a more recent login is needed""#;

/// A gate with a rule of its own beside the sample policies: deleting needs a second factor, and that lately.
fn own_gate() -> Gate {
    let mut bundle = bundle();
    bundle.insert(
        "policies/stepup.cedar",
        r#"
        @id("stepup.second-factor")
        @reason("deleting needs a second factor")
        @step_up_acr("urn:example:mfa urn:example:key")
        forbid (principal is Gate::User, action == Gate::Action::"DELETE", resource is Gate::Document)
        unless { context has token && context.token has acr && ["urn:example:mfa", "urn:example:key"].contains(context.token.acr) };

        @id("stepup.recent")
        @reason("deleting needs a recent login")
        @step_up_max_age("300")
        forbid (principal is Gate::User, action == Gate::Action::"DELETE", resource is Gate::Document)
        unless { context has token && context.token has auth_age && context.token.auth_age <= 300 };
        "#,
    );
    Setup::new(&bundle).start(&Origin::start(([127, 0, 0, 1], 0).into()))
}

fn sample_gate() -> Gate {
    Setup::new(&bundle()).start(&Origin::start(([127, 0, 0, 1], 0).into()))
}

/// A token of a login so many seconds ago.
fn admin(ago: Option<i64>) -> Token {
    let token = Token::dev(NOW, "carol").groups(&["admins"]);
    ago.map_or(token.clone(), |ago| token.claim("auth_time", json!(NOW - ago)))
}

fn refund(token: &Token) -> Request {
    Request::new("POST", REFUND).bearer(&token.make()).body("{}")
}

#[test]
fn a_login_that_is_too_long_ago_is_asked_for_again() {
    let gate = sample_gate();
    let step_up = Expect::refused(401, "policy.step_up");
    gate.check("a minute ago", &refund(&admin(Some(60))), &Expect::allowed());
    gate.check("as long ago as may be", &refund(&admin(Some(900))), &Expect::allowed());
    for (name, ago) in [("a second longer", Some(901)), ("nobody knows when", None)] {
        let answer = gate.check(name, &refund(&admin(ago)), &step_up);
        assert_eq!(answer.response.code(), "insufficient_user_authentication");
        let challenge = answer.response.challenge("Bearer").unwrap();
        let metadata = "http://api.example.com/.well-known/oauth-protected-resource";
        assert_eq!(challenge, format!(r#"{CHALLENGE}, max_age="900", resource_metadata="{metadata}""#));
        answer.with_record(|record| {
            assert_eq!(record["policies"][0]["id"], "guardrail.refund-login");
            assert_eq!(record["cedar"]["principal"], "Gate::User::\"dev/carol\"");
            assert_eq!(record["credentials"], json!([{"kind": "token", "fate": "verified"}]));
        });
    }
}

#[test]
fn who_may_not_anyway_is_not_sent_to_log_in() {
    let gate = sample_gate();
    // The same forbid applies to all of them.
    let bob = refund(&Token::dev(NOW, "bob").groups(&["readers"]));
    let answer = gate.check("no permit", &bob, &Expect::refused(403, "policy.forbid"));
    assert_eq!((answer.response.header("www-authenticate"), answer.response.code().as_str()), (None, "forbidden"));
    let mallory = refund(&Token::dev(NOW, "mallory").groups(&["admins"]));
    gate.check("suspended", &mallory, &Expect::refused(403, "policy.forbid"));
    let anonymous = gate.check("anonymous", &Request::new("POST", REFUND).body("{}"), &Expect::refused(401, "policy.forbid"));
    assert_eq!(anonymous.response.code(), "unauthenticated");
    let challenge = anonymous.response.challenge("Bearer").unwrap();
    assert!(!challenge.contains("error") && !challenge.contains("max_age"), "{challenge}");
}

#[test]
fn several_rules_are_asked_for_at_once() {
    let gate = own_gate();
    let delete = |acr: Value, ago: Option<i64>| {
        let token = Token::dev(NOW, "alice").scope("documents.write").claim("acr", acr);
        let token = ago.map_or(token.clone(), |ago| token.claim("auth_time", json!(NOW - ago)));
        Request::new("DELETE", "/api/documents/1").bearer(&token.make())
    };
    gate.check("strong and recent", &delete(json!("urn:example:key"), Some(10)), &Expect::allowed());
    for (name, request, asked) in [
        ("neither", delete(Value::Null, None), r#", acr_values="urn:example:mfa urn:example:key", max_age="300","#),
        ("weak", delete(json!("urn:example:pwd"), Some(10)), r#", acr_values="urn:example:mfa urn:example:key", resource_metadata"#),
        ("long ago", delete(json!("urn:example:mfa"), Some(400)), r#"needed", max_age="300","#),
    ] {
        let answer = gate.check(name, &request, &Expect::refused(401, "policy.step_up"));
        let challenge = answer.response.challenge("Bearer").unwrap();
        assert!(challenge.starts_with(CHALLENGE) && challenge.contains(asked), "{name}: {challenge}");
    }
}
