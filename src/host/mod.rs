//! The native host of the component: it seals base components and serves sealed ones.
//!
//! What crosses in is a component's bytes, a manifest and requests from the network; what crosses out is a sealed
//! component, responses and the component's records. The host decides nothing: it neither reads a token nor asks Cedar,
//! and an error of its own is a 5xx, never a forwarded request. Where it can it does exactly what Spin 4.1 does, so that
//! one file behaves the same under both.
//!
//! | step | module |
//! |---|---|
//! | base component and bundle → sealed component | [`seal`] |
//! | `spin.toml` and values → what the component may see and reach | [`manifest`], [`allowed`], [`variables`] |
//! | one process's wasm engine, compiled components | [`engine`] |
//! | listen, hand requests to instances, answer | [`serve`] |
//! | what an instance can call | `state`, `outbound`, [`key_value`], [`atomics`] |
//! | the component's output, line by line | [`records`] |
//! | an API to stand in front of | [`demo`] |

#![expect(clippy::disallowed_methods, reason = "this is a shell: it reads files and clocks, and waits")]

pub mod allowed;
pub mod atomics;
mod bindings;
pub mod demo;
pub mod engine;
mod error;
mod handler;
pub mod key_value;
pub mod manifest;
mod outbound;
mod prune;
pub mod records;
pub mod seal;
mod section;
pub mod serve;
mod spin;
mod state;
mod tls;
mod unexport;
pub mod variables;

pub use engine::{Compiled, engine, recompiling_engine};
pub use error::HostError;
pub use manifest::{App, Manifest, ManifestError};
pub use records::RecordSink;
pub use seal::{SealError, Sealed, Sealer, describe, seal};
pub use section::Description;
#[cfg(test)]
pub(crate) use section::smallest;
pub use serve::{InstanceLimits, Metrics, Server, ServerOptions, Swap};
pub use tls::Tls;
