//! A folder with the data of a server, which one process owns.

use std::{
    fs::{self, File, Metadata, OpenOptions, TryLockError},
    io,
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
};

/// A folder that belongs to this process. Dropping it, or the end of the process, releases the folder.
///
/// The owner holds a lock on the file `lock` in the folder. The kernel releases the lock when the process ends, however
/// it ends, so the file may stay.
#[derive(Debug)]
pub struct DataFolder {
    path: PathBuf,
    lock: File,
}

impl DataFolder {
    /// Takes possession of a folder, and creates it if it does not exist.
    ///
    /// # Errors
    /// Returns an error that names the folder if another process owns it, or if it is not writable.
    pub fn open(path: &Path) -> io::Result<Self> {
        Self::take(path).map_err(|error| named(path, &error))
    }

    fn take(path: &Path) -> io::Result<Self> {
        fs::create_dir_all(path)?;
        // The lock file may be writable in a folder that is not.
        let test = path.join("write-test");
        fs::write(&test, [])?;
        fs::remove_file(test)?;
        let lock = OpenOptions::new().create(true).truncate(false).write(true).open(path.join("lock"))?;
        match lock.try_lock() {
            Ok(()) => Ok(DataFolder { path: path.to_owned(), lock }),
            Err(TryLockError::WouldBlock) => Err(io::Error::other("another process uses this folder")),
            Err(TryLockError::Error(error)) => Err(error),
        }
    }

    /// Returns the path of the folder.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Checks that the folder is still at its path. It takes one system call or two.
    ///
    /// # Errors
    /// Returns an error that names the folder if it was removed or replaced. A server can still write to the files that
    /// it has open, but nobody would find them.
    pub fn check(&self) -> io::Result<()> {
        let identity = |file: Metadata| (file.dev(), file.ino());
        let ours = identity(self.lock.metadata()?);
        match fs::metadata(self.path.join("lock")).map(identity) {
            Ok(found) if found == ours => Ok(()),
            _ => Err(named(&self.path, &io::Error::other("the folder was removed or replaced"))),
        }
    }
}

fn named(path: &Path, error: &io::Error) -> io::Error {
    io::Error::new(error.kind(), format!("{}: {error}", path.display()))
}

#[cfg(test)]
mod tests {
    use std::{env, process};

    use super::*;

    #[test]
    fn a_folder_has_one_owner_and_stays_in_its_place() {
        let path = env::temp_dir().join(format!("folder-{}", process::id()));
        let folder = DataFolder::open(&path).expect("it is free");
        let error = DataFolder::open(&path).expect_err("it has an owner").to_string();
        assert_eq!(error, format!("{}: another process uses this folder", path.display()));
        folder.check().expect("it is there");
        fs::remove_dir_all(&path).expect("remove it");
        folder.check().expect_err("it was removed");
        let other = DataFolder::open(&path).expect("it is another folder");
        folder.check().expect_err("it was replaced");
        other.check().expect("it is there");
        drop(other);
        DataFolder::open(&path).expect("it was released");
        fs::remove_dir_all(&path).expect("remove it");
    }
}
