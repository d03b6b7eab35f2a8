//! How long an answer counts as fresh (RFC 9111), as far as a key set needs it.

use super::Remote;
use crate::limits;

impl Remote {
    /// How many seconds a set counts as fresh, by the `cache-control` and `age` fields of its answer; `""` for none.
    pub fn lifetime(&self, cache_control: &str, age: &str) -> i64 {
        let (shortest, longest) = (*limits::KEYS_FRESH_SECONDS.start(), *limits::KEYS_FRESH_SECONDS.end());
        let lifetime = match said(cache_control) {
            Said::Nothing => self.refresh,
            Said::Shortest => shortest,
            // RFC 9111, section 4.2.3: the time it spent in caches on the way is gone.
            Said::Seconds(seconds) => seconds.saturating_sub(age.trim().parse().unwrap_or(0).max(0)),
        };
        // Never the whole time it may be used: there must be time left in which it is fetched again while nobody waits.
        let half = self.stale_if_error.checked_div(2).unwrap_or(0);
        lifetime.clamp(shortest, longest).min(half.max(1))
    }
}

enum Said {
    Nothing,
    Shortest,
    Seconds(i64),
}

/// The directives that matter here. `s-maxage` is left alone: the gate keeps keys for itself.
fn said(cache_control: &str) -> Said {
    let mut found = Said::Nothing;
    for directive in cache_control.split(',') {
        let (name, value) = directive.split_once('=').unwrap_or((directive, ""));
        match name.trim().to_ascii_lowercase().as_str() {
            "no-store" | "no-cache" => return Said::Shortest,
            "max-age" => {
                let digits = value.trim().trim_matches('"');
                let plain = !digits.is_empty() && digits.bytes().all(|b| b.is_ascii_digit());
                // RFC 9111, section 1.2.2: a number too large to count with is a very large one.
                let seconds = if plain { digits.parse().unwrap_or(i64::MAX) } else { 0 };
                // Section 4.2.1: of two that contradict each other, the shorter.
                found = match found {
                    Said::Seconds(other) => Said::Seconds(other.min(seconds)),
                    _ => Said::Seconds(seconds),
                };
            }
            _ => {}
        }
    }
    found
}
