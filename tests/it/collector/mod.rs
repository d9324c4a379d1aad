mod damage;
mod full;
mod groups;
mod kills;
mod lag;
mod life;
mod owner;
mod wal;
mod warehouse;

use std::{
    path::Path,
    process::{Child, Command, Stdio},
};

use crate::support::{Process, RawClient};

/// Starts the collector on the data of a folder, with these options.
fn start(folder: &Path, options: &[&str]) -> (Process, RawClient) {
    let folder = folder.to_str().expect("text");
    let process = Process::program_with("collector", &[&["--dir", folder], options].concat());
    let client = RawClient::connect(process.address());
    (process, client)
}

/// Starts a script on the database of a folder.
fn python(script: &str, folder: &Path) -> Child {
    let mut python = Command::new("python3");
    python.args(["-c", script]).arg(folder.join("events.db"));
    python.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().expect("python3")
}
