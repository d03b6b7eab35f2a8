//! Formats that other services verify, each from its published specification. Pure: what is signed, with what, and when are given.
//!
//! One function makes one URL. Which URL somebody may have is decided elsewhere; here it is only written and signed.

pub mod akamai;
pub mod aws_sigv4;
pub mod cloudfront;
pub mod google_cdn;
pub mod media_cdn;

use thiserror::Error;

/// Why a URL cannot be made, or a key cannot be used. Never holds a part of a key.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum FormatError {
    /// A key is not what the service takes.
    #[error("the key cannot be used: {0}")]
    Key(&'static str),
    /// The service allows no lifetime like this.
    #[error("the service allows 1 to 604800 seconds")]
    Lifetime,
    /// The time cannot be written.
    #[error("the time is out of range")]
    Time,
    /// The address holds a character that means something else to the service.
    #[error("`{0}` in the address means something else to the service")]
    Wildcard(char),
    /// Signing failed.
    #[error("the key did not sign")]
    Signing,
}

/// Percent-encodes everything but unreserved characters (RFC 3986, section 2.3) and those of `also`, with upper-case digits.
pub(super) fn encoded(text: &str, also: &[u8]) -> String {
    let mut out = String::with_capacity(text.len());
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) || also.contains(&byte) {
            out.push(char::from(byte));
        } else {
            out.push_str(&format!("%{byte:02X}"));
        }
    }
    out
}

/// Lower-case hexadecimal digits.
pub(super) fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |text, byte| format!("{text}{byte:02x}"))
}
