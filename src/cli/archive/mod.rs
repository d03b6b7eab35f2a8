//! The local archive: what was sealed, what of it was released, and `cedargate archive`, which shows it.
//!
//! | where | what | who writes it |
//! |---|---|---|
//! | `ARCHIVE/DIGEST/` | the sources of a gate, by policy digest | `seal`, `up` |
//! | `ARCHIVE/releases/SHA-256/` | a released gate, bit for bit, by the SHA-256 of the component | `release` |
//! | `ARCHIVE/journal.jsonl` | what was released and brought back, in order, with tags and notes | `release`, `rollback` |
//!
//! Nothing is believed for its name: what is read is held against its digest. Who can write here can still take things away, and move a
//! tag by altering the journal; the archive wants the protection that the policies have.

mod diff;
mod journal;
mod list;
mod policies;
mod releases;
mod shelf;
mod show;
mod sources;

use clap::{Args, Subcommand};

use super::Exit;

pub(super) use journal::{Event, What};
pub(super) use releases::{Release, folder as release_folder, keep as keep_release, read as read_release};
pub(super) use shelf::{Shelf, in_place, lock, parse_tag, short};
pub(super) use sources::{find, keep, tell};

#[cfg(test)]
pub(super) use releases::tests;

/// Where it is, unless told otherwise.
pub(super) const ARCHIVE: &str = ".cedargate/archive";
/// The file that is served, unless told otherwise.
pub(super) const IN_PLACE: &str = "target/sealed/cedargate.wasm";

/// Show what was sealed and released
#[derive(Debug, Args)]
pub struct ArchiveArgs {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    List(list::ListArgs),
    Show(show::ShowArgs),
    Diff(diff::DiffArgs),
}

/// Runs one of the subcommands.
///
/// # Errors
/// What the subcommand could not do.
pub fn run(args: &ArchiveArgs) -> miette::Result<Exit> {
    match &args.command {
        Command::List(args) => list::run(args),
        Command::Show(args) => show::run(args),
        Command::Diff(args) => diff::run(args),
    }
}
