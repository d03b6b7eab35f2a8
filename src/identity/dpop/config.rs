//! `[dpop]` of `keys/issuers.toml`.

use std::collections::BTreeSet;

use crate::bundle::Report;
use crate::identity::algorithm::Algorithm;
use crate::identity::config::{algorithm_help, number, set};
use crate::identity::table::Table;
use crate::identity::text;
use crate::limits;

/// Oldest proof unless configured, in seconds.
const DEFAULT_MAX_AGE: i64 = 60;
/// Leeway unless configured, in seconds.
const DEFAULT_LEEWAY: i64 = 10;
/// How long a nonce counts unless configured, in seconds.
const DEFAULT_NONCE_LIFETIME: i64 = 300;

/// What is asked of proofs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DpopConfig {
    pub(super) algorithms: BTreeSet<Algorithm>,
    /// Seconds after `iat`.
    pub(super) max_age: i64,
    /// For clocks that differ, in seconds.
    pub(super) leeway: i64,
    /// How long a nonce counts, in seconds; `None` when none is asked for.
    pub(super) nonce_lifetime: Option<i64>,
}

impl Default for DpopConfig {
    fn default() -> Self {
        Self { algorithms: BTreeSet::from(Algorithm::DEFAULT), max_age: DEFAULT_MAX_AGE, leeway: DEFAULT_LEEWAY, nonce_lifetime: None }
    }
}

impl DpopConfig {
    /// The names of the algorithms a proof may be signed with (`dpop_signing_alg_values_supported`, RFC 9728, section 2).
    pub fn algorithms(&self) -> impl Iterator<Item = &str> {
        self.algorithms.iter().map(|algorithm| algorithm.name())
    }

    /// Whether a proof must carry a nonce of the gate's.
    pub fn requires_nonce(&self) -> bool {
        self.nonce_lifetime.is_some()
    }
}

/// Reads `[dpop]`.
pub(in crate::identity) fn read(mut table: Table<'_>, report: &mut Report) -> DpopConfig {
    let default = DpopConfig::default();
    let most_leeway = i64::try_from(limits::LEEWAY_SECONDS).unwrap_or(0);
    let algorithms = match table.strings("algorithms", false, report) {
        Some(names) => set(&table, "algorithms", names, Algorithm::from_name, algorithm_help, report),
        None => None,
    };
    let max_age = number(&mut table, "max_age_seconds", 1..=limits::PROOF_AGE_SECONDS, report);
    let leeway = number(&mut table, "leeway_seconds", 0..=most_leeway, report);
    let lifetime = number(&mut table, "nonce_lifetime_seconds", 1..=limits::NONCE_LIFETIME_SECONDS, report);
    let required = match table.string("nonce", report) {
        None => false,
        Some(nonce) => match nonce.value.as_str() {
            "off" => false,
            "required" => true,
            other => {
                let message = format!("`{}` is not valid in `nonce`", text::shown(other));
                report.add(table.problem("issuers.value", &nonce.span, message).help("`off` or `required`"));
                false
            }
        },
    };
    table.finish(report);
    DpopConfig {
        algorithms: algorithms.unwrap_or(default.algorithms),
        max_age: max_age.unwrap_or(default.max_age),
        leeway: leeway.unwrap_or(default.leeway),
        nonce_lifetime: required.then_some(lifetime.unwrap_or(DEFAULT_NONCE_LIFETIME)),
    }
}
