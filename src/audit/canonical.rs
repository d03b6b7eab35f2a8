//! Back from a line to what was signed: the record without its `mac`, in the canonical form of RFC 8785.

use std::fmt::Write as _;

use super::chain::DOMAIN;
use crate::identity::json::{Json, Object};

/// What was signed of this line, if it is as the gate wrote it: only the version was moved and the MAC added.
pub(super) fn as_written(line: &str, mac: &str) -> Option<Vec<u8>> {
    let rest = line.strip_prefix(r#"{"v":1,"#)?;
    let inner = rest.strip_suffix(r#""}"#)?.strip_suffix(mac)?.strip_suffix(r#","mac":""#)?;
    let mut signed = Vec::with_capacity(inner.len().saturating_add(32));
    signed.extend_from_slice(DOMAIN);
    signed.push(b'{');
    signed.extend_from_slice(inner.as_bytes());
    signed.extend_from_slice(br#","v":1}"#);
    Some(signed)
}

/// What was signed of this line, however it was spelled since: collectors order names anew and add white space.
///
/// `None` for what no gate writes: no object, a name twice, a fraction.
pub(super) fn rewritten(line: &str) -> Option<Vec<u8>> {
    let Ok(Json::Object(mut members)) = Json::parse(line.as_bytes()) else { return None };
    members.remove("mac");
    let mut text = String::with_capacity(line.len());
    object(&members, &mut text)?;
    Some([DOMAIN, text.as_bytes()].concat())
}

fn object(members: &Object, out: &mut String) -> Option<()> {
    out.push('{');
    for (index, (name, value)) in members.iter().enumerate() {
        if index > 0 {
            out.push(',');
        }
        string(name, out)?;
        out.push(':');
        json(value, out)?;
    }
    out.push('}');
    Some(())
}

fn json(value: &Json, out: &mut String) -> Option<()> {
    match value {
        Json::Null => out.push_str("null"),
        Json::Bool(value) => out.push_str(if *value { "true" } else { "false" }),
        // Writing to a String cannot fail.
        Json::Int(value) => drop(write!(out, "{value}")),
        Json::Big(value) => drop(write!(out, "{value}")),
        Json::Float(_) => return None,
        Json::String(value) => string(value, out)?,
        Json::Array(values) => {
            out.push('[');
            for (index, value) in values.iter().enumerate() {
                if index > 0 {
                    out.push(',');
                }
                json(value, out)?;
            }
            out.push(']');
        }
        Json::Object(members) => object(members, out)?,
    }
    Some(())
}

/// The escapes of RFC 8785 (section 3.2.2.2) are those that `serde_json` writes.
fn string(value: &str, out: &mut String) -> Option<()> {
    out.push_str(&serde_json::to_string(value).ok()?);
    Some(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_that_was_spelled_anew_is_signed_as_before() {
        let line = r#"{"v":1,"a":[1,null,true,{}],"b":{"c":"\u0007\"\\é","d":-5},"mac":"xyz"}"#;
        let written = as_written(line, "xyz").unwrap();
        let other = " { \"mac\" : \"xyz\", \"b\" : {\"d\":-5,\"c\":\"\\u0007\\u0022\\u005c\\u00e9\"}, \"v\":1, \"a\":[1,null,true,{}] } ";
        assert_eq!(rewritten(line).unwrap(), written);
        assert_eq!(rewritten(other).unwrap(), written);
        assert_eq!(written, [DOMAIN, r#"{"a":[1,null,true,{}],"b":{"c":"\u0007\"\\é","d":-5},"v":1}"#.as_bytes()].concat());
    }

    #[test]
    fn what_no_gate_writes_has_no_signed_form() {
        for line in ["", "[]", r#"{"a":1,"a":1}"#, r#"{"a":1.5}"#, r#"{"a":{"b":1,"b":2}}"#, r#"{"a":1} x"#] {
            assert_eq!(rewritten(line), None, "{line}");
        }
        assert_eq!(as_written(r#"{"v":1,"a":1,"mac":"other"}"#, "mac"), None);
        assert_eq!(as_written(r#"{"v":2,"a":1,"mac":"mac"}"#, "mac"), None);
    }
}
