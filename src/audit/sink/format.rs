//! A batch of records as the request a sink takes.

use serde::Deserialize;
use serde_json::{Value, json};

use super::gzip::gzip;
use super::{Format, Item, Target};
use crate::limits;

/// What the records are of, where a sink asks for a name.
const SERVICE: &str = "cedargate";

/// A request: `POST`, with these fields and this body.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Outgoing {
    /// The header fields. The token is among them: never print them.
    pub headers: Vec<(String, Vec<u8>)>,
    /// The body.
    pub body: Vec<u8>,
}

/// What a sink is told of a record beside its line. Read from the line, with everything else in it passed over: the whole
/// [`Entry`](crate::audit::Entry) would be much code in the component for six members.
#[derive(Default, Deserialize)]
#[serde(default)]
struct Head {
    kind: String,
    decision: String,
    reason: String,
    status: Option<u16>,
    trace_id: String,
    span_id: String,
}

impl Target {
    /// The request for a batch.
    pub fn request<'a>(&self, items: impl Iterator<Item = &'a Item>) -> Outgoing {
        let body = match self.format {
            Format::Ndjson => items.flat_map(|item| [item.line.trim_end(), "\n"]).collect::<String>(),
            Format::Datadog => Value::Array(items.map(datadog).collect()).to_string(),
            Format::Otlp => otlp(items.map(log_record).collect()).to_string(),
            Format::Splunk => items.map(splunk).collect(),
        };
        let mut headers = vec![("content-type".to_owned(), content_type(self.format).into())];
        if let Some((name, value)) = self.credential() {
            headers.push((name.to_owned(), value.into_bytes()));
        }
        let mut body = body.into_bytes();
        if body.len() >= limits::SINK_GZIP_BYTES {
            body = gzip(&body);
            headers.push(("content-encoding".to_owned(), "gzip".into()));
        }
        headers.push(("content-length".to_owned(), body.len().to_string().into_bytes()));
        Outgoing { headers, body }
    }

    fn credential(&self) -> Option<(&'static str, String)> {
        let token = self.token.as_ref()?;
        Some(match self.format {
            Format::Ndjson | Format::Otlp => ("authorization", format!("Bearer {token}")),
            Format::Datadog => ("dd-api-key", token.clone()),
            Format::Splunk => ("authorization", format!("Splunk {token}")),
        })
    }
}

const fn content_type(format: Format) -> &'static str {
    match format {
        Format::Ndjson => "application/x-ndjson",
        Format::Datadog | Format::Otlp | Format::Splunk => "application/json",
    }
}

/// How bad it is: name and number in OTLP.
fn severity(head: &Head) -> (&'static str, u8) {
    match (head.kind.as_str(), head.decision.as_str()) {
        ("dropped", _) => ("ERROR", 17),
        (_, "deny") => ("WARN", 13),
        _ => ("INFO", 9),
    }
}

/// A line the gate wrote always is a record; of any other nothing is told but the line.
fn head(item: &Item) -> Head {
    serde_json::from_str(&item.line).unwrap_or_default()
}

fn datadog(item: &Item) -> Value {
    json!({
        "ddsource": SERVICE,
        "service": SERVICE,
        "status": severity(&head(item)).0.to_ascii_lowercase(),
        "timestamp": item.time.unix_millis(),
        // As text, which Datadog reads as JSON: byte for byte what the MAC is over.
        "message": item.line.trim_end(),
    })
}

fn otlp(records: Vec<Value>) -> Value {
    json!({"resourceLogs": [{
        "resource": {"attributes": [text("service.name", SERVICE)]},
        "scopeLogs": [{"scope": {"name": SERVICE}, "logRecords": records}],
    }]})
}

fn text(key: &str, value: &str) -> Value {
    json!({"key": key, "value": {"stringValue": value}})
}

fn log_record(item: &Item) -> Value {
    let head = head(item);
    let (severity, number) = severity(&head);
    // Numbers of 64 bits are strings in the JSON of protocol buffers.
    let time = item.time.unix_millis().saturating_mul(1_000_000).to_string();
    let mut attributes = vec![text("cedargate.kind", &head.kind)];
    for (key, value) in [("cedargate.decision", &head.decision), ("cedargate.reason", &head.reason)] {
        if !value.is_empty() {
            attributes.push(text(key, value));
        }
    }
    if let Some(status) = head.status {
        attributes.push(json!({"key": "http.response.status_code", "value": {"intValue": status.to_string()}}));
    }
    let mut record = json!({
        "timeUnixNano": time,
        "observedTimeUnixNano": time,
        "severityNumber": number,
        "severityText": severity,
        "body": {"stringValue": item.line.trim_end()},
        "attributes": attributes,
    });
    if let (Some(members), false) = (record.as_object_mut(), head.trace_id.is_empty()) {
        members.insert("traceId".to_owned(), head.trace_id.into());
        members.insert("spanId".to_owned(), head.span_id.into());
    }
    record
}

fn splunk(item: &Item) -> String {
    let millis = item.time.unix_millis();
    let (seconds, millis) = (millis.div_euclid(1000), millis.rem_euclid(1000));
    // The record itself, not text: its members are fields to search by.
    let event = item.line.trim_end();
    format!("{{\"time\":{seconds}.{millis:03},\"source\":\"{SERVICE}\",\"sourcetype\":\"_json\",\"event\":{event}}}\n")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::audit::Timestamp;
    use crate::decision::UnixTime;

    const DENY: &str = r#"{"v":1,"chain":{"instance":"i","prev":"","seq":0},"decision":"deny","decision_id":"d","kind":"decision","reason":"jwt.expired","request":{"path":"/a\"b"},"span_id":"15d6cfdbb463c0a1","status":401,"trace_id":"eac97825fa27d4b857c70547834bbcf8","mac":"m"}"#;
    const ALLOW: &str = r#"{"v":1,"decision":"allow","kind":"decision","reason":"policy.permit","span_id":"15d6cfdbb463c0a2","trace_id":"eac97825fa27d4b857c70547834bbcf9"}"#;
    const DROPPED: &str = r#"{"v":1,"dropped":{"count":1,"first_seq":0,"last_seq":0,"why":"refused"},"kind":"dropped"}"#;

    fn items() -> Vec<Item> {
        (0..)
            .zip([DENY, ALLOW, DROPPED])
            .map(|(seq, line)| Item {
                seq,
                time: Timestamp { seconds: UnixTime(1_799_834_400), millis: 5 },
                line: format!("{line}\n"),
                own: false,
                tells: None,
                ticket: None,
            })
            .collect()
    }

    /// The fields and the body, unpacked.
    fn request(format: &str, items: &[Item]) -> (Vec<String>, String) {
        let target = Target::parse(format, "https://a.example", "t0ken", "").unwrap().unwrap();
        let Outgoing { headers, body } = target.request(items.iter());
        let packed = headers.iter().any(|(name, _)| name == "content-encoding");
        assert_eq!(headers.last().unwrap(), &("content-length".to_owned(), body.len().to_string().into_bytes()));
        let body = if packed { miniz_oxide::inflate::decompress_to_vec(&body[10..body.len() - 8]).unwrap() } else { body };
        let shown = |(name, value): &(String, Vec<u8>)| format!("{name}: {}", String::from_utf8_lossy(value));
        let headers = headers.iter().filter(|(name, _)| !matches!(name.as_str(), "content-length" | "content-encoding")).map(shown);
        (headers.collect(), String::from_utf8(body).unwrap())
    }

    #[test]
    fn ndjson_is_the_lines() {
        let (headers, body) = request("ndjson", &items());
        assert_eq!(headers, ["content-type: application/x-ndjson", "authorization: Bearer t0ken"]);
        assert_eq!(body, format!("{DENY}\n{ALLOW}\n{DROPPED}\n"));
    }

    #[test]
    fn datadog_is_an_array_of_messages() {
        let (headers, body) = request("datadog", &items());
        assert_eq!(headers, ["content-type: application/json", "dd-api-key: t0ken"]);
        let item = |line: &str, status: &str| json!({"ddsource": "cedargate", "service": "cedargate", "status": status, "timestamp": 1_799_834_400_005_u64, "message": line});
        let body: Value = serde_json::from_str(&body).unwrap();
        assert_eq!(body, json!([item(DENY, "warn"), item(ALLOW, "info"), item(DROPPED, "error")]));
    }

    #[test]
    fn otlp_is_log_records() {
        let (headers, body) = request("otlp", &items());
        assert_eq!(headers, ["content-type: application/json", "authorization: Bearer t0ken"]);
        let body: Value = serde_json::from_str(&body).unwrap();
        let attribute = |key: &str, value: &str| json!({"key": key, "value": {"stringValue": value}});
        let time = "1799834400005000000";
        let expected = json!({"resourceLogs": [{
            "resource": {"attributes": [attribute("service.name", "cedargate")]},
            "scopeLogs": [{"scope": {"name": "cedargate"}, "logRecords": [
                {
                    "timeUnixNano": time, "observedTimeUnixNano": time, "severityNumber": 13, "severityText": "WARN",
                    "body": {"stringValue": DENY},
                    "traceId": "eac97825fa27d4b857c70547834bbcf8", "spanId": "15d6cfdbb463c0a1",
                    "attributes": [
                        attribute("cedargate.kind", "decision"),
                        attribute("cedargate.decision", "deny"),
                        attribute("cedargate.reason", "jwt.expired"),
                        {"key": "http.response.status_code", "value": {"intValue": "401"}},
                    ],
                },
                {
                    "timeUnixNano": time, "observedTimeUnixNano": time, "severityNumber": 9, "severityText": "INFO",
                    "body": {"stringValue": ALLOW},
                    "traceId": "eac97825fa27d4b857c70547834bbcf9", "spanId": "15d6cfdbb463c0a2",
                    "attributes": [
                        attribute("cedargate.kind", "decision"),
                        attribute("cedargate.decision", "allow"),
                        attribute("cedargate.reason", "policy.permit"),
                    ],
                },
                {
                    "timeUnixNano": time, "observedTimeUnixNano": time, "severityNumber": 17, "severityText": "ERROR",
                    "body": {"stringValue": DROPPED},
                    "attributes": [attribute("cedargate.kind", "dropped")],
                },
            ]}],
        }]});
        assert_eq!(body, expected);
    }

    #[test]
    fn splunk_is_one_event_after_another() {
        let (headers, body) = request("splunk", &items());
        assert_eq!(headers, ["content-type: application/json", "authorization: Splunk t0ken"]);
        let event = |line: &str| format!(r#"{{"time":1799834400.005,"source":"cedargate","sourcetype":"_json","event":{line}}}"#);
        assert_eq!(body, format!("{}\n{}\n{}\n", event(DENY), event(ALLOW), event(DROPPED)));
    }

    #[test]
    fn without_a_token_no_credential_is_sent() {
        let target = Target::parse("otlp", "https://a.example", "", "").unwrap().unwrap();
        let headers = target.request(items().iter()).headers;
        assert!(headers.iter().all(|(name, _)| name != "authorization"), "{headers:?}");
    }

    #[test]
    fn only_what_is_worth_it_is_packed() {
        let target = Target::parse("ndjson", "https://a.example", "", "").unwrap().unwrap();
        let packed = |items: &[Item]| target.request(items.iter()).headers.iter().any(|(name, _)| name == "content-encoding");
        assert!(!packed(&items()[1..2]));
        assert!(packed(&(0..3).flat_map(|_| items()).collect::<Vec<_>>()));
    }
}
