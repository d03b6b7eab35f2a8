//! Base64 of the DER in fields of any name: what HAProxy writes with `%[ssl_c_der,base64]`.

use super::{Bag, assemble, decode, malformed};
use crate::decision::Denial;
use crate::limits;

pub(super) fn read(certificate: &str, chain: &[&str]) -> Result<Vec<Vec<u8>>, Denial> {
    let mut one = Bag::default();
    one.add_base64(certificate)?;
    let mut rest = Bag::default();
    for element in chain.iter().flat_map(|line| line.split(',')) {
        // HAProxy's `ssl_c_chain_der` is the certificates one directly after the other.
        let bytes = decode(element.trim_matches([' ', '\t']), limits::CHAIN_BYTES)?;
        if bytes.is_empty() {
            return Err(malformed("a certificate without bytes"));
        }
        let mut remaining = bytes.as_slice();
        while !remaining.is_empty() {
            let (der, after) = first(remaining).ok_or_else(|| malformed("the chain is not DER certificates"))?;
            rest.add(der.to_vec())?;
            remaining = after;
        }
    }
    assemble(one.only()?, rest)
}

/// The first of several DER sequences: its tag, a length in the fewest bytes (X.690, section 10.1), and as much as it says.
fn first(bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    let (header, length) = match bytes {
        [0x30, length @ 0..=0x7f, ..] => (2_usize, usize::from(*length)),
        [0x30, 0x81, length @ 0x80..=0xff, ..] => (3, usize::from(*length)),
        [0x30, 0x82, high @ 1..=0xff, low, ..] => (4, usize::from(u16::from_be_bytes([*high, *low]))),
        _ => return None,
    };
    bytes.split_at_checked(header.checked_add(length)?)
}
