//! A JSON object read member by member, as the gate's own endpoints and variables take them: nothing may be left over.

use super::json::{Json, JsonError, Object};
use super::text::{shown, suggestion};
use crate::decision::UnixTime;
use crate::limits;

/// The members of an object that were not looked at yet.
pub(crate) struct Members {
    of: String,
    members: Object,
}

impl Members {
    /// A whole body: one JSON object, no member of it twice.
    ///
    /// # Errors
    /// What is wrong, in words that repeat nothing of the body but names.
    pub(crate) fn parse(body: &[u8]) -> Result<Self, String> {
        match Json::parse(body) {
            Ok(Json::Object(members)) => Ok(Self { of: "the body".to_owned(), members }),
            Ok(_) => Err("the body is not a JSON object".to_owned()),
            Err(JsonError::Syntax(at)) => Err(format!("the body is not JSON, at byte {at}")),
            Err(JsonError::Duplicate(name)) => Err(format!("the member `{}` occurs twice", shown(&name))),
            Err(JsonError::TooDeep(_)) => Err("the body is nested too deeply".to_owned()),
        }
    }

    /// Whether a member is there that was not looked at yet.
    pub(crate) fn has(&self, name: &str) -> bool {
        self.members.contains_key(name)
    }

    /// A whole number within a range.
    pub(crate) fn integer(&mut self, name: &str, range: std::ops::RangeInclusive<i64>) -> Result<Option<i64>, String> {
        match self.members.remove(name) {
            None => Ok(None),
            Some(Json::Int(number)) if range.contains(&number) => Ok(Some(number)),
            Some(_) => Err(format!("`{name}` of {} is not a whole number from {} to {}", self.of, range.start(), range.end())),
        }
    }

    /// `true` or `false`; `false` when it is not there.
    pub(crate) fn flag(&mut self, name: &str) -> Result<bool, String> {
        match self.members.remove(name) {
            None => Ok(false),
            Some(Json::Bool(value)) => Ok(value),
            Some(_) => Err(format!("`{name}` of {} is neither `true` nor `false`", self.of)),
        }
    }

    /// A string, or an array of them that is not empty.
    pub(crate) fn texts(&mut self, name: &str, most: usize) -> Result<Option<Vec<String>>, String> {
        let wrong = || Err(format!("`{name}` of {} is neither a string nor an array of strings", self.of));
        let texts = match self.members.remove(name) {
            None => return Ok(None),
            Some(Json::String(text)) => vec![text],
            Some(Json::Array(values)) => {
                let texts: Option<Vec<String>> = values.iter().map(|value| value.as_str().map(str::to_owned)).collect();
                match texts.filter(|texts| !texts.is_empty()) {
                    Some(texts) => texts,
                    None => return wrong(),
                }
            }
            Some(_) => return wrong(),
        };
        if texts.iter().any(|text| text.is_empty() || text.len() > most) {
            return Err(format!("`{name}` of {} has an entry that is empty or has more than {most} bytes", self.of));
        }
        Ok(Some(texts))
    }

    /// An array of objects; their names in messages are `name[0]` and so on.
    pub(crate) fn objects(&mut self, name: &str, most: usize) -> Result<Option<Vec<Self>>, String> {
        let wrong = || Err(format!("`{name}` of {} is not an array of 1 to {most} objects", self.of));
        let Some(value) = self.members.remove(name) else { return Ok(None) };
        let Json::Array(values) = value else { return wrong() };
        if values.is_empty() || values.len() > most {
            return wrong();
        }
        let one = |(index, value)| match value {
            Json::Object(members) => Ok(Self { of: format!("`{name}[{index}]`"), members }),
            _ => Err(format!("`{name}[{index}]` is not an object")),
        };
        values.into_iter().enumerate().map(one).collect::<Result<Vec<_>, _>>().map(Some)
    }

    /// Every member that was not looked at yet must be an object: its name, and the object.
    pub(crate) fn each_object(&mut self) -> Result<Vec<(String, Self)>, String> {
        let of = self.of.clone();
        let one = |(name, value): (String, Json)| match value {
            Json::Object(members) => {
                let shown = format!("`{}` of {of}", shown(&name));
                Ok((name, Self { of: shown, members }))
            }
            _ => Err(format!("`{}` of {of} is not an object", shown(&name))),
        };
        std::mem::take(&mut self.members).into_iter().map(one).collect()
    }

    /// What it is called in messages.
    pub(crate) fn name(&self) -> &str {
        &self.of
    }
    /// An object.
    pub(crate) fn object(&mut self, name: &str) -> Result<Self, String> {
        match self.members.remove(name) {
            Some(Json::Object(members)) => Ok(Self { of: format!("`{name}`"), members }),
            _ => Err(format!("`{name}` is not an object")),
        }
    }

    /// A string that is not empty.
    pub(crate) fn text(&mut self, name: &str, most: usize) -> Result<Option<String>, String> {
        match self.members.remove(name) {
            None => Ok(None),
            Some(Json::String(text)) if text.is_empty() => Err(format!("`{name}` of {} is empty", self.of)),
            Some(Json::String(text)) if text.len() > most => Err(format!("`{name}` of {} has more than {most} bytes", self.of)),
            Some(Json::String(text)) => Ok(Some(text)),
            Some(_) => Err(format!("`{name}` of {} is not a string", self.of)),
        }
    }

    /// The same for a member that must be there.
    pub(crate) fn required(&mut self, name: &str, most: usize) -> Result<String, String> {
        self.text(name, most)?.ok_or_else(|| format!("{} has no `{name}`", self.of))
    }

    /// A time in whole seconds since 1970.
    pub(crate) fn time(&mut self, name: &str) -> Result<Option<UnixTime>, String> {
        match self.members.remove(name) {
            None => Ok(None),
            Some(Json::Int(seconds)) if (0..=limits::LATEST_SECONDS).contains(&seconds) => Ok(Some(UnixTime(seconds))),
            Some(_) => Err(format!("`{name}` of {} is not a time in whole seconds since 1970", self.of)),
        }
    }

    /// Nothing may be left over: a member that is not understood could be the one that matters.
    pub(crate) fn end(&self, known: &[&str]) -> Result<(), String> {
        let Some(name) = self.members.keys().next() else { return Ok(()) };
        let advice = if known.is_empty() { String::new() } else { format!(": {}", suggestion(name, known.iter().copied())) };
        Err(format!("{} has no member `{}`{advice}", self.of, shown(name)))
    }
}
