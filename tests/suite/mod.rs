//! One module per question asked of the gate.

mod support;

mod concurrency;
mod denials;
mod dependencies;
mod docs;
mod edges;
mod faults;
mod forwarding;
mod malformed;
mod records;
mod streaming;
mod tokens;
