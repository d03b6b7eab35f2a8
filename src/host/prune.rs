//! Taking the code away that only sealing needed.
//!
//! A sealed component never parses a policy or validates a schema again, but what did is still in it: most of its code. A function
//! stays when something that stays can get to it: an export, the start function, a call or a reference in a function that stays, or, for
//! those in a table, an indirect call of their type in a function that stays. The body of any other becomes one `unreachable`. Nothing is
//! guessed: whatever could be called in any run is kept, and if that were wrong the request would be denied, not let through. Functions
//! keep their numbers, so that nothing else has to change.

use std::collections::{BTreeMap, BTreeSet};

use wasmparser::{BinaryReaderError, ConstExpr, ElementItems, ExternalKind, FuncType, FunctionBody, Operator, Parser, Payload, TypeRef};

use super::section::leb128;
use super::unexport::{CORE_MODULE, PREAMBLE, each_section};

/// Id of a module's section with its code.
const CODE: u8 = 10;
/// No locals; `unreachable`; end.
const NOTHING: [u8; 3] = [0x00, 0x00, 0x0b];

/// The component without dead code in its modules. What is only exported as `dead` is dead. `None` when the bytes cannot be read.
pub(super) fn prune(component: &[u8], dead: &str) -> Option<Vec<u8>> {
    sections(component, |id, content| if id == CORE_MODULE { module(content, dead) } else { Some(content.to_vec()) })
}

/// Every section with another content.
fn sections(bytes: &[u8], mut with: impl FnMut(u8, &[u8]) -> Option<Vec<u8>>) -> Option<Vec<u8>> {
    let mut out = Vec::with_capacity(bytes.len());
    out.extend_from_slice(bytes.get(..PREAMBLE)?);
    each_section(bytes, 0, &mut |id, content, _| {
        let content = with(id, content)?;
        out.push(id);
        leb128(content.len(), &mut out);
        out.extend_from_slice(&content);
        Some(())
    })?;
    Some(out)
}

fn module(bytes: &[u8], dead: &str) -> Option<Vec<u8>> {
    let read = Module::read(bytes, dead).ok()?;
    let alive = read.alive();
    sections(bytes, |id, content| {
        if id != CODE {
            return Some(content.to_vec());
        }
        let mut out = Vec::with_capacity(content.len());
        leb128(read.bodies.len(), &mut out);
        for (index, (body, _)) in (read.imported..).zip(&read.bodies) {
            let body = if alive.contains(&index) { bytes.get(body.range())? } else { &NOTHING };
            leb128(body.len(), &mut out);
            out.extend_from_slice(body);
        }
        Some(out)
    })
}

/// A core module, as far as it says what calls what.
#[derive(Default)]
struct Module<'a> {
    types: Vec<FuncType>,
    /// The type of each function, imported ones first.
    functions: Vec<u32>,
    imported: u32,
    /// Of each that is not imported, its body and what that can get to.
    bodies: Vec<(FunctionBody<'a>, Reach)>,
    /// Functions that can be called from outside, or whatever runs.
    roots: BTreeSet<u32>,
    /// Functions that stand in a table.
    in_tables: BTreeSet<u32>,
    /// Whether others can call what stands in a table.
    shares_table: bool,
}

/// What a function can get to.
#[derive(Default)]
struct Reach {
    functions: BTreeSet<u32>,
    /// Types of indirect calls.
    types: BTreeSet<u32>,
}

impl<'a> Module<'a> {
    fn read(bytes: &'a [u8], dead: &str) -> Result<Self, BinaryReaderError> {
        let mut read = Self::default();
        for payload in Parser::new(0).parse_all(bytes) {
            match payload? {
                Payload::TypeSection(section) => {
                    read.types = section.into_iter_err_on_gc_types().collect::<Result<_, _>>()?;
                }
                Payload::ImportSection(section) => {
                    for import in section.into_imports() {
                        match import?.ty {
                            TypeRef::Func(ty) | TypeRef::FuncExact(ty) => read.functions.push(ty),
                            TypeRef::Table(_) => read.shares_table = true,
                            TypeRef::Memory(_) | TypeRef::Global(_) | TypeRef::Tag(_) => {}
                        }
                    }
                    read.imported = u32::try_from(read.functions.len()).unwrap_or(u32::MAX);
                }
                Payload::FunctionSection(section) => {
                    for ty in section {
                        read.functions.push(ty?);
                    }
                }
                Payload::ExportSection(section) => {
                    for export in section {
                        let export = export?;
                        match export.kind {
                            ExternalKind::Func | ExternalKind::FuncExact if export.name != dead => drop(read.roots.insert(export.index)),
                            ExternalKind::Table => read.shares_table = true,
                            _ => {}
                        }
                    }
                }
                Payload::StartSection { func, .. } => drop(read.roots.insert(func)),
                Payload::GlobalSection(section) => {
                    for global in section {
                        constant(&global?.init_expr, &mut read.roots)?;
                    }
                }
                Payload::ElementSection(section) => {
                    for element in section {
                        match element?.items {
                            ElementItems::Functions(functions) => {
                                for function in functions {
                                    read.in_tables.insert(function?);
                                }
                            }
                            ElementItems::Expressions(_, expressions) => {
                                for expression in expressions {
                                    constant(&expression?, &mut read.in_tables)?;
                                }
                            }
                        }
                    }
                }
                Payload::CodeSectionEntry(body) => {
                    let reach = reach(&body)?;
                    read.bodies.push((body, reach));
                }
                _ => {}
            }
        }
        Ok(read)
    }

    /// The functions that stay.
    fn alive(&self) -> BTreeSet<u32> {
        let mut by_type: BTreeMap<&FuncType, Vec<u32>> = BTreeMap::new();
        for function in &self.in_tables {
            let ty = usize::try_from(*function).ok().and_then(|at| self.functions.get(at)).and_then(|ty| self.signature(*ty));
            if let Some(ty) = ty {
                by_type.entry(ty).or_default().push(*function);
            }
        }
        let mut alive = BTreeSet::new();
        let mut waiting: Vec<u32> = self.roots.iter().copied().collect();
        if self.shares_table {
            waiting.extend(&self.in_tables);
        }
        let mut called = BTreeSet::new();
        while let Some(function) = waiting.pop() {
            if !alive.insert(function) {
                continue;
            }
            let body = function.checked_sub(self.imported).and_then(|at| self.bodies.get(usize::try_from(at).ok()?));
            let Some((_, Reach { functions, types })) = body else { continue };
            waiting.extend(functions);
            for ty in types {
                if called.insert(*ty) {
                    waiting.extend(self.signature(*ty).and_then(|ty| by_type.get(ty)).into_iter().flatten());
                }
            }
        }
        alive
    }

    fn signature(&self, ty: u32) -> Option<&FuncType> {
        self.types.get(usize::try_from(ty).ok()?)
    }
}

fn reach(body: &FunctionBody<'_>) -> Result<Reach, BinaryReaderError> {
    let mut found = Reach::default();
    let mut operators = body.get_operators_reader()?;
    while !operators.eof() {
        match operators.read()? {
            Operator::Call { function_index } | Operator::ReturnCall { function_index } | Operator::RefFunc { function_index } => {
                found.functions.insert(function_index);
            }
            Operator::CallIndirect { type_index, .. }
            | Operator::ReturnCallIndirect { type_index, .. }
            | Operator::CallRef { type_index }
            | Operator::ReturnCallRef { type_index } => {
                found.types.insert(type_index);
            }
            _ => {}
        }
    }
    Ok(found)
}

/// The functions a constant refers to.
fn constant(expression: &ConstExpr<'_>, found: &mut BTreeSet<u32>) -> Result<(), BinaryReaderError> {
    let mut operators = expression.get_operators_reader();
    while !operators.eof() {
        if let Operator::RefFunc { function_index } = operators.read()? {
            found.insert(function_index);
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn section(id: u8, content: &[&[u8]]) -> Vec<u8> {
        let (content, mut section) = (content.concat(), vec![id]);
        leb128(content.len(), &mut section);
        [section, content].concat()
    }

    fn body(code: &[u8]) -> Vec<u8> {
        [&[u8::try_from(code.len() + 2).unwrap(), 0], code, &[0x0b]].concat()
    }

    /// Function 0 is imported. 1 `run` calls 2, and indirectly what takes an `i32`; 2 does nothing; 3 and 4 stand in the table, 3 takes an
    /// `i32`, 4 nothing; 5 is `load`, which calls 6 and 7, and indirectly what takes nothing; 6 does nothing; 7 calls the import; 8 takes an
    /// `i32` by a type of its own that is the same.
    fn sample(table_exported: bool) -> Vec<u8> {
        let (nothing, number, again) = ([0x60, 0, 0], [0x60, 1, 0x7f, 0], [0x60, 1, 0x7f, 0]);
        let bodies = [
            body(&[0x10, 2, 0x41, 0, 0x41, 0, 0x11, 1, 0]),
            body(&[]),
            body(&[0x01]),
            body(&[0x01, 0x01]),
            body(&[0x10, 6, 0x10, 7, 0x41, 0, 0x11, 0, 0]),
            body(&[0x01, 0x01, 0x01]),
            body(&[0x10, 0]),
            body(&[0x01, 0x01, 0x01, 0x01]),
        ];
        let exports: &[&[u8]] = if table_exported {
            &[&[3], b"\x03run\0\x01", b"\x04load\0\x05", b"\x01t\x01\0"]
        } else {
            &[&[2], b"\x03run\0\x01", b"\x04load\0\x05"]
        };
        let module = [
            b"\0asm\x01\0\0\0".to_vec(),
            section(1, &[&[3], &nothing, &number, &again]),
            section(2, &[&[1], b"\x01m\x01f\0\0"]),
            section(3, &[&[8, 0, 0, 1, 0, 0, 0, 0, 2]]),
            section(4, &[&[1, 0x70, 0, 3]]),
            section(7, exports),
            section(9, &[&[1, 0, 0x41, 0, 0x0b, 3, 3, 4, 8]]),
            section(CODE, &[&[8], &bodies.concat()]),
        ]
        .concat();
        [b"\0asm\x0d\0\x01\0".to_vec(), section(CORE_MODULE, &[&module]), section(0, &[b"\x01n1"])].concat()
    }

    /// Which functions of the module still have a body.
    fn kept(component: &[u8]) -> Vec<u32> {
        let mut kept = vec![];
        sections(component, |id, content| {
            if id == CORE_MODULE {
                let read = Module::read(content, "").unwrap();
                let alive = |body: &FunctionBody<'_>| content[body.range()] != NOTHING;
                kept.extend((read.imported..).zip(&read.bodies).filter(|(_, (body, _))| alive(body)).map(|(index, _)| index));
            }
            Some(content.to_vec())
        })
        .unwrap();
        kept
    }

    #[test]
    fn what_can_be_reached_stays_and_the_rest_goes() {
        let before = sample(false);
        assert_eq!(kept(&before), [1, 2, 3, 4, 5, 6, 7, 8]);
        assert_eq!(kept(&prune(&before, "load").unwrap()), [1, 2, 3, 8], "what only the loader needs is gone");
        assert_eq!(prune(&before, "other").unwrap(), before, "with both exports everything is needed");
        assert_eq!(kept(&prune(&before, "run").unwrap()), [4, 5, 6, 7]);
        // Others could call whatever stands in a table they see.
        assert_eq!(kept(&prune(&sample(true), "load").unwrap()), [1, 2, 3, 4, 8]);
    }

    #[test]
    fn what_is_pruned_is_a_component_and_pruning_again_changes_nothing() {
        let after = prune(&sample(false), "load").unwrap();
        let mut config = wasmtime::Config::new();
        config.wasm_component_model(true);
        wasmtime::component::Component::new(&wasmtime::Engine::new(&config).unwrap(), &after).unwrap();
        assert_eq!(prune(&after, "load").unwrap(), after);
    }

    #[test]
    fn bytes_that_cannot_be_read_are_not_pruned() {
        let whole = sample(false);
        for cut in [0, 7, 9, 30, whole.len() - 1] {
            assert_eq!(prune(&whole[..cut], "load"), None, "{cut}");
        }
        // An operator that there is not.
        let mut wrong = whole.clone();
        let at = wrong.windows(3).position(|three| three == [0x10, 6, 0x10]).unwrap();
        wrong[at] = 0xff;
        assert_eq!(prune(&wrong, "load"), None);
    }
}
