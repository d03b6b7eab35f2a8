//! Stand-in.
use clap::{Parser, Subcommand};
#[derive(Parser)]
struct Top {
    #[command(subcommand)]
    c: C,
}
#[derive(Subcommand)]
enum C {
    Up(cedargate::cli::up::UpArgs),
    Seal(cedargate::cli::seal::SealArgs),
}
fn main() -> miette::Result<std::process::ExitCode> {
    let exit = match Top::parse().c {
        C::Up(a) => cedargate::cli::up::run(a)?,
        C::Seal(a) => cedargate::cli::seal::run(a)?,
    };
    Ok(std::process::ExitCode::from(exit as u8))
}
