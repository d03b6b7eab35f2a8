//! `cedargate fmt`: policies as Cedar's own formatter writes them.
//!
//! What crosses out is a file written whole, and only one that says what it said before: the same policies, the same
//! annotations, the same comments. Anything else is refused and the file left as it is.

pub(in crate::cli) mod diff;
mod text;

pub(super) use text::policies;

use std::fs;
use std::path::{Path, PathBuf};

use super::diagnostic::{Invalid, count};
use super::files::{self, Read};
use super::output::{self, visible};
use super::seal::write_whole;
use super::{Exit, exit};
use crate::bundle::Problem;

const EXAMPLES: &str = r"
cedargate fmt
    write every file in policies/ as it is meant to look
cedargate fmt --check
    change nothing, say which files would: for CI
cedargate fmt --policies ../team/policies
    another folder";

/// Write policies in one form
///
/// Every `*.cedar` file is formatted by Cedar's own formatter. Comments, annotations and the order of policies stay. Of the
/// schema only spaces at ends of lines and the end of the file are put right: Cedar has no formatter that keeps its comments.
#[derive(Debug, clap::Args)]
#[command(after_help = exit::help(EXAMPLES, &[Exit::Ok, Exit::Failed, Exit::Invalid]))]
pub struct FmtArgs {
    /// Write nothing; show what would change, and exit with 3 when something would
    #[arg(long)]
    check: bool,
    /// The folder with schema and policies
    #[arg(long, value_name = "DIR", default_value = "policies")]
    policies: PathBuf,
}

/// Runs `cedargate fmt`.
///
/// # Errors
/// When the folder cannot be read or a file cannot be written; [`Invalid`] when a file cannot be formatted.
pub fn run(args: &FmtArgs) -> miette::Result<Exit> {
    let FmtArgs { check, policies } = args;
    let Read { bundle, mut report } = files::read_policies(policies)?;
    let mut changed = Vec::new();
    let mut looked_at = 0_usize;
    for (file, bytes) in bundle.iter() {
        let formatted = match (std::str::from_utf8(bytes), file.rsplit_once('.')) {
            (Ok(text), Some((_, "cedar"))) => text::policies(file, text, &mut report),
            (Ok(text), Some((_, "cedarschema"))) => text::schema(file, text, &mut report),
            (Err(_), Some((_, "cedar" | "cedarschema"))) => {
                report.add(Problem::new(file, "bundle.not_utf8", "the file is not UTF-8 text"));
                None
            }
            _ => continue,
        };
        looked_at = looked_at.saturating_add(1);
        let before = std::str::from_utf8(bytes).unwrap_or_default();
        if let Some(formatted) = formatted.filter(|formatted| formatted != before) {
            changed.push((file.to_owned(), before.to_owned(), formatted));
        }
    }
    let mut said = String::new();
    for (file, before, after) in &changed {
        let path = on_disk(policies, file);
        let shown = visible(&path.display().to_string());
        if *check {
            said.push_str(&format!("{shown}\n{}", diff::short(before, after)));
        } else {
            // What a link in the folder leads to, not the link.
            let real = fs::canonicalize(&path).unwrap_or(path);
            write_whole(&real, after.as_bytes())?;
            said.push_str(&format!("{shown}\n"));
        }
    }
    output::stdout(&said)?;
    let verb = if *check { "would change" } else { "changed" };
    output::stderr(&format!("{} of {} {verb}\n", changed.len(), count(looked_at, "file")));
    if !report.is_empty() {
        return Err(Invalid::new(policies, Path::new("keys"), bundle, report).into());
    }
    Ok(if *check && !changed.is_empty() { Exit::Invalid } else { Exit::Ok })
}

fn on_disk(policies: &Path, file: &str) -> PathBuf {
    policies.join(file.strip_prefix("policies/").unwrap_or(file))
}

#[cfg(test)]
mod tests {
    use super::*;

    const UGLY: &str = "// who\n@id(\"a\") // why\npermit(principal,action in [Gate::Action::\"GET\"],\nresource) when{true};\n// end\n";

    fn project(policies: &str) -> tempfile::TempDir {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("a.cedar"), policies).unwrap();
        fs::write(folder.path().join("routes.toml"), "version = 1   \n").unwrap();
        folder
    }

    fn fmt(folder: &Path, check: bool) -> miette::Result<Exit> {
        run(&FmtArgs { check, policies: folder.to_owned() })
    }

    #[test]
    fn a_file_is_written_once_and_is_right_afterwards() {
        let folder = project(UGLY);
        let text = || fs::read_to_string(folder.path().join("a.cedar")).unwrap();
        assert_eq!(fmt(folder.path(), true).unwrap(), Exit::Invalid);
        assert_eq!(text(), UGLY, "--check writes nothing");
        assert_eq!(fmt(folder.path(), false).unwrap(), Exit::Ok);
        assert_ne!(text(), UGLY);
        for kept in ["// who", "// why", "// end", "@id(\"a\")"] {
            assert!(text().contains(kept), "{kept} in {}", text());
        }
        assert_eq!(fmt(folder.path(), true).unwrap(), Exit::Ok);
        assert_eq!(fs::read_to_string(folder.path().join("routes.toml")).unwrap(), "version = 1   \n", "not a policy");
    }

    #[test]
    fn what_cannot_be_read_is_a_problem_and_the_rest_is_formatted() {
        let folder = project("permit (principal;");
        fs::write(folder.path().join("b.cedar"), UGLY).unwrap();
        let error = fmt(folder.path(), false).unwrap_err();
        assert!(error.downcast_ref::<Invalid>().is_some());
        assert_eq!(fs::read_to_string(folder.path().join("a.cedar")).unwrap(), "permit (principal;");
        assert_ne!(fs::read_to_string(folder.path().join("b.cedar")).unwrap(), UGLY);
    }

    #[test]
    fn a_link_stays_a_link() {
        let folder = project(UGLY);
        std::os::unix::fs::symlink("a.cedar", folder.path().join("b.cedar")).unwrap();
        fmt(folder.path(), false).unwrap();
        assert!(fs::symlink_metadata(folder.path().join("b.cedar")).unwrap().is_symlink());
    }
}
