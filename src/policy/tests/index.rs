//! The scope index against Cedar with the whole set: the same decision, the same determining policies, the same errors.
//!
//! `CEDARGATE_CASES` says how many cases; a soak run asks for a million (docs/testing.md).

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::str::FromStr;
use std::sync::LazyLock;

use cedar_policy::{
    Authorizer, Context, Entities, Entity, EntityTypeName, EntityUid, Policy, PolicyId, PolicySet, Request, SlotId, Template,
};
use proptest::prelude::*;

use super::super::entities::{Made, Within, ancestors, closed, shared};
use super::super::index::{Answered, Bucket, Found, Index, Scope};
use super::super::schema::Action;
use super::super::statics::Statics;

fn uid(kind: &str, id: usize) -> EntityUid {
    let name = EntityTypeName::from_str(kind).unwrap();
    EntityUid::from_type_name_and_id(name, id.to_string().parse().unwrap())
}

/// One of the entities that a request can be about or lead to.
fn entity(number: u8) -> EntityUid {
    let id = usize::from(number / 5 % 4);
    uid(["User", "Robot", "Team", "Doc", "Folder"][usize::from(number % 5)], id)
}

/// `Action::"0"` to `Action::"3"`; the even ones are in `Action::"4"`, all in `Action::"5"`.
static ACTIONS: LazyLock<BTreeMap<String, Action>> = LazyLock::new(|| {
    let action = |id: usize| {
        let groups = [Some(5), id.is_multiple_of(2).then_some(4)].into_iter().flatten().map(|id| uid("Action", id));
        let own = Entity::new_no_attrs(uid("Action", id), groups.clone().collect());
        let (uid, entity) = (uid("Action", id), shared(&own));
        let above = groups.map(Entity::with_uid).collect();
        let (principals, resources) = (BTreeSet::new(), BTreeSet::new());
        (id.to_string(), Action { uid, groups: BTreeSet::new(), entity, above, principals, resources })
    };
    (0..4).map(action).collect()
});

/// What is said of one side of a scope.
fn side(name: &str, form: u8, of: u8) -> String {
    let named = entity(of);
    match form % 6 {
        0 | 1 => name.to_owned(),
        2 => format!("{name} is {}", named.type_name()),
        3 => format!("{name} == {named}"),
        4 => format!("{name} in {named}"),
        _ => format!("{name} is {} in {named}", entity(of / 3).type_name()),
    }
}

fn actions(form: u8, of: u8) -> String {
    let (one, other) = (uid("Action", usize::from(of % 6)), uid("Action", usize::from(of / 6 % 6)));
    match form % 4 {
        0 => "action".to_owned(),
        1 => format!("action == {one}"),
        2 => format!("action in {one}"),
        _ => format!("action in [{one}, {other}]"),
    }
}

/// Conditions that are true, false, or cannot be evaluated, some of them by what the request is about.
const CONDITIONS: [&str; 10] = [
    "",
    "when { true }",
    "unless { true }",
    "when { context.missing }",
    "when { principal has name && principal.name == \"1\" }",
    "unless { resource.name == \"1\" }",
    "when { principal in resource || context.number > 1 }",
    "when { principal in Team::\"1\" }",
    "unless { resource in [Folder::\"2\", Team::\"0\", principal] }",
    // The only one about what something else is in.
    "when { User::\"0\" in Folder::\"3\" }",
];

/// A policy of eight numbers, or a template and a link to it.
fn add(set: &mut PolicySet, index: usize, [effect, principal, who, action, which, resource, what, condition]: [u8; 8]) {
    let effect = if effect % 3 == 0 { "forbid" } else { "permit" };
    let condition = CONDITIONS[usize::from(condition) % CONDITIONS.len()];
    let actions = actions(action, which);
    let id = PolicyId::new(format!("p{index}"));
    // A slot stands only where a scope names an entity.
    let slot = |form: u8| matches!(form % 6, 3 | 4) && form.is_multiple_of(7);
    let (of_principal, of_resource) = (side("principal", principal, who), side("resource", resource, what));
    if !slot(principal) && !slot(resource) {
        let text = format!("{effect}({of_principal}, {actions}, {of_resource}) {condition};");
        return set.add(Policy::parse(Some(id), text).unwrap()).unwrap();
    }
    let open = |side: String, slotted: bool, name: &str, number: u8| match slotted {
        true => side.replace(&entity(number).to_string(), name),
        false => side,
    };
    let (of_principal, of_resource) =
        (open(of_principal, slot(principal), "?principal", who), open(of_resource, slot(resource), "?resource", what));
    let text = format!("{effect}({of_principal}, {actions}, {of_resource}) {condition};");
    let template = PolicyId::new(format!("t{index}"));
    set.add_template(Template::parse(Some(template.clone()), text).unwrap()).unwrap();
    let values = [(slot(principal), SlotId::principal(), who), (slot(resource), SlotId::resource(), what)];
    let values: HashMap<_, _> = values.into_iter().filter(|(is, ..)| *is).map(|(_, slot, number)| (slot, entity(number))).collect();
    set.link(template, id, values).unwrap();
}

/// Entities, each in some of those with higher numbers: never in a circle.
fn world(parents: &[u32]) -> Vec<Made> {
    let made = |number: u8| {
        let bits = parents[usize::from(number)];
        let above = (number + 1..20).filter(|other| bits & (1 << other) != 0 && other % 3 != 0).map(entity);
        Made { uid: entity(number), attrs: vec![], parents: above.collect() }
    };
    (0..20).map(made).collect()
}

fn cases() -> u32 {
    std::env::var("CEDARGATE_CASES").map_or(1_000, |cases| cases.parse().expect("CEDARGATE_CASES is a number"))
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(cases()) })]

    #[test]
    fn the_index_answers_as_the_whole_set_does(
        policies in proptest::collection::vec(any::<[u8; 8]>(), 0..24),
        parents in proptest::collection::vec(any::<u32>(), 20),
        missing in any::<u32>(),
        (principal, action, resource, number) in (0..20_u8, 0..4_usize, 0..20_u8, 0..3_i64),
    ) {
        let mut set = PolicySet::new();
        for (index, numbers) in policies.iter().enumerate() {
            add(&mut set, index, *numbers);
        }
        // Some entities nobody tells anything of.
        let made: Vec<Made> = world(&parents).into_iter().enumerate().filter(|(at, _)| missing >> at & 3 != 0).map(|(_, made)| made).collect();
        let (principal, action, resource) = (entity(principal), uid("Action", action), entity(resource));
        let name = |uid: &EntityUid| uid.id().unescaped().to_owned();
        let told = made.iter().map(|Made { uid, parents, .. }| {
            let attrs = [("name".to_owned(), cedar_policy::RestrictedExpression::new_string(name(uid)))];
            Entity::new(uid.clone(), attrs.into(), parents.iter().cloned().collect()).unwrap()
        });
        let own = ACTIONS.values().find(|one| one.uid == action).unwrap();
        let entities = Entities::from_entities(told.chain(own.entities()), None).unwrap();
        let context = Context::from_pairs([("number".to_owned(), cedar_policy::RestrictedExpression::new_long(number))]).unwrap();
        let request = Request::new(principal.clone(), action.clone(), resource.clone(), context, None).unwrap();

        let statics = Statics::default();
        let (principal_in, resource_in) = (ancestors(&statics, &made, &principal), ancestors(&statics, &made, &resource));
        for (uid, found) in [(&principal, &principal_in), (&resource, &resource_in)] {
            let known: BTreeSet<EntityUid> = entities.ancestors(uid).into_iter().flatten().cloned().collect();
            prop_assert_eq!(found, &known);
        }
        let index = Index::new(&set, |_| true, &ACTIONS, &statics, |id| id.ends_with('7')).unwrap();
        let scope = Scope { principal: &principal, principal_in: &principal_in, action: &action, resource: &resource, resource_in: &resource_in };
        let authorizer = Authorizer::new();
        let everything = Bucket::of(set.clone(), false, &statics);
        let whole = Answered::by(&authorizer, &[Found::unmatched(&everything)], &request, &entities);
        let (found, all) = (index.matching(scope), index.all());
        let mut questions = vec![(&found, entities.clone()), (&all, entities.clone())];
        // The same without making Cedar find out what anything is in, where a request is asked so.
        if !found.iter().any(|found| found.bucket.far) {
            let made = made.iter().map(|Made { uid, parents, .. }| Made { uid: uid.clone(), attrs: vec![("name", name(uid).into())], parents: parents.clone() });
            let within = Within { principal: principal_in.clone(), resource: resource_in.clone() };
            let closed = closed(&statics, made.collect(), [], &own.entity, (&principal, &resource), within).unwrap();
            prop_assert!(closed.iter().count() <= 3);
            questions.push((&found, closed));
        }
        for (buckets, entities) in questions {
            let answered = Answered::by(&authorizer, buckets, &request, &entities);
            prop_assert_eq!(answered.allow(), whole.allow());
            prop_assert_eq!(answered.determining(), whole.determining());
            prop_assert_eq!(&answered.errors, &whole.errors);
        }
        prop_assert_eq!(index.policies().count(), policies.len());
        // What Cedar itself says of the whole set, not through anything of ours.
        let response = authorizer.is_authorized(&request, &set, &entities);
        prop_assert_eq!(response.decision() == cedar_policy::Decision::Allow, whole.allow());
        let reasons: BTreeSet<String> = response.diagnostics().reason().map(ToString::to_string).collect();
        prop_assert_eq!(&reasons, whole.determining());
        prop_assert_eq!(response.diagnostics().errors().count(), whole.errors.len());
    }
}

/// How many policies of a set are put to Cedar.
fn asked(policies: &str, resource: u8, resource_in: &[u8]) -> usize {
    let set = PolicySet::from_str(policies).unwrap();
    let index = Index::new(&set, |_| true, &ACTIONS, &Statics::default(), |_| false).unwrap();
    let within: BTreeSet<EntityUid> = resource_in.iter().map(|number| entity(*number)).collect();
    let (principal, action, resource, nothing) = (entity(0), uid("Action", 0), entity(resource), BTreeSet::new());
    let scope = Scope { principal: &principal, principal_in: &nothing, action: &action, resource: &resource, resource_in: &within };
    index.matching(scope).iter().map(|found| found.bucket.policies.num_of_policies()).sum()
}

#[test]
fn only_policies_whose_scope_can_match_are_asked() {
    let folders = (0..1_000).map(|id| format!("permit(principal, action, resource in Folder::\"{id}\");")).collect::<String>();
    assert_eq!(asked(&folders, 3, &[4]), 1, "Folder::\"0\" alone");
    assert_eq!(asked(&folders, 3, &[]), 0);
    assert_eq!(asked("permit(principal, action, resource);", 3, &[]), 1);
    assert_eq!(asked("permit(principal == User::\"0\", action, resource); permit(principal == User::\"1\", action, resource);", 3, &[]), 1);
    assert_eq!(asked("permit(principal is User, action, resource); permit(principal is Robot, action, resource);", 3, &[]), 1);
    assert_eq!(
        asked("permit(principal, action == Action::\"0\", resource); permit(principal, action == Action::\"1\", resource);", 3, &[]),
        1
    );
    assert_eq!(
        asked(
            "permit(principal, action in Action::\"4\", resource); permit(principal, action in [Action::\"1\", Action::\"5\"], resource);",
            3,
            &[]
        ),
        2
    );
}
