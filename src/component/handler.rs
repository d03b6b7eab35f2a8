//! One request, from the runtime's hands to its answer and its record.

use std::io::Write;

use spin_sdk::wasip3::clocks::{monotonic_clock, system_clock};
use spin_sdk::wasip3::http::types::{ErrorCode, Request, Response};
use spin_sdk::wasip3::random::random;

use super::exchange::{self, Inbound};
use super::settings::Settings;
use super::{carry, sealed, settings};
use crate::audit::{Context, DecisionId, Entropy, Record, RequestView, Timestamp, Timing, TraceIds, Upstream};
use crate::bundle::Gate;
use crate::decision::{self, Decision, Denial, Permit, Reason, UnixTime};
use crate::enforce::{Answer, Onward, forward};
use crate::request::{self, Facts, Method, RawRequest};

/// Everything about one request that is not the decision itself.
struct Visit {
    time: Timestamp,
    entropy: Entropy,
    id: DecisionId,
}

impl Visit {
    fn start() -> Self {
        let now = system_clock::now();
        let time = Timestamp { seconds: UnixTime(now.seconds), millis: u16::try_from(now.nanoseconds / 1_000_000).unwrap_or(999) };
        let entropy = draw();
        Self { time, entropy, id: DecisionId::new(time, entropy) }
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
    let visit = Visit::start();
    let inbound = Inbound::new(&request);
    let raw = inbound.raw();

    let Some(gate) = sealed::gate() else {
        return Ok(refuse(&visit, None, "", &raw, Reason::SystemUnsealed.into()));
    };
    let settings = match settings::current().await {
        Ok(settings) => settings,
        Err(detail) => return Ok(refuse(&visit, Some(gate), "", &raw, Denial::new(Reason::SystemConfiguration, detail))),
    };
    let Settings { region, proxies, .. } = settings.as_ref();
    let (facts, evidence) = match request::read(&raw, *proxies) {
        Ok(read) => read,
        Err(denial) => return Ok(refuse(&visit, Some(gate), region, &raw, denial)),
    };
    let trace = TraceIds::new(facts.trace.as_ref(), visit.entropy);
    let record = Recorder { visit: &visit, gate, trace: &trace, region, facts: &facts };

    if let Some(reason) = own_endpoint(&facts) {
        let answer =
            if reason == Reason::GateHealth { Answer::health(gate, visit.id.as_str()) } else { Answer::fault(reason, visit.id.as_str()) };
        write(&Record::own(record.context(answer.status, Timing::default(), None), reason));
        return Ok(exchange::respond(answer, raw.method));
    }

    let now = visit.time.seconds;
    let started = monotonic_clock::now();
    let identified = decision::identify(gate, &evidence, now);
    let verified = monotonic_clock::now();
    let mut decision = decision::authorize(gate, &facts, identified, now);
    let decided = monotonic_clock::now();
    let timing = Timing { identity: micros(started, verified), policy: micros(verified, decided) };

    // The permit leaves the decision here; what stays behind is only what the record needs.
    let denied = Err(Denial::from(Reason::SystemInternal));
    match std::mem::replace(&mut decision.outcome, denied) {
        Err(denial) => {
            decision.outcome = Err(denial);
            let answer = Answer::denial(&decision, visit.id.as_str());
            write(&Record::new(record.context(answer.status, timing, None), &decision));
            Ok(exchange::respond(answer, raw.method))
        }
        Ok(permit) => Ok(carry_on(request, permit, decision, &record, &settings, timing).await),
    }
}

/// Forwards a permitted request and records what became of it.
async fn carry_on(
    request: Request,
    permit: Permit,
    decision: Decision,
    record: &Recorder<'_>,
    settings: &Settings,
    timing: Timing,
) -> Response {
    let id = record.visit.id.as_str();
    let destination = match &settings.destination {
        Ok(destination) => destination.clone(),
        Err(detail) => {
            let denial = Denial::new(Reason::SystemConfiguration, detail.clone());
            let answer = Answer::fault(denial.reason, id);
            write(&Record::new(record.context(answer.status, timing, None), &Decision { outcome: Err(denial), ..decision }));
            return exchange::respond(answer, record.facts.method.as_str());
        }
    };
    let onward = Onward { decision_id: id, gate: record.gate, trace: record.trace };
    let forwarded = forward(permit, record.facts, destination, &onward);
    let (response, status, upstream) = match carry::send(request, forwarded, settings.timeouts, id).await {
        Ok((response, status)) => (response, status, Upstream::Status(status)),
        Err(denial) => {
            let answer = Answer::fault(denial.reason, id);
            let status = answer.status;
            (exchange::respond(answer, record.facts.method.as_str()), status, Upstream::Failed(denial))
        }
    };
    if write(&Record::permitted(record.context(status, timing, Some(upstream)), &decision)) {
        return response;
    }
    // SECURITY: what cannot be recorded is not handed out. The origin was asked already; its answer ends here.
    exchange::respond(Answer::fault(Reason::SystemInternal, id), record.facts.method.as_str())
}

/// Refuses a request that never became [`Facts`].
fn refuse(visit: &Visit, gate: Option<&Gate>, region: &str, raw: &RawRequest<'_>, denial: Denial) -> Response {
    let decision = Decision::denied(denial);
    let answer = Answer::denial(&decision, visit.id.as_str());
    let trace = TraceIds::new(None, visit.entropy);
    let context = Context {
        time: visit.time,
        id: &visit.id,
        trace: &trace,
        region,
        gate,
        request: RequestView::of_raw(raw),
        status: answer.status,
        timing: Timing::default(),
        upstream: None,
    };
    write(&Record::new(context, &decision));
    exchange::respond(answer, raw.method)
}

/// What the gate serves itself: `/.well-known/cedargate` and all below it, by segments.
///
/// SECURITY: nothing there is ever forwarded, so an origin cannot answer for the gate.
fn own_endpoint(facts: &Facts) -> Option<Reason> {
    let [well_known, cedargate, rest @ ..] = facts.path.segments() else { return None };
    if well_known != ".well-known" || cedargate != "cedargate" {
        return None;
    }
    Some(match (rest, facts.method) {
        ([endpoint], Method::Get | Method::Head) if endpoint == "health" => Reason::GateHealth,
        ([endpoint], _) if endpoint == "health" => Reason::GateMethodNotAllowed,
        _ => Reason::GateNotFound,
    })
}

/// What all records of one request share.
struct Recorder<'a> {
    visit: &'a Visit,
    gate: &'a Gate,
    trace: &'a TraceIds,
    region: &'a str,
    facts: &'a Facts,
}

impl<'a> Recorder<'a> {
    fn context(&self, status: u16, timing: Timing, upstream: Option<Upstream>) -> Context<'a> {
        Context {
            time: self.visit.time,
            id: &self.visit.id,
            trace: self.trace,
            region: self.region,
            gate: Some(self.gate),
            request: RequestView::of_facts(self.facts),
            status,
            timing,
            upstream,
        }
    }
}

/// Writes one record to stdout in one call, so that lines of concurrent requests do not mix. Whether that succeeded
/// matters to a permit only: a denial goes out either way.
#[expect(clippy::disallowed_methods, reason = "the shell writes the records")]
fn write(record: &Record) -> bool {
    std::io::stdout().lock().write_all(record.to_line().as_bytes()).is_ok()
}

fn micros(from: u64, to: u64) -> u64 {
    to.saturating_sub(from) / 1000
}
