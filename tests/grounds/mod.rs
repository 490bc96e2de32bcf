//! Real file systems for the tests of snapshots: ZFS (zfs-fuse), btrfs on a loop file, a plain folder.
//!
//! Where one cannot be had, a test fails in CI and says elsewhere that it was skipped.

#![allow(dead_code, reason = "each test file uses its part")]

use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use tempfile::TempDir;

/// Bytes of a disk: more than the preallocated log of a few stores.
const DISK: u64 = 1 << 30;

/// A program that only root may have in its path.
pub fn command(program: &str) -> Command {
    let mut command = Command::new(program);
    command.env("PATH", std::env::var("PATH").unwrap_or_default() + ":/usr/sbin:/sbin");
    command
}

/// Runs a program; what it said when it failed.
pub fn run(program: &str, arguments: &[&str]) -> Result<String, String> {
    let done = command(program).args(arguments).output();
    let done = done.map_err(|error| format!("{program}: {error}"))?;
    match done.status.success() {
        true => Ok(String::from_utf8_lossy(&done.stdout).into_owned()),
        false => Err(format!("{program} {arguments:?}: {}", String::from_utf8_lossy(&done.stderr))),
    }
}

/// A ground, or none where it is not to be had and need not be.
fn had<T>(what: &str, ground: Result<T, String>, must: bool) -> Option<T> {
    let set = |name| std::env::var(name).is_ok_and(|value| !matches!(value.as_str(), "" | "0" | "false"));
    match ground {
        Ok(ground) => Some(ground),
        Err(why) if must && (set("CI") || set("HONEYGRAPH_CI")) => panic!("no {what} in CI: {why}"),
        Err(why) => {
            eprintln!("SKIPPED {what}: {why}");
            None
        }
    }
}

/// A file for a disk.
fn disk(folder: &Path) -> Result<PathBuf, String> {
    let path = folder.join("disk.img");
    File::create(&path).and_then(|file| file.set_len(DISK)).map_err(|error| error.to_string())?;
    Ok(path)
}

/// A pool of ZFS with a dataset.
pub struct ZfsPool {
    name: String,
    folder: TempDir,
    daemon: Option<Child>,
    /// One test at a time has a daemon; the kernel lets go of it with the process.
    _lock: File,
}

impl ZfsPool {
    pub fn new() -> Option<Self> {
        had("ZFS", Self::try_new(), true)
    }

    fn try_new() -> Result<Self, String> {
        let text = |error: std::io::Error| error.to_string();
        let folder = tempfile::Builder::new().prefix("zfs-").tempdir().map_err(text)?;
        let lock = File::create(std::env::temp_dir().join("honeygraph-zfs-tests.lock")).map_err(text)?;
        lock.lock().map_err(text)?;
        let mut daemon = None;
        if run("zpool", &["list"]).is_err() {
            let mut command = command("zfs-fuse");
            command.args(["--no-daemon", "--no-kstat-mount", "-x"]);
            let child = command.stdout(Stdio::null()).stderr(Stdio::null()).stdin(Stdio::null()).spawn();
            daemon = Some(child.map_err(|error| format!("zfs-fuse: {error}"))?);
        }
        let name = format!("hg{}", std::process::id());
        let pool = Self { name, folder, daemon, _lock: lock };
        let mut answered = run("zpool", &["list"]);
        for _ in 0..200 {
            if answered.is_ok() {
                break;
            }
            #[expect(clippy::disallowed_methods, reason = "the daemon tells nobody when it listens")]
            std::thread::sleep(std::time::Duration::from_millis(50));
            answered = run("zpool", &["list"]);
        }
        answered?;
        let (image, mount) = (disk(pool.folder.path())?, pool.folder.path().join("pool"));
        run("zpool", &["create", "-f", "-m", &mount.to_string_lossy(), &pool.name, &image.to_string_lossy()])?;
        Ok(pool)
    }

    /// A parent for datasets.
    pub fn parent(&self) -> String {
        format!("{}/honeygraph", self.name)
    }

    /// A folder outside of the pool.
    pub fn outside(&self) -> &Path {
        self.folder.path()
    }
}

impl Drop for ZfsPool {
    fn drop(&mut self) {
        let _ = run("zpool", &["destroy", "-f", &self.name]);
        if let Some(daemon) = &mut self.daemon {
            let _ = daemon.kill();
            let _ = daemon.wait();
        }
    }
}

/// A mounted btrfs.
pub struct Btrfs(TempDir);

impl Btrfs {
    /// Only root can mount.
    pub fn new() -> Option<Self> {
        had("btrfs", Self::try_new(), rustix::process::geteuid().is_root())
    }

    fn try_new() -> Result<Self, String> {
        let folder = tempfile::Builder::new().prefix("btrfs-").tempdir().map_err(|error| error.to_string())?;
        let (image, mount) = (disk(folder.path())?, folder.path().join("mount"));
        std::fs::create_dir(&mount).map_err(|error| error.to_string())?;
        run("mkfs.btrfs", &["-q", &image.to_string_lossy()])?;
        run("mount", &["-o", "loop", &image.to_string_lossy(), &mount.to_string_lossy()])?;
        Ok(Self(folder))
    }

    pub fn path(&self) -> PathBuf {
        self.0.path().join("mount")
    }
}

impl Drop for Btrfs {
    fn drop(&mut self) {
        let _ = run("umount", &["-l", &self.path().to_string_lossy()]);
    }
}
