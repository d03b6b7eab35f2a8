//! The component's output, line by line.
//!
//! An instance's writes arrive in pieces and several instances write at once. A line goes to the sink whole or not at
//! all, so lines never interleave; records are written when the component writes them, with nothing held back in memory.

use std::fmt;
use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::path::Path;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};

use bytes::Bytes;
use tokio::io::AsyncWrite;
use wasmtime_wasi::cli::{IsTerminal, StdoutStream};
use wasmtime_wasi::p2::{OutputStream, Pollable, StreamError, StreamResult};

/// Longest line that is kept together; a longer one is cut into lines of this many bytes. Records are far shorter.
const LINE_BYTES: usize = 1024 * 1024;
/// How many bytes a guest may hand over at once.
const PERMIT: usize = 64 * 1024;

/// Where lines go. Clones write to the same place.
#[derive(Clone)]
pub struct RecordSink(Arc<Place>);

enum Place {
    Stdout,
    Stderr,
    File(Mutex<File>),
    Memory(Mutex<Vec<String>>),
}

impl RecordSink {
    /// The process's standard output.
    pub fn stdout() -> Self {
        Self(Arc::new(Place::Stdout))
    }

    /// The process's standard error.
    pub fn stderr() -> Self {
        Self(Arc::new(Place::Stderr))
    }

    /// Appends to a file, which is made when it is missing.
    ///
    /// # Errors
    /// What the system says when the file cannot be opened.
    pub fn file(path: &Path) -> io::Result<Self> {
        Ok(Self(Arc::new(Place::File(Mutex::new(OpenOptions::new().create(true).append(true).open(path)?)))))
    }

    /// Keeps lines in memory, to be read with [`lines`](Self::lines).
    pub fn memory() -> Self {
        Self(Arc::new(Place::Memory(Mutex::default())))
    }

    /// The lines kept so far; none unless this is a [`memory`](Self::memory) sink.
    pub fn lines(&self) -> Vec<String> {
        self.lines_from(0)
    }

    /// The lines kept so far but for the first `skip`.
    pub fn lines_from(&self, skip: usize) -> Vec<String> {
        match &*self.0 {
            Place::Memory(lines) => lines.lock().unwrap_or_else(PoisonError::into_inner).iter().skip(skip).cloned().collect(),
            _ => Vec::new(),
        }
    }

    /// Writes whole lines, each with its newline, in one go.
    pub(super) fn write(&self, lines: &[u8]) -> io::Result<()> {
        match &*self.0 {
            Place::Stdout => {
                let mut out = io::stdout().lock();
                out.write_all(lines)?;
                out.flush()
            }
            Place::Stderr => io::stderr().lock().write_all(lines),
            Place::File(file) => file.lock().unwrap_or_else(PoisonError::into_inner).write_all(lines),
            Place::Memory(kept) => {
                let text = String::from_utf8_lossy(lines);
                kept.lock().unwrap_or_else(PoisonError::into_inner).extend(text.lines().map(str::to_owned));
                Ok(())
            }
        }
    }
}

impl fmt::Debug for RecordSink {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match &*self.0 {
            Place::Stdout => "RecordSink::stdout",
            Place::Stderr => "RecordSink::stderr",
            Place::File(_) => "RecordSink::file",
            Place::Memory(_) => "RecordSink::memory",
        })
    }
}

/// One output stream of one instance: collects bytes until a line is whole.
#[derive(Clone)]
pub(super) struct Lines(Arc<Mutex<Pending>>);

struct Pending {
    sink: RecordSink,
    bytes: Vec<u8>,
}

impl Lines {
    pub(super) fn new(sink: RecordSink) -> Self {
        Self(Arc::new(Mutex::new(Pending { sink, bytes: Vec::new() })))
    }

    fn push(&self, bytes: &[u8]) -> io::Result<()> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).push(bytes)
    }
}

impl Pending {
    fn push(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.bytes.extend_from_slice(bytes);
        // Only the new bytes can hold a newline.
        if let Some(last) = bytes.iter().rposition(|&byte| byte == b'\n') {
            let rest = bytes.len().saturating_sub(last).saturating_sub(1);
            let whole = self.bytes.len().saturating_sub(rest);
            let tail = self.bytes.split_off(whole);
            let lines = std::mem::replace(&mut self.bytes, tail);
            self.sink.write(&lines)?;
        }
        if self.bytes.len() >= LINE_BYTES { self.finish() } else { Ok(()) }
    }

    fn finish(&mut self) -> io::Result<()> {
        if self.bytes.is_empty() {
            return Ok(());
        }
        let mut line = std::mem::take(&mut self.bytes);
        line.push(b'\n');
        self.sink.write(&line)
    }
}

impl Drop for Pending {
    fn drop(&mut self) {
        // What a trapped guest left unfinished is shown too; there is nobody left to tell of an error.
        drop(self.finish());
    }
}

impl IsTerminal for Lines {
    fn is_terminal(&self) -> bool {
        false
    }
}

impl StdoutStream for Lines {
    fn async_stream(&self) -> Box<dyn AsyncWrite + Send + Sync> {
        Box::new(self.clone())
    }

    fn p2_stream(&self) -> Box<dyn OutputStream> {
        Box::new(self.clone())
    }
}

#[wasmtime_wasi::async_trait]
impl Pollable for Lines {
    async fn ready(&mut self) {}
}

impl OutputStream for Lines {
    /// A sink that fails is told to the component: a gate that cannot write its record must not answer as if it had.
    fn write(&mut self, bytes: Bytes) -> StreamResult<()> {
        self.push(&bytes).map_err(|error| StreamError::LastOperationFailed(error.into()))
    }

    fn flush(&mut self) -> StreamResult<()> {
        Ok(())
    }

    fn check_write(&mut self) -> StreamResult<usize> {
        Ok(PERMIT)
    }
}

impl AsyncWrite for Lines {
    fn poll_write(self: Pin<&mut Self>, _: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Poll::Ready(self.push(bytes).map(|()| bytes.len()))
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pieces_become_whole_lines() {
        let sink = RecordSink::memory();
        let lines = Lines::new(sink.clone());
        lines.push(b"on").unwrap();
        assert_eq!(sink.lines(), Vec::<String>::new());
        lines.push(b"e\ntwo\nthr").unwrap();
        assert_eq!(sink.lines(), ["one", "two"]);
        lines.push(b"ee\n").unwrap();
        assert_eq!(sink.lines(), ["one", "two", "three"]);
    }

    #[test]
    fn an_unfinished_line_is_shown_when_the_instance_ends() {
        let sink = RecordSink::memory();
        let lines = Lines::new(sink.clone());
        lines.push(b"left over").unwrap();
        drop(lines);
        assert_eq!(sink.lines(), ["left over"]);
    }

    #[test]
    fn instances_never_interleave() {
        let sink = RecordSink::memory();
        std::thread::scope(|scope| {
            for name in ["a", "b", "c", "d"] {
                let lines = Lines::new(sink.clone());
                scope.spawn(move || {
                    for _ in 0..200 {
                        for _ in 0..10 {
                            lines.push(name.as_bytes()).unwrap();
                        }
                        lines.push(b"\n").unwrap();
                    }
                });
            }
        });
        let written = sink.lines();
        assert_eq!(written.len(), 800);
        assert!(written.iter().all(|line| line.len() == 10 && line.bytes().all(|byte| Some(byte) == line.bytes().next())));
    }

    #[test]
    fn a_line_without_end_is_cut() {
        let sink = RecordSink::memory();
        let lines = Lines::new(sink.clone());
        lines.push(&vec![b'x'; LINE_BYTES]).unwrap();
        assert_eq!(sink.lines().len(), 1);
    }
}
