//! `cedargate audit verify`: whether logs are what gates wrote.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use miette::{IntoDiagnostic as _, WrapErr as _, miette};
use serde_json::{Value, json};

use super::super::{Exit, exit, output, sign};
use super::scan::{number_of, one_line};
use super::write::Output;
use super::{Input, Place};
use crate::audit::{Anchor, Fault, Finding, Verified, Verifier};
use crate::cli::output::Format;

/// Where the keyring is found when no file is named.
pub(super) const KEYS: &str = "SPIN_VARIABLE_AUDIT_KEYS";
/// Most findings that `--format json` lists. All are counted.
const LISTED: usize = 10_000;

const EXAMPLES: &str = r"
cedargate audit verify records.jsonl --keyring audit-keys.json
    whether anything was altered or is missing
cedargate audit verify today.jsonl --anchors ends.jsonl --ends ends.jsonl
    and whether what was there yesterday still is
zcat 2026-11.jsonl.gz | cedargate audit verify - --open-start
    of a log that begins in the middle of its chains";

/// Check that decision logs are what gates wrote
///
/// Follows the chain of each instance through all files, in the order they are named, and says what was altered, put in another
/// order, doubled or left out, and what another key or none made. The keyring is that of the variable `audit_keys`; of Ed25519 keys
/// the public halves are enough.
#[derive(Debug, clap::Args)]
#[command(after_help = exit::help(EXAMPLES, &[Exit::Ok, Exit::Failed, Exit::VerificationFailed]))]
pub struct VerifyArgs {
    #[command(flatten)]
    input: Input,
    /// The file with the keyring; without it the variable SPIN_VARIABLE_AUDIT_KEYS holds it
    #[arg(long, value_name = "FILE")]
    keyring: Option<PathBuf>,
    /// Chains may begin before these files do, as they do in a log that was rotated
    #[arg(long)]
    open_start: bool,
    /// Ends of chains that an earlier run wrote: their records must be there
    #[arg(long, value_name = "FILE")]
    anchors: Option<PathBuf>,
    /// Write the end of each chain to this file, to be kept where the log's keepers cannot change it
    #[arg(long, value_name = "FILE")]
    ends: Option<PathBuf>,
    /// How the answer is written: `json` is an object of {records, authentic, chains, lines_passed_over, faults, findings}
    #[arg(long, value_enum, default_value_t, hide_possible_values = true, value_name = "human|json")]
    format: Format,
}

/// What was found.
#[derive(Default)]
struct Found {
    counts: BTreeMap<Fault, u64>,
    listed: Vec<Value>,
}

/// Runs `cedargate audit verify`.
///
/// # Errors
/// When a file cannot be read or written, or there is no keyring.
pub fn run(args: &VerifyArgs) -> miette::Result<Exit> {
    let VerifyArgs { input, keyring, open_start, anchors, ends, format } = args;
    let keyring = sign::keyring(keyring.as_deref(), KEYS)?.ok_or_else(|| {
        let help = format!("name its file with `--keyring`, or put it into {KEYS}");
        miette!(help = help, "no keyring to verify with")
    })?;
    let anchors = anchors.as_deref().map(read_anchors).transpose()?.unwrap_or_default();
    let mut verifier = Verifier::new(&keyring, *open_start, anchors);
    let mut found = Found::default();
    let passed = input.each(|line| {
        for finding in verifier.take(line.text, line.place) {
            found.tell(&finding, input, *format)?;
        }
        Ok(())
    })?;
    let (missing, chain_ends, tally) = verifier.finish();
    for finding in missing {
        found.tell(&finding, input, *format)?;
    }
    match ends {
        Some(path) if found.counts.is_empty() => write_anchors(path, &chain_ends, input)?,
        // What was found may be why an end is another one.
        Some(path) => output::stderr(&format!("warning: `{}` was not written, because of what was found\n", path.display())),
        None => {}
    }
    output::stdout(&match format {
        Format::Human => found.summary(&tally, passed),
        Format::Json => output::json(&json!({
            "records": tally.records,
            "authentic": tally.authentic,
            "chains": tally.chains,
            "lines_passed_over": passed,
            "faults": found.counts.iter().map(|(fault, count)| (fault.as_str(), count)).collect::<BTreeMap<_, _>>(),
            "findings": found.listed,
        }))?,
    })?;
    Ok(if found.counts.is_empty() { Exit::Ok } else { Exit::VerificationFailed })
}

impl Found {
    fn tell(&mut self, finding: &Finding<Place>, input: &Input, format: Format) -> miette::Result<()> {
        let Finding { fault, place, instance, records, decision_id, message } = finding;
        let count = self.counts.entry(*fault).or_default();
        *count = count.saturating_add(1);
        let file = place.and_then(|(file, _)| input.files.get(file)).map(|file| file.display().to_string());
        let line = place.map(|(_, line)| line);
        if format == Format::Json {
            if self.listed.len() < LISTED {
                let records = records.map(|(first, last)| json!({ "first": first, "last": last }));
                self.listed.push(json!({
                    "fault": fault.as_str(), "file": file, "line": line, "instance": instance, "records": records,
                    "decision_id": decision_id, "message": message,
                }));
            }
            return Ok(());
        }
        let place = match (&file, line) {
            (Some(file), Some(line)) => format!("{}:{line}: ", one_line(file)),
            _ => String::new(),
        };
        let mut text = format!("{place}\x1b[31m{}\x1b[0m: ", fault.as_str());
        text.push_str(&place_in_words(*records));
        if let Some(instance) = instance {
            text.push_str(&format!(" of instance {}", one_line(instance)));
        }
        if let Some(id) = decision_id.as_deref().filter(|id| !id.is_empty()) {
            text.push_str(&format!(" (decision {})", one_line(id)));
        }
        output::stdout(&format!("{text}: {}\n", one_line(message)))
    }

    fn summary(&self, tally: &Verified, passed: u64) -> String {
        let Verified { records, authentic, chains } = *tally;
        let mut text = format!("{}, {authentic} authentic, in {}", number_of(records, "record"), number_of(chains, "chain"));
        if passed > 0 {
            text.push_str(&format!("; {} passed over", number_of(passed, "other line")));
        }
        if self.counts.is_empty() {
            text.push_str(": nothing altered and nothing missing between the first and the last record of each chain\n");
            return text;
        }
        let counts: Vec<String> = self.counts.iter().map(|(fault, count)| format!("{count} {}", fault.as_str())).collect();
        text.push_str(&format!(": \x1b[31m{}\x1b[0m\n", counts.join(", ")));
        text
    }
}

/// Which records of their chain a finding is about.
pub(super) fn place_in_words(records: Option<(u64, u64)>) -> String {
    match records {
        Some((first, last)) if first == last => format!("record {first}"),
        Some((first, last)) => format!("records {first} to {last}"),
        None => "a line".to_owned(),
    }
}

fn read_anchors(path: &Path) -> miette::Result<Vec<Anchor>> {
    let failed = || format!("`{}`", path.display());
    let text = std::fs::read_to_string(path).into_diagnostic().wrap_err_with(failed)?;
    let anchors = text.lines().filter(|line| !line.is_empty()).map(serde_json::from_str);
    let help = "a line of it is `{\"instance\":…,\"seq\":…,\"mac\":…}`, as `--ends` writes them";
    anchors
        .collect::<Result<_, _>>()
        .map_err(|error| miette!(help = help, "`{}` has a line that is no end of a chain: {error}", path.display()))
}

fn write_anchors(path: &Path, ends: &[Anchor], input: &Input) -> miette::Result<()> {
    let mut file = Output::file(path, input)?;
    for end in ends {
        file.write(&format!("{}\n", serde_json::to_string(end).into_diagnostic()?))?;
    }
    file.finish()
}
