//! When to try a batch again. Time is a parameter: milliseconds of a clock that only goes forward.

use crate::limits;

/// The tries of one batch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Backoff {
    began: u64,
    failures: u32,
}

/// What comes after a try that failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Next {
    /// Another one, not before this time.
    At(u64),
    /// None.
    GiveUp,
}

impl Backoff {
    /// A batch that was not tried yet.
    pub fn new(now: u64) -> Self {
        Self { began: now, failures: 0 }
    }

    /// How often it failed.
    pub fn failures(&self) -> u32 {
        self.failures
    }

    /// A try failed; `after` is what the sink asks for, in milliseconds. `random` is any number: gates that failed together
    /// must not come back together.
    pub fn failed(&mut self, now: u64, after: Option<u64>, random: u64) -> Next {
        let doubled = limits::SINK_RETRY_FIRST_MS.checked_shl(self.failures).unwrap_or(u64::MAX);
        let longest = doubled.clamp(limits::SINK_RETRY_FIRST_MS, limits::SINK_RETRY_LONGEST_MS);
        self.failures = self.failures.saturating_add(1);
        let half = longest.div_euclid(2);
        let own = half.saturating_add(random.checked_rem(half.max(1)).unwrap_or_default());
        // Never sooner than the sink asks, and never sooner than without asking.
        let wait = after.map_or(own, |after| own.max(after.min(limits::SINK_RETRY_AFTER_MS)));
        let next = now.saturating_add(wait);
        let over = next.saturating_sub(self.began) > limits::SINK_GIVE_UP_MS;
        if over || self.failures >= limits::SINK_TRIES { Next::GiveUp } else { Next::At(next) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The waits of a sink that fails always, at once, and asks for the same each time.
    fn waits(after: Option<u64>, random: u64) -> Vec<u64> {
        let (mut now, mut backoff) = (1_000_000, Backoff::new(1_000_000));
        let mut waits = vec![];
        while let Next::At(next) = backoff.failed(now, after, random) {
            waits.push(next - now);
            now = next;
        }
        assert_eq!(usize::try_from(backoff.failures()).unwrap(), waits.len() + 1);
        waits
    }

    #[test]
    fn waits_double_and_end() {
        assert_eq!(waits(None, 0), [50, 100, 200, 400, 800, 1600, 3200, 4000, 4000, 4000, 4000]);
        // Jitter is up to the other half.
        for (short, long) in waits(None, 0).into_iter().zip(waits(None, u64::MAX)) {
            assert!(short <= long && long < 2 * short, "{short} {long}");
        }
    }

    #[test]
    fn what_the_sink_asks_for_is_honoured_up_to_a_bound() {
        assert_eq!(waits(Some(2_000), 0)[..3], [2_000, 2_000, 2_000]);
        // A minute after the first try it is over, however few there were.
        assert_eq!(waits(Some(25_000), 0), [25_000, 25_000]);
        assert_eq!(waits(Some(u64::MAX), 0), [30_000, 30_000]);
        // Sooner than without is not honoured.
        assert_eq!(waits(Some(0), 0), waits(None, 0));
    }

    #[test]
    fn slow_failures_count_too() {
        let mut backoff = Backoff::new(0);
        assert!(matches!(backoff.failed(10_000, None, 0), Next::At(_)));
        assert_eq!(backoff.failed(60_000, None, 0), Next::GiveUp);
        // A clock that goes backwards does no harm.
        assert!(matches!(Backoff::new(u64::MAX).failed(0, None, u64::MAX), Next::At(_)));
    }
}
