//! An address on which the program cannot listen, with the setting that chose it and what to do.

use std::io::{self, ErrorKind};
use std::net::SocketAddr;

use rustix::process::geteuid;

#[derive(Debug, thiserror::Error)]
#[error("cannot listen on {address} ({}): {}", setting_names(setting), reason(*address, error))]
pub struct BindError {
    pub address: SocketAddr,
    /// The setting or option that chose the address, such as `server.listen`.
    pub setting: &'static str,
    pub error: io::Error,
}

/// First port for which no privilege is needed on most systems.
const UNPRIVILEGED_PORT: u16 = 1024;

/// Returns the setting, with the environment variable that overrides it.
fn setting_names(setting: &str) -> String {
    match setting.split_once('.') {
        Some((section, key)) => {
            let variable = format!("SAVIO_RELAY_{section}__{key}").to_uppercase();
            format!("`{setting}` or {variable}")
        }
        None => setting.to_owned(),
    }
}

fn reason(address: SocketAddr, error: &io::Error) -> String {
    let (ip, port) = (address.ip(), address.port());
    match error.kind() {
        ErrorKind::AddrInUse => format!(
            "another program uses this port. `ss -ltnp sport = :{port}`, run as root, names it; end it, or \
             choose another port"
        ),
        ErrorKind::AddrNotAvailable => format!(
            "this machine has no address {ip}. Choose one of its own, or {} for all of them",
            if ip.is_ipv4() { "0.0.0.0" } else { "[::]" }
        ),
        ErrorKind::PermissionDenied if port < UNPRIVILEGED_PORT => format!(
            "user {} may not use ports below {UNPRIVILEGED_PORT}. Choose a higher one and let a reverse proxy \
             have port {port}, or give the program the capability CAP_NET_BIND_SERVICE",
            geteuid().as_raw()
        ),
        _ => format!("{error}. Choose another address"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(kind: ErrorKind, address: &str, parts: &[&str]) {
        let address = address.parse().unwrap();
        let text = BindError { address, setting: "server.listen", error: kind.into() }.to_string();
        let names =
            format!("cannot listen on {address} (`server.listen` or SAVIO_RELAY_SERVER__LISTEN): ");
        assert!(text.starts_with(&names), "{text}");
        for part in parts {
            assert!(text.contains(part), "{part} in {text}");
        }
    }

    #[test]
    fn reason_says_what_to_do() {
        check(
            ErrorKind::AddrInUse,
            "127.0.0.1:8080",
            &["another program", ":8080", "another port"],
        );
        check(ErrorKind::AddrNotAvailable, "192.0.2.1:1", &["no address 192.0.2.1", "0.0.0.0"]);
        check(ErrorKind::AddrNotAvailable, "[2001:db8::1]:1", &["no address 2001:db8::1", "[::]"]);
        check(ErrorKind::PermissionDenied, "0.0.0.0:80", &["below 1024", "CAP_NET_BIND_SERVICE"]);
        check(ErrorKind::PermissionDenied, "0.0.0.0:8080", &["permission denied"]);
    }
}
