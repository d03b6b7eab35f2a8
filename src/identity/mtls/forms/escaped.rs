//! PEM in a header field, with everything a field cannot hold percent-encoded (RFC 3986, section 2.1).

use super::{Bag, malformed};
use crate::decision::Denial;

const BEGIN: &str = "-----BEGIN CERTIFICATE-----";
const END: &str = "-----END CERTIFICATE-----";

/// Decodes percent-encoding, once.
///
/// SECURITY: `+` stays `+`. It is a digit of base64, and an AWS load balancer leaves it as it is; only HTML forms write a
/// space so.
pub(super) fn percent_decoded(text: &str) -> Result<String, Denial> {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some((plain, encoded)) = rest.split_once('%') {
        out.push_str(plain);
        let (digits, after) = encoded.split_at_checked(2).ok_or_else(|| malformed("`%` without two digits"))?;
        let hexadecimal = digits.bytes().all(|b| b.is_ascii_hexdigit());
        let byte = u8::from_str_radix(digits, 16).ok().filter(|byte| hexadecimal && byte.is_ascii());
        out.push(char::from(byte.ok_or_else(|| malformed("`%` without two digits of ASCII"))?));
        rest = after;
    }
    out.push_str(rest);
    Ok(out)
}

/// Reads PEM certificates (RFC 7468, section 3), one directly after the other: no other labels, no text around them.
pub(super) fn pem(text: &str, bag: &mut Bag) -> Result<(), Denial> {
    let mut rest = text;
    loop {
        let inner = rest.strip_prefix(BEGIN).and_then(line_end).ok_or_else(|| malformed("no PEM certificate where one should begin"))?;
        let (body, after) = inner.split_once(END).ok_or_else(|| malformed("a PEM certificate that does not end"))?;
        let lines = body.strip_suffix('\n').ok_or_else(|| malformed("the end of a PEM certificate is not a line of its own"))?;
        let mut base64 = String::with_capacity(lines.len());
        for line in lines.split('\n') {
            let line = line.strip_suffix('\r').unwrap_or(line);
            if line.is_empty() {
                return Err(malformed("an empty line in a PEM certificate"));
            }
            base64.push_str(line);
        }
        bag.add_base64(&base64)?;
        match line_end(after) {
            Some("") => return Ok(()),
            Some(next) => rest = next,
            None if after.is_empty() => return Ok(()),
            None => return Err(malformed("something after a PEM certificate")),
        }
    }
}

fn line_end(text: &str) -> Option<&str> {
    text.strip_prefix("\r\n").or_else(|| text.strip_prefix('\n'))
}
