//! The record: what is told about each request, once.
//!
//! Pure: the shell gives it times and ids and writes the line it returns. Nothing secret reaches this module, because
//! nothing secret is in [`crate::decision::Decision`].

mod canonical;
mod chain;
mod config;
mod entry;
mod event;
mod id;
mod mask;
pub mod ocsf;
mod rebuild;
mod record;
pub mod sink;
mod text;
mod time;
mod verify;
#[cfg(test)]
mod verify_tests;
mod views;

pub use chain::{CHECKPOINT_EVERY, Chain};
pub use config::{AuditConfig, FILE as CONFIG_FILE};
pub use entry::*;
pub use event::{Scene, checkpoint, dropped, outcome};
pub use id::{DecisionId, Entropy, TraceIds};
pub use rebuild::{Recorded, RecordedSigning};
pub use record::{Context, Record, RequestView, SigningView, Timing, Upstream};
pub use time::Timestamp;
pub use verify::{Anchor, Fault, Finding, Verified, Verifier};
