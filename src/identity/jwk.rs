//! JSON Web Key sets (RFC 7517, RFC 7518 section 6, RFC 8037), public keys only, read when a bundle is loaded.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

use super::algorithm::Algorithm;
use super::json::{Json, JsonError, Object};
use super::key::{Key, KeyProblem, KeyType, Material};
use super::text;
use crate::limits;

/// Members that only private or symmetric keys have.
const PRIVATE: [&str; 9] = ["d", "p", "q", "dp", "dq", "qi", "oth", "k", "priv"];

/// What a key file holds.
#[derive(Debug, Default)]
pub(super) struct KeyFile {
    /// The keys that may verify signatures.
    pub(super) keys: Vec<Key>,
    /// Everything that is wrong.
    pub(super) problems: Vec<KeyProblem>,
}

/// Reads a key set.
pub(super) fn read(bytes: &[u8]) -> KeyFile {
    let mut file = KeyFile::default();
    match Json::parse(bytes) {
        Ok(json) => read_set(&json, &mut file),
        Err(error) => file.problems.push(json_problem(&error)),
    }
    file
}

/// Whether a JSON text holds a private or symmetric key anywhere. For files that are not read as key sets.
pub(super) fn holds_private_key(bytes: &[u8]) -> bool {
    fn search(json: &Json) -> bool {
        match json {
            Json::Object(members) => is_private(members) || members.values().any(search),
            Json::Array(elements) => elements.iter().any(search),
            _ => false,
        }
    }
    Json::parse(bytes).is_ok_and(|json| search(&json))
}

fn is_private(members: &Object) -> bool {
    members.contains_key("kty") && PRIVATE.iter().any(|name| members.contains_key(*name))
}

fn json_problem(error: &JsonError) -> KeyProblem {
    match error {
        JsonError::Syntax(offset) => KeyProblem { offset: Some(*offset), ..KeyProblem::new("key.syntax", "the file is not JSON") },
        JsonError::Duplicate(name) => KeyProblem::new("key.syntax", format!("the member `{}` occurs twice", text::shown(name))),
        JsonError::TooDeep(offset) => {
            KeyProblem { offset: Some(*offset), ..KeyProblem::new("key.syntax", "the JSON is nested too deeply") }
        }
    }
}

fn read_set(json: &Json, file: &mut KeyFile) {
    let members = json.as_object();
    if members.is_some_and(is_private) {
        file.problems.push(private());
        return;
    }
    let Some(Json::Array(keys)) = members.and_then(|members| members.get("keys")) else {
        let problem = KeyProblem::new("key.syntax", "the file is not a JWK set")
            .help("a JWK set is an object with an array `keys`: {\"keys\": [ … ]}");
        file.problems.push(problem);
        return;
    };
    if keys.is_empty() {
        file.problems.push(KeyProblem::new("key.none", "the key set is empty"));
    }
    if keys.len() > limits::KEYS_PER_ISSUER {
        file.problems
            .push(KeyProblem::new("key.too_many", format!("the set has {} keys, more than {}", keys.len(), limits::KEYS_PER_ISSUER)));
    }
    for (index, key) in keys.iter().enumerate() {
        let Some(members) = key.as_object() else {
            file.problems.push(KeyProblem::new("key.syntax", format!("element {index} of `keys` is not an object")));
            continue;
        };
        match read_key(members) {
            Ok(Some(key)) => file.keys.push(key),
            Ok(None) => {}
            Err(mut problem) => {
                problem.kid = members.get("kid").and_then(Json::as_str).map(str::to_owned);
                let name = problem.kid.as_ref().map_or(format!("key {index}"), |kid| format!("key `{}`", text::shown(kid)));
                problem.message = format!("{name}: {}", problem.message);
                file.problems.push(problem);
            }
        }
    }
}

fn private() -> KeyProblem {
    KeyProblem::new("key.private", "the file holds a private or symmetric key")
        .help("keys/ is compiled into the module and may hold public keys only; remove the private members, and replace the key if it was published")
}

/// One key; `None` when it is not for verifying signatures.
pub(super) fn read_key(members: &Object) -> Result<Option<Key>, KeyProblem> {
    if PRIVATE.iter().any(|name| members.contains_key(*name)) {
        return Err(private());
    }
    let kty = string(members, "kty")?.ok_or_else(|| missing("kty"))?;
    let kid = string(members, "kid")?;
    if let Some(kid) = kid {
        check_kid(kid)?;
    }
    // SECURITY: a key that its owner keeps for encryption must not verify anything.
    if !is_for_verifying(members)? {
        return Ok(None);
    }
    let pinned = match string(members, "alg")? {
        Some(name) => Some(Algorithm::from_name(name).ok_or_else(|| unsupported(format!("`alg` is `{}`", text::shown(name))))?),
        None => None,
    };
    let curve = |expected: &str| match string(members, "crv")? {
        Some(name) if name == expected => Ok(()),
        Some(name) => Err(unsupported(format!("`crv` is `{}`", text::shown(name)))),
        None => Err(missing("crv")),
    };
    let material = match kty {
        "RSA" => Material::rsa(&octets(members, "n")?, &octets(members, "e")?)?,
        "EC" => {
            let key_type = if curve("P-384").is_ok() { KeyType::P384 } else { curve("P-256").map(|()| KeyType::P256)? };
            Material::ec(key_type, &octets(members, "x")?, &octets(members, "y")?)?
        }
        "OKP" => {
            curve("Ed25519")?;
            Material::ed25519(&octets(members, "x")?)?
        }
        other => return Err(unsupported(format!("`kty` is `{}`", text::shown(other)))),
    };
    let key = Key::new(kid.map(str::to_owned), pinned, material);
    match pinned {
        Some(algorithm) if !key.accepts(algorithm) => Err(KeyProblem::new(
            "key.invalid",
            format!("`alg` is `{}`, which does not go with {}", algorithm.name(), key.material.key_type()),
        )),
        _ => Ok(Some(key)),
    }
}

/// A `kid` a token can name: not empty, not longer than a token's may be.
pub(super) fn check_kid(kid: &str) -> Result<(), KeyProblem> {
    if kid.is_empty() || kid.len() > limits::KEY_ID_BYTES || kid.chars().any(char::is_control) {
        return Err(KeyProblem::new(
            "key.invalid",
            format!("`kid` is empty, longer than {} bytes or has control characters", limits::KEY_ID_BYTES),
        ));
    }
    Ok(())
}

fn is_for_verifying(members: &Object) -> Result<bool, KeyProblem> {
    let by_use = string(members, "use")?.is_none_or(|usage| usage == "sig");
    let by_operations = match members.get("key_ops") {
        None => true,
        Some(Json::Array(operations)) => operations.iter().any(|operation| operation.as_str() == Some("verify")),
        Some(_) => return Err(KeyProblem::new("key.invalid", "`key_ops` is not an array")),
    };
    Ok(by_use && by_operations)
}

fn string<'a>(members: &'a Object, name: &str) -> Result<Option<&'a str>, KeyProblem> {
    match members.get(name) {
        None => Ok(None),
        Some(Json::String(value)) => Ok(Some(value)),
        Some(_) => Err(KeyProblem::new("key.invalid", format!("`{name}` is not a string"))),
    }
}

fn octets(members: &Object, name: &str) -> Result<Vec<u8>, KeyProblem> {
    let value = string(members, name)?.ok_or_else(|| missing(name))?;
    // Strict: no padding, no other alphabet, no bits left over.
    URL_SAFE_NO_PAD
        .decode(value)
        .map_err(|_| KeyProblem::new("key.invalid", format!("`{name}` is not canonical base64url without padding")))
}

fn missing(name: &str) -> KeyProblem {
    KeyProblem::new("key.invalid", format!("`{name}` is missing"))
}

fn unsupported(what: String) -> KeyProblem {
    KeyProblem::new("key.unsupported", format!("{what}, which this gate does not know"))
        .help("keys are RSA (2048 to 8192 bits), EC on P-256 or P-384, or OKP Ed25519; a key with `use` other than `sig` may stay in the set and is never used")
}
