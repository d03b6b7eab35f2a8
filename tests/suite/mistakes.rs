//! Mistakes of kinds seen in the wild, each made in the sample policies: which tools find it.

use std::collections::BTreeSet;
use std::fs;

use super::support::gate::root;
use super::support::process::{Ended, Project, copy};
use super::support::solver::needed;

/// One mistake of `tests/data/faults/`.
struct Mistake {
    name: String,
    what: String,
    file: String,
    from: String,
    to: String,
    found_by: Vec<String>,
    /// A claim that holds without it and not with it, as `prove` takes it: proving all that the samples claim takes too long for each.
    claim: Vec<String>,
}

fn mistakes() -> Vec<Mistake> {
    let mut folders: Vec<_> = fs::read_dir(root().join("tests/data/faults")).unwrap().map(|entry| entry.unwrap().path()).collect();
    folders.sort();
    let mistake = |folder: &std::path::PathBuf| {
        let table: toml::Table = fs::read_to_string(folder.join("fault.toml")).unwrap().parse().unwrap();
        let text = |name: &str| table[name].as_str().unwrap().to_owned();
        let texts = |name: &str| {
            let list = table.get(name).and_then(toml::Value::as_array).cloned().unwrap_or_default();
            list.iter().map(|text| text.as_str().unwrap().to_owned()).collect::<Vec<_>>()
        };
        Mistake {
            name: folder.file_name().unwrap().to_str().unwrap().to_owned(),
            what: text("what"),
            file: text("file"),
            from: text("from"),
            to: text("to"),
            found_by: texts("found_by"),
            claim: texts("claim"),
        }
    };
    folders.iter().map(mistake).collect()
}

/// A project in which it was made, with what it was as `old/`.
fn project(mistake: Option<&Mistake>) -> Project {
    let project = Project::new();
    fs::create_dir(project.path("old")).unwrap();
    copy(&project.path("policies"), &project.path("old/policies"));
    copy(&project.path("keys"), &project.path("old/keys"));
    if let Some(Mistake { file, from, to, .. }) = mistake {
        project.edit(file, from, to);
    }
    project
}

/// The tools that need no solver, each with how it ends where something is found.
const TOOLS: [(&str, &[&str], i32); 4] = [
    ("check", &["check", "--deny-lints"], 3),
    ("test", &["test"], 4),
    ("matrix", &["matrix", "--check"], 4),
    ("diff", &["diff", "old", "."], 5),
];

/// Whether it found something: one that ends in any other way than those two is broken.
fn found(tool: &str, told: &Ended, code: i32) -> bool {
    match told.code {
        Some(0) => false,
        // What is not valid is told by each of them.
        Some(3) if tool != "check" => false,
        other => {
            assert_eq!(other, Some(code), "{tool}: {told:?}");
            true
        }
    }
}

#[test]
fn each_mistake_is_found_by_the_tools_that_the_table_names() {
    let solver = needed("prove of each_mistake_is_found_by_the_tools_that_the_table_names");
    let mistakes = mistakes();
    assert!(mistakes.len() >= 10, "{}", mistakes.len());
    for mistake in &mistakes {
        let project = project(Some(mistake));
        let mut finders: BTreeSet<&str> =
            TOOLS.into_iter().filter(|(tool, args, code)| found(tool, &project.run(args), *code)).map(|(tool, ..)| tool).collect();
        if !mistake.claim.is_empty() {
            finders.insert("prove");
            // Not run is not found, and not missed either.
            if let Some(solver) = solver {
                let args: Vec<&str> = ["prove"].into_iter().chain(mistake.claim.iter().map(String::as_str)).collect();
                assert!(found("prove", &project.prove(solver, &args), 4), "{}", mistake.name);
                assert!(!found("prove", &self::project(None).prove(solver, &args), 4), "the control of {}", mistake.name);
            }
        }
        let named: BTreeSet<&str> = mistake.found_by.iter().map(String::as_str).collect();
        assert_eq!(finders, named, "{}", mistake.name);
        assert!(!named.is_empty(), "{} is found by nothing", mistake.name);
    }
}

#[test]
fn without_a_mistake_no_tool_finds_one() {
    let project = project(None);
    for (tool, args, code) in TOOLS {
        assert!(!found(tool, &project.run(args), code), "{tool}");
    }
}

#[test]
fn the_page_has_the_table() {
    let page = fs::read_to_string(root().join("docs/proofs.md")).unwrap();
    for Mistake { name, what, found_by, .. } in mistakes() {
        let row = format!("| `{name}` | {what} | {} |\n", found_by.iter().map(|tool| format!("`{tool}`")).collect::<Vec<_>>().join(", "));
        assert!(page.contains(&row), "docs/proofs.md lacks\n{row}");
    }
}
