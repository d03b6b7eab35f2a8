//! One module per question asked of the gate.

mod support;

mod binding;
mod both;
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
mod protocols;
mod records;
mod sealing;
mod stepup;
mod streaming;
mod tokens;
