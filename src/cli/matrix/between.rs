//! The same table, asked of two gates.

use super::super::replay::Example;
use super::super::test::{MATRIX, Tests};
use super::change::{Change, changes};
use super::table::{Answer, Table};
use crate::decision::Flip;

/// What two gates answer otherwise.
#[derive(Debug)]
pub(in crate::cli) struct Between {
    /// How many answers were compared.
    pub(in crate::cli) answers: usize,
    pub(in crate::cli) cells: Vec<Cell>,
}

/// An answer that is another.
#[derive(Debug)]
pub(in crate::cli) struct Cell {
    /// None where the answer is the same for another reason.
    pub(in crate::cli) flip: Option<Flip>,
    /// The policies that determine the new answer; where none does, those that determined the old one.
    pub(in crate::cli) policies: Vec<String>,
    pub(in crate::cli) example: Example,
    /// What changes, for people.
    pub(in crate::cli) sentence: String,
}

/// Asks the table of the tests of both. None when they have no table.
///
/// # Errors
/// What is wrong with its definition.
pub(in crate::cli) fn between(old: &Tests, new: &Tests) -> miette::Result<Option<Between>> {
    let Some(bytes) = new.bytes(MATRIX) else { return Ok(None) };
    let before = Table::read(old, bytes)?;
    let table = Table::read(new, bytes)?;
    let answers = table.rows().len().saturating_mul(table.callers().len());
    let cells = changes(&before.text(), &table).into_iter().filter_map(|change| cell(change, &table)).collect();
    Ok(Some(Between { answers, cells }))
}

fn cell(change: Change, table: &Table) -> Option<Cell> {
    let sentence = change.to_string();
    // Both have the same rows and callers.
    let Change::Answer { caller, request, before, now } = change else { return None };
    let row = table.rows().iter().find(|row| row.name == request)?;
    let principal = table.callers().iter().zip(&row.principals).find(|(name, _)| **name == caller).map(|(_, principal)| principal.clone());
    let example = Example { principal: principal.unwrap_or_default(), path: row.path.clone(), ..Example::default() };
    let by = now.by();
    let policies = if by.is_empty() { before.by() } else { by };
    Some(Cell { flip: flip(&before, &now), policies, example, sentence })
}

fn flip(before: &Answer, now: &Answer) -> Option<Flip> {
    match (before.allows(), now.allows()) {
        _ if now.failed() && !before.failed() => Some(Flip::NowErroring),
        (true, false) => Some(Flip::AllowToDeny),
        (false, true) => Some(Flip::DenyToAllow),
        (true, true) | (false, false) => None,
    }
}
