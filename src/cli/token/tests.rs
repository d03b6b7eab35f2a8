use std::collections::BTreeMap;

use clap::Parser;

use super::*;
use crate::bundle::{Bundle, Report};
use crate::cli::files;
use crate::identity::{Identity, Issuers, TokenIdentity};
use crate::request::Evidence;

#[derive(Debug, Parser)]
struct Line {
    #[command(flatten)]
    args: TokenArgs,
}

const NOW: UnixTime = UnixTime(1_772_357_400);

fn project() -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    std::fs::create_dir_all(folder.path().join("keys")).unwrap();
    std::fs::create_dir_all(folder.path().join("policies")).unwrap();
    std::fs::write(folder.path().join("keys/issuers.toml"), "version = 1\n").unwrap();
    folder
}

fn bundle(project: &Path, dev: bool) -> Bundle {
    files::read_bundle(&project.join("policies"), &project.join("keys"), dev).unwrap()
}

fn issuers(bundle: &Bundle) -> Issuers {
    let mut report = Report::default();
    let issuers = Issuers::load(bundle, &mut report);
    assert!(report.is_empty(), "{report}");
    issuers.unwrap()
}

fn payload(token: &str) -> BTreeMap<String, Value> {
    let part = token.split('.').nth(1).unwrap();
    serde_json::from_slice(&URL_SAFE_NO_PAD.decode(part).unwrap()).unwrap()
}

fn made(project: &Path, args: &[&str]) -> miette::Result<String> {
    let keys = project.join("keys");
    let line = ["token", "--keys", keys.to_str().unwrap()];
    let mut args = Line::parse_from(line.iter().chain(args)).args;
    args.now.get_or_insert(NOW);
    token(&args)
}

fn verify(project: &Path, dev: bool, token: &str, now: UnixTime) -> Result<TokenIdentity, String> {
    let evidence = Evidence { authorization: Some(format!("Bearer {token}").into_bytes()), ..Evidence::default() };
    match issuers(&bundle(project, dev)).identify(&evidence, now) {
        Ok(Identity::Token { token, .. }) => Ok(std::sync::Arc::unwrap_or_clone(token)),
        Ok(_) => Err("anonymous".to_owned()),
        Err(denial) => Err(denial.reason.code().to_owned()),
    }
}

#[test]
fn a_token_says_what_was_asked_for() {
    let project = project();
    let args = [
        "--sub", "bob", "--group", "writers", "--group", "x", "--role", "admin", "--scope", "a:read", "--scope", "a:write", "--aud",
        "other",
    ];
    let claims = payload(&made(project.path(), &args).unwrap());
    assert_eq!(claims["sub"], "bob");
    assert_eq!(claims["groups"], json!(["writers", "x"]));
    assert_eq!(claims["roles"], json!(["admin"]));
    assert_eq!(claims["scope"], "a:read a:write");
    assert_eq!((&claims["iss"], &claims["aud"]), (&json!(dev_keys::ISS), &json!("other")));
    assert_eq!((&claims["iat"], &claims["exp"]), (&json!(NOW.0), &json!(NOW.0 + 600)));
    let fewer = payload(&made(project.path(), &[]).unwrap());
    assert_eq!(fewer.keys().collect::<Vec<_>>(), ["aud", "exp", "iat", "iss", "jti", "sub"]);
    assert_ne!(fewer["jti"], claims["jti"]);
}

#[test]
fn a_claim_replaces_the_usual_one() {
    let project = project();
    let args = ["--claim", "sub=7", "--claim", "a.b={\"c\":[null]}", "--claim", "q=\"x=y\""];
    let claims = payload(&made(project.path(), &args).unwrap());
    assert_eq!((&claims["sub"], &claims["a.b"], &claims["q"]), (&json!(7), &json!({"c": [null]}), &json!("x=y")));
    assert!(made(project.path(), &["--claim", "a=1", "--claim", "a=2"]).unwrap_err().to_string().contains("given twice"));
    for wrong in ["a", "=1", "a=b", "a="] {
        assert!(parse_claim(wrong).is_err(), "{wrong}");
    }
}

#[test]
fn a_token_of_either_algorithm_verifies_with_dev_and_never_without() {
    let project = project();
    for algorithm in ["EdDSA", "ES256"] {
        let token =
            made(project.path(), &["--alg", algorithm, "--group", "writers", "--group", "x", "--role", "admin", "--scope", "b a"]).unwrap();
        let identity = verify(project.path(), true, &token, NOW).unwrap();
        assert_eq!((identity.principal.as_str(), identity.algorithm), ("dev/alice", algorithm));
        assert_eq!((identity.groups, identity.roles), (vec!["dev/x".to_owned(), "writers".to_owned()], vec!["admin".to_owned()]));
        assert_eq!(identity.scopes, ["a", "b"]);
        assert_eq!(verify(project.path(), true, &token, UnixTime(NOW.0 + 3600)), Err("jwt.expired".to_owned()));
        assert_eq!(verify(project.path(), false, &token, NOW), Err("jwt.issuer_unknown".to_owned()));
    }
}

#[test]
fn a_negative_duration_makes_a_token_that_has_expired_and_nothing_else() {
    let project = project();
    let token = made(project.path(), &["--expires-in", "-5m"]).unwrap();
    assert_eq!(verify(project.path(), true, &token, NOW), Err("jwt.expired".to_owned()));
    assert!(verify(project.path(), true, &token, UnixTime(NOW.0 - 301)).is_ok());
}

#[test]
fn a_token_for_the_quickstart_verifies() {
    let project = project();
    let keys = project.path().join("keys");
    ensure_dev_keys(&keys).unwrap();
    let token = dev_token_at(&keys, NOW, "alice", &["readers"], &["documents:read"]).unwrap();
    let identity = verify(project.path(), true, &token, NOW).unwrap();
    assert_eq!((identity.groups, identity.scopes), (vec!["readers".to_owned()], vec!["documents:read".to_owned()]));
    assert!(dev_token(&keys, "alice", &[], &[]).is_ok());
}

#[test]
fn a_time_beyond_all_time_is_an_error() {
    let project = project();
    assert!(made(project.path(), &["--now", "9223372036854775807"]).is_err());
}
