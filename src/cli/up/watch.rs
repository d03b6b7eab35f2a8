//! `up --watch`: policies and keys that change take the place of those that are served.
//!
//! What crosses in are the two folders and a running server; what crosses out is another component for it, and lines on standard error. A
//! change that is not valid, fails its tests or cannot be sealed changes nothing but those lines: the gate that serves goes on. Nothing
//! that happens here can stop it.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::thread;
use std::time::{Duration, Instant};

use miette::{IntoDiagnostic as _, Report, WrapErr as _};
use wasmtime::Engine;

use super::super::diagnostic::{self, Invalid};
use super::super::files::{self, Folders};
use super::super::output;
use super::super::seal::{refused, write_whole};
use super::super::test::{self, Tests};
use super::super::{archive, lints};
use super::stamps::Stamps;
use crate::bundle::{Bundle, Digest, Gate};
use crate::host::{Compiled, Sealer, Swap, recompiling_engine};

/// How often the folders are looked at, and how long nothing may have happened in them before they are read.
const TICK: Duration = Duration::from_millis(100);
/// Looking takes this part of the time at most, however many files there are.
const SHARE: u32 = 20;
/// Where something happens all the time, the folders are read this often all the same.
const PATIENCE: Duration = Duration::from_secs(2);
/// Most files that are named of one change.
const NAMED: usize = 3;

/// What watching needs.
pub(super) struct Watch {
    pub(super) folders: Folders,
    /// The base component.
    pub(super) base: Vec<u8>,
    /// What is served.
    pub(super) live: Digest,
    pub(super) swap: Swap,
    /// Where what was sealed is kept for the next start.
    pub(super) kept: PathBuf,
    pub(super) archive: PathBuf,
    /// What there is to warn of a gate in this deployment, a line each.
    pub(super) warnings: Box<dyn Fn(&Gate) -> String + Send>,
}

/// Ends the watch when it is dropped; what is being sealed then is served no more.
pub(super) struct Watching(Arc<AtomicBool>);

impl Drop for Watching {
    fn drop(&mut self) {
        self.0.store(true, Relaxed);
    }
}

impl Watch {
    /// Watches on a thread of its own. `component` is what is served.
    ///
    /// # Errors
    /// When there can be no such thread.
    pub(super) fn start(self, component: Vec<u8>) -> miette::Result<Watching> {
        let over = Arc::new(AtomicBool::new(false));
        let watching = Watching(Arc::clone(&over));
        let run = move || {
            let _farewell = Farewell;
            Bench::new(self).run(component, &over);
        };
        thread::Builder::new().name("watch".to_owned()).spawn(run).into_diagnostic().wrap_err("the folders cannot be watched")?;
        Ok(watching)
    }
}

/// Tells when a mistake of this program ends the watch. It never ends what serves.
struct Farewell;

impl Drop for Farewell {
    fn drop(&mut self) {
        if thread::panicking() {
            output::stderr("error: changes are no longer watched; the gate goes on as it is\n");
        }
    }
}

/// Where gates are made from what the folders hold.
struct Bench {
    watch: Watch,
    sealer: Arc<Sealer>,
    /// What was last found in the folders; none when it was not fit to be served.
    found: Option<Digest>,
}

/// What the folders hold, fit to be served.
struct Fit {
    bundle: Bundle,
    gate: Gate,
    /// How its tests went, in words.
    tests: String,
    /// What its authors should look at.
    lints: Invalid,
    /// Of everything that was read, tests and lints included.
    digest: Digest,
}

/// Why what the folders hold is not served.
enum Unfit {
    Error(Report),
    /// Tests fail; what they say.
    Tests(String),
}

impl From<Report> for Unfit {
    fn from(error: Report) -> Self {
        Self::Error(error)
    }
}

impl Unfit {
    fn tell(&self) {
        match self {
            // The exit code is for a command that ends with it.
            Self::Error(error) => {
                let _exit = diagnostic::show(error);
            }
            Self::Tests(failures) => output::stderr(failures),
        }
    }
}

impl Bench {
    fn new(mut watch: Watch) -> Self {
        let base = std::mem::take(&mut watch.base);
        Self { watch, sealer: Arc::new(Sealer::new(base)), found: None }
    }

    fn run(mut self, component: Vec<u8>, over: &AtomicBool) {
        let engine = match recompiling_engine() {
            Ok(engine) => engine,
            Err(error) => return output::stderr(&format!("error: {error}; changes are not watched\n")),
        };
        let mut seen = self.stamps();
        if !self.begin() {
            // It was changed since it was sealed: as if that had happened now.
            seen = Stamps::default();
        }
        self.warm(engine.clone(), component);
        let mut last = seen.clone();
        let mut since = None::<Instant>;
        while !over.load(Relaxed) {
            let looking = Instant::now();
            let now = self.stamps();
            let took = looking.elapsed();
            let settled = now == last;
            last = now;
            if last == seen {
                since = None;
            } else {
                let begun = *since.get_or_insert(looking);
                if settled || begun.elapsed() >= PATIENCE {
                    let changed = names(&last.changed(&seen));
                    // Whatever happens from here on differs from this again.
                    seen = last.clone();
                    since = None;
                    self.change(&engine, &changed, begun, over);
                }
            }
            thread::sleep(TICK.max(took.saturating_mul(SHARE)));
        }
    }

    fn stamps(&self) -> Stamps {
        let Folders { policies, keys, .. } = &self.watch.folders;
        Stamps::of([policies.as_path(), keys.as_path()])
    }

    /// Compiles beside what serves what the first change will need: the base component to be sealed, and the code that all of its
    /// sealed components have. Without, that change takes longer.
    fn warm(&self, engine: Engine, component: Vec<u8>) {
        let sealer = Arc::clone(&self.sealer);
        let warm = move || {
            sealer.prepare();
            drop(Compiled::new(&engine, &component));
        };
        drop(thread::Builder::new().name("warm".to_owned()).spawn(warm));
    }

    /// Says what is watched, and how the tests of what is served go. Whether what the folders hold is what is served.
    fn begin(&mut self) -> bool {
        let Folders { policies, keys, .. } = &self.watch.folders;
        let watching = format!("watching `{}` and `{}`", policies.display(), keys.display());
        match self.read() {
            Ok(fit) if fit.bundle.digest() == self.watch.live => {
                fit.lints.tell();
                output::stderr(&format!("{watching}: {}\n", fit.tests));
                self.found = Some(fit.digest);
                true
            }
            Ok(_) => {
                output::stderr(&format!("{watching}\n"));
                false
            }
            Err(unfit) => {
                unfit.tell();
                output::stderr(&format!("warning: what is served could not go live again as it is\n{watching}\n"));
                true
            }
        }
    }

    /// Takes in a change of these files, as far as it can be.
    fn change(&mut self, engine: &Engine, changed: &str, begun: Instant, over: &AtomicBool) {
        let done = match self.read() {
            // A file was written as it was before, or one that nothing looks at.
            Ok(fit) if self.found == Some(fit.digest) => return,
            Ok(fit) => {
                output::stderr(&format!("changed: {changed}\n"));
                let digest = fit.digest;
                self.replace(engine, fit, begun, over).map(|()| digest).map_err(Unfit::Error)
            }
            Err(unfit) => {
                output::stderr(&format!("changed: {changed}\n"));
                Err(unfit)
            }
        };
        self.found = done.as_ref().ok().copied();
        if let Err(unfit) = done {
            unfit.tell();
            output::stderr(&format!("not live: the gate with policy digest {} goes on\n", self.watch.live));
        }
    }

    /// Reads, checks and tests what the folders hold: once, so that what is tested is what is sealed.
    fn read(&self) -> Result<Fit, Unfit> {
        let folders = &self.watch.folders;
        let Folders { policies, keys, dev } = folders;
        let (bundle, gate) = files::load(policies, keys, *dev)?;
        let (with_lints, lints) = lints::find(folders, bundle.clone())?;
        let tests = Tests::beside(folders, bundle.clone(), gate)?;
        let told = test::all(&tests)?;
        if told.failed > 0 {
            return Err(Unfit::Tests(told.human));
        }
        let digest = Digest::of(&[*tests.digest().as_bytes(), *with_lints.digest().as_bytes()].concat());
        let lints = Invalid::new(policies, keys, with_lints, lints).warnings();
        Ok(Fit { bundle, gate: tests.gate, tests: told.summary(), lints, digest })
    }

    /// Seals what was found and puts it in the place of what serves.
    fn replace(&mut self, engine: &Engine, fit: Fit, begun: Instant, over: &AtomicBool) -> miette::Result<()> {
        let Fit { bundle, gate, tests, lints, .. } = fit;
        lints.tell();
        let digest = bundle.digest();
        if digest == self.watch.live {
            output::stderr(&format!("live as before: policy digest {digest}, {tests}\n"));
            return Ok(());
        }
        let Watch { folders, swap, kept, archive, warnings, .. } = &self.watch;
        let sealed = self.sealer.seal(&bundle).map_err(|error| refused(error, &folders.policies, &folders.keys, bundle.clone()))?;
        let component = Compiled::new(engine, &sealed.component).into_diagnostic()?;
        // Before the first record names it.
        archive::tell(&archive::keep(archive, &bundle));
        if over.load(Relaxed) {
            return Ok(());
        }
        swap.to(component);
        output::stderr(&format!("live after {:.1} s: policy digest {digest}, {tests}\n", begun.elapsed().as_secs_f64()));
        output::stderr(&warnings(&gate));
        if let Err(error) = write_whole(kept, &sealed.component) {
            output::stderr(&format!("warning: the next start will seal again: {error}\n"));
        }
        self.watch.live = digest;
        Ok(())
    }
}

/// The first of some files, and that there are more.
fn names(paths: &[&Path]) -> String {
    let mut names: Vec<String> = paths.iter().take(NAMED).map(|path| path.display().to_string()).collect();
    match paths.len().saturating_sub(NAMED) {
        0 => {}
        more => names.push(format!("{more} more")),
    }
    output::visible(&names.join(", ")).replace(['\n', '\t'], " ")
}
