//! One request to a gate, over HTTP/1.1, with or without TLS.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::header::{CONTENT_LENGTH, HOST};
use http::{Request, Response, Uri};
use http_body_util::{BodyExt as _, Full, Limited};
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use miette::{IntoDiagnostic as _, WrapErr as _, miette};
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, RootCertStore};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_rustls::TlsConnector;

/// How long the whole exchange may take.
const PATIENCE: Duration = Duration::from_secs(30);
/// Most bytes of an answer: the gate's own are a few hundred.
const ANSWER_BYTES: usize = 256 * 1024;

/// Where a gate is: scheme, host and port.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct GateUrl {
    https: bool,
    /// As in the URL; an IPv6 address in brackets.
    host: String,
    port: u16,
    authority: String,
}

impl GateUrl {
    /// Reads `http://host[:port]` or `https://host[:port]`, with at most a `/` after it.
    pub(super) fn parse(text: &str) -> Result<Self, String> {
        let refuse = || "not a gate: write it like `https://api.example.com` or `http://127.0.0.1:3000`, without a path".to_owned();
        let uri: Uri = text.parse().map_err(|_| refuse())?;
        let https = match uri.scheme_str() {
            Some("https") => true,
            Some("http") => false,
            _ => return Err(refuse()),
        };
        let authority = uri.authority().filter(|authority| !authority.as_str().contains('@') && !authority.host().is_empty());
        let authority = authority.ok_or_else(refuse)?;
        if !matches!(uri.path(), "" | "/") || uri.query().is_some() {
            return Err(refuse());
        }
        let port = uri.port_u16().unwrap_or(if https { 443 } else { 80 });
        Ok(Self { https, host: authority.host().to_owned(), port, authority: authority.as_str().to_owned() })
    }

    /// Whether what is sent there can be read on the way.
    pub(super) fn is_exposed(&self) -> bool {
        let bare = self.bare_host();
        let local = bare == "localhost" || bare.parse::<std::net::IpAddr>().is_ok_and(|address| address.is_loopback());
        !self.https && !local
    }

    fn bare_host(&self) -> &str {
        self.host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(&self.host)
    }
}

impl std::fmt::Display for GateUrl {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}://{}", if self.https { "https" } else { "http" }, self.authority)
    }
}

/// What came back.
#[derive(Debug)]
pub(super) struct Answer {
    pub(super) status: u16,
    /// `cedargate-decision-id`: without it the answer is somebody else's.
    pub(super) decision_id: Option<String>,
    pub(super) body: Bytes,
}

/// Sends a request with a body; `request` names the path only. `ca` replaces the usual roots.
///
/// # Errors
/// What went wrong on the way.
pub(super) fn send(gate: &GateUrl, request: http::request::Builder, body: Vec<u8>, ca: Option<&Path>) -> miette::Result<Answer> {
    let length = body.len();
    let request = request.header(HOST, &gate.authority).header(CONTENT_LENGTH, length).body(Full::new(Bytes::from(body)));
    let request = request.map_err(|_| miette!("the token is not one that can be sent: it must be one line of visible characters"))?;
    let tls = if gate.https { Some(connector(ca)?) } else { None };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().into_diagnostic()?;
    let work = async {
        let answered = timeout(PATIENCE, exchange(gate, request, tls)).await;
        answered.unwrap_or_else(|_| Err(format!("no answer within {} seconds", PATIENCE.as_secs())))
    };
    runtime.block_on(work).map_err(|why| miette!(help = "is it running there, and can it be reached from here?", "`{gate}`: {why}"))
}

async fn exchange(gate: &GateUrl, request: Request<Full<Bytes>>, tls: Option<TlsConnector>) -> Result<Answer, String> {
    let stream = TcpStream::connect((gate.bare_host(), gate.port)).await.map_err(|error| format!("could not connect: {error}"))?;
    match tls {
        None => over(stream, request).await,
        Some(tls) => {
            let name = ServerName::try_from(gate.bare_host().to_owned()).map_err(|_| "its host is not a name TLS can verify".to_owned())?;
            let stream = tls.connect(name, stream).await.map_err(|error| format!("TLS: {error}"))?;
            over(stream, request).await
        }
    }
}

async fn over<S>(stream: S, request: Request<Full<Bytes>>) -> Result<Answer, String>
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let failed = |error: hyper::Error| format!("HTTP: {error}");
    let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await.map_err(failed)?;
    // What is wrong with the connection shows in the request.
    drop(tokio::spawn(connection));
    let (head, body) = sender.send_request(request).await.map_err(failed).map(Response::into_parts)?;
    let body = Limited::new(body, ANSWER_BYTES).collect().await.map_err(|error| format!("its answer: {error}"))?;
    let decision_id = head.headers.get(crate::enforce::DECISION_ID).and_then(|id| id.to_str().ok()).map(str::to_owned);
    Ok(Answer { status: head.status.as_u16(), decision_id, body: body.to_bytes() })
}

fn connector(ca: Option<&Path>) -> miette::Result<TlsConnector> {
    let mut roots = RootCertStore::empty();
    match ca {
        None => roots.extend(webpki_roots::TLS_SERVER_ROOTS.iter().cloned()),
        Some(path) => {
            let shown = || format!("`{}`", path.display());
            let read: Result<Vec<_>, _> = CertificateDer::pem_file_iter(path).and_then(Iterator::collect);
            for certificate in read.into_diagnostic().wrap_err_with(shown)? {
                roots.add(certificate).into_diagnostic().wrap_err_with(shown)?;
            }
            if roots.is_empty() {
                return Err(miette!("{} holds no certificate", shown()));
            }
        }
    }
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions().into_diagnostic()?;
    Ok(Arc::new(config.with_root_certificates(roots).with_no_client_auth()).into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_gate_is_scheme_host_and_port() {
        for (text, host, port, exposed) in [
            ("http://127.0.0.1:3000", "127.0.0.1", 3000, false),
            ("http://localhost/", "localhost", 80, false),
            ("http://[::1]:3000", "::1", 3000, false),
            ("http://10.0.0.1", "10.0.0.1", 80, true),
            ("http://localhost.example.com", "localhost.example.com", 80, true),
            ("https://api.example.com", "api.example.com", 443, false),
        ] {
            let gate = GateUrl::parse(text).unwrap();
            assert_eq!((gate.bare_host(), gate.port, gate.is_exposed()), (host, port, exposed), "{text}");
            assert_eq!(gate.to_string(), text.trim_end_matches('/'));
        }
        for text in ["", "api.example.com", "ftp://a", "http://", "http://a/b", "http://a?b", "http://u:p@a", "https://a b"] {
            assert!(GateUrl::parse(text).is_err(), "{text}");
        }
    }
}
