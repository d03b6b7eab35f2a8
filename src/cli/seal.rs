//! Stand-in.

use super::Exit;

/// Stand-in.
#[derive(Debug, clap::Args)]
pub struct SealArgs {}

/// Stand-in.
///
/// # Errors
/// Always.
pub fn run(_args: SealArgs) -> miette::Result<Exit> {
    Err(miette::miette!("stand-in"))
}
