//! `cedargate release`: a sealed gate into the archive, bit for bit.
//!
//! What crosses in is a file; what crosses out is a release that can be brought back. Neither the file's name nor what it says of itself
//! is believed: it is sealed again from the kept sources, and must come out the same.

use std::fs;
use std::path::{Path, PathBuf};

use miette::miette;
use serde_json::json;

use super::archive::{self, ARCHIVE, Event, IN_PLACE, Release, Shelf, What, parse_tag};
use super::audit::one_line;
use super::check::insecure;
use super::diagnostic::Altered;
use super::output::{self, Format};
use super::progress::Progress;
use super::seal::{BASE, megabytes, read_base};
use super::{Exit, exit, time};
use crate::bundle::{Bundle, Digest, Gate};
use crate::decision::UnixTime;
use crate::host::{self, Description, describe};

/// Longest note, in bytes.
const NOTE: usize = 1000;
/// Where development keys are in a bundle.
const DEVELOPMENT: &str = "keys/dev/";

const EXAMPLES: &str = r"
cedargate release
    keep what `cedargate seal` made, so that it can be brought back
cedargate release --tag v1.4 --note 'CHG-1207: orders are frozen'
    under a name that nothing else gets
cedargate release --component gate.wasm --base cedargate-0.1.0.wasm
    a file that was sealed elsewhere, from sources that are kept here";

/// Keep a sealed gate, so that it can be brought back bit for bit
///
/// Seals the sources that `seal` kept once more with the same base component, and takes the gate only when it comes out the same: what is
/// in the archive is what its digest says. Releasing the same gate again changes nothing, but may give it another tag. A tag never moves.
#[derive(Debug, clap::Args)]
#[command(after_help = exit::help(EXAMPLES, &[Exit::Ok, Exit::Failed, Exit::VerificationFailed]))]
pub struct ReleaseArgs {
    /// The sealed gate
    #[arg(long, value_name = "FILE", default_value = IN_PLACE)]
    component: PathBuf,
    /// A name for it
    #[arg(long, value_name = "NAME", value_parser = parse_tag)]
    tag: Option<String>,
    /// A sentence about it
    #[arg(long, value_name = "TEXT", value_parser = note)]
    note: Option<String>,
    /// The base component it was sealed with
    #[arg(long, value_name = "FILE", env = "CEDARGATE_BASE", default_value = BASE)]
    base: PathBuf,
    /// The archive
    #[arg(long, value_name = "DIR", default_value = ARCHIVE)]
    archive: PathBuf,
    /// How the result is written: `json` is an object of {component_digest, policy_digest, schema_digest, base_digest, policies, bytes, time, tags, note, folder, new}
    #[arg(long, value_enum, default_value_t, hide_possible_values = true, value_name = "human|json")]
    format: Format,
}

/// Runs `cedargate release`.
///
/// # Errors
/// When a file cannot be read or written, the gate is not sealed, its sources or its base are not at hand, or the tag is another
/// release's; [`Altered`] when the gate is not what it says.
pub fn run(args: &ReleaseArgs) -> miette::Result<Exit> {
    let ReleaseArgs { component: file, tag, note, base, archive, format } = args;
    let progress = Progress::new(*format == Format::Json);
    let bytes = read(file)?;
    let description = describe(&bytes).ok_or_else(|| {
        miette!(help = "`cedargate seal` makes one that is", "`{}` is not sealed: it would deny everything", file.display())
    })?;
    let bundle = archive::find(archive, &description.policy_digest)?;
    if bundle.iter().any(|(path, _)| path.starts_with(DEVELOPMENT)) {
        let help = "seal it without `--dev`: whoever has your machine's keys could be anybody";
        return Err(miette!(help = help, "`{}` trusts development keys", file.display()));
    }
    progress.step("sealing its sources once more");
    let gate = Gate::load(&bundle).map_err(|report| miette!("the sources of `{}` cannot be loaded: {report}", file.display()))?;
    let release = proven(&bytes, &description, &bundle, &gate, &read_base(base)?, file)?;
    let warnings = insecure(&gate);
    let (release, new) = keep(archive, release, &bytes, tag.as_deref(), note.as_deref(), time::now())?;
    drop(progress);
    output::stderr(&warnings);
    let shelf = Shelf::open(archive)?;
    output::stdout(&told(&shelf, &release, new, file, *format)?)?;
    Ok(Exit::Ok)
}

fn read(file: &Path) -> miette::Result<Vec<u8>> {
    fs::read(file)
        .map_err(|error| miette!(help = "`cedargate seal` makes one", "the component `{}` cannot be read: {error}", file.display()))
}

/// What is known of a gate once it was sealed again and came out the same.
///
/// SECURITY: a label can be written by anybody. That the gate was made from these sources by this base is shown by making it.
fn proven(bytes: &[u8], said: &Description, bundle: &Bundle, gate: &Gate, base: &[u8], file: &Path) -> miette::Result<Release> {
    let base_digest = Digest::of(base);
    if base_digest.to_string() != said.base_digest {
        let help = "name the base component it was sealed with, with `--base FILE`, or seal it again with this one";
        let file = file.display();
        return Err(miette!(
            help = help,
            "`{file}` was sealed with the base component `{}`, and this one is `{base_digest}`",
            said.base_digest
        ));
    }
    let sealed =
        host::seal(base, bundle).map_err(|error| miette!("the sources of `{}` cannot be sealed again: {error}", file.display()))?;
    if sealed.component != bytes {
        let (file, digest) = (file.display(), &said.policy_digest);
        let message = format!(
            "`{file}` is not what it says: its sources, policy digest `{digest}`, sealed with its base component give another file"
        );
        return Err(Altered::new(message, "do not use it; seal again, with the command that made the base component").into());
    }
    Ok(Release {
        component: Digest::of(bytes),
        policy_digest: sealed.policy_digest,
        schema_digest: gate.schema_digest(),
        base_digest,
        policies: sealed.policies,
        bytes: bytes.len(),
        time: UnixTime(0),
        command: env!("CARGO_PKG_VERSION").to_owned(),
    })
}

/// Keeps it, and writes down what was not known yet. Returns it as it is kept, and whether that is new.
fn keep(
    archive: &Path,
    release: Release,
    bytes: &[u8],
    tag: Option<&str>,
    note: Option<&str>,
    now: UnixTime,
) -> miette::Result<(Release, bool)> {
    let _lock = archive::lock(archive)?;
    let mut shelf = Shelf::open(archive)?;
    let component = release.component;
    let tagged = tag.and_then(|tag| Some((tag, shelf.journal.tagged(tag)?)));
    if let Some((tag, other)) = tagged
        && other != component
    {
        let help = "a tag never moves: take another one";
        return Err(miette!(help = help, "the tag `{tag}` is the release `{other}`"));
    }
    let new = !shelf.releases.contains(&component);
    let release = if new {
        let release = Release { time: now, ..release };
        archive::keep_release(archive, &release, bytes)?;
        release
    } else {
        shelf.read(component)?.0
    };
    let known = (tag.is_none() || tagged.is_some()) && (note.is_none() || note == shelf.journal.note(component));
    if new || !known || !shelf.journal.ends_with(component) {
        let (tag, note) = (tag.map(str::to_owned), note.map(str::to_owned));
        shelf.journal.add(archive, Event { what: What::Release, time: now, component, from: None, tag, note })?;
    }
    Ok((release, new))
}

fn told(shelf: &Shelf, release: &Release, new: bool, file: &Path, format: Format) -> miette::Result<String> {
    let Release { component, policy_digest, schema_digest, base_digest, policies, bytes, time, command: _ } = release;
    let tags = shelf.journal.tags().remove(component).unwrap_or_default();
    let note = shelf.journal.note(*component);
    let folder = archive::release_folder(&shelf.path, *component);
    let folder = folder.display();
    if format == Format::Json {
        return output::json(&json!({
            "component_digest": component.to_string(), "policy_digest": policy_digest.to_string(),
            "schema_digest": schema_digest.to_string(), "base_digest": base_digest.to_string(), "policies": policies, "bytes": bytes,
            "time": time::show(*time), "tags": tags, "note": note, "folder": folder.to_string(), "new": new,
        }));
    }
    let mut text = format!(
        "{}{}\nrelease        {component}\npolicy digest  {policy_digest}\nbase build     {base_digest}\nsize           {}\n",
        if new { "released       " } else { "known already  " },
        file.display(),
        megabytes(*bytes)
    );
    if !tags.is_empty() {
        text.push_str(&format!("tags           {}\n", one_line(&tags.join(", "))));
    }
    if let Some(note) = note {
        text.push_str(&format!("note           {}\n", one_line(note)));
    }
    text.push_str(&format!("kept in        {folder}\n"));
    Ok(text)
}

fn note(text: &str) -> Result<String, String> {
    if text.trim().is_empty() || text.len() > NOTE {
        return Err(format!("a note is 1 to {NOTE} bytes"));
    }
    Ok(text.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::archive::tests::sample;

    fn kept(archive: &Path, name: &str, tag: Option<&str>, note: Option<&str>, now: i64) -> miette::Result<(Release, bool)> {
        let (release, bytes) = sample(name);
        keep(archive, release, &bytes, tag, note, UnixTime(now))
    }

    fn lines(archive: &Path) -> usize {
        fs::read_to_string(archive.join("journal.jsonl")).unwrap().lines().count()
    }

    #[test]
    fn releasing_again_changes_nothing_but_what_is_new() {
        let folder = tempfile::tempdir().unwrap();
        let (first, new) = kept(folder.path(), "a", Some("v1"), Some("first"), 10).unwrap();
        assert!(new && first.time == UnixTime(10));
        for (tag, note) in [(None, None), (Some("v1"), None), (Some("v1"), Some("first")), (None, Some("first"))] {
            assert_eq!(kept(folder.path(), "a", tag, note, 20).unwrap(), (first.clone(), false));
        }
        assert_eq!(lines(folder.path()), 1);
        kept(folder.path(), "a", Some("stable"), None, 30).unwrap();
        kept(folder.path(), "a", None, Some("better said"), 40).unwrap();
        assert_eq!(lines(folder.path()), 3);
        let shelf = Shelf::open(folder.path()).unwrap();
        assert_eq!(shelf.journal.tags()[&first.component], ["v1", "stable"]);
        assert_eq!(shelf.journal.note(first.component), Some("better said"));
        // Something else was released in between: this is where it goes back to now.
        kept(folder.path(), "b", None, None, 50).unwrap();
        kept(folder.path(), "a", None, None, 60).unwrap();
        assert_eq!(lines(folder.path()), 5);
    }

    #[test]
    fn a_tag_never_moves_and_a_refused_release_leaves_nothing() {
        let folder = tempfile::tempdir().unwrap();
        let (first, _) = kept(folder.path(), "a", Some("v1"), None, 10).unwrap();
        let error = kept(folder.path(), "b", Some("v1"), None, 20).unwrap_err();
        assert_eq!(error.to_string(), format!("the tag `v1` is the release `{}`", first.component));
        let shelf = Shelf::open(folder.path()).unwrap();
        assert_eq!((shelf.releases.len(), lines(folder.path())), (1, 1));
        assert!(kept(folder.path(), "b", Some("v2"), None, 20).unwrap().1);
    }

    #[test]
    fn what_is_in_the_archive_already_must_be_whole() {
        let folder = tempfile::tempdir().unwrap();
        let (release, _) = kept(folder.path(), "a", None, None, 10).unwrap();
        fs::write(archive::release_folder(folder.path(), release.component).join("gate.wasm"), "").unwrap();
        assert!(kept(folder.path(), "a", Some("v1"), None, 20).unwrap_err().downcast_ref::<Altered>().is_some());
        assert_eq!(Shelf::open(folder.path()).unwrap().journal.tagged("v1"), None);
    }

    #[test]
    fn releases_at_the_same_time_are_all_there() {
        let folder = tempfile::tempdir().unwrap();
        std::thread::scope(|scope| {
            for name in 0..8 {
                let path = folder.path();
                scope.spawn(move || kept(path, &name.to_string(), Some(&format!("v{name}")), None, 10).unwrap());
            }
        });
        let shelf = Shelf::open(folder.path()).unwrap();
        assert_eq!((shelf.releases.len(), shelf.journal.tags().len(), lines(folder.path())), (8, 8, 8));
    }

    #[test]
    fn a_note_says_something_and_not_too_much() {
        assert_eq!(note("CHG-1207").as_deref(), Ok("CHG-1207"));
        assert!(note(" ").is_err() && note(&"x".repeat(NOTE + 1)).is_err());
    }
}
