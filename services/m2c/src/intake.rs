//! The intake: what the DAQ announces on the bus hastens what the scan would find.
//!
//! A message is done once it is in the journal. One that cannot be used goes to the
//! dead letters; one about another site is not for this ingester.

use std::collections::BTreeMap;
use std::time::Duration;

use aquifer_bus::{BusError, Consumer, Delivery, Producer, Schemas, dead_letters};
use aquifer_digest::{Crc32c, FileIdentity};
use aquifer_runtime::crash::crash_point;
use aquifer_runtime::trace::TraceParent;
use aquifer_schemas::redact::{Found, redact_text};
use aquifer_schemas::{
    ClosedBy, DeadLetterReason, Message, PurgeOrder, RunClosed, RunNumber, RunOpened, RunVersion,
};
use jiff::Timestamp;

use crate::edge::Edge;
use crate::events;
use crate::journal::{Closure, ExpectedFile, Knowledge, Opening, Record, SecretSource};
use crate::secrets;
use crate::steps;

/// How long leaving the group may take.
const LEAVE: Duration = Duration::from_secs(5);

/// Turns announcements into journal records.
pub(crate) struct Intake {
    edge: Edge,
    schemas: Schemas,
    producer: Producer,
    group: String,
}

/// What a message amounts to.
enum Meaning {
    Records(Vec<Record>),
    /// Somebody ordered the buffer to be freed: the order itself is in the catalogue.
    PurgeOrdered,
    Ignore(RunNumber, &'static str),
}

/// Why a message cannot be used.
enum Unusable {
    /// The message is at fault.
    Message {
        reason: DeadLetterReason,
        error: String,
    },
    /// The bus is: it is asked again.
    Bus(BusError),
}

impl From<BusError> for Unusable {
    fn from(error: BusError) -> Self {
        match error {
            BusError::Codec(error) => Self::Message {
                reason: DeadLetterReason::Undecodable,
                error: error.to_string(),
            },
            other => Self::Bus(other),
        }
    }
}

impl Intake {
    /// Reads with `schemas` and buries with `producer`, as member of `group`.
    pub(crate) fn new(edge: Edge, schemas: Schemas, producer: Producer, group: String) -> Self {
        Self {
            edge,
            schemas,
            producer,
            group,
        }
    }

    /// Consumes until shutdown, then commits what is done and leaves the group.
    pub(crate) async fn run(&self, mut consumer: Consumer) -> anyhow::Result<()> {
        let shutdown = self.edge.shutdown.clone();
        while let Some(Some(delivery)) = shutdown.run_until_cancelled(consumer.next()).await {
            self.take(delivery?).await?;
        }
        consumer.close(LEAVE).await?;
        Ok(())
    }

    async fn take(&self, delivery: Delivery) -> anyhow::Result<()> {
        match self.understand(&delivery).await {
            Ok(Meaning::Records(records)) => {
                for record in &records {
                    self.edge.journal.append(record.clone()).await?;
                }
                crash_point(steps::MESSAGE_JOURNALED);
                for record in &records {
                    self.report(record);
                }
            }
            Ok(Meaning::PurgeOrdered) => self.edge.purge_hint.notify_one(),
            Ok(Meaning::Ignore(run, why)) => events::message_ignored(run, why),
            Err(Unusable::Message { reason, error }) => {
                // It may quote the message.
                let (error, _) = redact_text(&error);
                dead_letters::bury(&self.producer, &delivery, reason, &error, 1, &self.group)
                    .await?;
                events::message_buried(&error);
            }
            Err(Unusable::Bus(error)) => return Err(error.into()),
        }
        delivery.ack.done();
        Ok(())
    }

    fn report(&self, record: &Record) {
        if let Record::Closed {
            run,
            version,
            closure,
        } = record
        {
            let id = self.edge.run_id(*run, *version);
            events::run_closed(&id, closure.closed_by.as_str(), closure.files.len());
        }
    }

    async fn understand(&self, delivery: &Delivery) -> Result<Meaning, Unusable> {
        if delivery.topic == RunOpened::TOPIC {
            let message = self.schemas.decode::<RunOpened>(&delivery.payload).await?;
            Ok(self.opened(message, delivery))
        } else if delivery.topic == PurgeOrder::TOPIC {
            let message = self.schemas.decode::<PurgeOrder>(&delivery.payload).await?;
            Ok(if message.buffer == self.edge.buffer_element {
                Meaning::PurgeOrdered
            } else {
                Meaning::Ignore(message.run, "other buffer")
            })
        } else {
            let message = self.schemas.decode::<RunClosed>(&delivery.payload).await?;
            self.closed(message, delivery)
        }
    }

    fn opened(&self, message: RunOpened, delivery: &Delivery) -> Meaning {
        if message.site != self.edge.site {
            return Meaning::Ignore(message.run, "other site");
        }
        if self.edge.journal.ledger().is_closed(message.run) {
            return Meaning::Ignore(message.run, "already closed");
        }
        let mut said = Announced::of(message.attributes, message.run_type);
        let opened = Record::Opened {
            run: message.run,
            opening: Opening {
                started_at: message.started_at,
                run_type: said.run_type.take(),
                attributes: std::mem::take(&mut said.attributes),
                trace: delivery.traceparent.clone(),
            },
        };
        said.records(message.run, opened)
    }

    fn closed(&self, message: RunClosed, delivery: &Delivery) -> Result<Meaning, Unusable> {
        if message.site != self.edge.site {
            return Ok(Meaning::Ignore(message.run, "other site"));
        }
        if message.producer == self.edge.signals.producer {
            return Ok(Meaning::Ignore(message.run, "announced here"));
        }
        let elsewhere = |buffer: &String| *buffer != self.edge.buffer_element;
        if message.buffer.as_ref().is_some_and(elsewhere) {
            return Ok(Meaning::Ignore(message.run, "other buffer"));
        }
        let files = message
            .files
            .iter()
            .map(|file| self.expected(message.run, file))
            .collect::<Result<Vec<_>, _>>()?;
        let version = self.version_of(message.run, &files);
        let mut said = Announced::of(message.attributes, message.run_type);
        let closed = Record::Closed {
            run: message.run,
            version,
            closure: Closure {
                closed_by: ClosedBy::Daq,
                started_at: message.started_at,
                ended_at: message.ended_at,
                run_type: said.run_type.take(),
                events: message.events,
                attributes: std::mem::take(&mut said.attributes),
                files,
                trace: Some(trace_of(delivery).to_string()),
                learnt_at: Timestamp::now(),
                instead: None,
            },
        };
        Ok(said.records(message.run, closed))
    }

    /// The version that the announced files belong to: the next one where the buffer
    /// holds other bytes under a stored name, because the DAQ used the number again.
    fn version_of(&self, run: RunNumber, files: &[ExpectedFile]) -> RunVersion {
        let ledger = self.edge.journal.ledger();
        let rewritten = files.iter().any(|file| {
            let disk = file.disk.as_ref().unwrap_or(&file.name);
            let path = self.edge.rules.path(disk);
            match ledger.knowledge(run, disk, &file.name) {
                Knowledge::Stored(known) => std::fs::symlink_metadata(path)
                    .is_ok_and(|found| FileIdentity::from(&found) != known.identity),
                Knowledge::Trashed => std::fs::symlink_metadata(path).is_ok(),
                _ => false,
            }
        });
        ledger.version(run) + RunVersion::from(rewritten)
    }

    /// A file name from a message becomes a path: it must be one that this buffer's
    /// templates give to this run.
    fn expected(
        &self,
        run: RunNumber,
        file: &aquifer_schemas::ClosedFile,
    ) -> Result<ExpectedFile, Unusable> {
        let invalid = |error: String| Unusable::Message {
            reason: DeadLetterReason::Invalid,
            error,
        };
        let recognised = self.edge.rules.naming.recognise(file.name.as_str());
        let Some(name) = recognised.filter(|name| name.run == run) else {
            return Err(invalid(format!(
                "file `{}` is not a file of run {run} by the templates of this buffer",
                file.name
            )));
        };
        let crc32c = file
            .crc32c
            .as_ref()
            .map(|hex| hex.parse::<Crc32c>())
            .transpose()
            .map_err(|error| invalid(format!("file `{}`: {error}", file.name)))?;
        Ok(ExpectedFile {
            disk: (name.disk != name.file).then_some(name.disk),
            name: name.file,
            size: file.size,
            crc32c,
        })
    }
}

/// What a DAQ says about a run, without the secrets that it let slip.
struct Announced {
    attributes: BTreeMap<String, String>,
    run_type: Option<String>,
    found: Vec<Found>,
}

impl Announced {
    fn of(attributes: BTreeMap<String, String>, run_type: Option<String>) -> Self {
        let (attributes, mut found) = secrets::without(attributes);
        let run_type = run_type.map(|text| redact_text(&text));
        if let Some((_, Some(kind))) = &run_type {
            let place = "run type".to_owned();
            found.push(Found { place, kind: *kind });
        }
        Self {
            attributes,
            run_type: run_type.map(|(said, _)| said),
            found,
        }
    }

    /// The record of the announcement, and one of the secrets that were in it: after it,
    /// because a new version of the run begins with nothing.
    fn records(self, run: RunNumber, announcement: Record) -> Meaning {
        let mut records = vec![announcement];
        if !self.found.is_empty() {
            records.push(Record::Secrets {
                run,
                source: SecretSource::Announcement,
                found: self.found,
            });
        }
        Meaning::Records(records)
    }
}

/// The topics that the intake reads.
pub(crate) const TOPICS: &[&str] = &[RunOpened::TOPIC, RunClosed::TOPIC, PurgeOrder::TOPIC];

/// The trace that the DAQ began; where it began none that makes sense, one begins here.
fn trace_of(delivery: &Delivery) -> TraceParent {
    let announced = delivery.traceparent.as_ref();
    announced
        .and_then(|trace| trace.parse().ok())
        .unwrap_or_else(TraceParent::new_root)
}
