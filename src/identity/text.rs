//! Small helpers for text that ends up in records and messages.

use crate::bundle::nearest;

/// Longest part of somebody else's text that is shown, in bytes.
const SHOWN: usize = 128;

/// Somebody else's text as it may stand in a record or a message: ASCII, escaped, and cut with a mark.
pub(crate) fn shown(text: &str) -> String {
    let mut out = String::new();
    for escaped in text.chars().map(|c| c.escape_default().to_string()) {
        if out.len().saturating_add(escaped.len()) > SHOWN {
            out.push('…');
            break;
        }
        out.push_str(&escaped);
    }
    out
}

/// Advice on a name that is not known: the nearest known one, else all of them.
pub(crate) fn suggestion<'a>(name: &str, known: impl Iterator<Item = &'a str> + Clone) -> String {
    match nearest(name, known.clone()) {
        Some(candidate) => format!("did you mean `{candidate}`?"),
        None => format!("known are {}", known.map(|k| format!("`{k}`")).collect::<Vec<_>>().join(", ")),
    }
}

#[cfg(test)]
mod tests {
    use super::{shown, suggestion};

    #[test]
    fn shown_text_is_short_and_cannot_break_a_line() {
        assert_eq!(shown("key-1"), "key-1");
        assert_eq!(shown("a\r\n\"\u{202e}é"), r#"a\r\n\"\u{202e}\u{e9}"#);
        let long = shown(&"x".repeat(1000));
        assert_eq!((long.len(), long.chars().last()), (128 + '…'.len_utf8(), Some('…')));
        assert!(shown(&"\u{1f600}".repeat(1000)).len() <= 128 + '…'.len_utf8());
    }

    #[test]
    fn the_nearest_name_is_suggested() {
        let known = ["audience", "algorithms", "keys"];
        assert_eq!(suggestion("audiance", known.into_iter()), "did you mean `audience`?");
        assert_eq!(suggestion("key", known.into_iter()), "did you mean `keys`?");
        assert_eq!(suggestion("colour", known.into_iter()), "known are `audience`, `algorithms`, `keys`");
    }
}
