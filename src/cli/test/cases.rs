//! A file of tests to cases: each one question, and the answer that is expected.

use std::ops::Range;

use super::asking::{Circumstances, Question};
use super::callers::{ANONYMOUS, Caller, Callers};
use super::yaml::{Members, Node, Source, Value};
use crate::bundle::{Gate, nearest};
use crate::decision::Reason;
use crate::policy::Purpose;

/// Most cases of one test: callers times requests.
const CASES: usize = 10_000;

/// One question, and the answer that is expected.
#[derive(Debug, Clone)]
pub(in crate::cli) struct Case {
    /// The test's name, with what of its table this is.
    pub name: String,
    /// Its path in the bundle.
    pub file: String,
    /// From 1.
    pub line: usize,
    pub asked: Asked,
    pub expected: Expected,
}

/// In whose terms it is asked.
#[derive(Debug, Clone)]
pub(in crate::cli) enum Asked {
    /// The gate's.
    Gate { caller: Box<Caller>, question: Box<Question> },
    /// Cedar's own.
    Cedar { request: Box<cedar_policy::Request>, entities: Box<cedar_policy::Entities> },
}

/// What is expected. What is not said is not looked at; of whether it is allowed, nothing said means that it is not.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(in crate::cli) struct Expected {
    pub allow: bool,
    /// The policies that decide it, sorted.
    pub by: Option<Vec<String>>,
    /// Whether others may decide it too.
    pub among_others: bool,
    pub reason: Option<&'static str>,
    pub status: Option<u16>,
    /// How many policies fail.
    pub errors: Option<usize>,
}

/// Reads a file.
pub(in crate::cli) fn read(gate: &Gate, shared: &Callers<'_>, bytes: &[u8], source: &mut Source<'_>) -> Vec<Case> {
    let Some(root) = source.parse(bytes) else { return vec![] };
    let Some(mut members) = Members::of(&root, "the file", source) else { return vec![] };
    members.version(source);
    let mut callers = shared.clone();
    if let Some(node) = members.take("callers") {
        callers.define(node, source);
    }
    let mut defaults = Circumstances::default();
    if let Some(mut members) = members.take("defaults").and_then(|node| Members::of(node, "`defaults`", source)) {
        defaults = defaults.read(&mut members, source);
        members.finish(source);
    }
    let tests = members.take("tests");
    if tests.is_none() {
        source.problem(&(0..0), "test.none", "the file has no `tests`", "write `tests:`, and below it `- request: GET /health`");
    }
    members.finish(source);
    let reading = Reading { gate, callers: &callers, defaults: &defaults, bytes };
    tests.and_then(|node| source.list(node)).unwrap_or_default().iter().flat_map(|node| reading.test(node, source)).collect()
}

struct Reading<'r> {
    gate: &'r Gate,
    callers: &'r Callers<'r>,
    defaults: &'r Circumstances,
    bytes: &'r [u8],
}

impl Reading<'_> {
    /// The cases of one test.
    fn test(&self, node: &Node, source: &mut Source<'_>) -> Vec<Case> {
        let Some(mut members) = Members::of(node, "a test", source) else { return vec![] };
        let name = members.take("name").and_then(|node| source.text(node));
        let circumstances = self.defaults.read(&mut members, source);
        let lines = circumstances.lines(&mut members, source);
        let callers =
            members.take("caller").map_or_else(|| vec![(ANONYMOUS.to_owned(), Caller::default())], |node| self.callers_of(node, source));
        let expected = members.take("expect").map_or_else(Expected::default, |node| expected(node, self.gate, source));
        members.finish(source);
        if lines.len().saturating_mul(callers.len()) > CASES {
            source.problem(&node.span, "test.table", format!("a table of more than {CASES} cases"), "make several tests of it");
            return vec![];
        }
        let table = lines.len() > 1 || callers.len() > 1;
        let mut cases = vec![];
        for (line, span) in &lines {
            let Some(question) = circumstances.ask(line, span, source) else { continue };
            self.refused(&question, &expected, span, source);
            for (caller, who) in &callers {
                let what = if circumstances.is_revocation() { format!("{caller}, revoke") } else { format!("{caller}, {line}") };
                let name = match &name {
                    Some(name) if table => format!("{name} [{what}]"),
                    Some(name) => name.clone(),
                    None => what,
                };
                cases.push(Case {
                    name,
                    file: source.file.to_owned(),
                    line: line_of(self.bytes, node.span.start),
                    asked: Asked::Gate { caller: Box::new(who.clone()), question: Box::new(question.clone()) },
                    expected: expected.clone(),
                });
            }
        }
        cases
    }

    /// A request that no gate would ask policies about is a slip, unless the test says that it is meant.
    fn refused(&self, question: &Question, expected: &Expected, span: &Range<usize>, source: &mut Source<'_>) {
        if let (Err(denial), None) = (&question.facts, expected.reason) {
            let help = format!("if that is what the test is about, expect `reason: {}`", denial.reason.code());
            source.problem(span, "test.request", format!("the gate refuses this request before policies are asked: {denial}"), help);
        }
    }

    /// Each with the name it has, or with what stands for one.
    fn callers_of(&self, node: &Node, source: &mut Source<'_>) -> Vec<(String, Caller)> {
        let one = |node: &Node, source: &mut Source<'_>| {
            let name = if let Value::Text(name) = &node.value { name.clone() } else { "somebody".to_owned() };
            Some((name, self.callers.read(node, source)?))
        };
        match &node.value {
            Value::List(items) => items.iter().filter_map(|item| one(item, source)).collect(),
            _ => one(node, source).into_iter().collect(),
        }
    }
}

impl Circumstances {
    fn is_revocation(&self) -> bool {
        self.purpose() == Purpose::Revoke
    }
}

fn expected(node: &Node, gate: &Gate, source: &mut Source<'_>) -> Expected {
    let mut expected = Expected::default();
    let decision = |node: &Node, source: &mut Source<'_>| source.name(node, &["allow", "deny"]).is_some_and(|name| name == "allow");
    if !matches!(node.value, Value::Map(_)) {
        expected.allow = decision(node, source);
        return expected;
    }
    let Some(mut members) = Members::of(node, "an expectation", source) else { return expected };
    if let Some(node) = members.take("decision") {
        expected.allow = decision(node, source);
    }
    if let Some(node) = members.take("by") {
        expected.by = source.set(node);
        for id in expected.by.iter().flatten() {
            let known = || gate.policy().policies().map(|policy| policy.id.as_str());
            if !known().any(|known| known == id) {
                let help = nearest(id, known())
                    .map_or_else(|| "`by` has the `@id`s of policies".to_owned(), |near| format!("did you mean `{near}`?"));
                source.problem(&node.span, "test.policy", format!("no policy is called `{}`", id.escape_debug()), help);
            }
        }
    }
    if let Some(node) = members.take("reason") {
        let codes: Vec<_> = Reason::ALL.iter().map(|reason| reason.code()).collect();
        expected.reason = source.text(node).and_then(|text| {
            let found = codes.iter().copied().find(|code| *code == text);
            if found.is_none() {
                let help = nearest(&text, codes.iter().copied())
                    .map_or_else(|| "`cedargate reasons` lists them".to_owned(), |near| format!("did you mean `{near}`?"));
                source.problem(&node.span, "test.value", format!("`{}` is no reason code", text.escape_debug()), help);
            }
            found
        });
    }
    if let Some(node) = members.take("status") {
        expected.status = source.number(node).and_then(|number| {
            let status = u16::try_from(number).ok().filter(|status| (100..600).contains(status));
            status.or_else(|| source.wrong(node, "a status such as 403"))
        });
    }
    members.finish(source);
    expected
}

/// The line of a place, from 1.
pub(in crate::cli) fn line_of(bytes: &[u8], start: usize) -> usize {
    super::super::position::Position::of(bytes, start).line
}
