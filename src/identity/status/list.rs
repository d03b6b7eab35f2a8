//! A status list token: taken apart, verified with its issuer's keys, unpacked (sections 4 and 5 of the draft).

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use miniz_oxide::inflate::decompress_to_vec_zlib_with_limit;

use super::StatusReference;
use crate::bundle::Gate;
use crate::decision::{Denial, Reason, UnixTime};
use crate::identity::claims::{self, Time};
use crate::identity::issuers::{Issuer, Issuers};
use crate::identity::json::{Json, Object};
use crate::identity::jwt::Token;
use crate::identity::{KeyNeed, SignatureBackend, Supply, text};
use crate::limits;

/// The `typ` of a status list token (section 5.1). An access token never has it, so that neither passes for the other.
const TYPE: &str = "statuslist+jwt";

/// A status list token that was fetched, and is not believed.
pub struct PresentedList<'a>(Token<'a>);

impl<'a> PresentedList<'a> {
    /// Takes it apart.
    ///
    /// # Errors
    /// `system.status_unavailable`: it is not a token.
    pub fn read(bytes: &'a [u8]) -> Result<Self, Denial> {
        // A file that is served may end with a line feed.
        let text = std::str::from_utf8(bytes.trim_ascii_end()).map_err(|_| unavailable("it is not a token"))?;
        Token::parse_within(text, limits::STATUS_TOKEN_BYTES).map(Self).map_err(|denial| unavailable(&denial.to_string()))
    }

    /// Whose fetched keys it needs; `None` when a sealed key will do.
    pub fn key_need(&self, gate: &Gate, reference: &StatusReference) -> Option<KeyNeed> {
        gate.issuers().named(&reference.issuer)?.key_need(&self.0)
    }

    /// Verifies it as the list that `reference` names, which was fetched at `fetched`.
    ///
    /// # Errors
    /// `system.status_unavailable`: what does not verify says nothing.
    pub fn verify(
        &self,
        gate: &Gate,
        reference: &StatusReference,
        supply: Supply<'_>,
        signatures: SignatureBackend,
        fetched: UnixTime,
        now: UnixTime,
    ) -> Result<StatusList, Denial> {
        self.verify_for(gate.issuers(), reference, supply, signatures, fetched, now)
    }

    pub(in crate::identity) fn verify_for(
        &self,
        issuers: &Issuers,
        reference: &StatusReference,
        supply: Supply<'_>,
        signatures: SignatureBackend,
        fetched: UnixTime,
        now: UnixTime,
    ) -> Result<StatusList, Denial> {
        let Self(token) = self;
        let issuer = issuers.named(&reference.issuer).ok_or_else(|| unavailable("its issuer is not known"))?;
        if !issuer.algorithms.contains(&token.algorithm) {
            return Err(unavailable(&format!("`alg` is `{}`, which its issuer may not use", token.algorithm.name())));
        }
        // SECURITY: the issuer signs other things with the same keys. Only what it signed as a list is one.
        if token.typ.as_deref() != Some(TYPE) {
            return Err(unavailable(&format!("`typ` is not `{TYPE}`")));
        }
        // SECURITY: nothing of the claims is looked at before this line.
        issuer.signing_key(token, supply, signatures).map_err(|denial| unavailable(&denial.to_string()))?;
        let list = check(issuer, &token.claims, reference, fetched, now).map_err(|detail| unavailable(&detail))?;
        Ok(list)
    }
}

fn unavailable(detail: &str) -> Denial {
    Denial::new(Reason::SystemStatusUnavailable, format!("the status list: {detail}"))
}

/// The claims of a list whose signature verified.
fn check(issuer: &Issuer, claims: &Object, reference: &StatusReference, fetched: UnixTime, now: UnixTime) -> Result<StatusList, String> {
    // Section 8.3: `sub` is the address it was asked for at, and so that of no other list of the issuer.
    match claims.get("sub").and_then(Json::as_str) {
        Some(sub) if sub == reference.uri => {}
        Some(sub) => return Err(format!("`sub` is `{}`, not the address of the list", text::shown(sub))),
        None => return Err("`sub` is not a string".to_owned()),
    }
    // The draft does not ask for `iss`; one that is there must be right.
    if claims.get("iss").is_some_and(|iss| iss.as_str() != Some(&issuer.iss)) {
        return Err("`iss` is not the token's issuer".to_owned());
    }
    let expires = times(issuer, claims, now)?;
    let lifetime = match claims.get("ttl") {
        None => limits::STATUS_TTL_DEFAULT_SECONDS,
        Some(Json::Int(seconds)) if *seconds > 0 => *seconds,
        Some(Json::Big(_)) => i64::MAX,
        Some(Json::Float(seconds)) if *seconds > 0.0 => seconds_of(*seconds),
        Some(_) => return Err("`ttl` is not a positive number".to_owned()),
    };
    let (shortest, longest) = (*limits::STATUS_TTL_SECONDS.start(), *limits::STATUS_TTL_SECONDS.end());
    let lifetime = lifetime.clamp(shortest, longest);
    let UnixTime(fetched) = fetched;
    // A list within the leeway after its `exp` is used for the request it was fetched for, and for that second.
    let until = expires.map_or(i64::MAX, |expires| expires.floor).min(fetched.saturating_add(lifetime));
    let until = UnixTime(until.max(fetched.saturating_add(shortest)));
    let (bits, entries) = entries(claims)?;
    Ok(StatusList { bits, entries, until })
}

/// Whole seconds of a positive number; the result is clamped by the caller.
fn seconds_of(seconds: f64) -> i64 {
    #[expect(clippy::as_conversions, reason = "saturates, and what is not whole is rounded towards zero: a shorter life")]
    let whole = seconds as i64;
    whole
}

/// `iat`, `nbf` and `exp` (RFC 7519, section 4.1), with the leeway of the issuer's tokens.
fn times(issuer: &Issuer, claims: &Object, now: UnixTime) -> Result<Option<Time>, String> {
    let UnixTime(now) = now;
    let read = |name: &str| match claims.get(name) {
        None => Ok(None),
        Some(value) => claims::time(value).map(Some).ok_or_else(|| format!("`{name}` is not a number in range")),
    };
    let (issued, not_before, expires) = (read("iat")?.ok_or("no `iat`")?, read("nbf")?, read("exp")?);
    let latest = now.saturating_add(issuer.leeway);
    if issued.ceil > latest || not_before.is_some_and(|time| time.ceil > latest) {
        return Err("`iat` or `nbf` is in the future".to_owned());
    }
    match expires {
        Some(expires) if now >= expires.ceil.saturating_add(issuer.leeway) => Err(format!("it expired at {}", expires.floor)),
        expires => Ok(expires),
    }
}

/// `status_list` (section 4.2): the bits of an entry, and all entries unpacked.
fn entries(claims: &Object) -> Result<(u8, Vec<u8>), String> {
    let list = claims.get("status_list").and_then(Json::as_object).ok_or("`status_list` is not an object")?;
    let bits = match list.get("bits") {
        Some(Json::Int(1)) => 1,
        Some(Json::Int(2)) => 2,
        Some(Json::Int(4)) => 4,
        Some(Json::Int(8)) => 8,
        _ => return Err("`bits` is not 1, 2, 4 or 8".to_owned()),
    };
    let packed = list.get("lst").and_then(Json::as_str).ok_or("`lst` is not a string")?;
    let packed = URL_SAFE_NO_PAD.decode(packed).map_err(|_| "`lst` is not canonical base64url")?;
    // SECURITY: a few kilobytes can unpack to gigabytes.
    let entries = decompress_to_vec_zlib_with_limit(&packed, limits::STATUS_LIST_BYTES)
        .map_err(|_| format!("`lst` is not a ZLIB stream, or holds more than {} bytes", limits::STATUS_LIST_BYTES))?;
    Ok((bits, entries))
}

/// A status list that verified.
#[derive(Clone, PartialEq, Eq)]
pub struct StatusList {
    bits: u8,
    entries: Vec<u8>,
    until: UnixTime,
}

impl StatusList {
    /// The status of the token with this reference; 0 is valid.
    ///
    /// # Errors
    /// `jwt.status_invalid`: the list has no such place (section 8.3: the token must be rejected).
    pub fn status(&self, reference: &StatusReference) -> Result<u8, Denial> {
        self.at(reference.index).ok_or_else(|| {
            let detail = format!("the list has {} entries of {} bits, and none at {}", self.len(), self.bits, reference.index);
            Denial::new(Reason::JwtStatusInvalid, detail)
        })
    }

    /// Entries are packed from the least significant bit of each byte (section 4.1).
    fn at(&self, index: u64) -> Option<u8> {
        let bit = index.checked_mul(u64::from(self.bits))?;
        let byte = *self.entries.get(usize::try_from(bit >> 3).ok()?)?;
        let shifted = byte.checked_shr(u32::try_from(bit & 7).ok()?)?;
        let mask = u8::MAX.checked_shr(8_u32.checked_sub(u32::from(self.bits))?)?;
        Some(shifted & mask)
    }

    fn len(&self) -> usize {
        self.entries.len().saturating_mul(8).checked_div(usize::from(self.bits)).unwrap_or(0)
    }

    /// From this time on it says nothing any more, and has to be fetched again.
    pub fn usable_until(&self) -> UnixTime {
        self.until
    }

    /// How much memory it takes, in bytes.
    pub fn bytes(&self) -> usize {
        self.entries.capacity()
    }
}

impl std::fmt::Debug for StatusList {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "StatusList({} entries of {} bits, until {})", self.len(), self.bits, self.until.0)
    }
}
