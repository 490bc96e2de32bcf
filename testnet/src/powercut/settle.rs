//! The power cut itself: what is found on the disk afterwards.
//!
//! Of what was not synced anything may have reached the disk: each page whole, torn by sectors or not at all, in any
//! order; sizes old, new or between; the steps in each folder up to some point. One seed, one outcome.
//!
//! *Always holds:* what was synced is there as it was synced or as it was written later, never lost; a rename has
//! happened or not, never half.

use super::chance::Chance;
use super::content::{Content, PAGE, Page, SECTOR, Touched};
use super::volume::{Body, Entry, File, Folder, Ino, Inode, ROOT, Step, Volume};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

/// What became of everything that was not synced.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Losses {
    /// Pages that reached the disk.
    pub pages_kept: u64,
    /// Pages that reached it in part.
    pub pages_torn: u64,
    /// Pages that did not.
    pub pages_lost: u64,
    /// Sizes that were set back, in whole or in part.
    pub sizes_lost: u64,
    /// Steps in folders that reached the disk.
    pub steps_kept: u64,
    /// Steps in folders that did not.
    pub steps_lost: u64,
}

/// Shares (in percent) of unsynced things that survive; a cut takes one of them. Nothing and everything come often:
/// a missing sync shows best when nothing unsynced survives, a wrong order of syncs when almost everything does.
const SURVIVAL: [u64; 6] = [0, 0, 20, 50, 85, 100];

/// Share (in percent) of the lost pages that are torn instead.
const TORN: u64 = 30;

/// The disk as it is found after the cut.
pub fn settle(mut volume: Volume, seed: u64) -> (Volume, Losses) {
    let mut chance = Chance::new(seed);
    let mut losses = Losses::default();
    let survival = SURVIVAL[chance.below(SURVIVAL.len() as u64) as usize];
    let steps = std::mem::take(&mut volume.pending);
    let steps = surviving_steps(steps, survival, &mut chance, &mut losses);
    volume.save_steps(steps);
    let mut inodes = BTreeMap::new();
    let mut found = vec![(ROOT, ROOT)];
    let mut seen: BTreeSet<Ino> = BTreeSet::new();
    while let Some((ino, parent)) = found.pop() {
        let Some(inode) = volume.inodes.get(&ino).filter(|_| seen.insert(ino)) else { continue };
        let body = match &inode.body {
            Body::File(file) => Body::File(settle_file(file, survival, &mut chance, &mut losses)),
            Body::Folder(folder) => {
                found.extend(folder.safe.values().map(|below| (*below, ino)));
                Body::Folder(settle_folder(folder, parent))
            }
        };
        inodes.insert(ino, Inode { meta: inode.meta, body, held: u64::from(ino == ROOT), open: 0 });
    }
    let mut found_after = Volume::restored(inodes, volume.capacity);
    found_after.sync_time = volume.sync_time;
    (found_after, losses)
}

/// In each folder the steps up to some point survive; a step in two folders needs both.
fn surviving_steps(steps: Vec<Step>, survival: u64, chance: &mut Chance, losses: &mut Losses) -> Vec<Step> {
    let mut stopped: BTreeSet<Ino> = BTreeSet::new();
    let (kept, lost): (Vec<_>, Vec<_>) = steps.into_iter().partition(|step| {
        let stops = step.changes.iter().any(|(folder, ..)| stopped.contains(folder)) || !chance.percent(survival);
        if stops {
            stopped.extend(step.changes.iter().map(|(folder, ..)| *folder));
        }
        !stops
    });
    losses.steps_kept += kept.len() as u64;
    losses.steps_lost += lost.len() as u64;
    kept
}

fn settle_folder(folder: &Folder, parent: Ino) -> Folder {
    let safe = folder.safe.clone();
    let now = safe.iter().map(|(name, ino)| (name.clone(), Entry { ino: *ino, cookie: 0 })).collect();
    Folder { now, safe, parent }
}

fn settle_file(file: &File, survival: u64, chance: &mut Chance, losses: &mut Losses) -> File {
    let mut left = file.safe.clone();
    let size = surviving_size(file, survival, chance, losses);
    // Grown first, so that pages behind the old size have their place; cut to its size at the end.
    left.resize(size.max(left.size()), &mut Touched::new());
    for number in &file.dirty {
        let new = file.now.page(*number);
        if chance.percent(survival) {
            losses.pages_kept += 1;
            left.put_page(*number, new.cloned());
        } else if chance.percent(TORN) {
            losses.pages_torn += 1;
            let torn = torn(file.safe.page(*number), new, chance);
            left.put_page(*number, Some(torn));
        } else {
            losses.pages_lost += 1;
        }
    }
    fit(&mut left, size);
    File { now: left.clone(), reserved: file.reserved.min(size), safe: left, ..File::default() }
}

/// Cuts to the size: pages may lie behind it although it is not smaller than before.
fn fit(content: &mut Content, size: u64) {
    content.resize(u64::MAX, &mut Touched::new());
    content.resize(size, &mut Touched::new());
}

fn surviving_size(file: &File, survival: u64, chance: &mut Chance, losses: &mut Losses) -> u64 {
    let (old, new) = (file.safe.size(), file.now.size());
    if old == new || chance.percent(survival) {
        return new;
    }
    losses.sizes_lost += 1;
    if new > old && chance.percent(50) {
        // Between: up to a page's end, as writeback leaves it.
        let pages = (new - old) / PAGE as u64;
        return new.min((old / PAGE as u64 + chance.below(pages + 1)) * PAGE as u64).max(old);
    }
    old
}

/// Sector by sector old or new: a run from the start as a disk writes it, or any of them.
fn torn(old: Option<&Arc<Page>>, new: Option<&Arc<Page>>, chance: &mut Chance) -> Arc<Page> {
    let zero: Arc<Page> = Arc::new([0; PAGE]);
    let (old, new) = (old.unwrap_or(&zero), new.unwrap_or(&zero));
    let mut page = **old;
    let sectors = PAGE / SECTOR;
    let run = chance.percent(50).then(|| 1 + chance.below(sectors as u64 - 1) as usize);
    for sector in 0..sectors {
        let range = sector * SECTOR..(sector + 1) * SECTOR;
        let taken = run.map_or_else(|| chance.percent(50), |run| sector < run);
        if taken {
            page[range.clone()].copy_from_slice(&new[range]);
        }
    }
    Arc::new(page)
}
