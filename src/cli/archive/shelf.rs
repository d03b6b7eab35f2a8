//! What an archive holds, and what people call it: a tag, or the first digits of a digest.

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use miette::{IntoDiagnostic as _, WrapErr as _, miette};

use super::journal::Journal;
use super::releases::{self, Release, digests};
use crate::bundle::Digest;

/// Fewest digits of a digest that name it.
const DIGITS: usize = 4;
/// Longest tag, in bytes.
const TAG: usize = 64;
/// Held while anything in an archive is changed.
const LOCK: &str = ".lock";

/// An archive, as far as its names go. What they name is read, and verified, only when it is asked for.
#[derive(Debug)]
pub(in crate::cli) struct Shelf {
    /// Where it is.
    pub(in crate::cli) path: PathBuf,
    /// What was done with its releases.
    pub(in crate::cli) journal: Journal,
    /// The releases, by the SHA-256 of their component, in the order of their release; those that the journal does not know last.
    pub(in crate::cli) releases: Vec<Digest>,
    /// The policy digests whose sources were kept.
    pub(in crate::cli) sources: BTreeSet<Digest>,
}

/// The right to change an archive, for as long as it is held.
#[derive(Debug)]
pub(in crate::cli) struct Lock {
    _file: File,
}

/// Waits until nobody else changes the archive.
///
/// # Errors
/// When its folder cannot be made or locked.
pub(in crate::cli) fn lock(archive: &Path) -> miette::Result<Lock> {
    let lock = || {
        fs::create_dir_all(archive)?;
        let file = File::options().create(true).append(true).open(archive.join(LOCK))?;
        file.lock()?;
        Ok::<_, std::io::Error>(Lock { _file: file })
    };
    lock().into_diagnostic().wrap_err_with(|| format!("the archive `{}` cannot be changed", archive.display()))
}

impl Shelf {
    /// Looks what is there. An archive that is not there is empty.
    ///
    /// # Errors
    /// When it cannot be read; [`Altered`](super::super::diagnostic::Altered) when its journal was.
    pub(in crate::cli) fn open(archive: &Path) -> miette::Result<Self> {
        let journal = Journal::read(archive)?;
        let mut releases = releases::all(archive)?;
        releases.sort_by_key(|digest| (journal.place(*digest).unwrap_or(usize::MAX), *digest));
        Ok(Self { path: archive.to_owned(), journal, releases, sources: digests(archive)?.into_iter().collect() })
    }

    /// The release that is called this: by a tag, or by digits of its component's SHA-256 or of its policy digest.
    ///
    /// # Errors
    /// When there is none, or more than one.
    pub(in crate::cli) fn release(&self, name: &str) -> miette::Result<Digest> {
        if let Some(component) = self.journal.tagged(name) {
            return Ok(component);
        }
        digits(name)?;
        let mut found = BTreeSet::new();
        for component in &self.releases {
            let policy = || releases::labelled(&self.path, *component).map(|digest| digest.to_string());
            if component.to_string().starts_with(name) || policy().is_some_and(|digest| digest.starts_with(name)) {
                found.insert(*component);
            }
        }
        let kept = self.sources.iter().any(|digest| digest.to_string().starts_with(name));
        self.one(name, &found, if kept { "only its sources were kept: it was sealed and never released" } else { "" })
    }

    /// The policy digest of what is called this, whether it was released or only sealed.
    ///
    /// # Errors
    /// When there is none, or more than one.
    pub(in crate::cli) fn policies(&self, name: &str) -> miette::Result<Digest> {
        if let Some(component) = self.journal.tagged(name) {
            return Ok(releases::read(&self.path, component)?.0.policy_digest);
        }
        digits(name)?;
        let mut found: BTreeSet<Digest> = self.sources.iter().filter(|digest| digest.to_string().starts_with(name)).copied().collect();
        for component in &self.releases {
            if let Some(digest) = releases::labelled(&self.path, *component)
                && (component.to_string().starts_with(name) || digest.to_string().starts_with(name))
            {
                found.insert(digest);
            }
        }
        self.one(name, &found, "")
    }

    /// The releases of these policies, in order: one for each base component they were sealed with.
    pub(in crate::cli) fn releases_of(&self, policy_digest: Digest) -> impl Iterator<Item = Digest> {
        self.releases.iter().copied().filter(move |component| releases::labelled(&self.path, *component) == Some(policy_digest))
    }

    fn one(&self, name: &str, found: &BTreeSet<Digest>, why: &str) -> miette::Result<Digest> {
        match (found.first(), found.len()) {
            (Some(digest), 1) => Ok(*digest),
            (None, _) => {
                let why = if why.is_empty() { String::new() } else { format!("; {why}") };
                let help = "`cedargate archive list` shows what is there";
                Err(miette!(help = help, "nothing in the archive `{}` is called `{name}`{why}", self.path.display()))
            }
            (Some(_), number) => {
                let all: Vec<String> = found.iter().map(|digest| format!("`{digest}`")).collect();
                let help = "write more digits of it, or a tag";
                Err(miette!(help = help, "`{name}` is the beginning of {number} digests: {}", all.join(", ")))
            }
        }
    }

    /// Reads a release; see [`releases::read`].
    ///
    /// # Errors
    /// See there.
    pub(in crate::cli) fn read(&self, component: Digest) -> miette::Result<(Release, Vec<u8>)> {
        releases::read(&self.path, component)
    }
}

fn digits(name: &str) -> miette::Result<()> {
    if is_digits(name) {
        return Ok(());
    }
    let help = format!("a digest is {DIGITS} to 64 of `0-9a-f`; `cedargate archive list` shows tags and digests");
    Err(miette!(help = help, "`{}` is neither a tag nor a digest", name.escape_debug()))
}

fn is_digits(name: &str) -> bool {
    (DIGITS..=64).contains(&name.len()) && name.bytes().all(|byte| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte))
}

/// A tag: 1 to 64 letters, digits, `.`, `_` and `-`, the first a letter or digit. None that could be digits of a digest.
///
/// # Errors
/// A sentence for the person who typed it.
pub(in crate::cli) fn parse_tag(text: &str) -> Result<String, String> {
    let allowed = text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"._-".contains(&byte));
    if text.is_empty() || text.len() > TAG || !allowed || !text.starts_with(|c: char| c.is_ascii_alphanumeric()) {
        return Err(format!("a tag is 1 to {TAG} letters, digits, `.`, `_` and `-`, the first a letter or digit"));
    }
    if is_digits(text) {
        return Err("it could be taken for the first digits of a digest".to_owned());
    }
    Ok(text.to_owned())
}

/// The SHA-256 of the file in this place; none when there is no file.
///
/// # Errors
/// When it cannot be read.
pub(in crate::cli) fn in_place(file: &Path) -> miette::Result<Option<Digest>> {
    match fs::read(file) {
        Ok(bytes) => Ok(Some(Digest::of(&bytes))),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error).into_diagnostic().wrap_err_with(|| format!("`{}` cannot be read", file.display())),
    }
}

/// A digest as people read it: its first twelve digits.
pub(in crate::cli) fn short(digest: Digest) -> String {
    digest.to_string().chars().take(12).collect()
}

#[cfg(test)]
mod tests {
    use super::super::journal::{Event, What};
    use super::super::releases::tests::sample;
    use super::*;
    use crate::decision::UnixTime;

    fn release(archive: &Path, name: &str, tag: Option<&str>) -> Release {
        let (release, bytes) = sample(name);
        releases::keep(archive, &release, &bytes).unwrap();
        let mut journal = Journal::read(archive).unwrap();
        let tag = tag.map(str::to_owned);
        let event = Event { what: What::Release, time: UnixTime(1), component: release.component, from: None, tag, note: None };
        journal.add(archive, event).unwrap();
        release
    }

    #[test]
    fn a_release_is_found_by_tag_and_by_digits_that_are_enough() {
        let folder = tempfile::tempdir().unwrap();
        let (a, b) = (release(folder.path(), "a", Some("v1")), release(folder.path(), "b", None));
        let shelf = Shelf::open(folder.path()).unwrap();
        assert_eq!(shelf.releases, [a.component, b.component]);
        for (name, found) in [
            ("v1".to_owned(), &a),
            (a.component.to_string(), &a),
            (short(b.component), &b),
            (a.policy_digest.to_string(), &a),
            (short(b.policy_digest), &b),
        ] {
            assert_eq!((shelf.release(&name).unwrap(), shelf.policies(&name).unwrap()), (found.component, found.policy_digest), "{name}");
        }
        for (name, says) in [
            ("v2", "neither a tag nor a digest"),
            ("abc", "neither a tag nor a digest"),
            ("../..", "neither a tag nor a digest"),
            ("ABCD", "neither a tag nor a digest"),
            ("", "neither a tag nor a digest"),
            (&"0".repeat(64), "nothing in the archive"),
            (&"0".repeat(65), "neither a tag nor a digest"),
        ] {
            for error in [shelf.release(name).unwrap_err(), shelf.policies(name).unwrap_err()] {
                assert!(error.to_string().contains(says), "{name}: {error}");
            }
        }
    }

    #[test]
    fn digits_that_are_not_enough_name_everything_they_could_mean() {
        let folder = tempfile::tempdir().unwrap();
        // Of so many one will share four digits with another.
        let all: Vec<Release> = (0..1500).map(|number| sample(&number.to_string()).0).collect();
        let start = |release: &Release| release.component.to_string()[..4].to_owned();
        let (a, b) = (0..all.len())
            .flat_map(|a| (0..a).map(move |b| (a, b)))
            .find(|(a, b)| start(&all[*a]) == start(&all[*b]))
            .expect("1,500 of 65,536: two are alike");
        for number in [a, b] {
            release(folder.path(), &number.to_string(), None);
        }
        let shelf = Shelf::open(folder.path()).unwrap();
        let error = shelf.release(&start(&all[a])).unwrap_err().to_string();
        assert!(error.contains("is the beginning of 2 digests"), "{error}");
        assert!(error.contains(&all[a].component.to_string()) && error.contains(&all[b].component.to_string()), "{error}");
    }

    #[test]
    fn what_was_only_sealed_is_found_for_reading_and_not_for_going_back() {
        let folder = tempfile::tempdir().unwrap();
        let digest = Digest::of(b"sources");
        fs::create_dir(folder.path().join(digest.to_string())).unwrap();
        let shelf = Shelf::open(folder.path()).unwrap();
        assert_eq!(shelf.policies(&short(digest)).unwrap(), digest);
        assert!(shelf.release(&short(digest)).unwrap_err().to_string().contains("it was sealed and never released"));
    }

    #[test]
    fn a_tag_cannot_be_taken_for_anything_else() {
        for good in ["v1", "2027-01-13", "stable", "V1.0_rc-2", "abc", "abcg"] {
            assert_eq!(parse_tag(good).as_deref(), Ok(good));
        }
        for wrong in ["", "-v1", ".v1", "a b", "a/b", "ünstable", "2027", "beef", &"a".repeat(64), &"x".repeat(65)] {
            assert!(parse_tag(wrong).is_err(), "{wrong}");
        }
    }
}
