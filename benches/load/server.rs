//! Servers under load: each a process of its own, all on the same core; and the API behind them.

use std::io::{BufRead, BufReader};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use tokio::io::{AsyncReadExt, AsyncWriteExt};

/// Where both hosts keep what they compiled.
const CACHE: &str = "XDG_CACHE_HOME";
/// How `spin.toml` names the component.
const SOURCE: &str = "\"target/sealed/cedargate.wasm\"";
/// The core of whatever is measured; the load and the origin have the other.
pub const CORE: &str = "0";

/// What a component runs in.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Host {
    /// This project's.
    Own,
    /// The `spin` on the PATH.
    Spin,
}

/// A server, until it is dropped.
pub struct Server {
    pub addr: SocketAddr,
    /// What it runs in; a peer is told of as what this project's host serves.
    pub host: Host,
    /// How long it took to listen.
    pub started: Duration,
    child: Child,
}

impl Drop for Server {
    fn drop(&mut self) {
        // Its own process, by its id; gone already is as good.
        if self.host == Host::Spin {
            // Spin serves from a process that it started, in a group that is theirs alone.
            let _ = Command::new("kill").args(["-TERM", "--", &format!("-{}", self.child.id())]).stderr(Stdio::null()).status();
        } else {
            let _ = self.child.kill();
        }
        let _ = self.child.wait();
    }
}

/// The version of the `spin` that is on the PATH, if one is.
pub fn spin_version() -> Option<String> {
    let output = Command::new("spin").arg("--version").output().ok()?;
    output.status.success().then(|| String::from_utf8_lossy(&output.stdout).trim().to_owned())
}

fn pinned(program: &Path) -> Command {
    let mut command = Command::new("taskset");
    command.args(["-c", CORE]).arg(program).stdin(Stdio::null());
    command
}

/// How instances are used again.
#[derive(Clone, Copy)]
pub struct Reuse {
    pub requests: usize,
    pub at_once: usize,
}

/// What Spin 4.1 does.
pub const SPIN: Reuse = Reuse { requests: 128, at_once: 16 };

/// A component in this project's host, its records in a file that is thrown away. What it compiles is kept in `cache`, if not where the
/// user's is.
pub fn component(file: &Path, origin: SocketAddr, reuse: Reuse, variables: &[(&str, &str)], cache: Option<&Path>) -> Server {
    let mut command = pinned(Path::new(env!("CARGO_BIN_EXE_cedargate")));
    command.envs(cache.map(|cache| (CACHE, cache)));
    let records = file.with_extension("records.jsonl");
    command.args(["up", "--listen", "127.0.0.1:0", "--origin", &format!("http://{origin}"), "--component"]).arg(file);
    command.arg("--from").arg(crate::support::gate::root().join("spin.toml")).arg("--records").arg(&records);
    command.args(["--max-instance-reuse-count", &reuse.requests.to_string()]);
    command.args(["--max-instance-concurrent-reuse-count", &reuse.at_once.to_string()]);
    for (name, value) in variables {
        command.args(["--variable", &format!("{name}={value}")]);
    }
    // A store of its own, which is made beside the component.
    command.current_dir(file.parent().unwrap());
    let began = Instant::now();
    let mut child = command.stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap();
    let mut lines = BufReader::new(child.stderr.take().unwrap()).lines();
    let mut said = vec![];
    let addr = loop {
        let line = lines.next().unwrap_or_else(|| panic!("it does not serve: {said:#?}")).unwrap();
        if let Some(url) = line.strip_prefix("cedargate serves http://") {
            break url.parse().unwrap();
        }
        said.push(line);
    };
    // Whatever else it says is not waited for.
    std::thread::spawn(move || lines.for_each(drop));
    Server { addr, host: Host::Own, started: began.elapsed(), child }
}

/// The application of a component that needs nothing.
const IDLE: &str = "spin_manifest_version = 2\n[application]\nname = \"noop\"\n[[trigger.http]]\nroute = \"/...\"\ncomponent = \"noop\"\n\
                    [component.noop]\nsource = ";

/// A component under Spin, as the application of its folder; its records are Spin's log. A gate is the one that has an origin.
pub fn spin(file: &Path, origin: Option<SocketAddr>, reuse: Reuse, variables: &[(&str, &str)], cache: Option<&Path>) -> Server {
    let folder = file.parent().unwrap();
    let source = format!("{file:?}");
    let manifest = if origin.is_some() {
        let ours = std::fs::read_to_string(crate::support::gate::root().join("spin.toml")).unwrap();
        assert!(ours.contains(SOURCE), "spin.toml names another component");
        ours.replace(SOURCE, &source)
    } else {
        format!("{IDLE}{source}\n")
    };
    let name = folder.join(format!("spin-{}.toml", reuse.requests));
    std::fs::write(&name, manifest).unwrap();
    let port = free_port();
    let mut command = pinned(Path::new("spin"));
    command.envs(cache.map(|cache| (CACHE, cache)));
    command.arg("up").arg("--from").arg(&name).args(["--listen", &format!("127.0.0.1:{port}"), "--quiet", "--state-dir"]);
    command.arg(folder.join(format!("state-{port}")));
    command.args(["--max-instance-reuse-count", &reuse.requests.to_string()]);
    command.args(["--max-instance-concurrent-reuse-count", &reuse.at_once.to_string()]);
    for (name, value) in variables {
        command.env(format!("SPIN_VARIABLE_{}", name.to_uppercase()), value);
    }
    if let Some(origin) = origin {
        command.env("SPIN_VARIABLE_ORIGIN", format!("http://{origin}"));
    }
    let log = std::fs::File::create(folder.join("spin.log")).unwrap();
    command.stdout(log.try_clone().unwrap()).stderr(log).process_group(0);
    let said = || std::fs::read_to_string(folder.join("spin.log")).unwrap_or_default();
    serving(command, port, Host::Spin).unwrap_or_else(|ended| panic!("spin does not serve, it ended with {ended}: {}", said()))
}

fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}

/// Waits until something listens on its port; how it ended, if it did.
fn serving(mut command: Command, port: u16, host: Host) -> Result<Server, ExitStatus> {
    let (addr, began) = (SocketAddr::from(([127, 0, 0, 1], port)), Instant::now());
    let mut child = command.spawn().unwrap();
    // A port of this range may be given to the very connection that asks for it, which then is connected with itself.
    let listens = || TcpStream::connect(addr).is_ok_and(|stream| stream.local_addr().is_ok_and(|own| own != addr));
    while !listens() {
        if let Some(ended) = child.try_wait().unwrap() {
            return Err(ended);
        }
        assert!(began.elapsed() < Duration::from_secs(120), "nothing listens on {addr}");
        std::thread::sleep(Duration::from_millis(20));
    }
    Ok(Server { addr, host, started: began.elapsed(), child })
}

/// A peer of `benches/peers`; none when it is not installed.
pub fn peer(name: &str, origin: SocketAddr, keys: &Path, policies: &Path, issuer: &str, audience: &str, work: &Path) -> Option<Server> {
    let port = free_port();
    let work = work.join(name);
    std::fs::create_dir_all(&work).unwrap();
    let log = std::fs::File::create(work.join("log")).unwrap();
    let mut command = pinned(&crate::support::gate::root().join("benches/peers/serve"));
    command.arg(name).env("PORT", port.to_string()).env("ORIGIN_PORT", origin.port().to_string()).env("KEYS", keys);
    command.env("ISSUER", issuer).env("AUDIENCE", audience).env("POLICIES", policies).env("WORK", &work);
    command.stdout(log.try_clone().unwrap()).stderr(log);
    serving(command, port, Host::Own).inspect_err(|ended| println!("{name}: not measured, it ended with {ended}")).ok()
}

/// An API that answers everything with 200 and two bytes.
pub fn origin() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    listener.set_nonblocking(true).unwrap();
    let addr = listener.local_addr().unwrap();
    std::thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let listener = tokio::net::TcpListener::from_std(listener).unwrap();
            loop {
                let (mut stream, _) = listener.accept().await.unwrap();
                let _ = stream.set_nodelay(true);
                tokio::spawn(async move {
                    let mut buffer = Vec::with_capacity(16 * 1024);
                    while stream.read_buf(&mut buffer).await.is_ok_and(|read| read > 0) {
                        if buffer.ends_with(b"\r\n\r\n") {
                            buffer.clear();
                            if stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok").await.is_err() {
                                return;
                            }
                        }
                    }
                });
            }
        });
    });
    addr
}
