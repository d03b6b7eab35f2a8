//! One module per question asked of the gate.

mod support;

mod audit_chain;
mod audit_query;
mod audit_replay;
mod binding;
mod both;
mod command;
mod command_links;
mod concurrency;
mod credentials;
mod denials;
mod dependencies;
mod docs;
mod dpop;
mod edges;
mod faults;
mod forwarding;
mod insecure;
mod malformed;
mod metadata;
mod mtls;
mod protocols;
mod records;
mod revocation;
mod rotation;
mod sealing;
mod signed_services;
mod signed_urls;
mod signing;
mod status;
mod stepup;
mod streaming;
mod terminators;
mod tokens;
mod workloads;
