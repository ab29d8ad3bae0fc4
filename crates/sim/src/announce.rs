//! What the DAQ says of its runs on the bus.

use aquifer_schemas::{ClosedBy, ClosedFile, RunClosed, RunOpened, event_id};
use uuid::Uuid;

use crate::truth::{RunStart, RunTruth};

impl RunStart {
    /// The announcement that the run began, by `producer`.
    pub fn opened(&self, producer: &str) -> RunOpened {
        RunOpened {
            event_id: self.event("opened"),
            site: self.site.clone(),
            run: self.number,
            version: 0,
            started_at: self.started_at,
            run_type: Some(self.kind.as_str().to_owned()),
            attributes: self.attributes(),
            producer: producer.to_owned(),
        }
    }

    /// A DAQ that was reset uses its numbers again: the time tells the runs apart.
    fn event(&self, transition: &str) -> Uuid {
        let run = format!("daq:{}/{}@{}", self.site, self.number, self.started_at);
        event_id(&run, transition, 0)
    }
}

impl RunTruth {
    /// The announcement that the run ended, by `producer`. Its files lie in `buffer`,
    /// or, if that is not said, in the only buffer of the site.
    pub fn closed(&self, producer: &str, buffer: Option<&str>) -> RunClosed {
        let start = &self.start;
        let files = self.files.iter().map(|file| ClosedFile {
            name: file.name.clone(),
            size: Some(file.size),
            crc32c: Some(file.crc32c.to_string()),
        });
        RunClosed {
            event_id: start.event("closed"),
            site: start.site.clone(),
            run: start.number,
            version: 0,
            revision: 0,
            started_at: Some(start.started_at),
            ended_at: self.ended_at,
            run_type: Some(start.kind.as_str().to_owned()),
            closed_by: ClosedBy::Daq,
            buffer: buffer.map(str::to_owned),
            files: files.collect(),
            events: Some(self.events),
            attributes: start.attributes(),
            producer: producer.to_owned(),
        }
    }
}
