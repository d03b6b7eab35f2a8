use clap::Parser;

use super::*;

#[derive(Debug, Parser)]
struct Line {
    #[command(flatten)]
    filter: Filter,
}

fn filter(args: &[&str]) -> Filter {
    Line::try_parse_from([&[""], args].concat()).unwrap().filter
}

fn entry(json: &str) -> Entry {
    Entry::parse(json).unwrap()
}

fn below(prefix: &str, path_of_record: &str) -> bool {
    let mut entry = Entry::default();
    entry.request.path = Some(path_of_record.to_owned());
    filter(&["--path", prefix]).matches(&entry)
}

#[test]
fn a_path_covers_whole_segments() {
    for (prefix, path) in [
        ("/", "/"),
        ("/", "/a/b"),
        ("/api", "/api"),
        ("/api/", "/api"),
        ("/api", "/api/documents/1"),
        ("/api/documents", "/api/%64ocuments/1"),
        ("/api/%64ocuments", "/api/documents"),
        ("/api/ä", "/api/%C3%A4"),
        ("/api", "/api/"),
        ("/a%", "/a%/b"),
    ] {
        assert!(below(prefix, path), "{prefix} {path}");
    }
    for (prefix, path) in [
        ("/api", "/apiary"),
        ("/api/doc", "/api/documents"),
        ("/api/documents", "/api"),
        ("/api", "api"),
        ("/a/b", "/a%2Fb"),
        ("/api", ""),
        ("/api", "h:0x12"),
    ] {
        assert!(!below(prefix, path), "{prefix} {path}");
    }
    assert!(!filter(&["--path", "/"]).matches(&Entry::default()));
}

#[test]
fn a_reason_is_a_code_or_a_group_and_never_the_beginning_of_one() {
    for (wanted, code, is) in [
        ("jwt.expired", "jwt.expired", true),
        ("jwt", "jwt.expired", true),
        ("jwt.", "jwt.expired", true),
        ("jw", "jwt.expired", false),
        ("jwt.exp", "jwt.expired", false),
        ("jwt.expired", "jwt.expiry_missing", false),
        ("sign", "signed_url.expired", false),
        ("jwt", "jwt", true),
    ] {
        assert_eq!(is_reason(code, wanted), is, "{wanted} {code}");
    }
    let inner = entry(
        r#"{"v":1,"reason":"policy.permit","upstream":{"error":{"reason":"system.origin_timeout"}},
            "credentials":[{"reason":"dpop.replay"}],"signing":[{"reason":"sign.format"}]}"#,
    );
    for wanted in ["system", "dpop.replay", "sign.format", "policy.permit"] {
        assert!(filter(&["--reason", wanted]).matches(&inner), "{wanted}");
    }
    assert!(!filter(&["--reason", "jwt"]).matches(&inner));
}

#[test]
fn options_narrow_and_repetition_widens() {
    let get = entry(r#"{"v":1,"decision":"deny","status":403,"request":{"method":"GET"}}"#);
    assert!(filter(&[]).matches(&get));
    assert!(filter(&["--decision", "deny", "--status", "4xx", "--method", "get"]).matches(&get));
    assert!(!filter(&["--decision", "deny", "--status", "401"]).matches(&get));
    assert!(filter(&["--status", "401", "--status", "403"]).matches(&get));
    assert!(!filter(&["--decision", "allow"]).matches(&get));
    assert!(filter(&["--decision", "allow", "--decision", "deny"]).matches(&get));
}

#[test]
fn what_was_only_observed_is_found() {
    let observed = filter(&["--observed"]);
    assert!(observed.matches(&entry(r#"{"v":1,"decision":"deny","mode":"observe","enforced":false}"#)));
    for other in [
        r#"{"v":1,"decision":"deny","mode":"observe","enforced":true}"#,
        r#"{"v":1,"decision":"allow","mode":"observe","enforced":false}"#,
        // Before there was a mode, everything was enforced.
        r#"{"v":1,"decision":"deny"}"#,
    ] {
        assert!(!observed.matches(&entry(other)), "{other}");
        assert!(filter(&[]).matches(&entry(other)), "{other}");
    }
}

#[test]
fn a_time_is_a_point_or_how_long_ago() {
    let at = |time: &str| Entry { time: time.to_owned(), ..Entry::default() };
    let since = filter(&["--since", "2026-03-01T09:30:00.500Z"]);
    assert!(since.matches(&at("2026-03-01T09:30:00.500Z")) && !since.matches(&at("2026-03-01T09:30:00.499Z")));
    let until = filter(&["--until", "2026-03-01T10:30:00+01:00"]);
    assert!(until.matches(&at("2026-03-01T09:29:59.999Z")) && !until.matches(&at("2026-03-01T09:30:00.000Z")));
    assert!(!until.matches(&at("")) && !since.matches(&at("yesterday")));
    assert_eq!(moment("1772357400"), Ok(1_772_357_400_000));
    let back = Timestamp::now().as_millisecond() - moment("2h").unwrap();
    assert!((7_199_000..7_210_000).contains(&back), "{back}");
    for wrong in ["", "yesterday", "2026-03-01", "-2h"] {
        assert!(moment(wrong).is_err(), "{wrong}");
    }
}

#[test]
fn names_are_found_wherever_a_record_has_them() {
    let record = entry(
        r#"{"v":1,"cedar":{"principal":"Gate::User::\"dev/alice\""},"identity":{"subject":"alice","principal":"dev/alice"},
            "certificate":{"subject":"CN=a","principal":"spiffe://x/a"},"signed_url":{"link_id":"l1","subject":"bob"},
            "signing":[{"link_id":"l2","policies":[{"id":"p2"}]}],"policies":[{"id":"p1"}],"policy_digest":"ab12","build_digest":"cd34"}"#,
    );
    for args in [
        ["--principal", "dev/alice"],
        ["--principal", "Gate::User::\"dev/alice\""],
        ["--principal", "spiffe://x/a"],
        ["--subject", "alice"],
        ["--subject", "CN=a"],
        ["--subject", "bob"],
        ["--link-id", "l1"],
        ["--link-id", "l2"],
        ["--policy", "p1"],
        ["--policy", "p2"],
        ["--digest", "AB1"],
        ["--digest", "cd34"],
        ["--kind", "decision"],
    ] {
        assert!(filter(&args).matches(&record), "{args:?}");
    }
    for args in [
        ["--principal", "alice"],
        ["--subject", "dev/alice"],
        ["--link-id", "l"],
        ["--policy", "p"],
        ["--digest", "b12"],
        ["--digest", "ab123"],
        ["--kind", "outcome"],
    ] {
        assert!(!filter(&args).matches(&record), "{args:?}");
    }
}

#[test]
fn what_makes_no_sense_is_refused() {
    for args in [
        ["--status", "4x"],
        ["--status", "600"],
        ["--status", "9xx"],
        ["--decision", "maybe"],
        ["--path", "api"],
        ["--path", "/api?x"],
        ["--since", "never"],
    ] {
        assert!(Line::try_parse_from([&[""], &args[..]].concat()).is_err(), "{args:?}");
    }
}
