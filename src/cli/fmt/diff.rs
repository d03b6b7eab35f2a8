//! What differs between two texts, in a few lines.

use std::fmt::Write as _;

use crate::cli::output::visible;

/// Most lines shown of one file, where nobody asks for more.
pub(in crate::cli) const SHOWN: usize = 24;
/// How far ahead a line is looked for that both texts have.
const AHEAD: usize = 40;

/// The first lines that differ, [`SHOWN`] of them at most.
pub(super) fn short(before: &str, after: &str) -> String {
    first(before, after, SHOWN)
}

/// The first lines that differ, at most so many, `-` before and `+` after, each run of them below the number of its first line.
pub(in crate::cli) fn first(before: &str, after: &str, most: usize) -> String {
    let (mut old, mut new) = (&*before.lines().collect::<Vec<_>>(), &*after.lines().collect::<Vec<_>>());
    let (mut text, mut shown, mut hidden, mut line) = (String::new(), 0_usize, 0_usize, 1_usize);
    loop {
        let same = old.iter().zip(new).take_while(|(a, b)| a == b).count();
        (old, new) = (old.get(same..).unwrap_or_default(), new.get(same..).unwrap_or_default());
        line = line.saturating_add(same);
        if old.is_empty() && new.is_empty() {
            break;
        }
        let (removed, added) = until_they_meet(old, new);
        if shown < most {
            let _ = writeln!(text, "  line {line}:");
        }
        let marked = |lines: &[&str], mark| lines.iter().map(|line| format!("  {mark} {}\n", visible(line))).collect::<Vec<_>>();
        let gone = marked(old.get(..removed).unwrap_or_default(), '-');
        for part in gone.into_iter().chain(marked(new.get(..added).unwrap_or_default(), '+')) {
            if shown < most {
                text.push_str(&part);
                shown = shown.saturating_add(1);
            } else {
                hidden = hidden.saturating_add(1);
            }
        }
        (old, new) = (old.get(removed..).unwrap_or_default(), new.get(added..).unwrap_or_default());
        line = line.saturating_add(removed);
    }
    if hidden > 0 {
        let _ = writeln!(text, "  … and {hidden} more lines");
    }
    if text.is_empty() {
        // The same lines: what differs is how they end.
        text.push_str("  the ends of lines, or of the file\n");
    }
    text
}

/// How many lines of each are before the nearest line that both have; all of them where there is none near.
fn until_they_meet(old: &[&str], new: &[&str]) -> (usize, usize) {
    let sums = 1..=AHEAD.saturating_mul(2);
    let pairs = sums.flat_map(|sum| (0..=sum).map(move |removed| (removed, sum.saturating_sub(removed))));
    let meets = |(removed, added): &(usize, usize)| match (old.get(*removed), new.get(*added)) {
        (Some(a), Some(b)) => a == b && !a.trim().is_empty(),
        // One of them ends here: so must the other.
        (None, None) => *removed == old.len() && *added == new.len(),
        _ => false,
    };
    pairs.into_iter().find(meets).unwrap_or((old.len(), new.len()))
}

#[cfg(test)]
mod tests {
    use super::short;

    #[test]
    fn only_what_differs_is_shown() {
        assert_eq!(short("a\nb\nc\nd\n", "a\nB\nc\nd\ne\n"), "  line 2:\n  - b\n  + B\n  line 5:\n  + e\n");
        assert_eq!(short("a\nx\ny\nb\n", "a\nb\n"), "  line 2:\n  - x\n  - y\n");
        assert_eq!(short("a\r\n", "a\n"), "  the ends of lines, or of the file\n");
    }

    #[test]
    fn a_long_diff_is_cut_and_says_so() {
        let before: String = (0..200).map(|i| format!("a{i}\n")).collect();
        let shown = short(&before, &before.replace('a', "b"));
        assert!(shown.lines().count() < 30 && shown.ends_with("  … and 376 more lines\n"), "{shown}");
    }

    #[test]
    fn nothing_in_a_file_steers_the_terminal() {
        assert!(!short("a\u{1b}[2J\n", "a\n").contains('\u{1b}'));
    }
}
