//! From other libraries' errors to [`Problem`], and the advice on a misspelt name.

use std::collections::BTreeMap;
use std::ops::Range;

use cedar_policy::ffi::DetailedError;

use crate::bundle::{Bundle, Problem, Report};

/// The text of a file; a file that is not UTF-8 is a problem.
pub(super) fn text<'b>(bundle: &'b Bundle, file: &str, report: &mut Report) -> Option<&'b str> {
    match std::str::from_utf8(bundle.get(file)?) {
        Ok(text) => Some(text),
        Err(error) => {
            let at = error.valid_up_to();
            report.add(Problem::new(file, "bundle.not_utf8", "the file is not UTF-8 text").at(Some(at..at.saturating_add(1))));
            None
        }
    }
}

/// A Cedar error, and those that came with it, as problems of `file`.
pub(super) fn cedar(file: &str, code: &'static str, error: impl Into<DetailedError>, report: &mut Report) {
    let mut waiting = vec![error.into()];
    while let Some(error) = waiting.pop() {
        report.add(problem(file, code, &error));
        waiting.extend(error.related);
    }
}

/// The first problem of a text that cannot be read as policies or schema.
#[cfg(feature = "cli")]
pub(crate) fn syntax(file: &str, code: &'static str, error: impl Into<DetailedError>) -> Problem {
    problem(file, code, &error.into())
}

fn problem(file: &str, code: &'static str, error: &DetailedError) -> Problem {
    let first = error.source_locations.first();
    let mut problem = Problem::new(file, code, error.message.clone()).at(first.map(|label| label.loc.start..label.loc.end));
    // What the parser expected instead is only in the label.
    problem.help = error.help.clone().or_else(|| first.and_then(|label| label.label.clone()));
    problem
}

/// Collects problems that Cedar reports once for every kind of request, and tells each only once.
#[derive(Debug, Default)]
pub(super) struct Once {
    seen: BTreeMap<Place, (Problem, usize)>,
}

/// File, span and advice: problems that share them are one.
type Place = (String, usize, usize, Option<String>);

impl Once {
    /// Adds an error of `file`.
    pub(super) fn add(&mut self, file: &str, code: &'static str, error: impl Into<DetailedError>) {
        let found = problem(file, code, &error.into());
        let span = found.span.clone().unwrap_or(0..0);
        let (kept, count) =
            self.seen.entry((file.to_owned(), span.start, span.end, found.help.clone())).or_insert_with(|| (found.clone(), 0));
        *count = count.saturating_add(1);
        // Cedar's order is that of a hash map: keep the same one of them every time.
        if found.message < kept.message {
            *kept = found;
        }
    }

    /// Reports what was collected.
    pub(super) fn report(self, report: &mut Report) {
        for (mut problem, count) in self.seen.into_values() {
            if let Some(others @ 1..) = count.checked_sub(1) {
                let plural = if others == 1 { "" } else { "s" };
                problem.message = format!("{} (and {others} more problem{plural} here)", problem.message);
            }
            report.add(problem);
        }
    }
}

/// The place of `needle` in `text`.
pub(super) fn find(text: &str, needle: &str) -> Option<Range<usize>> {
    let start = text.find(needle)?;
    Some(start..start.saturating_add(needle.len()))
}
