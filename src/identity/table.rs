//! A TOML table read key by key, so that every problem is found in one pass and each has its place in the file.

use std::collections::BTreeSet;
use std::ops::Range;

use toml::Spanned;
use toml::de::{DeArray, DeString, DeTable, DeValue};

use super::text;
use crate::bundle::{Problem, Report};

/// A value and where it stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Found<T> {
    /// The value.
    pub(crate) value: T,
    /// Where, in bytes.
    pub(crate) span: Range<usize>,
}

/// The codes of the problems a table reports by itself, which name the file's kind.
#[derive(Debug)]
pub(crate) struct Codes {
    missing_key: &'static str,
    wrong_type: &'static str,
    unknown_key: &'static str,
}

/// For `issuers.toml`.
const ISSUERS: Codes = Codes { missing_key: "issuers.missing_key", wrong_type: "issuers.type", unknown_key: "issuers.unknown_key" };
/// For `mtls.toml`.
pub(crate) const MTLS: Codes = Codes { missing_key: "mtls.missing_key", wrong_type: "mtls.type", unknown_key: "mtls.unknown_key" };
/// For `audit.toml`.
pub(crate) const AUDIT: Codes = Codes { missing_key: "audit.missing_key", wrong_type: "audit.type", unknown_key: "audit.unknown_key" };
/// For `signed-urls.toml`.
pub(crate) const SIGNED_URLS: Codes =
    Codes { missing_key: "signed_urls.missing_key", wrong_type: "signed_urls.type", unknown_key: "signed_urls.unknown_key" };

/// A table that is being read. Which keys it knows is what was asked for until [`Table::finish`].
pub(crate) struct Table<'a> {
    file: &'a str,
    name: String,
    span: Range<usize>,
    entries: &'a DeTable<'a>,
    known: BTreeSet<&'static str>,
    codes: &'static Codes,
}

impl<'a> Table<'a> {
    /// The table of an `issuers.toml`, or a table in it; `name` is for messages.
    pub(crate) fn new(file: &'a str, name: impl Into<String>, span: Range<usize>, entries: &'a DeTable<'a>) -> Self {
        Self::with_codes(&ISSUERS, file, name, span, entries)
    }

    /// The table of a file of another kind, or a table in it.
    pub(crate) fn with_codes(
        codes: &'static Codes,
        file: &'a str,
        name: impl Into<String>,
        span: Range<usize>,
        entries: &'a DeTable<'a>,
    ) -> Self {
        Self { file, name: name.into(), span, entries, known: BTreeSet::new(), codes }
    }

    /// A problem at a place in this file.
    pub(crate) fn problem(&self, code: &'static str, span: &Range<usize>, message: impl Into<String>) -> Problem {
        Problem::new(self.file, code, message).at(Some(span.clone()))
    }

    /// Where the table begins.
    pub(crate) fn span(&self) -> Range<usize> {
        self.span.clone()
    }

    fn get(&mut self, key: &'static str) -> Option<&'a Spanned<DeValue<'a>>> {
        self.known.insert(key);
        self.entries.iter().find(|(name, _)| name.get_ref() == key).map(|(_, value)| value)
    }

    /// Whether a key is there, whatever its value.
    pub(crate) fn has(&mut self, key: &'static str) -> bool {
        self.get(key).is_some()
    }

    /// Reports a key that must be there and is not.
    pub(crate) fn require(&mut self, key: &'static str, help: &str, report: &mut Report) {
        if self.get(key).is_none() {
            let problem = self.problem(self.codes.missing_key, &self.span, format!("`{key}` is missing in {}", self.name));
            report.add(problem.help(help));
        }
    }

    fn wrong<T>(&self, key: &str, value: &Spanned<DeValue<'_>>, expected: &str, report: &mut Report) -> Option<T> {
        let message = format!("`{key}` in {} is {}, not {expected}", self.name, value.get_ref().type_str());
        report.add(self.problem(self.codes.wrong_type, &value.span(), message));
        None
    }

    /// A string.
    pub(crate) fn string(&mut self, key: &'static str, report: &mut Report) -> Option<Found<String>> {
        let value = self.get(key)?;
        match value.get_ref() {
            DeValue::String(text) => Some(Found { value: text.clone().into_owned(), span: value.span() }),
            _ => self.wrong(key, value, "a string", report),
        }
    }

    /// A whole number.
    pub(crate) fn integer(&mut self, key: &'static str, report: &mut Report) -> Option<Found<i64>> {
        let value = self.get(key)?;
        let parsed = match value.get_ref() {
            DeValue::Integer(digits) => i64::from_str_radix(digits.as_str(), digits.radix()).ok(),
            _ => None,
        };
        match parsed {
            Some(number) => Some(Found { value: number, span: value.span() }),
            None => self.wrong(key, value, "a whole number", report),
        }
    }

    /// `true` or `false`.
    pub(crate) fn boolean(&mut self, key: &'static str, report: &mut Report) -> Option<bool> {
        let value = self.get(key)?;
        match value.get_ref() {
            DeValue::Boolean(boolean) => Some(*boolean),
            _ => self.wrong(key, value, "true or false", report),
        }
    }

    /// An array of strings; with `or_one`, also a single string.
    pub(crate) fn strings(&mut self, key: &'static str, or_one: bool, report: &mut Report) -> Option<Found<Vec<Found<String>>>> {
        let value = self.get(key)?;
        let expected = if or_one { "a string or an array of strings" } else { "an array of strings" };
        let one = |text: &DeString<'_>, span| Found { value: text.clone().into_owned(), span };
        let strings = match value.get_ref() {
            DeValue::String(text) if or_one => Some(vec![one(text, value.span())]),
            DeValue::Array(elements) => elements
                .iter()
                .map(|element| match element.get_ref() {
                    DeValue::String(text) => Some(one(text, element.span())),
                    _ => None,
                })
                .collect(),
            _ => None,
        };
        match strings {
            Some(strings) => Some(Found { value: strings, span: value.span() }),
            None => self.wrong(key, value, expected, report),
        }
    }

    /// A table within this one.
    pub(crate) fn table(&mut self, key: &'static str, name: String, report: &mut Report) -> Option<Table<'a>> {
        let value = self.get(key)?;
        match value.get_ref() {
            DeValue::Table(entries) => Some(Table::with_codes(self.codes, self.file, name, value.span(), entries)),
            _ => self.wrong(key, value, "a table", report),
        }
    }

    /// An array of tables, `[[key]]`.
    pub(crate) fn tables(&mut self, key: &'static str, report: &mut Report) -> Vec<Table<'a>> {
        let Some(value) = self.get(key) else { return Vec::new() };
        let tables = |elements: &'a DeArray<'a>| {
            let each = |element: &'a Spanned<DeValue<'a>>| match element.get_ref() {
                DeValue::Table(entries) => Some(Table::with_codes(self.codes, self.file, format!("`[[{key}]]`"), element.span(), entries)),
                _ => None,
            };
            elements.iter().map(each).collect::<Option<Vec<_>>>()
        };
        let found = match value.get_ref() {
            DeValue::Array(elements) => tables(elements),
            _ => None,
        };
        let expected = format!("an array of tables, `[[{key}]]`");
        found.or_else(|| self.wrong(key, value, &expected, report)).unwrap_or_default()
    }

    /// Reports every key that was never asked for.
    pub(crate) fn finish(self, report: &mut Report) {
        for key in self.entries.keys() {
            let name = key.get_ref().as_ref();
            if !self.known.contains(name) {
                let message = format!("unknown key `{}` in {}", text::shown(name), self.name);
                let problem = self.problem(self.codes.unknown_key, &key.span(), message);
                report.add(problem.help(text::suggestion(name, self.known.iter().copied())));
            }
        }
    }
}
