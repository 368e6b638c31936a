//! The signals of the process, on a thread of their own: they are noticed whatever other threads do.
//!
//! | signal | effect |
//! |---|---|
//! | SIGTERM, SIGINT, SIGQUIT | an orderly stop, and at the second one an end at once |
//! | SIGHUP | the configuration is read again |
//! | SIGUSR1, SIGUSR2 | a line in the log |
//! | SIGPIPE | none: the standard library ignores it |

use std::io;
use std::sync::Arc;
use std::thread;

use tokio::runtime::Builder;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::Notify;
use tokio_util::sync::{CancellationToken, DropGuard};

use crate::exit;
use crate::output;

/// The handlers of all signals. While they stand, no signal but SIGKILL ends the process by itself, not even
/// as process 1 of a container.
pub(super) struct Signals {
    stop: CancellationToken,
    reload: Arc<Notify>,
    _thread: DropGuard,
}

impl Signals {
    /// Installs the handlers.
    ///
    /// # Errors
    /// When the system refuses them or the thread.
    pub(super) fn start() -> io::Result<Self> {
        let runtime = Builder::new_current_thread().enable_io().build()?;
        let handlers = {
            let _runtime = runtime.enter();
            Handlers::install()?
        };
        let stop = CancellationToken::new();
        let reload = Arc::<Notify>::default();
        let end = CancellationToken::new();
        let (stopped, reloads, ended) = (stop.clone(), Arc::clone(&reload), end.clone());
        thread::Builder::new().name("signals".into()).spawn(move || {
            let watched = handlers.watch(&stopped, &reloads);
            runtime.block_on(ended.run_until_cancelled(watched));
        })?;
        Ok(Self { stop, reload, _thread: end.drop_guard() })
    }

    /// Cancelled by the first signal to stop.
    pub(super) fn stop(&self) -> &CancellationToken {
        &self.stop
    }

    /// Waits for the next SIGHUP; one that came before counts.
    pub(super) async fn reload(&self) {
        self.reload.notified().await;
    }
}

struct Handlers {
    terminate: Signal,
    interrupt: Signal,
    quit: Signal,
    hang_up: Signal,
    user1: Signal,
    user2: Signal,
}

impl Handlers {
    fn install() -> io::Result<Self> {
        Ok(Self {
            terminate: signal(SignalKind::terminate())?,
            interrupt: signal(SignalKind::interrupt())?,
            quit: signal(SignalKind::quit())?,
            hang_up: signal(SignalKind::hangup())?,
            user1: signal(SignalKind::user_defined1())?,
            user2: signal(SignalKind::user_defined2())?,
        })
    }

    async fn watch(mut self, stop: &CancellationToken, reload: &Notify) {
        loop {
            let (name, code) = tokio::select! {
                _ = self.terminate.recv() => ("SIGTERM", exit::TERMINATED),
                _ = self.interrupt.recv() => ("SIGINT", exit::INTERRUPTED),
                _ = self.quit.recv() => ("SIGQUIT", exit::QUIT),
                _ = self.hang_up.recv() => {
                    if stop.is_cancelled() {
                        tracing::info!("Received SIGHUP: the node is stopping and reads no configuration");
                    } else {
                        reload.notify_one();
                    }
                    continue;
                }
                _ = self.user1.recv() => {
                    tracing::info!("Received SIGUSR1, which icnd has no use for");
                    continue;
                }
                _ = self.user2.recv() => {
                    tracing::info!("Received SIGUSR2, which icnd has no use for");
                    continue;
                }
            };
            if stop.is_cancelled() {
                tracing::warn!(
                    "Received {name} again, stopping at once; the next start replays the log"
                );
                output::exit(code);
            }
            tracing::info!("Received {name}, shutting down gracefully");
            stop.cancel();
        }
    }
}
