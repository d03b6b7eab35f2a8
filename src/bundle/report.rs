//! Problems of a bundle: where, what, and what to do.

use std::fmt;
use std::ops::Range;

/// One problem of one file. Messages are lower-case, without full stop, with user input in backticks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    /// The file's path in the bundle, or its folder when a file is missing.
    pub file: String,
    /// Where in the file, in bytes.
    pub span: Option<Range<usize>>,
    /// A stable dotted code, for example `policy.syntax`.
    pub code: &'static str,
    /// What is wrong.
    pub message: String,
    /// What to do about it.
    pub help: Option<String>,
}

impl Problem {
    /// A problem of a whole file.
    pub fn new(file: impl Into<String>, code: &'static str, message: impl Into<String>) -> Self {
        Self { file: file.into(), span: None, code, message: message.into(), help: None }
    }

    /// The same at a place in the file.
    #[must_use]
    pub fn at(mut self, span: Option<Range<usize>>) -> Self {
        self.span = span;
        self
    }

    /// The same with advice.
    #[must_use]
    pub fn help(mut self, help: impl Into<String>) -> Self {
        self.help = Some(help.into());
        self
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}: {}", self.file, self.code, self.message)
    }
}

/// All problems of a bundle, in the order of files and places.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Report {
    problems: Vec<Problem>,
}

impl Report {
    /// Adds a problem.
    pub fn add(&mut self, problem: Problem) {
        self.problems.push(problem);
    }

    /// Whether nothing is wrong.
    pub fn is_empty(&self) -> bool {
        self.problems.is_empty()
    }

    /// The problems, sorted by file and place.
    pub fn problems(&self) -> Vec<&Problem> {
        let mut sorted: Vec<_> = self.problems.iter().collect();
        sorted.sort_by_key(|p| (&p.file, p.span.as_ref().map(|s| s.start), p.code));
        sorted
    }
}

impl FromIterator<Problem> for Report {
    fn from_iter<T: IntoIterator<Item = Problem>>(problems: T) -> Self {
        Self { problems: problems.into_iter().collect() }
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.problems().into_iter().try_for_each(|p| writeln!(f, "{p}"))
    }
}
