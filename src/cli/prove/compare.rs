//! Two sets of policies, compared for every request of every kind.

use std::collections::{BTreeMap, BTreeSet};

use cedar_policy::{Effect, Entities, Policy, PolicyId, PolicySet, Request, RequestEnv, Schema};
use serde_json::{Value, json};

use super::claims;
use super::counterexample::{Counterexample, Shower};
use super::solver::{Answer, Claim, Question, Solver};
use super::work::{Subject, all};
use crate::policy::shown;

/// How the new policies stand to the old ones.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(in crate::cli) enum Relation {
    /// They allow something that the old ones do not, and the other way round.
    Incomparable,
    /// They allow all that the old ones do, and more.
    Looser,
    /// They allow what the old ones do, and not all of it.
    Stricter,
    /// They allow the same.
    Equivalent,
    /// Nobody knows.
    Unknown,
}

impl Relation {
    pub(in crate::cli) const fn as_str(self) -> &'static str {
        match self {
            Self::Incomparable => "incomparable",
            Self::Looser => "looser",
            Self::Stricter => "stricter",
            Self::Equivalent => "equivalent",
            Self::Unknown => "unknown",
        }
    }
}

/// One kind of request.
#[derive(Debug)]
pub(in crate::cli) struct Comparison {
    pub(in crate::cli) kind: String,
    pub(in crate::cli) relation: Relation,
    /// A request that is allowed now and was not.
    pub(in crate::cli) gained: Option<Counterexample>,
    /// One that was allowed and is not.
    pub(in crate::cli) lost: Option<Counterexample>,
    /// Whether everything that is allowed now and was not is what somebody approved.
    pub(in crate::cli) approved: bool,
    /// Why nobody knows.
    pub(in crate::cli) because: Option<String>,
}

impl Comparison {
    /// Whether something is allowed that was not, and nobody approved it.
    pub(in crate::cli) fn widens(&self) -> bool {
        matches!(self.relation, Relation::Looser | Relation::Incomparable) && !self.approved
    }

    pub(in crate::cli) fn json(&self) -> Value {
        let Self { kind, relation, gained, lost, approved, because } = self;
        json!({
            "kind": kind, "relation": relation.as_str(), "gained": gained.as_ref().map(Counterexample::json),
            "lost": lost.as_ref().map(Counterexample::json), "approved": approved, "because": because,
        })
    }
}

/// One side, of one kind of request.
struct Side {
    /// None where the gate denies everything of this kind, whatever policies say.
    met: PolicySet,
    /// The same where the promises hold.
    promised: PolicySet,
}

/// Compares policies for every kind of request that either gate asks about. `approved` are policies whose permits, or whose end as forbids, are meant.
///
/// # Errors
/// What of them Cedar does not take.
pub(in crate::cli) fn compare(
    old: &Subject<'_>,
    new: &Subject<'_>,
    approved: &BTreeSet<String>,
    solver: &Solver,
) -> Result<Vec<Comparison>, String> {
    let mut kinds: BTreeMap<String, &RequestEnv> = BTreeMap::new();
    for kind in old.kinds().iter().chain(new.kinds()) {
        kinds.insert(shown(kind), kind);
    }
    // All of both, so that promises of one are about what the other names too.
    let about = |subject: &Subject<'_>| subject.store.policy_set().clone();
    let (of_old, of_new) = (about(old), about(new));
    let mut unprovable: BTreeSet<String> = old.unprovable(&of_old).into_iter().collect();
    unprovable.extend(new.unprovable(&of_new));
    if let Some(why) = unprovable.first() {
        let unknown = |kind: String| Comparison {
            kind,
            relation: Relation::Unknown,
            gained: None,
            lost: None,
            approved: false,
            because: Some(why.clone()),
        };
        return Ok(kinds.into_keys().map(unknown).collect());
    }
    let mut found = vec![];
    let mut questions = vec![];
    for kind in kinds.values() {
        let asks = |subject: &Subject<'_>| subject.kinds().contains(kind);
        // Under the schema that has it: the new one where both do.
        let schema = if asks(new) { new.store.schema() } else { old.store.schema() };
        // What both promise: a request of either keeps it.
        let promises: BTreeSet<String> = match (asks(old), asks(new)) {
            (true, true) => old.promises(kind, &of_new).intersection(&new.promises(kind, &of_old)).cloned().collect(),
            (true, false) => old.promises(kind, &of_new),
            (false, _) => new.promises(kind, &of_old),
        };
        let side = |subject: &Subject<'_>| side(subject, kind, asks(subject), &promises);
        let (before, now) = (side(old)?, side(new)?);
        let less = without(&now.promised, &before.met, approved)?;
        let question = |claim| Question { kind, schema, claim };
        questions.extend([
            question(Claim::Implies(now.promised, before.met.clone())),
            question(Claim::Implies(before.promised, now.met.clone())),
            question(Claim::Implies(less, before.met.clone())),
        ]);
        found.push((*kind, schema, before.met, now.met, promises));
    }
    let mut answers = solver.answers(&questions).into_iter();
    let mut comparisons = vec![];
    for (kind, schema, before, now, promises) in found {
        let (Some(gained), Some(lost), Some(meant)) = (answers.next(), answers.next(), answers.next()) else { continue };
        let store = if new.kinds().contains(kind) { new.store } else { old.store };
        let example = |answer: &Answer, one: &PolicySet, other: &PolicySet| match answer {
            Answer::Fails(env) => {
                let claim = Claim::Implies(one.clone(), other.clone());
                let fails = |request: &Request, entities: &Entities| claim.fails(request, entities);
                Some(Shower { store, kind, set: one, fails: &fails }.show(&env.request, &env.entities))
            }
            Answer::Holds | Answer::Unknown(_) => None,
        };
        let (more, less) = (example(&gained, &now, &before), example(&lost, &before, &now));
        let mut because =
            [&gained, &lost].into_iter().find_map(|answer| if let Answer::Unknown(why) = answer { Some(why.clone()) } else { None });
        let mut relation = match (&gained, &lost) {
            (Answer::Unknown(_), _) | (_, Answer::Unknown(_)) => Relation::Unknown,
            (Answer::Holds, Answer::Holds) => Relation::Equivalent,
            (Answer::Holds, Answer::Fails(_)) => Relation::Stricter,
            (Answer::Fails(_), Answer::Holds) => Relation::Looser,
            (Answer::Fails(_), Answer::Fails(_)) => Relation::Incomparable,
        };
        // Where a policy can fail, the gate denies what Cedar allows: then these answers are not the gate's.
        if let Some(why) = may_fail(kind, schema, &before, &now, &promises, solver)? {
            (relation, because) = (Relation::Unknown, Some(why));
        }
        let approved = !approved.is_empty() && matches!((&gained, &meant), (Answer::Fails(_), Answer::Holds));
        comparisons.push(Comparison { kind: shown(kind), relation, gained: more, lost: less, approved, because });
    }
    Ok(comparisons)
}

fn side(subject: &Subject<'_>, kind: &RequestEnv, asks: bool, promises: &BTreeSet<String>) -> Result<Side, String> {
    let met = if asks { subject.store.met_by(kind)? } else { PolicySet::new() };
    let mut promised = met.clone();
    promised.add(claims::unless(&all(promises, "true"))?).map_err(|error| error.to_string())?;
    Ok(Side { met, promised })
}

/// The new policies without what is approved: permits of these ids are left out, forbids of the old ones are put back.
fn without(now: &PolicySet, before: &PolicySet, approved: &BTreeSet<String>) -> Result<PolicySet, String> {
    let meant = |policy: &&Policy| approved.contains(policy.id().to_string().as_str());
    let kept = now.policies().filter(|policy| !(meant(policy) && policy.effect() == Effect::Permit)).cloned();
    let put_back = before.policies().filter(|policy| meant(policy) && policy.effect() == Effect::Forbid);
    let put_back = put_back.map(|policy| policy.new_id(PolicyId::new(format!("{} as it was", policy.id()))));
    PolicySet::from_policies(kept.chain(put_back)).map_err(|error| error.to_string())
}

/// The policy that can fail for a request of this kind.
fn may_fail(
    kind: &RequestEnv,
    schema: &Schema,
    before: &PolicySet,
    now: &PolicySet,
    promises: &BTreeSet<String>,
    solver: &Solver,
) -> Result<Option<String>, String> {
    let mut questions = vec![];
    let mut ids = vec![];
    let guard = super::work::conditions(&all(promises, "true"))?;
    for policy in before.policies().chain(now.policies()).filter(|policy| super::work::can_fail(policy)) {
        ids.push(policy.id().to_string());
        questions.push(Question { kind, schema, claim: Claim::NeverErrors(Box::new(super::work::guarded(policy, &guard)?)) });
    }
    let answers = solver.answers(&questions);
    Ok(ids.into_iter().zip(answers).find_map(|(id, answer)| match answer {
        Answer::Holds => None,
        Answer::Fails(_) => Some(format!("{id} can fail")),
        Answer::Unknown(why) => Some(format!("whether {id} can fail: {why}")),
    }))
}
