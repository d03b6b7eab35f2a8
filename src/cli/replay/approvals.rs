//! Flips that are meant: a file that is reviewed like code.

use std::collections::BTreeSet;
use std::path::Path;

use miette::{IntoDiagnostic as _, WrapErr as _, miette};
use serde::Deserialize;

use super::tally::Example;
use crate::decision::Flip;

/// The approvals of a file.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(in crate::cli) struct Approvals {
    version: u8,
    #[serde(default)]
    approve: Vec<Approval>,
}

/// Flips that somebody means. What is not said is not asked for.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Approval {
    #[serde(deserialize_with = "flip")]
    flip: Flip,
    /// One of the policies that determine the answer then; where none does, that determined it before.
    policy: Option<String>,
    /// A path and all below it.
    path: Option<String>,
    /// The principal as the record has it.
    principal: Option<String>,
    /// Why.
    because: String,
}

fn flip<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<Flip, D::Error> {
    let name = String::deserialize(deserializer)?;
    let known = Flip::ALL.into_iter().find(|flip| flip.as_str() == name);
    let names = Flip::ALL.map(Flip::as_str).join("`, `");
    known.ok_or_else(|| serde::de::Error::custom(format!("`{name}` is none of `{names}`")))
}

impl Approvals {
    /// Reads a file strictly.
    pub(in crate::cli) fn read(path: &Path) -> miette::Result<Self> {
        let text = std::fs::read_to_string(path).into_diagnostic().wrap_err_with(|| format!("`{}`", path.display()))?;
        Self::parse(&text).map_err(|error| miette!(help = "docs/replay.md shows one", "`{}`: {error}", path.display()))
    }

    fn parse(text: &str) -> Result<Self, String> {
        let approvals: Self = toml::from_str(text).map_err(|error| error.to_string())?;
        if approvals.version != 1 {
            return Err(format!("version {} is not known; this command reads version 1", approvals.version));
        }
        match approvals.approve.iter().position(|one| one.because.trim().is_empty()) {
            Some(index) => Err(format!("approval {} does not say why: `because` is empty", index.saturating_add(1))),
            None => Ok(approvals),
        }
    }

    /// The first that approves this.
    pub(in crate::cli) fn find(&self, flip: Flip, by: &[String], example: &Example) -> Option<usize> {
        self.approve.iter().position(|one| {
            one.flip == flip
                && one.policy.as_ref().is_none_or(|policy| by.contains(policy))
                && one.path.as_ref().is_none_or(|path| covers(path, &example.path))
                && one.principal.as_ref().is_none_or(|principal| *principal == example.principal)
        })
    }

    /// The policies of which everything that they newly allow is approved, whoever asks and wherever, each with its approval.
    pub(in crate::cli) fn whole_policies(&self) -> Vec<(usize, &str)> {
        let whole = |one: &&Approval| one.flip == Flip::DenyToAllow && one.path.is_none() && one.principal.is_none();
        self.approve
            .iter()
            .enumerate()
            .filter(|(_, one)| whole(one))
            .filter_map(|(index, one)| Some((index, one.policy.as_deref()?)))
            .collect()
    }

    /// Those that approved nothing, in words.
    pub(in crate::cli) fn unused(&self, used: &BTreeSet<usize>) -> Vec<String> {
        let unused = self.approve.iter().enumerate().filter(|(index, _)| !used.contains(index));
        unused.map(|(_, one)| format!("{} ({})", one.flip.as_str(), one.because)).collect()
    }
}

/// Whether a path is `above` or below it, by whole segments.
fn covers(above: &str, path: &str) -> bool {
    let above = above.trim_end_matches('/');
    path.strip_prefix(above).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn example(path: &str, principal: &str) -> Example {
        Example { path: path.to_owned(), principal: principal.to_owned(), ..Example::default() }
    }

    #[test]
    fn only_what_is_described_is_approved() {
        let approvals = Approvals::parse(
            "version = 1\n[[approve]]\nflip = 'allow-to-deny'\npolicy = 'p'\npath = '/api/a'\nprincipal = 'x'\nbecause = 'CHG-1'\n\
             [[approve]]\nflip = 'now-erroring'\nbecause = 'known'",
        )
        .unwrap();
        let find = |flip, by: &str, path: &str, principal: &str| approvals.find(flip, &[by.to_owned()], &example(path, principal));
        assert_eq!(find(Flip::AllowToDeny, "p", "/api/a/b", "x"), Some(0));
        assert_eq!(find(Flip::AllowToDeny, "p", "/api/a", "x"), Some(0));
        assert_eq!(find(Flip::DenyToAllow, "p", "/api/a", "x"), None);
        assert_eq!(find(Flip::AllowToDeny, "q", "/api/a", "x"), None);
        assert_eq!(find(Flip::AllowToDeny, "p", "/api/ab", "x"), None);
        assert_eq!(find(Flip::AllowToDeny, "p", "/api/a", "y"), None);
        assert_eq!(find(Flip::NowErroring, "anything", "/", ""), Some(1));
        assert_eq!(approvals.unused(&[0].into()), ["now-erroring (known)"]);
    }

    #[test]
    fn the_file_is_read_strictly() {
        for (text, says) in [
            ("", "version"),
            ("version = 2", "version 2 is not known"),
            ("version = 1\n[[approve]]\nflip = 'deny'\nbecause = 'x'", "is none of `allow-to-deny`"),
            ("version = 1\n[[approve]]\nflip = 'allow-to-deny'", "because"),
            ("version = 1\n[[approve]]\nflip = 'allow-to-deny'\nbecause = ' '", "does not say why"),
            ("version = 1\n[[approve]]\nflip = 'allow-to-deny'\nbecause = 'x'\npaths = '/'", "paths"),
        ] {
            let error = Approvals::parse(text).unwrap_err();
            assert!(error.contains(says), "{text}: {error}");
        }
    }
}
