//! `keys/mtls.toml`, read strictly, all problems at once.

use std::collections::BTreeSet;
use std::ops::Range;

use toml::de::DeTable;

use super::arrival::WELL_KNOWN;
use super::forms::{ALB_FIELDS, Form, Names};
use super::spiffe;
use super::terminator::Terminator;
use crate::bundle::{Problem, Report};
use crate::identity::table::{self, Found, Table};
use crate::identity::{NameKind, text};
use crate::limits;
use crate::request::Network;

/// The file.
pub(super) const FILE: &str = "keys/mtls.toml";
/// The one version of the format.
const VERSION: i64 = 1;
const FORMS: [&str; 5] = ["rfc9440", "xfcc", "nginx", "alb", "der"];
const KINDS: [(&str, NameKind); 4] =
    [("spiffe", NameKind::Spiffe), ("dns", NameKind::Dns), ("email", NameKind::Email), ("subject", NameKind::Subject)];
/// How the names of principals begin that certificates give: without a prefix, nothing else may.
pub(super) const STARTS: [&str; 4] = ["spiffe:", "dns:", "email:", "subject:"];

/// A whole file, checked as far as it can be alone.
#[derive(Debug)]
pub(super) struct Config {
    pub(super) form: Form,
    pub(super) terminator: Terminator,
    pub(super) by_certificate: bool,
    pub(super) names: Vec<NameKind>,
    pub(super) require_crl: Option<Range<usize>>,
    pub(super) insecure_accept_expired_crl: bool,
    pub(super) anchors: Vec<AnchorConfig>,
}

/// One `[[anchor]]`.
#[derive(Debug)]
pub(super) struct AnchorConfig {
    pub(super) name: Found<String>,
    pub(super) certificates: Vec<Found<String>>,
    pub(super) crls: Vec<Found<String>>,
    pub(super) trust_domains: Vec<Found<String>>,
    pub(super) prefix: Found<String>,
}

/// What a file names, whatever else is wrong with it.
#[derive(Debug, Default)]
pub(super) struct Named {
    pub(super) certificates: Vec<Found<String>>,
    pub(super) crls: Vec<Found<String>>,
    /// Whether the file could not be read at all, so that it is not known what it names.
    pub(super) unread: bool,
}

/// Reads the file. `None` only when a problem was reported.
pub(super) fn read(bytes: &[u8], named: &mut Named, report: &mut Report) -> Option<Config> {
    let Ok(text) = std::str::from_utf8(bytes) else {
        report.add(Problem::new(FILE, "mtls.syntax", "the file is not UTF-8"));
        named.unread = true;
        return None;
    };
    let (root, errors) = DeTable::parse_recoverable(text);
    if !errors.is_empty() {
        named.unread = true;
        for error in errors {
            report.add(Problem::new(FILE, "mtls.syntax", error.message().to_lowercase()).at(error.span()));
        }
        return None;
    }
    let mut root = Table::with_codes(&table::MTLS, FILE, "the file", 0..0, root.get_ref());
    root.require("version", "the first line is `version = 1`", report);
    if let Some(version) = root.integer("version", report).filter(|version| version.value != VERSION) {
        let message = format!("version {} is not known", version.value);
        report.add(root.problem("mtls.version", &version.span, message).help("this gate reads version 1"));
    }
    let mut fields = Fields::default();
    let form = read_form(&mut root, &mut fields, report);
    let by_certificate = match root.string("principal", report) {
        None => false,
        Some(found) => match found.value.as_str() {
            "token" => false,
            "certificate" => true,
            other => {
                let message = format!("`{}` cannot name the principal", text::shown(other));
                report.add(root.problem("mtls.value", &found.span, message).help("`token` or `certificate`"));
                false
            }
        },
    };
    let names = read_names(&mut root, report);
    let require_crl = root.boolean("require_crl", report).unwrap_or(false).then(|| place(text, "require_crl"));
    let insecure_accept_expired_crl = root.boolean("insecure_accept_expired_crl", report).unwrap_or(false);
    root.require("terminator", "`[terminator]` says how the TLS terminator proves itself", report);
    let terminator = root.table("terminator", "`[terminator]`".to_owned(), report);
    let terminator = terminator.and_then(|table| read_terminator(table, &mut fields, report));
    root.require("anchor", "each `[[anchor]]` is a certification authority whose certificates count", report);
    let tables = root.tables("anchor", report);
    if tables.len() > limits::TRUST_ANCHORS {
        report.add(Problem::new(FILE, "mtls.too_many", format!("more than {} anchors", limits::TRUST_ANCHORS)));
    }
    let anchors: Vec<_> = tables.into_iter().map(|table| read_anchor(table, named, report)).collect();
    root.finish(report);
    let anchors = anchors.into_iter().collect::<Option<Vec<_>>>()?;
    let names = names?;
    check_together(&anchors, &names, report);
    Some(Config { form: form?, terminator: terminator?, by_certificate, names, require_crl, insecure_accept_expired_crl, anchors })
}

/// Where a key stands, for a problem that shows later.
fn place(text: &str, key: &str) -> Range<usize> {
    let start = text.find(key).unwrap_or(0);
    start..start.saturating_add(key.len())
}

/// The fields that are configured, which must differ.
#[derive(Debug, Default)]
struct Fields(BTreeSet<String>);

impl Fields {
    /// A configured name of a field.
    fn named(&mut self, table: &mut Table<'_>, key: &'static str, report: &mut Report) -> Option<Found<String>> {
        let found = table.string(key, report)?;
        let refused = match is_field(&found.value) {
            false => Some("1 to 64 of a-z, 0-9 and `-`, beginning with a letter"),
            true if is_taken(&found.value) || (key == "secret_header" && is_well_known(&found.value)) => {
                Some("the field has another meaning; take a name of your own")
            }
            true if !self.0.insert(found.value.clone()) => Some("each field carries one thing"),
            true => None,
        };
        if let Some(help) = refused {
            let message = format!("`{}` cannot be the field of `{key}`", text::shown(&found.value));
            report.add(table.problem("mtls.value", &found.span, message).help(help));
            return None;
        }
        Some(found)
    }
}

fn is_field(name: &str) -> bool {
    (1..=64).contains(&name.len())
        && name.starts_with(|c: char| c.is_ascii_lowercase())
        && name.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-')
}

/// Whether a field means something to HTTP, to the gate or to another form.
fn is_taken(name: &str) -> bool {
    const STARTS: [&str; 10] =
        ["spin-", "cedargate-", "x-forwarded-", "client-cert", "sec-", "proxy-", "content-", "if-", "access-control-", "accept"];
    const NAMES: [&str; 28] = [
        "authorization",
        "cookie",
        "set-cookie",
        "host",
        "dpop",
        "connection",
        "keep-alive",
        "te",
        "trailer",
        "transfer-encoding",
        "upgrade",
        "expect",
        "forwarded",
        "via",
        "date",
        "x-real-ip",
        "traceparent",
        "tracestate",
        "user-agent",
        "origin",
        "referer",
        "range",
        "cache-control",
        "pragma",
        "from",
        "max-forwards",
        "priority",
        "alt-svc",
    ];
    STARTS.iter().any(|start| name.starts_with(start)) || NAMES.contains(&name)
}

/// Whether terminators are known to write certificates there, which is no place for a secret.
fn is_well_known(name: &str) -> bool {
    WELL_KNOWN.contains(&name) || ALB_FIELDS.contains(&name)
}

fn read_form(table: &mut Table<'_>, fields: &mut Fields, report: &mut Report) -> Option<Form> {
    table.require("form", "how the terminator writes the certificate: `rfc9440`, `xfcc`, `nginx`, `alb` or `der`", report);
    let form = table.string("form", report)?;
    let form_name = form.value.as_str();
    if !FORMS.contains(&form_name) {
        let message = format!("`{}` is not a form", text::shown(form_name));
        report.add(table.problem("mtls.value", &form.span, message).help(text::suggestion(form_name, FORMS.into_iter())));
        return None;
    }
    // Keys that the form does not have stay unknown.
    match form_name {
        "xfcc" => Some(Form::Xfcc),
        "nginx" | "der" => {
            if form_name == "der" {
                table.require("header", "the field with the certificate", report);
            }
            let given = table.string("header", report).is_some();
            let header = match (given, form_name) {
                (true, _) => fields.named(table, "header", report).map(|found| found.value),
                (false, "nginx") => fields.0.insert("ssl-client-cert".to_owned()).then(|| "ssl-client-cert".to_owned()),
                (false, _) => None,
            };
            let chain = match table.string("chain_header", report) {
                None => None,
                Some(_) => Some(fields.named(table, "chain_header", report)?.value),
            };
            let names = Names { header: header?, chain };
            Some(if form_name == "der" { Form::Der(names) } else { Form::Nginx(names) })
        }
        "alb" => {
            let [chain, _] = ALB_FIELDS;
            let Some(found) = table.string("header", report) else { return Some(Form::Alb(chain.to_owned())) };
            if ALB_FIELDS.contains(&found.value.as_str()) {
                return Some(Form::Alb(found.value));
            }
            let message = format!("a load balancer does not write `{}`", text::shown(&found.value));
            report.add(table.problem("mtls.value", &found.span, message).help(text::suggestion(&found.value, ALB_FIELDS.into_iter())));
            None
        }
        _ => Some(Form::Rfc9440),
    }
}

fn read_names(table: &mut Table<'_>, report: &mut Report) -> Option<Vec<NameKind>> {
    let Some(found) = table.strings("names", false, report) else { return Some(vec![NameKind::Spiffe, NameKind::Dns]) };
    let mut names = Vec::new();
    let mut good = !found.value.is_empty();
    if found.value.is_empty() {
        report.add(table.problem("mtls.value", &found.span, "`names` is empty"));
    }
    for one in &found.value {
        let problem = match KINDS.iter().find(|(name, _)| *name == one.value) {
            None => {
                let message = format!("`{}` is not a kind of name", text::shown(&one.value));
                let help = text::suggestion(&one.value, KINDS.iter().map(|(name, _)| *name));
                table.problem("mtls.value", &one.span, message).help(help)
            }
            Some((_, kind)) if names.contains(kind) => {
                table.problem("mtls.duplicate", &one.span, format!("`{}` occurs twice in `names`", one.value))
            }
            Some((_, kind)) => {
                names.push(*kind);
                continue;
            }
        };
        good = false;
        report.add(problem);
    }
    good.then_some(names)
}

fn read_terminator(mut table: Table<'_>, fields: &mut Fields, report: &mut Report) -> Option<Terminator> {
    let given = table.string("secret_header", report).is_some();
    let secret_header = if given { fields.named(&mut table, "secret_header", report).map(|found| found.value) } else { None };
    let mut good = secret_header.is_some() == given;
    let mut addresses = Vec::new();
    let found = table.strings("addresses", false, report);
    if let Some(found) = &found {
        if found.value.is_empty() || found.value.len() > limits::TERMINATOR_ADDRESSES {
            good = false;
            let message = format!("`addresses` has {} entries, not 1 to {}", found.value.len(), limits::TERMINATOR_ADDRESSES);
            report.add(table.problem("mtls.value", &found.span, message));
        }
        for one in &found.value {
            match Network::parse(&one.value) {
                Some(network) => addresses.push(network),
                None => {
                    good = false;
                    let message = format!("`{}` is not an address or a network", text::shown(&one.value));
                    let help = "for example `10.0.0.0/8` or `::1`: the bits after those that count are zero, at least one counts, and IPv4 is written as IPv4";
                    report.add(table.problem("mtls.value", &one.span, message).help(help));
                }
            }
        }
    }
    let insecure_trust_any = table.boolean("insecure_trust_any", report).unwrap_or(false);
    let proofs = given || found.is_some();
    if insecure_trust_any && proofs {
        good = false;
        let problem = Problem::new(FILE, "mtls.value", "`insecure_trust_any` beside a proof");
        report.add(problem.at(Some(table.span())).help("leave it out: with a proof configured nobody else is trusted"));
    }
    if !insecure_trust_any && !proofs {
        good = false;
        let problem = Problem::new(FILE, "mtls.missing_key", "`[terminator]` names no proof");
        let help = "`secret_header` with the variable `mtls_terminator_secret`, `addresses`, or both";
        report.add(problem.at(Some(table.span())).help(help));
    }
    table.finish(report);
    good.then_some(Terminator { secret_header, addresses, insecure_trust_any })
}

fn read_anchor(mut table: Table<'_>, named: &mut Named, report: &mut Report) -> Option<AnchorConfig> {
    table.require("name", "a short name for policies and records, for example `name = \"corp\"`", report);
    table.require("certificates", "the files in keys/ca/ with its certificates", report);
    let name = table.string("name", report);
    let certificates = table.strings("certificates", false, report);
    let crls = table.strings("crls", false, report);
    let trust_domains = table.strings("trust_domains", false, report);
    let prefix = table.string("prefix", report);
    let whole = table.span();
    named.certificates.extend(certificates.iter().flat_map(|files| files.value.clone()));
    named.crls.extend(crls.iter().flat_map(|files| files.value.clone()));

    let mut good = true;
    let mut refuse = |span: &Range<usize>, value: &str, help: &str| {
        good = false;
        let problem = table.problem("mtls.value", span, format!("`{}` is not a valid value here", text::shown(value)));
        report.add(problem.help(help));
    };
    if let Some(found) = name.as_ref().filter(|found| !is_name(&found.value)) {
        refuse(&found.span, &found.value, "1 to 32 of a-z, 0-9 and `-`");
    }
    for domain in trust_domains.iter().flat_map(|found| &found.value).filter(|domain| !spiffe::is_trust_domain(&domain.value)) {
        refuse(&domain.span, &domain.value, "a SPIFFE trust domain: 1 to 255 of a-z, 0-9, `.`, `-` and `_`, without `spiffe://`");
    }
    if let Some(found) = prefix.as_ref().filter(|found| !is_prefix(&found.value)) {
        let help = "empty, or 1 to 64 bytes without control characters, ending in `/` or `:`, and not beginning like a name (`spiffe:`, `dns:`, `email:`, `subject:`)";
        refuse(&found.span, &found.value, help);
    }
    for (key, list) in [("certificates", &certificates), ("crls", &crls), ("trust_domains", &trust_domains)] {
        let Some(list) = list else { continue };
        if list.value.len() > limits::TRUST_ANCHORS || (key == "certificates" && list.value.is_empty()) {
            good = false;
            let message = format!("`{key}` has {} entries, not 1 to {}", list.value.len(), limits::TRUST_ANCHORS);
            report.add(table.problem("mtls.value", &list.span, message));
        }
        let mut seen = BTreeSet::new();
        for one in list.value.iter().filter(|one| !seen.insert(&one.value)) {
            good = false;
            report.add(table.problem("mtls.duplicate", &one.span, format!("`{}` occurs twice in `{key}`", text::shown(&one.value))));
        }
    }
    table.finish(report);
    let values = |found: Option<Found<Vec<Found<String>>>>| found.map(|found| found.value).unwrap_or_default();
    let name = name?;
    let certificates = certificates?.value;
    good.then(|| AnchorConfig {
        prefix: prefix.unwrap_or(Found { value: String::new(), span: whole }),
        name,
        certificates,
        crls: values(crls),
        trust_domains: values(trust_domains),
    })
}

fn is_name(text: &str) -> bool {
    (1..=limits::ISSUER_NAME_BYTES).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-')
}

fn is_prefix(text: &str) -> bool {
    let plain = text.len() <= 64 && text.ends_with(['/', ':']) && !text.chars().any(char::is_control);
    text.is_empty() || (plain && !STARTS.iter().any(|start| text.starts_with(start)))
}

/// What only shows between anchors.
fn check_together(anchors: &[AnchorConfig], names: &[NameKind], report: &mut Report) {
    let problem = |code, span: &Range<usize>, message: String| Problem::new(FILE, code, message).at(Some(span.clone()));
    let prefixed = names.iter().any(|kind| *kind != NameKind::Spiffe);
    let mut before: Vec<&AnchorConfig> = Vec::new();
    for anchor in anchors {
        for other in &before {
            if other.name.value == anchor.name.value {
                report.add(problem("mtls.duplicate", &anchor.name.span, format!("two anchors have the name `{}`", anchor.name.value)));
            }
            // SECURITY: an id says which authority vouches for it. Were it shared, the weaker of two could name the other's
            // clients.
            let help = "one authority with several certificates is one `[[anchor]]` with all of them in `certificates`";
            let shared = |domain: &&Found<String>| other.trust_domains.iter().any(|theirs| theirs.value == domain.value);
            for domain in anchor.trust_domains.iter().filter(shared) {
                let message = format!("the trust domain `{}` is also one of anchor `{}`", domain.value, other.name.value);
                report.add(problem("mtls.duplicate", &domain.span, message).help(help));
            }
            let (a, b) = (&other.prefix.value, &anchor.prefix.value);
            let run_together = a == b || (!a.is_empty() && !b.is_empty() && (a.starts_with(b.as_str()) || b.starts_with(a.as_str())));
            if prefixed && run_together {
                let message = format!("the prefix `{}` runs into `{}` of anchor `{}`", text::shown(b), text::shown(a), other.name.value);
                report.add(problem("mtls.prefix", &anchor.prefix.span, message).help(help));
            }
        }
        before.push(anchor);
    }
}
