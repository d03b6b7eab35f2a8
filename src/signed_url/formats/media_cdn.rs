//! Google Media CDN signed requests: Ed25519 over the URL as it is sent.
//!
//! Source: Media CDN documentation, "Use signed requests" (exact URLs, `URLPrefix`).

use std::fmt;

use base64::Engine;
use base64::engine::general_purpose::{URL_SAFE, URL_SAFE_NO_PAD};
use ring::signature::Ed25519KeyPair;

use super::{FormatError, google_cdn};

/// A key of a keyset.
pub struct MediaCdnKey {
    name: String,
    pair: Ed25519KeyPair,
}

impl fmt::Debug for MediaCdnKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MediaCdnKey").field("name", &self.name).finish_non_exhaustive()
    }
}

impl MediaCdnKey {
    /// Reads a private key: 32 bytes in base64url.
    ///
    /// # Errors
    /// It is not one.
    pub fn new(name: String, key: &str) -> Result<Self, FormatError> {
        let seed = URL_SAFE_NO_PAD.decode(key.trim().trim_end_matches('=')).unwrap_or_default();
        let pair = Ed25519KeyPair::from_seed_unchecked(&seed).map_err(|_| FormatError::Key("not 32 bytes in base64url"))?;
        Ok(Self { name, pair })
    }

    /// The name of its keyset.
    pub fn key_name(&self) -> &str {
        &self.name
    }

    fn sign(&self, text: &str) -> String {
        URL_SAFE.encode(self.pair.sign(text.as_bytes()))
    }
}

/// A URL that counts until `expires`.
///
/// # Errors
/// Never so far; the others of its kind can fail.
pub fn sign_url(key: &MediaCdnKey, url: &str, expires: i64) -> Result<String, FormatError> {
    let mark = if url.contains('?') { '&' } else { '?' };
    let text = format!("{url}{mark}Expires={expires}&KeyName={}", key.name);
    Ok(format!("{text}&Signature={}", key.sign(&text)))
}

/// The parameters that grant every URL that begins with `prefix`, to be appended to each.
///
/// # Errors
/// `prefix` has a query.
pub fn sign_prefix(key: &MediaCdnKey, prefix: &str, expires: i64) -> Result<String, FormatError> {
    let text = google_cdn::policy(prefix, expires, &key.name, '&')?;
    Ok(format!("{text}&Signature={}", key.sign(&text)))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The vectors of Google's own samples (GoogleCloudPlatform/python-docs-samples, `media_cdn/snippets_test.py`).
    #[test]
    fn the_samples_of_the_documentation() {
        let key = MediaCdnKey::new("my-key".to_owned(), "BxwXXNjeGaoWqjr7GHEymRJkP4SaOC12dTGixk7Yr8I=").unwrap();
        let at = 1_650_848_400;
        for (url, signature) in [
            (
                "http://35.186.234.33/index.html?",
                "16-oE9GZ5U9S_LYrW8RplZhvMfI7RGtGRY0C-Ahh6YAwiJ0UaEi6rQuPxfm6R-cBPfs8MwRGiu2fAoS1JOoKCA==",
            ),
            ("http://www.example.com/?", "QhWcq48iCRTJFayWexw929QRxjOxE8ZPSQ38ybTxLhu77hmS_JB6GSougMu_-ejS_ZiGguqxT-HfgSFuy3f5DQ=="),
            (
                "http://www.example.com/some/path?some=query&another=param&",
                "Li_D6rxUh1Kj54JbmUuAms2wmjJHJUcMXJHgYxjL4LqYH02wSX-4gCayXgklNSDpfBfSHnbdC_wvcdyXvADGDw==",
            ),
        ] {
            let plain = &url[..url.len() - 1];
            assert_eq!(sign_url(&key, plain, at).unwrap(), format!("{url}Expires=1650848400&KeyName=my-key&Signature={signature}"));
        }
        for (prefix, expected) in PREFIXES {
            assert_eq!(sign_prefix(&key, prefix, at).unwrap(), *expected);
        }
        assert!(sign_prefix(&key, "http://a/?b", at).is_err());
        assert!(MediaCdnKey::new("k".to_owned(), "AAEC").is_err() && !format!("{key:?}").contains("Bxw"));
    }

    const PREFIXES: &[(&str, &str)] = &[
        (
            "http://35.186.234.33/",
            "URLPrefix=aHR0cDovLzM1LjE4Ni4yMzQuMzMv&Expires=1650848400&KeyName=my-key&Signature=mR4jNsWVn39ofSC5425SXwZVzHAAixemdcRGHgPuO1V1Fl7lJs2Ws5aPOGp-MhbDinFYUkutHh-I9c5Du4jtAA==",
        ),
        (
            "http://www.example.com/",
            "URLPrefix=aHR0cDovL3d3dy5leGFtcGxlLmNvbS8=&Expires=1650848400&KeyName=my-key&Signature=gFGKa4T8Fn1GiTMp1VBd6sSfjRKcPEgTB1k8mn48yXyzg4-Dfbrk-HJeYFGFznZvkF_eSPg1K03hqbMDkFTiAg==",
        ),
        (
            "http://www.example.com/some/",
            "URLPrefix=aHR0cDovL3d3dy5leGFtcGxlLmNvbS9zb21lLw==&Expires=1650848400&KeyName=my-key&Signature=pVN8HKc6Be-PDczd9NjqSui3HHaoCLUN5iDv6JhQ77uKigsCih6z_cMTGjeXhgGASh1zr-ZPrOnxWJxxGWxsBg==",
        ),
    ];
}
