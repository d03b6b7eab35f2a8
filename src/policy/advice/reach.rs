//! What requests can ask for, held against what policies, routes and entities are about.

use std::collections::BTreeSet;

use cedar_policy::{ActionConstraint, Effect, EntityTypeName, EntityUid, ResourceConstraint};
use serde_json::Value;

use super::scope::{self, Scope};
use super::{About, Advice, Looked, ROUTE_WITHOUT_POLICY, UNREACHABLE, UNUSED_ENTITY, View, routes_file, statics};
use crate::bundle::Problem;
use crate::policy::routes::Route;
use crate::policy::schema::Action;
use crate::policy::{diagnose, json, names};
use crate::request::Method;

/// One kind of question: an action, and the resources it can be asked of.
struct Asked<'a> {
    action: &'a Action,
    /// The route that leads to it; without one, every path that has none.
    route: Option<&'a Route>,
}

/// Policies that no request can meet.
pub(super) fn policies(looked: &Looked<'_>) -> Vec<Advice> {
    let asked = looked.asked();
    let unmet = looked.views.iter().filter(|view| !asked.iter().any(|asked| looked.meets(view, asked)));
    let message = |view: &View<'_>| match view.policy.effect() {
        Effect::Permit => format!("`{}` permits nothing: no request asks for its actions on its resources", view.id),
        Effect::Forbid => format!("`{}` forbids nothing: no request asks for its actions on its resources", view.id),
    };
    let help = "by routes.toml these paths are other resources, or their methods other actions, or no route leads to them";
    unmet.map(|view| view.advice(UNREACHABLE, message(view), help)).collect()
}

/// Routes on which nothing is permitted, and actions of routes that no `permit` covers.
pub(super) fn routes(looked: &Looked<'_>) -> Vec<Advice> {
    let text = looked.bundle.get(routes_file::FILE).and_then(|bytes| std::str::from_utf8(bytes).ok()).unwrap_or_default();
    let permits: Vec<_> = looked.views.iter().filter(|view| view.policy.effect() == Effect::Permit).collect();
    let mut found = Vec::new();
    for route in looked.routes.iter() {
        let permitted = |method: &Method| {
            looked.action(route, *method).is_some_and(|action| {
                let asked = Asked { action, route: Some(route) };
                permits.iter().any(|view| looked.meets(view, &asked))
            })
        };
        let path = route.template.to_string();
        let mut tell = |message: String| {
            let at = diagnose::find(text, &format!("\"{path}\"")).or_else(|| diagnose::find(text, &path));
            let help = "write a `permit` for it, or take the route away: what no permit allows is denied";
            let problem = Problem::new(routes_file::FILE, ROUTE_WITHOUT_POLICY, message).at(at).help(help);
            found.push(Advice { about: About::Route(path.clone()), problem });
        };
        if !Method::ALL.iter().any(permitted) {
            tell(format!("no `permit` is about `{path}`"));
            continue;
        }
        for (method, name) in route.actions.iter().filter(|(method, _)| !permitted(method)) {
            tell(format!("no `permit` covers `{name}`, which {} {path} stands for", method.as_str()));
        }
    }
    found
}

/// Entities that change no answer: nothing names them, and they bring nothing into a request that does.
pub(super) fn entities(looked: &Looked<'_>) -> Vec<Advice> {
    let text = looked.bundle.get(statics::FILE).and_then(|bytes| std::str::from_utf8(bytes).ok()).unwrap_or_default();
    let listed: Vec<_> = json::elements(text)
        .unwrap_or_default()
        .into_iter()
        .filter_map(|span| {
            let value: Value = serde_json::from_str(text.get(span.clone())?).ok()?;
            let uid = EntityUid::from_json(value.get("uid")?.clone()).ok()?;
            Some((span, looked.statics.get(&uid)?, uid))
        })
        .collect();
    let named: BTreeSet<&EntityUid> = listed.iter().flat_map(|(_, entity, _)| &entity.refs).chain(&looked.policies.literals).collect();
    let names = &looked.loaded.names;
    let given = [&names.user, &names.workload, &names.anonymous, &names.signed_url, &names.group, &names.role, &names.path];
    let made = |of: &EntityTypeName| {
        given.contains(&of) || looked.routes.iter().any(|route| route.resource.as_ref().is_some_and(|(resource, _)| resource == of))
    };
    let mut found = Vec::new();
    for (span, entity, uid) in &listed {
        let brings = entity.entity.attrs_len() > 0 || entity.entity.tags_len() > 0 || !entity.parents.is_empty();
        if named.contains(uid) || (brings && made(uid.type_name())) {
            continue;
        }
        let why = if brings { "no route makes one of its type" } else { "it has neither attributes nor parents" };
        let message = format!("`{uid}` changes no answer: no policy and no other entity names it, and {why}");
        let problem = Problem::new(statics::FILE, UNUSED_ENTITY, message).at(Some(span.clone())).help("remove it, or correct its name");
        found.push(Advice { about: About::Entity(uid.to_string()), problem });
    }
    found
}

impl<'a> Looked<'a> {
    /// Every kind of question a request can lead to.
    fn asked(&self) -> Vec<Asked<'a>> {
        let looked: &Looked<'a> = self;
        let routes = || looked.routes.iter().map(Some).chain([None]);
        let actions = &looked.loaded.actions;
        let by_method = routes().flat_map(|route| {
            Method::ALL.into_iter().filter_map(move |method| {
                let name = route.and_then(|route| route.actions.get(&method)).map_or(method.as_str(), String::as_str);
                Some(Asked { action: actions.get(name)?, route })
            })
        });
        let sign = actions.get(names::SIGN).into_iter().flat_map(|action| routes().map(move |route| Asked { action, route }));
        let revoke = actions.get(names::REVOKE).map(|action| Asked { action, route: None });
        by_method.chain(sign).chain(revoke).collect()
    }

    /// What a method stands for on a route.
    fn action(&self, route: &Route, method: Method) -> Option<&'a Action> {
        let name = route.actions.get(&method).map_or(method.as_str(), String::as_str);
        self.loaded.actions.get(name)
    }

    /// Whether a policy can apply to a kind of question, as far as can be told without one.
    fn meets(&self, view: &View<'_>, asked: &Asked<'_>) -> bool {
        let action = asked.action;
        let group = |uid: &EntityUid| action.groups.iter().any(|group| *uid == self.loaded.names.action(group));
        let acts = match view.policy.action_constraint() {
            ActionConstraint::Any => true,
            ActionConstraint::Eq(uid) => uid == action.uid,
            ActionConstraint::In(uids) => uids.iter().any(|uid| *uid == action.uid || group(uid)),
        };
        let whens = view.conditions.iter().filter(|(unless, _)| !unless);
        let conditions = whens.filter_map(|(_, body)| scope::of_condition(body));
        acts && self.declared(asked)
            && conditions.chain([vec![view.resource.clone()]]).all(|one_of| one_of.iter().any(|scope| self.overlaps(scope, asked)))
    }

    fn declared(&self, asked: &Asked<'_>) -> bool {
        let of = asked.route.and_then(|route| route.resource.as_ref()).map_or(&self.loaded.names.path, |(of, _)| of);
        asked.action.resources.contains(of)
    }

    fn overlaps(&self, scope: &Scope, asked: &Asked<'_>) -> bool {
        let path = &self.loaded.names.path;
        match (asked.route, scope) {
            (Some(route), _) => self.linter().overlaps(&ResourceConstraint::from(scope), route),
            (None, Scope::Any | Scope::In(_)) => true,
            (None, Scope::Is(of) | Scope::IsIn(of, _)) => of == path,
            (None, Scope::Eq(uid)) => {
                let Some(segments) = self.linter().path_segments(uid) else { return false };
                let segments: Vec<String> = segments.into_iter().map(str::to_owned).collect();
                // What a route is about is asked as the route says.
                self.routes.find(&segments).is_none() || asked.action.uid == self.loaded.names.action(names::REVOKE)
            }
        }
    }
}
