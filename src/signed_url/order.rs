//! What a caller asks for at `/.well-known/cedargate/sign`: the body of the request, read strictly.

use crate::decision::{Denial, Reason, UnixTime};
use crate::identity::members::Members;
use crate::identity::{Deployment, PublicUrl};
use crate::limits;
use crate::request::{Facts, Method, Network, Path, read_target};

use super::wire;

/// What kind of URL is asked for (`format`).
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Format {
    /// The gate's own, in the query.
    #[default]
    Native,
    /// The gate's own, as a cookie for a prefix.
    NativeCookie,
    /// AWS Signature Version 4, presigned.
    AwsSigV4,
    /// CloudFront with a canned policy.
    CloudFrontCanned,
    /// CloudFront cookies with a canned policy.
    CloudFrontCannedCookies,
    /// CloudFront with a custom policy.
    CloudFrontCustom,
    /// CloudFront cookies with a custom policy.
    CloudFrontCookies,
    /// Google Cloud CDN.
    GoogleCloudCdn,
    /// Google Media CDN.
    GoogleMediaCdn,
    /// Akamai EdgeAuth 2.0.
    Akamai,
}

impl Format {
    /// Every format.
    pub const ALL: [Self; 10] = [
        Self::Native,
        Self::NativeCookie,
        Self::AwsSigV4,
        Self::CloudFrontCanned,
        Self::CloudFrontCannedCookies,
        Self::CloudFrontCustom,
        Self::CloudFrontCookies,
        Self::GoogleCloudCdn,
        Self::GoogleMediaCdn,
        Self::Akamai,
    ];

    /// As in requests, records, and `context.signing.format`.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Native => "cedargate",
            Self::NativeCookie => "cedargate-cookie",
            Self::AwsSigV4 => "aws-sigv4",
            Self::CloudFrontCanned => "cloudfront-canned",
            Self::CloudFrontCannedCookies => "cloudfront-canned-cookies",
            Self::CloudFrontCustom => "cloudfront-custom",
            Self::CloudFrontCookies => "cloudfront-cookies",
            Self::GoogleCloudCdn => "google-cloud-cdn",
            Self::GoogleMediaCdn => "google-media-cdn",
            Self::Akamai => "akamai",
        }
    }

    /// The format of this name.
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|format| format.name() == name)
    }
}

/// One URL that somebody wants.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Wanted {
    /// Sorted, each once.
    pub methods: Vec<Method>,
    /// The path.
    pub path: Path,
    /// The raw query.
    pub query: Option<String>,
    /// The query decoded.
    pub parameters: Vec<(String, String)>,
    /// How long it shall last, in seconds from now.
    pub expires_in: i64,
    /// When it shall begin to count.
    pub not_before: Option<UnixTime>,
    /// Whether everything below the path is wanted.
    pub prefix: bool,
    /// The addresses it shall count from.
    pub network: Option<Network>,
    /// Who it shall be for.
    pub subject: Option<String>,
    /// What kind of URL.
    pub format: Format,
}

/// Everything that is asked for in one request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SignOrder {
    /// 1 to [`limits::LINK_ITEMS`].
    pub items: Vec<Wanted>,
}

/// The address links lead to: what callers use.
pub fn base(facts: &Facts, deployment: &Deployment) -> PublicUrl {
    deployment.public_url.clone().unwrap_or_else(|| PublicUrl::of_request(facts))
}

impl SignOrder {
    /// Reads a body: one item, or `{"items": […]}`.
    ///
    /// # Errors
    /// `gate.body_invalid` with what is wrong, in words that name the member and repeat nothing else of the body.
    pub fn read(body: &[u8], base: &PublicUrl, now: UnixTime) -> Result<Self, Denial> {
        let read = || {
            let mut members = Members::parse(body)?;
            let Some(items) = members.objects("items", limits::LINK_ITEMS)? else {
                return Ok(Self { items: vec![item(members, base, now)?] });
            };
            members.end(&["items"])?;
            Ok(Self { items: items.into_iter().map(|members| item(members, base, now)).collect::<Result<_, _>>()? })
        };
        read().map_err(|detail: String| Denial::new(Reason::GateBodyInvalid, detail))
    }
}

const MEMBERS: [&str; 8] = ["method", "path", "url", "expires_in", "not_before", "prefix", "bind", "format"];

fn item(mut members: Members, base: &PublicUrl, now: UnixTime) -> Result<Wanted, String> {
    let of = members.name().to_owned();
    let methods = methods(&mut members, &of)?;
    let most = limits::PATH_BYTES.saturating_add(limits::QUERY_BYTES).saturating_add(limits::HOST_BYTES);
    let (path, url) = (members.text("path", most)?, members.text("url", most)?);
    let (member, target) = match (path, url) {
        (Some(path), None) => ("path", path),
        (None, Some(url)) => ("url", below(&url, base).ok_or_else(|| format!("`url` of {of} is not one of this gate, `{base}/…`"))?),
        (None, None) => return Err(format!("{of} has neither `path` nor `url`")),
        (Some(_), Some(_)) => return Err(format!("{of} has both `path` and `url`")),
    };
    let (path, query, parameters) =
        read_target(&target).map_err(|denial| format!("`{member}` of {of}: {}: {}", denial.reason.code(), denial.reason.meaning()))?;
    if query.as_deref().is_some_and(|query| wire::split(query).1.is_some()) {
        return Err(format!("`{member}` of {of} has a `cg-` parameter: those are the gate's own"));
    }
    if matches!(path.segments(), [first, second, ..] if first == ".well-known" && (second == "cedargate" || second == "oauth-protected-resource"))
    {
        return Err(format!("`{member}` of {of} is a path of the gate's own"));
    }
    let expires_in = members.integer("expires_in", 1..=limits::LATEST_SECONDS)?.ok_or_else(|| format!("{of} has no `expires_in`"))?;
    let not_before = members.time("not_before")?;
    if not_before.is_some_and(|start| start.0 >= now.0.saturating_add(expires_in)) {
        return Err(format!("`not_before` of {of} is not before its end"));
    }
    let prefix = members.flag("prefix")?;
    if prefix && path.segments().is_empty() {
        return Err(format!("`prefix` of {of}: below `/` is everything"));
    }
    let (network, subject) = match members.has("bind") {
        false => (None, None),
        true => bind(members.object("bind")?, &of)?,
    };
    let format = match members.text("format", 64)? {
        None => Format::default(),
        Some(name) => Format::from_name(&name).ok_or_else(|| {
            let known: Vec<_> = Format::ALL.iter().map(|format| format!("`{}`", format.name())).collect();
            format!("`format` of {of} is none of {}", known.join(", "))
        })?,
    };
    if format == Format::NativeCookie && !prefix {
        return Err(format!("`format` of {of}: a cookie carries a prefix, so `prefix` must be true"));
    }
    members.end(&MEMBERS)?;
    Ok(Wanted { methods, path, query, parameters, expires_in, not_before, prefix, network, subject, format })
}

fn methods(members: &mut Members, of: &str) -> Result<Vec<Method>, String> {
    let names = members.texts("method", 16)?.ok_or_else(|| format!("{of} has no `method`"))?;
    let known = || format!("`method` of {of} is none of {}", Method::ALL.map(Method::as_str).join(", "));
    let mut methods: Vec<Method> = names.iter().map(|name| Method::from_name(name)).collect::<Option<_>>().ok_or_else(known)?;
    let given = methods.len();
    methods.sort_unstable();
    methods.dedup();
    if methods.len() == given { Ok(methods) } else { Err(format!("`method` of {of} names a method twice")) }
}

fn bind(mut members: Members, of: &str) -> Result<(Option<Network>, Option<String>), String> {
    let (ip, cidr) = (members.text("ip", 64)?, members.text("cidr", 64)?);
    let network = match (ip, cidr) {
        (None, None) => None,
        (Some(ip), None) => {
            let address = ip.parse().map_err(|_| format!("`ip` of `bind` of {of} is not an address"))?;
            Some(Network::one(address))
        }
        (None, Some(cidr)) => {
            let network = Network::parse(&cidr).filter(|_| cidr.contains('/'));
            Some(network.ok_or_else(|| format!("`cidr` of `bind` of {of} is not a network, such as `192.0.2.0/24`"))?)
        }
        (Some(_), Some(_)) => return Err(format!("`bind` of {of} has both `ip` and `cidr`")),
    };
    let subject = members.text("subject", limits::SUBJECT_BYTES)?;
    if subject.as_deref().is_some_and(|subject| subject.chars().any(char::is_control)) {
        return Err(format!("`subject` of `bind` of {of} has a control character"));
    }
    members.end(&["ip", "cidr", "subject"])?;
    Ok((network, subject))
}

/// Path and query of a URL of this gate.
fn below(url: &str, base: &PublicUrl) -> Option<String> {
    let (https, rest) = match url.strip_prefix("https://") {
        Some(rest) => (true, rest),
        None => (false, url.strip_prefix("http://")?),
    };
    let at = rest.find(['/', '?', '#']).unwrap_or(rest.len());
    let (authority, target) = rest.split_at_checked(at)?;
    let (host, port) = crate::request::parse_authority(authority, https)?;
    let given = PublicUrl { https, host, port };
    let own = PublicUrl { port: base.port.filter(|port| *port != if base.https { 443 } else { 80 }), ..base.clone() };
    (given == own).then(|| target.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: UnixTime = UnixTime(1_800_000_000);

    fn read(body: &str) -> Result<Vec<Wanted>, String> {
        let base = PublicUrl { https: false, host: "api.example.com".to_owned(), port: Some(8080) };
        SignOrder::read(body.as_bytes(), &base, NOW).map(|order| order.items).map_err(|denial| {
            assert_eq!(denial.reason, Reason::GateBodyInvalid);
            denial.detail
        })
    }

    #[test]
    fn one_item_or_several_are_read() {
        let one = read(r#"{"method":"GET","path":"/a%20b?x=1","expires_in":60}"#).unwrap();
        let [one] = &*one else { panic!("{one:?}") };
        assert_eq!((one.path.raw(), one.query.as_deref(), one.expires_in), ("/a%20b", Some("x=1"), 60));
        assert_eq!((one.methods.as_slice(), one.format, one.prefix), (&[Method::Get][..], Format::Native, false));
        let full = r#"{"items":[{"method":["PUT","GET"],"url":"http://api.example.com:8080/v/1","expires_in":60,"not_before":1800000030,"prefix":true,
            "bind":{"cidr":"192.0.2.0/24","subject":"bob"},"format":"cedargate-cookie"},{"method":"GET","path":"/","expires_in":1,"bind":{"ip":"::1"}}]}"#;
        let items = read(full).unwrap();
        assert_eq!(items[0].methods, [Method::Get, Method::Put]);
        assert_eq!((items[0].subject.as_deref(), items[0].network.unwrap().to_string().as_str()), (Some("bob"), "192.0.2.0/24"));
        assert_eq!(items[1].network.unwrap().to_string(), "::1/128");
    }

    #[test]
    fn what_is_wrong_names_the_member() {
        let good = r#"{"method":"GET","path":"/a","expires_in":60}"#;
        read(good).unwrap();
        for (from, to, says) in [
            (good, "", "is not JSON"),
            (good, "[]", "not a JSON object"),
            (good, r#"{"items":[]}"#, "`items` of the body"),
            (good, r#"{"items":[1]}"#, "`items[0]` is not an object"),
            (r#""method":"GET""#, r#""method":"get""#, "`method` of the body is none of"),
            (r#""method":"GET""#, r#""method":["GET","GET"]"#, "names a method twice"),
            (r#""method":"GET","#, "", "has no `method`"),
            (r#""method":"GET""#, r#""method":"GET","method":"GET""#, "the member `method` occurs twice"),
            ("\"/a\"", "\"/a/../b\"", "`path` of the body: request.path_dot_segment"),
            ("\"/a\"", "\"/a?%zz\"", "`path` of the body: request.query_invalid"),
            ("\"/a\"", "\"/a?cg-v=1\"", "has a `cg-` parameter"),
            ("\"/a\"", "\"/.well-known/cedargate/health\"", "a path of the gate's own"),
            (r#""path":"/a""#, r#""url":"http://other.example.com:8080/a""#, "`url` of the body is not one of this gate"),
            (r#""path":"/a""#, r#""url":"http://api.example.com:8080@evil.example/a""#, "`url` of the body is not one of this gate"),
            (r#""path":"/a""#, r#""path":"/a","url":"/a""#, "both `path` and `url`"),
            (r#""path":"/a","#, "", "neither `path` nor `url`"),
            ("60", "0", "`expires_in` of the body is not a whole number"),
            ("60", "1.5", "`expires_in` of the body is not a whole number"),
            (",\"expires_in\":60", "", "has no `expires_in`"),
            ("60", "60,\"not_before\":1800000060", "`not_before` of the body is not before its end"),
            ("60", "60,\"prefix\":1", "`prefix` of the body is neither"),
            ("60", "60,\"bind\":{}", ""),
            ("60", "60,\"bind\":{\"ip\":\"x\"}", "`ip` of `bind`"),
            ("60", "60,\"bind\":{\"cidr\":\"10.0.0.1/8\"}", "`cidr` of `bind`"),
            ("60", "60,\"bind\":{\"ip\":\"::1\",\"cidr\":\"::/8\"}", "both `ip` and `cidr`"),
            ("60", "60,\"bind\":{\"subject\":\"\"}", "`subject` of `bind` is empty"),
            ("60", "60,\"bind\":{\"sub\":\"a\"}", "no member `sub`"),
            ("60", "60,\"format\":\"s3\"", "`format` of the body is none of"),
            ("60", "60,\"format\":\"cedargate-cookie\"", "`prefix` must be true"),
            ("60", "60,\"expire_in\":1", "no member `expire_in`"),
        ] {
            let bad = good.replacen(from, to, 1);
            match read(&bad) {
                Ok(_) => assert_eq!(says, "", "{bad}"),
                Err(error) => assert!(!says.is_empty() && error.contains(says), "{bad}: {error}"),
            }
        }
        assert!(read(r#"{"method":"GET","path":"/","expires_in":60,"prefix":true}"#).unwrap_err().contains("everything"));
    }
}
