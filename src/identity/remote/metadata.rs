//! Metadata of an issuer: where they are, and the one thing that is read from them.

use super::{Remote, config::Source};
use crate::identity::json::Json;
use crate::identity::{Url, text};
use crate::limits;

/// OpenID Connect Discovery 1.0, section 4: after the issuer's path, whose last `/` is removed.
pub(super) fn openid(issuer: &Url) -> Option<Url> {
    let path = path(issuer)?;
    Url::parse(&format!("{}{path}/.well-known/openid-configuration", issuer.origin()))
}

/// RFC 8414, section 3: between the issuer's host and its path, whose last `/` is removed.
pub(super) fn oauth(issuer: &Url) -> Option<Url> {
    let path = path(issuer)?;
    Url::parse(&format!("{}/.well-known/oauth-authorization-server{path}", issuer.origin()))
}

/// The path without a `/` at its end; `None` when there is a query, which an issuer must not have (both specifications).
fn path(issuer: &Url) -> Option<&str> {
    let path = issuer.path_with_query();
    if path.contains('?') {
        return None;
    }
    Some(path.strip_suffix('/').unwrap_or(path))
}

impl Remote {
    /// Where the key set is: the address itself, or what `metadata` say.
    ///
    /// # Errors
    /// What is wrong with the metadata, for the operator.
    pub fn key_set_url(&self, metadata: &[u8]) -> Result<Url, String> {
        let address = match &self.source {
            Source::KeySet(url) => return Ok(url.clone()),
            Source::Metadata(address) => address,
        };
        if metadata.len() > limits::METADATA_BYTES {
            return Err(format!("the metadata at `{address}` have more than {} bytes", limits::METADATA_BYTES));
        }
        let json = Json::parse(metadata).map_err(|_| format!("what `{address}` answered is not JSON, or has a member twice"))?;
        let string = |name: &str| json.as_object().and_then(|members| members.get(name)).and_then(Json::as_str);
        // SECURITY: exactly this issuer (RFC 8414, section 3.3). Otherwise one tenant of a provider could speak for another.
        match string("issuer") {
            Some(issuer) if issuer == self.iss => {}
            Some(issuer) => return Err(format!("the metadata at `{address}` are those of `{}`", text::shown(issuer))),
            None => return Err(format!("the metadata at `{address}` have no `issuer`")),
        }
        let uri = string("jwks_uri").ok_or_else(|| format!("the metadata at `{address}` have no `jwks_uri`"))?;
        let url = Url::parse(uri).ok_or_else(|| format!("`jwks_uri` at `{address}` is `{}`, which is not an address", text::shown(uri)))?;
        // SECURITY: as for an address in the configuration.
        if !url.https() && !self.allow_http {
            return Err(format!("`jwks_uri` at `{address}` is `{url}`, which is asked without TLS"));
        }
        Ok(url)
    }
}
