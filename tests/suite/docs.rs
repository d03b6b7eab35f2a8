//! The documentation: what it names exists.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use cedargate::decision::Reason;

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// Files below a folder that end so.
fn files(folder: &Path, ending: &str) -> Vec<PathBuf> {
    let mut found = vec![];
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            found.extend(files(&path, ending));
        } else if path.to_string_lossy().ends_with(ending) {
            found.push(path);
        }
    }
    found.sort();
    found
}

fn pages() -> Vec<(PathBuf, String)> {
    let mut pages = files(&root().join("docs"), ".md");
    pages.extend(["README.md", "SECURITY.md", "CHANGELOG.md"].map(|name| root().join(name)));
    pages.into_iter().map(|path| (path.clone(), fs::read_to_string(path).unwrap())).collect()
}

/// A heading as a link names it.
fn anchor(heading: &str) -> String {
    let kept = heading.trim_start_matches('#').trim().to_lowercase();
    kept.chars().filter(|c| c.is_alphanumeric() || matches!(c, ' ' | '-' | '_')).map(|c| if c == ' ' { '-' } else { c }).collect()
}

#[test]
fn links_lead_somewhere() {
    for (page, text) in pages() {
        // What is indented or fenced is code.
        let mut fenced = false;
        let prose = |line: &&str| {
            let fence = line.starts_with("```");
            fenced ^= fence;
            !fenced && !fence && !line.starts_with("    ")
        };
        let text: String = text.lines().filter(prose).flat_map(|line| [line, "\n"]).collect();
        for target in text.split("](").skip(1).filter_map(|rest| rest.split_once(')')).map(|(target, _)| target) {
            if target.starts_with("http") {
                continue;
            }
            let (file, section) = target.split_once('#').map_or((target, None), |(file, section)| (file, Some(section)));
            let path = if file.is_empty() { page.clone() } else { page.parent().unwrap().join(file) };
            assert!(path.exists(), "{}: {target}", page.display());
            if let Some(section) = section {
                let headings = fs::read_to_string(&path).unwrap();
                assert!(headings.lines().any(|line| line.starts_with('#') && anchor(line) == section), "{}: {target}", page.display());
            }
        }
    }
}

#[test]
fn the_threat_model_names_tests_that_exist() {
    let model = fs::read_to_string(root().join("docs/threat-model.md")).unwrap();
    let sources: String = ["src", "tests"]
        .iter()
        .flat_map(|folder| files(&root().join(folder), ".rs"))
        .map(|path| fs::read_to_string(path).unwrap())
        .collect();
    let mut named = 0;
    for row in model.lines().filter(|line| line.starts_with("| ")) {
        let last = row.trim_end_matches(" |").rsplit(" | ").next().unwrap();
        for name in last.split('`').skip(1).step_by(2) {
            assert!(sources.contains(&format!("fn {name}(")), "no test is called `{name}`");
            named += 1;
        }
    }
    assert!(named > 40, "{named}");
}

#[test]
fn reason_codes_in_the_documentation_exist() {
    let codes: BTreeSet<&str> = Reason::ALL.iter().map(|reason| reason.code()).collect();
    for (page, text) in pages() {
        for word in text.split('`').skip(1).step_by(2) {
            let group = word.split_once('.').map_or("", |(group, _)| group);
            let code = matches!(group, "request" | "jwt" | "dpop" | "mtls" | "signed_url" | "sign" | "system")
                && !word.ends_with(".toml")
                && word.chars().all(|c| c.is_ascii_lowercase() || matches!(c, '_' | '.'));
            assert!(!code || codes.contains(word), "{}: `{word}`", page.display());
        }
    }
}

#[test]
fn every_key_of_the_configuration_is_documented() {
    let page = fs::read_to_string(root().join("docs/configuration.md")).unwrap();
    let mut keys = BTreeSet::new();
    // Of signed URLs the one file: members of bodies and of the keyring are read in the same way, and are documented elsewhere.
    let sources = [files(&root().join("src/identity"), ".rs"), vec![root().join("src/signed_url/config.rs")]].concat();
    for path in sources.iter().filter(|path| !path.to_string_lossy().contains("/tests/")) {
        let source = fs::read_to_string(path).unwrap();
        // How the files are read: `table.string("key", …)`, `number(table, "key", …)`.
        for call in [
            ".string(\"",
            ".strings(\"",
            ".integer(\"",
            ".boolean(\"",
            ".table(\"",
            ".tables(\"",
            "number(table, \"",
            "number(&mut table, \"",
            "url(&mut table, \"",
        ] {
            keys.extend(source.split(call).skip(1).map(|rest| rest.split('"').next().unwrap().to_owned()));
        }
    }
    assert!(keys.len() > 35 && keys.contains("stale_if_error_seconds") && keys.contains("insecure_trust_any"), "{keys:?}");
    for key in keys {
        let shown =
            [format!("| `{key}` |"), format!("`[{key}]`"), format!("`[[{key}]]`"), format!("`[issuer.{key}]`"), format!("\n    {key} = 1")];
        assert!(shown.iter().any(|shown| page.contains(shown)), "docs/configuration.md has no row for `{key}`");
    }
}

#[test]
fn every_variable_of_the_manifest_is_documented() {
    let manifest: toml::Table = fs::read_to_string(root().join("spin.toml")).unwrap().parse().unwrap();
    let page = fs::read_to_string(root().join("docs/configuration.md")).unwrap();
    let variables = manifest["variables"].as_table().unwrap();
    assert!(variables.len() >= 6);
    for (name, variable) in variables {
        let default = variable.get("default").map_or("required".to_owned(), |value| match value.as_str().unwrap() {
            "" => "empty".to_owned(),
            value => format!("`{value}`"),
        });
        assert!(page.contains(&format!("| `{name}` | {default} |")), "{name}");
    }
}
