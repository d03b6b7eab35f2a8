//! Records as comma-separated values (RFC 4180), one row each: flat, with columns that never change their meaning. Documented in
//! `docs/audit-export.md`.

use crate::audit::{Entry, PolicyEntry};

/// A column: its name, and what stands in it.
type Column = (&'static str, fn(&Entry) -> String);

/// All of them. New ones are only ever added at the end.
const COLUMNS: &[Column] = &[
    ("time", |entry| entry.time.clone()),
    ("kind", |entry| entry.kind.as_str().to_owned()),
    ("decision", |entry| entry.decision.clone()),
    ("status", |entry| positive(entry.status.into())),
    ("reason", |entry| entry.reason.clone()),
    ("detail", |entry| entry.detail.clone()),
    ("method", |entry| entry.request.method.clone()),
    ("host", |entry| some(entry.request.host.as_ref())),
    ("path", |entry| some(entry.request.path.as_ref())),
    ("client", |entry| some(entry.request.client.as_ref())),
    ("principal", |entry| some(entry.cedar.as_ref().and_then(|cedar| cedar.principal.as_ref()))),
    ("action", |entry| entry.cedar.as_ref().map(|cedar| cedar.action.clone()).unwrap_or_default()),
    ("resource", |entry| some(entry.cedar.as_ref().and_then(|cedar| cedar.resource.as_ref()))),
    ("policies", |entry| joined(entry.policies.iter().map(|policy| policy.id.as_str()))),
    ("policy_owners", |entry| of_policies(entry, |policy| policy.owner.as_ref())),
    ("policy_controls", |entry| of_policies(entry, |policy| policy.control.as_ref())),
    ("issuer", |entry| entry.identity.as_ref().map(|token| token.issuer.clone()).unwrap_or_default()),
    ("subject", |entry| some(entry.identity.as_ref().and_then(|token| token.subject.as_ref()))),
    ("email", |entry| some(entry.identity.as_ref().and_then(|token| token.email.as_ref()))),
    ("client_id", |entry| some(entry.identity.as_ref().and_then(|token| token.client_id.as_ref()))),
    ("groups", |entry| joined(entry.identity.iter().flat_map(|token| &token.groups))),
    ("roles", |entry| joined(entry.identity.iter().flat_map(|token| &token.roles))),
    ("scopes", |entry| joined(entry.identity.iter().flat_map(|token| &token.scopes))),
    ("token_id", |entry| some(entry.identity.as_ref().and_then(|token| token.token_id.as_ref()))),
    ("certificate_subject", |entry| some(entry.certificate.as_ref().and_then(|one| one.subject.as_ref()))),
    ("certificate_fingerprint", |entry| entry.certificate.as_ref().map(|one| one.fingerprint.clone()).unwrap_or_default()),
    ("spiffe_id", |entry| some(entry.certificate.as_ref().and_then(|one| one.spiffe_id.as_ref()))),
    ("link_id", |entry| entry.signed_url.as_ref().map(|link| link.link_id.clone()).unwrap_or_default()),
    ("link_subject", |entry| some(entry.signed_url.as_ref().and_then(|link| link.subject.as_ref()))),
    ("credentials", credentials),
    ("signed", |entry| joined(entry.signing.iter().filter_map(|one| one.link_id.as_ref()))),
    ("upstream_status", |entry| entry.upstream.as_ref().and_then(|up| up.status).map(|status| status.to_string()).unwrap_or_default()),
    ("upstream_error", |entry| {
        entry.upstream.as_ref().and_then(|up| up.error.as_ref()).map(|error| error.reason.clone()).unwrap_or_default()
    }),
    ("identity_us", |entry| timing(entry, entry.timing_us.identity)),
    ("policy_us", |entry| timing(entry, entry.timing_us.policy)),
    ("upstream_us", |entry| positive(entry.upstream.as_ref().map_or(0, |up| up.time_us))),
    ("total_us", |entry| positive(entry.timing_us.total)),
    ("change", |entry| some(entry.change.as_ref())),
    ("errors", |entry| joined(&entry.errors)),
    ("shadow_decision", |entry| entry.shadow.as_ref().map(|shadow| shadow.decision.clone()).unwrap_or_default()),
    ("region", |entry| entry.region.clone()),
    ("decision_id", |entry| entry.decision_id.clone()),
    ("trace_id", |entry| entry.trace_id.clone()),
    ("policy_digest", |entry| some(entry.policy_digest.as_ref())),
    ("schema_digest", |entry| some(entry.schema_digest.as_ref())),
    ("build_digest", |entry| some(entry.build_digest.as_ref())),
    ("instance", |entry| entry.chain.as_ref().map(|chain| chain.instance.clone()).unwrap_or_default()),
    ("seq", |entry| entry.chain.as_ref().map(|chain| chain.seq.to_string()).unwrap_or_default()),
    ("masked", |entry| joined(&entry.masked)),
    ("erased", |entry| joined(&entry.erased)),
    ("lost", |entry| entry.dropped.as_ref().map(|dropped| dropped.count.to_string()).unwrap_or_default()),
    ("mode", |entry| some(entry.mode.as_ref())),
    ("enforced", |entry| entry.enforced.map(|enforced| enforced.to_string()).unwrap_or_default()),
];

/// The first line.
pub(super) fn header() -> String {
    let names: Vec<_> = COLUMNS.iter().map(|(name, _)| *name).collect();
    format!("{}\r\n", names.join(","))
}

/// The line of a record.
pub(super) fn row(entry: &Entry) -> String {
    let cells: Vec<_> = COLUMNS.iter().map(|(_, value)| cell(&value(entry))).collect();
    format!("{}\r\n", cells.join(","))
}

/// A cell: quoted where it must be, and harmless to a spreadsheet and to a terminal.
fn cell(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    // SECURITY: whoever asks for `/=HYPERLINK(…)` must not run a formula in the spreadsheet of whoever looks into it. The apostrophe
    // makes it text. The wide forms count because some programs take them for the same.
    if text.trim_start_matches([' ', '\n']).starts_with(['=', '+', '-', '@', '\t', '\r', '＝', '＋', '－', '＠']) {
        out.push('\'');
    }
    for c in text.chars() {
        match c {
            '"' => out.push_str("\"\""),
            '\r' | '\n' | '\t' => out.push(c),
            // What gates write is free of these; what is not from a gate may not be.
            c if c.is_control() || matches!(c, '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}') => {
                out.extend(c.escape_unicode());
            }
            c => out.push(c),
        }
    }
    if out.contains(['"', ',', '\r', '\n', ' ']) { format!("\"{out}\"") } else { out }
}

/// What became of each credential: `token:verified`, `token:refused:jwt.expired`.
fn credentials(entry: &Entry) -> String {
    joined(entry.credentials.iter().map(|one| {
        let reason = one.reason.as_ref().map(|reason| format!(":{reason}")).unwrap_or_default();
        format!("{}:{}{reason}", one.kind, one.fate)
    }))
}

fn of_policies(entry: &Entry, member: fn(&PolicyEntry) -> Option<&String>) -> String {
    let mut all: Vec<_> = entry.policies.iter().filter_map(member).collect();
    all.dedup();
    joined(all)
}

fn joined<S: AsRef<str>>(values: impl IntoIterator<Item = S>) -> String {
    let mut out = String::new();
    for value in values {
        if !out.is_empty() {
            out.push(';');
        }
        out.push_str(value.as_ref());
    }
    out
}

fn some(value: Option<&String>) -> String {
    value.cloned().unwrap_or_default()
}

/// A number that is not 0, which stands for one that is not known.
fn positive(number: u64) -> String {
    if number == 0 { String::new() } else { number.to_string() }
}

/// Of a record that is about a request, where 0 is a measurement.
fn timing(entry: &Entry, micros: u64) -> String {
    if entry.is_decision() { micros.to_string() } else { String::new() }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Cells as RFC 4180 reads them.
    fn read(line: &str) -> Vec<String> {
        let line = line.strip_suffix("\r\n").unwrap();
        let (mut cells, mut quoted) = (vec![String::new()], false);
        let mut chars = line.chars().peekable();
        while let Some(c) = chars.next() {
            match c {
                '"' if quoted && chars.peek() == Some(&'"') => cells.last_mut().unwrap().push(chars.next().unwrap()),
                '"' => quoted = !quoted,
                ',' if !quoted => cells.push(String::new()),
                c => cells.last_mut().unwrap().push(c),
            }
        }
        cells
    }

    #[test]
    fn no_cell_is_a_formula() {
        for text in ["=1+1", "+1", "-1", "@SUM(A1)", "\t=1", "\r=1", "=cmd|' /C calc'!A0", "  =1", "\n=1", "＝1", "＠x"] {
            let shown = read(&format!("{}\r\n", cell(text))).remove(0);
            assert_eq!(shown, format!("'{text}"), "{text:?}");
        }
        for text in ["a=1", "1-2", "/api/=x", "", "h:0x1", "…"] {
            assert_eq!(read(&format!("{}\r\n", cell(text))), [text]);
        }
    }

    #[test]
    fn what_a_cell_holds_cannot_leave_it() {
        for text in ["a,b", "\"", "a\"b\",\"c", "a\r\nb", "\"\"", " a", ","] {
            assert_eq!(read(&format!("{}\r\n", cell(text))), [text], "{text:?}");
        }
        assert_eq!(cell("a\u{1b}[2J\u{9b}\u{202e}\0"), "a\\u{1b}[2J\\u{9b}\\u{202e}\\u{0}");
    }

    #[test]
    fn a_row_has_a_cell_for_each_column() {
        let header = read(&header());
        assert_eq!(header.len(), COLUMNS.len());
        let mut sorted = header.clone();
        sorted.sort();
        sorted.dedup();
        assert_eq!(sorted.len(), header.len(), "a column occurs twice");
        assert_eq!(read(&row(&Entry::default())).len(), header.len());
        let entry = Entry { detail: "a,\"b\"\r\n".to_owned(), errors: vec!["x".to_owned(), "y".to_owned()], ..Entry::default() };
        let cells = read(&row(&entry));
        let of = |name: &str| &cells[header.iter().position(|one| one == name).unwrap()];
        assert_eq!((of("detail").as_str(), of("errors").as_str(), of("kind").as_str()), ("a,\"b\"\r\n", "x;y", "decision"));
    }

    #[test]
    fn the_page_names_every_column_in_order() {
        let page = std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/docs/audit-export.md")).unwrap();
        let (_, table) = page.split_once("## Columns of CSV").unwrap();
        let named: Vec<_> = table.lines().filter_map(|line| line.strip_prefix("| `")?.split('`').next()).collect();
        let names: Vec<_> = COLUMNS.iter().map(|(name, _)| *name).collect();
        assert_eq!(named, names);
    }
}
