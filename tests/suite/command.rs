//! The command `cedargate`, as it is run: what it prints, leaves behind and ends with.

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::process::Command;

use cedargate::cli::Exit;
use serde_json::Value;

use super::mtls::{WORKLOADS, published};
use super::support::client::{Request, Response, parse};
use super::support::gate::{NOW, root};
use super::support::origin::Origin;
use super::support::pki::{Form, SECRET, SECRET_FIELD, pem};
use super::support::process::{Project, Up, ended, sealed_file};
use super::support::token::Token;

const PATH: &str = "/api/documents/1";

/// A line of `curl` as a shell would take it apart: words, and single quotes around some.
fn words(line: &str) -> Vec<String> {
    let mut words = vec![];
    for (i, part) in line.split('\'').enumerate() {
        if i % 2 == 1 {
            words.push(part.to_owned());
        } else {
            words.extend(part.split_whitespace().map(str::to_owned));
        }
    }
    words
}

/// Sends what a printed line of `curl` would send.
fn follow(line: &str) -> Response {
    let words = words(line);
    let mut words = words.iter().map(String::as_str);
    assert_eq!(words.next(), Some("curl"), "{line}");
    let mut request = Request::get("");
    let mut to = None;
    while let Some(word) = words.next() {
        match word {
            "-s" => {}
            "-o" | "-w" => drop(words.next().unwrap()),
            "-X" => request.method = words.next().unwrap().to_owned(),
            "-H" => {
                let (name, value) = words.next().unwrap().split_once(": ").unwrap();
                request = request.header(name, value);
            }
            url => {
                let (authority, path) = url.strip_prefix("http://").unwrap().split_once('/').unwrap();
                (request.target, request.host) = (format!("/{path}"), Some(authority.to_owned()));
                assert!(to.replace(authority.parse().unwrap()).is_none(), "{line}");
            }
        }
    }
    request.send(to.expect(line))
}

/// The printed lines, each with the status that stands above it.
fn printed(up: &Up) -> Vec<(u16, String)> {
    let above = |line: &str| line.strip_suffix("):").and_then(|l| l.rsplit_once('(')).and_then(|(_, status)| status.parse().ok());
    up.greeting.windows(2).filter_map(|pair| Some((above(&pair[0])?, pair[1].trim().to_owned()))).collect()
}

#[test]
fn a_fresh_clone_serves_and_its_three_lines_of_curl_do_what_they_say() {
    let project = Project::new();
    let up = project.up(&["--dev"]);
    assert!(up.greeting.contains(&"sealing …".to_owned()), "{:#?}", up.greeting);
    let lines = printed(&up);
    assert_eq!(lines.iter().map(|(status, _)| *status).collect::<Vec<_>>(), [200, 403, 401]);
    for (status, line) in &lines {
        assert_eq!(follow(line).status, *status, "{line}");
    }
    let records = up.records(3);
    assert_eq!(records.iter().map(|record| record["status"].as_u64().unwrap()).collect::<Vec<_>>(), [200, 403, 401]);
    assert_eq!(records[0]["cedar"]["principal"], "Gate::User::\"dev/alice\"");

    // A token of the command is one the gate takes.
    let token = project.run(&["token", "--sub", "bob", "--group", "writers", "--scope", "documents.write"]).ok();
    assert_eq!(token.lines().count(), 1);
    assert_eq!(token.trim().split('.').filter(|part| !part.is_empty()).count(), 3);
    let put = || Request::new("PUT", PATH).body("{}");
    assert_eq!(put().bearer(token.trim()).send(up.addr).status, 200);
    let expired = project.run(&["token", "--sub", "bob", "--group", "writers", "--scope", "documents.write", "--expires-in=-1m"]).ok();
    assert_eq!(put().bearer(expired.trim()).send(up.addr).status, 401);
    assert_eq!(up.records(5)[4]["reason"], "jwt.expired");

    let (records, said) = up.stop();
    assert_eq!(records.len(), 5, "standard output has records and nothing else: {records:#?}");
    assert!(said.iter().any(|line| line.starts_with("stopping")), "{said:#?}");

    // The second start has nothing to seal, and the keys are the same.
    let up = project.up(&["--dev"]);
    assert!(!up.greeting.contains(&"sealing …".to_owned()), "{:#?}", up.greeting);
    assert!(
        up.greeting.iter().any(|line| line.contains("not changed since it was sealed as `target/sealed/up.wasm`")),
        "{:#?}",
        up.greeting
    );
    assert_eq!(follow(&lines[0].1.replace(lines[0].1.rsplit(' ').next().unwrap(), &format!("{}{PATH}", up.url))).status, 200);
    up.stop();
}

#[test]
fn development_keys_are_made_once_and_for_their_owner_only() {
    use std::os::unix::fs::PermissionsExt;
    let project = Project::new();
    let first = project.run(&["token"]).ok();
    let files = || ["ed25519.pk8", "p256.pk8", "dev.jwks.json", "issuers.toml"].map(|name| project.read(&format!("keys/dev/{name}")));
    let made = files();
    let mode = |name: &str| std::fs::metadata(project.path(name)).unwrap().permissions().mode() & 0o777;
    assert_eq!([mode("keys/dev"), mode("keys/dev/ed25519.pk8"), mode("keys/dev/p256.pk8")], [0o700, 0o600, 0o600]);
    let second = project.run(&["token", "--alg", "ES256"]).ok();
    assert!(files() == made && first != second);
    // Without --dev they are not part of what is checked or sealed.
    assert!(project.run(&["check"]).ok().contains("0 issuers"));
    assert!(project.run(&["check", "--dev"]).ok().contains("1 issuer (with development keys)"));
}

/// An origin that answers when it is told to.
struct Held {
    listener: TcpListener,
}

impl Held {
    fn new() -> Self {
        Self { listener: TcpListener::bind("127.0.0.1:0").unwrap() }
    }

    fn url(&self) -> String {
        format!("http://{}", self.listener.local_addr().unwrap())
    }

    /// Waits for a request's head.
    fn arrived(&self) -> TcpStream {
        let (mut stream, _) = self.listener.accept().unwrap();
        let mut head = vec![];
        while !head.ends_with(b"\r\n\r\n") {
            let mut byte = [0];
            assert_eq!(stream.read(&mut byte).unwrap(), 1);
            head.push(byte[0]);
        }
        stream
    }
}

#[test]
fn either_signal_lets_a_request_in_flight_finish() {
    let project = Project::new();
    let origin = Held::new();
    for signal in ["TERM", "INT"] {
        let mut up = project.up(&["--component", sealed_file().to_str().unwrap(), "--origin", &origin.url()]);
        let mut client = TcpStream::connect(up.addr).unwrap();
        client.write_all(&Request::get("/health").bytes()).unwrap();
        let mut held = origin.arrived();
        // The gate was told to stop before the origin has said anything.
        up.signal(signal);
        up.says("stopping: ");
        held.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 4\r\n\r\ndone").unwrap();
        let mut answer = vec![];
        client.read_to_end(&mut answer).unwrap();
        let answer = parse(&answer, false);
        assert_eq!((answer.status, answer.text().as_str()), (200, "done"), "{signal}");
        assert_eq!(up.wait().code(), Some(0), "{signal}");
        assert!(TcpStream::connect(up.addr).is_err(), "{signal}");
    }
}

#[test]
fn a_second_signal_stops_at_once() {
    let project = Project::new();
    let origin = Held::new();
    let mut up = project.up(&["--component", sealed_file().to_str().unwrap(), "--origin", &origin.url()]);
    let mut client = TcpStream::connect(up.addr).unwrap();
    client.write_all(&Request::get("/health").bytes()).unwrap();
    let _held = origin.arrived();
    up.signal("TERM");
    up.says("stopping: ");
    up.signal("TERM");
    assert_eq!(up.wait().code(), Some(0));
}

#[test]
fn what_up_is_told_shows_in_its_records() {
    let project = Project::new();
    let origin = Origin::start(([127, 0, 0, 1], 0).into());
    let url = format!("http://{}", origin.addr);
    let file = project.path("records.jsonl");
    let common = ["--component", sealed_file().to_str().unwrap(), "--origin", &url, "--now", "2027-01-13T10:00:00Z"];
    let token = Token::dev(NOW, "alice").groups(&["readers"]).make();
    let ask = |up: &Up| {
        let request = Request::get(PATH).bearer(&token);
        let response = request.send(up.addr);
        assert_eq!((response.status, origin.seen(&request.id).len()), (200, 1), "{response:?}");
    };

    let up = project.up(&[&common[..], &["--variable", "edge_region=test-1", "--records", "records.jsonl"]].concat());
    assert!(up.greeting.contains(&format!("behind it is {url}")), "{:#?}", up.greeting);
    ask(&up);
    ask(&up);
    let (stdout, _) = up.stop();
    assert_eq!(stdout.len(), 0);
    let text = std::fs::read_to_string(&file).unwrap();
    let records: Vec<Value> = text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(records.len(), 2);
    for record in &records {
        assert_eq!((&record["region"], &record["time"]), (&"test-1".into(), &"2027-01-13T10:00:00.000Z".into()));
    }

    // The environment says the same; what stands on the command line wins. The file is appended to.
    let mut command = project.command(&["up", "--listen", "127.0.0.1:0", "--records", "records.jsonl"]);
    command.args(common).env("SPIN_VARIABLE_EDGE_REGION", "from-env").env("SPIN_VARIABLE_ORIGIN", "http://127.0.0.1:1");
    let up = Up::start(&mut command);
    ask(&up);
    up.stop();
    let text = std::fs::read_to_string(&file).unwrap();
    let last: Value = serde_json::from_str(text.lines().last().unwrap()).unwrap();
    assert_eq!((text.lines().count(), &last["region"]), (3, &"from-env".into()));
}

/// RFC 9440, appendix A, by the clock the command is given. The same certificates in all their combinations are in `mtls`.
#[test]
fn the_standards_own_certificates_count_by_the_clock_that_up_is_given() {
    let project = Project::new();
    let origin = Origin::start(([127, 0, 0, 1], 0).into());
    std::fs::create_dir(project.path("keys/ca")).unwrap();
    project.write("keys/ca/rfc9440.pem", &pem(&published("root.pem")));
    let terminator = format!("[terminator]\nsecret_header = \"{SECRET_FIELD}\"\n");
    let anchor = "[[anchor]]\nname = \"rfc9440\"\ncertificates = [\"rfc9440.pem\"]\n";
    project.write(
        "keys/mtls.toml",
        &format!("version = 1\nform = \"rfc9440\"\nnames = [\"email\", \"dns\", \"subject\"]\n{terminator}{anchor}"),
    );
    project.write("policies/suite-workloads.cedar", WORKLOADS);
    let chain = ["client.pem", "intermediate.pem", "root.pem"].map(published);
    for (now, status, reason) in [
        ("2020-06-01T00:00:00Z", 200, "policy.permit"),
        ("2019-12-31T00:00:00Z", 401, "mtls.not_yet_valid"),
        ("2026-01-01T00:00:00Z", 401, "mtls.expired"),
    ] {
        let mut command = project.command(&["up", "--listen", "127.0.0.1:0", "--now", now, "--origin", &format!("http://{}", origin.addr)]);
        let up = Up::start(command.env("SPIN_VARIABLE_MTLS_TERMINATOR_SECRET", SECRET));
        let request = Form::Rfc9440.send(Request::get("/machines"), &[&chain[0], &chain[1], &chain[2]]);
        assert_eq!(request.send(up.addr).status, status, "{now}");
        assert_eq!(origin.seen(&request.id).len(), usize::from(status == 200), "{now}");
        assert_eq!(up.records(1)[0]["reason"], reason, "{now}");
    }
}

#[test]
fn up_says_clearly_what_it_cannot_do() {
    let project = Project::new();
    let gate = sealed_file().to_str().unwrap();
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    for (args, parts) in [
        (&["--listen", &address][..], &["cannot listen on", &address, "--listen ADDRESS"][..]),
        (&["--variable", "edge_regoin=x"], &["`edge_regoin` is not declared", "`edge_region`"]),
        (&["--variable", "edge_region"], &["--variable", "NAME=VALUE"]),
        (&["--from", "other.toml"], &["`other.toml`", "--from FILE"]),
        (&["--now", "yesterday"], &["--now", "yesterday"]),
        (&["--origin", "api.example.com"], &["`api.example.com`", "`http://` or `https://`", "help: "]),
        (&["--origin", "http://api.example.com/v1"], &["`http://api.example.com/v1`", "without user, path"]),
        (&["--records", "no/such/folder"], &["`no/such/folder` cannot be opened"]),
        (&["--tls-cert", "cert.pem"], &["--tls-key"]),
        (&["--tls-cert", "cert.pem", "--tls-key", "key.pem"], &["`cert.pem`"]),
        (&["--dev"], &["--component", "cannot be used with", "--dev"]),
    ] {
        let said = project.run(&[&["up", "--listen", "127.0.0.1:0", "--component", gate], args].concat());
        let said = if args[0] == "--listen" { project.run(&["up", "--component", gate, args[0], args[1]]) } else { said };
        let said = said.failed(1);
        assert!(parts.iter().all(|part| said.contains(part)), "{args:?}: {said}");
    }
    let said = project.run(&["up", "--component", "no.wasm"]).failed(1);
    assert!(said.contains("the component `no.wasm` cannot be read") && said.contains("help: "), "{said}");
    let said = project.run(&["up", "--base", "no.wasm"]).failed(1);
    assert!(said.contains("the base component `no.wasm` cannot be read") && said.contains("--base FILE"), "{said}");
    project.edit("policies/documents.cedar", "permit (", "permitt (");
    let said = project.run(&["up"]).failed(3);
    assert!(said.contains("policies/documents.cedar:6:1: error[policy.syntax]") && said.contains("1 problem in 1 file"), "{said}");
    std::fs::remove_file(project.path("spin.toml")).unwrap();
    let said = project.run(&["up"]).failed(1);
    assert!(said.contains("`spin.toml` cannot be used") && said.contains("--from FILE"), "{said}");
}

#[test]
fn the_command_and_the_pages_say_the_same() {
    let project = Project::new();
    let page = std::fs::read_to_string(root().join("docs/reason-codes.md")).unwrap();
    assert!(project.run(&["reasons", "--format", "markdown"]).ok() == page, "run `make docs`");

    let help = project.run(&["--help"]).ok();
    let page = std::fs::read_to_string(root().join("docs/operations.md")).unwrap();
    for exit in Exit::ALL {
        assert!(help.contains(&format!("\n  {}  {}\n", exit.code(), exit.meaning())), "{exit:?}");
        assert!(page.contains(&format!("\n| {} | {} |\n", exit.code(), exit.meaning())), "{exit:?}");
    }
    assert!(project.run(&["--version"]).ok().starts_with(concat!("cedargate ", env!("CARGO_PKG_VERSION"))));
    // Wrong usage is 1 and never 2, which is a denial.
    for wrong in [&["no-such-command"][..], &["check", "--no-such-option"], &[]] {
        project.run(wrong).failed(1);
    }
}

/// The options a subcommand's help names.
fn options(project: &Project, subcommand: &str) -> Vec<String> {
    let help = project.run(&[subcommand, "--help"]).ok();
    let options = help.lines().map(str::trim_start).filter(|line| line.starts_with('-'));
    options.filter_map(|line| line.split_whitespace().find(|word| word.starts_with("--")).map(str::to_owned)).collect()
}

#[test]
fn every_option_in_a_documented_command_exists() {
    let project = Project::new();
    let known: Vec<(&str, Vec<String>)> =
        ["new", "up", "seal", "release", "rollback", "check", "fmt", "token", "revoke", "reasons", "completions", "man"]
            .iter()
            .map(|name| (*name, options(&project, name)))
            .collect();
    let mut seen = 0;
    let pages = [
        "quickstart",
        "authoring",
        "operations",
        "releases",
        "testing",
        "policies",
        "configuration",
        "revocation",
        "key-rotation",
        "terminators",
    ];
    for page in pages.iter().map(|name| format!("docs/{name}.md")).chain(["README.md".to_owned()]) {
        let text = std::fs::read_to_string(root().join(&page)).unwrap();
        for line in text.lines().filter(|line| line.starts_with("    ")) {
            let Some((_, rest)) = line.split_once("cedargate ") else { continue };
            let rest = rest.split(['|', '>', '#', '&', ')']).next().unwrap();
            let mut words = rest.split_whitespace();
            let Some((name, options)) = words.next().and_then(|word| known.iter().find(|(name, _)| *name == word)) else { continue };
            seen += 1;
            for option in words.filter(|word| word.starts_with("--")).map(|word| word.split('=').next().unwrap().to_owned()) {
                assert!(options.contains(&option), "{page}: `cedargate {name}` has no {option}");
            }
        }
    }
    assert!(seen > 5, "{seen}");
}

#[test]
fn colour_is_for_terminals_unless_it_is_asked_for() {
    let project = Project::new();
    assert!(!project.run(&["--help"]).ok().contains('\x1b'));
    assert!(project.run(&["--color", "always", "--help"]).ok().contains('\x1b'));
    // A reader that goes away is not an error.
    let mut command = Command::new("sh");
    command.args(["-c", "{ \"$0\" reasons; echo $? >&2; } | head -n 1", env!("CARGO_BIN_EXE_cedargate")]);
    let ended = ended(command);
    assert_eq!((ended.stdout.lines().count(), ended.stderr.as_str()), (1, "0\n"));
}
