//! Akamai EdgeAuth 2.0 tokens ("Auth Token 2.0 Verification"): fields with `~` between them and an HMAC-SHA-256 over them.
//!
//! Source: Akamai's reference implementation, `akamai-edgeauth` 0.3.2 (PyPI), with which it agrees byte for byte.

use std::fmt;

use ring::hmac;

use super::FormatError;
use crate::bundle::hex;

/// A key: an even number of hexadecimal digits, as the property has it.
pub struct AkamaiKey(hmac::Key);

impl fmt::Debug for AkamaiKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("AkamaiKey(…)")
    }
}

impl AkamaiKey {
    /// Reads a key.
    ///
    /// # Errors
    /// It is not one, or has fewer than 16 bytes.
    pub fn new(key: &str) -> Result<Self, FormatError> {
        let digit = |c: u8| char::from(c).to_digit(16).and_then(|digit| u8::try_from(digit).ok());
        let pairs = key.as_bytes().chunks(2).map(|pair| match *pair {
            [high, low] => digit(high)?.checked_mul(16)?.checked_add(digit(low)?),
            _ => None,
        });
        let bytes: Option<Vec<u8>> = pairs.collect();
        let bytes = bytes.filter(|bytes| bytes.len() >= 16).ok_or(FormatError::Key("not 32 or more hexadecimal digits"))?;
        Ok(Self(hmac::Key::new(hmac::HMAC_SHA256, &bytes)))
    }
}

/// What a token is for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Scope {
    /// One path, which is signed and not shown.
    Url(String),
    /// An access control list: a path, of which `*` at the end stands for everything below.
    Acl(String),
}

/// What a token says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Token {
    /// What it is for.
    pub scope: Scope,
    /// When it begins to count.
    pub start: Option<i64>,
    /// When it ends.
    pub expires: i64,
    /// The address it counts from.
    pub ip: Option<String>,
    /// Whether values are encoded before they are signed (the property's "Escape token input").
    pub escape: bool,
}

/// The token's text.
///
/// # Errors
/// The path has a character that delimits fields or lists, or stands for others.
pub fn token(key: &AkamaiKey, token: &Token) -> Result<String, FormatError> {
    let Token { scope, start, expires, ip, escape } = token;
    let (Scope::Url(path) | Scope::Acl(path)) = scope;
    let literal = match scope {
        Scope::Url(path) => path.as_str(),
        Scope::Acl(path) => path.strip_suffix('*').unwrap_or(path),
    };
    // SECURITY: `~` ends a field and `!` an entry of a list; `*` and `?` in a list stand for anything.
    let odd: &[char] = if matches!(scope, Scope::Acl(_)) { &['~', '!', '*', '?'] } else { &['~', '!'] };
    if let Some(odd) = odd.iter().find(|c| literal.contains(**c)) {
        return Err(FormatError::Wildcard(*odd));
    }
    let escaped = |text: &str| if *escape { escape_early(text) } else { text.to_owned() };
    let mut fields = vec![];
    fields.extend(ip.as_ref().map(|ip| format!("ip={}", escaped(ip))));
    fields.extend(start.map(|start| format!("st={start}")));
    fields.push(format!("exp={expires}"));
    let mut signed = fields.clone();
    match scope {
        Scope::Acl(acl) => {
            fields.push(format!("acl={acl}"));
            signed.push(format!("acl={acl}"));
        }
        Scope::Url(_) => signed.push(format!("url={}", escaped(path))),
    }
    let mac = hmac::sign(&key.0, signed.join("~").as_bytes());
    fields.push(format!("hmac={}", hex(mac.as_ref())));
    Ok(fields.join("~"))
}

/// As a form is encoded, with lower-case digits.
fn escape_early(text: &str) -> String {
    let mut out = String::new();
    for byte in text.bytes() {
        match byte {
            b' ' => out.push('+'),
            byte if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) => out.push(char::from(byte)),
            byte => out.push_str(&format!("%{byte:02x}")),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use serde_json::Value;

    use super::*;

    /// Made by Akamai's own: `tests/data/signed_urls/make-akamai.py`.
    #[test]
    fn every_token_is_the_one_the_reference_makes() {
        let vectors: Value = serde_json::from_str(include_str!("../../../tests/data/signed_urls/akamai.json")).unwrap();
        let cases = vectors["cases"].as_array().unwrap();
        assert!(cases.len() > 50, "{}", cases.len());
        for case in cases {
            let key = AkamaiKey::new(case["key"].as_str().unwrap()).unwrap();
            let path = case["path"].as_str().unwrap().to_owned();
            let one = Token {
                scope: if case["mode"] == "acl" { Scope::Acl(path) } else { Scope::Url(path) },
                start: case["start"].as_i64(),
                expires: case["expires"].as_i64().unwrap(),
                ip: case["ip"].as_str().map(str::to_owned),
                escape: case["escape"].as_bool().unwrap(),
            };
            assert_eq!(token(&key, &one).unwrap(), case["token"].as_str().unwrap(), "{case}");
        }
    }

    #[test]
    fn what_would_mean_something_else_is_refused() {
        let key = AkamaiKey::new(&"ab".repeat(16)).unwrap();
        let make = |scope| token(&key, &Token { scope, start: None, expires: 1, ip: None, escape: true });
        for good in [Scope::Url("/a/b".to_owned()), Scope::Url("/a*b".to_owned()), Scope::Acl("/a/*".to_owned())] {
            make(good).unwrap();
        }
        for (bad, odd) in [
            (Scope::Url("/a~b".to_owned()), '~'),
            (Scope::Url("/a!b".to_owned()), '!'),
            (Scope::Acl("/a*/b".to_owned()), '*'),
            (Scope::Acl("/a?/*".to_owned()), '?'),
            (Scope::Acl("/a!/b*".to_owned()), '!'),
        ] {
            assert_eq!(make(bad), Err(FormatError::Wildcard(odd)));
        }
        for bad in ["", "ab", &"a".repeat(33), &"zz".repeat(16)] {
            assert!(AkamaiKey::new(bad).is_err(), "{bad}");
        }
    }
}
