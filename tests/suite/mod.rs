//! One module per question asked of the gate.

mod support;

mod binding;
mod command;
mod concurrency;
mod denials;
mod dependencies;
mod docs;
mod dpop;
mod edges;
mod faults;
mod forwarding;
mod malformed;
mod mtls;
mod protocols;
mod records;
mod sealing;
mod status;
mod streaming;
mod terminators;
mod tokens;
