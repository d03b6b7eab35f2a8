//! One module per question asked of the gate.

mod support;

mod binding;
mod command;
mod concurrency;
mod credentials;
mod denials;
mod dependencies;
mod docs;
mod dpop;
mod edges;
mod faults;
mod forwarding;
mod malformed;
mod metadata;
mod mtls;
mod protocols;
mod records;
mod rotation;
mod sealing;
mod stepup;
mod streaming;
mod terminators;
mod tokens;
mod workloads;
