//! What a policy author should look at: policies that are valid, and perhaps not what was meant.
//!
//! Nothing here decides what can be sealed or what a gate answers. It is asked for by `cedargate check` alone, of a bundle that
//! was loaded before without a problem.

mod implied;
mod reach;
mod scope;
mod single;

use std::collections::BTreeSet;

use cedar_policy::Policy;
use serde_json::Value;

use super::lints::Linter;
use super::policies::{Place, Policies};
use super::routes::Routes;
use super::schema::Loaded;
use super::statics::Statics;
use super::{policies, routes_file, schema, statics};
use crate::bundle::{Bundle, Problem, Report};
use scope::Scope;

/// What a lint is about, and so which key an allowance of it has.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum About {
    /// A policy, by its `@id`.
    Policy(String),
    /// A route, by its path in `routes.toml`.
    Route(String),
    /// An entity of `entities.json`, as Cedar writes it.
    Entity(String),
}

impl About {
    /// The key in an allowance.
    pub const fn key(&self) -> &'static str {
        match self {
            Self::Policy(_) => "policy",
            Self::Route(_) => "route",
            Self::Entity(_) => "entity",
        }
    }

    /// Its name.
    pub fn name(&self) -> &str {
        match self {
            Self::Policy(name) | Self::Route(name) | Self::Entity(name) => name,
        }
    }
}

/// One thing to look at. Its lint is the problem's code.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Advice {
    /// What it is about.
    pub about: About,
    /// Where, what, and what to do.
    pub problem: Problem,
}

/// A `permit` that asks nothing of whoever calls, or nothing of what is called for.
pub const UNCONSTRAINED: &str = "lint.unconstrained";
/// Two policies that say the same.
pub const DUPLICATE: &str = "lint.duplicate";
/// A `permit` that another one makes needless.
pub const SHADOWED: &str = "lint.shadowed";
/// An entity that changes no answer.
pub const UNUSED_ENTITY: &str = "lint.unused_entity";
/// A route on which nothing is permitted.
pub const ROUTE_WITHOUT_POLICY: &str = "lint.route_without_policy";
/// A policy about what no request asks for.
pub const UNREACHABLE: &str = "lint.unreachable";
/// `like` where `in` is meant.
pub const LIKE_ON_PATH: &str = "lint.like_on_path";
/// A policy without `@reason`.
pub const NO_REASON: &str = "lint.no_reason";

/// Every lint, and the key its allowances have.
pub const LINTS: [(&str, &str); 8] = [
    (UNCONSTRAINED, "policy"),
    (DUPLICATE, "policy"),
    (SHADOWED, "policy"),
    (UNUSED_ENTITY, "entity"),
    (ROUTE_WITHOUT_POLICY, "route"),
    (UNREACHABLE, "policy"),
    (LIKE_ON_PATH, "policy"),
    (NO_REASON, "policy"),
];

/// Looks at the enforced policies of a bundle. Of one that cannot be loaded there is nothing to say.
pub(super) fn find(bundle: &Bundle) -> Vec<Advice> {
    let mut known = Report::default();
    let Some(loaded) = schema::load(bundle, &mut known) else { return vec![] };
    let policies = policies::load(bundle, None, &mut known);
    let statics = Statics::load(bundle, &loaded.schema, &loaded.names, &mut known);
    let routes = routes_file::load(bundle, &loaded, &mut known);
    if !known.is_empty() {
        return vec![];
    }
    let views = views(&policies);
    let looked = Looked { bundle, loaded: &loaded, policies: &policies, views: &views, statics: &statics, routes: &routes };
    let mut found: Vec<Advice> = views.iter().flat_map(single::look).collect();
    found.extend(implied::look(&looked));
    found.extend(reach::policies(&looked));
    found.extend(reach::routes(&looked));
    found.extend(reach::entities(&looked));
    found
}

/// All there is to look at.
struct Looked<'a> {
    bundle: &'a Bundle,
    loaded: &'a Loaded,
    policies: &'a Policies,
    views: &'a [View<'a>],
    statics: &'a Statics,
    routes: &'a Routes,
}

impl Looked<'_> {
    fn linter(&self) -> Linter<'_> {
        Linter { routes: self.routes, actions: &self.loaded.actions, names: &self.loaded.names }
    }
}

/// One policy, taken apart as far as lints need it.
struct View<'a> {
    id: String,
    place: &'a Place,
    policy: &'a Policy,
    principal: Scope,
    resource: Scope,
    /// `when` and `unless` with their expressions, in Cedar's JSON.
    conditions: Vec<(bool, Value)>,
}

impl View<'_> {
    fn advice(&self, lint: &'static str, message: impl Into<String>, help: impl Into<String>) -> Advice {
        let problem = Problem::new(&self.place.file, lint, message).at(Some(self.place.span.clone())).help(help);
        Advice { about: About::Policy(self.id.clone()), problem }
    }

    /// Whether any condition has a part like this.
    fn has(&self, part: impl Fn(&str, &Value) -> bool) -> bool {
        self.conditions.iter().any(|(_, body)| any(body, &part))
    }
}

/// The policies in the order they stand in.
fn views(policies: &Policies) -> Vec<View<'_>> {
    let mut views: Vec<View<'_>> = policies.set.policies().filter_map(|policy| view(policies, policy)).collect();
    views.sort_by(|a, b| (&a.place.file, a.place.span.start).cmp(&(&b.place.file, b.place.span.start)));
    views
}

fn view<'a>(policies: &'a Policies, policy: &'a Policy) -> Option<View<'a>> {
    let id = policy.id().to_string();
    let place = policies.places.get(&id)?;
    let json = policy.to_json().ok()?;
    let condition = |condition: &Value| {
        let unless = condition.get("kind").and_then(Value::as_str) == Some("unless");
        Some((unless, condition.get("body")?.clone()))
    };
    let conditions = json.get("conditions").and_then(Value::as_array).into_iter().flatten().filter_map(condition).collect();
    let (principal, resource) = (policy.principal_constraint().into(), policy.resource_constraint().into());
    Some(View { id, place, policy, principal, resource, conditions })
}

/// Whether an operator anywhere in an expression, with its operand, is like this.
fn any(expression: &Value, part: &dyn Fn(&str, &Value) -> bool) -> bool {
    match expression {
        Value::Array(items) => items.iter().any(|item| any(item, part)),
        // What is written out is no operator, whatever it holds.
        Value::Object(members) => members.iter().any(|(name, operand)| name != "Value" && (part(name, operand) || any(operand, part))),
        _ => false,
    }
}

/// Whether this part of an expression is the variable.
fn is_var(name: &str, operand: &Value, variable: &str) -> bool {
    name == "Var" && operand.as_str() == Some(variable)
}

/// Whether an operand's left side is the variable.
fn left_is(operand: &Value, variable: &str) -> bool {
    operand.pointer("/left/Var").and_then(Value::as_str) == Some(variable)
}

/// Whether this part is `context.<name>` or `context has <name>`.
fn is_context(name: &str, operand: &Value, attributes: &[&str]) -> bool {
    let attribute = || operand.get("attr").and_then(Value::as_str).is_some_and(|attribute| attributes.contains(&attribute));
    matches!(name, "." | "has") && left_is(operand, "context") && attribute()
}

/// What any of several spellings come down to, for comparing.
type Atoms = BTreeSet<(bool, String)>;

#[cfg(test)]
mod tests;
