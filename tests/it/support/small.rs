//! A file system that is soon full.

use std::{path::Path, process::Command};

use super::{Folder, RawClient};

/// A small file system in memory, mounted in a folder.
#[derive(Debug)]
pub(crate) struct Small(Folder);

impl Small {
    /// The folder.
    pub(crate) fn path(&self) -> &Path {
        self.0.path()
    }

    /// Of so many megabytes.
    pub(crate) fn mount(megabytes: usize) -> Self {
        let folder = Folder::new();
        let size = format!("size={megabytes}m");
        let mount =
            Command::new("mount").args(["-t", "tmpfs", "-o", &size, "tmpfs"]).arg(folder.path()).status();
        assert!(
            mount.is_ok_and(|status| status.success()),
            "this test needs the rights to mount a file system"
        );
        Small(folder)
    }

    /// Whether it can be written to.
    pub(crate) fn remount(&self, mode: &str) {
        let options = format!("remount,{mode}");
        let mount = Command::new("mount").args(["-o", &options]).arg(self.0.path()).status();
        assert!(mount.is_ok_and(|status| status.success()));
    }
}

impl Drop for Small {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("--lazy").arg(self.0.path()).status();
    }
}

/// Sends a request after the other until one is refused; returns how many were not, and the refusal.
pub(crate) fn until_refused(
    client: &mut RawClient,
    mut request: impl FnMut(usize) -> Vec<u8>,
) -> (usize, String) {
    for number in 0.. {
        let reply = client.ask(request(number));
        if reply.starts_with(b"-") {
            return (number, String::from_utf8_lossy(&reply).into_owned());
        }
        assert!(number < 10_000, "it never becomes full");
    }
    unreachable!("it never becomes full")
}
