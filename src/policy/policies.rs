//! The `*.cedar` files: read each by itself, named by `@id`, validated strictly and together.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;
use std::str::FromStr;

use cedar_policy::{EntityUid, Policy, PolicyId, PolicySet, Schema, ValidationMode, ValidationWarning, Validator};

use super::diagnose::{self, Once, find};
use super::routes::unreachable_segment;
use super::step_up::{self, StepUp};
use super::{PolicyRef, json, shadow};
use crate::bundle::{Bundle, Problem, Report, nearest};
use crate::limits;

/// The annotations that mean something to the gate.
const ANNOTATIONS: [&str; 6] = ["id", "reason", "owner", "control", step_up::ACR, step_up::MAX_AGE];

/// All policies of a bundle.
#[derive(Debug)]
pub(super) struct Policies {
    pub(super) set: PolicySet,
    pub(super) refs: BTreeMap<String, PolicyRef>,
    /// What lifts those `forbid` policies that say it.
    pub(super) step_ups: BTreeMap<String, StepUp>,
    /// Every entity that a policy names.
    pub(super) literals: BTreeSet<EntityUid>,
    /// Where each policy stands, by the id it has in the set.
    pub(super) places: BTreeMap<String, Place>,
}

/// Where a policy stands.
#[derive(Debug)]
pub(super) struct Place {
    pub(super) file: String,
    pub(super) span: Range<usize>,
    line: usize,
}

/// Reads every policy file. Without a schema nothing can be validated, but everything else is told.
pub(super) fn load(bundle: &Bundle, schema: Option<&Schema>, report: &mut Report) -> Policies {
    let mut policies = Policies {
        set: PolicySet::new(),
        refs: BTreeMap::new(),
        step_ups: BTreeMap::new(),
        literals: BTreeSet::new(),
        places: BTreeMap::new(),
    };
    let mut reader = Reader { policies: &mut policies, report };
    let mut readable = true;
    let theirs = |file: &str| file.starts_with("policies/") && file.ends_with(".cedar") && !shadow::is_shadow(file);
    for (file, _) in bundle.iter().filter(|(file, _)| theirs(file)) {
        readable &= reader.file(bundle, file).is_some();
    }
    if readable && reader.policies.places.is_empty() {
        let help = "a gate without a policy denies everything; if that is what you want, say so with a `forbid`";
        reader.report.add(Problem::new("policies", "policy.none", "there is no policy").help(help));
    }
    if let Some(schema) = schema {
        reader.validate(schema);
    }
    policies
}

struct Reader<'a> {
    policies: &'a mut Policies,
    report: &'a mut Report,
}

impl Reader<'_> {
    fn file(&mut self, bundle: &Bundle, file: &str) -> Option<()> {
        let text = diagnose::text(bundle, file, self.report)?;
        let set = match PolicySet::from_str(text) {
            Ok(set) => set,
            Err(error) => {
                diagnose::cedar(file, "policy.syntax", &error, self.report);
                return None;
            }
        };
        for template in set.templates() {
            let span = template.as_ref().loc().map(|loc| loc.start()..loc.end());
            let help = "write the principal or resource out, or use a group";
            self.report.add(Problem::new(file, "policy.template", "templates cannot be linked yet").at(span).help(help));
        }
        let mut policies: Vec<(Range<usize>, &Policy)> =
            set.policies().map(|policy| (policy.as_ref().loc().map_or(0..0, |loc| loc.start()..loc.end()), policy)).collect();
        policies.sort_by_key(|(span, _)| span.start);
        for (span, policy) in policies {
            self.policy(file, text, span, policy);
        }
        Some(())
    }

    fn policy(&mut self, file: &str, text: &str, span: Range<usize>, policy: &Policy) {
        let line = json::line_of(text, span.start);
        let id = match self.id(policy) {
            Ok(id) => id,
            Err((message, help)) => {
                self.report.add(Problem::new(file, "policy.id", message).at(Some(span.clone())).help(help));
                // A name no `@id` can have, so that validation can go on.
                format!("{file}:{line}:{}", span.start)
            }
        };
        self.annotations(file, text, &span, policy);
        self.paths(file, text, &span, policy);
        match step_up::read(policy) {
            Ok(None) => {}
            Ok(Some(step_up)) => {
                self.policies.step_ups.insert(id.clone(), step_up);
            }
            Err(wrong) => {
                for (name, message, help) in wrong {
                    let at = within(text, &span, &format!("@{name}"));
                    self.report.add(Problem::new(file, "policy.step_up", message).at(Some(at)).help(help));
                }
            }
        }
        if let Err(error) = self.policies.set.add(policy.new_id(PolicyId::new(&id))) {
            diagnose::cedar(file, "policy.id", &error, self.report);
        }
        self.policies.literals.extend(policy.entity_literals());
        let text = |name: &str| policy.annotation(name).filter(|value| !value.is_empty()).map(str::to_owned);
        let refer = PolicyRef { id: id.clone(), reason: text("reason"), owner: text("owner"), control: text("control") };
        self.policies.refs.insert(id.clone(), refer);
        self.policies.places.insert(id, Place { file: file.to_owned(), span, line });
    }

    fn id(&self, policy: &Policy) -> Result<String, (String, String)> {
        let Some(id) = policy.annotation("id").filter(|id| !id.is_empty()) else {
            let help = "write `@id(\"topic.rule\")` before it: records name policies by their id".to_owned();
            return Err(("a policy without `@id`".to_owned(), help));
        };
        if id.len() > limits::POLICY_ID_BYTES || !id.bytes().all(|b| b.is_ascii_alphanumeric() || b"._-".contains(&b)) {
            let help = format!("use letters, digits, `.`, `_` and `-`, at most {} of them", limits::POLICY_ID_BYTES);
            return Err((format!("`{}` cannot be an `@id`", id.escape_debug()), help));
        }
        match self.policies.places.get(id) {
            Some(Place { file, line, .. }) => Err((
                format!("`{id}` is already the `@id` of a policy in {file}, line {line}"),
                "give each policy an id of its own".to_owned(),
            )),
            None => Ok(id.to_owned()),
        }
    }

    /// Annotations of any name are the team's own; one that is nearly one of ours is a slip.
    fn annotations(&mut self, file: &str, text: &str, span: &Range<usize>, policy: &Policy) {
        let mut slips: Vec<(&str, &str)> = policy
            .annotations()
            .filter(|(name, _)| !ANNOTATIONS.contains(name))
            .filter_map(|(name, _)| nearest(name, ANNOTATIONS).map(|near| (name, near)))
            .collect();
        slips.sort_unstable();
        for (name, near) in slips {
            let at = within(text, span, &format!("@{name}"));
            self.report.add(
                Problem::new(file, "policy.annotation", format!("unknown annotation `@{name}`"))
                    .at(Some(at))
                    .help(format!("did you mean `@{near}`?")),
            );
        }
    }

    /// SECURITY: a policy about a path that no request can have never applies; a `forbid` like that forbids nothing.
    fn paths(&mut self, file: &str, text: &str, span: &Range<usize>, policy: &Policy) {
        let literals: BTreeSet<EntityUid> = policy.entity_literals().into_iter().collect();
        for uid in literals.iter().filter(|uid| uid.type_name().to_string() == "Gate::Path") {
            let id = uid.id().unescaped();
            let why = match id.strip_prefix('/') {
                None => Some("a path starts with `/`"),
                Some("") => None,
                Some(rest) => rest.split('/').find_map(unreachable_segment),
            };
            let why = why.or_else(|| {
                id.contains(['*', '{', '}']).then_some("there are no wildcards or parameters here; `in` covers everything below a path")
            });
            if let Some(why) = why {
                let at = within(text, span, &format!("{:?}", id));
                let help = "write the path decoded and without `/` at the end; `resource in` covers what is below it";
                self.report.add(
                    Problem::new(file, "policy.path", format!("no request has the path `{}`: {why}", id.escape_debug()))
                        .at(Some(at))
                        .help(help),
                );
            }
        }
    }

    fn validate(&mut self, schema: &Schema) {
        let result = Validator::new(schema.clone()).validate(&self.policies.set, ValidationMode::Strict);
        let mut once = Once::default();
        let place = |id: &PolicyId| self.policies.places.get(id.to_string().as_str()).map_or("policies", |place| place.file.as_str());
        for error in result.validation_errors() {
            once.add(place(error.policy_id()), "policy.validation", error);
        }
        // A misspelt name also makes its policy apply to nothing: told once, as what it is.
        let wrong: BTreeSet<&PolicyId> = result.validation_errors().map(|error| error.policy_id()).collect();
        let follows = |warning: &&ValidationWarning| match warning {
            ValidationWarning::ImpossiblePolicy(_) | ValidationWarning::InvalidActionApplication(_) => wrong.contains(warning.policy_id()),
            _ => false,
        };
        for warning in result.validation_warnings().filter(|warning| !follows(warning)) {
            once.add(place(warning.policy_id()), "policy.warning", warning);
        }
        once.report(self.report);
    }
}

/// The place of `needle` in the part of `text` that a policy is, else the whole policy.
fn within(text: &str, span: &Range<usize>, needle: &str) -> Range<usize> {
    let part = text.get(span.clone()).unwrap_or_default();
    find(part, needle).map_or(span.clone(), |at| at.start.saturating_add(span.start)..at.end.saturating_add(span.start))
}
