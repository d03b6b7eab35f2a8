//! Times and durations as people write them on a command line.

use jiff::{SignedDuration, Span, SpanRelativeTo, Timestamp};

use crate::decision::UnixTime;

/// The machine's clock.
pub fn now() -> UnixTime {
    UnixTime(Timestamp::now().as_second())
}

/// A time as RFC 3339 has it, in UTC; as a number where that cannot.
pub fn show(time: UnixTime) -> String {
    Timestamp::from_second(time.0).map_or_else(|_| time.0.to_string(), |time| time.to_string())
}

/// A time: RFC 3339 with an offset (`2026-03-01T09:30:00Z`, `2026-03-01T10:30:00+01:00`) or seconds since 1970.
///
/// # Errors
/// A sentence for the person who typed it.
pub fn parse_time(text: &str) -> Result<UnixTime, String> {
    if let Ok(seconds) = text.parse() {
        return Ok(UnixTime(seconds));
    }
    match text.parse::<Timestamp>() {
        Ok(timestamp) => Ok(UnixTime(timestamp.as_second())),
        Err(_) => Err("not a time: write it like `2026-03-01T09:30:00Z`, or as seconds since 1970".to_owned()),
    }
}

/// A duration in whole seconds: `90s`, `10m`, `1h 30m`, `2d` (days of 24 hours), `-5m`.
///
/// # Errors
/// A sentence for the person who typed it.
pub fn parse_seconds(text: &str) -> Result<i64, String> {
    const ADVICE: &str = "not a duration: write it like `90s`, `10m`, `1h 30m` or `2d`";
    let span: Span = text.parse().map_err(|_| ADVICE.to_owned())?;
    let duration: SignedDuration = span.to_duration(SpanRelativeTo::days_are_24_hours()).map_err(|_| ADVICE.to_owned())?;
    Ok(duration.as_secs())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_rfc_3339_or_seconds() {
        assert_eq!(parse_time("2026-03-01T09:30:00Z"), Ok(UnixTime(1_772_357_400)));
        assert_eq!(parse_time("2026-03-01T10:30:00+01:00"), Ok(UnixTime(1_772_357_400)));
        assert_eq!(parse_time("1772357400"), Ok(UnixTime(1_772_357_400)));
        assert_eq!(parse_time("-1"), Ok(UnixTime(-1)));
        for wrong in ["", "now", "2026-03-01", "2026-03-01T09:30:00", "1772357400.5", "99999999999999999999"] {
            assert!(parse_time(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn durations_carry_their_unit() {
        assert_eq!(parse_seconds("90s"), Ok(90));
        assert_eq!(parse_seconds("10m"), Ok(600));
        assert_eq!(parse_seconds("1h 30m"), Ok(5400));
        assert_eq!(parse_seconds("2d"), Ok(172_800));
        assert_eq!(parse_seconds("-5m"), Ok(-300));
        for wrong in ["", "10", "ten minutes", "1 month", "1y"] {
            assert!(parse_seconds(wrong).is_err(), "{wrong}");
        }
    }
}
