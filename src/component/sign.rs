//! `/.well-known/cedargate/sign`: URLs for a caller who may have them.

use std::rc::Rc;

use spin_sdk::wasip3::clocks::monotonic_clock;
use spin_sdk::wasip3::http::types::{Request, Response};

use super::exchange;
use super::handler::{Recorder, micros};
use super::records::{write, write_first};
use super::settings::Settings;
use crate::audit::{Context, Record, SigningView, Timing};
use crate::decision::{self, Decision, Denial, Identified, Reason, UnixTime};
use crate::enforce::{Answer, Challenge, SignedItem};
use crate::limits;
use crate::signed_url::{self, Issued, Issuer, SignOrder, SignedUrls, Wanted};

/// When the steps before this one began and ended.
pub(super) struct Steps {
    pub(super) started: u64,
    pub(super) identified: u64,
}

/// Decides about every URL and makes those that may be made; one answer, one record.
pub(super) async fn sign(
    request: Request,
    identified: Identified,
    config: &SignedUrls,
    record: &Recorder<'_>,
    settings: &Rc<Settings>,
    steps: Steps,
) -> Response {
    let (id, now, method) = (record.visit.id.as_str(), record.visit.time.seconds, record.facts.method.as_str());
    let challenge = Challenge { gate: record.gate, facts: record.facts, deployment: &settings.deployment, now };
    let denied = |decision: &Decision, timing| {
        let answer = Answer::denial(decision, Some(&challenge), id);
        write(&Record::new(record.context(answer.status, timing, None), decision));
        exchange::respond(answer, record.facts.method.as_str())
    };
    // SECURITY: nobody's body is read whose credentials were refused.
    let identified = match identified.refused() {
        Ok(identified) => identified,
        Err(decision) => return denied(&decision, Timing { identity: micros(steps.started, steps.identified), ..Timing::default() }),
    };
    let base = signed_url::base(record.facts, &settings.deployment);
    let items = match read(request, record, &base, now).await {
        Ok(order) => order.items,
        Err(denial) => {
            let answer = Answer::explained(&denial, id);
            let timing = Timing { identity: micros(steps.started, steps.identified), ..Timing::default() };
            let decision = identified.ended(denial);
            write(&Record::new(record.context(answer.status, timing, None), &decision));
            return exchange::respond(answer, record.facts.method.as_str());
        }
    };
    let asked = monotonic_clock::now();
    let decisions = match decision::authorize_signing(record.gate, config, record.facts, identified, items.clone(), now, settings.scan) {
        Ok(decisions) => decisions,
        Err(decision) => return denied(&decision, Timing::default()),
    };
    let timing = Timing { identity: micros(steps.started, steps.identified), policy: micros(asked, monotonic_clock::now()), total: 0 };
    let issuer = Issuer {
        config,
        keyring: &settings.deployment.keyring,
        credentials: &settings.deployment.services,
        base: &base,
        policy_digest: record.gate.policy_digest(),
    };
    let decision::SigningDecisions { identity, credentials, items: decided } = decisions;
    let (mut outcomes, mut views): (Vec<Outcome>, Vec<SigningView>) = (vec![], vec![]);
    for (wanted, decided) in items.iter().zip(decided) {
        let decision::SigningDecision { verdict, policies, outcome, status } = decided;
        let outcome = match outcome {
            Ok(permit) => issuer.issue(permit, now).map_err(|denial| {
                let status = denial.reason.status();
                (denial, status)
            }),
            Err(denial) => Err((denial, status)),
        };
        views.push(view(wanted, verdict.as_ref(), &policies, &outcome));
        outcomes.push(outcome);
    }
    let made = outcomes.iter().any(Result::is_ok);
    let first = outcomes.iter().find_map(|outcome| outcome.as_ref().err().cloned());
    let (denial, status) = first.unwrap_or_else(|| (Reason::SystemInternal.into(), 500));
    // Of what was made the permits are used up; what stays here is only what the record needs.
    let decision = Decision { identity, credentials, status, ..Decision::denied(denial) };
    let told: Vec<SignedItem<'_>> = outcomes
        .iter()
        .map(|outcome| match outcome {
            Ok(issued) => SignedItem::Issued(issued),
            Err((denial, status)) => SignedItem::Refused(denial, *status),
        })
        .collect();
    // Without an identity the answer is "say who you are", as everywhere.
    let answer = if !made && status == 401 { Answer::denial(&decision, Some(&challenge), id) } else { Answer::signed(&told, id) };
    let context = Context { signing: views, ..record.context(answer.status, timing, None) };
    if !made {
        write(&Record::new(context, &decision));
    } else {
        let record = Record::permitted(context, &decision);
        // SECURITY: what cannot be recorded is not handed out.
        if !(if settings.record_first { write_first(&record).await } else { write(&record) }) {
            return exchange::respond(Answer::fault(Reason::SystemAuditUnavailable, id), method);
        }
    }
    exchange::respond(answer, method)
}

/// What became of one URL: it was made, or not, with the status for this caller.
type Outcome = Result<Issued, (Denial, u16)>;

async fn read(request: Request, record: &Recorder<'_>, base: &crate::identity::PublicUrl, now: UnixTime) -> Result<SignOrder, Denial> {
    // A browser sends JSON elsewhere only after it asked, and nothing here answers that question: so no page elsewhere can use a
    // cookie to have URLs made.
    if !exchange::is_json(record.facts) {
        return Err(Denial::new(Reason::GateBodyInvalid, "the `content-type` is not `application/json`"));
    }
    let body = exchange::body(request, limits::LINK_BODY_BYTES).await?;
    SignOrder::read(&body, base, now)
}

fn view(
    wanted: &Wanted,
    verdict: Option<&crate::policy::Verdict>,
    policies: &[crate::policy::PolicyRef],
    outcome: &Outcome,
) -> SigningView {
    SigningView::new(wanted, verdict, policies, outcome.as_ref().map_err(|(denial, _)| denial))
}
