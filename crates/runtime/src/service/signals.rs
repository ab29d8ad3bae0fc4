//! SIGTERM and SIGINT: the first asks, the second ends the process at once.
//!
//! They are heard on a thread of their own, so that the second one works whatever the
//! service is doing.

use std::io;
use std::sync::mpsc;

use tokio::runtime::Builder;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::oneshot;

/// What asks a process to end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Signal {
    /// Ctrl-C.
    Interrupt,
    /// What supervisors send.
    Terminate,
}

impl Signal {
    fn name(self) -> &'static str {
        match self {
            Self::Interrupt => "SIGINT",
            Self::Terminate => "SIGTERM",
        }
    }

    /// 128 + number, as shells report a death by signal.
    fn exit_code(self) -> i32 {
        match self {
            Self::Interrupt => 130,
            Self::Terminate => 143,
        }
    }
}

/// Begins to listen; the receiver gets the first signal.
pub(super) fn listen() -> io::Result<oneshot::Receiver<()>> {
    let (first, heard) = oneshot::channel();
    let (listening, started) = mpsc::sync_channel(1);
    let work = move || hear(first, &listening);
    std::thread::Builder::new()
        .name("signals".to_owned())
        .spawn(work)?;
    match started.recv() {
        Ok(outcome) => outcome.map(|()| heard),
        Err(_) => Err(io::Error::other("the thread for signals died")),
    }
}

fn hear(first: oneshot::Sender<()>, listening: &mpsc::SyncSender<io::Result<()>>) {
    let runtime = match Builder::new_current_thread().enable_io().build() {
        Ok(runtime) => runtime,
        Err(error) => return report(listening, Err(error)),
    };
    runtime.block_on(async {
        let streams = signal(SignalKind::interrupt())
            .and_then(|interrupt| Ok((interrupt, signal(SignalKind::terminate())?)));
        let (mut interrupt, mut terminate) = match streams {
            Ok(streams) => streams,
            Err(error) => return report(listening, Err(error)),
        };
        report(listening, Ok(()));
        let mut next = async || {
            tokio::select! {
                _ = interrupt.recv() => Signal::Interrupt,
                _ = terminate.recv() => Signal::Terminate,
            }
        };
        let asked = next().await;
        tracing::info!(signal = asked.name(), "told to stop");
        // Nobody waits for it when the service is ending by itself.
        first.send(()).ok();
        let second = next().await;
        tracing::warn!(signal = second.name(), "told to stop again: not waiting");
        exit(second.exit_code());
    });
}

/// The caller of [`listen`] waits for this, so it can always be told.
fn report(listening: &mpsc::SyncSender<io::Result<()>>, outcome: io::Result<()>) {
    listening.send(outcome).ok();
}

#[allow(
    clippy::exit,
    reason = "the second signal ends the process whatever its other threads are doing"
)]
fn exit(code: i32) -> ! {
    std::process::exit(code)
}
