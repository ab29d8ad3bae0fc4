//! What simulated DAQs say of their runs on the bus.

use std::collections::BTreeMap;

use aquifer_schemas::{ClosedBy, ClosedFile, RunClosed, RunNumber, RunOpened, Site, event_id};
use jiff::Timestamp;
use uuid::Uuid;

use crate::opaque::OpaqueRun;
use crate::truth::{FileTruth, RunStart, RunTruth};

impl RunStart {
    /// The announcement that the run began, by `producer`.
    pub fn opened(&self, producer: &str) -> RunOpened {
        self.told().opened(producer)
    }

    fn told(&self) -> Told<'_> {
        Told {
            site: &self.site,
            number: self.number,
            started_at: self.started_at,
            run_type: Some(self.kind.as_str()),
            attributes: self.attributes(),
        }
    }
}

impl RunTruth {
    /// The announcement that the run ended, by `producer`. Its files lie in `buffer`,
    /// or, if that is not said, in the only buffer of the site.
    pub fn closed(&self, producer: &str, buffer: Option<&str>) -> RunClosed {
        let told = self.start.told();
        told.closed(producer, buffer, self.ended_at, self.events, &self.files)
    }
}

impl OpaqueRun {
    /// The announcement that it began, by `producer`.
    pub fn opened(&self, producer: &str) -> RunOpened {
        self.told().opened(producer)
    }

    /// The announcement that it ended, by `producer`. Its files lie in `buffer`.
    pub fn closed(&self, producer: &str, buffer: Option<&str>) -> RunClosed {
        let told = self.told();
        told.closed(producer, buffer, self.ended_at, self.events, &self.files)
    }

    fn told(&self) -> Told<'_> {
        Told {
            site: &self.site,
            number: self.number,
            started_at: self.started_at,
            run_type: None,
            attributes: self.attributes.clone(),
        }
    }
}

/// What a DAQ says of a run from its begin on.
struct Told<'a> {
    site: &'a Site,
    number: RunNumber,
    started_at: Timestamp,
    run_type: Option<&'a str>,
    attributes: BTreeMap<String, String>,
}

impl Told<'_> {
    fn opened(self, producer: &str) -> RunOpened {
        RunOpened {
            event_id: self.event("opened"),
            site: self.site.clone(),
            run: self.number,
            version: 0,
            started_at: self.started_at,
            run_type: self.run_type.map(str::to_owned),
            attributes: self.attributes,
            producer: producer.to_owned(),
        }
    }

    fn closed(
        self,
        producer: &str,
        buffer: Option<&str>,
        ended_at: Timestamp,
        events: u64,
        files: &[FileTruth],
    ) -> RunClosed {
        let files = files.iter().map(|file| ClosedFile {
            name: file.name.clone(),
            size: Some(file.size),
            crc32c: Some(file.crc32c.to_string()),
        });
        RunClosed {
            event_id: self.event("closed"),
            site: self.site.clone(),
            run: self.number,
            version: 0,
            revision: 0,
            started_at: Some(self.started_at),
            ended_at,
            run_type: self.run_type.map(str::to_owned),
            closed_by: ClosedBy::Daq,
            buffer: buffer.map(str::to_owned),
            files: files.collect(),
            events: Some(events),
            attributes: self.attributes,
            producer: producer.to_owned(),
        }
    }

    /// A DAQ that was reset uses its numbers again: the time tells the runs apart.
    fn event(&self, transition: &str) -> Uuid {
        let run = format!("daq:{}/{}@{}", self.site, self.number, self.started_at);
        event_id(&run, transition, 0)
    }
}
