//! Decision logs, line by line: any number of files of any size, one line in memory at a time.

use std::fs::File;
use std::io::{self, BufRead as _, BufReader, IsTerminal as _, Read};
use std::path::{Path, PathBuf};

use indicatif::{ProgressBar, ProgressStyle};
use miette::{IntoDiagnostic as _, WrapErr as _, miette};

use super::super::output;

/// How the lines of records begin. Under Spin other output may stand between them.
const START: &str = r#"{"v":"#;
/// Longest line that is looked at, in bytes: far more than any record has.
pub(super) const LINE_BYTES: u64 = 4 * 1024 * 1024;

/// The logs of one invocation.
#[derive(Debug, clap::Args)]
pub struct Input {
    /// Decision logs, one record on each line; `-` is standard input
    #[arg(value_name = "FILE", required = true)]
    pub files: Vec<PathBuf>,
    /// Show no progress
    #[arg(long, short)]
    pub quiet: bool,
}

/// A file, by its number among those that are named, and a line of it, from 1.
pub type Place = (usize, u64);

/// One line that looks like a record.
#[derive(Debug, Clone, Copy)]
pub struct Line<'a> {
    /// The file.
    pub file: &'a Path,
    /// Where it stands.
    pub place: Place,
    /// The line, without its end.
    pub text: &'a str,
}

impl Input {
    /// Gives every line that looks like a record to `take`, in order. What lies between them is passed over, and counted:
    /// the answer is how many lines that were.
    ///
    /// # Errors
    /// When a file cannot be read, and what `take` says.
    pub fn each(&self, mut take: impl FnMut(Line<'_>) -> miette::Result<()>) -> miette::Result<u64> {
        let bar = self.bar();
        let mut passed = 0_u64;
        for (index, file) in self.files.iter().enumerate() {
            let reader = open(file)?;
            passed = passed.saturating_add(lines(reader, (index, file), &bar, &mut take)?);
        }
        bar.finish_and_clear();
        Ok(passed)
    }

    /// A bar over the bytes of all files, on a terminal.
    fn bar(&self) -> ProgressBar {
        if self.quiet || !output::stderr_is_terminal() {
            return ProgressBar::hidden();
        }
        let sizes: Option<Vec<u64>> = self.files.iter().map(|file| std::fs::metadata(file).ok().map(|meta| meta.len())).collect();
        let bar = match sizes {
            Some(sizes) => ProgressBar::new(sizes.iter().sum()),
            None => ProgressBar::new_spinner(),
        };
        if let Ok(style) = ProgressStyle::with_template("{bar:30} {bytes}/{total_bytes}, {eta} left") {
            bar.set_style(style);
        }
        bar
    }
}

/// Whether a line looks like a record, also when a collector put its members into another order.
pub(super) fn is_record(text: &str) -> bool {
    text.starts_with(START) || (text.starts_with('{') && [r#""v""#, r#""policy_digest""#].iter().all(|name| text.contains(name)))
}

fn open(file: &Path) -> miette::Result<Box<dyn Read>> {
    if file == Path::new("-") {
        if io::stdin().is_terminal() {
            return Err(miette!(help = "pipe a log into it, or name files", "standard input is a terminal"));
        }
        return Ok(Box::new(io::stdin().lock()));
    }
    let opened = File::open(file).into_diagnostic().wrap_err_with(|| format!("could not read {}", file.display()))?;
    Ok(Box::new(opened))
}

fn lines(
    reader: Box<dyn Read>,
    (index, file): (usize, &Path),
    bar: &ProgressBar,
    take: &mut impl FnMut(Line<'_>) -> miette::Result<()>,
) -> miette::Result<u64> {
    let mut reader = BufReader::with_capacity(1 << 18, reader);
    let (mut number, mut passed) = (0_u64, 0_u64);
    let mut bytes = Vec::new();
    loop {
        bytes.clear();
        let read = (&mut reader).take(LINE_BYTES).read_until(b'\n', &mut bytes);
        let read = read.into_diagnostic().wrap_err_with(|| format!("could not read {}", file.display()))?;
        if read == 0 {
            return Ok(passed);
        }
        bar.inc(u64::try_from(read).unwrap_or(0));
        number = number.saturating_add(1);
        // What is no text is no record, but shall be told of as a line: whoever reads it says so.
        let text = String::from_utf8_lossy(&bytes);
        let text = text.trim_end_matches(['\n', '\r']);
        if is_record(text) {
            take(Line { file, place: (index, number), text })?;
        } else if !text.is_empty() {
            passed = passed.saturating_add(1);
        }
    }
}
