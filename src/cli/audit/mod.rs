//! `cedargate audit`: what an auditor does with decision logs. One file per subcommand.

mod input;

pub use input::{Input, Line};
