//! `cedargate prove`: what holds for every request, and not only for those that somebody thought of.

mod claims;
mod compare;
mod counterexample;
mod solver;
mod told;
mod work;

use std::fs::File;
use std::io::{self, Read as _};

use miette::miette;

use super::diagnostic::Invalid;
use super::files::{self, Folders};
use super::output::{self, Format};
use super::test::Source;
use super::{Exit, exit};
use crate::bundle::{Bundle, Gate, Report};
use crate::limits::BUNDLE_FILE_BYTES;
use crate::policy::PolicyStore;
pub(super) use claims::NAME;
use claims::{Claim, Proof};
pub(super) use compare::{Comparison, Relation, compare};
pub(super) use solver::Solver;
pub(super) use told::shown as example;
use told::{Proved, Told};
pub(super) use work::Subject;
use work::Verdict;

const EXAMPLES: &str = r"
cedargate prove
    everything in policies/proofs.yaml, with a counterexample where it is not so
cedargate prove never-errors
    that no policy fails, whatever is asked
cedargate prove always-denies 'principal is Gate::Anonymous && !context.https'
    one thing, without writing it down";

/// Prove what holds for every request, or find one for which it does not
///
/// Claims stand in policies/proofs.yaml; docs/proofs.md has the format and says what a proof means. They are proved by the solver cvc5, a
/// program of its own: named by the variable CVC5, or on the PATH. Without it nothing is proved, which is never taken for success.
#[derive(Debug, clap::Args)]
#[command(after_help = exit::help(EXAMPLES, &[Exit::Ok, Exit::Failed, Exit::Invalid, Exit::TestsFailed, Exit::NotProved]))]
pub struct ProveArgs {
    /// What to prove instead: never-errors, always-denies, always-allows
    #[arg(value_name = "CLAIM", value_parser = ["never-errors", "always-denies", "always-allows"], hide_possible_values = true)]
    claim: Option<String>,
    /// Of which requests: a condition in Cedar, as in `when`
    #[arg(value_name = "CONDITION")]
    condition: Option<String>,
    #[command(flatten)]
    folders: Folders,
    /// Longest wait for the answer to one question, in seconds
    #[arg(long, value_name = "SECONDS", default_value_t = TIMEOUT, value_parser = clap::value_parser!(u64).range(1..=86_400))]
    timeout: u64,
    /// How the result is written: `json` is an object of {proved, refuted, not_proved, solver, proofs}
    #[arg(long, value_enum, default_value_t, hide_possible_values = true, value_name = "human|json")]
    format: Format,
}

/// How long one question may take, unless told otherwise. Most take less than a second.
pub(super) const TIMEOUT: u64 = 60;

/// Runs `cedargate prove`.
///
/// # Errors
/// When there is nothing to prove, or policies, keys or claims are not valid.
pub fn run(args: &ProveArgs) -> miette::Result<Exit> {
    let ProveArgs { claim, condition, folders, timeout, format } = args;
    let (bundle, gate) = files::load(&folders.policies, &folders.keys, folders.dev)?;
    let schema = schema(&bundle)?;
    let proofs = match claim {
        Some(claim) => vec![written_out(&gate, claim, condition.as_deref())?],
        None => of_file(folders, bundle, &gate)?,
    };
    let subject = Subject::new(gate.policy(), &schema)?;
    let solver = Solver::find(*timeout);
    let proved: Vec<Proved> = proofs
        .into_iter()
        .map(|proof| {
            let verdict = match &solver {
                Ok(solver) => subject.prove(&proof, solver).unwrap_or_else(|why| Verdict::NotProved(vec![why])),
                Err(_) => Verdict::NotProved(vec!["not run".to_owned()]),
            };
            Proved { proof, verdict }
        })
        .collect();
    let told = Told { proved: &proved, solver: solver.as_ref() };
    output::stdout(&match format {
        Format::Human => told.human(),
        Format::Json => output::json(&told.json())?,
    })?;
    if let Err(why) = &solver {
        output::stderr(&no_solver(why));
    }
    Ok(told.exit())
}

/// What is said where there is no solver.
pub(super) fn no_solver(why: &str) -> String {
    format!("error: nothing was proved: {}\n    help: {}\n", output::visible(why), solver::HELP)
}

/// The schema of a bundle that was loaded.
pub(super) fn schema(bundle: &Bundle) -> miette::Result<String> {
    let bytes = bundle.get(PolicyStore::SCHEMA).unwrap_or_default();
    String::from_utf8(bytes.to_vec()).map_err(|_| miette!("the schema is not UTF-8"))
}

/// The claim of the command line.
fn written_out(gate: &Gate, claim: &str, condition: Option<&str>) -> miette::Result<Proof> {
    let claim = match (claim, condition) {
        ("never-errors", None) => Claim::NeverErrors(vec![]),
        ("never-errors", Some(id)) => {
            if let Err((message, help)) = claims::is_known(gate.policy(), id, false) {
                return Err(miette!(help = help, "{message}"));
            }
            Claim::NeverErrors(vec![id.to_owned()])
        }
        (claim, Some(condition)) => {
            if let Err(problems) = claims::check(gate.policy(), condition) {
                let help = problems.first().map(|(_, help)| help.clone()).unwrap_or_default();
                let messages: Vec<String> = problems.into_iter().map(|(message, _)| message).collect();
                return Err(miette!(help = help, "{}", messages.join("; ")));
            }
            let condition = condition.trim().to_owned();
            if claim == "always-denies" { Claim::AlwaysDenies { condition, except: vec![] } } else { Claim::AlwaysAllows { condition } }
        }
        (claim, None) => {
            let help = format!("write the condition behind it: cedargate prove {claim} 'principal is Gate::Anonymous'");
            return Err(miette!(help = help, "`{claim}` of which requests?"));
        }
    };
    Ok(Proof { name: claim.words(), claim })
}

/// The claims of `proofs.yaml`.
fn of_file(folders: &Folders, mut bundle: Bundle, gate: &Gate) -> miette::Result<Vec<Proof>> {
    let path = folders.policies.join(NAME);
    let limit = u64::try_from(BUNDLE_FILE_BYTES).unwrap_or(u64::MAX);
    let mut bytes = vec![];
    match File::open(&path).and_then(|file| file.take(limit).read_to_end(&mut bytes)) {
        Ok(_) => {}
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            let help = "write claims into it, docs/proofs.md shows how; or one behind the command: cedargate prove never-errors";
            return Err(miette!(help = help, "there is no `{}`", path.display()));
        }
        Err(error) => return Err(miette!("`{}` cannot be read: {error}", path.display())),
    }
    let mut report = Report::default();
    let proofs = claims::read(gate.policy(), &bytes, &mut Source { file: claims::FILE, report: &mut report });
    if report.is_empty() && proofs.is_empty() {
        return Err(miette!(help = "write one, docs/proofs.md shows how", "there is no proof in `{}`", path.display()));
    }
    if !report.is_empty() {
        // Only so that the places in it can be shown.
        bundle.insert(claims::FILE, bytes);
        return Err(Invalid::new(&folders.policies, &folders.keys, bundle, report).into());
    }
    Ok(proofs)
}
