//! The named steps of a run's way, at which a crash is tried in tests.

/// A message is in the journal, its offset not yet free to be committed.
pub const MESSAGE_JOURNALED: &str = "m2c.message-journaled";
/// The scan has closed a run.
pub const CLOSURE_JOURNALED: &str = "m2c.closure-journaled";
/// An upload of a growing or encoded file is begun, the journal does not know it.
pub const STREAM_BEGUN: &str = "m2c.stream-begun";
/// The journal knows the upload.
pub const STREAM_JOURNALED: &str = "m2c.stream-journaled";
/// The storage has a part, the journal does not know it.
pub const PART_SENT: &str = "m2c.part-sent";
/// The journal knows the part.
pub const PART_JOURNALED: &str = "m2c.part-journaled";
/// All parts of a closed file are sent, nobody has looked whether they are right.
pub const STREAM_SENT: &str = "m2c.stream-sent";
/// They are right; the upload is not completed.
pub const STREAM_VERIFIED: &str = "m2c.stream-verified";
/// An upload that is of no use was dropped, the journal does not know it.
pub const STREAM_DROPPED: &str = "m2c.stream-dropped";
/// A file's object is visible, the journal does not know it.
pub const FILE_VISIBLE: &str = "m2c.file-visible";
/// The journal knows the file's object.
pub const FILE_JOURNALED: &str = "m2c.file-journaled";
/// The manifest is visible, the journal does not know it.
pub const MANIFEST_VISIBLE: &str = "m2c.manifest-visible";
/// The journal knows the manifest.
pub const MANIFEST_JOURNALED: &str = "m2c.manifest-journaled";
/// The catalogue holds the run, the journal does not know that.
pub const RUN_RECORDED: &str = "m2c.run-recorded";
/// The run is done.
pub const RUN_SETTLED: &str = "m2c.run-settled";

/// Every step at which m2c or what it calls can be stopped. Multipart steps are
/// passed by files longer than one part only.
pub const ALL: &[&str] = &[
    MESSAGE_JOURNALED,
    CLOSURE_JOURNALED,
    "storage.sealed",
    "storage.part-uploaded",
    "storage.before-complete",
    "storage.completed",
    FILE_VISIBLE,
    FILE_JOURNALED,
    MANIFEST_VISIBLE,
    MANIFEST_JOURNALED,
    RUN_RECORDED,
    RUN_SETTLED,
];

/// Steps that are passed by streamed files only.
pub const STREAMING: &[&str] = &[
    STREAM_BEGUN,
    STREAM_JOURNALED,
    PART_SENT,
    PART_JOURNALED,
    STREAM_SENT,
    STREAM_VERIFIED,
];

/// The catalogue knows that an order was checked.
pub const PURGE_CHECKED: &str = "m2c.purge-checked";
/// The journal knows which files an order moves; none is moved.
pub const PURGE_BEGUN: &str = "m2c.purge-begun";
/// A file is in the trash, its side file is not.
pub const PURGE_MOVED: &str = "m2c.purge-moved";
/// The journal knows that the files are in the trash, the catalogue does not.
pub const PURGE_TRASHED: &str = "m2c.purge-trashed";
/// The catalogue knows that there is no way back; nothing is removed.
pub const PURGE_COMMITTED: &str = "m2c.purge-committed";
/// A file is gone, its side file is not.
pub const PURGE_UNLINKED: &str = "m2c.purge-unlinked";
/// The catalogue knows that the files are gone, the journal does not.
pub const PURGE_TOLD: &str = "m2c.purge-told";
/// The order is done.
pub const PURGE_ENDED: &str = "m2c.purge-ended";
/// The journal knows that files are put back; none is.
pub const RESTORE_BEGUN: &str = "m2c.restore-begun";
/// A file is in its place again, its side file is not.
pub const RESTORE_MOVED: &str = "m2c.restore-moved";
/// The catalogue knows that the files are in their place, the journal does not.
pub const RESTORE_TOLD: &str = "m2c.restore-told";

/// Every step of an order that is carried out.
pub const PURGE: &[&str] = &[
    PURGE_CHECKED,
    PURGE_BEGUN,
    PURGE_MOVED,
    PURGE_TRASHED,
    PURGE_COMMITTED,
    PURGE_UNLINKED,
    PURGE_TOLD,
    PURGE_ENDED,
];

/// Every step of files that are put back.
pub const RESTORE: &[&str] = &[RESTORE_BEGUN, RESTORE_MOVED, RESTORE_TOLD];
