//! Slow-control values out of events. Pure.
//!
//! Values are called as the ODB at the begin of the run says; a value that is not a
//! number is passed on as that.

use std::collections::BTreeMap;

use aquifer_midas::{Bank, BankName, Event, EventKind, Odb};
use jiff::{SignedDuration, Timestamp};

use super::config::SlowBank;

/// MIDAS was not yet written: what counts from there is no time of day.
const FIRST_PLAUSIBLE: Timestamp = Timestamp::constant(631_152_000, 0);

/// One readout.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Readout {
    /// The bank.
    pub bank: String,
    /// Place of its event in the file.
    pub ordinal: u64,
    /// When it was read out, where the file says.
    pub at: Option<Timestamp>,
    /// The values by name.
    pub values: BTreeMap<String, f64>,
}

/// Finds readouts in the events of one file, in order.
#[derive(Debug)]
pub(crate) struct SlowReader {
    banks: Vec<(BankName, SlowBank, Vec<String>)>,
    began_at: Option<Timestamp>,
}

impl SlowReader {
    /// Looks for these banks; those whose names are no names of banks find nothing.
    pub(crate) fn new(banks: &[SlowBank]) -> Self {
        let banks = banks.iter().filter_map(|bank| {
            let name: [u8; 4] = bank.bank.as_bytes().try_into().ok()?;
            Some((BankName(name), bank.clone(), Vec::new()))
        });
        Self {
            banks: banks.collect(),
            began_at: None,
        }
    }

    /// The readouts of the next event.
    pub(crate) fn take(&mut self, event: &Event<'_>) -> Vec<Readout> {
        match event.kind() {
            EventKind::BeginOfRun => {
                self.begin(event);
                Vec::new()
            }
            EventKind::Data => self.read(event),
            _ => Vec::new(),
        }
    }

    /// Learns the names.
    fn begin(&mut self, event: &Event<'_>) {
        self.began_at = Timestamp::from_second(event.header.time_stamp.into()).ok();
        let Some(odb) = event.odb().and_then(|dump| dump.parse().ok()) else {
            return;
        };
        for (_, config, names) in &mut self.banks {
            *names = names_in(&odb, &config.names);
        }
    }

    fn read(&self, event: &Event<'_>) -> Vec<Readout> {
        let wanted = |id: u16| self.banks.iter().any(|(_, bank, _)| bank.reads(id));
        let Some(banks) = event.banks().ok().filter(|_| wanted(event.header.id)) else {
            return Vec::new();
        };
        let mut readouts = Vec::new();
        // What stands before a damage is as good as ever.
        for bank in banks.map_while(Result::ok) {
            let known = self
                .banks
                .iter()
                .find(|(name, config, _)| *name == bank.name && config.reads(event.header.id));
            if let Some((_, config, names)) = known
                && let Some(values) = numbers(&bank)
            {
                readouts.push(Readout {
                    bank: config.bank.clone(),
                    ordinal: event.ordinal,
                    at: self.time(event.header.time_stamp),
                    values: named(&config.bank, names, values),
                });
            }
        }
        readouts
    }

    /// The time of an event: seconds since 1970, or, where that cannot be, milliseconds
    /// since the begin of the run, as newer front ends count.
    fn time(&self, stamp: u32) -> Option<Timestamp> {
        let absolute = Timestamp::from_second(stamp.into()).ok()?;
        if absolute >= FIRST_PLAUSIBLE {
            return Some(absolute);
        }
        let began_at = self.began_at.filter(|began| *began >= FIRST_PLAUSIBLE)?;
        Some(began_at + SignedDuration::from_millis(stamp.into()))
    }
}

impl SlowBank {
    fn reads(&self, event_id: u16) -> bool {
        self.event_id == 0 || self.event_id == event_id
    }
}

fn names_in(odb: &Odb, path: &str) -> Vec<String> {
    let Some(node) = (!path.is_empty()).then(|| odb.get(path)).flatten() else {
        return Vec::new();
    };
    let items = (0..node.count().unwrap_or(0)).map_while(|place| node.item(place));
    items
        .map(|item| item.as_str().unwrap_or_default().trim().to_owned())
        .collect()
}

/// The bank's values as numbers, if they are numbers.
fn numbers(bank: &Bank<'_>) -> Option<Vec<f64>> {
    fn of<T: aquifer_midas::Scalar + Into<f64>>(bank: &Bank<'_>) -> Option<Vec<f64>> {
        Some(bank.values::<T>()?.map(Into::into).collect())
    }
    let integers = || {
        let wide = bank
            .values::<i64>()
            .map(|values| values.map(|n| n as f64).collect());
        wide.or_else(|| Some(bank.values::<u64>()?.map(|n| n as f64).collect()))
    };
    of::<f32>(bank)
        .or_else(|| of::<f64>(bank))
        .or_else(|| of::<u8>(bank))
        .or_else(|| of::<i8>(bank))
        .or_else(|| of::<u16>(bank))
        .or_else(|| of::<i16>(bank))
        .or_else(|| of::<u32>(bank))
        .or_else(|| of::<i32>(bank))
        .or_else(integers)
}

/// Values by name. Where names are missing or used twice the place says which it is.
fn named(bank: &str, names: &[String], values: Vec<f64>) -> BTreeMap<String, f64> {
    let mut found = BTreeMap::new();
    for (place, value) in values.into_iter().enumerate() {
        let name = names.get(place).filter(|name| !name.is_empty());
        let free = name.filter(|name| !found.contains_key(*name));
        let name = free.cloned().unwrap_or_else(|| format!("{bank}[{place}]"));
        found.insert(name, value);
    }
    found
}

#[cfg(test)]
mod tests {
    use aquifer_midas::{BankFormat, EventBuilder, Reader, Writer};

    use super::*;

    fn file(dump: &str, values: &[f32]) -> Vec<u8> {
        let mut writer = Writer::new(Vec::new());
        writer
            .begin_of_run(7, 1_700_000_000, dump.as_bytes())
            .unwrap();
        for (id, stamp) in [(5, 1_700_000_100), (6, 1_700_000_200), (5, 1500)] {
            let mut builder = EventBuilder::new(id, BankFormat::Bank16);
            let event = builder.begin(0, stamp);
            event.values(BankName(*b"INPT"), values).unwrap();
            writer.event(&builder).unwrap();
        }
        writer.into_inner()
    }

    fn read(bytes: &[u8], bank: &SlowBank) -> Vec<Readout> {
        let mut slow = SlowReader::new(std::slice::from_ref(bank));
        let mut reader = Reader::new(bytes);
        let mut readouts = Vec::new();
        while let Some(event) = reader.read_event().unwrap() {
            readouts.extend(slow.take(&event));
        }
        readouts
    }

    const DUMP: &str = r#"{"Equipment":{"Env":{"Settings":{"Names":["Gas","","Gas"]}}}}"#;

    fn inpt(names: &str) -> SlowBank {
        SlowBank {
            bank: "INPT".to_owned(),
            event_id: 5,
            names: names.to_owned(),
        }
    }

    #[test]
    fn values_are_called_as_the_odb_says_and_a_missing_one_is_no_number() {
        let bytes = file(DUMP, &[1.5, f32::NAN, 2.0, 3.0]);
        let readouts = read(&bytes, &inpt("/Equipment/Env/Settings/Names"));
        assert_eq!(readouts.len(), 2, "of equipment 5 only");
        let values = &readouts[0].values;
        assert_eq!(values["Gas"].to_bits(), 1.5f64.to_bits());
        assert!(values["INPT[1]"].is_nan());
        assert_eq!(values["INPT[2]"].to_bits(), 2.0f64.to_bits());
        assert_eq!(values.len(), 4);
        assert_eq!(readouts[0].ordinal, 1);
        assert_eq!(readouts[0].at.unwrap().as_second(), 1_700_000_100);
    }

    #[test]
    fn a_clock_that_begins_with_the_run_is_understood() {
        let readouts = read(&file(DUMP, &[1.0]), &inpt(""));
        assert_eq!(readouts[1].at.unwrap().as_millisecond(), 1_700_000_001_500);
        assert!(readouts[1].values.contains_key("INPT[0]"));
    }
}
