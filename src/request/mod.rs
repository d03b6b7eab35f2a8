//! From a raw request to [`Facts`] and [`Evidence`], or a denial.
//!
//! What crosses in is whatever a caller sent; what crosses out has one method, one host, one path and at most one
//! credential of each kind. It never rewrites: the bytes that are decided on are the bytes that are forwarded.

mod authority;
mod client;
mod cookies;
mod headers;
mod network;
mod path;
mod percent;
mod query;
mod read;
mod trace;

use std::fmt;
use std::net::IpAddr;

use crate::signed_url::PresentedLink;

pub use authority::parse_authority;
pub use network::Network;
pub use path::Path;
pub(crate) use percent::{decoded as percent_decoded, octet as percent_octet};
pub use read::{Target, read, read_target};
pub use trace::TraceContext;

/// A request as the runtime hands it over: nothing is decoded, merged or normalised yet.
#[derive(Debug, Clone, Copy)]
pub struct RawRequest<'a> {
    /// The method, as sent.
    pub method: &'a str,
    /// `http` or `https`, as the runtime tells it.
    pub scheme: Option<&'a str>,
    /// The authority of the request target (HTTP/2 `:authority`, absolute form), if the runtime tells it.
    pub authority: Option<&'a str>,
    /// Path and query of the request target, raw.
    pub path_with_query: Option<&'a str>,
    /// Header fields in the order they arrived; the runtime's own (`spin-*`) come last.
    pub headers: &'a [(String, Vec<u8>)],
}

/// What reading a request depends on beside the request.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Reading {
    /// The proxies in front of the gate.
    pub proxies: Proxies,
    /// Whether the gate has signed URLs: then `cg-` parameters and the cookie of links are its own.
    pub signed_urls: bool,
}

impl From<Proxies> for Reading {
    fn from(proxies: Proxies) -> Self {
        Self { proxies, signed_urls: false }
    }
}

/// What a deployment says about the proxies in front of the gate.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Proxies {
    /// 0: the client is the peer (`spin-client-addr`). N: the client is the N-th from the right of `x-forwarded-for`.
    pub trusted_hops: usize,
}

/// A known HTTP method (RFC 9110, section 9; RFC 5789).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[expect(missing_docs, reason = "the names are the methods")]
pub enum Method {
    Get,
    Head,
    Options,
    Post,
    Put,
    Patch,
    Delete,
}

impl Method {
    /// Every known method.
    pub const ALL: [Method; 7] = [Self::Get, Self::Head, Self::Options, Self::Post, Self::Put, Self::Patch, Self::Delete];

    /// The method's name: case-sensitive, upper case.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Get => "GET",
            Self::Head => "HEAD",
            Self::Options => "OPTIONS",
            Self::Post => "POST",
            Self::Put => "PUT",
            Self::Patch => "PATCH",
            Self::Delete => "DELETE",
        }
    }

    /// The method with exactly this name.
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|m| m.as_str() == name)
    }
}

/// What is known about a request, canonical and unambiguous. Says nothing about who sent it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Facts {
    /// The method.
    pub method: Method,
    /// `true` when the client's own connection used TLS, as far as the runtime tells.
    pub https: bool,
    /// Lower-case host without port.
    pub host: String,
    /// Port, where the request names one.
    pub port: Option<u16>,
    /// The path: raw for forwarding, decoded for the decision.
    pub path: Path,
    /// The query without `?`, raw; `None` when there is no `?`.
    pub query: Option<String>,
    /// The decoded query parameters in order.
    pub parameters: Vec<(String, String)>,
    /// The address of the client; `None` when the runtime does not tell.
    pub client: Option<IpAddr>,
    /// The address of who holds the connection to the gate, whatever proxies say; `None` when the runtime does not tell.
    pub peer: Option<IpAddr>,
    /// Every header field as it arrived, names in lower case; [`crate::enforce`] chooses what the origin sees.
    pub headers: Vec<(String, Vec<u8>)>,
    /// The W3C trace context, when a valid one arrived.
    pub trace: Option<TraceContext>,
}

impl Facts {
    /// Path and query exactly as received.
    pub fn path_with_query(&self) -> String {
        match &self.query {
            Some(query) => format!("{}?{query}", self.path.raw()),
            None => self.path.raw().to_owned(),
        }
    }

    /// The value of a header that occurs exactly once and is UTF-8 text; names in lower case.
    pub fn header(&self, name: &str) -> Option<&str> {
        let mut values = self.headers.iter().filter(|(n, _)| n == name);
        match (values.next(), values.next()) {
            (Some((_, value)), None) => std::str::from_utf8(value).ok(),
            _ => None,
        }
    }
}

/// The credentials a request carries, unverified. `Debug` never shows them.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Evidence {
    /// The whole value of `Authorization`.
    pub authorization: Option<Vec<u8>>,
    /// The whole value of `DPoP`.
    pub dpop: Option<Vec<u8>>,
    /// The parameters of a signed URL, in the query.
    pub signed_url: Option<PresentedLink>,
    /// The same in cookies, each by itself: more than one is refused where it counts.
    pub signed_cookies: Vec<PresentedLink>,
}

impl fmt::Debug for Evidence {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { authorization, dpop, signed_url, signed_cookies } = self;
        let hidden = |value: &Option<Vec<u8>>| value.as_ref().map(|_| "…");
        f.debug_struct("Evidence")
            .field("authorization", &hidden(authorization))
            .field("dpop", &hidden(dpop))
            .field("signed_url", &signed_url.as_ref().map(|_| "…"))
            .field("signed_cookies", &signed_cookies.len())
            .finish()
    }
}
