//! The compact serialisation of a JWS (RFC 7515) and its header. Nothing here is believed yet.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

use super::algorithm::Algorithm;
use super::json::{Json, JsonError, Object};
use super::text;
use crate::decision::{Denial, Reason};
use crate::limits;

/// A token taken apart, unverified.
pub(super) struct Token<'a> {
    /// The header. Only a DPoP proof has anything in it that counts beside the three below.
    pub(super) header: Object,
    /// The algorithm the header names. The key has the last word.
    pub(super) algorithm: Algorithm,
    /// `kid`.
    pub(super) kid: Option<String>,
    /// `typ`, normalised by [`media_type`].
    pub(super) typ: Option<String>,
    /// The claims.
    pub(super) claims: Object,
    /// What is signed: header, dot, payload, as received.
    pub(super) signing_input: &'a str,
    /// The signature.
    pub(super) signature: Vec<u8>,
}

impl<'a> Token<'a> {
    /// Takes a compact token apart, cheapest checks first.
    pub(super) fn parse(token: &'a str) -> Result<Self, Denial> {
        Self::parse_within(token, limits::TOKEN_BYTES)
    }

    /// The same for what is no access token and may have `most` bytes.
    pub(super) fn parse_within(token: &'a str, most: usize) -> Result<Self, Denial> {
        if token.len() > most {
            return Err(Denial::new(Reason::JwtTooLarge, format!("the token has {} bytes", token.len())));
        }
        let [header, payload, signature] = parts(token)?;
        let signing_input = token.strip_suffix(signature).and_then(|rest| rest.strip_suffix('.')).ok_or(Reason::JwtMalformed)?;
        let header = decode(header, "header")?;
        let payload = decode(payload, "payload")?;
        let signature = decode(signature, "signature")?;
        if header.len() > limits::TOKEN_HEADER_BYTES {
            return Err(Denial::new(Reason::JwtTooLarge, format!("the header has {} bytes", header.len())));
        }
        let header = object(&header, Reason::JwtHeaderInvalid, "header")?;
        let (algorithm, kid, typ) = check_header(&header)?;
        let claims = object(&payload, Reason::JwtClaimsInvalid, "claims")?;
        Ok(Self { header, algorithm, kid, typ, claims, signing_input, signature })
    }
}

/// A media type as `typ` is compared: lower case, without `application/` (RFC 7515, section 4.1.9).
pub(super) fn media_type(typ: &str) -> String {
    let lower = typ.to_ascii_lowercase();
    lower.strip_prefix("application/").map(str::to_owned).unwrap_or(lower)
}

/// The three parts, none of them empty.
fn parts(token: &str) -> Result<[&str; 3], Denial> {
    let mut split = token.split('.');
    let parts = [split.next(), split.next(), split.next(), split.next(), split.next(), split.next()];
    match parts {
        // Five parts are a JWE (RFC 7516, section 9), also when some of them are empty.
        [_, _, _, Some(_), Some(_), None] => Err(Denial::new(Reason::JwtEncrypted, "five parts")),
        [Some(""), Some(_), Some(_), None, ..] => Err(Denial::new(Reason::JwtMalformed, "the header is empty")),
        // SECURITY: an empty signature is what `alg` `none` has; refused before anything is read.
        [Some(_), Some(_), Some(""), None, ..] => Err(Denial::new(Reason::JwtUnsecured, "the signature is empty")),
        [Some(_), Some(""), Some(_), None, ..] => Err(Denial::new(Reason::JwtDetached, "the payload is empty")),
        [Some(header), Some(payload), Some(signature), None, ..] => Ok([header, payload, signature]),
        _ => Err(Denial::new(Reason::JwtMalformed, "not three parts")),
    }
}

/// SECURITY: strict, so that a token has one spelling only: no padding, no other alphabet, no bits left over.
fn decode(part: &str, name: &str) -> Result<Vec<u8>, Denial> {
    URL_SAFE_NO_PAD.decode(part).map_err(|_| Denial::new(Reason::JwtMalformed, format!("the {name} is not canonical base64url")))
}

fn object(bytes: &[u8], invalid: Reason, name: &str) -> Result<Object, Denial> {
    match Json::parse(bytes) {
        Ok(Json::Object(members)) => Ok(members),
        Ok(_) => Err(Denial::new(invalid, format!("the {name} is not a JSON object"))),
        Err(JsonError::Syntax(_)) => Err(Denial::new(invalid, format!("the {name} is not JSON"))),
        Err(JsonError::Duplicate(member)) => {
            Err(Denial::new(Reason::JwtDuplicateMember, format!("`{}` occurs twice in the {name}", text::shown(&member))))
        }
        Err(JsonError::TooDeep(_)) => Err(Denial::new(Reason::JwtTooDeep, format!("the {name} is nested too deeply"))),
    }
}

/// What the header asks for. `jwk`, `jku`, `x5u`, `x5c` and other members are not read at all: keys come
/// from the bundle. Only a DPoP proof brings its own.
fn check_header(header: &Object) -> Result<(Algorithm, Option<String>, Option<String>), Denial> {
    let invalid = |detail: String| Denial::new(Reason::JwtHeaderInvalid, detail);
    let string = |name: &str| match header.get(name) {
        None => Ok(None),
        Some(Json::String(value)) => Ok(Some(value.as_str())),
        Some(_) => Err(invalid(format!("`{name}` is not a string"))),
    };
    let alg = string("alg")?.ok_or_else(|| invalid("no `alg`".to_owned()))?;
    if alg.eq_ignore_ascii_case("none") {
        return Err(Denial::new(Reason::JwtUnsecured, "`alg` is `none`"));
    }
    if header.contains_key("enc") {
        return Err(Denial::new(Reason::JwtEncrypted, "the header has `enc`"));
    }
    // SECURITY: both change what is signed or how it is to be understood. `b64` (RFC 7797) has to be in `crit`; a token that
    // leaves it out is refused all the same. Even an empty `crit`, which RFC 7515 forbids, is refused here.
    for name in ["crit", "b64"] {
        if header.contains_key(name) {
            return Err(Denial::new(Reason::JwtCritical, format!("the header has `{name}`")));
        }
    }
    if header.contains_key("zip") {
        return Err(invalid("the header has `zip`".to_owned()));
    }
    if let Some(cty) = string("cty")?.map(media_type)
        && (["jwt", "jose", "jose+json"].contains(&cty.as_str()) || cty.ends_with("+jwt"))
    {
        return Err(Denial::new(Reason::JwtNested, format!("`cty` is `{}`", text::shown(&cty))));
    }
    let typ = string("typ")?.map(media_type);
    let kid = string("kid")?;
    if let Some(kid) = kid.filter(|kid| kid.len() > limits::KEY_ID_BYTES) {
        return Err(invalid(format!("`kid` has {} bytes", kid.len())));
    }
    let algorithm = Algorithm::from_name(alg)
        .ok_or_else(|| Denial::new(Reason::JwtAlgorithmUnsupported, format!("`alg` is `{}`", text::shown(alg))))?;
    Ok((algorithm, kid.map(str::to_owned), typ))
}
