//! What one policy shows by itself.

use cedar_policy::Effect;
use serde_json::Value;

use super::scope::Scope;
use super::{Advice, LIKE_ON_PATH, NO_REASON, UNCONSTRAINED, View, is_context, is_var};

/// Looks at one policy.
pub(super) fn look(view: &View<'_>) -> Vec<Advice> {
    [unconstrained(view), like_on_path(view), no_reason(view)].into_iter().flatten().collect()
}

/// A `permit` for anybody must name what it gives away; one for everything must name whom it is for.
fn unconstrained(view: &View<'_>) -> Option<Advice> {
    if view.policy.effect() != Effect::Permit {
        return None;
    }
    // A token and a certificate say who somebody is, as the principal does.
    let of_principal =
        |name: &str, operand: &Value| is_var(name, operand, "principal") || is_context(name, operand, &["token", "certificate"]);
    let of_resource = |name: &str, operand: &Value| is_var(name, operand, "resource") || is_context(name, operand, &["path"]);
    let (who, what) = (view.has(of_principal), view.has(of_resource));
    if view.principal == Scope::Any && !who && !(matches!(view.resource, Scope::Eq(_)) || what) {
        let help = "name the principal; if everybody is meant, name one resource with `==`; if only callers without a credential \
                    are meant, write `principal is Gate::Anonymous`";
        return Some(view.advice(UNCONSTRAINED, "this `permit` is for anybody, without a credential too", help));
    }
    let kind = match &view.principal {
        Scope::Is(of) if of.basename() != "Anonymous" => of.to_string(),
        _ => return None,
    };
    let everything = view.resource.is_everything() && !who && !what;
    let message = format!("this `permit` gives every `{kind}` everything its actions can be asked of");
    everything.then(|| view.advice(UNCONSTRAINED, message, "name the resource, or a group the principal is in"))
}

/// `context.path like "/api/*"`: it goes by characters, and what is meant goes by segments.
fn like_on_path(view: &View<'_>) -> Option<Advice> {
    let on_path = |name: &str, operand: &Value| {
        let path = |operand: &Value| is_context(".", operand, &["path"]);
        name == "like" && operand.pointer("/left/.").is_some_and(path)
    };
    let help = "write `resource in Gate::Path::\"/…\"`, which goes by segments: `like \"/api*\"` also holds for `/api-old`, and `*` \
                for any number of segments";
    view.has(on_path).then(|| view.advice(LIKE_ON_PATH, "`like` on the path goes by characters, not by segments", help))
}

fn no_reason(view: &View<'_>) -> Option<Advice> {
    let reason = view.policy.annotation("reason").is_some_and(|reason| !reason.trim().is_empty());
    let help = "write `@reason(\"…\")`: a sentence for whoever reads the record";
    (!reason).then(|| view.advice(NO_REASON, format!("`{}` has no `@reason`", view.id), help))
}
