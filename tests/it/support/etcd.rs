//! An etcd server in its own folder.

use std::process::{Child, Command, Stdio};

use super::{Folder, eventually, on_free_ports};

/// A server of which etcd is a cluster. Dropping it kills the server.
pub(crate) struct Etcd {
    child: Child,
    endpoint: String,
    /// The options of etcdctl for its connection.
    options: Vec<String>,
    _folder: Folder,
}

impl Etcd {
    pub(crate) fn start() -> Self {
        Self::with("http", &[], &[])
    }

    /// Starts a server with encrypted connections, for clients that have a certificate from this authority.
    pub(crate) fn with_tls(certificate: &str, key: &str, authority: &str) -> Self {
        let files = ["--cert-file", certificate, "--key-file", key, "--trusted-ca-file", authority];
        let of_client = ["--insecure-skip-tls-verify", "--cert", certificate, "--key", key];
        Self::with("https", &[&files[..], &["--client-cert-auth"]].concat(), &of_client)
    }

    /// Starts a server with these options. `of_client` are those of etcdctl.
    fn with(scheme: &str, options: &[&str], of_client: &[&str]) -> Self {
        on_free_ports(|[client, peer]| {
            let folder = Folder::new();
            let [client, peer] = [(scheme, client), ("http", peer)]
                .map(|(scheme, port)| format!("{scheme}://127.0.0.1:{port}"));
            let child = Command::new("etcd")
                .args(options)
                .arg("--data-dir")
                .arg(folder.path().join("data"))
                .args(["--listen-client-urls", &client, "--advertise-client-urls", &client])
                .args(["--listen-peer-urls", &peer, "--initial-advertise-peer-urls", &peer])
                .args(["--initial-cluster", &format!("default={peer}")])
                .stdin(Stdio::null())
                .stdout(Stdio::null())
                .stderr(Stdio::null())
                .spawn();
            let child =
                child.unwrap_or_else(|error| panic!("cannot start etcd: {error} (tests/run installs it)"));
            let options = of_client.iter().copied().map(str::to_owned).collect();
            let mut etcd = Etcd { child, endpoint: client, options, _folder: folder };
            // It ends if another process has taken a port.
            let has_started = eventually(|| {
                let has_ended = etcd.child.try_wait().expect("it is a child").is_some();
                (has_ended || etcd.is_healthy()).then_some(!has_ended)
            });
            has_started.then_some(etcd)
        })
    }

    pub(crate) fn endpoint(&self) -> &str {
        &self.endpoint
    }

    /// Returns a command of etcdctl for this server.
    pub(crate) fn ctl(&self) -> Command {
        let mut ctl = Command::new("etcdctl");
        ctl.env("ETCDCTL_API", "3").args(["--endpoints", &self.endpoint]).args(&self.options);
        ctl
    }

    /// Runs a command of etcdctl, such as `auth enable`.
    pub(crate) fn set_up(&self, arguments: &str) {
        let output = self.ctl().args(arguments.split(' ')).output().expect("etcdctl");
        assert!(output.status.success(), "{arguments}: {}", String::from_utf8_lossy(&output.stderr));
    }

    /// Sends a signal, such as `STOP`.
    pub(crate) fn signal(&self, name: &str) {
        let kill = format!("kill -s {name} {}", self.child.id());
        assert!(Command::new("sh").args(["-c", &kill]).status().is_ok_and(|status| status.success()));
    }

    fn is_healthy(&self) -> bool {
        let output = self.ctl().args(["endpoint", "health"]).output();
        output.is_ok_and(|output| output.status.success())
    }
}

impl Drop for Etcd {
    fn drop(&mut self) {
        // It may have ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
