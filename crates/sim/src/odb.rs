//! The ODB dumps of a simulated run, as mlogger writes them.
//!
//! JSON in which each key `X` is preceded by `X/key` with its type, unsigned numbers
//! are hexadecimal strings, and floats have seven decimals. As in real dumps, `State` is
//! that of the transition: 1 (stopped) at begin and 3 (running) at end of run.

use std::fmt::Write as _;

use aquifer_midas::Tid;
use jiff::Timestamp;

use crate::config::DetectorConfig;
use crate::detector::{EXPOSURE_SECS, event_id};
use crate::slow_control;
use crate::truth::{RunKind, RunStart};

/// Set high voltages: offset, GEM3, transfer 2, GEM2, transfer 1, GEM1, drift, PMT 1 to 4.
const HIGH_VOLTAGE: [(&str, f64); 11] = [
    ("Offset", 10.0),
    ("VGEM3", 440.0),
    ("Transf2", 500.0),
    ("VGEM2", 440.0),
    ("Transf1", 500.0),
    ("VGEM1", 440.0),
    ("Drift", 960.0),
    ("PMT1", 770.0),
    ("PMT2", 770.0),
    ("PMT3", 770.0),
    ("PMT4", 800.0),
];

/// At which end of the run a dump is taken.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Moment {
    Begin,
    End { ended_at: Timestamp, triggers: u64 },
}

/// The dump at `moment`.
pub(crate) fn dump(config: &DetectorConfig, start: &RunStart, moment: Moment) -> String {
    let mut odb = Text::new(seconds(start.started_at));
    odb.directory("Experiment", |odb| {
        odb.string("Name", 32, config.site.as_str());
        odb.directory("Run Parameters", |odb| {
            odb.string("Run description", 256, &start.description);
        });
    });
    odb.directory("Logger", |odb| logger(odb, start));
    odb.directory("Runinfo", |odb| run_info(odb, start, moment));
    odb.directory("Equipment", |odb| equipment(odb, start, moment));
    odb.directory("Configurations", |odb| configurations(odb, config, start));
    odb.finish()
}

fn logger(odb: &mut Text, start: &RunStart) {
    odb.string("Data dir", 256, "/data01/data/");
    odb.boolean("Write data", true);
    odb.directory("Channels", |odb| {
        odb.directory("0", |odb| {
            odb.directory("Settings", |odb| {
                odb.boolean("Active", true);
                odb.string("Type", 8, "Disk");
                odb.string("Filename", 256, "run%05d.mid");
                odb.string("Format", 8, "MIDAS");
                odb.int("Compression", 0);
                odb.boolean("ODB dump", true);
                odb.string("ODB dump format", 32, "json");
                odb.dword("Log messages", 0);
                odb.string("Buffer", 32, "SYSTEM");
                odb.int("Event ID", -1);
                odb.int("Trigger mask", -1);
                odb.double("Subrun Byte limit", 0.0);
                odb.string("Subdir format", 32, "");
                odb.string("Current filename", 256, start.file.as_str());
                odb.string("Data checksum", 256, "CRC32C");
                odb.string("File checksum", 256, "CRC32C");
                odb.string("Compress", 256, "none");
                odb.string("Output", 256, "FILE");
            });
        });
    });
}

fn run_info(odb: &mut Text, start: &RunStart, moment: Moment) {
    let (state, transition, stop) = match moment {
        Moment::Begin => (1, 1, None),
        Moment::End { ended_at, .. } => (3, 0, Some(ended_at)),
    };
    odb.int("State", state);
    odb.int("Online Mode", 1);
    odb.int("Run number", start.number as i32);
    odb.int("Transition in progress", transition);
    odb.int("Start abort", 0);
    odb.int("Requested transition", 0);
    odb.string("Start time", 32, &asctime(start.started_at));
    odb.dword("Start time binary", seconds(start.started_at));
    odb.string("Stop time", 32, &stop.map(asctime).unwrap_or_default());
    odb.dword("Stop time binary", stop.map_or(0, seconds));
}

fn equipment(odb: &mut Text, start: &RunStart, moment: Moment) {
    let on = start.kind != RunKind::Pedestal;
    let common = |odb: &mut Text, id: u16, period: i32| {
        odb.directory("Common", |odb| {
            odb.word("Event ID", id);
            odb.word("Trigger mask", 0);
            odb.string("Buffer", 32, "SYSTEM");
            odb.boolean("Enabled", true);
            odb.int("Period", period);
        });
    };
    odb.directory("HV", |odb| {
        common(odb, 3, 60_000);
        let names = HIGH_VOLTAGE.map(|(name, _)| name);
        let demand = HIGH_VOLTAGE.map(|(_, volts)| if on { volts } else { 0.0 });
        odb.directory("Variables", |odb| {
            odb.floats("Demand", &demand);
            odb.floats("Measured", &demand.map(|volts| volts * 1.000_2));
            odb.ints("ChState", &[i32::from(on); HIGH_VOLTAGE.len()]);
        });
        odb.directory("Settings", |odb| odb.strings("Names", 32, &names));
    });
    odb.directory("Environment", |odb| {
        common(odb, event_id::SLOW_CONTROL, 60_000);
        odb.directory("Settings", |odb| {
            odb.strings("Names Input", 32, &slow_control::names());
        });
    });
    odb.directory("Trigger", |odb| {
        common(odb, event_id::TRIGGER, 100);
        let sent = match moment {
            Moment::Begin => 0.0,
            Moment::End { triggers, .. } => triggers as f64,
        };
        odb.directory("Statistics", |odb| odb.double("Events sent", sent));
    });
}

fn configurations(odb: &mut Text, config: &DetectorConfig, start: &RunStart) {
    let on = start.kind != RunKind::Pedestal;
    let (source_type, source_position) = match start.kind {
        RunKind::Calibration { source_position } => (1, source_position),
        RunKind::Pedestal | RunKind::Standard => (0, 0.0),
    };
    odb.boolean("FreeRunning", false);
    odb.boolean("Pedestal", !on);
    odb.double("Exposure", EXPOSURE_SECS);
    odb.int("Number of Digitizers", 2);
    odb.ints("DigitizerSamples", &[1024, 4000]);
    odb.boolean("DRS4Correction", false);
    odb.directory("TriggerState", |odb| {
        odb.int("discrimination_threshold", 2);
        odb.int("trigger_veto_time", 10);
        odb.int("trigger_logic", 0);
    });
    odb.directory("SourceState", |odb| {
        odb.double("source_position", source_position);
        odb.int("source_type", source_type);
    });
    odb.int("run_type", i32::from(source_type == 1));
    odb.int("shielding_configuration", 3);
    odb.boolean("pmt_acquisition", on && config.triggers_per_frame > 0);
    odb.boolean("HV_STATE", on);
}

/// Seconds since 1970 in the 32 bits that a run file has for them.
pub(crate) fn seconds(time: Timestamp) -> u32 {
    u32::try_from(time.as_second()).unwrap_or_default()
}

/// A time as C's `ctime` writes it, here in UTC.
fn asctime(time: Timestamp) -> String {
    time.strftime("%a %b %e %H:%M:%S %Y").to_string()
}

/// A dump in the making.
struct Text {
    json: String,
    depth: usize,
    last_written: u32,
}

impl Text {
    fn new(last_written: u32) -> Self {
        Self {
            json: "{".to_owned(),
            depth: 1,
            last_written,
        }
    }

    fn finish(mut self) -> String {
        self.json.push_str("\n}");
        self.json
    }

    /// Begins the next member of the current directory.
    fn member(&mut self, name: &str) {
        if !self.json.ends_with('{') {
            self.json.push(',');
        }
        self.json.push('\n');
        self.json.extend(std::iter::repeat_n(' ', 2 * self.depth));
        self.put(format_args!("{} : ", quoted(name)));
    }

    fn put(&mut self, text: std::fmt::Arguments<'_>) {
        self.json
            .write_fmt(text)
            .expect("writing to a String cannot fail");
    }

    fn directory(&mut self, name: &str, fill: impl FnOnce(&mut Self)) {
        self.member(name);
        self.json.push('{');
        self.depth += 1;
        fill(self);
        self.depth -= 1;
        self.json.push('\n');
        self.json.extend(std::iter::repeat_n(' ', 2 * self.depth));
        self.json.push('}');
    }

    /// A key of one or many `values`, already spelled as JSON.
    fn key(&mut self, name: &str, tid: Tid, item_size: Option<usize>, values: &[String]) {
        self.member(&format!("{name}/key"));
        self.put(format_args!("{{ \"type\" : {}, ", tid.0));
        if values.len() > 1 {
            self.put(format_args!("\"num_values\" : {}, ", values.len()));
        }
        if let Some(size) = item_size {
            self.put(format_args!("\"item_size\" : {size}, "));
        }
        let last_written = self.last_written;
        self.put(format_args!(
            "\"access_mode\" : 7, \"last_written\" : {last_written} }}"
        ));
        self.member(name);
        match values {
            [value] => self.json.push_str(value),
            values => self.put(format_args!("[ {} ]", values.join(", "))),
        }
    }

    fn boolean(&mut self, name: &str, value: bool) {
        self.key(name, Tid::BOOL, None, &[value.to_string()]);
    }

    fn int(&mut self, name: &str, value: i32) {
        self.ints(name, &[value]);
    }

    fn ints(&mut self, name: &str, values: &[i32]) {
        let values: Vec<_> = values.iter().map(i32::to_string).collect();
        self.key(name, Tid::I32, None, &values);
    }

    fn word(&mut self, name: &str, value: u16) {
        self.key(name, Tid::U16, None, &[format!("\"{value:#06x}\"")]);
    }

    fn dword(&mut self, name: &str, value: u32) {
        self.key(name, Tid::U32, None, &[format!("\"{value:#010x}\"")]);
    }

    fn floats(&mut self, name: &str, values: &[f64]) {
        let values: Vec<_> = values.iter().map(|value| number(*value, 7)).collect();
        self.key(name, Tid::F32, None, &values);
    }

    fn double(&mut self, name: &str, value: f64) {
        self.key(name, Tid::F64, None, &[number(value, 16)]);
    }

    fn string(&mut self, name: &str, size: usize, value: &str) {
        self.strings(name, size, &[value]);
    }

    fn strings<S: AsRef<str>>(&mut self, name: &str, size: usize, values: &[S]) {
        let values: Vec<_> = values.iter().map(|value| quoted(value.as_ref())).collect();
        self.key(name, Tid::STRING, Some(size), &values);
    }
}

fn quoted(text: &str) -> String {
    serde_json::Value::from(text).to_string()
}

/// Whole numbers plainly, others as C's `%.{decimals}e`.
fn number(value: f64, decimals: usize) -> String {
    if value.fract() == 0.0 && value.abs() < 1e15 {
        return format!("{value:.0}");
    }
    let text = format!("{value:.decimals$e}");
    // C writes at least two digits of exponent, with its sign.
    let (mantissa, exponent) = text.split_once('e').unwrap_or((&text, "0"));
    let (sign, digits) = match exponent.strip_prefix('-') {
        Some(digits) => ('-', digits),
        None => ('+', exponent),
    };
    format!("{mantissa}e{sign}{digits:0>2}")
}

#[cfg(test)]
mod tests {
    use super::*;
    use aquifer_midas::Odb;

    fn a_dump(kind: RunKind, moment: Moment) -> Odb {
        let config = DetectorConfig::full("LAB".parse().unwrap());
        let start = RunStart {
            site: config.site.clone(),
            number: 42,
            kind,
            description: "say \"55Fe\", then \\ wait".to_owned(),
            started_at: "2024-03-04T05:06:07Z".parse().unwrap(),
            file: "run00042.mid".parse().unwrap(),
        };
        Odb::from_json(dump(&config, &start, moment).as_bytes()).unwrap()
    }

    #[test]
    fn numbers_are_spelled_as_by_mlogger() {
        assert_eq!(number(299.178_01, 7), "2.9917801e+02");
        assert_eq!(number(0.304, 7), "3.0400000e-01");
        assert_eq!(number(23.0, 7), "23");
        let mut text = Text::new(7);
        text.directory("D", |odb| {
            odb.dword("Stop", 0x10);
            odb.ints("Many", &[1, -2]);
        });
        assert_eq!(
            text.finish(),
            r#"{
  "D" : {
    "Stop/key" : { "type" : 6, "access_mode" : 7, "last_written" : 7 },
    "Stop" : "0x00000010",
    "Many/key" : { "type" : 7, "num_values" : 2, "access_mode" : 7, "last_written" : 7 },
    "Many" : [ 1, -2 ]
  }
}"#
        );
    }

    #[test]
    fn both_dumps_tell_the_run_and_their_moment() {
        let kind = RunKind::Calibration {
            source_position: 17.5,
        };
        let ended_at: Timestamp = "2024-03-04T05:07:00Z".parse().unwrap();
        let end = Moment::End {
            ended_at,
            triggers: 9,
        };
        for (moment, state, stop) in [(Moment::Begin, 1, 0), (end, 3, seconds(ended_at))] {
            let odb = a_dump(kind, moment);
            let number = |path| odb.get(path).unwrap().as_f64().unwrap();
            let integer = |path| odb.get(path).unwrap().as_u64().unwrap();
            assert_eq!(integer("/Runinfo/Run number"), 42);
            assert_eq!(integer("/Runinfo/State"), state);
            assert_eq!(integer("/Runinfo/Start time binary"), 1_709_528_767);
            assert_eq!(integer("/Runinfo/Stop time binary"), u64::from(stop));
            assert_eq!(integer("/Configurations/SourceState/source_type"), 1);
            let position = number("/Configurations/SourceState/source_position");
            assert!((position - 17.5).abs() < f64::EPSILON);
            let sent = number("/Equipment/Trigger/Statistics/Events sent");
            assert!((sent - f64::from(u32::from(state == 3) * 9)).abs() < f64::EPSILON);
            let text = |path| odb.get(path).unwrap().as_str().unwrap();
            assert_eq!(
                text("/Experiment/Run Parameters/Run description"),
                "say \"55Fe\", then \\ wait"
            );
            assert_eq!(text("/Runinfo/Start time"), "Mon Mar  4 05:06:07 2024");
        }
    }

    #[test]
    fn a_pedestal_run_has_no_high_voltage() {
        for (kind, on) in [(RunKind::Pedestal, false), (RunKind::Standard, true)] {
            let odb = a_dump(kind, Moment::Begin);
            let truth = |path| odb.get(path).unwrap().as_bool().unwrap();
            assert_eq!(truth("/Configurations/Pedestal"), !on);
            assert_eq!(truth("/Configurations/HV_STATE"), on);
            let gem = odb.get("/Equipment/HV/Variables/Demand[1]").unwrap();
            assert_eq!(gem.as_f64() > Some(0.0), on);
        }
    }
}
