//! What proofs about the policies are made of: the kinds of request the gate asks about, and what it promises of each of them.
//!
//! A solver looks at every request and every entity that the schema allows. Most of those no gate ever asks about: a document that is in no
//! path, a user without a token. What the gate promises of each request rules them out, so that a counterexample is a request that can come.
//!
//! SECURITY: a promise that some request does not keep would make a proof of nothing. Each is a consequence of how [`super::store`] and
//! [`super::context`] put a question together; the tests hold every request of the sample policies' tests against them.

use std::collections::{BTreeMap, BTreeSet};

use cedar_policy::{EntityTypeName, EntityUid, Policy, PolicyId, PolicySet, RequestEnv};
use serde_json::{Value, json};

use super::names;
use super::routes::{Route, Segment};
use super::{PolicyStore, Reads};
use crate::request::Method;

/// Most paths below one other that are held against each other, two by two.
const SIBLINGS: usize = 40;

/// The types that a context is made of.
const CONTEXT: [&str; 5] = ["RequestContext", "Token", "Certificate", "Pair", "Signing"];

/// Operators of Cedar's JSON form that look at an attribute.
const ATTRIBUTE: [&str; 2] = [".", "has"];

impl PolicyStore {
    /// Every kind of request that the gate can ask about: principal's type, action, resource's type. All others are denied whatever policies say.
    pub(crate) fn asked(&self) -> Vec<RequestEnv> {
        let mut kinds: Vec<RequestEnv> = self.schema.request_envs().filter(|kind| self.leads_to(kind)).collect();
        kinds.sort_by_cached_key(shown);
        kinds
    }

    /// Whether some path leads to this action on this type.
    fn leads_to(&self, kind: &RequestEnv) -> bool {
        let names = &self.names;
        let Some(name) = self.action_name(kind.action()) else { return false };
        if ![&names.user, &names.workload, &names.anonymous, &names.signed_url].contains(&kind.principal()) {
            return false;
        }
        if name == names::REVOKE {
            return *kind.resource() == self.names.path;
        }
        if *kind.resource() == self.names.path && (name == names::SIGN || method(name).is_some()) {
            return true;
        }
        self.ways(kind).next().is_some()
    }

    /// The routes that lead to the action on the type, with the methods that do.
    fn ways<'s>(&'s self, kind: &'s RequestEnv) -> impl Iterator<Item = (&'s Route, Vec<Method>)> {
        let name = self.action_name(kind.action());
        self.routes.iter().filter(|route| self.resource_of(route) == kind.resource()).filter_map(move |route| {
            let name = name?;
            let leads = |method: &Method| route.actions.get(method).map_or(method.as_str(), String::as_str) == name;
            let methods: Vec<Method> = Method::ALL.into_iter().filter(leads).collect();
            (name == names::SIGN || !methods.is_empty()).then_some((route, methods))
        })
    }

    fn resource_of<'s>(&'s self, route: &'s Route) -> &'s EntityTypeName {
        route.resource.as_ref().map_or(&self.names.path, |(of, _)| of)
    }

    fn action_name<'a>(&'a self, action: &EntityUid) -> Option<&'a str> {
        self.actions.iter().find(|(_, known)| known.uid == *action).map(|(name, _)| name.as_str())
    }

    /// What the gate promises of every request of a kind: Cedar conditions that hold for each of them. `named` are entities that the question is
    /// about, beside those that the policies name.
    pub(crate) fn promises(&self, kind: &RequestEnv, named: &BTreeSet<EntityUid>) -> BTreeSet<String> {
        let mut promises = BTreeSet::new();
        // `Moment::of`: hours and weekdays of a real time.
        promises.insert("(context.hour >= 0 && context.hour <= 23 && context.weekday >= 1 && context.weekday <= 7)".to_owned());
        self.of_caller(kind, &mut promises);
        self.of_action(kind, &mut promises);
        self.of_paths(kind, named, &mut promises);
        promises
    }

    /// `Names::principal` and `Identity::token`, `certificate`: which credential makes which principal.
    fn of_caller(&self, kind: &RequestEnv, promises: &mut BTreeSet<String>) {
        let names = &self.names;
        let principal = kind.principal();
        let promise = if *principal == names.anonymous {
            "(principal == Gate::Anonymous::\"anonymous\" && !(context has token) && !(context has certificate))"
        } else if *principal == names.user {
            "(context has token && principal.scopes == context.token.scopes && principal.issuer == context.token.issuer)"
        } else if *principal == names.workload {
            "(context has token || context has certificate)"
        } else if *principal == names.signed_url {
            "(!(context has token))"
        } else {
            return;
        };
        promises.insert(promise.to_owned());
    }

    /// `PolicyStore::name`: which method makes which action, and what only signing has.
    fn of_action(&self, kind: &RequestEnv, promises: &mut BTreeSet<String>) {
        let Some(name) = self.action_name(kind.action()) else { return };
        match name {
            // Of a link, `sign` is only asked to see whether it was withdrawn, with the context of its use.
            names::SIGN if *kind.principal() == self.names.signed_url => {}
            names::SIGN => {
                promises.insert("(context has signing)".to_owned());
            }
            _ => {
                promises.insert("(!(context has signing))".to_owned());
            }
        }
        if matches!(name, names::SIGN | names::REVOKE) {
            return;
        }
        let mut methods: BTreeSet<&str> = self.ways(kind).flat_map(|(_, methods)| methods).map(Method::as_str).collect();
        methods.extend(method(name).filter(|_| *kind.resource() == self.names.path).map(Method::as_str));
        let any: Vec<String> = methods.into_iter().map(|method| format!("context.method == {method:?}")).collect();
        promises.insert(format!("({})", any.join(" || ")));
    }

    /// `PolicyStore::prepare`: the resource is in its path and in every path above that, and in no other.
    fn of_paths(&self, kind: &RequestEnv, named: &BTreeSet<EntityUid>, promises: &mut BTreeSet<String>) {
        let paths: BTreeMap<Vec<String>, String> = named.iter().filter_map(|uid| Some((self.segments(uid)?, uid.to_string()))).collect();
        let shown = |path: &[String]| paths.get(path).cloned().unwrap_or_default();
        let above = |path: &[String]| {
            let mut shorter = (0..path.len()).rev().filter_map(|length| path.get(..length).map(<[String]>::to_vec));
            shorter.find(|above| paths.contains_key(above))
        };
        let mut below: BTreeMap<Option<Vec<String>>, Vec<&Vec<String>>> = BTreeMap::new();
        for path in paths.keys() {
            below.entry(above(path)).or_default().push(path);
        }
        for (above, below) in &below {
            if let Some(above) = above {
                promises.extend(below.iter().map(|path| format!("(!(resource in {}) || resource in {})", shown(path), shown(above))));
            }
            if below.len() <= SIBLINGS {
                for (index, one) in below.iter().enumerate() {
                    let others = below.iter().skip(index.saturating_add(1));
                    promises.extend(others.map(|other| format!("(!(resource in {} && resource in {}))", shown(one), shown(other))));
                }
            }
        }
        // Where routes alone lead there, what all of them have in common.
        let ways: Vec<&Route> = self.ways(kind).map(|(route, _)| route).collect();
        let plain = *kind.resource() == self.names.path && self.action_name(kind.action()).is_some_and(|name| method(name).is_some());
        let other = *kind.resource() == self.names.path && matches!(self.action_name(kind.action()), Some(names::SIGN | names::REVOKE));
        let whole = |route: &&Route| route.template.0.iter().all(|segment| matches!(segment, Segment::Literal(_)));
        if *kind.resource() == self.names.path && !plain && !other && !ways.is_empty() && ways.iter().all(whole) {
            let equal = |route: &&Route| format!("resource == {}", names::uid(&self.names.path, &route.template.to_string()));
            promises.insert(format!("({})", ways.iter().map(equal).collect::<Vec<_>>().join(" || ")));
        }
        for path in paths.keys() {
            let found: BTreeSet<Option<bool>> = ways.iter().map(|route| inside(path, &route.template.0)).collect();
            match (path.is_empty(), found.len(), found.first()) {
                (true, _, _) => {
                    promises.insert(format!("(resource in {})", shown(path)));
                }
                (false, 1, Some(Some(true))) if !plain && !other => {
                    promises.insert(format!("(resource in {})", shown(path)));
                }
                (false, 1, Some(Some(false))) if !plain && !other => {
                    promises.insert(format!("(!(resource in {}))", shown(path)));
                }
                _ => {}
            }
        }
    }

    /// The entities that policies name.
    pub(crate) fn named_in(set: &PolicySet) -> BTreeSet<EntityUid> {
        set.policies().flat_map(Policy::entity_literals).collect()
    }

    /// The segments of a path; None of anything else.
    fn segments(&self, uid: &EntityUid) -> Option<Vec<String>> {
        let path = uid.id().unescaped().strip_prefix('/').filter(|_| *uid.type_name() == self.names.path)?;
        Some(path.split('/').filter(|segment| !segment.is_empty()).map(str::to_owned).collect())
    }

    /// The policies as a kind of request meets them. Of a link that is all policies, and that signing was not withdrawn: see
    /// `PolicyStore::withdrawn`, of which this is the other writing.
    ///
    /// # Errors
    /// What of it Cedar does not take.
    pub(crate) fn met_by(&self, kind: &RequestEnv) -> Result<PolicySet, String> {
        let named = |name: &str| self.actions.get(name).is_some_and(|action| action.uid == *kind.action());
        if *kind.principal() != self.names.signed_url || named(names::SIGN) || named(names::REVOKE) {
            return Ok(self.set.clone());
        }
        let sign = self.actions.get(names::SIGN).filter(|sign| sign.resources.contains(kind.resource()));
        let Some(sign) = sign.filter(|_| self.signing.permitted) else { return Ok(PolicySet::new()) };
        let mut set = self.set.clone();
        if sign.principals.contains(kind.principal()) {
            for policy in self.signing.forbids.policies() {
                let mut json = policy.to_json().map_err(|error| error.to_string())?;
                let uid = json!({ "Value": { "__entity": { "type": sign.uid.type_name().to_string(), "id": sign.uid.id().unescaped() } } });
                if let Some(members) = json.as_object_mut() {
                    members.insert("action".to_owned(), json!({ "op": "All" }));
                    for condition in members.get_mut("conditions").and_then(Value::as_array_mut).into_iter().flatten() {
                        set_action(condition, &uid);
                    }
                }
                let id = PolicyId::new(format!("{} on `sign`", policy.id()));
                let policy = Policy::from_json(Some(id), json).map_err(|error| error.to_string())?;
                set.add(policy).map_err(|error| error.to_string())?;
            }
        }
        Ok(set)
    }

    /// The attribute of a policy that no proof can be about: one that an entity of its type always has, looked at in an entity that may not
    /// be known. A solver believes that every entity is; the gate finds no attribute there, and denies.
    pub(crate) fn unprovable(policy: &Policy, required: &BTreeSet<String>) -> Option<String> {
        let Ok(json) = policy.to_json() else { return Some("cannot be read".to_owned()) };
        let mut found = None;
        for condition in json.get("conditions").and_then(Value::as_array).into_iter().flatten() {
            look(condition, required, &mut found);
        }
        found.map(|name| format!("looks at `{name}` of an entity that the gate may not know"))
    }

    /// What a set of policies looks at.
    pub(crate) fn reads_of(set: &PolicySet) -> Reads {
        Reads::of(set.policies())
    }

    /// A path that stands for this resource under this action, with the method. `id` names a resource that has a type of its own; `path` is that
    /// of one that has none.
    pub(crate) fn path_of(&self, kind: &RequestEnv, id: &str, path: &[String]) -> Option<(Option<Method>, Vec<String>)> {
        let name = self.action_name(kind.action())?;
        let own = method(name);
        let typed = *kind.resource() != self.names.path;
        let free = own.is_some() || matches!(name, names::SIGN | names::REVOKE);
        for (route, methods) in self.ways(kind) {
            let at = route.resource.as_ref().map(|(_, at)| *at);
            let fill = |(index, segment): (usize, &Segment)| match segment {
                Segment::Literal(text) => text.clone(),
                Segment::Parameter(_) if Some(index) == at => id.to_owned(),
                Segment::Parameter(_) => "x".to_owned(),
            };
            let segments: Vec<String> = route.template.0.iter().enumerate().map(fill).collect();
            if typed || !free {
                return Some((methods.first().copied(), segments));
            }
        }
        // A plain path: the one that is meant, where no route makes something else of it.
        let plain = self.routes.find(path).is_none_or(|route| route.resource.is_none());
        (!typed && plain).then(|| (own, path.to_vec()))
    }
}

/// The names of attributes that entities of some type always have, and of all types that such a shape can be.
///
/// # Errors
/// When the schema cannot be read.
pub(crate) fn required_attributes(schema: &str) -> Result<BTreeSet<String>, String> {
    let (fragment, _) = cedar_policy::SchemaFragment::from_cedarschema_str(schema).map_err(|error| error.to_string())?;
    let json = fragment.to_json_value().map_err(|error| error.to_string())?;
    let mut names = BTreeSet::new();
    let mut take = |shape: Option<&Value>| {
        let attributes = shape.and_then(|shape| shape.get("attributes")).and_then(Value::as_object);
        let required = attributes.into_iter().flatten().filter(|(_, of)| of.get("required") != Some(&Value::Bool(false)));
        names.extend(required.map(|(name, _)| name.clone()));
    };
    let each = |all: Option<&Value>| all.and_then(Value::as_object).into_iter().flat_map(|all| all.values().cloned()).collect::<Vec<_>>();
    for namespace in each(Some(&json)) {
        each(namespace.get("entityTypes")).iter().for_each(|of| take(of.get("shape")));
        // Of the context nothing is an entity.
        let types = namespace.get("commonTypes").and_then(Value::as_object);
        let own = types.into_iter().flatten().filter(|(name, _)| !CONTEXT.contains(&name.as_str()));
        own.for_each(|(_, of)| take(Some(of)));
    }
    Ok(names)
}

/// A kind of request in words: `User, GET, Document`.
pub(crate) fn shown(kind: &RequestEnv) -> String {
    format!("{} {} {}", kind.principal().basename(), kind.action().id().unescaped(), kind.resource().basename())
}

fn method(name: &str) -> Option<Method> {
    Method::ALL.into_iter().find(|method| method.as_str() == name)
}

/// Whether what a template matches is in a path: always, never, or it depends.
fn inside(path: &[String], template: &[Segment]) -> Option<bool> {
    if path.len() > template.len() {
        return Some(false);
    }
    let mut sure = true;
    for (found, segment) in path.iter().zip(template) {
        match segment {
            Segment::Literal(text) if text != found => return Some(false),
            Segment::Literal(_) => {}
            Segment::Parameter(_) => sure = false,
        }
    }
    sure.then_some(true)
}

/// Puts an entity for the variable `action`.
fn set_action(expression: &mut Value, uid: &Value) {
    match expression {
        Value::Object(members) if members.get("Var").and_then(Value::as_str) == Some("action") && members.len() == 1 => {
            *expression = uid.clone();
        }
        // What is written out has no variables.
        Value::Object(members) => members.iter_mut().filter(|(name, _)| *name != "Value").for_each(|(_, value)| set_action(value, uid)),
        Value::Array(items) => items.iter_mut().for_each(|item| set_action(item, uid)),
        _ => {}
    }
}

/// Finds a required attribute that is looked at in anything but the principal, the resource itself or the context.
fn look(expression: &Value, required: &BTreeSet<String>, found: &mut Option<String>) {
    match expression {
        Value::Object(members) => {
            for (operator, operand) in members {
                if operator == "Value" {
                    continue;
                }
                if ATTRIBUTE.contains(&operator.as_str())
                    && let Some(name) = operand.get("attr").and_then(Value::as_str)
                    && required.contains(name)
                    && !known(operand.get("left").unwrap_or(&Value::Null))
                {
                    found.get_or_insert_with(|| name.to_owned());
                }
                look(operand, required, found);
            }
        }
        Value::Array(items) => items.iter().for_each(|item| look(item, required, found)),
        _ => {}
    }
}

/// Whether it is an entity of every request, or part of the context, in which there are no entities.
fn known(left: &Value) -> bool {
    if left.get("Var").is_some() {
        return true;
    }
    let mut root = left;
    while let Some(inner) = root.get(".").and_then(|access| access.get("left")) {
        root = inner;
    }
    root.get("Var").and_then(Value::as_str) == Some("context")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::policy::tests::{bundle, load, with_policies};

    fn kind(text: &str) -> RequestEnv {
        let parts: Vec<&str> = text.split(' ').collect();
        let of = |name: &str| names::type_name(name).unwrap();
        RequestEnv::new(of(parts[0]), names::uid(&of("Action"), parts[1]), of(parts[2]))
    }

    #[test]
    fn kinds_that_no_path_leads_to_are_left_out() {
        let store = load(&bundle());
        let kinds: Vec<String> = store.asked().iter().map(shown).collect();
        for asked in ["Anonymous GET Document", "User refundOrder Order", "User createOrder Path", "User sign Document", "User revoke Path"]
        {
            assert!(kinds.contains(&asked.to_owned()), "{asked}: {kinds:?}");
        }
        // Without routes there are paths alone.
        let store = load(&with_policies("@id(\"a\") permit (principal is Gate::User, action, resource);"));
        let kinds: Vec<String> = store.asked().iter().map(shown).collect();
        assert!(kinds.contains(&"User POST Path".to_owned()) && kinds.iter().all(|kind| kind.ends_with(" Path")), "{kinds:?}");
        assert!(!kinds.contains(&"User createOrder Path".to_owned()), "{kinds:?}");
    }

    #[test]
    fn routes_and_the_tree_of_paths_are_promised() {
        let store = load(&bundle());
        let promises = |of: &str| store.promises(&kind(of), &PolicyStore::named_in(&store.set)).into_iter().collect::<Vec<_>>().join("\n");
        let documents = promises("User GET Document");
        assert!(documents.contains("(resource in Gate::Path::\"/api/documents\")"), "{documents}");
        assert!(documents.contains("(!(resource in Gate::Path::\"/api/admin\"))"), "{documents}");
        assert!(documents.contains("(context.method == \"GET\")"), "{documents}");
        let paths = promises("User GET Path");
        assert!(paths.contains("(!(resource in Gate::Path::\"/api/admin/audit\") || resource in Gate::Path::\"/api/admin\")"), "{paths}");
        assert!(!paths.contains("(resource in Gate::Path::\"/api/documents\")"), "{paths}");
        assert!(promises("User createOrder Path").contains("(resource == Gate::Path::\"/api/orders\")"));
        assert!(promises("User cancelOrder Order").contains("(context.method == \"DELETE\")"));
    }

    #[test]
    fn what_is_asked_of_an_entity_that_may_not_be_known_cannot_be_proved() {
        let required = required_attributes(std::str::from_utf8(bundle().get(PolicyStore::SCHEMA).unwrap()).unwrap()).unwrap();
        assert!(required.contains("issuer") && !required.contains("suspended") && !required.contains("audience"), "{required:?}");
        let of = |condition: &str| {
            let policy = format!("@id(\"a\") permit (principal is Gate::User, action, resource is Gate::Document) when {{ {condition} }};");
            let store = load(&with_policies(&policy));
            let policy = store.index.policies().next().unwrap();
            PolicyStore::unprovable(policy, &required)
        };
        assert_eq!(of("principal.issuer == \"x\" && context has token && context.token.issuer == \"x\""), None);
        assert_eq!(of("resource has owner && resource.owner == principal"), None);
        assert_eq!(of("resource has owner && resource.owner has department && resource.owner.department == \"x\""), None);
        let found = of("resource has owner && resource.owner.issuer == \"x\"").unwrap();
        assert!(found.contains("`issuer`"), "{found}");
        assert!(of("Gate::User::\"a\" has subject").is_some());
    }
}
