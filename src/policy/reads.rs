//! What a set of policies looks at: whether a value that nobody knows any more could have mattered.

use std::collections::BTreeSet;

use cedar_policy::Policy;
use serde_json::Value;

/// Parts of the context that are records themselves.
const RECORDS: [&str; 3] = ["token", "certificate", "signing"];

/// The names of all attributes that policies look at, of whatever they look at them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reads {
    names: BTreeSet<String>,
    /// Whether a record is taken as a whole somewhere, with all it holds.
    everything: bool,
    /// Whether it is asked what something else is in than the principal, the action and the resource.
    far: bool,
}

impl Reads {
    pub(super) fn of<'p>(policies: impl IntoIterator<Item = &'p Policy>) -> Self {
        let mut reads = Self { names: BTreeSet::new(), everything: false, far: false };
        for policy in policies {
            match policy.to_json() {
                Ok(policy) => {
                    for condition in policy.get("conditions").and_then(Value::as_array).into_iter().flatten() {
                        reads.look(condition.get("body").unwrap_or(&Value::Null), false);
                    }
                }
                // Then nothing is known about it.
                Err(_) => (reads.everything, reads.far) = (true, true),
            }
        }
        reads
    }

    /// Whether an attribute of this name is looked at.
    pub fn attribute(&self, name: &str) -> bool {
        self.everything || self.names.contains(name)
    }

    /// Whether it matters what anything else is in than the principal, the action and the resource of a request.
    pub(super) fn far(&self) -> bool {
        self.far
    }

    /// Looks through an expression; `taken` is whether one attribute of it is what matters.
    fn look(&mut self, expression: &Value, taken: bool) {
        let Value::Object(members) = expression else {
            for one in expression.as_array().into_iter().flatten() {
                self.look(one, false);
            }
            return;
        };
        for (operator, operand) in members {
            match operator.as_str() {
                "." | "has" => {
                    let name = operand.get("attr").and_then(Value::as_str);
                    match name {
                        Some(name) => {
                            self.everything |= operator == "." && !taken && RECORDS.contains(&name);
                            self.names.insert(name.to_owned());
                        }
                        // Of another form than any that is known.
                        None => self.everything = true,
                    }
                    self.look(operand.get("left").unwrap_or(&Value::Null), true);
                }
                "Var" => self.everything |= !taken && operand.as_str() == Some("context"),
                // Text, and what is written out.
                "Value" => {}
                "in" | "is" => {
                    let within = operator == "in" || operand.get("in").is_some();
                    let of = operand.get("left").and_then(|left| left.get("Var")).and_then(Value::as_str);
                    self.far |= within && !of.is_some_and(|of| ["principal", "action", "resource"].contains(&of));
                    self.look_into(operand);
                }
                _ => self.look_into(operand),
            }
        }
    }

    /// The operands of an operator, whatever their names.
    fn look_into(&mut self, operand: &Value) {
        match operand {
            Value::Object(members) if members.keys().all(|name| OPERANDS.contains(&name.as_str())) => {
                members.values().for_each(|one| self.look(one, false));
            }
            // The members of a record that is written out, or another operator.
            Value::Object(members) => {
                if members.len() == 1 {
                    self.look(operand, false);
                } else {
                    members.values().for_each(|one| self.look(one, false));
                }
            }
            other => self.look(other, false),
        }
    }
}

/// The names of operands in Cedar's JSON policy format.
const OPERANDS: [&str; 8] = ["left", "right", "arg", "if", "then", "else", "pattern", "entity_type"];

#[cfg(test)]
mod tests {
    use std::str::FromStr;

    use cedar_policy::PolicySet;

    use super::*;

    fn reads(conditions: &str) -> Reads {
        Reads::of(PolicySet::from_str(&format!("permit(principal, action, resource) {conditions};")).unwrap().policies())
    }

    #[test]
    fn attributes_are_found_wherever_they_are_looked_at() {
        let found = reads(
            r#"when { context.query.contains({"name": principal.email, "value": "x"}) && (if context has client_ip then context.client_ip.isInRange(ip("10.0.0.0/8")) else false) }
               unless { context has token && context.token has acr && !(context.token.acr like "a*") || resource.owner == principal || [resource.tags, context.host].isEmpty() }"#,
        );
        for name in ["query", "email", "client_ip", "token", "acr", "owner", "tags", "host"] {
            assert!(found.attribute(name), "{name}: {found:?}");
        }
        for name in ["headers", "name", "value", "subject", "path"] {
            assert!(!found.attribute(name), "{name}: {found:?}");
        }
        assert!(!reads("").attribute("query") && !reads("when { true }").attribute("query"));
    }

    #[test]
    fn what_something_else_is_in_is_noticed() {
        for conditions in [
            "",
            "when { principal in resource && resource in principal.teams && action in Action::\"read\" }",
            "when { resource is Doc in Folder::\"a\" || resource is Doc || context.x is Doc }",
        ] {
            assert!(!reads(conditions).far(), "{conditions}");
        }
        for conditions in [
            "when { resource.owner in Team::\"a\" }",
            "unless { true && (if User::\"a\" in Team::\"a\" then true else false) }",
            "when { context.x is Doc in Folder::\"a\" }",
            "when { [resource.a].contains(principal) && (if true then principal else principal) in Team::\"a\" }",
        ] {
            assert!(reads(conditions).far(), "{conditions}");
        }
    }

    #[test]
    fn whoever_takes_a_record_as_a_whole_looks_at_all_of_it() {
        for conditions in [
            r"when { context == resource.context }",
            r"when { resource has token && context.token == resource.token }",
            r"when { [context.token].contains(resource.x) }",
            r"when { (if true then context else context).host == resource.x }",
        ] {
            assert!(reads(conditions).attribute("query"), "{conditions}");
        }
        assert!(!reads("when { context.token.issuer == \"x\" }").attribute("query"));
    }
}
