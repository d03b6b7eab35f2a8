//! `/metrics`: what the pages show, for Prometheus (text format 0.0.4).

use std::collections::BTreeMap;
use std::fmt::Write as _;

use super::status::{BOUNDS, Counters, Status, Times};

/// The content type of the format.
pub(super) const TYPE: &str = "text/plain; version=0.0.4; charset=utf-8";

/// All metrics.
pub(super) fn text(status: &Status, slo_micros: u64) -> String {
    let Status { malformed, passed, lost, caught_up, newest, chain, counters, .. } = status;
    let Counters { decisions, responses, digests, kinds, times } = counters;
    let mut out = Text::default();
    out.family("cedargate_decisions_total", "counter", "Decisions in the logs", ["decision", "reason", "region"], decisions);
    out.family("cedargate_responses_total", "counter", "Responses whose status is known", ["region", "class"], responses);
    out.family("cedargate_policy_decisions_total", "counter", "Decisions by policy digest", ["policy_digest"], digests);
    out.family("cedargate_records_total", "counter", "Records in the logs", ["kind"], kinds);
    out.times(times);
    out.one("cedargate_slo_seconds", "gauge", "The time that a decision should take at most", &seconds(slo_micros));
    out.one("cedargate_records_malformed_total", "counter", "Lines that begin as a record and are none", &malformed.to_string());
    out.one("cedargate_records_lost_total", "counter", "Records that the logs say were lost", &lost.to_string());
    out.one("cedargate_lines_passed_over_total", "counter", "Lines of the logs that are no records", &passed.to_string());
    out.one("cedargate_caught_up", "gauge", "Whether the logs have been read to their ends once", if *caught_up { "1" } else { "0" });
    if let Some(newest) = newest {
        let time = format!("{}.{:03}", newest.div_euclid(1000), newest.rem_euclid(1000));
        out.one("cedargate_newest_record_timestamp_seconds", "gauge", "The time of the newest record", &time);
    }
    let is = |is: bool| if is { "1" } else { "0" };
    out.one("cedargate_chain_verified", "gauge", "Whether the chains are verified: there is a keyring", is(chain.is_some()));
    if let Some(chain) = chain {
        out.one("cedargate_chain_broken", "gauge", "Whether anything was found", is(chain.is_broken()));
        out.one("cedargate_chain_records_authentic_total", "counter", "Records whose MAC is right", &chain.read.authentic.to_string());
        // A gap may close when late records come, so this may go down.
        let found: BTreeMap<_, _> = chain.counts().map(|(fault, count)| ([fault.as_str().to_owned()], count)).collect();
        out.family("cedargate_chain_findings", "gauge", "What was found of the chains", ["fault"], &found);
    }
    out.0
}

#[derive(Default)]
struct Text(String);

impl Text {
    fn head(&mut self, name: &str, kind: &str, help: &str) {
        // Writing to a String cannot fail; the same below.
        let _ = writeln!(self.0, "# HELP {name} {help}.\n# TYPE {name} {kind}");
    }

    fn one(&mut self, name: &str, kind: &str, help: &str, value: &str) {
        self.head(name, kind, help);
        let _ = writeln!(self.0, "{name} {value}");
    }

    fn family<const N: usize>(&mut self, name: &str, kind: &str, help: &str, names: [&str; N], all: &BTreeMap<[String; N], u64>) {
        self.head(name, kind, help);
        for (values, value) in all {
            let _ = writeln!(self.0, "{name}{{{}}} {value}", labels(names, values));
        }
    }

    fn times(&mut self, all: &BTreeMap<[String; 1], Times>) {
        let name = "cedargate_decision_duration_seconds";
        self.head(name, "histogram", "Time until the record of a decision");
        for (region, Times { within, count, micros }) in all {
            let region = labels(["region"], region);
            for (bound, within) in BOUNDS.into_iter().zip(within) {
                let _ = writeln!(self.0, "{name}_bucket{{{region},le=\"{}\"}} {within}", seconds(bound));
            }
            let _ = writeln!(self.0, "{name}_bucket{{{region},le=\"+Inf\"}} {count}");
            let _ = writeln!(self.0, "{name}_sum{{{region}}} {}\n{name}_count{{{region}}} {count}", seconds(*micros));
        }
    }
}

/// SECURITY: the values are out of records. Escaped, none can end its label or its line.
fn labels<const N: usize>(names: [&str; N], values: &[String; N]) -> String {
    let escaped = |value: &String| value.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n");
    let label = |(name, value): (&str, &String)| format!("{name}=\"{}\"", escaped(value));
    names.into_iter().zip(values).map(label).collect::<Vec<_>>().join(",")
}

fn seconds(micros: u64) -> String {
    let text = format!("{}.{:06}", micros.div_euclid(1_000_000), micros.rem_euclid(1_000_000));
    text.trim_end_matches('0').trim_end_matches('.').to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::audit::Entry;

    #[test]
    fn hostile_text_stays_in_its_label() {
        let mut status = Status::default();
        let line = r#"{"v":1,"decision":"deny","reason":"x\"} 1\ny\\","region":"<b>","status":403,"timing_us":{"total":1500}}"#;
        status.add(&Entry::parse(line).unwrap(), Some(1500));
        let text = text(&status, 50_000);
        let wanted = [
            r#"cedargate_decisions_total{decision="deny",reason="x\"} 1\ny\\",region="<b>"} 1"#,
            r#"cedargate_responses_total{region="<b>",class="4xx"} 1"#,
            r#"cedargate_decision_duration_seconds_bucket{region="<b>",le="0.001"} 0"#,
            r#"cedargate_decision_duration_seconds_bucket{region="<b>",le="0.0025"} 1"#,
            r#"cedargate_decision_duration_seconds_sum{region="<b>"} 0.0015"#,
            "cedargate_slo_seconds 0.05",
            "cedargate_newest_record_timestamp_seconds 1.500",
            "cedargate_chain_verified 0",
        ];
        for line in wanted {
            assert!(text.lines().any(|known| known == line), "{line}\n{text}");
        }
        assert!(text.lines().all(|line| line.starts_with("cedargate_") || line.starts_with("# ")), "{text}");
    }

    #[test]
    fn there_is_an_end_to_series() {
        let mut status = Status::default();
        for number in 0..3000 {
            let entry = Entry { region: format!("r{number}"), ..Entry::default() };
            status.add(&entry, None);
        }
        let text = text(&status, 1);
        assert!(text.contains("cedargate_decisions_total{decision=\"other\",reason=\"other\",region=\"other\"} 1000\n"));
        assert!(text.len() < 4_000_000);
    }
}
