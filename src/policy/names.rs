//! The names the gate itself uses in namespace `Gate`.

use std::str::FromStr;

use cedar_policy::{EntityId, EntityTypeName, EntityUid};

use crate::identity::{Identity, PrincipalKind};

/// The entity types the gate makes entities of. A schema must declare them, and no route may map to one.
pub(super) const TYPES: [&str; 7] = ["User", "Workload", "Anonymous", "SignedUrl", "Group", "Role", "Path"];
/// The action of changing the revocation list.
pub(super) const REVOKE: &str = "revoke";
/// The action of having a URL signed.
pub(super) const SIGN: &str = "sign";
/// The only entity of type `Gate::Anonymous`.
const ANONYMOUS_ID: &str = "anonymous";

/// The gate's entity types, parsed once.
#[derive(Debug, Clone)]
pub(super) struct Names {
    pub(super) user: EntityTypeName,
    pub(super) workload: EntityTypeName,
    pub(super) anonymous: EntityTypeName,
    pub(super) signed_url: EntityTypeName,
    pub(super) group: EntityTypeName,
    pub(super) role: EntityTypeName,
    pub(super) path: EntityTypeName,
    action: EntityTypeName,
}

impl Names {
    /// Never `None`: the names are constants and identifiers.
    pub(super) fn new() -> Option<Self> {
        Some(Self {
            user: type_name("User")?,
            workload: type_name("Workload")?,
            anonymous: type_name("Anonymous")?,
            signed_url: type_name("SignedUrl")?,
            group: type_name("Group")?,
            role: type_name("Role")?,
            path: type_name("Path")?,
            action: type_name("Action")?,
        })
    }

    /// `Gate::Action::"<name>"`.
    pub(super) fn action(&self, name: &str) -> EntityUid {
        uid(&self.action, name)
    }

    /// The Cedar principal an identity stands for.
    pub(super) fn principal(&self, identity: &Identity) -> EntityUid {
        match identity {
            Identity::Anonymous => uid(&self.anonymous, ANONYMOUS_ID),
            Identity::SignedUrl { link, .. } => uid(&self.signed_url, &link.id),
            Identity::Certificate { certificate, .. } => uid(&self.workload, &certificate.principal),
            Identity::Token { token, .. } => match token.kind {
                PrincipalKind::User => uid(&self.user, &token.principal),
                PrincipalKind::Workload => uid(&self.workload, &token.principal),
            },
        }
    }
}

/// `Gate::<name>`, when `name` is an identifier.
pub(super) fn type_name(name: &str) -> Option<EntityTypeName> {
    EntityTypeName::from_str(&format!("Gate::{name}")).ok()
}

/// An entity as Cedar writes it: `Gate::User::"alice"`. Cedar's own way, which formats character by character, is for ids with any that it escapes.
pub(super) fn shown(uid: &EntityUid) -> String {
    let id: &str = uid.id().unescaped();
    if id.bytes().any(|byte| !matches!(byte, b' '..=b'~') || matches!(byte, b'"' | b'\\' | b'\'')) {
        return uid.to_string();
    }
    let mut text = String::with_capacity(id.len().saturating_add(32));
    let name = uid.type_name();
    for part in name.namespace_components() {
        text.push_str(part);
        text.push_str("::");
    }
    text.push_str(name.basename());
    text.push_str("::\"");
    text.push_str(id);
    text.push('"');
    text
}

/// The entity of this type and id.
pub(super) fn uid(of: &EntityTypeName, id: &str) -> EntityUid {
    EntityUid::from_type_name_and_id(of.clone(), EntityId::new(id))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn an_entity_is_shown_as_cedar_writes_it(id in "\\PC*|[ -~]*|.*") {
            for name in ["User", "Path"] {
                let uid = uid(&type_name(name).unwrap(), &id);
                prop_assert_eq!(shown(&uid), uid.to_string());
            }
            let bare = uid(&EntityTypeName::from_str("Plain").unwrap(), &id);
            prop_assert_eq!(shown(&bare), bare.to_string());
        }
    }
}
