//! What was proved, told to people and programs.

use std::fmt::Write as _;

use serde_json::{Value, json};

use super::super::Exit;
use super::super::audit::one_line;
use super::super::diagnostic::count;
use super::claims::Proof;
use super::counterexample::Counterexample;
use super::solver::Solver;
use super::work::Verdict;

/// A claim and what became of it.
#[derive(Debug)]
pub(super) struct Proved {
    pub(super) proof: Proof,
    pub(super) verdict: Verdict,
}

/// Everything that was to be proved.
pub(super) struct Told<'p> {
    pub(super) proved: &'p [Proved],
    /// Or why there is none.
    pub(super) solver: Result<&'p Solver, &'p String>,
}

impl Verdict {
    pub(in crate::cli) const fn as_str(&self) -> &'static str {
        match self {
            Self::Proved(_) => "proved",
            Self::Refuted(_) => "refuted",
            Self::NotProved(_) => "not-proved",
        }
    }
}

impl Told<'_> {
    fn number(&self, verdict: &str) -> usize {
        self.proved.iter().filter(|one| one.verdict.as_str() == verdict).count()
    }

    /// What is not so comes before what nobody knows.
    pub(super) fn exit(&self) -> Exit {
        match (self.number("refuted"), self.number("not-proved")) {
            (0, 0) => Exit::Ok,
            (0, _) => Exit::NotProved,
            _ => Exit::TestsFailed,
        }
    }

    pub(super) fn json(&self) -> Value {
        let one = |Proved { proof: Proof { name, claim }, verdict }: &Proved| {
            let (kinds, because, examples) = match verdict {
                Verdict::Proved(kinds) => (Some(*kinds), vec![], vec![]),
                Verdict::Refuted(examples) => (None, vec![], examples.iter().map(Counterexample::json).collect()),
                Verdict::NotProved(because) => (None, because.clone(), vec![]),
            };
            let verdict = if self.solver.is_ok() { verdict.as_str() } else { "not-run" };
            json!({
                "name": name, "claim": claim.kind(), "condition": claim.condition(), "verdict": verdict, "kinds": kinds,
                "because": because, "counterexamples": examples,
            })
        };
        json!({
            "solver": self.solver.map(Solver::name).ok(), "proved": self.number("proved"), "refuted": self.number("refuted"),
            "not_proved": self.number("not-proved"), "proofs": self.proved.iter().map(one).collect::<Vec<_>>(),
        })
    }

    pub(super) fn human(&self) -> String {
        let mut text = String::new();
        for Proved { proof, verdict } in self.proved {
            let name = one_line(&proof.name);
            match verdict {
                Verdict::Proved(kinds) => {
                    let _ = writeln!(text, "\x1b[32mproved\x1b[0m      {name} ({})", kinds_of_request(*kinds));
                }
                Verdict::Refuted(examples) => {
                    let _ = writeln!(text, "\x1b[1;31mNOT SO\x1b[0m      {name}");
                    examples.iter().for_each(|example| text.push_str(&shown(example, "              ")));
                }
                Verdict::NotProved(_) if self.solver.is_err() => {
                    let _ = writeln!(text, "\x1b[33mnot run\x1b[0m     {name}");
                }
                Verdict::NotProved(because) => {
                    let _ = writeln!(text, "\x1b[33mnot proved\x1b[0m  {name}");
                    because.iter().for_each(|why| text.push_str(&format!("              {}\n", one_line(why))));
                }
            }
        }
        let (proved, refuted, open) = (self.number("proved"), self.number("refuted"), self.number("not-proved"));
        let open = if self.solver.is_ok() { format!("{open} not proved") } else { format!("{open} not run") };
        let _ = match self.exit() {
            Exit::Ok => writeln!(text, "\x1b[1;32mok\x1b[0m: {proved} proved"),
            _ => writeln!(text, "\x1b[1;31mfailed\x1b[0m: {refuted} not so, {open}, {proved} proved"),
        };
        text
    }
}

/// `1 kind of request`, `2 kinds of request`.
fn kinds_of_request(number: usize) -> String {
    format!("{} of request", count(number, "kind"))
}

/// A counterexample, each line behind `margin`.
pub(in crate::cli) fn shown(example: &Counterexample, margin: &str) -> String {
    let Counterexample { kind, http, facts, policies, cedar: _ } = example;
    let mut text = String::new();
    let first = http.as_ref().map_or_else(|| format!("a request that has no path of its own: {kind}"), Clone::clone);
    let _ = writeln!(text, "{margin}{}", one_line(&first));
    facts.iter().for_each(|fact| text.push_str(&format!("{margin}  {}\n", one_line(fact))));
    let policies: Vec<&str> = policies.iter().map(String::as_str).filter(|id| *id != "what is proved").collect();
    if !policies.is_empty() {
        let _ = writeln!(text, "{margin}  decided by {}", one_line(&policies.join(", ")));
    }
    text
}
