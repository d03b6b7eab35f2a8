//! Released gates: the sealed component itself, bit for bit, with what is known of it.
//!
//! `ARCHIVE/releases/SHA-256/` holds `gate.wasm` and `release.json`. The folder is named by the SHA-256 of the component and is made beside
//! its place and moved there, so it is whole or not there at all. Nothing in it is ever changed.

use std::fs;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use miette::{IntoDiagnostic as _, WrapErr as _};
use serde::{Deserialize, Serialize};

use super::super::diagnostic::Altered;
use super::super::seal::{sync_folder, write_whole};
use crate::bundle::Digest;
use crate::decision::UnixTime;
use crate::host::describe;

/// The folder in the archive.
const FOLDER: &str = "releases";
/// The component in the folder of its release.
const COMPONENT: &str = "gate.wasm";
/// What is known of it, beside it.
const ABOUT: &str = "release.json";
/// The one version of `release.json`.
const VERSION: u32 = 1;
/// What to do about a release that is not what it was.
const HELP: &str = "bring its folder back from a copy, or remove it, seal the same policies again and release them";

/// A release.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::cli) struct Release {
    /// The SHA-256 of the component.
    pub(in crate::cli) component: Digest,
    /// The digest of the bundle that was sealed.
    pub(in crate::cli) policy_digest: Digest,
    /// The digest of its schema file.
    pub(in crate::cli) schema_digest: Digest,
    /// The SHA-256 of the base component.
    pub(in crate::cli) base_digest: Digest,
    /// How many policies.
    pub(in crate::cli) policies: usize,
    /// The size of the component.
    pub(in crate::cli) bytes: usize,
    /// When it was released, by the clock of the machine.
    pub(in crate::cli) time: UnixTime,
    /// The version of the command that released it.
    pub(in crate::cli) command: String,
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct About {
    v: u32,
    component_digest: String,
    policy_digest: String,
    schema_digest: String,
    base_digest: String,
    policies: usize,
    bytes: usize,
    time: i64,
    command: String,
}

/// Where a release is.
pub(in crate::cli) fn folder(archive: &Path, component: Digest) -> PathBuf {
    archive.join(FOLDER).join(component.to_string())
}

/// Keeps a release that is not there yet. The caller holds the archive's lock.
///
/// # Errors
/// When it cannot be written.
pub(in crate::cli) fn keep(archive: &Path, release: &Release, component: &[u8]) -> miette::Result<()> {
    let place = folder(archive, release.component);
    let made = archive.join(FOLDER).join(format!(".{}", release.component));
    let Release { component: digest, policy_digest, schema_digest, base_digest, policies, bytes, time, command } = release;
    let about = About {
        v: VERSION,
        component_digest: digest.to_string(),
        policy_digest: policy_digest.to_string(),
        schema_digest: schema_digest.to_string(),
        base_digest: base_digest.to_string(),
        policies: *policies,
        bytes: *bytes,
        time: time.0,
        command: command.clone(),
    };
    let write = || {
        remove(&made)?;
        write_whole(&made.join(COMPONENT), component)?;
        let about = serde_json::to_string_pretty(&about).into_diagnostic()?;
        write_whole(&made.join(ABOUT), format!("{about}\n").as_bytes())?;
        fs::rename(&made, &place).into_diagnostic()?;
        sync_folder(&archive.join(FOLDER)).into_diagnostic()
    };
    let kept = write();
    if kept.is_err() {
        // Nothing to say beyond the first error.
        drop(remove(&made));
    }
    kept.wrap_err_with(|| format!("`{}` cannot be written", place.display()))
}

/// Removes what a release that was broken off left.
fn remove(folder: &Path) -> miette::Result<()> {
    match fs::remove_dir_all(folder) {
        Err(error) if error.kind() != ErrorKind::NotFound => Err(error).into_diagnostic(),
        _ => Ok(()),
    }
}

/// The digests of all releases, in their own order.
///
/// # Errors
/// When the folder cannot be read.
pub(in crate::cli) fn all(archive: &Path) -> miette::Result<Vec<Digest>> {
    digests(&archive.join(FOLDER))
}

/// The digests that folders in this one are named by; what is named otherwise is not ours, or was broken off.
///
/// # Errors
/// When the folder cannot be read.
pub(super) fn digests(folder: &Path) -> miette::Result<Vec<Digest>> {
    let failed = || format!("`{}` cannot be read", folder.display());
    let entries = match fs::read_dir(folder) {
        Ok(entries) => entries,
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(vec![]),
        Err(error) => return Err(error).into_diagnostic().wrap_err_with(failed),
    };
    let mut digests = vec![];
    for entry in entries {
        let entry = entry.into_diagnostic().wrap_err_with(failed)?;
        let named = entry.file_name().to_str().and_then(Digest::parse);
        if let Some(digest) = named.filter(|_| entry.file_type().is_ok_and(|kind| kind.is_dir())) {
            digests.push(digest);
        }
    }
    digests.sort();
    Ok(digests)
}

/// What a release says its policies are, without verifying it: enough to find it, and nothing to rely on.
pub(super) fn labelled(archive: &Path, component: Digest) -> Option<Digest> {
    let about: About = serde_json::from_slice(&fs::read(folder(archive, component).join(ABOUT)).ok()?).ok()?;
    Digest::parse(&about.policy_digest)
}

/// Reads a release with its component, and holds all that is said of it against each other.
///
/// # Errors
/// [`Altered`] when it is not what its name says, or is not whole.
pub(in crate::cli) fn read(archive: &Path, component: Digest) -> miette::Result<(Release, Vec<u8>)> {
    let folder = folder(archive, component);
    let altered = |why: String| Altered::new(format!("the release `{}` was altered: {why}", folder.display()), HELP);
    let file = |name: &str| fs::read(folder.join(name)).map_err(|error| altered(format!("`{name}` cannot be read: {error}")));
    let bytes = file(COMPONENT)?;
    // SECURITY: what is brought back must be what was released, whoever could write here since.
    let is = Digest::of(&bytes);
    if is != component {
        return Err(altered(format!("the SHA-256 of `{COMPONENT}` is `{is}`")).into());
    }
    let about = serde_json::from_slice(&file(ABOUT)?).map_err(|error| altered(format!("`{ABOUT}` cannot be read: {error}")))?;
    let release = release(about).ok_or_else(|| altered(format!("`{ABOUT}` says what cannot be")))?;
    let described = describe(&bytes).ok_or_else(|| altered(format!("`{COMPONENT}` is not sealed")))?;
    let said = (release.component, release.policy_digest.to_string(), release.schema_digest.to_string(), release.base_digest.to_string());
    if said != (component, described.policy_digest, described.schema_digest, described.base_digest) || release.bytes != bytes.len() {
        return Err(altered(format!("`{ABOUT}` and `{COMPONENT}` say different things")).into());
    }
    Ok((release, bytes))
}

fn release(about: About) -> Option<Release> {
    let About { v, component_digest, policy_digest, schema_digest, base_digest, policies, bytes, time, command } = about;
    (v == VERSION).then_some(())?;
    Some(Release {
        component: Digest::parse(&component_digest)?,
        policy_digest: Digest::parse(&policy_digest)?,
        schema_digest: Digest::parse(&schema_digest)?,
        base_digest: Digest::parse(&base_digest)?,
        policies,
        bytes,
        time: UnixTime(time),
        command,
    })
}

#[cfg(test)]
pub(in crate::cli) mod tests {
    use super::*;
    use crate::host::{Description, smallest};

    /// A release whose component is as small as one can be.
    pub(in crate::cli) fn sample(name: &str) -> (Release, Vec<u8>) {
        let (policy, schema, base) = (Digest::of(name.as_bytes()), Digest::of(b"schema"), Digest::of(b"base"));
        let bytes = smallest(&Description {
            version: 1,
            base_digest: base.to_string(),
            policy_digest: policy.to_string(),
            schema_digest: schema.to_string(),
            policies: 3,
        });
        let release = Release {
            component: Digest::of(&bytes),
            policy_digest: policy,
            schema_digest: schema,
            base_digest: base,
            policies: 3,
            bytes: bytes.len(),
            time: UnixTime(1_700_000_000),
            command: "0.1.0".to_owned(),
        };
        (release, bytes)
    }

    #[test]
    fn what_is_kept_is_read_bit_for_bit() {
        let folder = tempfile::tempdir().unwrap();
        assert_eq!(all(folder.path()).unwrap(), []);
        let (release, bytes) = sample("a");
        keep(folder.path(), &release, &bytes).unwrap();
        assert_eq!(all(folder.path()).unwrap(), [release.component]);
        assert_eq!(read(folder.path(), release.component).unwrap(), (release, bytes));
    }

    #[test]
    fn a_release_that_was_broken_off_is_none_and_is_in_nobodys_way() {
        let folder = tempfile::tempdir().unwrap();
        let (release, bytes) = sample("a");
        let broken = folder.path().join(FOLDER).join(format!(".{}", release.component));
        fs::create_dir_all(&broken).unwrap();
        fs::write(broken.join(COMPONENT), &bytes[..10]).unwrap();
        assert_eq!(all(folder.path()).unwrap(), []);
        assert!(read(folder.path(), release.component).is_err());
        keep(folder.path(), &release, &bytes).unwrap();
        assert_eq!(all(folder.path()).unwrap(), [release.component]);
        assert!(!broken.exists());
    }

    #[test]
    fn what_was_altered_is_never_read() {
        let folder = tempfile::tempdir().unwrap();
        let (release, bytes) = sample("a");
        let place = super::folder(folder.path(), release.component);
        let about = |from: &str, to: &str| {
            let text = fs::read_to_string(place.join(ABOUT)).unwrap();
            assert!(text.contains(from));
            fs::write(place.join(ABOUT), text.replacen(from, to, 1)).unwrap();
        };
        let mut other = bytes.clone();
        *other.last_mut().unwrap() ^= 1;
        let policy = release.policy_digest.to_string();
        type Change<'c> = (&'static str, Box<dyn Fn() + 'c>);
        let changes: [Change<'_>; 9] = [
            ("the SHA-256 of `gate.wasm` is", Box::new(|| fs::write(place.join(COMPONENT), &other).unwrap())),
            ("the SHA-256 of `gate.wasm` is", Box::new(|| fs::write(place.join(COMPONENT), &bytes[1..]).unwrap())),
            ("the SHA-256 of `gate.wasm` is", Box::new(|| fs::write(place.join(COMPONENT), sample("b").1).unwrap())),
            ("`gate.wasm` cannot be read", Box::new(|| fs::remove_file(place.join(COMPONENT)).unwrap())),
            ("`release.json` cannot be read", Box::new(|| fs::remove_file(place.join(ABOUT)).unwrap())),
            ("`release.json` cannot be read", Box::new(|| about("\"v\"", "\"w\""))),
            ("`release.json` says what cannot be", Box::new(|| about("\"v\": 1", "\"v\": 2"))),
            ("say different things", Box::new(|| about(&policy, &Digest::of(b"b").to_string()))),
            ("say different things", Box::new(|| about("\"bytes\": ", "\"bytes\": 1"))),
        ];
        for (index, (says, change)) in changes.iter().enumerate() {
            drop(fs::remove_dir_all(&place));
            keep(folder.path(), &release, &bytes).unwrap();
            assert!(read(folder.path(), release.component).is_ok());
            change();
            let error = read(folder.path(), release.component).unwrap_err();
            assert!(error.downcast_ref::<Altered>().is_some() && error.to_string().contains(says), "{index}: {error}");
        }
        // Under another name it is another one.
        drop(fs::remove_dir_all(&place));
        keep(folder.path(), &release, &bytes).unwrap();
        let elsewhere = super::folder(folder.path(), Digest::of(b"other"));
        fs::rename(&place, &elsewhere).unwrap();
        assert!(read(folder.path(), Digest::of(b"other")).unwrap_err().downcast_ref::<Altered>().is_some());
    }
}
