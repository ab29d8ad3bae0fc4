//! Log lines as JSON, one object per line.
//!
//! Fields: `timestamp` (RFC 3339, UTC), `level`, `target`, `service`, `message`, then
//! `trace_id` and `span_id` where there is a trace, `spans` from the outermost in, and
//! the fields of the event. A field of the event never hides one of the line's own.

use std::fmt;

use opentelemetry::trace::TraceContextExt as _;
use serde_json::{Map, Value as Json};
use tracing::field::{Field, Visit};
use tracing::{Event, Subscriber};
use tracing_subscriber::fmt::format::Writer;
use tracing_subscriber::fmt::{FmtContext, FormatEvent, FormatFields, FormattedFields};
use tracing_subscriber::registry::{LookupSpan, Scope};

/// The format; spans' fields must be formatted by `JsonFields`.
pub(super) struct JsonLines {
    pub(super) service: &'static str,
}

impl<S, N> FormatEvent<S, N> for JsonLines
where
    S: Subscriber + for<'a> LookupSpan<'a>,
    N: for<'a> FormatFields<'a> + 'static,
{
    fn format_event(
        &self,
        context: &FmtContext<'_, S, N>,
        mut writer: Writer<'_>,
        event: &Event<'_>,
    ) -> fmt::Result {
        let mut line = Map::new();
        event.record(&mut Fields(&mut line));
        let mut own = |key: &str, value: Json| {
            if let Some(hidden) = line.insert(key.to_owned(), value) {
                line.insert(format!("field.{key}"), hidden);
            }
        };
        let metadata = event.metadata();
        own("timestamp", jiff::Timestamp::now().to_string().into());
        own("level", metadata.level().as_str().into());
        own("target", metadata.target().into());
        own("service", self.service.into());
        let trace = opentelemetry::Context::current();
        let trace = trace.span();
        let trace = trace.span_context();
        if trace.is_valid() {
            own("trace_id", trace.trace_id().to_string().into());
            own("span_id", trace.span_id().to_string().into());
        }
        let spans: Vec<Json> = context
            .event_scope()
            .into_iter()
            .flat_map(Scope::from_root)
            .map(|span| {
                let extensions = span.extensions();
                let mut fields: Map<String, Json> = extensions
                    .get::<FormattedFields<N>>()
                    .and_then(|fields| serde_json::from_str(fields).ok())
                    .unwrap_or_default();
                fields.insert("name".to_owned(), span.name().into());
                Json::Object(fields)
            })
            .collect();
        if !spans.is_empty() {
            own("spans", spans.into());
        }
        writeln!(writer, "{}", Json::Object(line))
    }
}

struct Fields<'a>(&'a mut Map<String, Json>);

impl Fields<'_> {
    fn put(&mut self, field: &Field, value: impl Into<Json>) {
        self.0.insert(field.name().to_owned(), value.into());
    }
}

impl Visit for Fields<'_> {
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        self.put(field, format!("{value:?}"));
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        self.put(field, value);
    }

    fn record_i64(&mut self, field: &Field, value: i64) {
        self.put(field, value);
    }

    fn record_u64(&mut self, field: &Field, value: u64) {
        self.put(field, value);
    }

    fn record_f64(&mut self, field: &Field, value: f64) {
        self.put(field, value);
    }

    fn record_bool(&mut self, field: &Field, value: bool) {
        self.put(field, value);
    }

    fn record_error(&mut self, field: &Field, value: &(dyn std::error::Error + 'static)) {
        self.put(field, value.to_string());
    }
}
