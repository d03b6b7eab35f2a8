//! The two streams, and colour decided for each of them.

use std::io::{self, IsTerminal as _, Write as _};

use anstream::ColorChoice;
use miette::{IntoDiagnostic as _, WrapErr as _};

/// When to use colour.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, clap::ValueEnum)]
pub enum Color {
    /// On a terminal that knows colour, unless `NO_COLOR` is set
    #[default]
    Auto,
    /// Always, also into a file
    Always,
    /// Never
    Never,
}

impl Color {
    /// Makes it the choice for both streams.
    pub(super) fn apply(self) {
        match self {
            Color::Auto => ColorChoice::Auto,
            Color::Always => ColorChoice::Always,
            Color::Never => ColorChoice::Never,
        }
        .write_global();
    }
}

/// How output that is data is written.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, clap::ValueEnum)]
pub enum Format {
    /// For people
    #[default]
    Human,
    /// For programs
    Json,
}

/// Writes to standard output. The styles in `text` are dropped where the stream has no colour.
///
/// # Errors
/// When the stream cannot be written, except that its reader went away (`cedargate reasons | head`): that is not an error.
pub fn stdout(text: &str) -> miette::Result<()> {
    let mut stream = anstream::stdout().lock();
    forgive(stream.write_all(text.as_bytes()).and_then(|()| stream.flush()))
        .into_diagnostic()
        .wrap_err("could not write to standard output")
}

/// Writes to standard error. There is nowhere left to say that it failed.
pub fn stderr(text: &str) {
    let mut stream = anstream::stderr().lock();
    let _ = stream.write_all(text.as_bytes()).and_then(|()| stream.flush());
}

/// A value as indented JSON with a line end.
///
/// # Errors
/// When it cannot be serialised.
pub fn json(value: &impl serde::Serialize) -> miette::Result<String> {
    let mut text = serde_json::to_string_pretty(value).into_diagnostic()?;
    text.push('\n');
    Ok(text)
}

/// Whether a person sits in front of standard error.
pub(super) fn stderr_is_terminal() -> bool {
    io::stderr().is_terminal()
}

fn forgive(result: io::Result<()>) -> io::Result<()> {
    match result {
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
        other => other,
    }
}

/// The same text with nothing in it that could move a terminal's cursor, change its colours or reorder what is read:
/// control characters and bidirectional overrides become marks. Every character keeps its number of bytes, so that spans stay right.
///
/// SECURITY: policies and keys may come from elsewhere; what `check` shows of them must not be able to hide a line of it.
pub(super) fn visible(text: &str) -> String {
    text.chars()
        .map(|c| match c {
            '\n' | '\t' => c,
            '\r' => ' ',
            '\0'..='\x1f' | '\x7f' => '?',
            '\u{80}'..='\u{9f}' | '\u{61c}' => '\u{bf}',
            '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}' => '\u{fffd}',
            other => other,
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reader_that_went_away_is_not_an_error() {
        assert!(forgive(Err(io::ErrorKind::BrokenPipe.into())).is_ok());
        assert!(forgive(Err(io::ErrorKind::StorageFull.into())).is_err());
        assert!(forgive(Ok(())).is_ok());
    }

    #[test]
    fn nothing_shown_can_steer_the_terminal_and_every_span_stays_right() {
        for hostile in ["\x1b[2J", "a\u{202e}b", "\u{9b}31m", "x\ry", "\u{2067}", "\u{61c}\u{200f}\u{2028}", "\x07\x7f\0"] {
            let shown = visible(hostile);
            assert_eq!(shown.len(), hostile.len(), "{hostile:?}");
            assert_eq!(shown.chars().count(), hostile.chars().count(), "{hostile:?}");
            assert!(!shown.chars().any(char::is_control), "{shown:?}");
        }
        assert_eq!(visible("permit (\n\tprincipal == \"Zoë 🙂\"\n);"), "permit (\n\tprincipal == \"Zoë 🙂\"\n);");
    }
}
