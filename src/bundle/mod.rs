//! Files to [`Gate`]: the one loader, used natively by `cedargate check` and inside the component when it is sealed.
//!
//! A [`Bundle`] is an ordered set of (path, bytes) with one digest, the *policy digest*. [`Gate::load`] is strict: what it
//! reports as a problem cannot be sealed.

mod nearest;
mod report;

use std::collections::BTreeMap;
use std::fmt;

use ring::digest::{Context, SHA256};

use crate::audit::AuditConfig;
use crate::identity::{Issuers, Mtls};
use crate::limits;
use crate::policy::PolicyStore;
use crate::signed_url::SignedUrls;

pub use nearest::nearest;
pub use report::{Problem, Report};

/// A SHA-256 digest, written as 64 hexadecimal digits.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Digest([u8; 32]);

impl Digest {
    /// The digest of `bytes`.
    pub fn of(bytes: &[u8]) -> Self {
        let mut context = Context::new(&SHA256);
        context.update(bytes);
        Self::finish(context)
    }

    /// A digest that was computed elsewhere.
    pub const fn from_bytes(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }

    /// Reads 64 lower-case hexadecimal digits.
    pub fn parse(text: &str) -> Option<Self> {
        let mut out = [0; 32];
        let (pairs, []) = text.as_bytes().as_chunks::<2>() else { return None };
        if pairs.len() != out.len() || text.bytes().any(|byte| byte.is_ascii_uppercase()) {
            return None;
        }
        for (to, pair) in out.iter_mut().zip(pairs) {
            let digit = |byte: &u8| char::from(*byte).to_digit(16).and_then(|digit| u8::try_from(digit).ok());
            let [high, low] = pair;
            *to = digit(high)? << 4 | digit(low)?;
        }
        Some(Self(out))
    }

    /// Its bytes.
    pub const fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }

    fn finish(context: Context) -> Self {
        let mut out = [0; 32];
        // SHA-256 is 32 bytes by definition; zip copies all of them without a way to panic.
        for (to, from) in out.iter_mut().zip(context.finish().as_ref()) {
            *to = *from;
        }
        Self(out)
    }
}

impl fmt::Display for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&hex(&self.0))
    }
}

/// Bytes as hexadecimal digits in lower case. By a table: a request writes some hundred of them.
pub(crate) fn hex(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    let digit = |nibble: u8| DIGITS.get(usize::from(nibble)).copied().map_or('0', char::from);
    let mut text = String::with_capacity(bytes.len().saturating_mul(2));
    for byte in bytes {
        text.push(digit(byte >> 4));
        text.push(digit(byte & 0x0F));
    }
    text
}

/// An ordered set of files, named by their path with `/`: `policies/…` and `keys/…`.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Bundle {
    files: BTreeMap<String, Vec<u8>>,
}

impl Bundle {
    /// Adds a file, replacing one of the same path.
    pub fn insert(&mut self, path: impl Into<String>, bytes: impl Into<Vec<u8>>) {
        self.files.insert(path.into(), bytes.into());
    }

    /// The bytes of one file.
    pub fn get(&self, path: &str) -> Option<&[u8]> {
        self.files.get(path).map(Vec::as_slice)
    }

    /// All files in order of their paths.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &[u8])> {
        self.files.iter().map(|(path, bytes)| (path.as_str(), bytes.as_slice()))
    }

    /// The policy digest: SHA-256 over a version line, then for each file in order the lengths (64-bit big-endian) and
    /// bytes of path and content. Two bundles have the same digest exactly when they hold the same files.
    pub fn digest(&self) -> Digest {
        let mut context = Context::new(&SHA256);
        context.update(b"cedargate-bundle-v1\n");
        for (path, bytes) in self.iter() {
            for part in [path.as_bytes(), bytes] {
                context.update(&u64::try_from(part.len()).unwrap_or(u64::MAX).to_be_bytes());
                context.update(part);
            }
        }
        Digest::finish(context)
    }
}

impl FromIterator<(String, Vec<u8>)> for Bundle {
    fn from_iter<T: IntoIterator<Item = (String, Vec<u8>)>>(iter: T) -> Self {
        Self { files: iter.into_iter().collect() }
    }
}

/// Everything that is compiled into the module: what a request is decided with.
#[derive(Debug)]
pub struct Gate {
    policy: PolicyStore,
    shadow: Option<PolicyStore>,
    issuers: Issuers,
    mtls: Option<Mtls>,
    signed_urls: Option<SignedUrls>,
    audit: AuditConfig,
    policy_digest: Digest,
    schema_digest: Digest,
    /// Both as text, which every record shows.
    digests: [String; 2],
}

impl Gate {
    /// Loads a bundle strictly.
    ///
    /// # Errors
    /// Every problem found, not only the first.
    pub fn load(bundle: &Bundle) -> Result<Self, Report> {
        let mut report = Report::default();
        sizes(bundle, &mut report);
        let policy = PolicyStore::load(bundle, &mut report);
        let shadow = PolicyStore::load_shadow(bundle, &mut report);
        let issuers = Issuers::load(bundle, &mut report);
        let mtls = Mtls::load(bundle, &mut report);
        let signed_urls = SignedUrls::load(bundle, &mut report);
        let audit = AuditConfig::load(bundle, &mut report);
        if let (Some(mtls), Some(issuers)) = (&mtls, &issuers) {
            mtls.check_issuers(bundle, issuers, &mut report);
        }
        if let (Some(policy), Some(mtls)) = (&policy, &mtls) {
            policy.check_headers(bundle, mtls.own_fields(), &mut report);
            if let Some(shadow) = &shadow {
                shadow.check_headers(bundle, mtls.own_fields(), &mut report);
            }
        }
        match (policy, issuers, audit) {
            (Some(policy), Some(issuers), Some(audit)) if report.is_empty() => {
                let schema_digest = Digest::of(bundle.get(PolicyStore::SCHEMA).unwrap_or_default());
                let policy_digest = bundle.digest();
                let digests = [policy_digest, schema_digest].map(|digest| digest.to_string());
                Ok(Self { policy, shadow, issuers, mtls, signed_urls, audit, policy_digest, schema_digest, digests })
            }
            _ => {
                if report.is_empty() {
                    // Fail closed: a loader that gave nothing without saying why is a fault of ours.
                    report.add(Problem::new("policies", "bundle.internal", "the bundle could not be loaded"));
                }
                Err(report)
            }
        }
    }

    /// The policy store.
    pub fn policy(&self) -> &PolicyStore {
        &self.policy
    }

    /// The policies on trial, when there are any.
    pub fn shadow(&self) -> Option<&PolicyStore> {
        self.shadow.as_ref()
    }

    /// The issuers and their keys.
    pub fn issuers(&self) -> &Issuers {
        &self.issuers
    }

    /// What is known about client certificates; `None` when they are off.
    pub fn mtls(&self) -> Option<&Mtls> {
        self.mtls.as_ref()
    }

    /// What is known about signed URLs; `None` when there are none.
    pub fn signed_urls(&self) -> Option<&SignedUrls> {
        self.signed_urls.as_ref()
    }

    /// What records show.
    pub fn audit(&self) -> &AuditConfig {
        &self.audit
    }

    /// The switches that weaken it and are on, for whoever reads the log: a line each, without an end.
    pub fn insecure(&self) -> Vec<String> {
        let issuers = self.issuers.without_tls().map(|name| {
            format!("issuer `{name}`: insecure_allow_http: whoever is on the way can put in keys of their own, or hold back a revocation")
        });
        let mtls = self.mtls.iter().flat_map(Mtls::insecure).map(|what| format!("keys/mtls.toml: {what}"));
        issuers.chain(mtls).collect()
    }

    /// The digest of the whole bundle.
    pub fn policy_digest(&self) -> Digest {
        self.policy_digest
    }

    /// The digest of the schema file.
    pub fn schema_digest(&self) -> Digest {
        self.schema_digest
    }

    /// The digest of the whole bundle, as text.
    pub fn policy_digest_text(&self) -> &str {
        let [policy, _] = &self.digests;
        policy
    }

    /// The digest of the schema file, as text.
    pub fn schema_digest_text(&self) -> &str {
        let [_, schema] = &self.digests;
        schema
    }
}

fn sizes(bundle: &Bundle, report: &mut Report) {
    let mut total = 0_usize;
    for (path, bytes) in bundle.iter() {
        total = total.saturating_add(bytes.len());
        if bytes.len() > limits::BUNDLE_FILE_BYTES {
            report.add(Problem::new(
                path,
                "bundle.file_too_large",
                format!("the file has {} bytes, more than {}", bytes.len(), limits::BUNDLE_FILE_BYTES),
            ));
        }
    }
    if total > limits::BUNDLE_BYTES {
        report.add(Problem::new(
            "policies",
            "bundle.too_large",
            format!("all files together have {total} bytes, more than {}", limits::BUNDLE_BYTES),
        ));
    }
}
