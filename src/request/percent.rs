//! Percent-encoding (RFC 3986, section 2.1), as path and query share it.

/// The byte that `%` and the next two of `rest` stand for; `None` unless those are two hexadecimal digits.
pub(crate) fn octet(rest: &mut impl Iterator<Item = u8>) -> Option<u8> {
    let high = digit(rest.next()?)?;
    let low = digit(rest.next()?)?;
    Some(high.wrapping_mul(16) | low)
}

/// Percent-decodes; a `%` that begins no octet stays.
pub(crate) fn decoded(text: &str) -> Vec<u8> {
    let mut out = Vec::with_capacity(text.len());
    let mut rest = text.bytes();
    while let Some(byte) = rest.next() {
        let mut ahead = rest.clone();
        match octet(&mut ahead) {
            Some(octet) if byte == b'%' => {
                out.push(octet);
                rest = ahead;
            }
            _ => out.push(byte),
        }
    }
    out
}

/// The value of one hexadecimal digit. The subtractions cannot wrap: each arm is a range above what it subtracts.
fn digit(byte: u8) -> Option<u8> {
    match byte {
        b'0'..=b'9' => Some(byte.wrapping_sub(b'0')),
        b'a'..=b'f' => Some(byte.wrapping_sub(b'a').wrapping_add(10)),
        b'A'..=b'F' => Some(byte.wrapping_sub(b'A').wrapping_add(10)),
        _ => None,
    }
}

/// Whether RFC 3986 allows `byte` as itself in a path segment: `unreserved / sub-delims / ":" / "@"`.
pub(super) const fn is_pchar(byte: u8) -> bool {
    matches!(byte,
        b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~'
        | b'!' | b'$' | b'&' | b'\'' | b'(' | b')' | b'*' | b'+' | b',' | b';' | b'='
        | b':' | b'@')
}

#[cfg(test)]
mod tests {
    use super::{is_pchar, octet};

    #[test]
    fn every_octet_has_both_spellings_and_nothing_else_has_any() {
        for byte in 0..=u8::MAX {
            for text in [format!("{byte:02x}"), format!("{byte:02X}")] {
                assert_eq!(octet(&mut text.bytes()), Some(byte), "{text}");
            }
        }
        for text in ["", "4", "4g", "g4", "+4", " 4", "-1", "0x", "é"] {
            assert_eq!(octet(&mut text.bytes()), None, "{text}");
        }
    }

    #[test]
    fn pchar_is_the_set_of_rfc_3986() {
        let set: String = (0..=u8::MAX).filter(|b| is_pchar(*b)).map(char::from).collect();
        assert_eq!(set, "!$&'()*+,-.0123456789:;=@ABCDEFGHIJKLMNOPQRSTUVWXYZ_abcdefghijklmnopqrstuvwxyz~");
    }
}
