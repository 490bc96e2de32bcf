//! Who a node is: an ed25519 key in a file of its own.
//!
//! *Always holds:* the file is readable by its owner alone (0600), and complete or absent: it is written aside, synced
//! and renamed. A file that holds no key is an error, never silently replaced: the key is how others know this node.

use libp2p::PeerId;
use libp2p::identity::Keypair;
use std::fs::{self, File, OpenOptions, Permissions};
use std::io::{self, Read, Write};
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

/// Longest key file read, in bytes: a key takes 68.
const MAX_FILE_BYTES: u64 = 1024;
/// Its owner may read and write it.
const MODE: u32 = 0o600;

/// Why there is no identity.
#[derive(Debug, thiserror::Error)]
pub enum IdentityError {
    /// The file system refused.
    #[error("{path}: {source}")]
    Io {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The file holds something else.
    #[error("{0} holds no ed25519 key: put it back from a backup, or make another with `honeygraph key rotate`")]
    NotAKey(PathBuf),
}

/// The key in this file; a new one when there is none.
pub fn load_or_make(path: &Path) -> Result<Keypair, IdentityError> {
    match load(path)? {
        Some(key) => Ok(key),
        None => make(path),
    }
}

/// The key in this file, if there is one.
pub fn load(path: &Path) -> Result<Option<Keypair>, IdentityError> {
    let io = |source| IdentityError::Io { path: path.to_owned(), source };
    let file = match File::open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(io(error)),
    };
    // Somebody may have copied it with other rights.
    if file.metadata().map_err(io)?.permissions().mode() & 0o777 != MODE {
        file.set_permissions(Permissions::from_mode(MODE)).map_err(io)?;
    }
    let mut bytes = Vec::new();
    file.take(MAX_FILE_BYTES).read_to_end(&mut bytes).map_err(io)?;
    let key = Keypair::from_protobuf_encoding(&bytes).map_err(|_| IdentityError::NotAKey(path.to_owned()))?;
    Ok(Some(key))
}

/// A new key, in the place of the one that was there.
pub fn make(path: &Path) -> Result<Keypair, IdentityError> {
    let io = |source| IdentityError::Io { path: path.to_owned(), source };
    let key = Keypair::generate_ed25519();
    let bytes = key.to_protobuf_encoding().map_err(|error| io(io::Error::other(error)))?;
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    fs::create_dir_all(folder).map_err(io)?;
    let aside = path.with_extension("new");
    // What a killed process left has whatever rights it has.
    match fs::remove_file(&aside) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(io(error)),
        _ => {}
    }
    let mut file = OpenOptions::new().write(true).create_new(true).mode(MODE).open(&aside).map_err(io)?;
    file.write_all(&bytes).and_then(|()| file.sync_all()).map_err(io)?;
    fs::rename(&aside, path).map_err(io)?;
    File::open(folder).and_then(|folder| folder.sync_all()).map_err(io)?;
    Ok(key)
}

/// The name under which others know this key.
pub fn peer_id(key: &Keypair) -> PeerId {
    key.public().to_peer_id()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_kept_and_only_its_owner_reads_it() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("swarm/key");
        let made = load_or_make(&path).unwrap();
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        fs::set_permissions(&path, Permissions::from_mode(0o644)).unwrap();
        assert_eq!(peer_id(&load_or_make(&path).unwrap()), peer_id(&made), "the same after a restart");
        // Guards against: rights were set only on a new file.
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        assert_ne!(peer_id(&make(&path).unwrap()), peer_id(&made), "rotated");
    }

    #[test]
    fn a_damaged_key_is_not_replaced() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("key");
        fs::write(&path, b"not a key").unwrap();
        assert!(matches!(load_or_make(&path), Err(IdentityError::NotAKey(_))));
        assert_eq!(fs::read(&path).unwrap(), b"not a key");
    }
}
