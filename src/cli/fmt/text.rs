//! One file's text, formatted, and held against what it was.

use std::str::FromStr as _;

use cedar_policy::{PolicySet, SchemaFragment};
use cedar_policy_formatter::{Config, policies_str_to_pretty};

use crate::bundle::{Problem, Report};

/// Wider than Cedar's own 80: a scope with two entities in it stays on one line each.
const CONFIG: Config = Config { line_width: 120, indent_width: 2 };
/// How often the formatter is given its own output until nothing changes.
const ROUNDS: usize = 4;

/// Policies in Cedar's form. `None`, with a problem told, when they cannot be had in it.
pub(in crate::cli) fn policies(file: &str, text: &str, report: &mut Report) -> Option<String> {
    let before = match PolicySet::from_str(text) {
        Ok(set) => set,
        Err(error) => {
            report.add(crate::policy::syntax(file, "policy.syntax", &error));
            return None;
        }
    };
    // It leaves nothing of a file that holds comments only.
    if before.is_empty() {
        return Some(tidy(text));
    }
    let mut formatted = text.to_owned();
    for _ in 0..ROUNDS {
        let next = match policies_str_to_pretty(&formatted, &CONFIG) {
            Ok(next) => next,
            Err(error) => {
                refuse(file, &format!("Cedar's formatter fails: {error}"), report);
                return None;
            }
        };
        if next == formatted {
            break;
        }
        formatted = next;
    }
    let formatted = with_edges(text, &formatted);
    // INVARIANT: what is written says what was read. The formatter promises it; a policy is not left to a promise.
    let meaning = |set: PolicySet| set.to_json().ok();
    let same = PolicySet::from_str(&formatted).ok().and_then(meaning).zip(meaning(before)).is_some_and(|(after, before)| after == before);
    if !same {
        refuse(file, "formatted, it would not be the same policies", report);
        return None;
    }
    if comments(&formatted) != comments(text) {
        refuse(file, "formatted, it would lose a comment", report);
        return None;
    }
    Some(formatted)
}

/// What stands before the first policy and behind the last keeps its empty lines, of which the formatter leaves none: a comment
/// about the whole file is none about its first policy.
fn with_edges(before: &str, formatted: &str) -> String {
    let old: Vec<&str> = before.lines().map(str::trim_end).collect();
    let new: Vec<&str> = formatted.lines().collect();
    let no_code = |line: &&&str| line.trim().is_empty() || line.trim_start().starts_with("//");
    let head = |lines: &[&str]| lines.iter().take_while(no_code).count();
    let tail = |lines: &[&str]| lines.len().saturating_sub(lines.iter().rev().take_while(no_code).count());
    let (old_head, new_head) = (old.split_at(head(&old)).0, new.split_at(head(&new)).0);
    let (old_tail, new_tail) = (old.split_at(tail(&old)).1, new.split_at(tail(&new)).1);
    let same = |a: &[&str], b: &[&str]| {
        let said = |lines: &[&str]| lines.iter().map(|line| line.trim().to_owned()).filter(|line| !line.is_empty()).collect::<Vec<_>>();
        said(a) == said(b)
    };
    let edge = |old: &[&str], new: &[&str]| tidy(&if same(old, new) { old } else { new }.join("\n"));
    let gap = |lines: &[&str], at: Option<&&str>| if !lines.is_empty() && at.is_some_and(|line| line.is_empty()) { "\n" } else { "" };
    let (head_gap, tail_gap) = (gap(old_head, old_head.last()), gap(old_tail, old_tail.first()));
    let (head, tail) = (edge(old_head, new_head), edge(old_tail, new_tail));
    let middle = new.get(new_head.len()..new.len().saturating_sub(new_tail.len())).unwrap_or_default().join("\n");
    let apart = |edge: &str, gap: &'static str| if edge.is_empty() { "" } else { gap };
    format!("{head}{}{middle}\n{}{tail}", apart(&head, head_gap), apart(&tail, tail_gap))
}

/// A schema with its lines' ends put right. `None`, with a problem told, when it is none.
pub(super) fn schema(file: &str, text: &str, report: &mut Report) -> Option<String> {
    let meaning = |text: &str| match SchemaFragment::from_cedarschema_str(text) {
        Ok((fragment, _)) => Ok(fragment.to_json_value().ok()),
        Err(error) => Err(crate::policy::syntax(file, "schema.invalid", &error)),
    };
    let before = match meaning(text) {
        Ok(before) => before,
        Err(problem) => {
            report.add(problem);
            return None;
        }
    };
    let tidied = tidy(text);
    match meaning(&tidied) {
        Ok(after) if after.is_some() && after == before => Some(tidied),
        _ => {
            refuse(file, "formatted, it would not be the same schema", report);
            None
        }
    }
}

fn refuse(file: &str, message: &str, report: &mut Report) {
    report
        .add(Problem::new(file, "fmt.refused", message).help("the file is left as it is; this is a fault of the formatter, not of yours"));
}

/// No spaces at the ends of lines, no empty lines at either end, one line end after the last.
fn tidy(text: &str) -> String {
    let lines: Vec<&str> = text.lines().map(str::trim_end).collect();
    let tidied = lines.join("\n");
    let tidied = tidied.trim_matches('\n');
    if tidied.is_empty() { String::new() } else { format!("{tidied}\n") }
}

/// Every comment, without the spaces around it. Sorted: the formatter may move one past what it stands beside.
fn comments(text: &str) -> Vec<String> {
    let (mut found, mut rest) = (Vec::new(), text.chars().peekable());
    let mut quoted = false;
    while let Some(c) = rest.next() {
        match c {
            '\\' if quoted => drop(rest.next()),
            '"' => quoted = !quoted,
            '/' if !quoted && rest.peek() == Some(&'/') => {
                let comment: String = rest.by_ref().take_while(|c| *c != '\n').collect();
                found.push(comment.trim_matches(['/', ' ', '\t', '\r']).to_owned());
            }
            _ => {}
        }
    }
    found.sort();
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    fn formatted(text: &str) -> String {
        let mut report = Report::default();
        let formatted = policies("policies/a.cedar", text, &mut report);
        assert!(report.is_empty(), "{report}");
        formatted.unwrap()
    }

    #[test]
    fn strings_and_comments_are_told_apart() {
        assert_eq!(comments("a // b\n\"// c \\\" // d\" // e // f\n/ /"), ["b", "e // f"]);
    }

    #[test]
    fn comments_annotations_order_and_strings_stay() {
        let text = "// first\n@id(\"b\")\n@reason(\"says // no \\\"more\\\"\")\nforbid(principal,action,resource)when{context.path==\"//x\"// here\n};\n\
                    @id(\"a\") permit(principal,action,resource);\n\n\n// last";
        let after = formatted(text);
        let places: Vec<_> =
            ["// first", "@id(\"b\")", "says // no", "// here", "@id(\"a\")", "// last"].map(|part| after.find(part).unwrap()).into();
        assert!(places.is_sorted(), "{after}");
        assert_eq!(formatted(&after), after);
    }

    #[test]
    fn a_comment_about_the_file_stays_apart_from_the_first_policy() {
        let policy = "@id(\"a\")\npermit (principal, action, resource);\n";
        for whole in [
            format!("// file\n// more\n\n{policy}"),
            format!("// file\n\n// first\n{policy}"),
            format!("// first\n{policy}"),
            format!("{policy}\n// later\n\n// perhaps\n"),
        ] {
            assert_eq!(formatted(&whole), whole);
        }
    }

    #[test]
    fn a_file_without_policies_keeps_its_comments() {
        assert_eq!(formatted("// nothing yet   \n\n\n"), "// nothing yet\n");
        assert_eq!(formatted("\n"), "");
    }

    #[test]
    fn a_schema_keeps_everything_but_spaces_at_ends() {
        let mut report = Report::default();
        let text = "// a \nnamespace Gate {  \n  entity User; // b\n}\n\n\n";
        assert_eq!(schema("s", text, &mut report).unwrap(), "// a\nnamespace Gate {\n  entity User; // b\n}\n");
        assert!(schema("s", "entity", &mut report).is_none());
        assert!(!report.is_empty());
    }
}
