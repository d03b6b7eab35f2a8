//! Names of Cedar entities.

/// Type and id of an entity as records write it: `Gate::User::"dev/alice"`.
pub fn entity(text: &str) -> Option<(&str, String)> {
    let (kind, quoted) = text.split_once("::\"")?;
    let quoted = quoted.strip_suffix('"')?;
    let mut id = String::with_capacity(quoted.len());
    let mut rest = quoted.chars();
    while let Some(c) = rest.next() {
        match (c, c == '\\') {
            (c, false) => id.push(c),
            // Cedar escapes as Rust's strings do. What is no escape stays as it is: it was cut, or is not Cedar's.
            (_, true) => match rest.next() {
                Some(c @ ('"' | '\\' | '\'')) => id.push(c),
                Some('n') => id.push('\n'),
                Some('r') => id.push('\r'),
                Some('t') => id.push('\t'),
                Some('0') => id.push('\0'),
                other => {
                    id.push('\\');
                    id.extend(other);
                }
            },
        }
    }
    Some((kind, id))
}

#[cfg(test)]
mod tests {
    use super::entity;

    #[test]
    fn a_name_is_a_type_and_an_id() {
        let some = |kind, id: &str| Some((kind, id.to_owned()));
        assert_eq!(entity("Gate::User::\"dev/alice\""), some("Gate::User", "dev/alice"));
        assert_eq!(entity(r#"User::"a\"b\\c\u{85}""#), some("User", r#"a"b\c\u{85}"#));
        assert_eq!(entity("A::\"x::\"y\""), some("A", "x::\"y"));
        assert_eq!(entity("A::\"\""), some("A", ""));
        for wrong in ["", "alice", "A::\"cut…", "A::", "::\""] {
            assert_eq!(entity(wrong), None, "{wrong}");
        }
    }
}
