//! Where a permitted request goes.

use thiserror::Error;

/// Where a permitted request is carried.
///
/// The one seam for further forms: a private component of the same application and the next handler behind a middleware
/// join as variants here and as arms of the shell's `dispatch`, and nothing else changes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Destination {
    /// An HTTP origin elsewhere.
    Origin(Origin),
}

/// The HTTP origin of a gateway: scheme and authority.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Origin {
    https: bool,
    authority: String,
}

/// Why an `origin` variable is unusable. Never shown to a caller.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum OriginError {
    /// The scheme is neither `http` nor `https`.
    #[error("`origin` must start with `http://` or `https://`")]
    Scheme,
    /// There is more, or less, than an authority after the scheme.
    #[error("`origin` must be a scheme and a host with an optional port, without user, path, query or fragment")]
    Authority,
}

impl Origin {
    /// Reads `http(s)://host[:port]`, with an optional single `/` at the end.
    ///
    /// # Errors
    /// [`OriginError`] when it is anything else.
    pub fn parse(text: &str) -> Result<Self, OriginError> {
        let (https, rest) = match text.strip_prefix("https://") {
            Some(rest) => (true, rest),
            None => (false, text.strip_prefix("http://").ok_or(OriginError::Scheme)?),
        };
        let authority = rest.strip_suffix('/').unwrap_or(rest);
        let plain = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'-' | b'_' | b':' | b'[' | b']');
        if authority.is_empty() || !authority.bytes().all(plain) {
            return Err(OriginError::Authority);
        }
        Ok(Self { https, authority: authority.to_owned() })
    }

    /// Whether to use TLS.
    pub fn https(&self) -> bool {
        self.https
    }

    /// Host and port.
    pub fn authority(&self) -> &str {
        &self.authority
    }
}

#[cfg(test)]
mod tests {
    use super::{Origin, OriginError};

    #[test]
    fn an_origin_is_a_scheme_and_an_authority() {
        for (text, https, authority) in [
            ("http://127.0.0.1:8080", false, "127.0.0.1:8080"),
            ("https://api.example.com/", true, "api.example.com"),
            ("http://[::1]:80", false, "[::1]:80"),
        ] {
            let origin = Origin::parse(text).unwrap();
            assert_eq!((origin.https(), origin.authority()), (https, authority));
        }
        for text in ["http://a/b", "http://u@a", "http://a?b", "http://a#b", "http://", "http:///", "http://a//"] {
            assert_eq!(Origin::parse(text), Err(OriginError::Authority), "{text}");
        }
        for text in ["", "a", "ftp://a", "HTTP://a"] {
            assert_eq!(Origin::parse(text), Err(OriginError::Scheme), "{text}");
        }
    }
}
