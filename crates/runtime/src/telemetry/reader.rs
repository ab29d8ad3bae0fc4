//! Reads one trace back out of a folder of trace files.
//!
//! Lines that are not whole objects are passed over: a crash leaves the last one torn.
//! It reads line by line and keeps only the spans of the trace asked for.

use std::fs::{self, File};
use std::io::{self, BufRead as _, BufReader};
use std::path::Path;

use opentelemetry_proto::tonic::common::v1::any_value::Value;
use opentelemetry_proto::tonic::common::v1::{AnyValue, KeyValue};
use opentelemetry_proto::tonic::trace::v1::status::StatusCode;
use opentelemetry_proto::tonic::trace::v1::{ResourceSpans, Span, TracesData};
use serde::Serialize;

/// One span of a trace, as some process recorded it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct SpanRecord {
    /// The service that did it.
    pub service: String,
    /// What was done.
    pub name: String,
    /// 16 hexadecimal digits.
    pub span_id: String,
    /// The span that caused it; none at the root.
    pub parent_span_id: Option<String>,
    /// Begin, nanoseconds since 1970-01-01 UTC.
    pub start_unix_nanos: u64,
    /// End, nanoseconds since 1970-01-01 UTC.
    pub end_unix_nanos: u64,
    /// Fields of the span, values as text.
    pub attributes: Vec<(String, String)>,
    /// How it ended.
    pub status: SpanStatus,
}

/// How a span ended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum SpanStatus {
    /// Nobody said.
    Unset,
    /// Well.
    Ok,
    /// Badly, with a message that may be empty.
    Error(String),
}

/// All spans of a trace in the `.jsonl` files of `dir`, by begin.
pub fn read_trace(dir: &Path, trace_id: &str) -> io::Result<Vec<SpanRecord>> {
    let mut spans = Vec::new();
    let trace_id = trace_id.to_ascii_lowercase();
    for entry in fs::read_dir(dir)? {
        let path = entry?.path();
        if path
            .extension()
            .is_some_and(|extension| extension == "jsonl")
        {
            read_file(&path, &trace_id, &mut spans).map_err(|error| {
                io::Error::new(error.kind(), format!("{}: {error}", path.display()))
            })?;
        }
    }
    spans.sort_by(|a, b| (a.start_unix_nanos, &a.span_id).cmp(&(b.start_unix_nanos, &b.span_id)));
    Ok(spans)
}

fn read_file(path: &Path, trace_id: &str, spans: &mut Vec<SpanRecord>) -> io::Result<()> {
    let mut file = BufReader::new(File::open(path)?);
    let mut line = Vec::new();
    while file.read_until(b'\n', &mut line)? > 0 {
        // Most lines hold other traces: finding the id is cheaper than parsing JSON.
        if contains(&line, trace_id.as_bytes()) {
            match serde_json::from_slice::<TracesData>(&line) {
                Ok(data) => spans.extend(
                    data.resource_spans
                        .iter()
                        .flat_map(|resource| records(resource, trace_id)),
                ),
                Err(error) => {
                    tracing::debug!(file = %path.display(), %error, "torn trace line passed over");
                }
            }
        }
        line.clear();
    }
    Ok(())
}

fn contains(line: &[u8], id: &[u8]) -> bool {
    !id.is_empty() && line.windows(id.len()).any(|window| window == id)
}

fn records<'a>(
    resource: &'a ResourceSpans,
    trace_id: &'a str,
) -> impl Iterator<Item = SpanRecord> + 'a {
    let attributes = resource.resource.iter().flat_map(|r| &r.attributes);
    let service = attributes
        .filter(|attribute| attribute.key == "service.name")
        .map(|attribute| text(attribute.value.as_ref()))
        .next()
        .unwrap_or_default();
    let spans = resource.scope_spans.iter().flat_map(|scope| &scope.spans);
    spans
        .filter(move |span| hex(&span.trace_id) == trace_id)
        .map(move |span| record(&service, span))
}

fn record(service: &str, span: &Span) -> SpanRecord {
    let status = span.status.clone().unwrap_or_default();
    SpanRecord {
        service: service.to_owned(),
        name: span.name.clone(),
        span_id: hex(&span.span_id),
        parent_span_id: Some(hex(&span.parent_span_id)).filter(|id| !id.is_empty()),
        start_unix_nanos: span.start_time_unix_nano,
        end_unix_nanos: span.end_time_unix_nano,
        attributes: span.attributes.iter().map(pair).collect(),
        status: match status.code() {
            StatusCode::Unset => SpanStatus::Unset,
            StatusCode::Ok => SpanStatus::Ok,
            StatusCode::Error => SpanStatus::Error(status.message),
        },
    }
}

fn pair(attribute: &KeyValue) -> (String, String) {
    (attribute.key.clone(), text(attribute.value.as_ref()))
}

fn text(value: Option<&AnyValue>) -> String {
    match value.and_then(|value| value.value.as_ref()) {
        None => String::new(),
        Some(Value::StringValue(text)) => text.clone(),
        Some(Value::BoolValue(value)) => value.to_string(),
        Some(Value::IntValue(value)) => value.to_string(),
        Some(Value::DoubleValue(value)) => value.to_string(),
        Some(Value::BytesValue(bytes)) => hex(bytes),
        Some(Value::ArrayValue(list)) => {
            let values: Vec<_> = list.values.iter().map(|value| text(Some(value))).collect();
            format!("[{}]", values.join(", "))
        }
        Some(other) => format!("{other:?}"),
    }
}

fn hex(bytes: &[u8]) -> String {
    use std::fmt::Write as _;
    bytes.iter().fold(String::new(), |mut text, byte| {
        write!(text, "{byte:02x}").expect("a String takes everything that is written to it");
        text
    })
}
