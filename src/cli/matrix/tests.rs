use std::path::Path;

use super::super::files::Folders;
use super::super::test::Tests;
use super::change::changes;
use super::{FILE, table};

fn tests() -> Tests {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    Tests::read(&Folders { policies: root.join("policies"), keys: root.join("keys"), dev: false }).unwrap()
}

#[test]
fn the_sample_policies_decide_as_the_matrix_says() {
    let table = table(&tests()).unwrap();
    let golden = std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join(FILE)).unwrap_or_default();
    let told: Vec<String> = changes(&golden, &table).iter().map(ToString::to_string).collect();
    assert!(golden == table.text(), "{FILE}: run `cedargate matrix` and review what it says: {told:#?}");
}

#[test]
fn a_change_is_told_in_a_sentence() {
    let table = table(&tests()).unwrap();
    let told = |from: &str, to: &str| {
        let text = table.text();
        assert!(text.contains(from), "{from}");
        changes(&text.replacen(from, to, 1), &table).iter().map(ToString::to_string).collect::<Vec<_>>()
    };
    let row = |name: &str, was: &str| {
        let text = table.text();
        let from = text.split("\n\n").find(|block| block.starts_with(name)).unwrap().to_owned();
        let to: String = from
            .lines()
            .map(|line| format!("{}\n", if line.starts_with("  alice ") { format!("  alice     {was}") } else { line.to_owned() }))
            .collect();
        told(&from, to.trim_end())
    };
    assert_eq!(told("x", "x"), [""; 0]);
    assert_eq!(
        row("DELETE /api/documents/1\n", "allow  freeze, other"),
        ["alice may still DELETE /api/documents/1: allowed by documents.owner (was allowed by freeze, other)"]
    );
    assert_eq!(
        row("DELETE /api/documents/1\n", "deny   documents.freeze"),
        ["alice may now DELETE /api/documents/1: allowed by documents.owner (was denied by documents.freeze)"]
    );
    assert_eq!(
        row("PUT /api/documents/4\n", "allow  documents.owner"),
        ["alice may no longer PUT /api/documents/4: denied by guardrail.legal-hold (was allowed by documents.owner)"]
    );
    assert_eq!(
        row("PUT /api/documents/4\n", "deny   scope documents.write"),
        ["alice still may not PUT /api/documents/4: denied by guardrail.legal-hold (was denied: the scope documents.write is missing)"]
    );
    assert_eq!(
        row("PUT /api/documents/4\n", "deny   guardrail.x  login 900s ago"),
        ["alice still may not PUT /api/documents/4: denied by guardrail.legal-hold (was denied by guardrail.x until a login 900s ago)"]
    );
    assert_eq!(
        row("PUT /api/documents/4\n", "deny"),
        ["alice still may not PUT /api/documents/4: denied by guardrail.legal-hold (was denied: nothing permits it)"]
    );
    assert_eq!(told("\nrevoke\n", "\nGET /nowhere\n"), ["new in the table: revoke", "no longer in the table: GET /nowhere"]);
    assert_eq!(
        told("  courier   ", "  postman   "),
        ["new in the table: the caller courier", "no longer in the table: the caller postman"]
    );
}
