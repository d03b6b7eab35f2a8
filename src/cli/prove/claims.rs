//! What is to be proved about a set of policies: from `proofs.yaml`, or from the command line.

use std::ops::Range;
use std::str::FromStr;

use cedar_policy::{Expression, Policy, PolicySet, ValidationMode, Validator};

use super::super::test::{Members, Node, Source, Value};
use crate::bundle::nearest;
use crate::policy::PolicyStore;

/// Its name in the folder of policies.
pub(in crate::cli) const NAME: &str = "proofs.yaml";
/// Its path in a bundle, which never has it.
pub(super) const FILE: &str = "policies/proofs.yaml";

/// One thing to prove.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Proof {
    pub(super) name: String,
    pub(super) claim: Claim,
}

/// What is claimed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Claim {
    /// No policy fails, or none of these.
    NeverErrors(Vec<String>),
    /// Every request for which the condition holds is denied, but for what these permits allow.
    AlwaysDenies { condition: String, except: Vec<String> },
    /// Every request for which the condition holds is allowed.
    AlwaysAllows { condition: String },
}

impl Claim {
    /// The key that says it.
    pub(super) const fn kind(&self) -> &'static str {
        match self {
            Self::NeverErrors(_) => "never-errors",
            Self::AlwaysDenies { .. } => "always-denies",
            Self::AlwaysAllows { .. } => "always-allows",
        }
    }

    /// The condition in Cedar, where there is one.
    pub(super) fn condition(&self) -> Option<&str> {
        match self {
            Self::NeverErrors(_) => None,
            Self::AlwaysDenies { condition, .. } | Self::AlwaysAllows { condition } => Some(condition),
        }
    }

    /// What it says, where nobody gave it a name.
    pub(super) fn words(&self) -> String {
        match self {
            Self::NeverErrors(ids) if ids.is_empty() => "no policy fails".to_owned(),
            Self::NeverErrors(ids) => format!("{} never fails", ids.join(", ")),
            Self::AlwaysDenies { condition, .. } => format!("always denied: {condition}"),
            Self::AlwaysAllows { condition } => format!("always allowed: {condition}"),
        }
    }
}

/// Reads the file.
pub(super) fn read(store: &PolicyStore, bytes: &[u8], source: &mut Source<'_>) -> Vec<Proof> {
    let Some(root) = source.parse(bytes) else { return vec![] };
    let Some(mut members) = Members::of(&root, "the file", source) else { return vec![] };
    members.version(source);
    let proofs = members.take("proofs");
    if proofs.is_none() {
        source.problem(&(0..0), "proof.none", "the file has no `proofs`", "write `proofs:`, and below it `- never-errors: all`");
    }
    members.finish(source);
    let nodes = proofs.and_then(|node| source.list(node)).unwrap_or_default();
    let proofs: Vec<(Proof, &Node)> = nodes.iter().filter_map(|node| Some((proof(store, node, source)?, node))).collect();
    for (index, (one, node)) in proofs.iter().enumerate() {
        if proofs.iter().take(index).any(|(other, _)| other.name == one.name) {
            let message = format!("`{}` occurs twice", one.name.escape_debug());
            source.problem(&node.span, "proof.name", message, "give each proof a `name` of its own");
        }
    }
    proofs.into_iter().map(|(proof, _)| proof).collect()
}

fn proof(store: &PolicyStore, node: &Node, source: &mut Source<'_>) -> Option<Proof> {
    let mut members = Members::of(node, "a proof", source)?;
    let name = members.take("name").and_then(|node| source.text(node));
    let (errors, denies, allows) = (members.take("never-errors"), members.take("always-denies"), members.take("always-allows"));
    let except = members.take("except");
    let claim = match (errors, denies, allows) {
        (Some(node), None, None) => never_errors(store, node, source).map(Claim::NeverErrors),
        (None, Some(node), None) => {
            let except = except.map_or(Some(vec![]), |node| known(store, node, true, source));
            condition(store, node, source).zip(except).map(|(condition, except)| Claim::AlwaysDenies { condition, except })
        }
        (None, None, Some(node)) => condition(store, node, source).map(|condition| Claim::AlwaysAllows { condition }),
        (..) => {
            let help = "write one of `never-errors`, `always-denies` and `always-allows`";
            source.problem(&node.span, "proof.claim", "a proof claims one thing", help);
            None
        }
    };
    if let (Some(node), None) = (except, denies) {
        source.problem(&node.span, "proof.claim", "`except` belongs to `always-denies`", "remove it");
    }
    members.finish(source);
    let claim = claim?;
    Some(Proof { name: name.unwrap_or_else(|| claim.words()), claim })
}

fn never_errors(store: &PolicyStore, node: &Node, source: &mut Source<'_>) -> Option<Vec<String>> {
    match &node.value {
        Value::Text(all) if all == "all" => Some(vec![]),
        _ => known(store, node, false, source),
    }
}

/// Ids of policies that there are.
fn known(store: &PolicyStore, node: &Node, permits: bool, source: &mut Source<'_>) -> Option<Vec<String>> {
    let ids = source.set(node)?;
    let mut sound = true;
    for id in &ids {
        if let Err((message, help)) = is_known(store, id, permits) {
            source.problem(&node.span, "proof.policy", message, help);
            sound = false;
        }
    }
    (sound && !ids.is_empty()).then_some(ids)
}

/// Whether a policy is there; with `permits`, and is a permit.
pub(super) fn is_known(store: &PolicyStore, id: &str, permits: bool) -> Result<(), (String, String)> {
    let shown = id.escape_debug();
    match store.policy_set().policies().find(|policy| policy.id().to_string() == id) {
        Some(policy) if permits && policy.effect() == cedar_policy::Effect::Forbid => {
            Err((format!("`{shown}` is a `forbid`"), "`except` leaves permits out".to_owned()))
        }
        Some(_) => Ok(()),
        None => {
            let ids = store.policies().map(|policy| policy.id.as_str());
            let help =
                nearest(id, ids).map_or_else(|| "policies are named by their `@id`".to_owned(), |near| format!("did you mean `{near}`?"));
            Err((format!("no policy is called `{shown}`"), help))
        }
    }
}

fn condition(store: &PolicyStore, node: &Node, source: &mut Source<'_>) -> Option<String> {
    // A condition may go on over several lines.
    let Value::Text(text) = &node.value else { return source.wrong(node, "a condition in Cedar") };
    match check(store, text) {
        Ok(()) => Some(text.trim().to_owned()),
        Err(problems) => {
            for (message, help) in problems {
                source.problem(&span(node), "proof.condition", message, help);
            }
            None
        }
    }
}

fn span(node: &Node) -> Range<usize> {
    node.span.clone()
}

/// Holds a condition against the schema as strictly as a policy.
///
/// # Errors
/// Everything that is wrong with it, with what to do.
pub(super) fn check(store: &PolicyStore, text: &str) -> Result<(), Vec<(String, String)>> {
    let help = || "write what stands between the braces of `when`: `principal is Gate::Anonymous`".to_owned();
    if let Err(error) = Expression::from_str(text) {
        return Err(vec![(format!("no condition in Cedar: {error}"), help())]);
    }
    let invalid = |error: String| vec![(error, help())];
    let policy = when(text).map_err(invalid)?;
    let set = PolicySet::from_policies([policy]).map_err(|error| invalid(error.to_string()))?;
    let result = Validator::new(store.schema().clone()).validate(&set, ValidationMode::Strict);
    let mut problems: Vec<(String, String)> = vec![];
    for error in result.validation_errors() {
        // The name of the policy it is wrapped in says nothing to anybody.
        let message = error.to_string();
        let message = message.split_once("`, ").map_or(message.as_str(), |(_, rest)| rest).to_owned();
        let help = "guard it as in a policy: `principal is Gate::User && …`, `context has token && …`".to_owned();
        if !problems.iter().any(|(known, _)| *known == message) {
            problems.push((message, help));
        }
    }
    if problems.is_empty() { Ok(()) } else { Err(problems) }
}

/// `permit` whatever the condition holds for. The line's end is for conditions that end in a comment.
///
/// # Errors
/// When it cannot be read.
pub(super) fn when(condition: &str) -> Result<Policy, String> {
    Policy::parse(None, format!("permit (principal, action, resource) when {{ {condition}\n }};")).map_err(|error| error.to_string())
}

/// `forbid` whatever the condition does not hold for.
///
/// # Errors
/// When it cannot be read.
pub(super) fn unless(condition: &str) -> Result<Policy, String> {
    let id = cedar_policy::PolicyId::new("what is proved");
    Policy::parse(Some(id), format!("forbid (principal, action, resource) unless {{ {condition}\n }};")).map_err(|error| error.to_string())
}
