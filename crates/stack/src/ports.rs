//! Free ports for one stack: a block of neighbours, kept for it as long as it lives.
//!
//! Blocks lie below the kernel's range for outgoing connections, so that a server that
//! was killed finds its port free again. Two stacks never take the same block, in
//! whatever processes they are: the owner of a block holds an abstract Unix socket named
//! after it, which the kernel frees with the process.

use std::net::TcpListener;
use std::os::linux::net::SocketAddrExt;
use std::os::unix::net::{SocketAddr, UnixListener};

use crate::StackError;

/// Ports in a block; not all are used.
const BLOCK: u16 = 16;
/// The first port of the first block.
const LOW: u16 = 20_000;
/// No block reaches this; Linux hands out ports from 32768.
const HIGH: u16 = 32_000;

/// A block of ports that nobody else uses.
#[derive(Debug)]
pub(crate) struct Ports {
    base: u16,
    /// Keeps other stacks from this block.
    _claim: UnixListener,
}

impl Ports {
    /// Takes the block that begins at `preferred` if it is free, else any that is,
    /// beginning the search at a place given by `seed`.
    pub(crate) fn claim(preferred: Option<u16>, seed: u16) -> Result<Self, StackError> {
        let blocks = (HIGH - LOW) / BLOCK;
        let anywhere = (0..blocks).map(|step| LOW + (seed % blocks + step) % blocks * BLOCK);
        preferred
            .into_iter()
            .filter(|base| (LOW..HIGH).contains(base))
            .chain(anywhere)
            .find_map(Self::try_claim)
            .ok_or(StackError::Ports {
                count: BLOCK,
                low: LOW,
                high: HIGH,
            })
    }

    fn try_claim(base: u16) -> Option<Self> {
        let name = SocketAddr::from_abstract_name(format!("aquifer-ports-{base}")).ok()?;
        let claim = UnixListener::bind_addr(&name).ok()?;
        let free = (base..base + BLOCK).all(|port| TcpListener::bind(("127.0.0.1", port)).is_ok());
        free.then_some(Self {
            base,
            _claim: claim,
        })
    }

    /// What to prefer when the stack is started again.
    pub(crate) fn base(&self) -> u16 {
        self.base
    }

    pub(crate) fn kafka(&self) -> u16 {
        self.base
    }

    pub(crate) fn kafka_controller(&self) -> u16 {
        self.base + 1
    }

    /// Where the broker listens for clients that come through a link.
    pub(crate) fn kafka_behind_link(&self) -> u16 {
        self.base + 13
    }

    /// Where it tells these clients to come: the link's own port.
    pub(crate) fn kafka_link(&self) -> u16 {
        self.base + 14
    }

    /// Where the broker listens for clients with TLS.
    pub(crate) fn kafka_secure(&self) -> u16 {
        self.base + 15
    }

    pub(crate) fn mariadb(&self) -> u16 {
        self.base + 2
    }

    pub(crate) fn s3(&self) -> u16 {
        self.base + 3
    }

    pub(crate) fn filer(&self) -> u16 {
        self.base + 4
    }

    pub(crate) fn master(&self) -> u16 {
        self.base + 5
    }

    /// Name, port and gRPC port of each part of SeaweedFS.
    pub(crate) fn weed(&self) -> [(&'static str, u16, u16); 5] {
        let base = self.base;
        [
            ("s3", base + 3, base + 8),
            ("filer", base + 4, base + 9),
            ("master", base + 5, base + 10),
            ("volume", base + 6, base + 11),
            ("admin", base + 7, base + 12),
        ]
    }
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, Instant};

    use super::*;

    #[test]
    fn a_block_is_taken_once_and_free_again_after_use() {
        let first = Ports::claim(None, 7).unwrap();
        let second = Ports::claim(Some(first.base()), 7).unwrap();
        assert_ne!(first.base(), second.base());
        let base = first.base();
        drop(first);
        // A child that another test has just forked holds the claim until it executes.
        let deadline = Instant::now() + Duration::from_secs(10);
        while Ports::claim(Some(base), 7).unwrap().base() != base {
            assert!(Instant::now() < deadline, "block {base} is not free again");
        }
    }

    #[test]
    fn a_block_with_a_port_in_use_is_passed_over() {
        let ports = Ports::claim(None, 300).unwrap();
        let base = ports.base();
        let _stranger = TcpListener::bind(("127.0.0.1", base + BLOCK - 1)).unwrap();
        drop(ports);
        assert_ne!(Ports::claim(Some(base), 300).unwrap().base(), base);
    }

    #[test]
    fn no_two_servers_share_a_port() {
        let ports = Ports::claim(None, 500).unwrap();
        let mut all = vec![ports.kafka(), ports.kafka_controller(), ports.mariadb()];
        all.extend([ports.kafka_behind_link(), ports.kafka_link()]);
        all.push(ports.kafka_secure());
        for (_, http, grpc) in ports.weed() {
            all.extend([http, grpc]);
        }
        let count = all.len();
        all.sort_unstable();
        all.dedup();
        assert_eq!(all.len(), count);
        assert!(all.iter().all(|port| port - ports.base() < BLOCK));
    }
}
