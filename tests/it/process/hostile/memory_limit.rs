//! Limits the memory of a program as a container runtime does.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::{fs, io};

const PRLIMIT: &str = "/usr/bin/prlimit";

/// A control group with a memory limit, removed on drop.
pub(super) struct MemoryGroup {
    folder: PathBuf,
}

impl MemoryGroup {
    /// Creates a group; none if the machine or the user's permissions do not allow it.
    pub(super) fn new(bytes_max: u64) -> Option<MemoryGroup> {
        let groups = fs::read_to_string("/proc/self/cgroup").ok()?;
        groups.lines().find_map(|line| {
            let (_, named) = line.split_once(':')?;
            let (controllers, path) = named.split_once(':')?;
            let path = path.trim_start_matches('/');
            let (parent, limit) = if controllers == "memory" {
                (Path::new("/sys/fs/cgroup/memory").join(path), "memory.limit_in_bytes")
            } else if controllers.is_empty() {
                // In version 2 a group with processes cannot have child groups, so it is a sibling.
                (Path::new("/sys/fs/cgroup").join(path).parent()?.to_owned(), "memory.max")
            } else {
                return None;
            };
            MemoryGroup::in_parent(&parent, limit, bytes_max).ok()
        })
    }

    fn in_parent(parent: &Path, limit: &str, bytes_max: u64) -> io::Result<MemoryGroup> {
        let folder = parent.join(format!("savio-relay-test-{}", std::process::id()));
        // Outside the control group file system this would create an ordinary folder.
        if !parent.join("cgroup.procs").exists() {
            return Err(io::ErrorKind::NotFound.into());
        }
        fs::create_dir(&folder)?;
        let group = MemoryGroup { folder };
        // Fails if the controller is not enabled or not writable.
        fs::OpenOptions::new().write(true).open(group.folder.join(limit))?;
        fs::write(group.folder.join(limit), bytes_max.to_string())?;
        Ok(group)
    }

    /// Returns the command as a member of the group, with the same process id.
    pub(super) fn enclose(&self, command: &Command) -> Command {
        let mut enclosed = Command::new("/bin/sh");
        enclosed
            .arg("-c")
            .arg("echo $$ > \"$0\" && exec \"$@\"")
            .arg(self.folder.join("cgroup.procs"))
            .arg(command.get_program())
            .args(command.get_args());
        enclosed
    }
}

impl Drop for MemoryGroup {
    fn drop(&mut self) {
        if let Err(error) = fs::remove_dir(&self.folder) {
            eprintln!("!!! {}: {error}", self.folder.display());
        }
    }
}

/// Returns the command with a limit of the process's data; none if the machine has no `prlimit`.
pub(super) fn with_data_limit(command: &Command, bytes_max: u64) -> Option<Command> {
    if !Path::new(PRLIMIT).exists() {
        return None;
    }
    let mut limited = Command::new(PRLIMIT);
    limited.arg(format!("--data={bytes_max}")).arg(command.get_program());
    limited.args(command.get_args());
    Some(limited)
}
