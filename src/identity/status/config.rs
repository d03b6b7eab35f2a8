//! Which status lists an issuer's tokens may name: `status_lists` and `require_status` of `keys/issuers.toml`.

use crate::bundle::Report;
use crate::identity::Url;
use crate::identity::table::{Found, Table};
use crate::identity::text;
use crate::limits;

/// Which status lists an issuer's tokens may name.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(in crate::identity) struct Lists {
    /// A list's address must be one of these, or lie below it.
    addresses: Vec<Url>,
    /// Whether a token without a status is refused.
    pub(super) required: bool,
}

impl Lists {
    /// The addresses that were configured.
    pub(in crate::identity) fn addresses(&self) -> impl Iterator<Item = &Url> {
        self.addresses.iter()
    }

    /// Whether tokens may name the list at `url`.
    ///
    /// SECURITY: the gate asks the address a token names. Without this, whoever can have a token signed could have the gate
    /// send requests to any host that other issuers' keys come from.
    pub(super) fn allow(&self, url: &Url) -> bool {
        self.addresses.iter().any(|address| address.same_origin(url) && is_below(path(address), path(url))) && is_plain(path(url))
    }
}

/// Reads an issuer's configuration.
pub(in crate::identity) fn read(table: &mut Table<'_>, report: &mut Report) -> Lists {
    let named = table.strings("status_lists", true, report);
    let required = table.boolean("require_status", report).unwrap_or(false);
    let Some(Found { value: named, span }) = named else {
        if required {
            table.require("status_lists", "with `require_status` and no list that may be named, every token would be refused", report);
        }
        return Lists::default();
    };
    if named.is_empty() || named.len() > limits::STATUS_LISTS_CONFIGURED {
        let message = format!("`status_lists` has {} addresses, not 1 to {}", named.len(), limits::STATUS_LISTS_CONFIGURED);
        report.add(table.problem("issuers.value", &span, message));
    }
    let mut addresses: Vec<Url> = Vec::new();
    for Found { value, span } in &named {
        let shown = text::shown(value);
        let Some(url) = Url::parse(value).filter(|url| !url.path_with_query().contains('?') && is_plain(path(url))) else {
            let problem = table.problem("issuers.value", span, format!("`{shown}` is not an address of status lists"));
            report.add(problem.help("`https://host[:port]/path`, without query, `.` or `..`; lists at it and below it are taken"));
            continue;
        };
        // Asked for only where it matters, so that a wrong value is told once, by who reads the addresses of keys.
        if !url.https() && table.boolean("insecure_allow_http", report) != Some(true) {
            let problem = table.problem("issuers.value", span, format!("`{shown}` is not `https://`"));
            report.add(problem.help("lists are signed, but who can hold them back or send old ones undoes a revocation; for tests only: `insecure_allow_http = true`"));
            continue;
        }
        if addresses.contains(&url) {
            report.add(table.problem("issuers.duplicate", span, format!("`{shown}` occurs twice in `status_lists`")));
        }
        addresses.push(url);
    }
    Lists { addresses, required }
}

fn path(url: &Url) -> &str {
    url.path_with_query().split('?').next().unwrap_or_default()
}

/// Whether `path` is `base` or below it, by whole segments.
fn is_below(base: &str, path: &str) -> bool {
    path.strip_prefix(base).is_some_and(|rest| rest.is_empty() || base.ends_with('/') || rest.starts_with('/'))
}

/// SECURITY: a path a server could take for one outside its folder: dot segments, plain or encoded, and encoded separators.
fn is_plain(path: &str) -> bool {
    let path = path.to_ascii_lowercase();
    let separators = ["%2f", "%5c", "%25"].iter().any(|encoded| path.contains(encoded));
    !separators && !path.split('/').any(|segment| matches!(segment.replace("%2e", ".").as_str(), "." | ".."))
}
