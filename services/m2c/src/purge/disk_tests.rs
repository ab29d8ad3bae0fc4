//! What an attacker, a clumsy hand or another disk can do to the trash.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::PathBuf;
use std::process::Command;

use tempfile::TempDir;

use super::*;

const ORDER: Uuid = Uuid::from_u128(7);

struct Place {
    folder: TempDir,
    buffer: BufferDir,
    name: FileName,
}

impl Place {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let buffer = folder.path().join("buffer");
        fs::create_dir(&buffer).unwrap();
        fs::write(buffer.join("run1.mid"), b"run 1").unwrap();
        Self {
            buffer: BufferDir::open(&buffer).unwrap(),
            name: "run1.mid".parse().unwrap(),
            folder,
        }
    }

    fn path(&self, below: &str) -> PathBuf {
        self.folder.path().join("buffer").join(below)
    }

    fn trashed(&self) -> PathBuf {
        self.path(&format!("{TRASH}/{ORDER}/run1.mid"))
    }

    fn held(&self) -> HeldFile {
        self.buffer.hold(&self.name).unwrap().unwrap()
    }

    fn trash(&self) -> Trash<'_> {
        self.buffer.trash(ORDER, true).unwrap().unwrap()
    }
}

#[test]
fn a_file_goes_to_the_trash_and_comes_back() {
    let place = Place::new();
    let held = place.held();
    let trash = place.trash();
    trash.take(&place.name, &held).unwrap();
    trash.sync(&[]).unwrap();
    assert_eq!(fs::read(place.trashed()).unwrap(), b"run 1");
    assert!(!place.path("run1.mid").try_exists().unwrap());
    let back = trash.put_back(&place.name).unwrap().unwrap();
    assert!(is_same(&back, &held.identity));
    assert_eq!(fs::read(place.path("run1.mid")).unwrap(), b"run 1");
    assert!(trash.put_back(&place.name).unwrap().is_none());
    trash.close(&[]).unwrap();
    assert!(place.buffer.trash(ORDER, false).unwrap().is_none());
}

#[test]
fn a_file_below_a_folder_lies_in_the_trash_below_the_same_and_no_link_leads_there() {
    let mut place = Place::new();
    place.name = "7/raw/run7.mid".parse().unwrap();
    let names = [place.name.clone()];
    assert!(place.buffer.look(&place.name).unwrap().is_none());
    fs::create_dir_all(place.path("7/raw")).unwrap();
    fs::write(place.path("7/raw/run7.mid"), b"run 7").unwrap();
    let held = place.held();
    let trash = place.trash();
    trash.take(&place.name, &held).unwrap();
    trash.sync(&names).unwrap();
    let trashed = place.path(&format!("{TRASH}/{ORDER}/7/raw/run7.mid"));
    assert_eq!(fs::read(&trashed).unwrap(), b"run 7");
    // The buffer's folder is tidied away, and made again.
    fs::remove_dir_all(place.path("7")).unwrap();
    assert!(trash.put_back(&place.name).unwrap().is_some());
    assert_eq!(fs::read(place.path("7/raw/run7.mid")).unwrap(), b"run 7");
    let held = place.held();
    trash.take(&place.name, &held).unwrap();
    assert!(trash.remove(&place.name, &held.identity).unwrap());
    trash.close(&names).unwrap();
    assert!(place.buffer.trash(ORDER, false).unwrap().is_none());

    fs::remove_dir(place.path("7/raw")).unwrap();
    let outside = place.folder.path().join("outside");
    fs::create_dir(&outside).unwrap();
    fs::write(outside.join("run7.mid"), b"run 7").unwrap();
    symlink(&outside, place.path("7/raw")).unwrap();
    let refused = place.buffer.hold(&place.name);
    assert!(
        matches!(refused, Err(DiskError::NotRegular { .. })),
        "{refused:?}"
    );
}

#[test]
fn only_what_was_put_there_is_removed() {
    let place = Place::new();
    let held = place.held();
    let trash = place.trash();
    trash.take(&place.name, &held).unwrap();
    // Somebody exchanges it in the trash.
    fs::remove_file(place.trashed()).unwrap();
    fs::write(place.trashed(), b"other").unwrap();
    let refused = trash.remove(&place.name, &held.identity);
    assert!(
        matches!(refused, Err(DiskError::NotOurs { .. })),
        "{refused:?}"
    );
    assert_eq!(fs::read(place.trashed()).unwrap(), b"other");
    // Or puts a link there.
    fs::remove_file(place.trashed()).unwrap();
    symlink(place.folder.path(), place.trashed()).unwrap();
    let refused = trash.remove(&place.name, &held.identity);
    assert!(
        matches!(refused, Err(DiskError::NotRegular { .. })),
        "{refused:?}"
    );
    fs::remove_file(place.trashed()).unwrap();
    assert!(
        !trash.remove(&place.name, &held.identity).unwrap(),
        "gone already"
    );
}

#[test]
fn a_file_that_is_replaced_after_the_check_goes_back() {
    let place = Place::new();
    let held = place.held();
    let other = place.path("other");
    fs::write(&other, b"run 1").unwrap();
    fs::rename(&other, place.path("run1.mid")).unwrap();
    let trash = place.trash();
    let refused = trash.take(&place.name, &held);
    assert!(
        matches!(refused, Err(DiskError::Replaced { .. })),
        "{refused:?}"
    );
    assert_eq!(fs::read(place.path("run1.mid")).unwrap(), b"run 1");
    assert!(trash.look(&place.name).unwrap().is_none());
}

#[test]
fn a_file_that_is_written_after_the_check_goes_back() {
    let place = Place::new();
    let held = place.held();
    fs::write(place.path("run1.mid"), b"run 1 and more").unwrap();
    let refused = place.trash().take(&place.name, &held);
    assert!(
        matches!(refused, Err(DiskError::Replaced { .. })),
        "{refused:?}"
    );
    assert!(place.path("run1.mid").try_exists().unwrap());
}

#[test]
fn nothing_is_overwritten_on_either_side() {
    let place = Place::new();
    let held = place.held();
    let trash = place.trash();
    fs::write(place.trashed(), b"older").unwrap();
    let refused = trash.take(&place.name, &held);
    assert!(
        matches!(refused, Err(DiskError::NameTaken { .. })),
        "{refused:?}"
    );
    assert_eq!(fs::read(place.path("run1.mid")).unwrap(), b"run 1");
    let refused = trash.put_back(&place.name);
    assert!(
        matches!(refused, Err(DiskError::NameTaken { .. })),
        "{refused:?}"
    );
    assert_eq!(fs::read(place.trashed()).unwrap(), b"older");
}

#[test]
fn links_lead_nowhere() {
    let place = Place::new();
    let outside = place.folder.path().join("outside");
    fs::create_dir(&outside).unwrap();
    symlink(&outside, place.path(TRASH)).unwrap();
    let refused = place.buffer.trash(ORDER, true);
    assert!(matches!(refused, Err(DiskError::NotATrash)), "{refused:?}");
    fs::remove_file(place.path(TRASH)).unwrap();
    fs::create_dir(place.path(TRASH)).unwrap();
    symlink(&outside, place.path(&format!("{TRASH}/{ORDER}"))).unwrap();
    let refused = place.buffer.trash(ORDER, true);
    assert!(matches!(refused, Err(DiskError::NotATrash)), "{refused:?}");
    assert_eq!(fs::read_dir(&outside).unwrap().count(), 0);

    fs::remove_file(place.path("run1.mid")).unwrap();
    symlink("/etc/hostname", place.path("run1.mid")).unwrap();
    let refused = place.buffer.hold(&place.name);
    assert!(
        matches!(refused, Err(DiskError::NotRegular { .. })),
        "{refused:?}"
    );
    fs::remove_file(place.path("run1.mid")).unwrap();
    fs::create_dir(place.path("run1.mid")).unwrap();
    let refused = place.buffer.hold(&place.name);
    assert!(
        matches!(refused, Err(DiskError::NotRegular { .. })),
        "{refused:?}"
    );
}

#[test]
fn further_names_of_a_file_are_counted() {
    let place = Place::new();
    assert_eq!(place.held().links, 1);
    fs::hard_link(place.path("run1.mid"), place.folder.path().join("kept")).unwrap();
    assert_eq!(place.held().links, 2);
}

#[test]
fn side_files_go_along_and_only_files_do() {
    let place = Place::new();
    let side: FileName = "run1.mid.crc32c".parse().unwrap();
    let trash = place.trash();
    assert!(!trash.take_along(&side).unwrap());
    fs::create_dir(place.path(side.as_str())).unwrap();
    assert!(!trash.take_along(&side).unwrap());
    fs::remove_dir(place.path(side.as_str())).unwrap();
    fs::write(place.path(side.as_str()), b"sum").unwrap();
    assert!(trash.take_along(&side).unwrap());
    trash.remove_along(&side).unwrap();
    trash.remove_along(&side).unwrap();
    trash.close(&[]).unwrap();
}

/// In a mount namespace of its own, where the kernel lets us have one: a trash on
/// another disk, and a disk that became read-only.
#[test]
fn another_disk_and_a_read_only_disk_are_refused() {
    const BUFFER: &str = "AQUIFER_TEST_MOUNTED_BUFFER";
    if let Ok(buffer) = std::env::var(BUFFER) {
        let read_only = buffer.ends_with("read-only");
        let buffer = BufferDir::open(buffer.as_ref()).unwrap();
        let refused = buffer.trash(ORDER, true);
        let error = refused.as_ref().err();
        let right = match error {
            Some(DiskError::NotATrash) => !read_only,
            Some(DiskError::Io { source, .. }) => {
                read_only && source.kind() == io::ErrorKind::ReadOnlyFilesystem
            }
            _ => false,
        };
        assert!(right, "{refused:?}");
        return;
    }
    let here = tempfile::tempdir().unwrap();
    for (kind, mount) in [
        (
            "other-disk",
            "mkdir $B/.purge && mount -t tmpfs none $B/.purge",
        ),
        (
            "read-only",
            "mount -t tmpfs none $B && mount -o remount,ro $B",
        ),
    ] {
        let buffer = here.path().join(kind);
        fs::create_dir(&buffer).unwrap();
        let script = format!("{mount} || exit 77; exec \"$0\" --exact \"$1\" --nocapture");
        let output = Command::new("unshare")
            .args(["-r", "-m", "sh", "-c", &script])
            .arg(std::env::current_exe().unwrap())
            .arg(concat!(
                "purge::disk::tests::",
                "another_disk_and_a_read_only_disk_are_refused"
            ))
            .env("B", &buffer)
            .env(BUFFER, &buffer)
            .output();
        let Ok(output) = output else {
            return;
        };
        let said = String::from_utf8_lossy(&output.stdout).into_owned()
            + &String::from_utf8_lossy(&output.stderr);
        // A kernel that forbids namespaces or mounts says so before the test begins.
        let ran = said.contains("running 1 test");
        assert!(!ran || output.status.success(), "{kind}: {said}");
    }
}
