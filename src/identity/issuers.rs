//! The issuers a gate trusts, and the verification of a credential in the order that makes refusing cheap.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::algorithm::Algorithm;
use super::binding::Required;
use super::jwt::Token;
use super::key::Key;
use super::known::KnownToken;
use super::remote::Remote;
use super::status::Lists;
use super::{DpopConfig, KeyNeed, PrincipalKind, SignatureBackend, Supply, Url, claims, load, text};
#[cfg(test)]
use super::{Identity, authorization};
use crate::bundle::{Bundle, Report};
use crate::decision::{Denial, Reason, UnixTime};
use crate::limits;
#[cfg(test)]
use crate::request::Evidence;

/// The issuers a gate trusts, with their public keys. Everything is parsed and checked; it is the same for every request.
#[derive(Debug)]
pub struct Issuers {
    by_iss: BTreeMap<String, Issuer>,
    dpop: DpopConfig,
}

/// Where in the claims to look. A path has one name for each level.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct ClaimPaths {
    pub(super) subject: Vec<String>,
    pub(super) groups: Vec<String>,
    pub(super) roles: Vec<String>,
    pub(super) scope: Vec<String>,
}

impl Default for ClaimPaths {
    fn default() -> Self {
        let [subject, groups, roles, scope] = ["sub", "groups", "roles", "scope"].map(|name| vec![name.to_owned()]);
        Self { subject, groups, roles, scope }
    }
}

/// One issuer.
#[derive(Debug)]
pub(super) struct Issuer {
    pub(super) name: String,
    pub(super) iss: String,
    pub(super) audience: BTreeSet<String>,
    pub(super) algorithms: BTreeSet<Algorithm>,
    /// Allowed `typ`, normalised.
    pub(super) types: BTreeSet<String>,
    pub(super) allow_missing_type: bool,
    pub(super) leeway: i64,
    pub(super) max_age: Option<i64>,
    pub(super) kind: PrincipalKind,
    pub(super) prefix: String,
    pub(super) claims: ClaimPaths,
    /// Claim value → Cedar id.
    pub(super) group_ids: BTreeMap<String, String>,
    pub(super) role_ids: BTreeMap<String, String>,
    pub(super) keys: Vec<Key>,
    /// What its tokens must be bound to.
    pub(super) required: Required,
    /// Which status lists its tokens may name.
    pub(super) lists: Lists,
    /// Whether addresses without TLS are taken, of keys and of status lists.
    pub(super) allow_http: bool,
    /// Where more keys come from.
    pub(super) remote: Option<Remote>,
}

impl Issuers {
    /// The name of each issuer and what the ids of its subjects begin with.
    pub(super) fn prefixes(&self) -> impl Iterator<Item = (&str, &str)> {
        self.by_iss.values().map(|issuer| (issuer.name.as_str(), issuer.prefix.as_str()))
    }

    /// Loads `keys/` of a bundle. `None` when there was a problem; all of them are in `report`.
    pub fn load(bundle: &Bundle, report: &mut Report) -> Option<Self> {
        load::load(bundle, report)
    }

    /// Prepares as many keys as there is room for, in the order of issuers and keys.
    pub(super) fn new(issuers: impl Iterator<Item = Issuer>, dpop: DpopConfig) -> Self {
        let mut by_iss: BTreeMap<_, _> = issuers.map(|issuer| (issuer.iss.clone(), issuer)).collect();
        let mut room = limits::PREPARED_SEALED_BYTES;
        by_iss.values_mut().for_each(|issuer| issuer.prepare(&mut room));
        Self { by_iss, dpop }
    }

    /// How many issuers there are.
    pub fn len(&self) -> usize {
        self.by_iss.len()
    }

    /// Whether nobody is trusted, so that every request is anonymous.
    pub fn is_empty(&self) -> bool {
        self.by_iss.is_empty()
    }

    /// The issuers' names, in the order of their `iss`.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.by_iss.values().map(|issuer| issuer.name.as_str())
    }

    /// Of the issuer of this name: its exact `iss`, what its subjects are, and what their ids begin with.
    pub fn describe(&self, name: &str) -> Option<(&str, PrincipalKind, &str)> {
        self.named(name).map(|issuer| (issuer.iss.as_str(), issuer.kind, issuer.prefix.as_str()))
    }

    /// How many keys there are, over all issuers.
    pub fn keys(&self) -> usize {
        self.by_iss.values().map(|issuer| issuer.keys.len()).sum()
    }

    /// Where this issuer publishes its keys; `None` when all of them are sealed, or there is no such issuer.
    pub fn remote(&self, name: &str) -> Option<&Remote> {
        self.by_iss.values().find(|issuer| issuer.name == name)?.remote.as_ref()
    }

    /// Everywhere keys are fetched from.
    pub fn remotes(&self) -> impl Iterator<Item = &Remote> {
        self.by_iss.values().filter_map(|issuer| issuer.remote.as_ref())
    }

    /// The addresses status lists may have, or lie below, each with the name of its issuer.
    pub fn status_lists(&self) -> impl Iterator<Item = (&str, &Url)> {
        self.by_iss.values().flat_map(|issuer| issuer.lists.addresses().map(|url| (issuer.name.as_str(), url)))
    }

    /// The names of the issuers that are asked without TLS where an address says so.
    pub(crate) fn without_tls(&self) -> impl Iterator<Item = &str> {
        self.by_iss.values().filter(|issuer| issuer.allow_http).map(|issuer| issuer.name.as_str())
    }

    /// The exact `iss` of the issuer with this `iss`, or else with this name.
    pub(super) fn iss_of(&self, text: &str) -> Option<&str> {
        let named = || self.by_iss.values().find(|issuer| issuer.name == text);
        self.by_iss.get(text).or_else(named).map(|issuer| issuer.iss.as_str())
    }

    /// The exact `iss` of each, sorted.
    pub fn identifiers(&self) -> impl Iterator<Item = &str> {
        self.by_iss.keys().map(String::as_str)
    }

    /// Whether an issuer wants its tokens bound to a client certificate.
    pub fn any_requires_certificate(&self) -> bool {
        self.by_iss.values().any(|issuer| issuer.required.certificate)
    }

    /// Whether an issuer wants its tokens bound to a key.
    pub fn any_requires_dpop(&self) -> bool {
        self.by_iss.values().any(|issuer| issuer.required.dpop)
    }

    /// Whether every issuer does, so that no token counts without a proof. `false` where there is none.
    pub fn all_require_dpop(&self) -> bool {
        !self.is_empty() && self.by_iss.values().all(|issuer| issuer.required.dpop)
    }

    /// What is asked of DPoP proofs.
    pub fn dpop(&self) -> &DpopConfig {
        &self.dpop
    }

    /// Whose fetched keys a token needs; `None` when a sealed key will do, or the issuer has no others.
    pub(super) fn key_need(&self, token: &Token<'_>) -> Option<KeyNeed> {
        self.issuer_of(token).ok()?.key_need(token)
    }

    /// Verifies a token: issuer, algorithm, type, key, signature, claims.
    ///
    /// # Errors
    /// A denial with a `jwt.…` reason, or `system.keys_stale`.
    pub(super) fn verify(
        &self,
        token: &Token<'_>,
        supply: Supply<'_>,
        signatures: SignatureBackend,
        now: UnixTime,
    ) -> Result<(&Issuer, KnownToken), Denial> {
        let issuer = self.issuer_of(token)?;
        issuer.allows(token)?;
        // SECURITY: nothing of the claims but `iss` is looked at before this line, and `iss` only to find the key.
        let key = issuer.signing_key(token, supply, signatures)?;
        let (identity, times) = claims::identity(issuer, token, key.kid.as_deref(), now)?;
        let need = issuer.key_need(token);
        let set = need.as_ref().and(supply.digest());
        Ok((issuer, KnownToken { identity: Arc::new(identity), times, need, set }))
    }

    /// The issuer of a token that verified before and would verify now. None where it has to be verified again: its keys are others now,
    /// or are not known.
    ///
    /// # Errors
    /// That it expired, or another of its times speaks against it.
    pub(super) fn recall(&self, known: &KnownToken, supply: Supply<'_>, now: UnixTime) -> Result<Option<&Issuer>, Denial> {
        let Some(issuer) = self.by_iss.get(&known.identity.issuer) else { return Ok(None) };
        let same_keys = match (&known.need, supply) {
            (None, _) => true,
            // SECURITY: of the same bytes, and fetched for this issuer.
            (Some(_), Supply::Set(set)) => {
                known.set == Some(set.digest()) && issuer.remote.as_ref().is_some_and(|remote| set.is_of(remote))
            }
            (Some(_), Supply::NotNeeded | Supply::Stale) => false,
        };
        if !same_keys {
            return Ok(None);
        }
        claims::check_times(issuer, &known.times, now)?;
        Ok(Some(issuer))
    }

    /// A bearer token alone, for tests.
    #[cfg(test)]
    pub(crate) fn identify(&self, evidence: &Evidence, now: UnixTime) -> Result<Identity, Denial> {
        let Some(value) = &evidence.authorization else { return Ok(Identity::Anonymous) };
        let (_, compact) = authorization::read(value)?;
        let (_, known) = self.verify(&Token::parse(compact)?, Supply::NotNeeded, SignatureBackend::default(), now)?;
        Ok(Identity::Token { token: known.identity, certificate: None })
    }

    /// The issuer of this name in `keys/issuers.toml`.
    pub(super) fn named(&self, name: &str) -> Option<&Issuer> {
        self.by_iss.values().find(|issuer| issuer.name == name)
    }

    fn issuer_of(&self, token: &Token<'_>) -> Result<&Issuer, Denial> {
        let iss = token.claims.get("iss").and_then(|iss| iss.as_str()).ok_or(Reason::JwtIssuerMissing)?;
        self.by_iss.get(iss).ok_or_else(|| Denial::new(Reason::JwtIssuerUnknown, format!("`iss` is `{}`", text::shown(iss))))
    }
}

impl Issuer {
    /// Whether a token of this issuer needs its fetched keys.
    pub(super) fn key_need(&self, token: &Token<'_>) -> Option<KeyNeed> {
        self.remote.as_ref()?;
        let sealed = token.kid.is_some() && self.keys.iter().any(|key| key.kid == token.kid);
        (!sealed).then(|| KeyNeed { issuer: self.name.clone(), kid: token.kid.clone() })
    }

    /// The key that signed a token. A signature that does not verify is refused.
    pub(super) fn signing_key<'k>(
        &'k self,
        token: &Token<'_>,
        supply: Supply<'k>,
        signatures: SignatureBackend,
    ) -> Result<&'k Key, Denial> {
        let key = self.key_for(token, supply)?;
        match key.verify(signatures, token.algorithm, token.signing_input.as_bytes(), &token.signature) {
            true => Ok(key),
            false => Err(Denial::new(Reason::JwtSignatureInvalid, self.about(token))),
        }
    }

    /// Prepares the sealed keys that its tokens may be signed with, as long as there is room, in bytes.
    fn prepare(&mut self, room: &mut usize) {
        for key in &mut self.keys {
            if let Some((algorithm, bytes)) = key.preparable()
                && self.algorithms.contains(&algorithm)
                && let Some(left) = room.checked_sub(bytes)
                && let Some(prepared) = key.prepare()
            {
                (*key, *room) = (prepared, left);
            }
        }
    }

    /// What a denial says of a token, for the record.
    fn about(&self, token: &Token<'_>) -> String {
        let kid = token.kid.as_deref().map_or("no `kid`".to_owned(), |kid| format!("`kid` `{}`", text::shown(kid)));
        format!("issuer `{}`, {kid}, `alg` `{}`", self.name, token.algorithm.name())
    }

    /// Algorithm and type against the configuration.
    fn allows(&self, token: &Token<'_>) -> Result<(), Denial> {
        if !self.algorithms.contains(&token.algorithm) {
            return Err(Denial::new(Reason::JwtAlgorithmNotAllowed, self.about(token)));
        }
        match &token.typ {
            Some(typ) if self.types.contains(typ) => Ok(()),
            Some(typ) => Err(Denial::new(Reason::JwtTypeNotAllowed, format!("`typ` is `{}`", text::shown(typ)))),
            None if self.allow_missing_type => Ok(()),
            None => Err(Denial::new(Reason::JwtTypeNotAllowed, "no `typ`")),
        }
    }

    /// The key, among this issuer's only: by `kid` where the token has one, else the only one that could verify it.
    fn key_for<'k>(&'k self, token: &Token<'_>, supply: Supply<'k>) -> Result<&'k Key, Denial> {
        let fetched: &[Key] = match supply {
            // SECURITY: a set that was fetched for one issuer never serves another.
            Supply::Set(set) if self.remote.as_ref().is_some_and(|remote| set.is_of(remote)) => &set.keys,
            Supply::Set(_) | Supply::NotNeeded | Supply::Stale => &[],
        };
        let stale = matches!(supply, Supply::Stale) && self.remote.is_some();
        let unknown = |reason| if stale { Reason::SystemKeysStale } else { reason };
        // Sealed keys come first, so that a fetched one cannot take the name of one of them.
        let mut keys = self.keys.iter().chain(fetched);
        if let Some(kid) = &token.kid {
            // SECURITY: `kid` is unique within an issuer, and a `kid` that is not found is not guessed around.
            let key = keys.find(|key| key.kid.as_ref() == Some(kid));
            let key = key.ok_or_else(|| Denial::new(unknown(Reason::JwtKeyUnknown), self.about(token)))?;
            return match key.accepts(token.algorithm) {
                true => Ok(key),
                false => Err(Denial::new(Reason::JwtAlgorithmMismatch, self.about(token))),
            };
        }
        let mut candidates = keys.filter(|key| key.accepts(token.algorithm));
        match (candidates.next(), candidates.next()) {
            (Some(key), None) if !stale => Ok(key),
            (Some(_), None) | (None, _) => Err(Denial::new(unknown(Reason::JwtKeyUnknown), self.about(token))),
            (Some(_), Some(_)) => Err(Denial::new(Reason::JwtKeyAmbiguous, self.about(token))),
        }
    }
}
