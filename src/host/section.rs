//! The custom section `cedargate`: what was sealed into a component, readable without running it.

use serde::{Deserialize, Serialize};

/// The section's name.
const NAME: &str = "cedargate";
/// Preamble of a component: `\0asm`, version 13, layer 1.
const PREAMBLE: [u8; 8] = [0x00, 0x61, 0x73, 0x6d, 0x0d, 0x00, 0x01, 0x00];

/// What a sealed component says was sealed into it.
///
/// It is a label, not a proof: only the running component knows what it holds, and its health answer and every record
/// say so.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Description {
    /// Version of this description.
    pub version: u32,
    /// SHA-256 of the base component.
    pub base_digest: String,
    /// The digest of the bundle.
    pub policy_digest: String,
    /// The digest of the schema file.
    pub schema_digest: String,
    /// How many policies.
    pub policies: usize,
}

/// Version 1: the fields of [`Description`].
pub(super) const VERSION: u32 = 1;

/// Appends `description` to a component.
pub(super) fn append(component: &mut Vec<u8>, description: &Description) -> Result<(), String> {
    let json = serde_json::to_vec(description).map_err(|error| error.to_string())?;
    let mut content = Vec::new();
    leb128(NAME.len(), &mut content);
    content.extend_from_slice(NAME.as_bytes());
    content.extend_from_slice(&json);
    component.push(0);
    leb128(content.len(), component);
    component.extend_from_slice(&content);
    Ok(())
}

/// Reads the description of a component: the last `cedargate` section, `None` when there is none that can be read.
pub(super) fn read(component: &[u8]) -> Option<Description> {
    let mut rest = component.strip_prefix(&PREAMBLE)?;
    let mut found = None;
    while let Some((id, after)) = rest.split_first() {
        let (size, after) = unleb128(after)?;
        let (content, after) = after.split_at_checked(size)?;
        rest = after;
        if *id != 0 {
            continue;
        }
        let (length, content) = unleb128(content)?;
        let (name, json) = content.split_at_checked(length)?;
        if name == NAME.as_bytes() {
            found = serde_json::from_slice(json).ok();
        }
    }
    found
}

/// Whether the bytes begin as a component does.
pub(super) fn is_component(bytes: &[u8]) -> bool {
    bytes.starts_with(&PREAMBLE)
}

/// The smallest component with this description, for tests of what reads descriptions.
#[cfg(test)]
pub(crate) fn smallest(description: &Description) -> Vec<u8> {
    let mut bytes = PREAMBLE.to_vec();
    append(&mut bytes, description).unwrap();
    bytes
}

/// Writes an unsigned LEB128 number.
pub(super) fn leb128(value: usize, out: &mut Vec<u8>) {
    let mut rest = value;
    loop {
        let low = u8::try_from(rest & 0x7f).unwrap_or_default();
        rest >>= 7;
        if rest == 0 {
            out.push(low);
            return;
        }
        out.push(low | 0x80);
    }
}

/// Reads an unsigned LEB128 number of at most 32 bits, as wasm has them.
pub(super) fn unleb128(bytes: &[u8]) -> Option<(usize, &[u8])> {
    let mut value = 0_usize;
    let mut rest = bytes;
    for shift in [0, 7, 14, 21, 28] {
        let (byte, after) = rest.split_first()?;
        rest = after;
        value |= usize::from(byte & 0x7f).checked_shl(shift)?;
        if byte & 0x80 == 0 {
            return Some((value, rest));
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    fn description() -> Description {
        Description {
            version: VERSION,
            base_digest: "b".repeat(64),
            policy_digest: "p".repeat(64),
            schema_digest: "s".repeat(64),
            policies: 21,
        }
    }

    #[test]
    fn what_is_appended_is_read() {
        let mut bytes = PREAMBLE.to_vec();
        // Another custom section and a large other section before it.
        bytes.extend_from_slice(&[0, 3, 1, b'x', 9]);
        bytes.push(7);
        leb128(300, &mut bytes);
        bytes.extend(std::iter::repeat_n(0, 300));
        assert_eq!(read(&bytes), None);
        append(&mut bytes, &description()).unwrap();
        assert_eq!(read(&bytes), Some(description()));
    }

    #[test]
    fn broken_components_have_no_description() {
        let mut bytes = PREAMBLE.to_vec();
        append(&mut bytes, &description()).unwrap();
        for cut in 0..bytes.len() {
            assert_eq!(read(&bytes[..cut]), None, "{cut}");
        }
        bytes[0] = 1;
        assert_eq!(read(&bytes), None);
    }
}
