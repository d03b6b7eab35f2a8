//! Policies that are valid, and still do not do what they say, because of `routes.toml`.
//!
//! Routes give paths other resources and other actions than their own. A rule about the path or the method then no longer
//! applies, and when it is a `forbid`, more is allowed than it reads.

use std::collections::BTreeMap;

use cedar_policy::{ActionConstraint, Effect, EntityUid, Policy, ResourceConstraint};

use super::names::Names;
use super::policies::Policies;
use super::routes::{Route, Routes, Segment};
use super::schema::Action;
use crate::bundle::{Problem, Report};
use crate::request::Method;

/// Holds every policy against the routes.
pub(super) fn check(policies: &Policies, routes: &Routes, actions: &BTreeMap<String, Action>, names: &Names, report: &mut Report) {
    let linter = Linter { routes, actions, names };
    for policy in policies.set.policies() {
        let found = linter.path(policy).into_iter().chain(linter.method(policy));
        let Some(place) = policies.places.get(policy.id().to_string().as_str()) else { continue };
        for (code, message, help) in found {
            report.add(Problem::new(&place.file, code, message).at(Some(place.span.clone())).help(help));
        }
    }
}

/// The routes, and what scopes are held against them with.
pub(super) struct Linter<'a> {
    pub(super) routes: &'a Routes,
    pub(super) actions: &'a BTreeMap<String, Action>,
    pub(super) names: &'a Names,
}

type Found = (&'static str, String, String);

impl Linter<'_> {
    /// `resource == Gate::Path::"…"` where the route makes that path another resource.
    fn path(&self, policy: &Policy) -> Option<Found> {
        let ResourceConstraint::Eq(uid) = policy.resource_constraint() else { return None };
        let segments: Vec<String> = self.path_segments(&uid)?.into_iter().map(str::to_owned).collect();
        let entity = self.routes.find(&segments)?.entity(&segments)?;
        let message = format!("`{uid}` is never the resource: by routes.toml it is `{entity}`");
        Some(("policy.path_is_resource", message, format!("write `resource == {entity}`, or `resource in {uid}` for what is below it too")))
    }

    /// A `forbid` that names a method for which a route has an action of its own.
    fn method(&self, policy: &Policy) -> Option<Found> {
        let named = match policy.action_constraint() {
            ActionConstraint::Any => return None,
            ActionConstraint::Eq(uid) => vec![uid],
            ActionConstraint::In(uids) => uids,
        };
        if policy.effect() != Effect::Forbid {
            return None;
        }
        // `action == x` does not hold for what is in `x`.
        let hierarchy = matches!(policy.action_constraint(), ActionConstraint::In(_));
        let resource = policy.resource_constraint();
        for method in Method::ALL.into_iter().filter(|method| named.contains(&self.names.action(method.as_str()))) {
            for route in self.routes.iter().filter(|route| self.overlaps(&resource, route)) {
                let Some(action) = route.actions.get(&method).and_then(|name| self.actions.get(name)) else { continue };
                let group = |uid: &EntityUid| action.groups.iter().any(|group| *uid == self.names.action(group));
                let covered = named.contains(&action.uid) || (hierarchy && named.iter().any(group));
                if !covered {
                    let (method, own) = (method.as_str(), &action.uid);
                    let message =
                        format!("this `forbid` names `{method}`, but routes.toml makes {method} {} the action `{own}`", route.template);
                    return Some(("policy.action_is_remapped", message, format!("add `{own}` to the actions, or name a group of actions")));
                }
            }
        }
        None
    }

    /// Whether a request on this route can satisfy the constraint, as far as a scope tells.
    pub(super) fn overlaps(&self, resource: &ResourceConstraint, route: &Route) -> bool {
        let of = route.resource.as_ref().map_or(&self.names.path, |(of, _)| of);
        match resource {
            ResourceConstraint::Any => true,
            ResourceConstraint::Is(is) => is == of,
            ResourceConstraint::In(uid) => self.below(uid, route),
            ResourceConstraint::IsIn(is, uid) => is == of && self.below(uid, route),
            ResourceConstraint::Eq(uid) => uid.type_name() == of && self.path_segments(uid).is_none_or(|path| matches(&path, route, true)),
        }
    }

    fn below(&self, uid: &EntityUid, route: &Route) -> bool {
        // What else a resource may be in is only known with the request.
        self.path_segments(uid).is_none_or(|path| matches(&path, route, false))
    }

    /// The segments of a path; `None` of anything else.
    pub(super) fn path_segments<'u>(&self, uid: &'u EntityUid) -> Option<Vec<&'u str>> {
        let path = uid.id().unescaped().strip_prefix('/').filter(|_| *uid.type_name() == self.names.path)?;
        Some(path.split('/').filter(|segment| !segment.is_empty()).collect())
    }
}

/// Whether the template can begin with this path, or be it.
fn matches(path: &[&str], route: &Route, whole: bool) -> bool {
    let template = &route.template.0;
    let length = if whole { path.len() == template.len() } else { path.len() <= template.len() };
    length
        && path.iter().zip(template).all(|(found, segment)| match segment {
            Segment::Literal(text) => text == found,
            Segment::Parameter(_) => true,
        })
}
