//! The scope index: which policies can have anything to say about a request.
//!
//! Cedar evaluates every policy of the set it is given, and a gate may have thousands. Policies are put into buckets by what their
//! scopes name, once, when they are loaded; a request is held against the buckets whose scopes can match, and no others.
//!
//! The answer is the same as of the whole set. A scope that cannot match is false before any condition is looked at, so its policy
//! neither applies nor fails. And Cedar decides each policy by itself: what buckets come to together is what their policies would
//! have come to in one set (<https://docs.cedarpolicy.com/auth/authorization.html>).

use std::collections::{BTreeMap, BTreeSet};

use cedar_policy::{
    ActionConstraint, AuthorizationError, Authorizer, Decision, Entities, EntityTypeName, EntityUid, Policy, PolicySet, PolicySetError,
    PrincipalConstraint, Request, ResourceConstraint, Response,
};

use super::context::Needs;
use super::reads::Reads;
use super::schema::Action;
use super::statics::Statics;

/// A key of one side of a scope. All are numbered together.
type Key = u32;
/// The key of a side that anything matches.
const ANY: Key = 0;

/// Policies of which either all or none can match.
#[derive(Debug, Clone)]
pub(super) struct Bucket {
    /// Which actions, by the number of what the scope says of them.
    actions: usize,
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
        Self { actions: 0, needs: Needs::of(&reads), far: reads.far(), named, policies, step_up }
    }
}

/// One side of a scope.
enum Side {
    Any,
    Type(EntityTypeName),
    Entity(EntityUid),
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
        let mut number = |side: Side| match side {
            Side::Any => ANY,
            Side::Type(name) => numbered(&mut types, name, &mut next),
            Side::Entity(uid) => numbered(&mut entities, uid, &mut next),
        };
        let mut said: Vec<Option<BTreeSet<EntityUid>>> = vec![];
        let mut sorted: BTreeMap<(Key, Key, usize, bool), PolicySet> = BTreeMap::new();
        for policy in set.policies().filter(|policy| wanted(policy)) {
            let (resource, principal) = (resource(policy), principal(policy));
            let actions = match policy.action_constraint() {
                ActionConstraint::Any => None,
                ActionConstraint::Eq(uid) => Some(BTreeSet::from([uid])),
                ActionConstraint::In(uids) => Some(uids.into_iter().collect()),
            };
            let actions = said.iter().position(|one| *one == actions).unwrap_or_else(|| {
                said.push(actions);
                said.len().saturating_sub(1)
            });
            let key = (number(resource), number(principal), actions, step_up(policy.id().as_ref()));
            add(sorted.entry(key).or_default(), set, policy)?;
        }
        let mut buckets = vec![];
        let mut by_keys: BTreeMap<Key, BTreeMap<Key, Vec<usize>>> = BTreeMap::new();
        for ((resource, principal, actions, step_up), policies) in sorted {
            by_keys.entry(resource).or_default().entry(principal).or_default().push(buckets.len());
            buckets.push(Bucket { actions, ..Bucket::of(policies, step_up, statics) });
        }
        let matching = |action: &Action| {
            // Itself and every group it is in, of whatever namespace.
            let own: BTreeSet<EntityUid> = action.entities().map(|entity| entity.uid()).collect();
            let matches = |said: &Option<BTreeSet<EntityUid>>| said.as_ref().is_none_or(|uids| !uids.is_disjoint(&own));
            let numbers = said.iter().enumerate().filter(|(_, said)| matches(said)).map(|(number, _)| number);
            (action.uid.clone(), numbers.collect())
        };
        Ok(Self { entities, types, actions: actions.values().map(matching).collect(), buckets, by_keys })
    }

    /// Every policy, in no order that means anything.
    pub(super) fn policies(&self) -> impl Iterator<Item = &Policy> {
        self.buckets.iter().flat_map(|bucket| bucket.policies.policies())
    }

    /// All buckets.
    pub(super) fn all(&self) -> Vec<&Bucket> {
        self.buckets.iter().collect()
    }

    /// The buckets whose scopes can match. None for an action that the schema does not have.
    pub(super) fn matching(&self, scope: Scope<'_>) -> Vec<&Bucket> {
        let Scope { principal, principal_in, action, resource, resource_in } = scope;
        let Some(actions) = self.actions.get(action) else { return vec![] };
        let (principals, resources) = (self.keys(principal, principal_in), self.keys(resource, resource_in));
        let mut found = vec![];
        for by_principal in resources.iter().filter_map(|key| self.by_keys.get(key)) {
            let buckets = principals.iter().filter_map(|key| by_principal.get(key)).flatten();
            let buckets = buckets.filter_map(|at| self.buckets.get(*at));
            found.extend(buckets.filter(|bucket| actions.binary_search(&bucket.actions).is_ok()));
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

/// `is T in e` stands with `in e`: that it is also of that type is left to Cedar.
fn principal(policy: &Policy) -> Side {
    match policy.principal_constraint() {
        PrincipalConstraint::Any => Side::Any,
        PrincipalConstraint::Is(name) => Side::Type(name),
        PrincipalConstraint::Eq(uid) | PrincipalConstraint::In(uid) | PrincipalConstraint::IsIn(_, uid) => Side::Entity(uid),
    }
}

fn resource(policy: &Policy) -> Side {
    match policy.resource_constraint() {
        ResourceConstraint::Any => Side::Any,
        ResourceConstraint::Is(name) => Side::Type(name),
        ResourceConstraint::Eq(uid) | ResourceConstraint::In(uid) | ResourceConstraint::IsIn(_, uid) => Side::Entity(uid),
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
    pub(super) fn by(authorizer: &Authorizer, buckets: &[&Bucket], request: &Request, entities: &Entities) -> Self {
        let mut answered = Self::default();
        buckets.iter().for_each(|bucket| answered.add(&authorizer.is_authorized(request, &bucket.policies, entities)));
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
