//! Cedargate: a zero-trust edge authorization gateway.
//!
//! One WebAssembly component stands in front of an API at every point of presence. For each request it proves who is
//! asking, asks Cedar whether they may, and either lets the request through or ends it there.
//!
//! The way of a request, and the module of each step:
//!
//! | step | module | in → out |
//! |---|---|---|
//! | canonicalise or reject | [`request`] | raw request → [`request::Facts`] and [`request::Evidence`] |
//! | verify evidence | [`identity`] | evidence, time → [`identity::Identity`] |
//! | ask Cedar | [`policy`] | facts, identity, time → [`policy::Verdict`] |
//! | decide | [`decision`] | the above → [`decision::Decision`], with a [`decision::Permit`] or a denial |
//! | sign | [`signed_url`] | permit → a URL; a URL that arrived → [`identity::Identity`] |
//! | act | [`enforce`] | decision → response, or headers for the origin |
//! | tell | [`audit`] | decision → one record |
//!
//! [`bundle`] is where files become a [`bundle::Gate`]. Everything named here is pure and builds natively and for wasm;
//! only `component` (wasm), `host` and `cli` (native) read clocks, do I/O or print.

#![cfg_attr(not(target_family = "wasm"), forbid(unsafe_code))]
#![cfg_attr(
    test,
    allow(
        clippy::unwrap_used,
        clippy::expect_used,
        clippy::panic,
        clippy::indexing_slicing,
        clippy::arithmetic_side_effects,
        clippy::string_slice,
        clippy::as_conversions,
        clippy::unreachable,
        clippy::disallowed_methods,
        reason = "a test fails by panicking"
    )
)]

pub mod audit;
pub mod bundle;
pub mod decision;
pub mod enforce;
pub mod identity;
pub mod limits;
pub mod policy;
pub mod request;
pub mod signed_url;

#[cfg(target_family = "wasm")]
mod component;

#[cfg(feature = "cli")]
pub mod cli;
#[cfg(feature = "cli")]
pub mod host;
