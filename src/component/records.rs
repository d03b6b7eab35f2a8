//! Where records go: the instance's chain, and standard output.

use std::cell::RefCell;
use std::io::Write;

use spin_sdk::wasip3::random::random;

use super::{sealed, settings};
use crate::audit::{AuditConfig, Chain, DecisionId, Record, Scene, Upstream, checkpoint, outcome};

thread_local! {
    // One for each instance, drawn at its first request: what the snapshot held would be the same in all of them.
    static CHAIN: RefCell<Option<Chain>> = const { RefCell::new(None) };
}

/// Does something with the instance's chain. Nothing in between waits, so that records are chained in the order they are written.
fn chained<T>(with: impl FnOnce(&mut Chain) -> T) -> T {
    CHAIN.with_borrow_mut(|chain| {
        let chain = chain.get_or_insert_with(|| {
            let mut instance = [0; 16];
            for (to, from) in instance.iter_mut().zip(random::get_random_bytes(16)) {
                *to = from;
            }
            Chain::new(instance, sealed::gate().map(crate::bundle::Gate::policy_digest).as_ref())
        });
        with(chain)
    })
}

/// Writes one record. Whether that succeeded matters to a permit only: a denial goes out either way.
pub(super) fn write(record: &Record<'_>) -> bool {
    let keys = settings::audit_keys();
    let nothing_sealed = AuditConfig::default();
    let config = sealed::gate().map_or(&nothing_sealed, crate::bundle::Gate::audit);
    let scene = record.scene();
    // Standard output goes where the instance runs.
    let config = config.for_region(scene.region);
    let lines = chained(|chain| {
        let mut lines = record.to_line(chain, &keys, &config);
        if chain.wants_checkpoint() {
            lines.push_str(&checkpoint(chain, &keys, scene));
        }
        lines
    });
    put(&lines)
}

/// Writes what became of a request that was recorded before it went on.
pub(super) fn write_outcome(scene: Scene<'_>, id: &DecisionId, status: u16, upstream: &Upstream) -> bool {
    put(&chained(|chain| outcome(chain, &settings::audit_keys(), scene, id, status, upstream)))
}

/// In one call, so that lines of concurrent requests do not mix.
#[expect(clippy::disallowed_methods, reason = "the shell writes the records")]
fn put(lines: &str) -> bool {
    std::io::stdout().lock().write_all(lines.as_bytes()).is_ok()
}
