//! A real `honeygraph` process: started on free ports, watched, killed, stopped, started again on the same data.
//!
//! *Always holds:* no process outlives its [`Process`], also when a test panics; nothing here waits for a time to
//! pass, only for something to happen, and gives up when nothing at all happens for [`STILL`].

use crate::STILL;
use serde::Deserialize;
use std::fs::File;
use std::io::ErrorKind;
use std::os::unix::fs::FileExt;
use std::os::unix::process::CommandExt;
use std::path::PathBuf;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

/// Pause between two looks.
const LOOK: Duration = Duration::from_millis(2);

/// So much of the end of a log is shown when something fails, in bytes.
const SHOWN: u64 = 16 * 1024;

/// What went wrong with a process; the text carries the end of its log.
#[derive(Debug, thiserror::Error)]
pub enum ProcessError {
    /// It could not be started at all.
    #[error("starting {binary}: {cause}")]
    Spawn {
        /// The program.
        binary: PathBuf,
        /// Why not.
        cause: std::io::Error,
    },
    /// It ended when it should have run.
    #[error("the process ended ({status}); its log ends with:\n{log}")]
    Ended {
        /// How.
        status: ExitStatus,
        /// End of its log.
        log: String,
    },
    /// Nothing happened for [`STILL`].
    #[error("nothing happened for {STILL:?} while waiting for {what}; its log ends with:\n{log}")]
    Still {
        /// What was waited for.
        what: &'static str,
        /// End of its log.
        log: String,
    },
    /// Files or signals.
    #[error("{what}: {cause}")]
    System {
        /// What was tried.
        what: &'static str,
        /// Why not.
        cause: std::io::Error,
    },
}

/// Where a node listens.
#[derive(Clone, Debug, Deserialize, PartialEq, Eq)]
pub struct Endpoints {
    /// `http://host:port`
    pub api: String,
    /// `ws://host:port`
    pub feed: String,
    /// Addresses of libp2p, each with the node's id at its end.
    #[serde(default)]
    pub swarm: Vec<String>,
}

/// How to start a node: always `run`, on free ports of the loopback unless it is told other ones.
#[derive(Clone, Debug)]
pub struct Launch {
    binary: PathBuf,
    /// Word before `run`, for a program that has the node in it.
    within: Option<&'static str>,
    listen: [String; 3],
    data_dir: PathBuf,
    args: Vec<String>,
    env: Vec<(String, String)>,
}

impl Launch {
    /// A node with this program (`env!("CARGO_BIN_EXE_honeygraph")` in a test) on this data.
    pub fn new(binary: impl Into<PathBuf>, data_dir: impl Into<PathBuf>) -> Self {
        let listen = ["127.0.0.1:0", "127.0.0.1:0", "/ip4/127.0.0.1/tcp/0"].map(str::to_owned);
        let (binary, data_dir) = (binary.into(), data_dir.into());
        Self { binary, within: None, listen, data_dir, args: Vec::new(), env: Vec::new() }
    }

    /// A node that is a subcommand of this very program, in a process group of its own: what the terminal says to the
    /// program is not said to it.
    pub fn within(subcommand: &'static str, data_dir: impl Into<PathBuf>) -> std::io::Result<Self> {
        Ok(Self { within: Some(subcommand), ..Self::new(std::env::current_exe()?, data_dir) })
    }

    /// Where its API, feeds and the swarm listen.
    #[must_use]
    pub fn listen(mut self, api: &str, feed: &str, swarm: &str) -> Self {
        self.listen = [api, feed, swarm].map(str::to_owned);
        self
    }

    /// One more argument of `run`.
    #[must_use]
    pub fn arg(mut self, arg: impl Into<String>) -> Self {
        self.args.push(arg.into());
        self
    }

    /// One more variable of its environment.
    #[must_use]
    pub fn env(mut self, name: impl Into<String>, value: impl Into<String>) -> Self {
        self.env.push((name.into(), value.into()));
        self
    }

    /// Starts it without waiting for anything.
    pub fn spawn(&self) -> Result<Process, ProcessError> {
        let endpoints = self.data_dir.join("endpoints.json");
        // A killed node leaves its file behind; what is read must be of the one that starts now.
        match std::fs::remove_file(&endpoints) {
            Err(cause) if cause.kind() != ErrorKind::NotFound => {
                return Err(ProcessError::System { what: "removing an old endpoints.json", cause });
            }
            _ => {}
        }
        let log = tempfile::tempfile().and_then(|log| Ok((log.try_clone()?, log.try_clone()?, log)));
        let (out, err, log) = log.map_err(|cause| ProcessError::System { what: "making a log file", cause })?;
        let [api, feed, swarm] = &self.listen;
        let mut command = Command::new(&self.binary);
        if let Some(subcommand) = self.within {
            command.arg(subcommand).process_group(0);
        }
        let child = command
            .arg("run")
            .arg("--data-dir")
            .arg(&self.data_dir)
            .args(["--api-listen", api, "--feed-listen", feed, "--swarm-listen", swarm])
            // Who wants a swarm says so.
            .env("SYNC_ENABLED", "false")
            .args(&self.args)
            .envs(self.env.iter().map(|(name, value)| (name, value)))
            .stdin(Stdio::null())
            .stdout(out)
            .stderr(err)
            .spawn()
            .map_err(|cause| ProcessError::Spawn { binary: self.binary.clone(), cause })?;
        Ok(Process { child, log, endpoints })
    }

    /// Starts it and waits until it listens, or until its disk answers nothing any more.
    pub fn start(&self) -> Result<Node, ProcessError> {
        let mut process = self.spawn()?;
        let endpoints = process.wait_for("endpoints.json", |process| match std::fs::read(&process.endpoints) {
            Ok(text) => serde_json::from_slice(&text).ok().map(Ok),
            Err(cause) if cause.kind() == ErrorKind::NotFound => None,
            Err(cause) => Some(Err(ProcessError::System { what: "reading endpoints.json", cause })),
        })??;
        Ok(Node { process, endpoints })
    }

    /// Runs another subcommand on the same data to its end: its status and what it printed.
    pub fn command(&self, args: &[&str]) -> Result<(ExitStatus, String), ProcessError> {
        let ran = Command::new(&self.binary).args(args).arg("--data-dir").arg(&self.data_dir).output();
        let ran = ran.map_err(|cause| ProcessError::Spawn { binary: self.binary.clone(), cause })?;
        let printed = [ran.stdout, ran.stderr].concat();
        Ok((ran.status, String::from_utf8_lossy(&printed).into_owned()))
    }
}

/// A child process with its log. Killed when dropped.
#[derive(Debug)]
pub struct Process {
    child: Child,
    log: File,
    endpoints: PathBuf,
}

impl Process {
    /// Waits until `look` finds something; gives up when the process ends or logs nothing any more.
    pub fn wait_for<T>(
        &mut self,
        what: &'static str,
        mut look: impl FnMut(&Self) -> Option<T>,
    ) -> Result<T, ProcessError> {
        self.wait_while_moving(what, |process| look(process).ok_or(0))
    }

    /// Waits until `look` finds something. As long as it does not it says how far things are: the wait is given up when
    /// the process ends, or when neither that nor the log changes any more.
    pub fn wait_while_moving<T>(
        &mut self,
        what: &'static str,
        mut look: impl FnMut(&Self) -> Result<T, u64>,
    ) -> Result<T, ProcessError> {
        let mut before = (0, 0);
        let mut last = Instant::now();
        loop {
            let far = match look(self) {
                Ok(found) => return Ok(found),
                Err(far) => far,
            };
            let ended = self.child.try_wait();
            if let Some(status) = ended.map_err(|cause| ProcessError::System { what: "waiting for a child", cause })? {
                return Err(ProcessError::Ended { status, log: self.log() });
            }
            let now = (far, self.log.metadata().map_or(0, |log| log.len()));
            if now != before {
                (before, last) = (now, Instant::now());
            }
            if last.elapsed() > STILL {
                return Err(ProcessError::Still { what, log: self.log() });
            }
            #[expect(clippy::disallowed_methods, reason = "looks again for progress; no outcome depends on it")]
            std::thread::sleep(LOOK);
        }
    }

    /// How it ended, when it has.
    pub fn ended(&mut self) -> Option<ExitStatus> {
        self.child.try_wait().ok().flatten()
    }

    /// Whether it has said where it listens.
    pub fn listens(&self) -> bool {
        self.endpoints.exists()
    }

    /// SIGKILL, and waits until it is gone (and with it every file it had open).
    pub fn kill(&mut self) {
        // It may have ended by itself: then there is nothing to kill.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }

    /// SIGTERM, and waits until it has ended by itself.
    pub fn stop(&mut self) -> Result<ExitStatus, ProcessError> {
        let sent = Command::new("sh").args(["-c", "kill -TERM \"$0\"", &self.child.id().to_string()]).status();
        sent.map_err(|cause| ProcessError::System { what: "sending SIGTERM", cause })?;
        match self.wait_for("the end of the process", |_| None::<()>) {
            Err(ProcessError::Ended { status, .. }) => Ok(status),
            Err(error) => Err(error),
            Ok(()) => unreachable!("nothing was looked for"),
        }
    }

    /// The end of its log.
    pub fn log(&self) -> String {
        // Read by position: the child writes at the offset that this handle shares with it.
        let length = self.log.metadata().map_or(0, |log| log.len());
        let shown = length.min(SHOWN);
        let mut end = vec![0; shown as usize];
        match self.log.read_exact_at(&mut end, length - shown) {
            Ok(()) => String::from_utf8_lossy(&end).into_owned(),
            Err(error) => format!("(the log cannot be read: {error})"),
        }
    }

    /// Most memory it ever had resident, in bytes.
    pub fn peak_memory(&self) -> Option<u64> {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.child.id())).ok()?;
        let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
        let kib: u64 = line.trim().trim_end_matches("kB").trim().parse().ok()?;
        Some(kib * 1024)
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.kill();
        if std::thread::panicking() {
            eprintln!("--- end of the node's log ---\n{}", self.log());
        }
    }
}

/// A node that listens.
#[derive(Debug)]
pub struct Node {
    /// Its process.
    pub process: Process,
    /// Where it listens.
    pub endpoints: Endpoints,
}

impl Node {
    /// `host:port` of the API.
    pub fn api_address(&self) -> &str {
        self.endpoints.api.trim_start_matches("http://")
    }

    /// GET on the API: status and body.
    pub fn get(&self, path: &str) -> std::io::Result<(u16, Vec<u8>)> {
        crate::http::get(self.api_address(), path)
    }

    /// GET that must succeed: the answer.
    pub fn json(&self, path: &str) -> std::io::Result<serde_json::Value> {
        answer(path, self.get(path)?)
    }

    /// POST that must succeed: the answer.
    pub fn post(&self, path: &str, body: &serde_json::Value) -> std::io::Result<serde_json::Value> {
        answer(path, crate::http::post(self.api_address(), path, &body.to_string())?)
    }

    /// Waits until a GET succeeds.
    pub fn wait_until_ok(&mut self, what: &'static str, path: &str) -> Result<(), ProcessError> {
        let address = self.api_address().to_owned();
        let ok = |address: &str| crate::http::get(address, path).is_ok_and(|(status, _)| status == 200);
        self.process.wait_for(what, |_| ok(&address).then_some(()))
    }
}

fn answer(path: &str, (status, body): (u16, Vec<u8>)) -> std::io::Result<serde_json::Value> {
    let wrong = || std::io::Error::other(format!("{path}: {status} {}", String::from_utf8_lossy(&body)));
    if status == 200 { serde_json::from_slice(&body).map_err(|_| wrong()) } else { Err(wrong()) }
}

#[cfg(test)]
mod tests {
    use super::{Launch, ProcessError};
    use std::os::unix::fs::PermissionsExt;
    use std::path::PathBuf;
    use tempfile::TempDir;

    /// A stand-in for the program: `$3` is the data folder.
    fn program(folder: &TempDir, script: &str) -> Launch {
        let path = folder.path().join("program");
        std::fs::write(&path, format!("#!/bin/sh\n{script}\n")).expect("written");
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o755)).expect("made executable");
        Launch::new(path, folder.path())
    }

    const ENDPOINTS: &str = r#"echo '{"api":"http://127.0.0.1:1","feed":"ws://127.0.0.1:2"}' > "$3/endpoints.json""#;

    fn data_dir() -> TempDir {
        tempfile::tempdir().expect("a folder")
    }

    #[test]
    fn a_node_is_started_and_stops_when_asked() {
        let folder = data_dir();
        std::fs::write(folder.path().join("endpoints.json"), "left behind").expect("written");
        let script = format!("trap 'exit 7' TERM; echo starting; {ENDPOINTS}; while :; do sleep 0.01; done");
        let mut node = program(&folder, &script).start().expect("started");
        assert_eq!(node.api_address(), "127.0.0.1:1");
        assert_eq!(node.endpoints.feed, "ws://127.0.0.1:2");
        assert_eq!(node.process.log(), "starting\n");
        assert!(node.process.peak_memory().is_some_and(|bytes| bytes > 0));
        assert_eq!(node.process.stop().expect("stopped").code(), Some(7));
    }

    #[test]
    fn a_node_that_ends_shows_its_log() {
        let folder = data_dir();
        let failed = program(&folder, "echo no room >&2; exit 3").start().expect_err("it ended");
        assert!(failed.to_string().contains("no room"), "{failed}");
        assert!(matches!(failed, ProcessError::Ended { status, .. } if status.code() == Some(3)));
        let missing = Launch::new(PathBuf::from("/nowhere"), folder.path()).start().expect_err("no program");
        assert!(matches!(missing, ProcessError::Spawn { .. }));
    }

    #[test]
    fn a_dropped_node_is_gone() {
        let folder = data_dir();
        let node = program(&folder, &format!("{ENDPOINTS}; exec sleep 1000")).start().expect("started");
        let process = format!("/proc/{}", node.process.child.id());
        assert!(std::path::Path::new(&process).exists());
        drop(node);
        assert!(!std::path::Path::new(&process).exists());
    }
}
