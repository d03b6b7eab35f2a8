//! `keys/` of a bundle to [`Issuers`]: key files, the issuers that name them, and what only shows when all are seen together.

use std::collections::{BTreeMap, BTreeSet};

use super::config::{self, Config, IssuerConfig, MappedClaim, MappingConfig};
use super::issuers::{Issuer, Issuers};
use super::jwk::{self, KeyFile};
use super::key::{Key, KeyProblem};
use super::{Mtls, pem, text};
use crate::bundle::{Bundle, Problem, Report};
use crate::limits;

/// The folders that may hold an `issuers.toml`. Key files lie beside it.
const FOLDERS: [&str; 2] = ["keys/", "keys/dev/"];
const CONFIG: &str = "issuers.toml";

/// Loads everything below `keys/`. `None` exactly when a problem was reported.
pub(super) fn load(bundle: &Bundle, report: &mut Report) -> Option<Issuers> {
    let mut own = Report::default();
    let key_files = read_key_files(bundle, &mut own);
    if bundle.get("keys/issuers.toml").is_none() {
        let problem = Problem::new("keys", "issuers.missing", "there is no `keys/issuers.toml`");
        own.add(problem.help("a file with the line `version = 1` trusts nobody: every request is anonymous"));
    }
    let mut loader = Loader { key_files: &key_files, issuers: Vec::new(), mappings: Vec::new(), report: &mut own };
    let mut named = BTreeSet::new();
    let mut dpop = None;
    for folder in FOLDERS {
        let file = format!("{folder}{CONFIG}");
        if let Some(bytes) = bundle.get(&file) {
            let config = config::read(&file, bytes, loader.report);
            named.extend(config.named_files.iter().map(|name| format!("{folder}{name}")));
            // The development folder only adds issuers.
            dpop = dpop.or_else(|| config.dpop.clone());
            loader.add(folder, &file, config);
        }
    }
    loader.check_together();
    let issuers = std::mem::take(&mut loader.issuers);
    for path in key_files.keys().filter(|path| !named.contains(**path)) {
        let problem = Problem::new(*path, "key.unused", "no issuer names this key file");
        own.add(problem.help("add it to `keys` of an issuer in the `issuers.toml` beside it, or remove it"));
    }
    for problem in own.problems() {
        report.add(problem.clone());
    }
    own.is_empty().then(|| Issuers::new(issuers.into_iter().map(|placed| placed.issuer), dpop.unwrap_or_default()))
}

/// The keys of each file, and whether all of it could be read.
type KeyFiles<'a> = BTreeMap<&'a str, (Vec<Key>, bool)>;

/// Reads every key file once, whoever names it, and reports what does not belong into `keys/`.
fn read_key_files<'a>(bundle: &'a Bundle, report: &mut Report) -> KeyFiles<'a> {
    let mut files = BTreeMap::new();
    for (path, bytes) in
        bundle.iter().filter(|(path, _)| path.starts_with("keys/") && !Mtls::owns(path) && *path != crate::signed_url::FILE)
    {
        let name = FOLDERS.iter().filter_map(|folder| path.strip_prefix(folder)).find(|name| !name.contains('/'));
        let file = match name {
            Some(CONFIG) => continue,
            Some(name) => match name.rsplit_once('.') {
                Some((stem, "json")) if !stem.is_empty() => Some(jwk::read(bytes)),
                Some((stem, "pem")) if !stem.is_empty() => Some(pem::read(bytes, stem)),
                _ => None,
            },
            None => None,
        };
        match file {
            Some(KeyFile { keys, problems }) => {
                let complete = problems.is_empty();
                problems.into_iter().for_each(|problem| report.add(placed(path, bytes, problem)));
                files.insert(path, (keys, complete));
            }
            None => unknown_file(path, bytes, report),
        }
    }
    files
}

fn unknown_file(path: &str, bytes: &[u8], report: &mut Report) {
    let problem = Problem::new(path, "bundle.unknown_file", "the file has no meaning here");
    report.add(problem.help("keys/ holds `issuers.toml`, JWK sets (`*.json`) and PEM files (`*.pem`)"));
    if pem::private_key_at(bytes).is_some() || jwk::holds_private_key(bytes) {
        report.add(Problem::new(path, "key.private", "the file holds a private key").help("keys/ may hold public keys only"));
    }
}

/// A key's problem with its place: the offset it knows, else where the file mentions the key's `kid`.
fn placed(path: &str, bytes: &[u8], problem: KeyProblem) -> Problem {
    let by_kid = || {
        let quoted = serde_json::to_string(&problem.kid.as_ref()?).ok()?;
        let text = std::str::from_utf8(bytes).ok()?;
        let mut places = text.match_indices(&quoted).map(|(start, found)| start..start.saturating_add(found.len()));
        // Only a place that is certain: the text may occur elsewhere too.
        places.next().filter(|_| places.next().is_none())
    };
    let span = problem.offset.map(|offset| offset..offset.saturating_add(1)).or_else(by_kid);
    let placed = Problem::new(path, problem.code, problem.message).at(span);
    match problem.help {
        Some(help) => placed.help(help),
        None => placed,
    }
}

/// An issuer with its place in a file, until all are checked together.
struct Placed {
    file: String,
    config: IssuerConfig,
    issuer: Issuer,
}

struct Loader<'a> {
    key_files: &'a KeyFiles<'a>,
    issuers: Vec<Placed>,
    mappings: Vec<(String, MappingConfig)>,
    report: &'a mut Report,
}

impl Loader<'_> {
    fn add(&mut self, folder: &str, file: &str, config: Config) {
        let Config { issuers, mappings, names, named_files: _, dpop: _ } = config;
        let first = self.issuers.len();
        for config in issuers {
            let keys = self.keys(folder, file, &config);
            let issuer = Issuer {
                name: config.name.value.clone(),
                iss: config.iss.value.clone(),
                audience: config.audience.clone(),
                algorithms: config.algorithms.clone(),
                types: config.types.clone(),
                allow_missing_type: config.allow_missing_type,
                leeway: config.leeway,
                max_age: config.max_age,
                kind: config.kind,
                prefix: config.prefix.value.clone(),
                claims: config.claims.clone(),
                group_ids: BTreeMap::new(),
                role_ids: BTreeMap::new(),
                keys,
                required: config.required,
                lists: config.lists.clone(),
                allow_http: config.allow_http,
                remote: config.remote.clone(),
            };
            self.issuers.push(Placed { file: file.to_owned(), config, issuer });
        }
        for mapping in mappings {
            let mut here = self.issuers.iter_mut().skip(first);
            let Some(placed) = here.find(|placed| placed.issuer.name == mapping.issuer.value) else {
                // An issuer that has problems of its own is reported for these, not for being unknown as well.
                if !names.contains(&mapping.issuer.value) {
                    let message = format!("no issuer in this file has the name `{}`", text::shown(&mapping.issuer.value));
                    let problem = Problem::new(file, "issuers.unknown_issuer", message).at(Some(mapping.issuer.span));
                    self.report.add(problem.help(text::suggestion(&mapping.issuer.value, names.iter().map(String::as_str))));
                }
                continue;
            };
            let ids = match mapping.claim {
                MappedClaim::Groups => &mut placed.issuer.group_ids,
                MappedClaim::Roles => &mut placed.issuer.role_ids,
            };
            if ids.insert(mapping.value.value.clone(), mapping.to.value.clone()).is_some() {
                let message = format!("`{}` of this issuer is mapped twice", text::shown(&mapping.value.value));
                self.report.add(Problem::new(file, "issuers.duplicate", message).at(Some(mapping.value.span.clone())));
            }
            self.mappings.push((file.to_owned(), mapping));
        }
    }

    /// The keys of one issuer.
    fn keys(&mut self, folder: &str, file: &str, config: &IssuerConfig) -> Vec<Key> {
        let mut keys: Vec<Key> = Vec::new();
        let mut seen = BTreeSet::new();
        let mut all_read = true;
        for named in &config.keys.value {
            let problem = |code, message: String| Problem::new(file, code, message).at(Some(named.span.clone()));
            let shown = text::shown(&named.value);
            if !seen.insert(&named.value) {
                self.report.add(problem("issuers.duplicate", format!("`{shown}` occurs twice in `keys`")));
                continue;
            }
            let Some((found, complete)) = self.key_files.get(format!("{folder}{}", named.value).as_str()) else {
                all_read = false;
                let beside = self.key_files.keys().filter_map(|path| path.strip_prefix(folder)).filter(|name| !name.contains('/'));
                let missing = problem("issuers.key_file", format!("there is no key file `{shown}`"));
                self.report.add(missing.help(text::suggestion(&named.value, beside)));
                continue;
            };
            all_read &= complete;
            for key in found {
                if let Some(kid) = key.kid.as_ref().filter(|kid| keys.iter().any(|other| other.kid.as_ref() == Some(*kid))) {
                    let message = format!("the `kid` `{}` occurs twice among this issuer's keys", text::shown(kid));
                    self.report.add(problem("key.duplicate", message));
                }
                keys.push(key.clone());
            }
        }
        let problem = |code, message: String| Problem::new(file, code, message).at(Some(config::place(config)));
        if keys.len() > limits::KEYS_PER_ISSUER {
            self.report.add(problem("key.too_many", format!("the issuer has {} keys, more than {}", keys.len(), limits::KEYS_PER_ISSUER)));
        }
        let usable = |key: &Key| config.algorithms.iter().any(|algorithm| key.accepts(*algorithm));
        // Not where a key file has problems of its own: these are what is to be mended.
        let published = config.remote.is_some() && keys.is_empty();
        if all_read && !published && !keys.iter().any(usable) {
            let kinds: BTreeSet<_> =
                keys.iter().map(|key| key.pinned.map_or(key.material.key_type().to_string(), |p| p.name().to_owned())).collect();
            let allowed: Vec<_> = config.algorithms.iter().map(|algorithm| algorithm.name()).collect();
            let message = format!("no key of issuer `{}` can verify any of {}", config.name.value, allowed.join(", "));
            let help = match kinds.is_empty() {
                true => "none of its keys is for verifying signatures (`use`, `key_ops`)".to_owned(),
                false => format!(
                    "its keys are for {}: name what they sign with in `algorithms`",
                    kinds.into_iter().collect::<Vec<_>>().join(", ")
                ),
            };
            self.report.add(problem("key.none", message).help(help));
        }
        keys
    }

    /// What only shows between issuers: names, `iss`, prefixes.
    fn check_together(&mut self) {
        if self.issuers.len() > limits::ISSUERS {
            let message = format!("there are {} issuers, more than {}", self.issuers.len(), limits::ISSUERS);
            self.report.add(Problem::new("keys/issuers.toml", "issuers.too_many", message));
        }
        let mut before: Vec<&Placed> = Vec::new();
        for placed in &self.issuers {
            let problem =
                |code, span: &std::ops::Range<usize>, message: String| Problem::new(&placed.file, code, message).at(Some(span.clone()));
            let config = &placed.config;
            for other in &before {
                if other.issuer.name == placed.issuer.name {
                    self.report.add(problem(
                        "issuers.duplicate",
                        &config.name.span,
                        format!("two issuers have the name `{}`", placed.issuer.name),
                    ));
                }
                if other.issuer.iss == placed.issuer.iss {
                    let message = format!("two issuers have the `iss` `{}`", text::shown(&placed.issuer.iss));
                    self.report.add(problem("issuers.duplicate", &config.iss.span, message));
                }
                // SECURITY: ids are prefix and value. Were one prefix the start of another, one issuer could name the other's users.
                let (a, b) = (&other.issuer.prefix, &placed.issuer.prefix);
                if a.starts_with(b.as_str()) || b.starts_with(a.as_str()) {
                    let message =
                        format!("the prefix `{}` runs into `{}` of issuer `{}`", text::shown(b), text::shown(a), other.issuer.name);
                    let help = "no prefix may be the start of another: one issuer could name the other's users";
                    self.report.add(problem("issuers.prefix", &config.prefix.span, message).help(help));
                }
            }
            before.push(placed);
        }
        // SECURITY: a mapping gives a bare name. A name that starts like another issuer's would put this issuer's callers
        // among the other's groups.
        for (file, mapping) in &self.mappings {
            let to = &mapping.to.value;
            let mut others = self.issuers.iter().map(|placed| &placed.issuer).filter(|issuer| issuer.name != mapping.issuer.value);
            if let Some(other) = others.find(|other| to.starts_with(&other.prefix)) {
                let message = format!("`{}` is a name of issuer `{}`", text::shown(to), other.name);
                let problem = Problem::new(file, "issuers.mapping", message).at(Some(mapping.to.span.clone()));
                self.report.add(problem.help("map to a bare name, and the other issuer's value to the same one"));
            }
        }
    }
}
