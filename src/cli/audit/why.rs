//! `cedargate audit why`: one decision in words, with the policies it fell by.

use std::path::PathBuf;

use miette::miette;

use super::super::archive::{self, ARCHIVE};
use super::super::output::{self, Format};
use super::super::{Exit, exit, files};
use super::Input;
use super::scan::warn;
use super::why_text::{Told, Why};
use crate::audit::{Entry, Kind, Recorded, RecordedSigning};
use crate::bundle::Gate;
use crate::decision::Replayer;
use crate::policy::{Explanation, Purpose};
use crate::request::Facts;

const EXAMPLES: &str = r"
cedargate audit why 01a1fbc1-c5f2-7e7c-bdf3-02c046c3a199 records.jsonl
    with the policies that decided, out of the archive that `seal` fills
cedargate audit why 01a1fbc1-c5f2-… records.jsonl --policies next/policies
    what other policies would make of it, and why";

/// Explain one decision
///
/// Tells the request of a record in words, what became of its credentials, each policy that decided with its text, which of its
/// clauses held, and for a denial the permits that came nearest and what they lacked. The policies are those that decided then, found
/// by their digest in the archive.
#[derive(Debug, clap::Args)]
#[command(after_help = exit::help(EXAMPLES, &[Exit::Ok, Exit::Failed, Exit::Invalid, Exit::VerificationFailed]))]
pub struct WhyArgs {
    /// The decision's id, as the response has it in `cedargate-decision-id`
    #[arg(value_name = "RECORD_ID")]
    id: String,
    #[command(flatten)]
    input: Input,
    /// Where `seal` and `up` keep what they sealed
    #[arg(long, value_name = "DIR", default_value = ARCHIVE)]
    archive: PathBuf,
    /// Explain by these policies instead of those in the archive
    #[arg(long, value_name = "DIR")]
    policies: Option<PathBuf>,
    /// The keys that belong to --policies
    #[arg(long, value_name = "DIR", default_value = "keys", requires = "policies")]
    keys: PathBuf,
    /// Trust the development keys in <keys>/dev too
    #[arg(long, requires = "policies")]
    dev: bool,
    /// How the answer is written: `json` is an object of {record, reason, policies, nearest, notes}
    #[arg(long, value_enum, default_value_t, hide_possible_values = true, value_name = "human|json")]
    format: Format,
}

/// Runs `cedargate audit why`.
///
/// # Errors
/// When there is no such record, a file cannot be read, or its policies are not at hand.
pub fn run(args: &WhyArgs) -> miette::Result<Exit> {
    let (entry, outcome) = find(args)?;
    let mut why = Why::of(&entry, outcome.as_ref());
    if asked(&entry) {
        let gate = gate(args, &entry)?;
        explain(&entry, &gate, &mut why);
    }
    output::stdout(&match args.format {
        Format::Human => why.human(),
        Format::Json => output::json(&why.json())?,
    })?;
    Ok(Exit::Ok)
}

/// Whether policies were asked about anything in it.
pub(super) fn asked(entry: &Entry) -> bool {
    entry.cedar.is_some() || entry.signing.iter().any(|item| item.cedar.is_some())
}

/// The decision with this id, and what became of it where that is a record of its own.
fn find(args: &WhyArgs) -> miette::Result<(Entry, Option<Entry>)> {
    let (mut decision, mut outcome) = (None, None);
    args.input.each(|line| {
        // Most lines are others: those are not even read.
        if !line.text.contains(args.id.as_str()) {
            return Ok(());
        }
        match Entry::parse(line.text) {
            Ok(entry) if entry.decision_id == args.id && entry.is_decision() => decision = Some(entry),
            Ok(entry) if entry.decision_id == args.id && entry.kind == Kind::Outcome => outcome = Some(entry),
            Ok(_) => {}
            Err(error) => warn(line, &error.to_string()),
        }
        Ok(())
    })?;
    match decision {
        Some(decision) => Ok((decision, outcome)),
        None => {
            let help = "an id is a UUID, as responses have it in `cedargate-decision-id`; `cedargate audit query` finds records";
            Err(miette!(help = help, "no record of the decision `{}` in these logs", output::visible(&args.id)))
        }
    }
}

fn gate(args: &WhyArgs, entry: &Entry) -> miette::Result<Gate> {
    if let Some(policies) = &args.policies {
        return Ok(files::load(policies, &args.keys, args.dev)?.1);
    }
    let digest = entry.policy_digest.as_deref().ok_or_else(|| miette!("the record does not say which policies decided"))?;
    let bundle = archive::find(&args.archive, digest)?;
    let help = "an older version of this command may read them";
    Gate::load(&bundle).map_err(|report| miette!(help = help, "the policies `{digest}` cannot be loaded any more: {report}"))
}

/// Asks again, and takes the answers apart.
pub(super) fn explain(entry: &Entry, gate: &Gate, why: &mut Why) {
    let other = entry.policy_digest != Some(gate.policy_digest().to_string());
    for replayed in Replayer::new(gate).replay(entry) {
        let number = replayed.item;
        match &replayed.after {
            Err(reason) => {
                why.note(number, format!("clauses cannot be told: {reason}"));
                continue;
            }
            Ok(after) if *after != replayed.before => {
                let (is, was) = (told(after.allow, &after.reason), told(replayed.before.allow, &replayed.before.reason));
                let who = if other { "these policies answer" } else { "asked again, the same policies answer" };
                why.note(number, format!("{who} {is}, where the record says {was}"));
            }
            Ok(_) => {}
        }
        match question(entry, gate, number) {
            Ok(explanation) => why.explained(number, Told::of(&explanation)),
            Err(error) => why.note(number, format!("clauses cannot be told: {error}")),
        }
    }
}

fn told(allow: bool, reason: &str) -> String {
    format!("{} ({reason})", if allow { "allow" } else { "deny" })
}

/// The explanation of one question of a record: of a URL to sign, of the first thing that is against it, else of `sign`.
fn question(entry: &Entry, gate: &Gate, item: Option<usize>) -> Result<Explanation, String> {
    let Recorded { facts, identity, now } = Recorded::of(entry)?;
    let Some(item) = item.and_then(|index| entry.signing.get(index)) else {
        let revoked = entry.inputs.as_ref().is_some_and(|inputs| inputs.purpose == "revoke");
        let purpose = if revoked { Purpose::Revoke } else { Purpose::Request };
        return Ok(gate.policy().explain(&facts, &identity, purpose, now));
    };
    let RecordedSigning { methods, path, parameters, signing } = RecordedSigning::of(item)?;
    let mut first = None;
    for method in methods {
        let facts = Facts { method, path: path.clone(), parameters: parameters.clone(), ..facts.clone() };
        for purpose in [Purpose::Sign(signing), Purpose::Request] {
            let explanation = gate.policy().explain(&facts, &identity, purpose, now);
            if !explanation.verdict.allow || !explanation.verdict.errors.is_empty() {
                return Ok(explanation);
            }
            first.get_or_insert(explanation);
        }
    }
    first.ok_or_else(|| "there is no method".to_owned())
}
