//! The kind of file system that a store is on.

use std::fs;
use std::path::Path;

/// Network file systems, on which SQLite's locks and writes are not reliable.
const REMOTE: [&str; 11] = [
    "9p",
    "afs",
    "ceph",
    "cifs",
    "fuse.glusterfs",
    "fuse.sshfs",
    "lustre",
    "ncpfs",
    "nfs",
    "nfs4",
    "smb3",
];
/// File systems that are lost with the machine's memory or with the container.
const VOLATILE: [&str; 3] = ["overlay", "ramfs", "tmpfs"];

/// List of mounted file systems on Linux.
const MOUNTS: &str = "/proc/self/mountinfo";

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum FileSystem {
    Local(String),
    Remote(String),
    Volatile(String),
}

impl FileSystem {
    /// Returns the file system of a folder; none if the system does not tell.
    pub fn of(folder: &Path) -> Option<FileSystem> {
        let path = folder.canonicalize().unwrap_or_else(|_| folder.to_owned());
        let mounts = fs::read_to_string(MOUNTS).unwrap_or_default();
        let kind = kind_of(&mounts, &path)?;
        let name = kind.to_owned();
        Some(match kind {
            kind if REMOTE.contains(&kind) => FileSystem::Remote(name),
            kind if VOLATILE.contains(&kind) => FileSystem::Volatile(name),
            _ => FileSystem::Local(name),
        })
    }
}

/// Returns the file system of the longest mount point that contains the path.
fn kind_of<'m>(mounts: &'m str, path: &Path) -> Option<&'m str> {
    let mount = |line: &'m str| {
        let (head, tail) = line.split_once(" - ")?;
        // proc_pid_mountinfo(5): the fifth field is the mount point, with spaces escaped; the type
        // follows ` - `.
        let point = head.split(' ').nth(4)?.replace("\\040", " ");
        let kind = tail.split(' ').next()?;
        path.starts_with(&point).then_some((point.len(), kind))
    };
    // Of two mounts at one point, the later one hides the other; `max_by_key` returns the last.
    let nearest = mounts.lines().filter_map(mount).max_by_key(|(length, _)| *length)?;
    Some(nearest.1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn longest_mount_point_determines_the_file_system() {
        let mounts = "22 1 8:1 / / rw - ext4 /dev/sda1 rw\n\
                      30 22 0:40 / /data rw shared:1 - nfs4 host:/x rw\n\
                      31 22 0:41 / /my\\040disk rw - xfs /dev/sdb rw\n";

        let check = |path: &str, kind| assert_eq!(kind_of(mounts, Path::new(path)), kind, "{path}");

        check("/data/relay", Some("nfs4"));
        check("/database", Some("ext4"));
        check("/my disk/a", Some("xfs"));
        assert_eq!(kind_of("", Path::new("/")), None);
    }
}
