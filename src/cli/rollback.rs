//! `cedargate rollback`: an earlier release back in place, bit for bit.

use std::fs;
use std::path::{Path, PathBuf};

use miette::{IntoDiagnostic as _, WrapErr as _, miette};
use serde_json::{Value, json};

use super::archive::{self, ARCHIVE, Event, IN_PLACE, Release, Shelf, What};
use super::diagnostic::Altered;
use super::output::{self, Format};
use super::seal::write_whole;
use super::{Exit, exit, time};
use crate::bundle::Digest;
use crate::decision::UnixTime;

const EXAMPLES: &str = r"
cedargate rollback
    the release before the one that is in place; once more, the one before that
cedargate rollback v1.3
    the release with this tag
cedargate rollback 8f9bbed9
    by digits of its policy digest or of the component's SHA-256";

/// Bring an earlier release back, bit for bit
///
/// Without a name: the release before the one that is in place, or the last one when what is in place was never released. The release is
/// held against its SHA-256 before it is put there and once more where it lies afterwards; one that was altered stays where it is. Policies
/// and keys are not touched: the next `seal` would bring the newer ones back.
#[derive(Debug, clap::Args)]
#[command(after_help = exit::help(EXAMPLES, &[Exit::Ok, Exit::Failed, Exit::VerificationFailed]))]
pub struct RollbackArgs {
    /// A tag, or at least four digits of a policy digest or of a component's SHA-256
    #[arg(value_name = "DIGEST|TAG")]
    name: Option<String>,
    /// Where it goes
    #[arg(short, long, value_name = "FILE", default_value = IN_PLACE)]
    output: PathBuf,
    /// The archive
    #[arg(long, value_name = "DIR", default_value = ARCHIVE)]
    archive: PathBuf,
    /// How the result is written: `json` is an object of {file, changed, from, to}
    #[arg(long, value_enum, default_value_t, hide_possible_values = true, value_name = "human|json")]
    format: Format,
}

/// What was done.
#[derive(Debug)]
struct Done {
    /// The SHA-256 of what was in place before.
    from: Option<Digest>,
    to: Release,
    changed: bool,
    /// Why records of it cannot be explained, where they cannot.
    warning: Option<String>,
}

/// Runs `cedargate rollback`.
///
/// # Errors
/// When there is no such release, or a file cannot be read or written; [`Altered`] when the archive is not what it was.
pub fn run(args: &RollbackArgs) -> miette::Result<Exit> {
    let RollbackArgs { name, output: file, archive, format } = args;
    let done = back(archive, name.as_deref(), file, time::now())?;
    let shelf = Shelf::open(archive)?;
    if let Some(warning) = &done.warning {
        output::stderr(&format!("warning: {warning}\n"));
    }
    output::stdout(&match format {
        Format::Json => output::json(&json!({
            "file": file.display().to_string(), "changed": done.changed,
            "from": done.from.map(|from| json(&shelf, from)), "to": json(&shelf, done.to.component),
        }))?,
        Format::Human if !done.changed => format!("{} is in place already: {}\n", words(&shelf, done.to.component), file.display()),
        Format::Human => format!(
            "from  {}\nto    {}\nfile  {}\n",
            done.from.map_or_else(|| "nothing".to_owned(), |from| words(&shelf, from)),
            words(&shelf, done.to.component),
            file.display()
        ),
    })?;
    if done.changed && *format == Format::Human {
        output::stderr("policies/ and keys/ were not touched: the next `cedargate seal` or `up` takes what is there\n");
    }
    Ok(Exit::Ok)
}

fn back(archive: &Path, name: Option<&str>, file: &Path, now: UnixTime) -> miette::Result<Done> {
    if !archive.is_dir() {
        return Err(miette!(help = HELP, "there is no archive `{}`", archive.display()));
    }
    let _lock = archive::lock(archive)?;
    let mut shelf = Shelf::open(archive)?;
    let from = archive::in_place(file)?;
    let component = match name {
        Some(name) => shelf.release(name)?,
        None => shelf.journal.before(from).ok_or_else(|| nothing(&shelf, from))?,
    };
    let (to, bytes) = shelf.read(component)?;
    // SECURITY: sources that were altered say that somebody was here. That they are missing only says that they are.
    let digest = to.policy_digest;
    let warning = if shelf.sources.contains(&digest) {
        archive::find(archive, &digest.to_string())?;
        None
    } else {
        Some(format!("the sources of policy digest `{digest}` are not in the archive: its records cannot be explained"))
    };
    if from == Some(component) {
        return Ok(Done { from, to, changed: false, warning });
    }
    write_whole(file, &bytes)?;
    let is = Digest::of(&fs::read(file).into_diagnostic().wrap_err_with(|| format!("`{}` cannot be read", file.display()))?);
    if is != component {
        let message = format!("`{}` is not what was written there: its SHA-256 is `{is}`, and not `{component}`", file.display());
        return Err(Altered::new(message, "do not serve it: something else writes there, or the disk fails").into());
    }
    // Last: what is not in place must not be in the journal. Without the line only the history is poorer.
    shelf.journal.add(archive, Event { what: What::Rollback, time: now, component, from, tag: None, note: None })?;
    Ok(Done { from, to, changed: true, warning })
}

const HELP: &str = "`cedargate release` fills it; `cedargate archive list` shows what is there";

fn nothing(shelf: &Shelf, from: Option<Digest>) -> miette::Report {
    match from {
        Some(from) if !shelf.releases.is_empty() => {
            let help = "name one: `cedargate archive list` shows what is there";
            miette!(help = help, "there is no release before {}", words(shelf, from))
        }
        _ => miette!(help = HELP, "nothing was released in `{}`", shelf.path.display()),
    }
}

/// The policy digest of a release, where it is one.
fn policies(shelf: &Shelf, component: Digest) -> Option<Digest> {
    let known = shelf.releases.contains(&component).then(|| archive::read_release(&shelf.path, component).ok());
    known.flatten().map(|(release, _)| release.policy_digest)
}

fn words(shelf: &Shelf, component: Digest) -> String {
    let tags = shelf.journal.tags().remove(&component).unwrap_or_default();
    let tags = if tags.is_empty() { String::new() } else { format!(" ({})", tags.join(", ")) };
    match policies(shelf, component) {
        Some(digest) => format!("release {}{tags}, policy digest {}", archive::short(component), archive::short(digest)),
        None => format!("{}, which was never released", archive::short(component)),
    }
}

fn json(shelf: &Shelf, component: Digest) -> Value {
    json!({
        "component_digest": component.to_string(),
        "policy_digest": policies(shelf, component).map(|digest| digest.to_string()),
        "tags": shelf.journal.tags().remove(&component).unwrap_or_default(),
        "released": shelf.releases.contains(&component),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::archive::tests::sample;

    struct Folder(tempfile::TempDir);

    impl Folder {
        fn new() -> Self {
            Self(tempfile::tempdir().unwrap())
        }

        fn archive(&self) -> PathBuf {
            self.0.path().join("archive")
        }

        fn file(&self) -> PathBuf {
            self.0.path().join("target/gate.wasm")
        }

        /// Releases it and puts it in place.
        fn release(&self, name: &str) -> Digest {
            let (release, bytes) = sample(name);
            archive::keep_release(&self.archive(), &release, &bytes).unwrap();
            let component = release.component;
            let event = Event { what: What::Release, time: UnixTime(1), component, from: None, tag: Some(format!("v{name}")), note: None };
            Shelf::open(&self.archive()).unwrap().journal.add(&self.archive(), event).unwrap();
            write_whole(&self.file(), &bytes).unwrap();
            component
        }

        fn back(&self, name: Option<&str>) -> miette::Result<Done> {
            back(&self.archive(), name, &self.file(), UnixTime(2))
        }

        fn in_place(&self) -> Digest {
            archive::in_place(&self.file()).unwrap().unwrap()
        }
    }

    #[test]
    fn each_step_back_is_one_release_and_its_bytes_are_the_same() {
        let folder = Folder::new();
        let [a, b, c] = ["a", "b", "c"].map(|name| folder.release(name));
        for (from, to) in [(c, b), (b, a)] {
            let done = folder.back(None).unwrap();
            assert_eq!((done.from, done.to.component, done.changed), (Some(from), to, true));
            assert_eq!(folder.in_place(), to);
        }
        assert_eq!(fs::read(folder.file()).unwrap(), sample("a").1);
        let error = folder.back(None).unwrap_err().to_string();
        assert!(error.starts_with("there is no release before release ") && error.contains("(va)"), "{error}");
        assert_eq!(folder.in_place(), a);
        // Forward, by tag and by digits.
        assert_eq!(folder.back(Some("vc")).unwrap().to.component, c);
        assert_eq!(folder.back(Some(&b.to_string()[..12])).unwrap().to.component, b);
        assert!(!folder.back(Some("vb")).unwrap().changed, "it is in place already");
        // What is in place was only sealed: the last release that was in place.
        write_whole(&folder.file(), b"sealed").unwrap();
        assert_eq!(folder.back(None).unwrap().to.component, b);
        fs::remove_file(folder.file()).unwrap();
        let done = folder.back(None).unwrap();
        assert_eq!((done.from, done.to.component), (None, b));
    }

    #[test]
    fn an_altered_archive_brings_nothing_back() {
        let folder = Folder::new();
        let (a, b) = (folder.release("a"), folder.release("b"));
        let place = archive::release_folder(&folder.archive(), a).join("gate.wasm");
        let (good, other) = (fs::read(&place).unwrap(), sample("c").1);
        let mut flipped = good.clone();
        *flipped.last_mut().unwrap() ^= 1;
        for wrong in [&flipped[..], &good[1..], b"", &other] {
            fs::write(&place, wrong).unwrap();
            for name in [None, Some("va"), Some(&a.to_string()[..])] {
                let error = folder.back(name).unwrap_err();
                assert!(error.downcast_ref::<Altered>().is_some(), "{error}");
                assert_eq!(folder.in_place(), b);
            }
        }
        fs::write(&place, good).unwrap();
        assert_eq!(folder.back(None).unwrap().to.component, a);
    }

    #[test]
    fn sources_that_are_missing_are_told_and_altered_ones_refused() {
        let folder = Folder::new();
        folder.release("a");
        let policy_digest = sample("a").0.policy_digest.to_string();
        write_whole(&folder.file(), b"sealed").unwrap();
        assert!(folder.back(None).unwrap().warning.unwrap().contains(&policy_digest));
        write_whole(&folder.file(), b"sealed").unwrap();
        write_whole(&folder.archive().join(&policy_digest).join("policies/a.cedar"), b"altered").unwrap();
        assert!(folder.back(None).unwrap_err().downcast_ref::<Altered>().is_some());
        assert_eq!(fs::read(folder.file()).unwrap(), b"sealed");
    }

    #[test]
    fn where_nothing_was_released_there_is_nothing_to_bring_back() {
        let folder = Folder::new();
        assert!(folder.back(None).unwrap_err().to_string().contains("there is no archive"));
        assert!(!folder.archive().exists(), "looking makes nothing");
        fs::create_dir(folder.archive()).unwrap();
        assert!(folder.back(None).unwrap_err().to_string().contains("nothing was released"));
        assert!(folder.back(Some("v1")).unwrap_err().to_string().contains("neither a tag nor a digest"));
        assert!(!folder.file().exists());
    }
}
