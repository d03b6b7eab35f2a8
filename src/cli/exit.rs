//! The exit codes, which scripts and CI rely on.

use std::fmt::Write as _;
use std::process::ExitCode;

/// How the command ended. The numbers are part of the command's interface and never change their meaning.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Exit {
    /// It worked; where the answer is a decision, the answer is allow.
    Ok,
    /// The command could not do its work: wrong usage, a missing file, a port in use.
    Failed,
    /// The answer is deny.
    Denied,
    /// The policies or keys are invalid.
    Invalid,
    /// At least one policy test failed.
    TestsFailed,
    /// A signature, digest or chain does not verify.
    VerificationFailed,
    /// A proof was not run, or has no answer. What is proved not to be so is [`Exit::TestsFailed`].
    NotProved,
}

impl Exit {
    /// Every code, in order.
    pub const ALL: &'static [Exit] =
        &[Exit::Ok, Exit::Failed, Exit::Denied, Exit::Invalid, Exit::TestsFailed, Exit::VerificationFailed, Exit::NotProved];

    /// The number.
    pub const fn code(self) -> u8 {
        match self {
            Exit::Ok => 0,
            Exit::Failed => 1,
            Exit::Denied => 2,
            Exit::Invalid => 3,
            Exit::TestsFailed => 4,
            Exit::VerificationFailed => 5,
            Exit::NotProved => 6,
        }
    }

    /// What it means, as `--help` says it.
    pub const fn meaning(self) -> &'static str {
        match self {
            Exit::Ok => "ok; where the answer is a decision: allow",
            Exit::Failed => "could not run: wrong usage, a missing file, a port in use",
            Exit::Denied => "the answer is deny",
            Exit::Invalid => "the policies or keys are invalid",
            Exit::TestsFailed => "a policy test failed",
            Exit::VerificationFailed => "a signature, digest or chain does not verify",
            Exit::NotProved => "a proof was not run, or has no answer",
        }
    }
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        ExitCode::from(exit.code())
    }
}

/// The end of a subcommand's `--help`: examples, then the exit codes it can end with. Headings are styled as clap does.
pub fn help(examples: &str, exits: &[Exit]) -> String {
    let mut text = String::new();
    if !examples.is_empty() {
        text.push_str("\x1b[1m\x1b[4mExamples:\x1b[0m\n");
        for line in examples.trim_matches('\n').lines() {
            // Writing to a `String` cannot fail.
            let _ = writeln!(text, "{}{line}", if line.is_empty() { "" } else { "  " });
        }
        text.push('\n');
    }
    text.push_str("\x1b[1m\x1b[4mExit codes:\x1b[0m\n");
    for exit in exits {
        let _ = writeln!(text, "  {}  {}", exit.code(), exit.meaning());
    }
    text
}

#[cfg(test)]
mod tests {
    use super::Exit;

    #[test]
    fn the_numbers_are_the_documented_ones() {
        let numbers: Vec<_> = Exit::ALL.iter().map(|exit| exit.code()).collect();
        assert_eq!(numbers, [0, 1, 2, 3, 4, 5, 6]);
        assert_eq!((Exit::Failed.code(), Exit::Denied.code(), Exit::Invalid.code()), (1, 2, 3));
    }
}
