//! A link that can be cut: a TCP proxy on loopback for tests, between a program and a
//! server of the stack.
//!
//! What it does is changed while it runs, for connections that stand as well as for new
//! ones. Its address stays its own, also while it refuses.

use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::sync::{oneshot, watch};
use tokio::task::JoinSet;
use tokio::time::sleep;

/// Bytes passed on at once.
const CHUNK: usize = 16 << 10;

/// What a link does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LinkMode {
    /// Passes everything on.
    Open,
    /// Nobody listens, and connections that stood are reset.
    Refuse,
    /// Takes connections and bytes, and never answers.
    BlackHole,
    /// Passes on at most so many bytes per second in each direction of each connection.
    Slow(u32),
    /// Resets each connection when so many bytes went towards the server.
    CutAfter(u64),
}

/// A link to one server; gone when dropped.
#[derive(Debug)]
pub struct LinkProxy {
    address: SocketAddr,
    mode: watch::Sender<LinkMode>,
}

impl LinkProxy {
    /// Listens on `port` of the loopback interface (0: any) for `server`.
    pub fn start(port: u16, server: SocketAddr, mode: LinkMode) -> io::Result<Self> {
        let (sender, receiver) = watch::channel(mode);
        let (started, address) = std::sync::mpsc::channel();
        // A runtime of its own: its owner may be blocked while the link must go on.
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()?;
        std::thread::Builder::new()
            .name("link".to_owned())
            .spawn(move || runtime.block_on(serve(port, server, receiver, &started)))?;
        let address = address.recv().map_err(io::Error::other)??;
        Ok(Self {
            address,
            mode: sender,
        })
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Changes what it does, at once.
    pub fn set(&self, mode: LinkMode) {
        self.mode.send_replace(mode);
    }
}

type Started = std::sync::mpsc::Sender<io::Result<SocketAddr>>;

async fn serve(
    port: u16,
    server: SocketAddr,
    mut mode: watch::Receiver<LinkMode>,
    started: &Started,
) {
    let bound = listen(SocketAddr::from((Ipv4Addr::LOCALHOST, port)));
    let address = bound
        .as_ref()
        .map_err(|error| io::Error::from(error.kind()));
    let address = address.and_then(TcpListener::local_addr);
    // The starter waits for this.
    let _ = started.send(
        address
            .as_ref()
            .map_err(|error| io::Error::from(error.kind()))
            .copied(),
    );
    let (Ok(listener), Ok(address)) = (bound, address) else {
        return;
    };
    let mut listener = Some(listener);
    let mut connections = JoinSet::new();
    loop {
        let now = *mode.borrow_and_update();
        if now == LinkMode::Refuse {
            listener = None;
            connections.shutdown().await;
        } else if listener.is_none() {
            listener = listen(address).ok();
        }
        tokio::select! {
            changed = mode.changed() => if changed.is_err() { return },
            Some(client) = accept(listener.as_ref()) => {
                connections.spawn(connect(client, server, mode.clone()));
            }
            Some(_) = connections.join_next() => {}
            // The port may not have been free yet.
            () = sleep(Duration::from_millis(50)), if listener.is_none() && now != LinkMode::Refuse => {}
        }
    }
}

fn listen(address: SocketAddr) -> io::Result<TcpListener> {
    let socket = TcpSocket::new_v4()?;
    socket.set_reuseaddr(true)?;
    socket.bind(address)?;
    socket.listen(128)
}

async fn accept(listener: Option<&TcpListener>) -> Option<TcpStream> {
    match listener {
        Some(listener) => listener.accept().await.ok().map(|(client, _)| client),
        None => std::future::pending().await,
    }
}

async fn connect(client: TcpStream, server: SocketAddr, mut mode: watch::Receiver<LinkMode>) {
    // A black hole does not even ask the server.
    let open = mode.wait_for(|mode| *mode != LinkMode::BlackHole).await;
    if open.map(drop).is_err() {
        return;
    }
    let Ok(server) = TcpStream::connect(server).await else {
        return;
    };
    // Dropped together: then both ends are reset where bytes are unread.
    let (from_client, to_client) = client.into_split();
    let (from_server, to_server) = server.into_split();
    let (cut, is_cut) = oneshot::channel();
    let there = pass(from_client, to_server, mode.clone(), Some(cut));
    let back = pass(from_server, to_client, mode, None);
    tokio::select! {
        _ = async { tokio::join!(there, back) } => {}
        Ok(()) = is_cut => {}
    }
}

async fn pass(
    mut from: OwnedReadHalf,
    mut to: OwnedWriteHalf,
    mut mode: watch::Receiver<LinkMode>,
    mut cut: Option<oneshot::Sender<()>>,
) {
    let mut passed = 0;
    let mut chunk = vec![0; CHUNK];
    while let Ok(count @ 1..) = from.read(&mut chunk).await {
        // A black hole swallows: what came into it is not delivered later.
        let now = *mode.borrow_and_update();
        passed += count as u64;
        match now {
            LinkMode::BlackHole => continue,
            LinkMode::Slow(rate) => {
                sleep(Duration::from_secs_f64(
                    count as f64 / f64::from(rate.max(1)),
                ))
                .await;
            }
            LinkMode::CutAfter(limit) if passed > limit => {
                if let Some(cut) = cut.take() {
                    // The connection may be ending by itself.
                    let _ = cut.send(());
                    return;
                }
            }
            _ => {}
        }
        if to.write_all(&chunk[..count]).await.is_err() {
            return;
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Instant;

    use super::*;

    /// A server that sends everything back.
    async fn echo() -> (SocketAddr, JoinSet<()>) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let mut tasks = JoinSet::new();
        tasks.spawn(async move {
            let mut connections = JoinSet::new();
            while let Ok((mut stream, _)) = listener.accept().await {
                connections.spawn(async move {
                    let (mut from, mut to) = stream.split();
                    let _ = tokio::io::copy(&mut from, &mut to).await;
                });
            }
        });
        (address, tasks)
    }

    /// How many of `bytes` come back within half a second on a new connection.
    async fn ask(address: SocketAddr, bytes: usize) -> io::Result<usize> {
        let mut stream = TcpStream::connect(address).await?;
        let (mut from, mut to) = stream.split();
        let body = vec![7; bytes];
        let sending = async { to.write_all(&body).await.is_ok() };
        let mut back = 0;
        let reading = async {
            let mut chunk = vec![0; CHUNK];
            while back < bytes {
                match from.read(&mut chunk).await {
                    Ok(count @ 1..) => back += count,
                    _ => return,
                }
            }
        };
        let both = async { tokio::join!(sending, reading) };
        let _ = tokio::time::timeout(Duration::from_millis(500), both).await;
        Ok(back)
    }

    #[tokio::test]
    async fn a_link_can_be_cut_in_every_way_and_mended() {
        let (server, _tasks) = echo().await;
        let link = LinkProxy::start(0, server, LinkMode::Open).unwrap();
        let address = link.address();
        assert_eq!(ask(address, 100_000).await.unwrap(), 100_000);

        let mut standing = TcpStream::connect(address).await.unwrap();
        link.set(LinkMode::Refuse);
        let ended = tokio::time::timeout(Duration::from_secs(5), standing.read(&mut [0])).await;
        assert!(matches!(ended, Ok(Ok(0) | Err(_))), "{ended:?}");
        assert!(ask(address, 1).await.is_err());

        link.set(LinkMode::BlackHole);
        let deadline = Instant::now() + Duration::from_secs(5);
        loop {
            match ask(address, 1).await {
                Ok(back) => break assert_eq!(back, 0),
                Err(error) => assert!(Instant::now() < deadline, "{error}"),
            }
        }
        link.set(LinkMode::CutAfter(50_000));
        assert!(ask(address, 1_000_000).await.unwrap() <= 50_000);
        link.set(LinkMode::Slow(20_000));
        assert!(ask(address, 1_000_000).await.unwrap() < 50_000);
        link.set(LinkMode::Open);
        assert_eq!(ask(address, 100_000).await.unwrap(), 100_000);
    }
}
