//! The policy store: Cedar policies, schema, entities and the route map, and the question put to them.
//!
//! What crosses in is [`crate::request::Facts`], a verified [`crate::identity::Identity`] and the time; what crosses out is a [`Verdict`].
//! Whether a verdict lets a request through is for [`crate::decision`] to say.

mod advice;
mod context;
mod diagnose;
mod entities;
mod explain;
mod index;
mod json;
mod lints;
mod load;
mod names;
mod policies;
#[cfg(feature = "cli")]
mod proving;
mod reads;
mod routes;
mod routes_file;
mod schema;
mod shadow;
mod statics;
mod step_up;
mod store;

pub use advice::{About, Advice, LINTS};
#[cfg(feature = "cli")]
pub(crate) use diagnose::syntax;
pub use explain::{Clause, Explained, Explanation, Met};
pub use index::Scan;
#[cfg(feature = "cli")]
pub(crate) use proving::{required_attributes, shown};
pub use reads::Reads;
#[cfg(feature = "cli")]
pub(crate) use routes::route_problem;
pub use step_up::StepUp;
pub use store::PolicyStore;
pub(crate) use store::same;

/// One policy as records and diagnostics name it.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct PolicyRef {
    /// `@id`.
    pub id: String,
    /// `@reason`.
    pub reason: Option<String>,
    /// `@owner`.
    pub owner: Option<String>,
    /// `@control`.
    pub control: Option<String>,
}

/// What a request asks Cedar for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Purpose {
    /// What its method and path stand for, by the route map.
    Request,
    /// `Action::"revoke"` on its path: to change the revocation list.
    Revoke,
    /// `Action::"sign"` on what its path stands for: to have a URL of it signed.
    Sign(Signing),
}

/// The URL somebody wants, as policies see it in `context.signing`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Signing {
    /// How long it shall last, in seconds.
    pub expires_in: i64,
    /// What kind of URL it is.
    pub format: &'static str,
    /// Whether it shall grant everything below the path.
    pub prefix: bool,
    /// Whether it shall count from some addresses only.
    pub bound_to_address: bool,
}

/// What Cedar answered, with what it was asked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Verdict {
    /// Cedar's own answer. Not yet a decision: see [`crate::decision::authorize`].
    pub allow: bool,
    /// The policies that determined the answer, sorted by id.
    pub determining: Vec<PolicyRef>,
    /// Evaluation errors, each with the policy's id, sorted. Any error denies.
    pub errors: Vec<String>,
    /// The Cedar principal asked about, for example `Gate::User::"corp/alice"`.
    pub principal: String,
    /// The Cedar action.
    pub action: String,
    /// The Cedar resource.
    pub resource: String,
    /// On a denial: the scopes the route names for this action which the token lacks. Empty when none is known.
    pub missing_scope: Vec<String>,
    /// On a denial that nothing but a stronger or a more recent login stands against: that login.
    pub step_up: Option<StepUp>,
    /// Whether policies could not be asked because of the request: it can be read in two ways, or is past a limit. `errors` says why.
    pub unclear: bool,
}

#[cfg(test)]
mod tests;
