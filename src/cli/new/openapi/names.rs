//! From the names of a description to names that Cedar, TOML and file names take. Whatever comes in, what goes out is ASCII.

use std::collections::BTreeSet;

/// Names no resource type may have: the gate's own, those the schema declares, and Cedar's.
const TAKEN_TYPES: [&str; 24] = [
    "User",
    "Workload",
    "Anonymous",
    "SignedUrl",
    "Group",
    "Role",
    "Path",
    "Action",
    "Pair",
    "Token",
    "Certificate",
    "Signing",
    "RequestContext",
    "Bool",
    "Boolean",
    "Long",
    "String",
    "Set",
    "Record",
    "Entity",
    "Extension",
    "Decimal",
    "Datetime",
    "Gate",
];

/// Names no action may have: methods, groups, and what the gate asks for itself.
const TAKEN_ACTIONS: [&str; 11] = ["GET", "HEAD", "OPTIONS", "POST", "PUT", "PATCH", "DELETE", "read", "write", "sign", "revoke"];

/// The longest name made of one in a description.
const LONGEST: usize = 80;

/// Words of a name: `petId`, `pet-id`, `Pet ID` are `pet` and `id`.
fn words(text: &str) -> Vec<String> {
    let (mut words, mut word, mut lower) = (Vec::new(), String::new(), false);
    for c in text.chars().take(LONGEST) {
        if !c.is_ascii_alphanumeric() || (c.is_ascii_uppercase() && lower) {
            words.push(std::mem::take(&mut word));
        }
        if c.is_ascii_alphanumeric() {
            word.push(c.to_ascii_lowercase());
        }
        lower = c.is_ascii_lowercase() || c.is_ascii_digit();
    }
    words.push(word);
    words.retain(|word| !word.is_empty());
    words
}

/// `PetOwner` of words.
fn pascal(words: &[String]) -> String {
    words.iter().flat_map(|word| word.chars().enumerate().map(|(at, c)| if at == 0 { c.to_ascii_uppercase() } else { c })).collect()
}

/// One of many: `pets` is `pet`. English, and good enough: the name can be changed.
fn singular(word: &str) -> String {
    let kept = |ending: &str| word.strip_suffix(ending).filter(|stem| stem.len() > 1);
    if let Some(stem) = kept("ies") {
        return format!("{stem}y");
    }
    for ending in ["sses", "shes", "ches", "xes", "uses"] {
        if let Some(stem) = kept(ending) {
            return format!("{stem}{}", ending.strip_suffix("es").unwrap_or_default());
        }
    }
    let stem = kept("s").filter(|_| !["ss", "us", "is"].iter().any(|ending| word.ends_with(ending)));
    stem.unwrap_or(word).to_owned()
}

/// The type of what `/pets/{petId}` names: by the literal before the parameter, else by the parameter.
pub(super) fn resource_type(before: Option<&str>, parameter: &str) -> String {
    let mut named = before.map(words).unwrap_or_default();
    if let Some(last) = named.last_mut() {
        *last = singular(last);
    } else {
        named = words(parameter);
        if named.len() > 1 && named.last().is_some_and(|last| matches!(last.as_str(), "id" | "name" | "key" | "slug" | "uuid")) {
            named.pop();
        }
    }
    let mut name = pascal(&named);
    if !name.starts_with(|c: char| c.is_ascii_alphabetic()) {
        name.insert_str(0, "Item");
    }
    if TAKEN_TYPES.contains(&name.as_str()) || name == "Item" || name == "Id" {
        name.push_str("Resource");
    }
    name
}

/// A parameter as a template has it: lower-case letters, digits and `_`.
pub(super) fn parameter(name: &str, taken: &mut BTreeSet<String>) -> String {
    let mut name = words(name).join("_");
    if !name.starts_with(|c: char| c.is_ascii_lowercase()) {
        name.insert(0, 'p');
    }
    name.truncate(48);
    unique(name.trim_end_matches('_').to_owned(), '_', taken)
}

/// The name of an operation's action: its `operationId`, else one of its method and path.
pub(super) fn action(id: Option<&str>, method: &str, path: &str, taken: &mut BTreeSet<String>) -> String {
    let kept = |c: char| if c.is_ascii_alphanumeric() || "_-./:".contains(c) { c } else { '_' };
    let mut name: String = id.unwrap_or_default().chars().map(kept).take(LONGEST).collect();
    if !name.chars().any(|c| c.is_ascii_alphanumeric()) {
        name = format!("{}{}", method.to_ascii_lowercase(), pascal(&words(path)));
    }
    if TAKEN_ACTIONS.iter().any(|taken| taken.eq_ignore_ascii_case(&name)) {
        name.push_str("Operation");
    }
    unique(name, '-', taken)
}

/// A tag as groups, policies and files are named by it.
pub(super) fn slug(tag: &str, taken: &mut BTreeSet<String>) -> String {
    let mut name = words(tag).join("-");
    if name.is_empty() {
        name = "api".to_owned();
    }
    // ASCII: every byte is a character. A policy's id and a file's name have to hold it.
    name.truncate(60);
    let name = name.trim_end_matches('-').to_owned();
    unique(name, '-', taken)
}

fn unique(name: String, separator: char, taken: &mut BTreeSet<String>) -> String {
    let mut found = name.clone();
    let mut number = 2_usize;
    while !taken.insert(found.clone()) {
        found = format!("{name}{separator}{number}");
        number = number.saturating_add(1);
    }
    found
}

/// On one line, without anything that could end a comment or steer a terminal, and not long.
pub(super) fn comment(text: &str) -> String {
    let text: String = text.chars().map(|c| if c.is_control() || c.is_whitespace() { ' ' } else { c }).collect();
    let text = crate::cli::output::visible(&text.split_whitespace().collect::<Vec<_>>().join(" "));
    let short: String = text.chars().take(LONGEST).collect();
    if short.len() < text.len() { format!("{short}…") } else { short }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn types_are_named_by_what_stands_before_the_parameter() {
        for (before, parameter, name) in [
            (Some("pets"), "petId", "Pet"),
            (Some("categories"), "id", "Category"),
            (Some("order-items"), "x", "OrderItem"),
            (Some("addresses"), "x", "Address"),
            (Some("statuses"), "x", "Status"),
            (Some("users"), "id", "UserResource"),
            (Some("Tokens"), "id", "TokenResource"),
            (Some("2fa"), "id", "Item2fa"),
            (Some("日本"), "petId", "Pet"),
            (None, "repo_name", "Repo"),
            (None, "id", "IdResource"),
            (None, "日本", "ItemResource"),
        ] {
            assert_eq!(resource_type(before, parameter), name, "{before:?} {parameter}");
        }
    }

    #[test]
    fn parameters_actions_and_tags_are_made_fit_and_unique() {
        let mut taken = BTreeSet::new();
        let names = ["petId", "pet-id", "$pet.id", "", "9", "日本"].map(|name| parameter(name, &mut taken));
        assert_eq!(names, ["pet_id", "pet_id_2", "pet_id_3", "p", "p9", "p_2"]);
        let mut taken = BTreeSet::new();
        let of = [("issues/list", "GET"), ("get pets\"", "GET"), ("", "GET"), ("sign", "POST"), ("Read", "GET"), ("issues/list", "GET")];
        let names = of.map(|(id, method)| action(Some(id), method, "/pets/{petId}", &mut taken));
        assert_eq!(names, ["issues/list", "get_pets_", "getPetsPetId", "signOperation", "ReadOperation", "issues/list-2"]);
        let mut taken = BTreeSet::new();
        let slugs = ["Pet Store", "pet-store", "", "日本", "guardrails"].map(|tag| slug(tag, &mut taken));
        assert_eq!(slugs, ["pet-store", "pet-store-2", "api", "api-2", "guardrails"]);
    }

    #[test]
    fn comments_stay_on_their_line() {
        assert_eq!(comment("a\r\nb\u{202e}\tc"), "a b\u{fffd} c");
        assert_eq!(comment(&"x".repeat(200)).chars().count(), LONGEST + 1);
    }
}
