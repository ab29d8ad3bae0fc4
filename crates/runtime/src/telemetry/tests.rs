//! Traces go to a file and come back, also around a crash; JSON lines carry the trace.

use std::fs;
use std::io::Write as _;
use std::path::Path;
use std::sync::{Arc, Mutex};

use serde_json::Value as Json;
use tracing_subscriber::fmt::MakeWriter;

use super::*;
use crate::trace::{TraceParent, continue_from, current, span_with_parent};

fn to_files(dir: &Path, max_mib: u64) -> TelemetryConfig {
    TelemetryConfig {
        traces: TraceExport::File,
        traces_dir: dir.to_owned(),
        traces_file_max_mib: max_mib,
        ..TelemetryConfig::default()
    }
}

/// Records one parent with two children in a trace begun elsewhere.
fn record(service: &'static str, config: &TelemetryConfig, parent: &TraceParent) {
    let provider = provider(service, config).unwrap().unwrap();
    let layer = tracing_opentelemetry::layer().with_tracer(provider.tracer("test"));
    let subscriber = tracing_subscriber::registry().with(layer);
    tracing::subscriber::with_default(subscriber, || {
        let store = tracing::info_span!("store", run = "LNGS/4242", bytes = 7_u64);
        span_with_parent(store, Some(parent)).in_scope(|| {
            tracing::info_span!("upload").in_scope(|| ());
            tracing::info_span!("commit", otel.status_code = "ERROR").in_scope(|| ());
        });
    });
    Telemetry {
        provider: Some(provider),
    }
    .shutdown(Duration::from_secs(10));
}

fn names(spans: &[SpanRecord]) -> Vec<&str> {
    spans.iter().map(|span| span.name.as_str()).collect()
}

#[test]
fn a_trace_written_is_read_back() {
    let dir = tempfile::tempdir().unwrap();
    let (parent, other) = (TraceParent::new_root(), TraceParent::new_root());
    record("m2c", &to_files(dir.path(), 1), &parent);
    record("m2c", &to_files(dir.path(), 1), &other);
    let spans = read_trace(dir.path(), parent.trace_id()).unwrap();
    assert_eq!(names(&spans), ["store", "upload", "commit"]);
    let store = &spans[0];
    assert_eq!(store.service, "m2c");
    assert_eq!(
        store.parent_span_id.as_deref(),
        Some(&parent.as_str()[36..52])
    );
    assert!(store.start_unix_nanos > 0 && store.start_unix_nanos <= store.end_unix_nanos);
    for expected in [("run", "LNGS/4242"), ("bytes", "7")] {
        let expected = (expected.0.to_owned(), expected.1.to_owned());
        assert!(store.attributes.contains(&expected), "{store:?}");
    }
    for child in &spans[1..] {
        assert_eq!(child.parent_span_id.as_ref(), Some(&store.span_id));
    }
    assert_eq!(spans[1].status, SpanStatus::Unset);
    assert_eq!(spans[2].status, SpanStatus::Error(String::new()));
    assert!(read_trace(dir.path(), "").unwrap().is_empty());
}

#[test]
fn a_line_torn_by_a_crash_costs_no_other() {
    let dir = tempfile::tempdir().unwrap();
    let parent = TraceParent::new_root();
    record("m2c", &to_files(dir.path(), 1), &parent);
    let path = dir.path().join(format!("m2c-{}.jsonl", std::process::id()));
    let whole = fs::read(&path).unwrap();
    let torn = &whole[..whole.len() / 2];
    fs::OpenOptions::new()
        .append(true)
        .open(&path)
        .unwrap()
        .write_all(torn)
        .unwrap();
    assert_eq!(read_trace(dir.path(), parent.trace_id()).unwrap().len(), 3);
    // The next process with this number goes on in the same file.
    record("m2c", &to_files(dir.path(), 1), &parent);
    assert_eq!(read_trace(dir.path(), parent.trace_id()).unwrap().len(), 6);
}

#[test]
fn a_trace_file_does_not_grow_without_end() {
    let dir = tempfile::tempdir().unwrap();
    let parent = TraceParent::new_root();
    for _ in 0..5 {
        record("m2c", &to_files(dir.path(), 0), &parent);
    }
    assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 2);
    assert_eq!(read_trace(dir.path(), parent.trace_id()).unwrap().len(), 6);
}

#[test]
fn what_cannot_be_set_up_is_named() {
    let told = |config: &TelemetryConfig| provider("m2c", config).unwrap_err().to_string();
    let file = tempfile::NamedTempFile::new().unwrap();
    let message = told(&to_files(file.path(), 1));
    assert!(
        message.contains(&*file.path().to_string_lossy()),
        "{message}"
    );
    let mut config = TelemetryConfig {
        traces: TraceExport::Otlp,
        otlp_endpoint: "https://collector:4318".to_owned(),
        ..TelemetryConfig::default()
    };
    assert!(told(&config).contains("`https://collector:4318`: it does not begin with `http://`"));
    config.trace_ratio = 1.5;
    assert_eq!(told(&config), "trace-ratio 1.5 is not between 0 and 1");
    config.log_level = "aquifer=loud".to_owned();
    let error = init("m2c", &config).unwrap_err().to_string();
    assert!(
        error.starts_with("log-level `aquifer=loud` is not understood"),
        "{error}"
    );
}

#[test]
fn a_collector_gets_what_was_recorded() {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let endpoint = format!("http://{}", listener.local_addr().unwrap());
    let collector = std::thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        let mut request = Vec::new();
        let mut buffer = [0; 4096];
        // The exporter closes the connection when it is shut down or times out.
        loop {
            let n = io::Read::read(&mut stream, &mut buffer).unwrap();
            request.extend_from_slice(&buffer[..n]);
            if n == 0 || request.windows(6).any(|w| w == b"commit") {
                break;
            }
        }
        stream
            .write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n")
            .unwrap();
        String::from_utf8_lossy(&request).into_owned()
    });
    let config = TelemetryConfig {
        traces: TraceExport::Otlp,
        otlp_endpoint: endpoint,
        ..TelemetryConfig::default()
    };
    record("m2c", &config, &TraceParent::new_root());
    let request = collector.join().unwrap();
    assert!(request.starts_with("POST /v1/traces HTTP/1.1"), "{request}");
    assert!(request.contains("LNGS/4242"), "{request}");
}

#[test]
fn quieter_parts_of_a_ratio_still_pass_the_trace_on() {
    let dir = tempfile::tempdir().unwrap();
    let config = TelemetryConfig {
        trace_ratio: 0.0,
        ..to_files(dir.path(), 1)
    };
    let parent = TraceParent::new_root();
    record("m2c", &config, &parent);
    let spans = read_trace(dir.path(), parent.trace_id()).unwrap();
    assert_eq!(spans.len(), 3, "its beginning was recorded, so it is");

    let provider = provider("m2c", &config).unwrap().unwrap();
    let layer = tracing_opentelemetry::layer().with_tracer(provider.tracer("test"));
    let _guard = tracing::subscriber::set_default(tracing_subscriber::registry().with(layer));
    let root = continue_from(&tracing::info_span!("root"), None).unwrap();
    assert!(root.as_str().ends_with("-00"), "{root}");
}

#[derive(Clone, Default)]
struct Captured(Arc<Mutex<Vec<u8>>>);

impl io::Write for Captured {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl<'a> MakeWriter<'a> for Captured {
    type Writer = Self;

    fn make_writer(&'a self) -> Self {
        self.clone()
    }
}

#[test]
fn a_json_line_is_one_object_with_its_trace() {
    let captured = Captured::default();
    let json = fmt::layer()
        .with_writer(captured.clone())
        .fmt_fields(fmt::format::JsonFields::new())
        .event_format(JsonLines { service: "m2c" });
    let provider = SdkTracerProvider::default();
    let traces = tracing_opentelemetry::layer()
        .with_tracer(provider.tracer("test"))
        .with_filter(LevelFilter::INFO);
    let subscriber = tracing_subscriber::registry().with(json).with(traces);
    let parent = TraceParent::new_root();
    tracing::subscriber::with_default(subscriber, || {
        tracing::info!("outside");
        let span = span_with_parent(tracing::info_span!("store", run = 7), Some(&parent));
        span.in_scope(|| {
            tracing::debug_span!("part", n = 1).in_scope(|| {
                tracing::warn!(
                    level = "high",
                    bytes = 3,
                    ok = true,
                    "two\nlines \"quoted\""
                );
                assert_eq!(current().unwrap().trace_id(), parent.trace_id());
            });
        });
    });
    let text = String::from_utf8(captured.0.lock().unwrap().clone()).unwrap();
    let lines: Vec<Json> = text
        .lines()
        .map(|l| serde_json::from_str(l).unwrap())
        .collect();
    let [outside, inside] = &lines[..] else {
        panic!("{text}")
    };
    assert_eq!(outside["message"], "outside");
    assert!(outside.get("trace_id").is_none() && outside.get("spans").is_none());
    assert_eq!(inside["level"], "WARN");
    assert_eq!(inside["field.level"], "high");
    assert_eq!(inside["message"], "two\nlines \"quoted\"");
    assert_eq!(inside["service"], "m2c");
    assert_eq!(inside["bytes"], 3);
    assert_eq!(inside["ok"], true);
    assert_eq!(inside["trace_id"], parent.trace_id());
    assert_eq!(
        inside["spans"][0],
        serde_json::json!({ "name": "store", "run": 7 })
    );
    assert_eq!(inside["spans"][1]["name"], "part");
    inside["timestamp"]
        .as_str()
        .unwrap()
        .parse::<jiff::Timestamp>()
        .unwrap();
}
