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
