//! Whether a URL may be signed: Cedar must allow `sign` and each method itself, for this caller, on that resource.

use super::{Decision, Denial, Identified, Reason, UnixTime, denial_of, reason_of};
use crate::bundle::Gate;
use crate::identity::{Credential, Identity};
use crate::policy::{PolicyRef, Purpose, Scan, Signing, Verdict};
use crate::request::{Facts, Method};
use crate::signed_url::{SignedUrls, Wanted};

/// Proof that Cedar allowed a URL, holding what was decided on.
///
/// Signing takes it by value: there is no way to sign anything else, or twice. Only `decision` can make one.
#[derive(Debug)]
pub struct SigningPermit {
    wanted: Wanted,
    principal: String,
}

impl SigningPermit {
    /// What may be signed, and the Cedar principal it is for.
    pub fn into_parts(self) -> (Wanted, String) {
        (self.wanted, self.principal)
    }
}

/// What was concluded about one URL.
#[derive(Debug)]
pub struct SigningDecision {
    /// The resource and what decided: of a denial the verdict that denies, of a permit the one on `sign`.
    pub verdict: Option<Verdict>,
    /// Every policy that determined an answer about this URL. Sorted, unique.
    pub policies: Vec<PolicyRef>,
    /// Permit or denial.
    pub outcome: Result<SigningPermit, Denial>,
    /// The status of a denial.
    pub status: u16,
}

/// What was concluded about a request for URLs.
#[derive(Debug)]
pub struct SigningDecisions {
    /// Who asked.
    pub identity: Identity,
    /// What became of each credential.
    pub credentials: Vec<Credential>,
    /// One for each URL, in order.
    pub items: Vec<SigningDecision>,
}

/// Decides about URLs. The same inputs always give the same decisions.
///
/// # Errors
/// The decision about the whole request, when its credentials were refused.
pub fn authorize_signing(
    gate: &Gate,
    config: &SignedUrls,
    facts: &Facts,
    identified: Identified,
    items: Vec<Wanted>,
    now: UnixTime,
    scan: Scan,
) -> Result<SigningDecisions, Box<Decision>> {
    let Identified(identity, credentials) = identified.refused()?;
    let identity = identity.unwrap_or(Identity::Anonymous);
    let items = items.into_iter().map(|wanted| one(gate, config, facts, &identity, wanted, (now, scan))).collect();
    Ok(SigningDecisions { identity, credentials, items })
}

fn one(gate: &Gate, config: &SignedUrls, facts: &Facts, identity: &Identity, wanted: Wanted, how: (UnixTime, Scan)) -> SigningDecision {
    let signing = Signing {
        expires_in: wanted.expires_in,
        format: wanted.format.name(),
        prefix: wanted.prefix,
        bound_to_address: wanted.network.is_some(),
    };
    // SECURITY: or a link could have itself renewed for ever.
    if identity.link().is_some() {
        let denial = Denial::new(Reason::PolicyNoPermit, "a signed URL makes no others");
        return decided(None, vec![], Err(denial), Reason::PolicyNoPermit.status());
    }
    let Asked { verdict, policies, reason } =
        ask_signing(gate, identity, &wanted.methods, |method| asked(facts, &wanted, method), signing, how);
    let Some(verdict) = verdict else {
        // Never: an item has a method. Nothing was asked, so nothing is permitted.
        return decided(None, policies, Err(Reason::SystemInternal.into()), Reason::SystemInternal.status());
    };
    if reason != Reason::PolicyPermit {
        let (denial, status) = denial_of(reason, &verdict, identity);
        return decided(Some(verdict), policies, Err(denial), status);
    }
    // Only who may have it learns how long it could last.
    let route = gate.policy().link_seconds(wanted.path.segments());
    let most = route.map_or(config.max_lifetime, |route| route.min(config.max_lifetime));
    if wanted.expires_in > most {
        let denial = Denial::new(Reason::SignLifetime, format!("`expires_in` is {}, and at most {most} here", wanted.expires_in));
        let status = denial.reason.status();
        return decided(Some(verdict), policies, Err(denial), status);
    }
    let permit = SigningPermit { wanted, principal: verdict.principal.clone() };
    decided(Some(verdict), policies, Ok(permit), 200)
}

/// What policies answered about one URL.
pub(super) struct Asked {
    /// Of a denial the verdict that denies, of a permit the one on `sign`. None when there is no method.
    pub(super) verdict: Option<Verdict>,
    /// Every policy that determined an answer. Sorted, unique.
    pub(super) policies: Vec<PolicyRef>,
    /// [`Reason::PolicyPermit`], or the first reason against it.
    pub(super) reason: Reason,
}

/// Asks for `sign` and for each method itself, until something is against it.
pub(super) fn ask_signing(
    gate: &Gate,
    identity: &Identity,
    methods: &[Method],
    facts: impl Fn(Method) -> Facts,
    signing: Signing,
    (now, scan): (UnixTime, Scan),
) -> Asked {
    let mut asked = Asked { verdict: None, policies: vec![], reason: Reason::PolicyPermit };
    'methods: for method in methods {
        let facts = facts(*method);
        for purpose in [Purpose::Sign(signing), Purpose::Request] {
            let verdict = gate.policy().authorize_by(scan, &facts, identity, purpose, now);
            asked.policies.extend(verdict.determining.iter().cloned());
            asked.reason = reason_of(&verdict);
            let against = asked.reason != Reason::PolicyPermit;
            if against || matches!(purpose, Purpose::Sign(_)) {
                asked.verdict = Some(verdict);
            }
            if against {
                break 'methods;
            }
        }
    }
    asked.policies.sort();
    asked.policies.dedup();
    asked
}

fn decided(verdict: Option<Verdict>, policies: Vec<PolicyRef>, outcome: Result<SigningPermit, Denial>, status: u16) -> SigningDecision {
    SigningDecision { verdict, policies, outcome, status }
}

/// The request that the caller would make instead of asking for a URL: theirs in everything but method and target.
fn asked(facts: &Facts, wanted: &Wanted, method: Method) -> Facts {
    let Wanted { path, query, parameters, .. } = wanted;
    Facts { method, path: path.clone(), query: query.clone(), parameters: parameters.clone(), ..facts.clone() }
}
