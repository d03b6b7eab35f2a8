//! The time of a record, read back.

use super::super::time::days;

/// A time as gates write it (RFC 3339 in UTC, any number of decimals), in milliseconds since 1970.
pub fn unix_millis(text: &str) -> Option<i64> {
    let (date, time) = text.strip_suffix('Z')?.split_once('T')?;
    let (time, fraction) = time.split_once('.').map_or((time, None), |(time, fraction)| (time, Some(fraction)));
    let [year, month, day] = numbers(date, '-', [4, 2, 2])?;
    let [hour, minute, second] = numbers(time, ':', [2, 2, 2])?;
    // A leap second is the same as the one after it, as in Unix time.
    if !(1..=12).contains(&month) || !(1..=month_days(year, month)).contains(&day) || hour > 23 || minute > 59 || second > 60 {
        return None;
    }
    let millis = fraction.map_or(Some(0), thousandths)?;
    let seconds = days(year, month, day).checked_mul(86_400)?.checked_add(hour.checked_mul(3600)?)?;
    seconds.checked_add(minute.checked_mul(60)?)?.checked_add(second)?.checked_mul(1000)?.checked_add(millis)
}

/// Three numbers of so many digits.
fn numbers(text: &str, between: char, digits: [usize; 3]) -> Option<[i64; 3]> {
    let mut parts = text.split(between);
    let mut numbers = [0; 3];
    for (number, digits) in numbers.iter_mut().zip(digits) {
        let part = parts.next().filter(|part| part.len() == digits && part.bytes().all(|byte| byte.is_ascii_digit()))?;
        *number = part.parse().ok()?;
    }
    parts.next().is_none().then_some(numbers)
}

/// The first three decimals.
fn thousandths(fraction: &str) -> Option<i64> {
    if fraction.is_empty() || !fraction.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    format!("{fraction:0<3}").get(..3)?.parse().ok()
}

fn month_days(year: i64, month: i64) -> i64 {
    let leap = year.rem_euclid(4) == 0 && (year.rem_euclid(100) != 0 || year.rem_euclid(400) == 0);
    match month {
        2 if leap => 29,
        2 => 28,
        4 | 6 | 9 | 11 => 30,
        _ => 31,
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::unix_millis;
    use crate::audit::Timestamp;
    use crate::decision::UnixTime;

    #[test]
    fn known_instants() {
        for (text, millis) in [
            ("1970-01-01T00:00:00.000Z", 0),
            ("1969-12-31T23:59:59.999Z", -1),
            ("2026-11-21T01:39:02.770Z", 1_795_225_142_770),
            ("2024-02-29T12:00:00Z", 1_709_208_000_000),
            ("2024-02-29T12:00:00.5Z", 1_709_208_000_500),
            ("2024-02-29T12:00:00.123456789Z", 1_709_208_000_123),
        ] {
            assert_eq!(unix_millis(text), Some(millis), "{text}");
        }
    }

    #[test]
    fn anything_else_is_no_time() {
        for text in [
            "",
            "Z",
            "T",
            "2026-11-21",
            "2026-11-21T01:39:02",
            "2026-11-21T01:39:02+01:00",
            "2026-11-21 01:39:02Z",
            "2026-13-21T01:39:02Z",
            "2026-02-29T01:39:02Z",
            "2026-11-00T01:39:02Z",
            "2026-11-21T24:39:02Z",
            "2026-11-21T01:60:02Z",
            "2026-11-21T01:39:61Z",
            "2026-11-21T01:39:02.Z",
            "2026-11-21T01:39:02.+12Z",
            "+026-11-21T01:39:02Z",
            "2026-11-21T01:39Z",
            "2026-11-21T01:39:02:03Z",
            "２026-11-21T01:39:02Z",
        ] {
            assert_eq!(unix_millis(text), None, "{text}");
        }
    }

    proptest! {
        #[test]
        fn what_gates_write_is_read_back(seconds in 0_i64..253_402_300_800, millis in 0_u16..1000) {
            let time = Timestamp { seconds: UnixTime(seconds), millis };
            prop_assert_eq!(unix_millis(&time.to_string()), Some(seconds * 1000 + i64::from(millis)));
        }

        #[test]
        fn nothing_makes_it_stop(text in "\\PC{0,40}") {
            let _ = unix_millis(&text);
        }
    }
}
