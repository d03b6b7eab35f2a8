//! Why the host could not do its work.

use std::net::SocketAddr;
use std::path::PathBuf;

/// Why the host could not do its work. These are faults of the machine or of the caller's files, never of a request.
#[derive(Debug, thiserror::Error)]
pub enum HostError {
    /// The wasm engine could not be made.
    #[error("the wasm engine could not be started: {0}")]
    Engine(String),
    /// The bytes are not a component this host can serve.
    #[error("the component cannot be served: {0}")]
    Component(String),
    /// The address cannot be listened on.
    #[error("cannot listen on `{address}`: {source}")]
    Listen {
        /// The address asked for.
        address: SocketAddr,
        /// What the system said.
        source: std::io::Error,
    },
    /// A file could not be read or written.
    #[error("`{}`: {source}", path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// Certificate and key do not make a TLS server.
    #[error("TLS cannot be used: {0}")]
    Tls(String),
    /// The key-value store could not be opened.
    #[error("the key-value store cannot be opened: {0}")]
    KeyValue(String),
}
