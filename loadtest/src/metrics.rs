//! Reading `/metrics` of a service: one short HTTP request, the Prometheus text format.

use std::net::SocketAddr;
use std::time::Duration;

use anyhow::{Context as _, ensure};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

/// Longest wait for an answer.
const PATIENCE: Duration = Duration::from_secs(5);

/// What a service counts, as text.
#[derive(Debug, Clone, Default)]
pub(crate) struct Metrics(String);

impl Metrics {
    /// Asks the service at `address`.
    pub(crate) async fn of(address: SocketAddr) -> anyhow::Result<Self> {
        tokio::time::timeout(PATIENCE, ask(address))
            .await
            .with_context(|| format!("no metrics of {address} within {PATIENCE:?}"))?
            .with_context(|| format!("metrics of {address}"))
    }

    /// The sum of a metric over its labels; 0 for one that was never touched.
    pub(crate) fn sum(&self, name: &str) -> f64 {
        self.0
            .lines()
            .filter_map(|line| line.strip_prefix(name))
            .filter(|rest| rest.starts_with([' ', '{']))
            .filter_map(|rest| rest.rsplit_once(' ')?.1.parse::<f64>().ok())
            // Not `sum`: that of nothing is -0.
            .fold(0.0, |sum, value| sum + value)
    }
}

async fn ask(address: SocketAddr) -> anyhow::Result<Metrics> {
    let mut stream = TcpStream::connect(address).await?;
    stream
        .write_all(b"GET /metrics HTTP/1.0\r\nhost: localhost\r\n\r\n")
        .await?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await?;
    let (head, body) = answer.split_once("\r\n\r\n").context("half an answer")?;
    ensure!(
        head.split(' ').nth(1) == Some("200"),
        "{}",
        head.lines().next().unwrap_or_default()
    );
    Ok(Metrics(body.to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn labels_are_summed_and_longer_names_left_out() {
        let metrics = Metrics(
            "# TYPE stored_total counter\n\
             stored_total{outcome=\"created\"} 40\n\
             stored_total{outcome=\"a } b\"} 2\n\
             stored_total_of_all 7\n\
             seconds_sum 0.5\n"
                .to_owned(),
        );
        let sum = |name| metrics.sum(name).to_string();
        assert_eq!(sum("stored_total"), "42");
        assert_eq!(sum("seconds_sum"), "0.5");
        assert_eq!(sum("seconds"), "0");
    }
}
