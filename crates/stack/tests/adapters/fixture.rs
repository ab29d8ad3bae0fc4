//! One stack for all tests of this binary, started by the first that asks for it.
//!
//! Nobody stops it: it ends, and its folder goes, when the test process ends. Tests
//! therefore use names of their own for topics, databases and keys.

use std::path::Path;
use std::process;
use std::sync::LazyLock;

use aquifer_stack::{Endpoints, Stack, StackOptions, Tools};
use tempfile::TempDir;
use tokio::runtime::{Builder, Runtime};

static RUNTIME: LazyLock<Runtime> = LazyLock::new(|| {
    Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .expect("a runtime needs only threads")
});

static STACK: LazyLock<Stack> = LazyLock::new(|| {
    // The stack removes its folder itself: a static is never dropped.
    let root = parent().join(format!("shared-{}", process::id()));
    let mut options = StackOptions::new(root, tools());
    options.mariadb_durable = false;
    options.ephemeral = true;
    block_on(Stack::start(options, &mut |_| {})).unwrap_or_else(|error| panic!("{error}"))
});

/// The shared stack, running.
pub(crate) fn stack() -> &'static Endpoints {
    STACK.endpoints()
}

/// Runs a future on the runtime that all tests share. Clients may live in statics: the
/// runtime ends with the process.
pub(crate) fn block_on<F: Future>(future: F) -> F::Output {
    RUNTIME.block_on(future)
}

/// The programs that `make setup` installed.
pub(crate) fn tools() -> Tools {
    let repository = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    Tools::locate(&Tools::cache(&repository)).unwrap_or_else(|error| panic!("{error}"))
}

/// A new folder below the build's own, where there is space and nobody minds.
pub(crate) fn folder() -> TempDir {
    tempfile::tempdir_in(parent()).expect("cargo made its folder for tests")
}

fn parent() -> &'static Path {
    Path::new(env!("CARGO_TARGET_TMPDIR"))
}
