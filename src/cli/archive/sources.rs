//! What was sealed, by its policy digest, so that an old record can be explained with its own policies.
//!
//! `ARCHIVE/DIGEST/` holds the files of the bundle as they were. They are public: `policies/` and the public half of `keys/`.

use std::fs;
use std::path::{Path, PathBuf};

use miette::{IntoDiagnostic as _, WrapErr as _, miette};

use super::super::diagnostic::Altered;
use super::super::output;
use super::super::seal::write_whole;
use crate::bundle::{Bundle, Digest};

/// Deepest nesting of folders that is looked into.
const DEPTH: usize = 32;

/// Keeps a bundle. One that is there already is left as it is: its name says what it holds.
///
/// # Errors
/// When it cannot be written.
pub(in crate::cli) fn keep(archive: &Path, bundle: &Bundle) -> miette::Result<()> {
    let folder = archive.join(bundle.digest().to_string());
    if folder.is_dir() {
        return Ok(());
    }
    // Complete or not there at all: it is made beside its place and moved.
    let made = archive.join(format!(".{}.{}", bundle.digest(), std::process::id()));
    let kept = write(&made, bundle).and_then(|()| fs::rename(&made, &folder).into_diagnostic());
    if kept.is_err() {
        // Nothing to say beyond the first error.
        drop(fs::remove_dir_all(&made));
        if folder.is_dir() {
            return Ok(());
        }
    }
    kept.wrap_err_with(|| format!("`{}` cannot be written", folder.display()))
}

fn write(folder: &Path, bundle: &Bundle) -> miette::Result<()> {
    for (path, bytes) in bundle.iter() {
        write_whole(&folder.join(path), bytes)?;
    }
    Ok(())
}

/// Says that something could not be kept. What was sealed is of use without.
pub(in crate::cli) fn tell(kept: &miette::Result<()>) {
    if let Err(error) = kept {
        output::stderr(&format!("warning: not kept in the archive, so its records cannot be explained later: {error}\n"));
    }
}

/// Finds the bundle of a digest.
///
/// # Errors
/// When it is not there or cannot be read; [`Altered`] when it is not what its name says.
pub(in crate::cli) fn find(archive: &Path, digest: &str) -> miette::Result<Bundle> {
    let named = Digest::parse(digest).ok_or_else(|| miette!("`{}` is no policy digest", digest.escape_debug()))?;
    let folder = archive.join(named.to_string());
    if !folder.is_dir() {
        let help = "`cedargate seal` keeps what it seals there; name another archive with `--archive`, or the folders with `--policies` and `--keys`";
        return Err(miette!(help = help, "the policies `{named}` are not in the archive `{}`", archive.display()));
    }
    let mut bundle = Bundle::default();
    for part in ["policies", "keys"] {
        read(&folder.join(part), part, 0, &mut bundle)?;
    }
    // SECURITY: what explains a decision must be what decided it.
    if bundle.digest() != named {
        let message = format!("`{}` was changed: its digest is `{}`", folder.display(), bundle.digest());
        return Err(Altered::new(message, "bring the folder back from a copy, or remove it and seal the right files again").into());
    }
    Ok(bundle)
}

fn read(folder: &Path, name: &str, depth: usize, bundle: &mut Bundle) -> miette::Result<()> {
    let failed = || format!("`{}` cannot be read", folder.display());
    let entries = match fs::read_dir(folder) {
        Ok(entries) => entries,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(error).into_diagnostic().wrap_err_with(failed),
    };
    for entry in entries {
        let entry = entry.into_diagnostic().wrap_err_with(failed)?;
        let path: PathBuf = entry.path();
        let Some(own) = path.file_name().and_then(|own| own.to_str()) else { continue };
        let name = format!("{name}/{own}");
        let kind = entry.file_type().into_diagnostic().wrap_err_with(failed)?;
        if kind.is_dir() && depth < DEPTH {
            read(&path, &name, depth.saturating_add(1), bundle)?;
        } else if kind.is_file() {
            bundle.insert(name, fs::read(&path).into_diagnostic().wrap_err_with(|| format!("`{}` cannot be read", path.display()))?);
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_kept_is_found_by_its_digest_and_nothing_else_is() {
        let folder = tempfile::tempdir().unwrap();
        let archive = folder.path().join("a/archive");
        let mut bundle = Bundle::default();
        bundle.insert("policies/a.cedar", "permit(principal, action, resource);");
        bundle.insert("policies/b/c.cedar", "");
        bundle.insert("keys/issuers.toml", "version = 1");
        let digest = bundle.digest().to_string();
        keep(&archive, &bundle).unwrap();
        keep(&archive, &bundle).unwrap();
        assert_eq!(find(&archive, &digest).unwrap(), bundle);
        let missing = find(&archive, &Digest::of(b"").to_string()).unwrap_err();
        assert!(missing.to_string().contains("not in the archive"), "{missing}");
        assert!(find(&archive, "../..").unwrap_err().to_string().contains("is no policy digest"));
        fs::write(archive.join(&digest).join("policies/a.cedar"), "forbid(principal, action, resource);").unwrap();
        assert!(find(&archive, &digest).unwrap_err().to_string().contains("was changed"));
        assert_eq!(fs::read_dir(&archive).unwrap().count(), 1);
    }
}
