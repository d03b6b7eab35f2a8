//! The query: kept raw for forwarding, decoded into parameters for the decision.

use super::percent;
use crate::decision::{Denial, Reason};
use crate::limits;

/// Refuses a query that is too long before anything decodes it.
pub(super) fn size(query: &str) -> Result<(), Denial> {
    if query.len() > limits::QUERY_BYTES {
        return Err(Denial::new(Reason::RequestQueryTooLong, format!("the query has {} bytes", query.len())));
    }
    let parameters = pieces(query).count();
    if parameters > limits::QUERY_PARAMETERS {
        return Err(Denial::new(Reason::RequestQueryTooLong, format!("the query has {parameters} parameters")));
    }
    Ok(())
}

/// The decoded parameters in order (`application/x-www-form-urlencoded`).
///
/// Split at `&` only: a reader that also splits at `;` is one the standard no longer knows. A name without `=` has an
/// empty value.
pub(super) fn parse(query: &str) -> Result<Vec<(String, String)>, Denial> {
    let parameter = |piece: &str| {
        let (name, value) = piece.split_once('=').unwrap_or((piece, ""));
        Ok((decode(name)?, decode(value)?))
    };
    pieces(query).map(parameter).collect()
}

fn pieces(query: &str) -> impl Iterator<Item = &str> {
    query.split('&').filter(|piece| !piece.is_empty())
}

fn decode(text: &str) -> Result<String, Denial> {
    let invalid = |what: &str| Denial::new(Reason::RequestQueryInvalid, what);
    let mut out = Vec::with_capacity(text.len());
    let mut bytes = text.bytes();
    while let Some(byte) = bytes.next() {
        out.push(match byte {
            b'%' => percent::octet(&mut bytes).ok_or_else(|| invalid("`%` is not followed by two hexadecimal digits"))?,
            b'+' => b' ',
            byte if is_allowed(byte) => byte,
            _ => return Err(invalid("a character is not allowed there")),
        });
    }
    String::from_utf8(out).map_err(|_| invalid("a decoded name or value is not UTF-8"))
}

/// Whether a byte may stand as itself in a query.
///
/// RFC 3986 (`pchar / "/" / "?"`), and eight characters that browsers and common clients send as they are (the WHATWG
/// URL query percent-encode set leaves all but `"` alone): `filter[name]=x`, JSON, templates. None of them delimits
/// anything in a query, so no two readers disagree. Space, `#`, `<`, `>`, `\`, controls and raw non-ASCII stay refused:
/// those are what URL readers cut at, encode or rewrite.
const fn is_allowed(byte: u8) -> bool {
    percent::is_pchar(byte) || matches!(byte, b'/' | b'?' | b'[' | b']' | b'{' | b'}' | b'|' | b'^' | b'`' | b'"')
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::{parse, size};
    use crate::decision::Reason;
    use crate::limits;

    #[test]
    fn parameters_are_decoded_in_order() {
        let cases: &[(&str, &[(&str, &str)])] = &[
            ("", &[]),
            ("&&", &[]),
            ("a", &[("a", "")]),
            ("a=", &[("a", "")]),
            ("=v", &[("", "v")]),
            ("a=1&b=2&a=3", &[("a", "1"), ("b", "2"), ("a", "3")]),
            ("&a=1&&b", &[("a", "1"), ("b", "")]),
            ("a=b=c", &[("a", "b=c")]),
            ("a=1;b=2", &[("a", "1;b=2")]),
            ("q=a+b%20c%2Bd", &[("q", "a b c+d")]),
            ("q=%26%3D%25", &[("q", "&=%")]),
            ("%71=caf%C3%A9", &[("q", "café")]),
            ("f[a]={\"x\":[1|2^3`]}", &[("f[a]", "{\"x\":[1|2^3`]}")]),
            ("u=http://h/p?x:@", &[("u", "http://h/p?x:@")]),
        ];
        for (raw, expected) in cases {
            let expected: Vec<_> = expected.iter().map(|(n, v)| ((*n).to_owned(), (*v).to_owned())).collect();
            assert_eq!(parse(raw).unwrap(), expected, "{raw}");
        }
    }

    #[test]
    fn what_readers_disagree_about_is_refused() {
        for (accepted, refused) in [
            ("a=%20", "a=%2"),
            ("a=%20", "a=%"),
            ("a=%20", "%zz=a"),
            ("a=%20", "a=%2&b=0"),
            ("a=%C3%A9", "a=%C3"),
            ("a=%C3%A9", "a=%C3&b=%A9"),
            ("a=%C3%A9", "a=é"),
            ("a+b", "a b"),
            ("a=%23", "a=#"),
            ("a=%3C", "a=<"),
            ("a=%3E", "a=>"),
            ("a=%5C", "a=\\"),
            ("a=%00", "a=\0"),
            ("a=%0A", "a=\n"),
            ("a=%7F", "a=\x7f"),
        ] {
            assert!(parse(accepted).is_ok(), "{accepted}");
            assert_eq!(parse(refused).unwrap_err().reason, Reason::RequestQueryInvalid, "{refused:?}");
        }
    }

    #[test]
    fn bounds_hold_to_the_byte_and_parameter() {
        let longest = "a".repeat(limits::QUERY_BYTES);
        assert!(size(&longest).is_ok());
        assert_eq!(size(&format!("{longest}a")).unwrap_err().reason, Reason::RequestQueryTooLong);
        let most = "a&".repeat(limits::QUERY_PARAMETERS);
        assert!(size(&most).is_ok());
        assert_eq!(size(&format!("{most}a")).unwrap_err().reason, Reason::RequestQueryTooLong);
        assert!(size(&"&".repeat(limits::QUERY_BYTES)).is_ok());
    }

    proptest! {
        #[test]
        fn any_string_is_read_without_panic_and_always_alike(raw in prop_oneof![any::<String>(), "[a-c=&+%0-9;]{0,24}"]) {
            prop_assert_eq!(parse(&raw), parse(&raw));
        }

        #[test]
        fn encoded_parameters_come_back(pairs in prop::collection::vec(any::<(String, String)>(), 0..6)) {
            let encode = |text: &str| text.bytes().map(|b| format!("%{b:02X}")).collect::<String>();
            let raw: Vec<_> = pairs.iter().map(|(n, v)| format!("{}={}", encode(n), encode(v))).collect();
            prop_assert_eq!(parse(&raw.join("&")).unwrap(), pairs);
        }
    }
}
