//! Spin's variable templates: `{{ name }}` inside of text.

use std::collections::BTreeMap;

/// One piece of a template.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Part {
    Text(String),
    Variable(String),
}

/// Text with variables in it, as `[component.*.variables]` and `allowed_outbound_hosts` have them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Template(Vec<Part>);

impl Template {
    /// Reads a template.
    ///
    /// # Errors
    /// A sentence when a `{{` is never closed.
    pub fn parse(text: &str) -> Result<Self, String> {
        let mut parts = Vec::new();
        let mut rest = text;
        while let Some((before, after)) = rest.split_once("{{") {
            let Some((name, after)) = after.split_once("}}") else {
                return Err(format!("`{text}` has an unmatched `{{{{`"));
            };
            if !before.is_empty() {
                parts.push(Part::Text(before.to_owned()));
            }
            parts.push(Part::Variable(name.trim().to_owned()));
            rest = after;
        }
        if !rest.is_empty() {
            parts.push(Part::Text(rest.to_owned()));
        }
        Ok(Self(parts))
    }

    /// The variables it names.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.0.iter().filter_map(|part| match part {
            Part::Variable(name) => Some(name.as_str()),
            Part::Text(_) => None,
        })
    }

    /// Puts the values in.
    ///
    /// # Errors
    /// The name of the first variable without a value.
    pub fn fill(&self, values: &BTreeMap<String, String>) -> Result<String, String> {
        self.0
            .iter()
            .map(|part| match part {
                Part::Text(text) => Ok(text.as_str()),
                Part::Variable(name) => values.get(name).map(String::as_str).ok_or_else(|| name.clone()),
            })
            .collect()
    }
}

/// Why a name cannot be a variable's, as Spin says it; `None` when it can.
pub fn name_problem(name: &str) -> Option<&'static str> {
    let inside = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_';
    if !name.chars().all(inside) {
        Some("variable names may contain only lower-case letters, digits and underscores")
    } else if !name.starts_with(|c: char| c.is_ascii_lowercase()) {
        Some("variable names must start with a lower-case letter")
    } else if name.ends_with('_') {
        Some("variable names must end with a letter or digit")
    } else if name.contains("__") {
        Some("variable names must not contain two underscores in a row")
    } else {
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn templates_are_filled() {
        let values = BTreeMap::from([("origin".to_owned(), "http://api".to_owned()), ("port".to_owned(), "81".to_owned())]);
        for (template, filled) in [
            ("", ""),
            ("plain", "plain"),
            ("{{ origin }}", "http://api"),
            ("{{origin}}:{{ port }}/", "http://api:81/"),
            ("a { b } }}", "a { b } }}"),
        ] {
            assert_eq!(Template::parse(template).unwrap().fill(&values).as_deref(), Ok(filled), "{template}");
        }
        assert_eq!(Template::parse("x{{ gone }}").unwrap().fill(&values), Err("gone".into()));
        assert!(Template::parse("{{ origin }} {{ open").is_err());
    }

    #[test]
    fn names_are_spins() {
        for good in ["a", "origin", "edge_region", "a1_2"] {
            assert_eq!(name_problem(good), None, "{good}");
        }
        for bad in ["", "A", "1a", "_a", "a_", "a__b", "a-b", "ä"] {
            assert!(name_problem(bad).is_some(), "{bad}");
        }
    }
}
