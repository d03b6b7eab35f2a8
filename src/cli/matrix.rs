//! `cedargate matrix`: who may do what, as one table that a reviewer reads.

mod between;
mod change;
mod table;

use std::io;

use miette::{IntoDiagnostic as _, WrapErr as _, miette};

use super::audit::one_line;
use super::diagnostic::count;
use super::files::Folders;
use super::test::{MATRIX, Tests};
use super::{Exit, exit, output};
pub(super) use between::{Cell, between};
use change::{Change, changes};
use table::Table;

/// The table's path in a bundle, which never has it.
const FILE: &str = "policies/tests/matrix.txt";

const EXAMPLES: &str = r"
cedargate matrix
    write policies/tests/matrix.txt, for reviewing what changed in it
cedargate matrix --check
    for CI: whether the policies still decide as the file says
cedargate matrix --check --policies next/policies
    whom the next policies treat otherwise";

/// Write who may do what as a table, or check the policies against it
///
/// Asks the requests of policies/tests/matrix.yaml for each of its callers, and writes the answers into policies/tests/matrix.txt. The
/// file is kept with the policies: its changes show what a change of policy means. docs/policy-tests.md has the format.
#[derive(Debug, clap::Args)]
#[command(after_help = exit::help(EXAMPLES, &[Exit::Ok, Exit::Failed, Exit::Invalid, Exit::TestsFailed]))]
pub struct MatrixArgs {
    #[command(flatten)]
    folders: Folders,
    /// Write nothing, and fail when the file says anything else
    #[arg(long)]
    check: bool,
}

/// Runs `cedargate matrix`.
///
/// # Errors
/// When a file cannot be read or written, or policies, keys or the table's definition are not valid.
pub fn run(args: &MatrixArgs) -> miette::Result<Exit> {
    let MatrixArgs { folders, check } = args;
    let tests = Tests::read(folders)?;
    let table = table(&tests)?;
    let text = table.text();
    let path = tests.on_disk(FILE);
    let shown = path.display().to_string();
    let kept = match std::fs::read_to_string(&path) {
        Ok(kept) => Some(kept),
        Err(error) if error.kind() == io::ErrorKind::NotFound => None,
        Err(error) => return Err(error).into_diagnostic().wrap_err_with(|| format!("`{shown}` cannot be read")),
    };
    let size = format!("{} for {}", count(table.rows().len(), "request"), count(table.callers().len(), "caller"));
    let changes = kept.as_deref().map(|kept| changes(kept, &table)).unwrap_or_default();
    if *check {
        return checked(&shown, kept.as_deref(), &text, &changes, &size);
    }
    if kept.as_deref() != Some(&text) {
        std::fs::write(&path, &text).into_diagnostic().wrap_err_with(|| format!("`{shown}` cannot be written"))?;
    }
    output::stdout(&told(&changes))?;
    let what = if kept.as_deref() == Some(&text) { "unchanged" } else { "written" };
    output::stdout(&format!("{what}: {}, {size}\n", one_line(&shown)))?;
    Ok(Exit::Ok)
}

/// The table of the tests beside the policies.
fn table(tests: &Tests) -> miette::Result<Table> {
    let Some(bytes) = tests.bytes(MATRIX) else {
        return Err(miette!(help = "docs/policy-tests.md shows how to write it", "`{}` does not exist", tests.on_disk(MATRIX).display()));
    };
    Table::read(tests, bytes)
}

fn checked(shown: &str, kept: Option<&str>, text: &str, changes: &[Change], size: &str) -> miette::Result<Exit> {
    if kept == Some(text) {
        output::stdout(&format!("ok: {}, {size}\n", one_line(shown)))?;
        return Ok(Exit::Ok);
    }
    output::stdout(&told(changes))?;
    output::stderr(&match (kept, changes) {
        (None, _) => format!("error: there is no `{}` to check against\n    help: write it with `cedargate matrix`\n", one_line(shown)),
        (Some(_), []) => format!(
            "error: every answer is as `{}` says, but its comments or its layout are not what would be written\n    help: run `cedargate matrix`\n",
            one_line(shown)
        ),
        (Some(_), changes) => format!(
            "error: {} against `{}`\n    help: if that is what the change of policy is meant to do, run `cedargate matrix` and commit the file\n",
            count(changes.len(), "change"),
            one_line(shown)
        ),
    });
    Ok(Exit::TestsFailed)
}

fn told(changes: &[Change]) -> String {
    changes.iter().map(|change| format!("{}\n", one_line(&change.to_string()))).collect()
}

#[cfg(test)]
mod tests;
