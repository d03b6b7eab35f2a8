//! Taking the export away that sealing calls.
//!
//! wizer drops every export named like the initialisation function: the component's, which is wanted, and the core module's
//! of the same name, which the component's function is lifted from and which must stay. So the core export gets another
//! name of the same length first, in the module and where the component refers to it. wizer validates the result.

use super::section::unleb128;

/// Ids of a component's sections.
pub(super) const CORE_MODULE: u8 = 1;
const ALIAS: u8 = 6;
const EXPORT: u8 = 11;
/// Id of a core module's export section.
const CORE_EXPORT: u8 = 7;
/// Length of the preamble of a module and of a component.
pub(super) const PREAMBLE: usize = 8;

/// Renames the core exports `from` to `to`, which has the same length. `None` when the bytes cannot be read.
pub(super) fn rename_core(component: &[u8], from: &str, to: &str) -> Option<Vec<u8>> {
    let mut places = Vec::new();
    each_section(component, 0, &mut |id, content, at| {
        match id {
            CORE_MODULE => each_section(content, at, &mut |id, content, at| {
                if id == CORE_EXPORT {
                    core_exports(&mut Reader { rest: content, at }, from, &mut places)?;
                }
                Some(())
            })?,
            ALIAS => aliases(&mut Reader { rest: content, at }, from, &mut places)?,
            _ => {}
        }
        Some(())
    })?;
    let mut renamed = component.to_vec();
    for place in places {
        let end = place.checked_add(from.len())?;
        renamed.get_mut(place..end).filter(|name| name.len() == to.len())?.copy_from_slice(to.as_bytes());
    }
    Some(renamed)
}

/// Whether a component still has an export of that name. Errs on the side of yes.
pub(super) fn exports(component: &[u8], name: &str) -> bool {
    let mut found = false;
    let read = each_section(component, 0, &mut |id, content, _| {
        found |= id == EXPORT && content.windows(name.len()).any(|window| window == name.as_bytes());
        Some(())
    });
    found || read.is_none()
}

/// Is given id, content and place of a section; `None` ends the walk.
pub(super) type Visit<'a> = dyn FnMut(u8, &[u8], usize) -> Option<()> + 'a;

/// Visits every section after the preamble.
pub(super) fn each_section(bytes: &[u8], at: usize, visit: &mut Visit<'_>) -> Option<()> {
    let mut reader = Reader { rest: bytes.get(PREAMBLE..)?, at: at.checked_add(PREAMBLE)? };
    while !reader.rest.is_empty() {
        let id = reader.byte()?;
        let size = reader.number()?;
        let place = reader.at;
        visit(id, reader.take(size)?, place)?;
    }
    Some(())
}

/// Notes where a core module's export section has the name.
fn core_exports(reader: &mut Reader<'_>, name: &str, places: &mut Vec<usize>) -> Option<()> {
    for _ in 0..reader.number()? {
        reader.name(name, places)?;
        let _kind = reader.byte()?;
        let _index = reader.number()?;
    }
    Some(())
}

/// Notes where a component's alias section refers to a core export by the name.
fn aliases(reader: &mut Reader<'_>, name: &str, places: &mut Vec<usize>) -> Option<()> {
    for _ in 0..reader.number()? {
        // A core sort is two bytes.
        if reader.byte()? == 0 {
            reader.byte()?;
        }
        let _instance = match reader.byte()? {
            // Of a component instance: not a core export.
            0 => (reader.number()?, reader.name(name, &mut Vec::new())?).0,
            1 => (reader.number()?, reader.name(name, places)?).0,
            2 => (reader.number()?, reader.number()?).0,
            _ => return None,
        };
    }
    Some(())
}

struct Reader<'a> {
    rest: &'a [u8],
    /// Where `rest` begins in the component.
    at: usize,
}

impl<'a> Reader<'a> {
    fn take(&mut self, size: usize) -> Option<&'a [u8]> {
        let (taken, rest) = self.rest.split_at_checked(size)?;
        self.rest = rest;
        self.at = self.at.checked_add(size)?;
        Some(taken)
    }

    fn byte(&mut self) -> Option<u8> {
        self.take(1)?.first().copied()
    }

    fn number(&mut self) -> Option<usize> {
        let (number, rest) = unleb128(self.rest)?;
        self.take(self.rest.len().checked_sub(rest.len())?)?;
        Some(number)
    }

    /// Reads a name and notes its place if it is `wanted`.
    fn name(&mut self, wanted: &str, places: &mut Vec<usize>) -> Option<()> {
        let size = self.number()?;
        let place = self.at;
        if self.take(size)? == wanted.as_bytes() {
            places.push(place);
        }
        Some(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MODULE: &[u8] = b"\0asm\x01\0\0\0\x07\x0c\x02\x02ab\0\0\x03abc\0\x01";

    fn component() -> Vec<u8> {
        let mut bytes = b"\0asm\x0d\0\x01\0".to_vec();
        bytes.extend_from_slice(&[CORE_MODULE, MODULE.len() as u8]);
        bytes.extend_from_slice(MODULE);
        // Two aliases: a core function `ab` of core instance 0, and a function `ab` of component instance 0.
        let aliases = b"\x02\x00\x00\x01\x00\x02ab\x01\x00\x00\x02ab";
        bytes.extend_from_slice(&[ALIAS, aliases.len() as u8]);
        bytes.extend_from_slice(aliases);
        bytes.extend_from_slice(b"\x0b\x07\x01\x00\x02ab\x01\x00");
        bytes
    }

    #[test]
    fn only_core_names_are_renamed() {
        let before = component();
        let after = rename_core(&before, "ab", "xy").unwrap();
        let changed: Vec<_> = (0..before.len()).filter(|&at| before[at] != after[at]).collect();
        assert_eq!(changed.len(), 4, "{changed:?}");
        assert_eq!(after.windows(2).filter(|w| w == b"xy").count(), 2);
        assert!(exports(&after, "ab") && !exports(&after, "xy"));
    }

    #[test]
    fn bytes_that_cannot_be_read_are_not_changed() {
        let whole = component();
        for cut in [0, 7, 9, 20, whole.len() - 1] {
            assert_eq!(rename_core(&whole[..cut], "ab", "xy"), None, "{cut}");
            assert!(exports(&whole[..cut], "ab"));
        }
        assert_eq!(rename_core(&whole, "ab", "xyz"), None);
    }
}
