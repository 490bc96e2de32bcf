//! Real file I/O through the mount, and then the power goes.

use super::{PowercutDisk, available};
use std::fs::{self, File, OpenOptions};
use std::io::{Read, Seek, SeekFrom, Write};
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::time::{Duration, Instant};

/// Seeds tried where an outcome is up to chance.
const SEEDS: u64 = 24;

fn disk(test: &str) -> Option<PowercutDisk> {
    available(test).then(|| PowercutDisk::mount().expect("mounted"))
}

fn sync_folder(folder: &Path) {
    File::open(folder).and_then(|folder| folder.sync_all()).expect("folder synced");
}

fn synced_file(path: &Path, content: &[u8]) -> File {
    let mut file = OpenOptions::new().create(true).truncate(true).read(true).write(true).open(path).expect("created");
    file.write_all(content).expect("written");
    file.sync_all().expect("synced");
    sync_folder(path.parent().expect("in a folder"));
    file
}

#[test]
fn what_was_synced_survives_every_cut() {
    let Some(mut disk) = disk("what_was_synced_survives_every_cut") else { return };
    let path = disk.path().join("kept");
    let content: Vec<u8> = (0..50_000_u32).map(|at| (at % 251) as u8).collect();
    drop(synced_file(&path, &content));
    for seed in 0..SEEDS {
        disk.restart(seed).expect("restarted");
        assert_eq!(fs::read(&path).expect("still there"), content, "seed {seed}");
    }
}

#[test]
fn unsynced_data_is_lost_or_torn_or_kept() {
    let Some(mut disk) = disk("unsynced_data_is_lost_or_torn_or_kept") else { return };
    let path = disk.path().join("log");
    let (mut lost, mut torn, mut kept) = (0, 0, 0);
    for seed in 0..SEEDS {
        let mut file = synced_file(&path, &[b'o'; 16 * 4096]);
        file.seek(SeekFrom::Start(0)).expect("sought");
        file.write_all(&[b'n'; 16 * 4096]).expect("written");
        drop(file);
        disk.restart(seed).expect("restarted");
        let found = fs::read(&path).expect("still there");
        assert_eq!(found.len(), 16 * 4096);
        for page in found.chunks(4096) {
            let new = page.iter().filter(|byte| **byte == b'n').count();
            assert_eq!(new % 512, 0, "sectors are whole");
            lost += u32::from(new == 0);
            kept += u32::from(new == 4096);
            torn += u32::from(new > 0 && new < 4096);
        }
    }
    assert!(lost > 0 && torn > 0 && kept > 0, "lost {lost}, torn {torn}, kept {kept}");
}

#[test]
fn an_unsynced_append_may_leave_any_size_but_no_strange_bytes() {
    let Some(mut disk) = disk("an_unsynced_append_may_leave_any_size_but_no_strange_bytes") else { return };
    let path = disk.path().join("log");
    let mut sizes = std::collections::BTreeSet::new();
    for seed in 0..SEEDS {
        let mut file = synced_file(&path, &[b'o'; 1000]);
        file.write_all(&[b'n'; 20_000]).expect("written");
        drop(file);
        disk.restart(seed).expect("restarted");
        let found = fs::read(&path).expect("still there");
        assert!(found.len() >= 1000 && found.len() <= 21_000, "{}", found.len());
        assert!(found[..1000].iter().all(|byte| *byte == b'o'));
        assert!(found[1000..].iter().all(|byte| *byte == b'n' || *byte == 0));
        sizes.insert(found.len());
    }
    assert!(sizes.contains(&1000) && sizes.contains(&21_000) && sizes.len() > 2, "{sizes:?}");
}

#[test]
fn a_file_without_its_folders_fsync_may_be_gone() {
    let Some(mut disk) = disk("a_file_without_its_folders_fsync_may_be_gone") else { return };
    let path = disk.path().join("new");
    let mut gone = 0;
    for seed in 0..SEEDS {
        fs::write(&path, b"data").expect("written");
        File::open(&path).and_then(|file| file.sync_all()).expect("synced");
        disk.restart(seed).expect("restarted");
        match fs::read(&path) {
            Ok(found) => assert_eq!(found, b"data", "its data was synced"),
            Err(_) => gone += 1,
        }
        let _ = fs::remove_file(&path);
        sync_folder(disk.path());
    }
    assert!(gone > 0 && gone < SEEDS, "gone {gone}");
}

#[test]
fn a_rename_without_its_folders_fsync_may_not_have_happened() {
    let Some(mut disk) = disk("a_rename_without_its_folders_fsync_may_not_have_happened") else { return };
    let (old, new) = (disk.path().join("tip.new"), disk.path().join("tip"));
    let (mut before, mut after) = (0, 0);
    for seed in 0..SEEDS {
        drop(synced_file(&new, b"old"));
        drop(synced_file(&old, b"new"));
        fs::rename(&old, &new).expect("renamed");
        disk.restart(seed).expect("restarted");
        match fs::read(&new).expect("one of the two").as_slice() {
            b"old" => before += 1,
            b"new" => after += 1,
            other => panic!("neither: {other:?}"),
        }
    }
    assert!(before > 0 && after > 0, "before {before}, after {after}");
    drop(synced_file(&old, b"newest"));
    fs::rename(&old, &new).expect("renamed");
    sync_folder(disk.path());
    for seed in 0..SEEDS {
        disk.restart(seed).expect("restarted");
        assert_eq!(fs::read(&new).expect("there"), b"newest");
        assert!(!old.exists());
    }
}

#[test]
fn a_rename_across_folders_is_never_half_done() {
    let Some(mut disk) = disk("a_rename_across_folders_is_never_half_done") else { return };
    let (from, to) = (disk.path().join("a"), disk.path().join("b"));
    fs::create_dir(&from).expect("made");
    fs::create_dir(&to).expect("made");
    sync_folder(disk.path());
    for seed in 0..SEEDS {
        let (old, new) = (from.join("x"), to.join("x"));
        drop(synced_file(&old, b"x"));
        fs::rename(&old, &new).expect("renamed");
        // Even seeds sync one of the two folders: that saves the whole rename.
        if seed % 2 == 0 {
            sync_folder(if seed % 4 == 0 { &from } else { &to });
        }
        disk.restart(seed).expect("restarted");
        assert!(old.exists() != new.exists(), "in one folder and not in both");
        assert!(seed % 2 == 1 || new.exists());
        let _ = fs::remove_file(&new);
        sync_folder(&to);
        let _ = fs::remove_file(&old);
        sync_folder(&from);
    }
}

#[test]
fn a_removed_file_may_come_back_with_what_was_synced() {
    let Some(mut disk) = disk("a_removed_file_may_come_back_with_what_was_synced") else { return };
    let path = disk.path().join("segment");
    let mut back = 0;
    for seed in 0..SEEDS {
        drop(synced_file(&path, b"old"));
        fs::remove_file(&path).expect("removed");
        disk.restart(seed).expect("restarted");
        if let Ok(found) = fs::read(&path) {
            assert_eq!(found, b"old");
            back += 1;
        }
    }
    assert!(back > 0 && back < SEEDS, "back {back}");
}

#[test]
fn the_cut_comes_at_once_and_the_outcome_is_the_seeds() {
    let Some(mut disk) = disk("the_cut_comes_at_once_and_the_outcome_is_the_seeds") else { return };
    let path = disk.path().join("log");
    let mut file = synced_file(&path, b"synced ");
    file.write_all(b"not synced").expect("written");
    disk.cut();
    assert!(file.sync_all().is_err(), "nothing becomes safe after the cut");
    assert!(file.write_all(b"more").is_err());
    drop(file);
    let found = disk.volume.lock().clone();
    let outcome = |seed| {
        let (volume, losses) = super::settle::settle(found.clone(), seed);
        let contents: Vec<_> = volume.inodes.keys().filter_map(|ino| volume.file(*ino).ok()).collect();
        (contents.iter().map(|file| file.now.read(0, 100)).collect::<Vec<_>>(), losses)
    };
    assert!((0..SEEDS).all(|seed| outcome(seed) == outcome(seed)));
    disk.restart(1).expect("restarted");
    assert!(fs::read(&path).expect("there").starts_with(b"synced "));
}

#[test]
fn a_slow_sync_saves_nothing_before_its_end() {
    let Some(mut disk) = disk("a_slow_sync_saves_nothing_before_its_end") else { return };
    let path = disk.path().join("log");
    let mut lost = 0;
    for seed in 0..SEEDS {
        let file = synced_file(&path, b"old");
        disk.set_sync_time(Duration::from_millis(50));
        file.write_all_at(b"new", 0).expect("written");
        let syncing = std::thread::spawn(move || file.sync_data().is_ok());
        disk.cut();
        // On a busy machine the sync may have ended before the power went.
        let synced = syncing.join().expect("joined");
        disk.set_sync_time(Duration::ZERO);
        disk.restart(seed).expect("restarted");
        let found = fs::read(&path).expect("there");
        assert!(!synced || found == b"new", "seed {seed}: it was synced");
        lost += u32::from(found == b"old");
    }
    assert!(lost > 0, "what was being synced may be lost");
}

#[test]
fn a_full_disk_refuses_and_takes_again() {
    let Some(disk) = disk("a_full_disk_refuses_and_takes_again") else { return };
    disk.set_free(1 << 20);
    let path = disk.path().join("big");
    let mut file = File::create(&path).expect("created");
    let full = file.write_all(&vec![1; 2 << 20]).expect_err("no room");
    assert_eq!(full.kind(), std::io::ErrorKind::StorageFull);
    assert!(disk.counters().full > 0);
    drop(file);
    fs::remove_file(&path).expect("removed");
    fs::write(disk.path().join("small"), vec![1; 1 << 19]).expect("room again");
    disk.set_free(8 << 20);
    fs::write(&path, vec![1; 2 << 20]).expect("room now");
}

#[test]
fn a_failed_fsync_loses_what_it_was_to_save() {
    let Some(mut disk) = disk("a_failed_fsync_loses_what_it_was_to_save") else { return };
    let path = disk.path().join("log");
    let file = synced_file(&path, &[b'o'; 8192]);
    file.write_all_at(&[b'n'; 4096], 0).expect("written");
    disk.fail_syncs(1);
    assert!(file.sync_data().is_err());
    file.write_all_at(&[b'n'; 4096], 4096).expect("written");
    file.sync_data().expect("the next one works, and does not try the lost page again");
    drop(file);
    disk.restart(5).expect("restarted");
    let found = fs::read(&path).expect("there");
    assert!(found[..4096].iter().all(|byte| *byte == b'o') && found[4096..].iter().all(|byte| *byte == b'n'));
}

#[test]
fn programs_find_an_ordinary_file_system() {
    let Some(disk) = disk("programs_find_an_ordinary_file_system") else { return };
    let folder = disk.path().join("a/b");
    fs::create_dir_all(&folder).expect("made");
    for number in 0..300 {
        fs::write(folder.join(format!("file-{number}")), number.to_string()).expect("written");
    }
    assert_eq!(fs::read_dir(&folder).expect("listed").count(), 300);
    let lock = File::create(folder.join("lock")).expect("created");
    lock.try_lock().expect("locked");
    assert!(File::open(folder.join("lock")).expect("opened").try_lock().is_err(), "locks hold");
    let mut log = OpenOptions::new().create(true).append(true).read(true).open(folder.join("log")).expect("opened");
    log.write_all(b"one").expect("appended");
    log.write_all(b"two").expect("appended");
    log.set_len(4).expect("cut");
    log.set_len(8).expect("grown");
    let mut found = Vec::new();
    log.seek(SeekFrom::Start(0)).and_then(|_| log.read_to_end(&mut found)).expect("read");
    assert_eq!(found, b"onet\0\0\0\0");
    let gone = File::open(folder.join("file-7")).expect("opened");
    fs::remove_file(folder.join("file-7")).expect("removed");
    let mut byte = [0];
    gone.read_exact_at(&mut byte, 0).expect("an open file outlives its name");
    assert_eq!(&byte, b"7");
    fs::remove_dir_all(disk.path().join("a")).expect("removed");
    assert_eq!(fs::read_dir(disk.path()).expect("listed").count(), 0);
}

#[test]
fn an_embedded_store_runs_on_it_and_keeps_its_commits() {
    let Some(mut disk) = disk("an_embedded_store_runs_on_it_and_keeps_its_commits") else { return };
    for round in 0..4_u64 {
        let store = fjall::Database::builder(disk.path().join("store")).open().expect("opened");
        let rows = store.keyspace("rows", fjall::KeyspaceCreateOptions::default).expect("opened");
        for earlier in 0..round * 50 {
            assert!(rows.get(earlier.to_be_bytes()).expect("read").is_some(), "round {round}, row {earlier}");
        }
        for row in round * 50..(round + 1) * 50 {
            rows.insert(row.to_be_bytes(), vec![7; 500]).expect("inserted");
            store.persist(fjall::PersistMode::SyncAll).expect("synced");
        }
        if round == 0 {
            // fjall leaves its own folder's name to the caller.
            sync_folder(disk.path());
        }
        disk.cut();
        drop((rows, store));
        disk.restart(round).expect("restarted");
    }
}

#[test]
fn every_sync_reaches_it() {
    let Some(disk) = disk("every_sync_reaches_it") else { return };
    let mut file = File::create(disk.path().join("log")).expect("created");
    let start = Instant::now();
    for _ in 0..500 {
        file.write_all(&[1; 4096]).expect("written");
        file.sync_data().expect("synced");
    }
    let rate = 500.0 / start.elapsed().as_secs_f64();
    println!("{rate:.0} appends with fdatasync a second");
    assert_eq!(disk.counters().file_syncs, 500);
}
