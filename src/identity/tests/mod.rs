//! Tests of the verifier as a whole: every reason beside a positive control, attacks, loading, published vectors.

mod attacks;
mod binding;
mod claims;
mod key_sets;
mod known;
mod loading;
mod pem_files;
mod proofs;
mod random;
mod reasons;
mod remote;
mod revocation;
mod status;
mod support;
mod vectors;

pub(super) use support::{pem_contents, rsa_pkcs8};
