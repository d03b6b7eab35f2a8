//! The schema: read, and held against everything the gate itself will put before Cedar.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use cedar_policy::{Entities, Entity, EntityTypeName, EntityUid, Schema, SchemaFragment};
use cedar_policy_core::ast;
use serde_json::{Map, Value};

use super::context::{self, Input, Needs, SAMPLE_TIME, sample_certificate, sample_token};
use super::diagnose::{self, find};
use super::entities::{self, Made};
use super::names::{self, Names};
use crate::bundle::{Bundle, Problem, Report, nearest};
use crate::identity::{CertificateIdentity, Identity, PrincipalKind, TokenIdentity};
use crate::request::Method;

/// Path in a bundle.
pub(super) const FILE: &str = super::PolicyStore::SCHEMA;
/// The name of the type every context has.
const CONTEXT: &str = "RequestContext";

/// The advice on most of what can be missing.
const COPY: &str = "copy it from the schema that comes with the gate";

/// The schema and what is looked up in it.
#[derive(Debug)]
pub(super) struct Loaded {
    pub(super) schema: Schema,
    pub(super) names: Names,
    /// Every entity type it declares.
    pub(super) types: BTreeSet<EntityTypeName>,
    /// The actions of namespace `Gate` by name.
    pub(super) actions: BTreeMap<String, Action>,
}

/// One action.
#[derive(Debug, Clone)]
pub(super) struct Action {
    pub(super) uid: EntityUid,
    /// Names of the groups it is in, directly or not.
    pub(super) groups: BTreeSet<String>,
    /// Itself, with everything it is in. Requests share it.
    pub(super) entity: Arc<ast::Entity>,
    /// Its groups as entities.
    pub(super) above: Vec<Entity>,
    pub(super) principals: BTreeSet<EntityTypeName>,
    pub(super) resources: BTreeSet<EntityTypeName>,
}

impl Action {
    /// Itself and its groups, as entities.
    pub(super) fn entities(&self) -> impl Iterator<Item = Entity> {
        [ast::Entity::clone(&self.entity).into()].into_iter().chain(self.above.iter().cloned())
    }

    /// Whether the schema declares this action for this kind of principal and resource.
    pub(super) fn applies(&self, principal: &EntityUid, resource: &EntityUid) -> bool {
        self.principals.contains(principal.type_name()) && self.resources.contains(resource.type_name())
    }
}

/// The group of actions a method belongs to.
pub(super) fn method_group(method: Method) -> &'static str {
    match method {
        Method::Get | Method::Head | Method::Options => "read",
        Method::Post | Method::Put | Method::Patch | Method::Delete => "write",
    }
}

/// Reads the schema. `None` when Cedar cannot; what the gate misses in it goes into the report only.
pub(super) fn load(bundle: &Bundle, report: &mut Report) -> Option<Loaded> {
    if bundle.get(FILE).is_none() {
        let help = "start from the one that comes with the gate: it is meant to be extended";
        report.add(Problem::new("policies", "schema.missing", format!("there is no `{FILE}`")).help(help));
        return None;
    }
    let text = diagnose::text(bundle, FILE, report)?;
    let (schema, warnings) = match Schema::from_cedarschema_str(text) {
        Ok((schema, warnings)) => (schema, warnings.collect::<Vec<_>>()),
        Err(error) => {
            diagnose::cedar(FILE, "schema.invalid", &error, report);
            return None;
        }
    };
    for warning in &warnings {
        diagnose::cedar(FILE, "schema.warning", warning, report);
    }
    let names = Names::new()?;
    let loaded = Loaded { types: schema.entity_types().cloned().collect(), actions: actions(&schema), schema, names };
    Checker { text, loaded: &loaded, report }.check();
    Some(loaded)
}

fn actions(schema: &Schema) -> BTreeMap<String, Action> {
    let Ok(declared) = schema.action_entities() else { return BTreeMap::new() };
    let mut actions = BTreeMap::new();
    for uid in schema.actions().filter(|uid| uid.type_name().namespace() == "Gate") {
        let Some(entity) = declared.get(uid) else { continue };
        let groups: BTreeSet<EntityUid> = declared.ancestors(uid).into_iter().flatten().cloned().collect();
        let action = Action {
            uid: uid.clone(),
            groups: groups.iter().filter(|uid| uid.type_name().namespace() == "Gate").map(|uid| uid.id().unescaped().to_owned()).collect(),
            entity: entities::shared(entity),
            above: groups.iter().filter_map(|uid| declared.get(uid)).cloned().collect(),
            principals: schema.principals_for_action(uid).into_iter().flatten().cloned().collect(),
            resources: schema.resources_for_action(uid).into_iter().flatten().cloned().collect(),
        };
        actions.insert(uid.id().unescaped().to_owned(), action);
    }
    actions
}

impl Loaded {
    /// Whether the gate can make an entity of this type for any id, below a path.
    pub(super) fn accepts_resource(&self, of: &EntityTypeName) -> Result<(), String> {
        let parent = names::uid(&self.names.path, "/");
        let sample = Entity::new_no_attrs(names::uid(of, "sample"), [parent].into());
        conforms(sample, &self.schema)
    }
}

fn conforms(entity: Entity, schema: &Schema) -> Result<(), String> {
    use std::error::Error;
    Entities::empty().add_entities([entity], Some(schema)).map(|_| ()).map_err(|error| {
        // The outer message only says which sample was tried.
        error.source().map_or_else(|| error.to_string(), ToString::to_string)
    })
}

struct Checker<'a> {
    text: &'a str,
    loaded: &'a Loaded,
    report: &'a mut Report,
}

impl Checker<'_> {
    fn problem(&mut self, place: &str, code: &'static str, message: String, help: &str) {
        self.report.add(Problem::new(FILE, code, message).at(find(self.text, place)).help(help));
    }

    fn check(&mut self) {
        let missing: Vec<_> =
            names::TYPES.into_iter().filter(|name| names::type_name(name).is_none_or(|of| !self.loaded.types.contains(&of))).collect();
        for name in &missing {
            self.problem("namespace", "schema.type", format!("the gate needs the entity type `Gate::{name}`"), COPY);
        }
        self.methods();
        self.contexts();
        if missing.is_empty() {
            self.entities();
        }
    }

    fn methods(&mut self) {
        for method in Method::ALL {
            let (name, group) = (method.as_str(), method_group(method));
            match self.loaded.actions.get(name) {
                None => {
                    let help = format!("declare `action \"{name}\" in [\"{group}\"]`");
                    self.problem("namespace", "schema.action", format!("the gate needs the action `Gate::Action::\"{name}\"`"), &help);
                }
                Some(action) => {
                    if !action.groups.contains(group) {
                        let help = format!("declare it `in [\"{group}\"]`");
                        self.problem(&format!("\"{name}\""), "schema.action", format!("the action `{name}` is not in `{group}`"), &help);
                    }
                    if !action.resources.contains(&self.loaded.names.path) {
                        let message = format!("the action `{name}` does not apply to `Gate::Path`");
                        self.problem(&format!("\"{name}\""), "schema.action", message, "add `Path` to its `resource` list");
                    }
                }
            }
        }
    }

    /// Every action has the gate's context, and that type is exactly what the gate fills in.
    fn contexts(&mut self) {
        let Some(json) = SchemaFragment::from_cedarschema_str(self.text).ok().and_then(|(fragment, _)| fragment.to_json_value().ok())
        else {
            return self.problem(
                "namespace",
                "schema.context",
                "the schema cannot be read as JSON".to_owned(),
                "this is a fault of the gate",
            );
        };
        let types = json.get("Gate").and_then(|gate| gate.get("commonTypes"));
        let (mut sound, mut differing) = (true, vec![]);
        for (of, attributes) in context::DECLARED {
            let declared = types.and_then(|types| types.get(of)?.get("attributes")?.as_object());
            match declared {
                Some(declared) => differing.extend(self.attributes(of, attributes, declared, &mut sound)),
                None => {
                    sound = false;
                    self.problem("namespace", "schema.context", format!("the gate needs the type `Gate::{of}`"), COPY);
                }
            }
        }
        let mut refused = None;
        for (namespace, content) in json.as_object().into_iter().flatten() {
            for (name, action) in content.get("actions").and_then(Value::as_object).into_iter().flatten() {
                refused = refused.or(self.context_of(namespace, name, action));
            }
        }
        // Only the samples say whether it is accepted: the same type may be written in another way. All actions share
        // one type, so they refuse for one reason.
        if let (true, Some(action)) = (sound, refused) {
            let why = if differing.is_empty() { "an attribute has another type".to_owned() } else { differing.join(", ") };
            let message = format!("the action `{action}` does not accept the context the gate makes: {why}");
            self.problem(&format!("type {CONTEXT}"), "schema.context", message, COPY);
        }
    }

    /// Reports attributes that are lacking or too many; returns those that look different.
    fn attributes(&mut self, of: &str, given: &[(&str, &str)], declared: &Map<String, Value>, sound: &mut bool) -> Vec<String> {
        let given: BTreeMap<&str, (&str, &str)> =
            given.iter().map(|(name, notation)| (name.trim_end_matches('?'), (*name, *notation))).collect();
        for extra in declared.keys().filter(|name| !given.contains_key(name.as_str())) {
            // SECURITY: a `forbid` on something that never comes would forbid nothing.
            let near = nearest(extra, given.keys().copied());
            let help = near.map_or("remove it: the gate never fills it in".to_owned(), |near| format!("did you mean `{near}`?"));
            self.problem(extra, "schema.context", format!("`{of}` has an attribute `{extra}` that the gate does not know"), &help);
            *sound = false;
        }
        let mut differing = vec![];
        for (name, (marked, notation)) in given {
            let Some(attribute) = declared.get(name) else {
                let message = format!("`{of}` lacks the attribute `{name}`");
                self.problem(&format!("type {of}"), "schema.context", message, &format!("declare `{marked}: {notation}`"));
                *sound = false;
                continue;
            };
            let optional = attribute.get("required") == Some(&Value::Bool(false));
            let written = format!("{name}{}: {}", if optional { "?" } else { "" }, type_notation(attribute));
            let wanted = format!("{marked}: {notation}");
            if written != wanted {
                differing.push(format!("`{written}` in `{of}` is not `{wanted}`"));
            }
        }
        differing
    }

    /// The name of the action, when it refuses the gate's context.
    fn context_of(&mut self, namespace: &str, name: &str, action: &Value) -> Option<String> {
        let applies_to = action.get("appliesTo")?;
        let list = |key: &str| applies_to.get(key).and_then(Value::as_array).is_some_and(|list| !list.is_empty());
        if !list("principalTypes") || !list("resourceTypes") {
            return None;
        }
        let of = applies_to.get("context").and_then(|context| context.get("type")).and_then(Value::as_str);
        if !(of == Some("Gate::RequestContext") || of == Some(CONTEXT) && namespace == "Gate") {
            let message = format!("the context of the action `{name}` is not `{CONTEXT}`");
            self.problem(&format!("\"{name}\""), "schema.context", message, "declare `context: RequestContext`");
            return None;
        }
        let uid = &self.loaded.actions.get(name).filter(|_| namespace == "Gate")?.uid;
        let token = |full| Some(sample_token(PrincipalKind::User, full));
        let certificate = |full| Some(sample_certificate(full));
        let samples = [
            (token(true), certificate(true)),
            (token(false), certificate(false)),
            (token(true), None),
            (None, certificate(false)),
            (None, None),
        ];
        let accepts = |(token, certificate): &(Option<TokenIdentity>, Option<CertificateIdentity>)| {
            let input = sample(token.as_ref(), certificate.as_ref());
            let build = |input: &Input<'_>| context::build(input, Needs::EVERYTHING);
            let accepted = |input: &Input<'_>| build(input).is_ok_and(|context| context.validate(&self.loaded.schema, uid).is_ok());
            accepted(&input) && accepted(&Input { signing: Some(context::SAMPLE_SIGNING), ..input.clone() })
        };
        (!samples.iter().all(accepts)).then(|| name.to_owned())
    }

    /// The entities the gate makes of a credential conform.
    fn entities(&mut self) {
        let names = &self.loaded.names;
        let mut samples = vec![
            ("Path", Entity::new_no_attrs(names::uid(&names.path, "/sample"), [names::uid(&names.path, "/")].into())),
            ("Anonymous", Entity::with_uid(names.principal(&Identity::Anonymous))),
            ("Group", Entity::with_uid(names::uid(&names.group, "sample"))),
            ("Role", Entity::with_uid(names::uid(&names.role, "sample"))),
        ];
        for full in [true, false] {
            for (name, identity) in [
                ("User", Identity::from(sample_token(PrincipalKind::User, full))),
                ("Workload", Identity::from(sample_token(PrincipalKind::Workload, full))),
                ("Workload", Identity::from(sample_certificate(full))),
                ("SignedUrl", Identity::SignedUrl { link: Box::new(context::sample_link()), certificate: None }),
            ] {
                // A link is in no group: it is nobody's but its own.
                let parents = if identity.link().is_some() {
                    vec![]
                } else {
                    vec![names::uid(&names.group, "sample"), names::uid(&names.role, "sample")]
                };
                match context::principal(&identity, Needs::EVERYTHING) {
                    Ok(attrs) => samples.push((name, Made { uid: names.principal(&identity), attrs, parents }.into())),
                    Err(error) => self.report.add(Problem::new(FILE, "schema.principal", error)),
                }
            }
        }
        let mut told = BTreeSet::new();
        for (name, sample) in samples {
            if let Err(error) = conforms(sample, &self.loaded.schema)
                && told.insert(name)
            {
                let help =
                    "what the gate fills in is declared as in the schema that comes with it; attributes of your own are optional (`?`)";
                self.problem(&format!("entity {name}"), "schema.entity", format!("the gate cannot make a `Gate::{name}`: {error}"), help);
            }
        }
    }
}

/// A type of a schema in JSON as it is written in a schema; what the gate never asks for comes out as `…`.
fn type_notation(json: &Value) -> String {
    match (json.get("type").and_then(Value::as_str), json.get("name").and_then(Value::as_str), json.get("element")) {
        (Some("Set"), _, Some(element)) => format!("Set<{}>", type_notation(element)),
        (Some("EntityOrCommon" | "Extension" | "Entity"), Some(name), _) => name.to_owned(),
        (Some(name), _, _) if name != "Record" => name.to_owned(),
        _ => "…".to_owned(),
    }
}

/// A request with everything, or with only what every request has.
fn sample<'a>(token: Option<&'a TokenIdentity>, certificate: Option<&'a CertificateIdentity>) -> Input<'a> {
    static QUERY: std::sync::LazyLock<Vec<(String, String)>> = std::sync::LazyLock::new(|| vec![("name".to_owned(), "value".to_owned())]);
    let full = token.is_some_and(|token| token.acr.is_some());
    Input {
        method: "GET",
        host: "sample.invalid",
        path: "/sample",
        query: if full { &QUERY } else { &[] },
        headers: if full { vec![("name", "value")] } else { vec![] },
        client: full.then_some(std::net::IpAddr::V4(std::net::Ipv4Addr::LOCALHOST)),
        https: full,
        now: SAMPLE_TIME,
        token,
        certificate,
        signing: None,
    }
}
