//! RFC 9440: `Client-Cert` is a structured field byte sequence, `Client-Cert-Chain` a list of them (RFC 9651, sections
//! 3.1, 3.3.5 and 4.2).
//!
//! Stricter than a general reader of structured fields in three places, none of which a terminator has a use for:
//! parameters are refused (RFC 9440 defines none, so one is not from a terminator that follows it), and so are base64
//! without padding and base64 whose unused bits are not zero (RFC 9651, section 4.2.7, lets a reader choose).

use super::{Bag, assemble, malformed};
use crate::decision::Denial;

pub(super) fn read(certificate: &str, chain: &[&str]) -> Result<Vec<Vec<u8>>, Denial> {
    let mut one = Bag::default();
    // RFC 9651, section 4.2: spaces, and only spaces, are discarded around the value.
    let rest = sequence(certificate.trim_start_matches(' '), &mut one)?;
    if !rest.trim_end_matches(' ').is_empty() {
        return Err(malformed("something after the byte sequence of the certificate"));
    }
    let mut bag = Bag::default();
    if !chain.is_empty() {
        // RFC 9651, section 4.2: the lines of one field are one list.
        list(&chain.join(", "), &mut bag)?;
    }
    assemble(one.only()?, bag)
}

/// A list of byte sequences (RFC 9651, section 4.2.1).
fn list(text: &str, bag: &mut Bag) -> Result<(), Denial> {
    let mut rest = text.trim_start_matches(' ');
    if rest.trim_end_matches(' ').is_empty() {
        return Ok(());
    }
    loop {
        let after = sequence(rest, bag)?;
        let next = after.trim_start_matches([' ', '\t']);
        if next.is_empty() {
            // Only spaces may end the field; a tab belongs before a comma.
            return if after.contains('\t') { Err(malformed("a tab at the end of the list")) } else { Ok(()) };
        }
        let next = next.strip_prefix(',').ok_or_else(|| malformed("no comma between two members of the list"))?;
        rest = next.trim_start_matches([' ', '\t']);
        if rest.is_empty() {
            return Err(malformed("a comma at the end of the list"));
        }
    }
}

/// A byte sequence (RFC 9651, section 4.2.7), into the bag; what follows it.
fn sequence<'a>(text: &'a str, bag: &mut Bag) -> Result<&'a str, Denial> {
    let inner = text.strip_prefix(':').ok_or_else(|| malformed("no colon begins a byte sequence"))?;
    let (base64, rest) = inner.split_once(':').ok_or_else(|| malformed("no colon ends a byte sequence"))?;
    bag.add_base64(base64)?;
    Ok(rest)
}
