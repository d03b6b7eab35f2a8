//! The report: `docs/performance.md`.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::process::Command;

use super::common::{median, range};
use super::material;
use super::scenarios::{FIRST, FIRST_DENIED, LINKS, REFUSED, WIDE};
use super::server::Host;
use super::{NOOP, called, signatures};

/// One thing that was measured, beside the component that does nothing.
pub struct Row {
    pub name: String,
    /// Requests per second, window by window.
    pub rates: Vec<f64>,
    /// The same as shares of the component that does nothing.
    pub shares: Vec<f64>,
    /// Microseconds beyond what it takes.
    pub added: Vec<f64>,
    /// Microseconds.
    pub p99: Vec<f64>,
}

pub struct Section {
    pub title: String,
    pub rows: Vec<Row>,
}

/// The p99 of good requests, in microseconds.
pub struct Flood {
    pub name: String,
    pub alone: Vec<f64>,
    pub flooded: Vec<f64>,
}

#[derive(Default)]
pub struct Report {
    /// How much was measured.
    pub effort: String,
    pub signatures: Option<Vec<signatures::Row>>,
    /// The same where the host has wide arithmetic.
    pub wide_signatures: Option<Vec<signatures::Row>>,
    pub sections: Vec<Section>,
    pub floods: Vec<Flood>,
    /// Seconds that sealing the largest set took.
    pub sealing: Option<f64>,
    /// Bytes of a sealed component.
    pub component: Option<usize>,
    /// Seconds from the start of a server until it listens, by what it serves.
    pub starts: BTreeMap<String, Vec<f64>>,
    /// The version of the Spin that was measured, too.
    pub spin: Option<String>,
    /// Bytes of one instance, by the number of policies.
    pub memory: Vec<(usize, u64)>,
}

/// What was aimed at and what came of it.
struct Aim {
    what: String,
    measured: f64,
    aim: f64,
    /// Whether less is better.
    at_most: bool,
    unit: &'static str,
}

impl Report {
    fn row(&self, title: &str, name: &str) -> Option<&Row> {
        self.sections.iter().find(|section| section.title == title)?.rows.iter().find(|row| row.name == name)
    }

    fn signature(&self, name: &str) -> Option<&signatures::Row> {
        self.signatures.as_ref()?.iter().find(|row| row.name.starts_with(name))
    }

    /// Everything that issue and design promise, as far as it was measured.
    fn aims(&self) -> Vec<Aim> {
        let mut aims = vec![];
        let mut add = |what: String, measured: Option<f64>, aim: f64, at_most: bool, unit| {
            if let Some(measured) = measured {
                aims.push(Aim { what, measured, aim, at_most, unit });
            }
        };
        // What is compared within a host, for each host, with what is added to the name of what is measured.
        let hosts = [("", Host::Own), (" (Spin)", Host::Spin)];
        let hot = "hot token, denied by policy";
        let over = |cost: Option<f64>, base: Option<f64>| Some(cost? / base?);
        for (note, host) in hosts {
            let added = |title: &str| self.row(title, &called("gate", host)).map(|row| median(row.added.clone()));
            add(
                format!("hot token: added, as a share of one bare EdDSA verification{note}"),
                over(added(hot), self.signature("EdDSA").map(|row| row.ring)),
                0.35,
                true,
                "×",
            );
            for alg in ["EdDSA", "RS256", "ES256"] {
                let title = format!("never-repeated tokens, {alg}, denied by policy");
                add(
                    format!("never-repeated {alg}: added, as a share of one bare verification{note}"),
                    over(added(&title), self.signature(alg).map(|row| row.ring)),
                    1.3,
                    true,
                    "×",
                );
            }
        }
        for row in self.signatures.iter().flatten() {
            if let Some(aim) = row.aim() {
                add(format!("{} in wasm: prepared, as a share of `ring`", row.name), Some(row.share()), aim, true, "×");
            }
        }
        let beside = |title: &str, gate: &str, peer: &str| {
            let (gate, peer) = (self.row(title, gate)?, self.row(title, peer)?);
            Some(median(gate.rates.iter().zip(&peer.rates).map(|(gate, peer)| gate / peer).collect()))
        };
        let proxied = "hot token, allowed and proxied";
        for (note, gate) in [("", "gate".to_owned()), (", wide arithmetic", WIDE.to_owned()), (" (Spin)", called("gate", Host::Spin))] {
            for (what, title) in [("denied", hot), ("proxied", proxied)] {
                let what = format!("hot token, {what}{note}: requests per second beside workerd with its cache");
                add(what, beside(title, &gate, "workerd-cached"), 2.0, false, "×");
            }
            for (alg, aim) in [("EdDSA", 1.4), ("ES256", 1.2), ("RS256", 1.0)] {
                let title = format!("never-repeated tokens, {alg}, denied by policy");
                let what = format!("never-repeated {alg}{note}: requests per second beside workerd without a cache");
                add(what, beside(&title, &gate, "workerd"), aim, false, "×");
            }
        }
        for (note, host) in hosts {
            let rate = |name: &str| Some(median(self.row("policies", &called(name, host))?.rates.clone()));
            add(
                format!("10,000 policies: time per request beside 20{note}"),
                over(rate("20 policies"), rate("10000 policies")),
                1.25,
                true,
                "×",
            );
        }
        add("sealing 10,000 policies".into(), self.sealing, 30.0, true, " s");
        for Flood { name, alone, flooded } in &self.floods {
            let worse = alone.iter().zip(flooded).map(|(alone, flooded)| flooded / alone).collect();
            add(format!("flood of forged tokens, {name}: p99 of good requests beside alone"), Some(median(worse)), 3.0, true, "×");
        }
        for (note, host) in hosts {
            let time = |name: &str| self.row(FIRST, &called(name, host)).map(|row| 1e6 / median(row.rates.clone()));
            let base = time(NOOP).zip(self.signature("EdDSA")).map(|(noop, row)| noop + row.ring);
            add(
                format!("first request of an instance: beside the no-op component's and one signature{note}"),
                over(time(FIRST_DENIED), base),
                1.5,
                true,
                "×",
            );
            let beside_noop = |name: &str| self.row(LINKS, &called(name, host)).map(|row| 1.0 / median(row.shares.clone()));
            add(
                format!("signed URL, HMAC-SHA-256: time to verify one, beside a no-op request{note}"),
                beside_noop(REFUSED),
                1.3,
                true,
                "×",
            );
        }
        for (number, bytes) in &self.memory {
            add(format!("memory of an instance, {number} policies, full cache"), Some(*bytes as f64 / 1e6), 16.0, true, " MB");
        }
        add("sealed component".into(), self.component.map(|bytes| bytes as f64 / 1e6), 6.0, true, " MB");
        aims
    }

    pub fn markdown(&self) -> String {
        let mut text = METHOD.to_owned();
        let _ = writeln!(text, "\nThis run: {} for each line, after one to warm up.", self.effort);
        let spin = self.spin.as_ref().map_or("No `spin` was on the PATH".to_owned(), |version| format!("Spin: `{version}`"));
        let _ = writeln!(text, "\nMachine: {}. {}. {spin}.", material::machine(), versions());
        let _ = writeln!(text, "\n## What was aimed at\n\n| | measured | aim | |\n|---|---|---|---|");
        for Aim { what, measured, aim, at_most, unit } in self.aims() {
            let reached = if at_most { measured <= aim } else { measured >= aim };
            let sign = if at_most { "≤" } else { "≥" };
            let _ = writeln!(
                text,
                "| {what} | {measured:.2}{unit} | {sign} {aim}{unit} | {} |",
                if reached { "reached" } else { "**not reached**" }
            );
        }
        text.push_str(BOUNDS);
        let _ =
            writeln!(text, "\n## Signatures in wasm\n\nOne verification, in µs; preparing a key takes so long and so many bytes, once.");
        for (title, rows) in [("as it is built", &self.signatures), ("for hosts with wide arithmetic", &self.wide_signatures)] {
            let Some(rows) = rows else { continue };
            let _ = writeln!(text, "\n| {title} | `ring` | prepared | share | preparing | bytes |\n|---|---|---|---|---|---|");
            for row in rows {
                let signatures::Row { name, ring, prepared, preparing, bytes } = row;
                let _ = writeln!(text, "| {name} | {ring:.0} | {prepared:.0} | {:.2} | {preparing:.0} | {bytes} |", row.share());
            }
        }
        let _ = writeln!(
            text,
            "\n## Under load\n\n“Beside no-op” is requests per second as a share of the component that does nothing, with the range over the rounds; “added” is"
        );
        let _ = writeln!(text, "the time per request beyond its.");
        for Section { title, rows } in &self.sections {
            let _ =
                writeln!(text, "\n### {title}\n\n| | requests/s | beside no-op | range | added µs | p99 ms |\n|---|---|---|---|---|---|");
            for Row { name, rates, shares, added, p99 } in rows {
                let (rate, share) = (median(rates.clone()), median(shares.clone()));
                let (added, p99) = (median(added.clone()), median(p99.clone()) / 1e3);
                let _ = writeln!(text, "| {name} | {rate:.0} | {share:.2} | {} | {added:.0} | {p99:.1} |", range(shares, 2));
            }
        }
        if !self.starts.is_empty() {
            let _ = writeln!(
                text,
                "\n### start\n\nSeconds from the start of a server until it listens, on one core: with nothing compiled before, and with all of it, as both hosts keep what they compiled.\n"
            );
            let _ = writeln!(text, "| | s | range |\n|---|---|---|");
            for (name, seconds) in &self.starts {
                let _ = writeln!(text, "| {name} | {:.2} | {} |", median(seconds.clone()), range(seconds, 2));
            }
        }
        if !self.floods.is_empty() {
            let _ = writeln!(
                text,
                "\n### a flood of forged tokens\n\nThe p99 of 100 good requests a second in ms, alone and beside 1,000 forged ones.\n"
            );
            let _ = writeln!(text, "| | alone | range | flooded | range |\n|---|---|---|---|---|");
            for Flood { name, alone, flooded } in &self.floods {
                let ms = |values: &[f64]| values.iter().map(|value| value / 1e3).collect::<Vec<_>>();
                let (alone, flooded) = (ms(alone), ms(flooded));
                let (ra, rf) = (range(&alone, 1), range(&flooded, 1));
                let _ = writeln!(text, "| {name} | {:.1} | {ra} | {:.1} | {rf} |", median(alone), median(flooded));
            }
        }
        text
    }
}

/// What was measured, by version.
fn versions() -> String {
    let rustc = Command::new("rustc").arg("--version").output().map(|output| String::from_utf8_lossy(&output.stdout).trim().to_owned());
    format!("{}; the peers' versions stand in `benches/peers/README.md`", rustc.unwrap_or_default())
}

const METHOD: &str = "# Performance

This page is written by `make bench`. It is one run on one machine; what counts are the ratios, and they hold within this run only.

Each server is a process on a core of its own: the gate and a component that does nothing, both in this project's host, and the peers of
[`benches/peers`](../benches/peers/README.md), which enforce the same 20 policies. Where a `spin` is on the PATH, component and gate are served by it as well, with
the settings it comes with; rows that end with “Spin” are beside the no-op component there. The load, 16 connections with one request at a time unless a title says
otherwise, and the API behind them have the other core. Before they are timed, the gate and its peers must answer eleven questions right, and while
anything is timed every answer must have the right status. What one table compares was measured in turns, window by window; medians are compared. The gate writes a record of
every decision to a file; its peers write nothing.

Denied by policy means: the token is verified, policies are asked, the answer is 403, and no API is asked. That is what a gate costs by itself.
";

const BOUNDS: &str = "
### What bounds them

*What a request costs beyond the component that does nothing* is spread evenly. In a profile of a hot token that is denied, 41 of 100 samples of the
processor were in the component, 41 in the host (wasmtime and hyper), 18 in the kernel; of a link that is verified and refused 29, 49 and 22. In the component no
function has a tenth of its part: allocating, SHA-256 and the JSON of the record come first. In the host it is some forty calls for each
request, a few of which are the head, the clock, and the record's way to standard output. It weighs on tokens that are never repeated, signed URLs and first requests too.

*A link* cannot cost as little as was aimed at: the line “reads, writes a line, refuses” is a component that does nothing of a gate's work but what none can
do without, in a host that charges for every call. It takes half of what the aim allows.

*Under Spin* each call into the host costs more, and a request is told to tracing. The first request of an instance is answered from another thread than the one
that has the connection, so that head and body may still go out apart; Spin leaves Nagle's algorithm on, and the body then waits 40 ms for the client to
acknowledge the head. One request in 128 is the first of its instance.

*RS256* is sixteen squarings and a multiplication with numbers of 2,048 bits, *ES256* some thousand multiplications of 256 bits, in 64-bit halves of products that WebAssembly has no instruction for without wide
arithmetic. An engine that has it (wasmtime 50 and later, and this project's host) takes the build that is made for it, `make component WIDE=1`.

*A flood* is 1,100 requests a second on one core. Which key a token names, its issuer, its times and its form are looked at first: only a forger who knows
all of these costs a verification. Forged tokens then wait behind requests that need none. But an instance that is new knows no token: of its 128 requests
some ten are good ones here, and the first of them waits with the forged ones.
";
