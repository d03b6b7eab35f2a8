//! Signed URLs: a request with parameters of a link, or a cookie, read and verified as a gate does.

use std::sync::LazyLock;

use cedargate::bundle::{Bundle, Digest, Report};
use cedargate::decision::UnixTime;
use cedargate::request::{Proxies, RawRequest, Reading, read};
use cedargate::signed_url::{FILE, Grant, Keyring, SignOrder, SignedUrls, SubjectMode, Verifier, with_parameters};

const NOW: UnixTime = UnixTime(1_800_000_000);
const HOST: &str = "api.example.com";

static RING: LazyLock<Keyring> = LazyLock::new(|| {
    let secret = "BwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwc";
    let keys = format!(r#"{{"id":"h","algorithm":"HMAC-SHA-256","state":"active","secret":"{secret}"}},{{"id":"r","algorithm":"Ed25519","state":"retired"}}"#);
    Keyring::parse(&format!(r#"{{"v":1,"keys":[{keys}]}}"#)).expect("a keyring")
});

static CONFIG: LazyLock<SignedUrls> = LazyLock::new(|| {
    let mut bundle = Bundle::default();
    bundle.insert(FILE, "version = 1\n");
    SignedUrls::load(&bundle, &mut Report::default()).expect("a configuration")
});

/// The one link there is: what else verifies is a forgery.
static LINK: LazyLock<String> = LazyLock::new(|| {
    let (path, query, _) = cedargate::request::read_target("/api/documents/1?page=2").expect("a target");
    let grant = Grant {
        methods: &[cedargate::request::Method::Get],
        host: HOST,
        path: &path,
        prefix: false,
        query: query.as_deref(),
        issued_at: NOW,
        not_before: None,
        expires_at: UnixTime(NOW.0 + 600),
        network: None,
        issuer: "Gate::User::\"dev/alice\"",
        subject: Some("bob"),
        policy_digest: Digest::of(b"policies"),
    };
    let link = grant.sign(RING.signing().expect("a key"), SubjectMode::Opaque).expect("a link");
    with_parameters(path.raw(), query.as_deref(), &link.parameters)
});

/// `data` is the target of a request; behind a line feed a `Cookie`. One that begins with `{` is a body for the sign endpoint.
pub fn signed_url(data: &[u8]) -> bool {
    let base = cedargate::identity::PublicUrl { https: false, host: HOST.to_owned(), port: None };
    if data.first() == Some(&b'{') {
        if let Ok(order) = SignOrder::read(data, &base, NOW) {
            assert!((1..=100).contains(&order.items.len()));
            assert!(order.items.iter().all(|item| !item.methods.is_empty() && item.expires_in > 0));
            return true;
        }
        return false;
    }
    // A way in for the fuzzer: `@` stands for the good link.
    let Ok(text) = std::str::from_utf8(data) else { return false };
    let (target, cookie) = text.split_once('\n').unwrap_or((text, ""));
    let target = target.replacen('@', &LINK, 1);
    let headers = [("cookie".to_owned(), cookie.as_bytes().to_vec())];
    let raw = RawRequest { method: "GET", scheme: Some("http"), authority: Some(HOST), path_with_query: Some(&target), headers: &headers };
    let Ok((facts, evidence)) = read(&raw, Reading { proxies: Proxies::default(), signed_urls: true }) else { return false };
    // Nothing of a link is left in what policies and the origin see.
    assert!(!facts.parameters.iter().any(|(name, _)| name.to_ascii_lowercase().starts_with("cg-")), "{target}");
    assert!(!facts.headers.iter().any(|(_, value)| value.starts_with(b"__Secure-cg-link=")), "{cookie}");
    let verifier = Verifier { keyring: &RING, config: &CONFIG, policy_digest: Digest::of(b"policies") };
    let mut believed = false;
    for link in evidence.signed_url.iter().chain(&evidence.signed_cookies) {
        match verifier.verify(link, &facts, NOW) {
            Ok(identity) => {
                assert_eq!(target, *LINK, "a forgery verifies");
                assert_eq!(identity.subject, "bob");
                believed = true;
            }
            Err(denial) => assert!(denial.reason.code().starts_with("signed_url."), "{}", denial.reason.code()),
        }
    }
    believed
}
