//! What a process tells the service manager that started it: systemd's `sd_notify(3)`.
//!
//! Datagrams to the socket that `NOTIFY_SOCKET` names; where there is none, nothing is
//! said. A manager that cannot be told is no reason to stop working.

use std::env;
use std::io;
use std::os::linux::net::SocketAddrExt;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::net::{SocketAddr, UnixDatagram};
use std::time::{Duration, Instant};

use tokio_util::sync::CancellationToken;

/// The process does its work.
pub fn ready() {
    say("READY=1");
}

/// The process is ending, in order.
pub fn stopping() {
    say("STOPPING=1");
}

/// Returns at shutdown. Until then the manager's watchdog is told that the process is
/// well, as long as `progress` is not older than the manager's patience: a process whose
/// heart does not beat is started again. Before any progress it gets one such time.
pub async fn keep_alive(shutdown: &CancellationToken, progress: impl Fn() -> Option<Instant>) {
    let Some(patience) = watchdog() else {
        return shutdown.cancelled().await;
    };
    let began = Instant::now();
    let beat = async {
        loop {
            if progress().unwrap_or(began).elapsed() < patience {
                say("WATCHDOG=1");
            }
            // Twice in its time, as `sd_watchdog_enabled(3)` asks.
            tokio::time::sleep(patience / 2).await;
        }
    };
    let _: Option<()> = shutdown.run_until_cancelled(beat).await;
}

/// The manager's patience, if it has a watchdog for this process.
fn watchdog() -> Option<Duration> {
    let micros: u64 = env::var("WATCHDOG_USEC").ok()?.parse().ok()?;
    let ours = match env::var("WATCHDOG_PID") {
        Ok(pid) => pid.parse() == Ok(std::process::id()),
        Err(_) => true,
    };
    (ours && micros > 0).then(|| Duration::from_micros(micros))
}

fn say(state: &str) {
    let Some(path) = env::var_os("NOTIFY_SOCKET") else {
        return;
    };
    if let Err(error) = send(path.as_bytes(), state) {
        tracing::debug!(%error, state, "the service manager cannot be told");
    }
}

fn send(path: &[u8], state: &str) -> io::Result<()> {
    let address = match path.strip_prefix(b"@") {
        Some(name) => SocketAddr::from_abstract_name(name)?,
        None => SocketAddr::from_pathname(std::ffi::OsStr::from_bytes(path))?,
    };
    let socket = UnixDatagram::unbound()?;
    // A manager that does not read must not hold the process.
    socket.set_nonblocking(true)?;
    socket.send_to_addr(state.as_bytes(), &address)?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_manager_is_told_at_a_path_and_at_an_abstract_name() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("notify");
        let name = format!("aquifer-notify-{}", std::process::id());
        let abstract_name = SocketAddr::from_abstract_name(&name).unwrap();
        let sockets = [
            (
                UnixDatagram::bind(&path).unwrap(),
                path.as_os_str().as_bytes().to_vec(),
            ),
            (
                UnixDatagram::bind_addr(&abstract_name).unwrap(),
                format!("@{name}").into_bytes(),
            ),
        ];
        for (manager, address) in sockets {
            send(&address, "READY=1").unwrap();
            let mut said = [0; 64];
            let count = manager.recv(&mut said).unwrap();
            assert_eq!(&said[..count], b"READY=1");
        }
        assert!(send(b"/nowhere", "READY=1").is_err());
    }
}
