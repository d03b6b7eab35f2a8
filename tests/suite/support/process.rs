//! The built command, in a folder of its own.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::{Arc, Condvar, Mutex, OnceLock};
use std::time::{Duration, Instant};

use tempfile::TempDir;

use super::gate::{base_path, bundle, root, sealed};

/// Longest wait for a line or an end: a first start compiles a component on a busy machine.
const PATIENCE: Duration = Duration::from_secs(300);

/// The sealed component of the suite's bundle, as a file. Sealed once for all tests.
pub fn sealed_file() -> &'static Path {
    static FILE: OnceLock<PathBuf> = OnceLock::new();
    FILE.get_or_init(|| {
        let path = Path::new(env!("CARGO_TARGET_TMPDIR")).join("gate.wasm");
        let new = path.with_extension(std::process::id().to_string());
        std::fs::write(&new, sealed(&bundle()).as_slice()).unwrap();
        // Another run of the suite may be reading the old one.
        std::fs::rename(&new, &path).unwrap();
        path
    })
}

/// A fresh copy of what a clone has: policies, keys without any issuer, the manifest.
pub struct Project(TempDir);

impl Project {
    pub fn new() -> Self {
        let project = Self(tempfile::tempdir().unwrap());
        for name in ["policies", "keys"] {
            copy(&root().join(name), &project.path(name));
        }
        std::fs::copy(root().join("spin.toml"), project.path("spin.toml")).unwrap();
        project
    }

    /// A folder with nothing in it.
    pub fn empty() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    pub fn read(&self, name: &str) -> Vec<u8> {
        std::fs::read(self.path(name)).unwrap_or_else(|e| panic!("{name}: {e}"))
    }

    pub fn write(&self, name: &str, text: &str) {
        std::fs::write(self.path(name), text).unwrap();
    }

    /// Changes one place of a file.
    pub fn edit(&self, name: &str, from: &str, to: &str) {
        let text = String::from_utf8(self.read(name)).unwrap();
        assert!(text.contains(from), "{name} has no `{from}`");
        self.write(name, &text.replacen(from, to, 1));
    }

    /// The command in this folder, with nothing of the environment that could change what it does.
    pub fn command(&self, args: &[&str]) -> Command {
        let mut command = self.here(env!("CARGO_BIN_EXE_cedargate"));
        command.args(args).env("CEDARGATE_BASE", base_path());
        command
    }

    /// A shell in this folder, in the same way.
    pub fn shell(&self) -> Command {
        self.here("sh")
    }

    fn here(&self, program: &str) -> Command {
        let mut command = Command::new(program);
        for (name, _) in std::env::vars_os() {
            if name.to_string_lossy().starts_with("SPIN_") {
                command.env_remove(name);
            }
        }
        command.current_dir(self.0.path()).stdin(Stdio::null());
        command
    }

    /// Runs it to its end.
    pub fn run(&self, args: &[&str]) -> Ended {
        ended(self.command(args))
    }

    /// Serves on a free port until it is stopped or dropped.
    pub fn up(&self, args: &[&str]) -> Up {
        Up::start(self.command(&["up", "--listen", "127.0.0.1:0"]).args(args))
    }
}

pub fn copy(from: &Path, to: &Path) {
    std::fs::create_dir(to).unwrap();
    for entry in std::fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let (path, target) = (entry.path(), to.join(entry.file_name()));
        // Development keys of this machine are not part of a clone.
        if path.is_dir() && !path.ends_with("keys/dev") {
            copy(&path, &target);
        } else if path.is_file() {
            std::fs::copy(&path, &target).unwrap();
        }
    }
}

/// What a command left.
#[derive(Debug)]
pub struct Ended {
    pub code: Option<i32>,
    pub stdout: String,
    pub stderr: String,
}

impl Ended {
    /// The standard output of one that went well.
    pub fn ok(self) -> String {
        assert_eq!(self.code, Some(0), "{self:?}");
        self.stdout
    }

    /// The standard error of one that ended with this code and said nothing on standard output.
    pub fn failed(self, code: i32) -> String {
        assert_eq!((self.code, self.stdout.as_str()), (Some(code), ""), "{self:?}");
        self.stderr
    }
}

/// Runs a command to its end.
pub fn ended(mut command: Command) -> Ended {
    let output = command.output().unwrap();
    let text = |bytes| String::from_utf8(bytes).expect("output is UTF-8");
    Ended { code: output.status.code(), stdout: text(output.stdout), stderr: text(output.stderr) }
}

/// The lines of a stream, as they come.
#[derive(Clone, Default)]
struct Lines(Arc<Stream>);

#[derive(Default)]
struct Stream {
    /// The lines so far, and whether there will be no more.
    state: Mutex<(Vec<String>, bool)>,
    changed: Condvar,
}

impl Lines {
    fn of(stream: impl Read + Send + 'static) -> Self {
        let lines = Self::default();
        let writer = lines.clone();
        std::thread::spawn(move || {
            for line in BufReader::new(stream).lines() {
                let Ok(line) = line else { break };
                writer.0.state.lock().unwrap().0.push(line);
                writer.0.changed.notify_all();
            }
            writer.0.state.lock().unwrap().1 = true;
            writer.0.changed.notify_all();
        });
        lines
    }

    /// All lines once they satisfy the question; panics when the stream ended or time ran out before.
    fn until(&self, what: &str, mut enough: impl FnMut(&[String]) -> bool) -> Vec<String> {
        let deadline = Instant::now() + PATIENCE;
        let mut state = self.0.state.lock().unwrap();
        loop {
            let (lines, over) = &*state;
            if enough(lines) {
                return lines.clone();
            }
            let left = deadline.saturating_duration_since(Instant::now());
            assert!(!over && !left.is_zero(), "{what} never came:\n{}", lines.join("\n"));
            state = self.0.changed.wait_timeout(state, left).unwrap().0;
        }
    }

    /// All lines of a stream that has ended or is about to.
    fn all(&self) -> Vec<String> {
        let mut state = self.0.state.lock().unwrap();
        while !state.1 {
            state = self.0.changed.wait(state).unwrap();
        }
        state.0.clone()
    }
}

/// `cedargate up` as a process. It is killed when it is dropped.
pub struct Up {
    child: Child,
    stdout: Lines,
    stderr: Lines,
    /// What it said before it served, and how to try it.
    pub greeting: Vec<String>,
    pub url: String,
    pub addr: SocketAddr,
}

impl Up {
    /// Starts it and waits until it serves.
    pub fn start(command: &mut Command) -> Self {
        let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        let stdout = Lines::of(child.stdout.take().unwrap());
        let stderr = Lines::of(child.stderr.take().unwrap());
        // From here on a panic must end it.
        let mut up = Self { child, stdout, stderr, greeting: vec![], url: String::new(), addr: ([0, 0, 0, 0], 0).into() };
        // The last thing it says is how to ask without a token.
        let last = |lines: &[String]| lines.iter().position(|l| l.starts_with("no token")).is_some_and(|at| lines.len() > at + 1);
        up.greeting = up.stderr.until("the greeting", last);
        let line = up.greeting.iter().find_map(|line| line.strip_prefix("cedargate serves ")).expect("it says where it serves");
        up.url = line.to_owned();
        up.addr = line.split_once("://").unwrap().1.parse().unwrap();
        up
    }

    /// The first records, once there are so many of them. Every line of standard output is one.
    pub fn records(&self, count: usize) -> Vec<serde_json::Value> {
        let lines = self.stdout.until("a record", |lines| lines.len() >= count);
        lines.iter().map(|line| serde_json::from_str(line).unwrap_or_else(|e| panic!("{e}: {line}"))).collect()
    }

    /// Sends a signal, by its name without `SIG`.
    pub fn signal(&self, name: &str) {
        let id = self.child.id().to_string();
        let status = Command::new("sh").args(["-c", "kill -s \"$0\" \"$1\"", name, &id]).status().unwrap();
        assert!(status.success(), "kill -s {name} {id}: {status}");
    }

    /// Waits until a line of standard error begins so.
    pub fn says(&self, start: &str) {
        self.stderr.until(start, |lines| lines.iter().any(|line| line.starts_with(start)));
    }

    /// Waits until that many lines of standard error begin so, and returns them.
    pub fn said(&self, start: &str, count: usize) -> Vec<String> {
        let of = |lines: &[String]| lines.iter().filter(|line| line.starts_with(start)).cloned().collect::<Vec<_>>();
        of(&self.stderr.until(start, |lines| of(lines).len() >= count))
    }

    /// Everything it has said so far, as one text.
    pub fn so_far(&self) -> String {
        self.stderr.until("nothing", |_| true).join("\n")
    }

    /// Waits for its end.
    pub fn wait(&mut self) -> ExitStatus {
        self.child.wait().unwrap()
    }

    /// Stops it as Ctrl-C does and returns all it wrote: standard output and standard error.
    pub fn stop(mut self) -> (Vec<String>, Vec<String>) {
        self.signal("INT");
        let status = self.wait();
        let (stdout, stderr) = (self.stdout.all(), self.stderr.all());
        assert_eq!(status.code(), Some(0), "{stderr:?}");
        (stdout, stderr)
    }
}

impl Drop for Up {
    fn drop(&mut self) {
        // One that has ended already cannot be killed.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// `cedargate audit serve` as a process. It is killed when it is dropped.
pub struct Console {
    child: Child,
    pub url: String,
    pub addr: SocketAddr,
}

impl Console {
    /// Starts it and waits until it serves.
    pub fn start(command: &mut Command) -> Self {
        let mut child = command.stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap();
        let stderr = Lines::of(child.stderr.take().unwrap());
        // From here on a panic must end it.
        let mut console = Self { child, url: String::new(), addr: ([0, 0, 0, 0], 0).into() };
        let said = stderr.until("the address", |lines| lines.iter().any(|line| line.starts_with("the console is at ")));
        let line = said.iter().find_map(|line| line.strip_prefix("the console is at ")).unwrap();
        console.url = line.to_owned();
        console.addr = line.split_once("://").unwrap().1.trim_end_matches('/').parse().unwrap();
        console
    }

    /// Writes to its standard input.
    pub fn feed(&self, bytes: &[u8]) {
        let mut stdin = self.child.stdin.as_ref().expect("a pipe");
        stdin.write_all(bytes).and_then(|()| stdin.flush()).unwrap();
    }

    /// Stops it as Ctrl-C does.
    pub fn stop(mut self) {
        let id = self.child.id().to_string();
        assert!(Command::new("sh").args(["-c", "kill -s INT \"$0\"", &id]).status().unwrap().success());
        assert_eq!(self.child.wait().unwrap().code(), Some(0));
    }
}

impl Drop for Console {
    fn drop(&mut self) {
        // One that has ended already cannot be killed.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
