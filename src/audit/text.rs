//! Text in records: bounded, and harmless to whoever prints it.

use std::borrow::Cow;

use crate::limits::RECORD_STRING_BYTES;

/// `text` for a record: cut to [`RECORD_STRING_BYTES`], with characters that could break a line or drive a terminal
/// written as `\u{…}`.
///
/// JSON escapes only U+0000 to U+001F. DEL, the C1 controls, line and paragraph separators and the bidirectional
/// controls (CVE-2021-42574) stay as they are in JSON, so they are made visible here.
pub(super) fn clean(text: &str) -> Cow<'_, str> {
    // Nearly all text is plain and short, and is shown as it is.
    if text.len() <= RECORD_STRING_BYTES && (text.bytes().all(|byte| (0x20..0x7F).contains(&byte)) || !text.chars().any(is_hostile)) {
        return Cow::Borrowed(text);
    }
    let mut out = String::with_capacity(text.len().min(RECORD_STRING_BYTES));
    for c in text.chars() {
        if out.len() >= RECORD_STRING_BYTES {
            out.push('…');
            break;
        }
        if is_hostile(c) { out.extend(c.escape_unicode()) } else { out.push(c) }
    }
    Cow::Owned(out)
}

/// The same for bytes that may not be UTF-8.
pub(super) fn clean_bytes(bytes: &[u8]) -> String {
    clean(&String::from_utf8_lossy(bytes)).into_owned()
}

fn is_hostile(c: char) -> bool {
    c.is_control()
        || matches!(c, '\u{200B}'..='\u{200F}' | '\u{2028}'..='\u{202E}' | '\u{2060}'..='\u{206F}' | '\u{FEFF}' | '\u{E0000}'..='\u{E007F}')
}

#[cfg(test)]
mod tests {
    use super::clean;
    use crate::limits::RECORD_STRING_BYTES;

    #[test]
    fn ordinary_text_is_kept() {
        assert_eq!(clean("/api/documents/zusammenfassung-für-Łódź"), "/api/documents/zusammenfassung-für-Łódź");
    }

    #[test]
    fn control_and_direction_characters_become_visible() {
        assert_eq!(clean("a\nb\u{1b}[31m\u{202e}c\u{85}"), "a\\u{a}b\\u{1b}[31m\\u{202e}c\\u{85}");
    }

    #[test]
    fn long_text_is_cut_and_marked() {
        let long = "é".repeat(RECORD_STRING_BYTES);
        let cut = clean(&long);
        assert!(cut.ends_with('…') && cut.len() <= RECORD_STRING_BYTES + 8);
    }
}
