//! Properties of the native format: what is signed verifies, and nothing that was changed does.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use proptest::prelude::*;

use super::*;
use crate::bundle::{Bundle, Digest, Report};
use crate::decision::{Denial, Reason, UnixTime};
use crate::request::{Facts, Method, Network, RawRequest, Reading, read, read_target};

const NOW: UnixTime = UnixTime(1_800_000_000);

fn config() -> SignedUrls {
    let mut bundle = Bundle::default();
    bundle.insert(FILE, "version = 1\n");
    SignedUrls::load(&bundle, &mut Report::default()).unwrap()
}

fn ring() -> Keyring {
    let secret = URL_SAFE_NO_PAD.encode([7; 32]);
    let hmac = format!(r#"{{"id":"h","algorithm":"HMAC-SHA-256","state":"active","secret":"{secret}"}}"#);
    let ed = format!(r#"{{"id":"e","algorithm":"Ed25519","state":"active","private_key":"{secret}"}}"#);
    Keyring::parse(&format!(r#"{{"v":1,"keys":[{hmac},{ed}]}}"#)).unwrap()
}

/// Everything a link can say.
#[derive(Debug, Clone)]
struct Case {
    key: &'static str,
    mode: SubjectMode,
    method: Method,
    target: String,
    prefix: bool,
    host: String,
    begins: Option<i64>,
    lasts: i64,
    network: bool,
    subject: Option<String>,
}

fn cases() -> impl Strategy<Value = Case> {
    let segment = "(%C3%A9|[a-z0-9.~!$&'()*+,=:@-]{1,6}x)";
    let target = (prop::collection::vec(segment, 1..5), prop::option::of("[a-z]{1,3}=[a-z0-9%2B]{0,0}[a-z0-9]{0,5}(&[a-z]{1,3}=x){0,3}"))
        .prop_map(|(segments, query)| format!("/{}{}", segments.join("/"), query.map(|q| format!("?{q}")).unwrap_or_default()));
    (
        (prop::sample::select(vec!["h", "e"]), prop::sample::select(vec![SubjectMode::Opaque, SubjectMode::Hash, SubjectMode::Plain])),
        prop::sample::select(Method::ALL.to_vec()),
        target,
        any::<bool>(),
        "[a-z]{1,8}\\.example(:8[0-9]{3})?",
        prop::option::of(-1000_i64..0),
        1_i64..86_400,
        any::<bool>(),
        prop::option::of("[ -~é€]{1,40}"),
    )
        .prop_map(|((key, mode), method, target, prefix, host, begins, lasts, network, subject)| Case {
            key,
            mode,
            method,
            target,
            prefix,
            host,
            begins,
            lasts,
            network,
            subject,
        })
}

fn sign(case: &Case) -> (String, String) {
    let ring = ring();
    let (path, query, _) = read_target(&case.target).unwrap();
    let grant = Grant {
        methods: &[case.method],
        host: &case.host,
        path: &path,
        prefix: case.prefix,
        query: query.as_deref(),
        issued_at: NOW,
        not_before: case.begins.map(|offset| UnixTime(NOW.0 + offset)),
        expires_at: UnixTime(NOW.0 + case.lasts),
        network: case.network.then(|| Network::parse("192.0.2.0/24").unwrap()),
        issuer: "Gate::User::\"dev/alice\"",
        subject: case.subject.as_deref(),
        policy_digest: Digest::of(b"policies"),
    };
    let link = grant.sign(ring.get(case.key).unwrap(), case.mode).unwrap();
    (with_parameters(path.raw(), query.as_deref(), &link.parameters), link.id)
}

/// Reads and verifies a target as a gate would.
fn verify(method: &str, host: &str, target: &str) -> Result<(LinkIdentity, Facts), Denial> {
    let headers = [("spin-client-addr".to_owned(), b"192.0.2.7:99".to_vec())];
    let raw = RawRequest { method, scheme: Some("http"), authority: Some(host), path_with_query: Some(target), headers: &headers };
    let (facts, evidence) = read(&raw, Reading { signed_urls: true, ..Reading::default() })?;
    let link = evidence.signed_url.ok_or_else(|| Denial::from(Reason::PolicyNoPermit))?;
    let (ring, config) = (ring(), config());
    let verifier = Verifier { keyring: &ring, config: &config, policy_digest: Digest::of(b"policies") };
    verifier.verify(&link, &facts, NOW).map(|identity| (identity, facts))
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 512, ..ProptestConfig::default() })]

    #[test]
    fn what_is_signed_verifies_and_says_what_it_was_given(case in cases()) {
        let (target, id) = sign(&case);
        let (identity, facts) = verify(case.method.as_str(), &case.host, &target).map_err(|denial| TestCaseError::fail(format!("{target}: {denial}")))?;
        prop_assert_eq!(&identity.id, &id);
        prop_assert_eq!(facts.path_with_query(), case.target.clone());
        prop_assert!(facts.parameters.iter().all(|(name, _)| !name.starts_with("cg-")));
        prop_assert_eq!((identity.prefix, identity.address_bound, identity.key_id.as_str()), (case.prefix, case.network, case.key));
        if case.mode != SubjectMode::Hash {
            let subject = case.subject.as_deref().unwrap_or("Gate::User::\"dev/alice\"");
            prop_assert_eq!((identity.issuer.as_str(), identity.subject.as_str()), ("Gate::User::\"dev/alice\"", subject));
        }
    }

    #[test]
    fn any_single_change_is_refused(case in cases(), at in any::<prop::sample::Index>(), how in 0..4_u8, byte in 0x21..0x7f_u8) {
        let (target, _) = sign(&case);
        let bytes = target.as_bytes();
        let at = at.index(bytes.len());
        let mut changed = bytes.to_vec();
        match how {
            0 => changed[at] = byte,
            1 => drop(changed.remove(at)),
            2 => changed.insert(at, byte),
            _ => changed.swap(at, (at + 1) % bytes.len()),
        }
        let changed = String::from_utf8(changed).unwrap();
        prop_assume!(changed != target);
        // Below a prefix more paths are granted, on purpose.
        let (before, _) = target.split_once("cg-v").unwrap();
        prop_assume!(!(case.prefix && at <= before.len()));
        let verified = verify(case.method.as_str(), &case.host, &changed);
        prop_assert!(verified.is_err(), "{} -> {}", target, changed);
    }

    #[test]
    fn another_method_or_host_is_refused(case in cases(), method in prop::sample::select(Method::ALL.to_vec()), host in "[a-z]{1,8}\\.example") {
        let (target, _) = sign(&case);
        let implied = case.method == Method::Get && method == Method::Head;
        prop_assert_eq!(verify(method.as_str(), &case.host, &target).is_ok(), method == case.method || implied);
        prop_assert_eq!(verify(case.method.as_str(), &host, &target).is_ok(), host == case.host);
    }

    #[test]
    fn no_parameters_make_it_panic(text in "(cg-(v|key|iat|exp|nbf|methods|prefix|ip|policy|by|sub|sig)=[a-zA-Z0-9.:/-]{0,6}&?){0,14}") {
        let _ = wire::parse(&text);
        let (before, link) = split(&text);
        prop_assert_eq!(before.is_none(), text.starts_with("cg-"));
        prop_assert_eq!(link.is_some(), text.starts_with("cg-"));
    }
}

/// The format to the byte: kept for ever, so that links of today count tomorrow.
#[test]
fn a_link_of_version_1_is_this_text() {
    let case = Case {
        key: "h",
        mode: SubjectMode::Plain,
        method: Method::Get,
        target: "/api/documents/1?page=2".to_owned(),
        prefix: false,
        host: "api.example.com".to_owned(),
        begins: Some(-10),
        lasts: 3600,
        network: true,
        subject: Some("bob".to_owned()),
    };
    let (target, id) = sign(&case);
    assert_eq!(
        target,
        "/api/documents/1?page=2&cg-v=1&cg-key=h&cg-iat=1800000000&cg-nbf=1799999990&cg-exp=1800003600&cg-methods=GET\
         &cg-ip=192.0.2.0/24&cg-policy=WzoC5Xr5tVquVFtZm6pqZ5ijZNjSeYo4U2JJ934w_l8&cg-by=p.R2F0ZTo6VXNlcjo6ImRldi9hbGljZSI&cg-sub=p.Ym9i&cg-sig=e07XhnrRot3BDqiBf-WXTimcloGaQJhSqGWlxtrU_r8"
    );
    assert_eq!(id, "358bf8d9c60f1515225a5eb292785944");
}
