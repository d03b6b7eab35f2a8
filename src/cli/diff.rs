//! `cedargate diff`: what a change of policy means, and for whom.

mod answers;
mod files;
mod policies;
mod side;
mod told;

use std::collections::BTreeSet;
use std::path::PathBuf;

use miette::miette;

use super::archive::ARCHIVE;
use super::audit::{Input, number_of};
use super::files::Folders;
use super::output::{self, Format};
use super::prove::{self, Comparison, Relation, Solver, Subject};
use super::replay::{self, Approvals, Tally};
use super::test::Tests;
use super::{Exit, exit};
use crate::bundle::Gate;
use crate::decision::Flip;
use side::{Places, Side};
use told::Told;

const EXAMPLES: &str = r"
cedargate diff ../main/policies policies
    what this branch changes, and whom it treats otherwise
cedargate diff v1.4 policies --log records.jsonl
    against a release, with the requests of a decision log
cedargate diff ../main/policies policies --prove
    whether anything is allowed that was not, whatever is asked
cedargate diff old new --approvals approvals.toml --format json
    for CI: fails only when somebody gains what nobody approved";

/// Tell what a change of policies means, and for whom
///
/// OLD and NEW are each a project, a folder of policies, a sealed component, or what the archive has: the tag of a release, or at least
/// four digits of a digest. Told are policies that came, went or say something else (not those that are only written otherwise), other files by
/// what changed in them, and every answer that is another: of the matrix, of the tests, and of requests in decision logs.
#[derive(Debug, clap::Args)]
#[command(after_help = exit::help(EXAMPLES, &[Exit::Ok, Exit::Failed, Exit::Invalid, Exit::VerificationFailed, Exit::NotProved]))]
pub struct DiffArgs {
    /// What there was
    #[arg(value_name = "OLD")]
    old: String,
    /// What there is to be
    #[arg(value_name = "NEW")]
    new: String,
    /// The folder of policies whose tests and matrix are asked; without it NEW's, else OLD's
    #[arg(long, value_name = "DIR")]
    tests: Option<PathBuf>,
    /// Decision logs whose requests are asked of both
    #[arg(long, value_name = "FILE", num_args = 1..)]
    log: Vec<PathBuf>,
    /// Flips that are meant: docs/replay.md has the format
    #[arg(long, value_name = "FILE")]
    approvals: Option<PathBuf>,
    /// Also prove, kind of request by kind, that NEW allows the same, less or more; docs/proofs.md says what it takes
    #[arg(long)]
    prove: bool,
    /// Longest wait for the answer to one question of a proof, in seconds
    #[arg(long, value_name = "SECONDS", default_value_t = prove::TIMEOUT, value_parser = clap::value_parser!(u64).range(1..=86_400))]
    timeout: u64,
    /// The keys of a folder of policies that brings none
    #[arg(long, value_name = "DIR", default_value = "keys")]
    keys: PathBuf,
    /// Trust the development keys in <keys>/dev too
    #[arg(long)]
    dev: bool,
    /// Where sealed policies are kept by their digest
    #[arg(long, value_name = "DIR", default_value = ARCHIVE)]
    archive: PathBuf,
    /// How the answer is written: `json` is an object of {policies, files, matrix, tests, log, proofs, widened, narrowed, approved}
    #[arg(long, value_enum, default_value_t, hide_possible_values = true, value_name = "human|json")]
    format: Format,
}

/// Runs `cedargate diff`.
///
/// # Errors
/// When a side cannot be found or read, or is not valid; when a log or the approvals cannot be read.
pub fn run(args: &DiffArgs) -> miette::Result<Exit> {
    let places = Places { archive: &args.archive, keys: &args.keys, dev: args.dev };
    let (old, new) = (Side::read(&args.old, places)?, Side::read(&args.new, places)?);
    let approvals = args.approvals.as_deref().map(Approvals::read).transpose()?.unwrap_or_default();
    let policies = policies::Policies::between(old.gate.policy(), new.gate.policy());
    let files = files::between(&old.bundle, &new.bundle);
    let schemas = [prove::schema(&old.bundle)?, prove::schema(&new.bundle)?];
    let names = [(old.name, old.gate.policy_digest()), (new.name, new.gate.policy_digest())];

    let folders = folders(args, old.folders.as_ref(), new.folders.as_ref())?;
    let (old, new) = (Tests::beside(&folders, old.bundle, old.gate)?, Tests::beside(&folders, new.bundle, new.gate)?);
    let (mut matrix, mut tests) = (answers::of_matrix(&old, &new)?, answers::of_tests(&old, &new)?);
    let mut used = BTreeSet::new();
    for found in [&mut matrix, &mut tests].into_iter().flatten() {
        found.approve(&approvals, &mut used);
    }
    let log = match args.log.as_slice() {
        [] => None,
        files => {
            let input = Input { files: files.to_vec(), quiet: args.format == Format::Json };
            let tally = replay::replay(&input, Some(&old.gate), &new.gate, &approvals, replay::cores())?;
            used.extend(&tally.approved);
            Some((input, tally))
        }
    };

    let proofs = if args.prove { Some(proofs(args, [&old.gate, &new.gate], &schemas, &approvals, &mut used)?) } else { None };
    let told = Told {
        names: &names,
        policies: &policies,
        files: &files,
        matrix: &matrix,
        tests: &tests,
        log: log.as_ref(),
        proofs: proofs.as_ref(),
    };
    output::stdout(&match args.format {
        Format::Human => told.human(),
        Format::Json => output::json(&told.json())?,
    })?;
    for stale in approvals.unused(&used) {
        output::stderr(&format!("warning: nothing flips any more that this approves: {}\n", output::visible(&stale)));
    }
    let malformed = log.as_ref().map_or(0, |(_, tally)| tally.malformed);
    if malformed > 0 {
        output::stderr(&format!("warning: {} could not be read as a record\n", number_of(malformed, "line")));
    }
    if let Some(Err(why)) = &proofs {
        output::stderr(&prove::no_solver(why));
    }
    let open =
        proofs.as_ref().is_some_and(|found| found.as_ref().map_or(true, |all| all.iter().any(|one| one.relation == Relation::Unknown)));
    Ok(match (told.widened(), open) {
        (0, false) => Exit::Ok,
        (0, true) => Exit::NotProved,
        (..) => Exit::VerificationFailed,
    })
}

/// What is proved, or why nothing is.
type Proofs = Result<Vec<Comparison>, String>;

/// Compares both for every request.
fn proofs(
    args: &DiffArgs,
    [old, new]: [&Gate; 2],
    [of_old, of_new]: &[String; 2],
    approvals: &Approvals,
    used: &mut BTreeSet<usize>,
) -> miette::Result<Proofs> {
    let solver = match Solver::find(args.timeout) {
        Ok(solver) => solver,
        Err(why) => return Ok(Err(why)),
    };
    let whole = approvals.whole_policies();
    let approved = whole.iter().map(|(_, id)| (*id).to_owned()).collect();
    let (old, new) = (Subject::new(old.policy(), of_old)?, Subject::new(new.policy(), of_new)?);
    let found = prove::compare(&old, &new, &approved, &solver).map_err(|why| miette!("{why}"))?;
    if found.iter().any(|one| one.approved) {
        used.extend(whole.iter().map(|(index, _)| index));
    }
    Ok(Ok(found))
}

/// Whose tests are asked.
fn folders(args: &DiffArgs, old: Option<&Folders>, new: Option<&Folders>) -> miette::Result<Folders> {
    if let Some(policies) = &args.tests {
        if !policies.join("tests").is_dir() {
            let help = "name the folder of policies that `tests` lies in";
            return Err(miette!(help = help, "there are no tests in `{}`", policies.display()));
        }
        return Ok(Folders { policies: policies.clone(), keys: args.keys.clone(), dev: args.dev });
    }
    let has = |folders: &&Folders| folders.policies.join("tests").is_dir();
    let own = || Folders { policies: PathBuf::from("policies"), keys: args.keys.clone(), dev: args.dev };
    Ok(new.filter(has).or(old.filter(has)).cloned().unwrap_or_else(own))
}

/// How many answers of a replay give somebody what nobody approved.
fn widened(log: Option<&(Input, Tally)>) -> u64 {
    log.map_or(0, |(_, tally)| tally.flips(Flip::DenyToAllow))
}
