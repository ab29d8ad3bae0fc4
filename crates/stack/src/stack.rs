//! A running stack: started as a whole, stopped in order, and broken on purpose by tests.

use std::collections::BTreeMap;
use std::net::Ipv4Addr;
use std::process::{self, Child, ExitStatus};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, killpg};
use nix::unistd::Pid;
use tokio::time::sleep;

use crate::folder::Folder;
use crate::lifeline::Lifeline;
use crate::plan::Plan;
use crate::process::{MARK, PATIENCE, POLL, ProcessId, end_all};
use crate::proxy::{LinkMode, LinkProxy};
use crate::record::{Record, Running};
use crate::{Endpoints, Halt, Phase, Progress, Server, StackError, StackOptions};

/// How long the lifeline may take once the servers are gone.
const RELEASE_PATIENCE: Duration = Duration::from_secs(30);

/// Private servers that run as long as this value, or until [`Stack::stop`].
///
/// Dropping it without `stop` ends them too, soon but not before the drop returns: then
/// the lifeline sends SIGTERM, as it does when this process dies.
#[derive(Debug)]
pub struct Stack {
    children: BTreeMap<Server, Child>,
    lifeline: Lifeline,
    plan: Plan,
}

impl Stack {
    /// Starts the three servers side by side and returns when each is healthy.
    ///
    /// What a crashed stack left running in the same folder is ended first. Data,
    /// credentials and, if nobody took them, ports are those of the folder's last start.
    /// `progress` is called at each [`Phase`] of each server. On an error nothing is left
    /// running.
    pub async fn start(
        options: StackOptions,
        progress: &mut (dyn FnMut(Progress) + Send),
    ) -> Result<Self, StackError> {
        let began = Instant::now();
        let folder = Folder::claim(&options.root, options.ephemeral)?;
        end_all(folder.root()).await?;
        for server in Server::ALL {
            folder.turn_log(server)?;
        }
        let record = Record::read(folder.root())?;
        let plan = Plan::new(options, folder, record.as_ref())?;
        // A stack that may start again cleans up then: the next one must not lose sockets
        // to a lifeline that is late.
        let leave_nothing = plan.options.ephemeral.then(|| plan.everything());
        let mut stack = Self {
            children: BTreeMap::new(),
            lifeline: Lifeline::tie(&plan.mark, &leave_nothing.unwrap_or_default())?,
            plan,
        };

        let progress = Mutex::new(progress);
        let report = |server, phase| {
            let mut progress = progress.lock().unwrap_or_else(PoisonError::into_inner);
            progress(Progress {
                server,
                phase,
                elapsed: began.elapsed(),
            });
        };
        match stack.bring_up(&report).await {
            Ok(()) => Ok(stack),
            Err(error) => {
                // The first error is the one to tell.
                let _ = stack.stop().await;
                Err(error)
            }
        }
    }

    /// Where the servers listen, and their credentials.
    pub fn endpoints(&self) -> &Endpoints {
        &self.plan.endpoints
    }

    /// A link to a server, for tests that cut it. Kafka tells its clients where to come;
    /// it has a listener of its own for those of its link, of which there is one.
    pub fn link(&self, server: Server, mode: LinkMode) -> std::io::Result<LinkProxy> {
        let ports = &self.plan.ports;
        let (link, server) = match server {
            Server::Kafka => (ports.kafka_link(), ports.kafka_behind_link()),
            Server::MariaDb => (0, ports.mariadb()),
            Server::SeaweedFs => (0, ports.s3()),
        };
        LinkProxy::start(link, (Ipv4Addr::LOCALHOST, server).into(), mode)
    }

    /// The process of a server; `None` while it is down.
    pub fn pid(&self, server: Server) -> Option<u32> {
        self.children.get(&server).map(Child::id)
    }

    /// The variable and the value that mark this stack's processes. Who else carries it
    /// in its environment ends with the stack.
    pub fn mark(&self) -> (&'static str, &str) {
        (MARK, &self.plan.mark)
    }

    /// The servers that ended by themselves since the last look, and how. They stay down
    /// until [`Stack::restart`].
    pub fn fallen(&mut self) -> Result<Vec<(Server, ExitStatus)>, StackError> {
        let mut fallen = Vec::new();
        for (server, child) in &mut self.children {
            let ended = child.try_wait();
            let ended = ended.map_err(StackError::io("wait for", server.name()))?;
            fallen.extend(ended.map(|status| (*server, status)));
        }
        for (server, _) in &fallen {
            self.children.remove(server);
        }
        Ok(fallen)
    }

    /// Kills one server as a crash does and returns when it is gone. It stays down until
    /// [`Stack::restart`].
    pub async fn kill(&mut self, server: Server) -> Result<(), StackError> {
        self.halt(server, Halt::Kill).await?;
        self.record()
    }

    /// Ends one server if it runs, starts it on the same ports and data, and returns when
    /// it is healthy.
    pub async fn restart(&mut self, server: Server, how: Halt) -> Result<(), StackError> {
        self.halt(server, how).await?;
        let child = self.plan.begin(server, &|_, _| {}).await?;
        self.children.insert(server, child);
        self.record()
    }

    /// Stops the servers in order: SIGTERM to each, SIGKILL to those that do not end in
    /// time, and returns when nothing of the stack runs any more.
    pub async fn stop(mut self) -> Result<(), StackError> {
        let (kafka, mariadb, seaweedfs) = (
            self.children.remove(&Server::Kafka),
            self.children.remove(&Server::MariaDb),
            self.children.remove(&Server::SeaweedFs),
        );
        let ended = tokio::join!(
            end(Server::Kafka, kafka, Halt::Term),
            end(Server::MariaDb, mariadb, Halt::Term),
            end(Server::SeaweedFs, seaweedfs, Halt::Term),
        );
        self.plan.sweep();
        let recorded = self.record();
        self.lifeline.release(RELEASE_PATIENCE).await?;
        ended.0.and(ended.1).and(ended.2).and(recorded)
    }

    async fn bring_up(
        &mut self,
        report: &(dyn Fn(Server, Phase) + Sync),
    ) -> Result<(), StackError> {
        let started = tokio::join!(
            self.plan.begin(Server::Kafka, report),
            self.plan.begin(Server::MariaDb, report),
            self.plan.begin(Server::SeaweedFs, report),
        );
        let mut outcome = Ok(());
        for (server, begun) in Server::ALL.into_iter().zip(<[_; 3]>::from(started)) {
            match begun {
                Ok(child) => {
                    self.children.insert(server, child);
                }
                Err(error) => outcome = outcome.and(Err(error)),
            }
        }
        outcome.and_then(|()| self.record())
    }

    async fn halt(&mut self, server: Server, how: Halt) -> Result<(), StackError> {
        end(server, self.children.remove(&server), how).await
    }

    /// Writes `stack.json` as things are now.
    fn record(&self) -> Result<(), StackError> {
        let servers: BTreeMap<_, _> = self
            .children
            .iter()
            .filter_map(|(server, child)| Some((*server, ProcessId::of(child.id())?)))
            .collect();
        let starter = ProcessId::of(process::id()).filter(|_| !servers.is_empty());
        let record = Record {
            endpoints: self.plan.endpoints.clone(),
            port_base: self.plan.ports.base(),
            running: starter.map(|starter| Running { starter, servers }),
        };
        record.write()
    }
}

/// Ends a server's process group and waits for it.
async fn end(server: Server, child: Option<Child>, how: Halt) -> Result<(), StackError> {
    let Some(mut child) = child else {
        return Ok(());
    };
    if how == Halt::Term {
        signal(&child, Signal::SIGTERM);
        let deadline = Instant::now() + PATIENCE;
        while Instant::now() < deadline {
            if has_ended(server, &mut child)? {
                return Ok(());
            }
            sleep(POLL).await;
        }
        tracing::warn!(%server, "server did not stop within {PATIENCE:?}: killed");
    }
    signal(&child, Signal::SIGKILL);
    while !has_ended(server, &mut child)? {
        sleep(POLL).await;
    }
    Ok(())
}

/// The child has not been waited for, so that its id is still its own.
fn signal(child: &Child, signal: Signal) {
    // Fails only when all of the group has ended, which is what is wanted.
    let _ = killpg(Pid::from_raw(child.id() as i32), signal);
}

fn has_ended(server: Server, child: &mut Child) -> Result<bool, StackError> {
    let status = child.try_wait();
    Ok(status
        .map_err(StackError::io("wait for", server.name()))?
        .is_some())
}
