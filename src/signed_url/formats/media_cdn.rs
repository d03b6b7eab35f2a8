//! Google Media CDN signed requests: Ed25519 over the URL as it is sent.
//!
//! Source: Media CDN documentation, "Generate signatures" (exact URLs, `URLPrefix`, signed cookies).

use std::fmt;

use base64::Engine;
use base64::engine::general_purpose::{URL_SAFE, URL_SAFE_NO_PAD};
use ring::signature::Ed25519KeyPair;
use x509_parser::pem::Pem;

use super::{FormatError, google_cdn, unreserved};

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
    /// Reads a private key: 32 bytes in base64url, or PKCS #8 in PEM as `openssl genpkey -algorithm ed25519` writes it.
    ///
    /// # Errors
    /// It is not one.
    pub fn new(name: String, key: &str) -> Result<Self, FormatError> {
        if key.trim_start().starts_with("-----BEGIN ") {
            let block = Pem::iter_from_buffer(key.as_bytes()).next().and_then(Result::ok).filter(|block| block.label == "PRIVATE KEY");
            // OpenSSL leaves the public key out (RFC 8410, section 7), so there is nothing to check it against.
            let pair = block.and_then(|block| Ed25519KeyPair::from_pkcs8_maybe_unchecked(&block.contents).ok());
            return Ok(Self { name, pair: pair.ok_or(FormatError::Key("not an unencrypted Ed25519 key in PEM"))? });
        }
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
/// `url` has a parameter of the service's own.
pub fn sign_url(key: &MediaCdnKey, url: &str, expires: i64) -> Result<String, FormatError> {
    unreserved(url, &google_cdn::RESERVED)?;
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

/// The value of the cookie `Edge-Cache-Cookie`.
///
/// # Errors
/// `prefix` has a query.
pub fn cookie(key: &MediaCdnKey, prefix: &str, expires: i64) -> Result<String, FormatError> {
    let text = google_cdn::policy(prefix, expires, &key.name, ':')?;
    Ok(format!("{text}:Signature={}", key.sign(&text)))
}

#[cfg(test)]
mod tests {
    use base64::engine::general_purpose::STANDARD;

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
        // Padded here, as Google's sample has it since; the sample's printed value is not.
        for (prefix, expected) in COOKIES {
            assert_eq!(cookie(&key, prefix, at).unwrap(), format!("{expected}=="));
        }
        assert_eq!(sign_url(&key, "http://a/?KeyName=other", at), Err(FormatError::Reserved("KeyName")));
        assert!(sign_prefix(&key, "http://a/?b", at).is_err());
        assert!(MediaCdnKey::new("k".to_owned(), "AAEC").is_err() && !format!("{key:?}").contains("Bxw"));
    }

    #[test]
    fn a_key_in_pem_is_the_same_key() {
        let seed = "BxwXXNjeGaoWqjr7GHEymRJkP4SaOC12dTGixk7Yr8I=";
        let mut der = vec![0x30, 0x2e, 0x02, 0x01, 0x00, 0x30, 0x05, 0x06, 0x03, 0x2b, 0x65, 0x70, 0x04, 0x22, 0x04, 0x20];
        der.extend(STANDARD.decode(seed).unwrap());
        let pem = |label: &str, der: &[u8]| format!("-----BEGIN {label}-----\n{}\n-----END {label}-----\n", STANDARD.encode(der));
        let url = |key: &MediaCdnKey| sign_url(key, "https://a/b", 1).unwrap();
        let new = |text: &str| MediaCdnKey::new("k".to_owned(), text);
        assert_eq!(url(&new(&pem("PRIVATE KEY", &der)).unwrap()), url(&new(seed).unwrap()));
        for bad in [pem("PUBLIC KEY", &der), pem("PRIVATE KEY", &der[1..]), "-----BEGIN PRIVATE KEY-----".to_owned()] {
            assert!(matches!(new(&bad), Err(FormatError::Key(_))), "{bad}");
        }
    }

    const COOKIES: &[(&str, &str)] = &[
        (
            "http://35.186.234.33/index.html",
            "URLPrefix=aHR0cDovLzM1LjE4Ni4yMzQuMzMvaW5kZXguaHRtbA==:Expires=1650848400:KeyName=my-key:Signature=kTJ4QVEax5TZmxypq8pnIkjky-s_UtKGPSCd-nxqMYfwqr5HunAy-7XumWc3asRCHI2_ikVQXs7IDXJ9gV28Dg",
        ),
        (
            "http://www.example.com/foo/",
            "URLPrefix=aHR0cDovL3d3dy5leGFtcGxlLmNvbS9mb28v:Expires=1650848400:KeyName=my-key:Signature=I0BnupL1tKbXklf1rK50nlC9JMh4HBLogTKByatOFRvALofT159BegB26Z2WmrI-ZAgAp8Q-1__bWtFdMAqCAA",
        ),
    ];

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
