//! One stack for all tests of this binary, and one for those that break it, each started
//! by the first that asks for it.
//!
//! Nobody stops them: they end, and their folders go, when the test process ends. Tests
//! therefore use names of their own for topics, databases and keys.

use std::path::{Path, PathBuf};
use std::process;
use std::sync::LazyLock;
use std::thread;

use aquifer_stack::{Endpoints, Stack, StackOptions, Tools};
use tempfile::TempDir;
use tokio::runtime::{Builder, Runtime};
use tokio::sync::{Mutex, MutexGuard};

use crate::issuer::Issuer;

static RUNTIME: LazyLock<Runtime> = LazyLock::new(|| {
    Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .expect("a runtime needs only threads")
});

static SHARED: LazyLock<Stack> = LazyLock::new(|| start("shared"));

static BREAKABLE: LazyLock<Mutex<Stack>> = LazyLock::new(|| Mutex::new(start("breakable")));

static SECURE: LazyLock<Stack> = LazyLock::new(|| start_with("secure", true));

static ISSUER: LazyLock<Issuer> = LazyLock::new(|| {
    let start = || block_on(Issuer::start());
    // On a thread of its own, so that the first to ask may stand in a future.
    let started = thread::scope(|scope| scope.spawn(start).join());
    let (issuer, serve) = started.expect("starting an issuer does not panic");
    // It serves as long as the process.
    RUNTIME.spawn(serve);
    issuer
});

/// Who signs tokens that the S3 servers of all stacks give keys for.
pub(crate) fn issuer() -> &'static Issuer {
    &ISSUER
}

fn start(name: &str) -> Stack {
    start_with(name, false)
}

fn start_with(name: &str, secure: bool) -> Stack {
    // The stack removes its folder itself: a static is never dropped.
    let root = parent().join(format!("{name}-{}", process::id()));
    let mut options = StackOptions::new(root, tools());
    options.mariadb_durable = false;
    options.ephemeral = true;
    options.secure = secure;
    options.token_issuer = Some(issuer().as_known_to_s3());
    // On a thread of its own, so that the first to ask may stand in a future.
    let start = || block_on(Stack::start(options, &mut |_| {}));
    let started = thread::scope(|scope| scope.spawn(start).join());
    let stack = started.expect("starting a stack returns its errors");
    stack.unwrap_or_else(|error| panic!("{error}"))
}

/// The shared stack, running.
pub(crate) fn stack() -> &'static Endpoints {
    SHARED.endpoints()
}

/// A stack whose servers are reached over TLS, running.
pub(crate) fn secure_stack() -> &'static Endpoints {
    SECURE.endpoints()
}

/// A stack whose servers a test may kill and change while it holds it. It gives them
/// back running and as they were.
pub(crate) async fn breakable() -> MutexGuard<'static, Stack> {
    BREAKABLE.lock().await
}

/// Runs a future on the runtime that all tests share. Clients may live in statics: the
/// runtime ends with the process.
pub(crate) fn block_on<F: Future>(future: F) -> F::Output {
    RUNTIME.block_on(future)
}

/// The programs that `make setup` installed.
pub(crate) fn tools() -> Tools {
    Tools::locate(&cache()).unwrap_or_else(|error| panic!("{error}"))
}

/// Where they are.
pub(crate) fn cache() -> PathBuf {
    Tools::cache(&Path::new(env!("CARGO_MANIFEST_DIR")).join("../.."))
}

/// A new folder below the build's own, where there is space and nobody minds.
pub(crate) fn folder() -> TempDir {
    tempfile::tempdir_in(parent()).expect("cargo made its folder for tests")
}

fn parent() -> &'static Path {
    Path::new(env!("CARGO_TARGET_TMPDIR"))
}
