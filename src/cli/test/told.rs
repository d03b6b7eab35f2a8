//! What ran, told to people, programs and CI.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use serde_json::{Value, json};

use super::super::audit::one_line;
use super::super::output::visible;
use super::cases::Expected;
use super::coverage::Coverage;
use super::run::{Got, Near, Ran};
use crate::policy::{Clause, Met};

/// Everything that ran.
pub(in crate::cli) struct Told<'r> {
    pub ran: &'r [Ran],
    /// A path as the caller would type it.
    pub on_disk: &'r dyn Fn(&str) -> String,
}

impl Told<'_> {
    fn failed(&self) -> impl Iterator<Item = &Ran> {
        self.ran.iter().filter(|ran| !ran.passed())
    }

    /// How many passed and failed.
    pub fn counts(&self) -> (usize, usize) {
        let failed = self.failed().count();
        (self.ran.len().saturating_sub(failed), failed)
    }

    /// Every failure, and a last line that counts.
    pub fn human(&self) -> String {
        let mut text = String::new();
        for ran in self.failed() {
            let place = format!("{}:{}", (self.on_disk)(&ran.case.file), ran.case.line);
            let _ = writeln!(text, "\x1b[1;31mFAIL\x1b[0m {}: {}", visible(&place), one_line(&ran.case.name));
            text.push_str(&indent(&reason(ran)));
            text.push('\n');
        }
        let (passed, failed) = self.counts();
        let _ = match failed {
            0 => writeln!(text, "\x1b[1;32mok\x1b[0m: {passed} passed"),
            _ => writeln!(text, "\x1b[1;31mfailed\x1b[0m: {failed} failed, {passed} passed"),
        };
        text
    }

    /// For programs.
    pub fn json(&self, coverage: Option<&Coverage>) -> Value {
        let (passed, failed) = self.counts();
        let test = |ran: &Ran| {
            let Got { allow, by, reason, status, errors } = &ran.got;
            let clause = |clause: &Clause| json!({ "part": clause.part, "text": clause.text, "met": matches!(clause.met, Met::Yes) });
            let near = |near: &Near| {
                let clauses: Vec<_> = near.clauses.iter().map(clause).collect();
                json!({ "id": near.id, "effect": effect(near), "applies": near.applies, "clauses": clauses })
            };
            json!({
                "file": (self.on_disk)(&ran.case.file), "line": ran.case.line, "name": ran.case.name, "passed": ran.passed(),
                "expected": {
                    "decision": word(ran.case.expected.allow), "by": ran.case.expected.by, "reason": ran.case.expected.reason,
                    "status": ran.case.expected.status,
                },
                "got": { "decision": word(*allow), "by": by, "reason": reason, "status": status, "errors": errors },
                "differences": ran.differences, "nearest": ran.nearest.iter().map(near).collect::<Vec<_>>(),
            })
        };
        json!({
            "passed": passed, "failed": failed, "tests": self.ran.iter().map(test).collect::<Vec<_>>(),
            "coverage": coverage.map(Coverage::json),
        })
    }

    /// As CI systems read tests: a `testsuite` for each file. Without times, so that one run is like the next.
    pub fn junit(&self) -> String {
        let (_, failed) = self.counts();
        let mut files: BTreeMap<&str, Vec<&Ran>> = BTreeMap::new();
        self.ran.iter().for_each(|ran| files.entry(ran.case.file.as_str()).or_default().push(ran));
        let mut text = "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n".to_owned();
        let _ = writeln!(text, "<testsuites name=\"cedargate test\" tests=\"{}\" failures=\"{failed}\" errors=\"0\">", self.ran.len());
        for (file, ran) in files {
            let (file, failed) = (markup(&(self.on_disk)(file)), ran.iter().filter(|ran| !ran.passed()).count());
            let _ = writeln!(text, "  <testsuite name=\"{file}\" tests=\"{}\" failures=\"{failed}\" errors=\"0\">", ran.len());
            for ran in ran {
                let name = markup(&ran.case.name);
                let _ = write!(text, "    <testcase classname=\"{file}\" name=\"{name}\" file=\"{file}\" line=\"{}\"", ran.case.line);
                let _ = match ran.passed() {
                    true => writeln!(text, "/>"),
                    false => writeln!(
                        text,
                        ">\n      <failure message=\"{}\">{}</failure>\n    </testcase>",
                        markup(&ran.differences.join("; ")),
                        markup(&without_colour(&reason(ran)))
                    ),
                };
            }
            text.push_str("  </testsuite>\n");
        }
        text.push_str("</testsuites>\n");
        text
    }
}

/// Coverage as a table, and what is missing.
pub(in crate::cli) fn coverage(coverage: &Coverage) -> String {
    let mut text = String::new();
    for (id, seen) in coverage.policies() {
        let open = seen.conditions.iter().filter_map(|one| Some((one, one.missing()?)));
        let mut lines: Vec<String> = open.map(|(one, missing)| format!("{missing}: {} {}", one.part, one_line(&one.text))).collect();
        if seen.applied == 0 {
            lines.insert(0, "never applied".to_owned());
        }
        if !lines.is_empty() {
            let _ = writeln!(text, "\x1b[1m{}\x1b[0m", one_line(id));
            lines.iter().for_each(|line| text.push_str(&format!("  {line}\n")));
        }
    }
    let (applied, conditions, total) = (coverage.applied(), coverage.conditions(), coverage.total());
    let _ = writeln!(
        text,
        "coverage {}: {} of {} policies applied, {} of {} conditions were seen true and false",
        total.percent(),
        applied.seen,
        applied.of,
        conditions.seen,
        conditions.of
    );
    text
}

/// Why a test failed.
fn reason(ran: &Ran) -> String {
    let mut text = String::new();
    let _ = writeln!(text, "expected  {}", expectation(&ran.case.expected));
    let _ = writeln!(text, "got       {}", got(&ran.got));
    let _ = writeln!(text, "so        {}", one_line(&ran.differences.join("; ")));
    ran.got.errors.iter().for_each(|error| text.push_str(&format!("error     {}\n", one_line(error))));
    for near in &ran.nearest {
        let state = if near.applies { "applies" } else { "does not apply" };
        let _ = writeln!(text, "{} \x1b[1m{}\x1b[0m {state}", effect(near), one_line(&near.id));
        for Clause { part, text: clause, met } in &near.clauses {
            let (mark, why) = match (met, *part) {
                (Met::Failed(error), _) => ("!", format!(" fails: {}", one_line(error))),
                (Met::No, "unless") => ("x", " is the case".to_owned()),
                (Met::No, _) => ("x", " does not hold".to_owned()),
                (Met::Yes | Met::NotReached, _) => ("-", String::new()),
            };
            let part = if matches!(*part, "when" | "unless") { format!("{part} ") } else { String::new() };
            let _ = writeln!(text, "  {mark} {part}{}{why}", one_line(clause));
        }
    }
    text
}

fn expectation(expected: &Expected) -> String {
    let Expected { allow, by, among_others: _, reason, status, errors } = expected;
    let mut parts = vec![word(*allow).to_owned()];
    parts.extend(by.as_ref().filter(|by| !by.is_empty()).map(|by| format!("by {}", one_line(&by.join(", ")))));
    parts.extend(by.as_ref().filter(|by| by.is_empty() && !expected.among_others).map(|_| "by no policy".to_owned()));
    parts.extend(reason.map(str::to_owned));
    parts.extend(status.map(|status| status.to_string()));
    parts.extend(errors.filter(|errors| *errors > 0).map(|errors| format!("{errors} failing")));
    parts.join(", ")
}

fn got(got: &Got) -> String {
    let Got { allow, by, reason, status, errors: _ } = got;
    let by = if by.is_empty() { "by no policy".to_owned() } else { format!("by {}", one_line(&by.join(", "))) };
    // Asked in Cedar's own terms there is neither a reason code nor a status.
    if *status == 0 { format!("{}, {by}", word(*allow)) } else { format!("{}, {by}, {reason}, {status}", word(*allow)) }
}

fn effect(near: &Near) -> &'static str {
    if near.permits { "permit" } else { "forbid" }
}

fn word(allow: bool) -> &'static str {
    if allow { "allow" } else { "deny" }
}

fn indent(text: &str) -> String {
    text.lines().map(|line| format!("  {line}\n")).collect()
}

fn without_colour(text: &str) -> String {
    anstream::adapter::strip_str(text).to_string()
}

/// Text as text in XML and HTML: nothing of it is markup, nor a character that XML does not know.
pub(in crate::cli) fn markup(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in visible(text).chars() {
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            '\'' => out.push_str("&#39;"),
            '\u{fffe}' | '\u{ffff}' => out.push('\u{fffd}'),
            c => out.push(c),
        }
    }
    out
}
