//! Byte offsets to lines and columns.

use std::ops::Range;

/// A place in a file as people and editors count: from 1, columns in characters (Unicode scalar values).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Position {
    pub line: usize,
    pub column: usize,
}

impl Position {
    /// The position of a byte offset. One past the end of `bytes` counts as their end; bytes that are not UTF-8 count as
    /// one character for each stretch an editor would show as one replacement mark.
    pub(super) fn of(bytes: &[u8], offset: usize) -> Self {
        let before = bytes.get(..offset).unwrap_or(bytes);
        let last_line = before.rsplit(|byte| *byte == b'\n').next().unwrap_or_default();
        let column = String::from_utf8_lossy(last_line).chars().count();
        let line = before.split(|byte| *byte == b'\n').count();
        Self { line, column: column.saturating_add(1) }
    }
}

/// `span` inside `bytes`: an end before the start, or beyond the end, is brought back.
pub(super) fn clamp(bytes: &[u8], span: &Range<usize>) -> Range<usize> {
    let start = span.start.min(bytes.len());
    start..span.end.clamp(start, bytes.len())
}

/// The longest line, in bytes, that `span` touches.
pub(super) fn longest_line(bytes: &[u8], span: &Range<usize>) -> usize {
    let from =
        bytes.get(..span.start).and_then(|before| before.iter().rposition(|byte| *byte == b'\n')).map_or(0, |at| at.saturating_add(1));
    let to = bytes.get(span.end..).and_then(|after| after.iter().position(|byte| *byte == b'\n'));
    let to = to.map_or(bytes.len(), |at| span.end.saturating_add(at));
    bytes.get(from..to).unwrap_or_default().split(|byte| *byte == b'\n').map(<[u8]>::len).max().unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(text: &str, needle: &str) -> (usize, usize) {
        let position = Position::of(text.as_bytes(), text.find(needle).unwrap());
        (position.line, position.column)
    }

    #[test]
    fn columns_are_characters_not_bytes() {
        let text = "permit;\n  // Zoë 🙂 äö\n\"é\" X";
        assert_eq!(at(text, "permit"), (1, 1));
        assert_eq!(at(text, ";"), (1, 7));
        assert_eq!(at(text, "🙂"), (2, 10));
        assert_eq!(at(text, "äö"), (2, 12));
        assert_eq!(at(text, "X"), (3, 5));
    }

    #[test]
    fn line_ends_belong_to_the_line_they_end() {
        let text = "a\r\nb\n\nc";
        assert_eq!(at(text, "\n"), (1, 3));
        assert_eq!(at(text, "b"), (2, 1));
        assert_eq!(at(text, "c"), (4, 1));
    }

    #[test]
    fn a_place_outside_is_the_end() {
        assert_eq!(Position::of(b"ab\n", 3), Position { line: 2, column: 1 });
        assert_eq!(Position::of(b"ab", 99), Position { line: 1, column: 3 });
        assert_eq!(Position::of(b"", 0), Position { line: 1, column: 1 });
        assert_eq!(clamp(b"abc", &(2..99)), 2..3);
        #[expect(clippy::reversed_empty_ranges, reason = "the point of the test")]
        let reversed = 3..1;
        assert_eq!(clamp(b"abcd", &reversed), 3..3);
        assert_eq!(clamp(b"", &(7..9)), 0..0);
    }

    #[test]
    fn bytes_that_are_not_utf8_do_not_stop_the_counting() {
        assert_eq!(Position::of(b"a\xffb", 2), Position { line: 1, column: 3 });
        assert_eq!(Position::of("é".as_bytes(), 1), Position { line: 1, column: 2 });
    }

    #[test]
    fn the_longest_line_a_span_touches() {
        assert_eq!(longest_line(b"a\nbbbb\ncc", &(3..4)), 4);
        assert_eq!(longest_line(b"a\nbbbb\nccccc", &(3..8)), 5);
        assert_eq!(longest_line(b"aaa", &(3..3)), 3);
        assert_eq!(longest_line(b"", &(0..0)), 0);
    }
}
