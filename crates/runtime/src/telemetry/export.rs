//! Says when traces do not get out.
//!
//! Wraps an exporter: each failed batch is counted, a warning follows the first failure
//! and then at most one per minute. The batch is gone; the work it described is not.

use std::future::Future;
use std::sync::Mutex;
use std::time::{Duration, Instant};

use opentelemetry_sdk::Resource;
use opentelemetry_sdk::error::OTelSdkResult;
use opentelemetry_sdk::trace::{SpanData, SpanExporter};

use crate::metrics::TRACE_SPANS_LOST;

const WARN_EVERY: Duration = Duration::from_mins(1);

/// An exporter whose failures are seen.
#[derive(Debug)]
pub(super) struct Announced<E> {
    inner: E,
    warned: Mutex<Option<Instant>>,
}

impl<E> Announced<E> {
    pub(super) fn new(inner: E) -> Self {
        let warned = Mutex::new(None);
        Self { inner, warned }
    }

    fn announce(&self, spans: usize, outcome: &OTelSdkResult) {
        let Err(error) = outcome else { return };
        metrics::counter!(TRACE_SPANS_LOST).increment(spans as u64);
        let mut warned = self
            .warned
            .lock()
            .expect("nothing panics while it holds the lock");
        if warned.is_none_or(|at| at.elapsed() >= WARN_EVERY) {
            *warned = Some(Instant::now());
            tracing::warn!(%error, spans, "traces could not be exported and are dropped");
        }
    }
}

impl<E: SpanExporter> SpanExporter for Announced<E> {
    fn export(&self, batch: Vec<SpanData>) -> impl Future<Output = OTelSdkResult> + Send {
        let spans = batch.len();
        let exported = self.inner.export(batch);
        async move {
            let outcome = exported.await;
            self.announce(spans, &outcome);
            outcome
        }
    }

    fn shutdown_with_timeout(&self, timeout: Duration) -> OTelSdkResult {
        self.inner.shutdown_with_timeout(timeout)
    }

    fn force_flush(&self) -> OTelSdkResult {
        self.inner.force_flush()
    }

    fn set_resource(&mut self, resource: &Resource) {
        self.inner.set_resource(resource);
    }
}
