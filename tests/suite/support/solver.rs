//! The solver of proofs, where there is one.

use std::io::Write as _;
use std::path::PathBuf;
use std::process::Command;
use std::sync::OnceLock;

use super::gate::root;
use super::process::{Ended, Project, ended};

/// The folder that the set-up installs into.
fn target() -> PathBuf {
    std::env::var_os("CARGO_TARGET_DIR").map_or_else(|| root().join("target"), |target| root().join(PathBuf::from(target)))
}

/// The program: one that is named, one of the system, or the one that `scripts/setup-tests` installed.
pub fn solver() -> Option<&'static PathBuf> {
    static FOUND: OnceLock<Option<PathBuf>> = OnceLock::new();
    let found = FOUND.get_or_init(|| {
        let named = std::env::var_os("CVC5").filter(|name| !name.is_empty()).map(PathBuf::from);
        let path = std::env::var_os("PATH").unwrap_or_default();
        let of_system = std::env::split_paths(&path).map(|folder| folder.join("cvc5")).find(|program| program.is_file());
        named.or(of_system).or_else(|| target().join("cvc5/cvc5").is_dir().then(|| root().join("scripts/cvc5")))
    });
    found.as_ref()
}

/// The same for a test that needs one. Where there is none the test is not run, and that is said past everything that captures output.
pub fn needed(test: &str) -> Option<&'static PathBuf> {
    let found = solver();
    if found.is_none() {
        let _ = writeln!(std::io::stderr(), "NOT RUN, there is no solver (scripts/setup-tests installs one): {test}");
    }
    found
}

impl Project {
    /// The command with this solver, or certainly none.
    pub fn with_solver(&self, solver: Option<&PathBuf>, args: &[&str]) -> Command {
        let mut command = self.command(args);
        match solver {
            Some(solver) => command.env("CVC5", solver).env("CARGO_TARGET_DIR", target()),
            None => command.env_remove("CVC5").env("PATH", self.path("no-programs-here")),
        };
        command
    }

    /// Runs it with the solver.
    pub fn prove(&self, solver: &PathBuf, args: &[&str]) -> Ended {
        ended(self.with_solver(Some(solver), args))
    }
}
