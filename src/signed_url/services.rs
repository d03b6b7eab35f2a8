//! URLs of other services, made after the same decision: which target a path belongs to, what its address is there, and with
//! which credentials it is signed.
//!
//! SECURITY: these are verified by others, who know no policy and nothing of the gate. So whatever was asked for and cannot be said
//! in a format (another method, an address, a start, somebody's name) refuses the URL; it is never left out.

use std::collections::BTreeMap;
use std::fmt;

use super::config::{Service, SignedUrls, Target};
use super::formats::akamai::{self, AkamaiKey, Scope, Token};
use super::formats::aws_sigv4::{self, Credentials};
use super::formats::cloudfront::{self, CloudFrontKey, Hash, Policy};
use super::formats::google_cdn::{self, GoogleCdnKey};
use super::formats::media_cdn::{self, MediaCdnKey};
use super::issue::set_cookie;
use super::order::Format;
use super::{Issued, Wanted};
use crate::decision::{Denial, Reason, UnixTime};
use crate::identity::members::Members;
use crate::limits;
use crate::request::{Method, Network};

/// Credentials of one service. `Debug` shows what kind they are.
enum Credential {
    Aws(Credentials),
    CloudFront(Box<CloudFrontKey>),
    GoogleCdn(GoogleCdnKey),
    MediaCdn(MediaCdnKey),
    Akamai(AkamaiKey),
}

/// A deployment's credentials for other services, by the name that targets have for them: the variable
/// `signed_url_credentials`.
#[derive(Default)]
pub struct ServiceCredentials(BTreeMap<String, Credential>);

impl fmt::Debug for ServiceCredentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.0.keys()).finish()
    }
}

impl ServiceCredentials {
    /// Reads the value of `signed_url_credentials`.
    ///
    /// # Errors
    /// What is wrong with it; never a part of a secret.
    pub fn parse(text: &str) -> Result<Self, String> {
        if text.is_empty() {
            return Ok(Self::default());
        }
        let mut members = Members::parse(text.as_bytes())?;
        if members.integer("v", 1..=1)?.is_none() {
            return Err("the body has no `v`; this gate reads version 1".to_owned());
        }
        if !members.has("credentials") {
            return Err("the body has no `credentials`".to_owned());
        }
        let each = members.object("credentials")?.each_object()?;
        members.end(&["v", "credentials"])?;
        if each.len() > limits::LINK_TARGETS {
            return Err(format!("there are more than {} credentials", limits::LINK_TARGETS));
        }
        let each = each.into_iter().map(|(name, members)| Ok((name, credential(members)?)));
        each.collect::<Result<_, String>>().map(Self)
    }
}

fn credential(mut members: Members) -> Result<Credential, String> {
    let of = members.name().to_owned();
    let service = members.required("service", 32)?;
    let mut text = |name: &str| members.required(name, limits::LINK_CREDENTIAL_BYTES);
    let wrong = |error: super::formats::FormatError| format!("{of}: {error}");
    let (credential, known): (_, &[&str]) = match service.as_str() {
        "aws-sigv4" => {
            let (access_key_id, secret_access_key) = (text("access_key_id")?, text("secret_access_key")?);
            let session_token = members.text("session_token", limits::LINK_CREDENTIAL_BYTES)?;
            let known = &["service", "access_key_id", "secret_access_key", "session_token"];
            (Credential::Aws(Credentials { access_key_id, secret_access_key, session_token }), known)
        }
        "cloudfront" => {
            let (id, pem) = (text("key_pair_id")?, text("private_key")?);
            let hash = match members.text("hash", 16)?.as_deref() {
                None | Some("SHA-1") => Hash::Sha1,
                Some("SHA-256") => Hash::Sha256,
                Some(_) => return Err(format!("`hash` of {of} is neither `SHA-1` nor `SHA-256`")),
            };
            let key = CloudFrontKey::new(id, &pem, hash).map_err(wrong)?;
            (Credential::CloudFront(Box::new(key)), &["service", "key_pair_id", "private_key", "hash"])
        }
        "google-cloud-cdn" => {
            let key = GoogleCdnKey::new(text("key_name")?, &text("key")?).map_err(wrong)?;
            (Credential::GoogleCdn(key), &["service", "key_name", "key"])
        }
        "google-media-cdn" => {
            let key = MediaCdnKey::new(text("key_name")?, &text("private_key")?).map_err(wrong)?;
            (Credential::MediaCdn(key), &["service", "key_name", "private_key"])
        }
        "akamai" => (Credential::Akamai(AkamaiKey::new(&text("key")?).map_err(wrong)?), &["service", "key"]),
        _ => return Err(format!("`service` of {of} is not one this gate knows")),
    };
    members.end(known)?;
    Ok(credential)
}

/// The service a format belongs to, as targets name it.
const fn service_of(format: Format) -> &'static str {
    match format {
        Format::Native | Format::NativeCookie => "",
        Format::AwsSigV4 => "aws-sigv4",
        Format::CloudFrontCanned | Format::CloudFrontCannedCookies | Format::CloudFrontCustom | Format::CloudFrontCookies => "cloudfront",
        Format::GoogleCloudCdn => "google-cloud-cdn",
        Format::GoogleMediaCdn => "google-media-cdn",
        Format::Akamai => "akamai",
    }
}

fn refuse<T>(what: impl Into<String>) -> Result<T, Denial> {
    Err(Denial::new(Reason::SignFormat, what))
}

/// Makes a URL for a service.
///
/// # Errors
/// `sign.format` when it cannot say what was asked for, `system.configuration` when its credentials are not there.
pub(super) fn issue(
    config: &SignedUrls,
    credentials: &ServiceCredentials,
    wanted: &Wanted,
    now: UnixTime,
    expires_at: UnixTime,
) -> Result<Issued, Denial> {
    let service = service_of(wanted.format);
    let below = |target: &&Target| target.service.name() == service && wanted.path.segments().starts_with(&target.path);
    // The longest path comes first.
    let Some(target) = config.targets.iter().find(below) else {
        return refuse(format!("no target of `{service}` holds this path"));
    };
    let Some(credential) = credentials.0.get(&target.credentials) else {
        let detail = format!("`signed_url_credentials` has no `{}`", target.credentials);
        return Err(Denial::new(Reason::SystemConfiguration, detail));
    };
    let request = Asked { wanted, target, config, now, expires_at };
    match (&target.service, credential) {
        (Service::Aws { bucket, key_prefix }, Credential::Aws(credentials)) => request.aws(bucket, key_prefix, credentials),
        (Service::CloudFront { url, cookie_domain }, Credential::CloudFront(key)) => request.cloudfront(url, cookie_domain.as_deref(), key),
        (Service::GoogleCdn { url }, Credential::GoogleCdn(key)) => request.google_cdn(url, key),
        (Service::MediaCdn { url }, Credential::MediaCdn(key)) => request.media_cdn(url, key),
        (Service::Akamai { url, token_name, escape }, Credential::Akamai(key)) => request.akamai(url, token_name, *escape, key),
        _ => Err(Denial::new(Reason::SystemConfiguration, format!("the credentials `{}` are of another service", target.credentials))),
    }
}

struct Asked<'a> {
    wanted: &'a Wanted,
    target: &'a Target,
    config: &'a SignedUrls,
    now: UnixTime,
    expires_at: UnixTime,
}

fn cannot<T>(result: Result<T, super::formats::FormatError>) -> Result<T, Denial> {
    result.map_err(|error| Denial::new(Reason::SignFormat, error.to_string()))
}

impl Asked<'_> {
    fn issued(&self, url: Option<String>, key_id: &str) -> Issued {
        Issued {
            url,
            cookies: vec![],
            set_cookies: vec![],
            expires_at: self.expires_at,
            link_id: None,
            key_id: key_id.to_owned(),
            format: self.wanted.format,
        }
    }

    /// What no service but those named can say.
    fn only(&self, address: bool, not_before: bool, prefix: bool) -> Result<(), Denial> {
        let name = self.wanted.format.name();
        match self.wanted {
            Wanted { subject: Some(_), .. } => refuse(format!("`{name}` cannot say who a URL is for")),
            Wanted { network: Some(_), .. } if !address => refuse(format!("`{name}` cannot bind a URL to addresses")),
            Wanted { not_before: Some(_), .. } if !not_before => refuse(format!("`{name}` cannot say when a URL begins")),
            Wanted { prefix: true, .. } if !prefix => refuse(format!("`{name}` cannot grant what lies below a path")),
            _ => Ok(()),
        }
    }

    /// A CDN's URLs are not bound to a method: only what reads can be signed, and the CDN must take GET and HEAD alone.
    fn reads(&self) -> Result<(), Denial> {
        let reading = self.wanted.methods.iter().all(|method| matches!(method, Method::Get | Method::Head));
        if reading {
            Ok(())
        } else {
            refuse(format!("`{}` is not bound to a method, so it is for GET and HEAD only", self.wanted.format.name()))
        }
    }

    /// The raw path below the target's.
    fn rest(&self) -> &str {
        let raw = self.wanted.path.raw();
        let end = raw.match_indices('/').map(|(at, _)| at).nth(self.target.path.len());
        end.and_then(|end| raw.get(end..)).filter(|rest| *rest != "/").unwrap_or_default()
    }

    /// The address at a service, without the query.
    fn address(&self, base: &str) -> String {
        format!("{base}{}", self.rest())
    }

    /// The address with the query.
    fn whole(&self, base: &str) -> String {
        match &self.wanted.query {
            None => self.address(base),
            Some(query) => format!("{}?{query}", self.address(base)),
        }
    }

    /// Of a prefix the address of its folder, which has no query.
    fn folder(&self, base: &str) -> Result<String, Denial> {
        if self.wanted.query.is_some() {
            return refuse("a prefix has no query here");
        }
        Ok(format!("{}/", self.address(base)))
    }

    fn aws(&self, bucket: &aws_sigv4::Bucket, key_prefix: &str, credentials: &Credentials) -> Result<Issued, Denial> {
        self.only(false, false, false)?;
        let [method] = *self.wanted.methods else { return refuse("a presigned URL is for one method") };
        if !matches!(method, Method::Get | Method::Head | Method::Put | Method::Delete) {
            return refuse(format!("{} is not a method of objects", method.as_str()));
        }
        // SECURITY: other parameters of S3 make another operation of it (`acl`, `tagging`, `uploadId`), which nobody decided on.
        let response = |name: &str| name.starts_with("response-") || name == "versionId";
        let reading = matches!(method, Method::Get | Method::Head);
        if let Some((name, _)) = self.wanted.parameters.iter().find(|(name, _)| !(reading && response(name))) {
            let shown: String = name.chars().take(64).collect();
            return refuse(format!("`{}` cannot be a parameter of this presigned URL", shown.escape_default()));
        }
        let below = self.wanted.path.segments().get(self.target.path.len()..).unwrap_or_default();
        if below.is_empty() {
            return refuse("the path names no object");
        }
        let key = format!("{key_prefix}{}", below.join("/"));
        let parameters = &self.wanted.parameters;
        let url = cannot(aws_sigv4::presign(bucket, credentials, method.as_str(), &key, parameters, self.now.0, self.wanted.expires_in))?;
        Ok(self.issued(Some(url), &credentials.access_key_id))
    }

    fn cloudfront(&self, base: &str, cookie_domain: Option<&str>, key: &CloudFrontKey) -> Result<Issued, Denial> {
        let custom = !matches!(self.wanted.format, Format::CloudFrontCanned | Format::CloudFrontCannedCookies);
        self.only(custom, custom, custom)?;
        self.reads()?;
        let expires = self.expires_at.0;
        match self.wanted.format {
            Format::CloudFrontCanned => {
                let url = cannot(cloudfront::canned_url(key, &self.whole(base), expires))?;
                return Ok(self.issued(Some(url), key.key_pair_id()));
            }
            Format::CloudFrontCannedCookies => {
                let cookies = cannot(cloudfront::canned_cookies(key, &self.whole(base), expires))?;
                return Ok(self.cookies(cookies, cookie_domain, key.key_pair_id()));
            }
            _ => {}
        }
        // SECURITY: in a custom policy `?` stands for any one character, also where a query begins.
        if self.wanted.query.is_some() {
            return refuse(format!("`{}` cannot hold a query: `cloudfront-canned` can", self.wanted.format.name()));
        }
        // SECURITY: and `*` for any number of them. One at the end is only ever the gate's own, of a prefix.
        if self.rest().contains('*') {
            return refuse("`*` in the address means something else to the service");
        }
        let (resource, url) = if self.wanted.prefix {
            let folder = self.folder(base)?;
            (format!("{folder}*"), folder)
        } else {
            (self.whole(base), self.whole(base))
        };
        let policy = Policy {
            resource,
            expires,
            not_before: self.wanted.not_before.map(|time| time.0),
            ip: self.wanted.network.map(|network| network.to_string()),
        };
        if self.wanted.format == Format::CloudFrontCustom {
            let url = cannot(cloudfront::custom_url(key, &url, &policy))?;
            return Ok(self.issued(Some(url), key.key_pair_id()));
        }
        let cookies = cannot(cloudfront::cookies(key, &policy))?;
        Ok(self.cookies(cookies, cookie_domain, key.key_pair_id()))
    }

    /// Cookies of another service: always in the answer, and set where a domain is configured that reaches it.
    fn cookies(&self, cookies: Vec<(&'static str, String)>, domain: Option<&str>, key_id: &str) -> Issued {
        let mut issued = self.issued(None, key_id);
        for (name, value) in cookies {
            if domain.is_some() {
                issued.set_cookies.push(set_cookie(name, &value, "/", domain, self.wanted.expires_in, self.config.same_site));
            }
            issued.cookies.push((name.to_owned(), value));
        }
        issued
    }

    fn google_cdn(&self, base: &str, key: &GoogleCdnKey) -> Result<Issued, Denial> {
        self.only(false, false, true)?;
        self.reads()?;
        let url = if self.wanted.prefix {
            let folder = self.folder(base)?;
            format!("{folder}?{}", cannot(google_cdn::sign_prefix(key, &folder, self.expires_at.0))?)
        } else {
            cannot(google_cdn::sign_url(key, &self.whole(base), self.expires_at.0))?
        };
        Ok(self.issued(Some(url), key.key_name()))
    }

    fn media_cdn(&self, base: &str, key: &MediaCdnKey) -> Result<Issued, Denial> {
        self.only(false, false, true)?;
        self.reads()?;
        let url = if self.wanted.prefix {
            let folder = self.folder(base)?;
            format!("{folder}?{}", cannot(media_cdn::sign_prefix(key, &folder, self.expires_at.0))?)
        } else {
            cannot(media_cdn::sign_url(key, &self.whole(base), self.expires_at.0))?
        };
        Ok(self.issued(Some(url), key.key_name()))
    }

    fn akamai(&self, base: &str, token_name: &str, escape: bool, key: &AkamaiKey) -> Result<Issued, Denial> {
        self.only(true, true, true)?;
        self.reads()?;
        let ip = match self.wanted.network.map(Network::single) {
            None => None,
            Some(Some(address)) => Some(address.to_string()),
            Some(None) => return refuse("`akamai` binds a URL to one address, not to a network"),
        };
        let url = if self.wanted.prefix { self.folder(base)? } else { self.whole(base) };
        // EdgeAuth signs the path at the edge, without scheme and host.
        let path = url.split_once("://").and_then(|(_, rest)| rest.find('/').and_then(|at| rest.get(at..))).unwrap_or("/").to_owned();
        let path = if self.wanted.prefix { path } else { path.split('?').next().unwrap_or_default().to_owned() };
        let scope = if self.wanted.prefix { Scope::Acl(format!("{path}*")) } else { Scope::Url(path) };
        let token = Token { scope, start: self.wanted.not_before.map(|time| time.0), expires: self.expires_at.0, ip, escape };
        let value = cannot(akamai::token(key, &token))?;
        let mark = if url.contains('?') { '&' } else { '?' };
        Ok(self.issued(Some(format!("{url}{mark}{token_name}={value}")), "akamai"))
    }
}
