//! `allowed_outbound_hosts`: which hosts a component may reach.
//!
//! Spin's syntax is `scheme://host[:port]` with `*` for any scheme, host or port, `*.example.com` for every subdomain,
//! `a..b` for a range of ports and an IP network in CIDR notation. Here a check is exact or it fails: what this module
//! does not understand is refused when the manifest is read, and a URL it cannot read is not allowed.

use std::net::{IpAddr, Ipv6Addr};
use std::ops::Range;

use http::Uri;

/// The domain under which Spin reaches other components of an application.
pub(super) const CHAINING: &str = "spin.internal";

/// The hosts a component may reach. Empty: none.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct AllowedHosts(Vec<AllowedHost>);

impl AllowedHosts {
    /// Whether a request to `uri` may leave.
    pub fn allows(&self, uri: &Uri) -> bool {
        let (Some(scheme), Some(authority)) = (uri.scheme_str(), uri.authority()) else { return false };
        let scheme = scheme.to_ascii_lowercase();
        // SECURITY: credentials in an authority are how one host is dressed up as another.
        if authority.as_str().contains('@') {
            return false;
        }
        let Some(host) = HostName::parse(authority.host()) else { return false };
        let Some(port) = authority.port_u16().or_else(|| default_port(&scheme)) else { return false };
        self.0.iter().any(|allowed| allowed.allows(&scheme, &host, port))
    }

    /// Adds one more.
    pub fn push(&mut self, host: AllowedHost) {
        self.0.push(host);
    }
}

impl FromIterator<AllowedHost> for AllowedHosts {
    fn from_iter<T: IntoIterator<Item = AllowedHost>>(iter: T) -> Self {
        Self(iter.into_iter().collect())
    }
}

/// One entry of `allowed_outbound_hosts`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AllowedHost {
    scheme: Option<String>,
    host: HostPattern,
    port: PortPattern,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum HostPattern {
    Any,
    /// Every name that ends in this, which starts with a dot.
    Subdomains(String),
    Exact(HostName),
    Network(IpAddr, u8),
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum PortPattern {
    Any,
    One(u16),
    Between(Range<u16>),
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum HostName {
    Domain(String),
    Address(IpAddr),
}

impl AllowedHost {
    /// Reads one entry, after its variables were filled in.
    ///
    /// # Errors
    /// A sentence about what is wrong with it.
    pub fn parse(text: &str) -> Result<Self, String> {
        let text = text.trim();
        let Some((scheme, rest)) = text.split_once("://") else {
            return Err(format!("`{text}` is not of the form `scheme://host[:port]`"));
        };
        let scheme = match scheme {
            "*" => None,
            name if !name.is_empty() && name.chars().all(|c| c.is_ascii_alphabetic()) => Some(name.to_ascii_lowercase()),
            _ => return Err(format!("`{text}` has a scheme that is neither a name nor `*`")),
        };
        let (host, port) = split_port(rest.strip_suffix('/').unwrap_or(rest));
        let host = HostPattern::parse(host).map_err(|problem| format!("`{text}` {problem}"))?;
        let port = match (port, &scheme) {
            (Some(port), _) => PortPattern::parse(port).ok_or_else(|| format!("`{text}` has a port that is no number, range or `*`"))?,
            (None, Some(scheme)) => PortPattern::One(default_port(scheme).ok_or_else(|| format!("`{text}` needs a port"))?),
            (None, None) => return Err(format!("`{text}` needs a port, because its scheme is `*`")),
        };
        Ok(Self { scheme, host, port })
    }

    fn allows(&self, scheme: &str, host: &HostName, port: u16) -> bool {
        let Self { scheme: wanted, host: pattern, port: ports } = self;
        wanted.as_deref().is_none_or(|wanted| wanted == scheme)
            && pattern.allows(host)
            && match ports {
                PortPattern::Any => true,
                PortPattern::One(one) => *one == port,
                PortPattern::Between(range) => range.contains(&port),
            }
    }
}

/// Host and port of `host[:port]`, where the host may be an IPv6 address in brackets.
fn split_port(text: &str) -> (&str, Option<&str>) {
    match text.rsplit_once(':') {
        Some((host, port)) if !port.contains(']') && !port.is_empty() => (host, Some(port)),
        Some((host, "")) => (host, None),
        _ => (text, None),
    }
}

impl HostPattern {
    fn parse(text: &str) -> Result<Self, &'static str> {
        if text == "*" {
            return Ok(Self::Any);
        }
        if text == "self" || text == "self.alt" {
            return Err("asks for requests to the application itself, which are not served here");
        }
        if let Some((address, bits)) = text.split_once('/') {
            let address: IpAddr = address.trim_matches(['[', ']']).parse().map_err(|_| "must not have a path")?;
            let bits: u8 = bits.parse().map_err(|_| "has a network length that is no number")?;
            let most = if address.is_ipv4() { 32 } else { 128 };
            return if bits <= most { Ok(Self::Network(address, bits)) } else { Err("has a network length that is too large") };
        }
        let domain = text.strip_prefix("*.").unwrap_or(text);
        if domain.contains('*') {
            return Err("has a `*` elsewhere than in front of a domain");
        }
        let name = HostName::parse(domain).ok_or("has no valid host")?;
        if let HostName::Domain(domain) = &name
            && (domain == CHAINING || domain.ends_with(".spin.internal"))
        {
            return Err("asks for service chaining, which is not served here: use `spin up`");
        }
        match (text.starts_with("*."), name) {
            (false, name) => Ok(Self::Exact(name)),
            (true, HostName::Domain(domain)) => Ok(Self::Subdomains(format!(".{domain}"))),
            (true, HostName::Address(_)) => Err("has a `*` in front of an address"),
        }
    }

    fn allows(&self, host: &HostName) -> bool {
        match (self, host) {
            (Self::Any, _) => true,
            (Self::Subdomains(suffix), HostName::Domain(domain)) => domain.ends_with(suffix),
            (Self::Exact(exact), host) => exact == host,
            (Self::Network(network, bits), HostName::Address(address)) => in_network(*network, *bits, *address),
            (Self::Subdomains(_), HostName::Address(_)) | (Self::Network(..), HostName::Domain(_)) => false,
        }
    }
}

impl HostName {
    fn parse(text: &str) -> Option<Self> {
        if let Some(inner) = text.strip_prefix('[') {
            return inner.strip_suffix(']')?.parse::<Ipv6Addr>().ok().map(|address| Self::Address(address.into()));
        }
        if let Ok(address) = text.parse::<IpAddr>() {
            return Some(Self::Address(address));
        }
        let label = |label: &str| {
            !label.is_empty() && label.len() <= 63 && label.chars().all(|c| c.is_ascii_alphanumeric() || c == '-' || c == '_')
        };
        // SECURITY: a last label of digits only would be an address in one of its odd spellings (`127.1`, `0x7f.1`).
        let numeric = text.rsplit('.').next().is_none_or(|last| last.starts_with(|c: char| c.is_ascii_digit()));
        (text.len() <= 253 && !numeric && text.split('.').all(label)).then(|| Self::Domain(text.to_ascii_lowercase()))
    }
}

impl PortPattern {
    fn parse(text: &str) -> Option<Self> {
        if text == "*" {
            return Some(Self::Any);
        }
        match text.split_once("..") {
            Some((start, end)) => Some(Self::Between(start.parse().ok()?..end.parse().ok()?)),
            None => text.parse().ok().map(Self::One),
        }
    }
}

fn in_network(network: IpAddr, bits: u8, address: IpAddr) -> bool {
    let (network, address, width) = match (network, address) {
        (IpAddr::V4(network), IpAddr::V4(address)) => (u128::from(u32::from(network)), u128::from(u32::from(address)), 32_u32),
        (IpAddr::V6(network), IpAddr::V6(address)) => (u128::from(network), u128::from(address), 128),
        _ => return false,
    };
    let low = width.saturating_sub(bits.into());
    // A shift by the whole width leaves nothing to compare: every address is in a network of length 0.
    network.checked_shr(low) == address.checked_shr(low)
}

fn default_port(scheme: &str) -> Option<u16> {
    match scheme {
        "http" => Some(80),
        "https" => Some(443),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn allows(pattern: &str, uri: &str) -> bool {
        [AllowedHost::parse(pattern).unwrap()].into_iter().collect::<AllowedHosts>().allows(&uri.parse().unwrap())
    }

    #[test]
    fn what_is_listed_is_allowed() {
        for (pattern, uri) in [
            ("http://api.example.com", "http://api.example.com/x"),
            ("http://api.example.com", "http://API.Example.com:80/x"),
            ("http://api.example.com/", "http://api.example.com/"),
            ("https://api.example.com:8443", "https://api.example.com:8443/"),
            ("*://api.example.com:*", "https://api.example.com:1/"),
            ("https://*:443", "https://any.where/"),
            ("https://*.example.com", "https://a.b.example.com/"),
            ("http://127.0.0.1:9000", "http://127.0.0.1:9000/"),
            ("http://[::1]:9000", "http://[::1]:9000/"),
            ("http://[::1]:9000", "http://[0:0::1]:9000/"),
            ("http://10.0.0.0/8:80", "http://10.200.3.4/"),
            ("http://localhost:9000..9010", "http://localhost:9009/"),
        ] {
            assert!(allows(pattern, uri), "{pattern} {uri}");
        }
    }

    #[test]
    fn what_is_not_listed_is_not_allowed() {
        for (pattern, uri) in [
            ("http://api.example.com", "https://api.example.com/"),
            ("http://api.example.com", "http://api.example.com:8080/"),
            ("http://api.example.com", "http://api.example.com.evil.test/"),
            ("http://api.example.com", "http://xapi.example.com/"),
            ("http://api.example.com", "http://api.example.com@evil.test/"),
            ("http://api.example.com", "http://evil.test@api.example.com/"),
            ("https://*.example.com", "https://example.com/"),
            ("https://*.example.com", "https://badexample.com/"),
            ("http://127.0.0.1:9000", "http://localhost:9000/"),
            ("http://127.0.0.1:9000", "http://127.1:9000/"),
            ("http://127.0.0.1:9000", "http://0x7f000001:9000/"),
            ("http://10.0.0.0/8:80", "http://11.0.0.1/"),
            ("http://10.0.0.0/8:80", "http://[::10]/"),
            ("http://localhost:9000..9010", "http://localhost:9010/"),
        ] {
            assert!(!allows(pattern, uri), "{pattern} {uri}");
        }
        assert!(!AllowedHosts::default().allows(&"http://a/".parse().unwrap()));
        assert!(!allows("*://*:*", "/relative"));
    }

    #[test]
    fn what_is_not_understood_is_refused() {
        for text in [
            "*",
            "",
            "example.com",
            "http://",
            "http://a/b",
            "http://a:b",
            "http://a*b",
            "http://*.*.a",
            "{http,https}://a",
            "ftp://a",
            "*://a",
            "http://self",
            "http://x.spin.internal",
            "http://*.spin.internal",
            "http://10.0.0.0/33:80",
            "http://1.2.3",
        ] {
            assert!(AllowedHost::parse(text).is_err(), "{text}");
        }
    }
}
