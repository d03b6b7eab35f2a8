//! The path: raw for forwarding, decoded for the decision.
//!
//! A path is accepted only when every sensible reader splits and decodes it into the same segments. Anything two readers
//! could take differently (dot and empty segments, `;` parameters, encoded delimiters, double encoding) is refused and
//! never repaired: a repaired path would not be the one that is forwarded.

use super::percent;
use crate::decision::{Denial, Reason};
use crate::limits;

/// A canonical path.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Path {
    // INVARIANT: `segments` is `raw` without its first `/`, split at `/`, each part percent-decoded once. No segment is
    // empty, `.` or `..`, and none holds `/`, `\`, `%`, `;`, `?`, `#` or a control character. Only `parse` makes a `Path`.
    raw: String,
    segments: Vec<String>,
}

impl Path {
    /// The path exactly as received.
    pub fn raw(&self) -> &str {
        &self.raw
    }

    /// The decoded segments; none for `/`.
    pub fn segments(&self) -> &[String] {
        &self.segments
    }

    /// The decoded path, for example `/api/orders/42`.
    pub fn decoded(&self) -> String {
        format!("/{}", self.segments.join("/"))
    }

    /// Reads the path of a request target, without its query, in one pass.
    ///
    /// # Errors
    /// The first thing that is wrong from the left; what concerns a whole segment is told at the segment's end.
    pub(crate) fn parse(raw: &str) -> Result<Self, Denial> {
        // An absent path, `*`, an absolute form and `//host` are all "not exactly one `/`".
        let rest = raw.strip_prefix('/').filter(|rest| !rest.starts_with('/'));
        let rest = rest.ok_or_else(|| Denial::new(Reason::RequestPathNotAbsolute, "the path does not start with exactly one `/`"))?;
        let mut segments = Vec::new();
        if !rest.is_empty() {
            let mut segment = Vec::new();
            let mut bytes = rest.bytes();
            while let Some(byte) = bytes.next() {
                let decoded = match byte {
                    b'/' => {
                        segments.push(finish(std::mem::take(&mut segment), segments.len())?);
                        continue;
                    }
                    b'%' => match percent::octet(&mut bytes) {
                        Some(octet) => encoded(octet).map(|()| octet),
                        None => Err(Reason::RequestPathPercentEncoding),
                    },
                    b'\\' => Err(Reason::RequestPathBackslash),
                    b';' => Err(Reason::RequestPathParameter),
                    byte if percent::is_pchar(byte) => Ok(byte),
                    _ => Err(Reason::RequestPathCharacter),
                };
                segment.push(decoded.map_err(|reason| in_segment(reason, segments.len()))?);
            }
            segments.push(finish(segment, segments.len())?);
        }
        Ok(Self { raw: raw.to_owned(), segments })
    }
}

/// Refuses a path that is too long before anything reads it.
pub(super) fn size(raw: &str) -> Result<(), Denial> {
    if raw.len() > limits::PATH_BYTES {
        return Err(Denial::new(Reason::RequestPathTooLong, format!("the path has {} bytes", raw.len())));
    }
    let segments = raw.bytes().filter(|byte| *byte == b'/').count();
    if segments > limits::PATH_SEGMENTS {
        return Err(Denial::new(Reason::RequestPathTooLong, format!("the path has {segments} segments")));
    }
    Ok(())
}

/// Whether a byte may be percent-encoded in a path.
///
/// SECURITY: each of these means one thing to a reader that decodes before it splits and another to one that splits
/// first. `%25` is what a second decoding would feed on; without it no accepted path decodes to something with a `%`.
fn encoded(octet: u8) -> Result<(), Reason> {
    match octet {
        b'/' => Err(Reason::RequestPathEncodedSlash),
        b'\\' => Err(Reason::RequestPathEncodedBackslash),
        b'%' => Err(Reason::RequestPathEncodedPercent),
        b';' => Err(Reason::RequestPathParameter),
        b'?' | b'#' => Err(Reason::RequestPathEncodedDelimiter),
        0x00..=0x1f | 0x7f => Err(Reason::RequestPathEncodedControl),
        _ => Ok(()),
    }
}

/// Checks what only a whole decoded segment shows.
fn finish(segment: Vec<u8>, index: usize) -> Result<String, Denial> {
    match segment.as_slice() {
        [] => return Err(in_segment(Reason::RequestPathEmptySegment, index)),
        // SECURITY: on the decoded bytes, so that `%2e.` and its like are caught too.
        b"." | b".." => return Err(in_segment(Reason::RequestPathDotSegment, index)),
        _ => {}
    }
    let segment = String::from_utf8(segment).map_err(|_| in_segment(Reason::RequestPathUtf8, index))?;
    // The C0 controls were refused as bytes; the C1 controls (U+0080 to U+009F) are two bytes each.
    if !segment.is_ascii() && segment.chars().any(char::is_control) {
        return Err(in_segment(Reason::RequestPathEncodedControl, index));
    }
    Ok(segment)
}

/// A denial that says where, without repeating what the caller sent.
fn in_segment(reason: Reason, index: usize) -> Denial {
    Denial::new(reason, format!("in segment {}", index.saturating_add(1)))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::{Path, size};
    use crate::decision::Reason;
    use crate::limits;

    fn segments(raw: &str) -> Vec<String> {
        Path::parse(raw).unwrap_or_else(|denial| panic!("{raw}: {denial}")).segments().to_vec()
    }

    #[test]
    fn accepted_paths_are_split_and_decoded_once() {
        let cases: &[(&str, &[&str])] = &[
            ("/", &[]),
            ("/api", &["api"]),
            ("/api/orders/42", &["api", "orders", "42"]),
            ("/%61pi", &["api"]),
            ("/caf%C3%A9/%E2%82%ac", &["café", "€"]),
            ("/a%20b", &["a b"]),
            ("/...", &["..."]),
            ("/.hidden/a..b/%2e%2e%2E", &[".hidden", "a..b", "..."]),
            ("/a:b@c!$&'()*+,=-._~", &["a:b@c!$&'()*+,=-._~"]),
            ("/a%3A%40%2B%3D%26%22%3c", &["a:@+=&\"<"]),
            ("/%C2%A0", &["\u{a0}"]),
            ("/%E2%80%AE", &["\u{202e}"]),
        ];
        for (raw, expected) in cases {
            assert_eq!(segments(raw), *expected, "{raw}");
            assert_eq!(Path::parse(raw).unwrap().raw(), *raw);
            assert_eq!(Path::parse(raw).unwrap().decoded(), format!("/{}", expected.join("/")));
        }
    }

    #[test]
    fn each_refusal_has_its_own_reason_beside_a_path_that_is_accepted() {
        use Reason::*;
        // (accepted, refused, why)
        let cases = [
            ("/a", "", RequestPathNotAbsolute),
            ("/a", "a", RequestPathNotAbsolute),
            ("/a", "*", RequestPathNotAbsolute),
            ("/", "//", RequestPathNotAbsolute),
            ("/a/b", "//a/b", RequestPathNotAbsolute),
            ("/a", "http://host/a", RequestPathNotAbsolute),
            ("/a", "%2Fa", RequestPathNotAbsolute),
            ("/a/b", "/a//b", RequestPathEmptySegment),
            ("/a", "/a/", RequestPathEmptySegment),
            ("/...", "/..", RequestPathDotSegment),
            ("/a/...", "/a/..", RequestPathDotSegment),
            ("/a/.../b", "/a/../b", RequestPathDotSegment),
            ("/.a", "/.", RequestPathDotSegment),
            ("/a/.b/c", "/a/./c", RequestPathDotSegment),
            ("/%2ea", "/%2e", RequestPathDotSegment),
            ("/%2ea.", "/%2e.", RequestPathDotSegment),
            ("/.a%2E", "/.%2E", RequestPathDotSegment),
            ("/%2e%2e%2e", "/%2e%2E", RequestPathDotSegment),
            ("/a:b", "/a;b", RequestPathParameter),
            ("/a:b", "/a;b=c/d", RequestPathParameter),
            ("/a%3Ab", "/a%3Bb", RequestPathParameter),
            ("/a%3ab", "/a%3bb", RequestPathParameter),
            ("/a/b", "/a\\b", RequestPathBackslash),
            ("/a", "/\\a", RequestPathBackslash),
            ("/a%20b", "/a b", RequestPathCharacter),
            ("/a%22b", "/a\"b", RequestPathCharacter),
            ("/a(b", "/a<b", RequestPathCharacter),
            ("/a(b", "/a>b", RequestPathCharacter),
            ("/a(b", "/a[b", RequestPathCharacter),
            ("/a(b", "/a]b", RequestPathCharacter),
            ("/a(b", "/a{b", RequestPathCharacter),
            ("/a(b", "/a|b", RequestPathCharacter),
            ("/a(b", "/a^b", RequestPathCharacter),
            ("/a(b", "/a`b", RequestPathCharacter),
            ("/a", "/a#b", RequestPathCharacter),
            ("/a", "/a\0", RequestPathCharacter),
            ("/a", "/a\tb", RequestPathCharacter),
            ("/a", "/a\x7f", RequestPathCharacter),
            ("/caf%C3%A9", "/café", RequestPathCharacter),
            ("/a/b", "/a%2Fb", RequestPathEncodedSlash),
            ("/a/b", "/a%2fb", RequestPathEncodedSlash),
            ("/a%5Bb", "/a%5Cb", RequestPathEncodedBackslash),
            ("/a%24b", "/a%25b", RequestPathEncodedPercent),
            ("/a%2Db", "/a%252Fb", RequestPathEncodedPercent),
            ("/a%20", "/a%00", RequestPathEncodedControl),
            ("/a%20", "/a%0a", RequestPathEncodedControl),
            ("/a%20", "/a%1F", RequestPathEncodedControl),
            ("/a%7e", "/a%7f", RequestPathEncodedControl),
            ("/%C2%A0", "/%C2%80", RequestPathEncodedControl),
            ("/%C2%A0", "/%C2%9F", RequestPathEncodedControl),
            ("/a%3D", "/a%3F", RequestPathEncodedDelimiter),
            ("/a%24", "/a%23", RequestPathEncodedDelimiter),
            ("/a%20", "/a%", RequestPathPercentEncoding),
            ("/a%20", "/a%2", RequestPathPercentEncoding),
            ("/a%20", "/a%2/b", RequestPathPercentEncoding),
            ("/a%20", "/a%zz", RequestPathPercentEncoding),
            ("/a%20", "/a%+1", RequestPathPercentEncoding),
            ("/%C3%A9", "/%C3", RequestPathUtf8),
            ("/%C3%A9", "/%C3/%A9", RequestPathUtf8),
            ("/.", "/%C0%AE", RequestPathUtf8),
            ("/%C3%A9", "/%FF", RequestPathUtf8),
            ("/%ED%9F%BF", "/%ED%A0%80", RequestPathUtf8),
        ];
        for (accepted, refused, reason) in cases {
            // `/%C0%AE` is the overlong `.`; there is no accepted spelling of that to stand beside it.
            if reason != RequestPathUtf8 || accepted != "/." {
                segments(accepted);
            }
            assert_eq!(Path::parse(refused).unwrap_err().reason, reason, "{refused:?}");
        }
    }

    #[test]
    fn every_encoded_byte_is_either_refused_or_decoded() {
        for byte in 0..=u8::MAX {
            let raw = format!("/a%{byte:02X}b");
            let refused = byte < 0x20 || byte == 0x7f || byte >= 0x80 || b"/\\%;?#".contains(&byte);
            assert_eq!(Path::parse(&raw).is_err(), refused, "{raw}");
        }
    }

    #[test]
    fn bounds_hold_to_the_byte_and_segment() {
        let longest = format!("/{}", "a".repeat(limits::PATH_BYTES - 1));
        assert!(size(&longest).is_ok());
        assert_eq!(size(&format!("{longest}a")).unwrap_err().reason, Reason::RequestPathTooLong);
        let deepest = "/a".repeat(limits::PATH_SEGMENTS);
        assert!(size(&deepest).is_ok());
        assert_eq!(segments(&deepest).len(), limits::PATH_SEGMENTS);
        assert_eq!(size(&format!("{deepest}/a")).unwrap_err().reason, Reason::RequestPathTooLong);
    }

    /// Percent-decodes the whole path at once, as a reader would that decodes first and splits later.
    fn decode_whole(raw: &str) -> Vec<u8> {
        let mut out = Vec::new();
        let bytes = raw.as_bytes();
        let mut at = 0;
        while at < bytes.len() {
            if bytes[at] == b'%' {
                out.push(u8::from_str_radix(&raw[at + 1..at + 3], 16).unwrap());
                at += 3;
            } else {
                out.push(bytes[at]);
                at += 1;
            }
        }
        out
    }

    /// Strings made of what paths are attacked with.
    fn hostile() -> impl Strategy<Value = String> {
        let piece = prop_oneof![
            4 => "[a-c]",
            3 => Just("/".to_owned()),
            2 => Just(".".to_owned()),
            2 => prop::sample::select(vec!["%2e", "%2E", "%2f", "%5c", "%25", "%3b", "%00", "%c3%a9", "%C2%85", "%c0%ae", "%61", "%7E", "%"]).prop_map(str::to_owned),
            1 => prop::sample::select(vec![";", "\\", "?", "#", " ", "é", ":", "@", "~"]).prop_map(str::to_owned),
            1 => any::<u8>().prop_map(|b| format!("%{b:02x}")),
        ];
        prop::collection::vec(piece, 0..12).prop_map(|pieces| format!("/{}", pieces.concat()))
    }

    /// One segment that can be accepted, and a way to spell each of its bytes.
    fn spelled() -> impl Strategy<Value = (String, Vec<u8>)> {
        ("[a-z0-9.~ é€\"<@:+=]{1,8}", prop::collection::vec(0..3_u8, 32)).prop_filter("dot segments", |(s, _)| s != "." && s != "..")
    }

    /// Spells a segment: 0 plain where that is allowed, 1 lower-case, 2 upper-case percent-encoding.
    fn spell(segment: &str, how: &[u8]) -> String {
        let spell = |(byte, how): (u8, &u8)| match how {
            0 if crate::request::percent::is_pchar(byte) => char::from(byte).to_string(),
            1 => format!("%{byte:02x}"),
            _ => format!("%{byte:02X}"),
        };
        segment.bytes().zip(how.iter().cycle()).map(spell).collect()
    }

    proptest! {
        #[test]
        fn any_string_is_read_without_panic_and_always_alike(raw in any::<String>()) {
            prop_assert_eq!(Path::parse(&raw), Path::parse(&raw));
        }

        #[test]
        fn an_accepted_path_is_canonical(raw in prop_oneof![hostile(), "/[ -~]{0,20}", "/[a-z%0-9./]{0,20}"]) {
            if let Ok(path) = Path::parse(&raw) {
                // Idempotent: the raw of an accepted path is the path.
                prop_assert_eq!(path.raw(), raw.as_str());
                prop_assert_eq!(&Path::parse(path.raw()).unwrap(), &path);
                for segment in path.segments() {
                    prop_assert!(!segment.is_empty() && segment != "." && segment != "..");
                    prop_assert!(!segment.contains(['/', '\\', '%', ';', '?', '#', '\0']), "{}", segment);
                    prop_assert!(!segment.chars().any(char::is_control));
                }
                // Decoding before or after splitting is the same, so two paths with one decoded form differ only in
                // how they spell its bytes.
                prop_assert_eq!(decode_whole(&raw), path.decoded().into_bytes());
                // Decoding a second time changes nothing, and neither does removing dot segments or merging slashes.
                prop_assert!(!path.decoded().contains('%'));
                let normal: Vec<_> = path.decoded().split('/').filter(|s| !matches!(*s, "" | "." | "..")).map(str::to_owned).collect();
                prop_assert_eq!(normal.as_slice(), path.segments());
            }
        }

        #[test]
        fn every_spelling_of_the_same_segments_is_the_same_path(parts in prop::collection::vec(spelled(), 1..6)) {
            let raw: String = parts.iter().map(|(segment, how)| format!("/{}", spell(segment, how))).collect();
            let expected: Vec<_> = parts.iter().map(|(segment, _)| segment.clone()).collect();
            let path = Path::parse(&raw).unwrap();
            prop_assert_eq!(path.segments(), expected.as_slice());
        }
    }
}
