//! `policies/tests/`: what lies there, read.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{self, Read as _};
use std::path::{Path, PathBuf};

use miette::{IntoDiagnostic as _, WrapErr as _};

use super::super::diagnostic::Invalid;
use super::super::files::{self, Folders};
use super::callers::Callers;
use super::cases::{self, Case};
use super::cedar;
use super::yaml::{Members, Source};
use crate::bundle::{Bundle, Gate, Problem, Report};
use crate::limits::BUNDLE_FILE_BYTES;

/// The folder's path in a bundle, which never has it.
const FOLDER: &str = "policies/tests";
/// The callers that every file knows.
const CALLERS: &str = "policies/tests/callers.yaml";
/// What `cedargate matrix` reads.
pub(in crate::cli) const MATRIX: &str = "policies/tests/matrix.yaml";

/// A gate, and the files of its tests.
#[derive(Debug)]
pub(in crate::cli) struct Tests {
    pub gate: Gate,
    folders: Folders,
    /// The bundle, with the files of the tests: for showing what is wrong in them.
    bundle: Bundle,
    report: Report,
}

impl Tests {
    /// Reads both folders, and the tests beside the policies.
    ///
    /// # Errors
    /// When a folder cannot be read; [`Invalid`] when policies or keys are not valid.
    pub fn read(folders: &Folders) -> miette::Result<Self> {
        let (bundle, gate) = files::load(&folders.policies, &folders.keys, folders.dev)?;
        Self::of(folders, bundle, gate)
    }

    /// The tests of this folder of policies for a gate, whether or not it was made of that folder.
    ///
    /// # Errors
    /// When the folder of the tests cannot be read.
    pub fn of(folders: &Folders, bundle: Bundle, gate: Gate) -> miette::Result<Self> {
        let mut tests = Self { gate, folders: folders.clone(), bundle, report: Report::default() };
        let folder = folders.policies.join("tests");
        let entries = match fs::read_dir(&folder) {
            Ok(entries) => entries,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(tests),
            Err(error) => {
                return Err(error).into_diagnostic().wrap_err_with(|| format!("the folder `{}` cannot be read", folder.display()));
            }
        };
        let mut paths: Vec<PathBuf> = entries.flatten().map(|entry| entry.path()).collect();
        paths.sort();
        for path in paths {
            let Some(name) = path.file_name().and_then(|name| name.to_str()) else { continue };
            let wanted = [".yaml", ".json"].iter().any(|ending| name.ends_with(ending)) && !name.starts_with('.');
            let inner = format!("{FOLDER}/{name}");
            if name.ends_with(".yml") {
                tests.report.add(Problem::new(&inner, "test.file", "the file would be overlooked").help("let its name end in `.yaml`"));
            } else if wanted {
                tests.file(&path, inner);
            }
        }
        Ok(tests)
    }

    fn file(&mut self, path: &Path, inner: String) {
        let limit = u64::try_from(BUNDLE_FILE_BYTES).unwrap_or(u64::MAX).saturating_add(1);
        let mut bytes = Vec::new();
        match File::open(path).and_then(|file| file.take(limit).read_to_end(&mut bytes)) {
            Ok(_) if bytes.len() <= BUNDLE_FILE_BYTES => self.bundle.insert(inner, bytes),
            Ok(_) => self.report.add(Problem::new(inner, "test.file", format!("the file has more than {BUNDLE_FILE_BYTES} bytes"))),
            Err(error) => self.report.add(Problem::new(inner, "test.file", format!("the file cannot be read: {error}"))),
        }
    }

    /// Every case, in the order of the files.
    ///
    /// # Errors
    /// [`Invalid`] with everything that is wrong in them.
    pub fn cases(&self) -> miette::Result<Vec<Case>> {
        let mut report = self.report.clone();
        let callers = self.callers(&mut report);
        let mut cases = vec![];
        let mut json = BTreeMap::new();
        for (file, bytes) in self.bundle.iter().filter(|(file, _)| is_test(file)) {
            if file.ends_with(".json") {
                json.insert(file, bytes);
            } else {
                cases.extend(cases::read(&self.gate, &callers, bytes, &mut Source { file, report: &mut report }));
            }
        }
        cases.extend(cedar::read(&self.gate, &json, &mut report));
        self.valid(report)?;
        cases.sort_by(|a, b| a.file.cmp(&b.file));
        Ok(cases)
    }

    /// The callers of `callers.yaml`.
    pub fn callers(&self, report: &mut Report) -> Callers<'_> {
        let mut callers = Callers::new(&self.gate);
        if let Some(bytes) = self.bundle.get(CALLERS) {
            let mut source = Source { file: CALLERS, report };
            if let Some(root) = source.parse(bytes)
                && let Some(mut members) = Members::of(&root, "the file", &mut source)
            {
                members.version(&mut source);
                if let Some(node) = members.take("callers") {
                    callers.define(node, &mut source);
                }
                members.finish(&mut source);
            }
        }
        callers
    }

    /// The bytes of a file of the tests.
    pub fn bytes(&self, file: &str) -> Option<&[u8]> {
        self.bundle.get(file)
    }

    /// A path of the tests as the caller would type it.
    pub fn on_disk(&self, file: &str) -> PathBuf {
        file.strip_prefix("policies/").map_or_else(|| PathBuf::from(file), |rest| self.folders.policies.join(rest))
    }

    /// Whether nothing was wrong.
    ///
    /// # Errors
    /// [`Invalid`] otherwise.
    pub fn valid(&self, report: Report) -> miette::Result<()> {
        if report.is_empty() {
            return Ok(());
        }
        Err(Invalid::new(&self.folders.policies, &self.folders.keys, self.bundle.clone(), report).into())
    }
}

fn is_test(file: &str) -> bool {
    file.strip_prefix(FOLDER).is_some_and(|name| name.starts_with('/')) && file != CALLERS && file != MATRIX
}
