//! Challenges: what a denied caller is told about the credential that would do (RFC 9110, section 11.6.1).
//!
//! A caller learns which schemes there are, where the metadata stands, and an error code for the scheme it used; never
//! which check a credential failed.

use super::asked::{self, Asked};
use super::metadata;
use crate::bundle::Gate;
use crate::decision::{Decision, Reason, UnixTime};
use crate::identity::{Deployment, Identity};
use crate::request::Facts;

/// The protection space (RFC 9110, section 11.5).
const REALM: &str = "cedargate";

/// What challenges are made from.
#[derive(Debug, Clone, Copy)]
pub struct Challenge<'a> {
    /// The gate.
    pub gate: &'a Gate,
    /// The request.
    pub facts: &'a Facts,
    /// What the deployment says: the public URL, and what nonces are keyed with.
    pub deployment: &'a Deployment,
    /// The time.
    pub now: UnixTime,
}

/// The schemes an access token can come in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Scheme {
    Bearer,
    Dpop,
}

impl Scheme {
    const fn as_str(self) -> &'static str {
        match self {
            Self::Bearer => "Bearer",
            Self::Dpop => "DPoP",
        }
    }
}

/// What is known of the deployment and the request, as far as challenges show it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
struct Offer {
    asked: Asked,
    /// The URL of the metadata.
    resource_metadata: Option<String>,
    /// Whether the request had `Authorization: DPoP`.
    sent_dpop: bool,
    /// For the next proof.
    nonce: Option<String>,
}

/// The fields of a denial that tell what to do about it.
pub(super) fn fields(decision: &Decision, challenge: Option<&Challenge<'_>>) -> Vec<(&'static str, String)> {
    let reason = decision.reason();
    let offer = || {
        challenge.map_or_else(Offer::default, |challenge| Offer {
            asked: Asked::of(challenge.gate),
            resource_metadata: Some(metadata::url(challenge.facts, challenge.deployment)),
            sent_dpop: challenge.facts.header("authorization").is_some_and(is_dpop),
            nonce: (reason.public() == "use_dpop_nonce")
                .then(|| asked::nonce(challenge.gate, challenge.deployment, challenge.now))
                .flatten(),
        })
    };
    let bound = matches!(&decision.identity, Identity::Token { token, .. } if token.confirmation.key.is_some());
    told(offer, reason, decision.status, bound, decision)
}

/// Whether the value of `Authorization` is of the scheme `DPoP`, which goes by any case (RFC 9110, section 11.1).
fn is_dpop(value: &str) -> bool {
    value.split(' ').next().is_some_and(|scheme| scheme.eq_ignore_ascii_case("dpop"))
}

/// The fields, of an offer that is made only where it is told.
fn told(offer: impl FnOnce() -> Offer, reason: Reason, status: u16, bound: bool, decision: &Decision) -> Vec<(&'static str, String)> {
    if !matches!(status, 401 | 403) {
        return vec![];
    }
    let error = error(reason, status, decision);
    if status == 403 && error.is_empty() {
        // Another credential would not help, as far as the gate knows.
        return vec![];
    }
    let offer = offer();
    let about_proof = matches!(reason.public(), "invalid_dpop_proof" | "use_dpop_nonce");
    let used = if about_proof || bound || offer.sent_dpop { Scheme::Dpop } else { Scheme::Bearer };
    let mut schemes = vec![used];
    if status == 401 && used == Scheme::Dpop {
        schemes.push(Scheme::Bearer);
    } else if status == 401 && (offer.asked.some_dpop || reason.code().starts_with("dpop.")) {
        // RFC 9449, section 7.1: a server that takes proofs says with which algorithms.
        schemes.push(Scheme::Dpop);
    }
    // One field line for each: a list of challenges in one line is read wrongly by many clients.
    let mut fields: Vec<_> = schemes
        .into_iter()
        .map(|scheme| ("www-authenticate", offer.challenge(scheme, if scheme == used { &error } else { &[] })))
        .collect();
    fields.extend(offer.nonce.map(|nonce| ("dpop-nonce", nonce)));
    fields
}

impl Offer {
    fn challenge(&self, scheme: Scheme, error: &[(&str, String)]) -> String {
        let mut challenge = format!("{} realm={}", scheme.as_str(), quoted(REALM));
        let mut parameter = |name: &str, value: &str| {
            challenge.push_str(", ");
            challenge.push_str(name);
            challenge.push('=');
            challenge.push_str(&quoted(value));
        };
        for (name, value) in error {
            parameter(name, value);
        }
        if scheme == Scheme::Dpop && !self.asked.proof_algorithms.is_empty() {
            parameter("algs", &self.asked.proof_algorithms.join(" "));
        }
        // RFC 9728, section 5.1: a parameter of any scheme.
        if let Some(url) = &self.resource_metadata {
            parameter("resource_metadata", url);
        }
        challenge
    }
}

/// The error parameters of the scheme that was used; none when no token was sent, or something else was wrong (RFC 6750,
/// section 3.1).
fn error(reason: Reason, status: u16, decision: &Decision) -> Vec<(&'static str, String)> {
    let error = |code: &str| ("error", code.to_owned());
    let described = |code: &str, text: &str| vec![error(code), ("error_description", text.to_owned())];
    let verdict = decision.verdict.as_ref();
    // An anonymous caller of what is forbidden: 401 for a reason that is 403 to others.
    if status != reason.status() {
        return vec![];
    }
    match reason.public() {
        code @ ("invalid_token" | "invalid_dpop_proof") => vec![error(code)],
        code @ "use_dpop_nonce" => described(code, "the proof needs a nonce from this server"),
        code @ "insufficient_scope" => {
            let scope = verdict.map(|verdict| verdict.missing_scope.join(" ")).unwrap_or_default();
            vec![error(code), ("scope", scope)]
        }
        code @ "insufficient_user_authentication" => {
            let mut parameters = described(code, "a stronger or a more recent login is needed");
            if let Some(step_up) = verdict.and_then(|verdict| verdict.step_up.as_ref()) {
                if !step_up.acr_values.is_empty() {
                    parameters.push(("acr_values", step_up.acr_values.join(" ")));
                }
                parameters.extend(step_up.max_age.map(|seconds| ("max_age", seconds.to_string())));
            }
            parameters
        }
        _ => vec![],
    }
}

/// A quoted string (RFC 9110, section 5.6.4). What is put into one was read strictly and holds neither quotes nor controls;
/// this does not depend on it.
fn quoted(value: &str) -> String {
    let mut out = String::from("\"");
    for c in value.chars().filter(|c| c.is_ascii_graphic() || *c == ' ') {
        if matches!(c, '"' | '\\') {
            out.push('\\');
        }
        out.push(c);
    }
    out.push('"');
    out
}

#[cfg(test)]
mod tests {
    use super::{Asked, Offer, is_dpop, quoted, told};
    use crate::decision::{Decision, Denial, Reason};
    use crate::policy::{StepUp, Verdict};

    const METADATA: &str = "https://a.example/.well-known/oauth-protected-resource";

    fn offer(dpop: bool) -> Offer {
        Offer {
            asked: Asked { some_dpop: dpop, proof_algorithms: vec!["ES256".to_owned(), "EdDSA".to_owned()], ..Asked::default() },
            resource_metadata: Some(METADATA.to_owned()),
            sent_dpop: false,
            nonce: None,
        }
    }

    fn with(reason: Reason, status: u16, missing_scope: &[&str], step_up: Option<StepUp>) -> Decision {
        let verdict = Verdict {
            allow: false,
            determining: vec![],
            errors: vec![],
            principal: String::new(),
            action: String::new(),
            resource: String::new(),
            missing_scope: missing_scope.iter().map(|scope| (*scope).to_owned()).collect(),
            step_up,
            unclear: false,
        };
        Decision { verdict: Some(verdict), status, ..Decision::denied(reason.into()) }
    }

    fn lines(offer: Offer, decision: &Decision) -> Vec<String> {
        let fields = told(|| offer, decision.reason(), decision.status, false, decision);
        fields.into_iter().map(|(name, value)| format!("{name}: {value}")).collect()
    }

    fn refused(offer: Offer, reason: Reason) -> Vec<String> {
        lines(offer, &Decision::denied(Denial::new(reason, "inner detail")))
    }

    fn line(challenge: &str) -> String {
        format!("www-authenticate: {challenge}, resource_metadata=\"{METADATA}\"")
    }

    #[test]
    fn without_a_credential_there_is_no_error_code() {
        let anonymous = with(Reason::PolicyForbid, 401, &[], None);
        assert_eq!(lines(offer(false), &anonymous), [line(r#"Bearer realm="cedargate""#)]);
        let both = [line(r#"Bearer realm="cedargate""#), line(r#"DPoP realm="cedargate", algs="ES256 EdDSA""#)];
        assert_eq!(lines(offer(true), &anonymous), both);
        assert_eq!(lines(Offer::default(), &anonymous), [r#"www-authenticate: Bearer realm="cedargate""#]);
    }

    #[test]
    fn the_error_is_told_of_the_scheme_that_was_used() {
        let invalid = r#"realm="cedargate", error="invalid_token""#;
        assert_eq!(refused(offer(false), Reason::JwtExpired), [line(&format!("Bearer {invalid}"))]);
        let sent = Offer { sent_dpop: true, ..offer(false) };
        let plain = line(r#"Bearer realm="cedargate""#);
        assert_eq!(refused(sent, Reason::JwtExpired), [line(&format!(r#"DPoP {invalid}, algs="ES256 EdDSA""#)), plain.clone()]);
        // RFC 9449, section 7.2: a bound token that came as `Bearer`.
        let dpop = line(r#"DPoP realm="cedargate", algs="ES256 EdDSA""#);
        assert_eq!(refused(offer(false), Reason::DpopBearer), [line(&format!("Bearer {invalid}")), dpop]);
        let proof = line(r#"DPoP realm="cedargate", error="invalid_dpop_proof", algs="ES256 EdDSA""#);
        assert_eq!(refused(offer(false), Reason::DpopReplay), [proof, plain.clone()]);
        // A certificate is no token.
        assert_eq!(refused(offer(false), Reason::MtlsChain), [plain]);
        assert_eq!(refused(offer(true), Reason::SystemKeysStale), [""; 0]);
        assert_eq!(refused(offer(true), Reason::RequestCredentialsConflict), [""; 0]);
    }

    #[test]
    fn a_nonce_comes_with_the_demand_for_one() {
        let offer = Offer { nonce: Some("n-1".to_owned()), ..offer(false) };
        let [first, _, last] = &*refused(offer, Reason::DpopNonceRequired) else { panic!("not three fields") };
        assert!(first.starts_with(r#"www-authenticate: DPoP realm="cedargate", error="use_dpop_nonce", error_description=""#), "{first}");
        assert_eq!(last, "dpop-nonce: n-1");
    }

    #[test]
    fn a_denial_of_policies_says_what_would_help() {
        let scope = with(Reason::PolicyInsufficientScope, 403, &["a", "b"], None);
        assert_eq!(lines(offer(true), &scope), [line(r#"Bearer realm="cedargate", error="insufficient_scope", scope="a b""#)]);
        let fields = told(|| offer(true), scope.reason(), 403, true, &scope);
        assert!(fields.len() == 1 && fields.iter().all(|(_, value)| value.starts_with("DPoP ")), "{fields:?}");
        assert_eq!(lines(offer(true), &with(Reason::PolicyForbid, 403, &[], None)), [""; 0]);
        let step_up = StepUp { acr_values: vec!["urn:a".to_owned(), "urn:b".to_owned()], max_age: Some(300) };
        let description = r#"error="insufficient_user_authentication", error_description="a stronger or a more recent login is needed""#;
        assert_eq!(
            lines(offer(false), &with(Reason::PolicyStepUp, 401, &[], Some(step_up))),
            [line(&format!(r#"Bearer realm="cedargate", {description}, acr_values="urn:a urn:b", max_age="300""#))]
        );
        let age = StepUp { acr_values: vec![], max_age: Some(5) };
        assert_eq!(
            lines(offer(false), &with(Reason::PolicyStepUp, 401, &[], Some(age))),
            [line(&format!(r#"Bearer realm="cedargate", {description}, max_age="5""#))]
        );
    }

    #[test]
    fn nothing_breaks_out_of_a_quoted_string() {
        assert_eq!(quoted("a\"b\\c\r\nd\u{e9}"), r#""a\"b\\cd""#);
        assert!(is_dpop("dPoP x") && !is_dpop("Bearer dpop") && !is_dpop("dpopx y"));
    }
}
