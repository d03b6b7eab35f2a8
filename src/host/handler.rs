//! Instances of the component: made, used again and ended as Spin 4.1 does.

use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use tokio::sync::watch;
use tokio::time::{Sleep, sleep};
use wasmtime::component::GuestTaskId;
use wasmtime::{Store, StoreContextMut, UpdateDeadline};
use wasmtime_wasi_http::handler::{HandlerState, Instance, ShouldAccept, WorkerExpiration, WorkerState, WorkerStatus};

use super::engine::Compiled;
use super::serve::InstanceLimits;
use super::state::{Shared, State};

/// Ticks of the engine for which a guest may compute before others get the thread, so that a request timeout can end it.
const TURN: u64 = 5;

/// How long an instance waits for another request, as under Spin 4.1.
const IDLE: Duration = Duration::from_secs(1);

/// How instances of one server are made.
pub(super) struct Instances {
    pub(super) component: Compiled,
    pub(super) shared: Arc<Shared>,
    pub(super) limits: InstanceLimits,
    /// Its other end goes when another component takes the place of this one.
    pub(super) replaced: watch::Receiver<()>,
}

impl HandlerState for Instances {
    type StoreData = State;
    type WorkerExpiration = Expiration;
    type WorkerState = Worker;

    async fn instantiate(&self) -> wasmtime::Result<Instance<State, Expiration, Worker>> {
        let Self { component, shared, limits, replaced } = self;
        let mut store = Store::new(component.engine(), State::new(shared));
        store.limiter(State::limiter);
        store.set_epoch_deadline(TURN);
        store.epoch_deadline_callback(|_| Ok(UpdateDeadline::Yield(TURN)));
        let proxy = component.pre().instantiate_async(&mut store).await?;
        shared.counters.instances.fetch_add(1, Relaxed);
        Ok(Instance {
            store,
            proxy,
            view: State::arriving,
            expiration: Expiration { limits: limits.clone(), sleep: None, replaced: Some(Box::pin(until_gone(replaced.clone()))) },
            state: Worker { limits: limits.clone(), shared: Arc::clone(shared) },
        })
    }
}

/// Returns when the other end is gone.
async fn until_gone(mut replaced: watch::Receiver<()>) {
    while replaced.changed().await.is_ok() {}
}

/// When an instance ends: idle for too long, or busy with requests that take too long.
pub(super) struct Expiration {
    limits: InstanceLimits,
    sleep: Option<(Instant, Pin<Box<Sleep>>)>,
    /// Ends when the component was replaced; `None` when it has been.
    replaced: Option<Pin<Box<dyn Future<Output = ()> + Send + Sync>>>,
}

impl WorkerExpiration for Expiration {
    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>, status: WorkerStatus, start: Instant) -> Poll<()> {
        let this = self.get_mut();
        if this.replaced.as_mut().is_some_and(|replaced| replaced.as_mut().poll(cx).is_ready()) {
            this.replaced = None;
        }
        let timeout = match status {
            // No request will come any more: it waits no longer than one whose caller chose nothing.
            WorkerStatus::Idle if this.replaced.is_none() => Some(this.limits.idle_timeout.min(IDLE)),
            WorkerStatus::Idle => Some(this.limits.idle_timeout),
            WorkerStatus::Requests | WorkerStatus::PostReturn => this.limits.request_timeout,
        };
        let Some(deadline) = timeout.and_then(|timeout| start.checked_add(timeout)) else { return Poll::Pending };
        let (current, sleep) = this.sleep.get_or_insert_with(|| (deadline, Box::pin(tokio::time::sleep_until(deadline.into()))));
        if *current != deadline {
            *current = deadline;
            sleep.as_mut().reset(deadline.into());
        }
        sleep.as_mut().poll(cx)
    }
}

/// Which requests one instance takes.
pub(super) struct Worker {
    limits: InstanceLimits,
    shared: Arc<Shared>,
}

impl WorkerState for Worker {
    type StoreData = State;
    type RequestData = ();

    fn should_accept_request(&self, concurrent: usize, total: usize) -> ShouldAccept {
        if total >= self.limits.max_reuse {
            ShouldAccept::Never
        } else if concurrent >= self.limits.max_concurrent_reuse {
            ShouldAccept::No
        } else {
            ShouldAccept::Yes
        }
    }

    fn on_request_start(
        &self,
        _: StoreContextMut<'_, State>,
        (): (),
        _: GuestTaskId,
    ) -> Pin<Box<dyn Future<Output = ()> + 'static + Send + Sync>> {
        match self.limits.request_timeout {
            Some(timeout) => Box::pin(sleep(timeout)),
            None => Box::pin(std::future::pending()),
        }
    }

    fn drop(&self, store: Store<State>, result: wasmtime::Result<()>) {
        // The store first: what the instance left on its output comes before what is said about it.
        drop(store);
        self.shared.counters.ended.fetch_add(1, Relaxed);
        if let Err(error) = result {
            // An instance that is dropped where it stands, because the process ends, is reported as a panic too.
            if error.to_string() == "worker panicked" && !std::thread::panicking() {
                return;
            }
            self.shared.counters.failures.fetch_add(1, Relaxed);
            self.shared.tell(&format!("an instance of the component failed: {}", error.root_cause()));
        }
    }
}

impl Default for InstanceLimits {
    /// Spin 4.1's.
    fn default() -> Self {
        Self { max_reuse: 128, max_concurrent_reuse: 16, idle_timeout: IDLE, request_timeout: None, memory_bytes: 128 * 1024 * 1024 }
    }
}
