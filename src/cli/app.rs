//! The command line: what can be said, and who answers.

use std::ffi::{OsStr, OsString};
use std::process::ExitCode;

use clap::error::ErrorKind;
use clap::{CommandFactory as _, FromArgMatches as _, Parser, Subcommand, ValueEnum as _};

use super::output::{self, Color};
use super::{
    Exit, archive, attempt, audit, check, completions, diagnostic, diff, exit, fmt, man, matrix, new, prove, reasons, release, replay,
    revoke, rollback, seal, sign, test, token, up, verify_url, why,
};

const EXAMPLES: &str = r"
cedargate up
    serve the gate on 127.0.0.1:3000 in front of a demo API
cedargate check
    say everything that is wrong with policies/ and keys/
cedargate seal
    compile policies/ and keys/ into target/sealed/cedargate.wasm";

/// A zero-trust edge authorization gateway
///
/// Cedargate is one WebAssembly component in front of an API. For each request it proves who is asking, asks Cedar whether they
/// may, and either lets the request through or ends it there. This command writes, proves, seals and serves it.
#[derive(Debug, Parser)]
#[command(
    name = "cedargate",
    version,
    max_term_width = 100,
    disable_help_subcommand = true,
    subcommand_required = true,
    arg_required_else_help = true,
    after_help = exit::help(EXAMPLES, Exit::ALL)
)]
struct Cli {
    /// When to use colour; decided for each stream
    #[arg(long, value_enum, default_value_t, global = true, hide_possible_values = true, value_name = "auto|always|never")]
    color: Color,
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    New(new::NewArgs),
    Up(up::UpArgs),
    Seal(seal::SealArgs),
    Release(release::ReleaseArgs),
    Rollback(rollback::RollbackArgs),
    Archive(archive::ArchiveArgs),
    Check(check::CheckArgs),
    Test(test::TestArgs),
    Matrix(matrix::MatrixArgs),
    Diff(diff::DiffArgs),
    Prove(prove::ProveArgs),
    Fmt(fmt::FmtArgs),
    Token(token::TokenArgs),
    Revoke(revoke::RevokeArgs),
    Sign(sign::SignArgs),
    VerifyUrl(verify_url::VerifyUrlArgs),
    Reasons(reasons::ReasonsArgs),
    Audit(audit::AuditArgs),
    Replay(replay::ReplayArgs),
    Try(attempt::TryArgs),
    Why(why::WhyArgs),
    Completions(completions::CompletionsArgs),
    Man(man::ManArgs),
}

/// The definition of the command line, for what is made of it: completions and manual pages.
pub(super) fn command() -> clap::Command {
    Cli::command()
}

/// Runs the command with the process's arguments.
pub fn main() -> ExitCode {
    run(std::env::args_os().collect()).into()
}

fn run(args: Vec<OsString>) -> Exit {
    // Before parsing, because what clap says about wrong usage has colour too.
    color(&args).apply();
    let cli = match parse(args) {
        Ok(cli) => cli,
        Err(error) => return usage(&error),
    };
    let result = match cli.command {
        Command::New(args) => new::run(&args),
        Command::Up(args) => up::run(args),
        Command::Seal(args) => seal::run(args),
        Command::Release(args) => release::run(&args),
        Command::Rollback(args) => rollback::run(&args),
        Command::Archive(args) => archive::run(&args),
        Command::Check(args) => check::run(&args),
        Command::Test(args) => test::run(&args),
        Command::Matrix(args) => matrix::run(&args),
        Command::Diff(args) => diff::run(&args),
        Command::Prove(args) => prove::run(&args),
        Command::Fmt(args) => fmt::run(&args),
        Command::Token(args) => token::run(&args),
        Command::Revoke(args) => revoke::run(&args),
        Command::Sign(args) => sign::run(&args),
        Command::VerifyUrl(args) => verify_url::run(&args),
        Command::Reasons(args) => reasons::run(&args),
        Command::Audit(args) => audit::run(&args),
        Command::Replay(args) => replay::run(&args),
        Command::Try(args) => attempt::run(&args),
        Command::Why(args) => why::run(&args),
        Command::Completions(args) => completions::run(&args),
        Command::Man(args) => man::run(&args),
    };
    result.unwrap_or_else(|error| diagnostic::show(&error))
}

fn parse(args: Vec<OsString>) -> Result<Cli, clap::Error> {
    let mut command = Cli::command();
    let matches = command.try_get_matches_from_mut(args)?;
    Cli::from_arg_matches(&matches).map_err(|error| error.format(&mut command))
}

/// Help and version are answers; anything else clap says is a failure, and not clap's own exit code 2, which means deny here.
fn usage(error: &clap::Error) -> Exit {
    let text = error.render().ansi().to_string();
    match error.kind() {
        ErrorKind::DisplayHelp | ErrorKind::DisplayVersion => {
            output::stdout(&text).map_or_else(|error| diagnostic::show(&error), |()| Exit::Ok)
        }
        _ => {
            output::stderr(&text);
            Exit::Failed
        }
    }
}

/// `--color`, as far as it can be told before parsing.
fn color(args: &[OsString]) -> Color {
    let mut args = args.iter().map(OsString::as_os_str).take_while(|arg| *arg != OsStr::new("--"));
    while let Some(arg) = args.next() {
        let value = if arg == OsStr::new("--color") {
            args.next().and_then(OsStr::to_str)
        } else {
            arg.to_str().and_then(|arg| arg.strip_prefix("--color="))
        };
        if let Some(color) = value.and_then(|value| Color::from_str(value, false).ok()) {
            return color;
        }
    }
    Color::default()
}

#[cfg(test)]
mod tests;
