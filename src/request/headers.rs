//! The header fields: bounds, grammar, and the few fields whose repetition would make a request mean two things.

use crate::decision::{Denial, Reason};
use crate::limits;

/// What one pass over the header fields found. Nothing is copied; what is wrong is kept until it is its turn.
#[derive(Debug, Default)]
pub(super) struct Fields<'a> {
    authorization: Occurrence<'a>,
    dpop: Occurrence<'a>,
    host: Occurrence<'a>,
    content_length: Occurrence<'a>,
    traceparent: Occurrence<'a>,
    transfer_encoding: bool,
    spin: Vec<&'a str>,
    spin_client_addr: Option<&'a [u8]>,
    spin_full_url: Option<&'a [u8]>,
    invalid: Option<Denial>,
}

/// How often a field occurs.
#[derive(Debug, Default, Clone, Copy)]
enum Occurrence<'a> {
    #[default]
    Never,
    Once(&'a [u8]),
    Repeated,
}

impl<'a> Occurrence<'a> {
    fn add(&mut self, value: &'a [u8]) {
        *self = match self {
            Self::Never => Self::Once(value),
            Self::Once(_) | Self::Repeated => Self::Repeated,
        };
    }

    /// The value of a field that occurs exactly once.
    fn once(self) -> Option<&'a [u8]> {
        match self {
            Self::Once(value) => Some(value),
            Self::Never | Self::Repeated => None,
        }
    }
}

/// Goes through the fields once.
///
/// # Errors
/// Too many or too large; everything else is for the methods of [`Fields`].
pub(super) fn scan(headers: &[(String, Vec<u8>)]) -> Result<Fields<'_>, Denial> {
    if headers.len() > limits::HEADER_COUNT {
        return Err(Denial::new(Reason::RequestHeadersTooMany, format!("{} header fields", headers.len())));
    }
    let mut fields = Fields::default();
    let mut total = 0_usize;
    for (name, value) in headers {
        total = total.saturating_add(name.len()).saturating_add(value.len());
        if value.len() > limits::HEADER_VALUE_BYTES {
            return Err(Denial::new(Reason::RequestHeadersTooLarge, format!("a header value has {} bytes", value.len())));
        }
        if total > limits::HEADERS_BYTES {
            return Err(Denial::new(
                Reason::RequestHeadersTooLarge,
                format!("the header fields have more than {} bytes", limits::HEADERS_BYTES),
            ));
        }
        if fields.invalid.is_none() {
            fields.invalid = check(name, value);
        }
        fields.note(name, value);
    }
    Ok(fields)
}

impl<'a> Fields<'a> {
    fn note(&mut self, name: &'a str, value: &'a [u8]) {
        // SECURITY: `_` counts as `-` here. An origin behind CGI, WSGI and their like sees one variable for both
        // spellings, so `content_length` beside `content-length`, or `spin_client_addr` beside the runtime's own, is
        // that field twice. Values the gate itself believes are read from the exact names only.
        if same(name, "authorization") {
            self.authorization.add(value);
        } else if same(name, "dpop") {
            self.dpop.add(value);
        } else if same(name, "host") {
            self.host.add(value);
        } else if same(name, "content-length") {
            self.content_length.add(value);
        } else if same(name, "transfer-encoding") {
            self.transfer_encoding = true;
        } else if name.eq_ignore_ascii_case("traceparent") {
            self.traceparent.add(value);
        } else if name.get(..5).is_some_and(|prefix| same(prefix, "spin-")) {
            self.spin.push(name);
            // The last one: the runtime appends its own after the caller's.
            if name.eq_ignore_ascii_case("spin-client-addr") {
                self.spin_client_addr = Some(value);
            } else if name.eq_ignore_ascii_case("spin-full-url") {
                self.spin_full_url = Some(value);
            }
        }
    }

    /// Refuses malformed fields, and credentials, hosts and lengths that occur more than once.
    pub(super) fn check_single(&mut self) -> Result<(), Denial> {
        if let Some(denial) = self.invalid.take() {
            return Err(denial);
        }
        // A list such as `5, 5` is how some intermediaries merge two fields: repeated all the same.
        let list = self.content_length.once().is_some_and(|value| value.contains(&b','));
        for (occurrence, reason) in [
            (self.authorization, Reason::RequestAuthorizationRepeated),
            (self.dpop, Reason::RequestDpopRepeated),
            (self.host, Reason::RequestHostRepeated),
            (if list { Occurrence::Repeated } else { self.content_length }, Reason::RequestContentLengthRepeated),
        ] {
            if matches!(occurrence, Occurrence::Repeated) {
                return Err(reason.into());
            }
        }
        Ok(())
    }

    /// Refuses a request in which the caller sent one of the runtime's own fields.
    pub(super) fn check_spin(&mut self) -> Result<(), Denial> {
        // Sorted first, so that many fields cost no more than their sorting.
        self.spin.sort_unstable_by(|a, b| folded(a).cmp(folded(b)));
        let repeated = self.spin.iter().zip(self.spin.iter().skip(1)).find(|(a, b)| same(a, b));
        match repeated {
            Some((name, _)) => Err(Denial::new(Reason::RequestSpinHeaderRepeated, format!("`{}` occurs twice", shown(name)))),
            None => Ok(()),
        }
    }

    /// Refuses a body whose end could be read in two ways.
    pub(super) fn check_framing(&self) -> Result<(), Denial> {
        let Some(length) = self.content_length.once() else { return Ok(()) };
        let digits = std::str::from_utf8(length).ok().filter(|text| text.bytes().all(|byte| byte.is_ascii_digit()));
        if digits.and_then(|digits| digits.parse::<u64>().ok()).is_none() {
            return Err(Denial::new(Reason::RequestContentLengthInvalid, "`Content-Length` is not a plain decimal number of 64 bits"));
        }
        if self.transfer_encoding { Err(Reason::RequestFramingAmbiguous.into()) } else { Ok(()) }
    }

    /// `Authorization`, whole.
    pub(super) fn authorization(&self) -> Option<&'a [u8]> {
        self.authorization.once()
    }

    /// `DPoP`, whole.
    pub(super) fn dpop(&self) -> Option<&'a [u8]> {
        self.dpop.once()
    }

    /// `Host`, whole.
    pub(super) fn host(&self) -> Option<&'a [u8]> {
        self.host.once()
    }

    /// `traceparent`, when it occurs once.
    pub(super) fn traceparent(&self) -> Option<&'a [u8]> {
        self.traceparent.once()
    }

    /// The peer's address, as the runtime tells it.
    pub(super) fn spin_client_addr(&self) -> Option<&'a [u8]> {
        self.spin_client_addr
    }

    /// Whether the runtime says that the client's connection used TLS.
    pub(super) fn spin_https(&self) -> bool {
        self.spin_full_url.is_some_and(|url| url.starts_with(b"https://"))
    }
}

/// The denial for a name that is no token (RFC 9110, section 5.6.2) or a value with control characters (section 5.5;
/// a tab is allowed).
fn check(name: &str, value: &[u8]) -> Option<Denial> {
    let token = |byte: u8| {
        byte.is_ascii_alphanumeric()
            || matches!(byte, b'!' | b'#' | b'$' | b'%' | b'&' | b'\'' | b'*' | b'+' | b'-' | b'.' | b'^' | b'_' | b'`' | b'|' | b'~')
    };
    if name.is_empty() || !name.bytes().all(token) {
        return Some(Denial::new(Reason::RequestHeaderInvalid, format!("`{}` is not a field name", shown(name))));
    }
    // Without an early exit, so that it compiles to vector instructions: this reads every byte of every header.
    if value.iter().fold(false, |found, byte| found | (byte.is_ascii_control() && *byte != b'\t')) {
        return Some(Denial::new(Reason::RequestHeaderInvalid, format!("the value of `{}` has a control character", shown(name))));
    }
    None
}

/// A name as CGI and its like see it: without case, `_` as `-`.
fn folded(name: &str) -> impl Iterator<Item = u8> {
    name.bytes().map(|byte| if byte == b'_' { b'-' } else { byte.to_ascii_lowercase() })
}

fn same(a: &str, b: &str) -> bool {
    a.len() == b.len() && folded(a).eq(folded(b))
}

/// A caller's text for a record: short, and without characters that could break a line.
pub(super) fn shown(text: &str) -> String {
    text.chars().take(64).flat_map(char::escape_debug).collect()
}

#[cfg(test)]
mod tests {
    use super::scan;
    use crate::decision::Reason;
    use crate::limits;

    fn verdict(headers: &[(&str, &str)]) -> Result<(), Reason> {
        let headers: Vec<_> = headers.iter().map(|(name, value)| ((*name).to_owned(), value.as_bytes().to_vec())).collect();
        let all = || {
            let mut fields = scan(&headers)?;
            fields.check_single()?;
            fields.check_spin()?;
            fields.check_framing()
        };
        all().map_err(|denial| denial.reason)
    }

    #[test]
    fn fields_that_may_occur_once_are_refused_twice() {
        use Reason::*;
        for (name, value, again, reason) in [
            ("authorization", "Bearer a", "Authorization", RequestAuthorizationRepeated),
            ("host", "a", "HOST", RequestHostRepeated),
            ("content-length", "5", "Content-Length", RequestContentLengthRepeated),
            ("content-length", "5", "content_length", RequestContentLengthRepeated),
            ("spin-client-addr", "10.0.0.1:1", "spin-client-addr", RequestSpinHeaderRepeated),
            ("spin-client-addr", "10.0.0.1:1", "Spin-Client-Addr", RequestSpinHeaderRepeated),
            ("spin-client-addr", "10.0.0.1:1", "spin_client_addr", RequestSpinHeaderRepeated),
            ("spin-anything", "x", "spin_anything", RequestSpinHeaderRepeated),
        ] {
            assert_eq!(verdict(&[(name, value)]), Ok(()), "{name}");
            assert_eq!(verdict(&[(again, value)]), Ok(()), "{again}");
            assert_eq!(verdict(&[("a", "b"), (again, value), ("spin-b", "c"), (name, value)]), Err(reason), "{name} {again}");
        }
        assert_eq!(
            verdict(&[("accept", "a"), ("accept", "b"), ("cookie", "a"), ("cookie", "b"), ("traceparent", "x"), ("traceparent", "y")]),
            Ok(())
        );
        assert_eq!(verdict(&[("spin-a", "1"), ("spin-b", "1"), ("spin-ab", "1"), ("spinx", "1"), ("spinx", "2")]), Ok(()));
    }

    #[test]
    fn a_body_has_one_plain_length() {
        use Reason::*;
        for length in ["0", "5", "0005", "18446744073709551615"] {
            assert_eq!(verdict(&[("content-length", length)]), Ok(()), "{length}");
        }
        for length in ["", "+5", "-5", "5 ", " 5", "5.0", "0x5", "5;", "18446744073709551616", "٥"] {
            assert_eq!(verdict(&[("content-length", length)]), Err(RequestContentLengthInvalid), "{length}");
        }
        for length in ["5, 5", "5,6", "5,"] {
            assert_eq!(verdict(&[("content-length", length)]), Err(RequestContentLengthRepeated), "{length}");
        }
        assert_eq!(verdict(&[("transfer-encoding", "chunked")]), Ok(()));
        assert_eq!(verdict(&[("transfer-encoding", "chunked"), ("content-length", "5")]), Err(RequestFramingAmbiguous));
        assert_eq!(verdict(&[("content-length", "5"), ("Transfer_Encoding", "identity")]), Err(RequestFramingAmbiguous));
    }

    #[test]
    fn names_are_tokens_and_values_have_no_control_characters() {
        for (name, value) in [("x-a!#$%&'*+-.^_`|~1", "v"), ("a", ""), ("a", "b\tc"), ("a", "caf\u{e9}"), ("a", "\u{80}")] {
            assert_eq!(verdict(&[(name, value)]), Ok(()), "{name} {value:?}");
        }
        for (name, value) in [
            ("", "v"),
            (" a", "v"),
            ("a ", "v"),
            ("a:", "v"),
            (":authority", "v"),
            ("a\0", "v"),
            ("é", "v"),
            ("a,b", "v"),
            ("a(b", "v"),
            ("a", "\0"),
            ("a", "b\r\nc: d"),
            ("a", "b\n"),
            ("a", "\r"),
            ("a", "\x1b[0m"),
            ("a", "\x7f"),
        ] {
            assert_eq!(verdict(&[(name, value)]), Err(Reason::RequestHeaderInvalid), "{name:?} {value:?}");
        }
    }

    #[test]
    fn bounds_hold_to_the_field_and_byte() {
        let fields =
            |count: usize, bytes: usize| -> Vec<(String, Vec<u8>)> { (0..count).map(|_| ("n".to_owned(), vec![b'v'; bytes])).collect() };
        let reason = |headers: &[(String, Vec<u8>)]| scan(headers).map(|_| ()).map_err(|denial| denial.reason);
        assert_eq!(reason(&fields(limits::HEADER_COUNT, 1)), Ok(()));
        assert_eq!(reason(&fields(limits::HEADER_COUNT + 1, 1)), Err(Reason::RequestHeadersTooMany));
        assert_eq!(reason(&fields(1, limits::HEADER_VALUE_BYTES)), Ok(()));
        assert_eq!(reason(&fields(1, limits::HEADER_VALUE_BYTES + 1)), Err(Reason::RequestHeadersTooLarge));
        assert_eq!(reason(&fields(64, limits::HEADERS_BYTES / 64 - 1)), Ok(()));
        assert_eq!(reason(&fields(64, limits::HEADERS_BYTES / 64)), Err(Reason::RequestHeadersTooLarge));
        let name = [("n".repeat(limits::HEADERS_BYTES + 1), Vec::new())];
        assert_eq!(reason(&name), Err(Reason::RequestHeadersTooLarge));
    }
}
