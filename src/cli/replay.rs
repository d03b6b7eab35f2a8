//! `cedargate replay`: every recorded decision, asked again of other policies.

mod approvals;
mod tally;
mod work;

use std::path::PathBuf;

use super::audit::{Input, number_of};
use super::files::{self, Folders};
use super::output::{self, Format};
use super::{Exit, exit};
pub(super) use approvals::Approvals;
pub(super) use tally::{Example, Group, Tally};
pub(super) use work::replay;

const EXAMPLES: &str = r"
cedargate replay records.jsonl --policies ../next/policies
    whom the next policies would treat otherwise
cedargate replay *.jsonl --policies next --approvals approvals.toml
    the same in CI: only what nobody approved fails
cedargate replay records.jsonl --format json
    whether today's policies still decide as they did";

/// Ask recorded decisions again, of other policies
///
/// Takes from each record what was decided on, asks the policies in --policies, and tells every answer that flips: what was allowed
/// and would be denied, what was denied and would be allowed, what would end in an error. What was refused before policies were asked
/// depends on none and is only counted; so are records that mask what these policies look at.
#[derive(Debug, clap::Args)]
#[command(after_help = exit::help(EXAMPLES, &[Exit::Ok, Exit::Failed, Exit::Invalid, Exit::VerificationFailed]))]
pub struct ReplayArgs {
    #[command(flatten)]
    input: Input,
    #[command(flatten)]
    folders: Folders,
    /// Flips that are meant: docs/replay.md has the format
    #[arg(long, value_name = "FILE")]
    approvals: Option<PathBuf>,
    /// How many threads ask; without it, one for each core
    #[arg(long, value_name = "NUMBER")]
    threads: Option<std::num::NonZeroUsize>,
    /// How the answer is written: `json` is an object of the counts and {flips}
    #[arg(long, value_enum, default_value_t, hide_possible_values = true, value_name = "human|json")]
    format: Format,
}

/// Runs `cedargate replay`.
///
/// # Errors
/// When a file cannot be read, or policies, keys or approvals are not valid.
pub fn run(args: &ReplayArgs) -> miette::Result<Exit> {
    let ReplayArgs { input, folders: Folders { policies, keys, dev }, approvals, threads, format } = args;
    let (_, gate) = files::load(policies, keys, *dev)?;
    let approvals = approvals.as_deref().map(Approvals::read).transpose()?.unwrap_or_default();
    let threads = threads.map_or_else(cores, usize::from);
    let tally = replay(input, None, &gate, &approvals, threads)?;
    output::stdout(&match format {
        Format::Human => tally.human(input, &format!("against policies {}", gate.policy_digest())),
        Format::Json => output::json(&tally.json(input, Some(&gate.policy_digest().to_string())))?,
    })?;
    for stale in approvals.unused(&tally.approved) {
        output::stderr(&format!("warning: nothing flips any more that this approves: {}\n", output::visible(&stale)));
    }
    if tally.malformed > 0 {
        output::stderr(&format!("warning: {} could not be read as a record\n", number_of(tally.malformed, "line")));
    }
    Ok(if tally.groups.is_empty() { Exit::Ok } else { Exit::VerificationFailed })
}

/// How many threads there are cores for.
pub(super) fn cores() -> usize {
    std::thread::available_parallelism().map_or(1, usize::from)
}
