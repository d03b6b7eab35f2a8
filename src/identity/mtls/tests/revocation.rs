//! CRLs: what they revoke, how fresh they are, and when there must be one.

use rcgen::{CrlDistributionPoint, CrlIssuingDistributionPoint, SerialNumber, date_time_ymd};

use super::support::*;
use crate::decision::{Reason, UnixTime};
use crate::identity::mtls::Mtls;

const LEAF: &[u8] = &[0x0a, 0xbc];
const MIDDLE: &[u8] = &[0x55];

struct World {
    root: Ca,
    middle: Ca,
    leaf: Vec<u8>,
}

fn world() -> World {
    let root = Ca::root("root");
    let middle = root.sub("middle", |params| params.serial_number = Some(SerialNumber::from_slice(MIDDLE)));
    let leaf = middle.leaf(|_| {});
    World { root, middle, leaf }
}

impl World {
    fn gate(&self, top: &str, crls: &[Vec<u8>]) -> Result<Mtls, Vec<String>> {
        let names: Vec<_> = (0..crls.len()).map(|index| format!("{index}.crl")).collect();
        let toml = toml(&format!("form = \"rfc9440\"\n{top}"), &format!("trust_domains = [\"example.org\"]\ncrls = {names:?}"));
        let mut bundle = bundle(&toml, &[("ca/corp.pem", pem("CERTIFICATE", &[&self.root.der]).as_bytes())]);
        for (name, crl) in names.iter().zip(crls) {
            bundle.insert(format!("keys/crl/{name}"), crl.clone());
        }
        load(&bundle).map_err(|problems| problems.into_iter().map(|problem| problem.code.to_owned()).collect())
    }

    fn verdict(&self, mtls: &Mtls) -> Result<(), Reason> {
        verify(mtls, &[&self.leaf, &self.middle.der]).map(drop).map_err(|denial| denial.reason)
    }
}

#[test]
fn what_a_crl_lists_is_revoked() {
    let world = world();
    let verdict = |crls: &[Vec<u8>]| world.verdict(&world.gate("", crls).unwrap());
    assert_eq!(verdict(&[]), Ok(()));
    assert_eq!(verdict(&[world.middle.crl(&[], |_| {})]), Ok(()));
    assert_eq!(verdict(&[world.middle.crl(&[&[0x0a, 0xbd]], |_| {})]), Ok(()));
    assert_eq!(verdict(&[world.middle.crl(&[LEAF], |_| {})]), Err(Reason::MtlsRevoked));
    // An authority on the way.
    assert_eq!(verdict(&[world.root.crl(&[MIDDLE], |_| {})]), Err(Reason::MtlsRevoked));
    // A serial number means nothing without its issuer.
    assert_eq!(verdict(&[world.root.crl(&[LEAF], |_| {}), world.middle.crl(&[MIDDLE], |_| {})]), Ok(()));
    // PEM, and several in one file.
    let both = pem("X509 CRL", &[&world.root.crl(&[], |_| {}), &world.middle.crl(&[LEAF], |_| {})]);
    assert_eq!(verdict(&[both.into_bytes()]), Err(Reason::MtlsRevoked));
}

#[test]
fn an_expired_crl_denies() {
    let world = world();
    let old = |serials: &[&[u8]]| {
        world.middle.crl(serials, |crl| (crl.this_update, crl.next_update) = (date_time_ymd(2026, 12, 1), date_time_ymd(2027, 1, 1)))
    };
    let insecure = "insecure_accept_expired_crl = true";
    assert_eq!(world.verdict(&world.gate("", &[world.middle.crl(&[], |_| {})]).unwrap()), Ok(()));
    assert_eq!(world.verdict(&world.gate("", &[old(&[])]).unwrap()), Err(Reason::MtlsCrlExpired));
    let mtls = world.gate(insecure, &[old(&[])]).unwrap();
    assert_eq!(world.verdict(&mtls), Ok(()));
    assert_eq!(mtls.insecure().count(), 1);
    assert_eq!(world.verdict(&world.gate(insecure, &[old(&[LEAF])]).unwrap()), Err(Reason::MtlsRevoked));
    // To the second: the next one is due at 2027-02-01T00:00:00Z.
    let mtls = world.gate("", &[world.middle.crl(&[], |_| {})]).unwrap();
    let at = |time: i64| verify_at(&mtls, &[&world.leaf, &world.middle.der], UnixTime(time)).map_err(|denial| denial.reason);
    assert!(at(1_801_439_999).is_ok());
    assert_eq!(at(1_801_440_000), Err(Reason::MtlsCrlExpired));
}

#[test]
fn a_crl_can_be_required() {
    let world = world();
    let (root, middle) = (world.root.crl(&[], |_| {}), world.middle.crl(&[], |_| {}));
    let required = "require_crl = true";
    assert_eq!(world.verdict(&world.gate(required, &[root.clone(), middle.clone()]).unwrap()), Ok(()));
    for crls in [[root], [middle]] {
        assert_eq!(world.verdict(&world.gate(required, &crls).unwrap()), Err(Reason::MtlsCrlMissing));
        assert_eq!(world.verdict(&world.gate("", &crls).unwrap()), Ok(()));
    }
    // One that would refuse everybody is a mistake.
    assert_eq!(world.gate(required, &[]).unwrap_err(), ["mtls.value"]);
}

#[test]
fn a_crl_somebody_else_signed_denies() {
    let world = world();
    let stranger = Ca::root("middle");
    assert_eq!(world.verdict(&world.gate("", &[stranger.crl(&[], |_| {})]).unwrap()), Err(Reason::MtlsCrlMissing));
    assert_eq!(world.verdict(&world.gate("", &[world.middle.crl(&[], |_| {})]).unwrap()), Ok(()));
}

#[test]
fn two_crls_do_not_speak_for_the_same_certificates() {
    let world = world();
    let listing = |uri: &str, serials: &[&[u8]]| {
        let uris = vec![uri.to_owned()];
        world.middle.crl(serials, |crl| {
            crl.issuing_distribution_point =
                Some(CrlIssuingDistributionPoint { distribution_point: CrlDistributionPoint { uris }, scope: None });
        })
    };
    let part = |uri: &str| listing(uri, &[]);
    let (old, new) = (world.middle.crl(&[], |_| {}), world.middle.crl(&[LEAF], |_| {}));
    // webpki would ask the first alone.
    assert_eq!(world.gate("", &[old.clone(), new]).unwrap_err(), ["mtls.duplicate"]);
    assert_eq!(world.gate("", &[old, part("http://a.test/1")]).unwrap_err(), ["mtls.duplicate"]);
    assert_eq!(world.gate("", &[part("http://a.test/1"), part("http://a.test/1")]).unwrap_err(), ["mtls.duplicate"]);
    let parts = |serials: &[&[u8]]| world.gate("", &[part("http://a.test/1"), listing("http://a.test/2", serials)]).unwrap();
    assert_eq!(world.verdict(&parts(&[])), Ok(()));
    // The certificate does not say in which part it would be listed: all count, not the first.
    assert_eq!(world.verdict(&parts(&[LEAF])), Err(Reason::MtlsRevoked));
}

#[test]
fn what_is_not_a_crl_does_not_load() {
    let world = world();
    for bad in [b"garbage".to_vec(), vec![0x30], vec![], world.root.der.clone(), pem("CERTIFICATE", &[&world.root.der]).into_bytes()] {
        assert_eq!(world.gate("", &[bad]).unwrap_err(), ["mtls.crl"]);
    }
}
