use clap::Parser as _;

use super::*;

#[derive(Debug, clap::Parser)]
struct Line {
    #[command(flatten)]
    args: RevokeArgs,
}

fn parse(args: &[&str]) -> Result<RevokeArgs, clap::Error> {
    let line = ["revoke", "--gate", "http://127.0.0.1:1", "--token-file", "none"].iter().chain(args);
    Line::try_parse_from(line).map(|line| line.args)
}

fn asked(args: &[&str]) -> Value {
    body(&parse(args).unwrap_or_else(|error| panic!("{args:?}: {error}"))).unwrap()
}

fn token(claims: &Value) -> String {
    format!("e30.{}.c2ln", URL_SAFE_NO_PAD.encode(claims.to_string()))
}

#[test]
fn each_way_to_name_something_is_a_body_the_gate_takes() {
    for (args, body) in [
        (&["--issuer", "corp"][..], json!({"issuer": {"issuer": "corp"}})),
        (&["--issuer", "corp", "--issued-before", "5"], json!({"issuer": {"issuer": "corp", "issued_before": 5}})),
        (&["--issuer", "corp", "--jti", "t", "--reason", "r"], json!({"token_id": {"issuer": "corp", "jti": "t"}, "reason": "r"})),
        (&["--issuer", "corp", "--session", "s", "--expires-at", "9"], json!({"session": {"issuer": "corp", "sid": "s"}, "expires_at": 9})),
        (&["--issuer", "corp", "--subject", "a", "--undo"], json!({"subject": {"issuer": "corp", "sub": "a"}})),
    ] {
        assert_eq!(asked(args), body, "{args:?}");
    }
    let nothing = body(&parse(&[]).unwrap()).unwrap_err();
    assert_eq!(nothing.to_string(), "nothing to revoke");
}

#[test]
fn what_makes_no_sense_together_is_refused() {
    for args in [
        &["--jti", "t"][..],
        &["--subject", "a"],
        &["--session", "s"],
        &["--issuer", "corp", "--jti", "t", "--subject", "a"],
        &["--issuer", "corp", "--jti", "t", "--issued-before", "5"],
        &["--issuer", "corp", "--token", "f"],
        &["--token", "f", "--certificate", "f"],
        &["--issuer", "corp", "--undo", "--expires-at", "5"],
        &["--issuer", "corp", "--gate", "api.example.com"],
    ] {
        assert!(parse(args).is_err(), "{args:?}");
    }
}

#[test]
fn a_token_in_a_file_is_named_by_its_claims() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("t.jwt");
    let with = |claims: Value, more: &[&str]| {
        std::fs::write(&path, format!("{}\n", token(&claims))).unwrap();
        body(&parse(&[&["--token", path.to_str().unwrap()], more].concat()).unwrap())
    };
    let named = json!({"issuer": "https://a/", "jti": "t"});
    let claims = json!({"iss": "https://a/", "jti": "t", "exp": 9});
    assert_eq!(with(claims.clone(), &[]).unwrap(), json!({"token_id": named, "expires_at": 9}));
    assert_eq!(with(claims.clone(), &["--expires-at", "10"]).unwrap(), json!({"token_id": named, "expires_at": 10}));
    assert_eq!(with(claims, &["--undo"]).unwrap(), json!({"token_id": named}));
    // Never earlier than the token ends.
    assert_eq!(with(json!({"iss": "https://a/", "jti": "t", "exp": 9.5}), &[]).unwrap(), json!({"token_id": named, "expires_at": 10}));
    assert!(with(json!({"iss": "https://a/"}), &[]).is_err());
    assert!(with(json!({"jti": "t"}), &[]).is_err());
    std::fs::write(&path, "not a token").unwrap();
    assert!(body(&parse(&["--token", path.to_str().unwrap()]).unwrap()).is_err());
}

#[test]
fn a_certificate_in_a_file_is_named_by_its_issuer_and_serial() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("c.pem");
    let mut parameters = rcgen::CertificateParams::new(vec!["a.example".to_owned()]).unwrap();
    parameters.serial_number = Some(rcgen::SerialNumber::from_slice(&[0x0a, 0x1b]));
    parameters.not_after = rcgen::date_time_ymd(2030, 1, 1);
    let key = rcgen::KeyPair::generate().unwrap();
    let certificate = parameters.self_signed(&key).unwrap();
    std::fs::write(&path, certificate.pem()).unwrap();
    let asked = asked(&["--certificate", path.to_str().unwrap()]);
    assert_eq!((&asked["certificate"]["serial"], &asked["expires_at"]), (&json!("a1b"), &json!(1_893_456_000)));
    let (_, parsed) = x509_parser::parse_x509_certificate(certificate.der()).unwrap();
    assert_eq!(asked["certificate"]["issuer_digest"], Digest::of(parsed.issuer().as_raw()).to_string());
    parameters.serial_number = Some(rcgen::SerialNumber::from_slice(&[0]));
    std::fs::write(&path, parameters.self_signed(&key).unwrap().pem()).unwrap();
    assert_eq!(self::asked(&["--certificate", path.to_str().unwrap()])["certificate"]["serial"], "0");
    std::fs::write(&path, "not a certificate").unwrap();
    assert!(body(&parse(&["--certificate", path.to_str().unwrap()]).unwrap()).is_err());
}

#[test]
fn what_was_done_is_told_in_words() {
    let told =
        json!({"revoked": "subject", "id": "ab", "issued_before": 1_772_357_400, "expires_at": 1_772_357_500, "effective_within_ms": 1000});
    assert_eq!(
        done(told.as_object().unwrap(), "01J"),
        "revoked: subject, issued before 2026-03-01T09:30:00Z, until 2026-03-01T09:31:40Z\nevery gate knows within 1000 ms\nentry ab\ndecision 01J\n"
    );
    assert_eq!(done(json!({"restored": "issuer"}).as_object().unwrap(), "01J"), "no longer revoked: issuer\ndecision 01J\n");
}
