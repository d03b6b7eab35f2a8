//! What the files of some folders look like from outside, so that a change is noticed without reading them.
//!
//! The folders are walked again and again instead of asking the system for events. They are small, and a walk sees everything: editors
//! that save by renaming, a folder that is replaced or mounted anew, links that are turned to another target, shared and network
//! folders, for which many systems tell nothing. Contents are never read here; whether a change means anything is for whoever reads.

use std::collections::BTreeMap;
use std::fs::{self, Metadata};
use std::path::{Path, PathBuf};
use std::time::SystemTime;

/// Deepest nesting of folders, as for a bundle.
const DEPTH: usize = 32;
/// Most files that are looked at. A bundle has no more.
const FILES: usize = 10_000;

/// What every file below some folders looks like, but for hidden ones: editors keep those beside what they edit.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Stamps(BTreeMap<PathBuf, Stamp>);

/// Two versions of a file differ in at least one of these.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Stamp {
    bytes: u64,
    written: Option<SystemTime>,
    /// On Unix which file it is, and when anything about it changed: a file that is moved here keeps the time it was written at.
    file: (u64, u64, i64, i64),
}

impl Stamps {
    /// Looks at some folders. One that is missing or cannot be read has no files.
    pub(super) fn of<'f>(folders: impl IntoIterator<Item = &'f Path>) -> Self {
        let mut stamps = Self::default();
        for folder in folders {
            stamps.folder(folder, 0);
        }
        stamps
    }

    fn folder(&mut self, folder: &Path, depth: usize) {
        let Ok(entries) = fs::read_dir(folder) else { return };
        for entry in entries.flatten() {
            let path = entry.path();
            if self.0.len() >= FILES || entry.file_name().to_string_lossy().starts_with('.') {
                continue;
            }
            // Of a link what it leads to; of one that leads nowhere the link.
            let Ok(metadata) = fs::metadata(&path).or_else(|_| fs::symlink_metadata(&path)) else { continue };
            let is_folder = entry.file_type().is_ok_and(|kind| kind.is_dir());
            self.0.insert(path.clone(), Stamp::of(&metadata, is_folder));
            if is_folder && depth < DEPTH {
                self.folder(&path, depth.saturating_add(1));
            }
        }
    }

    /// The files that are not the same in `other`.
    pub(super) fn changed<'s>(&'s self, other: &'s Self) -> Vec<&'s Path> {
        let gone = other.0.keys().filter(|path| !self.0.contains_key(*path));
        let new = self.0.iter().filter(|(path, stamp)| other.0.get(*path) != Some(*stamp)).map(|(path, _)| path);
        let mut paths: Vec<&Path> = gone.chain(new).map(PathBuf::as_path).collect();
        paths.sort();
        paths
    }
}

impl Stamp {
    fn of(metadata: &Metadata, is_folder: bool) -> Self {
        // What happens in a folder shows in its files; a hidden one changes the folder, too.
        if is_folder {
            return Self { bytes: 0, written: None, file: (0, 0, 0, 0) };
        }
        #[cfg(unix)]
        let file = {
            use std::os::unix::fs::MetadataExt as _;
            (metadata.dev(), metadata.ino(), metadata.ctime(), metadata.ctime_nsec())
        };
        #[cfg(not(unix))]
        let file = (0, 0, 0, 0);
        Self { bytes: metadata.len(), written: metadata.modified().ok(), file }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn changes(folder: &Path, change: impl FnOnce()) -> Vec<String> {
        let before = Stamps::of([folder]);
        assert_eq!(Stamps::of([folder]), before, "nothing happened");
        change();
        let after = Stamps::of([folder]);
        after.changed(&before).iter().map(|path| path.strip_prefix(folder).unwrap().display().to_string()).collect()
    }

    #[test]
    fn every_way_to_change_a_file_is_seen() {
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name);
        fs::write(at("a.cedar"), "one").unwrap();
        fs::create_dir(at("sub")).unwrap();
        fs::write(at("sub/b.cedar"), "two").unwrap();
        let of = |change: &dyn Fn()| changes(folder.path(), change);
        assert_eq!(of(&|| fs::write(at("a.cedar"), "longer").unwrap()), ["a.cedar"]);
        assert_eq!(of(&|| fs::write(at("new.cedar"), "x").unwrap()), ["new.cedar"]);
        assert_eq!(of(&|| fs::remove_file(at("new.cedar")).unwrap()), ["new.cedar"]);
        assert_eq!(of(&|| fs::rename(at("sub/b.cedar"), at("sub/c.cedar")).unwrap()), ["sub/b.cedar", "sub/c.cedar"]);
        // The same length, moved over the old one.
        let saved = || {
            fs::write(at(".a.cedar.tmp"), "LONGER").unwrap();
            fs::rename(at(".a.cedar.tmp"), at("a.cedar")).unwrap();
        };
        assert_eq!(of(&saved), ["a.cedar"]);
        assert_eq!(of(&|| fs::remove_dir_all(at("sub")).unwrap()), ["sub", "sub/c.cedar"]);
    }

    #[cfg(unix)]
    #[test]
    fn a_link_that_is_turned_to_another_file_is_a_change() {
        use std::os::unix::fs::symlink;
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name);
        for name in [".one", ".two"] {
            fs::write(at(name), "same").unwrap();
        }
        symlink(at(".one"), at("link.cedar")).unwrap();
        let turn = || {
            fs::remove_file(at("link.cedar")).unwrap();
            symlink(at(".two"), at("link.cedar")).unwrap();
        };
        assert_eq!(changes(folder.path(), turn), ["link.cedar"]);
        assert_eq!(changes(folder.path(), || fs::write(at(".two"), "other").unwrap()), ["link.cedar"]);
    }

    #[test]
    fn what_editors_hide_is_no_change_and_a_missing_folder_has_no_files() {
        let folder = tempfile::tempdir().unwrap();
        assert_eq!(changes(folder.path(), || fs::write(folder.path().join(".a.cedar.swp"), "x").unwrap()), Vec::<String>::new());
        assert_eq!(Stamps::of([folder.path().join("none").as_path()]), Stamps::default());
    }
}
