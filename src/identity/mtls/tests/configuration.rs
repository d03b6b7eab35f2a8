//! `keys/mtls.toml`, `keys/ca/` and `keys/crl/`: what is refused, with which code, where, and with what advice.

use rcgen::{BasicConstraints, ExtendedKeyUsagePurpose, IsCa, KeyUsagePurpose};

use super::support::*;
use crate::bundle::{Bundle, Problem, Report};
use crate::identity::{Issuers, Mtls};

fn problems(toml: &str, files: &[(&str, &[u8])]) -> Vec<Problem> {
    load(&bundle(toml, files)).unwrap_err()
}

/// The problems of a configuration whose files are all there, as code and what is marked.
fn of(toml: &str) -> Vec<(&'static str, String)> {
    let root = pem("CERTIFICATE", &[&Ca::root("root").der]);
    let marked = |problem: Problem| (problem.code, problem.span.and_then(|span| toml.get(span)).unwrap_or("").to_owned());
    problems(toml, &[("ca/corp.pem", root.as_bytes())]).into_iter().map(marked).collect()
}

fn one(toml: &str) -> (&'static str, String) {
    let mut all = of(toml);
    assert_eq!(all.len(), 1, "{all:?}");
    all.remove(0)
}

fn marked(code: &'static str, text: &str) -> (&'static str, String) {
    (code, text.to_owned())
}

#[test]
fn no_file_is_fine_and_says_nothing() {
    let mut report = Report::default();
    assert!(Mtls::load(&Bundle::default(), &mut report).is_none() && report.is_empty());
}

#[test]
fn every_key_can_be_given() {
    let full = r#"
        version = 1
        form = "der"
        header = "x-client-cert"
        chain_header = "x-client-chain"
        principal = "certificate"
        names = ["subject", "email", "dns", "spiffe"]
        require_crl = true
        insecure_accept_expired_crl = true
        [terminator]
        secret_header = "x-terminator-secret"
        addresses = ["10.0.0.0/8", "::1"]
        insecure_trust_any = false
        [[anchor]]
        name = "corp"
        certificates = ["corp.pem", "old.crt"]
        crls = ["corp.crl"]
        trust_domains = ["example.org"]
        prefix = "corp/"
    "#;
    let root = Ca::root("root");
    let old = pem("CERTIFICATE", &[&Ca::root("older").der, &Ca::root("root").der]);
    let new = format!("# comments are fine in files\n{}", pem("CERTIFICATE", &[&root.der]));
    let crl = root.crl(&[], |_| {});
    let mtls = load(&bundle(full, &[("ca/corp.pem", new.as_bytes()), ("ca/old.crt", old.as_bytes()), ("crl/corp.crl", &crl)])).unwrap();
    assert_eq!(mtls.own_fields().collect::<Vec<_>>(), ["x-client-cert", "x-client-chain", "x-terminator-secret"]);
    assert!(mtls.names_principal());
    fn shared<T: Send + Sync + 'static>(_: &T) {}
    shared(&mtls);
}

#[test]
fn the_example_in_the_documentation_is_valid() {
    let documentation = include_str!("../../../../docs/configuration.md");
    let section = documentation.split_once("## Client certificates\n").unwrap().1;
    let example =
        section.lines().skip_while(|line| !line.starts_with("    ")).take_while(|line| line.is_empty() || line.starts_with("    "));
    let example: String = example.map(|line| format!("{}\n", line.trim_start())).collect();
    let root = Ca::root("root");
    let (file, crl) = (pem("CERTIFICATE", &[&root.der]), root.crl(&[], |_| {}));
    let mtls = load(&bundle(&example, &[("ca/corp-root.pem", file.as_bytes()), ("crl/corp.crl", &crl)])).unwrap();
    assert_eq!(verify(&mtls, &[&root.leaf(|_| {})]).unwrap().principal, ID);
}

#[test]
fn what_is_not_toml_or_lacks_a_key_is_told() {
    assert_eq!(of("version = ")[0].0, "mtls.syntax");
    assert_eq!(problems("\u{0}", &[])[0].code, "mtls.syntax");
    let mut latin = bundle("", &[]);
    latin.insert("keys/mtls.toml", vec![0xff]);
    assert_eq!(load(&latin).unwrap_err()[0].code, "mtls.syntax");
    let missing: Vec<_> = problems("", &[]).into_iter().map(|problem| (problem.code, problem.message)).collect();
    assert!(missing.iter().all(|(code, _)| *code == "mtls.missing_key") && missing.len() == 4, "{missing:?}");
    assert_eq!(one(&usual().replace("version = 1", "version = 2")), marked("mtls.version", "2"));
    assert_eq!(one(&usual().replace("version = 1", "version = 1\ncolour = 1")), marked("mtls.unknown_key", "colour"));
    assert_eq!(one(&usual().replace("[terminator]", "[terminator]\ncolour = 1")), marked("mtls.unknown_key", "colour"));
    assert_eq!(one(&usual().replace("[[anchor]]", "[[anchor]]\ncolour = 1")), marked("mtls.unknown_key", "colour"));
    assert_eq!(one(&usual().replace("\"rfc9440\"", "1")), marked("mtls.type", "1"));
    // Keys of one form are unknown in another.
    assert_eq!(one(&usual().replace("\"rfc9440\"", "\"rfc9440\"\nheader = \"x-cert\"")).0, "mtls.unknown_key");
    assert_eq!(one(&usual().replace("\"rfc9440\"", "\"xfcc\"\nchain_header = \"x-cert\"")).0, "mtls.unknown_key");
    assert_eq!(one(&usual().replace("\"rfc9440\"", "\"der\"")).0, "mtls.missing_key");
    assert_eq!(one(&usual().replace("name = \"corp\"", "")).0, "mtls.missing_key");
}

#[test]
fn bad_values_are_told_each_at_its_place() {
    for (from, to, value) in [
        ("\"rfc9440\"", "\"rfc9441\"", "\"rfc9441\""),
        ("\"rfc9440\"", "\"alb\"\nheader = \"x-cert\"", "\"x-cert\""),
        ("\"rfc9440\"", "\"rfc9440\"\nprincipal = \"both\"", "\"both\""),
        ("\"rfc9440\"", "\"rfc9440\"\nnames = []", "[]"),
        ("\"rfc9440\"", "\"rfc9440\"\nnames = [\"ip\"]", "\"ip\""),
        ("\"corp\"", "\"Corp\"", "\"Corp\""),
        ("\"corp\"", "\"\"", "\"\""),
        ("\"example.org\"", "\"spiffe://example.org\"", "\"spiffe://example.org\""),
        ("\"example.org\"", "\"Example.org\"", "\"Example.org\""),
        ("[\"corp.pem\"]", "[]", "[]"),
        ("secret_header = \"x-terminator-secret\"", "addresses = []", "[]"),
        ("secret_header = \"x-terminator-secret\"", "addresses = [\"10.0.0.1/8\"]", "\"10.0.0.1/8\""),
        ("secret_header = \"x-terminator-secret\"", "addresses = [\"0.0.0.0/0\"]", "\"0.0.0.0/0\""),
    ] {
        let toml = usual().replace(from, to);
        assert_ne!(toml, usual());
        // A file that no anchor names any more is a second problem.
        let found: Vec<_> = of(&toml).into_iter().filter(|(code, _)| *code != "key.unused").collect();
        assert_eq!(found, [marked("mtls.value", value)], "{to}");
    }
    // A file that is not there is told beside them.
    let found = of(&usual().replace("\"rfc9440\"", "\"rfc9441\"").replace("corp.pem", "crop.pem"));
    assert!(found.contains(&marked("mtls.value", "\"rfc9441\"")) && found.contains(&marked("mtls.file", "\"crop.pem\"")), "{found:?}");
    assert_eq!(one(&usual().replace("\"rfc9440\"", "\"rfc9440\"\nnames = [\"dns\", \"dns\"]")).0, "mtls.duplicate");
    for bad in ["corp", "spiffe:", "dns:", "email:x/", "subject:/", "a\\u0007/"] {
        assert_eq!(one(&usual().replace("name = ", &format!("prefix = \"{bad}\"\nname = "))).0, "mtls.value", "{bad}");
    }
}

#[test]
fn fields_have_one_meaning_each() {
    let der = |header: &str| usual().replace("\"rfc9440\"", &format!("\"der\"\nheader = \"{header}\""));
    assert!(of_result(&der("x-client-cert")).is_ok());
    assert!(of_result(&der("x-amzn-mtls-clientcert")).is_ok());
    for bad in [
        "authorization",
        "cookie",
        "host",
        "dpop",
        "spin-client-addr",
        "cedargate-principal",
        "x-forwarded-for",
        "x-forwarded-client-cert",
        "client-cert",
        "client-cert-chain",
        "traceparent",
        "content-length",
        "connection",
        "X-Client-Cert",
        "x_client_cert",
        "x client",
        "",
        "-x",
        "x-terminator-secret",
        "x:y",
        "é",
    ] {
        assert_eq!(one(&der(bad)).0, "mtls.value", "{bad}");
    }
    let both = usual().replace("\"rfc9440\"", "\"der\"\nheader = \"x-a\"\nchain_header = \"x-a\"");
    assert_eq!(one(&both), marked("mtls.value", "\"x-a\""));
    let nginx = usual().replace("\"rfc9440\"", "\"nginx\"").replace("x-terminator-secret", "ssl-client-cert");
    assert_eq!(one(&nginx), marked("mtls.value", "\"ssl-client-cert\""));
    assert_eq!(one(&usual().replace("x-terminator-secret", "client-cert")).0, "mtls.value");
    let alb = usual().replace("\"rfc9440\"", "\"alb\"").replace("x-terminator-secret", "x-amzn-mtls-clientcert");
    assert_eq!(one(&alb).0, "mtls.value");
}

fn of_result(toml: &str) -> Result<Mtls, Vec<Problem>> {
    let root = pem("CERTIFICATE", &[&Ca::root("root").der]);
    load(&bundle(toml, &[("ca/corp.pem", root.as_bytes())]))
}

#[test]
fn a_terminator_has_to_prove_something() {
    let with = |line: &str| usual().replace("secret_header = \"x-terminator-secret\"", line);
    assert_eq!(one(&with("")).0, "mtls.missing_key");
    assert_eq!(one(&with("insecure_trust_any = false")).0, "mtls.missing_key");
    assert!(of_result(&with("insecure_trust_any = true")).is_ok());
    assert_eq!(one(&with("insecure_trust_any = true\nsecret_header = \"x-s\"")).0, "mtls.value");
    assert_eq!(one(&with("insecure_trust_any = true\naddresses = [\"::1\"]")).0, "mtls.value");
    let without = usual().replace("[terminator]\nsecret_header = \"x-terminator-secret\"\n", "");
    assert_eq!(one(&without).0, "mtls.missing_key");
}

#[test]
fn all_problems_are_told_at_once() {
    let toml = "version = 3\nform = \"x\"\nprincipal = 1\n[terminator]\naddresses = [\"x\"]\n[[anchor]]\nname = \"A\"\ncertificates = [\"no.pem\"]\nx = 1";
    let codes: Vec<_> = problems(toml, &[("ca/unused.pem", b""), ("crl/x.txt", b"")]).into_iter().map(|problem| problem.code).collect();
    assert!(codes.len() == 9 && codes.contains(&"mtls.file"), "{codes:?}");
}

#[test]
fn files_are_named_and_named_files_are_there() {
    let root = pem("CERTIFICATE", &[&Ca::root("root").der]);
    let good = ("ca/corp.pem", root.as_bytes());
    let codes = |toml: &str, files: &[(&str, &[u8])]| problems(toml, files).into_iter().map(|problem| problem.code).collect::<Vec<_>>();
    assert!(load(&bundle(&usual(), &[good])).is_ok());
    assert_eq!(codes(&usual(), &[]), ["mtls.file"]);
    let misspelt = problems(&usual(), &[("ca/crop.pem", root.as_bytes())]);
    assert!(misspelt.iter().any(|problem| problem.help.as_deref() == Some("did you mean `crop.pem`?")), "{misspelt:?}");
    assert_eq!(codes(&usual(), &[good, ("ca/other.pem", root.as_bytes())]), ["key.unused"]);
    assert_eq!(codes(&usual(), &[good, ("crl/other.crl", b"x")]), ["key.unused"]);
    for odd in ["ca/corp.txt", "ca/deep/corp.pem", "ca/.pem", "crl/corp.crt", "crl/deep/a.crl"] {
        assert_eq!(codes(&usual(), &[good, (odd, root.as_bytes())]), ["bundle.unknown_file"], "{odd}");
    }
    let private = include_bytes!("../../../../tests/data/identity/test-only-p256-private.pem");
    for place in ["ca/key.pem", "ca/key.txt", "crl/key.pem"] {
        assert_eq!(codes(&usual(), &[good, (place, private)]), ["key.private"], "{place}");
    }
    assert!(codes(&usual(), &[("ca/corp.pem", &[root.as_bytes(), private].concat())]).contains(&"key.private"));
    assert_eq!(codes(&toml("form = \"xfcc\"", "crls = [\"../ca/corp.pem\"]"), &[good]), ["mtls.file"]);
    // Without the configuration nothing names them.
    let mut bare = Bundle::default();
    bare.insert("keys/ca/corp.pem", root);
    let mut report = Report::default();
    assert!(Mtls::load(&bare, &mut report).is_none());
    assert_eq!(report.problems()[0].code, "key.unused");
}

#[test]
fn an_anchor_is_an_authority_for_clients() {
    let verdict = |der: &[u8]| {
        let file = pem("CERTIFICATE", &[der]);
        load(&bundle(&usual(), &[("ca/corp.pem", file.as_bytes())])).map(drop).map_err(|problems| problems[0].code)
    };
    let refused = Err("mtls.certificate");
    assert_eq!(verdict(&Ca::root("root").der), Ok(()));
    assert_eq!(verdict(&Ca::root("root").sub("middle", |_| {}).der), Ok(()));
    assert_eq!(verdict(&Ca::root_with("root", |params| params.key_usages = vec![]).der), Ok(()));
    assert_eq!(
        verdict(&Ca::root_with("root", |params| params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth]).der),
        Ok(())
    );
    assert_eq!(verdict(&Ca::root_with("root", |params| params.is_ca = IsCa::NoCa).der), refused);
    assert_eq!(verdict(&Ca::root_with("root", |params| params.is_ca = IsCa::ExplicitNoCa).der), refused);
    assert_eq!(verdict(&Ca::root_with("root", |params| params.key_usages = vec![KeyUsagePurpose::CrlSign]).der), refused);
    assert_eq!(
        verdict(&Ca::root_with("root", |params| params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth]).der),
        refused
    );
    assert_eq!(verdict(&Ca::root("root").leaf(|_| {})), refused);
    assert_eq!(verdict(b"garbage"), refused);
    assert_eq!(verdict(&[&Ca::root("root").der[..], &[0]].concat()), refused);
    let constrained = Ca::root_with("root", |params| params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0)));
    assert_eq!(verdict(&constrained.der), Ok(()));
    for text in [&b""[..], b"no pem", b"-----BEGIN CERTIFICATE-----\n%\n-----END CERTIFICATE-----\n", b"\xff"] {
        assert_eq!(problems(&usual(), &[("ca/corp.pem", text)])[0].code, "mtls.certificate");
    }
    let public = include_bytes!("../../../../tests/data/identity/p256-public.pem");
    assert_eq!(problems(&usual(), &[("ca/corp.pem", public)])[0].code, "mtls.certificate");
}

#[test]
fn anchors_do_not_share_what_names_their_clients() {
    let (one, two) = (Ca::root("one"), Ca::root("two"));
    let (first, second) = (pem("CERTIFICATE", &[&one.der]), pem("CERTIFICATE", &[&two.der]));
    let codes = |top: &str, a: &str, b: &str, second: &str| {
        let toml = format!("{}\n[[anchor]]\n{b}\ncertificates = [\"other.pem\"]", toml(&format!("form = \"xfcc\"\n{top}"), a));
        let files = [("ca/corp.pem", first.as_bytes()), ("ca/other.pem", second.as_bytes())];
        load(&bundle(&toml, &files)).map(drop).map_err(|problems| problems.iter().map(|problem| problem.code).collect::<Vec<_>>())
    };
    let other = "name = \"other\"\nprefix = \"other/\"";
    assert_eq!(codes("", "", other, &second), Ok(()));
    assert_eq!(codes("", "", &other.replace("\"other\"", "\"corp\""), &second), Err(vec!["mtls.duplicate"]));
    assert_eq!(codes("", "", other, &first), Err(vec!["mtls.duplicate"]));
    let domain = "trust_domains = [\"example.org\"]";
    assert_eq!(codes("", domain, &format!("{other}\n{domain}"), &second), Err(vec!["mtls.duplicate"]));
    assert_eq!(codes("", "", "name = \"other\"", &second), Err(vec!["mtls.prefix"]));
    assert_eq!(codes("", "prefix = \"a/\"", "name = \"other\"\nprefix = \"a/b/\"", &second), Err(vec!["mtls.prefix"]));
    // SPIFFE ids have no prefix.
    assert_eq!(codes("names = [\"spiffe\"]", "", "name = \"other\"", &second), Ok(()));
}

#[test]
fn issuers_of_tokens_cannot_name_the_holders_of_certificates() {
    let mtls = |prefix: &str| trusting(&toml("form = \"xfcc\"", &format!("prefix = \"{prefix}\"")), &[&Ca::root("root").der]);
    let codes = |own: &str, prefix: &str| {
        let toml = format!(
            "version = 1\n[[issuer]]\nname = \"idp\"\niss = \"https://id.example.com/\"\naudience = \"a\"\nkeys = [\"k.pem\"]\n\
             algorithms = [\"ES256\"]\nprefix = \"{prefix}\"\n"
        );
        let mut bundle = Bundle::default();
        bundle.insert("keys/issuers.toml", toml.clone());
        bundle.insert("keys/k.pem", &include_bytes!("../../../../tests/data/identity/p256-public.pem")[..]);
        let mut report = Report::default();
        let issuers = Issuers::load(&bundle, &mut report).unwrap();
        mtls(own).check_issuers(&bundle, &issuers, &mut report);
        let marked = |problem: &Problem| toml.get(problem.span.clone().unwrap()).unwrap().to_owned();
        report.problems().into_iter().map(|problem| (problem.code, marked(problem))).collect::<Vec<_>>()
    };
    for (own, prefix) in [("", "idp/"), ("corp/", "idp/"), ("corp/", "corporate/"), ("corp/", "x/corp/"), ("", "dns/"), ("a:", "b:")] {
        assert_eq!(codes(own, prefix), [], "{own} {prefix}");
    }
    for (own, prefix) in [
        ("", "dns:"),
        ("", "spiffe://example.org/"),
        ("", "email:"),
        ("", "subject:CN:"),
        ("corp/", "corp/"),
        ("corp/", "corp/x/"),
        ("corp/x/", "corp/"),
    ] {
        assert_eq!(codes(own, prefix), [("issuers.prefix", "\"idp\"".to_owned())], "{own} {prefix}");
    }
}
