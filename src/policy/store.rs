//! The sealed policies, and the question put to them.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use cedar_policy::{Authorizer, Entities, EntityUid, Request, Schema};

use super::context::{self, Input, Needs};
use super::entities::{self, Made, Within};
use super::index::{Answered, Found, Index, Scan, Scope};
use super::names::{self, Names};
use super::routes::{Route, Routes};
use super::schema::Action;
use super::statics::Statics;
use super::step_up::StepUp;
use super::{Advice, PolicyRef, Purpose, Reads, Verdict, advice, load, routes_file, shadow};
use crate::bundle::{Bundle, Report};
use crate::decision::UnixTime;
use crate::identity::Identity;
use crate::request::{Facts, Method};

/// The sealed policies.
///
/// INVARIANT: everything in it was validated together: the policies strictly against the schema, the context and the
/// entities that the gate makes against the schema too. So no request needs to be validated again.
#[derive(Debug)]
pub struct PolicyStore {
    pub(super) authorizer: Authorizer,
    pub(super) schema: Schema,
    /// All policies.
    pub(super) index: Index,
    /// The same as one set, for who compares them and proves things of them. No gate needs it.
    #[cfg(feature = "cli")]
    pub(super) set: cedar_policy::PolicySet,
    /// What lifts those `forbid` policies that say it.
    pub(super) step_ups: BTreeMap<String, StepUp>,
    /// The `forbid` policies that name `sign`, and whether any `permit` can apply to it: links live as long as signing does.
    pub(super) signing: SigningPolicies,
    pub(super) policies: BTreeMap<String, PolicyRef>,
    pub(super) names: Names,
    pub(super) actions: BTreeMap<String, Action>,
    pub(super) statics: Statics,
    pub(super) routes: Routes,
}

/// What policies say about signing URLs, whoever asks.
#[derive(Debug)]
pub(super) struct SigningPolicies {
    /// Whether the action of any `permit` can be `sign`.
    pub(super) permitted: bool,
    /// Every `forbid` that names `sign` in its scope.
    pub(super) forbids: Index,
}

/// What the store reads of [`Facts`].
#[derive(Debug, Clone, Copy)]
pub(super) struct Question<'a> {
    pub(super) method: Method,
    pub(super) https: bool,
    pub(super) host: &'a str,
    pub(super) segments: &'a [String],
    pub(super) parameters: &'a [(String, String)],
    pub(super) client: Option<IpAddr>,
    pub(super) headers: &'a [(String, Vec<u8>)],
}

impl<'a> From<&'a Facts> for Question<'a> {
    fn from(facts: &'a Facts) -> Self {
        // The port, the raw query, the peer and the trace are no part of a decision.
        let Facts { method, https, host, port: _, path, query: _, parameters, client, headers, peer: _, trace: _ } = facts;
        Self { method: *method, https: *https, host, segments: path.segments(), parameters, client: *client, headers }
    }
}

impl PolicyStore {
    /// Path of the schema in a bundle.
    pub const SCHEMA: &'static str = "policies/schema.cedarschema";

    /// Loads `policies/` of a bundle. Every problem goes into the report; with one, there is no store.
    pub fn load(bundle: &Bundle, report: &mut Report) -> Option<Self> {
        load::load(bundle, report)
    }

    /// Loads the policies on trial of a bundle, `policies/shadow/`. None when there are none, and when a problem was reported.
    pub fn load_shadow(bundle: &Bundle, report: &mut Report) -> Option<Self> {
        shadow::load(bundle, report)
    }

    /// Holds the headers policies may read against fields that hold a client certificate or a terminator's secret.
    pub fn check_headers<'f>(&self, bundle: &Bundle, own: impl Iterator<Item = &'f str>, report: &mut Report) {
        routes_file::check_headers(bundle, &self.routes.context_headers, own, report);
    }

    /// What the authors of a bundle's enforced policies should look at. It never changes what can be sealed.
    pub fn advice(bundle: &Bundle) -> Vec<Advice> {
        advice::find(bundle)
    }

    /// Number of policies.
    pub fn len(&self) -> usize {
        self.policies.len()
    }

    /// Never true: a bundle without a policy is a problem.
    pub fn is_empty(&self) -> bool {
        self.policies.is_empty()
    }

    /// The policies in order of their ids.
    pub fn policies(&self) -> impl Iterator<Item = &PolicyRef> {
        self.policies.values()
    }

    /// Every scope a route names. Sorted, unique.
    pub fn scopes(&self) -> BTreeSet<&str> {
        self.routes.iter().flat_map(|route| route.scopes.values().flatten()).map(String::as_str).collect()
    }

    /// The headers policies may read, in lower case.
    pub fn context_headers(&self) -> &[String] {
        &self.routes.context_headers
    }

    /// What the policies look at.
    pub fn reads(&self) -> Reads {
        Reads::of(self.index.policies())
    }

    /// The policies, for who compares them.
    #[cfg(feature = "cli")]
    pub(crate) fn policy_set(&self) -> &cedar_policy::PolicySet {
        &self.set
    }

    /// The schema.
    pub fn schema(&self) -> &Schema {
        &self.schema
    }

    /// Asks Cedar. Never panics; what cannot be asked becomes an error of the verdict.
    pub fn authorize(&self, facts: &Facts, identity: &Identity, purpose: Purpose, now: UnixTime) -> Verdict {
        self.authorize_by(Scan::Index, facts, identity, purpose, now)
    }

    /// The same, putting to Cedar what `scan` says.
    pub fn authorize_by(&self, scan: Scan, facts: &Facts, identity: &Identity, purpose: Purpose, now: UnixTime) -> Verdict {
        self.ask(Question::from(facts), identity, purpose, now, scan)
    }

    pub(super) fn ask(&self, question: Question<'_>, identity: &Identity, purpose: Purpose, now: UnixTime, scan: Scan) -> Verdict {
        let named = self.name(question, identity, purpose);
        let asked = &named.asked;
        let mut verdict = Verdict {
            allow: false,
            determining: vec![],
            errors: vec![],
            principal: names::shown(&asked.principal),
            action: names::shown(&asked.action),
            resource: names::shown(&asked.resource),
            missing_scope: vec![],
            step_up: None,
            unclear: false,
        };
        match self.evaluate(&named, question, identity, purpose, now, scan) {
            Ok(Some((answered, step_up))) => {
                self.read(&answered, &mut verdict);
                verdict.step_up = step_up;
            }
            Ok(None) => {}
            Err(Unasked { why, unclear }) => {
                verdict.errors.push(why);
                verdict.unclear = unclear;
            }
        }
        // Scopes belong to the principal only where the token names it; else another token would not help.
        let route = named.route.filter(|_| purpose == Purpose::Request);
        if let (false, [], [], Some(route), Identity::Token { token, certificate: _ }) =
            (verdict.allow, &*verdict.determining, &*verdict.errors, route, identity)
        {
            let named = route.scopes.get(&question.method).map(Vec::as_slice).unwrap_or_default();
            verdict.missing_scope = named.iter().filter(|scope| !token.scopes.contains(scope)).cloned().collect();
        }
        verdict
    }

    /// What a question is about, in Cedar's terms.
    pub(super) fn name<'s>(&'s self, question: Question<'_>, identity: &Identity, purpose: Purpose) -> Named<'s> {
        // The gate's own endpoints are not the team's resources: no route gives them another name.
        let route = self.routes.find(question.segments).filter(|_| purpose != Purpose::Revoke);
        let name: &'s str = match purpose {
            Purpose::Revoke => names::REVOKE,
            Purpose::Sign(_) => names::SIGN,
            Purpose::Request => {
                route.and_then(|route| route.actions.get(&question.method)).map_or(question.method.as_str(), String::as_str)
            }
        };
        let paths = entities::path_ids(question.segments);
        let path = paths.as_ref().ok().and_then(|ids| ids.last()).map_or("/", String::as_str);
        let typed = route.and_then(|route| route.entity(question.segments));
        let asked = Asked {
            principal: self.names.principal(identity),
            action: self.names.action(name),
            resource: typed.clone().unwrap_or_else(|| names::uid(&self.names.path, path)),
        };
        Named { route, name, paths, typed: typed.is_some(), asked }
    }

    /// Cedar's answer with the login that would change it, or none when the schema rules the question out.
    fn evaluate(
        &self,
        named: &Named<'_>,
        question: Question<'_>,
        identity: &Identity,
        purpose: Purpose,
        now: UnixTime,
        scan: Scan,
    ) -> Result<Option<(Answered, Option<StepUp>)>, Unasked> {
        let Some(prepared) = self.prepare(named, question, identity, purpose, now, scan)? else { return Ok(None) };
        let Prepared { request, entities, buckets, withdrawing: _ } = &prepared;
        if let Some(withdrawn) = self.withdrawn(identity, &named.asked, &prepared)? {
            return Ok(withdrawn.map(|answered| (answered, None)));
        }
        // Those that a stronger login lifts have buckets of their own: whether it would help is known without asking again.
        let (liftable, others): (Vec<Found<'_>>, Vec<Found<'_>>) = buckets.iter().copied().partition(|found| found.bucket.step_up);
        let rest = Answered::by(&self.authorizer, &others, request, entities);
        let would_help = rest.allow() && rest.errors.is_empty();
        let all = rest.with(Answered::by(&self.authorizer, &liftable, request, entities));
        let step_up = self.step_up(&all, identity, now, would_help);
        Ok(Some((all, step_up)))
    }

    /// What Cedar is asked, or none when the schema rules the question out.
    pub(super) fn prepare(
        &self,
        named: &Named<'_>,
        question: Question<'_>,
        identity: &Identity,
        purpose: Purpose,
        now: UnixTime,
        scan: Scan,
    ) -> Result<Option<Prepared<'_>>, Unasked> {
        let Named { route: _, name, paths, typed, asked } = named;
        let paths = paths.as_ref().map_err(Clone::clone)?;
        let action = match self.actions.get(*name) {
            Some(action) => action,
            // A team that leaves it out of its schema lets nobody do it; that is no fault.
            None if purpose != Purpose::Request => return Ok(None),
            None => return Err(Unasked { why: format!("the schema has no action `{name}`"), unclear: false }),
        };
        // SECURITY: policies were only type-checked for the kinds of request the schema declares. For any other kind
        // even a policy without conditions means nothing, so nothing is permitted.
        if !action.applies(&asked.principal, &asked.resource) {
            return Ok(None);
        }
        let mut made = vec![Made { uid: asked.principal.clone(), attrs: vec![], parents: self.memberships(identity) }];
        let mut parent: Option<EntityUid> = None;
        for path in paths {
            let uid = names::uid(&self.names.path, path);
            made.push(Made { uid: uid.clone(), attrs: vec![], parents: parent.replace(uid).into_iter().collect() });
        }
        if *typed {
            made.push(Made { uid: asked.resource.clone(), attrs: vec![], parents: parent.into_iter().collect() });
        }
        let above = |uid| entities::ancestors(&self.statics, &made, uid);
        let within = match scan {
            Scan::Index => Some(Within { principal: above(&asked.principal), resource: above(&asked.resource) }),
            Scan::Everything => None,
        };
        let (buckets, withdrawing) = self.concerned(asked, within.as_ref(), identity);
        let concerned = || buckets.iter().chain(&withdrawing).map(|found| found.bucket);
        let needs = match scan {
            Scan::Index => concerned().fold(Needs::default(), |all, bucket| all.or(bucket.needs)),
            Scan::Everything => Needs::EVERYTHING,
        };
        let context = context::build(
            &Input {
                method: question.method.as_str(),
                host: question.host,
                path: paths.last().map_or("/", String::as_str),
                query: question.parameters,
                headers: self.headers(question.headers)?,
                client: question.client,
                https: question.https,
                now,
                token: identity.token(),
                certificate: identity.certificate(),
                signing: match purpose {
                    Purpose::Sign(signing) => Some(signing),
                    Purpose::Request | Purpose::Revoke => None,
                },
            },
            needs,
        )?;
        if let Some(principal) = made.first_mut() {
            principal.attrs = context::principal(identity, needs)?;
        }
        let named = concerned().flat_map(|bucket| bucket.named.iter().cloned());
        let entities = match within {
            // Which of the entities are in a circle, where some are, is Cedar's to say.
            Some(within) if !concerned().any(|bucket| bucket.far) && !within.circular(&asked.principal, &asked.resource) => {
                entities::closed(&self.statics, made, named, &action.entity, (&asked.principal, &asked.resource), within)
            }
            _ => entities::assemble(&self.statics, made, named, action.entities()),
        }?;
        let request = Request::new(asked.principal.clone(), asked.action.clone(), asked.resource.clone(), context, None)
            .map_err(|error| format!("the request cannot be built: {error}"))?;
        Ok(Some(Prepared { request, entities, buckets, withdrawing }))
    }

    /// The policies that can have anything to say: about what is asked, and of a link about signing such links.
    fn concerned(&self, asked: &Asked, within: Option<&Within>, identity: &Identity) -> (Vec<Found<'_>>, Vec<Found<'_>>) {
        let sign = self.actions.get(names::SIGN).filter(|_| identity.link().is_some());
        let Some(Within { principal: principal_in, resource: resource_in }) = within else {
            return (self.index.all(), sign.map(|_| self.signing.forbids.all()).unwrap_or_default());
        };
        let (principal, resource) = (&asked.principal, &asked.resource);
        let scope = Scope { principal, principal_in, action: &asked.action, resource, resource_in };
        let withdrawing = sign.map(|sign| self.signing.forbids.matching(Scope { action: &sign.uid, ..scope }));
        (self.index.matching(scope), withdrawing.unwrap_or_default())
    }

    /// Of a request with a signed URL: whether signing such URLs was withdrawn since. `Some(None)`: nothing permits it any more;
    /// `Some(Some(_))`: these `forbid` policies are against it.
    ///
    /// SECURITY: who withdraws `sign` means the links that are out too. Whoever had one made is not here to be asked about, so only
    /// what does not depend on them can be held against a link: that no `permit` can apply to `sign` on this kind of resource, and
    /// every `forbid` that names `sign` and applies to the link itself.
    fn withdrawn(&self, identity: &Identity, asked: &Asked, prepared: &Prepared<'_>) -> Result<Option<Option<Answered>>, String> {
        let Prepared { request, entities, buckets: _, withdrawing } = prepared;
        if identity.link().is_none() {
            return Ok(None);
        }
        let Some(sign) = self.actions.get(names::SIGN).filter(|sign| sign.resources.contains(asked.resource.type_name())) else {
            return Ok(Some(None));
        };
        if !self.signing.permitted {
            return Ok(Some(None));
        }
        if withdrawing.is_empty() || !sign.principals.contains(asked.principal.type_name()) {
            return Ok(None);
        }
        let context = request.context().cloned().ok_or("the context is not known")?;
        let request = Request::new(asked.principal.clone(), sign.uid.clone(), asked.resource.clone(), context, None)
            .map_err(|error| format!("the request cannot be built: {error}"))?;
        let entities = entities.clone().add_entities(sign.entities().filter(|entity| entities.get(&entity.uid()).is_none()), None);
        let entities = entities.map_err(|error| format!("the entities cannot be built: {error}"))?;
        let answered = Answered::by(&self.authorizer, withdrawing, &request, &entities);
        let against = !answered.determining().is_empty() || !answered.errors.is_empty();
        Ok(against.then_some(Some(answered)))
    }

    /// The longest a URL of this path may last by its route, in seconds.
    pub fn link_seconds(&self, segments: &[String]) -> Option<i64> {
        self.routes.find(segments)?.link_seconds
    }

    /// The login that a denied caller is asked for, when nothing else stands against the request: each `forbid` that applied
    /// says what lifts it, the token does not have that yet, and `rest`, all other policies, would have allowed it. Who may
    /// not do it anyway is not sent to log in for nothing, and learns nothing.
    fn step_up(&self, answered: &Answered, identity: &Identity, now: UnixTime, rest: bool) -> Option<StepUp> {
        // Only a token tells of a login, and only its holder can get another one.
        let token = identity.token().filter(|_| !answered.allow())?;
        if !answered.errors.is_empty() {
            return None;
        }
        let asked: Vec<&StepUp> = answered.determining().iter().map(|id| self.step_ups.get(id)).collect::<Option<_>>()?;
        let helps = !asked.is_empty() && asked.iter().all(|one| !one.met_by(token, now)) && rest;
        helps.then(|| StepUp::all(&asked))
    }

    /// The groups and roles the principal is in.
    fn memberships(&self, identity: &Identity) -> Vec<EntityUid> {
        let (groups, roles) = context::memberships(identity);
        let groups = groups.iter().map(|id| names::uid(&self.names.group, id));
        let roles = roles.iter().map(|id| names::uid(&self.names.role, id));
        groups.chain(roles).collect()
    }

    /// The headers policies may read.
    ///
    /// SECURITY: one that is repeated, or is not text, denies. A rule that looks at a header could otherwise be dodged by
    /// sending it twice, and nobody could say which of the two the origin believes. `_` counts as `-`, as it does for an
    /// origin behind CGI, so another spelling of the name denies too.
    fn headers<'q>(&'q self, headers: &'q [(String, Vec<u8>)]) -> Result<Vec<(&'q str, &'q str)>, String> {
        let mut found = vec![];
        for name in &self.routes.context_headers {
            let mut values = headers.iter().filter(|(header, _)| same(header, name));
            match (values.next(), values.next()) {
                (None, _) => {}
                (Some((spelling, _)), None) if spelling != name => {
                    return Err(format!("the header `{name}`, which policies may read, is spelled with another `-` or `_`"));
                }
                (Some((_, value)), None) => match std::str::from_utf8(value) {
                    Ok(value) => found.push((name.as_str(), value)),
                    Err(_) => return Err(format!("the header `{name}`, which policies may read, is not text")),
                },
                (Some(_), Some(_)) => return Err(format!("the header `{name}`, which policies may read, occurs more than once")),
            }
        }
        Ok(found)
    }

    pub(super) fn read(&self, answered: &Answered, verdict: &mut Verdict) {
        verdict.allow = answered.allow();
        verdict.determining = answered.determining().iter().map(|id| self.policy(id)).collect();
        verdict.determining.sort();
        verdict.errors = answered.errors.iter().cloned().collect();
    }

    fn policy(&self, id: &str) -> PolicyRef {
        let bare = || PolicyRef { id: id.to_owned(), reason: None, owner: None, control: None };
        self.policies.get(id).cloned().unwrap_or_else(bare)
    }
}

/// Whether two names in lower case are one to an origin that takes `_` for `-`.
pub(crate) fn same(a: &str, b: &str) -> bool {
    let folded = |byte: u8| if byte == b'_' { b'-' } else { byte };
    a.len() == b.len() && a.bytes().map(folded).eq(b.bytes().map(folded))
}

/// Why Cedar could not be asked.
#[derive(Debug)]
pub(super) struct Unasked {
    why: String,
    /// Whether it is the request's doing, and not the schema's.
    unclear: bool,
}

impl From<String> for Unasked {
    fn from(why: String) -> Self {
        Self { why, unclear: true }
    }
}

/// The three of a Cedar request.
#[derive(Debug)]
pub(super) struct Asked {
    principal: EntityUid,
    action: EntityUid,
    resource: EntityUid,
}

/// A question as it is put to Cedar.
pub(super) struct Prepared<'s> {
    pub(super) request: Request,
    pub(super) entities: Entities,
    /// The policies it is put to.
    buckets: Vec<Found<'s>>,
    /// Of a link: the `forbid` policies that may withdraw it.
    withdrawing: Vec<Found<'s>>,
}

/// A question in Cedar's terms.
pub(super) struct Named<'s> {
    route: Option<&'s Route>,
    /// The action's name.
    pub(super) name: &'s str,
    /// The ids of the path and of all above it, or why there are none.
    pub(super) paths: Result<Vec<String>, String>,
    /// Whether the route map gives the resource a type of its own.
    pub(super) typed: bool,
    pub(super) asked: Asked,
}
