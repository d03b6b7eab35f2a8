//! The answers to what verification asks: the revocation list, the status list, and whether a proof was used before.

use std::rc::Rc;

use super::settings::Settings;
use super::{replay, revocations, status};
use crate::bundle::Gate;
use crate::decision::UnixTime;
use crate::identity::{Answers, Questions};

/// Asks everything. A proof is remembered last, so that nothing else refuses what was used up.
pub(super) async fn find(gate: &'static Gate, questions: &Questions, settings: &Rc<Settings>, now: UnixTime) -> Answers {
    let Questions { revocations, status, proof } = questions;
    let mut answers = Answers { revocations: revocations::look_up(revocations, settings, now).await, ..Answers::default() };
    if let Some(reference) = status {
        answers.status = Some(status::of(gate, reference, settings, now).await);
    }
    if let Some(used) = proof {
        answers.first_use = Some(replay::first_use(used, settings, now).await);
    }
    answers
}
