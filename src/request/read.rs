//! Raw request to facts and evidence: the order of the checks.

use super::headers::{self, shown};
use super::{Evidence, Facts, Method, Path, RawRequest, Reading, authority, client, cookies, path, query, trace};
use crate::decision::{Denial, Reason};
use crate::signed_url::{self, Carrier, PresentedLink};

/// Reads a raw request.
///
/// The checks run in one fixed order and the first that fails decides: sizes and counts, method, header grammar and
/// repeated fields, host, the runtime's own fields, framing, path, query, client address.
///
/// # Errors
/// A denial with a `request.…` reason when anything is ambiguous, malformed or too large.
pub fn read(raw: &RawRequest<'_>, reading: impl Into<Reading>) -> Result<(Facts, Evidence), Denial> {
    let Reading { proxies, signed_urls } = reading.into();
    // Exhaustive, so that a new part of a request breaks the build here.
    let RawRequest { method, scheme, authority, path_with_query, headers } = *raw;
    let target = path_with_query.unwrap_or_default();
    let (raw_path, query) = target.split_once('?').map_or((target, None), |(path, query)| (path, Some(query)));

    let mut fields = headers::scan(headers)?;
    path::size(raw_path)?;
    query.map_or(Ok(()), query::size)?;

    let method =
        Method::from_name(method).ok_or_else(|| Denial::new(Reason::RequestMethodUnknown, format!("the method is `{}`", shown(method))))?;
    fields.check_single()?;
    let https = scheme.is_some_and(|scheme| scheme.eq_ignore_ascii_case("https")) || fields.spin_https();
    let (host, port) = authority::read(authority, fields.host(), https)?;
    fields.check_spin()?;
    fields.check_framing()?;
    let path = Path::parse(raw_path)?;
    // From here on nobody sees the parameters of a link: not policies, not the record, not the origin.
    let (query, link) = match query {
        Some(whole) if signed_urls => signed_url::split(whole),
        other => (other, None),
    };
    let parameters = query.map_or_else(|| Ok(Vec::new()), query::parse)?;
    let client = client::address(fields.spin_client_addr(), headers, proxies)?;

    let peer = client::peer(fields.spin_client_addr());
    let mut own: Vec<_> = headers.iter().map(|(name, value)| (name.to_ascii_lowercase(), value.clone())).collect();
    let mut signed_cookies = vec![];
    if signed_urls {
        signed_cookies = cookies::take(&mut own);
        cookies::drop_referer(&mut own);
    }
    let evidence = Evidence {
        authorization: fields.authorization().map(<[u8]>::to_vec),
        dpop: fields.dpop().map(<[u8]>::to_vec),
        signed_url: link.map(|text| PresentedLink { text: text.to_owned(), carrier: Carrier::Query }),
        signed_cookies,
    };
    let facts = Facts {
        method,
        https,
        host,
        port,
        path,
        query: query.map(str::to_owned),
        parameters,
        client,
        peer,
        headers: own,
        trace: trace::context(fields.traceparent(), headers),
    };
    Ok((facts, evidence))
}

/// Path, raw query and decoded parameters.
pub type Target = (Path, Option<String>, Vec<(String, String)>);

/// Reads a request target that did not come as one: what somebody wants a URL of.
///
/// # Errors
/// As for the target of a request.
pub fn read_target(target: &str) -> Result<Target, Denial> {
    let (raw_path, query) = target.split_once('?').map_or((target, None), |(path, query)| (path, Some(query)));
    path::size(raw_path)?;
    query.map_or(Ok(()), query::size)?;
    let path = Path::parse(raw_path)?;
    let parameters = query.map_or_else(|| Ok(Vec::new()), query::parse)?;
    Ok((path, query.map(str::to_owned), parameters))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::read;
    use crate::decision::Reason;
    use crate::limits;
    use crate::request::{Evidence, Facts, Method, Proxies, RawRequest};

    /// A raw request that owns its parts.
    #[derive(Debug, Clone)]
    struct Raw {
        method: String,
        scheme: Option<String>,
        authority: Option<String>,
        target: Option<String>,
        headers: Vec<(String, Vec<u8>)>,
        hops: usize,
    }

    impl Raw {
        /// What Spin hands over for an ordinary request.
        fn good() -> Self {
            Self {
                method: "GET".to_owned(),
                scheme: Some("http".to_owned()),
                authority: Some("api.example".to_owned()),
                target: Some("/api/orders/42?q=a%20b".to_owned()),
                headers: Vec::new(),
                hops: 0,
            }
            .with("Host", "api.example")
            .with("Authorization", "Bearer abc")
            .with("Accept", "*/*")
            .with("content-length", "0")
            .with("spin-full-url", "http://api.example/api/orders/42")
            .with("spin-client-addr", "192.0.2.7:4711")
        }

        fn with(mut self, name: &str, value: &str) -> Self {
            self.headers.push((name.to_owned(), value.as_bytes().to_vec()));
            self
        }

        fn without(mut self, name: &str) -> Self {
            self.headers.retain(|(n, _)| !n.eq_ignore_ascii_case(name));
            self
        }

        fn target(mut self, target: &str) -> Self {
            self.target = Some(target.to_owned());
            self
        }

        fn edit(mut self, edit: impl FnOnce(&mut Self)) -> Self {
            edit(&mut self);
            self
        }

        fn read(&self) -> Result<(Facts, Evidence), Reason> {
            let raw = RawRequest {
                method: &self.method,
                scheme: self.scheme.as_deref(),
                authority: self.authority.as_deref(),
                path_with_query: self.target.as_deref(),
                headers: &self.headers,
            };
            read(&raw, Proxies { trusted_hops: self.hops }).map_err(|denial| denial.reason)
        }
    }

    #[test]
    fn an_ordinary_request_is_read() {
        let (facts, evidence) = Raw::good().read().unwrap();
        assert_eq!(facts.method, Method::Get);
        assert!(!facts.https);
        assert_eq!((facts.host.as_str(), facts.port), ("api.example", None));
        assert_eq!(facts.path.segments(), ["api", "orders", "42"]);
        assert_eq!(facts.query.as_deref(), Some("q=a%20b"));
        assert_eq!(facts.parameters, [("q".to_owned(), "a b".to_owned())]);
        assert_eq!(facts.path_with_query(), "/api/orders/42?q=a%20b");
        assert_eq!(facts.client, Some("192.0.2.7".parse().unwrap()));
        assert_eq!(facts.trace, None);
        assert_eq!(facts.header("accept"), Some("*/*"));
        assert_eq!(facts.headers.len(), 6);
        assert!(facts.headers.iter().all(|(name, _)| !name.bytes().any(|b| b.is_ascii_uppercase())));
        assert_eq!(evidence.authorization.as_deref(), Some(&b"Bearer abc"[..]));
    }

    #[test]
    fn every_method_of_the_table_is_read_and_no_other() {
        for method in Method::ALL {
            assert_eq!(Raw::good().edit(|raw| raw.method = method.as_str().to_owned()).read().unwrap().0.method, method);
        }
        for method in ["", "get", "GET ", "TRACE", "CONNECT", "PROPFIND", "G\0ET", "GETGET"] {
            assert_eq!(Raw::good().edit(|raw| raw.method = method.to_owned()).read(), Err(Reason::RequestMethodUnknown), "{method}");
        }
    }

    /// One request for each `request.…` reason, one edit away from a request that is accepted.
    fn refusals() -> Vec<(Reason, Raw)> {
        use Reason::*;
        let good = Raw::good;
        vec![
            (RequestMethodUnknown, good().edit(|raw| raw.method = "TRACE".to_owned())),
            (RequestHostMissing, good().without("host").edit(|raw| raw.authority = None)),
            (RequestHostRepeated, good().with("host", "api.example")),
            (RequestHostInvalid, good().edit(|raw| raw.authority = Some("user@api.example".to_owned()))),
            (RequestHostAmbiguous, good().edit(|raw| raw.authority = Some("other.example".to_owned()))),
            (RequestAuthorizationRepeated, good().with("authorization", "Bearer abc")),
            (RequestDpopRepeated, good().with("DPoP", "a").with("dpop", "a")),
            (RequestContentLengthRepeated, good().with("Content-Length", "0")),
            (RequestContentLengthInvalid, good().without("content-length").with("content-length", "+1")),
            (RequestFramingAmbiguous, good().with("transfer-encoding", "chunked")),
            (RequestSpinHeaderRepeated, good().with("spin-client-addr", "6.6.6.6:1")),
            (RequestClientAddressInvalid, good().without("spin-client-addr").with("spin-client-addr", "unknown")),
            (RequestHeadersTooMany, (0..limits::HEADER_COUNT).fold(good(), |raw, _| raw.with("a", "b"))),
            (RequestHeadersTooLarge, good().with("a", &"b".repeat(limits::HEADER_VALUE_BYTES + 1))),
            (RequestHeaderInvalid, good().with("a", "b\r\nc: d")),
            (RequestPathTooLong, good().target(&format!("/{}", "a".repeat(limits::PATH_BYTES)))),
            (RequestQueryTooLong, good().target(&format!("/?{}", "a".repeat(limits::QUERY_BYTES + 1)))),
            (RequestPathNotAbsolute, good().target("//a")),
            (RequestPathEmptySegment, good().target("/a//b")),
            (RequestPathDotSegment, good().target("/a/../b")),
            (RequestPathBackslash, good().target("/a\\b")),
            (RequestPathParameter, good().target("/a;b")),
            (RequestPathCharacter, good().target("/a b")),
            (RequestPathEncodedSlash, good().target("/a%2fb")),
            (RequestPathEncodedBackslash, good().target("/a%5cb")),
            (RequestPathEncodedPercent, good().target("/a%25b")),
            (RequestPathEncodedControl, good().target("/a%00b")),
            (RequestPathEncodedDelimiter, good().target("/a%3fb")),
            (RequestPathPercentEncoding, good().target("/a%zzb")),
            (RequestPathUtf8, good().target("/a%ffb")),
            (RequestQueryInvalid, good().target("/a?%zz")),
        ]
    }

    /// Reasons about what is in credentials, which are looked at in `identity`.
    const LATER: [Reason; 2] = [Reason::RequestCertificateRepeated, Reason::RequestCredentialsConflict];

    #[test]
    fn every_reason_of_this_module_has_a_request_that_meets_it() {
        assert!(Raw::good().read().is_ok());
        let refusals = refusals();
        for (reason, raw) in &refusals {
            assert_eq!(raw.read(), Err(*reason), "{raw:?}");
        }
        for reason in Reason::ALL.iter().filter(|reason| reason.code().starts_with("request.") && !LATER.contains(reason)) {
            assert!(refusals.iter().any(|(met, _)| met == reason), "{}", reason.code());
        }
    }

    #[test]
    fn the_first_failure_in_the_documented_order_wins() {
        use Reason::*;
        // Each step adds a fault that is looked for earlier than all before it.
        let mut raw = Raw::good().without("spin-client-addr").with("spin-client-addr", "unknown");
        type Step = (Reason, fn(&mut Raw));
        let steps: [Step; 11] = [
            (RequestClientAddressInvalid, |_| ()),
            (RequestQueryInvalid, |raw| raw.target = Some("/a?%".to_owned())),
            (RequestPathCharacter, |raw| raw.target = Some("/a b?%".to_owned())),
            (RequestFramingAmbiguous, |raw| *raw = raw.clone().with("transfer-encoding", "chunked")),
            (RequestSpinHeaderRepeated, |raw| *raw = raw.clone().with("spin-client-addr", "1.2.3.4:5")),
            (RequestHostAmbiguous, |raw| raw.authority = Some("other.example".to_owned())),
            (RequestContentLengthRepeated, |raw| *raw = raw.clone().with("content-length", "1")),
            (RequestAuthorizationRepeated, |raw| *raw = raw.clone().with("authorization", "x")),
            (RequestHeaderInvalid, |raw| *raw = raw.clone().with("a b", "x")),
            (RequestMethodUnknown, |raw| raw.method = "TRACE".to_owned()),
            (RequestHeadersTooLarge, |raw| *raw = raw.clone().with("a", &"b".repeat(limits::HEADER_VALUE_BYTES + 1))),
        ];
        for (reason, add) in steps {
            add(&mut raw);
            assert_eq!(raw.read(), Err(reason));
        }
    }

    #[test]
    fn targets_without_an_absolute_path_are_refused() {
        for target in ["", "?x", "*", "a", "http://api.example/a", "api.example:443", "//a", "//"] {
            assert_eq!(Raw::good().target(target).read(), Err(Reason::RequestPathNotAbsolute), "{target}");
        }
        assert_eq!(Raw::good().edit(|raw| raw.target = None).read(), Err(Reason::RequestPathNotAbsolute));
    }

    #[test]
    fn the_query_begins_at_the_first_question_mark() {
        for (target, path, query) in
            [("/a?", "/a", Some("")), ("/a", "/a", None), ("/?a?b=/../c", "/", Some("a?b=/../c")), ("/a?b=//", "/a", Some("b=//"))]
        {
            let (facts, _) = Raw::good().target(target).read().unwrap();
            assert_eq!((facts.path.raw(), facts.query.as_deref()), (path, query));
            assert_eq!(facts.path_with_query(), target);
        }
    }

    #[test]
    fn tls_is_what_the_runtime_says() {
        assert!(Raw::good().edit(|raw| raw.scheme = Some("HTTPS".to_owned())).read().unwrap().0.https);
        let terminated = Raw::good().without("spin-full-url").with("spin-full-url", "https://api.example/");
        assert!(terminated.read().unwrap().0.https);
        assert!(!Raw::good().edit(|raw| raw.scheme = None).read().unwrap().0.https);
    }

    #[test]
    fn a_forged_client_address_has_no_effect() {
        // The caller's field comes first, the runtime's last.
        let forged = Raw::good().edit(|raw| raw.headers.insert(0, ("spin-client-addr".to_owned(), b"10.0.0.1:1".to_vec())));
        assert_eq!(forged.read(), Err(Reason::RequestSpinHeaderRepeated));
        let underscore = Raw::good().with("spin_client_addr", "10.0.0.1:1");
        assert_eq!(underscore.read(), Err(Reason::RequestSpinHeaderRepeated));
        let alone = Raw::good().without("spin-client-addr").with("spin_client_addr", "10.0.0.1:1");
        assert_eq!(alone.read().unwrap().0.client, None);
        let untrusted = Raw::good().with("x-forwarded-for", "10.0.0.1");
        assert_eq!(untrusted.read().unwrap().0.client, Some("192.0.2.7".parse().unwrap()));
        let trusted = Raw::good().with("x-forwarded-for", "10.0.0.1, 203.0.113.9").edit(|raw| raw.hops = 1);
        assert_eq!(trusted.read().unwrap().0.client, Some("203.0.113.9".parse().unwrap()));
        assert_eq!(Raw::good().edit(|raw| raw.hops = 1).read(), Err(Reason::RequestClientAddressInvalid));
    }

    #[test]
    fn a_trace_is_continued_when_there_is_exactly_one() {
        let parent = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
        let one = Raw::good().with("Traceparent", parent).with("tracestate", "a=1").with("TraceState", "b=2");
        let trace = one.read().unwrap().0.trace.unwrap();
        assert_eq!((trace.parent_id.as_str(), trace.flags, trace.state.as_deref()), ("00f067aa0ba902b7", 1, Some("a=1,b=2")));
        assert_eq!(one.with("traceparent", parent).read().unwrap().0.trace, None);
        assert_eq!(Raw::good().with("traceparent", "garbage").read().unwrap().0.trace, None);
    }

    fn any_raw() -> impl Strategy<Value = Raw> {
        let text = || prop_oneof![any::<String>(), "[ -~]{0,16}"];
        let name = prop_oneof![
            3 => prop::sample::select(vec!["host", "Authorization", "content-length", "transfer-encoding", "spin-client-addr", "spin_full_url",
                "x-forwarded-for", "traceparent", "tracestate", "accept"]).prop_map(str::to_owned),
            1 => any::<String>(),
        ];
        let value = prop_oneof![
            4 => prop::sample::select(vec!["api.example", "5", "1.2.3.4:5", "10.0.0.1, 10.0.0.2", "a=1"]).prop_map(|v| v.as_bytes().to_vec()),
            2 => "[ -~]{0,12}".prop_map(String::into_bytes),
            1 => any::<Vec<u8>>(),
        ];
        let method = prop_oneof![4 => Just("GET".to_owned()), 1 => any::<String>()];
        let target = prop_oneof![3 => "/[a-z%.;/0-9]{0,12}(\\?[a-z=&%+]{0,8})?", 1 => any::<String>()];
        (
            method,
            prop::option::of(text()),
            prop::option::of(prop_oneof![3 => Just("api.example".to_owned()), 1 => any::<String>()]),
            prop::option::of(target),
            prop::collection::vec((name, value), 0..5),
            0..3_usize,
        )
            .prop_map(|(method, scheme, authority, target, headers, hops)| Raw {
                method,
                scheme,
                authority,
                target,
                headers,
                hops,
            })
    }

    /// An ordinary request with another target and a few more fields: mostly accepted.
    fn near_good() -> impl Strategy<Value = Raw> {
        let target = "(/([a-z]|%6[0-9a-f]|%[cC]3%[aA]9|\\.[a-z]){1,4}){1,4}(\\?[a-z=&+;\\[]{0,8})?";
        let name = prop_oneof!["x-[a-z_]{1,4}", "Spin-[A-Z]{1,3}", Just("x-forwarded-for".to_owned()), Just("tracestate".to_owned())];
        let value =
            prop_oneof![3 => "[0-9a-f.:=, \t]{0,12}".prop_map(String::into_bytes), 1 => prop::collection::vec(0x80..=0xff_u8, 0..8)];
        (target, prop::collection::vec((name, value), 0..5), prop::bool::ANY).prop_map(|(target, more, anonymous)| {
            let raw = if anonymous { Raw::good().without("authorization") } else { Raw::good() };
            raw.target(&target).edit(|raw| raw.headers.extend(more))
        })
    }

    proptest! {
        #[test]
        fn any_request_is_read_without_panic_and_always_alike(raw in prop_oneof![any_raw(), near_good()]) {
            let read = raw.read();
            prop_assert_eq!(&read, &raw.clone().read());
            if let Ok((facts, evidence)) = read {
                // The bytes decided on are the bytes forwarded.
                prop_assert_eq!(Some(facts.path_with_query()), raw.target.clone());
                prop_assert_eq!(facts.headers.len(), raw.headers.len());
                for ((name, value), (raw_name, raw_value)) in facts.headers.iter().zip(&raw.headers) {
                    prop_assert!(name.eq_ignore_ascii_case(raw_name) && value == raw_value);
                    prop_assert!(!value.iter().any(|b| matches!(b, 0 | b'\r' | b'\n')));
                }
                let sent = raw.headers.iter().find(|(name, _)| name.eq_ignore_ascii_case("authorization"));
                prop_assert_eq!(evidence.authorization.as_ref(), sent.map(|(_, value)| value));
            }
        }
    }
}
