//! The definition of the table, asked.

use std::fmt::Write as _;

use super::super::audit::one_line;
use super::super::test::{Caller, Circumstances, MATRIX, Members, Node, Question, Source, Tests, Value};
use crate::bundle::{Gate, Report};
use crate::policy::Verdict;

/// Every answer, in the order of the definition.
#[derive(Debug)]
pub(super) struct Table {
    comment: Vec<String>,
    callers: Vec<String>,
    rows: Vec<Row>,
}

/// One request, and the answers to its callers.
#[derive(Debug)]
pub(super) struct Row {
    pub(super) name: String,
    /// The decoded path that is asked for.
    pub(super) path: String,
    /// One for each caller.
    pub(super) answers: Vec<Answer>,
    /// Whom policies see in each of them.
    pub(super) principals: Vec<String>,
}

/// The answer in one cell, as the file has it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Answer(pub(super) String);

/// A row before it is asked.
struct Asked {
    name: String,
    question: Question,
}

impl Table {
    /// Reads the definition and asks.
    ///
    /// # Errors
    /// Everything that is wrong in it.
    pub(super) fn read(tests: &Tests, bytes: &[u8]) -> miette::Result<Self> {
        let mut report = Report::default();
        let shared = tests.callers(&mut report);
        let mut source = Source { file: MATRIX, report: &mut report };
        let (mut comment, mut callers, mut rows) = (vec![], vec![], vec![]);
        if let Some(root) = source.parse(bytes)
            && let Some(mut members) = Members::of(&root, "the file", &mut source)
        {
            members.version(&mut source);
            comment = members.take("comment").map_or(vec![], |node| comment_of(node, &mut source));
            let mut known = shared;
            if let Some(node) = members.take("define") {
                known.define(node, &mut source);
            }
            let defaults = members.take("defaults").and_then(|node| {
                let mut members = Members::of(node, "`defaults`", &mut source)?;
                let defaults = Circumstances::default().read(&mut members, &mut source);
                members.finish(&mut source);
                Some(defaults)
            });
            let defaults = defaults.unwrap_or_default();
            for (key, help) in [("callers", "`callers: [anonymous, alice]`"), ("requests", "`requests:`, and below it `- GET /health`")] {
                if members.take(key).is_none() {
                    source.problem(&(0..0), "test.none", format!("the file has no `{key}`"), format!("write {help}"));
                }
            }
            for node in members.take("callers").and_then(|node| source.list(node)).unwrap_or_default() {
                if let (Some(name), Some(caller)) = (source.text(node), known.read(node, &mut source)) {
                    unique(&name, callers.iter().map(|(name, _): &(String, Caller)| name), node, &mut source);
                    callers.push((name, caller));
                }
            }
            for node in members.take("requests").and_then(|node| source.list(node)).unwrap_or_default() {
                if let Some(row) = row(node, &defaults, &mut source) {
                    unique(&row.name, rows.iter().map(|row: &Asked| &row.name), node, &mut source);
                    rows.push(row);
                }
            }
            members.finish(&mut source);
        }
        tests.valid(report)?;
        let asked = |row: Asked| {
            let answers = callers.iter().map(|(_, caller)| answer(&tests.gate, caller, &row.question));
            let (answers, principals) = answers.unzip();
            let path = row.question.facts.as_ref().map(|facts| facts.path.decoded()).unwrap_or_default();
            Row { name: row.name, path, answers, principals }
        };
        let rows = rows.into_iter().map(asked).collect();
        Ok(Self { comment, rows, callers: callers.into_iter().map(|(name, _)| name).collect() })
    }

    pub(super) fn callers(&self) -> &[String] {
        &self.callers
    }

    pub(super) fn rows(&self) -> &[Row] {
        &self.rows
    }

    /// The file.
    pub(super) fn text(&self) -> String {
        let mut text = String::new();
        for comment in &self.comment {
            let _ = writeln!(text, "{}", format!("# {comment}").trim_end());
        }
        let width = self.callers.iter().map(|name| name.chars().count()).max().unwrap_or_default().saturating_add(1);
        for row in &self.rows {
            let _ = writeln!(text, "\n{}", row.name);
            for (name, Answer(answer)) in self.callers.iter().zip(&row.answers) {
                let _ = writeln!(text, "  {name:<width$}{answer}");
            }
        }
        text
    }
}

/// Two of one name could not be told apart in the file.
fn unique<'n>(name: &str, mut others: impl Iterator<Item = &'n String>, node: &Node, source: &mut Source<'_>) {
    if others.any(|other| other == name) {
        source.problem(&node.span, "test.table", format!("`{name}` occurs twice"), "remove it, or give it a `name` of its own");
    }
}

/// The lines of a comment, which may go on over several.
fn comment_of(node: &Node, source: &mut Source<'_>) -> Vec<String> {
    match &node.value {
        Value::Text(text) => text.trim_end().lines().map(one_line).collect(),
        _ => source.wrong(node, "a text").unwrap_or_default(),
    }
}

fn row(node: &Node, defaults: &Circumstances, source: &mut Source<'_>) -> Option<Asked> {
    if let Value::Text(request) = &node.value {
        return asked(request.clone(), request, defaults, node, source);
    }
    let mut members = Members::of(node, "a request", source)?;
    let name = members.take("name").and_then(|node| source.text(node));
    let circumstances = defaults.read(&mut members, source);
    let lines = circumstances.lines(&mut members, source);
    members.finish(source);
    match lines.as_slice() {
        [(request, _)] => asked(name.unwrap_or_else(|| request.clone()), request, &circumstances, node, source),
        [] => None,
        [..] => source.wrong(node, "one request"),
    }
}

fn asked(name: String, request: &str, circumstances: &Circumstances, node: &Node, source: &mut Source<'_>) -> Option<Asked> {
    if name.trim() != name || name.is_empty() || name.starts_with('#') {
        source.problem(&node.span, "test.table", "a name that could not be read again", "no spaces around it, and no `#` before it");
        return None;
    }
    let question = circumstances.ask(request, &node.span, source)?;
    if let Err(denial) = &question.facts {
        let message = format!("the gate refuses this request before policies are asked: {denial}");
        source.problem(&node.span, "test.request", message, "the table is about what policies decide");
        return None;
    }
    Some(Asked { name, question })
}

/// The answer, and the principal that it is about.
fn answer(gate: &Gate, caller: &Caller, question: &Question) -> (Answer, String) {
    let Ok(facts) = &question.facts else { return (Answer("deny".to_owned()), String::new()) };
    let verdict = gate.policy().authorize(facts, &caller.identity(question.time), question.purpose, question.time);
    (Answer(told(&verdict)), verdict.principal)
}

/// An answer in the file's words.
fn told(verdict: &Verdict) -> String {
    let Verdict { allow, determining, errors, principal: _, action: _, resource: _, missing_scope, step_up, unclear: _ } = verdict;
    // An error denies, whatever else policies say.
    let mut answer = if *allow && errors.is_empty() { "allow".to_owned() } else { "deny ".to_owned() };
    if !errors.is_empty() {
        let _ = write!(answer, "  error {}", one_line(&errors.join("; ")));
    } else if !determining.is_empty() {
        let ids: Vec<&str> = determining.iter().map(|policy| policy.id.as_str()).collect();
        let _ = write!(answer, "  {}", ids.join(", "));
    }
    if !missing_scope.is_empty() {
        let _ = write!(answer, "  scope {}", missing_scope.join(" "));
    }
    if let Some(step_up) = step_up {
        answer.push_str("  login");
        step_up.acr_values.iter().for_each(|acr| answer.push_str(&format!(" {acr}")));
        step_up.max_age.iter().for_each(|seconds| answer.push_str(&format!(" {seconds}s ago")));
    }
    answer.trim_end().to_owned()
}
