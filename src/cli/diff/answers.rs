//! Answers that are others: cells of the matrix, and what tests ask.

use std::collections::BTreeSet;

use serde_json::{Value, json};

use super::super::diagnostic::Invalid;
use super::super::matrix::{self, Cell};
use super::super::replay::{Approvals, Example};
use super::super::test::{self, Asked, Case, Got, Tests};
use crate::bundle::Gate;
use crate::decision::Flip;

/// What one source of questions gave.
#[derive(Debug, Default)]
pub(super) struct Answers {
    /// How many were compared.
    pub(super) asked: usize,
    pub(super) changes: Vec<Changed>,
}

/// One answer that is another.
#[derive(Debug)]
pub(super) struct Changed {
    /// None where it is the same by other policies or for another reason.
    pub(super) flip: Option<Flip>,
    /// The policies that determine the new answer; where none does, those that determined the old one.
    pub(super) policies: Vec<String>,
    pub(super) example: Example,
    /// The approval that means it.
    pub(super) approved: Option<usize>,
    pub(super) sentence: String,
}

/// Answers, or why there are none.
pub(super) type Found = Result<Answers, String>;

impl Answers {
    /// How many flip so; of those, how many nobody approved.
    pub(super) fn count(&self, flip: Flip) -> (usize, usize) {
        let flips = || self.changes.iter().filter(|change| change.flip == Some(flip));
        (flips().count(), flips().filter(|change| change.approved.is_none()).count())
    }

    /// Marks what is approved.
    pub(super) fn approve(&mut self, approvals: &Approvals, used: &mut BTreeSet<usize>) {
        for change in &mut self.changes {
            if let Some(flip) = change.flip {
                change.approved = approvals.find(flip, &change.policies, &change.example);
                used.extend(change.approved);
            }
        }
    }

    pub(super) fn json(&self) -> Value {
        let change = |change: &Changed| {
            let Changed { flip, policies, example, approved, sentence } = change;
            json!({
                "flip": flip.map(Flip::as_str), "policies": policies, "principal": example.principal, "path": example.path,
                "approved": approved.is_some(), "sentence": sentence,
            })
        };
        json!({ "asked": self.asked, "changes": self.changes.iter().map(change).collect::<Vec<_>>() })
    }
}

/// Compares the cells of the matrix.
///
/// # Errors
/// What is more than a definition that does not fit.
pub(super) fn of_matrix(old: &Tests, new: &Tests) -> miette::Result<Found> {
    let cell = |Cell { flip, policies, example, sentence }| Changed { flip, policies, example, approved: None, sentence };
    Ok(match matrix::between(old, new) {
        Ok(None) => Err("there is no `matrix.yaml` among the tests".to_owned()),
        Ok(Some(between)) => Ok(Answers { asked: between.answers, changes: between.cells.into_iter().map(cell).collect() }),
        Err(error) => Err(unfit(error, "matrix.yaml")?),
    })
}

/// Compares what tests ask, whatever they expect.
///
/// # Errors
/// What is more than a test that does not fit.
pub(super) fn of_tests(old: &Tests, new: &Tests) -> miette::Result<Found> {
    let cases = match new.cases() {
        Ok(cases) if cases.is_empty() => return Ok(Err("there are none".to_owned())),
        Ok(cases) => cases,
        Err(error) => return Ok(Err(unfit(error, "a test")?)),
    };
    let mut answers = Answers { asked: cases.len(), changes: vec![] };
    for case in cases {
        let before = test::ask(&old.gate, case.clone(), None);
        let now = test::ask(&new.gate, case, None);
        let same = before.got == now.got;
        if !same {
            let passes = (before.passed(), now.passed());
            answers.changes.push(changed(&now.case, &before.got, &now.got, passes, new));
        }
    }
    Ok(Ok(answers))
}

/// Problems of tests are told by `cedargate test`; here they only mean that nothing can be asked.
fn unfit(error: miette::Report, what: &str) -> miette::Result<String> {
    match error.downcast::<Invalid>() {
        Ok(invalid) => Ok(format!("{what} does not fit these policies, {invalid}: `cedargate test` and `cedargate matrix` tell them")),
        Err(error) => Err(error),
    }
}

fn changed(case: &Case, before: &Got, now: &Got, passes: (bool, bool), tests: &Tests) -> Changed {
    let flip = match (before.allow, now.allow) {
        _ if !now.errors.is_empty() && before.errors.is_empty() => Some(Flip::NowErroring),
        (true, false) => Some(Flip::AllowToDeny),
        (false, true) => Some(Flip::DenyToAllow),
        (true, true) | (false, false) => None,
    };
    let place = format!("{}:{}", tests.on_disk(&case.file).display(), case.line);
    let result = match passes {
        (true, false) => ", and it fails now",
        (false, true) => ", and it passes now",
        (true, true) => ", which the test allows",
        (false, false) => ", and it fails as before",
    };
    let sentence = format!("{}: {}, was {} ({place}{result})", case.name, told(now), told(before));
    Changed {
        flip,
        policies: if now.by.is_empty() { before.by.clone() } else { now.by.clone() },
        example: example(&tests.gate, &case.asked),
        approved: None,
        sentence,
    }
}

/// `deny by documents.freeze`.
fn told(got: &Got) -> String {
    let word = if got.allow { "allow" } else { "deny" };
    match (got.errors.is_empty(), got.by.is_empty()) {
        (false, _) => format!("deny, because {} fails", got.errors.join("; ")),
        (true, true) => format!("{word} ({})", got.reason),
        (true, false) => format!("{word} by {}", got.by.join(", ")),
    }
}

/// Who asks for what.
fn example(gate: &Gate, asked: &Asked) -> Example {
    let (principal, path) = match asked {
        Asked::Gate { caller, question } => match &question.facts {
            Ok(facts) => {
                let verdict = gate.policy().authorize(facts, &caller.identity(question.time), question.purpose, question.time);
                (verdict.principal, facts.path.decoded())
            }
            Err(_) => (String::new(), String::new()),
        },
        Asked::Cedar { request, entities: _ } => (request.principal().map(ToString::to_string).unwrap_or_default(), String::new()),
    };
    Example { principal, path, ..Example::default() }
}
