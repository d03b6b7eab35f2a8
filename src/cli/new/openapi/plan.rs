//! Operations to routes, types, actions and tags, each named once.

use std::collections::{BTreeMap, BTreeSet};

use miette::miette;

use super::document::{Document, Operation};
use super::names;
use crate::limits;
use crate::policy;
use crate::request::Method;

/// Names in `policies/` that are no tag's.
const OWN_FILES: [&str; 4] = ["guardrails", "shadow", "tests", "schema"];

/// What a project is written from.
#[derive(Debug)]
pub(super) struct Plan {
    pub(super) routes: Vec<Route>,
    /// Each type, and a path that leads to one.
    pub(super) types: BTreeMap<String, String>,
    pub(super) tags: Vec<Tag>,
    pub(super) warnings: Vec<String>,
}

/// One route.
#[derive(Debug, Clone)]
pub(super) struct Route {
    pub(super) path: String,
    pub(super) resource: Option<String>,
    /// Parameters before the one that names the resource.
    pub(super) others: Vec<String>,
    /// What each method stands for, and the scopes it asks for.
    pub(super) actions: BTreeMap<Method, (String, Vec<String>)>,
}

/// The operations of one tag.
#[derive(Debug)]
pub(super) struct Tag {
    pub(super) name: String,
    pub(super) slug: String,
    pub(super) actions: Vec<Action>,
}

/// One operation.
#[derive(Debug, Clone)]
pub(super) struct Action {
    pub(super) name: String,
    pub(super) method: Method,
    pub(super) path: String,
    pub(super) resource: Option<String>,
    pub(super) summary: Option<String>,
    pub(super) public: bool,
}

/// A template without the names of its parameters.
type Shape = Vec<Option<String>>;

/// Plans a project.
///
/// # Errors
/// When there is not one operation that the gate could be asked about.
pub(super) fn plan(document: Document) -> miette::Result<Plan> {
    let Document { operations, mut warnings } = document;
    let (mut routes, mut types) = (BTreeMap::<Shape, Route>::new(), BTreeMap::new());
    let (mut taken, mut tags) = (BTreeSet::new(), BTreeMap::<String, Vec<Action>>::new());
    let mut refused = BTreeSet::new();
    for operation in operations {
        let Operation { method, path, id, tag, summary, scopes, public } = operation;
        let shape = match shape(&path) {
            Ok(shape) => shape,
            Err(why) => {
                // Once for all its methods.
                if refused.insert(path.clone()) {
                    warnings.push(format!("`{path}` is left out: {why}"));
                }
                continue;
            }
        };
        let full = routes.len() >= limits::ROUTES && !routes.contains_key(&shape);
        if full {
            if refused.insert(path.clone()) {
                warnings.push(format!("`{path}` is left out: there are more than {} routes", limits::ROUTES));
            }
            continue;
        }
        let route = routes.entry(shape).or_insert_with(|| route(&path));
        if route.actions.contains_key(&method) {
            warnings.push(format!("{} {path} is left out: another path has the same form, `{}`", method.as_str(), route.path));
            continue;
        }
        let name = names::action(id.as_deref(), method.as_str(), &path, &mut taken);
        if let Some(id) = id.filter(|id| *id != name) {
            warnings
                .push(format!("{} {path}: the action is called `{name}`, because `{id}` is taken or cannot be a name", method.as_str()));
        }
        route.actions.insert(method, (name.clone(), scopes));
        if let Some(resource) = &route.resource {
            types.entry(resource.clone()).or_insert_with(|| route.path.clone());
        }
        let action = Action { name, method, path: route.path.clone(), resource: route.resource.clone(), summary, public };
        tags.entry(tag.unwrap_or_default()).or_default().push(action);
    }
    if tags.is_empty() {
        return Err(miette!(help = warnings.join("\n"), "none of its paths can be a route"));
    }
    let routes = routes.into_values().map(head).collect();
    let mut slugs: BTreeSet<String> = OWN_FILES.map(str::to_owned).into();
    let named = |(name, actions): (String, Vec<Action>)| {
        let slug = names::slug(&name, &mut slugs);
        Tag { name: if name.is_empty() { slug.clone() } else { name }, slug, actions }
    };
    let tags = tags.into_iter().map(named).collect();
    Ok(Plan { routes, types, tags, warnings })
}

/// HEAD is GET without a body: what is permitted of one is of the other.
fn head(mut route: Route) -> Route {
    if let Some(get) = route.actions.get(&Method::Get).cloned() {
        route.actions.entry(Method::Head).or_insert(get);
    }
    route
}

/// The literals of a template, and where its parameters are.
fn shape(path: &str) -> Result<Shape, String> {
    let segments = segments(path).map(|segment| match parameter(segment) {
        Some(_) => Ok(None),
        None if segment.contains(['{', '}']) => Err(format!("a parameter is a whole segment of a route, and `{segment}` is more than one")),
        None => Ok(Some(segment.to_owned())),
    });
    let shape: Shape = segments.collect::<Result<_, _>>()?;
    let template: String = shape.iter().map(|segment| format!("/{}", segment.as_deref().unwrap_or("x"))).collect();
    match policy::route_problem(if template.is_empty() { "/" } else { &template }) {
        // The reason alone: what it names is not what stands in the description.
        Some(why) => Err(why.split_once(": ").map_or(why.clone(), |(_, why)| why.to_owned())),
        None => Ok(shape),
    }
}

fn segments(path: &str) -> impl Iterator<Item = &str> {
    let rest = path.strip_prefix('/').unwrap_or(path);
    // `/` has none.
    rest.split('/').filter(move |_| !rest.is_empty())
}

fn parameter(segment: &str) -> Option<&str> {
    segment.strip_prefix('{')?.strip_suffix('}').filter(|name| !name.contains(['{', '}']))
}

/// A route for a template: its last parameter names the resource, and is called `id`.
fn route(path: &str) -> Route {
    let segments: Vec<&str> = segments(path).collect();
    let last = segments.iter().rposition(|segment| parameter(segment).is_some());
    let mut taken: BTreeSet<String> = ["id".to_owned()].into();
    let (mut made, mut others, mut resource) = (String::new(), Vec::new(), None);
    let mut before = None;
    for (at, segment) in segments.iter().enumerate() {
        match parameter(segment) {
            Some(name) if Some(at) == last => {
                resource = Some(names::resource_type(before, name));
                made.push_str("/{id}");
            }
            Some(name) => {
                // Of `/pets/{id}/photos/{photo}` the first is no `id` any more.
                let name = if name == "id" { before.map_or("parent".to_owned(), |before| format!("{before}_id")) } else { name.to_owned() };
                let name = names::parameter(&name, &mut taken);
                made.push_str(&format!("/{{{name}}}"));
                others.push(name);
            }
            None => made.push_str(&format!("/{segment}")),
        }
        before = parameter(segment).is_none().then_some(*segment);
    }
    Route { path: if made.is_empty() { "/".to_owned() } else { made }, resource, others, actions: BTreeMap::new() }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn operation(method: Method, path: &str, id: Option<&str>) -> Operation {
        Operation { method, path: path.to_owned(), id: id.map(str::to_owned), tag: None, summary: None, scopes: vec![], public: false }
    }

    fn planned(operations: Vec<Operation>) -> Plan {
        plan(Document { operations, warnings: vec![] }).unwrap()
    }

    #[test]
    fn templates_become_routes() {
        for (path, made, resource) in [
            ("/", "/", None),
            ("/pets", "/pets", None),
            ("/pets/{petId}", "/pets/{id}", Some("Pet")),
            ("/pets/{petId}/photos", "/pets/{id}/photos", Some("Pet")),
            ("/repos/{owner}/{repo}/issues/{issue-number}", "/repos/{owner}/{repo}/issues/{id}", Some("Issue")),
            ("/repos/{owner}/{repo}", "/repos/{owner}/{id}", Some("Repo")),
            ("/a/{id}/b/{id}", "/a/{a_id}/b/{id}", Some("B")),
        ] {
            let route = route(path);
            assert_eq!((route.path.as_str(), route.resource.as_deref()), (made, resource), "{path}");
        }
    }

    #[test]
    fn what_a_route_cannot_say_is_left_out_and_told() {
        let plan = planned(vec![
            operation(Method::Get, "/ok", None),
            operation(Method::Get, "/files/{name}.json", None),
            operation(Method::Put, "/files/{name}.json", None),
            operation(Method::Get, "/pets/", None),
            operation(Method::Get, "/a%20b", None),
            operation(Method::Get, "/pets/{a}", None),
            operation(Method::Get, "/pets/{b}", None),
            operation(Method::Put, "/pets/{b}", None),
        ]);
        assert_eq!(plan.routes.len(), 2);
        assert_eq!(plan.warnings.len(), 4, "{:#?}", plan.warnings);
        let pets = &plan.routes[1];
        assert_eq!(pets.actions.keys().copied().collect::<Vec<_>>(), [Method::Get, Method::Head, Method::Put]);
        assert!(plan_fails("/x{y}"));
    }

    fn plan_fails(path: &str) -> bool {
        plan(Document { operations: vec![operation(Method::Get, path, None)], warnings: vec![] }).is_err()
    }

    #[test]
    fn actions_have_one_name_each() {
        let plan = planned(vec![
            operation(Method::Get, "/a", Some("same")),
            operation(Method::Get, "/b", Some("same")),
            operation(Method::Get, "/c", None),
            operation(Method::Post, "/c", Some("GET")),
        ]);
        let names: Vec<_> = plan.tags.iter().flat_map(|tag| &tag.actions).map(|action| action.name.as_str()).collect();
        assert_eq!(names, ["same", "same-2", "getC", "GETOperation"]);
        assert_eq!(plan.warnings.len(), 2);
    }
}
