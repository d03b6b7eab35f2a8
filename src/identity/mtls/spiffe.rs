//! SPIFFE ids (the SPIFFE-ID standard, section 2), and what an X.509 certificate must be to carry one (X509-SVID).

use crate::limits;

/// Whether a URI claims to be a SPIFFE id, well-formed or not.
pub(super) fn claims_to_be(uri: &str) -> bool {
    uri.get(..7).is_some_and(|scheme| scheme.eq_ignore_ascii_case("spiffe:"))
}

/// The trust domain of a SPIFFE id, or which rule it breaks.
///
/// A client's id names a workload, so it has a path (X509-SVID, section 3.2): `spiffe://example.org` is a trust domain's own.
pub(super) fn trust_domain(id: &str) -> Result<&str, &'static str> {
    if id.len() > limits::CERTIFICATE_NAME_BYTES {
        return Err("the SPIFFE id has more than 2048 bytes");
    }
    let rest = id.strip_prefix("spiffe://").ok_or("the SPIFFE id does not begin with `spiffe://`")?;
    let (domain, path) = rest.split_once('/').ok_or("the SPIFFE id has no path")?;
    if !is_trust_domain(domain) {
        return Err("the trust domain is not 1 to 255 of a-z, 0-9, `.`, `-` and `_`");
    }
    for segment in path.split('/') {
        if matches!(segment, "" | "." | "..") {
            return Err("a segment of the path is empty, `.` or `..`");
        }
        if !segment.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'-' | b'_')) {
            return Err("the path has a character other than letters, digits, `.`, `-` and `_`");
        }
    }
    Ok(domain)
}

/// Whether this is the name of a trust domain.
pub(super) fn is_trust_domain(name: &str) -> bool {
    (1..=255).contains(&name.len()) && name.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || matches!(b, b'.' | b'-' | b'_'))
}

#[cfg(test)]
mod tests {
    use super::{claims_to_be, trust_domain};

    #[test]
    fn a_spiffe_id_has_one_spelling() {
        for (id, domain) in [
            ("spiffe://example.org/service", "example.org"),
            ("spiffe://example.org/ns/Prod/sa/a.b-c_d", "example.org"),
            ("spiffe://a_b-1.c/...", "a_b-1.c"),
        ] {
            assert_eq!(trust_domain(id), Ok(domain), "{id}");
        }
        let long = format!("spiffe://example.org/{}", "a".repeat(2048));
        let longest = format!("spiffe://{}/a", "a".repeat(256));
        for bad in [
            "SPIFFE://example.org/a",
            "spiffe:/example.org/a",
            "spiffe:example.org/a",
            "spiffe://",
            "spiffe:///a",
            "spiffe://example.org",
            "spiffe://example.org/",
            "spiffe://example.org/a/",
            "spiffe://example.org//a",
            "spiffe://example.org/./a",
            "spiffe://example.org/a/..",
            "spiffe://Example.org/a",
            "spiffe://example.org:443/a",
            "spiffe://user@example.org/a",
            "spiffe://example.org/a?b",
            "spiffe://example.org/a#b",
            "spiffe://example.org?a",
            "spiffe://example.org#a/b",
            "spiffe://example.org/%61",
            "spiffe://example.org/ä",
            "spiffe://example.org/a b",
            "spiffe://ex%61mple.org/a",
            "",
            &long,
            &longest,
        ] {
            assert!(trust_domain(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn what_claims_to_be_one_is_not_taken_for_another_uri() {
        assert!(claims_to_be("spiffe:x") && claims_to_be("SpIfFe://a") && claims_to_be("spiffe:"));
        assert!(!claims_to_be("spiffe") && !claims_to_be("https://spiffe:") && !claims_to_be("") && !claims_to_be("spiffée:"));
    }
}
