//! Records that wait for their sink: bounded, in the order of their chain, and with every one that was lost counted.

use std::cell::Cell;
use std::collections::VecDeque;
use std::rc::Rc;

use crate::audit::Timestamp;
use crate::limits;

/// A record that waits.
#[derive(Debug)]
pub struct Item {
    /// Its number in the chain.
    pub seq: u64,
    /// When it was written.
    pub time: Timestamp,
    /// Its line, with its end.
    pub line: String,
    /// Whether it is about the log only: nothing is lost by its coming later.
    pub own: bool,
    /// What it tells as lost: to be told again where it is lost itself.
    pub tells: Option<Lost>,
    /// Who waits for it.
    pub ticket: Option<Ticket>,
}

/// Tells whoever waits for a record what became of it.
#[derive(Debug, Clone, Default)]
pub struct Ticket(Rc<Cell<Option<bool>>>);

impl Ticket {
    /// Whether it was delivered, once that is known.
    pub fn delivered(&self) -> Option<bool> {
        self.0.get()
    }
}

/// Why records were not delivered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Why {
    /// There was no room for them.
    QueueFull,
    /// The sink could not be reached, or was busy, for too long.
    Unavailable,
    /// The sink did not take them.
    Refused,
    /// There was no sink yet.
    NotConfigured,
}

impl Why {
    /// As in records.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::QueueFull => "queue_full",
            Self::Unavailable => "unavailable",
            Self::Refused => "refused",
            Self::NotConfigured => "not_configured",
        }
    }
}

/// Records that were not delivered: so many between these numbers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Lost {
    /// How many.
    pub count: u64,
    /// The number of the first.
    pub first: u64,
    /// And of the last.
    pub last: u64,
    /// Why.
    pub why: Why,
}

/// How much may wait.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Bounds {
    /// Records.
    pub records: usize,
    /// Bytes of them.
    pub bytes: usize,
}

impl Bounds {
    /// Those of every instance.
    pub const QUEUE: Self = Self { records: limits::SINK_QUEUE_RECORDS, bytes: limits::SINK_QUEUE_BYTES };
    /// Those of one request to the sink.
    pub const BATCH: Self = Self { records: limits::SINK_BATCH_RECORDS, bytes: limits::SINK_BATCH_BYTES };
}

/// The records of one instance that wait.
///
/// INVARIANT: numbers rise. Each number below `next` was delivered, waits, stands in `lost`, or was told as lost by a record that
/// was delivered or waits.
#[derive(Debug)]
pub struct Queue {
    bounds: Bounds,
    items: VecDeque<Item>,
    bytes: usize,
    next: u64,
    lost: Vec<Lost>,
}

impl Queue {
    /// An empty one, for a chain that begins.
    pub const fn new(bounds: Bounds) -> Self {
        Self { bounds, items: VecDeque::new(), bytes: 0, next: 0, lost: Vec::new() }
    }

    /// The chain goes on with this number: those before it that never came were written while there was no sink.
    pub fn catch_up(&mut self, seq: u64) {
        if seq > self.next {
            let count = seq.saturating_sub(self.next);
            self.lose(Lost { count, first: self.next, last: seq.saturating_sub(1), why: Why::NotConfigured });
            self.next = seq;
        }
    }

    /// Puts a record at the end. Where there is no room it is lost, and so is each one after it until that was told: losses are
    /// one piece of the chain each.
    pub fn offer(&mut self, item: Item) {
        self.catch_up(item.seq);
        self.next = item.seq.saturating_add(1);
        let bytes = self.bytes.saturating_add(item.line.len());
        if !self.lost.is_empty() || self.items.len() >= self.bounds.records || bytes > self.bounds.bytes {
            settle(&item, false);
            item.tells.into_iter().for_each(|told| self.lose(told));
            self.lose(Lost { count: 1, first: item.seq, last: item.seq, why: Why::QueueFull });
            return;
        }
        self.bytes = bytes;
        self.items.push_back(item);
    }

    /// What was lost and not told yet, once there is room for the records that tell it, and for another. Their turn is next.
    pub fn tell(&mut self) -> Vec<Lost> {
        let records = self.items.len().saturating_add(self.lost.len());
        let bytes = self.bytes.saturating_add(self.lost.len().saturating_add(1).saturating_mul(limits::SINK_OWN_BYTES));
        if records < self.bounds.records && bytes < self.bounds.bytes { std::mem::take(&mut self.lost) } else { vec![] }
    }

    /// The records of the next request: the first ones, without a gap. None when none wait.
    pub fn batch(&self, most: Bounds) -> impl Iterator<Item = &Item> {
        let (mut bytes, mut expected) = (0_usize, None);
        self.items.iter().take(most.records).take_while(move |item| {
            let follows = expected.is_none_or(|expected| expected == item.seq);
            bytes = bytes.saturating_add(item.line.len());
            // One that is too large alone goes alone.
            let fits = expected.is_none() || bytes <= most.bytes;
            expected = Some(item.seq.saturating_add(1));
            follows && fits
        })
    }

    /// Whether any wait that are about requests.
    pub fn has_news(&self) -> bool {
        self.items.iter().any(|item| !item.own)
    }

    /// Whether none wait.
    pub fn is_empty(&self) -> bool {
        self.items.is_empty()
    }

    /// The first ones were delivered.
    pub fn delivered(&mut self, count: usize) {
        let _ = self.pop(count, true);
    }

    /// The first ones were not: `rejected` of them where the others were taken, else all.
    pub fn gave_up(&mut self, count: usize, rejected: Option<u64>, why: Why) {
        if let Some((all, first, last, told)) = self.pop(count, false) {
            told.into_iter().for_each(|told| self.lose(told));
            let count = rejected.map_or(all, |rejected| rejected.min(all));
            self.lose(Lost { count, first, last, why });
        }
    }

    /// Takes the first ones away: how many, the numbers of the first and the last, and what they told as lost.
    fn pop(&mut self, count: usize, delivered: bool) -> Option<(u64, u64, u64, Vec<Lost>)> {
        let popped: Vec<Item> = self.items.drain(..count.min(self.items.len())).collect();
        for item in &popped {
            settle(item, delivered);
            self.bytes = self.bytes.saturating_sub(item.line.len());
        }
        let count = u64::try_from(popped.len()).unwrap_or(u64::MAX);
        let told = popped.iter().filter_map(|item| item.tells).collect();
        Some((count, popped.first()?.seq, popped.last()?.seq, told))
    }

    fn lose(&mut self, new: Lost) {
        let full = self.lost.len() >= limits::SINK_LOSSES;
        match self.lost.last_mut() {
            Some(last) if full || (last.why == new.why && last.last.checked_add(1) == Some(new.first)) => {
                last.count = last.count.saturating_add(new.count);
                last.first = last.first.min(new.first);
                last.last = last.last.max(new.last);
            }
            _ => self.lost.push(new),
        }
    }
}

fn settle(item: &Item, delivered: bool) {
    if let Some(Ticket(fate)) = &item.ticket {
        fate.set(Some(delivered));
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::decision::UnixTime;

    const TIME: Timestamp = Timestamp { seconds: UnixTime(0), millis: 0 };

    fn item(seq: u64) -> Item {
        Item { seq, time: TIME, line: format!("{seq:010}\n"), own: false, tells: None, ticket: None }
    }

    fn queue(records: usize) -> Queue {
        Queue::new(Bounds { records, bytes: 1 << 20 })
    }

    fn seqs(queue: &Queue, most: Bounds) -> Vec<u64> {
        queue.batch(most).map(|item| item.seq).collect()
    }

    const ALL: Bounds = Bounds { records: 1000, bytes: 1 << 20 };

    fn lost(count: u64, first: u64, last: u64, why: Why) -> Lost {
        Lost { count, first, last, why }
    }

    #[test]
    fn records_leave_in_the_order_they_came() {
        let mut queue = queue(100);
        (0..10).for_each(|seq| queue.offer(item(seq)));
        assert_eq!(seqs(&queue, Bounds { records: 4, ..ALL }), [0, 1, 2, 3]);
        // A batch that is not settled is the next one too.
        assert_eq!(seqs(&queue, Bounds { bytes: 33, ..ALL }), [0, 1, 2]);
        queue.delivered(3);
        assert_eq!(seqs(&queue, Bounds { records: 2, ..ALL }), [3, 4]);
        // One that is larger than a batch goes alone.
        assert_eq!(seqs(&queue, Bounds { bytes: 1, ..ALL }), [3]);
        queue.delivered(100);
        assert!(queue.is_empty() && queue.tell().is_empty());
    }

    #[test]
    fn what_there_is_no_room_for_is_counted_and_told_when_there_is() {
        let mut queue = queue(4);
        (0..7).for_each(|seq| queue.offer(item(seq)));
        assert_eq!(queue.tell(), []);
        queue.delivered(1);
        // There would be room for one, but not for the record that tells the loss: what is lost stays one piece.
        assert_eq!(queue.tell(), []);
        queue.offer(item(7));
        queue.delivered(2);
        assert_eq!(queue.tell(), [lost(4, 4, 7, Why::QueueFull)]);
        assert_eq!(queue.tell(), []);
        queue.offer(Item { own: true, ..item(8) });
        queue.offer(item(9));
        // Two requests: what is missing between is not in either.
        assert_eq!(seqs(&queue, ALL), [3]);
        queue.delivered(1);
        assert_eq!(seqs(&queue, ALL), [8, 9]);
    }

    #[test]
    fn bytes_are_bounded_too() {
        let mut queue = Queue::new(Bounds { records: 1000, bytes: 10_000 });
        (0..2000).for_each(|seq| queue.offer(item(seq)));
        let waiting = u64::try_from(seqs(&queue, ALL).len()).unwrap();
        assert_eq!(waiting, 10_000 / 11);
        queue.delivered(500);
        assert_eq!(queue.tell(), [lost(2000 - waiting, waiting, 1999, Why::QueueFull)]);
        // One that is larger than everything is lost, not waited for.
        queue.delivered(500);
        queue.offer(Item { line: "x".repeat(10_001), ..item(2000) });
        assert_eq!(queue.tell(), [lost(1, 2000, 2000, Why::QueueFull)]);
    }

    #[test]
    fn what_is_given_up_is_counted() {
        let mut queue = queue(100);
        (0..10).for_each(|seq| queue.offer(item(seq)));
        queue.gave_up(4, None, Why::Unavailable);
        queue.gave_up(2, None, Why::Unavailable);
        queue.gave_up(3, Some(2), Why::Refused);
        queue.gave_up(1, Some(9), Why::Refused);
        queue.gave_up(1, None, Why::Refused);
        assert_eq!(queue.tell(), [lost(6, 0, 5, Why::Unavailable), lost(3, 6, 9, Why::Refused)]);
    }

    #[test]
    fn what_a_lost_record_told_is_told_again() {
        let mut queue = queue(100);
        queue.offer(item(0));
        queue.gave_up(1, None, Why::Refused);
        let told = queue.tell();
        assert_eq!(told, [lost(1, 0, 0, Why::Refused)]);
        queue.offer(Item { own: true, tells: Some(told[0]), ..item(1) });
        queue.offer(item(2));
        queue.gave_up(2, None, Why::Unavailable);
        assert_eq!(queue.tell(), [lost(1, 0, 0, Why::Refused), lost(2, 1, 2, Why::Unavailable)]);
        // Delivered, it is not told again.
        queue.offer(Item { own: true, tells: Some(told[0]), ..item(3) });
        queue.delivered(1);
        assert_eq!(queue.tell(), []);
    }

    #[test]
    fn what_was_written_without_a_sink_is_counted() {
        let mut queue = queue(100);
        queue.catch_up(0);
        assert_eq!(queue.tell(), []);
        queue.catch_up(5);
        assert_eq!(queue.tell(), [lost(5, 0, 4, Why::NotConfigured)]);
        queue.offer(Item { own: true, ..item(5) });
        assert!(!queue.has_news());
        queue.offer(item(6));
        assert!(queue.has_news());
        assert_eq!(seqs(&queue, ALL), [5, 6]);
    }

    #[test]
    fn the_list_of_losses_is_bounded_and_loses_none() {
        let mut queue = queue(10_000);
        (0..1000).for_each(|seq| queue.offer(item(seq)));
        (0..1000).for_each(|seq| queue.gave_up(1, None, if seq % 2 == 0 { Why::Refused } else { Why::Unavailable }));
        let lost = queue.tell();
        assert_eq!(lost.len(), limits::SINK_LOSSES);
        assert_eq!(lost.iter().map(|lost| lost.count).sum::<u64>(), 1000);
        assert_eq!((lost[0].first, lost.last().unwrap().last), (0, 999));
    }

    #[test]
    fn whoever_waits_is_told() {
        let mut queue = queue(3);
        let tickets: Vec<Ticket> = (0..4).map(|_| Ticket::default()).collect();
        for (seq, ticket) in (0..).zip(&tickets) {
            queue.offer(Item { ticket: Some(ticket.clone()), ..item(seq) });
        }
        let told = || tickets.iter().map(Ticket::delivered).collect::<Vec<_>>();
        assert_eq!(told(), [None, None, None, Some(false)]);
        queue.delivered(1);
        queue.gave_up(1, None, Why::Refused);
        assert_eq!(told(), [Some(true), Some(false), None, Some(false)]);
    }

    /// What can happen to a queue: records come; the first ones go, or are lost.
    #[derive(Debug, Clone, Copy)]
    enum Step {
        Records(u64),
        Delivered(usize),
        Lost(usize),
    }

    fn steps() -> impl Strategy<Value = Vec<Step>> {
        let step =
            prop_oneof![(1_u64..12).prop_map(Step::Records), (1_usize..8).prop_map(Step::Delivered), (1_usize..8).prop_map(Step::Lost),];
        proptest::collection::vec(step, 1..200)
    }

    proptest! {
        #[test]
        fn every_record_arrives_or_is_told_as_lost(steps in steps(), room in 1_usize..20) {
            let mut queue = queue(room);
            let (mut seq, mut delivered, mut told) = (0, vec![], vec![]);
            // What the shell does: losses are told before the next record, and after each batch.
            let tell = |queue: &mut Queue, seq: &mut u64| {
                for lost in queue.tell() {
                    queue.offer(Item { own: true, tells: Some(lost), ..item(*seq) });
                    *seq += 1;
                }
            };
            let deliver = |queue: &mut Queue, count, delivered: &mut Vec<u64>, told: &mut Vec<Lost>| {
                let batch: Vec<(u64, Option<Lost>)> =
                    queue.batch(Bounds { records: count, ..ALL }).map(|item| (item.seq, item.tells)).collect();
                delivered.extend(batch.iter().map(|(seq, _)| seq));
                told.extend(batch.iter().filter_map(|(_, tells)| *tells));
                queue.delivered(batch.len());
            };
            for step in steps {
                match step {
                    Step::Records(count) => for _ in 0..count {
                        tell(&mut queue, &mut seq);
                        queue.offer(item(seq));
                        seq += 1;
                    },
                    Step::Delivered(count) => deliver(&mut queue, count, &mut delivered, &mut told),
                    Step::Lost(count) => {
                        let count = queue.batch(Bounds { records: count, ..ALL }).count();
                        queue.gave_up(count, None, Why::Unavailable);
                    }
                }
                prop_assert!(queue.items.len() <= room && queue.lost.len() <= limits::SINK_LOSSES);
                prop_assert_eq!(queue.bytes, queue.items.iter().map(|item| item.line.len()).sum::<usize>());
                tell(&mut queue, &mut seq);
            }
            // Then all is well again for as long as it takes.
            for _ in 0..1000 {
                deliver(&mut queue, 100, &mut delivered, &mut told);
                tell(&mut queue, &mut seq);
            }
            prop_assert!(delivered.is_sorted());
            let untold = std::mem::take(&mut queue.lost);
            // With room for a single record there never is any for one that tells.
            prop_assert!(room <= 17 || untold.is_empty());
            let known = |seq: &u64| {
                delivered.contains(seq) || told.iter().chain(&untold).any(|lost| (lost.first..=lost.last).contains(seq))
            };
            prop_assert!((0..seq).all(|seq| known(&seq)));
            let lost: u64 = told.iter().chain(&untold).map(|lost| lost.count).sum();
            prop_assert_eq!(delivered.len() as u64 + lost, seq);
        }
    }
}
