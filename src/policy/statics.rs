//! `entities.json`: what the team knows about callers, groups and resources before any request.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;
use std::str::FromStr;
use std::sync::Arc;

use cedar_policy::{Entities, Entity, EntityUid, EvalResult, RestrictedExpression, Schema};
use cedar_policy_core::ast;
use serde_json::{Value, json};

use super::diagnose;
use super::entities;
use super::json::{self, Unique};
use super::names::{self, Names};
use crate::bundle::{Bundle, Problem, Report, nearest};
use crate::limits;

/// Path in a bundle.
pub(super) const FILE: &str = "policies/entities.json";
/// Attributes that come from the credential; `entities.json` may not give them to a principal.
const FROM_CREDENTIAL: [&str; 5] = ["issuer", "subject", "scopes", "email", "client_id"];

/// One entity of the file.
#[derive(Debug)]
pub(super) struct Static {
    pub(super) parents: Vec<EntityUid>,
    /// Every entity it names: parents, attributes, tags.
    pub(super) refs: Vec<EntityUid>,
    /// The entity as it is when a request tells nothing about it. Requests share it.
    pub(super) entity: Arc<ast::Entity>,
}

/// All entities of the file.
#[derive(Debug, Default)]
pub(super) struct Statics(BTreeMap<EntityUid, Static>);

impl Statics {
    pub(super) fn get(&self, uid: &EntityUid) -> Option<&Static> {
        self.0.get(uid)
    }

    /// Reads the file; a bundle without it has no static entities.
    pub(super) fn load(bundle: &Bundle, schema: &Schema, names: &Names, report: &mut Report) -> Self {
        let Some(text) = diagnose::text(bundle, FILE, report) else { return Self::default() };
        let mut reader = Reader { text, schema, names, report, found: BTreeMap::new(), plain: vec![] };
        reader.read();
        let Reader { found, plain, .. } = reader;
        if let Err(error) = Entities::from_entities(plain, None) {
            // Everything else was checked one by one: only a cycle is left.
            diagnose::cedar(FILE, "entities.cycle", &error, report);
        }
        Self(found.into_iter().map(|(uid, (_, entity))| (uid, entity)).collect())
    }
}

struct Reader<'a> {
    text: &'a str,
    schema: &'a Schema,
    names: &'a Names,
    report: &'a mut Report,
    found: BTreeMap<EntityUid, (Range<usize>, Static)>,
    plain: Vec<Entity>,
}

impl Reader<'_> {
    fn problem(&mut self, span: &Range<usize>, code: &'static str, message: impl Into<String>, help: &str) {
        let problem = Problem::new(FILE, code, message).at(Some(span.clone()));
        self.report.add(if help.is_empty() { problem } else { problem.help(help) });
    }

    fn read(&mut self) {
        match json::elements(self.text) {
            Ok(spans) => spans.into_iter().for_each(|span| self.element(span)),
            Err((span, message)) => {
                self.problem(&span, "entities.json", message, "the file is a JSON array of entities: {\"uid\", \"attrs\", \"parents\"}");
            }
        }
    }

    fn element(&mut self, span: Range<usize>) {
        let value = match serde_json::from_str::<Unique>(self.text.get(span.clone()).unwrap_or_default()) {
            Ok(Unique(value)) => value,
            Err(error) => return self.problem(&span, "entities.json", json::message(&error), ""),
        };
        let Some(uid) = value.get("uid").and_then(|uid| EntityUid::from_json(uid.clone()).ok()) else {
            let help = "write it as {\"type\": \"Gate::Group\", \"id\": \"writers\"}";
            return self.problem(&span, "entities.uid", "an entity without a well-formed `uid`", help);
        };
        if let Some((first, _)) = self.found.get(&uid) {
            let line = json::line_of(self.text, first.start);
            return self.problem(
                &span,
                "entities.duplicate",
                format!("`{uid}` is already described in line {line}"),
                "make one entity of the two",
            );
        }
        if uid.type_name().basename() == "Action" {
            return self.problem(
                &span,
                "entities.action",
                format!("`{uid}` is an action"),
                "actions and their groups are declared in the schema",
            );
        }
        let Some(value) = self.complete(&uid, value, &span) else { return };
        let entity = match Entity::from_json_value(value, Some(self.schema)) {
            Ok(entity) => entity,
            Err(error) => return self.cedar(&span, &error),
        };
        // Reading checks most of it; this checks all of it.
        if let Err(error) = Entities::empty().add_entities([entity.clone()], Some(self.schema)) {
            return self.cedar(&span, &error);
        }
        match take_apart(&entity, self.is_principal(&uid)) {
            Ok(taken) => self.keep(uid, span, taken),
            Err(message) => self.problem(&span, "entities.invalid", message, ""),
        }
    }

    fn keep(&mut self, uid: EntityUid, span: Range<usize>, taken: Static) {
        if taken.parents.iter().any(|parent| *parent.type_name() == self.names.path) {
            // SECURITY: rules about a subtree of paths mean where a request goes, and nothing else.
            let help = "the gate makes the tree of paths itself; put the entity into a Gate::Group or a type of your own";
            return self.problem(&span, "entities.path_parent", format!("`{uid}` is put into a `Gate::Path`"), help);
        }
        if taken.refs.len() > limits::REACHED_ENTITIES {
            return self.problem(
                &span,
                "entities.too_many",
                format!("`{uid}` names more than {} other entities", limits::REACHED_ENTITIES),
                "use a group",
            );
        }
        self.plain.push(ast::Entity::clone(&taken.entity).into());
        self.found.insert(uid, (span, taken));
    }

    fn cedar(&mut self, span: &Range<usize>, error: &(impl std::error::Error + 'static)) {
        let mut message = error.to_string();
        let mut source = error.source();
        while let Some(inner) = source {
            message = format!("{message}: {inner}");
            source = inner.source();
        }
        self.problem(span, "entities.invalid", message, "");
    }

    fn is_principal(&self, uid: &EntityUid) -> bool {
        [&self.names.user, &self.names.workload].contains(&uid.type_name())
    }

    /// The schema requires of a principal what only a credential can tell. Here it is filled in, so that Cedar can check the
    /// rest; [`take_apart`] leaves it out again.
    fn complete(&mut self, uid: &EntityUid, mut value: Value, span: &Range<usize>) -> Option<Value> {
        let entity = value.as_object_mut()?;
        for key in entity.keys().filter(|key| !["uid", "attrs", "parents", "tags"].contains(&key.as_str())).cloned().collect::<Vec<_>>() {
            let near = nearest(&key, ["uid", "attrs", "parents", "tags"]);
            let help = near.map_or(String::new(), |near| format!("did you mean `{near}`?"));
            self.problem(span, "entities.unknown_key", format!("unknown key `{key}` in `{uid}`"), &help);
        }
        entity.entry("attrs").or_insert_with(|| json!({}));
        entity.entry("parents").or_insert_with(|| json!([]));
        if !self.is_principal(uid) {
            return Some(value);
        }
        let attrs = entity.get_mut("attrs").and_then(Value::as_object_mut)?;
        let overlap: Vec<_> = FROM_CREDENTIAL.into_iter().filter(|name| attrs.contains_key(*name)).collect();
        if !overlap.is_empty() {
            // SECURITY: were it merged, a file could pass for a verified claim, or the other way round.
            let message = format!("`{}` of `{uid}` may only come from a verified credential", overlap.join("`, `"));
            self.problem(span, "entities.overlap", message, "give the attribute another name here");
            return None;
        }
        for (name, value) in [("issuer", json!("")), ("subject", json!("")), ("scopes", json!([]))] {
            attrs.insert(name.to_owned(), value);
        }
        Some(value)
    }
}

fn take_apart(entity: &Entity, principal: bool) -> Result<Static, String> {
    let (_, _, parents) = entity.clone().into_inner();
    let mut refs: BTreeSet<EntityUid> = parents.iter().cloned().collect();
    let mut values = |name: &str, value: Option<EvalResult>| {
        let value = value.ok_or_else(|| format!("`{name}` has no value"))?;
        Ok::<_, String>((name.to_owned(), expression(&value, &mut refs)?))
    };
    let attrs = entity
        .attrs()
        .filter(|(name, _)| !(principal && FROM_CREDENTIAL.contains(name)))
        .map(|(name, value)| values(name, value.ok()))
        .collect::<Result<Vec<_>, _>>()?;
    let tags = entity.tags().map(|(name, value)| values(name, value.ok())).collect::<Result<Vec<_>, _>>()?;
    let parents: BTreeSet<EntityUid> = parents.into_iter().collect();
    let plain = Entity::new_with_tags(entity.uid(), attrs, parents.iter().cloned(), tags).map_err(|error| error.to_string())?;
    Ok(Static { parents: parents.into_iter().collect(), refs: refs.into_iter().collect(), entity: entities::shared(&plain) })
}

/// A value as an expression, noting every entity in it. Its depth is bounded by [`json::elements`].
fn expression(value: &EvalResult, refs: &mut BTreeSet<EntityUid>) -> Result<RestrictedExpression, String> {
    Ok(match value {
        EvalResult::Bool(value) => RestrictedExpression::new_bool(*value),
        EvalResult::Long(value) => RestrictedExpression::new_long(*value),
        EvalResult::String(value) => RestrictedExpression::new_string(value.clone()),
        EvalResult::EntityUid(uid) => {
            refs.insert(uid.clone());
            RestrictedExpression::new_entity_uid(uid.clone())
        }
        EvalResult::Set(set) => {
            RestrictedExpression::new_set(set.iter().map(|item| expression(item, refs)).collect::<Result<Vec<_>, _>>()?)
        }
        EvalResult::Record(record) => {
            let fields = record.iter().map(|(name, item)| Ok::<_, String>((name.clone(), expression(item, refs)?)));
            RestrictedExpression::new_record(fields.collect::<Result<Vec<_>, _>>()?).map_err(|error| error.to_string())?
        }
        EvalResult::ExtensionValue(text) => RestrictedExpression::from_str(text).map_err(|error| error.to_string())?,
    })
}

/// Whether `name` is one of the gate's own entity types.
pub(super) fn reserved(name: &str) -> bool {
    names::TYPES.contains(&name)
}
