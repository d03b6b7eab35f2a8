//! An address the gate itself asks: key sets, metadata, status lists.

use std::fmt;

use crate::limits;
use crate::request::parse_authority;

/// `https://host[:port]/path[?query]`, or `http://…`. Without user, fragment or anything a reader could take two ways.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Url {
    https: bool,
    authority: String,
    path_with_query: String,
}

impl Url {
    /// Reads an address; `None` when it is not one.
    pub fn parse(text: &str) -> Option<Self> {
        let (https, rest) = match text.strip_prefix("https://") {
            Some(rest) => (true, rest),
            None => (false, text.strip_prefix("http://")?),
        };
        let (authority, path) = rest.find(['/', '?']).and_then(|at| rest.split_at_checked(at)).unwrap_or((rest, "/"));
        let plain = |b: u8| b.is_ascii_alphanumeric() || b"-._~!$&'()*+,;=:@/?%".contains(&b);
        if text.len() > limits::ISSUER_VALUE_BYTES || !path.starts_with('/') || !path.bytes().all(plain) {
            return None;
        }
        let (host, port) = parse_authority(authority, https)?;
        let authority = port.map_or_else(|| host.clone(), |port| format!("{host}:{port}"));
        Some(Self { https, authority, path_with_query: path.to_owned() })
    }

    /// Whether it is asked over TLS.
    pub fn https(&self) -> bool {
        self.https
    }

    /// Host, and the port where it is not the scheme's own.
    pub fn authority(&self) -> &str {
        &self.authority
    }

    /// Path and query.
    pub fn path_with_query(&self) -> &str {
        &self.path_with_query
    }

    /// Scheme, host, and the port where it is not the scheme's own: what an entry of `allowed_outbound_hosts` names.
    pub fn origin(&self) -> String {
        format!("{}://{}", if self.https { "https" } else { "http" }, self.authority)
    }

    /// Whether both have one scheme, host and port (RFC 6454).
    pub fn same_origin(&self, other: &Self) -> bool {
        self.https == other.https && self.authority == other.authority
    }
}

impl fmt::Display for Url {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}://{}{}", if self.https { "https" } else { "http" }, self.authority, self.path_with_query)
    }
}

#[cfg(test)]
mod tests {
    use super::Url;

    #[test]
    fn an_address_has_one_reading() {
        for (text, shown) in [
            ("https://id.example.com", "https://id.example.com/"),
            ("https://ID.example.com:443/jwks?a=b", "https://id.example.com/jwks?a=b"),
            ("http://127.0.0.1:8080/keys", "http://127.0.0.1:8080/keys"),
            ("https://[::1]:8443/", "https://[::1]:8443/"),
        ] {
            assert_eq!(Url::parse(text).unwrap().to_string(), shown);
        }
        for bad in [
            "",
            "id.example.com",
            "ftp://a/",
            "https:///a",
            "https://u@a/",
            "https://a/#f",
            "https://a/ b",
            "https://a\\b/",
            "https://a?b",
            "https://a/\u{e9}",
            "HTTPS://a/",
        ] {
            assert_eq!(Url::parse(bad), None, "{bad}");
        }
    }
}
