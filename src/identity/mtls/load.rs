//! `keys/ca/` and `keys/crl/` of a bundle, and what only shows with the issuers of tokens.

use std::collections::BTreeMap;
use std::ops::Range;

use pki_types::{CertificateDer, TrustAnchor};
use webpki::{CertRevocationList, Error, OwnedCertRevocationList, anchor_from_trusted_cert};
use x509_parser::pem::Pem;
use x509_parser::prelude::{FromDer, X509Certificate};
use x509_parser::revocation_list::CertificateRevocationList;

use super::config::{self, Config, FILE, Named, STARTS};
use super::{Anchor, Mtls, Root, facts, known};
use crate::bundle::{Bundle, Problem, Report};
use crate::identity::table::Found;
use crate::identity::{Issuers, jwk, pem, text};
use crate::limits;

/// The folder of trust anchors.
pub(super) const CERTIFICATES: &str = "keys/ca/";
/// The folder of revocation lists.
pub(super) const CRLS: &str = "keys/crl/";

/// Loads everything. `None` when there is no file, and when a problem was reported.
pub(super) fn load(bundle: &Bundle, report: &mut Report) -> Option<Mtls> {
    let mut own = Report::default();
    let mut named = Named::default();
    let config = bundle.get(FILE).and_then(|bytes| config::read(bytes, &mut named, &mut own));
    check_files(bundle, &named, &mut own);
    let loaded = match config {
        Some(config) => Some(read_files(bundle, config, &mut own)),
        None => {
            missing_files(bundle, &named, &mut own);
            None
        }
    };
    for problem in own.problems() {
        report.add(problem.clone());
    }
    loaded.filter(|_| own.is_empty())
}

/// Reports files that nothing names or that do not belong here.
fn check_files(bundle: &Bundle, named: &Named, report: &mut Report) {
    for (path, bytes) in bundle.iter() {
        let (folder, names, endings, known) = if path.starts_with(CERTIFICATES) {
            (CERTIFICATES, &named.certificates, [".pem", ".crt"], "keys/ca/ holds PEM certificates (`*.pem`, `*.crt`)")
        } else if path.starts_with(CRLS) {
            (CRLS, &named.crls, [".crl", ".pem"], "keys/crl/ holds revocation lists, PEM or DER (`*.crl`, `*.pem`)")
        } else {
            continue;
        };
        let offset = pem::private_key_at(bytes);
        if offset.is_some() || jwk::holds_private_key(bytes) {
            let span = offset.map(|offset| offset..offset.saturating_add(1));
            let problem = Problem::new(path, "key.private", "the file holds a private key").at(span);
            report
                .add(problem.help("keys/ is compiled into the module and may hold public keys only; replace the key if it was published"));
            continue;
        }
        let name = path.strip_prefix(folder).unwrap_or(path);
        if name.contains('/') || !endings.iter().any(|ending| name.strip_suffix(ending).is_some_and(|stem| !stem.is_empty())) {
            report.add(Problem::new(path, "bundle.unknown_file", "the file has no meaning here").help(known));
        } else if !named.unread && !names.iter().any(|file| file.value == name) {
            let problem = Problem::new(path, "key.unused", "no anchor names this file");
            report.add(problem.help("add it to an `[[anchor]]` of `keys/mtls.toml`, or remove it"));
        }
    }
}

/// Reports named files that are not there, where something else is wrong and they are not read.
fn missing_files(bundle: &Bundle, named: &Named, report: &mut Report) {
    let mut files = Files::new(bundle, report);
    for (folder, file) in named.certificates.iter().map(|file| (CERTIFICATES, file)).chain(named.crls.iter().map(|file| (CRLS, file))) {
        let _ = files.get(folder, file);
    }
}

fn read_files(bundle: &Bundle, config: Config, report: &mut Report) -> Mtls {
    let mut files = Files::new(bundle, report);
    for (index, anchor) in config.anchors.iter().enumerate() {
        anchor.certificates.iter().for_each(|file| files.certificates(index, file));
        anchor.crls.iter().for_each(|file| files.crls(file));
    }
    if files.trust.len() > limits::TRUST_ANCHORS {
        let message = format!("the anchors have {} certificates, more than {}", files.trust.len(), limits::TRUST_ANCHORS);
        files.report.add(Problem::new(FILE, "mtls.too_many", message));
    }
    if let Some(span) = config.require_crl.clone().filter(|_| config.anchors.iter().all(|anchor| anchor.crls.is_empty())) {
        let problem = Problem::new(FILE, "mtls.value", "`require_crl` without any CRL would refuse every certificate").at(Some(span));
        files.report.add(problem.help("name the files in keys/crl/ in `crls` of the anchors"));
    }
    let Files { trust, roots, crls, turns, .. } = files;
    let Config { form, terminator, by_certificate, names, require_crl, insecure_accept_expired_crl, anchors } = config;
    let anchors = anchors.into_iter().map(|anchor| Anchor {
        name: anchor.name.value,
        trust_domains: anchor.trust_domains.into_iter().map(|domain| domain.value).collect(),
        prefix: anchor.prefix.value,
    });
    Mtls {
        form,
        terminator,
        by_certificate,
        names,
        anchors: anchors.collect(),
        trust,
        roots,
        crls,
        turns,
        require_crl: require_crl.is_some(),
        insecure_accept_expired_crl,
    }
}

struct Files<'a> {
    bundle: &'a Bundle,
    report: &'a mut Report,
    trust: Vec<TrustAnchor<'static>>,
    roots: Vec<Root>,
    crls: Vec<CertRevocationList<'static>>,
    turns: Option<Vec<i64>>,
    crls_read: BTreeMap<String, Range<usize>>,
}

impl<'a> Files<'a> {
    fn new(bundle: &'a Bundle, report: &'a mut Report) -> Self {
        Self { bundle, report, trust: Vec::new(), roots: Vec::new(), crls: Vec::new(), turns: Some(Vec::new()), crls_read: BTreeMap::new() }
    }

    fn get(&mut self, folder: &str, file: &Found<String>) -> Option<&'a [u8]> {
        let found = self.bundle.get(&format!("{folder}{}", file.value)).filter(|_| !file.value.contains('/'));
        if found.is_none() {
            let beside = self.bundle.iter().filter_map(|(path, _)| path.strip_prefix(folder)).filter(|name| !name.contains('/'));
            let beside: Vec<_> = beside.collect();
            let help = match beside.is_empty() {
                true => format!("{folder} is empty"),
                false => text::suggestion(&file.value, beside.into_iter()),
            };
            let problem = Problem::new(FILE, "mtls.file", format!("there is no file `{}` in {folder}", text::shown(&file.value)));
            self.report.add(problem.at(Some(file.span.clone())).help(help));
        }
        found
    }

    /// The certificates of one file.
    fn certificates(&mut self, anchor: usize, file: &Found<String>) {
        let Some(bytes) = self.get(CERTIFICATES, file) else { return };
        let path = format!("{CERTIFICATES}{}", file.value);
        let blocks = match blocks(bytes, "CERTIFICATE") {
            Ok(blocks) => blocks,
            Err(message) => return self.report.add(Problem::new(path, "mtls.certificate", message)),
        };
        for (index, der) in blocks.iter().enumerate() {
            let number = index.saturating_add(1);
            match root(anchor, der) {
                Err(message) => self.report.add(Problem::new(&path, "mtls.certificate", format!("certificate {number} {message}"))),
                Ok((trust, _)) if self.trust.iter().any(|other| same(other, &trust)) => {
                    let message = format!("certificate {number} has the subject and key of another trust anchor");
                    let problem = Problem::new(&path, "mtls.duplicate", message);
                    self.report.add(problem.help("a path that ends there would belong to both"));
                }
                Ok((trust, root)) => {
                    self.turn(facts::parse(der).and_then(|certificate| known::turns(&certificate)));
                    self.trust.push(trust);
                    self.roots.push(root);
                }
            }
        }
    }

    /// The CRLs of one file. An authority may stand in several anchors' `crls`, but each file is read once.
    fn crls(&mut self, file: &Found<String>) {
        let Some(bytes) = self.get(CRLS, file) else { return };
        if self.crls_read.insert(file.value.clone(), file.span.clone()).is_some() {
            return;
        }
        let path = format!("{CRLS}{}", file.value);
        let blocks = if bytes.starts_with(&[0x30]) { Ok(vec![bytes.to_vec()]) } else { blocks(bytes, "X509 CRL") };
        let blocks = match blocks {
            Ok(blocks) => blocks,
            Err(message) => return self.report.add(Problem::new(path, "mtls.crl", message)),
        };
        for der in blocks {
            if der.len() > limits::CRL_BYTES {
                let message = format!("the CRL has {} bytes, more than {}", der.len(), limits::CRL_BYTES);
                self.report.add(Problem::new(&path, "mtls.crl", message));
                continue;
            }
            let crl = match OwnedCertRevocationList::from_der(&der) {
                Ok(crl) => CertRevocationList::from(crl),
                Err(error) => {
                    self.report.add(Problem::new(&path, "mtls.crl", crl_problem(&error)));
                    continue;
                }
            };
            // SECURITY: webpki asks the first CRL that speaks for a certificate and no other. Beside an older one, a newer
            // one would never be read.
            if self.crls.iter().any(|other| overlap(other, &crl)) {
                let problem = Problem::new(&path, "mtls.duplicate", "another CRL is from the same issuer and for the same certificates");
                self.report.add(problem.help("keep the newest one"));
            }
            self.turn(next_update(&der));
            self.crls.push(crl);
        }
    }

    /// Notes moments at which something of it begins or ends to count; without one of them none is known.
    fn turn(&mut self, moments: Option<[i64; 2]>) {
        match (&mut self.turns, moments) {
            (Some(turns), Some(moments)) => turns.extend(moments),
            (turns, _) => *turns = None,
        }
    }
}

/// The moment a CRL ends, and the one after: whichever of the two is the first in which it no longer counts.
fn next_update(der: &[u8]) -> Option<[i64; 2]> {
    let (_, crl) = CertificateRevocationList::from_der(der).ok()?;
    let next = crl.next_update()?.timestamp();
    Some([next, next.checked_add(1)?])
}

fn same(a: &TrustAnchor<'_>, b: &TrustAnchor<'_>) -> bool {
    a.subject == b.subject && a.subject_public_key_info == b.subject_public_key_info
}

/// Whether two CRLs can speak for one certificate: unless both say for which part of them they are, and for different ones.
fn overlap(a: &CertRevocationList<'_>, b: &CertRevocationList<'_>) -> bool {
    a.issuer() == b.issuer()
        && match (a.issuing_distribution_point(), b.issuing_distribution_point()) {
            (Some(a), Some(b)) => a == b,
            _ => true,
        }
}

/// All blocks of a PEM file, which have one label.
fn blocks(bytes: &[u8], label: &str) -> Result<Vec<Vec<u8>>, String> {
    if !bytes.is_ascii() {
        return Err("the file is not PEM: it is not ASCII text".to_owned());
    }
    let mut contents = Vec::new();
    for block in Pem::iter_from_buffer(bytes) {
        let block = block.map_err(|_| "the file is not valid PEM".to_owned())?;
        if block.label != label {
            return Err(format!("a block is a `{}`, not a `{label}`", text::shown(&block.label)));
        }
        contents.push(block.contents);
    }
    if contents.is_empty() { Err(format!("the file has no `{label}` block")) } else { Ok(contents) }
}

/// A trust anchor from its certificate, or what is wrong with it.
fn root(anchor: usize, der: &[u8]) -> Result<(TrustAnchor<'static>, Root), &'static str> {
    let certificate = facts::parse(der).ok_or("is not an X.509 certificate")?;
    check_root(&certificate)?;
    let path_length = match certificate.basic_constraints() {
        Ok(Some(found)) => found.value.path_len_constraint,
        _ => None,
    };
    let constrains_email = facts::constrains_email(&certificate).ok_or("has name constraints that cannot be read")?;
    let validity = certificate.validity();
    let (not_before, not_after) = (validity.not_before.timestamp(), validity.not_after.timestamp());
    let owned = CertificateDer::from(der);
    let trust = anchor_from_trusted_cert(&owned).map_err(|_| "cannot be a trust anchor")?;
    Ok((trust.to_owned(), Root { anchor, not_before, not_after, path_length, constrains_email }))
}

fn check_root(certificate: &X509Certificate<'_>) -> Result<(), &'static str> {
    if !certificate.is_ca() {
        return Err("is not that of a certification authority (basic constraints)");
    }
    match certificate.key_usage() {
        Ok(None) => {}
        Ok(Some(found)) if found.value.key_cert_sign() => {}
        _ => return Err("may not sign certificates (key usage)"),
    }
    match certificate.extended_key_usage() {
        Ok(None) => {}
        Ok(Some(found)) if found.value.client_auth || found.value.any => {}
        _ => return Err("is not for client authentication (extended key usage)"),
    }
    match pem::from_spki(certificate.public_key()) {
        Ok(_) => Ok(()),
        Err(_) => Err("has a key that is not RSA of 2048 to 8192 bits, P-256, P-384 or Ed25519"),
    }
}

fn crl_problem(error: &Error) -> &'static str {
    match error {
        Error::UnsupportedDeltaCrl => "the CRL is a delta, which says nothing alone",
        Error::UnsupportedIndirectCrl => "the CRL is indirect: it lists certificates of other issuers",
        Error::UnsupportedCrlVersion => "the CRL is not of version 2",
        Error::UnsupportedCrlIssuingDistributionPoint | Error::UnsupportedRevocationReasonsPartitioning => {
            "the CRL is for a part of the certificates, in a way that is not supported"
        }
        Error::UnsupportedCriticalExtension => "the CRL has a critical extension that is not known",
        _ => "the file is not a CRL with a next update that can be read",
    }
}

/// SECURITY: the subjects of tokens and the holders of certificates are principals of one kind. No issuer may have a prefix
/// with which a subject could be written that is a certificate's name.
pub(super) fn check_issuers(mtls: &Mtls, bundle: &Bundle, issuers: &Issuers, report: &mut Report) {
    for (name, prefix) in issuers.prefixes() {
        let starts = STARTS.iter().copied().filter(|start| prefix.starts_with(start));
        let anchors = mtls.anchors.iter().map(|anchor| anchor.prefix.as_str()).filter(|own| !own.is_empty());
        let anchors = anchors.filter(|own| own.starts_with(prefix) || prefix.starts_with(own));
        let Some(own) = starts.chain(anchors).next() else { continue };
        let quoted = format!("\"{name}\"");
        let place = ["keys/issuers.toml", "keys/dev/issuers.toml"].into_iter().find_map(|file| {
            let text = std::str::from_utf8(bundle.get(file)?).ok()?;
            let start = text.find(&quoted)?;
            Some((file, start..start.saturating_add(quoted.len())))
        });
        let (file, span) = place.map_or(("keys/issuers.toml", None), |(file, span)| (file, Some(span)));
        let message =
            format!("the prefix `{}` of issuer `{name}` runs into the names of certificates, `{}`", text::shown(prefix), text::shown(own));
        let problem = Problem::new(file, "issuers.prefix", message).at(span);
        report.add(problem.help("a subject of this issuer could get the id of a certificate's holder; change one of the two prefixes"));
    }
}
