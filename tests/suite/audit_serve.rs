//! `cedargate audit serve`, as it is started and asked.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::io::Write as _;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD as B64;
use serde_json::{Value, json};
use tempfile::TempDir;

use super::support::client::{Request, Response};
use super::support::links::{hmac, keyring};
use super::support::process::{Console, ended};

/// Longest wait for what was appended.
const PATIENCE: Duration = Duration::from_secs(60);
const HOSTILE: &str = "<img src=x onerror=alert(1)>\"'";

/// The same with all names in order.
fn sorted(value: &Value) -> Value {
    match value {
        Value::Object(members) => {
            let members: BTreeMap<_, _> = members.iter().map(|(name, value)| (name.clone(), sorted(value))).collect();
            Value::Object(members.into_iter().collect())
        }
        Value::Array(values) => values.iter().map(sorted).collect(),
        other => other.clone(),
    }
}

/// A chain as a gate writes it, with the key of the suite.
struct Chain {
    instance: String,
    seq: u64,
    prev: String,
}

impl Chain {
    fn new(byte: u8) -> Self {
        Self { instance: format!("{byte:02x}").repeat(16), seq: 0, prev: "aa".repeat(32) }
    }

    /// The next line.
    fn line(&mut self, more: Value) -> String {
        let second = self.seq;
        let mut record = json!({
            "v": 1, "kind": "decision", "time": format!("2026-11-25T21:{:02}:{:02}.000Z", second / 60, second % 60), "region": "fra-1",
            "decision": "allow", "reason": "policy.permit", "status": 200, "policy_digest": "aa".repeat(32), "policies": [{"id": "documents.owner"}],
            "request": {"method": "GET", "host": "api.example.com", "path": "/api/documents/1", "client": "203.0.113.7"},
            "cedar": {"principal": "Gate::User::\"corp/alice\"", "action": "Gate::Action::\"GET\"", "resource": "Gate::Document::\"1\""},
            "credentials": [{"kind": "token", "fate": "verified"}], "timing_us": {"identity": 100, "policy": 200, "total": 1200},
            "decision_id": format!("{}-{second}", &self.instance[..4]), "trace_id": format!("trace-{second}"),
            "chain": {"alg": "HS256", "instance": self.instance, "key_id": "a1", "prev": self.prev, "seq": self.seq},
        });
        for (name, value) in more.as_object().unwrap() {
            record[name] = value.clone();
        }
        let canonical = sorted(&record).to_string();
        let key = ring::hmac::Key::new(ring::hmac::HMAC_SHA256, &[9; 32]);
        let mac = B64.encode(ring::hmac::sign(&key, format!("cedargate-record-v1\n{canonical}").as_bytes()));
        let inner = canonical.strip_prefix('{').unwrap().strip_suffix(",\"v\":1}").unwrap();
        let line = format!("{{\"v\":1,{inner},\"mac\":\"{mac}\"}}\n");
        (self.seq, self.prev) = (self.seq + 1, mac);
        line
    }

    fn denied(&mut self, reason: &str, status: u16) -> String {
        self.line(json!({"decision": "deny", "reason": reason, "status": status, "policies": [],
            "credentials": [{"kind": "token", "fate": "refused", "reason": reason}]}))
    }
}

/// Logs in a folder, and a console over them.
struct Logs(TempDir);

impl Logs {
    fn new(text: &str) -> Self {
        let logs = Self(tempfile::tempdir().unwrap());
        std::fs::write(logs.path("log.jsonl"), text).unwrap();
        std::fs::write(logs.path("keys.json"), keyring(&[hmac("a1", "active", 9)])).unwrap();
        std::fs::create_dir(logs.path("tmp")).unwrap();
        logs
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn append(&self, text: &str) {
        std::fs::OpenOptions::new().append(true).open(self.path("log.jsonl")).unwrap().write_all(text.as_bytes()).unwrap();
    }

    fn command(&self, args: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_cedargate"));
        command.args(["audit", "serve"]).args(args).current_dir(self.0.path()).env("TMPDIR", self.path("tmp"));
        command.env_remove("SPIN_VARIABLE_AUDIT_KEYS").stdin(Stdio::null());
        command
    }

    fn serve(&self, args: &[&str]) -> Console {
        let console = Console::start(&mut self.command(&[&["log.jsonl", "--port", "0"], args].concat()));
        until("the logs to be read", || (ask(&console, "/api/status")["caught_up"] == true).then_some(()));
        console
    }
}

fn get(console: &Console, target: &str) -> Response {
    Request::get(target).host(Some("localhost")).send(console.addr)
}

fn ask(console: &Console, target: &str) -> Value {
    let response = get(console, target);
    assert_eq!(response.status, 200, "{target}: {response:?}");
    serde_json::from_slice(&response.body).unwrap()
}

/// Asks again until there is an answer.
fn until<T>(what: &str, mut ask: impl FnMut() -> Option<T>) -> T {
    let deadline = Instant::now() + PATIENCE;
    loop {
        if let Some(answer) = ask() {
            return answer;
        }
        assert!(Instant::now() < deadline, "{what} never came");
        std::thread::sleep(Duration::from_millis(20));
    }
}

fn text(response: &Response) -> String {
    String::from_utf8(response.body.clone()).unwrap()
}

#[test]
fn the_console_shows_what_is_in_the_logs_and_what_is_added() {
    let mut chain = Chain::new(1);
    let mut log = "Serving http://127.0.0.1:3000\n".to_owned();
    for _ in 0..40 {
        log += &chain.line(json!({}));
        log += &chain.denied("jwt.expired", 401);
    }
    let logs = Logs::new(&log);
    let console = logs.serve(&["--keyring", "keys.json", "--slo-ms", "1"]);
    let status = ask(&console, "/api/status");
    assert_eq!((&status["records"], &status["passed"], &status["slo_us"]), (&json!(80), &json!(1), &json!(1000)));
    assert_eq!((&status["chain"]["broken"], &status["chain"]["authentic"]), (&json!(false), &json!(80)));
    let figures = ask(&console, "/api/figures");
    assert_eq!((&figures["allowed"], &figures["denied"], &figures["window"]["step"]), (&json!(40), &json!(40), &json!(30_000)));
    assert_eq!(figures["reasons"][0]["reason"], "jwt.expired");
    assert_eq!(ask(&console, "/api/figures?path=/api/documents&decision=deny")["denied"], 40);
    assert_eq!(ask(&console, "/api/top")["principals"], json!([["Gate::User::\"corp/alice\"", 40]]));

    // What is added: two lines, the second in two pieces.
    let (first, second) = (chain.denied("policy.forbid", 403), chain.line(json!({"status": 503})));
    let (start, end) = second.split_at(200);
    logs.append(&format!("{first}{start}"));
    until("the line that was appended", || (ask(&console, "/api/status")["records"] == 81).then_some(()));
    logs.append(end);
    let rows = until("the rest of the other one", || {
        let rows = ask(&console, "/api/records?status=5xx");
        rows["records"].get(0).is_some().then_some(rows)
    });
    assert_eq!((&rows["records"][0]["status"], &rows["records"][0]["fault"]), (&json!(503), &json!("authentic")));
    let (status, figures) = (ask(&console, "/api/status"), ask(&console, "/api/figures"));
    assert_eq!((&status["records"], &status["malformed"], &status["chain"]["broken"]), (&json!(82), &json!(0), &json!(false)));
    assert_eq!((&figures["errors"], &figures["denied"]), (&json!(1), &json!(41)));

    // One of them, whole.
    let record = ask(&console, "/api/record?id=0101-80");
    assert_eq!(record["records"][0]["text"], first.trim_end());
    assert_eq!((&record["records"][0]["line"], &record["records"][0]["fault"]), (&json!(82), &json!("authentic")));
    assert!(record["meanings"]["policy.forbid"]["meaning"].is_string() && record["meanings"]["policy.forbid"]["advice"].is_string());
    assert_eq!(get(&console, "/api/record?id=nothing").status, 404);

    // Ctrl-C ends it, and nothing is left.
    assert_eq!(std::fs::read_dir(logs.path("tmp")).unwrap().count(), 1);
    console.stop();
    assert_eq!(std::fs::read_dir(logs.path("tmp")).unwrap().count(), 0);
    assert_eq!(std::fs::read_to_string(logs.path("log.jsonl")).unwrap(), format!("{log}{first}{second}"));
}

#[test]
fn a_broken_chain_is_shown_as_broken_and_none_as_not_verified() {
    let mut chain = Chain::new(2);
    let lines: Vec<String> = (0..10).map(|_| chain.denied("policy.forbid", 403)).collect();
    let mut broken = lines.clone();
    broken[3] = broken[3].replace(r#""decision":"deny""#, r#""decision":"allow""#);
    broken.remove(6);
    let logs = Logs::new(&broken.concat());
    let console = logs.serve(&["--keyring", "keys.json"]);
    let status = ask(&console, "/api/status");
    assert_eq!((&status["chain"]["broken"], &status["chain"]["counts"]), (&json!(true), &json!({"altered": 1, "missing": 1})));
    let findings = ask(&console, "/api/findings");
    let told: Vec<_> = findings["findings"]
        .as_array()
        .unwrap()
        .iter()
        .map(|one| (one["fault"].as_str().unwrap(), one["line"].as_u64().unwrap()))
        .collect();
    assert_eq!(told, [("missing", 7), ("altered", 4)]);
    assert_eq!(ask(&console, "/api/records?fault=any")["records"].as_array().unwrap().len(), 1);
    let record = ask(&console, "/api/record?id=0202-3");
    assert_eq!((&record["records"][0]["fault"], &record["records"][0]["findings"][0]["fault"]), (&json!("altered"), &json!("altered")));
    let metrics = text(&get(&console, "/metrics"));
    for line in
        ["cedargate_chain_broken 1", "cedargate_chain_findings{fault=\"altered\"} 1", "cedargate_chain_findings{fault=\"missing\"} 1"]
    {
        assert!(metrics.lines().any(|known| known == line), "{line}\n{metrics}");
    }
    // A gap closes when its record comes after all; that it came late stays a finding.
    logs.append(&lines[6]);
    until("the late record", || (ask(&console, "/api/status")["chain"]["counts"] == json!({"altered": 1, "reordered": 1})).then_some(()));

    let console = logs.serve(&[]);
    assert_eq!(ask(&console, "/api/status")["chain"], Value::Null);
    assert_eq!(ask(&console, "/api/record?id=0202-3")["records"][0]["fault"], Value::Null);
    assert!(text(&get(&console, "/metrics")).contains("cedargate_chain_verified 0\n"));

    // A log that was changed after it was read is not shown as if it were the same.
    let file = logs.path("log.jsonl");
    let text = std::fs::read_to_string(&file).unwrap();
    std::fs::OpenOptions::new()
        .write(true)
        .open(&file)
        .unwrap()
        .write_all(text.replacen("policy.forbid", "policy.permit", 1).as_bytes())
        .unwrap();
    assert_eq!(ask(&console, "/api/record?id=0202-0")["records"][0]["text"], Value::Null);
    assert!(ask(&console, "/api/record?id=0202-1")["records"][0]["text"].is_string());
}

#[test]
fn only_this_machine_is_answered_and_pages_can_load_nothing_else() {
    let logs = Logs::new(&Chain::new(3).line(json!({})));
    let console = logs.serve(&[]);
    assert!(console.addr.ip().is_loopback() && console.url.starts_with("http://127.0.0.1:"), "{}", console.url);
    let targets = [
        "/",
        "/records",
        "/record?id=x",
        "/chain",
        "/assets/app.js",
        "/assets/style.css",
        "/api/status",
        "/api/nothing",
        "/metrics",
        "/nothing",
    ];
    for target in targets {
        let response = get(&console, target);
        for (name, value) in [
            (
                "content-security-policy",
                "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src 'self' data:; base-uri 'none'; form-action 'self'; frame-ancestors 'none'",
            ),
            ("x-content-type-options", "nosniff"),
            ("cache-control", "no-store"),
            ("referrer-policy", "no-referrer"),
        ] {
            assert_eq!(response.header(name), Some(value), "{target}: {response:?}");
        }
        assert!(response.header("access-control-allow-origin").is_none());
        // DNS rebinding: another name led here.
        for host in [Some("evil.example"), Some("evil.example:8484"), Some("127.0.0.1.evil.example"), Some("localhost@evil.example"), None]
        {
            let refused = Request::get(target).host(host).send(console.addr);
            assert!(matches!(refused.status, 400 | 421), "{target} as {host:?}: {refused:?}");
            assert!(!text(&refused).contains("records"), "{refused:?}");
        }
        for method in ["POST", "PUT", "DELETE", "OPTIONS", "PATCH"] {
            let refused = Request::new(method, target).host(Some("127.0.0.1")).send(console.addr);
            assert_eq!((refused.status, refused.header("allow")), (405, Some("GET, HEAD")), "{method} {target}");
        }
        let head = Request::new("HEAD", target).host(Some("[::1]:1")).send(console.addr);
        assert_eq!((head.status, head.body.len()), (response.status, 0), "{target}");
    }
    for wrong in
        ["/api/records?decision=maybe", "/api/records?nonsense=1", "/api/figures?since=yesterday", "/api/record", "/api/records?before=x"]
    {
        let refused = get(&console, wrong);
        assert_eq!(refused.status, 400, "{wrong}");
        assert!(serde_json::from_slice::<Value>(&refused.body).unwrap()["error"].is_string());
    }
}

#[test]
fn hostile_text_is_data_and_nothing_else() {
    let mut chain = Chain::new(4);
    let hostile = json!({
        "decision": "deny", "reason": HOSTILE, "region": HOSTILE, "detail": HOSTILE, "status": 403, "policy_digest": HOSTILE,
        "request": {"method": HOSTILE, "host": HOSTILE, "path": format!("/{HOSTILE}"), "client": HOSTILE},
        "cedar": {"principal": format!("Gate::User::\"{HOSTILE}\""), "action": HOSTILE, "resource": HOSTILE},
        "policies": [{"id": HOSTILE, "reason": HOSTILE, "owner": HOSTILE, "control": HOSTILE}],
    });
    let logs = Logs::new(&chain.line(hostile));
    let console = logs.serve(&[]);
    for target in ["/api/records", "/api/figures", "/api/top", "/api/status", "/api/record?n=1"] {
        let response = get(&console, target);
        assert_eq!(response.header("content-type"), Some("application/json"), "{target}");
        assert!(text(&response).contains("onerror"), "{target}");
    }
    assert_eq!(ask(&console, "/api/records")["records"][0]["path"], format!("/{HOSTILE}"));
    let mut query = String::new();
    for byte in HOSTILE.bytes() {
        write!(query, "%{byte:02x}").unwrap();
    }
    for name in ["reason", "region", "principal", "policy", "client", "host", "method", "digest"] {
        assert_eq!(ask(&console, &format!("/api/figures?{name}={query}"))["denied"], 1, "{name}");
    }
    assert_eq!(ask(&console, &format!("/api/figures?path=/{query}&policy={query}"))["denied"], 1);
    // SQL is no more than text either.
    for name in ["reason", "region", "principal", "policy", "path", "trace", "id"] {
        assert_eq!(ask(&console, &format!("/api/records?{name}=/%27%20OR%201=1%20--"))["records"], json!([]), "{name}");
    }
    let metrics = get(&console, "/metrics");
    assert_eq!(metrics.header("content-type"), Some("text/plain; version=0.0.4; charset=utf-8"));
    assert!(text(&metrics).lines().all(|line| line.starts_with("cedargate_") || line.starts_with("# ")));
}

#[test]
fn prometheus_finds_the_same_figures() {
    let mut chain = Chain::new(5);
    let mut log = String::new();
    for _ in 0..6 {
        log += &chain.line(json!({}));
    }
    log += &chain.denied("jwt.expired", 401);
    log += &chain.line(json!({"status": 502, "timing_us": {"identity": 1, "policy": 1, "total": 60_000}}));
    let logs = Logs::new(&log);
    let console = logs.serve(&["--keyring", "keys.json"]);
    let metrics = text(&get(&console, "/metrics"));
    for line in [
        r#"cedargate_decisions_total{decision="allow",reason="policy.permit",region="fra-1"} 7"#,
        r#"cedargate_decisions_total{decision="deny",reason="jwt.expired",region="fra-1"} 1"#,
        r#"cedargate_responses_total{region="fra-1",class="5xx"} 1"#,
        r#"cedargate_decision_duration_seconds_bucket{region="fra-1",le="0.0025"} 7"#,
        r#"cedargate_decision_duration_seconds_bucket{region="fra-1",le="+Inf"} 8"#,
        r#"cedargate_decision_duration_seconds_count{region="fra-1"} 8"#,
        r#"cedargate_records_total{kind="decision"} 8"#,
        "cedargate_slo_seconds 0.05",
        "cedargate_chain_verified 1",
        "cedargate_chain_broken 0",
        r#"cedargate_chain_findings{fault="altered"} 0"#,
    ] {
        assert!(metrics.lines().any(|known| known == line), "{line}\n{metrics}");
    }
    // The dashboard asks for nothing that is not there.
    let dashboard = std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/deploy/grafana/cedargate.json")).unwrap();
    let dashboard: Value = serde_json::from_str(&dashboard).unwrap();
    let mut names = 0;
    for panel in dashboard["panels"].as_array().unwrap() {
        for target in panel["targets"].as_array().into_iter().flatten() {
            let expression = target["expr"].as_str().unwrap();
            for name in expression.split(|c: char| !c.is_ascii_alphanumeric() && c != '_').filter(|word| word.starts_with("cedargate_")) {
                assert!(metrics.contains(&format!("\n{name}")), "{name} of {}", panel["title"]);
                names += 1;
            }
        }
    }
    assert!(names >= 8, "{names}");
}

#[test]
fn a_log_may_be_rotated_and_come_from_standard_input() {
    let (mut one, mut other) = (Chain::new(6), Chain::new(7));
    let logs = Logs::new(&one.line(json!({})));
    let console = logs.serve(&[]);
    std::fs::rename(logs.path("log.jsonl"), logs.path("log.1")).unwrap();
    std::fs::write(logs.path("log.jsonl"), other.line(json!({}))).unwrap();
    until("the new log", || (ask(&console, "/api/status")["records"] == 2).then_some(()));
    // The old one can still be read.
    for id in ["0606-0", "0707-0"] {
        assert!(ask(&console, &format!("/api/record?id={id}"))["records"][0]["text"].is_string(), "{id}");
    }

    let mut command = logs.command(&["-", "--port", "0"]);
    let console = Console::start(command.stdin(Stdio::piped()));
    console.feed(one.line(json!({})).as_bytes());
    until("a record of standard input", || (ask(&console, "/api/status")["records"] == 1).then_some(()));
    assert!(ask(&console, "/api/record?id=0606-1")["records"][0]["text"].is_string());
}

#[test]
fn what_cannot_be_served_is_said() {
    let logs = Logs::new("");
    let mut command = logs.command(&["missing.jsonl"]);
    command.stdin(Stdio::null());
    let said = ended(command).failed(1);
    assert!(said.contains("could not read missing.jsonl"), "{said}");
    let said = ended(logs.command(&["log.jsonl", "--keyring", "log.jsonl"])).failed(1);
    assert!(said.contains("the keyring"), "{said}");
    let console = logs.serve(&[]);
    let port = console.addr.port().to_string();
    let said = ended(logs.command(&["log.jsonl", "--port", &port])).failed(1);
    assert!(said.contains(&format!("cannot listen on 127.0.0.1:{port}")), "{said}");
    assert_eq!(std::fs::read_dir(logs.path("tmp")).unwrap().count(), 1, "the one that runs");
}

#[test]
fn the_page_shows_metrics_and_filters_that_exist() {
    let page = std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/docs/console.md")).unwrap();
    let logs = Logs::new(&Chain::new(8).line(json!({})));
    let console = logs.serve(&["--keyring", "keys.json"]);
    let metrics = text(&get(&console, "/metrics"));
    for name in metrics.lines().filter_map(|line| line.strip_prefix("# TYPE ")?.split(' ').next()) {
        assert!(page.contains(&format!("`{name}`")), "{name}");
    }
    // The filters, with a value of each.
    let (_, filters) = page.split_once("## Filters").unwrap();
    let rows = filters.lines().skip_while(|line| !line.starts_with("|---")).skip(1).take_while(|line| line.starts_with('|'));
    let mut seen = 0;
    for name in rows.flat_map(|row| row.split('|').nth(1).unwrap().split('`').skip(1).step_by(2)) {
        let value = match name {
            "last" => "1h",
            "since" | "until" => "2h",
            "decision" => "deny",
            "status" => "4xx",
            "path" => "/",
            "kind" | "fault" => "any",
            _ => "x",
        };
        assert_eq!(get(&console, &format!("/api/records?{name}={value}")).status, 200, "{name}");
        seen += 1;
    }
    assert_eq!(seen, 18);
}
