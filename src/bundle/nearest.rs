//! "Did you mean …": the known name that an unknown one was probably meant to be.

/// Longest name that is compared, in bytes: the cost grows with the product of two lengths, and somebody else wrote the name.
const COMPARED: usize = 64;
/// Most letters that may be wrong.
const LETTERS: usize = 2;

/// The known name that is nearest to `name`, when that is near enough to be a slip; never `name` itself.
pub fn nearest<'k>(name: &str, known: impl IntoIterator<Item = &'k str>) -> Option<&'k str> {
    known
        .into_iter()
        .filter(|candidate| name.len().max(candidate.len()) <= COMPARED)
        .map(|candidate| (strsim::levenshtein(name, candidate), candidate))
        .filter(|(distance, candidate)| (1..=candidate.chars().count().div_ceil(2).min(LETTERS)).contains(distance))
        .min()
        .map(|(_, candidate)| candidate)
}

#[cfg(test)]
mod tests {
    use super::nearest;

    #[test]
    fn a_misspelt_name_finds_its_neighbour() {
        assert_eq!(nearest("rotue", ["route", "version"]), Some("route"));
        assert_eq!(nearest("actoins", ["path", "actions", "scopes"]), Some("actions"));
        assert_eq!(nearest("GTE", ["PUT", "GET"]), Some("GET"));
        assert_eq!(nearest("doc", ["id"]), None);
        assert_eq!(nearest("route", ["route"]), None);
        assert_eq!(nearest("elephant", ["path", "actions"]), None);
        assert_eq!(nearest("", ["path"]), None);
        assert_eq!(nearest(&"x".repeat(65), ["x"]), None);
    }
}
