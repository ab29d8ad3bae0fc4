//! W3C trace context, carried as text: in message headers, on objects and on rows.
//!
//! Promises that a [`TraceParent`] is well formed and that a context received is passed
//! on even where this process records no traces. Which spans there are, and what they
//! are called, is left to the services. Format: W3C Trace Context, level 1, §3.2.

use std::fmt;
use std::str::FromStr;

use opentelemetry::Context;
use opentelemetry::trace::{
    SpanContext, SpanId, TraceContextExt as _, TraceFlags, TraceId, TraceState,
};
use opentelemetry_sdk::trace::{IdGenerator as _, RandomIdGenerator};
use serde::{Deserialize, Serialize};
use thiserror::Error;
use tracing::Span;
use tracing_opentelemetry::{OpenTelemetrySpanExt as _, SetParentError};

/// A text that is not a `traceparent`.
#[derive(Debug, Error, Clone, PartialEq, Eq)]
#[error("`{0}` is not a traceparent (`00-<32 hex>-<16 hex>-<2 hex>`, ids not zero)")]
pub struct TraceParentError(String);

/// One point in a trace: `00-<trace id>-<span id>-<flags>`, lower-case hexadecimal.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct TraceParent(String);

impl TraceParent {
    /// The beginning of a trace of its own, sampled.
    pub fn new_root() -> Self {
        let ids = RandomIdGenerator::default();
        Self::write(ids.new_trace_id(), ids.new_span_id(), TraceFlags::SAMPLED)
    }

    /// The 32 hexadecimal digits that all spans of the trace share.
    pub fn trace_id(&self) -> &str {
        &self.0[3..35]
    }

    /// The text, as it stands in a header.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    fn write(trace: TraceId, span: SpanId, flags: TraceFlags) -> Self {
        Self(format!("00-{trace}-{span}-{:02x}", flags.to_u8()))
    }

    fn of(context: &Context) -> Option<Self> {
        let span = context.span();
        let span = span.span_context();
        span.is_valid()
            .then(|| Self::write(span.trace_id(), span.span_id(), span.trace_flags()))
    }

    fn to_context(&self) -> Context {
        let valid = "a TraceParent holds only valid hexadecimal";
        let flags = u8::from_str_radix(&self.0[53..55], 16).expect(valid);
        Context::new().with_remote_span_context(SpanContext::new(
            TraceId::from_hex(&self.0[3..35]).expect(valid),
            SpanId::from_hex(&self.0[36..52]).expect(valid),
            TraceFlags::new(flags),
            true,
            TraceState::NONE,
        ))
    }
}

impl FromStr for TraceParent {
    type Err = TraceParentError;

    fn from_str(text: &str) -> Result<Self, TraceParentError> {
        let hex = |part: &str, digits: usize| {
            part.len() == digits
                && part
                    .bytes()
                    .all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b))
        };
        let id = |part: &str, digits| hex(part, digits) && part.bytes().any(|b| b != b'0');
        let parts: Vec<&str> = text.split('-').collect();
        match parts[..] {
            ["00", trace, span, flags] if id(trace, 32) && id(span, 16) && hex(flags, 2) => {
                Ok(Self(text.to_owned()))
            }
            _ => Err(TraceParentError(text.chars().take(64).collect())),
        }
    }
}

impl TryFrom<String> for TraceParent {
    type Error = TraceParentError;

    fn try_from(text: String) -> Result<Self, TraceParentError> {
        text.parse()
    }
}

impl From<TraceParent> for String {
    fn from(parent: TraceParent) -> Self {
        parent.0
    }
}

impl fmt::Display for TraceParent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

/// The context of tracing's current span; none where nothing is recorded.
pub fn current() -> Option<TraceParent> {
    of_span(&Span::current())
        // A span below the recorded level has no context of its own, but lies in one.
        .or_else(|| TraceParent::of(&Context::current()))
}

/// Makes `span` a child of `parent`, before it is entered for the first time: a span
/// that has started keeps the parent it has.
pub fn span_with_parent(span: Span, parent: Option<&TraceParent>) -> Span {
    if let Some(parent) = parent {
        let outcome = span.set_parent(parent.to_context());
        // The other errors say that nothing is recorded, which is no fault.
        debug_assert!(
            !matches!(outcome, Err(SetParentError::AlreadyStarted)),
            "span `{}` was entered before it was given its parent",
            span.metadata().map_or("disabled", |m| m.name()),
        );
    }
    span
}

/// The context to pass on: the span's own if it is recorded, else `parent` unchanged.
pub fn continue_from(span: &Span, parent: Option<&TraceParent>) -> Option<TraceParent> {
    of_span(span).or_else(|| parent.cloned())
}

/// Starts the span, if it is recorded, and gives its context.
fn of_span(span: &Span) -> Option<TraceParent> {
    TraceParent::of(&span.context())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use tracing_subscriber::layer::SubscriberExt as _;

    use super::*;

    const PARENT: &str = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";

    fn recording() -> tracing::subscriber::DefaultGuard {
        use opentelemetry::trace::TracerProvider as _;
        let provider = opentelemetry_sdk::trace::SdkTracerProvider::default();
        let layer = tracing_opentelemetry::layer().with_tracer(provider.tracer("test"));
        tracing::subscriber::set_default(tracing_subscriber::registry().with(layer))
    }

    #[test]
    fn what_is_not_a_traceparent_is_refused() {
        assert_eq!(PARENT.parse::<TraceParent>().unwrap().to_string(), PARENT);
        for text in [
            "",
            "00",
            &PARENT.to_uppercase(),
            &PARENT[..54],
            &format!("{PARENT}0"),
            &format!("{PARENT}-00"),
            &PARENT.replace("00-", "01-"),
            "00-00000000000000000000000000000000-b7ad6b7169203331-01",
            "00-0af7651916cd43dd8448eb211c80319c-0000000000000000-01",
            "00-0af7651916cd43dd8448eb211c80319é-b7ad6b7169203331-01",
        ] {
            assert!(text.parse::<TraceParent>().is_err(), "{text:?}");
        }
    }

    #[test]
    fn a_root_is_valid_and_new_each_time() {
        let root = TraceParent::new_root();
        assert_eq!(root.to_string().parse::<TraceParent>().unwrap(), root);
        assert!(root.as_str().ends_with("-01"));
        assert_ne!(root.trace_id(), TraceParent::new_root().trace_id());
    }

    #[test]
    fn serde_refuses_what_parsing_refuses() {
        let parent: TraceParent = PARENT.parse().unwrap();
        let json = serde_json::to_string(&parent).unwrap();
        assert_eq!(serde_json::from_str::<TraceParent>(&json).unwrap(), parent);
        assert!(serde_json::from_str::<TraceParent>("\"00-xyz\"").is_err());
    }

    #[test]
    fn a_recorded_span_continues_the_trace_under_its_own_id() {
        let _recording = recording();
        let parent: TraceParent = PARENT.parse().unwrap();
        let span = span_with_parent(tracing::info_span!("child"), Some(&parent));
        let passed_on = continue_from(&span, Some(&parent)).unwrap();
        assert_eq!(passed_on.trace_id(), parent.trace_id());
        assert_ne!(passed_on, parent);
        assert_eq!(span.in_scope(current), Some(passed_on));
        assert_eq!(current(), None);
    }

    #[test]
    fn without_recording_the_parent_is_passed_on_unchanged() {
        let parent: TraceParent = PARENT.parse().unwrap();
        let span = span_with_parent(tracing::info_span!("child"), Some(&parent));
        assert_eq!(continue_from(&span, Some(&parent)), Some(parent));
        assert_eq!(continue_from(&span, None), None);
        assert_eq!(span.in_scope(current), None);
    }

    proptest! {
        #[test]
        fn no_text_makes_the_parser_panic(text in "\\PC{0,60}") {
            if let Ok(parent) = text.parse::<TraceParent>() {
                prop_assert_eq!(parent.trace_id().len(), 32);
            }
        }
    }
}
