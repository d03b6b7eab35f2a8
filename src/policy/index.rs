//! The scope index: which policies can have anything to say about a request.
//!
//! Cedar evaluates every policy of the set it is given, and a gate may have thousands. Policies are put into buckets by what their
//! scopes name, once, when they are loaded; a request is held against the buckets whose scopes can match, and no others.
//!
//! The answer is the same as of the whole set. A scope that does not match is false before any condition is looked at, so its policy
//! neither applies nor fails; of one that matches only the condition is left to be evaluated, which Cedar's evaluator does. And each policy
//! is decided by itself: what buckets come to together is what their policies would have come to in one set
//! (<https://docs.cedarpolicy.com/auth/authorization.html>). Where a condition cannot be evaluated, Cedar's authorizer is asked, scopes
//! and all, and says what is wrong.

use std::collections::{BTreeMap, BTreeSet};

use cedar_policy::{
    ActionConstraint, AuthorizationError, Authorizer, Decision, Entities, EntityTypeName, EntityUid, Policy, PolicySet, PolicySetError,
    PrincipalConstraint, Request, ResourceConstraint, Response,
};
use cedar_policy_core::ast;
use cedar_policy_core::evaluator::Evaluator;
use cedar_policy_core::extensions::Extensions;

use super::context::Needs;
use super::reads::Reads;
use super::schema::Action;
use super::statics::Statics;

/// A key of one side of a scope. All are numbered together.
type Key = u32;
/// The key of a side that anything matches.
const ANY: Key = 0;

/// Policies with the same scope.
#[derive(Debug, Clone)]
pub(super) struct Bucket {
    /// Which actions, by the number of what the scope says of them.
    actions: usize,
    /// What the scope says of the principal and of the resource.
    principal: Side,
    resource: Side,
    pub(super) policies: PolicySet,
    /// Whether they are those that a stronger login lifts.
    pub(super) step_up: bool,
    /// What they look at.
    pub(super) needs: Needs,
    /// Whether they ask what anything else is in than the principal, the action and the resource.
    pub(super) far: bool,
    /// The static entities that they name.
    pub(super) named: Vec<EntityUid>,
}

/// Which policies are put to Cedar, and how much of a request with them. The answer is the same.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Scan {
    /// Those whose scopes can match, and what they look at.
    #[default]
    Index,
    /// All of them, and everything.
    Everything,
}

/// Policies by their scopes.
#[derive(Debug)]
pub(super) struct Index {
    /// The entities that scopes name.
    entities: BTreeMap<EntityUid, Key>,
    /// The types of entity that scopes name.
    types: BTreeMap<EntityTypeName, Key>,
    /// By each action of the schema, which of what scopes say of actions matches it, in order.
    actions: BTreeMap<EntityUid, Vec<usize>>,
    buckets: Vec<Bucket>,
    /// Buckets by the keys of resource and principal.
    by_keys: BTreeMap<Key, BTreeMap<Key, Vec<usize>>>,
}

/// What a request is about, as far as scopes go.
#[derive(Debug, Clone, Copy)]
pub(super) struct Scope<'a> {
    pub(super) principal: &'a EntityUid,
    /// Everything the principal is in.
    pub(super) principal_in: &'a BTreeSet<EntityUid>,
    pub(super) action: &'a EntityUid,
    pub(super) resource: &'a EntityUid,
    /// Everything the resource is in.
    pub(super) resource_in: &'a BTreeSet<EntityUid>,
}

impl Bucket {
    /// A bucket of these policies, whatever their scopes.
    pub(super) fn of(policies: PolicySet, step_up: bool, statics: &Statics) -> Self {
        // What a link fills in is no literal of its template.
        let filled = policies.policies().filter_map(Policy::template_links).flat_map(std::collections::HashMap::into_values);
        let literals: BTreeSet<EntityUid> = policies.policies().flat_map(Policy::entity_literals).chain(filled).collect();
        let named = literals.into_iter().filter(|uid| statics.get(uid).is_some()).collect();
        let reads = Reads::of(policies.policies());
        let (principal, resource) = (Side::Any, Side::Any);
        Self { actions: 0, principal, resource, needs: Needs::of(&reads), far: reads.far(), named, policies, step_up }
    }

    /// The policies whose conditions are met; none when one of them cannot be evaluated, or is neither met nor not.
    fn met(&self, evaluator: &Evaluator<'_>) -> Option<Vec<&ast::Policy>> {
        let mut found = vec![];
        for policy in AsRef::<ast::PolicySet>::as_ref(&self.policies).policies() {
            let met = match policy.non_scope_constraints() {
                None => true,
                Some(condition) => match evaluator.interpret(condition, policy.env()).ok()?.value {
                    ast::ValueKind::Lit(ast::Literal::Bool(met)) => met,
                    _ => return None,
                },
            };
            found.extend(met.then_some(policy));
        }
        Some(found)
    }
}

/// A bucket as a request meets it.
#[derive(Debug, Clone, Copy)]
pub(super) struct Found<'s> {
    pub(super) bucket: &'s Bucket,
    /// Whether its scope matches what is asked. If not, that is for Cedar to find out.
    matches: bool,
}

impl<'s> Found<'s> {
    /// A bucket of whose scope nothing is known.
    pub(super) const fn unmatched(bucket: &'s Bucket) -> Self {
        Self { bucket, matches: false }
    }
}

/// What a scope says of one side.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
enum Side {
    Any,
    Is(EntityTypeName),
    Eq(EntityUid),
    In(EntityUid),
    IsIn(EntityTypeName, EntityUid),
}

impl Side {
    /// Whether it holds for an entity that is in others (<https://docs.cedarpolicy.com/policies/syntax-policy.html>).
    fn matches(&self, uid: &EntityUid, within: &BTreeSet<EntityUid>) -> bool {
        let is = |name: &EntityTypeName| uid.type_name() == name;
        let is_in = |other: &EntityUid| uid == other || within.contains(other);
        match self {
            Self::Any => true,
            Self::Is(name) => is(name),
            Self::Eq(other) => uid == other,
            Self::In(other) => is_in(other),
            Self::IsIn(name, other) => is(name) && is_in(other),
        }
    }
}

/// What a scope says of the action.
#[derive(Debug, PartialEq, Eq)]
enum Said {
    Any,
    Eq(EntityUid),
    In(BTreeSet<EntityUid>),
}

impl Said {
    /// Whether it holds for an action that is in these groups.
    fn matches(&self, action: &Action) -> bool {
        match self {
            Self::Any => true,
            Self::Eq(uid) => *uid == action.uid,
            // Itself and every group it is in, of whatever namespace.
            Self::In(uids) => action.entities().any(|entity| uids.contains(&entity.uid())),
        }
    }
}

impl Index {
    /// Puts those policies of a set that are wanted into buckets. Those of `step_up` never share one with others.
    ///
    /// # Errors
    /// Cedar's. Never, of a set that is one.
    pub(super) fn new(
        set: &PolicySet,
        wanted: impl Fn(&Policy) -> bool,
        actions: &BTreeMap<String, Action>,
        statics: &Statics,
        step_up: impl Fn(&str) -> bool,
    ) -> Result<Self, Box<PolicySetError>> {
        let (mut entities, mut types) = (BTreeMap::new(), BTreeMap::new());
        let mut next = ANY;
        let mut number = |side: &Side| match side {
            Side::Any => ANY,
            Side::Is(name) => numbered(&mut types, name.clone(), &mut next),
            // That it is also of that type is looked at when it is met.
            Side::Eq(uid) | Side::In(uid) | Side::IsIn(_, uid) => numbered(&mut entities, uid.clone(), &mut next),
        };
        let mut said: Vec<Said> = vec![];
        let mut sorted: BTreeMap<(Side, Side, usize, bool), PolicySet> = BTreeMap::new();
        for policy in set.policies().filter(|policy| wanted(policy)) {
            let actions = match policy.action_constraint() {
                ActionConstraint::Any => Said::Any,
                ActionConstraint::Eq(uid) => Said::Eq(uid),
                ActionConstraint::In(uids) => Said::In(uids.into_iter().collect()),
            };
            let actions = said.iter().position(|one| *one == actions).unwrap_or_else(|| {
                said.push(actions);
                said.len().saturating_sub(1)
            });
            let key = (resource(policy), principal(policy), actions, step_up(policy.id().as_ref()));
            add(sorted.entry(key).or_default(), set, policy)?;
        }
        let mut buckets = vec![];
        let mut by_keys: BTreeMap<Key, BTreeMap<Key, Vec<usize>>> = BTreeMap::new();
        for ((resource, principal, actions, step_up), policies) in sorted {
            by_keys.entry(number(&resource)).or_default().entry(number(&principal)).or_default().push(buckets.len());
            buckets.push(Bucket { actions, principal, resource, ..Bucket::of(policies, step_up, statics) });
        }
        let matching = |action: &Action| {
            let numbers = said.iter().enumerate().filter(|(_, said)| said.matches(action)).map(|(number, _)| number);
            (action.uid.clone(), numbers.collect())
        };
        Ok(Self { entities, types, actions: actions.values().map(matching).collect(), buckets, by_keys })
    }

    /// Every policy, in no order that means anything.
    pub(super) fn policies(&self) -> impl Iterator<Item = &Policy> {
        self.buckets.iter().flat_map(|bucket| bucket.policies.policies())
    }

    /// All buckets.
    pub(super) fn all(&self) -> Vec<Found<'_>> {
        self.buckets.iter().map(Found::unmatched).collect()
    }

    /// The buckets whose scopes match. None for an action that the schema does not have.
    pub(super) fn matching(&self, scope: Scope<'_>) -> Vec<Found<'_>> {
        let Scope { principal, principal_in, action, resource, resource_in } = scope;
        let Some(actions) = self.actions.get(action) else { return vec![] };
        let (principals, resources) = (self.keys(principal, principal_in), self.keys(resource, resource_in));
        let mut found = vec![];
        for by_principal in resources.iter().filter_map(|key| self.by_keys.get(key)) {
            let buckets = principals.iter().filter_map(|key| by_principal.get(key)).flatten();
            let buckets = buckets.filter_map(|at| self.buckets.get(*at));
            let buckets = buckets.filter(|bucket| actions.binary_search(&bucket.actions).is_ok());
            let matches =
                |bucket: &&Bucket| bucket.principal.matches(principal, principal_in) && bucket.resource.matches(resource, resource_in);
            found.extend(buckets.filter(matches).map(|bucket| Found { bucket, matches: true }));
        }
        found
    }

    /// The keys under which policies about this entity stand.
    fn keys(&self, uid: &EntityUid, within: &BTreeSet<EntityUid>) -> Vec<Key> {
        let mut keys = vec![ANY];
        keys.extend(self.types.get(uid.type_name()));
        keys.extend(self.entities.get(uid));
        // Never twice: an entity is not in itself, and one that is makes no difference to a set.
        keys.extend(within.iter().filter(|one| *one != uid).filter_map(|one| self.entities.get(one)));
        keys
    }
}

/// Adds a policy of one set to another: a linked one with its template.
fn add(to: &mut PolicySet, set: &PolicySet, policy: &Policy) -> Result<(), Box<PolicySetError>> {
    let (Some(id), Some(values)) = (policy.template_id(), policy.template_links()) else {
        return to.add(policy.clone()).map_err(Box::new);
    };
    if let Some(template) = set.template(id).filter(|_| to.template(id).is_none()) {
        to.add_template(template.clone()).map_err(Box::new)?;
    }
    to.link(id.clone(), policy.id().clone(), values).map_err(Box::new)
}

fn numbered<K: Ord>(numbers: &mut BTreeMap<K, Key>, name: K, next: &mut Key) -> Key {
    *numbers.entry(name).or_insert_with(|| {
        *next = next.saturating_add(1);
        *next
    })
}

fn principal(policy: &Policy) -> Side {
    match policy.principal_constraint() {
        PrincipalConstraint::Any => Side::Any,
        PrincipalConstraint::Is(name) => Side::Is(name),
        PrincipalConstraint::Eq(uid) => Side::Eq(uid),
        PrincipalConstraint::In(uid) => Side::In(uid),
        PrincipalConstraint::IsIn(name, uid) => Side::IsIn(name, uid),
    }
}

fn resource(policy: &Policy) -> Side {
    match policy.resource_constraint() {
        ResourceConstraint::Any => Side::Any,
        ResourceConstraint::Is(name) => Side::Is(name),
        ResourceConstraint::Eq(uid) => Side::Eq(uid),
        ResourceConstraint::In(uid) => Side::In(uid),
        ResourceConstraint::IsIn(name, uid) => Side::IsIn(name, uid),
    }
}

/// What Cedar said of several sets of policies, as if they were one.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Answered {
    permits: BTreeSet<String>,
    forbids: BTreeSet<String>,
    /// Evaluation errors, each with the policy's id.
    pub(super) errors: BTreeSet<String>,
}

impl Answered {
    /// What Cedar says of these buckets.
    ///
    /// INVARIANT: what principal and resource are in by `entities` is what the scopes of buckets that match were held against.
    pub(super) fn by(authorizer: &Authorizer, buckets: &[Found<'_>], request: &Request, entities: &Entities) -> Self {
        let mut answered = Self::default();
        if buckets.is_empty() {
            return answered;
        }
        let evaluator = Evaluator::new(AsRef::<ast::Request>::as_ref(request).clone(), entities.as_ref(), Extensions::all_available());
        for Found { bucket, matches } in buckets {
            match matches.then(|| bucket.met(&evaluator)).flatten() {
                Some(policies) => policies.into_iter().for_each(|policy| {
                    let applying = match policy.effect() {
                        ast::Effect::Permit => &mut answered.permits,
                        ast::Effect::Forbid => &mut answered.forbids,
                    };
                    applying.insert(policy.id().to_string());
                }),
                None => answered.add(&authorizer.is_authorized(request, &bucket.policies, entities)),
            }
        }
        answered
    }

    /// The same with what was said of others.
    pub(super) fn with(mut self, other: Self) -> Self {
        let Self { permits, forbids, errors } = other;
        self.permits.extend(permits);
        self.forbids.extend(forbids);
        self.errors.extend(errors);
        self
    }

    /// Adds what was said of one more set.
    fn add(&mut self, response: &Response) {
        let reasons = response.diagnostics().reason().map(|id| AsRef::<str>::as_ref(id).to_owned());
        // Of a set in which a `forbid` applies, the `permit`s are not told; nothing depends on them any more.
        match response.decision() {
            Decision::Allow => self.permits.extend(reasons),
            Decision::Deny => self.forbids.extend(reasons),
        }
        self.errors.extend(response.diagnostics().errors().map(|error| match error {
            AuthorizationError::PolicyEvaluationError(error) => format!("{}: {}", error.policy_id(), error.inner()),
        }));
    }

    /// Whether a `permit` applies and no `forbid` does.
    pub(super) fn allow(&self) -> bool {
        self.forbids.is_empty() && !self.permits.is_empty()
    }

    /// The ids of the policies that determined the answer, in order.
    pub(super) fn determining(&self) -> &BTreeSet<String> {
        if self.forbids.is_empty() { &self.permits } else { &self.forbids }
    }
}
