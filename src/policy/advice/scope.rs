//! Constraints of principal and resource, in one type.

use cedar_policy::{EntityTypeName, EntityUid, PrincipalConstraint, ResourceConstraint};
use serde_json::Value;

use super::left_is;

/// What a scope, or a condition like one, asks of the principal or the resource.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Scope {
    Any,
    Is(EntityTypeName),
    In(EntityUid),
    IsIn(EntityTypeName, EntityUid),
    Eq(EntityUid),
}

impl From<PrincipalConstraint> for Scope {
    fn from(constraint: PrincipalConstraint) -> Self {
        match constraint {
            PrincipalConstraint::Any => Self::Any,
            PrincipalConstraint::Is(of) => Self::Is(of),
            PrincipalConstraint::In(uid) => Self::In(uid),
            PrincipalConstraint::IsIn(of, uid) => Self::IsIn(of, uid),
            PrincipalConstraint::Eq(uid) => Self::Eq(uid),
        }
    }
}

impl From<ResourceConstraint> for Scope {
    fn from(constraint: ResourceConstraint) -> Self {
        match constraint {
            ResourceConstraint::Any => Self::Any,
            ResourceConstraint::Is(of) => Self::Is(of),
            ResourceConstraint::In(uid) => Self::In(uid),
            ResourceConstraint::IsIn(of, uid) => Self::IsIn(of, uid),
            ResourceConstraint::Eq(uid) => Self::Eq(uid),
        }
    }
}

impl From<&Scope> for ResourceConstraint {
    fn from(scope: &Scope) -> Self {
        match scope {
            Scope::Any => Self::Any,
            Scope::Is(of) => Self::Is(of.clone()),
            Scope::In(uid) => Self::In(uid.clone()),
            Scope::IsIn(of, uid) => Self::IsIn(of.clone(), uid.clone()),
            Scope::Eq(uid) => Self::Eq(uid.clone()),
        }
    }
}

impl Scope {
    /// Whether everything that satisfies `narrow` satisfies this too, by what is written alone.
    pub(super) fn covers(&self, narrow: &Self) -> bool {
        match (self, narrow) {
            (Self::Any, _) => true,
            (Self::Is(of), Self::Is(other) | Self::IsIn(other, _)) => of == other,
            (Self::Is(of), Self::Eq(uid)) => of == uid.type_name(),
            (Self::In(uid), Self::In(other) | Self::IsIn(_, other) | Self::Eq(other)) => below(other, uid),
            (Self::IsIn(of, uid), Self::IsIn(other, inner)) => of == other && below(inner, uid),
            (Self::IsIn(of, uid), Self::Eq(inner)) => of == inner.type_name() && below(inner, uid),
            (Self::Eq(uid), Self::Eq(other)) => uid == other,
            _ => false,
        }
    }

    /// Whether it leaves everything: the tree of all paths is everything too.
    pub(super) fn is_everything(&self) -> bool {
        match self {
            Self::Any => true,
            Self::In(uid) => uid.type_name().to_string() == "Gate::Path" && uid.id().unescaped() == "/",
            Self::Is(_) | Self::IsIn(..) | Self::Eq(_) => false,
        }
    }
}

/// Whether an entity is the other one or, of paths, below it.
fn below(inner: &EntityUid, outer: &EntityUid) -> bool {
    if inner == outer {
        return true;
    }
    if inner.type_name() != outer.type_name() || outer.type_name().to_string() != "Gate::Path" {
        return false;
    }
    let (inner, outer) = (inner.id().unescaped(), outer.id().unescaped());
    outer == "/" || inner.strip_prefix(outer).is_some_and(|rest| rest.starts_with('/'))
}

/// One of these the resource satisfies wherever the expression is true. `None` when it says nothing of the kind.
pub(super) fn of_condition(expression: &Value) -> Option<Vec<Scope>> {
    let (operator, operand) = expression.as_object().filter(|members| members.len() == 1)?.iter().next()?;
    let side = |name: &str| operand.get(name);
    match operator.as_str() {
        "||" => Some([of_condition(side("left")?)?, of_condition(side("right")?)?].concat()),
        "&&" => of_condition(side("left")?).or_else(|| of_condition(side("right")?)),
        "==" | "in" | "is" if left_is(operand, "resource") => match operator.as_str() {
            "==" => Some(vec![Scope::Eq(entity(side("right")?)?)]),
            "in" => {
                let right = side("right")?;
                let named = right.get("Set").and_then(Value::as_array).map_or_else(|| vec![right], |set| set.iter().collect());
                named.into_iter().map(|one| entity(one).map(Scope::In)).collect()
            }
            _ => {
                let of = side("entity_type")?.as_str()?.parse().ok()?;
                Some(vec![match side("in") {
                    Some(tree) => Scope::IsIn(of, entity(tree)?),
                    None => Scope::Is(of),
                }])
            }
        },
        _ => None,
    }
}

fn entity(expression: &Value) -> Option<EntityUid> {
    EntityUid::from_json(expression.get("Value")?.clone()).ok()
}
