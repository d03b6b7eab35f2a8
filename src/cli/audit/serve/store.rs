//! The index: what is asked of records, in a SQLite file that is gone with the console. The records themselves stay in their
//! logs; the index only knows where.
//!
//! `r` has a row for each record, in the order of time, with numbers where records repeat the same text (`s`). `cube` counts
//! decisions by what they have in common, in steps of several lengths: figures over a million records are read from it. Where a
//! question goes further, rows are looked at, and indexes find those that are rare.

use std::fs::{self, DirBuilder};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use miette::{IntoDiagnostic as _, WrapErr as _, miette};
use ring::rand::SecureRandom as _;
use rusqlite::{Connection, OpenFlags};

use crate::bundle::hex;

pub(super) use super::writer::Writer;

/// The lengths of steps that are counted, in milliseconds. Longer ones are sums of these.
pub(super) const LEVELS: [i64; 5] = [30_000, 120_000, 600_000, 3_600_000, 21_600_000];

/// `decision` of a row.
pub(super) const ALLOW: i64 = 1;
/// And the other one; 0 is neither. The partial indexes name it too.
pub(super) const DENY: i64 = 2;

/// `fault` of a row: not verified, authentic; from 2 on the faults.
pub(super) const UNVERIFIED: i64 = 0;
pub(super) const AUTHENTIC: i64 = 1;

const SCHEMA: &str = "
    PRAGMA journal_mode = WAL;
    CREATE TABLE s (id INTEGER PRIMARY KEY, text TEXT NOT NULL UNIQUE);
    INSERT INTO s VALUES (0, '');
    -- Principals by their id alone, and sets of policies by each of them.
    CREATE TABLE alias (name TEXT NOT NULL, id INTEGER NOT NULL, PRIMARY KEY (name, id)) WITHOUT ROWID;
    CREATE TABLE member (policy TEXT NOT NULL, id INTEGER NOT NULL, PRIMARY KEY (policy, id)) WITHOUT ROWID;
    CREATE TABLE r (
        t INTEGER NOT NULL, id INTEGER NOT NULL,
        kind INTEGER NOT NULL, decision INTEGER NOT NULL, reason INTEGER NOT NULL, status INTEGER NOT NULL, region INTEGER NOT NULL,
        method INTEGER NOT NULL, host INTEGER NOT NULL, principal INTEGER NOT NULL, client INTEGER NOT NULL, digest INTEGER NOT NULL,
        policies INTEGER NOT NULL, total INTEGER NOT NULL, fault INTEGER NOT NULL, path TEXT NOT NULL,
        PRIMARY KEY (t, id)
    ) WITHOUT ROWID;
    CREATE INDEX r_principal ON r (principal);
    CREATE INDEX r_client ON r (client);
    CREATE INDEX r_path ON r (path);
    CREATE INDEX r_reason ON r (reason);
    CREATE INDEX r_policies ON r (policies);
    CREATE INDEX r_status ON r (status);
    CREATE INDEX r_host ON r (host);
    -- All that is asked of denials, in the order of time.
    CREATE INDEX r_denied ON r (t, id, kind, reason, status, region, method, host, principal, client, digest, policies, fault, path)
        WHERE decision = 2;
    CREATE INDEX r_fault ON r (fault) WHERE fault > 1;
    CREATE INDEX r_denied_principal ON r (principal, reason, region, status) WHERE decision = 2;
    CREATE INDEX r_denied_path ON r (path, reason, region, status) WHERE decision = 2;
    CREATE TABLE line (
        id INTEGER PRIMARY KEY, t INTEGER NOT NULL, decision_id TEXT NOT NULL, trace TEXT NOT NULL,
        source INTEGER NOT NULL, number INTEGER NOT NULL, start INTEGER NOT NULL, length INTEGER NOT NULL, hash INTEGER NOT NULL, raw TEXT
    );
    CREATE INDEX line_decision ON line (decision_id) WHERE decision_id <> '';
    CREATE INDEX line_trace ON line (trace) WHERE trace <> '';
    CREATE TABLE cube (
        level INTEGER NOT NULL, step INTEGER NOT NULL, region INTEGER NOT NULL, decision INTEGER NOT NULL, reason INTEGER NOT NULL,
        class INTEGER NOT NULL, digest INTEGER NOT NULL, n INTEGER NOT NULL, times BLOB NOT NULL,
        PRIMARY KEY (level, step, region, decision, reason, class, digest)
    ) WITHOUT ROWID;
";

/// For every connection. Nothing is kept beyond the process, so nothing has to survive a crash.
const SETTINGS: &str = "PRAGMA synchronous = OFF; PRAGMA temp_store = MEMORY; PRAGMA cache_size = -65536; PRAGMA mmap_size = 2147483648;";

/// A folder of its own, which nobody else may look into, and which is removed.
#[derive(Debug)]
struct Folder(PathBuf);

impl Folder {
    fn new() -> miette::Result<Self> {
        let mut random = [0_u8; 16];
        ring::rand::SystemRandom::new().fill(&mut random).map_err(|_| miette!("the machine gives no random numbers"))?;
        let name = hex(&random);
        let path = std::env::temp_dir().join(format!("cedargate-console-{name}"));
        let mut builder = DirBuilder::new();
        #[cfg(unix)]
        std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
        // One that is there already is somebody else's: that is an error.
        builder.create(&path).into_diagnostic().wrap_err_with(|| format!("`{}` cannot be made", path.display()))?;
        Ok(Self(path))
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        // There is nobody left to tell.
        drop(fs::remove_dir_all(&self.0));
    }
}

/// The index of one console.
#[derive(Debug)]
pub(super) struct Store {
    /// Readers that are free.
    readers: Mutex<Vec<Connection>>,
    file: PathBuf,
    // Dropped last.
    _folder: Folder,
}

impl Store {
    /// An empty one.
    pub(super) fn new() -> miette::Result<(Self, Writer)> {
        let folder = Folder::new()?;
        let file = folder.0.join("index.db");
        let connection = open(&file, OpenFlags::default()).into_diagnostic().wrap_err("the index cannot be made")?;
        connection.execute_batch(SCHEMA).into_diagnostic().wrap_err("the index cannot be made")?;
        Ok((Self { readers: Mutex::default(), file, _folder: folder }, Writer::new(connection)))
    }

    /// Asks something of what was committed. Several may at once, also while records are added.
    pub(super) fn read<T>(&self, ask: impl FnOnce(&Connection) -> rusqlite::Result<T>) -> rusqlite::Result<T> {
        let free = self.readers.lock().unwrap_or_else(PoisonError::into_inner).pop();
        let reader = match free {
            Some(reader) => reader,
            None => open(&self.file, OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX)?,
        };
        // One state of the index for all of the question.
        let transaction = reader.unchecked_transaction()?;
        let answer = ask(&transaction);
        drop(transaction);
        self.readers.lock().unwrap_or_else(PoisonError::into_inner).push(reader);
        answer
    }
}

fn open(file: &Path, flags: OpenFlags) -> rusqlite::Result<Connection> {
    let connection = Connection::open_with_flags(file, flags)?;
    connection.execute_batch(SETTINGS)?;
    connection.set_prepared_statement_cache_capacity(64);
    Ok(connection)
}

/// The text of a number.
pub(super) fn text(connection: &Connection, id: i64) -> rusqlite::Result<String> {
    connection.prepare_cached("SELECT text FROM s WHERE id = ?1")?.query_row([id], |row| row.get(0))
}

#[cfg(test)]
#[path = "store_tests.rs"]
mod tests;
