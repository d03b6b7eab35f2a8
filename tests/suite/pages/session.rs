//! One shell that does what a page says, and what it prints.

use std::fs::{self, File};
use std::io::{BufRead, BufReader, Write};
use std::net::TcpListener;
use std::path::PathBuf;
use std::process::{Child, ChildStdin, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::time::{Duration, Instant};

use super::super::support::gate::{base_path, root};
use super::super::support::process::Project;
use super::page::Command;

/// Longest wait for a command: one may seal on a busy machine.
const PATIENCE: Duration = Duration::from_secs(600);
/// Stands for anything: in a line for a part of it, alone for any number of lines.
const ELLIPSIS: char = '…';
/// The ports that commands listen on unless told otherwise. A session has its own, and the page shows these.
const PORTS: [&str; 2] = ["3000", "8484"];

pub struct Session {
    project: Project,
    scratch: tempfile::TempDir,
    shell: Child,
    /// To the shell.
    to: Option<ChildStdin>,
    /// A line for each command that has ended.
    ended: Receiver<String>,
    ports: [String; 2],
    background: Vec<u32>,
    count: usize,
}

impl Session {
    pub fn start(project: Project) -> Self {
        let ports = PORTS.map(|_| TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port().to_string());
        let command = PathBuf::from(env!("CARGO_BIN_EXE_cedargate"));
        let path = format!("{}:{}", command.parent().unwrap().display(), std::env::var("PATH").unwrap());
        let mut shell = project.shell();
        shell
            .env("PATH", path)
            .env("PAGES", root().join("tests/data/pages"))
            .env("CEDARGATE_BASE", base_path())
            .env("SPIN_HTTP_LISTEN_ADDR", format!("127.0.0.1:{}", ports[0]))
            .env("TERM", "dumb");
        let mut shell = shell.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
        let (sender, ended) = channel();
        let lines = BufReader::new(shell.stdout.take().unwrap()).lines();
        std::thread::spawn(move || lines.map_while(Result::ok).try_for_each(|line| sender.send(line)));
        let to = shell.stdin.take();
        Self { project, scratch: tempfile::tempdir().unwrap(), shell, to, ended, ports, background: vec![], count: 0 }
    }

    /// Writes a file of the page.
    pub fn file(&self, path: &str, text: &str, append: bool) {
        let path = self.project.path(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        let mut file = if append { File::options().append(true).open(&path).unwrap() } else { File::create(&path).unwrap() };
        // What is added is a paragraph of its own.
        write!(file, "{}{text}", if append { "\n" } else { "" }).unwrap();
    }

    pub fn run(&mut self, command: &Command) -> Said {
        self.count += 1;
        let log = self.scratch.path().join(self.count.to_string());
        let mut text = command.background().unwrap_or(&command.text).to_owned();
        if text.contains("cedargate audit serve ") && !text.contains("--port") {
            text.push_str(&format!(" --port {}", PORTS[1]));
        }
        for (known, own) in PORTS.iter().zip(&self.ports) {
            text = text
                .replace(&format!("127.0.0.1:{known}"), &format!("127.0.0.1:{own}"))
                .replace(&format!("--port {known}"), &format!("--port {own}"));
        }
        let log_name = log.display();
        let to = self.to.as_mut().unwrap();
        if command.background().is_some() {
            writeln!(to, "{text} >'{log_name}' 2>&1 </dev/null &\necho \"$!\"").unwrap();
            let id = self.ended.recv_timeout(PATIENCE).expect("the shell goes on");
            self.background.push(id.parse().expect("a process id"));
            // It is ready when it has said what the page says.
            let deadline = Instant::now() + PATIENCE;
            loop {
                let said = self.said(&log, 0);
                if said.matches(&command.output) || Instant::now() > deadline || (command.output.is_empty() && !said.lines.is_empty()) {
                    return if command.output.is_empty() { Said { lines: vec![], code: 0 } } else { said };
                }
                std::thread::sleep(Duration::from_millis(20));
            }
        }
        writeln!(to, "{{ {text}\n}} >'{log_name}' 2>&1 </dev/null\necho \"$?\"").unwrap();
        let code = self.ended.recv_timeout(PATIENCE).unwrap_or_else(|_| panic!("{}: no end of it", command.text));
        self.said(&log, code.parse().expect("an exit code"))
    }

    fn said(&self, log: &PathBuf, code: i32) -> Said {
        let mut text = String::from_utf8_lossy(&fs::read(log).unwrap_or_default()).replace('\r', "");
        for (known, own) in PORTS.iter().zip(&self.ports) {
            text = text.replace(&format!(":{own}"), &format!(":{known}"));
        }
        let mut lines: Vec<String> = text.lines().map(|line| line.trim_end().to_owned()).collect();
        if code != 0 {
            lines.push(format!("(exit code {code})"));
        }
        while lines.last().is_some_and(String::is_empty) {
            lines.pop();
        }
        Said { lines, code }
    }

    /// Ends what still runs, and the shell.
    pub fn end(mut self) {
        self.stop();
    }

    fn stop(&mut self) {
        for id in self.background.drain(..) {
            // One that has ended already cannot be told to.
            let _ = std::process::Command::new("sh").args(["-c", "kill -s INT \"$0\" 2>/dev/null", &id.to_string()]).status();
        }
        // Without input it ends, and waits for nothing.
        drop(self.to.take());
        let _ = self.shell.wait();
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        self.stop();
    }
}

/// What a command printed on both streams, as the page would have it.
pub struct Said {
    lines: Vec<String>,
    code: i32,
}

impl Said {
    pub fn ok(&self) -> bool {
        self.code == 0
    }

    pub fn lines(&self) -> &[String] {
        &self.lines
    }

    /// Whether the page says so.
    pub fn matches(&self, page: &[String]) -> bool {
        lines_match(trimmed(page), &self.lines)
    }

    /// What to write into the page: what it has already where that is right, and else what was printed, without what is new every time.
    pub fn written_like(&self, page: &[String]) -> Vec<String> {
        let mut old = trimmed(page).iter();
        let mut written = vec![];
        for line in &self.lines {
            let mut rest = old.clone();
            match rest.find(|pattern| pattern.chars().ne([ELLIPSIS]) && line_matches(pattern, line)) {
                Some(pattern) => {
                    old = rest;
                    written.push(pattern.clone());
                }
                None => written.push(shortened(line)),
            }
        }
        // An empty line before what follows stays.
        written.extend(page[trimmed(page).len()..].iter().cloned());
        written
    }
}

/// Without empty lines at the end.
fn trimmed(mut lines: &[String]) -> &[String] {
    while let Some((last, rest)) = lines.split_last()
        && last.trim().is_empty()
    {
        lines = rest;
    }
    lines
}

fn lines_match(page: &[String], lines: &[String]) -> bool {
    match page.split_first() {
        None => lines.is_empty(),
        Some((pattern, rest)) if pattern.trim().chars().eq([ELLIPSIS]) => (0..=lines.len()).any(|skip| lines_match(rest, &lines[skip..])),
        Some((pattern, rest)) => lines.split_first().is_some_and(|(line, others)| line_matches(pattern, line) && lines_match(rest, others)),
    }
}

fn line_matches(pattern: &str, line: &str) -> bool {
    let mut parts = pattern.trim_end().split(ELLIPSIS);
    let Some(mut rest) = line.strip_prefix(parts.next().unwrap_or_default()) else { return false };
    let mut parts = parts.peekable();
    if parts.peek().is_none() {
        return rest.is_empty();
    }
    while let Some(part) = parts.next() {
        if parts.peek().is_none() {
            return rest.ends_with(part);
        }
        match rest.split_once(part) {
            Some((_, after)) => rest = after,
            None => return false,
        }
    }
    true
}

/// Digests, ids and tokens by how they begin.
fn shortened(line: &str) -> String {
    let mut out = String::new();
    let is_word = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_');
    let mut rest = line;
    while let Some(start) = rest.find(is_word) {
        let (before, from) = rest.split_at(start);
        let (word, after) = from.split_at(from.find(|c| !is_word(c)).unwrap_or(from.len()));
        out.push_str(before);
        let is_id = word.len() == 36 && word.matches('-').count() == 4;
        let is_long = word.len() >= 40 && word.chars().any(|c| c.is_ascii_digit());
        out.push_str(if is_id || is_long { &word[..8] } else { word });
        if is_id || is_long {
            out.push(ELLIPSIS);
        }
        rest = after;
    }
    out + rest
}

#[test]
fn a_page_may_leave_out_what_is_new_every_time_and_nothing_else() {
    let strings = |lines: &[&str]| lines.iter().map(|line| (*line).to_owned()).collect::<Vec<_>>();
    let matches = |page: &[&str], lines: &[&str]| Said { lines: strings(lines), code: 0 }.matches(&strings(page));
    assert!(matches(&["ok: 27 policies, policy digest 8f9b…", ""], &["ok: 27 policies, policy digest 8f9b1234"]));
    assert!(!matches(&["ok: 27 policies, policy digest 8f9b…"], &["ok: 26 policies, policy digest 8f9b1234"]));
    assert!(!matches(&["policy digest …, 3 tests"], &["policy digest abc, 4 tests"]));
    assert!(matches(&["…"], &[]) && matches(&["…"], &["a", "b"]) && matches(&["a", "…", "c"], &["a", "b", "b", "c"]));
    assert!(
        !matches(&["a", "…", "c"], &["a", "b"]) && !matches(&["a"], &["a", "b"]) && !matches(&["a", "b"], &["a"]) && !matches(&[], &["a"])
    );
    let said = Said { lines: strings(&["same 12", "id 01a1fbed-4276-761a-aa05-f7d9524ea860.", "new"]), code: 0 };
    assert_eq!(said.written_like(&strings(&["same …", "old", ""])), ["same …", "id 01a1fbed….", "new", ""]);
}
