//! The world the fuzzer meets: a gate with the project's policies and the suite's keys, a time, and who may sign.

use std::path::Path;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use cedargate::bundle::{Bundle, Gate};
use cedargate::decision::{Decision, Knowledge, UnixTime, decide};
use cedargate::identity::{Answers, Deployment, Fate, Identity, PublicUrl, Supply};
use cedargate::request::{self, Proxies, RawRequest};
use ring::digest::{SHA256, digest};
use ring::signature::Ed25519KeyPair;
use serde_json::{Map, Value};

/// 2027-01-13T10:00:00Z, as in the end-to-end suite.
pub(crate) const NOW: i64 = 1_799_834_400;
pub(crate) const DEV_ISS: &str = "https://dev.cedargate.invalid/";
pub(crate) const PARTNER_ISS: &str = "https://partner.example/";
pub(crate) const AUDIENCES: [&str; 2] = ["cedargate", "https://api.example.com"];
/// A public path: whoever is anonymous may read it, so a refused credential that counted for none would show.
pub(crate) const PATH: &str = "/health";
/// How far the clocks of `dev` and of proofs may differ.
pub(crate) const LEEWAY: i64 = 10;

/// Private keys of the end-to-end suite.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Key {
    /// Of issuer `dev`.
    Ed,
    /// Of issuer `partner`.
    Partner,
    /// Of nobody the gate knows; what proofs are made with.
    Stranger,
    /// Of the authority for client certificates.
    Authority,
}

impl Key {
    pub(crate) fn pair(self) -> Ed25519KeyPair {
        let pkcs8: &[u8] = match self {
            Self::Ed => include_bytes!("../../tests/gate/private/ed.pk8"),
            Self::Partner => include_bytes!("../../tests/gate/private/partner.pk8"),
            Self::Stranger => include_bytes!("../../tests/gate/private/stranger.pk8"),
            Self::Authority => include_bytes!("../world/ca.pk8"),
        };
        Ed25519KeyPair::from_pkcs8_maybe_unchecked(pkcs8).expect("an Ed25519 key")
    }

    pub(crate) fn sign(self, message: &[u8]) -> Vec<u8> {
        self.pair().sign(message).as_ref().to_vec()
    }

    /// A compact token of two texts.
    pub(crate) fn token(self, header: &[u8], claims: &[u8]) -> String {
        let input = format!("{}.{}", b64(header), b64(claims));
        format!("{input}.{}", b64(self.sign(input.as_bytes())))
    }
}

pub(crate) fn b64(bytes: impl AsRef<[u8]>) -> String {
    URL_SAFE_NO_PAD.encode(bytes)
}

pub(crate) fn sha256(bytes: &[u8]) -> [u8; 32] {
    digest(&SHA256, bytes).as_ref().try_into().expect("32 bytes")
}

/// The files of the project's `policies/`.
fn add_policies(bundle: &mut Bundle) {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../policies");
    for entry in std::fs::read_dir(folder).expect("the folder is there").map(|entry| entry.expect("an entry").path()) {
        let name = entry.file_name().expect("a name").to_str().expect("UTF-8").to_owned();
        if entry.is_file() && !name.starts_with('.') && !name.ends_with(".md") && name != "proofs.yaml" {
            bundle.insert(format!("policies/{name}"), std::fs::read(&entry).expect("the file can be read"));
        }
    }
}

/// The project's policies and the suite's keys; with `keys/mtls.toml` when its `form` is named.
pub(crate) fn gate(form: Option<&str>) -> Gate {
    let mut bundle = Bundle::default();
    add_policies(&mut bundle);
    bundle.insert("keys/issuers.toml", include_str!("../world/issuers.toml"));
    bundle.insert("keys/dev.jwks.json", include_bytes!("../../tests/gate/keys/dev.jwks.json").as_slice());
    bundle.insert("keys/partner.pem", include_bytes!("../../tests/gate/keys/partner.pem").as_slice());
    if let Some(form) = form {
        let mtls = format!(
            "version = 1\n{form}\nnames = [\"spiffe\", \"dns\", \"email\", \"subject\"]\n[terminator]\ninsecure_trust_any = true\n\
             [[anchor]]\nname = \"fuzz\"\ncertificates = [\"ca.pem\"]\ntrust_domains = [\"fuzz.example\"]\nprefix = \"fuzz/\"\n"
        );
        bundle.insert("keys/mtls.toml", mtls);
        bundle.insert("keys/ca/ca.pem", include_bytes!("../world/ca.pem").as_slice());
    }
    Gate::load(&bundle).unwrap_or_else(|report| panic!("{report}"))
}

/// Sends a request with these header fields and checks what must hold of every decision. `None` when they make no request.
pub(crate) fn ask(gate: &Gate, fields: &[(&str, &[u8])]) -> Option<Decision> {
    let own: [(&str, &[u8]); 2] = [("host", b"api.example.com"), ("spin-client-addr", b"192.0.2.9:1")];
    let headers: Vec<_> = own.iter().chain(fields).map(|(name, value)| ((*name).to_owned(), value.to_vec())).collect();
    let raw = RawRequest { method: "GET", scheme: Some("https"), authority: None, path_with_query: Some(PATH), headers: &headers };
    let (facts, evidence) = request::read(&raw, Proxies::default()).ok()?;
    let deployment = Deployment { public_url: PublicUrl::parse("https://api.example.com"), ..Deployment::default() };
    let answers = Answers { first_use: Some(Ok(true)), ..Answers::default() };
    let once = || {
        let knowledge = Knowledge { deployment: &deployment, supply: Supply::NotNeeded, answers: &answers };
        decide(gate, &facts, &evidence, knowledge, UnixTime(NOW))
    };
    let decision = once();
    assert_eq!(format!("{decision:?}"), format!("{:?}", once()), "the same request, decided differently");

    let mut details = Vec::new();
    for credential in &decision.credentials {
        if let Fate::Refused(denial) = &credential.fate {
            assert!(decision.outcome.is_err() && decision.identity == Identity::Anonymous, "refused, and yet it counted: {decision:?}");
            details.push(&denial.detail);
        }
    }
    details.extend(decision.outcome.as_ref().err().map(|denial| &denial.detail));
    for value in fields.iter().filter_map(|(_, value)| std::str::from_utf8(value).ok()) {
        // The whole of it, with and without its scheme, and its signature. Headers are no secret: many tokens have the same.
        let last = |separator| value.rsplit(separator).next().unwrap_or_default();
        // Our own sentences have spaces: a caller who sends one of them is told nothing new.
        let token68 = |part: &&str| part.len() >= 40 && part.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-._~+/=".contains(&byte));
        for secret in [value, last(' '), last('.')].into_iter().filter(token68) {
            assert!(!details.iter().any(|detail| detail.contains(secret)), "a record would show {secret}: {details:?}");
        }
    }
    Some(decision)
}

/// A JSON object, by another reader than the gate's.
pub(crate) fn object(text: &[u8]) -> Map<String, Value> {
    match serde_json::from_slice(text) {
        Ok(Value::Object(members)) => members,
        other => panic!("believed, and no JSON object: {other:?}"),
    }
}

/// Two texts, the first of which ends at the first line feed.
pub(crate) fn two(data: &[u8]) -> (&[u8], &[u8]) {
    let end = data.iter().position(|byte| *byte == b'\n').unwrap_or(data.len());
    (&data[..end], data.get(end + 1..).unwrap_or_default())
}

/// A number of seconds, rounded up.
pub(crate) fn seconds(members: &Map<String, Value>, name: &str) -> Option<i64> {
    members.get(name).map(|value| value.as_f64().unwrap_or_else(|| panic!("believed, and `{name}` is no number")).ceil() as i64)
}
