//! What came of it, as OCSF says it.

use super::super::{Entry, Kind};

/// A number of OCSF and its name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Id {
    pub id: i64,
    pub caption: &'static str,
}

const fn id(id: i64, caption: &'static str) -> Id {
    Id { id, caption }
}

const INFORMATIONAL: Id = id(1, "Informational");
const LOW: Id = id(2, "Low");
const MEDIUM: Id = id(3, "Medium");

/// Denials that are worth a look each: what was shown had been stolen, forged, revoked or used before, or somebody tries to be read in
/// two ways.
const ALARMING: [&str; 17] = [
    "dpop.key_mismatch",
    "dpop.replay",
    "dpop.signature_invalid",
    "dpop.token_mismatch",
    "jwt.algorithm_mismatch",
    "jwt.certificate_mismatch",
    "jwt.revoked",
    "jwt.signature_invalid",
    "jwt.status_revoked",
    "jwt.unsecured",
    "mtls.revoked",
    "mtls.untrusted_terminator",
    "request.framing_ambiguous",
    "request.host_ambiguous",
    "request.spin_header_repeated",
    "signed_url.address",
    "signed_url.signature_invalid",
];

/// What the caller did, as an activity. One that OCSF does not name has its own caption.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Activity<'a> {
    pub id: i64,
    pub caption: &'a str,
}

impl Activity<'_> {
    /// As the type of the event names it.
    pub(super) fn of_type(&self) -> &str {
        if self.id == OTHER { "Other" } else { self.caption }
    }
}

const OTHER: i64 = 99;

/// The activity of a record: by the method, because actions of Cedar are whatever a team calls them.
pub(super) fn activity(entry: &Entry) -> Activity<'_> {
    let (id, caption) = match entry.request.method.as_str() {
        _ if entry.kind == Kind::Outcome => (OTHER, "Outcome"),
        "POST" => (1, "Create"),
        "GET" | "HEAD" | "OPTIONS" => (2, "Read"),
        "PUT" | "PATCH" => (3, "Update"),
        "DELETE" => (4, "Delete"),
        "" => (0, "Unknown"),
        other => (OTHER, other),
    };
    Activity { id, caption }
}

/// How it ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Outcome<'a> {
    pub severity: Id,
    pub status: Id,
    pub action: Id,
    pub disposition: Id,
    /// The reason code: of the origin's failure, where there was one.
    pub code: &'a str,
    pub detail: &'a str,
}

impl<'a> Outcome<'a> {
    pub(super) fn of(entry: &'a Entry) -> Self {
        let fault = entry.upstream.as_ref().and_then(|upstream| upstream.error.as_ref());
        let (code, detail) = fault.map_or((&entry.reason, &entry.detail), |fault| (&fault.reason, &fault.detail));
        let (action, disposition) = match entry.decision.as_str() {
            // Only what was allowed goes on to the origin and has an outcome of its own.
            "allow" => (id(1, "Allowed"), id(1, "Allowed")),
            _ if entry.kind == Kind::Outcome => (id(1, "Allowed"), id(1, "Allowed")),
            "deny" if entry.observed_denial() => (id(3, "Observed"), id(17, "Logged")),
            "deny" => (id(2, "Denied"), refusal(&entry.reason)),
            _ => (id(0, "Unknown"), id(0, "Unknown")),
        };
        let status = match (entry.status, action.id) {
            _ if fault.is_some() => id(2, "Failure"),
            (_, 2) => id(2, "Failure"),
            (100..=399, 1 | 3) => id(1, "Success"),
            (400.., 1 | 3) => id(2, "Failure"),
            _ => id(0, "Unknown"),
        };
        let severity = match action.id {
            _ if code.starts_with("system.") || ALARMING.contains(&code.as_str()) => MEDIUM,
            // What was only observed would have been denied.
            2 | 3 => LOW,
            1 => INFORMATIONAL,
            _ => id(0, "Unknown"),
        };
        Self { severity, status, action, disposition, code, detail }
    }

    /// Whether somebody should be told.
    pub(super) fn is_alert(&self) -> bool {
        self.severity.id >= MEDIUM.id
    }

    /// Whether it did not end well.
    pub(super) fn failed(&self) -> bool {
        self.status.id == 2
    }
}

/// What became of a request that was denied.
fn refusal(reason: &str) -> Id {
    match reason.split('.').next().unwrap_or_default() {
        "policy" => id(26, "Unauthorized"),
        "request" | "gate" | "sign" => id(25, "Rejected"),
        "system" => id(27, "Error"),
        _ => id(2, "Blocked"),
    }
}

#[cfg(test)]
mod tests {
    use super::ALARMING;
    use crate::decision::Reason;

    #[test]
    fn every_alarming_code_exists() {
        for code in ALARMING {
            assert!(Reason::ALL.iter().any(|reason| reason.code() == code), "{code}");
        }
    }
}
