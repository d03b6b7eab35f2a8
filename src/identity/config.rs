//! `issuers.toml`: whom the gate trusts to say who somebody is, and for what. Read strictly, all problems at once.

use std::collections::BTreeSet;
use std::ops::Range;

use toml::de::DeTable;

use super::algorithm::Algorithm;
use super::binding::{self, Required};
use super::issuers::ClaimPaths;
use super::remote::{self, Published, Remote};
use super::status::{self, Lists};
use super::table::{Found, Table};
use super::{DpopConfig, PrincipalKind, dpop, jwt, text};
use crate::bundle::{Problem, Report};
use crate::limits;

/// The one version of the format.
const VERSION: i64 = 1;
/// Leeway unless configured, in seconds.
const DEFAULT_LEEWAY: i64 = 10;

/// One `[[issuer]]`, checked as far as it can be alone.
#[derive(Debug)]
pub(super) struct IssuerConfig {
    pub(super) name: Found<String>,
    pub(super) iss: Found<String>,
    pub(super) audience: BTreeSet<String>,
    pub(super) keys: Found<Vec<Found<String>>>,
    pub(super) algorithms: BTreeSet<Algorithm>,
    pub(super) types: BTreeSet<String>,
    pub(super) allow_missing_type: bool,
    pub(super) leeway: i64,
    pub(super) max_age: Option<i64>,
    pub(super) kind: PrincipalKind,
    pub(super) prefix: Found<String>,
    pub(super) claims: ClaimPaths,
    pub(super) required: Required,
    pub(super) lists: Lists,
    pub(super) allow_http: bool,
    pub(super) remote: Option<Remote>,
}

/// The claim whose values a mapping renames.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum MappedClaim {
    Groups,
    Roles,
}

/// One `[[mapping]]`.
#[derive(Debug)]
pub(super) struct MappingConfig {
    pub(super) issuer: Found<String>,
    pub(super) claim: MappedClaim,
    pub(super) value: Found<String>,
    pub(super) to: Found<String>,
}

/// A whole file.
#[derive(Debug, Default)]
pub(super) struct Config {
    pub(super) issuers: Vec<IssuerConfig>,
    pub(super) mappings: Vec<MappingConfig>,
    /// `[dpop]`, where the file has one.
    pub(super) dpop: Option<DpopConfig>,
    /// Key files named by issuers that have other problems, so that these are not reported as unused as well.
    pub(super) named_files: BTreeSet<String>,
    /// Names of issuers that have other problems, likewise.
    pub(super) names: BTreeSet<String>,
}

/// Reads a file.
pub(super) fn read(file: &str, bytes: &[u8], report: &mut Report) -> Config {
    let mut config = Config::default();
    let Ok(text) = std::str::from_utf8(bytes) else {
        report.add(Problem::new(file, "issuers.syntax", "the file is not UTF-8"));
        return config;
    };
    let (root, errors) = DeTable::parse_recoverable(text);
    if !errors.is_empty() {
        for error in errors {
            report.add(Problem::new(file, "issuers.syntax", error.message().to_lowercase()).at(error.span()));
        }
        return config;
    }
    let mut root = Table::new(file, "the file", 0..0, root.get_ref());
    root.require("version", "the first line is `version = 1`", report);
    if let Some(version) = root.integer("version", report).filter(|version| version.value != VERSION) {
        let message = format!("version {} is not known", version.value);
        report.add(root.problem("issuers.version", &version.span, message).help("this gate reads version 1"));
    }
    for issuer in root.tables("issuer", report) {
        read_issuer(issuer, &mut config, report);
    }
    for mapping in root.tables("mapping", report) {
        config.mappings.extend(read_mapping(mapping, report));
    }
    config.dpop = root.table("dpop", "`[dpop]`".to_owned(), report).map(|table| dpop::read(table, report));
    root.finish(report);
    config
}

fn read_issuer(mut table: Table<'_>, config: &mut Config, report: &mut Report) {
    for (key, help) in [
        ("name", "a short name for policies and records, for example `name = \"corp\"`"),
        ("iss", "the exact `iss` of the issuer's tokens"),
        ("audience", "the `aud` that tokens for this API carry; without it a token made for another service would do"),
    ] {
        table.require(key, help, report);
    }
    let name = table.string("name", report).and_then(|name| checked(&table, name, is_name, "1 to 32 of a-z, 0-9 and `-`", report));
    let iss = table.string("iss", report).and_then(|iss| checked(&table, iss, is_value, VALUE, report));
    let audience = table.strings("audience", true, report).and_then(|values| {
        if values.value.len() > limits::AUDIENCES {
            report.add(table.problem("issuers.value", &values.span, format!("more than {} audiences", limits::AUDIENCES)));
        }
        set(&table, "audience", values, |text| is_value(text).then(|| text.to_owned()), |_| VALUE.to_owned(), report)
    });
    let Published { configured: published, remote, allow_http } = remote::read(&mut table, name.as_ref(), iss.as_ref(), report);
    if !published {
        table.require("keys", "the files with the issuer's public keys, beside this file", report);
    }
    let keys = table.strings("keys", false, report).filter(|keys| not_empty(&table, "keys", keys, report));
    // Sealed keys are optional beside published ones.
    let none = || name.as_ref().filter(|_| published).map(|name| Found { value: Vec::new(), span: name.span.clone() });
    let keys = keys.or_else(none);
    let algorithms = match table.strings("algorithms", false, report) {
        Some(names) => set(&table, "algorithms", names, Algorithm::from_name, algorithm_help, report),
        None => Some(BTreeSet::from(Algorithm::DEFAULT)),
    };
    let media_type = |text: &str| is_value(text).then(|| jwt::media_type(text)).filter(|t| !t.is_empty());
    let types = match table.strings("types", false, report) {
        Some(types) => set(&table, "types", types, media_type, |_| VALUE.to_owned(), report),
        None => Some(BTreeSet::from(["jwt".to_owned(), "at+jwt".to_owned()])),
    };
    let allow_missing_type = table.boolean("allow_missing_type", report).unwrap_or(true);
    let most = i64::try_from(limits::LEEWAY_SECONDS).unwrap_or(0);
    let leeway = number(&mut table, "leeway_seconds", 0..=most, report).unwrap_or(DEFAULT_LEEWAY);
    let max_age = number(&mut table, "max_age_seconds", 1..=i64::from(i32::MAX), report);
    let kind = match table.string("principal", report) {
        None => PrincipalKind::User,
        Some(kind) => match kind.value.as_str() {
            "User" => PrincipalKind::User,
            "Workload" => PrincipalKind::Workload,
            other => {
                let message = format!("`{}` is not a kind of principal", text::shown(other));
                report.add(table.problem("issuers.value", &kind.span, message).help("`User` or `Workload`"));
                PrincipalKind::User
            }
        },
    };
    let prefix = match table.string("prefix", report) {
        Some(prefix) => checked(&table, prefix, is_prefix, PREFIX, report),
        None => name.as_ref().map(|name| Found { value: format!("{}/", name.value), span: name.span.clone() }),
    };
    let claims = read_claims(&mut table, report);
    let required = binding::read(&mut table, report);
    let lists = status::read(&mut table, report);
    // Where the published keys have problems, the issuer is not looked at for having none.
    let published_well = !published || remote.is_some();
    config.names.extend(name.iter().map(|name| name.value.clone()));
    config.named_files.extend(keys.iter().flat_map(|keys| keys.value.iter().map(|key| key.value.clone())));
    table.finish(report);
    if let (Some(name), Some(iss), Some(audience), Some(keys), Some(algorithms), Some(types), Some(prefix)) =
        (name, iss, audience, keys, algorithms, types, prefix)
        && published_well
    {
        config.issuers.push(IssuerConfig {
            name,
            iss,
            audience,
            keys,
            algorithms,
            types,
            allow_missing_type,
            leeway,
            max_age,
            kind,
            prefix,
            claims,
            required,
            lists,
            allow_http,
            remote,
        });
    }
}

fn read_claims(table: &mut Table<'_>, report: &mut Report) -> ClaimPaths {
    let mut paths = ClaimPaths::default();
    let Some(mut claims) = table.table("claims", "`[issuer.claims]`".to_owned(), report) else { return paths };
    for (key, path) in
        [("subject", &mut paths.subject), ("groups", &mut paths.groups), ("roles", &mut paths.roles), ("scope", &mut paths.scope)]
    {
        let Some(names) = claims.strings(key, true, report).filter(|names| not_empty(&claims, key, names, report)) else { continue };
        if names.value.len() > limits::JSON_DEPTH || names.value.iter().any(|name| name.value.is_empty()) {
            let message = format!("the path in `{key}` is longer than {} or has an empty name", limits::JSON_DEPTH);
            report.add(claims.problem("issuers.value", &names.span, message));
            continue;
        }
        *path = names.value.into_iter().map(|name| name.value).collect();
    }
    claims.finish(report);
    paths
}

fn read_mapping(mut table: Table<'_>, report: &mut Report) -> Option<MappingConfig> {
    for key in ["issuer", "claim", "value", "to"] {
        table.require(key, "a mapping has `issuer`, `claim`, `value` and `to`", report);
    }
    let issuer = table.string("issuer", report);
    let claim = table.string("claim", report).and_then(|claim| match claim.value.as_str() {
        "groups" => Some(MappedClaim::Groups),
        "roles" => Some(MappedClaim::Roles),
        other => {
            let message = format!("`{}` is not a claim that can be mapped", text::shown(other));
            report.add(
                table
                    .problem("issuers.value", &claim.span, message)
                    .help("`groups` or `roles`: the name in `[issuer.claims]`, not in the token"),
            );
            None
        }
    });
    let value = table.string("value", report).and_then(|value| checked(&table, value, is_group, GROUP, report));
    let to = table.string("to", report).and_then(|to| checked(&table, to, is_group, GROUP, report));
    table.finish(report);
    Some(MappingConfig { issuer: issuer?, claim: claim?, value: value?, to: to? })
}

const VALUE: &str = "1 to 512 bytes, without spaces at the ends and without control characters";
const GROUP: &str = "1 to 256 bytes without control characters";
const PREFIX: &str =
    "1 to 64 bytes without control characters, ending in `/` or `:`; to give bare names to groups or roles use `[[mapping]]`";

fn is_name(text: &str) -> bool {
    (1..=limits::ISSUER_NAME_BYTES).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-')
}

fn is_value(text: &str) -> bool {
    (1..=limits::ISSUER_VALUE_BYTES).contains(&text.len()) && text.trim() == text && !text.chars().any(char::is_control)
}

fn is_group(text: &str) -> bool {
    (1..=limits::GROUP_BYTES).contains(&text.len()) && !text.chars().any(char::is_control)
}

/// SECURITY: never empty, so that no token can name a bare group that a policy speaks of, and ending in a separator, so that
/// `corp` and `corp2` cannot run together.
fn is_prefix(text: &str) -> bool {
    (1..=64).contains(&text.len()) && text.ends_with(['/', ':']) && !text.chars().any(char::is_control)
}

fn checked(table: &Table<'_>, found: Found<String>, good: fn(&str) -> bool, help: &str, report: &mut Report) -> Option<Found<String>> {
    if good(&found.value) {
        return Some(found);
    }
    let message = format!("`{}` is not a valid value here", text::shown(&found.value));
    report.add(table.problem("issuers.value", &found.span, message).help(help));
    None
}

fn not_empty(table: &Table<'_>, key: &str, found: &Found<Vec<Found<String>>>, report: &mut Report) -> bool {
    if found.value.is_empty() {
        report.add(table.problem("issuers.value", &found.span, format!("`{key}` is empty")));
    }
    !found.value.is_empty()
}

/// A set of distinct, valid values, none of them refused by `parse`.
pub(super) fn set<T: Ord>(
    table: &Table<'_>,
    key: &str,
    found: Found<Vec<Found<String>>>,
    parse: impl Fn(&str) -> Option<T>,
    help: impl Fn(&str) -> String,
    report: &mut Report,
) -> Option<BTreeSet<T>> {
    if !not_empty(table, key, &found, report) {
        return None;
    }
    let mut set = BTreeSet::new();
    for one in found.value {
        let shown = text::shown(&one.value);
        match parse(&one.value) {
            None => {
                report.add(table.problem("issuers.value", &one.span, format!("`{shown}` is not valid in `{key}`")).help(help(&one.value)))
            }
            Some(value) => {
                if !set.insert(value) {
                    report.add(table.problem("issuers.duplicate", &one.span, format!("`{shown}` occurs twice in `{key}`")));
                }
            }
        }
    }
    Some(set)
}

/// Advice on an algorithm that is not known or not accepted.
pub(super) fn algorithm_help(name: &str) -> String {
    match name.to_ascii_uppercase().as_str() {
        "NONE" => "an unsecured token proves nothing and is never accepted".to_owned(),
        "HS256" | "HS384" | "HS512" => "symmetric algorithms are never accepted: who can verify could also sign".to_owned(),
        _ => text::suggestion(name, Algorithm::ALL.iter().map(|algorithm| algorithm.name())),
    }
}

/// A whole number within a range.
pub(super) fn number(table: &mut Table<'_>, key: &'static str, range: std::ops::RangeInclusive<i64>, report: &mut Report) -> Option<i64> {
    let found = table.integer(key, report)?;
    if range.contains(&found.value) {
        return Some(found.value);
    }
    let message = format!("`{key}` is {}, which is not between {} and {}", found.value, range.start(), range.end());
    report.add(table.problem("issuers.value", &found.span, message));
    None
}

/// The place of an issuer's name, for problems of the whole issuer.
pub(super) fn place(issuer: &IssuerConfig) -> Range<usize> {
    issuer.name.span.clone()
}
