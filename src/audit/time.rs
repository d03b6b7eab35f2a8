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

/// A date of HTTP in the one form that is still written (RFC 9110, section 5.6.7): `Sun, 06 Nov 1994 08:49:37 GMT`.
pub(super) fn http_date(text: &str) -> Option<UnixTime> {
    const MONTHS: [&str; 12] = ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];
    let (_, rest) = text.split_once(", ")?;
    let mut parts = rest.strip_suffix(" GMT")?.split([' ', ':']);
    let (day, month) = (parts.next()?, parts.next()?);
    let between = |text: &str, low: i64, high: i64| text.parse::<i64>().ok().filter(|number| (low..=high).contains(number));
    let day = between(day, 1, 31)?;
    let month = MONTHS.iter().position(|known| *known == month).and_then(|at| i64::try_from(at).ok())?.saturating_add(1);
    let mut number = |low, high| between(parts.next()?, low, high);
    let (year, hour, minute, second) = (number(1970, 9999)?, number(0, 23)?, number(0, 59)?, number(0, 60)?);
    let minutes = days(year, month, day).saturating_mul(24).saturating_add(hour).saturating_mul(60).saturating_add(minute);
    parts.next().is_none().then(|| UnixTime(minutes.saturating_mul(60).saturating_add(second)))
}

/// The inverse of [`civil`] (Howard Hinnant, `days_from_civil`), for years after 0.
pub(super) fn days(year: i64, month: i64, day: i64) -> i64 {
    let year = year.saturating_sub(i64::from(month <= 2));
    let (era, year_of_era) = (year.div_euclid(400), year.rem_euclid(400));
    let shifted_month = if month > 2 { month.saturating_sub(3) } else { month.saturating_add(9) };
    let day_of_year = shifted_month.saturating_mul(153).saturating_add(2).div_euclid(5).saturating_add(day).saturating_sub(1);
    let leap_days = year_of_era.div_euclid(4).saturating_sub(year_of_era.div_euclid(100));
    let day_of_era = year_of_era.saturating_mul(365).saturating_add(leap_days).saturating_add(day_of_year);
    era.saturating_mul(146_097).saturating_add(day_of_era).saturating_sub(719_468)
}

#[cfg(test)]
mod tests {
    use super::{Timestamp, civil, days, http_date};
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

    #[test]
    fn dates_of_http_are_read() {
        for (text, seconds) in [
            ("Sun, 06 Nov 1994 08:49:37 GMT", Some(784_111_777)),
            ("Thu, 01 Jan 1970 00:00:00 GMT", Some(0)),
            ("Thu, 29 Feb 2024 23:59:59 GMT", Some(1_709_251_199)),
            ("Sunday, 06-Nov-94 08:49:37 GMT", None),
            ("Sun Nov  6 08:49:37 1994", None),
            ("Sun, 06 Nov 1994 08:49:37", None),
            ("Sun, 06 Nov 1994 08:49:37:00 GMT", None),
            ("Sun, 06 Nov 1994 24:49:37 GMT", None),
            ("Sun, -1 Nov 1994 08:49:37 GMT", None),
            ("", None),
        ] {
            assert_eq!(http_date(text), seconds.map(UnixTime), "{text}");
        }
        for day in (0..200_000).step_by(37) {
            let (year, month, date) = civil(day);
            assert_eq!(days(year, month, date), day);
        }
    }
}
