//! Time as records write it.

use std::fmt;

use crate::decision::UnixTime;

/// A point in time with milliseconds, written as RFC 3339 in UTC.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Timestamp {
    /// Whole seconds.
    pub seconds: UnixTime,
    /// 0 to 999.
    pub millis: u16,
}

impl Timestamp {
    /// Milliseconds since the epoch, 0 for times before it.
    pub fn unix_millis(self) -> u64 {
        u64::try_from(self.seconds.0).unwrap_or(0).saturating_mul(1000).saturating_add(u64::from(self.millis))
    }
}

impl fmt::Display for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let days = self.seconds.0.div_euclid(86_400);
        let second = self.seconds.0.rem_euclid(86_400);
        let (year, month, day) = civil(days);
        let (hour, minute, second) = (second.div_euclid(3600), second.rem_euclid(3600).div_euclid(60), second.rem_euclid(60));
        write!(f, "{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}.{:03}Z", self.millis)
    }
}

/// Days since 1970-01-01 to year, month and day of the proleptic Gregorian calendar (Howard Hinnant, "chrono-compatible
/// low-level date algorithms", `civil_from_days`).
fn civil(days: i64) -> (i64, i64, i64) {
    // Saturating: a clock at the end of i64 prints nonsense instead of stopping the gate; such a clock denies anyway.
    let z = days.saturating_add(719_468);
    let era = z.div_euclid(146_097);
    let day_of_era = z.rem_euclid(146_097);
    let correction =
        day_of_era.div_euclid(1460).saturating_sub(day_of_era.div_euclid(36_524)).saturating_add(day_of_era.div_euclid(146_096));
    let year_of_era = day_of_era.saturating_sub(correction).div_euclid(365);
    let leap_days = year_of_era.div_euclid(4).saturating_sub(year_of_era.div_euclid(100));
    let day_of_year = day_of_era.saturating_sub(year_of_era.saturating_mul(365).saturating_add(leap_days));
    let shifted_month = day_of_year.saturating_mul(5).saturating_add(2).div_euclid(153);
    let day = day_of_year.saturating_sub(shifted_month.saturating_mul(153).saturating_add(2).div_euclid(5)).saturating_add(1);
    let month = if shifted_month < 10 { shifted_month.saturating_add(3) } else { shifted_month.saturating_sub(9) };
    let year = year_of_era.saturating_add(era.saturating_mul(400)).saturating_add(i64::from(month <= 2));
    (year, month, day)
}

#[cfg(test)]
mod tests {
    use super::Timestamp;
    use crate::decision::UnixTime;

    #[test]
    fn known_instants() {
        for (seconds, millis, text) in [
            (0, 0, "1970-01-01T00:00:00.000Z"),
            (951_782_400, 7, "2000-02-29T00:00:00.007Z"),
            (1_709_164_799, 999, "2024-02-28T23:59:59.999Z"),
            (1_709_251_199, 1, "2024-02-29T23:59:59.001Z"),
            (4_107_542_400, 0, "2100-03-01T00:00:00.000Z"),
            (253_402_300_799, 0, "9999-12-31T23:59:59.000Z"),
        ] {
            assert_eq!(Timestamp { seconds: UnixTime(seconds), millis }.to_string(), text);
        }
        // Nonsense in, nonsense out, no panic.
        for seconds in [i64::MIN, i64::MAX] {
            let _ = Timestamp { seconds: UnixTime(seconds), millis: 0 }.to_string();
        }
    }
}
