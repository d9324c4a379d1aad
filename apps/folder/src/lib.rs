//! A folder with the data of a server, which one process owns.

use std::{
    cell::Cell,
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
    watched: Vec<Watched>,
}

/// A file that has to stay at its path.
#[derive(Debug)]
struct Watched {
    path: PathBuf,
    /// The file that was found there first.
    file: Cell<Option<Identity>>,
}

/// Device and inode: no other file has both while a process has the file open.
type Identity = (u64, u64);

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
            Ok(()) => Ok(DataFolder { path: path.to_owned(), lock, watched: Vec::new() }),
            Err(TryLockError::WouldBlock) => Err(io::Error::other("another process uses this folder")),
            Err(TryLockError::Error(error)) => Err(error),
        }
    }

    /// Returns the path of the folder.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Lets [`check`](Self::check) look at a file as well. The server has to have it open, or to create it later and keep
    /// it open.
    ///
    /// `name` is the path of the file within the folder.
    pub fn watch(&mut self, name: impl AsRef<Path>) {
        let path = self.path.join(name);
        let file = Cell::new(identity_at(&path));
        self.watched.push(Watched { path, file });
    }

    /// Checks that the folder is still at its path, and that each watched file is. It takes a system call for each, and two
    /// for the folder.
    ///
    /// # Errors
    /// Returns an error that names the folder, or the file, that was removed or replaced. A server can still write to the
    /// files that it has open, but nobody would find them.
    pub fn check(&self) -> io::Result<()> {
        let lost =
            |path, what| Err(named(path, &io::Error::other(format!("the {what} was removed or replaced"))));
        let ours = identity(&self.lock.metadata()?);
        if identity_at(&self.path.join("lock")) != Some(ours) {
            return lost(&self.path, "folder");
        }
        for watched in &self.watched {
            let found = identity_at(&watched.path);
            match watched.file.get() {
                None => watched.file.set(found),
                known if known == found => {}
                _ => return lost(&watched.path, "file"),
            }
        }
        Ok(())
    }
}

fn identity(file: &Metadata) -> Identity {
    (file.dev(), file.ino())
}

fn identity_at(path: &Path) -> Option<Identity> {
    fs::metadata(path).ok().map(|file| identity(&file))
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

    #[test]
    fn a_watched_file_stays_in_its_place() {
        let path = env::temp_dir().join(format!("folder-watched-{}", process::id()));
        let mut folder = DataFolder::open(&path).expect("it is free");
        let [file, moved] = ["file", "moved"].map(|name| path.join(name));
        let _open = File::create(&file).expect("create it");
        folder.watch("file");
        folder.watch("later");
        folder.check().expect("it is there");
        fs::rename(&file, &moved).expect("move it");
        let error = folder.check().expect_err("it was removed").to_string();
        assert_eq!(error, format!("{}: the file was removed or replaced", file.display()));
        fs::write(&file, []).expect("replace it");
        folder.check().expect_err("it was replaced");
        fs::rename(&moved, &file).expect("move it back");
        folder.check().expect("it is there");
        let _later = File::create(path.join("later")).expect("create it");
        folder.check().expect("it is there now");
        fs::remove_file(path.join("later")).expect("remove it");
        folder.check().expect_err("it was removed");
        fs::remove_dir_all(&path).expect("remove it");
    }
}
