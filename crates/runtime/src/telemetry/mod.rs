//! Logs to standard error, traces to files or a collector. Set up once per process.
//!
//! Promises that nothing is written to standard output, that a log line within a trace
//! carries its id (JSON), and that a trace that cannot be exported costs a warning and a
//! count, never the work it describes. Metrics are in [`crate::metrics`].
//!
//! Levels: ERROR means loss, or a human is needed; WARN means degraded, nothing lost.

mod export;
mod file;
mod format;
mod reader;

use std::io::{self, IsTerminal as _};
use std::path::PathBuf;
use std::time::Duration;

use opentelemetry::trace::TracerProvider as _;
use opentelemetry_otlp::WithExportConfig as _;
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::trace::{
    BatchConfigBuilder, BatchSpanProcessor, Sampler, SdkTracerProvider, SpanExporter,
};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use thiserror::Error;
use tracing::level_filters::LevelFilter;
use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::util::SubscriberInitExt as _;
use tracing_subscriber::{EnvFilter, Layer, fmt};

pub use reader::{SpanRecord, SpanStatus, read_trace};

use export::Announced;
use file::FileExporter;
use format::JsonLines;

/// Spans that wait to be exported; more than these are dropped.
const QUEUE_SPANS: usize = 8192;

/// How long a span waits for company before it is exported.
const EXPORT_DELAY: Duration = Duration::from_secs(1);

/// How a service tells what it does.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
pub struct TelemetryConfig {
    /// How log lines are written to standard error.
    pub log_format: LogFormat,
    /// Which log lines are written: a level, or levels by module such as
    /// `info,aquifer_bus=debug`.
    pub log_level: String,
    /// Where traces go.
    pub traces: TraceExport,
    /// The folder of trace files, for `traces = "file"`.
    pub traces_dir: PathBuf,
    /// Size in MiB at which a trace file begins anew; one older file is kept.
    pub traces_file_max_mib: u64,
    /// Where an OpenTelemetry collector takes OTLP over plain HTTP, for `traces = "otlp"`.
    pub otlp_endpoint: String,
    /// The part of traces begun here that is recorded, 0 to 1. A trace begun elsewhere
    /// is recorded if its beginning was.
    pub trace_ratio: f64,
}

impl Default for TelemetryConfig {
    fn default() -> Self {
        Self {
            log_format: LogFormat::Human,
            log_level: "info".to_owned(),
            traces: TraceExport::None,
            traces_dir: PathBuf::from("traces"),
            traces_file_max_mib: 256,
            otlp_endpoint: "http://localhost:4318".to_owned(),
            trace_ratio: 1.0,
        }
    }
}

/// How log lines are written.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum LogFormat {
    /// For people, coloured on a terminal.
    #[default]
    Human,
    /// One JSON object per line.
    Json,
}

/// Where traces go.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum TraceExport {
    /// Nowhere; contexts received are still passed on.
    #[default]
    None,
    /// To one file per process, one OTLP/JSON object per line.
    File,
    /// To an OpenTelemetry collector.
    Otlp,
}

/// Telemetry that cannot be set up, and why.
#[derive(Debug, Error)]
pub enum TelemetryError {
    /// `log-level` is not understood.
    #[error("log-level `{level}` is not understood: {reason}")]
    LogLevel {
        /// As configured.
        level: String,
        /// What the filter says.
        reason: String,
    },
    /// `trace-ratio` is not a part.
    #[error("trace-ratio {0} is not between 0 and 1")]
    Ratio(f64),
    /// The trace file cannot be opened.
    #[error("cannot open trace file `{}`", path.display())]
    TraceFile {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The exporter to the collector cannot be built.
    #[error("cannot export traces to `{endpoint}`: {reason}")]
    Collector {
        /// As configured.
        endpoint: String,
        /// What is wrong with it.
        reason: String,
    },
    /// Another part of this process has set up logs before.
    #[error("telemetry is already set up in this process")]
    AlreadySet,
}

/// Keeps the exporters alive. Shut it down at the end, or the last spans are lost.
#[derive(Debug)]
#[must_use = "the last spans are only written by `shutdown`"]
pub struct Telemetry {
    provider: Option<SdkTracerProvider>,
}

impl Telemetry {
    /// Writes what is left to write and ends, within `timeout`. Blocks.
    pub fn shutdown(self, timeout: Duration) {
        if let Some(Err(error)) = self.provider.map(|p| p.shutdown_with_timeout(timeout)) {
            tracing::warn!(%error, "the last traces may not have been exported");
        }
    }
}

/// Sets up logs and traces for this process.
pub fn init(service: &'static str, config: &TelemetryConfig) -> Result<Telemetry, TelemetryError> {
    let filter = || {
        EnvFilter::builder()
            .parse(&config.log_level)
            .map_err(|error| TelemetryError::LogLevel {
                level: config.log_level.clone(),
                reason: error.to_string(),
            })
    };
    let human = || {
        fmt::layer()
            .with_writer(io::stderr)
            .with_ansi(io::stderr().is_terminal() && std::env::var_os("NO_COLOR").is_none())
            .boxed()
    };
    let json = || {
        fmt::layer()
            .with_writer(io::stderr)
            .fmt_fields(fmt::format::JsonFields::new())
            .event_format(JsonLines { service })
            .boxed()
    };
    let logs = match config.log_format {
        LogFormat::Human => human(),
        LogFormat::Json => json(),
    };
    let logs = logs.with_filter(filter()?);
    let provider = provider(service, config)?;
    // Filtered apart from the logs: quieter logs must not tear holes into traces.
    let traces = provider.as_ref().map(|provider| {
        tracing_opentelemetry::layer()
            .with_tracer(provider.tracer("aquifer"))
            .with_filter(LevelFilter::INFO)
    });
    tracing_subscriber::registry()
        .with(logs)
        .with(traces)
        .try_init()
        .map_err(|_| TelemetryError::AlreadySet)?;
    Ok(Telemetry { provider })
}

fn provider(
    service: &'static str,
    config: &TelemetryConfig,
) -> Result<Option<SdkTracerProvider>, TelemetryError> {
    if !(0.0..=1.0).contains(&config.trace_ratio) {
        return Err(TelemetryError::Ratio(config.trace_ratio));
    }
    let processor = match config.traces {
        TraceExport::None => return Ok(None),
        TraceExport::File => {
            let max_bytes = config.traces_file_max_mib.saturating_mul(1 << 20);
            batch(FileExporter::open(&config.traces_dir, service, max_bytes)?)
        }
        TraceExport::Otlp => batch(collector(&config.otlp_endpoint)?),
    };
    let ratio = Sampler::TraceIdRatioBased(config.trace_ratio);
    let provider = SdkTracerProvider::builder()
        .with_span_processor(processor)
        .with_sampler(Sampler::ParentBased(Box::new(ratio)))
        .with_resource(Resource::builder().with_service_name(service).build())
        .build();
    Ok(Some(provider))
}

/// Spans are exported in batches on a thread of their own.
fn batch<E: SpanExporter + 'static>(exporter: E) -> BatchSpanProcessor {
    let config = BatchConfigBuilder::default()
        .with_max_queue_size(QUEUE_SPANS)
        .with_scheduled_delay(EXPORT_DELAY)
        .build();
    BatchSpanProcessor::builder(Announced::new(exporter))
        .with_batch_config(config)
        .build()
}

fn collector(endpoint: &str) -> Result<opentelemetry_otlp::SpanExporter, TelemetryError> {
    let refuse = |reason: String| TelemetryError::Collector {
        endpoint: endpoint.to_owned(),
        reason,
    };
    // This build's HTTP client for traces has no TLS: better said now than by each export.
    if !endpoint.starts_with("http://") {
        return Err(refuse(
            "it does not begin with `http://`; for TLS, run a collector on this host".to_owned(),
        ));
    }
    opentelemetry_otlp::SpanExporter::builder()
        .with_http()
        .with_endpoint(format!("{}/v1/traces", endpoint.trim_end_matches('/')))
        .with_timeout(Duration::from_secs(10))
        .build()
        .map_err(|error| refuse(error.to_string()))
}

#[cfg(test)]
mod tests;
