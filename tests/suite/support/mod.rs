//! What the suite stands on: a raw HTTP client, a counting origin, tokens, and the gate under test.

pub mod client;
pub mod gate;
pub mod origin;
pub mod token;
