//! `cedargate audit`: what an auditor does with decision logs. One file per subcommand.

mod csv;
mod export;
mod filter;
mod input;
mod query;
mod scan;
mod serve;
mod shadow;
mod verify;
mod why;
mod why_text;
mod write;

use clap::{Args, Subcommand};

pub use input::{Input, Line, Place};
pub(super) use scan::{number_of, one_line};
pub(super) use why_text::{Told, meaning, verdict};

use super::Exit;

/// Read, verify and export decision logs
#[derive(Debug, Args)]
pub struct AuditArgs {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    Query(query::QueryArgs),
    Export(export::ExportArgs),
    Verify(verify::VerifyArgs),
    Why(why::WhyArgs),
    Shadow(shadow::ShadowArgs),
    Serve(serve::ServeArgs),
}

/// Runs one of the subcommands.
///
/// # Errors
/// What the subcommand could not do.
pub fn run(args: &AuditArgs) -> miette::Result<Exit> {
    match &args.command {
        Command::Query(args) => query::run(args),
        Command::Export(args) => export::run(args),
        Command::Verify(args) => verify::run(args),
        Command::Why(args) => why::run(args),
        Command::Shadow(args) => shadow::run(args),
        Command::Serve(args) => serve::run(args),
    }
}
