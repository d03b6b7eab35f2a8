//! The work: one thread reads, all others ask.

use std::sync::Mutex;
use std::sync::mpsc::{Receiver, sync_channel};

use miette::miette;

use super::super::audit::{Input, Place};
use super::approvals::Approvals;
use super::tally::{Example, Group, Tally};
use crate::audit::Entry;
use crate::bundle::Gate;
use crate::decision::{Replayed, Replayer};

/// Lines that are handed on together.
const BATCH: usize = 256;
/// Batches that may wait for each thread: memory stays bounded however fast the disk is.
const WAITING: usize = 4;

type Batch = Vec<(Place, String)>;

/// Asks every record of the logs. What was answered before is what the record says, or what `old` answers today.
///
/// # Errors
/// When a file cannot be read.
pub(in crate::cli) fn replay(
    input: &Input,
    old: Option<&Gate>,
    gate: &Gate,
    approvals: &Approvals,
    threads: usize,
) -> miette::Result<Tally> {
    let replayer = Both { old: old.map(Replayer::new), new: Replayer::new(gate) };
    let (send, receive) = sync_channel::<Batch>(threads.saturating_mul(WAITING));
    let receive = Mutex::new(receive);
    std::thread::scope(|scope| {
        let workers: Vec<_> = (0..threads).map(|_| scope.spawn(|| ask(&receive, &replayer, approvals))).collect();
        let mut batch = Batch::with_capacity(BATCH);
        let read = input.each(|line| {
            batch.push((line.place, line.text.to_owned()));
            if batch.len() >= BATCH {
                let full = std::mem::replace(&mut batch, Batch::with_capacity(BATCH));
                send.send(full).map_err(|_| miette!("a thread that asks has ended"))?;
            }
            Ok(())
        });
        let sent = read.and_then(|_| send.send(batch).map_err(|_| miette!("a thread that asks has ended")));
        drop(send);
        let mut tally = Tally::default();
        for worker in workers {
            // SECURITY: an answer without the part of one thread would be a wrong one.
            tally.merge(worker.join().map_err(|_| miette!("a thread that asks has ended"))?);
        }
        sent.map(|()| tally)
    })
}

/// Whom records are asked of.
struct Both<'g> {
    old: Option<Replayer<'g>>,
    new: Replayer<'g>,
}

impl Both<'_> {
    fn replay(&self, entry: &Entry) -> Vec<Replayed> {
        let mut answers = self.new.replay(entry);
        for (answer, old) in answers.iter_mut().zip(self.old.iter().flat_map(|old| old.replay(entry))) {
            match old.after {
                Ok(before) => answer.before = before,
                Err(why) => answer.after = Err(why),
            }
        }
        answers
    }
}

fn ask(batches: &Mutex<Receiver<Batch>>, replayer: &Both<'_>, approvals: &Approvals) -> Tally {
    let mut tally = Tally::default();
    loop {
        let batch = match batches.lock() {
            Ok(batches) => batches.recv(),
            Err(poisoned) => poisoned.into_inner().recv(),
        };
        let Ok(batch) = batch else { return tally };
        for (place, text) in batch {
            match Entry::parse(&text) {
                Ok(entry) => one(&entry, place, replayer, approvals, &mut tally),
                Err(_) => tally.malformed = tally.malformed.saturating_add(1),
            }
        }
    }
}

fn one(entry: &Entry, place: Place, replayer: &Both<'_>, approvals: &Approvals, tally: &mut Tally) {
    tally.records = tally.records.saturating_add(1);
    let answers = replayer.replay(entry);
    if answers.is_empty() {
        tally.not_asked = tally.not_asked.saturating_add(1);
    }
    for replayed in answers {
        match (&replayed.after, replayed.flip()) {
            (Err(why), _) => {
                tally.unknown = tally.unknown.saturating_add(1);
                tally.unknown_because(why.clone(), 1);
            }
            (Ok(_), None) if replayed.is_same() => tally.unchanged = tally.unchanged.saturating_add(1),
            (Ok(_), None) => tally.other_reason = tally.other_reason.saturating_add(1),
            (Ok(_), Some(flip)) => {
                let group = Group::of(flip, &replayed);
                let example = Example::of(entry, &replayed, place);
                match approvals.find(flip, &group.policies, &example) {
                    Some(index) => {
                        tally.meant = tally.meant.saturating_add(1);
                        tally.approved.insert(index);
                    }
                    None => tally.flipped(group, 1, example),
                }
            }
        }
    }
}
