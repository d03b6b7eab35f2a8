//! Where records go: the instance's chain, standard output, and the sink.

use std::cell::RefCell;
use std::io::Write;

use spin_sdk::wasip3::clocks::{monotonic_clock, system_clock};
use spin_sdk::wasip3::random::random;

use super::{sealed, settings, sink};
use crate::audit::sink::{Item, Lost, Ticket};
use crate::audit::{AuditConfig, Chain, DecisionId, Record, Scene, Timestamp, Upstream, checkpoint, dropped, outcome};
use crate::decision::{Mode, UnixTime};
use crate::signed_url::Keyring;

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

/// Now, as the record writes it.
pub(super) fn now() -> Timestamp {
    let now = system_clock::now();
    Timestamp { seconds: UnixTime(now.seconds), millis: u16::try_from(now.nanoseconds / 1_000_000).unwrap_or(999) }
}

/// Writes one record. Whether that succeeded matters to a permit only: a denial goes out either way.
pub(super) fn write(record: &Record<'_>) -> bool {
    written(record, None)
}

/// Writes the record of something that must not happen unless it is recorded, and waits until the sink has it, where there is
/// one.
pub(super) async fn write_first(record: &Record<'_>) -> bool {
    let ticket = Ticket::default();
    if !written(record, Some(ticket.clone())) {
        return false;
    }
    match settings::sink() {
        None => true,
        Some(_) => sink::delivered(&ticket).await,
    }
}

/// Writes what became of a request that was recorded before it went on.
pub(super) fn write_outcome(scene: Scene<'_>, id: &DecisionId, status: u16, upstream: &Upstream) -> bool {
    emit(scene, None, |chain, keys| outcome(chain, keys, scene, id, status, upstream))
}

/// Writes which records the sink did not get, where there are any and there is room to tell it.
pub(super) fn write_lost(region: &str) {
    // The mode is told of requests, and this is about the log.
    let scene = Scene { time: now(), region, mode: Mode::Enforce, gate: sealed::gate() };
    let keys = settings::audit_keys();
    put(scene, chained(|chain| lost(chain, &keys, scene)));
}

fn written(record: &Record<'_>, ticket: Option<Ticket>) -> bool {
    let nothing_sealed = AuditConfig::default();
    let config = sealed::gate().map_or(&nothing_sealed, crate::bundle::Gate::audit);
    let scene = record.scene();
    // Standard output goes where the instance runs.
    let sink = settings::sink();
    let places = [Some(scene.region), sink.as_ref().and_then(|sink| sink.target.region())];
    let config = config.for_regions(places.into_iter().flatten());
    emit(scene, ticket, |chain, keys| record.to_line(chain, keys, &config))
}

/// A line of the chain.
struct Line {
    seq: u64,
    text: String,
    /// Whether it is about the log only.
    own: bool,
    tells: Option<Lost>,
    ticket: Option<Ticket>,
}

/// Writes one record, and those about the log that are due.
fn emit(scene: Scene<'_>, ticket: Option<Ticket>, make: impl FnOnce(&mut Chain, &Keyring) -> String) -> bool {
    let keys = settings::audit_keys();
    // Only a checkpoint tells how long it took.
    let began = keys.signing().map(|_| monotonic_clock::now());
    let lines = chained(|chain| {
        let mut lines = lost(chain, &keys, scene);
        let seq = chain.next_seq();
        lines.push(Line { seq, text: make(chain, &keys), own: false, tells: None, ticket });
        if let Some(began) = began {
            chain.spend(monotonic_clock::now().saturating_sub(began));
        }
        due(chain, &keys, scene, &mut lines);
        lines
    });
    put(scene, lines)
}

/// The records that tell what the sink did not get.
fn lost(chain: &mut Chain, keys: &Keyring, scene: Scene<'_>) -> Vec<Line> {
    let mut lines = vec![];
    if settings::sink().is_some() {
        for lost in sink::lost(chain.next_seq()) {
            let seq = chain.next_seq();
            lines.push(Line { seq, text: dropped(chain, keys, scene, &lost), own: true, tells: Some(lost), ticket: None });
            due(chain, keys, scene, &mut lines);
        }
    }
    lines
}

/// A checkpoint, when it is time for one.
fn due(chain: &mut Chain, keys: &Keyring, scene: Scene<'_>, lines: &mut Vec<Line>) {
    if chain.wants_checkpoint() {
        let seq = chain.next_seq();
        lines.push(Line { seq, text: checkpoint(chain, keys, scene), own: true, tells: None, ticket: None });
    }
}

/// To standard output in one call, so that lines of concurrent requests do not mix, and to the sink.
#[expect(clippy::disallowed_methods, reason = "the shell writes the records")]
fn put(scene: Scene<'_>, lines: Vec<Line>) -> bool {
    let written = match &*lines {
        [one] => std::io::stdout().lock().write_all(one.text.as_bytes()).is_ok(),
        several => {
            let text: String = several.iter().map(|line| line.text.as_str()).collect();
            std::io::stdout().lock().write_all(text.as_bytes()).is_ok()
        }
    };
    if settings::sink().is_some() {
        let item = |Line { seq, text, own, tells, ticket }| Item { seq, time: scene.time, line: text, own, tells, ticket };
        sink::offer(lines.into_iter().map(item));
    }
    written
}
