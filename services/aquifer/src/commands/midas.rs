//! `aquifer midas`: what is in run files, and whether they are whole. Needs neither
//! configuration nor servers.

use std::collections::BTreeMap;
use std::path::Path;
use std::process::ExitCode;

use aquifer_midas::{
    BankError, BankName, ByteOrder, Damage, DamageKind, Decoded, Event, EventKind, HEADER_BYTES,
    Odb, OdbNode, Reader, Tid, open,
};
use serde::{Serialize, Serializer};

use crate::cli::MidasCommand;
use crate::output;
use crate::view::midas as view;

/// Damages of one file that are listed; the rest are counted.
const DAMAGES_LISTED: usize = 1000;

/// Checks or shows.
pub(super) fn run(command: &MidasCommand) -> anyhow::Result<ExitCode> {
    let (files, odb, json) = match command {
        MidasCommand::Check { files, json } => (files, &[][..], json),
        MidasCommand::Show { files, odb, json } => (files, &odb[..], json),
    };
    let reports: Vec<_> = files.iter().map(|path| Report::of(path, odb)).collect();
    match command {
        _ if *json => output::json(&reports)?,
        MidasCommand::Check { .. } => view::check(&reports)?,
        MidasCommand::Show { .. } => view::show(&reports)?,
    }
    let worst = reports.iter().map(|report| report.verdict).max();
    Ok(ExitCode::from(worst.map_or(0, |verdict| verdict as u8)))
}

/// How a file is; the number is the exit code.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Verdict {
    Intact = 0,
    Damaged = 1,
    Unreadable = 2,
}

/// All that is said about one file.
#[derive(Debug, Serialize)]
pub(crate) struct Report {
    pub file: String,
    pub verdict: Verdict,
    /// Why it cannot be read, or not to its end.
    pub error: Option<String>,
    pub encoding: Option<String>,
    pub byte_order: Option<&'static str>,
    /// Bytes after decoding.
    pub bytes: u64,
    pub events: u64,
    /// Runs that begin in it, and that end in it.
    pub begins: Vec<u32>,
    pub ends: Vec<u32>,
    /// The run that it ends with, if that began in it.
    pub ended_run: Option<u32>,
    pub by_id: BTreeMap<u16, EventTally>,
    #[serde(serialize_with = "list")]
    pub banks: BTreeMap<(BankName, Tid), BankTally>,
    pub odb: Vec<OdbValue>,
    pub damages: Vec<ListedDamage>,
    /// Damages beyond those that are listed.
    pub more_damages: u64,
}

/// Events of one id.
#[derive(Debug, Serialize)]
pub(crate) struct EventTally {
    pub kind: &'static str,
    pub count: u64,
    /// With headers.
    pub bytes: u64,
    pub first_serial: u32,
    pub last_serial: u32,
    pub first_time: u32,
    pub last_time: u32,
    /// Data events whose payload is no list of banks.
    pub without_banks: u64,
}

/// Banks of one name and type.
#[derive(Debug, Serialize)]
pub(crate) struct BankTally {
    pub name: String,
    #[serde(rename = "type")]
    pub tid: String,
    pub count: u64,
    pub bytes: u64,
    pub smallest: usize,
    pub largest: usize,
}

/// A value of a dump, or the names in a directory.
#[derive(Debug, Serialize)]
pub(crate) struct OdbValue {
    /// Which dump.
    pub dump: &'static str,
    pub path: String,
    #[serde(rename = "type")]
    pub tid: Option<String>,
    pub values: Vec<String>,
}

/// A damage with what it is in words.
#[derive(Debug, Serialize)]
pub(crate) struct ListedDamage {
    pub offset: u64,
    pub length: u64,
    pub compressed_offset: Option<u64>,
    pub kind: String,
}

impl Report {
    /// Reads `path` through.
    fn of(path: &Path, wanted: &[String]) -> Self {
        let mut report = Self {
            file: path.display().to_string(),
            verdict: Verdict::Intact,
            error: None,
            encoding: None,
            byte_order: None,
            bytes: 0,
            events: 0,
            begins: Vec::new(),
            ends: Vec::new(),
            ended_run: None,
            by_id: BTreeMap::new(),
            banks: BTreeMap::new(),
            odb: Vec::new(),
            damages: Vec::new(),
            more_damages: 0,
        };
        match open(path) {
            Ok(decoded) => report.read(decoded, wanted),
            Err(error) => report.error = Some(error.source.to_string()),
        }
        if report.error.is_none() && report.events == 0 {
            report.error = Some("it holds no event".to_owned());
        }
        if report.error.is_some() {
            report.verdict = Verdict::Unreadable;
        }
        report
    }

    fn read(&mut self, decoded: Decoded<impl std::io::Read>, wanted: &[String]) {
        self.encoding = Some(decoded.encoding().to_string());
        let mut reader = Reader::new(decoded);
        loop {
            match reader.read_event() {
                Ok(Some(event)) => self.event(&event, wanted),
                Ok(None) => break,
                Err(error) => match error.damage() {
                    Some(damage) => self.damage(damage),
                    None => self.error = Some(error.to_string()),
                },
            }
        }
        self.bytes = reader.offset();
        self.ended_run = reader.ended_run();
        self.byte_order = reader.byte_order().map(|order| match order {
            ByteOrder::Little => "little endian",
            ByteOrder::Big => "big endian",
        });
    }

    fn event(&mut self, event: &Event<'_>, wanted: &[String]) {
        self.events += 1;
        let header = event.header;
        let tally = self.by_id.entry(header.id).or_insert_with(|| EventTally {
            kind: kind(event.kind()),
            count: 0,
            bytes: 0,
            first_serial: header.serial_number,
            last_serial: 0,
            first_time: header.time_stamp,
            last_time: 0,
            without_banks: 0,
        });
        tally.count += 1;
        tally.bytes += event.length();
        tally.last_serial = header.serial_number;
        tally.last_time = header.time_stamp;
        match event.kind() {
            EventKind::Data => self.banks(event),
            EventKind::BeginOfRun => {
                self.begins.push(header.serial_number);
                self.dump(event, wanted);
            }
            EventKind::EndOfRun => {
                self.ends.push(header.serial_number);
                self.dump(event, wanted);
            }
            EventKind::Message | EventKind::Fragment => {}
        }
    }

    fn banks(&mut self, event: &Event<'_>) {
        if let Err(error) = self.count_banks(event)
            && let Some(damage) = event.damage(error)
        {
            self.damage(&damage);
        }
    }

    /// Counts the banks up to the first that is broken.
    fn count_banks(&mut self, event: &Event<'_>) -> Result<(), BankError> {
        let banks = event.banks().inspect_err(|_| {
            if let Some(tally) = self.by_id.get_mut(&event.header.id) {
                tally.without_banks += 1;
            }
        })?;
        for bank in banks {
            let bank = bank?;
            let size = bank.data.len();
            let tally = self
                .banks
                .entry((bank.name, bank.tid))
                .or_insert_with(|| BankTally {
                    name: bank.name.to_string(),
                    tid: bank.tid.to_string(),
                    count: 0,
                    bytes: 0,
                    smallest: size,
                    largest: size,
                });
            tally.count += 1;
            tally.bytes += size as u64;
            tally.smallest = tally.smallest.min(size);
            tally.largest = tally.largest.max(size);
        }
        Ok(())
    }

    /// Reads the dump of a begin or end of run.
    fn dump(&mut self, event: &Event<'_>, wanted: &[String]) {
        let Some(dump) = event.odb() else { return };
        let inside = |offset: usize, reason: String| Damage {
            kind: DamageKind::Odb(reason),
            offset: event.offset + (HEADER_BYTES + offset) as u64,
            length: dump.bytes.len().saturating_sub(offset) as u64,
            compressed_offset: None,
        };
        match dump.parse() {
            Ok(odb) => {
                for damage in odb.damages() {
                    self.damage(&inside(damage.offset, damage.to_string()));
                }
                for path in wanted {
                    self.odb.extend(odb_value(&odb, kind(event.kind()), path));
                }
            }
            Err(error) => self.damage(&inside(0, error.to_string())),
        }
    }

    fn damage(&mut self, damage: &Damage) {
        self.verdict = Verdict::Damaged;
        if self.damages.len() == DAMAGES_LISTED {
            self.more_damages += 1;
            return;
        }
        self.damages.push(ListedDamage {
            offset: damage.offset,
            length: damage.length,
            compressed_offset: damage.compressed_offset,
            kind: damage.kind.to_string(),
        });
    }
}

/// The tallies tell their own names.
fn list<S: Serializer>(
    banks: &BTreeMap<(BankName, Tid), BankTally>,
    serializer: S,
) -> Result<S::Ok, S::Error> {
    serializer.collect_seq(banks.values())
}

fn kind(kind: EventKind) -> &'static str {
    match kind {
        EventKind::BeginOfRun => "begin of run",
        EventKind::EndOfRun => "end of run",
        EventKind::Message => "message",
        EventKind::Fragment => "fragment",
        EventKind::Data => "data",
    }
}

fn odb_value(odb: &Odb, dump: &'static str, path: &str) -> Option<OdbValue> {
    let node = odb.get(path)?;
    let values = match node.names() {
        Some(names) => names.map(str::to_owned).collect(),
        None => (0..node.count()?)
            .filter_map(|index| node.item(index))
            .map(|item| item.to_text().unwrap_or_default())
            .collect(),
    };
    Some(OdbValue {
        dump,
        path: path.to_owned(),
        tid: type_of(&node),
        values,
    })
}

fn type_of(node: &OdbNode<'_>) -> Option<String> {
    if node.names().is_some() {
        return Some("directory".to_owned());
    }
    node.tid().map(|tid| tid.to_string())
}
