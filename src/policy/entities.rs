//! The entities of one request: the caller, the resource, the tree of paths, and what they lead to.

use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::sync::Arc;

use cedar_policy::{Entities, Entity, EntityUid};
use cedar_policy_core::ast;
use cedar_policy_core::entities::{NoEntitiesSchema, TCComputation};
use cedar_policy_core::extensions::Extensions;

use super::context::Pairs;
use super::statics::{Static, Statics};
use crate::limits;

/// An entity that a request itself tells about.
#[derive(Debug)]
pub(super) struct Made {
    pub(super) uid: EntityUid,
    pub(super) attrs: Pairs,
    pub(super) parents: Vec<EntityUid>,
}

impl Made {
    /// The entity of what a request tells and of what `entities.json` says of the same.
    ///
    /// INVARIANT: no attribute is in both; `entities.json` was checked for it.
    fn with(self, known: Option<&Static>) -> ast::Entity {
        let Self { uid, attrs, parents } = self;
        let told = attrs.into_iter().map(|(name, value)| (name.into(), value.into()));
        let also = known.into_iter().flat_map(|known| known.entity.attrs()).map(|(name, value)| (name.clone(), value.clone()));
        let above = known.into_iter().flat_map(|known| &known.parents).cloned();
        let tags = known.into_iter().flat_map(|known| known.entity.tags()).map(|(name, value)| (name.clone(), value.clone()));
        let parents = parents.into_iter().chain(above).map(Into::into).collect();
        ast::Entity::new_with_attr_partial_value(uid.into(), told.chain(also), HashSet::new(), parents, tags)
    }
}

impl From<Made> for Entity {
    fn from(made: Made) -> Self {
        made.with(None).into()
    }
}

/// Everything an entity is in, by what a request tells and what `entities.json` says.
pub(super) fn ancestors(statics: &Statics, made: &[Made], uid: &EntityUid) -> BTreeSet<EntityUid> {
    let mut found = BTreeSet::new();
    let mut waiting = vec![uid.clone()];
    while let Some(uid) = waiting.pop() {
        let told = made.iter().filter(|one| one.uid == uid).flat_map(|one| &one.parents);
        let known = statics.get(&uid).into_iter().flat_map(|known| &known.parents);
        for parent in told.chain(known) {
            if found.insert(parent.clone()) {
                waiting.push(parent.clone());
            }
        }
    }
    found
}

/// What principal and resource of a request are in.
#[derive(Debug)]
pub(super) struct Within {
    pub(super) principal: BTreeSet<EntityUid>,
    pub(super) resource: BTreeSet<EntityUid>,
}

impl Within {
    /// Whether either is in itself. There is no other circle: among themselves static entities have none, and none is in a path.
    pub(super) fn circular(&self, principal: &EntityUid, resource: &EntityUid) -> bool {
        self.principal.contains(principal) || self.resource.contains(resource)
    }
}

/// Puts together what a request tells, what `entities.json` says about the same entities, and every static entity that
/// can be reached from those or from `roots`. The cost grows with what is reached, not with the size of the file.
///
/// # Errors
/// Why they cannot be put together, for the record.
pub(super) fn assemble(
    statics: &Statics,
    made: Vec<Made>,
    roots: impl IntoIterator<Item = EntityUid>,
    actions: impl IntoIterator<Item = Entity>,
) -> Result<Entities, String> {
    let entities = gather(statics, made, roots)?.into_values().map(|entity| ast::Entity::clone(&entity).into());
    Entities::from_entities(entities.chain(actions), None).map_err(|error| unbuilt(&error))
}

/// The same for where nothing is asked but what principal, action and resource are in: all that they are in stands in them, and
/// Cedar is not made to find it out again. What else anything is in may be missing.
///
/// INVARIANT: `within` is complete, and neither of the two is in itself. An action of a schema knows its groups.
///
/// # Errors
/// Why they cannot be put together, for the record.
pub(super) fn closed(
    statics: &Statics,
    mut made: Vec<Made>,
    roots: impl IntoIterator<Item = EntityUid>,
    action: &Arc<ast::Entity>,
    (principal, resource): (&EntityUid, &EntityUid),
    within: Within,
) -> Result<Entities, String> {
    // Of what is between there is nothing to know but that, which the two know themselves.
    made.retain(|one| one.uid == *principal || one.uid == *resource || statics.get(&one.uid).is_some());
    for (uid, within) in [(principal, within.principal), (resource, within.resource)] {
        if let Some(one) = made.iter_mut().find(|one| one.uid == *uid) {
            one.parents = within.into_iter().collect();
        }
    }
    let entities = gather(statics, made, roots)?.into_values().chain([Arc::clone(action)]);
    let (assumed, extensions) = (TCComputation::AssumeAlreadyComputed, Extensions::all_available());
    let entities = cedar_policy_core::entities::Entities::new().add_entities(entities, None::<&NoEntitiesSchema>, assumed, extensions);
    entities.map(Entities::from).map_err(|error| unbuilt(&error))
}

/// An entity that requests can share.
pub(super) fn shared(entity: &Entity) -> Arc<ast::Entity> {
    Arc::new(ast::Entity::clone(entity.as_ref()))
}

fn unbuilt(error: &dyn std::error::Error) -> String {
    format!("the entities cannot be built: {error}")
}

/// Every entity by its name.
fn gather(
    statics: &Statics,
    made: Vec<Made>,
    roots: impl IntoIterator<Item = EntityUid>,
) -> Result<BTreeMap<EntityUid, Arc<ast::Entity>>, String> {
    let mut entities = BTreeMap::new();
    let mut waiting: Vec<EntityUid> = roots.into_iter().collect();
    let named = waiting.len();
    for made in made {
        let known = statics.get(&made.uid);
        waiting.extend(made.parents.iter().chain(known.into_iter().flat_map(|known| &known.refs)).cloned());
        let uid = made.uid.clone();
        if entities.insert(uid, Arc::new(made.with(known))).is_some() {
            return Err("two entities of the request have the same name".to_owned());
        }
    }
    // What policies name themselves is no caller's doing, and does not count.
    let most = entities.len().saturating_add(named).saturating_add(limits::REACHED_ENTITIES);
    while let Some(uid) = waiting.pop() {
        if entities.contains_key(&uid) {
            continue;
        }
        let Some(known) = statics.get(&uid) else { continue };
        waiting.extend(known.refs.iter().cloned());
        entities.insert(uid, Arc::clone(&known.entity));
        if entities.len() > most {
            return Err(format!("the request leads to more than {} entities of entities.json", limits::REACHED_ENTITIES));
        }
    }
    Ok(entities)
}

/// The ids of a path and its ancestors, the root first: `/`, `/api`, `/api/orders`.
///
/// # Errors
/// A segment that could be taken for something else.
pub(super) fn path_ids(segments: &[String]) -> Result<Vec<String>, String> {
    let mut ids = vec!["/".to_owned()];
    let mut path = String::new();
    for segment in segments {
        // SECURITY: a segment with a slash would make two different paths the same entity. Requests like that were
        // refused long before; the tree of paths must not depend on it.
        if segment.is_empty() || segment.contains('/') {
            return Err("a path segment is empty or has a slash".to_owned());
        }
        path.push('/');
        path.push_str(segment);
        ids.push(path.clone());
    }
    Ok(ids)
}
