//! `policies/` to a [`PolicyStore`]: all problems at once.

use std::collections::BTreeMap;
use std::sync::Arc;

use cedar_policy::{ActionConstraint, Effect, EntityUid, Policy, PolicySetError};

use super::index::{Index, Scan};
use super::store::{Question, SigningPolicies};
use super::{PolicyStore, Purpose, context, diagnose, lints, names, policies, routes_file, schema, shadow, statics};
use crate::bundle::{Bundle, Problem, Report, nearest};
use crate::identity::{Identity, PrincipalKind};
use crate::request::Method;

/// Loads `policies/` of a bundle.
pub(super) fn load(bundle: &Bundle, report: &mut Report) -> Option<PolicyStore> {
    // What others reported about other files is no reason not to load these.
    let mut own = Report::default();
    unknown_files(bundle, &mut own);
    let store = parts(bundle, &mut own);
    let sound = own.is_empty();
    own.problems().into_iter().for_each(|problem| report.add(problem.clone()));
    let store = store.filter(|_| sound)?;
    warm_up(&store);
    Some(store)
}

fn parts(bundle: &Bundle, report: &mut Report) -> Option<PolicyStore> {
    let loaded = schema::load(bundle, report);
    let policies = policies::load(bundle, loaded.as_ref().map(|loaded| &loaded.schema), report);
    let loaded = loaded?;
    let statics = statics::Statics::load(bundle, &loaded.schema, &loaded.names, report);
    let routes = routes_file::load(bundle, &loaded, report);
    lints::check(&policies, &routes, &loaded.actions, &loaded.names, report);
    let schema::Loaded { schema, names, types: _, actions } = loaded;
    let step_up = |id: &str| policies.step_ups.contains_key(id);
    let index = Index::new(&policies.set, |_| true, &actions, &statics, step_up);
    let (index, signing) = match index.and_then(|index| Ok((index, signing(&policies, &actions, &statics)?))) {
        Ok(both) => both,
        Err(error) => {
            diagnose::cedar("policies", "policy.id", &*error, report);
            return None;
        }
    };
    Some(PolicyStore {
        authorizer: cedar_policy::Authorizer::new(),
        schema,
        index,
        #[cfg(feature = "cli")]
        set: policies.set,
        signing,
        step_ups: policies.step_ups,
        policies: policies.refs,
        names,
        actions,
        statics,
        routes,
    })
}

/// What policies say about `sign` in their scopes.
fn signing(
    policies: &policies::Policies,
    actions: &BTreeMap<String, schema::Action>,
    statics: &statics::Statics,
) -> Result<SigningPolicies, Box<PolicySetError>> {
    let Some(sign) = actions.get(names::SIGN) else {
        return Ok(SigningPolicies { permitted: false, forbids: Index::new(&policies.set, |_| false, actions, statics, |_| false)? });
    };
    // Of `in [..]` also a group that holds it.
    let names = |named: &[EntityUid]| named.iter().any(|uid| *uid == sign.uid || sign.groups.contains(uid.id().unescaped()));
    let named = |constraint: &ActionConstraint| match constraint {
        ActionConstraint::Any => false,
        ActionConstraint::Eq(uid) => *uid == sign.uid,
        ActionConstraint::In(uids) => names(uids),
    };
    let permitted = policies.set.policies().any(|policy| {
        let constraint = policy.action_constraint();
        policy.effect() == Effect::Permit && (matches!(constraint, ActionConstraint::Any) || named(&constraint))
    });
    let forbids = |policy: &Policy| policy.effect() == Effect::Forbid && named(&policy.action_constraint());
    Ok(SigningPolicies { permitted, forbids: Index::new(&policies.set, forbids, actions, statics, |_| false)? })
}

fn unknown_files(bundle: &Bundle, report: &mut Report) {
    let known = [PolicyStore::SCHEMA, statics::FILE, routes_file::FILE, crate::audit::CONFIG_FILE];
    for (file, _) in bundle.iter().filter(|(file, _)| file.starts_with("policies/") && !shadow::is_shadow(file)) {
        if known.contains(&file) || file.ends_with(".cedar") {
            continue;
        }
        let help = match nearest(file, known) {
            Some(near) => format!("did you mean `{near}`?"),
            None => format!("known are `{}` and files that end in `.cedar`", known.join("`, `")),
        };
        report.add(Problem::new(file, "bundle.unknown_file", "the gate does not know this file").help(help));
    }
}

/// Asks a few questions and forgets the answers: what Cedar makes at first use (its extensions, the patterns for dates
/// and addresses) is made now, and so is part of the sealed memory.
fn warm_up(store: &PolicyStore) {
    let token = |kind| context::sample_token(kind, true);
    let certificate = || Some(Box::new(context::sample_certificate(true)));
    let identities = [
        Identity::Anonymous,
        Identity::Token { token: Arc::new(token(PrincipalKind::User)), certificate: certificate() },
        Identity::from(token(PrincipalKind::Workload)),
        Identity::from(context::sample_certificate(true)),
        Identity::SignedUrl { link: Box::new(context::sample_link()), certificate: None },
    ];
    let paths = store.routes.iter().map(|route| route.template.sample()).take(16).chain([vec![]]);
    for segments in paths {
        for (method, identity) in Method::ALL.into_iter().flat_map(|method| identities.iter().map(move |identity| (method, identity))) {
            let question = Question {
                method,
                https: true,
                host: "sample.invalid",
                segments: &segments,
                parameters: &[],
                client: Some(std::net::IpAddr::V4(std::net::Ipv4Addr::LOCALHOST)),
                headers: &[],
            };
            // Everything is asked, so that nothing is left to be made by the first request that needs it.
            let _forgotten = store.ask(question, identity, Purpose::Request, context::SAMPLE_TIME, Scan::Everything);
            let _forgotten = store.ask(question, identity, Purpose::Sign(context::SAMPLE_SIGNING), context::SAMPLE_TIME, Scan::Everything);
        }
    }
}
