//! The proof that a request may go on.

use crate::policy::Verdict;
use crate::request::{Facts, Method};

/// Proof that Cedar allowed one request, holding what was decided on.
///
/// Forwarding takes it by value: there is no boolean to forget, no way to use it twice, and no way to forward other
/// bytes than the ones that were decided on. Only `decision` can make one.
#[derive(Debug)]
pub struct Permit {
    method: Method,
    path_with_query: String,
    principal: String,
}

impl Permit {
    pub(super) fn new(facts: &Facts, verdict: &Verdict) -> Self {
        Self { method: facts.method, path_with_query: facts.path_with_query(), principal: verdict.principal.clone() }
    }

    /// The method to forward.
    pub fn method(&self) -> Method {
        self.method
    }

    /// Path and query exactly as received.
    pub fn path_with_query(&self) -> &str {
        &self.path_with_query
    }

    /// The Cedar principal, for example `Gate::User::"corp/alice"`.
    pub fn principal(&self) -> &str {
        &self.principal
    }
}
