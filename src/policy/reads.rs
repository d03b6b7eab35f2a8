//! What a set of policies looks at: whether a value that nobody knows any more could have mattered.

use std::collections::BTreeSet;

use cedar_policy::PolicySet;
use serde_json::Value;

/// Parts of the context that are records themselves.
const RECORDS: [&str; 3] = ["token", "certificate", "signing"];

/// The names of all attributes that policies look at, of whatever they look at them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reads {
    names: BTreeSet<String>,
    /// Whether a record is taken as a whole somewhere, with all it holds.
    everything: bool,
}

impl Reads {
    pub(super) fn of(set: &PolicySet) -> Self {
        let mut reads = Self { names: BTreeSet::new(), everything: false };
        for policy in set.policies() {
            match policy.to_json() {
                Ok(policy) => {
                    for condition in policy.get("conditions").and_then(Value::as_array).into_iter().flatten() {
                        reads.look(condition.get("body").unwrap_or(&Value::Null), false);
                    }
                }
                // Then nothing is known about it.
                Err(_) => reads.everything = true,
            }
        }
        reads
    }

    /// Whether an attribute of this name is looked at.
    pub fn attribute(&self, name: &str) -> bool {
        self.everything || self.names.contains(name)
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

    use super::*;

    fn reads(conditions: &str) -> Reads {
        Reads::of(&PolicySet::from_str(&format!("permit(principal, action, resource) {conditions};")).unwrap())
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
