//! Client certificates: each way a chain can be wrong, with its own reason, beside one that is right.

use std::sync::OnceLock;

use cedargate::bundle::Bundle;
use rcgen::{ExtendedKeyUsagePurpose, KeyUsagePurpose, PKCS_ECDSA_P384_SHA384, PKCS_ED25519, PKCS_RSA_SHA256};

use super::support::client::Request;
use super::support::gate::{Answer, Expect, Gate, NOW, Setup, bundle, root};
use super::support::origin::Origin;
use super::support::pki::{Authority, Certified, Form, REVOKED, SECRET, SECRET_FIELD, Subject, from_pem, pem, sha1_leaf};

pub const DAY: i64 = 86_400;
/// Where workloads may read.
pub const MACHINES: &str = "/machines";

/// Policies for workloads, which the project's own have none of.
pub const WORKLOADS: &str = r#"
@id("suite.workloads")
@reason("any workload may read the list of machines")
@owner("suite")
permit (principal is Gate::Workload, action in Gate::Action::"read", resource == Gate::Path::"/machines");

@id("suite.billing")
@reason("the billing workload may read its own machine")
@owner("suite")
permit (principal == Gate::Workload::"spiffe://suite.example/billing", action == Gate::Action::"GET", resource == Gate::Path::"/machines/billing");
"#;

/// The suite's bundle with policies for workloads.
pub fn workloads() -> Bundle {
    let mut bundle = bundle();
    bundle.insert("policies/suite-workloads.cedar", WORKLOADS);
    bundle
}

/// The same with another `keys/mtls.toml`, made from the suite's by replacing text.
pub fn configured(changes: &[(&str, &str)]) -> Bundle {
    let mut bundle = workloads();
    let mut text = String::from_utf8(bundle.get("keys/mtls.toml").unwrap().to_vec()).unwrap();
    for (from, to) in changes {
        assert!(text.contains(from), "keys/mtls.toml has no `{from}`");
        text = text.replacen(from, to, 1);
    }
    bundle.insert("keys/mtls.toml", text);
    bundle
}

/// The same without anything about certificates.
pub fn off() -> Bundle {
    let mut off = Bundle::default();
    for (path, bytes) in workloads().iter().filter(|(path, _)| *path != "keys/mtls.toml" && !path.starts_with("keys/c")) {
        off.insert(path, bytes);
    }
    off
}

pub fn origin() -> Origin {
    Origin::start(([127, 0, 0, 1], 0).into())
}

pub fn gate() -> &'static Gate {
    static GATE: OnceLock<Gate> = OnceLock::new();
    GATE.get_or_init(|| Setup::new(&workloads()).start(&origin()))
}

pub fn suite() -> &'static Authority {
    static SUITE: OnceLock<Authority> = OnceLock::new();
    SUITE.get_or_init(Authority::suite)
}

/// A good client called `client`.
pub fn client() -> Subject {
    Subject::workload(NOW, "client")
}

/// What asks with a chain, as the terminator sends it.
pub fn present(chain: &[&[u8]]) -> Request {
    Form::Rfc9440.send(Request::get(MACHINES), chain)
}

pub fn accepted(name: &str, chain: &[&[u8]]) -> Answer {
    gate().check(name, &present(chain), &Expect::allowed())
}

/// All failures of a certificate look alike from outside.
fn refused_by(gate: &Gate, name: &str, request: &Request, reason: &'static str) {
    let answer = gate.check(name, request, &Expect::refused(401, reason));
    assert_eq!(answer.response.code(), "invalid_certificate", "{name}");
    answer.with_record(|record| assert!(record["identity"].is_null(), "{record}"));
}

pub fn refused(name: &str, chain: &[&[u8]], reason: &'static str) {
    refused_by(gate(), name, &present(chain), reason);
}

/// The Cedar principal of an allowed request.
pub fn principal(answer: &Answer) -> String {
    answer.record.as_ref().expect("a record")["cedar"]["principal"].as_str().expect("a principal").to_owned()
}

#[test]
fn every_kind_of_key_proves_a_workload() {
    for (name, algorithm) in [
        ("P-384", &PKCS_ECDSA_P384_SHA384),
        ("Ed25519", &PKCS_ED25519),
        ("RSA", &PKCS_RSA_SHA256),
        ("P-256", &rcgen::PKCS_ECDSA_P256_SHA256),
    ] {
        let certified = client().algorithm(algorithm).issued_by(suite());
        let answer = accepted(name, &[&certified.der]);
        assert_eq!(principal(&answer), r#"Gate::Workload::"spiffe://suite.example/client""#);
        // The control's negative: one bit of the signature, which is the end of a certificate.
        let mut forged = certified.der.clone();
        *forged.last_mut().unwrap() ^= 1;
        refused(name, &[&forged], "mtls.chain");
    }
    let one = Subject::workload(NOW, "billing").issued_by(suite());
    let other = client().issued_by(suite());
    let own = |certified: &Certified| Form::Rfc9440.send(Request::get("/machines/billing"), &[&certified.der]);
    gate().check("the policy's own workload", &own(&one), &Expect::allowed());
    gate().check("another workload", &own(&other), &Expect::refused(403, "policy.no_permit"));
}

#[test]
fn a_chain_must_lead_to_an_anchor() {
    let intermediate = suite().intermediate(Subject::new(NOW, "intermediate"));
    let leaf = client().issued_by(&intermediate);
    accepted("one between", &[&leaf.der, &intermediate.certified.der]);
    accepted("the root too", &[&leaf.der, &intermediate.certified.der, &suite().certified.der]);
    let second = intermediate.intermediate(Subject::new(NOW, "second"));
    let deep = client().issued_by(&second);
    accepted("two between", &[&deep.der, &second.certified.der, &intermediate.certified.der]);
    refused("the one between is left out", &[&leaf.der], "mtls.chain");
    refused("one of two is left out", &[&deep.der, &second.certified.der], "mtls.chain");

    // Same names, other keys.
    let stranger = Authority::root(Subject::new(NOW, "Suite root"));
    let forged = client().issued_by(&stranger);
    refused("a root of the same name", &[&forged.der], "mtls.chain");
    refused("that brings itself along", &[&forged.der, &stranger.certified.der], "mtls.chain");
    let between = Authority::root(Subject::new(NOW, "intermediate"));
    let forged = client().issued_by(&between);
    refused("another one of the name between", &[&forged.der, &intermediate.certified.der], "mtls.chain");
    refused("self-signed", &[&client().self_signed().der], "mtls.chain");
}

#[test]
fn time_bounds_every_certificate_on_the_way() {
    let leaf = |from: i64, to: i64| client().valid(from, to).issued_by(suite()).der;
    accepted("its first second", &[&leaf(NOW, NOW + DAY)]);
    accepted("its last second", &[&leaf(NOW - DAY, NOW)]);
    refused("a second too late", &[&leaf(NOW - DAY, NOW - 1)], "mtls.expired");
    refused("a second too early", &[&leaf(NOW + 1, NOW + DAY)], "mtls.not_yet_valid");
    for (name, from, to, reason) in [
        ("an issuer that has expired", NOW - 9 * DAY, NOW - 1, "mtls.expired"),
        ("an issuer that is not valid yet", NOW + 1, NOW + DAY, "mtls.not_yet_valid"),
    ] {
        let intermediate = suite().intermediate(Subject::new(NOW, "intermediate").valid(from, to));
        let leaf = client().issued_by(&intermediate);
        refused(name, &[&leaf.der, &intermediate.certified.der], reason);
    }
}

#[test]
fn a_certificate_is_only_for_what_it_says() {
    let with = |usages: &[ExtendedKeyUsagePurpose]| client().extended_key_usages(usages).issued_by(suite()).der;
    use ExtendedKeyUsagePurpose::{ClientAuth, CodeSigning, ServerAuth};
    accepted("for both sides", &[&with(&[ServerAuth, ClientAuth])]);
    refused("for servers", &[&with(&[ServerAuth])], "mtls.usage");
    refused("for code", &[&with(&[CodeSigning])], "mtls.usage");
    let authority = suite().intermediate(client());
    refused("an authority as the client", &[&authority.certified.der], "mtls.usage");

    // A client that issues certificates.
    let subject = Subject::new(NOW, "issuing client");
    let certified = subject.clone().issued_by(suite());
    let issuer = Authority::of(certified, subject);
    let leaf = client().issued_by(&issuer);
    refused("a client as the authority", &[&leaf.der, &issuer.certified.der], "mtls.usage");

    // A SPIFFE id asks for more: the rules about these have a test of their own.
    let named = || Subject::new(NOW, "client").dns("a.suite.example");
    let signing = |usages: &[KeyUsagePurpose]| named().key_usages(usages).issued_by(suite()).der;
    accepted("without key usage", &[&signing(&[])]);
    refused("a key that may not sign", &[&signing(&[KeyUsagePurpose::KeyEncipherment])], "mtls.usage");
}

#[test]
fn an_authority_is_held_to_its_constraints() {
    let named = |name: &str, constrained: &Authority| client().dns(name).issued_by(constrained).der;
    let constrained = suite().intermediate(Subject::new(NOW, "only some").only_dns("machines.suite.example"));
    let chain = |leaf: &[u8], expect: Option<&'static str>, name: &str| match expect {
        None => drop(accepted(name, &[leaf, &constrained.certified.der])),
        Some(reason) => refused(name, &[leaf, &constrained.certified.der], reason),
    };
    chain(&named("a.machines.suite.example", &constrained), None, "a name it may give");
    chain(&named("a.people.suite.example", &constrained), Some("mtls.constraint"), "a name it may not give");
    chain(&named("amachines.suite.example", &constrained), Some("mtls.constraint"), "a name that only ends alike");

    let last = suite().intermediate(Subject::new(NOW, "last").path_length(0));
    let leaf = client().issued_by(&last);
    accepted("clients below the last authority", &[&leaf.der, &last.certified.der]);
    let below = last.intermediate(Subject::new(NOW, "below"));
    let leaf = client().issued_by(&below);
    refused("an authority below the last one", &[&leaf.der, &below.certified.der, &last.certified.der], "mtls.constraint");
}

#[test]
fn weak_keys_and_signatures_are_refused() {
    refused("RSA of 1024 bits", &[&client().with_weak_key(suite())], "mtls.key_weak");
    refused("SHA-1", &[&sha1_leaf()], "mtls.algorithm");
    accepted("control", &[&client().algorithm(&PKCS_RSA_SHA256).issued_by(suite()).der]);
}

#[test]
fn what_a_list_revokes_is_refused() {
    let leaf = |serial: u64| client().serial(serial).issued_by(suite()).der;
    accepted("control", &[&leaf(665)]);
    for serial in REVOKED {
        refused("revoked", &[&leaf(serial)], "mtls.revoked");
    }
    let intermediate = suite().intermediate(Subject::new(NOW, "intermediate").serial(REVOKED[0]));
    let below = client().issued_by(&intermediate);
    refused("below a revoked one", &[&below.der, &intermediate.certified.der], "mtls.revoked");
    // The same number of another issuer is another certificate.
    let other = suite().intermediate(Subject::new(NOW, "other"));
    let leaf = client().serial(REVOKED[0]).issued_by(&other);
    accepted("the same number of another issuer", &[&leaf.der, &other.certified.der]);
}

#[test]
fn a_list_that_is_asked_for_must_be_there_and_fresh() {
    let mut bundle = configured(&[("[terminator]", "require_crl = true\n[terminator]")]);
    let (stale, bare) = (Authority::root(Subject::new(NOW, "stale")), Authority::root(Subject::new(NOW, "bare")));
    let mut text = String::from_utf8(bundle.get("keys/mtls.toml").unwrap().to_vec()).unwrap();
    for (name, authority) in [("stale", &stale), ("bare", &bare)] {
        bundle.insert(format!("keys/ca/{name}.pem"), authority.certified.pem());
        let crls = if name == "stale" { "crls = [\"stale.pem\"]\n" } else { "" };
        text.push_str(&format!("\n[[anchor]]\nname = \"{name}\"\ncertificates = [\"{name}.pem\"]\n{crls}prefix = \"{name}/\"\n"));
    }
    bundle.insert("keys/mtls.toml", text);
    bundle.insert("keys/crl/stale.pem", stale.crl(&[1], NOW - DAY, NOW));
    bundle.insert("keys/crl/suite-root.pem", suite().crl(&[1], NOW - DAY, NOW + 1));
    let gate = Setup::new(&bundle).start(&origin());
    let named = |authority: &Authority| present(&[&Subject::new(NOW, "client").dns("a.example").issued_by(authority).der]);
    gate.check("a list in its last second", &named(suite()), &Expect::allowed());
    refused_by(&gate, "a list whose successor is due", &named(&stale), "mtls.crl_expired");
    refused_by(&gate, "no list", &named(&bare), "mtls.crl_missing");
    // Where no list is asked for, none is needed, but one that is there must be fresh all the same.
    let with = |changes: &[(&str, &str)]| {
        let mut text = String::from_utf8(bundle.get("keys/mtls.toml").unwrap().to_vec()).unwrap();
        for (from, to) in changes {
            text = text.replace(from, to);
        }
        let mut bundle = bundle.clone();
        bundle.insert("keys/mtls.toml", text);
        Setup::new(&bundle).start(&origin())
    };
    let relaxed = with(&[("require_crl = true", "require_crl = false")]);
    relaxed.check("no list, and none is asked for", &named(&bare), &Expect::allowed());
    refused_by(&relaxed, "a list whose successor is due", &named(&stale), "mtls.crl_expired");
    // What the two switches give up, for tests: lists that never end, and terminators that prove nothing.
    let line = "secret_header = \"x-terminator-secret\"";
    let insecure = with(&[("require_crl = true", "insecure_accept_expired_crl = true"), (line, "insecure_trust_any = true")]);
    let anybody = |leaf: Certified| {
        Form::Rfc9440.fields(&[&leaf.der]).into_iter().fold(Request::get(MACHINES), |request, (name, value)| request.header(name, value))
    };
    let holder = |serial: u64| Subject::new(NOW, "client").dns("a.example").serial(serial).issued_by(&stale);
    insecure.check("anybody, by an old list", &anybody(holder(2)), &Expect::allowed());
    refused_by(&insecure, "what the old list names", &anybody(holder(1)), "mtls.revoked");
}

#[test]
fn the_work_for_one_chain_is_bounded() {
    // Authorities that could each have issued every other one and the client, by their names: there are thousands of orders.
    let many: Vec<Certified> = (0..5).map(|_| Subject::new(NOW, "Suite root").authority().issued_by(suite())).collect();
    let stranger = Authority::root(Subject::new(NOW, "Suite root"));
    let good = client().issued_by(suite());
    let forged = client().issued_by(&stranger);
    let with = |leaf: &Certified| {
        let mut chain: Vec<&[u8]> = vec![leaf.der.as_slice()];
        chain.extend(many.iter().map(|certified| certified.der.as_slice()));
        present(&chain)
    };
    refused_by(gate(), "no order is right", &with(&forged), "mtls.too_complex");
    gate().check("a short one is right", &with(&good), &Expect::allowed());

    let leaf = client().issued_by(suite());
    let long: Vec<&[u8]> = std::iter::repeat_n(leaf.der.as_slice(), 12).collect();
    refused("a dozen certificates", &long, "mtls.too_large");
}

#[test]
fn what_is_not_the_configured_form_is_malformed() {
    let leaf = client().issued_by(suite());
    let item = Form::Rfc9440.fields(&[&leaf.der]).remove(0).1;
    let ask = |value: &str| Request::get(MACHINES).header(SECRET_FIELD, SECRET).header("Client-Cert", value);
    gate().check("control", &ask(&item), &Expect::allowed());
    let bare = item.trim_matches(':');
    for (name, value) in [
        ("no colons", bare.to_owned()),
        ("one colon", format!(":{bare}")),
        ("two of them", format!("{item}, {item}")),
        ("more behind it", format!("{item} x")),
        ("a string", format!("\"{bare}\"")),
        ("URL-safe base64", format!(":{}-_:", &bare[..bare.len() - 4])),
        ("a space inside", format!(":{} {}:", &bare[..8], &bare[8..])),
        ("PEM", super::support::pki::escaped(&pem(&leaf.der), "")),
        ("nothing between the colons", "::".to_owned()),
    ] {
        refused_by(gate(), name, &ask(&value), "mtls.malformed");
    }
    let chain = |value: &str| present(&[&leaf.der]).header("Client-Cert-Chain", value);
    refused_by(gate(), "a chain in another form", &chain(bare), "mtls.malformed");
    gate().check("a chain that is not needed", &chain(&item), &Expect::allowed());
    let only = Request::get(MACHINES).header(SECRET_FIELD, SECRET).header("Client-Cert-Chain", &item);
    refused_by(gate(), "a chain without a certificate", &only, "mtls.malformed");

    refused("not DER", &[b"not a certificate"], "mtls.certificate_invalid");
    refused("half of one", &[&leaf.der[..leaf.der.len() / 2]], "mtls.certificate_invalid");
    refused("more behind it", &[&[&leaf.der[..], b"x"].concat()], "mtls.certificate_invalid");
}

#[test]
fn a_certificate_that_comes_twice_is_refused() {
    let (one, other) = (client().issued_by(suite()), Subject::workload(NOW, "billing").issued_by(suite()));
    let item = |certified: &Certified| Form::Rfc9440.fields(&[&certified.der]).remove(0).1;
    let expect = Expect::refused(400, "request.certificate_repeated");
    gate().check("control", &present(&[&one.der]), &Expect::allowed());
    gate().check("two of them", &present(&[&one.der]).header("client-cert", item(&other)), &expect);
    gate().check("the same one twice", &present(&[&one.der]).header("client-cert", item(&one)), &expect);
    // An origin behind CGI would see one field; so might a terminator that removes only the spelling it knows.
    gate().check("with an underscore", &present(&[&one.der]).header("client_cert", item(&other)), &expect);
    let request = Request::get(MACHINES).header(SECRET_FIELD, SECRET).header("client_cert", item(&one));
    let answer = gate().check("only with an underscore", &request, &Expect::denied(401));
    answer.with_record(|record| assert_ne!(record["decision"], "allow"));
}

/// A certificate of RFC 9440, appendix A, in DER.
pub fn published(name: &str) -> Vec<u8> {
    let path = root().join("tests/data/identity/rfc9440").join(name);
    from_pem(&std::fs::read_to_string(&path).unwrap_or_else(|e| panic!("{}: {e}", path.display())))
}

#[test]
fn the_standards_own_example_counts_in_its_time_only() {
    let names = ["client.pem", "intermediate.pem", "root.pem"];
    let [leaf, intermediate, trusted] = names.map(published);
    let mut bundle = configured(&[
        ("[\"spiffe\", \"dns\", \"email\", \"subject\"]", "[\"email\", \"dns\", \"subject\"]"),
        (
            "certificates = [\"suite-root.pem\"]\ncrls = [\"suite-root.pem\"]\ntrust_domains = [\"suite.example\"]",
            "certificates = [\"rfc9440.pem\"]",
        ),
    ]);
    bundle.insert("keys/ca/rfc9440.pem", pem(&trusted));
    let mut kept = Bundle::default();
    for (path, bytes) in bundle.iter().filter(|(path, _)| !path.ends_with("/suite-root.pem")) {
        kept.insert(path, bytes);
    }
    for (at, reason) in [
        // 2020-06-01, 2019-12-31, 2026-01-01.
        (1_590_969_600, None),
        (1_577_750_400, Some("mtls.not_yet_valid")),
        (1_767_225_600, Some("mtls.expired")),
    ] {
        let gate = Setup { now: Some(at), ..Setup::new(&kept) }.start(&origin());
        let expect = reason.map_or(Expect::allowed(), |reason| Expect::refused(401, reason));
        // As the standard writes it: the client's certificate, and of its chain what is between and the root.
        for chain in [&[&leaf[..], &intermediate, &trusted][..], &[&leaf, &intermediate]] {
            let answer = gate.check(&at.to_string(), &present(chain), &expect);
            if reason.is_none() {
                assert!(principal(&answer).starts_with(r#"Gate::Workload::"suite/"#), "{}", principal(&answer));
            }
        }
        // In no form and at no time without the one between.
        let alone = gate.check("the client's alone", &present(&[&leaf]), &Expect::denied(401));
        assert_ne!(alone.record.unwrap()["decision"], "allow");
    }
}
