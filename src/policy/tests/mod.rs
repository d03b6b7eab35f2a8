//! Tests of the store as a whole, over the repository's own `policies/`.

mod authorize;
mod credentials;
mod documentation;
mod explain;
mod facts;
mod index;
mod problems;
mod random;
mod step_up;

use std::path::Path;

use super::context::{sample_certificate, sample_token};
use super::store::Question;
use super::{Explanation, PolicyStore, Purpose, Scan, Verdict};
use crate::bundle::{Bundle, Digest, Report};
use crate::decision::UnixTime;
use crate::identity::{CertificateIdentity, Identity, PrincipalKind, TokenIdentity};
use crate::request::Method;

/// Wednesday 2025-01-01 10:00 UTC.
pub(super) const WEDNESDAY: UnixTime = UnixTime(1_735_725_600);

/// The repository's own policies, as the files reader gives them.
pub(super) fn bundle() -> Bundle {
    fn add(bundle: &mut Bundle, folder: &Path, name: &str) {
        for entry in std::fs::read_dir(folder).unwrap() {
            let entry = entry.unwrap();
            let path = format!("{name}/{}", entry.file_name().to_str().unwrap());
            if entry.file_type().unwrap().is_dir() {
                if path != "policies/tests" {
                    add(bundle, &entry.path(), &path);
                }
            } else if path != "policies/proofs.yaml" {
                bundle.insert(path, std::fs::read(entry.path()).unwrap());
            }
        }
    }
    let mut bundle = Bundle::default();
    add(&mut bundle, &Path::new(env!("CARGO_MANIFEST_DIR")).join("policies"), "policies");
    bundle
}

/// A small bundle: the repository's schema, with `policies` as the only policies.
pub(super) fn with_policies(policies: &str) -> Bundle {
    let whole = bundle();
    let mut bundle = Bundle::default();
    bundle.insert(PolicyStore::SCHEMA, whole.get(PolicyStore::SCHEMA).unwrap());
    bundle.insert("policies/a.cedar", policies);
    bundle
}

pub(super) fn load(bundle: &Bundle) -> PolicyStore {
    let mut report = Report::default();
    let store = PolicyStore::load(bundle, &mut report);
    assert!(report.is_empty(), "{report}");
    store.unwrap()
}

/// A token of the dev issuer.
pub(super) fn token(subject: &str, groups: &[&str], scopes: &[&str]) -> TokenIdentity {
    let list = |items: &[&str]| items.iter().map(|item| (*item).to_owned()).collect();
    TokenIdentity {
        issuer_name: "dev".to_owned(),
        issuer: "https://dev.cedargate.invalid/".to_owned(),
        principal: format!("dev/{subject}"),
        subject: subject.to_owned(),
        groups: list(groups),
        scopes: list(scopes),
        audience: vec!["cedargate".to_owned()],
        issued_at: Some(UnixTime(WEDNESDAY.0 - 60)),
        expires_at: UnixTime(WEDNESDAY.0 + 3_540),
        ..sample_token(PrincipalKind::User, false)
    }
}

pub(super) fn user(subject: &str, groups: &[&str], scopes: &[&str]) -> Identity {
    Identity::from(token(subject, groups, scopes))
}

/// A client certificate of the `corp` anchor with this SPIFFE id.
pub(super) fn certificate(id: &str) -> CertificateIdentity {
    CertificateIdentity {
        anchor: "corp".to_owned(),
        principal: id.to_owned(),
        subject: "CN=indexer".to_owned(),
        issuer: "CN=Corp CA".to_owned(),
        serial: "1f".to_owned(),
        uris: vec![id.to_owned()],
        spiffe_id: Some(id.to_owned()),
        fingerprint: Digest::from_bytes([0x11; 32]),
        spki_fingerprint: Digest::from_bytes([0x22; 32]),
        not_before: UnixTime(WEDNESDAY.0 - 60),
        not_after: UnixTime(WEDNESDAY.0 + 3_540),
        ..sample_certificate(false)
    }
}

/// A request that can be changed bit by bit.
#[derive(Debug, Clone)]
pub(super) struct Asking {
    pub(super) method: Method,
    pub(super) segments: Vec<String>,
    pub(super) parameters: Vec<(String, String)>,
    pub(super) headers: Vec<(String, Vec<u8>)>,
    pub(super) client: Option<&'static str>,
    pub(super) now: UnixTime,
    pub(super) purpose: Purpose,
}

impl Asking {
    pub(super) fn new(method: &str, path: &str) -> Self {
        Self {
            method: Method::from_name(method).unwrap(),
            segments: path.split('/').filter(|segment| !segment.is_empty()).map(str::to_owned).collect(),
            parameters: vec![],
            headers: vec![],
            client: Some("10.1.2.3"),
            now: WEDNESDAY,
            purpose: Purpose::Request,
        }
    }

    pub(super) fn from(mut self, client: Option<&'static str>) -> Self {
        self.client = client;
        self
    }

    pub(super) fn header(mut self, name: &str, value: &[u8]) -> Self {
        self.headers.push((name.to_owned(), value.to_vec()));
        self
    }

    pub(super) fn purpose(mut self, purpose: Purpose) -> Self {
        self.purpose = purpose;
        self
    }

    pub(super) fn at(mut self, seconds: i64) -> Self {
        self.now = UnixTime(seconds);
        self
    }

    pub(super) fn ask(&self, store: &PolicyStore, identity: &Identity) -> Verdict {
        let ask = |scan| store.ask(self.question(), identity, self.purpose, self.now, scan);
        let verdict = ask(Scan::Index);
        assert_eq!(verdict, ask(Scan::Everything), "the index never changes an answer");
        verdict
    }

    pub(super) fn explain(&self, store: &PolicyStore, identity: &Identity) -> Explanation {
        store.explain_question(self.question(), identity, self.purpose, self.now)
    }

    fn question(&self) -> Question<'_> {
        Question {
            method: self.method,
            https: false,
            host: "api.example.com",
            segments: &self.segments,
            parameters: &self.parameters,
            client: self.client.map(|client| client.parse().unwrap()),
            headers: &self.headers,
        }
    }
}

pub(super) fn ids(verdict: &Verdict) -> Vec<&str> {
    verdict.determining.iter().map(|policy| policy.id.as_str()).collect()
}

/// Both, named by the token.
pub(super) fn by_token(token: TokenIdentity, certificate: CertificateIdentity) -> Identity {
    Identity::Token { token: std::sync::Arc::new(token), certificate: Some(Box::new(certificate)) }
}

/// Both, named by the certificate.
pub(super) fn by_certificate(token: TokenIdentity, certificate: CertificateIdentity) -> Identity {
    Identity::Certificate { certificate: Box::new(certificate), token: Some(std::sync::Arc::new(token)) }
}

/// The answer of these policies to `GET /x`, which is no error.
pub(super) fn get(policies: &str, identity: &Identity) -> Verdict {
    let verdict = Asking::new("GET", "/x").ask(&load(&with_policies(policies)), identity);
    assert!(verdict.errors.is_empty(), "{verdict:?}");
    verdict
}
