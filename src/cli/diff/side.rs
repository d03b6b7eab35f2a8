//! One side of a comparison: a folder, a sealed gate, or what the archive keeps under a tag or digest.

use std::path::{Path, PathBuf};

use miette::{WrapErr as _, miette};

use super::super::archive::{self, Shelf};
use super::super::files::{self, Folders};
use super::super::output;
use crate::bundle::{Bundle, Gate};
use crate::host;
use crate::policy::PolicyStore;

/// What is compared.
#[derive(Debug)]
pub(super) struct Side {
    pub(super) name: String,
    pub(super) bundle: Bundle,
    pub(super) gate: Gate,
    /// Where it lies as files, with its tests; what was sealed has none.
    pub(super) folders: Option<Folders>,
}

/// Where to look for what is named.
#[derive(Debug, Clone, Copy)]
pub(super) struct Places<'a> {
    pub(super) archive: &'a Path,
    /// The keys of folders that bring none.
    pub(super) keys: &'a Path,
    pub(super) dev: bool,
}

impl Side {
    /// Finds what somebody named and loads it strictly: a project's folder, a folder of policies, a sealed component, the tag of a
    /// release, or the first digits of a digest in the archive.
    ///
    /// # Errors
    /// When there is nothing of that name, or it is not valid.
    pub(super) fn read(name: &str, places: Places<'_>) -> miette::Result<Self> {
        let path = Path::new(name);
        if path.is_dir() {
            let folders = folders(path, places);
            let (bundle, gate) = files::load(&folders.policies, &folders.keys, folders.dev)?;
            return Ok(Self { name: name.to_owned(), bundle, gate, folders: Some(folders) });
        }
        let digest = if path.is_file() { described(path)? } else { archived(name, places.archive)? };
        let bundle = archive::find(places.archive, &digest)?;
        let help = "an older version of this command may read them";
        let gate =
            Gate::load(&bundle).map_err(|report| miette!(help = help, "the policies `{digest}` cannot be loaded any more: {report}"))?;
        Ok(Self { name: name.to_owned(), bundle, gate, folders: None })
    }
}

/// A project has both folders in it; any other is one of policies.
fn folders(path: &Path, places: Places<'_>) -> Folders {
    let inner = path.join("policies");
    let project = inner.is_dir() && !path.join(PolicyStore::SCHEMA.trim_start_matches("policies/")).is_file();
    let policies = if project { inner } else { path.to_owned() };
    let own = path.join("keys");
    let keys: PathBuf = if project && own.is_dir() { own } else { places.keys.to_owned() };
    Folders { policies, keys, dev: places.dev }
}

/// The digest that a sealed component says it has.
fn described(path: &Path) -> miette::Result<String> {
    let shown = path.display();
    let bytes = std::fs::read(path).map_err(|error| miette!("`{shown}` cannot be read: {error}"))?;
    let help = "name a folder, a sealed component or a policy digest";
    let description = host::describe(&bytes).ok_or_else(|| miette!(help = help, "`{shown}` is no sealed component"))?;
    Ok(description.policy_digest)
}

/// The policy digest of what the archive calls this.
fn archived(name: &str, archive: &Path) -> miette::Result<String> {
    let named = Shelf::open(archive)?.policies(name).map(|digest| digest.to_string());
    named.wrap_err_with(|| miette!("`{}` is no folder and no sealed component", output::visible(name)))
}
