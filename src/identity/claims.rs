//! The claims of a token whose signature verified: times, audience, and the issuer's mapping to an identity.

use super::issuers::{ClaimPaths, Issuer};
use super::json::{Json, Object};
use super::jwt::Token;
use super::{TokenIdentity, binding, status, text};
use crate::decision::{Denial, Reason, UnixTime};
use crate::limits;

/// The last second a time may name: the end of year 9999.
const LATEST: i64 = limits::LATEST_SECONDS;
const LATEST_F: f64 = 253_402_300_799.0;

/// A time with a fraction, between two whole seconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Time {
    pub(super) floor: i64,
    pub(super) ceil: i64,
}

/// The times a token says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Times {
    expires: Time,
    not_before: Option<Time>,
    issued: Option<Time>,
}

/// Turns a verified token into an identity and the times it counts by, or says why not.
pub(super) fn identity(issuer: &Issuer, token: &Token<'_>, key_id: Option<&str>, now: UnixTime) -> Result<(TokenIdentity, Times), Denial> {
    let claims = &token.claims;
    let times = Times::read(claims)?;
    check_times(issuer, &times, now)?;
    let audience = audience(issuer, claims)?;
    let subject = subject(&issuer.claims, claims)?;
    let groups = values(claims, &issuer.claims.groups, Split::No)?;
    let roles = values(claims, &issuer.claims.roles, Split::No)?;
    let scopes = values(claims, &issuer.claims.scope, Split::Spaces)?;
    let client_id = match short(claims, "client_id", limits::SHORT_CLAIM_BYTES)? {
        Some(client_id) => Some(client_id),
        None => short(claims, "azp", limits::SHORT_CLAIM_BYTES)?,
    };
    let identity = TokenIdentity {
        issuer_name: issuer.name.clone(),
        issuer: issuer.iss.clone(),
        kind: issuer.kind,
        principal: format!("{}{subject}", issuer.prefix),
        subject,
        groups: mapped(groups, &issuer.group_ids, &issuer.prefix),
        roles: mapped(roles, &issuer.role_ids, &issuer.prefix),
        scopes: sorted(scopes),
        audience,
        token_id: short(claims, "jti", limits::SHORT_CLAIM_BYTES)?,
        key_id: key_id.map(str::to_owned),
        algorithm: token.algorithm.name(),
        issued_at: times.issued.map(|t| UnixTime(t.floor)),
        expires_at: UnixTime(times.expires.floor),
        auth_time: auth_time(claims)?,
        acr: short(claims, "acr", limits::SHORT_CLAIM_BYTES)?,
        amr: amr(claims)?,
        client_id,
        email: email(claims)?,
        session_id: short(claims, "sid", limits::SHORT_CLAIM_BYTES)?,
        confirmation: binding::confirmation(claims)?,
        status: status::of_token(issuer, claims)?,
    };
    Ok((identity, times))
}

impl Times {
    /// `exp`, `nbf` and `iat`.
    fn read(claims: &Object) -> Result<Self, Denial> {
        let read = |name: &str| match claims.get(name) {
            None => Ok(None),
            Some(value) => {
                time(value).map(Some).ok_or_else(|| Denial::new(Reason::JwtTimeInvalid, format!("`{name}` is not a number in range")))
            }
        };
        let (expires, not_before, issued) = (read("exp")?, read("nbf")?, read("iat")?);
        Ok(Self { expires: expires.ok_or(Reason::JwtExpiryMissing)?, not_before, issued })
    }
}

/// Holds the times of a token and its age against now. Comparisons saturate: leeway and age are small, and times are in range.
pub(super) fn check_times(issuer: &Issuer, times: &Times, now: UnixTime) -> Result<(), Denial> {
    let UnixTime(now) = now;
    let Times { expires, not_before, issued } = *times;
    // RFC 7519, section 4.1.4: not "on or after" the expiration time. `now` is whole, so rounding up compares the fraction exactly.
    if now >= expires.ceil.saturating_add(issuer.leeway) {
        return Err(Denial::new(Reason::JwtExpired, format!("`exp` is {}", expires.floor)));
    }
    let latest = now.saturating_add(issuer.leeway);
    if let Some(t) = not_before.filter(|t| t.ceil > latest) {
        return Err(Denial::new(Reason::JwtNotYetValid, format!("`nbf` is {}", t.floor)));
    }
    if let Some(t) = issued.filter(|t| t.ceil > latest) {
        return Err(Denial::new(Reason::JwtIssuedInFuture, format!("`iat` is {}", t.floor)));
    }
    if let Some(max_age) = issuer.max_age {
        let issued = issued.ok_or_else(|| Denial::new(Reason::JwtTooOld, "no `iat`"))?;
        if now.saturating_sub(issued.floor) > max_age.saturating_add(issuer.leeway) {
            return Err(Denial::new(Reason::JwtTooOld, format!("`iat` is {}", issued.floor)));
        }
    }
    Ok(())
}

/// A `NumericDate` (RFC 7519, section 2): a number, whole or not, from 1970 to 9999.
pub(super) fn time(value: &Json) -> Option<Time> {
    match value {
        Json::Int(seconds) if (0..=LATEST).contains(seconds) => Some(Time { floor: *seconds, ceil: *seconds }),
        Json::Float(seconds) if (0.0..=LATEST_F).contains(seconds) => {
            #[expect(clippy::as_conversions, reason = "in range, as checked above, so the conversion is exact")]
            let (floor, ceil) = (seconds.floor() as i64, seconds.ceil() as i64);
            Some(Time { floor, ceil })
        }
        _ => None,
    }
}

/// `aud`: a string or an array of strings, of which one must be the gate's. An array with anything else in it is refused.
fn audience(issuer: &Issuer, claims: &Object) -> Result<Vec<String>, Denial> {
    let refused = |detail: &str| Denial::new(Reason::JwtAudience, detail);
    let audience = match claims.get("aud") {
        None => return Err(refused("no `aud`")),
        Some(Json::String(one)) => vec![one.clone()],
        Some(Json::Array(many)) if many.len() > limits::AUDIENCES => {
            return Err(Denial::new(Reason::JwtTooManyGroups, format!("`aud` has {} values", many.len())));
        }
        Some(Json::Array(many)) => {
            let strings: Option<Vec<_>> = many.iter().map(|value| value.as_str().map(str::to_owned)).collect();
            strings.ok_or_else(|| refused("`aud` holds something that is not a string"))?
        }
        Some(_) => return Err(refused("`aud` is not a string or an array")),
    };
    if audience.iter().any(|value| issuer.audience.contains(value)) {
        Ok(audience)
    } else {
        Err(Denial::new(Reason::JwtAudience, format!("`aud` is {}", text::shown(&audience.join(" ")))))
    }
}

fn subject(paths: &ClaimPaths, claims: &Object) -> Result<String, Denial> {
    let refused = |detail: &str| Denial::new(Reason::JwtSubjectMissing, detail);
    match at(claims, &paths.subject).ok().flatten() {
        Some(Json::String(subject)) if subject.is_empty() => Err(refused("the subject is empty")),
        Some(Json::String(subject)) if subject.len() > limits::SUBJECT_BYTES => Err(refused("the subject is too long")),
        Some(Json::String(subject)) if subject.chars().any(char::is_control) => Err(refused("the subject has control characters")),
        Some(Json::String(subject)) => Ok(subject.clone()),
        Some(_) => Err(refused("the subject is not a string")),
        None => Err(refused("no subject")),
    }
}

/// The value at a path; `None` when a member is missing, an error when something on the way is not an object.
fn at<'a>(claims: &'a Object, path: &[String]) -> Result<Option<&'a Json>, Denial> {
    let Some((last, parents)) = path.split_last() else { return Ok(None) };
    let mut members = claims;
    for name in parents {
        members = match members.get(name) {
            None => return Ok(None),
            Some(Json::Object(inner)) => inner,
            Some(_) => return Err(invalid(path, "is not an object on the way")),
        };
    }
    Ok(members.get(last))
}

fn invalid(path: &[String], what: &str) -> Denial {
    Denial::new(Reason::JwtClaimInvalid, format!("`{}` {what}", text::shown(&path.join("/"))))
}

/// Whether a single string holds several values.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Split {
    No,
    Spaces,
}

/// Strings at a path: one string or an array. A missing claim is no values; a claim of another type is refused, because a
/// policy may forbid by group and must not find the groups missing.
fn values(claims: &Object, path: &[String], split: Split) -> Result<Vec<String>, Denial> {
    let strings: Vec<&str> = match at(claims, path)? {
        None => Vec::new(),
        Some(Json::String(one)) if split == Split::Spaces => one.split(' ').filter(|value| !value.is_empty()).collect(),
        Some(Json::String(one)) => vec![one],
        Some(Json::Array(many)) => {
            many.iter().map(Json::as_str).collect::<Option<_>>().ok_or_else(|| invalid(path, "holds something that is not a string"))?
        }
        Some(_) => return Err(invalid(path, "is not a string or an array")),
    };
    if strings.len() > limits::GROUPS {
        return Err(Denial::new(Reason::JwtTooManyGroups, format!("`{}` has {} values", text::shown(&path.join("/")), strings.len())));
    }
    for value in &strings {
        if value.is_empty() || value.len() > limits::GROUP_BYTES || value.chars().any(char::is_control) {
            return Err(invalid(path, "has a value that is empty, too long or has control characters"));
        }
        if split == Split::Spaces && value.contains(' ') {
            return Err(invalid(path, "has a value with a space in it"));
        }
    }
    Ok(strings.into_iter().map(str::to_owned).collect())
}

/// Cedar ids: what the mapping says, else prefix and value.
fn mapped(values: Vec<String>, ids: &std::collections::BTreeMap<String, String>, prefix: &str) -> Vec<String> {
    sorted(values.into_iter().map(|value| ids.get(&value).cloned().unwrap_or_else(|| format!("{prefix}{value}"))).collect())
}

fn sorted(mut values: Vec<String>) -> Vec<String> {
    values.sort_unstable();
    values.dedup();
    values
}

/// A claim that is a string when it is there.
fn short(claims: &Object, name: &str, bytes: usize) -> Result<Option<String>, Denial> {
    match claims.get(name) {
        None => Ok(None),
        Some(Json::String(value)) if value.len() <= bytes && !value.chars().any(char::is_control) => Ok(Some(value.clone())),
        Some(_) => Err(Denial::new(Reason::JwtClaimInvalid, format!("`{name}` is not a string, too long or has control characters"))),
    }
}

fn auth_time(claims: &Object) -> Result<Option<UnixTime>, Denial> {
    match claims.get("auth_time") {
        None => Ok(None),
        Some(value) => match time(value) {
            Some(time) => Ok(Some(UnixTime(time.floor))),
            None => Err(Denial::new(Reason::JwtClaimInvalid, "`auth_time` is not a number in range")),
        },
    }
}

/// `amr` (RFC 8176): an array of strings, never a single one.
fn amr(claims: &Object) -> Result<Vec<String>, Denial> {
    let path = ["amr".to_owned()];
    match claims.get("amr") {
        Some(Json::String(_)) => Err(invalid(&path, "is not an array")),
        _ => values(claims, &path, Split::No).map(sorted),
    }
}

/// `email`, only when the issuer says it verified it, with the boolean `true` and nothing like it.
fn email(claims: &Object) -> Result<Option<String>, Denial> {
    let email = short(claims, "email", limits::EMAIL_BYTES)?;
    Ok(email.filter(|_| claims.get("email_verified") == Some(&Json::Bool(true))))
}
