//! Switches whose names begin with `insecure_`: whoever turns one on is told so, each time and everywhere.

use cedargate::host::{InstanceLimits, RecordSink};

use super::mtls::{configured, origin};
use super::support::client::Request;
use super::support::gate::{Expect, Setup};
use super::support::process::Project;

const MTLS: &str = r#"version = 1
form = "rfc9440"
insecure_accept_expired_crl = true

[terminator]
insecure_trust_any = true

[[anchor]]
name = "suite"
certificates = ["suite-root.pem"]
prefix = "suite/"
"#;

const ISSUERS: &str = r#"version = 1

[[issuer]]
name = "corp"
iss = "https://id.example.com/"
audience = "cedargate"
jwks_uri = "http://127.0.0.1:9/keys"
status_lists = "http://127.0.0.1:9/status/"
insecure_allow_http = true
"#;

const SWITCHES: [&str; 3] =
    ["keys/mtls.toml: insecure_trust_any: ", "keys/mtls.toml: insecure_accept_expired_crl: ", "issuer `corp`: insecure_allow_http: "];

/// How often each switch stands in what was said, as a warning.
fn told<'a>(lines: impl IntoIterator<Item = &'a str>) -> [usize; 3] {
    let lines: Vec<&str> = lines.into_iter().collect();
    SWITCHES.map(|switch| lines.iter().filter(|line| line.starts_with(&format!("warning: {switch}"))).count())
}

#[test]
fn the_commands_tell_which_checks_are_off() {
    let project = Project::new();
    std::fs::create_dir(project.path("keys/ca")).unwrap();
    project.write("keys/ca/suite-root.pem", std::str::from_utf8(configured(&[]).get("keys/ca/suite-root.pem").unwrap()).unwrap());
    let secure = MTLS.replace("insecure_accept_expired_crl = true\n", "").replace("insecure_trust_any = true", "addresses = [\"::1\"]");
    let https = ISSUERS.replace("insecure_allow_http = true\n", "").replace("http://", "https://");
    for (mtls, issuers, times) in [(secure.as_str(), https.as_str(), 0), (MTLS, ISSUERS, 1)] {
        project.write("keys/mtls.toml", mtls);
        project.write("keys/issuers.toml", issuers);
        for command in [&["check"][..], &["seal", "-o", "gate.wasm"], &["seal", "-o", "gate.wasm", "--format", "json"]] {
            let ended = project.run(command);
            assert_eq!((ended.code, told(ended.stderr.lines())), (Some(0), [times; 3]), "{command:?}: {ended:?}");
        }
        // What cannot be reached is told in the same place: the keys and the lists.
        let said = project.run(&["check"]).stderr;
        for what in ["keys", "status lists"] {
            assert!(said.contains(&format!("warning: the {what} of issuer `corp` cannot be fetched: add \"http")), "{said}");
        }
        let up = project.up(&["--origin", "http://127.0.0.1:9"]);
        let (_, stderr) = up.stop();
        assert_eq!(told(stderr.iter().map(String::as_str)), [times; 3], "{stderr:?}");
    }
}

#[test]
fn each_instance_says_once_which_checks_are_off() {
    let mut insecure = configured(&[("secret_header = \"x-terminator-secret\"", "insecure_trust_any = true")]);
    let text = String::from_utf8(insecure.get("keys/mtls.toml").unwrap().to_vec()).unwrap();
    insecure.insert("keys/mtls.toml", text.replace("[terminator]", "insecure_accept_expired_crl = true\n[terminator]"));
    let issuers = String::from_utf8(insecure.get("keys/issuers.toml").unwrap().to_vec()).unwrap();
    let corp = ISSUERS.split_once("\n\n").unwrap().1;
    insecure.insert("keys/issuers.toml", format!("{issuers}\n{corp}"));
    for (bundle, max_reuse, times) in [(&insecure, 1_000, 1), (&insecure, 1, 3), (&configured(&[]), 1, 0)] {
        let diagnostics = RecordSink::memory();
        let mut setup = Setup { diagnostics: diagnostics.clone(), ..Setup::new(bundle) };
        setup.limits = InstanceLimits { max_reuse, idle_timeout: std::time::Duration::from_secs(600), ..InstanceLimits::default() };
        let gate = setup.start(&origin());
        for _ in 0..3 {
            gate.check("control", &Request::get("/health"), &Expect::allowed());
        }
        let lines = diagnostics.lines();
        assert_eq!(told(lines.iter().map(String::as_str)), [times; 3], "{max_reuse}: {lines:?}");
    }
}
