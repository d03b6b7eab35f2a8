//! Why, clause by clause, for the page of a record: with the policies of then, out of the archive.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};

use serde_json::{Value, json};

use super::super::super::archive;
use super::super::why::{asked, explain};
use super::super::why_text::Why;
use crate::audit::Entry;
use crate::bundle::Gate;

/// Most sets of policies that are kept loaded.
const LOADED: usize = 8;

/// Explains records.
#[derive(Debug)]
pub(super) struct Explainer {
    archive: PathBuf,
    gates: Mutex<BTreeMap<String, Arc<Gate>>>,
}

impl Explainer {
    pub(super) fn new(archive: PathBuf) -> Self {
        Self { archive, gates: Mutex::default() }
    }

    /// What `cedargate audit why` tells of this line; none where policies were not asked. What cannot be told is a note.
    pub(super) fn explain(&self, line: &str) -> Option<Value> {
        let entry = Entry::parse(line).ok().filter(|entry| entry.is_decision() && asked(entry))?;
        let digest = entry.policy_digest.as_deref().unwrap_or_default();
        let mut why = Why::of(&entry, None);
        match self.gate(digest) {
            Ok(gate) => {
                explain(&entry, &gate, &mut why);
                Some(why.json())
            }
            Err(error) => Some(json!({ "explanations": [], "notes": [{ "item": null, "note": error }] })),
        }
    }

    fn gate(&self, digest: &str) -> Result<Arc<Gate>, String> {
        let mut gates = self.gates.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(gate) = gates.get(digest) {
            return Ok(Arc::clone(gate));
        }
        let bundle = archive::find(&self.archive, digest).map_err(|error| error.to_string())?;
        let gate = Gate::load(&bundle).map_err(|_| format!("the policies `{digest}` cannot be loaded any more"))?;
        let gate = Arc::new(gate);
        if gates.len() >= LOADED {
            gates.pop_first();
        }
        gates.insert(digest.to_owned(), Arc::clone(&gate));
        Ok(gate)
    }
}
