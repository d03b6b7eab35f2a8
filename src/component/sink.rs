//! Handing records to their sink: behind the back of the requests they are of, one batch at a time in an instance.
//!
//! What a batch is, what its answer means and when to try again is [`crate::audit::sink`]'s to say. Standard output has every
//! record before it is offered here.

use std::cell::{Cell, RefCell};
use std::io::Write;
use std::rc::Rc;

use spin_sdk::wasip3::clocks::monotonic_clock;
use spin_sdk::wasip3::random::random;
use spin_sdk::wit_bindgen;

use super::settings::{self, Sink};
use super::{fetch, records};
use crate::audit::sink::{Backoff, Bounds, Item, Lost, Next, Outcome, Queue, Reply, Ticket, Why};
use crate::limits;

const MS: u64 = 1_000_000;
/// So long a batch waits for others: until the answer to the caller is on its way, and not longer.
const LINGER: u64 = 2 * MS;
/// How often a request that waits for its record to be delivered looks.
const LOOK: u64 = 2 * MS;
/// Longest a flight gives no sign of life: one that is silent for longer was lost with whatever carried it.
const SILENCE: u64 = (limits::SINK_SEND_MS + limits::SINK_RETRY_AFTER_MS + 10_000) * MS;

thread_local! {
    static QUEUE: RefCell<Queue> = const { RefCell::new(Queue::new(Bounds::QUEUE)) };
    static FLIGHT: Cell<Option<State>> = const { Cell::new(None) };
    static FLIGHTS: Cell<u64> = const { Cell::new(0) };
}

/// The one task that sends.
#[derive(Clone, Copy)]
struct State {
    number: u64,
    /// When it gave a sign of life.
    seen: u64,
    /// When it tries again, while it waits for that.
    next: Option<u64>,
}

/// Takes records that were written.
pub(super) fn offer(items: impl Iterator<Item = Item>) {
    QUEUE.with_borrow_mut(|queue| items.for_each(|item| queue.offer(item)));
    if QUEUE.with_borrow(Queue::has_news) {
        start();
    }
}

/// What was lost and is to be told now, before the record of this number is written.
pub(super) fn lost(seq: u64) -> Vec<Lost> {
    QUEUE.with_borrow_mut(|queue| {
        queue.catch_up(seq);
        queue.tell()
    })
}

/// Waits until the sink has a record. `false` when that takes too long, when it was lost, and when it is known that no try comes in
/// time.
pub(super) async fn delivered(ticket: &Ticket) -> bool {
    let deadline = monotonic_clock::now().saturating_add(limits::SINK_BEFORE_MS * MS);
    loop {
        if let Some(delivered) = ticket.delivered() {
            return delivered;
        }
        // The task that sends may have been another request's, and ended with it.
        start();
        let next = FLIGHT.get().and_then(|state| state.next);
        if monotonic_clock::now() >= deadline || next.is_some_and(|next| next >= deadline) {
            return false;
        }
        // By looking, and not to be woken, for the same reason.
        monotonic_clock::wait_for(LOOK).await;
    }
}

/// Sends what waits, unless that is being done.
fn start() {
    let now = monotonic_clock::now();
    if FLIGHT.get().is_some_and(|state| now.saturating_sub(state.seen) < SILENCE) {
        return;
    }
    let number = FLIGHTS.get().wrapping_add(1);
    FLIGHTS.set(number);
    FLIGHT.set(Some(State { number, seen: now, next: None }));
    wit_bindgen::spawn(send(Flight { number }));
}

/// The right to send. Given back when it is dropped, also by a task that is cancelled: what it was sending still waits.
struct Flight {
    number: u64,
}

impl Flight {
    /// Gives a sign of life; `false` when it was taken for lost meanwhile.
    fn goes_on(&self, next: Option<u64>) -> bool {
        let mine = FLIGHT.get().is_some_and(|state| state.number == self.number);
        if mine {
            FLIGHT.set(Some(State { number: self.number, seen: monotonic_clock::now(), next }));
        }
        mine
    }
}

impl Drop for Flight {
    fn drop(&mut self) {
        if FLIGHT.get().is_some_and(|state| state.number == self.number) {
            FLIGHT.set(None);
        }
    }
}

/// Sends until nothing waits, or until what waits are only records of what could not be sent: those go with the next ones.
async fn send(flight: Flight) {
    monotonic_clock::wait_for(LINGER).await;
    while flight.goes_on(None) && QUEUE.with_borrow(|queue| !queue.is_empty()) {
        let Some(sink) = settings::sink() else { return };
        let failed = !batch(&flight, &sink).await;
        records::write_lost(&sink.region);
        if failed && !QUEUE.with_borrow(Queue::has_news) {
            return;
        }
    }
}

/// Sends one batch, as often as it takes. Whether the sink has it.
async fn batch(flight: &Flight, sink: &Rc<Sink>) -> bool {
    let millis = || monotonic_clock::now() / MS;
    let mut backoff = Backoff::new(millis());
    let (count, outgoing) = QUEUE.with_borrow(|queue| {
        let batch = || queue.batch(Bounds::BATCH);
        (batch().count(), sink.target.request(batch()))
    });
    loop {
        let answer = fetch::post(sink.target.url(), outgoing.clone(), limits::SINK_ANSWER_BYTES, limits::SINK_SEND_MS * MS).await;
        if !flight.goes_on(None) {
            return false;
        }
        let (outcome, problem) = match answer {
            Ok(answer) => {
                let retry_after = answer.header("retry-after");
                let reply = Reply { status: answer.status, retry_after: &retry_after, body: &answer.body };
                let outcome = sink.target.outcome(reply, records::now().seconds);
                (outcome, format!("`{}` answered with status {}", sink.target.url(), answer.status))
            }
            Err(problem) => (Outcome::Again(None), problem),
        };
        let (why, rejected) = match outcome {
            Outcome::Delivered => {
                QUEUE.with_borrow_mut(|queue| queue.delivered(count));
                return true;
            }
            Outcome::Again(after) => match backoff.failed(millis(), after, random::get_random_u64()) {
                Next::At(next) => {
                    let next = next.saturating_mul(MS);
                    if !flight.goes_on(Some(next)) {
                        return false;
                    }
                    monotonic_clock::wait_until(next).await;
                    if !flight.goes_on(None) {
                        return false;
                    }
                    continue;
                }
                Next::GiveUp => (Why::Unavailable, None),
            },
            Outcome::Rejected(rejected) => (Why::Refused, Some(rejected)),
            Outcome::Refused => (Why::Refused, None),
        };
        QUEUE.with_borrow_mut(|queue| queue.gave_up(count, rejected, why));
        tell(rejected, count, &problem);
        return false;
    }
}

/// One line for the operator. At most one for each batch.
#[expect(clippy::disallowed_methods, reason = "the shell writes; standard output is for records only")]
fn tell(rejected: Option<u64>, count: usize, problem: &str) {
    let count = rejected.unwrap_or_else(|| u64::try_from(count).unwrap_or(u64::MAX));
    let mut line = format!("cedargate: {count} records were not delivered to the sink: {problem}");
    // SECURITY: what the runtime says of a failure may quote the other side, which must not write lines of its own.
    line.retain(|c| !c.is_control());
    line.push('\n');
    let _ = std::io::stderr().lock().write_all(line.as_bytes());
}
