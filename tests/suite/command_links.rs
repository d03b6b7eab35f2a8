//! `cedargate sign` and `cedargate verify-url`, as they are run.

use serde_json::Value;

use super::support::client::Request;
use super::support::gate::{Expect, NOW, Setup};
use super::support::links::{hmac, keyring, origin, with_links, writer};
use super::support::process::{Ended, Project, ended};
use super::support::token::Token;

/// A project with the suite's keys and signed URLs, and its commands.
struct Links(Project);

impl Links {
    fn new(config: &str) -> Self {
        let project = Project::new();
        let bundle = with_links(config);
        for (path, bytes) in bundle.iter().filter(|(path, _)| path.starts_with("keys/")) {
            std::fs::create_dir_all(project.path(path).parent().unwrap()).unwrap();
            std::fs::write(project.path(path), bytes).unwrap();
        }
        project.write("keyring.json", &keyring(&[hmac("k1", "active", 1)]));
        Self(project)
    }

    fn run(&self, token: &Token, args: &[&str]) -> Ended {
        let mut command = self.0.command(args);
        command.env("CEDARGATE_TOKEN", token.make());
        ended(command)
    }

    fn sign(&self, url: &str, more: &[&str]) -> Ended {
        let now = NOW.to_string();
        let args = ["sign", "--keyring", "keyring.json", "--now", &now, "--expires-in", "10m", "--url", url];
        self.run(&writer("alice"), &[&args[..], more].concat())
    }

    fn verify(&self, url: &str, more: &[&str]) -> Ended {
        let now = (NOW + 5).to_string();
        let args = ["verify-url", "--keyring", "keyring.json", "--now", &now];
        self.run(&writer("alice"), &[&args[..], more, &[url]].concat())
    }
}

#[test]
fn what_the_command_signs_a_gate_takes_and_the_other_way_round() {
    let links = Links::new("");
    let url = links.sign("http://api.example.com/api/documents/1?page=2", &["--for", "bob"]).ok();
    let url = url.trim();
    let target = url.strip_prefix("http://api.example.com").unwrap();
    let gate = Setup::new(&with_links("")).variable("signed_url_keys", &keyring(&[hmac("k1", "active", 1)])).start(&origin());
    let answer = gate.check("the gate", &Request::get(target), &Expect::allowed());
    answer.with_record(|record| assert_eq!(record["signed_url"]["subject"], "bob"));

    let told = links.verify(url, &[]).ok();
    for line in [
        "allow: policy.permit",
        "made by   Gate::User::\"dev/alice\"",
        "for       bob",
        "ends      2027-01-13T10:10:00Z",
        "policies  links.use",
    ] {
        assert!(told.contains(line), "{line}: {told}");
    }
    let json: Value = serde_json::from_str(&links.verify(url, &["--format", "json"]).ok()).unwrap();
    assert_eq!((&json["decision"], &json["link"]["key_id"]), (&"allow".into(), &"k1".into()));
    let made = super::support::links::link(&gate, serde_json::json!({"method": "GET", "path": "/media/1", "expires_in": 60}));
    links.verify(&format!("http://api.example.com{made}"), &[]).ok();
}

#[test]
fn what_does_not_verify_and_what_is_denied_end_differently() {
    let links = Links::new("");
    let url = links.sign("https://api.example.com/api/documents/1", &["--ip", "192.0.2.7"]).ok();
    let url = url.trim();
    links.verify(url, &["--client", "192.0.2.7"]).ok();
    for (changed, more, reason) in [
        (url.to_owned(), vec!["--client", "192.0.2.8"], "signed_url.address"),
        (url.to_owned(), vec![], "signed_url.address"),
        (url.to_owned(), vec!["--client", "192.0.2.7", "--method", "PUT"], "signed_url.method"),
        (url.replace("documents/1", "documents/2"), vec!["--client", "192.0.2.7"], "signed_url.signature_invalid"),
        (url.replace("cg-key=k1", "cg-key=k2"), vec![], "signed_url.key_unknown"),
    ] {
        let Ended { code, stdout, .. } = links.verify(&changed, &more);
        assert_eq!((code, stdout.lines().next()), (Some(5), Some(format!("deny: {reason}").as_str())), "{changed} {more:?}");
    }
    // It verifies, and the policies say no.
    links.0.write("policies/new.cedar", "@id(\"new\") @reason(\"r\") forbid (principal is Gate::SignedUrl, action, resource);");
    let Ended { code, stdout, .. } = links.verify(url, &["--client", "192.0.2.7"]);
    assert_eq!((code, stdout.lines().next()), (Some(2), Some("deny: policy.forbid")), "{stdout}");
}

#[test]
fn the_command_signs_nothing_that_the_gate_would_not() {
    let links = Links::new("max_lifetime_seconds = 600");
    let url = "https://api.example.com/api/documents/1";
    links.sign(url, &[]).ok();
    let says = |ended: Ended, code: i32, part: &str| {
        let Ended { code: found, stdout, stderr } = ended;
        assert!(stdout.is_empty() && found == Some(code) && stderr.contains(part), "{part}: {found:?}: {stderr}");
    };
    says(
        links.sign("https://api.example.com/api/orders/41", &[]),
        2,
        "denied: policy.no_permit: Gate::Action::\"sign\" on Gate::Order::\"41\"",
    );
    says(
        links.sign("https://api.example.com/api/documents/99", &["--method", "DELETE"]),
        2,
        "Gate::Action::\"DELETE\" on Gate::Document::\"99\"",
    );
    says(links.sign(url, &["--expires-in", "11m"]), 1, "cannot be used multiple times");
    let now = NOW.to_string();
    let long = ["sign", "--keyring", "keyring.json", "--now", &now, "--expires-in", "11m", "--url", url];
    says(links.run(&writer("alice"), &long), 2, "denied: sign.lifetime");
    let late = (NOW + 10_000).to_string();
    let expired = ["sign", "--keyring", "keyring.json", "--now", &late, "--expires-in", "1m", "--url", url];
    says(links.run(&writer("alice"), &expired), 2, "denied: jwt.expired");
    says(links.sign("https://api.example.com/a/../b", &[]), 1, "`url`: request.path_dot_segment");
    says(links.sign("api.example.com/a", &[]), 1, "is not a URL");
    says(links.sign(url, &["--as", "s3"]), 1, "`format` is none of");
    says(links.sign(url, &["--as", "aws-sigv4"]), 1, "no target of `aws-sigv4` holds this path");
    links.0.write("keyring.json", "{\"v\":1,\"keys\":[{\"id\":\"x\",\"secret\":\"hidden-value\"}]}");
    let Ended { code, stderr, .. } = links.sign(url, &[]);
    assert!(code == Some(1) && stderr.contains("the keyring: ") && !stderr.contains("hidden-value"), "{stderr}");
    std::fs::remove_file(links.0.path("keys/signed-urls.toml")).unwrap();
    says(links.sign(url, &[]), 1, "there are no signed URLs in these policies");
}
