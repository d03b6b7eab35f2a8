//! What the fuzz targets ask of the gate, through its public API only, and what must hold of every answer.
//!
//! Each target is a function from the fuzzer's bytes to whether the gate believed them; `fuzz_targets/` only names it. The seeds
//! are made by `seeds`, and the test there holds each against the verdict that its name says.

mod certificate;
mod dpop;
mod jwks;
mod links;
#[cfg(test)]
mod seeds;
mod token;
mod world;

pub use certificate::{certificate, structured_field, xfcc};
pub use dpop::dpop_proof;
pub use jwks::jwks;
pub use links::signed_url;
pub use token::token;
