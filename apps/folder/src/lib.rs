//! A folder or a file with the data of a server, which one process owns.

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
    lock: Lock,
    watched: Vec<Watched>,
}

/// A file that belongs to this process, as [`DataFolder`] is for a folder. The lock is on the file with `-lock` added to its
/// name.
#[derive(Debug)]
pub struct DataFile {
    path: PathBuf,
    lock: Lock,
    watched: Vec<Watched>,
}

/// A locked file.
#[derive(Debug)]
struct Lock {
    path: PathBuf,
    file: File,
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
        let lock = Lock::take(path.join("lock"), "folder")?;
        Ok(DataFolder { path: path.to_owned(), lock, watched: Vec::new() })
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
        self.watched.push(Watched::new(self.path.join(name)));
    }

    /// Checks that the folder is still at its path, and that each watched file is. It takes a system call for each, and two
    /// for the folder.
    ///
    /// # Errors
    /// Returns an error that names the folder, or the file, that was removed or replaced. A server can still write to the
    /// files that it has open, but nobody would find them.
    pub fn check(&self) -> io::Result<()> {
        if !self.lock.is_at_its_path()? {
            return Err(lost(&self.path, "folder"));
        }
        self.watched.iter().try_for_each(Watched::check)
    }
}

impl DataFile {
    /// Takes possession of a file, which need not exist yet. A symbolic link stands for its file.
    ///
    /// # Errors
    /// Returns an error that names the file if another process owns it, or if its folder is not writable.
    pub fn open(path: &Path) -> io::Result<Self> {
        let path = &fs::canonicalize(path).unwrap_or_else(|_| path.to_owned());
        let lock = Lock::take(beside(path, "-lock"), "file").map_err(|error| named(path, &error))?;
        Ok(DataFile { path: path.to_owned(), lock, watched: Vec::new() })
    }

    /// Returns the path of the file.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Lets [`check`](Self::check) look at the file with this suffix added to its name. The server has to have it open, or
    /// to create it later and keep it open. The file itself has an empty suffix.
    pub fn watch(&mut self, suffix: &str) {
        self.watched.push(Watched::new(beside(&self.path, suffix)));
    }

    /// Checks that each watched file is still at its path, and that the lock is. It takes a system call for each, and two for
    /// the lock.
    ///
    /// # Errors
    /// Returns an error that names the file that was removed or replaced.
    pub fn check(&self) -> io::Result<()> {
        if !self.lock.is_at_its_path()? {
            return Err(lost(&self.lock.path, "file"));
        }
        self.watched.iter().try_for_each(Watched::check)
    }
}

/// Returns the path with a suffix added to its name.
fn beside(path: &Path, suffix: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(suffix);
    name.into()
}

impl Lock {
    fn take(path: PathBuf, what: &str) -> io::Result<Self> {
        let file = OpenOptions::new().create(true).truncate(false).write(true).open(&path)?;
        match file.try_lock() {
            Ok(()) => Ok(Lock { path, file }),
            Err(TryLockError::WouldBlock) => {
                Err(io::Error::other(format!("another process uses this {what}")))
            }
            Err(TryLockError::Error(error)) => Err(error),
        }
    }

    fn is_at_its_path(&self) -> io::Result<bool> {
        Ok(identity_at(&self.path) == Some(identity(&self.file.metadata()?)))
    }
}

impl Watched {
    fn new(path: PathBuf) -> Self {
        let file = Cell::new(identity_at(&path));
        Watched { path, file }
    }

    fn check(&self) -> io::Result<()> {
        let found = identity_at(&self.path);
        match self.file.get() {
            None => self.file.set(found),
            known if known == found => {}
            _ => return Err(lost(&self.path, "file")),
        }
        Ok(())
    }
}

fn lost(path: &Path, what: &str) -> io::Error {
    named(path, &io::Error::other(format!("the {what} was removed or replaced")))
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
    use std::{env, os::unix::fs::symlink, process};

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
    fn a_file_has_one_owner() {
        let path = env::temp_dir().join(format!("file-{}", process::id()));
        let mut file = DataFile::open(&path).expect("it is free");
        let error = DataFile::open(&path).expect_err("it has an owner").to_string();
        assert_eq!(error, format!("{}: another process uses this file", path.display()));
        file.watch("");
        file.check().expect("nothing was removed");
        let [linked, link] = ["linked", "link"].map(|suffix| beside(&path, suffix));
        fs::write(&linked, []).expect("create a file");
        symlink(&linked, &link).expect("link it");
        let owner = DataFile::open(&link).expect("it is free");
        DataFile::open(&linked).expect_err("it has an owner");
        drop(owner);
        for file in [beside(&linked, "-lock"), linked, link] {
            fs::remove_file(file).expect("it is there");
        }
        fs::remove_file(beside(&path, "-lock")).expect("remove the lock");
        let error = file.check().expect_err("another process could own the file").to_string();
        assert_eq!(error, format!("{}-lock: the file was removed or replaced", path.display()));
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
