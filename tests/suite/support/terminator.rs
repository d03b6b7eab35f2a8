//! nginx and HAProxy as children of a test, with the blocks of `docs/terminators.md` as their configuration, and clients for them.

use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use rcgen::ExtendedKeyUsagePurpose;
use tempfile::TempDir;

use super::client::{Request, TEST_ID};
use super::gate::{NOW, root};
use super::pki::{Authority, SECRET, SECRET_FIELD, Subject};

const DAY: i64 = 86_400;

/// A block of `docs/terminators.md`: the first of this kind in this section. What the page shows is what runs here.
pub fn block(section: &str, kind: &str) -> String {
    let page = std::fs::read_to_string(root().join("docs/terminators.md")).unwrap();
    let (_, rest) = page.split_once(&format!("\n## {section}\n")).unwrap_or_else(|| panic!("no section {section}"));
    let section = rest.split("\n## ").next().unwrap();
    let (_, rest) = section.split_once(&format!("\n```{kind}\n")).unwrap_or_else(|| panic!("no block {kind}"));
    rest.split_once("\n```").unwrap().0.to_owned()
}

/// A text with places of the page replaced by places of this test; each must be there.
pub fn placed(mut text: String, changes: &[(&str, &str)]) -> String {
    for (from, to) in changes {
        assert!(text.contains(from), "`{from}` is not in\n{text}");
        text = text.replace(from, to);
    }
    text
}

/// A program of the system, or what to do when it is not there. Never skipped: a suite that says nothing tested nothing.
fn program(name: &str) -> PathBuf {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let folders = std::env::split_paths(&path).chain(["/usr/local/sbin", "/usr/sbin", "/sbin"].map(PathBuf::from));
    let found = folders.map(|folder| folder.join(name)).find(|file| file.is_file());
    found.unwrap_or_else(|| panic!("`{name}` is not installed: run `scripts/setup-tests`, or as root `apt-get install {name}`"))
}

/// A folder with everything a terminator and its clients need in files.
pub struct Files {
    folder: TempDir,
    /// The authority of the terminator's own certificate.
    server: Authority,
    pub suite: Authority,
}

impl Files {
    pub fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let long = |subject: Subject| subject.valid(NOW - 2_000 * DAY, NOW + 4_000 * DAY);
        let server = Authority::root(long(Subject::new(NOW, "Server root")));
        let subject = long(Subject::new(NOW, "localhost")).dns("localhost").ip([127, 0, 0, 1]);
        let certified = subject.extended_key_usages(&[ExtendedKeyUsagePurpose::ServerAuth]).issued_by(&server);
        let files = Self { folder, server, suite: Authority::suite() };
        files.write("server-root.pem", &files.server.certified.pem());
        files.write("client-ca.pem", &files.suite.certified.pem());
        files.write("server.key", &certified.key.serialize_pem());
        files.write("server.pem", &certified.pem());
        // HAProxy wants both in one file.
        files.write("both.pem", &format!("{}{}", certified.pem(), certified.key.serialize_pem()));
        files
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    pub fn write(&self, name: &str, text: &str) {
        std::fs::write(self.path(name), text).unwrap();
    }

    /// A client's certificate that is valid at the gate's time and, for terminators that look at it, now.
    pub fn client(&self, name: &str, authority: &Authority) -> &Self {
        let certified = Subject::workload(NOW, name).valid(NOW - 2_000 * DAY, NOW + 4_000 * DAY).issued_by(authority);
        self.write(&format!("{name}.pem"), &certified.pem());
        self.write(&format!("{name}.key"), &certified.key.serialize_pem());
        self
    }

    fn text(&self) -> &str {
        self.folder.path().to_str().unwrap()
    }
}

/// A terminator as a child of this process. It is ended when it is dropped.
pub struct Terminator {
    child: Child,
    addr: SocketAddr,
    log: PathBuf,
}

impl Terminator {
    /// Starts `command(address)` on a free port and waits until it listens there. The port could be taken by somebody else
    /// in the moment between; then there is another.
    fn start(files: &Files, mut command: impl FnMut(SocketAddr) -> Command) -> Self {
        let log = files.path("terminator.log");
        for _ in 0..5 {
            let addr = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
            let output = std::fs::File::create(&log).unwrap();
            let mut command = command(addr);
            let child = command.stdin(Stdio::null()).stdout(output.try_clone().unwrap()).stderr(output).spawn().unwrap();
            let mut this = Self { child, addr, log: log.clone() };
            let deadline = Instant::now() + Duration::from_secs(60);
            while Instant::now() < deadline {
                if this.child.try_wait().unwrap().is_some() {
                    break;
                }
                if TcpStream::connect_timeout(&addr, Duration::from_secs(1)).is_ok() {
                    return this;
                }
                std::thread::sleep(Duration::from_millis(20));
            }
        }
        panic!("the terminator does not start:\n{}", std::fs::read_to_string(&log).unwrap_or_default());
    }

    /// Asks with `curl`, with the certificate of this name or without.
    pub fn curl(&self, files: &Files, request: &Request, client: Option<&str>) -> Answered {
        let mut command = Command::new(program("curl"));
        command.args(["-sS", "--max-time", "60", "--noproxy", "*", "-o"]).arg(files.path("body"));
        command.args(["-w", "%{http_code} %header{cedargate-decision-id}", "--cacert"]).arg(files.path("server-root.pem"));
        if let Some(name) = client {
            command.arg("--cert").arg(files.path(&format!("{name}.pem"))).arg("--key").arg(files.path(&format!("{name}.key")));
        }
        command.arg("-H").arg(format!("{TEST_ID}: {}", request.id));
        for (name, value) in &request.headers {
            command.arg("-H").arg(format!("{name}: {}", String::from_utf8_lossy(value)));
        }
        let output = command.arg(format!("https://localhost:{}{}", self.addr.port(), request.target)).output().unwrap();
        assert!(output.status.success(), "{output:?}\n{}", std::fs::read_to_string(&self.log).unwrap_or_default());
        let text = String::from_utf8(output.stdout).unwrap();
        let (status, decision) = text.split_once(' ').unwrap();
        Answered { status: status.parse().unwrap(), decision: decision.to_owned() }
    }
}

impl Drop for Terminator {
    fn drop(&mut self) {
        // It has no children of its own: this one process is all of it.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// What a client behind a terminator got.
#[derive(Debug)]
pub struct Answered {
    pub status: u16,
    pub decision: String,
}

/// nginx with the page's server in front of a gate.
pub fn nginx(files: &Files, gate: SocketAddr) -> Terminator {
    let binary = program("nginx");
    files.write("secret.conf", &format!("proxy_set_header {SECRET_FIELD} \"{SECRET}\";\n"));
    Terminator::start(files, |addr| {
        let server = placed(
            block("nginx", "nginx"),
            &[
                ("listen 443 ssl", &format!("listen {addr} ssl")),
                ("/etc/nginx/gate/", &format!("{}/", files.text())),
                ("127.0.0.1:3000", &gate.to_string()),
            ],
        );
        // Everything that would lie in folders of the system lies in the test's.
        let temporary: String =
            ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"].iter().map(|name| format!("    {name}_temp_path {name};\n")).collect();
        files.write(
            "nginx.conf",
            &format!(
                "daemon off;\nmaster_process off;\npid nginx.pid;\nerror_log stderr;\nevents {{}}\nhttp {{\n    access_log off;\n{temporary}{server}\n}}\n"
            ),
        );
        let mut command = Command::new(&binary);
        command.arg("-p").arg(files.folder.path()).args(["-c", "nginx.conf", "-e", "stderr"]);
        command
    })
}

/// HAProxy with the page's frontend in front of a gate.
pub fn haproxy(files: &Files, gate: SocketAddr, changes: &[(&str, &str)]) -> Terminator {
    let binary = program("haproxy");
    Terminator::start(files, |addr| {
        let text = placed(
            block("HAProxy", "haproxy"),
            &[
                ("bind :443", &format!("bind {addr}")),
                ("/etc/haproxy/gate/server.pem", files.path("both.pem").to_str().unwrap()),
                ("/etc/haproxy/gate/", &format!("{}/", files.text())),
                ("127.0.0.1:3000", &gate.to_string()),
            ],
        );
        let text = placed(text, changes);
        files.write(
            "haproxy.cfg",
            &format!("defaults\n    timeout connect 10s\n    timeout client 60s\n    timeout server 60s\n\n{text}\n"),
        );
        let mut command = Command::new(&binary);
        command.args(["-db", "-f"]).arg(files.path("haproxy.cfg")).env("TERMINATOR_SECRET", SECRET);
        command
    })
}
