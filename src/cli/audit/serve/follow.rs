//! Logs that grow: their lines as they come, also across rotation.

use std::fs::{self, File, Metadata};
use std::io::{self, Read as _, Seek as _, SeekFrom};
use std::path::{Path, PathBuf};
use std::sync::mpsc::{Receiver, TryRecvError, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};

use super::super::input::LINE_BYTES;

/// Bytes that are read at once.
const CHUNK: usize = 1 << 18;
/// Chunks of standard input that may wait.
const WAITING: usize = 16;

/// A file that records can be read from again. After a rotation there is another one of the same name.
pub(super) type Handle = Arc<Mutex<File>>;

/// A line with its place.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct RawLine<'a> {
    pub number: u64,
    pub start: u64,
    pub bytes: &'a [u8],
}

/// How a call of [`Follower::read`] ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Progress {
    /// There was something.
    More,
    /// There is nothing more, for now.
    Idle,
    /// The file was replaced or cut: what follows is another one.
    Another,
}

enum From {
    File { path: PathBuf, handle: Handle },
    Stream(Receiver<Vec<u8>>),
}

/// One log.
pub(super) struct Follower {
    from: From,
    /// The number of its source.
    pub source: usize,
    /// Bytes that were read.
    pub read: u64,
    /// The line that is not complete.
    partial: Vec<u8>,
    /// How much of it was searched for an end.
    searched: usize,
    start: u64,
    number: u64,
    /// Whether the rest of a line that is too long is passed over.
    passing: bool,
    /// Whether it was seen that the file is another one now. What was written to this one until then is read before.
    replaced: bool,
}

impl Follower {
    /// Opens a log; `-` is standard input.
    pub(super) fn open(path: &Path) -> io::Result<Self> {
        let from = if path == Path::new("-") {
            From::Stream(stdin())
        } else {
            From::File { path: path.to_owned(), handle: Arc::new(Mutex::new(File::open(path)?)) }
        };
        Ok(Self { from, source: 0, read: 0, partial: Vec::new(), searched: 0, start: 0, number: 0, passing: false, replaced: false })
    }

    /// Where its records can be read again.
    pub(super) fn handle(&self) -> Option<Handle> {
        match &self.from {
            From::File { handle, .. } => Some(Arc::clone(handle)),
            From::Stream(_) => None,
        }
    }

    /// Its size now, as far as it is known.
    pub(super) fn size(&self) -> u64 {
        let size = match &self.from {
            From::File { handle, .. } => lock(handle).metadata().map(|metadata| metadata.len()).unwrap_or_default(),
            From::Stream(_) => 0,
        };
        size.max(self.read)
    }

    /// Gives the next lines to `take`. A last line without an end is given when nothing more comes and `whole` says it is one.
    pub(super) fn read(&mut self, whole: impl Fn(&[u8]) -> bool, mut take: impl FnMut(RawLine<'_>)) -> io::Result<Progress> {
        let chunk = self.chunk()?;
        if !chunk.is_empty() {
            self.read = self.read.saturating_add(u64::try_from(chunk.len()).unwrap_or_default());
            self.partial.extend_from_slice(&chunk);
            self.lines(&mut take);
            return Ok(Progress::More);
        }
        if !self.passing && !self.partial.is_empty() && whole(&self.partial) {
            let bytes = std::mem::take(&mut self.partial);
            self.give(&bytes, &mut take);
            self.searched = 0;
        }
        if !self.is_another() {
            return Ok(Progress::Idle);
        }
        Ok(if std::mem::replace(&mut self.replaced, true) { Progress::Another } else { Progress::More })
    }

    /// Begins with the file that is there now.
    pub(super) fn reopen(&mut self) -> io::Result<()> {
        if let From::File { path, .. } = &self.from {
            *self = Self::open(path)?;
        }
        Ok(())
    }

    fn chunk(&mut self) -> io::Result<Vec<u8>> {
        match &self.from {
            From::File { handle, .. } => {
                let mut chunk = vec![0; CHUNK];
                let mut file = lock(handle);
                file.seek(SeekFrom::Start(self.read))?;
                let count = file.read(&mut chunk)?;
                chunk.truncate(count);
                Ok(chunk)
            }
            From::Stream(chunks) => match chunks.try_recv() {
                Ok(chunk) => Ok(chunk),
                Err(TryRecvError::Empty | TryRecvError::Disconnected) => Ok(Vec::new()),
            },
        }
    }

    fn lines(&mut self, take: &mut impl FnMut(RawLine<'_>)) {
        let bytes = std::mem::take(&mut self.partial);
        let mut rest = bytes.as_slice();
        let mut from = std::mem::take(&mut self.searched);
        while let Some(end) = rest.get(from..).and_then(|rest| rest.iter().position(|byte| *byte == b'\n')) {
            let (line, after) = rest.split_at(from.saturating_add(end));
            if std::mem::take(&mut self.passing) {
                self.skip(line.len());
            } else {
                self.give(line, take);
            }
            // The line's end.
            self.start = self.start.saturating_add(1);
            rest = after.get(1..).unwrap_or_default();
            from = 0;
        }
        if u64::try_from(rest.len()).unwrap_or(u64::MAX) > LINE_BYTES || self.passing {
            self.passing = true;
            self.start = self.start.saturating_add(u64::try_from(rest.len()).unwrap_or_default());
            rest = &[];
        }
        self.partial = rest.to_vec();
        self.searched = rest.len();
    }

    fn give(&mut self, line: &[u8], take: &mut impl FnMut(RawLine<'_>)) {
        let start = self.start;
        self.skip(line.len());
        take(RawLine { number: self.number, start, bytes: line.strip_suffix(b"\r").unwrap_or(line) });
    }

    fn skip(&mut self, length: usize) {
        self.number = self.number.saturating_add(1);
        self.start = self.start.saturating_add(u64::try_from(length).unwrap_or_default());
    }

    /// Whether the name is that of another file now, or the file is shorter than what was read of it.
    fn is_another(&self) -> bool {
        let From::File { path, handle } = &self.from else { return false };
        let Ok(here) = lock(handle).metadata() else { return false };
        // One that is gone may come again; until then this one is still read.
        here.len() < self.read || fs::metadata(path).is_ok_and(|there| !is_same(&here, &there))
    }
}

#[cfg(unix)]
fn is_same(one: &Metadata, other: &Metadata) -> bool {
    use std::os::unix::fs::MetadataExt as _;
    (one.dev(), one.ino()) == (other.dev(), other.ino())
}

#[cfg(not(unix))]
fn is_same(_: &Metadata, _: &Metadata) -> bool {
    true
}

/// Standard input, which may keep its reader waiting for ever.
fn stdin() -> Receiver<Vec<u8>> {
    let (sender, receiver) = sync_channel(WAITING);
    std::thread::spawn(move || {
        let mut chunk = vec![0; CHUNK];
        while let Ok(count @ 1..) = io::stdin().read(&mut chunk) {
            if sender.send(chunk.get(..count).unwrap_or_default().to_vec()).is_err() {
                break;
            }
        }
    });
    receiver
}

/// What is at this place of a file.
pub(super) fn read_at(handle: &Handle, start: u64, length: usize) -> io::Result<Vec<u8>> {
    let mut bytes = vec![0; length];
    let mut file = lock(handle);
    file.seek(SeekFrom::Start(start))?;
    file.read_exact(&mut bytes)?;
    Ok(bytes)
}

fn lock(handle: &Handle) -> std::sync::MutexGuard<'_, File> {
    handle.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use super::*;

    /// All lines that are there, as `number@start:text`.
    fn all(follower: &mut Follower) -> Vec<String> {
        let mut lines = Vec::new();
        loop {
            let take = |line: RawLine<'_>| lines.push(format!("{}@{}:{}", line.number, line.start, String::from_utf8_lossy(line.bytes)));
            match follower.read(|rest| rest.ends_with(b"}"), take).unwrap() {
                Progress::More => {}
                Progress::Idle => return lines,
                Progress::Another => follower.reopen().unwrap(),
            }
        }
    }

    #[test]
    fn lines_come_when_they_are_complete() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("log");
        let add = |text: &str| fs::OpenOptions::new().append(true).create(true).open(&path).unwrap().write_all(text.as_bytes()).unwrap();
        add("a\r\n\nb");
        let mut follower = Follower::open(&path).unwrap();
        assert_eq!(all(&mut follower), ["1@0:a", "2@3:"]);
        add("c\nd");
        assert_eq!(all(&mut follower), ["3@4:bc"]);
        // A last line that is one, without its end; the end may come later.
        add("}");
        assert_eq!(all(&mut follower), ["4@7:d}"]);
        add("\ne\n");
        assert_eq!(all(&mut follower), ["5@9:", "6@10:e"]);
        assert_eq!(read_at(&follower.handle().unwrap(), 4, 2).unwrap(), b"bc");
        assert!(read_at(&follower.handle().unwrap(), 4, 200).is_err());
    }

    #[test]
    fn a_line_without_end_is_passed_over() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("log");
        let long = usize::try_from(LINE_BYTES).unwrap() + 2 * CHUNK;
        fs::write(&path, format!("a\n{}\nb\n", "x".repeat(long))).unwrap();
        let mut follower = Follower::open(&path).unwrap();
        assert_eq!(all(&mut follower), ["1@0:a".to_owned(), format!("3@{}:b", long + 3)]);
    }

    #[test]
    fn a_rotated_log_is_read_to_its_end_and_then_the_next() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("log");
        fs::write(&path, "a\n").unwrap();
        let mut follower = Follower::open(&path).unwrap();
        assert_eq!(all(&mut follower), ["1@0:a"]);
        let old = folder.path().join("log.1");
        fs::rename(&path, &old).unwrap();
        fs::OpenOptions::new().append(true).open(&old).unwrap().write_all(b"b\n").unwrap();
        assert_eq!(all(&mut follower), ["2@2:b"]);
        fs::write(&path, "c\n").unwrap();
        assert_eq!(all(&mut follower), ["1@0:c"]);
        // Cut and written anew.
        fs::write(&path, "").unwrap();
        assert_eq!(all(&mut follower), Vec::<String>::new());
        fs::write(&path, "d\n").unwrap();
        assert_eq!(all(&mut follower), ["1@0:d"]);
    }
}
