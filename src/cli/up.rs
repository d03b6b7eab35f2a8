//! Stand-in.

use super::Exit;

/// Stand-in.
#[derive(Debug, clap::Args)]
pub struct UpArgs {}

/// Stand-in.
///
/// # Errors
/// Always.
pub fn run(_args: UpArgs) -> miette::Result<Exit> {
    Err(miette::miette!("stand-in"))
}
