//! Where records go beside standard output: one address that takes them over HTTP.
//!
//! Pure: what a request to it looks like, what its answer means, which records wait and which are lost, and when to try again.
//! Sending, clocks and randomness are the shell's (`component/sink.rs`).

mod answer;
mod backoff;
mod format;
mod gzip;
mod queue;
mod target;

pub use answer::{Outcome, Reply};
pub use backoff::{Backoff, Next};
pub use format::Outgoing;
pub use queue::{Bounds, Item, Lost, Queue, Ticket, Why};
pub use target::{Format, Target};
