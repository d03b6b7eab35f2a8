//! `policies/audit.toml`: what of a request the record shows, and where it may go.
//!
//! Read strictly, all problems at once. Without the file the defaults hold.

use std::borrow::Cow;

use toml::de::DeTable;

use crate::bundle::{Bundle, Problem, Report};
use crate::identity::table::{self, Found, Table};
use crate::limits;

/// The file.
pub const FILE: &str = "policies/audit.toml";
/// The one version of the format.
const VERSION: i64 = 1;

/// What a record may show of one field.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Rule {
    /// The value.
    Keep,
    /// A keyed hash of it, which tells only whether two values are the same. Without a key: nothing.
    Hash,
    /// Of an address its network: /24 of IPv4, /48 of IPv6.
    Truncate,
    /// Nothing.
    Erase,
}

/// The fields that can be masked. Each stands for every place of a record that shows it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Field {
    /// Who: subjects and principals.
    Subject,
    /// E-mail addresses of tokens.
    Email,
    /// Groups and roles.
    Groups,
    /// The client's address.
    Client,
    /// The host.
    Host,
    /// The path, and with it the resource.
    Path,
    /// Values of query parameters.
    Query,
    /// Values of the headers that policies may read.
    Headers,
    /// `jti`, and the session.
    TokenId,
    /// The OAuth client.
    ClientId,
    /// Alternative names of certificates.
    Names,
}

/// Name, field, default, and whether the field is about a person.
const FIELDS: [(&str, Field, Rule, bool); 11] = [
    ("subject", Field::Subject, Rule::Keep, true),
    ("email", Field::Email, Rule::Hash, true),
    ("groups", Field::Groups, Rule::Keep, true),
    ("client", Field::Client, Rule::Keep, true),
    ("host", Field::Host, Rule::Keep, false),
    ("path", Field::Path, Rule::Keep, true),
    ("query", Field::Query, Rule::Hash, true),
    ("headers", Field::Headers, Rule::Hash, true),
    ("token_id", Field::TokenId, Rule::Keep, true),
    ("client_id", Field::ClientId, Rule::Keep, false),
    ("certificate_names", Field::Names, Rule::Keep, true),
];

/// What is sealed about records.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AuditConfig {
    rules: [Rule; FIELDS.len()],
    /// Headers whose values are shown, whatever the rule for headers.
    pub(super) shown_headers: Vec<String>,
    /// The regions that what is about persons may stay in; a `*` at the end stands for any end. `None`: anywhere.
    residency: Option<Vec<String>>,
}

impl Default for AuditConfig {
    fn default() -> Self {
        Self { rules: FIELDS.map(|(_, _, rule, _)| rule), shown_headers: vec![], residency: None }
    }
}

impl AuditConfig {
    /// Loads the file. `None` when a problem was reported.
    pub fn load(bundle: &Bundle, report: &mut Report) -> Option<Self> {
        let Some(bytes) = bundle.get(FILE) else { return Some(Self::default()) };
        let Ok(text) = std::str::from_utf8(bytes) else {
            report.add(Problem::new(FILE, "audit.syntax", "the file is not UTF-8"));
            return None;
        };
        let (root, errors) = DeTable::parse_recoverable(text);
        if !errors.is_empty() {
            for error in errors {
                report.add(Problem::new(FILE, "audit.syntax", error.message().to_lowercase()).at(error.span()));
            }
            return None;
        }
        let mut own = Report::default();
        let config = read(Table::with_codes(&table::AUDIT, FILE, "the file", 0..0, root.get_ref()), &mut own);
        own.problems().into_iter().for_each(|problem| report.add(problem.clone()));
        own.is_empty().then_some(config)
    }

    /// What may be shown of a field.
    pub(super) fn rule(&self, field: Field) -> Rule {
        let at = FIELDS.iter().position(|(_, known, ..)| *known == field);
        // Never none: the table has every field. What is not known is not shown.
        at.and_then(|at| self.rules.get(at)).copied().unwrap_or(Rule::Erase)
    }

    /// The same for records that go to all of these regions: where one of them is not among those that what is about persons may
    /// stay in, none of that is left. There is one record and one chain, and so the strictest place counts for all.
    pub fn for_regions<'r>(&self, regions: impl IntoIterator<Item = &'r str>) -> Cow<'_, Self> {
        if regions.into_iter().all(|region| self.may_stay(region)) {
            return Cow::Borrowed(self);
        }
        let mut rules = self.rules;
        for (rule, (_, _, _, personal)) in rules.iter_mut().zip(FIELDS) {
            if personal {
                *rule = Rule::Erase;
            }
        }
        Cow::Owned(Self { rules, shown_headers: vec![], residency: self.residency.clone() })
    }

    fn may_stay(&self, region: &str) -> bool {
        self.residency.as_ref().is_none_or(|regions| {
            regions.iter().any(|allowed| match allowed.strip_suffix('*') {
                Some(start) => region.starts_with(start),
                None => region == allowed,
            })
        })
    }
}

fn read(mut root: Table<'_>, report: &mut Report) -> AuditConfig {
    let mut config = AuditConfig::default();
    root.require("version", "the first line is `version = 1`", report);
    if let Some(version) = root.integer("version", report).filter(|version| version.value != VERSION) {
        let message = format!("version {} is not known", version.value);
        report.add(root.problem("audit.version", &version.span, message).help("this gate reads version 1"));
    }
    if let Some(mut mask) = root.table("mask", "`[mask]`".to_owned(), report) {
        for (rule, (name, field, ..)) in config.rules.iter_mut().zip(FIELDS) {
            if let Some(found) = mask.string(name, report) {
                match parse(&found, field) {
                    Some(parsed) => *rule = parsed,
                    None => {
                        let help =
                            if field == Field::Client { "`keep`, `hash`, `truncate` or `erase`" } else { "`keep`, `hash` or `erase`" };
                        report.add(mask.problem("audit.value", &found.span, format!("no such way to mask `{name}`")).help(help));
                    }
                }
            }
        }
        mask.finish(report);
    }
    if let Some(found) = root.strings("shown_headers", false, report) {
        for name in &found.value {
            let fits = (1..=64).contains(&name.value.len())
                && name.value.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-');
            if !fits {
                report.add(
                    root.problem("audit.value", &name.span, "not the name of a header, in lower case").help("such as `x-request-purpose`"),
                );
            } else if super::mask::is_secret(&name.value) {
                report.add(root.problem(
                    "audit.secret",
                    &name.span,
                    format!("`{}` holds a credential, which no record ever shows", name.value),
                ));
            }
        }
        config.shown_headers = found.value.into_iter().map(|name| name.value).collect();
    }
    if let Some(mut residency) = root.table("residency", "`[residency]`".to_owned(), report) {
        residency.require("regions", "the regions that what is about persons may stay in", report);
        config.residency = residency.strings("regions", false, report).map(|found| {
            if found.value.is_empty() || found.value.len() > limits::RESIDENCY_REGIONS {
                let message = format!("from 1 to {} regions", limits::RESIDENCY_REGIONS);
                report.add(residency.problem("audit.value", &found.span, message));
            }
            found.value.into_iter().map(|region| region.value).collect()
        });
        residency.finish(report);
    }
    root.finish(report);
    config
}

fn parse(found: &Found<String>, field: Field) -> Option<Rule> {
    match found.value.as_str() {
        "keep" => Some(Rule::Keep),
        "hash" => Some(Rule::Hash),
        "truncate" if field == Field::Client => Some(Rule::Truncate),
        "erase" => Some(Rule::Erase),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn load(text: &str) -> Result<AuditConfig, Vec<String>> {
        let mut bundle = Bundle::default();
        bundle.insert(FILE, text);
        let mut report = Report::default();
        let config = AuditConfig::load(&bundle, &mut report);
        config.ok_or_else(|| report.problems().iter().map(|problem| problem.code.to_owned()).collect())
    }

    #[test]
    fn what_is_not_said_is_the_default() {
        assert_eq!(load("version = 1"), Ok(AuditConfig::default()));
        let config = load("version = 1\nshown_headers = ['x-a']\n[mask]\nsubject = 'hash'\nclient = 'truncate'").unwrap();
        assert_eq!(
            (config.rule(Field::Subject), config.rule(Field::Client), config.rule(Field::Query)),
            (Rule::Hash, Rule::Truncate, Rule::Hash)
        );
        assert_eq!(config.shown_headers, ["x-a"]);
    }

    #[test]
    fn it_is_read_strictly() {
        for (text, code) in [
            ("", "audit.missing_key"),
            ("version = 2", "audit.version"),
            ("version = 1\nmask = 1", "audit.type"),
            ("version = 1\n[mask]\nsubjects = 'keep'", "audit.unknown_key"),
            ("version = 1\n[mask]\nsubject = 'truncate'", "audit.value"),
            ("version = 1\nshown_headers = ['Cookie']", "audit.value"),
            ("version = 1\nshown_headers = ['cookie']", "audit.secret"),
            ("version = 1\n[residency]\nregions = []", "audit.value"),
            ("version = 1\n[residency]", "audit.missing_key"),
            ("version = ", "audit.syntax"),
        ] {
            assert_eq!(load(text), Err(vec![code.to_owned()]), "{text}");
        }
    }

    #[test]
    fn outside_its_regions_nothing_about_a_person_is_left() {
        let config = load("version = 1\n[residency]\nregions = ['eu-*', 'ch']").unwrap();
        for region in ["eu-west", "ch"] {
            assert_eq!(*config.for_regions([region]), config, "{region}");
        }
        for region in ["us-east", "", "chile", "eu"] {
            let masked = config.for_regions([region]);
            assert_eq!(
                (masked.rule(Field::Subject), masked.rule(Field::Client), masked.rule(Field::Host)),
                (Rule::Erase, Rule::Erase, Rule::Keep)
            );
        }
        // The strictest place counts.
        assert_eq!(*config.for_regions(["eu-west", "ch"]), config);
        for regions in [["eu-west", "us-east"], ["us-east", "eu-west"]] {
            assert_eq!(config.for_regions(regions).rule(Field::Subject), Rule::Erase);
        }
        assert_eq!(*load("version = 1").unwrap().for_regions(["anywhere"]), AuditConfig::default());
    }
}
