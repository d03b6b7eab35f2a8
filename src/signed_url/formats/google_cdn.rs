//! Google Cloud CDN signed URLs and cookies: HMAC-SHA1 over the URL as it is sent.
//!
//! Source: Cloud CDN documentation, "Use signed URLs" and "Use signed cookies". SHA-1 is what the service verifies; for an HMAC it
//! is not broken.

use std::fmt;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE;
use ring::hmac;

use super::{FormatError, unreserved};

/// Parameters the service reads itself (`gcloud compute sign-url`, and "Use signed URLs" for `URLPrefix`).
pub(super) const RESERVED: [&str; 4] = ["Expires", "KeyName", "Signature", "URLPrefix"];

/// A key of a backend: 16 bytes and a name.
pub struct GoogleCdnKey {
    name: String,
    key: hmac::Key,
}

impl fmt::Debug for GoogleCdnKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("GoogleCdnKey").field("name", &self.name).finish_non_exhaustive()
    }
}

impl GoogleCdnKey {
    /// Reads a key as it is uploaded: 16 bytes in base64url.
    ///
    /// # Errors
    /// It is not one.
    pub fn new(name: String, key: &str) -> Result<Self, FormatError> {
        let bytes = URL_SAFE.decode(key.trim()).ok().filter(|bytes| bytes.len() == 16);
        let bytes = bytes.ok_or(FormatError::Key("not 16 bytes in base64url"))?;
        Ok(Self { name, key: hmac::Key::new(hmac::HMAC_SHA1_FOR_LEGACY_USE_ONLY, &bytes) })
    }

    /// Its name at the backend.
    pub fn key_name(&self) -> &str {
        &self.name
    }

    fn sign(&self, text: &str) -> String {
        URL_SAFE.encode(hmac::sign(&self.key, text.as_bytes()))
    }
}

/// A URL that counts until `expires`.
///
/// # Errors
/// `url` has a parameter of the service's own.
pub fn sign_url(key: &GoogleCdnKey, url: &str, expires: i64) -> Result<String, FormatError> {
    unreserved(url, &RESERVED)?;
    let mark = if url.contains('?') { '&' } else { '?' };
    let text = format!("{url}{mark}Expires={expires}&KeyName={}", key.name);
    Ok(format!("{text}&Signature={}", key.sign(&text)))
}

/// The parameters that grant every URL that begins with `prefix`, to be appended to each.
///
/// # Errors
/// `prefix` has a query.
pub fn sign_prefix(key: &GoogleCdnKey, prefix: &str, expires: i64) -> Result<String, FormatError> {
    let text = policy(prefix, expires, &key.name, '&')?;
    Ok(format!("{text}&Signature={}", key.sign(&text)))
}

/// The value of the cookie `Cloud-CDN-Cookie`.
///
/// # Errors
/// `prefix` has a query.
pub fn cookie(key: &GoogleCdnKey, prefix: &str, expires: i64) -> Result<String, FormatError> {
    let text = policy(prefix, expires, &key.name, ':')?;
    Ok(format!("{text}:Signature={}", key.sign(&text)))
}

pub(super) fn policy(prefix: &str, expires: i64, name: &str, between: char) -> Result<String, FormatError> {
    if let Some(odd) = ['?', '#'].into_iter().find(|c| prefix.contains(*c)) {
        return Err(FormatError::Wildcard(odd));
    }
    Ok(format!("URLPrefix={}{between}Expires={expires}{between}KeyName={name}", URL_SAFE.encode(prefix)))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The vectors of Google's own samples (GoogleCloudPlatform/python-docs-samples, `cdn/snippets_test.py`).
    #[test]
    fn the_samples_of_the_documentation() {
        let key = GoogleCdnKey::new("my-key".to_owned(), "nZtRohdNF9m3cKM24IcK4w==").unwrap();
        let at = 1_549_751_401;
        for (url, signature) in [
            ("http://35.186.234.33/index.html?", "CRFqQnVfFyiUyR63OQf-HRUpIwc="),
            ("http://www.example.com/?", "OqDUFfHpN5Vxga6r80bhsgxKves="),
            ("http://www.example.com/some/path?some=query&another=param&", "9Q9TCxSju8-W5nUkk5CuTrun2_o="),
        ] {
            let plain = &url[..url.len() - 1];
            assert_eq!(sign_url(&key, plain, at).unwrap(), format!("{url}Expires=1549751401&KeyName=my-key&Signature={signature}"));
        }
        for (prefix, encoded, signature) in [
            ("http://35.186.234.33/", "aHR0cDovLzM1LjE4Ni4yMzQuMzMv", "j7HYgoQ8dIOVsW3Rw4cpkjWfRMA="),
            ("http://www.example.com/", "aHR0cDovL3d3dy5leGFtcGxlLmNvbS8=", "UdT5nVks6Hh8QFMJI9kmXuXYBk0="),
            ("http://www.example.com/some/", "aHR0cDovL3d3dy5leGFtcGxlLmNvbS9zb21lLw==", "3th4ThmpS95I1TAKYyYSCSq3dnQ="),
        ] {
            let expected = format!("URLPrefix={encoded}&Expires=1549751401&KeyName=my-key&Signature={signature}");
            assert_eq!(sign_prefix(&key, prefix, at).unwrap(), expected);
        }
        let cookie = cookie(&key, "http://www.example.com/foo/", at).unwrap();
        assert_eq!(
            cookie,
            "URLPrefix=aHR0cDovL3d3dy5leGFtcGxlLmNvbS9mb28v:Expires=1549751401:KeyName=my-key:Signature=Z9uYAu73YHioRScZDxnP-TnS274="
        );
        assert!(sign_prefix(&key, "http://a/?b", at).is_err());
        assert_eq!(sign_url(&key, "http://a/?Expires=9999999999", at), Err(FormatError::Reserved("Expires")));
        assert!(GoogleCdnKey::new("k".to_owned(), "AAEC").is_err() && !format!("{key:?}").contains("nZ"));
    }
}
