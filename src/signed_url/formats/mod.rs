//! Formats that other services verify, each from its published specification. Pure: what is signed, with what, and when are given.
//!
//! One function makes one URL. Which URL somebody may have is decided elsewhere; here it is only written and signed.

pub mod akamai;
pub mod aws_sigv4;
pub mod cloudfront;
pub mod google_cdn;
pub mod media_cdn;

use thiserror::Error;

use crate::request::percent_decoded;

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
    /// The address already has a parameter the service reads itself.
    #[error("the address has `{0}`, a parameter of the service's own")]
    Reserved(&'static str),
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

/// Refuses an address whose query has one of the `names`, also where they are percent-encoded.
///
/// SECURITY: the signature would cover both, and which of two the service believes is not said: whoever asks for a URL could write
/// its end themselves. Google (`gcloud compute sign-url`) and AWS (`aws cloudfront sign`) both forbid it.
pub(super) fn unreserved(url: &str, names: &[&'static str]) -> Result<(), FormatError> {
    let query = url.split_once('?').map_or("", |(_, query)| query);
    for parameter in query.split('&') {
        let name = percent_decoded(parameter.split('=').next().unwrap_or_default());
        if let Some(name) = names.iter().find(|reserved| reserved.as_bytes() == name) {
            return Err(FormatError::Reserved(name));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_parameter_of_the_services_own_is_found() {
        for bad in ["https://a/?Expires=1", "https://a/?b&Expires", "https://a/?%45xpire%73=1&c=d", "https://a/?b=?&Expires=1"] {
            assert_eq!(unreserved(bad, &["Expires"]), Err(FormatError::Reserved("Expires")), "{bad}");
        }
        for good in ["https://a/Expires=1", "https://a/?b=Expires", "https://a/?expires=1", "https://a/?Expires2=1", "https://a/?%4=1"] {
            assert_eq!(unreserved(good, &["Expires"]), Ok(()), "{good}");
        }
    }

    proptest! {
        #[test]
        fn what_is_encoded_is_decoded_again(text in any::<String>()) {
            let encoded = encoded(&text, b"/");
            prop_assert!(encoded.bytes().all(|b| b.is_ascii_alphanumeric() || b"-._~/%".contains(&b)));
            prop_assert_eq!(percent_decoded(&encoded), text.into_bytes());
        }

        #[test]
        fn no_spelling_of_a_reserved_name_passes(before in "[a-z=&%]{0,12}", spelt in prop::collection::vec(any::<bool>(), 7)) {
            let name: String = "Expires".chars().zip(spelt).map(|(c, plain)| if plain { c.to_string() } else { format!("%{:02x}", c as u32) }).collect();
            let refused = unreserved(&format!("https://a/?{before}&{name}=1"), &["Expires"]);
            prop_assert_eq!(refused, Err(FormatError::Reserved("Expires")));
        }
    }
}
