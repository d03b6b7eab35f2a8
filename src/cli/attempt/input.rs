//! A request as somebody has it at hand: in words, as a `curl` command line, or raw.

use std::io::Read as _;
use std::path::{Path, PathBuf};

use miette::{IntoDiagnostic as _, WrapErr as _, miette};

/// Most bytes of a raw request.
const RAW_BYTES: u64 = 1024 * 1024;

/// The request of one invocation.
#[derive(Debug, clap::Args)]
pub(super) struct Sent {
    /// The method; a URL alone is asked for with GET
    #[arg(value_name = "METHOD", conflicts_with_all = ["curl", "request"])]
    method: Option<String>,
    /// The URL, or a path of http://localhost
    #[arg(value_name = "URL", conflicts_with_all = ["curl", "request"])]
    url: Option<String>,
    /// A header field; may be given more than once
    #[arg(long = "header", short = 'H', value_name = "NAME: VALUE")]
    headers: Vec<String>,
    /// A `curl` command line
    #[arg(long, value_name = "COMMAND", conflicts_with = "request")]
    curl: Option<String>,
    /// A file with a raw HTTP/1.1 request; `-` is standard input
    #[arg(long, value_name = "FILE")]
    request: Option<PathBuf>,
    /// A raw request came over TLS
    #[arg(long, requires = "request")]
    https: bool,
}

/// A request on the wire.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Wire {
    pub(super) method: String,
    pub(super) https: bool,
    pub(super) authority: Option<String>,
    /// Path and query, as they are sent.
    pub(super) target: String,
    pub(super) headers: Vec<(String, Vec<u8>)>,
}

impl Sent {
    /// Whether there is none.
    pub(super) fn is_empty(&self) -> bool {
        self.method.is_none() && self.curl.is_none() && self.request.is_none()
    }

    /// Puts the request together. Its body is never read: no decision is made on it.
    pub(super) fn read(&self) -> miette::Result<Wire> {
        let mut wire = match (&self.curl, &self.request) {
            (Some(command), _) => curl(command)?,
            (None, Some(file)) => Wire { https: self.https, ..raw(&whole(file)?)? },
            (None, None) => match (&self.method, &self.url) {
                (Some(method), Some(url)) => Wire { method: method.clone(), ..of_url(url)? },
                (Some(url), None) => Wire { method: "GET".to_owned(), ..of_url(url)? },
                _ => {
                    let help = "write its method and path, such as `GET /api/documents/1`, or give it whole with --curl or --request";
                    return Err(miette!(help = help, "no request to try"));
                }
            },
        };
        for header in &self.headers {
            wire.headers
                .push(field(header).ok_or_else(|| miette!(help = "write it `name: value`", "`{}` is no header", header.escape_debug()))?);
        }
        Ok(wire)
    }
}

fn whole(file: &Path) -> miette::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    let read = if file == Path::new("-") {
        std::io::stdin().lock().take(RAW_BYTES).read_to_end(&mut bytes)
    } else {
        std::fs::File::open(file).and_then(|file| file.take(RAW_BYTES).read_to_end(&mut bytes))
    };
    read.into_diagnostic().wrap_err_with(|| format!("`{}` cannot be read", file.display()))?;
    Ok(bytes)
}

/// Scheme, host and target. What a URL says is sent as it is: refusing it is for the gate.
fn of_url(url: &str) -> miette::Result<Wire> {
    // A fragment stays with whoever has the URL.
    let url = url.split('#').next().unwrap_or_default();
    if url.starts_with('/') {
        return Ok(Wire { authority: Some("localhost".to_owned()), target: url.to_owned(), ..Wire::default() });
    }
    let (scheme, rest) = url.split_once("://").unwrap_or(("http", url));
    let https = match scheme {
        "https" => true,
        "http" => false,
        other => return Err(miette!("`{}` is neither http nor https", other.escape_debug())),
    };
    let end = rest.find(['/', '?']).unwrap_or(rest.len());
    let (authority, target) = rest.split_at_checked(end).unwrap_or((rest, ""));
    if authority.is_empty() {
        return Err(miette!(
            help = "write it whole: `https://api.example.com/path`, or only its path",
            "`{}` is not a URL",
            url.escape_debug()
        ));
    }
    let target = if target.starts_with('/') { target.to_owned() } else { format!("/{target}") };
    Ok(Wire { https, authority: Some(authority.to_owned()), target, ..Wire::default() })
}

fn field(line: &str) -> Option<(String, Vec<u8>)> {
    let (name, value) = line.split_once(':')?;
    (!name.is_empty()).then(|| (name.to_ascii_lowercase(), value.trim_matches([' ', '\t']).as_bytes().to_vec()))
}

/// A raw HTTP/1.1 request, with CRLF or LF; what follows its head is left alone.
fn raw(bytes: &[u8]) -> miette::Result<Wire> {
    let help = "the first line of it is `GET /path HTTP/1.1`";
    let lines = bytes.split(|byte| *byte == b'\n').map(|line| line.strip_suffix(b"\r").unwrap_or(line));
    let mut lines = lines.skip_while(|line| line.is_empty());
    let first = String::from_utf8_lossy(lines.next().unwrap_or_default()).into_owned();
    let parts: Vec<&str> = first.split(' ').collect();
    let [method, target, version] = parts.as_slice() else { return Err(miette!(help = help, "not an HTTP/1.1 request")) };
    if !version.starts_with("HTTP/") {
        return Err(miette!(help = help, "not an HTTP/1.1 request"));
    }
    let mut wire = Wire { method: (*method).to_owned(), target: (*target).to_owned(), ..Wire::default() };
    if target.contains("://") {
        wire = Wire { method: wire.method, ..of_url(target)? };
    }
    for line in lines.take_while(|line| !line.is_empty()) {
        let split = line.iter().position(|byte| *byte == b':').and_then(|at| line.split_at_checked(at));
        let Some((name, value)) = split.filter(|(name, _)| !name.is_empty()) else {
            return Err(miette!(help = "a field is `name: value`", "`{}` is no header", String::from_utf8_lossy(line).escape_debug()));
        };
        let value = value.trim_ascii().strip_prefix(b":").unwrap_or_default().trim_ascii();
        wire.headers.push((String::from_utf8_lossy(name).to_ascii_lowercase(), value.to_vec()));
    }
    Ok(wire)
}

/// Options of `curl` that take a value and change nothing about what is decided.
const IGNORED: [&str; 14] = [
    "-o",
    "--output",
    "-w",
    "--write-out",
    "--cacert",
    "--connect-timeout",
    "-m",
    "--max-time",
    "--retry",
    "-c",
    "--cookie-jar",
    "-x",
    "--proxy",
    "--resolve",
];

/// The request that a `curl` command line makes.
fn curl(command: &str) -> miette::Result<Wire> {
    let words = shlex::split(command)
        .ok_or_else(|| miette!(help = "put it into single quotes as a whole", "a quote in the command is not closed"))?;
    let mut words = words.into_iter().peekable();
    if words.peek().is_some_and(|word| word == "curl") {
        words.next();
    }
    let (mut wire, mut method, mut body, mut get) = (None, None, false, false);
    let mut headers: Vec<(String, Vec<u8>)> = Vec::new();
    while let Some(word) = words.next() {
        // `--name=value` is not curl's, `-Xvalue` is.
        let (name, joined) = match word.get(..2).zip(word.get(2..)) {
            Some((short @ ("-X" | "-H" | "-d" | "-u" | "-b" | "-A" | "-e"), rest)) if !rest.is_empty() => {
                (short.to_owned(), Some(rest.to_owned()))
            }
            _ => (word.clone(), None),
        };
        let mut value = || joined.clone().or_else(|| words.next()).ok_or_else(|| miette!("`{name}` of the command has no value"));
        match name.as_str() {
            "-X" | "--request" => method = Some(value()?),
            "-H" | "--header" => {
                let value = value()?;
                // `name:` takes a header of curl's own away, and `name;` sends an empty one.
                if let Some(name) = value.strip_suffix(';') {
                    headers.push((name.to_ascii_lowercase(), vec![]));
                } else if !value.ends_with(':') {
                    headers.push(field(&value).ok_or_else(|| miette!("`{}` of the command is no header", value.escape_debug()))?);
                }
            }
            "-u" | "--user" => {
                use base64::Engine as _;
                let credentials = base64::engine::general_purpose::STANDARD.encode(value()?);
                headers.push(("authorization".to_owned(), format!("Basic {credentials}").into_bytes()));
            }
            "-b" | "--cookie" => headers.push(("cookie".to_owned(), value()?.into_bytes())),
            "-A" | "--user-agent" => headers.push(("user-agent".to_owned(), value()?.into_bytes())),
            "-e" | "--referer" => headers.push(("referer".to_owned(), value()?.into_bytes())),
            "-d" | "--data" | "--data-raw" | "--data-binary" | "--data-urlencode" | "--json" | "-F" | "--form" | "-T" | "--upload-file" => {
                value()?;
                body = true;
            }
            "-I" | "--head" => method = Some("HEAD".to_owned()),
            "-G" | "--get" => get = true,
            "--url" => wire = Some(of_url(&value()?)?),
            other if IGNORED.contains(&other) => drop(value()?),
            other if other.starts_with('-') && other.len() > 1 => {}
            url => wire = Some(of_url(url)?),
        }
    }
    let wire = wire.ok_or_else(|| miette!("the command has no URL"))?;
    let method = method.unwrap_or_else(|| if body && !get { "POST".to_owned() } else { "GET".to_owned() });
    Ok(Wire { method, headers, ..wire })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wire(method: &str, https: bool, authority: &str, target: &str, headers: &[(&str, &str)]) -> Wire {
        let headers = headers.iter().map(|(name, value)| ((*name).to_owned(), value.as_bytes().to_vec())).collect();
        Wire {
            method: method.to_owned(),
            https,
            authority: (!authority.is_empty()).then(|| authority.to_owned()),
            target: target.to_owned(),
            headers,
        }
    }

    #[test]
    fn a_url_is_sent_as_it_is() {
        for (url, https, authority, target) in [
            ("https://a.example/x/../y?q=%2e#part", true, "a.example", "/x/../y?q=%2e"),
            ("http://a.example:8080", false, "a.example:8080", "/"),
            ("a.example?q", false, "a.example", "/?q"),
            ("/x//y", false, "localhost", "/x//y"),
        ] {
            assert_eq!(of_url(url).unwrap(), wire("", https, authority, target, &[]), "{url}");
        }
        assert!(of_url("ftp://a.example/").is_err() && of_url("https://").is_err());
    }

    #[test]
    fn a_curl_command_line_is_the_request_it_makes() {
        let command =
            r#"curl -s -o /dev/null -XDELETE -H 'Authorization: Bearer a.b.c' --header "X-A:  b " 'https://a.example/x?y=1&z' -k"#;
        let expected = wire("DELETE", true, "a.example", "/x?y=1&z", &[("authorization", "Bearer a.b.c"), ("x-a", "b")]);
        assert_eq!(curl(command).unwrap(), expected);
        assert_eq!(curl("curl -d '{}' http://a/x").unwrap().method, "POST");
        assert_eq!(curl("curl -G -d q=1 http://a/x").unwrap().method, "GET");
        assert_eq!(curl("curl -I --url http://a/x").unwrap(), wire("HEAD", false, "a", "/x", &[]));
        assert_eq!(curl("curl -u a:b -b c=d http://a").unwrap().headers.len(), 2);
        assert!(curl("curl 'http://a").is_err() && curl("curl -X").is_err() && curl("curl -s").is_err());
    }

    #[test]
    fn a_raw_request_is_read_to_the_end_of_its_head() {
        let expected = wire("GET", false, "", "/x?y", &[("host", "a.example"), ("x-empty", "")]);
        for end in ["\r\n", "\n"] {
            let text = ["GET /x?y HTTP/1.1", "Host: a.example", "X-Empty:", "", "body: no header"].join(end);
            assert_eq!(raw(text.as_bytes()).unwrap(), expected, "{end:?}");
        }
        assert_eq!(raw(b"GET http://a.example/x HTTP/1.1\r\n\r\n").unwrap(), wire("GET", false, "a.example", "/x", &[]));
        for bad in [&b""[..], b"GET /x", b"GET  /x HTTP/1.1", b"GET /x HTTP/1.1\nnothing", b"GET /x HTTP/1.1\n: y"] {
            assert!(raw(bad).is_err(), "{}", String::from_utf8_lossy(bad));
        }
    }
}
