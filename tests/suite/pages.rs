//! The pages of the documentation, done as they say.
//!
//! Every page is a session: its blocks are taken in order, in a fresh copy of what a clone has, by one shell with `cedargate` on its path.
//! docs/testing.md says how a page is written. `UPDATE_DOCS=1` writes what commands print into the pages instead of comparing it.

mod page;
mod session;

use std::collections::BTreeSet;
use std::path::PathBuf;

use super::support::gate::root;
use super::support::process::Project;
use page::{Command, Item, Page};
use session::Session;

/// Subcommands that no page shows, and why not. One that a page does show must go from here.
const NOT_SHOWN: [(&str, &str); 0] = [];

/// README.md and everything in docs/.
fn pages() -> Vec<PathBuf> {
    let mut pages: Vec<PathBuf> = std::fs::read_dir(root().join("docs"))
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.extension().is_some_and(|e| e == "md"))
        .collect();
    pages.push(root().join("README.md"));
    pages.sort();
    pages
}

fn read(path: &PathBuf) -> Page {
    let name = path.strip_prefix(root()).unwrap().display().to_string();
    Page::parse(&name, &std::fs::read_to_string(path).unwrap()).unwrap_or_else(|error| panic!("{name}: {error}"))
}

/// What every command says when something is wrong with what it is given. A page like the others, but for nobody's reading.
fn mistakes() -> PathBuf {
    root().join("tests/data/mistakes.md")
}

/// Does what a page says. What is otherwise, and how many commands were run; with `UPDATE_DOCS` the page is written anew instead.
fn perform(path: &PathBuf) -> (Vec<String>, usize) {
    let page = read(path);
    let update = std::env::var_os("UPDATE_DOCS").is_some();
    let (mut new, mut wrong, mut done) = (page.clone(), vec![], 0);
    let mut session = Session::start(Project::new());
    for (at, item) in page.items.iter().enumerate() {
        match item {
            Item::File { path, text, append } => session.file(path, text, *append),
            Item::Console { ignored: Some(_), .. } => {}
            Item::Console { hidden, commands, .. } => {
                for (index, command) in commands.iter().enumerate() {
                    done += 1;
                    let said = session.run(command);
                    let shown = said.lines().join("\n");
                    if *hidden {
                        assert!(said.ok(), "{}:{}: {}\n{shown}", page.name, command.line, command.text);
                    } else if said.matches(&command.output) {
                        continue;
                    } else if update {
                        new.put(at, index, said.written_like(&command.output));
                    } else {
                        let Command { text, line, output, .. } = command;
                        let output = output.join("\n");
                        wrong.push(format!("{}:{line}: $ {text}\n--- the page\n{output}\n--- what happens\n{shown}\n", page.name));
                    }
                }
            }
        }
    }
    session.end();
    if update {
        std::fs::write(path, new.text()).unwrap();
    }
    (wrong, done)
}

fn nothing_wrong(wrong: &[String]) {
    assert!(wrong.is_empty(), "{} (UPDATE_DOCS=1 writes it anew: review the diff)\n\n{}", wrong.len(), wrong.join("\n"));
}

#[test]
fn every_page_says_what_happens() {
    let only = std::env::var("PAGE").ok();
    let wanted = |path: &PathBuf| only.as_ref().is_none_or(|only| path.to_string_lossy().contains(only.as_str()));
    let (mut wrong, mut done) = (vec![], 0);
    for path in pages().into_iter().filter(|path| wanted(path) && read(path).runs()) {
        let (more, commands) = perform(&path);
        wrong.extend(more);
        done += commands;
    }
    nothing_wrong(&wrong);
    assert!(only.is_some() || done > 60, "only {done} commands were run");
}

#[test]
fn every_command_says_what_is_wrong_with_what_it_is_given() {
    let path = mistakes();
    nothing_wrong(&perform(&path).0);
    let known = subcommands();
    let mut told = BTreeSet::new();
    for item in &read(&path).items {
        if let Item::Console { ignored: None, hidden: false, commands } = item {
            let failed = commands.iter().filter(|command| command.output.iter().any(|line| line.starts_with("(exit code ")));
            told.extend(failed.flat_map(|command| called(&command.text, &known)).cloned());
        }
    }
    assert_eq!(told, known, "a mistake for each command");
}

/// The subcommands of the command, those of `audit` by both their words.
fn subcommands() -> BTreeSet<String> {
    let project = Project::empty();
    let of = |words: &[&str]| -> Vec<String> {
        let help = project.run(&[words, &["--help"]].concat()).ok();
        let Some((_, list)) = help.split_once("\nCommands:\n") else { return vec![] };
        let names = list.lines().take_while(|line| !line.is_empty()).filter(|line| line.starts_with("  ") && !line.starts_with("   "));
        names.map(|line| line.split_whitespace().next().unwrap().to_owned()).collect()
    };
    let mut all = BTreeSet::new();
    for name in of(&[]) {
        let below = of(&[&name]);
        if below.is_empty() {
            all.insert(name);
        } else {
            all.extend(below.iter().map(|inner| format!("{name} {inner}")));
        }
    }
    all
}

/// The subcommands that a command line calls.
fn called<'a>(line: &'a str, known: &'a BTreeSet<String>) -> impl Iterator<Item = &'a String> {
    let words: Vec<&str> =
        line.split(|c: char| c.is_whitespace() || matches!(c, '(' | ')' | '"')).filter(|word| !word.is_empty()).collect();
    known.iter().filter(move |name| {
        let name: Vec<&str> = name.split(' ').collect();
        words.windows(name.len() + 1).any(|window| window[0].rsplit('/').next() == Some("cedargate") && window[1..] == name[..])
    })
}

#[test]
fn every_command_is_shown_by_a_page_that_is_executed() {
    let known = subcommands();
    assert!(known.len() > 15 && known.contains("check") && known.contains("audit why"), "{known:?}");
    let mut shown = BTreeSet::new();
    for page in pages().iter().map(read) {
        for item in &page.items {
            if let Item::Console { ignored: None, hidden: false, commands } = item {
                shown.extend(commands.iter().flat_map(|command| called(&command.text, &known)).cloned());
            }
        }
    }
    for name in &known {
        let excused = NOT_SHOWN.iter().find(|(other, _)| other == name);
        match (shown.contains(name), excused) {
            (false, None) => panic!("no executed block of README.md or docs/ has `cedargate {name}`"),
            (true, Some(_)) => panic!("`cedargate {name}` is shown: take it from NOT_SHOWN"),
            _ => {}
        }
    }
    for (name, why) in NOT_SHOWN {
        assert!(known.contains(name) && !why.is_empty(), "NOT_SHOWN: {name}");
    }
}

#[test]
fn every_option_that_a_page_gives_to_a_command_exists() {
    let known = subcommands();
    let project = Project::empty();
    let mut seen = 0;
    for page in pages().iter().map(read) {
        let commands = page.items.iter().filter_map(|item| if let Item::Console { commands, .. } = item { Some(commands) } else { None });
        for Command { text, line, .. } in commands.flatten() {
            for name in called(text, &known) {
                let help = project.run(&[&name.split(' ').collect::<Vec<_>>()[..], &["--help"]].concat()).ok();
                let last = name.rsplit(' ').next().unwrap();
                // What is given to this subcommand ends where the shell says so.
                let rest = text.split(&format!(" {last} ")).nth(1).unwrap_or_default();
                let rest = rest.split(['|', '>', '&', ')', '$']).next().unwrap_or_default();
                for option in rest.split_whitespace().filter(|word| word.starts_with("--")) {
                    let option = option.split('=').next().unwrap();
                    assert!(help.contains(option), "{}:{line}: `cedargate {name}` has no {option}", page.name);
                    seen += 1;
                }
            }
        }
    }
    assert!(seen > 20, "{seen}");
}

#[test]
fn commands_stand_in_blocks_that_are_executed_or_say_why_not() {
    for path in pages() {
        let page = read(&path);
        for (number, line) in page.plain() {
            let command = line.trim_start().strip_prefix("$ ").unwrap_or(line.trim_start());
            let first = command.split_whitespace().next().unwrap_or_default();
            let is_command = ["cedargate", "target/debug/cedargate", "make", "curl", "spin", "cargo"].contains(&first)
                && command.split_whitespace().count() > 1
                && !command.starts_with("cedargate serves ");
            assert!(!(is_command || line.trim_start().starts_with("$ ")), "{}:{number}: put it into a ```console block: {line}", page.name);
        }
        for item in &page.items {
            if let Item::Console { ignored: Some(why), .. } = item {
                assert!(why.len() > 10, "{}: say why a block is not executed: {why:?}", page.name);
            }
        }
    }
}
