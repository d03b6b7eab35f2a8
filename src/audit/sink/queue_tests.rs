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
    let step = prop_oneof![(1_u64..12).prop_map(Step::Records), (1_usize..8).prop_map(Step::Delivered), (1_usize..8).prop_map(Step::Lost),];
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
