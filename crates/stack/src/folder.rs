//! The stack's folder: made private, checked, and locked by the process that uses it.
//!
//! ```text
//! stack.json            endpoints, credentials, processes
//! lock                  held by the starter
//! data/<server>/        kept between starts
//! log/<server>.log      of the last start; `.log.1` of the one before
//! etc/ run/ tmp/        made anew at each start
//! ```

use std::collections::hash_map::DefaultHasher;
use std::fs::{self, DirBuilder, File, OpenOptions, TryLockError};
use std::hash::{Hash, Hasher};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use nix::unistd::Uid;

use crate::{Server, StackError};

/// The longest path that a Unix socket can have.
const SOCKET_PATH_MAX: usize = 107;
/// How much of a log is looked at for its last lines.
const TAIL_BYTES: u64 = 8 * 1024;
/// How many lines of a log are shown in an error.
const TAIL_LINES: usize = 15;

/// A stack's folder that this process alone uses.
#[derive(Debug)]
pub(crate) struct Folder {
    root: PathBuf,
    /// Sockets live here: `run/`, or a short path in `/tmp` if `run/` is too deep.
    sockets: PathBuf,
    _lock: Lock,
}

impl Folder {
    /// Makes the folder if needed and locks it.
    pub(crate) fn claim(path: &Path, must_be_new: bool) -> Result<Self, StackError> {
        make_private(path)?;
        let root = fs::canonicalize(path).map_err(StackError::io("resolve", path))?;
        check(&root)?;
        let lock = lock(&root)?.ok_or_else(|| StackError::InUse { root: root.clone() })?;
        if must_be_new && root.join("data").try_exists().unwrap_or(true) {
            return Err(StackError::Folder {
                path: root,
                reason: "an ephemeral stack wants a new folder, this one has data",
            });
        }
        for name in ["etc", "run", "tmp"] {
            remove_tree(&root.join(name))?;
        }
        for name in ["data", "etc", "log", "run", "tmp"] {
            make_private(&root.join(name))?;
        }
        let sockets = socket_folder(&root)?;
        Ok(Self {
            root,
            sockets,
            _lock: lock,
        })
    }

    pub(crate) fn root(&self) -> &Path {
        &self.root
    }

    pub(crate) fn sockets(&self) -> &Path {
        &self.sockets
    }

    pub(crate) fn data(&self, server: Server) -> PathBuf {
        self.root.join("data").join(server.name())
    }

    pub(crate) fn tmp(&self) -> PathBuf {
        self.root.join("tmp")
    }

    /// Writes a file that only the owner can read; returns its path.
    pub(crate) fn write_etc(&self, name: &str, text: &str) -> Result<PathBuf, StackError> {
        let path = self.root.join("etc").join(name);
        write_private(&path, text.as_bytes()).map_err(StackError::io("write", &path))?;
        Ok(path)
    }

    pub(crate) fn log_path(&self, server: Server) -> PathBuf {
        self.root.join("log").join(format!("{server}.log"))
    }

    /// Puts the log of the last start aside.
    pub(crate) fn turn_log(&self, server: Server) -> Result<(), StackError> {
        let log = self.log_path(server);
        match fs::rename(&log, log.with_extension("log.1")) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                Err(StackError::io("rename", &log)(error))
            }
            _ => Ok(()),
        }
    }

    /// Opens a server's log to write on.
    pub(crate) fn log(&self, server: Server) -> Result<File, StackError> {
        let path = self.log_path(server);
        OpenOptions::new()
            .create(true)
            .append(true)
            .mode(0o600)
            .open(&path)
            .map_err(StackError::io("open", &path))
    }

    /// The last lines of a server's log.
    pub(crate) fn log_tail(&self, server: Server) -> String {
        tail_of_file(&self.log_path(server)).unwrap_or_else(|error| format!("({error})"))
    }

    /// Removes the sockets that are not in the folder itself.
    pub(crate) fn remove_outside_sockets(&self) {
        if !self.sockets.starts_with(&self.root) {
            // It is ours (see `socket_folder`); left behind it would do no harm.
            let _ = fs::remove_dir_all(&self.sockets);
        }
    }
}

/// A locked folder.
#[derive(Debug)]
pub(crate) struct Lock(File);

impl Drop for Lock {
    fn drop(&mut self) {
        // Closing would do, but for a child that another thread has just forked: it holds
        // the file until it executes its program. Fails only if the file was not locked.
        let _ = self.0.unlock();
    }
}

/// Tries to lock a stack's folder: `None` if another process holds it.
pub(crate) fn lock(root: &Path) -> Result<Option<Lock>, StackError> {
    let path = root.join("lock");
    let file = OpenOptions::new()
        .create(true)
        .truncate(false)
        .write(true)
        .mode(0o600)
        .open(&path)
        .map_err(StackError::io("open", &path))?;
    match file.try_lock() {
        Ok(()) => Ok(Some(Lock(file))),
        Err(TryLockError::WouldBlock) => Ok(None),
        Err(TryLockError::Error(error)) => Err(StackError::io("lock", &path)(error)),
    }
}

/// Replaces a file that only the owner can read; a crash leaves the old or the new one.
pub(crate) fn write_private(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let new = path.with_extension("new");
    let mut file = OpenOptions::new()
        .create(true)
        .truncate(true)
        .write(true)
        .mode(0o600)
        .open(&new)?;
    file.write_all(bytes)?;
    file.sync_all()?;
    fs::rename(&new, path)
}

/// Removes a folder with all that is in it, if it is there.
pub(crate) fn remove_tree(path: &Path) -> Result<(), StackError> {
    match fs::remove_dir_all(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => {
            Err(StackError::io("remove", path)(error))
        }
        _ => Ok(()),
    }
}

/// The last lines of some output.
pub(crate) fn tail(text: &str) -> String {
    let lines: Vec<&str> = text.lines().collect();
    lines[lines.len().saturating_sub(TAIL_LINES)..].join("\n")
}

fn tail_of_file(path: &Path) -> io::Result<String> {
    let mut file = File::open(path)?;
    let length = file.metadata()?.len();
    file.seek(SeekFrom::Start(length.saturating_sub(TAIL_BYTES)))?;
    let mut bytes = Vec::new();
    file.take(TAIL_BYTES).read_to_end(&mut bytes)?;
    Ok(tail(&String::from_utf8_lossy(&bytes)))
}

fn make_private(path: &Path) -> Result<(), StackError> {
    DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(path)
        .map_err(StackError::io("make the folder", path))
}

/// The path goes into the servers' configurations, where these characters separate.
fn check(root: &Path) -> Result<(), StackError> {
    let refuse = |reason| {
        Err(StackError::Folder {
            path: root.to_path_buf(),
            reason,
        })
    };
    match root.to_str() {
        None => refuse("its path is not UTF-8"),
        Some(text) if text.contains([',', '\\']) || text.contains(char::is_control) => {
            refuse("its path has a comma, a backslash or a control character in it")
        }
        Some(_) => Ok(()),
    }
}

/// A folder for sockets whose paths are short enough.
fn socket_folder(root: &Path) -> Result<PathBuf, StackError> {
    let inside = root.join("run");
    let longest = inside.join("mariadb.sock").as_os_str().len();
    if longest <= SOCKET_PATH_MAX {
        return Ok(inside);
    }
    let mut hasher = DefaultHasher::new();
    root.hash(&mut hasher);
    let uid = Uid::effective();
    let outside = PathBuf::from(format!("/tmp/aquifer-{uid}-{:016x}", hasher.finish()));
    make_private(&outside)?;
    // Anyone may make folders in /tmp: one of that name that is not ours alone is a trap.
    let found = fs::symlink_metadata(&outside).map_err(StackError::io("look at", &outside))?;
    if !found.is_dir() || found.uid() != uid.as_raw() || found.mode() & 0o077 != 0 {
        return Err(StackError::Folder {
            path: outside,
            reason: "somebody else owns or can enter this folder for sockets",
        });
    }
    Ok(outside)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn a_folder_is_private_and_used_by_one_at_a_time() {
        let parent = tempfile::tempdir().unwrap();
        let path = parent.path().join("a/b");
        let folder = Folder::claim(&path, false).unwrap();
        assert_eq!(
            fs::metadata(&path).unwrap().permissions().mode() & 0o777,
            0o700
        );
        assert!(matches!(
            Folder::claim(&path, false),
            Err(StackError::InUse { .. })
        ));
        drop(folder);
        Folder::claim(&path, false).unwrap();
        assert!(matches!(
            Folder::claim(&path, true),
            Err(StackError::Folder { .. })
        ));
    }

    #[test]
    fn paths_that_would_break_a_configuration_are_refused() {
        let parent = tempfile::tempdir().unwrap();
        for name in ["a,b", "a\\b", "a\nb"] {
            let claimed = Folder::claim(&parent.path().join(name), false);
            assert!(matches!(claimed, Err(StackError::Folder { .. })), "{name}");
        }
        Folder::claim(&parent.path().join("a b"), false).unwrap();
    }

    #[test]
    fn sockets_of_a_deep_folder_get_a_short_path() {
        let parent = tempfile::tempdir().unwrap();
        let deep = parent.path().join("d".repeat(120));
        let folder = Folder::claim(&deep, false).unwrap();
        let socket = folder.sockets().join("mariadb.sock");
        assert!(socket.as_os_str().len() <= SOCKET_PATH_MAX, "{socket:?}");
        folder.remove_outside_sockets();
        assert!(!folder.sockets().try_exists().unwrap());
    }

    #[test]
    fn a_tail_is_the_last_lines() {
        let text = (0..100).fold(String::new(), |text, line| format!("{text}line {line}\n"));
        let end = tail(&text);
        assert_eq!(end.lines().count(), TAIL_LINES);
        assert!(end.ends_with("line 99"));
        assert_eq!(tail(""), "");
    }
}
