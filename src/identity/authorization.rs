//! The `Authorization` field: `Bearer` (RFC 6750, section 2.1) or `DPoP` (RFC 9449, section 7.1), one space, one token.

use crate::decision::{Denial, Reason};
use crate::limits;

/// Schemes that may be named in a record. Anything else might be a secret in the wrong place.
const KNOWN_SCHEMES: [&str; 11] =
    ["AWS4-HMAC-SHA256", "Basic", "Digest", "GNAP", "HOBA", "Mutual", "Negotiate", "NTLM", "OAuth", "PrivateToken", "vapid"];

/// How a token was sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Scheme {
    /// `Bearer`: whoever has it may use it.
    Bearer,
    /// `DPoP`: with a proof of possession of its key.
    Dpop,
}

/// The scheme and the token of the field.
pub(super) fn read(value: &[u8]) -> Result<(Scheme, &str), Denial> {
    let malformed = |detail: &str| Err(Denial::new(Reason::AuthMalformed, detail));
    let (scheme, rest) = match value.iter().position(|b| *b == b' ').and_then(|at| value.split_at_checked(at)) {
        Some((scheme, rest)) => (scheme, rest.split_first().map(|(_, rest)| rest)),
        None => (value, None),
    };
    if scheme.is_empty() || !scheme.iter().all(|b| is_tchar(*b)) {
        return malformed("no scheme");
    }
    let sent = match scheme {
        scheme if scheme.eq_ignore_ascii_case(b"Bearer") => Some(Scheme::Bearer),
        scheme if scheme.eq_ignore_ascii_case(b"DPoP") => Some(Scheme::Dpop),
        _ => None,
    };
    let Some(sent) = sent else {
        let known = KNOWN_SCHEMES.into_iter().find(|known| scheme.eq_ignore_ascii_case(known.as_bytes()));
        return Err(Denial::new(
            Reason::AuthSchemeUnsupported,
            known.map_or("another scheme".to_owned(), |name| format!("scheme `{name}`")),
        ));
    };
    let Some(token) = rest.filter(|token| !token.is_empty()) else {
        return malformed("no token");
    };
    if token.len() > limits::TOKEN_BYTES {
        return Err(Denial::new(Reason::JwtTooLarge, format!("the token has {} bytes", token.len())));
    }
    match std::str::from_utf8(token) {
        Ok(text) if is_token68(token) => Ok((sent, text)),
        _ => malformed("not one token after the scheme"),
    }
}

/// RFC 9110, section 5.6.2.
fn is_tchar(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte)
}

/// RFC 9110, section 11.2: letters, digits, `-._~+/`, then any number of `=`.
fn is_token68(token: &[u8]) -> bool {
    let padding = token.iter().rev().take_while(|b| **b == b'=').count();
    let body = token.get(..token.len().saturating_sub(padding)).unwrap_or_default();
    !body.is_empty() && body.iter().all(|b| b.is_ascii_alphanumeric() || b"-._~+/".contains(b))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::{Scheme, read};
    use crate::decision::Reason;
    use crate::limits;

    #[test]
    fn one_scheme_one_space_one_token() {
        for scheme in ["Bearer", "bearer", "BEARER", "bEaReR"] {
            assert_eq!(read(format!("{scheme} a.b-c_~+/1==").as_bytes()), Ok((Scheme::Bearer, "a.b-c_~+/1==")));
        }
        let at_limit = "a".repeat(limits::TOKEN_BYTES);
        assert_eq!(read(format!("Bearer {at_limit}").as_bytes()), Ok((Scheme::Bearer, at_limit.as_str())));
    }

    #[test]
    fn anything_else_is_malformed() {
        for value in [
            "",
            " ",
            "Bearer",
            "Bearer ",
            "Bearer  a",
            " Bearer a",
            "Bearer a ",
            "Bearer a b",
            "Bearer\ta",
            "Bearer,a",
            "Bearer a,b",
            "Bearer =",
            "Bearer a=b",
            "Bearer a\u{e9}",
            "Bearer \"a\"",
            "Bearer a\0",
            "B\u{e9}arer a",
        ] {
            assert_eq!(read(value.as_bytes()).unwrap_err().reason, Reason::AuthMalformed, "{value:?}");
        }
        assert_eq!(read(b"Bearer \xff").unwrap_err().reason, Reason::AuthMalformed);
    }

    #[test]
    fn another_scheme_is_told_apart_and_its_secret_is_not_recorded() {
        for value in ["Basic YWxpY2U6c2VjcmV0", "Negotiate", "BearerX secret", "secret", "Token secret", "Basic  secret"] {
            let denial = read(value.as_bytes()).unwrap_err();
            assert_eq!(denial.reason, Reason::AuthSchemeUnsupported, "{value:?}");
            assert!(!denial.to_string().contains("secret") && !denial.to_string().contains("YWxp"), "{denial}");
        }
        assert_eq!(read(b"basic x").unwrap_err().detail, "scheme `Basic`");
    }

    #[test]
    fn a_token_over_the_limit_is_too_large() {
        let value = format!("Bearer {}", "a".repeat(limits::TOKEN_BYTES + 1));
        assert_eq!(read(value.as_bytes()).unwrap_err().reason, Reason::JwtTooLarge);
    }

    proptest! {
        #[test]
        fn no_bytes_make_it_panic(value in proptest::collection::vec(any::<u8>(), 0..64)) {
            let _ = read(&value);
        }
    }
}
