//! What `mode = "observe"` lets through: the one place where a request that policies denied gets the right to go on.
//!
//! Credentials are as valid or invalid as ever, and a request that cannot be read in one way only is refused as ever. What changes is
//! that a denial by policies is only told. Changing the revocation list and making signed URLs stay decided: what they hand out would
//! outlast the mode.

use super::{Permit, Reason};
use crate::policy::{Purpose, Verdict};
use crate::request::{Facts, Method};

/// Whether what policies deny ends at the gate: the variable `mode`.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Mode {
    /// It does.
    #[default]
    Enforce,
    /// It is recorded as denied, and goes on.
    Observe,
}

impl Mode {
    /// Reads the variable.
    ///
    /// # Errors
    /// A sentence for whoever set it.
    pub fn parse(text: &str) -> Result<Self, String> {
        match text {
            // As Spin hands over a variable that nobody set.
            "" | "enforce" => Ok(Self::Enforce),
            "observe" => Ok(Self::Observe),
            _ => Err("variable `mode` must be `enforce` or `observe`".to_owned()),
        }
    }

    /// Its name.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Enforce => "enforce",
            Self::Observe => "observe",
        }
    }

    /// What is weakened by it, for whoever reads the log: a line without an end.
    pub const fn insecure(self) -> Option<&'static str> {
        match self {
            Self::Enforce => None,
            Self::Observe => Some("variable mode: insecure: `observe` lets through what policies deny, and only records it"),
        }
    }

    /// Whether the answer of policies to this question binds.
    ///
    /// SECURITY: an ambiguous request is no outcome of a policy, though it is a policy that could not be asked about it.
    pub(super) fn binds(self, purpose: Purpose, verdict: &Verdict) -> bool {
        match (self, purpose) {
            (Self::Enforce, _) | (_, Purpose::Revoke | Purpose::Sign(_)) => true,
            (Self::Observe, Purpose::Request) => verdict.unclear,
        }
    }
}

/// Proof that a request may go on which policies denied: the gate only observes, its credentials verified, and it could be understood.
///
/// Like a [`Permit`] it is taken by value and holds what was decided on; unlike one it is good for nothing but being forwarded. Only
/// [`super::authorize`] can make one.
#[derive(Debug)]
pub struct Observed {
    carried: Permit,
    reason: Reason,
}

impl Observed {
    pub(super) fn new(facts: &Facts, verdict: &Verdict, reason: Reason) -> Self {
        Self { carried: Permit::new(facts, verdict), reason }
    }
}

/// The right to be forwarded, used up by it.
#[derive(Debug)]
pub enum Passage {
    /// Policies allowed it.
    Permit(Permit),
    /// Policies denied it, and the gate only observes.
    Observed(Observed),
}

impl Passage {
    /// The method to forward.
    pub fn method(&self) -> Method {
        self.carried().method()
    }

    /// Path and query exactly as received.
    pub fn path_with_query(&self) -> &str {
        self.carried().path_with_query()
    }

    /// The Cedar principal, for example `Gate::User::"corp/alice"`.
    pub fn principal(&self) -> &str {
        self.carried().principal()
    }

    /// Why it would have been denied, where it would.
    pub fn denied(&self) -> Option<Reason> {
        match self {
            Self::Permit(_) => None,
            Self::Observed(observed) => Some(observed.reason),
        }
    }

    fn carried(&self) -> &Permit {
        match self {
            Self::Permit(permit) | Self::Observed(Observed { carried: permit, .. }) => permit,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::{Decision, Identified, UnixTime, authorize};
    use super::*;
    use crate::bundle::{Bundle, Gate};
    use crate::decision::Denial;
    use crate::identity::Identity;
    use crate::policy::{Scan, Signing};
    use crate::request::{Proxies, RawRequest, Reading, read};

    const NOW: UnixTime = UnixTime(1_799_834_400);
    const POLICIES: &str = r#"
        @id("public") permit(principal is Gate::Anonymous, action == Gate::Action::"GET", resource == Gate::Path::"/open");
        @id("never") forbid(principal, action, resource == Gate::Path::"/shut");
        @id("fails") permit(principal, action, resource == Gate::Path::"/fails") when { context.hour + 9223372036854775807 > 0 };
    "#;

    fn gate() -> Gate {
        let root = std::path::Path::new(env!("CARGO_MANIFEST_DIR"));
        let mut bundle = Bundle::default();
        bundle.insert("policies/schema.cedarschema", std::fs::read(root.join("policies/schema.cedarschema")).unwrap());
        bundle.insert("policies/all.cedar", POLICIES);
        bundle.insert("policies/routes.toml", "version = 1\ncontext_headers = [\"x-tenant\"]\n");
        bundle.insert("keys/issuers.toml", "version = 1\n");
        Gate::load(&bundle).unwrap_or_else(|report| panic!("{report}"))
    }

    fn facts(path: &str, more: &[(&str, &str)]) -> Facts {
        let mut headers = vec![("host".to_owned(), b"api.example.com".to_vec()), ("spin-client-addr".to_owned(), b"10.0.0.1:1".to_vec())];
        headers.extend(more.iter().map(|(name, value)| ((*name).to_owned(), value.as_bytes().to_vec())));
        let raw = RawRequest { method: "GET", scheme: Some("https"), authority: None, path_with_query: Some(path), headers: &headers };
        read(&raw, Reading { proxies: Proxies::default(), signed_urls: false }).unwrap().0
    }

    fn ask(path: &str, more: &[(&str, &str)], purpose: Purpose, mode: Mode) -> Decision {
        authorize(&gate(), &facts(path, more), Identified(Ok(Identity::Anonymous), vec![]), purpose, NOW, mode, Scan::Index)
    }

    #[test]
    fn what_policies_deny_goes_on_only_where_the_gate_observes() {
        for (path, reason) in [("/shut", Reason::PolicyForbid), ("/elsewhere", Reason::PolicyNoPermit), ("/fails", Reason::PolicyError)] {
            let enforced = ask(path, &[], Purpose::Request, Mode::Enforce);
            assert!(enforced.enforced && enforced.observed.is_none(), "{path}");
            let decision = ask(path, &[], Purpose::Request, Mode::Observe);
            // What was decided is the same.
            assert_eq!((decision.reason(), decision.status, &decision.verdict), (reason, enforced.status, &enforced.verdict), "{path}");
            assert_eq!(enforced.outcome.unwrap_err(), decision.outcome.unwrap_err());
            assert!(!decision.enforced);
            let passage = Passage::Observed(decision.observed.unwrap());
            assert_eq!((passage.method(), passage.path_with_query(), passage.denied()), (Method::Get, path, Some(reason)));
            assert_eq!(passage.principal(), decision.verdict.unwrap().principal);
        }
    }

    #[test]
    fn what_policies_allow_is_permitted_in_both_modes() {
        for (mode, enforced) in [(Mode::Enforce, true), (Mode::Observe, false)] {
            let decision = ask("/open", &[], Purpose::Request, mode);
            assert_eq!((decision.reason(), decision.enforced, decision.observed.is_none()), (Reason::PolicyPermit, enforced, true));
            assert_eq!(Passage::Permit(decision.outcome.unwrap()).denied(), None);
        }
    }

    #[test]
    fn a_refused_credential_and_an_unclear_request_are_denied_in_both_modes() {
        for mode in [Mode::Enforce, Mode::Observe] {
            let refused = Identified(Err(Denial::from(Reason::JwtExpired)), vec![]);
            let decision = authorize(&gate(), &facts("/open", &[]), refused, Purpose::Request, NOW, mode, Scan::Index);
            assert_eq!((decision.reason(), decision.enforced, decision.observed.is_none()), (Reason::JwtExpired, true, true));
            // Which of the two the origin would believe nobody knows; the control is one of them.
            let decision = ask("/shut", &[("x-tenant", "a"), ("x-tenant", "b")], Purpose::Request, mode);
            assert_eq!((decision.reason(), decision.enforced, decision.observed.is_none()), (Reason::PolicyError, true, true));
            let control = ask("/shut", &[("x-tenant", "a")], Purpose::Request, mode);
            assert_eq!((control.reason(), control.observed.is_some()), (Reason::PolicyForbid, mode == Mode::Observe));
        }
    }

    #[test]
    fn what_would_outlast_the_mode_is_decided_in_both_modes() {
        let signing = Signing { expires_in: 60, format: "cedargate", prefix: false, bound_to_address: false };
        for purpose in [Purpose::Revoke, Purpose::Sign(signing)] {
            let decision = ask("/elsewhere", &[], purpose, Mode::Observe);
            assert!(decision.outcome.is_err() && decision.enforced && decision.observed.is_none(), "{purpose:?}");
        }
    }

    #[test]
    fn a_method_that_the_schema_does_not_know_is_for_policies_to_deny() {
        let mut verdict = ask("/elsewhere", &[], Purpose::Request, Mode::Observe).verdict.unwrap();
        assert!(!Mode::Observe.binds(Purpose::Request, &verdict) && Mode::Enforce.binds(Purpose::Request, &verdict));
        verdict.unclear = true;
        assert!(Mode::Observe.binds(Purpose::Request, &verdict));
    }

    #[test]
    fn the_variable_has_two_values() {
        assert_eq!(Mode::parse(""), Ok(Mode::Enforce));
        for mode in [Mode::Enforce, Mode::Observe] {
            assert_eq!(Mode::parse(mode.as_str()), Ok(mode));
            assert_eq!(mode.insecure().is_some(), mode == Mode::Observe);
        }
        for wrong in ["Observe", "observe ", "off", "monitor", "enforce,observe"] {
            assert!(Mode::parse(wrong).is_err(), "{wrong}");
        }
    }
}
