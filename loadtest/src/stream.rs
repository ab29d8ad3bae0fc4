//! Large runs, written slowly: how long after a run's last byte it is stored, compressed
//! or not, and what that costs.

use std::fs::File;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::{Context as _, ensure};
use aquifer_bus::{Consumer, ConsumerOptions, Producer, Schemas};
use aquifer_digest::{Digester, Digests};
use aquifer_schemas::{ClosedBy, ClosedFile, Message as _, RunClosed, RunStored, event_id};
use aquifer_sim::{Detector, DetectorConfig};
use clap::Args;
use jiff::Timestamp;

use crate::machine::Machine;
use crate::process::Process;
use crate::series::quantile;

/// How long a run may take to be stored before the campaign gives up.
const PATIENCE: Duration = Duration::from_mins(5);

/// Bytes that the DAQ writes at a time.
const PIECE: usize = 1 << 20;

/// Frames that are written again and again: more than any compressor looks back.
const FRAMES: u32 = 12;

/// Arguments of `stream`.
#[derive(Debug, Clone, Args)]
pub(crate) struct StreamArgs {
    /// Megabytes per second that the DAQ writes
    #[arg(long, default_value_t = 100)]
    rate: u64,
    /// Megabytes of a run
    #[arg(long, default_value_t = 1500)]
    size: u64,
    /// Runs of each kind
    #[arg(long, default_value_t = 2)]
    runs: u64,
    /// How objects are made: `off` stores closed files only; or `none`, `gzip:LEVEL`, `zstd:LEVEL`
    #[arg(
        long,
        value_delimiter = ',',
        default_value = "off,none,zstd:1,zstd:3,gzip:1"
    )]
    kinds: Vec<String>,
    /// The Markdown report; printed if not given
    #[arg(long, value_name = "FILE")]
    report: Option<PathBuf>,
}

/// What was seen of one kind.
struct Row {
    kind: String,
    latencies: Vec<f64>,
    cpu_secs_per_gb: f64,
    ratio: f64,
    most_resident: u64,
}

/// Runs the campaign.
pub(crate) async fn stream(args: &StreamArgs) -> anyhow::Result<bool> {
    let data = camera_data()?;
    let mut rows = Vec::new();
    for kind in &args.kinds {
        let program = std::env::current_exe()?;
        let target = program.ancestors().nth(2).context("no folder to work in")?;
        let name = format!("stream-{}", std::process::id());
        let root = target.join("loadtest").join(name);
        let machine = Machine::start(&root, &settings(kind)?).await?;
        let row = trial(args, kind, &machine, &root, &data).await;
        machine.stop().await?;
        let row = row.with_context(|| format!("`{}` is left behind", root.display()))?;
        std::fs::remove_dir_all(&root).with_context(|| root.display().to_string())?;
        rows.push(row);
    }
    let page = page(args, &rows);
    match &args.report {
        Some(file) => std::fs::write(file, page).with_context(|| file.display().to_string())?,
        None => std::io::stdout().write_all(page.as_bytes())?,
    }
    Ok(true)
}

/// Configuration of one kind, for the environment.
fn settings(kind: &str) -> anyhow::Result<Vec<(String, String)>> {
    let (encoding, level) = kind.split_once(':').unwrap_or((kind, "1"));
    let (enabled, encoding) = match encoding {
        "off" => ("false", "none"),
        "none" | "gzip" | "zstd" => ("true", encoding),
        _ => anyhow::bail!("`{kind}` is none of off, none, gzip:LEVEL, zstd:LEVEL"),
    };
    let values = [
        ("ENABLED", enabled),
        ("ENCODING", encoding),
        ("LEVEL", level),
        ("MIN_AGE_SECS", "1"),
    ];
    let named =
        values.map(|(key, value)| (format!("AQUIFER__M2C__STREAM__{key}"), value.to_owned()));
    Ok(named.into())
}

/// A run of the full camera, as it lies in a file.
fn camera_data() -> anyhow::Result<Vec<u8>> {
    let config = DetectorConfig {
        frames_per_run: FRAMES,
        pedestal_every: 0,
        ..DetectorConfig::full("LAB".parse()?)
    };
    let mut detector = Detector::new(config)?;
    let start = detector.planned_start();
    let mut file = Vec::new();
    detector.next_run(start)?.write(&mut file, &mut |due| due)?;
    Ok(file)
}

async fn trial(
    args: &StreamArgs,
    kind: &str,
    machine: &Machine,
    root: &Path,
    data: &[u8],
) -> anyhow::Result<Row> {
    let kafka = &machine.config.kafka;
    let producer = Producer::connect(kafka)?;
    let options = ConsumerOptions::default();
    let mut arrivals = Consumer::subscribe(kafka, "loadtest", &[RunStored::TOPIC], &options)?;
    let schemas = Schemas::new(kafka)?;
    let m2c = machine
        .processes
        .iter()
        .find(|process| process.name == "m2c");
    let m2c = m2c.context("m2c does not run")?;
    let before = m2c.usage()?.cpu_secs;
    let mut row = Row {
        kind: kind.to_owned(),
        latencies: Vec::new(),
        cpu_secs_per_gb: 0.0,
        ratio: 0.0,
        most_resident: 0,
    };
    let (mut size, mut stored) = (0, 0);
    for run in 1..=args.runs {
        let (digests, resident) = write_run(args, root, run, data, m2c).await?;
        row.most_resident = row.most_resident.max(resident);
        let ended = Instant::now();
        producer.publish(&closed(run, &digests)?, None).await?;
        let arrival = tokio::time::timeout(PATIENCE, arrivals.next());
        let delivery = arrival.await.context("the run is not stored")?;
        row.latencies.push(ended.elapsed().as_secs_f64());
        let delivery = delivery.context("the bus has ended")??;
        let message = schemas.decode::<RunStored>(&delivery.payload).await?;
        delivery.ack.done();
        let file = message.files.first().context("a run without files")?;
        ensure!(
            message.run == run && file.crc64nvme == digests.crc64nvme.to_string(),
            "another file was stored than run {run}"
        );
        size += file.size;
        stored += file.stored_size;
    }
    row.cpu_secs_per_gb = (m2c.usage()?.cpu_secs - before) / (size as f64 / 1e9);
    row.ratio = size as f64 / stored as f64;
    row.latencies.sort_by(f64::total_cmp);
    Ok(row)
}

/// Writes a run at its rate; returns its digests and the most memory that m2c had.
async fn write_run(
    args: &StreamArgs,
    root: &Path,
    run: u64,
    data: &[u8],
    m2c: &Process,
) -> anyhow::Result<(Digests, u64)> {
    let path = root.join("buffer").join(file_name(run));
    let mut file = File::create_new(&path).with_context(|| path.display().to_string())?;
    let mut digester = Digester::new();
    let began = Instant::now();
    let (mut written, mut resident) = (0u64, 0);
    let mut pieces = data.chunks(PIECE).cycle();
    while written < args.size * 1_000_000 {
        let piece = pieces.next().context("no camera data")?;
        file.write_all(piece)?;
        digester.update(piece);
        written += piece.len() as u64;
        let due = Duration::from_secs_f64(written as f64 / (args.rate as f64 * 1e6));
        tokio::time::sleep_until((began + due).into()).await;
        resident = resident.max(m2c.usage()?.resident);
    }
    Ok((digester.finish(), resident))
}

fn file_name(run: u64) -> String {
    format!("run{run:05}.mid")
}

fn closed(run: u64, digests: &Digests) -> anyhow::Result<RunClosed> {
    Ok(RunClosed {
        event_id: event_id(&format!("loadtest {run}"), "closed", 0),
        site: "LAB".parse()?,
        run,
        version: 0,
        revision: 0,
        started_at: None,
        ended_at: Timestamp::now(),
        run_type: None,
        closed_by: ClosedBy::Daq,
        buffer: None,
        files: vec![ClosedFile {
            name: file_name(run).parse()?,
            size: Some(digests.size),
            crc32c: Some(digests.crc32c.to_string()),
        }],
        events: None,
        attributes: std::collections::BTreeMap::new(),
        producer: "loadtest".to_owned(),
    })
}

fn page(args: &StreamArgs, rows: &[Row]) -> String {
    let cores = std::thread::available_parallelism().map_or(0, usize::from);
    let build = if cfg!(debug_assertions) {
        "debug"
    } else {
        "release"
    };
    let kinds = args.kinds.join(",");
    let mut page = format!(
        "# Large runs, stored while they are taken\n\n\
         `aquifer-loadtest stream --rate {} --size {} --runs {} --kinds {kinds}`, {cores} cores for DAQ, \
         ingester, Kafka, MariaDB and SeaweedFS together, {build} build, at {}. Runs of {} MB of simulated \
         camera data, written at {} MB/s; the time is from the last byte and its announcement to \
         `run-stored` on the bus. `off`: nothing is sent before the run is closed.\n\n\
         | objects | end of run to run-stored, median s | slowest s | ratio | m2c CPU-s/GB | m2c most MiB |\n\
         |---|---|---|---|---|---|\n",
        args.rate,
        args.size,
        args.runs,
        Timestamp::now().strftime("%Y-%m-%d"),
        args.size,
        args.rate,
    );
    let lines = rows.iter().map(|row| {
        let median = quantile(&row.latencies, 0.5).unwrap_or(f64::NAN);
        let slowest = row.latencies.last().copied().unwrap_or(f64::NAN);
        format!(
            "| {} | {median:.2} | {slowest:.2} | {:.2} | {:.2} | {} |\n",
            row.kind,
            row.ratio,
            row.cpu_secs_per_gb,
            row.most_resident >> 20
        )
    });
    page.extend(lines);
    page
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_kind_is_a_configuration() {
        let of = |kind: &str| {
            let settings = settings(kind).unwrap();
            settings[..3]
                .iter()
                .map(|(_, value)| value.clone())
                .collect::<Vec<_>>()
        };
        assert_eq!(of("off"), ["false", "none", "1"]);
        assert_eq!(of("zstd:3"), ["true", "zstd", "3"]);
        assert!(settings("lz4").is_err());
    }
}
