//! `cedargate audit query` and `cedargate audit export`, as they are run over logs that are kept for ever.

use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use serde_json::Value;
use tempfile::TempDir;

use super::support::process::{Ended, ended};

/// The fixtures: one of the first gates' records, one of today's. They are read by every version to come.
const FOUNDATION: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/vectors/records/foundation.jsonl");
const V1: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/vectors/records/v1.jsonl");

fn command(args: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_cedargate"));
    command.arg("audit").args(args).stdin(Stdio::null());
    command
}

fn run(args: &[&str]) -> Ended {
    ended(command(args))
}

/// The same with something on standard input.
fn fed(args: &[&str], input: &[u8]) -> Ended {
    let mut child = command(args).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    child.stdin.take().unwrap().write_all(input).unwrap();
    let output = child.wait_with_output().unwrap();
    let text = |bytes| String::from_utf8(bytes).unwrap();
    Ended { code: output.status.code(), stdout: text(output.stdout), stderr: text(output.stderr) }
}

/// A log in a folder of its own.
struct Log(TempDir);

impl Log {
    fn of(text: &str) -> Self {
        let log = Self(tempfile::tempdir().unwrap());
        std::fs::write(log.path("log.jsonl"), text).unwrap();
        log
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn name(&self) -> String {
        self.path("log.jsonl").display().to_string()
    }
}

fn count(file: &str, filter: &[&str]) -> u64 {
    run(&[&["query", file, "--count"], filter].concat()).ok().trim().parse().unwrap()
}

/// A file as RFC 4180 reads it.
fn rows(text: &str) -> Vec<Vec<String>> {
    let (mut rows, mut row, mut cell, mut quoted) = (vec![], vec![], String::new(), false);
    let mut chars = text.chars().peekable();
    while let Some(c) = chars.next() {
        match c {
            '"' if quoted && chars.peek() == Some(&'"') => cell.push(chars.next().unwrap()),
            '"' => quoted = !quoted,
            ',' if !quoted => row.push(std::mem::take(&mut cell)),
            '\r' if !quoted && chars.peek() == Some(&'\n') => {
                chars.next();
                row.push(std::mem::take(&mut cell));
                rows.push(std::mem::take(&mut row));
            }
            c => cell.push(c),
        }
    }
    assert!(row.is_empty() && cell.is_empty() && !quoted, "the last row has no end");
    rows
}

#[test]
fn each_filter_finds_what_it_names_and_nothing_else() {
    const ALICE: &str = "Gate::User::\"corp/alice\"";
    for (filter, found) in [
        (&[][..], 17),
        (&["--since", "2026-11-21T01:55:00Z"], 2),
        (&["--since", "2026-11-21T01:55:02.016Z", "--until", "2026-11-21T01:56:02.017Z"], 1),
        (&["--until", "2026-11-21T01:40:02.002Z"], 1),
        (&["--until", "2020-01-01T00:00:00Z"], 0),
        (&["--since", "2100-01-01T00:00:00Z"], 0),
        (&["--decision", "deny"], 6),
        (&["--decision", "deny", "--decision", "allow"], 14),
        (&["--subject", "alice"], 4),
        (&["--subject", "CN=billing"], 1),
        (&["--subject", "bob"], 1),
        (&["--subject", "ali"], 0),
        (&["--principal", ALICE], 4),
        (&["--principal", "corp/alice"], 4),
        (&["--principal", "corp"], 0),
        (&["--path", "/api"], 8),
        (&["--path", "/api/documents"], 5),
        (&["--path", "/api/doc"], 0),
        (&["--path", "/media", "--path", "/health"], 2),
        (&["--policy", "documents.owner"], 3),
        (&["--policy", "documents.sign"], 1),
        (&["--policy", "documents"], 0),
        (&["--reason", "jwt"], 1),
        (&["--reason", "jwt.expired"], 1),
        (&["--reason", "system"], 3),
        (&["--reason", "sign.lifetime"], 1),
        (&["--reason", "mtls"], 0),
        (&["--digest", "5b3a02e5"], 17),
        (&["--digest", "44575cf5"], 14),
        (&["--digest", "00"], 0),
        (&["--region", "fra-1"], 17),
        (&["--region", "fra"], 0),
        (&["--status", "403"], 1),
        (&["--status", "4xx"], 5),
        (&["--status", "418"], 0),
        (&["--host", "API.example.com"], 12),
        (&["--host", "example.com"], 0),
        (&["--method", "put"], 1),
        (&["--method", "PATCH"], 0),
        (&["--id", "01a1fbc1-0001-7e7c-bdf3-02c046c3a199"], 2),
        (&["--id", "01a1fbc1"], 0),
        (&["--trace", "628b49d96dcde97a430dd4f597705899"], 1),
        (&["--trace", "628b49d9"], 0),
        (&["--link-id", "358bf8d9c60f1515225a5eb292785944"], 2),
        (&["--link-id", "358b"], 0),
        (&["--kind", "checkpoint", "--kind", "dropped"], 2),
        (&["--kind", "decision"], 14),
        (&["--decision", "deny", "--path", "/api/documents", "--status", "401"], 2),
        (&["--decision", "allow", "--status", "401"], 0),
    ] {
        assert_eq!(count(V1, filter), found, "{filter:?}");
    }
}

#[test]
fn the_records_of_the_first_gates_are_read() {
    let old = |filter: &[&str]| count(FOUNDATION, filter);
    assert_eq!(old(&[]), 2);
    assert_eq!(old(&["--kind", "decision", "--region", "local"]), 2);
    assert_eq!(old(&["--principal", "dev/alice", "--policy", "documents.reader-group"]), 1);
    assert_eq!(old(&["--reason", "jwt.expired", "--status", "401"]), 1);
    assert_eq!(run(&["query", FOUNDATION, V1, "--count"]).ok(), "19\n");
}

#[test]
fn json_is_the_lines_as_they_are() {
    let text = std::fs::read_to_string(V1).unwrap();
    assert!(run(&["query", V1, "--format", "json"]).ok() == text);
    let first: String = text.lines().take(2).map(|line| format!("{line}\n")).collect();
    assert!(run(&["query", "--limit", "2", "--format", "json", V1]).ok() == first);
    assert_eq!(run(&["query", V1, "--reason", "mtls", "--format", "json"]).ok(), "");
    let counted: Value = serde_json::from_str(&run(&["query", V1, "--count", "--format", "json"]).ok()).unwrap();
    assert_eq!(counted, serde_json::json!({ "count": 17, "records": 17, "malformed": 0 }));
}

#[test]
fn the_table_is_aligned_and_says_how_many() {
    let ended = run(&["query", V1, "--path", "/api/documents"]);
    assert!(ended.stderr.starts_with("5 of 17 records\n"), "{}", ended.stderr);
    let table = ended.ok();
    let lines: Vec<_> = table.lines().collect();
    assert_eq!(lines.len(), 6, "{table}");
    let column = |name: &str| lines[0].find(name).unwrap();
    for line in &lines[1..] {
        assert!(line.starts_with("2026-11-21T") && line[column("PATH")..].starts_with("/api/documents"), "{line}");
    }
    assert!(lines[1][column("DECISION")..].starts_with("allow") && lines[1][column("PRINCIPAL")..].starts_with("corp/alice "), "{table}");
    assert!(lines[1].ends_with("  documents.owner"), "{table}");
    assert!(!table.contains('\x1b'), "{table}");
    let coloured = run(&["--color", "always", "query", V1, "--status", "403"]);
    assert!(coloured.ok().contains("\x1b[31mdeny"));

    // No rows, no table, and no error.
    let none = run(&["query", V1, "--region", "nowhere"]);
    assert_eq!((none.stderr.lines().next(), none.stdout.as_str(), none.code), (Some("0 of 17 records"), "", Some(0)));
    assert!(run(&["query", V1, "--limit", "3"]).stderr.starts_with("the first 3 records\n"));
    // Records about the log itself say what they say.
    let log = run(&["query", V1, "--kind", "dropped", "--kind", "checkpoint", "--kind", "outcome"]).ok();
    for part in ["12 records lost (the queue was full)", "14 decisions (interval)", "of 01a1fbc1-0001-7e7c-bdf3-02c046c3a199"] {
        assert!(log.contains(part), "{log}");
    }
}

#[test]
fn what_was_lost_is_told() {
    for args in [&["query", V1, "--count"][..], &["query", V1, "--status", "403", "--quiet"], &["export", V1, "-q"]] {
        let ended = run(args);
        assert_eq!((ended.code, ended.stderr.as_str()), (Some(0), "warning: these logs say that 12 records were lost\n"), "{args:?}");
    }
}

#[test]
fn csv_has_a_header_and_one_row_for_each_record() {
    let rows = rows(&run(&["query", V1, "--format", "csv"]).ok());
    assert_eq!(rows.len(), 18);
    let cell = |row: usize, name: &str| rows[row][rows[0].iter().position(|column| column == name).unwrap()].as_str();
    assert!(rows.iter().all(|row| row.len() == rows[0].len()));
    assert_eq!([cell(1, "decision"), cell(1, "policies"), cell(1, "groups")], ["allow", "documents.owner", "corp/readers"]);
    assert_eq!([cell(2, "reason"), cell(2, "credentials")], ["jwt.expired", "token:refused:jwt.expired"]);
    assert_eq!([cell(10, "status"), cell(10, "upstream_error")], ["504", "system.origin_timeout"]);
    assert_eq!([cell(17, "kind"), cell(17, "lost"), cell(17, "identity_us")], ["dropped", "12", ""]);
    // The same rows, whichever command writes them.
    let export = run(&["export", "--format", "csv", V1, "--decision", "deny"]).ok();
    assert!(export == run(&["query", "--format", "csv", V1, "--decision", "deny"]).ok());
}

#[test]
fn a_path_cannot_be_a_formula() {
    for start in ["=", "+", "-", "@", "\\t", "\\r"] {
        let text = format!("{start}HYPERLINK(\\\"http://evil.example\\\",\\\"x\\\")");
        let log = Log::of(&format!(r#"{{"v":1,"detail":"{text}","request":{{"path":"{text}","method":"{text}"}},"errors":["{text}"]}}"#));
        for args in [["query", "--format", "csv"], ["export", "--format", "csv"]] {
            let shown = rows(&run(&[&args[..], &[log.name().as_str()]].concat()).ok());
            let guarded = shown[1].iter().filter(|cell| cell.contains("HYPERLINK")).collect::<Vec<_>>();
            assert_eq!(guarded.len(), 4, "{start}");
            assert!(guarded.iter().all(|cell| cell.starts_with('\'')), "{guarded:?}");
        }
    }
}

#[test]
fn nothing_in_a_log_reaches_the_terminal_as_it_is() {
    let hostile = r"a\u001b[2J\u001b]0;x\u0007\u009b31m\u202eb\r\nFAKE ROW\u2067\u007f";
    let log = Log::of(&format!(
        r#"{{"v":1,"time":"{hostile}","decision":"{hostile}","reason":"{hostile}","cedar":{{"principal":"{hostile}"}},"request":{{"method":"{hostile}","path":"{hostile}"}},"policies":[{{"id":"{hostile}"}}]}}"#
    ));
    for format in ["human", "csv"] {
        let shown = run(&["query", &log.name(), "--format", format]).ok();
        let steering = |c: char| c.is_control() && !matches!(c, '\n' | '\r') || matches!(c, '\u{202e}' | '\u{2067}');
        assert!(!shown.contains(steering), "{format}: {shown:?}");
        assert!(shown.contains("FAKE ROW"), "{shown}");
    }
    let table = run(&["query", &log.name()]).ok();
    assert_eq!(table.lines().count(), 2, "{table:?}");

    // Nor by way of a message about it.
    let log = Log::of("{\"v\":1,\"status\":\"\\u001b[2J\\n\\u202e\"}\n{\"v\":1,\"\x1b]0;x\x07\u{202e}\n");
    let ended = run(&["query", &log.name(), "--format", "json"]);
    assert_eq!(ended.stderr.lines().count(), 3, "{}", ended.stderr);
    assert!(!ended.stderr.contains(['\x1b', '\x07', '\u{202e}']), "{:?}", ended.stderr);
    ended.ok();
}

#[test]
fn lines_that_are_no_records_are_told_of_and_counted() {
    let good = std::fs::read_to_string(FOUNDATION).unwrap();
    let log =
        Log::of(&format!("Serving http://127.0.0.1:3000\n{good}{{\"v\":1,\"status\":\n\n{{\"v\":1,\"status\":\"x\"}}\n{{\"v\":1}}\r\n"));
    let name = log.name();
    for args in
        [&["query", &name, "--format", "json"][..], &["query", &name, "--format", "csv"], &["export", "--format", "csv", &name, "-q"]]
    {
        let ended = run(args);
        let said: Vec<_> = ended.stderr.lines().collect();
        assert!(said[0].starts_with(&format!("{name}:4:16: warning: not a record: ")), "{said:?}");
        assert!(said[1].starts_with(&format!("{name}:6:")) && said[1].contains("invalid type: string"), "{said:?}");
        assert_eq!(said[2..], ["warning: 2 lines could not be read as a record"], "{args:?}");
        ended.ok();
    }
    assert_eq!(count(&name, &[]), 3);
    // Not one line for each of a million.
    let log = Log::of(&"{\"v\":1,\n".repeat(500));
    let ended = run(&["query", &log.name(), "--count"]);
    assert_eq!((ended.stderr.lines().count(), ended.stderr.lines().last()), (52, Some("warning: 500 lines could not be read as a record")));
    assert_eq!(ended.ok(), "0\n");
}

#[test]
fn standard_input_is_a_log_too() {
    let text = std::fs::read(V1).unwrap();
    assert_eq!(fed(&["query", "-", "--decision", "deny", "--count"], &text).ok(), "6\n");
    let table = fed(&["query", "-", "--status", "403", "-q"], &text).ok();
    assert!(table.lines().count() == 2 && table.contains("policy.forbid"), "{table}");
    assert_eq!(fed(&["export", "-", "-q"], &text).ok().lines().count(), 15);
    assert_eq!(fed(&["query", "-", FOUNDATION, "--count"], &text).ok(), "19\n");
}

#[test]
fn what_cannot_be_done_is_said() {
    let folder = tempfile::tempdir().unwrap();
    let missing = folder.path().join("missing.jsonl").display().to_string();
    for (args, parts) in [
        (&["query", &missing][..], &["could not read", "missing.jsonl"][..]),
        (&["export", &missing, "--format", "csv", "-o", "/dev/null"], &["could not read", "missing.jsonl"]),
        (&["query"], &["<FILE>"]),
        (&["query", V1, "--status", "999"], &["--status", "`4xx`"]),
        (&["query", V1, "--since", "yesterday"], &["--since", "`2h`"]),
        (&["query", V1, "--path", "api"], &["begins with `/`"]),
        (&["query", V1, "--limit", "0"], &["shows nothing", "--count"]),
        (&["query", V1, "--limit", "1", "--count"], &["cannot be used with"]),
        (&["query", V1, "--format", "xml"], &["xml"]),
        (&["export", V1, "-o", "/no/such/folder/x"], &["`/no/such/folder/x` cannot be written"]),
    ] {
        let said = run(args).failed(1);
        assert!(parts.iter().all(|part| said.contains(part)), "{args:?}: {said}");
    }
    // What is no code of this version may be one of a newer gate: that is a hint and no error.
    let ended = run(&["query", V1, "--reason", "jwt.expird", "--count"]);
    assert!(ended.stderr.contains("`jwt.expird`") && ended.stderr.contains("did you mean `jwt.expired`?"), "{}", ended.stderr);
    assert_eq!(ended.ok(), "0\n");
    let ended = run(&["query", V1, "--kind", "droped", "--count"]);
    assert!(ended.stderr.contains("did you mean `dropped`?"), "{}", ended.stderr);
}

#[test]
fn ocsf_is_one_event_on_each_line() {
    let ended = run(&["export", FOUNDATION, V1]);
    assert!(ended.stderr.contains("17 records exported\n2 records left out"), "{}", ended.stderr);
    let events: Vec<Value> = ended.ok().lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(events.len(), 17);
    for event in &events {
        assert_eq!((&event["class_uid"], &event["metadata"]["version"]), (&6003.into(), &"1.8.0".into()));
    }
    let raw: Vec<_> = [FOUNDATION, V1]
        .iter()
        .flat_map(|file| std::fs::read_to_string(file).unwrap().lines().map(str::to_owned).collect::<Vec<_>>())
        .collect();
    assert!(events.iter().all(|event| raw.iter().any(|line| event["raw_data"] == line.as_str())));
    let bare = run(&["export", FOUNDATION, "--no-raw", "--cloud-provider", "AWS", "-q"]).ok();
    let bare: Value = serde_json::from_str(bare.lines().next().unwrap()).unwrap();
    assert_eq!(
        (bare.get("raw_data"), &bare["cloud"]["region"], &bare["raw_data_hash"]),
        (None, &"local".into(), &events[0]["raw_data_hash"])
    );
    // An event needs a time.
    let log = Log::of("{\"v\":1,\"decision\":\"allow\"}\n");
    let ended = run(&["export", &log.name(), "-q"]);
    assert!(ended.stderr.contains("log.jsonl:1:1: warning: ") && ended.stderr.contains("it has no time"), "{}", ended.stderr);
    assert_eq!(ended.ok(), "");
}

#[test]
fn an_export_is_a_whole_file_or_none_and_never_one_of_the_logs() {
    let log = Log::of(&std::fs::read_to_string(V1).unwrap());
    let made = log.path("events.jsonl");
    let export = |more: &[&str]| run(&[&["export", &log.name(), "-o", made.to_str().unwrap()], more].concat());
    assert_eq!(export(&["--decision", "deny"]).ok(), "");
    assert_eq!(std::fs::read_to_string(&made).unwrap().lines().count(), 6);
    // A failure leaves what was there, and nothing else.
    let said = export(&["missing.jsonl"]).failed(1);
    assert!(said.contains("missing.jsonl"), "{said}");
    assert_eq!(std::fs::read_to_string(&made).unwrap().lines().count(), 6);
    assert_eq!(std::fs::read_dir(log.0.path()).unwrap().count(), 2);

    let before = std::fs::read(log.path("log.jsonl")).unwrap();
    std::os::unix::fs::symlink(log.path("log.jsonl"), log.path("alias")).unwrap();
    for target in ["log.jsonl", "./log.jsonl", "alias"] {
        let said = run(&["export", &log.name(), "-o", log.path(target).to_str().unwrap()]).failed(1);
        assert!(said.contains("is one of the logs"), "{said}");
    }
    assert!(std::fs::read(log.path("log.jsonl")).unwrap() == before);
    assert!(Path::new("/dev/null").exists());
    run(&["export", &log.name(), "-o", "/dev/null"]).ok();
}

#[test]
fn a_reader_that_goes_away_ends_it() {
    let log = Log::of(&std::fs::read_to_string(V1).unwrap().repeat(2000));
    let name = log.name();
    for args in [&["query", "--format", "json"][..], &["query"], &["export", "-q"]] {
        let mut child = command(&[args, &[name.as_str()]].concat()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        drop(child.stdout.take());
        let ended = child.wait_with_output().unwrap();
        assert_eq!(ended.status.code(), Some(0), "{args:?}: {}", String::from_utf8_lossy(&ended.stderr));
    }
}

#[test]
fn every_option_that_asks_something_is_on_the_page() {
    let page = std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/docs/audit-export.md")).unwrap();
    let help = run(&["query", "--help"]).ok();
    let (_, asked) = help.split_once("Which records:").unwrap();
    for option in asked.lines().filter_map(|line| line.trim_start().strip_prefix("--")?.split([' ', '=']).next()) {
        assert!(page.contains(&format!("`--{option}`")), "{option}");
    }
}
