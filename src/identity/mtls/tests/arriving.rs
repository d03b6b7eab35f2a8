//! Which fields count, and from whom.

use super::support::*;
use crate::decision::Reason;
use crate::identity::mtls::{Arrival, Mtls, arrival};
use crate::identity::{Deployment, Secret};

const CERT: (&str, &str) = ("client-cert", ":AQID:");
const CHAIN: (&str, &str) = ("client-cert-chain", ":BAUG:");
const PROOF: (&str, &str) = ("x-terminator-secret", SECRET);

fn gate(terminator: &str) -> Mtls {
    let toml = usual().replace("secret_header = \"x-terminator-secret\"", terminator);
    trusting(&toml, &[&Ca::root("root").der])
}

fn by_secret() -> Mtls {
    gate("secret_header = \"x-terminator-secret\"")
}

fn from(mtls: &Mtls, fields: &[(&str, &str)]) -> Result<usize, Reason> {
    match arrival(Some(mtls), &facts(fields), &deployment()) {
        Arrival::Chain(_, chain) => Ok(chain.0.len()),
        Arrival::Refused(denial) => Err(denial.reason),
        Arrival::None | Arrival::Ignored(_) => Ok(0),
    }
}

#[test]
fn without_configuration_certificates_are_not_looked_at() {
    for name in [
        "client-cert",
        "client-cert-chain",
        "x-forwarded-client-cert",
        "ssl-client-cert",
        "x-ssl-client-cert",
        "x-amzn-mtls-clientcert",
        "x-amzn-mtls-clientcert-leaf",
        "client_cert",
    ] {
        let arrived = arrival(None, &facts(&[(name, "anything"), PROOF]), &deployment());
        assert!(matches!(arrived, Arrival::Ignored("client certificates are off")), "{name}");
    }
    for fields in [&[("accept", "*/*")][..], &[("client-cert", "")], &[]] {
        assert!(matches!(arrival(None, &facts(fields), &deployment()), Arrival::None), "{fields:?}");
    }
}

#[test]
fn only_the_configured_form_counts() {
    let mtls = by_secret();
    assert_eq!(chain(arrive(&mtls, &[CERT, CHAIN])), [[1, 2, 3], [4, 5, 6]]);
    assert_eq!(chain(arrive(&mtls, &[CERT, ("x-forwarded-client-cert", "Cert=x"), ("ssl-client-cert", "x")])).len(), 1);
    for name in ["x-forwarded-client-cert", "ssl-client-cert", "x-ssl-client-cert", "x-amzn-mtls-clientcert", "x-amzn-mtls-clientcert-leaf"]
    {
        assert!(matches!(arrive(&mtls, &[(name, ":AQID:")]), Arrival::Ignored("not the configured form")), "{name}");
    }
    assert!(matches!(arrive(&mtls, &[]), Arrival::None));
    // An empty value is how terminators write that there is none.
    for blank in ["", " ", "\t"] {
        assert!(matches!(arrive(&mtls, &[("client-cert", blank), ("client-cert-chain", blank)]), Arrival::None));
    }
    assert!(matches!(arrive(&mtls, &[("client-cert", ""), ("ssl-client-cert", "x")]), Arrival::Ignored(_)));
}

#[test]
fn a_load_balancer_has_two_modes_and_one_field_counts() {
    let trust = |top: &str| trusting(&toml(top, ""), &[&Ca::root("root").der]);
    let value = escaped(&pem("CERTIFICATE", &[&[1; 9]]), "+/=");
    let (all, leaf) = (("x-amzn-mtls-clientcert", value.as_str()), ("x-amzn-mtls-clientcert-leaf", value.as_str()));
    for (mtls, counts, other) in [
        (trust("form = \"alb\""), all, leaf),
        (trust("form = \"alb\"\nheader = \"x-amzn-mtls-clientcert\""), all, leaf),
        (trust("form = \"alb\"\nheader = \"x-amzn-mtls-clientcert-leaf\""), leaf, all),
    ] {
        assert_eq!(chain(arrive(&mtls, &[counts])).len(), 1);
        assert!(matches!(arrive(&mtls, &[other]), Arrival::Ignored("not the configured form")));
    }
}

#[test]
fn a_chain_needs_a_certificate() {
    let mtls = by_secret();
    assert_eq!(refused(arrive(&mtls, &[CHAIN])), Reason::MtlsMalformed);
    assert_eq!(refused(arrive(&mtls, &[("client-cert", ""), CHAIN])), Reason::MtlsMalformed);
    assert_eq!(chain(arrive(&mtls, &[CERT, CHAIN])).len(), 2);
}

#[test]
fn a_certificate_comes_once() {
    let mtls = by_secret();
    for fields in [
        &[CERT, CERT][..],
        &[CERT, ("client-cert", "")],
        &[("client-cert", ""), ("client-cert", "")],
        &[CERT, ("client_cert", ":AQID:")],
        &[("client_cert", "x"), CERT],
        &[CERT, CHAIN, ("client_cert_chain", ":AQID:")],
        &[CERT, CHAIN, ("client-cert_chain", "")],
        &[("client-cert", ""), ("client_cert", ":AQID:")],
    ] {
        assert_eq!(refused(arrive(&mtls, fields)), Reason::RequestCertificateRepeated, "{fields:?}");
    }
    // Lines of a list are one list; other forms have none.
    assert_eq!(chain(arrive(&mtls, &[CERT, CHAIN, CHAIN])).len(), 3);
    let der = trusting(&toml("form = \"der\"\nheader = \"x-cert\"\nchain_header = \"x-chain\"", ""), &[&Ca::root("root").der]);
    let (cert, rest) = (("x-cert", "AQID"), ("x-chain", "MAEH"));
    assert_eq!(chain(arrive(&der, &[cert, rest])).len(), 2);
    for fields in [&[cert, rest, rest][..], &[cert, cert], &[cert, ("x_cert", "")], &[cert, ("x_chain", "")]] {
        assert_eq!(refused(arrive(&der, fields)), Reason::RequestCertificateRepeated, "{fields:?}");
    }
    let xfcc = trusting(&toml("form = \"xfcc\"", ""), &[&Ca::root("root").der]);
    let field = ("x-forwarded-client-cert", "Cert=x");
    assert_eq!(refused(arrive(&xfcc, &[field, field])), Reason::RequestCertificateRepeated);
}

#[test]
fn an_underscore_is_never_believed() {
    let mtls = by_secret();
    assert!(matches!(arrive(&mtls, &[("client_cert", ":AQID:")]), Arrival::Ignored("its field is spelled with `_`")));
    assert!(matches!(arrive(&mtls, &[("client_cert_chain", ":AQID:")]), Arrival::Ignored(_)));
    assert_eq!(from(&mtls, &[CERT, ("x_terminator_secret", SECRET)]), Err(Reason::MtlsUntrustedTerminator));
    assert_eq!(from(&mtls, &[CERT, PROOF]), Ok(1));
}

#[test]
fn a_terminator_proves_itself_by_a_secret() {
    let mtls = by_secret();
    assert_eq!(from(&mtls, &[CERT, PROOF]), Ok(1));
    assert_eq!(from(&mtls, &[CERT, ("x-terminator-secret", PREVIOUS)]), Ok(1));
    let untrusted = Err(Reason::MtlsUntrustedTerminator);
    for fields in [
        &[CERT][..],
        &[CERT, ("x-terminator-secret", "")],
        &[CERT, ("x-terminator-secret", &SECRET[..31])],
        &[CERT, ("x-terminator-secret", &SECRET.to_uppercase())],
        &[CERT, ("x-terminator-secret", "wrong"), PROOF],
        &[CERT, PROOF, PROOF],
        &[CERT, ("x-other-secret", SECRET)],
        // Nothing of the value is looked at before.
        &[("client-cert", "garbage")],
        &[("client-cert", "garbage"), ("x-terminator-secret", "wrong")],
    ] {
        assert_eq!(from(&mtls, fields), untrusted, "{fields:?}");
    }
    let nothing = arrival(Some(&mtls), &facts(&[CERT, ("x-terminator-secret", "")]), &Deployment::default());
    assert_eq!(refused(nothing), Reason::MtlsUntrustedTerminator);
    // Without a certificate there is nothing to prove.
    assert_eq!(from(&mtls, &[]), Ok(0));
    assert_eq!(from(&mtls, &[("x-terminator-secret", "wrong")]), Ok(0));
}

#[test]
fn a_terminator_proves_itself_by_its_address() {
    let untrusted = Err(Reason::MtlsUntrustedTerminator);
    assert_eq!(from(&gate("addresses = [\"192.0.2.1\", \"10.0.0.0/8\"]"), &[CERT]), Ok(1));
    assert_eq!(from(&gate("addresses = [\"10.1.2.3\"]"), &[CERT]), Ok(1));
    assert_eq!(from(&gate("addresses = [\"10.1.2.4\", \"::1\"]"), &[CERT]), untrusted);
    // What proxies say of the client is not the connection.
    assert_eq!(from(&gate("addresses = [\"192.0.2.1\"]"), &[CERT, ("x-forwarded-for", "192.0.2.1")]), untrusted);
    let mtls = gate("addresses = [\"10.0.0.0/8\"]");
    let mut facts = facts(&[CERT]);
    facts.peer = None;
    assert_eq!(refused(arrival(Some(&mtls), &facts, &deployment())), Reason::MtlsUntrustedTerminator);
}

#[test]
fn both_proofs_are_asked_for_when_both_are_configured() {
    let both = |addresses: &str| gate(&format!("secret_header = \"x-terminator-secret\"\naddresses = [\"{addresses}\"]"));
    assert_eq!(from(&both("10.0.0.0/8"), &[CERT, PROOF]), Ok(1));
    assert_eq!(from(&both("10.0.0.0/8"), &[CERT]), Err(Reason::MtlsUntrustedTerminator));
    assert_eq!(from(&both("11.0.0.0/8"), &[CERT, PROOF]), Err(Reason::MtlsUntrustedTerminator));
}

#[test]
fn trusting_anyone_is_called_insecure() {
    let mtls = gate("insecure_trust_any = true");
    assert_eq!(from(&mtls, &[CERT]), Ok(1));
    assert_eq!(mtls.insecure().count(), 1);
    assert_eq!(by_secret().insecure().count(), 0);
}

#[test]
fn own_fields_are_told_so_that_they_are_kept_from_the_origin() {
    let fields = |mtls: &Mtls| mtls.own_fields().map(str::to_owned).collect::<Vec<_>>();
    assert_eq!(fields(&by_secret()), ["client-cert", "client-cert-chain", "x-terminator-secret"]);
    assert_eq!(fields(&gate("addresses = [\"::1\"]")), ["client-cert", "client-cert-chain"]);
    assert!(!by_secret().names_principal());
    assert!(trusting(&toml("form = \"xfcc\"\nprincipal = \"certificate\"", ""), &[&Ca::root("root").der]).names_principal());
}

#[test]
fn no_secret_is_ever_shown() {
    let shown = format!("{:?} {:?}", by_secret(), Secret::new(SECRET));
    assert!(!shown.contains(SECRET));
}

#[test]
fn a_value_that_is_not_ascii_is_refused() {
    let mtls = by_secret();
    assert_eq!(refused(arrive(&mtls, &[("client-cert", ":é:")])), Reason::MtlsMalformed);
    assert_eq!(refused(arrive(&mtls, &[CERT, ("client-cert-chain", "é")])), Reason::MtlsMalformed);
    let mut facts = facts(&[CERT, PROOF]);
    facts.headers[0].1 = vec![b':', 0xff, b':'];
    assert_eq!(refused(arrival(Some(&mtls), &facts, &deployment())), Reason::MtlsMalformed);
}
