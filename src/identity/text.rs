//! Small helpers for text that ends up in records and messages.

/// Longest part of somebody else's text that is shown, in bytes.
const SHOWN: usize = 128;

/// Somebody else's text as it may stand in a record or a message: ASCII, escaped, and cut with a mark.
pub(super) fn shown(text: &str) -> String {
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
pub(super) fn suggestion<'a>(name: &str, known: impl Iterator<Item = &'a str> + Clone) -> String {
    match known.clone().map(|candidate| (distance(name, candidate), candidate)).min() {
        Some((distance, candidate)) if distance <= name.len().div_euclid(2).clamp(1, 3) => format!("did you mean `{candidate}`?"),
        _ => format!("known are {}", known.map(|k| format!("`{k}`")).collect::<Vec<_>>().join(", ")),
    }
}

/// The edit distance of Levenshtein.
fn distance(a: &str, b: &str) -> usize {
    let mut row: Vec<usize> = (0..=b.chars().count()).collect();
    for (i, ca) in a.chars().enumerate() {
        let mut diagonal = i;
        let mut left = i.saturating_add(1);
        let mut next = vec![left];
        for (cb, up) in b.chars().zip(row.iter().skip(1)) {
            let changed = diagonal.saturating_add(usize::from(ca != cb));
            left = changed.min(left.saturating_add(1)).min(up.saturating_add(1));
            diagonal = *up;
            next.push(left);
        }
        row = next;
    }
    row.last().copied().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::{distance, shown, suggestion};

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
        assert_eq!(distance("kitten", "sitting"), 3);
        assert_eq!(distance("", "abc"), 3);
        assert_eq!(suggestion("audiance", known.into_iter()), "did you mean `audience`?");
        assert_eq!(suggestion("key", known.into_iter()), "did you mean `keys`?");
        assert_eq!(suggestion("colour", known.into_iter()), "known are `audience`, `algorithms`, `keys`");
    }
}
