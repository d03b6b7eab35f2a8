//! The cookie that carries a signed URL: taken out of the request, every other cookie left as it is. And the field that tells
//! where somebody came from, which may hold a link too.

use crate::signed_url::{COOKIE, Carrier, PresentedLink, split};

/// Drops `Referer` where it holds the parameters of a link: a page that was opened with one sends it along with what it loads.
///
/// SECURITY: the link is a credential, and the origin has no use for it. `_` has no place in this name.
pub(super) fn drop_referer(headers: &mut Vec<(String, Vec<u8>)>) {
    let holds_link = |value: &[u8]| {
        let text = String::from_utf8_lossy(value);
        text.split_once('?').is_some_and(|(_, query)| split(query).1.is_some())
    };
    headers.retain(|(name, value)| name != "referer" || !holds_link(value));
}

/// Takes the gate's own cookie out of all `Cookie` fields, and returns what it carried, as often as it occurred.
///
/// SECURITY: it is a credential, so neither the origin nor a record may see it. The bytes of other cookies and their order are
/// kept; a field that held nothing else is gone.
pub(super) fn take(headers: &mut Vec<(String, Vec<u8>)>) -> Vec<PresentedLink> {
    let mut found = vec![];
    headers.retain_mut(|(name, value)| {
        // `_` counts as `-` for names of fields; this one has neither.
        if name != "cookie" || !value.windows(COOKIE.len()).any(|bytes| bytes == COOKIE.as_bytes()) {
            return true;
        }
        let before = found.len();
        let kept: Vec<&[u8]> = value.split(|byte| *byte == b';').filter(|pair| !own(pair, &mut found)).collect();
        if found.len() == before {
            return true;
        }
        let rest = kept.join(&b';');
        let rest = rest.trim_ascii_start().to_vec();
        *value = rest;
        !value.is_empty()
    });
    found
}

/// Whether a pair is the gate's own cookie, whose value is then kept.
fn own(pair: &[u8], found: &mut Vec<PresentedLink>) -> bool {
    let (name, value) = match pair.iter().position(|byte| *byte == b'=') {
        Some(at) => pair.split_at(at),
        None => (pair, &[][..]),
    };
    if name.trim_ascii() != COOKIE.as_bytes() {
        return false;
    }
    let value = value.strip_prefix(b"=").unwrap_or_default().trim_ascii();
    // What is no text is no link, and is refused as one that is malformed.
    found.push(PresentedLink { text: String::from_utf8_lossy(value).into_owned(), carrier: Carrier::Cookie });
    true
}

#[cfg(test)]
mod tests {
    use super::*;

    fn taken(values: &[&str]) -> (Vec<String>, Vec<String>) {
        let mut headers: Vec<_> = values.iter().map(|value| ("cookie".to_owned(), value.as_bytes().to_vec())).collect();
        let links = take(&mut headers).into_iter().map(|link| link.text).collect();
        (headers.into_iter().map(|(_, value)| String::from_utf8(value).unwrap()).collect(), links)
    }

    #[test]
    fn a_referer_with_a_link_is_dropped_and_others_stay() {
        let field = |value: &str| ("referer".to_owned(), value.as_bytes().to_vec());
        let mut headers = vec![
            field("https://a/b?c=d"),
            field("https://a/b?c=d&cg-v=1&cg-sig=x"),
            field("https://a/b?%63g-v=1"),
            field("https://a/cg-v"),
        ];
        drop_referer(&mut headers);
        assert_eq!(headers, [field("https://a/b?c=d"), field("https://a/cg-v")]);
    }

    #[test]
    fn only_the_gates_own_cookie_is_taken() {
        let own = format!("{COOKIE}=cg-v=1&x");
        for (values, left, links) in [
            (vec!["a=1; b=2".to_owned()], vec!["a=1; b=2"], vec![]),
            (vec![own.clone()], vec![], vec!["cg-v=1&x"]),
            (vec![format!("a=1; {own}; b=2")], vec!["a=1; b=2"], vec!["cg-v=1&x"]),
            (vec![format!("{own}; b=2")], vec!["b=2"], vec!["cg-v=1&x"]),
            (vec![format!("a=1;{own}")], vec!["a=1"], vec!["cg-v=1&x"]),
            (vec![own.clone(), own.clone()], vec![], vec!["cg-v=1&x"; 2]),
            (vec![format!("x{own}")], vec![], vec![]),
            (vec![format!(" {COOKIE} = y ")], vec![], vec!["y"]),
            (vec![COOKIE.to_owned()], vec![], vec![""]),
        ] {
            let given: Vec<&str> = values.iter().map(String::as_str).collect();
            let (headers, found) = taken(&given);
            if given[0].starts_with('x') {
                assert_eq!((headers.as_slice(), found.len()), (&values[..], 0));
            } else {
                assert_eq!(
                    (headers.iter().map(String::as_str).collect::<Vec<_>>(), found),
                    (left, links.iter().map(|l| (*l).to_owned()).collect())
                );
            }
        }
    }
}
