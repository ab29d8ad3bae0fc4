//! This reader beside others, on one file of camera pictures and waveforms as CYGNO
//! takes them. `cargo bench` only looks that it runs, on a small file; `make
//! bench-midas` takes half a gigabyte and writes the report.
//!
//! Each figure is the best of several rounds, from the page cache. The time on a core is
//! what compares: the wall clock also counts what else the machine does.

#![allow(clippy::print_stdout, reason = "it reports to people")]

use std::error::Error;
use std::fmt::Write as _;
use std::fs::{self, File};
use std::io::{self, BufWriter, Read, Write};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use aquifer_midas::{
    BankFormat, BankName, Encoder, Encoding, EventBuilder, Reader, Splitter, Writer, decode, open,
};
use midasio::FileView;

type Outcome<T> = Result<T, Box<dyn Error>>;

/// What the report says of itself; the first argument is where it goes.
const COMMAND: &str = "make bench-midas";

const FULL_BYTES: u64 = 500_000_000;
const SMALL_BYTES: u64 = 25_000_000;
const ROUNDS: usize = 5;

/// Rows and columns of a picture.
const SIDE: usize = 2304;

fn main() -> Outcome<()> {
    // `cargo bench` adds arguments of its own, all with dashes.
    let report = std::env::args().skip(1).find(|it| !it.starts_with('-'));
    let (bytes, rounds) = if report.is_some() {
        (FULL_BYTES, ROUNDS)
    } else {
        (SMALL_BYTES, 1)
    };
    let folder = tempfile::tempdir()?;
    let files = Files::make(folder.path(), bytes)?;
    let text = measure(&files, rounds)?;
    match report {
        Some(path) => fs::write(path, text)?,
        None => print!("{text}"),
    }
    Ok(())
}

/// The same run in several encodings.
struct Files {
    plain: PathBuf,
    gzip: PathBuf,
    lz4: PathBuf,
    zstd: PathBuf,
    bytes: u64,
}

impl Files {
    fn make(folder: &Path, bytes: u64) -> Outcome<Self> {
        let plain = folder.join("run42901.mid");
        let mut writer = Writer::new(BufWriter::with_capacity(1 << 20, File::create(&plain)?));
        take_run(&mut writer, bytes)?;
        let bytes = writer.offset();
        writer.into_inner().flush()?;
        let encoded = |name: &str, encoding| -> Outcome<PathBuf> {
            let path = folder.join(name);
            let mut encoder = Encoder::new(File::create(&path)?, encoding)?;
            io::copy(&mut File::open(&plain)?, &mut encoder)?;
            encoder.finish()?;
            Ok(path)
        };
        Ok(Self {
            gzip: encoded("run42901.mid.gz", Encoding::Gzip)?,
            lz4: encoded("run42901.mid.lz4", Encoding::Lz4)?,
            zstd: encoded("run42901.mid.zst", Encoding::Zstd)?,
            plain,
            bytes,
        })
    }
}

/// Pictures of a pedestal with noise, with waveforms, and slow control now and then.
fn take_run(writer: &mut Writer<impl Write>, bytes: u64) -> Outcome<()> {
    let mut noise = Noise(1);
    let odb = b"{ \"Runinfo\" : { \"Run number\" : 42901 } }";
    writer.begin_of_run(42901, 1_702_000_000, odb)?;
    let mut trigger = EventBuilder::new(1, BankFormat::Bank32);
    let mut slow = EventBuilder::new(5, BankFormat::Bank32);
    let mut picture = vec![0_u16; SIDE * SIDE];
    let mut waveforms = vec![0_u16; 32 * 1024];
    let mut serial = 0;
    while writer.offset() < bytes {
        picture.fill_with(|| 88 + noise.around(12));
        waveforms.fill_with(|| 3494 + noise.around(6));
        trigger.begin(serial, 1_702_000_000 + serial);
        trigger.values(BankName(*b"CAM0"), &picture)?;
        trigger.values(
            BankName(*b"DGH0"),
            &[2_u32, 1024, 16, 1024, 7, 0, 4000, 9, 4],
        )?;
        trigger.values(BankName(*b"DIG0"), &waveforms)?;
        writer.event(&trigger)?;
        serial += 1;
        if serial.is_multiple_of(5) {
            slow.begin(serial / 5, 1_702_000_000 + serial);
            slow.values(BankName(*b"INPT"), &[1.5_f32; 24])?;
            writer.event(&slow)?;
        }
    }
    writer.end_of_run(42901, 1_702_000_000 + serial, odb)?;
    Ok(())
}

/// The xorshift generator of Marsaglia (2003); four throws of it are nearly normal.
struct Noise(u64);

impl Noise {
    fn around(&mut self, middle: u16) -> u16 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        let throws = self.0.to_le_bytes();
        let sum: u16 = throws[..4].iter().map(|throw| u16::from(*throw)).sum();
        sum * middle / 510
    }
}

fn measure(files: &Files, rounds: usize) -> Outcome<String> {
    let megabytes = files.bytes as f64 / 1e6;
    let cores = std::thread::available_parallelism()?;
    let load = fs::read_to_string("/proc/loadavg")?;
    let load = load.split(' ').next().unwrap_or_default();
    let mut text = format!(
        "# Reading MIDAS files\n\n    {COMMAND}\n\n\
         One run of {megabytes:.0} MB (camera pictures, waveforms, slow control) in several encodings,\n\
         from the page cache of a machine with {cores} cores. Best of {rounds} rounds; MB are decoded bytes.\n\
         This reader and midasio give out every event and every bank. Load average at the\n\
         start: {load}; the time on a core is what compares.\n\n\
         | what | wall s | core s | MB per s of core |\n|---|---:|---:|---:|\n"
    );
    let mut row = |what: &str, cost: Cost| -> Outcome<()> {
        let [wall, core] = [cost.wall, cost.core].map(|time| time.as_secs_f64());
        writeln!(
            text,
            "| {what} | {wall:.3} | {core:.3} | {:.0} |",
            megabytes / core
        )?;
        Ok(())
    };
    let cat = best(rounds, || run("cat", &[], &files.plain))?;
    row("`cat` to /dev/null", cat)?;
    row(
        "this reader, plain",
        best(rounds, || read(open(&files.plain)?))?,
    )?;
    row(
        "this splitter, plain, fed with 1 MiB at a time",
        best(rounds, || split(&files.plain))?,
    )?;
    row(
        "midasio 0.7.0, whole file into memory",
        best(rounds, || midasio(&fs::read(&files.plain)?))?,
    )?;
    let decoders: [(&str, &PathBuf, &str, &[&str]); 3] = [
        ("gzip", &files.gzip, "gzip", &["-dc"]),
        ("lz4", &files.lz4, "lz4", &["-dc"]),
        ("zstd", &files.zstd, "zstd", &["-dcq"]),
    ];
    for (encoding, path, program, arguments) in decoders {
        let size = fs::metadata(path)?.len();
        let share = 100.0 * size as f64 / files.bytes as f64;
        // Not every machine has each of them.
        if let Ok(cost) = best(rounds, || run(program, arguments, path)) {
            row(&format!("`{program} -dc`, {share:.0} % of the size"), cost)?;
        }
        row(
            &format!("decoding {encoding} alone"),
            best(rounds, || decode_alone(path))?,
        )?;
        row(
            &format!("this reader, {encoding}"),
            best(rounds, || read(open(path)?))?,
        )?;
        row(
            &format!("midasio 0.7.0, {encoding} into memory first"),
            best(rounds, || {
                let mut whole = Vec::new();
                decode(File::open(path)?)?.read_to_end(&mut whole)?;
                midasio(&whole)
            })?,
        )?;
    }
    Ok(text)
}

/// What some work took.
#[derive(Clone, Copy)]
struct Cost {
    wall: Duration,
    /// Time on a core, of this process and of those that it waited for.
    core: Duration,
}

/// The cost of the cheapest of `rounds`.
fn best(rounds: usize, mut work: impl FnMut() -> Outcome<()>) -> Outcome<Cost> {
    let mut best: Option<Cost> = None;
    for _ in 0..rounds {
        let (start, before) = (Instant::now(), time_on_core()?);
        work()?;
        let cost = Cost {
            wall: start.elapsed(),
            core: time_on_core()?.saturating_sub(before),
        };
        best = Some(best.map_or(cost, |best| Cost {
            wall: best.wall.min(cost.wall),
            core: best.core.min(cost.core),
        }));
    }
    best.ok_or_else(|| "no round".into())
}

/// Of this thread to the nanosecond, of processes that have ended to the 1/100 s
/// (`proc(5)`: `schedstat`; fields 16 and 17 of `stat`).
fn time_on_core() -> Outcome<Duration> {
    let own = fs::read_to_string("/proc/thread-self/schedstat")?;
    let own = own.split(' ').next().unwrap_or_default().parse()?;
    let stat = fs::read_to_string("/proc/self/stat")?;
    // The name, in brackets, may hold spaces.
    let fields = stat.rsplit(')').next().unwrap_or_default();
    let mut children = Duration::ZERO;
    for ticks in fields.split_whitespace().skip(13).take(2) {
        children += Duration::from_millis(10) * ticks.parse()?;
    }
    Ok(Duration::from_nanos(own) + children)
}

fn run(program: &str, arguments: &[&str], path: &Path) -> Outcome<()> {
    let status = Command::new(program)
        .args(arguments)
        .arg(path)
        .stdout(Stdio::null())
        .status()?;
    if !status.success() {
        return Err(format!("{program} ended with {status}").into());
    }
    Ok(())
}

fn decode_alone(path: &Path) -> Outcome<()> {
    let mut decoded = open(path)?;
    let mut chunk = vec![0; 1 << 20];
    while decoded.read(&mut chunk)? > 0 {}
    Ok(())
}

fn read(decoded: impl Read) -> Outcome<()> {
    let mut reader = Reader::new(decoded);
    let mut bytes = 0;
    while let Some(event) = reader.read_event()? {
        if let Ok(banks) = event.banks() {
            bytes += banks.flatten().map(|bank| bank.data.len()).sum::<usize>();
        }
    }
    std::hint::black_box(bytes);
    Ok(())
}

fn split(path: &Path) -> Outcome<()> {
    let mut file = File::open(path)?;
    let mut chunk = vec![0; 1 << 20];
    let mut splitter = Splitter::new();
    let mut found = 0_u64;
    loop {
        let count = file.read(&mut chunk)?;
        if count == 0 {
            break;
        }
        splitter.feed(&chunk[..count], |_| found += 1);
    }
    splitter.finish(|_| found += 1);
    std::hint::black_box(found);
    Ok(())
}

fn midasio(bytes: &[u8]) -> Outcome<()> {
    let view = FileView::try_from_bytes(bytes).map_err(|error| error.to_string())?;
    let mut bytes = 0;
    for event in &view {
        bytes += event.iter().map(|bank| bank.data().len()).sum::<usize>();
    }
    std::hint::black_box(bytes);
    Ok(())
}
