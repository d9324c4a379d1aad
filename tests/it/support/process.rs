//! Servers that are processes of their own: the examples, and the real redis-server.

use std::{
    env, fs,
    io::{BufRead, BufReader},
    path::{Path, PathBuf},
    process::{Child, ChildStdout, Command, ExitStatus, Stdio},
    sync::OnceLock,
    time::Duration,
};

use super::{Folder, eventually, on_free_ports};

/// The programs of `examples/`; all others are of `apps/`.
const EXAMPLES: [&str; 4] = ["hello", "chat", "timers", "prometheus"];

/// Where servers listen that have a folder of their own.
const SOCKET: &str = "server.sock";

/// A server process. It is killed when it is dropped.
#[derive(Debug)]
pub(crate) struct Process {
    child: Child,
    output: BufReader<ChildStdout>,
    addresses: Vec<String>,
    /// Where its socket is.
    _folder: Option<Folder>,
}

impl Process {
    /// An example, listening on a free port.
    pub(crate) fn example(name: &str) -> Self {
        Self::example_on(name, &["127.0.0.1:0"])
    }

    /// An example, listening on these addresses.
    pub(crate) fn example_on(name: &str, addresses: &[&str]) -> Self {
        Self::example_with_on(name, &[], addresses)
    }

    /// An example with these options, listening on a free port.
    pub(crate) fn example_with(name: &str, options: &[&str]) -> Self {
        Self::example_with_on(name, options, &["127.0.0.1:0"])
    }

    /// An example with these options, listening on these addresses.
    pub(crate) fn example_with_on(name: &str, options: &[&str], addresses: &[&str]) -> Self {
        let mut command = Command::new(binary(name));
        command.args(options);
        Self::start_example(command, name, addresses, None)
    }

    /// An example with these options, listening where [`redis`](Self::redis) does: what it says of
    /// addresses is the same.
    pub(crate) fn example_like_redis(name: &str, options: &[&str]) -> Self {
        let folder = Folder::new();
        let mut command = Command::new(binary(name));
        command.args(options).current_dir(folder.path());
        let address = folder.socket(SOCKET);
        let mut process = Self::start_example(command, name, &[&format!("unix:{SOCKET}")], Some(folder));
        process.addresses = vec![address];
        process
    }

    /// An example that can have no more than this many files and sockets open.
    pub(crate) fn example_with_descriptors(name: &str, descriptors: usize) -> Self {
        let ulimit = format!("ulimit -n {descriptors} && exec \"$0\" \"$@\"");
        Self::example_behind(&["sh", "-c", &ulimit], name, "127.0.0.1:0")
    }

    /// An example that another program starts, in its own place.
    pub(crate) fn example_behind(starter: &[&str], name: &str, address: &str) -> Self {
        let mut command = Command::new(starter[0]);
        command.args(&starter[1..]).arg(binary(name));
        Self::start_example(command, name, &[address], None)
    }

    /// What it says, up to the end of the connection, to a client in its own network namespace which connects to
    /// this address, sends a line if it is not empty, and `QUIT`.
    pub(crate) fn said_within(&self, host: &str, request: &str) -> String {
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

    /// The example with an endpoint for Prometheus, and the address of that.
    pub(crate) fn prometheus_example() -> (Self, String) {
        let mut command = Command::new(binary("prometheus"));
        command.arg("127.0.0.1:0").env("METRICS_BIND", "127.0.0.1:0");
        let mut process = Self::start(command, None);
        let mut address_behind = |text| process.line_with(text)[text.len()..].to_owned();
        let endpoint = address_behind("metrics on http://").replace("/metrics", "");
        let address = address_behind("listening on ");
        process.addresses.push(address);
        (process, endpoint)
    }

    fn start_example(mut command: Command, name: &str, addresses: &[&str], folder: Option<Folder>) -> Self {
        for address in addresses {
            // An example has no options: its argument is the address.
            command.args((!EXAMPLES.contains(&name)).then_some("--bind")).arg(address);
        }
        command.env("RUST_LOG", "error");
        // What is free goes back to the system: a test looks at what is held, not at what glibc keeps.
        command.env("MALLOC_TRIM_THRESHOLD_", "131072");
        let mut process = Self::start(command, folder);
        for _ in addresses {
            let line = process.line_with("listening on ");
            process.addresses.push(line["listening on ".len()..].to_owned());
        }
        process
    }

    /// A redis-server with these options, without persistence. It listens on a unix socket, which
    /// needs no free port, by a path that is relative to a folder of its own.
    pub(crate) fn redis(options: &[&str]) -> Self {
        let folder = Folder::new();
        let mut process = Self::redis_in(&folder, options);
        process._folder = Some(folder);
        process
    }

    /// The same, in a folder that stays when it goes: another one can come in its place.
    pub(crate) fn redis_in(folder: &Folder, options: &[&str]) -> Self {
        Self::try_redis_in(folder, options).unwrap_or_else(|log| panic!("redis-server ended: {log}"))
    }

    /// The same as [`redis`](Self::redis) for options that need free ports. Returns the ports with the process.
    pub(crate) fn redis_on_ports<const N: usize>(
        options: impl Fn(&[String; N]) -> Vec<String>,
    ) -> (Self, [String; N]) {
        on_free_ports(|ports| Some((Self::redis_on(&options(&ports))?, ports)))
    }

    /// The same with a port among the options. Returns nothing if another process has the port.
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

    /// The error is the log of a redis-server that has ended instead of starting.
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
            panic!("cannot start {:?}: {error} (tests/run installs what is needed)", command.get_program())
        });
        let output = BufReader::new(child.stdout.take().expect("it is piped"));
        Process { child, output, addresses: Vec::new(), _folder: folder }
    }

    /// Where it listens, first.
    pub(crate) fn address(&self) -> &str {
        &self.addresses[0]
    }

    pub(crate) fn addresses(&self) -> &[String] {
        &self.addresses
    }

    /// Its command line, as every user of the machine sees it.
    pub(crate) fn command_line(&self) -> String {
        let line = fs::read(format!("/proc/{}/cmdline", self.child.id())).expect("it runs");
        String::from_utf8_lossy(&line).replace('\0', " ")
    }

    /// Sends a signal, such as `TERM`.
    pub(crate) fn signal(&self, name: &str) {
        let kill = format!("kill -s {name} {}", self.child.id());
        let status = Command::new("sh").args(["-c", &kill]).status();
        assert!(status.expect("sh can be run").success());
    }

    /// Its exit status, once it ends.
    pub(crate) fn wait(mut self) -> ExitStatus {
        eventually(|| self.child.try_wait().expect("its own child"))
    }

    /// Memory that it occupies, in KiB.
    pub(crate) fn resident(&self) -> usize {
        let status = fs::read_to_string(format!("/proc/{}/status", self.child.id())).expect("it runs");
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).expect("it has memory");
        line.trim().trim_end_matches(" kB").parse().expect("a number")
    }

    /// Processor time that it has used.
    pub(crate) fn cpu_time(&self) -> Duration {
        let tasks = fs::read_dir(format!("/proc/{}/task", self.child.id())).expect("it runs");
        // A thread may end between being listed and being read.
        tasks.filter_map(|task| cpu_time(&task.ok()?.path())).sum()
    }

    /// Files and sockets that it has open.
    pub(crate) fn descriptors(&self) -> usize {
        fs::read_dir(format!("/proc/{}/fd", self.child.id())).expect("it runs").count()
    }

    pub(crate) fn line_with(&mut self, text: &str) -> String {
        let line = self.try_line_with(text);
        line.unwrap_or_else(|_| panic!("it ended before it said {text:?}: {:?}", self.child.wait()))
    }

    /// The error is the whole output of a process that ends before it prints `text`.
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

/// Processor time that the calling thread has used.
pub(crate) fn cpu_time_of_this_thread() -> Duration {
    cpu_time(Path::new("/proc/thread-self")).expect("it runs")
}

/// Of a thread, by its folder.
fn cpu_time(thread: &Path) -> Option<Duration> {
    let text = fs::read_to_string(thread.join("schedstat")).ok()?;
    text.split(' ').next()?.parse().ok().map(Duration::from_nanos)
}

/// Path of a program of the workspace.
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
