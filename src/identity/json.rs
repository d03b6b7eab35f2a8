//! JSON as the gate reads it from tokens and key sets: no member twice, nesting bounded before anything recurses.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::fmt;

use serde::de::{DeserializeSeed, Deserializer, MapAccess, SeqAccess, Visitor};

use crate::limits;

/// A JSON value. Ordered, so that nothing depends on hash seeds.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Json {
    /// `null`.
    Null,
    /// `true` or `false`.
    Bool(bool),
    /// An integer that fits.
    Int(i64),
    /// A larger integer.
    Big(u64),
    /// A number with a fraction or an exponent.
    Float(f64),
    /// A string.
    String(String),
    /// An array.
    Array(Vec<Json>),
    /// An object.
    Object(Object),
}

/// The members of an object.
pub(crate) type Object = BTreeMap<String, Json>;

/// Why a text was refused.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum JsonError {
    /// Not JSON; the offset in bytes.
    Syntax(usize),
    /// This member occurs twice in one object.
    Duplicate(String),
    /// Deeper than [`limits::JSON_DEPTH`]; the offset in bytes.
    TooDeep(usize),
}

impl Json {
    /// Parses a whole text.
    pub(crate) fn parse(bytes: &[u8]) -> Result<Self, JsonError> {
        // SECURITY: before the parser, which recurses. A stack overflow in the component would end it for everybody.
        if let Some(offset) = too_deep(bytes) {
            return Err(JsonError::TooDeep(offset));
        }
        let mut duplicate = None;
        let mut parser = serde_json::Deserializer::from_slice(bytes);
        let value = Seed(&mut duplicate).deserialize(&mut parser).and_then(|value| parser.end().map(|()| value));
        match (value, duplicate) {
            (Err(error), _) => Err(JsonError::Syntax(offset(bytes, error.line(), error.column()))),
            (Ok(_), Some(name)) => Err(JsonError::Duplicate(name)),
            (Ok(value), None) => Ok(value),
        }
    }

    /// The string, if it is one.
    pub(super) fn as_str(&self) -> Option<&str> {
        match self {
            Self::String(value) => Some(value),
            _ => None,
        }
    }

    /// The members, if it is an object.
    pub(super) fn as_object(&self) -> Option<&Object> {
        match self {
            Self::Object(members) => Some(members),
            _ => None,
        }
    }
}

/// Where the nesting passes the limit, found without recursion. Counts brackets outside strings, so it never
/// underestimates what a parser would see in a valid text.
fn too_deep(bytes: &[u8]) -> Option<usize> {
    let (mut depth, mut quoted, mut escaped) = (0_usize, false, false);
    for (offset, byte) in bytes.iter().enumerate() {
        match (quoted, byte) {
            (true, _) if escaped => escaped = false,
            (true, b'\\') => escaped = true,
            (_, b'"') => quoted = !quoted,
            (false, b'{' | b'[') => {
                depth = depth.saturating_add(1);
                if depth > limits::JSON_DEPTH {
                    return Some(offset);
                }
            }
            (false, b'}' | b']') => depth = depth.saturating_sub(1),
            _ => {}
        }
    }
    None
}

fn offset(bytes: &[u8], line: usize, column: usize) -> usize {
    let before: usize = bytes.split_inclusive(|b| *b == b'\n').take(line.saturating_sub(1)).map(<[u8]>::len).sum();
    before.saturating_add(column.saturating_sub(1)).min(bytes.len().saturating_sub(1))
}

/// Remembers the first member that occurs twice; the caller refuses the text then.
struct Seed<'a>(&'a mut Option<String>);

impl<'de> DeserializeSeed<'de> for Seed<'_> {
    type Value = Json;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Json, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Seed<'_> {
    type Value = Json;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("JSON")
    }

    fn visit_unit<E>(self) -> Result<Json, E> {
        Ok(Json::Null)
    }

    fn visit_bool<E>(self, value: bool) -> Result<Json, E> {
        Ok(Json::Bool(value))
    }

    fn visit_i64<E>(self, value: i64) -> Result<Json, E> {
        Ok(Json::Int(value))
    }

    fn visit_u64<E>(self, value: u64) -> Result<Json, E> {
        Ok(i64::try_from(value).map_or(Json::Big(value), Json::Int))
    }

    fn visit_f64<E>(self, value: f64) -> Result<Json, E> {
        Ok(Json::Float(value))
    }

    fn visit_str<E>(self, value: &str) -> Result<Json, E> {
        Ok(Json::String(value.to_owned()))
    }

    fn visit_string<E>(self, value: String) -> Result<Json, E> {
        Ok(Json::String(value))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut elements: A) -> Result<Json, A::Error> {
        let mut array = Vec::new();
        while let Some(element) = elements.next_element_seed(Seed(&mut *self.0))? {
            array.push(element);
        }
        Ok(Json::Array(array))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut members: A) -> Result<Json, A::Error> {
        let mut object = Object::new();
        // Names are compared after unescaping: `"exp"` and `"\u0065xp"` are the same member.
        while let Some(name) = members.next_key::<String>()? {
            let value = members.next_value_seed(Seed(&mut *self.0))?;
            match object.entry(name) {
                Entry::Occupied(entry) => drop(self.0.get_or_insert_with(|| entry.key().clone())),
                Entry::Vacant(entry) => drop(entry.insert(value)),
            }
        }
        Ok(Json::Object(object))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::{Json, JsonError};
    use crate::limits;

    #[test]
    fn values_keep_their_types() {
        let json = Json::parse(br#" {"a":[null,true,-1,18446744073709551615,1.5,1e3,"x\u00e9"],"b":{}} "#).unwrap();
        let object = json.as_object().unwrap();
        assert_eq!(
            object.get("a"),
            Some(&Json::Array(vec![
                Json::Null,
                Json::Bool(true),
                Json::Int(-1),
                Json::Big(u64::MAX),
                Json::Float(1.5),
                Json::Float(1000.0),
                Json::String("xé".to_owned()),
            ]))
        );
        assert_eq!(object.get("b"), Some(&Json::Object(Default::default())));
    }

    #[test]
    fn what_is_not_one_json_text_is_refused() {
        for text in
            ["", " ", "{", "{}{}", "{} x", "{'a':1}", "{\"a\":01}", "[1,]", "nul", "\"\u{1}\"", "\"\\ud800\"", "\u{feff}{}", "NaN", "1e999"]
        {
            assert!(matches!(Json::parse(text.as_bytes()), Err(JsonError::Syntax(_))), "{text:?}");
        }
        assert!(matches!(Json::parse(b"\"\xff\""), Err(JsonError::Syntax(_))));
        assert_eq!(Json::parse(b"{\n \"a\": x}"), Err(JsonError::Syntax(8)));
    }

    #[test]
    fn a_member_may_not_occur_twice_at_any_level() {
        assert!(Json::parse(br#"{"a":1,"b":{"a":1},"A":1}"#).is_ok());
        for text in [r#"{"a":1,"a":1}"#, r#"{"a":1,"\u0061":2}"#, r#"{"x":[{"y":{"a":1,"b":2,"a":3}}]}"#] {
            assert_eq!(Json::parse(text.as_bytes()), Err(JsonError::Duplicate("a".to_owned())), "{text}");
        }
    }

    #[test]
    fn nesting_is_bounded_before_anything_recurses() {
        let nested = |n: usize| format!("{}1{}", "[".repeat(n), "]".repeat(n));
        assert!(Json::parse(nested(limits::JSON_DEPTH).as_bytes()).is_ok());
        assert_eq!(Json::parse(nested(limits::JSON_DEPTH + 1).as_bytes()), Err(JsonError::TooDeep(limits::JSON_DEPTH)));
        assert!(matches!(Json::parse(nested(10_000_000).as_bytes()), Err(JsonError::TooDeep(_))));
        assert!(matches!(Json::parse("{\"a\":".repeat(10_000).as_bytes()), Err(JsonError::TooDeep(_))));
        // Brackets within strings do not count, and an escaped quote does not end a string.
        assert!(Json::parse(format!(r#"["\"{}"]"#, "[".repeat(100)).as_bytes()).is_ok());
        assert!(matches!(Json::parse(format!(r#"["\\",{}]"#, nested(20)).as_bytes()), Err(JsonError::TooDeep(_))));
    }

    proptest! {
        #[test]
        fn no_bytes_make_it_panic(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            let _ = Json::parse(&bytes);
        }

        #[test]
        fn what_it_takes_is_what_the_reference_parser_takes(text in r#"[\[\]{}",:a0-9. e\\u-]{0,24}"#) {
            let reference = serde_json::from_str::<serde_json::Value>(&text).is_ok();
            match Json::parse(text.as_bytes()) {
                Ok(_) => prop_assert!(reference),
                Err(JsonError::Syntax(_)) => prop_assert!(!reference),
                Err(JsonError::Duplicate(_) | JsonError::TooDeep(_)) => {}
            }
        }
    }
}
