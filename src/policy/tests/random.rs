//! Whatever a request holds, the store answers and does not panic.

use std::net::IpAddr;
use std::sync::{Arc, LazyLock};

use proptest::prelude::*;

use super::{bundle, certificate, load, token};
use crate::decision::UnixTime;
use crate::identity::{Identity, PrincipalKind};
use crate::policy::PolicyStore;
use crate::policy::store::Question;
use crate::policy::{Purpose, Scan};
use crate::request::Method;

static STORE: LazyLock<PolicyStore> = LazyLock::new(|| load(&bundle()));

fn segment() -> impl Strategy<Value = String> {
    prop_oneof![
        any::<String>(),
        proptest::sample::select(vec!["api", "documents", "orders", "admin", "1", "41", "refund", "health"]).prop_map(str::to_owned)
    ]
}

fn identity() -> impl Strategy<Value = Identity> {
    let strings = || proptest::collection::vec(any::<String>(), 0..4);
    let known = prop_oneof![any::<String>(), Just("alice".to_owned()), Just("mallory".to_owned())];
    let tokens = (known, strings(), strings(), any::<bool>(), any::<i64>(), any::<Option<i64>>(), any::<Option<String>>());
    let tokens = tokens.prop_map(|(subject, groups, scopes, user, expires, issued, acr)| {
        let mut token = token(&subject, &[], &[]);
        token.roles = groups.clone();
        token.groups = groups;
        token.amr = scopes.clone();
        token.scopes = scopes;
        token.kind = if user { PrincipalKind::User } else { PrincipalKind::Workload };
        token.expires_at = UnixTime(expires);
        token.issued_at = issued.map(UnixTime);
        token.auth_time = token.issued_at;
        token.email = acr.clone();
        token.client_id = acr.clone();
        token.acr = acr;
        token
    });
    let certificates = (any::<String>(), strings(), any::<Option<i64>>(), any::<i64>()).prop_map(|(name, names, from, until)| {
        let mut certificate = certificate(&name);
        certificate.subject = name;
        certificate.dns_names = names.clone();
        certificate.emails = names.clone();
        certificate.ip_addresses = names;
        certificate.not_before = UnixTime(from.unwrap_or_default());
        certificate.not_after = UnixTime(until);
        certificate
    });
    let both = (tokens, proptest::option::of(certificates), any::<bool>(), any::<bool>());
    let both = both.prop_map(|(token, certificate, named, alone)| match certificate.map(Box::new) {
        Some(certificate) if named => Identity::Certificate { certificate, token: (!alone).then(|| Arc::new(token)) },
        certificate => Identity::Token { token: Arc::new(token), certificate },
    });
    prop_oneof![1 => Just(Identity::Anonymous), 4 => both]
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(512) })]

    #[test]
    fn any_request_gets_an_answer(
        method in proptest::sample::select(Method::ALL.to_vec()),
        https: bool,
        host: String,
        segments in proptest::collection::vec(segment(), 0..6),
        parameters in proptest::collection::vec(any::<(String, String)>(), 0..6),
        client: Option<IpAddr>,
        purpose in proptest::collection::vec(proptest::collection::vec(any::<u8>(), 0..8), 0..3),
        identity in identity(),
        asks in proptest::sample::select(vec![Purpose::Request, Purpose::Revoke]),
        now in prop_oneof![any::<i64>(), 1_577_836_800..253_402_300_799_i64],
    ) {
        let headers: Vec<(String, Vec<u8>)> = purpose.into_iter().map(|value| ("x-request-purpose".to_owned(), value)).collect();
        let question = Question { method, https, host: &host, segments: &segments, parameters: &parameters, client, headers: &headers };
        let verdict = STORE.ask(question, &identity, asks, UnixTime(now), Scan::Index);
        for scan in [Scan::Index, Scan::Everything] {
            prop_assert_eq!(&verdict, &STORE.ask(question, &identity, asks, UnixTime(now), scan));
        }
        // Only what cannot be asked is an error: the sample policies themselves never fail.
        let asked = segments.iter().all(|segment| !segment.is_empty() && !segment.contains('/'))
            && (0..=253_402_300_799).contains(&now)
            && headers.len() < 2
            && headers.iter().all(|(_, value)| std::str::from_utf8(value).is_ok());
        if asks == Purpose::Request {
            prop_assert_eq!(verdict.errors.is_empty(), asked, "{:?}", verdict);
        }
        prop_assert!(asked || !verdict.allow);
    }
}
