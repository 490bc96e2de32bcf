//! A disk whose power can be cut: a FUSE mount in this process that loses what was not synced.
//!
//! Programs use it as any file system (no mmap of shared writable pages). [`PowercutDisk::cut`] ends it in mid-flight,
//! [`PowercutDisk::restart`] serves what survived: everything synced, and a seeded part of the rest, torn and
//! reordered. Beside that it can be made full and its fsync made to fail.
//!
//! It lives in memory: content that was synced is as safe as this process, which is what a test needs.
//!
//! *Always holds:* nothing becomes safe after the cut; the same seed on the same disk gives the same outcome; the
//! mount goes away with its value, also when a test panics.

mod chance;
mod content;
mod filesystem;
mod settle;
#[cfg(test)]
mod tests;
mod volume;

pub use chance::Chance;
pub use settle::Losses;
pub use volume::Counters;

use filesystem::SharedVolume;
use fuser::{BackgroundSession, Config, MountOption};
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;
use tempfile::TempDir;
use volume::Volume;

/// Where Linux offers FUSE.
const DEVICE: &str = "/dev/fuse";

/// Beginning of the mounts' source name; the process id follows.
const SOURCE: &str = "honeygraph-powercut:";

/// Size of a disk unless said otherwise, in bytes.
const CAPACITY: u64 = 64 << 30;

/// Why a disk cannot be had.
#[derive(Debug, thiserror::Error)]
pub enum PowercutError {
    /// No mount.
    #[error("mounting a power-cut disk at {at}: {cause}")]
    Mount {
        /// Where.
        at: PathBuf,
        /// Why not.
        cause: std::io::Error,
    },
    /// The mount stays.
    #[error("unmounting the power-cut disk at {at}: {cause}")]
    Unmount {
        /// Where.
        at: PathBuf,
        /// Why not.
        cause: std::io::Error,
    },
}

/// Whether disks can be had here. Where they cannot, a test fails in CI (`CI` or `HONEYGRAPH_CI` set) and says
/// elsewhere that it was skipped.
///
/// # Panics
/// In CI without `/dev/fuse`.
pub fn available(test: &str) -> bool {
    let there = std::fs::OpenOptions::new().read(true).write(true).open(DEVICE).is_ok();
    let set = |name| std::env::var(name).is_ok_and(|value| !matches!(value.as_str(), "" | "0" | "false"));
    assert!(
        there || !(set("CI") || set("HONEYGRAPH_CI")),
        "{test}: {DEVICE} cannot be opened, and in CI power cuts must be tested"
    );
    if !there {
        eprintln!("SKIPPED {test}: {DEVICE} cannot be opened, no power cuts here");
    }
    there
}

/// A mounted disk.
#[derive(Debug)]
pub struct PowercutDisk {
    volume: SharedVolume,
    session: Option<BackgroundSession>,
    mountpoint: TempDir,
}

impl PowercutDisk {
    /// An empty disk, mounted on a new temporary folder.
    pub fn mount() -> Result<Self, PowercutError> {
        sweep_stale_mounts();
        let mountpoint = tempfile::Builder::new().prefix("powercut-").tempdir();
        let mountpoint = mountpoint.map_err(|cause| PowercutError::Mount { at: std::env::temp_dir(), cause })?;
        let volume = SharedVolume::new(Volume::new(CAPACITY));
        let mut disk = Self { volume, session: None, mountpoint };
        disk.attach()?;
        Ok(disk)
    }

    /// Where it is mounted; the same after every restart.
    pub fn path(&self) -> &Path {
        self.mountpoint.path()
    }

    /// The power goes, between two requests: from here on every request fails, and nothing becomes safe.
    pub fn cut(&self) {
        self.volume.lock().cut();
    }

    /// The power goes by itself after so many more changes and syncs.
    pub fn cut_after(&self, acts: u64) {
        self.volume.lock().left = Some(acts);
    }

    /// Whether the power is gone.
    pub fn is_cut(&self) -> bool {
        self.volume.lock().powered().is_err()
    }

    /// Cuts the power if that was not done, and mounts what survived. Programs must have let go of the disk.
    pub fn restart(&mut self, seed: u64) -> Result<Losses, PowercutError> {
        self.cut();
        self.detach()?;
        let found = self.volume.lock().clone();
        let (volume, losses) = settle::settle(found, seed);
        self.volume = SharedVolume::new(volume);
        self.attach()?;
        Ok(losses)
    }

    /// Leaves so many bytes free.
    pub fn set_free(&self, bytes: u64) {
        self.volume.lock().set_free(bytes);
    }

    /// Makes the next so many fsyncs (of files or folders) fail with EIO.
    pub fn fail_syncs(&self, count: u64) {
        self.volume.lock().failing_syncs = count;
    }

    /// Makes every fsync take so long, as disks do: what it is to save is not safe before.
    pub fn set_sync_time(&self, time: Duration) {
        self.volume.lock().sync_time = time;
    }

    /// What programs asked of it since it was mounted last.
    pub fn counters(&self) -> Counters {
        self.volume.counters()
    }

    fn attach(&mut self) -> Result<(), PowercutError> {
        let at = self.mountpoint.path();
        let mut config = Config::default();
        config.mount_options = vec![
            MountOption::FSName(format!("{SOURCE}{}", std::process::id())),
            MountOption::DefaultPermissions,
            MountOption::NoAtime,
        ];
        let session = fuser::spawn_mount(self.volume.clone(), at, &config);
        self.session = Some(session.map_err(|cause| PowercutError::Mount { at: at.to_owned(), cause })?);
        Ok(())
    }

    fn detach(&mut self) -> Result<(), PowercutError> {
        let Some(session) = self.session.take() else { return Ok(()) };
        let at = self.mountpoint.path();
        match session.umount_and_join() {
            Ok(()) => Ok(()),
            // The session may read once more after it was unmounted, and is told so.
            Err(cause) if cause.kind() == ErrorKind::ConnectionAborted => Ok(()),
            // Somebody still holds a file: a process between fork and exec does for a moment, a program of a test that
            // panicked until it is gone. The name goes now, the rest with them; to them the power is off.
            Err(cause) if cause.kind() == ErrorKind::ResourceBusy => detach_lazily(at),
            Err(cause) => Err(cause),
        }
        .map_err(|cause| PowercutError::Unmount { at: at.to_owned(), cause })
    }
}

impl Drop for PowercutDisk {
    fn drop(&mut self) {
        self.cut();
        if let Err(error) = self.detach() {
            eprintln!("{error}");
        }
    }
}

fn detach_lazily(at: &Path) -> std::io::Result<()> {
    let ran = Command::new("umount").arg("--lazy").arg(at).status()?;
    if ran.success() { Ok(()) } else { Err(std::io::Error::other(format!("umount --lazy ended with {ran}"))) }
}

/// Mounts of processes that were killed stay behind, dead: they are removed by the next process that mounts.
fn sweep_stale_mounts() {
    let mounts = std::fs::read_to_string("/proc/self/mounts").unwrap_or_default();
    for line in mounts.lines() {
        let mut words = line.split(' ');
        let (Some(source), Some(at)) = (words.next(), words.next()) else { continue };
        let Some(pid) = source.strip_prefix(SOURCE).and_then(|pid| pid.parse::<u32>().ok()) else { continue };
        if !Path::new(&format!("/proc/{pid}")).exists() {
            if let Err(error) = detach_lazily(Path::new(at)) {
                eprintln!("a stale mount stays at {at}: {error}");
            }
            // Empty once nothing is mounted on it; if it is not, it is not ours to remove.
            let _ = std::fs::remove_dir(at);
        }
    }
}
