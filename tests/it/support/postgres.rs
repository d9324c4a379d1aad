//! A PostgreSQL server in its own folder.

use std::{
    fs,
    os::unix::fs::{MetadataExt, PermissionsExt},
    path::PathBuf,
    process::Command,
};

use super::{Folder, eventually, on_free_ports};

/// A server on a unix socket, which needs no free port. Dropping it stops the server.
pub(crate) struct Postgres {
    folder: Folder,
    programs: PathBuf,
    /// Its port, if it listens on 127.0.0.1 too.
    port: Option<String>,
}

impl Postgres {
    pub(crate) fn start() -> Self {
        let postgres = Self::new();
        let mut initdb = postgres.program("initdb");
        run(initdb.args(["--auth", "trust", "--username", "test", "--no-sync", "-D"]).arg(postgres.data()));
        postgres.up();
        postgres
    }

    /// Starts a server that also accepts encrypted connections from 127.0.0.1, of users with passwords.
    pub(crate) fn with_tls(certificate: &str, key: &str) -> Self {
        let mut postgres = Self::new();
        let mut initdb = postgres.program("initdb");
        run(initdb.args(["--auth", "trust", "--username", "test", "--no-sync", "-D"]).arg(postgres.data()));
        for (file, name) in [(certificate, "server.crt"), (key, "server.key")] {
            let copy = postgres.data().join(name);
            fs::copy(file, &copy).expect("it can be copied");
            fs::set_permissions(&copy, fs::Permissions::from_mode(0o600)).expect("the file is ours");
            if is_root() {
                run(Command::new("chown").arg("postgres").arg(&copy));
            }
        }
        let rules = "local all all trust\nhostssl all all 127.0.0.1/32 scram-sha-256\n";
        fs::write(postgres.data().join("pg_hba.conf"), rules).expect("it can be written");
        on_free_ports(|[port]| {
            postgres.port = Some(port);
            postgres.try_up().then_some(())
        });
        postgres
    }

    /// Returns a URL for an encrypted connection, with these options.
    pub(crate) fn tls_url(&self, user: &str, host: &str, options: &str) -> String {
        let port = self.port.as_deref().expect("it listens on a port");
        format!("postgres://{user}@{host}:{port}/postgres?{options}")
    }

    /// Starts a standby, which gets each commit of this server before the commit ends.
    pub(crate) fn standby(&self) -> Self {
        let standby = Self::new();
        let mut copy = self.program("pg_basebackup");
        copy.args([
            "--write-recovery-conf",
            "--checkpoint",
            "fast",
            "--no-sync",
            "--username",
            "test",
            "--host",
        ]);
        run(copy.arg(self.folder.path()).arg("-D").arg(standby.data()));
        standby.up();
        self.answer("ALTER SYSTEM SET synchronous_standby_names = '*'");
        self.answer("SELECT pg_reload_conf()");
        eventually(|| (self.answer("SELECT sync_state FROM pg_stat_replication") == "sync").then_some(()));
        standby
    }

    /// Makes the standby a primary.
    pub(crate) fn promote(&self) {
        run(self.program("pg_ctl").args(["promote", "-w", "-D"]).arg(self.data()));
    }

    /// Kills the server, without a shutdown.
    pub(crate) fn kill(&self) {
        let file = fs::read_to_string(self.data().join("postmaster.pid")).expect("it runs");
        run(Command::new("kill").args(["-KILL", file.lines().next().expect("a process id")]));
        // Its other processes end when they notice this. They would refuse the next start.
        eventually(|| {
            let mut status = self.program("pg_isready");
            (!status
                .arg("--quiet")
                .arg("--host")
                .arg(self.folder.path())
                .status()
                .is_ok_and(|status| status.success()))
            .then_some(())
        });
    }

    /// Stops all processes of the server, so that it no longer answers.
    pub(crate) fn freeze(&self) {
        self.signal("-STOP");
    }

    /// Lets the processes of a frozen server go on.
    pub(crate) fn thaw(&self) {
        self.signal("-CONT");
    }

    fn signal(&self, signal: &str) {
        let Ok(file) = fs::read_to_string(self.data().join("postmaster.pid")) else { return };
        let pid = file.lines().next().expect("a process id");
        let children = fs::read_to_string(format!("/proc/{pid}/task/{pid}/children")).unwrap_or_default();
        let pids = [pid].into_iter().chain(children.split_whitespace());
        // A process may have ended meanwhile.
        succeeds(Command::new("kill").arg(signal).args(pids));
    }

    /// Starts a server that was killed, as a read-only standby of nothing.
    pub(crate) fn up_as_standby(&self) {
        fs::write(self.data().join("standby.signal"), []).expect("it can be written");
        eventually(|| self.try_up().then_some(()));
    }

    /// Returns the path of its socket.
    pub(crate) fn socket(&self) -> PathBuf {
        self.folder.path().join(".s.PGSQL.5432")
    }

    /// Returns the path of its socket's folder for a URL.
    pub(crate) fn host(&self) -> String {
        self.folder.path().display().to_string().replace('/', "%2F")
    }

    fn new() -> Self {
        let versions =
            fs::read_dir("/usr/lib/postgresql").expect("PostgreSQL is installed (tests/run installs it)");
        let newest = versions.map(|version| version.expect("a folder").path()).max().expect("a version");
        let postgres = Postgres { folder: Folder::new(), programs: newest.join("bin"), port: None };
        if is_root() {
            run(Command::new("chown").arg("postgres").arg(postgres.folder.path()));
        }
        postgres
    }

    /// Starts the server.
    pub(crate) fn up(&self) {
        assert!(self.try_up(), "PostgreSQL does not start");
    }

    fn try_up(&self) -> bool {
        let listen = match &self.port {
            Some(port) => format!("-c listen_addresses=127.0.0.1 -c ssl=on -p {port}"),
            None => "-c listen_addresses=".to_owned(),
        };
        let options = format!("{listen} -c fsync=off -k {}", self.folder.path().display());
        let log = self.folder.path().join("log");
        let mut start = self.program("pg_ctl");
        succeeds(start.args(["start", "-w", "-o", &options, "-l"]).arg(log).arg("-D").arg(self.data()))
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
        if let Some(port) = &self.port {
            psql.args(["--port", port]);
        }
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
        self.thaw();
        // The server may be down already.
        let _ = self.program("pg_ctl").args(["stop", "-m", "immediate", "-D"]).arg(self.data()).output();
    }
}

fn is_root() -> bool {
    fs::metadata("/proc/self").is_ok_and(|this| this.uid() == 0)
}

fn run(command: &mut Command) {
    assert!(succeeds(command), "{command:?}");
}

fn succeeds(command: &mut Command) -> bool {
    // The server would inherit pipes and keep them open.
    let status = command.stdout(std::process::Stdio::null()).stderr(std::process::Stdio::null()).status();
    status.expect("it can be run").success()
}
