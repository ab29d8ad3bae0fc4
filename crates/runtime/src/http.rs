//! The health endpoint of every process: `/livez`, `/readyz`, `/metrics`.
//!
//! The port is bound before anything else starts, so that a clash fails at once, and
//! closes last, so that a process that drains can be watched. Access control is left to
//! the network: these pages hold no secrets.

use std::io;
use std::net::{SocketAddr, TcpListener};

use axum::Json;
use axum::Router;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use thiserror::Error;
use tokio_util::sync::CancellationToken;

use crate::health::Health;
use crate::metrics;

/// An address that cannot be listened on.
#[derive(Debug, Error)]
#[error("cannot listen on {address}")]
pub struct BindError {
    /// As configured.
    pub address: SocketAddr,
    /// Why.
    pub source: io::Error,
}

/// A port that is ours and does not answer yet: connections wait in its queue.
#[derive(Debug)]
pub struct Bound {
    listener: TcpListener,
    address: SocketAddr,
}

/// Takes the port. Needs no runtime.
pub fn bind(address: SocketAddr) -> Result<Bound, BindError> {
    let bound = || {
        let listener = TcpListener::bind(address)?;
        listener.set_nonblocking(true)?;
        let address = listener.local_addr()?;
        Ok(Bound { listener, address })
    };
    bound().map_err(|source| BindError { address, source })
}

impl Bound {
    /// Where it listens; the port that the system chose where 0 was configured.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Answers until `close` is cancelled, then finishes the requests in hand. A request
    /// that never ends holds it: give it a deadline.
    pub async fn serve(
        self,
        health: Health,
        extra: Router,
        close: CancellationToken,
    ) -> io::Result<()> {
        let listener = tokio::net::TcpListener::from_std(self.listener)?;
        axum::serve(listener, routes(health).merge(extra))
            .with_graceful_shutdown(close.cancelled_owned())
            .await
    }
}

fn routes(health: Health) -> Router {
    let live = health.clone();
    let livez = move || async move { answer(&live, |report| report.live) };
    let readyz = move || async move { answer(&health, |report| report.ready) };
    Router::new()
        .route("/livez", get(livez))
        .route("/readyz", get(readyz))
        .route("/metrics", get(scrape))
}

fn answer(health: &Health, good: impl Fn(&crate::health::Report) -> bool) -> Response {
    let report = health.report();
    let status = if good(&report) {
        StatusCode::OK
    } else {
        StatusCode::SERVICE_UNAVAILABLE
    };
    (status, Json(report)).into_response()
}

async fn scrape() -> impl IntoResponse {
    let text = "text/plain; version=0.0.4; charset=utf-8";
    ([(header::CONTENT_TYPE, text)], metrics::render())
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

    use super::*;

    async fn ask(address: SocketAddr, path: &str) -> String {
        let asked = async {
            let mut stream = tokio::net::TcpStream::connect(address).await.unwrap();
            let request = format!("GET {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n");
            stream.write_all(request.as_bytes()).await.unwrap();
            let mut reply = String::new();
            stream.read_to_string(&mut reply).await.unwrap();
            reply
        };
        tokio::time::timeout(Duration::from_secs(10), asked)
            .await
            .unwrap()
    }

    #[test]
    fn a_clash_of_ports_names_the_address() {
        let first = bind("127.0.0.1:0".parse().unwrap()).unwrap();
        let error = bind(first.address()).unwrap_err();
        assert!(error.to_string().contains(&first.address().to_string()));
        assert_eq!(error.source.kind(), io::ErrorKind::AddrInUse);
    }

    #[tokio::test]
    async fn pages_say_how_the_process_is_and_why() {
        let bound = bind("127.0.0.1:0".parse().unwrap()).unwrap();
        let address = bound.address();
        let health = Health::default();
        let store = health.component("store");
        let close = CancellationToken::new();
        let extra = Router::new().route("/extra", get(async || "more"));
        let server = bound.serve(health.clone(), extra, close.clone());
        let questions = async {
            store.not_ready("bucket `raw` does not exist");
            let reply = ask(address, "/readyz").await;
            assert!(reply.starts_with("HTTP/1.1 503"), "{reply}");
            assert!(reply.contains("bucket `raw` does not exist"), "{reply}");
            assert!(ask(address, "/livez").await.starts_with("HTTP/1.1 200"));

            store.ready();
            assert!(ask(address, "/readyz").await.starts_with("HTTP/1.1 200"));
            health.drain();
            let reply = ask(address, "/readyz").await;
            assert!(reply.starts_with("HTTP/1.1 503"), "{reply}");
            assert!(reply.contains("\"draining\":true"), "{reply}");

            store.failed("gone");
            assert!(ask(address, "/livez").await.starts_with("HTTP/1.1 503"));
            let reply = ask(address, "/metrics").await;
            assert!(reply.contains("text/plain; version=0.0.4"), "{reply}");
            assert!(ask(address, "/extra").await.ends_with("more"));
            close.cancel();
        };
        let (outcome, ()) = tokio::join!(server, questions);
        outcome.unwrap();
    }
}
