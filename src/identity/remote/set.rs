//! A key set that was fetched: checked like a sealed one, and only ever one issuer's.

use std::collections::BTreeSet;

use super::Remote;
use crate::bundle::Digest;
use crate::identity::jwk::{self, KeyFile};
use crate::identity::key::Key;
use crate::identity::text;
use crate::limits;

/// A key set that was fetched for one issuer and checked like a sealed one.
#[derive(Debug, Clone)]
pub struct KeySet {
    pub(in crate::identity) keys: Vec<Key>,
    /// Whose ([`Remote::identity`]).
    source: Digest,
    /// Of what was fetched: the same for the same keys only.
    digest: Digest,
}

impl KeySet {
    /// Whether the set has a key of this name.
    pub fn has(&self, kid: &str) -> bool {
        self.keys.iter().any(|key| key.kid.as_deref() == Some(kid))
    }

    /// Whether the key of this name is prepared for `algorithm`; `None` when it cannot be.
    pub fn is_prepared(&self, kid: &str, algorithm: &str) -> Option<bool> {
        let key = self.keys.iter().find(|key| key.kid.as_deref() == Some(kid))?;
        key.preparable().filter(|(own, _)| own.name() == algorithm).map(|_| key.is_prepared())
    }

    /// The same set with the key of this name prepared, or as it is read; other keys stay what they are.
    #[must_use]
    pub fn with_key(&self, kid: &str, prepared: bool) -> Self {
        let change = |key: &Key| match prepared {
            _ if key.kid.as_deref() != Some(kid) => key.clone(),
            true => key.prepare().unwrap_or_else(|| key.clone()),
            false => key.unprepared(),
        };
        Self { keys: self.keys.iter().map(change).collect(), source: self.source, digest: self.digest }
    }

    /// The digest of what was fetched.
    pub(in crate::identity) fn digest(&self) -> Digest {
        self.digest
    }

    /// Whether it was fetched for this issuer, as it is configured now.
    pub(in crate::identity) fn is_of(&self, remote: &Remote) -> bool {
        self.source == remote.identity()
    }
}

impl Remote {
    /// Checks a fetched set. It is refused whole for anything wrong with it but keys of kinds this gate does not know, which
    /// providers may add at any time and which are left out.
    ///
    /// # Errors
    /// What is wrong with it, for the operator.
    pub fn read_set(&self, bytes: &[u8]) -> Result<KeySet, String> {
        if bytes.len() > limits::KEY_SET_BYTES {
            return Err(format!("the set has more than {} bytes", limits::KEY_SET_BYTES));
        }
        // SECURITY: whoever publishes a private key has lost it, whatever else is in the set, and wherever in it.
        if jwk::holds_private_key(bytes) {
            return Err("the set holds a private or symmetric key".to_owned());
        }
        let KeyFile { keys, problems } = jwk::read(bytes);
        if let Some(problem) = problems.iter().find(|problem| problem.code != "key.unsupported") {
            return Err(format!("{}: {}", problem.code, problem.message));
        }
        let mut names = BTreeSet::new();
        for kid in keys.iter().filter_map(|key| key.kid.as_deref()) {
            // SECURITY: which of the two would verify a token would be a matter of their order.
            if !names.insert(kid) {
                return Err(format!("the `kid` `{}` occurs twice", text::shown(kid)));
            }
        }
        if keys.is_empty() {
            return Err("the set has no key this gate could verify with".to_owned());
        }
        Ok(KeySet { keys, source: self.identity(), digest: Digest::of(bytes) })
    }
}
