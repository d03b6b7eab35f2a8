//! How the TLS terminator proves that it is the one who speaks.

use crate::decision::{Denial, Reason};
use crate::identity::Deployment;
use crate::request::{Facts, Network};

/// What is asked of it: everything that is configured.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Terminator {
    /// The field with its secret.
    pub(super) secret_header: Option<String>,
    /// Where it connects from.
    pub(super) addresses: Vec<Network>,
    /// Nothing at all. For tests.
    pub(super) insecure_trust_any: bool,
}

impl Terminator {
    /// # Errors
    /// `mtls.untrusted_terminator`.
    pub(super) fn prove(&self, facts: &Facts, deployment: &Deployment) -> Result<(), Denial> {
        let untrusted = |what: &str| Err(Denial::new(Reason::MtlsUntrustedTerminator, what));
        let Self { secret_header, addresses, insecure_trust_any } = self;
        if secret_header.is_none() && addresses.is_empty() && !insecure_trust_any {
            // Configuration asks for one of them; without any, nobody is trusted.
            return untrusted("nothing is configured by which it could prove itself");
        }
        if let Some(name) = secret_header {
            if deployment.terminator_secrets.is_empty() {
                return untrusted("the deployment has no terminator secret");
            }
            // The exact name, and exactly once: beside the terminator's own there is none a client wrote.
            let mut values = facts.headers.iter().filter(|(field, _)| field == name).map(|(_, value)| value);
            let (Some(value), None) = (values.next(), values.next()) else {
                return untrusted("the field with its secret is missing or repeated");
            };
            // SECURITY: no early exit, so that the time tells neither which secret matched nor how many there are to try.
            if !deployment.terminator_secrets.iter().fold(false, |found, secret| found | secret.matches(value)) {
                return untrusted("its secret is wrong");
            }
        }
        if !addresses.is_empty() {
            let Some(peer) = facts.peer else { return untrusted("the runtime does not tell the address of the connection") };
            if !addresses.iter().any(|network| network.contains(peer)) {
                return untrusted("the address of the connection is not one of its");
            }
        }
        Ok(())
    }
}
