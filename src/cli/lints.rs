//! `policies/lints.toml`: which lints of `check` are allowed, and why.
//!
//! The file is read by `check` alone. It is no part of a bundle: allowing a lint changes no digest and no answer.

use std::fs::File;
use std::io::{self, Read as _};
use std::ops::Range;
use std::path::Path;

use miette::miette;
use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::diagnostic::Invalid;
use super::files::Folders;
use crate::bundle::{Bundle, Problem, Report, nearest};
use crate::limits::BUNDLE_FILE_BYTES;
use crate::policy::{Advice, LINTS, PolicyStore};

/// Its name in the folder of policies.
pub(super) const NAME: &str = "lints.toml";
const FILE: &str = "policies/lints.toml";
/// The code of what is wrong with the file.
const INVALID: &str = "lints.invalid";
/// The code of an allowance that allows nothing.
const UNUSED: &str = "lints.unused";

/// What there is to look at in a bundle that can be sealed, without what is allowed: a report of warnings.
///
/// # Errors
/// When `lints.toml` cannot be read; [`Invalid`] when it is not valid.
pub(super) fn find(folders: &Folders, mut bundle: Bundle) -> miette::Result<(Bundle, Report)> {
    let mut advice = PolicyStore::advice(&bundle);
    let Some(text) = text(&folders.policies)? else { return Ok((bundle, advice.into_iter().map(|advice| advice.problem).collect())) };
    let (allowed, invalid) = read(&text);
    // Only so that the places in it can be shown.
    bundle.insert(FILE, text);
    if !invalid.is_empty() {
        return Err(Invalid::new(&folders.policies, &folders.keys, bundle, invalid).into());
    }
    let mut unused = Vec::new();
    for allowance in &allowed {
        let before = advice.len();
        advice.retain(|advice| !allowance.allows(advice));
        if advice.len() == before {
            let message = format!("`{}` does not tell of the {} `{}`", allowance.lint, allowance.key, allowance.name);
            let help = "remove the allowance, or correct the name in it";
            unused.push(Problem::new(FILE, UNUSED, message).at(Some(allowance.span.clone())).help(help));
        }
    }
    Ok((bundle, advice.into_iter().map(|advice| advice.problem).chain(unused).collect()))
}

/// `None` when there is none.
fn text(policies: &Path) -> miette::Result<Option<String>> {
    let path = policies.join(NAME);
    let mut text = String::new();
    let limit = u64::try_from(BUNDLE_FILE_BYTES).unwrap_or(u64::MAX);
    match File::open(&path).and_then(|file| file.take(limit).read_to_string(&mut text)) {
        Ok(_) => Ok(Some(text)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(miette!("`{}` cannot be read: {error}", path.display())),
    }
}

/// One `[[allow]]`.
#[derive(Debug)]
struct Allowance {
    lint: &'static str,
    /// What the lint is about: `policy`, `route` or `entity`.
    key: &'static str,
    name: String,
    span: Range<usize>,
}

impl Allowance {
    fn allows(&self, advice: &Advice) -> bool {
        (advice.problem.code, advice.about.key(), advice.about.name()) == (self.lint, self.key, self.name.as_str())
    }
}

/// Every allowance, and everything wrong with the file.
fn read(text: &str) -> (Vec<Allowance>, Report) {
    let (table, errors) = DeTable::parse_recoverable(text);
    let mut reader = Reader { report: Report::default() };
    for error in &errors {
        reader.report.add(Problem::new(FILE, INVALID, error.message().replace('\n', ", ")).at(error.span()));
    }
    let allowed = if errors.is_empty() { reader.file(&table) } else { vec![] };
    (allowed, reader.report)
}

struct Reader {
    report: Report,
}

impl Reader {
    fn problem(&mut self, span: Range<usize>, message: impl Into<String>, help: impl Into<String>) {
        self.report.add(Problem::new(FILE, INVALID, message).at(Some(span)).help(help));
    }

    fn unknown(&mut self, key: &str, span: Range<usize>, what: &str, known: &[&str]) {
        let help = match nearest(key, known.iter().copied()) {
            Some(near) => format!("did you mean `{near}`?"),
            None => format!("known here: `{}`", known.join("`, `")),
        };
        self.problem(span, format!("unknown {what} `{key}`"), help);
    }

    fn file(&mut self, table: &Spanned<DeTable<'_>>) -> Vec<Allowance> {
        let (mut allowed, mut version) = (vec![], false);
        for (key, value) in table.get_ref() {
            match &**key.get_ref() {
                "version" => {
                    version = true;
                    if !value.get_ref().as_integer().is_some_and(|number| number.radix() == 10 && number.as_str() == "1") {
                        self.problem(value.span(), "`version` is not `1`, the only version this command reads", "write `version = 1`");
                    }
                }
                "allow" => match value.get_ref().as_array() {
                    Some(array) => allowed = array.iter().filter_map(|entry| self.allowance(entry)).collect(),
                    None => self.problem(value.span(), "`allow` is not an array of tables", "write `[[allow]]`"),
                },
                other => self.unknown(other, key.span(), "key", &["version", "allow"]),
            }
        }
        if !version {
            self.problem(0..0, "`version` is missing", "start the file with `version = 1`");
        }
        allowed
    }

    fn allowance(&mut self, value: &Spanned<DeValue<'_>>) -> Option<Allowance> {
        const KEYS: [&str; 5] = ["lint", "policy", "route", "entity", "because"];
        let Some(table) = value.get_ref().as_table() else {
            self.problem(value.span(), "an allowance is not a table", "write `[[allow]]`");
            return None;
        };
        let mut found: [Option<(String, Range<usize>)>; 5] = Default::default();
        for (key, value) in table {
            let Some(slot) = KEYS.iter().zip(&mut found).find_map(|(known, slot)| (*key.get_ref() == *known).then_some(slot)) else {
                self.unknown(key.get_ref(), key.span(), "key", &KEYS);
                continue;
            };
            match value.get_ref().as_str().filter(|text| !text.trim().is_empty()) {
                Some(text) => *slot = Some((text.to_owned(), value.span())),
                None => self.problem(value.span(), format!("`{}` is not a text", key.get_ref()), "write it in quotes"),
            }
        }
        let [lint, policy, route, entity, because] = found;
        let because = because.is_some();
        if !because {
            self.problem(value.span(), "an allowance without `because`", "say why, for whoever reads this next year");
        }
        let Some((lint, at)) = lint else {
            self.problem(value.span(), "an allowance without `lint`", "name what is allowed: `lint = \"lint.no_reason\"`");
            return None;
        };
        let Some((lint, key)) = LINTS.into_iter().find(|(id, _)| *id == lint) else {
            self.unknown(&lint, at, "lint", &LINTS.map(|(id, _)| id));
            return None;
        };
        let name = [("policy", policy), ("route", route), ("entity", entity)].into_iter().filter_map(|(key, name)| Some((key, name?)));
        let mut name = name.collect::<Vec<_>>();
        match (name.pop(), name.is_empty()) {
            (Some((named, (name, _))), true) if named == key => because.then(|| Allowance { lint, key, name, span: value.span() }),
            _ => {
                self.problem(
                    value.span(),
                    format!("an allowance of `{lint}` names one `{key}`"),
                    format!("write `{key} = \"…\"` and no other name"),
                );
                None
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;

    use super::*;
    use crate::cli::files;

    const POLICIES: &str = "@id(\"a\")\npermit (principal == Gate::User::\"dev/x\", action, resource);\n";

    /// What is told of one policy without a reason, with this file.
    fn told(lints: &str) -> miette::Result<Vec<(&'static str, String)>> {
        let folder = tempfile::tempdir().unwrap();
        let path = |name: &str| folder.path().join(name);
        for name in ["policies", "keys"] {
            std::fs::create_dir(path(name)).unwrap();
        }
        let schema = Path::new(env!("CARGO_MANIFEST_DIR")).join("policies/schema.cedarschema");
        std::fs::copy(schema, path("policies/schema.cedarschema")).unwrap();
        std::fs::write(path("keys/issuers.toml"), "version = 1\n").unwrap();
        std::fs::write(path("policies/a.cedar"), POLICIES).unwrap();
        let folders = Folders { policies: path("policies"), keys: path("keys"), dev: false };
        let (without, _) = files::load(&folders.policies, &folders.keys, false).unwrap();
        std::fs::write(path("policies/lints.toml"), lints).unwrap();
        let (bundle, _) = files::load(&folders.policies, &folders.keys, false).unwrap();
        assert_eq!(bundle.digest(), without.digest(), "allowing a lint changes nothing");
        let (_, report) = find(&folders, bundle)?;
        Ok(report.problems().into_iter().map(|problem| (problem.code, problem.message.clone())).collect())
    }

    fn codes(lints: &str) -> Vec<&'static str> {
        told(lints).unwrap().into_iter().map(|(code, _)| code).collect()
    }

    #[test]
    fn a_lint_is_allowed_with_a_reason_for_one_policy() {
        assert_eq!(codes("version = 1"), ["lint.no_reason"]);
        let allow = "version = 1\n[[allow]]\nlint = \"lint.no_reason\"\npolicy = \"a\"\nbecause = \"it is a test\"\n";
        assert!(codes(allow).is_empty());
        assert_eq!(codes(&allow.replace("\"a\"", "\"b\"")), ["lint.no_reason", "lints.unused"]);
    }

    #[test]
    fn everything_wrong_with_the_file_is_told() {
        let whole = "version = 1\n[[allow]]\nlint = \"lint.no_reason\"\npolicy = \"a\"\nbecause = \"it is a test\"\n";
        for (from, to, message) in [
            ("version = 1\n", "", "`version` is missing"),
            ("version = 1", "version = 2", "the only version"),
            ("because = \"it is a test\"\n", "", "without `because`"),
            ("it is a test", " ", "`because` is not a text"),
            ("lint.no_reason", "lint.no_raeson", "unknown lint"),
            ("lint = \"lint.no_reason\"\n", "", "without `lint`"),
            ("policy", "polcy", "unknown key `polcy`"),
            ("policy", "route", "names one `policy`"),
            ("policy = \"a\"", "policy = \"a\"\nroute = \"/\"", "names one `policy`"),
            ("[[allow]]", "[allow]", "not an array"),
            ("[[allow]]", "[[allow", "unclosed"),
        ] {
            let error = told(&whole.replacen(from, to, 1)).unwrap_err();
            let json = serde_json::to_string(&error.downcast_ref::<Invalid>().unwrap().json()).unwrap();
            assert!(json.contains(message), "{to}: {json}");
        }
    }

    #[test]
    fn without_the_file_all_is_told() {
        let folder = PathBuf::from("nowhere");
        assert!(text(&folder).unwrap().is_none());
    }
}
