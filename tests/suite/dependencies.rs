//! `scripts/check-dependencies`: what is here passes, and each kind of mistake is found.

use std::path::Path;
use std::process::Command;

/// A tree and a lock file that pass, to be spoilt by a test.
const LOCK: &str = r#"
[[package]]
name = "cedargate"
version = "0.1.0"

[[package]]
name = "ring"
version = "0.17.14"
source = "registry+https://github.com/rust-lang/crates.io-index"
checksum = "00"
"#;
const TREE: &str = "spin-sdk v7|Apache-2.0 WITH LLVM-exception\njsonwebtoken v11|MIT\ncedar-policy v4|Apache-2.0\nx509-parser v0.18|MIT OR Apache-2.0\n\
    serde_json v1|MIT/Apache-2.0 (*)\nbase64 v0.22|(MIT OR GPL-3.0-only) AND Unicode-3.0\nring v0.17.14|Apache-2.0 AND ISC\n";

/// Whether the script is content, and what it said.
fn check(lock: &str, tree: &str) -> (bool, String) {
    let folder = tempfile::tempdir().unwrap();
    let (lock_file, tree_file) = (folder.path().join("lock"), folder.path().join("tree"));
    std::fs::write(&lock_file, lock).unwrap();
    std::fs::write(&tree_file, tree).unwrap();
    run(&[&lock_file, &tree_file])
}

fn run(arguments: &[&Path]) -> (bool, String) {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("scripts/check-dependencies");
    let output = Command::new("bash").arg(script).args(arguments).output().expect("bash runs");
    (output.status.success(), String::from_utf8_lossy(&output.stderr).into_owned())
}

#[test]
fn what_the_gate_is_made_of_passes() {
    let (passed, said) = run(&[]);
    assert!(passed, "{said}");
}

#[test]
fn licences_are_read_as_expressions() {
    assert_eq!(check(LOCK, TREE), (true, String::new()));
    for licence in ["GPL-3.0-only", "MIT AND GPL-3.0-only", "(MIT AND GPL-3.0-only) OR MPL-2.0", "Apache-2.0 WITH Classpath-exception-2.0"]
    {
        let (passed, said) = check(LOCK, &format!("{TREE}odd v1.0.0|{licence}\n"));
        assert!(!passed && said.contains("odd v1.0.0 is under"), "{licence}: {said}");
    }
    for licence in ["", "MIT OR", "(MIT", "MIT)", "MIT MIT"] {
        let (passed, said) = check(LOCK, &format!("{TREE}odd v1.0.0|{licence}\n"));
        assert!(!passed && said.contains("odd v1.0.0 has a licence that cannot be read"), "{licence}: {said}");
    }
}

#[test]
fn packages_come_from_the_registry_with_a_checksum() {
    for (package, complaint) in [
        ("source = \"git+https://example.com/odd#00\"\n", "odd comes from git"),
        ("source = \"registry+https://example.com/index\"\nchecksum = \"00\"\n", "odd comes from registry+https://example.com"),
        ("source = \"registry+https://github.com/rust-lang/crates.io-index\"\n", "odd has no checksum"),
        ("", "odd is in no registry"),
    ] {
        let (passed, said) = check(&format!("{LOCK}\n[[package]]\nname = \"odd\"\nversion = \"1.0.0\"\n{package}"), TREE);
        assert!(!passed && said.contains(complaint), "{package}: {said}");
    }
}

#[test]
fn packages_that_must_not_be_here_are_found() {
    for name in ["wizer", "webpki", "openssl", "openssl-sys", "native-tls"] {
        let package = format!(
            "\n[[package]]\nname = \"{name}\"\nsource = \"registry+https://github.com/rust-lang/crates.io-index\"\nchecksum = \"00\"\n"
        );
        let (passed, said) = check(&format!("{LOCK}{package}"), TREE);
        assert!(!passed && said.contains(&format!("{name} must not be here")), "{said}");
    }
}

#[test]
fn a_package_the_design_is_built_on_is_missed() {
    let (passed, said) = check(LOCK, &TREE.replace("x509-parser", "x509-something"));
    assert!(!passed && said.contains("x509-parser is not among the dependencies"), "{said}");
}
