//! YAML to a tree in which every value knows where it stands, read strictly and with all problems at once.

use std::collections::BTreeSet;
use std::fmt;
use std::ops::Range;

use serde::de::{Deserialize, Deserializer, MapAccess, SeqAccess, Visitor};
use serde_saphyr::{Location, Spanned};

use super::super::time;
use crate::bundle::{Problem, Report, nearest};
use crate::decision::UnixTime;

/// Deepest nesting.
const DEPTH: usize = 16;

/// A value and its place in bytes.
#[derive(Debug, Clone)]
pub(in crate::cli) struct Node {
    pub value: Value,
    pub span: Range<usize>,
}

#[derive(Debug, Clone)]
pub(in crate::cli) enum Value {
    Null,
    Boolean(bool),
    Number(i64),
    Text(String),
    List(Vec<Node>),
    Map(Vec<(Key, Node)>),
}

/// A name and its place.
#[derive(Debug, Clone)]
pub(in crate::cli) struct Key {
    pub name: String,
    pub span: Range<usize>,
}

/// A file that is read, and where its problems go.
#[derive(Debug)]
pub(in crate::cli) struct Source<'r> {
    /// Its path in the bundle.
    pub file: &'r str,
    pub report: &'r mut Report,
}

impl Source<'_> {
    /// Adds a problem.
    pub fn problem(&mut self, span: &Range<usize>, code: &'static str, message: impl Into<String>, help: impl Into<String>) {
        self.report.add(Problem::new(self.file, code, message).at(Some(span.clone())).help(help));
    }

    /// The whole file as a tree.
    pub fn parse(&mut self, bytes: &[u8]) -> Option<Node> {
        let Ok(text) = std::str::from_utf8(bytes) else {
            self.report.add(Problem::new(self.file, "test.syntax", "the file is not UTF-8"));
            return None;
        };
        let options = serde_saphyr::options! {
            budget: serde_saphyr::budget! { max_depth: DEPTH }, with_snippet: false, strict_booleans: true, reject_unsupported_tags: true,
        };
        match serde_saphyr::from_str_with_options::<Spanned<Raw>>(text, options) {
            Ok(raw) => self.node(raw),
            Err(error) => {
                let span = error.location().map(|location| span(&location));
                // The place is told by the span.
                let message = error.without_snippet().to_string();
                let message = message.split(" at line ").next().unwrap_or(&message).to_owned();
                self.report.add(Problem::new(self.file, "test.syntax", message).at(span));
                None
            }
        }
    }

    fn node(&mut self, raw: Spanned<Raw>) -> Option<Node> {
        let span = span(&raw.referenced);
        let value = match raw.value {
            Raw::Null => Value::Null,
            Raw::Boolean(value) => Value::Boolean(value),
            Raw::Number(value) => Value::Number(value),
            Raw::Text(value) => Value::Text(value),
            Raw::Other => {
                self.problem(&span, "test.value", "a number with a fraction, or one too large", "put it in quotes where a text is meant");
                return None;
            }
            Raw::List(items) => Value::List(items.into_iter().filter_map(|item| self.node(item)).collect()),
            Raw::Map(members) => {
                let member = |(name, value): (Spanned<String>, Spanned<Raw>)| {
                    let key = Key { span: self::span(&name.referenced), name: name.value };
                    Some((key, self.node(value)?))
                };
                Value::Map(members.into_iter().filter_map(member).collect())
            }
        };
        Some(Node { value, span })
    }

    /// A text.
    pub fn text(&mut self, node: &Node) -> Option<String> {
        match &node.value {
            Value::Text(text) if text.chars().any(char::is_control) => self.wrong(node, "a text without control characters"),
            Value::Text(text) => Some(text.clone()),
            Value::Number(_) | Value::Boolean(_) => {
                self.problem(&node.span, "test.value", "a number, `true` or `false` where a text should be", "put it in quotes");
                None
            }
            Value::Null | Value::List(_) | Value::Map(_) => self.wrong(node, "a text"),
        }
    }

    /// A text, or a list of texts. Sorted and unique, as the gate makes every set.
    pub fn set(&mut self, node: &Node) -> Option<Vec<String>> {
        let mut texts = self.texts(node)?;
        texts.sort();
        texts.dedup();
        Some(texts)
    }

    /// A text, or a list of texts in their order.
    pub fn texts(&mut self, node: &Node) -> Option<Vec<String>> {
        match &node.value {
            Value::List(items) => {
                let texts: Vec<_> = items.iter().map(|item| self.text(item)).collect();
                texts.into_iter().collect()
            }
            Value::Text(_) => Some(vec![self.text(node)?]),
            _ => self.wrong(node, "a text or a list of texts"),
        }
    }

    /// `true` or `false`.
    pub fn boolean(&mut self, node: &Node) -> Option<bool> {
        match node.value {
            Value::Boolean(value) => Some(value),
            _ => self.wrong(node, "`true` or `false`"),
        }
    }

    /// A whole number.
    pub fn number(&mut self, node: &Node) -> Option<i64> {
        match node.value {
            Value::Number(value) => Some(value),
            _ => self.wrong(node, "a whole number"),
        }
    }

    /// Seconds, as a number or as `15m`.
    pub fn seconds(&mut self, node: &Node) -> Option<i64> {
        let seconds = match &node.value {
            Value::Number(value) => Some(*value),
            Value::Text(text) => time::parse_seconds(text).ok(),
            _ => None,
        };
        // Far beyond what a test needs, and no sum of it and a time leaves the range.
        match seconds.filter(|seconds| (-4_000_000_000..=4_000_000_000).contains(seconds)) {
            Some(seconds) => Some(seconds),
            None => self.wrong(node, "seconds, or a duration such as `90s`, `10m`, `1h 30m` or `2d`"),
        }
    }

    /// A point in time.
    pub fn time(&mut self, node: &Node) -> Option<UnixTime> {
        let found = match &node.value {
            Value::Number(value) => Some(UnixTime(*value)),
            Value::Text(text) => time::parse_time(text).ok(),
            _ => None,
        };
        match found.filter(|time| (0..=crate::limits::LATEST_SECONDS).contains(&time.0)) {
            Some(time) => Some(time),
            None => self.wrong(node, "a time such as `2026-03-01T09:30:00Z`"),
        }
    }

    /// The items of a list.
    pub fn list<'n>(&mut self, node: &'n Node) -> Option<&'n [Node]> {
        match &node.value {
            Value::List(items) => Some(items),
            _ => self.wrong(node, "a list"),
        }
    }

    /// One of these names.
    pub fn name(&mut self, node: &Node, known: &[&'static str]) -> Option<&'static str> {
        let text = self.text(node)?;
        if let Some(name) = known.iter().find(|name| **name == text) {
            return Some(name);
        }
        let help = nearest(&text, known.iter().copied())
            .map_or_else(|| format!("one of {}", listed(known)), |near| format!("did you mean `{near}`?"));
        self.problem(&node.span, "test.value", format!("`{}` is not known here", text.escape_debug()), help);
        None
    }

    /// Says what should stand there.
    pub fn wrong<T>(&mut self, node: &Node, expected: &str) -> Option<T> {
        let found = match &node.value {
            Value::Null => "nothing".to_owned(),
            Value::Boolean(value) => format!("`{value}`"),
            Value::Number(value) => format!("`{value}`"),
            Value::Text(text) => format!("`{}`", text.chars().take(60).collect::<String>().escape_debug()),
            Value::List(_) => "a list".to_owned(),
            Value::Map(_) => "a map".to_owned(),
        };
        self.report.add(Problem::new(self.file, "test.value", format!("{found} where {expected} should be")).at(Some(node.span.clone())));
        None
    }
}

/// The members of a map, taken one by one: what nobody took is unknown.
#[derive(Debug)]
pub(in crate::cli) struct Members<'n> {
    what: &'static str,
    pub span: &'n Range<usize>,
    members: &'n [(Key, Node)],
    known: BTreeSet<&'static str>,
}

impl<'n> Members<'n> {
    /// Of a node that must be a map; `what` is what messages call it.
    pub fn of(node: &'n Node, what: &'static str, source: &mut Source<'_>) -> Option<Self> {
        match &node.value {
            Value::Map(members) => Some(Self { what, span: &node.span, members, known: BTreeSet::new() }),
            _ => source.wrong(node, &format!("a map, {what},")),
        }
    }

    /// The value of a key.
    pub fn take(&mut self, name: &'static str) -> Option<&'n Node> {
        self.known.insert(name);
        self.members.iter().find(|(key, _)| key.name == name).map(|(_, node)| node)
    }

    /// All of them, whatever their names.
    pub fn all(&self) -> &'n [(Key, Node)] {
        self.members
    }

    /// Reports every key that was not asked for.
    pub fn finish(self, source: &mut Source<'_>) {
        for (key, _) in self.members.iter().filter(|(key, _)| !self.known.contains(key.name.as_str())) {
            let known: Vec<_> = self.known.iter().copied().collect();
            let help = nearest(&key.name, known.iter().copied())
                .map_or_else(|| format!("{} may have {}", self.what, listed(&known)), |near| format!("did you mean `{near}`?"));
            source.problem(&key.span, "test.key", format!("unknown key `{}` in {}", key.name.escape_debug(), self.what), help);
        }
    }

    /// The version every file starts with.
    pub fn version(&mut self, source: &mut Source<'_>) {
        let help = "this command reads version 1: write `version: 1` into the first line";
        match self.take("version") {
            None => source.problem(&(0..0), "test.version", "the file has no `version`", help),
            Some(Node { value: Value::Number(1), .. }) => {}
            Some(node) => source.problem(&node.span, "test.version", "this version is not known", help),
        }
    }
}

/// `a`, `b` and `c`.
pub(in crate::cli) fn listed(names: &[&str]) -> String {
    names.iter().map(|name| format!("`{name}`")).collect::<Vec<_>>().join(", ")
}

fn span(location: &Location) -> Range<usize> {
    let at = |number: Option<u64>| number.and_then(|number| usize::try_from(number).ok()).unwrap_or_default();
    let start = at(location.span().byte_offset());
    start..start.saturating_add(at(location.span().byte_len()))
}

/// A value as the parser gives it.
#[derive(Debug)]
enum Raw {
    Null,
    Boolean(bool),
    Number(i64),
    Text(String),
    Other,
    List(Vec<Spanned<Raw>>),
    Map(Vec<(Spanned<String>, Spanned<Raw>)>),
}

impl<'de> Deserialize<'de> for Raw {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(Reading)
    }
}

struct Reading;

impl<'de> Visitor<'de> for Reading {
    type Value = Raw;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a value")
    }

    fn visit_unit<E>(self) -> Result<Raw, E> {
        Ok(Raw::Null)
    }

    fn visit_none<E>(self) -> Result<Raw, E> {
        Ok(Raw::Null)
    }

    fn visit_bool<E>(self, value: bool) -> Result<Raw, E> {
        Ok(Raw::Boolean(value))
    }

    fn visit_i64<E>(self, value: i64) -> Result<Raw, E> {
        Ok(Raw::Number(value))
    }

    fn visit_u64<E>(self, value: u64) -> Result<Raw, E> {
        Ok(i64::try_from(value).map_or(Raw::Other, Raw::Number))
    }

    fn visit_i128<E>(self, _: i128) -> Result<Raw, E> {
        Ok(Raw::Other)
    }

    fn visit_u128<E>(self, _: u128) -> Result<Raw, E> {
        Ok(Raw::Other)
    }

    fn visit_f64<E>(self, _: f64) -> Result<Raw, E> {
        Ok(Raw::Other)
    }

    fn visit_str<E>(self, value: &str) -> Result<Raw, E> {
        Ok(Raw::Text(value.to_owned()))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Raw, A::Error> {
        let mut list = vec![];
        while let Some(item) = items.next_element()? {
            list.push(item);
        }
        Ok(Raw::List(list))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut members: A) -> Result<Raw, A::Error> {
        let mut map = vec![];
        while let Some(member) = members.next_entry()? {
            map.push(member);
        }
        Ok(Raw::Map(map))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> (Option<Node>, Report) {
        let mut report = Report::default();
        let node = Source { file: "a.yaml", report: &mut report }.parse(text.as_bytes());
        (node, report)
    }

    #[test]
    fn every_value_and_key_knows_its_place() {
        let text = "é: 1\nlist:\n  - {b: 'x y', c: true}\n  - 10.1.2.3\n  - ~\n";
        let (node, report) = parse(text);
        assert!(report.is_empty(), "{report}");
        let Value::Map(members) = node.unwrap().value else { panic!() };
        let [(first, one), (list, items)] = members.as_slice() else { panic!() };
        assert_eq!((&text[first.span.clone()], &text[one.span.clone()], &text[list.span.clone()]), ("é", "1", "list"));
        let Value::List(items) = &items.value else { panic!() };
        let [Node { value: Value::Map(inner), .. }, address, Node { value: Value::Null, .. }] = items.as_slice() else {
            panic!("{items:?}")
        };
        assert_eq!((&text[inner[0].0.span.clone()], &text[inner[0].1.span.clone()]), ("b", "'x y'"));
        assert_eq!(&text[address.span.clone()], "10.1.2.3");
    }

    #[test]
    fn what_is_no_yaml_is_told_with_its_place() {
        for (text, part) in [
            ("a: [1\n", ""),
            ("a: 1\na: 2\n", "uplicate"),
            ("a: 1.5", "fraction"),
            ("", ""),
            (&format!("{}{}", "[".repeat(40_000), "]".repeat(40_000)), "limit exceeded"),
            ("a: &a [x, x, x, x]\nb: &b [*a, *a, *a, *a]\nc: !!binary aGk=\nd: !foo x\n", ""),
        ] {
            let (_, report) = parse(text);
            let said = report.to_string();
            let start: String = text.chars().take(40).collect();
            assert!(text.is_empty() || said.contains(part) && !report.is_empty(), "{start}: {said}");
        }
        assert!(parse("a: 1\nb: @x\n").1.problems()[0].span.is_some());
    }
}
