//! What the suite stands on: a raw HTTP client, a counting origin, tokens, the gate under test, and the command as a
//! process.

pub mod client;
pub mod collector;
pub mod gate;
pub mod jwks_server;
pub mod links;
pub mod origin;
pub mod pki;
pub mod process;
pub mod s3;
pub mod schema;
pub mod solver;
pub mod terminator;
pub mod token;
