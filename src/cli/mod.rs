//! The command `cedargate`: one file per subcommand.
//!
//! Only here are files read, the clock asked and text printed. Data goes to standard output, everything said about it
//! to standard error; what a caller can rely on is the exit code, [`Exit`].

#![expect(clippy::disallowed_methods, reason = "a shell: it reads files, arguments and the clock so that nothing else has to")]

mod app;
pub mod archive;
pub mod attempt;
pub mod audit;
pub mod check;
pub mod completions;
mod dev_keys;
pub mod diagnostic;
pub mod diff;
mod exit;
pub mod files;
pub mod fmt;
mod http;
mod lints;
pub mod man;
pub mod matrix;
pub mod new;
pub mod output;
mod position;
mod private_key;
pub mod progress;
pub mod prove;
pub mod reasons;
pub mod release;
pub mod replay;
pub mod revoke;
pub mod rollback;
pub mod seal;
pub mod sign;
pub mod test;
pub mod time;
pub mod token;
pub mod up;
pub mod verify_url;
pub mod why;

pub use app::main;
pub use exit::Exit;
