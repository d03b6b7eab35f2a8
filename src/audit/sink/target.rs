//! Which sink, and where: the variables `audit_sink…`.

use std::fmt;
use std::net::IpAddr;

use crate::identity::Url;

/// How a sink takes records.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    /// One record a line.
    Ndjson,
    /// The logs intake of Datadog, version 2.
    Datadog,
    /// OTLP over HTTP, in JSON.
    Otlp,
    /// The HTTP Event Collector of Splunk.
    Splunk,
}

impl Format {
    /// Every format.
    pub const ALL: [Self; 4] = [Self::Ndjson, Self::Datadog, Self::Otlp, Self::Splunk];

    /// As in the variable `audit_sink`.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Ndjson => "ndjson",
            Self::Datadog => "datadog",
            Self::Otlp => "otlp",
            Self::Splunk => "splunk",
        }
    }

    /// The path that is meant where the address names none.
    const fn path(self) -> &'static str {
        match self {
            Self::Ndjson => "/",
            Self::Datadog => "/api/v2/logs",
            Self::Otlp => "/v1/logs",
            Self::Splunk => "/services/collector/event",
        }
    }

    /// Whether nobody takes records in it without a token.
    const fn needs_token(self) -> bool {
        matches!(self, Self::Datadog | Self::Splunk)
    }
}

/// A sink. Never printed with its token.
#[derive(Clone, PartialEq, Eq)]
pub struct Target {
    pub(super) format: Format,
    pub(super) url: Url,
    pub(super) token: Option<String>,
    region: Option<String>,
}

impl fmt::Debug for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Target").field("format", &self.format).field("url", &self.url).field("region", &self.region).finish_non_exhaustive()
    }
}

impl Target {
    /// Reads the variables; `None` where no sink is configured. Empty is not set.
    ///
    /// # Errors
    /// Which variable is unusable and why, never with the token.
    pub fn parse(format: &str, url: &str, token: &str, region: &str) -> Result<Option<Self>, String> {
        if format.is_empty() {
            return Ok(None);
        }
        let Some(format) = Format::ALL.into_iter().find(|known| known.as_str() == format) else {
            return Err("variable `audit_sink` must be empty, `ndjson`, `datadog`, `otlp` or `splunk`".to_owned());
        };
        let given = Url::parse(url).ok_or("variable `audit_sink_url` must be `https://host[:port][/path]`")?;
        // SECURITY: records and the token go there: not in the clear over a network.
        if !given.https() && !stays_near(given.authority()) {
            return Err("variable `audit_sink_url` must be `https`, or lead to this machine or to `*.spin.internal`".to_owned());
        }
        let bare = given.path_with_query() == "/";
        let url = if bare { Url::parse(&format!("{}{}", given.origin(), format.path())).unwrap_or(given) } else { given };
        if token.is_empty() && format.needs_token() {
            return Err(format!("variable `audit_sink_token` is not set, and `{}` takes nothing without", format.as_str()));
        }
        // What a field cannot carry would be refused with every batch.
        if !token.bytes().all(|byte| byte.is_ascii_graphic()) {
            return Err("variable `audit_sink_token` must have visible ASCII characters only".to_owned());
        }
        let some = |text: &str| (!text.is_empty()).then(|| text.to_owned());
        Ok(Some(Self { format, url, token: some(token), region: some(region) }))
    }

    /// Where requests go.
    pub fn url(&self) -> &Url {
        &self.url
    }

    /// Where the sink is, as far as that is another place than the gate's.
    pub fn region(&self) -> Option<&str> {
        self.region.as_deref()
    }
}

/// Whether what is sent there in the clear crosses no network: this machine, or another component of the application.
fn stays_near(authority: &str) -> bool {
    let host = match authority.strip_prefix('[') {
        Some(rest) => rest.split(']').next().unwrap_or_default(),
        None => authority.split(':').next().unwrap_or_default(),
    };
    host == "localhost" || host.ends_with(".spin.internal") || host.parse::<IpAddr>().is_ok_and(|address| address.is_loopback())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sink_has_a_format_and_an_address() {
        assert_eq!(Target::parse("", "anything", "", ""), Ok(None));
        for (format, url, shown) in [
            ("ndjson", "https://logs.example.com", "https://logs.example.com/"),
            ("ndjson", "https://logs.example.com/in?stream=a", "https://logs.example.com/in?stream=a"),
            ("datadog", "https://http-intake.logs.datadoghq.eu", "https://http-intake.logs.datadoghq.eu/api/v2/logs"),
            ("otlp", "https://otel.example.com:4318/", "https://otel.example.com:4318/v1/logs"),
            ("otlp", "https://otel.example.com/logs", "https://otel.example.com/logs"),
            ("splunk", "https://splunk.example.com:8088", "https://splunk.example.com:8088/services/collector/event"),
            ("otlp", "http://127.0.0.1:4318", "http://127.0.0.1:4318/v1/logs"),
            ("otlp", "http://[::1]:4318", "http://[::1]:4318/v1/logs"),
            ("otlp", "http://localhost:4318", "http://localhost:4318/v1/logs"),
            ("otlp", "http://collector.spin.internal", "http://collector.spin.internal/v1/logs"),
        ] {
            let target = Target::parse(format, url, "secret-token", "eu").unwrap().unwrap();
            assert_eq!(target.url().to_string(), shown);
            assert_eq!(target.region(), Some("eu"));
            assert!(!format!("{target:?}").contains("secret-token"));
        }
        assert_eq!(Target::parse("otlp", "https://a.example", "", "").unwrap().unwrap().region(), None);
    }

    #[test]
    fn what_is_unusable_is_named_and_the_token_never_told() {
        for (format, url, token, says) in [
            ("kafka", "https://a.example", "t", "`audit_sink`"),
            ("NDJSON", "https://a.example", "t", "`audit_sink`"),
            ("ndjson", "", "t", "`audit_sink_url`"),
            ("ndjson", "a.example", "t", "`audit_sink_url`"),
            ("ndjson", "http://logs.example.com", "t", "must be `https`"),
            ("ndjson", "http://localhost.evil.example", "t", "must be `https`"),
            ("ndjson", "http://127.0.0.1.evil.example", "t", "must be `https`"),
            ("ndjson", "http://10.0.0.1", "t", "must be `https`"),
            ("ndjson", "http://xspin.internal", "t", "must be `https`"),
            ("datadog", "https://a.example", "", "`audit_sink_token`"),
            ("splunk", "https://a.example", "", "`audit_sink_token`"),
            ("ndjson", "https://a.example", "t0p secret", "`audit_sink_token`"),
            ("ndjson", "https://a.example", "t0p\r\nx: secret", "`audit_sink_token`"),
        ] {
            let error = Target::parse(format, url, token, "").unwrap_err();
            assert!(error.contains(says) && !error.contains("t0p"), "{format} {url}: {error}");
        }
    }
}
