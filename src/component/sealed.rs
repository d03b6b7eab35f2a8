//! The sealed gate: loaded once while sealing, then part of the module's memory for ever.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Once, OnceLock};

use serde_json::json;

use crate::bundle::{Bundle, Gate};
use crate::decision::Mode;

// INVARIANT: written only by `initialize`, which sealing calls before the snapshot and which the sealed component no
// longer exports. A running instance can only read it.
static GATE: OnceLock<(Gate, String)> = OnceLock::new();

/// Loads the gate. Sealing calls this natively hosted, once.
///
/// # Errors
/// The report of the bundle's problems, as text; or that the component is sealed already.
pub(super) fn initialize(files: Vec<(String, Vec<u8>)>, build: String) -> Result<String, String> {
    let bundle: Bundle = files.into_iter().collect();
    let gate = Gate::load(&bundle).map_err(|report| report.to_string())?;
    let summary = json!({
        "policy_digest": gate.policy_digest().to_string(),
        "schema_digest": gate.schema_digest().to_string(),
        "policies": gate.policy().len(),
    });
    GATE.set((gate, build)).map_err(|_| "the component is sealed already".to_owned())?;
    Ok(summary.to_string())
}

/// Says on standard error, once in each instance, which checks the sealed configuration switches off.
#[expect(clippy::print_stderr, reason = "standard output is for records")]
pub(super) fn warn_of_insecure(gate: &Gate) {
    // Sealing never serves a request, so that this is not done yet in the snapshot.
    static TOLD: Once = Once::new();
    TOLD.call_once(|| {
        for what in gate.insecure() {
            eprintln!("warning: {what}");
        }
    });
}

/// Says on standard error that the gate only observes: once in each instance, and once more whenever it begins to again.
#[expect(clippy::print_stderr, reason = "standard output is for records")]
pub(super) fn warn_of_mode(mode: Mode) {
    // What sealing leaves in it is what an instance that was told nothing yet would have.
    static LAST: AtomicBool = AtomicBool::new(false);
    let observes = mode.insecure();
    if !LAST.swap(observes.is_some(), Ordering::Relaxed)
        && let Some(what) = observes
    {
        eprintln!("warning: {what}");
    }
}

/// The gate; `None` when the component was never sealed.
pub(super) fn gate() -> Option<&'static Gate> {
    GATE.get().map(|(gate, _)| gate)
}

/// The SHA-256 of the base component this was sealed from.
pub(super) fn build() -> Option<&'static str> {
    GATE.get().map(|(_, build)| build.as_str())
}
