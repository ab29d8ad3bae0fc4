//! From a block to an object and its announcement.
//!
//! A bounded queue stands before the storage: what does not fit is dropped and counted,
//! so that looking at a run never costs any of it. The announcement follows the object.

use std::sync::Arc;

use aquifer_bus::Producer;
use aquifer_digest::Digests;
use aquifer_schemas::{EventsTaken, FileName, RunId, event_id};
use aquifer_storage::{ObjectKey, ObjectMeta, StorageElement, StorageError};
use bytes::Bytes;
use jiff::Timestamp;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use super::collect::Block;
use crate::events;

/// A block of a file.
#[derive(Debug)]
pub(crate) struct Tapped {
    /// The run.
    pub run: RunId,
    /// The file.
    pub name: FileName,
    /// The events.
    pub block: Block,
    /// When the last of them was found.
    pub taken_at: Timestamp,
}

/// Puts live objects and announces them.
pub(crate) struct Publisher {
    pub(crate) storage: Arc<dyn StorageElement>,
    pub(crate) producer: Producer,
    /// Part of the keys before the site.
    pub(crate) prefix: String,
    /// Who says so.
    pub(crate) who: String,
}

impl Publisher {
    /// Publishes what comes until nobody sends any more or the process drains.
    pub(crate) async fn run(
        self,
        mut blocks: mpsc::Receiver<Tapped>,
        shutdown: CancellationToken,
    ) -> anyhow::Result<()> {
        while let Some(Some(tapped)) = shutdown.run_until_cancelled(blocks.recv()).await {
            let events = tapped.block.events.len();
            // A live event is worth a moment and not a retry: the run's file has it.
            let published = shutdown.run_until_cancelled(self.publish(tapped)).await;
            match published {
                Some(Ok(())) => events::tapped(events),
                Some(Err(error)) => events::tap_failed(events, &error),
                None => break,
            }
        }
        Ok(())
    }

    async fn publish(&self, tapped: Tapped) -> anyhow::Result<()> {
        let Tapped {
            run,
            name,
            block,
            taken_at,
        } = tapped;
        let Some(key) = live_key(&self.prefix, &run, &name, &block) else {
            return Ok(());
        };
        let key = key.map_err(StorageError::from)?;
        let body = Bytes::from(block.bytes);
        let digests = Digests::of(&body);
        self.storage.put(&key, body, &ObjectMeta::new()).await?;
        let message = EventsTaken {
            event_id: event_id(&format!("run {run} live {key}"), "taken", 0),
            block: block.events.first().map_or(0, |event| event.ordinal),
            site: run.site,
            run: run.number,
            version: run.version,
            file: name,
            element: self.storage.name().to_owned(),
            bucket: self.storage.location().to_owned(),
            key: key.to_string(),
            size: digests.size,
            crc64nvme: digests.crc64nvme.to_string(),
            events: block.events,
            taken_at,
            producer: self.who.clone(),
        };
        self.producer.publish(&message, None).await?;
        Ok(())
    }
}

/// The key of a block: nothing in it repeats within a run but by reading the same bytes
/// again. Times in headers would, on DAQs that count from the begin of each run.
fn live_key(
    prefix: &str,
    run: &RunId,
    name: &FileName,
    block: &Block,
) -> Option<Result<ObjectKey, aquifer_storage::KeyError>> {
    let first = block.events.first()?;
    let prefix = prefix.trim_matches('/');
    let slash = if prefix.is_empty() { "" } else { "/" };
    let key = format!(
        "{prefix}{slash}{}/{:08}/v{}/{name}/{:010}-{:014}-{}.mid",
        run.site,
        run.number,
        run.version,
        first.ordinal,
        first.offset,
        block.events.len()
    );
    Some(key.parse())
}

#[cfg(test)]
mod tests {
    use aquifer_schemas::TakenEvent;

    use super::*;

    #[test]
    fn keys_of_a_run_are_in_order_and_apart() {
        let run: RunId = "LNGS/42".parse().unwrap();
        let name = "run00042.mid".parse().unwrap();
        let key = |ordinal: u64| {
            let event = TakenEvent {
                ordinal,
                offset: 10 * ordinal,
                length: 10,
                id: 1,
                serial: 0,
            };
            let block = Block {
                events: vec![event],
                bytes: Vec::new(),
            };
            live_key("live/", &run, &name, &block).unwrap().unwrap()
        };
        assert_eq!(
            key(7).as_str(),
            "live/LNGS/00000042/v1/run00042.mid/0000000007-00000000000070-1.mid"
        );
        assert!(key(99) < key(1000));
    }
}
