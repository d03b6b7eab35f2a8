use std::path::Path;

use super::*;

const PRIVATE_PEM: &str = "-----BEGIN PRIVATE KEY-----\nMC4CAQAwBQYDK2VwBCIEIA==\n-----END PRIVATE KEY-----\n";

/// A project with these files; what they hold is their own path unless it is given after a `=`.
fn project(files: &[&str]) -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    for folder in ["policies", "keys"].map(|name| folder.path().join(name)) {
        fs::create_dir(folder).unwrap();
    }
    for file in files {
        let (path, text) = file.split_once('=').unwrap_or((file, file));
        let path = folder.path().join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }
    folder
}

fn look(project: &Path, dev: bool) -> Read {
    read(&project.join("policies"), &project.join("keys"), dev).unwrap()
}

fn paths(read: &Read) -> Vec<&str> {
    read.bundle.iter().map(|(path, _)| path).collect()
}

fn problems(read: &Read) -> Vec<(&str, &str)> {
    read.report.problems().into_iter().map(|problem| (problem.file.as_str(), problem.code)).collect()
}

#[test]
fn a_bundle_holds_what_the_gate_reads_and_nothing_else() {
    let project = project(&[
        "policies/schema.cedarschema",
        "policies/teams/orders/a.cedar",
        "policies/.hidden.cedar",
        "policies/.git/config",
        "policies/README.md",
        "policies/teams/NOTES.md",
        "policies/tests/a.json",
        "policies/tests/deep/b.cedar",
        "policies/teams/tests/c.cedar",
        "policies/odd.txt",
        "keys/issuers.toml",
        "keys/corp.jwks.json",
        "keys/README.md",
        "keys/.gitkeep",
        "keys/dev/issuers.toml",
        "keys/dev/dev.jwks.json",
        "keys/dev/ed25519.pk8",
        "keys/dev/p256.pk8",
        "keys/dev/other.json",
        "keys/dev/deep/issuers.toml",
    ]);
    let read = look(project.path(), false);
    let always = [
        "keys/corp.jwks.json",
        "keys/issuers.toml",
        "policies/odd.txt",
        "policies/schema.cedarschema",
        "policies/teams/orders/a.cedar",
        "policies/teams/tests/c.cedar",
    ];
    assert_eq!(paths(&read), always);
    assert_eq!(problems(&read), []);
    assert_eq!(read.bundle.get("policies/teams/orders/a.cedar"), Some(b"policies/teams/orders/a.cedar".as_slice()));

    let with_dev = look(project.path(), true);
    let dev: Vec<_> = paths(&with_dev).into_iter().filter(|path| !always.contains(path)).collect();
    assert_eq!(dev, ["keys/dev/dev.jwks.json", "keys/dev/issuers.toml"]);
    assert_eq!(problems(&with_dev), []);
}

#[test]
fn the_same_files_elsewhere_have_the_same_digest() {
    let files = ["policies/b.cedar", "policies/a.cedar", "keys/issuers.toml"];
    let (one, two) = (project(&files), project(&["keys/issuers.toml", "policies/a.cedar", "policies/b.cedar", "policies/x.md"]));
    let digest = |project: &tempfile::TempDir| look(project.path(), false).bundle.digest();
    assert_eq!(digest(&one), digest(&two));
    fs::write(two.path().join("policies/a.cedar"), "changed").unwrap();
    assert_ne!(digest(&one), digest(&two));
}

#[test]
fn a_missing_folder_is_named_and_so_is_the_option() {
    let project = project(&[]);
    let error = read_bundle(&project.path().join("nowhere"), &project.path().join("keys"), false).unwrap_err();
    assert!(error.to_string().contains("nowhere` does not exist"), "{error}");
    assert!(error.help().unwrap().to_string().contains("--policies"));
    fs::write(project.path().join("file"), "").unwrap();
    let error = read_bundle(&project.path().join("policies"), &project.path().join("file"), false).unwrap_err();
    assert!(error.to_string().contains("is not a folder"), "{error}");
    assert!(error.help().unwrap().to_string().contains("--keys"));
    let error = read_bundle(&project.path().join("policies"), &project.path().join("keys"), true).unwrap_err();
    assert!(error.to_string().contains("no development keys"), "{error}");
    assert!(read_bundle(&project.path().join("policies"), &project.path().join("keys"), false).is_ok());
}

#[test]
fn a_private_key_anywhere_under_keys_is_a_problem() {
    let places =
        ["keys/a.pem", "keys/.hidden", "keys/README.md", "keys/.git/deep/a", "keys/dev/mine.pem", "keys/dev/deep/b", "keys/sub/c.txt"];
    let files: Vec<_> = places.iter().map(|place| format!("{place}={PRIVATE_PEM}")).collect();
    let project = project(&files.iter().map(String::as_str).collect::<Vec<_>>());
    let mut expected: Vec<_> = places.iter().map(|place| (*place, "key.private")).collect();
    expected.sort_unstable();
    assert_eq!(problems(&look(project.path(), false)), expected);
    let error = read_bundle(&project.path().join("policies"), &project.path().join("keys"), false).unwrap_err();
    assert!(error.downcast_ref::<Invalid>().is_some());
}

#[test]
fn only_the_development_keys_may_be_private_and_only_in_their_place() {
    let private = format!("={PRIVATE_PEM}");
    let files =
        ["keys/dev/ed25519.pk8", "keys/dev/p256.pk8", "keys/dev/sub/p256.pk8", "keys/p256.pk8"].map(|file| format!("{file}{private}"));
    let project = project(&files.each_ref().map(String::as_str));
    assert_eq!(problems(&look(project.path(), false)), [("keys/dev/sub/p256.pk8", "key.private"), ("keys/p256.pk8", "key.private")]);
}

#[test]
fn the_same_private_key_is_reported_once() {
    let project = project(&["keys/issuers.toml=version = 1\n", &format!("keys/a.pem={PRIVATE_PEM}")]);
    let error = load(&project.path().join("policies"), &project.path().join("keys"), false).unwrap_err();
    let invalid = error.downcast_ref::<Invalid>().unwrap().json();
    let private: Vec<_> = invalid.iter().filter(|problem| problem.code == "key.private").collect();
    assert_eq!(private.len(), 1, "{invalid:?}");
}

#[test]
fn a_file_too_large_is_not_read() {
    let project = project(&["policies/ok.cedar"]);
    let file = File::create(project.path().join("policies/large.cedar")).unwrap();
    file.set_len(u64::try_from(BUNDLE_FILE_BYTES).unwrap() + 1).unwrap();
    let read = look(project.path(), false);
    assert_eq!(paths(&read), ["policies/ok.cedar"]);
    assert_eq!(problems(&read), [("policies/large.cedar", "bundle.file_too_large")]);
    file.set_len(u64::try_from(BUNDLE_FILE_BYTES).unwrap()).unwrap();
    assert_eq!(problems(&look(project.path(), false)), []);
}

#[test]
fn files_too_large_together_are_one_problem() {
    let project = project(&[]);
    for name in 0..6 {
        let file = File::create(project.path().join(format!("policies/{name}.cedar"))).unwrap();
        file.set_len(u64::try_from(BUNDLE_FILE_BYTES).unwrap()).unwrap();
    }
    let read = look(project.path(), false);
    assert_eq!(problems(&read), [("policies", "bundle.too_large")]);
    assert_eq!(read.bundle.iter().count(), 4);
}

#[test]
fn folders_nested_without_end_are_not_followed() {
    let deep = format!("policies/{}x.cedar", "d/".repeat(DEPTH + 1));
    let project = project(&[&deep, "policies/a.cedar"]);
    let read = look(project.path(), false);
    assert_eq!(paths(&read), ["policies/a.cedar"]);
    assert_eq!(problems(&read).into_iter().map(|(_, code)| code).collect::<Vec<_>>(), ["bundle.too_deep"]);
}

#[cfg(unix)]
mod unix {
    use std::os::unix::ffi::OsStrExt as _;
    use std::os::unix::fs::symlink;

    use super::*;

    #[test]
    fn a_link_is_followed_inside_the_folder_only() {
        let project = project(&["policies/..data/a.cedar=permit", "policies/real/b.cedar", "keys/issuers.toml", "secret"]);
        let policies = project.path().join("policies");
        symlink("..data/a.cedar", policies.join("a.cedar")).unwrap();
        let read = look(project.path(), false);
        assert_eq!(problems(&read), []);
        assert_eq!(read.bundle.get("policies/a.cedar"), Some(b"permit".as_slice()));

        symlink("../secret", policies.join("out.cedar")).unwrap();
        symlink("../keys/issuers.toml", policies.join("across.cedar")).unwrap();
        symlink("/dev/zero", policies.join("endless.cedar")).unwrap();
        symlink("real", policies.join("folder")).unwrap();
        symlink(".", policies.join("self")).unwrap();
        symlink("nowhere", policies.join("broken.cedar")).unwrap();
        symlink("loop.cedar", policies.join("loop.cedar")).unwrap();
        let read = look(project.path(), false);
        let expected = ["across.cedar", "broken.cedar", "endless.cedar", "folder", "loop.cedar", "out.cedar", "self"];
        assert_eq!(problems(&read), expected.map(|name| format!("policies/{name}")).each_ref().map(|path| (path.as_str(), "bundle.link")));
        assert_eq!(paths(&read), ["keys/issuers.toml", "policies/a.cedar", "policies/real/b.cedar"]);
    }

    #[test]
    fn a_link_does_not_bring_the_development_issuer_in() {
        let project = project(&["keys/dev/issuers.toml", "keys/dev/dev.jwks.json"]);
        symlink("dev/issuers.toml", project.path().join("keys/issuers.toml")).unwrap();
        let read = look(project.path(), false);
        assert_eq!(problems(&read), [("keys/issuers.toml", "bundle.link")]);
        assert_eq!(paths(&read), [] as [&str; 0]);
    }

    #[test]
    fn the_folder_itself_may_be_a_link() {
        let project = project(&["policies/a.cedar"]);
        symlink("policies", project.path().join("linked")).unwrap();
        let bundle = read_bundle(&project.path().join("linked"), &project.path().join("keys"), false).unwrap();
        assert!(bundle.get("policies/a.cedar").is_some());
    }

    #[test]
    fn a_name_that_reads_differently_elsewhere_is_a_problem() {
        let project = project(&["policies/a\\b.cedar", "policies/a\u{1b}[2J.cedar"]);
        let read = look(project.path(), false);
        assert_eq!(problems(&read).len(), 2);
        assert!(problems(&read).iter().all(|(_, code)| *code == "bundle.file_name"));
        // Not every file system can hold such a name.
        if fs::write(project.path().join("policies").join(std::ffi::OsStr::from_bytes(b"\xff.cedar")), "x").is_ok() {
            assert_eq!(problems(&look(project.path(), false)).len(), 3);
        }
        assert_eq!(paths(&read), [] as [&str; 0]);
    }

    #[test]
    fn what_is_no_file_is_not_opened() {
        let project = project(&["policies/a.cedar"]);
        let socket = std::os::unix::net::UnixListener::bind(project.path().join("policies/socket.cedar")).unwrap();
        let read = look(project.path(), false);
        assert_eq!(problems(&read), [("policies/socket.cedar", "bundle.file_kind")]);
        drop(socket);
    }
}
