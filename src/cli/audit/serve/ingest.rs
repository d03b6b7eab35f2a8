//! From the logs into the index, in a thread of its own, for as long as the console runs.

use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use ring::digest::{SHA256, digest};

use super::super::input::is_record;
use super::follow::{Follower, Handle, Progress, RawLine};
use super::status::{Chain, Spot, Status, fault};
use super::store::{AUTHENTIC, UNVERIFIED, Writer};
use super::writer::Place;
use crate::audit::ocsf::unix_millis;
use crate::audit::{Entry, Verifier};
use crate::signed_url::Keyring;

/// How often logs are looked at that had nothing new.
const PAUSE: Duration = Duration::from_millis(200);
/// What is read is shown after so long.
const SHOWN: Duration = Duration::from_millis(500);
/// Most problems that are listed.
const PROBLEMS: usize = 20;

/// What the thread tells the pages.
#[derive(Default)]
pub(super) struct Shared {
    status: Mutex<Arc<Status>>,
    /// Where records are read again, by the number of their source.
    handles: Mutex<Vec<Option<Handle>>>,
    pub(super) stop: AtomicBool,
}

impl Shared {
    /// How things stand.
    pub(super) fn status(&self) -> Arc<Status> {
        Arc::clone(&self.status.lock().unwrap_or_else(PoisonError::into_inner))
    }

    pub(super) fn handle(&self, source: usize) -> Option<Handle> {
        self.handles.lock().unwrap_or_else(PoisonError::into_inner).get(source).cloned().flatten()
    }

    fn set(&self, status: &Status) {
        *self.status.lock().unwrap_or_else(PoisonError::into_inner) = Arc::new(status.clone());
    }
}

/// How chains are verified.
pub(super) struct Trust {
    pub keyring: Keyring,
    /// Chains may begin before the logs do.
    pub open_start: bool,
}

/// Everything that one line changes.
struct Reader<'k> {
    writer: Writer,
    status: Status,
    verifier: Option<Verifier<'k, Spot>>,
    failed: Option<rusqlite::Error>,
}

/// Reads the logs until it is told to stop.
pub(super) fn run(mut followers: Vec<Follower>, names: &[String], writer: Writer, trust: Option<&Trust>, shared: &Shared) {
    let verifier = trust.map(|trust| Verifier::new(&trust.keyring, trust.open_start, Vec::new()));
    let status = Status { chain: verifier.is_some().then(Chain::default), ..Status::default() };
    let mut reader = Reader { writer, status, verifier, failed: None };
    for (follower, name) in followers.iter_mut().zip(names) {
        reader.begin(follower, name, shared);
    }
    let mut shown = Instant::now();
    while !shared.stop.load(Relaxed) && reader.failed.is_none() {
        let mut more = false;
        // In the order they are named: each is read to its end before the next is looked at.
        for (follower, name) in followers.iter_mut().zip(names) {
            while reader.round(follower, name, shared) && reader.failed.is_none() && !shared.stop.load(Relaxed) {
                more = true;
                if shown.elapsed() >= SHOWN {
                    reader.show(shared);
                    shown = Instant::now();
                }
            }
        }
        let first = !std::mem::replace(&mut reader.status.caught_up, true);
        if more || first {
            reader.show(shared);
            shown = Instant::now();
        } else {
            std::thread::park_timeout(PAUSE);
        }
    }
    if let Some(error) = reader.failed.take() {
        reader.problem(format!("the index cannot be written any more: {error}"));
        shared.set(&reader.status);
    }
}

impl Reader<'_> {
    /// Another source.
    fn begin(&mut self, follower: &mut Follower, name: &str, shared: &Shared) {
        follower.source = self.status.sources.len();
        self.status.sources.push(name.to_owned());
        self.status.bytes_in_all = self.status.bytes_in_all.saturating_add(follower.size());
        shared.handles.lock().unwrap_or_else(PoisonError::into_inner).push(follower.handle());
    }

    /// Reads a piece, and says whether there may be more.
    fn round(&mut self, follower: &mut Follower, name: &str, shared: &Shared) -> bool {
        let (before, source, reread) = (follower.read, follower.source, follower.handle().is_some());
        let whole = |rest: &[u8]| std::str::from_utf8(rest).is_ok_and(|rest| is_record(rest) && Entry::parse(rest).is_ok());
        let progress = follower.read(whole, |line| self.line(line, source, reread));
        self.status.bytes = self.status.bytes.saturating_add(follower.read.saturating_sub(before));
        self.status.bytes_in_all = self.status.bytes_in_all.max(self.status.bytes);
        match progress {
            Ok(Progress::More) => return true,
            Ok(Progress::Idle) => {}
            // Where it cannot be opened yet, it is tried again.
            Ok(Progress::Another) => {
                if follower.reopen().is_ok() {
                    self.begin(follower, name, shared);
                    return true;
                }
            }
            Err(error) => self.problem(format!("{name} cannot be read: {error}")),
        }
        false
    }

    fn line(&mut self, line: RawLine<'_>, source: usize, reread: bool) {
        if self.failed.is_some() {
            return;
        }
        let text = String::from_utf8_lossy(line.bytes);
        if text.is_empty() {
            return;
        }
        self.status.lines = self.status.lines.saturating_add(1);
        if !is_record(&text) {
            self.status.passed = self.status.passed.saturating_add(1);
            return;
        }
        let found = match &mut self.verifier {
            Some(verifier) => verifier.take(&text, (source, line.number)),
            None => Vec::new(),
        };
        let state = match found.first() {
            _ if self.verifier.is_none() => UNVERIFIED,
            Some(finding) => fault(finding.fault),
            None => AUTHENTIC,
        };
        if let Some(chain) = &mut self.status.chain {
            found.into_iter().for_each(|finding| chain.add(finding));
        }
        let Ok(entry) = Entry::parse(&text) else {
            self.status.malformed = self.status.malformed.saturating_add(1);
            return;
        };
        let raw = (!reread).then_some(&*text);
        let place = Place { source, number: line.number, start: line.start, length: line.bytes.len(), hash: hash(line.bytes), raw };
        match self.writer.add(&entry, place, state) {
            Ok(_) => self.status.add(&entry, unix_millis(&entry.time)),
            Err(error) => self.failed = Some(error),
        }
    }

    /// Lets the pages see what was read.
    fn show(&mut self, shared: &Shared) {
        if let Err(error) = self.writer.commit() {
            self.failed = Some(error);
            return;
        }
        if let (Some(verifier), Some(chain)) = (&self.verifier, &mut self.status.chain) {
            chain.set(verifier.read(), verifier.missing());
        }
        shared.set(&self.status);
    }

    fn problem(&mut self, problem: String) {
        let problems = &mut self.status.problems;
        if problems.len() < PROBLEMS && !problems.contains(&problem) {
            problems.push(problem);
        }
    }
}

/// Tells whether a line is still the same. Whoever can change a log could compare as well; this is for those who read.
pub(super) fn hash(bytes: &[u8]) -> i64 {
    let digest = digest(&SHA256, bytes);
    digest.as_ref().first_chunk().map(|first| i64::from_le_bytes(*first)).unwrap_or_default()
}

/// How a log is named on the pages.
pub(super) fn name(path: &Path) -> String {
    if path == Path::new("-") { "standard input".to_owned() } else { path.display().to_string() }
}
