//! A stack seen from outside: what `aquifer stack show` and `aquifer down` work with.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::slice;
use std::time::Duration;

use nix::sys::signal::Signal;

use crate::folder::lock;
use crate::process::{ProcessId, all_ended, end_all, of_stack};
use crate::record::Record;
use crate::{Endpoints, Server, Stack, StackError, seaweedfs, wire};

/// A stack that another process started, or left behind.
#[derive(Debug, Clone)]
pub struct Attached {
    /// Where the servers listen, and their credentials.
    pub endpoints: Endpoints,
    /// The process that started the stack; `None` if it is gone.
    pub starter: Option<u32>,
    /// The servers that run, with their processes.
    pub servers: BTreeMap<Server, u32>,
    starter_process: Option<ProcessId>,
    root: PathBuf,
}

impl Stack {
    /// Looks at the stack in `root`: `None` if none is there or none of it runs.
    pub fn attach(root: &Path) -> Result<Option<Attached>, StackError> {
        let Some(record) = Record::read(root)? else {
            return Ok(None);
        };
        let Some(running) = record.running else {
            return Ok(None);
        };
        // The starter holds the lock as long as it lives; an id alone proves little.
        let held = lock(root)?.is_none();
        let starter_process = Some(running.starter).filter(|starter| held && starter.is_alive());
        let servers: BTreeMap<_, _> = running
            .servers
            .into_iter()
            .filter(|(_, process)| process.is_alive())
            .map(|(server, process)| (server, process.pid))
            .collect();
        if starter_process.is_none() && servers.is_empty() {
            return Ok(None);
        }
        Ok(Some(Attached {
            root: record.endpoints.root.clone(),
            endpoints: record.endpoints,
            starter: starter_process.map(|starter| starter.pid),
            servers,
            starter_process,
        }))
    }
}

impl Attached {
    /// How each server answers now, in its own protocol; an error says what was found
    /// instead.
    pub async fn probe(&self) -> BTreeMap<Server, Result<(), String>> {
        let ends = &self.endpoints;
        let port = |address: &str| {
            let port = address.rsplit_once(':').map(|(_, port)| port.parse());
            port.and_then(Result::ok)
                .ok_or_else(|| format!("`{address}` has no port"))
        };
        let kafka = async { wire::kafka(port(&ends.kafka_bootstrap)?).await };
        let s3 = async { seaweedfs::look_at_s3(port(&ends.s3.endpoint)?).await };
        let mariadb = wire::mariadb(ends.mariadb.port);
        let (kafka, mariadb, s3) = tokio::join!(kafka, mariadb, s3);
        BTreeMap::from([
            (Server::Kafka, kafka),
            (Server::MariaDb, mariadb),
            (Server::SeaweedFs, s3),
        ])
    }

    /// The processes of the stack, servers and all that was started beside them, with
    /// their command lines.
    pub fn processes(&self) -> Result<Vec<(u32, Vec<String>)>, StackError> {
        let all = of_stack(&self.root)?.into_iter();
        let with_words = all.filter_map(|process| {
            // One that has ended meanwhile has none.
            let line = std::fs::read(format!("/proc/{}/cmdline", process.pid)).ok()?;
            let words = line
                .split(|byte| *byte == 0)
                .filter(|word| !word.is_empty());
            let words = words.map(|word| String::from_utf8_lossy(word).into_owned());
            Some((process.pid, words.collect()))
        });
        Ok(with_words.collect())
    }

    /// Stops the stack: asks its starter with SIGTERM to do it, and waits for that up to
    /// `patience`; where the starter is gone, ends the servers itself.
    pub async fn stop(self, patience: Duration) -> Result<(), StackError> {
        if let Some(starter) = self.starter_process {
            starter.signal(Signal::SIGTERM);
            if !all_ended(slice::from_ref(&starter), patience).await {
                return Err(StackError::StillAlive {
                    pid: starter.pid,
                    root: self.root,
                    waited: patience,
                });
            }
            // A starter that does not heed signals leaves its servers to the lifeline.
            if all_ended(&of_stack(&self.root)?, patience).await {
                return Ok(());
            }
        }
        end_all(&self.root).await
    }
}
