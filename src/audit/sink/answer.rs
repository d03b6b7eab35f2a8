//! What the answer of a sink means.

use serde::Deserialize;
use serde_json::Value;

use super::{Format, Target};
use crate::audit::time::http_date;
use crate::decision::UnixTime;

/// An answer.
#[derive(Debug, Clone, Copy)]
pub struct Reply<'a> {
    /// Its status.
    pub status: u16,
    /// `retry-after`, empty without one.
    pub retry_after: &'a str,
    /// Its body, or the beginning of it.
    pub body: &'a [u8],
}

/// What became of a batch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// The sink has it.
    Delivered,
    /// The sink has it but for so many records, and does not say which.
    Rejected(u64),
    /// Another try may help, not before so many milliseconds.
    Again(Option<u64>),
    /// No other try would help.
    Refused,
}

impl Target {
    /// What an answer means; `now` is for a `retry-after` that names a time.
    pub fn outcome(&self, reply: Reply<'_>, now: UnixTime) -> Outcome {
        match reply.status {
            200..=299 => match self.format {
                Format::Otlp => rejected(reply.body),
                Format::Ndjson | Format::Datadog | Format::Splunk => Outcome::Delivered,
            },
            429 | 500..=599 => Outcome::Again(wait(reply.retry_after, now)),
            // Redirects too: records and the token go nowhere nobody configured.
            _ => Outcome::Refused,
        }
    }
}

/// `partialSuccess` of an `ExportLogsServiceResponse`: it is not to be sent again.
fn rejected(body: &[u8]) -> Outcome {
    #[derive(Deserialize)]
    #[serde(rename_all = "camelCase")]
    struct Response {
        partial_success: Option<Partial>,
    }
    #[derive(Deserialize)]
    #[serde(rename_all = "camelCase")]
    struct Partial {
        // Of 64 bits, which JSON writes as a string; some write a number.
        rejected_log_records: Option<Value>,
    }
    let partial = serde_json::from_slice::<Response>(body).ok().and_then(|response| response.partial_success);
    let count = partial.and_then(|partial| partial.rejected_log_records).map_or(0, |count| match count {
        Value::String(text) => text.parse().unwrap_or_default(),
        other => other.as_u64().unwrap_or_default(),
    });
    if count == 0 { Outcome::Delivered } else { Outcome::Rejected(count) }
}

/// `retry-after` in milliseconds: seconds, or a date (RFC 9110, section 10.2.3).
fn wait(value: &str, now: UnixTime) -> Option<u64> {
    let value = value.trim();
    let seconds = match value.parse::<u64>() {
        Ok(seconds) => seconds,
        Err(_) => u64::try_from(http_date(value)?.0.saturating_sub(now.0)).unwrap_or_default(),
    };
    Some(seconds.saturating_mul(1000))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn outcome(format: &str, status: u16, retry_after: &str, body: &str) -> Outcome {
        let target = Target::parse(format, "https://a.example", "t", "").unwrap().unwrap();
        target.outcome(Reply { status, retry_after, body: body.as_bytes() }, UnixTime(784_111_777))
    }

    #[test]
    fn only_what_may_pass_is_tried_again() {
        for format in Format::ALL.map(Format::as_str) {
            for status in [200, 202, 204] {
                assert_eq!(outcome(format, status, "", ""), Outcome::Delivered, "{format} {status}");
            }
            for status in [429, 500, 502, 503, 504] {
                assert_eq!(outcome(format, status, "", ""), Outcome::Again(None), "{format} {status}");
            }
            for status in [100, 301, 307, 400, 401, 403, 404, 408, 413, 415] {
                assert_eq!(outcome(format, status, "1", ""), Outcome::Refused, "{format} {status}");
            }
        }
    }

    #[test]
    fn retry_after_is_seconds_or_a_date() {
        for (text, wait) in [
            ("7", Some(7_000)),
            (" 0 ", Some(0)),
            ("18446744073709551615", Some(u64::MAX)),
            // Ten seconds from now, and in the past.
            ("Sun, 06 Nov 1994 08:49:47 GMT", Some(10_000)),
            ("Sun, 06 Nov 1994 08:49:07 GMT", Some(0)),
            ("-1", None),
            ("soon", None),
            ("Sun, 06 Nov 1994 08:49:47 PST", None),
            ("", None),
        ] {
            assert_eq!(outcome("ndjson", 503, text, ""), Outcome::Again(wait), "{text}");
        }
    }

    #[test]
    fn what_otlp_rejects_is_counted() {
        for (body, outcome_) in [
            (r#"{"partialSuccess":{"rejectedLogRecords":"3","errorMessage":"x"}}"#, Outcome::Rejected(3)),
            (r#"{"partialSuccess":{"rejectedLogRecords":2}}"#, Outcome::Rejected(2)),
            (r#"{"partialSuccess":{"rejectedLogRecords":"0","errorMessage":"only a warning"}}"#, Outcome::Delivered),
            (r#"{"partialSuccess":{}}"#, Outcome::Delivered),
            ("{}", Outcome::Delivered),
            ("not JSON", Outcome::Delivered),
        ] {
            assert_eq!(outcome("otlp", 200, "", body), outcome_, "{body}");
        }
        // Elsewhere it says nothing.
        assert_eq!(outcome("splunk", 200, "", r#"{"partialSuccess":{"rejectedLogRecords":"3"}}"#), Outcome::Delivered);
    }
}
