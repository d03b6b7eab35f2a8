//! Policies that another one makes needless, by what is written alone.

use cedar_policy::{ActionConstraint, Effect, EntityUid};

use super::{Advice, Atoms, DUPLICATE, Looked, SHADOWED, View};
use crate::policy::explain::split;

/// Holds every policy against every other.
pub(super) fn look(looked: &Looked<'_>) -> Vec<Advice> {
    let all: Vec<(&View<'_>, Atoms)> = looked.views.iter().map(|view| (view, atoms(view))).collect();
    let mut found = Vec::new();
    for (at, (view, atoms)) in all.iter().enumerate() {
        let same = |(_, (other, theirs)): &(usize, &(&View<'_>, Atoms))| {
            other.policy.effect() == view.policy.effect()
                && (&other.principal, &other.resource) == (&view.principal, &view.resource)
                && other.policy.action_constraint() == view.policy.action_constraint()
                && theirs == atoms
        };
        // Told once, of the later of the two.
        if let Some((_, (other, _))) = all.iter().enumerate().take(at).find(same) {
            let message = format!("`{}` says the same as `{}`", view.id, other.id);
            found.push(view.advice(DUPLICATE, message, "remove one of the two"));
            continue;
        }
        let covers = |(position, (other, theirs)): &(usize, &(&View<'_>, Atoms))| {
            *position != at
                && looked.covers(other, theirs, view, atoms)
                // Each covers the other: again told of the later one.
                && (*position < at || !looked.covers(view, atoms, other, theirs))
        };
        if let Some((_, (other, _))) = all.iter().enumerate().find(covers) {
            let message = format!("`{}` is needless: whatever it permits, `{}` permits too", view.id, other.id);
            found.push(view.advice(SHADOWED, message, "remove it, or make the other one narrower"));
        }
    }
    found
}

impl Looked<'_> {
    /// Whether `wide` permits whatever `narrow` does.
    fn covers(&self, wide: &View<'_>, wide_atoms: &Atoms, narrow: &View<'_>, narrow_atoms: &Atoms) -> bool {
        wide.policy.effect() == Effect::Permit
            && narrow.policy.effect() == Effect::Permit
            && wide.principal.covers(&narrow.principal)
            && wide.resource.covers(&narrow.resource)
            && self.actions(&wide.policy.action_constraint(), &narrow.policy.action_constraint())
            && wide_atoms.is_subset(narrow_atoms)
    }

    fn actions(&self, wide: &ActionConstraint, narrow: &ActionConstraint) -> bool {
        let (narrow, tree) = match narrow {
            ActionConstraint::Any => return matches!(wide, ActionConstraint::Any),
            ActionConstraint::Eq(uid) => (std::slice::from_ref(uid), false),
            ActionConstraint::In(uids) => (uids.as_slice(), true),
        };
        let groups = |uid: &EntityUid| self.loaded.actions.values().find(|action| action.uid == *uid).map(|action| &action.groups);
        // `in [x]` also holds for what is in `x`, where something is.
        let has_members = |uid: &EntityUid| self.loaded.actions.values().any(|action| action.groups.contains(uid.id().unescaped()));
        narrow.iter().all(|uid| match wide {
            ActionConstraint::Any => true,
            ActionConstraint::Eq(other) => other == uid && !(tree && has_members(uid)),
            ActionConstraint::In(others) => others.iter().any(|other| {
                other == uid || groups(uid).is_some_and(|groups| groups.iter().any(|group| *other == self.loaded.names.action(group)))
            }),
        })
    }
}

/// What must hold, whatever the order and however it is spread over conditions.
fn atoms(view: &View<'_>) -> Atoms {
    let mut found = Atoms::new();
    for (unless, body) in &view.conditions {
        let mut parts = Vec::new();
        split(body, if *unless { "||" } else { "&&" }, &mut parts);
        found.extend(parts.into_iter().map(|part| (*unless, part.to_string())));
    }
    found
}
