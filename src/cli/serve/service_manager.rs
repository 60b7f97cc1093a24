//! Tells the service manager (systemd's `Type=notify`) when the relay is ready, reloads and stops,
//! how it is, and that it still works. Without one, nothing happens.

mod notify_socket;
mod status;
mod watchdog;

use std::pin::pin;
use std::time::Duration;

use tokio::time::{sleep, timeout};

use crate::relay::{Relay, ReloadStep};
use crate::secret::Environment;
use notify_socket::{Notification, NotifySocket};
use watchdog::Watchdog;

/// Time between two extensions of the start, and the time that each of them asks for.
// Without an end: whoever kills a migration lets the next start begin it anew. What could last for
// ever, a store that is locked, fails by itself after five seconds.
const EXTENSION_INTERVAL: Duration = Duration::from_secs(10);
const EXTENSION: Duration = Duration::from_secs(30);

/// Time that a stop may take beside `server.shutdown_timeout`: the second in which the store is
/// closed, and a margin.
const STOP_MARGIN: Duration = Duration::from_secs(5);

/// Time between two looks at the relay for its status.
const STATUS_INTERVAL: Duration = Duration::from_secs(5);

/// The service manager that started the relay, if it wants to hear of it.
pub(super) struct ServiceManager(Option<Subscriber>);

struct Subscriber {
    socket: NotifySocket,
    watchdog: Option<Watchdog>,
}

impl ServiceManager {
    /// Finds it by `NOTIFY_SOCKET`, and the watchdog by `WATCHDOG_USEC`.
    pub(super) fn of(environment: &Environment) -> ServiceManager {
        let socket = NotifySocket::of(environment);
        let watchdog = Watchdog::of(environment);
        ServiceManager(socket.map(|socket| Subscriber { socket, watchdog }))
    }

    /// Waits for the start, for which the service manager gives more time meanwhile.
    pub(super) async fn starting<T>(&self, start: impl Future<Output = T>) -> T {
        let mut start = pin!(start);
        loop {
            self.send(&[
                Notification::ExtendTimeout(EXTENSION),
                Notification::Status("starting; after an upgrade the store is migrated first"),
            ]);
            if let Ok(started) = timeout(EXTENSION_INTERVAL, &mut start).await {
                return started;
            }
        }
    }

    pub(super) async fn ready(&self, relay: &Relay) {
        if let Some(Subscriber { socket, .. }) = &self.0 {
            let status = status::of(relay).await;
            socket.send(&[Notification::Ready, Notification::Status(&status)]);
        }
    }

    /// Reports the status of the relay whenever it changes, and that it works; never returns.
    pub(super) async fn follow(&self, relay: &Relay) {
        let Some(Subscriber { socket, watchdog }) = &self.0 else {
            return std::future::pending().await;
        };
        // Side by side: the status reads the store, which may take seconds.
        tokio::join!(report_status(socket, relay), async {
            if let Some(watchdog) = watchdog {
                watchdog.run(socket, async |within| relay.silent_parts(within).await).await;
            }
        });
    }

    /// Reports a step of a reload.
    pub(super) fn reload(&self, step: ReloadStep) {
        match step {
            // In one message, by which systemd tells this reload from an earlier one.
            ReloadStep::Started => self.send(&[Notification::Reloading, Notification::Now]),
            ReloadStep::Ended => self.send(&[Notification::Ready]),
        }
    }

    /// Reports that a stop begins, which takes hardly longer than `shutdown_timeout`.
    pub(super) fn stopping(&self, shutdown_timeout: Duration) {
        let seconds = shutdown_timeout.as_secs_f32().ceil();
        let status = format!("stopping; requests in progress have up to {seconds} s to finish");
        self.send(&[
            Notification::Stopping,
            Notification::ExtendTimeout(shutdown_timeout.saturating_add(STOP_MARGIN)),
            Notification::Status(&status),
        ]);
    }

    fn send(&self, notifications: &[Notification<'_>]) {
        if let Some(Subscriber { socket, .. }) = &self.0 {
            socket.send(notifications);
        }
    }
}

async fn report_status(socket: &NotifySocket, relay: &Relay) {
    let mut last = String::new();
    loop {
        let status = status::of(relay).await;
        if status != last {
            socket.send(&[Notification::Status(&status)]);
            last = status;
        }
        sleep(STATUS_INTERVAL).await;
    }
}
