//! Output of any length: buffered, and given up as soon as nobody reads it any more.

use std::fs::{self, File};
use std::io::{self, BufWriter, ErrorKind, IsTerminal as _, Write};
use std::path::{Path, PathBuf};

use miette::{Diagnostic, IntoDiagnostic as _, WrapErr as _, miette};
use thiserror::Error;

use super::super::output;
use super::Input;

/// The end of the work before the end of the logs: all that was wanted is there, or its reader went away. Not a failure.
#[derive(Debug, Error)]
#[error("enough")]
pub(super) struct Enough;

impl Diagnostic for Enough {}

/// Where lines go.
pub(super) struct Output {
    stream: Box<dyn Write>,
    /// Each line goes at once: somebody watches.
    eager: bool,
    /// The file in the making and the one it shall be.
    file: Option<(PathBuf, PathBuf)>,
}

impl Output {
    /// Standard output, for text whose styles are dropped where there is no colour.
    pub(super) fn styled(input: &Input) -> Self {
        Self { stream: Box::new(BufWriter::new(anstream::stdout())), eager: is_watched(input), file: None }
    }

    /// Standard output, for data: every byte as it is.
    pub(super) fn data(input: &Input) -> Self {
        Self { stream: Box::new(BufWriter::with_capacity(1 << 16, io::stdout())), eager: is_watched(input), file: None }
    }

    /// A file, which is there when [`Self::finish`] has been called and not before. None of the logs that are read.
    pub(super) fn file(path: &Path, input: &Input) -> miette::Result<Self> {
        let failed = || format!("`{}` cannot be written", path.display());
        let real = fs::canonicalize(path).ok();
        if real.is_some() && input.files.iter().any(|file| fs::canonicalize(file).ok() == real) {
            return Err(miette!(help = "a log is evidence: write to another file", "`{}` is one of the logs", path.display()));
        }
        // A pipe or a device is not replaced by a file.
        let special = fs::metadata(path).is_ok_and(|metadata| !metadata.is_file());
        let (made, file) = if special {
            (path.to_owned(), None)
        } else {
            let name = path.file_name().unwrap_or_default().to_string_lossy();
            let temporary = path.with_file_name(format!(".{name}.{}", std::process::id()));
            (temporary.clone(), Some((temporary, path.to_owned())))
        };
        let stream = if special { fs::OpenOptions::new().write(true).open(&made) } else { File::create(&made) };
        let stream = stream.into_diagnostic().wrap_err_with(failed)?;
        Ok(Self { stream: Box::new(BufWriter::with_capacity(1 << 16, stream)), eager: false, file })
    }

    /// Writes a piece.
    ///
    /// # Errors
    /// [`Enough`] when the reader went away; else what went wrong.
    pub(super) fn write(&mut self, text: &str) -> miette::Result<()> {
        let written = self.stream.write_all(text.as_bytes());
        let written = if self.eager { written.and_then(|()| self.stream.flush()) } else { written };
        told(written)
    }

    /// Writes what is left.
    pub(super) fn finish(mut self) -> miette::Result<()> {
        forgive(told(self.stream.flush()))?;
        if let Some((made, path)) = self.file.take() {
            let moved = fs::rename(&made, &path).into_diagnostic();
            moved.wrap_err_with(|| format!("`{}` cannot be written", path.display()))?;
        }
        Ok(())
    }
}

impl Drop for Output {
    fn drop(&mut self) {
        if let Some((made, _)) = &self.file {
            // Nothing to say beyond the error that led here.
            drop(fs::remove_file(made));
        }
    }
}

fn told(written: io::Result<()>) -> miette::Result<()> {
    match written {
        Err(error) if error.kind() == ErrorKind::BrokenPipe => Err(Enough.into()),
        other => other.into_diagnostic().wrap_err("the output cannot be written"),
    }
}

/// The same where nothing comes after it.
///
/// # Errors
/// All but [`Enough`].
pub(super) fn forgive(result: miette::Result<()>) -> miette::Result<()> {
    match result {
        Err(error) if error.is::<Enough>() => Ok(()),
        other => other,
    }
}

/// Whether somebody looks at a log as it grows.
fn is_watched(input: &Input) -> bool {
    is_terminal() || input.files.iter().any(|file| file == Path::new("-"))
}

/// Whether standard output is a terminal.
pub(super) fn is_terminal() -> bool {
    io::stdout().is_terminal()
}

/// A line of JSON that means the same and cannot steer a terminal: what JSON allows as it is, is escaped.
pub(super) fn harmless(line: &str) -> String {
    let mut out = String::with_capacity(line.len());
    for c in line.chars() {
        if output::visible(c.encode_utf8(&mut [0; 4])).starts_with(c) {
            out.push(c);
        } else if c.is_ascii_whitespace() {
            // Only between values: in a string JSON has it escaped already.
            out.push(' ');
        } else {
            // All of these are below U+10000, where one escape is one character.
            out.push_str(&format!("\\u{:04x}", u32::from(c)));
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::harmless;

    #[test]
    fn a_line_on_a_terminal_means_the_same_and_steers_nothing() {
        let line = "{\"a\":\"x\u{7f}\u{9b}31m\u{202e}y\u{2067}\u{61c}\",\r\"b\":\"ä🙂\"}";
        let shown = harmless(line);
        assert_eq!(shown, r#"{"a":"x\u007f\u009b31m\u202ey\u2067\u061c", "b":"ä🙂"}"#);
        let value = |text: &str| serde_json::from_str::<serde_json::Value>(text).unwrap();
        assert_eq!(value(&shown), value(line));
    }
}
