//! Times, counted by how long they were: percentiles of any number of them, in little room, that can be added up.
//!
//! A bin is a microsecond up to 63, and from there on a thirty-second of a doubling, so that what is told is right to within 2 %.

/// Values that have a bin of their own.
const EXACT: u64 = 64;
/// Bins of one doubling, as a power of two.
const BITS: u32 = 5;
/// The longest that is told apart: more than half an hour.
const LONGEST: u64 = 1 << 31;
/// How a bin is kept: two bytes for its number, four for its count.
const KEPT: usize = 6;

/// How many there were of each length.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Histogram(Vec<u32>);

impl Histogram {
    /// Counts so many more of this many microseconds.
    pub(super) fn add(&mut self, micros: u64, count: u32) {
        self.add_bin(bin(micros), count);
    }

    fn add_bin(&mut self, bin: usize, count: u32) {
        if self.0.len() <= bin {
            self.0.resize(bin.saturating_add(1), 0);
        }
        if let Some(known) = self.0.get_mut(bin) {
            *known = known.saturating_add(count);
        }
    }

    /// Takes away one of this many microseconds.
    pub(super) fn remove(&mut self, micros: u64) {
        if let Some(known) = self.0.get_mut(bin(micros)) {
            *known = known.saturating_sub(1);
        }
    }

    /// Adds what was kept. What is not whole is passed over.
    pub(super) fn add_kept(&mut self, kept: &[u8]) {
        for part in kept.chunks_exact(KEPT) {
            let Some((bin, count)) = part.split_first_chunk::<2>() else { continue };
            let Ok(count) = <[u8; 4]>::try_from(count) else { continue };
            let bin = usize::from(u16::from_le_bytes(*bin));
            if bin <= self::bin(LONGEST) {
                self.add_bin(bin, u32::from_le_bytes(count));
            }
        }
    }

    /// The same, to be kept.
    pub(super) fn keep(&self) -> Vec<u8> {
        let mut kept = Vec::new();
        for (bin, count) in self.0.iter().enumerate().filter(|(_, count)| **count > 0) {
            kept.extend_from_slice(&u16::try_from(bin).unwrap_or(u16::MAX).to_le_bytes());
            kept.extend_from_slice(&count.to_le_bytes());
        }
        kept
    }

    /// How many there are.
    pub(super) fn count(&self) -> u64 {
        self.0.iter().map(|count| u64::from(*count)).sum()
    }

    /// The time that so many of a thousand took at most, in microseconds; none where there are no times. By nearest rank.
    pub(super) fn quantile(&self, per_mille: u64) -> Option<u64> {
        let count = self.count();
        let rank = count.saturating_mul(per_mille).div_ceil(1000).max(1);
        let mut seen = 0_u64;
        let found = self.0.iter().position(|count| {
            seen = seen.saturating_add(u64::from(*count));
            seen >= rank
        });
        found.map(middle)
    }
}

/// The bin of a time.
fn bin(micros: u64) -> usize {
    let micros = micros.min(LONGEST);
    if micros < EXACT {
        return usize::try_from(micros).unwrap_or_default();
    }
    // From 6 on, because of EXACT.
    let doubling = micros.ilog2();
    let part = micros.wrapping_shr(doubling.saturating_sub(BITS)) & ((1 << BITS) - 1);
    let first = u64::from(doubling.saturating_sub(6)).wrapping_shl(BITS);
    usize::try_from(EXACT.saturating_add(first).saturating_add(part)).unwrap_or_default()
}

/// The time in the middle of a bin.
fn middle(bin: usize) -> u64 {
    let bin = u64::try_from(bin).unwrap_or_default();
    let Some(above) = bin.checked_sub(EXACT) else { return bin };
    let shift = u32::try_from(above.wrapping_shr(BITS)).unwrap_or_default().saturating_add(1);
    let part = (above & ((1 << BITS) - 1)).saturating_add(1 << BITS);
    part.wrapping_shl(shift).saturating_add(1_u64.wrapping_shl(shift).wrapping_shr(1))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bin_is_right_to_within_two_percent() {
        let mut last = 0;
        for micros in (0..200_000).chain((0..31).map(|power| 1 << power)).chain([12_345_678, LONGEST - 1]) {
            let told = middle(bin(micros));
            assert!(told.abs_diff(micros) * 50 <= micros, "{micros}: {told}");
        }
        for micros in 0..200_000 {
            assert!(bin(micros) >= last, "{micros}");
            last = bin(micros);
        }
        assert_eq!(bin(u64::MAX), bin(LONGEST));
        assert!(u16::try_from(bin(LONGEST)).is_ok());
    }

    #[test]
    fn quantiles_are_by_nearest_rank() {
        let mut times = Histogram::default();
        assert_eq!(times.quantile(500), None);
        for micros in 1..=50 {
            times.add(micros, 2);
        }
        let of = |times: &Histogram| [500, 950, 990, 1000].map(|per_mille| times.quantile(per_mille).unwrap());
        assert_eq!((times.count(), of(&times)), (100, [25, 48, 50, 50]));
        times.add(7_000_000, 1);
        assert!(of(&times)[3].abs_diff(7_000_000) < 140_000);
        times.remove(7_000_000);
        assert_eq!(of(&times), [25, 48, 50, 50]);
    }

    #[test]
    fn what_is_kept_adds_up() {
        let (mut one, mut other, mut both) = (Histogram::default(), Histogram::default(), Histogram::default());
        for micros in [0, 3, 900, 900, 1_000_000] {
            one.add(micros, 1);
            both.add(micros, 1);
        }
        for micros in [3, 64, u64::MAX] {
            other.add(micros, 1);
            both.add(micros, 1);
        }
        let mut sum = Histogram::default();
        sum.add_kept(&one.keep());
        sum.add_kept(&other.keep());
        assert_eq!(sum, both);
        // What no console kept.
        sum.add_kept(b"\xff\xff\x01\0\0\0xyz");
        assert_eq!(sum, both);
    }
}
