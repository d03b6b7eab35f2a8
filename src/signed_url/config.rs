//! `keys/signed-urls.toml`: whether there are signed URLs, how long they last, and which paths lie at other services.
//!
//! Read strictly, all problems at once. Without the file there are no signed URLs, and `cg-` parameters mean nothing.

use toml::de::DeTable;

use super::SubjectMode;
use super::formats::aws_sigv4::{Bucket, Style};
use crate::bundle::{Bundle, Problem, Report};
use crate::identity::Url;
use crate::identity::table::{self, Found, Table};
use crate::limits;
use crate::request::Path;

/// The file.
pub const FILE: &str = "keys/signed-urls.toml";
/// The one version of the format.
const VERSION: i64 = 1;
/// How long a link may last where the file says nothing, in seconds.
const LIFETIME: i64 = 3600;

/// What is sealed about signed URLs.
#[derive(Debug, Clone)]
pub struct SignedUrls {
    /// The longest a link may last, in seconds, where no route says less.
    pub max_lifetime: i64,
    /// Whether links made under other policies are refused.
    pub pin_policy: bool,
    /// How links show names.
    pub subject: SubjectMode,
    /// The `SameSite` of cookies.
    pub same_site: SameSite,
    /// Other services, the longest path first.
    pub(super) targets: Vec<Target>,
}

/// The `SameSite` attribute of a cookie (RFC 6265bis, section 5.6.7).
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum SameSite {
    /// Also with a link that leads here from elsewhere.
    #[default]
    Lax,
    /// Only from this site.
    Strict,
    /// From anywhere, for players on other sites.
    None,
}

impl SameSite {
    /// As in the attribute.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Lax => "Lax",
            Self::Strict => "Strict",
            Self::None => "None",
        }
    }
}

/// A service that verifies URLs itself, for the paths at and below one.
#[derive(Debug, Clone)]
pub(super) struct Target {
    /// The decoded segments.
    pub(super) path: Vec<String>,
    /// The name of its credentials in `signed_url_credentials`.
    pub(super) credentials: String,
    pub(super) service: Service,
}

/// What kind of service.
#[derive(Debug, Clone)]
pub(super) enum Service {
    Aws { bucket: Bucket, key_prefix: String },
    CloudFront { url: String, cookie_domain: Option<String> },
    GoogleCdn { url: String },
    MediaCdn { url: String },
    Akamai { url: String, token_name: String, escape: bool },
}

impl Service {
    /// As in the file.
    pub(super) const fn name(&self) -> &'static str {
        match self {
            Self::Aws { .. } => "aws-sigv4",
            Self::CloudFront { .. } => "cloudfront",
            Self::GoogleCdn { .. } => "google-cloud-cdn",
            Self::MediaCdn { .. } => "google-media-cdn",
            Self::Akamai { .. } => "akamai",
        }
    }
}

const SERVICES: &str = "`aws-sigv4`, `cloudfront`, `google-cloud-cdn`, `google-media-cdn`, `akamai`";

impl SignedUrls {
    /// Loads the file. `None` when there is none, and when a problem was reported.
    pub fn load(bundle: &Bundle, report: &mut Report) -> Option<Self> {
        let bytes = bundle.get(FILE)?;
        let Ok(text) = std::str::from_utf8(bytes) else {
            report.add(Problem::new(FILE, "signed_urls.syntax", "the file is not UTF-8"));
            return None;
        };
        let (root, errors) = DeTable::parse_recoverable(text);
        if !errors.is_empty() {
            for error in errors {
                report.add(Problem::new(FILE, "signed_urls.syntax", error.message().to_lowercase()).at(error.span()));
            }
            return None;
        }
        let mut own = Report::default();
        let config = read(Table::with_codes(&table::SIGNED_URLS, FILE, "the file", 0..0, root.get_ref()), &mut own);
        own.problems().into_iter().for_each(|problem| report.add(problem.clone()));
        config.filter(|_| own.is_empty())
    }
}

fn value(table: &Table<'_>, found: &Found<String>, message: String, help: &str, report: &mut Report) {
    report.add(table.problem("signed_urls.value", &found.span, message).help(help));
}

fn read(mut root: Table<'_>, report: &mut Report) -> Option<SignedUrls> {
    root.require("version", "the first line is `version = 1`", report);
    if let Some(version) = root.integer("version", report).filter(|version| version.value != VERSION) {
        let message = format!("version {} is not known", version.value);
        report.add(root.problem("signed_urls.version", &version.span, message).help("this gate reads version 1"));
    }
    let max_lifetime = match root.integer("max_lifetime_seconds", report) {
        None => LIFETIME,
        Some(found) => {
            if !(1..=limits::LINK_SECONDS).contains(&found.value) {
                let message = format!("`max_lifetime_seconds` is not from 1 to {}", limits::LINK_SECONDS);
                report.add(root.problem("signed_urls.value", &found.span, message));
            }
            found.value
        }
    };
    let pin_policy = root.boolean("pin_policy", report).unwrap_or(false);
    let subject = match root.string("subject", report) {
        None => SubjectMode::default(),
        Some(found) => match found.value.as_str() {
            "opaque" => SubjectMode::Opaque,
            "hash" => SubjectMode::Hash,
            "plain" => SubjectMode::Plain,
            _ => {
                value(&root, &found, "names cannot be shown like this".to_owned(), "`opaque`, `hash` or `plain`", report);
                SubjectMode::default()
            }
        },
    };
    let same_site = match root.string("cookie_same_site", report) {
        None => SameSite::default(),
        Some(found) => match found.value.as_str() {
            "Lax" => SameSite::Lax,
            "Strict" => SameSite::Strict,
            "None" => SameSite::None,
            _ => {
                value(&root, &found, "no such `SameSite`".to_owned(), "`Lax`, `Strict` or `None`", report);
                SameSite::default()
            }
        },
    };
    let tables = root.tables("target", report);
    if tables.len() > limits::LINK_TARGETS {
        report.add(Problem::new(FILE, "signed_urls.too_many", format!("more than {} targets", limits::LINK_TARGETS)));
    }
    let mut targets: Vec<Target> = vec![];
    for table in tables {
        let span = table.span();
        let Some(target) = target(table, report) else { continue };
        if targets.iter().any(|other| other.path == target.path && other.service.name() == target.service.name()) {
            let message = format!("two targets of `{}` have the same path", target.service.name());
            report.add(Problem::new(FILE, "signed_urls.ambiguous", message).at(Some(span)));
        }
        targets.push(target);
    }
    root.finish(report);
    targets.sort_by_key(|target| std::cmp::Reverse(target.path.len()));
    Some(SignedUrls { max_lifetime, pin_policy, subject, same_site, targets })
}

fn target(mut table: Table<'_>, report: &mut Report) -> Option<Target> {
    for key in ["service", "path", "credentials"] {
        table.require(key, "each `[[target]]` says which service, for which paths, with which credentials", report);
    }
    let service = table.string("service", report);
    let path = table.string("path", report).and_then(|found| match Path::parse(&found.value) {
        Ok(path) => Some(path.segments().to_vec()),
        Err(denial) => {
            value(&table, &found, format!("not a path that a request can have: {}", denial.reason.meaning()), "such as `/media`", report);
            None
        }
    });
    let credentials = table.string("credentials", report).and_then(|found| {
        let fits = (1..=64).contains(&found.value.len()) && found.value.bytes().all(|b| b.is_ascii_alphanumeric() || b"-_".contains(&b));
        if !fits {
            value(&table, &found, "not a name of credentials".to_owned(), "1 to 64 of A-Z, a-z, 0-9, `-`, `_`", report);
        }
        fits.then_some(found.value)
    });
    let service = service.and_then(|found| match found.value.as_str() {
        "aws-sigv4" => aws(&mut table, report),
        "cloudfront" => {
            let cookie_domain = table.string("cookie_domain", report);
            let cookie_domain = match cookie_domain {
                None => Some(None),
                Some(found) => match crate::request::parse_authority(found.value.trim_start_matches('.'), true) {
                    Some((host, None)) => Some(Some(host)),
                    _ => {
                        value(&table, &found, "not a domain".to_owned(), "such as `example.com`", report);
                        None
                    }
                },
            };
            Some(Service::CloudFront { url: url(&mut table, "url", report)?, cookie_domain: cookie_domain? })
        }
        "google-cloud-cdn" => Some(Service::GoogleCdn { url: url(&mut table, "url", report)? }),
        "google-media-cdn" => Some(Service::MediaCdn { url: url(&mut table, "url", report)? }),
        "akamai" => {
            let name = table.string("token_name", report);
            let fits = |name: &str| (1..=32).contains(&name.len()) && name.bytes().all(|b| b.is_ascii_alphanumeric() || b"-_".contains(&b));
            if let Some(found) = name.as_ref().filter(|found| !fits(&found.value)) {
                value(&table, found, "not a name of a parameter".to_owned(), "1 to 32 of A-Z, a-z, 0-9, `-`, `_`", report);
            }
            let token_name = name.map_or_else(|| "__token__".to_owned(), |found| found.value);
            // The property's own default.
            let escape = table.boolean("escape_token_input", report).unwrap_or(true);
            Some(Service::Akamai { url: url(&mut table, "url", report)?, token_name, escape })
        }
        _ => {
            value(&table, &found, "no such service".to_owned(), &format!("known are {SERVICES}"), report);
            // Its other keys are not known either.
            None
        }
    });
    let target = Target { path: path?, credentials: credentials?, service: service? };
    table.finish(report);
    Some(target)
}

fn aws(table: &mut Table<'_>, report: &mut Report) -> Option<Service> {
    for key in ["endpoint", "region", "bucket"] {
        table.require(key, "a bucket has an endpoint, a region and a name", report);
    }
    let endpoint = table.string("endpoint", report).and_then(|found| match Url::parse(&found.value) {
        Some(url) if url.path_with_query() == "/" => Some(url),
        _ => {
            value(table, &found, "not the address of a service".to_owned(), "`https://host[:port]`, without a path", report);
            None
        }
    });
    let mut name = |key: &'static str, most: usize| {
        let found = table.string(key, report)?;
        let fits = (1..=most).contains(&found.value.len()) && found.value.bytes().all(|b| b.is_ascii_alphanumeric() || b"-._".contains(&b));
        if !fits {
            value(table, &found, format!("`{key}` cannot be this"), "letters, digits, `-`, `.` and `_`", report);
        }
        fits.then_some(found.value)
    };
    let (region, bucket) = (name("region", 64), name("bucket", 63));
    let style = match table.string("style", report) {
        None => Style::VirtualHost,
        Some(found) => match found.value.as_str() {
            "virtual-host" => Style::VirtualHost,
            "path" => Style::Path,
            _ => {
                value(table, &found, "no such style".to_owned(), "`virtual-host` or `path`", report);
                Style::VirtualHost
            }
        },
    };
    let key_prefix = table.string("key_prefix", report).map(|found| found.value).unwrap_or_default();
    let endpoint = endpoint?;
    let bucket = Bucket {
        endpoint_https: endpoint.https(),
        endpoint_host: endpoint.authority().to_owned(),
        region: region?,
        bucket: bucket?,
        style,
    };
    Some(Service::Aws { bucket, key_prefix })
}

/// A URL below which everything lies: scheme, host, and a path without a query and without a slash at its end.
fn url(table: &mut Table<'_>, key: &'static str, report: &mut Report) -> Option<String> {
    table.require(key, "the address of what lies at the target's path, such as `https://cdn.example.com`", report);
    let found = table.string(key, report)?;
    let text = found.value.strip_suffix('/').unwrap_or(&found.value);
    let path = Url::parse(text).map(|url| url.path_with_query().to_owned());
    if path.is_none_or(|path| path.contains('?') || path != "/" && Path::parse(&path).is_err()) {
        value(table, &found, "not an address that paths can be appended to".to_owned(), "`https://host[:port][/path]`", report);
        return None;
    }
    Some(text.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn load(text: &str) -> Result<SignedUrls, Vec<(&'static str, String)>> {
        let mut bundle = Bundle::default();
        bundle.insert(FILE, text);
        let mut report = Report::default();
        let loaded = SignedUrls::load(&bundle, &mut report);
        match loaded {
            Some(loaded) if report.is_empty() => Ok(loaded),
            _ => Err(report.problems().into_iter().map(|problem| (problem.code, problem.message.clone())).collect()),
        }
    }

    const AWS: &str = "\n[[target]]\nservice = \"aws-sigv4\"\npath = \"/media\"\ncredentials = \"m\"\nendpoint = \"https://s3.eu-central-1.amazonaws.com\"\nregion = \"eu-central-1\"\nbucket = \"b\"\n";

    #[test]
    fn a_file_of_one_line_has_the_defaults() {
        let config = load("version = 1").unwrap();
        assert_eq!((config.max_lifetime, config.pin_policy, config.subject), (3600, false, SubjectMode::Opaque));
        assert_eq!((config.same_site, config.targets.len()), (SameSite::Lax, 0));
    }

    #[test]
    fn the_longest_path_comes_first() {
        let deeper = AWS.replace("/media", "/media/a/b");
        let config = load(&format!("version = 1\n{AWS}{deeper}")).unwrap();
        assert_eq!(config.targets.iter().map(|target| target.path.len()).collect::<Vec<_>>(), [3, 1]);
    }

    #[test]
    fn every_service_is_read() {
        for (service, more) in [
            ("cloudfront", "url = \"https://d1.cloudfront.net/x\"\ncookie_domain = \"example.com\""),
            ("google-cloud-cdn", "url = \"https://cdn.example.com/\""),
            ("google-media-cdn", "url = \"https://cdn.example.com\""),
            ("akamai", "url = \"https://cdn.example.com\"\ntoken_name = \"hdnts\""),
        ] {
            let text = format!("version = 1\n[[target]]\nservice = \"{service}\"\npath = \"/v\"\ncredentials = \"c\"\n{more}");
            assert_eq!(load(&text).unwrap().targets.first().unwrap().service.name(), service);
        }
    }

    #[test]
    fn what_is_wrong_is_told_by_its_code() {
        for (text, code) in [
            ("", "signed_urls.missing_key"),
            ("version = 2", "signed_urls.version"),
            ("version = 1\nmax_lifetime_seconds = 604801", "signed_urls.value"),
            ("version = 1\nmax_lifetime_seconds = 0", "signed_urls.value"),
            ("version = 1\npin_policy = 1", "signed_urls.type"),
            ("version = 1\npin_polcy = true", "signed_urls.unknown_key"),
            ("version = 1\nsubject = \"secret\"", "signed_urls.value"),
            ("version = 1\ncookie_same_site = \"lax\"", "signed_urls.value"),
            ("version = ", "signed_urls.syntax"),
            (&format!("version = 1\n{AWS}{AWS}"), "signed_urls.ambiguous"),
            (&format!("version = 1\n{}", AWS.replace("/media", "media")), "signed_urls.value"),
            (&format!("version = 1\n{}", AWS.replace("/media", "/media/")), "signed_urls.value"),
            (&format!("version = 1\n{}", AWS.replace("aws-sigv4", "s3")), "signed_urls.value"),
            (&format!("version = 1\n{}", AWS.replace("amazonaws.com", "amazonaws.com/x")), "signed_urls.value"),
            (&format!("version = 1\n{}", AWS.replace("bucket =", "buckt =")), "signed_urls.missing_key"),
            (&format!("version = 1\n{}", AWS.replace("bucket = \"b\"", "bucket = \"a/b\"")), "signed_urls.value"),
        ] {
            let problems = load(text).unwrap_err();
            assert!(problems.iter().any(|(found, _)| *found == code), "{text}: {problems:?}");
        }
        assert!(load("version = 1").is_ok() && load(&format!("version = 1\n{AWS}")).is_ok());
    }
}
