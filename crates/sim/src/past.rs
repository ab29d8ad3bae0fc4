//! A past that is made up: the run book of an experiment that never was, with all that is
//! peculiar about the books of real ones, and the truth about it.
//!
//! The columns are those of the MIDAS logger's run book as an underground TPC keeps it.
//! What happens in it: a DAQ that dies, with and without the file being saved; sizes that
//! a column of 32 bits could not hold; files above the limit of the upload; a night in
//! autumn; a clock that was set back; commas without quotes, lines that stand twice, one
//! that says nothing; numbers left out, used again, and rolling over to six digits; runs
//! that wait for their upload when the book is copied.
//!
//! The same for the same seed.

use std::fmt::Write as _;

use aquifer_schemas::RunNumber;
use jiff::tz::TimeZone;
use jiff::{SignedDuration, Timestamp};
use rand::{Rng, RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

/// The columns.
const HEAD: &str = "run_number,run_description,start_time,exposure_sec,GEM3_V,GEM2_V,GEM1_V,T2_V,T1_V,DRIFT_V,OFFSET_V,PMT1_V,PMT2_V,PMT3_V,PMT4_V,HV_STATE,total_gas_flow,sequencer_running,sequence_filename,pmt_acquisition,pedestal_run,source_type,source_position,discrimination_threshold,trigger_veto_time,trigger_logic,run_type,drs4_correction_active,shielding_configuration,stop_time,number_of_events,storage_local_status,storage_cloud_status,storage_tape_status,file_size,file_checksum,file_s3_tag,online_reco_status";

/// Number of the first run: the sixth digit comes soon.
const FIRST_RUN: RunNumber = 99_960;

/// Bytes of an event as it is stored.
const BYTES_PER_EVENT: u64 = 3_690_000;

/// Fewest runs that show all that is peculiar.
const FEWEST: usize = 64;

/// A made-up run book.
#[derive(Debug, Clone, PartialEq)]
pub struct Past {
    /// The book, as text with commas.
    pub text: String,
    /// What is so about it.
    pub truth: PastTruth,
}

/// What is so about a made-up run book. Runs are named by their numbers, in order.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct PastTruth {
    /// Runs, those under used numbers counted apart.
    pub runs: usize,
    /// Runs in which the DAQ died.
    pub never_ended: Vec<RunNumber>,
    /// Uploaded runs without a size.
    pub size_lost: Vec<RunNumber>,
    /// Runs whose files were too large to be uploaded.
    pub over_limit: Vec<RunNumber>,
    /// Runs of which only the tape's code says that there is a copy.
    pub unmarked: Vec<RunNumber>,
    /// Runs of which no code says that there is a copy.
    pub nowhere: Vec<RunNumber>,
    /// Runs that end before they begin.
    pub negative: Vec<RunNumber>,
    /// Runs whose times came twice on the clock.
    pub twice_on_the_clock: Vec<RunNumber>,
    /// Lines whose commas stand unquoted.
    pub mended: usize,
    /// Lines that say nothing.
    pub left_out: usize,
    /// Runs that stand twice.
    pub doubled: Vec<RunNumber>,
    /// Numbers that were used again.
    pub reused: Vec<RunNumber>,
}

/// What happens to a run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Fate {
    /// Taken, uploaded, copied to tape.
    Usual,
    /// The DAQ died, and nobody saved the file.
    Died,
    /// The DAQ died, and the file was uploaded.
    DiedAndSaved,
    /// Larger than its column.
    SizeLost,
    /// Refused by the upload.
    TooLarge,
    /// So large that nobody ever saw it.
    NeverSeen,
    /// On tape, they say, and not uploaded.
    OnlyOnTape,
    /// Waits for its upload.
    Waiting,
}

/// The fate of the run at place `at` of `runs`.
fn fate(at: usize, runs: usize) -> Fate {
    match at {
        23 => Fate::TooLarge,
        59 => Fate::NeverSeen,
        43 => Fate::OnlyOnTape,
        _ if at + 3 >= runs => Fate::Waiting,
        _ if at % 29 == 7 => Fate::Died,
        _ if at % 41 == 13 => Fate::DiedAndSaved,
        _ if at % 37 == 19 => Fate::SizeLost,
        _ => Fate::Usual,
    }
}

impl Past {
    /// A book of `runs` runs, at least 64, and two more under used numbers.
    pub fn new(seed: u64, runs: usize) -> Self {
        let runs = runs.max(FEWEST);
        let mut writer = Writer {
            rng: ChaCha8Rng::seed_from_u64(seed),
            zone: TimeZone::get("Europe/Rome").unwrap_or(TimeZone::UTC),
            // Three hours and a half before the clocks go back.
            now: Timestamp::constant(1_729_978_200, 0),
            past: Self {
                text: format!("\u{feff}{HEAD}\n"),
                truth: PastTruth::default(),
            },
        };
        let mut number = FIRST_RUN;
        for at in 0..runs {
            // Numbers of runs that were begun and given up are left out.
            number += if at % 13 == 12 { 3 } else { 1 };
            writer.run(number, at, fate(at, runs));
        }
        // Years later somebody sets the DAQ's counter back.
        writer.now += SignedDuration::from_hours(24 * 400);
        for number in [FIRST_RUN + 1, FIRST_RUN + 2] {
            writer.past.truth.reused.push(number);
            writer.run(number, runs, Fate::Usual);
        }
        writer.past
    }
}

struct Writer {
    rng: ChaCha8Rng,
    zone: TimeZone,
    now: Timestamp,
    past: Past,
}

impl Writer {
    fn run(&mut self, number: RunNumber, at: usize, fate: Fate) {
        let pedestal = at.is_multiple_of(10);
        let events = match fate {
            Fate::SizeLost => 620,
            Fate::TooLarge => 2119,
            Fate::NeverSeen => 9073,
            _ if pedestal => 100,
            _ => self.rng.random_range(401..406),
        };
        let start = self.now;
        let seconds = match fate {
            Fate::NeverSeen => 6000,
            _ if at == 47 => -118,
            _ if at == 48 => 0,
            _ => self.rng.random_range(230..290),
        };
        let stop = start + SignedDuration::from_secs(seconds);
        let pause = self.rng.random_range(20..180);
        self.now = start.max(stop) + SignedDuration::from_secs(pause);
        let ended = !matches!(fate, Fate::Died | Fate::DiedAndSaved);
        self.note(number, fate, (start, ended.then_some(stop)));
        let (description, quoted) = description(at, pedestal);
        let row = self.row(
            number,
            at,
            fate,
            events,
            (start, ended.then_some(stop)),
            &description,
        );
        match at {
            11 => {
                self.past.truth.doubled.push(number);
                self.line(&row);
            }
            // A first copy of the line, before the run ended.
            15 => {
                self.past.truth.doubled.push(number);
                let open = self.row(number, at, Fate::Died, 0, (start, None), &description);
                self.line(&open);
            }
            27 => {
                self.past.truth.left_out += 1;
                self.line("what is this doing here");
            }
            _ => {}
        }
        self.past.truth.mended += usize::from(!quoted);
        self.past.truth.runs += 1;
        self.line(&row);
    }

    /// What is lost, and what is doubtful.
    fn note(
        &mut self,
        number: RunNumber,
        fate: Fate,
        (start, stop): (Timestamp, Option<Timestamp>),
    ) {
        let twice = [Some(start), stop].into_iter().flatten().any(|at| {
            let local = at.to_zoned(self.zone.clone()).datetime();
            self.zone.to_ambiguous_timestamp(local).is_ambiguous()
        });
        let truth = &mut self.past.truth;
        let lists = [
            (stop.is_none(), &mut truth.never_ended),
            (fate == Fate::SizeLost, &mut truth.size_lost),
            (
                matches!(fate, Fate::TooLarge | Fate::NeverSeen),
                &mut truth.over_limit,
            ),
            (fate == Fate::OnlyOnTape, &mut truth.unmarked),
            (
                matches!(
                    fate,
                    Fate::Died | Fate::TooLarge | Fate::NeverSeen | Fate::Waiting
                ),
                &mut truth.nowhere,
            ),
            (stop.is_some_and(|stop| stop < start), &mut truth.negative),
            (twice, &mut truth.twice_on_the_clock),
        ];
        for (_, list) in lists.into_iter().filter(|(is, _)| *is) {
            list.push(number);
        }
    }

    fn row(
        &mut self,
        number: RunNumber,
        at: usize,
        fate: Fate,
        events: u64,
        (start, stop): (Timestamp, Option<Timestamp>),
        description: &str,
    ) -> String {
        let pedestal = at.is_multiple_of(10);
        let (local, cloud, tape) = match fate {
            Fate::Died | Fate::NeverSeen => (-1, -1, -1),
            Fate::TooLarge => (1, 2, -1),
            Fate::OnlyOnTape => (1, -1, 1),
            Fate::Waiting => (0, -1, -1),
            Fate::Usual if at == 9 => (3, 1, 1),
            _ => (i32::from(at.is_multiple_of(3)), 1, 1),
        };
        let stored = cloud == 1 || fate == Fate::OnlyOnTape;
        let size = match fate {
            Fate::SizeLost => -1,
            _ if stored => {
                (events * BYTES_PER_EVENT).cast_signed() + self.rng.random_range(0..1000)
            }
            _ => -1,
        };
        let checksum = match (stored, at) {
            (false, _) => String::new(),
            // What a script stores when it could not read the file.
            (true, 53) => "0".to_owned(),
            (true, _) => format!("{:032x}", u128::from(self.rng.next_u64()) * 3 + 1),
        };
        let high_voltage = if pedestal {
            "0,0,0,0,0,0,0"
        } else {
            "440,440,440,500,500,960,10"
        };
        // The newer columns are empty in the older half.
        let newer = at >= 20;
        let or_empty = |value: &str| {
            if newer {
                value.to_owned()
            } else {
                String::new()
            }
        };
        let flow = or_empty("20.0");
        let sequence = or_empty("1.0,S012_Run_3_Standard_Sequence.msl,1.0");
        let sequence = if newer { sequence } else { ",,".to_owned() };
        let kind = if newer {
            let source = if at.is_multiple_of(5) {
                "1.0,17.5"
            } else {
                "0.0,0.0"
            };
            format!(
                "{}.0,{source},2.0,1970-01-01 00:00:13,0.0,{}.0,0.0,2.0",
                u8::from(pedestal),
                i32::from(!pedestal) - 1
            )
        } else {
            ",,,,,,,,".to_owned()
        };
        let reco = match at {
            33 => 0,
            _ if stored && !at.is_multiple_of(4) => 1,
            _ => -1,
        };
        let mut row = String::new();
        // Writing to a string does not fail.
        let _ = write!(
            row,
            "{number},{description},{},0.3,{high_voltage},772,772,800,770,{},{flow},{sequence},{kind},{},{},{local},{cloud},{tape},{size},{checksum},{},{reco}",
            self.clock(start),
            u8::from(!pedestal),
            stop.map(|stop| self.clock(stop)).unwrap_or_default(),
            stop.map(|_| format!("{events}.0")).unwrap_or_default(),
            if stored { "LAB" } else { "" },
        );
        row
    }

    fn clock(&self, at: Timestamp) -> String {
        let local = at.to_zoned(self.zone.clone());
        local.strftime("%Y-%m-%d %H:%M:%S").to_string()
    }

    fn line(&mut self, line: &str) {
        self.past.text.push_str(line);
        self.past.text.push('\n');
    }
}

/// The description as it stands in the line, and whether its commas are quoted.
fn description(at: usize, pedestal: bool) -> (String, bool) {
    match at % 17 {
        5 => ("S003:DATA:BKG, no Fe, veto 100 us".to_owned(), false),
        6 => (
            "\"S003:DATA:Fe, \"\"new\"\" source; Trg: LVL2\"".to_owned(),
            true,
        ),
        _ if pedestal => ("S003:PED:BKG".to_owned(), true),
        _ => ("Standard".to_owned(), true),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Where the book stands that the guide shows.
    const EXAMPLE: &str = concat!(
        env!("CARGO_MANIFEST_DIR"),
        "/../../topology/examples/runlog.csv"
    );

    #[test]
    fn the_example_is_made_by_this() {
        let past = Past::new(1, FEWEST);
        if std::env::var_os("AQUIFER_BLESS").is_some() {
            std::fs::write(EXAMPLE, &past.text).unwrap();
        }
        let written = std::fs::read_to_string(EXAMPLE).unwrap_or_default();
        assert!(
            written == past.text,
            "topology/examples/runlog.csv is another; `AQUIFER_BLESS=1 cargo test -p aquifer-sim` writes it"
        );
    }

    #[test]
    fn every_line_has_as_many_fields_as_there_are_columns_or_commas_in_its_text() {
        let past = Past::new(7, 100);
        let columns = HEAD.split(',').count();
        assert_eq!(columns, 38);
        let mut lines = past.text.lines().skip(1);
        let odd = lines.clone().filter(|line| {
            let commas = line.matches(',').count() + 1;
            commas != columns && !line.contains("S003:DATA") && !line.contains("what is this")
        });
        assert_eq!(odd.collect::<Vec<_>>(), Vec::<&str>::new());
        assert!(lines.any(|line| line.starts_with("100000,") || line.starts_with("100001,")));
    }

    #[test]
    fn all_that_is_peculiar_is_in_the_smallest_book() {
        let truth = Past::new(1, 0).truth;
        assert_eq!(truth.runs, FEWEST + 2);
        for list in [
            &truth.never_ended,
            &truth.size_lost,
            &truth.over_limit,
            &truth.unmarked,
            &truth.nowhere,
            &truth.negative,
            &truth.twice_on_the_clock,
            &truth.doubled,
            &truth.reused,
        ] {
            assert!(!list.is_empty(), "{truth:?}");
        }
        assert!(truth.mended > 0 && truth.left_out > 0);
    }
}
