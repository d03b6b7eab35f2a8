//! The record: what is told about each request, once.
//!
//! Pure: the shell gives it times and ids and writes the line it returns. Nothing secret reaches this module, because
//! nothing secret is in [`crate::decision::Decision`].

mod entry;
mod id;
mod record;
mod text;
mod time;

pub use entry::*;
pub use id::{DecisionId, Entropy, TraceIds};
pub use record::{Context, Record, RequestView, SigningView, Timing, Upstream};
pub use time::Timestamp;
