//! Servers that run as separate processes: the apps, the examples and the real redis-server.

use std::{
    env, fs,
    io::{BufRead, BufReader},
    path::{Path, PathBuf},
    process::{Child, ChildStdout, Command, ExitStatus, Stdio},
    sync::OnceLock,
    time::Duration,
};

use super::{Folder, eventually, on_free_ports};

/// The programs of `examples/`. All other programs belong to `apps/`.
const EXAMPLES: [&str; 7] = ["hello", "chat", "timers", "prometheus", "jwt", "ldap", "leases"];

/// Name of the unix socket of a server that has its own folder.
const SOCKET: &str = "server.sock";

/// A server process. It is killed when it is dropped.
#[derive(Debug)]
pub(crate) struct Process {
    child: Child,
    output: BufReader<ChildStdout>,
    addresses: Vec<String>,
    /// Contains the socket or the data, and outlives the process.
    _folder: Option<Folder>,
}

impl Process {
    /// Starts a program of the workspace on a free port.
    pub(crate) fn program(name: &str) -> Self {
        Self::program_on(name, &["127.0.0.1:0"])
    }

    /// Starts a program on these addresses.
    pub(crate) fn program_on(name: &str, addresses: &[&str]) -> Self {
        Self::program_with_on(name, &[], addresses)
    }

    /// Starts a program with these options on a free port.
    pub(crate) fn program_with(name: &str, options: &[&str]) -> Self {
        Self::program_with_on(name, options, &["127.0.0.1:0"])
    }

    /// Starts a program with these options on these addresses.
    pub(crate) fn program_with_on(name: &str, options: &[&str], addresses: &[&str]) -> Self {
        let mut command = Command::new(binary(name));
        command.args(options);
        Self::start_program(command, name, addresses, None)
    }

    /// Starts a program whose options name a folder, which is removed after the process has ended.
    pub(crate) fn program_with_folder(name: &str, options: &[&str], folder: Folder) -> Self {
        let mut process = Self::program_with(name, options);
        process._folder = Some(folder);
        process
    }

    /// Starts a program with these options on a unix socket with the same relative path as [`redis`](Self::redis).
    ///
    /// Both then print the same addresses in their replies.
    pub(crate) fn program_like_redis(name: &str, options: &[&str]) -> Self {
        let folder = Folder::new();
        let mut command = Command::new(binary(name));
        command.args(options).current_dir(folder.path());
        let address = folder.socket(SOCKET);
        let mut process = Self::start_program(command, name, &[&format!("unix:{SOCKET}")], Some(folder));
        process.addresses = vec![address];
        process
    }

    /// Starts a program with these options and variables on this address, or returns `None` if it ends at once.
    pub(crate) fn try_program_with(
        name: &str,
        options: &[&str],
        variables: &[(&str, &str)],
        address: &str,
    ) -> Option<Self> {
        let mut command = Command::new(binary(name));
        command.args(options).arg(address).envs(variables.iter().copied());
        let mut process = Self::start(command, None);
        process.try_line_with("listening on ").ok()?;
        process.addresses.push(address.to_owned());
        Some(process)
    }

    /// Starts a program that can open at most `descriptors` files and sockets.
    pub(crate) fn program_with_descriptors(name: &str, descriptors: usize) -> Self {
        let ulimit = format!("ulimit -n {descriptors} && exec \"$0\" \"$@\"");
        Self::program_started_by(&["sh", "-c", &ulimit], name, "127.0.0.1:0")
    }

    /// Starts a program through another command, which replaces itself with it (`exec`).
    pub(crate) fn program_started_by(starter: &[&str], name: &str, address: &str) -> Self {
        let mut command = Command::new(starter[0]);
        command.args(&starter[1..]).arg(binary(name));
        Self::start_program(command, name, &[address], None)
    }

    /// Returns everything that the server sends to a client inside the server's network namespace.
    ///
    /// The client connects to `host` and reads until the connection ends. If `request` is not empty, the client first
    /// sends it, followed by `QUIT`.
    pub(crate) fn reply_within_namespace(&self, host: &str, request: &str) -> String {
        let (_, port) = self.address().rsplit_once(':').expect("a port");
        let quit = if request.is_empty() { "" } else { "printf '%s\\r\\nQUIT\\r\\n' \"$2\" >&3;" };
        let script = format!("exec 3<>/dev/tcp/$0/$1; {quit} cat <&3");
        let pid = self.child.id().to_string();
        let mut nsenter = Command::new("nsenter");
        nsenter.args([
            "--preserve-credentials",
            "-U",
            "-n",
            "-t",
            &pid,
            "bash",
            "-c",
            &script,
            host,
            port,
            request,
        ]);
        let output = nsenter.output().expect("nsenter can be run");
        String::from_utf8(output.stdout).expect("text")
    }

    /// Starts the `prometheus` example. Returns the process and the address of its metrics endpoint.
    pub(crate) fn prometheus_example() -> (Self, String) {
        let mut command = Command::new(binary("prometheus"));
        command.arg("127.0.0.1:0").env("METRICS_BIND", "127.0.0.1:0");
        let mut process = Self::start(command, None);
        let mut address_after = |text| process.line_with(text)[text.len()..].to_owned();
        let endpoint = address_after("metrics on http://").replace("/metrics", "");
        let address = address_after("listening on ");
        process.addresses.push(address);
        (process, endpoint)
    }

    fn start_program(mut command: Command, name: &str, addresses: &[&str], folder: Option<Folder>) -> Self {
        for address in addresses {
            // An example has no options: its last argument is the address.
            command.args((!EXAMPLES.contains(&name)).then_some("--bind")).arg(address);
        }
        command.env("RUST_LOG", "error");
        // glibc returns freed memory to the system: tests measure the memory in use, not the cache of the allocator.
        command.env("MALLOC_TRIM_THRESHOLD_", "131072");
        let mut process = Self::start(command, folder);
        for _ in addresses {
            let line = process.line_with("listening on ");
            process.addresses.push(line["listening on ".len()..].to_owned());
        }
        process
    }

    /// Starts a redis-server with these options and without persistence.
    ///
    /// The server listens on a unix socket, because a socket needs no free port. The path of the socket is relative to
    /// the server's own folder.
    pub(crate) fn redis(options: &[&str]) -> Self {
        let folder = Folder::new();
        let mut process = Self::redis_in(&folder, options);
        process._folder = Some(folder);
        process
    }

    /// Starts a redis-server in a folder of the caller. A later server can use the same address.
    pub(crate) fn redis_in(folder: &Folder, options: &[&str]) -> Self {
        Self::try_redis_in(folder, options).unwrap_or_else(|log| panic!("redis-server ended: {log}"))
    }

    /// Starts a redis-server with options that contain free ports. Returns the process and the ports.
    pub(crate) fn redis_on_ports<const N: usize>(
        options: impl Fn(&[String; N]) -> Vec<String>,
    ) -> (Self, [String; N]) {
        on_free_ports(|ports| Some((Self::redis_on(&options(&ports))?, ports)))
    }

    /// Starts a redis-server with a port among the options. Returns `None` if another process uses the port.
    pub(crate) fn redis_on(options: &[String]) -> Option<Self> {
        let folder = Folder::new();
        let options: Vec<_> = options.iter().map(String::as_str).collect();
        match Self::try_redis_in(&folder, &options) {
            Ok(mut process) => {
                process._folder = Some(folder);
                Some(process)
            }
            Err(log) if log.contains("Address already in use") => None,
            Err(log) => panic!("redis-server ended: {log}"),
        }
    }

    /// Starts a redis-server. The error is the log of a server that ended instead of starting.
    fn try_redis_in(folder: &Folder, options: &[&str]) -> Result<Self, String> {
        let mut command = Command::new("redis-server");
        command
            .args(["--port", "0", "--unixsocket", SOCKET, "--save", "", "--appendonly", "no"])
            .args(options)
            .current_dir(folder.path());
        let mut process = Self::start(command, None);
        process.try_line_with("eady to accept connections")?;
        process.addresses.push(folder.socket(SOCKET));
        Ok(process)
    }

    fn start(mut command: Command, folder: Option<Folder>) -> Self {
        let child = command.stdin(Stdio::null()).stdout(Stdio::piped()).spawn();
        let mut child = child.unwrap_or_else(|error| {
            panic!(
                "cannot start {:?}: {error} (tests/run installs the required programs)",
                command.get_program()
            )
        });
        let output = BufReader::new(child.stdout.take().expect("it is piped"));
        Process { child, output, addresses: Vec::new(), _folder: folder }
    }

    /// Returns the first address.
    pub(crate) fn address(&self) -> &str {
        &self.addresses[0]
    }

    pub(crate) fn addresses(&self) -> &[String] {
        &self.addresses
    }

    /// Returns the command line that every user of the machine can read.
    pub(crate) fn command_line(&self) -> String {
        let line = fs::read(format!("/proc/{}/cmdline", self.child.id())).expect("the process runs");
        String::from_utf8_lossy(&line).replace('\0', " ")
    }

    /// Sends a signal, such as `TERM`.
    pub(crate) fn signal(&self, name: &str) {
        let kill = format!("kill -s {name} {}", self.child.id());
        let status = Command::new("sh").args(["-c", &kill]).status();
        assert!(status.expect("sh can be run").success());
    }

    /// Waits until the process ends. Returns its exit status.
    pub(crate) fn wait(mut self) -> ExitStatus {
        eventually(|| self.child.try_wait().expect("it is a child of this process"))
    }

    /// Returns the exit status of a process that has ended.
    pub(crate) fn try_wait(&mut self) -> Option<ExitStatus> {
        self.child.try_wait().expect("it is a child of this process")
    }

    /// Returns the resident memory in KiB.
    pub(crate) fn resident(&self) -> usize {
        self.status("VmRSS:")
    }

    /// Returns the largest resident memory so far in KiB.
    pub(crate) fn peak_resident(&self) -> usize {
        self.status("VmHWM:")
    }

    /// Returns a size from the status file, in KiB.
    fn status(&self, field: &str) -> usize {
        let status =
            fs::read_to_string(format!("/proc/{}/status", self.child.id())).expect("the process runs");
        let line = status.lines().find_map(|line| line.strip_prefix(field)).expect("the file has the field");
        line.trim().trim_end_matches(" kB").parse().expect("a number")
    }

    /// Returns the processor time that all threads of the process have used.
    pub(crate) fn cpu_time(&self) -> Duration {
        let tasks = fs::read_dir(format!("/proc/{}/task", self.child.id())).expect("the process runs");
        // A thread may end between being listed and being read.
        tasks.filter_map(|task| cpu_time(&task.ok()?.path())).sum()
    }

    /// Returns the number of open files and sockets.
    pub(crate) fn descriptors(&self) -> usize {
        fs::read_dir(format!("/proc/{}/fd", self.child.id())).expect("the process runs").count()
    }

    /// Reads the output up to a line that contains `text`. Returns that line.
    pub(crate) fn line_with(&mut self, text: &str) -> String {
        let line = self.try_line_with(text);
        line.unwrap_or_else(|_| {
            panic!("the process ended before it printed {text:?}: {:?}", self.child.wait())
        })
    }

    /// Reads up to a line with `text`. The error is the whole output of a process that ended before.
    fn try_line_with(&mut self, text: &str) -> Result<String, String> {
        let mut output = String::new();
        loop {
            let begin = output.len();
            if self.output.read_line(&mut output).expect("text") == 0 {
                return Err(output);
            }
            if output[begin..].contains(text) {
                return Ok(output[begin..].trim_end().to_owned());
            }
        }
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Returns the processor time that the calling thread has used.
pub(crate) fn cpu_time_of_this_thread() -> Duration {
    cpu_time(Path::new("/proc/thread-self")).expect("the process runs")
}

/// Reads the processor time of a thread from its folder in `/proc`.
fn cpu_time(thread: &Path) -> Option<Duration> {
    let text = fs::read_to_string(thread.join("schedstat")).ok()?;
    text.split(' ').next()?.parse().ok().map(Duration::from_nanos)
}

/// Returns the path of a program of the workspace.
pub(crate) fn binary(name: &str) -> PathBuf {
    static FOLDER: OnceLock<PathBuf> = OnceLock::new();
    FOLDER.get_or_init(|| env::var_os("THEGIANT_BIN_DIR").map_or_else(build, PathBuf::from)).join(name)
}

/// Builds the programs of the workspace with the profile of this test binary, and returns their folder.
///
/// `tests/run` builds them first, and sets `THEGIANT_BIN_DIR`. Cargo itself builds only the programs of the package
/// that it tests.
fn build() -> PathBuf {
    let test = env::current_exe().expect("this binary has a path");
    let folder = test.ancestors().nth(2).expect("target/PROFILE/deps/NAME");
    let target = folder.parent().expect("target/PROFILE");
    let profile = match folder.file_name().and_then(|name| name.to_str()) {
        Some("debug") | None => "dev",
        Some(name) => name,
    };
    let status = Command::new(env::var_os("CARGO").unwrap_or("cargo".into()))
        .args(["build", "--quiet", "--workspace", "--bins", "--all-features", "--profile", profile])
        .arg("--target-dir")
        .arg(target)
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .status();
    assert!(status.expect("cargo can be run").success(), "the programs do not build");
    folder.to_owned()
}
