//! Reads the events of one file as they are written, and to its end.

use std::io::ErrorKind;
use std::sync::Arc;
use std::time::{Duration, Instant};

use aquifer_midas::{DecodeError, Event, ReadError, Reader, SplitEvent, Splitter};
use aquifer_schemas::{FileName, RunId, SlowSample, event_id};
use jiff::Timestamp;

use super::Tap;
use super::collect::{Block, Collector, Fate};
use super::publish::Tapped;
use super::slow::{Readout, SlowReader};
use crate::events;
use crate::journal::{Knowledge, Record};
use crate::stream::{Tail, blocking};

/// Bytes read at a time.
const CHUNK: u64 = 1 << 20;

/// Pause at the end of a growing file.
const POLL: Duration = Duration::from_millis(200);

/// So far behind the end of a file its events are no longer live.
const BEHIND: u64 = 256 << 20;

/// One file that is read.
pub(crate) struct FileReader {
    tap: Arc<Tap>,
    run: RunId,
    name: FileName,
    is_open: bool,
    slow: SlowReader,
    collector: Collector,
}

/// What a piece of the file held.
#[derive(Default)]
struct Findings {
    readouts: Vec<Readout>,
    blocks: Vec<Block>,
    dropped: usize,
}

impl FileReader {
    /// Reads a file of a run from its begin.
    pub(crate) fn new(tap: Arc<Tap>, run: RunId, name: FileName, is_open: bool) -> Self {
        Self {
            slow: SlowReader::new(&tap.slow),
            collector: Collector::new(&tap.config, Instant::now()),
            tap,
            run,
            name,
            is_open,
        }
    }

    /// Reads to the end of the file, as soon as it is closed.
    pub(crate) async fn run(mut self) -> (RunId, FileName, anyhow::Result<()>) {
        let outcome = if self.is_open {
            self.follow().await
        } else {
            self.read_closed().await
        };
        (self.run, self.name, outcome)
    }

    async fn follow(&mut self) -> anyhow::Result<()> {
        let path = self.tap.edge.rules.path(&self.name);
        let tail = Arc::new(blocking(move || Tail::open(&path)).await?);
        let mut splitter = Splitter::new();
        loop {
            // Looked at before the size: what is closed grows no more.
            let closed = self.is_closed();
            let looked = Arc::clone(&tail);
            let size = blocking(move || looked.look()).await?.size;
            let at = splitter.fed();
            if at == size {
                if closed {
                    let mut findings = Findings::default();
                    splitter.finish(|event| self.take(&event, true, &mut findings));
                    findings.blocks.extend(self.collector.take());
                    self.pass_on(findings).await?;
                    return self.sampled().await;
                }
                let due = self.collector.due(Instant::now());
                self.offer(due.into_iter());
                let shutdown = &self.tap.edge.shutdown;
                if shutdown
                    .run_until_cancelled(tokio::time::sleep(POLL))
                    .await
                    .is_none()
                {
                    return Ok(());
                }
                continue;
            }
            let (read, length) = (Arc::clone(&tail), (size - at).min(CHUNK) as usize);
            let (bytes, _) = blocking(move || read.read(at, length)).await?;
            let live = !closed && size - at < BEHIND;
            let mut findings = Findings::default();
            splitter.feed(&bytes, |event| self.take(&event, live, &mut findings));
            findings.blocks.extend(self.collector.due(Instant::now()));
            self.pass_on(findings).await?;
        }
    }

    /// Slow-control values of a file that nobody looked at while it was open.
    async fn read_closed(&mut self) -> anyhow::Result<()> {
        let path = self.tap.edge.rules.path(&self.name);
        let banks = self.tap.slow.clone();
        let (send, mut readouts) = tokio::sync::mpsc::channel(64);
        let reading = tokio::task::spawn_blocking(move || {
            let mut slow = SlowReader::new(&banks);
            let file = match aquifer_midas::open(&path) {
                Ok(file) => file,
                // Gone, or none of MIDAS's: nothing to be published.
                Err(error) => match error.source {
                    DecodeError::Io(source) if source.kind() != ErrorKind::NotFound => {
                        return Err(source);
                    }
                    _ => return Ok(()),
                },
            };
            let mut reader = Reader::new(file);
            loop {
                match reader.read_event() {
                    Ok(Some(event)) => {
                        for readout in slow.take(&event) {
                            if send.blocking_send(readout).is_err() {
                                return Ok(());
                            }
                        }
                    }
                    Ok(None) => return Ok(()),
                    // What is behind a damage is as good as what is before it.
                    Err(ReadError::Damaged(_)) => {}
                    Err(ReadError::Io { source, .. }) => return Err(source),
                }
            }
        });
        while let Some(readout) = readouts.recv().await {
            self.publish(readout).await?;
        }
        reading.await??;
        self.sampled().await
    }

    fn is_closed(&self) -> bool {
        let ledger = self.tap.edge.journal.ledger();
        ledger.knowledge(self.run.number, &self.name, &self.name) != Knowledge::New
    }

    fn take(&mut self, event: &SplitEvent<'_>, live: bool, findings: &mut Findings) {
        let SplitEvent::Whole(event) = event else {
            return;
        };
        findings.readouts.extend(self.slow.take(event));
        if self.tap.config.enabled {
            self.tap_event(event, live, findings);
        }
    }

    fn tap_event(&mut self, event: &Event<'_>, live: bool, findings: &mut Findings) {
        if !live {
            findings.dropped += 1;
            return;
        }
        let (fate, block) = self.collector.offer(event, Instant::now());
        findings.blocks.extend(block);
        findings.dropped += usize::from(fate == Fate::Dropped);
    }

    async fn pass_on(&mut self, findings: Findings) -> anyhow::Result<()> {
        if findings.dropped > 0 {
            events::tap_dropped(findings.dropped);
        }
        self.offer(findings.blocks.into_iter());
        for readout in findings.readouts {
            self.publish(readout).await?;
        }
        Ok(())
    }

    /// Gives blocks to the publisher as far as it takes them.
    fn offer(&self, blocks: impl Iterator<Item = Block>) {
        for block in blocks {
            let tapped = Tapped {
                run: self.run.clone(),
                name: self.name.clone(),
                block,
                taken_at: Timestamp::now(),
            };
            if let Err(error) = self.tap.blocks.try_send(tapped) {
                events::tap_dropped(error.into_inner().block.events.len());
            }
        }
    }

    async fn publish(&self, readout: Readout) -> anyhow::Result<()> {
        let (run, name) = (&self.run, &self.name);
        let Readout {
            bank,
            ordinal,
            at,
            values,
        } = readout;
        let found = format!(
            "slow {}/{}.v{}/{name}/{ordinal}/{bank}",
            run.site, run.number, run.version
        );
        let sample = SlowSample {
            event_id: event_id(&found, "read", 0),
            site: run.site.clone(),
            source: format!("bank:{bank}"),
            run: Some(run.number),
            at: at.unwrap_or_else(Timestamp::now),
            values,
            producer: self.tap.edge.signals.producer.clone(),
        };
        let publish = self.tap.producer.publish(&sample, None);
        match self.tap.edge.shutdown.run_until_cancelled(publish).await {
            Some(published) => {
                published?;
                events::sampled();
                Ok(())
            }
            None => anyhow::bail!("the process drains"),
        }
    }

    /// All values of the file are published.
    async fn sampled(&self) -> anyhow::Result<()> {
        if self.tap.slow.is_empty() {
            return Ok(());
        }
        let record = Record::Sampled {
            run: self.run.number,
            name: self.name.clone(),
        };
        Ok(self.tap.edge.journal.append(record).await?)
    }
}
