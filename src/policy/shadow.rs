//! `policies/shadow/`: policies on trial. A second complete set, asked beside the enforced one and never obeyed.
//!
//! Enforcing it later is a move of files. Schema, entities and routes that it does not have itself are those of the enforced set.

use super::PolicyStore;
use crate::bundle::{Bundle, Problem, Report};

/// Where they are.
const FOLDER: &str = "policies/shadow/";

/// Whether a file is one of theirs.
pub(super) fn is_shadow(file: &str) -> bool {
    file.starts_with(FOLDER)
}

/// Loads them as strictly as the enforced ones. None when there are none, and when a problem was reported.
pub(super) fn load(bundle: &Bundle, report: &mut Report) -> Option<PolicyStore> {
    let own = |file: &str| file.strip_prefix(FOLDER).map(|rest| format!("policies/{rest}"));
    let mut trial: Bundle = bundle.iter().filter_map(|(file, bytes)| Some((own(file)?, bytes.to_vec()))).collect();
    let (first, _) = trial.iter().next()?;
    if !trial.iter().any(|(file, _)| file.ends_with(".cedar")) {
        let help = "a set on trial is complete: copy the policies there and change the copies";
        report.add(Problem::new(shadowed(first), "policy.shadow", "there are no policies on trial beside this file").help(help));
        return None;
    }
    if trial.get(crate::audit::CONFIG_FILE).is_some() {
        let help = "what records show is not on trial: it belongs into `policies/audit.toml`";
        report.add(Problem::new(shadowed(crate::audit::CONFIG_FILE), "bundle.unknown_file", "the gate does not know this file").help(help));
        return None;
    }
    for (file, bytes) in bundle.iter().filter(|(file, _)| file.starts_with("policies/") && !file.ends_with(".cedar") && !is_shadow(file)) {
        if trial.get(file).is_none() && file != crate::audit::CONFIG_FILE {
            trial.insert(file, bytes);
        }
    }
    let mut found = Report::default();
    let store = super::load::load(&trial, &mut found);
    for problem in found.problems() {
        let theirs = shadowed(&problem.file);
        // Of a file that both sets share, the place is in the enforced one.
        let file = if bundle.get(&theirs).is_some() || bundle.get(&problem.file).is_none() { theirs } else { problem.file.clone() };
        report.add(Problem { file, ..problem.clone() });
    }
    store
}

/// `policies/shadow/a.cedar` of `policies/a.cedar`.
fn shadowed(file: &str) -> String {
    file.strip_prefix("policies/").map_or_else(|| file.to_owned(), |rest| format!("{FOLDER}{rest}"))
}
