//! Servers under load: each a process of its own, all on the same core; and the API behind them.

use std::io::{BufRead, BufReader};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use tokio::io::{AsyncReadExt, AsyncWriteExt};

/// The core of whatever is measured; the load and the origin have the other.
pub const CORE: &str = "0";

/// A server, until it is dropped.
pub struct Server {
    pub addr: SocketAddr,
    child: Child,
}

impl Drop for Server {
    fn drop(&mut self) {
        // Its own process, by its id; gone already is as good.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
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

/// A component in this project's host, its records in a file that is thrown away.
pub fn component(file: &Path, origin: SocketAddr, reuse: Reuse, variables: &[(&str, &str)]) -> Server {
    let mut command = pinned(Path::new(env!("CARGO_BIN_EXE_cedargate")));
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
    Server { addr, child }
}

/// A peer of `benches/peers`; none when it is not installed.
pub fn peer(name: &str, origin: SocketAddr, keys: &Path, policies: &Path, issuer: &str, audience: &str, work: &Path) -> Option<Server> {
    let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let work = work.join(name);
    std::fs::create_dir_all(&work).unwrap();
    let log = std::fs::File::create(work.join("log")).unwrap();
    let mut command = pinned(&crate::support::gate::root().join("benches/peers/serve"));
    command.arg(name).env("PORT", port.to_string()).env("ORIGIN_PORT", origin.port().to_string()).env("KEYS", keys);
    command.env("ISSUER", issuer).env("AUDIENCE", audience).env("POLICIES", policies).env("WORK", &work);
    let mut child = command.stdout(log.try_clone().unwrap()).stderr(log).spawn().unwrap();
    let (addr, began) = (SocketAddr::from(([127, 0, 0, 1], port)), Instant::now());
    // A port of this range may be given to the very connection that asks for it, which then is connected with itself.
    let listens = || TcpStream::connect(addr).is_ok_and(|stream| stream.local_addr().is_ok_and(|own| own != addr));
    while !listens() {
        if let Some(ended) = child.try_wait().unwrap() {
            println!("{name}: not measured, it ended with {ended}");
            return None;
        }
        assert!(began.elapsed() < Duration::from_secs(60), "{name} does not listen");
        std::thread::sleep(Duration::from_millis(50));
    }
    Some(Server { addr, child })
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
