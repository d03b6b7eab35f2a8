//! `cedargate archive diff`: what differs between the sources of two of them, as text.

use std::collections::BTreeSet;
use std::path::PathBuf;

use serde_json::json;

use super::super::audit::one_line;
use super::super::fmt::diff;
use super::super::output::{self, Format};
use super::super::{Exit, exit};
use super::policies::{self, Changes};
use super::{ARCHIVE, Shelf, short, sources};
use crate::bundle::Bundle;

const EXAMPLES: &str = r"
cedargate archive diff v1.3 v1.4
    file by file, and which policies were added, removed or changed
cedargate archive diff 8f9bbed9 v1.4 --full
    with every line, however many there are
cedargate archive diff v1.3 v1.4 --format json
    for a pipeline";

/// Show what differs between the sources of two gates, as text
///
/// File by file, then the policies by their @id: one counts as changed when it says something else, not when its comments or its file
/// are others. What the difference means for requests is another question: `cedargate diff` answers it for the same two names.
#[derive(Debug, clap::Args)]
#[command(after_help = exit::help(EXAMPLES, &[Exit::Ok, Exit::Failed, Exit::VerificationFailed]))]
pub struct DiffArgs {
    /// The one before: a tag, or at least four digits of a digest
    #[arg(value_name = "OLD")]
    old: String,
    /// The one after
    #[arg(value_name = "NEW")]
    new: String,
    /// The archive
    #[arg(long, value_name = "DIR", default_value = ARCHIVE)]
    archive: PathBuf,
    /// Show every line that differs, instead of the first of each file
    #[arg(long)]
    full: bool,
    /// How it is written: `json` is an object of {old, new, files, policies}
    #[arg(long, value_enum, default_value_t, hide_possible_values = true, value_name = "human|json")]
    format: Format,
}

/// What became of a file.
struct Change {
    path: String,
    what: &'static str,
    lines: String,
}

/// Runs `cedargate archive diff`.
///
/// # Errors
/// When nothing has one of the names, or its sources were not kept; [`Altered`](super::super::diagnostic::Altered) when they were altered.
pub fn run(args: &DiffArgs) -> miette::Result<Exit> {
    let DiffArgs { old, new, archive, full, format } = args;
    let shelf = Shelf::open(archive)?;
    let [old, new] = [shelf.policies(old)?, shelf.policies(new)?];
    let (before, after) = (sources::find(archive, &old.to_string())?, sources::find(archive, &new.to_string())?);
    let files = files(&before, &after, if *full { usize::MAX } else { diff::SHOWN });
    let policies = match (policies::of(&before), policies::of(&after)) {
        (Ok(before), Ok(after)) => Ok(policies::changes(&before, &after)),
        (Err(why), _) | (_, Err(why)) => Err(why),
    };
    if let Err(why) = &policies {
        output::stderr(&format!("warning: policies are not compared, this version of the command cannot read them: {}\n", one_line(why)));
    }
    let policies = policies.ok();
    output::stdout(&match format {
        Format::Human if old == new => "they have the same sources\n".to_owned(),
        Format::Human => human(&format!("{} → {}", short(old), short(new)), &files, policies.as_ref()),
        Format::Json => output::json(&json!({
            "old": old.to_string(), "new": new.to_string(),
            "files": files.iter().map(|Change { path, what, lines }| json!({ "path": path, "change": what, "lines": lines })).collect::<Vec<_>>(),
            "policies": policies.map(|Changes { added, removed, changed }| json!({ "added": added, "removed": removed, "changed": changed })),
        }))?,
    })?;
    Ok(Exit::Ok)
}

fn files(old: &Bundle, new: &Bundle, most: usize) -> Vec<Change> {
    let paths: BTreeSet<&str> = old.iter().chain(new.iter()).map(|(path, _)| path).collect();
    let mut changes = vec![];
    for path in paths {
        let (before, after) = (old.get(path), new.get(path));
        if before == after {
            continue;
        }
        let what = match (before, after) {
            (None, _) => "added",
            (_, None) => "removed",
            _ => "changed",
        };
        let text = |bytes: Option<&'_ [u8]>| std::str::from_utf8(bytes.unwrap_or_default()).ok().map(str::to_owned);
        let lines = match (text(before), text(after)) {
            (Some(before), Some(after)) if before == after => String::new(),
            (Some(before), Some(after)) => diff::first(&before, &after, most),
            _ => "  it is not text\n".to_owned(),
        };
        changes.push(Change { path: path.to_owned(), what, lines });
    }
    changes
}

fn human(head: &str, files: &[Change], policies: Option<&Changes>) -> String {
    let mut text = format!("{head}\n");
    for Change { path, what, lines } in files {
        text.push_str(&format!("\n\x1b[1m{}\x1b[0m {what}\n{lines}", one_line(path)));
    }
    if let Some(Changes { added, removed, changed }) = policies {
        text.push_str("\npolicies\n");
        for (mark, names) in [("+", added), ("-", removed), ("~", changed)] {
            names.iter().for_each(|name| text.push_str(&format!("  {mark} {}\n", one_line(name))));
        }
        if added.is_empty() && removed.is_empty() && changed.is_empty() {
            text.push_str("  none was added, removed or changed\n");
        }
    }
    text
}
