//! Stand-in.
#![allow(missing_docs, reason = "stand-in")]
pub mod files;
pub mod seal;
pub mod token;
pub mod up;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Exit {
    Ok = 0,
    Failed = 1,
    Denied = 2,
    Invalid = 3,
}
