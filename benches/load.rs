//! `make bench`, second part: the gate under load, beside a component that does nothing and beside its peers. Writes `docs/performance.md`.
//!
//! What is measured is a process of its own on the first core; load and origin are this process, on the second. What is compared is measured
//! in turns, window by window, and medians are compared. Every server must give the right answers before it is timed, and while it is.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects,
    clippy::as_conversions,
    clippy::print_stdout,
    clippy::disallowed_methods,
    missing_docs,
    reason = "a measurement fails by panicking"
)]

#[path = "../tests/suite/support/mod.rs"]
#[allow(dead_code, reason = "shared with the end-to-end suite")]
mod support;

mod common;
#[path = "load/curves.rs"]
mod curves;
#[path = "load/drive.rs"]
mod drive;
#[path = "load/inside.rs"]
mod inside;
#[path = "load/material.rs"]
mod material;
#[path = "load/report.rs"]
mod report;
#[path = "load/scenarios.rs"]
mod scenarios;
#[path = "load/server.rs"]
mod server;
#[path = "signatures/measure.rs"]
mod signatures;

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::rc::Rc;
use std::time::Duration;

use cedargate::host::Sealer;
use drive::{Driver, Requests, Window};
use report::Report;
use server::{Host, Server};
use support::gate::{base, root};

/// The core of load and origin.
const CORE: &str = "1";
/// What everything is compared with.
const NOOP: &str = "no-op component";
/// Set in the process that is on that core.
const PINNED: &str = "CEDARGATE_BENCH_PINNED";

/// How much is measured.
struct Effort {
    rounds: usize,
    window: Duration,
}

impl Case {
    /// With as many connections as nearly all have.
    fn new(name: impl Into<String>, server: &Server, requests: &Rc<Requests>) -> Self {
        let name = called(&name.into(), server.host);
        Self { name, addr: server.addr, host: server.host, requests: Rc::clone(requests), connections: scenarios::CONNECTIONS }
    }

    /// The same in each host.
    fn each(name: &str, servers: &[Server], requests: &Rc<Requests>) -> Vec<Self> {
        servers.iter().map(|server| Self::new(name, server, requests)).collect()
    }

    /// What the others are compared with, each with the one of its host.
    fn base(noop: &[Server]) -> Vec<Self> {
        Self::each(NOOP, noop, &scenarios::idle())
    }
}

/// What everything needs.
struct Bench {
    driver: Driver,
    effort: Effort,
    origin: SocketAddr,
    noop: PathBuf,
    sealer: Sealer,
    /// The same for the build that needs wide arithmetic.
    wide: Option<Sealer>,
    /// Whether there is a Spin to measure under, too.
    spin: bool,
    work: PathBuf,
}

/// One thing that is measured in turns with others.
struct Case {
    name: String,
    addr: SocketAddr,
    host: Host,
    requests: Rc<Requests>,
    connections: usize,
}

fn main() {
    let args: Vec<String> = std::env::args().skip(1).collect();
    if std::env::var_os(PINNED).is_none() {
        let mut pinned = Command::new("taskset");
        pinned.args(["-c", CORE]).arg(std::env::current_exe().unwrap()).args(&args).env(PINNED, "1");
        std::process::exit(pinned.status().expect("taskset, of util-linux").code().unwrap_or(1));
    }
    let has = |flag: &str| args.iter().any(|arg| arg == flag);
    let effort = if has("--quick") {
        Effort { rounds: 3, window: Duration::from_millis(400) }
    } else {
        Effort { rounds: 5, window: Duration::from_millis(700) }
    };
    let only = args.iter().position(|arg| arg == "--only").and_then(|at| args.get(at + 1)).cloned();
    let wanted = |section: &str| only.as_deref().is_none_or(|only| only == section);
    let work = tempfile::tempdir().unwrap();
    let noop = common::component("noop");
    // A folder of its own, as every component has.
    let folder = work.path().join("noop");
    std::fs::create_dir_all(&folder).unwrap();
    std::fs::copy(&noop, folder.join("noop.wasm")).unwrap_or_else(|e| panic!("{}: {e}: `make bench` builds it", noop.display()));
    let spin = server::spin_version();
    let bench = Bench {
        driver: Driver::new(),
        effort,
        origin: server::origin(),
        noop: folder.join("noop.wasm"),
        sealer: Sealer::new(base().to_owned()),
        spin: spin.is_some(),
        wide: wide("base").map(|path| Sealer::new(std::fs::read(path).unwrap())),
        work: work.path().to_owned(),
    };
    let effort = format!("{} rounds of {} ms", bench.effort.rounds, bench.effort.window.as_millis());
    let mut report = Report { effort, spin, ..Report::default() };
    if wanted("signatures") {
        report.signatures = signatures::rows(&common::component("signatures"));
        report.wide_signatures = wide("signatures").and_then(|path| signatures::rows(&path));
    }
    if wanted("scenarios") {
        scenarios::measure(&bench, &mut report);
    }
    if wanted("links") {
        scenarios::links(&bench, &mut report);
    }
    if wanted("curves") {
        curves::measure(&bench, &mut report);
    }
    if wanted("first") {
        scenarios::first(&bench, &mut report);
    }
    if wanted("start") {
        scenarios::start(&bench, &mut report);
    }
    if wanted("flood") {
        scenarios::flood(&bench, &mut report);
    }
    if wanted("size") {
        inside::measure(&bench, &mut report);
    }
    let text = report.markdown();
    println!("{text}");
    if has("--write") {
        std::fs::write(root().join("docs/performance.md"), text).unwrap();
    }
}

impl Bench {
    /// The component that does nothing, in each host that is there.
    fn noop(&self, reuse: server::Reuse) -> Vec<Server> {
        self.noop_with(reuse, None)
    }

    fn noop_with(&self, reuse: server::Reuse, cache: Option<&Path>) -> Vec<Server> {
        let own = server::component(&self.noop, self.origin, reuse, &[], cache);
        let spin = self.spin.then(|| server::spin(&self.noop, None, reuse, &[], cache));
        [own].into_iter().chain(spin).collect()
    }

    /// A gate in each host that is there.
    fn gate(&self, file: &Path, reuse: server::Reuse, variables: &[(&str, &str)]) -> Vec<Server> {
        self.gate_with(file, reuse, variables, None)
    }

    fn gate_with(&self, file: &Path, reuse: server::Reuse, variables: &[(&str, &str)], cache: Option<&Path>) -> Vec<Server> {
        let variables = with_store(variables);
        let own = server::component(file, self.origin, reuse, &variables, cache);
        let spin = self.spin.then(|| server::spin(file, Some(self.origin), reuse, &variables, cache));
        [own].into_iter().chain(spin).collect()
    }

    fn own_gate(&self, file: &Path, reuse: server::Reuse, variables: &[(&str, &str)]) -> Server {
        server::component(file, self.origin, reuse, &with_store(variables), None)
    }

    /// Each case in turn, round by round: the windows of each.
    fn turns(&self, cases: &[Case]) -> Vec<Vec<Window>> {
        let mut windows: Vec<Vec<Window>> = cases.iter().map(|_| vec![]).collect();
        for round in 0..=self.effort.rounds {
            for (windows, case) in windows.iter_mut().zip(cases) {
                let window = self.driver.closed(case.addr, &case.requests, case.connections, self.effort.window);
                // The first round warms up.
                if round > 0 {
                    windows.push(window);
                }
            }
        }
        windows
    }

    /// Measures the cases of a section of the report.
    fn section(&self, report: &mut Report, title: &str, cases: &[Case]) {
        println!("\n{title}");
        report.sections.push(report::Section { title: title.to_owned(), rows: self.rows(cases) });
    }

    /// The cases as rows, each beside the first of its host, which is the component that does nothing.
    fn rows(&self, cases: &[Case]) -> Vec<report::Row> {
        let windows = self.turns(cases);
        let rates = |windows: &[Window]| -> Vec<f64> { windows.iter().map(|window| window.per_second).collect() };
        let row = |(case, own): (&Case, &Vec<Window>)| {
            let first = cases.iter().position(|other| other.host == case.host).unwrap();
            let (base, rates) = (rates(&windows[first]), rates(own));
            let shares = rates.iter().zip(&base).map(|(rate, base)| rate / base).collect();
            let added = rates.iter().zip(&base).map(|(rate, base)| 1e6 / rate - 1e6 / base).collect();
            let p99 = own.iter().map(|window| window.percentile(0.99)).collect();
            println!("{:46} {:8.0}/s", case.name, common::median(rates.clone()));
            report::Row { name: case.name.clone(), rates, shares, added, p99 }
        };
        cases.iter().zip(&windows).map(row).collect()
    }
}

/// Without a store, unless it is measured by itself: peers have none either.
fn with_store<'a>(variables: &[(&'a str, &'a str)]) -> Vec<(&'a str, &'a str)> {
    [&[("key_value_store", "")], variables].concat()
}

/// What a thing is called in a host.
fn called(name: &str, host: Host) -> String {
    match host {
        Host::Own => name.to_owned(),
        Host::Spin => format!("{name}, Spin"),
    }
}

/// A component that is built for hosts with wide arithmetic, where it is.
fn wide(name: &str) -> Option<PathBuf> {
    std::env::var_os(format!("CEDARGATE_{}_WIDE", name.to_uppercase())).map(PathBuf::from).filter(|path| path.is_file())
}
