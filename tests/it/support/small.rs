//! A small file system for tests with a full disk.

use std::{path::Path, process::Command};

use super::{Folder, RawClient};

/// A small file system in memory, mounted on a folder. Dropping it unmounts the file system.
#[derive(Debug)]
pub(crate) struct SmallDisk(Folder);

impl SmallDisk {
    /// Returns the folder.
    pub(crate) fn path(&self) -> &Path {
        self.0.path()
    }

    /// Mounts a file system of `megabytes` MiB.
    pub(crate) fn mount(megabytes: usize) -> Self {
        let folder = Folder::new();
        let size = format!("size={megabytes}m");
        let mount =
            Command::new("mount").args(["-t", "tmpfs", "-o", &size, "tmpfs"]).arg(folder.path()).status();
        assert!(
            mount.is_ok_and(|status| status.success()),
            "this test needs the rights to mount a file system"
        );
        SmallDisk(folder)
    }

    /// Mounts the file system again with the mode `ro` or `rw`.
    pub(crate) fn remount(&self, mode: &str) {
        let options = format!("remount,{mode}");
        let mount = Command::new("mount").args(["-o", &options]).arg(self.0.path()).status();
        assert!(mount.is_ok_and(|status| status.success()));
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("--lazy").arg(self.0.path()).status();
    }
}

/// Sends requests until the server refuses one. Returns the number of accepted requests, and the error.
pub(crate) fn until_refused(
    client: &mut RawClient,
    mut request: impl FnMut(usize) -> Vec<u8>,
) -> (usize, String) {
    for number in 0.. {
        let reply = client.ask(request(number));
        if reply.starts_with(b"-") {
            return (number, String::from_utf8_lossy(&reply).into_owned());
        }
        assert!(number < 10_000, "the disk does not become full");
    }
    unreachable!("the disk does not become full")
}
