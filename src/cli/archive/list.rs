//! `cedargate archive list`: what is there.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::PathBuf;
use std::time::UNIX_EPOCH;

use serde_json::{Value, json};

use super::super::audit::one_line;
use super::super::diagnostic::Altered;
use super::super::output::{self, Format};
use super::super::seal::megabytes;
use super::super::{Exit, exit, time};
use super::{ARCHIVE, IN_PLACE, Release, Shelf, in_place, policies, short, sources};
use crate::bundle::Digest;
use crate::decision::UnixTime;

const EXAMPLES: &str = r"
cedargate archive list
    releases, the newest first, and below them what was only sealed
cedargate archive list --in-place gate.wasm
    with a mark at the one that this file is
cedargate archive list --format json
    for a pipeline that looks for a tag";

/// Show what was sealed and released
///
/// Releases come first, the newest first, in the order they were released in. Then come the sources of what was sealed and never
/// released. Everything is held against its digest; what was altered is marked.
#[derive(Debug, clap::Args)]
#[command(after_help = exit::help(EXAMPLES, &[Exit::Ok, Exit::Failed, Exit::VerificationFailed]))]
pub struct ListArgs {
    /// The archive
    #[arg(long, value_name = "DIR", default_value = ARCHIVE)]
    archive: PathBuf,
    /// The file that is served: the release it is gets a mark
    #[arg(long, value_name = "FILE", default_value = IN_PLACE)]
    in_place: PathBuf,
    /// How it is written: `json` is an array of {component_digest, policy_digest, base_digest, time, policies, bytes, tags, note, released, in_place, altered}
    #[arg(long, value_enum, default_value_t, hide_possible_values = true, value_name = "human|json")]
    format: Format,
}

/// One thing of the archive.
struct Row {
    /// The SHA-256 of its component, where it was released.
    component: Option<Digest>,
    /// None where an altered release does not tell.
    policy_digest: Option<Digest>,
    base_digest: Option<Digest>,
    /// When it was released, or else when its sources were kept.
    time: Option<UnixTime>,
    policies: Option<usize>,
    bytes: Option<usize>,
    tags: Vec<String>,
    note: Option<String>,
    in_place: bool,
    /// Why it is not what it was.
    altered: Option<String>,
}

/// Runs `cedargate archive list`.
///
/// # Errors
/// When the archive cannot be read.
pub fn run(args: &ListArgs) -> miette::Result<Exit> {
    let ListArgs { archive, in_place: file, format } = args;
    let shelf = Shelf::open(archive)?;
    let served = in_place(file)?;
    let rows = rows(&shelf, served)?;
    output::stdout(&match format {
        Format::Json => output::json(&rows.iter().map(Row::json).collect::<Vec<_>>())?,
        Format::Human if rows.is_empty() => format!("the archive `{}` is empty: `cedargate seal` fills it\n", archive.display()),
        Format::Human => human(&rows),
    })?;
    let altered = rows.iter().any(|row| row.altered.is_some());
    Ok(if altered { Exit::VerificationFailed } else { Exit::Ok })
}

fn rows(shelf: &Shelf, served: Option<Digest>) -> miette::Result<Vec<Row>> {
    let mut tags: BTreeMap<Digest, Vec<&str>> = shelf.journal.tags();
    let mut released = BTreeSet::new();
    let mut rows = vec![];
    for component in shelf.releases.iter().rev() {
        let of_file = Row {
            component: Some(*component),
            policy_digest: None,
            base_digest: None,
            time: None,
            policies: None,
            bytes: None,
            tags: tags.remove(component).unwrap_or_default().into_iter().map(str::to_owned).collect(),
            note: shelf.journal.note(*component).map(str::to_owned),
            in_place: served == Some(*component),
            altered: None,
        };
        rows.push(match shelf.read(*component) {
            Ok((Release { policy_digest, base_digest, policies, bytes, time, .. }, _)) => {
                released.insert(policy_digest);
                // Its sources count too: without them nothing it decided can be explained.
                let altered = shelf.sources.contains(&policy_digest).then(|| sources::find(&shelf.path, &policy_digest.to_string()));
                Row {
                    policy_digest: Some(policy_digest),
                    base_digest: Some(base_digest),
                    time: Some(time),
                    policies: Some(policies),
                    bytes: Some(bytes),
                    altered: altered.transpose().err().map(|error| error.to_string()),
                    ..of_file
                }
            }
            Err(error) => Row { altered: Some(error.to_string()), ..of_file },
        });
    }
    // What the journal knows and nobody finds was taken away.
    for (component, tags) in tags {
        let altered = Some(format!("the release `{component}` is in the journal and not in the archive"));
        let tags = tags.into_iter().map(str::to_owned).collect();
        rows.push(Row { component: Some(component), tags, altered, in_place: served == Some(component), ..Row::nothing() });
    }
    let mut kept: Vec<(Option<UnixTime>, Digest)> =
        shelf.sources.difference(&released).map(|digest| (kept_at(shelf, *digest), *digest)).collect();
    kept.sort_by_key(|(time, digest)| (std::cmp::Reverse(*time), *digest));
    for (time, digest) in kept {
        let found = sources::find(&shelf.path, &digest.to_string());
        let policies = found.as_ref().ok().and_then(|bundle| policies::of(bundle).ok()).map(|all| policies::enforced(&all));
        let altered = match found {
            Err(error) if error.downcast_ref::<Altered>().is_some() => Some(error.to_string()),
            Err(error) => return Err(error),
            Ok(_) => None,
        };
        rows.push(Row { policy_digest: Some(digest), time, policies, altered, ..Row::nothing() });
    }
    Ok(rows)
}

/// When sources were kept, as far as the file system tells.
fn kept_at(shelf: &Shelf, digest: Digest) -> Option<UnixTime> {
    let changed = fs::metadata(shelf.path.join(digest.to_string())).and_then(|metadata| metadata.modified()).ok()?;
    let seconds = changed.duration_since(UNIX_EPOCH).ok()?.as_secs();
    i64::try_from(seconds).ok().map(UnixTime)
}

impl Row {
    fn nothing() -> Self {
        Self {
            component: None,
            policy_digest: None,
            base_digest: None,
            time: None,
            policies: None,
            bytes: None,
            tags: vec![],
            note: None,
            in_place: false,
            altered: None,
        }
    }

    fn json(&self) -> Value {
        let Self { component, policy_digest, base_digest, time, policies, bytes, tags, note, in_place, altered } = self;
        let text = |digest: &Option<Digest>| digest.map(|digest| digest.to_string());
        json!({
            "component_digest": text(component), "policy_digest": text(policy_digest), "base_digest": text(base_digest),
            "time": time.map(time::show), "policies": policies, "bytes": bytes, "tags": tags, "note": note,
            "released": component.is_some(), "in_place": in_place, "altered": altered,
        })
    }
}

fn human(rows: &[Row]) -> String {
    let mut lines = vec![["", "release", "policy digest", "policies", "size", "time", "tags"].map(str::to_owned)];
    for row in rows {
        let Row { component, policy_digest, base_digest: _, time, policies, bytes, tags, note: _, in_place, altered: _ } = row;
        lines.push([
            (if *in_place { "→" } else { "" }).to_owned(),
            component.map_or_else(|| "only sealed".to_owned(), short),
            policy_digest.map_or_else(|| "?".to_owned(), short),
            policies.map_or_else(|| "?".to_owned(), |number| number.to_string()),
            bytes.map_or_else(String::new, megabytes),
            time.map_or_else(|| "?".to_owned(), time::show),
            tags.join(", "),
        ]);
    }
    let widths: Vec<usize> =
        (0..7).map(|column| lines.iter().filter_map(|line| line.get(column)).map(|cell| cell.chars().count()).max().unwrap_or(0)).collect();
    let mut text = String::new();
    let below = std::iter::once(None).chain(rows.iter().map(Some));
    for (line, row) in lines.iter().zip(below) {
        let mut shown = String::new();
        for (cell, width) in line.iter().zip(&widths) {
            let room = width.saturating_sub(cell.chars().count()).saturating_add(2);
            shown.push_str(&one_line(cell));
            shown.extend(std::iter::repeat_n(' ', room));
        }
        text.push_str(shown.trim_end());
        text.push('\n');
        if let Some(note) = row.and_then(|row| row.note.as_deref()) {
            text.push_str(&format!("     {}\n", one_line(note)));
        }
        if let Some(why) = row.and_then(|row| row.altered.as_deref()) {
            text.push_str(&format!("     \x1b[31maltered\x1b[0m: {}\n", one_line(why)));
        }
    }
    text
}
