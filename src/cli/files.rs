//! Folders to a [`Bundle`].
//!
//! What crosses in are two folders; what crosses out is what a gate is loaded from, the same bytes for the same folders on
//! every machine. Nothing outside the two folders is ever read: links that lead out are problems.

use std::fs::{self, File};
use std::io::{self, Read as _};
use std::path::{Path, PathBuf};

use miette::miette;

use super::diagnostic::Invalid;
use super::{dev_keys, lints, private_key, prove};
use crate::bundle::{Bundle, Gate, Problem, Report};
use crate::limits::{BUNDLE_BYTES, BUNDLE_FILE_BYTES};

/// Most files looked at below one folder, those that are left out included: a wrong `--policies /` ends soon.
const FILES: usize = 10_000;
/// Deepest nesting of folders.
const DEPTH: usize = 32;

/// The folders that make a bundle, as options of a subcommand.
#[derive(Debug, Clone, clap::Args)]
pub struct Folders {
    /// The folder with schema, policies, entities and routes
    #[arg(long, value_name = "DIR", default_value = "policies")]
    pub policies: PathBuf,
    /// The folder with issuers and their public keys
    #[arg(long, value_name = "DIR", default_value = "keys")]
    pub keys: PathBuf,
    /// Trust the development keys in <keys>/dev too; never for a gate that others can reach
    #[arg(long)]
    pub dev: bool,
}

/// A bundle, and what was wrong with the folders before anything in them was parsed.
#[derive(Debug)]
pub struct Read {
    /// What was read.
    pub bundle: Bundle,
    /// Links that lead out, files too large, private keys, names that are not UTF-8.
    pub report: Report,
}

/// Reads `policies` and `keys` into a bundle.
///
/// Left out are hidden files, `*.md`, `policies/tests/`, `policies/lints.toml`, `policies/proofs.yaml`, and `keys/dev/` unless `dev`: of that only the two public files.
///
/// # Errors
/// When a folder is missing or cannot be read; [`Invalid`] when something in it must not be there.
pub fn read_bundle(policies: &Path, keys: &Path, dev: bool) -> miette::Result<Bundle> {
    let Read { bundle, report } = read(policies, keys, dev)?;
    if report.is_empty() { Ok(bundle) } else { Err(Invalid::new(policies, keys, bundle, report).into()) }
}

/// Reads and loads strictly, as `check` does: all problems of the folders and of what they hold, together.
///
/// # Errors
/// When a folder is missing or cannot be read; [`Invalid`] with every problem otherwise.
pub fn load(policies: &Path, keys: &Path, dev: bool) -> miette::Result<(Bundle, Gate)> {
    let Read { bundle, report } = read(policies, keys, dev)?;
    match Gate::load(&bundle) {
        Ok(gate) if report.is_empty() => Ok((bundle, gate)),
        Ok(_) => Err(Invalid::new(policies, keys, bundle, report).into()),
        Err(loaded) => Err(Invalid::new(policies, keys, bundle, merge(report, loaded)).into()),
    }
}

/// Reads both folders, and keeps what is wrong with them for the caller to report.
///
/// # Errors
/// When a folder is missing or cannot be read.
pub fn read(policies: &Path, keys: &Path, dev: bool) -> miette::Result<Read> {
    let mut read = Read { bundle: Bundle::default(), report: Report::default() };
    let mut total = 0;
    for (folder, prefix) in [(policies, "policies"), (keys, "keys")] {
        let root = root(folder, prefix)?;
        if prefix == "keys" && dev && !root.join("dev").join(dev_keys::ISSUERS).is_file() {
            return Err(miette!(
                help = "`cedargate token` makes them on its first use; to do without, leave `--dev` out",
                "there are no development keys in `{}`",
                folder.join("dev").display()
            ));
        }
        Walk { root: &root, prefix, dev, files: 0, total: &mut total, read: &mut read }.folder(&root, prefix, 0);
    }
    Ok(read)
}

/// Reads the folder of policies alone, for what looks at nothing else.
///
/// # Errors
/// When the folder is missing or cannot be read.
pub fn read_policies(policies: &Path) -> miette::Result<Read> {
    let mut read = Read { bundle: Bundle::default(), report: Report::default() };
    let root = root(policies, "policies")?;
    Walk { root: &root, prefix: "policies", dev: false, files: 0, total: &mut 0, read: &mut read }.folder(&root, "policies", 0);
    Ok(read)
}

/// Both reports, without saying twice that a file holds a private key.
fn merge(ours: Report, mut loaded: Report) -> Report {
    for problem in ours.problems() {
        let said =
            problem.code == PRIVATE_KEY && loaded.problems().iter().any(|other| other.file == problem.file && other.code == PRIVATE_KEY);
        if !said {
            loaded.add(problem.clone());
        }
    }
    loaded
}

/// The code that the issuers' loader uses too.
const PRIVATE_KEY: &str = "key.private";

fn root(folder: &Path, option: &str) -> miette::Result<PathBuf> {
    let shown = folder.display();
    let advice = format!("run it in the project's folder, or name the folder with --{option} DIR");
    match fs::canonicalize(folder) {
        Ok(root) if root.is_dir() => Ok(root),
        Ok(_) => Err(miette!(help = advice, "`{shown}` is not a folder")),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Err(miette!(help = advice, "the folder `{shown}` does not exist")),
        Err(error) => Err(miette!(help = advice, "the folder `{shown}` cannot be read: {error}")),
    }
}

/// What becomes of an entry.
enum Use {
    Take,
    /// Not part of the bundle, but a private key in it is still a problem.
    Skip,
    /// Not part of the bundle, and known to be what it is.
    Ignore,
}

struct Walk<'a> {
    root: &'a Path,
    prefix: &'static str,
    dev: bool,
    files: usize,
    total: &'a mut usize,
    read: &'a mut Read,
}

impl Walk<'_> {
    /// Everything in one folder, in order of names. `path` is its name in the bundle.
    fn folder(&mut self, folder: &Path, path: &str, depth: usize) {
        if depth > DEPTH {
            return self.problem(path, "bundle.too_deep", format!("folders are nested more than {DEPTH} deep"));
        }
        let entries = fs::read_dir(folder).and_then(|entries| entries.map(|entry| entry.map(|entry| entry.file_name())).collect());
        let mut names: Vec<_> = match entries {
            Ok(names) => names,
            Err(error) => return self.problem(path, "bundle.unreadable", format!("the folder cannot be read: {error}")),
        };
        names.sort();
        for name in names {
            self.files = self.files.saturating_add(1);
            if self.files > FILES {
                if self.files == FILES.saturating_add(1) {
                    self.problem(self.prefix, "bundle.too_many_files", format!("there are more than {FILES} files below the folder"));
                }
                return;
            }
            let real = folder.join(&name);
            let lossy = name.to_string_lossy();
            let inner = format!("{path}/{lossy}");
            let hidden = lossy.starts_with('.');
            let decided = if hidden { Use::Skip } else { self.usage(&inner) };
            if matches!(decided, Use::Take) && (name.to_str().is_none() || lossy.contains(|c: char| c.is_control() || c == '\\')) {
                self.problem(&inner, "bundle.file_name", "the file's name is not UTF-8, or has a backslash or control character");
                continue;
            }
            self.entry(&real, &inner, decided, depth);
        }
    }

    fn usage(&self, path: &str) -> Use {
        match path.split('/').collect::<Vec<_>>().as_slice() {
            ["policies", "tests"] | ["policies", "tests", ..] | ["policies", lints::NAME | prove::NAME] => Use::Ignore,
            ["keys", "dev", file] if dev_keys::PRIVATE.contains(file) => Use::Ignore,
            ["keys", "dev"] if self.dev => Use::Take,
            ["keys", "dev", file] if self.dev && dev_keys::PUBLIC.contains(file) => Use::Take,
            ["keys", "dev", ..] => Use::Skip,
            [.., file] if file.ends_with(".md") => Use::Skip,
            _ => Use::Take,
        }
    }

    fn entry(&mut self, real: &Path, path: &str, decided: Use, depth: usize) {
        let kind = match fs::symlink_metadata(real) {
            Ok(metadata) => metadata.file_type(),
            Err(error) => return self.problem(path, "bundle.unreadable", format!("cannot be read: {error}")),
        };
        match decided {
            Use::Ignore => {}
            Use::Skip if kind.is_dir() && self.prefix == "keys" => self.folder_of_skipped(real, path, depth),
            // Links are not followed only to be left out.
            Use::Skip if kind.is_file() && self.prefix == "keys" => self.skipped(real, path),
            Use::Skip => {}
            Use::Take if kind.is_dir() => self.folder(real, path, depth.saturating_add(1)),
            Use::Take if kind.is_file() => self.take(real, path),
            Use::Take if kind.is_symlink() => self.link(real, path),
            Use::Take => self.problem(path, "bundle.file_kind", "neither a file nor a folder"),
        }
    }

    /// A link to a file inside the same folder is followed (mounted configuration consists of them); any other is a problem.
    fn link(&mut self, real: &Path, path: &str) {
        const HELP: &str = "copy the file into the folder";
        let target = match fs::canonicalize(real) {
            Ok(target) => target,
            Err(error) => return self.problem(path, "bundle.link", format!("the link leads nowhere: {error}")),
        };
        let Ok(inside) = target.strip_prefix(self.root) else {
            let problem = Problem::new(path, "bundle.link", format!("the link leads out of the folder, to `{}`", target.display()));
            return self.read.report.add(problem.help(HELP));
        };
        // SECURITY: otherwise a link would bring the development issuer in without `--dev`.
        if self.prefix == "keys" && !self.dev && inside.starts_with("dev") {
            return self.read.report.add(
                Problem::new(path, "bundle.link", "the link leads to the development keys").help("they are trusted with `--dev` only"),
            );
        }
        if target.is_file() {
            self.take(&target, path);
        } else {
            self.read.report.add(Problem::new(path, "bundle.link", "the link leads to something that is not a file").help(HELP));
        }
    }

    fn take(&mut self, real: &Path, path: &str) {
        // A total that was exceeded is reported once, and nothing more is read.
        if *self.total > BUNDLE_BYTES {
            return;
        }
        let Some(bytes) = self.bytes(real, path) else { return };
        *self.total = self.total.saturating_add(bytes.len());
        if *self.total > BUNDLE_BYTES {
            return self.problem(self.prefix, "bundle.too_large", format!("all files together have more than {BUNDLE_BYTES} bytes"));
        }
        self.look_for_private_key(path, &bytes);
        self.read.bundle.insert(path, bytes);
    }

    /// At most [`BUNDLE_FILE_BYTES`], whatever the file says about its size.
    fn bytes(&mut self, real: &Path, path: &str) -> Option<Vec<u8>> {
        let limit = u64::try_from(BUNDLE_FILE_BYTES).unwrap_or(u64::MAX).saturating_add(1);
        let mut bytes = Vec::new();
        match File::open(real).and_then(|file| file.take(limit).read_to_end(&mut bytes)) {
            Ok(_) if bytes.len() <= BUNDLE_FILE_BYTES => return Some(bytes),
            Ok(_) => self.problem(path, "bundle.file_too_large", format!("the file has more than {BUNDLE_FILE_BYTES} bytes")),
            Err(error) => self.problem(path, "bundle.unreadable", format!("the file cannot be read: {error}")),
        }
        None
    }

    fn folder_of_skipped(&mut self, folder: &Path, path: &str, depth: usize) {
        let Ok(entries) = fs::read_dir(folder) else { return };
        let mut names: Vec<_> = entries.flatten().map(|entry| entry.file_name()).collect();
        names.sort();
        for name in names {
            self.files = self.files.saturating_add(1);
            if self.files > FILES || depth > DEPTH {
                return self.problem(path, "bundle.too_many_files", "too much lies here to look through it for private keys");
            }
            let inner = format!("{path}/{}", name.to_string_lossy());
            let decided = if matches!(self.usage(&inner), Use::Ignore) { Use::Ignore } else { Use::Skip };
            self.entry(&folder.join(&name), &inner, decided, depth.saturating_add(1));
        }
    }

    fn skipped(&mut self, real: &Path, path: &str) {
        if let Some(bytes) = self.bytes(real, path) {
            self.look_for_private_key(path, &bytes);
        }
    }

    fn look_for_private_key(&mut self, path: &str, bytes: &[u8]) {
        if self.prefix == "keys"
            && let Some(what) = private_key::find(bytes)
        {
            self.read.report.add(
                Problem::new(path, PRIVATE_KEY, format!("the file holds {what}"))
                    .help("`keys` is for public keys: move it away, and if it was ever committed, replace the key"),
            );
        }
    }

    fn problem(&mut self, path: &str, code: &'static str, message: impl Into<String>) {
        self.read.report.add(Problem::new(path, code, message));
    }
}

#[cfg(test)]
mod tests;
