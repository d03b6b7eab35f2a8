//! The records of the logs that match, one after the other, and what is said about the others.

use super::super::diagnostic::count;
use super::super::output::{self, visible};
use super::filter::Filter;
use super::write::Enough;
use super::{Input, Line};
use crate::audit::Entry;

/// Most malformed lines that are told one by one.
const TOLD: u64 = 50;
/// Longest message about one of them, in characters.
const MESSAGE_CHARS: usize = 200;

/// What was read.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Tally {
    /// Records.
    pub records: u64,
    /// Those that matched.
    pub matching: u64,
    /// Lines that begin as a record and are none.
    pub malformed: u64,
    /// Records that the log itself says were lost.
    pub lost: u64,
    /// Whether it was ended before the logs were.
    pub early: bool,
}

impl Tally {
    /// Says on standard error what whoever relies on the answer has to know.
    pub(super) fn tell(&self) {
        if self.malformed > 0 {
            output::stderr(&format!("warning: {} could not be read as a record\n", lines(self.malformed)));
        }
        if self.lost > 0 {
            output::stderr(&format!("warning: these logs say that {} lost\n", were(self.lost)));
        }
    }
}

/// `3 lines`.
pub(super) fn lines(number: u64) -> String {
    number_of(number, "line")
}

pub(in crate::cli) fn number_of(number: u64, noun: &str) -> String {
    count(usize::try_from(number).unwrap_or(usize::MAX), noun)
}

fn were(number: u64) -> String {
    format!("{} {}", number_of(number, "record"), if number == 1 { "was" } else { "were" })
}

/// Gives the records that match to `take`, until there are no more or it has [`Enough`].
///
/// # Errors
/// When a file cannot be read, and what else `take` says.
pub(super) fn matching(
    input: &Input,
    filter: &Filter,
    mut take: impl FnMut(&Entry, Line<'_>) -> miette::Result<()>,
) -> miette::Result<Tally> {
    let mut tally = Tally::default();
    let read = input.each(|line| {
        let entry = match Entry::parse(line.text) {
            Ok(entry) => entry,
            Err(error) => {
                malformed(&mut tally, line, &error.to_string());
                return Ok(());
            }
        };
        tally.records = tally.records.saturating_add(1);
        tally.lost = tally.lost.saturating_add(entry.dropped.as_ref().map_or(0, |dropped| dropped.count));
        if !filter.matches(&entry) {
            return Ok(());
        }
        tally.matching = tally.matching.saturating_add(1);
        take(&entry, line)
    });
    match read {
        Err(error) if error.is::<Enough>() => Ok(Tally { early: true, ..tally }),
        other => other.map(|_| tally),
    }
}

/// Says what is wrong with a line.
pub(super) fn malformed(tally: &mut Tally, line: Line<'_>, error: &str) {
    tally.malformed = tally.malformed.saturating_add(1);
    if tally.malformed <= TOLD {
        warn(line, error);
    }
    if tally.malformed == TOLD {
        output::stderr("warning: further such lines are only counted\n");
    }
}

/// Says something about a line.
pub(super) fn warn(line: Line<'_>, what: &str) {
    // serde_json counts lines too, and there is but one.
    let (what, column) = what.rsplit_once(" at line 1 column ").unwrap_or((what, "1"));
    let what: String = what.chars().take(MESSAGE_CHARS).collect();
    let file = one_line(&line.file.display().to_string());
    output::stderr(&format!("{file}:{}:{}: warning: not a record: {}\n", line.place.1, one_line(column), one_line(&what)));
}

/// Text of a log for a place in a line of the terminal: nothing in it can begin a line, move the cursor or change colours.
pub(in crate::cli) fn one_line(text: &str) -> String {
    visible(text).replace(['\n', '\t'], " ")
}
