//! The proof itself (RFC 9449, section 4.3), cheapest checks first.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

use super::{DpopConfig, ProofUse, nonce, target, thumbprint::thumbprint};
use crate::bundle::Digest;
use crate::decision::{Denial, Reason, UnixTime};
use crate::identity::claims::{Time, time};
use crate::identity::json::{Json, Object};
use crate::identity::jwt::Token;
use crate::identity::key::Key;
use crate::identity::{Deployment, SignatureBackend, TokenIdentity, binding, jwk, text};
use crate::limits;
use crate::request::Facts;

/// The one `typ` of a proof.
const TYPE: &str = "dpop+jwt";

/// Verifies the proof that came with a verified token.
pub(in crate::identity) fn verify(
    config: &DpopConfig,
    proof: &[u8],
    token: &str,
    identity: &TokenIdentity,
    facts: &Facts,
    deployment: &Deployment,
    now: UnixTime,
) -> Result<ProofUse, Denial> {
    let bound = identity.confirmation.key.ok_or(Reason::DpopNotBound)?;
    check(config, proof, (token, bound), facts, deployment, now)
}

/// Verifies a proof for a token, as sent, that is bound to the key of this thumbprint.
pub(in crate::identity) fn check(
    config: &DpopConfig,
    proof: &[u8],
    (token, bound): (&str, Digest),
    facts: &Facts,
    deployment: &Deployment,
    now: UnixTime,
) -> Result<ProofUse, Denial> {
    if config.requires_nonce() && deployment.nonce_secrets.is_empty() {
        return Err(Denial::new(Reason::SystemConfiguration, "nonces are required, and the variable `dpop_nonce_secret` is not set"));
    }
    let proof = parse(proof)?;
    if proof.typ.as_deref() != Some(TYPE) {
        let detail = proof.typ.as_deref().map_or("no `typ`".to_owned(), |typ| format!("`typ` is `{}`", text::shown(typ)));
        return Err(Denial::new(Reason::DpopType, detail));
    }
    if !config.algorithms.contains(&proof.algorithm) {
        return Err(Denial::new(Reason::DpopAlgorithm, format!("`alg` is `{}`", proof.algorithm.name())));
    }
    let (key, own) = key(&proof)?;
    // SECURITY: before the signature, so that a proof costs at most one verification with a key the issuer knew.
    if own != bound {
        return Err(Denial::new(
            Reason::DpopKeyMismatch,
            format!("the proof's key has the thumbprint `{}`", URL_SAFE_NO_PAD.encode(own.as_bytes())),
        ));
    }
    // The key came with the proof: there was nothing to prepare.
    if !key.verify(SignatureBackend::Ring, proof.algorithm, proof.signing_input.as_bytes(), &proof.signature) {
        return Err(Reason::DpopSignatureInvalid.into());
    }

    // SECURITY: nothing of the claims is looked at before this line.
    let claims = Claims::read(&proof.claims)?;
    if claims.method != facts.method.as_str() {
        return Err(Denial::new(Reason::DpopMethodMismatch, format!("`htm` is `{}`", text::shown(claims.method))));
    }
    if !target::is_of(claims.url, facts, deployment) {
        // SECURITY: a query, which does not belong there, may hold credentials, and this goes into the record.
        let shown = claims.url.split(['?', '#']).next().unwrap_or_default();
        return Err(Denial::new(Reason::DpopUrlMismatch, format!("`htu` is `{}`", text::shown(shown))));
    }
    let until = claims.fresh(config, now)?;
    if claims.token != Digest::of(token.as_bytes()) {
        return Err(Reason::DpopTokenMismatch.into());
    }
    // Last, so that a caller who is given a nonce needs nothing else.
    if let Some(lifetime) = config.nonce_lifetime {
        let given = claims.nonce.ok_or(Reason::DpopNonceRequired)?;
        if !nonce::is_good(given, lifetime, config.leeway, &deployment.nonce_secrets, now) {
            return Err(Reason::DpopNonceInvalid.into());
        }
    }
    Ok(ProofUse::new(&own, claims.id, until))
}

/// A proof is as strict a JWT as a token; its failures are its own.
fn parse(proof: &[u8]) -> Result<Token<'_>, Denial> {
    let malformed = |detail: &str| Denial::new(Reason::DpopMalformed, detail);
    if proof.len() > limits::PROOF_BYTES {
        return Err(malformed(&format!("the proof has {} bytes", proof.len())));
    }
    let proof = std::str::from_utf8(proof).map_err(|_| malformed("the proof is not text"))?;
    Token::parse(proof).map_err(|denial| match denial.reason {
        Reason::JwtUnsecured | Reason::JwtAlgorithmUnsupported => Denial::new(Reason::DpopAlgorithm, denial.detail),
        _ => malformed(&denial.to_string()),
    })
}

/// The key in the header, checked like a sealed one, and its thumbprint.
fn key(proof: &Token<'_>) -> Result<(Key, Digest), Denial> {
    let invalid = |detail: &str| Denial::new(Reason::DpopKeyInvalid, detail);
    let members = match proof.header.get("jwk") {
        Some(Json::Object(members)) => members,
        Some(_) => return Err(invalid("`jwk` is not an object")),
        None => return Err(invalid("no `jwk`")),
    };
    let key = match jwk::read_key(members) {
        Ok(Some(key)) => key,
        Ok(None) => return Err(invalid("`jwk` is not for signatures")),
        // RFC 9449, section 4.3, item 7. The message for a key file would not fit.
        Err(problem) if problem.code == "key.private" => return Err(invalid("`jwk` holds a private or symmetric key")),
        Err(problem) => return Err(invalid(&problem.message)),
    };
    if !key.accepts(proof.algorithm) {
        return Err(invalid(&format!("`jwk` is {}, which is not for `alg` `{}`", key.material.key_type(), proof.algorithm.name())));
    }
    let thumbprint = thumbprint(members).ok_or_else(|| invalid("`jwk` has no thumbprint"))?;
    Ok((key, thumbprint))
}

/// The claims of a proof (RFC 9449, section 4.2). Others are ignored.
struct Claims<'a> {
    id: &'a str,
    method: &'a str,
    url: &'a str,
    issued: Time,
    expires: Option<Time>,
    not_before: Option<Time>,
    token: Digest,
    nonce: Option<&'a str>,
}

impl<'a> Claims<'a> {
    fn read(claims: &'a Object) -> Result<Self, Denial> {
        let invalid = |name: &str, what: &str| Denial::new(Reason::DpopClaimsInvalid, format!("`{name}` {what}"));
        let optional = |name: &str| match claims.get(name) {
            None => Ok(None),
            Some(Json::String(value)) => Ok(Some(value.as_str())),
            Some(_) => Err(invalid(name, "is not a string")),
        };
        let required = |name: &str| optional(name)?.filter(|value| !value.is_empty()).ok_or_else(|| invalid(name, "is missing or empty"));
        let moment = |name: &str| match claims.get(name) {
            None => Ok(None),
            Some(value) => time(value).map(Some).ok_or_else(|| invalid(name, "is not a number in range")),
        };
        let id = required("jti")?;
        if id.len() > limits::SHORT_CLAIM_BYTES || id.chars().any(char::is_control) {
            return Err(invalid("jti", "is too long or has control characters"));
        }
        Ok(Self {
            id,
            method: required("htm")?,
            url: required("htu")?,
            issued: moment("iat")?.ok_or_else(|| invalid("iat", "is missing"))?,
            expires: moment("exp")?,
            not_before: moment("nbf")?,
            token: binding::digest(required("ath")?).ok_or_else(|| invalid("ath", "is not a SHA-256 digest in base64url"))?,
            nonce: optional("nonce")?,
        })
    }

    /// Until when the proof counts, which must not have passed. `exp` and `nbf` are no claims of a proof; a client that sets
    /// them means them.
    fn fresh(&self, config: &DpopConfig, now: UnixTime) -> Result<UnixTime, Denial> {
        let UnixTime(now) = now;
        let latest = now.saturating_add(config.leeway);
        for (name, moment) in [("iat", Some(self.issued)), ("nbf", self.not_before)] {
            if let Some(moment) = moment.filter(|moment| moment.ceil > latest) {
                return Err(Denial::new(Reason::DpopIssuedInFuture, format!("`{name}` is {}", moment.floor)));
            }
        }
        let until = self.issued.floor.saturating_add(config.max_age).saturating_add(config.leeway);
        if now > until {
            return Err(Denial::new(Reason::DpopExpired, format!("`iat` is {}", self.issued.floor)));
        }
        if let Some(expires) = self.expires.filter(|expires| now >= expires.ceil.saturating_add(config.leeway)) {
            return Err(Denial::new(Reason::DpopExpired, format!("`exp` is {}", expires.floor)));
        }
        Ok(UnixTime(until))
    }
}
