//! From a description of an API to a project: read ([`document`]), planned ([`plan`]), written down ([`render`]).

mod document;
mod names;
mod plan;
mod render;

use super::{Files, project};

/// What was made.
pub(super) struct Made {
    pub(super) files: Files,
    pub(super) warnings: Vec<String>,
    pub(super) routes: usize,
    pub(super) operations: usize,
    pub(super) tags: usize,
}

/// The project for a description.
///
/// # Errors
/// When it is no description of an API, or nothing in it can be used.
pub(super) fn project(text: &str) -> miette::Result<Made> {
    let plan = plan::plan(document::read(text)?)?;
    let files = project::formatted(render::files(&plan)?)?;
    let plan::Plan { routes, types: _, tags, warnings } = plan;
    let operations = tags.iter().map(|tag| tag.actions.len()).sum();
    Ok(Made { files, warnings, routes: routes.len(), operations, tags: tags.len() })
}
