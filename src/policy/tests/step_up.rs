//! Step-up: which policies ask for a login, which callers are asked, and for what.

use super::problems::{only, problems};
use super::{Asking, WEDNESDAY, by_certificate, certificate, get, load, token, with_policies};
use crate::decision::UnixTime;
use crate::identity::{Identity, TokenIdentity};

#[test]
fn step_up_annotations() {
    let forbid = |annotations: &str| format!("@id(\"a\") {annotations} forbid(principal, action, resource);");
    for good in [
        r#"@step_up_acr("urn:mfa")"#,
        r#"@step_up_acr("a b c")"#,
        r#"@step_up_max_age("1")"#,
        r#"@step_up_acr("phr") @step_up_max_age("86400")"#,
    ] {
        load(&with_policies(&forbid(good)));
    }
    for (bad, at) in [
        (r#"@step_up_acr("")"#, "@step_up_acr"),
        ("@step_up_acr", "@step_up_acr"),
        (r#"@step_up_acr("a  b")"#, "@step_up_acr"),
        (r#"@step_up_acr("a\"b")"#, "@step_up_acr"),
        (r#"@step_up_acr("a\nb")"#, "@step_up_acr"),
        (r#"@step_up_acr("a a")"#, "@step_up_acr"),
        (r#"@step_up_max_age("")"#, "@step_up_max_age"),
        (r#"@step_up_max_age("0")"#, "@step_up_max_age"),
        (r#"@step_up_max_age("5m")"#, "@step_up_max_age"),
        (r#"@step_up_max_age("-1")"#, "@step_up_max_age"),
    ] {
        let (problem, text) = only(&with_policies(&forbid(bad)));
        assert_eq!((problem.code, text.as_str()), ("policy.step_up", at), "{bad}: {problem:?}");
        assert!(problem.help.is_some());
    }
    assert_eq!(problems(&with_policies(&forbid(r#"@step_up_acr("") @step_up_max_age("x")"#))).len(), 2);
    let permit = "@id(\"a\") @step_up_max_age(\"300\") permit(principal, action, resource);";
    let (problem, text) = only(&with_policies(permit));
    assert_eq!((problem.code, text.as_str()), ("policy.step_up", "@step_up_max_age"));
    let (problem, _) = only(&with_policies(&forbid(r#"@stepup_acr("a")"#)));
    assert_eq!((problem.code, problem.help.as_deref()), ("policy.annotation", Some("did you mean `@step_up_acr`?")));
}

/// Logged in so many seconds ago, with this `acr`.
fn logged_in(seconds: Option<i64>, acr: Option<&str>) -> TokenIdentity {
    let auth_time = seconds.map(|seconds| UnixTime(WEDNESDAY.0 - seconds));
    TokenIdentity { auth_time, acr: acr.map(str::to_owned), ..token("x", &[], &[]) }
}

/// What a denied caller is asked for: `acr` values and age.
fn asked(policies: &str, identity: &Identity) -> Option<(Vec<String>, Option<u32>)> {
    let verdict = get(policies, identity);
    assert!(!verdict.allow, "{verdict:?}");
    verdict.step_up.map(|step_up| (step_up.acr_values, step_up.max_age))
}

const PERMIT: &str = "@id(\"permit\") permit(principal, action, resource);";
const RECENT: &str = r#"@id("recent") @step_up_max_age("300") forbid(principal, action, resource)
    unless { context has token && context.token has auth_age && context.token.auth_age <= 300 };"#;
const STRONG: &str = r#"@id("strong") @step_up_acr("urn:mfa urn:key") forbid(principal, action, resource)
    unless { context has token && context.token has acr && ["urn:mfa", "urn:key"].contains(context.token.acr) };"#;

#[test]
fn a_forbid_that_a_login_lifts_asks_for_it() {
    let recent = format!("{PERMIT}{RECENT}");
    assert!(get(&recent, &logged_in(Some(300), None).into()).allow);
    assert_eq!(asked(&recent, &logged_in(Some(301), None).into()), Some((vec![], Some(300))));
    assert_eq!(asked(&recent, &logged_in(None, None).into()), Some((vec![], Some(300))));
    let both = format!("{PERMIT}{RECENT}{STRONG}");
    let acr = || vec!["urn:mfa".to_owned(), "urn:key".to_owned()];
    assert!(get(&both, &logged_in(Some(0), Some("urn:key")).into()).allow);
    assert_eq!(asked(&both, &logged_in(Some(0), Some("urn:pwd")).into()), Some((acr(), None)));
    assert_eq!(asked(&both, &logged_in(Some(900), None).into()), Some((acr(), Some(300))));
    // Whoever names the principal, it is the holder of the token who can log in again.
    assert_eq!(asked(&recent, &by_certificate(logged_in(None, None), certificate("x"))), Some((vec![], Some(300))));
}

#[test]
fn nobody_is_sent_to_log_in_for_nothing() {
    let stale = || Identity::from(logged_in(Some(900), None));
    let with = |more: &str| format!("{RECENT}{more}");
    assert!(asked(&with(PERMIT), &stale()).is_some());
    // No permit would apply.
    assert_eq!(asked(RECENT, &stale()), None);
    assert_eq!(asked(&with("@id(\"p\") permit(principal, action == Gate::Action::\"PUT\", resource);"), &stale()), None);
    // Another forbid stays.
    assert_eq!(asked(&with(&format!("{PERMIT}@id(\"f\") forbid(principal, action, resource);")), &stale()), None);
    // No token, no login.
    assert_eq!(asked(&with(PERMIT), &Identity::Anonymous), None);
    assert_eq!(asked(&with(PERMIT), &Identity::from(certificate("x"))), None);
    // The token already is what the annotation asks for, and the policy forbids all the same.
    let stuck = r#"@id("stuck") @step_up_acr("urn:mfa") forbid(principal, action, resource)
        unless { context has token && context.token.amr.contains("otp") };"#;
    assert!(asked(&format!("{PERMIT}{stuck}"), &stale()).is_some());
    assert_eq!(asked(&format!("{PERMIT}{stuck}"), &logged_in(Some(0), Some("urn:mfa")).into()), None);
}

#[test]
fn an_error_is_no_step_up() {
    let fails = "@id(\"fails\") permit(principal, action, resource) when { context.hour * 9223372036854775807 > 0 };";
    let verdict = Asking::new("GET", "/x").ask(&load(&with_policies(&format!("{PERMIT}{RECENT}{fails}"))), &logged_in(None, None).into());
    assert!(verdict.step_up.is_none() && !verdict.errors.is_empty(), "{verdict:?}");
}
