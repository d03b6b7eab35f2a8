//! Reading `entities.json` strictly: bounded depth, no member twice, and a place for every element.

use std::fmt;
use std::ops::Range;

use crate::limits;
use serde::de::{Deserialize, Deserializer, Error, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde_json::{Map, Number, Value};

/// The places of the elements of the array that `text` is.
///
/// # Errors
/// A place and what is wrong there.
pub(super) fn elements(text: &str) -> Result<Vec<Range<usize>>, (Range<usize>, String)> {
    let spans = scan(text)?;
    if let Err(error) = serde_json::from_str::<Vec<IgnoredAny>>(text) {
        let at = offset_of(text, error.line(), error.column());
        return Err((at..at.saturating_add(1).min(text.len()), message(&error)));
    }
    Ok(spans)
}

/// Finds depth and elements in JSON that need not be valid; whether it is valid is for serde to say.
fn scan(text: &str) -> Result<Vec<Range<usize>>, (Range<usize>, String)> {
    let (mut spans, mut depth, mut start): (Vec<Range<usize>>, usize, Option<usize>) = (vec![], 0, None);
    let (mut string, mut escaped) = (false, false);
    for (at, byte) in text.bytes().enumerate() {
        if string {
            (string, escaped) = (escaped || byte != b'"', !escaped && byte == b'\\');
            continue;
        }
        if depth == 1 && start.is_none() && !byte.is_ascii_whitespace() && !matches!(byte, b',' | b']') {
            start = Some(at);
        }
        match byte {
            b'"' => string = true,
            b'[' | b'{' => depth = depth.saturating_add(1),
            b']' | b'}' => {
                depth = depth.saturating_sub(1);
                if depth == 0 {
                    spans.extend(start.take().map(|from| from..at));
                }
            }
            b',' if depth == 1 => spans.extend(start.take().map(|from| from..at)),
            _ => {}
        }
        if depth > limits::ENTITIES_DEPTH {
            return Err((at..at.saturating_add(1), format!("nested deeper than {} levels", limits::ENTITIES_DEPTH)));
        }
    }
    Ok(spans)
}

/// A serde message without its place: the problem has one.
pub(super) fn message(error: &serde_json::Error) -> String {
    let text = error.to_string();
    text.rsplit_once(" at line ").map_or(text.clone(), |(message, _)| message.to_owned())
}

/// The line of an offset, from 1.
pub(super) fn line_of(text: &str, offset: usize) -> usize {
    text.bytes().take(offset).filter(|byte| *byte == b'\n').count().saturating_add(1)
}

fn offset_of(text: &str, line: usize, column: usize) -> usize {
    let before: usize = text.split_inclusive('\n').take(line.saturating_sub(1)).map(str::len).sum();
    before.saturating_add(column.saturating_sub(1)).min(text.len())
}

/// A JSON value in which no object has a member twice.
#[derive(Debug)]
pub(super) struct Unique(pub(super) Value);

impl<'de> Deserialize<'de> for Unique {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(UniqueVisitor).map(Self)
    }
}

struct UniqueVisitor;

impl<'de> Visitor<'de> for UniqueVisitor {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON value")
    }

    fn visit_bool<E: Error>(self, value: bool) -> Result<Value, E> {
        Ok(Value::Bool(value))
    }

    fn visit_i64<E: Error>(self, value: i64) -> Result<Value, E> {
        Ok(Value::Number(value.into()))
    }

    fn visit_u64<E: Error>(self, value: u64) -> Result<Value, E> {
        Ok(Value::Number(value.into()))
    }

    fn visit_f64<E: Error>(self, value: f64) -> Result<Value, E> {
        Number::from_f64(value).map(Value::Number).ok_or_else(|| E::custom("not a number"))
    }

    fn visit_str<E: Error>(self, value: &str) -> Result<Value, E> {
        Ok(Value::String(value.to_owned()))
    }

    fn visit_unit<E: Error>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Value, A::Error> {
        let mut items = vec![];
        while let Some(Unique(item)) = seq.next_element()? {
            items.push(item);
        }
        Ok(Value::Array(items))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Value, A::Error> {
        let mut members = Map::new();
        while let Some((name, Unique(value))) = map.next_entry::<String, Unique>()? {
            if members.contains_key(&name) {
                return Err(A::Error::custom(format!("the member `{name}` occurs twice")));
            }
            members.insert(name, value);
        }
        Ok(Value::Object(members))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn elements_are_found_whatever_they_hold() {
        let text = r#" [ {"a": "]},\"["} , [1,2],3 ] "#;
        let found: Vec<_> = elements(text).unwrap().into_iter().map(|span| text[span].trim_end()).collect();
        assert_eq!(found, [r#"{"a": "]},\"["}"#, "[1,2]", "3"]);
        assert_eq!(elements("[]"), Ok(vec![]));
    }

    #[test]
    fn what_is_not_an_array_has_a_place() {
        let text = "[\n  {\"a\": tru}\n]";
        assert_eq!(elements(text).unwrap_err().0.start, text.find('}').unwrap());
        assert!(elements("{}").is_err());
        assert!(elements("").is_err());
        assert!(elements("[1] 2").is_err());
    }

    #[test]
    fn depth_is_bounded_before_anything_recurses() {
        let nested = |depth: usize| format!("{}{}", "[".repeat(depth), "]".repeat(depth));
        assert!(elements(&nested(limits::ENTITIES_DEPTH)).is_ok());
        assert!(elements(&nested(limits::ENTITIES_DEPTH + 1)).unwrap_err().1.contains("nested deeper"));
        assert!(elements(&nested(1_000_000)).is_err());
    }

    #[test]
    fn a_member_occurs_once() {
        assert_eq!(serde_json::from_str::<Unique>(r#"{"a":1,"b":[null,true,"x",1.5,-1]}"#).unwrap().0["b"][4], Value::from(-1));
        assert!(serde_json::from_str::<Unique>(r#"{"a":{"b":1,"b":2}}"#).unwrap_err().to_string().contains("`b` occurs twice"));
    }
}
