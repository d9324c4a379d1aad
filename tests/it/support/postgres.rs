//! A PostgreSQL server in its own folder.

use std::{fs, os::unix::fs::MetadataExt, path::PathBuf, process::Command};

use super::Folder;

/// A server on a unix socket, which needs no free port. Dropping it stops the server.
pub(crate) struct Postgres {
    folder: Folder,
    programs: PathBuf,
}

impl Postgres {
    pub(crate) fn start() -> Self {
        let versions =
            fs::read_dir("/usr/lib/postgresql").expect("PostgreSQL is installed (tests/run installs it)");
        let newest = versions.map(|version| version.expect("a folder").path()).max().expect("a version");
        let postgres = Postgres { folder: Folder::new(), programs: newest.join("bin") };
        if is_root() {
            run(Command::new("chown").arg("postgres").arg(postgres.folder.path()));
        }
        let mut initdb = postgres.program("initdb");
        run(initdb.args(["--auth", "trust", "--username", "test", "--no-sync", "-D"]).arg(postgres.data()));
        postgres.up();
        postgres
    }

    /// Starts the server.
    pub(crate) fn up(&self) {
        let options = format!("-c listen_addresses= -c fsync=off -k {}", self.folder.path().display());
        let log = self.folder.path().join("log");
        let mut start = self.program("pg_ctl");
        run(start.args(["start", "-w", "-o", &options, "-l"]).arg(log).arg("-D").arg(self.data()));
    }

    /// Stops the server at once, without a clean shutdown.
    pub(crate) fn down(&self) {
        run(self.program("pg_ctl").args(["stop", "-m", "immediate", "-D"]).arg(self.data()));
    }

    pub(crate) fn url(&self) -> String {
        format!("postgres://test@localhost/postgres?host={}", self.folder.path().display())
    }

    /// Returns a command for a program of PostgreSQL, which refuses to run as root.
    fn program(&self, name: &str) -> Command {
        let path = self.programs.join(name);
        let mut command = if is_root() { Command::new("runuser") } else { Command::new(&path) };
        if is_root() {
            command.args(["-u", "postgres", "--"]).arg(path);
        }
        command.current_dir("/");
        command
    }

    /// Returns a command that runs the SQL from its standard input.
    pub(crate) fn psql(&self) -> Command {
        let mut psql = self.program("psql");
        psql.args(["--quiet", "--no-psqlrc", "--username", "test", "--dbname", "postgres", "--host"]);
        psql.arg(self.folder.path());
        psql
    }

    /// Returns the only value of a query.
    pub(crate) fn answer(&self, sql: &str) -> String {
        let output =
            self.psql().args(["--tuples-only", "--no-align", "--command", sql]).output().expect("psql");
        String::from_utf8_lossy(&output.stdout).trim().to_owned()
    }

    fn data(&self) -> PathBuf {
        self.folder.path().join("data")
    }
}

impl Drop for Postgres {
    fn drop(&mut self) {
        // The server may be down already.
        let _ = self.program("pg_ctl").args(["stop", "-m", "immediate", "-D"]).arg(self.data()).output();
    }
}

fn is_root() -> bool {
    fs::metadata("/proc/self").is_ok_and(|this| this.uid() == 0)
}

fn run(command: &mut Command) {
    // The server would inherit pipes and keep them open.
    let status = command.stdout(std::process::Stdio::null()).stderr(std::process::Stdio::null()).status();
    assert!(status.expect("it can be run").success(), "{command:?}");
}
