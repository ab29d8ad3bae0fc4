//! The Prometheus recorder, and what every process reports about itself.
//!
//! Convention for all crates: a module `metrics` with one constant per name (base units,
//! counters end with `_total`) and `describe()`, which the service calls at its start.
//! Metrics whose names end with `_seconds` or `_bytes` are histograms with the buckets
//! below. Nothing is kept between scrapes but the numbers.

use std::fs;
use std::sync::OnceLock;

use metrics::{describe_counter, describe_gauge};
use metrics_exporter_prometheus::{BuildError, Matcher, PrometheusBuilder, PrometheusHandle};
use thiserror::Error;

/// Attempts that failed and will be made again, by `operation` and `class`.
pub const RETRIES: &str = "aquifer_retries_total";
/// Restarts of background tasks, by `task`.
pub const TASK_RESTARTS: &str = "aquifer_task_restarts_total";
/// Tasks and threads that ended badly, by `task`.
pub const TASK_FAILURES: &str = "aquifer_task_failures_total";
/// 1 while a component is ready, else 0, by `component`.
pub const COMPONENT_READY: &str = "aquifer_component_ready";
/// Spans that could not be exported.
pub const TRACE_SPANS_LOST: &str = "aquifer_trace_spans_lost_total";
/// Always 1; its labels say what runs: `service`, `version`.
pub const BUILD_INFO: &str = "aquifer_build_info";
/// Bytes of this process in memory.
pub const RESIDENT_MEMORY: &str = "process_resident_memory_bytes";
/// CPU time of this process, user and system.
pub const CPU_SECONDS: &str = "process_cpu_seconds_total";
/// Files, sockets and pipes that this process has open.
pub const OPEN_FDS: &str = "process_open_fds";

/// From a cache hit to a stage from tape.
const SECONDS: [f64; 12] = [
    0.001, 0.005, 0.02, 0.1, 0.5, 1.0, 2.5, 5.0, 10.0, 60.0, 600.0, 3600.0,
];
/// 1 KiB to 64 GiB by factors of 16, with the steps around a run file in between.
const BYTES: [f64; 10] = [
    1024.0,
    16384.0,
    262_144.0,
    4_194_304.0,
    67_108_864.0,
    268_435_456.0,
    1_073_741_824.0,
    4_294_967_296.0,
    17_179_869_184.0,
    68_719_476_736.0,
];

/// The kernel counts CPU time of processes in ticks of 1/100 s on every architecture
/// that Rust's Linux targets have (`USER_HZ`).
const TICKS_PER_SECOND: u64 = 100;

static RECORDER: OnceLock<PrometheusHandle> = OnceLock::new();

/// A recorder that cannot be installed.
#[derive(Debug, Error)]
#[error("cannot install the metrics recorder")]
pub struct MetricsError(#[from] BuildError);

/// Installs the recorder of this process; does nothing where it already is.
pub fn install() -> Result<(), MetricsError> {
    if RECORDER.get().is_some() {
        return Ok(());
    }
    let handle = PrometheusBuilder::new()
        .set_buckets_for_metric(Matcher::Suffix("_seconds".to_owned()), &SECONDS)?
        .set_buckets_for_metric(Matcher::Suffix("_bytes".to_owned()), &BYTES)?
        .install_recorder()?;
    // Whoever lost a race failed above: the recorder can be installed once.
    RECORDER.get_or_init(|| handle);
    Ok(())
}

/// Says what the metrics of this crate mean, and what runs.
pub fn describe(service: &'static str) {
    describe_counter!(RETRIES, "attempts that failed and will be made again");
    describe_counter!(TASK_RESTARTS, "restarts of background tasks");
    describe_counter!(TASK_FAILURES, "tasks and threads that ended badly");
    describe_gauge!(COMPONENT_READY, "1 while a component is ready, else 0");
    describe_counter!(TRACE_SPANS_LOST, "spans that could not be exported");
    describe_gauge!(BUILD_INFO, "always 1; its labels say what runs");
    let version = env!("CARGO_PKG_VERSION");
    metrics::gauge!(BUILD_INFO, "service" => service, "version" => version).set(1.0);
}

/// All metrics as Prometheus text; empty before [`install`].
pub fn render() -> String {
    let Some(handle) = RECORDER.get() else {
        return String::new();
    };
    let mut page = handle.render();
    page.push_str(&process().unwrap_or_default());
    page
}

/// What the kernel says about this process. Written by hand: the recorder's counters are
/// whole numbers. None where there is no /proc.
fn process() -> Option<String> {
    let status = fs::read_to_string("/proc/self/status").ok()?;
    let resident = status.lines().find_map(|line| {
        let kib = line.strip_prefix("VmRSS:")?.trim().strip_suffix(" kB")?;
        Some(kib.parse::<u64>().ok()? * 1024)
    })?;
    let ticks = cpu_ticks(&fs::read_to_string("/proc/self/stat").ok()?)?;
    // One of them is the one that reads the folder.
    let open = fs::read_dir("/proc/self/fd")
        .ok()?
        .count()
        .saturating_sub(1);
    let (seconds, hundredths) = (ticks / TICKS_PER_SECOND, ticks % TICKS_PER_SECOND);
    Some(format!(
        "# TYPE {RESIDENT_MEMORY} gauge\n{RESIDENT_MEMORY} {resident}\n\n\
         # TYPE {CPU_SECONDS} counter\n{CPU_SECONDS} {seconds}.{hundredths:02}\n\n\
         # TYPE {OPEN_FDS} gauge\n{OPEN_FDS} {open}\n"
    ))
}

/// User and system time of `/proc/self/stat` (fields 14 and 15). The second field, the
/// program's name, may itself hold spaces and parentheses.
fn cpu_ticks(stat: &str) -> Option<u64> {
    let (_, after_name) = stat.rsplit_once(") ")?;
    let mut times = after_name.split(' ').skip(11);
    let user: u64 = times.next()?.parse().ok()?;
    let system: u64 = times.next()?.parse().ok()?;
    Some(user + system)
}

/// Frees what samples of histograms hold. To be called now and then, because nobody may
/// scrape.
pub fn upkeep() {
    if let Some(handle) = RECORDER.get() {
        handle.run_upkeep();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_program_may_be_called_anything() {
        let stat = "7 (a) R (b c) S 1 7 7 0 -1 4194560 1 0 0 0 123 45 0 0 20 0";
        assert_eq!(cpu_ticks(stat), Some(168));
        assert_eq!(cpu_ticks("7 (a) S 1"), None);
    }

    #[test]
    fn a_scrape_tells_of_the_process_and_of_histograms_in_buckets() {
        install().unwrap();
        install().unwrap();
        describe("test");
        metrics::histogram!("aquifer_test_seconds").record(0.003);
        upkeep();
        let page = render();
        for expected in [
            "process_resident_memory_bytes ",
            "process_cpu_seconds_total ",
            "process_open_fds ",
            "aquifer_build_info{service=\"test\"",
            "aquifer_test_seconds_bucket{le=\"0.005\"} 1",
        ] {
            assert!(page.contains(expected), "{expected} is not in\n{page}");
        }
    }
}
