//! `cedargate audit export`: records for other programs.

use std::path::PathBuf;

use super::super::output;
use super::super::{Exit, exit};
use super::filter::Filter;
use super::scan::{self, number_of};
use super::write::{Output, forgive, harmless, is_terminal};
use super::{Input, csv};
use crate::audit::ocsf::{self, Options};

const EXAMPLES: &str = r"
cedargate audit export records.jsonl -o events.jsonl
    OCSF events, one on each line, for a SIEM
cedargate audit export *.jsonl --cloud-provider AWS -o events.jsonl
    of gates in a cloud: their regions are that cloud's
cedargate audit export records.jsonl --since 30d --format csv -o month.csv
    the last thirty days as a table";

/// Convert decision logs for other programs
///
/// Writes OCSF events (1.8.0, class API Activity), one JSON object on each line, or a table. docs/audit-export.md shows what becomes
/// of each field. The logs may be of any size, and are never changed.
#[derive(Debug, clap::Args)]
#[command(after_help = exit::help(EXAMPLES, &[Exit::Ok, Exit::Failed]))]
pub struct ExportArgs {
    #[command(flatten)]
    input: Input,
    /// What is written
    #[arg(long, value_enum, default_value_t, hide_possible_values = true, value_name = "ocsf|csv")]
    format: Format,
    /// Where it is written; standard output when left out
    #[arg(long, short, value_name = "FILE")]
    output: Option<PathBuf>,
    /// The cloud the gates run in, for OCSF: AWS, Azure, GCP, …
    #[arg(long, value_name = "NAME")]
    cloud_provider: Option<String>,
    /// Leave the record's own line out of OCSF events; its digest stays
    #[arg(long)]
    no_raw: bool,
    #[command(flatten)]
    filter: Filter,
}

/// What records become.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, clap::ValueEnum)]
enum Format {
    /// Events of OCSF
    #[default]
    Ocsf,
    /// Rows of a table
    Csv,
}

/// Runs `cedargate audit export`.
///
/// # Errors
/// When a file cannot be read or the output not be written.
pub fn run(args: &ExportArgs) -> miette::Result<Exit> {
    let ExportArgs { input, format, output: file, cloud_provider, no_raw, filter } = args;
    filter.tell();
    let shown = file.is_none() && is_terminal();
    // A bar would come between the events.
    let input = Input { files: input.files.clone(), quiet: input.quiet || shown };
    let mut out = match file {
        Some(path) => Output::file(path, &input)?,
        None => Output::data(&input),
    };
    let options = Options { provider: cloud_provider.as_deref().filter(|name| !name.is_empty()), raw: !no_raw };
    if *format == Format::Csv {
        forgive(out.write(&csv::header()))?;
    }
    let (mut written, mut left_out, mut failed) = (0_u64, 0_u64, 0_u64);
    let tally = scan::matching(&input, filter, |entry, line| {
        let text = match format {
            Format::Csv => csv::row(entry),
            Format::Ocsf => match ocsf::event(entry, line.text, options) {
                Ok(Some(event)) => format!("{event}\n"),
                Ok(None) => {
                    left_out = left_out.saturating_add(1);
                    return Ok(());
                }
                Err(error) => {
                    failed = failed.saturating_add(1);
                    scan::warn(line, &error.to_string());
                    return Ok(());
                }
            },
        };
        written = written.saturating_add(1);
        // SECURITY: nothing of it can steer a terminal; a file has every byte.
        match format {
            _ if !shown => out.write(&text),
            Format::Ocsf => out.write(&harmless(&text)),
            Format::Csv => out.write(&output::visible(&text)),
        }
    })?;
    out.finish()?;
    if !args.input.quiet {
        output::stderr(&format!("{} exported\n", number_of(written, "record")));
        if left_out > 0 {
            output::stderr(&format!("{} left out: about the log itself, not an API call\n", number_of(left_out, "record")));
        }
    }
    if failed > 0 {
        output::stderr(&format!("warning: {} could not be an event\n", number_of(failed, "record")));
    }
    tally.tell();
    Ok(Exit::Ok)
}
