//! What every new project has: most of it are the repository's own files, changed where a project differs.

use miette::miette;

use super::Files;
use crate::bundle::Report;
use crate::cli::fmt;

const SCHEMA: &str = include_str!("../../../policies/schema.cedarschema");
const MANIFEST: &str = include_str!("../../../spin.toml");
const ISSUERS: &str = include_str!("../../../keys/issuers.toml");

/// Where the repository's own types begin and end in its schema, and where its own actions begin.
const TYPES: (&str, &str) = ("  // A document, /api/documents/{id}.\n", "  // GATE. The two groups of actions.");
const ORDER: &str = "  // An order, /api/orders/{id}.\n";
const ACTIONS: &str = "\n  // POST /api/orders.\n";
/// The resources of every method in it.
const RESOURCES: &str = "[Path, Document, Order]";

/// A schema for these resource types, with their declarations and those of actions.
///
/// # Errors
/// Never, as long as the repository's schema has the parts that are changed: a test holds it to that.
pub(super) fn schema(types: &[String], declarations: &str, actions: &str) -> miette::Result<String> {
    let (head, rest) = part(SCHEMA, TYPES.0)?;
    let (_, tail) = part(rest, TYPES.1)?;
    let (groups, _) = part(tail, ACTIONS)?;
    let resources = format!("[{}]", ["Path"].into_iter().chain(types.iter().map(String::as_str)).collect::<Vec<_>>().join(", "));
    let groups = groups.replace(RESOURCES, &resources);
    Ok(format!("{head}{declarations}{}{groups}{actions}}}\n", TYPES.1))
}

/// The declaration of `Document` in the repository's schema.
fn document() -> miette::Result<String> {
    let (_, rest) = part(SCHEMA, TYPES.0)?;
    let (document, _) = part(rest, ORDER)?;
    Ok(format!("{}{document}", TYPES.0))
}

fn part<'t>(text: &'t str, at: &str) -> miette::Result<(&'t str, &'t str)> {
    text.split_once(at).ok_or_else(|| miette!("the schema this command was built with has no `{}`", at.trim()))
}

/// The manifest, the issuers and what else no policy depends on.
pub(super) fn common(readme: &str) -> Files {
    let manifest = MANIFEST
        .replace("command = \"make seal\"", "command = \"cedargate seal\"")
        .replace("[\"src/**/*.rs\", \"policies/**/*\", \"keys/**/*\", \"Cargo.toml\"]", "[\"policies/**/*\", \"keys/**/*\"]")
        .replace("(docs/signed-urls.md)", "(\"Signed URLs\" in the gate's documentation)")
        .replace("(docs/decision-log.md)", "(\"The decision log\" in the gate's documentation)")
        .replace("(policies/shadow, docs/policies.md)", "(policies/shadow)");
    let issuers = ISSUERS.replace(" docs/key-rotation.md", "");
    [
        ("spin.toml", manifest.as_str()),
        ("keys/issuers.toml", issuers.as_str()),
        (".gitignore", "/target\n/keys/dev\n/.spin\n/.cedargate\n"),
        ("README.md", readme),
        ("policies/guardrails.cedar", include_str!("template/guardrails.cedar")),
        ("policies/proofs.yaml", include_str!("template/proofs.yaml")),
    ]
    .into_iter()
    .map(|(path, text)| (path.to_owned(), text.to_owned()))
    .collect()
}

/// The project without a description: documents, which the first requests of `cedargate up` ask for.
pub(super) fn sample() -> miette::Result<Files> {
    let mut files = common(include_str!("template/README.md"));
    files.insert("policies/schema.cedarschema".to_owned(), schema(&["Document".to_owned()], &document()?, "")?);
    for (path, text) in [
        ("policies/documents.cedar", include_str!("template/documents.cedar")),
        ("policies/public.cedar", include_str!("template/public.cedar")),
        ("policies/routes.toml", include_str!("template/routes.toml")),
        ("policies/entities.json", include_str!("template/entities.json")),
        ("policies/tests/documents.yaml", include_str!("template/documents.yaml")),
    ] {
        files.insert(path.to_owned(), text.to_owned());
    }
    formatted(files)
}

/// The same with every policy as `cedargate fmt` writes it.
pub(super) fn formatted(mut files: Files) -> miette::Result<Files> {
    for (path, text) in files.iter_mut().filter(|(path, _)| path.ends_with(".cedar")) {
        let mut report = Report::default();
        *text = fmt::policies(path, text, &mut report).ok_or_else(|| miette!("{report}"))?;
    }
    Ok(files)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_schema_keeps_what_the_gate_needs_and_nothing_of_the_samples() {
        let schema = schema(&["Pet".to_owned()], "  entity Pet in [Path];\n\n", "").unwrap();
        for part in ["entity Pet in [Path];", "resource: [Path, Pet],", "// GATE. The two groups of actions.", "action \"revoke\""] {
            assert!(schema.contains(part), "{part} in\n{schema}");
        }
        for part in ["Document", "Order"] {
            assert!(!schema.contains(part), "{part} in\n{schema}");
        }
        let document = document().unwrap();
        assert!(document.contains("entity Document in [Path]") && !document.contains("Order"), "{document}");
    }

    #[test]
    fn the_manifest_names_nothing_a_project_does_not_have() {
        let files = common("");
        for name in ["spin.toml", "keys/issuers.toml"] {
            let text = files.get(name).unwrap();
            for part in ["make ", "src/", "Cargo.toml", "docs/"] {
                assert!(!text.contains(part), "{part} in {name}");
            }
        }
    }
}
