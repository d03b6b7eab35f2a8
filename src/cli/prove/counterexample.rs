//! A request for which something does not hold, as one that can be sent.
//!
//! A solver names things as it pleases, `Gate::Path::""` for a path. Cedar looks into no name, so everything that policies do not name is given
//! a name that can be, and the resource the paths it has; then Cedar is asked again, and what comes out must be the same. Where it is not, the
//! solver's own request is shown, in Cedar's terms.

use std::collections::{BTreeMap, BTreeSet};

use cedar_policy::{Authorizer, Context, Entities, EntityUid, PolicySet, Request, RequestEnv};
use serde_json::{Map, Value, json};

use crate::policy::{PolicyStore, Reads, shown};

/// A counterexample.
#[derive(Debug)]
pub(in crate::cli) struct Counterexample {
    /// The kind of request.
    pub(in crate::cli) kind: String,
    /// Method and path, where there are.
    pub(in crate::cli) http: Option<String>,
    /// What else matters, a line each.
    pub(in crate::cli) facts: Vec<String>,
    /// The policies that determine the answer, and those that fail.
    pub(in crate::cli) policies: Vec<String>,
    /// The request and its entities in Cedar's JSON.
    pub(in crate::cli) cedar: Value,
}

impl Counterexample {
    pub(in crate::cli) fn json(&self) -> Value {
        let Self { kind, http, facts, policies, cedar } = self;
        json!({ "kind": kind, "http": http, "facts": facts, "policies": policies, "cedar": cedar })
    }
}

/// How one is shown.
pub(in crate::cli) struct Shower<'s> {
    pub(in crate::cli) store: &'s PolicyStore,
    pub(in crate::cli) kind: &'s RequestEnv,
    /// The policies of the question.
    pub(in crate::cli) set: &'s PolicySet,
    /// Whether it is one.
    pub(in crate::cli) fails: &'s dyn Fn(&Request, &Entities) -> bool,
}

/// A request as Cedar's JSON has it.
#[derive(Debug, Clone)]
struct Parts {
    principal: EntityUid,
    resource: EntityUid,
    context: Value,
    entities: Vec<Value>,
}

impl Shower<'_> {
    /// Shows a request that the solver named.
    pub(in crate::cli) fn show(&self, request: &Request, entities: &Entities) -> Counterexample {
        let own = Parts::of(request, entities);
        let named = own.as_ref().and_then(|parts| self.named(parts));
        let (parts, http) = match (named, own) {
            (Some((parts, http)), _) => (Some(parts), Some(http)),
            (None, own) => (own, None),
        };
        let Some(parts) = parts else {
            let cedar = json!({ "request": request.to_string() });
            return Counterexample { kind: shown(self.kind), http: None, facts: vec![request.to_string()], policies: vec![], cedar };
        };
        let policies = self.policies(&parts).unwrap_or_default();
        let facts = self.facts(&parts, http.is_some());
        let Parts { principal, resource, context, entities } = parts;
        let cedar = json!({
            "principal": principal.to_string(), "action": self.kind.action().to_string(), "resource": resource.to_string(),
            "context": context, "entities": entities,
        });
        Counterexample { kind: shown(self.kind), http, facts, policies, cedar }
    }

    /// The same request with names that can be, and how it is sent.
    fn named(&self, own: &Parts) -> Option<(Parts, String)> {
        let literals = PolicyStore::named_in(self.set);
        let mut parts = own.clone();
        let inside = own.paths_of(&own.resource);
        // The deepest path that policies name and that it is in.
        let above = inside.iter().filter(|uid| literals.contains(*uid)).max_by_key(|uid| uid.id().unescaped().len());
        let above: Vec<String> = above.map(segments).unwrap_or_default();
        let typed = own.resource.type_name().basename() != "Path";
        let literal = literals.contains(&own.resource);
        let id = if literal { own.resource.id().unescaped().to_owned() } else { "x1".to_owned() };
        let path = match (typed, literal) {
            (false, true) => segments(&own.resource),
            _ => above.into_iter().chain([id.clone()]).collect(),
        };
        let (method, path) = self.store.path_of(self.kind, &id, &path)?;
        let resource = if typed { id } else { format!("/{}", path.join("/")) };

        let mut names = BTreeMap::from([(own.resource.clone(), resource)]);
        let mut numbers: BTreeMap<String, usize> = BTreeMap::new();
        for uid in own.uids() {
            let of = uid.type_name().basename().to_owned();
            if literals.contains(&uid) || names.contains_key(&uid) || matches!(of.as_str(), "Action" | "Path" | "Anonymous") {
                continue;
            }
            let number = numbers.entry(of.clone()).and_modify(|number| *number = number.saturating_add(1)).or_insert(1);
            let name = format!("{}-{number}", of.to_ascii_lowercase());
            names.insert(uid, name);
        }
        parts.rename(&names)?;
        parts.tree(&path);
        if let Value::Object(context) = &mut parts.context {
            context.insert("path".to_owned(), format!("/{}", path.join("/")).into());
            if let Some(method) = method {
                context.insert("method".to_owned(), method.as_str().into());
            }
            self.plain(context);
        }
        let (request, entities) = self.request(&parts)?;
        (self.fails)(&request, &entities).then(|| {
            let method = method.map_or_else(|| self.kind.action().id().unescaped().to_owned(), |method| method.as_str().to_owned());
            let sign = if self.kind.action().id().unescaped() == "sign" { "sign " } else { "" };
            let method = if method == "sign" { "GET".to_owned() } else { method };
            (parts, format!("{sign}{method} /{}", path.join("/")))
        })
    }

    /// Puts something plain where policies do not look.
    fn plain(&self, context: &mut Map<String, Value>) {
        let reads = PolicyStore::reads_of(self.set);
        let time = json!({ "__extn": { "fn": "datetime", "arg": "2025-01-01T10:00:00Z" } });
        for (name, value) in
            [("host", json!("api.example.com")), ("https", json!(true)), ("query", json!([])), ("headers", json!([])), ("time", time)]
        {
            if !reads.attribute(name) {
                context.insert(name.to_owned(), value);
            }
        }
        if !reads.attribute("client_ip") {
            context.remove("client_ip");
        }
    }

    fn request(&self, parts: &Parts) -> Option<(Request, Entities)> {
        let context = Context::from_json_value(parts.context.clone(), Some((self.store.schema(), self.kind.action()))).ok()?;
        let (principal, action, resource) = (parts.principal.clone(), self.kind.action().clone(), parts.resource.clone());
        let request = Request::new(principal, action, resource, context, Some(self.store.schema())).ok()?;
        let entities = Entities::from_json_value(Value::Array(parts.entities.clone()), Some(self.store.schema())).ok()?;
        Some((request, entities))
    }

    /// What determines the answer to it.
    fn policies(&self, parts: &Parts) -> Option<Vec<String>> {
        let (request, entities) = self.request(parts)?;
        let response = Authorizer::new().is_authorized(&request, self.set, &entities);
        let mut ids: Vec<String> = response.diagnostics().reason().map(ToString::to_string).collect();
        ids.extend(response.diagnostics().errors().map(|error| error.to_string()));
        ids.sort();
        Some(ids)
    }

    /// Who asks, and everything else that policies look at.
    fn facts(&self, parts: &Parts, sent: bool) -> Vec<String> {
        // What is asked about is known to whoever asks, and what is promised to nobody of interest.
        let own = self.set.policies().filter(|policy| policy.id().to_string() != "what is proved").cloned();
        let reads = PolicySet::from_policies(own).map_or_else(|_| PolicyStore::reads_of(self.set), |own| PolicyStore::reads_of(&own));
        let mut facts = vec![];
        let groups: Vec<String> = parts.groups(&parts.principal);
        let within = if groups.is_empty() { String::new() } else { format!(", in {}", groups.join(" and ")) };
        facts.push(format!("by {}{within}", parts.principal));
        if !sent {
            facts.push(format!("for {} on {}", self.kind.action(), parts.resource));
        }
        for entity in &parts.entities {
            let Some(uid) = uid_of(entity.get("uid").unwrap_or(&Value::Null)) else { continue };
            let shown = if uid == parts.principal { "principal".to_owned() } else { uid.to_string() };
            for (name, value) in entity.get("attrs").and_then(Value::as_object).into_iter().flatten() {
                if reads.attribute(name) {
                    facts.push(format!("{shown}.{name} is {}", cedar(value)));
                }
            }
        }
        context(&parts.context, "context", &reads, sent, &mut facts);
        facts
    }
}

/// The attributes of the context that policies look at.
fn context(value: &Value, place: &str, reads: &Reads, sent: bool, facts: &mut Vec<String>) {
    for (name, value) in value.as_object().into_iter().flatten() {
        // Those two are in the first line.
        if !reads.attribute(name) || sent && matches!(name.as_str(), "method" | "path") {
            continue;
        }
        match value {
            Value::Object(members) if !members.keys().any(|key| key.starts_with("__")) => {
                context(value, &format!("{place}.{name}"), reads, false, facts);
            }
            value => facts.push(format!("{place}.{name} is {}", cedar(value))),
        }
    }
}

impl Parts {
    fn of(request: &Request, entities: &Entities) -> Option<Self> {
        let entities = entities.to_json_value().ok()?;
        let mut entities: Vec<Value> = entities.as_array()?.clone();
        entities
            .retain(|entity| uid_of(entity.get("uid").unwrap_or(&Value::Null)).is_some_and(|uid| uid.type_name().basename() != "Action"));
        entities.sort_by_key(|entity| entity.get("uid").map(Value::to_string));
        Some(Self {
            principal: request.principal()?.clone(),
            resource: request.resource()?.clone(),
            context: request.context()?.to_json_value().ok()?,
            entities,
        })
    }

    /// Every entity that is named anywhere.
    fn uids(&self) -> BTreeSet<EntityUid> {
        let mut found = BTreeSet::from([self.principal.clone(), self.resource.clone()]);
        self.entities.iter().chain([&self.context]).for_each(|value| gather(value, &mut found));
        found
    }

    fn entity(&self, uid: &EntityUid) -> Option<&Value> {
        self.entities.iter().find(|entity| uid_of(entity.get("uid").unwrap_or(&Value::Null)).as_ref() == Some(uid))
    }

    fn parents(&self, uid: &EntityUid) -> Vec<EntityUid> {
        let parents = self.entity(uid).and_then(|entity| entity.get("parents")).and_then(Value::as_array);
        parents.into_iter().flatten().filter_map(uid_of).collect()
    }

    /// Everything that it is in.
    fn above(&self, uid: &EntityUid) -> BTreeSet<EntityUid> {
        let (mut found, mut waiting) = (BTreeSet::new(), self.parents(uid));
        while let Some(next) = waiting.pop() {
            if found.insert(next.clone()) {
                waiting.extend(self.parents(&next));
            }
        }
        found
    }

    /// The paths that it is, and that it is in.
    fn paths_of(&self, uid: &EntityUid) -> BTreeSet<EntityUid> {
        let mut paths = self.above(uid);
        paths.insert(uid.clone());
        paths.retain(|uid| uid.type_name().basename() == "Path");
        paths
    }

    fn groups(&self, uid: &EntityUid) -> Vec<String> {
        self.above(uid).iter().filter(|uid| uid.type_name().basename() != "Path").map(ToString::to_string).collect()
    }

    /// Gives entities other names.
    fn rename(&mut self, names: &BTreeMap<EntityUid, String>) -> Option<()> {
        let renamed = |uid: &EntityUid| match names.get(uid) {
            Some(name) => EntityUid::from_json(json!({ "type": uid.type_name().to_string(), "id": name })).ok(),
            None => Some(uid.clone()),
        };
        (self.principal, self.resource) = (renamed(&self.principal)?, renamed(&self.resource)?);
        self.entities.iter_mut().chain([&mut self.context]).for_each(|value| give(value, names));
        Some(())
    }

    /// Puts the resource into its path and every path above it, and into no other.
    fn tree(&mut self, path: &[String]) {
        let is_path = |value: &Value| uid_of(value).is_some_and(|uid| uid.type_name().basename() == "Path");
        self.entities.retain(|entity| !is_path(entity.get("uid").unwrap_or(&Value::Null)));
        for entity in &mut self.entities {
            if let Some(parents) = entity.get_mut("parents").and_then(Value::as_array_mut) {
                parents.retain(|parent| !is_path(parent));
            }
        }
        let uid = |length: usize| json!({ "type": "Gate::Path", "id": format!("/{}", path.get(..length).unwrap_or_default().join("/")) });
        for length in 0..=path.len() {
            let parents: Vec<Value> = length.checked_sub(1).map(uid).into_iter().collect();
            self.entities.push(json!({ "uid": uid(length), "attrs": {}, "parents": parents }));
        }
        if self.resource.type_name().basename() != "Path" {
            let whole = uid(path.len());
            let own = self.resource.clone();
            match self.entities.iter_mut().find(|entity| uid_of(entity.get("uid").unwrap_or(&Value::Null)).as_ref() == Some(&own)) {
                Some(entity) => {
                    if let Some(parents) = entity.get_mut("parents").and_then(Value::as_array_mut) {
                        parents.push(whole);
                    }
                }
                None => {
                    let uid = json!({ "type": own.type_name().to_string(), "id": own.id().unescaped() });
                    self.entities.push(json!({ "uid": uid, "attrs": {}, "parents": [whole] }));
                }
            }
        }
    }
}

/// The uid that a value is, in either of Cedar's forms.
fn uid_of(value: &Value) -> Option<EntityUid> {
    let members = value.as_object()?;
    if let Some(inner) = members.get("__entity").filter(|_| members.len() == 1) {
        return uid_of(inner);
    }
    let named = members.len() == 2 && members.get("type").is_some_and(Value::is_string) && members.get("id").is_some_and(Value::is_string);
    if named { EntityUid::from_json(value.clone()).ok() } else { None }
}

fn gather(value: &Value, found: &mut BTreeSet<EntityUid>) {
    match (uid_of(value), value) {
        (Some(uid), _) => {
            found.insert(uid);
        }
        (None, Value::Object(members)) => members.values().for_each(|value| gather(value, found)),
        (None, Value::Array(items)) => items.iter().for_each(|item| gather(item, found)),
        (None, _) => {}
    }
}

fn give(value: &mut Value, names: &BTreeMap<EntityUid, String>) {
    if let Some(uid) = uid_of(value) {
        if let Some(name) = names.get(&uid) {
            let inner = if value.get("__entity").is_some() { value.get_mut("__entity") } else { Some(value) };
            if let Some(Value::Object(members)) = inner {
                members.insert("id".to_owned(), name.clone().into());
            }
        }
        return;
    }
    match value {
        Value::Object(members) => members.values_mut().for_each(|value| give(value, names)),
        Value::Array(items) => items.iter_mut().for_each(|item| give(item, names)),
        _ => {}
    }
}

fn segments(uid: &EntityUid) -> Vec<String> {
    uid.id().unescaped().split('/').filter(|segment| !segment.is_empty()).map(str::to_owned).collect()
}

/// A value as it is written in a policy.
fn cedar(value: &Value) -> String {
    if let Some(uid) = uid_of(value) {
        return uid.to_string();
    }
    match value {
        Value::Array(items) => format!("[{}]", items.iter().map(cedar).collect::<Vec<_>>().join(", ")),
        Value::Object(members) => match members.get("__extn") {
            Some(call) => {
                let name = call.get("fn").and_then(Value::as_str).unwrap_or_default();
                format!("{name}({})", call.get("arg").map(cedar).unwrap_or_default())
            }
            None => {
                let members = members.iter().map(|(name, value)| format!("{name}: {}", cedar(value)));
                format!("{{{}}}", members.collect::<Vec<_>>().join(", "))
            }
        },
        other => other.to_string(),
    }
}
