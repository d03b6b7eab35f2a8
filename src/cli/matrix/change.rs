//! What is otherwise than the file says, in sentences.

use std::collections::BTreeMap;
use std::fmt;

use super::table::{Answer, Table};

/// One cell that changed, or a row or caller that came or went.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Change {
    /// Another answer.
    Answer { caller: String, request: String, before: Answer, now: Answer },
    /// A request that the file does not have.
    Added { request: String },
    /// A request that only the file has.
    Removed { request: String },
    /// A caller that a row of the file does not have.
    NewCaller { caller: String },
    /// A caller that only the file has.
    GoneCaller { caller: String },
}

/// What of the file is otherwise now, in the order of the table.
pub(super) fn changes(kept: &str, table: &Table) -> Vec<Change> {
    let kept = parse(kept);
    let mut changes = vec![];
    let mut once = |change: Change| {
        if !changes.contains(&change) {
            changes.push(change);
        }
    };
    for row in table.rows() {
        let Some(before) = kept.iter().find(|(request, _)| *request == row.name).map(|(_, answers)| answers) else {
            once(Change::Added { request: row.name.clone() });
            continue;
        };
        for (caller, now) in table.callers().iter().zip(&row.answers) {
            match before.get(caller.as_str()) {
                None => once(Change::NewCaller { caller: caller.clone() }),
                Some(before) if before == now => {}
                Some(before) => {
                    once(Change::Answer { caller: caller.clone(), request: row.name.clone(), before: before.clone(), now: now.clone() })
                }
            }
        }
        for caller in before.keys().filter(|caller| !table.callers().iter().any(|known| known == *caller)) {
            once(Change::GoneCaller { caller: (*caller).to_owned() });
        }
    }
    for (request, _) in kept.iter().filter(|(request, _)| !table.rows().iter().any(|row| row.name == *request)) {
        once(Change::Removed { request: (*request).to_owned() });
    }
    changes
}

/// The rows of a file, as far as it can be read.
fn parse(kept: &str) -> Vec<(&str, BTreeMap<&str, Answer>)> {
    let mut rows: Vec<(&str, BTreeMap<&str, Answer>)> = vec![];
    for line in kept.lines().filter(|line| !line.starts_with('#') && !line.trim().is_empty()) {
        match (line.strip_prefix("  "), rows.last_mut()) {
            (Some(cell), Some((_, answers))) => {
                if let Some((caller, answer)) = cell.split_once(' ') {
                    answers.insert(caller, Answer(answer.trim().to_owned()));
                }
            }
            (Some(_), None) => {}
            (None, _) => rows.push((line, BTreeMap::new())),
        }
    }
    rows
}

impl Answer {
    pub(super) fn allows(&self) -> bool {
        self.0.starts_with("allow")
    }

    /// The policies that decided it. Empty where none did.
    pub(super) fn by(&self) -> Vec<String> {
        let ids = self.0.split_once(' ').map(|(_, rest)| rest.trim().split("  ").next().unwrap_or_default()).unwrap_or_default();
        // What is needed stands where no policy decided; an id has no space.
        ids.split(", ").filter(|id| !id.is_empty() && !id.contains(' ')).map(str::to_owned).collect()
    }

    /// Whether a policy failed.
    pub(super) fn failed(&self) -> bool {
        self.0.split_once(' ').is_some_and(|(_, rest)| rest.trim_start().starts_with("error "))
    }

    /// `denied by documents.freeze`.
    fn because(&self) -> String {
        let (word, rest) = self.0.split_once(' ').unwrap_or((&self.0, ""));
        // The policies, then what would be needed.
        let mut parts = rest.trim().split("  ").map(str::trim);
        let first = parts.next().unwrap_or_default();
        let more = parts.next().unwrap_or_default();
        let login = |needed: &str| needed.strip_prefix("login").map(|login| format!("until a login{login}"));
        match (word, first) {
            ("allow", ids) => format!("allowed by {ids}"),
            (_, "") => "denied: nothing permits it".to_owned(),
            (_, scope) if scope.starts_with("scope ") => format!("denied: the {scope} is missing"),
            (_, error) if error.starts_with("error ") => format!("denied: a policy fails, {}", error.trim_start_matches("error ")),
            (_, ids) => match login(more) {
                Some(login) => format!("denied by {ids} {login}"),
                None => format!("denied by {ids}"),
            },
        }
    }
}

impl fmt::Display for Change {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Answer { caller, request, before, now } => {
                let (is, was) = (now.because(), before.because());
                match (before.allows(), now.allows()) {
                    (true, false) => write!(f, "{caller} may no longer {request}: {is} (was {was})"),
                    (false, true) => write!(f, "{caller} may now {request}: {is} (was {was})"),
                    (true, true) => write!(f, "{caller} may still {request}: {is} (was {was})"),
                    (false, false) => write!(f, "{caller} still may not {request}: {is} (was {was})"),
                }
            }
            Self::Added { request } => write!(f, "new in the table: {request}"),
            Self::Removed { request } => write!(f, "no longer in the table: {request}"),
            Self::NewCaller { caller } => write!(f, "new in the table: the caller {caller}"),
            Self::GoneCaller { caller } => write!(f, "no longer in the table: the caller {caller}"),
        }
    }
}
