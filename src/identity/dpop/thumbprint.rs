//! The thumbprint of a key (RFC 7638; RFC 8037, section 2, for Ed25519).

use std::collections::BTreeMap;

use crate::bundle::Digest;
use crate::identity::json::Object;

/// SHA-256 over the members that make the key, in the order of their names and without white space; `None` for a kind of key
/// the gate does not know, or one that lacks a member.
pub(in crate::identity) fn thumbprint(members: &Object) -> Option<Digest> {
    let text = |name: &str| members.get(name).and_then(|value| value.as_str());
    let names: &[&str] = match text("kty")? {
        "RSA" => &["e", "kty", "n"],
        "EC" => &["crv", "kty", "x", "y"],
        "OKP" => &["crv", "kty", "x"],
        _ => return None,
    };
    let required: BTreeMap<&str, &str> = names.iter().map(|name| Some((*name, text(name)?))).collect::<Option<_>>()?;
    // What serde_json writes is what section 3.3 asks for: the values are base64url and names of curves, so nothing is escaped.
    Some(Digest::of(serde_json::to_string(&required).ok()?.as_bytes()))
}
