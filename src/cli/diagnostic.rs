//! Problems and errors as people, editors and programs read them.
//!
//! On a terminal a problem is drawn with its source; elsewhere (a CI log, a file, an editor) it is one line that begins with
//! `file:line:column:`, and help below it.

use std::fmt::{self, Write as _};
use std::ops::Range;
use std::path::{Path, PathBuf};

use miette::{
    Diagnostic, LabeledSpan, MietteError, MietteHandler, MietteHandlerOpts, MietteSpanContents, ReportHandler as _, SourceCode, SourceSpan,
    SpanContents,
};
use serde::Serialize;

use super::output::{self, visible};
use super::position::{self, Position};
use super::{Exit, private_key};
use crate::bundle::{Bundle, Problem, Report};

/// Longest line, in bytes, that is drawn: a key set or entities file may be one line of a megabyte.
const DRAWN_LINE_BYTES: usize = 400;

/// Most lines that are marked.
const MARKED_LINES: usize = 8;

const ERROR: &str = "\x1b[1;31merror\x1b[0m";
const WARNING: &str = "\x1b[1;33mwarning\x1b[0m";

/// Policies or keys that are not valid, with all their problems. A subcommand that ends with it exits with [`Exit::Invalid`].
#[derive(Debug)]
pub struct Invalid {
    policies: PathBuf,
    keys: PathBuf,
    bundle: Bundle,
    report: Report,
    severity: Severity,
}

/// Something kept that is not what its digest says. A subcommand that ends with it exits with [`Exit::VerificationFailed`].
#[derive(Debug)]
pub(super) struct Altered {
    message: String,
    help: &'static str,
}

impl Altered {
    /// What is altered, and what to do about it.
    pub(super) fn new(message: impl Into<String>, help: &'static str) -> Self {
        Self { message: message.into(), help }
    }
}

impl fmt::Display for Altered {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for Altered {}

impl Diagnostic for Altered {
    fn help<'a>(&'a self) -> Option<Box<dyn fmt::Display + 'a>> {
        Some(Box::new(self.help))
    }
}

/// How much a problem weighs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Severity {
    /// It cannot be sealed.
    Error,
    /// It can, and should be looked at.
    Warning,
}

/// One problem as `check --format json` writes it. Lines and columns count from 1, columns in characters; the end is the
/// place after the last character.
#[derive(Debug, Serialize)]
pub(super) struct JsonProblem<'a> {
    pub file: String,
    pub line: Option<usize>,
    pub column: Option<usize>,
    pub end_line: Option<usize>,
    pub end_column: Option<usize>,
    pub severity: Severity,
    pub code: &'a str,
    pub message: &'a str,
    pub help: Option<&'a str>,
}

impl Invalid {
    /// The problems `report` of `bundle`, which was read from these two folders.
    pub fn new(policies: &Path, keys: &Path, bundle: Bundle, report: Report) -> Self {
        Self { policies: policies.to_owned(), keys: keys.to_owned(), bundle, report, severity: Severity::Error }
    }

    /// The same as something to look at, and no reason to fail.
    pub(super) fn warnings(self) -> Self {
        Self { severity: Severity::Warning, ..self }
    }

    /// Says it on standard error, where there is something to say.
    pub(super) fn tell(&self) {
        if !self.report.is_empty() {
            output::stderr(&self.render(output::stderr_is_terminal()));
        }
    }

    fn mark(&self) -> &'static str {
        match self.severity {
            Severity::Error => ERROR,
            Severity::Warning => WARNING,
        }
    }

    /// A path of the bundle as the caller would type it.
    fn on_disk(&self, path: &str) -> String {
        let real = match path.split_once('/') {
            Some(("policies", rest)) => self.policies.join(rest),
            Some(("keys", rest)) => self.keys.join(rest),
            None if path == "policies" => self.policies.clone(),
            None if path == "keys" => self.keys.clone(),
            _ => return path.to_owned(),
        };
        real.display().to_string()
    }

    /// The problems for programs.
    pub(super) fn json(&self) -> Vec<JsonProblem<'_>> {
        self.report.problems().into_iter().map(|problem| self.json_problem(problem)).collect()
    }

    fn json_problem<'a>(&self, problem: &'a Problem) -> JsonProblem<'a> {
        let places = self.places(problem);
        JsonProblem {
            file: self.on_disk(&problem.file),
            line: places.map(|(start, _)| start.line),
            column: places.map(|(start, _)| start.column),
            end_line: places.map(|(_, end)| end.line),
            end_column: places.map(|(_, end)| end.column),
            severity: self.severity,
            code: problem.code,
            message: &problem.message,
            help: problem.help.as_deref(),
        }
    }

    fn places(&self, problem: &Problem) -> Option<(Position, Position)> {
        let bytes = self.bundle.get(&problem.file)?;
        let span = position::clamp(bytes, problem.span.as_ref()?);
        Some((Position::of(bytes, span.start), Position::of(bytes, span.end)))
    }

    /// `file:line:column`, as far as it is known.
    fn place(&self, problem: &Problem) -> String {
        let file = visible(&self.on_disk(&problem.file));
        self.places(problem).map_or_else(|| file.clone(), |(start, _)| format!("{file}:{}:{}", start.line, start.column))
    }

    /// All problems and a last line that counts them.
    fn render(&self, drawn: bool) -> String {
        let mut text = String::new();
        let handler = drawn.then(handler);
        for problem in self.report.problems() {
            let block = match &handler {
                Some(handler) => draw(handler, &self.drawing(problem)),
                None => None,
            };
            let block = block.unwrap_or_else(|| self.line(problem));
            text.push_str(&block);
        }
        let _ = writeln!(text, "{}: {self}", self.mark());
        text
    }

    fn line(&self, problem: &Problem) -> String {
        let mut text = format!("{}: {}[{}]: {}\n", self.place(problem), self.mark(), problem.code, indented(&visible(&problem.message)));
        if let Some(help) = &problem.help {
            let _ = writeln!(text, "    help: {}", indented(&visible(help)));
        }
        text
    }

    fn drawing(&self, problem: &Problem) -> Drawing {
        let snippet = self.snippet(problem);
        let message = visible(&problem.message);
        Drawing {
            // Without a snippet nothing else would say which file it is.
            message: if snippet.is_some() { message } else { format!("{}: {message}", self.place(problem)) },
            code: problem.code,
            severity: self.severity,
            help: problem.help.as_deref().map(visible),
            snippet,
        }
    }

    fn snippet(&self, problem: &Problem) -> Option<(Source, LabeledSpan)> {
        let bytes = self.bundle.get(&problem.file)?;
        let span = position::clamp(bytes, problem.span.as_ref()?);
        let text = std::str::from_utf8(bytes).ok().filter(|text| !text.is_empty())?;
        // SECURITY: a private key that strayed into `keys/` must not be shown in a terminal or a CI log, not even a line of it.
        if problem.file.starts_with("keys/") && may_hold_a_secret(text) {
            return None;
        }
        // Around the span one line of context is drawn on either side.
        let around = span.start.saturating_sub(DRAWN_LINE_BYTES)..span.end.saturating_add(DRAWN_LINE_BYTES).min(bytes.len());
        if position::longest_line(bytes, &around) > DRAWN_LINE_BYTES {
            return None;
        }
        let span = shortened(text, span);
        let source = Source { name: visible(&self.on_disk(&problem.file)), text: visible(text) };
        Some((source, LabeledSpan::new_primary_with_span(None, span)))
    }
}

/// A span over many lines becomes its first line: a problem of a whole policy should not fill the screen.
fn shortened(text: &str, span: Range<usize>) -> Range<usize> {
    let marked = text.get(span.clone()).unwrap_or_default();
    match marked.split_once('\n') {
        Some((first, _)) if marked.lines().count() > MARKED_LINES => span.start..span.start.saturating_add(first.len()),
        _ => span,
    }
}

/// Whether the file holds a private key, or is a JSON file nobody can tell it of.
fn may_hold_a_secret(text: &str) -> bool {
    let unreadable_json = text.trim_start().starts_with('{') && serde_json::from_str::<serde::de::IgnoredAny>(text).is_err();
    unreadable_json || private_key::find(text.as_bytes()).is_some()
}

impl fmt::Display for Invalid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let problems = self.report.problems();
        let mut files: Vec<_> = problems.iter().map(|problem| &problem.file).collect();
        files.dedup();
        write!(f, "{} in {}", count(problems.len(), "problem"), count(files.len(), "file"))
    }
}

impl std::error::Error for Invalid {}

impl Diagnostic for Invalid {}

/// `1 policy`, `2 policies`.
pub(super) fn count(number: usize, noun: &str) -> String {
    match (number, noun.strip_suffix('y')) {
        (1, _) => format!("1 {noun}"),
        (_, Some(stem)) => format!("{number} {stem}ies"),
        (_, None) => format!("{number} {noun}s"),
    }
}

/// Says what went wrong on standard error, and which exit code that is.
pub fn show(error: &miette::Report) -> Exit {
    let drawn = output::stderr_is_terminal();
    if let Some(invalid) = error.downcast_ref::<Invalid>() {
        output::stderr(&invalid.render(drawn));
        return Exit::Invalid;
    }
    let text = drawn.then(|| draw(&handler(), error.as_ref())).flatten();
    output::stderr(&text.unwrap_or_else(|| plain(error)));
    if error.downcast_ref::<Altered>().is_some() { Exit::VerificationFailed } else { Exit::Failed }
}

/// An error that is not about a place in a file, for a stream that is no terminal.
fn plain(error: &miette::Report) -> String {
    let mut text = format!("{ERROR}: {}\n", indented(&visible(&error.to_string())));
    for cause in error.chain().skip(1) {
        let _ = writeln!(text, "    because: {}", indented(&visible(&cause.to_string())));
    }
    if let Some(help) = error.help() {
        let _ = writeln!(text, "    help: {}", indented(&visible(&help.to_string())));
    }
    text
}

fn indented(text: &str) -> String {
    text.trim_end().replace('\n', "\n    ")
}

fn handler() -> MietteHandler {
    // Always with colour: the stream drops it where there is none.
    MietteHandlerOpts::new().color(true).terminal_links(false).break_words(false).build()
}

/// `None` when miette cannot draw it, so that there always is another way to say it.
fn draw(handler: &MietteHandler, diagnostic: &dyn Diagnostic) -> Option<String> {
    struct Drawn<'a>(&'a MietteHandler, &'a dyn Diagnostic);
    impl fmt::Display for Drawn<'_> {
        fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            self.0.debug(self.1, f)
        }
    }
    let mut text = String::new();
    writeln!(text, "{}", Drawn(handler, diagnostic)).ok().map(|()| text)
}

/// A file's text for miette, which by itself counts columns in bytes.
#[derive(Debug)]
struct Source {
    name: String,
    text: String,
}

impl SourceCode for Source {
    fn read_span<'a>(&'a self, span: &SourceSpan, before: usize, after: usize) -> Result<Box<dyn SpanContents<'a> + 'a>, MietteError> {
        let contents = self.text.read_span(span, before, after)?;
        // With lines of context the contents start at the start of a line.
        let column = if before == 0 { Position::of(self.text.as_bytes(), span.offset()).column.saturating_sub(1) } else { 0 };
        let (data, shown, line, lines) = (contents.data(), *contents.span(), contents.line(), contents.line_count());
        Ok(Box::new(MietteSpanContents::new_named(self.name.clone(), data, shown, line, column, lines)))
    }
}

/// A [`Problem`] for miette.
#[derive(Debug)]
struct Drawing {
    message: String,
    code: &'static str,
    severity: Severity,
    help: Option<String>,
    snippet: Option<(Source, LabeledSpan)>,
}

impl fmt::Display for Drawing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for Drawing {}

impl Diagnostic for Drawing {
    fn code<'a>(&'a self) -> Option<Box<dyn fmt::Display + 'a>> {
        Some(Box::new(self.code))
    }

    fn severity(&self) -> Option<miette::Severity> {
        Some(match self.severity {
            Severity::Error => miette::Severity::Error,
            Severity::Warning => miette::Severity::Warning,
        })
    }

    fn help<'a>(&'a self) -> Option<Box<dyn fmt::Display + 'a>> {
        let help = self.help.as_ref()?;
        Some(Box::new(help))
    }

    fn source_code(&self) -> Option<&dyn SourceCode> {
        let (source, _) = self.snippet.as_ref()?;
        Some(source)
    }

    fn labels(&self) -> Option<Box<dyn Iterator<Item = LabeledSpan> + '_>> {
        let (_, label) = self.snippet.as_ref()?;
        Some(Box::new(std::iter::once(label.clone())))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn invalid(file: &str, text: &str, needle: &str) -> Invalid {
        let mut bundle = Bundle::default();
        bundle.insert(file, text);
        let start = text.find(needle).unwrap();
        let mut report = Report::default();
        report.add(Problem::new(file, "policy.syntax", "unexpected `x`").at(Some(start..start + needle.len())).help("remove it"));
        report.add(Problem::new("keys", "keys.missing", "`keys/issuers.toml` is missing"));
        Invalid::new(Path::new("there/policies"), Path::new("keys"), bundle, report)
    }

    fn no_colour(text: &str) -> String {
        anstream::adapter::strip_str(text).to_string()
    }

    #[test]
    fn off_a_terminal_each_problem_is_one_line_an_editor_can_follow() {
        let shown = no_colour(&invalid("policies/a.cedar", "// Zoë 🙂\n\"é\" x;\n", "x").render(false));
        assert_eq!(
            shown,
            "keys: error[keys.missing]: `keys/issuers.toml` is missing\n\
             there/policies/a.cedar:2:5: error[policy.syntax]: unexpected `x`\n    help: remove it\n\
             error: 2 problems in 2 files\n"
        );
    }

    #[test]
    fn on_a_terminal_the_source_is_drawn() {
        let shown = no_colour(&invalid("policies/a.cedar", "// one\n\"é\" x;\n", "x").render(true));
        for part in
            ["policy.syntax", "unexpected `x`", "there/policies/a.cedar:2:5", "\"é\" x;", "help: remove it", "2 problems in 2 files"]
        {
            assert!(shown.contains(part), "{part} in\n{shown}");
        }
    }

    #[test]
    fn json_has_lines_and_columns_in_characters() {
        let invalid = invalid("policies/a.cedar", "// Zoë 🙂\n\"é\" xyz;\n", "xyz");
        let json = serde_json::to_value(invalid.json()).unwrap();
        assert_eq!(
            json,
            serde_json::json!([
                {"file": "keys", "line": null, "column": null, "end_line": null, "end_column": null,
                 "severity": "error", "code": "keys.missing", "message": "`keys/issuers.toml` is missing", "help": null},
                {"file": "there/policies/a.cedar", "line": 2, "column": 5, "end_line": 2, "end_column": 8,
                 "severity": "error", "code": "policy.syntax", "message": "unexpected `x`", "help": "remove it"},
            ])
        );
    }

    #[test]
    fn a_private_key_is_never_drawn_and_a_public_one_is() {
        let private = r#"{"keys":[{"kty":"OKP","x":"AA","d":"SECRET"}]}"#;
        for secret in [private, "{ \"kty\": \"OKP\", \"d\": \"SECRET\",", "-----BEGIN PRIVATE KEY-----\nSECRET \"x\"\n"] {
            let shown = invalid("keys/a.json", secret, if secret.contains("kty") { "kty" } else { "x" }).render(true);
            assert!(!shown.contains("SECRET"), "{shown}");
            assert!(shown.contains("keys/a.json:"), "{shown}");
        }
        let public = private.replace(r#","d":"SECRET""#, "");
        assert!(no_colour(&invalid("keys/a.json", &public, "kty").render(true)).contains("OKP"));
    }

    #[test]
    fn a_line_of_a_megabyte_is_not_drawn() {
        let text = format!("{}x{}", "a".repeat(500_000), "b".repeat(500_000));
        let shown = invalid("policies/entities.json", &text, "x").render(true);
        assert!(shown.len() < 2000);
        assert!(no_colour(&shown).contains("entities.json:1:500001"), "{shown}");
    }

    #[test]
    fn a_whole_policy_is_marked_by_its_first_line() {
        let text = format!("// before\n@id(\"a\")\n{}last;\n", "  clause,\n".repeat(200));
        let (start, end) = (text.find('@').unwrap(), text.len() - 1);
        assert_eq!(&text[shortened(&text, start..end)], "@id(\"a\")");
        assert_eq!(shortened(&text, start..start + 20), start..start + 20);
        let shown = invalid("policies/a.cedar", &text, &text[start..end]).render(true);
        assert!(shown.lines().count() < 25, "{shown}");
    }

    #[test]
    fn what_a_file_holds_cannot_steer_the_terminal() {
        let shown = invalid("policies/a.cedar", "x \x1b[2J\u{202e}", "x").render(true);
        assert!(!shown.contains("\x1b[2J") && !shown.contains('\u{202e}'));
    }

    #[test]
    fn an_error_says_why_and_what_to_do() {
        let error = miette::miette!(help = "name it with --keys", "the folder `keys` does not exist").wrap_err("could not read the keys");
        let shown = no_colour(&plain(&error));
        assert!(shown.starts_with("error: could not read the keys\n    because: the folder `keys` does not exist\n"), "{shown}");
        assert!(shown.contains("help: name it with --keys"), "{shown}");
    }

    #[test]
    fn counting_knows_its_plurals() {
        assert_eq!(
            [count(0, "policy"), count(1, "policy"), count(1, "key"), count(2, "file")],
            ["0 policies", "1 policy", "1 key", "2 files"]
        );
    }
}
