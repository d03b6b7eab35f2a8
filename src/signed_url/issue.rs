//! A permit to a URL: the gate's own kind here, that of other services in [`super::services`].

use super::config::{SameSite, SignedUrls};
use super::keyring::Keyring;
use super::link::{Grant, host_of, with_parameters};
use super::order::Format;
use super::services::{self, ServiceCredentials};
use super::{COOKIE, Wanted};
use crate::bundle::Digest;
use crate::decision::{Denial, Reason, SigningPermit, UnixTime};
use crate::identity::PublicUrl;

/// What URLs are made with.
#[derive(Debug, Clone, Copy)]
pub struct Issuer<'a> {
    /// What is sealed.
    pub config: &'a SignedUrls,
    /// The deployment's keys.
    pub keyring: &'a Keyring,
    /// The deployment's credentials for other services.
    pub credentials: &'a ServiceCredentials,
    /// The address native links lead to.
    pub base: &'a PublicUrl,
    /// The gate's digest.
    pub policy_digest: Digest,
}

/// What was made.
#[derive(Clone, PartialEq, Eq)]
pub struct Issued {
    /// The URL; `None` for cookies.
    pub url: Option<String>,
    /// Cookies of other services, by name.
    pub cookies: Vec<(String, String)>,
    /// `Set-Cookie` of the answer.
    pub set_cookies: Vec<String>,
    /// When it ends.
    pub expires_at: UnixTime,
    /// Of a native link its id.
    pub link_id: Option<String>,
    /// The key that signed it, by its public name.
    pub key_id: String,
    /// What kind it is.
    pub format: Format,
}

impl Issuer<'_> {
    /// Makes what was permitted. Takes the permit by value: it is used up.
    ///
    /// # Errors
    /// `sign.format` when this kind of URL cannot say what was asked for; nothing that was asked for is ever left out.
    /// `system.configuration` when the deployment has no key for it.
    pub fn issue(&self, permit: SigningPermit, now: UnixTime) -> Result<Issued, Denial> {
        let (wanted, principal) = permit.into_parts();
        let expires_at = UnixTime(now.0.saturating_add(wanted.expires_in));
        match wanted.format {
            Format::Native | Format::NativeCookie => self.native(&wanted, &principal, now, expires_at),
            _ => services::issue(self.config, self.credentials, &wanted, now, expires_at),
        }
    }

    fn native(&self, wanted: &Wanted, principal: &str, now: UnixTime, expires_at: UnixTime) -> Result<Issued, Denial> {
        let configuration = |detail: &str| Denial::new(Reason::SystemConfiguration, detail);
        let key = self.keyring.signing().ok_or_else(|| configuration("no key of `signed_url_keys` is active"))?;
        let Wanted { methods, path, query, parameters: _, expires_in, not_before, prefix, network, subject, format } = wanted;
        let host = host_of(&self.base.host, self.base.port);
        let grant = Grant {
            methods,
            host: &host,
            path,
            prefix: *prefix,
            query: query.as_deref(),
            issued_at: now,
            not_before: *not_before,
            expires_at,
            network: *network,
            issuer: principal,
            subject: subject.as_deref(),
            policy_digest: self.policy_digest,
        };
        let link = grant.sign(key, self.config.subject).map_err(configuration)?;
        let mut issued = Issued {
            url: None,
            cookies: vec![],
            set_cookies: vec![],
            expires_at,
            link_id: Some(link.id),
            key_id: key.id().to_owned(),
            format: *format,
        };
        if *format == Format::NativeCookie {
            // A browser that cannot tell prefixes by segments sends it for more than it grants, which grants nothing.
            issued.set_cookies.push(set_cookie(COOKIE, &link.parameters, path.raw(), None, *expires_in, self.config.same_site));
        } else {
            issued.url = Some(format!("{}{}", self.base, with_parameters(path.raw(), query.as_deref(), &link.parameters)));
        }
        Ok(issued)
    }
}

/// A `Set-Cookie` (RFC 6265, section 4.1). No value, path or domain of ours holds `;`.
pub(super) fn set_cookie(name: &str, value: &str, path: &str, domain: Option<&str>, max_age: i64, same_site: SameSite) -> String {
    let domain = domain.map(|domain| format!("; Domain={domain}")).unwrap_or_default();
    format!("{name}={value}; Max-Age={max_age}; Path={path}{domain}; Secure; HttpOnly; SameSite={}", same_site.as_str())
}
