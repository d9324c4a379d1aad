//! A file system that is soon full.

use std::{path::Path, process::Command};

use super::Folder;

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
