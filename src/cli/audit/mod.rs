//! `cedargate audit`: what an auditor does with decision logs. One file per subcommand.

mod csv;
pub mod export;
mod filter;
mod input;
pub mod query;
mod scan;
mod write;

pub use input::{Input, Line};
