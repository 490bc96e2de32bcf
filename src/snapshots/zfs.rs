//! Snapshots by ZFS: a dataset for each network, `zfs` on the command line.
//!
//! The list is what `zfs get -Hp` says, which every version of it does: what a snapshot is of are user properties
//! `honeygraph:…` on it. A hold is a hold of ZFS, and its word stands in a property too, because not every version can list
//! holds.
//!
//! *Always holds:* every name in an argument was checked; nothing but the parent's own children is touched; no order needs
//! more than what `zfs allow` can give.

use super::about::{About, KEYS};
use super::copy;
use super::name::{Name, Word, check_dataset};
use super::run::run;
use super::{Backend, Clone, Error, Listed, Room, Snapshot, at, check_unneeded};
use crate::projection::generation;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

/// How our properties begin.
const OURS: &str = "honeygraph:";
/// Our property with the words of the holds.
const HOLDS: &str = "honeygraph:holds";
/// Folder of the store in the dataset: a mount point itself can neither be renamed nor removed.
const STORE: &str = "store";
/// Name of the clone out of which a store is made anew.
const RENEWING: &str = "renewing";
/// What is asked for where it is allowed.
const WISHES: [&str; 2] = ["compression=lz4", "atime=off"];
/// How often an order is given to a dataset that says that it is busy, and the pause between.
const TRIES: u32 = 8;
const PAUSE: Duration = Duration::from_millis(150);
/// Networks are opened at once, and `zfs create -p` of two siblings trips over their parent.
static OPENING: Mutex<()> = Mutex::new(());
/// Most files that a diff names.
const MAX_FILES: usize = 100;

/// The dataset of a network.
#[derive(Clone, Debug)]
pub struct Zfs {
    /// Its name.
    dataset: String,
    prefix: String,
    /// Where it is mounted.
    mount: PathBuf,
}

/// Runs `zfs`.
fn zfs(arguments: &[&str]) -> Result<String, Error> {
    run("zfs", arguments)
}

/// The same, again while the dataset is busy.
fn zfs_patiently(arguments: &[&str]) -> Result<String, Error> {
    let mut done = zfs(arguments);
    for _ in 1..TRIES {
        if !says(&done, "busy") {
            break;
        }
        #[expect(clippy::disallowed_methods, reason = "ZFS tells nobody when a dataset is no longer busy")]
        std::thread::sleep(PAUSE);
        done = zfs(arguments);
    }
    done
}

/// Whether an order failed with these words.
fn says<T>(done: &Result<T, Error>, words: &str) -> bool {
    matches!(done, Err(Error::Command { said, .. }) if said.contains(words))
}

/// Values by dataset or snapshot and by property; `-` is none.
type Values = BTreeMap<String, BTreeMap<String, String>>;

/// Reads `zfs get -Hp -o name,property,value`.
fn values(text: &str) -> Values {
    let mut values = Values::new();
    for line in text.lines() {
        let mut parts = line.splitn(3, '\t');
        let (Some(name), Some(property), Some(value)) = (parts.next(), parts.next(), parts.next()) else { continue };
        let of = values.entry(name.to_owned()).or_default();
        if value != "-" {
            of.insert(property.to_owned(), value.to_owned());
        }
    }
    values
}

impl Zfs {
    /// The dataset of a network below `parent`; made when it is not there.
    pub fn open(parent: &str, network: &str, prefix: &str) -> Result<Self, Error> {
        check_dataset(parent)?;
        let _one_at_a_time = OPENING.lock().unwrap_or_else(PoisonError::into_inner);
        let dataset = format!("{parent}/{}", network.strip_suffix('_').unwrap_or(network));
        let asked = ["get", "-Hp", "-o", "name,property,value", "mounted,mountpoint", &dataset];
        let mut found = zfs(&asked);
        if says(&found, "does not exist") {
            zfs(&["create", "-p", &dataset])?;
            for wish in WISHES {
                if let Err(error) = zfs(&["set", wish, &dataset]) {
                    tracing::info!(dataset, "not set: {error}");
                }
            }
            found = zfs(&asked);
        }
        let found = values(&found?).remove(&dataset).unwrap_or_default();
        let mount = found.get("mountpoint").map(PathBuf::from).filter(|path| path.is_absolute());
        let mounted = found.get("mounted").is_some_and(|mounted| mounted == "yes");
        match mount.filter(|_| mounted) {
            Some(mount) => {
                let zfs = Self { dataset, prefix: prefix.to_owned(), mount };
                zfs.clear()?;
                Ok(zfs)
            }
            None => Err(Error::Unusable(format!("dataset {dataset} is not mounted: `zfs mount {dataset}` as root"))),
        }
    }

    /// Folder of the store.
    pub fn store(&self) -> PathBuf {
        self.mount.join(STORE)
    }

    /// Where the dataset is mounted.
    pub fn mount(&self) -> &Path {
        &self.mount
    }

    /// Removes what a renewal left that was killed.
    fn clear(&self) -> Result<(), Error> {
        let clone = Word::new(RENEWING)?;
        match self.destroy_clone(&clone) {
            Err(Error::NotThere(_)) => Ok(()),
            cleared => cleared,
        }
    }

    fn snapshot(&self, name: &Name) -> String {
        format!("{}@{name}", self.dataset)
    }

    fn clone_dataset(&self, clone: &Word) -> String {
        format!("{}_{clone}", self.dataset)
    }

    fn get(&self, name: &Name) -> Result<Snapshot, Error> {
        self.list()?.get(name).cloned()
    }

    /// Keeps the words of the holds.
    fn note_holds(&self, name: &Name, holds: &[String]) -> Result<(), Error> {
        let snapshot = self.snapshot(name);
        match holds {
            [] => zfs(&["inherit", HOLDS, &snapshot]),
            holds => zfs(&["set", &format!("{HOLDS}={}", holds.join(",")), &snapshot]),
        }
        .map(drop)
    }
}

/// What the properties of a snapshot say.
fn read(name: Name, values: &BTreeMap<String, String>) -> Snapshot {
    let about = About::from_pairs(|key| values.get(&format!("{OURS}{key}")).map(String::as_str));
    let about = about.filter(|about| (about.label, about.hash.as_str()) == (name.label(), name.hash()));
    let number = |key: &str| values.get(key).and_then(|value| value.parse::<u64>().ok());
    let noted = values.get(HOLDS).map(String::as_str).unwrap_or_default();
    let mut holds: Vec<String> = noted.split(',').filter(|word| !word.is_empty()).map(str::to_owned).collect();
    if number("userrefs").unwrap_or(0) > holds.len() as u64 {
        holds.push("others".to_owned());
    }
    Snapshot { name, about, holds, clones: Vec::new(), bytes: number("used") }
}

impl Backend for Zfs {
    fn kind(&self) -> &'static str {
        "zfs"
    }

    fn list(&self) -> Result<Listed, Error> {
        let ours = KEYS.map(|key| format!("{OURS}{key}")).join(",");
        let wanted = format!("userrefs,used,{HOLDS},{ours}");
        let found = values(&zfs(&["get", "-Hp", "-r", "-o", "name,property,value", &wanted, &self.dataset])?);
        let mut listed = Listed::default();
        for (name, values) in &found {
            let name = name.strip_prefix(self.dataset.as_str()).and_then(|rest| rest.strip_prefix('@'));
            let Some(name) = name.and_then(|name| Name::parse(&self.prefix, name)) else { continue };
            listed.snapshots.push(read(name, values));
        }
        listed.snapshots.sort_by(|a, b| a.name.cmp(&b.name));
        let parent = self.dataset.rsplit_once('/').map_or(self.dataset.as_str(), |(parent, _)| parent);
        let children = zfs(&["list", "-H", "-r", "-t", "filesystem", "-o", "name,origin,mountpoint", parent])?;
        for line in children.lines() {
            let parts: Vec<&str> = line.split('\t').collect();
            let [name, origin, mount] = parts.as_slice() else { continue };
            let name = name.strip_prefix(self.dataset.as_str()).and_then(|rest| rest.strip_prefix('_'));
            let of = origin.strip_prefix(self.dataset.as_str()).and_then(|rest| rest.strip_prefix('@'));
            let (Some(name), Some(of)) = (name, of) else { continue };
            if let Some(snapshot) = listed.snapshots.iter_mut().find(|snapshot| snapshot.name.to_string() == of) {
                snapshot.clones.push(name.to_owned());
            }
            let folder = generation::newest(&PathBuf::from(mount).join(STORE));
            listed.clones.push(Clone { name: name.to_owned(), of: of.to_owned(), folder });
        }
        Ok(listed)
    }

    fn create(&self, name: &Name, about: &About) -> Result<(), Error> {
        let pairs = about.pairs().map(|(key, value)| format!("{OURS}{key}={value}"));
        let mut order = vec!["snapshot"];
        for pair in &pairs {
            order.extend(["-o", pair.as_str()]);
        }
        let snapshot = self.snapshot(name);
        order.push(&snapshot);
        let made = zfs(&order);
        if says(&made, "already exists") {
            return Err(Error::Exists(format!("snapshot {name}")));
        }
        made.map(drop)
    }

    fn destroy(&self, name: &Name) -> Result<(), Error> {
        check_unneeded(&self.get(name)?)?;
        zfs_patiently(&["destroy", &self.snapshot(name)]).map(drop)
    }

    fn hold(&self, name: &Name, by: &Word) -> Result<(), Error> {
        let mut holds = self.get(name)?.holds;
        let held = zfs(&["hold", by.as_str(), &self.snapshot(name)]);
        if !says(&held, "tag already exists") {
            held?;
        }
        holds.retain(|word| word != "others" && word != by.as_str());
        holds.push(by.to_string());
        self.note_holds(name, &holds)
    }

    fn release(&self, name: &Name, by: &Word) -> Result<(), Error> {
        let mut holds = self.get(name)?.holds;
        let released = zfs(&["release", by.as_str(), &self.snapshot(name)]);
        match says(&released, "no such tag") {
            // Of an order that was killed on its way the word may be left.
            true if holds.iter().any(|word| word == by.as_str()) => {}
            true => return Err(Error::NotThere(format!("hold {by} of {name}"))),
            false => drop(released?),
        }
        holds.retain(|word| word != "others" && word != by.as_str());
        self.note_holds(name, &holds)
    }

    fn clone_of(&self, name: &Name, clone: &Word) -> Result<PathBuf, Error> {
        self.get(name)?;
        let target = self.clone_dataset(clone);
        let made = zfs(&["clone", &self.snapshot(name), &target]);
        if says(&made, "already exists") {
            return Err(Error::Exists(format!("clone {clone}")));
        }
        made?;
        let found = self.list()?.clones.into_iter().find(|found| found.name == clone.as_str());
        match found {
            Some(found) if found.folder.is_dir() => Ok(found.folder),
            _ => Err(Error::Unusable(format!("clone {target} is made and not mounted: `zfs mount {target}` as root"))),
        }
    }

    fn renew(&self, of: Option<&Name>, to: &Path) -> Result<(), Error> {
        let Some(name) = of else { return std::fs::create_dir_all(to).map_err(at(to)) };
        self.clear()?;
        // The dataset stays what it is, with its newer snapshots: the store is copied out of a clone that is there for it.
        let clone = Word::new(RENEWING)?;
        let from = self.clone_of(name, &clone)?;
        let part = to.with_extension("part");
        let copied = generation::remove(&part)
            .and_then(|()| copy::copy(&from, &part, None, Duration::ZERO))
            .and_then(|()| std::fs::rename(&part, to))
            .and_then(|()| copy::sync_folder(to.parent().unwrap_or(to)))
            .map_err(at(to));
        self.clear()?;
        copied
    }

    fn destroy_clone(&self, clone: &Word) -> Result<(), Error> {
        if !self.list()?.clones.iter().any(|found| found.name == clone.as_str()) {
            return Err(Error::NotThere(format!("clone {clone}")));
        }
        zfs_patiently(&["destroy", &self.clone_dataset(clone)]).map(drop)
    }

    fn room(&self) -> Result<Room, Error> {
        let pool = self.dataset.split('/').next().unwrap_or(&self.dataset);
        let asked = ["get", "-Hp", "-o", "name,property,value", "available,used", &self.dataset, pool];
        let found = values(&zfs(&asked)?);
        let number =
            |of: &str, key: &str| found.get(of).and_then(|of| of.get(key)).and_then(|value| value.parse().ok());
        let free: Option<u64> = number(&self.dataset, "available");
        let free = free.ok_or_else(|| Error::Unusable(format!("{} has no room to speak of", self.dataset)))?;
        Ok(Room { free, total: free.saturating_add(number(pool, "used").unwrap_or(0)) })
    }

    fn changed_files(&self, from: &Name, to: &Name) -> Result<Option<Vec<String>>, Error> {
        let listed = self.list()?;
        listed.get(from)?;
        listed.get(to)?;
        let told = zfs(&["diff", "-H", &self.snapshot(from), &self.snapshot(to)]);
        if says(&told, "unrecognized command") {
            return Ok(None);
        }
        Ok(Some(told?.lines().take(MAX_FILES).map(|line| line.replace('\t', " ")).collect()))
    }

    fn trouble(&self) -> Option<String> {
        let pool = self.dataset.split('/').next().unwrap_or(&self.dataset);
        match run("zpool", &["list", "-H", "-o", "health", pool]) {
            Ok(health) if health.trim() == "ONLINE" => None,
            Ok(health) => Some(format!("pool {pool} is {}", health.trim())),
            Err(error) => Some(error.told()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Planted: a hold that is not ours not seen.
    #[test]
    fn what_zfs_says_is_read_and_what_is_not_ours_is_left_out() {
        let text = "tank/hg/a\tuserrefs\t-\ntank/hg/a@c_5_Qm1\tuserrefs\t2\ntank/hg/a@c_5_Qm1\tused\t4096\n\
                    tank/hg/a@c_5_Qm1\thoneygraph:holds\tkeep\ntank/hg/a@c_5_Qm1\thoneygraph:hash\tQm1\tx\nnonsense\n";
        let values = values(text);
        assert_eq!(values.len(), 2);
        assert_eq!(values["tank/hg/a"].len(), 0, "a dash is none");
        let snapshot = read(Name::new("c", 5, "Qm1").unwrap(), &values["tank/hg/a@c_5_Qm1"]);
        assert_eq!((snapshot.bytes, snapshot.about.is_none()), (Some(4096), true));
        assert_eq!(snapshot.holds, ["keep", "others"]);
    }
}
