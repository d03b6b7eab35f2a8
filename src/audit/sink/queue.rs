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
#[path = "queue_tests.rs"]
mod tests;
