//! The socket by which a service tells its service manager about itself: the protocol of systemd's
//! sd_notify(3), which others speak as well.

use std::fmt;
use std::io::{self, ErrorKind};
use std::os::unix::net::{SocketAddr, UnixDatagram};
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use rustix::io::Errno;
use rustix::time::{ClockId, clock_gettime};
use tracing::{info, warn};

use crate::file;
use crate::secret::Environment;

const VARIABLE: &str = "NOTIFY_SOCKET";

/// Longest wait for a service manager that does not read its socket.
const SEND_TIMEOUT: Duration = Duration::from_secs(1);

/// One assignment of a message.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Notification<'n> {
    /// The start, or a reload, has ended.
    Ready,
    Reloading,
    /// The time by the clock of the system, for a reload.
    Now,
    Stopping,
    /// The service works.
    Watchdog,
    /// One line for people.
    Status(&'n str),
    /// The start or the stop, whichever is under way, takes this much longer.
    ExtendTimeout(Duration),
}

impl fmt::Display for Notification<'_> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Notification::Ready => formatter.write_str("READY=1"),
            Notification::Reloading => formatter.write_str("RELOADING=1"),
            Notification::Now => {
                let now = clock_gettime(ClockId::Monotonic);
                write!(formatter, "MONOTONIC_USEC={}", now.tv_sec * 1_000_000 + now.tv_nsec / 1000)
            }
            Notification::Stopping => formatter.write_str("STOPPING=1"),
            Notification::Watchdog => formatter.write_str("WATCHDOG=1"),
            Notification::Status(line) => write!(formatter, "STATUS={line}"),
            Notification::ExtendTimeout(time) => {
                write!(formatter, "EXTEND_TIMEOUT_USEC={}", time.as_micros())
            }
        }
    }
}

/// The socket that `NOTIFY_SOCKET` names.
// Not the crate sd-notify (0.5): it takes an abstract socket (`@name`) for a file, reads the
// process's environment itself, and waits without end for a socket that nobody reads.
pub(super) struct NotifySocket {
    name: String,
    is_failing: AtomicBool,
}

impl NotifySocket {
    pub(super) fn of(environment: &Environment) -> Option<NotifySocket> {
        let name = environment.get(VARIABLE).filter(|name| !name.is_empty())?.to_owned();
        Some(NotifySocket { name, is_failing: AtomicBool::new(false) })
    }

    /// Sends the assignments in one message. A failure is logged once, until it works again.
    pub(super) fn send(&self, notifications: &[Notification<'_>]) {
        let lines: Vec<String> = notifications.iter().map(ToString::to_string).collect();
        let result = self.try_send(&lines.join("\n"));
        let was_failing = self.is_failing.swap(result.is_err(), Ordering::Relaxed);
        match (result, was_failing) {
            (Err(error), false) => warn!(
                "the state of the relay cannot be reported to the service manager: the socket {} \
                 ({VARIABLE}): {}. The relay goes on, but systemd ends a service with `Type=notify` \
                 that does not report",
                self.name,
                self.explain(&error)
            ),
            (Ok(()), true) => {
                info!("the state of the relay is reported to the service manager again");
            }
            (Err(_), true) | (Ok(()), false) => {}
        }
    }

    fn try_send(&self, message: &str) -> io::Result<()> {
        // A new socket for each message: what reads the other end may have been restarted.
        let socket = UnixDatagram::unbound()?;
        // Once is enough: the wait blocks a thread of all parts.
        if self.is_failing.load(Ordering::Relaxed) {
            socket.set_nonblocking(true)?;
        }
        socket.set_write_timeout(Some(SEND_TIMEOUT))?;
        socket.send_to_addr(message.as_bytes(), &address(&self.name)?)?;
        Ok(())
    }

    fn explain(&self, error: &io::Error) -> String {
        match error.kind() {
            ErrorKind::ConnectionRefused => "no program listens on it".to_owned(),
            ErrorKind::WouldBlock | ErrorKind::TimedOut => {
                format!("nobody has read from it for {SEND_TIMEOUT:?}")
            }
            ErrorKind::InvalidInput => "it is neither an absolute path nor `@NAME`".to_owned(),
            // Not `file::explain`, which advises to create a file.
            ErrorKind::NotFound => "there is no such socket".to_owned(),
            _ if [Errno::PROTOTYPE, Errno::NOTSOCK]
                .map(|it| Some(it.raw_os_error()))
                .contains(&error.raw_os_error()) =>
            {
                "it is no datagram socket, as a service manager has".to_owned()
            }
            _ => file::explain(error, Path::new(&self.name)),
        }
    }
}

fn address(name: &str) -> io::Result<SocketAddr> {
    match name.strip_prefix('@') {
        Some(name) => abstract_address(name),
        None if name.starts_with('/') => SocketAddr::from_pathname(name),
        None => Err(ErrorKind::InvalidInput.into()),
    }
}

#[cfg(target_os = "linux")]
fn abstract_address(name: &str) -> io::Result<SocketAddr> {
    use std::os::linux::net::SocketAddrExt;

    SocketAddr::from_abstract_name(name)
}

#[cfg(not(target_os = "linux"))]
fn abstract_address(_: &str) -> io::Result<SocketAddr> {
    Err(ErrorKind::InvalidInput.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn message_is_written_as_systemd_reads_it() {
        for (notification, expected) in [
            (Notification::Ready, "READY=1"),
            (Notification::Reloading, "RELOADING=1"),
            (Notification::Stopping, "STOPPING=1"),
            (Notification::Watchdog, "WATCHDOG=1"),
            (Notification::Status("3 sources are live"), "STATUS=3 sources are live"),
            (
                Notification::ExtendTimeout(Duration::from_millis(1500)),
                "EXTEND_TIMEOUT_USEC=1500000",
            ),
        ] {
            assert_eq!(notification.to_string(), expected);
        }
    }

    fn socket(path: &Path) -> NotifySocket {
        let variable = (VARIABLE.to_owned(), path.display().to_string());
        NotifySocket::of(&Environment::from([variable])).unwrap()
    }

    #[test]
    fn unusable_socket_is_called_what_it_is() {
        let folder = tempfile::tempdir().unwrap();
        let stream = folder.path().join("stream");
        let _listener = std::os::unix::net::UnixListener::bind(&stream).unwrap();
        let missing = folder.path().join("no/such/socket");
        for (path, expected) in [
            (&stream, "it is no datagram socket, as a service manager has"),
            (&missing, "there is no such socket"),
        ] {
            let socket = socket(path);
            let error = socket.try_send("READY=1").unwrap_err();
            assert_eq!(socket.explain(&error), expected);
        }
    }

    #[test]
    fn socket_that_nobody_reads_is_waited_for_once() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("notify");
        let _reader = UnixDatagram::bind(&path).unwrap();
        let socket = socket(&path);
        let line = "x".repeat(1000);
        while !socket.is_failing.load(Ordering::Relaxed) {
            socket.send(&[Notification::Status(&line)]);
        }

        let start = std::time::Instant::now();
        for _ in 0..5 {
            socket.send(&[Notification::Watchdog]);
        }

        assert!(start.elapsed() < SEND_TIMEOUT, "{:?}", start.elapsed());
    }

    #[test]
    fn only_paths_and_abstract_names_are_addresses() {
        for name in ["/run/systemd/notify", "@relay"] {
            assert!(address(name).is_ok(), "{name}");
        }
        let long = format!("/{}", "a".repeat(200));
        for name in ["notify", "vsock:2:1234", long.as_str()] {
            assert_eq!(address(name).unwrap_err().kind(), ErrorKind::InvalidInput, "{name}");
        }
    }
}
