//! Whatever a request holds, the store answers and does not panic.

use std::net::IpAddr;
use std::sync::{Arc, LazyLock};

use proptest::prelude::*;

#[cfg(feature = "cli")]
use cedar_policy::{Authorizer, Decision, Policy, PolicySet, RequestEnv};

use super::{bundle, certificate, load, token};
use crate::decision::UnixTime;
use crate::identity::{Identity, PrincipalKind};
use crate::policy::PolicyStore;
#[cfg(feature = "cli")]
use crate::policy::context::{SAMPLE_SIGNING, sample_link};
use crate::policy::store::{Prepared, Question};
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

#[cfg(feature = "cli")]
fn link() -> impl Strategy<Value = Identity> {
    let certificate = proptest::option::of(any::<String>().prop_map(|name| Box::new(certificate(&name))));
    certificate.prop_map(|certificate| Identity::SignedUrl { link: Box::new(sample_link()), certificate })
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

    /// SECURITY: a proof is about requests that keep these promises. One that does not would be a request nobody proved anything about.
    #[test]
    #[cfg(feature = "cli")]
    fn whatever_the_gate_asks_keeps_what_it_promises_to_proofs(
        method in proptest::sample::select(Method::ALL.to_vec()),
        segments in prop_oneof![
            proptest::collection::vec(segment(), 0..5),
            proptest::sample::select(vec!["api/documents/1", "api/documents", "api/orders", "api/orders/41", "api/orders/41/refund", "api/admin/audit", "media/a"])
                .prop_map(|path| path.split('/').map(str::to_owned).collect()),
        ],
        identity in prop_oneof![4 => identity(), 1 => link()],
        purpose in proptest::sample::select(vec![Purpose::Request, Purpose::Request, Purpose::Sign(SAMPLE_SIGNING)]),
        now in 1_577_836_800..253_402_300_799_i64,
    ) {
        // A link makes no others: `sign` is never asked of one.
        prop_assume!(!(matches!(purpose, Purpose::Sign(_)) && identity.link().is_some()));
        let question =
            Question { method, https: true, host: "h", segments: &segments, parameters: &[], client: None, headers: &[] };
        let verdict = STORE.ask(question, &identity, purpose, UnixTime(now), Scan::Index);
        let named = STORE.name(question, &identity, purpose);
        if let Ok(Some(Prepared { request, entities, .. })) = STORE.prepare(&named, question, &identity, purpose, UnixTime(now), Scan::Everything) {
            let of = |uid: Option<&cedar_policy::EntityUid>| uid.unwrap().type_name().clone();
            let kind = RequestEnv::new(of(request.principal()), request.action().unwrap().clone(), of(request.resource()));
            prop_assert!(STORE.asked().contains(&kind), "{kind:?}");
            let authorizer = Authorizer::new();
            for promise in STORE.promises(&kind, &PolicyStore::named_in(STORE.policy_set())) {
                let policy = Policy::parse(None, format!("permit(principal, action, resource) when {{ {promise} }};")).unwrap();
                let response = authorizer.is_authorized(&request, &PolicySet::from_policies([policy]).unwrap(), &entities);
                prop_assert!(response.decision() == Decision::Allow, "{} of {}", promise, request);
            }
            // And the policies that proofs are about are those that decide.
            let met = authorizer.is_authorized(&request, &STORE.met_by(&kind).unwrap(), &entities);
            prop_assert_eq!(met.decision() == Decision::Allow, verdict.allow, "{}", request);
        }
    }
}
