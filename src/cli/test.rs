//! `cedargate test`: questions with the answers that are expected, asked of the policies.

mod asking;
mod callers;
mod cases;
mod cedar;
mod coverage;
mod folder;
mod html;
mod run;
#[cfg(test)]
mod tests;
mod told;
mod yaml;

use std::path::{Path, PathBuf};

use miette::{IntoDiagnostic as _, WrapErr as _, miette};

use super::diagnostic::count;
use super::files::Folders;
use super::output::{self, Format};
use super::{Exit, exit};
pub(super) use asking::{Circumstances, Question};
pub(super) use callers::Caller;
pub(super) use cases::{Asked, Case};
use coverage::Coverage;
pub(super) use folder::{MATRIX, Tests};
pub(super) use run::{Answered, Got, answer, run as ask};
use told::Told;
pub(super) use yaml::{Members, Node, Source, Value};

const EXAMPLES: &str = r"
cedargate test
    every test in policies/tests/, and why one fails
cedargate test --filter documents --coverage
    some of them, and what of the policies they leave untested
cedargate test --fail-under 90 --junit report.xml
    for CI: fails when less than 90 % of the policies is tested";

/// Ask the policies what their tests ask, and compare the answers
///
/// Tests lie beside the policies, in policies/tests/*.yaml: a request in plain words, and whether it is allowed, by which policies.
/// Files *.json hold tests of Cedar's own command. docs/policy-tests.md has the format.
#[derive(Debug, clap::Args)]
#[command(after_help = exit::help(EXAMPLES, &[Exit::Ok, Exit::Failed, Exit::Invalid, Exit::TestsFailed]))]
pub struct TestArgs {
    #[command(flatten)]
    folders: Folders,
    /// Only tests with this in their name or in the name of their file
    #[arg(long, value_name = "TEXT")]
    filter: Option<String>,
    /// Also tell which policies never applied, and which conditions were never true or never false
    #[arg(long)]
    coverage: bool,
    /// Write the coverage of every policy and condition into an HTML page
    #[arg(long, value_name = "FILE")]
    coverage_html: Option<PathBuf>,
    /// Fail when fewer of a hundred policies and conditions are covered
    #[arg(long, value_name = "PERCENT", value_parser = clap::value_parser!(u8).range(0..=100))]
    fail_under: Option<u8>,
    /// Write the results into a JUnit XML file
    #[arg(long, value_name = "FILE")]
    junit: Option<PathBuf>,
    /// How the results are written: `json` is an object of {passed, failed, tests, coverage}
    #[arg(long, value_enum, default_value_t, hide_possible_values = true, value_name = "human|json")]
    format: Format,
}

/// Runs `cedargate test`.
///
/// # Errors
/// When a file cannot be read or written, there is no test, or policies, keys or tests are not valid.
pub fn run(args: &TestArgs) -> miette::Result<Exit> {
    let TestArgs { folders, filter, coverage, coverage_html, fail_under, junit, format } = args;
    let tests = Tests::read(folders)?;
    let mut cases = tests.cases()?;
    if cases.is_empty() {
        return Err(miette!(
            help = "write one into policies/tests/: docs/policy-tests.md shows how",
            "there are no tests in `{}`",
            folders.policies.join("tests").display()
        ));
    }
    if let Some(filter) = filter {
        cases.retain(|case| case.name.contains(filter) || case.file.contains(filter));
        if cases.is_empty() {
            return Err(miette!(
                help = "it is looked for in the names of tests and of their files",
                "no test has `{}` in its name",
                filter.escape_debug()
            ));
        }
    }
    let wanted = *coverage || coverage_html.is_some() || fail_under.is_some();
    let mut seen = wanted.then(|| Coverage::new(tests.gate.policy()));
    let ran: Vec<_> = cases.into_iter().map(|case| run::run(&tests.gate, case, seen.as_mut())).collect();
    let told = Told { ran: &ran, on_disk: &|file| tests.on_disk(file).display().to_string() };
    if let Some(file) = junit {
        write(file, &told.junit())?;
    }
    if let (Some(file), Some(seen)) = (coverage_html, &seen) {
        write(file, &html::page(seen))?;
    }
    output::stdout(&match (format, &seen) {
        (Format::Json, seen) => output::json(&told.json(seen.as_ref()))?,
        (Format::Human, Some(seen)) if *coverage => format!("{}\n{}", told.human(), told::coverage(seen)),
        (Format::Human, _) => told.human(),
    })?;
    let (_, failed) = told.counts();
    let mut exit = if failed == 0 { Exit::Ok } else { Exit::TestsFailed };
    if let (Some(least), Some(seen)) = (fail_under, &seen) {
        let total = seen.total();
        if total.thousandths() < usize::from(*least).saturating_mul(10) {
            output::stderr(&format!("error: coverage is {}, less than {least} %\n", total.percent()));
            exit = Exit::TestsFailed;
        }
    }
    Ok(exit)
}

/// How tests went.
pub(super) struct Went {
    passed: usize,
    pub failed: usize,
    /// Every failure, and a last line that counts.
    pub human: String,
}

impl Went {
    /// In a few words.
    pub fn summary(&self) -> String {
        match self.passed.saturating_add(self.failed) {
            0 => "no tests".to_owned(),
            tests => format!("{} of {} passed", self.passed, count(tests, "test")),
        }
    }
}

/// Runs all tests, of which there may be none.
///
/// # Errors
/// When they are not valid.
pub(super) fn all(tests: &Tests) -> miette::Result<Went> {
    let ran: Vec<_> = tests.cases()?.into_iter().map(|case| run::run(&tests.gate, case, None)).collect();
    let told = Told { ran: &ran, on_disk: &|file| tests.on_disk(file).display().to_string() };
    let (passed, failed) = told.counts();
    Ok(Went { passed, failed, human: told.human() })
}

fn write(file: &Path, text: &str) -> miette::Result<()> {
    std::fs::write(file, text).into_diagnostic().wrap_err_with(|| format!("`{}` cannot be written", file.display()))
}
