//! `cedargate new`: a project that passes its own checks, empty or from a description of an API.
//!
//! Everything is made and loaded in memory first. Nothing is written unless a gate can be made of it.

mod openapi;
mod project;

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use miette::{IntoDiagnostic as _, WrapErr as _, miette};

use super::diagnostic::{Invalid, count};
use super::output::{self, visible};
use super::seal::write_whole;
use super::{Exit, exit};
use crate::bundle::{Bundle, Gate};

const EXAMPLES: &str = r"
cedargate new gate
    a small project to start from, in the new folder gate/
cedargate new gate --openapi petstore.yaml
    routes, actions, types and a policy for each tag of an API
cedargate check --policies gate/policies --keys gate/keys
    what was made passes from the start";

/// Largest description of an API.
const OPENAPI_BYTES: u64 = 32 * 1024 * 1024;

/// Start a project
///
/// Makes a folder with policies, a schema, routes, keys and a manifest that pass `cedargate check` as they are. With a description
/// of an API (OpenAPI 3.0 or 3.1, JSON or YAML) the routes, actions and types are those of the API, and each of its tags gets a
/// policy for one group. Nobody is in these groups until `keys/issuers.toml` says so: everything is denied at first.
#[derive(Debug, clap::Args)]
#[command(after_help = exit::help(EXAMPLES, &[Exit::Ok, Exit::Failed]))]
pub struct NewArgs {
    /// The folder: a new one, or one that is empty
    #[arg(value_name = "DIR")]
    folder: PathBuf,
    /// The description of the API behind the gate
    #[arg(long, value_name = "FILE")]
    openapi: Option<PathBuf>,
}

/// The files of a project, by their paths with `/`.
type Files = BTreeMap<String, String>;

/// Runs `cedargate new`.
///
/// # Errors
/// When the folder is not empty or cannot be written, and when the description cannot be read.
pub fn run(args: &NewArgs) -> miette::Result<Exit> {
    let NewArgs { folder, openapi } = args;
    must_be_empty(folder)?;
    let (files, warnings, what) = match openapi {
        None => (project::sample()?, vec![], String::new()),
        Some(path) => {
            let text = read(path)?;
            let made = openapi::project(&text).wrap_err_with(|| format!("`{}` cannot be used", visible(&path.display().to_string())))?;
            let what = format!(": {}, {}, {}", count(made.routes, "route"), count(made.operations, "operation"), count(made.tags, "tag"));
            (made.files, made.warnings, what)
        }
    };
    check(&files)?;
    for (path, text) in &files {
        write_whole(&folder.join(path), text.as_bytes())?;
    }
    for warning in warnings {
        // A name in it may hold a line end.
        output::stderr(&format!("warning: {}\n", visible(&warning).replace('\n', " ")));
    }
    let shown = visible(&folder.display().to_string());
    output::stdout(&format!("made {shown}{what}\n"))?;
    output::stderr(&format!("next: cd {shown}, read README.md, and run `cedargate check`\n"));
    Ok(Exit::Ok)
}

fn must_be_empty(folder: &Path) -> miette::Result<()> {
    let shown = visible(&folder.display().to_string());
    match fs::read_dir(folder).map(|mut entries| entries.next().is_none()) {
        Ok(true) => Ok(()),
        Ok(false) => Err(miette!(help = "name a folder that does not exist yet", "the folder `{shown}` is not empty")),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        Err(error) => Err(miette!("the folder `{shown}` cannot be used: {error}")),
    }
}

fn read(path: &Path) -> miette::Result<String> {
    let shown = visible(&path.display().to_string());
    let size = fs::metadata(path).into_diagnostic().wrap_err_with(|| format!("`{shown}` cannot be read"))?.len();
    if size > OPENAPI_BYTES {
        return Err(miette!("`{shown}` has {size} bytes, more than {OPENAPI_BYTES}"));
    }
    fs::read_to_string(path).into_diagnostic().wrap_err_with(|| format!("`{shown}` cannot be read"))
}

/// INVARIANT: what is written can be sealed. A project that cannot would be a fault of this command.
fn check(files: &Files) -> miette::Result<()> {
    let known = |path: &str| {
        let part = path.starts_with("policies/") || path.starts_with("keys/");
        part && !path.starts_with("policies/tests/") && path != "policies/proofs.yaml"
    };
    let bundle: Bundle =
        files.iter().filter(|(path, _)| known(path)).map(|(path, text)| (path.clone(), text.clone().into_bytes())).collect();
    match Gate::load(&bundle) {
        Ok(_) => Ok(()),
        Err(report) => {
            let found = Invalid::new(Path::new("policies"), Path::new("keys"), bundle, report);
            found.tell();
            Err(miette!(help = "nothing was written; this is a fault of `cedargate new`", "the project would not pass its own check"))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::policy::PolicyStore;

    fn new(folder: &Path) -> miette::Result<Exit> {
        run(&NewArgs { folder: folder.to_owned(), openapi: None })
    }

    #[test]
    fn a_folder_that_is_not_empty_is_left_alone() {
        let folder = tempfile::tempdir().unwrap();
        assert_eq!(new(folder.path()).unwrap(), Exit::Ok, "an empty one is taken");
        let error = new(folder.path()).unwrap_err();
        assert!(error.to_string().contains("is not empty"), "{error}");
    }

    #[test]
    fn the_sample_passes_and_has_nothing_to_look_at() {
        let files = project::sample().unwrap();
        check(&files).unwrap();
        let bundle: Bundle = files
            .iter()
            .filter(|(path, _)| {
                path.starts_with("policies/") && !path.starts_with("policies/tests/") && path.as_str() != "policies/proofs.yaml"
            })
            .map(|(path, text)| (path.clone(), text.clone().into_bytes()))
            .collect();
        assert_eq!(PolicyStore::advice(&bundle), []);
        for name in ["spin.toml", "README.md", ".gitignore", "keys/issuers.toml", "policies/tests/documents.yaml"] {
            assert!(files.contains_key(name), "{name}");
        }
        assert!(!files.values().any(|text| text.contains("make ")), "there is no Makefile");
    }
}
