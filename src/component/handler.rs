//! One request, from the runtime's hands to its answer and its record.

use std::rc::Rc;

use spin_sdk::wasip3::clocks::monotonic_clock;
use spin_sdk::wasip3::http::types::{ErrorCode, Request, Response};
use spin_sdk::wasip3::random::random;
use spin_sdk::wit_bindgen;

use super::exchange::{self, Inbound};
use super::keys::Held;
use super::records::{self, write, write_first, write_outcome};
use super::revocations::Changed;
use super::settings::Settings;
use super::sign::{self, Steps};
use super::{answers, carry, keys, known, revocations, sealed, settings};
use crate::audit::{Context, DecisionId, Entropy, Record, RequestView, Scene, Timestamp, Timing, TraceIds, Upstream};
use crate::bundle::Gate;
use crate::decision::{self, Decision, Denial, Mode, Passage, Permit, Reason, Trial, UnixTime};
use crate::enforce::{Answer, Challenge, Onward, forward};
use crate::identity::{Answers, Verified};
use crate::limits;
use crate::policy::Purpose;
use crate::request::{self, Evidence, Facts, Method, RawRequest, Reading};

/// Everything about one request that is not the decision itself.
pub(super) struct Visit {
    pub(super) time: Timestamp,
    entropy: Entropy,
    pub(super) id: DecisionId,
    /// On the monotonic clock, in nanoseconds.
    began: u64,
}

impl Visit {
    fn start() -> Self {
        let time = records::now();
        let entropy = draw();
        Self { time, entropy, id: DecisionId::new(time, entropy), began: monotonic_clock::now() }
    }
}

/// Fresh random bytes. Never from the snapshot: those would be the same in every instance of a sealed component.
fn draw() -> Entropy {
    let mut bytes = [0; 34];
    for (to, from) in bytes.iter_mut().zip(random::get_random_bytes(34)) {
        *to = from;
    }
    Entropy(bytes)
}

/// Handles one request: exactly one response and one record.
pub(super) async fn handle(request: Request) -> Result<Response, ErrorCode> {
    let response = serve(request).await;
    // Behind the caller's back: what is spawned here begins when the response is handed over.
    keys::prepare_due();
    response
}

async fn serve(request: Request) -> Result<Response, ErrorCode> {
    let visit = Visit::start();
    let inbound = Inbound::new(&request);
    let raw = inbound.raw();

    let Some(gate) = sealed::gate() else {
        return Ok(refuse(&visit, None, "", Mode::Enforce, &raw, Reason::SystemUnsealed.into()));
    };
    sealed::warn_of_insecure(gate);
    let settings = match settings::current().await {
        Ok(settings) => settings,
        Err(detail) => return Ok(refuse(&visit, Some(gate), "", Mode::Enforce, &raw, Denial::new(Reason::SystemConfiguration, detail))),
    };
    let Settings { region, proxies, mode, .. } = settings.as_ref();
    sealed::warn_of_mode(*mode);
    let (facts, evidence) = match request::read(&raw, Reading { proxies: *proxies, signed_urls: gate.signed_urls().is_some() }) {
        Ok(read) => read,
        Err(denial) => return Ok(refuse(&visit, Some(gate), region, *mode, &raw, denial)),
    };
    let trace = TraceIds::new(facts.trace.as_ref(), visit.entropy);
    let own = own_endpoint(&facts, gate.signed_urls().is_some());
    let about = match own {
        Some(Own::Revocations) => "revoke",
        Some(Own::Sign) => "sign",
        Some(Own::Health | Own::Metadata | Own::Refused(..)) => "own",
        None => "request",
    };
    let mut record = Recorder { visit: &visit, gate, trace: &trace, region, mode: *mode, facts: &facts, purpose: about, shadow: None };
    let purpose = match own {
        None => Purpose::Request,
        Some(Own::Revocations) => Purpose::Revoke,
        // What is asked of Cedar stands in the body.
        Some(Own::Sign) => Purpose::Request,
        Some(Own::Health) => return Ok(record.own(Answer::health(gate, *mode, visit.id.as_str()), Reason::GateHealth)),
        Some(Own::Metadata) => {
            return Ok(record.own(Answer::metadata(gate, &facts, &settings.deployment, visit.id.as_str()), Reason::GateMetadata));
        }
        Some(Own::Refused(reason, allow)) => return Ok(record.own(Answer::not_served(reason, allow, visit.id.as_str()), reason)),
    };

    let now = visit.time.seconds;
    let started = monotonic_clock::now();
    let (verified, held) = identify(gate, &facts, &evidence, &settings, now).await;
    let answers = match &verified {
        Ok(verified) => answers::find(gate, verified.questions(), &settings, now).await,
        Err(_) => Answers::default(),
    };
    let identified = decision::settle(verified, &answers, now);
    let known = monotonic_clock::now();
    if let (Some(Own::Sign), Some(config)) = (&own, gate.signed_urls()) {
        let steps = Steps { started, identified: known };
        return Ok(sign::sign(request, identified, config, &record, &settings, steps).await);
    }
    let mut decision = decision::authorize(gate, &facts, identified, purpose, now, *mode, settings.scan);
    let decided = monotonic_clock::now();
    if let Some(token) = decision.identity.token() {
        keys::used(&held, token, &settings);
    }
    let timing = Timing { identity: micros(started, known), policy: micros(known, decided), total: 0 };
    if gate.shadow().is_some() && settings.on_trial() {
        record.shadow = decision::on_trial(gate, &facts, &decision, purpose, now);
    }
    let challenge = Challenge { gate, facts: &facts, deployment: &settings.deployment, now };

    // The permit leaves the decision here; what stays behind is only what the record needs.
    let denied = Err(Denial::from(Reason::SystemInternal));
    match std::mem::replace(&mut decision.outcome, denied) {
        Err(denial) => {
            decision.outcome = Err(denial);
            if let Some(observed) = decision.observed.take() {
                return Ok(carry_on(request, Passage::Observed(observed), decision, &record, &settings, timing).await);
            }
            let answer = Answer::denial(&decision, Some(&challenge), visit.id.as_str());
            write(&Record::new(record.context(answer.status, timing, None), &decision));
            Ok(exchange::respond(answer, raw.method))
        }
        Ok(permit) => match purpose {
            Purpose::Request => Ok(carry_on(request, Passage::Permit(permit), decision, &record, &settings, timing).await),
            Purpose::Revoke => Ok(revoke(request, permit, decision, &record, &settings, timing).await),
            // Never here; what is signed went another way.
            Purpose::Sign(_) => Ok(record.own(Answer::fault(Reason::SystemInternal, visit.id.as_str()), Reason::SystemInternal)),
        },
    }
}

/// Verifies what came with a request, and remembers what verified. Also the fetched keys that it was held against.
async fn identify(
    gate: &'static Gate,
    facts: &Facts,
    evidence: &Evidence,
    settings: &Rc<Settings>,
    now: UnixTime,
) -> (Result<Verified, Denial>, Held) {
    let presented = known::presented(evidence, settings.token_cache);
    if presented.is_new() {
        // SECURITY: whoever sends forged tokens must wait behind those whose tokens are known, not the other way round.
        wit_bindgen::yield_async().await;
    }
    let held = keys::supply(gate, presented.key_need(gate), settings, now).await;
    let mut verified = decision::verify(gate, facts, &presented, &settings.deployment, held.supply(), now);
    if let Ok(verified) = &mut verified {
        known::learn(verified.learned());
    }
    (verified, held)
}

/// Changes the revocation list for a caller who may, and records it.
async fn revoke(
    request: Request,
    permit: Permit,
    decision: Decision,
    record: &Recorder<'_>,
    settings: &Rc<Settings>,
    timing: Timing,
) -> Response {
    let id = record.visit.id.as_str();
    let changed = match exchange::body(request, limits::OWN_BODY_BYTES).await {
        Ok(body) => {
            let asked = revocations::Asked { gate: record.gate, facts: record.facts, body: &body, decision_id: id };
            revocations::change(permit, &asked, settings, record.visit.time.seconds).await
        }
        Err(denial) => Err(denial),
    };
    let method = record.facts.method.as_str();
    match changed {
        Ok(Changed { answer, what }) => {
            let context = Context { change: Some(what), ..record.context(answer.status, timing, None) };
            if write(&Record::permitted(context, &decision)) {
                return exchange::respond(answer, method);
            }
            // Carried out and not recorded: whoever asked must not take it for done.
            exchange::respond(Answer::fault(Reason::SystemInternal, id), method)
        }
        Err(denial) => {
            let answer = match denial.reason {
                Reason::GateBodyInvalid | Reason::GateBodyTooLarge => Answer::explained(&denial, id),
                reason => Answer::fault(reason, id),
            };
            let decision = Decision { outcome: Err(denial), ..decision };
            write(&Record::new(record.context(answer.status, timing, None), &decision));
            exchange::respond(answer, method)
        }
    }
}

/// Forwards a request that may go on and records what became of it.
async fn carry_on(
    request: Request,
    passage: Passage,
    decision: Decision,
    record: &Recorder<'_>,
    settings: &Settings,
    timing: Timing,
) -> Response {
    let id = record.visit.id.as_str();
    // What was denied and only observed is told as denied.
    let denied = passage.denied().is_some();
    let destination = match &settings.destination {
        Ok(destination) => destination.clone(),
        Err(detail) => {
            let denial = Denial::new(Reason::SystemConfiguration, detail.clone());
            let answer = Answer::fault(denial.reason, id);
            if denied {
                // What policies answered stays what was decided; that there is nowhere to go is the origin's fault.
                let upstream = Upstream { outcome: Err(denial), time: 0 };
                write(&Record::new(record.context(answer.status, timing, Some(upstream)), &decision));
            } else {
                let decision = Decision { outcome: Err(denial), enforced: true, ..decision };
                write(&Record::new(record.context(answer.status, timing, None), &decision));
            }
            return exchange::respond(answer, record.facts.method.as_str());
        }
    };
    let told = |context| if denied { Record::new(context, &decision) } else { Record::permitted(context, &decision) };
    let onward = Onward { decision_id: id, gate: record.gate, trace: record.trace };
    let forwarded = forward(passage, record.facts, destination, &onward);
    // SECURITY: where what cannot be recorded must not happen, it is recorded first.
    if settings.record_first && !write_first(&told(record.context(0, timing, None))).await {
        let answer = Answer::fault(Reason::SystemAuditUnavailable, id);
        let upstream = Upstream { outcome: Err(Reason::SystemAuditUnavailable.into()), time: 0 };
        write_outcome(record.scene(), &record.visit.id, answer.status, &upstream);
        return exchange::respond(answer, record.facts.method.as_str());
    }
    let asked = monotonic_clock::now();
    let sent = carry::send(request, forwarded, settings.timeouts, id).await;
    let time = micros(asked, monotonic_clock::now());
    let (response, status, upstream) = match sent {
        Ok((response, status)) => (response, status, Upstream { outcome: Ok(status), time }),
        Err(denial) => {
            let answer = Answer::fault(denial.reason, id);
            let status = answer.status;
            (exchange::respond(answer, record.facts.method.as_str()), status, Upstream { outcome: Err(denial), time })
        }
    };
    let written = if settings.record_first {
        write_outcome(record.scene(), &record.visit.id, status, &upstream)
    } else {
        write(&told(record.context(status, timing, Some(upstream))))
    };
    if written {
        return response;
    }
    // SECURITY: what cannot be recorded is not handed out. The origin was asked already; its answer ends here.
    exchange::respond(Answer::fault(Reason::SystemAuditUnavailable, id), record.facts.method.as_str())
}

/// Refuses a request that never became [`Facts`].
fn refuse(visit: &Visit, gate: Option<&Gate>, region: &str, mode: Mode, raw: &RawRequest<'_>, denial: Denial) -> Response {
    let decision = Decision::denied(denial);
    let answer = Answer::denial(&decision, None, visit.id.as_str());
    let trace = TraceIds::new(None, visit.entropy);
    let context = Context {
        time: visit.time,
        id: &visit.id,
        trace: &trace,
        region,
        mode,
        gate,
        build: sealed::build(),
        request: RequestView::Raw(raw),
        purpose: "request",
        status: answer.status,
        timing: Timing { total: micros(visit.began, monotonic_clock::now()), ..Timing::default() },
        upstream: None,
        change: None,
        shadow: None,
        signing: vec![],
    };
    write(&Record::new(context, &decision));
    exchange::respond(answer, raw.method)
}

/// What the gate serves itself.
enum Own {
    Health,
    Metadata,
    Revocations,
    Sign,
    /// Nothing, for this reason; with the methods it would take.
    Refused(Reason, &'static str),
}

/// What the gate serves itself: `/.well-known/cedargate` and all below it, and the protected-resource metadata, by segments.
///
/// SECURITY: nothing there is ever forwarded, so an origin cannot answer for the gate.
fn own_endpoint(facts: &Facts, signed_urls: bool) -> Option<Own> {
    let [well_known, name, rest @ ..] = facts.path.segments() else { return None };
    if well_known != ".well-known" {
        return None;
    }
    let below: Vec<&str> = rest.iter().map(String::as_str).collect();
    let refused = |allow| Some(Own::Refused(Reason::GateMethodNotAllowed, allow));
    match (name.as_str(), below.as_slice(), facts.method) {
        ("cedargate", ["health"], Method::Get | Method::Head) => Some(Own::Health),
        ("cedargate", ["health"], _) => refused("GET, HEAD"),
        ("cedargate", ["revocations"], Method::Post | Method::Delete) => Some(Own::Revocations),
        ("cedargate", ["revocations"], _) => refused("POST, DELETE"),
        ("cedargate", ["sign"], Method::Post) if signed_urls => Some(Own::Sign),
        ("cedargate", ["sign"], _) if signed_urls => refused("POST"),
        ("oauth-protected-resource", [], Method::Get | Method::Head) => Some(Own::Metadata),
        ("oauth-protected-resource", [], _) => refused("GET, HEAD"),
        ("cedargate" | "oauth-protected-resource", _, _) => Some(Own::Refused(Reason::GateNotFound, "")),
        _ => None,
    }
}

/// What all records of one request share.
pub(super) struct Recorder<'a> {
    pub(super) visit: &'a Visit,
    pub(super) gate: &'a Gate,
    trace: &'a TraceIds,
    region: &'a str,
    mode: Mode,
    pub(super) facts: &'a Facts,
    purpose: &'static str,
    /// What policies on trial would have decided.
    shadow: Option<Trial>,
}

impl<'a> Recorder<'a> {
    /// Records and gives an answer of the gate's own.
    fn own(&self, answer: Answer, reason: Reason) -> Response {
        write(&Record::own(self.context(answer.status, Timing::default(), None), reason));
        exchange::respond(answer, self.facts.method.as_str())
    }

    fn scene(&self) -> Scene<'a> {
        Scene { time: self.visit.time, region: self.region, mode: self.mode, gate: Some(self.gate) }
    }

    pub(super) fn context(&self, status: u16, timing: Timing, upstream: Option<Upstream>) -> Context<'a> {
        Context {
            time: self.visit.time,
            id: &self.visit.id,
            trace: self.trace,
            region: self.region,
            mode: self.mode,
            gate: Some(self.gate),
            build: sealed::build(),
            request: RequestView::Facts(self.facts),
            purpose: self.purpose,
            status,
            timing: Timing { total: micros(self.visit.began, monotonic_clock::now()), ..timing },
            upstream,
            change: None,
            shadow: self.shadow.clone(),
            signing: vec![],
        }
    }
}

pub(super) fn micros(from: u64, to: u64) -> u64 {
    to.saturating_sub(from) / 1000
}
