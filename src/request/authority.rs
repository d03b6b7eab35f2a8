//! The host a request is for, from its target and its `Host` field.

use std::net::{Ipv4Addr, Ipv6Addr};

use crate::decision::{Denial, Reason};
use crate::limits;

/// The host and port of a request. Where both the target and `Host` name one they must agree.
pub(super) fn read(authority: Option<&str>, host: Option<&[u8]>, https: bool) -> Result<(String, Option<u16>), Denial> {
    let target = authority.map(|text| parse(text, "the request target")).transpose()?;
    let field = host.map(|bytes| text(bytes).and_then(|text| parse(text, "`Host`"))).transpose()?;
    match (target, field) {
        (Some(one), None) | (None, Some(one)) => Ok(one),
        (None, None) => Err(Denial::new(Reason::RequestHostMissing, "neither the request target nor `Host` names one")),
        (Some((name, port)), Some((field_name, field_port))) => {
            // Clients may leave the default port out in one place and not in the other.
            let effective = |port: Option<u16>| port.unwrap_or(if https { 443 } else { 80 });
            if name == field_name && effective(port) == effective(field_port) {
                Ok((name, port.or(field_port)))
            } else {
                Err(Denial::new(Reason::RequestHostAmbiguous, "the request target and `Host` differ"))
            }
        }
    }
}

/// Reads `host [":" port]`: lower-case host, and the port where it is not the scheme's own.
pub fn parse_authority(text: &str, https: bool) -> Option<(String, Option<u16>)> {
    let (host, port) = parse(text, "the authority").ok()?;
    Some((host, port.filter(|port| *port != if https { 443 } else { 80 })))
}

fn text(bytes: &[u8]) -> Result<&str, Denial> {
    std::str::from_utf8(bytes).map_err(|_| Denial::new(Reason::RequestHostInvalid, "`Host` is not text"))
}

/// Reads `host [":" port]`; a userinfo is no part of a host and is refused with every other odd character.
fn parse(text: &str, place: &str) -> Result<(String, Option<u16>), Denial> {
    if text.is_empty() {
        return Err(Denial::new(Reason::RequestHostMissing, format!("{place} is empty")));
    }
    let invalid = |what: &str| Denial::new(Reason::RequestHostInvalid, format!("{what} in {place}"));
    if text.len() > limits::HOST_BYTES {
        return Err(invalid("too many bytes"));
    }
    let (host, port) = match text.strip_prefix('[') {
        Some(rest) => {
            let (inner, after) = rest.split_once(']').ok_or_else(|| invalid("no closing bracket"))?;
            let address: Ipv6Addr = inner.parse().map_err(|_| invalid("no IPv6 address between brackets"))?;
            let port = match after.strip_prefix(':') {
                Some(port) => Some(port),
                None if after.is_empty() => None,
                None => return Err(invalid("something after the brackets")),
            };
            // Written back in its one canonical form, so that a policy compares addresses and not spellings.
            (format!("[{address}]"), port)
        }
        None => {
            let (name, port) = text.split_once(':').map_or((text, None), |(name, port)| (name, Some(port)));
            if !is_name(name) {
                return Err(invalid("neither a name nor an address"));
            }
            (name.to_ascii_lowercase(), port)
        }
    };
    let port = port.map(|port| number(port).ok_or_else(|| invalid("no port from 1 to 65535"))).transpose()?;
    Ok((host, port))
}

/// Whether this is a host name or a dotted IPv4 address.
///
/// A dot at the end is refused: `example.com.` is the same host to DNS, and another one to whoever compares names.
/// A last label that is a number is only taken in a proper IPv4 address: `010.0.0.1`, `127.1` and `0x7f000001` are
/// addresses to some readers and names to others, and no name ends so.
fn is_name(name: &str) -> bool {
    let label = |label: &str| !label.is_empty() && label.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_');
    let number = |label: &str| {
        let hex = label.strip_prefix("0x").or_else(|| label.strip_prefix("0X"));
        label.bytes().all(|b| b.is_ascii_digit()) || hex.is_some_and(|hex| hex.bytes().all(|b| b.is_ascii_hexdigit()))
    };
    name.split('.').all(label) && (!name.rsplit('.').next().is_some_and(number) || name.parse::<Ipv4Addr>().is_ok())
}

/// A port in its only spelling: no sign, no leading zero.
fn number(port: &str) -> Option<u16> {
    let plain = port.bytes().all(|b| b.is_ascii_digit()) && !port.starts_with('0');
    if plain { port.parse().ok() } else { None }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::{parse, read};
    use crate::decision::Reason;
    use crate::limits;

    #[test]
    fn hosts_are_read_from_either_place() {
        for (text, host, port) in [
            ("example.com", "example.com", None),
            ("Example.COM:8080", "example.com", Some(8080)),
            ("localhost:1", "localhost", Some(1)),
            ("a_b-c.d:65535", "a_b-c.d", Some(65535)),
            ("127.0.0.1:3000", "127.0.0.1", Some(3000)),
            ("1.example", "1.example", None),
            ("[::1]", "[::1]", None),
            ("[2001:DB8:0:0::1]:443", "[2001:db8::1]", Some(443)),
        ] {
            let expected = Ok((host.to_owned(), port));
            assert_eq!(read(None, Some(text.as_bytes()), false), expected, "{text}");
            assert_eq!(read(Some(text), None, false), expected, "{text}");
            assert_eq!(read(Some(text), Some(text.as_bytes()), false), expected, "{text}");
        }
    }

    #[test]
    fn a_host_that_is_no_name_or_address_is_refused() {
        let long = format!("{}.com", "a".repeat(limits::HOST_BYTES));
        for text in [
            "example.com.",
            ".",
            ".example.com",
            "a..b",
            "user@example.com",
            "user:pw@example.com",
            "example.com/",
            "example.com/a",
            "exa mple.com",
            " example.com",
            "example.com ",
            "example.com:",
            "example.com:0",
            "example.com:080",
            "example.com:+80",
            "example.com:65536",
            "example.com:80:80",
            "example.com:8a",
            ":80",
            "a,b",
            "a%2eb",
            "bücher.example",
            "::1",
            "[::1",
            "[::1]x",
            "[::1]:",
            "[::1]80",
            "[]",
            "[fe80::1%eth0]",
            "[1.2.3.4]",
            "[v1.x]",
            "127.1",
            "010.0.0.1",
            "1.2.3.4.5",
            "256.0.0.1",
            "2130706433",
            "0x7f000001",
            "a.0X1f",
            "a\0b",
            "*",
            "a?b",
            "a#b",
            "a\\b",
            &long,
        ] {
            assert_eq!(read(None, Some(text.as_bytes()), false).unwrap_err().reason, Reason::RequestHostInvalid, "{text:?}");
            assert_eq!(read(Some(text), None, false).unwrap_err().reason, Reason::RequestHostInvalid, "{text:?}");
        }
        assert_eq!(read(None, Some(b"\xff"), false).unwrap_err().reason, Reason::RequestHostInvalid);
    }

    #[test]
    fn a_request_without_a_host_is_refused() {
        for (authority, host) in
            [(None, None), (None, Some(&b""[..])), (Some(""), None), (Some(""), Some(&b"a"[..])), (Some("a"), Some(&b""[..]))]
        {
            assert_eq!(read(authority, host, false).unwrap_err().reason, Reason::RequestHostMissing);
        }
    }

    #[test]
    fn target_and_host_must_agree_but_for_case_and_default_port() {
        for (target, field, https, agree) in [
            ("a.example", "A.Example", false, true),
            ("a.example:80", "a.example", false, true),
            ("a.example", "a.example:443", true, true),
            ("[::1]:80", "[0::1]", false, true),
            ("a.example", "b.example", false, false),
            ("a.example:80", "a.example", true, false),
            ("a.example", "a.example:443", false, false),
            ("a.example:81", "a.example:82", false, false),
            ("a.example:8080", "a.example", false, false),
        ] {
            let read = read(Some(target), Some(field.as_bytes()), https).map_err(|denial| denial.reason);
            assert_eq!(read.is_ok(), agree, "{target} {field}");
            if !agree {
                assert_eq!(read, Err(Reason::RequestHostAmbiguous));
            }
        }
        assert_eq!(read(Some("a"), Some(b"a:80"), false).unwrap(), ("a".to_owned(), Some(80)));
    }

    proptest! {
        #[test]
        fn an_accepted_host_reads_back_as_itself(text in prop_oneof![any::<String>(), "[a-zA-Z0-9._:@-]{0,12}", "\\[[0-9a-f:.]{0,12}\\](:[0-9]{0,5})?"]) {
            if let Ok((host, port)) = parse(&text, "a test") {
                prop_assert_eq!(parse(&host, "a test"), Ok((host.clone(), None)));
                prop_assert!(!host.bytes().any(|b| b.is_ascii_uppercase()) && host.is_ascii() && port != Some(0));
            }
        }
    }
}
