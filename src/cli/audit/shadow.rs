//! `cedargate audit shadow`: what policies on trial would change.

use super::super::output::{self, Format};
use super::super::replay::{Example, Group, Tally};
use super::super::{Exit, exit};
use super::scan::{malformed, number_of};
use super::{Input, Place, scan};
use crate::audit::{Entry, ShadowEntry};
use crate::decision::{Answer, Replayed};

const EXAMPLES: &str = r"
cedargate audit shadow records.jsonl
    whom the policies in policies/shadow/ would treat otherwise
cedargate audit shadow records.jsonl --format json
    for a pipeline that enforces them when nothing flips";

/// Sum up what policies on trial would change
///
/// Counts the requests on which the policies in policies/shadow/ were asked, as they came, and tells every answer that is another one
/// than that of the enforced policies. `cedargate replay` asks the same of requests that were recorded before.
#[derive(Debug, clap::Args)]
#[command(after_help = exit::help(EXAMPLES, &[Exit::Ok, Exit::Failed, Exit::VerificationFailed]))]
pub struct ShadowArgs {
    #[command(flatten)]
    input: Input,
    /// How the answer is written: `json` is an object of the counts and {flips}
    #[arg(long, value_enum, default_value_t, hide_possible_values = true, value_name = "human|json")]
    format: Format,
}

/// Runs `cedargate audit shadow`.
///
/// # Errors
/// When a file cannot be read.
pub fn run(args: &ShadowArgs) -> miette::Result<Exit> {
    let ShadowArgs { input, format } = args;
    let (mut tally, mut unread) = (Tally::default(), scan::Tally::default());
    input.each(|line| {
        match Entry::parse(line.text) {
            Ok(entry) => one(&entry, line.place, &mut tally),
            Err(error) => malformed(&mut unread, line, &error.to_string()),
        }
        Ok(())
    })?;
    tally.malformed = unread.malformed;
    output::stdout(&match format {
        Format::Human => tally.human(input, &format!("{} of policies on trial", number_of(asked(&tally), "answer"))),
        Format::Json => output::json(&tally.json(input, None))?,
    })?;
    unread.tell();
    Ok(if tally.groups.is_empty() { Exit::Ok } else { Exit::VerificationFailed })
}

fn asked(tally: &Tally) -> u64 {
    tally.groups.values().fold(tally.unchanged.saturating_add(tally.other_reason), |sum, (number, _)| sum.saturating_add(*number))
}

fn one(entry: &Entry, place: Place, tally: &mut Tally) {
    tally.records = tally.records.saturating_add(1);
    let Some(ShadowEntry { decision: _, reason, policies, errors }) = entry.shadow.as_ref().filter(|_| entry.is_decision()) else {
        tally.not_asked = tally.not_asked.saturating_add(1);
        return;
    };
    let after = Answer::new(reason, policies.iter().map(|policy| policy.id.as_str()), !errors.is_empty());
    let replayed = Replayed { item: None, before: Answer::recorded(&entry.reason, &entry.policies, &entry.errors), after: Ok(after) };
    match replayed.flip() {
        Some(flip) => tally.flipped(Group::of(flip, &replayed), 1, Example::of(entry, &replayed, place)),
        None if replayed.is_same() => tally.unchanged = tally.unchanged.saturating_add(1),
        None => tally.other_reason = tally.other_reason.saturating_add(1),
    }
}
