use std::path::Path;

use super::*;

/// Words of a command line as a shell would split it, single quotes included.
fn words(line: &str) -> Vec<OsString> {
    let mut words = vec![String::new()];
    let mut quoted = false;
    for c in line.chars() {
        match c {
            '\'' => quoted = !quoted,
            ' ' if !quoted => words.push(String::new()),
            c => words.last_mut().unwrap().push(c),
        }
    }
    words.into_iter().filter(|word| !word.is_empty()).map(OsString::from).collect()
}

fn help(command: &mut clap::Command) -> String {
    // At a width of its own, so that the terminal the tests run in does not matter.
    *command = command.clone().term_width(80);
    // clap leaves spaces on its empty lines.
    command.render_long_help().to_string().lines().map(|line| format!("{}\n", line.trim_end())).collect()
}

/// The commands whose whole text is this folder's; `up` and `seal` are looked at in the same way but not kept word by word.
const KEPT: [&str; 17] = [
    "",
    "new",
    "check",
    "fmt",
    "test",
    "matrix",
    "diff",
    "prove",
    "why",
    "rollback",
    "token",
    "revoke",
    "sign",
    "verify-url",
    "reasons",
    "completions",
    "man",
];

#[test]
fn the_command_line_is_well_formed() {
    Cli::command().debug_assert();
}

#[test]
fn help_is_what_was_reviewed() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/cli/testdata");
    for name in KEPT {
        let mut command = Cli::command();
        command.build();
        let text = if name.is_empty() { help(&mut command) } else { help(command.find_subcommand_mut(name).unwrap()) };
        let file = folder.join(if name.is_empty() { "help.txt".to_owned() } else { format!("help-{name}.txt") });
        if std::env::var_os("UPDATE_HELP").is_some() {
            std::fs::write(&file, &text).unwrap();
        }
        let kept = std::fs::read_to_string(&file).unwrap_or_default();
        assert_eq!(text, kept, "{}: review it, then run the test with UPDATE_HELP=1", file.display());
    }
}

#[test]
fn help_fits_and_every_example_in_it_is_understood() {
    let mut command = Cli::command();
    command.build();
    for subcommand in command.get_subcommands_mut().filter(|subcommand| KEPT.contains(&subcommand.get_name())) {
        let text = help(subcommand);
        let name = subcommand.get_name().to_owned();
        let (_, end) = text.split_once("Examples:").unwrap_or_else(|| panic!("no examples in the help of {name}"));
        let examples: Vec<_> = end.lines().map(str::trim).filter(|line| line.starts_with("cedargate ")).collect();
        assert!(examples.len() >= 3, "{name}: {examples:?}");
        for example in examples {
            let line = example.split(" > ").next().unwrap();
            parse(words(line)).unwrap_or_else(|error| panic!("{line}: {error}"));
        }
        for line in text.lines() {
            assert!(line.chars().count() <= 100, "{name}: {line}");
        }
        assert!(text.contains("Exit codes:"), "{name}");
    }
}

#[test]
fn help_names_every_exit_code() {
    let text = help(&mut Cli::command());
    for exit in Exit::ALL {
        assert!(text.contains(&format!("{}  {}", exit.code(), exit.meaning())), "{exit:?}");
    }
}

#[test]
fn wrong_usage_could_not_run_and_is_never_taken_for_a_deny() {
    for line in [
        "cedargate",
        "cedargate nonsense",
        "cedargate check --nonsense",
        "cedargate token --expires-in never",
        "cedargate --color pink check",
    ] {
        let error = parse(words(line)).err().unwrap_or_else(|| panic!("{line}"));
        assert_eq!(usage(&error), Exit::Failed, "{line}");
    }
    for line in ["cedargate --help", "cedargate --version", "cedargate check --help"] {
        assert_eq!(usage(&parse(words(line)).unwrap_err()), Exit::Ok, "{line}");
    }
}

#[test]
fn each_kind_of_end_has_its_exit_code() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name).display().to_string();
    let check =
        |more: &str| run(words(&format!("cedargate --color never check --policies {} --keys {} {more}", path("policies"), path("keys"))));
    assert_eq!(check(""), Exit::Failed, "no folders");
    std::fs::create_dir(path("policies")).unwrap();
    std::fs::create_dir(path("keys")).unwrap();
    std::fs::write(path("keys/issuers.toml"), "version = 1\nisuer = 1\n").unwrap();
    assert_eq!(check(""), Exit::Invalid);
    assert_eq!(check("--format json"), Exit::Invalid);
    assert_eq!(run(words("cedargate --color never reasons jwt.expired")), Exit::Ok);
    assert_eq!(run(words("cedargate --color never reasons nonsense")), Exit::Failed);
}

#[test]
fn colour_is_known_before_the_line_is_parsed() {
    let of = |line: &str| color(&words(line));
    assert_eq!(of("cedargate check"), Color::Auto);
    assert_eq!(of("cedargate check --color never"), Color::Never);
    assert_eq!(of("cedargate --color=always check"), Color::Always);
    assert_eq!(of("cedargate --color pink"), Color::Auto);
    assert_eq!(of("cedargate check -- --color never"), Color::Auto);
}
