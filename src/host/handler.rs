//! Instances of the component: made, used again and ended as Spin 4.1 does.

use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use tokio::time::{Sleep, sleep};
use wasmtime::component::GuestTaskId;
use wasmtime::{Store, StoreContextMut, UpdateDeadline};
use wasmtime_wasi_http::handler::{HandlerState, Instance, ShouldAccept, WorkerExpiration, WorkerState, WorkerStatus};

use super::engine::Compiled;
use super::serve::InstanceLimits;
use super::state::{Shared, State};

/// Ticks of the engine for which a guest may compute before others get the thread, so that a request timeout can end it.
const TURN: u64 = 5;

/// How instances of one server are made.
pub(super) struct Instances {
    pub(super) component: Compiled,
    pub(super) shared: Arc<Shared>,
    pub(super) limits: InstanceLimits,
}

impl HandlerState for Instances {
    type StoreData = State;
    type WorkerExpiration = Expiration;
    type WorkerState = Worker;

    async fn instantiate(&self) -> wasmtime::Result<Instance<State, Expiration, Worker>> {
        let Self { component, shared, limits } = self;
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
            expiration: Expiration { limits: limits.clone(), sleep: None },
            state: Worker { limits: limits.clone(), shared: Arc::clone(shared) },
        })
    }
}

/// When an instance ends: idle for too long, or busy with requests that take too long.
pub(super) struct Expiration {
    limits: InstanceLimits,
    sleep: Option<(Instant, Pin<Box<Sleep>>)>,
}

impl WorkerExpiration for Expiration {
    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>, status: WorkerStatus, start: Instant) -> Poll<()> {
        let this = self.get_mut();
        let timeout = match status {
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
        Self {
            max_reuse: 128,
            max_concurrent_reuse: 16,
            idle_timeout: Duration::from_secs(1),
            request_timeout: None,
            memory_bytes: 128 * 1024 * 1024,
        }
    }
}
