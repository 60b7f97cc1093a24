//! Who runs a command, for the audit: `USER@HOST`.

use std::path::Path;

use rustix::process::getuid;
use rustix::system::uname;

use crate::file;
use crate::store::{Actor, AuditVia};

const FILE_BYTES_MAX: usize = 1024 * 1024;

/// What the kernel has as the login user of a process that nobody logged in for, as of a service.
const NO_LOGIN: u32 = u32::MAX;

/// Returns who runs this command.
pub(super) fn operator() -> Actor {
    // The user who logged in, whom `sudo` and `su` leave as it is; a variable such as USER could
    // say anything.
    let login = read("/proc/self/loginuid").and_then(|text| text.trim().parse().ok());
    let uid = login.filter(|uid| *uid != NO_LOGIN).unwrap_or(getuid().as_raw());
    let users = read("/etc/passwd").unwrap_or_default();
    let user = name_of(uid, &users).map_or_else(|| format!("uid {uid}"), str::to_owned);
    let host = uname();
    Actor::new(&format!("{user}@{}", host.nodename().to_string_lossy()), AuditVia::Cli)
}

fn read(path: &str) -> Option<String> {
    String::from_utf8(file::read(Path::new(path), FILE_BYTES_MAX).ok()?).ok()
}

/// Returns the name of a user in the text of `/etc/passwd`.
fn name_of(uid: u32, users: &str) -> Option<&str> {
    users.lines().find_map(|line| {
        let mut fields = line.split(':');
        let (name, id) = (fields.next()?, fields.nth(1)?);
        (id.parse() == Ok(uid)).then_some(name)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn user_is_found_by_the_uid() {
        let users = "root:x:0:0:root:/root:/bin/sh\nbroken\nops:x:1000:100::/home/ops:/bin/sh\n";
        assert_eq!(name_of(0, users), Some("root"));
        assert_eq!(name_of(1000, users), Some("ops"));
        assert_eq!(name_of(100, users), None);
    }

    #[test]
    fn operator_has_a_user_and_a_host() {
        let Actor { who, via } = operator();
        let (user, host) = who.split_once('@').unwrap();
        assert!(!user.is_empty() && !host.is_empty() && via == AuditVia::Cli, "{who}");
    }
}
