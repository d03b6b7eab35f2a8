//! `cedargate audit query`: the records that answer a question.

use miette::miette;
use serde_json::json;

use super::super::{Exit, exit, output};
use super::filter::Filter;
use super::scan::{self, Tally, number_of, one_line};
use super::write::{Enough, Output, forgive, harmless, is_terminal};
use super::{Input, csv};
use crate::audit::ocsf::entity;
use crate::audit::{Entry, Kind};

const EXAMPLES: &str = r"
cedargate audit query records.jsonl --decision deny --since 2h
    what was denied in the last two hours
cedargate audit query records.jsonl --path /api/admin --decision allow
    who was let into the admin API, and by which policies
cedargate audit query *.jsonl --reason jwt --reason dpop --count
    how many tokens and proofs were refused
cedargate audit query records.jsonl --subject alice --format csv > alice.csv
    everything alice did, for a spreadsheet";

/// Find records in decision logs
///
/// Shows the records for which everything holds that is asked for; an option that is given more than once holds when one of its
/// values does. The logs may be of any size: they are read once, one line at a time.
#[derive(Debug, clap::Args)]
#[command(after_help = exit::help(EXAMPLES, &[Exit::Ok, Exit::Failed]))]
pub struct QueryArgs {
    #[command(flatten)]
    input: Input,
    /// Stop after so many records
    #[arg(long, value_name = "NUMBER")]
    limit: Option<u64>,
    /// Only say how many there are
    #[arg(long, conflicts_with = "limit")]
    count: bool,
    /// How they are written: `json` is the lines as they are, `csv` has the columns of docs/audit-export.md
    #[arg(long, value_enum, default_value_t, hide_possible_values = true, value_name = "human|json|csv")]
    format: Format,
    #[command(flatten)]
    filter: Filter,
}

/// How records are written.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, clap::ValueEnum)]
enum Format {
    /// A table for people
    #[default]
    Human,
    /// The lines of the log
    Json,
    /// For a spreadsheet
    Csv,
}

/// Runs `cedargate audit query`.
///
/// # Errors
/// When a file cannot be read or the output not be written.
pub fn run(args: &QueryArgs) -> miette::Result<Exit> {
    let QueryArgs { input, limit, count, format, filter } = args;
    filter.tell();
    // A bar would come between the rows.
    let input = Input { files: input.files.clone(), quiet: input.quiet || (is_terminal() && !count) };
    let tally = if *count { scan::matching(&input, filter, |_, _| Ok(()))? } else { show(&input, filter, *limit, *format)? };
    if *count {
        output::stdout(&counted(&tally, *format)?)?;
    } else if *format == Format::Human && !args.input.quiet {
        // Where it was ended early nobody knows how many there are.
        output::stderr(&if tally.early {
            format!("the first {}\n", number_of(tally.matching, "record"))
        } else {
            format!("{} of {}\n", tally.matching, number_of(tally.records, "record"))
        });
    }
    tally.tell();
    Ok(Exit::Ok)
}

fn counted(tally: &Tally, format: Format) -> miette::Result<String> {
    Ok(match format {
        Format::Human => format!("{}\n", tally.matching),
        Format::Json => output::json(&json!({ "count": tally.matching, "records": tally.records, "malformed": tally.malformed }))?,
        Format::Csv => format!("count\r\n{}\r\n", tally.matching),
    })
}

fn show(input: &Input, filter: &Filter, limit: Option<u64>, format: Format) -> miette::Result<Tally> {
    if limit == Some(0) {
        return Err(miette!(help = "`--count` says how many there are", "a limit of 0 shows nothing"));
    }
    let mut output = if format == Format::Human { Output::styled(input) } else { Output::data(input) };
    let mut table = Table::new(input.files.iter().any(|file| file.as_os_str() == "-"));
    let (mut shown, terminal) = (0_u64, is_terminal());
    if format == Format::Csv {
        forgive(output.write(&csv::header()))?;
    }
    let tally = scan::matching(input, filter, |entry, line| {
        shown = shown.saturating_add(1);
        match format {
            Format::Human => table.row(cells(entry), &mut output)?,
            Format::Json if terminal => output.write(&format!("{}\n", harmless(line.text)))?,
            Format::Json => output.write(&format!("{}\n", line.text))?,
            Format::Csv if terminal => output.write(&output::visible(&csv::row(entry)))?,
            Format::Csv => output.write(&csv::row(entry))?,
        }
        if limit.is_some_and(|limit| shown >= limit) { Err(Enough.into()) } else { Ok(()) }
    })?;
    if format == Format::Human {
        forgive(table.end(&mut output))?;
    }
    output.finish()?;
    Ok(tally)
}

/// What a row shows.
const HEADS: [&str; 8] = ["TIME", "DECISION", "STATUS", "REASON", "PRINCIPAL", "METHOD", "PATH", "POLICIES"];
/// Rows that are looked at before the widths of columns are settled.
const SAMPLE: usize = 200;
/// The narrowest columns: what most rows need.
const NARROWEST: [usize; 8] = [24, 8, 6, 13, 9, 6, 4, 8];
/// Columns of rows that nobody has seen yet.
const TYPICAL: [usize; 8] = [24, 8, 6, 22, 24, 6, 32, 8];
/// The widest. What is longer is not cut, it moves the rest of its row.
const WIDEST: [usize; 8] = [24, 10, 6, 28, 32, 7, 48, 0];

type Cells = [String; 8];

fn cells(entry: &Entry) -> Cells {
    let decision = match entry.kind {
        Kind::Decision => entry.decision.as_str(),
        Kind::Outcome | Kind::Checkpoint | Kind::Dropped | Kind::Other(_) => entry.kind.as_str(),
    };
    let status = if entry.status == 0 { String::new() } else { entry.status.to_string() };
    let fault = entry.upstream.as_ref().and_then(|upstream| upstream.error.as_ref());
    let reason = fault.map_or(&entry.reason, |fault| &fault.reason);
    let path = entry.request.path.as_deref().unwrap_or_default();
    let (principal, last) = (principal(entry), last(entry));
    let cells: [&str; 8] = [&entry.time, decision, &status, reason, &principal, &entry.request.method, path, &last];
    cells.map(|cell| if cell.is_empty() { "-".to_owned() } else { one_line(cell) })
}

/// The principal's id: its type is plain from it in most policies, and the column is narrow.
fn principal(entry: &Entry) -> String {
    let name = entry.cedar.as_ref().and_then(|cedar| cedar.principal.as_deref());
    name.map(|name| entity(name).map_or_else(|| name.to_owned(), |(_, id)| id)).unwrap_or_default()
}

/// The policies; of a record about the log itself, what it tells.
fn last(entry: &Entry) -> String {
    if let Some(checkpoint) = &entry.checkpoint {
        return format!("{} ({})", number_of(checkpoint.decisions, "decision"), checkpoint.why);
    }
    if let Some(dropped) = &entry.dropped {
        return format!("{} lost ({})", number_of(dropped.count, "record"), dropped.why);
    }
    if entry.kind == Kind::Outcome {
        return format!("of {}", entry.decision_id);
    }
    let ids: Vec<_> = entry.policies.iter().map(|policy| policy.id.as_str()).collect();
    ids.join(", ")
}

/// A table whose columns are as wide as its first rows need.
struct Table {
    widths: Option<[usize; 8]>,
    waiting: Vec<Cells>,
    /// Rows that are waited for.
    sample: usize,
    least: [usize; 8],
}

impl Table {
    /// A table of rows that are there, or of rows that are waited for: those are shown as they come.
    fn new(awaited: bool) -> Self {
        let (sample, least) = if awaited { (1, TYPICAL) } else { (SAMPLE, NARROWEST) };
        Self { widths: None, waiting: Vec::new(), sample, least }
    }

    fn row(&mut self, cells: Cells, output: &mut Output) -> miette::Result<()> {
        match self.widths {
            Some(widths) => output.write(&line(&cells, widths)),
            None => {
                self.waiting.push(cells);
                if self.waiting.len() >= self.sample { self.settle(output) } else { Ok(()) }
            }
        }
    }

    /// Shows what waits. No rows, no table.
    fn end(&mut self, output: &mut Output) -> miette::Result<()> {
        if self.waiting.is_empty() { Ok(()) } else { self.settle(output) }
    }

    fn settle(&mut self, output: &mut Output) -> miette::Result<()> {
        let mut widths = self.least;
        for cells in &self.waiting {
            for ((width, widest), cell) in widths.iter_mut().zip(WIDEST).zip(cells) {
                *width = (*width).max(cell.chars().count().min(widest));
            }
        }
        self.widths = Some(widths);
        output.write(&format!("\x1b[1m{}\x1b[0m\n", padded(&HEADS, widths).trim_end()))?;
        for cells in std::mem::take(&mut self.waiting) {
            output.write(&line(&cells, widths))?;
        }
        Ok(())
    }
}

fn padded<S: AsRef<str>>(cells: &[S; 8], widths: [usize; 8]) -> String {
    cells.iter().zip(widths).map(|(cell, width)| format!("{:width$}  ", cell.as_ref())).collect()
}

fn line(cells: &Cells, widths: [usize; 8]) -> String {
    let [time, decision, rest @ ..] = cells;
    let [time_width, decision_width, rest_widths @ ..] = widths;
    let colour = match decision.as_str() {
        "allow" => "\x1b[32m",
        "deny" => "\x1b[31m",
        "dropped" => "\x1b[33m",
        _ => "\x1b[2m",
    };
    let rest: String = rest.iter().zip(rest_widths).map(|(cell, width)| format!("  {cell:width$}")).collect();
    format!("\x1b[2m{time:time_width$}\x1b[0m  {colour}{decision:decision_width$}\x1b[0m{}\n", rest.trim_end())
}
