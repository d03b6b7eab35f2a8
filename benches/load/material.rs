//! What is served and what is sent: policies, keys, tokens.

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use cedargate::bundle::Bundle;
use cedargate::host::Sealer;
use serde_json::json;

use crate::support::client::Request;
use crate::support::gate::root;
use crate::support::token::{DEV_ISS, Key, Token};

pub const ISSUER: &str = DEV_ISS;
pub const AUDIENCE: &str = "cedargate";
/// What everybody asks for, unless a scenario is about something else.
pub const PATH: &str = "/api/documents/1";
/// So many policies the set has that all servers enforce.
pub const POLICIES: usize = 20;
/// Teams that the policies name.
const TEAMS: usize = 17;

/// The algorithms that are compared, with what signs and what a token calls it.
pub const ALGORITHMS: [(&str, Key, &str); 3] = [("EdDSA", Key::Ed, "ed"), ("RS256", Key::Rsa, "rsa"), ("ES256", Key::Es256, "es256")];

pub fn policies() -> PathBuf {
    root().join("benches/peers/policies")
}

/// Whom the policies about the tree that is asked for are for, of those that are added.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum For {
    /// Each for a group of its own, as policies of teams are.
    Teams,
    /// Each for whoever has a token, with a condition that has to be evaluated.
    Everybody,
}

/// The set with so many policies in all. Of those that are added one in a hundred is about the tree that is asked for.
pub fn bundle(number: usize, whom: For) -> Bundle {
    let mut bundle = cedargate::cli::files::read_bundle(&policies(), &root().join("tests/gate/keys"), false).unwrap();
    let mut issuers = String::from_utf8(bundle.get("keys/issuers.toml").unwrap().to_vec()).unwrap();
    for team in 0..=TEAMS {
        let _ = write!(issuers, "\n[[mapping]]\nissuer = \"dev\"\nclaim = \"groups\"\nvalue = \"team-{team}\"\nto = \"team-{team}\"\n");
    }
    bundle.insert("keys/issuers.toml", issuers);
    let mut text = String::new();
    for number in 0..number.saturating_sub(POLICIES) {
        let about = if number.is_multiple_of(100) { "/api/documents".to_owned() } else { format!("/generated/{number}") };
        let scope = match whom {
            For::Everybody if number.is_multiple_of(100) => "principal is Gate::User".to_owned(),
            _ => format!("principal in Gate::Group::\"generated-{number}\""),
        };
        let _ = writeln!(
            text,
            "@id(\"generated.{number}\")\n@reason(\"measured\")\npermit (\n  {scope},\n  action in Gate::Action::\"read\",\n  \
             resource in Gate::Path::\"{about}\"\n) when {{ context.hour > 23 }};"
        );
    }
    if !text.is_empty() {
        bundle.insert("policies/generated.cedar", text);
    }
    bundle
}

/// Seals a bundle into a file of this name.
pub fn sealed(sealer: &Sealer, bundle: &Bundle, work: &Path, name: &str) -> PathBuf {
    // A folder of its own, for what the host makes beside it.
    let folder = work.join(name);
    std::fs::create_dir_all(&folder).unwrap();
    let file = folder.join("gate.wasm");
    std::fs::write(&file, sealer.seal(bundle).unwrap_or_else(|e| panic!("{e}")).component).unwrap();
    file
}

/// The public keys, as the peers want them.
pub fn keys(work: &Path) -> PathBuf {
    let folder = work.join("keys");
    std::fs::create_dir_all(&folder).unwrap();
    let text = std::fs::read_to_string(root().join("tests/gate/keys/dev.jwks.json")).unwrap();
    let mut set: serde_json::Value = serde_json::from_str(&text).unwrap();
    // Only those that are used, and what with: peers want to be told.
    let keys = set["keys"].as_array_mut().unwrap();
    keys.retain_mut(|key| {
        let used = ALGORITHMS.iter().find(|(.., kid)| key["kid"] == *kid);
        used.is_some_and(|(alg, ..)| key.as_object_mut().unwrap().insert("alg".into(), json!(alg)).is_none())
    });
    assert_eq!(keys.len(), ALGORITHMS.len());
    std::fs::write(folder.join("jwks.json"), set.to_string()).unwrap();
    for name in ["es256", "rsa"] {
        let key = root().join(format!("tests/gate/private/{name}.pk8"));
        let mut openssl = Command::new("openssl");
        openssl.args(["pkey", "-inform", "DER", "-in"]).arg(key).args(["-pubout", "-out"]).arg(folder.join(format!("{name}.pem")));
        assert!(openssl.status().unwrap().success());
    }
    folder
}

/// Now: peers have no other time.
pub fn now() -> i64 {
    std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_secs() as i64
}

/// A good token of a reader that is good for the time the run takes.
pub fn reader(subject: &str) -> Token {
    Token::dev(now(), subject).groups(&["readers"]).claim("exp", json!(now() + 7_200))
}

/// Requests with as many tokens of an algorithm, each of its own, and each changed alike.
pub fn distinct(method: &str, (alg, key, kid): (&'static str, Key, &str), count: usize, change: impl Fn(Token) -> Token) -> Vec<Vec<u8>> {
    (0..count)
        .map(|number| {
            let token = change(reader("alice").claim("jti", json!(format!("jti-{number}"))).signed(alg, key, kid));
            Request::new(method, PATH).bearer(&token.make()).kept_open()
        })
        .collect()
}

/// The machine, in a line.
pub fn machine() -> String {
    let info = std::fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let models: BTreeSet<&str> = info
        .lines()
        .filter(|line| line.starts_with("model name"))
        .filter_map(|line| line.split_once(": "))
        .map(|(_, model)| model)
        .collect();
    let cores = info.lines().filter(|line| line.starts_with("processor")).count();
    format!("{cores} cores, {}", models.into_iter().collect::<Vec<_>>().join(", "))
}
