//! Records about the log itself and not about a request: where a chain stands, what a sink did not get, and what became of a
//! request that was recorded before it went on.

use std::borrow::Cow;

use serde::Serialize;

use super::chain::{Chain, IsDecision, Link};
use super::record::Upstream;
use super::sink::Lost;
use super::text::clean;
use super::views::{self, UpstreamView};
use super::{DecisionId, Timestamp};
use crate::bundle::Gate;
use crate::decision::Mode;
use crate::signed_url::Keyring;

/// Where and when.
#[derive(Debug, Clone, Copy)]
pub struct Scene<'a> {
    /// When.
    pub time: Timestamp,
    /// The `edge_region` variable.
    pub region: &'a str,
    /// Whether what policies deny ends at the gate.
    pub mode: Mode,
    /// The gate.
    pub gate: Option<&'a Gate>,
}

/// INVARIANT: in the order of the names, as in [`views`].
#[derive(Debug, Serialize)]
struct Event<'a> {
    chain: Link,
    #[serde(skip_serializing_if = "Option::is_none")]
    checkpoint: Option<Checkpoint>,
    #[serde(skip_serializing_if = "Option::is_none")]
    decision_id: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    dropped: Option<Dropped>,
    kind: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    mode: Option<&'static str>,
    policy_digest: Option<&'a str>,
    region: Cow<'a, str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    status: Option<u16>,
    time: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    upstream: Option<UpstreamView<'a>>,
    v: u8,
}

#[derive(Debug, Serialize)]
struct Checkpoint {
    decisions: u64,
    record_us: u64,
    why: &'static str,
}

#[derive(Debug, Serialize)]
struct Dropped {
    count: u64,
    first_seq: u64,
    last_seq: u64,
    why: &'static str,
}

impl IsDecision for Event<'_> {
    fn is_decision(&self) -> bool {
        false
    }
}

impl<'a> Scene<'a> {
    fn event(&self, kind: &'static str, chain: Link) -> Event<'a> {
        Event {
            chain,
            checkpoint: None,
            decision_id: None,
            dropped: None,
            kind,
            mode: None,
            policy_digest: self.gate.map(Gate::policy_digest_text),
            region: clean(self.region),
            status: None,
            time: self.time.to_string(),
            upstream: None,
            v: 1,
        }
    }
}

/// The line of a checkpoint: how many decisions the chain has so far, and what its records since the last one cost.
pub fn checkpoint(chain: &mut Chain, keyring: &Keyring, scene: Scene<'_>) -> String {
    let checkpoint = Checkpoint { decisions: chain.decisions(), record_us: chain.settle(), why: "interval" };
    chain.line(keyring, |link| Event { checkpoint: Some(checkpoint), ..scene.event("checkpoint", link) })
}

/// The line that says which records of the chain the sink did not get.
pub fn dropped(chain: &mut Chain, keyring: &Keyring, scene: Scene<'_>, lost: &Lost) -> String {
    let Lost { count, first, last, why } = *lost;
    let dropped = Dropped { count, first_seq: first, last_seq: last, why: why.as_str() };
    chain.line(keyring, |link| Event { dropped: Some(dropped), ..scene.event("dropped", link) })
}

/// The line that says what became of a request that was recorded before it went on.
pub fn outcome(chain: &mut Chain, keyring: &Keyring, scene: Scene<'_>, id: &DecisionId, status: u16, upstream: &Upstream) -> String {
    let upstream = views::upstream(upstream);
    chain.line(keyring, |link| Event {
        decision_id: Some(id.as_str()),
        mode: views::told_mode(scene.mode),
        status: Some(status),
        upstream: Some(upstream),
        ..scene.event("outcome", link)
    })
}
