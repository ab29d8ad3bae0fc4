//! The intake: what the DAQ announces on the bus hastens what the scan would find.
//!
//! A message is done once it is in the journal. One that cannot be used goes to the
//! dead letters; one about another site is not for this ingester. Whatever the bus or
//! the journal's disk say, the intake goes on: at the edge nobody is there to restart it.

use std::time::Duration;

use aquifer_bus::{BusError, Consumer, Delivery, Producer, Schemas, dead_letters};
use aquifer_runtime::crash::crash_point;
use aquifer_runtime::request::BadField;
use aquifer_runtime::trace::TraceParent;
use aquifer_schemas::redact::redact_text;
use aquifer_schemas::{DeadLetterReason, Message, PurgeOrder, RunClosed, RunNumber, RunOpened};

use crate::announcement::{self, Meaning, Reason};
use crate::edge::Edge;
use crate::events;
use crate::journal::Record;
use crate::steps;

/// How long leaving the group may take.
const LEAVE: Duration = Duration::from_secs(5);

/// Pause before a message that could not be kept or buried is looked at again.
const LOOK_AGAIN: Duration = Duration::from_secs(2);

/// Turns announcements into journal records.
pub(crate) struct Intake {
    edge: Edge,
    schemas: Schemas,
    producer: Producer,
    group: String,
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

impl From<BadField> for Unusable {
    fn from(bad: BadField) -> Self {
        Self::Message {
            reason: DeadLetterReason::Invalid,
            error: bad.reason,
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

    /// Consumes until shutdown or until the consumer can go on no more, then commits what
    /// is done and leaves the group.
    pub(crate) async fn run(&self, mut consumer: Consumer) {
        let shutdown = self.edge.shutdown.clone();
        while let Some(Some(next)) = shutdown.run_until_cancelled(consumer.next()).await {
            match next {
                Ok(delivery) => {
                    self.edge.links.bus.reached();
                    let _ = shutdown.run_until_cancelled(self.take(delivery)).await;
                }
                // A topic that is not there, for example: a person in the middle mends it.
                Err(error) => events::bus_needs_help(&error),
            }
        }
        if let Err(error) = consumer.close(LEAVE).await {
            events::bus_needs_help(&error);
        }
    }

    /// Takes a message in, however long journal and bus need.
    async fn take(&self, delivery: Delivery) {
        while !self.take_now(&delivery).await {
            tokio::time::sleep(LOOK_AGAIN).await;
        }
        delivery.ack.done();
    }

    /// Whether the message is dealt with.
    async fn take_now(&self, delivery: &Delivery) -> bool {
        match self.understand(delivery).await {
            Ok((_, Meaning::Records(records))) => {
                for record in &records {
                    if let Err(error) = self.edge.journal.append(record.clone()).await {
                        events::journal_failed(&error);
                        return false;
                    }
                }
                crash_point(steps::MESSAGE_JOURNALED);
                for record in &records {
                    self.report(record);
                }
                true
            }
            Ok((run, Meaning::Nothing(why))) => {
                events::message_ignored(run, why.as_str());
                true
            }
            Err(Unusable::Message { reason, error }) => {
                // It may quote the message.
                let (error, _) = redact_text(&error);
                self.bury(delivery, reason, &error).await
            }
            Err(Unusable::Bus(error)) => {
                events::bus_needs_help(&error);
                false
            }
        }
    }

    async fn bury(&self, delivery: &Delivery, reason: DeadLetterReason, error: &str) -> bool {
        let buried = dead_letters::bury(&self.producer, delivery, reason, error, 1, &self.group);
        match buried.await {
            Ok(()) => {
                events::message_buried(error);
                true
            }
            Err(error) => {
                events::bus_needs_help(&error);
                false
            }
        }
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

    async fn understand(&self, delivery: &Delivery) -> Result<(RunNumber, Meaning), Unusable> {
        if delivery.topic == RunOpened::TOPIC {
            let mut message = self.schemas.decode::<RunOpened>(&delivery.payload).await?;
            let trace = delivery.traceparent.clone();
            let run = message.run;
            Ok((run, announcement::opened(&self.edge, &mut message, trace)))
        } else if delivery.topic == PurgeOrder::TOPIC {
            let message = self.schemas.decode::<PurgeOrder>(&delivery.payload).await?;
            if message.buffer != self.edge.buffer_element {
                return Ok((message.run, Meaning::Nothing(Reason::OtherBuffer)));
            }
            // The order itself is in the catalogue.
            self.edge.purge_hint.notify_one();
            Ok((message.run, Meaning::Records(Vec::new())))
        } else {
            let mut message = self.schemas.decode::<RunClosed>(&delivery.payload).await?;
            let trace = trace_of(delivery).to_string();
            let run = message.run;
            Ok((run, announcement::closed(&self.edge, &mut message, trace)?))
        }
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
