//! The named steps of a run's way, at which a crash is tried in tests.

/// A message is in the journal, its offset not yet free to be committed.
pub const MESSAGE_JOURNALED: &str = "m2c.message-journaled";
/// The scan has closed a run.
pub const CLOSURE_JOURNALED: &str = "m2c.closure-journaled";
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
