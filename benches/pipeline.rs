//! `make bench`, last part: the pure pipeline by itself, in this process and natively, step by step. A change in it shows here first; what
//! it costs in the component, and beside others, is for the other two to say.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects,
    clippy::as_conversions,
    clippy::disallowed_methods,
    missing_docs,
    reason = "a measurement fails by panicking"
)]

#[path = "../tests/suite/support/mod.rs"]
#[allow(dead_code, reason = "shared with the end-to-end suite")]
mod support;

#[path = "load/material.rs"]
#[allow(dead_code, reason = "shared with the bench under load")]
mod material;

use std::hint::black_box;
use std::time::Duration;

use cedargate::bundle::Gate;
use cedargate::decision::{self, Decision, Mode, UnixTime};
use cedargate::identity::{Answers, Deployment, KnownTokens, Presented, SignatureBackend, Supply};
use cedargate::policy::{Purpose, Scan};
use cedargate::request::{self, Evidence, Facts, RawRequest, Reading};
use criterion::{BenchmarkId, Criterion};
use material::{ALGORITHMS, For, PATH, POLICIES, bundle, now, reader};
use support::token::Token;

fn main() {
    let mut criterion = Criterion::default().warm_up_time(Duration::from_millis(500)).measurement_time(Duration::from_secs(2));
    criterion = criterion.configure_from_args();
    reading(&mut criterion);
    tokens(&mut criterion);
    policies(&mut criterion);
    loading(&mut criterion);
    criterion.final_summary();
}

/// A request as the runtime hands it over.
struct Arrived {
    method: &'static str,
    headers: Vec<(String, Vec<u8>)>,
}

impl Arrived {
    fn new(method: &'static str, token: Option<&Token>) -> Self {
        let field = |name: &str, value: String| (name.to_owned(), value.into_bytes());
        let mut headers = vec![
            field("host", "api.example.com".into()),
            field("user-agent", "bench/1".into()),
            field("accept", "*/*".into()),
            field("spin-client-addr", "127.0.0.1:4711".into()),
        ];
        headers.extend(token.map(|token| field("authorization", format!("Bearer {}", token.make()))));
        Self { method, headers }
    }

    fn read(&self) -> (Facts, Evidence) {
        let raw = RawRequest {
            method: self.method,
            scheme: Some("http"),
            authority: Some("api.example.com"),
            path_with_query: Some(PATH),
            headers: &self.headers,
        };
        request::read(&raw, Reading::default()).unwrap()
    }
}

/// Everything between a request that was read and its decision.
fn decide(gate: &Gate, facts: &Facts, presented: &Presented<'_>, deployment: &Deployment, scan: Scan) -> Decision {
    let now = UnixTime(now());
    let verified = decision::verify(gate, facts, presented, deployment, Supply::NotNeeded, now);
    decision::authorize(gate, facts, decision::settle(verified, &Answers::default(), now), Purpose::Request, now, Mode::Enforce, scan)
}

fn reading(criterion: &mut Criterion) {
    let arrived = Arrived::new("GET", Some(&reader("alice")));
    criterion.bench_function("read a request", |bencher| bencher.iter(|| black_box(&arrived).read()));
}

/// Decided anew each time, the token verified by what was prepared and by `ring`, and known.
fn tokens(criterion: &mut Criterion) {
    let gate = Gate::load(&bundle(POLICIES, For::Teams)).unwrap();
    let mut group = criterion.benchmark_group("decide, 20 policies");
    for (name, signatures) in [("prepared", SignatureBackend::Prepared), ("ring", SignatureBackend::Ring)] {
        let deployment = Deployment { signatures, ..Deployment::default() };
        for (alg, key, kid) in ALGORITHMS {
            let (facts, evidence) = Arrived::new("DELETE", Some(&reader("alice").signed(alg, key, kid))).read();
            group.bench_function(BenchmarkId::new(alg, name), |bencher| {
                bencher.iter(|| decide(&gate, &facts, &Presented::read(&evidence), &deployment, Scan::Index));
            });
        }
    }
    let deployment = Deployment::default();
    let (facts, evidence) = Arrived::new("DELETE", Some(&reader("alice"))).read();
    let mut known = KnownTokens::new();
    let presented = Presented::knowing(&evidence, Some(&known));
    let mut verified = decision::verify(&gate, &facts, &presented, &deployment, Supply::NotNeeded, UnixTime(now())).unwrap();
    known.learn(verified.learned().token.expect("it verifies"));
    group.bench_function("known token", |bencher| {
        bencher.iter(|| decide(&gate, &facts, &Presented::knowing(&evidence, Some(&known)), &deployment, Scan::Index));
    });
    let (facts, evidence) = Arrived::new("GET", None).read();
    group.bench_function("no token", |bencher| {
        bencher.iter(|| decide(&gate, &facts, &Presented::read(&evidence), &deployment, Scan::Index));
    });
    group.finish();
}

/// Policies asked with the index and without.
fn policies(criterion: &mut Criterion) {
    let deployment = Deployment::default();
    let (facts, evidence) = Arrived::new("GET", None).read();
    let mut group = criterion.benchmark_group("decide without a token");
    for (number, scans) in
        [(POLICIES, &[Scan::Index, Scan::Everything][..]), (1_000, &[Scan::Index, Scan::Everything]), (10_000, &[Scan::Index])]
    {
        let gate = Gate::load(&bundle(number, For::Teams)).unwrap();
        for scan in scans {
            group.bench_function(BenchmarkId::new(format!("{scan:?}"), number), |bencher| {
                bencher.iter(|| decide(&gate, &facts, &Presented::read(&evidence), &deployment, *scan));
            });
        }
    }
    group.finish();
}

/// What sealing does before the snapshot: everything of a bundle read, checked and put in order.
fn loading(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("load a bundle");
    group.sample_size(10);
    for number in [POLICIES, 1_000] {
        let bundle = bundle(number, For::Teams);
        group.bench_function(BenchmarkId::from_parameter(number), |bencher| bencher.iter(|| Gate::load(black_box(&bundle)).unwrap()));
    }
    group.finish();
}
